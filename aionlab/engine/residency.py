"""Suspending runs, and moving the clock."""
from __future__ import annotations

from typing import TYPE_CHECKING

from aionlab.core.clock import Micros
from aionlab.core.errors import InvalidOption

from . import processes
from .addressing import open_run

if TYPE_CHECKING:
    from .engine import Engine


def suspend(engine: Engine, workflow_id: str, run_id: str | None = None) -> None:
    """Drop the run's coroutine from memory (its `finally` blocks run now, without effect); the next fact for it brings it back."""
    run = open_run(engine, workflow_id, run_id)
    if run.key in engine.turn_now.touched:
        engine.turn_now.after_commit(processes.suspend, engine, run)
    else:
        processes.suspend(engine, run)


def retry(engine: Engine, workflow_id: str, run_id: str | None = None) -> bool:
    """Try again to bring a stuck or waiting run to memory, once what was in its way is mended; False when it is there already."""
    run = open_run(engine, workflow_id, run_id)
    if run.process is not None:
        return False
    run.stuck = None
    engine.tree.ensure(run.row.workflow_type, engine.turn_now.now)
    engine.bring_home(run)
    return True


def skip(engine: Engine, length: Micros) -> Micros:
    """Move a virtual clock forward; what has come due by then fires in due order, each at its own time. The new time."""
    _virtual(engine)
    engine.clock.aim(Micros(engine.clock.now() + length))
    return Micros(engine.clock.target)


def skip_to_next(engine: Engine) -> Micros | None:
    """Move a virtual clock to the next timer; None when there is none."""
    _virtual(engine)
    engine.timers.prune(engine)
    due = min((due for due in (engine.timers.next_due(), engine.schedules.next_due()) if due is not None), default=None)
    if due is not None:
        engine.clock.aim(due)
    return due


def set_auto(engine: Engine, on: bool) -> None:
    """Whether a virtual clock skips to the next timer whenever nothing else moves."""
    _virtual(engine)
    engine.clock.auto = on


def _virtual(engine: Engine) -> None:
    if not engine.clock.virtual:
        raise InvalidOption('this lab runs on the real clock; open it with aionlab.open(..., clock="virtual") to skip time')
