"""Notes: values of meta keys, written and removed with a batch, all of it or nothing."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aionlab.core import events as e
from aionlab.core.clock import Micros
from aionlab.core.codec import pack
from aionlab.core.errors import Fenced, SequenceConflict
from aionlab.core.ids import RunId, WorkflowId
from aionlab.core.ports import Batch, EventStore, Run
from aionlab.core.status import Status
from aionlab.store.lease import Owner
from aionlab.store.memory import MemoryStore
from aionlab.store.sqlite import SqliteStore

Make = Callable[[], EventStore]


@pytest.fixture(params=["memory", "sqlite in memory", "sqlite file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EventStore]:
    made: EventStore = MemoryStore() if request.param == "memory" else SqliteStore.open(":memory:" if "in memory" in request.param else tmp_path / "notes.db")
    yield made
    made.close()


def started() -> Batch:
    """The start of run 1 of workflow 1."""
    code, ref, data, payload = pack(e.WorkflowStarted("order", "v1", e.Payload(b"[]"), 7, "3.11"))
    run = Run(1, 1, WorkflowId("w"), RunId("r"), "order", "v1", Status.RUNNING, Micros(5))
    return Batch([(1, 1, 1, 5, code, 2, ref, data, payload)], {1: 0}, [(1, WorkflowId("w"))], [run])


def test_notes_are_written_changed_and_removed(store: EventStore) -> None:
    store.commit(Batch(notes=[("a", "1"), ("b", "2")]))
    assert (store.meta("a"), store.meta("b")) == ("1", "2")
    store.commit(Batch(notes=[("a", "one"), ("b", None), ("nothing", None)]))
    assert (store.meta("a"), store.meta("b"), store.meta("nothing")) == ("one", None, None)
    store.commit(Batch(notes=[("a", "x"), ("a", None), ("a", "last")]))
    assert store.meta("a") == "last"


def test_notes_come_with_the_events_of_their_batch_or_not_at_all(store: EventStore) -> None:
    batch = started()
    batch.notes.append(("a", "1"))
    store.commit(batch)
    assert store.meta("a") == "1" and store.head(WorkflowId("w")) == 1
    code, ref, data, payload = pack(e.WorkflowPaused())
    late = Batch([(1, 5, 1, 6, code, 2, ref, data, payload)], {1: 4}, notes=[("a", "2"), ("b", "3")])
    with pytest.raises(SequenceConflict):
        store.commit(late)
    assert (store.meta("a"), store.meta("b")) == ("1", None)


def test_whoever_lost_the_lab_writes_no_notes(tmp_path: Path) -> None:
    owner: Any = Owner(1, "here", "one", Micros(0))
    first = SqliteStore.open(tmp_path / "lab.db", owner=owner)
    second = SqliteStore.open(tmp_path / "lab.db", owner=owner, takeover=True)
    with pytest.raises(Fenced):
        first.commit(Batch(notes=[("a", "1")]))
    assert second.meta("a") is None
    second.commit(Batch(notes=[("a", "2")]))
    assert second.meta("a") == "2"
    first.close()
    second.close()
