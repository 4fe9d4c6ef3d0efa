"""Cancellation, children and continue-as-new, as peer suites pin them down."""
from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from aionlab import activity, workflow
from aionlab.core import errors
from aionlab.core import events as e
from aionlab.core.status import Status
from tests.behaviours.reading import kinds, of

CALLS: list[Any] = []


@pytest.fixture(autouse=True)
def no_calls() -> None:
    CALLS.clear()


@activity
def mark(what: str) -> str:
    CALLS.append(what)
    return what


@activity(retry=100)
def never_done() -> None:
    raise OSError("not yet")


@workflow
async def nap(seconds: float = 3600) -> float:
    await asyncio.sleep(seconds)
    return seconds


@workflow
async def tidies(seconds: float = 3600) -> None:
    try:
        await asyncio.sleep(seconds)
    finally:
        await mark("tidied")


def statuses(lab: Any, *names: str) -> list[str]:
    return [str(lab.get(name).status) for name in names]


# --- cancel and terminate ------------------------------------------------------------------------------------------------


def test_given_cancel_during_sleep_then_status_cancelled_and_result_raises_with_a_cancelled_error(lab: Any) -> None:
    """F01 Given cancel during sleep, then status CANCELED and result raises with cause CancelledError.

    Ours: `result()` raises WorkflowCancelledError, with the reason; CancelledError is what the code saw.
    """
    handle = lab.start(tidies)
    handle.cancel("no longer wanted")
    assert handle.status is Status.CANCELLED and CALLS == ["tidied"]
    with pytest.raises(errors.WorkflowCancelledError, match="no longer wanted"):
        handle.result()
    told = [kind for kind in kinds(handle) if "Cancel" in kind]
    assert told == ["WorkflowCancelRequested", "TimerCancelled", "WorkflowCancelled"]


def test_a_cancel_that_is_swallowed_lets_the_run_go_on_and_one_that_comes_again_changes_nothing(lab: Any) -> None:
    """F01, its neighbours."""

    @workflow
    async def stubborn() -> str:
        try:
            await workflow.receive("never")
        except asyncio.CancelledError:
            await workflow.sleep("1h")
        return str(workflow.info().cancel_reason)

    handle = lab.start(stubborn)
    handle.cancel("first")
    handle.cancel("second")
    handle.suspend()
    lab.clock.skip("1h")
    assert handle.result() == "first" and len(of(handle, e.WorkflowCancelRequested)) == 1
    with pytest.raises(errors.RunClosed):
        handle.cancel()


@pytest.mark.parametrize("where", ["activity", "receive", "child", "gather", "lock", "condition"])
@pytest.mark.parametrize("evict", [False, True])
def test_given_cancel_at_any_await_then_status_cancelled(lab: Any, where: str, evict: bool) -> None:
    """F01, its neighbours: wherever the code waits."""

    @workflow
    async def waits(where: str) -> None:
        match where:
            case "activity":
                await never_done()
            case "receive":
                await workflow.receive("never")
            case "child":
                await nap(3600)
            case "gather":
                await asyncio.gather(workflow.sleep("1h"), workflow.receive("never"))
            case "lock":
                lock = asyncio.Lock()
                await lock.acquire()
                await lock.acquire()
            case _:
                await workflow.wait_condition(lambda: False)

    handle = lab.start(waits, where)
    if evict:
        handle.suspend()
    handle.cancel()
    assert handle.status is Status.CANCELLED
    assert lab.count("status = 'Running'") == 0


def test_given_terminate_with_reason_and_details_then_no_code_runs_and_the_caller_sees_both(lab: Any) -> None:
    """F04 Given terminate with reason and details, then no code runs and the caller sees both."""
    handle = lab.start(tidies)
    handle.terminate("wrong order", details="see ticket 7")
    assert handle.status is Status.TERMINATED
    with pytest.raises(errors.WorkflowTerminatedError, match="wrong order") as ended:
        handle.result()
    assert ended.value.details == "see ticket 7"
    lab.clock.skip("2h")
    assert CALLS == [] and of(handle, e.WorkflowTerminated) == [e.WorkflowTerminated("wrong order", "see ticket 7")]


