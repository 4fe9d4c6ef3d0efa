"""Callers who wait for something of a run: its end, or what becomes of an update. They outlive its process, and are told when it is over."""
from __future__ import annotations

from typing import TYPE_CHECKING

from aionlab.core import events as e
from aionlab.core.errors import UpdateUnfinished

from .call import Call
from .run import LiveRun

if TYPE_CHECKING:
    from .engine import Engine

UPDATE = "update_result"
"""The verb of those who wait for an update."""


def wait_for_end(run: LiveRun, call: Call) -> None:
    if run.waiters is None:
        run.waiters = []
    run.waiters.append(call)


def wait_for_update(run: LiveRun, update_id: str, call: Call) -> None:
    call.arguments = (run.workflow_id, update_id, run.run_id)
    if run.waiters is None:
        run.waiters = []
    if call not in run.waiters:
        run.waiters.append(call)


def over(engine: Engine, run: LiveRun) -> None:
    """The run is closed, and that is committed. Who waits for an update completed in the same commit is answered behind this; who waits
    for the end of a chain waits for the run it goes on as."""
    waiters, run.waiters = run.waiters, None
    onward = run.outcome.next_run_id if isinstance(run.outcome, e.WorkflowContinuedAsNew) else None
    done = {} if run.mail is None else run.mail.updates
    for call in waiters or ():
        if call.verb == UPDATE and done.get(call.arguments[1]):
            run.waiters = [*(run.waiters or ()), call]
        elif call.verb == UPDATE:
            call.fail(UpdateUnfinished(run.workflow_id, call.arguments[1], str(run.status)))
        elif onward is not None and call.arguments[2:] == (True,):
            call.arguments = (run.workflow_id, onward, True)
            call.untake()
            engine.again.append(call)
        else:
            call.answer((run.workflow_id, run.run_id, run.outcome))


def fail(run: LiveRun, error: BaseException) -> None:
    waiters, run.waiters = run.waiters, None
    for call in waiters or ():
        call.fail(error)


def give(run: LiveRun, event: e.UpdateCompleted) -> None:
    """The answer of an update is committed."""
    for call in _for_updates(run):
        if call.arguments[1] == event.update_id:
            assert run.waiters is not None
            run.waiters.remove(call)
            call.answer(event)


def serve(engine: Engine, run: LiveRun) -> None:
    """After a commit in doubt: answer those who wait for an update that the log shows completed."""
    for name in {call.arguments[1] for call in _for_updates(run)}:
        if run.mail is not None and run.mail.updates.get(name):
            found = completion(engine.store.run_history(run.key), name)
            if found is not None:
                give(run, found)


def completion(history: list[e.Recorded], update_id: str) -> e.UpdateCompleted | None:
    """What an update came to, as these events have it."""
    ends = (r.event for r in reversed(history) if isinstance(r.event, e.UpdateCompleted))
    return next((end for end in ends if end.update_id == update_id), None)


def _for_updates(run: LiveRun) -> list[Call]:
    return [call for call in run.waiters or () if call.verb == UPDATE]
