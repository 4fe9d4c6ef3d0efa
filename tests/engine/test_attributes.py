"""Search attributes that workflow code sets: checked before anything is written, a run that sets a refused one waits for it."""
from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import pytest

from aionlab import workflow
from aionlab.core import errors
from aionlab.core import events as e
from aionlab.core.status import Status
from aionlab.engine import processes
from aionlab.engine.call import Call
from aionlab.replay.rebuild import rebuild
from aionlab.store.memory import MemoryStore
from aionlab.testing.conformance import having
from aionlab.testing.faults import Crash, FaultyStore
from aionlab.testing.workbench import Workbench
from tests.engine import programs
from tests.engine.programs import SECOND, calls, of, shape, snapshot

MOMENT = datetime(2026, 11, 1, 9, 30, tzinfo=UTC)
MICROS = int(MOMENT.timestamp()) * SECOND


class Stage(str, Enum):
    PAID = "paid"


async def staged() -> list[Any]:
    """Sets `stage` after a signal, in one step with an activity."""
    who = await workflow.receive("go")
    workflow.upsert_search_attributes(stage="paid")
    paid = await programs.charge(1)
    await asyncio.sleep(5)
    return [who, paid, await workflow.receive("go", timeout=60, default="nobody")]


async def at_once(to: Any = "new") -> str:
    """Sets `stage` in its first step."""
    workflow.upsert_search_attributes(stage=to)
    return await programs.ship("box")


async def last() -> str:
    """Sets `stage` in its last step."""
    await programs.charge(7)
    workflow.upsert_search_attributes(stage="over")
    return "done"


async def two() -> str:
    await workflow.receive("go")
    workflow.upsert_search_attributes(stage="a", total=1)
    return "both"


async def moments(how: str) -> str:
    at: Any = {"datetime": MOMENT, "text": MOMENT.isoformat(), "naive": MOMENT.replace(tzinfo=None), "none": None}[how]
    workflow.upsert_search_attributes(due=at)
    return await workflow.receive("go")


async def many_kinds() -> str:
    workflow.upsert_search_attributes(tags={"b", "a"}, stage=Stage.PAID, total=3, gone=None)
    return await workflow.receive("go")


@pytest.fixture
def make(make_bench: Callable[..., Workbench]) -> Callable[..., Workbench]:
    def made(store: Any = None) -> Workbench:
        bench = make_bench(store)
        define(bench)
        return bench

    return made


@pytest.fixture
def ours(make: Callable[..., Workbench]) -> Workbench:
    return make()


def define(bench: Workbench) -> None:
    for fn in (staged, at_once, last, two, moments, many_kinds):
        bench.workflow(fn)


def register(bench: Workbench, name: str = "stage", kind: str = "keyword") -> None:
    bench.call("register_attribute", name, kind)
    bench.host.pump()


def is_stuck(bench: Workbench, workflow_id: str = "w", name: str = "stage") -> None:
    """Everything that shows a run says why this one is stuck, and what mends it."""
    entry = bench.call("entry", workflow_id)
    assert (entry.residency, entry.pid, entry.status) == ("Stuck", None, Status.RUNNING)
    assert entry.waiting_for.startswith(f"search attribute '{name}': it is not registered")
    assert f"lab.register_search_attribute('{name}', " in entry.waiting_for
    assert entry in bench.call("registry")
    root = bench.call("tree")
    nodes = [*root.children, *(child for supervisor in root.children for child in supervisor.children)]
    [node] = [node for node in nodes if node.kind == "workflow" and node.name == workflow_id]
    assert (node.state, node.pid, node.detail) == ("Stuck", 0, entry.waiting_for)
    assert bench.call("progress").stuck >= 1


def attributes(bench: Workbench, workflow_id: str = "w") -> dict[str, Any]:
    return dict(bench.call("run", workflow_id).attributes)


def control(make: Callable[..., Workbench], name: str, *signals: Any) -> tuple[Any, ...]:
    """How the run ends where the attributes were registered before it."""
    bench = make()
    for attribute, kind in (("stage", "keyword"), ("total", "int")):
        register(bench, attribute, kind)
    bench.start(name, id="w")
    for value in signals:
        bench.signal("w", "go", value)
    return end(bench)


