"""The writer's right to a database file, in two layers.

A lock on `<file>.lock`, held by the kernel for as long as the process lives, keeps a second lab out and says who is in. An epoch
in the database, which only grows and which every commit compares, stops an owner that was paused while another took over.

Taking over puts a new, locked file in the place of the old one. An epoch is claimed in a transaction that first checks that the
lock file at the path is the claimant's: a file that takes its place later belongs to somebody who claims later. So of any number
of processes the one whose file stays is the one whose epoch counts.
"""
from __future__ import annotations

import os
import sqlite3
import weakref
from collections.abc import Callable
from typing import NamedTuple

from aionlab.core.clock import Micros
from aionlab.core.errors import StoreLocked, StoreUnavailable
from aionlab.core.jsontext import dumps, loads

try:
    import fcntl
except ImportError:  # Windows: SQLite's own lock and the epoch are what there is
    fcntl = None  # type: ignore[assignment]

_held: weakref.WeakSet[Lease] = weakref.WeakSet()


class Owner(NamedTuple):
    """Who holds a database, as others are told."""

    pid: int
    host: str
    notebook: str
    since: Micros

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}" + (f" ({self.notebook})" if self.notebook else "")


class Lease:
    """A held lock file; `claim` makes it the right to write. Freed by `release` and by the death of the process."""

    def __init__(self, path: str, fd: int) -> None:
        self.path, self._fd = path, fd
        self.epoch = 0
        """The epoch claimed last, 0 before that."""
        _held.add(self)

    @classmethod
    def acquire(cls, path: str, who: Owner, takeover: bool = False) -> Lease:
        """Hold the lock of the database at `path`.

        Raises StoreLocked, naming the owner, when somebody else does; with `takeover`, puts a lock of its own in its place.
        """
        lock = path + ".lock"
        while True:
            try:
                fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise StoreUnavailable(f"{lock} cannot be opened: {error.strerror}") from error
            if not _lock(fd):
                break
            if _current(lock, fd):
                _write(fd, who)
                return cls(path, fd)
            os.close(fd)  # its owner removed it in between
        owner = _read(fd)
        os.close(fd)
        if not takeover:
            raise StoreLocked(path, owner)
        return cls(path, _replace(lock, who))

    def claim(self, db: sqlite3.Connection, also: Callable[[int], None] | None = None) -> int:
        """The next epoch of the database, from now on this lease's. `also` is called with it, in the same transaction.

        Raises StoreLocked when the lock was taken over meanwhile.
        """
        db.execute("BEGIN IMMEDIATE")
        try:
            if not _current(self.path + ".lock", self._fd):
                raise StoreLocked(self.path, self.owner() or "another process")
            db.execute("UPDATE owner SET epoch = epoch + 1 WHERE one = 1")
            (self.epoch,) = db.execute("SELECT epoch FROM owner WHERE one = 1").fetchone()
            if also is not None:
                also(self.epoch)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        return self.epoch

    def owner(self) -> str:
        """Who the lock file at the path names now; empty when it cannot be read."""
        return owner_of(self.path)

    def release(self, forget: bool = False) -> None:
        """Let go of the lock; with `forget` also of its file, when it is still this one."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            if forget and _current(self.path + ".lock", fd):
                os.unlink(self.path + ".lock")
            os.close(fd)

    def __del__(self) -> None:
        self.release()


def owner_of(path: str) -> str:
    """Who wrote the lock file of the database at `path`; empty when there is none."""
    try:
        fd = os.open(path + ".lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return _read(fd)
    finally:
        os.close(fd)


def _lock(fd: int) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _current(lock: str, fd: int) -> bool:
    """Whether the lock file at the path is the one that is open."""
    try:
        return os.path.samestat(os.stat(lock), os.fstat(fd))
    except FileNotFoundError:
        return False


def _replace(lock: str, who: Owner) -> int:
    own = f"{lock}.{os.getpid()}"
    fd = os.open(own, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    _lock(fd)
    _write(fd, who)
    os.rename(own, lock)
    return fd


def _write(fd: int, who: Owner) -> None:
    text = dumps(who._asdict())
    os.ftruncate(fd, 0)
    os.pwrite(fd, text, 0)


def _read(fd: int) -> str:
    try:
        return str(Owner(**loads(os.pread(fd, 4096, 0))))
    except (ValueError, TypeError, OSError):  # its owner is about to write it
        return "another process"


def _after_fork() -> None:
    """A lock is shared with forked children and lives until the last of them closes it; it is the parent's alone."""
    for lease in list(_held):
        lease.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
