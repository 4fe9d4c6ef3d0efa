"""Whether a store holds what it should: histories without gaps, and projections that equal a fold of them."""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from aionlab.core.clock import Micros
from aionlab.core.errors import StoreError
from aionlab.core.events import Recorded
from aionlab.core.ids import WorkflowId
from aionlab.core.ports import EventStore, Run, Timer

from .fold import run_of, timers_of

END_OF_TIME = Micros((1 << 63) - 1)
_COMPARED = ("workflow_type", "version", "status", "started_at", "closed_at", "attributes", "parent_run_id", "idempotency_key", "parent_id",
             "schedule_id")  # fmt: skip


def findings(store: EventStore) -> Iterator[str]:
    """What is wrong, a sentence each; nothing when all is well. Reads every event."""
    timers = {(timer.run_key, timer.timer_id): timer for timer in store.due_timers(END_OF_TIME)}
    for workflow_id in store.ids():
        try:
            yield from _of(store, workflow_id, timers)
        except StoreError as error:
            yield f"{workflow_id}: {error}"


def _of(store: EventStore, workflow_id: WorkflowId, timers: Mapping[tuple[int, int], Timer]) -> Iterator[str]:
    history = store.read(workflow_id)
    for seq, recorded in enumerate(history, 1):
        if recorded.seq != seq:
            yield f"{workflow_id}: event {seq} is missing"
            break
    if store.head(workflow_id) != len(history):
        yield f"{workflow_id}: its head is {store.head(workflow_id)}, but it has {len(history)} events"
    chain = store.run_chain(workflow_id)
    for run, fold, events in folded(chain, history):
        if fold is None:
            yield f"{workflow_id}: run {run.run_id} has no events"
            continue
        for name in _COMPARED:
            stored, right = getattr(run, name), getattr(fold, name)
            if stored != right:
                yield f"{workflow_id}: run {run.run_id} is listed with {name} {stored!r}, its history says {right!r}"
        for timer in timers_of(run.key, events):
            if timers.get((run.key, timer.timer_id)) != timer:
                yield f"{workflow_id}: timer {timer.timer_id} of run {run.run_id} is not listed to fire at {timer.fire_at}"
        if run.status.closed and any(key == run.key for key, _ in timers):
            yield f"{workflow_id}: run {run.run_id} is closed and has timers"


def folded(chain: list[Run], history: list[Recorded]) -> Iterator[tuple[Run, Run | None, list[Recorded]]]:
    """(row as stored, row as its history has it, its events) of each run."""
    events: defaultdict[str, list[Recorded]] = defaultdict(list)
    for recorded in history:
        events[recorded.run_id].append(recorded)
    for run in chain:
        yield run, run_of(run.key, run.workflow_key, events[run.run_id]), events[run.run_id]
