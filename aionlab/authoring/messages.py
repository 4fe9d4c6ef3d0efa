"""What a workflow's code says to others and hears from them: signals, queries, updates, and conditions on its own state."""
from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aionlab.core.durations import Duration, micros
from aionlab.core.errors import InvalidOption
from aionlab.core.running import UpdateInfo, current_update, running

_RAISE: Any = object()


def receive(name: str, into: Any = Any, *, timeout: Duration | None = None, default: Any = _RAISE) -> Awaitable[Any]:
    """The next signal called `name`, decoded into the type `into`; signals wait in order until they are received.

    A signal that does not fit the type is dropped, with a line in the log, and the next one awaited. After `timeout` the receive returns
    `default`, or raises TimeoutError when there is none; it has consumed nothing then.
    """
    process = running("workflow.receive")
    if timeout is None:
        return process.receive(name, into)
    return _receive(name, into, micros(timeout), default)


async def _receive(name: str, into: Any, limit: int, default: Any) -> Any:
    try:
        async with asyncio.timeout(limit / 1_000_000) as over:
            return await running("workflow.receive").receive(name, into)
    except TimeoutError:
        if not over.expired() or default is _RAISE:
            raise
        return default


class Signals:
    """The signals called `name`, one after the other: `async for note in workflow.signals("note", str): …`. It never ends by itself."""

    def __init__(self, name: str, into: Any = Any) -> None:
        running("workflow.signals")
        self._name, self._into = name, into

    def __aiter__(self) -> Signals:
        return self

    def __anext__(self) -> Awaitable[Any]:
        return running("workflow.signals").receive(self._name, self._into)


def on_signal(name: str, handler: Callable[[Any], Any], *, unfinished: str = "warn") -> None:
    """Call `handler` (sync or async) with each signal called `name`, those that already wait included, in order.

    Payloads are decoded into the annotation of its parameter; one that does not fit is dropped, with a line in the log. What it raises
    fails the run. `unfinished="abandon"`: the run may end before it is done without a warning.
    """
    running("workflow.on_signal").on_signal(name, handler, _abandons(unfinished))


def on_query(name: str, handler: Callable[..., Any]) -> None:
    """Answer the query `name` by calling `handler`, an ordinary function that may look but not act."""
    running("workflow.on_query").on_query(name, handler)


def on_update(name: str, handler: Callable[..., Any], *, validator: Callable[..., Any] | None = None, unfinished: str = "warn") -> None:
    """Let `handler` (sync or async) take updates called `name`: its caller gets what it returns, or the error it raises; the run goes on.

    `validator` is called first with the same arguments. It may look but not act, and refuses the update by raising, or by returning
    False: then nothing is recorded. `unfinished="abandon"`: the run may end before a handler is done without a warning.
    """
    running("workflow.on_update").on_update(name, handler, validator, _abandons(unfinished))


def send(id: str, name: str, payload: Any = None, *, run_id: str | None = None) -> Awaitable[None]:  # noqa: A002 - the word of the API
    """Send a signal to another run, or to this one: to the newest run of the id unless `run_id` names one.

    It arrives exactly once, and in the order sent. Done when the target has it in its history; raises RunNotFound or RunClosed where
    there is no run that takes it, InvalidName and InvalidPayload at the call.
    """
    return running("workflow.send").send(id, name, payload, run_id)


def wait_condition(predicate: Callable[[], object], *, timeout: Duration | None = None) -> Awaitable[None]:
    """Done once `predicate()` is true; it is asked again after each step and may look but not act. What it raises is raised here.

    Raises TimeoutError after `timeout`.
    """
    process = running("workflow.wait_condition")
    return process.wait_condition(predicate) if timeout is None else _within(predicate, micros(timeout))


async def _within(predicate: Callable[[], object], limit: int) -> None:
    async with asyncio.timeout(limit / 1_000_000):
        await running("workflow.wait_condition").wait_condition(predicate)


def all_handlers_finished() -> bool:
    """Whether no handler of a signal or an update is under way: `await workflow.wait_condition(workflow.all_handlers_finished)`."""
    return running("workflow.all_handlers_finished").all_handlers_finished


def current_update_info() -> UpdateInfo | None:
    """The update that the code running now belongs to, in its handler and in the tasks that makes; None elsewhere."""
    running("workflow.current_update_info")
    return current_update.get()


def _abandons(unfinished: str) -> bool:
    if unfinished not in ("warn", "abandon"):
        raise InvalidOption(f"unfinished={unfinished!r}; choose 'warn' or 'abandon'")
    return unfinished == "abandon"
