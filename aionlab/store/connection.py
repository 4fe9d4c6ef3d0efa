"""A connection to a database file: who may open it, how it is set up, and that no fork uses it.

SQLite does not survive a fork: a child that touches an inherited connection can write into its parent's history or drop its
locks. So each entry compares process ids, and a child holds on to inherited connections, so that nothing closes them while it
runs.
"""
from __future__ import annotations

import os
import sqlite3
import stat
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import RLock
from typing import Any, Literal, NamedTuple

from aionlab.core.errors import Fenced, NewerDatabase, NotOurDatabase, StoreReadOnly, StoreUnavailable

from . import schema
from .faults import FOREIGN, translated

MEMORY = ":memory:"
Synchronous = Literal["FULL", "NORMAL", "OFF"]
_SMALL = 64 << 20
_live: weakref.WeakSet[Connected] = weakref.WeakSet()
_inherited: list[sqlite3.Connection] = []


class Connected:
    """One connection and what it may do. Safe to call from several threads: they take turns."""

    def __init__(self, path: str, db: sqlite3.Connection, reason: str = "", newer: NewerDatabase | None = None) -> None:
        self.path = path
        self.readonly = bool(reason)
        self.reason = reason
        """Why the database cannot be written here, as a sentence; empty when it can."""
        self.newer = newer
        """Set when a newer aionlab wrote the file."""
        self.epoch = 0
        self._db = db
        self._lock = RLock()
        self._pid = os.getpid()
        self._closed = False
        _live.add(self)

    def _guard(self) -> None:
        if self._pid != os.getpid():
            raise StoreUnavailable(f"{self.path} was opened by process {self._pid}; a forked process opens its own lab")
        if self._closed:
            raise StoreUnavailable(f"{self.path} is closed")

    def _may_write(self) -> None:
        self._guard()
        if self.readonly:
            raise StoreReadOnly(self.reason) from self.newer

    def _rows(self, text: str, values: Sequence[Any] = ()) -> list[Any]:
        """All a query finds."""
        self._guard()  # before the lock, which a fork may have left taken for ever
        with self._lock:
            try:
                return self._db.execute(text, values).fetchall()
            except FOREIGN as error:
                raise translated(error, self.path) from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing, by the owner only.

        Raises Fenced when another kernel took over; foreign errors come out as ours.
        """
        self._may_write()
        with self._lock:
            if self._db.in_transaction:
                yield
                return
            try:
                self._db.execute("BEGIN IMMEDIATE")
                self._check_epoch()
                yield
                self._db.execute("COMMIT")
            except BaseException as error:
                self._roll_back()
                if isinstance(error, FOREIGN):
                    raise translated(error, self.path) from error
                raise

    def _check_epoch(self) -> None:
        (epoch,) = self._db.execute("SELECT epoch FROM owner WHERE one = 1").fetchone()
        if epoch != self.epoch:
            raise self._fenced()

    def _fenced(self) -> Fenced:
        return Fenced(f"another kernel has taken {self.path} over; nothing was written, and this one can only read it now")

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            try:
                self._db.execute("ROLLBACK")
            except FOREIGN:  # the file does not answer; SQLite undoes the transaction when it is next opened
                pass


def _after_fork() -> None:
    for store in list(_live):
        _inherited.append(store._db)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Opened(NamedTuple):
    """What opening a file gave: a connection, and when it may only read, why."""

    db: sqlite3.Connection
    reason: str = ""
    newer: NewerDatabase | None = None


def connect(path: str, *, synchronous: Synchronous = "FULL", readonly: bool = False) -> Opened:
    """Open, set up and migrate the file; a new one is made with mode 0600.

    A file that cannot be written here, that a newer aionlab wrote or that is damaged opens to be read, with the reason.
    Raises NotOurDatabase for any other file, StoreReadOnly when none can be made, StoreUnavailable when it cannot be opened at
    all.
    """
    try:
        if path == MEMORY:
            db = _connection(path, synchronous)
            schema.migrate(db)
            return Opened(db)
        existed = _look(path)
        reason = "it was opened to be read" if readonly else _why_not_writable(path)
        if not reason:
            return _writing(path, synchronous, existed)
        if existed:
            return _told_newer(path, Opened(_reading(path), reason))
    except FOREIGN as error:
        raise translated(error, path) from error
    except OSError as error:
        raise StoreUnavailable(f"{path} cannot be opened: {error.strerror}") from error
    if readonly:
        raise NotOurDatabase(f"there is no database at {path}")
    raise StoreReadOnly(f"there is no database at {path}, and {reason}")


def _writing(path: str, synchronous: Synchronous, existed: bool) -> Opened:
    unclean = _size(path + "-wal") > 0
    if not existed:
        _create(path)
    db = _connection(path, synchronous)
    try:
        opened = _told_newer(path, Opened(db))
        if not opened.newer:
            schema.migrate(db)
            if not unclean and _size(path) >= _SMALL:
                return opened
            (finding,) = db.execute("PRAGMA quick_check(1)").fetchone()
            if finding == "ok":
                return opened
            opened = Opened(db, f"{path} is damaged ({finding}); restore a copy, or export what can be read")
    except BaseException:
        db.close()
        raise
    db.close()
    return opened._replace(db=_reading(path))


def _told_newer(path: str, opened: Opened) -> Opened:
    found = schema.version(opened.db)
    if found <= schema.VERSION:
        return opened
    text = (
        f"{path} was written by a newer aionlab (schema {found}, this one knows {schema.VERSION}); upgrade aionlab to write to it"
    )
    return opened._replace(reason=text, newer=NewerDatabase(text))


def _look(path: str) -> bool:
    """Whether there is a database to open; an empty file is a new one.

    Raises NotOurDatabase for what cannot be one.
    """
    try:
        found = os.stat(path)
    except FileNotFoundError:
        if not os.path.isdir(os.path.dirname(path) or "."):
            raise StoreUnavailable(f"the folder {os.path.dirname(path)} does not exist") from None
        return False
    if not stat.S_ISREG(found.st_mode):
        raise NotOurDatabase(f"{path} is not a file")
    if found.st_size == 0:
        return False
    with open(path, "rb") as file:
        magic = file.read(16)
    if magic != b"SQLite format 3\0":
        raise NotOurDatabase(f"{path} is not an aionlab database")
    return True


def _why_not_writable(path: str) -> str:
    folder = os.path.dirname(path) or "."
    if os.path.exists(path) and not os.access(path, os.W_OK):
        return f"{path} is read-only"
    if not os.access(folder, os.W_OK):
        return f"the folder {folder} is read-only"
    return ""


def _create(path: str) -> None:
    """An empty file of ours, private to this user.

    The application id is written before the file becomes a WAL database, so that no crash leaves a database without it.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    db = sqlite3.connect(path, isolation_level=None)
    try:
        db.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
    finally:
        db.close()


