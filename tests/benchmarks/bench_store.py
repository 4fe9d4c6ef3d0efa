"""How the event table is laid out, measured: `python tests/benchmarks/bench_store.py [--rounds 3] [--dir DIR] [--only
store|layouts]`.

Four layouts of the same event, and three ways to check the fence within the insert, on one-row commits, on turns of many runs
and on reading. Rounds are interleaved and the median is shown; compare within one table only. Then the store itself on the same
work.
"""
from __future__ import annotations

import argparse
import gc
import os
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

from aionlab.core.clock import Micros
from aionlab.core.events import ActivityCompleted, Payload
from aionlab.core.ids import RunId, WorkflowId
from aionlab.core.ports import Batch, RunChange
from aionlab.core.status import Status
from aionlab.store.sqlite import SqliteStore
from aionlab.testing.conformance import ENDS, W, asked, first, new_run, row, started

DATA = b'{"activity_type":"double"}'
PAYLOAD = b'{"x":12345,"pad":"' + b"x" * 120 + b'"}'
LAYOUTS = {
    "log + unique index": (
        "CREATE TABLE event(workflow INTEGER NOT NULL, seq INTEGER NOT NULL, run INTEGER NOT NULL, at INTEGER NOT NULL, code INTEGER NOT NULL,"
        " flags INTEGER NOT NULL, ref INTEGER, data BLOB, payload BLOB); CREATE UNIQUE INDEX event_key ON event(workflow, seq);"
    ),
    "log + unique packed": (
        "CREATE TABLE event(id INTEGER NOT NULL, run INTEGER NOT NULL, at INTEGER NOT NULL, code INTEGER NOT NULL,"
        " flags INTEGER NOT NULL, ref INTEGER, data BLOB, payload BLOB); CREATE UNIQUE INDEX event_id ON event(id);"
    ),
    "packed key": (
        "CREATE TABLE event(id INTEGER PRIMARY KEY, run INTEGER NOT NULL, at INTEGER NOT NULL, code INTEGER NOT NULL,"
        " flags INTEGER NOT NULL, ref INTEGER, data BLOB, payload BLOB);"
    ),
    "WITHOUT ROWID": (
        "CREATE TABLE event(workflow INTEGER NOT NULL, seq INTEGER NOT NULL, run INTEGER NOT NULL, at INTEGER NOT NULL, code INTEGER NOT NULL,"
        " flags INTEGER NOT NULL, ref INTEGER, data BLOB, payload BLOB, PRIMARY KEY(workflow, seq)) WITHOUT ROWID;"
    ),
}
FENCES = ("none", "value", "select")


def connect(path: str, layout: str, synchronous: str = "FULL") -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, cached_statements=512)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute(f"PRAGMA synchronous={synchronous}")
    db.execute("PRAGMA wal_autocheckpoint=0")
    db.executescript(
        "CREATE TABLE IF NOT EXISTS owner(one INTEGER PRIMARY KEY, epoch INTEGER NOT NULL); INSERT OR IGNORE INTO owner VALUES(1, 7);"
    )
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name='event'").fetchone():
        db.executescript(LAYOUTS[layout])
    return db


def statement(layout: str, rows: int, fence: str) -> str:
    width = 8 if "packed" in layout else 9
    row = "(" + ",".join("?" * width) + ")"
    if fence == "none":
        return "INSERT INTO event VALUES " + ",".join([row] * rows)
    if fence == "value":
        guard = "CASE WHEN (SELECT epoch FROM owner WHERE one=1)=? THEN ? END"
        at = 1 if "packed" in layout else 2
        first = "(" + ",".join([*"?" * at, guard, *"?" * (width - at - 1)]) + ")"
        return "INSERT INTO event VALUES " + ",".join([first, *[row] * (rows - 1)])
    return f"INSERT INTO event SELECT * FROM (VALUES {','.join([row] * rows)}) WHERE (SELECT epoch FROM owner WHERE one=1)=?"


def values(layout: str, workflow: int, seq: int) -> tuple[Any, ...]:
    rest = (workflow, 1_700_000_000_000_000 + seq, 22, 2, seq, DATA, PAYLOAD)
    return (workflow << 32 | seq, *rest) if "packed" in layout else (workflow, seq, *rest)


