"""From (workflow id, run id) to a run: validated before any verb touches anything."""
from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from aionlab.core.errors import RunClosed, RunNotFound, StoreReadOnly
from aionlab.core.ids import RunId, WorkflowId
from aionlab.core.names import check_name
from aionlab.core.ports import Run

from .run import LiveRun

if TYPE_CHECKING:
    from .engine import Engine


def open_run(engine: Engine, workflow_id: str, run_id: str | None = None) -> LiveRun:
    """The open run meant. Raises RunNotFound for an unknown one, RunClosed for one that has ended."""
    check_name("workflow id", workflow_id)
    run = engine.find(workflow_id, run_id)
    if run is not None:
        if run.closed:
            assert run.status is not None
            raise RunClosed(workflow_id, run.run_id, run.status.value)
        return run
    row = any_run(engine, workflow_id, run_id)
    if not row.status.closed:
        raise StoreReadOnly(f"{workflow_id} is {row.status.value}, and this lab only looks on: another kernel owns the database")
    raise RunClosed(workflow_id, row.run_id, row.status.value)


def any_run(engine: Engine, workflow_id: str, run_id: str | None = None) -> Run:
    """The row of the run meant, open or closed. Raises RunNotFound."""
    live = engine.find(workflow_id, run_id)
    if live is not None:
        return live.current_row()
    row = engine.store.run(WorkflowId(workflow_id), None if run_id is None else RunId(run_id))
    if row is None:
        near = get_close_matches(workflow_id, [str(run.workflow_id) for run in engine.registry], n=2)
        raise RunNotFound(workflow_id, run_id, tuple(near))
    return row
