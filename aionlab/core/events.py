"""What can happen to a workflow, in the past tense; history is a gapless list of these.

Three kinds, and replay turns on the difference:

- **facts** reach the workflow's code (a result, a fired timer, a signal, a cancel request);
- **answers** are what the code asked for in the step that a fact caused (an activity, a timer, the end of the run);
- **notes** are the engine's own bookkeeping, which the code never sees (an attempt began, the run was paused).

A stored name never changes its meaning; a field added later has a default. Times and durations are integer microseconds.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, NewType

from .clock import Micros
from .failure import Failure
from .ids import RunId, WorkflowId
from .retry import RetryPolicy

Payload = NewType("Payload", bytes)
"""An encoded value: UTF-8 JSON with the tags of `core.payload`."""

DEADLINE = -1
"""The timer id of a run's deadline."""
DELAY = -2
"""The timer id of a delayed start: its firing is the fact that begins the code."""
GRACE = -3
"""The timer id of the time a run has to clean up after a cancel; then it is terminated."""


@dataclass(frozen=True, slots=True)
class ActivityOptions:
    """How an activity was asked for, as recorded; durations in microseconds."""

    retry: RetryPolicy = RetryPolicy(max_attempts=1)
    start_to_close: Micros | None = None
    """Limit of each attempt, from when it is handed out."""
    queue: str = "default"
    run_in: str = ""
    """"process", say; empty: in this kernel, in a thread or on the asyncio thread, as the function is."""
    schedule_to_close: Micros | None = None
    """Limit of all attempts together, with the waits before and between them."""
    heartbeat: Micros | None = None
    """Longest time between heartbeats of an attempt."""
    cancellation: str = "try_cancel"
    """"try_cancel", "wait_completed" or "abandon": what happens when the code no longer wants the activity."""
    priority: int = 0
    """Who is next where attempts wait in a queue: 0 first, then 1, 2, …"""
    dedup_id: str | None = None
    """At most one open activity of a queue has this id."""
    on_duplicate: str = "reject"
    """"reject" or "return_existing": what becomes of an activity whose `dedup_id` is in use."""
    summary: str | None = None
    """One line for people."""


# --- lifecycle -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a run comes from that is a child, or goes on from another run by continue-as-new."""

    parent_run_id: RunId | None = None
    """The run of `WorkflowStarted.parent_workflow_id` whose child this run is."""
    child_id: int | None = None
    """Which child of the parent: its ordinal there."""
    root_workflow_id: WorkflowId | None = None
    """The parent of all parents; None for a run that is no child."""
    root_run_id: RunId | None = None
    depth: int = 0
    """Parents above this run."""
    latest: Micros | None = None
    """The parent's deadline, which no run of the child outlives."""
    first_run_id: RunId | None = None
    """The first run of the chain of continue-as-new; None in that run itself."""
    run_number: int = 1
    """Place in that chain, from 1."""
    signal_keys: tuple[str, ...] = ()
    """Idempotency keys of signals that earlier runs of the chain have had, oldest first."""


@dataclass(frozen=True, slots=True)
class Scheduled:
    """Which time of which schedule a run is for."""

    schedule_id: str
    nominal_time: Micros


@dataclass(frozen=True, slots=True)
class WorkflowStarted:
    workflow_type: str
    version: str
    input: Payload
    seed: int
    python: str
    """The Python the run began under, as "3.11": some of asyncio's orders differ between versions."""
    parent_run_id: RunId | None = None
    """The run before this one in the chain of the workflow id."""
    parent_workflow_id: WorkflowId | None = None
    """The workflow id whose child this run is; `origin` says more."""
    memo: str | None = None
    """An encoded value, as text."""
    deadline: Micros | None = None
    """Absolute."""
    idempotency_key: str | None = None
    origin: Origin | None = None
    begins_at: Micros | None = None
    """When the code begins, where the start is delayed."""
    with_message: bool = False
    """Whether the code begins with the signal or update that came with the start, which is recorded behind it."""
    scheduled: Scheduled | None = None
    """For a run that a schedule started."""
    last_result: str | None = None
    """What the newest completed run of its schedule returned: an encoded value, as text."""


@dataclass(frozen=True, slots=True)
class WorkflowCompleted:
    result: Payload


@dataclass(frozen=True, slots=True)
class WorkflowFailed:
    error: Failure
    kind: str = "error"
    """"error" when the code raised; "start_aborted" when a start was rolled back after it had been recorded; "crashed" when
    supervision gave up restarting the process."""


@dataclass(frozen=True, slots=True)
class WorkflowCancelRequested:
    reason: str | None = None
    children: bool = False
    """Whether the whole subtree was asked to stop: children then outlive the run to clean up, whatever their `parent_close`."""


