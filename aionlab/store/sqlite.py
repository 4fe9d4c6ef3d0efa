"""The event store in a SQLite file.

A turn of steps is one autocommit INSERT, with the check that this kernel still owns the file inside it; anything more is one
transaction. Nothing is acknowledged before SQLite has flushed its log (`synchronous="FULL"`). The connection that writes also
checkpoints, when `checkpoint` is called and at `close`; views read through `reader`.
"""
from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING

from aionlab.core.codecs import Codecs
from aionlab.core.errors import NotOurDatabase, SequenceConflict, StoreError
from aionlab.core.events import Recorded
from aionlab.core.ids import SCHEDULES, WorkflowId
from aionlab.core.ports import Batch

from . import visibility
from .bulk import most
from .checks import check, check_sequence
from .connection import MEMORY, Opened, Synchronous, connect
from .faults import FOREIGN, translated
from .fold import batch_of
from .forgetting import Forgetting
from .history import insert_events
from .integrity import findings, folded
from .lease import Lease, Owner
from .packages import Packages
from .schema import version
from .sealing import KEY, Sealing

if TYPE_CHECKING:
    import sqlite_utils

_WORTH_MOVING = 1 << 20
_TOO_LARGE = 16 << 20
_BUSY_FOR = 1 << 16
_PAGES_A_COMMIT = 16


