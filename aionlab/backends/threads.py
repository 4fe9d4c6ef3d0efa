"""Sync activities in daemon threads, async ones on one asyncio thread.

Daemon threads on purpose: `concurrent.futures` joins its workers at interpreter exit, so one long activity would keep a kernel from
shutting down. An attempt that is cut off is recorded as begun and runs again at the next open.
"""
from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue

from aionlab.core.ports import Attempt, Finished, Missing

from .attempts import Lookup, Runnable, failed, find, run_async, run_sync

_Work = tuple[Attempt, Runnable, Callable[[Finished | Missing], None]]


class ThreadExecutor:
    """At most `workers` sync attempts at once; more wait in order."""

    def __init__(self, lookup: Lookup, workers: int = 32) -> None:
        self._lookup, self._limit = lookup, workers
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._busy = 0
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: dict[tuple[int, int], asyncio.Task[None]] = {}

    def submit(self, attempt: Attempt, done: Callable[[Finished | Missing], None]) -> None:
        code = find(self._lookup, attempt)
        if isinstance(code, Missing):
            done(code)
        elif code.is_async:
            loop = self._async_loop()
            loop.call_soon_threadsafe(self._spawn, attempt, code, done)
        else:
            with self._lock:
                self._busy += 1
                grow = self._busy > len(self._threads) and len(self._threads) < self._limit
                if grow:
                    thread = threading.Thread(target=self._work, name=f"aion-activity-{len(self._threads)}", daemon=True)
                    self._threads.append(thread)
            if grow:
                thread.start()
            self._queue.put((attempt, code, done))

    def _work(self) -> None:
        while (work := self._queue.get()) is not None:
            attempt, code, done = work
            done(run_sync(attempt, code))
            with self._lock:
                self._busy -= 1

    def _async_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=_serve, args=(self._loop,), name="aion-asyncio", daemon=True).start()
        return self._loop

    def _spawn(self, attempt: Attempt, code: Runnable, done: Callable[[Finished | Missing], None]) -> None:
        key = (attempt.run_key, attempt.activity_id)

        async def run() -> None:
            try:
                done(await run_async(attempt, code))
            except BaseException as error:  # noqa: BLE001 - a task cancelled before it began still owes its report
                done(failed(attempt, code, error))
            finally:
                if self._tasks.get(key) is task:
                    del self._tasks[key]

        task = asyncio.ensure_future(run())
        self._tasks[key] = task

    def cancel(self, run_key: int, activity_id: int) -> None:
        """Async attempts are cancelled; a sync one goes on in its thread and its result is dropped."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._cancel, (run_key, activity_id))

    def _cancel(self, key: tuple[int, int]) -> None:
        task = self._tasks.get(key)
        if task is not None:
            task.cancel()

    def close(self) -> None:
        """Let idle workers end; running attempts are left behind."""
        for _ in self._threads:
            self._queue.put(None)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    """Run the loop until it is stopped, and let go of its descriptors."""
    try:
        loop.run_forever()
    finally:
        loop.close()
