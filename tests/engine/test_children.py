"""Children: started with the step that asks for them, told and heard of in one commit, stopped with their parent."""
from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from aionlab import workflow
from aionlab.core import errors
from aionlab.core import events as e
from aionlab.core.status import Status
from aionlab.engine import children
from aionlab.engine.catalog import NotRunnable
from aionlab.engine.lifecycle.start import StartRequest
from aionlab.replay.pythons import HERE
from aionlab.store.memory import MemoryStore
from aionlab.testing.faults import Crash, FaultyStore
from aionlab.testing.workbench import Workbench
from tests.engine import families
from tests.engine.families import cleaned
from tests.engine.programs import SECOND, calls, charge, of

ENDS = ["WorkflowCompleted", "WorkflowFailed", "WorkflowCancelled", "WorkflowTerminated", "WorkflowTimedOut", "WorkflowContinuedAsNew"]


@pytest.fixture
def home(bench: Workbench) -> Workbench:
    families.define(bench)
    return bench


def statuses(bench: Workbench, *ids: str) -> list[str]:
    return [str(bench.status(each)) for each in ids]


# --- starting and awaiting ----------------------------------------------------------------------------------------------


def test_a_child_is_awaited(home: Workbench) -> None:
    home.start("awaits", "nap", 5, id="p")
    assert statuses(home, "p", "p/nap-0") == ["Running", "Running"]
    home.skip(5 * SECOND)
    assert home.result("p") == 5 and home.result("p/nap-0") == 5
    assert home.kinds("p") == ["WorkflowStarted", "ChildWorkflowStarted", "ChildWorkflowCompleted", "WorkflowCompleted"]


def test_calling_a_workflow_starts_a_child(home: Workbench) -> None:
    home.start("both", 5, 9, id="p")
    home.skip(9 * SECOND)
    assert home.result("p") == [5, 9]
    assert [event.child_workflow_id for event in of(home, "p", e.ChildWorkflowStarted)] == ["p/nap-0", "p/nap-1"]


def test_parent_and_child_know_of_each_other(home: Workbench) -> None:
    home.start("awaits", "nap", 5, id="p")
    (asked,) = of(home, "p", e.ChildWorkflowStarted)
    child = home.history("p/nap-0")[0]
    assert (asked.child_run_id, asked.version, asked.parent_close) == (child.run_id, "v1", "terminate")
    started = child.event
    assert isinstance(started, e.WorkflowStarted) and started.origin is not None
    assert started.parent_workflow_id == "p" and started.parent_run_id is None
    assert (started.origin.parent_run_id, started.origin.child_id, started.origin.depth) == (home.history("p")[0].run_id, 0, 1)


def test_a_child_that_ends_in_its_first_step(home: Workbench) -> None:
    home.start("awaits", "at_once", [1, 2], id="p")
    assert home.result("p") == [1, 2]
    assert home.kinds("p") == ["WorkflowStarted", "ChildWorkflowStarted", "ChildWorkflowCompleted", "WorkflowCompleted"]


def test_a_child_with_activities(home: Workbench) -> None:
    home.start("awaits", "paying", 4, id="p")
    assert home.result("p") == 8 and calls == ["charge 4"]


def test_children_of_children(home: Workbench) -> None:
    home.start("nested", 30, id="p")
    assert home.result("p") == 30
    deepest = [row for row in home.store.runs() if row.status is Status.COMPLETED]
    assert len(deepest) == 31
    names = {str(row.workflow_id) for row in deepest}
    assert len(names) == 31 and all(len(name) <= 255 for name in names)


def test_a_workflow_that_starts_itself_without_end_is_stopped(home: Workbench) -> None:
    home.start("nested", 5000, id="p")
    with pytest.raises(errors.ChildWorkflowError, match="1001 levels down"):
        home.result("p")


def test_a_thousand_children_start_with_the_step_that_asks(home: Workbench) -> None:
    @workflow
    async def many(count: int) -> int:
        return sum(await asyncio.gather(*[families.at_once(n) for n in range(count)]))

    home.workflow(many)
    commits = home.engine.commits
    home.start("many", 1000, id="p")
    assert home.result("p") == 499_500
    assert home.engine.commits == commits + 1


def test_the_info_of_a_child(home: Workbench) -> None:
    @workflow
    async def tells() -> list[Any]:
        info = workflow.info()
        return [info.parent_workflow_id, info.parent_run_id, info.root_workflow_id, info.run_number, info.memo, info.deadline is None]

    @workflow
    async def asks() -> Any:
        return await workflow.execute_child(tells.name, memo={"why": "asked"})

    home.workflow(tells)
    home.workflow(asks)
    home.start("awaits", "asks", id="p")
    assert home.result("p") == ["p/asks-0", home.history("p/asks-0")[0].run_id, "p", 1, {"why": "asked"}, True]
    home.start("asks", id="q")
    home.start("tells", id="alone")
    assert home.result("alone") == [None, None, "alone", 1, None, True]


