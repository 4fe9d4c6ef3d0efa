"""The supervision tree: who lives under whom, with pids, states, restarts and what each one waits for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from aionlab.core.clock import Micros
from aionlab.core.durations import spell
from aionlab.core.snapshots import Node

from .bundle import Shown
from .document import Cell, Document, cell, code_cell, grid, stacked, state_cell
from .html import h
from .palette import GREY, MONO
from .text import clip, counted, label, when


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

    def _line(self) -> str:
        workflows = sum(line.node.kind == "workflow" for line in _walk(self.root))
        return f"<Tree of {label(self.root.name)}: {counted(workflows, 'workflow')}, {clip(self.root.state, 40)}>"

    def _document(self) -> Document:
        return stacked(
            grid(("process", "pid", "state", "waits for", "restarts", "since"), [self._row(line) for line in _walk(self.root)])
        )

    def _row(self, line: _Line) -> list[Cell]:
        node = line.node
        name = label(node.name, 60)
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
