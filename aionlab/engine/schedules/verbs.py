"""What may be done to a schedule. Each verb is a function of (engine, schedule id, …) that runs inside a turn."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from aionlab.core import events as e
from aionlab.core.calendars import OVERLAPS, calendar, stamp
from aionlab.core.clock import Micros
from aionlab.core.errors import InvalidName, InvalidOption, ScheduleExists, ScheduleNotFound, StoreReadOnly, shorten
from aionlab.core.ids import RESERVED, RunId, WorkflowId
from aionlab.core.names import BYTES, CHARACTERS, check_name
from aionlab.core.ports import Run
from aionlab.core.snapshots import ScheduleState
from aionlab.core.status import ScheduleStatus

from ..addressing import check_text
from ..run import Recorder
from . import firing, recovery
from .firing import advance, fire, settle
from .schedule import BACKFILL, TRIGGER, Schedule, workflow_id_of

if TYPE_CHECKING:
    from ..engine import Engine

MOST_BACKFILLED: Final = 100_000
"""Times one backfill may ask for."""
_ROOM: Final = len("-9999-12-31T23:59:59.999999Z.99999")


def create(
    engine: Engine, schedule_id: str, plan: e.Plan, payload: e.Payload, memo: str | None = None, note: str | None = None, paused: bool = False,
    replacing: bool = False,
) -> ScheduleState:
    """Begin a schedule. The same once more changes nothing; `replacing` puts another one in its place.

    Raises ScheduleExists, WorkflowNotFound, InvalidName, InvalidOption with nothing written.
    """
    _may_write(engine)
    schedule_id, note = check_id(schedule_id), check_text("the note", note)
    calendar(plan)
    engine.catalog.resolve(plan.workflow_type, plan.version)
    schedule = engine.schedules.get(schedule_id)
    if schedule is not None and schedule.there:
        differs = _differing(schedule, plan, payload, memo)
        if differs and not replacing:
            raise ScheduleExists(schedule_id, differs)
        if differs:
            _update(engine, schedule, plan, payload, memo, note)
        return state(engine, schedule)
    if plan.at is not None and plan.at <= engine.turn_now.now:
        raise InvalidOption(f"at={stamp(plan.at)!r} has passed: it is {stamp(engine.turn_now.now)}")
    if schedule is None:
        schedule = Schedule(schedule_id, _recorder(engine, workflow_id_of(schedule_id)))
        engine.schedules.add(schedule)
    schedule.begin_anew()
    engine.turn_now.enter(schedule, e.ScheduleCreated(plan, payload, memo, note))
    if paused:
        engine.turn_now.enter(schedule, e.SchedulePaused(note))
    settle(engine, schedule)
    return state(engine, schedule)


def update(
    engine: Engine, schedule_id: str, changes: Mapping[str, Any], payload: e.Payload | None = None, memo: str | None = None, note: str | None = None
) -> ScheduleState:
    """Change fields of a schedule's plan, and what its runs are given; it goes on from now. Raises ScheduleNotFound, InvalidOption."""
    schedule, note = found(engine, schedule_id), check_text("the note", note)
    plan = replace(schedule.plan, **changes)
    calendar(plan)
    if changes.keys() & {"workflow_type", "version"}:
        engine.catalog.resolve(plan.workflow_type, plan.version)
    _update(engine, schedule, plan, schedule.input if payload is None else payload, schedule.memo if memo is None else memo, note)
    return state(engine, schedule)


def pause(engine: Engine, schedule_id: str, note: str | None = None) -> ScheduleState:
    """Start nothing more by itself. Raises ScheduleNotFound, InvalidOption when it is paused already."""
    schedule, note = found(engine, schedule_id), check_text("the note", note)
    if schedule.status is ScheduleStatus.PAUSED:
        raise InvalidOption(f"schedule {schedule.id} is paused already{f': {schedule.note}' if schedule.note else ''}")
    engine.turn_now.enter(schedule, e.SchedulePaused(note))
    settle(engine, schedule)
    return state(engine, schedule)


def resume(engine: Engine, schedule_id: str, note: str | None = None) -> ScheduleState:
    """Go on with the times from now on; what waited before the pause goes on too. Raises ScheduleNotFound, InvalidOption when it is not paused."""
    schedule, note = found(engine, schedule_id), check_text("the note", note)
    if schedule.status is not ScheduleStatus.PAUSED:
        raise InvalidOption(f"schedule {schedule.id} is not paused")
    schedule.stuck = None
    engine.turn_now.enter(schedule, e.ScheduleResumed(note))
    settle(engine, schedule)
    return state(engine, schedule)


