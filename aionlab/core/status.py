"""A run's status is a fold of its events over one table, which both permits and computes."""
from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Final

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


_OPEN = (Status.RUNNING, Status.PAUSED)
_RUNNING = (Status.RUNNING,)

_TABLE: Final[dict[type, tuple[tuple[Status | None, ...], Status | None]]] = {
    # event: (statuses it may be recorded in, status it leads to; None: as before)
    e.WorkflowStarted: ((None,), Status.RUNNING),
    e.WorkflowCompleted: (_RUNNING, Status.COMPLETED),
    e.WorkflowFailed: (_OPEN, Status.FAILED),
    e.WorkflowCancelRequested: (_OPEN, None),
    e.WorkflowCancelled: (_RUNNING, Status.CANCELLED),
    e.WorkflowTerminated: (_OPEN, Status.TERMINATED),
    e.WorkflowTimedOut: (_OPEN, Status.TIMED_OUT),
    e.WorkflowPaused: (_RUNNING, Status.PAUSED),
    e.WorkflowResumed: ((Status.PAUSED,), Status.RUNNING),
    e.SearchAttributesUpdated: (_OPEN, None),
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
}


def after(status: Status | None, event: e.Event) -> Status:
    """The status once `event` is recorded in a run of `status` (None: the run does not exist yet).

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
