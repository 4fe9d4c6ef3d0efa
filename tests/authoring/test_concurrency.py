"""gather, settled, race, map, wait and as_completed: order, failure, cancellation, and that nothing is left running."""
from __future__ import annotations

import asyncio
from contextlib import aclosing, nullcontext
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aionlab import workflow
from aionlab.core import events as e
from aionlab.core.errors import InvalidOption, NotInWorkflow, WorkflowFailedError
from aionlab.core.status import Status
from tests.authoring.runs import DAY, bench, broken, echo, replay, run

SECOND = 1_000_000
LENGTHS = st.lists(st.integers(0, 4), max_size=6)


async def after(seconds: int, value: Any, fails: bool = False, log: list[Any] | None = None) -> Any:
    try:
        await asyncio.sleep(seconds)
        if fails:
            raise ValueError(value)
        return value
    except asyncio.CancelledError:
        if log is not None:
            log.append(("cancelled", value))
        raise


def later(parts: list[int], first: tuple[int, int]) -> list[int]:
    """Which parts end after the step in which `first`, a (length, place), ends: each fired timer is a step of its own, in the order asked."""
    return [at for at, length in enumerate(parts) if (length, at) > first and length]


# --- gather


@settings(max_examples=60, deadline=None)
@given(LENGTHS)
def test_gather_gives_results_in_the_order_given(lengths: list[int]) -> None:
    async def flow(lengths: list[int]) -> list[Any]:
        return await workflow.gather(*[after(length, at) for at, length in enumerate(lengths)])

    assert run(flow, lengths) == list(range(len(lengths)))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=6))
def test_gather_raises_the_first_failure_and_leaves_nothing_running(parts: list[tuple[int, bool]]) -> None:
    """The model: parts end by length, then by place; those that would end after the first failure are cancelled."""

    async def flow(parts: list[list[Any]]) -> Any:
        log: list[Any] = []
        try:
            return ["ok", await workflow.gather(*[after(length, at, fails, log) for at, (length, fails) in enumerate(parts)]), []]
        except ValueError as error:
            others = [task for task in asyncio.all_tasks() if not task.done() and task is not asyncio.current_task()]
            assert not others, "something is left running"
            return ["failed", error.args[0], sorted(at for _, at in log)]

    outcome, value, cancelled = run(flow, [list(part) for part in parts])
    ends = sorted((length, at) for at, (length, fails) in enumerate(parts))
    failing = [(length, at) for length, at in ends if parts[at][1]]
    if not failing:
        assert (outcome, value) == ("ok", list(range(len(parts))))
    else:
        assert (outcome, value) == ("failed", failing[0][1])
        assert cancelled == later(parts=[length for length, _ in parts], first=failing[0])


def test_gather_of_nothing_is_empty() -> None:
    async def flow() -> Any:
        return [await workflow.gather(), [one.value for one in await workflow.settled()], await workflow.map(echo, [])]

    assert run(flow) == [[], [], []]


def test_the_same_awaitable_twice_is_one() -> None:
    async def flow() -> Any:
        task = asyncio.ensure_future(after(1, "x"))
        return await workflow.gather(task, task)

    assert run(flow) == ["x", "x"]


def test_gathered_activities_are_numbered_in_the_order_given() -> None:
    async def flow() -> Any:
        return await workflow.gather(echo("a"), echo("b"), echo("c"))

    with bench() as made:
        made.start(made.workflow(flow).workflow_type, id="w")
        asked = [r.event for r in made.history("w") if isinstance(r.event, e.ActivityScheduled)]
        assert [(one.activity_id, one.input) for one in asked] == [(0, b'["a"]'), (1, b'["b"]'), (2, b'["c"]')]
        assert made.result("w") == ["a", "b", "c"]


def test_a_failing_activity_cancels_its_siblings_timer() -> None:
    async def flow() -> Any:
        await workflow.gather(broken("no"), asyncio.sleep(100))

    with bench() as made:
        made.start(made.workflow(flow).workflow_type, id="w")
        assert made.status("w") is Status.FAILED
        assert replay(made, "w").process.finished


def test_cancelling_the_run_cancels_what_it_gathers_and_awaits_the_cleanup() -> None:
    async def part(name: str) -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            await echo(f"clean {name}")

    async def flow() -> None:
        await workflow.gather(part("a"), part("b"))

    with bench() as made:
        made.start(made.workflow(flow).workflow_type, id="w")
        made.call("cancel", "w")
        assert made.status("w") is Status.CANCELLED
        done = [r.event.result for r in made.history("w") if isinstance(r.event, e.ActivityCompleted)]
        assert done == [b'"clean a"', b'"clean b"']
        replay(made, "w")


