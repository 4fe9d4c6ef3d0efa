"""How many restarts are left: a count within a sliding window."""
from __future__ import annotations

from collections import deque

from aionlab.core.clock import Micros


class Count:
    """Restarts within the half-open window (now - period, now]."""

    __slots__ = ("intensity", "period", "times")

    def __init__(self, intensity: int, period: Micros) -> None:
        self.intensity, self.period = intensity, period
        self.times: deque[Micros] = deque()

    def recent(self, now: Micros) -> int:
        """Restarts that count at `now`."""
        times = self.times
        while times and times[0] <= now - self.period:
            times.popleft()
        return len(times)

    def add(self, now: Micros) -> bool:
        """Count one restart, unless it would be one too many; whether it was counted."""
        if self.recent(now) >= self.intensity:
            return False
        self.times.append(now)
        return True
