"""Retries: what is tried again, when, and what is known of it afterwards."""
from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from aionlab import ApplicationError, Retry, activity
from aionlab.core import errors
from aionlab.core import events as e
from aionlab.core.retry import RetryPolicy
from aionlab.core.status import Status
from aionlab.testing.workbench import Workbench
from tests.engine.held import Hall, elapse, finish, interrupt
from tests.engine.programs import SECOND


class Transient(Exception):
    def __init__(self, text: str, code: int) -> None:
        super().__init__(text, code)
        self.code = code


class Worse(Transient):
    pass


tried: list[int] = []


def trying(bench: Workbench, make: Callable[[int], BaseException], until: int = 10**9, **options: Any) -> str:
    """Run a workflow of one activity that raises `make(n)` at its n-th call, before the call `until`; its id."""
    tried.clear()

    @bench.activity
    @activity(name="act", **options)
    def act() -> str:
        tried.append(activity.info().attempt)
        if len(tried) < until:
            raise make(len(tried))
        return "at last"

    async def flow() -> str:
        return await act()

    bench.workflow(flow)
    bench.call("set_auto", True)
    workflow_id = bench.start("flow")
    bench.host.pump()
    return workflow_id


def raised(bench: Workbench, workflow_id: str) -> errors.ActivityError:
    with pytest.raises(errors.ActivityError) as caught:
        bench.result(workflow_id)
    return caught.value


def delays(bench: Workbench, workflow_id: str) -> list[float]:
    """Seconds between the end of each attempt and the next."""
    return [(entry.event.next_attempt_at - entry.at) / SECOND for entry in bench.history(workflow_id) if getattr(entry.event, "next_attempt_at", None) is not None]


# --- the errors of every attempt ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_e01_given_max_attempts_n_and_always_failing_then_exactly_n_calls_and_an_error_holding_n_causes(bench: Workbench, attempts: int) -> None:
    workflow_id = trying(bench, lambda n: Transient(f"no {n}", n), retry=attempts)
    error = raised(bench, workflow_id)
    assert tried == list(range(1, attempts + 1)) and error.attempt == attempts
    assert [str(cause) for cause in error.causes] == [str(Transient(f"no {n}", n)) for n in range(1, attempts + 1)]
    assert error.__cause__ is error.cause is error.causes[-1]
    bench.crash()
    assert [str(cause) for cause in raised(bench, workflow_id).causes] == [str(cause) for cause in error.causes]


def test_workflow_code_sees_the_same_causes_live_and_on_replay(bench: Workbench) -> None:
    seen: list[list[str]] = []

    @bench.activity
    @activity(name="act", retry=3)
    def act() -> None:
        raise KeyError(activity.info().attempt)

    async def flow() -> None:
        try:
            await act()
        except errors.ActivityError as error:
            seen.append([f"{type(cause).__name__}: {cause}" for cause in error.causes])

    bench.workflow(flow)
    bench.call("set_auto", True)
    bench.start("flow", id="w")
    bench.host.pump()
    with pytest.raises(errors.QueryFailed):
        bench.call("query", "w", "nothing", bench.values.encode_args((), {}))
    assert seen == [["KeyError: 1", "KeyError: 2", "KeyError: 3"]] * 2


def test_causes_of_failures_and_of_attempts_that_took_too_long_are_told_together(make_bench: Callable[..., Workbench]) -> None:
    bench = make_bench(executor=Hall())

    @bench.activity
    @activity(name="act", retry=Retry(3, initial="1s"), start_to_close="5s")
    def act() -> None: ...

    async def flow() -> list[str]:
        try:
            await act()
        except errors.ActivityTimeout as error:
            return [f"{type(cause).__name__}: {cause}" for cause in error.causes]
        return []

    bench.workflow(flow)
    bench.start("flow", id="w")
    hall: Any = bench.executor
    finish(bench, hall.attempts[0], error=ValueError("no"))
    elapse(bench, SECOND)
    hall.beat(bench, hall.attempts[1])
    elapse(bench, 5 * SECOND)
    bench.crash()
    elapse(bench, 2 * SECOND)
    hall.beat(bench, hall.attempts[2])
    elapse(bench, 5 * SECOND)
    assert bench.result("w") == ["ValueError: no", "TimeoutError: start_to_close", "TimeoutError: start_to_close"]


