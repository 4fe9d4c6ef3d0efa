"""One open run as the engine holds it: a fold of its events, and the process that runs its code when it is resident."""
from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aionlab.core import events as e
from aionlab.core.clock import Micros
from aionlab.core.errors import IllegalEvent, UnknownEventKind
from aionlab.core.events import Recorded, is_fact
from aionlab.core.ids import RunId, WorkflowId
from aionlab.core.jsontext import loads
from aionlab.core.ports import NO_ATTRIBUTES, Run
from aionlab.core.status import Status, after
from aionlab.replay.process import Process

UNREADABLE = (UnknownEventKind, IllegalEvent, ValueError, TypeError, LookupError)
"""What reading or folding a history raises that is damaged, or was written by a newer aionlab."""


_RUNNING = Status.RUNNING
_PLAIN = frozenset({e.ActivityScheduled, e.ActivityStarted, e.ActivityCompleted})


class Recorder:
    """The one owner of a workflow id's sequence head; shared by the runs of the id."""

    __slots__ = ("head", "key", "workflow_id")

    def __init__(self, workflow_id: WorkflowId, key: int, head: int) -> None:
        self.workflow_id, self.key, self.head = workflow_id, key, head


class OpenActivity:
    """An activity that has not closed: the last attempt begun, and when the next is due if one is."""

    __slots__ = ("attempt", "next_attempt_at", "pid", "scheduled")

    def __init__(self, scheduled: e.ActivityScheduled) -> None:
        self.scheduled = scheduled
        self.attempt = 0
        self.next_attempt_at: Micros | None = None
        self.pid = 0


class LiveRun:
    """An open run. `process` is None while it is not resident; `stuck` says why it cannot go on, when it cannot."""

    __slots__ = (
        "activities", "attributes", "cancel_requested", "deferred", "left", "outcome", "pid", "process", "recorder", "row", "signal_keys", "started", "status",
        "stuck", "timers", "waiters", "waits_for",
    )  # fmt: skip

    def __init__(self, row: Run, recorder: Recorder) -> None:
        self.row = row
        self.recorder = recorder
        self.process: Process | None = None
        self.pid = 0
        self.stuck: BaseException | None = None
        self.waits_for = ""
        """What must come before the run can be resident (trust, code), or empty."""
        self.waiters: list[Any] | None = None
        self._blank()

    def _blank(self) -> None:
        self.status: Status | None = None
        self.started: e.WorkflowStarted | None = None
        self.outcome: e.Event | None = None
        self.activities: dict[int, OpenActivity] | None = None
        self.timers: dict[int, Micros] | None = None
        self.deferred: deque[Recorded] | None = None
        """Facts recorded and not delivered, in order; only meaningful while there is no process, or it is paused."""
        self.left: tuple[int, ...] = ()
        """Activities that were open when the run closed."""
        self.cancel_requested = False
        self.signal_keys: set[str] | None = None
        self.attributes: Mapping[str, Any] = self.row.attributes

    @property
    def key(self) -> int:
        return self.row.key

    @property
    def workflow_id(self) -> WorkflowId:
        return self.row.workflow_id

    @property
    def run_id(self) -> RunId:
        return self.row.run_id

    @property
    def closed(self) -> bool:
        return self.outcome is not None

    @property
    def can_step(self) -> bool:
        """Whether a fact may be delivered now."""
        return self.process is not None and self.status is _RUNNING and self.stuck is None

    def fold(self, event: e.Event) -> None:
        """Take a recorded event into account; raises IllegalEvent where the status table forbids it."""
        kind = type(event)
        if kind not in _PLAIN or self.status is not _RUNNING:  # those three are allowed in a running run and leave it so
            self.status = after(self.status, event)
        if kind is e.ActivityCompleted:
            if self.activities:
                self.activities.pop(event.activity_id, None)  # type: ignore[union-attr]  # narrowed by `kind`, as below
        elif kind is e.ActivityScheduled:
            if self.activities is None:
                self.activities = {}
            self.activities[event.activity_id] = OpenActivity(event)  # type: ignore[union-attr,arg-type]
        elif kind is e.ActivityStarted:
            opened = self.activities.get(event.activity_id) if self.activities else None  # type: ignore[union-attr]
            if opened is not None:
                opened.attempt = event.attempt  # type: ignore[union-attr]
                opened.next_attempt_at = None
        else:
            self._fold_rest(event)

    def _fold_rest(self, event: e.Event) -> None:
        match event:
            case e.ActivityFailed(activity_id=number, next_attempt_at=due) | e.ActivityTimedOut(activity_id=number, next_attempt_at=due):
                opened = self.activities.get(number) if self.activities else None
                if opened is not None and due is not None:
                    opened.next_attempt_at = due
                elif self.activities:
                    self.activities.pop(number, None)
            case e.ActivityCancelRequested(activity_id=number) | e.ActivityCancelled(activity_id=number):
                if self.activities:
                    self.activities.pop(number, None)
            case e.TimerStarted(timer_id=number, fire_at=fire_at):
                if self.timers is None:
                    self.timers = {}
                self.timers[number] = fire_at
            case e.TimerFired(timer_id=number) | e.TimerCancelled(timer_id=number):
                if self.timers:
                    self.timers.pop(number, None)
            case e.WorkflowStarted():
                self.started = event
            case e.SignalReceived(idempotency_key=str() as key):
                if self.signal_keys is None:
                    self.signal_keys = set()
                self.signal_keys.add(key)
            case e.WorkflowCancelRequested():
                self.cancel_requested = True
            case e.SearchAttributesUpdated(attributes=payload):
                merged = {**self.attributes, **loads(payload)}
                self.attributes = {name: value for name, value in merged.items() if value is not None}
            case _ if type(event) in e.TERMINAL:
                self.outcome = event
                self.left = tuple(self.activities or ())
                self.activities = self.timers = self.deferred = None
            case _:
                pass

    def refold(self, history: list[Recorded]) -> None:
        """Forget what memory holds and fold the recorded events again."""
        self._blank()
        self.attributes = NO_ATTRIBUTES
        for recorded in history:
            self.fold(recorded.event)

    def unreadable(self, error: BaseException) -> None:
        """The recorded events cannot be folded: the run keeps the status it is listed with, and is stuck."""
        self._blank()
        self.status = self.row.status
        self.stuck = error

    def defer(self, recorded: Recorded) -> None:
        if not is_fact(recorded.event):
            return
        if self.deferred is None:
            self.deferred = deque()
        self.deferred.append(recorded)

    def has_signal_key(self, key: str) -> bool:
        """Whether a signal with this idempotency key is recorded in the run."""
        return self.signal_keys is not None and key in self.signal_keys

    def current_row(self, closed_at: Micros | None = None) -> Run:
        """The visibility row as it stands."""
        assert self.status is not None
        return replace(self.row, status=self.status, attributes=self.attributes, closed_at=closed_at)