def delete(engine: Engine, schedule_id: str, note: str | None = None) -> None:
    """End the schedule; runs it has started go on, times that wait are dropped. Its history stays. Raises ScheduleNotFound."""
    schedule, note = found(engine, schedule_id), check_text("the note", note)
    engine.turn_now.enter(schedule, e.ScheduleDeleted(note))
    settle(engine, schedule)


def trigger(engine: Engine, schedule_id: str, overlap: str | None = None) -> tuple[WorkflowId, RunId] | None:
    """Start a run now, paused or not; the ids it has, or None where the overlap policy keeps it from starting. Raises ScheduleNotFound,
    InvalidOption, and what waits for trust or code."""
    schedule = found(engine, schedule_id)
    _check_overlap(overlap)
    _may_begin(engine, schedule)
    event = fire(engine, schedule, engine.turn_now.now, TRIGGER, overlap)
    _check_waiting(schedule)
    settle(engine, schedule)
    return None if event is None else (event.workflow_id, event.run_id)


def backfill(engine: Engine, schedule_id: str, start: Micros, end: Micros, overlap: str | None = None) -> list[Micros]:
    """Run the times from `start` to `end`, both included, that have not been run; which these are. They run one after another, or all at
    once where `overlap` (the plan's, where it is None) is "allow_all". Raises ScheduleNotFound, InvalidOption."""
    schedule = found(engine, schedule_id)
    _check_overlap(overlap)
    _may_begin(engine, schedule)
    now = engine.turn_now.now
    if end < start:
        raise InvalidOption(f"the backfill ends at {stamp(end)}, before it begins at {stamp(start)}")
    if end > now:
        raise InvalidOption(f"a backfill is of times that have passed: it is {stamp(now)}, and the end is {stamp(end)}")
    times = calendar(schedule.plan)
    waiting = {one.nominal for one in schedule.pending}
    asked: list[Micros] = []
    at = times.after(Micros(start - 1))
    while at is not None and at <= end:
        if at not in waiting and not firing.taken(engine, f"{schedule.id}-{stamp(at)}"):
            asked.append(at)
        at = times.after(at)
        if len(asked) > MOST_BACKFILLED:
            raise InvalidOption(f"over {MOST_BACKFILLED:,} times lie between {stamp(start)} and {stamp(end)}; backfill less at once")
    for nominal in asked:
        fire(engine, schedule, nominal, BACKFILL, overlap)
        _check_waiting(schedule)
    settle(engine, schedule)
    return asked


# --- looking -------------------------------------------------------------------------------------------------------------


def listing(engine: Engine) -> list[ScheduleState]:
    """Every schedule there is, by id."""
    return [state(engine, schedule) for schedule in sorted(_all(engine), key=lambda schedule: schedule.id) if schedule.there]


def describe(engine: Engine, schedule_id: str) -> ScheduleState:
    """Raises ScheduleNotFound."""
    return state(engine, found(engine, schedule_id, to_write=False))


def history(engine: Engine, schedule_id: str) -> list[e.Recorded]:
    """Its events, those of a deleted schedule too. Raises ScheduleNotFound."""
    events = engine.store.read(workflow_id_of(check_id(schedule_id)))
    if not events:
        raise _not_found(engine, schedule_id)
    return events


def runs(engine: Engine, schedule_id: str, limit: int) -> list[Run]:
    """The rows of the runs it started last, newest first. Raises ScheduleNotFound."""
    schedule = found(engine, schedule_id, to_write=False)
    rows = (engine.store.run(workflow_id) for workflow_id in islice(reversed(schedule.runs), max(0, limit)))
    return [row for row in rows if row is not None]


def state(engine: Engine, schedule: Schedule) -> ScheduleState:
    next_at = schedule.next()
    running = tuple(run.workflow_id for run in schedule.busy)
    waits_for = schedule.waits_for or ("" if schedule.stuck is None else str(schedule.stuck))
    word = str(schedule.status)
    if schedule.stuck is not None:
        word = "Stuck"
    elif schedule.waits_for:
        word = "Waiting"
    elif schedule.status is ScheduleStatus.ACTIVE and next_at is None and not schedule.pending:
        word = "Done"
    return ScheduleState(
        schedule.id, word, schedule.plan, schedule.input, schedule.memo, schedule.note, schedule.created_at, next_at, schedule.last, running,
        tuple(one.nominal for one in schedule.pending), schedule.triggered, schedule.skipped, waits_for,
    )  # fmt: skip


