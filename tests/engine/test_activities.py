"""Activities: recorded, retried as declared, timed out, cancelled, and never recomputed."""
from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from aionlab import ApplicationError, Retry, activity, workflow
from aionlab.core import errors
from aionlab.core import events as e
from aionlab.core.ports import Attempt, Finished, Missing
from aionlab.core.status import Status
from aionlab.testing.workbench import Workbench
from tests.engine import programs
from tests.engine.programs import SECOND, calls, failing, of


class Held:
    """An executor that runs nothing: the test reports for it."""

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []
        self.cancelled: list[tuple[int, int]] = []
        self.done: list[Callable[[Finished | Missing], None]] = []

    def submit(self, attempt: Attempt, done: Callable[[Finished | Missing], None]) -> None:
        self.attempts.append(attempt)
        self.done.append(done)

    def cancel(self, run_key: int, activity_id: int) -> None:
        self.cancelled.append((run_key, activity_id))

    def close(self) -> None:
        pass


def finish(bench: Workbench, attempt: Attempt, value: Any = None, error: BaseException | None = None) -> None:
    result = bench.values.encode(value) if error is None else None
    failure = None if error is None else bench.values.failure(error)
    bench.engine.submit(Finished(attempt.run_key, attempt.activity_id, attempt.attempt, result, failure))
    bench.host.pump()


def elapse(bench: Workbench, micros: int) -> None:
    """Time passes while attempts run. A virtual clock would wait for them; this one goes on as a real one does."""
    bench.clock._now += micros
    bench.clock.target = max(bench.clock.target, bench.clock._now)
    bench.host.pump()


@pytest.fixture
def held(make_bench: Callable[..., Workbench]) -> Workbench:
    return make_bench(executor=Held())


def with_activity(bench: Workbench, **options: Any) -> None:
    """A workflow "one" that calls one activity "act" with these options."""

    @activity(name="act", **options)
    def act(n: int = 0) -> str:
        calls.append("act")
        error = failing.pop(0) if failing else None
        if error is not None:
            raise error
        return "fine"

    async def one() -> str:
        try:
            return await act(1)
        except errors.ActivityError as error:
            return f"{type(error).__name__} on {error.attempt}: {error.cause}"

    bench.activity(act)
    bench.workflow(one)


def times(bench: Workbench, workflow_id: str = "w") -> list[float]:
    """Seconds between the failures of attempts and the next attempt, as recorded."""
    waits = []
    failed = 0
    for recorded in bench.history(workflow_id):
        if isinstance(recorded.event, e.ActivityFailed | e.ActivityTimedOut):
            failed = recorded.at
        elif isinstance(recorded.event, e.ActivityStarted) and recorded.event.attempt > 1:
            waits.append((recorded.at - failed) / SECOND)
    return waits


# --- retries -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "failures", "waits"),
    [
        (Retry(max_attempts=5, initial="1s", backoff=2.0), 4, [1, 2, 4, 8]),
        (Retry(max_attempts=6, initial="1s", backoff=3.0, max_interval="10s"), 5, [1, 3, 9, 10, 10]),
        (Retry(max_attempts=4, initial="250ms", backoff=1.0), 3, [0.25, 0.25, 0.25]),
        (Retry(max_attempts=3, initial="0s"), 2, [0, 0]),
        (Retry(), 7, [1, 2, 4, 8, 16, 32, 64]),
        (2, 1, [1]),
    ],
    ids=str,
)
def test_delays_are_those_of_the_policy(bench: Workbench, policy: Any, failures: int, waits: list[float]) -> None:
    with_activity(bench, retry=policy)
    bench.call("set_auto", True)
    failing.extend([ValueError("no")] * failures)
    bench.start("one", id="w")
    assert bench.result("w") == "fine" and times(bench) == waits
    assert [event.attempt for event in of(bench, "w", e.ActivityStarted)] == list(range(1, failures + 2))


def test_the_last_attempt_fails_at_once(bench: Workbench) -> None:
    with_activity(bench, retry=Retry(max_attempts=3, initial="10s"))
    failing.extend([ValueError("a"), ValueError("b"), ValueError("c")])
    begun = bench.clock.now()
    bench.start("one", id="w")
    bench.skip(30 * SECOND)
    assert bench.result("w") == "ActivityError on 3: c" and calls == ["act"] * 3
    last = of(bench, "w", e.ActivityFailed)[-1]
    assert (last.attempt, last.next_attempt_at, last.error.message) == (3, None, "c")
    assert bench.history("w")[-1].at == begun + 30 * SECOND


