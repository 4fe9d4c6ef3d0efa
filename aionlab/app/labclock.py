"""`lab.clock`: the engine's time, and skipping it where it is virtual."""
from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aionlab.core.durations import Duration

from .lifecycle import length

if TYPE_CHECKING:
    from .lab import Lab


class LabClock:
    """Real, or virtual: then it stands still until it is told to go on."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def now(self) -> datetime:
        """The engine's time, in UTC."""
        return datetime.fromtimestamp(self._lab.call("now") / 1_000_000, UTC)

    @property
    def virtual(self) -> bool:
        return self._lab.host.engine.clock.virtual

    @property
    def auto(self) -> bool:
        """Whether a virtual clock goes on to the next timer by itself. Setting it on a real clock raises InvalidOption."""
        return self._lab.host.engine.clock.auto

    @auto.setter
    def auto(self, on: bool) -> None:
        self._lab.call("set_auto", on)

    def skip(self, duration: Duration) -> datetime:
        """Move a virtual clock forward; returns when all that came due has happened, each at its own time. Raises InvalidOption."""
        self._lab.call("skip", length("skip", duration))
        self._lab.settle()
        return self.now()

    def skip_to_next_timer(self) -> datetime | None:
        """Move a virtual clock to the next timer and let it happen; None when no timer is set. Raises InvalidOption."""
        if self._lab.call("skip_to_next") is None:
            return None
        self._lab.settle()
        return self.now()

    def __repr__(self) -> str:
        kind = "virtual" if self.virtual else "real"
        return f"<{kind} clock {self.now():%Y-%m-%d %H:%M:%S.%f}{', goes on by itself' if self.auto else ''}>"


