"""Starting a run: the table of obligations, row by row.

Rows 1-6 can refuse with nothing written. Row 5 records the start, with row 6 in the same transaction; rows 7-12 set up what is volatile. When one of those fails, what was
set up is taken down in reverse order, `WorkflowFailed(kind="start_aborted")` is recorded behind the start, and the caller gets the
first error with both ids. With `ghost_starts` the recorded start stays as it is: the run executes when the database is next opened.

`identity` decides who may have the id and the key. What rides along (attributes, deadline, delay, a first message, the end of the run that
is replaced) is in the same commit, whichever way the start goes.
"""
from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from aionlab.core import events as e
from aionlab.core.attributes import check_attributes
from aionlab.core.clock import Micros
from aionlab.core.durations import spell
from aionlab.core.errors import InvalidName, InvalidOption, StartAborted, StoreReadOnly, UsageError
from aionlab.core.failure import Failure
from aionlab.core.ids import RESERVED, RunId, WorkflowId
from aionlab.core.jsontext import dumps
from aionlab.core.names import check_name
from aionlab.core.ports import NO_ATTRIBUTES, Run
from aionlab.core.status import Status
from aionlab.core.values import values_for
from aionlab.replay.process import Code

from .. import processes, signals
from ..attributes import checked
from ..faults import START_STEPS
from ..run import LiveRun, Recorder
from . import identity
from .identity import Standing, Started

if TYPE_CHECKING:
    from ..engine import Engine


log = logging.getLogger("aionlab.engine")


@dataclass(frozen=True, slots=True)
class StartRequest:
    """A start as asked for, its input already encoded. Ids that are None are minted."""

    workflow_type: str
    input: e.Payload
    version: str | None = None
    workflow_id: str | None = None
    run_id: RunId | None = None
    attributes: Mapping[str, Any] | None = None
    memo: str | None = None
    deadline: Micros | None = None
    """Length of time the run may take, from its start."""
    idempotency_key: str | None = None
    digest: str | None = None
    """Of type and input; a second start with the key must have the same."""
    python: str = "3.11"
    minted: bool = False
    """Whether `workflow_id` was minted by the engine's own ids rather than chosen."""
    id_reuse: str = "allow"
    """One of `identity.REUSE`."""
    id_conflict: str = "fail"
    """One of `identity.CONFLICT`."""
    start_delay: Micros | None = None
    """Length of time until the code begins. Signals wait for it, a cancel does not; a deadline counts from the start all the same."""
    first: e.SignalReceived | e.UpdateAccepted | None = None
    """A message the code finds when it begins. A signal goes to the run there is, where `id_conflict` gives that."""
    parent_workflow_id: WorkflowId | None = None
    origin: e.Origin | None = None
    scheduled: e.Scheduled | None = None
    last_result: str | None = None
    until: Micros | None = None
    """A deadline as a point in time."""
    carried: tuple[e.SignalReceived, ...] = ()
    """Signals that the run before this one has not taken: recorded behind the start, and the code begins once all of them are."""


