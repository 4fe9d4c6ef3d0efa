"""What becomes of a schedule's times: started, buffered or skipped, in the commit that begins the run.

A time is *due* when somebody is there as it comes, and *missed* when nobody was: the lab was closed, or the machine slept through it. What is
missed goes by the plan's catch-up policy. Times that are made up, or backfilled, never skip or stop one another: they run one after another
in order, or all at once where the schedule allows runs to overlap.
"""
from __future__ import annotations

import logging
from itertools import count
from typing import TYPE_CHECKING, Final

from aionlab.core import events as e
from aionlab.core.calendars import Calendar, calendar, stamp
from aionlab.core.clock import SECOND, Micros
from aionlab.core.codecs import MARK
from aionlab.core.errors import AionError, AlreadyStarted, StartAborted, StoreError
from aionlab.core.events import Plan
from aionlab.core.ids import RunId, WorkflowId
from aionlab.core.status import ScheduleStatus, Status
from aionlab.replay.pythons import HERE

from ..call import Call
from ..catalog import NotRunnable
from ..lifecycle import ending
from ..lifecycle import start as starting
from ..lifecycle.start import StartRequest
from ..run import LiveRun
from ..waiting import wait_for_end
from .schedule import BACKFILL, CAUGHT_UP, DUE, TRIGGER, Schedule, Waiting

if TYPE_CHECKING:
    from ..engine import Engine

log = logging.getLogger("aionlab.engine")
GRACE: Final = Micros(10 * SECOND)
"""How late a time may be seen to and still be due."""
AT_ONCE: Final = 1000
"""Times seen to in one turn; the others follow in the next."""
MISSED = "missed"


def advance(engine: Engine, schedule: Schedule, away: bool = False) -> None:
    """See to every time that has come; `away`: nobody was there before now."""
    now = engine.turn_now.now
    schedule.waits_for = engine.bar if schedule.recorder.key <= engine.schedules.found else ""
    if schedule.status is ScheduleStatus.ACTIVE and not schedule.waits_for and not schedule.stuck:
        schedule.missed_to = limit = max(schedule.missed_to, Micros(now if away else now - GRACE))
        _catch_up(engine, schedule, limit)
        times = calendar(schedule.plan)
        left = AT_ONCE
        while left and not schedule.waits_for and (nominal := times.after(schedule.cursor)) is not None and nominal <= now:
            fire(engine, schedule, nominal, CAUGHT_UP if nominal <= limit else DUE)
            begin_waiting(engine, schedule)
            left -= 1
    settle(engine, schedule)


def settle(engine: Engine, schedule: Schedule) -> None:
    """Start what waits and may begin, and look again when there is more to do or the next time comes."""
    begin_waiting(engine, schedule)
    held = schedule.waits_for or schedule.stuck
    due = None if held else Micros(engine.turn_now.now) if ready(schedule) else schedule.next()
    engine.schedules.arm(schedule, due)


def ready(schedule: Schedule) -> Waiting | None:
    """What waits and may begin: one after another, and while paused only what somebody asked for."""
    if not schedule.pending or schedule.busy or schedule.waits_for or schedule.stuck:
        return None
    paused = schedule.status is ScheduleStatus.PAUSED
    return next((one for one in schedule.pending if not paused or one.cause in (TRIGGER, BACKFILL)), None)


def _catch_up(engine: Engine, schedule: Schedule, limit: Micros) -> None:
    """Skip what the policy does not make up of the times up to `limit`; what is left of them is to be fired."""
    plan, times = schedule.plan, calendar(schedule.plan)
    first = times.after(schedule.cursor)
    if first is None or first > limit:
        return
    newest = times.before(Micros(limit + 1))
    assert newest is not None
    horizon = None if plan.window is None else Micros(limit - plan.window)
    last = _last_skipped(plan, times, newest, horizon)
    if last is not None and last >= first:
        cause = MISSED if horizon is None or last >= horizon else f"{MISSED}, longer ago than the window"
        skip(engine, schedule, first, cause, CAUGHT_UP, until=None if last == first else last)


