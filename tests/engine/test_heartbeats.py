"""Heartbeats and the limits of attempts: what is heard, what is kept of it, and what it costs."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from aionlab import Retry, activity
from aionlab.core import errors
from aionlab.core import events as e
from aionlab.core.status import Status
from aionlab.testing.workbench import Workbench
from tests.engine.held import Hall, elapse, finish, interrupt
from tests.engine.programs import SECOND


@pytest.fixture
def bench(make_bench: Callable[..., Workbench]) -> Workbench:
    return make_bench(executor=Hall())


def one(bench: Workbench, **options: Any) -> Hall:
    """A started workflow "w" that awaits one activity with these options; its executor."""

    @bench.activity
    @activity(name="act", **options)
    def act() -> str:
        raise AssertionError("the hall runs nothing")

    async def flow() -> str:
        try:
            return await act()
        except errors.ActivityTimeout as error:
            return f"{error.kind} on {error.attempt}, last {error.heartbeat_details}, {len(error.causes)} in all"
        except errors.ActivityError as error:
            return f"{error.cause} on {error.attempt}"

    bench.workflow(flow)
    bench.start("flow", id="w")
    assert isinstance(bench.executor, Hall)
    return bench.executor


def notes(bench: Workbench) -> dict[str, str]:
    """What is noted of heartbeats in the store."""
    inner: Any = getattr(bench.store, "inner", bench.store)
    return {key: text for key, text in inner._meta.items() if key.startswith("heartbeat:")}


def said(bench: Workbench, kind: type) -> list[Any]:
    return [recorded.event for recorded in bench.history("w") if isinstance(recorded.event, kind)]


def details(bench: Workbench, hall: Hall) -> list[Any]:
    """What each attempt was told of the one before."""
    return [None if attempt.details is None else bench.values.decode(attempt.details) for attempt in hall.attempts]


# --- details reach the next attempt ------------------------------------------------------------------------------------


def test_the_last_details_reach_the_next_attempt_after_a_failure(bench: Workbench) -> None:
    hall = one(bench, retry=Retry(3, initial="1s"))
    for k in range(5):
        hall.beat(bench, hall.attempts[0], {"k": k})
    finish(bench, hall.attempts[0], error=ValueError("no"))
    elapse(bench, SECOND)
    finish(bench, hall.attempts[1], error=ValueError("said nothing, so what is known stays known"))
    elapse(bench, 2 * SECOND)
    assert details(bench, hall) == [None, {"k": 4}, {"k": 4}]
    assert [failed.details for failed in said(bench, e.ActivityFailed)] == ['{"k":4}', None]
    finish(bench, hall.attempts[2], "fine")
    assert bench.result("w") == "fine" and notes(bench) == {}


def test_e06_given_a_crash_after_heartbeat_details_when_retried_then_the_last_details_are_available(bench: Workbench) -> None:
    hall = one(bench, heartbeat="5s")
    hall.beat(bench, hall.attempts[0], "a third")
    bench.host.pump()
    assert notes(bench) == {"heartbeat:1:0": '"a third"'}
    bench.crash()
    assert hall.names == [(1, 0, 1), (1, 0, 2)] and details(bench, hall) == [None, "a third"]
    bench.crash()
    assert details(bench, hall)[-1] == "a third", "it says nothing yet, and is lost as well"
    hall.beat(bench, hall.attempts[-1], "two thirds")
    bench.host.pump()
    bench.crash()
    assert details(bench, hall)[-1] == "two thirds"
    finish(bench, hall.attempts[-1], "fine")
    assert bench.result("w") == "fine" and notes(bench) == {}


def test_details_survive_a_crash_between_attempts(bench: Workbench) -> None:
    hall = one(bench, retry=2)
    hall.beat(bench, hall.attempts[0], 7)
    finish(bench, hall.attempts[0], error=ValueError("no"))
    bench.crash()
    elapse(bench, SECOND)
    assert details(bench, hall) == [None, 7]


def test_details_of_an_attempt_that_took_too_long(bench: Workbench) -> None:
    hall = one(bench, heartbeat="5s", retry=2)
    hall.beat(bench, hall.attempts[0])
    hall.beat(bench, hall.attempts[0], 1)
    elapse(bench, 5 * SECOND)
    elapse(bench, SECOND)
    assert details(bench, hall) == [None, 1]
    hall.beat(bench, hall.attempts[1], 2)
    elapse(bench, 5 * SECOND)
    assert bench.result("w") == "heartbeat on 2, last 2, 2 in all"
    assert [(event.kind, event.attempt, event.details) for event in said(bench, e.ActivityTimedOut)] == [("heartbeat", 1, "1"), ("heartbeat", 2, "2")]
    before = bench.history("w")
    bench.crash()
    assert bench.history("w") == before


def test_details_of_an_interrupted_attempt(bench: Workbench) -> None:
    hall = one(bench)
    hall.beat(bench, hall.attempts[0], "half")
    interrupt(bench, hall.attempts[0])
    bench.crash()
    assert details(bench, hall) == [None, "half"]


# --- what is noted, and what it costs ----------------------------------------------------------------------------------


def test_a_thousand_heartbeats_cost_a_few_commits(bench: Workbench) -> None:
    hall = one(bench, heartbeat="5s")
    commits, events = bench.engine.commits, bench.engine.events
    for k in range(1000):
        hall.beat(bench, hall.attempts[0], k)
        elapse(bench, SECOND // 1000)
    assert bench.engine.commits - commits <= 5 and bench.engine.events == events
    assert int(notes(bench)["heartbeat:1:0"]) >= 700, "at most a quarter of a second old"
    elapse(bench, SECOND // 2)
    assert notes(bench) == {"heartbeat:1:0": "999"}, "the newest is noted though nothing follows it"


def test_the_engine_wakes_up_for_a_note_that_waits(bench: Workbench) -> None:
    hall = one(bench)
    hall.beat(bench, hall.attempts[0], 1)
    bench.host.pump()
    assert bench.engine.wait_seconds() is None
    hall.beat(bench, hall.attempts[0], 2)
    bench.host.pump()
    assert bench.engine.heartbeats.due() == bench.clock.now() + SECOND // 4
    bench.clock._now += SECOND // 4
    assert bench.engine.wait_seconds() == 0.0


def test_a_note_rides_with_whatever_is_written(bench: Workbench) -> None:
    hall = one(bench)
    hall.beat(bench, hall.attempts[0], 1)
    bench.host.pump()
    hall.beat(bench, hall.attempts[0], 2)
    bench.host.pump()
    assert notes(bench) == {"heartbeat:1:0": "1"}
    bench.start("quick", id="another")
    assert notes(bench) == {"heartbeat:1:0": "2"}


def test_closing_the_engine_notes_what_is_not_noted_yet(bench: Workbench) -> None:
    hall = one(bench)
    hall.beat(bench, hall.attempts[0], 1)
    bench.host.pump()
    hall.beat(bench, hall.attempts[0], 2)
    bench.host.close()
    bench.open()
    assert details(bench, hall) == [None, 2]


@pytest.mark.parametrize("how", ["completed", "failed", "cancelled", "terminated"])
def test_nothing_is_left_noted_of_an_attempt_that_has_ended(bench: Workbench, how: str) -> None:
    hall = one(bench)
    hall.beat(bench, hall.attempts[0], 1)
    bench.host.pump()
    assert notes(bench)
    if how == "completed":
        finish(bench, hall.attempts[0], "fine")
    elif how == "failed":
        finish(bench, hall.attempts[0], error=ValueError("no"))
    else:
        bench.call({"cancelled": "cancel", "terminated": "terminate"}[how], "w")
        bench.host.pump()
    assert bench.status("w").closed and notes(bench) == {}
    hall.beat(bench, hall.attempts[0], 2)
    bench.host.pump()
    assert notes(bench) == {}, "late heartbeats are dropped"


# --- the heartbeat timeout ---------------------------------------------------------------------------------------------


def test_e05_an_attempt_that_is_silent_for_too_long_has_timed_out(bench: Workbench) -> None:
    hall = one(bench, heartbeat="5s")
    hall.beat(bench, hall.attempts[0])
    for _ in range(10):
        elapse(bench, 4 * SECOND)
        hall.beat(bench, hall.attempts[0])
    assert bench.outcome("w") is None
    elapse(bench, 5 * SECOND - 1)
    assert bench.outcome("w") is None
    elapse(bench, 1)
    assert bench.result("w") == "heartbeat on 1, last None, 1 in all" and hall.cancelled == [(1, 0)]
    finish(bench, hall.attempts[0], "late")
    assert bench.result("w") == "heartbeat on 1, last None, 1 in all"


def test_limits_count_from_when_the_code_begins(bench: Workbench) -> None:
    hall = one(bench, heartbeat="5s", start_to_close="8s")
    elapse(bench, 100 * SECOND)
    assert bench.outcome("w") is None, "it still waits in the executor"
    hall.beat(bench, hall.attempts[0])
    elapse(bench, 4 * SECOND)
    hall.beat(bench, hall.attempts[0])
    elapse(bench, 4 * SECOND - 1)
    assert bench.outcome("w") is None
    elapse(bench, 1)
    assert bench.result("w") == "start_to_close on 1, last None, 1 in all"


def test_an_attempt_that_never_begins_is_left_to_the_limit_of_all_of_them(bench: Workbench) -> None:
    one(bench, heartbeat="5s", start_to_close="8s", schedule_to_close="1h")
    for _ in range(59):
        elapse(bench, 60 * SECOND)
    assert bench.outcome("w") is None
    elapse(bench, 60 * SECOND)
    assert bench.result("w") == "schedule_to_close on 1, last None, 1 in all"


# --- schedule_to_close -------------------------------------------------------------------------------------------------


def test_all_attempts_together_have_one_limit(bench: Workbench) -> None:
    hall = one(bench, retry=Retry(initial="1s", backoff=1.0), schedule_to_close="10s")
    for attempt in range(4):
        elapse(bench, SECOND)
        finish(bench, hall.attempts[attempt], error=ValueError(f"no {attempt + 1}"))
        elapse(bench, SECOND)
    assert hall.names == [(1, 0, n) for n in range(1, 6)]
    assert [attempt.deadline for attempt in hall.attempts] == [bench.history("w")[0].at + 10 * SECOND] * 5
    elapse(bench, 2 * SECOND)
    assert bench.result("w") == "schedule_to_close on 5, last None, 5 in all" and hall.cancelled == [(1, 0)]


def test_no_attempt_is_waited_for_that_would_come_too_late(bench: Workbench) -> None:
    hall = one(bench, retry=Retry(initial="10s"), schedule_to_close="10s")
    finish(bench, hall.attempts[0], error=ValueError("no"))
    assert bench.result("w") == "no on 1" and bench.engine.timers.next_due() is None


def test_the_limit_of_all_attempts_holds_over_a_crash_and_while_paused(bench: Workbench) -> None:
    hall = one(bench, retry=Retry(initial="4s"), schedule_to_close="10s")
    finish(bench, hall.attempts[0], error=ValueError("no"))
    elapse(bench, 3 * SECOND)
    bench.crash()
    bench.call("pause", "w")
    elapse(bench, 7 * SECOND)
    assert said(bench, e.ActivityTimedOut) == [e.ActivityTimedOut(0, "schedule_to_close", 1, earlier=said(bench, e.ActivityTimedOut)[0].earlier)]
    assert bench.status("w") is Status.PAUSED
    bench.call("resume", "w")
    assert bench.result("w") == "schedule_to_close on 1, last None, 2 in all"


def test_an_activity_of_which_no_attempt_began(bench: Workbench) -> None:
    bench.call("register_queue", "narrow", 1, None, SECOND, True)
    hall = one(bench, queue="narrow", schedule_to_close="10s")
    bench.start("flow", id="second")
    elapse(bench, 10 * SECOND)
    assert hall.names == [(1, 0, 1)]
    assert bench.result("second") == "schedule_to_close on 0, last None, 1 in all"


# --- from inside -------------------------------------------------------------------------------------------------------


def test_what_an_attempt_may_know_of_itself(make_bench: Callable[..., Workbench]) -> None:
    bench = make_bench()
    seen: list[Any] = []

    @bench.activity
    @activity(retry=Retry(2, initial="3s"), start_to_close="1m", heartbeat="5s", schedule_to_close="1h", priority=4)
    def curious(n: int) -> str:
        info = activity.info()
        seen.append(info)
        activity.heartbeat([n, info.attempt])
        if info.attempt == 1:
            raise ValueError("once more")
        return info.idempotency_token

    async def flow() -> list[str]:
        return [await curious(1), await curious(2)]

    bench.workflow(flow)
    bench.call("set_auto", True)
    bench.start("flow", id="w")
    bench.host.pump()
    first, second, third, _ = seen
    assert bench.result("w") == [first.idempotency_token, third.idempotency_token] and first.idempotency_token != third.idempotency_token
    assert first.idempotency_token == second.idempotency_token
    assert (first.workflow_id, first.run_id, first.activity_id, first.activity_type, first.attempt) == ("w", "run-0001", 0, "curious", 1)
    assert (second.attempt, second.heartbeat_details, first.heartbeat_details, third.heartbeat_details) == (2, [1, 1], None, None)
    assert (first.queue, first.priority, first.is_cancelled, first.heartbeat_timeout.total_seconds()) == ("default", 4, False, 5.0)
    assert (second.started_at - first.scheduled_at).total_seconds() == 3 and second.scheduled_at == first.scheduled_at == first.started_at
    assert (second.deadline - second.started_at).total_seconds() == 60
    assert repr(second) == "<attempt 2 of curious#0 in w>"


def test_details_that_cannot_be_recorded_are_refused_at_the_call(make_bench: Callable[..., Workbench]) -> None:
    bench = make_bench()

    @bench.activity
    @activity
    def careless() -> str:
        with pytest.raises(errors.InvalidPayload, match="^heartbeat of careless.lock: object"):
            activity.heartbeat({"lock": object()})
        activity.heartbeat()
        return "refused"

    async def flow() -> str:
        return await careless()

    bench.workflow(flow)
    assert bench.result(bench.start("flow")) == "refused"


def test_e13_outside_of_any_workflow_a_heartbeat_is_nothing_and_there_is_no_info() -> None:
    @activity(heartbeat="5s")
    def plain(n: int) -> int:
        activity.heartbeat(n)
        return -1 if activity.is_cancelled() else n

    assert plain(3) == 3
    with pytest.raises(errors.NotInActivity, match=r"activity.info\(\) works in the code of a running activity only"):
        activity.info()
    with pytest.raises(errors.NotInActivity):
        activity.wait_cancelled("1s")


def test_workflow_code_has_no_heart(make_bench: Callable[..., Workbench]) -> None:
    bench = make_bench()

    async def flow() -> None:
        activity.heartbeat()

    bench.workflow(flow)
    with pytest.raises(errors.NotInActivity):
        bench.result(bench.start("flow"))
