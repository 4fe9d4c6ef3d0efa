"""No query reads much more than it gives: each is answered from an index, in its order."""
from __future__ import annotations

import pytest

from aionlab.core.filters import STATUS
from aionlab.store.sqlite import SqliteStore
from aionlab.testing.conformance import EVERY, R1, W, asked, history

TYPES = {"customer": "keyword", "total": "float"}

QUERIES = {
    "open_histories": lambda store, last: list(store.open_histories()),
    "read_from": lambda store, last: store.read_from(W, 3),
    "run_history": lambda store, last: store.run_history(1),
    "run": lambda store, last: store.run(W, R1),
    "by_idempotency_key": lambda store, last: store.by_idempotency_key("k"),
    "active": lambda store, last: store.active(),
    "newest": lambda store, last: store.runs(asked("LIMIT 50")),
    "the next page": lambda store, last: store.runs(asked("LIMIT 50"), last),
    "of a type": lambda store, last: store.runs(asked("type = 'order' LIMIT 50")),
    "of a type, the next page": lambda store, last: store.runs(asked("type = 'order' LIMIT 50"), last),
    "of a status": lambda store, last: store.runs(asked("status = 'Running' LIMIT 50")),
    "of both": lambda store, last: store.runs(asked("status = 'Running' AND type = 'order' LIMIT 50")),
    "of an id": lambda store, last: store.runs(asked("id = 'order-42' LIMIT 50")),
    "children": lambda store, last: store.runs(asked("parent_id = 'order-1' LIMIT 50")),
    "of a schedule, the next page": lambda store, last: store.runs(asked("schedule_id = 'daily' LIMIT 50"), last),
    "attributes": lambda store, last: store.runs(asked("customer = 'ann' AND total = 1.1 AND status = 'Running' LIMIT 50", **TYPES)),
    "attributes, the next page": lambda store, last: store.runs(asked("customer = 'ann' LIMIT 50", **TYPES), last),
    "of an attribute and more of another": lambda store, last: store.runs(asked("customer = 'ann' AND total > 1 LIMIT 50", **TYPES)),
    "latest": lambda store, last: store.runs(asked("ORDER BY start_time DESC LIMIT 50")),
    "latest, the next page": lambda store, last: store.runs(asked("ORDER BY start_time DESC LIMIT 50"), last),
    "earliest, the next page": lambda store, last: store.runs(asked("ORDER BY start_time LIMIT 50"), last),
    "latest since": lambda store, last: store.runs(asked("start_time > '1970-01-01' ORDER BY start_time DESC LIMIT 50")),
    "count": lambda store, last: store.count(),
    "count of a status": lambda store, last: store.count(asked("status = 'Running'").condition),
    "count of statuses": lambda store, last: store.count(group_by=STATUS),
    "count of an attribute": lambda store, last: store.count(asked("customer = 'ann'", **TYPES).condition),
    "count of a range": lambda store, last: store.count(asked("total > 1 AND status = 'Running'", **TYPES).condition),
    "count of some": lambda store, last: store.count(asked("customer IN ('ann', 'bob') AND total > 1", **TYPES).condition),
    "count of a prefix": lambda store, last: store.count(asked("customer STARTS_WITH 'a'", **TYPES).condition),
    "due_timers": lambda store, last: store.due_timers(5),
    "head": lambda store, last: store.head(W),
}
READ_WHOLE = {
    "newest": "SCAN run",
    "latest": "SCAN run USING INDEX run_started",
    "count": "SCAN run USING COVERING INDEX",
    "count of statuses": "SCAN run USING COVERING INDEX",
    "open_histories": ("SCAN run", "SCAN CONSTANT ROW", "SCAN (subquery"),
    "head": ("SCAN CONSTANT ROW", "SCAN (subquery"),
}
"""Queries that go through a table or an index in its order, until they have enough."""


@pytest.mark.parametrize("name", QUERIES)
def test_nothing_is_sorted_and_no_table_is_searched_by_hand(name):
    store = SqliteStore.open(":memory:")
    store.append(W, history(*EVERY), 0)
    last = store.run(W)
    said = []
    store._db.set_trace_callback(said.append)
    QUERIES[name](store, last)
    store._db.set_trace_callback(None)
    assert said
    for text in said:
        plan = [step[3] for step in store._db.execute("EXPLAIN QUERY PLAN " + text)]
        allowed = READ_WHOLE.get(name, "-")
        assert not [step for step in plan if ("TEMP B-TREE" in step and name != "of an id") or "AUTOMATIC" in step], (text, plan)
        assert not [step for step in plan if step.startswith("SCAN") and not step.startswith(allowed)], (text, plan)
    store.close()
