"""Forget: the one deletion there is, of everything recorded about a workflow id."""
from __future__ import annotations

from typing import TYPE_CHECKING

from aionlab.core.errors import InvalidOption, RunNotFound, StoreReadOnly
from aionlab.core.filters import EVERY, Condition, holds
from aionlab.core.ids import WorkflowId

from ..addressing import any_run, check_text

if TYPE_CHECKING:
    from ..engine import Engine


def forget(engine: Engine, workflow_id: str, reason: str | None = None, only: Condition = EVERY) -> object:
    """Delete all runs of a workflow id, and give the note that is left; the id may be used again, as a new one.

    Raises RunNotFound, and InvalidOption with nothing deleted while a run of the id is open, or when one of them does not satisfy `only`.
    """
    reason = check_text("the reason", reason)
    if engine.store.readonly:
        raise StoreReadOnly("this lab only looks on: another kernel owns the database")
    row = any_run(engine, workflow_id)
    known = WorkflowId(row.workflow_id)
    if not row.status.closed:
        raise InvalidOption(f"{known} is {row.status}; terminate it (or wait for its end), then forget it")
    if engine.registry.get(known) is not None or known in engine.turn_now.planned:  # it has ended in this very turn
        return engine.put_off()
    other = next((run for run in engine.store.run_chain(known) if not holds(only, run)), None)
    if other is not None:
        raise InvalidOption(f"{known} has another run ({other.run_id}, {other.status}) that was not asked for, and forgetting takes the whole id")
    note = engine.store.forget(known, engine.turn_now.now, reason)
    if note is None:
        raise RunNotFound(known)
    return note
