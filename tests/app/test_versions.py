"""Routes, rollback, moving runs and letting go of versions, through the lab."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import aionlab
from aionlab.core.errors import CodeRefused, InvalidOption, NondeterminismError, RunClosed, WorkflowNotFound
from tests.app.conftest import until
from tests.app.notebook import Notebook

FIRST = """
@activity
async def add(n, m): return n + m

@workflow
async def order(n):
    await workflow.receive("go")
    return await add(n, 1)
"""
SECOND = FIRST.replace("add(n, 1)", "add(n, 2)")
"""Agrees with every history that still waits."""
OTHER = FIRST.replace('await workflow.receive("go")', 'await workflow.sleep("1h")')
"""Asks for a timer where the first waits for a signal."""


@pytest.fixture
def book(lab: Any) -> Notebook:
    book = Notebook(lab)
    book.run(FIRST)
    return book


def version(lab: Any) -> str:
    return str(lab.call("routed", "order"))


def define(book: Notebook, text: str) -> str:
    book.run(text)
    return version(book.lab)


# --- routes


def test_a_new_version_takes_the_route_and_runs_in_flight_stay(book: Notebook) -> None:
    lab, first = book.lab, version(book.lab)
    old = lab.start("order", 1, id="old")
    second = define(book, SECOND)
    new = lab.start("order", 1, id="new")
    assert first != second
    frame = lab.versions("order", full=True)
    assert list(frame.index) == [first, second] and list(lab.versions("order").index) == [first[:7], second[:7]]
    assert list(frame["routed"]) == [False, True] and list(frame["open"]) == [1, 1] and not frame["pinned"].any()
    for handle in (old, new):
        handle.signal("go")
    assert (old.result(5), new.result(5)) == (2, 3)


def test_a_pinned_route_keeps_new_starts_where_they_are(book: Notebook, tmp_path: Path) -> None:
    lab, first = book.lab, version(book.lab)
    assert "pinned" in lab.route("order")
    assert define(book, SECOND) == first
    card = lab.define(book["order"])
    assert card.pinned == first and first[:7] in repr(card)
    lab.close()
    with aionlab.open(tmp_path / "lab.db") as again:
        assert version(again) == first
        again.trust()
        assert "follows" not in again.route("order", pin=False)
        assert define(Notebook(again), OTHER) != first


def test_rollback_goes_one_back_and_stays_there(book: Notebook) -> None:
    lab, first = book.lab, version(book.lab)
    second = define(book, SECOND)
    assert first[:7] in lab.rollback("order") and version(lab) == first
    assert lab.versions("order")["pinned"].tolist() == [True, False]
    with pytest.raises(InvalidOption, match="oldest"):
        lab.rollback("order")
    lab.route("order", second[:6])
    assert version(lab) == second


@pytest.mark.parametrize("wrong", ["zzz", ""])
def test_a_version_that_is_not_there_is_named(book: Notebook, wrong: str) -> None:
    with pytest.raises(WorkflowNotFound, match="order"):
        book.lab.route("order", wrong)
    with pytest.raises(WorkflowNotFound):
        book.lab.rollback("unknown") if wrong else book.lab.route("unknown")


def test_an_exact_version_may_be_started_whatever_the_route_says(book: Notebook) -> None:
    lab, first = book.lab, version(book.lab)
    define(book, SECOND)
    handle = lab.start("order", 1, version=first[:7])
    handle.signal("go")
    assert handle.result(5) == 2


# --- unloading


def test_a_version_in_use_cannot_be_unloaded(book: Notebook) -> None:
    lab, first = book.lab, version(book.lab)
    with pytest.raises(InvalidOption, match="new starts of order get"):
        lab.unload("order", first)
    handle = lab.start("order", 1)
    define(book, SECOND)
    with pytest.raises(InvalidOption, match="1 open run is on"):
        lab.unload("order", first)
    handle.terminate()
    until(lambda: lab.versions("order")["open"].sum() == 0)
    assert "forgotten" in lab.unload("order", first)
    assert len(lab.versions("order")) == 1
    with pytest.raises(WorkflowNotFound):
        lab.unload("order", first)
    with pytest.raises(WorkflowNotFound):
        lab.start("order", 1, version=first)


# --- moving


def test_a_run_moves_to_code_its_history_agrees_with(book: Notebook, tmp_path: Path) -> None:
    lab, first = book.lab, version(book.lab)
    handle = lab.start("order", 1, id="o")
    second = define(book, SECOND)
    assert handle.move() == f"o went from {first[:7]} to {second[:7]}"
    assert lab.call("run", "o").version == second
    lab.close()
    with aionlab.open(tmp_path / "lab.db") as again:
        Notebook(again)
        assert again.call("run", "o").version == second
        again.signal("o", "go")
        assert again.get("o").result(5) == 3
        assert again.host.engine.store.verify() == []
        kinds = [type(recorded.event).__name__ for recorded in again.get("o").history()]
        assert kinds[:3] == ["WorkflowStarted", "VersionChanged", "SignalReceived"]


def test_code_that_disagrees_is_refused_and_nothing_is_written(book: Notebook) -> None:
    lab, first = book.lab, version(book.lab)
    handle = lab.start("order", 1, id="o")
    define(book, OTHER)
    before = len(handle.history())
    with pytest.raises(NondeterminismError, match="timer"):
        handle.move()
    assert len(handle.history()) == before and lab.call("run", "o").version == first
    handle.signal("go")
    assert handle.result(5) == 2


def test_moving_where_it_is_and_moving_what_is_closed(book: Notebook) -> None:
    handle = book.lab.start("order", 1, id="o")
    with pytest.raises(InvalidOption, match="already"):
        handle.move()
    handle.terminate()
    define(book, SECOND)
    with pytest.raises(RunClosed):
        handle.move()


def test_a_stuck_run_goes_on_under_fixed_code(book: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    lab, fork = book.lab, """
import os

