"""What a program must ask for, said a second time: the same workflow code on asyncio's own event loop, with facts fed in by hand.

Nothing of `aionlab.replay` is used here, so it can be the judge of it. Only two things of the rule are restated: tasks and futures hash
by (seed, ordinal), and what is asked and withdrawn within one step leaves no trace.
"""
from __future__ import annotations

import asyncio
import contextvars
import inspect
import random
import sys
from asyncio import events
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from aionlab.core import errors
from aionlab.core import events as e
from aionlab.core.events import Recorded
from aionlab.core.running import ChildOptions, Info, current
from aionlab.core.values import Values, values_for

if TYPE_CHECKING:
    from aionlab.core.running import RunningProcess

Asked = tuple[Any, ...]
"""(identity, detail): what must be equal for the same request, and what may differ as an argument."""
_MASK = (1 << 61) - 1


class _Gone(BaseException):
    """Raised into code that asks while the reference is being thrown away."""


class _Future(asyncio.Future[Any]):
    def __init__(self, loop: Reference) -> None:
        self._hash = loop.count()
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._hash


class _Task(asyncio.Task[Any]):
    def __init__(self, coro: Any, loop: Reference, **options: Any) -> None:
        self._hash = loop.count()
        super().__init__(coro, loop=loop, **options)

    def __hash__(self) -> int:
        return self._hash


@dataclass(eq=False)
class _Wanted:
    """Something asked for that can be withdrawn."""

    kind: str
    identity: Asked
    detail: Any
    number: int | None = None
    gone: bool = False
    future: asyncio.Future[Any] | None = None
    timer: asyncio.TimerHandle | None = None


class _Timer(asyncio.TimerHandle):
    wanted: _Wanted | None = None


class _ActivityFuture(_Future):
    def __init__(self, loop: Reference) -> None:
        super().__init__(loop)
        self.wanted: _Wanted | None = None

    def cancel(self, msg: Any = None) -> bool:
        if not self.done() and self.wanted is not None:
            self.get_loop().withdraw(self.wanted)  # type: ignore[attr-defined]  # the loop is a Reference
        return super().cancel(msg)


class _ChildFuture(_Future):
    """A child. Cancelled, it is asked to stop, once; with "wait_completed" it is done when it has stopped."""

    def __init__(self, loop: Reference, options: ChildOptions) -> None:
        super().__init__(loop)
        self.wanted: _Wanted | None = None
        self.options, self.told = options, False

    def cancel(self, msg: Any = None) -> bool:
        if self.done():
            return False
        loop: Any = self.get_loop()
        how = self.options.cancellation
        if loop.dropping or self.wanted is None:
            return super().cancel(msg)
        if self.wanted.number is None:
            self.wanted.gone = True
            return super().cancel(msg)
        if how != "abandon" and not self.told:
            self.told = True
            loop.asked.append(_Wanted("cancel child", (self.wanted.number,), None))
        return True if how == "wait_completed" else super().cancel(msg)


class _SendFuture(_Future):
    """A signal on its way. Cancelled in the step that sends it, it is not sent."""

    def __init__(self, loop: Reference) -> None:
        super().__init__(loop)
        self.wanted: _Wanted | None = None

    def cancel(self, msg: Any = None) -> bool:
        loop: Any = self.get_loop()
        if not self.done() and not loop.dropping and self.wanted is not None and self.wanted.number is None:
            self.wanted.gone = True
        return super().cancel(msg)


