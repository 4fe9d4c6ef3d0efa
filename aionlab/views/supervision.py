"""What supervisors decided: which child was lost, what followed, and how much of the limit was used up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aionlab.core.durations import spell
from aionlab.core.snapshots import Decision

from .bundle import Shown
from .document import Document, cell, code_cell, grid, note, stacked
from .text import clip, counted, label, when

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 50


@dataclass(frozen=True, slots=True, repr=False)
class Decisions(Shown):
    """Decisions of supervisors, oldest first."""

    decisions: Sequence[Decision]

    def __len__(self) -> int:
        return len(self.decisions)

    def __iter__(self) -> Iterator[Decision]:
        return iter(self.decisions)

    def __getitem__(self, index: int) -> Decision:
        return self.decisions[index]

    def to_frame(self) -> pd.DataFrame:
        """See `decisions_frame`."""
        return decisions_frame(self.decisions)

    def _line(self) -> str:
        verdicts = [decision.verdict for decision in self.decisions]
        counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(verdicts))
        return f"<Decisions: {counted(len(verdicts), 'decision')}{f', {counts}' if counts else ''}>"

    def _document(self) -> Document:
        left = len(self.decisions) - _SHOWN
        rows = [
            (
                when(decision.at),
                f"{label(decision.supervisor, 40)} <{decision.pid}>",
                f"{label(decision.child, 40)} <{decision.child_pid}>",
                clip(decision.cause, 60),
                code_cell(f"{decision.restarts} of {decision.intensity} in {spell(decision.period)}"),
                cell(clip(decision.text, 200)),
            )
            for decision in self.decisions[-_SHOWN:]
        ]
        names = ("time", "supervisor", "lost", "cause", "restarts", "what was decided")
        return stacked(note(f"… and {counted(left, 'earlier decision')}") if left > 0 else None, grid(names, rows, empty="no process was lost"))


def decisions_frame(decisions: Sequence[Decision]) -> pd.DataFrame:
    """One row per decision, in the order given; an escalation is one, and what its parent made of it the next.

    Columns:

    - `time` (datetime64[us, UTC])
    - `supervisor` (category), `pid` (int64): who decided
    - `strategy` (category): "one_for_one", "one_for_all", "rest_for_one"
    - `kind` (category): of the lost child, "workflow" or "supervisor"; `child` (string), `child_pid` (int64)
    - `cause` (string): "killed", "gave up", "ended", or the error that lost it
    - `verdict` (category): "restarted", "escalated", "gave up", "not restarted"
    - `restarts`, `intensity` (int64), `period` (timedelta64[us]): restarts within the period, and how many it allows
    - `stopped`, `started`, `given_up` (int64): processes
    - `delay` (timedelta64[us]): how long the restart was put off
    - `text` (string): the same in words
    """
    import numpy as np
    import pandas as pd

    from .frames import _texts, _times, _words

    def numbers(field: str) -> np.ndarray:
        return np.array([getattr(decision, field) for decision in decisions], dtype=np.int64)

    def lengths(field: str) -> np.ndarray:
        return numbers(field).astype("timedelta64[us]")

    return pd.DataFrame(
        {
            "time": _times([decision.at for decision in decisions]),
            "supervisor": _words([decision.supervisor for decision in decisions]),
            "pid": numbers("pid"),
            "strategy": _words([decision.strategy for decision in decisions]),
            "kind": _words([decision.kind for decision in decisions]),
            "child": _texts(label(decision.child, 255) for decision in decisions),
            "child_pid": numbers("child_pid"),
            "cause": _texts(clip(decision.cause, 1000) for decision in decisions),
            "verdict": _words([decision.verdict for decision in decisions]),
            "restarts": numbers("restarts"),
            "intensity": numbers("intensity"),
            "period": lengths("period"),
            "stopped": numbers("stopped"),
            "started": numbers("started"),
            "given_up": numbers("given_up"),
            "delay": lengths("delay"),
            "text": _texts(clip(decision.text, 1000) for decision in decisions),
        }
    )
