"""Which files open, how, and what is said of the others."""
from __future__ import annotations

import os
import sqlite3
import stat

import pytest

from aionlab.core.errors import NewerDatabase, NotOurDatabase, StoreReadOnly, StoreUnavailable
from aionlab.core.ports import Batch
from aionlab.store import schema
from aionlab.store.lease import Owner
from aionlab.store.sqlite import SqliteStore
from aionlab.testing.conformance import W, first, history, row, signal, started
from tests.environment import requires
from tests.store.children import fork


@pytest.fixture
def path(tmp_path):
    return tmp_path / "lab.db"


def write(path):
    store = SqliteStore.open(path)
    store.append(W, history(started(), signal()), 0)
    store.close()
    return path


def test_a_new_file_is_private_and_says_whose_it_is(path):
    with_umask = os.umask(0)
    try:
        store = SqliteStore.open(path)
        store.append(W, history(started()), 0)
        assert {stat.S_IMODE(os.stat(name).st_mode) for name in path.parent.iterdir()} == {0o600}
    finally:
        os.umask(with_umask)
    store.close()
    header = path.read_bytes()[:100]
    assert header[68:72] == b"AION"
    assert int.from_bytes(header[60:64], "big") == schema.VERSION
    assert [name.name for name in path.parent.iterdir()] == ["lab.db"]


def test_settings_hold(path):
    store = SqliteStore.open(path)
    pragma = {
        name: store._db.execute(f"PRAGMA {name}").fetchone()
        for name in (
            "journal_mode",
            "synchronous",
            "wal_autocheckpoint",
            "trusted_schema",
            "cell_size_check",
            "mmap_size",
            "application_id",
        )
    }
    assert pragma == {
        "journal_mode": ("wal",),
        "synchronous": (2,),
        "wal_autocheckpoint": (0,),
        "trusted_schema": (0,),
        "cell_size_check": (1,),
        "mmap_size": (0,),
        "application_id": (schema.APPLICATION_ID,),
    }
    store.close()


def test_an_empty_file_becomes_a_database(path):
    path.touch()
    write(path)
    assert path.read_bytes()[68:72] == b"AION"


def test_a_file_whose_creation_was_interrupted_is_finished(path):
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
    db.close()
    write(path)


@pytest.mark.parametrize(
    "content",
    [b"x", b"SQLite format 2" + b"\0" * 200, os.urandom(5000), b"SQLite format 3\0" + b"\xff" * 4096],
    ids=["short", "magic", "random", "header"],
)
def test_garbage_is_refused_and_left_alone(path, content):
    path.write_bytes(content)
    for options in ({}, {"readonly": True}, {"owner": Owner(1, "h", "", 0)}):
        with pytest.raises(NotOurDatabase):
            SqliteStore.open(path, **options)
    assert path.read_bytes() == content
    assert [name.name for name in path.parent.iterdir()] == ["lab.db"]


def test_another_applications_database_is_refused_and_left_alone(path):
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE event (x)")
    db.close()
    content = path.read_bytes()
    for options in ({}, {"readonly": True}, {"owner": Owner(1, "h", "", 0)}):
        with pytest.raises(NotOurDatabase):
            SqliteStore.open(path, **options)
    assert path.read_bytes() == content


def test_a_folder_or_a_missing_folder_is_no_database(tmp_path):
    with pytest.raises(NotOurDatabase):
        SqliteStore.open(tmp_path)
    with pytest.raises(StoreUnavailable):
        SqliteStore.open(tmp_path / "none" / "lab.db")
    with pytest.raises(NotOurDatabase):
        SqliteStore.open(tmp_path / "none.db", readonly=True)
    assert list(tmp_path.iterdir()) == []