def test_a_child_has_the_options_it_was_asked_with(home: Workbench) -> None:
    home.call("register_attribute", "customer", "keyword")

    @workflow
    async def asks() -> Any:
        child = await workflow.start_child(families.nap, 60, id="named", deadline="1h", search_attributes={"customer": "acme"}, parent_close="abandon")
        return child.id

    home.workflow(asks)
    home.start("asks", id="q")
    assert home.result("q") == "named"
    row = home.call("run", "named")
    assert dict(row.attributes) == {"customer": "acme"} and row.status is Status.RUNNING
    started = home.history("named")[0]
    assert started.event.deadline == started.at + 3600 * SECOND


def test_the_handle_of_a_child(home: Workbench) -> None:
    seen: list[Any] = []

    @workflow
    async def asks() -> Any:
        child = await workflow.start_child(families.nap, 5)
        before = [child.id, child.run_id, child.done()]
        first = await child
        seen.append(repr(child))
        return [before, first, await child, child.run_id, child.done(), child.cancel()]

    home.workflow(asks)
    home.start("asks", id="p")
    home.skip(5 * SECOND)
    run_id = home.history("p/nap-0")[0].run_id
    assert home.result("p") == [["p/nap-0", None, False], 5, 5, run_id, True, False]
    assert seen == ["<child nap p/nap-0 (ended)>"]


@pytest.mark.parametrize(("call", "why"), [
    (lambda: workflow.start_child("nap", 1, parent_close="keep"), "parent_close='keep'; choose one of terminate, request_cancel, abandon"),
    (lambda: workflow.start_child("nap", 1, cancellation="now"), "cancellation='now'; choose one of wait_completed, try_cancel, abandon"),
    (lambda: workflow.start_child("nap", 1, deadline=0), "a deadline lies in the future"),
    (lambda: workflow.start_child("nap", 1, id="a\nb"), "a control character"),
    (lambda: workflow.start_child("nap", lambda: 1), "nap"),
    (lambda: workflow.start_child(len, 1), "is no workflow"),
    (lambda: families.nap(1, 2, 3), "too many positional arguments"),
], ids=["parent_close", "cancellation", "deadline", "id", "payload", "no workflow", "arguments"])  # fmt: skip
def test_what_cannot_be_asked_for_is_refused_at_the_call(home: Workbench, call: Callable[[], Any], why: str) -> None:
    @workflow
    async def asks() -> str:
        try:
            call()
        except Exception as error:
            return str(error)
        return "taken"

    home.workflow(asks)
    home.start("asks", id="p")
    assert why in home.result("p")
    assert home.kinds("p") == ["WorkflowStarted", "WorkflowCompleted"]


# --- ends ---------------------------------------------------------------------------------------------------------------


def test_a_child_that_fails(home: Workbench) -> None:
    home.start("catches", "nap", 5, True, id="p")
    home.skip(5 * SECOND)
    assert home.result("p") == ["ValueError", "after 5", False]


def test_an_error_nobody_catches_fails_the_parent_too(home: Workbench) -> None:
    home.start("awaits", "awaits", "nap", 5, True, id="p")
    home.skip(5 * SECOND)
    outcome = home.outcome("p")
    assert isinstance(outcome, e.WorkflowFailed)
    assert outcome.error.name == "ChildWorkflowError"
    assert outcome.error.cause.name == "ChildWorkflowError" and outcome.error.cause.cause.name == "ValueError"
    with pytest.raises(errors.ChildWorkflowError, match=r"child awaits \(p/awaits-0\) did not complete: ValueError: after 5") as caught:
        home.result("p")
    assert isinstance(caught.value.cause, errors.ChildWorkflowError) and isinstance(caught.value.cause.cause, ValueError)


def test_a_child_terminated_by_somebody_else(home: Workbench) -> None:
    home.start("catches", "nap", 5, id="p")
    home.call("terminate", "p/nap-0", None, "enough", "said Ada")
    assert home.result("p") == ["WorkflowTerminatedError", "p/nap-0 was terminated: enough", False]


def test_a_child_cancelled_by_somebody_else_does_not_cancel_its_parent(home: Workbench) -> None:
    home.start("catches", "nap", 5, id="p")
    home.call("cancel", "p/nap-0", None, "enough")
    assert home.result("p") == ["WorkflowCancelledError", "p/nap-0 was cancelled: enough", False]
    assert statuses(home, "p", "p/nap-0") == ["Completed", "Cancelled"]


