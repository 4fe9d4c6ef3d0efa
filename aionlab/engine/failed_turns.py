"""When a turn fails: memory goes back to what the log shows, and everyone who asked is told or asked again.

A commit that failed, or whose outcome is unknown, and a defect while a turn was carried out end here. No memory stays ahead of the log:
every process the turn touched is dropped and rebuilt from what is recorded, callers get the error (or, where the log shows it happened,
the result), facts are taken again, and the engine halts with the reason until the store answers.
"""
from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from aionlab.core.errors import (
    BadBatch,
    Fenced,
    IllegalEvent,
    InvalidAttribute,
    RunNotFound,
    SequenceConflict,
    StoreError,
    StoreUnavailable,
)
from aionlab.core.ports import Finished, Missing

from . import activities, processes, waiting
from .call import Call
from .run import LiveRun
from .schedules import Schedule
from .schedules import recovery as schedules
from .turn import Message, Turn

if TYPE_CHECKING:
    from .engine import Engine


LOOKING = frozenset({
    "details", "entry", "handlers", "history", "names", "now", "progress", "recent", "registry", "routed", "run", "runs",
    "schedule_describe", "schedule_history", "schedule_runs", "schedules", "stack", "store", "supervision", "supervisors",
    "tree", "types", "unwait", "versions",
})  # fmt: skip
"""Verbs that only read, and go on when another kernel has taken over."""


def abandon(engine: Engine, turn: Turn, error: Exception, messages: list[Message]) -> None:
    """Undo a turn whose commit failed, or may have; memory goes back to what the log shows."""
    engine.now_turn = None
    engine.ready.clear()
    for run in turn.touched.values():
        processes.drop(engine, run)
    engine.lost |= turn.touched
    for run in engine.registry:
        if run.mail is not None and run.key not in engine.lost:
            processes.post(engine, run)
    engine.timers.put_back(turn.fired)
    engine.schedules.lost |= turn.schedules or {}
    if isinstance(error, StoreError) and not isinstance(error, IllegalEvent | BadBatch | SequenceConflict):
        engine.halted = engine.trouble = str(error) or type(error).__name__
        engine.fenced = engine.fenced or isinstance(error, Fenced)
    if isinstance(error, StoreUnavailable) and _landed(engine, turn):
        engine.count(turn)
        engine.committed(turn, dispatch=False)
        engine.act()
        return
    blamed = _blame(engine, turn, error)
    for place, (message, _) in enumerate(turn.taken):
        if place not in blamed:
            engine.again.append(message)
        if isinstance(message, Call):
            if place in blamed and message.verb in LOOKING and isinstance(error, StoreError):
                engine.parked.append(message)
            elif place in blamed:
                message.fail(error)
            else:
                message.untake()
    engine.again.extend(messages[turn.begun :])
    if engine.fenced:
        _leave_waiting(engine, error)
        _forget(engine)
    if not engine.halted:
        bring_back(engine)