@dataclass(frozen=True, slots=True)
class WorkflowCancelled:
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class WorkflowTerminated:
    reason: str | None = None
    details: str | None = None


@dataclass(frozen=True, slots=True)
class WorkflowTimedOut:
    deadline: Micros


@dataclass(frozen=True, slots=True)
class WorkflowContinuedAsNew:
    """The code ended this run to go on as a new one, under the same workflow id."""

    input: Payload
    next_run_id: RunId = RunId("")
    """Given when it is recorded, as the new run starts in the same commit."""
    workflow_type: str | None = None
    """Where it is another than this run's."""
    memo: str | None = None
    """An encoded value, as text; this run's where None."""
    search_attributes: str | None = None
    """An encoded dict, as text; this run's where None."""
    deadline: Micros | None = None
    """A length of time; where None, the one this run had."""


@dataclass(frozen=True, slots=True)
class WorkflowPaused:
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class WorkflowResumed:
    pass


@dataclass(frozen=True, slots=True)
class SearchAttributesUpdated:
    attributes: Payload
    """An encoded dict of name to value; None removes the attribute."""
    by_code: bool = False
    """True when the workflow's code asked for it, False when it came with the start."""


@dataclass(frozen=True, slots=True)
class MemoUpdated:
    """The code changed its run's memo."""

    memo: Payload
    """An encoded dict of what is new; None removes a name."""


@dataclass(frozen=True, slots=True)
class WorkflowReopened:
    """A closed run goes on. What its code did from `cut` on counts no more; what reached it since, and still concerns it, reaches it again."""

    cut: int
    """Seq of the first event that counts no more."""
    activities: tuple[int, ...] = ()
    """Activities that had failed for good or been cancelled, and run again."""
    timers: tuple[tuple[int, Micros], ...] = ()
    """(timer id, time) of every timer that is pending again."""
    next_activity: int = 0
    """The ordinal the code's next activity gets: those from the cut on were used."""
    next_timer: int = 0
    next_child: int = 0
    next_send: int = 0
    rest: bool = False
    """The code itself had ended the run: only the end counts no more, and the step it ended in goes on from there."""
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class WorkflowForked:
    """What lies before this was copied from another run; what follows is this run's own."""

    workflow_id: WorkflowId
    run_id: RunId
    seq: int
    """The last event of that run's workflow id that was taken over."""


@dataclass(frozen=True, slots=True)
class PatchMarked:
    """The code asked `workflow.patched(patch_id)` for the first time and was told True."""

    patch_id: str


@dataclass(frozen=True, slots=True)
class VersionChanged:
    """The run goes on under other code, which agrees with everything recorded before."""

    old: str
    new: str


# --- activities ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ActivityScheduled:
    activity_id: int
    """0-based ordinal in the run."""
    activity_type: str
    input: Payload
    options: ActivityOptions = ActivityOptions()


@dataclass(frozen=True, slots=True)
class ActivityStarted:
    activity_id: int
    attempt: int = 1
    version: str | None = None
    """Version of the activity's code, where it has one."""


@dataclass(frozen=True, slots=True)
class ActivityCompleted:
    activity_id: int
    result: Payload
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class ActivityFailed:
    """An attempt failed. With `next_attempt_at` another follows (a note); without, the failure reaches the code (a fact)."""

    activity_id: int
    error: Failure
    attempt: int = 1
    next_attempt_at: Micros | None = None
    details: str | None = None
    """What the attempt's last heartbeat said: an encoded value, as text."""
    earlier: str | None = None
    """With the last attempt: the errors of those before it, oldest first, as the text of a JSON list of failures."""


@dataclass(frozen=True, slots=True)
class ActivityTimedOut:
    """An attempt took too long; see `ActivityFailed` for the fields of the same names."""

    activity_id: int
    kind: str = "start_to_close"
    """"start_to_close", "heartbeat", or "schedule_to_close" when all attempts together took too long."""
    attempt: int = 1
    """0 when none began."""
    next_attempt_at: Micros | None = None
    details: str | None = None
    earlier: str | None = None


@dataclass(frozen=True, slots=True)
class ActivityCancelRequested:
    """The code no longer wants the activity. It closes it, but for one whose end is waited for (`cancellation="wait_completed"`)."""

    activity_id: int


@dataclass(frozen=True, slots=True)
class ActivityCancelled:
    """An activity whose end was waited for has stopped as it was asked to."""

    activity_id: int
    attempt: int = 1
    """0 when none began."""


# --- time ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TimerStarted:
    timer_id: int
    """0-based ordinal in the run; `DEADLINE` for the run's deadline."""
    fire_at: Micros
    summary: str | None = None


@dataclass(frozen=True, slots=True)
class TimerFired:
    timer_id: int


@dataclass(frozen=True, slots=True)
class TimerCancelled:
    timer_id: int
    cause: str = "workflow_intent"