def test_a_child_past_its_deadline(home: Workbench) -> None:
    @workflow
    async def asks() -> Any:
        try:
            await workflow.execute_child(families.nap, 60, deadline="5s")
        except errors.ChildWorkflowError as error:
            return [type(error.cause).__name__, str(error)]

    home.workflow(asks)
    home.start("asks", id="p")
    home.skip(5 * SECOND)
    assert home.result("p") == ["WorkflowTimedOutError", "child nap (p/nap-0) did not complete: p/nap-0 ran past its deadline"]


def test_a_result_that_does_not_fit_the_annotation_is_the_awaiting_codes_error(home: Workbench) -> None:
    @workflow(name="at_once")
    async def annotated(value: Any) -> int: ...

    @workflow
    async def asks() -> str:
        try:
            await annotated("no number")
        except Exception as error:
            return type(error).__name__
        return "taken"

    home.workflow(asks)
    home.start("asks", id="p")
    assert home.result("p") != "taken"


def test_f11_given_a_duplicate_child_id_then_the_parent_can_catch_already_started(home: Workbench) -> None:
    home.start("nap", 60, id="taken")

    @workflow
    async def asks() -> list[Any]:
        child = await workflow.start_child(families.nap, 1, id="taken")
        try:
            await child
        except errors.ChildWorkflowError as error:
            cause = error.cause
            return [isinstance(cause, errors.AlreadyStarted), cause.workflow_id, str(cause).partition(" (")[0]]
        return ["ran"]

    home.workflow(asks)
    home.start("asks", id="p")
    assert home.result("p") == [True, "taken", "taken is already started"]
    assert home.kinds("p") == ["WorkflowStarted", "ChildWorkflowStarted", "ChildWorkflowFailed", "WorkflowCompleted"]
    assert statuses(home, "taken") == ["Running"] and len(home.store.run_chain("taken")) == 1


def test_a_duplicate_id_among_children_of_one_step(home: Workbench) -> None:
    @workflow
    async def asks() -> list[Any]:
        first, second = await workflow.start_child(families.at_once, 1, id="c"), await workflow.start_child(families.nap, 1, id="d")
        third = await workflow.start_child(families.nap, 1, id="d")
        return await asyncio.gather(first, second, third, return_exceptions=True)

    @workflow
    async def tells() -> list[Any]:
        return [each if isinstance(each, int) else type(each.cause).__name__ for each in await asks.fn()]

    home.workflow(tells)
    home.start("tells", id="p")
    home.skip(SECOND)
    assert home.result("p") == [1, 1, "AlreadyStarted"]


def test_the_id_of_a_child_that_has_ended_may_be_used_again(home: Workbench) -> None:
    @workflow
    async def asks() -> list[Any]:
        return [await workflow.execute_child(families.at_once, n, id="c") for n in range(3)]

    home.workflow(asks)
    home.start("asks", id="p")
    assert home.result("p") == [0, 1, 2]
    assert [row.status for row in home.store.run_chain("c")] == [Status.COMPLETED] * 3


def test_default_ids_of_a_parent_that_runs_again_do_not_collide(home: Workbench) -> None:
    @workflow
    async def asks() -> str:
        return (await workflow.start_child(families.nap, 3600, parent_close="abandon")).id

    home.workflow(asks)
    ids = []
    for _ in range(3):
        home.start("asks", id="p")
        ids.append(home.result("p"))
    assert ids[0] == "p/nap-0" and len(set(ids)) == 3
    assert statuses(home, *ids) == ["Running"] * 3


def test_a_workflow_nobody_has_defined(home: Workbench) -> None:
    home.start("catches", "nobody", id="p")
    kind, why, _ = home.result("p")
    assert kind == "WorkflowNotFound" and "no workflow 'nobody'" in why


def test_an_attribute_nobody_registered(home: Workbench) -> None:
    @workflow
    async def asks() -> str:
        try:
            await workflow.execute_child(families.nap, 1, search_attributes={"unknown": 1})
        except errors.ChildWorkflowError as error:
            return type(error.cause).__name__
        return "ran"

    home.workflow(asks)
    home.start("asks", id="p")
    assert home.result("p") == "InvalidAttribute"