def _last_skipped(plan: Plan, times: Calendar, newest: Micros, horizon: Micros | None) -> Micros | None:
    """The newest missed time that is not made up."""
    if plan.catch_up == "skip" or (horizon is not None and newest < horizon):
        return newest
    if plan.catch_up == "one":
        return times.before(newest)
    return None if horizon is None else times.before(horizon)


# --- one time ------------------------------------------------------------------------------------------------------------


def fire(engine: Engine, schedule: Schedule, nominal: Micros, cause: str, overlap: str | None = None) -> e.ScheduleTriggered | None:
    """Start the run of a time, or do with it what the overlap policy says; the event, when a run was started."""
    overlap = overlap or schedule.plan.overlap
    busy = schedule.busy
    if overlap == "allow_all" or not (busy or schedule.pending):
        return begin(engine, schedule, nominal, cause)
    if cause in (CAUGHT_UP, BACKFILL):
        engine.turn_now.enter(schedule, e.ScheduleBuffered(nominal, cause))
        return None
    match overlap:
        case "skip":
            going_on = busy[0].workflow_id if busy else f"{schedule.id}-{stamp(schedule.pending[0].nominal)}"
            skip(engine, schedule, nominal, f"{going_on} {'goes on' if busy else 'comes first'}", cause)
        case "buffer_one" if any(waiting.cause in (DUE, TRIGGER) for waiting in schedule.pending):
            skip(engine, schedule, nominal, "one waits already", cause)
        case "buffer_one" | "buffer_all":
            engine.turn_now.enter(schedule, e.ScheduleBuffered(nominal, cause))
        case "cancel_other":
            for waiting in list(schedule.pending):
                if waiting.cause in (DUE, TRIGGER):
                    skip(engine, schedule, waiting.nominal, f"overtaken by {stamp(nominal)}", waiting.cause)
            engine.turn_now.enter(schedule, e.ScheduleBuffered(nominal, cause))
            for run in _open(busy):
                ending.cancel(engine, run.workflow_id, run.run_id, f"{schedule.id} starts the run of {stamp(nominal)}")
        case "terminate_other":
            for run in _open(busy):
                ending.terminate(engine, run.workflow_id, run.run_id, f"{schedule.id} starts the run of {stamp(nominal)}")
            return begin(engine, schedule, nominal, cause)
    return None


def _open(runs: list[LiveRun]) -> list[LiveRun]:
    return [run for run in runs if not run.closed]


def skip(engine: Engine, schedule: Schedule, nominal: Micros, why: str, cause: str, until: Micros | None = None) -> None:
    engine.turn_now.enter(schedule, e.ScheduleSkipped(nominal, why, until, cause))


def begin_waiting(engine: Engine, schedule: Schedule) -> None:
    """Start what waits and may begin."""
    for _ in range(AT_ONCE):
        waiting = ready(schedule)
        if waiting is None:
            return
        begin(engine, schedule, waiting.nominal, waiting.cause)


def begin(engine: Engine, schedule: Schedule, nominal: Micros, cause: str) -> e.ScheduleTriggered | None:
    """Start the run of a time, both histories in one commit. One whose start is refused is skipped, and one whose code may not run here
    yet waits."""
    workflow_id = name(engine, schedule, nominal, cause)
    plan = schedule.plan
    last = last_result(engine, schedule)
    if last is not None and last.startswith(MARK):
        schedule.waits_for = "the codec that unseals what its last run returned"
        return None
    request = StartRequest(
        plan.workflow_type, schedule.input, plan.version, workflow_id, RunId(workflow_id), memo=schedule.memo, deadline=plan.deadline,
        python=HERE, id_reuse="reject", scheduled=e.Scheduled(schedule.id, nominal), last_result=None if last is None else last.decode(),
    )  # fmt: skip
    try:
        found, run_id = starting.start(engine, request)
    except NotRunnable as error:
        schedule.waits_for = error.why
        return None
    except AlreadyStarted:
        skip(engine, schedule, nominal, f"{workflow_id} has been started before", cause)
        return None
    except StartAborted as error:  # its history says so too
        found, run_id = WorkflowId(error.workflow_id), RunId(error.run_id)
    except StoreError:
        raise
    except AionError as error:
        log.warning("schedule %s could not start the run of %s: %s", schedule.id, stamp(nominal), error)
        skip(engine, schedule, nominal, f"it could not be started: {error}"[:1000], cause)
        return None
    event = e.ScheduleTriggered(nominal, found, run_id, cause)
    engine.turn_now.enter(schedule, event)
    run = engine.find(found, run_id)
    if run is not None:
        watch(engine, schedule, run)
    return event


