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
from aionlab.core.failure import Failure, clean
from aionlab.core.ids import RunId, WorkflowId
from aionlab.core.jsontext import dumps, loads
from aionlab.core.ports import NO_ATTRIBUTES, Run
from aionlab.core.status import Status, after
from aionlab.replay.leases import counting
from aionlab.replay.process import Process

from .mail import Mail

UNREADABLE = (UnknownEventKind, IllegalEvent, ValueError, TypeError, LookupError)
"""What reading or folding a history raises that is damaged, or was written by a newer aionlab."""


REMEMBERED = 50
"""Errors of attempts that are kept for the error of the last one."""
_BRIEF = 500
"""Bytes kept of the text of each, and of what else it holds."""
_RUNNING = Status.RUNNING
_PLAIN = frozenset({e.ActivityScheduled, e.ActivityStarted, e.ActivityCompleted})


class Recorder:
    """The one owner of a workflow id's sequence head; shared by the runs of the id."""

    __slots__ = ("head", "key", "workflow_id")

    def __init__(self, workflow_id: WorkflowId, key: int, head: int) -> None:
        self.workflow_id, self.key, self.head = workflow_id, key, head


class Past:
    """What an activity that did not go smoothly has behind it."""

    __slots__ = ("cancel_requested", "details", "earlier", "spent")

    def __init__(self) -> None:
        self.earlier: list[dict[str, Any]] | None = None
        """The errors of its attempts, oldest first, as trees; the last few where there are many."""
        self.details: str | None = None
        """What the last heartbeat that is recorded said: an encoded value."""
        self.cancel_requested = False
        """The code no longer wants it and waits for its end."""
        self.spent = 0
        """Attempts made before the run was reopened, which the retry policy no longer counts."""


class OpenActivity:
    """An activity that has not closed: the last attempt begun, and when the next is due if one is."""

    __slots__ = ("at", "attempt", "next_attempt_at", "past", "pid", "scheduled")

    def __init__(self, scheduled: e.ActivityScheduled, at: Micros) -> None:
        self.scheduled = scheduled
        self.at = at
        """When it was recorded."""
        self.attempt = 0
        self.next_attempt_at: Micros | None = None
        self.past: Past | None = None
        self.pid = 0

    @property
    def begun(self) -> bool:
        """Whether an attempt is recorded as begun, and no end of it."""
        return self.attempt > 0 and self.next_attempt_at is None

    @property
    def cancel_requested(self) -> bool:
        return self.past is not None and self.past.cancel_requested

    @property
    def deadline(self) -> Micros | None:
        """When all its attempts together have taken too long."""
        limit = self.scheduled.options.schedule_to_close
        return None if limit is None else Micros(self.at + limit)

    def remember(self) -> Past:
        if self.past is None:
            self.past = Past()
        return self.past

    def end_of_attempt(self, event: e.ActivityFailed | e.ActivityTimedOut) -> None:
        """An attempt ended and another follows."""
        self.next_attempt_at = event.next_attempt_at
        past = self.remember()
        if event.details is not None:
            past.details = event.details
        if past.earlier is None:
            past.earlier = []
        past.earlier.append(error_of_attempt(event))
        del past.earlier[:-REMEMBERED]


def error_of_attempt(event: e.ActivityFailed | e.ActivityTimedOut) -> dict[str, Any]:
    """The error an attempt ended with, as a tree without its traceback."""
    if isinstance(event, e.ActivityTimedOut):
        return Failure("builtins:TimeoutError", event.kind, ("TimeoutError", "OSError", "Exception"), {"args": [event.kind]}).to_tree()
    failure = event.error
    fields = failure.fields if failure.fields is not None and len(dumps(failure.fields)) <= _BRIEF else None
    return replace(failure, message=clean(failure.message, _BRIEF), fields=fields, traceback="", source="", cause=None, sealed=None).to_tree()


class OpenChild:
    """A child that has not ended, as far as its parent is concerned."""

    __slots__ = ("parent_close", "started")

    def __init__(self, started: e.ChildWorkflowStarted) -> None:
        self.started = started
        self.parent_close = started.parent_close


