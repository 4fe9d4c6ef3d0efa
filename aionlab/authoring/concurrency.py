"""Doing several things at once in workflow code: asyncio's vocabulary works as it is; these say more and leave nothing running.

What `gather`, `settled`, `race` and `map` began has ended when they return or raise: what is no longer wanted is cancelled, and its
cleanup awaited.
Order never depends on chance: results come in the order given, completions in the order recorded, and what completes in the same step
in the order it was woken.
"""
from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from aionlab.core.durations import Duration, micros
from aionlab.core.errors import InvalidOption
from aionlab.core.running import running

T = TypeVar("T")
Task = asyncio.Future[Any]


@dataclass(frozen=True, slots=True)
class Settled(Generic[T]):
    """How one awaitable ended: with a `value`, or with an `error`."""

    value: T | None = None
    error: BaseException | None = None

    @property
    def ok(self) -> bool:
        return self.error is None

    def result(self) -> T:
        """The value; raises the error."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]  # a value is there when no error is


async def gather(*awaitables: Awaitable[Any]) -> list[Any]:
    """All results, in the order given. The first failure cancels the others and, once they have ended, is raised as it is."""
    return await _all(_tasks("workflow.gather", awaitables))


async def settled(*awaitables: Awaitable[Any]) -> list[Settled[Any]]:
    """How each ended, in the order given; a failure cancels nothing and is not raised."""
    tasks = _tasks("workflow.settled", awaitables)
    await _none_left(tasks, lambda _: False)
    return [_settled(task) for task in tasks]


async def race(*awaitables: Awaitable[T]) -> T:
    """The result, or the failure, of whichever ends first; the others are cancelled and have ended when this returns.

    A race of nothing raises InvalidOption: it would never end.
    """
    if not awaitables:
        raise InvalidOption("workflow.race() of nothing would wait for ever: give it something to await")
    tasks = _tasks("workflow.race", awaitables)
    first: list[Task] = []

    def enough(task: Task) -> bool:
        first.append(task)
        return True

    await _none_left(tasks, enough)
    winner: T = first[0].result()
    return winner


async def map(  # noqa: A001 - `workflow.map` is the public name
    fn: Callable[[Any], Awaitable[T]], items: Iterable[Any], *, max_concurrent: int | None = None
) -> list[T]:
    """`fn(item)` for each item, at most `max_concurrent` at a time; results in the order of the items.

    An item is begun as soon as there is room, in order. The first failure cancels what runs, begins nothing more and is raised.
    """
    running("workflow.map")
    if max_concurrent is not None and (isinstance(max_concurrent, bool) or not isinstance(max_concurrent, int) or max_concurrent < 1):
        raise InvalidOption(f"max_concurrent={max_concurrent!r}; a number of calls at a time, at least 1")
    waiting = list(items)
    if max_concurrent is None or max_concurrent >= len(waiting):
        return await _all(_tasks("workflow.map", [fn(item) for item in waiting]))
    results: list[Any] = [None] * len(waiting)
    ahead = iter(enumerate(waiting))

    async def lane() -> None:
        for at, item in ahead:
            results[at] = await fn(item)

    await _all([asyncio.ensure_future(lane()) for _ in range(max_concurrent)])
    return results


async def wait(
    awaitables: Sequence[Awaitable[Any]], *, timeout: Duration | None = None, return_when: str = asyncio.ALL_COMPLETED
) -> tuple[list[Task], list[Task]]:
    """(done, pending), each in the order given; `asyncio.wait` with lists for sets, and coroutines welcome.

    `return_when` is one of asyncio's FIRST_COMPLETED, FIRST_EXCEPTION, ALL_COMPLETED. Nothing is cancelled: what is pending goes on.
    """
    if return_when not in (asyncio.FIRST_COMPLETED, asyncio.FIRST_EXCEPTION, asyncio.ALL_COMPLETED):
        raise InvalidOption(f"return_when={return_when!r}; choose FIRST_COMPLETED, FIRST_EXCEPTION or ALL_COMPLETED")
    tasks = _tasks("workflow.wait", awaitables)
    ends = _Ends(tasks)
    try:
        async with asyncio.timeout(None if timeout is None else micros(timeout) / 1_000_000) as limit:
            while ends.left:
                task = await ends.next()
                failed = not task.cancelled() and task.exception() is not None
                if return_when == asyncio.FIRST_COMPLETED or (return_when == asyncio.FIRST_EXCEPTION and failed):
                    break
    except TimeoutError:
        if not limit.expired():
            raise
    finally:
        ends.forget()
    return [task for task in tasks if task.done()], [task for task in tasks if not task.done()]


async def as_completed(awaitables: Iterable[Awaitable[Any]]) -> AsyncIterator[Task]:
    """Each as a finished task, in the order they end: `async for task in workflow.as_completed(…): task.result()`.

    The rest goes on when the loop is left early, and is cancelled when `contextlib.aclosing` is around it. `asyncio.as_completed` over
    bare coroutines is not deterministic; this is.
    """
    tasks = _tasks("workflow.as_completed", awaitables)
    ends = _Ends(tasks)
    try:
        while ends.left:
            yield await ends.next()
    finally:
        ends.forget()
        for task in tasks:
            task.cancel()


# --- how it is done -----------------------------------------------------------------------------------------------------


def _tasks(what: str, awaitables: Iterable[Any]) -> list[Task]:
    """A task for each, begun in order; the same awaitable given twice is one task."""
    running(what)
    given = list(awaitables)
    for at, one in enumerate(given):
        if not hasattr(one, "__await__"):
            for other in given:
                if asyncio.iscoroutine(other):
                    other.close()
            raise TypeError(f"{what}() takes awaitables; argument {at + 1} is {one!r}" + (f": call it, {one!r}(…)" if callable(one) else ""))
    begun: dict[int, Task] = {}
    for one in given:
        if id(one) not in begun:
            begun[id(one)] = asyncio.ensure_future(one)
    return [begun[id(one)] for one in given]


async def _all(tasks: list[Task]) -> list[Any]:
    failed: list[Task] = []

    def enough(task: Task) -> bool:
        if task.cancelled() or task.exception() is not None:
            failed.append(task)
        return bool(failed)

    await _none_left(tasks, enough)
    if failed:
        failed[0].result()
    return [task.result() for task in tasks]


async def _none_left(tasks: list[Task], enough: Callable[[Task], bool]) -> None:
    """Wait for the tasks as they end, until `enough` says so of one; the others are cancelled then, and waited for.

    Cancelled itself, it cancels all of them and waits for their cleanup before it goes.
    """
    ends = _Ends(tasks)
    cancelled: asyncio.CancelledError | None = None
    asked = False
    while ends.left:
        try:
            task = await ends.next()
        except asyncio.CancelledError as error:
            cancelled = error
        else:
            if asked or not enough(task):
                continue
        if not asked or cancelled is not None:
            asked = True
            for task in tasks:
                task.cancel()
    if cancelled is not None:
        raise cancelled


class _Ends:
    """Tasks in the order they end."""

    __slots__ = ("_ended", "_tasks", "_woken", "left")

    def __init__(self, tasks: list[Task]) -> None:
        self._tasks = list({id(task): task for task in tasks}.values())
        self._ended: deque[Task] = deque()
        self._woken: asyncio.Future[None] | None = None
        self.left = len(self._tasks)
        for task in self._tasks:
            if task.done():
                self._ended.append(task)
            else:
                task.add_done_callback(self._end)

    def _end(self, task: Task) -> None:
        self._ended.append(task)
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    async def next(self) -> Task:
        if not self._ended:
            self._woken = asyncio.get_running_loop().create_future()
            try:
                await self._woken
            finally:
                self._woken = None
        self.left -= 1
        return self._ended.popleft()

    def forget(self) -> None:
        for task in self._tasks:
            task.remove_done_callback(self._end)


def _settled(task: Task) -> Settled[Any]:
    if task.cancelled():
        return Settled(error=asyncio.CancelledError())
    error = task.exception()
    return Settled(task.result()) if error is None else Settled(error=error)
