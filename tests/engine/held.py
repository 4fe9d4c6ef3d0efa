"""An executor that runs nothing: the test begins attempts, says their heartbeats and reports for them."""
from __future__ import annotations

from typing import Any

from aionlab.core.events import Payload
from aionlab.core.ports import Attempt, Beat, Done, Finished, Interrupted
from aionlab.testing.workbench import Workbench


class Hall:
    """Attempts in the order in which they were handed over."""

    beats = True

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []
        self.cancelled: list[tuple[int, int]] = []
        self._beats: dict[Attempt, Beat] = {}

    def submit(self, attempt: Attempt, done: Done, beat: Beat) -> None:
        self.attempts.append(attempt)
        self._beats[attempt] = beat

    def cancel(self, run_key: int, activity_id: int) -> None:
        self.cancelled.append((run_key, activity_id))

    def close(self) -> None:
        pass

    def beat(self, bench: Workbench, attempt: Attempt, *details: Any) -> None:
        """Without details: the attempt's code begins, or is alive."""
        self._beats[attempt](attempt, Payload(bench.values.encode(details[0])) if details else None)

    @property
    def names(self) -> list[tuple[int, int, int]]:
        """(run key, activity id, attempt) of all that was handed over."""
        return [(attempt.run_key, attempt.activity_id, attempt.attempt) for attempt in self.attempts]


def finish(bench: Workbench, attempt: Attempt, value: Any = None, error: BaseException | None = None) -> None:
    result = bench.values.encode(value) if error is None else None
    failure = None if error is None else bench.values.failure(error)
    bench.engine.submit(Finished(attempt.run_key, attempt.activity_id, attempt.attempt, result, failure))
    bench.host.pump()


def interrupt(bench: Workbench, attempt: Attempt) -> None:
    bench.engine.submit(Interrupted(attempt.run_key, attempt.activity_id, attempt.attempt))
    bench.host.pump()


def elapse(bench: Workbench, micros: int) -> None:
    """Time passes while attempts run. A virtual clock would wait for them; this one goes on as a real one does."""
    bench.clock._now += micros
    bench.clock.target = max(bench.clock.target, bench.clock._now)
    bench.host.pump()
