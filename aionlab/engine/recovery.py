"""Bringing a database's open runs back: fold, rebuild, place, arm, dispatch. One broken run never stops the others."""
from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from aionlab.core.errors import AionError
from aionlab.core.events import Recorded
from aionlab.core.ports import Run

from . import activities
from .run import LiveRun, Recorder

if TYPE_CHECKING:
    from .engine import Engine

log = logging.getLogger("aionlab.engine")


def recover(engine: Engine) -> None:
    """Recover every open run; those that cannot run here yet wait and say why, those that diverge are stuck and say where."""
    recorders: dict[int, Recorder] = {}
    for row, head, history in engine.store.open_histories():
        try:
            _recover_one(engine, row, head, history, recorders)
        except AionError as error:
            log.error("%s (run %s) could not be recovered and is skipped: %s", row.workflow_id, row.run_id, error)
    engine.recovered = True


def _recover_one(engine: Engine, row: Run, head: int, history: list[Recorded], recorders: dict[int, Recorder]) -> None:
    recorder = recorders.get(row.workflow_key)
    if recorder is None:
        recorder = recorders[row.workflow_key] = Recorder(row.workflow_id, row.workflow_key, head)
    run = LiveRun(row, recorder)
    run.refold(history)
    engine.registry.insert(run)
    engine.make_resident(run, history)
    engine.timers.arm_all(run)
    activities.resume(engine, run)
