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
from .lifecycle import grace
from .run import LiveRun, OpenActivity
from .supervision import Restarting

if TYPE_CHECKING:
    from .engine import Engine

TIMER, RETRY, TIMEOUT, RESTART, SILENCE, CLOSE, TICK = range(7)
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

    def arm_silence(self, run: LiveRun, activity_id: int, attempt: int, due: Micros) -> None:
        heapq.heappush(self._heap, (due, next(self._order), run.key, SILENCE, activity_id, attempt))

    def arm_close(self, run: LiveRun, opened: OpenActivity) -> None:
        """The deadline of all attempts of an activity together."""
        if opened.deadline is not None:
            heapq.heappush(self._heap, (opened.deadline, next(self._order), run.key, CLOSE, opened.scheduled.activity_id, 0))

    def arm_tick(self, due: Micros) -> None:
        """A queue may hand out more."""
        heapq.heappush(self._heap, (due, next(self._order), 0, TICK, 0, 0))

    def arm_restart(self, run: LiveRun, due: Micros) -> None:
        heapq.heappush(self._heap, (due, next(self._order), run.key, RESTART, 0, 0))

    def arm_all(self, run: LiveRun) -> None:
        """All the run's timers and pending retries."""
        for timer_id, fire_at in (run.timers or {}).items():
            self.arm(run, timer_id, fire_at)
        for activity_id, opened in (run.activities or {}).items():
            if opened.next_attempt_at is not None:
                self.arm_retry(run, activity_id, opened.attempt, opened.next_attempt_at)
            self.arm_close(run, opened)

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
            if kind == TICK:
                engine.queues.ticked(entry[0])
                continue
            run = turn.at = engine.registry.by_key(key)
            assert run is not None
            if kind == TIMER:
                if number == e.DEADLINE:
                    turn.record(run, e.WorkflowTimedOut(entry[0]))
                elif number == e.GRACE:
                    grace.over(engine, run)
                else:
                    engine.fact(run, e.TimerFired(number))
            elif kind == RESTART:
                run.stuck = None
                engine.bring_home(run)
            elif kind == RETRY:
                activities.begin(engine, run, run.activities[number])  # type: ignore[index]  # `_live` has seen it
            elif kind == CLOSE:
                activities.timed_out(engine, run, number, run.activities[number].attempt, "schedule_to_close")  # type: ignore[index]  # as above
            elif kind == SILENCE:
                activities.silent(engine, run, number, attempt)
            else:
                activities.overdue(engine, run, number, attempt)
        turn.at = None
        self.prune(engine)

    def put_back(self, entries: list[_Entry]) -> None:
        """Entries taken off in a turn that was undone."""
        for entry in entries:
            heapq.heappush(self._heap, entry)


def _live(engine: Engine, entry: _Entry) -> bool:
    due, _, key, kind, number, attempt = entry
    if kind == TICK:
        return engine.queues.ticks(due)
    run = engine.registry.by_key(key)
    if run is None or run.closed:
        return False
    if kind == TIMER:
        return run.timers is not None and run.timers.get(number) == due
    if kind == RESTART:
        return isinstance(run.stuck, Restarting) and run.stuck.due == due
    opened = run.activities.get(number) if run.activities else None
    if kind == CLOSE:
        return opened is not None and opened.deadline == due
    if opened is None or opened.attempt != attempt:
        return False
    if kind == RETRY:
        return opened.next_attempt_at == due
    flight = engine.in_flight.get((key, number))
    return flight is not None and flight.attempt == attempt and (flight.due if kind == TIMEOUT else flight.beat_due) == due
