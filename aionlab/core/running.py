"""The port through which workflow code reaches the run it is part of.

While the engine steps a run, `current` holds it; everywhere else it is empty. `authoring` asks through this port alone and so
needs to know nothing of `replay`.
"""
from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, NoReturn, Protocol

from .clock import Micros
from .errors import NotInWorkflow
from .events import ActivityOptions, Origin, WorkflowStarted
from .ids import RunId, WorkflowId


class Info(NamedTuple):
    """What a workflow may know of its own run."""

    workflow_id: WorkflowId
    run_id: RunId
    workflow_type: str
    version: str
    started_at: Micros
    """When the start was recorded; a delayed start begins later."""
    memo: Any = None
    """What was noted with the start, and by `workflow.upsert_memo` since."""
    cancel_reason: str | None = None
    """Why the run was asked to stop, empty where nobody said; None while it was not."""
    started: WorkflowStarted | None = None
    """The recorded start, which the properties are read from."""

    @property
    def parent_workflow_id(self) -> WorkflowId | None:
        """The workflow id whose child this run is; None for a run that somebody started."""
        return None if self.started is None else self.started.parent_workflow_id

    @property
    def parent_run_id(self) -> RunId | None:
        """The run of the parent that asked for this child."""
        return self._origin.parent_run_id

    @property
    def root_workflow_id(self) -> WorkflowId:
        """The parent of all parents, or this run's own workflow id."""
        return self._origin.root_workflow_id or self.workflow_id

    @property
    def root_run_id(self) -> RunId:
        return self._origin.root_run_id or self.run_id

    @property
    def first_execution_run_id(self) -> RunId:
        """The first run of the chain of continue-as-new, the same in all of its runs."""
        return self._origin.first_run_id or self.run_id

    @property
    def run_number(self) -> int:
        """Place in that chain, from 1."""
        return self._origin.run_number

    @property
    def deadline(self) -> datetime | None:
        """When the run ends by itself, in UTC; None where nothing limits it."""
        due = None if self.started is None else self.started.deadline
        return None if due is None else datetime.fromtimestamp(due / 1_000_000, UTC)

    @property
    def schedule_id(self) -> str | None:
        """The schedule that started this run; None for a run that none did."""
        return None if self.started is None or self.started.scheduled is None else self.started.scheduled.schedule_id

    @property
    def nominal_time(self) -> datetime | None:
        """The time of its schedule this run is for, in UTC, however much later it began; None for a run that no schedule started."""
        scheduled = None if self.started is None else self.started.scheduled
        return None if scheduled is None else datetime.fromtimestamp(scheduled.nominal_time / 1_000_000, UTC)

    @property
    def last_result(self) -> Any:
        """What the newest completed run of the schedule returned when this one was started; `workflow.last_result` gives it as a type."""
        return running("workflow.info().last_result").last_result(Any, None)

    @property
    def history_length(self) -> int:
        """About how many events the run has so far: facts this code was given and requests it has made, attempts begun, no retries."""
        return running("workflow.info().history_length").history_length()

    @property
    def continue_as_new_suggested(self) -> bool:
        """Whether the history is long (10,000 events), so that replaying it takes a while."""
        return self.history_length >= LONG_HISTORY

    @property
    def _origin(self) -> Origin:
        return NO_ORIGIN if self.started is None or self.started.origin is None else self.started.origin


LONG_HISTORY: Final = 10_000
NO_ORIGIN: Final = Origin()


class ChildOptions(NamedTuple):
    """How a child is asked for, checked."""

    id: str | None = None
    """Its workflow id; None for one made of the parent's id, the type and a number."""
    parent_close: str = "terminate"
    cancellation: str = "wait_completed"
    deadline: Micros | None = None
    """A length of time."""
    memo: Any = None
    search_attributes: Mapping[str, Any] | None = None


class ChildHandle(Protocol):
    """A child, as the code that asked for it holds it: awaited for its result, which may be done more than once."""

    @property
    def id(self) -> str:
        """Its workflow id."""

    @property
    def run_id(self) -> str | None:
        """Its run, known from the first wait on: None in the step that asked for it."""

    def __await__(self) -> Generator[Any, None, Any]:
        """Its result, from the last run of its chain where it continues as new. Raises ChildWorkflowError."""

    def cancel(self) -> bool:
        """Ask the child to stop; False when it has ended."""

    def done(self) -> bool: ...
    def signal(self, name: str, payload: Any = None) -> Awaitable[None]:
        """Send it a signal."""


class UpdateInfo(NamedTuple):
    """The update that the code running now belongs to."""

    id: str
    name: str


class HandlerInfo(NamedTuple):
    """A handler that a run's code has set."""

    kind: str
    """"signal", "query" or "update"."""
    name: str
    signature: str
    """What it takes, as "(qty: int)"; empty where that is not known."""
    summary: str = ""
    """The first line of its docstring."""

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}{self.signature}>"


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

    def on_signal(self, name: str, handler: Callable[..., Any], abandon: bool = False) -> None: ...
    def on_query(self, name: str, handler: Callable[..., Any]) -> None: ...
    def on_update(self, name: str, handler: Callable[..., Any], validator: Callable[..., Any] | None = None, abandon: bool = False) -> None: ...
    def send(self, target: str, name: str, payload: object, run_id: str | None = None) -> Awaitable[None]:
        """Send a signal to a run; done once it is in the target's history. Raises RunNotFound, RunClosed into the awaiting code."""

    def wait_condition(self, predicate: Callable[[], object]) -> Awaitable[None]:
        """Done once the predicate holds at the end of a step."""

    @property
    def all_handlers_finished(self) -> bool: ...
    def start_child(
        self, workflow_type: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], options: ChildOptions, returns: Any
    ) -> Coroutine[Any, Any, ChildHandle]:
        """Ask for a child; values are encoded now, and InvalidPayload and InvalidName raised at the call."""

    def continue_as_new(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], workflow_type: str | None, options: ChildOptions
    ) -> NoReturn:
        """End this run and go on as a new one."""

    def history_length(self) -> int: ...
    def last_result(self, into: Any, default: Any) -> Any:
        """What the run's schedule had last, decoded into the type `into`; `default` where it had nothing."""

    def upsert(self, attributes: Mapping[str, Any]) -> None: ...
    def upsert_memo(self, memo: Mapping[str, Any]) -> None: ...
    def set_details(self, markdown: str) -> None: ...
    def patched(self, patch_id: str) -> bool: ...
    def deprecate_patch(self, patch_id: str) -> None: ...


current: ContextVar[RunningProcess | None] = ContextVar("aionlab_running", default=None)


current_update: ContextVar[UpdateInfo | None] = ContextVar("aionlab_update", default=None)
"""Set in the handler of an update and in the tasks it makes."""


def running(what: str) -> RunningProcess:
    """The run being stepped; raises NotInWorkflow, naming `what`, outside of one."""
    process = current.get()
    if process is None:
        raise NotInWorkflow(what)
    return process