def test_of_very_many_attempts_the_last_are_kept(bench: Workbench) -> None:
    workflow_id = trying(bench, lambda n: ValueError("x" * 10_000 + str(n)), retry=Retry(200, initial="0s"))
    error = raised(bench, workflow_id)
    assert len(tried) == 200 and error.attempt == 200 and len(error.causes) == 51
    final = bench.history(workflow_id)[-2].event
    assert isinstance(final, e.ActivityFailed) and final.earlier is not None and len(final.earlier) < 60_000


# --- what is retried ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_attempts", [1, 5])
def test_e03_given_a_retry_predicate_returning_false_then_the_original_exception_surfaces_after_one_call(bench: Workbench, max_attempts: int) -> None:
    workflow_id = trying(bench, lambda n: Transient("stop", 503), retry=max_attempts, retry_if=lambda error: error.code != 503)
    error = raised(bench, workflow_id)
    assert tried == [1] and type(error.cause).__name__ == "Transient" and error.cause.code == 503  # type: ignore[union-attr]


def test_a_retry_predicate_sees_each_error_itself(bench: Workbench) -> None:
    asked: list[BaseException] = []

    def again(error: BaseException) -> bool:
        asked.append(error)
        return isinstance(error, Transient) and error.code < 3

    workflow_id = trying(bench, lambda n: Transient("no", n), retry=10, retry_if=again)
    assert [getattr(error, "code", None) for error in asked] == [1, 2, 3] and type(asked[0]) is Transient
    assert raised(bench, workflow_id).attempt == 3


def test_a_retry_predicate_that_raises_stops_the_retries(bench: Workbench, caplog: pytest.LogCaptureFixture) -> None:
    workflow_id = trying(bench, lambda n: ValueError("no"), retry=5, retry_if=lambda error: error.code)  # type: ignore[attr-defined]
    assert raised(bench, workflow_id).attempt == 1 and "retry_if of act raised" in caplog.text


@pytest.mark.parametrize(
    ("named", "error", "again"),
    [
        ((ValueError,), ValueError("no"), False),
        (("ValueError",), UnicodeError("inherits"), False),
        ((Transient,), Worse("inherits", 1), False),
        ((Worse,), Transient("is the base", 1), True),
        (("Money",), ApplicationError("typed", type="Money"), False),
        (("Money",), ApplicationError("typed", type="Goods"), True),
        ((OSError,), TimeoutError("its own"), False),
    ],
    ids=str,
)
def test_non_retryable_types_by_class_name_and_base(bench: Workbench, named: Any, error: BaseException, again: bool) -> None:
    trying(bench, lambda n: error, retry=Retry(2, non_retryable=named))
    assert len(tried) == 1 + again


def test_a_timeout_is_retried_unless_it_is_named(make_bench: Callable[..., Workbench]) -> None:
    for named, attempts in (((), 2), (("TimeoutError",), 1), ((errors.ActivityTimeout,), 1)):
        bench = make_bench(executor=Hall())
        act = bench.activity(activity(name="act", retry=Retry(2, initial="0s", non_retryable=named), start_to_close="1s")(lambda: None))

        async def flow() -> None:
            await act()

        bench.workflow(flow)
        bench.start("flow", id="w")
        hall: Any = bench.executor
        for _ in range(attempts):
            hall.beat(bench, hall.attempts[-1])
            elapse(bench, SECOND)
        assert bench.status("w") is Status.FAILED and len(hall.attempts) == attempts


def test_e04_given_an_error_with_next_retry_delay_then_that_delay_is_used_and_visible_on_the_error(bench: Workbench) -> None:
    workflow_id = trying(bench, lambda n: ApplicationError("later", next_retry_delay=timedelta(seconds=n * 7)), retry=Retry(3, initial="1s"))
    assert delays(bench, workflow_id) == [7, 14]
    cause: Any = raised(bench, workflow_id).cause
    assert cause.next_retry_delay == timedelta(seconds=21)


def test_an_error_may_say_itself_that_it_is_final(bench: Workbench) -> None:
    workflow_id = trying(bench, lambda n: ApplicationError("final", 1, 2, non_retryable=True), retry=5)
    cause: Any = raised(bench, workflow_id).cause
    assert tried == [1] and cause.non_retryable and cause.details == (1, 2)


def test_no_wait_follows_the_last_attempt(bench: Workbench) -> None:
    begun = bench.clock.now()
    workflow_id = trying(bench, lambda n: ValueError("no"), retry=Retry(2, initial="1h", backoff=24))
    assert raised(bench, workflow_id).attempt == 2 and bench.clock.now() == begun + 3600 * SECOND


