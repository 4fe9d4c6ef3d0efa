"""Who drives the engine: a daemon thread of its own, or the caller.

A cell never takes a lock the engine takes: it puts a call on the inbox and waits on a queue of its own in short timed steps, so an
interrupt ends the wait within that step and never touches the engine.
"""
from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Protocol

from aionlab.core.errors import Fenced, StoreUnavailable
from aionlab.engine import heartbeats, processes
from aionlab.engine.call import Call
from aionlab.engine.engine import Engine

log = logging.getLogger("aionlab.engine")
STEP = 0.05
"""Seconds a waiting cell sleeps at most before it looks up."""
_INTERVAL = 0.0005
"""Switch interval while an engine thread runs: beside a computing cell it decides how fast the engine gets the GIL back."""


class Host(Protocol):
    engine: Engine
    threaded: bool
    """Whether the engine works beside the caller; otherwise an interrupt of the caller is one of the engine."""

    def ask(self, call: Call) -> Call:
        """Hand the call in; its answer is waited for with `wait` (or `call.poll`)."""

    def wait(self, call: Call, timeout: float | None = None, tick: Callable[[float], None] | None = None) -> bool:
        """Wait for the answer, at most `timeout` seconds; whether it came. `tick(seconds so far)` is called between the steps."""

    def close(self) -> None: ...


class InlineHost:
    """Turns run inside the calls that need them: no threads. For tests, the simulator and Pyodide."""

    threaded = False

    def __init__(self, engine: Engine, farewell: Callable[[Engine], None] | None = None) -> None:
        self.engine, self._farewell = engine, farewell

    def ask(self, call: Call) -> Call:
        self.engine.submit(call)
        self.pump()
        return call

    def pump(self) -> None:
        """Turns until nothing moves."""
        engine = self.engine
        while engine.turn() and not engine.halted:
            pass

    def wait(self, call: Call, timeout: float | None = None, tick: Callable[[float], None] | None = None) -> bool:
        begun = time.monotonic()
        while not call.poll():
            self.pump()
            if call.poll():
                return True
            seconds = self.engine.wait_seconds()
            so_far = time.monotonic() - begun
            if timeout is not None and so_far >= timeout:
                return False
            if seconds is None and timeout is None and self.engine.clock.virtual:
                return False
            time.sleep(min(STEP, seconds if seconds is not None else STEP))
            if tick is not None:
                tick(so_far)
        return True

    def close(self) -> None:
        _shut(self.engine, self._farewell)


class ThreadHost:
    """The engine on its own daemon thread. Its end is never needed for durability."""

    threaded = True

    def __init__(self, make: Callable[[], Engine], farewell: Callable[[Engine], None] | None = None, name: str = "aion-engine") -> None:
        """`make` builds the engine on its own thread; what it raises is raised here. `farewell` is called there before the store closes."""
        self._farewell = farewell
        self._stopping = self._ended = False
        self._bye: SimpleQueue[None] = SimpleQueue()
        self._pid = os.getpid()
        self.beats = 0
        """Turns begun, for watching that the engine is alive."""
        self._hello: SimpleQueue[Engine | BaseException] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, args=(make,), name=name, daemon=True)
        self._thread.start()
        made: Engine | BaseException | None = None
        while made is None:
            try:
                made = self._hello.get(timeout=STEP)
            except Empty:
                continue
        if isinstance(made, BaseException):
            raise made
        self.engine = made
        _interval(+1)

    @property
    def alive(self) -> bool:
        """Whether the engine's thread goes on. Not asked of the thread: an interrupt inside `Thread.is_alive` declares a living one dead."""
        return not self._ended

    def _run(self, make: Callable[[], Engine]) -> None:
        try:
            self._serve(make)
        finally:
            self._ended = True
            self._bye.put(None)

    def _serve(self, make: Callable[[], Engine]) -> None:
        try:
            engine = make()
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread, which raises it
            self._hello.put(error)
            return
        self._hello.put(engine)
        while not self._stopping:
            self.beats += 1
            try:
                engine.turn(engine.wait_seconds())
                if engine.inbox.empty():
                    engine.rest()
            except BaseException:  # this thread is all the runs there are; nothing that reaches it may end it
                log.exception("a turn was cut short")
                time.sleep(STEP)
        _shut(engine, self._farewell)

    def ask(self, call: Call) -> Call:
        if os.getpid() != self._pid:
            raise Fenced("this process was forked from the one that opened the lab; open the database here (as an observer) instead")
        if self._stopping or self._ended:
            raise StoreUnavailable("the lab is closed; open it again with aionlab.open(…)")
        self.engine.submit(call)
        return call

    def wait(self, call: Call, timeout: float | None = None, tick: Callable[[float], None] | None = None) -> bool:
        begun = time.monotonic()
        while not call.poll(STEP):
            so_far = time.monotonic() - begun
            if timeout is not None and so_far >= timeout:
                return call.poll()
            if self._ended:
                if not call.poll():
                    raise StoreUnavailable("the engine's thread has ended; open the lab again")
                return True
            if tick is not None:
                tick(so_far)
        return True

    def close(self) -> None:
        """Stop after the current turn and let go of the database."""
        if self._stopping or os.getpid() != self._pid:
            return
        self._stopping = True
        self.engine.submit(Call("names", ""))
        try:
            self._bye.get(timeout=10)
        except Empty:
            log.warning("the engine's thread is still busy; it ends after its turn")
        finally:
            _interval(-1)


def _shut(engine: Engine, farewell: Callable[[Engine], None] | None) -> None:
    try:
        engine.executor.close()
        heartbeats.keep(engine)
        for run in engine.registry:
            processes.suspend(engine, run)
        if farewell is not None:
            farewell(engine)
    finally:
        engine.store.close()


_open_hosts = 0
_interval_before = 0.005


def _interval(change: int) -> None:
    """Keep the short switch interval while any engine thread runs, and put back what was there before."""
    global _open_hosts, _interval_before
    if _open_hosts == 0 and change > 0:
        _interval_before = sys.getswitchinterval()
        if _interval_before > _INTERVAL:
            sys.setswitchinterval(_INTERVAL)
    _open_hosts += change
    if _open_hosts == 0:
        sys.setswitchinterval(_interval_before)


