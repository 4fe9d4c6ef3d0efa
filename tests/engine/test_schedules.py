"""Schedules: exact on the virtual clock, what overlaps, what is missed, and what may be done to one."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from aionlab.core import errors
from aionlab.core import events as e
from aionlab.core.ids import NO_RUN, SCHEDULES
from aionlab.core.status import ScheduleStatus, Status
from aionlab.engine.catalog import NotRunnable
from aionlab.engine.engine import Engine
from aionlab.store.fold import batch_of
from aionlab.store.memory import MemoryStore
from aionlab.testing.workbench import Workbench
from tests.engine import scheduling
from tests.engine.scheduling import DAY, HOUR, MINUTE, SECOND, T0, away, history, id_at, make, runs, state, triggered


@pytest.fixture
def bench(make_bench: Callable[..., Workbench]) -> Workbench:
    return scheduling.define(make_bench())


# --- times ---------------------------------------------------------------------------------------------------------------


def test_ninety_days_of_a_daily_schedule_fire_at_the_exact_nominal_times(bench: Workbench) -> None:
    make(bench, "nightly", cron="30 2 * * *", timezone="Europe/Berlin")
    bench.skip(90 * DAY)
    rows = list(reversed(bench.call("runs")))
    assert len(rows) == 90 and [row.run_id for row in rows] == [row.workflow_id for row in rows]
    assert rows[0].workflow_id == "nightly-2020-01-01T01:30:00Z" and rows[-1].workflow_id == "nightly-2020-03-30T00:30:00Z"
    assert "nightly-2020-03-29T01:00:00Z" in {row.workflow_id for row in rows}, "half past two was skipped: it fired when the gap ended"
    assert all(row.workflow_id == f"nightly-{scheduling.stamp(row.started_at)}" and row.status is Status.COMPLETED for row in rows)
    assert [type(event).__name__ for event in history(bench, "nightly")] == ["ScheduleCreated"] + ["ScheduleTriggered"] * 90


def test_an_interval_keeps_to_its_multiples_whenever_it_was_made(bench: Workbench) -> None:
    bench.skip(17 * MINUTE)
    make(bench, "beat", every=HOUR, offset=5 * MINUTE)
    bench.skip(3 * HOUR)
    assert runs(bench) == [f"beat-2020-01-01T0{hour}:05:00Z" for hour in (1, 2, 3)]
    make(bench, "quick", every=250_000)
    bench.skip(SECOND)
    assert runs(bench)[3:] == [f"quick-2020-01-01T03:17:{tail}Z" for tail in ("00.250000", "00.500000", "00.750000", "01")]


def test_a_single_time_comes_once_and_the_schedule_is_done(bench: Workbench) -> None:
    made = make(bench, "once", at=T0 + 3 * HOUR)
    assert (made.state, made.next) == ("Active", T0 + 3 * HOUR)
    bench.skip(30 * DAY)
    assert triggered(bench, "once") == [3]
    assert (state(bench, "once").state, state(bench, "once").next) == ("Done", None)
    with pytest.raises(errors.InvalidOption, match="at='2020-01-01T03:00:00Z' has passed: it is 2020-01-31"):
        make(bench, "late", at=T0 + 3 * HOUR)


def test_only_times_from_start_to_end_count(bench: Workbench) -> None:
    make(bench, "s", every=HOUR, start=T0 + 2 * HOUR, end=T0 + 4 * HOUR)
    bench.skip(10 * HOUR)
    assert triggered(bench, "s") == [2, 3, 4] and state(bench, "s").state == "Done"


def test_a_schedule_made_at_one_of_its_times_begins_with_the_next(bench: Workbench) -> None:
    assert make(bench, "s").next == T0 + HOUR


def test_several_schedules_fire_together_in_the_order_they_were_armed(bench: Workbench) -> None:
    for name in ("c", "a", "b"):
        make(bench, name)
    bench.skip(HOUR)
    assert runs(bench) == [id_at(name, 1) for name in ("c", "a", "b")]
    assert [one.id for one in bench.call("schedules")] == ["a", "b", "c"]


def test_a_run_knows_its_schedule_its_time_and_the_last_result(bench: Workbench) -> None:
    make(bench, "s", "told", overlap="allow_all")
    bench.skip(2 * HOUR + SECOND)
    assert bench.result(id_at("s", 1)) == ["s", "2020-01-01T01:00:00+00:00", None]
    assert bench.result(id_at("s", 2)) == ["s", "2020-01-01T02:00:00+00:00", ["s", "2020-01-01T01:00:00+00:00", None]]
    bench.start("told", id="by-hand")
    bench.skip(SECOND)
    assert bench.result("by-hand") == [None, None, None]


def test_j04_given_a_previous_scheduled_runs_result_then_the_next_can_read_it(bench: Workbench) -> None:
    make(bench, "sum", "total", 2)
    bench.skip(5 * HOUR)
    assert [bench.result(id_at("sum", hour)) for hour in range(1, 6)] == [2, 4, 6, 8, 10]
    away(bench, 0)
    bench.skip(HOUR)
    assert bench.result(id_at("sum", 6)) == 12, "found again after a crash"


def test_a_run_that_fails_leaves_the_last_result_as_it_was(bench: Workbench) -> None:
    make(bench, "s", "total", 5)
    bench.skip(HOUR)
    bench.call("schedule_update", "s", {"workflow_type": "breaks"}, bench.values.encode_args((), {}))
    bench.skip(HOUR)
    bench.call("schedule_update", "s", {"workflow_type": "total"}, bench.values.encode_args((1,), {}))
    bench.skip(HOUR)
    assert bench.status(id_at("s", 2)) is Status.FAILED and bench.result(id_at("s", 3)) == 6


def test_a_schedule_alone_does_not_carry_a_clock_along_that_goes_on_by_itself(bench: Workbench) -> None:
    bench.call("set_auto", True)
    make(bench, "s")
    now = bench.clock.now()
    bench.host.pump()
    assert bench.clock.now() == now and bench.engine.idle
    assert bench.call("skip_to_next") == T0 + HOUR
    bench.host.pump()
    assert triggered(bench, "s") == [1]
    bench.start("told", id="sleeper")  # a run's timer does, and a schedule's time on the way is met at its own
    assert bench.result("sleeper") == [None, None, None] and bench.clock.now() == T0 + HOUR + SECOND


# --- verbs ---------------------------------------------------------------------------------------------------------------


def test_j01_given_a_paused_schedule_then_it_does_not_fire_resume_fires_delete_stops(bench: Workbench) -> None:
    make(bench, "s")
    bench.skip(HOUR)
    paused = bench.call("schedule_pause", "s", "holiday")
    assert (paused.state, paused.note, paused.next) == ("Paused", "holiday", None)
    bench.skip(3 * HOUR)
    assert triggered(bench, "s") == [1]
    away(bench, HOUR)
    assert state(bench, "s").state == "Paused" and triggered(bench, "s") == [1]
    bench.call("schedule_resume", "s", "back")
    bench.skip(2 * HOUR)
    assert triggered(bench, "s") == [1, 6, 7], "what came while it was paused is not made up"
    bench.call("schedule_delete", "s")
    bench.skip(10 * HOUR)
    away(bench, HOUR)
    assert bench.call("schedules") == [] and len(runs(bench)) == 3
    assert [type(event).__name__ for event in history(bench, "s")][-1] == "ScheduleDeleted"


def test_j02_given_a_backfill_window_then_one_run_per_tick_and_repeating_the_backfill_adds_none(bench: Workbench) -> None:
    bench.skip(DAY)
    make(bench, "s", "busy", 1)
    asked = bench.call("schedule_backfill", "s", T0, T0 + 5 * HOUR)
    assert [scheduling.hours(at) for at in asked] == [0, 1, 2, 3, 4, 5]
    assert triggered(bench, "s") == [0, 1, 2, 3, 4, 5] and {bench.status(name) for name in runs(bench)} == {Status.COMPLETED}
    before = history(bench, "s")
    assert bench.call("schedule_backfill", "s", T0, T0 + 5 * HOUR) == [] and history(bench, "s") == before
    assert [scheduling.hours(at) for at in bench.call("schedule_backfill", "s", T0 + 4 * HOUR, T0 + 7 * HOUR)] == [6, 7]
    assert {event.cause for event in history(bench, "s") if isinstance(event, e.ScheduleTriggered)} == {"backfill"}
    bench.skip(HOUR)
    assert triggered(bench, "s")[-1] == 25, "its own times go on from where they were"


def test_a_backfill_runs_one_after_another_or_all_at_once(bench: Workbench) -> None:
    bench.skip(DAY)
    make(bench, "s", "patient", every=DAY)
    bench.call("schedule_backfill", "s", T0, T0 + DAY, None)
    assert (state(bench, "s").running, state(bench, "s").pending) == ((id_at("s", 0),), (T0 + DAY,))
    bench.call("schedule_backfill", "s", T0, T0 + DAY, None)
    assert len(state(bench, "s").pending) == 1, "what waits already is not asked for twice"
    bench.signal(id_at("s", 0), "stop", "done")
    assert state(bench, "s").running == (id_at("s", 24),) and state(bench, "s").pending == ()
    make(bench, "t", "patient", every=HOUR)
    bench.call("schedule_backfill", "t", T0, T0 + 4 * HOUR, "allow_all")
    assert len(state(bench, "t").running) == 5


@pytest.mark.parametrize(
    ("start", "end", "why"),
    [(5, 3, "ends at .*, before it begins"), (0, 30, "a backfill is of times that have passed")],
)  # fmt: skip
def test_a_backfill_that_is_refused(bench: Workbench, start: int, end: int, why: str) -> None:
    bench.skip(DAY)
    make(bench, "s")
    with pytest.raises(errors.InvalidOption, match=why):
        bench.call("schedule_backfill", "s", T0 + start * HOUR, T0 + end * HOUR)
    make(bench, "t", every=1000)
    with pytest.raises(errors.InvalidOption, match="over 100,000 times"):
        bench.call("schedule_backfill", "t", T0, T0 + DAY)
    assert [type(event).__name__ for event in history(bench, "s") + history(bench, "t")] == ["ScheduleCreated"] * 2


def test_a_trigger_starts_a_run_now_paused_or_not(bench: Workbench) -> None:
    make(bench, "s")
    bench.skip(90 * MINUTE)
    assert bench.call("schedule_trigger", "s")[0] == "s-2020-01-01T01:30:00Z"
    assert bench.call("schedule_trigger", "s") == ("s-2020-01-01T01:30:00Z.2", "s-2020-01-01T01:30:00Z.2"), "each by hand has an id of its own"
    bench.call("schedule_pause", "s")
    bench.skip(30 * MINUTE)
    assert bench.call("schedule_trigger", "s")[0] == "s-2020-01-01T02:00:00Z"
    bench.call("schedule_resume", "s")
    bench.skip(HOUR)
    assert [row.workflow_id for row in bench.call("schedule_runs", "s", 2)] == [id_at("s", 3), id_at("s", 2)]
    assert state(bench, "s").triggered == 5


def test_a_trigger_follows_the_overlap_policy_or_its_own(bench: Workbench) -> None:
    make(bench, "s", "patient")
    assert bench.call("schedule_trigger", "s") is not None
    assert bench.call("schedule_trigger", "s") is None and isinstance(history(bench, "s")[-1], e.ScheduleSkipped)
    assert bench.call("schedule_trigger", "s", "buffer_all") is None and state(bench, "s").pending == (T0,)
    assert bench.call("schedule_trigger", "s", "allow_all")[0] == f"{id_at('s', 0)}.2"
    with pytest.raises(errors.InvalidOption, match="overlap='never'; choose one of skip, buffer_one"):
        bench.call("schedule_trigger", "s", "never")


def test_an_update_changes_what_is_given_from_now_on(bench: Workbench) -> None:
    make(bench, "s", "total", 1)
    bench.skip(90 * MINUTE)
    changed = bench.call("schedule_update", "s", {"every": 2 * HOUR, "offset": HOUR}, None, None, "twice as slow")
    assert (changed.plan.every, changed.plan.workflow_type, changed.note, changed.next) == (2 * HOUR, "total", "twice as slow", T0 + 3 * HOUR)
    bench.skip(4 * HOUR)
    assert triggered(bench, "s") == [1, 3, 5]
    for changes, why in (({"cron": "* * * * *"}, "cron= and every= was given"), ({"overlap": "x"}, "choose one of skip"), ({"offset": 3 * HOUR}, "not shorter")):
        with pytest.raises(errors.InvalidOption, match=why):
            bench.call("schedule_update", "s", changes)
    with pytest.raises(errors.WorkflowNotFound):
        bench.call("schedule_update", "s", {"workflow_type": "nowhere"})
    assert sum(isinstance(event, e.ScheduleUpdated) for event in history(bench, "s")) == 1


def test_the_same_once_more_changes_nothing_and_another_is_refused(bench: Workbench) -> None:
    make(bench, "s", "total", 1)
    before = history(bench, "s")
    make(bench, "s", "total", 1)
    assert history(bench, "s") == before
    with pytest.raises(errors.ScheduleExists, match=r"with another every, overlap, arguments; change it with \.update") as refused:
        make(bench, "s", "total", 2, every=2 * HOUR, overlap="allow_all")
    assert refused.value.differs == ("every", "overlap", "arguments") and history(bench, "s") == before
    bench.call("schedule", "s", e.Plan("busy", every=HOUR), bench.values.encode_args((), {}), None, None, False, True)
    assert state(bench, "s").plan.workflow_type == "busy" and isinstance(history(bench, "s")[-1], e.ScheduleUpdated)


def test_a_deleted_schedule_may_be_made_again_and_runs_no_time_twice(bench: Workbench) -> None:
    make(bench, "s")
    bench.skip(2 * HOUR)
    bench.call("schedule_delete", "s")
    make(bench, "s")
    assert bench.call("schedule_backfill", "s", T0, T0 + 2 * HOUR) == [T0]
    bench.skip(HOUR)
    assert triggered(bench, "s") == [1, 2, 0, 3] and state(bench, "s").triggered == 2


VERBS = ["schedule_update", "schedule_pause", "schedule_resume", "schedule_delete", "schedule_trigger", "schedule_backfill", "schedule_describe", "schedule_history", "schedule_runs"]


@pytest.mark.parametrize("verb", VERBS)
def test_verbs_on_a_schedule_that_is_none(bench: Workbench, verb: str) -> None:
    make(bench, "nightly")
    arguments: list[Any] = {"schedule_update": [{}], "schedule_backfill": [T0, T0], "schedule_runs": [1]}.get(verb, [])
    with pytest.raises(errors.ScheduleNotFound, match="there is no schedule 'nightli'; did you mean 'nightly'"):
        bench.call(verb, "nightli", *arguments)
    with pytest.raises(errors.InvalidName):
        bench.call(verb, "", *arguments)


def test_pausing_twice_and_resuming_what_goes_on_are_refused(bench: Workbench) -> None:
    make(bench, "s")
    with pytest.raises(errors.InvalidOption, match="not paused"):
        bench.call("schedule_resume", "s")
    bench.call("schedule_pause", "s", "lunch")
    with pytest.raises(errors.InvalidOption, match="paused already: lunch"):
        bench.call("schedule_pause", "s")
    assert len(history(bench, "s")) == 2


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        ({}, "one of cron=, every= and at=; none was given"),
        ({"cron": "* * * * *", "every": HOUR}, "cron= and every= was given"),
        ({"cron": "61 * * * *"}, "minute '61'"),
        ({"every": 10}, "too often; the shortest interval is 1ms"),
        ({"every": HOUR, "offset": HOUR}, "offset='1h' is not shorter than every='1h'"),
        ({"cron": "@daily", "offset": 1}, "offset= moves the times of every="),
        ({"every": HOUR, "timezone": "Mars/Olympus"}, "no time zone 'Mars/Olympus'"),
        ({"every": HOUR, "overlap": "pile_up"}, "choose one of skip, buffer_one"),
        ({"every": HOUR, "catch_up": "some"}, "choose one of one, all, skip"),
        ({"every": DAY, "start": T0 + 1, "end": T0 + 2}, "no time of this schedule lies between"),
    ],
    ids=str,
)  # fmt: skip
def test_a_plan_that_makes_no_sense_is_refused_with_nothing_written(bench: Workbench, plan: dict[str, Any], why: str) -> None:
    with pytest.raises(errors.InvalidOption, match=why):
        bench.call("schedule", "s", e.Plan("instant", **plan), bench.values.encode_args((), {}))
    assert bench.store.ids() == []


def test_names_of_schedules_and_ids_of_the_engine(bench: Workbench) -> None:
    for name in ("aion.nightly", "aion.schedules/x", "x" * 222, "a\nb", " "):
        with pytest.raises(errors.InvalidName):
            make(bench, name)
    make(bench, "x" * 221)
    for name in ("aion.x", "aion.schedules/s"):
        with pytest.raises(errors.InvalidName, match=r"begin with 'aion\.' are the engine's own"):
            bench.start("instant", id=name)
    with pytest.raises(errors.WorkflowNotFound):
        make(bench, "s", "nowhere")
    assert [str(name) for name in bench.store.ids()] == [f"{SCHEDULES}{'x' * 221}"]


def test_a_schedule_is_no_run_anywhere(bench: Workbench) -> None:
    make(bench, "s", "patient")
    assert bench.call("runs") == [] and bench.call("registry") == [] and bench.call("count") == {"": 0} and bench.call("tree").children == ()
    for verb in ("run", "history", "cancel", "terminate", "pause", "suspend", "result"):
        with pytest.raises(errors.RunNotFound):
            bench.call(verb, f"{SCHEDULES}s")
    away(bench, 0)
    assert bench.call("runs") == [] and len(bench.engine.registry) == 0 and bench.call("progress").running == 0
    assert list(bench.store.open_histories()) == [] and bench.call("progress").next_timer == T0 + HOUR


# --- overlap -------------------------------------------------------------------------------------------------------------


def test_skip_leaves_out_the_times_that_come_while_a_run_goes_on(bench: Workbench) -> None:
    make(bench, "s", "patient")
    bench.skip(3 * HOUR)
    assert triggered(bench, "s") == [1]
    assert [(event.nominal_time, event.why) for event in history(bench, "s")[2:]] == [(T0 + h * HOUR, f"{id_at('s', 1)} goes on") for h in (2, 3)]
    bench.signal(id_at("s", 1), "stop")
    bench.skip(HOUR)
    assert triggered(bench, "s") == [1, 4] and state(bench, "s").skipped == 2


def test_buffer_one_keeps_the_first_that_comes(bench: Workbench) -> None:
    make(bench, "s", "patient", overlap="buffer_one")
    bench.skip(4 * HOUR)
    assert state(bench, "s").pending == (T0 + 2 * HOUR,)
    assert [event.why for event in history(bench, "s") if isinstance(event, e.ScheduleSkipped)] == ["one waits already"] * 2
    bench.signal(id_at("s", 1), "stop")
    assert triggered(bench, "s") == [1, 2], "the moment the other ends"
    bench.skip(HOUR)
    assert state(bench, "s").pending == (T0 + 5 * HOUR,)


def test_buffer_all_keeps_them_in_line(bench: Workbench) -> None:
    make(bench, "s", "patient", overlap="buffer_all")
    bench.skip(4 * HOUR)
    for hour in (1, 2, 3, 4):
        assert triggered(bench, "s") == list(range(1, hour + 1))
        bench.signal(id_at("s", hour), "stop")
    assert state(bench, "s").running == () and state(bench, "s").pending == ()
    assert [bench.history(id_at("s", hour))[0].at for hour in (2, 3, 4)] == [T0 + 4 * HOUR] * 3


def test_what_waits_survives_a_crash(bench: Workbench) -> None:
    make(bench, "s", "patient", overlap="buffer_all", catch_up="skip")
    bench.skip(3 * HOUR)
    away(bench, HOUR)
    assert state(bench, "s").pending == (T0 + 2 * HOUR, T0 + 3 * HOUR) and state(bench, "s").running == (id_at("s", 1),)
    bench.call("terminate", id_at("s", 1))
    assert triggered(bench, "s") == [1, 2]
    bench.call("terminate", id_at("s", 2))
    assert triggered(bench, "s") == [1, 2, 3]


def test_cancel_other_starts_when_the_run_has_cleaned_up(bench: Workbench) -> None:
    make(bench, "s", "stubborn", overlap="cancel_other", every=40 * MINUTE)
    bench.skip(80 * MINUTE)
    (begun,) = state(bench, "s").running
    assert begun == "s-2020-01-01T00:40:00Z" and state(bench, "s").pending == (T0 + 80 * MINUTE,), "it cleans up for an hour"
    bench.skip(40 * MINUTE)
    assert state(bench, "s").pending == (T0 + 120 * MINUTE,), "the newest waits"
    assert history(bench, "s")[-2] == e.ScheduleSkipped(T0 + 80 * MINUTE, "overtaken by 2020-01-01T02:00:00Z")
    bench.skip(20 * MINUTE - 1)
    assert state(bench, "s").running == (begun,)
    bench.skip(1)
    assert bench.status(begun) is Status.CANCELLED and state(bench, "s").running == ("s-2020-01-01T02:00:00Z",) and state(bench, "s").pending == ()


def test_cancel_other_starts_at_once_where_nothing_is_to_be_cleaned_up(bench: Workbench) -> None:
    make(bench, "s", "patient", overlap="cancel_other")
    bench.skip(3 * HOUR)
    assert triggered(bench, "s") == [1, 2, 3] and state(bench, "s").running == (id_at("s", 3),)
    assert [bench.status(id_at("s", hour)) for hour in (1, 2, 3)] == [Status.CANCELLED, Status.CANCELLED, Status.RUNNING]
    assert bench.history(id_at("s", 2))[0].at == T0 + 2 * HOUR


def test_terminate_other_starts_at_once(bench: Workbench) -> None:
    make(bench, "s", "stubborn", overlap="terminate_other")
    bench.skip(3 * HOUR)
    assert triggered(bench, "s") == [1, 2, 3] and [bench.status(id_at("s", hour)) for hour in (1, 2, 3)] == [Status.TERMINATED, Status.TERMINATED, Status.RUNNING]
    ended = bench.outcome(id_at("s", 1))
    assert isinstance(ended, e.WorkflowTerminated) and ended.reason == "s starts the run of 2020-01-01T02:00:00Z"


def test_allow_all_lets_them_run_beside_each_other(bench: Workbench) -> None:
    make(bench, "s", "patient", overlap="allow_all")
    bench.skip(3 * HOUR)
    assert state(bench, "s").running == tuple(id_at("s", hour) for hour in (1, 2, 3))
    away(bench, 0)
    assert sorted(state(bench, "s").running) == [id_at("s", hour) for hour in (1, 2, 3)]


def test_with_runs_side_by_side_the_newest_that_completed_is_the_last_result(bench: Workbench) -> None:
    make(bench, "s", "patient", overlap="allow_all")
    bench.skip(3 * HOUR)
    bench.signal(id_at("s", 2), "stop", "second")
    bench.signal(id_at("s", 1), "stop", "first, but later")
    for lost in (False, True):
        if lost:
            away(bench, 0)
        bench.skip(HOUR)
        started = bench.history(id_at("s", 5 if lost else 4))[0].event
        assert isinstance(started, e.WorkflowStarted) and started.last_result == '"second"'


def test_a_run_that_continues_as_new_goes_on(bench: Workbench) -> None:
    make(bench, "s", "chain", 3)
    bench.skip(2 * HOUR)
    assert triggered(bench, "s") == [1] and len(bench.call("runs")) == 2, "its second run in the chain"
    away(bench, 0)
    assert state(bench, "s").running == (id_at("s", 1),)
    bench.skip(HOUR + 6 * MINUTE)
    assert triggered(bench, "s") == [1] and state(bench, "s").skipped == 2 and state(bench, "s").running == ()
    bench.skip(HOUR)
    first = bench.history(id_at("s", 4))[0].event
    assert isinstance(first, e.WorkflowStarted) and first.last_result == '["s", "2020-01-01T01:00:00+00:00"]'.replace(", ", ",")


def test_while_paused_what_waits_waits_on(bench: Workbench) -> None:
    make(bench, "s", "patient", overlap="buffer_all")
    bench.skip(2 * HOUR)
    bench.call("schedule_pause", "s")
    bench.call("terminate", id_at("s", 1))
    assert triggered(bench, "s") == [1] and state(bench, "s").pending == (T0 + 2 * HOUR,)
    bench.call("schedule_resume", "s")
    assert triggered(bench, "s") == [1, 2]


def test_deleting_drops_what_waits_and_leaves_runs_alone(bench: Workbench) -> None:
    make(bench, "s", "patient", overlap="buffer_all")
    bench.skip(2 * HOUR)
    bench.call("schedule_delete", "s")
    assert bench.status(id_at("s", 1)) is Status.RUNNING
    bench.signal(id_at("s", 1), "stop", 1)
    assert bench.result(id_at("s", 1)) == "1" and runs(bench) == [id_at("s", 1)]


# --- what was missed -----------------------------------------------------------------------------------------------------


def test_j03_given_downtime_across_k_ticks_with_catch_up_on_then_k_runs_at_the_missed_nominal_times(bench: Workbench) -> None:
    make(bench, "s", "busy", catch_up="all")
    bench.skip(HOUR)
    away(bench, 5 * HOUR)
    assert triggered(bench, "s") == [1, 2, 3, 4, 5, 6] and {bench.status(name) for name in runs(bench)} == {Status.COMPLETED}
    assert {event.cause for event in history(bench, "s")[3:] if isinstance(event, e.ScheduleTriggered)} == {"caught_up"}
    bench.skip(HOUR)
    assert triggered(bench, "s")[-1] == 7


def test_catching_up_with_one_makes_up_the_newest_and_says_which_were_skipped(bench: Workbench) -> None:
    make(bench, "s")
    away(bench, 5 * HOUR + MINUTE)
    assert triggered(bench, "s") == [5]
    assert history(bench, "s")[1] == e.ScheduleSkipped(T0 + HOUR, "missed", T0 + 4 * HOUR, "caught_up")
    away(bench, HOUR)
    assert triggered(bench, "s") == [5, 6] and state(bench, "s").skipped == 1


def test_catching_up_with_none(bench: Workbench) -> None:
    make(bench, "s", catch_up="skip")
    away(bench, 5 * HOUR)
    assert triggered(bench, "s") == [] and history(bench, "s")[1:] == [e.ScheduleSkipped(T0 + HOUR, "missed", T0 + 5 * HOUR, "caught_up")]
    bench.skip(HOUR)
    assert triggered(bench, "s") == [6]


def test_a_window_leaves_out_what_was_missed_longer_ago(bench: Workbench) -> None:
    make(bench, "all", catch_up="all", window=3 * HOUR)
    make(bench, "one", catch_up="one", window=30 * MINUTE)
    away(bench, 6 * HOUR + 40 * MINUTE)
    assert triggered(bench, "all") == [4, 5, 6]
    assert history(bench, "all")[1] == e.ScheduleSkipped(T0 + HOUR, "missed, longer ago than the window", T0 + 3 * HOUR, "caught_up")
    assert triggered(bench, "one") == []


def test_what_is_made_up_runs_one_after_another(bench: Workbench) -> None:
    make(bench, "s", "patient", catch_up="all")
    away(bench, 3 * HOUR)
    assert state(bench, "s").running == (id_at("s", 1),) and state(bench, "s").pending == (T0 + 2 * HOUR, T0 + 3 * HOUR)
    bench.skip(HOUR)
    assert isinstance(history(bench, "s")[-1], e.ScheduleSkipped), "a time of its own still gives way"
    for hour in (1, 2, 3):
        bench.signal(id_at("s", hour), "stop")
    assert triggered(bench, "s") == [1, 2, 3]


def test_what_is_made_up_runs_at_once_where_runs_may_overlap(bench: Workbench) -> None:
    make(bench, "s", "patient", catch_up="all", overlap="allow_all")
    away(bench, 3 * HOUR)
    assert len(state(bench, "s").running) == 3


def test_a_machine_that_slept_through_times_catches_up_by_the_policy_too(bench: Workbench) -> None:
    for policy in ("all", "one", "skip"):
        make(bench, policy, catch_up=policy)
    bench.clock._now = e.Micros(T0 + 3 * HOUR + 5 * SECOND)  # no turn was taken in between
    bench.host.pump()
    assert [triggered(bench, policy) for policy in ("all", "one", "skip")] == [[1, 2, 3], [2, 3], [3]], "what is five seconds late is not missed"
    bench.clock._now = e.Micros(T0 + 4 * HOUR + 11 * SECOND)
    bench.host.pump()
    assert [triggered(bench, policy)[-1] for policy in ("all", "one", "skip")] == [4, 4, 3]


def test_a_great_many_missed_times_take_several_turns(bench: Workbench) -> None:
    make(bench, "s", every=SECOND, catch_up="all")
    make(bench, "busy", "busy", every=SECOND, catch_up="all")
    away(bench, 2500 * SECOND)
    assert state(bench, "s").triggered == state(bench, "busy").triggered == 2500 and len(runs(bench)) == 5000


def test_a_single_time_that_was_missed(bench: Workbench) -> None:
    make(bench, "made-up", at=T0 + HOUR)
    make(bench, "skipped", at=T0 + HOUR, catch_up="skip")
    away(bench, DAY)
    assert triggered(bench, "made-up") == [1] and triggered(bench, "skipped") == [] and state(bench, "skipped").state == "Done"


# --- trust, code, errors -------------------------------------------------------------------------------------------------


def test_a_database_that_is_not_trusted_starts_nothing_until_it_is(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    make(bench, "s", catch_up="all")
    bench.skip(HOUR)
    made = Engine.__init__

    def barred(self: Engine, *args: Any, **kwargs: Any) -> None:
        made(self, *args, **kwargs)
        self.bar = "trust: it was last written elsewhere"

    monkeypatch.setattr(Engine, "__init__", barred)
    away(bench, 2 * HOUR)
    assert (state(bench, "s").state, state(bench, "s").waits_for) == ("Waiting", "trust: it was last written elsewhere")
    bench.skip(HOUR)
    assert triggered(bench, "s") == [1]
    with pytest.raises(errors.InvalidOption, match="cannot start a run: it waits for trust"):
        bench.call("schedule_trigger", "s")
    make(bench, "mine")
    bench.skip(HOUR)
    assert triggered(bench, "mine") == [5], "what is made here is trusted"
    bench.call("trust")
    assert triggered(bench, "s") == [1, 2, 3, 4, 5]


def test_a_schedule_whose_code_may_not_run_here_waits_for_it(bench: Workbench) -> None:
    make(bench, "s", catch_up="all")
    code = bench.codes.pop("instant")
    load = bench.load

    def not_yet(name: str, version: str) -> Any:
        if name == "instant" and name not in bench.codes:
            raise NotRunnable("trust: its code")
        return load(name, version)

    bench.load = not_yet  # type: ignore[method-assign]
    away(bench, 2 * HOUR)
    assert (state(bench, "s").state, state(bench, "s").waits_for, runs(bench)) == ("Waiting", "trust: its code", [])
    bench.codes["instant"] = code
    bench.call("define", code)
    assert triggered(bench, "s") == [1, 2] and state(bench, "s").state == "Active"


def test_a_run_that_cannot_be_started_is_skipped_and_the_schedule_goes_on(bench: Workbench) -> None:
    make(bench, "s", deadline=HOUR)
    bench.engine.faults.arm("check", lambda: errors.InvalidOption("injected"))
    bench.skip(HOUR)
    assert history(bench, "s")[-1] == e.ScheduleSkipped(T0 + HOUR, "it could not be started: injected")
    bench.engine.faults.arm("register", lambda: RuntimeError("injected later"))
    bench.skip(HOUR)
    assert triggered(bench, "s") == [2] and bench.status(id_at("s", 2)) is Status.FAILED, "recorded and rolled back: its history says so"
    bench.skip(HOUR)
    assert triggered(bench, "s") == [2, 3] and bench.result(id_at("s", 3)) == 1


def test_an_id_that_somebody_else_took_is_skipped(bench: Workbench) -> None:
    make(bench, "s")
    bench.start("instant", 7, id=id_at("s", 1))
    bench.skip(2 * HOUR)
    assert triggered(bench, "s") == [2]
    assert history(bench, "s")[1] == e.ScheduleSkipped(T0 + HOUR, f"{id_at('s', 1)} has been started before")


def test_a_schedule_that_cannot_be_read_is_stuck_and_the_others_go_on() -> None:
    store = MemoryStore()
    bench = scheduling.define(Workbench(store))
    for name in ("bad", "good"):
        make(bench, name)
    key = store.workflow_key(f"{SCHEDULES}bad")  # type: ignore[arg-type]
    rows = store._rows[key]  # type: ignore[index]
    rows[0] = (*rows[0][:7], b'{"plan":{"workflow_type":"instant","cron":"@daily","timezone":"Moon/Tycho"}}', rows[0][8])
    bench.crash()
    bad, good = bench.call("schedules")
    assert bad.state == "Stuck" and "Moon/Tycho" in bad.waits_for and good.state == "Active"
    bench.skip(HOUR)
    assert triggered(bench, "good") == [1] and triggered(bench, "bad") == []
    with pytest.raises(errors.InvalidOption, match="bad is stuck, so it starts no run: there is no time zone 'Moon/Tycho'"):
        bench.call("schedule_trigger", "bad")
    bench.call("schedule_delete", "bad")
    assert [one.id for one in bench.call("schedules")] == ["good"]


def test_the_table_of_schedules() -> None:
    from aionlab.core.status import after

    plan = e.ScheduleCreated(e.Plan("w", every=e.Micros(1)), e.Payload(b"null"))
    gone, active, paused = ScheduleStatus.DELETED, ScheduleStatus.ACTIVE, ScheduleStatus.PAUSED
    assert after(gone, plan) is active and after(active, e.SchedulePaused()) is paused and after(paused, e.ScheduleResumed()) is active
    assert after(paused, e.ScheduleSkipped(T0, "")) is paused and after(paused, e.ScheduleDeleted()) is gone
    for status, event in ((active, plan), (gone, e.SchedulePaused()), (active, e.ScheduleResumed()), (gone, e.ScheduleSkipped(T0, "")), (None, plan)):
        with pytest.raises(errors.IllegalEvent):
            after(status, event)  # type: ignore[arg-type]


def test_histories_of_schedules_can_be_appended_to_any_store(bench: Workbench) -> None:
    make(bench, "s")
    bench.skip(2 * HOUR)
    events = bench.store.read(f"{SCHEDULES}s")  # type: ignore[arg-type]
    assert {recorded.run_id for recorded in events} == {NO_RUN}
    copy = MemoryStore()
    copy.append(events[0].workflow_id, events, 0)
    assert copy.read(events[0].workflow_id) == events and copy.runs() == [] and batch_of(copy, events[0].workflow_id, [], 3).rows == []
