"""Sync activities in daemon threads, async ones on one asyncio thread.

Daemon threads on purpose: `concurrent.futures` joins its workers at interpreter exit, so one long activity would keep a kernel from
shutting down. An attempt that is cut off is recorded as begun and runs again at the next open.
"""
from __future__ import annotations

import asyncio
import threading
from queue import SimpleQueue

from aionlab.core.ports import Attempt, Beat, Done, Missing

from .attempts import Lookup, Pulse, Runnable, failed, find, interrupted, run_async, run_sync

_Key = tuple[int, int]


class ThreadExecutor:
    """At most `workers` sync attempts at once; more wait in order."""

    beats = True

    def __init__(self, lookup: Lookup, workers: int = 32) -> None:
        self._lookup, self._limit = lookup, workers
        self._queue: SimpleQueue[tuple[Pulse, Runnable, Done] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._busy = 0
        self._closed = False
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: dict[_Key, tuple[asyncio.Task[None], Pulse]] = {}
        self._pulses: dict[_Key, Pulse] = {}
        """Sync attempts, waiting or running."""

    def submit(self, attempt: Attempt, done: Done, beat: Beat | None = None) -> None:
        code = find(self._lookup, attempt)
        if isinstance(code, Missing):
            done(code)
            return
        pulse = Pulse(attempt, beat)
        if code.is_async:
            self._async_loop().call_soon_threadsafe(self._spawn, pulse, code, done)
            return
        self._pulses[attempt.run_key, attempt.activity_id] = pulse
        with self._lock:
            self._busy += 1
            grow = self._busy > len(self._threads) and len(self._threads) < self._limit
            if grow:
                thread = threading.Thread(target=self._work, name=f"aion-activity-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
        if grow:
            thread.start()
        self._queue.put((pulse, code, done))

    def _work(self) -> None:
        pulses = self._pulses
        while (work := self._queue.get()) is not None:
            if self._closed:  # what has not begun begins at the next open
                return
            pulse, code, done = work
            attempt = pulse.attempt
            key = (attempt.run_key, attempt.activity_id)
            if pulse.cancelled:
                done(failed(attempt, code, asyncio.CancelledError("the attempt was stopped before it began")))
            else:
                try:
                    report = run_sync(attempt, code, pulse)
                except KeyboardInterrupt:
                    done(interrupted(attempt))
                else:
                    done(report)
            if pulses.get(key) is pulse:
                del pulses[key]
            with self._lock:
                self._busy -= 1

    def _async_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=_serve, args=(self._loop,), name="aion-asyncio", daemon=True).start()
        return self._loop

    def _spawn(self, pulse: Pulse, code: Runnable, done: Done) -> None:
        attempt = pulse.attempt
        key = (attempt.run_key, attempt.activity_id)

        async def run() -> None:
            try:
                done(await run_async(attempt, code, pulse))
            except KeyboardInterrupt:
                done(interrupted(attempt))
            except BaseException as error:  # noqa: BLE001 - a task cancelled before it began still owes its report
                done(failed(attempt, code, error))
            finally:
                known = self._tasks.get(key)
                if known is not None and known[1] is pulse:
                    del self._tasks[key]

        self._tasks[key] = asyncio.ensure_future(run()), pulse

    def cancel(self, run_key: int, activity_id: int) -> None:
        """An async attempt gets CancelledError; a sync one goes on in its thread until it asks `activity.info().is_cancelled`, or
        gets CancelledError at its next heartbeat. One that has not begun does not begin."""
        key = (run_key, activity_id)
        pulse = self._pulses.get(key)
        if pulse is not None:
            pulse.cancel()
        elif self._loop is not None:
            self._loop.call_soon_threadsafe(self._cancel, key)

    def _cancel(self, key: _Key) -> None:
        known = self._tasks.get(key)
        if known is not None:
            task, pulse = known
            pulse.cancel(told=True)
            task.cancel()

    def close(self) -> None:
        """Let idle workers end; running attempts are left behind, and those that wait do not begin."""
        self._closed = True
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
