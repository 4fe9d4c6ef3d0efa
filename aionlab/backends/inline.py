"""Runs each attempt at once, on the engine's own thread: for tests, the simulator, and places without threads."""
from __future__ import annotations

import asyncio
from asyncio import events
from collections.abc import Callable

from aionlab.core.ports import Attempt, Finished, Missing

from .attempts import Lookup, find, run_async, run_sync


class InlineExecutor:
    """An async activity that never really waits costs no event loop; one that does gets a private one."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    def submit(self, attempt: Attempt, done: Callable[[Finished | Missing], None]) -> None:
        code = find(self._lookup, attempt)
        if isinstance(code, Missing):
            done(code)
        elif not code.is_async:
            done(run_sync(attempt, code))
        else:
            coro = run_async(attempt, code)
            try:
                coro.send(None)
            except StopIteration as end:
                done(end.value)
            else:
                coro.close()
                done(_in_private_loop(run_async(attempt, code)))

    def cancel(self, run_key: int, activity_id: int) -> None:
        """Nothing runs beside the engine, so there is nothing to stop."""

    def close(self) -> None:
        pass


def _in_private_loop(coro: object) -> Finished:
    outer = events._get_running_loop()
    events._set_running_loop(None)
    try:
        return asyncio.run(coro)  # type: ignore[arg-type]  # the coroutine of run_async
    finally:
        events._set_running_loop(outer)