@activity
async def left(): return "left"

@activity
async def right(): return "right"

@workflow
async def fork():
    first = await (left() if os.environ.get("WAY") == "left" else right())
    await workflow.receive("go")
    return first
"""
    monkeypatch.setenv("WAY", "left")
    book.run(fork)
    handle = lab.start("fork", id="f")
    until(lambda: "ActivityCompleted" in [type(r.event).__name__ for r in handle.history()])
    handle.suspend()
    monkeypatch.setenv("WAY", "right")
    handle.signal("go")
    until(lambda: isinstance(lab.host.engine.find("f").stuck, NondeterminismError))
    book.run(fork.replace('left() if os.environ.get("WAY") == "left" else right()', "left()").replace("return first", "return first.upper()"))
    handle.move()
    assert handle.result(5) == "LEFT"


def test_an_ambiguous_version_is_refused(book: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = book.lab
    define(book, SECOND)
    found = [v._replace(version="abc" + v.version) for v in lab.call("versions", "order")]
    kept: Callable[..., Any] = lab.call
    monkeypatch.setattr(lab, "call", lambda verb, *args: found if verb == "versions" else kept(verb, *args))
    with pytest.raises(InvalidOption, match="begins 2 versions"):
        lab.route("order", "abc")


# --- histories against new code


def test_new_code_is_tried_on_recorded_histories(book: Notebook) -> None:
    """After redefinition the stored histories of the type are replayed against the new code and the outcome is shown."""
    lab = book.lab
    waits = lab.start("order", 1, id="waits")
    ended = lab.start("order", 1, id="ended")
    ended.signal("go")
    ended.result(5)
    book.names["order"] = None
    exec_first = book.run
    exec_first(SECOND)
    checked = lab.audit(lab.host.engine.catalog.resolve("order"))
    assert (checked.good, checked.diverged) == (2, ())
    book.run(OTHER)
    checked = lab.audit(lab.host.engine.catalog.resolve("order"))
    assert checked.good == 0 and set(checked.diverged) == {"waits", "ended"}
    waits.signal("go")
    assert waits.result(5) == 2


def test_the_card_says_how_histories_agree(book: Notebook) -> None:
    lab = book.lab
    lab.start("order", 1, id="waits")
    text = OTHER
    import linecache

    linecache.cache["<cell x>"] = (len(text), None, text.splitlines(keepends=True), "<cell x>")
    exec(compile(text, "<cell x>", "exec"), book.names)
    lab.library.ledger.note_cell(text, "<cell x>", book.names, "In[x]")
    card = lab.define(book["order"])
    assert card.checked.diverged == ("waits",)
    assert "diverged: waits" in str(card._repr_mimebundle_()["text/html"])
    assert lab.define(book["order"]).checked == type(card.checked)()


def test_an_activity_with_options_as_a_global_is_refused(book: Notebook) -> None:
    """Its options would be lost: a version refers to activities by name."""
    with pytest.raises(CodeRefused, match=r"quick .* is add with options.*call add.with_options"):
        book.run("quick = add.with_options(start_to_close='1s')\n@workflow\nasync def fast(n):\n    return await quick(n, 1)\n")
