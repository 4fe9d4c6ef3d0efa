"""A store that fails on purpose: at which commit, and how.

    store = FaultyStore(MemoryStore(), at(3, Fault.WRITTEN))

The third commit is then written and reported as doubtful. Every commit is a place to crash (before or after it), to fail (nothing
written) and to leave in doubt (written or not); reads can be refused as well. Nothing else of the wrapped store changes.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any

from aionlab.core.clock import Micros
from aionlab.core.errors import StoreFull, StoreUnavailable
from aionlab.core.events import Recorded
from aionlab.core.ids import RunId, WorkflowId
from aionlab.core.ports import Batch, EventStore, Heads, Run, StoredPackage, Timer
from aionlab.core.status import Status


class Crash(BaseException):
    """The kernel is gone: what the engine holds in memory is to be thrown away, and the store opened again."""


class Fault(Enum):
    """What becomes of a commit."""

    CRASH_BEFORE = "crash before the commit"
    CRASH_AFTER = "crash after the commit"
    FULL = "failed: StoreFull, nothing written"
    LOST = "in doubt: StoreUnavailable, nothing written"
    WRITTEN = "in doubt: StoreUnavailable, written"

    @property
    def crashes(self) -> bool:
        return self in (Fault.CRASH_BEFORE, Fault.CRASH_AFTER)


Plan = Callable[[int], Fault | None]
"""Number of the commit, from 1 → its fault, or None for an ordinary commit."""


def at(first: int, fault: Fault, times: int = 1) -> Plan:
    """`times` commits in a row fail this way, from number `first` on."""
    return lambda number: fault if first <= number < first + times else None


class FaultyStore:
    """An EventStore that passes everything on, and does to commits what `plan` says. Failing reads raise StoreUnavailable."""

    def __init__(self, inner: EventStore, plan: Plan = lambda number: None) -> None:
        self.inner, self.plan = inner, plan
        self.commits = 0
        """Commits asked for so far, the failed ones included."""
        self.happened: Counter[Fault] = Counter()
        self.deaf = 0
        """How many of the next reads fail."""

    @property
    def readonly(self) -> bool:
        return self.inner.readonly

    @readonly.setter
    def readonly(self, value: bool) -> None:
        self.inner.readonly = value

    # --- writing ---------------------------------------------------------------------------------------------------------

    def commit(self, batch: Batch) -> None:
        self._write(lambda: self.inner.commit(batch))

    def append(self, workflow_id: WorkflowId, events: Sequence[Recorded], expected_seq: int) -> None:
        self._write(lambda: self.inner.append(workflow_id, events, expected_seq))

    def _write(self, write: Callable[[], None]) -> None:
        self.commits += 1
        fault = self.plan(self.commits)
        if fault is None:
            write()
            return
        self.happened[fault] += 1
        if fault in (Fault.CRASH_AFTER, Fault.WRITTEN):
            write()
        if fault.crashes:
            raise Crash(fault.value)
        if fault is Fault.FULL:
            raise StoreFull(f"commit {self.commits}: {fault.value}")
        raise StoreUnavailable(f"commit {self.commits}: {fault.value}")

    # --- reading ---------------------------------------------------------------------------------------------------------

    def _read(self) -> EventStore:
        if self.deaf > 0:
            self.deaf -= 1
            raise StoreUnavailable("the store does not answer")
        return self.inner

    def heads(self) -> Heads:
        return self._read().heads()

    def head(self, workflow_id: WorkflowId) -> int:
        return self._read().head(workflow_id)

    def workflow_key(self, workflow_id: WorkflowId) -> int | None:
        return self._read().workflow_key(workflow_id)

    def read(self, workflow_id: WorkflowId) -> list[Recorded]:
        return self._read().read(workflow_id)

    def read_from(self, workflow_id: WorkflowId, seq: int) -> list[Recorded]:
        return self._read().read_from(workflow_id, seq)

    def run_history(self, run_key: int) -> list[Recorded]:
        return self._read().run_history(run_key)

    def open_histories(self) -> Iterator[tuple[Run, int, list[Recorded]]]:
        for found in self._read().open_histories():
            yield found
            self._read()

    def run(self, workflow_id: WorkflowId, run_id: RunId | None = None) -> Run | None:
        return self._read().run(workflow_id, run_id)

    def run_chain(self, workflow_id: WorkflowId) -> list[Run]:
        return self._read().run_chain(workflow_id)

    def by_idempotency_key(self, key: str) -> Run | None:
        return self._read().by_idempotency_key(key)

    def ids(self) -> list[WorkflowId]:
        return self._read().ids()

    def active(self) -> list[Run]:
        return self._read().active()

    def paused(self) -> list[Run]:
        return self._read().paused()

    def due_timers(self, as_of: Micros) -> list[Timer]:
        return self._read().due_timers(as_of)

    def runs(self, *, status: Status | None = None, workflow_type: str | None = None, attributes: Mapping[str, Any] | None = None,
             limit: int | None = None, offset: int = 0) -> list[Run]:
        return self._read().runs(status=status, workflow_type=workflow_type, attributes=attributes, limit=limit, offset=offset)

    def count(self, group_by: str | None = None) -> dict[str, int]:
        return self._read().count(group_by)

    # --- code, names and facts about the lab -----------------------------------------------------------------------------

    def save_package(self, package: StoredPackage) -> None:
        self.inner.save_package(package)

    def package(self, workflow_type: str, version: str) -> StoredPackage | None:
        return self._read().package(workflow_type, version)

    def packages(self, workflow_type: str | None = None) -> list[StoredPackage]:
        return self._read().packages(workflow_type)

    def set_route(self, workflow_type: str, version: str, pinned: bool = False) -> None:
        self.inner.set_route(workflow_type, version, pinned)

    def routes(self) -> dict[str, tuple[str, bool]]:
        return self._read().routes()

    def attribute_types(self) -> dict[str, str]:
        return self._read().attribute_types()

    def register_attribute(self, name: str, kind: str) -> None:
        self.inner.register_attribute(name, kind)

    def meta(self, key: str) -> str | None:
        return self._read().meta(key)

    def set_meta(self, key: str, value: str) -> None:
        self.inner.set_meta(key, value)

    def rest(self) -> None:
        self.inner.rest()

    def close(self) -> None:
        self.inner.close()
