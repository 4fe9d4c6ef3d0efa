"""Activities that are no longer wanted: what their workflow sees, what they are told, and what is recorded."""
from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from aionlab import Retry, activity, workflow
from aionlab.core import errors
from aionlab.core import events as e
from aionlab.core.status import Status
from aionlab.testing.workbench import Workbench
from tests.engine.held import Hall, elapse, finish, interrupt
from tests.engine.programs import SECOND


@pytest.fixture
def bench(make_bench: Callable[..., Workbench]) -> Workbench:
    return make_bench(executor=Hall())


def hall(bench: Workbench) -> Hall:
    assert isinstance(bench.executor, Hall)
    return bench.executor


def giving_up(bench: Workbench, cancellation: str, **options: Any) -> None:
    """A workflow "w" that awaits an activity with this kind of cancellation, cancels it after 5 s, and says what that came to."""

    @bench.activity
    @activity(name="act", cancellation=cancellation, **options)
    def act() -> str:
        raise AssertionError("the hall runs nothing")

    async def flow() -> str:
        task = asyncio.create_task(told(act()))
        await asyncio.sleep(5)
        task.cancel()
        said = await task
        return f"{said} at {workflow.now().second}"

    bench.workflow(flow)
    bench.start("flow", id="w")


async def told(activity_call: Any) -> str:
    try:
        return f"returned {await activity_call}"
    except asyncio.CancelledError:
        return "cancelled"
    except errors.ActivityTimeout as error:
        return f"timed out ({error.kind})"
    except errors.ActivityError as error:
        return f"failed with {error.cause}"


def recorded(bench: Workbench, *kinds: type) -> list[str]:
    return [type(entry.event).__name__ for entry in bench.history("w") if isinstance(entry.event, kinds)]


def replays(bench: Workbench) -> None:
    """What is recorded is what its code asks for, and nothing more comes of it."""
    before = bench.history("w")
    bench.crash()
    assert bench.history("w") == before


ENDS = (e.ActivityCancelRequested, e.ActivityCancelled, e.ActivityCompleted, e.ActivityFailed, e.ActivityTimedOut)


# --- the three kinds ---------------------------------------------------------------------------------------------------


def test_e14_try_cancel_gives_the_error_at_once_and_tells_the_activity(bench: Workbench) -> None:
    giving_up(bench, "try_cancel")
    elapse(bench, 5 * SECOND)
    assert bench.result("w") == "cancelled at 5" and hall(bench).cancelled == [(1, 0)]
    assert recorded(bench, *ENDS) == ["ActivityCancelRequested"]
    replays(bench)


def test_e14_wait_completed_gives_the_activitys_own_result(bench: Workbench) -> None:
    giving_up(bench, "wait_completed")
    elapse(bench, 5 * SECOND)
    assert bench.outcome("w") is None and hall(bench).cancelled == [(1, 0)]
    elapse(bench, 7 * SECOND)
    finish(bench, hall(bench).attempts[0], "in spite of it")
    assert bench.result("w") == "returned in spite of it at 12"
    assert recorded(bench, *ENDS) == ["ActivityCancelRequested", "ActivityCompleted"]
    replays(bench)


def test_wait_completed_of_an_activity_that_stops_as_asked(bench: Workbench) -> None:
    giving_up(bench, "wait_completed")
    elapse(bench, 5 * SECOND)
    elapse(bench, SECOND)
    finish(bench, hall(bench).attempts[0], error=asyncio.CancelledError())
    assert bench.result("w") == "cancelled at 6" and recorded(bench, *ENDS) == ["ActivityCancelRequested", "ActivityCancelled"]
    replays(bench)


def test_e14_abandon_gives_the_error_at_once_and_lets_the_activity_run(bench: Workbench) -> None:
    giving_up(bench, "abandon")
    elapse(bench, 5 * SECOND)
    assert bench.result("w") == "cancelled at 5" and hall(bench).cancelled == [], "not even the end of its run stops it"
    assert recorded(bench, *ENDS) == []
    finish(bench, hall(bench).attempts[0], "late")
    assert recorded(bench, *ENDS) == [] and bench.engine.in_flight == {}
    replays(bench)


