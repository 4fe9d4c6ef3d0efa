"""Schedules across crashes and failing commits: a time is run exactly once, and its two histories begin together or not at all."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from aionlab.core import errors
from aionlab.core import events as e
from aionlab.core.clock import Micros
from aionlab.core.ids import SCHEDULES
from aionlab.core.status import Status
from aionlab.store.memory import MemoryStore
from aionlab.testing.faults import Crash, Fault, FaultyStore, at
from aionlab.testing.workbench import Workbench
from tests.engine import scheduling
from tests.engine.conftest import check
from tests.engine.scheduling import HOUR, SECOND, T0, away, history, id_at, make, runs, state, triggered

pytestmark = pytest.mark.slow

HOURS = 5
EXPECTED = {
    "busy": [1, 2, 3, 4, 5],  # each ends in a turn after the one that began it
    "nap": [1, 2, 3, 4, 5],  # each goes on for ninety minutes, so they queue
    "sum": [1, 2, 3, 4, 5],
}


def begin(bench: Workbench) -> None:
    plans = {
        "busy": e.Plan("busy", every=Micros(HOUR), catch_up="all"),
        "nap": e.Plan("naps", every=Micros(HOUR), overlap="buffer_all", catch_up="all"),
        "sum": e.Plan("total", cron="0 * * * *", overlap="buffer_all", catch_up="all"),
    }
    arguments: dict[str, tuple[Any, ...]] = {"busy": (1,), "nap": (90,), "sum": (1,)}
    for name, plan in plans.items():
        persist(bench, "schedule", name, plan, bench.values.encode_args(arguments[name], {}))


def persist(bench: Workbench, verb: str, *arguments: Any) -> Any:
    """Ask until there is an answer, as somebody who reopens the lab would."""
    for _ in range(10):
        try:
            return bench.call(verb, *arguments)
        except Crash:
            bench.crash()
        except (errors.StoreError, TimeoutError):
            continue
    raise AssertionError(f"{verb} has no answer")


def until(bench: Workbench, point: int) -> None:
    """Let the clock go on to a point of time, whatever happens to commits on the way."""
    bench.clock.aim(Micros(point))
    for _ in range(100):
        try:
            bench.host.pump()
        except Crash:
            bench.crash()
        if bench.clock.now() >= point and bench.engine.idle and not bench.engine.halted:
            return
    raise AssertionError("the clock does not arrive")


def judge(bench: Workbench) -> None:
    """What must hold whatever failed."""
    rows = {row.workflow_id: row for row in bench.call("runs")}
    told: list[str] = []
    for name in EXPECTED:
        events = bench.call("schedule_history", name)
        assert [recorded.seq for recorded in events] == list(range(1, len(events) + 1))
        for recorded in events:
            if not isinstance(recorded.event, e.ScheduleTriggered):
                continue
            told.append(recorded.event.workflow_id)
            first = bench.history(recorded.event.workflow_id)[0]
            assert isinstance(first.event, e.WorkflowStarted) and first.at == recorded.at and first.run_id == recorded.event.run_id
            assert first.event.scheduled == e.Scheduled(name, recorded.event.nominal_time)
    assert sorted(told) == sorted(rows), "every run was triggered, every trigger has a run"
    assert len(set(told)) == len(told), "once"


def test_every_commit_as_a_place_to_fail() -> None:
    """The same five hours, with the fault at every commit in turn: the same times are run, with the same results."""
    control = scheduling.define(Workbench(FaultyStore(MemoryStore())))
    begin(control)
    until(control, T0 + 8 * HOUR)
    commits = control.store.commits
    assert commits > 20
    for fault in Fault:
        for number in range(1, commits + 1):
            bench = scheduling.define(Workbench(FaultyStore(MemoryStore(), at(number, fault))))
            begin(bench)
            until(bench, T0 + HOURS * HOUR)
            judge(bench)
            for name in ("busy", "sum"):
                assert triggered(bench, name) == EXPECTED[name], (fault, number)
            until(bench, T0 + 8 * HOUR)
            judge(bench)
            assert [bench.result(id_at("sum", hour)) for hour in range(1, 9)] == list(range(1, 9)), (fault, number)
            assert [event.nominal_time for event in history(bench, "nap") if isinstance(event, e.ScheduleTriggered)] == [
                event.nominal_time for event in history(control, "nap") if isinstance(event, e.ScheduleTriggered)
            ], (fault, number)
            check(bench)


@pytest.mark.parametrize("written", [False, True])
def test_a_trigger_whose_commit_is_in_doubt(make_bench: Callable[..., Workbench], written: bool) -> None:
    bench = scheduling.define(make_bench())
    make(bench, "s", "patient")
    bench.store.doubt(written=written)
    try:
        bench.call("schedule_trigger", "s")
    except errors.StoreUnavailable:
        assert not written
    bench.host.pump()
    assert len(runs(bench)) == int(written) == state(bench, "s").triggered and len(state(bench, "s").running) == int(written)
    bench.skip(HOUR)
    assert triggered(bench, "s") == ([0] if written else [1])
    bench.signal(runs(bench)[0], "stop", 1)
    bench.skip(HOUR)
    assert triggered(bench, "s") == ([0, 2] if written else [1, 2])


def test_a_schedule_whose_making_was_not_written_is_not_there(make_bench: Callable[..., Workbench]) -> None:
    bench = scheduling.define(make_bench())
    bench.store.fail_next(lambda: errors.StoreFull("full"))
    with pytest.raises(errors.StoreFull):
        make(bench, "s")
    bench.host.pump()
    assert bench.call("schedules") == [] and bench.engine.schedules.get("s") is None
    bench.skip(2 * HOUR)
    assert runs(bench) == []
    make(bench, "s")
    bench.skip(HOUR)
    assert triggered(bench, "s") == [3]


def test_while_the_store_is_down_times_wait_and_then_go_by_the_policy(make_bench: Callable[..., Workbench]) -> None:
    bench = scheduling.define(make_bench())
    for policy in ("all", "one", "skip"):
        make(bench, policy, catch_up=policy)
    bench.store.down = lambda: errors.StoreUnavailable("down")
    bench.clock.aim(Micros(T0 + HOUR))
    bench.host.pump()
    assert bench.engine.halted
    bench.clock._now = bench.clock.target = Micros(T0 + 4 * HOUR + 60 * SECOND)
    bench.host.pump()
    bench.store.down = None
    bench.host.pump()
    assert [triggered(bench, policy) for policy in ("all", "one", "skip")] == [[1, 2, 3, 4], [4], []]


def test_a_defect_while_a_schedule_fires_stops_that_one_alone(make_bench: Callable[..., Workbench], monkeypatch: pytest.MonkeyPatch) -> None:
    from aionlab.engine.schedules import firing

    bench = scheduling.define(make_bench())
    for name in ("bad", "good"):
        make(bench, name)
    name_of = firing.name

    def broken(engine: Any, schedule: Any, *rest: Any) -> str:
        if schedule.id == "bad":
            raise ZeroDivisionError("a bug of ours")
        return name_of(engine, schedule, *rest)

    monkeypatch.setattr(firing, "name", broken)
    bench.skip(2 * HOUR)
    assert (state(bench, "bad").state, state(bench, "bad").waits_for) == ("Stuck", "a bug of ours")
    assert triggered(bench, "good") == [1, 2] and triggered(bench, "bad") == []
    monkeypatch.undo()
    bench.call("schedule_update", "bad", {})
    bench.skip(HOUR)
    assert triggered(bench, "bad") == [3] and state(bench, "bad").state == "Active"


def test_the_end_of_a_run_and_the_start_of_the_next_are_apart_and_a_crash_between_them_is_made_good(make_bench: Callable[..., Workbench]) -> None:
    bench = scheduling.define(make_bench())
    make(bench, "s", "patient", overlap="buffer_one")
    bench.skip(2 * HOUR)
    bench.store.crash(bench.store.commits + 2)
    with pytest.raises(Crash):
        bench.signal(id_at("s", 1), "stop", 1)
    bench.crash()
    assert triggered(bench, "s") == [1, 2] and bench.status(id_at("s", 1)) is Status.COMPLETED


def test_taken_over_it_fires_no_more(make_bench: Callable[..., Workbench]) -> None:
    bench = scheduling.define(make_bench())
    make(bench, "s")
    bench.store.inner.fenced = True
    bench.skip(3 * HOUR)
    assert bench.engine.fenced
    assert [one.id for one in bench.call("schedules")] == ["s"] and runs(bench) == []
    with pytest.raises(errors.Fenced):
        bench.call("schedule_trigger", "s")
    bench.store.inner.fenced = False
    away(bench, 0)
    assert triggered(bench, "s") == [1], "the other kernel, in effect; the clock of this one stood still"


def test_an_observer_sees_schedules_as_they_stand(make_bench: Callable[..., Workbench]) -> None:
    store = MemoryStore()
    owner = scheduling.define(make_bench(FaultyStore(store)))
    make(owner, "s")
    store.readonly = True
    watcher = scheduling.define(Workbench(store))
    store.readonly = False
    owner.skip(2 * HOUR)
    store.readonly = True
    try:
        assert state(watcher, "s").triggered == 2 and len(history(watcher, "s")) == 3
        assert [row.workflow_id for row in watcher.call("schedule_runs", "s", 1)] == [id_at("s", 2)]
        for verb in ("schedule_pause", "schedule_trigger", "schedule_delete"):
            with pytest.raises(errors.StoreReadOnly):
                watcher.call(verb, "s")
        with pytest.raises(errors.StoreReadOnly):
            make(watcher, "t")
    finally:
        store.readonly = False
    assert [str(name) for name in store.ids(SCHEDULES)] == [f"{SCHEDULES}s"]