# --- messages --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SignalReceived:
    name: str
    payload: Payload
    idempotency_key: str | None = None
    carried_from: RunId | None = None
    """The run that was sent it and continued as new without having taken it."""


@dataclass(frozen=True, slots=True)
class SignalSent:
    """A signal for another run (or this one), delivered there once whatever happens: the target knows it by `key`."""

    send_id: int
    """0-based ordinal in the run."""
    target: WorkflowId
    name: str
    payload: Payload
    key: str
    target_run_id: RunId | None = None
    """One run of the target, or None for its newest."""


@dataclass(frozen=True, slots=True)
class SignalDelivered:
    """The target has it in its history."""

    send_id: int


@dataclass(frozen=True, slots=True)
class SignalUndelivered:
    """The target cannot take it: there is no such run, or it has ended."""

    send_id: int
    status: str = ""
    """Status of the run that has ended; empty when there is no run."""
    run_id: RunId | None = None


@dataclass(frozen=True, slots=True)
class UpdateAccepted:
    update_id: str
    name: str
    args: Payload
    checked: bool = True
    """False when it was recorded before its validator could be asked: then it is asked in the update's step."""


@dataclass(frozen=True, slots=True)
class UpdateCompleted:
    """What an update came to: a result or an error, never both."""

    update_id: str
    result: Payload | None = None
    error: Failure | None = None
    rejected: bool = False
    """The validator refused an update that was recorded unchecked; `error` says why."""


# --- children --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ChildWorkflowStarted:
    """The code asked for a child. What is empty in the request is given when it is recorded, as the child starts in the same commit."""

    child_id: int
    """0-based ordinal in the run."""
    child_workflow_id: WorkflowId
    workflow_type: str
    input: Payload
    child_run_id: RunId = RunId("")
    version: str = ""
    named: bool = False
    """Whether the code gave the id, rather than leaving it to us."""
    parent_close: str = "terminate"
    """"terminate", "request_cancel" or "abandon": what becomes of the child when this run ends."""
    cancellation: str = "wait_completed"
    """"wait_completed", "try_cancel" or "abandon": what becomes of it when the code no longer waits."""
    deadline: Micros | None = None
    """A length of time."""
    memo: str | None = None
    """An encoded value, as text."""
    search_attributes: str | None = None
    """An encoded dict, as text."""


@dataclass(frozen=True, slots=True)
class ChildWorkflowCancelRequested:
    child_id: int


@dataclass(frozen=True, slots=True)
class ChildWorkflowCompleted:
    child_id: int
    result: Payload
    child_run_id: RunId | None = None
    """The run that ended, where the child has continued as new; so in the other ends of children."""


@dataclass(frozen=True, slots=True)
class ChildWorkflowFailed:
    """The child failed, or could not be started."""

    child_id: int
    error: Failure
    child_run_id: RunId | None = None


@dataclass(frozen=True, slots=True)
class ChildWorkflowCancelled:
    child_id: int
    reason: str | None = None
    child_run_id: RunId | None = None


@dataclass(frozen=True, slots=True)
class ChildWorkflowTimedOut:
    child_id: int
    deadline: Micros = Micros(0)
    child_run_id: RunId | None = None


@dataclass(frozen=True, slots=True)
class ChildWorkflowTerminated:
    child_id: int
    reason: str | None = None
    details: str | None = None
    child_run_id: RunId | None = None


ChildEnd = ChildWorkflowCompleted | ChildWorkflowFailed | ChildWorkflowCancelled | ChildWorkflowTimedOut | ChildWorkflowTerminated
CHILD_ENDS = frozenset({ChildWorkflowCompleted, ChildWorkflowFailed, ChildWorkflowCancelled, ChildWorkflowTimedOut, ChildWorkflowTerminated})


# --- schedules: in histories of their own, of workflow ids that have no runs -----------------------------------------------


@dataclass(frozen=True, slots=True)
class Plan:
    """What a schedule starts, and when. Exactly one of `cron`, `every` and `at` is given."""

    workflow_type: str
    cron: str | None = None
    every: Micros | None = None
    """A length of time; the times are its multiples since the epoch, plus `offset`."""
    offset: Micros = Micros(0)
    at: Micros | None = None
    timezone: str = "UTC"
    start: Micros | None = None
    """Times before it are none of this schedule's."""
    end: Micros | None = None
    """The last moment a time may lie at."""
    overlap: str = "skip"
    """What becomes of a time that comes while a run goes on; one of `core.calendars.OVERLAPS`."""
    catch_up: str = "one"
    """What becomes of times that came while nobody was there to start them; one of `core.calendars.CATCH_UPS`."""
    window: Micros | None = None
    """How long ago such a time may lie and still be made up; None for ever."""
    version: str | None = None
    """The code to start instead of the routed version."""
    deadline: Micros | None = None
    """A length of time each run may take."""


