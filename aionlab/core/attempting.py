"""The port through which an activity's code reaches the attempt it is part of.

An executor sets `attempting` around the code it runs; everywhere else it is empty. `authoring` asks through this port alone and so needs
to know nothing of executors.
"""
from __future__ import annotations

from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from .clock import Micros
from .ids import RunId, WorkflowId
from .ports import Attempt

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOTHING: Any = object()
"""Stands for details that were not given."""


class RunningAttempt(Protocol):
    """The attempt whose code this is."""

    attempt: Attempt
    cancelled: bool

    def heartbeat(self, details: Any) -> None:
        """Say that the attempt is alive. Raises CancelledError, once, when nobody waits for it any more, InvalidPayload."""

    def wait_cancelled(self, seconds: float | None) -> bool: ...
    def details(self) -> Any:
        """What the last heartbeat of the attempts before this one said; None when there was none."""


attempting: ContextVar[RunningAttempt | None] = ContextVar("aionlab_attempting", default=None)


class ActivityInfo:
    """What an activity may know of the attempt it is: a picture, but for `is_cancelled`, which looks again each time."""

    __slots__ = (
        "_running", "activity_id", "activity_type", "attempt", "deadline", "heartbeat_details", "heartbeat_timeout", "priority", "queue", "run_id", "scheduled_at",
        "started_at", "workflow_id",
    )  # fmt: skip

    def __init__(self, running: RunningAttempt) -> None:
        attempt, options = running.attempt, running.attempt.options
        self._running = running
        self.workflow_id: WorkflowId = attempt.workflow_id
        self.run_id: RunId = attempt.run_id
        self.activity_id: int = attempt.activity_id
        """0-based, in the order in which the run asked for its activities."""
        self.activity_type: str = attempt.activity_type
        self.attempt: int = attempt.attempt
        """From 1."""
        self.queue: str = options.queue
        self.priority: int = options.priority
        self.scheduled_at: datetime = _when(attempt.scheduled_at)
        self.started_at: datetime = _when(attempt.started_at)
        self.deadline: datetime | None = None if attempt.deadline is None else _when(attempt.deadline)
        """When this attempt has taken too long; None when nothing limits it."""
        self.heartbeat_timeout: timedelta | None = None if options.heartbeat is None else timedelta(microseconds=options.heartbeat)
        self.heartbeat_details: Any = running.details()
        """What the last heartbeat of an attempt before this one said; None when there was none."""

    @property
    def idempotency_token(self) -> str:
        """The same for every attempt of this activity, and no other's: for services that take a key and act once."""
        return f"{self.run_id}/{self.activity_id}"

    @property
    def is_cancelled(self) -> bool:
        """Whether nobody waits for this attempt any more: it was cancelled, took too long, or its run has ended."""
        return self._running.cancelled

    def wait_cancelled(self, timeout: float | None = None) -> bool:
        """Wait until the attempt is cancelled, `timeout` seconds at most; whether it is. It blocks its thread: an async activity gets
        CancelledError at its await instead."""
        return self._running.wait_cancelled(timeout)

    def __repr__(self) -> str:
        return f"<attempt {self.attempt} of {self.activity_type}#{self.activity_id} in {self.workflow_id}>"


def _when(micros: Micros) -> datetime:
    return EPOCH + timedelta(microseconds=micros)
