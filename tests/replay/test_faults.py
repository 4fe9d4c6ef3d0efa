"""The faulty store keeps the port's promises when it is not asked to fail, and the engine's own when it is."""
from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from aionlab import workflow
from aionlab.core import events as e
from aionlab.core.errors import QueryFailed, StoreFull, StoreUnavailable
from aionlab.core.ports import EventStore
from aionlab.engine.call import Call
from aionlab.store.memory import MemoryStore
from aionlab.testing.conformance import EventStoreConformance, history, started
from aionlab.testing.faults import Crash, Fault, FaultyStore, at
from aionlab.testing.laws import check_memory, shape
from aionlab.testing.programs import Block
from aionlab.testing.workbench import Workbench
from aionlab.testing.world import Move, World


class TestWithoutFaults(EventStoreConformance):
    durable = False

    def make_store(self, path: Path) -> EventStore:
        return FaultyStore(MemoryStore())


@pytest.mark.parametrize(
    ("fault", "raised", "written"),
    [
        (Fault.CRASH_BEFORE, Crash, 0), (Fault.CRASH_AFTER, Crash, 1), (Fault.FULL, StoreFull, 0),
        (Fault.LOST, StoreUnavailable, 0), (Fault.WRITTEN, StoreUnavailable, 1),
    ],
)  # fmt: skip
def test_what_each_fault_does(fault: Fault, raised: type[BaseException], written: int) -> None:
    store = FaultyStore(MemoryStore(), at(1, fault))
    with pytest.raises(raised):
        store.append("order-42", history(started()), 0)
    assert (store.head("order-42"), store.commits, store.happened[fault]) == (written, 1, 1)
    assert fault.crashes == (raised is Crash)


def test_faults_in_a_row_and_reads_that_fail() -> None:
    store = FaultyStore(MemoryStore(), at(2, Fault.FULL, times=2))
    store.append("a", history(started(), workflow_id="a"), 0)
    for _ in range(2):
        with pytest.raises(StoreFull):
            store.append("b", history(started(), workflow_id="b"), 0)
    store.append("b", history(started(), workflow_id="b"), 0)
    store.deaf = 1
    with pytest.raises(StoreUnavailable):
        store.ids()
    assert store.ids() == ["a", "b"]


@pytest.mark.parametrize("after", [False, True])
def test_failures_asked_for_by_number_come_before_the_plan(after: bool) -> None:
    store = FaultyStore(MemoryStore(), at(1, Fault.FULL, times=3))
    store.crash(1, after=after)
    with pytest.raises(Crash):
        store.append("a", history(started(), workflow_id="a"), 0)
    assert store.head("a") == after and not store.happened
    store.doubt(written=after)
    with pytest.raises(StoreUnavailable):
        store.append("b", history(started(), workflow_id="b"), 0)
    assert store.head("b") == after
    with pytest.raises(StoreFull):
        store.append("c", history(started(), workflow_id="c"), 0)
    assert store.happened == {Fault.FULL: 1} and store.commits == 3


def test_a_store_that_is_down_neither_reads_nor_writes() -> None:
    store = FaultyStore(MemoryStore())
    store.down = lambda: StoreUnavailable("down")
    for use in (
        store.heads, store.ids, store.attribute_types, store.rest, lambda: next(store.open_histories(), None), lambda: store.set_meta("a", "b"),
        lambda: store.register_attribute("a", "int"), lambda: store.append("a", history(started(), workflow_id="a"), 0),
    ):  # fmt: skip
        with pytest.raises(StoreUnavailable, match="down"):
            use()
    store.down = None
    assert store.ids() == [] and store.attribute_types() == {} and store.meta("a") is None and store.commits == 1


def world(*programs: Block, plan: Any = lambda number: None) -> World:
    made = World(programs, 1, FaultyStore(MemoryStore(), plan))
    for run in range(len(programs)):
        made.play([("start", run)])
    return made


def kinds(made: World, run: int = 0) -> list[str]:
    return [type(recorded.event).__name__ for recorded in made.history(run)]


def test_attempts_withdrawn_in_a_doubtful_commit_are_stopped_when_the_log_shows_it() -> None:
    """The commit is written, and nobody can tell for a while: when the log answers, the attempt that it no longer waits for is stopped."""
    made = world([["wait_for", 5, [["act", "act", 1]]], ["receive", "a", None]], plan=at(2, Fault.WRITTEN))
    made.store.deaf = 3
    made.play([("time", made.clock.point + 5_000_000)])
    assert kinds(made)[-3:] == ["ActivityStarted", "TimerFired", "ActivityCancelRequested"]
    assert made.engine.in_flight == {} and list(made.executor.withdrawn) == [(1, 0)]
    check_memory(made)
    made.close()


@pytest.mark.parametrize("split", [False, True])
def test_residency_never_shows(split: bool) -> None:
    """A run that is not in memory takes the facts of a turn just as one that is, whatever the turn has recorded for it before."""
    program: Block = [["receive", "a", None], ["act", "act", 1], ["receive", "b", None]]
    moves: list[Move] = [
        [("pause", 0), ("signal", 0, "a", 1, False)],
        [("resume", 0), ("signal", 0, "b", 2, False), ("signal", 0, "b", 3, True)],
    ]
    resident, suspended = world(program), world(program)
    for move in moves:
        resident.play(move)
        suspended.play([("suspend", 0)])
        suspended.play(move, split=split)
    assert shape(resident.history(0), exact=True) == shape(suspended.history(0), exact=True)
    assert kinds(resident)[-4:] == ["ActivityScheduled", "ActivityStarted", "SignalReceived", "SignalReceived"]
    resident.close(), suspended.close()


def test_a_query_that_meddles_does_not_reach_the_facts_of_its_turn() -> None:
    async def flow() -> str:
        event = asyncio.Event()
        workflow.on_query("poke", event.set)
        try:
            await asyncio.wait_for(event.wait(), 60)
        except TimeoutError:
            return "timeout"
        return "event"

    bench = Workbench()
    bench.workflow(flow)
    bench.start("flow", id="w")
    calls = [Call("query", "w", "poke", e.Payload(b"[]")), Call("cancel", "w")]
    for call in calls:
        bench.engine.submit(call)
    bench.host.pump()
    with pytest.raises(QueryFailed, match="read-only"):
        calls[0].outcome()
    assert bench.kinds("w")[-2:] == ["TimerCancelled", "WorkflowCancelled"]
    bench.crash()


def test_a_killed_run_takes_the_next_fact_of_the_same_turn() -> None:
    made = world([["receive", "a", None], ["receive", "a", None], ["receive", "a", None]])
    made.play([("signal", 0, "a", 1, False), ("kill", 0), ("signal", 0, "a", 2, False), ("kill", 0), ("signal", 0, "a", 3, False)])
    assert kinds(made)[-1] == "WorkflowCompleted"
    assert not any(recorded.deferred for recorded in made.history(0))
    ended = made.history(0)[-1].event
    assert isinstance(ended, e.WorkflowCompleted) and ended.result == b'[["got a",1],["got a",2],["got a",3]]'
    made.close()
