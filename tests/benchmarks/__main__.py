"""All benchmarks in one table: `python -m tests.benchmarks [--rounds 3] [--only TEXT] [--dir DIR] [--json build/bench.json] [--quick]`.

Each row is measured in rounds, ours and the floor's in turn, and shown as the median with its least and most. Compare ratios of one run:
absolute figures change with the machine and what else it does. Nothing here asserts a time; that is what the table is for.
"""
from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.benchmarks import floor as floors
from tests.benchmarks import work

SLOW = 200e-6
"""A flush that takes longer outweighs the engine in what flushes once a step."""
Measure = Callable[[str], work.Figures]


@dataclass(frozen=True)
class Row:
    """One line: a figure of ours, beside the floor's where it has one. `goal` is for the ratio where `ratio`, else for the figure."""

    name: str
    ours: str
    figure: str
    unit: str
    floor: str = ""
    goal: float | None = None
    ratio: bool = False
    at_most: bool = False
    source: str = ""
    rounds: int = 99
    flushes: bool = False
    """Whether most of the time goes to flushes where a flush is slow."""


def measures(floor: ModuleType | None, quick: bool) -> dict[str, tuple[Measure, bool]]:
    """Name → (what to run, whether in a process of its own). Those of the floor are missing where it is."""
    less = 10 if quick else 1
    found: dict[str, tuple[Measure, bool]] = {
        "sequential": (work.sequential(1500 // less), False),
        "sequential threads": (work.sequential(1000 // less, threads=True), False),
        "concurrent": (work.concurrent(1000 // less, 5), False),
        "signal inline": (work.signals_inline(400 // less), False),
        "signal across": (work.signals_across(400 // less), False),
        "start across": (work.starts_across(400 // less), False),
        "replay 1k": (work.replay(1000), False),
        "replay 10k": (work.replay(10_000), False),
        "replay 50k": (work.replay(50_000 // less), False),
        "reopen": (work.reopening(10_000 // less, 5), False),
        "parked rss": (work.parked_bytes(10_000 // less, False), True),
        "parked traced": (work.parked_bytes(10_000 // less, True), True),
        "import": (work.importing, False),
        "burn 5": (work.beside_burning(0.005, 2), False),
        "burn 0.5": (work.beside_burning(0.0005, 2), False),
        "frames": (work.frames(1_000_000 // less), True),
    }
    if floor is not None:
        found |= {
            "floor sequential": (work.floor_sequential(floor, 1500 // less), False),
            "floor sequential threads": (work.floor_sequential(floor, 1500 // less, threaded=True), False),
            "floor concurrent": (work.floor_concurrent(floor, 1000 // less, 5), False),
            "floor signal": (work.floor_signals(floor, 400 // less), False),
            "floor start": (work.floor_starts(floor, 400 // less), False),
            "floor replay 1k": (work.floor_replay(floor, 1000), False),
            "floor replay 10k": (work.floor_replay(floor, 10_000), False),
            "floor replay 50k": (work.floor_replay(floor, 50_000 // less), False),
            "floor reopen": (work.floor_reopening(floor, 10_000 // less, 5), False),
            "floor parked": (work.floor_parked_bytes(floor, 10_000 // less), True),
            "floor burn 5": (work.floor_beside_burning(floor, 0.005, 2), False),
            "floor burn 0.5": (work.floor_beside_burning(floor, 0.0005, 2), False),
        }
    return found


ROWS = [
    Row("sequential steps, inline", "sequential", "wall", "steps/s", "floor sequential", 0.35, ratio=True, source="issue", flushes=True),
    Row("sequential steps, inline, by CPU time", "sequential", "cpu", "steps/s", "floor sequential", ratio=True),
    Row("sequential steps, worker thread : floor inline", "sequential threads", "wall", "steps/s", "floor sequential", 0.25, ratio=True, source="issue", flushes=True),
    Row("sequential steps, worker thread : floor with a writer thread", "sequential threads", "wall", "steps/s", "floor sequential threads", ratio=True, flushes=True),
    Row("sequential steps, worker thread : floor inline, by CPU time", "sequential threads", "cpu", "steps/s", "floor sequential", ratio=True),
    Row("1000 runs × 5 steps", "concurrent", "wall", "steps/s", "floor concurrent", 0.2, ratio=True, source="issue", flushes=True),
    Row("1000 runs × 5 steps, by CPU time", "concurrent", "cpu", "steps/s", "floor concurrent", ratio=True),
    Row("commits per sequential step after the start, inline", "sequential", "commits_per_step", "", "floor sequential", 1.0, at_most=True, source="issue"),
    Row("commits per sequential step after the start, worker thread", "sequential threads", "commits_per_step", "", "floor sequential", 1.0, at_most=True, source="issue"),
    Row("commits per turn, 1000 × 5", "concurrent", "commits_per_turn", "", "", 1.0, at_most=True, source="issue"),
    Row("commits, 1000 × 5", "concurrent", "commits", "", "floor concurrent", 10, at_most=True, source="performance.md 1"),
    Row("signal → resumed across threads, p50", "signal across", "p50", "ms", "floor signal", 1.0, at_most=True, source="issue", flushes=True),
    Row("signal → resumed across threads, p99", "signal across", "p99", "ms", "floor signal", flushes=True),
    Row("signal → signal() returned, recorded with its step, p50", "signal across", "returned_p50", "ms", flushes=True),
    Row("signal → resumed in process, p50", "signal inline", "p50", "ms", "floor signal", 0.2, at_most=True, source="performance.md 6", flushes=True),
    Row("start() from a cell, p50", "start across", "p50", "ms", "floor start", 0.25, at_most=True, source="performance.md 5", flushes=True),
    Row("start() from a cell, p99", "start across", "p99", "ms", "floor start", 1.5, at_most=True, source="performance.md 5", flushes=True),
    Row("replay, 1k events", "replay 1k", "wall", "events/s", "floor replay 1k", 100_000, source="issue"),
    Row("replay, 10k events", "replay 10k", "wall", "events/s", "floor replay 10k", 100_000, source="issue"),
    Row("replay, 50k events", "replay 50k", "wall", "events/s", "floor replay 50k", 100_000, source="issue"),
    Row("replay is linear: rate at 50k : rate at 1k", "replay 50k", "wall", "events/s", "replay 1k", 0.8, ratio=True, source="issue"),
    Row("reopening 10,000 parked runs × 5 steps", "reopen", "wall", "s", "floor reopen", 3.0, at_most=True, source="issue", rounds=3),
    Row("a parked resident run, growth of the process", "parked rss", "bytes", "B", "floor parked", 4096, at_most=True, source="issue", rounds=3),
    Row("a parked resident run, allocated by Python", "parked traced", "bytes", "B", "", 4096, at_most=True, source="issue", rounds=1),
    Row("import aionlab", "import", "import_ms", "ms", "", 200, at_most=True, source="issue"),
    Row("import aionlab and open a new lab", "import", "import_and_open_ms", "ms"),
    Row("pandas, numpy, ipywidgets, IPython imported by both", "import", "heavy_modules", "", "", 0, at_most=True, source="issue"),
    Row("steps/s beside a computing cell, switch interval 5 ms", "burn 5", "wall", "steps/s", "floor burn 5", 105, source="performance.md 13", rounds=3, flushes=True),
    Row("the cell slowed by that", "burn 5", "cell_slowed_percent", "%", rounds=3),
    Row("steps/s beside a computing cell, switch interval 0.5 ms", "burn 0.5", "wall", "steps/s", "floor burn 0.5", 655, source="performance.md 13", rounds=3, flushes=True),
    Row("the cell slowed by that ", "burn 0.5", "cell_slowed_percent", "%", "", 5, at_most=True, source="performance.md 13", rounds=3),
    Row("1,000,000 events in memory → DataFrame", "frames", "frame_s", "s", "", 0.5, at_most=True, source="performance.md 14", rounds=1),
    Row("1,000,000 events read from the file", "frames", "read_s", "s", "", rounds=1),
]  # fmt: skip


def machine() -> dict[str, Any]:
    cpu = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), platform.processor())
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"), "durability": f"{work.MODE}: SQLite in WAL mode, synchronous=FULL, real clock",
        "machine": f"{cpu}, {os.cpu_count()} cores, {platform.system()} {platform.release()}", "load": os.getloadavg()[0],
        "python": platform.python_version(), "sqlite": sqlite3.sqlite_version, "commit": _commit(),
    }  # fmt: skip


def flush(folder: str | None) -> float:
    """Seconds that `fdatasync` of one written page takes where the files are made, median."""
    took = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(50):
            file.write(b"x" * 4096)
            file.flush()
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - began)
    return statistics.median(took)


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def _commit() -> str:
    answer = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=floors.CHECKOUT, capture_output=True, text=True, check=False)
    return answer.stdout.strip()


def once(name: str, measure: Measure, alone: bool, options: argparse.Namespace) -> work.Figures:
    """One measurement on a new file."""
    if alone:
        command = [sys.executable, "-m", "tests.benchmarks", "--one", name, *(["--quick"] if options.quick else []), *(["--dir", options.dir] if options.dir else [])]
        figures: work.Figures = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=floors.CHECKOUT).stdout)
        return figures
    folder = tempfile.mkdtemp(dir=options.dir)
    try:
        gc.collect()
        return measure(os.path.join(folder, "bench.db"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measured(rows: list[Row], floor: ModuleType | None, options: argparse.Namespace) -> dict[str, list[work.Figures]]:
    """Every figure the rows need, in interleaved rounds."""
    table = measures(floor, options.quick)
    rounds: dict[str, int] = {}
    for row in rows:
        for name in (row.ours, row.floor):
            if name in table:
                rounds[name] = max(rounds.get(name, 0), min(row.rounds, options.rounds))
    found: dict[str, list[work.Figures]] = {name: [] for name in rounds}
    for number in range(options.rounds):
        for name in list(rounds) if number % 2 == 0 else reversed(list(rounds)):
            if number < rounds[name]:
                if sys.stderr.isatty():
                    print(f"\r\x1b[Kround {number + 1} of {options.rounds}: {name}", end="", file=sys.stderr, flush=True)
                measure, alone = table[name]
                found[name].append(once(name, measure, alone, options))
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    return found


@dataclass(frozen=True)
class Line:
    """A row with its figures: each a (median, least, most)."""

    row: Row
    ours: tuple[float, float, float]
    floor: tuple[float, float, float] | None
    ratio: tuple[float, float, float] | None
    met: bool | None


def line(row: Row, found: dict[str, list[work.Figures]]) -> Line:
    def spread(values: list[float]) -> tuple[float, float, float]:
        return statistics.median(values), min(values), max(values)

    ours = [figures[row.figure] for figures in found[row.ours]]
    theirs = [figures[row.figure] for figures in found.get(row.floor, []) if row.figure in figures]
    ratios = [mine / its for mine, its in zip(ours, theirs, strict=False) if its]
    judged = (statistics.median(ratios) if ratios else None) if row.ratio else statistics.median(ours)
    met = None
    if row.goal is not None and judged is not None:
        met = judged <= row.goal if row.at_most else judged >= row.goal
    return Line(row, spread(ours), spread(theirs) if theirs else None, spread(ratios) if ratios else None, met)


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def text(values: tuple[float, float, float] | None) -> str:
    if values is None:
        return "-"
    middle, least, most = values
    return number(middle) if least == most else f"{number(middle)} ({number(least)}-{number(most)})"


def table(lines: list[Line], slow_flushes: bool) -> str:
    cells = [("what", "unit", "ours", "floor", "ratio", "goal", "met")]
    for one in lines:
        goal = "-" if one.row.goal is None else f"{'≤' if one.row.at_most else '≥'} {one.row.goal:,g}{' × ' + one.row.floor if one.row.ratio else ''} ({one.row.source})"
        verdict = {None: "-", True: "met", False: "NOT MET"}[one.met] + (" *" if slow_flushes and one.row.flushes else "")
        cells.append((one.row.name, one.row.unit, text(one.ours), text(one.floor), text(one.ratio), goal, verdict))
    widths = [max(len(row[at]) for row in cells) for at in range(7)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="rows whose name has this text")
    parser.add_argument("--dir", help="where the files are made (default: the temporary folder)")
    parser.add_argument("--json", type=Path, default=floors.CHECKOUT / "build" / "bench.json")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work: to see that everything runs")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    floor = floors.load()
    if options.one:
        measure, _ = measures(floor, options.quick)[options.one]
        print(json.dumps(once(options.one, measure, False, options)))
        return 0
    about = machine() | {"flush_us": round(flush(options.dir) * 1e6)}
    for name, value in about.items():
        print(f"{name:11} {value}")
    if floor is None:
        print("The floor is not here (AIONLAB_FLOOR, or ../shared/tools/floor_engine.py): figures stand alone, and goals against it are open.")
    rows = [row for row in ROWS if options.only in row.name]
    found = measured(rows, floor, options)
    lines = [line(row, found) for row in rows]
    after = flush(options.dir)
    slow = max(after, about["flush_us"] / 1e6) > SLOW
    print(f"\nmedians of at most {options.rounds} interleaved rounds (least-most)\n\n{table(lines, slow)}")
    if slow:
        print(
            f"\n* A flush took {about['flush_us']:,} µs before and {after * 1e6:,.0f} µs after, so these rows measure the disk: ratios lean to 1, and"
            "\n  times hold a flush or more. Judge the engine by CPU time here, or on an idle disk."
        )
    options.json.parent.mkdir(parents=True, exist_ok=True)
    report = {**about, "load_after": os.getloadavg()[0], "flush_us_after": after * 1e6, "floor": floor is not None, "quick": options.quick, "rows": [asdict(one) for one in lines]}
    options.json.write_text(json.dumps(report, indent=1, ensure_ascii=False))
    print(f"\nwritten to {options.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
