"""The engine on a thread of its own: many callers, interrupted callers, closing, forking, and exceptions it must survive."""
from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from aionlab import activity, workflow
from aionlab.app.clocks import CountedIds, RealClock, VirtualClock
from aionlab.app.hosts import ThreadHost
from aionlab.backends.attempts import NamesMissing
from aionlab.backends.threads import ThreadExecutor
from aionlab.core import errors
from aionlab.core import events as e
from aionlab.engine.api import VERBS
from aionlab.engine.call import Call
from aionlab.engine.engine import Engine
from aionlab.engine.lifecycle.start import StartRequest
from aionlab.store.memory import MemoryStore
from aionlab.store.sqlite import SqliteStore
from aionlab.testing.faults import FaultyStore
from aionlab.testing.workbench import Workbench
from tests.engine import programs


class Bench:
    """What a lab does, over a ThreadHost."""

    def __init__(self, make_store: Callable[[], Any] = MemoryStore, clock: Any = None) -> None:
        self.shelf = Workbench()
        programs.define(self.shelf)
        self.values = self.shelf.values
        self.store: Any = None
        self.clock = clock or RealClock()
        self.make_store = make_store
        self.host = ThreadHost(self.make)

    def make(self) -> Engine:
        self.store = FaultyStore(self.make_store())
        engine = Engine(self.store, self.clock, CountedIds(), ThreadExecutor(self.lookup, 4), VERBS, load=self.shelf.load)
        for code in self.shelf.codes.values():
            engine.catalog.add(code)
        return engine

    def lookup(self, name: str) -> Any:
        if name not in self.shelf.functions:
            raise NamesMissing((name,))
        return self.shelf.functions[name]

    def workflow(self, fn: Any) -> None:
        self.call("define", self.shelf.workflow(fn))

    def call(self, verb: str, *arguments: Any) -> Any:
        call = self.host.ask(Call(verb, *arguments))
        assert self.host.wait(call, 20), f"{verb} has no answer"
        return call.outcome()

    def start(self, name: str, *args: Any, id: str, key: str | None = None) -> None:  # noqa: A002 - the word of the API
        self.call("start", StartRequest(name, self.values.encode_args(args, {}), workflow_id=id, idempotency_key=key))

    def signal(self, workflow_id: str, name: str, value: Any = None, key: str | None = None) -> bool:
        return bool(self.call("signal", workflow_id, name, self.values.encode(value), None, key))

    def result(self, workflow_id: str) -> Any:
        outcome = self.call("result", workflow_id)[2]
        assert isinstance(outcome, e.WorkflowCompleted), outcome
        return self.values.decode(outcome.result)

    def alive(self) -> bool:
        """Whether a whole run still goes through."""
        name = f"probe-{threading.get_ident()}-{self.host.beats}"
        self.start("three", id=name)
        return bool(self.result(name) == 12)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.host.close()


def in_threads(count: int, work: Callable[[int], None]) -> None:
    failed: list[BaseException] = []

    def guarded(n: int) -> None:
        try:
            work(n)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failed, failed
    assert not any(thread.is_alive() for thread in threads)


def test_calls_from_many_threads(bench: Bench) -> None:
    def work(n: int) -> None:
        for k in range(10):
            name = f"w{n}-{k}"
            bench.start("order", n, id=name)
            bench.signal(name, "approval", k)
            assert bench.result(name) == f"{2 * n} by {k}, box shipped"

    in_threads(16, work)
    assert bench.call("registry") == []
    assert all([r.seq for r in bench.call("history", f"w{n}-9")[1]] == list(range(1, 10)) for n in range(16))