def start(engine: Engine, request: StartRequest) -> Started:
    """Start a run; the ids it has.

    Raises WorkflowNotFound, InvalidName, InvalidAttribute, AlreadyStarted, InvalidOption with nothing written; StartAborted when a row
    after the record failed.
    """
    point = engine.faults.point

    if engine.store.readonly:
        raise StoreReadOnly("this lab only looks on: another kernel owns the database")
    point("resolve")
    check_name("workflow", request.workflow_type)
    code = engine.catalog.resolve(request.workflow_type, request.version)

    point("check")
    request, attributes = _checked(engine, request, code)
    if request.idempotency_key is not None:
        earlier = identity.with_key(engine, request)
        if earlier is not None:
            return earlier

    point("mint")
    workflow_id = WorkflowId(request.workflow_id) if request.workflow_id is not None else engine.ids.workflow_id()
    run_id = request.run_id or engine.ids.run_id()

    point("policy")
    known = identity.FREE
    if not engine.ids.unique or not (request.minted or request.workflow_id is None):
        known = identity.standing(engine, workflow_id, code.workflow_type, request.id_reuse, request.id_conflict)
        if known.use:
            return _use(engine, request, known)

    point("append")
    point("visibility")
    run, started = _plan(engine, request, code, workflow_id, run_id, attributes, known.newest)
    first = request.first
    now = engine.turn_now.now
    try:
        point(step := "supervisor")
        engine.tree.ensure(code.workflow_type, now)
        point(step := "spawn")
        run.started = started
        run.process = processes.new_process(engine, run, code)
        run.pid = engine.tree.next_pid()
        point(step := "place")
        engine.tree.place(run, now)
        point(step := "handle")
        run.waiters = None
        point(step := "register")
        engine.registry.insert(run)
        point(step := "monitor")
        _monitor(engine, run)
        if known.replaced is not None:
            identity.terminate(engine, known.replaced, run_id)
        _begin(engine, run, started, attributes, first, bool(request.carried), request.carried)
    except Exception as error:  # whichever row failed, the start is compensated and the caller told
        _take_down(engine, run, step)
        if known.replaced is not None and not known.replaced.closed:
            identity.terminate(engine, known.replaced, run_id)
        _abort(engine, run, started, attributes, first, step, error)
        raise StartAborted(workflow_id, run_id, step, error) from error

    try:
        point("flush")
        engine.flush(run)
    except Exception as error:  # noqa: BLE001 - row 13 is logged and never fails the start
        _note_flush(workflow_id, error)
    return workflow_id, run_id


def start_waiting(engine: Engine, request: StartRequest, version: str, why: str) -> Started:
    """Record the start of a run whose code may not run here yet; it begins when that has come.

    Raises AlreadyStarted, InvalidName, InvalidAttribute, InvalidOption with nothing written.
    """
    code = Code(check_name("workflow", request.workflow_type), version, _absent, None, values_for(None))
    request, attributes = _checked(engine, request, code)
    workflow_id, run_id = WorkflowId(request.workflow_id or engine.ids.workflow_id()), request.run_id or engine.ids.run_id()
    known = identity.standing(engine, workflow_id, code.workflow_type, request.id_reuse, request.id_conflict)
    run, started = _plan(engine, request, code, workflow_id, run_id, attributes, known.newest)
    run.started, run.waits_for = started, why
    engine.registry.insert(run)
    _begin(engine, run, started, attributes, None, True, request.carried)
    return workflow_id, run_id


def start_failed(engine: Engine, request: StartRequest, error: UsageError) -> None:
    """Record a start that cannot be, and that it failed, for those who wait for the run."""
    code = Code(request.workflow_type, request.version or "", _absent, None, values_for(None))
    workflow_id, run_id = WorkflowId(request.workflow_id or engine.ids.workflow_id()), request.run_id or engine.ids.run_id()
    previous = identity.standing(engine, workflow_id, code.workflow_type, request.id_reuse, request.id_conflict).newest
    run, started = _plan(engine, replace(request, deadline=None, start_delay=None), code, workflow_id, run_id, {}, previous)
    engine.registry.insert(run)
    _begin(engine, run, started, {}, None, deferred=True)
    failure = replace(code.values.failure(error), traceback="", source="")
    engine.turn_now.record(run, e.WorkflowFailed(failure, "start_aborted"))


async def _absent() -> None:
    raise AssertionError("this code is not here")


