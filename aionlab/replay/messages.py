"""What a run does with messages beyond receiving them: handlers, updates, conditions, and signals on their way to other runs.

A process has one of these once its code has asked for any of it, and none before. Everything here is a function of the code and of the
facts delivered: conditions are looked at when a step has come to rest, first come, first served; an update's handler runs in the step
of its fact; what a handler returned is asked for as an answer, like anything else.
"""
from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from aionlab.core import errors
from aionlab.core import events as e
from aionlab.core.ids import RunId, WorkflowId
from aionlab.core.payload import hints_of
from aionlab.core.running import HandlerInfo, UpdateInfo, current_update

from .children import goes_on
from .loop import Callback, WorkflowFuture

if TYPE_CHECKING:
    from .process import Process

_LOG = logging.getLogger("aionlab.workflow")


class Handler(NamedTuple):
    """A function of the code's that takes messages of one name."""

    call: Callable[..., Any]
    validator: Callable[..., Any] | None = None
    abandon: bool = False
    """Whether the run may end before it is done without a word."""

    def into(self) -> Any:
        """The type its only argument is decoded into."""
        return hints_of(self.call).get(0, Any)


class Execution:
    """One use of a handler, from the fact that caused it until it is done."""

    __slots__ = ("begun", "handler", "kind", "name", "update_id")

    def __init__(self, kind: str, name: str, handler: Handler | None, update_id: str = "") -> None:
        self.kind, self.name, self.handler, self.update_id = kind, name, handler, update_id
        self.begun = False
        """Whether a signal's handler was called."""

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r}" + (f" ({self.update_id})" if self.update_id else "")


class Sending(WorkflowFuture):
    """A signal the code has sent to a run; done when that run has it."""

    __slots__ = ("name", "payload", "run_id", "send_id", "target")

    def __init__(self, process: Process, target: WorkflowId, name: str, payload: e.Payload, run_id: RunId | None) -> None:
        super().__init__(process)
        self.target, self.name, self.payload, self.run_id = target, name, payload, run_id
        self.send_id: int | None = None