@dataclass(frozen=True, slots=True)
class ScheduleCreated:
    plan: Plan
    input: Payload
    memo: str | None = None
    """An encoded value, as text, for each run."""
    note: str | None = None


@dataclass(frozen=True, slots=True)
class ScheduleUpdated:
    """All of the schedule as it is from now on."""

    plan: Plan
    input: Payload
    memo: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class SchedulePaused:
    note: str | None = None


@dataclass(frozen=True, slots=True)
class ScheduleResumed:
    note: str | None = None


@dataclass(frozen=True, slots=True)
class ScheduleDeleted:
    note: str | None = None


@dataclass(frozen=True, slots=True)
class ScheduleBuffered:
    """A time has come and waits for a run that goes on to end."""

    nominal_time: Micros
    cause: str = "due"


@dataclass(frozen=True, slots=True)
class ScheduleTriggered:
    """A run was started; its own history begins in the same commit."""

    nominal_time: Micros
    workflow_id: WorkflowId
    run_id: RunId
    cause: str = "due"
    """"due", "caught_up", "trigger" or "backfill"."""


@dataclass(frozen=True, slots=True)
class ScheduleSkipped:
    nominal_time: Micros
    why: str
    until: Micros | None = None
    """The last time, where all from `nominal_time` to this one were skipped together."""
    cause: str = "due"


Event = (
    WorkflowStarted | WorkflowCompleted | WorkflowFailed | WorkflowCancelRequested | WorkflowCancelled | WorkflowTerminated
    | WorkflowTimedOut | WorkflowPaused | WorkflowResumed | SearchAttributesUpdated | PatchMarked | VersionChanged
    | WorkflowReopened | WorkflowForked | MemoUpdated
    | ActivityScheduled | ActivityStarted | ActivityCompleted | ActivityFailed | ActivityTimedOut | ActivityCancelRequested
    | ActivityCancelled | TimerStarted | TimerFired | TimerCancelled | SignalReceived
    | SignalSent | SignalDelivered | SignalUndelivered | UpdateAccepted | UpdateCompleted | WorkflowContinuedAsNew
    | ChildWorkflowStarted | ChildWorkflowCancelRequested | ChildWorkflowCompleted | ChildWorkflowFailed | ChildWorkflowCancelled
    | ChildWorkflowTimedOut | ChildWorkflowTerminated
    | ScheduleCreated | ScheduleUpdated | SchedulePaused | ScheduleResumed | ScheduleDeleted | ScheduleBuffered | ScheduleTriggered | ScheduleSkipped
)  # fmt: skip


class Recorded(NamedTuple):
    """An event with its envelope, as history holds it."""

    seq: int
    """From 1, gapless within the workflow id."""
    at: Micros
    """The engine clock when it was recorded."""
    workflow_id: WorkflowId
    run_id: RunId
    event: Event
    deferred: bool = False
    """Recorded before the code could take it (the run was paused, stuck, without code or restarting)."""
    flags: int = 1
    """Engine-behaviour flags in force; 1 from the first event ever written."""


_FACTS = frozenset({WorkflowStarted, WorkflowCancelRequested, ActivityCompleted, ActivityCancelled, TimerFired, SignalReceived, SignalDelivered,
                    WorkflowReopened,
                    SignalUndelivered, UpdateAccepted}) | CHILD_ENDS  # fmt: skip
_ATTEMPT_ENDS = frozenset({ActivityFailed, ActivityTimedOut})
_ANSWERS = frozenset(
    {PatchMarked, MemoUpdated, ActivityScheduled, ActivityCancelRequested, TimerStarted, TimerCancelled, SignalSent, UpdateCompleted, WorkflowCompleted,
     WorkflowFailed, WorkflowCancelled,
     WorkflowContinuedAsNew, ChildWorkflowStarted, ChildWorkflowCancelRequested}
)  # fmt: skip
TERMINAL = frozenset({WorkflowCompleted, WorkflowFailed, WorkflowCancelled, WorkflowTerminated, WorkflowTimedOut, WorkflowContinuedAsNew})


def is_fact(event: Event) -> bool:
    """Whether the event is delivered to the workflow's code."""
    kind = type(event)
    if kind in _FACTS:
        return True
    return kind in _ATTEMPT_ENDS and event.next_attempt_at is None  # type: ignore[union-attr]  # narrowed by the set


def is_answer(event: Event) -> bool:
    """Whether the event is something the workflow's code asked for."""
    match event:
        case TimerStarted(timer_id=timer_id) | TimerCancelled(timer_id=timer_id):
            return timer_id >= 0
        case SearchAttributesUpdated(by_code=by_code):
            return by_code
        case WorkflowFailed(kind=kind):
            return kind == "error"
        case _:
            return type(event) in _ANSWERS
