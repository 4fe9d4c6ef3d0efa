"""Timers and time, as peer suites pin them down."""
from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest

from aionlab import activity, workflow
from aionlab.core import events as e
from aionlab.core.status import Status
from tests.behaviours.reading import kinds, of

SECOND = 1_000_000


@workflow
async def naps(seconds: float) -> float:
    began = workflow.now()
    await asyncio.sleep(seconds)
    return (workflow.now() - began).total_seconds()


def test_given_a_100000_s_sleep_and_time_skipping_then_the_result_arrives_at_once_and_virtual_now_advanced_by_that(lab: Any) -> None:
    """D01 Given a 100,000 s sleep and time skipping, then the result arrives in wall-clock milliseconds and virtual now advanced by 100,000 s."""
    began, wall = lab.clock.now(), time.monotonic()
    handle = lab.start(naps, 100_000)
    lab.clock.skip_to_next_timer()
    assert handle.result() == 100_000 and lab.clock.now() - began == timedelta(seconds=100_000)
    assert time.monotonic() - wall < 10, "generous for a busy machine; the sleep is a day long"


def test_a_clock_that_goes_on_by_itself_needs_no_skip(lab: Any) -> None:
    """D01, its neighbour: automatic skipping."""
    began = lab.clock.now()
    handle = lab.start(naps, 100_000)
    lab.clock.auto = True
    assert handle.result() == 100_000 and lab.clock.now() - began == timedelta(seconds=100_000)


def test_given_a_manual_skip_of_1000_then_workflow_now_moved_by_1000(lab: Any) -> None:
    """D02 Given manual `env.sleep(1000)`, then workflow now moved by 1000."""

    @workflow
    async def watches() -> list[float]:
        seen = [workflow.now().timestamp()]
        for _ in range(2):
            await workflow.receive("look")
            seen.append(workflow.now().timestamp())
        return seen

    handle = lab.start(watches)
    lab.clock.skip(1000)
    handle.signal("look")
    lab.clock.skip("1d")
    handle.signal("look")
    first, second, third = handle.result()
    assert (second - first, third - second) == (1000, 86_400)


def test_skipping_past_several_timers_fires_each_at_its_own_time(lab: Any) -> None:
    """D02, its neighbour: time passes through everything on the way."""

    @workflow
    async def chain() -> list[float]:
        began, seen = workflow.now(), []
        for seconds in (10, 20, 30):
            await asyncio.sleep(seconds)
            seen.append((workflow.now() - began).total_seconds())
        return seen

    handle = lab.start(chain)
    lab.clock.skip(59)
    assert handle.status is Status.RUNNING and len(of(handle, e.TimerFired)) == 2
    lab.clock.skip(1)
    assert handle.result() == [10, 30, 60]


def test_given_a_recorded_sleep_and_a_recovery_after_it_elapsed_then_it_is_not_slept_again_and_its_times_do_not_change(
    lab: Any, crash_at: Callable[..., Any], lab_factory: Callable[..., Any]
) -> None:
    """D04 Given a recorded sleep and a recovery after it elapsed, then it is not slept again and its recorded start/end do not change."""

    @workflow
    async def sleeps_then_waits() -> str:
        await workflow.sleep("1h")
        await workflow.receive("go")
        return "done"

    lab.start(sleeps_then_waits, id="w")
    lab.clock.skip("1h")
    before = lab.get("w").history().to_json()
    with crash_at("commit") as crash:
        lab.signal("w", "other")
    again = crash.reopen()
    assert again.get("w").history().to_json() == before and again.waiting_for("w").startswith("signal 'go'")
    again.signal("w", "go")
    assert again.get("w").result() == "done" and kinds(again.get("w")).count("TimerStarted") == kinds(again.get("w")).count("TimerFired") == 1


