"""One schedule as the engine holds it: a fold of its events, and the runs of it that go on."""
from __future__ import annotations

from collections import deque
from typing import NamedTuple

from aionlab.core import events as e
from aionlab.core.calendars import calendar
from aionlab.core.clock import Micros
from aionlab.core.ids import SCHEDULES, WorkflowId
from aionlab.core.status import ScheduleStatus, after

from ..run import LiveRun, Recorder

REMEMBERED = 1000
"""Runs of a schedule that are looked through for the last result."""
DUE, CAUGHT_UP, TRIGGER, BACKFILL = "due", "caught_up", "trigger", "backfill"


_NO_PLAN = e.Plan("")


class Waiting(NamedTuple):
    """A time that has come and waits for its turn."""

    nominal: Micros
    cause: str


class Schedule:
    """A schedule. `stuck` says why it cannot go on, `waits_for` what must come before it can."""

    __slots__ = (
        "armed", "created_at", "cursor", "id", "input", "last", "last_result", "memo", "missed_to", "note", "pending", "plan", "recorder",
        "results_to", "running", "runs", "skipped", "status", "stuck", "triggered", "waits_for",
    )  # fmt: skip

    plan: e.Plan
    input: e.Payload
    memo: str | None
    note: str | None

    def __init__(self, schedule_id: str, recorder: Recorder) -> None:
        self.id, self.recorder = schedule_id, recorder
        self.running: dict[WorkflowId, LiveRun] = {}
        """Its runs that go on; not of the fold."""
        self.stuck: BaseException | None = None
        self.waits_for = ""
        self.missed_to = Micros(0)
        """Until when nobody was there to see to its times."""
        self.armed: Micros | None = None
        """When it is to be looked at next."""
        self._blank()

    def _blank(self) -> None:
        self.status = ScheduleStatus.DELETED
        self.plan, self.input, self.memo = _NO_PLAN, e.Payload(b"null"), None
        self.note = None
        self.created_at = self.cursor = Micros(0)
        """The last time of its own that was seen to, or when it last began to look."""
        self.pending: deque[Waiting] = deque()
        self.triggered = self.skipped = 0
        self.last: e.ScheduleTriggered | None = None
        self.runs: deque[WorkflowId] = deque(maxlen=REMEMBERED)
        self.last_result: e.Payload | None = None
        """What the newest completed run returned, as far as it is known."""
        self.results_to = -1
        """The number of the run `last_result` is of, from 0; -1 while nobody has looked."""

    def begin_anew(self) -> None:
        """Forget what an earlier schedule of this id left in memory; runs it has started are its own affair."""
        self.running, self.stuck, self.waits_for, self.missed_to = {}, None, "", Micros(0)

    @property
    def workflow_id(self) -> WorkflowId:
        return self.recorder.workflow_id

    @property
    def there(self) -> bool:
        return self.status is not ScheduleStatus.DELETED

    @property
    def busy(self) -> list[LiveRun]:
        """Runs of it that have not ended, or go on as new ones."""
        return [run for run in self.running.values() if not run.closed or isinstance(run.outcome, e.WorkflowContinuedAsNew)]

    def next(self) -> Micros | None:
        """The next time of its own, None when there is none or it is paused."""
        return calendar(self.plan).after(self.cursor) if self.status is ScheduleStatus.ACTIVE else None

    def fold(self, event: e.Event, at: Micros) -> None:
        """Take a recorded event into account; raises IllegalEvent where the status table forbids it."""
        self.status = after(self.status, event)
        match event:
            case e.ScheduleCreated(plan=plan, input=payload, memo=memo, note=note):
                self._blank()
                self.status = ScheduleStatus.ACTIVE
                self.plan, self.input, self.memo, self.note = plan, payload, memo, note
                self.created_at = self.cursor = at
            case e.ScheduleUpdated(plan=plan, input=payload, memo=memo, note=note):
                self.plan, self.input, self.memo, self.note = plan, payload, memo, note
                self.cursor = at
            case e.SchedulePaused(note=note):
                self.note = note
            case e.ScheduleResumed(note=note):
                self.note, self.cursor = note, at
            case e.ScheduleDeleted(note=note):
                self.note = note
                self.pending.clear()
            case e.ScheduleBuffered(nominal_time=nominal, cause=cause):
                self.pending.append(Waiting(nominal, cause))
                self._seen(nominal, cause)
            case e.ScheduleTriggered(nominal_time=nominal, workflow_id=workflow_id, cause=cause):
                self._taken(nominal, cause)
                self.triggered += 1
                self.last = event
                self.runs.append(workflow_id)
            case e.ScheduleSkipped(nominal_time=nominal, until=until, cause=cause):
                self._taken(nominal, cause)
                if until is not None:
                    self._seen(until, cause)
                self.skipped += 1
            case _:
                pass

    def _taken(self, nominal: Micros, cause: str) -> None:
        waiting = Waiting(nominal, cause)
        if waiting in self.pending:
            self.pending.remove(waiting)
        self._seen(nominal, cause)

    def _seen(self, nominal: Micros, cause: str) -> None:
        if cause in (DUE, CAUGHT_UP):
            self.cursor = max(self.cursor, nominal)

    def refold(self, history: list[e.Recorded]) -> None:
        """Forget what memory holds and fold the recorded events again."""
        self._blank()
        for recorded in history:
            self.fold(recorded.event, recorded.at)
        if self.there:
            calendar(self.plan)

    def unreadable(self, error: BaseException) -> None:
        """The recorded events cannot be folded, or the plan cannot be followed on this machine."""
        plan, payload = self.plan, self.input
        self._blank()
        self.plan, self.input, self.status, self.stuck = plan, payload, ScheduleStatus.PAUSED, error


def workflow_id_of(schedule_id: str) -> WorkflowId:
    return WorkflowId(SCHEDULES + schedule_id)
