"""Children and continue-as-new in a process alone: what is asked for, what comes back, what replay compares."""
from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from aionlab import workflow
from aionlab.core import errors
from aionlab.core import events as e
from aionlab.core.errors import NondeterminismError
from aionlab.core.events import Recorded
from aionlab.core.ids import RunId, WorkflowId
from aionlab.replay.children import ContinueAsNew, goes_on, unwrapped
from aionlab.replay.process import Process
from aionlab.replay.rebuild import Rebuilt, rebuild
from tests.replay.conftest import BEGUN, VALUES, Stepper


@workflow
async def ship(n: int) -> int: ...


def recorded(run: Stepper) -> list[Recorded]:
    """The history as an engine completes it: children have run ids and versions."""
    done = []
    for one in run.history:
        event = one.event
        if isinstance(event, e.ChildWorkflowStarted):
            event = replace(event, child_run_id=RunId(f"run-{event.child_id}"), version="v9")
        elif isinstance(event, e.WorkflowContinuedAsNew):
            event = replace(event, next_run_id=RunId("run-next"))
        done.append(one._replace(event=event))
    return done


def again(run: Stepper, function: Any = None, history: list[Recorded] | None = None, workflow_id: str = "w") -> Rebuilt:
    code = run.code if function is None else run.code._replace(function=function)
    rebuilt = rebuild(lambda trace: Process(code, run.started, workflow_id, "r", BEGUN, None, trace), history or recorded(run))
    return rebuilt


async def two(n: int) -> list[Any]:
    first = await workflow.start_child(ship, n)
    second = await workflow.start_child(ship, n + 1, id="named", parent_close="abandon")
    return [first.id, first.run_id, await second, await first, first.run_id]


def test_children_are_numbered_in_the_order_asked(step: Any) -> None:
    run = step(two, 5)
    assert [(a.child_id, a.child_workflow_id, a.named, a.input, a.parent_close) for a in run.answers] == [
        (0, "w/ship-0", False, b"[5]", "terminate"), (1, "named", True, b"[6]", "abandon"),
    ]  # fmt: skip


def test_what_the_record_gives_reaches_the_handle_on_replay_too(step: Any) -> None:
    run = step(two, 5)
    for number in (0, 1):
        run.process.child_recorded(recorded(run)[1 + number].event)
    run.fact(e.ChildWorkflowCompleted(1, VALUES.encode(7)))
    run.fact(e.ChildWorkflowCompleted(0, VALUES.encode(6), RunId("run-last")))
    assert VALUES.decode(run.answers[0].result) == ["w/ship-0", None, 7, 6, "run-last"]
    rebuilt = again(run)
    assert rebuilt.process.finished and not rebuilt.warnings


def test_an_id_left_to_us_is_the_recorded_one(step: Any) -> None:
    """A fork has another workflow id: its children so far are those of the history it comes from."""
    run = step(two, 5)
    rebuilt = again(run, workflow_id="fork")
    assert rebuilt.process._offspring is not None and rebuilt.process._offspring.open[0].id == "w/ship-0"
    rebuilt.process.close()


@pytest.mark.parametrize(("change", "why"), [
    ({"workflow_type": "pack"}, r"history has child pack#0 \(w/ship-0\), the code asked for child ship#0"),
    ({"child_workflow_id": WorkflowId("other"), "named": True}, r"history has child ship#0 \(other\), the code asked for child ship#0 \(w/ship-0\)"),
    ({"child_id": 1}, "child ship#1"),
], ids=["type", "id", "ordinal"])  # fmt: skip
def test_another_child_is_a_divergence(step: Any, change: dict[str, Any], why: str) -> None:
    run = step(two, 5)
    history = recorded(run)
    history[1] = history[1]._replace(event=replace(history[1].event, **change))
    with pytest.raises(NondeterminismError, match=why) as caught:
        again(run, history=history)
    assert "start_child(ship, n)" in _line(caught.value.source)


def _line(source: str) -> str:
    import linecache

    place = source.split(", in ")[0]
    name, _, number = place.rpartition(":")
    return linecache.getline(name, int(number))


@pytest.mark.parametrize("change", [{"input": b"[9]"}, {"parent_close": "abandon"}, {"deadline": 5}, {"memo": "1"}])
def test_other_arguments_are_a_warning(step: Any, change: dict[str, Any]) -> None:
    run = step(two, 5)
    history = recorded(run)
    history[1] = history[1]._replace(event=replace(history[1].event, **change))
    rebuilt = again(run, history=history)
    assert [warning.seq for warning in rebuilt.warnings] == [2]
    rebuilt.process.close()