class Messages:
    """Handlers, updates, conditions and sent signals of one process; each None until there is one."""

    __slots__ = ("_process", "conditions", "early", "executions", "queries", "sendings", "sent", "signals", "updates")

    def __init__(self, process: Process) -> None:
        self._process = process
        self.signals: dict[str, Handler] | None = None
        self.queries: dict[str, Handler] | None = None
        self.updates: dict[str, Handler] | None = None
        self.early: list[e.UpdateAccepted] | None = None
        """Updates that came before the first step, until it is over."""
        self.executions: dict[Execution, None] | None = None
        """Uses of handlers that are not done, in order."""
        self.conditions: dict[asyncio.Future[Any], Callable[[], object]] | None = None
        self.sendings: dict[int, Sending] | None = None
        self.sent = 0

    # --- signals --------------------------------------------------------------------------------------------------------

    def set_signal(self, name: str, handler: Handler) -> None:
        if self.signals is None:
            self.signals = {}
        self.signals[name] = handler

    def signal(self, name: str, handler: Handler, payload: e.Payload) -> None:
        """Call a handler with a signal, as soon as what is running now has come to its next await."""
        execution = self._begun("signal", name, handler)
        process = self._process
        process._ready.append(Callback(self._signalled, (execution, handler, payload), process, process._context))

    def _signalled(self, execution: Execution, handler: Handler, payload: e.Payload) -> None:
        process = self._process
        execution.begun = True
        try:
            value = process.opened(execution.name, payload, handler.into())
        except errors.InvalidPayload:
            self._done(execution)
            return
        try:
            outcome = handler.call(value)
            if inspect.iscoroutine(outcome):
                task = process.create_task(outcome, name=f"signal {execution.name}")
                task.add_done_callback(partial(self._signal_done, execution), context=process._context)
                return
        except BaseException as error:  # noqa: BLE001 - whatever a handler raises, sys.exit() included, fails the run
            process.fail(error)
        self._done(execution)

    def _signal_done(self, execution: Execution, task: asyncio.Task[Any]) -> None:
        self._done(execution)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._process.fail(error)

    # --- updates --------------------------------------------------------------------------------------------------------

    def set_update(self, name: str, handler: Handler) -> None:
        if self.updates is None:
            self.updates = {}
        self.updates[name] = handler
        for accepted in [early for early in self.early or () if early.name == name]:
            self.early.remove(accepted)  # type: ignore[union-attr]  # it has just given some
            self.begin(accepted)

    def accept(self, accepted: e.UpdateAccepted) -> None:
        """The fact; one that comes before the first step waits for its handler until that step is over."""
        if self._process.main is not None:
            self.begin(accepted)
        elif self.early is None:
            self.early = [accepted]
        else:
            self.early.append(accepted)

    def begin(self, accepted: e.UpdateAccepted) -> None:
        process, handler = self._process, (self.updates or {}).get(accepted.name)
        execution = self._begun("update", accepted.name, handler, accepted.update_id)
        process._ready.append(Callback(self._updated, (execution, accepted), process, process._context))

    def _updated(self, execution: Execution, accepted: e.UpdateAccepted) -> None:
        """Call the handler of an update. What it raises is the update's failure and not the run's."""
        process, handler = self._process, (self.updates or {}).get(accepted.name)
        try:
            if not accepted.checked or handler is None:
                handler = self.check(accepted.name, accepted.args)
        except errors.UpdateRejected as refused:
            self._complete(execution, error=refused.cause or refused, rejected=True)
            return
        context = process._context.copy()
        context.run(current_update.set, UpdateInfo(accepted.update_id, accepted.name))
        try:
            args, kwargs = process.values.decode_args(accepted.args, hints_of(handler.call))
            outcome = context.run(handler.call, *args, **kwargs)
            if inspect.iscoroutine(outcome):
                task = process.create_task(outcome, name=f"update {accepted.name}", context=context)
                task.add_done_callback(partial(self._update_done, execution), context=process._context)
                return
        except BaseException as error:  # noqa: BLE001 - the update's failure, sys.exit() included
            self._failed(execution, error)
            return
        self._complete(execution, outcome)

    def _update_done(self, execution: Execution, task: asyncio.Task[Any]) -> None:
        if task.cancelled():
            self._complete(execution, error=asyncio.CancelledError("the update's handler was cancelled"))
        elif (error := task.exception()) is not None:
            self._failed(execution, error)
        else:
            self._complete(execution, task.result())

    def _failed(self, execution: Execution, error: BaseException) -> None:
        """A handler raised: that is the answer, unless it lets the whole run go on as a new one."""
        if goes_on(error) is None:
            self._complete(execution, error=error)
        else:
            self._done(execution)
            self._process.fail(error)

    def _complete(self, execution: Execution, result: object = None, error: BaseException | None = None, rejected: bool = False) -> None:
        process = self._process
        payload = None
        if error is None:
            try:
                payload = process.values.encode(result, f"result of update {execution.name!r}")
            except errors.InvalidPayload as refused:
                error = refused
        failure = None if error is None else process.values.failure(error)
        self._done(execution)
        process._ask(e.UpdateCompleted(execution.update_id, payload, failure, rejected))

    def check(self, name: str, args: e.Payload) -> Handler:
        """The handler of an update that may be accepted now: there is one, the arguments fit, and its validator has nothing against them.

        Raises UpdateRejected.
        """
        process, known = self._process, self.updates or {}
        workflow_id, handler = process.info.workflow_id, known.get(name)
        if handler is None:
            raise errors.UpdateRejected(workflow_id, name, "no handler of this name is set", tuple(known))
        try:
            given, named = process.values.decode_args(args, hints_of(handler.call))
            signature = _signature(handler.call)
            if signature is not None:
                signature.bind(*given, **named)
        except Exception as error:
            raise errors.UpdateRejected(workflow_id, name, f"{type(error).__name__}: {error}", cause=error) from error
        if handler.validator is not None:
            try:
                said = process.look("an update's validator", partial(handler.validator, *given, **named))
                if inspect.isawaitable(said):
                    if inspect.iscoroutine(said):
                        said.close()
                    raise TypeError("its validator is async; a validator is an ordinary function")
            except BaseException as error:  # a validator refuses by raising, whatever it raises
                raise errors.UpdateRejected(workflow_id, name, f"{type(error).__name__}: {error}", cause=error) from error
            if said is False:
                raise errors.UpdateRejected(workflow_id, name, "its validator said no")
        return handler

    # --- signals to other runs ------------------------------------------------------------------------------------------

    def answer(self, sending: Sending) -> e.SignalSent | None:
        """The event of a signal the code sends; None when it was cancelled in the step that asked for it."""
        if sending.cancelled():
            return None
        number = sending.send_id = self.sent
        self.sent = number + 1
        if self.sendings is None:
            self.sendings = {}
        self.sendings[number] = sending
        info = self._process.info
        return e.SignalSent(number, sending.target, sending.name, sending.payload, f"{info.run_id}/{number}", sending.run_id)

    def acknowledge(self, fact: e.SignalDelivered | e.SignalUndelivered) -> None:
        sending = self.sendings.pop(fact.send_id, None) if self.sendings else None
        if sending is None or sending.done():
            return
        if isinstance(fact, e.SignalDelivered):
            sending.set_result(None)
        elif fact.status:
            sending.set_exception(errors.RunClosed(sending.target, fact.run_id or "", fact.status))
        else:
            sending.set_exception(errors.RunNotFound(sending.target, sending.run_id))

    # --- conditions -----------------------------------------------------------------------------------------------------

    async def condition(self, predicate: Callable[[], object]) -> None:
        if self._holds(predicate):
            return
        turn = self._process.create_future()
        if self.conditions is None:
            self.conditions = {}
        self.conditions[turn] = predicate
        try:
            await turn
        finally:
            self.conditions.pop(turn, None)

    def _holds(self, predicate: Callable[[], object]) -> bool:
        said = self._process.look("a condition", predicate)
        if inspect.iscoroutine(said):
            said.close()
            raise TypeError("the function of a condition is async; it is an ordinary function that looks at the workflow's own state")
        return bool(said)

    def settle(self) -> None:
        """The step has come to rest: refuse early updates nobody handles, and wake whoever waits for a condition that holds now, one at a
        time, each for as long as the step then takes. Around again until nothing more holds."""
        process = self._process
        if self.early and process.main is not None:
            for accepted in self.early:
                self.begin(accepted)
            self.early = None
            process.drain()
        moved = True
        while moved and self.conditions and not process.over:
            moved = False
            for turn, predicate in list(self.conditions.items()):
                if turn.done() or process.over:
                    continue
                try:
                    if not self._holds(predicate):
                        continue
                    turn.set_result(None)
                except BaseException as error:  # noqa: BLE001 - the awaiting code's error, as if it had called the function itself
                    turn.set_exception(RuntimeError(f"{type(error).__name__} in a condition") if isinstance(error, StopIteration) else error)
                process.drain()
                moved = True

    # --- uses of handlers -----------------------------------------------------------------------------------------------

    def _begun(self, kind: str, name: str, handler: Handler | None, update_id: str = "") -> Execution:
        execution = Execution(kind, name, handler, update_id)
        if self.executions is None:
            self.executions = {}
        self.executions[execution] = None
        return execution

    def _done(self, execution: Execution) -> None:
        if self.executions is not None:
            self.executions.pop(execution, None)

    @property
    def owes(self) -> bool:
        """Whether somebody outside waits for an update: the step in which the code ends is then run to its end."""
        return bool(self.early) or any(execution.kind == "update" for execution in self.executions or ())

    def warn(self) -> None:
        """Say which handlers the end of the run has cut short."""
        left = [str(execution) for execution in self.executions or () if not (execution.handler and execution.handler.abandon)]
        if left:
            _LOG.warning(
                "[%s] the run ended before these handlers were done: %s. Await workflow.wait_condition(workflow.all_handlers_finished) before the end, "
                "or set them with unfinished='abandon'", self._process.info.workflow_id, ", ".join(left),
            )  # fmt: skip

    def told(self) -> list[HandlerInfo]:
        """The handlers set, with what they take."""
        found = []
        for kind, handlers in (("signal", self.signals), ("query", self.queries), ("update", self.updates)):
            for name, handler in (handlers or {}).items():
                found.append(HandlerInfo(kind, name, _shown(handler.call), (inspect.getdoc(handler.call) or "").partition("\n")[0]))
        return found


def _signature(fn: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(fn)
    except (TypeError, ValueError):
        return None


def _shown(fn: Callable[..., Any]) -> str:
    """The signature as people read it: "(qty: int)"; empty where it is not known."""
    try:
        signature: inspect.Signature | None = inspect.signature(fn, eval_str=True)
    except Exception:  # noqa: BLE001 - an annotation of the user's that cannot be evaluated is shown as it is written
        signature = _signature(fn)
    return "" if signature is None else str(signature.replace(return_annotation=inspect.Signature.empty))
