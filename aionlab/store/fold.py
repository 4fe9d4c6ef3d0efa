"""Run rows and timers as what they are: a fold of events.

The engine keeps the projections itself, a turn at a time; this is the same rule stated once more over whole histories, for
`append`, for rebuilding and for checking what is stored.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from aionlab.core import events as e
from aionlab.core import status
from aionlab.core.codec import pack
from aionlab.core.errors import BadBatch
from aionlab.core.events import Recorded
from aionlab.core.ids import NO_RUN, RunId, WorkflowId
from aionlab.core.jsontext import loads
from aionlab.core.ports import Batch, EventStore, Row, Run, RunChange, Timer


def begin(key: int, workflow_key: int, recorded: Recorded) -> Run:
    """The row of a run whose first event is `recorded`.

    Raises BadBatch when that is not WorkflowStarted.
    """
    event = recorded.event
    if not isinstance(event, e.WorkflowStarted):
        raise BadBatch(f"{recorded.workflow_id}: run {recorded.run_id} has {type(event).__name__} before WorkflowStarted")
    return Run(
        key=key,
        workflow_key=workflow_key,
        workflow_id=recorded.workflow_id,
        run_id=recorded.run_id,
        workflow_type=event.workflow_type,
        version=event.version,
        status=status.after(None, event),
        started_at=recorded.at,
        parent_run_id=event.parent_run_id,
        idempotency_key=event.idempotency_key,
        parent_id=event.parent_workflow_id,
        schedule_id=None if event.scheduled is None else event.scheduled.schedule_id,
    )


def follow(run: Run, recorded: Recorded) -> Run:
    """The row once `recorded` has happened; the same object when nothing in it changes.

    Raises IllegalEvent when the status table does not allow the event.
    """
    now = status.after(run.status, recorded.event)
    if isinstance(recorded.event, e.VersionChanged):
        return replace(run, version=recorded.event.new)
    if isinstance(recorded.event, e.SearchAttributesUpdated):
        return replace(run, attributes=_merged(run.attributes, recorded.event.attributes))
    if now is run.status:
        return run
    return replace(run, status=now, closed_at=recorded.at if now.closed else None)


def run_of(key: int, workflow_key: int, events: Iterable[Recorded]) -> Run | None:
    """The row of a run with these events, or None for no events; `request`, which no event holds, is left empty."""
    run: Run | None = None
    for recorded in events:
        run = begin(key, workflow_key, recorded) if run is None else follow(run, recorded)
    return run


def timers_of(key: int, events: Iterable[Recorded]) -> list[Timer]:
    """The timers of a run with these events that neither fired nor were cancelled, by id."""
    live: dict[int, Timer] = {}
    for recorded in events:
        match recorded.event:
            case e.TimerStarted(timer_id=timer_id, fire_at=fire_at):
                live[timer_id] = Timer(key, timer_id, fire_at)
            case e.TimerFired(timer_id=timer_id) | e.TimerCancelled(timer_id=timer_id):
                live.pop(timer_id, None)
            case e.WorkflowReopened(timers=timers):
                live = {timer_id: Timer(key, timer_id, fire_at) for timer_id, fire_at in timers}
            case event if type(event) in e.TERMINAL:
                live.clear()
            case _:
                pass
    return [live[timer_id] for timer_id in sorted(live)]


def batch_of(store: EventStore, workflow_id: WorkflowId, events: Sequence[Recorded], expected_seq: int) -> Batch:
    """All that appending `events` to a history that stands at `expected_seq` has to write.

    Raises BadBatch for events of a run that never started, IllegalEvent when the status table does not allow one.
    """
    heads = store.heads()
    batch = Batch()
    found = store.workflow_key(workflow_id)
    key = heads.workflow_key + 1 if found is None else found
    if found is None and events:
        batch.workflows.append((key, workflow_id))
    batch.expected[key] = expected_seq
    before: dict[RunId, Run | None] = {}
    after: dict[RunId, Run] = {}
    next_run = heads.run_key + 1
    for recorded in events:
        name = recorded.run_id
        if name == NO_RUN:
            batch.rows.append(row_of(key, 0, recorded))
            continue
        if name not in before:
            before[name] = known = store.run(workflow_id, name)
            if known is None:
                after[name] = begin(next_run, key, recorded)
                next_run += 1
            else:
                after[name] = follow(known, recorded)
        else:
            after[name] = follow(after[name], recorded)
        batch.rows.append(row_of(key, after[name].key, recorded))
        _timers(batch, after[name].key, recorded.event)
    for name, run in after.items():
        if before[name] is None:
            batch.runs.append(run)
        elif run is not before[name]:
            batch.changes.append(RunChange(run.key, run.status, run.closed_at, run.attributes, run.version))
    return batch


def row_of(workflow_key: int, run_key: int, recorded: Recorded) -> Row:
    code, ref, packed_data, payload = pack(recorded.event)
    flags = recorded.flags << 1 | recorded.deferred
    return (workflow_key, recorded.seq, run_key, recorded.at, code, flags, ref, packed_data, payload)


def _timers(batch: Batch, run_key: int, event: e.Event) -> None:
    match event:
        case e.TimerStarted(timer_id=timer_id, fire_at=fire_at):
            batch.timers.append(Timer(run_key, timer_id, fire_at))
        case e.TimerFired(timer_id=timer_id) | e.TimerCancelled(timer_id=timer_id):
            batch.timers_ended.append((run_key, timer_id))
        case e.WorkflowReopened(timers=timers):
            batch.timers += [Timer(run_key, timer_id, fire_at) for timer_id, fire_at in timers]
        case _ if type(event) in e.TERMINAL:
            batch.runs_ended.append(run_key)
        case _:
            pass


def _merged(attributes: Mapping[str, Any], update: e.Payload) -> dict[str, Any]:
    """Attributes with an update applied: None removes a name."""
    merged = {**attributes, **loads(update)}
    return {name: value for name, value in merged.items() if value is not None}
