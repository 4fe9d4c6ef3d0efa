"""The executors of this kernel: threads, the asyncio thread, and inline."""
from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import pytest

from aionlab import activity
from aionlab.backends.attempts import Runnable
from aionlab.backends.inline import InlineExecutor
from aionlab.backends.threads import ThreadExecutor
from aionlab.core.clock import Micros
from aionlab.core.events import ActivityOptions, Payload
from aionlab.core.ids import RunId, WorkflowId
from aionlab.core.payload import hints_of
from aionlab.core.ports import Attempt, Finished, Interrupted, Missing
from aionlab.core.values import values_for

VALUES = values_for(None)


class Desk:
    """Hands functions to an executor as attempts and hears what it says."""

    def __init__(self, make: Callable[..., Any]) -> None:
        self.functions: dict[str, Callable[..., Any]] = {}
        self.reports: SimpleQueue[Finished | Missing | Interrupted] = SimpleQueue()
        self.beats: SimpleQueue[tuple[int, Payload | None]] = SimpleQueue()
        self.executor = make(self.lookup)

    def lookup(self, name: str) -> Runnable:
        function = self.functions[name]
        return Runnable(function, asyncio.iscoroutinefunction(function), hints_of(function), VALUES)

    def hand(self, number: int, function: Callable[..., Any], options: ActivityOptions = ActivityOptions()) -> None:
        self.functions[function.__name__] = function
        attempt = Attempt(1, WorkflowId("w"), RunId("r"), number, function.__name__, 1, VALUES.encode_args((), {}), options)
        self.executor.submit(attempt, self.reports.put, lambda given, details: self.beats.put((given.activity_id, details)))

    def report(self) -> Finished | Missing | Interrupted:
        return self.reports.get(timeout=20)

    def value(self) -> Any:
        finished = self.report()
        assert isinstance(finished, Finished) and finished.result is not None, finished
        return VALUES.decode(finished.result)


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk(lambda lookup: ThreadExecutor(lookup, workers=1))
    yield made
    made.executor.close()


def test_a_sync_attempt_sees_that_it_is_cancelled(desk: Desk) -> None:
    begun = threading.Event()

    def patient() -> str:
        begun.set()
        return f"{activity.wait_cancelled(20)}, {activity.is_cancelled()}, {activity.info().is_cancelled}"

    desk.hand(1, patient)
    assert begun.wait(20)
    desk.executor.cancel(1, 99)
    desk.executor.cancel(1, 1)
    assert desk.value() == "True, True, True"


def test_waiting_for_a_cancel_ends_in_time(desk: Desk) -> None:
    def hasty() -> bool:
        return activity.wait_cancelled("1ms")

    desk.hand(1, hasty)
    assert desk.value() is False


def test_a_cancelled_attempt_hears_of_it_once_at_its_next_heartbeat(desk: Desk) -> None:
    begun = threading.Event()

    def beating() -> str:
        begun.set()
        activity.wait_cancelled(20)
        try:
            activity.heartbeat(1)
        except asyncio.CancelledError:
            activity.heartbeat("cleaning up")
            return "cleaned up"
        return "no"

    desk.hand(1, beating)
    assert begun.wait(20)
    desk.executor.cancel(1, 1)
    assert desk.value() == "cleaned up" and desk.beats.get(timeout=20) == (1, b'"cleaning up"')


def test_an_attempt_that_is_cancelled_before_it_begins_does_not_begin(desk: Desk) -> None:
    """One worker, so that the second waits for the first."""
    go, ran = threading.Event(), []

    def first() -> None:
        go.wait(20)

    def second() -> None:
        ran.append(1)

    desk.hand(1, first)
    desk.hand(2, second)
    desk.executor.cancel(1, 2)
    go.set()
    assert desk.value() is None
    report = desk.report()
    assert isinstance(report, Finished) and report.failure is not None and report.failure.name == "CancelledError" and ran == []
    desk.hand(2, second)
    assert desk.value() is None and ran == [1], "the same activity may be asked for again"


def test_an_async_attempt_is_cancelled_at_its_await_and_may_clean_up(desk: Desk) -> None:
    begun = threading.Event()

    async def waiting() -> str:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            activity.heartbeat("cleaning up")
            return f"cleaned up, {activity.is_cancelled()}"
        return "no"

    desk.hand(1, waiting)
    assert begun.wait(20)
    desk.executor.cancel(1, 1)
    assert desk.value() == "cleaned up, True"


def test_what_waits_when_the_executor_is_closed_does_not_begin(desk: Desk) -> None:
    go, begun, ran = threading.Event(), threading.Event(), []

    def first() -> None:
        begun.set()
        go.wait(20)

    def second() -> None:
        ran.append(1)

    desk.hand(1, first)
    desk.hand(2, second)
    assert begun.wait(20)
    desk.executor.close()
    go.set()
    for thread in desk.executor._threads:
        thread.join(20)
    assert desk.reports.qsize() == 1 and ran == []


@pytest.mark.parametrize("limit", ["start_to_close", "heartbeat"])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_the_beginning_of_an_attempt_with_limits_is_told(desk: Desk, limit: str, kind: str) -> None:
    def sync() -> int:
        return desk.beats.qsize()

    async def late() -> int:
        return desk.beats.qsize()

    function = sync if kind == "sync" else late
    desk.hand(3, function)
    assert desk.value() == 0
    desk.hand(4, function, ActivityOptions(**{limit: Micros(5)}))  # type: ignore[arg-type]
    assert desk.value() == 1 and desk.beats.get() == (4, None)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_an_interrupt_is_no_failure_and_ends_no_thread(desk: Desk, kind: str) -> None:
    def sync() -> None:
        raise KeyboardInterrupt

    async def late() -> None:
        raise KeyboardInterrupt

    def fine() -> str:
        return "fine"

    desk.hand(1, sync if kind == "sync" else late)
    assert desk.report() == Interrupted(1, 1, 1)
    desk.hand(2, fine)
    assert desk.value() == "fine"


def test_attempts_in_one_thread_do_not_see_each_other(desk: Desk) -> None:
    def who() -> int:
        return activity.info().activity_id

    for number in (5, 6):
        desk.hand(number, who)
        assert desk.value() == number


def test_async_attempts_at_once_see_each_their_own(desk: Desk) -> None:
    async def who() -> int:
        await asyncio.sleep(0)
        return activity.info().activity_id

    for number in range(10):
        desk.hand(number, who)
    assert {desk.value() for _ in range(10)} == set(range(10))


# --- inline ------------------------------------------------------------------------------------------------------------


def test_inline_an_async_activity_runs_once_whatever_it_awaits() -> None:
    """Also where a loop is running already, as in a notebook's cell."""
    desk, ran = Desk(InlineExecutor), []

    async def several() -> str:
        ran.append(1)
        await asyncio.sleep(0)
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0.001))
        return "done"

    async def cell() -> None:
        desk.hand(1, several)

    asyncio.run(cell())
    desk.hand(2, several)
    assert [desk.value(), desk.value()] == ["done", "done"] and len(ran) == 2
    desk.executor.close()


def test_inline_an_interrupt_is_the_callers_too() -> None:
    desk = Desk(InlineExecutor)

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        desk.hand(1, interrupted)
    assert desk.report() == Interrupted(1, 1, 1)