def test_a_failure_while_cancelled_does_not_hide_the_cancellation() -> None:
    async def part() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            raise ValueError("cleanup failed")

    async def flow() -> None:
        await workflow.gather(part(), asyncio.sleep(1000))

    with bench() as made:
        made.start(made.workflow(flow).workflow_type, id="w")
        made.call("cancel", "w")
        assert made.status("w") is Status.CANCELLED


# --- settled


def test_settled_gives_values_and_errors_and_cancels_nothing() -> None:
    async def flow() -> Any:
        ends = await workflow.settled(after(1, "late"), broken("no"), after(0, "x", True))
        try:
            ends[2].result()
        except ValueError as error:
            raised = str(error)
        return [[one.ok for one in ends], ends[0].result(), type(ends[1].error).__name__, raised]

    assert run(flow) == [[True, False, False], "late", "ActivityError", "x"]


# --- race


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=6))
def test_the_race_goes_to_the_first_that_ends(lengths: list[int]) -> None:
    async def flow(lengths: list[int]) -> Any:
        log: list[Any] = []
        winner = await workflow.race(*[after(length, at, False, log) for at, length in enumerate(lengths)])
        return [winner, sorted(at for _, at in log)]

    winner, cancelled = run(flow, lengths)
    assert winner == lengths.index(min(lengths))
    assert cancelled == later(lengths, (min(lengths), winner))


def test_a_race_lost_to_a_failure_raises_it() -> None:
    async def flow() -> Any:
        return await workflow.race(after(5, "late"), broken("fast and wrong"))

    with pytest.raises(Exception, match="fast and wrong"):
        run(flow)


def test_a_race_of_nothing_is_refused() -> None:
    async def flow() -> Any:
        try:
            await workflow.race()
        except InvalidOption as error:
            return str(error)

    assert "something to await" in run(flow)


def test_a_race_between_an_event_and_a_timer_cancels_the_timer() -> None:
    """D10 Given `when_any(event, timer)` and the event winning, then the timer is cancelled."""

    async def flow() -> Any:
        return await workflow.race(workflow.receive("go"), after(DAY // SECOND, "too late"))

    with bench() as made:
        made.start(made.workflow(flow).workflow_type, id="w")
        made.signal("w", "go", "in time")
        assert made.result("w") == "in time"
        assert "TimerCancelled" in made.kinds("w") or "TimerFired" not in made.kinds("w")
        replay(made, "w")


# --- map


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.integers(1, 4))
def test_map_keeps_order_and_never_exceeds_its_limit(lengths: list[int], limit: int) -> None:
    async def flow(lengths: list[int], limit: int) -> Any:
        running = most = 0
        began: list[int] = []

        async def part(at: int) -> int:
            nonlocal running, most
            began.append(at)
            running += 1
            most = max(most, running)
            await asyncio.sleep(lengths[at])
            running -= 1
            return at * 10

        found = await workflow.map(part, range(len(lengths)), max_concurrent=limit)
        return [found, most, began]

    found, most, began = run(flow, lengths, limit)
    assert found == [at * 10 for at in range(len(lengths))]
    assert most == min(limit, len(lengths))
    assert began == list(range(len(lengths)))


def test_map_over_activities() -> None:
    async def flow() -> Any:
        return await workflow.map(echo, ["a", "b", "c", "d", "e"], max_concurrent=2)

    assert run(flow) == ["a", "b", "c", "d", "e"]


def test_a_failure_in_map_begins_nothing_more() -> None:
    async def flow() -> Any:
        began: list[int] = []

        async def part(at: int) -> None:
            began.append(at)
            await asyncio.sleep(1)
            if at == 1:
                raise ValueError(at)

        try:
            await workflow.map(part, range(10), max_concurrent=2)
        except ValueError:
            return began

    assert run(flow) == [0, 1, 2]


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "2"])
def test_a_limit_that_is_none_is_refused(limit: Any) -> None:
    async def flow() -> Any:
        try:
            await workflow.map(echo, [1], max_concurrent=limit)
        except InvalidOption as error:
            return str(error)

    assert "at least 1" in run(flow)