def test_a_sleep_that_elapses_while_the_lab_is_closed_fires_when_it_is_opened_and_one_that_does_not_keeps_its_time(
    lab: Any, lab_factory: Callable[..., Any]
) -> None:
    """D04, its neighbour: a timer is a point in time, not a rest of it."""
    due = lab.clock.now() + timedelta(hours=1)
    lab.start(naps, 3600, id="w")
    lab.clock.skip("40m")
    lab.start(naps, 1, id="v")  # the file's last event is at 0:40
    lab.close()
    again = lab_factory("lab")
    assert again.clock.now() == due - timedelta(minutes=20)
    again.clock.skip("20m")
    assert again.get("w").result() == 3600
    (fired,) = [recorded for recorded in again.get("w").history() if isinstance(recorded.event, e.TimerFired)]
    assert fired.at == round(due.timestamp() * SECOND)


@workflow
async def stops() -> str:
    task = asyncio.create_task(asyncio.sleep(3600))
    await workflow.receive("stop")
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return "stopped"
    return "slept"


def test_given_a_sleeping_task_cancelled_then_the_history_has_timer_cancelled(lab: Any) -> None:
    """D06 Given a sleeping task cancelled, then the history has TimerCanceled."""
    handle = lab.start(stops)
    handle.signal("stop")
    assert handle.result() == "stopped"
    assert of(handle, e.TimerCancelled) == [e.TimerCancelled(0)] and of(handle, e.TimerFired) == []


def test_a_timer_that_was_never_waited_for_across_a_step_leaves_no_event(lab: Any) -> None:
    """D06, its neighbour: created and cancelled within one step is nothing."""

    @workflow
    async def fickle() -> str:
        task = asyncio.create_task(asyncio.sleep(3600))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return "done"

    handle = lab.start(fickle)
    assert handle.result() == "done" and kinds(handle) == ["WorkflowStarted", "WorkflowCompleted"]


def test_a_timer_that_is_left_behind_is_torn_down_with_its_run(lab: Any) -> None:
    """D06, its neighbour: a run that ends has no timers, and says why they are gone."""
    handle = lab.start(naps, 3600)
    handle.terminate()
    assert handle.status is Status.TERMINATED
    lab.clock.skip("2h")
    assert of(handle, e.TimerFired) == [] and lab.clock.skip_to_next_timer() is None


@activity(retry=50)
def never_done() -> str:
    raise OSError("not yet")


async def by_timeout(call: Coroutine[Any, Any, Any]) -> None:
    async with asyncio.timeout(7):
        await call


async def by_timeout_at(call: Coroutine[Any, Any, Any]) -> None:
    async with asyncio.timeout_at(asyncio.get_running_loop().time() + 7):
        await call


async def by_wait_for(call: Coroutine[Any, Any, Any]) -> None:
    await asyncio.wait_for(call, 7)


async def by_call_later(call: Coroutine[Any, Any, Any]) -> None:
    task = asyncio.ensure_future(call)
    asyncio.get_running_loop().call_later(7, task.cancel)
    await task


async def by_call_at(call: Coroutine[Any, Any, Any]) -> None:
    task, loop = asyncio.ensure_future(call), asyncio.get_running_loop()
    loop.call_at(loop.time() + 7, task.cancel)
    await task




@workflow
async def limited(way: str) -> str:
    limit = {"timeout": by_timeout, "timeout_at": by_timeout_at, "wait_for": by_wait_for, "call_later": by_call_later, "call_at": by_call_at}[way]
    try:
        await limit(never_done())
    except (TimeoutError, asyncio.CancelledError) as error:
        return type(error).__name__
    return "no limit"


@pytest.mark.parametrize("way", ["timeout", "timeout_at", "wait_for", "call_later", "call_at"])
@pytest.mark.parametrize("evict", [False, True])
def test_given_a_limit_around_an_activity_then_it_is_cancelled_and_one_timer_of_the_right_length_was_recorded(lab: Any, way: str, evict: bool) -> None:
    """D07 Given `asyncio.timeout/timeout_at/wait_for/call_later/call_at` around an activity, then the activity is cancelled and one timer of the
    right length was recorded."""
    handle = lab.start(limited, way)
    began = handle.history()[0].at
    if evict:
        handle.suspend()
    lab.clock.skip(7)
    assert handle.result() == ("CancelledError" if way.startswith("call") else "TimeoutError")
    (timer,) = of(handle, e.TimerStarted)
    assert timer.fire_at - began == 7 * SECOND
    assert len(of(handle, e.ActivityCancelRequested)) == 1 and kinds(handle)[-1] == "WorkflowCompleted"
    attempts = len(of(handle, e.ActivityStarted))
    lab.clock.skip("1d")
    assert len(of(handle, e.ActivityStarted)) == attempts


