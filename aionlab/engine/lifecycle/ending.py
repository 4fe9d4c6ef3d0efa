"""Ending runs from outside: cancel asks the code, terminate does not."""
from __future__ import annotations

from typing import TYPE_CHECKING

from aionlab.core import events as e

from ..addressing import check_text, open_run

if TYPE_CHECKING:
    from ..engine import Engine


def cancel(engine: Engine, workflow_id: str, run_id: str | None = None, reason: str | None = None) -> None:
    """Raise CancelledError at the run's current await; it may clean up, and ends Cancelled. A second request changes nothing."""
    reason = check_text("the reason", reason)
    run = open_run(engine, workflow_id, run_id)
    if not run.cancel_requested:
        engine.fact(run, e.WorkflowCancelRequested(reason))


def terminate(engine: Engine, workflow_id: str, run_id: str | None = None, reason: str | None = None, details: str | None = None) -> None:
    """End the run at once, without running its code again."""
    reason, details = check_text("the reason", reason), check_text("details", details)
    run = open_run(engine, workflow_id, run_id)
    engine.turn_now.record(run, e.WorkflowTerminated(reason, details))
