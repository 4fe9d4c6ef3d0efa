"""Activities (steps), as peer suites pin them down."""
from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from aionlab import Retry, activity, workflow
from aionlab.core import errors
from aionlab.core import events as e
from aionlab.core.status import Status
from aionlab.testing.points import arm
from tests.app.conftest import until
from tests.behaviours.reading import kinds, of

CALLS: list[Any] = []
BROKEN: list[str] = []
SECOND = 1_000_000


@pytest.fixture(autouse=True)
def no_calls() -> None:
    CALLS.clear()
    BROKEN.clear()


def causes(lab: Any, handle: Any) -> Any:
    """The ActivityError a run failed with."""
    with pytest.raises(errors.WorkflowFailedError) as failed:
        handle.result()
    assert isinstance(failed.value.cause, errors.ActivityError)
    return failed.value.cause


@activity
def fails(n: int = 0) -> None:
    CALLS.append(n)
    raise ValueError(f"call {len(CALLS)}")


@workflow
async def tries(attempts: int) -> None:
    await fails.with_options(retry=Retry(max_attempts=attempts, initial="1s"))()


@pytest.mark.parametrize("attempts", [1, 2, 5])
@pytest.mark.parametrize("evict", [False, True])
def test_given_max_attempts_n_and_always_failing_then_exactly_n_calls_and_an_error_holding_n_causes(lab: Any, attempts: int, evict: bool) -> None:
    """E01 Given max_attempts=n and always failing, then exactly n calls and an error holding n causes."""
    handle = lab.start(tries, attempts)
    if evict and handle.status is Status.RUNNING:
        handle.suspend()
    lab.clock.skip("10m")
    error = causes(lab, handle)
    assert len(CALLS) == attempts and error.attempt == attempts
    assert [str(cause) for cause in error.causes] == [f"call {n + 1}" for n in range(attempts)] and all(isinstance(c, ValueError) for c in error.causes)


def test_the_attempts_of_before_a_crash_count_and_no_wait_follows_the_last(lab: Any, crash_at: Callable[..., Any]) -> None:
    """E01, its neighbours: attempts and their waits are recorded, so a crash gives nobody more of them."""
    lab.start(tries, 3, id="t")
    lab.clock.skip("1s")
    with crash_at("commit") as crash:
        lab.signal("t", "other")
    again = crash.reopen()
    again.define(tries)
    again.clock.skip("2s")
    error = causes(again, again.get("t"))
    assert len(CALLS) == error.attempt == 3 and again.clock.skip_to_next_timer() is None


def judge(error: BaseException) -> bool:
    return "never" not in str(error)


@activity(retry=Retry(max_attempts=3, initial="1s"), retry_if=judge)
def judged(why: str) -> None:
    CALLS.append(why)
    raise LookupError(why)


@workflow
async def asks_judged(why: str, attempts: int = 3) -> str:
    try:
        await judged.with_options(retry=Retry(max_attempts=attempts, initial="1s"))(why)
    except errors.ActivityError as error:
        return f"{type(error.cause).__name__}: {error.cause} on {error.attempt}"
    return "done"


@pytest.mark.parametrize("attempts", [1, 3])
def test_given_a_retry_predicate_returning_false_then_the_original_exception_surfaces_after_one_call_also_on_the_last_attempt(lab: Any, attempts: int) -> None:
    """E03 Given a retry predicate returning False, then the original exception surfaces after one call, also on the last attempt."""
    assert lab.start(asks_judged, "never mind", attempts).result() == "LookupError: never mind on 1" and CALLS == ["never mind"]


def test_given_a_retry_predicate_returning_true_then_the_policy_decides(lab: Any) -> None:
    """E03, its neighbour."""
    handle = lab.start(asks_judged, "again")
    lab.clock.skip("10s")
    assert handle.result() == "LookupError: again on 3" and len(CALLS) == 3


@workflow
async def non_retryable(how: str) -> str:
    try:
        match how:
            case "type":
                await fails.with_options(retry=Retry(max_attempts=5, non_retryable=(ValueError,)))()
            case "name":
                await fails.with_options(retry=Retry(max_attempts=5, non_retryable=("ValueError",)))()
            case _:
                await final.with_options(retry=5)()
    except errors.ActivityError as error:
        return f"{error.attempt} {type(error.cause).__name__}"
    return "done"


@activity
def final() -> None:
    raise errors.ApplicationError("enough", non_retryable=True)


