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


@dataclass(frozen=True, slots=True)
class ActivityOptions:
    """How an activity was asked for, as recorded; durations in microseconds."""

    retry: RetryPolicy = RetryPolicy(max_attempts=1)
    start_to_close: Micros | None = None
    queue: str = "default"


# --- lifecycle -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WorkflowStarted:
    workflow_type: str
    version: str
    input: Payload
    seed: int
    python: str
    """The Python the run began under, as "3.11": some of asyncio's orders differ between versions."""
    parent_run_id: RunId | None = None
    parent_workflow_id: WorkflowId | None = None
    memo: str | None = None
    """An encoded value, as text."""
    deadline: Micros | None = None
    """Absolute."""
    idempotency_key: str | None = None


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


@dataclass(frozen=True, slots=True)
class ActivityTimedOut:
    """An attempt took too long; see `ActivityFailed` for `next_attempt_at`."""

    activity_id: int
    kind: str = "start_to_close"
    attempt: int = 1
    next_attempt_at: Micros | None = None


@dataclass(frozen=True, slots=True)
class ActivityCancelRequested:
    activity_id: int


@dataclass(frozen=True, slots=True)
class ActivityCancelled:
    activity_id: int
    attempt: int = 1


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


Event = (
    WorkflowStarted | WorkflowCompleted | WorkflowFailed | WorkflowCancelRequested | WorkflowCancelled | WorkflowTerminated
    | WorkflowTimedOut | WorkflowPaused | WorkflowResumed | SearchAttributesUpdated
    | ActivityScheduled | ActivityStarted | ActivityCompleted | ActivityFailed | ActivityTimedOut | ActivityCancelRequested
    | ActivityCancelled | TimerStarted | TimerFired | TimerCancelled | SignalReceived
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


_FACTS = frozenset({WorkflowStarted, WorkflowCancelRequested, ActivityCompleted, ActivityCancelled, TimerFired, SignalReceived})
_ATTEMPT_ENDS = frozenset({ActivityFailed, ActivityTimedOut})
_ANSWERS = frozenset(
    {ActivityScheduled, ActivityCancelRequested, TimerStarted, TimerCancelled, WorkflowCompleted, WorkflowFailed, WorkflowCancelled}
)
TERMINAL = frozenset({WorkflowCompleted, WorkflowFailed, WorkflowCancelled, WorkflowTerminated, WorkflowTimedOut})


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
            return timer_id != DEADLINE
        case SearchAttributesUpdated(by_code=by_code):
            return by_code
        case WorkflowFailed(kind=kind):
            return kind == "error"
        case _:
            return type(event) in _ANSWERS