# --- when --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "waits"),
    [
        (Retry(5, initial="2s", backoff="linear"), [2, 4, 6, 8]),
        (Retry(5, initial="2s", backoff="linear", max_interval="5s"), [2, 4, 5, 5]),
        (Retry(4, initial="3s", backoff="fixed"), [3, 3, 3]),
        (Retry(5, initial="1s", backoff=3), [1, 3, 9, 27]),
        (Retry(4, initial="30s", max_interval="10s"), [10, 10, 10]),
    ],
    ids=str,
)
def test_delays_exponential_linear_and_fixed(bench: Workbench, policy: RetryPolicy, waits: list[float]) -> None:
    assert delays(bench, trying(bench, lambda n: ValueError("no"), retry=policy)) == waits


def test_jitter_is_bounded_differs_between_activities_and_is_the_same_each_time(make_bench: Callable[..., Workbench]) -> None:
    policy = Retry(20, initial="10s", backoff="fixed", jitter=0.3)
    found = [delays(bench, trying(bench, lambda n: ValueError("no"), retry=policy)) for bench in (make_bench(), make_bench())]
    assert found[0] == found[1] and len(set(found[0])) > 10 and all(7 <= delay <= 10 for delay in found[0])
    bench = make_bench()
    bench.start("quick")
    assert delays(bench, trying(bench, lambda n: ValueError("no"), retry=policy)) != found[0], "another run draws otherwise"


def test_a_recorded_delay_stands_whatever_the_policy_says_now(bench: Workbench) -> None:
    workflow_id = trying(bench, lambda n: ValueError("no"), until=2, retry=Retry(3, initial="1h"))
    bench.call("set_auto", False)
    assert bench.result(workflow_id) == "at last"
    before = bench.history(workflow_id)
    bench.crash()
    assert bench.history(workflow_id) == before and tried == [1, 2]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"backoff": "cubic"}, 'backoff is \'cubic\'; it multiplies the delay and must be a number of at least 1, "linear" or "fixed"'),
        ({"backoff": 0.5}, "backoff is 0.5"),
        ({"jitter": 1.5}, "jitter is 1.5; it is a share of the delay, from 0 to 1"),
        ({"jitter": -0.1}, "jitter is -0.1"),
        ({"max_attempts": -1}, "max_attempts is -1"),
        ({"max_attempts": True}, "max_attempts is True"),
        ({"initial": "-1s"}, "-1s"),
    ],
)
def test_policies_that_make_no_sense(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError) as refused:
        Retry(**options)
    assert words in str(refused.value)


# --- interrupts --------------------------------------------------------------------------------------------------------


def test_e11_given_keyboard_interrupt_in_a_retry_loop_then_the_run_stays_pending_and_recovery_completes_it(bench: Workbench) -> None:
    """Inline, the interrupt is also the caller's, in whose call the attempt was made."""
    tried.clear()

    @bench.activity
    @activity(name="act", retry=5)
    def act() -> str:
        tried.append(activity.info().attempt)
        if len(tried) == 1:
            raise ValueError("once")
        if len(tried) == 2:
            raise KeyboardInterrupt
        return "at last"

    async def flow() -> str:
        return await act()

    bench.workflow(flow)
    bench.start("flow", id="w")
    with pytest.raises(KeyboardInterrupt):
        bench.skip(SECOND)
    bench.host.pump()
    assert bench.status("w") is Status.RUNNING and tried == [1, 2] and bench.engine.idle
    bench.start("quick", id="another")
    assert bench.result("another") == 2 and bench.status("w") is Status.RUNNING
    assert bench.call("entry", "w").waiting_for.startswith("act#0: interrupted; pause and resume the run, or open the lab again")
    bench.crash()
    assert bench.result("w") == "at last" and tried == [1, 2, 3]


def test_an_interrupted_attempt_comes_back_when_its_run_does(make_bench: Callable[..., Workbench]) -> None:
    bench = make_bench(executor=Hall())
    bench.start("quick")
    bench.start("order", id="w")
    hall: Any = bench.executor
    interrupt(bench, hall.attempts[0])
    bench.call("pause", "w")
    bench.call("resume", "w")
    assert [attempt.attempt for attempt in hall.attempts] == [1, 2]
    finish(bench, hall.attempts[0], 7)
    assert bench.kinds("w").count("ActivityCompleted") == 0, "what the lost one may still say is dropped"
