"""Continue-as-new: a run ends, and the run it goes on as starts in the same commit, under the same workflow id.

The new run keeps the parent, the memo and the search attributes unless the code gave others, is given the same length of time again, and
gets the signals the old one was sent and has not taken, in their order. Which version it runs is what new starts of its type get.
"""
from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from aionlab.core import events as e
from aionlab.core.clock import Micros
from aionlab.core.errors import StartAborted, UsageError
from aionlab.replay.pythons import HERE

from ..attributes import as_given
from ..catalog import NotRunnable
from ..run import LiveRun
from . import start as starting

if TYPE_CHECKING:
    from ..engine import Engine

KEYS = 1000
"""Idempotency keys of signals that are handed on; a key is forgotten when a thousand newer ones have come."""
AT_ONCE = 100
"""Runs of a chain that start in one turn; the next one waits a second, so that a loop without an await leaves the others their turn."""
PAUSE = Micros(1_000_000)


def leave(engine: Engine, run: LiveRun, asked: e.WorkflowContinuedAsNew) -> None:
    """Record the end of a run that goes on as new; the new run starts behind the step."""
    turn = engine.turn_now
    carried = _left(engine, run)
    ended = replace(asked, next_run_id=engine.ids.run_id())
    turn.record(run, ended)
    turn.see_to(run, partial(_go_on, engine, run, ended, carried))


def _left(engine: Engine, run: LiveRun) -> list[e.SignalReceived]:
    """Signals the code has not taken, in the order they came: of each name the last ones, since the first sent is the first taken."""
    assert run.process is not None
    counts = Counter(run.process.untaken())
    for recorded in run.deferred or ():
        if isinstance(recorded.event, e.SignalReceived):
            counts[recorded.event.name] += 1
    if not counts.total():
        return []
    turn = engine.turn_now
    history = engine.store.run_history(run.key) + (turn.pending(run) if run.key in turn.touched else [])
    left: list[e.SignalReceived] = []
    for recorded in reversed(history):
        event = recorded.event
        if isinstance(event, e.SignalReceived) and counts[event.name]:
            counts[event.name] -= 1
            left.append(replace(event, carried_from=event.carried_from or run.run_id))
    return left[::-1]


def _go_on(engine: Engine, run: LiveRun, ended: e.WorkflowContinuedAsNew, carried: list[e.SignalReceived]) -> None:
    request = replace(_request(engine, run, ended), carried=tuple(carried))
    try:
        starting.start(engine, request)
    except NotRunnable as error:
        starting.start_waiting(engine, request, engine.catalog.routed(request.workflow_type) or "", error.why)
    except StartAborted:  # the chain ends with it
        pass
    except UsageError as error:  # no such workflow, attributes nobody registered: the chain ends with a run that says so
        starting.start_failed(engine, request, error)


def _request(engine: Engine, run: LiveRun, ended: e.WorkflowContinuedAsNew) -> starting.StartRequest:
    started = run.started
    assert started is not None
    other = ended.workflow_type is not None
    length = ended.deadline
    if length is None and not other and started.deadline is not None:
        length = Micros(started.deadline - run.row.started_at)
    before = started.origin or e.Origin()
    number = before.run_number + 1
    origin = replace(
        before, first_run_id=before.first_run_id or run.run_id, run_number=number, signal_keys=tuple(run.signal_keys or ())[-KEYS:],
    )  # fmt: skip
    hasty = number % AT_ONCE == 0 and engine.turn_now.planned.get(run.workflow_id) is run
    attributes = as_given(ended.search_attributes) if ended.search_attributes is not None else run.attributes
    return starting.StartRequest(
        ended.workflow_type or started.workflow_type, ended.input, None, run.workflow_id, ended.next_run_id, attributes or None,
        ended.memo if ended.memo is not None else _memo(run), length, python=HERE, start_delay=PAUSE if hasty else None,
        parent_workflow_id=started.parent_workflow_id, origin=origin, scheduled=started.scheduled, last_result=started.last_result,
    )  # fmt: skip


def _memo(run: LiveRun) -> str | None:
    """The memo as it stands."""
    if run.process is not None and isinstance(run.process.info.memo, dict):
        return run.process.values.encode(run.process.info.memo, "memo").decode()
    return None if run.started is None else run.started.memo
