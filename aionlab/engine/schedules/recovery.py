"""Schedules of a database that is opened, of a turn that failed, and of a lab that may run its code at last."""
from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from aionlab.core.events import Recorded
from aionlab.core.ids import SCHEDULES

from ..processes import legible
from ..run import UNREADABLE, Recorder
from .firing import advance, ready, watch
from .schedule import Schedule

if TYPE_CHECKING:
    from ..engine import Engine

log = logging.getLogger("aionlab.engine")


def recover(engine: Engine) -> None:
    """Bring every schedule back and let it catch up; once the open runs are back. One that cannot be read is stuck, the others go on."""
    for schedule in read(engine):
        if engine.schedules.get(schedule.id) is None:
            engine.turn_now.at = schedule
            engine.schedules.add(schedule)
            _attend(engine, schedule)
            advance(engine, schedule, away=True)


def read(engine: Engine) -> list[Schedule]:
    """The schedules as the log has them."""
    schedules = []
    for workflow_id in engine.store.ids(SCHEDULES):
        key = engine.store.workflow_key(workflow_id)
        assert key is not None
        schedule = Schedule(workflow_id.removeprefix(SCHEDULES), Recorder(workflow_id, key, 0))
        _recall(engine, schedule)
        schedules.append(schedule)
    return schedules


def fire(engine: Engine) -> None:
    """See to the schedules whose time has come."""
    turn = engine.turn_now
    for schedule in engine.schedules.due(turn.now):
        turn.at = schedule
        advance(engine, schedule)
    turn.at = None


def bring_back(engine: Engine) -> None:
    """Bring what a failed turn touched back from the log, once its runs are; what was to be looked at is looked at again. Raises StoreError."""
    book = engine.schedules
    while book.lost:
        key, schedule = next(iter(book.lost.items()))
        if _recall(engine, schedule) == []:
            book.remove(schedule)
        else:
            _attend(engine, schedule)
        del book.lost[key]
    for schedule in book:
        book.arm(schedule, None if schedule.waits_for or schedule.stuck else engine.clock.now() if ready(schedule) else schedule.next())


def wake(engine: Engine) -> int:
    """Code or trust has come: schedules that waited for it go on. How many."""
    waiting = [schedule for schedule in engine.schedules if schedule.waits_for]
    for schedule in waiting:
        advance(engine, schedule)
    return sum(not schedule.waits_for for schedule in waiting)


def _recall(engine: Engine, schedule: Schedule) -> list[Recorded] | None:
    """Fold the schedule anew from the log, and its events; None when they cannot be read here."""
    schedule.recorder.head = engine.store.head(schedule.workflow_id)
    try:
        history = engine.store.read(schedule.workflow_id)
        schedule.refold(history)
        legible(engine, history)
    except UNREADABLE as error:
        log.error("schedule %s cannot be followed: %s", schedule.id, error)
        schedule.unreadable(error)
        return None
    return history


def _attend(engine: Engine, schedule: Schedule) -> None:
    """Hear of the ends of its runs that go on."""
    schedule.running = {}
    for back, workflow_id in enumerate(reversed(schedule.runs), 1):
        run = engine.find(workflow_id)
        if run is not None and not run.closed:
            watch(engine, schedule, run, schedule.triggered - back)