def _checked(engine: Engine, request: StartRequest, code: Code) -> tuple[StartRequest, Mapping[str, Any]]:
    """The request with its names in their normal form, and its attributes as they are stored. All that can be refused is refused here."""
    if request.workflow_id is not None:
        name = check_name("workflow id", request.workflow_id)
        if name.startswith(RESERVED):
            raise InvalidName("workflow id", name, f"ids that begin with {RESERVED!r} are the engine's own")
        if name != request.workflow_id:
            request = replace(request, workflow_id=name)
    if request.idempotency_key is not None:
        request = replace(request, idempotency_key=check_name("idempotency key", request.idempotency_key))
    if isinstance(request.first, e.SignalReceived):
        request = replace(request, first=replace(request.first, name=check_name("signal name", request.first.name)))
    if request.id_reuse != "allow" or request.id_conflict != "fail":
        identity.check_policies(request.id_reuse, request.id_conflict)
    if request.until is not None:
        request = replace(request, deadline=Micros(request.until - engine.turn_now.now), until=None)
    if request.deadline is not None and request.deadline <= 0:
        raise InvalidOption("a deadline lies in the future: give the length of time the run may take, or a time to come")
    if (delay := request.start_delay) is not None:
        length = code.deadline if request.deadline is None else request.deadline
        if delay <= 0:
            request = replace(request, start_delay=None)
        elif length is not None and length <= delay:
            raise InvalidOption(
                f"the run would time out before it begins: its deadline of {spell(length)} counts from the start, and the start is delayed by "
                f"{spell(delay)}; give a later deadline"
            )
    return request, check_attributes(request.attributes, engine.attribute_types) if request.attributes else {}


def _use(engine: Engine, request: StartRequest, known: Standing) -> Started:
    """The run there is, in place of a new one; the signal that came with the start is sent to it."""
    assert known.newest is not None
    run = known.newest
    first = request.first
    if isinstance(first, e.SignalReceived):
        signals.signal(engine, run.workflow_id, first.name, first.payload, run.run_id, first.idempotency_key)
    return run.workflow_id, run.run_id


def _plan(
    engine: Engine, request: StartRequest, code: Code, workflow_id: WorkflowId, run_id: RunId, attributes: Mapping[str, Any], previous: Run | None
) -> tuple[LiveRun, e.WorkflowStarted]:
    now = engine.turn_now.now
    recorder, key = keys(engine, workflow_id, previous is None)
    parent = previous.run_id if previous is not None else None
    row = Run(
        key, recorder.key, workflow_id, run_id, code.workflow_type, code.version, Status.RUNNING, now, None, dict(attributes) if attributes else NO_ATTRIBUTES, parent,
        request.idempotency_key, request.digest, request.parent_workflow_id, None if request.scheduled is None else request.scheduled.schedule_id,
    )  # fmt: skip
    length = code.deadline if request.deadline is None else request.deadline
    deadline = None if length is None else Micros(now + length)
    if request.origin is not None and request.origin.latest is not None:
        deadline = request.origin.latest if deadline is None else min(deadline, request.origin.latest)
    started = e.WorkflowStarted(
        code.workflow_type, code.version, request.input, engine.ids.seed(), request.python, parent, request.parent_workflow_id, request.memo, deadline,
        request.idempotency_key, request.origin, None if request.start_delay is None else Micros(now + request.start_delay), request.first is not None,
        request.scheduled, request.last_result,
    )  # fmt: skip
    return LiveRun(row, recorder), started


def keys(engine: Engine, workflow_id: WorkflowId, is_new: bool = False) -> tuple[Recorder, int]:
    """The recorder of a workflow id (a new one for a new id) and a fresh run key. `is_new`: no run of the id is known or stored."""
    engine.run_keys += 1
    live = engine.turn_now.planned.get(workflow_id) or engine.registry.get(workflow_id)
    if live is not None:
        return live.recorder, engine.run_keys
    key = None if is_new else engine.store.workflow_key(workflow_id)
    if key is not None:
        return Recorder(workflow_id, key, engine.store.head(workflow_id)), engine.run_keys
    engine.workflow_keys += 1
    recorder = Recorder(workflow_id, engine.workflow_keys, 0)
    engine.turn_now.batch.workflows.append((recorder.key, workflow_id))
    return recorder, engine.run_keys


def _take_down(engine: Engine, run: LiveRun, step: str) -> None:
    """Undo the rows before the one that failed, in reverse order."""
    passed = START_STEPS[: START_STEPS.index(step)]
    if "register" in passed:
        engine.registry.remove(run)
    if "place" in passed:
        engine.tree.remove(run)
    if "spawn" in passed:
        processes.suspend(engine, run)


