"""The tables, their versions and how a file is brought to the newest one.

`event` is the truth: a log in the order of recording, found by one packed number (workflow key × 2³² + seq), because an integer
index of one column costs half of what one of two columns does, and a log takes a turn of a thousand runs at twice the rate of a
clustered table (`tests/benchmarks/bench_store.py`). `workflow` and the first columns of `run` name its keys; the rest are
projections.
"""
from __future__ import annotations

import sqlite3
from collections.abc import Callable

APPLICATION_ID = 0x41494F4E
"""The bytes "AION" in the file's header."""

_VERSION_1 = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE owner (one INTEGER PRIMARY KEY CHECK (one = 1), epoch INTEGER NOT NULL)",
    "INSERT INTO owner VALUES (1, 0)",
    "CREATE TABLE workflow (key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE)",
    """CREATE TABLE event (id INTEGER NOT NULL, run INTEGER NOT NULL, at INTEGER NOT NULL, code INTEGER NOT NULL, flags INTEGER
        NOT NULL, ref INTEGER, data BLOB, payload BLOB)""",
    "CREATE UNIQUE INDEX event_id ON event (id)",
    """CREATE TABLE run (key INTEGER PRIMARY KEY, workflow INTEGER NOT NULL, run_id TEXT NOT NULL, first_seq INTEGER NOT NULL,
        request TEXT, workflow_type TEXT NOT NULL, version TEXT NOT NULL, status TEXT NOT NULL, started_at INTEGER NOT NULL,
        closed_at INTEGER, attributes TEXT, parent_run_id TEXT, idempotency_key TEXT)""",
    "CREATE UNIQUE INDEX run_name ON run (workflow, run_id)",
    "CREATE UNIQUE INDEX run_idempotency_key ON run (idempotency_key) WHERE idempotency_key IS NOT NULL",
    "CREATE INDEX run_status ON run (status)",
    "CREATE INDEX run_open ON run (key) WHERE status IN ('Running', 'Paused')",
    "CREATE INDEX run_type ON run (workflow_type)",
    "CREATE INDEX run_type_status ON run (workflow_type, status)",
    "CREATE TABLE attribute (name TEXT, value, run INTEGER, PRIMARY KEY (name, value, run)) WITHOUT ROWID",
    "CREATE INDEX attribute_run ON attribute (run)",
    "CREATE TABLE timer (run INTEGER, id INTEGER, fire_at INTEGER NOT NULL, PRIMARY KEY (run, id)) WITHOUT ROWID",
    "CREATE INDEX timer_due ON timer (fire_at)",
    """CREATE TABLE package (workflow_type TEXT NOT NULL, version TEXT NOT NULL, document BLOB NOT NULL, created_at INTEGER NOT
        NULL, signature TEXT NOT NULL, UNIQUE (workflow_type, version))""",
    "CREATE TABLE route (workflow_type TEXT PRIMARY KEY, version TEXT NOT NULL, pinned INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE attribute_type (name TEXT PRIMARY KEY, kind TEXT NOT NULL) WITHOUT ROWID",
    """CREATE VIEW history AS SELECT workflow.id AS workflow_id, event.id & 4294967295 AS seq, run.run_id, event.at, event.code,
        event.ref, event.flags & 1 AS deferred, CAST(event.data AS TEXT) AS data, CAST(event.payload AS TEXT) AS payload
        FROM event JOIN workflow ON workflow.key = event.id >> 32 JOIN run ON run.key = event.run""",
)


def _version_1(db: sqlite3.Connection) -> None:
    for statement in _VERSION_1:
        db.execute(statement)


_VERSION_2 = (
    "CREATE INDEX run_started ON run (started_at)",
    "ALTER TABLE run ADD COLUMN parent_id TEXT",
    "ALTER TABLE run ADD COLUMN schedule_id TEXT",
    "CREATE INDEX run_parent ON run (parent_id) WHERE parent_id IS NOT NULL",
    "CREATE INDEX run_schedule ON run (schedule_id) WHERE schedule_id IS NOT NULL",
)


def _version_2(db: sqlite3.Connection) -> None:
    for statement in _VERSION_2:
        db.execute(statement)


STEPS: tuple[Callable[[sqlite3.Connection], None], ...] = (_version_1, _version_2)
"""Step n leads from schema version n to n + 1. A step that reshapes a table imports `sqlite_utils` and uses its `transform`; the
import stays inside the step, since it takes half a second where pandas is installed."""

VERSION = len(STEPS)


def version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def migrate(db: sqlite3.Connection, steps: tuple[Callable[[sqlite3.Connection], None], ...] = STEPS) -> None:
    """Take the steps the file lacks, each in a transaction of its own; other processes may do the same at once."""
    while (found := version(db)) < len(steps):
        db.execute("BEGIN IMMEDIATE")
        try:
            if version(db) == found:
                steps[found](db)
                db.execute(f"PRAGMA user_version = {found + 1}")
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