@pytest.mark.parametrize(("how", "what"), [("type", "ValueError"), ("name", "ValueError"), ("error", "ApplicationError")])
def test_an_error_that_is_not_worth_another_attempt_gets_none(lab: Any, how: str, what: str) -> None:
    """E03, its neighbours: types by class or name, and errors that say so of themselves."""
    assert lab.start(non_retryable, how).result() == f"1 {what}"


@activity(retry=Retry(max_attempts=3, initial="1s"))
def busy() -> str:
    CALLS.append("busy")
    if len(CALLS) < 3:
        raise errors.ApplicationError("come back", next_retry_delay="1h")
    return "in"


@workflow
async def comes_back(attempts: int = 3) -> str:
    return await busy.with_options(retry=Retry(max_attempts=attempts, initial="1s"))()


def test_given_an_error_with_next_retry_delay_then_that_delay_is_used_and_visible_on_the_error(lab: Any) -> None:
    """E04 Given an error with `next_retry_delay`, then that delay is used and visible on the error."""
    handle = lab.start(comes_back)
    for _ in range(2):
        failed = handle.history()[-1]
        assert failed.event.next_attempt_at - failed.at == 3600 * SECOND and failed.event.error.next_retry_delay is not None
        calls = len(CALLS)
        lab.clock.skip("59m")
        assert len(CALLS) == calls
        lab.clock.skip("1m")
    assert handle.result() == "in"
    CALLS.clear()
    last = lab.start(comes_back, 1)
    error = causes(lab, last)
    assert error.cause.next_retry_delay is not None and len(CALLS) == 1


@pytest.mark.parametrize("kind", ["start_to_close", "heartbeat", "schedule_to_close"])
def test_given_an_activity_that_takes_too_long_then_failure_is_activity_error_caused_by_timeout_error(lab_factory: Callable[..., Any], kind: str) -> None:
    """E05 Given start-to-close 10 ms, then failure is ActivityError caused by TimeoutError; heartbeat timeout reports type HEARTBEAT."""
    lab = lab_factory(threads=True, clock="real", deterministic=None)
    handle = lab.start(too_slow, kind)
    with pytest.raises(errors.WorkflowFailedError) as failed:
        handle.result(20)
    error = failed.value.cause
    assert isinstance(error, errors.ActivityError) and isinstance(error.cause, TimeoutError) and error.kind == kind  # type: ignore[attr-defined]
    (timed_out,) = of(handle, e.ActivityTimedOut)
    assert timed_out.kind == kind


@activity
def hangs() -> str:
    activity.wait_cancelled("20s")
    return "late"


@workflow
async def too_slow(kind: str) -> str:
    return await hangs.with_options(
        start_to_close="10ms" if kind == "start_to_close" else None, heartbeat="10ms" if kind == "heartbeat" else None,
        schedule_to_close="10ms" if kind == "schedule_to_close" else None,
    )()


@activity(retry=Retry(max_attempts=3, initial="1s"), heartbeat="1m")
def rows() -> Any:
    info = activity.info()
    CALLS.append((info.attempt, info.heartbeat_details))
    if info.attempt < 3:
        for n in range(3):
            activity.heartbeat({"row": info.attempt * 10 + n})
        raise OSError("lost")
    return info.heartbeat_details


@workflow
async def reads_rows() -> Any:
    return await rows()


def test_given_a_failure_after_heartbeat_details_when_retried_then_the_last_details_are_available(lab: Any, crash_at: Callable[..., Any]) -> None:
    """E06 Given a crash after heartbeat details, when retried, then the last details are available.

    (A kernel that is killed in mid-attempt: `tests/app/test_activities.py`.)
    """
    lab.start(reads_rows, id="r")
    with crash_at("commit") as crash:
        lab.signal("r", "other")
    again = crash.reopen()
    again.define(reads_rows)
    again.clock.skip("10s")
    assert again.get("r").result() == {"row": 22}
    assert CALLS == [(1, None), (2, {"row": 12}), (3, {"row": 22})]


class Declined(Exception):
    """An error of the user's own, with more than a message."""

    def __init__(self, code: int) -> None:
        super().__init__(f"declined with {code}")
        self.code = code


@activity
def declines(how: str) -> None:
    CALLS.append(how)
    if how == "own":
        raise Declined(7)
    if how == "builtin":
        raise KeyError("gone")
    raise errors.ApplicationError("app", {"n": 1}, type="Mine")


@workflow
async def catches(how: str) -> list[str]:
    told = []
    try:
        await declines(how)
    except errors.ActivityError as error:
        told.append(f"{type(error.cause).__name__}: {error.cause}")
    told.append(await workflow.receive("go", str))
    return told