def test_f13_given_a_child_failing_inside_a_task_group_then_the_parent_fails_with_the_group_unwrapped(home: Workbench) -> None:
    @workflow
    async def groups() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(families.nap(60))
            group.create_task(families.nap(5, True))

    home.workflow(groups)
    home.start("groups", id="p")
    home.skip(5 * SECOND)
    outcome = home.outcome("p")
    assert isinstance(outcome, e.WorkflowFailed) and outcome.error.name == "ChildWorkflowError"
    assert "ValueError: after 5" in outcome.error.message
    assert statuses(home, "p/nap-0", "p/nap-1") == ["Cancelled", "Failed"]


# --- cancelling ---------------------------------------------------------------------------------------------------------


def test_cancelling_the_parent_cancels_the_child_it_waits_for_and_waits_until_it_has_stopped(home: Workbench) -> None:
    home.start("awaits", "slow_to_stop", 60, id="p")
    home.call("cancel", "p", None, "enough")
    assert statuses(home, "p", "p/slow_to_stop-0") == ["Running", "Running"]
    home.skip(SECOND)
    assert statuses(home, "p", "p/slow_to_stop-0") == ["Cancelled", "Cancelled"]
    assert cleaned == ["p/slow_to_stop-0"]
    assert home.kinds("p")[-4:] == ["WorkflowCancelRequested", "ChildWorkflowCancelRequested", "ChildWorkflowCancelled", "WorkflowCancelled"]


def test_try_cancel_does_not_wait(home: Workbench) -> None:
    @workflow
    async def asks() -> list[Any]:
        child = await workflow.start_child(families.slow_to_stop, 60, cancellation="try_cancel", parent_close="abandon")
        try:
            await asyncio.wait_for(child, 5)
        except TimeoutError:
            return ["too late", child.done()]
        return []

    home.workflow(asks)
    home.start("asks", id="p")
    home.skip(5 * SECOND)
    assert home.result("p") == ["too late", True]
    assert statuses(home, "p/slow_to_stop-0") == ["Running"]
    home.skip(SECOND)
    assert statuses(home, "p/slow_to_stop-0") == ["Cancelled"]


def test_cancellation_abandon_lets_the_child_be(home: Workbench) -> None:
    @workflow
    async def asks() -> Any:
        child = await workflow.start_child(families.nap, 60, cancellation="abandon", parent_close="abandon")
        try:
            await asyncio.wait_for(child, 5)
        except TimeoutError:
            return child.done()

    home.workflow(asks)
    home.start("asks", id="p")
    home.skip(5 * SECOND)
    assert home.result("p") is True
    assert "ChildWorkflowCancelRequested" not in home.kinds("p")
    home.skip(60 * SECOND)
    assert home.result("p/nap-0") == 60


def test_a_child_that_goes_on_when_asked_to_stop_gives_its_result(home: Workbench) -> None:
    home.start("gives_up", "stubborn", 5, 60, id="p")
    home.skip(5 * SECOND)
    assert home.result("p/stubborn-0") == "went on"
    assert home.status("p").closed


def test_a_child_asked_to_stop_by_its_handle(home: Workbench) -> None:
    @workflow
    async def asks() -> list[Any]:
        child = await workflow.start_child(families.nap, 60)
        await asyncio.sleep(1)
        asked = [child.cancel(), child.cancel(), child.done()]
        try:
            await child
        except asyncio.CancelledError:
            return [asked, child.done(), child.cancel()]
        return []

    home.workflow(asks)
    home.start("asks", id="p")
    home.skip(SECOND)
    assert home.result("p") == [[True, True, False], True, False]
    assert len(of(home, "p", e.ChildWorkflowCancelRequested)) == 1
    assert of(home, "p/nap-0", e.WorkflowCancelRequested) == [e.WorkflowCancelRequested("its parent p no longer waits for it")]


def test_f06_given_a_cancelled_gather_then_the_child_is_cancelled_and_the_shielded_timer_succeeds(home: Workbench) -> None:
    seen: list[Any] = []

    @workflow
    async def gathers() -> str:
        shielded = asyncio.create_task(asyncio.sleep(9, "shielded"))
        try:
            await asyncio.gather(asyncio.sleep(60), asyncio.shield(shielded), families.nap(60))
        except asyncio.CancelledError:
            seen.append(await shielded)
            raise
        return ""

    home.workflow(gathers)
    home.start("gathers", id="p")
    home.call("cancel", "p")
    assert statuses(home, "p/nap-0") == ["Cancelled"]
    home.skip(9 * SECOND)
    assert statuses(home, "p") == ["Cancelled"] and seen[-1] == "shielded"


def test_f07_given_a_cancelled_child_task_then_exactly_one_cancel_request_and_no_stray_log(home: Workbench, caplog: Any) -> None:
    @workflow
    async def asks() -> bool:
        task = asyncio.create_task(families.slow_to_stop(60))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    home.workflow(asks)
    home.start("asks", id="p")
    home.skip(SECOND)
    home.skip(SECOND)
    assert home.result("p") is True
    assert len(of(home, "p", e.ChildWorkflowCancelRequested)) == 1
    assert len(of(home, "p/slow_to_stop-0", e.WorkflowCancelRequested)) == 1
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


