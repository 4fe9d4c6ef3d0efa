"""Histories without runs, in every store: they number, read and fold like others, and no listing meets them."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aionlab.core import events as e
from aionlab.core.clock import Micros
from aionlab.core.codec import pack
from aionlab.core.errors import SequenceConflict
from aionlab.core.events import Payload, Recorded
from aionlab.core.ids import NO_RUN, SCHEDULES, WorkflowId
from aionlab.core.ports import Batch
from aionlab.store.memory import MemoryStore
from aionlab.store.sqlite import SqliteStore
from aionlab.testing.conformance import started

NAME = WorkflowId(f"{SCHEDULES}nightly")
STORES: dict[str, Callable[[Path], Any]] = {
    "memory": lambda folder: MemoryStore(), "sqlite in memory": lambda folder: SqliteStore.open(":memory:"), "sqlite": lambda folder: SqliteStore.open(folder / "lab.db"),
}  # fmt: skip
EVENTS = [e.ScheduleCreated(e.Plan("report", cron="@daily"), Payload(b"[42]"), '"memo"'), e.SchedulePaused("why"), e.ScheduleDeleted()]


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    opened = STORES[request.param](tmp_path)
    yield opened
    opened.close()


def recorded(*events: Any, after: int = 0) -> list[Recorded]:
    return [Recorded(seq, Micros(seq * 1000), NAME, NO_RUN, event) for seq, event in enumerate(events, after + 1)]


def test_a_history_without_runs(store: Any) -> None:
    store.append(NAME, recorded(*EVENTS[:2]), 0)
    store.append(NAME, recorded(EVENTS[2], after=2), 2)
    assert store.read(NAME) == recorded(*EVENTS) and store.read_from(NAME, 3) == recorded(*EVENTS)[2:] and store.head(NAME) == 3
    assert store.run(NAME) is None and store.run_chain(NAME) == [] and store.runs() == [] and store.count() == {"": 0} and store.active() == []
    assert list(store.open_histories()) == [] and store.run_history(0) == []
    with pytest.raises(SequenceConflict):
        store.append(NAME, recorded(EVENTS[0], after=1), 1)


def test_one_commit_for_a_schedule_and_the_run_it_starts(store: Any) -> None:
    store.append(NAME, recorded(EVENTS[0]), 0)
    batch = Batch()
    other = MemoryStore()
    run = WorkflowId("nightly-1")
    other.append(run, [Recorded(1, Micros(5), run, e.RunId("r"), started())], 0)
    key = store.workflow_key(NAME)
    row = other.runs()[0]
    from dataclasses import replace

    batch.runs.append(replace(row, key=1, workflow_key=key + 1))
    batch.workflows.append((key + 1, run))
    batch.expected |= {key: 1, key + 1: 0}
    for history, seq, run_key, event in ((key, 2, 0, e.ScheduleTriggered(Micros(5), run, e.RunId("r"))), (key + 1, 1, 1, started())):
        code, ref, data, payload = pack(event)
        batch.rows.append((history, seq, run_key, 5, code, 2, ref, data, payload))
    store.commit(batch)
    assert [one.event for one in store.read(NAME)][1] == e.ScheduleTriggered(Micros(5), run, e.RunId("r"))
    assert [one.workflow_id for one in store.runs()] == [run] and store.ids() == [NAME, run]


def test_ids_by_how_they_begin(store: Any) -> None:
    for name in (f"{SCHEDULES}b", "aion.schedules", "aion.schedules0", f"{SCHEDULES}a", "zebra"):
        store.append(WorkflowId(name), [Recorded(1, Micros(1), WorkflowId(name), NO_RUN, e.SchedulePaused())], 0)
    assert store.ids(SCHEDULES) == [f"{SCHEDULES}b", f"{SCHEDULES}a"] and store.ids("z") == ["zebra"] and store.ids("nothing") == [] and len(store.ids()) == 5


def test_what_a_file_says_of_itself(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path / "lab.db")
    empty = store.digest()
    store.append(NAME, recorded(*EVENTS[:1]), 0)
    made = store.digest()
    store.append(NAME, recorded(EVENTS[1], after=1), 1)
    assert len({empty, made, store.digest()}) == 3, "the witness covers schedules, which act unasked"
    assert store.verify() == [] and store.rebuild_visibility() == 0
    store.close()