# --- children ------------------------------------------------------------------------------------------------------------


@workflow
async def gathers() -> str:
    shielded = asyncio.create_task(asyncio.sleep(9, "shielded"))
    try:
        await asyncio.gather(asyncio.sleep(60), asyncio.shield(shielded), never_done(), workflow.execute_child(nap, 60, id="child"))
    except asyncio.CancelledError:
        await mark(await shielded)
        raise
    return "gathered"


@pytest.mark.parametrize("evict", [False, True])
def test_given_a_gather_of_timer_shielded_timer_activity_and_child_cancelled_then_all_are_but_the_shielded_timer(lab: Any, evict: bool) -> None:
    """F06 Given gather(timer, shield(timer), activity, child) cancelled, then timer/activity/child are cancelled and the shielded timer
    succeeds."""
    handle = lab.start(gathers)
    if evict:
        handle.suspend()
    handle.cancel()
    assert statuses(lab, "child") == ["Cancelled"]
    assert len(of(handle, e.TimerCancelled)) == len(of(handle, e.ActivityCancelRequested)) == len(of(handle, e.ChildWorkflowCancelRequested)) == 1
    assert handle.status is Status.RUNNING
    lab.clock.skip(9)
    assert handle.status is Status.CANCELLED and CALLS == ["shielded"] and len(of(handle, e.TimerFired)) == 1


@workflow
async def drops_a_child() -> bool:
    task = asyncio.create_task(workflow.execute_child(tidies, id="child"))
    await workflow.sleep(1)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    return task.cancelled()


def test_given_a_cancelled_child_task_then_exactly_one_cancel_request_and_no_stray_log(lab: Any, caplog: pytest.LogCaptureFixture) -> None:
    """F07 Given a cancelled child task, then exactly one cancel-request event and no stray "exception in shielded future" log."""
    handle = lab.start(drops_a_child)
    lab.clock.skip(1)
    assert handle.result() is True and CALLS == ["tidied"]
    assert len(of(handle, e.ChildWorkflowCancelRequested)) == len(of(lab.get("child"), e.WorkflowCancelRequested)) == 1
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_given_a_child_that_can_never_start_and_the_parent_cancelled_then_the_parent_does_not_hang(lab: Any) -> None:
    """F08 Given a child that can never start and the parent cancelled, then the parent does not hang.

    Ours: a child of a type nobody defined fails its parent's await at once; one that cannot begin, here held by a pause, is cancelled.
    """

    @workflow
    async def asks(name: str) -> str:
        try:
            await workflow.execute_child(name, id="child")
        except errors.ChildWorkflowError as error:
            return f"{type(error.cause).__name__}: {error.cause}"
        return "done"

    assert lab.start(asks, "nobody").result().startswith("WorkflowNotFound: no workflow 'nobody'")
    lab.define(nap)
    handle = lab.start(asks, "nap")
    lab.pause("child")
    handle.cancel()
    if handle.status is Status.RUNNING:
        lab.resume("child")
    assert statuses(lab, "child") == ["Cancelled"] and handle.status is Status.CANCELLED


@workflow
async def grand(depth: int, name: str) -> None:
    if depth:
        for n in range(2):
            await workflow.start_child(grand, depth - 1, f"{name}{n}", id=f"{name}{n}", parent_close="abandon")
    await workflow.receive("never")


@pytest.mark.parametrize("children", [True, False])
def test_given_cancel_children_then_the_whole_subtree_is_cancelled_without_it_only_the_parent(lab: Any, children: bool) -> None:
    """F09 Given cancel_children, then the whole subtree is cancelled; without it only the parent."""
    handle = lab.start(grand, 2, "p", id="p")
    below = ["p0", "p1", "p00", "p01", "p10", "p11"]
    assert set(statuses(lab, *below)) == {"Running"}
    handle.cancel("enough", children=children)
    assert handle.status is Status.CANCELLED
    assert set(statuses(lab, *below)) == {"Cancelled" if children else "Running"}


