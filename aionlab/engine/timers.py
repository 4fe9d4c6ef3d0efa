"""What is due when: a heap of wake-ups, each checked against the run it belongs to when it comes up.

Whether a timer is live is always decided by the run's folded history; a stale entry is simply dropped.
"""
from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING

from aionlab.core import events as e
from aionlab.core.clock import Micros

from . import activities
from .run import LiveRun

if TYPE_CHECKING:
    from .engine import Engine

TIMER, RETRY, TIMEOUT = 0, 1, 2
_Entry = tuple[Micros, int, int, int, int, int]


class Timers:
    """Entries are (due, order, run key, kind, number, attempt)."""

    __slots__ = ("_heap", "_order")

    def __init__(self) -> None:
        self._heap: list[_Entry] = []
        self._order = count()

    def next_due(self) -> Micros | None:
        """When the next entry is due, stale or not."""
        return self._heap[0][0] if self._heap else None

    def arm(self, run: LiveRun, timer_id: int, fire_at: Micros) -> None:
        heapq.heappush(self._heap, (fire_at, next(self._order), run.key, TIMER, timer_id, 0))

    def arm_retry(self, run: LiveRun, activity_id: int, attempt: int, due: Micros) -> None:
        heapq.heappush(self._heap, (due, next(self._order), run.key, RETRY, activity_id, attempt))

    def arm_timeout(self, run: LiveRun, activity_id: int, attempt: int, due: Micros) -> None:
        heapq.heappush(self._heap, (due, next(self._order), run.key, TIMEOUT, activity_id, attempt))

    def arm_all(self, run: LiveRun) -> None:
        """All the run's timers and pending retries."""
        for timer_id, fire_at in (run.timers or {}).items():
            self.arm(run, timer_id, fire_at)
        for activity_id, opened in (run.activities or {}).items():
            if opened.next_attempt_at is not None:
                self.arm_retry(run, activity_id, opened.attempt, opened.next_attempt_at)

    def prune(self, engine: Engine) -> None:
        """Drop stale entries from the front, so that `next_due` means something."""
        while self._heap and not _live(engine, self._heap[0]):
            heapq.heappop(self._heap)

    def fire(self, engine: Engine, now: Micros) -> None:
        """Deliver everything due by `now`, in order of due time, then of arming."""
        heap, turn = self._heap, engine.turn_now
        while heap and heap[0][0] <= now:
            entry = heapq.heappop(heap)
            if not _live(engine, entry):
                continue
            turn.fired.append(entry)
            _, _, key, kind, number, attempt = entry
            run = turn.at = engine.registry.by_key(key)
            assert run is not None
            if kind == TIMER:
                if number == e.DEADLINE:
                    turn.record(run, e.WorkflowTimedOut(entry[0]))
                else:
                    engine.fact(run, e.TimerFired(number))
            elif kind == RETRY:
                activities.begin(engine, run, run.activities[number])  # type: ignore[index]  # `_live` has seen it
            else:
                activities.timed_out(engine, run, number, attempt)
        turn.at = None
        self.prune(engine)

    def put_back(self, entries: list[_Entry]) -> None:
        """Entries taken off in a turn that was undone."""
        for entry in entries:
            heapq.heappush(self._heap, entry)


def _live(engine: Engine, entry: _Entry) -> bool:
    due, _, key, kind, number, attempt = entry
    run = engine.registry.by_key(key)
    if run is None or run.closed:
        return False
    if kind == TIMER:
        return run.timers is not None and run.timers.get(number) == due
    opened = run.activities.get(number) if run.activities else None
    if opened is None or opened.attempt != attempt:
        return False
    if kind == RETRY:
        return opened.next_attempt_at == due
    flight = engine.in_flight.get((key, number))
    return flight is not None and flight.attempt == attempt and flight.due == due
