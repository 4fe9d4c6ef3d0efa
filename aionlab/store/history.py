"""The log: rows in, events out.

Numbering needs two checks. An event of the same number collides with the unique index. A gap cannot arise as long as the event
before is there, and since a history never shrinks it is enough to have seen it once: `_heads` remembers, and is asked before the
database is.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from aionlab.core.clock import Micros
from aionlab.core.codec import unpack
from aionlab.core.errors import SequenceConflict
from aionlab.core.events import Recorded
from aionlab.core.ids import NO_RUN, RunId, WorkflowId
from aionlab.core.ports import Batch, Run

from .bulk import Bulk
from .sealing import Sealing
from .visibility import OPEN, Visibility, run_from

LOW = (1 << 32) - 1
_REMEMBERED = 100_000
_COLUMNS = "event.id & 4294967295, event.at, event.code, event.flags, event.ref, event.data, event.payload"
_PAGE = 256

insert_events = Bulk(
    """INSERT INTO event SELECT column1 << 32 | column2, column3, column4, column5, column6, column7, column8, column9
    FROM (VALUES {rows}) WHERE (SELECT epoch FROM owner WHERE one = 1) = ? LIMIT ?""",
    9,
)
"""The number of rows it inserts is 0 when the epoch is no longer the given one."""
_ask_heads = Bulk(
    """SELECT column1, coalesce((SELECT max(id) FROM event WHERE id BETWEEN column1 << 32 AND column1 << 32 | 4294967295), 0) &
    4294967295 FROM (VALUES {rows}) LIMIT ?""",
    1,
)


class Histories(Visibility):
    """Reading the log."""

    _heads: dict[int, int]
    sealing: Sealing | None = None
    """What payloads pass through, in labs that have codecs."""

    def head(self, workflow_id: WorkflowId) -> int:
        key = self.workflow_key(workflow_id)
        return 0 if key is None else self._heads_of([key])[key]

    def read(self, workflow_id: WorkflowId) -> list[Recorded]:
        return self.read_from(workflow_id, 1)

    def read_from(self, workflow_id: WorkflowId, seq: int) -> list[Recorded]:
        key = self.workflow_key(workflow_id)
        if key is None:
            return []
        rows = self._rows(
            f"SELECT {_COLUMNS}, event.run FROM event WHERE id BETWEEN ? AND ? ORDER BY id",
            (key << 32 | min(max(seq, 0), LOW), key << 32 | LOW),
        )
        if not rows:
            return []
        if self.sealing is not None:
            rows = self.sealing.unsealed(rows)
        names: dict[int, RunId] = {0: NO_RUN, **dict(self._rows("SELECT key, run_id FROM run WHERE workflow = ?", (key,)))}
        return [recorded(row, workflow_id, names[row[7]]) for row in rows]

    def run_history(self, run_key: int) -> list[Recorded]:
        found = self._rows(
            """SELECT run.workflow, run.first_seq, workflow.id, run.run_id FROM run JOIN workflow ON workflow.key = run.workflow
                           WHERE run.key = ?""",
            (run_key,),
        )
        if not found:
            return []
        workflow, first, workflow_id, run_id = found[0]
        rows = self._rows(
            f"SELECT {_COLUMNS} FROM event WHERE id BETWEEN ? AND ? AND run = ? ORDER BY id",
            (workflow << 32 | first, workflow << 32 | LOW, run_key),
        )
        if self.sealing is not None:
            rows = self.sealing.unsealed(rows)
        return [recorded(row, workflow_id, run_id) for row in rows]

    def open_histories(self) -> Iterator[tuple[Run, int, list[Recorded]]]:
        after = 0
        open_run = self._RUN.replace("FROM run ", "FROM run INDEXED BY run_open ")
        while True:
            with self._lock:
                page = self._rows(
                    f"SELECT {open_run} WHERE run.status IN {OPEN} AND run.key > ? ORDER BY run.key LIMIT {_PAGE}", (after,)
                )
                if not page:
                    return
                last = page[-1][0]
                rows = self._rows(
                    f"""SELECT {_COLUMNS}, run.key FROM run INDEXED BY run_open CROSS JOIN event INDEXED BY event_id
                    ON event.id BETWEEN run.workflow << 32 | run.first_seq AND run.workflow << 32 | {LOW} AND event.run = run.key
                    WHERE run.key > ? AND run.key <= ? AND run.status IN {OPEN} ORDER BY run.key, event.id""",
                    (after, last),
                )
                heads = self._heads_of([run[1] for run in page])
            if self.sealing is not None:
                rows = self.sealing.unsealed(rows)
            histories: dict[int, list[Any]] = {run[0]: [] for run in page}
            for row in rows:
                histories[row[7]].append(row)
            for found in page:
                run = run_from(found)
                yield run, heads[run.workflow_key], [recorded(row, run.workflow_id, run.run_id) for row in histories[run.key]]
            after = last

    def _heads_of(self, keys: Iterable[int]) -> dict[int, int]:
        self._guard()
        with self._lock:
            return dict(_ask_heads.ask(self._db, [(key,) for key in keys]))

    def _check_heads(self, batch: Batch) -> None:
        """Raises SequenceConflict when a history is not where the batch expects it (a new one collides when it is written)."""
        heads = self._heads
        unseen = [key for key, expected in batch.expected.items() if expected and heads.get(key) != expected]
        if not unseen:
            return
        for key, found in self._heads_of(unseen).items():
            if found != batch.expected[key]:
                raise SequenceConflict(self._name(key), batch.expected[key], found)

    def _conflict(self, batch: Batch) -> SequenceConflict | None:
        """Which history stood in the way of a batch that collided, if one did."""
        names = dict(batch.workflows)
        for workflow_id in names.values():
            known = self.workflow_key(workflow_id)
            if known is not None:
                return SequenceConflict(workflow_id, 0, self._heads_of([known])[known])
        for key, found in self._heads_of(batch.expected).items():
            if found != batch.expected[key]:
                return SequenceConflict(names.get(key) or self._name(key), batch.expected[key], found)
        return None

    def _remember(self, heads: dict[int, int]) -> None:
        if len(self._heads) > _REMEMBERED:
            self._heads.clear()
        self._heads.update(heads)

    def _name(self, key: int) -> WorkflowId:
        found = self._rows("SELECT id FROM workflow WHERE key = ?", (key,))
        return WorkflowId(found[0][0] if found else f"workflow key {key}")


def recorded(row: Any, workflow_id: WorkflowId, run_id: RunId) -> Recorded:
    flags = row[3]
    return Recorded(
        row[0], Micros(row[1]), workflow_id, run_id, unpack(row[2], row[4], row[5], row[6]), flags & 1 == 1, flags >> 1
    )
