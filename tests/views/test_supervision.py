"""Decisions of supervisors and the tree's nodes: as people read them, and as frames."""

from __future__ import annotations

import pandas as pd

from aionlab.core.clock import Micros
from aionlab.core.snapshots import Node
from aionlab.views.supervision import Decisions, decisions_frame
from aionlab.views.tree import Tree, tree_frame
from tests.views.gallery import decisions, tree
from tests.views.histories import T0, S

DECISIONS = {
    "time": "datetime64[us, UTC]",
    "supervisor": "category",
    "pid": "int64",
    "strategy": "category",
    "kind": "category",
    "child": "string",
    "child_pid": "int64",
    "cause": "string",
    "verdict": "category",
    "restarts": "int64",
    "intensity": "int64",
    "period": "timedelta64[us]",
    "stopped": "int64",
    "started": "int64",
    "given_up": "int64",
    "delay": "timedelta64[us]",
    "text": "string",
}
NODES = {
    "name": "string",
    "kind": "category",
    "pid": "Int64",
    "parent": "Int64",
    "state": "category",
    "detail": "string",
    "strategy": "category",
    "restart": "category",
    "restarts": "int64",
    "limit": "int64",
    "period": "timedelta64[us]",
    "started": "datetime64[us, UTC]",
}
SHOWN = """\
time                      supervisor  lost       cause            restarts       what was decided
2020-01-01 00:00:00.000Z  order <2>   o-1 <12>   killed           3 of 3 in 30s  o-1 comes back by replay (3 of 3 in 30 s)
2020-01-01 00:00:01.000Z  order <2>   o-1 <14>   ValueError: o-1  3 of 3 in 30s  o-1
2020-01-01 00:00:01.000Z  lab <1>     order <2>  gave up          1 of 3 in 5m   o-1"""


def dtypes(frame: pd.DataFrame) -> dict[str, str]:
    return {str(name): str(dtype) for name, dtype in frame.dtypes.items()}


def test_decisions_to_the_letter() -> None:
    view = Decisions(decisions())
    assert str(view) == SHOWN
    assert repr(view) == "<Decisions: 3 decisions, 2 restarted, 1 escalated>"
    assert len(view) == 3 and view[1].verdict == "escalated" and [one.child for one in view] == ["o-1", "o-1", "order"]
    assert str(Decisions(())) == "no process was lost" and repr(Decisions(())) == "<Decisions: 0 decisions>"


def test_of_many_decisions_the_last_are_shown() -> None:
    view = Decisions(decisions() * 20)
    assert str(view).startswith("… and 10 earlier decisions") and len(str(view).split("\n")) == 52
    assert len(view.to_frame()) == 60


def test_the_frame_of_decisions_has_the_same_columns_whatever_it_holds() -> None:
    assert dtypes(decisions_frame(())) == dtypes(decisions_frame(decisions())) == DECISIONS
    frame = Decisions(decisions()).to_frame()
    assert list(frame.verdict) == ["restarted", "escalated", "restarted"] and list(frame.started) == [1, 0, 4]
    assert frame.period.iloc[2] == pd.Timedelta("5m") and frame.delay.iloc[2] == pd.Timedelta("1s")
    assert frame.groupby("supervisor", observed=True).size().to_dict() == {"order": 2, "lab": 1}


def test_the_tree_as_a_frame() -> None:
    frame = Tree(tree(), Micros(30 * S)).to_frame()
    assert dtypes(frame) == dtypes(tree_frame(Node(1, "root", "lab", "Running", 0, 3, T0))) == NODES
    assert list(frame.name) == ["lab.db", "order", "order", "activity#1 order", "o-2", "reminder", "reminder/ada"]
    assert list(frame.parent.fillna(0)) == [0, 1, 2, 12, 2, 1, 3]
    stuck = tree_frame(Node(1, "root", "lab", "Running", 0, 3, T0, "", (Node(0, "workflow", "w", "Stuck", 0, 0, T0),)))
    assert stuck.pid.isna().tolist() == [False, True]
