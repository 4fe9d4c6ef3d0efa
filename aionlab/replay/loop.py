"""A deterministic asyncio event loop for one run: the only place where asyncio's machinery meets a workflow.

Nothing here waits. Callbacks run in the order they were scheduled until none is left (`drain`); time is that of the last event the
code has consumed; timers are asked for through `_timer_asked` and fire when the engine says so. Tasks and futures hash by (seed,
ordinal), so sets of them iterate in the same order on every replay. All tasks are held strongly and closed by `close`, under a
loop that refuses every request: user code never runs from the garbage collector.
"""
from __future__ import annotations

import asyncio
import contextvars
import sys
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from aionlab.core.clock import Micros

_MIX = 0x9E3779B97F4A7C15
_MASK = (1 << 61) - 1
_PATIENCE = 50
_FARTHEST = 100_000_000_000_000_000
"""Microseconds a timer may lie ahead, about 3,000 years, as for any duration."""
_leaked: list[object] = []
"""Coroutines that would not close: kept for ever, because collecting them would run user code."""


class RunDropped(BaseException):
    """Raised into user code that asks for something while its run is being dropped from memory."""


class WorkflowFuture(asyncio.Future[Any]):
    """A future that hashes the same on every replay."""

    __slots__ = ("_order",)

    def __init__(self, loop: WorkflowLoop) -> None:
        loop._orders = order = loop._orders + 1  # next_order, without the call
        self._order = (loop._seed + order * _MIX) & _MASK
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._order


class WorkflowTask(asyncio.Task[Any]):
    """A task that hashes the same on every replay."""

    __slots__ = ("_order",)

    def __init__(self, coro: Coroutine[Any, Any, Any], loop: WorkflowLoop, name: str, context: contextvars.Context | None) -> None:
        self._order = loop.next_order()
        super().__init__(coro, loop=loop, name=name, context=context)

    def __hash__(self) -> int:
        return self._order


class DurableTimer(asyncio.TimerHandle):
    """A `call_later` that survives: `timer_id` once it is numbered, None before."""

    __slots__ = ("fire_at", "fired", "summary", "timer_id")

    def __init__(
        self, fire_at: Micros, callback: Callable[..., object], args: tuple[Any, ...], loop: WorkflowLoop, context: contextvars.Context | None
    ) -> None:
        super().__init__(fire_at / 1_000_000, callback, args, loop, context)
        self.fire_at = fire_at
        self.timer_id: int | None = None
        self.fired = False
        self.summary: str | None = None


class _Entered:
    """What `WorkflowLoop.entered` gives; a class, because a generator costs twice as much."""

    __slots__ = ("_hooks", "_loop", "_outer")

    def __init__(self, loop: WorkflowLoop) -> None:
        self._loop = loop

    def __enter__(self) -> None:
        self._outer = events._get_running_loop()
        self._hooks = sys.get_asyncgen_hooks()
        events._set_running_loop(self._loop)
        sys.set_asyncgen_hooks(self._loop._generator_began, _generator_dropped)

    def __exit__(self, *_: object) -> None:
        sys.set_asyncgen_hooks(*self._hooks)
        events._set_running_loop(self._outer)


class Callback(asyncio.Handle):
    """A handle made without asking the loop whether it debugs."""

    __slots__ = ()

    def __init__(self, callback: Callable[..., object], args: tuple[Any, ...], loop: WorkflowLoop, context: contextvars.Context | None) -> None:
        self._context = contextvars.copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = self._source_traceback = None