class LiveRun:
    """An open run. `process` is None while it is not resident; `stuck` says why it cannot go on, when it cannot."""

    __slots__ = (
        "activities", "attributes", "cancel_requested", "children", "deferred", "leases", "left", "mail", "outcome", "pid", "process", "recorder", "row", "signal_keys", "started", "status",
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
        self.children: dict[int, OpenChild] | None = None
        """Still there when the run has closed, for what its `parent_close` says."""
        self.left: tuple[int, ...] = ()
        """Activities that were open when the run closed, but for those the code has abandoned or would have."""
        self.cancel_requested = False
        self.leases = 0
        """How often the run was reopened."""
        self.mail: Mail | None = None
        self.signal_keys: dict[str, None] | None = None
        """Idempotency keys of signals, oldest first."""
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

    def fold(self, event: e.Event, at: Micros = Micros(0)) -> None:
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
            self.activities[event.activity_id] = OpenActivity(event, at)  # type: ignore[union-attr,arg-type]
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
                    opened.end_of_attempt(event)
                elif self.activities:
                    self.activities.pop(number, None)
            case e.ActivityCancelRequested(activity_id=number):
                opened = self.activities.get(number) if self.activities else None
                if opened is not None and opened.scheduled.options.cancellation == "wait_completed":
                    opened.remember().cancel_requested = True
                elif self.activities:
                    self.activities.pop(number, None)
            case e.ActivityCancelled(activity_id=number):
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
                self._at_version(event.version)
                if event.origin is not None and event.origin.signal_keys:
                    self.signal_keys = dict.fromkeys(event.origin.signal_keys)
            case e.VersionChanged(new=version):
                self._at_version(version)
            case e.WorkflowReopened():
                self.outcome = None
                self.leases += 1
            case e.SignalReceived(idempotency_key=str() as key):
                if self.signal_keys is None:
                    self.signal_keys = {}
                self.signal_keys[key] = None
            case e.WorkflowCancelRequested(children=whole):
                self.cancel_requested = True
                if whole:
                    self._spare_children()
            case e.SearchAttributesUpdated(attributes=payload):
                merged = {**self.attributes, **loads(payload)}
                self.attributes = {name: value for name, value in merged.items() if value is not None}
            case _ if type(event) in e.TERMINAL:
                self.outcome = event
                if self.activities:
                    self.left = tuple(n for n, opened in self.activities.items() if opened.scheduled.options.cancellation != "abandon")
                self.activities = self.timers = self.deferred = None
            case e.SignalSent() | e.SignalDelivered() | e.SignalUndelivered() | e.UpdateAccepted() | e.UpdateCompleted():
                if self.mail is None:
                    self.mail = Mail()
                self.mail.fold(event)
            case _:
                self._fold_child(event)

    def _fold_child(self, event: e.Event) -> None:
        if isinstance(event, e.ChildWorkflowStarted):
            if self.children is None:
                self.children = {}
            self.children[event.child_id] = OpenChild(event)
        elif isinstance(event, e.ChildEnd) and self.children is not None:
            self.children.pop(event.child_id, None)
            if not self.children:
                self.children = None

    def _spare_children(self) -> None:
        """They are asked to stop, and outlive the run to clean up."""
        for opened in (self.children or {}).values():
            if opened.parent_close == "terminate":
                opened.parent_close = "request_cancel"

    def _at_version(self, version: str) -> None:
        if self.row.version != version:
            self.row = replace(self.row, version=version)

    def refold(self, history: list[Recorded]) -> None:
        """Forget what memory holds and fold the recorded events again."""
        self._blank()
        self.attributes = NO_ATTRIBUTES
        for recorded in history:
            self.fold(recorded.event, recorded.at)
        if self.leases:
            self._refold_leases(history)

    def _refold_leases(self, history: list[Recorded]) -> None:
        """Fold again what counts of a history in which the run was reopened."""
        leases = self.leases
        self._blank()
        self.attributes = NO_ATTRIBUTES
        for recorded in counting(history):
            if isinstance(recorded.event, e.WorkflowReopened):
                self._open_lease(recorded.event, recorded.at)
            else:
                self.fold(recorded.event, recorded.at)
        self.leases = leases

    def _open_lease(self, reopened: e.WorkflowReopened, at: Micros) -> None:
        """Activities have their time, and those that run again their attempts, anew."""
        self.status = Status.RUNNING
        self.timers = dict(reopened.timers) or None
        for number, opened in (self.activities or {}).items():
            opened.at = at
            if number in reopened.activities:
                opened.past, opened.next_attempt_at = Past(), None
                opened.past.spent = opened.attempt

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
