"""What is measured: our engine and the floor doing the same work on the same kind of file.

Each function takes the path of a new file and gives a dict of figures. Rates come as `wall` and `cpu` (per second of either); times are
in the unit their name ends in. Nothing here asserts a time.
"""
from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from types import ModuleType
from typing import Any

import aionlab
from aionlab import activity, workflow
from aionlab.app.clocks import RealClock, RandomIds
from aionlab.app.hosts import InlineHost, ThreadHost
from aionlab.backends.attempts import Runnable
from aionlab.backends.inline import InlineExecutor
from aionlab.backends.threads import ThreadExecutor
from aionlab.core import events as e
from aionlab.core.clock import Micros
from aionlab.core.ids import RunId, WorkflowId
from aionlab.core.ports import Batch
from aionlab.engine.api import VERBS
from aionlab.engine.call import Call
from aionlab.engine.engine import Engine
from aionlab.engine.lifecycle.start import StartRequest
from aionlab.replay.process import Process
from aionlab.replay.rebuild import rebuild
from aionlab.store.sqlite import SqliteStore
from aionlab.testing.workbench import Workbench

Figures = dict[str, float]
MODE = "WAL/FULL"
PADDING = "x" * 120
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


# --- the programs, the same as the floor's ------------------------------------------------------------------------------


@activity
async def work(x: int) -> dict[str, Any]:
    return {"x": x, "pad": PADDING}


@activity(name="work")
def work_in_thread(x: int) -> dict[str, Any]:
    return {"x": x, "pad": PADDING}


@workflow
async def steps(n: int) -> int:
    for k in range(n):
        await work(k)
    return n


@workflow
async def parked(k: int) -> Any:
    for j in range(k):
        await work(j)
    return await workflow.receive("go")


@workflow
async def ping(n: int) -> None:
    for _ in range(n):
        await workflow.receive("go")


@workflow
async def ping_and_work(n: int) -> None:
    for k in range(n):
        await workflow.receive("go")
        await work(k)


@workflow
async def empty() -> None:
    return None


WORKFLOWS = (steps, parked, ping, ping_and_work, empty)


# --- tools --------------------------------------------------------------------------------------------------------------


class Bench(Workbench):
    """A workbench on a file, with a real clock and random ids."""

    def __init__(self, path: str, synchronous: Any = "FULL", threads: bool = False, store: Any = None) -> None:
        self.random_ids = RandomIds()
        executor = ThreadExecutor(self.lookup) if threads else None
        super().__init__(SqliteStore.open(path, synchronous=synchronous) if store is None else store, clock=RealClock(), executor=executor)  # type: ignore[arg-type]
        self.engine.ids = self.random_ids
        for one in WORKFLOWS:
            self.workflow(one)
        self.activity(work_in_thread if threads else work)

    def asked(self, name: str, *args: Any) -> Call:
        """Hand a start in without waiting for it."""
        call = Call("start", StartRequest(name, self.values.encode_args(args, {}), python=PYTHON))
        self.engine.submit(call)
        return call

    def run(self, until: Callable[[], bool]) -> None:
        """Turns until it is so; waits for the executor's threads in between."""
        engine = self.engine
        while not until():
            engine.turn(engine.wait_seconds())

    def close(self) -> None:
        self.engine.executor.close()
        for run in self.engine.registry:
            self.engine.suspend(run)
        self.store.close()


@contextmanager
def opened(bench: Bench) -> Iterator[Bench]:
    try:
        yield bench
    finally:
        bench.close()


class Stopwatch:
    """Wall and CPU seconds of a block; the collector has run before it."""

    def __enter__(self) -> Stopwatch:
        gc.collect()
        self._cpu, self._wall = time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall, self.cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu

    def rates(self, count: int) -> Figures:
        return {"wall": count / self.wall, "cpu": count / self.cpu}


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def flat(values: list[float], unit: float) -> Figures:
    return {"p50": quantile(values, 0.5) * unit, "p99": quantile(values, 0.99) * unit}


# --- steps --------------------------------------------------------------------------------------------------------------


def sequential(count: int, threads: bool = False) -> Callable[[str], Figures]:
    """Steps/s of one run whose steps follow each other."""

    def measure(path: str) -> Figures:
        with opened(Bench(path, threads=threads)) as bench:
            bench.start("empty")
            engine = bench.engine
            commits, turns = engine.commits, engine.turns
            call = bench.asked("steps", count)
            with Stopwatch() as watch:
                bench.run(lambda: not engine.registry._by_key and call.poll())
            call.outcome()
            made, taken = engine.commits - commits, engine.turns - turns
            return watch.rates(count) | {"commits_per_step": made / count, "commits_per_turn": made / taken}

    return measure


def concurrent(runs: int, count: int, threads: bool = False) -> Callable[[str], Figures]:
    """Steps/s of many runs at once, from asking for them to the last one's end."""

    def measure(path: str) -> Figures:
        with opened(Bench(path, threads=threads)) as bench:
            bench.start("empty")
            engine = bench.engine
            commits, turns = engine.commits, engine.turns
            with Stopwatch() as watch:
                calls = [bench.asked("steps", count) for _ in range(runs)]
                bench.run(lambda: not engine.registry._by_key and calls[-1].poll())
            calls[-1].outcome()
            made, taken = engine.commits - commits, engine.turns - turns
            return watch.rates(runs * count) | {"commits": made, "commits_per_turn": made / taken}

    return measure


def floor_sequential(floor: ModuleType, count: int, threaded: bool = False) -> Callable[[str], Figures]:
    def measure(path: str) -> Figures:
        engine = floor.Engine(path, MODE, threaded)
        engine.start(floor.wf_steps, count)
        with Stopwatch() as watch:
            engine.run()
        return watch.rates(count) | {"commits_per_step": engine.commits / count}

    return measure


def floor_concurrent(floor: ModuleType, runs: int, count: int) -> Callable[[str], Figures]:
    def measure(path: str) -> Figures:
        engine = floor.Engine(path, MODE)
        with Stopwatch() as watch:
            for _ in range(runs):
                engine.start(floor.wf_steps, count)
            engine.run()
        engine.db.close()
        return watch.rates(runs * count) | {"commits": engine.commits}

    return measure
