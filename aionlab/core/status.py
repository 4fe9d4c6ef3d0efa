"""A run's status is a fold of its events over one table, which both permits and computes."""
from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Final, overload

from . import events as e
from .errors import IllegalEvent


class Status(str, Enum):
    RUNNING = "Running"
    PAUSED = "Paused"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    TERMINATED = "Terminated"
    TIMED_OUT = "TimedOut"
    CONTINUED_AS_NEW = "ContinuedAsNew"

    def __str__(self) -> str:
        return self.value

    __repr__ = __str__

    @property
    def closed(self) -> bool:
        return self not in _OPEN


class ScheduleStatus(str, Enum):
    """How a schedule stands; one that was never created stands as one that was deleted."""

    ACTIVE = "Active"
    PAUSED = "Paused"
    DELETED = "Deleted"

    def __str__(self) -> str:
        return self.value

    __repr__ = __str__


State = Status | ScheduleStatus
_THERE = (ScheduleStatus.ACTIVE, ScheduleStatus.PAUSED)
_OPEN = (Status.RUNNING, Status.PAUSED)
_RUNNING = (Status.RUNNING,)
REOPENED = (Status.FAILED, Status.CANCELLED, Status.TERMINATED, Status.TIMED_OUT)
"""Statuses a run may be reopened from."""

_TABLE: Final[dict[type, tuple[tuple[State | None, ...], State | None]]] = {
    # event: (statuses it may be recorded in, status it leads to; None: as before)
    e.WorkflowStarted: ((None,), Status.RUNNING),
    e.WorkflowCompleted: (_RUNNING, Status.COMPLETED),
    e.WorkflowFailed: (_OPEN, Status.FAILED),
    e.WorkflowCancelRequested: (_OPEN, None),
    e.WorkflowCancelled: (_RUNNING, Status.CANCELLED),
    e.WorkflowTerminated: (_OPEN, Status.TERMINATED),
    e.WorkflowTimedOut: (_OPEN, Status.TIMED_OUT),
    e.WorkflowContinuedAsNew: (_RUNNING, Status.CONTINUED_AS_NEW),
    e.WorkflowPaused: (_RUNNING, Status.PAUSED),
    e.WorkflowResumed: ((Status.PAUSED,), Status.RUNNING),
    e.WorkflowReopened: (REOPENED, Status.RUNNING),
    e.WorkflowForked: (_RUNNING, None),
    e.MemoUpdated: (_RUNNING, None),
    e.SearchAttributesUpdated: (_OPEN, None),
    e.PatchMarked: (_RUNNING, None),
    e.VersionChanged: (_OPEN, None),
    e.ActivityScheduled: (_RUNNING, None),
    e.ActivityStarted: (_OPEN, None),
    e.ActivityCompleted: (_OPEN, None),
    e.ActivityFailed: (_OPEN, None),
    e.ActivityTimedOut: (_OPEN, None),
    e.ActivityCancelRequested: (_OPEN, None),
    e.ActivityCancelled: (_OPEN, None),
    e.TimerStarted: (_OPEN, None),
    e.TimerFired: (_OPEN, None),
    e.TimerCancelled: (_OPEN, None),
    e.SignalReceived: (_OPEN, None),
    e.SignalSent: (_RUNNING, None),
    e.SignalDelivered: (_OPEN, None),
    e.SignalUndelivered: (_OPEN, None),
    e.UpdateAccepted: (_OPEN, None),
    e.UpdateCompleted: (_RUNNING, None),
    e.ChildWorkflowStarted: (_RUNNING, None),
    e.ChildWorkflowCancelRequested: (_RUNNING, None),
    e.ChildWorkflowCompleted: (_OPEN, None),
    e.ChildWorkflowFailed: (_OPEN, None),
    e.ChildWorkflowCancelled: (_OPEN, None),
    e.ChildWorkflowTimedOut: (_OPEN, None),
    e.ChildWorkflowTerminated: (_OPEN, None),
    e.ScheduleCreated: ((ScheduleStatus.DELETED,), ScheduleStatus.ACTIVE),
    e.ScheduleUpdated: (_THERE, None),
    e.SchedulePaused: ((ScheduleStatus.ACTIVE,), ScheduleStatus.PAUSED),
    e.ScheduleResumed: ((ScheduleStatus.PAUSED,), ScheduleStatus.ACTIVE),
    e.ScheduleDeleted: (_THERE, ScheduleStatus.DELETED),
    e.ScheduleBuffered: (_THERE, None),
    e.ScheduleTriggered: (_THERE, None),
    e.ScheduleSkipped: (_THERE, None),
}


@overload
def after(status: ScheduleStatus, event: e.Event) -> ScheduleStatus: ...
@overload
def after(status: Status | None, event: e.Event) -> Status: ...
def after(status: State | None, event: e.Event) -> State:
    """The status once `event` is recorded in a run (or a schedule) of `status` (None: the run does not exist yet).

    Raises IllegalEvent when the table does not allow it.
    """
    allowed, leads_to = _TABLE[type(event)]
    if status not in allowed:
        raise IllegalEvent(type(event).__name__, None if status is None else status.value)
    return leads_to or status  # type: ignore[return-value]  # only WorkflowStarted is allowed in None, and it leads to Running


def of(events: Iterable[e.Event]) -> Status | None:
    """The status of a run with these events, or None for no events."""
    status: Status | None = None
    for event in events:
        status = after(status, event)
    return status
