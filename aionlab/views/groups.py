"""A history told by what was asked: one group for each activity, timer, signal and child, with its attempts and waits.

One pass over the events, linear, and lenient: a history that begins in the middle (a page of it, a tail) gives groups without
what came before. Everything that draws or tabulates a run starts from here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from aionlab.core import events as e
from aionlab.core.clock import Micros
from aionlab.core.errors import IllegalEvent
from aionlab.core.ids import RunId, WorkflowId
from aionlab.core.status import Status, after

from .detail import timer
from .preview import failure_line, preview
from .text import clip, label

_NAME = 200


class AttemptSpan(NamedTuple):
    """One attempt of an activity."""

    number: int
    """From 1."""
    started_at: Micros
    ended_at: Micros | None
    outcome: str
    """"Running", "Completed", "Failed", "TimedOut", "Cancelled"; "Abandoned" when a later attempt or the run's end came first."""
    retry_at: Micros | None = None
    """When the next attempt is due, where one follows."""
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """What became of one activity, timer, signal or child.

    Texts are visible lines, names cut at 200 cells; times are microseconds since the epoch.
    """

    id: str
    """"activity#0", "timer#1", "deadline", "child#0", "signal#0" (the signal's ordinal among the run's signals)."""
    kind: str
    """"activity", "timer", "signal", "child" or "update"."""
    name: str
    """The activity's type, the timer's summary, the signal's name, the child's type and workflow id."""
    ref: int
    seq: int
    """Of the first event of the group."""
    run_id: RunId
    workflow_id: WorkflowId
    scheduled_at: Micros | None
    """When it was asked for; of a signal, since when nothing but a message could move the run (None if something else could)."""
    started_at: Micros | None
    """Begin of the first attempt; for a timer as `scheduled_at`, for a signal when it arrived."""
    closed_at: Micros | None
    attempts: tuple[AttemptSpan, ...]
    status: str
    """"Scheduled", "Running", "Waiting for retry", "Completed", "Failed", "TimedOut", "Cancelled" or "Abandoned" for activities;
    "Waiting", "Fired", "Cancelled" or "Abandoned" for timers; "Received" for signals; "Running", "Completed", "Failed", "Cancelled",
    "TimedOut", "Terminated" or "Abandoned" (the run ended first) for children."""
    input: str
    result: str
    failure: str
    due_at: Micros | None
    """When a timer fires."""

    @property
    def wait(self) -> int:
        """Microseconds not spent in an attempt: before the first one, and between them."""
        first = self.scheduled_at if self.scheduled_at is not None else self.started_at
        last = self.closed_at if self.kind in ("timer", "signal") else self.attempts[-1].started_at if self.attempts else self.closed_at
        if first is None or last is None:
            return 0
        busy = sum(one.ended_at - one.started_at for one in self.attempts[:-1] if one.ended_at is not None)
        return max(0, last - first - busy)


class Span(NamedTuple):
    """One run as its events tell it."""

    workflow_id: WorkflowId
    run_id: RunId
    workflow_type: str
    version: str
    status: Status
    started_at: Micros
    closed_at: Micros | None
    last_at: Micros
    """When its last event was recorded."""
    idle_since: Micros | None
    """Since when an open run has had neither an activity, a timer nor a child of its own open: only a message can move it. Else None."""
    paused: tuple[tuple[Micros, Micros | None], ...]
    result: str
    failure: str


class Story(NamedTuple):
    spans: tuple[Span, ...]
    """By first event."""
    groups: tuple[Group, ...]
    """By first event."""


