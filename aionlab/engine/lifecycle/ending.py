"""Ending runs from outside: cancel asks the code, terminate does not."""
from __future__ import annotations

from typing import TYPE_CHECKING

from aionlab.core import events as e
from aionlab.core.clock import Micros

from ..addressing import check_text, open_run
from ..children import ask_to_stop, subtree
from .grace import check as check_grace
from .grace import give

if TYPE_CHECKING:
    from ..engine import Engine


def cancel(
    engine: Engine, workflow_id: str, run_id: str | None = None, reason: str | None = None, children: bool = False,
    grace: Micros | None = None,
) -> None:
    """Raise CancelledError at the run's current await; it may clean up, and ends Cancelled. A second request changes nothing.

    Children that its code waits for are asked by that code; with `children` every run below it is asked as well, whoever waits for it.
    A run whose start is delayed ends at once. With `grace` a run that has not ended by then is terminated; the shortest of several counts.
    """
    reason = check_text("the reason", reason)
    check_grace(grace)
    run = open_run(engine, workflow_id, run_id)
    below = subtree(engine, run) if children else ()
    if not run.cancel_requested:
        engine.fact(run, e.WorkflowCancelRequested(reason, children))
    for child in below:
        ask_to_stop(engine, child, reason, True)
    if grace is not None and not run.closed:
        give(engine, run, grace)


def terminate(engine: Engine, workflow_id: str, run_id: str | None = None, reason: str | None = None, details: str | None = None) -> None:
    """End the run at once, without running its code again."""
    reason, details = check_text("the reason", reason), check_text("details", details)
    run = open_run(engine, workflow_id, run_id)
    engine.turn_now.record(run, e.WorkflowTerminated(reason, details))
