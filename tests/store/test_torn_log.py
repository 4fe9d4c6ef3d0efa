"""A write-ahead log cut anywhere gives a prefix of what was committed, never anything else."""
from __future__ import annotations

import shutil

from aionlab.core.errors import StoreError
from aionlab.core.ports import Batch
from aionlab.store.sqlite import SqliteStore
from aionlab.testing.conformance import W, first, history, row, signal, started

STRIDE = 257


def test_a_cut_log_invents_nothing(tmp_path):
    path = tmp_path / "lab.db"
    store = SqliteStore.open(path)
    store.commit(first())
    store.checkpoint()
    heads = [1]
    for n in range(6):
        rows = [row(1, heads[-1] + k, 1, signal(heads[-1] + k)) for k in range(1, n % 3 + 2)]
        store.commit(Batch(rows=rows, expected={1: heads[-1]}))
        heads.append(heads[-1] + len(rows))
    events = store.read(W)
    assert len(events) == heads[-1]
    log = (tmp_path / "lab.db-wal").read_bytes()
    found = []
    for cut in range(0, len(log) + STRIDE, STRIDE):
        copy = tmp_path / "copy.db"
        shutil.copyfile(path, copy)
        (tmp_path / "copy.db-wal").write_bytes(log[:cut])
        (tmp_path / "copy.db-shm").unlink(missing_ok=True)
        torn = SqliteStore.open(copy, synchronous="OFF")
        found.append(torn.head(W))
        assert torn.read(W) == events[: found[-1]]
        assert found[-1] in heads
        assert torn.verify() == []
        torn.close()
    assert found == sorted(found)
    assert (found[0], found[-1]) == (1, heads[-1])
    store.close()


def test_a_cut_database_is_refused_or_read_right(tmp_path):
    path = tmp_path / "lab.db"
    store = SqliteStore.open(path)
    store.append(W, history(started(), *(signal(n) for n in range(300))), 0)
    events = store.read(W)
    store.close()
    content = path.read_bytes()
    for cut in range(1, len(content), 4096 * 3 + 7):
        path.write_bytes(content[:cut])
        try:
            torn = SqliteStore.open(path)
        except StoreError:
            continue
        try:
            assert torn.readonly
            found = torn.read(W)
            assert found == events[: len(found)]
        except StoreError:
            pass
        finally:
            torn.close()