class _Open:
    """A group while its events are read."""

    __slots__ = (
        "attempts",
        "closed_at",
        "due_at",
        "failure",
        "id",
        "input",
        "kind",
        "lasts",
        "name",
        "ref",
        "result",
        "scheduled_at",
        "seq",
        "started_at",
        "status",
    )

    def __init__(self, name: str, kind: str, ref: int, seq: int, status: str) -> None:
        self.id, self.kind, self.ref, self.seq, self.status = name, kind, ref, seq, status
        self.name = self.input = self.result = self.failure = ""
        self.scheduled_at: Micros | None = None
        self.started_at: Micros | None = None
        self.closed_at: Micros | None = None
        self.due_at: Micros | None = None
        self.attempts: list[AttemptSpan] = []
        self.lasts = False
        """Whether an activity goes on when its cancellation is asked for."""

    def begin(self, number: int, at: Micros) -> None:
        self.end(at, "Abandoned")
        if self.started_at is None:
            self.started_at = at
        self.attempts.append(AttemptSpan(number, at, None, "Running"))
        self.status, self.closed_at = "Running", None

    def end(self, at: Micros, outcome: str, retry_at: Micros | None = None, failure: str = "") -> None:
        """Close the attempt under way; without one there is nothing to close."""
        if self.attempts and self.attempts[-1].ended_at is None:
            last = self.attempts[-1]
            self.attempts[-1] = AttemptSpan(last.number, last.started_at, at, outcome, retry_at, failure)

    def close(self, at: Micros, status: str) -> None:
        self.end(at, status)
        self.closed_at, self.status = at, status

    def frozen(self, run: _Run) -> Group:
        return Group(
            self.id,
            self.kind,
            self.name,
            self.ref,
            self.seq,
            run.run_id,
            run.workflow_id,
            self.scheduled_at,
            self.started_at,
            self.closed_at,
            tuple(self.attempts),
            self.status,
            self.input,
            self.result,
            self.failure,
            self.due_at,
        )


class _Run:
    """A run while its events are read."""

    def __init__(self, first: e.Recorded, limit: int) -> None:
        self.workflow_id, self.run_id, self.limit = first.workflow_id, first.run_id, limit
        self.type = self.version = self.result = self.failure = ""
        self.status = None if isinstance(first.event, e.WorkflowStarted) else Status.RUNNING
        self.started_at = self.last_at = first.at
        self.closed_at: Micros | None = None
        self.paused: list[tuple[Micros, Micros | None]] = []
        self.activities: dict[int, _Open] = {}
        self.timers: dict[int, _Open] = {}
        self.children: dict[int, _Open] = {}
        self.unwanted: dict[int, Micros] = {}
        """Activities whose cancellation was asked for by the event before, and when."""
        self.busy: set[int] = set()
        self.sleeping: set[int] = set()
        self.signals = 0
        self.updates: dict[str, _Open] = {}
        self.moved_at: Micros | None = first.at
        self.maybe_received: _Open | None = None
        """A signal that came while a timer ran: it was waited for if the code's first answer is to drop that timer."""

    def span(self) -> Span:
        idle = self.status is Status.RUNNING and not self.busy and not self.sleeping
        return Span(
            self.workflow_id,
            self.run_id,
            self.type,
            self.version,
            self.status or Status.RUNNING,
            self.started_at,
            self.closed_at,
            self.last_at,
            self.moved_at if idle else None,
            tuple(self.paused),
            self.result,
            self.failure,
        )

    def activity(self, number: int, seq: int, fresh: list[tuple[_Run, _Open]]) -> _Open:
        found = self.activities.get(number)
        if found is None:
            found = self.activities[number] = _Open(f"activity#{number}", "activity", number, seq, "Scheduled")
            fresh.append((self, found))
        return found

    def drop_unwanted(self) -> None:
        """Activities that were closed by the request to cancel them, for no end of theirs is recorded."""
        for number, at in self.unwanted.items():
            self.activities[number].close(at, "Cancelled")
            self.busy.discard(number)
        self.unwanted.clear()

    def child(self, number: int, seq: int, fresh: list[tuple[_Run, _Open]]) -> _Open:
        found = self.children.get(number)
        if found is None:
            found = self.children[number] = _Open(f"child#{number}", "child", number, seq, "Running")
            fresh.append((self, found))
        return found

    def timer(self, number: int, seq: int, fresh: list[tuple[_Run, _Open]]) -> _Open:
        found = self.timers.get(number)
        if found is None:
            found = self.timers[number] = _Open(timer(number), "timer", number, seq, "Waiting")
            fresh.append((self, found))
        return found