class Reference(asyncio.BaseEventLoop):
    """One run of workflow code, stepped fact by fact."""

    def __init__(self, function: Callable[..., Any], started: e.WorkflowStarted, run: Recorded, values: Values | None = None) -> None:
        super().__init__()
        self._seed, self._ordinal = started.seed & _MASK, 0
        self.function, self.values = function, values or values_for(None)
        self.micros = run.at
        self.info = Info(run.workflow_id, run.run_id, started.workflow_type, started.version, run.at)
        self.replaying = False
        self.draws = random.Random(started.seed)
        self.asked: list[_Wanted] = []
        self.numbered: dict[tuple[str, int], _Wanted] = {}
        self.counts = {"activity": 0, "timer": 0, "child": 0, "send": 0}
        self.updates: dict[str, tuple[Callable[..., Any], Callable[..., Any] | None]] = {}
        self.conditions: list[tuple[asyncio.Future[Any], Callable[[], object]]] = []
        self.busy = self.unanswered = 0
        """Uses of handlers that are not done, and how many of them are updates."""
        self.boxes: dict[str, tuple[deque[e.Payload], deque[asyncio.Future[Any]]]] = {}
        self.handlers: dict[str, Callable[..., Any]] = {}
        self.task: asyncio.Task[Any] | None = None
        self.cancelled = False
        self.failed: BaseException | None = None
        self.done = False
        self.dropping = False
        self.tasks: list[asyncio.Task[Any]] = []
        self.generators: list[Any] = []
        self.context = contextvars.Context()
        self.context.run(current.set, cast("RunningProcess", self))  # programs ask for what it has and no more

    # --- asyncio's side

    def count(self) -> int:
        self._ordinal += 1
        return (self._seed + self._ordinal * 0x9E3779B97F4A7C15) & _MASK

    def time(self) -> float:
        return self.micros / 1_000_000

    def is_running(self) -> bool:
        return not self.dropping

    def create_future(self) -> _Future:
        self._alive()
        return _Future(self)

    def create_task(self, coro: Any, *, name: object = None, context: Any = None, **options: Any) -> Any:
        if self.dropping:
            coro.close()
        self._alive()
        task = _Task(coro, self, name=name, context=context)
        self.tasks.append(task)
        return task

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:  # type: ignore[override]
        self._alive()
        return super().call_soon(callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:  # type: ignore[override]
        self._alive()
        timer = _Timer(when, callback, args, self, context)
        due = round(when * 1_000_000)
        if due <= self.micros:
            self._ready.append(timer)  # type: ignore[attr-defined]  # BaseEventLoop's queue
            return timer
        timer.wanted = _Wanted("timer", (), due, timer=timer)
        self.asked.append(timer.wanted)
        return timer

    def _timer_handle_cancelled(self, handle: Any) -> None:
        if handle.wanted is not None:
            self.withdraw(handle.wanted)

    def set_debug(self, enabled: bool) -> None:
        """Never: it would have to wake a selector."""
        self._debug = False

    def call_exception_handler(self, context: Any) -> None:
        """Nobody is told of exceptions that nobody retrieves."""

    def _alive(self) -> None:
        if self.dropping:
            raise _Gone

    @contextmanager
    def _running(self) -> Iterator[None]:
        outer, hooks = events._get_running_loop(), sys.get_asyncgen_hooks()
        events._set_running_loop(self)
        sys.set_asyncgen_hooks(firstiter=self.generators.append, finalizer=self.generators.append)
        try:
            yield
        finally:
            sys.set_asyncgen_hooks(*hooks)
            events._set_running_loop(outer)

    # --- the workflow's side (core.running.RunningProcess)

    def now(self) -> Any:
        return self.micros

    @property
    def random(self) -> random.Random:
        return self.draws

    async def perform(self, activity_type: str, args: Any, kwargs: Mapping[str, Any], options: e.ActivityOptions, returns: Any) -> Any:
        self._alive()
        future = _ActivityFuture(self)
        future.wanted = _Wanted("activity", (activity_type,), self.values.encode_args(args, kwargs, activity_type), future=future)
        self.asked.append(future.wanted)
        return await future

    async def receive(self, name: str, into: Any) -> Any:
        signals, waiting = self.boxes.setdefault(name, (deque(), deque()))
        if waiting or not signals:
            turn = self.create_future()
            waiting.append(turn)
            try:
                self._promise(name)
                await turn
                while not signals:
                    place = waiting.index(turn)
                    turn = waiting[place] = self.create_future()
                    await turn
                return self.values.decode(signals.popleft(), into)
            finally:
                waiting.remove(turn)
                if not self.dropping:
                    self._promise(name)
        return self.values.decode(signals.popleft(), into)

    def _promise(self, name: str) -> None:
        signals, waiting = self.boxes[name]
        for turn in list(waiting)[: len(signals)]:
            if not turn.done():
                turn.set_result(None)

    def on_signal(self, name: str, handler: Callable[..., Any], abandon: bool = False) -> None:
        self.handlers[name] = handler
        signals = self.boxes.get(name, (deque(), None))[0]
        while signals:
            self.busy += 1
            self.call_soon(self._handle, handler, signals.popleft(), context=self.context)

    def _handle(self, handler: Callable[..., Any], payload: e.Payload) -> None:
        try:
            outcome = handler(self.values.decode(payload))
            if inspect.iscoroutine(outcome):
                self.create_task(outcome).add_done_callback(self._handled, context=self.context)
                return
        except BaseException as error:  # noqa: BLE001 - a handler's failure is the run's
            self._fail(error)
        self.busy -= 1

    def _handled(self, task: asyncio.Task[Any]) -> None:
        self.busy -= 1
        if not task.cancelled() and task.exception() is not None:
            self._fail(task.exception())

    def _fail(self, error: BaseException | None) -> None:
        if self.task is None or not self.task.done():
            self.failed = self.failed or error

    def on_query(self, name: str, handler: Callable[..., Any]) -> None:
        """Queries ask for nothing."""

    def on_update(self, name: str, handler: Callable[..., Any], validator: Callable[..., Any] | None = None, abandon: bool = False) -> None:
        self.updates[name] = handler, validator

    def _update(self, fact: e.UpdateAccepted) -> None:
        handler, validator = self.updates.get(fact.name, (None, None))
        args, _ = self.values.decode_args(fact.args)
        try:
            if handler is None:
                raise LookupError(fact.name)
            if not fact.checked and validator is not None:
                validator(*args)
            outcome = handler(*args)
        except BaseException as error:  # noqa: BLE001 - the update's failure
            self._answer(fact, error=error)
            return
        if inspect.iscoroutine(outcome):
            self.create_task(outcome).add_done_callback(lambda task: self._updated(fact, task), context=self.context)
        else:
            self._answer(fact, outcome)

    def _updated(self, fact: e.UpdateAccepted, task: asyncio.Task[Any]) -> None:
        if task.cancelled():
            self._answer(fact, error=asyncio.CancelledError())
        else:
            self._answer(fact, None if task.exception() else task.result(), task.exception())

    def _answer(self, fact: e.UpdateAccepted, result: Any = None, error: BaseException | None = None) -> None:
        self.busy -= 1
        self.unanswered -= 1
        self.asked.append(_Wanted("update", (fact.update_id,), None if error is not None else self.values.encode(result)))

    async def send(self, target: str, name: str, payload: object, run_id: str | None = None) -> None:
        self._alive()
        future = _SendFuture(self)
        future.wanted = _Wanted("send", (target, name), self.values.encode(payload), future=future)
        self.asked.append(future.wanted)
        await future

    async def wait_condition(self, predicate: Callable[[], object]) -> None:
        if predicate():
            return
        turn = self.create_future()
        self.conditions.append((turn, predicate))
        try:
            await turn
        finally:
            self.conditions = [one for one in self.conditions if one[0] is not turn]

    @property
    def all_handlers_finished(self) -> bool:
        return self.busy == 0

    async def start_child(self, workflow_type: str, args: Any, kwargs: Mapping[str, Any], options: ChildOptions, returns: Any) -> Any:
        self._alive()
        future = _ChildFuture(self, options)
        detail = self.values.encode_args(args, kwargs), options.parent_close, options.cancellation
        future.wanted = _Wanted("child", (workflow_type, options.id), detail, future=future)
        self.asked.append(future.wanted)
        return future

    def upsert(self, attributes: Mapping[str, Any]) -> None:
        self.asked.append(_Wanted("attributes", (), self.values.encode(dict(attributes))))

    def withdraw(self, wanted: _Wanted) -> None:
        if self.dropping or wanted.gone:
            return
        wanted.gone = True
        if wanted.number is not None and self.numbered.pop((wanted.kind, wanted.number), None) is not None:
            self.asked.append(_Wanted(f"cancel {wanted.kind}", (wanted.number,), None))

    # --- stepping

    def step(self, fact: e.Event, at: int) -> list[Asked]:
        """Deliver one fact; ((kind, …identity), detail) of each request that is still wanted when the code has come to rest."""
        if self.done:
            return []
        self.micros = at  # type: ignore[assignment]  # Micros
        with self._running():
            self._deliver(fact)
            self._run()
            moved = True
            while moved and not self._over():
                moved = False
                for turn, predicate in list(self.conditions):
                    if not self._over() and not turn.done() and self.context.copy().run(predicate):
                        turn.set_result(None)
                        self._run()
                        moved = True
        return self._requests()

    def _run(self) -> None:
        while self._ready and not self._over():  # type: ignore[attr-defined]
            handle = self._ready.popleft()  # type: ignore[attr-defined]
            if not handle.cancelled():
                try:
                    handle._run()
                except (SystemExit, KeyboardInterrupt):
                    pass

    def _over(self) -> bool:
        """Whether nothing more runs: code that has ended is run on to the end of the step while an update is not answered."""
        return self.failed is not None or (self._ended() and not self.unanswered)

    def _ended(self) -> bool:
        return self.failed is not None or (self.task is not None and self.task.done())

    def _deliver(self, fact: e.Event) -> None:
        match fact:
            case e.WorkflowStarted(input=payload):
                args, kwargs = self.values.decode_args(payload)
                coro = self.context.run(self.function, *args, **kwargs)
                self.task = _Task(coro, self, name="main", context=self.context)
                self.tasks.append(self.task)
            case e.WorkflowCancelRequested():
                self.cancelled = True
                assert self.task is not None
                self.task.cancel()
            case e.SignalReceived(name=name, payload=payload):
                if name in self.handlers:
                    self.busy += 1
                    self.call_soon(self._handle, self.handlers[name], payload, context=self.context)
                else:
                    self.boxes.setdefault(name, (deque(), deque()))[0].append(payload)
                    self._promise(name)
            case e.UpdateAccepted():
                self.busy += 1
                self.unanswered += 1
                self.call_soon(self._update, fact, context=self.context)
            case e.SignalDelivered(send_id=number) | e.SignalUndelivered(send_id=number):
                wanted = self.numbered.pop(("send", number), None)
                if wanted is not None and wanted.future is not None and not wanted.future.done():
                    if isinstance(fact, e.SignalDelivered):
                        wanted.future.set_result(None)
                    else:
                        target = wanted.identity[0]
                        wanted.future.set_exception(errors.RunClosed(target, "", fact.status) if fact.status else errors.RunNotFound(target))
            case e.TimerFired(timer_id=number):
                wanted = self.numbered.pop(("timer", number), None)
                if wanted is not None:
                    wanted.gone = True
                    self._ready.append(wanted.timer)  # type: ignore[attr-defined]
            case e.ActivityCompleted(activity_id=number):
                wanted = self.numbered.pop(("activity", number), None)
                if wanted is not None and wanted.future is not None:
                    wanted.future.set_result(self.values.decode(fact.result))
            case _ if isinstance(fact, e.ChildEnd):
                wanted = self.numbered.pop(("child", fact.child_id), None)
                if wanted is not None and wanted.future is not None and not wanted.future.done():
                    self._child_ended(cast("_ChildFuture", wanted.future), fact)
            case e.ActivityFailed(activity_id=number) | e.ActivityTimedOut(activity_id=number):
                wanted = self.numbered.pop(("activity", number), None)
                if wanted is not None and wanted.future is not None:
                    wanted.future.set_exception(self._error(wanted.identity[0], fact))
            case _:
                raise AssertionError(f"{fact} is not a fact")

    def _child_ended(self, future: _ChildFuture, fact: e.ChildEnd) -> None:
        causes: dict[type, BaseException] = {
            e.ChildWorkflowCancelled: errors.WorkflowCancelledError("", ""), e.ChildWorkflowTerminated: errors.WorkflowTerminatedError("", ""),
            e.ChildWorkflowTimedOut: errors.WorkflowTimedOutError("", ""),
        }  # fmt: skip
        if isinstance(fact, e.ChildWorkflowCompleted):
            future.set_result(self.values.decode(fact.result))
        elif isinstance(fact, e.ChildWorkflowFailed):
            future.set_exception(errors.ChildWorkflowError("", "", "", fact.error, self.values.error(fact.error)))
        elif future.told and not isinstance(fact, e.ChildWorkflowTimedOut):
            super(_ChildFuture, future).cancel()
        else:
            future.set_exception(errors.ChildWorkflowError("", "", "", None, causes[type(fact)]))

    def _error(self, name: str, fact: e.Event) -> Exception:
        if isinstance(fact, e.ActivityTimedOut):
            return errors.ActivityTimeout(name, fact.attempt, fact.kind)
        assert isinstance(fact, e.ActivityFailed)
        return errors.ActivityError(name, fact.attempt, fact.error, self.values.error(fact.error))

    def _requests(self) -> list[Asked]:
        over = self._ended()
        asked, self.asked = self.asked, []
        found: list[Asked] = []
        for wanted in asked:
            if wanted.kind in self.counts:
                if wanted.gone or (over and wanted.kind not in ("child", "send")):
                    continue
                wanted.number = self.counts[wanted.kind]
                self.counts[wanted.kind] += 1
                self.numbered[wanted.kind, wanted.number] = wanted
                found.append(((wanted.kind, wanted.number, *wanted.identity), wanted.detail))
            else:
                found.append(((wanted.kind, *wanted.identity), wanted.detail))
        if over:
            self.done = True
            found.append(self._outcome())
            self.drop()
        return found

    def _outcome(self) -> Asked:
        task, error = self.task, self.failed
        if error is None:
            assert task is not None
            if task.cancelled():
                if self.cancelled:
                    return ("cancelled",), None
                error = asyncio.CancelledError()
            else:
                error = task.exception()
        if error is not None:
            return ("failed",), self.values.failure(error).type
        assert task is not None
        return ("completed",), self.values.encode(task.result())

    def drop(self) -> None:
        """Close every coroutine now, so that none runs from the garbage collector later."""
        if not self.dropping:
            self.dropping = True
            with self._running():
                for task in self.tasks:
                    task._log_destroy_pending = False  # type: ignore[attr-defined]  # asyncio's switch
                    if not task.done():
                        _unwind(task.get_coro().throw)
                for generator in self.generators:
                    _unwind(generator.aclose().throw)
            self._ready.clear()  # type: ignore[attr-defined]
        if not self.is_closed():
            self.close()


def _unwind(throw: Callable[[BaseException], object]) -> None:
    try:
        for _ in range(100):
            throw(_Gone())
    except BaseException:  # noqa: BLE001 - nobody is left to tell
        pass


# --- judging a history -----------------------------------------------------------------------------------------------------


def as_asked(event: e.Event) -> Asked | None:
    """What a recorded event says was asked for; None for facts and notes."""
    match event:
        case e.ActivityScheduled(activity_id=number, activity_type=name, input=payload):
            return ("activity", number, name), payload
        case e.TimerStarted(timer_id=number, fire_at=due) if number >= 0:
            return ("timer", number), due
        case e.ActivityCancelRequested(activity_id=number):
            return ("cancel activity", number), None
        case e.TimerCancelled(timer_id=number) if number >= 0:
            return ("cancel timer", number), None
        case e.ChildWorkflowStarted(child_id=number, workflow_type=name, input=payload):
            given = event.child_workflow_id if event.named else None
            return ("child", number, name, given), (payload, event.parent_close, event.cancellation)
        case e.ChildWorkflowCancelRequested(child_id=number):
            return ("cancel child", number), None
        case e.SignalSent(send_id=number, target=target, name=name, payload=payload):
            return ("send", number, target, name), payload
        case e.UpdateCompleted(update_id=name, result=payload):
            return ("update", name), payload
        case e.SearchAttributesUpdated(attributes=payload, by_code=True):
            return ("attributes",), payload
        case e.WorkflowCompleted(result=payload):
            return ("completed",), payload
        case e.WorkflowFailed(error=failure, kind="error"):
            return ("failed",), failure.type
        case e.WorkflowCancelled():
            return ("cancelled",), None
        case _:
            return None


_FACTS = (e.WorkflowStarted, e.WorkflowCancelRequested, e.ActivityCompleted, e.ActivityCancelled, e.TimerFired, e.SignalReceived,
          e.SignalDelivered, e.SignalUndelivered, e.UpdateAccepted)  # fmt: skip


def reaches_code(event: e.Event) -> bool:
    return isinstance(event, _FACTS + e.ChildEnd.__args__) or (isinstance(event, e.ActivityFailed | e.ActivityTimedOut) and event.next_attempt_at is None)


@dataclass
class Verdict:
    """What the reference says of a history."""

    why: str = ""
    """Empty when the code asks for exactly what is recorded; else where it first does not."""
    arguments: int = 0
    """Requests that differ in their arguments alone."""
    differs: str = ""
    """The last of them."""
    waiting: int = 0
    """Deferred facts at the end that no recorded request answers."""
    ends: frozenset[int] = frozenset()
    """Numbers of rows after which a step is complete: places where a history may be cut."""


def judge(function: Callable[..., Any], history: Sequence[Recorded], values: Values | None = None) -> Verdict:
    """Run the code over the recorded facts and compare what it asks for, step by step."""
    first = history[0].event
    assert isinstance(first, e.WorkflowStarted)
    reference = Reference(function, first, history[0], values)
    try:
        return _Judge(reference).over(history)
    finally:
        reference.drop()


class _Judge:
    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        self.owed: deque[Asked] = deque()
        """What the code has asked for and the history has not shown yet."""
        self.late: deque[Recorded] = deque()
        """Facts recorded as deferred and not delivered."""
        self.verdict = Verdict()
        self.ends: set[int] = set()

    def over(self, history: Sequence[Recorded]) -> Verdict:
        for at, recorded in enumerate(history):
            if reaches_code(recorded.event):
                if self.owed:
                    return self._no(recorded, f"{self.owed[0][0]} is not recorded")
                if recorded.deferred:
                    self.late.append(recorded)
                else:
                    while self.late and not self.owed:
                        self._step(self.late.popleft())
                    if self.owed:
                        return self._no(recorded, f"{self.owed[0][0]} is not recorded")
                    self._step(recorded)
            elif (asked := as_asked(recorded.event)) is not None:
                while not self.owed and self.late:
                    self._step(self.late.popleft())
                if not self.owed:
                    return self._no(recorded, f"{asked[0]} is not asked for")
                wanted = self.owed.popleft()
                if wanted[0] != asked[0]:
                    return self._no(recorded, f"{wanted[0]} is asked for instead of {asked[0]}")
                if wanted[1] != asked[1]:
                    self.verdict.arguments += 1
                    self.verdict.differs = f"event {recorded.seq}: {wanted} instead of {asked}"
            if not self.owed:
                self.ends.add(at + 1)
        if self.owed:
            return self._no(history[-1], f"{self.owed[0][0]} is not recorded")
        self.verdict.waiting = len(self.late)
        self.verdict.ends = frozenset(self.ends)
        return self.verdict

    def _step(self, fact: Recorded) -> None:
        self.owed.extend(self.reference.step(fact.event, fact.at))

    def _no(self, recorded: Recorded, why: str) -> Verdict:
        self.verdict.why = f"event {recorded.seq} ({type(recorded.event).__name__}): {why}"
        return self.verdict
