"""Opening and closing: what is shared, what is left behind, who may write, and what other files are told."""
from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import aionlab
from aionlab.core import errors
from tests.app import cells
from tests.app.conftest import descriptors, until
from tests.environment import requires
from tests.store.children import fork

ROOT = Path(__file__).parents[2]


def owner(path: Path, *, then: str = "sys.stdin.readline()") -> subprocess.Popen[str]:
    """Another process that owns the lab, has started `o-1` and says so; it goes on when it is told something."""
    program = f"""
import sys, aionlab
from tests.app import cells
lab = aionlab.open({str(path)!r})
lab.start(cells.order, 21, id="o-1"); lab.settle()
print("owns", flush=True)
sys.stdin.readline()
{then}
"""
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert child.stdout is not None and child.stdout.readline() == "owns\n"
    return child


def tell(child: subprocess.Popen[str]) -> str:
    """Let the other process go on; all it says until it ends."""
    return child.communicate("go\n", timeout=60)[0]


def test_a_second_open_gives_the_same_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = aionlab.open(tmp_path / "lab.db")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.db").symlink_to(tmp_path / "lab.db")
    assert aionlab.open("lab.db") is lab and aionlab.open(str(tmp_path / "link.db")) is lab and aionlab.open(tmp_path / "lab.db", takeover=True) is lab
    lab.close()
    again = aionlab.open("lab.db")
    assert again is not lab and not again.closed
    again.close()


@requires("linux")
def test_opening_and_closing_leaves_nothing(tmp_path: Path) -> None:
    with aionlab.open(tmp_path / "lab.db") as lab:
        lab.start(cells.asks_async, 1).result(10)
    until(lambda: not [t for t in threading.enumerate() if t.name.startswith("aion-")])
    before, interval = descriptors(), sys.getswitchinterval()
    for n in range(5):
        with aionlab.open(tmp_path / "lab.db") as lab:
            assert lab.start(cells.order, n).signal("approval") and lab.start(cells.asks_async, n).result(10) == n
            lab.settle()
            assert (tmp_path / "lab.db.lock").exists()
    until(lambda: not [t for t in threading.enumerate() if t.name.startswith("aion-")])
    assert descriptors() == before and sys.getswitchinterval() == interval
    assert sorted(path.name for path in tmp_path.glob("lab.db*")) == ["lab.db"]


def test_open_runs_go_on_when_it_is_opened_again(tmp_path: Path) -> None:
    with aionlab.open(tmp_path / "lab.db") as lab:
        lab.start(cells.order, 21, id="o-1")
        lab.settle()
        before = [repr(recorded) for recorded in lab.get("o-1").history()]
    with aionlab.open(tmp_path / "lab.db") as lab:
        lab.settle()
        assert [repr(recorded) for recorded in lab.get("o-1").history()] == before, "coming back wrote something"
        lab.signal("o-1", "approval", 1)
        assert lab.get("o-1").result(10) == {"paid": 42, "ok": 1, "rush": False}


def test_labs_in_memory_are_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with aionlab.open(":memory:") as one, aionlab.open(":memory:") as other:
        assert one is not other
        assert one.start(cells.quick, 1, id="a").result(10) == 2 and other.ids() == []
        assert one.sqlite.execute("select count(*) from history").fetchone()[0] == 2
        assert one.trust().startswith("trusted")
    assert [path.name for path in tmp_path.iterdir() if path.name != "data"] == []


def test_an_engine_inside_the_calls(tmp_path: Path) -> None:
    before = threading.active_count()
    with aionlab.open(tmp_path / "lab.db", threads=False) as lab:
        handle = lab.start(cells.order, 2, id="o")
        lab.signal("o", "approval", 5)
        assert handle.result(10)["paid"] == 4 and threading.active_count() == before
        assert lab.clock.now() and lab.settle(5)


@requires("posix")
def test_a_forked_child_may_not_use_it_and_opens_its_own(tmp_path: Path) -> None:
    lab = aionlab.open(tmp_path / "lab.db")
    handle = lab.start(cells.order, 1, id="o-1")
    lab.settle()
    before = len(handle.history())

    def child() -> None:
        for act in (lambda: lab.start(cells.order, 1, id="theirs"), lambda: lab.signal("o-1", "approval"), lab.runs, handle.result):
            with pytest.raises(errors.Fenced, match="forked"):
                act()
        lab.close()
        observer = aionlab.open(tmp_path / "lab.db")
        assert observer is not lab and observer.readonly and observer.ids() == ["o-1"] and f"process {os.getppid()}" in observer.owner

    assert fork(child) == 0
    assert len(handle.history()) == before and handle.signal("approval") and handle.result(10)["paid"] == 2


