"""Children as a run's code holds them: asked for, numbered at the end of the step, awaited, asked to stop; and continue-as-new.

A child that is asked for and no longer wanted within one step leaves no trace. The run's own end leaves the children it asked for in
that step recorded, before the end: what becomes of them is what `parent_close` says.
"""
from __future__ import annotations

import hashlib
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from aionlab.core import errors
from aionlab.core import events as e
from aionlab.core.ids import RunId, WorkflowId
from aionlab.core.names import CHARACTERS
from aionlab.core.running import ChildOptions

from .loop import WorkflowFuture

if TYPE_CHECKING:
    from .process import Process, Values

_ROOM = CHARACTERS - 40
"""Characters of a child's default id before its digest, where the whole would be too long."""


class ContinueAsNew(BaseException):
    """Raised by `workflow.continue_as_new`; what `except Exception` does not stop ends the run, which goes on as a new one."""

    def __init__(self, event: e.WorkflowContinuedAsNew) -> None:
        super().__init__("this run continues as new")
        self.event = event


class ChildFuture(WorkflowFuture):
    """A child the code has asked for: a future of its result, with its ids.

    Cancelling it asks the child to stop; with `cancellation="wait_completed"` it is done when the child has ended, otherwise at once.
    """

    __slots__ = ("cancel_asked", "child_id", "dropped", "id", "request", "returns", "run_id")

    def __init__(self, process: Process, request: e.ChildWorkflowStarted, returns: Any) -> None:
        super().__init__(process)
        self.request, self.returns = request, returns
        self.id: WorkflowId = request.child_workflow_id
        """The child's workflow id."""
        self.run_id: RunId | None = None
        """The child's run, from the first wait on: None in the step that asked."""
        self.child_id: int | None = None
        self.dropped = self.cancel_asked = False

    def cancel(self, msg: Any = None) -> bool:
        if self.done():
            return False
        process: Any = self.get_loop()
        if process.closing:
            return super().cancel(msg)
        process._may_ask()
        how = self.request.cancellation
        if self.child_id is None:
            self.dropped = True
        elif how != "abandon" and not self.cancel_asked:
            self.cancel_asked = True
            process._ask(e.ChildWorkflowCancelRequested(self.child_id))
        return how == "wait_completed" and not self.dropped or super().cancel(msg)

    def signal(self, name: str, payload: Any = None) -> Coroutine[Any, Any, None]:
        """Send the child a signal; awaited, it returns once that is recorded here."""
        process: Any = self.get_loop()
        sent: Coroutine[Any, Any, None] = process.send(self.id, name, payload)
        return sent

    def __repr__(self) -> str:
        state = "ended" if self.done() else "open"
        return f"<child {self.request.workflow_type} {self.id} ({state})>"


