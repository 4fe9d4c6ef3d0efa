"""Runs each attempt at once, on the engine's own thread: for tests, the simulator, and places without threads."""
from __future__ import annotations

import asyncio
import dis
import threading
from asyncio import events
from collections.abc import Callable, Coroutine
from functools import lru_cache
from types import CodeType
from typing import Any

from aionlab.core.ports import Attempt, Beat, Done, Finished, Missing

from .attempts import Lookup, Pulse, find, interrupted, run_async, run_sync

_WAITS = frozenset({"GET_AWAITABLE", "GET_ANEXT", "SEND"})


@lru_cache(maxsize=1024)
def never_waits(code: CodeType | None) -> bool:
    """Whether a function's own code has no await in it: it runs through in one go, and needs no task of a loop, which cost more than all the
    rest of a short activity."""
    return code is not None and not any(instruction.opname in _WAITS for instruction in dis.get_instructions(code))


class InlineExecutor:
    """Async activities get a private event loop, made when the first one comes."""

    beats = True

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._loop: asyncio.AbstractEventLoop | None = None

    def submit(self, attempt: Attempt, done: Done, beat: Beat | None = None) -> None:
        code = find(self._lookup, attempt)
        if isinstance(code, Missing):
            done(code)
            return
        pulse = Pulse(attempt, beat)
        try:
            report = self._wait_for(run_async(attempt, code, pulse), code.function) if code.is_async else run_sync(attempt, code, pulse)
        except KeyboardInterrupt:
            done(interrupted(attempt))
            if threading.current_thread() is threading.main_thread():
                raise  # it is the caller's, in whose call this attempt is made
        else:
            done(report)

    def _wait_for(self, coro: Coroutine[Any, Any, Finished], function: Callable[..., Any]) -> Finished:
        """The coroutine's result; the thread may be that of another loop, which waits."""
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.new_event_loop()
        outer = events._get_running_loop()
        at_once = never_waits(getattr(function, "__code__", None))
        events._set_running_loop(loop if at_once else None)
        try:
            if at_once:
                try:
                    coro.send(None)
                except StopIteration as end:
                    report: Finished = end.value
                    return report
            return loop.run_until_complete(coro)
        finally:
            events._set_running_loop(outer)

    def cancel(self, run_key: int, activity_id: int) -> None:
        """Nothing runs beside the engine, so there is nothing to stop."""

    def close(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.close()
