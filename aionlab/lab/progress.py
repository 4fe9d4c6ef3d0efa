"""Where a long verb over many runs stands, shown in one place of the cell that waits for it."""
from __future__ import annotations

from typing import Any

from aionlab.views.sweep import Swept


class Screen:
    """One place in a cell's output, that shows what it is given last."""

    def __init__(self) -> None:
        self._place: Any = None

    def __call__(self, swept: Swept) -> None:
        from IPython.display import display

        if self._place is None:
            self._place = display(swept, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._place.update(swept)
