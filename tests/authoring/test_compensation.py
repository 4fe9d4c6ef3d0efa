"""Sagas: what was added runs backwards when the block fails, once, durably, and never because a run leaves memory."""
from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aionlab import activity, workflow
from aionlab.core import events as e
from aionlab.core.errors import CompensationFailed, NotInWorkflow
from aionlab.core.status import Status
from tests.authoring.runs import bench, broken, echo, replay, run


@activity
async def undo(what: Any) -> str:
    return f"undid {what}"


def undone(made: Any, workflow_id: str = "w") -> list[str]:
    """The arguments of the `undo` activities, in the order asked."""
    found = [r.event for r in made.history(workflow_id) if isinstance(r.event, e.ActivityScheduled) and r.event.activity_type == "undo"]
    return [made.values.decode(one.input)[0] for one in found]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 5), st.integers(0, 6))
def test_what_was_done_is_undone_backwards(steps: int, fails_at: int) -> None:
    async def flow(steps: int, fails_at: int) -> str:
        async with workflow.compensation() as back:
            for at in range(steps):
                if at == fails_at:
                    await broken("here")
                await echo(at)
                back.add(undo, at)
        return "done"

    with bench() as made:
        made.activity(undo)
        made.start(made.workflow(flow).workflow_type, steps, fails_at, id="w")
        fails = fails_at < steps
        assert made.status("w") is (Status.FAILED if fails else Status.COMPLETED)
        assert undone(made) == (list(reversed(range(fails_at))) if fails else [])
        replay(made, "w")


def test_cancelling_undoes_and_ends_cancelled() -> None:
    async def flow() -> None:
        async with workflow.compensation() as back:
            back.add(undo, "a")
            back.add(undo, "b")
            await asyncio.sleep(1000)

    with bench() as made:
        made.activity(undo)
        made.start(made.workflow(flow).workflow_type, id="w")
        made.call("cancel", "w")
        assert made.status("w") is Status.CANCELLED
        assert undone(made) == ["b", "a"]
        replay(made, "w")


def test_sync_and_async_functions_undo_too() -> None:
    async def flow() -> Any:
        log: list[str] = []

        async def slowly(what: str) -> None:
            await asyncio.sleep(60)
            log.append(what)

        try:
            async with workflow.compensation() as back:
                back.add(log.append, "sync")
                back.add(slowly, what="async")
                raise ValueError("no")
        except ValueError:
            return log

    assert run(flow) == ["async", "sync"]


def test_one_that_fails_keeps_none_of_the_others_from_being_undone() -> None:
    async def flow() -> Any:
        try:
            async with workflow.compensation() as back:
                back.add(echo, "first")
                back.add(broken, "stuck")
                back.add(echo, "last")
                raise KeyError("why")
        except CompensationFailed as error:
            return [str(error), repr(error.__cause__), len(error.failures)]

    said, cause, count = run(flow)
    assert "1 compensation failed" in said and "stuck" in said and cause == "KeyError('why')" and count == 1


def test_clear_means_no_way_back() -> None:
    async def flow() -> Any:
        async with workflow.compensation() as back:
            back.add(undo, "a")
            assert len(back) == 1
            back.clear()
            raise ValueError("later")

    with bench() as made:
        made.activity(undo)
        made.start(made.workflow(flow).workflow_type, id="w")
        assert made.status("w") is Status.FAILED and undone(made) == []


def test_blocks_nest_and_undo_inside_out() -> None:
    async def flow() -> None:
        async with workflow.compensation() as outer:
            outer.add(undo, "outer")
            async with workflow.compensation() as inner:
                inner.add(undo, "inner")
                workflow.add_compensation(undo, "innermost")
                raise ValueError("no")

    with bench() as made:
        made.activity(undo)
        made.start(made.workflow(flow).workflow_type, id="w")
        assert undone(made) == ["innermost", "inner", "outer"]


def test_a_saga_is_a_workflow_in_a_compensation() -> None:
    @workflow.saga
    async def flow(what: str) -> None:
        workflow.add_compensation(undo, what)
        await broken("no")

    with bench() as made:
        made.activity(undo)
        made.start(made.workflow(flow).workflow_type, "all of it", id="w")
        assert made.status("w") is Status.FAILED and undone(made) == ["all of it"]


def test_a_saga_takes_the_options_of_a_workflow() -> None:
    @workflow.saga(name="named", deadline="1d")
    async def flow() -> None: ...

    assert (flow.name, flow.deadline, flow.saga) == ("named", 86_400_000_000, True)


def test_a_run_that_leaves_memory_undoes_nothing() -> None:
    touched: list[str] = []

    async def flow() -> None:
        async with workflow.compensation() as back:
            back.add(touched.append, "undone")
            back.add(undo, "a")
            await workflow.receive("go")

    with bench() as made:
        made.activity(undo)
        made.start(made.workflow(flow).workflow_type, id="w")
        made.call("suspend", "w")
        assert touched == [] and undone(made) == []
        made.signal("w", "go")
        assert made.status("w") is Status.COMPLETED and touched == [] and undone(made) == []


def test_a_crash_half_way_goes_on_where_it_was() -> None:
    async def flow() -> None:
        async with workflow.compensation() as back:
            back.add(undo, "a")
            back.add(workflow.sleep, "1h")
            back.add(undo, "b")
            raise ValueError("no")

    with bench() as made:
        made.activity(undo)
        made.start(made.workflow(flow).workflow_type, id="w")
        assert undone(made) == ["b"]
        made.call("suspend", "w")
        made.skip(3_600_000_000)
        assert undone(made) == ["b", "a"] and made.status("w") is Status.FAILED


def test_outside_of_a_compensation_it_says_what_to_do() -> None:
    async def flow() -> Any:
        try:
            workflow.add_compensation(undo, 1)
        except NotInWorkflow as error:
            return str(error)

    assert "@workflow.saga" in run(flow)


def test_what_cannot_be_called_is_refused() -> None:
    async def flow() -> Any:
        async with workflow.compensation() as back:
            coro = undo(1)
            try:
                back.add(coro)  # type: ignore[arg-type]  # the mistake
            except TypeError as error:
                return str(error)
            finally:
                coro.close()  # type: ignore[attr-defined]  # a coroutine

    assert "do not call it yourself" in run(flow)


def test_outside_of_a_run() -> None:
    with pytest.raises(NotInWorkflow, match="workflow.compensation"):
        workflow.compensation()
