"""Where a lab as a whole stands, in a line and in a small card."""

from __future__ import annotations

from dataclasses import dataclass

from aionlab.core.durations import spell
from aionlab.core.snapshots import Progress

from .bundle import Shown
from .document import Document, facts, heading, note, stacked
from .palette import AMBER, RED
from .text import clip, label, when


@dataclass(frozen=True, slots=True, repr=False)
class LabStatus(Shown):
    """The status of the lab called `name`."""

    progress: Progress
    name: str = "lab"

    def _line(self) -> str:
        return f"<Lab {label(self.name)}: {self._state()}, {self._runs()}>"

    def _state(self) -> str:
        now = self.progress
        return "Stuck" if now.halted else "Paused" if now.readonly else "Running" if now.running else "Idle"

    def _runs(self) -> str:
        now = self.progress
        counts = (
            ("running", now.running),
            ("paused", now.paused),
            ("stuck", now.stuck),
            ("waiting for code or trust", now.waiting),
            ("closed", now.closed),
        )
        return " · ".join(f"{count:,} {word}" for word, count in counts if count) or "no runs"

    def _document(self) -> Document:
        now = self.progress
        timer = "" if now.next_timer is None else f"{when(now.next_timer)} ({_away(now.next_timer - now.now)})"
        return stacked(
            heading("lab", label(self.name), self._state()),
            note(f"the engine is halted: {clip(now.halted, 400)}", RED) if now.halted else None,
            note("this kernel only reads; the runs belong to another one", AMBER) if now.readonly else None,
            facts(
                [
                    ("runs", self._runs()),
                    ("owner", clip(now.owner, 120)),
                    ("clock", when(now.now)),
                    ("next timer", timer),
                    ("since opened", f"{now.events:,} events in {now.commits:,} commits, {now.turns:,} turns"),
                ]
            ),
        )


def _away(length: int) -> str:
    return f"in {spell(length)}" if length > 0 else "due" if length == 0 else f"{spell(-length)} overdue"
