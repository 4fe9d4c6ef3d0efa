"""Supervision as users meet it: declared on a lab, seen in its tree and its frames, in force again when the database is opened."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import aionlab
from aionlab import Backoff, Supervisor, errors
from tests.app import cells
from tests.app.test_opening import owner
from tests.environment import requires


@pytest.fixture
def lab(tmp_path: Path) -> Any:
    with aionlab.open(tmp_path / "lab.db", clock="virtual") as opened:
        yield opened


def pid(lab: Any, name: str) -> int:
    """Of a run by id, or of a supervisor by name."""
    frame = lab.tree().to_frame()
    return int(frame[frame.name == name].pid.iloc[0])


def kill(lab: Any, name: str) -> str:
    said = str(lab.kill(pid(lab, name)))
    lab.settle()
    return said


def test_a_declared_tree_is_drawn(lab: Any) -> None:
    shown = str(lab.supervise("orders", [cells.order, Supervisor("mail", ["letter"], backoff=Backoff("1s", 3, "9s"))], strategy="rest_for_one"))
    for part in ("└─ orders", "rest_for_one", "├─ order", "└─ mail", "backoff 1s to 9s", "└─ letter", "0 of 3 in 30s", "0 of 3 in 5m"):
        assert part in shown
    assert lab.supervisors() == [Supervisor("orders", ["order", Supervisor("mail", ["letter"], backoff=Backoff("1s", 3, "9s"))], strategy="rest_for_one")]


def test_the_same_declaration_in_three_spellings(lab: Any) -> None:
    for declare in (
        lambda: lab.supervise("orders", children=[cells.order], intensity=5),
        lambda: lab.supervise("orders", [Supervisor(cells.order)], intensity=5),
        lambda: lab.supervise(Supervisor("orders", ["order"], intensity=5)),
    ):
        declare()
        assert lab.supervisors() == [Supervisor("orders", ["order"], intensity=5)]
        lab.unsupervise("orders")
    lab.supervise(None, intensity=9)
    assert "0 of 9 in 5m" in str(lab.tree())
    lab.unsupervise(None)
    assert lab.supervisors() == []


def test_decisions_are_seen_in_words_and_in_a_frame(lab: Any) -> None:
    lab.supervise("orders", [cells.order], intensity=1, strategy="one_for_all")
    lab.start(cells.order, 1, id="o-1")
    lab.settle()
    assert "o-1 comes back by replay (1 of 3 in 30 s)" in kill(lab, "o-1")
    assert "supervisor order is restarted with 1 run, one_for_all (1 of 1 in 30 s in orders)" in kill(lab, "order")
    assert "supervisor orders was over its limit and is restarted with its 1 run (1 of 3 in 300 s at the root)" in kill(lab, "order")
    frame = lab.supervision().to_frame()
    assert list(frame.verdict) == ["restarted", "restarted", "escalated", "restarted"]
    assert list(frame.supervisor) == ["order", "orders", "orders", "lab"] and list(frame.child) == ["o-1", "order", "order", "orders"]
    assert "3 restarted, 1 escalated" in repr(lab.supervision()) and "gives up: one restart more than 1 in 30 s" in str(lab.supervision())
    lab.signal("o-1", "approval", "ada")
    assert lab.get("o-1").result(10)["ok"] == "ada"


def test_a_backoff_passes_on_the_labs_clock(lab: Any) -> None:
    lab.supervise(cells.order, backoff="1m")
    lab.start(cells.order, 1, id="o-1")
    lab.settle()
    assert "o-1 comes back by replay in 1m" in kill(lab, "o-1")
    assert lab.waiting_for("o-1") == "its restart in 1m: the backoff of its supervisor" and "Restarting" in str(lab.tree())
    lab.clock.skip("59s")
    assert "its restart in 1s" in lab.waiting_for("o-1")
    lab.clock.skip("1s")
    assert lab.waiting_for("o-1").startswith("signal 'approval'")


def test_beyond_the_limit_a_run_fails_with_a_named_error(lab: Any) -> None:
    lab.supervise(cells.order, runs="temporary", give_up="fail")
    handle = lab.start(cells.order, 1, id="o-1")
    lab.settle()
    assert "o-1 is temporary and is not started again: it has failed" in kill(lab, "o-1")
    with pytest.raises(errors.WorkflowFailedError, match="SupervisionGaveUp: o-1 was lost"):
        handle.result(10)
    assert handle.history().to_frame().event.iloc[-1] == "WorkflowFailed"


def test_a_run_that_was_given_up_is_resumed(lab: Any) -> None:
    lab.supervise(cells.order, runs="temporary")
    handle = lab.start(cells.order, 1, id="o-1")
    lab.settle()
    kill(lab, "o-1")
    assert "1 stuck" in str(lab.status()) and "stays down until it is resumed" in lab.waiting_for("o-1")
    handle.signal("approval", "ada")
    handle.resume()
    assert handle.result(10)["ok"] == "ada"


def test_declarations_are_in_force_when_the_database_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "lab.db"
    with aionlab.open(path) as lab:
        lab.supervise("orders", [cells.order], strategy="one_for_all")
        lab.start(cells.order, 1, id="o-1")
        lab.settle(10)
    with aionlab.open(path) as lab:
        lab.settle(10)
        assert lab.supervisors() == [Supervisor("orders", ["order"], strategy="one_for_all")]
        frame = lab.tree().to_frame()
        assert list(frame.name)[:4] == ["lab", "orders", "order", "o-1"] and len(lab.supervision()) == 0


def test_what_is_refused_is_not_kept(lab: Any) -> None:
    lab.supervise("orders", [cells.order])
    for wrong in (
        lambda: lab.supervise("other", [cells.order]), lambda: lab.supervise("x", strategy="one"), lambda: lab.supervise(Supervisor("x"), intensity=3),
        lambda: lab.supervise(None, ["x"]), lambda: lab.unsupervise("x"), lambda: lab.supervise("x", [len]),
    ):  # fmt: skip
        with pytest.raises(errors.InvalidOption):
            wrong()
    with pytest.raises(TypeError):
        lab.supervise("x", intensty=3)
    assert lab.supervisors() == [Supervisor("orders", ["order"])]


@requires("posix")
def test_one_who_looks_on_declares_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lab.db"
    with aionlab.open(path) as lab:
        lab.supervise("orders", [cells.order])
    child = owner(path)
    with aionlab.open(path) as lab:
        assert lab.readonly and lab.supervisors() == [Supervisor("orders", ["order"])] and len(lab.supervision()) == 0
        for verb in (lambda: lab.supervise("x"), lambda: lab.unsupervise("orders")):
            with pytest.raises(errors.StoreReadOnly):
                verb()
    child.kill()
    child.wait()
