"""What one turn collects: the batch to commit, and what to do once it is committed."""
from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from aionlab.core import events as e
from aionlab.core.clock import Micros
from aionlab.core.codec import CODES, pack, unpack
from aionlab.core.events import Recorded, is_fact
from aionlab.core.ids import NO_RUN, WorkflowId
from aionlab.core.ports import Batch, Finished, Interrupted, Missing, Run, RunChange, Timer

from .call import Call
from .heartbeats import Beaten
from .run import LiveRun, OpenActivity
from .schedules.schedule import Schedule

Message = Call | Finished | Missing | Interrupted | Beaten

FLAGS = 1
"""Engine-behaviour flags in force."""
_DELIVERED, _DEFERRED = FLAGS << 1, FLAGS << 1 | 1
_STARTED = CODES["ActivityStarted"]
_PLAIN = frozenset({e.ActivityScheduled, e.ActivityStarted, e.ActivityCompleted, e.ActivityFailed, e.ActivityTimedOut, e.SignalReceived,
                    e.SignalSent, e.SignalDelivered, e.SignalUndelivered, e.UpdateAccepted, e.UpdateCompleted,
                    e.ActivityCancelRequested, e.ActivityCancelled})  # fmt: skip


class Turn:
    """Facts and answers in, one batch out. Nothing here is visible to anyone before `commit` has succeeded."""

    __slots__ = (
        "affairs", "after", "at", "batch", "begun", "begun_attempts", "closed", "ended_attempts", "fired", "heard", "keys", "now", "planned", "recorded", "schedules", "taken", "touched",
    )  # fmt: skip

    def __init__(self, now: Micros, heard: bool) -> None:
        self.now = now
        self.heard = heard
        """Whether anybody listens, so that envelopes are worth making."""
        self.batch = Batch()
        self.touched: dict[int, LiveRun] = {}
        self.schedules: dict[int, Schedule] | None = None
        """Schedules this turn records something for, by history key."""
        self.affairs: deque[tuple[LiveRun, Callable[[], None] | None]] | None = None
        """What a run's step has caused in other runs, to be seen to once the step is recorded whole; None: the run closed and has a parent
        or children."""
        self.after: list[Callable[[], None]] = []
        """What to do after the commit, in order."""
        self.at: Message | LiveRun | Schedule | None = None
        """What is being worked on."""
        self.begun = 0
        """How many messages were begun."""
        self.taken: list[tuple[Message, int]] = []
        """Messages carried out, each with the number of rows before it; to be failed or offered again when the commit failed."""
        self.fired: list[Any] = []
        """Entries taken off the timers' heap, to be put back when the commit failed."""
        self.planned: dict[WorkflowId, LiveRun] = {}
        """The newest run this turn starts, by workflow id."""
        self.keys: dict[str, Run] | None = None
        """Runs this turn starts with an idempotency key."""
        self.recorded: list[Recorded] = []
        self.closed: list[LiveRun] = []
        self.begun_attempts: list[tuple[LiveRun, OpenActivity, int]] = []
        """Attempts recorded as begun, to be handed to the executor after the commit."""
        self.ended_attempts: list[tuple[tuple[int, int], int]] = []
        """(run key, activity id) and number of attempts that are in flight no more once the turn is committed."""

    def schedule(self, run: LiveRun, scheduled: e.ActivityScheduled, pid: int) -> None:
        """`record` of an activity and of its first attempt, which every step of most runs writes; only for a run that may dispatch."""
        opened = OpenActivity(scheduled, self.now)
        opened.attempt, opened.pid = 1, pid
        number = scheduled.activity_id
        if run.activities is None:
            run.activities = {}
        run.activities[number] = opened
        recorder, key, now = run.recorder, run.row.key, self.now
        rows, workflow, seq = self.batch.rows, recorder.key, recorder.head + 1
        if key not in self.touched:
            self.touched[key] = run
            self.batch.expected.setdefault(workflow, seq - 1)
        recorder.head = seq + 1
        code, _, data, payload = pack(scheduled)
        rows.append((workflow, seq, key, now, code, _DELIVERED, number, data, payload))
        rows.append((workflow, seq + 1, key, now, _STARTED, _DELIVERED, number, None, None))
        self.begun_attempts.append((run, opened, 1))
        if self.heard:
            self._envelop(run, scheduled, seq, False)
            self._envelop(run, e.ActivityStarted(number), seq + 1, False)

    def record(self, run: LiveRun, event: e.Event, deferred: bool = False) -> None:
        """Put an event behind the run's history and fold it into the run."""
        run.fold(event, self.now)
        recorder, batch, key = run.recorder, self.batch, run.row.key
        if key not in self.touched:
            self.touched[key] = run
            batch.expected.setdefault(recorder.key, recorder.head)
        recorder.head = seq = recorder.head + 1
        code, ref, data, payload = pack(event)
        batch.rows.append((recorder.key, seq, key, self.now, code, _DEFERRED if deferred else _DELIVERED, ref, data, payload))
        if type(event) not in _PLAIN:
            self._project(run, event)
        if deferred or self.heard:
            self._envelop(run, event, seq, deferred)

    def _envelop(self, run: LiveRun, event: e.Event, seq: int, deferred: bool) -> None:
        recorded = Recorded(seq, self.now, run.workflow_id, run.run_id, event, deferred, FLAGS)
        if deferred and is_fact(event):
            run.defer(recorded)
        if self.heard:
            self.recorded.append(recorded)

    def _project(self, run: LiveRun, event: e.Event) -> None:
        """The rows of other tables that an event changes."""
        batch = self.batch
        match event:
            case e.TimerStarted(timer_id=number, fire_at=fire_at):
                batch.timers.append(Timer(run.key, number, fire_at))
            case e.TimerFired(timer_id=number) | e.TimerCancelled(timer_id=number):
                batch.timers_ended.append((run.key, number))
            case e.WorkflowStarted() | e.WorkflowForked() | e.MemoUpdated():
                pass
            case e.WorkflowReopened(timers=timers):
                assert run.status is not None
                batch.timers += [Timer(run.key, number, fire_at) for number, fire_at in timers]
                batch.changes.append(RunChange(run.key, run.status, None, run.attributes))
            case _:
                assert run.status is not None
                closed = type(event) in e.TERMINAL
                version = run.row.version if type(event) is e.VersionChanged else None
                batch.changes.append(RunChange(run.key, run.status, self.now if closed else None, run.attributes, version))
                if closed:
                    batch.runs_ended.append(run.key)
                    self.closed.append(run)
                    if run.children is not None or (run.started is not None and run.started.parent_workflow_id is not None):
                        self.see_to(run)

    def see_to(self, run: LiveRun, act: Callable[[], None] | None = None) -> None:
        """Put off what a step causes in other runs until all that the step itself records is recorded."""
        if self.affairs is None:
            self.affairs = deque()
        self.affairs.append((run, act))

    def enter(self, schedule: Schedule, event: e.Event) -> None:
        """Put an event behind a schedule's history and fold it into the schedule."""
        schedule.fold(event, self.now)
        recorder = schedule.recorder
        if self.schedules is None:
            self.schedules = {}
        self.schedules[recorder.key] = schedule
        self.batch.expected.setdefault(recorder.key, recorder.head)
        recorder.head = seq = recorder.head + 1
        self.batch.rows.append((recorder.key, seq, 0, self.now, CODES[type(event).__name__], _DELIVERED, *pack(event)[1:]))
        if self.heard:
            self.recorded.append(Recorded(seq, self.now, recorder.workflow_id, NO_RUN, event, False, FLAGS))

    def copy(self, run: LiveRun, recorded: Recorded) -> None:
        """Put an event of another run, renumbered, behind the run's history as it was recorded; the caller folds it and keeps the projections."""
        recorder, batch = run.recorder, self.batch
        if run.key not in self.touched:
            self.touched[run.key] = run
            batch.expected.setdefault(recorder.key, recorder.head)
        recorder.head = recorded.seq
        code, ref, data, payload = pack(recorded.event)
        flags = recorded.flags << 1 | recorded.deferred
        batch.rows.append((recorder.key, recorded.seq, run.row.key, recorded.at, code, flags, ref, data, payload))
        if self.heard:
            self.recorded.append(recorded)

    def pending(self, run: LiveRun) -> list[Recorded]:
        """What this turn has recorded for the run so far."""
        mine = [row for row in self.batch.rows if row[2] == run.key]
        return [
            Recorded(seq, Micros(at), run.workflow_id, run.run_id, unpack(code, ref, data, payload), flags & 1 == 1, flags >> 1)
            for _, seq, _, at, code, flags, ref, data, payload in mine
        ]

    @property
    def empty(self) -> bool:
        return not self.batch.rows and not self.after and not self.ended_attempts

    def after_commit(self, act: Callable[..., Any], *args: Any) -> None:
        self.after.append((lambda: act(*args)) if args else act)