def test_fifty_threads_call_everything(tmp_path: Path) -> None:
    switch = sys.getswitchinterval()
    wrong: list[BaseException] = []
    with aionlab.open(tmp_path / "lab.db") as lab:
        lab.define(cells.order)
        sys.setswitchinterval(1e-6)
        ready = threading.Barrier(50)

        def use(n: int) -> None:
            try:
                ready.wait()
                handle = lab.start(cells.order, n, id=f"t-{n}")
                with pytest.raises(errors.AlreadyStarted):
                    lab.start("order", n, id=f"t-{n}")
                lab.describe(handle.id), lab.tree(), lab.registry(), lab.status(), lab.runs(limit=3), lab.ids(), lab.waiting_for(handle.id)
                lab.signal_names(handle.id), lab.query_names(handle.id), lab.workflow_types(), lab.clock.now(), handle.stack(), handle.history()
                assert handle.query("status") in ("charging", "waiting")
                handle.pause()
                handle.resume()
                handle.suspend()
                assert [handle.signal("spam", n, idempotency_key="k") for _ in range(3)] == [True, False, False]
                handle.signal("approval", n)
                assert handle.result(60) == {"paid": 2 * n, "ok": n, "rush": False}
                lab.timeline(handle.id), lab.events(handle.id), lab.code("order"), lab.versions("order")
            except BaseException as error:
                wrong.append(error)

        threads = [threading.Thread(target=use, args=(n,)) for n in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(switch)
        assert wrong == []
        assert lab.settle(30) and lab.status().progress.closed == 50
    from aionlab.store.sqlite import SqliteStore

    store = SqliteStore.open(tmp_path / "lab.db", readonly=True)
    assert store.verify() == []
    store.close()


@requires("posix")
def test_an_observer_reads_everything_and_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lab.db"
    child = owner(path, then='lab.signal("o-1", "approval", 7); lab.settle(); print("sent", flush=True); sys.stdin.read()')
    with aionlab.open(path) as lab:
        assert lab.readonly and f"process {child.pid}" in lab.owner and repr(lab) == "<Lab lab.db (looks on)>"
        assert [run.workflow_id for run in lab.runs()] == ["o-1"] and lab.ids() == ["o-1"]
        handle = lab.get("o-1")
        assert str(handle.status) == "Running" and len(lab.events("o-1")) == len(handle.history()) == 4
        assert lab.describe("o-1") and repr(lab.timeline("o-1")) and "async def order" in str(lab.code()) and lab.workflow_types() == ["order"]
        assert lab.status().progress.running == 1 and lab.status().progress.readonly and f"process {child.pid}" in str(lab.status())
        assert lab.tree() and len(lab.registry()) == 0 and lab.settle(10) and len(lab.versions("order")) == 1
        assert lab.sqlite.execute("select count(*) from history").fetchone()[0] == 4
        for act in (lambda: lab.start(cells.order, 1), lambda: lab.start("order", 1), lambda: lab.signal("o-1", "approval"), lambda: lab.cancel("o-1"),
                    lambda: lab.terminate("o-1"), lambda: lab.pause("o-1"), lambda: lab.resume("o-1"), lambda: lab.kill(1), lambda: lab.define(cells.quick),
                    lab.trust, lambda: lab.register_search_attribute("x", "int"), lambda: handle.signal("approval")):  # fmt: skip
            with pytest.raises(errors.StoreReadOnly, match=f"lab.db belongs to process {child.pid}"):
                act()
        with pytest.raises(errors.StoreReadOnly):
            handle.result(1)
        assert child.stdin is not None and child.stdout is not None
        child.stdin.write("go\n")
        child.stdin.flush()
        assert child.stdout.readline() == "sent\n"
        assert str(handle.status) == "Completed" and handle.result(10) == {"paid": 42, "ok": 7, "rush": False}, "the owner's commits are seen"
    child.stdin.close()
    assert child.wait(60) == 0
    with aionlab.open(path) as lab:
        assert not lab.readonly


@requires("posix")
def test_a_takeover_fences_the_owner(tmp_path: Path) -> None:
    path = tmp_path / "lab.db"
    child = owner(path, then="""
from aionlab.core import errors
for act in (lambda: lab.signal("o-1", "approval", 1), lambda: lab.start(cells.order, 1, id="late"), lambda: lab.signal("o-1", "approval", 1)):
    try:
        act()
    except errors.Fenced as error:
        print("fenced", "another kernel has taken" in str(error))
print(lab.status().progress.halted != "", len(lab.events("o-1")))
lab.close()
""")
    with aionlab.open(path, takeover=True) as lab:
        assert not lab.readonly and lab.owner == "this kernel"
        lab.settle()
        before = len(lab.events("o-1"))
        assert tell(child) == "fenced True\n" * 3 + f"True {before}\n" and child.returncode == 0
        assert (tmp_path / "lab.db.lock").exists(), "the old owner removed the lock of the new one"
        assert lab.ids() == ["o-1"] and len(lab.events("o-1")) == before, "the fenced owner wrote"
        lab.signal("o-1", "approval", 2)
        assert lab.get("o-1").result(10)["ok"] == 2
    with aionlab.open(path) as lab:
        assert not lab.readonly and lab.ids() == ["o-1"]


@requires("posix")
def test_two_processes_race_for_a_new_file(tmp_path: Path) -> None:
    """One owns it, the other looks on; whoever it is, both see the same."""
    program = """
import sys, aionlab
sys.stdin.readline()
lab = aionlab.open(sys.argv[1])
print("looks" if lab.readonly else "owns", lab.owner, flush=True)
sys.stdin.readline()
"""
    for n in range(3):
        command = [sys.executable, "-c", program, str(tmp_path / f"{n}.db")]
        pair = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(2)]
        for _ in range(2):
            for child in pair:
                assert child.stdin is not None
                child.stdin.write("go\n")
                child.stdin.flush()
            if _ == 0:
                said = [child.stdout.readline().split(" ", 1) for child in pair]  # type: ignore[union-attr]
        assert sorted(word for word, _ in said) == ["looks", "owns"], said
        owning = pair[[word for word, _ in said].index("owns")]
        assert any(who.startswith(f"process {owning.pid} on") for _, who in said)
        for child in pair:
            assert child.wait(30) == 0