def _monitor(engine: Engine, run: LiveRun) -> None:
    """The engine retires a run when its process ends; the registry entry is what it is found by, so the two must agree."""
    if engine.registry.by_key(run.key) is not run:
        raise LookupError(f"pid {run.pid} is not registered")


def _begin(
    engine: Engine, run: LiveRun, started: e.WorkflowStarted, attributes: Mapping[str, Any], first: e.Event | None, deferred: bool = False,
    carried: tuple[e.SignalReceived, ...] = (),
) -> None:
    """Record the start, the signal that came with it and, unless it is deferred, the first step. A first step that sets a search attribute
    the lab refuses leaves the start deferred and the run stuck."""
    turn = engine.turn_now
    answers: list[e.Event] = []
    if not deferred:
        assert run.process is not None
        answers = run.process.deliver(started, turn.now)
        if first is not None:
            answers = run.process.deliver(first, turn.now)
            if isinstance(first, e.UpdateAccepted) and _refused(first, answers):
                started, first, answers = _without_update(engine, run, started)
        if e.SearchAttributesUpdated in map(type, answers):
            permitted = checked(engine, run, answers)
            deferred, answers = permitted is None, permitted or []
    turn.batch.runs.append(run.row)
    turn.planned[run.workflow_id] = run
    if run.row.idempotency_key is not None:
        identity.remember(engine, run)
    turn.record(run, started, deferred)
    if attributes:
        turn.record(run, e.SearchAttributesUpdated(e.Payload(dumps(dict(attributes)))))
    if started.deadline is not None:
        arm(engine, run, e.DEADLINE, started.deadline)
    if started.begins_at is not None:
        arm(engine, run, e.DELAY, started.begins_at)
    if first is not None:
        turn.record(run, first, deferred)
    for signal in carried:
        turn.record(run, signal, deferred=True)
    engine.record_answers(run, answers)


def _refused(first: e.UpdateAccepted, answers: list[e.Event]) -> bool:
    """Whether the first step refused the update that came with the start."""
    return any(isinstance(a, e.UpdateCompleted) and a.rejected and a.update_id == first.update_id for a in answers)


def _without_update(engine: Engine, run: LiveRun, started: e.WorkflowStarted) -> tuple[e.WorkflowStarted, None, list[e.Event]]:
    """The first step once more, as if the update had never been sent: nothing of it is recorded, so nothing of it may be left in memory."""
    assert run.process is not None
    run.process.close()
    started = run.started = replace(started, with_message=False)
    run.process = processes.new_process(engine, run)
    run.process.replaying = True  # its log lines have been written
    answers = run.process.deliver(started, engine.turn_now.now)
    run.process.replaying = False
    return started, None, answers


def arm(engine: Engine, run: LiveRun, timer_id: int, fire_at: Micros) -> None:
    """Record one of the engine's own timers, and wake up when it is due."""
    engine.turn_now.record(run, e.TimerStarted(timer_id, fire_at))
    engine.timers.arm(run, timer_id, fire_at)


def _abort(
    engine: Engine, run: LiveRun, started: e.WorkflowStarted, attributes: Mapping[str, Any], first: e.Event | None, step: str, error: Exception
) -> None:
    """Leave a start that was recorded and rolled back, or, with ghost starts, one that was only recorded."""
    if not engine.ghost_starts:
        started = identity.without_key(run, started)
    _begin(engine, run, started, attributes, first, deferred=True)
    if not engine.ghost_starts:
        failure = Failure("StartAborted", f"{step}: {error}", ("StartAborted",))
        engine.turn_now.record(run, e.WorkflowFailed(failure, "start_aborted"))


def _note_flush(workflow_id: WorkflowId, error: Exception) -> None:
    log.warning("signals of %s wait: flushing them failed: %s", workflow_id, error)
