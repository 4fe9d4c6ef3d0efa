"""Workflows and activities as values: a function, a name, and how it wants to be run.

Calling an activity inside a workflow asks the engine for it; anywhere else it is an ordinary call. A workflow is started through a lab.
"""
from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar, cast

from aionlab.core.clock import Micros
from aionlab.core.durations import Duration, micros
from aionlab.core.errors import InvalidOption, NotAWorkflow, NotInWorkflow
from aionlab.core.events import ActivityOptions
from aionlab.core.payload import hints_of
from aionlab.core.retry import RetryPolicy
from aionlab.core.running import current

P = ParamSpec("P")
R = TypeVar("R")

_RUN_IN = ("thread", "async", "process")


class Workflow(Generic[P, R]):
    """A durable workflow: `fn` is the bare `async` function."""

    aion_kind = "workflow"

    def __init__(
        self, fn: Callable[P, Coroutine[Any, Any, R]], name: str | None = None, deadline: Duration | None = None, saga: bool = False
    ) -> None:
        label = getattr(fn, "__name__", repr(fn))
        if not callable(fn):
            raise NotAWorkflow(f"@workflow goes on a function; {fn!r} is none")
        if inspect.isasyncgenfunction(fn):
            raise NotAWorkflow(f"{label} yields; a workflow returns its result instead")
        if not inspect.iscoroutinefunction(fn):
            raise NotAWorkflow(f"{label} is a plain function; make it `async def {label}(…)`")
        if not (name or hasattr(fn, "__name__")):
            raise NotAWorkflow(f"{fn!r} has no name of its own: workflow(name=…)(it)")
        update_wrapper(cast(Any, self), fn, updated=())
        self.fn = fn
        self.name: str = name or fn.__name__
        self.deadline: Micros | None = None if deadline is None else micros(deadline)
        self.saga: bool | None = saga or None
        """True when a compensation is open around the whole function; None, which no version records, where it is not."""
        self.signature = inspect.signature(fn)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        if current.get() is None:
            raise NotAWorkflow(f"{self.name} is a workflow: start it with `%start {self.name}(…)` or lab.start({self.name}, …)")
        raise NotAWorkflow(f"{self.name} is a workflow, and child workflows cannot be started yet: await its function, {self.name}.fn(…), or start it from a cell")

    def __repr__(self) -> str:
        return f"<workflow {self.name}>"


class Activity(Generic[P, R]):
    """A side effect that is recorded: `fn` is the bare function, sync or async; None in a reference known by name alone."""

    aion_kind = "activity"

    def __init__(
        self,
        fn: Callable[P, R] | None,
        name: str | None = None,
        options: ActivityOptions = ActivityOptions(),
        run_in: str | None = None,
        signature: inspect.Signature | None = None,
    ) -> None:
        if fn is None and name is None:
            raise NotAWorkflow("an activity needs a function or a name")
        if fn is not None and (not callable(fn) or isinstance(fn, type) or not (name or hasattr(fn, "__name__"))):
            raise NotAWorkflow(f"@activity goes on a function; {fn!r} is none (give a callable object a name: activity(name=…)(it))")
        if fn is not None:
            update_wrapper(cast(Any, self), fn, updated=())
        self.fn = fn
        self.name: str = name or cast(Any, fn).__name__
        self.options = options
        own = "async" if fn is not None and inspect.iscoroutinefunction(fn) else "thread"
        if run_in is not None:
            if run_in not in _RUN_IN:
                raise InvalidOption(f"run_in={run_in!r}; choose one of {', '.join(_RUN_IN)}")
            self.options = replace(options, run_in="" if run_in in ("thread", "async") else run_in)
        self.run_in: str = self.options.run_in or own
        self.signature = signature or (inspect.signature(fn) if fn is not None else None)
        self._fewest, self._most = _positional(self.signature)
        self._hints: Mapping[Any, Any] | None = None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Awaitable[Any]:
        process = current.get()
        if process is None:
            if self.fn is None:
                raise NotInWorkflow(f"activity {self.name} is known by name only here; calling it")
            return cast("Awaitable[Any]", self.fn(*args, **kwargs))
        if self.signature is not None and (kwargs or not self._fewest <= len(args) <= self._most):
            self.signature.bind(*args, **kwargs)
        return process.perform(self.name, args, kwargs, self.options, self._returns())

    def with_options(
        self, *, retry: RetryPolicy | int | None = None, start_to_close: Duration | None = None, timeout: Duration | None = None,
        queue: str | None = None,
    ) -> Activity[P, R]:
        """The same activity, asked for with other options."""
        options = activity_options(self.options, retry, start_to_close, timeout, queue)
        return Activity(self.fn, self.name, options, self.run_in, self.signature)

    def _returns(self) -> Any:
        """The annotation results are decoded into; Any where there is none."""
        if self._hints is None:
            if self.fn is not None:
                self._hints = hints_of(self.fn)
            else:
                declared = inspect.Signature.empty if self.signature is None else self.signature.return_annotation
                self._hints = {} if declared is inspect.Signature.empty or isinstance(declared, str) else {"return": declared}
        return self._hints.get("return", Any)

    def __repr__(self) -> str:
        return f"<activity {self.name}>"


def _positional(signature: inspect.Signature | None) -> tuple[int, int]:
    """(fewest, most) arguments that fit by position alone; (1, 0) where only `bind` can tell."""
    if signature is None:
        return 1, 0
    parameters = list(signature.parameters.values())
    if any(p.kind not in (p.POSITIONAL_OR_KEYWORD, p.POSITIONAL_ONLY) for p in parameters):
        return 1, 0
    return sum(p.default is p.empty for p in parameters), len(parameters)


def activity_options(
    base: ActivityOptions, retry: RetryPolicy | int | None, start_to_close: Duration | None, timeout: Duration | None, queue: str | None
) -> ActivityOptions:
    """`base` with what is given; `retry=3` stands for three attempts, `timeout` for `start_to_close`."""
    if start_to_close is not None and timeout is not None:
        raise InvalidOption("timeout= is another name of start_to_close=; give one of them")
    length = start_to_close if start_to_close is not None else timeout
    if retry is not None:
        if isinstance(retry, bool) or not isinstance(retry, RetryPolicy | int):
            raise InvalidOption(f"retry={retry!r}; write Retry(…) or a number of attempts")
        if isinstance(retry, int):
            if retry < 1:
                raise InvalidOption(f"retry={retry}; it counts attempts in all, so at least 1")
            retry = RetryPolicy(max_attempts=retry)
        base = replace(base, retry=retry)
    if length is not None:
        if not micros(length):
            raise InvalidOption("start_to_close must be longer than 0")
        base = replace(base, start_to_close=micros(length))
    if queue is not None:
        base = replace(base, queue=queue)
    return base