def end(bench: Workbench) -> tuple[Any, ...]:
    bench.skip(100 * SECOND)
    ended = bench.result("w"), sorted(shape(bench.history("w")), key=str), attributes(bench), sorted(calls)
    before = snapshot(bench)
    bench.crash()
    assert snapshot(bench) == before
    return ended


# --- refused -----------------------------------------------------------------------------------------------------------


def test_a_refused_step_leaves_its_fact_waiting_and_nothing_else(ours: Workbench) -> None:
    ours.start("staged", id="w")
    ours.signal("w", "go", "ada")
    is_stuck(ours)
    assert ours.kinds("w") == ["WorkflowStarted", "SignalReceived"]
    assert [recorded.deferred for recorded in ours.history("w")] == [False, True]
    assert attributes(ours) == {} and calls == [] and ours.engine.in_flight == {}
    assert ours.call("entry", "w").mailbox == 1


def test_a_refused_first_step_leaves_a_start_that_waits(ours: Workbench) -> None:
    ours.start("at_once", id="w", deadline=9 * SECOND)
    is_stuck(ours)
    assert ours.kinds("w") == ["WorkflowStarted", "TimerStarted"] and ours.history("w")[0].deferred
    ours.crash()
    is_stuck(ours)
    ours.skip(10 * SECOND)
    assert ours.status("w") is Status.TIMED_OUT and calls == []


def test_a_refused_last_step_does_not_end_the_run(ours: Workbench) -> None:
    ours.start("last", id="w")
    is_stuck(ours)
    assert ours.kinds("w")[-1] == "ActivityCompleted" and ours.history("w")[-1].deferred
    register(ours)
    assert ours.result("w") == "done" and attributes(ours) == {"stage": "over"} and calls == ["charge 7"]


def test_the_lab_and_other_runs_of_the_turn_go_on(ours: Workbench) -> None:
    ours.start("staged", id="w")
    ours.start("listener", "go", 1, id="other")
    ours.signal("w", "go", 1)
    ours.signal("other", "go", 2)
    assert ours.result("other") == [2] and not ours.engine.halted
    is_stuck(ours)


@pytest.mark.parametrize(("kind", "to", "why"), [("int", "new", "it holds whole numbers"), ("keyword", 5, "it holds text"), ("keyword", "x" * 3000, "bytes")])
def test_a_wrong_value_is_refused_too(ours: Workbench, kind: str, to: object, why: str) -> None:
    register(ours, "stage", kind)
    ours.start("at_once", to, id="w")
    assert ours.call("entry", "w").residency == "Stuck" and why in ours.call("entry", "w").waiting_for
    assert ours.kinds("w") == ["WorkflowStarted"] and attributes(ours) == {}
    before = snapshot(ours)
    register(ours, "other", "int")
    assert ours.call("retry", "w")
    ours.host.pump()
    assert ours.call("entry", "w").residency == "Stuck"
    assert snapshot(ours)[0] == before[0]


def test_a_stuck_run_can_be_ended_paused_and_asked(ours: Workbench) -> None:
    for name in ("w", "x", "y"):
        ours.start("staged", id=name)
        ours.signal(name, "go", 1)
    ours.call("terminate", "w", None, "hopeless")
    assert ours.status("w") is Status.TERMINATED
    with pytest.raises(errors.QueryFailed, match="not registered"):
        ours.call("query", "x", "n", ours.values.encode_args((), {}))
    ours.call("cancel", "x")
    ours.call("pause", "y")
    register(ours)
    assert ours.status("x") is Status.CANCELLED and attributes(ours, "x") == {"stage": "paid"}
    assert ours.status("y") is Status.PAUSED and attributes(ours, "y") == {}
    ours.call("resume", "y")
    ours.skip(100 * SECOND)
    assert ours.result("y") == [1, 2, "nobody"] and attributes(ours, "y") == {"stage": "paid"}