@pytest.mark.parametrize(("how", "text"), [("own", "Declined: declined with 7"), ("builtin", "KeyError: 'gone'"), ("app", "ApplicationError: app")])
def test_given_a_recorded_step_error_when_replayed_past_it_then_the_same_exception_type_is_raised_without_running_the_body(
    lab: Any, lab_factory: Callable[..., Any], how: str, text: str
) -> None:
    """E07 Given a recorded step error/timeout, when replayed past it, then the same exception type is raised without running the body."""
    lab.start(catches, how, id="c")
    lab.get("c").suspend()
    lab.close()
    again = lab_factory("lab")
    again.signal("c", "go", "on")
    assert again.get("c").result() == [text, "on"] and CALLS == [how]


@activity
def returns_what_cannot_be_recorded(what: str) -> Any:
    CALLS.append(what)
    return {"fine": 1, "items": [object()]}


@activity
def takes(value: Any) -> Any:
    CALLS.append(value)
    return value


@workflow
async def gives(what: str) -> str:
    wrong: Any = {"items": [1, {"conn": asyncio.get_running_loop()}]}
    try:
        match what:
            case "argument":
                takes(wrong)
            case "send":
                await workflow.send("w", "x", wrong)
            case "child":
                workflow.start_child(gives, wrong)
            case "attribute":
                workflow.upsert_memo(x=wrong)
            case "continue":
                workflow.continue_as_new(wrong)
            case "result":
                return wrong  # type: ignore[no-any-return]
            case _:
                await returns_what_cannot_be_recorded(what)
    except errors.InvalidPayload as error:
        return f"refused at the call: {error}"
    return "taken"


@pytest.mark.parametrize("what", ["argument", "send", "child", "attribute", "continue"])
def test_given_an_unserialisable_value_then_a_clear_error_at_the_call_and_no_half_written_command(lab: Any, what: str) -> None:
    """E09 Given an unserialisable argument/result/event value, then a clear error at the call, and no half-written row or command."""
    handle = lab.start(gives, what, id="w")
    told = handle.result()
    assert told.startswith("refused at the call: ") and "items[1]" in told and "conn" in told
    assert kinds(handle) == ["WorkflowStarted", "WorkflowCompleted"] and CALLS == []


def test_given_an_unserialisable_result_then_the_run_fails_with_where_it_sits(lab: Any) -> None:
    """E09, of results: of the workflow, and of an activity, whose body is not run again for it."""
    with pytest.raises(errors.WorkflowFailedError, match=r"items\[1\]"):
        lab.start(gives, "result").result()
    handle = lab.start(gives, "activity")
    error = causes(lab, handle)
    assert "items[0]" in str(error) and isinstance(error.cause, errors.InvalidPayload) and CALLS == ["activity"]


def test_given_an_unserialisable_value_from_outside_then_nothing_is_written(lab: Any) -> None:
    """E09, of callers."""
    handle = lab.start(catches, "builtin", id="c")
    before = handle.history().to_json()
    acts: list[Callable[[], Any]] = [
        lambda: lab.start(takes_any, object()), lambda: lab.start(takes_any, 1, memo=object()), lambda: lab.start(takes_any, 1, signal=("x", object())),
        lambda: handle.signal("x", {"a": object()}), lambda: handle.query("x", object()), lambda: handle.update("x", object()),
    ]  # fmt: skip
    for act in acts:
        with pytest.raises(errors.InvalidPayload):
            act()
    assert handle.history().to_json() == before and lab.ids() == ["c"]


@workflow
async def takes_any(value: Any) -> Any:
    return await takes(value)


@activity(retry=Retry(max_attempts=5, initial="1s"))
def interrupted() -> str:
    CALLS.append("attempt")
    if len(CALLS) == 2 and BROKEN:
        raise KeyboardInterrupt
    if len(CALLS) < 3:
        raise OSError("not yet")
    return "done"


@workflow
async def loops() -> str:
    return await interrupted()


def test_given_an_interrupt_in_a_steps_retry_loop_then_the_run_stays_pending_and_recovery_completes_it(lab: Any, lab_factory: Callable[..., Any]) -> None:
    """E11 Given KeyboardInterrupt in a step's retry loop, then the run stays pending and recovery completes it."""
    BROKEN.append("interrupt")
    handle = lab.start(loops, id="l")
    with pytest.raises(KeyboardInterrupt):
        lab.clock.skip("1s")
    assert handle.status is Status.RUNNING and CALLS == ["attempt", "attempt"]
    lab.close()
    BROKEN.clear()
    again = lab_factory("lab")
    again.define(loops)
    again.clock.skip("1m")
    assert again.get("l").result() == "done" and len(CALLS) == 3
    assert len(of(again.get("l"), e.ActivityFailed)) == 1, "an interrupt is no failure"