def test_what_an_abandoned_activity_comes_to_is_recorded_while_its_run_goes_on(bench: Workbench) -> None:
    @bench.activity
    @activity(name="act", cancellation="abandon", retry=Retry(2, initial="1s"))
    def act() -> str:
        raise AssertionError("the hall runs nothing")

    async def flow() -> str:
        task = asyncio.create_task(told(act()))
        await asyncio.sleep(5)
        task.cancel()
        return f"{await task}, {await workflow.receive('go')}"

    bench.workflow(flow)
    bench.start("flow", id="w")
    elapse(bench, 5 * SECOND)
    finish(bench, hall(bench).attempts[0], error=ValueError("once more"))
    elapse(bench, SECOND)
    finish(bench, hall(bench).attempts[1], "for nobody")
    assert recorded(bench, *ENDS) == ["ActivityFailed", "ActivityCompleted"]
    bench.crash()
    bench.signal("w", "go", "on")
    assert bench.result("w") == "cancelled, on"
    replays(bench)


# --- wait_completed, in every state an activity may be in ----------------------------------------------------------------


def test_the_failure_of_an_activity_whose_end_is_waited_for_is_not_retried(bench: Workbench) -> None:
    giving_up(bench, "wait_completed", retry=5)
    elapse(bench, 5 * SECOND)
    finish(bench, hall(bench).attempts[0], error=ValueError("no"))
    assert bench.result("w") == "failed with no at 5" and len(hall(bench).attempts) == 1


def test_one_whose_end_is_waited_for_may_take_too_long(bench: Workbench) -> None:
    giving_up(bench, "wait_completed", retry=5, start_to_close="30s")
    hall(bench).beat(bench, hall(bench).attempts[0])
    elapse(bench, 5 * SECOND)
    elapse(bench, 25 * SECOND)
    assert bench.result("w") == "timed out (start_to_close) at 30" and len(hall(bench).attempts) == 1


def test_one_that_waits_for_its_next_attempt_stops_at_once(bench: Workbench) -> None:
    giving_up(bench, "wait_completed", retry=Retry(initial="1h"))
    finish(bench, hall(bench).attempts[0], error=ValueError("no"))
    elapse(bench, 5 * SECOND)
    assert bench.result("w") == "cancelled at 5" and len(hall(bench).attempts) == 1
    assert recorded(bench, *ENDS) == ["ActivityFailed", "ActivityCancelRequested", "ActivityCancelled"]
    replays(bench)


def test_one_that_waits_in_a_queue_stops_at_once(bench: Workbench) -> None:
    bench.call("register_queue", "narrow", 1, None, SECOND, True)
    giving_up(bench, "wait_completed", queue="narrow")
    bench.start("flow", id="second")
    elapse(bench, 5 * SECOND)
    assert bench.result("second") == "cancelled at 5" and bench.outcome("w") is None
    finish(bench, hall(bench).attempts[0], error=asyncio.CancelledError())
    assert bench.result("w") == "cancelled at 5" and hall(bench).names == [(1, 0, 1)], "nobody begins what nobody wants"


def test_one_that_waits_for_a_definition_stops_at_once(make_bench: Callable[..., Workbench]) -> None:
    bench = make_bench()
    giving_up(bench, "wait_completed")
    assert bench.outcome("w") is None
    bench.functions.pop("act")
    bench.start("flow", id="second")
    bench.skip(5 * SECOND)
    assert bench.result("second") == "cancelled at 5"


def test_one_whose_process_is_lost_meanwhile_has_stopped(bench: Workbench) -> None:
    giving_up(bench, "wait_completed", retry=5)
    elapse(bench, 5 * SECOND)
    bench.crash()
    assert bench.result("w") == "cancelled at 5" and len(hall(bench).attempts) == 1, "it is not made again for nobody"
    replays(bench)