def groups(events: Iterable[e.Recorded], limit: int = 120) -> list[Group]:
    """The groups of a history (of one run or of many), by first event; previews are cut at `limit` cells."""
    return list(story(events, limit).groups)


def story(events: Iterable[e.Recorded], limit: int = 120) -> Story:
    """The runs of a history and their groups, in one pass."""
    runs: dict[str, _Run] = {}
    fresh: list[tuple[_Run, _Open]] = []
    for recorded in events:
        run = runs.get(recorded.run_id)
        if run is None:
            run = runs[recorded.run_id] = _Run(recorded, limit)
        _take(run, recorded, fresh)
    for run in runs.values():
        run.drop_unwanted()
    return Story(tuple(run.span() for run in runs.values()), tuple(found.frozen(run) for run, found in fresh))


def _take(run: _Run, recorded: e.Recorded, fresh: list[tuple[_Run, _Open]]) -> None:
    event, at, seq, limit = recorded.event, recorded.at, recorded.seq, run.limit
    run.last_at = at
    waited, run.maybe_received = run.maybe_received, None
    if run.unwanted:
        if type(event) is e.ActivityCancelled:
            run.unwanted.pop(event.activity_id, None)
        run.drop_unwanted()
    match event:
        case e.ActivityScheduled(activity_id=number, activity_type=name, input=payload, options=options):
            found = run.activity(number, seq, fresh)
            found.lasts = options.cancellation == "wait_completed"
            found.name, found.input, found.scheduled_at = label(name, _NAME), preview(payload, limit), at
            run.busy.add(number)
        case e.ActivityStarted(activity_id=number, attempt=attempt):
            run.activity(number, seq, fresh).begin(attempt, at)
            run.busy.add(number)
        case e.ActivityCompleted(activity_id=number, result=payload):
            found = run.activity(number, seq, fresh)
            found.result = preview(payload, limit)
            found.close(at, "Completed")
            run.busy.discard(number)
            run.moved_at = at
        case e.ActivityFailed(activity_id=number, error=error, next_attempt_at=again):
            _attempt_ended(run, run.activity(number, seq, fresh), at, "Failed", again, failure_line(error, limit))
        case e.ActivityTimedOut(activity_id=number, kind=which, next_attempt_at=again):
            _attempt_ended(
                run, run.activity(number, seq, fresh), at, "TimedOut", again, clip(f"took too long ({which[:limit]})", limit)
            )
        case e.ActivityCancelRequested(activity_id=number):
            found = run.activity(number, seq, fresh)
            if not found.lasts:
                run.unwanted[number] = at
        case e.ActivityCancelled(activity_id=number):
            run.activity(number, seq, fresh).close(at, "Cancelled")
            run.busy.discard(number)
            run.moved_at = at
        case e.TimerStarted(timer_id=number, fire_at=due, summary=summary):
            found = run.timer(number, seq, fresh)
            found.scheduled_at = found.started_at = at
            found.due_at, found.name = due, label(summary, _NAME) if summary else found.name
            if number >= 0 or number == e.DELAY:
                run.sleeping.add(number)
        case e.TimerFired(timer_id=number):
            run.timer(number, seq, fresh).close(at, "Fired")
            run.sleeping.discard(number)
            run.moved_at = at
        case e.TimerCancelled(timer_id=number):
            run.timer(number, seq, fresh).close(at, "Cancelled")
            run.sleeping.discard(number)
            if waited is not None:
                waited.scheduled_at = run.moved_at
                run.moved_at = at
        case e.SignalReceived(name=name, payload=payload):
            found = _Open(f"signal#{run.signals}", "signal", run.signals, seq, "Received")
            found.name, found.input, found.started_at, found.closed_at = label(name, _NAME), preview(payload, limit), at, at
            run.signals += 1
            fresh.append((run, found))
            if not run.busy and not run.sleeping:
                found.scheduled_at, run.moved_at = run.moved_at, at
            elif not run.busy:
                run.maybe_received = found
        case e.UpdateAccepted(update_id=name):
            run.updates[name] = found = _Open(f"update#{len(run.updates)}", "update", len(run.updates), seq, "Running")
            found.name, found.input, found.scheduled_at = label(event.name, _NAME), preview(event.args, limit), at
            found.begin(1, at)
            run.moved_at = at
            fresh.append((run, found))
        case e.UpdateCompleted(update_id=name, result=result, error=refusal):
            answered = run.updates.get(name)
            if answered is not None:
                answered.result = "" if result is None else preview(result, limit)
                answered.failure = "" if refusal is None else failure_line(refusal, limit)
                answered.end(at, "Completed" if refusal is None else "Failed", None, answered.failure)
                answered.close(at, "Completed" if refusal is None else "Failed")
        case e.ChildWorkflowStarted(child_id=number, workflow_type=name, child_workflow_id=workflow_id, input=payload):
            found = run.child(number, seq, fresh)
            found.name, found.input, found.scheduled_at = label(f"{name} ({workflow_id})", _NAME), preview(payload, limit), at
            found.begin(1, at)
            run.busy.add(~number)
        case e.ChildWorkflowCancelRequested():
            pass
        case _ if type(event) in e.CHILD_ENDS:
            _child_ended(run, run.child(event.child_id, seq, fresh), recorded)  # type: ignore[union-attr]  # narrowed by the set
        case _:
            _lifecycle(run, recorded)


