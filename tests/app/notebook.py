"""Cells without a kernel: their text runs in a namespace of its own, and the lab learns of them as a notebook's would."""
from __future__ import annotations

import linecache
from itertools import count
from typing import Any

from aionlab import activity, workflow
from aionlab.code.ledger import Ledger

_numbers = count(1)


class Notebook:
    """The names of one kernel; `run` is a cell."""

    def __init__(self, lab: Any) -> None:
        self.lab = lab
        self.names: dict[str, Any] = {"__name__": "__main__", "workflow": workflow, "activity": activity}
        lab.library.namespace, lab.library.ledger = self.names, Ledger()

    def run(self, text: str) -> None:
        number = next(_numbers)
        file = f"<cell {number}>"
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
        exec(compile(text, file, "exec"), self.names)
        self.lab.library.ledger.note_cell(text, file, self.names, f"In[{number}]")
        for value in list(self.names.values()):
            if getattr(value, "aion_kind", None) == "workflow":
                self.lab.define(value)
        self.lab.names_came()

    def __getitem__(self, name: str) -> Any:
        return self.names[name]
