"""The registry: every live run, where it lives and what it waits for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aionlab.core.snapshots import Entry

from .bundle import Shown
from .document import Document, code_cell, grid, id_cell, stacked, state_cell
from .frames import registry_frame
from .text import clip, counted, label, short

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, repr=False)
class Registry(Shown):
    """Entries of the registry, in the order given."""

    entries: Sequence[Entry]

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def to_frame(self) -> pd.DataFrame:
        """See `frames.registry_frame`."""
        return registry_frame(self.entries)

    def _line(self) -> str:
        resident = sum(entry.residency == "Resident" for entry in self.entries)
        return f"<Registry: {counted(len(self.entries), 'run')}, {resident:,} resident>"

    def _document(self) -> Document:
        names = ("workflow id", "type", "version", "pid", "status", "waits for", "mailbox", "residency", "seq", "run id")
        rows = [
            (
                code_cell(label(entry.workflow_id)),
                label(entry.workflow_type, 40),
                code_cell(short(entry.version)),
                code_cell("" if entry.pid is None else f"<{entry.pid}>"),
                state_cell(entry.status.value),
                clip(entry.waiting_for, 120),
                str(entry.mailbox) if entry.mailbox else "",
                label(entry.residency, 20),
                str(entry.seq),
                id_cell(entry.run_id),
            )
            for entry in self.entries
        ]
        return stacked(grid(names, rows, right=(6, 8), empty="no live runs"))
