"""Reopen: a run that did not complete goes on, as the same run. `replay.leases` says from where."""
from __future__ import annotations

from typing import TYPE_CHECKING

from aionlab.core import events as e
from aionlab.core.errors import CannotReopen, StoreReadOnly
from aionlab.core.events import Recorded
from aionlab.core.ports import Run
from aionlab.core.status import REOPENED, Status
from aionlab.replay import rebuild as replaying
from aionlab.replay.leases import reopening
from aionlab.replay.process import Code, Process

from .. import children, processes
from ..addressing import any_run, check_text
from ..run import LiveRun, OpenChild, Recorder

if TYPE_CHECKING:
    from ..engine import Engine


def reopen(engine: Engine, workflow_id: str, run_id: str | None = None, reason: str | None = None, version: str | None = None) -> object:
    """Go on with a run that failed, was cancelled or terminated, or ran out of time; the ids it has.

    What is recorded as done is not done again. Activities that had failed for good run again, with the attempts and the time their options
    give them; timers are pending at their old times. With `version` the run goes on under that code. Raises CannotReopen, and what trying
    that code raises, with nothing written.
    """
    reason = check_text("the reason", reason)
    row = any_run(engine, workflow_id, run_id)
    if engine.store.readonly:
        raise StoreReadOnly("this lab only looks on: another kernel owns the database")
    live = engine.find(row.workflow_id, row.run_id)
    if live is not None and live.closed:  # it has ended in this very turn
        return engine.put_off()
    _check(engine, row)
    history = processes.legible(engine, engine.store.run_history(row.key))
    run = LiveRun(row, Recorder(row.workflow_id, row.workflow_key, engine.store.head(row.workflow_id)))
    run.refold(history)
    turn = engine.turn_now
    reopened = reopening(history, turn.now, reason)
    code = None if version is None else engine.catalog.resolve(row.workflow_type, version)
    if code is not None:
        _try(engine, run, code, [*history, history[-1]._replace(seq=history[-1].seq + 1, event=reopened, deferred=True)])
    engine.registry.insert(run)
    turn.record(run, reopened, deferred=True)
    if code is not None and code.version != run.row.version:
        turn.record(run, e.VersionChanged(run.row.version, code.version))
    history += turn.pending(run)
    run.refold(history)
    processes.revive(engine, run, history)
    for opened in list((run.children or {}).values()):
        _reunite(engine, run, opened)
    return row.workflow_id, row.run_id


def _try(engine: Engine, run: LiveRun, code: Code, history: list[Recorded]) -> None:
    """Replay what counts of the history against other code. Raises NondeterminismError where they disagree."""
    started = run.started
    assert started is not None
    replaying.rebuild(
        lambda trace: Process(code, started, run.workflow_id, run.run_id, run.row.started_at, engine.ready, trace),  # type: ignore[abstract]  # as in processes
        history,
    ).process.close()


def _reunite(engine: Engine, parent: LiveRun, opened: OpenChild) -> None:
    """What has become of a child since its parent closed: one that was stopped for it goes on with it, the end of another is told now."""
    if children.living(engine, parent, opened) is not None:
        return
    name, number = opened.started.child_workflow_id, opened.started.child_id
    chain = engine.store.run_chain(name)
    for row in reversed(chain):
        child = LiveRun(row, Recorder(name, row.workflow_key, 0))
        child.refold(engine.store.run_history(row.key))
        started = child.started
        if started is None or started.origin is None or (started.origin.parent_run_id, started.origin.child_id) != (parent.run_id, number):
            continue
        if row is chain[-1] and child.status in (Status.TERMINATED, Status.CANCELLED):
            reopen(engine, name, row.run_id, f"its parent {parent.workflow_id} was reopened")
        else:
            children.tell_parent(engine, child, started, started.origin)
        return
    engine.fact(parent, e.ChildWorkflowTerminated(number, "nothing is recorded of it any more"))


def _check(engine: Engine, row: Run) -> None:
    newest = engine.turn_now.planned.get(row.workflow_id) or engine.find(row.workflow_id) or engine.store.run(row.workflow_id)
    assert newest is not None
    if newest.run_id != row.run_id:
        raise CannotReopen(row.workflow_id, row.run_id, row.status.value, f"run {newest.run_id} has followed it; fork it to go on beside that one")
    if row.status in REOPENED:
        return
    why = {
        Status.COMPLETED: "it has its result; fork or reset it to do part of it again",
        Status.CONTINUED_AS_NEW: "it goes on as another run",
    }.get(row.status, "it is open")
    raise CannotReopen(row.workflow_id, row.run_id, row.status.value, why)