def arguments(layout: str, rows: list[tuple[Any, ...]], fence: str) -> list[Any]:
    flat = [value for row in rows for value in row]
    if fence == "value":
        flat.insert(1 if "packed" in layout else 2, 7)
    elif fence == "select":
        flat.append(7)
    return flat


def singles(db: sqlite3.Connection, layout: str, fence: str, rows: int = 1, commits: int = 1500) -> float:
    """Microseconds per commit of `rows` rows of one run, each an fsync."""
    text = statement(layout, rows, fence)
    seq = 0
    began = time.perf_counter()
    for _ in range(commits):
        batch = [values(layout, 1, seq + k) for k in range(1, rows + 1)]
        seq += rows
        db.execute(text, arguments(layout, batch, fence))
    return (time.perf_counter() - began) / commits * 1e6


def turns(
    db: sqlite3.Connection, layout: str, fence: str, chunk: int = 0, runs: int = 1000, rows: int = 3, count: int = 8
) -> float:
    """Rows per second in turns of `runs` runs × `rows` rows; `chunk` rows a statement, all in one for 0."""
    total = 0.0
    for turn in range(count):
        batch = [values(layout, run, turn * rows + k) for run in range(1, runs + 1) for k in range(1, rows + 1)]
        began = time.perf_counter()
        if chunk:
            db.execute("BEGIN IMMEDIATE")
            for at in range(0, len(batch), chunk):
                part = batch[at : at + chunk]
                db.execute(statement(layout, len(part), fence), arguments(layout, part, fence))
            db.execute("COMMIT")
        else:
            db.execute(statement(layout, len(batch), fence), arguments(layout, batch, fence))
        total += time.perf_counter() - began
    return runs * rows * count / total


def read_long(db: sqlite3.Connection, layout: str, length: int = 50_000) -> float:
    fill(db, layout, [(1, seq) for seq in range(1, length + 1)])
    began = time.perf_counter()
    if "packed" in layout:
        found = db.execute("SELECT * FROM event WHERE id BETWEEN ? AND ? ORDER BY id", (1 << 32, 2 << 32)).fetchall()
    else:
        found = db.execute("SELECT * FROM event WHERE workflow=? ORDER BY seq", (1,)).fetchall()
    assert len(found) == length
    return length / (time.perf_counter() - began)


def read_many(db: sqlite3.Connection, layout: str, runs: int = 10_000, length: int = 12) -> float:
    """Rows per second over all histories in one ordered pass, written the way turns write them."""
    for low in range(0, length, 3):
        fill(db, layout, [(run, low + k) for run in range(1, runs + 1) for k in (1, 2, 3)])
    began = time.perf_counter()
    order = "id" if "packed" in layout else "workflow, seq"
    found = sum(1 for _ in db.execute(f"SELECT * FROM event ORDER BY {order}"))
    assert found == runs * length
    return found / (time.perf_counter() - began)


def fill(db: sqlite3.Connection, layout: str, keys: list[tuple[int, int]]) -> None:
    db.execute("BEGIN")
    width = 8 if "packed" in layout else 9
    db.executemany(f"INSERT INTO event VALUES ({','.join('?' * width)})", [values(layout, *key) for key in keys])
    db.execute("COMMIT")


def measure(directory: str | None, work: Callable[[str], float]) -> float:
    folder = tempfile.mkdtemp(dir=directory)
    try:
        gc.collect()
        return work(os.path.join(folder, "b.db"))
    finally:
        shutil.rmtree(folder)


def table(title: str, rounds: int, directory: str | None, work: dict[str, Callable[[str], float]], unit: str) -> None:
    found: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, function in work.items():
            found[name].append(measure(directory, function))
    print(f"\n{title} [{unit}; median of {rounds}, min-max]")
    for name, values_ in found.items():
        print(f"  {name:44} {statistics.median(values_):12,.1f}   {min(values_):,.1f} - {max(values_):,.1f}")