def test_a_call_that_waits_for_the_result_waits_on(ours: Workbench) -> None:
    ours.start("last", id="w")
    call = ours.host.ask(Call("result", "w"))
    ours.host.pump()
    assert not call.poll()
    register(ours)
    assert isinstance(call.outcome()[2], e.WorkflowCompleted)


# --- registered later ----------------------------------------------------------------------------------------------------


def resident(bench: Workbench) -> None:
    pass


def reopened(bench: Workbench) -> None:
    bench.crash()


def suspended(bench: Workbench) -> None:
    if bench.outcome("w") is None:
        bench.call("suspend", "w")


def tried_again(bench: Workbench) -> None:
    assert bench.call("retry", "w") in (True, False)
    bench.host.pump()


BETWEEN = (resident, reopened, suspended, tried_again)


@pytest.mark.parametrize("between", BETWEEN, ids=lambda between: between.__name__)
@pytest.mark.parametrize("name", ["staged", "at_once", "last"])
def test_a_run_whose_attribute_comes_later_ends_as_its_control(make: Callable[..., Workbench], name: str, between: Callable[[Workbench], None]) -> None:
    signals = ["ada", "bob"] if name == "staged" else []
    expected = control(make, name, *signals)
    bench = make()
    bench.start(name, id="w")
    between(bench)
    for value in signals:
        bench.signal("w", "go", value)
        between(bench)
    is_stuck(bench)
    before = bench.history("w")
    between(bench)
    assert bench.history("w") == before
    register(bench)
    assert end(bench) == expected
    assert len(of(bench, "w", e.SearchAttributesUpdated)) == 1


def test_registered_one_after_the_other(make: Callable[..., Workbench]) -> None:
    expected = control(make, "two", 1)
    bench = make()
    bench.start("two", id="w")
    bench.signal("w", "go", 1)
    is_stuck(bench)
    register(bench)
    is_stuck(bench, name="total")
    register(bench, "total", "int")
    assert end(bench) == expected


def test_registered_while_the_lab_was_open_elsewhere(ours: Workbench) -> None:
    ours.start("last", id="w")
    ours.store.register_attribute("stage", "keyword")
    ours.crash()
    assert ours.result("w") == "done"


def test_what_is_recorded_needs_no_schema_again(ours: Workbench) -> None:
    register(ours)
    ours.start("staged", id="w")
    ours.signal("w", "go", "ada")
    before = snapshot(ours)[0]
    getattr(ours.store, "inner", ours.store)._attributes.clear()
    ours.crash()
    ours.crash()
    assert ours.engine.attribute_types == {} and ours.call("entry", "w").residency == "Resident"
    assert snapshot(ours)[0] == before and attributes(ours) == {"stage": "paid"}
    ours.skip(100 * SECOND)
    assert ours.result("w") == ["ada", 2, "nobody"]


# --- stored form ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("how", "stored"), [("datetime", {"due": MICROS}), ("text", {"due": MICROS}), ("none", {})])
def test_times_are_stored_as_microseconds_and_replay_agrees(ours: Workbench, caplog: pytest.LogCaptureFixture, how: str, stored: dict[str, Any]) -> None:
    register(ours, "due", "datetime")
    ours.start("moments", how, id="w")
    assert attributes(ours) == stored
    assert [row.workflow_id for row in ours.call("runs", having(stored))] == ["w"]
    ours.crash()
    ours.signal("w", "go", "on")
    assert ours.result("w") == "on" and attributes(ours) == stored
    assert not [record for record in caplog.records if "other arguments" in record.message]


def test_a_time_without_zone_is_refused(ours: Workbench) -> None:
    register(ours, "due", "datetime")
    ours.start("moments", "naive", id="w")
    assert "has no time zone" in ours.call("entry", "w").waiting_for and attributes(ours) == {}


def test_other_kinds_are_stored_plain_and_replay_agrees(ours: Workbench, caplog: pytest.LogCaptureFixture) -> None:
    for name, kind in (("tags", "keyword_list"), ("stage", "keyword"), ("total", "float"), ("gone", "bool")):
        register(ours, name, kind)
    ours.start("many_kinds", id="w")
    assert attributes(ours) == {"tags": ["a", "b"], "stage": "paid", "total": 3.0}
    [update] = of(ours, "w", e.SearchAttributesUpdated)
    assert update.attributes == b'{"tags":["a","b"],"stage":"paid","total":3.0,"gone":null}'
    ours.crash()
    assert ours.call("entry", "w").residency == "Resident"
    assert not [record for record in caplog.records if "other arguments" in record.message]


