"""`workflow.wait_condition`: looked at when a step has come to rest, first come first served, and never allowed to act."""
from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aionlab import workflow
from aionlab.core import events as e
from aionlab.engine.call import Call
from aionlab.testing.workbench import Workbench
from tests.engine import programs
from tests.engine.programs import SECOND, of, snapshot


async def counting(goal: int = 3, timeout: Any = None) -> Any:
    seen: list[Any] = []
    workflow.on_signal("x", seen.append)
    try:
        await workflow.wait_condition(lambda: len(seen) >= goal, timeout=timeout)
    except TimeoutError:
        return "timed out"
    return seen


@pytest.fixture
def bench(bench: Workbench) -> Workbench:
    bench.workflow(counting)
    return bench


@pytest.mark.parametrize("between", ["nothing", "suspend", "crash"])
def test_it_is_asked_again_after_each_step(bench: Workbench, between: str) -> None:
    bench.start("counting", id="w")
    for n in range(3):
        assert bench.outcome("w") is None
        bench.signal("w", "x", n)
        if between == "suspend" and n < 2:
            bench.call("suspend", "w")
        elif between == "crash":
            bench.crash()
    assert bench.result("w") == [0, 1, 2]
    assert bench.kinds("w") == ["WorkflowStarted", *["SignalReceived"] * 3, "WorkflowCompleted"]  # a condition leaves nothing


def test_one_that_holds_already_is_not_waited_for(bench: Workbench) -> None:
    bench.start("counting", 0, "1h", id="w")
    assert bench.result("w") == [] and of(bench, "w", e.TimerStarted) == []


def test_a_timeout_is_a_durable_timer(bench: Workbench) -> None:
    bench.start("counting", 3, "10s", id="late")
    bench.start("counting", 1, "10s", id="in time")
    bench.signal("in time", "x", 1)
    bench.crash()
    bench.skip(10 * SECOND)
    assert (bench.result("late"), bench.result("in time")) == ("timed out", [1])
    assert [type(r.event) for r in bench.history("in time")][-2:] == [e.TimerCancelled, e.WorkflowCompleted]


def test_who_waits_first_is_served_first_and_the_condition_holds_when_it_goes_on(bench: Workbench) -> None:
    async def bakery() -> list[str]:
        bread, sold = [0], []

        async def customer(name: str) -> None:
            await workflow.wait_condition(lambda: bread[0] > 0)
            assert bread[0] > 0
            bread[0] -= 1
            sold.append(f"{name} {bread[0]}")

        customers = [asyncio.create_task(customer(name)) for name in "abc"]
        for loaves in (1, 2):
            await workflow.receive("bake")
            bread[0] += loaves
        await asyncio.gather(*customers)
        return sold

    bench.workflow(bakery)
    bench.start("bakery", id="w")
    for _ in range(2):
        bench.signal("w", "bake")
        bench.crash()
    assert bench.result("w") == ["a 0", "b 1", "c 0"]


def test_conditions_may_follow_from_each_other_within_a_step(bench: Workbench) -> None:
    async def dominoes(count: int) -> list[int]:
        fallen: list[int] = []

        async def domino(n: int) -> None:
            await workflow.wait_condition(lambda: len(fallen) > n)
            fallen.append(n + 1)

        stones = [asyncio.create_task(domino(n)) for n in reversed(range(count))]
        await workflow.receive("push")
        fallen.append(0)
        await asyncio.gather(*stones)
        return fallen

    bench.workflow(dominoes)
    bench.start("dominoes", 30, id="w")
    bench.signal("w", "push")
    assert bench.result("w") == list(range(31)) and len(bench.history("w")) == 3


@pytest.mark.parametrize("error", [ValueError("no"), StopIteration(), SystemExit(2)], ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("when", ["at once", "later"])
def test_what_it_raises_is_the_awaiting_codes_error(bench: Workbench, error: BaseException, when: str) -> None:
    async def raising(later: bool) -> str:
        armed = [not later]

        def predicate() -> bool:
            if armed[0]:
                raise error
            return False

        async def arm() -> None:
            await workflow.receive("go")
            armed[0] = True

        task = asyncio.create_task(arm())
        try:
            await workflow.wait_condition(predicate)
        except BaseException as caught:
            await task if later else task.cancel()
            return type(caught).__name__
        return "held"

    bench.workflow(raising)
    bench.start("raising", when == "later", id="w")
    if when == "later":
        bench.signal("w", "go")
    assert bench.result("w") in (type(error).__name__, "RuntimeError")
    history = bench.history("w")
    bench.crash()
    assert bench.history("w") == history


@pytest.mark.parametrize("act", ["activity", "task", "random", "handler", "async", "not a function"])
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
def test_it_may_look_and_not_act(bench: Workbench, act: str) -> None:
    async def tempted(what: str) -> list[Any]:
        first = workflow.random().random()
        acts: dict[str, Any] = {
            "activity": lambda: programs.charge(1), "task": lambda: asyncio.ensure_future(asyncio.sleep(1)), "random": lambda: workflow.random().random(),
            "handler": lambda: workflow.on_signal("x", print), "async": lambda: asyncio.sleep(1), "not a function": 1 > 0,
        }  # fmt: skip
        try:
            await workflow.wait_condition(acts[what])
        except (RuntimeError, TypeError) as error:
            return [type(error).__name__, first != workflow.random().random()]
        return ["acted"]

    bench.workflow(tempted)
    bench.start("tempted", act, id="w")
    assert bench.result("w") == ["TypeError" if act in ("async", "not a function") else "RuntimeError", True]
    assert programs.calls == [] and bench.kinds("w") == ["WorkflowStarted", "WorkflowCompleted"]


def test_a_condition_that_is_cancelled_is_asked_no_more(bench: Workbench) -> None:
    async def fickle() -> int:
        asked = [0]

        def predicate() -> bool:
            asked[0] += 1
            return False

        task = asyncio.create_task(workflow.wait_condition(predicate))
        await workflow.receive("x")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        before = asked[0]
        await workflow.receive("x")
        return asked[0] - before

    bench.workflow(fickle)
    bench.start("fickle", id="w")
    for _ in range(2):
        bench.signal("w", "x")
    assert bench.result("w") == 0


def test_a_cancelled_run_leaves_its_condition(bench: Workbench) -> None:
    bench.start("counting", id="w")
    bench.call("cancel", "w")
    assert of(bench, "w", e.WorkflowCancelled)


def test_batching_does_not_show(bench: Workbench) -> None:
    for name in ("one by one", "at once"):
        bench.start("counting", 4, id=name)
    for n in range(4):
        bench.signal("one by one", "x", n)
        bench.engine.submit(Call("signal", "at once", "x", bench.values.encode(n)))
    bench.host.pump()
    assert bench.kinds("one by one") == bench.kinds("at once") and bench.result("at once") == [0, 1, 2, 3]


def test_looking_at_a_run_that_waits_for_one(bench: Workbench) -> None:
    bench.start("counting", id="w")
    before = snapshot(bench)
    assert bench.call("entry", "w").waiting_for.startswith("a condition (")
    assert [what for what, _ in bench.call("stack", "w")] == ["a condition"]
    assert snapshot(bench) == before
