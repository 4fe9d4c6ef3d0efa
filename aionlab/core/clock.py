"""Time as the engine sees it: integer microseconds since the Unix epoch, UTC."""
from __future__ import annotations

from typing import NewType, Protocol

Micros = NewType("Micros", int)
"""A point in time (or a length of it) in microseconds."""

SECOND = 1_000_000


class Clock(Protocol):
    """The engine's clock. A virtual one stands still until it is aimed at a later time, and then moves only when nothing else does."""

    virtual: bool
    auto: bool
    """Whether a virtual clock goes on to the next timer by itself."""
    target: Micros
    """The time a virtual clock was last aimed at."""

    def now(self) -> Micros:
        """Microseconds since the epoch; may jump when the wall clock does."""

    def wait_hint(self, due: Micros) -> float | None:
        """Seconds of real time until `due`, 0 when it is due, or None when waiting does not bring it."""

    def aim(self, point: Micros) -> None:
        """Let a virtual clock go on to `point`."""

    def moving(self, next_due: Micros | None) -> bool:
        """Whether `advance` would move the clock."""

    def advance(self, next_due: Micros | None) -> bool:
        """Move a virtual clock to the next timer or to its target, whichever comes first; whether it moved."""
