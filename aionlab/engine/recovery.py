"""Bringing a database's open runs back: fold, rebuild, place, arm, dispatch. One broken run never stops the others."""
from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from aionlab.core.errors import IllegalEvent, StoreError, UnknownEventKind
from aionlab.core.events import Recorded
from aionlab.core.ports import Run

from . import processes
from .run import UNREADABLE, LiveRun, Recorder
from .schedules import recovery as schedules

if TYPE_CHECKING:
    from .engine import Engine

log = logging.getLogger("aionlab.engine")


def recover(engine: Engine) -> None:
    """Recover every open run; those that cannot run here yet wait and say why, those that diverge are stuck and say where.

    What is back already (the store failed half-way, and this is the next attempt) is left as it is.
    """
    try:
        for row, head, history in engine.store.open_histories():
            _recover_one(engine, row, head, history)
    except Exception as error:  # one history that cannot be decoded must not hide the others
        if isinstance(error, StoreError) and not isinstance(error, UnknownEventKind | IllegalEvent):
            raise
        log.warning("a history cannot be read, so runs are recovered one by one: %s: %s", type(error).__name__, error)
        for row in sorted([*engine.store.active(), *engine.store.paused()], key=lambda row: row.key):
            _recover_one(engine, row, engine.store.head(row.workflow_id), None)
    schedules.recover(engine)
    engine.recovered = True


def _recover_one(engine: Engine, row: Run, head: int, history: list[Recorded] | None) -> None:
    if engine.registry.by_key(row.key) is not None:
        return
    run = engine.turn_now.at = LiveRun(row, Recorder(row.workflow_id, row.workflow_key, head))
    engine.registry.insert(run)
    if history is None:
        history = processes.recall(engine, run)
    else:
        try:
            run.refold(processes.legible(engine, history))
        except UNREADABLE as error:
            run.unreadable(error)
            history = None
    if history is None:
        log.error("%s (run %s) could not be recovered and is skipped: %s", row.workflow_id, row.run_id, run.stuck)
    processes.revive(engine, run, history)