@workflow
async def pays() -> Any:
    return [await takes(1), await takes(2)]


@pytest.mark.parametrize("point", ["commit", "committed"])
@pytest.mark.parametrize("after", range(4))
def test_given_a_transient_store_error_at_any_commit_then_the_call_still_returns_the_right_result_once(lab: Any, point: str, after: int) -> None:
    """E12 Given a transient store error at step-commit or at workflow-init commit, then the call still returns the right result once."""
    passes = [after]

    def error() -> BaseException | None:
        if passes[0]:
            passes[0] -= 1
            arm(lab, point, error)
            return None
        return errors.StoreUnavailable("no answer")

    arm(lab, point, error)
    handle = None
    for _ in range(3):
        try:
            handle = lab.start(pays, id="p", idempotency_key="k")
            break
        except errors.StoreError:
            continue
    assert handle is not None
    for _ in range(5):
        lab.clock.skip("1s")
    assert handle.result() == [1, 2] and CALLS == [1, 2]
    told = [kind for kind in kinds(handle) if kind != "ActivityStarted"]  # an attempt whose commit was in doubt may be counted twice
    assert told == ["WorkflowStarted", *["ActivityScheduled", "ActivityCompleted"] * 2, "WorkflowCompleted"]


def test_given_a_step_called_outside_any_workflow_then_it_is_an_ordinary_call() -> None:
    """E13 Given a step called outside any workflow, then it is an ordinary call."""
    assert takes(3) == 3 and CALLS == [3]
    with pytest.raises(ValueError, match="call 2"):
        fails()

    @activity
    async def later(n: int) -> int:
        activity.heartbeat(n)
        return n

    assert asyncio.run(later(4)) == 4 and activity.is_cancelled() is False
    with pytest.raises(errors.NotInActivity):
        activity.info()
    assert takes.with_options(retry=3)(5) == 5


@activity
def works(kind: str) -> str:
    CALLS.append("begun")
    told = activity.wait_cancelled("200ms" if kind == "abandon" else "20s")
    CALLS.append("told" if told else "not told")
    return "its own result"


@workflow
async def gives_up(kind: str) -> str:
    task = asyncio.ensure_future(works.with_options(cancellation=kind)(kind))
    await workflow.receive("enough")
    task.cancel()
    try:
        return await task
    except asyncio.CancelledError:
        return "cancelled at once"


@pytest.mark.parametrize(
    ("kind", "result", "told"), [("try_cancel", "cancelled at once", "told"), ("wait_completed", "its own result", "told"), ("abandon", "cancelled at once", "not told")]
)
def test_given_an_activity_cancelled_with_each_type_then_error_at_once_or_its_own_result(
    lab_factory: Callable[..., Any], kind: str, result: str, told: str
) -> None:
    """E14 Given an activity cancelled with TRY_CANCEL / WAIT_COMPLETED / ABANDON, then respectively: error at once and activity told; activity's
    own result; error at once and activity keeps running."""
    lab = lab_factory(threads=True, clock="real", deterministic=None)
    handle = lab.start(gives_up, kind)
    until(lambda: CALLS == ["begun"])
    handle.signal("enough")
    assert handle.result(20) == result
    assert until(lambda: CALLS == ["begun", told])
    assert len(of(handle, e.ActivityCancelRequested)) == (0 if kind == "abandon" else 1)


def test_an_activity_and_a_child_made_in_a_function_run_where_a_workflow_made_there_calls_them(lab: Any) -> None:
    """E13, its neighbour: it does not matter where definitions are written."""
    seen: list[int] = []

    @activity
    def mark(n: int) -> int:
        seen.append(n)
        return n * 2

    @workflow
    async def inner(n: int) -> int:
        return await mark(n)

    @workflow
    async def outer(n: int) -> list[int]:
        return [await mark(n), await inner(n + 1)]

    assert lab.start(outer, 4).result() == [8, 10] and seen == [4, 5]


@pytest.mark.parametrize("options", [{"start_to_close": "never"}, {"heartbeat": -1}, {"schedule_to_close": []}, {"timeout": 0}, {"retry": 0}, {"priority": -1}], ids=str)
def test_options_of_an_activity_that_make_no_sense_are_refused_where_they_are_written(options: dict[str, Any]) -> None:
    """E05, its neighbour."""
    with pytest.raises(errors.InvalidOption):
        takes.with_options(**options)
    with pytest.raises(errors.InvalidOption):
        activity(**options)