def test_a_child_that_is_cancelled_waits_for_its_end(step: Any) -> None:
    async def waits() -> str:
        try:
            await ship(1)
        except asyncio.CancelledError:
            return "stopped"
        return "not"

    run = step(waits)
    assert run.cancel() == [e.ChildWorkflowCancelRequested(0)]
    assert run.fact(e.WorkflowCancelRequested("again")) == []
    (end,) = run.fact(e.ChildWorkflowCancelled(0))
    assert VALUES.decode(end.result) == "stopped"
    again(run).process.close()


@pytest.mark.parametrize(("fact", "kind", "why"), [
    (e.ChildWorkflowFailed(0, VALUES.failure(ValueError("no"))), ValueError, "ValueError: no"),
    (e.ChildWorkflowCancelled(0, "late"), errors.WorkflowCancelledError, "w/ship-0 was cancelled: late"),
    (e.ChildWorkflowTerminated(0, "late", "more"), errors.WorkflowTerminatedError, "w/ship-0 was terminated: late"),
    (e.ChildWorkflowTimedOut(0, BEGUN), errors.WorkflowTimedOutError, "w/ship-0 ran past its deadline"),
], ids=["failed", "cancelled", "terminated", "timed out"])  # fmt: skip
def test_errors_of_children(step: Any, fact: e.ChildEnd, kind: type, why: str) -> None:
    seen: list[BaseException] = []

    async def catches() -> None:
        try:
            await ship(1)
        except errors.ChildWorkflowError as error:
            seen.append(error)

    run = step(catches)
    run.fact(fact)
    (error,) = seen
    assert isinstance(error, errors.ChildWorkflowError) and isinstance(error.cause, kind) and error.__cause__ is error.cause
    assert str(error) == f"child ship (w/ship-0) did not complete: {why}"
    kept = VALUES.failure(error)
    rebuilt = VALUES.error(kept)
    assert isinstance(rebuilt, errors.ChildWorkflowError) and isinstance(rebuilt.cause, kind) and str(rebuilt) == str(error)


def test_default_ids_are_never_too_long(step: Any) -> None:
    async def asks() -> list[str]:
        return [(await workflow.start_child(ship, n)).id for n in range(2)]

    run = step(asks)
    process = Process(run.code, run.started, "ü" * 254, "r", BEGUN)
    first, second, _ = process.deliver(run.started, BEGUN)
    names = [first.child_workflow_id, second.child_workflow_id]
    assert len(set(names)) == 2 and all(len(name) <= 255 and len(name.encode()) <= 1000 for name in names)


# --- continue-as-new ----------------------------------------------------------------------------------------------------


def test_going_on_as_new_is_compared_by_its_arguments(step: Any) -> None:
    async def goes(n: int) -> None:
        workflow.continue_as_new(n + 1)

    async def other(n: int) -> None:
        workflow.continue_as_new(n + 2)

    async def ends(n: int) -> None:
        return None

    run = step(goes, 1)
    (end,) = run.answers
    assert end == e.WorkflowContinuedAsNew(b"[2]")
    assert not again(run).warnings
    assert len(again(run, other).warnings) == 1
    with pytest.raises(NondeterminismError, match=r"the end of the workflow \(continued as new\)"):
        again(run, ends)


def test_what_was_asked_in_the_last_step_is_recorded_before_the_end(step: Any) -> None:
    async def goes(n: int) -> None:
        await workflow.start_child(ship, n, parent_close="abandon")
        asyncio.get_running_loop().call_later(5, print)
        workflow.continue_as_new(n + 1)

    run = step(goes, 1)
    assert [type(answer).__name__ for answer in run.answers] == ["ChildWorkflowStarted", "WorkflowContinuedAsNew"]


def test_untaken_signals_are_counted(step: Any) -> None:
    async def takes() -> None:
        await workflow.receive("a")
        await workflow.receive("end")
        workflow.continue_as_new()

    run = step(takes)
    for name in ("a", "a", "b", "a", "end"):
        run.signal(name, name)
    assert sorted(run.process.untaken()) == ["a", "a", "b"]


def test_groups_and_what_they_hold() -> None:
    event = e.WorkflowContinuedAsNew(b"[]")
    new, other = ContinueAsNew(event), ValueError("x")
    assert goes_on(new) is event and goes_on(other) is None and goes_on(None) is None
    assert goes_on(BaseExceptionGroup("g", [other, BaseExceptionGroup("h", [new])])) is event
    assert unwrapped(ExceptionGroup("g", [ExceptionGroup("h", [other])])) is other
    several = ExceptionGroup("g", [other, KeyError()])
    assert unwrapped(several) is several and unwrapped(other) is other