def test_another_value_on_replay_is_told(ours: Workbench) -> None:
    register(ours, "due", "datetime")
    ours.start("moments", "datetime", id="w")
    run = ours.engine.find("w")
    assert run is not None
    history = ours.history("w")
    later = history[1]._replace(event=e.SearchAttributesUpdated(e.Payload(b'{"due":%d}' % (MICROS + 1)), by_code=True))
    rebuilt = rebuild(lambda trace: processes.new_process(ours.engine, run, trace=trace), [history[0], later])
    assert len(rebuilt.warnings) == 1
    rebuilt.process.close()


# --- crashes and failed commits ------------------------------------------------------------------------------------------


def drive(bench: Workbench) -> None:
    """Start, signal, register, whatever of it the log does not show yet."""
    if bench.store.inner.run("w") is None:
        bench.start("staged", id="w")
    for n in (1, 2):
        bench.signal("w", "go", n, f"key-{n}")
    if len(of(bench, "w", e.SignalReceived)) == 2 and "stage" not in bench.store.attribute_types():
        is_stuck(bench)
    register(bench)
    bench.skip(100 * SECOND)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("crash", [True, False], ids=["crash", "doubt"])
def test_a_fault_at_every_commit(make: Callable[..., Workbench], crash: bool, after: bool) -> None:
    plain = make()
    drive(plain)
    expected, commits = sorted(shape(plain.history("w")), key=str), plain.store.commits
    assert plain.result("w") == [1, 2, 2] and commits >= 4
    for at in range(1, commits + 1):
        store = FaultyStore(MemoryStore())
        if crash:
            store.crash(at, after=after)
        else:
            store.fail(at, lambda: errors.StoreUnavailable("no answer"), after=after)
        bench = make(store)
        for _ in range(3):
            try:
                drive(bench)
                break
            except Crash:
                bench.crash()
            except errors.StoreUnavailable:
                bench.host.pump()
        assert bench.result("w") == [1, 2, 2] and attributes(bench) == {"stage": "paid"}
        assert sorted(shape(bench.history("w")), key=str) == expected
        assert len(of(bench, "w", e.SearchAttributesUpdated)) == 1


def test_a_refusal_whose_fact_was_not_written_leaves_the_run_as_it_was(ours: Workbench) -> None:
    ours.start("staged", id="w")
    before = snapshot(ours)
    ours.store.doubt(written=False)
    with pytest.raises(errors.StoreUnavailable):
        ours.signal("w", "go", 1)
    ours.host.pump()
    assert snapshot(ours) == before
    assert ours.call("entry", "w").residency == "Resident"


def test_a_start_with_the_attribute_refused_and_not_written_never_was(ours: Workbench) -> None:
    ours.store.doubt(written=False)
    with pytest.raises(errors.StoreUnavailable):
        ours.start("at_once", id="w")
    ours.host.pump()
    assert ours.store.ids() == [] and ours.call("registry") == []


def test_a_store_that_does_not_take_the_registration_leaves_the_run_stuck(ours: Workbench) -> None:
    ours.start("last", id="w")
    ours.store.down = lambda: errors.StoreUnavailable("down")
    with pytest.raises(errors.StoreUnavailable):
        ours.call("register_attribute", "stage", "keyword")
    ours.store.down = None
    ours.host.pump()
    is_stuck(ours)
    register(ours)
    assert ours.result("w") == "done"


def test_a_registered_attribute_keeps_its_type(bench: Workbench) -> None:
    bench.call("register_attribute", "size", "int")
    bench.call("register_attribute", "size", "int")
    for name, kind in (("size", "keyword"), ("no name", "int")):
        with pytest.raises(errors.InvalidAttribute):
            bench.call("register_attribute", name, kind)
    assert bench.store.attribute_types()["size"] == "int"
    assert "no name" not in bench.store.attribute_types()
