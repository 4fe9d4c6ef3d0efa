"""Families of runs: children are started, told, stopped and heard of in the turn of the step that causes it, hence in one commit.

What a step asks of other runs is put aside (`Turn.see_to`) and seen to here once the step is recorded whole; so is the end of a run that
has a parent or children. A parent's record of a child and the child's own start are one transaction, and so are the child's end and what
the parent is told: a crash finds both or neither, and recovery has nothing to make good.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from aionlab.core import events as e
from aionlab.core.errors import InvalidOption, StartAborted, UsageError
from aionlab.core.events import is_answer
from aionlab.core.failure import Failure
from aionlab.core.ids import RunId, WorkflowId
from aionlab.core.values import values_for
from aionlab.replay.pythons import HERE

from . import processes
from .addressing import NotResumed
from .attributes import as_given
from .catalog import NotRunnable
from .lifecycle import continuing
from .lifecycle import start as starting
from .run import LiveRun, OpenChild

if TYPE_CHECKING:
    from .engine import Engine

DEEPEST = 1000
"""Parents a run may have above it: a workflow that starts itself without end is stopped here."""
CAUSES = 10
"""Errors kept of a chain of causes that reaches through children."""
VALUES = values_for(None)


# --- what a step asks for ------------------------------------------------------------------------------------------------


def asked(engine: Engine, run: LiveRun, request: e.ChildWorkflowStarted) -> None:
    """Record a child with the run id and the version it gets; it starts behind the step."""
    turn = engine.turn_now
    known = engine.catalog.routed(request.workflow_type)
    child = replace(request, child_run_id=engine.ids.run_id(), version=known or "")
    turn.record(run, child)
    if run.process is not None:
        run.process.child_recorded(child)
    turn.see_to(run, partial(_start, engine, run, child))


def asked_to_stop(engine: Engine, run: LiveRun, request: e.ChildWorkflowCancelRequested) -> None:
    """Record that the code no longer wants a child; it is told behind the step."""
    opened = run.children.get(request.child_id) if run.children else None
    engine.turn_now.record(run, request)
    if opened is not None:
        engine.turn_now.see_to(run, partial(_stop, engine, run, opened))


ASKED: Final[dict[type, Callable[[Engine, LiveRun, Any], None]]] = {
    e.ChildWorkflowStarted: asked, e.ChildWorkflowCancelRequested: asked_to_stop, e.WorkflowContinuedAsNew: continuing.leave,
}  # fmt: skip
"""Answers that concern more runs than the one that asked."""


# --- seeing to it --------------------------------------------------------------------------------------------------------


def see_to(engine: Engine) -> None:
    """Everything this turn's steps have put aside, first come, first served, with what follows from it."""
    turn = engine.turn_now
    affairs, at = turn.affairs, turn.at
    while affairs:
        turn.at, act = affairs.popleft()
        if act is None:
            _ended(engine, turn.at)
        else:
            act()
    turn.at = at


def _start(engine: Engine, parent: LiveRun, child: e.ChildWorkflowStarted) -> None:
    try:
        request = _request(engine, parent, child)
        try:
            starting.start(engine, request)
        except NotRunnable as error:
            starting.start_waiting(engine, request, child.version, error.why)
    except StartAborted:  # the child is recorded, and its end with it, which the parent hears of as of any
        return
    except (UsageError, NotRunnable) as error:
        engine.run_keys += 1  # the run id that was given is used up; ids that are counted go by the keys in use when they begin again
        if not parent.closed:
            engine.fact(parent, e.ChildWorkflowFailed(child.child_id, VALUES.failure(error)))


def _request(engine: Engine, parent: LiveRun, child: e.ChildWorkflowStarted) -> starting.StartRequest:
    """The start of a child. Raises InvalidOption where it lies too deep."""
    started = parent.started
    assert started is not None
    above = started.origin or e.Origin()
    if above.depth >= DEEPEST:
        raise InvalidOption(f"{child.child_workflow_id} would be a child {DEEPEST + 1} levels down; does {child.workflow_type} start itself without end?")
    origin = e.Origin(
        parent.run_id, child.child_id, above.root_workflow_id or parent.workflow_id, above.root_run_id or parent.run_id, above.depth + 1, started.deadline
    )
    return starting.StartRequest(
        child.workflow_type, child.input, child.version or None, child.child_workflow_id, child.child_run_id, as_given(child.search_attributes),
        child.memo, child.deadline, python=HERE, parent_workflow_id=parent.workflow_id, origin=origin,
    )  # fmt: skip


def _ended(engine: Engine, run: LiveRun) -> None:
    """A run closed: its children become what their `parent_close` says, and its parent is told, unless the run went on as new."""
    for opened in list((run.children or {}).values()):
        _parent_closed(engine, run, opened)
    if type(run.outcome) is not e.WorkflowContinuedAsNew and run.started is not None and run.started.parent_workflow_id is not None and run.started.origin:
        tell_parent(engine, run, run.started, run.started.origin)