def _blame(engine: Engine, turn: Turn, error: Exception) -> set[int]:
    """Which of the taken messages, by place, a failed turn's error is for; the others are taken again in a later turn. A run that
    fails by a defect of ours, or whose events the store will not have, is stuck."""
    calls = {place for place, (message, _) in enumerate(turn.taken) if isinstance(message, Call)}
    if isinstance(error, SequenceConflict):
        touched: list[LiveRun | Schedule] = [*turn.touched.values(), *(turn.schedules or {}).values()]
        keys = {run.recorder.key for run in touched if run.workflow_id == error.workflow_id}
        rows = turn.batch.rows
        ends = [start for _, start in turn.taken[1:]] + [len(rows)]
        return {place for place in calls if any(row[0] in keys for row in rows[turn.taken[place][1] : ends[place]])}
    if isinstance(error, BadBatch):
        if len(turn.taken) > 1:
            engine.one_by_one = len(turn.taken)
            return set()
        for run in turn.touched.values():
            run.stuck = error
        return set(range(len(turn.taken)))
    if isinstance(error, StoreError) and not isinstance(error, IllegalEvent):
        return calls
    at = turn.at
    if isinstance(at, LiveRun) and turn.planned.get(at.workflow_id) is at:  # it would begin in this turn: what led to it is at fault
        at = turn.taken[-1][0] if turn.taken else engine.registry.by_key(turn.fired[-1][2]) if turn.fired else None
    if at is None:
        engine.halted = f"{type(error).__name__}: {error}"
        return calls
    if isinstance(at, Schedule):
        at.stuck = error
        return set()
    culprit = at if isinstance(at, LiveRun) else None if isinstance(at, Call) else engine.registry.by_key(at.run_key)
    if culprit is not None:
        culprit.stuck = error
        processes.drop(engine, culprit)
        engine.lost[culprit.key] = culprit
        if isinstance(at, Finished | Missing):
            engine.in_flight.pop((at.run_key, at.activity_id), None)
        engine.homeless = deque(run for run in engine.homeless if run is not culprit)
    return {place for place, (message, _) in enumerate(turn.taken) if message is at}


def _landed(engine: Engine, turn: Turn) -> bool:
    """Whether the log shows a batch of unknown outcome; asks until the store answers or says that it cannot."""
    for workflow_key, expected in turn.batch.expected.items():
        touched: list[LiveRun | Schedule] = [*turn.touched.values(), *(turn.schedules or {}).values()]
        run = next(run for run in touched if run.recorder.key == workflow_key)
        for _ in range(3):
            try:
                return engine.store.head(run.workflow_id) > expected
            except StoreError:
                continue
        break
    return False


def _leave_waiting(engine: Engine, error: Exception) -> None:
    """Nothing will be recorded here any more: tell everyone who waits for something to be."""
    for call in engine.settlers:
        call.fail(error)
    engine.settlers.clear()
    for run in engine.registry:
        waiting.fail(run, error)


def bring_back(engine: Engine) -> bool:
    """Bring what a failed turn touched back from the log; whether the store answered."""
    if engine.fenced:
        return False
    try:
        while engine.lost:
            run = next(iter(engine.lost.values()))
            if isinstance(run.stuck, InvalidAttribute):  # for a fact that may not be in the log
                run.stuck = None
            history = processes.recall(engine, run)
            run.recorder.head = engine.store.head(run.workflow_id)
            if history is not None:
                activities.recount(engine, run)
                waiting.serve(engine, run)
            if history == []:
                engine.registry.remove(run)
                waiting.fail(run, RunNotFound(run.workflow_id, run.run_id))
            elif run.closed:
                processes.retire(engine, run)
            else:
                engine.registry.insert(run)
                engine.homeless.append(run)
            del engine.lost[run.key]
        schedules.bring_back(engine)
    except StoreError as error:
        engine.halted = str(error) or type(error).__name__
        return False
    engine.halted = ""
    return True


def _forget(engine: Engine) -> None:
    """Another kernel owns the runs now; what is looked at here comes from the log."""
    for run in engine.registry:
        processes.drop(engine, run)
        engine.registry.remove(run)
    engine.lost.clear()
    engine.homeless.clear()


def look(engine: Engine, call: Call) -> None:
    """Answer a call that only reads, between turns."""
    try:
        call.answer(engine.verbs[call.verb](engine, *call.arguments))
    except Exception as error:  # noqa: BLE001 - the caller's answer
        call.fail(error)


def refuse(engine: Engine, messages: list[Message]) -> None:
    """While the engine is halted: facts wait, callers are told why (those that only look are answered, once another kernel owns the runs)."""
    for message in messages:
        if isinstance(message, Call):
            if not message.take():
                continue
            if engine.fenced and message.verb in LOOKING:
                look(engine, message)
            else:
                message.fail(Fenced(engine.halted) if engine.fenced else StoreUnavailable(f"the engine is halted: {engine.halted}"))
        else:
            engine.again.append(message)
