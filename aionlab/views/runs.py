"""A list of runs, as a listing shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from aionlab.core.clock import Micros
from aionlab.core.durations import spell
from aionlab.core.ports import Run

from .bundle import Shown
from .document import Document, cell, code_cell, grid, id_cell, note, stacked, state_cell
from .frames import runs_frame
from .preview import MASK, is_secret
from .text import clip, counted, label, lasted, short, value, when

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, repr=False)
class RunList(Shown, Sequence[Run]):
    """Runs, newest first as the store lists them. A slice is a RunList too; beyond `most` rows the rest is counted, not shown.

    `total` says how many there are in all when the list is one page of more. With `now`, open runs show how long they have run.
    """

    runs: Sequence[Run]
    total: int | None = None
    now: Micros | None = None
    most: int = 50

    @overload
    def __getitem__(self, at: int) -> Run: ...
    @overload
    def __getitem__(self, at: slice) -> RunList: ...
    def __getitem__(self, at: int | slice) -> Run | RunList:
        return RunList(self.runs[at], None, self.now, self.most) if isinstance(at, slice) else self.runs[at]

    def __len__(self) -> int:
        return len(self.runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self.runs)

    @property
    def ids(self) -> list[str]:
        """The workflow ids, in order."""
        return [run.workflow_id for run in self.runs]

    def to_frame(self) -> pd.DataFrame:
        """See `frames.runs_frame`."""
        return runs_frame(self.runs)

    def _line(self) -> str:
        found = Counter(run.status.value for run in self.runs)
        return (
            f"<RunList: {counted(len(self.runs), 'run')}"
            + "".join(f", {count:,} {status}" for status, count in sorted(found.items()))
            + ">"
        )

    def _document(self) -> Document:
        names = ("workflow id", "type", "version", "status", "started", "duration", "attributes", "run id")
        rows = [
            (
                code_cell(label(run.workflow_id)),
                label(run.workflow_type, 40),
                code_cell(short(run.version)),
                state_cell(run.status.value),
                cell(when(run.started_at), None if run.closed_at is None else f"closed {when(run.closed_at)}"),
                self._duration(run),
                attributes_line(run.attributes),
                id_cell(run.run_id),
            )
            for run in self.runs[: self.most]
        ]
        hidden = (len(self.runs) if self.total is None else self.total) - len(rows)
        return stacked(
            grid(names, rows, right=(5,), empty="no runs"),
            note(f"… and {counted(hidden, 'more run')}; see to_frame()") if hidden > 0 else None,
        )

    def _duration(self, run: Run) -> str:
        if run.closed_at is None and self.now is not None:
            return spell(self.now - run.started_at) + " …"
        return lasted(run.started_at, run.closed_at)


def attributes_line(attributes: Mapping[str, Any], limit: int = 100) -> str:
    """ "amount=12 customer=acme", by name, on one visible line; secrets masked."""
    said = (f"{clip(name, 30)}={MASK if is_secret(name) else value(attributes[name], 40)}" for name in sorted(attributes)[:20])
    return clip(" ".join(said), limit)
