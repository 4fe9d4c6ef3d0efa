"""Old databases open: one file per released schema is kept in `released/`, and steps are taken whole."""
from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from aionlab.core.errors import SequenceConflict
from aionlab.store import schema
from aionlab.store.sqlite import SqliteStore
from aionlab.testing.conformance import EVERY, W, history, signal

RELEASED = sorted((Path(__file__).parent / "released").glob("v*.sqlite"))


def test_a_file_is_kept_for_each_schema():
    assert [path.stem for path in RELEASED] == [f"v{n}" for n in range(1, schema.VERSION + 1)]


@pytest.mark.parametrize("released", RELEASED, ids=lambda path: path.stem)
def test_a_released_database_opens_reads_and_goes_on(released, tmp_path):
    path = tmp_path / "lab.db"
    shutil.copyfile(released, path)
    store = SqliteStore.open(path)
    assert not store.readonly
    assert schema.version(store._db) == schema.VERSION
    assert store.read(W) == history(*EVERY)
    assert store.verify() == []
    with pytest.raises(SequenceConflict):
        store.append(W, history(signal()), 0)
    store.append(W, history(signal(), after=len(EVERY)), len(EVERY))
    store.close()


def test_a_step_that_fails_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "lab.db"
    SqliteStore.open(path).close()
    db = sqlite3.connect(path, isolation_level=None)

    def good(db):
        db.execute("CREATE TABLE more (x)")

    def bad(db):
        db.execute("CREATE TABLE most (x)")
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError):
        schema.migrate(db, (*schema.STEPS, good, bad))
    assert schema.version(db) == schema.VERSION + 1
    names = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
    assert "more" in names
    assert "most" not in names
    schema.migrate(db, (*schema.STEPS, good))
    assert schema.version(db) == schema.VERSION + 1
    db.close()


def test_making_a_database_does_not_import_what_it_need_not(tmp_path):
    import subprocess
    import sys

    code = (
        "import sys; from aionlab.store.sqlite import SqliteStore; SqliteStore.open(sys.argv[1]).close(); "
        "print([m for m in ('sqlite_utils', 'pandas', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "lab.db")],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.strip() == "[]"
