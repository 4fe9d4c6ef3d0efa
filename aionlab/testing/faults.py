"""A store that fails on purpose: at which commit, and how.

    store = FaultyStore(MemoryStore(), at(3, Fault.WRITTEN))    # the third commit is written and reported as doubtful
    store.crash(5)                                              # the process is gone before the fifth
    store.doubt(written=False)                                  # the next one is not written, and nobody can tell

Every commit is a place to crash (before or after it), to fail (nothing written) and to leave in doubt (written or not); reads can be
refused as well, and the store as a whole be down. Nothing else of the wrapped store changes.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from functools import partial
from typing import Any

from aionlab.core.clock import Micros
from aionlab.core.errors import StoreFull, StoreUnavailable
from aionlab.core.events import Recorded
from aionlab.core.filters import EVERY, NEWEST, Condition, Field, Query
from aionlab.core.ids import RunId, WorkflowId
from aionlab.core.ports import Batch, EventStore, Forgotten, Heads, Run, StoredPackage, Timer


class Crash(BaseException):
    """The kernel is gone: nothing may catch this but the test, which throws away what the engine holds in memory and opens the store again."""


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

    @property
    def writes(self) -> bool:
        return self in (Fault.CRASH_AFTER, Fault.WRITTEN)

    def error(self, number: int) -> BaseException:
        """What commit `number` raises."""
        if self.crashes:
            return Crash(self.value)
        return (StoreFull if self is Fault.FULL else StoreUnavailable)(f"commit {number}: {self.value}")


Plan = Callable[[int], Fault | None]
"""Number of the commit, from 1 → its fault, or None for an ordinary commit."""


def at(first: int, fault: Fault, times: int = 1) -> Plan:
    """`times` commits in a row fail this way, from number `first` on."""
    return lambda number: fault if first <= number < first + times else None


class FaultyStore:
    """An EventStore that passes everything on, and does to commits what `fail` and its like, or else `plan`, say."""

    def __init__(self, inner: EventStore, plan: Plan = lambda number: None) -> None:
        self.inner, self.plan = inner, plan
        self.commits = 0
        """Commits asked for so far, the failed ones included."""
        self.happened: Counter[Fault] = Counter()
        self.deaf = 0
        """How many of the next reads raise StoreUnavailable."""
        self.down: Callable[[], BaseException] | None = None
        """While set, every read and write raises what it makes, and writes nothing."""
        self.batches: list[Batch] = []
        """What was committed."""
        self._asked: dict[int, tuple[bool, Callable[[], BaseException]]] = {}

    @property
    def readonly(self) -> bool:
        return self.inner.readonly

    @readonly.setter
    def readonly(self, value: bool) -> None:
        self.inner.readonly = value

    # --- asking for failures ---------------------------------------------------------------------------------------------

    def fail(self, at: int, error: Callable[[], BaseException], *, after: bool = False) -> None:
        """Raise `error()` at commit number `at` (from 1), before or after it is written."""
        self._asked[at] = (after, error)

    def fail_next(self, error: Callable[[], BaseException], *, after: bool = False, times: int = 1) -> None:
        """Raise `error()` at the next `times` commits."""
        for place in range(1, times + 1):
            self.fail(self.commits + place, error, after=after)

    def crash(self, at: int, *, after: bool = False) -> None:
        """The process is gone before, or right after, commit number `at`."""
        self.fail(at, Crash, after=after)

    def doubt(self, *, written: bool, times: int = 1) -> None:
        """The next commits end in StoreUnavailable, written or not."""
        self.fail_next(lambda: StoreUnavailable("no answer"), after=written, times=times)

    # --- writing ---------------------------------------------------------------------------------------------------------

    def commit(self, batch: Batch) -> None:
        def write() -> None:
            self.inner.commit(batch)
            self.batches.append(batch)

        self._write(write)

    def append(self, workflow_id: WorkflowId, events: Sequence[Recorded], expected_seq: int) -> None:
        self._write(lambda: self.inner.append(workflow_id, events, expected_seq))

    def _write(self, write: Callable[[], None]) -> None:
        self.commits = number = self.commits + 1
        after, error = self._asked.pop(number, (False, None))
        self._up()
        if error is None and (fault := self.plan(number)) is not None:
            self.happened[fault] += 1
            after, error = fault.writes, partial(fault.error, number)
        if error is not None and not after:
            raise error()
        write()
        if error is not None:
            raise error()

    def _up(self) -> EventStore:
        if self.down is not None:
            raise self.down()
        return self.inner

    # --- reading ---------------------------------------------------------------------------------------------------------

    def _read(self) -> EventStore:
        if self.deaf > 0:
            self.deaf -= 1
            raise StoreUnavailable("the store does not answer")
        return self._up()

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

    def ids(self, prefix: str = "") -> list[WorkflowId]:
        return self._read().ids(prefix)

    def active(self) -> list[Run]:
        return self._read().active()

    def paused(self) -> list[Run]:
        return self._read().paused()

    def due_timers(self, as_of: Micros) -> list[Timer]:
        return self._read().due_timers(as_of)

    def runs(self, query: Query = NEWEST, after: Run | None = None) -> list[Run]:
        return self._read().runs(query, after)

    def count(self, condition: Condition = EVERY, group_by: Field | None = None) -> dict[Any, int]:
        return self._read().count(condition, group_by)

    def forget(self, workflow_id: WorkflowId, at: Micros, reason: str | None = None) -> Forgotten | None:
        return self._up().forget(workflow_id, at, reason)

    def forgotten(self) -> list[Forgotten]:
        return self._read().forgotten()

    # --- code, names and facts about the lab -----------------------------------------------------------------------------

    def save_package(self, package: StoredPackage) -> None:
        self._up().save_package(package)

    def package(self, workflow_type: str, version: str) -> StoredPackage | None:
        return self._read().package(workflow_type, version)

    def packages(self, workflow_type: str | None = None) -> list[StoredPackage]:
        return self._read().packages(workflow_type)

    def drop_package(self, workflow_type: str, version: str) -> None:
        self._up().drop_package(workflow_type, version)

    def set_route(self, workflow_type: str, version: str, pinned: bool = False) -> None:
        self._up().set_route(workflow_type, version, pinned)

    def routes(self) -> dict[str, tuple[str, bool]]:
        return self._read().routes()

    def attribute_types(self) -> dict[str, str]:
        return self._read().attribute_types()

    def register_attribute(self, name: str, kind: str) -> None:
        self._up().register_attribute(name, kind)

    def meta(self, key: str) -> str | None:
        return self._read().meta(key)

    def set_meta(self, key: str, value: str) -> None:
        self._up().set_meta(key, value)

    def rest(self) -> None:
        self._up().rest()

    def close(self) -> None:
        self.inner.close()
