"""Timers with summaries, and details of a run."""
from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aionlab import workflow
from aionlab.core import events as e
from aionlab.core.errors import InvalidOption
from tests.authoring.runs import DAY, bench, replay, run


def test_ten_sleeps_at_once_keep_their_own_summaries_in_creation_order() -> None:
    """D09 Ten concurrent sleeps keep their own summaries in creation order."""

    async def flow() -> None:
        await workflow.gather(*[workflow.sleep(10 - n, summary=f"nap {n}") for n in range(10)])

    with bench() as made:
        made.start(made.workflow(flow).workflow_type, id="w")
        made.skip(DAY)
        timers = [r.event for r in made.history("w") if isinstance(r.event, e.TimerStarted)]
        assert [(one.timer_id, one.summary) for one in timers] == [(n, f"nap {n}") for n in range(10)]
        replay(made, "w")


def test_a_sleep_of_nothing_resolves_with_and_without_a_summary() -> None:
    """D09 Given a zero-length sleep, then it resolves."""

    async def flow() -> Any:
        await workflow.sleep(0)
        await workflow.sleep(0, summary="none")
        await asyncio.sleep(0)
        return "here"

    assert run(flow) == "here"


def test_a_cancelled_sleep_leaves_its_cancellation() -> None:
    """D06 Given a sleeping task cancelled, then the history has TimerCancelled."""

    async def flow() -> None:
        nap = asyncio.ensure_future(workflow.sleep("1d", summary="nap"))
        await workflow.receive("wake")
        nap.cancel()
        await workflow.receive("end")

    with bench() as made:
        made.start(made.workflow(flow).workflow_type, id="w")
        made.signal("w", "wake")
        assert made.kinds("w")[-1] == "TimerCancelled"


@pytest.mark.parametrize("summary", [7, "x" * 201])
def test_a_summary_that_cannot_be_is_refused(summary: Any) -> None:
    async def flow() -> Any:
        try:
            await workflow.sleep(1, summary=summary)
        except InvalidOption as error:
            return str(error)

    assert "summary" in run(flow)


def test_details_are_said_again_by_replay() -> None:
    async def flow() -> None:
        workflow.set_details("packing **3** boxes")
        await workflow.receive("go")
        workflow.set_details("gone")

    with bench() as made:
        made.start(made.workflow(flow).workflow_type, id="w")
        assert made.engine.find("w").process.details == "packing **3** boxes"  # type: ignore[union-attr]  # it is resident
        made.signal("w", "go")
        assert replay(made, "w").process.details == "gone"