def code_elsewhere(bench: Workbench) -> list[str]:
    """A workflow whose code is stored and may not run here until the list is emptied."""
    why = ["trust"]
    code = bench.workflow(families.nap, name="elsewhere")
    del bench.codes["elsewhere"]

    def load(name: str, version: str) -> Any:
        if name != "elsewhere":
            return Workbench.load(bench, name, version)
        if why:
            raise NotRunnable(why[0])
        return code

    bench.load = load  # type: ignore[method-assign]  # as a store that is not trusted
    bench.crash()
    return why


def test_f08_given_a_child_that_can_never_start_and_the_parent_cancelled_then_the_parent_does_not_hang(home: Workbench) -> None:
    code_elsewhere(home)
    home.start("awaits", "elsewhere", 5, id="p")
    assert statuses(home, "p", "p/elsewhere-0") == ["Running", "Running"]
    assert home.call("entry", "p/elsewhere-0").waiting_for == "trust"
    home.crash()
    assert home.call("entry", "p/elsewhere-0").waiting_for == "trust"
    home.call("cancel", "p")
    assert statuses(home, "p", "p/elsewhere-0") == ["Cancelled", "Terminated"]
    assert "had not begun: it waited for trust" in home.history("p/elsewhere-0")[-1].event.reason


@pytest.mark.parametrize("crashes", [True, False])
def test_a_child_whose_code_comes_later_begins_then(home: Workbench, crashes: bool) -> None:
    why = code_elsewhere(home)
    home.start("awaits", "elsewhere", 5, id="p")
    why.clear()
    if crashes:
        home.crash()
    else:
        home.call("retry_waiting")
    home.skip(5 * SECOND)
    assert home.result("p") == 5


@pytest.mark.parametrize("children", [True, False])
def test_f09_given_cancel_children_then_the_whole_subtree_is_cancelled_without_it_only_the_parent(home: Workbench, children: bool) -> None:
    @workflow
    async def lets_them_be() -> None:
        for n in range(2):
            await workflow.start_child(starts_two, id=f"c{n}", parent_close="abandon")
        await workflow.receive("go")

    @workflow
    async def starts_two() -> None:
        name = workflow.info().workflow_id
        await workflow.start_child(families.nap, 60, id=f"{name}-a", parent_close="abandon")
        await workflow.start_child(families.slow_to_stop, 60, id=f"{name}-b")
        await workflow.receive("go")

    home.workflow(lets_them_be)
    home.workflow(starts_two)
    home.start("lets_them_be", id="p")
    home.call("cancel", "p", None, "enough", children)
    home.skip(SECOND)
    below = ["c0", "c1", "c0-a", "c0-b", "c1-a", "c1-b"]
    assert statuses(home, "p") == ["Cancelled"]
    assert set(statuses(home, *below)) == {"Cancelled" if children else "Running"}
    if children:
        assert sorted(cleaned) == ["c0-a", "c0-b", "c1-a", "c1-b"]


def test_a_child_asked_for_and_no_longer_wanted_within_one_step_leaves_no_trace(home: Workbench) -> None:
    @workflow
    async def asks() -> list[str]:
        task = asyncio.create_task(families.nap(60))
        await asyncio.sleep(0)
        task.cancel()
        child = await workflow.start_child(families.nap, 60)
        child.cancel()
        kept = await workflow.start_child(families.nap, 1)
        await kept
        return [child.id, kept.id]

    home.workflow(asks)
    home.start("asks", id="p")
    home.skip(SECOND)
    assert home.result("p") == ["p/nap-1", "p/nap-2"]
    (asked,) = of(home, "p", e.ChildWorkflowStarted)
    assert (asked.child_id, asked.child_workflow_id) == (0, "p/nap-2")
    assert sorted(map(str, home.store.ids())) == ["p", "p/nap-2"]


# --- parent_close -------------------------------------------------------------------------------------------------------


def end(bench: Workbench, how: str) -> None:
    policies = ("terminate", "request_cancel", "abandon")
    then = {"WorkflowCompleted": "return", "WorkflowFailed": "raise", "WorkflowContinuedAsNew": "new"}.get(how, "wait")
    payload = bench.values.encode_args(policies, {"then": then})
    deadline = 5 * SECOND if how == "WorkflowTimedOut" else None
    bench.call("start", StartRequest("leaves", payload, workflow_id="p", python=HERE, deadline=deadline))
    match how:
        case "WorkflowCancelled":
            bench.call("cancel", "p")
        case "WorkflowTerminated":
            bench.call("terminate", "p")
        case "WorkflowTimedOut":
            bench.skip(5 * SECOND)


