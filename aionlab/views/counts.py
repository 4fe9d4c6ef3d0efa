"""How many runs there are of each kind."""
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .bundle import Shown
from .document import Document, grid, note, stacked
from .preview import MASK, is_secret
from .text import counted, label, value

if TYPE_CHECKING:
    import pandas as pd


class Counts(Shown, dict[Any, int]):
    """Number of runs by what they have of a field, most first; None counts those that have nothing of it. A dict that shows itself."""

    __slots__ = ("field", "most")

    def __init__(self, field: str, counts: Mapping[Any, int], most: int = 50) -> None:
        super().__init__(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0] is None, str(pair[0]))))
        self.field, self.most = field, most

    def to_frame(self) -> pd.DataFrame:
        """One row per value, in this order. Index `group` (object): the value, None for runs without one. Columns: `runs` (int64)."""
        from .frames import counts_frame

        if not is_secret(self.field):
            return counts_frame(self)
        return counts_frame({MASK: sum(count for key, count in self.items() if key is not None), None: self.get(None, 0)})

    def _line(self) -> str:
        inside = ", ".join(f"{count:,} {self._said(key)}" for key, count in list(self.items())[:8])
        return f"<Counts by {label(self.field)}: {inside or 'no runs'}{', …' if len(self) > 8 else ''}>"

    def _document(self) -> Document:
        rows = [(self._said(key), f"{count:,}") for key, count in list(self.items())[: self.most]]
        hidden = len(self) - len(rows)
        return stacked(
            grid((label(self.field), "runs"), rows, right=(1,), empty="no runs"),
            note(f"… and {counted(hidden, 'more value')}; see to_frame()") if hidden > 0 else None,
        )

    def _said(self, key: Any) -> str:
        return "(none)" if key is None else MASK if is_secret(self.field) else value(key, 60)
