"""Time in workflow code: durable, never early, in order, on the virtual clock."""
from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aionlab import workflow
from aionlab.app.clocks import RealClock
from aionlab.core import errors
from aionlab.core import events as e
from aionlab.engine.call import Call
from aionlab.testing.workbench import Workbench
from tests.engine import programs
from tests.engine.programs import DAY, SECOND, of


def test_ninety_days(bench: Workbench) -> None:
    bench.start("sleeper", 90 * 86_400, id="w")
    begun = bench.clock.now()
    bench.skip(90 * DAY - 1)
    assert bench.outcome("w") is None
    bench.skip(1)
    assert bench.result("w") == "woke" and bench.clock.now() == begun + 90 * DAY
    (started,) = of(bench, "w", e.TimerStarted)
    assert started.fire_at == begun + 90 * DAY


def test_ninety_days_skip_by_themselves(bench: Workbench) -> None:
    bench.call("set_auto", True)
    bench.start("sleeper", 90 * 86_400, id="w")
    assert bench.result("w") == "woke"


def test_auto_skip_leaves_the_clock_alone_when_nothing_sleeps(bench: Workbench) -> None:
    bench.call("set_auto", True)
    now = bench.clock.now()
    bench.start("order", id="w")
    bench.signal("w", "approval", "x")
    assert bench.clock.now() == now


def test_skip_to_next_goes_from_timer_to_timer(bench: Workbench) -> None:
    for seconds in (30, 10, 20):
        bench.start("sleeper", seconds, id=f"w{seconds}")
    begun = bench.clock.now()
    for seconds in (10, 20, 30):
        assert bench.call("skip_to_next") == begun + seconds * SECOND
        bench.host.pump()
        assert bench.clock.now() == begun + seconds * SECOND
        assert [bench.outcome(f"w{s}") is not None for s in (10, 20, 30)] == [s <= seconds for s in (10, 20, 30)]
    assert bench.call("skip_to_next") is None


def test_what_is_due_fires_in_due_order_each_at_its_own_time(bench: Workbench) -> None:
    for seconds in (3, 1, 2):
        bench.start("sleeper", seconds, id=f"w{seconds}")
    heard: list[tuple[str, int]] = []
    bench.engine.listeners.append(lambda recorded: heard.extend((r.workflow_id, r.at) for r in recorded if isinstance(r.event, e.TimerFired)))
    begun = bench.clock.now()
    bench.skip(10 * SECOND)
    assert heard == [(f"w{n}", begun + n * SECOND) for n in (1, 2, 3)]
    assert bench.clock.now() == begun + 10 * SECOND


def test_timers_of_one_instant_fire_in_the_order_they_were_asked(bench: Workbench) -> None:
    async def several() -> list[int]:
        woken: list[int] = []

        async def one(n: int) -> None:
            await asyncio.sleep(5)
            woken.append(n)

        await asyncio.gather(*(one(n) for n in range(10)))
        return woken

    bench.workflow(several)
    bench.start("several", id="w")
    bench.crash()
    bench.skip(5 * SECOND)
    assert bench.result("w") == list(range(10))
    assert [fired.timer_id for fired in of(bench, "w", e.TimerFired)] == list(range(10))