def layouts(rounds: int, directory: str | None) -> None:
    def on(layout: str, work: Callable[..., float], synchronous: str = "FULL", **options: Any) -> Callable[[str], float]:
        def run(path: str) -> float:
            db = connect(path, layout, synchronous)
            try:
                return work(db, layout, **options)
            finally:
                db.close()

        return run

    for rows in (1, 3):
        table(
            f"one run, commits of {rows} row(s) at FULL",
            rounds,
            directory,
            {f"{layout}, fence {fence}": on(layout, singles, fence=fence, rows=rows) for layout in LAYOUTS for fence in FENCES},
            "µs per commit",
        )
    for runs, rows in ((1000, 3), (1000, 1)):
        table(
            f"turns of {runs} runs × {rows} row(s) at FULL",
            rounds,
            directory,
            {
                f"{layout}, {f'{chunk} rows' if chunk else 'all'} a statement, fence {fence}": on(
                    layout, turns, fence=fence, chunk=chunk, runs=runs, rows=rows
                )
                for layout in LAYOUTS
                for chunk, fence in ((0, "none"), (0, "value"), (0, "select"), (256, "none"), (64, "none"))
            },
            "rows/s",
        )
    table("one history of 50,000", rounds, directory, {layout: on(layout, read_long, "OFF") for layout in LAYOUTS}, "rows/s")
    table(
        "10,000 histories × 12, in order",
        rounds,
        directory,
        {layout: on(layout, read_many, "OFF") for layout in LAYOUTS},
        "rows/s",
    )


def commits(path: str, rows: int, count: int = 1500) -> float:
    """Microseconds per `commit` of a plain turn of one run."""
    store = SqliteStore.open(path)
    store.commit(first())
    seq, total = 1, 0.0
    for _ in range(count):
        batch = Batch(rows=[(1, seq + k, *values("log", 1, seq)[2:]) for k in range(1, rows + 1)], expected={1: seq})
        began = time.perf_counter()
        store.commit(batch)
        total += time.perf_counter() - began
        seq += rows
    store.close()
    return total / count * 1e6


def raw(path: str, rows: int, count: int = 1500) -> float:
    """Microseconds per plain one-statement INSERT into the same table, without any check."""
    SqliteStore.open(path).close()
    db = connect(path, "log + unique packed")
    text = statement("log + unique packed", rows, "none")
    total = 0.0
    for n in range(count):
        flat = arguments(
            "log + unique packed", [values("log + unique packed", 1, n * rows + k) for k in range(1, rows + 1)], "none"
        )
        began = time.perf_counter()
        db.execute(text, flat)
        total += time.perf_counter() - began
    db.close()
    return total / count * 1e6


def begun(path: str, runs: int, synchronous: Any = "FULL") -> tuple[SqliteStore, float]:
    """A store with so many runs started in turns of 1000, and starts per second."""
    store = SqliteStore.open(path, synchronous=synchronous)
    total = 0.0
    for low in range(1, runs + 1, 1000):
        batch = Batch()
        for key in range(low, min(low + 1000, runs + 1)):
            one = first(key, WorkflowId(f"order-{key:08d}"), RunId(f"0190c7a1-{key:020d}"))
            batch.rows += one.rows
            batch.expected |= one.expected
            batch.workflows += one.workflows
            batch.runs += one.runs
        began = time.perf_counter()
        store.commit(batch)
        total += time.perf_counter() - began
    return store, runs / total


def starts(path: str) -> float:
    store, rate = begun(path, 5000)
    store.close()
    return rate


def store_turns(path: str, runs: int = 1000, rows: int = 3, count: int = 8) -> float:
    store, _ = begun(path, runs)
    total = 0.0
    for turn in range(count):
        head = 1 + turn * rows
        batch = Batch(
            rows=[(run, head + k, *values("log", run, head)[2:]) for run in range(1, runs + 1) for k in range(1, rows + 1)],
            expected=dict.fromkeys(range(1, runs + 1), head),
        )
        began = time.perf_counter()
        store.commit(batch)
        total += time.perf_counter() - began
    store.close()
    return runs * rows * count / total


def ends(path: str, runs: int = 5000) -> float:
    store, _ = begun(path, runs)
    total = 0.0
    for low in range(1, runs + 1, 1000):
        keys = range(low, low + 1000)
        batch = Batch(
            rows=[row(key, 2, key, ENDS[0]) for key in keys],
            expected=dict.fromkeys(keys, 1),
            changes=[RunChange(key, Status.COMPLETED, Micros(9), {}) for key in keys],
            runs_ended=list(keys),
        )
        began = time.perf_counter()
        store.commit(batch)
        total += time.perf_counter() - began
    store.close()
    return runs / total


