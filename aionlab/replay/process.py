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
import random
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, NamedTuple, Protocol

from aionlab.core import errors
from aionlab.core import events as e
from aionlab.core.clock import Micros
from aionlab.core.failure import Failure
from aionlab.core.names import check_name
from aionlab.core.running import Info, current

from .loop import Callback, DurableTimer, RunDropped, WorkflowFuture, WorkflowLoop, WorkflowTask
from .mailbox import Mailbox
from .where import asked_here, awaited_at


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


class ActivityFuture(WorkflowFuture):
    """An activity the code has asked for."""

    __slots__ = ("activity_id", "activity_type", "dropped", "input", "options", "returns")

    def __init__(self, process: Process, activity_type: str, payload: e.Payload, options: e.ActivityOptions, returns: Any) -> None:
        super().__init__(process)
        self.activity_type, self.input, self.options, self.returns = activity_type, payload, options, returns
        self.activity_id: int | None = None
        self.dropped = False

    def cancel(self, msg: Any = None) -> bool:
        if self.done():
            return False
        process = self.get_loop()
        assert isinstance(process, Process)
        if not process.closing:
            process._activity_cancelled(self)
        return super().cancel(msg)


class Process(WorkflowLoop):
    """A run that can be stepped. Made idle; its first step delivers WorkflowStarted."""

    __slots__ = (
        "_activities", "_activity_count", "_asked", "_boxes", "_cancel_reason", "_code", "_context", "_failed_by", "_finished", "_queries",
        "_random", "_readonly", "_signal_handlers", "_sources", "_timer_count", "_timers", "cancel_requested", "info", "meddled", "replaying",
    )  # fmt: skip

    def __init__(
        self, code: Code, started: e.WorkflowStarted, workflow_id: Any, run_id: Any, at: Micros, ready: deque[asyncio.Handle] | None = None,
        trace: bool = False,
    ) -> None:
        """`trace` keeps the source line of every request, for explaining a divergence; it costs a few µs for each."""
        super().__init__(started.seed, at, deque() if ready is None else ready)
        self._code = code
        self.info = Info(workflow_id, run_id, started.workflow_type, started.version, at)
        self.replaying = False
        self.cancel_requested = False
        self._cancel_reason: str | None = None
        self._context = contextvars.Context()
        self._context.run(current.set, self)
        self._asked: list[ActivityFuture | DurableTimer | e.Event] = []
        self._sources: list[str] | None = [] if trace else None
        self._activities: dict[int, ActivityFuture] = {}
        self._activity_count = 0
        self._timers: dict[int, DurableTimer] | None = None
        self._timer_count = 0
        self._boxes: dict[str, Mailbox] | None = None
        self._signal_handlers: dict[str, Callable[..., Any]] | None = None
        self._queries: dict[str, Callable[..., Any]] | None = None
        self._random: random.Random | None = None
        self._readonly = False
        self.meddled = False
        """Whether a query's handler tried to act; what it changed on the way is unknown, so the process is to be rebuilt."""
        self._failed_by: BaseException | None = None
        self._finished = False

    # --- the engine's side ----------------------------------------------------------------------------------------------

    @property
    def finished(self) -> bool:
        """Whether the code has returned or raised."""
        return self._finished

    @property
    def mailbox(self) -> int:
        """Signals that wait for the code."""
        return sum(len(box.signals) for box in self._boxes.values()) if self._boxes else 0

    @property
    def signal_names(self) -> tuple[str, ...]:
        """Names the code has asked for or handles."""
        return tuple({**(self._boxes or {}), **(self._signal_handlers or {})})

    @property
    def query_names(self) -> tuple[str, ...]:
        return tuple(self._queries or ())

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
        return self._harvest()

    def query(self, name: str, payload: e.Payload) -> e.Payload:
        """Answer a query between steps; the handler may look but not act.

        Raises QueryFailed for an unknown name, a handler that raises, or one that asks for anything.
        """
        handlers = self._queries or {}
        workflow_id = self.info.workflow_id
        if name not in handlers:
            raise errors.QueryFailed(workflow_id, name, "no handler of this name is set", tuple(handlers))
        draws = None if self._random is None else self._random.getstate()
        ordinals = self._orders, self._names
        self._readonly = True
        try:
            with self.entered():
                args, kwargs = self._code.values.decode_args(payload)
                answer = self._context.run(handlers[name], *args, **kwargs)
            if inspect.iscoroutine(answer):
                answer.close()
                raise errors.QueryFailed(workflow_id, name, "its handler is async; a query handler is an ordinary function")
            return self._code.values.encode(answer, f"answer of query {name!r}")
        except errors.QueryFailed:
            raise
        except BaseException as error:  # a handler of the user's may raise anything; the run is unaffected
            raise errors.QueryFailed(workflow_id, name, f"{type(error).__name__}: {error}") from error
        finally:
            self._readonly = False
            self._ready.clear()
            self._orders, self._names = ordinals
            if draws is None:
                self._random = None
            elif self._random is not None:
                self._random.setstate(draws)

    def attributes_of(self, update: e.SearchAttributesUpdated) -> dict[str, Any]:
        """The values of an update, as the code gave them."""
        values: dict[str, Any] = self._code.values.decode(update.attributes)
        return values

    def blocked(self) -> list[Blocked]:
        """What the code waits for now, with the user's lines; the main coroutine's wait first."""
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
        for name, box in (self._boxes or {}).items():
            if any(turn is waits_on for turn in box.waiting):
                return f"signal {name!r}"
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
            case e.ActivityFailed(activity_id=number, error=failure, attempt=attempt):
                future = self._activities.pop(number, None)
                if future is not None and not future.done():
                    cause = self._code.values.error(failure)
                    future.set_exception(errors.ActivityError(future.activity_type, attempt, failure, cause))
            case e.ActivityTimedOut(activity_id=number, kind=kind, attempt=attempt):
                future = self._activities.pop(number, None)
                if future is not None and not future.done():
                    future.set_exception(errors.ActivityTimeout(future.activity_type, attempt, kind))
            case e.ActivityCancelled(activity_id=number):
                future = self._activities.pop(number, None)
                if future is not None and not future.done():
                    WorkflowFuture.cancel(future)
            case e.TimerFired(timer_id=number):
                timer = self._timers.pop(number, None) if self._timers else None
                if timer is not None:
                    timer.fired = True
                    self._ready.append(timer)
            case e.SignalReceived(name=name, payload=payload):
                self._signal(name, payload)
            case e.WorkflowCancelRequested(reason=reason):
                self.cancel_requested = True
                self._cancel_reason = reason
                if self.main is not None:
                    with self.entered():
                        self.main.cancel()
            case e.WorkflowStarted():
                self._begin(fact)
            case _:
                raise AssertionError(f"{type(fact).__name__} is not a fact")

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
        handler = (self._signal_handlers or {}).get(name)
        if handler is None:
            with self.entered():
                self._box(name).put(payload)
        else:
            self._ready.append(asyncio.Handle(self._handle, (name, handler, payload), self, self._context))

    def _handle(self, name: str, handler: Callable[..., Any], payload: e.Payload) -> None:
        """Call a signal handler; what it raises is the run's failure."""
        try:
            outcome = handler(self._code.values.decode(payload))
            if inspect.iscoroutine(outcome):
                task = self.create_task(outcome, name=f"signal {name}")
                task.add_done_callback(self._handled, context=self._context)
        except BaseException as error:  # noqa: BLE001 - whatever a handler raises, sys.exit() included, fails the run
            self._fail(error)

    def _handled(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if self._failed_by is None:
            self._failed_by = error
            self._ready.clear()

    def _box(self, name: str) -> Mailbox:
        boxes = self._boxes
        if boxes is None:
            boxes = self._boxes = {}
        box = boxes.get(name)
        if box is None:
            box = boxes[name] = Mailbox(self)
        return box

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

    async def receive(self, name: str, into: Any) -> Any:
        self._may_ask()
        name = check_name("signal name", name)
        payload = await self._box(name).get()
        return self._code.values.decode(payload, into)

    def on_signal(self, name: str, handler: Callable[..., Any]) -> None:
        self._may_ask()
        name = check_name("signal name", name)
        if self._signal_handlers is None:
            self._signal_handlers = {}
        self._signal_handlers[name] = handler
        box = self._boxes.get(name) if self._boxes else None
        while box is not None and box.signals:
            self.call_soon(self._handle, name, handler, box.take(), context=self._context)

    def on_query(self, name: str, handler: Callable[..., Any]) -> None:
        self._may_ask()
        name = check_name("query name", name)
        if self._queries is None:
            self._queries = {}
        self._queries[name] = handler

    def upsert(self, attributes: Mapping[str, Any]) -> None:
        self._may_ask()
        self._ask(e.SearchAttributesUpdated(self._code.values.encode(dict(attributes), "search attributes"), by_code=True))

    def _within(self, act: Callable[..., object], *args: object) -> None:
        self._context.run(act, *args)

    def _timer_asked(self, timer: DurableTimer) -> None:
        self._may_ask()
        self._ask(timer)

    def _timer_cancelled(self, timer: DurableTimer) -> None:
        self._may_ask()
        number = timer.timer_id
        if number is not None and self._timers is not None and self._timers.pop(number, None) is not None:
            self._ask(e.TimerCancelled(number))

    def _activity_cancelled(self, future: ActivityFuture) -> None:
        self._may_ask()
        if future.activity_id is None:
            future.dropped = True
        elif self._activities.pop(future.activity_id, None) is not None:
            self._ask(e.ActivityCancelRequested(future.activity_id))

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
            raise RuntimeError("a query is read-only: it cannot record, sleep, draw random numbers, create tasks or set handlers")

    def _ask(self, request: ActivityFuture | DurableTimer | e.Event) -> None:
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
            answers.append(self._outcome())
            self._finished = True
            self.close()
            self._activities.clear()
            self._timers = None
        return answers

    def _answer(self, request: ActivityFuture | DurableTimer | e.Event, ended: bool) -> e.Event | None:
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
            return e.TimerStarted(number, request.fire_at)
        return request

    def _outcome(self) -> e.Event:
        """The terminal event of code that has ended."""
        main, error = self.main, self._failed_by
        values = self._code.values
        if error is None:
            assert main is not None
            if main.cancelled():
                if self.cancel_requested:
                    return e.WorkflowCancelled(self._cancel_reason)
                error = asyncio.CancelledError()
            else:
                error = main.exception()
        if error is None:
            assert main is not None
            try:
                return e.WorkflowCompleted(values.encode(main.result(), "result"))
            except errors.InvalidPayload as refused:
                error = refused
        return e.WorkflowFailed(values.failure(error))


async def _raising(error: BaseException) -> Any:
    raise error


__all__ = ["Blocked", "Code", "Process", "RunDropped", "Values"]
