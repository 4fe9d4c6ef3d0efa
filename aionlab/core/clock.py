"""Time as the engine sees it: integer microseconds since the Unix epoch, UTC."""
from __future__ import annotations

from typing import NewType, Protocol

Micros = NewType("Micros", int)
"""A point in time (or a length of it) in microseconds."""

SECOND = 1_000_000


class Clock(Protocol):
    def now(self) -> Micros:
        """Microseconds since the epoch; may jump when the wall clock does."""

    def wait_hint(self, due: Micros) -> float | None:
        """Seconds of real time until `due`, 0 when it is due, or None when only a skip of the clock can bring it."""
