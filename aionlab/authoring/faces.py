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

from aionlab.core.attempting import NOTHING, ActivityInfo, RunningAttempt, attempting
from aionlab.core.durations import Duration, micros
from aionlab.core.errors import NotInActivity
from aionlab.core.events import ActivityOptions
from aionlab.core.retry import RetryPolicy
from aionlab.core.running import Info, current, running

from . import children, concurrency, messages
from .compensation import Compensation, add_compensation
from .definitions import Activity, Workflow
from .options import activity_options
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

    start_child = staticmethod(children.start_child)
    execute_child = staticmethod(children.execute_child)
    continue_as_new = staticmethod(children.continue_as_new)

    receive = staticmethod(messages.receive)
    signals = staticmethod(messages.Signals)
    send = staticmethod(messages.send)
    wait_condition = staticmethod(messages.wait_condition)
    all_handlers_finished = staticmethod(messages.all_handlers_finished)
    current_update_info = staticmethod(messages.current_update_info)
    on_signal = staticmethod(messages.on_signal)
    on_query = staticmethod(messages.on_query)
    on_update = staticmethod(messages.on_update)

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

    def last_result(self, into: Any = Any, *, default: Any = None) -> Any:
        """What the newest completed run of this run's schedule returned, decoded into the type `into`; `default` where none had completed
        when this run was started, and in runs that no schedule started. Recorded with the start, so the same on every replay."""
        return running("workflow.last_result").last_result(into, default)

    def set_details(self, markdown: str) -> None:
        """What the run's card says about where it stands: Markdown, shown while it runs and after; not recorded, replay says it again."""
        running("workflow.set_details").set_details(check_summary(markdown, 20_000))

    def upsert_search_attributes(self, **attributes: Any) -> None:
        """Set search attributes of this run (None removes one); each must be registered with the lab."""
        running("workflow.upsert_search_attributes").upsert(attributes)

    def patched(self, patch_id: str) -> bool:
        """Whether this run takes the new way: `if workflow.patched("new-tax"): …new… else: …old…`.

        True in runs that come here first with this code, which records the patch; False in runs that were past this place before. The
        first answer holds for the whole run, in loops and on every replay.
        """
        return running("workflow.patched").patched(patch_id)

    def deprecate_patch(self, patch_id: str) -> None:
        """In place of `patched` once no open run is without the patch: runs with its mark and runs without both go on. Remove it
        when no open run has the mark."""
        running("workflow.deprecate_patch").deprecate_patch(patch_id)

    def upsert_memo(self, **memo: Any) -> None:
        """Add names to this run's memo, which `describe()` shows and `workflow.info().memo` gives; None removes one."""
        running("workflow.upsert_memo").upsert_memo(memo)

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
        """Ids, type, version and start time of this run, its parent and its place in a chain of continue-as-new, its deadline and memo."""
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
    "update": "`workflow.on_update(name, handler, validator=…)`",
    "get_external_workflow_handle": "`await workflow.send(id, name, payload)`",
    "execute_child_workflow": "call the workflow: `await ship(order)`",
    "start_child_workflow": "`child = await workflow.start_child(ship, order)`",
    "unsafe": "there is no sandbox to pass through",
}
_LOG = logging.getLogger("aionlab.workflow")


class _ReplaySafe(logging.LoggerAdapter[logging.Logger]):
    def isEnabledFor(self, level: int) -> bool:
        return not running("workflow.logger").replaying and super().isEnabledFor(level)

    def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
        return f"[{running('workflow.logger').info.workflow_id}] {msg}", kwargs


