"""The event store in plain Python: the same promises as SQLite's, gone with the process.

For tests, for the simulator and for labs that are thrown away. `close` lets go of nothing, so that another engine may be opened
on the same events.
"""
from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from threading import RLock
from typing import Any

from aionlab.core.clock import Micros
from aionlab.core.codec import unpack
from aionlab.core.errors import BadBatch, Fenced, SequenceConflict, StoreReadOnly
from aionlab.core.events import Recorded
from aionlab.core.filters import EVERY, NEWEST, Condition, Field, Query, groups, selected
from aionlab.core.ids import NO_RUN, RunId, WorkflowId
from aionlab.core.ports import Batch, Forgotten, Heads, Row, Run, StoredPackage, Timer
from aionlab.core.status import Status

from .checks import check, check_sequence
from .fold import batch_of


class MemoryStore:
    """An EventStore that keeps everything in dicts and lists. Safe to call from several threads."""

    def __init__(self) -> None:
        self.readonly = False
        self.fenced = False
        """Set by tests: another kernel has taken over."""
        self._lock = RLock()
        self._heads = Heads(0, 0)
        self._ids: dict[int, WorkflowId] = {}
        self._keys: dict[WorkflowId, int] = {}
        self._rows: dict[int, list[Row]] = {}
        self._runs: dict[int, Run] = {}
        self._chains: dict[int, list[int]] = {}
        self._by_idempotency_key: dict[str, int] = {}
        self._timers: dict[int, dict[int, Timer]] = {}
        self._packages: dict[tuple[str, str], StoredPackage] = {}
        self._routes: dict[str, tuple[str, bool]] = {}
        self._attributes: dict[str, str] = {}
        self._meta: dict[str, str] = {}
        self._forgotten: list[Forgotten] = []

    # --- writing ---------------------------------------------------------------------------------------------------------

    def commit(self, batch: Batch) -> None:
        with self._lock:
            self._may_write()
            check(batch)
            self._check_heads(batch)
            self._check_runs(batch)
            self._apply(batch)

    def append(self, workflow_id: WorkflowId, events: Sequence[Recorded], expected_seq: int) -> None:
        with self._lock:
            self._may_write()
            check_sequence(workflow_id, events, expected_seq)
            found = self.head(workflow_id)
            if found != expected_seq:
                raise SequenceConflict(workflow_id, expected_seq, found)
            if events:
                self.commit(batch_of(self, workflow_id, events, expected_seq))

    def _may_write(self) -> None:
        if self.readonly:
            raise StoreReadOnly("this store was opened to be read")
        if self.fenced:
            raise Fenced("another kernel took this store over")

    def _check_heads(self, batch: Batch) -> None:
        for key, workflow_id in batch.workflows:
            if key in self._ids or workflow_id in self._keys:
                raise SequenceConflict(workflow_id, 0, max(self.head(workflow_id), len(self._rows.get(key, ()))))
        for key, expected in batch.expected.items():
            found = len(self._rows.get(key, ()))
            if found != expected:
                raise SequenceConflict(self._ids.get(key, WorkflowId(f"workflow key {key}")), expected, found)

    def _check_runs(self, batch: Batch) -> None:
        new: set[int] = set()
        names: set[tuple[int, RunId]] = set()
        used: set[str] = set()
        for run in batch.runs:
            name = (run.workflow_key, run.run_id)
            if run.key in self._runs or run.key in new or name in names or self._find(*name):
                raise BadBatch(f"run {run.run_id} (key {run.key}) exists already")
            if run.idempotency_key is not None:
                if run.idempotency_key in self._by_idempotency_key or run.idempotency_key in used:
                    raise BadBatch(f"idempotency key {run.idempotency_key!r} is in use")
                used.add(run.idempotency_key)
            new.add(run.key)
            names.add(name)
        for change in batch.changes:
            if change.key not in self._runs and change.key not in new:
                raise BadBatch(f"there is no run with key {change.key}")

    def _apply(self, batch: Batch) -> None:
        """Cannot fail: all that could was checked."""
        for key, workflow_id in batch.workflows:
            self._ids[key], self._keys[workflow_id] = workflow_id, key
            self._rows[key], self._chains[key] = [], []
        for row in batch.rows:
            self._rows[row[0]].append(row)
        for run in batch.runs:
            self._runs[run.key] = run
            insort(self._chains[run.workflow_key], run.key)
            if run.idempotency_key is not None:
                self._by_idempotency_key[run.idempotency_key] = run.key
        self._heads = Heads(
            max([self._heads.workflow_key, *(key for key, _ in batch.workflows)]),
            max([self._heads.run_key, *(run.key for run in batch.runs)]),
            Micros(batch.rows[-1][3]) if batch.rows else self._heads.last_at,
        )
        for key, now, closed_at, attributes, version in batch.changes:
            run = self._runs[key]
            self._runs[key] = replace(run, status=now, closed_at=closed_at, attributes=attributes, version=version or run.version)
        for timer in batch.timers:
            self._timers.setdefault(timer.run_key, {})[timer.timer_id] = timer
        for run_key, timer_id in batch.timers_ended:
            self._timers.get(run_key, {}).pop(timer_id, None)
        for run_key in batch.runs_ended:
            self._timers.pop(run_key, None)
        for name, value in batch.notes:
            if value is None:
                self._meta.pop(name, None)
            else:
                self._meta[name] = value

    def forget(self, workflow_id: WorkflowId, at: Micros, reason: str | None = None) -> Forgotten | None:
        with self._lock:
            self._may_write()
            key = self._keys.get(workflow_id)
            if key is None:
                return None
            runs = [self._runs[run] for run in self._chains[key]]
            if not all(run.status.closed for run in runs):
                raise BadBatch(f"{workflow_id} has an open run")
            note = Forgotten(workflow_id, at, len(runs), len(self._rows[key]), reason)
            for run in runs:
                del self._runs[run.key]
                self._timers.pop(run.key, None)
                if run.idempotency_key is not None:
                    del self._by_idempotency_key[run.idempotency_key]
            del self._ids[key], self._keys[workflow_id], self._rows[key], self._chains[key]
            self._forgotten.append(note)
            return note

    def forgotten(self) -> list[Forgotten]:
        return list(self._forgotten)

    # --- history ---------------------------------------------------------------------------------------------------------

    def heads(self) -> Heads:
        return self._heads

    def head(self, workflow_id: WorkflowId) -> int:
        key = self._keys.get(workflow_id)
        return 0 if key is None else len(self._rows[key])

    def workflow_key(self, workflow_id: WorkflowId) -> int | None:
        return self._keys.get(workflow_id)

    def read(self, workflow_id: WorkflowId) -> list[Recorded]:
        return self.read_from(workflow_id, 1)

    def read_from(self, workflow_id: WorkflowId, seq: int) -> list[Recorded]:
        with self._lock:
            key = self._keys.get(workflow_id)
            rows = [] if key is None else self._rows[key][max(seq - 1, 0) :]
            return [self._recorded(row) for row in rows]

    def run_history(self, run_key: int) -> list[Recorded]:
        with self._lock:
            run = self._runs.get(run_key)
            rows = [] if run is None else [row for row in self._rows[run.workflow_key] if row[2] == run_key]
            return [self._recorded(row) for row in rows]

    def open_histories(self) -> Iterator[tuple[Run, int, list[Recorded]]]:
        for run in self._listed(lambda run: not run.status.closed):
            yield run, len(self._rows[run.workflow_key]), self.run_history(run.key)

    def ids(self, prefix: str = "") -> list[WorkflowId]:
        with self._lock:
            return [self._ids[key] for key in sorted(self._ids) if self._ids[key].startswith(prefix)]

    def _recorded(self, row: Row) -> Recorded:
        key, seq, run_key, at, code, flags, ref, data, payload = row
        event = unpack(code, ref, data, payload)
        run_id = self._runs[run_key].run_id if run_key else NO_RUN
        return Recorded(seq, Micros(at), self._ids[key], run_id, event, bool(flags & 1), flags >> 1)

    # --- runs and timers -------------------------------------------------------------------------------------------------

    def run(self, workflow_id: WorkflowId, run_id: RunId | None = None) -> Run | None:
        with self._lock:
            key = self._keys.get(workflow_id)
            return None if key is None else self._find(key, run_id)

    def run_chain(self, workflow_id: WorkflowId) -> list[Run]:
        with self._lock:
            key = self._keys.get(workflow_id)
            return [] if key is None else [self._runs[run] for run in self._chains[key]]

    def by_idempotency_key(self, key: str) -> Run | None:
        with self._lock:
            found = self._by_idempotency_key.get(key)
            return None if found is None else self._runs[found]

    def active(self) -> list[Run]:
        return self._listed(lambda run: run.status is Status.RUNNING)

    def paused(self) -> list[Run]:
        return self._listed(lambda run: run.status is Status.PAUSED)

    def due_timers(self, as_of: Micros) -> list[Timer]:
        with self._lock:
            due = [timer for timers in self._timers.values() for timer in timers.values() if timer.fire_at <= as_of]
        return sorted(due, key=lambda timer: (timer.fire_at, timer.run_key, timer.timer_id))

    def runs(self, query: Query = NEWEST, after: Run | None = None) -> list[Run]:
        with self._lock:
            return selected(self._runs.values(), query, after)

    def count(self, condition: Condition = EVERY, group_by: Field | None = None) -> dict[Any, int]:
        with self._lock:
            return groups(self._runs.values(), condition, group_by)

    def _find(self, workflow_key: int, run_id: RunId | None) -> Run | None:
        for key in reversed(self._chains.get(workflow_key, ())):
            if run_id is None or self._runs[key].run_id == run_id:
                return self._runs[key]
        return None

    def _listed(self, wanted: Callable[[Run], bool]) -> list[Run]:
        with self._lock:
            return [run for _, run in sorted(self._runs.items()) if wanted(run)]

    # --- code, names and facts about the lab -----------------------------------------------------------------------------

    def save_package(self, package: StoredPackage) -> None:
        self._may_write()
        key = (package.workflow_type, package.version)
        kept = self._packages.setdefault(key, package)
        if package.signature:
            self._packages[key] = replace(kept, document=package.document, signature=package.signature)

    def package(self, workflow_type: str, version: str) -> StoredPackage | None:
        return self._packages.get((workflow_type, version))

    def packages(self, workflow_type: str | None = None) -> list[StoredPackage]:
        return [p for p in self._packages.values() if workflow_type is None or p.workflow_type == workflow_type]

    def drop_package(self, workflow_type: str, version: str) -> None:
        self._may_write()
        self._packages.pop((workflow_type, version), None)

    def set_route(self, workflow_type: str, version: str, pinned: bool = False) -> None:
        self._may_write()
        self._routes[workflow_type] = (version, pinned)

    def routes(self) -> dict[str, tuple[str, bool]]:
        return dict(self._routes)

    def attribute_types(self) -> dict[str, str]:
        return dict(self._attributes)

    def register_attribute(self, name: str, kind: str) -> None:
        self._may_write()
        self._attributes[name] = kind

    def meta(self, key: str) -> str | None:
        return self._meta.get(key)

    def set_meta(self, key: str, value: str) -> None:
        self._may_write()
        self._meta[key] = value

    def rest(self) -> None:
        pass

    def close(self) -> None:
        pass