# --- wait and as_completed


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.one_of(st.none(), st.integers(0, 5)), st.sampled_from(["FIRST_COMPLETED", "ALL_COMPLETED"]))
def test_wait_gives_lists_in_the_order_given(lengths: list[int], timeout: int | None, until: str) -> None:
    async def flow(lengths: list[int], timeout: int | None, until: str) -> Any:
        tasks = [asyncio.ensure_future(after(length, at)) for at, length in enumerate(lengths)]
        done, pending = await workflow.wait(tasks, timeout=timeout, return_when=until)
        where = [tasks.index(task) for task in done], [tasks.index(task) for task in pending]
        await workflow.gather(*tasks)
        return where

    done, pending = run(flow, lengths, timeout, until)
    assert done == sorted(done) and pending == sorted(pending)
    assert sorted(done + pending) == list(range(len(lengths)))
    limit = max([0, *lengths]) if until == "ALL_COMPLETED" else min([5, *lengths])
    if timeout is None or timeout > limit:
        assert all(lengths[at] <= limit for at in done) and (done or not lengths)
        assert until == "FIRST_COMPLETED" or len(done) == len(lengths)
    else:
        assert all(lengths[at] <= timeout for at in done)


def test_wait_for_the_first_failure() -> None:
    async def flow() -> Any:
        tasks = [after(1, "a"), after(2, "b", True), after(3, "c")]
        done, pending = await workflow.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in pending:
            task.cancel()
        return [len(done), len(pending), str(done[1].exception())]

    assert run(flow) == [2, 1, "b"]


@settings(max_examples=60, deadline=None)
@given(LENGTHS)
def test_as_completed_follows_the_order_of_ends(lengths: list[int]) -> None:
    async def flow(lengths: list[int]) -> Any:
        return [task.result() async for task in workflow.as_completed([after(length, at) for at, length in enumerate(lengths)])]

    assert run(flow, lengths) == [at for _, at in sorted((length, at) for at, length in enumerate(lengths))]


@pytest.mark.parametrize("closing", [True, False])
def test_leaving_as_completed_early(closing: bool) -> None:
    async def flow(closing: bool) -> Any:
        log: list[Any] = []
        ends = workflow.as_completed([after(1, "a", False, log), after(9, "b", False, log)])
        async with aclosing(ends) if closing else nullcontext():
            async for task in ends:
                first = task.result()
                break
        await asyncio.sleep(20)
        return [first, [list(one) for one in log]]

    assert run(flow, closing) == ["a", [["cancelled", "b"]] if closing else []]


# --- all of them


@pytest.mark.parametrize(
    "call",
    [
        lambda: workflow.gather(), lambda: workflow.settled(), lambda: workflow.map(echo, []), lambda: workflow.wait([]),
        lambda: workflow.as_completed([]).__anext__(), lambda: workflow.race(asyncio.Future(loop=asyncio.get_running_loop())),
    ],
)  # fmt: skip
def test_outside_of_a_run_each_names_itself(call: Any) -> None:
    async def use() -> None:
        await call()

    with pytest.raises(NotInWorkflow, match=r"workflow\.\w+ works inside"):
        asyncio.run(use())


def test_a_function_where_a_call_is_meant_is_named() -> None:
    async def flow() -> Any:
        try:
            await workflow.gather(echo(1), echo)  # type: ignore[arg-type]  # the mistake
        except TypeError as error:
            return str(error)

    assert "argument 2 is" in run(flow) and "call it" in run(flow)


def test_fifty_in_a_group_with_retries_between_replay_alike() -> None:
    async def flow() -> Any:
        ends = await workflow.settled(*[echo(n) if n % 3 else broken(str(n)) for n in range(50)])
        return [one.value if one.ok else None for one in ends]

    assert run(flow) == [n if n % 3 else None for n in range(50)]


def test_a_group_of_failures_is_unwrapped() -> None:
    """F13, for tasks: a failing member fails the run instead of hanging it."""

    async def flow() -> Any:
        async with asyncio.TaskGroup() as group:
            group.create_task(after(1000, "long"))
            group.create_task(after(1, "bad", True))

    with bench() as made:
        made.start(made.workflow(flow).workflow_type, id="w")
        made.skip(5 * SECOND)
        assert made.status("w") is Status.FAILED
        with pytest.raises((ExceptionGroup, WorkflowFailedError, Exception), match="bad|unhandled"):
            made.result("w")