def test_one_that_was_interrupted_meanwhile_has_stopped(bench: Workbench) -> None:
    giving_up(bench, "wait_completed")
    elapse(bench, 5 * SECOND)
    interrupt(bench, hall(bench).attempts[0])
    assert bench.result("w") == "cancelled at 5"


def test_asking_twice_is_asking_once(bench: Workbench) -> None:
    @bench.activity
    @activity(name="act", cancellation="wait_completed")
    def act() -> str:
        raise AssertionError("the hall runs nothing")

    async def flow() -> str:
        task = asyncio.create_task(told(act()))
        for _ in range(3):
            await asyncio.sleep(1)
            task.cancel()
        return await task

    bench.workflow(flow)
    bench.start("flow", id="w")
    for _ in range(3):
        elapse(bench, SECOND)
    assert recorded(bench, *ENDS) == ["ActivityCancelRequested"]
    finish(bench, hall(bench).attempts[0], "once")
    assert bench.result("w") == "returned once"
    replays(bench)


def test_a_workflow_that_is_cancelled_waits_with_its_activity(bench: Workbench) -> None:
    """The request reaches the activity; what its end raises, or does not raise, decides the run's end, as in code of any kind."""

    @bench.activity
    @activity(name="act", cancellation="wait_completed")
    def act() -> str:
        raise AssertionError("the hall runs nothing")

    async def flow() -> str:
        return await act()

    bench.workflow(flow)
    for number, end in enumerate(("stopped", "done")):
        bench.start("flow", id=end)
        bench.call("cancel", end)
        bench.host.pump()
        assert bench.status(end) is Status.RUNNING
        if end == "stopped":
            finish(bench, hall(bench).attempts[number], error=asyncio.CancelledError())
        else:
            finish(bench, hall(bench).attempts[number], "done")
    assert bench.status("stopped") is Status.CANCELLED and bench.result("done") == "done"


def test_asked_and_cancelled_within_one_step_leaves_nothing_whatever_the_kind(bench: Workbench) -> None:
    async def flow() -> list[str]:
        ended = []
        for kind in ("try_cancel", "wait_completed", "abandon"):
            task = asyncio.create_task(told(act.with_options(cancellation=kind)()))
            await asyncio.sleep(0)
            task.cancel()
            ended.append(await task)
        return ended

    @bench.activity
    @activity(name="act")
    def act() -> str:
        raise AssertionError("the hall runs nothing")

    bench.workflow(flow)
    bench.start("flow", id="w")
    assert bench.result("w") == ["cancelled"] * 3 and bench.kinds("w") == ["WorkflowStarted", "WorkflowCompleted"]


# --- asyncio's own limits ------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("way", [by_timeout, by_timeout_at, by_wait_for, by_call_later, by_call_at], ids=lambda way: way.__name__)
def test_d07_a_limit_around_an_activity_cancels_it_and_records_one_timer_of_its_length(bench: Workbench, way: Callable[..., Any]) -> None:
    @bench.activity
    @activity(name="act")
    def act() -> str:
        raise AssertionError("the hall runs nothing")

    async def flow() -> str:
        try:
            await way(act())
        except (TimeoutError, asyncio.CancelledError) as error:
            return type(error).__name__
        return "no"

    bench.workflow(flow)
    bench.start("flow", id="w")
    elapse(bench, 7 * SECOND)
    assert bench.result("w") in ("TimeoutError", "CancelledError") and hall(bench).cancelled == [(1, 0)]
    history = bench.history("w")
    timers = [entry.event.fire_at - entry.at for entry in history if isinstance(entry.event, e.TimerStarted)]
    assert timers == [7 * SECOND] and recorded(bench, *ENDS) == ["ActivityCancelRequested"]
    replays(bench)
