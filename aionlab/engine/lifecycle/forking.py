"""Fork: a new run, under an id of its own, that begins with part of another's history and goes on from there.

Everything is tried before anything is written: the copied part is replayed with the code and the input the fork is to have. `replay.branches`
says what is copied.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from aionlab.core import events as e
from aionlab.core.clock import Micros
from aionlab.core.errors import InvalidOption, RunNotFound, StoreReadOnly
from aionlab.core.events import Recorded
from aionlab.core.ids import RunId, WorkflowId
from aionlab.core.names import check_name
from aionlab.core.ports import Run, Timer
from aionlab.core.status import Status
from aionlab.replay import branches

from .. import activities, attributes, processes
from ..addressing import any_run
from ..run import LiveRun, Recorder
from . import identity
from .identity import Started
from .start import arm, keys

if TYPE_CHECKING:
    from ..engine import Engine


@dataclass(frozen=True, slots=True)
class ForkRequest:
    """A fork or reset as asked for, its values already encoded."""

    at: int | str | None = None
    """The last event taken over: its seq, "last_failure" or "end"; see `branches.taken_over` for None."""
    input: e.Payload | None = None
    """Another input, or None for the old one."""
    signal: tuple[str, e.Payload] | None = None
    """Name and payload of a signal the new run has at the cut."""
    results: Mapping[int | str, e.Payload] = field(default_factory=dict)
    """Other results of activities, by ordinal, "name#ordinal" or "@seq". Without `at` the cut is before the first of those results."""
    version: str | None = None
    """Other code of the same workflow, or None for the version the run is on."""
    workflow_id: str | None = None
    """For a fork: the id it gets, minted when None."""
    run_id: RunId | None = None


class Planned(NamedTuple):
    """What a branch will be, once it has been tried."""

    source: Run
    started: e.WorkflowStarted
    events: list[Recorded]
    """Of the source, as they are taken over, with their old numbers."""
    seq: int
    """The last event before the cut."""
    coming: dict[int, e.Payload]
    """Results of activities that are open at the cut, by ordinal."""
    signal: tuple[str, e.Payload] | None


def fork(engine: Engine, workflow_id: str, run_id: str | None = None, request: ForkRequest | None = None) -> Started:
    """Start a run with part of another's history; the ids it has. Nothing of that other run changes.

    Raises RunNotFound, InvalidOption, NondeterminismError (the code does not agree with the copied part), AlreadyStarted with nothing written.
    """
    request = request or ForkRequest()
    named = None if request.workflow_id is None else check_name("workflow id", request.workflow_id)
    plan = planned(engine, workflow_id, run_id, request)
    new_id = WorkflowId(named) if named is not None else engine.ids.workflow_id()
    known = identity.standing(engine, new_id, plan.started.workflow_type)
    return begin(engine, plan, new_id, request.run_id or engine.ids.run_id(), known.newest)


def planned(engine: Engine, workflow_id: str, run_id: str | None, request: ForkRequest) -> Planned:
    """What the branch will be. Raises what a branch can be refused for; nothing is written."""
    source = any_run(engine, workflow_id, run_id)
    if engine.store.readonly:
        raise StoreReadOnly("this lab only looks on: another kernel owns the database")
    signal = None if request.signal is None else (check_name("signal name", request.signal[0]), request.signal[1])
    history = processes.legible(engine, engine.store.run_history(source.key))
    live = engine.find(source.workflow_id, source.run_id)
    if live is not None and live.key in engine.turn_now.touched:
        history = history + engine.turn_now.pending(live)
    if not history or not isinstance(started := history[0].event, e.WorkflowStarted):
        raise RunNotFound(source.workflow_id, source.run_id)
    results = {branches.number_of(history, name): value for name, value in request.results.items()}
    at = request.at
    if at is None and results:
        ends = [seq for number in results if (seq := branches.result_of(history, number)) is not None]
        at = min(ends) - 1 if ends else branches.END
    events, seq = branches.taken_over(history, at)
    events, coming = branches.with_results(events, results)
    children = branches.open_children(events)
    if children:
        first = min(children.values(), key=lambda recorded: recorded.seq)
        raise InvalidOption(
            f"a child asked for in event {first.seq} is under way at the cut, and it answers to {source.workflow_id}; "
            f"cut before it was started, at={first.seq - 1}, or after it ended"
        )
    code = engine.catalog.resolve(source.workflow_type, request.version or source.version)
    began = history[0].at
    length = None if started.deadline is None else started.deadline - began
    origin = started.origin and replace(started.origin, parent_run_id=None, child_id=None, root_workflow_id=None, root_run_id=None, depth=0, latest=None)
    started = replace(
        started, version=code.version, input=started.input if request.input is None else request.input, parent_run_id=None, parent_workflow_id=None,
        deadline=None if length is None else Micros(engine.turn_now.now + length), idempotency_key=None, origin=origin,
    )  # fmt: skip
    started = branches.started_anew(events, started)
    events[0] = events[0]._replace(event=started)
    _try(engine, source, started, events)
    return Planned(source, started, events, seq, coming, signal)


def _try(engine: Engine, source: Run, started: e.WorkflowStarted, events: list[Recorded]) -> None:
    """Replay what is to be copied. Raises NondeterminismError, NotRunnable, or InvalidAttribute for what the rest of a cut step asks for."""
    scratch = LiveRun(replace(source, version=started.version, status=Status.RUNNING), Recorder(source.workflow_id, 0, 0))
    scratch.started = started
    mark = events[-1]._replace(event=e.WorkflowForked(source.workflow_id, source.run_id, events[-1].seq), deferred=False)
    rebuilt = processes.rebuild(engine, scratch, [*events, mark])
    scratch.process = rebuilt.process
    try:
        if attributes.checked(engine, scratch, list(rebuilt.live)) is None:
            assert scratch.stuck is not None
            raise scratch.stuck
    finally:
        rebuilt.process.close()


def begin(engine: Engine, plan: Planned, workflow_id: WorkflowId, run_id: RunId, previous: Run | None) -> Started:
    """Record a branch that was tried: the copied events, the mark, and what the new run does at once."""
    turn, source, started = engine.turn_now, plan.source, plan.started
    recorder, key = keys(engine, workflow_id, previous is None)
    started = replace(started, parent_run_id=None if previous is None else previous.run_id)
    events = branches.renumbered([plan.events[0]._replace(event=started), *plan.events[1:]], recorder.head, workflow_id, run_id)
    row = Run(
        key, recorder.key, workflow_id, run_id, source.workflow_type, started.version, Status.RUNNING, events[0].at, parent_run_id=started.parent_run_id,
        parent_id=started.parent_workflow_id, schedule_id=None if started.scheduled is None else started.scheduled.schedule_id,
    )  # fmt: skip
    run = LiveRun(row, recorder)
    run.refold(events)
    run.row = replace(run.row, attributes=run.attributes)
    turn.batch.runs.append(run.row)
    turn.planned[workflow_id] = run
    for recorded in events:
        turn.copy(run, recorded)
    turn.record(run, e.WorkflowForked(source.workflow_id, source.run_id, plan.seq))
    for timer_id, fire_at in list((run.timers or {}).items()):
        turn.batch.timers.append(Timer(run.key, timer_id, fire_at))
        engine.timers.arm(run, timer_id, fire_at)
    if started.deadline is not None:
        arm(engine, run, e.DEADLINE, started.deadline)
    engine.tree.ensure(source.workflow_type, turn.now)
    engine.registry.insert(run)
    for number, opened in list((run.activities or {}).items()):
        if number not in plan.coming:
            activities.begin(engine, run, opened)
    processes.make_resident(engine, run)
    facts: list[e.Event] = [e.ActivityCompleted(number, result) for number, result in plan.coming.items()]
    if plan.signal is not None:
        facts.append(e.SignalReceived(*plan.signal))
    for fact in facts:
        if not run.closed:
            engine.fact(run, fact)
    return workflow_id, run_id
