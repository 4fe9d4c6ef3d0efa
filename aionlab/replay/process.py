"""One run's code in motion: facts in, answers out.

A *step* delivers one fact, runs the loop to quiescence and returns, in the order asked, the events of what the code asked for and
still wants. What is asked and cancelled within one step leaves no trace; what is cancelled in a later step is recorded, and so is its
cancellation. Ordinals are given at the end of the step, skipping what was dropped: history is a function of the code and of the
order of facts, never of how facts were batched.

A process knows nothing of stores, engines or other runs.
"""
from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import random
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, NamedTuple, NoReturn, Protocol, TypeVar

from aionlab.core import errors
from aionlab.core import events as e
from aionlab.core.clock import Micros
from aionlab.core.errors import shorten
from aionlab.core.failure import Failure, earlier_errors
from aionlab.core.ids import RunId, WorkflowId
from aionlab.core.jsontext import loads
from aionlab.core.names import check_name
from aionlab.core.payload import hints_of
from aionlab.core.running import ChildOptions, HandlerInfo, Info, current

from .children import ChildFuture, Children, ContinueAsNew, goes_on, unwrapped
from .loop import Callback, DurableTimer, RunDropped, WorkflowFuture, WorkflowLoop, WorkflowTask
from .mailbox import Boxes, Mailbox, box_named, boxes_of, with_box
from .messages import Handler, Messages, Sending
from .where import asked_here, awaited_at

T = TypeVar("T")
_LOG = logging.getLogger("aionlab.workflow")


class Values(Protocol):
    """How values and errors cross between code and record; `core.payload.Converter` and `core.failure` together."""

    def encode(self, value: object, where: str = "value") -> e.Payload: ...
    def decode(self, payload: e.Payload, into: Any = Any) -> Any: ...
    def encode_args(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], where: str = "input") -> e.Payload: ...
    def decode_args(self, payload: e.Payload, hints: Any = None) -> tuple[tuple[Any, ...], dict[str, Any]]: ...
    def failure(self, error: BaseException) -> Failure: ...
    def error(self, failure: Failure) -> BaseException: ...


class Code(NamedTuple):
    """What a process runs: a version's function and the ways its values are encoded."""

    workflow_type: str
    version: str
    function: Callable[..., Coroutine[Any, Any, Any]]
    hints: Any
    """Types of its parameters, as `core.payload.hints_of` gives them."""
    values: Values
    deadline: Micros | None = None
    """Length of time its runs may take, where the author declared one."""


class Blocked(NamedTuple):
    """One thing a run waits for."""

    what: str
    """"signal 'approval'", "activity charge#0", "timer 2"."""
    source: str
    """"file:line" of the user's await, or empty."""


class Patches:
    """What a run was told of patches: those its history has, and each answer, which never changes again."""

    __slots__ = ("answers", "recorded")

    def __init__(self, recorded: frozenset[str]) -> None:
        self.recorded = recorded
        self.answers: dict[str, bool] = {}


class ActivityFuture(WorkflowFuture):
    """An activity the code has asked for."""

    __slots__ = ("activity_id", "activity_type", "dropped", "input", "options", "returns", "unwanted")

    def __init__(self, process: Process, activity_type: str, payload: e.Payload, options: e.ActivityOptions, returns: Any) -> None:
        super().__init__(process)
        self.activity_type, self.input, self.options, self.returns = activity_type, payload, options, returns
        self.activity_id: int | None = None
        self.dropped = self.unwanted = False

    def cancel(self, msg: Any = None) -> bool:
        """Cancelled at once, but for an activity whose end is waited for: that one ends with whatever comes of it."""
        if self.done():
            return False
        process = self.get_loop()
        assert isinstance(process, Process)
        if not process.closing and process._activity_cancelled(self):
            return True
        return super().cancel(msg)