class WorkflowLoop(asyncio.AbstractEventLoop):
    """One run's loop. `drain` runs it to quiescence."""

    __slots__ = ("_children", "_factory", "_generators", "_names", "_now", "_orders", "_ready", "_refusals", "_seed", "closing", "main")

    def __init__(self, seed: int, now: Micros, ready: deque[asyncio.Handle]) -> None:
        self._seed = seed
        self._now = now
        self._ready = ready
        """Shared by all runs of an engine: it is empty whenever no run is being stepped."""
        self._orders = 0
        self._names = 0
        self._factory: Callable[..., asyncio.Future[Any]] | None = None
        self._children: list[asyncio.Task[Any]] | None = None
        self._generators: list[Any] | None = None
        self._refusals = 0
        self.closing: bool | Callable[[], bool] = False
        """Whether the run is being dropped; the function says whether the time for it is over."""
        self.main: WorkflowTask | None = None

    # --- what asyncio and libraries ask of a loop -----------------------------------------------------------------------

    def time(self) -> float:
        """Seconds since the epoch, as of the last event the code has consumed."""
        return self._now / 1_000_000

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None) -> asyncio.TimerHandle:  # type: ignore[override]
        return self._call_at(Micros(self._now + round(delay * 1_000_000)), callback, args, context)

    def call_at(self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None) -> asyncio.TimerHandle:  # type: ignore[override]
        return self._call_at(Micros(round(when * 1_000_000)), callback, args, context)

    def _call_at(
        self, fire_at: Micros, callback: Callable[..., object], args: tuple[Any, ...], context: contextvars.Context | None
    ) -> DurableTimer:
        if self.closing:
            self._refuse()
        timer = DurableTimer(fire_at, callback, args, self, context)
        if fire_at <= self._now:
            timer.fired = True
            self._ready.append(timer)
        elif fire_at - self._now > _FARTHEST:
            raise OverflowError("a timer more than 3,000 years ahead: to wait for ever, await an event or a signal that never comes")
        else:
            self._timer_asked(timer)
        return timer

    def _timer_handle_cancelled(self, timer: DurableTimer) -> None:
        """asyncio's own hook, called by `TimerHandle.cancel`."""
        if not timer.fired and not self.closing:
            self._timer_cancelled(timer)

    def create_future(self) -> WorkflowFuture:
        if self.closing:
            self._refuse()
        return WorkflowFuture(self)

    def create_task(self, coro: Any, *, name: object = None, context: contextvars.Context | None = None, **options: Any) -> Any:
        if self.closing:
            if hasattr(coro, "close"):
                coro.close()
            self._refuse()
            return WorkflowFuture(self)
        if self._factory is not None:
            options = {**options, "context": context} if context is not None else options
            task = self._factory(self, coro, **options)
            if name is not None and hasattr(task, "set_name"):
                task.set_name(name)
        else:
            self._names += 1
            task = WorkflowTask(coro, self, f"task-{self._names}" if name is None else str(name), context)
        if isinstance(task, asyncio.Task):
            self._hold(task)
        return task

    def _hold(self, task: asyncio.Task[Any]) -> None:
        children = self._children
        if children is None:
            self._children = [task]
        else:
            children.append(task)
            if len(children) > 64 and len(children) & (len(children) - 1) == 0:
                self._children = [child for child in children if not child.done()]

    def set_task_factory(self, factory: Any) -> None:
        self._factory = factory

    def get_task_factory(self) -> Any:
        return self._factory

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return bool(self.closing)

    def get_debug(self) -> bool:
        return False

    def set_debug(self, enabled: bool) -> None:
        """asyncio's debug mode has no meaning here."""

    def get_exception_handler(self) -> None:
        return None

    def set_exception_handler(self, handler: Any) -> None:
        """Failures of callbacks are the run's failures; there is nothing to handle them with."""

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.call_exception_handler(context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Called by asyncio for exceptions nobody retrieved; on replay it would only repeat itself."""

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None) -> NoReturn:  # type: ignore[override]
        raise RuntimeError("a workflow's loop takes nothing from other threads: put the work in an activity, or send a signal")

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> NoReturn:  # type: ignore[override]
        raise RuntimeError("workflow code cannot use threads (asyncio.to_thread, run_in_executor): make the function an @activity")

    def _outside(self, *args: Any, **options: Any) -> NoReturn:
        raise RuntimeError("workflow code cannot use sockets, pipes or other programs: what reaches outside is an @activity")

    create_connection = create_datagram_endpoint = create_server = create_unix_connection = create_unix_server = _outside
    connect_read_pipe = connect_write_pipe = subprocess_exec = subprocess_shell = getaddrinfo = getnameinfo = _outside
    add_reader = add_writer = add_signal_handler = sock_connect = sock_accept = sock_recv = sock_sendall = _outside  # type: ignore[assignment]  # one refusal for all

    def run_until_complete(self, future: Any) -> NoReturn:
        raise RuntimeError("this loop is already running a workflow: use await")

    def run_forever(self) -> NoReturn:
        raise RuntimeError("this loop is already running a workflow: use await")

    def stop(self) -> NoReturn:
        raise RuntimeError("a workflow ends by returning or raising, not by stopping its loop")

    # --- what the process adds ------------------------------------------------------------------------------------------

    def _timer_asked(self, timer: DurableTimer) -> None:
        raise NotImplementedError

    def _timer_cancelled(self, timer: DurableTimer) -> None:
        raise NotImplementedError

    def _lingers(self) -> bool:
        """Whether the loop runs to quiescence although the main task is done."""
        return False

    # --- running --------------------------------------------------------------------------------------------------------

    def next_order(self) -> int:
        self._orders = order = self._orders + 1
        return (self._seed + order * _MIX) & _MASK

    def entered(self) -> _Entered:
        """This loop as the thread's running loop, with its own async-generator hooks; what was there before comes back."""
        return _Entered(self)

    def drain(self) -> None:
        """Run callbacks until none is left or the main task is done; the rest is dropped then."""
        ready = self._ready
        main = self.main
        outer = events._get_running_loop()
        hooks = sys.get_asyncgen_hooks()
        events._set_running_loop(self)
        sys.set_asyncgen_hooks(self._generator_began, _generator_dropped)
        try:
            while ready:
                handle: Any = ready.popleft()
                if not handle._cancelled:  # Handle.cancelled() costs a call for each callback, and so does Handle._run()
                    try:
                        handle._context.run(handle._callback, *handle._args)
                    except (SystemExit, KeyboardInterrupt):
                        # asyncio re-raises these after it has put them on the task, where the run's outcome finds them.
                        self._stopped()
                    except BaseException as error:  # noqa: BLE001 - as in Handle._run
                        self.call_exception_handler({"exception": error, "handle": handle})
                if ready and main is not None and main.done() and not self._lingers():
                    ready.clear()
        finally:
            ready.clear()
            sys.set_asyncgen_hooks(*hooks)
            events._set_running_loop(outer)

    def _stopped(self) -> None:
        """A task raised SystemExit or KeyboardInterrupt."""

    def close(self, late: Callable[[], bool] | None = None) -> None:
        """Close every coroutine of the run now, in order of creation; what asks for anything meanwhile gets RunDropped. Code that refuses
        to end is left behind, at the latest when its time is over (`late`)."""
        if self.closing:
            return
        self.closing = late or True
        tasks: list[asyncio.Task[Any]] = [*([self.main] if self.main is not None else []), *(self._children or [])]
        self._children = None
        generators, self._generators = self._generators, None
        with self.entered():
            for task in tasks:
                task._log_destroy_pending = False  # type: ignore[attr-defined]  # asyncio's switch for "destroyed but pending"
                if not task.done():
                    coro: Any = task.get_coro()
                    self._within(_unwind, coro, coro.throw, late)
            for generator in generators or ():
                if generator.ag_frame is not None:
                    self._within(_unwind, generator, generator.aclose().throw, late)
        self._ready.clear()

    def _within(self, act: Callable[..., object], *args: object) -> None:
        """Act with what the run's code knows itself by, so that its cleanup meets this loop and not the outside world."""
        act(*args)

    def _refuse(self) -> None:
        """While closing: refuse, but not for ever. Code that catches everything and asks again is let through to its next await, where
        `close` gives it up as leaked; what it asked for goes nowhere."""
        self._refusals += 1
        if self._refusals <= _PATIENCE and (self.closing is True or not self.closing()):  # type: ignore[operator]  # a function while closing
            raise RunDropped

    def _generator_began(self, generator: Any) -> None:
        generators = self._generators
        if generators is None:
            self._generators = [generator]
        else:
            generators.append(generator)
            if len(generators) > 64 and len(generators) & (len(generators) - 1) == 0:
                self._generators = [g for g in generators if g.ag_frame is not None]


def _generator_dropped(generator: Any) -> None:
    """Async generators are held until the run ends, so nothing reaches this hook but those of a closed run."""
    _leaked.append(generator)


def _unwind(owner: object, throw: Callable[[BaseException], object], late: Callable[[], bool] | None = None) -> None:
    """Raise RunDropped into suspended code until it has ended. Unlike `close()` this reaches async generators that are waited for, and code
    that awaits again on its way out stays in one piece: no part of it is left to the garbage collector."""
    try:
        for _ in range(_PATIENCE):
            throw(RunDropped())
            if late is not None and late():
                break
    except BaseException:  # noqa: BLE001 - whatever a user's `finally` raises while the run is dropped has no one to go to
        return
    _leaked.append(owner)