def found(engine: Engine, schedule_id: str, to_write: bool = True) -> Schedule:
    """The schedule of this id. Raises InvalidName, ScheduleNotFound, and StoreReadOnly where it is somebody else's to change."""
    if to_write:
        _may_write(engine)
    schedule_id = check_id(schedule_id)
    schedule = next((one for one in _all(engine) if one.id == schedule_id), None) if engine.store.readonly else engine.schedules.get(schedule_id)
    if schedule is None or not schedule.there:
        raise _not_found(engine, schedule_id)
    return schedule


def check_id(schedule_id: str) -> str:
    """The id in its normal form. Raises InvalidName."""
    schedule_id = check_name("schedule id", schedule_id)
    if schedule_id.startswith(RESERVED):
        raise InvalidName("schedule id", schedule_id, f"ids that begin with {RESERVED!r} are the engine's own")
    if len(schedule_id) > CHARACTERS - _ROOM or len(schedule_id.encode()) > BYTES - _ROOM:
        raise InvalidName("schedule id", schedule_id, f"its runs are named after it, so the most is {CHARACTERS - _ROOM} characters")
    return schedule_id


def _all(engine: Engine) -> list[Schedule]:
    """The schedules; an observer reads them anew, as they are somebody else's."""
    return recovery.read(engine) if engine.store.readonly or engine.fenced else list(engine.schedules)


def _not_found(engine: Engine, schedule_id: str) -> ScheduleNotFound:
    return ScheduleNotFound(schedule_id, tuple(get_close_matches(schedule_id, [one.id for one in _all(engine) if one.there], n=2)))


# --- parts of the verbs --------------------------------------------------------------------------------------------------


def _update(engine: Engine, schedule: Schedule, plan: e.Plan, payload: e.Payload, memo: str | None, note: str | None) -> None:
    if plan.at is not None and plan.at != schedule.plan.at and plan.at <= engine.turn_now.now:
        raise InvalidOption(f"at={stamp(plan.at)!r} has passed: it is {stamp(engine.turn_now.now)}")
    advance(engine, schedule)
    schedule.stuck = None
    engine.turn_now.enter(schedule, e.ScheduleUpdated(plan, payload, memo, note))
    settle(engine, schedule)


def _differing(schedule: Schedule, plan: e.Plan, payload: e.Payload, memo: str | None) -> tuple[str, ...]:
    differs = [field.name for field in fields(plan) if getattr(plan, field.name) != getattr(schedule.plan, field.name)]
    differs += ["arguments"] if payload != schedule.input else []
    differs += ["memo"] if memo != schedule.memo else []
    return tuple("workflow" if name == "workflow_type" else name for name in differs)


def _check_overlap(overlap: str | None) -> None:
    if overlap is not None and overlap not in OVERLAPS:
        raise InvalidOption(f"overlap={shorten(overlap)}; choose one of {', '.join(OVERLAPS)}")


def _may_begin(engine: Engine, schedule: Schedule) -> None:
    """Raises InvalidOption while runs of the schedule may not start here."""
    if schedule.stuck is not None:
        raise InvalidOption(f"schedule {schedule.id} is stuck, so it starts no run: {schedule.stuck}; mend it with .update(…), or delete it")
    advance(engine, schedule)
    _check_waiting(schedule)


def _check_waiting(schedule: Schedule) -> None:
    if schedule.waits_for:
        raise InvalidOption(f"schedule {schedule.id} cannot start a run: it waits for {schedule.waits_for}")


def _may_write(engine: Engine) -> None:
    if engine.store.readonly:
        raise StoreReadOnly("this lab only looks on: another kernel owns the database")


def _recorder(engine: Engine, workflow_id: WorkflowId) -> Recorder:
    key = engine.store.workflow_key(workflow_id)
    if key is not None:
        return Recorder(workflow_id, key, engine.store.head(workflow_id))
    engine.workflow_keys += 1
    engine.turn_now.batch.workflows.append((engine.workflow_keys, workflow_id))
    return Recorder(workflow_id, engine.workflow_keys, 0)