@pytest.mark.parametrize("how", ENDS)
def test_parent_close_holds_on_every_end_of_the_parent(home: Workbench, how: str) -> None:
    end(home, how)
    assert type(of(home, "p", e.ChildWorkflowStarted)[0]) is e.ChildWorkflowStarted
    assert how in home.kinds("p")
    abandoned = "TimedOut" if how == "WorkflowTimedOut" else "Running"  # a parent's deadline holds for its children
    expected = {"p-terminate": {"Terminated", "TimedOut"}, "p-request_cancel": {"Cancelled", "TimedOut"}, "p-abandon": {abandoned}}
    for each, allowed in expected.items():
        assert str(home.status(each)) in allowed, each
    if how != "WorkflowTimedOut":
        assert home.history("p-terminate")[-1].event == e.WorkflowTerminated(f"its parent p is {home.store.run_chain('p')[0].status}")


@pytest.mark.parametrize("how", ENDS)
def test_parent_close_and_the_end_of_the_parent_are_one_commit(home: Workbench, how: str) -> None:
    end(home, how)
    at = {each: [r.at for r in home.history(each) if type(r.event) in e.TERMINAL] for each in ("p", "p-terminate", "p-request_cancel")}
    assert len({times[0] for times in at.values()}) == 1


def test_parent_close_reaches_down(home: Workbench) -> None:
    @workflow
    async def level(n: int) -> None:
        if n:
            await workflow.start_child(level, n - 1, id=f"level-{n - 1}")
        await workflow.receive("go")

    home.workflow(level)
    home.start("level", 20, id="level-20")
    commits = home.engine.commits
    home.call("terminate", "level-20")
    assert set(statuses(home, *[f"level-{n}" for n in range(21)])) == {"Terminated"}
    assert home.engine.commits == commits + 1


def test_a_child_started_in_the_parents_last_step_meets_its_parent_close(home: Workbench) -> None:
    home.start("leaves", "terminate", "abandon", id="p")
    assert home.kinds("p") == ["WorkflowStarted", "ChildWorkflowStarted", "ChildWorkflowStarted", "WorkflowCompleted"]
    assert statuses(home, "p-terminate", "p-abandon") == ["Terminated", "Running"]


def test_an_abandoned_child_ends_long_after_its_parent(home: Workbench) -> None:
    home.start("leaves", "abandon", id="p")
    head = len(home.history("p"))
    home.skip(3600 * SECOND)
    assert home.result("p-abandon") == 3600 and len(home.history("p")) == head


def test_a_later_run_of_a_childs_id_is_nobodys_child(home: Workbench) -> None:
    @workflow
    async def asks() -> Any:
        await workflow.start_child(families.at_once, 1, id="c")
        await workflow.receive("go")

    home.workflow(asks)
    home.start("asks", id="p")
    home.start("nap", 60, id="c")
    home.call("terminate", "p")
    assert statuses(home, "c") == ["Running"]


# --- deadlines ----------------------------------------------------------------------------------------------------------


def test_f10_given_a_parent_deadline_then_children_inherit_it_even_after_the_parent_exits_and_survive_recovery(home: Workbench) -> None:
    @workflow
    async def asks() -> None:
        await workflow.start_child(families.nap, 3600, id="plain", parent_close="abandon")
        await workflow.start_child(families.nap, 3600, id="shorter", parent_close="abandon", deadline=5)
        await workflow.start_child(families.nap, 3600, id="longer", parent_close="abandon", deadline="1d")
        await workflow.start_child(below, id="below", parent_close="abandon")

    @workflow
    async def below() -> None:
        await workflow.start_child(families.nap, 3600, id="below-it", parent_close="abandon")

    home.workflow(asks)
    home.workflow(below)
    home.start("asks", id="p", deadline=60 * SECOND)
    assert statuses(home, "p", "below") == ["Completed", "Completed"]
    home.crash()
    home.skip(5 * SECOND)
    assert statuses(home, "plain", "shorter", "longer", "below-it") == ["Running", "TimedOut", "Running", "Running"]
    home.skip(55 * SECOND)
    assert statuses(home, "plain", "longer", "below-it") == ["TimedOut"] * 3


# --- parents that cannot be told now ------------------------------------------------------------------------------------


