"""The port through which workflow code reaches the run it is part of.

While the engine steps a run, `current` holds it; everywhere else it is empty. `authoring` asks through this port alone and so
needs to know nothing of `replay`.
"""
from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol

from .clock import Micros
from .errors import NotInWorkflow
from .events import ActivityOptions
from .ids import RunId, WorkflowId


class Info(NamedTuple):
    """What a workflow may know of its own run."""

    workflow_id: WorkflowId
    run_id: RunId
    workflow_type: str
    version: str
    started_at: Micros


class RunningProcess(Protocol):
    """The run whose code is being stepped now."""

    info: Info
    replaying: bool

    @property
    def random(self) -> random.Random:
        """The run's own stream, seeded by what its start recorded."""

    def now(self) -> Micros:
        """When the last event the code has consumed was recorded."""

    def perform(self, activity_type: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], options: ActivityOptions, returns: Any) -> Awaitable[Any]:
        """Ask for an activity; the value is encoded now and InvalidPayload raised at the call."""

    def receive(self, name: str, into: Any) -> Awaitable[Any]:
        """The next signal of this name, decoded into the type `into`, once there is one."""

    def on_signal(self, name: str, handler: Callable[..., Any]) -> None: ...
    def on_query(self, name: str, handler: Callable[..., Any]) -> None: ...
    def upsert(self, attributes: Mapping[str, Any]) -> None: ...
    def set_details(self, markdown: str) -> None: ...


current: ContextVar[RunningProcess | None] = ContextVar("aionlab_running", default=None)


def running(what: str) -> RunningProcess:
    """The run being stepped; raises NotInWorkflow, naming `what`, outside of one."""
    process = current.get()
    if process is None:
        raise NotInWorkflow(what)
    return process
