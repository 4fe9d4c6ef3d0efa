"""A full disk refuses a batch whole, and the store goes on when there is room."""
from __future__ import annotations

import os
import signal as signals

import pytest

from aionlab.core.errors import StoreFull
from aionlab.core.ports import Batch, Timer
from aionlab.store.sqlite import SqliteStore
from aionlab.testing.conformance import W, first, row, signal
from tests.environment import requires
from tests.store.children import fork


def fill(store, head):
    """Commit batches, plain ones and others in turn, until one is refused; the head then."""
    while True:
        rows = [(*row(1, head + k, 1, signal())[:8], os.urandom(2000)) for k in range(1, 6)]
        timers = [Timer(1, head, 5)] if head % 2 else []
        try:
            store.commit(Batch(rows=rows, expected={1: head}, timers=timers))
        except StoreFull:
            return head
        head += 5


def goes_on(store, head):
    assert store.head(W) == head
    store.commit(Batch(rows=[row(1, head + 1, 1, signal())], expected={1: head}))
    assert store.head(W) == head + 1
    assert store.verify() == []
    store.close()


def test_the_largest_database_is_reached(tmp_path):
    store = SqliteStore.open(tmp_path / "lab.db")
    store.commit(first())
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count = {pages + 20}")
    head = fill(store, 1)
    assert head > 1
    with pytest.raises(StoreFull):
        store.set_meta("big", "x" * 100_000)
    store._db.execute("PRAGMA max_page_count = 100000")
    goes_on(store, head)


@requires("posix")
def test_the_process_may_not_write_larger_files(tmp_path):
    import resource

    def child():
        signals.signal(signals.SIGXFSZ, signals.SIG_IGN)
        store = SqliteStore.open(tmp_path / "lab.db")
        store.commit(first())
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, hard))
        head = fill(store, 1)
        assert head > 1
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        goes_on(store, head)

    assert fork(child) == 0
    store = SqliteStore.open(tmp_path / "lab.db")
    assert store.head(W) > 1
    store.close()