class Process(WorkflowLoop):
    """A run that can be stepped. Made idle; its first step delivers WorkflowStarted."""

    __slots__ = (
        "_activities", "_activity_count", "_asked", "_boxes", "_cancel_reason", "_code", "_context", "_failed_by", "_finished", "_messages", "_offspring", "_patches",
        "_random", "_readonly", "_sources", "_timer_count", "_timers", "cancel_requested", "details", "info", "meddled", "replaying",
    )  # fmt: skip

    def __init__(
        self, code: Code, started: e.WorkflowStarted, workflow_id: Any, run_id: Any, at: Micros, ready: deque[asyncio.Handle] | None = None,
        trace: bool = False,
    ) -> None:
        """`trace` keeps the source line of every request, for explaining a divergence; it costs a few µs for each."""
        super().__init__(started.seed, at, deque() if ready is None else ready)
        self._code = code
        memo = None if started.memo is None else _decoded(code.values, started.memo)
        self.info = Info(workflow_id, run_id, started.workflow_type, started.version, at, memo, None, started)
        self.replaying = False
        self.cancel_requested = False
        self._cancel_reason: str | None = None
        self._context = contextvars.Context()
        self._context.run(current.set, self)
        self._asked: list[ActivityFuture | ChildFuture | DurableTimer | Sending | e.Event] = []
        self._sources: list[str] | None = [] if trace else None
        self._activities: dict[int, ActivityFuture] = {}
        self._activity_count = 0
        self._timers: dict[int, DurableTimer] | None = None
        self._timer_count = 0
        self._boxes: Boxes = None
        self._messages: Messages | None = None
        self._random: random.Random | None = None
        self._readonly = ""
        """What is looking and may not act, in words; empty while nothing is."""
        self.meddled = False
        """Whether a query's handler tried to act; what it changed on the way is unknown, so the process is to be rebuilt."""
        self._failed_by: BaseException | None = None
        self._finished = False
        self._offspring: Children | None = None if started.parent_run_id is None else Children(run_id)
        self._patches: Patches | None = None
        self.details = ""
        """What the code says of where it stands."""

    # --- the engine's side ----------------------------------------------------------------------------------------------

    @property
    def finished(self) -> bool:
        """Whether the code has returned or raised."""
        return self._finished

    @property
    def mailbox(self) -> int:
        """Signals that wait for the code."""
        return sum(len(box.signals) for box in boxes_of(self._boxes))

    @property
    def handlers(self) -> list[HandlerInfo]:
        """What the code has asked for or handles: signals it has received without a handler come with an empty signature."""
        told = [] if self._messages is None else self._messages.told()
        handled = {info.name for info in told if info.kind == "signal"}
        return [HandlerInfo("signal", box.name, "") for box in boxes_of(self._boxes) if box.name not in handled] + told

    @property
    def values(self) -> Values:
        return self._code.values

    @property
    def over(self) -> bool:
        """Whether the code has ended, so that nothing more of it runs."""
        main = self.main
        return self._failed_by is not None or (main is not None and main.done() and not self._lingers())

    @property
    def sources(self) -> list[str]:
        """Where each answer of the last step was asked for, when tracing."""
        return self._sources or []

    def deliver(self, fact: e.Event, at: Micros) -> list[e.Event]:
        """One step: the answers, numbered and in the order asked. Nothing is delivered to a finished process."""
        if self._finished:
            return []
        self._now = at
        if self._sources:
            self._sources.clear()
        self._apply(fact)
        self.drain()
        if self._messages is not None:
            self._messages.settle()
        return self._harvest()

    def query(self, name: str, payload: e.Payload) -> e.Payload:
        """Answer a query between steps; the handler may look but not act.

        Raises QueryFailed for an unknown name, a handler that raises, or one that asks for anything.
        """
        handlers = (self._messages.queries if self._messages is not None else None) or {}
        workflow_id = self.info.workflow_id
        if name not in handlers:
            raise errors.QueryFailed(workflow_id, name, "no handler of this name is set", tuple(handlers))
        handler = handlers[name].call
        try:
            args, kwargs = self.values.decode_args(payload, hints_of(handler))
            answer = self.look("a query", partial(handler, *args, **kwargs))
            if inspect.isawaitable(answer):
                if inspect.iscoroutine(answer):
                    answer.close()
                raise errors.QueryFailed(workflow_id, name, "its handler is async; a query handler is an ordinary function")
            return self.values.encode(answer, f"answer of query {name!r}")
        except errors.QueryFailed:
            raise
        except BaseException as error:  # a handler of the user's may raise anything; the run is unaffected
            raise errors.QueryFailed(workflow_id, name, f"{type(error).__name__}: {error}") from error

    def admit(self, name: str, args: e.Payload) -> None:
        """Ask an update's validator, between steps. Raises UpdateRejected."""
        self._told().check(name, args)

    def look(self, what: str, act: Callable[[], T]) -> T:
        """Call something of the user's that may look and not act: in a context of its own, and what it draws is put back."""
        draws = None if self._random is None else self._random.getstate()
        ordinals, ready = (self._orders, self._names), len(self._ready)
        meddled, self._readonly = self.meddled, what
        try:
            with self.entered():
                return self._context.copy().run(act)
        finally:
            self._readonly = ""
            if what == "a condition":
                self.meddled = meddled  # it does the same on every replay
            while len(self._ready) > ready:
                self._ready.pop()
            self._orders, self._names = ordinals
            if draws is None:
                self._random = None
            elif self._random is not None:
                self._random.setstate(draws)

    def untaken(self) -> list[str]:
        """The names of signals that the code has not taken, once for each; one whose handler was not called yet is not taken."""
        names = [box.name for box in boxes_of(self._boxes) for _ in box.signals]
        executions = (self._messages.executions if self._messages is not None else None) or ()
        return names + [execution.name for execution in executions if execution.kind == "signal" and not execution.begun]

    def child_recorded(self, child: e.ChildWorkflowStarted) -> None:
        """A child the code asked for is recorded, with the ids it has."""
        if self._offspring is not None:
            self._offspring.recorded(child)

    def attributes_of(self, update: e.SearchAttributesUpdated) -> dict[str, Any]:
        """The values of an update, as the code gave them."""
        values: dict[str, Any] = self._code.values.decode(update.attributes)
        return values

    def blocked(self) -> list[Blocked]:
        """What the code waits for now, with the user's lines; the main coroutine's wait first."""
        if self.main is None and self._timers:
            return [Blocked("its delayed start", "")]
        found = []
        for task in [self.main, *(self._children or [])]:
            if task is not None and not task.done():
                source, waits_on = awaited_at(task)
                found.append(Blocked(self._describe(waits_on), source))
        return found

    def _describe(self, waits_on: object) -> str:
        for number, future in self._activities.items():
            if future is waits_on:
                return f"activity {future.activity_type}#{number}"
        for box in boxes_of(self._boxes):
            if any(turn is waits_on for turn in box.waiting):
                return f"signal {box.name!r}"
        if isinstance(waits_on, ChildFuture):
            return f"child {waits_on.request.workflow_type} ({waits_on.id})"
        if isinstance(waits_on, Sending):
            return f"the delivery of signal {waits_on.name!r} to {waits_on.target}"
        if self._messages is not None and waits_on in (self._messages.conditions or ()):
            return "a condition"
        for number, timer in (self._timers or {}).items():
            if timer._args and any(arg is waits_on for arg in timer._args):  # asyncio.sleep's own future
                return f"timer {number}"
        return "its own tasks" if waits_on is not None else "its turn"

    # --- facts ----------------------------------------------------------------------------------------------------------

    def _apply(self, fact: e.Event) -> None:
        match fact:
            case e.ActivityCompleted(activity_id=number, result=result):
                future = self._activities.pop(number, None)
                if future is not None and not future.done():
                    try:
                        future.set_result(self._code.values.decode(result, future.returns))
                    except Exception as error:  # noqa: BLE001 - a result that does not fit the annotation is the awaiting code's error
                        future.set_exception(error)
            case e.ActivityFailed(activity_id=number) | e.ActivityTimedOut(activity_id=number):
                future = self._activities.pop(number, None)
                if future is not None and not future.done():
                    future.set_exception(self._activity_error(future.activity_type, fact))
            case e.ActivityCancelled(activity_id=number):
                future = self._activities.pop(number, None)
                if future is not None and not future.done():
                    WorkflowFuture.cancel(future)
            case e.TimerFired(timer_id=number):
                timer = self._timers.pop(number, None) if self._timers else None
                if number == e.DELAY:
                    if timer is not None:
                        self._begin(*timer._args)
                elif timer is not None:
                    timer.fired = True
                    self._ready.append(timer)
            case e.SignalReceived(name=name, payload=payload):
                self._signal(name, payload)
                if self.main is None:
                    self._begin_with_message()
            case e.UpdateAccepted():
                self._told().accept(fact)
                if self.main is None:
                    self._begin_with_message()
                if self.main is None:
                    self._begin_with_message()
            case e.SignalDelivered() | e.SignalUndelivered():
                self._told().acknowledge(fact)
            case e.WorkflowCancelRequested(reason=reason):
                self._cancel(reason)
            case e.WorkflowStarted():
                if fact.begins_at is None and not fact.with_message:
                    self._begin(fact)
                else:  # a fact to come begins the code
                    at = self._now if fact.begins_at is None else fact.begins_at
                    self._timers = {e.DELAY: DurableTimer(at, self._begin, (fact,), self, self._context)}
            case e.WorkflowReopened():
                self._number_on(fact)
            case _ if type(fact) in e.CHILD_ENDS:
                if self._offspring is not None:
                    self._offspring.end(fact, self._code.values)  # type: ignore[arg-type]  # narrowed by the set
            case _:
                raise AssertionError(f"{type(fact).__name__} is not a fact")

    def _cancel(self, reason: str | None) -> None:
        """Raise CancelledError at the code's await, with the reason as its argument; code whose start is delayed never begins."""
        self.cancel_requested = True
        self._cancel_reason = reason
        self.info = self.info._replace(cancel_reason=reason or "")
        if self.main is not None:
            with self.entered():
                self.main.cancel(reason)
        elif self._timers:
            self._failed_by = asyncio.CancelledError()

    def _number_on(self, reopened: e.WorkflowReopened) -> None:
        """Give no ordinal again that was given behind the cut. Facts that had waited may have gone beyond it by now."""
        self._activity_count = max(self._activity_count, reopened.next_activity)
        self._timer_count = max(self._timer_count, reopened.next_timer)
        if reopened.next_send:
            self._told().sent = max(self._told().sent, reopened.next_send)
        if reopened.next_child:
            if self._offspring is None:
                self._offspring = Children()
            self._offspring.count = max(self._offspring.count, reopened.next_child)
            self._offspring.asked = max(self._offspring.asked, reopened.next_child)

    def _begin_with_message(self) -> None:
        """The message that came with the start is there; unless the start is delayed, the code begins now."""
        held = self._timers.get(e.DELAY) if self._timers else None
        if held is not None and held._args[0].begins_at is None:
            self._timers = None
            self._begin(*held._args)

    def _activity_error(self, activity_type: str, fact: e.ActivityFailed | e.ActivityTimedOut) -> errors.ActivityError:
        values = self._code.values
        trees = () if fact.earlier is None else tuple(loads(fact.earlier))
        earlier = earlier_errors(trees, values.error)
        made: errors.ActivityError
        if isinstance(fact, e.ActivityTimedOut):
            details = None if fact.details is None else values.decode(e.Payload(fact.details.encode()))
            made = errors.ActivityTimeout(activity_type, fact.attempt, fact.kind, earlier, details)
        else:
            made = errors.ActivityError(activity_type, fact.attempt, fact.error, values.error(fact.error), earlier)
        if trees:
            made.earlier = trees
        return made

    def _begin(self, started: e.WorkflowStarted) -> None:
        with self.entered():
            coro = self._context.run(self._call, started)
            self.main = WorkflowTask(coro, self, "main", self._context)

    def _call(self, started: e.WorkflowStarted) -> Coroutine[Any, Any, Any]:
        try:
            args, kwargs = self._code.values.decode_args(started.input, self._code.hints)
            return self._code.function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - input that this version cannot take fails the run, as an error in its first line would
            return _raising(error)

    def _signal(self, name: str, payload: e.Payload) -> None:
        handlers = None if self._messages is None else self._messages.signals
        if handlers is not None and name in handlers:
            self._told().signal(name, handlers[name], payload)
        else:
            with self.entered():
                self._box(name).put(payload)

    def opened(self, name: str, payload: e.Payload, into: Any) -> Any:
        """The value of a signal. One that does not fit the type is dropped with a line in the log: InvalidPayload, for whoever takes the next."""
        try:
            return self.values.decode(payload, into)
        except Exception as error:
            if not self.replaying:
                _LOG.warning("[%s] a signal %r was dropped: it cannot be read as %s: %s", self.info.workflow_id, name, getattr(into, "__name__", into), error)
            if isinstance(error, errors.InvalidPayload):
                raise
            raise errors.InvalidPayload("payload", str(error)) from error

    def fail(self, error: BaseException) -> None:
        """A signal handler raised: the run fails, unless its code has ended before."""
        if self._failed_by is None and not (self.main is not None and self.main.done()):
            self._failed_by = error
            self._ready.clear()

    def _lingers(self) -> bool:
        """Whether the step in which the code ended is run to its end, because an update that was accepted is not answered yet."""
        return self._failed_by is None and self._messages is not None and self._messages.owes

    def _told(self) -> Messages:
        if self._messages is None:
            self._messages = Messages(self)
        return self._messages

    def _box(self, name: str) -> Mailbox:
        box = box_named(self._boxes, name)
        if box is None:
            box = Mailbox(self, name)
            self._boxes = with_box(self._boxes, box)
        return box

    # --- patches --------------------------------------------------------------------------------------------------------

    def marked(self, patches: frozenset[str]) -> None:
        """The patches the history to be replayed has."""
        self._patches = Patches(patches)

    def patched(self, patch_id: str) -> bool:
        self._may_ask()
        patch_id = check_name("patch id", patch_id)
        if self._patches is None:
            self._patches = Patches(frozenset())
        known = self._patches.answers.get(patch_id)
        if known is None:
            known = self._patches.answers[patch_id] = not self.replaying or patch_id in self._patches.recorded
            if known:
                self._ask(e.PatchMarked(patch_id))
        return known

    def deprecate_patch(self, patch_id: str) -> None:
        self._may_ask()
        patch_id = check_name("patch id", patch_id)
        if self._patches is not None and patch_id in self._patches.recorded:
            self.patched(patch_id)

    # --- what the code asks for (core.running.RunningProcess) -----------------------------------------------------------

    def now(self) -> Micros:
        return self._now

    @property
    def random(self) -> random.Random:
        self._may_ask()
        if self._random is None:
            self._random = random.Random(self._seed)
        return self._random

    def perform(
        self, activity_type: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], options: e.ActivityOptions, returns: Any
    ) -> Coroutine[Any, Any, Any]:
        self._may_ask()
        return self._perform(activity_type, self._code.values.encode_args(args, kwargs, activity_type), options, returns)

    async def _perform(self, activity_type: str, payload: e.Payload, options: e.ActivityOptions, returns: Any) -> Any:
        if self.closing:
            self._refuse()
        future = ActivityFuture(self, activity_type, payload, options, returns)
        self._ask(future)
        return await future

    def receive(self, name: str, into: Any) -> Coroutine[Any, Any, Any]:
        self._may_ask()
        return self._box(check_name("signal name", name)).get(into)

    def on_signal(self, name: str, handler: Callable[..., Any], abandon: bool = False) -> None:
        self._may_ask()
        name = check_name("signal name", name)
        handling, told = Handler(_callable(handler), None, abandon), self._told()
        told.set_signal(name, handling)
        box = box_named(self._boxes, name)
        while box is not None and box.signals:
            told.signal(name, handling, box.take())

    def on_query(self, name: str, handler: Callable[..., Any]) -> None:
        self._may_ask()
        name, told = check_name("query name", name), self._told()
        if told.queries is None:
            told.queries = {}
        told.queries[name] = Handler(_callable(handler))

    def on_update(self, name: str, handler: Callable[..., Any], validator: Callable[..., Any] | None = None, abandon: bool = False) -> None:
        self._may_ask()
        name = check_name("update name", name)
        self._told().set_update(name, Handler(_callable(handler), None if validator is None else _callable(validator), abandon))

    def send(self, target: str, name: str, payload: object, run_id: str | None = None) -> Coroutine[Any, Any, None]:
        self._may_ask()
        target, name = check_name("workflow id", target), check_name("signal name", name)
        run = None if run_id is None else RunId(check_name("run id", run_id))
        return self._send(WorkflowId(target), name, self.values.encode(payload, "payload"), run)

    async def _send(self, target: WorkflowId, name: str, payload: e.Payload, run_id: RunId | None) -> None:
        if self.closing:
            self._refuse()
        sending = Sending(self, target, name, payload, run_id)
        self._ask(sending)
        await sending

    def wait_condition(self, predicate: Callable[[], object]) -> Coroutine[Any, Any, None]:
        self._may_ask()
        return self._told().condition(_callable(predicate))

    @property
    def all_handlers_finished(self) -> bool:
        return self._messages is None or not self._messages.executions

    def last_result(self, into: Any, default: Any) -> Any:
        started = self.info.started
        text = None if started is None else started.last_result
        return default if text is None else self._code.values.decode(e.Payload(text.encode()), into)

    def set_details(self, markdown: str) -> None:
        self._may_ask()
        self.details = markdown

    def start_child(
        self, workflow_type: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], options: ChildOptions, returns: Any
    ) -> Coroutine[Any, Any, ChildFuture]:
        self._may_ask()
        check_name("workflow", workflow_type)
        if options.id is not None:
            options = options._replace(id=check_name("workflow id", options.id))
        payload = self._code.values.encode_args(args, kwargs, workflow_type)
        return self._start_child(workflow_type, payload, options, *self._noted(options), returns)

    async def _start_child(
        self, workflow_type: str, payload: e.Payload, options: ChildOptions, memo: str | None, attributes: str | None, returns: Any
    ) -> ChildFuture:
        if self.closing:
            self._refuse()
        self._may_ask()
        if self._offspring is None:
            self._offspring = Children()
        child = self._offspring.ask(self, workflow_type, payload, options, memo, attributes, returns)
        self._ask(child)
        return child

    def continue_as_new(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], workflow_type: str | None, options: ChildOptions) -> NoReturn:
        self._may_ask()
        if workflow_type is not None:
            workflow_type = check_name("workflow", workflow_type)
        payload = self._code.values.encode_args(args, kwargs, "input")
        memo, attributes = self._noted(options)
        raise ContinueAsNew(
            e.WorkflowContinuedAsNew(
                payload, workflow_type=None if workflow_type == self.info.workflow_type else workflow_type, memo=memo, search_attributes=attributes,
                deadline=options.deadline,
            )
        )  # fmt: skip

    def _noted(self, options: ChildOptions) -> tuple[str | None, str | None]:
        """Memo and search attributes as texts."""
        values, attributes = self._code.values, options.search_attributes
        return (
            None if options.memo is None else values.encode(options.memo, "memo").decode(),
            None if attributes is None else values.encode(dict(attributes), "search attributes").decode(),
        )  # fmt: skip

    def history_length(self) -> int:
        begun, timers, children = self._activity_count, self._timer_count, self._offspring
        length = 1 + 3 * begun - len(self._activities) + 2 * timers - len(self._timers or ())
        if children is not None:
            length += 2 * children.count - len(children.open)
        return length

    def upsert(self, attributes: Mapping[str, Any]) -> None:
        self._may_ask()
        self._ask(e.SearchAttributesUpdated(self._code.values.encode(dict(attributes), "search attributes"), by_code=True))

    def _within(self, act: Callable[..., object], *args: object) -> None:
        self._context.run(act, *args)

    def upsert_memo(self, memo: Mapping[str, Any]) -> None:
        self._may_ask()
        before = self.info.memo
        if before is not None and not isinstance(before, dict):
            raise errors.InvalidOption(f"the memo of {self.info.workflow_id} is {type(before).__name__}, not a dict that names could be added to")
        news = dict(memo)
        self._ask(e.MemoUpdated(self._code.values.encode(news, "memo")))
        self.info = self.info._replace(memo={name: value for name, value in {**(before or {}), **news}.items() if value is not None})

    def _timer_asked(self, timer: DurableTimer) -> None:
        self._may_ask()
        self._ask(timer)

    def _timer_cancelled(self, timer: DurableTimer) -> None:
        self._may_ask()
        number = timer.timer_id
        if number is not None and self._timers is not None and self._timers.pop(number, None) is not None:
            self._ask(e.TimerCancelled(number))

    def _activity_cancelled(self, future: ActivityFuture) -> bool:
        """The code no longer wants an activity; whether it waits for its end all the same."""
        self._may_ask()
        number, kind = future.activity_id, future.options.cancellation
        if number is None:
            future.dropped = True
        elif kind == "wait_completed" and number in self._activities:
            if not future.unwanted:
                future.unwanted = True
                self._ask(e.ActivityCancelRequested(number))
            return True
        elif self._activities.pop(number, None) is not None and kind != "abandon":
            self._ask(e.ActivityCancelRequested(number))
        return False

    def call_soon(self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None) -> asyncio.Handle:  # type: ignore[override]
        if self._readonly:
            self._may_ask()
        if self.closing:
            self._refuse()
        handle = Callback(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def _may_ask(self) -> None:
        if self._readonly:
            self.meddled = True
            raise RuntimeError(f"{self._readonly} is read-only: it cannot record, sleep, draw random numbers, create tasks or set handlers")

    def _ask(self, request: ActivityFuture | ChildFuture | DurableTimer | Sending | e.Event) -> None:
        self._asked.append(request)
        if self._sources is not None:
            self._sources.append(asked_here())

    # --- answers --------------------------------------------------------------------------------------------------------

    def _harvest(self) -> list[e.Event]:
        """Number what is still wanted, and end the run if its code has ended."""
        main = self.main
        ended = self._failed_by is not None or (main is not None and main.done())
        asked = self._asked
        answers: list[e.Event] = []
        if asked:
            self._asked = []
            sources, kept = self._sources, []
            for index, request in enumerate(asked):
                answer = self._answer(request, ended)
                if answer is not None:
                    answers.append(answer)
                    if sources is not None:
                        kept.append(sources[index])
            if sources is not None:
                self._sources = kept
        if ended:
            if self._messages is not None and not self.replaying:
                self._messages.warn()
            answers.append(self._outcome())
            self._finished = True
            self.close()
            self._activities.clear()
            self._timers = None
        return answers

    def _answer(self, request: ActivityFuture | ChildFuture | DurableTimer | Sending | e.Event, ended: bool) -> e.Event | None:
        if isinstance(request, ActivityFuture):
            if request.dropped or ended:
                return None
            number = request.activity_id = self._activity_count
            self._activity_count = number + 1
            self._activities[number] = request
            return e.ActivityScheduled(number, request.activity_type, request.input, request.options)
        if isinstance(request, DurableTimer):
            if request._cancelled or ended:
                return None
            number = request.timer_id = self._timer_count
            self._timer_count = number + 1
            if self._timers is None:
                self._timers = {}
            self._timers[number] = request
            return e.TimerStarted(number, request.fire_at, request.summary)
        if isinstance(request, Sending):
            return self._told().answer(request)
        if isinstance(request, ChildFuture):
            assert self._offspring is not None
            return self._offspring.number(request)
        return request

    def _outcome(self) -> e.Event:
        """The terminal event of code that has ended."""
        main, error = self.main, self._failed_by
        if main is None:
            return e.WorkflowCancelled(self._cancel_reason)
        values = self._code.values
        if error is None:
            if main.cancelled():
                if self.cancel_requested:
                    return e.WorkflowCancelled(self._cancel_reason)
                error = asyncio.CancelledError()
            else:
                error = main.exception()
        if error is None:
            try:
                return e.WorkflowCompleted(values.encode(main.result(), "result"))
            except errors.InvalidPayload as refused:
                error = refused
        return goes_on(error) or e.WorkflowFailed(values.failure(unwrapped(error)))


def _decoded(values: Values, memo: str) -> Any:
    """A memo's value; as plain JSON where its classes are not to be had, because no run should stand still for want of its memo."""
    text = memo.encode()
    try:
        return values.decode(e.Payload(text))
    except Exception:  # noqa: BLE001 - classes of the user's may raise anything
        return loads(text)


async def _raising(error: BaseException) -> Any:
    raise error


def _callable(handler: Callable[..., Any]) -> Callable[..., Any]:
    if not callable(handler):
        raise TypeError(f"{shorten(handler)} is no function")
    return handler


__all__ = ["Blocked", "Code", "Process", "RunDropped", "Values"]