def reopened(path: str, what: str, runs: int = 10_000) -> float:
    store, _ = begun(path, runs, "OFF")
    event = ActivityCompleted(0, Payload(PAYLOAD))
    for turn in range(11):
        batch = Batch(
            rows=[row(run, turn + 2, run, event) for run in range(1, runs + 1)],
            expected=dict.fromkeys(range(1, runs + 1), turn + 1),
        )
        store.commit(batch)
    store.close()
    gc.collect()
    began = time.perf_counter()
    store = SqliteStore.open(path)
    opened = time.perf_counter()
    if what == "open":
        store.close()
        return (opened - began) * 1e3
    found = 0
    for _, _, events in store.open_histories():
        found += len(events)
        if what == "first":
            break
    took = time.perf_counter() - opened
    store.close()
    return took * 1e3


def long_history(path: str, what: str, length: int = 50_000) -> float:
    store = SqliteStore.open(path, synchronous="OFF")
    store.commit(first())
    event = ActivityCompleted(0, Payload(PAYLOAD))
    for low in range(1, length, 4000):
        store.commit(Batch(rows=[row(1, low + k, 1, event) for k in range(1, 4001)], expected={1: low}))
    gc.collect()
    began = time.perf_counter()
    if what == "rows":
        found = len(
            store._rows(
                "SELECT id, at, code, flags, ref, data, payload FROM event WHERE id BETWEEN ? AND ? ORDER BY id",
                (1 << 32, 2 << 32),
            )
        )
    else:
        found = len(store.read(W))
    took = time.perf_counter() - began
    store.close()
    return found / took


def pages(path: str, runs: int = 200_000) -> float:
    """p50 of a filtered page of 50, in milliseconds."""
    store = SqliteStore.open(path, synchronous="OFF")
    for low in range(1, runs + 1, 4000):
        keys = range(low, low + 4000)
        store.commit(
            Batch(
                rows=[row(key, 1, key, started()) for key in keys],
                expected=dict.fromkeys(keys, 0),
                workflows=[(key, WorkflowId(f"o{key}")) for key in keys],
                runs=[
                    new_run(key, key, WorkflowId(f"o{key}"), RunId(f"r{key}"), attributes={"customer": f"c{key % 100}"})
                    for key in keys
                ],
            )
        )
    took = []
    for n in range(50):
        began = time.perf_counter()
        found = store.runs(asked(f"status = 'Running' AND type = 'order' AND customer = 'c{n}' LIMIT 50", customer="keyword"))
        took.append(time.perf_counter() - began)
        assert len(found) == 50
    store.close()
    return statistics.median(took) * 1e3


def the_store(rounds: int, directory: str | None) -> None:
    table(
        "plain commits of one run at FULL",
        rounds,
        directory,
        {
            f"{name}, {rows} row(s)": lambda path, work=work, rows=rows: work(path, rows)
            for rows in (1, 3)
            for name, work in (("raw INSERT", raw), ("store.commit", commits))
        },
        "µs per commit",
    )
    table(
        "turns at FULL",
        rounds,
        directory,
        {"1000 runs × 3 rows [rows/s]": store_turns, "1000 starts a turn [starts/s]": starts, "1000 ends a turn [ends/s]": ends},
        "per second",
    )
    table(
        "reading one history of 50,000",
        rounds,
        directory,
        {"rows": lambda path: long_history(path, "rows"), "decoded": lambda path: long_history(path, "events")},
        "events/s",
    )
    table(
        "10,000 open runs × 12 events",
        rounds,
        directory,
        {what: lambda path, what=what: reopened(path, what) for what in ("open", "first", "all")},
        "ms",
    )
    table("filter by attribute, status and type, page of 50 of 200,000 runs", 1, directory, {"runs()": pages}, "ms")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dir")
    parser.add_argument("--only", choices=("store", "layouts"))
    given = parser.parse_args()
    if given.only != "store":
        layouts(given.rounds, given.dir)
    if given.only != "layouts":
        the_store(given.rounds, given.dir)
