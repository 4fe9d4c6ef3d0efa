"""Which executor an attempt goes to (by the `run_in` it was asked for with), and whether the next one waits for it."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import Protocol

from aionlab.core.ports import ActivityExecutor, Attempt, Beat, Done, Finished, Interrupted, Missing


class Hearing(ActivityExecutor, Protocol):
    """An executor with heartbeats."""

    def submit(self, attempt: Attempt, done: Done, beat: Beat | None = None) -> None: ...


class RoutedExecutor:
    """Sends attempts to `others` by their `run_in`, each made when it is first needed, and to `usual` for every other `run_in`."""

    beats = True

    def __init__(self, usual: Hearing, others: Mapping[str, Callable[[], Hearing]]) -> None:
        self._usual, self._makers = usual, others
        self._made: dict[str, Hearing] = {}

    def submit(self, attempt: Attempt, done: Done, beat: Beat | None = None) -> None:
        run_in = attempt.options.run_in
        if not run_in or run_in not in self._makers:
            self._usual.submit(attempt, done, beat)
            return
        executor = self._made.get(run_in)
        if executor is None:
            executor = self._made[run_in] = self._makers[run_in]()
        executor.submit(attempt, done, beat)

    def cancel(self, run_key: int, activity_id: int) -> None:
        self._usual.cancel(run_key, activity_id)
        for executor in self._made.values():
            executor.cancel(run_key, activity_id)

    def close(self) -> None:
        for executor in (self._usual, *self._made.values()):
            executor.close()


class OneByOne:
    """Waits for each attempt on the engine's thread, so that outcomes come in the order of requests, whatever runs them."""

    beats = True

    def __init__(self, inner: Hearing) -> None:
        self._inner = inner

    def submit(self, attempt: Attempt, done: Done, beat: Beat | None = None) -> None:
        ended: SimpleQueue[Finished | Missing | Interrupted] = SimpleQueue()
        self._inner.submit(attempt, ended.put, beat)
        done(ended.get())

    def cancel(self, run_key: int, activity_id: int) -> None:
        """Nothing runs beside the engine, so there is nothing to stop."""

    def close(self) -> None:
        self._inner.close()
