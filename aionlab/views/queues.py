"""The queues: who waits, what runs, what limits them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aionlab.core.durations import spell
from aionlab.core.snapshots import QueueState

from .bundle import Shown
from .document import Document, grid, stacked
from .frames import queues_frame
from .text import counted, label

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, repr=False)
class QueueList(Shown):
    """Queues as they stand, those without limits first."""

    states: Sequence[QueueState]

    def __len__(self) -> int:
        return len(self.states)

    def __iter__(self) -> Iterator[QueueState]:
        return iter(self.states)

    def __getitem__(self, name: str) -> QueueState:
        """The queue of this name; KeyError when there is none."""
        for state in self.states:
            if state.name == name:
                return state
        raise KeyError(name)

    def to_frame(self) -> pd.DataFrame:
        """See `frames.queues_frame`."""
        return queues_frame(self.states)

    def _line(self) -> str:
        waiting, running = sum(state.waiting for state in self.states), sum(state.running for state in self.states)
        return f"<Queues: {counted(len(self.states), 'queue')}, {waiting:,} waiting, {running:,} running>"

    def _document(self) -> Document:
        rows = [
            (label(state.name), f"{state.waiting:,}", f"{state.running:,}", "" if state.concurrency is None else f"{state.concurrency:,}", rate_of(state), "" if state.priority else "no")
            for state in self.states
        ]
        return stacked(grid(("queue", "waiting", "running", "at once", "rate", "priorities"), rows, right=(1, 2, 3), empty="no queues"))


def rate_of(state: QueueState) -> str:
    """A queue's rate in words, "50 per 30s"; empty where there is none."""
    return "" if state.rate is None or state.period is None else f"{state.rate:,} per {spell(state.period)}"
