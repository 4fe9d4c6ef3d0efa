"""A run against time: one bar for each activity, timer and signal, as text, as a page's table, as a picture.

What is drawn is decided once (`bars`) on an axis that folds idle time (`scale`); `bars_text`, `bars_html` and `bars_svg` draw it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from aionlab.core.clock import Micros
from aionlab.core.events import Recorded

from . import bars_html, bars_svg, bars_text
from .bars import Picture, axis, rows
from .bundle import Shown
from .document import Document, kept, note
from .groups import story
from .text import counted, label


@dataclass(frozen=True, slots=True, repr=False)
class Timeline(Shown):
    """The Gantt chart of the last run in `events`.

    `now` (microseconds) draws open ends up to it; without it they end at the last event. `waiting_for` says what an open run
    awaits. Beyond `most` rows the middle is left out and counted. `cells` is the width of every line of the text, at least 48.
    """

    events: Sequence[Recorded]
    now: Micros | None = None
    waiting_for: str = ""
    cells: int = 72
    most: int = 100

    def _line(self) -> str:
        picture = self._picture()
        if picture is None:
            return "<Timeline of nothing yet>"
        drawn = counted(len(picture.rows) + picture.hidden - bool(picture.hidden), "bar")
        return f"<Timeline of {label(picture.span.workflow_id)}: {picture.span.status}, {drawn}, {picture.length}>"

    def _document(self) -> Document:
        picture = self._picture()
        if picture is None:
            return note("no events yet")
        return Document(bars_text.lines(picture, max(self.cells, 48)), bars_html.element(picture))

    def to_text(self, cells: int | None = None) -> str:
        """The text form, every line exactly `cells` wide."""
        return str(self if cells is None else replace(self, cells=cells))

    def to_svg(self) -> str:
        """A standalone SVG file, 960 wide, readable on light and on dark."""
        return bars_svg.element(self._picture()).render()

    def _picture(self) -> Picture | None:
        told = story(self.events)
        if not told.spans:
            return None
        span = told.spans[-1]
        groups = [group for group in told.groups if group.run_id == span.run_id]
        end = span.closed_at if span.closed_at is not None else max(span.last_at, self.now or span.last_at)
        drawn, hidden = kept(list(rows(span, groups, end, self.waiting_for)), self.most)
        return Picture(span, tuple(drawn), hidden, axis(span, groups, end), end)
