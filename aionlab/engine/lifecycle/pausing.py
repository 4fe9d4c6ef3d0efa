"""Pause and resume: while paused, signals, timers and results are recorded, and nothing new is dispatched."""
from __future__ import annotations

from typing import TYPE_CHECKING

from aionlab.core import events as e
from aionlab.core.status import Status

from .. import activities, processes, residency
from ..addressing import check_text, open_run
from ..supervision import GaveUp, Restarting

if TYPE_CHECKING:
    from ..engine import Engine


def pause(engine: Engine, workflow_id: str, run_id: str | None = None, reason: str | None = None) -> None:
    """Hold the run: nothing new is dispatched, and what arrives is recorded and waits. Its deadline goes on. Again it changes nothing."""
    reason = check_text("the reason", reason)
    run = open_run(engine, workflow_id, run_id)
    if run.status is not Status.PAUSED:
        engine.turn_now.record(run, e.WorkflowPaused(reason))


def resume(engine: Engine, workflow_id: str, run_id: str | None = None) -> None:
    """Let a paused run go on, with what was recorded meanwhile, and one whose supervisors gave it up. A run that goes on
    already does so."""
    run = open_run(engine, workflow_id, run_id)
    if isinstance(run.stuck, GaveUp) or isinstance(run.stuck, Restarting):
        residency.retry(engine, workflow_id, run_id)
    if run.status is not Status.PAUSED:
        return
    engine.turn_now.record(run, e.WorkflowResumed())
    activities.resume(engine, run)
    engine.timers.arm_all(run)
    if run.process is None and run.stuck is None:
        processes.make_resident(engine, run)
    else:
        engine.flush(run)
