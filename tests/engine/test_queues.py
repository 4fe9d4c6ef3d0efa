"""Queues: slots, rates, priorities and dedup ids, exact on the virtual clock, over crashes and failed commits."""
from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from aionlab import Retry, activity
from aionlab.core import errors
from aionlab.core import events as e
from aionlab.core.snapshots import QueueState
from aionlab.testing.workbench import Workbench
from tests.engine.held import Hall, elapse, finish, interrupt
from tests.engine.programs import SECOND


@pytest.fixture
def bench(make_bench: Callable[..., Workbench]) -> Workbench:
    bench = make_bench(executor=Hall())
    define(bench)
    return bench


def hall(bench: Workbench) -> Hall:
    assert isinstance(bench.executor, Hall)
    return bench.executor


def define(bench: Workbench) -> None:
    """Workflows "single" (one activity of queue "q", with what it is given) and "many" (several at once, by priority)."""

    @bench.activity
    @activity(name="work", queue="q")
    def work(n: Any = 0) -> Any:
        order.append(n)
        return n

    async def single(options: dict[str, Any] | None = None) -> Any:
        try:
            return await work.with_options(**(options or {}))("single")
        except errors.ActivityError as error:
            return f"{type(error.cause).__name__}: {error.cause}"

    async def many(priorities: list[int]) -> list[int]:
        return list(await asyncio.gather(*(work.with_options(priority=p)([p, n]) for n, p in enumerate(priorities))))

    order.clear()
    bench.workflow(single)
    bench.workflow(many)


order: list[Any] = []


def limit(bench: Workbench, concurrency: int | None = None, rate: int | None = None, period: int = SECOND, priority: bool = True, name: str = "q") -> None:
    bench.call("register_queue", name, concurrency, rate, period, priority)


def state(bench: Workbench, name: str = "q") -> QueueState:
    found: QueueState = {one.name: one for one in bench.call("queues")}[name]
    return found


def begun(bench: Workbench) -> list[int]:
    """Run keys of the attempts handed over, in order."""
    return [attempt.run_key for attempt in hall(bench).attempts]


def starts(bench: Workbench, workflow_id: str) -> list[float]:
    """Seconds, from the first event of the id, at which attempts are recorded as begun."""
    history = bench.history(workflow_id)
    return [(entry.at - history[0].at) / SECOND for entry in history if isinstance(entry.event, e.ActivityStarted)]


# --- slots -------------------------------------------------------------------------------------------------------------


def test_j05_given_concurrency_1_and_two_tasks_the_second_begins_only_after_the_first_ends(bench: Workbench) -> None:
    limit(bench, concurrency=1)
    for number in (1, 2, 3):
        bench.start("single", id=f"w{number}")
    assert begun(bench) == [1] and state(bench)[:3] == ("q", 2, 1)
    assert bench.kinds("w2") == ["WorkflowStarted", "ActivityScheduled"], "what waits for a slot has not begun"
    finish(bench, hall(bench).attempts[0], 1)
    assert begun(bench) == [1, 2] and bench.result("w1") == 1 and state(bench)[:3] == ("q", 1, 1)
    bench.call("cancel", "w2")
    bench.host.pump()
    assert begun(bench) == [1, 2, 3], "cancelling the holder frees its slot"
    finish(bench, hall(bench).attempts[2], 3)
    assert state(bench)[:3] == ("q", 0, 0)


@pytest.mark.parametrize("how", ["fails", "fails and is retried", "times out", "its run is terminated", "is interrupted", "is killed"])
def test_every_way_to_end_frees_the_slot(bench: Workbench, how: str) -> None:
    limit(bench, concurrency=1)
    bench.start("single", {"start_to_close": 5, "retry": 1 if how != "fails and is retried" else 2}, id="first")
    bench.start("single", id="second")
    first = hall(bench).attempts[0]
    hall(bench).beat(bench, first)
    match how:
        case "fails" | "fails and is retried":
            finish(bench, first, error=ValueError("no"))
        case "times out":
            elapse(bench, 5 * SECOND)
        case "its run is terminated":
            bench.call("terminate", "first")
        case "is interrupted":
            interrupt(bench, first)
            bench.start("quick")
        case _:
            bench.call("kill", bench.engine.find("first").activities[0].pid)  # type: ignore[union-attr,index]
    bench.host.pump()
    assert begun(bench) == [1, 2]