def test_a_paused_parent_hears_of_it_when_it_is_resumed(home: Workbench) -> None:
    home.start("awaits", "nap", 5, id="p")
    home.call("pause", "p")
    home.skip(5 * SECOND)
    assert home.status("p") is Status.PAUSED and home.history("p")[-1].deferred
    home.crash()
    home.call("resume", "p")
    assert home.result("p") == 5


def test_a_parent_out_of_memory_is_brought_back(home: Workbench) -> None:
    home.start("awaits", "nap", 5, id="p")
    home.call("suspend", "p")
    home.call("suspend", "p/nap-0")
    home.skip(5 * SECOND)
    assert home.result("p") == 5 and not home.history("p")[-2].deferred


def test_a_stuck_parent_hears_of_it_when_it_is_mended(home: Workbench) -> None:
    home.start("awaits", "nap", 5, id="p")
    home.call("suspend", "p")
    mended = home.codes["awaits"]

    async def changed(name: str, seconds: int) -> Any:
        await asyncio.sleep(1)

    home.workflow(changed, name="awaits")
    home.skip(5 * SECOND)
    assert home.history("p")[-1].deferred and home.call("entry", "p").residency == "Stuck"
    home.codes["awaits"] = mended
    home.engine.catalog.add(mended)
    home.call("retry", "p")
    assert home.result("p") == 5


def test_a_paused_child_is_terminated_with_its_parent(home: Workbench) -> None:
    @workflow
    async def waits() -> None:
        await workflow.start_child(families.nap, 60, id="c1")
        await workflow.start_child(families.nap, 60, id="c2", parent_close="request_cancel")
        await workflow.receive("go")

    home.workflow(waits)
    home.start("waits", id="p")
    home.call("pause", "c1")
    home.call("pause", "c2")
    home.signal("p", "go")
    assert statuses(home, "c1", "c2") == ["Terminated", "Paused"]
    home.call("resume", "c2")
    assert statuses(home, "c2") == ["Cancelled"]


# --- messages -----------------------------------------------------------------------------------------------------------


def test_a_parent_signals_its_child(home: Workbench) -> None:
    @workflow
    async def asks() -> Any:
        child = await workflow.start_child(families.listen, "x", 2)
        await child.signal("x", 1)
        await child.signal("x", {"two": 2})
        return await child

    home.workflow(asks)
    home.start("asks", id="p")
    assert home.result("p") == [1, {"two": 2}]


# --- crashes ------------------------------------------------------------------------------------------------------------


@workflow
async def busy() -> list[Any]:
    """Children of every kind, for crashing in the middle of."""
    first = await workflow.start_child(families.nap, 5, id="b-first")
    loser = await workflow.start_child(families.slow_to_stop, 60, id="b-loser")
    try:
        await asyncio.wait_for(loser, 2)
    except TimeoutError:
        pass
    failed = await asyncio.gather(workflow.execute_child(families.nap, 1, True, id="b-failed"), return_exceptions=True)
    taken = await asyncio.gather(workflow.execute_child(families.nap, 1, id="b-first"), return_exceptions=True)
    await workflow.start_child(families.leaves, "terminate", "abandon", id="b-leaves", parent_close="abandon")
    loop = await workflow.execute_child(families.countdown, 2, 1, id="b-loop")
    await workflow.start_child(families.nap, 3600, id="b-left")
    return [await first, type(failed[0]).__name__, type(taken[0].cause).__name__, loop[0]]


def drive(bench: Workbench) -> None:
    """Start `busy` unless the log has it, and let ten minutes pass."""
    if not bench.store.inner.ids():
        bench.start("busy", id="b")
    for _ in range(12):
        bench.skip(SECOND)


def lives(store: Any) -> dict[str, list[str]]:
    """What happened to every run, without what a crash may change: who had to wait, and the ids of runs."""
    found: dict[str, list[str]] = {}
    for workflow_id in store.ids():
        found[str(workflow_id)] = [type(recorded.event).__name__ for recorded in store.read(workflow_id)]
    return found


def test_a_crash_at_every_commit_changes_nothing(make_bench: Callable[..., Workbench]) -> None:
    def fresh(store: FaultyStore | None = None) -> Workbench:
        bench = make_bench(store or FaultyStore(MemoryStore()))
        families.define(bench)
        bench.workflow(busy)
        return bench

    control = fresh()
    drive(control)
    assert control.result("b") == [5, "ChildWorkflowError", "AlreadyStarted", 3]
    expected = lives(control.store.inner)
    assert expected["b-left"][-1] == "WorkflowTerminated" and expected["b-loser"][-1] == "WorkflowCancelled"
    writes = control.engine.commits
    assert writes >= 7
    for number in range(1, writes + 1):
        for after in (False, True):
            bench = fresh()
            bench.store.crash(number, after=after)
            for _ in range(3):
                try:
                    drive(bench)
                    break
                except Crash:
                    while True:
                        try:
                            bench.crash()
                            break
                        except Crash:
                            continue
            drive(bench)
            assert lives(bench.store.inner) == expected, f"crash {'after' if after else 'before'} commit {number}"


