"""Starting a run: the table of obligations, row by row.

Rows 1-6 can refuse with nothing written. Row 5 records the start, with row 6 in the same transaction; rows 7-12 set up what is volatile. When one of those fails, what was
set up is taken down in reverse order, `WorkflowFailed(kind="start_aborted")` is recorded behind the start, and the caller gets the
first error with both ids. With `ghost_starts` the recorded start stays as it is: the run executes when the database is next opened.
"""
from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from aionlab.core import events as e
from aionlab.core.attributes import check_attributes
from aionlab.core.clock import Micros
from aionlab.core.errors import AlreadyStarted, InvalidOption, StartAborted, StoreReadOnly
from aionlab.core.failure import Failure
from aionlab.core.ids import RunId, WorkflowId
from aionlab.core.jsontext import dumps
from aionlab.core.names import check_name
from aionlab.core.ports import NO_ATTRIBUTES, Run
from aionlab.core.status import Status
from aionlab.replay.process import Code

from .. import processes
from ..attributes import checked
from ..faults import START_STEPS
from ..run import LiveRun, Recorder

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


Started = tuple[WorkflowId, RunId]


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
    if request.workflow_id is not None:
        name = check_name("workflow id", request.workflow_id)
        if name != request.workflow_id:
            request = replace(request, workflow_id=name)
    attributes = check_attributes(request.attributes, engine.attribute_types) if request.attributes else {}
    if request.deadline is not None and request.deadline <= 0:
        raise InvalidOption("a deadline lies in the future: give the length of time the run may take")
    if request.idempotency_key is not None:
        request = replace(request, idempotency_key=check_name("idempotency key", request.idempotency_key))
        earlier = _with_key(engine, request.idempotency_key)
        if earlier is not None:
            return _same_request(earlier, request)

    point("mint")
    workflow_id = WorkflowId(request.workflow_id) if request.workflow_id is not None else engine.ids.workflow_id()
    run_id = request.run_id or engine.ids.run_id()

    point("policy")
    minted = request.workflow_id is None and engine.ids.unique
    previous = None if minted else _previous(engine, workflow_id)

    point("append")
    point("visibility")
    run, started = _plan(engine, request, code, workflow_id, run_id, attributes, previous)
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
        _begin(engine, run, started, attributes, deferred=False)
    except Exception as error:  # whichever row failed, the start is compensated and the caller told
        _take_down(engine, run, step)
        _abort(engine, run, started, attributes, step, error)
        raise StartAborted(workflow_id, run_id, step, error) from error

    try:
        point("flush")
        engine.flush(run)
    except Exception as error:  # noqa: BLE001 - row 13 is logged and never fails the start
        _note_flush(workflow_id, error)
    return workflow_id, run_id


def _with_key(engine: Engine, key: str | None) -> Run | None:
    """The run an idempotency key has started, in this turn or before."""
    for run in engine.turn_now.batch.runs:
        if run.idempotency_key == key:
            return run
    return None if key is None else engine.store.by_idempotency_key(key)


def _same_request(earlier: Run, request: StartRequest) -> Started:
    if earlier.request != request.digest:
        raise InvalidOption(
            f"idempotency key {request.idempotency_key!r} was used for another request ({earlier.workflow_id}); use a new key for a new request"
        )
    return earlier.workflow_id, earlier.run_id


def _previous(engine: Engine, workflow_id: WorkflowId) -> Run | None:
    """The newest run of the id, which must be closed."""
    live = engine.turn_now.planned.get(workflow_id) or engine.registry.get(workflow_id)
    if live is not None and not live.closed:
        raise AlreadyStarted(workflow_id, live.run_id, str(live.status))
    if live is not None:
        return live.current_row()
    if engine.store.workflow_key(workflow_id) is None:
        return None
    previous = engine.store.run(workflow_id)
    if previous is not None and not previous.status.closed:
        raise AlreadyStarted(workflow_id, previous.run_id, previous.status.value)
    return previous


def _plan(
    engine: Engine, request: StartRequest, code: Code, workflow_id: WorkflowId, run_id: RunId, attributes: Mapping[str, Any], previous: Run | None
) -> tuple[LiveRun, e.WorkflowStarted]:
    now = engine.turn_now.now
    recorder, key = _keys(engine, workflow_id, previous is None)
    parent = previous.run_id if previous is not None else None
    row = Run(
        key, recorder.key, workflow_id, run_id, code.workflow_type, code.version, Status.RUNNING, now, None, dict(attributes) if attributes else NO_ATTRIBUTES, parent,
        request.idempotency_key, request.digest,
    )  # fmt: skip
    length = code.deadline if request.deadline is None else request.deadline
    deadline = None if length is None else Micros(now + length)
    started = e.WorkflowStarted(
        code.workflow_type, code.version, request.input, engine.ids.seed(), request.python, parent, None, request.memo, deadline, request.idempotency_key
    )
    return LiveRun(row, recorder), started


def _keys(engine: Engine, workflow_id: WorkflowId, is_new: bool = False) -> tuple[Recorder, int]:
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


def _begin(engine: Engine, run: LiveRun, started: e.WorkflowStarted, attributes: Mapping[str, Any], deferred: bool) -> None:
    """Record the start and, unless it is deferred, the first step with it. A first step that sets a search attribute the lab refuses
    leaves the start deferred and the run stuck."""
    turn = engine.turn_now
    answers: list[e.Event] = []
    if not deferred:
        assert run.process is not None
        answers = run.process.deliver(started, turn.now)
        if e.SearchAttributesUpdated in map(type, answers):
            permitted = checked(engine, run, answers)
            deferred, answers = permitted is None, permitted or []
    turn.batch.runs.append(run.row)
    turn.planned[run.workflow_id] = run
    turn.record(run, started, deferred)
    if attributes:
        turn.record(run, e.SearchAttributesUpdated(e.Payload(dumps(dict(attributes)))))
    if started.deadline is not None:
        turn.record(run, e.TimerStarted(e.DEADLINE, started.deadline))
        engine.timers.arm(run, e.DEADLINE, started.deadline)
    engine.record_answers(run, answers)


def _abort(engine: Engine, run: LiveRun, started: e.WorkflowStarted, attributes: Mapping[str, Any], step: str, error: Exception) -> None:
    """Leave a start that was recorded and rolled back, or, with ghost starts, one that was only recorded."""
    _begin(engine, run, started, attributes, deferred=True)
    if not engine.ghost_starts:
        failure = Failure("StartAborted", f"{step}: {error}", ("StartAborted",))
        engine.turn_now.record(run, e.WorkflowFailed(failure, "start_aborted"))


def _note_flush(workflow_id: WorkflowId, error: Exception) -> None:
    log.warning("signals of %s wait: flushing them failed: %s", workflow_id, error)
