"""One writer: of many processes one wins, a dead owner is none, a paused owner that was replaced writes nothing more."""
from __future__ import annotations

import os
import signal as signals

import pytest

from aionlab.core.errors import Fenced, StoreError, StoreLocked, StoreUnavailable
from aionlab.core.ports import Batch
from aionlab.store.lease import Owner, owner_of
from aionlab.store.sqlite import SqliteStore
from aionlab.testing.conformance import W, first, history, row, signal, started
from tests.store.children import fork, start

ME = Owner(4242, "host", "analysis.ipynb", 0)
pytestmark = pytest.mark.environment("posix")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "lab.db"


def test_a_second_lab_is_kept_out_and_told_by_whom(path):
    store = SqliteStore.open(path, owner=ME)
    with pytest.raises(StoreLocked) as caught:
        SqliteStore.open(path, owner=ME)
    assert "4242" in caught.value.owner
    assert "analysis.ipynb" in str(caught.value)
    assert owner_of(str(path)) == "process 4242 on host (analysis.ipynb)"
    observer = SqliteStore.open(path, readonly=True)
    store.append(W, history(started()), 0)
    assert observer.head(W) == 1
    observer.close()
    store.close()
    again = SqliteStore.open(path, owner=ME)
    assert again.epoch == store.epoch + 1
    again.close()


def test_of_twenty_processes_one_wins(path):
    gate, go = os.pipe()
    tell, told = os.pipe()
    hold, done = os.pipe()

    def contend():
        os.close(go)
        os.close(done)
        os.read(gate, 1)
        try:
            store = SqliteStore.open(path, owner=Owner(os.getpid(), "h", "", 0))
        except StoreLocked:
            os.write(told, b"l")
            return
        os.write(told, b"w")
        os.read(hold, 1)  # until everybody has tried
        store.close()

    children = [start(contend) for _ in range(20)]
    os.close(go)
    results = b""
    while len(results) < 20:
        results += os.read(tell, 20)
    os.close(done)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 20
    assert sorted(results) == sorted(b"w" + b"l" * 19)
    for fd in (gate, tell, told, hold):
        os.close(fd)


def test_of_many_takeovers_at_once_one_can_write_in_the_end(path):
    SqliteStore.open(path, owner=ME).close()
    gate, go = os.pipe()
    tell, told = os.pipe()

    def contend():
        os.close(go)
        os.read(gate, 1)
        try:
            store = SqliteStore.open(path, owner=Owner(os.getpid(), "h", "", 0), takeover=True)
        except StoreLocked:
            os.write(told, b"l")
            return
        os.write(told, b"o")
        os.read(gate2, 1)
        try:
            store.set_meta("winner", str(os.getpid()))
        except Fenced:
            os.write(told, b"f")
        else:
            assert owner_of(str(path)).startswith(f"process {os.getpid()} ")
            os.write(told, b"w")

    gate2, go2 = os.pipe()

    def child():
        os.close(go2)
        contend()

    children = [start(child) for _ in range(10)]
    os.close(go)
    first_round = b""
    while len(first_round) < 10:
        first_round += os.read(tell, 10)
    os.close(go2)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 10
    owners = first_round.count(b"o")
    second_round = os.read(tell, 100)
    assert len(second_round) == owners
    assert second_round.count(b"w") == 1
    for fd in (gate, tell, told, gate2):
        os.close(fd)


def test_the_lease_of_a_killed_process_is_free(path):
    def owner():
        SqliteStore.open(path, owner=ME).append(W, history(started()), 0)
        os.kill(os.getpid(), signals.SIGKILL)

    assert fork(owner) == signals.SIGKILL
    store = SqliteStore.open(path, owner=ME)
    assert store.head(W) == 1
    store.close()


def test_a_paused_owner_that_was_replaced_writes_nothing(path):
    work, order = os.pipe()
    tell, told = os.pipe()

    def owner():
        store = SqliteStore.open(path, owner=ME)
        store.commit(first())
        os.write(told, b".")
        head = 1
        while os.read(work, 1) == b"c":
            for batch in (Batch(rows=[row(1, head + 1, 1, signal())], expected={1: head}), first(9, "new", "r9")):
                try:
                    store.commit(batch)
                    os.write(told, b"!")
                except Fenced:
                    os.write(told, b"f")
                except StoreError:
                    os.write(told, b"e")

    pid = start(owner)
    assert os.read(tell, 1) == b"."
    os.kill(pid, signals.SIGSTOP)
    with pytest.raises(StoreLocked):
        SqliteStore.open(path, owner=ME)
    store = SqliteStore.open(path, owner=Owner(1, "h", "", 0), takeover=True)
    os.write(order, b"ccc")
    store.append(W, history(signal(7), after=1), 1)
    os.kill(pid, signals.SIGCONT)
    answers = b""
    while len(answers) < 6:
        answers += os.read(tell, 6)
    os.write(order, b"q")
    assert os.waitpid(pid, 0)[1] == 0
    assert answers == b"ffffff"
    assert store.ids() == [W]
    assert store.head(W) == 2
    store.append(W, history(signal(), after=2), 2)
    assert store.verify() == []
    with pytest.raises(StoreLocked):
        SqliteStore.open(path, owner=ME)
    store.close()
    for fd in (work, order, tell, told):
        os.close(fd)


def test_a_forked_child_touches_nothing(path):
    store = SqliteStore.open(path, owner=ME)
    store.append(W, history(started()), 0)

    def child():
        for verb in (
            lambda: store.append(W, history(signal(), after=1), 1),
            lambda: store.read(W),
            store.heads,
            store.checkpoint,
            lambda: store.set_meta("a", "b"),
        ):
            with pytest.raises(StoreUnavailable):
                verb()
        store.close()
        with pytest.raises(StoreLocked):
            SqliteStore.open(path, owner=ME)

    assert fork(child) == 0
    store.append(W, history(signal(), after=1), 1)
    assert store.verify() == []
    store.close()


def test_a_child_that_outlives_the_owner_does_not_keep_the_lease(path):
    gate, go = os.pipe()
    tell, told = os.pipe()

    def owner():
        store = SqliteStore.open(path, owner=ME)
        assert store.lease is not None
        start(lambda: (os.close(go), os.write(told, b"x"), os.read(gate, 1)))
        os.read(tell, 1)

    assert fork(owner) == 0
    store = SqliteStore.open(path, owner=ME)
    store.close()
    for fd in (gate, go, tell, told):
        os.close(fd)