def test_without_a_policy_there_is_one_attempt(bench: Workbench) -> None:
    with_activity(bench)
    failing.append(ValueError("only"))
    bench.start("one", id="w")
    assert bench.result("w") == "ActivityError on 1: only" and calls == ["act"]


class Odd(ValueError):
    pass


@pytest.mark.parametrize(
    ("non_retryable", "error", "attempts"),
    [
        ((ValueError,), ValueError("x"), 1),
        ((ValueError,), Odd("x"), 1),
        (("Odd",), Odd("x"), 1),
        (("Odd",), ValueError("x"), 3),
        ((KeyError,), ValueError("x"), 3),
        ((), ApplicationError("x", non_retryable=True), 1),
        (("Declined",), ApplicationError("x", type="Declined"), 1),
        ((ApplicationError,), ApplicationError("x", type="Declined"), 1),
    ],
    ids=str,
)
def test_some_errors_are_not_tried_again(bench: Workbench, non_retryable: Any, error: Exception, attempts: int) -> None:
    with_activity(bench, retry=Retry(max_attempts=3, non_retryable=non_retryable))
    bench.call("set_auto", True)
    failing.extend([error] * 3)
    bench.start("one", id="w")
    assert bench.result("w") == f"ActivityError on {attempts}: x"


def test_an_error_may_name_its_own_delay(bench: Workbench) -> None:
    with_activity(bench, retry=Retry(max_attempts=4, initial="1s"))
    bench.call("set_auto", True)
    failing.extend([ApplicationError("x", next_retry_delay="7s"), ValueError("y"), ApplicationError("z", next_retry_delay=0)])
    bench.start("one", id="w")
    assert bench.result("w") == "fine" and times(bench) == [7, 2, 0]