def test_files_that_are_not_ours(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("dear diary, today I wrote more than sixteen bytes")
    foreign = sqlite3.connect(tmp_path / "foreign.db")
    foreign.execute("create table t (x)")
    foreign.commit()
    foreign.close()
    for name in ("text.db", "foreign.db"):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(errors.NotOurDatabase, match=name):
            aionlab.open(tmp_path / name)
        assert (tmp_path / name).read_bytes() == before
        assert sorted(path.name for path in tmp_path.glob(f"{name}*")) == [name], "something was left beside it"
    with pytest.raises(errors.StoreError):
        aionlab.open(tmp_path / "none" / "lab.db")


def changed(path: Path, statement: str) -> None:
    db = sqlite3.connect(path)
    db.execute(statement)
    db.commit()
    db.close()


def test_a_newer_schema_is_read_only_and_says_why(tmp_path: Path) -> None:
    path = tmp_path / "lab.db"
    with aionlab.open(path) as lab:
        lab.start(cells.order, 1, id="o-1")
        lab.settle()
    changed(path, "PRAGMA user_version = 99")
    with aionlab.open(path) as lab:
        assert lab.readonly and lab.ids() == ["o-1"] and "schema 99" in lab.owner and "newer aionlab" in str(lab.status())
        with pytest.raises(errors.StoreReadOnly, match=r"newer aionlab \(schema 99.*upgrade aionlab"):
            lab.start(cells.order, 1)


@requires("posix")
def test_a_read_only_file_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lab.db"
    with aionlab.open(path) as lab:
        lab.start(cells.order, 1, id="o-1")
        lab.settle()
    path.chmod(0o400)
    may = os.access
    monkeypatch.setattr(os, "access", lambda name, mode, **more: may(name, mode, **more) and not (mode == os.W_OK and str(name) == str(path)))  # root may write all
    with aionlab.open(path) as lab:
        assert lab.readonly and len(lab.events("o-1")) == 4 and "read-only" in str(lab.status())
        with pytest.raises(errors.StoreReadOnly, match="is read-only; this lab only looks on"):
            lab.signal("o-1", "approval")


def test_a_short_secret_is_refused_in_our_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIONLAB_SECRET", "short")
    with pytest.raises(errors.InvalidOption, match="too short"):
        aionlab.open(tmp_path / "lab.db")
    monkeypatch.delenv("AIONLAB_SECRET")
    with aionlab.open(tmp_path / "lab.db") as lab:
        assert not lab.readonly




@requires("posix")
def test_a_lock_file_that_its_owner_just_removed_is_not_believed(tmp_path: Path) -> None:
    """Many processes open and close one file at once: there is never more than one owner, and in the end the file is free."""
    program = """
import sys, aionlab
from tests.app import cells
sys.stdin.readline()
for n in range(6):
    with aionlab.open(sys.argv[1]) as lab:
        if not lab.readonly:
            lab.start(cells.quick, n, id=f"{sys.argv[2]}-{n}").result(20)
            print(f"{sys.argv[2]}-{n}")
"""
    aionlab.open(tmp_path / "lab.db").close()
    command = [sys.executable, "-c", program, str(tmp_path / "lab.db")]
    crowd = [subprocess.Popen([*command, str(n)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) for n in range(3)]
    for child in crowd:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    acknowledged = [line for child in crowd for line in child.communicate(timeout=60)[0].split()]
    assert [child.returncode for child in crowd] == [0, 0, 0] and acknowledged
    with aionlab.open(tmp_path / "lab.db") as lab:
        assert not lab.readonly and sorted(lab.ids()) == sorted(acknowledged)
        assert all(lab.get(name).status.closed for name in acknowledged)
