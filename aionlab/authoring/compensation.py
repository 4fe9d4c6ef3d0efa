"""Sagas: what is to be undone when a workflow does not come to its end.

    async with workflow.compensation() as undo:
        receipt = await charge(order)
        undo.add(refund, receipt)
        await ship(order)

When the block raises, cancellation included, what was added runs in reverse order, each once and after the other; then the error goes
on. Compensations are ordinary calls: activities are retried as they say and are recorded, so a crash half-way goes on where it was.
"""
from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from contextvars import ContextVar, Token
from functools import wraps
from types import TracebackType
from typing import Any

from aionlab.core.errors import CompensationFailed, NotInWorkflow
from aionlab.core.running import running

_ENDS = (Exception, asyncio.CancelledError, SystemExit, KeyboardInterrupt)
"""What undoes. A run that is dropped from memory, or continues as new, leaves the block by other exceptions: it has not failed."""
_open: ContextVar[Compensation | None] = ContextVar("aionlab_compensation", default=None)


class Compensation:
    """The open list of what to undo; made by `workflow.compensation()`."""

    __slots__ = ("_steps", "_token")

    def __init__(self) -> None:
        running("workflow.compensation")
        self._steps: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = []
        self._token: Token[Compensation | None] | None = None

    def add(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Call `fn(*args, **kwargs)` should the block fail; an activity, or any function, sync or async. The last added runs first."""
        if not callable(fn):
            raise TypeError(f"undo.add() takes a function and its arguments; {fn!r} is none" + (": do not call it yourself" if inspect.isawaitable(fn) else ""))
        self._steps.append((fn, args, kwargs))

    def clear(self) -> None:
        """Forget what was added: from here on there is no way back."""
        self._steps.clear()

    def __len__(self) -> int:
        return len(self._steps)

    async def __aenter__(self) -> Compensation:
        self._token = _open.set(self)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        assert self._token is not None
        _open.reset(self._token)
        if isinstance(error, _ENDS):
            await self._undo(error)
        return False

    async def _undo(self, error: BaseException) -> None:
        failed: list[Exception] = []
        while self._steps:
            fn, args, kwargs = self._steps.pop()
            try:
                outcome = fn(*args, **kwargs)
                if inspect.isawaitable(outcome):
                    await outcome
            except Exception as problem:  # noqa: BLE001 - the others are still to be undone; it is told with the rest
                failed.append(problem)
        if failed:
            raise CompensationFailed(tuple(failed)) from error


def add_compensation(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """`undo.add` of the innermost open compensation, which `@workflow.saga` opens around its function."""
    running("workflow.add_compensation")
    undo = _open.get()
    if undo is None:
        raise NotInWorkflow("workflow.add_compensation (put @workflow.saga on the workflow, or use `async with workflow.compensation() as undo`)")
    undo.add(fn, *args, **kwargs)


def compensated(fn: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Coroutine[Any, Any, Any]]:
    """The function within a compensation of its own."""

    @wraps(fn)
    async def saga(*args: Any, **kwargs: Any) -> Any:
        async with Compensation():
            return await fn(*args, **kwargs)

    return saga
