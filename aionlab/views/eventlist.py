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
        plain = [self._row(one, first.at, several, hidden) for one in shown]
        taken = sum(max(width(row[i].text) for row in [_NAMES, *plain]) + 2 for i in range(len(_NAMES) - 1) if several or i != 2)
        room = max(_LEAST, self.cells - taken)
        rows = [[*row, _carried(one, room)] for row, one in zip(plain, shown, strict=True)]
        kind_of = first.event.workflow_type if isinstance(first.event, WorkflowStarted) else "workflow"
        return stacked(
            heading(
                label(kind_of, 40), label(first.workflow_id, 200), note=f"{counted(len(self.events), 'event')} from {when(first.at)}"
            ),
            grid([name.text for name in _NAMES], rows, right=(0, 1)),
        )

    def _row(self, one: Recorded | None, zero: int, several: bool, hidden: int) -> list[Cell]:
        if one is None:
            return [cell(""), cell(""), cell(""), cell(f"… {counted(hidden, 'event')} left out …"), cell(""), cell("")]
        return [
            cell(str(one.seq)),
            cell(spell(one.at - zero), when(one.at)),
            id_cell(one.run_id) if several else cell(""),
            cell(type(one.event).__name__),
            cell(kind(one.event) + (" (deferred)" if one.deferred else "")),
            cell(about(one.event)),
        ]


_NAMES = [cell(name) for name in ("seq", "after", "run", "event", "kind", "about", "carries")]


def _carried(one: Recorded | None, room: int) -> Cell:
    if one is None:
        return cell("")
    said = carried(one.event, _CARRIED)
    return Cell(clip(said, room), code_cell(clip(said, 90)).element, said if width(said) > 90 else None)