def test_a_retry_waits_for_its_turn_like_everyone(bench: Workbench) -> None:
    limit(bench, concurrency=1)
    bench.start("single", {"retry": 3}, id="w1")
    bench.start("single", id="w2")
    bench.start("single", id="w3")
    finish(bench, hall(bench).attempts[0], error=ValueError("no"))
    elapse(bench, SECOND)
    assert begun(bench) == [1, 2]
    finish(bench, hall(bench).attempts[1], 2)
    assert begun(bench) == [1, 2, 3], "it has waited since before the retry was due"
    finish(bench, hall(bench).attempts[2], 3)
    assert begun(bench) == [1, 2, 3, 1] and hall(bench).attempts[3].attempt == 2


def test_who_no_longer_wants_never_begins(bench: Workbench) -> None:
    limit(bench, concurrency=1)
    for number in (1, 2, 3, 4, 5):
        bench.start("single", id=f"w{number}")
    bench.call("cancel", "w2")
    bench.call("terminate", "w3")
    bench.call("pause", "w4")
    bench.host.pump()
    assert state(bench)[:3] == ("q", 1, 1)
    finish(bench, hall(bench).attempts[0], 1)
    assert begun(bench) == [1, 5]
    finish(bench, hall(bench).attempts[1], 5)
    assert begun(bench) == [1, 5]
    bench.call("resume", "w4")
    bench.host.pump()
    assert begun(bench) == [1, 5, 4]


def test_a_run_that_pauses_and_resumes_keeps_one_place(bench: Workbench) -> None:
    limit(bench, concurrency=1)
    for number in (1, 2, 3):
        bench.start("single", id=f"w{number}")
    for _ in range(3):
        bench.call("pause", "w2")
        bench.call("resume", "w2")
    bench.host.pump()
    assert state(bench)[:3] == ("q", 2, 1)
    finish(bench, hall(bench).attempts[0], 1)
    assert begun(bench) == [1, 2]
    finish(bench, hall(bench).attempts[1], 2)
    assert begun(bench) == [1, 2, 3]


def test_queues_do_not_know_each_other(bench: Workbench) -> None:
    limit(bench, concurrency=1)
    limit(bench, concurrency=1, name="other")
    for queue in ("q", "q", "other", "other", "free", "free"):
        bench.start("single", {"queue": queue})
    assert begun(bench) == [1, 3, 5, 6]
    assert [(found.name, found.waiting, found.running) for found in bench.call("queues")] == [("default", 0, 0), ("free", 0, 2), ("other", 1, 1), ("q", 1, 1)]


def test_the_default_queue_may_be_limited_too(bench: Workbench) -> None:
    limit(bench, concurrency=2, name="default")
    bench.start("many", [0])
    for _ in range(4):
        bench.start("single", {"queue": "default"})
    assert begun(bench) == [1, 2, 3] and state(bench, "default")[:3] == ("default", 2, 2)


# --- order -------------------------------------------------------------------------------------------------------------


def test_j08_given_priorities_then_none_first_then_ascending_fifo_within_equal(make_bench: Callable[..., Workbench]) -> None:
    bench = make_bench()
    define(bench)
    limit(bench, concurrency=1)
    bench.start("many", [5, 3, 0, 1, 3, 0, 2, 4, 5, 1, 0], id="w")
    expected = [[0, 2], [0, 5], [0, 10], [1, 3], [1, 9], [2, 6], [3, 1], [3, 4], [4, 7], [5, 0], [5, 8]]
    assert order == expected and bench.outcome("w") is not None


def test_priorities_can_be_left_out(make_bench: Callable[..., Workbench]) -> None:
    bench = make_bench()
    define(bench)
    limit(bench, concurrency=1, priority=False)
    bench.start("many", [5, 3, 0], id="w")
    assert order == [[5, 0], [3, 1], [0, 2]]


def test_a_newcomer_of_a_better_priority_goes_first(bench: Workbench) -> None:
    limit(bench, concurrency=1)
    for priority in (1, 7, 7, 2):
        bench.start("single", {"priority": priority})
    for _ in range(3):
        finish(bench, hall(bench).attempts[-1], 0)
    assert begun(bench) == [1, 4, 2, 3]


# --- rates -------------------------------------------------------------------------------------------------------------


def test_no_stretch_of_a_period_sees_more_starts_than_the_rate(make_bench: Callable[..., Workbench]) -> None:
    bench = make_bench()
    define(bench)
    bench.call("set_auto", True)
    limit(bench, rate=3, period=10 * SECOND)
    bench.start("many", [0] * 8, id="w")
    bench.host.pump()
    assert starts(bench, "w") == [0, 0, 0, 10, 10, 10, 20, 20]