@pytest.mark.parametrize("written", [True, False])
def test_a_commit_in_doubt_at_every_place_changes_nothing(make_bench: Callable[..., Workbench], written: bool) -> None:
    control = make_bench()
    families.define(control)
    control.workflow(busy)
    drive(control)
    expected = lives(control.store.inner)
    for number in range(1, control.engine.commits + 1):
        bench = make_bench()
        families.define(bench)
        bench.workflow(busy)
        bench.store.fail(number, lambda: errors.StoreUnavailable("gone"), after=written)
        for _ in range(5):
            try:
                drive(bench)
                break
            except errors.StoreError:
                bench.host.pump()
        drive(bench)
        assert lives(bench.store.inner) == expected, f"commit {number}"


# --- with the rest of the vocabulary --------------------------------------------------------------------------------------


def test_children_in_gather_race_map_and_wait(home: Workbench) -> None:
    @workflow
    async def several() -> list[Any]:
        gathered = await workflow.gather(families.nap(1), families.nap(2))
        first = await workflow.race(families.nap(3), families.nap(60))
        mapped = await workflow.map(families.nap, [1, 2, 3], max_concurrent=2)
        handles = [await workflow.start_child(families.nap, n) for n in (5, 4)]
        done, pending = await asyncio.wait(handles, return_when=asyncio.FIRST_COMPLETED)
        async with asyncio.timeout(60):
            last = await asyncio.shield(pending.pop())
        return [gathered, first, mapped, done.pop().result(), last]

    home.workflow(several)
    home.start("several", id="p")
    for _ in range(20):
        home.skip(SECOND)
    assert home.result("p") == [[1, 2], 3, [1, 2, 3], 4, 5]
    assert sorted(set(map(str, (home.status(each) for each in home.store.ids() if each != "p")))) == ["Cancelled", "Completed"]


def test_a_query_cannot_start_a_child(home: Workbench) -> None:
    @workflow
    async def asks() -> None:
        workflow.on_query("bad", lambda: families.nap(1))
        workflow.on_query("worse", lambda: workflow.continue_as_new())
        await workflow.receive("go")

    home.workflow(asks)
    home.start("asks", id="p")
    for name in ("bad", "worse"):
        with pytest.raises(errors.QueryFailed, match="read-only"):
            home.call("query", "p", name, home.values.encode_args((), {}))
    assert home.kinds("p") == ["WorkflowStarted"]


def test_compensations_are_children_too(home: Workbench) -> None:
    @workflow
    async def asks() -> None:
        async with workflow.compensation() as undo:
            undo.add(families.at_once, "undone")
            raise ValueError("no")

    home.workflow(asks)
    home.start("asks", id="p")
    assert home.status("p") is Status.FAILED and home.result("p/at_once-0") == "undone"


def test_a_run_without_children_holds_nothing_for_them(home: Workbench) -> None:
    home.start("listen", "x", 1, id="w")
    live = home.engine.registry.get("w")
    assert live is not None and live.process is not None
    assert live.children is None and live.process._offspring is None


# --- a defect while a child begins and ends ------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["call", "result", "timer"])
def test_a_defect_in_a_run_that_would_begin_stops_what_led_to_it_and_is_not_tried_for_ever(
    home: Workbench, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def instant() -> None:
        pass

    async def flow(how: str) -> None:
        if how == "result":
            await charge(1)
        elif how == "timer":
            await asyncio.sleep(1)
        await workflow.execute_child("instant")

    def defect(engine: Any, run: Any) -> None:
        if run.row.workflow_type == "instant":
            raise ZeroDivisionError("a defect of ours")
        kept(engine, run)

    kept = children._ended
    monkeypatch.setattr(children, "_ended", defect)
    for one in (instant, flow):
        home.workflow(one)
    if how == "call":
        with pytest.raises(ZeroDivisionError):
            home.start("flow", how, id="p")
        assert home.call("types") and "p" not in home.store.ids()
        return
    home.start("flow", how, id="p")
    home.skip(2 * SECOND)
    assert home.status("p") is Status.RUNNING and isinstance(home.engine.find("p").stuck, ZeroDivisionError)  # type: ignore[union-attr]  # it is there
    assert not home.engine.halted and "p/instant-0" not in home.store.ids()
    home.call("terminate", "p")
