"""What is measured: our engine and the floor doing the same work on the same kind of file.

Each function takes the path of a new file and gives a dict of figures. Rates come as `wall` and `cpu` (per second of either); times are
in the unit their name ends in. Nothing here asserts a time.
"""
from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from types import ModuleType
from typing import Any

import aionlab
from aionlab import activity, workflow
from aionlab.app.clocks import RandomIds, RealClock
from aionlab.app.hosts import ThreadHost
from aionlab.backends.threads import ThreadExecutor
from aionlab.core import events as e
from aionlab.core.clock import Micros
from aionlab.core.ids import WorkflowId
from aionlab.core.payload import hints_of
from aionlab.core.ports import Batch
from aionlab.engine import processes
from aionlab.engine.call import Call
from aionlab.engine.engine import Engine
from aionlab.engine.lifecycle.start import StartRequest
from aionlab.replay.process import Code, Process
from aionlab.replay.rebuild import rebuild
from aionlab.store.sqlite import SqliteStore
from aionlab.testing.workbench import Workbench

CHECKOUT = Path(__file__).resolve().parents[2]
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
        executor = ThreadExecutor(self.lookup) if threads else None
        file = SqliteStore.open(path, synchronous=synchronous) if store is None else store
        super().__init__(file, clock=RealClock(), executor=executor)  # type: ignore[arg-type]  # any clock of the engine's will do
        self.activity(work_in_thread if threads else work)

    def open(self) -> None:
        """Define first, so that parked runs come back as the engine begins."""
        for one in WORKFLOWS:
            self.codes[one.name] = Code(one.name, "v1", one.fn, hints_of(one.fn), self.values)
        super().open()
        self.engine.ids = RandomIds()

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
            processes.suspend(self.engine, run)
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
            return watch.rates(count) | {"commits_per_step": (made - 1) / count, "commits_per_turn": made / taken}

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
        return watch.rates(count) | {"commits_per_step": (engine.commits - 1) / count}

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


# --- latencies ----------------------------------------------------------------------------------------------------------


def signals_inline(count: int) -> Callable[[str], Figures]:
    """A signal to a waiting run on the caller's thread, until the turn that recorded it and the step it caused is over."""

    def measure(path: str) -> Figures:
        took = []
        with opened(Bench(path)) as bench:
            name = bench.start("ping", count)
            gc.collect()
            for k in range(count):
                began = time.perf_counter()
                bench.signal(name, "go", {"k": k})
                took.append(time.perf_counter() - began)
        return flat(took, 1e3)

    return measure


def floor_signals(floor: ModuleType, count: int) -> Callable[[str], Figures]:
    def measure(path: str) -> Figures:
        took = []
        engine = floor.Engine(path, MODE)
        run = engine.start(floor.wf_ping, count)
        engine.run()
        gc.collect()
        for k in range(count):
            began = time.perf_counter()
            engine.signal(run.id, {"k": k})
            engine.run()
            took.append(time.perf_counter() - began)
        engine.db.close()
        return flat(took, 1e3)

    return measure


@contextmanager
def lab_in(path: str) -> Iterator[Any]:
    """A real lab on its own thread, as a notebook opens it, with the workflows defined."""
    os.environ.setdefault("JUPYTER_DATA_DIR", os.path.join(os.path.dirname(path), "jupyter"))
    with aionlab.open(path) as lab:
        for one in (empty, ping_and_work):
            lab.define(one)
        yield lab


def signals_across(count: int) -> Callable[[str], Figures]:
    """From `lab.signal()` on the main thread until that thread has been told (by a listener, after the commit) of the next thing the woken
    code asked for; and until `lab.signal()` returned."""

    def measure(path: str) -> Figures:
        seen: SimpleQueue[None] = SimpleQueue()

        def listen(recorded: Any) -> None:
            for one in recorded:
                if type(one.event) is e.ActivityScheduled:
                    seen.put(None)

        took, returned = [], []
        with lab_in(path) as lab:
            handle = lab.start(ping_and_work, count)
            lab.host.engine.listeners.append(listen)
            lab.settle()
            gc.collect()
            for k in range(count):
                began = time.perf_counter()
                lab.signal(handle.id, "go", {"k": k})
                back = time.perf_counter()
                seen.get()
                took.append(time.perf_counter() - began)
                returned.append(back - began)
                lab.settle()
            handle.result(30)
        return flat(took, 1e3) | {"returned_p50": quantile(returned, 0.5) * 1e3}

    return measure


def starts_across(count: int) -> Callable[[str], Figures]:
    """`lab.start()` on the main thread until it has returned, the engine on its own."""

    def measure(path: str) -> Figures:
        took = []
        with lab_in(path) as lab:
            lab.start("empty").result(30)
            gc.collect()
            for _ in range(count):
                began = time.perf_counter()
                lab.start("empty")
                took.append(time.perf_counter() - began)
        return flat(took, 1e3)

    return measure