def test_a_newer_database_opens_to_be_read(path):
    write(path)
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    for options in ({}, {"readonly": True}, {"owner": Owner(1, "h", "", 0)}):
        store = SqliteStore.open(path, **options)
        assert store.readonly
        assert "newer" in store.reason
        assert isinstance(store.newer, NewerDatabase)
        assert store.lease is None
        assert store.head(W) == 2
        with pytest.raises(StoreReadOnly):
            store.append(W, history(signal(), after=2), 2)
        store.close()


@requires("posix")
@pytest.mark.parametrize("what", ["file", "folder"])
@pytest.mark.parametrize("live", [False, True])
def test_what_may_not_be_written_opens_to_be_read(path, what, live):
    write(path)
    writer = SqliteStore.open(path) if live else None
    if writer is not None:
        writer.append(W, history(signal(), after=2), 2)
    os.chmod(path.parent, 0o777 if what == "file" else 0o755)
    for folder in path.parents:
        if os.stat(folder).st_uid == os.getuid() and folder != path.parent:
            os.chmod(folder, os.stat(folder).st_mode | 0o011)
    for name in path.parent.iterdir():
        os.chmod(name, 0o644 if what == "file" else 0o666)

    def as_nobody():
        os.setgid(65534)
        os.setuid(65534)
        store = SqliteStore.open(path, owner=Owner(1, "h", "", 0))
        assert store.readonly
        assert "read-only" in store.reason, store.reason
        assert store.head(W) == (3 if live else 2)
        with pytest.raises(StoreReadOnly):
            store.commit(Batch(rows=[row(1, 4, 1, signal())], expected={1: 3}))
        with pytest.raises(StoreReadOnly):
            store.set_meta("a", "b")
        store.close()
        if what == "folder":
            with pytest.raises(StoreReadOnly):
                SqliteStore.open(path.parent / "new.db")

    if os.getuid() != 0:
        pytest.skip("only root can become somebody who may not write")
    assert fork(as_nobody) == 0
    if writer is not None:
        writer.append(W, history(signal(), after=3), 3)
        writer.close()


def test_a_store_opened_to_be_read_writes_nothing(path):
    write(path)
    store = SqliteStore.open(path, readonly=True)
    for verb in (
        lambda: store.commit(first()),
        lambda: store.append(W, [], 2),
        lambda: store.set_route("a", "b"),
        store.checkpoint,
    ):
        with pytest.raises(StoreReadOnly):
            verb()
    store.rest()
    store.close()


def test_a_damaged_file_opens_to_be_read(path):
    store = SqliteStore.open(path)
    store.append(W, history(started(), *(signal(n) for n in range(3000))), 0)
    store.close()
    content = bytearray(path.read_bytes())
    page = next(at for at in range(4096, len(content), 4096) if content[at] == 0x0D)
    content[page + 3 : page + 5] = b"\xff\xff"
    path.write_bytes(content)
    store = SqliteStore.open(path)
    assert store.readonly
    assert "damaged" in store.reason
    store.close()


def test_a_reader_sees_each_commit_and_cannot_write(path):
    store = SqliteStore.open(path)
    reader = store.reader()
    for seq in range(3):
        store.append(W, history(*([started()] if not seq else [signal()]), after=seq), seq)
        assert reader.head(W) == seq + 1
    with pytest.raises(StoreReadOnly):
        reader.append(W, history(signal(), after=3), 3)
    reader.close()
    store.close()


def test_two_connections_without_lease_never_overwrite_each_other(path):
    one, two = SqliteStore.open(path), SqliteStore.open(path)
    one.commit(first())
    two.commit(Batch(rows=[row(1, 2, 1, signal(2))], expected={1: 1}))
    from aionlab.core.errors import SequenceConflict

    with pytest.raises(SequenceConflict) as caught:
        one.commit(Batch(rows=[row(1, 2, 1, signal(3))], expected={1: 1}))
    assert (caught.value.workflow_id, caught.value.expected, caught.value.found) == (W, 1, 2)
    one.commit(Batch(rows=[row(1, 3, 1, signal(4))], expected={1: 2}))
    assert two.verify() == []
    one.close()
    two.close()