def test_tokens_come_back_one_by_one(make_bench: Callable[..., Workbench]) -> None:
    bench = make_bench()
    define(bench)
    limit(bench, rate=2, period=10 * SECOND)
    for number in range(5):
        bench.start("single", id=f"w{number}")
        bench.skip(3 * SECOND)
    bench.skip(100 * SECOND)
    begin = bench.history("w0")[0].at
    found = [(entry.at - begin) // SECOND for n in range(5) for entry in bench.history(f"w{n}") if isinstance(entry.event, e.ActivityStarted)]
    assert found == [0, 3, 10, 13, 20], "each a period after it was taken, not all at once"


def test_slots_and_rate_together(bench: Workbench) -> None:
    limit(bench, concurrency=1, rate=2, period=10 * SECOND)
    for number in range(4):
        bench.start("single", id=f"w{number}")
    finish(bench, hall(bench).attempts[0], 0)
    finish(bench, hall(bench).attempts[1], 0)
    assert begun(bench) == [1, 2], "the slot is free and the tokens are out"
    elapse(bench, 10 * SECOND)
    assert begun(bench) == [1, 2, 3], "the tokens are back and there is one slot"
    assert state(bench)[:3] == ("q", 1, 1)


# --- over crashes and failed commits -------------------------------------------------------------------------------------


def test_limits_and_order_survive_a_crash(bench: Workbench) -> None:
    limit(bench, concurrency=1, rate=5, period=10 * SECOND)
    for number, priority in enumerate((0, 3, 0, 1)):
        bench.start("single", {"priority": priority}, id=f"w{number}")
        elapse(bench, SECOND)
    bench.crash()
    assert state(bench) == QueueState("q", 3, 1, 1, 5, 10 * SECOND, True)  # type: ignore[arg-type]
    assert hall(bench).names == [(1, 0, 1), (1, 0, 2)], "the attempt that was lost keeps its place"
    for _ in range(3):
        finish(bench, hall(bench).attempts[-1], 0)
    assert begun(bench) == [1, 1, 3, 4, 2]


def test_no_token_is_given_twice_over_a_crash(bench: Workbench) -> None:
    limit(bench, rate=2, period=10 * SECOND)
    for number in range(4):
        bench.start("single", id=f"w{number}")
    finish(bench, hall(bench).attempts[0], 0)
    finish(bench, hall(bench).attempts[1], 0)
    elapse(bench, 4 * SECOND)
    bench.crash()
    assert begun(bench) == [1, 2]
    elapse(bench, 6 * SECOND)
    assert begun(bench) == [1, 2, 3, 4]


def test_many_tokens_are_kept_to_a_hundredth_of_the_period(bench: Workbench) -> None:
    limit(bench, rate=400, period=100 * SECOND)
    for number in range(401):
        bench.start("single", id=f"w{number}")
        elapse(bench, 100_003)
    assert len(begun(bench)) == 400
    inner: Any = getattr(bench.store, "inner", bench.store)
    assert len(inner._meta["tokens:q"]) < 5000
    bench.crash()
    assert len(begun(bench)) == 400, "those that were lost need tokens anew"
    elapse(bench, 65 * SECOND)
    early = len(begun(bench)) - 400
    assert 40 <= early <= 51, "they come back as they were taken, at most a hundredth of the period late"
    elapse(bench, 36 * SECOND)
    assert len(begun(bench)) == 800


@pytest.mark.parametrize("point", ["commit", "committed"])
def test_a_failed_commit_loses_nobody_and_begins_nobody_twice(bench: Workbench, point: str) -> None:
    limit(bench, concurrency=1)
    for number in (1, 2, 3):
        bench.start("single", id=f"w{number}")
    bench.engine.faults.arm(point, lambda: errors.StoreUnavailable("the disk"))
    finish(bench, hall(bench).attempts[0], 1)
    bench.host.pump()
    assert bench.result("w1") == 1 and begun(bench) == [1, 2] and state(bench)[:3] == ("q", 1, 1)
    assert hall(bench).attempts[1].attempt == (1 if point == "commit" else 2), "whether it began is in the log"
    finish(bench, hall(bench).attempts[1], 2)
    finish(bench, hall(bench).attempts[2], 3)
    assert begun(bench) == [1, 2, 3] and state(bench)[:3] == ("q", 0, 0)


# --- registering -------------------------------------------------------------------------------------------------------


def test_limits_may_change_while_things_wait(bench: Workbench) -> None:
    limit(bench, concurrency=1)
    for number in range(6):
        bench.start("single", id=f"w{number}")
    limit(bench, concurrency=3)
    assert begun(bench) == [1, 2, 3]
    limit(bench, concurrency=2)
    assert begun(bench) == [1, 2, 3], "what runs is left alone"
    finish(bench, hall(bench).attempts[0], 0)
    assert begun(bench) == [1, 2, 3]
    limit(bench)
    assert begun(bench) == [1, 2, 3, 4, 5, 6] and state(bench) == QueueState("q", 0, 5, None, None, None, True)
    bench.crash()
    assert bench.engine.queues.limited == {}


def test_what_runs_when_a_queue_is_registered_holds_slots(bench: Workbench) -> None:
    for number in range(3):
        bench.start("single", id=f"w{number}")
    limit(bench, concurrency=3)
    bench.start("single", id="fourth")
    assert begun(bench) == [1, 2, 3] and state(bench)[:3] == ("q", 1, 3)
    finish(bench, hall(bench).attempts[1], 0)
    assert begun(bench) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("q", 0, None, SECOND, True), "concurrency=0; it counts attempts, so at least 1"),
        (("q", True, None, SECOND, True), "concurrency=True"),
        (("q", None, -1, SECOND, True), "rate=-1"),
        (("q", None, 1.5, SECOND, True), "rate=1.5"),
        (("q", None, 1, 0, True), "period must be longer than 0"),
        (("q", 1, None, SECOND, 3), "priority=3; True where priorities count"),
        (("", 1, None, SECOND, True), "queue name"),
    ],
)
def test_limits_that_make_no_sense(bench: Workbench, arguments: tuple[Any, ...], words: str) -> None:
    limit(bench, concurrency=4)
    with pytest.raises(errors.UsageError) as refused:
        bench.call("register_queue", *arguments)
    assert words in str(refused.value) and state(bench).concurrency == 4