def floor_starts(floor: ModuleType, count: int) -> Callable[[str], Figures]:
    """Start to end, in process: the floor has no threads to cross."""

    def measure(path: str) -> Figures:
        took = []
        engine = floor.Engine(path, MODE)
        gc.collect()
        for _ in range(count):
            began = time.perf_counter()
            engine.start(floor.wf_empty)
            engine.run()
            took.append(time.perf_counter() - began)
        engine.db.close()
        return flat(took, 1e3)

    return measure


# --- replay and recovery ------------------------------------------------------------------------------------------------


def history_of(path: str, events: int) -> tuple[SqliteStore, int]:
    """A store with one closed run of about so many events, and its run key. Written by the engine, without flushes."""
    with opened(Bench(path, "OFF")) as bench:
        name = bench.start("steps", (events - 2) // 3)
        key = bench.store.run(WorkflowId(name)).key  # type: ignore[union-attr]
    return SqliteStore.open(path), key


def replay(events: int) -> Callable[[str], Figures]:
    """Events/s from stored rows to a rebuilt process: reading, decoding, running the code and comparing."""

    def measure(path: str) -> Figures:
        store, key = history_of(path, events)
        bench = Bench("", store=store)
        code = bench.codes["steps"]

        with Stopwatch() as watch:
            history = store.run_history(key)
            first = history[0]
            rebuilt = rebuild(lambda trace: Process(code, first.event, first.workflow_id, first.run_id, first.at, None, trace), history)  # type: ignore[arg-type]
        assert rebuilt.process.finished
        bench.close()
        return watch.rates(len(history))

    return measure


def floor_replay(floor: ModuleType, events: int) -> Callable[[str], Figures]:
    def measure(path: str) -> Figures:
        engine = floor.Engine(path, "WAL/OFF")
        engine.start(floor.wf_steps, events - 2)
        engine.run()
        engine.db.execute("CREATE UNIQUE INDEX ix ON ev(wf, seq)")
        with Stopwatch() as watch:
            rows = engine.db.execute("SELECT seq, kind, data FROM ev WHERE wf=1 ORDER BY seq").fetchall()
            engine.replay(floor.wf_steps, 1, rows)
        engine.db.close()
        return watch.rates(len(rows))

    return measure


def reopening(runs: int, count: int) -> Callable[[str], Figures]:
    """Seconds from opening the file until every parked run is resident again; opening pumps until nothing moves."""

    def measure(path: str) -> Figures:
        with opened(Bench(path, "OFF")) as bench:
            park(bench, runs, count)
        with Stopwatch() as watch:
            bench = Bench(path)
        assert bench.engine.recovered
        assert len(bench.engine.registry) == runs
        assert all(run.process is not None for run in bench.engine.registry)
        bench.close()
        return {"wall": watch.wall, "cpu": watch.cpu}

    return measure


def park(bench: Bench, runs: int, count: int, at_once: int = 2000) -> None:
    for low in range(0, runs, at_once):
        for _ in range(min(at_once, runs - low)):
            bench.asked("parked", count)
        bench.host.pump()


def floor_reopening(floor: ModuleType, runs: int, count: int) -> Callable[[str], Figures]:
    def measure(path: str) -> Figures:
        engine = floor.Engine(path, "WAL/OFF")
        for _ in range(runs):
            engine.start(floor.wf_wait, count)
        engine.run()
        engine.db.close()
        del engine
        live, rows, before = [], [], None
        with Stopwatch() as watch:
            engine = floor.Engine(path, MODE)
            for key, *row in engine.db.execute("SELECT wf,seq,kind,data FROM ev WHERE wf IN (SELECT id FROM wf WHERE state=1) ORDER BY wf,seq"):
                if key != before:
                    if rows:
                        live.append(engine.replay(floor.wf_wait, before, rows))
                    before, rows = key, []
                rows.append(row)
            live.append(engine.replay(floor.wf_wait, before, rows))
        assert len(live) == runs and all(live)
        engine.db.close()
        return {"wall": watch.wall, "cpu": watch.cpu}

    return measure


# --- beside a computing cell --------------------------------------------------------------------------------------------


def burn(until: float) -> int:
    """Keep this thread computing in Python, as a cell does; how much it got done."""
    rounds = 0
    while time.perf_counter() < until:
        sum(k * k for k in range(200))
        rounds += 1
    return rounds


@contextmanager
def switching(interval: float) -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(interval)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def beside_burning(interval: float, seconds: float) -> Callable[[str], Figures]:
    """Steps/s of one run, its activities inline on the engine's thread, while the main thread computes."""

    def measure(path: str) -> Figures:
        made: list[Bench] = []

        def make() -> Engine:
            bench = Bench(path)
            bench.start("empty")
            made.append(bench)
            return bench.engine

        host = ThreadHost(make)
        engine = host.engine
        try:
            with switching(interval):
                alone = burn(time.perf_counter() + seconds / 4) * 4
                host.ask(Call("start", StartRequest("steps", made[0].values.encode_args((10_000_000,), {}), python=PYTHON)))
                before = engine.commits
                rounds = burn(time.perf_counter() + seconds)
                commits = engine.commits - before
        finally:
            host.close()
        return {"wall": commits / seconds, "cell_slowed_percent": 100 * (1 - rounds / alone)}

    return measure


def floor_beside_burning(floor: ModuleType, interval: float, seconds: float) -> Callable[[str], Figures]:
    def measure(path: str) -> Figures:
        engine = floor.Engine(path, MODE)
        stop = threading.Event()

        async def program() -> None:
            k = 0
            while not stop.is_set():
                k += 1
                await floor.Step(floor.work, (k,))

        engine.start(program)
        thread = threading.Thread(target=engine.run, daemon=True)
        with switching(interval):
            thread.start()
            before = engine.commits
            burn(time.perf_counter() + seconds)
            commits = engine.commits - before
            stop.set()
        thread.join()
        engine.db.close()
        return {"wall": commits / seconds}

    return measure


# --- memory, frames, imports: each in a process of its own ------------------------------------------------


IMPORT = """
import json, os, sys, tempfile, time
began = time.perf_counter()
import aionlab
imported = time.perf_counter() - began
lazy = [name for name in ("pandas", "ipywidgets", "IPython", "numpy") if name in sys.modules]
with tempfile.TemporaryDirectory() as folder:
    os.environ["JUPYTER_DATA_DIR"] = folder
    began = time.perf_counter()
    lab = aionlab.open(os.path.join(folder, "lab.db"))
    opened = time.perf_counter() - began
    lazy += [name for name in ("pandas", "ipywidgets", "IPython", "numpy") if name in sys.modules]
    lab.close()
print(json.dumps({"import_ms": imported * 1e3, "import_and_open_ms": (imported + opened) * 1e3, "heavy_modules": len(lazy)}))
"""


def importing(path: str) -> Figures:
    """A fresh interpreter: how long `import aionlab` takes, with a lab opened on top, and how many heavy modules came along."""
    answer = subprocess.run([sys.executable, "-c", IMPORT], check=True, stdout=subprocess.PIPE, cwd=CHECKOUT)
    figures: Figures = json.loads(answer.stdout)
    return figures


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def parked_bytes(runs: int, traced: bool) -> Callable[[str], Figures]:
    """Bytes a resident run takes while it waits for a signal. Traced: what Python allocated; otherwise: what the process grew by."""

    def measure(path: str) -> Figures:
        import tracemalloc

        with opened(Bench(path, "OFF")) as bench:
            park(bench, 2000, 0)
            bench.store.checkpoint()  # type: ignore[attr-defined]
            gc.collect()
            if traced:
                tracemalloc.start()
            before = tracemalloc.get_traced_memory()[0] if traced else resident_bytes()
            park(bench, runs, 0)
            gc.collect()
            after = tracemalloc.get_traced_memory()[0] if traced else resident_bytes()
            tracemalloc.stop()
            assert len(bench.engine.registry) == runs + 2000
        return {"bytes": (after - before) / runs}

    return measure


def floor_parked_bytes(floor: ModuleType, runs: int) -> Callable[[str], Figures]:
    def measure(path: str) -> Figures:
        engine = floor.Engine(path, "WAL/OFF")

        def fill(count: int) -> None:
            for low in range(0, count, 2000):
                for _ in range(min(2000, count - low)):
                    engine.start(floor.wf_wait, 0)
                engine.run()

        fill(2000)
        gc.collect()
        before = resident_bytes()
        fill(runs)
        gc.collect()
        return {"bytes": (resident_bytes() - before) / runs}

    return measure


def frames(events: int) -> Callable[[str], Figures]:
    """One history of so many events as a frame: made from events in memory, and from the file."""

    def measure(path: str) -> Figures:
        from aionlab.core.codec import pack
        from aionlab.testing.conformance import first
        from aionlab.views.frames import events_frame

        store = SqliteStore.open(path, synchronous="OFF")
        store.commit(first())
        payload = e.Payload(b'{"x":12345,"pad":"' + PADDING.encode() + b'"}')
        seq = 1
        while seq < events:
            rows = []
            for _ in range(1000):
                number = seq // 3
                for event in (
                    e.ActivityScheduled(number, "work", e.Payload(b"[1]")), e.ActivityStarted(number), e.ActivityCompleted(number, payload),
                ):  # fmt: skip
                    seq += 1
                    rows.append((1, seq, 1, Micros(1_700_000_000_000_000 + seq), pack(event)[0], 2, *pack(event)[1:]))
            store.commit(Batch(rows=rows, expected={1: seq - len(rows)}))
        name = store.ids()[0]
        events_frame(store.read(name)[:1])  # imports pandas
        with Stopwatch() as reading:
            recorded = store.read(name)
        with Stopwatch() as framing:
            frame = events_frame(recorded)
        assert len(frame) == len(recorded)
        store.close()
        scale = 1_000_000 / len(recorded)
        return {"frame_s": framing.wall * scale, "read_s": reading.wall * scale, "cpu": (framing.cpu + reading.cpu) * scale}

    return measure


