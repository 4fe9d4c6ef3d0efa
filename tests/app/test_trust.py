"""Whose code and whose history may run: look mode executes nothing, and says what it waits for."""
from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import aionlab
from aionlab.core import errors
from tests.app.notebook import Notebook


def program(canary: Path) -> str:
    """A cell whose workflow, activity and top level each leave a line behind when they run."""
    return f"""
from pathlib import Path

def tell(what):
    with open({str(canary)!r}, "a") as file:
        file.write(what + " ")

class Loaded:
    tell("loaded")

@activity
def touch(n):
    tell("touched")
    return n

@workflow
async def order(n):
    workflow.on_query("state", lambda: "open")
    Loaded()
    first = await touch(n)
    tell("stepped")
    await workflow.receive("approval")
    return first + await touch(n)
"""


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "canary"


@pytest.fixture
def path(tmp_path: Path, canary: Path) -> Path:
    """A lab with a run that waits for a signal, written by this user, closed cleanly; the canary is silent again."""
    with aionlab.open(tmp_path / "lab.db") as lab:
        book = Notebook(lab)
        book.run(program(canary))
        lab.start(book["order"], 2, id="o-1")
        lab.settle()
        assert "stepped" in canary.read_text()
    canary.unlink()
    return tmp_path / "lab.db"


def look(lab: Any) -> None:
    """Everything that only reads, once."""
    lab.settle(10)
    assert "async def order" in str(lab.code("order")) and "def touch" in str(lab.code())
    assert len(lab.events("o-1", full=True)) >= 4 and lab.describe("o-1") and str(lab.timeline("o-1")) and lab.tree() and lab.runs() and lab.status()
    assert lab.versions("order") is not None and lab.waiting_for("o-1") and lab.get("o-1").stack() == []
    with pytest.raises(errors.QueryFailed):
        lab.query("o-1", "state")


def waits_for_trust(lab: Any, canary: Path) -> None:
    """The run waits and says why; nothing ran."""
    look(lab)
    (entry,) = lab.registry()
    assert (entry.residency, entry.waiting_for) == ("Waiting", "trust: lab.db was last written elsewhere; `%aion code` to read, `%aion trust` to run")
    assert "trust" in str(lab.describe("o-1")) and "1 waiting for code or trust" in str(lab.status())
    lab.signal("o-1", "approval")
    lab.settle(10)
    assert not lab.get("o-1").status.closed and not canary.exists(), "a signal brought it to life"


def test_the_same_user_goes_on(path: Path, canary: Path) -> None:
    with aionlab.open(path) as lab:
        lab.signal("o-1", "approval")
        assert lab.get("o-1").result(10) == 4 and "touched" in canary.read_text()


@pytest.mark.parametrize("change", [
    lambda patch, tmp: patch.setenv("AIONLAB_SECRET", "another secret of enough length"),
    lambda patch, tmp: patch.setenv("JUPYTER_DATA_DIR", str(tmp / "another home")),
])  # fmt: skip
def test_another_user_looks_and_then_trusts(path: Path, canary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[..., None]) -> None:
    change(monkeypatch, tmp_path)
    with aionlab.open(path) as lab:
        waits_for_trust(lab, canary)
        with pytest.raises(errors.AionError):
            lab.start("order", 1, id="o-2")
        assert lab.ids() == ["o-1"]
        assert lab.trust() == "trusted: 1 run comes back"
        assert lab.get("o-1").result(10) == 4
        assert "touched" in canary.read_text()
    with aionlab.open(path) as lab:
        assert lab.query("o-1", "state") == "open", "trust lasts"
    monkeypatch.undo()


