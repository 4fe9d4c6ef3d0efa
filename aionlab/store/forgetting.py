"""Deleting everything of a workflow id, which nothing else ever does to events.

What is left is a note: which id, when, why, and how much there was, nothing of its content. Keys are never given again, so what was recorded
about the deleted runs elsewhere cannot come to mean others. SQLite overwrites what is deleted; the write-ahead log still has it until the
next checkpoint.
"""
from __future__ import annotations

from aionlab.core.clock import Micros
from aionlab.core.errors import BadBatch
from aionlab.core.ids import WorkflowId
from aionlab.core.jsontext import dumps, loads
from aionlab.core.ports import Forgotten, Heads

from .history import LOW, Histories
from .visibility import OPEN

HEADS = "heads"
"""The meta key of where numbering stood when something was last forgotten."""
_NOTE = "forgotten/"


class Forgetting(Histories):
    def forget(self, workflow_id: WorkflowId, at: Micros, reason: str | None = None) -> Forgotten | None:
        self._may_write()
        with self._lock:
            self._db.execute("PRAGMA secure_delete = ON")
            try:
                with self._transaction():
                    return self._forget(workflow_id, at, reason)
            finally:
                self._db.execute("PRAGMA secure_delete = OFF")

    def _forget(self, workflow_id: WorkflowId, at: Micros, reason: str | None) -> Forgotten | None:
        key = self.workflow_key(workflow_id)
        if key is None:
            return None
        if self._rows(f"SELECT 1 FROM run WHERE workflow = ? AND status IN {OPEN} LIMIT 1", (key,)):
            raise BadBatch(f"{workflow_id} has an open run")
        db, heads = self._db, self.heads()
        runs = [row[0] for row in self._rows("SELECT key FROM run WHERE workflow = ?", (key,))]
        events = db.execute("DELETE FROM event WHERE id BETWEEN ? AND ?", (key << 32, key << 32 | LOW)).rowcount
        for run in runs:
            db.execute("DELETE FROM attribute WHERE run = ?", (run,))
            db.execute("DELETE FROM timer WHERE run = ?", (run,))
        db.execute("DELETE FROM run WHERE workflow = ?", (key,))
        db.execute("DELETE FROM workflow WHERE key = ?", (key,))
        note = Forgotten(workflow_id, at, len(runs), events, reason)
        ((count,),) = db.execute("SELECT count(*) FROM meta WHERE key GLOB ?", (_NOTE + "*",))
        db.execute("INSERT INTO meta VALUES (?, ?)", (f"{_NOTE}{count + 1:012}", dumps(list(note)).decode()))
        db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (HEADS, dumps(list(heads)).decode()))
        self._heads.pop(key, None)
        return note

    def forgotten(self) -> list[Forgotten]:
        found = self._rows("SELECT value FROM meta WHERE key GLOB ? ORDER BY key", (_NOTE + "*",))
        return [Forgotten(*loads(value)) for (value,) in found]

    def heads(self) -> Heads:
        now, before = super().heads(), self.meta_of(HEADS)
        return now if before is None else Heads(*map(max, now, loads(before)))

    def meta_of(self, key: str) -> str | None:
        found = self._rows("SELECT value FROM meta WHERE key = ?", (key,))
        return found[0][0] if found else None