# --- one at a time -----------------------------------------------------------------------------------------------------


def test_j07_given_a_dedup_id_in_use_then_reject(bench: Workbench) -> None:
    bench.start("single", {"dedup_id": "order-7"}, id="first")
    bench.start("single", {"dedup_id": "order-7"}, id="second")
    bench.start("single", {"dedup_id": "order-8"}, id="other")
    bench.start("single", {"dedup_id": "order-7", "queue": "elsewhere"}, id="elsewhere")
    bench.host.pump()
    assert begun(bench) == [1, 3, 4]
    assert bench.result("second") == "DuplicateActivity: 'order-7' is in use in queue 'q' by activity 0 of first"
    finish(bench, hall(bench).attempts[0], 1)
    bench.start("single", {"dedup_id": "order-7"}, id="third")
    assert begun(bench) == [1, 3, 4, 5], "after completion the id is free"
    before = bench.history("second")
    bench.crash()
    assert bench.history("second") == before


@pytest.mark.parametrize("end", ["completes", "fails", "times out"])
def test_j07_return_existing_gives_everyone_the_one_outcome(bench: Workbench, end: str) -> None:
    bench.start("single", {"dedup_id": "d", "start_to_close": 5}, id="first")
    for number in (2, 3):
        bench.start("single", {"dedup_id": "d", "on_duplicate": "return_existing"}, id=f"w{number}")
    bench.host.pump()
    hall(bench).beat(bench, hall(bench).attempts[0])
    commits = bench.engine.commits
    if end == "completes":
        finish(bench, hall(bench).attempts[0], "one result")
    elif end == "fails":
        finish(bench, hall(bench).attempts[0], error=ValueError("one error"))
    else:
        elapse(bench, 5 * SECOND)
    results = [bench.result(workflow_id) for workflow_id in ("first", "w2", "w3")]
    wanted = {"completes": "one result", "fails": "ValueError: one error", "times out": "TimeoutError: start_to_close"}[end]
    assert results == [wanted] * 3 and begun(bench) == [1] and bench.engine.commits == commits + 1, "in one commit, so that no crash comes between"
    before = [bench.history(workflow_id) for workflow_id in ("first", "w2", "w3")]
    bench.crash()
    assert [bench.history(workflow_id) for workflow_id in ("first", "w2", "w3")] == before


