"""Schedules, and what takes the place of streams, as peer suites pin them down; queues are in `test_queues.py`."""
from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aionlab import workflow
from aionlab.app import opening
from aionlab.core import errors
from aionlab.core import events as e
from aionlab.core.status import Status
from aionlab.testing.kit import check_replays
from tests.behaviours.reading import kinds, of

T0 = datetime(2020, 1, 1, tzinfo=UTC)


@workflow
async def tick(n: int = 1) -> list[Any]:
    return [workflow.info().nominal_time, (workflow.last_result() or [None, 0])[1] + n]


@workflow
async def long() -> str:
    return str(await workflow.receive("stop"))


def ids(lab: Any, name: str) -> list[str]:
    return [run.workflow_id.removeprefix(f"{name}-2020-01-01T") for run in reversed(list(lab.schedule(name).runs()))]


# --- schedules -----------------------------------------------------------------------------------------------------------


def test_given_a_paused_schedule_then_it_does_not_fire_resume_fires_delete_stops(lab: Any, lab_factory: Callable[..., Any]) -> None:
    """J01 Given a paused schedule, then it does not fire; resume fires; delete stops."""
    hourly = lab.schedule("s", tick, every="1h", paused=True)
    lab.clock.skip("3h")
    assert ids(lab, "s") == [] and hourly.paused
    hourly.resume()
    lab.clock.skip("2h")
    assert ids(lab, "s") == ["04:00:00Z", "05:00:00Z"]
    hourly.pause("lunch")
    lab.close()
    again = lab_factory("lab")
    again.clock.skip("2h")
    assert ids(again, "s") == ["04:00:00Z", "05:00:00Z"] and again.schedule("s").paused
    again.schedule("s").resume()
    again.clock.skip("1h")
    assert len(ids(again, "s")) == 3
    again.schedule("s").delete()
    again.clock.skip("5h")
    assert again.schedule_names() == [] and again.count("type = 'tick'") == 3
    with pytest.raises(errors.ScheduleNotFound):
        again.schedule("s")


def test_given_a_backfill_window_then_one_run_per_tick_and_repeating_the_backfill_adds_none(lab: Any) -> None:
    """J02 Given a backfill window, then one run per tick, and repeating the backfill adds none."""
    lab.clock.skip("10h")
    hourly = lab.schedule("s", tick, every="1h", paused=True)
    assert [at.hour for at in hourly.backfill(T0 + timedelta(hours=2), T0 + timedelta(hours=5))] == [2, 3, 4, 5]
    assert ids(lab, "s") == [f"0{hour}:00:00Z" for hour in (2, 3, 4, 5)]
    assert hourly.backfill(T0 + timedelta(hours=2), T0 + timedelta(hours=5)) == []
    assert [at.hour for at in hourly.backfill("2020-01-01 04:30", "2020-01-01 06:30")] == [6]
    assert len(ids(lab, "s")) == 5