def test_a_start_of_untrusted_code_is_refused_in_words(path: Path, canary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIONLAB_SECRET", "another secret of enough length")
    with aionlab.open(path) as lab, pytest.raises(errors.UsageError, match="trust"):
        lab.start("order", 1)
    assert not canary.exists()


def test_running_the_cell_trusts_the_cells_bytes_and_not_a_foreign_history(path: Path, canary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIONLAB_SECRET", "another secret of enough length")
    with aionlab.open(path) as lab:
        book = Notebook(lab)
        book.run(program(canary))
        canary.unlink()
        lab.settle(10)
        assert bool(lab.versions("order")["trusted"].iloc[0])
        assert lab.registry().entries[0].residency == "Waiting" and not canary.exists(), "a foreign history was fed to trusted code"
        lab.start(book["order"], 5, id="mine").signal("approval")
        assert lab.get("mine").result(10) == 10
        lab.trust()
        lab.signal("o-1", "approval")
        assert lab.get("o-1").result(10) == 4


def edited(path: Path, statement: str, *values: object) -> None:
    db = sqlite3.connect(path)
    db.execute(statement, values)
    db.commit()
    db.close()


def test_a_tampered_document_never_runs(path: Path, canary: Path) -> None:
    """Same version, changed bytes; the cell's own bytes take their place when it runs again."""
    db = sqlite3.connect(path)
    (document,) = db.execute("SELECT document FROM package WHERE workflow_type = 'order'").fetchone()
    db.close()
    assert b"stepped" in document
    edited(path, "UPDATE package SET document = ? WHERE workflow_type = 'order'", document.replace(b"stepped", b"forged"))
    with aionlab.open(path) as lab:
        waits_for_trust(lab, canary)
        book = Notebook(lab)
        book.run(program(canary))
        assert lab.get("o-1").result(10) == 4
        assert "forged" not in canary.read_text() and "forged" not in str(lab.code("order"))
    with aionlab.open(path) as lab:
        assert lab.query("o-1", "state") == "open" and "forged" not in canary.read_text()


def test_a_tampered_activity_never_runs(path: Path, canary: Path) -> None:
    db = sqlite3.connect(path)
    (document,) = db.execute("SELECT document FROM package WHERE workflow_type = 'activity:touch'").fetchone()
    db.close()
    edited(path, "UPDATE package SET document = ? WHERE workflow_type = 'activity:touch'", document.replace(b"touched", b"forged"))
    with aionlab.open(path) as lab:
        lab.signal("o-1", "approval")
        lab.settle(10)
        assert lab.waiting_for("o-1") == "touch (its stored code is not trusted: `%aion trust`)"
        assert not lab.get("o-1").status.closed and "forged" not in canary.read_text() and "touched" not in canary.read_text()
        book = Notebook(lab)
        book.run(program(canary))
        assert lab.get("o-1").result(10) == 4 and "forged" not in canary.read_text()


@pytest.mark.parametrize("statement", [
    "UPDATE event SET payload = CAST('99' AS BLOB) WHERE code = (SELECT code FROM history WHERE seq = 4)",
    "DELETE FROM event WHERE id = (SELECT max(id) FROM event)",
    "UPDATE run SET version = 'another'",
    "UPDATE owner SET epoch = epoch + 1",
    "DELETE FROM meta WHERE key = 'witness'",
])  # fmt: skip
def test_a_history_changed_after_a_clean_close_waits(path: Path, canary: Path, statement: str) -> None:
    edited(path, statement)
    with aionlab.open(path) as lab:
        lab.settle(10)
        (entry,) = lab.registry()
        assert entry.residency == "Waiting" and entry.waiting_for.startswith("trust: lab.db"), entry
        assert not canary.exists()


def test_a_lab_that_was_not_closed_is_trusted(tmp_path: Path, canary: Path) -> None:
    from tests.store.children import fork

    def killed() -> None:
        import os
        import signal

        lab = aionlab.open(tmp_path / "lab.db")
        book = Notebook(lab)
        book.run(program(canary))
        lab.start(book["order"], 2, id="o-1")
        lab.settle()
        os.kill(os.getpid(), signal.SIGKILL)

    assert fork(killed) == 9
    with aionlab.open(tmp_path / "lab.db") as lab:
        lab.signal("o-1", "approval")
        assert lab.get("o-1").result(10) == 4


def test_moved_code_of_the_same_version_stays_trusted(tmp_path: Path, canary: Path) -> None:
    """The same code at other lines has the same version and another document: the newest is kept with its signature."""
    with aionlab.open(tmp_path / "lab.db") as lab:
        book = Notebook(lab)
        book.run(program(canary))
        book.run("\n\n\n" + program(canary))
        assert len(lab.versions("order")) == 1
        lab.start(book["order"], 2, id="o-1")
        lab.settle()
    with aionlab.open(tmp_path / "lab.db") as lab:
        lab.settle()
        assert lab.registry().entries[0].residency == "Resident"


USES = """
@activity
def load(n):
    return db[n]

@workflow
async def report(n):
    return await load(n)
"""


def test_an_activity_waits_for_names_of_the_notebook(tmp_path: Path) -> None:
    with aionlab.open(tmp_path / "lab.db") as lab:
        book = Notebook(lab)
        book.run("class Client(list): pass\ndb = Client('abc')")
        book.run(USES)
        assert lab.start(book["report"], 1).result(10) == "b"
    with aionlab.open(tmp_path / "lab.db") as lab:
        book = Notebook(lab)
        handle = lab.start("report", 2, id="r-1")
        lab.settle(10)
        assert lab.waiting_for("r-1") == "`db`: run the cell that makes it"
        assert "`db`" in str(lab.describe("r-1")) and "`db`" in str(lab.tree()) and "1 waiting" in str(lab.status())
        attempts = len(handle.history())
        book.run("unrelated = 1")
        lab.settle(10)
        assert len(handle.history()) == attempts and not handle.status.closed, "waiting is not counted"
        book.run("db = 'xyz'")
        assert handle.result(10) == "z"
        assert [type(r.event).__name__ for r in handle.history()].count("ActivityStarted") == 1


def test_a_new_definition_of_the_activity_feeds_it_too(tmp_path: Path) -> None:
    with aionlab.open(tmp_path / "lab.db") as lab:
        book = Notebook(lab)
        book.run("class Client(list): pass\ndb = Client('abc')")
        book.run(USES)
    with aionlab.open(tmp_path / "lab.db") as lab:
        book = Notebook(lab)
        handle = lab.start("report", 2)
        lab.settle(10)
        book.run("@activity\ndef load(n):\n    return n * 100\n")
        assert handle.result(10) == 200
