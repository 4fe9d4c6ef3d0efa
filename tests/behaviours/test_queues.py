"""Queues, as peer suites pin them down."""
from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from aionlab import activity, workflow
from aionlab.core import errors
from aionlab.core import events as e
from tests.app.conftest import until
from tests.behaviours.reading import kinds, of

CALLS: list[Any] = []
SECOND = 1_000_000


@pytest.fixture(autouse=True)
def no_calls() -> None:
    CALLS.clear()


@activity(queue="narrow")
def waits(n: int) -> str:
    CALLS.append(f"{n} begins")
    activity.wait_cancelled("20s" if n == 1 else "1ms")
    CALLS.append(f"{n} ends")
    return f"{n} done"


@workflow
async def one(n: int) -> str:
    return await waits(n)


@pytest.mark.parametrize("how", ["cancel", "terminate"])
def test_given_concurrency_1_and_two_tasks_then_the_second_starts_only_after_the_first_ends(lab_factory: Callable[..., Any], how: str) -> None:
    """J05 Given concurrency 1 and two tasks, then the second starts only after the first ends; cancelling the first releases the slot."""
    lab = lab_factory(threads=True, clock="real", deterministic=None)
    lab.register_queue("narrow", concurrency=1)
    first, second = lab.start(one, 1), lab.start(one, 2)
    until(lambda: CALLS == ["1 begins"])
    assert kinds(second) == ["WorkflowStarted", "ActivityScheduled"] and lab.queues()["narrow"][:3] == ("narrow", 1, 1)
    getattr(first, how)()
    assert second.result(20) == "2 done" and CALLS[0] == "1 begins" and "2 begins" in CALLS
    assert not of(first, e.ActivityCompleted)


def test_given_concurrency_1_then_tasks_that_end_by_themselves_take_turns(lab: Any) -> None:
    lab.register_queue("narrow", concurrency=1)
    for n in (2, 3, 4):
        lab.start(one, n)
    lab.settle()
    assert CALLS == [f"{n} {what}" for n in (2, 3, 4) for what in ("begins", "ends")]


@activity(queue="ranked")
def ranked(label: str) -> str:
    CALLS.append(label)
    return label


@workflow
async def by_rank(priorities: list[int]) -> None:
    await asyncio.gather(*(ranked.with_options(priority=p)(f"{p}{chr(97 + n)}") for n, p in enumerate(priorities)))


def test_given_priorities_0_none_to_5_then_order_none_first_then_ascending_fifo_within_equal(lab: Any) -> None:
    """J08 Given priorities 0 (none), 1…5, then order none-first then ascending, FIFO within equal."""
    lab.register_queue("ranked", concurrency=1)
    lab.start(by_rank, [3, 0, 5, 1, 0, 3, 2, 4, 1]).result()
    assert CALLS == ["0b", "0e", "1d", "1i", "2g", "3a", "3f", "4h", "5c"]


def test_a_rate_is_kept_on_the_clock_of_the_lab(lab: Any) -> None:
    lab.register_queue("ranked", rate=2, period="10s")
    handle = lab.start(by_rank, [0] * 5)
    lab.clock.skip("1m")
    begun = [entry.at for entry in handle.history() if isinstance(entry.event, e.ActivityStarted)]
    assert [(at - begun[0]) // SECOND for at in begun] == [0, 0, 10, 10, 20]


@activity
def shared(label: str) -> str:
    CALLS.append(label)
    activity.wait_cancelled("1ms")
    return label


@workflow
async def asks(label: str, dedup_id: str, existing: bool) -> str:
    await workflow.receive("go")
    try:
        return await shared.with_options(dedup_id=dedup_id, on_duplicate="return_existing" if existing else "reject", queue="narrow")(label)
    except errors.ActivityError as error:
        return type(error.cause).__name__


def test_given_a_dedup_id_in_use_then_reject_or_return_existing_and_after_completion_the_id_is_free(lab: Any) -> None:
    """J07 Given a dedup id in use, then reject or return-existing; after completion the id is free; a replayed parent re-attaches to the same
    child although the id has been freed."""
    lab.register_queue("narrow", rate=1, period="10s")
    lab.start(one, 2).result()  # has the one token, so that the others wait for a turn of the clock
    CALLS.clear()
    runs = {label: lab.start(asks, label, "d", label != "rejected", id=label) for label in ("first", "follower", "rejected")}
    for handle in runs.values():
        handle.signal("go")
    runs["follower"].suspend()
    assert CALLS == [] and lab.queues()["narrow"].waiting == 1
    lab.clock.skip("1m")
    assert [handle.result() for handle in runs.values()] == ["first", "first", "DuplicateActivity"] and CALLS == ["first"]
    again = lab.start(asks, "again", "d", False)
    again.signal("go")
    assert again.result() == "again", "after completion the id is free"
    for handle in runs.values():
        with pytest.raises(errors.QueryFailed):  # which replays the closed run
            handle.query("nothing")
    assert CALLS == ["first", "again"]
