"""What the engine needs from the world: a store, executors, a host; each has one suite that every implementation passes."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

from .clock import Micros
from .events import ActivityOptions, Payload, Recorded
from .failure import Failure
from .filters.conditions import EVERY, NEWEST, Condition, Field, Query
from .ids import RunId, WorkflowId
from .status import Status

Row = tuple[int, int, int, int, int, int, "int | None", "bytes | None", "bytes | None"]
"""(workflow key, seq, run key, recorded_at µs, event code, flags, ref, data, payload). Bit 0 of flags: deferred; the rest: engine flags × 2."""


NO_ATTRIBUTES: Final[Mapping[str, Any]] = {}
"""The one empty mapping that all runs without search attributes share."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run as listings show it: the visibility row, kept in the same transaction as the events it sums up."""

    key: int
    """The run's integer in this database."""
    workflow_key: int
    workflow_id: WorkflowId
    run_id: RunId
    workflow_type: str
    version: str
    status: Status
    started_at: Micros
    closed_at: Micros | None = None
    attributes: Mapping[str, Any] = field(default_factory=lambda: NO_ATTRIBUTES)
    """Search attributes as plain JSON values (text, numbers, booleans, lists of text; times as microseconds)."""
    parent_run_id: RunId | None = None
    """The run this one follows in the chain of its workflow id."""
    idempotency_key: str | None = None
    request: str | None = None
    """A digest of the start request, compared when the idempotency key comes again."""
    parent_id: WorkflowId | None = None
    """The workflow whose child the run is."""
    schedule_id: str | None = None
    """The schedule that started it."""


class RunChange(NamedTuple):
    """What an event changed in a run's row."""

    key: int
    status: Status
    closed_at: Micros | None
    attributes: Mapping[str, Any]
    version: str | None = None
    """The version the run goes on under, where that changed."""


class Timer(NamedTuple):
    run_key: int
    timer_id: int
    fire_at: Micros


@dataclass(slots=True)
class Batch:
    """All a turn writes, in one transaction: every part or none."""

    rows: list[Row] = field(default_factory=list)
    expected: dict[int, int] = field(default_factory=dict)
    """Head of each touched workflow key before this batch; 0 for a new one."""
    workflows: list[tuple[int, WorkflowId]] = field(default_factory=list)
    """Workflow keys that are new."""
    runs: list[Run] = field(default_factory=list)
    """Runs that are new."""
    changes: list[RunChange] = field(default_factory=list)
    timers: list[Timer] = field(default_factory=list)
    timers_ended: list[tuple[int, int]] = field(default_factory=list)
    """(run key, timer id) of timers that fired or were cancelled."""
    runs_ended: list[int] = field(default_factory=list)
    """Runs whose remaining timers go."""
    notes: list[tuple[str, str | None]] = field(default_factory=list)
    """Values of meta keys; None removes the key."""


@dataclass(frozen=True, slots=True)
class StoredPackage:
    """A version of a workflow's code, as text."""

    workflow_type: str
    version: str
    document: bytes
    """Canonical JSON of the package; see `code.package`."""
    created_at: Micros
    signature: str = ""
    """HMAC by this user's secret over the lab's uuid and the document; empty when unsigned."""


class Heads(NamedTuple):
    """Where numbering goes on from when a database is opened."""

    workflow_key: int
    """Largest key in use, 0 when none."""
    run_key: int
    last_at: Micros = Micros(0)
    """When the last event was recorded."""


class Forgotten(NamedTuple):
    """The note that is left of a workflow id whose events were deleted."""

    workflow_id: WorkflowId
    at: Micros
    runs: int
    events: int
    reason: str | None = None