class ActivityFace:
    """`@activity` and `@activity(retry=…, start_to_close=…)`; inside an activity, `activity.info()` and its sisters."""

    @overload
    def __call__(self, fn: Callable[P, R], /) -> Activity[P, R]: ...
    @overload
    def __call__(
        self, /, *, name: str | None = None, retry: RetryPolicy | int | None = None, start_to_close: Duration | None = None,
        timeout: Duration | None = None, schedule_to_close: Duration | None = None, heartbeat: Duration | None = None,
        cancellation: str | None = None, queue: str | None = None, priority: int | None = None, dedup_id: str | None = None,
        on_duplicate: str | None = None, run_in: str | None = None, summary: str | None = None, retry_if: Callable[[BaseException], object] | None = None,
    ) -> Callable[[Callable[P, R]], Activity[P, R]]: ...
    def __call__(
        self, fn: Any = None, /, *, name: str | None = None, retry: RetryPolicy | int | None = None, start_to_close: Duration | None = None,
        timeout: Duration | None = None, schedule_to_close: Duration | None = None, heartbeat: Duration | None = None,
        cancellation: str | None = None, queue: str | None = None, priority: int | None = None, dedup_id: str | None = None,
        on_duplicate: str | None = None, run_in: str | None = None, summary: str | None = None, retry_if: Callable[[BaseException], object] | None = None,
    ) -> Any:
        """Make an activity of a function, sync (run in a thread) or async (run on the engine's asyncio thread).

        `retry` is a policy or a number of attempts in all (one when not given); `retry_if(error)` says whether an error is worth another
        attempt at all. `start_to_close` (or `timeout`) limits each attempt, `schedule_to_close` all of them with the waits between,
        `heartbeat` the time between two calls of `activity.heartbeat()`.

        `cancellation` says what happens when the workflow no longer wants it: "try_cancel" tells the attempt and goes on at once,
        "wait_completed" tells it and waits for what comes of it, "abandon" goes on and leaves it running.

        `queue` names the queue (`lab.register_queue`) whose limits hold for it, where `priority` 0 comes first, then 1, 2, …; of a
        `dedup_id` one activity at a time is open in a queue: another is refused, or gets its result with `on_duplicate="return_existing"`.
        `run_in="process"` gives each attempt a process of its own. `summary` is one line for people. Raises InvalidOption.
        """
        if fn is not None:
            return Activity(fn)
        options = activity_options(
            ActivityOptions(), retry=retry, start_to_close=start_to_close, timeout=timeout, schedule_to_close=schedule_to_close, heartbeat=heartbeat,
            cancellation=cancellation, queue=queue, priority=priority, dedup_id=dedup_id, on_duplicate=on_duplicate, summary=summary,
        )  # fmt: skip
        return lambda function: Activity(function, name=name, options=options, run_in=run_in, retry_if=retry_if)

    def info(self) -> ActivityInfo:
        """What this attempt may know of itself: ids, its number, limits, what the attempt before it said, an idempotency token.

        Raises NotInActivity where no attempt is running; an activity called outside of a workflow is an ordinary call.
        """
        return ActivityInfo(_attempt("activity.info()"))

    def heartbeat(self, details: Any = NOTHING) -> None:
        """Say that this attempt is alive; `details` reach the next attempt, should this one fail or be lost (`activity.info().heartbeat_details`).

        Cheap: call it as often as you like. Raises CancelledError, once, when nobody waits for the attempt any more, InvalidPayload
        for details that cannot be recorded. Outside of a workflow it does nothing.
        """
        running = attempting.get()
        if running is None and current.get() is not None:
            raise NotInActivity("activity.heartbeat()")
        if running is not None:
            running.heartbeat(details)

    def is_cancelled(self) -> bool:
        """Whether nobody waits for this attempt any more; False outside of a workflow."""
        running = attempting.get()
        return running is not None and running.cancelled

    def wait_cancelled(self, timeout: Duration | None = None) -> bool:
        """Wait in a sync activity until nobody waits for it any more, `timeout` at most; whether that came. Raises NotInActivity."""
        return _attempt("activity.wait_cancelled()").wait_cancelled(None if timeout is None else micros(timeout) / 1_000_000)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError("activity.defn: put @activity on the function" if name == "defn" else f"activity has no {name!r}")

    def __repr__(self) -> str:
        return "<aionlab.activity>"


def _attempt(what: str) -> RunningAttempt:
    """The attempt whose code is calling."""
    running = attempting.get()
    if running is None:
        raise NotInActivity(what)
    return running


workflow = WorkflowFace()
activity = ActivityFace()
