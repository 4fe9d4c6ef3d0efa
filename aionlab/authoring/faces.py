"""`workflow` and `activity` as authors import them: decorators that also carry the primitives of workflow code.

Control leaves user code here and nowhere else. Every primitive asks the run that is being stepped (`core.running`); outside of one it
raises NotInWorkflow.
"""
from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, ParamSpec, TypeVar, overload

from aionlab.core.durations import Duration, micros
from aionlab.core.events import ActivityOptions
from aionlab.core.retry import RetryPolicy
from aionlab.core.running import Info, running

from . import concurrency
from .compensation import Compensation, add_compensation
from .definitions import Activity, Workflow, activity_options
from .sleeping import check_summary, summarised_sleep

P = ParamSpec("P")
R = TypeVar("R")
_RAISE: Any = object()


class WorkflowFace:
    """`@workflow`, `@workflow(deadline="7d")`, and `workflow.receive(…)` with its sisters."""

    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> Workflow[P, R]: ...
    @overload
    def __call__(
        self, /, *, name: str | None = None, deadline: Duration | None = None
    ) -> Callable[[Callable[P, Coroutine[Any, Any, R]]], Workflow[P, R]]: ...
    def __call__(self, fn: Any = None, /, *, name: str | None = None, deadline: Duration | None = None) -> Any:
        """Make a workflow of an `async` function. `deadline` is a length of time from the start of a run."""
        if fn is not None:
            return Workflow(fn)
        return lambda function: Workflow(function, name=name, deadline=deadline)

    async def receive(self, name: str, into: Any = Any, *, timeout: Duration | None = None, default: Any = _RAISE) -> Any:
        """The next signal called `name`, decoded into the type `into`; signals wait in order until they are received.

        After `timeout` it returns `default`, or raises TimeoutError when there is no default; it then consumes nothing.
        """
        process = running("workflow.receive")
        if timeout is None:
            return await process.receive(name, into)
        try:
            async with asyncio.timeout(micros(timeout) / 1_000_000) as limit:
                return await process.receive(name, into)
        except TimeoutError:
            if not limit.expired() or default is _RAISE:
                raise
            return default

    async def sleep(self, duration: Duration, *, summary: str | None = None) -> None:
        """Sleep durably; `asyncio.sleep(seconds)` is the same with seconds. `summary` is recorded with the timer, for those who look."""
        running("workflow.sleep")
        if summary is None:
            await asyncio.sleep(micros(duration) / 1_000_000)
        else:
            await summarised_sleep(micros(duration), check_summary(summary))

    gather = staticmethod(concurrency.gather)
    settled = staticmethod(concurrency.settled)
    race = staticmethod(concurrency.race)
    map = staticmethod(concurrency.map)
    wait = staticmethod(concurrency.wait)
    as_completed = staticmethod(concurrency.as_completed)

    compensation = Compensation
    add_compensation = staticmethod(add_compensation)

    @overload
    def saga(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> Workflow[P, R]: ...
    @overload
    def saga(
        self, /, *, name: str | None = None, deadline: Duration | None = None
    ) -> Callable[[Callable[P, Coroutine[Any, Any, R]]], Workflow[P, R]]: ...
    def saga(self, fn: Any = None, /, **options: Any) -> Any:
        """`@workflow` with the whole function in a `workflow.compensation()`; `workflow.add_compensation(refund, receipt)` adds to it."""
        if fn is not None:
            return Workflow(fn, saga=True)
        return lambda function: Workflow(function, saga=True, **options)

    def set_details(self, markdown: str) -> None:
        """What the run's card says about where it stands: Markdown, shown while it runs and after; not recorded, replay says it again."""
        running("workflow.set_details").set_details(check_summary(markdown, 20_000))

    def on_signal(self, name: str, handler: Callable[..., Any]) -> None:
        """Call `handler` (sync or async) with each signal called `name`, those that already wait included, in order."""
        running("workflow.on_signal").on_signal(name, handler)

    def on_query(self, name: str, handler: Callable[..., Any]) -> None:
        """Answer the query `name` by calling `handler`, which may look but not act."""
        running("workflow.on_query").on_query(name, handler)

    def upsert_search_attributes(self, **attributes: Any) -> None:
        """Set search attributes of this run (None removes one); each must be registered with the lab."""
        running("workflow.upsert_search_attributes").upsert(attributes)

    def now(self) -> datetime:
        """When the last event this code has consumed was recorded, in UTC; the same on every replay."""
        return datetime.fromtimestamp(running("workflow.now").now() / 1_000_000, UTC)

    def random(self) -> random.Random:
        """This run's own random stream, the same on every replay."""
        return running("workflow.random").random

    def uuid4(self) -> uuid.UUID:
        """A UUID drawn from this run's random stream."""
        return uuid.UUID(int=running("workflow.uuid4").random.getrandbits(128), version=4)

    def info(self) -> Info:
        """Ids, type, version and start time of this run."""
        return running("workflow.info").info

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger that is silent while the code is being replayed."""
        return _ReplaySafe(_LOG, {})

    def __getattr__(self, name: str) -> Any:
        hint = _TEMPORAL_HABITS.get(name)
        raise AttributeError(f"workflow.{name}: {hint}" if hint else f"workflow has no {name!r}; see dir(workflow)")

    def __repr__(self) -> str:
        return "<aionlab.workflow>"


_TEMPORAL_HABITS = {
    "defn": "a workflow is a function: put @workflow on an `async def`",
    "run": "a workflow is a function: put @workflow on an `async def`",
    "execute_activity": "call the activity: `await charge(order)`",
    "start_activity": "call the activity: `asyncio.create_task(charge(order))`",
    "signal": "`await workflow.receive(name)` or `workflow.on_signal(name, handler)`",
    "query": "`workflow.on_query(name, handler)`",
    "unsafe": "there is no sandbox to pass through",
}
_LOG = logging.getLogger("aionlab.workflow")


class _ReplaySafe(logging.LoggerAdapter[logging.Logger]):
    def isEnabledFor(self, level: int) -> bool:
        return not running("workflow.logger").replaying and super().isEnabledFor(level)

    def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
        return f"[{running('workflow.logger').info.workflow_id}] {msg}", kwargs


class ActivityFace:
    """`@activity` and `@activity(retry=…, start_to_close=…)`."""

    @overload
    def __call__(self, fn: Callable[P, R], /) -> Activity[P, R]: ...
    @overload
    def __call__(
        self, /, *, name: str | None = None, retry: RetryPolicy | int | None = None, start_to_close: Duration | None = None,
        timeout: Duration | None = None, queue: str | None = None, run_in: str | None = None,
    ) -> Callable[[Callable[P, R]], Activity[P, R]]: ...
    def __call__(
        self, fn: Any = None, /, *, name: str | None = None, retry: RetryPolicy | int | None = None,
        start_to_close: Duration | None = None, timeout: Duration | None = None, queue: str | None = None, run_in: str | None = None,
    ) -> Any:
        """Make an activity of a function, sync (run in a thread) or async (run on the engine's asyncio thread).

        `retry` is a policy or a number of attempts in all (one when not given); `start_to_close` limits each attempt.
        """
        if fn is not None:
            return Activity(fn)
        options = activity_options(ActivityOptions(), retry, start_to_close, timeout, queue)
        return lambda function: Activity(function, name=name, options=options, run_in=run_in)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError("activity.defn: put @activity on the function" if name == "defn" else f"activity has no {name!r}")

    def __repr__(self) -> str:
        return "<aionlab.activity>"


workflow = WorkflowFace()
activity = ActivityFace()