@workflow
async def closes(policy: str, how: str) -> str:
    await workflow.start_child(tidies, id="child", parent_close=policy)
    await workflow.receive("go")
    if how == "fail":
        raise ValueError(how)
    if how == "continue":
        workflow.continue_as_new(policy, "stay")
    return how


@pytest.mark.parametrize("how", ["return", "fail", "cancel", "terminate", "time out", "continue"])
@pytest.mark.parametrize(("policy", "status"), [("terminate", "Terminated"), ("request_cancel", "Cancelled"), ("abandon", "Running")])
def test_what_becomes_of_a_child_when_its_parent_ends_is_what_was_said_of_it(lab: Any, how: str, policy: str, status: str) -> None:
    """F09, its neighbour: `parent_close`, on every way a parent can end."""
    handle = lab.start(closes, policy, how, id="p", deadline="30m" if how == "time out" else None)
    match how:
        case "cancel" | "terminate":
            getattr(handle, how)()
        case "time out":
            lab.clock.skip("30m")
        case _:
            handle.signal("go")
    assert lab.get("p", handle.run_id).status.closed
    (child,) = of(lab.get("p", handle.run_id), e.ChildWorkflowStarted)
    expected = "TimedOut" if how == "time out" else status  # no child outlives its parent's deadline, whoever ends it first
    assert str(lab.get("child", child.child_run_id).status) == expected


@workflow
async def deadline_parent() -> None:
    await workflow.start_child(nap, 86_400, id="started", parent_close="abandon")
    await workflow.start_child(grand_child, id="between", parent_close="abandon")
    await workflow.start_child(nap, 86_400, id="shorter", parent_close="abandon", deadline="10m")
    await workflow.start_child(nap, 86_400, id="longer", parent_close="abandon", deadline="7d")


@workflow
async def grand_child() -> None:
    await workflow.execute_child(nap, 86_400, id="direct")


def test_given_a_parent_deadline_then_children_inherit_it_even_after_the_parent_exits_and_survive_recovery(lab: Any, lab_factory: Callable[..., Any]) -> None:
    """F10 Given a parent deadline, then started, direct and enqueued children inherit it, even after the parent exits, and survive recovery."""
    handle = lab.start(deadline_parent, deadline="1h")
    assert handle.result() is None
    names = ["started", "between", "direct", "longer", "shorter"]
    lab.close()
    again = lab_factory("lab")
    again.clock.skip("11m")
    assert statuses(again, *names) == ["Running"] * 4 + ["TimedOut"]
    again.clock.skip("49m")
    assert statuses(again, *names) == ["TimedOut"] * 5
    with pytest.raises(errors.WorkflowTimedOutError):
        again.get("longer").result()


def test_given_a_duplicate_child_id_then_the_parent_can_catch_already_started(lab: Any) -> None:
    """F11 Given a duplicate child id, then the parent can catch "already started"."""

    @workflow
    async def twice(name: str) -> list[str]:
        told = []
        for _ in range(2):
            child = await workflow.start_child(nap, 1, id=name)
            try:
                async with asyncio.timeout(0.5):
                    await asyncio.shield(asyncio.ensure_future(child))
            except TimeoutError:
                told.append("waits")
            except errors.ChildWorkflowError as error:
                assert isinstance(error.cause, errors.AlreadyStarted)
                told.append(f"{error.cause.workflow_id}: {error.cause.status}")
        return told

    own = lab.start(twice, "own")
    other, waiting = lab.start(nap, id="other"), lab.start(twice, "other")
    assert waiting.result() == ["other: Running"] * 2 and other.status is Status.RUNNING
    lab.clock.skip(0.5)
    assert own.result() == ["waits", "own: Running"]