def test_a_chain_of_sleeps_is_exact(bench: Workbench) -> None:
    async def chain() -> list[float]:
        times = []
        for _ in range(5):
            await asyncio.sleep(0.1)
            times.append(workflow.now().timestamp())
        return times

    bench.workflow(chain)
    begun = bench.clock.now()
    bench.start("chain", id="w")
    bench.skip(10 * SECOND)
    assert bench.result("w") == [(begun + n * SECOND // 10) / SECOND for n in range(1, 6)]


def test_an_overdue_timer_fires_when_the_database_is_opened(bench: Workbench) -> None:
    bench.start("sleeper", 60, id="w")
    started = of(bench, "w", e.TimerStarted)
    bench.clock._now += 3600 * SECOND  # the machine was off
    bench.crash()
    assert bench.result("w") == "woke" and of(bench, "w", e.TimerStarted) == started
    assert bench.history("w")[2].at == bench.clock.now()


def test_a_recorded_sleep_is_not_slept_again(bench: Workbench) -> None:
    async def twice() -> str:
        await asyncio.sleep(10)
        await asyncio.sleep(10)
        return "up"

    bench.workflow(twice)
    bench.start("twice", id="w")
    bench.skip(10 * SECOND)
    first = bench.history("w")
    bench.crash()
    assert bench.history("w") == first
    bench.skip(10 * SECOND)
    assert bench.result("w") == "up" and bench.history("w")[: len(first)] == first


def test_the_clock_going_back_fires_nothing_early(bench: Workbench) -> None:
    bench.start("sleeper", 60, id="w")
    bench.clock._now -= 3600 * SECOND
    bench.clock.target = bench.clock._now
    bench.crash()
    bench.skip(60 * SECOND)
    assert bench.outcome("w") is None
    bench.skip(3600 * SECOND)
    assert bench.result("w") == "woke"


def test_zero_and_past_need_no_timer(bench: Workbench) -> None:
    async def zero() -> str:
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        loop.call_later(0, done.set_result, "soon")
        loop.call_at(loop.time() - 5, lambda: None)
        await workflow.sleep(0)
        return await done

    bench.workflow(zero)
    bench.start("zero", id="w")
    assert bench.kinds("w") == ["WorkflowStarted", "WorkflowCompleted"]
    assert bench.result("w") == "soon"


def test_a_timer_asked_and_cancelled_in_one_step_leaves_no_event(bench: Workbench) -> None:
    async def brief() -> int:
        async with asyncio.timeout(60):
            pass
        task = asyncio.create_task(asyncio.sleep(5))
        task.cancel()
        return await programs.charge(1)

    bench.workflow(brief)
    bench.start("brief", id="w")
    assert not of(bench, "w", e.TimerStarted) and bench.result("w") == 2


def test_a_timer_cancelled_later_is_recorded_so(bench: Workbench) -> None:
    async def guarded() -> Any:
        async with asyncio.timeout(60):
            return await workflow.receive("x")

    bench.workflow(guarded)
    bench.start("guarded", id="w")
    bench.signal("w", "x", 1)
    assert bench.result("w") == 1
    # The run ends in the step that cancels its timer: the cancellation is an answer, and what is left of it is torn down.
    assert bench.store.due_timers(2**62) == []
    bench.skip(100 * SECOND)
    assert bench.kinds("w")[-1] == "WorkflowCompleted"


def test_a_cancelled_sleep_is_recorded(bench: Workbench) -> None:
    async def impatient() -> Any:
        task = asyncio.create_task(asyncio.sleep(100))
        await workflow.receive("x")
        task.cancel()
        return await workflow.receive("x")

    bench.workflow(impatient)
    bench.start("impatient", id="w")
    bench.signal("w", "x", 1)
    assert of(bench, "w", e.TimerCancelled) == [e.TimerCancelled(0)]
    assert bench.store.due_timers(2**62) == []
    bench.crash()
    bench.skip(200 * SECOND)
    assert not of(bench, "w", e.TimerFired)
    bench.signal("w", "x", 2)
    assert bench.result("w") == 2


def test_the_front_of_the_heap_may_be_stale(bench: Workbench) -> None:
    """A skip passes over timers that were cancelled meanwhile and does not stop at them."""

    async def stale() -> Any:
        try:
            return await asyncio.wait_for(workflow.receive("x"), 10)
        finally:
            await asyncio.sleep(0)

    bench.workflow(stale)
    for n in range(5):
        bench.start("stale", id=f"s{n}")
    bench.start("sleeper", 60, id="w")
    begun = bench.clock.now()
    for n in range(5):
        bench.engine.submit(Call("signal", f"s{n}", "x", bench.values.encode(n)))
    bench.skip(60 * SECOND)
    assert bench.clock.now() == begun + 60 * SECOND and bench.result("w") == "woke"


def test_a_skip_reaches_its_target_with_nothing_to_fire(bench: Workbench) -> None:
    begun = bench.clock.now()
    bench.skip(DAY)
    assert bench.clock.now() == begun + DAY
    bench.start("quick", id="w")
    assert bench.history("w")[0].at == begun + DAY


def test_timers_while_suspended_and_many_of_them(bench: Workbench) -> None:
    for n in range(200):
        bench.start("sleeper", 1 + n % 7, id=f"w{n}")
        bench.call("suspend", f"w{n}")
    bench.skip(7 * SECOND)
    assert {bench.result(f"w{n}") for n in range(200)} == {"woke"}


def test_only_a_virtual_clock_can_be_moved(bench: Workbench) -> None:
    bench.engine.clock = RealClock()
    for verb, *arguments in (("skip", SECOND), ("skip_to_next",), ("set_auto", True)):
        with pytest.raises(errors.InvalidOption, match="virtual"):
            bench.call(verb, *arguments)


def test_asyncios_vocabulary_is_durable(bench: Workbench) -> None:
    async def vocabulary() -> list[Any]:
        loop = asyncio.get_running_loop()
        got: list[Any] = [loop.time() == workflow.now().timestamp()]
        fired = loop.create_future()
        loop.call_later(3, fired.set_result, "later")
        got.append(await fired)
        try:
            await asyncio.wait_for(workflow.receive("never"), 2)
        except TimeoutError:
            got.append("timeout")
        done, pending = await asyncio.wait([asyncio.ensure_future(asyncio.sleep(n)) for n in (1, 50)], timeout=5)
        got.append((len(done), len(pending)))
        for task in pending:
            task.cancel()
        lock, event = asyncio.Lock(), asyncio.Event()

        async def holder() -> None:
            async with lock:
                await asyncio.sleep(1)
                event.set()

        async with asyncio.TaskGroup() as group:
            group.create_task(holder())
            group.create_task(holder())
        got.append(event.is_set())
        return got

    bench.workflow(vocabulary)
    bench.start("vocabulary", id="w")
    for _ in range(20):
        bench.skip(SECOND)
        bench.crash()
    assert bench.result("w") == [True, "later", "timeout", (1, 1), True]