def _connection(path: str, synchronous: Synchronous) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False, cached_statements=256)
    try:
        if path != MEMORY:
            _ours(path, db)
            db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {synchronous}")
        db.execute("PRAGMA wal_autocheckpoint = 0")
        _distrust(db)
    except BaseException:
        db.close()
        raise
    return db


def _reading(path: str) -> sqlite3.Connection:
    """A connection that cannot write. Where SQLite may not even make its index of the WAL, the file is read as it lies, which is
    right as long as there is no WAL."""
    name = "file:" + path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    modes = ["mode=ro"] if _size(path + "-wal") else ["mode=ro", "mode=ro&immutable=1"]
    for mode in modes:
        db = sqlite3.connect(
            f"{name}?{mode}", uri=True, timeout=5, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        try:
            _distrust(db)
            db.execute("PRAGMA query_only = ON")
            _ours(path, db)
        except sqlite3.OperationalError:
            db.close()
            if mode is modes[-1]:
                raise
        except BaseException:
            db.close()
            raise
        else:
            return db
    raise AssertionError("unreachable: the last mode returns or raises")


def _distrust(db: sqlite3.Connection) -> None:
    """The file may come from anybody: nothing in its schema runs functions, and damage shows as an error."""
    db.execute("PRAGMA trusted_schema = OFF")
    db.execute("PRAGMA cell_size_check = ON")
    db.execute("PRAGMA mmap_size = 0")
    db.execute("PRAGMA temp_store = MEMORY")
    db.execute("PRAGMA automatic_index = OFF")  # a query that needed one would read the whole log


def _ours(path: str, db: sqlite3.Connection) -> None:
    (found,) = db.execute("PRAGMA application_id").fetchone()
    if found != schema.APPLICATION_ID:
        raise NotOurDatabase(f"{path} is a database of another application")


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
