"""Updates: checked by the run's own validator, recorded with the step they cause, answered by what their handler returns.

An update that its run refuses leaves nothing behind. One that cannot be checked now (the run is paused, stuck, or has not begun) is
recorded unchecked and waits; it is checked in its step. An id names one update of a run for ever: asked again, it is the same update,
also after the run has ended. Whoever waits for the result does so apart from the run's process, which may come and go meanwhile.
"""
from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from aionlab.core import events as e
from aionlab.core.errors import RunClosed, RunNotFound, UpdateNotFound, UpdateRejected, UpdateUnfinished
from aionlab.core.ids import RunId, WorkflowId
from aionlab.core.names import check_name
from aionlab.core.ports import Run
from aionlab.core.status import Status

from . import processes, waiting
from .addressing import any_run, open_run
from .call import Call
from .lifecycle import start as starting
from .run import LiveRun

if TYPE_CHECKING:
    from .engine import Engine


class Accepted(NamedTuple):
    """An update that is recorded."""

    workflow_id: WorkflowId
    run_id: RunId
    workflow_type: str
    update_id: str


def update(
    engine: Engine, workflow_id: str, name: str, args: e.Payload, update_id: str | None = None, run_id: str | None = None, waiter: Call | None = None
) -> Accepted:
    """Accept an update: recorded when this is answered. An `update_id` the run has seen is that update, and nothing new. `waiter` is a call
    of `update_result`; it is answered with what becomes of the update.

    Raises UpdateRejected, RunNotFound, RunClosed, InvalidName with nothing written.
    """
    name = check_name("update name", name)
    row = any_run(engine, workflow_id, run_id)
    if update_id is not None:
        update_id = check_name("update id", update_id)
        if _known(engine, row, update_id):
            return _attached(engine, row, update_id, waiter)
    run = open_run(engine, row.workflow_id, row.run_id)
    if run.process is None and run.status is Status.RUNNING and not run.stuck and not run.waits_for:
        processes.make_resident(engine, run)
    engine.flush(run)
    if run.closed:
        raise RunClosed(run.workflow_id, run.run_id, str(run.status))
    process = run.process
    checked = run.can_step and not run.deferred and process is not None and process.main is not None
    if checked and process is not None:
        try:
            process.admit(name, args)
        finally:
            if process.meddled:
                processes.suspend(engine, run)
    update_id = update_id or _mint(run)
    if waiter is not None:
        waiting.wait_for_update(run, update_id, waiter)
    engine.fact(run, e.UpdateAccepted(update_id, name, args, checked))
    return Accepted(run.workflow_id, run.run_id, run.row.workflow_type, update_id)


def update_with_start(
    engine: Engine, request: starting.StartRequest, name: str, args: e.Payload, update_id: str | None = None, waiter: Call | None = None
) -> Accepted:
    """Start a run with an update that its first step finds, or send the update to the run there is, where the policies of the start say so.
    An `update_id` that the newest run of the id has seen is that update, whatever the policies say.

    Raises as `start` and `update`; where the new run refuses the update, it has been started without.
    """
    name = check_name("update name", name)
    if update_id is not None:
        update_id = check_name("update id", update_id)
        row = None if request.workflow_id is None else _newest(engine, request.workflow_id)
        if row is not None and _known(engine, row, update_id):
            return _attached(engine, row, update_id, waiter)
    before = engine.run_keys
    first = e.UpdateAccepted(update_id or "update-1", name, args, checked=False)
    workflow_id, run_id = starting.start(engine, replace(request, first=first))
    run = engine.find(workflow_id, run_id)
    if run is not None and run.key > before:
        if run.mail is not None and first.update_id in run.mail.updates:
            return _attached(engine, run.row, first.update_id, waiter)
        if run.closed:
            raise UpdateRejected(workflow_id, name, "the run was started, refused it in its first step, and has ended")
    return update(engine, workflow_id, name, args, update_id, run_id, waiter)


def update_result(engine: Engine, workflow_id: str, update_id: str, run_id: str | None = None) -> e.UpdateCompleted | object:
    """What became of an update, as soon as that is recorded. Raises RunNotFound, UpdateNotFound, UpdateUnfinished when the run ended first."""
    row = any_run(engine, workflow_id, run_id)
    if not _known(engine, row, update_id):
        raise UpdateNotFound(row.workflow_id, update_id)
    found = _answer(engine, row, update_id)
    if found is not None:
        return found
    run, call = engine.find(row.workflow_id, row.run_id), engine.call
    assert run is not None and call is not None
    waiting.wait_for_update(run, update_id, call)
    return Call.LATER


def update_known(engine: Engine, workflow_id: str, update_id: str, run_id: str | None = None) -> None:
    """Raises RunNotFound, UpdateNotFound."""
    row = any_run(engine, workflow_id, run_id)
    if not _known(engine, row, update_id):
        raise UpdateNotFound(row.workflow_id, update_id)


def completed(engine: Engine, run: LiveRun, event: e.UpdateCompleted) -> None:
    """An update's answer is being recorded: those who wait get it after the commit."""
    if run.waiters:
        engine.turn_now.after_commit(waiting.give, run, event)


def _attached(engine: Engine, row: Run, update_id: str, waiter: Call | None) -> Accepted:
    """The update there is, with one more who waits for it."""
    if waiter is not None:
        run = engine.find(row.workflow_id, row.run_id)
        try:
            found = _answer(engine, row, update_id)
        except UpdateUnfinished as error:
            engine.turn_now.after_commit(waiter.fail, error)
        else:
            if found is not None:
                engine.turn_now.after_commit(waiter.answer, found)
            elif run is not None:
                waiting.wait_for_update(run, update_id, waiter)
    return Accepted(row.workflow_id, row.run_id, row.workflow_type, update_id)


def _answer(engine: Engine, row: Run, update_id: str) -> e.UpdateCompleted | None:
    """What an update the run has seen came to; None when its handler is not done. Raises UpdateUnfinished when it never will be."""
    run = engine.find(row.workflow_id, row.run_id)
    if run is not None and not run.closed and run.mail is not None and not run.mail.updates[update_id]:
        return None
    history = engine.store.run_history(row.key)
    found = waiting.completion(history if run is None else history + engine.turn_now.pending(run), update_id)
    if found is None:
        raise UpdateUnfinished(row.workflow_id, update_id, str(row.status))
    return found


def _known(engine: Engine, row: Run, update_id: str) -> bool:
    """Whether the run has seen an update of this id."""
    run = engine.find(row.workflow_id, row.run_id)
    if run is not None and run.started is not None:
        return run.mail is not None and update_id in run.mail.updates
    return any(isinstance(r.event, e.UpdateAccepted) and r.event.update_id == update_id for r in engine.store.run_history(row.key))


def _newest(engine: Engine, workflow_id: str) -> Run | None:
    try:
        return any_run(engine, workflow_id)
    except RunNotFound:
        return None


def _mint(run: LiveRun) -> str:
    """An id that the run has not seen: "update-n"."""
    seen = {} if run.mail is None else run.mail.updates
    number = len(seen) + 1
    while f"update-{number}" in seen:
        number += 1
    return f"update-{number}"
