"""A process killed anywhere leaves what it acknowledged, whole batches, and no gap."""
from __future__ import annotations

import os
import signal as signals
from dataclasses import replace

from aionlab.core import events as e
from aionlab.core.ports import Batch, RunChange, Timer
from aionlab.core.status import Status
from aionlab.store.sqlite import SqliteStore
from aionlab.testing.conformance import ENDS, R2, W, first, new_run, row, signal, started
from tests.environment import requires
from tests.store.children import fork

SCENARIO = [
    first(),
    Batch(rows=[row(1, 2, 1, e.TimerStarted(0, 50)), row(1, 3, 1, signal())], expected={1: 1}, timers=[Timer(1, 0, 50)]),
    Batch(rows=[row(1, 4, 1, signal()), row(1, 5, 1, signal())], expected={1: 3}),
    first(2, "other", "r2"),
    Batch(rows=[row(2, 2, 2, signal()), row(1, 6, 1, e.SearchAttributesUpdated(b'{"a":1}'))], expected={1: 5, 2: 1},
          changes=[RunChange(1, Status.RUNNING, None, {"a": 1})]),
    Batch(rows=[row(1, 7, 1, ENDS[0]), row(1, 8, 3, started()), row(2, 3, 2, signal())], expected={1: 6, 2: 2}, runs=[replace(new_run(3, 1, W, R2), started_at=8000)],
          changes=[RunChange(1, Status.COMPLETED, 7000, {"a": 1})], runs_ended=[1]),
    Batch(rows=[row(1, 9, 3, signal())], expected={1: 8}),
]  # fmt: skip
HEADS = [(0, 0), (1, 0), (3, 0), (5, 0), (5, 1), (6, 2), (8, 3), (9, 3)]
"""Heads of both histories after so many batches."""


def play(path, fatal, acked):
    """Commit all of the scenario, acknowledging each batch with a byte, and die at statement number `fatal`."""
    store = SqliteStore.open(path)
    seen = 0

    def tick(_):
        nonlocal seen
        seen += 1
        if seen == fatal:
            os.kill(os.getpid(), signals.SIGKILL)

    store._db.set_trace_callback(tick)
    for n, batch in enumerate(SCENARIO):
        store.commit(batch)
        os.write(acked, b"x")
        if n == 4:
            store.checkpoint()


@requires("posix")
def test_killed_at_every_statement(tmp_path):
    points = 0
    for fatal in range(1, 1000):
        path = tmp_path / f"{fatal}.db"
        acked, theirs = os.pipe()
        status = fork(lambda path=path, fatal=fatal, theirs=theirs: play(path, fatal, theirs))
        os.close(theirs)
        told = len(os.read(acked, 100))
        os.close(acked)
        if status == 0:
            break
        points += 1
        assert status == signals.SIGKILL
        store = SqliteStore.open(path)
        assert not store.readonly
        heads = (store.head(W), store.head("other"))
        assert heads in HEADS[told : told + 2], f"statement {fatal}: {told} batches were acknowledged, the heads are {heads}"
        assert store.verify() == []
        for batch in SCENARIO[HEADS.index(heads) :]:
            store.commit(batch)
        assert store.verify() == []
        store.close()
    assert status == 0
    assert points > 25
