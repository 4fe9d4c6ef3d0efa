"""Cells without a kernel: sources run one after another in a namespace like `__main__`, with a ledger that is told of each."""
from __future__ import annotations

import asyncio
import sys
import textwrap
import types
from typing import Any

from aionlab.code.build import Built
from aionlab.code.capture import Captured, capture_live
from aionlab.code.ledger import Ledger
from aionlab.code.package import Package


class Notebook:
    """A namespace and its ledger; `%load_ext aionlab` has put workflow, activity and Retry into it."""

    made = 0

    def __init__(self) -> None:
        import aionlab

        Notebook.made += 1
        self._prefix = f"/tmp/ipykernel_{Notebook.made}"
        self.module = types.ModuleType("__main__")
        self.namespace = vars(self.module)
        self.namespace.update(workflow=aionlab.workflow, activity=aionlab.activity, Retry=aionlab.Retry)
        self.ledger = Ledger()
        self.count = 0

    def cell(self, source: str, note: bool = True) -> None:
        self.count += 1
        source = textwrap.dedent(source).strip("\n") + "\n"
        file = f"{self._prefix}/{abs(hash(source))}.py"
        before = sys.modules["__main__"]
        sys.modules["__main__"] = self.module
        try:
            exec(compile(source, file, "exec", dont_inherit=True), self.namespace)
        finally:
            sys.modules["__main__"] = before
            if note:
                self.ledger.note_cell(source, file, self.namespace, label=f"In[{self.count}]")

    def capture(self, name: str = "order") -> Captured:
        return capture_live(self.namespace[name], self.ledger)

    def package(self, name: str = "order") -> Package:
        return self.capture(name).package


def notebook(*cells: str) -> Notebook:
    made = Notebook()
    for source in cells:
        made.cell(source)
    return made


def run(fn: Any, *args: Any) -> Any:
    """The result of a workflow's bare function that awaits nothing of the engine's."""
    return asyncio.run(fn(*args))


def run_built(built: Built, *args: Any) -> Any:
    return run(built.function, *args)
