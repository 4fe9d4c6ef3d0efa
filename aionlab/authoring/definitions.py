"""Workflows and activities as values: a function, a name, and how it wants to be run.

Calling an activity inside a workflow asks the engine for it; anywhere else it is an ordinary call. A workflow is started through a lab.
"""
from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from copy import copy
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar, cast

from aionlab.core.clock import Micros
from aionlab.core.durations import Duration, micros
from aionlab.core.errors import InvalidOption, NotAWorkflow, NotInWorkflow
from aionlab.core.events import ActivityOptions
from aionlab.core.payload import hints_of
from aionlab.core.retry import RetryPolicy
from aionlab.core.running import ChildOptions, current

from .children import PLAIN, call_as_child, child_options
from .options import activity_options

P = ParamSpec("P")
R = TypeVar("R")


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
        self._options = PLAIN
        self._hints: Mapping[Any, Any] | None = None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        """In a workflow: start it as a child and await its result (see `workflow.start_child`); elsewhere it is started through a lab."""
        process = current.get()
        if process is None:
            raise NotAWorkflow(f"{self.name} is a workflow: start it with `%start {self.name}(…)` or lab.start({self.name}, …)")
        return call_as_child(process, self, args, kwargs)

    def with_options(
        self, *, id: str | None = None, parent_close: str | None = None, cancellation: str | None = None, deadline: Duration | None = None,  # noqa: A002
        memo: Any = None, search_attributes: Mapping[str, Any] | None = None,
    ) -> Workflow[P, R]:
        """The same workflow, asked for as a child with options: `await ship.with_options(id="ship-7")(order)`."""
        made = copy(self)
        made._options = child_options(
            self._options, id=id, parent_close=parent_close, cancellation=cancellation, deadline=deadline, memo=memo, search_attributes=search_attributes
        )
        return made

    @property
    def options(self) -> ChildOptions:
        """How it is asked for as a child; no part of its code, and so of no version."""
        return self._options

    @property
    def returns(self) -> Any:
        """The annotation results are decoded into; Any where there is none."""
        if self._hints is None:
            self._hints = hints_of(self.fn)
        return self._hints.get("return", Any)

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
        retry_if: Callable[[BaseException], object] | None = None,
    ) -> None:
        if fn is None and name is None:
            raise NotAWorkflow("an activity needs a function or a name")
        if fn is not None and (not callable(fn) or isinstance(fn, type) or not (name or hasattr(fn, "__name__"))):
            raise NotAWorkflow(f"@activity goes on a function; {fn!r} is none (give a callable object a name: activity(name=…)(it))")
        if fn is not None:
            update_wrapper(cast(Any, self), fn, updated=())
        self.fn = fn
        self.name: str = name or cast(Any, fn).__name__
        self.options = activity_options(options, run_in=run_in)
        self.run_in: str = self.options.run_in or ("async" if fn is not None and inspect.iscoroutinefunction(fn) else "thread")
        if retry_if is not None and not callable(retry_if):
            raise InvalidOption(f"retry_if={retry_if!r}; it is a function of the error that says whether to try again")
        self.retry_if = retry_if
        self._altered = False
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
        schedule_to_close: Duration | None = None, heartbeat: Duration | None = None, cancellation: str | None = None, queue: str | None = None,
        priority: int | None = None, dedup_id: str | None = None, on_duplicate: str | None = None, run_in: str | None = None, summary: str | None = None,
    ) -> Activity[P, R]:
        """The same activity, asked for with other options, which are those of `@activity`. Raises InvalidOption."""
        options = activity_options(
            self.options, retry=retry, start_to_close=start_to_close, timeout=timeout, schedule_to_close=schedule_to_close, heartbeat=heartbeat,
            cancellation=cancellation, queue=queue, priority=priority, dedup_id=dedup_id, on_duplicate=on_duplicate, run_in=run_in, summary=summary,
        )  # fmt: skip
        made = Activity(self.fn, self.name, options, None, self.signature, self.retry_if)
        made._altered = True
        return made

    @property
    def altered(self) -> bool:
        """Whether its options were given by `with_options`: a version keeps an activity by name, and its options with its definition."""
        return self._altered

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