class SqliteStore(Forgetting, Packages):
    """An EventStore in a file, or in memory for ":memory:"."""

    def __init__(self, path: str, opened: Opened, lease: Lease | None = None) -> None:
        super().__init__(path, opened.db, opened.reason, opened.newer)
        self.lease = lease
        self._heads = {}
        self._written = 0
        self._plain_rows = most(opened.db, 9)
        if self.readonly and version(opened.db) < 2:
            self._RUN = self._RUN_1

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        owner: Owner | None = None,
        takeover: bool = False,
        readonly: bool = False,
        synchronous: Synchronous = "FULL",
        on_claim: Callable[[SqliteStore, int], None] | None = None,
    ) -> SqliteStore:
        """Open the database at `path`, making it when there is none (or an empty file).

        `owner` takes the writer's lease in that name, with `takeover` from whoever holds it; without an owner (tests, tools)
        nobody is kept out and the current epoch is used. A file that cannot be written, or that a newer aionlab wrote, opens
        with `readonly` set and the `reason` given. Raises StoreLocked, NotOurDatabase, StoreReadOnly (no file, and none can be
        made), StoreUnavailable.

        `on_claim(store, epoch)` may write facts about the lab in the transaction that claims the lease.
        """
        name = os.fspath(path)
        if name != MEMORY:
            name = os.path.abspath(name)
        lease = None
        if owner is not None and name != MEMORY and not readonly and os.access(os.path.dirname(name), os.W_OK):
            lease = Lease.acquire(name, owner, takeover)
        try:
            opened = connect(name, synchronous=synchronous, readonly=readonly)
        except BaseException as error:
            if lease is not None:
                lease.release(forget=isinstance(error, NotOurDatabase))
            raise
        if lease is not None and opened.reason:
            lease.release()
            lease = None
        store = cls(name, opened, lease)
        try:
            if lease is not None:
                store.epoch = lease.claim(store._db, None if on_claim is None else partial(on_claim, store))
            elif not store.readonly:
                ((store.epoch,),) = store._rows("SELECT epoch FROM owner WHERE one = 1")
            if store.meta(KEY) is not None:
                store.sealing = Sealing(Codecs())  # reads what needs no key; whoever has keys puts them here
        except BaseException as error:
            store._shut()
            if isinstance(error, FOREIGN):
                raise translated(error, name) from error
            raise
        return store

    # --- writing ---------------------------------------------------------------------------------------------------------

    def commit(self, batch: Batch) -> None:
        self._may_write()
        if self.sealing is not None:
            batch = self.sealing.sealed(batch)
        with self._lock:
            heads = check(batch)
            plain = not (batch.workflows or batch.runs or batch.changes or batch.timers or batch.timers_ended or batch.runs_ended or batch.notes)
            if plain and len(batch.rows) <= self._plain_rows and not self._db.in_transaction:
                self._commit_rows(batch)
            else:
                with self._transaction():
                    self._apply(batch)
            self._remember(heads)
            self._grow(len(batch.rows))

    def append(self, workflow_id: WorkflowId, events: Sequence[Recorded], expected_seq: int) -> None:
        self._may_write()
        with self._lock:
            check_sequence(workflow_id, events, expected_seq)
            with self._transaction():
                found = self.head(workflow_id)
                if found != expected_seq:
                    raise SequenceConflict(workflow_id, expected_seq, found)
                if events:
                    batch = batch_of(self, workflow_id, events, expected_seq)
                    self._apply(batch if self.sealing is None else self.sealing.sealed(batch))
            if events:
                self._remember({batch.rows[-1][0]: batch.rows[-1][1]})
                self._grow(len(batch.rows))

    def _commit_rows(self, batch: Batch) -> None:
        """One statement that commits itself: it writes all rows, or none because an event of that number is there or the epoch
        is over."""
        try:
            self._check_heads(batch)
            if batch.rows and insert_events(self._db, batch.rows, self.epoch) != len(batch.rows):
                raise self._fenced()
        except sqlite3.IntegrityError as error:
            raise self._conflict(batch) or translated(error, self.path) from error
        except FOREIGN as error:
            raise translated(error, self.path) from error

    def _apply(self, batch: Batch) -> None:
        """Write a batch within the open transaction."""
        self._check_heads(batch)
        try:
            if batch.workflows:
                visibility.write_workflows(self._db, batch)
            if batch.rows and insert_events(self._db, batch.rows, self.epoch) != len(batch.rows):
                raise self._fenced()
        except sqlite3.IntegrityError as error:
            conflict = self._conflict(batch)
            if conflict is None:
                raise
            raise conflict from error
        visibility.write(self._db, batch)

    # --- upkeep ----------------------------------------------------------------------------------------------------------

    def wal_size(self) -> int:
        """Bytes in the write-ahead log; a checkpoint brings them to 0."""
        try:
            return os.stat(self.path + "-wal").st_size
        except OSError:
            return 0

    def checkpoint(self) -> bool:
        """Move what is committed from the log into the database file; False when a reader holds some of it back. Waits for
        nobody."""
        self._may_write()
        with self._lock:
            try:
                self._db.execute("PRAGMA busy_timeout = 0")
                try:
                    busy, _, _ = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                finally:
                    self._db.execute("PRAGMA busy_timeout = 5000")
            except FOREIGN as error:
                raise translated(error, self.path) from error
        return not busy

    def rest(self) -> None:
        """A checkpoint, once there is something worth moving: each costs flushes of its own."""
        if not self.readonly and self.wal_size() >= _WORTH_MOVING:
            self.checkpoint()

    def _grow(self, rows: int) -> None:
        """Keep the log from growing without end while there is never time to rest."""
        self._written += rows + _PAGES_A_COMMIT
        if self._written > _BUSY_FOR:
            self._written = 0
            if self.wal_size() >= _TOO_LARGE:
                with suppress(StoreError):  # the batch is committed; the next one will say what is wrong
                    self.checkpoint()

    def claimed(self) -> int:
        """The epoch of the last owner."""
        ((epoch,),) = self._rows("SELECT epoch FROM owner WHERE one = 1")
        return int(epoch)

    def digest(self) -> str:
        """A hash of the open runs, the schedules and their events, which is all that ever acts unasked."""
        hashed = blake2b(digest_size=16)
        for row in self._rows(
            """SELECT run.key, workflow.id, run.run_id, run.workflow_type, run.version, run.status, run.first_seq FROM run
            JOIN workflow ON workflow.key = run.workflow WHERE run.status IN ('Running', 'Paused') ORDER BY run.key"""
        ):
            hashed.update(repr(row).encode())
        with self._lock:
            for row in self._db.execute(
                """SELECT event.id, run.key, at, code, flags, ref, data, payload FROM run CROSS JOIN event ON
                event.id BETWEEN run.workflow << 32 | run.first_seq AND run.workflow << 32 | 4294967295 AND event.run = run.key
                WHERE run.status IN ('Running', 'Paused') ORDER BY run.key, event.id"""
            ):
                hashed.update(repr(row).encode())
            for row in self._db.execute(
                """SELECT workflow.id, event.id, at, code, flags, ref, data, payload FROM workflow CROSS JOIN event ON
                event.id BETWEEN workflow.key << 32 AND workflow.key << 32 | 4294967295
                WHERE workflow.id >= ? AND workflow.id < ? ORDER BY event.id""",
                (SCHEDULES, SCHEDULES[:-1] + "0"),
            ):
                hashed.update(repr(row).encode())
        return hashed.hexdigest()

    def verify(self) -> list[str]:
        """What is wrong with the database, a sentence each. Reads all of it."""
        damage = [row[0] for row in self._rows("PRAGMA integrity_check")]
        return ([] if damage == ["ok"] else damage) + list(findings(self))

    def rebuild_visibility(self) -> int:
        """Make run rows and timers what the histories say; the number of runs that were not."""
        changed = 0
        for workflow_id in self.ids():
            with self._transaction():
                chain = self.run_chain(workflow_id)
                for run, fold, events in folded(chain, self.read(workflow_id)):
                    if fold is not None:
                        changed += visibility.rebuild(self._db, run, fold, events)
        return changed

    def reader(self) -> SqliteStore:
        """A connection of its own that only reads, for views; close it when done. In memory there is one connection: this
        store."""
        if self.path == MEMORY:
            return self
        reading = SqliteStore.open(self.path, readonly=True)
        reading.sealing = self.sealing
        return reading

    @property
    def database(self) -> sqlite_utils.Database:
        """The tables to look at with sqlite-utils, through a connection that cannot write; `history` is the readable one."""
        import sqlite_utils

        if self.path != MEMORY:
            return sqlite_utils.Database(connect(self.path, readonly=True).db, execute_plugins=False)
        copy = sqlite3.connect(MEMORY)
        with self._lock:
            self._guard()
            self._db.backup(copy)
        copy.execute("PRAGMA query_only = ON")
        return sqlite_utils.Database(copy, execute_plugins=False)

    def close(self) -> None:
        """Checkpoint, close and give the lease back; again does nothing, and in a forked child it touches nothing."""
        if self._closed or self._pid != os.getpid():
            return
        with self._lock:
            if not self.readonly and self.path != MEMORY:
                try:
                    self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                except FOREIGN:  # what is committed is in the log, and the next to open it reads it there
                    pass
            self._shut()

    def _shut(self) -> None:
        self._closed = True
        self._db.close()
        if self.lease is not None:
            self.lease.release(forget=True)

    def __repr__(self) -> str:
        return f"SqliteStore({self.path!r}{', readonly' if self.readonly else ''}{', closed' if self._closed else ''})"
