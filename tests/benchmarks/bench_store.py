"""How the event table is laid out, measured: `python tests/benchmarks/bench_store.py [--rounds 3] [--dir DIR]`.

Three layouts of the same nine columns, and three ways to check the fence within the insert, on one-row commits, on turns of many runs
and on reading. Rounds are interleaved and the median is shown; compare within one table only. Then the store itself on the same work.
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

DATA = b'{"activity_type":"double"}'
PAYLOAD = b'{"x":12345,"pad":"' + b"x" * 120 + b'"}'
LAYOUTS = {
    "log + unique index": (
        "CREATE TABLE event(workflow INTEGER NOT NULL, seq INTEGER NOT NULL, run INTEGER NOT NULL, at INTEGER NOT NULL, code INTEGER NOT NULL,"
        " flags INTEGER NOT NULL, ref INTEGER, data BLOB, payload BLOB); CREATE UNIQUE INDEX event_key ON event(workflow, seq);"
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
    db.executescript("CREATE TABLE IF NOT EXISTS owner(one INTEGER PRIMARY KEY, epoch INTEGER NOT NULL); INSERT OR IGNORE INTO owner VALUES(1, 7);")
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name='event'").fetchone():
        db.executescript(LAYOUTS[layout])
    return db


def statement(layout: str, rows: int, fence: str) -> str:
    width = 8 if layout == "packed key" else 9
    row = "(" + ",".join("?" * width) + ")"
    if fence == "none":
        return "INSERT INTO event VALUES " + ",".join([row] * rows)
    if fence == "value":
        guard = "CASE WHEN (SELECT epoch FROM owner WHERE one=1)=? THEN ? END"
        at = 1 if layout == "packed key" else 2
        first = "(" + ",".join([*"?" * at, guard, *"?" * (width - at - 1)]) + ")"
        return "INSERT INTO event VALUES " + ",".join([first, *[row] * (rows - 1)])
    return f"INSERT INTO event SELECT * FROM (VALUES {','.join([row] * rows)}) WHERE (SELECT epoch FROM owner WHERE one=1)=?"


def values(layout: str, workflow: int, seq: int) -> tuple[Any, ...]:
    rest = (workflow, 1_700_000_000_000_000 + seq, 22, 2, seq, DATA, PAYLOAD)
    return (workflow << 32 | seq, *rest) if layout == "packed key" else (workflow, seq, *rest)


def arguments(layout: str, rows: list[tuple[Any, ...]], fence: str) -> list[Any]:
    flat = [value for row in rows for value in row]
    if fence == "value":
        flat.insert(1 if layout == "packed key" else 2, 7)
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


def turns(db: sqlite3.Connection, layout: str, fence: str, chunk: int = 0, runs: int = 1000, rows: int = 3, count: int = 8) -> float:
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
    if layout == "packed key":
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
    order = "id" if layout == "packed key" else "workflow, seq"
    found = sum(1 for _ in db.execute(f"SELECT * FROM event ORDER BY {order}"))
    assert found == runs * length
    return found / (time.perf_counter() - began)


def fill(db: sqlite3.Connection, layout: str, keys: list[tuple[int, int]]) -> None:
    db.execute("BEGIN")
    width = 8 if layout == "packed key" else 9
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
        table(f"one run, commits of {rows} row(s) at FULL", rounds, directory,
              {f"{layout}, fence {fence}": on(layout, singles, fence=fence, rows=rows) for layout in LAYOUTS for fence in FENCES}, "µs per commit")
    for runs, rows in ((1000, 3), (1000, 1)):
        table(f"turns of {runs} runs × {rows} row(s) at FULL", rounds, directory,
              {f"{layout}, {f'{chunk} rows' if chunk else 'all'} a statement, fence {fence}":
               on(layout, turns, fence=fence, chunk=chunk, runs=runs, rows=rows)
               for layout in LAYOUTS for chunk, fence in ((0, "none"), (0, "value"), (0, "select"), (256, "none"), (64, "none"))}, "rows/s")
    table("one history of 50,000", rounds, directory, {layout: on(layout, read_long, "OFF") for layout in LAYOUTS}, "rows/s")
    table("10,000 histories × 12, in order", rounds, directory, {layout: on(layout, read_many, "OFF") for layout in LAYOUTS}, "rows/s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dir")
    given = parser.parse_args()
    layouts(given.rounds, given.dir)
