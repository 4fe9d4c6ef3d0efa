"""Planted faults are found, and visibility can be rebuilt from history."""
from __future__ import annotations

import pytest

from aionlab.core import events as e
from aionlab.store.integrity import findings
from aionlab.store.memory import MemoryStore
from aionlab.store.sqlite import SqliteStore
from aionlab.testing.conformance import ENDS, EVERY, R2, W, having, history, signal, started

FAULTS = {
    "UPDATE run SET status = 'Failed' WHERE run_id = '0190-run-1'": "status",
    "UPDATE run SET closed_at = 7": "closed_at",
    "UPDATE run SET attributes = '{\"x\":1}' WHERE key = 1": "attributes",
    "UPDATE run SET version = 'v9' WHERE key = 2": "version",
    "DELETE FROM timer": "timer",
    "UPDATE timer SET fire_at = fire_at + 1": "timer",
}


@pytest.fixture
def store(tmp_path):
    store = SqliteStore.open(tmp_path / "lab.db")
    fill(store)
    assert store.verify() == []
    yield store
    store.close()


def fill(store):
    store.append(W, history(*EVERY), 0)
    store.append("done", history(started(), ENDS[0], workflow_id="done"), 0)
    store.append("done", history(started(), e.TimerStarted(0, 5), after=2, workflow_id="done", run_id=R2), 2)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_projection_that_disagrees_is_found_and_rebuilt(store, fault):
    before = (store.runs(), store.due_timers(2**62), store.runs(having({"customer": "ann"})), store.run_history(1))
    store._db.execute(fault)
    found = store.verify()
    assert any(FAULTS[fault] in line for line in found)
    store.rebuild_visibility()
    assert store.verify() == []
    assert before == (store.runs(), store.due_timers(2**62), store.runs(having({"customer": "ann"})), store.run_history(1))
    assert store.rebuild_visibility() == 0


def test_a_missing_event_is_found(store):
    store._db.execute("DELETE FROM event WHERE id & 4294967295 = 3")
    assert any("event 3 is missing" in line for line in store.verify())


def test_an_event_of_a_newer_version_is_reported_not_raised(store):
    store.append("new", history(started(), signal(), workflow_id="new"), 0)
    store._db.execute("UPDATE event SET code = 9999 WHERE id & 4294967295 = 2 AND code = 60 AND run = 4")
    assert any("9999" in line for line in store.verify())


def test_the_memory_store_holds_what_it_should():
    store = MemoryStore()
    fill(store)
    assert list(findings(store)) == []
