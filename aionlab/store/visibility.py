"""What listings see: workflows, runs, their attributes and timers, written in the transaction of the events they sum up."""
from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from aionlab.core.clock import Micros
from aionlab.core.errors import BadBatch
from aionlab.core.events import Recorded
from aionlab.core.filters import EVERY, NEWEST, Condition, Field, Query
from aionlab.core.ids import RunId, WorkflowId
from aionlab.core.jsontext import dumps, loads
from aionlab.core.ports import NO_ATTRIBUTES, Batch, Heads, Run, Timer
from aionlab.core.status import Status

from .bulk import Bulk
from .connection import Connected
from .fold import timers_of
from .selecting import Selection, counting

OPEN = "('Running', 'Paused')"

_insert_workflows = Bulk("INSERT INTO workflow SELECT * FROM (VALUES {rows}) LIMIT ?", 2)
_insert_runs = Bulk("INSERT INTO run SELECT * FROM (VALUES {rows}) LIMIT ?", 15)
_change_runs = Bulk(
    """UPDATE run SET status = column2, closed_at = column3, attributes = column4 FROM (SELECT * FROM (VALUES {rows}) LIMIT ?)
    WHERE run.key = column1""",
    4,
)
_old_attributes = Bulk("SELECT key, attributes FROM run WHERE key IN (SELECT * FROM (VALUES {rows}) LIMIT ?)", 1)
_insert_attributes = Bulk("INSERT OR IGNORE INTO attribute SELECT * FROM (VALUES {rows}) LIMIT ?", 3)
_delete_attributes = Bulk("DELETE FROM attribute WHERE run IN (SELECT * FROM (VALUES {rows}) LIMIT ?)", 1)
_insert_timers = Bulk("INSERT OR REPLACE INTO timer SELECT * FROM (VALUES {rows}) LIMIT ?", 3)
_delete_timers = Bulk("DELETE FROM timer WHERE (run, id) IN (SELECT * FROM (VALUES {rows}) LIMIT ?)", 2)
_delete_timers_of = Bulk("DELETE FROM timer WHERE run IN (SELECT * FROM (VALUES {rows}) LIMIT ?)", 1)


class Visibility(Connected):
    """Reading what is listed."""

    _RUN = """run.key, run.workflow, workflow.id, run.run_id, run.workflow_type, run.version, run.status, run.started_at, run.closed_at,
        run.attributes, run.parent_run_id, run.idempotency_key, run.request, run.parent_id, run.schedule_id FROM run JOIN workflow ON workflow.key = run.workflow"""

    _RUN_1 = _RUN.replace("run.parent_id, run.schedule_id", "NULL, NULL")
    """In a file of schema 1, which is only ever read."""

    def heads(self) -> Heads:
        ((workflow, run, last_at),) = self._rows(
            """SELECT coalesce((SELECT max(key) FROM workflow), 0), coalesce((SELECT max(key) FROM run), 0),
            coalesce((SELECT at FROM event ORDER BY rowid DESC LIMIT 1), 0)"""
        )
        return Heads(workflow, run, last_at)

    def workflow_key(self, workflow_id: WorkflowId) -> int | None:
        found = self._rows("SELECT key FROM workflow WHERE id = ?", (workflow_id,))
        return found[0][0] if found else None

    def ids(self, prefix: str = "") -> list[WorkflowId]:
        if not prefix:
            return [row[0] for row in self._rows("SELECT id FROM workflow ORDER BY key")]
        last = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        return [row[0] for row in self._rows("SELECT id FROM workflow WHERE id >= ? AND id < ? ORDER BY key", (prefix, last))]

    def run(self, workflow_id: WorkflowId, run_id: RunId | None = None) -> Run | None:
        if run_id is None:
            return self._one(f"SELECT {self._RUN} WHERE workflow.id = ? ORDER BY run.key DESC LIMIT 1", (workflow_id,))
        return self._one(f"SELECT {self._RUN} WHERE workflow.id = ? AND run.run_id = ?", (workflow_id, run_id))

    def run_chain(self, workflow_id: WorkflowId) -> list[Run]:
        return self._runs(f"SELECT {self._RUN} WHERE workflow.id = ? ORDER BY run.key", (workflow_id,))

    def by_idempotency_key(self, key: str) -> Run | None:
        return self._one(f"SELECT {self._RUN} WHERE run.idempotency_key = ?", (key,))

    def active(self) -> list[Run]:
        return self._runs(f"SELECT {self._RUN} WHERE run.status = ? ORDER BY run.key", (Status.RUNNING.value,))

    def paused(self) -> list[Run]:
        return self._runs(f"SELECT {self._RUN} WHERE run.status = ? ORDER BY run.key", (Status.PAUSED.value,))

    def due_timers(self, as_of: Micros) -> list[Timer]:
        return [
            Timer(*row)
            for row in self._rows("SELECT run, id, fire_at FROM timer WHERE fire_at <= ? ORDER BY fire_at, run, id", (as_of,))
        ]

    def runs(self, query: Query = NEWEST, after: Run | None = None) -> list[Run]:
        selection = Selection(query, after)
        text = f"SELECT {selection.source(self._RUN)}{selection.where}{selection.order}{selection.limit}"
        return self._runs(text, selection.values)

    def count(self, condition: Condition = EVERY, group_by: Field | None = None) -> dict[Any, int]:
        text, values = counting(condition, group_by)
        rows = self._rows(text, values)
        return {"": rows[0][0]} if group_by is None else dict(rows)

    def _runs(self, text: str, values: Any = ()) -> list[Run]:
        return [run_from(row) for row in self._rows(text, values)]

    def _one(self, text: str, values: Any) -> Run | None:
        found = self._runs(text, values)
        return found[0] if found else None


