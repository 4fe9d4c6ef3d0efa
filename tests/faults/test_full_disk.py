"""No room: callers are told, the lab says why it stands still, and it goes on by itself when there is room again. Nothing is lost."""
from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

import aionlab
from aionlab.core import errors
from aionlab.store.sqlite import SqliteStore
from tests.app.conftest import until
from tests.environment import requires
from tests.faults import cells
from tests.store.children import fork


def fill(lab: Any, to: str) -> int:
    """Signal until one is refused; how many were acknowledged."""
    sent = 0
    with pytest.raises(errors.StoreFull, match="no room left"):
        while sent < 5000:
            lab.signal(to, "noise", os.urandom(1500).hex())
            sent += 1
    return sent


def check(path: Path, ids: dict[str, int]) -> None:
    store = SqliteStore.open(path)
    assert store.verify() == []
    for name, signals in ids.items():
        assert sum(getattr(r.event, "name", "") == "noise" for r in store.read(name)) == signals
    store.close()


def test_the_largest_database_is_reached(tmp_path: Path) -> None:
    path = tmp_path / "lab.db"
    with aionlab.open(path) as lab:
        handle = lab.start(cells.order, 21, id="o-1")
        waiting = lab.start(cells.order, 1, id="o-2")
        lab.settle()
        db = lab.host.engine.store._db
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count = {pages + 30}")
        sent = fill(lab, "o-1")
        assert "no room left" in str(lab.status()) and lab.status().progress.halted
        with pytest.raises(errors.StoreFull):
            lab.start(cells.order, 1, id="late" * 60, memo="x" * 200_000)
        assert len(lab.events("o-1")) == 4 + sent and lab.describe("o-1") and lab.tree(), "what is there can be read"
        db.execute("PRAGMA max_page_count = 1000000")
        lab.signal("o-1", "approval", 1)
        waiting.signal("approval", 2)
        assert handle.result(10) == [42, 1, 84] and waiting.result(10) == [2, 2, 4]
        assert lab.status().progress.halted == "" and lab.ids() == ["o-1", "o-2"]
    check(path, {"o-1": sent})


def test_an_activitys_result_waits_for_room(tmp_path: Path) -> None:
    """A completion that cannot be recorded is kept and recorded later; the activity does not run again."""
    ran: list[int] = []
    go = threading.Event()
    with aionlab.open(tmp_path / "lab.db") as lab:
        lab.define(cells.order)
        lab.library._runnable.clear()
        fn = cells.charge.fn
        try:
            cells.charge.fn = lambda n: (go.wait(20), ran.append(n), "x" * 100_000)[2]  # type: ignore[assignment]
            handle = lab.start("order", 21, id="o-1")
            until(lambda: lab.host.engine.in_flight)
            db = lab.host.engine.store._db
            (pages,) = db.execute("PRAGMA page_count").fetchone()
            db.execute(f"PRAGMA max_page_count = {pages + 4}")
            go.set()
            until(lambda: lab.status().progress.halted)
            assert not handle.status.closed and "ActivityCompleted" not in list(lab.events("o-1")["event"])
            db.execute("PRAGMA max_page_count = 1000000")
            until(lambda: "ActivityCompleted" in list(lab.events("o-1")["event"]))
            assert ran == [21] and lab.settle(10) and not lab.status().progress.halted
        finally:
            cells.charge.fn = fn


@requires("posix")
def test_the_process_may_not_write_larger_files(tmp_path: Path) -> None:
    path = tmp_path / "lab.db"

    def child() -> None:
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        with aionlab.open(path) as lab:
            handle = lab.start(cells.order, 21, id="o-1")
            lab.settle()
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (700_000, hard))
            sent = fill(lab, "o-1")
            assert "no room left" in str(lab.status())
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
            lab.signal("o-1", "approval", 1)
            assert handle.result(10) == [42, 1, 84]
        check(path, {"o-1": sent})

    assert fork(child) == 0
