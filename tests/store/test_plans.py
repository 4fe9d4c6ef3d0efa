"""No query reads much more than it gives: each is answered from an index, in its order."""
from __future__ import annotations

import pytest

from aionlab.core.status import Status
from aionlab.store.sqlite import SqliteStore
from aionlab.testing.conformance import EVERY, R1, W, history

QUERIES = {
    "open_histories": lambda store: list(store.open_histories()),
    "read_from": lambda store: store.read_from(W, 3),
    "run_history": lambda store: store.run_history(1),
    "run": lambda store: store.run(W, R1),
    "by_idempotency_key": lambda store: store.by_idempotency_key("k"),
    "active": lambda store: store.active(),
    "newest": lambda store: store.runs(limit=50),
    "of a type": lambda store: store.runs(workflow_type="order", limit=50),
    "of a status": lambda store: store.runs(status=Status.RUNNING, limit=50),
    "of both": lambda store: store.runs(status=Status.RUNNING, workflow_type="order", limit=50),
    "attributes": lambda store: store.runs(attributes={"customer": "ann", "total": 1.1}, limit=50),
    "due_timers": lambda store: store.due_timers(5),
    "head": lambda store: store.head(W),
}


@pytest.mark.parametrize("name", QUERIES)
def test_nothing_is_sorted_and_no_table_is_searched_by_hand(name):
    store = SqliteStore.open(":memory:")
    store.append(W, history(*EVERY), 0)
    said = []
    store._db.set_trace_callback(said.append)
    QUERIES[name](store)
    store._db.set_trace_callback(None)
    assert said
    for text in said:
        plan = [step[3] for step in store._db.execute("EXPLAIN QUERY PLAN " + text)]
        allowed = ("SCAN run", "SCAN CONSTANT ROW", "SCAN (subquery") if name in ("newest", "head", "open_histories") else ()
        assert not [step for step in plan if "TEMP B-TREE" in step or "AUTOMATIC" in step], text
        assert not [step for step in plan if step.startswith("SCAN") and not step.startswith(allowed or "-")], text
    store.close()