def test_a_limit_that_is_not_reached_cancels_its_timer(lab: Any) -> None:
    """D07, its neighbour."""
    @workflow
    async def answered() -> str:
        async with asyncio.timeout(7):
            got: str = await workflow.receive("answer")
        return got

    handle = lab.start(answered)
    handle.signal("answer", "in time")
    assert handle.result() == "in time" and of(handle, e.TimerCancelled) == [e.TimerCancelled(0)]


def test_given_a_zero_length_sleep_then_it_resolves_and_ten_concurrent_sleeps_keep_their_own_summaries_in_creation_order(lab: Any) -> None:
    """D09 Given a zero-length sleep, then it resolves; ten concurrent sleeps keep their own summaries in creation order."""

    @workflow
    async def ten() -> list[int]:
        await workflow.sleep(0)
        await asyncio.sleep(0)
        woken: list[int] = []

        async def nap(n: int) -> None:
            await workflow.sleep(20 - n, summary=f"nap {n}")
            woken.append(n)

        await asyncio.gather(*(nap(n) for n in range(10)))
        return woken

    handle = lab.start(ten)
    lab.clock.skip(20)
    assert handle.result() == list(reversed(range(10)))
    assert [timer.summary for timer in of(handle, e.TimerStarted)] == [f"nap {n}" for n in range(10)]


@pytest.mark.parametrize("length", [-1, "-5s", "soon", float("nan"), float("inf"), None])
def test_a_sleep_of_no_length_of_time_is_refused_in_the_code(lab: Any, length: Any) -> None:
    """D09, its neighbour."""

    @workflow
    async def wrong(length: Any) -> str:
        try:
            await workflow.sleep(float(length[6:]) if isinstance(length, str) and length.startswith("float ") else length)
        except (TypeError, ValueError) as error:
            return type(error).__name__
        return "slept"

    handle = lab.start(wrong, f"float {length}" if isinstance(length, float) else length)
    assert handle.result() in ("TypeError", "ValueError", "InvalidOption") and of(handle, e.TimerStarted) == []


def test_given_a_race_of_an_event_and_a_timer_and_the_event_winning_then_the_timer_is_cancelled(lab: Any) -> None:
    """D10 Given `when_any(event, timer)` and the event winning, then the timer is cancelled."""

    @workflow
    async def races() -> Any:
        return await workflow.race(workflow.receive("event"), workflow.sleep("1h"))

    handle = lab.start(races)
    lab.clock.skip("59m")
    handle.signal("event", "first")
    assert handle.result() == "first" and of(handle, e.TimerCancelled) == [e.TimerCancelled(0)] and of(handle, e.TimerFired) == []


def test_given_the_timer_winning_then_the_event_is_still_there_for_the_next_receive(lab: Any) -> None:
    """D10, its neighbour: a receive that lost its race has consumed nothing."""

    @workflow
    async def races() -> list[Any]:
        first = await workflow.race(workflow.receive("event"), workflow.sleep("1h"))
        return [first, await workflow.receive("event")]

    handle = lab.start(races)
    lab.clock.skip("1h")
    handle.signal("event", "later")
    assert handle.result() == [None, "later"]


def test_a_timer_that_lies_too_far_ahead_is_refused_where_it_is_asked_for(lab: Any) -> None:
    """D09, its neighbour: a time that no database and no calendar holds."""

    @workflow
    async def patient(how: str) -> str:
        try:
            if how == "sleep":
                await asyncio.sleep(1e15)
            async with asyncio.timeout(1e15):
                await workflow.receive("go")
        except OverflowError as error:
            return str(error)
        return "slept"

    for how in ("sleep", "timeout"):
        handle = lab.start(patient, how)
        assert "3,000 years" in handle.result() and kinds(handle) == ["WorkflowStarted", "WorkflowCompleted"]
    assert lab.start(naps, 1e10).status is Status.RUNNING