def _child_ended(run: _Run, found: _Open, recorded: e.Recorded) -> None:
    event, at = recorded.event, recorded.at
    match event:
        case e.ChildWorkflowCompleted(result=payload):
            found.result = preview(payload, run.limit)
        case e.ChildWorkflowFailed(error=error):
            found.failure = failure_line(error, run.limit)
        case _:
            pass
    outcome = type(event).__name__.removeprefix("ChildWorkflow")
    found.end(at, outcome, None, found.failure)
    found.close(at, outcome)
    run.busy.discard(~found.ref)
    run.moved_at = at


def _attempt_ended(run: _Run, found: _Open, at: Micros, outcome: str, again: Micros | None, failure: str) -> None:
    found.failure = failure
    found.end(at, outcome, again, failure)
    if again is None:
        found.close(at, outcome)
        run.busy.discard(found.ref)
        run.moved_at = at
    else:
        found.status = "Waiting for retry"


def _reopened(run: _Run, at: Micros, timers: tuple[tuple[int, Micros], ...]) -> None:
    """What the end of the run had closed is open again; activities say so themselves, by an attempt."""
    run.closed_at, run.failure, run.moved_at = None, "", at
    if run.paused and run.paused[-1][1] is None:
        run.paused[-1] = (run.paused[-1][0], at)
    for number, due in timers:
        pending = run.timers.get(number)
        if pending is not None:
            pending.status, pending.closed_at, pending.due_at = "Waiting", None, due
            if number >= 0 or number == e.DELAY:
                run.sleeping.add(number)
    for child in run.children.values():
        if child.status == "Abandoned":
            child.begin(1, at)
            run.busy.add(~child.ref)


def _lifecycle(run: _Run, recorded: e.Recorded) -> None:
    event, at = recorded.event, recorded.at
    try:
        run.status = after(run.status, event)
    except IllegalEvent:
        # a tail of a history, or one from elsewhere: show what is there
        pass
    match event:
        case e.WorkflowStarted(workflow_type=name, version=version):
            run.type, run.version, run.started_at = label(name, _NAME), version, at
        case e.WorkflowCompleted(result=payload):
            run.result = preview(payload, run.limit)
        case e.WorkflowFailed(error=error):
            run.failure = failure_line(error, run.limit)
        case e.WorkflowPaused():
            run.paused.append((at, None))
        case e.WorkflowReopened(timers=timers):
            _reopened(run, at, timers)
        case e.WorkflowResumed() if run.paused:
            run.paused[-1] = (run.paused[-1][0], at)
        case _:
            pass
    if type(event) in e.TERMINAL:
        run.closed_at = at
        for found in (*run.activities.values(), *run.timers.values(), *run.children.values(), *run.updates.values()):
            if found.closed_at is None:
                found.close(at, "Abandoned")
        run.busy.clear()
        run.sleeping.clear()