def test_given_downtime_across_k_ticks_with_catch_up_on_then_k_runs_at_the_missed_nominal_times(
    lab: Any, lab_factory: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """J03 Given downtime across k ticks with catch-up on, then k runs at the missed nominal times."""
    for policy in ("all", "one", "skip"):
        lab.schedule(policy, tick, every="1h", catch_up=policy)
    lab.clock.skip("1h")
    lab.close()
    monkeypatch.setattr(opening, "EPOCH_2020", round((T0 + timedelta(hours=5, minutes=30)).timestamp() * 1e6))
    again = lab_factory("lab")
    again.settle()
    hours = {policy: [int(name[:2]) for name in ids(again, policy)] for policy in ("all", "one", "skip")}
    assert hours == {"all": [1, 2, 3, 4, 5], "one": [1, 5], "skip": [1]}
    assert again.get("all-2020-01-01T03:00:00Z").result() == [T0 + timedelta(hours=3), 3]
    again.clock.skip("30m")
    assert all(ids(again, policy)[-1] == "06:00:00Z" for policy in hours)


def test_given_a_previous_scheduled_runs_result_then_the_next_can_read_it(lab: Any) -> None:
    """J04 Given a previous scheduled run's result, then the next can read it."""
    lab.schedule("s", tick, (5,), every="1h")
    lab.clock.skip("3h")
    found = [lab.get(f"s-2020-01-01T0{hour}:00:00Z") for hour in (1, 2, 3)]
    assert [handle.result() for handle in found] == [[T0 + timedelta(hours=n), n * 5] for n in (1, 2, 3)]
    assert check_replays(lab) == 3, "it is recorded with the start, so that replay reads it too"


def test_the_last_result_is_that_of_the_newest_completed_run(lab: Any) -> None:
    """J04, its neighbour: a run that fails changes nothing, and a run nobody scheduled has none."""

    @workflow
    async def moody() -> int:
        last: int = workflow.last_result(int, default=0)
        if last == 1 and workflow.info().nominal_time.hour == 2:
            raise ValueError("moody")
        return last + 1

    lab.schedule("s", moody, every="1h")
    lab.clock.skip("4h")
    assert [run.status.value for run in reversed(list(lab.schedule("s").runs()))] == ["Completed", "Failed", "Completed", "Completed"]
    assert lab.get("s-2020-01-01T04:00:00Z").result() == 3


@pytest.mark.parametrize(
    ("policy", "begun"), [("skip", [1]), ("buffer_one", [1]), ("buffer_all", [1]), ("allow_all", [1, 2, 3]), ("cancel_other", [1, 2, 3]), ("terminate_other", [1, 2, 3])]
)
def test_what_happens_when_a_time_comes_while_a_run_goes_on(lab: Any, policy: str, begun: list[int]) -> None:
    """J01, its neighbour: overlap."""
    lab.schedule("s", long, every="1h", overlap=policy)
    lab.clock.skip("3h")
    assert [int(name[:2]) for name in ids(lab, "s")] == begun
    first = lab.get("s-2020-01-01T01:00:00Z")
    assert first.status is {"cancel_other": Status.CANCELLED, "terminate_other": Status.TERMINATED}.get(policy, Status.RUNNING)
    if not first.status.closed:
        first.signal("stop", "enough")
    after = {"skip": [1], "buffer_one": [1, 2], "buffer_all": [1, 2]}.get(policy, [1, 2, 3])
    assert [int(name[:2]) for name in ids(lab, "s")] == after


def test_a_schedule_whose_runs_could_only_time_out_is_refused(lab: Any) -> None:
    """J01, its neighbour."""
    for wrong in (0, -1, "soon"):
        with pytest.raises(errors.InvalidOption, match="deadline"):
            lab.schedule("s", tick, every="1h", deadline=wrong)
    assert lab.schedule_names() == []


# --- instead of streams --------------------------------------------------------------------------------------------------


@workflow
async def writes(target: str) -> int:
    for n in range(3):
        await workflow.send(target, "line", n)
        await workflow.receive("more")
    await workflow.send(target, "line", None)
    return 3


@workflow
async def reads() -> list[int]:
    got: list[int] = []
    workflow.on_query("got", lambda: list(got))
    async for line in workflow.signals("line"):
        if line is None:
            break
        got.append(line)
    return got


def test_given_signals_written_in_a_replayed_run_then_readers_see_each_value_once_and_a_reader_reads_the_same_again(lab: Any) -> None:
    """J09 Given stream writes in a replayed run, then readers see each value once; a reader workflow re-reads what it read even if the stream
    grew.

    Ours: there are no streams; what one run writes for another are signals, each delivered once and in order.
    """
    reader = lab.start(reads, id="r")
    writer = lab.start(writes, "r")
    for n in range(3):
        for handle in (writer, reader):
            handle.suspend()
        assert reader.query("got") == list(range(n + 1))
        writer.signal("more")
    assert (writer.result(), reader.result()) == (3, [0, 1, 2])
    assert len(of(reader, e.SignalReceived)) == 4 and kinds(writer).count("SignalSent") == 4
