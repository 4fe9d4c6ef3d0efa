"""How far a verb over many runs has come, and what became of them."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from aionlab.core.ports import Run

from .bundle import Shown
from .document import Document, code_cell, grid, heading, id_cell, note, stacked, titled
from .palette import AMBER, RED
from .runs import RunList
from .text import clip, counted, label

_WIDTH = 24
"""Cells of the bar."""


class Failed(NamedTuple):
    """A run in which the verb could not be carried out, and why."""

    workflow_id: str
    run_id: str
    why: str


@dataclass(frozen=True, slots=True, repr=False)
class Swept(Shown):
    """A verb asked of `total` runs. `done`, `skipped` and `failed` count those that were visited so far; in a dry run, those it would
    have done something in, and would have skipped."""

    verb: str
    word: str
    """What has been done to a run, behind "was"."""
    otherwise: str
    """What the skipped ones were."""
    total: int
    done: int = 0
    skipped: int = 0
    failed: int = 0
    failures: tuple[Failed, ...] = ()
    """The first of those that failed."""
    dry_run: bool = False
    finished: bool = False
    sample: tuple[Run, ...] = ()
    """In a dry run, the first runs it would have done something in."""
    statuses: Mapping[str, int] = field(default_factory=dict)
    """In a dry run, their number by status."""
    shown: int = 10

    @property
    def visited(self) -> int:
        return self.done + self.skipped + self.failed

    @property
    def said(self) -> str:
        """ "3 of 5 runs asked to stop · 1 skipped (closed) · 1 failed"."""
        parts = [f"{self.done:,} of {counted(self.total, 'run')} {'would be ' if self.dry_run else ''}{label(self.word)}"]
        if self.skipped:
            parts.append(f"{self.skipped:,} skipped ({label(self.otherwise)})")
        if self.failed:
            parts.append(f"{self.failed:,} failed")
        return " · ".join(parts)

    def _line(self) -> str:
        state = "dry run: " if self.dry_run else "" if self.finished else f"{self._percent} · "
        return f"<{label(self.verb)}: {state}{self.said}>"

    @property
    def _percent(self) -> str:
        return f"{100 * self.visited // max(self.total, 1):d}%"

    def _document(self) -> Document:
        title = heading(("dry run of " if self.dry_run else "") + label(self.verb), "", note=self.said)
        if not self.finished:
            full = min(_WIDTH, _WIDTH * self.visited // max(self.total, 1))
            return stacked(title, note("█" * full + "░" * (_WIDTH - full) + f" {self._percent}", None))
        statuses = ", ".join(f"{count:,} {label(status)}" for status, count in sorted(self.statuses.items()))
        rows = [(code_cell(label(one.workflow_id)), clip(one.why, 300), id_cell(one.run_id)) for one in self.failures[: self.shown]]
        hidden = self.failed - len(rows)
        return stacked(
            title,
            note("nothing was done" + (f"; it would be {statuses}" if statuses else ""), AMBER) if self.dry_run else None,
            titled("the first of them", RunList(self.sample, self.done)._document()) if self.sample else None,
            titled("failed", grid(("workflow id", "why", "run id"), rows)) if rows else None,
            note(f"… and {hidden:,} more failed", RED) if rows and hidden > 0 else None,
        )