def name(engine: Engine, schedule: Schedule, nominal: Micros, cause: str) -> str:
    """The workflow id of the run of a time. A schedule's own times have one each for ever; what is triggered by hand takes a free one."""
    own = f"{schedule.id}-{stamp(nominal)}"
    if cause != TRIGGER:
        return own
    spoken_for = any(one.nominal == nominal and one.cause != TRIGGER for one in schedule.pending)
    names = (f"{own}.{number}" if number > 1 else own for number in count(2 if spoken_for else 1))
    return next(name for name in names if not taken(engine, name))


def taken(engine: Engine, workflow_id: str) -> bool:
    """Whether the workflow id has had a run."""
    return engine.find(workflow_id) is not None or engine.store.workflow_key(WorkflowId(workflow_id)) is not None


# --- its runs ------------------------------------------------------------------------------------------------------------


class Watch(Call):
    """A schedule that waits for the end of its run, in the line of all who do; runs of no schedule pay nothing for it."""

    __slots__ = ("_engine", "_number", "_run", "_schedule")

    def __init__(self, engine: Engine, schedule: Schedule, run: LiveRun, number: int) -> None:
        super().__init__("result")
        self._engine, self._schedule, self._run, self._number = engine, schedule, run, number

    def answer(self, outcome: object) -> None:
        """The run has ended, and that is recorded: what waits for it may begin."""
        schedule, engine, run = self._schedule, self._engine, self._run
        if schedule.running.get(run.workflow_id) is not run:
            return
        del schedule.running[run.workflow_id]
        ended = run.outcome
        if isinstance(ended, e.WorkflowCompleted) and schedule.results_to < self._number:
            schedule.last_result, schedule.results_to = ended.result, self._number
        newer = engine.find(run.workflow_id)
        if newer is not None and newer is not run and not newer.closed:  # the run goes on as a new one
            watch(engine, schedule, newer, self._number)
        elif schedule.pending and not schedule.busy and not schedule.waits_for:
            engine.schedules.arm(schedule, engine.clock.now())

    def fail(self, error: BaseException) -> None:
        """The run is not there after all, or nobody here hears of its end."""
        if self._schedule.running.get(self._run.workflow_id) is self._run:
            del self._schedule.running[self._run.workflow_id]


def watch(engine: Engine, schedule: Schedule, run: LiveRun, number: int | None = None) -> None:
    """Hear of the run's end."""
    number = schedule.triggered - 1 if number is None else number
    wait_for_end(run, Watch(engine, schedule, run, number))
    schedule.running[run.workflow_id] = run


def last_result(engine: Engine, schedule: Schedule) -> e.Payload | None:
    """What the newest completed run of the schedule returned."""
    found, number = schedule.last_result, schedule.results_to
    for back, workflow_id in enumerate(reversed(schedule.runs), 1):
        at = schedule.triggered - back
        if at <= number:
            break
        result = _result(engine, workflow_id)
        if result is not None:
            found, number = result, at
            break
    if not schedule.busy:  # whatever did not complete never will
        number = schedule.triggered - 1
    schedule.last_result, schedule.results_to = found, number
    return found


def _result(engine: Engine, workflow_id: WorkflowId) -> e.Payload | None:
    """The result of a completed workflow."""
    run = engine.find(workflow_id)
    if run is not None:
        return run.outcome.result if isinstance(run.outcome, e.WorkflowCompleted) else None
    row = engine.store.run(workflow_id)
    if row is None or row.status is not Status.COMPLETED:
        return None
    ended = next((r.event for r in reversed(engine.store.run_history(row.key)) if isinstance(r.event, e.WorkflowCompleted)), None)
    return None if ended is None else ended.result