def _parent_closed(engine: Engine, parent: LiveRun, opened: OpenChild) -> None:
    child = None if opened.parent_close == "abandon" else living(engine, parent, opened)
    if child is None:
        return
    reason = f"its parent {parent.workflow_id} is {parent.status}"
    if opened.parent_close == "terminate":
        engine.turn_now.record(child, e.WorkflowTerminated(reason))
    else:
        ask_to_stop(engine, child, reason)


def _stop(engine: Engine, parent: LiveRun, opened: OpenChild) -> None:
    child = living(engine, parent, opened)
    if child is not None:
        ask_to_stop(engine, child, f"its parent {parent.workflow_id} no longer waits for it")


def ask_to_stop(engine: Engine, child: LiveRun, reason: str | None, subtree: bool = False) -> None:
    """Ask an open run to stop. One whose code has never begun, and may never, is terminated: there is nothing of it to clean up."""
    if child.closed or child.cancel_requested:
        return
    if child.waits_for and not _has_begun(engine, child):
        engine.turn_now.record(child, e.WorkflowTerminated(f"{reason}; it had not begun: it waited for {child.waits_for}"))
    else:
        engine.fact(child, e.WorkflowCancelRequested(reason, subtree))


def _has_begun(engine: Engine, run: LiveRun) -> bool:
    turn = engine.turn_now
    history = engine.store.run_history(run.key) + (turn.pending(run) if run.key in turn.touched else [])
    return not history[0].deferred or any(is_answer(recorded.event) for recorded in history)


def tell_parent(engine: Engine, child: LiveRun, started: e.WorkflowStarted, origin: e.Origin) -> None:
    """The fact of a child's end, in its parent's history; nothing when the parent has closed or no longer counts the child."""
    assert started.parent_workflow_id is not None and origin.parent_run_id is not None and origin.child_id is not None
    parent = engine.find(started.parent_workflow_id, origin.parent_run_id) or _stored(engine, started.parent_workflow_id, origin.parent_run_id)
    if parent is None or parent.closed:
        return
    readable = parent.started is not None
    if readable and origin.child_id not in (parent.children or {}):
        return
    went_on = origin.run_number > 1
    engine.fact(parent, _end_of(origin.child_id, child.outcome, child.run_id if went_on else None))


def _end_of(child_id: int, outcome: e.Event | None, run_id: RunId | None) -> e.ChildEnd:
    match outcome:
        case e.WorkflowCompleted(result=result):
            return e.ChildWorkflowCompleted(child_id, result, run_id)
        case e.WorkflowFailed(error=failure):
            return e.ChildWorkflowFailed(child_id, _trimmed(failure), run_id)
        case e.WorkflowCancelled(reason=reason):
            return e.ChildWorkflowCancelled(child_id, reason, run_id)
        case e.WorkflowTimedOut(deadline=deadline):
            return e.ChildWorkflowTimedOut(child_id, deadline, run_id)
        case e.WorkflowTerminated(reason=reason, details=details):
            return e.ChildWorkflowTerminated(child_id, reason, details, run_id)
        case _:
            raise AssertionError(f"{outcome} does not end a child")


def _trimmed(failure: Failure) -> Failure:
    """The failure with what is between the first and the last of a long chain of causes left out: it would grow with every parent."""
    chain = [failure]
    while (cause := chain[-1].cause) is not None:
        chain.append(cause)
    if len(chain) <= CAUSES:
        return failure
    kept = None
    for each in reversed([*chain[:2], *chain[2 - CAUSES :]]):
        kept = replace(each, cause=kept)
    assert kept is not None
    return kept


# --- finding each other --------------------------------------------------------------------------------------------------


def living(engine: Engine, parent: LiveRun, opened: OpenChild) -> LiveRun | None:
    """The open run of a child: the one that was started, or the one it has gone on as."""
    workflow_id = opened.started.child_workflow_id
    child = engine.find(workflow_id) or _stored(engine, workflow_id)
    if child is None or child.closed or child.started is None or child.started.origin is None:
        return None
    origin = child.started.origin
    ours = (parent.workflow_id, parent.run_id, opened.started.child_id)
    return child if (child.started.parent_workflow_id, origin.parent_run_id, origin.child_id) == ours else None


def _stored(engine: Engine, workflow_id: WorkflowId, run_id: RunId | None = None) -> LiveRun | None:
    """An open run that is in the log alone."""
    row = engine.store.run(workflow_id, run_id)
    return None if row is None or row.status.closed else processes.adopt(engine, row, NotResumed(workflow_id))


def subtree(engine: Engine, run: LiveRun) -> list[LiveRun]:
    """The open runs below a run, parents before their children."""
    found: list[LiveRun] = []
    above = [run]
    while above:
        parent = above.pop(0)
        for opened in (parent.children or {}).values():
            child = living(engine, parent, opened)
            if child is not None:
                found.append(child)
                above.append(child)
    return found


__all__ = ["ask_to_stop", "asked", "asked_to_stop", "living", "see_to", "subtree", "tell_parent"]