def test_j07_a_replayed_run_is_attached_again_and_keeps_its_outcome_though_the_id_is_free(bench: Workbench) -> None:
    bench.start("single", {"dedup_id": "d"}, id="first")
    bench.start("single", {"dedup_id": "d", "on_duplicate": "return_existing"}, id="second")
    bench.crash()
    assert hall(bench).names == [(1, 0, 1), (1, 0, 2)], "the one that had the id has it still"
    finish(bench, hall(bench).attempts[-1], "one result")
    assert bench.result("second") == "one result"
    bench.start("single", {"dedup_id": "d"}, id="third")
    bench.crash()
    assert bench.result("second") == "one result" and bench.result("first") == "one result"


def test_where_the_holder_goes_without_an_outcome_the_next_takes_its_place(bench: Workbench) -> None:
    limit(bench, concurrency=1)
    bench.start("single", {"dedup_id": "d"}, id="first")
    for number in (2, 3, 4):
        bench.start("single", {"dedup_id": "d", "on_duplicate": "return_existing"}, id=f"w{number}")
    bench.call("cancel", "w2")
    bench.call("terminate", "first")
    bench.host.pump()
    assert begun(bench) == [1, 3]
    finish(bench, hall(bench).attempts[-1], "anew")
    assert bench.result("w3") == bench.result("w4") == "anew"
    assert bench.engine.queues.holders == {} and bench.engine.queues.following == {}


def test_a_retry_keeps_its_id(bench: Workbench) -> None:
    bench.start("single", {"dedup_id": "d", "retry": 2}, id="first")
    finish(bench, hall(bench).attempts[0], error=ValueError("no"))
    bench.start("single", {"dedup_id": "d"}, id="second")
    bench.host.pump()
    assert bench.result("second").startswith("DuplicateActivity")
    elapse(bench, SECOND)
    finish(bench, hall(bench).attempts[1], "fine")
    assert bench.result("first") == "fine"


def test_recovery_knows_who_had_the_id_whatever_the_order_of_runs(make_bench: Callable[..., Workbench]) -> None:
    """The first run of the database asks last, and is recovered first."""
    bench = make_bench(executor=Hall())
    define(bench)

    @bench.activity
    @activity(name="work", queue="q")
    def work(n: Any = 0) -> Any: ...

    async def late() -> Any:
        await asyncio.sleep(5)
        return await work.with_options(dedup_id="d", on_duplicate="return_existing")("late")

    bench.workflow(late)
    bench.start("late", id="late")
    bench.start("single", {"dedup_id": "d"}, id="early")
    elapse(bench, 5 * SECOND)
    bench.crash()
    assert begun(bench) == [2, 2]
    finish(bench, hall(bench).attempts[-1], "shared")
    assert bench.result("late") == bench.result("early") == "shared"


def test_dedup_ids_that_are_gone_are_forgotten(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.engine.queues.sweep_at = 10
    monkeypatch.setattr("aionlab.engine.queues._SWEEP", 10)
    for number in range(30):
        bench.start("single", {"dedup_id": f"d{number}"}, id=f"w{number}")
        bench.call("terminate", f"w{number}")
    assert len(bench.engine.queues.holders) <= 11


# --- no limits, no cost ------------------------------------------------------------------------------------------------


def test_executors_are_handed_a_bounded_number_of_attempts(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aionlab.engine.activities.HAND_OVER", 3)
    bench.start("many", [0] * 10, id="w")
    assert len(hall(bench).attempts) == 3 and state(bench)[:3] == ("q", 7, 3)
    for handed in range(10):
        assert len(hall(bench).attempts) == min(10, handed + 3)
        finish(bench, hall(bench).attempts[handed], handed)
    assert bench.result("w") == list(range(10))


def test_without_limits_an_activity_and_its_first_attempt_are_recorded_at_once(bench: Workbench) -> None:
    bench.start("many", [1, 0], id="w")
    assert bench.kinds("w") == ["WorkflowStarted"] + ["ActivityScheduled", "ActivityStarted"] * 2
    assert not bench.engine.queues.busy


def test_the_retry_of_what_waits_is_not_made_early(bench: Workbench) -> None:
    """A queue with a free slot does not shorten a backoff."""
    limit(bench, concurrency=2)

    @bench.activity
    @activity(name="work", queue="q", retry=Retry(2, initial="10s"))
    def work(n: Any = 0) -> Any: ...

    async def patient() -> Any:
        return await work(1)

    bench.workflow(patient)
    bench.start("patient", id="w")
    finish(bench, hall(bench).attempts[0], error=ValueError("no"))
    elapse(bench, 10 * SECOND - 1)
    assert begun(bench) == [1]
    elapse(bench, 1)
    assert begun(bench) == [1, 1]
