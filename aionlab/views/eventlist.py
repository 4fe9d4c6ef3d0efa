"""A history as a list: one line for each event, narrow enough for a notebook."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aionlab.core.durations import spell
from aionlab.core.events import Recorded, WorkflowStarted

from .bundle import Shown
from .detail import about, carried, kind
from .document import Cell, Document, cell, code_cell, grid, heading, id_cell, kept, note, stacked
from .frames import events_frame
from .text import clip, counted, label, when, width

if TYPE_CHECKING:
    import pandas as pd

_CARRIED = 200
_LEAST = 24


@dataclass(frozen=True, slots=True, repr=False)
class EventList(Shown):
    """The events of a workflow id, in the order given, with their times counted from the first one.

    Beyond `most` the middle is left out and counted. Lines of the text are at most `cells` wide, unless names are very long.
    """

    events: Sequence[Recorded]
    cells: int = 100
    most: int = 200

    def __len__(self) -> int:
        return len(self.events)

    def __iter__(self) -> Iterator[Recorded]:
        return iter(self.events)

    def to_frame(self, *, full: bool = False) -> pd.DataFrame:
        """See `frames.events_frame`."""
        return events_frame(self.events, full=full)

    def _line(self) -> str:
        return f"<EventList: {counted(len(self.events), 'event')}>"

    def _document(self) -> Document:
        if not self.events:
            return note("no events")
        first = self.events[0]
        several = any(one.run_id != first.run_id for one in self.events)
        shown, hidden = kept(self.events, self.most)
        rows = [_row(one, first.at, several) if one is not None else _left_out(hidden) for one in shown]
        columns = zip(_NAMES[:-1], *([one.text for one in row] for row in rows), strict=True)
        taken = sum(max(map(width, column)) + 2 for column in columns if any(column[1:]))
        room = max(_LEAST, self.cells - taken)
        name = first.event.workflow_type if isinstance(first.event, WorkflowStarted) else "workflow"
        said = f"{counted(len(self.events), 'event')} from {when(first.at)}"
        return stacked(
            heading(label(name, 40), label(first.workflow_id, 200), note=said),
            grid(_NAMES, [[*row, _carried(one, room)] for row, one in zip(rows, shown, strict=True)], right=(0, 1)),
        )


_NAMES = ("seq", "after", "run", "event", "kind", "about", "carries")


def _row(one: Recorded, zero: int, several: bool) -> list[Cell]:
    """All but what the event carries."""
    return [
        cell(str(one.seq)),
        cell(spell(one.at - zero), when(one.at)),
        id_cell(one.run_id) if several else cell(""),
        cell(type(one.event).__name__),
        cell(kind(one.event) + (" (deferred)" if one.deferred else "")),
        cell(about(one.event)),
    ]


def _left_out(hidden: int) -> list[Cell]:
    return [cell("") for _ in _NAMES[:3]] + [cell(f"… {counted(hidden, 'event')} left out …"), cell(""), cell("")]


def _carried(one: Recorded | None, room: int) -> Cell:
    said = carried(one.event, _CARRIED) if one is not None else ""
    return Cell(clip(said, room), code_cell(clip(said, 90)).element, said if width(said) > 90 else None)