def test_the_wait_survives_a_crash_and_is_not_begun_anew(bench: Workbench) -> None:
    failing.extend([ValueError("1"), ValueError("2")])
    bench.start("retrying", id="w")
    bench.skip(SECOND // 2)
    for _ in range(3):
        bench.crash()
    assert calls == ["flaky r"]
    bench.skip(SECOND // 2 - 1)
    assert calls == ["flaky r"]
    bench.skip(1)
    assert calls == ["flaky r"] * 2
    bench.crash()
    bench.skip(2 * SECOND)
    assert bench.result("w") == "r" and times(bench) == [1, 2]


def test_a_wait_that_ended_while_the_lab_was_closed(bench: Workbench) -> None:
    failing.append(ValueError("1"))
    bench.start("retrying", id="w")
    bench.clock._now += 500 * SECOND
    bench.crash()
    assert bench.result("w") == "r"


# --- recorded once -----------------------------------------------------------------------------------------------------


def test_results_are_never_recomputed(bench: Workbench) -> None:
    bench.start("order", 3, id="w")
    for _ in range(5):
        bench.crash()
    bench.call("suspend", "w")
    bench.signal("w", "approval", "ada")
    bench.crash()
    assert calls == ["charge 3", "ship box"] and bench.result("w") == "6 by ada, box shipped"


def test_an_attempt_cut_off_by_a_crash_begins_again_with_the_next_number(held: Workbench) -> None:
    held.start("three", id="w")
    held.crash()
    held.crash()
    assert [a.attempt for a in held.executor.attempts] == [1, 2, 3]
    assert held.kinds("w") == ["WorkflowStarted", "ActivityScheduled", "ActivityStarted", "ActivityStarted", "ActivityStarted"]
    first, _, third = held.executor.attempts
    finish(held, first, 100)
    assert not of(held, "w", e.ActivityCompleted)  # late
    finish(held, third, 2)
    finish(held, third, 3)  # doubled
    assert of(held, "w", e.ActivityCompleted) == [e.ActivityCompleted(0, held.values.encode(2), 3)]


@pytest.mark.parametrize("again", ["result", "failure"])
def test_doubled_and_stray_reports_are_dropped(held: Workbench, again: str) -> None:
    held.start("fan", id="w")
    for attempt in held.executor.attempts:
        for _ in range(3):
            finish(held, attempt, 1)
            finish(held, attempt, error=None if again == "result" else ValueError("late"))
    assert held.result("w") == [1, 1, 1, 1] and len(of(held, "w", e.ActivityCompleted)) == 4
    before = held.history("w")
    finish(held, held.executor.attempts[0], 5)
    finish(held, held.executor.attempts[0]._replace(run_key=999), 5)
    finish(held, held.executor.attempts[0]._replace(activity_id=77), 5)
    held.engine.submit(Missing(999, 0, 1, ("x",)))
    held.host.pump()
    assert held.history("w") == before and held.engine.in_flight == {}


def test_completions_out_of_order_reach_the_right_awaits(held: Workbench) -> None:
    held.start("fan", id="w")
    for attempt in reversed(held.executor.attempts):
        finish(held, attempt, attempt.activity_id)
    assert held.result("w") == [0, 1, 2, 3]
    assert [event.activity_id for event in of(held, "w", e.ActivityCompleted)] == [3, 2, 1, 0]


# --- limits ------------------------------------------------------------------------------------------------------------


def test_an_attempt_that_takes_too_long(held: Workbench) -> None:
    with_activity(held, start_to_close="30s")
    held.start("one", id="w")
    elapse(held, 30 * SECOND - 1)
    assert held.outcome("w") is None
    elapse(held, 1)
    assert held.result("w") == "ActivityTimeout on 1: start_to_close"
    assert of(held, "w", e.ActivityTimedOut) == [e.ActivityTimedOut(0, "start_to_close", 1)]
    assert held.executor.cancelled == [(1, 0)] and held.engine.in_flight == {}
    before = held.history("w")
    finish(held, held.executor.attempts[0], "late")
    assert held.history("w") == before


def test_a_time_out_is_retried_as_the_policy_says(held: Workbench) -> None:
    with_activity(held, start_to_close="30s", retry=Retry(max_attempts=2, initial="5s"))
    held.start("one", id="w")
    elapse(held, 30 * SECOND)
    first = held.executor.attempts[0]
    finish(held, first, "late, while it waits")
    elapse(held, 5 * SECOND)
    finish(held, first, "late, while the second runs")
    assert [a.attempt for a in held.executor.attempts] == [1, 2] and times(held) == [5]
    finish(held, held.executor.attempts[1], "in time")
    assert held.result("w") == "in time"


def test_time_outs_can_be_non_retryable(held: Workbench) -> None:
    with_activity(held, start_to_close="30s", retry=Retry(max_attempts=5, non_retryable=(TimeoutError,)))
    held.start("one", id="w")
    elapse(held, 30 * SECOND)
    assert held.result("w").startswith("ActivityTimeout on 1")


def test_the_limit_is_counted_anew_after_a_crash(held: Workbench) -> None:
    with_activity(held, start_to_close="30s")
    held.start("one", id="w")
    elapse(held, 29 * SECOND)
    held.crash()
    elapse(held, 29 * SECOND)
    assert held.outcome("w") is None
    elapse(held, SECOND)
    assert held.result("w") == "ActivityTimeout on 2: start_to_close"


# --- cancelling --------------------------------------------------------------------------------------------------------


def test_a_cancelled_activity_is_asked_to_stop_and_its_result_dropped(held: Workbench) -> None:
    async def fickle() -> str:
        task = asyncio.ensure_future(programs.charge(1))
        await workflow.receive("stop")
        task.cancel()
        return await workflow.receive("go")

    held.workflow(fickle)
    held.start("fickle", id="w")
    held.signal("w", "stop")
    assert of(held, "w", e.ActivityCancelRequested) == [e.ActivityCancelRequested(0)]
    assert held.executor.cancelled == [(1, 0)] and held.engine.in_flight == {}
    finish(held, held.executor.attempts[0], 2)
    held.crash()
    assert len(held.executor.attempts) == 1
    held.signal("w", "go", "on")
    assert held.result("w") == "on"


def test_an_activity_asked_and_cancelled_in_one_step_leaves_no_event(bench: Workbench) -> None:
    async def fickle() -> str:
        task = asyncio.ensure_future(programs.charge(1))
        await asyncio.sleep(0)
        task.cancel()
        return await programs.ship("it")

    bench.workflow(fickle)
    bench.start("fickle", id="w")
    assert calls == ["ship it"] and [a.activity_id for a in of(bench, "w", e.ActivityScheduled)] == [0]


def test_an_activity_begun_and_cancelled_in_one_turn_is_not_dispatched(held: Workbench) -> None:
    from aionlab.engine.call import Call

    async def fickle() -> str:
        await workflow.receive("start")
        task = asyncio.ensure_future(programs.charge(1))
        await workflow.receive("stop")
        task.cancel()
        return await workflow.receive("go")

    held.workflow(fickle)
    held.start("fickle", id="w")
    for name in ("start", "stop"):
        held.engine.submit(Call("signal", "w", name, held.values.encode(None)))
    held.host.pump()
    assert held.kinds("w")[1:] == ["SignalReceived", "ActivityScheduled", "ActivityStarted", "SignalReceived", "ActivityCancelRequested"]
    assert held.executor.attempts == [] and held.engine.in_flight == {}


def test_the_end_of_a_run_stops_its_activities(held: Workbench) -> None:
    held.start("fan", id="w")
    held.call("terminate", "w")
    assert sorted(held.executor.cancelled) == [(1, n) for n in range(4)] and held.engine.in_flight == {}
    finish(held, held.executor.attempts[0], 1)
    assert held.status("w") is Status.TERMINATED


# --- definitions that are missing --------------------------------------------------------------------------------------


def test_an_attempt_waits_for_its_definition(bench: Workbench) -> None:
    act = bench.functions.pop("charge")
    bench.start("three", id="w")
    bench.skip(100 * SECOND)
    assert bench.outcome("w") is None and list(bench.engine.starved.values()) == [("charge",)]
    assert bench.engine.idle
    bench.functions["charge"] = act
    bench.call("retry_waiting")
    bench.host.pump()
    assert bench.result("w") == 12
    assert [event.attempt for event in of(bench, "w", e.ActivityStarted)] == [1, 1, 1]


def test_waiting_for_a_definition_is_not_running(bench: Workbench) -> None:
    """start_to_close counts from when the attempt is handed over with its code."""
    with_activity(bench, start_to_close="30s")
    act = bench.functions.pop("act")
    bench.start("one", id="w")
    bench.skip(20 * SECOND)
    held = Held()
    bench.functions["act"], bench.executor, bench.engine.executor = act, held, held
    bench.call("retry_waiting")
    elapse(bench, 20 * SECOND)
    assert bench.outcome("w") is None
    elapse(bench, 10 * SECOND)
    assert bench.result("w") == "ActivityTimeout on 1: start_to_close"


def test_a_definition_that_does_not_come_in_the_turn_that_fails(bench: Workbench) -> None:
    bench.functions.pop("charge")
    bench.start("three", id="w")
    bench.call("retry_waiting")
    bench.crash()
    assert [event.attempt for event in of(bench, "w", e.ActivityStarted)] == [1, 2]
    assert list(bench.engine.starved.values()) == [("charge",)]


def test_a_cancelled_run_whose_activity_waits_for_its_definition(bench: Workbench) -> None:
    bench.functions.pop("charge")
    bench.start("three", id="w")
    bench.call("cancel", "w")
    assert bench.status("w") is Status.CANCELLED and bench.engine.starved == {}


# --- errors of user code -----------------------------------------------------------------------------------------------


class BadStr(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class TwoArguments(Exception):
    def __init__(self, a: int, b: int) -> None:
        super().__init__(a)
        self.a, self.b = a, b


class Unpicklable(Exception):
    def __init__(self) -> None:
        super().__init__("lock", lambda: None, object())

    def __reduce__(self) -> Any:
        raise TypeError("no")


class Meta(type(Exception)):  # type: ignore[misc]
    pass


class Strange(Exception, metaclass=Meta):
    @property
    def args(self) -> Any:  # type: ignore[override]
        raise RuntimeError("no args")


def cyclic() -> Exception:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    return first


def deep() -> Exception:
    error = ValueError("0")
    for n in range(1, 2000):
        outer = ValueError(str(n))
        outer.__cause__ = error
        error = outer
    return error


AWKWARD: list[Callable[[], BaseException]] = [
    BadStr, lambda: TwoArguments(1, 2), Unpicklable, Strange, cyclic, deep, lambda: ValueError("x" * 10_000_000), lambda: ValueError("\ud800"),
    lambda: ExceptionGroup("many", [ValueError("a"), BadStr()]), lambda: BaseExceptionGroup("base", [KeyboardInterrupt(), SystemExit(1)]),
    lambda: SystemExit(3), GeneratorExit, asyncio.CancelledError, lambda: StopIteration(5), StopAsyncIteration,
    lambda: OSError(2, "gone", "file"), lambda: KeyError(object()), lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    lambda: RecursionError("deep"), MemoryError, lambda: ValueError({"a": [float("nan")]}), lambda: type("Local", (Exception,), {})("local"),
]  # fmt: skip


@pytest.mark.parametrize("make", AWKWARD, ids=lambda make: getattr(make, "__name__", "?"))
@pytest.mark.parametrize("where", ["activity", "workflow"])
def test_awkward_errors_are_survived(bench: Workbench, make: Callable[[], BaseException], where: str) -> None:
    @activity
    def awkward() -> None:
        raise make()

    async def calling() -> None:
        await (awkward() if where == "activity" else programs.ship("first"))
        raise make()

    bench.activity(awkward)
    bench.workflow(calling)
    bench.start("calling", id="w")
    bench.start("quick", id="neighbour")
    outcome = bench.outcome("w")
    assert isinstance(outcome, e.WorkflowFailed) and len(outcome.error.message.encode()) <= 64 * 1024
    with pytest.raises(BaseException):
        bench.result("w")
    before = bench.history("w")
    bench.crash()
    assert bench.history("w") == before and bench.result("neighbour") == 2


def test_the_same_error_live_and_on_replay(bench: Workbench) -> None:
    seen: list[tuple[str, str, str]] = []

    @activity
    def broken() -> None:
        raise TwoArguments(1, 2) from KeyError("k")

    async def catching() -> None:
        try:
            await broken()
        except errors.ActivityError as error:
            seen.append((type(error.cause).__name__, str(error.cause), repr(error.cause.__cause__)))
        await workflow.receive("x")

    bench.activity(broken)
    bench.workflow(catching)
    bench.start("catching", id="w")
    bench.crash()
    assert len(seen) == 2 and seen[0] == seen[1]


@pytest.mark.parametrize("size", [2 * 1024 * 1024 - 1, 100 * 1024 * 1024])
def test_a_huge_result_fails_the_attempt_not_the_turn(bench: Workbench, size: int) -> None:
    @activity
    def huge() -> str:
        return "x" * size

    async def calling() -> str:
        try:
            return await huge()
        except errors.ActivityError as error:
            return type(error.cause).__name__

    async def returning() -> str:
        return "x" * size

    async def asking() -> Any:
        try:
            return await programs.ship("x" * size)
        except errors.PayloadTooLarge as error:
            return error.limit

    bench.activity(huge)
    for fn in (calling, returning, asking):
        bench.workflow(fn)
        bench.start(fn.__name__, id=fn.__name__)
    bench.start("quick", id="neighbour")
    assert bench.result("calling") == "PayloadTooLarge"
    with pytest.raises(errors.PayloadTooLarge):
        bench.result("returning")
    assert bench.result("asking") == bench.values.limit
    assert bench.result("neighbour") == 2 and not bench.engine.halted


def test_an_argument_that_cannot_be_recorded_is_refused_at_the_call(bench: Workbench) -> None:
    async def asking() -> str:
        try:
            await programs.ship({"a": [object()]})
        except errors.InvalidPayload as error:
            return error.path
        return "?"

    bench.workflow(asking)
    bench.start("asking", id="w")
    assert "a" in bench.result("w") and bench.kinds("w") == ["WorkflowStarted", "WorkflowCompleted"]


def test_an_executor_that_takes_no_work_fails_the_attempt(held: Workbench) -> None:
    def refuse(attempt: Attempt, done: Any) -> None:
        raise RuntimeError("can't start new thread")

    submit = held.executor.submit
    held.executor.submit = refuse
    with_activity(held, retry=Retry(max_attempts=3, initial="1s"))
    held.start("one", id="w")
    held.executor.submit = submit
    held.skip(SECOND)
    assert [event.error.type for event in of(held, "w", e.ActivityFailed)] == ["RuntimeError"]
    finish(held, held.executor.attempts[0], "then")
    assert held.result("w") == "then"


def test_an_activity_outside_a_workflow_is_an_ordinary_call() -> None:
    assert programs.charge(4) == 8