def test_every_verb_from_many_threads_at_once(bench: Bench) -> None:
    """With a switch interval that makes races likely; nothing but typed errors comes of it."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    payload = bench.values.encode(1)

    def work(n: int) -> None:
        for k in range(15):
            name = f"w{(n + k) % 5}"
            verbs: list[tuple[Any, ...]] = [
                ("start", StartRequest("listener", bench.values.encode_args(("x", 3), {}), workflow_id=name)), ("signal", name, "x", payload),
                ("query", name, "n", b"[]"), ("pause", name), ("resume", name), ("suspend", name), ("history", name), ("registry",), ("tree",),
                ("progress",), ("stack", name), ("cancel", name), ("terminate", name), ("runs",), ("kill", n + k), ("retry", name),
            ]  # fmt: skip
            for verb, *arguments in verbs[n % 3 :]:
                try:
                    bench.call(verb, *arguments)
                except errors.AionError:
                    pass

    try:
        in_threads(8, work)
    finally:
        sys.setswitchinterval(interval)
    assert bench.alive()
    for row in bench.call("runs"):
        kinds = [type(r.event) in e.TERMINAL for r in bench.call("history", row.workflow_id, row.run_id)[1]]
        assert sum(kinds) == row.status.closed and not any(kinds[:-1])


def test_sync_and_async_activities_run_beside_the_engine(bench: Bench) -> None:
    gate = threading.Event()

    @activity
    def blocking(n: int) -> tuple[int, bool]:
        assert gate.wait(20)
        return n, threading.current_thread().name.startswith("aion-activity")

    @activity
    async def waiting(n: int) -> tuple[int, str]:
        while not gate.is_set():
            await asyncio.sleep(0.001)
        return n, threading.current_thread().name

    async def both() -> list[Any]:
        return list(await asyncio.gather(*(blocking(n) for n in range(3)), *(waiting(n) for n in range(3))))

    for act in (blocking, waiting):
        bench.shelf.activity(act)
    bench.workflow(both)
    bench.start("both", id="w")
    assert bench.alive()  # four workers are there, three are held
    gate.set()
    assert bench.result("w") == [(0, True), (1, True), (2, True), (0, "aion-asyncio"), (1, "aion-asyncio"), (2, "aion-asyncio")]


def test_an_async_activity_is_cancelled_with_its_run(bench: Bench) -> None:
    began, ended = threading.Event(), threading.Event()

    @activity
    async def endless() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def waits() -> None:
        await endless()

    bench.shelf.activity(endless)
    bench.workflow(waits)
    bench.start("waits", id="w")
    assert began.wait(20)
    bench.call("terminate", "w")
    assert ended.wait(20) and bench.alive()


@pytest.mark.parametrize("error", [SystemExit(1), GeneratorExit(), asyncio.CancelledError()], ids=repr)
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_activities_that_raise_anything(bench: Bench, error: BaseException, kind: str) -> None:
    def sync() -> None:
        raise error

    async def late() -> None:
        raise error

    act = activity(name="raising")(sync if kind == "sync" else late)

    async def calling() -> str:
        try:
            await act()
        except errors.ActivityError as failure:
            return failure.failure.name
        return "?"

    bench.shelf.activity(act)
    bench.workflow(calling)
    bench.start("calling", id="w")
    assert bench.result("w") == type(error).__name__ and bench.alive()


# --- interrupts --------------------------------------------------------------------------------------------------------


class Storm:
    """KeyboardInterrupt in the main thread, again and again, whenever it is in our code; at most five times for one act, so that a slow
    machine comes through."""

    def __init__(self, every: float = 0.0007) -> None:
        self.every, self.count, self.left = every, 0, 5

    def _strike(self, number: int, frame: object) -> None:
        where: Any = frame
        while where is not None and os.sep + "aionlab" + os.sep not in where.f_code.co_filename:
            where = where.f_back
        if where is not None and self.left:
            self.count, self.left = self.count + 1, self.left - 1
            raise KeyboardInterrupt

    def insist(self, act: Callable[[], Any]) -> Any:
        """Do it until it comes through uninterrupted."""
        self.left = 5
        while True:
            try:
                return act()
            except KeyboardInterrupt:
                continue

    def _blow(self) -> None:
        main = threading.main_thread().ident
        assert main is not None
        while not self._over.wait(self.every):
            signal.pthread_kill(main, signal.SIGUSR1)

    def __enter__(self) -> Storm:
        self._before = signal.signal(signal.SIGUSR1, self._strike)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._blow)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        signal.signal(signal.SIGUSR1, self._before)


def test_a_storm_of_interrupts_loses_and_doubles_nothing(bench: Bench) -> None:
    count = 500
    bench.start("listener", "x", count, id="w")
    with Storm() as storm:
        for n in range(count):
            storm.insist(lambda n=n: bench.signal("w", "x", n, f"k{n}"))
    assert storm.count > 10
    assert bench.result("w") == list(range(count))
    assert sum(isinstance(r.event, e.SignalReceived) for r in bench.call("history", "w")[1]) == count and bench.alive()


def test_a_storm_of_interrupts_while_starting(bench: Bench) -> None:
    with Storm() as storm:
        for n in range(300):
            storm.insist(lambda n=n: bench.start("order", n, id=f"w{n}", key=f"start {n}"))
    assert storm.count > 5 and len(bench.call("runs")) == 300
    for n in range(300):
        bench.signal(f"w{n}", "approval", "x")
        assert bench.result(f"w{n}") == f"{2 * n} by x, box shipped"


def test_an_interrupt_at_every_line_of_a_call(bench: Bench) -> None:
    """Found by it: an interrupt inside `Thread.is_alive` makes a living thread count as dead for ever."""
    bench.start("listener", "x", 1000, id="w")
    sent, tracing = 0, sys.gettrace()
    for at in range(1, 1000):
        lines = 0

        def strike(frame: Any, event: str, arg: object, at: int = at) -> Any:
            nonlocal lines
            if event == "line":
                lines += 1
                if lines == at:
                    raise KeyboardInterrupt
            return strike

        sent += 1
        sys.settrace(strike)
        try:
            bench.signal("w", "x", sent, f"k{sent}")
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(tracing)
        if lines < at:
            break
        bench.signal("w", "x", sent, f"k{sent}")
    assert 10 < sent < 999 and bench.host.alive
    assert [bench.values.decode(r.event.payload) for r in bench.call("history", "w")[1] if isinstance(r.event, e.SignalReceived)] == list(
        range(1, sent + 1)
    )


def test_an_interrupted_wait_can_be_taken_up_again(bench: Bench) -> None:
    bench.start("listener", "x", 1, id="w")
    call = bench.host.ask(Call("result", "w"))
    with Storm(0.002), pytest.raises(KeyboardInterrupt):
        bench.host.wait(call)
    assert not call.poll()
    bench.signal("w", "x", 1)
    assert bench.host.wait(call, 20) and call.outcome()[0] == "w"


def test_answers_are_not_lost_to_an_interrupt_between_polls(bench: Bench) -> None:
    calls = [bench.host.ask(Call("now")) for _ in range(300)]
    with Storm(0.0003) as storm:
        answers = [storm.insist(lambda call=call: bench.host.wait(call, 20) and call.outcome()) for call in calls]
    assert all(type(answer) is int for answer in answers)


@pytest.mark.filterwarnings("error")
def test_a_call_is_withdrawn_or_carried_out_never_both(bench: Bench) -> None:
    withdrawn = 0
    bench.start("listener", "x", 10_000, id="w")
    calls = []
    for n in range(500):
        call = bench.host.ask(Call("signal", "w", "x", bench.values.encode(n)))
        calls.append(call)
        withdrawn += call.withdraw()
    recorded = sum(isinstance(r.event, e.SignalReceived) for r in bench.call("history", "w")[1])
    assert recorded + withdrawn == 500
    assert sum(call.poll() for call in calls) == recorded


def test_an_exception_thrown_into_the_engines_thread_is_survived(bench: Bench) -> None:
    """What a watchdog does to a run that will not end."""
    entered = threading.Event()

    async def spinning() -> str:
        try:
            while True:
                entered.set()
        except KeyboardInterrupt:
            return "stopped"

    bench.workflow(spinning)
    call = bench.host.ask(Call("start", StartRequest("spinning", b"[]", workflow_id="w")))
    assert entered.wait(20)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(bench.host._thread.ident), ctypes.py_object(KeyboardInterrupt))
    assert bench.host.wait(call, 20)
    assert bench.host.alive and bench.alive()


# --- what the thread survives ------------------------------------------------------------------------------------------


def test_listeners_stores_and_verbs_that_raise(bench: Bench) -> None:
    def bad(recorded: Any) -> None:
        raise SystemExit(1)

    bench.host.engine.listeners.append(bad)
    bench.host.engine.verbs = {**VERBS, "defect": lambda engine: 1 / 0, "exit": lambda engine: sys.exit(1)}
    with pytest.raises(ZeroDivisionError):
        bench.call("defect")
    exiting = bench.host.ask(Call("exit"))
    assert bench.host.wait(exiting, 20)
    with pytest.raises((errors.StoreError, SystemExit)):
        exiting.outcome()
    assert bench.alive()
    rests = []

    def rest() -> None:
        rests.append(1)
        raise OSError("no upkeep today")

    bench.store.rest = rest
    assert bench.alive() and bench.host.alive


def test_a_store_that_goes_away_and_comes_back(bench: Bench) -> None:
    bench.start("listener", "x", 1, id="w")
    waiting = bench.host.ask(Call("result", "w"))
    bench.store.down = lambda: errors.StoreUnavailable("away")
    with pytest.raises(errors.StoreUnavailable):
        bench.signal("w", "x", 1)
    bench.store.down = None
    while True:
        try:
            bench.signal("w", "x", 2, "k")
            break
        except errors.StoreUnavailable:
            continue
    assert bench.host.wait(waiting, 20) and bench.values.decode(waiting.outcome()[2].result) == [2]


def test_timers_run_on_the_real_clock(bench: Bench) -> None:
    bench.start("sleeper", 0.02, id="w")
    assert bench.result("w") == "woke"
    started, fired = (r for r in bench.call("history", "w")[1] if isinstance(r.event, e.TimerStarted | e.TimerFired))
    assert fired.at >= started.event.fire_at


def test_a_virtual_clock_waits_for_activities_in_their_threads() -> None:
    bench = Bench(clock=VirtualClock(auto=True))
    try:
        gate = threading.Event()

        @activity
        def slow() -> str:
            assert gate.wait(20)
            return "first"

        async def race() -> str:
            try:
                return await asyncio.wait_for(slow(), 3600)
            except TimeoutError:
                return "late"

        bench.shelf.activity(slow)
        bench.workflow(race)
        bench.start("race", id="w")
        bench.start("sleeper", 10, id="s")
        assert bench.call("entry", "s") is not None
        gate.set()
        assert bench.result("w") == "first" and bench.result("s") == "woke"
    finally:
        bench.host.close()


# --- opening, closing, forking -----------------------------------------------------------------------------------------


def test_what_making_the_engine_raises_is_raised_to_the_opener() -> None:
    def broken() -> Engine:
        raise errors.StoreLocked("lab.db", "another kernel")

    with pytest.raises(errors.StoreLocked):
        ThreadHost(broken)


def test_closing_twice_and_calling_afterwards() -> None:
    bench = Bench()
    bench.start("order", id="w")
    waiting = bench.host.ask(Call("result", "w"))
    bench.host.close()
    bench.host.close()
    assert not bench.host.alive
    with pytest.raises(errors.StoreUnavailable, match="closed"):
        bench.call("registry")
    with pytest.raises(errors.StoreUnavailable, match="ended"):
        bench.host.wait(waiting)


def test_closing_from_many_threads_while_others_call() -> None:
    bench = Bench()

    def work(n: int) -> None:
        try:
            for k in range(50):
                if n % 4 == 0 and k == 5:
                    bench.host.close()
                bench.start("quick", id=f"w{n}-{k}")
        except errors.StoreUnavailable:
            pass

    in_threads(8, work)
    assert not bench.host.alive


def test_a_clean_close_leaves_the_log_as_a_crash_would(tmp_path: Any) -> None:
    path = tmp_path / "lab.db"
    bench = Bench(lambda: SqliteStore.open(path))
    bench.start("order", 3, id="w")
    bench.start("sleeper", 60, id="s")
    assert bench.alive()
    before = {name: bench.call("history", name)[1] for name in ("w", "s")}
    bench.host.close()
    again = Bench(lambda: SqliteStore.open(path))
    try:
        assert {name: again.call("history", name)[1] for name in ("w", "s")} == before
        again.signal("w", "approval", "ada")
        assert again.result("w") == "6 by ada, box shipped"
    finally:
        again.host.close()


def test_the_switch_interval_is_put_back() -> None:
    before = sys.getswitchinterval()
    first, second = Bench(), Bench()
    assert sys.getswitchinterval() < before
    first.host.close()
    assert sys.getswitchinterval() < before
    second.host.close()
    assert sys.getswitchinterval() == before


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_may_not_touch_the_lab(bench: Bench) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        said = b"?"
        try:
            bench.host.close()
            bench.host.ask(Call("registry"))
        except errors.Fenced:
            said = b"fenced"
        finally:
            os.write(writing, said)
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == b"fenced"
    os.waitpid(child, 0)
    assert bench.alive()


def test_names_of_signals_are_seen_from_outside(bench: Bench) -> None:
    async def naming() -> Any:
        workflow.on_query("q", lambda: 1)
        return await workflow.receive("s")

    bench.workflow(naming)
    bench.start("naming", id="w")
    assert bench.call("names", "w") == (("s",), ("q",))
