"""All schedules of a database, and when each is to be looked at next."""
from __future__ import annotations

import heapq
from collections.abc import Iterator

from aionlab.core.clock import Micros

from .schedule import Schedule


class Book:
    """Schedules by id, the deleted ones of this kernel's time included, and a heap of (due, order, schedule)."""

    __slots__ = ("_by_id", "_heap", "_order", "found", "lost")

    def __init__(self, found: int) -> None:
        self.found = found
        """Schedules with history keys up to this one were recorded before this engine."""
        self._by_id: dict[str, Schedule] = {}
        self._heap: list[tuple[Micros, int, Schedule]] = []
        self._order = 0
        self.lost: dict[int, Schedule] = {}
        """Schedules a failed turn touched, by history key, to be brought back from the log."""

    def get(self, schedule_id: str) -> Schedule | None:
        return self._by_id.get(schedule_id)

    def add(self, schedule: Schedule) -> None:
        self._by_id[schedule.id] = schedule

    def remove(self, schedule: Schedule) -> None:
        self._by_id.pop(schedule.id, None)
        schedule.armed = None

    def __iter__(self) -> Iterator[Schedule]:
        return iter(list(self._by_id.values()))

    def arm(self, schedule: Schedule, due: Micros | None) -> None:
        """Look at the schedule at `due`, and at no other time; None: not until something else happens to it."""
        if due is not None and schedule.armed != due:
            self._order += 1
            heapq.heappush(self._heap, (due, self._order, schedule))
        schedule.armed = due

    def next_due(self) -> Micros | None:
        """When the next schedule is to be looked at."""
        heap = self._heap
        while heap and heap[0][2].armed != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def due(self, now: Micros) -> Iterator[Schedule]:
        """The schedules to be looked at now, each taken off."""
        while (found := self.next_due()) is not None and found <= now:
            schedule = heapq.heappop(self._heap)[2]
            schedule.armed = None
            yield schedule