class Children:
    """The children of one run. Made with the first one, or with a run that is not the first of its workflow id: the default ids of its
    children must not be those of the runs before, whose `mark` is another."""

    __slots__ = ("asked", "count", "mark", "open")

    def __init__(self, mark: str = "") -> None:
        self.mark = mark
        self.asked = 0
        """Ids given, those of children that were dropped again included."""
        self.count = 0
        """Children recorded."""
        self.open: dict[int, ChildFuture] = {}

    def ask(
        self, process: Process, workflow_type: str, payload: e.Payload, options: ChildOptions, memo: str | None, attributes: str | None, returns: Any
    ) -> ChildFuture:
        """A child that is wanted; its id is known now."""
        name = options.id or self._default_id(process, workflow_type)
        self.asked += 1
        request = e.ChildWorkflowStarted(
            -1, WorkflowId(name), workflow_type, payload, named=options.id is not None, parent_close=options.parent_close,
            cancellation=options.cancellation, deadline=options.deadline, memo=memo, search_attributes=attributes,
        )  # fmt: skip
        return ChildFuture(process, request, returns)

    def _default_id(self, process: Process, workflow_type: str) -> str:
        """PARENT/TYPE-n; a parent that is not the first run of its workflow id adds something of its own."""
        info = process.info
        name = f"{info.workflow_id}/{workflow_type}-{self.asked}"
        if self.mark:
            name += f"-{_digest(self.mark)}"
        if len(name) <= CHARACTERS and len(name.encode()) <= CHARACTERS:
            return name
        whole = f"{name}\n{info.run_id}"
        return f"{name.encode()[:_ROOM].decode(errors='ignore')}-{_digest(whole, 12)}"

    def number(self, child: ChildFuture) -> e.ChildWorkflowStarted | None:
        """The request as an answer, at the end of the step; None when it is no longer wanted."""
        if child.dropped:
            return None
        number = child.child_id = self.count
        self.count = number + 1
        self.open[number] = child
        asked = child.request
        child.request = e.ChildWorkflowStarted(
            number, asked.child_workflow_id, asked.workflow_type, asked.input, named=asked.named, parent_close=asked.parent_close,
            cancellation=asked.cancellation, deadline=asked.deadline, memo=asked.memo, search_attributes=asked.search_attributes,
        )  # fmt: skip
        return child.request

    def recorded(self, event: e.ChildWorkflowStarted) -> None:
        """What the record gave the child."""
        child = self.open.get(event.child_id)
        if child is not None:
            child.id, child.run_id = event.child_workflow_id, event.child_run_id

    def end(self, fact: e.ChildEnd, values: Values) -> None:
        """A child ended: whoever waits gets its result or a ChildWorkflowError, or CancelledError where it was asked to stop and did."""
        child = self.open.pop(fact.child_id, None)
        if child is None or child.done():
            return
        if fact.child_run_id is not None:
            child.run_id = fact.child_run_id
        if isinstance(fact, e.ChildWorkflowCompleted):
            try:
                child.set_result(values.decode(fact.result, child.returns))
            except Exception as error:  # noqa: BLE001 - a result that does not fit the annotation is the awaiting code's error
                child.set_exception(error)
        elif child.cancel_asked and isinstance(fact, e.ChildWorkflowCancelled | e.ChildWorkflowTerminated):
            WorkflowFuture.cancel(child)
        else:
            child.set_exception(_error(child, fact, values))


def _error(child: ChildFuture, fact: e.ChildEnd, values: Values) -> errors.ChildWorkflowError:
    name, workflow_id, run_id = child.request.workflow_type, str(child.id), str(child.run_id or "")
    match fact:
        case e.ChildWorkflowFailed(error=failure):
            inner = failure
            while inner.cause is not None and inner.type.endswith(":ChildWorkflowError"):
                inner = inner.cause
            return errors.ChildWorkflowError(name, workflow_id, f"{inner.name}: {inner.message}", failure, values.error(failure))
        case e.ChildWorkflowCancelled(reason=reason):
            cause: errors.OutcomeError = errors.WorkflowCancelledError(workflow_id, run_id, reason or "")
        case e.ChildWorkflowTerminated(reason=reason, details=details):
            cause = errors.WorkflowTerminatedError(workflow_id, run_id, reason or "", details)
        case _:
            cause = errors.WorkflowTimedOutError(workflow_id, run_id)
    return errors.ChildWorkflowError(name, workflow_id, str(cause), None, cause)


def _digest(text: str, size: int = 4) -> str:
    return hashlib.blake2b(text.encode(), digest_size=size).hexdigest()


def goes_on(error: BaseException | None) -> e.WorkflowContinuedAsNew | None:
    """What the run goes on as, where this is how its code asked for it, in a task group of its own too."""
    while isinstance(error, BaseExceptionGroup):
        within = [each for each in error.exceptions if goes_on(each) is not None]
        error = within[0] if within else None
    return error.event if isinstance(error, ContinueAsNew) else None


def unwrapped(error: BaseException) -> BaseException:
    """The one error in a group of one, as task groups raise it, or the error itself."""
    inner = error
    while isinstance(inner, BaseExceptionGroup) and len(inner.exceptions) == 1:
        inner = inner.exceptions[0]
    return inner
