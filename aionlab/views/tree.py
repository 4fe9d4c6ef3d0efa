"""The supervision tree: who lives under whom, with pids, states, restarts and what each one waits for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from aionlab.core.clock import Micros
from aionlab.core.durations import spell
from aionlab.core.snapshots import Node

from .bundle import Shown
from .document import Cell, Document, cell, code_cell, grid, stacked, state_cell
from .html import h
from .palette import GREY, MONO
from .text import clip, counted, label, when

if TYPE_CHECKING:
    import pandas as pd


class _Line(NamedTuple):
    node: Node
    branch: str
    """The box drawing before its name: "│  ├─ "."""


@dataclass(frozen=True, slots=True, repr=False)
class Tree(Shown):
    """A supervision tree. `period` (microseconds) is the length in which restarts are counted; with `now` ages are shown too."""

    root: Node
    period: Micros | None = None
    now: Micros | None = None

    def to_frame(self) -> pd.DataFrame:
        """See `tree_frame`."""
        return tree_frame(self.root)

    def _line(self) -> str:
        workflows = sum(line.node.kind == "workflow" for line in _walk(self.root))
        return f"<Tree of {label(self.root.name)}: {counted(workflows, 'workflow')}, {clip(self.root.state, 40)}>"

    def _document(self) -> Document:
        return stacked(
            grid(("process", "pid", "state", "waits for", "restarts", "since"), [self._row(line) for line in _walk(self.root)])
        )

    def _row(self, line: _Line) -> list[Cell]:
        node = line.node
        name = ("→ " if node.kind == "child" else "") + label(node.name, 60)
        branch = h("span", line.branch, style=f"{MONO};color:{GREY};white-space:pre")
        since = when(node.started_at) if self.now is None else spell(self.now - node.started_at) + " ago"
        return [
            Cell(
                line.branch + name,
                h("span", branch, h("b", name) if node.children else name, style="white-space:nowrap"),
                label(node.kind),
            ),
            code_cell(f"<{node.pid}>" if node.pid else ""),
            state_cell(clip(node.state, 40)),
            cell(clip(node.detail, 120)),
            cell(restarts(node, Micros(node.period) or self.period)),
            cell(since, when(node.started_at)),
        ]


def tree_frame(root: Node) -> pd.DataFrame:
    """One row per node, parents first.

    Columns:

    - `name` (string), `kind` (category): "root", "supervisor", "workflow", "activity" or "child" (a link to a run that is listed itself)
    - `pid`, `parent` (Int64): its own and that of the node above it; missing where there is no process
    - `state` (category), `detail` (string): what it waits for, why it is stuck, which options of a supervisor are not at their defaults
    - `strategy`, `restart` (category): of supervisors
    - `restarts`, `limit` (int64), `period` (timedelta64[us]): restarts within the period, and how many it allows; 0 where nothing is restarted
    - `started` (datetime64[us, UTC])
    """
    import numpy as np
    import pandas as pd

    from .frames import _texts, _times, _words

    nodes: list[Node] = []
    parents: list[int | None] = []
    waiting: list[tuple[Node, int | None]] = [(root, None)]
    while waiting:
        node, parent = waiting.pop()
        nodes.append(node)
        parents.append(parent)
        waiting += [(child, node.pid or None) for child in reversed(node.children)]
    return pd.DataFrame(
        {
            "name": _texts(label(node.name, 255) for node in nodes),
            "kind": _words([node.kind for node in nodes]),
            "pid": pd.array([node.pid or None for node in nodes], dtype="Int64"),
            "parent": pd.array(parents, dtype="Int64"),
            "state": _words([node.state for node in nodes]),
            "detail": _texts(clip(node.detail, 1000) for node in nodes),
            "strategy": _words([node.strategy or None for node in nodes]),
            "restart": _words([node.restart or None for node in nodes]),
            "restarts": np.array([node.restarts for node in nodes], dtype=np.int64),
            "limit": np.array([node.limit for node in nodes], dtype=np.int64),
            "period": np.array([node.period for node in nodes], dtype=np.int64).astype("timedelta64[us]"),
            "started": _times([node.started_at for node in nodes]),
        }
    )


def restarts(node: Node, period: Micros | None) -> str:
    """ "1 of 3 in 30s"; "" where nothing is restarted."""
    if not node.limit:
        return ""
    return f"{node.restarts} of {node.limit}" + (f" in {spell(period)}" if period else "")


def _walk(root: Node) -> Iterator[_Line]:
    """Every node, parents first, with its branches drawn."""
    waiting = [(root, "", "")]
    while waiting:
        node, branch, below = waiting.pop()
        yield _Line(node, branch)
        last = len(node.children) - 1
        for i in range(last, -1, -1):
            waiting.append((node.children[i], below + ("└─ " if i == last else "├─ "), below + ("   " if i == last else "│  ")))