class EventStore(Protocol):
    """An append-only event log with its projections. Only the engine's thread calls `commit`."""

    readonly: bool

    def commit(self, batch: Batch) -> None:
        """Write all of the batch or nothing.

        Raises SequenceConflict when a workflow's head is not as expected, BadBatch when rows of a workflow are not contiguous from
        its head, Fenced when another kernel took over, StoreFull when there is no room, StoreReadOnly; in each case nothing was written.
        Raises StoreUnavailable when it is not known whether the batch was written.
        """

    def append(self, workflow_id: WorkflowId, events: Sequence[Recorded], expected_seq: int) -> None:
        """Append to one workflow's history: atomic, contiguous from `expected_seq` + 1. An empty sequence with a matching head succeeds.

        Rows of the run table, timers and attributes follow from the events. Raises as `commit`.
        """

    def heads(self) -> Heads: ...
    def head(self, workflow_id: WorkflowId) -> int:
        """Seq of the last event, 0 for an unknown id."""

    def workflow_key(self, workflow_id: WorkflowId) -> int | None: ...
    def read(self, workflow_id: WorkflowId) -> list[Recorded]:
        """The whole history, by seq; empty for an unknown id."""

    def read_from(self, workflow_id: WorkflowId, seq: int) -> list[Recorded]:
        """Events with a seq of at least `seq`."""

    def run_history(self, run_key: int) -> list[Recorded]:
        """The events of one run, by seq."""

    def open_histories(self) -> Iterator[tuple[Run, int, list[Recorded]]]:
        """(run, head of its workflow id, its events) of every run that is not closed, by run key, in one pass over the log."""

    def run(self, workflow_id: WorkflowId, run_id: RunId | None = None) -> Run | None:
        """The run, or the newest of the id; None when there is none."""

    def run_chain(self, workflow_id: WorkflowId) -> list[Run]:
        """All runs of the id, oldest first."""

    def by_idempotency_key(self, key: str) -> Run | None: ...
    def ids(self, prefix: str = "") -> list[WorkflowId]:
        """Every workflow id that begins so, oldest first."""

    def active(self) -> list[Run]:
        """Runs that are Running, by run key."""

    def paused(self) -> list[Run]: ...
    def due_timers(self, as_of: Micros) -> list[Timer]:
        """Timers with fire_at <= as_of, by (fire_at, run key, timer id)."""

    def runs(self, query: Query = NEWEST, after: Run | None = None) -> list[Run]:
        """The runs the query asks for, in its order, newest first by default. `after`, a run as an earlier page had it, gives those behind it,
        so that pages neither repeat nor skip runs while others are started."""

    def count(self, condition: Condition = EVERY, group_by: Field | None = None) -> dict[Any, int]:
        """Number of runs that satisfy the condition, by what they have of a field (of a list: each of its items; None: nothing); under
        the key '' when not grouped."""

    def forget(self, workflow_id: WorkflowId, at: Micros, reason: str | None = None) -> Forgotten | None:
        """Delete the events, runs, attributes and timers of a workflow id, whose keys are never given again, and leave a note; None when there is
        no such id. The one deletion there is. Raises BadBatch while one of its runs is open, with nothing deleted."""

    def forgotten(self) -> list[Forgotten]:
        """The notes of what was forgotten, in order."""

    def save_package(self, package: StoredPackage) -> None:
        """Keep a version's code; the same version again, signed, takes the place of what was kept, unsigned it changes nothing."""

    def package(self, workflow_type: str, version: str) -> StoredPackage | None: ...
    def packages(self, workflow_type: str | None = None) -> list[StoredPackage]:
        """Stored versions, oldest first."""

    def drop_package(self, workflow_type: str, version: str) -> None:
        """Forget the code of a version; nothing that is not there is no error."""

    def set_route(self, workflow_type: str, version: str, pinned: bool = False) -> None: ...
    def routes(self) -> dict[str, tuple[str, bool]]:
        """Type to (version new starts get, whether it is pinned)."""

    def attribute_types(self) -> dict[str, str]: ...
    def register_attribute(self, name: str, kind: str) -> None: ...
    def meta(self, key: str) -> str | None: ...
    def set_meta(self, key: str, value: str) -> None: ...
    def rest(self) -> None:
        """Called when nothing is to do: upkeep of a few milliseconds at most (a checkpoint of the write-ahead log, say)."""

    def close(self) -> None: ...


class Attempt(NamedTuple):
    """One attempt of one activity, on its way to an executor."""

    run_key: int
    workflow_id: WorkflowId
    run_id: RunId
    activity_id: int
    activity_type: str
    attempt: int
    input: Payload
    options: ActivityOptions
    scheduled_at: Micros = Micros(0)
    started_at: Micros = Micros(0)
    """When it was handed out."""
    deadline: Micros | None = None
    """When it has taken too long, for itself or with the attempts before it."""
    details: Payload | None = None
    """What the last heartbeat of the attempts before it said."""


class Finished(NamedTuple):
    """What became of an attempt: a result or a failure, never both."""

    run_key: int
    activity_id: int
    attempt: int
    result: Payload | None
    failure: Failure | None


class Missing(NamedTuple):
    """An attempt that could not begin because names the activity needs are not defined in this kernel yet; it is not counted."""

    run_key: int
    activity_id: int
    attempt: int
    names: tuple[str, ...]


class Interrupted(NamedTuple):
    """An attempt that a KeyboardInterrupt ended: it has neither succeeded nor failed, and is lost as in a crash."""

    run_key: int
    activity_id: int
    attempt: int


Done = Callable[["Finished | Missing | Interrupted"], None]
Beat = Callable[[Attempt, "Payload | None"], None]
"""An attempt is alive, and what it says of itself; None when its code begins. Called from any thread; takes a microsecond."""


class ActivityExecutor(Protocol):
    """Runs activity attempts somewhere; `submit` returns at once and `done` is called once, from any thread.

    One with `beats = True` takes a third argument, a `Beat`, which it calls when the code of an attempt begins (before that, its limits do
    not count) and with its heartbeats. Attempts of any other executor begin when they are submitted.
    """

    def submit(self, attempt: Attempt, done: Done) -> None: ...
    def cancel(self, run_key: int, activity_id: int) -> None:
        """Ask a running attempt to stop; it may still finish."""

    def close(self) -> None: ...


Listener = Callable[[Iterable[Recorded]], None]
"""Called after each commit with what was recorded, on the engine's thread; must be quick and may raise without harm."""
