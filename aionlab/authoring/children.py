"""Children and continue-as-new, as workflow code asks for them.

A workflow called in a workflow is a child: `await ship(order)` starts it and awaits its result. `workflow.start_child` gives a handle at
once; `workflow.execute_child` is `start_child` and await in one, with options.
"""
from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from aionlab.core.durations import Duration, micros
from aionlab.core.errors import InvalidOption, NotAWorkflow
from aionlab.core.running import ChildHandle, ChildOptions, RunningProcess, running

if TYPE_CHECKING:
    from .definitions import Workflow

PARENT_CLOSE: Final = ("terminate", "request_cancel", "abandon")
CANCELLATION: Final = ("wait_completed", "try_cancel", "abandon")
PLAIN: Final = ChildOptions()


def child_options(
    base: ChildOptions = PLAIN, *, id: str | None = None, parent_close: str | None = None, cancellation: str | None = None,  # noqa: A002 - the word of the API
    deadline: Duration | None = None, memo: Any = None, search_attributes: Mapping[str, Any] | None = None,
) -> ChildOptions:
    """`base` with what is given. Raises InvalidOption."""
    if parent_close is not None and parent_close not in PARENT_CLOSE:
        raise InvalidOption(f"parent_close={parent_close!r}; choose one of {', '.join(PARENT_CLOSE)}")
    if cancellation is not None and cancellation not in CANCELLATION:
        raise InvalidOption(f"cancellation={cancellation!r}; choose one of {', '.join(CANCELLATION)}")
    length = None if deadline is None else micros(deadline)
    if length is not None and length <= 0:
        raise InvalidOption("a deadline lies in the future: give the length of time the child may take")
    return ChildOptions(
        base.id if id is None else id,
        parent_close or base.parent_close,
        cancellation or base.cancellation,
        base.deadline if length is None else length,
        base.memo if memo is None else memo,
        base.search_attributes if search_attributes is None else search_attributes,
    )


def start_child(
    workflow: Workflow[..., Any] | str, *args: Any, id: str | None = None, parent_close: str | None = None, cancellation: str | None = None,  # noqa: A002
    deadline: Duration | None = None, memo: Any = None, search_attributes: Mapping[str, Any] | None = None, **kwargs: Any,
) -> Coroutine[Any, Any, ChildHandle]:
    """Start a child and give its handle at once; await the handle for its result.

    `id` is the child's workflow id; without one it is made of this run's, the type and a number. `parent_close` says what becomes of
    the child when this run ends in whatever way, continue-as-new included: "terminate" (the default), "request_cancel" or "abandon".
    `cancellation` says what becomes of it when the code that waits for it is cancelled: "wait_completed" (the default) asks it to stop
    and waits until it has, "try_cancel" asks and goes on, "abandon" lets it be. `deadline` is a length of time from its start; it never
    reaches past this run's own. Arguments of the workflow that are called as these options are go through `ship.with_options(…)`.

    Awaiting the handle gives the result, from the last run where the child continues as new. It raises ChildWorkflowError where the child
    failed, timed out, was ended by somebody else, or could not start because its id is in use or nobody has defined it; and
    CancelledError where the child was asked to stop by this run, and did.
    """
    process = running("workflow.start_child")
    given = _Given(id, parent_close, cancellation, deadline, memo, search_attributes)
    return _started(process, workflow, args, kwargs, given)


def execute_child(
    workflow: Workflow[..., Any] | str, *args: Any, id: str | None = None, parent_close: str | None = None, cancellation: str | None = None,  # noqa: A002
    deadline: Duration | None = None, memo: Any = None, search_attributes: Mapping[str, Any] | None = None, **kwargs: Any,
) -> Coroutine[Any, Any, Any]:
    """Start a child and await its result; options and errors are those of `workflow.start_child`."""
    process = running("workflow.execute_child")
    given = _Given(id, parent_close, cancellation, deadline, memo, search_attributes)
    return _result(_started(process, workflow, args, kwargs, given))


class _Given(NamedTuple):
    """Options of one call, as given."""

    id: str | None = None
    parent_close: str | None = None
    cancellation: str | None = None
    deadline: Duration | None = None
    memo: Any = None
    search_attributes: Mapping[str, Any] | None = None


def _started(
    process: RunningProcess, workflow: Workflow[..., Any] | str, args: tuple[Any, ...], kwargs: Mapping[str, Any], given: _Given
) -> Coroutine[Any, Any, ChildHandle]:
    if isinstance(workflow, str):
        return process.start_child(workflow, args, kwargs, child_options(**given._asdict()), Any)
    if getattr(workflow, "aion_kind", None) != "workflow":
        raise NotAWorkflow(f"{workflow!r} is no workflow; put @workflow on an `async def`")
    workflow.signature.bind(*args, **kwargs)
    return process.start_child(workflow.name, args, kwargs, child_options(workflow.options, **given._asdict()), workflow.returns)


def call_as_child(process: RunningProcess, workflow: Workflow[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Coroutine[Any, Any, Any]:
    """`await ship(order)` in a workflow; arguments are checked and encoded at the call."""
    return _result(_started(process, workflow, args, kwargs, _Given()))


async def _result(started: Coroutine[Any, Any, ChildHandle]) -> Any:
    try:
        child = await started
    finally:
        started.close()
    return await child


def continue_as_new(
    *args: Any, workflow: Workflow[..., Any] | str | None = None, memo: Any = None, search_attributes: Mapping[str, Any] | None = None,
    deadline: Duration | None = None, **kwargs: Any,
) -> NoReturn:
    """End this run and go on as a new one, of the same workflow id, with a history of its own; never returns.

    The arguments are the new run's input. It runs `workflow` (this one where not given) in the version that new starts get, keeps the
    parent, who goes on waiting, and the memo and search attributes where none are given, and finds the signals this run has not taken.
    Its `deadline` is the length of time this run had, counted anew, where none is given; a parent's deadline holds for all runs.
    Children are not handed on: `parent_close` says what becomes of them. What raises is no Exception, so `except Exception` lets it pass.
    """
    process = running("workflow.continue_as_new")
    options = child_options(deadline=deadline, memo=memo, search_attributes=search_attributes)
    if workflow is not None and not isinstance(workflow, str):
        if getattr(workflow, "aion_kind", None) != "workflow":
            raise NotAWorkflow(f"{workflow!r} is no workflow; put @workflow on an `async def`")
        workflow.signature.bind(*args, **kwargs)
        workflow = workflow.name
    process.continue_as_new(args, kwargs, workflow, options)