# --- continue-as-new -----------------------------------------------------------------------------------------------------


@workflow
async def chained(n: int) -> dict[str, Any]:
    info = workflow.info()
    workflow.on_query("seen", lambda: [n, info.memo, info.run_number, info.first_execution_run_id])
    await workflow.sleep(1)
    if n < 5:
        workflow.continue_as_new(n + 1, memo={"n": n + 1})
    return {"n": n, "memo": info.memo, "number": info.run_number, "first": info.first_execution_run_id}


def test_given_continue_as_new_five_times_then_each_run_sees_its_own_values_and_result_follows_the_chain(lab: Any) -> None:
    """F12 Given continue-as-new ×5 with changing memo/retry policy, then each run sees its own values, `first_execution_run_id` is stable,
    `result()` follows the chain, and `follow_runs=False` raises naming the next run."""
    handle = lab.start(chained, 0, id="c", memo={"n": 0})
    runs = []
    for n in range(6):
        runs.append(lab.get("c").run_id)
        assert lab.get("c").query("seen") == [n, {"n": n}, n + 1, handle.run_id]
        lab.get("c").suspend()
        lab.clock.skip(1)
    assert handle.result() == {"n": 5, "memo": {"n": 5}, "number": 6, "first": handle.run_id} and len(set(runs)) == 6
    for this, following in zip(runs[:-1], runs[1:], strict=True):
        with pytest.raises(errors.WorkflowContinuedAsNewError, match=following) as ended:
            lab.get("c", this).result()
        assert ended.value.next_run_id == following
        assert lab.get("c", this).result(follow=True)["n"] == 5
    with pytest.raises(errors.WorkflowContinuedAsNewError):
        handle.result(follow=False)


def test_signals_that_were_not_taken_go_on_with_the_chain_once(lab: Any) -> None:
    """F12, its neighbour."""

    @workflow
    async def takes_two(got: list[int]) -> list[int]:
        got = [*got, await workflow.receive("n", int), await workflow.receive("n", int)]
        if len(got) < 6:
            workflow.continue_as_new(got)
        return got

    handle = lab.start(takes_two, [], start_delay="1h")
    for n in range(6):
        handle.signal("n", n, idempotency_key=f"k{n}")
    lab.clock.skip("1h")
    assert handle.result() == list(range(6)) and len(lab.runs()) == 3


def test_a_parent_waits_through_the_chain_of_its_child(lab: Any) -> None:
    """F12, its neighbour."""

    @workflow
    async def waits() -> int:
        return (await workflow.execute_child(chained, 3, id="c"))["n"]  # type: ignore[no-any-return]

    handle = lab.start(waits)
    for _ in range(3):
        handle.suspend()
        lab.clock.skip(1)
    assert handle.result() == 5


@workflow
async def breaks() -> None:
    await workflow.sleep(1)
    raise errors.ApplicationError("broken", 7)


@workflow
async def groups(how: str) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(nap(3600))
        group.create_task(breaks())
        if how == "two":
            group.create_task(breaks())


@pytest.mark.parametrize("how", ["one", "two"])
def test_given_a_child_failing_inside_a_task_group_then_the_parent_fails_with_the_group_unwrapped_rather_than_hanging(lab: Any, how: str) -> None:
    """F13 Given a child failing inside `TaskGroup`, then the parent fails (ExceptionGroup unwrapped) rather than hanging. issue sdk-python#1020"""
    handle = lab.start(groups, how, id="p")
    lab.clock.skip(1)
    with pytest.raises(errors.WorkflowFailedError) as failed:
        handle.result()
    cause = failed.value.cause
    told = list(cause.exceptions) if how == "two" else [cause]  # type: ignore[union-attr]
    assert len(told) == (2 if how == "two" else 1)
    for error in told:
        assert isinstance(error, errors.ChildWorkflowError) and isinstance(error.cause, errors.ApplicationError) and error.cause.details == (7,)
    assert lab.count("status = 'Running'") == 0
