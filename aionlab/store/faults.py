"""SQLite's errors as ours; the one place that knows its codes."""
from __future__ import annotations

import os
import sqlite3

from aionlab.core.errors import BadBatch, NotOurDatabase, StoreError, StoreFull, StoreReadOnly, StoreUnavailable

FOREIGN = (sqlite3.Error, UnicodeError, OverflowError)
"""All that SQLite's module raises for a file or a value it cannot handle (a damaged schema is a UnicodeDecodeError)."""


def translated(error: BaseException, path: str) -> StoreError:
    """The error to raise instead of one of `FOREIGN`."""
    code = getattr(error, "sqlite_errorcode", None)
    if isinstance(error, UnicodeDecodeError):
        return NotOurDatabase(f"{path} is damaged or not an aionlab database: {error}")
    if isinstance(error, UnicodeError | OverflowError | sqlite3.InterfaceError | sqlite3.ProgrammingError):
        return BadBatch(f"a value cannot be stored: {error}")
    if code is None:
        return StoreUnavailable(f"{path} cannot be used: {error}")
    primary = code & 0xFF
    if primary == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR_WRITE and no_room(path)):
        return StoreFull(f"there is no room left for {path}; nothing of the last batch was written. Free some space and go on")
    if primary == sqlite3.SQLITE_READONLY:
        return StoreReadOnly(f"{path} cannot be written: {error}")
    if primary == sqlite3.SQLITE_NOTADB:
        return NotOurDatabase(f"{path} is not an aionlab database: {error}")
    if primary == sqlite3.SQLITE_CORRUPT:
        return StoreUnavailable(f"{path} is damaged: {error}")
    if primary in (sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG):
        return BadBatch(f"the batch does not fit what is stored: {error}")
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreUnavailable(f"{path} is held by another connection: {error}")
    return StoreUnavailable(f"{path} did not answer: {error}")


def no_room(path: str, need: int = 1 << 16) -> bool:
    """Whether the disk or the process's limit on file sizes leaves less than `need` bytes, which SQLite reports as a failed
    write."""
    try:
        disk = os.statvfs(os.path.dirname(path) or ".")
        if disk.f_bavail * disk.f_frsize < need:
            return True
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
        sizes = [os.path.getsize(name) for name in (path, path + "-wal") if os.path.exists(name)]
        return limit != resource.RLIM_INFINITY and max(sizes, default=0) + need > limit
    except (OSError, ImportError, AttributeError):
        return False