def test_the_log_is_checkpointed_when_told(path):
    store = SqliteStore.open(path)
    store.append(W, history(started(), *(signal(n) for n in range(100))), 0)
    assert store.wal_size() > 0
    store.rest()
    assert store.wal_size() > 0
    reader = store.reader()
    reader._db.execute("BEGIN")
    reader._db.execute("SELECT count(*) FROM event").fetchone()
    store.append(W, history(signal(), after=101), 101)
    assert store.checkpoint() is False
    reader._db.execute("COMMIT")
    reader.close()
    assert store.checkpoint() is True
    assert store.wal_size() == 0
    assert store.head(W) == 102
    store.close()


def test_the_log_does_not_grow_without_end(path, monkeypatch):
    monkeypatch.setattr("aionlab.store.sqlite._BUSY_FOR", 200)
    monkeypatch.setattr("aionlab.store.sqlite._TOO_LARGE", 1 << 16)
    store = SqliteStore.open(path, synchronous="OFF")
    store.commit(first())
    sizes = []
    for seq in range(2, 200):
        store.commit(Batch(rows=[row(1, seq, 1, signal())], expected={1: seq - 1}))
        sizes.append(store.wal_size())
    assert max(sizes) < 1 << 18
    store.close()


def test_unknown_fields_stay_in_the_stored_row(path):
    data = b'{"workflow_type":"order","version":"v1","seed":7,"python":"3.11","colour":"blue"}'
    store = SqliteStore.open(path)
    batch = first()
    batch.rows = [row(1, 1, 1, started(), data=data)]
    store.commit(batch)
    tables = store.database
    assert [found["data"] for found in tables["history"].rows] == [data.decode()]
    with pytest.raises(sqlite3.OperationalError):
        tables.execute("DELETE FROM event")
    tables.close()
    store.close()


def test_values_sqlite_cannot_hold_are_refused_whole(path):
    from aionlab.core.errors import BadBatch

    store = SqliteStore.open(path)
    store.commit(first())
    for bad in ("\ud800", 2**70, object()):
        batch = Batch(rows=[row(1, 2, 1, signal()), (1, 3, 1, 0, 60, 2, None, None, bad)], expected={1: 1})
        with pytest.raises(BadBatch):
            store.commit(batch)
    assert store.head(W) == 1
    store.close()


def test_after_close_nothing_goes(path):
    store = SqliteStore.open(path)
    store.close()
    store.close()
    for verb in (lambda: store.commit(first()), lambda: store.read(W), store.heads):
        with pytest.raises(StoreUnavailable):
            verb()


def test_a_turn_of_steps_is_one_statement(path):
    store = SqliteStore.open(path)
    for key in range(1, 101):
        store.commit(first(key, f"w{key}", f"r{key}"))
    said = []
    store._db.set_trace_callback(said.append)
    store.commit(
        Batch(
            rows=[row(key, seq, key, signal()) for key in range(1, 101) for seq in (2, 3, 4)],
            expected=dict.fromkeys(range(1, 101), 1),
        )
    )
    store._db.set_trace_callback(None)
    assert len(said) == 1
    assert store.verify() == []
    store.close()


def test_more_rows_than_a_statement_takes_are_one_transaction(path):
    store = SqliteStore.open(path, synchronous="OFF")
    store.commit(first())
    store._db.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 999)
    store._plain_rows = 64
    store.commit(Batch(rows=[row(1, seq, 1, signal()) for seq in range(2, 1002)], expected={1: 1}))
    with pytest.raises(Exception, match="cannot be stored"):
        store.commit(
            Batch(
                rows=[*(row(1, seq, 1, signal()) for seq in range(1002, 2002)), (1, 2002, 1, 0, 60, 2, None, None, object())],
                expected={1: 1001},
            )
        )
    assert store.head(W) == 1001
    store.close()