def run_from(row: Any) -> Run:
    key, workflow, workflow_id, run_id, kind, version, status, started, closed, attributes, previous, idempotency_key, request, *more = row
    shown = NO_ATTRIBUTES if attributes is None else loads(attributes)
    return Run(
        key,
        workflow,
        workflow_id,
        run_id,
        kind,
        version,
        Status(status),
        started,
        closed,
        shown,
        previous,
        idempotency_key,
        request,
        *more,
    )


def write(db: sqlite3.Connection, batch: Batch) -> None:
    """All of a batch but its events, within the caller's transaction."""
    if batch.runs:
        first: dict[int, int] = {}
        for row in batch.rows:
            first.setdefault(row[2], row[1])
        _insert_runs(db, [_row(run, first.get(run.key, 1)) for run in batch.runs])
        _add_attributes(db, [(run.key, run.attributes) for run in batch.runs if run.attributes])
    if batch.changes:
        change(db, [(c.key, c.status, c.closed_at, c.attributes) for c in batch.changes])
        for moved in [c for c in batch.changes if c.version is not None]:
            db.execute("UPDATE run SET version = ? WHERE key = ?", (moved.version, moved.key))
    if batch.timers:
        _insert_timers(db, batch.timers)
    if batch.timers_ended:
        _delete_timers(db, batch.timers_ended)
    if batch.runs_ended:
        _delete_timers_of(db, [(key,) for key in batch.runs_ended])
    for key, value in batch.notes:
        if value is None:
            db.execute("DELETE FROM meta WHERE key = ?", (key,))
        else:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))


def write_workflows(db: sqlite3.Connection, batch: Batch) -> None:
    _insert_workflows(db, batch.workflows)


def change(db: sqlite3.Connection, changes: list[tuple[int, Status, Micros | None, Mapping[str, Any]]]) -> None:
    """The last change of each run counts."""
    latest = {
        key: (key, status.value, closed_at, _text(attributes), attributes) for key, status, closed_at, attributes in changes
    }
    before = dict(_old_attributes.ask(db, [(key,) for key in latest]))
    if missing := latest.keys() - before.keys():
        raise BadBatch(f"there is no run with key {min(missing)}")
    _change_runs(db, [row[:4] for row in latest.values()])
    others = [row for row in latest.values() if row[3] != before[row[0]]]
    if others:
        _delete_attributes(db, [(row[0],) for row in others])
        _add_attributes(db, [(row[0], row[4]) for row in others])


def _row(run: Run, first_seq: int) -> tuple[Any, ...]:
    return (
        run.key,
        run.workflow_key,
        run.run_id,
        first_seq,
        run.request,
        run.workflow_type,
        run.version,
        run.status.value,
        run.started_at,
        run.closed_at,
        _text(run.attributes),
        run.parent_run_id,
        run.idempotency_key,
        run.parent_id,
        run.schedule_id,
    )


def _text(attributes: Mapping[str, Any]) -> str | None:
    return dumps(dict(attributes)).decode() if attributes else None


def _add_attributes(db: sqlite3.Connection, attributes: Iterable[tuple[int, Mapping[str, Any]]]) -> None:
    rows = [(name, item, key) for key, pairs in attributes for name, value in pairs.items() for item in _items(value)]
    if rows:
        _insert_attributes(db, rows)


def _items(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list | tuple) else (value,)


def rebuild(db: sqlite3.Connection, run: Run, fold: Run, events: list[Recorded]) -> bool:
    """Make a run's row and timers what its events say, within the caller's transaction; whether the row was not."""
    _delete_timers_of(db, [(run.key,)])
    timers = timers_of(run.key, events)
    if timers:
        _insert_timers(db, timers)
    right = replace(fold, request=run.request)
    if right == run:
        return False
    db.execute("DELETE FROM run WHERE key = ?", (run.key,))
    _insert_runs(db, [_row(right, events[0].seq)])
    _delete_attributes(db, [(run.key,)])
    _add_attributes(db, [(run.key, right.attributes)])
    return True
