"""The laws of steps, turns and replay, each as a check that raises `Broken`.

They are about what any history must be (`check_history`), about memory and log (`check_memory`), about replay (`check_prefixes`,
`check_mutant`) and about two lives of the same script (`shape`, `first_difference`).
"""
from __future__ import annotations

import dataclasses
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

from aionlab.core import events as e
from aionlab.core.clock import Micros
from aionlab.core.errors import NondeterminismError
from aionlab.core.events import Recorded
from aionlab.core.ids import RunId
from aionlab.core.payload import hints_of
from aionlab.core.status import Status
from aionlab.engine.run import LiveRun, Recorder
from aionlab.replay.mailbox import boxes_of
from aionlab.replay.process import Code, Process
from aionlab.replay.rebuild import Rebuilt, rebuild
from aionlab.store.fold import run_of, timers_of

from .programs import Block, interpret
from .reference import Verdict, judge
from .world import VALUES, Broken, World

Shape = list[tuple[Any, ...]]


# --- histories compared ------------------------------------------------------------------------------------------------------


def shape(history: Sequence[Recorded], exact: bool = False) -> Shape:
    """A history without what a lost attempt changes: attempts begun and their numbers. `exact` leaves everything in."""
    if exact:
        return [(r.seq, r.at, r.deferred, r.event) for r in history]
    found: Shape = []
    for recorded in history:
        event: Any = recorded.event
        if isinstance(event, e.ActivityStarted):
            continue
        if hasattr(event, "attempt"):
            event = dataclasses.replace(event, attempt=1)
        if isinstance(event, e.SignalSent):
            event = dataclasses.replace(event, key="")
        elif isinstance(event, e.SignalReceived) and "/" in (event.idempotency_key or ""):  # of a sender whose run id depends on how often it was tried
            event = dataclasses.replace(event, idempotency_key="")
        elif isinstance(event, e.SignalUndelivered):
            event = dataclasses.replace(event, run_id=None)
        elif isinstance(event, e.UpdateCompleted) and event.error is not None:
            event = e.UpdateCompleted, event.update_id, event.error.type, event.rejected
        elif isinstance(event, e.WorkflowFailed | e.ChildWorkflowFailed):
            event = type(event), event.error.type
        elif isinstance(event, e.ChildWorkflowStarted):
            event = dataclasses.replace(event, child_run_id=RunId(""))
        elif isinstance(event, e.WorkflowStarted) and event.origin is not None:
            event = dataclasses.replace(event, origin=dataclasses.replace(event.origin, parent_run_id=None, root_run_id=None))
        found.append((recorded.at, recorded.deferred, event))
    return found


def first_difference(control: Shape, other: Shape) -> str:
    for index, (one, two) in enumerate(zip(control, other, strict=False)):
        if one != two:
            return f"row {index}: {one} in the control, {two} here"
    longer = control[len(other) :] or other[len(control) :]
    return f"row {min(len(control), len(other))}: {longer[0]} is only {'in the control' if len(control) > len(other) else 'here'}"


# --- laws --------------------------------------------------------------------------------------------------------------------


def check_history(history: Sequence[Recorded]) -> None:
    """Gapless; at most one terminal event, and nothing behind it; facts answer what was asked, once.

    Only a deferred fact may be overtaken: the code withdraws what it has not yet heard the end of.
    """
    open_activities: set[int] = set()
    late: set[tuple[str, int]] = set()
    open_timers: dict[int, int] = {}
    children: set[int] = set()
    seen: set[tuple[str, int]] = set()
    for seq, recorded in enumerate(history, 1):
        event = recorded.event
        if recorded.seq != seq:
            raise Broken(f"event {recorded.seq} stands where {seq} should")
        if type(event) in e.TERMINAL and seq != len(history):
            raise Broken(f"event {seq}, {type(event).__name__}, is not the last")
        match event:
            case e.ActivityScheduled(activity_id=number):
                _once(seen, "activity", number)
                open_activities.add(number)
            case e.ActivityCancelRequested(activity_id=number) if ("activity", number) in late:
                late.discard(("activity", number))
            case e.ActivityCompleted(activity_id=number) | e.ActivityCancelRequested(activity_id=number) | e.ActivityCancelled(activity_id=number):
                _close(open_activities, number, recorded, late)
            case e.ActivityFailed(activity_id=number) | e.ActivityTimedOut(activity_id=number):
                if event.next_attempt_at is None:
                    _close(open_activities, number, recorded, late)
                elif number not in open_activities:
                    raise Broken(f"event {seq}: activity {number} is closed and fails again")
            case e.TimerStarted(timer_id=number, fire_at=due):
                _once(seen, "timer", number)
                open_timers[number] = due
            case e.TimerFired(timer_id=number):
                if number not in open_timers:
                    raise Broken(f"event {seq}: timer {number} fires and is not open")
                if open_timers.pop(number) > recorded.at:
                    raise Broken(f"event {seq}: timer {number} fires early")
                if recorded.deferred:
                    late.add(("timer", number))
            case e.ChildWorkflowStarted(child_id=number):
                _once(seen, "child", number)
                children.add(number)
            case e.ChildWorkflowCancelRequested(child_id=number):
                _once(seen, f"stopping child {number}", 0)
            case _ if isinstance(event, e.ChildEnd):
                if event.child_id not in children:
                    raise Broken(f"event {seq}: child {event.child_id} ends and is not open")
                children.discard(event.child_id)
            case e.TimerCancelled(timer_id=number):
                if open_timers.pop(number, None) is None and ("timer", number) not in late:
                    raise Broken(f"event {seq}: timer {number} is cancelled and is not open")
            case _:
                pass


def _once(seen: set[tuple[str, int]], kind: str, number: int) -> None:
    if (kind, number) in seen:
        raise Broken(f"{kind} {number} is asked for twice")
    if number > 0 and (kind, number - 1) not in seen:
        raise Broken(f"{kind} {number} is asked for before {number - 1}")
    seen.add((kind, number))


def _close(open_activities: set[int], number: int, recorded: Recorded, late: set[tuple[str, int]]) -> None:
    if recorded.deferred:
        late.add(("activity", number))
    if number not in open_activities:
        raise Broken(f"event {recorded.seq}, {type(recorded.event).__name__}: activity {number} is not open")
    open_activities.discard(number)


def replayed(history: Sequence[Recorded], program: Block | None = None) -> Rebuilt:
    """`rebuild` on its own, with another program if one is given. Close the process."""
    first = history[0]
    started = first.event
    assert isinstance(started, e.WorkflowStarted)
    if program is not None:
        started = dataclasses.replace(started, input=VALUES.encode_args((program,), {}))
        history = [first._replace(event=started), *history[1:]]
    code = _code(started.workflow_type)
    return rebuild(
        lambda trace: Process(code, started, first.workflow_id, first.run_id, first.at, None, trace),  # type: ignore[abstract]  # as in Engine.new_process
        history,
    )


def _code(workflow_type: str) -> Code:
    return Code(workflow_type, "v1", interpret, hints_of(interpret), VALUES)


def likeness(process: Process) -> tuple[Any, ...]:
    """What a process waits for and has in hand."""
    boxes = {box.name: (list(box.signals), len(box.waiting)) for box in boxes_of(process._boxes) if box.signals or box.waiting}
    return (
        process.finished, process.cancel_requested, sorted(process._activities), sorted(process._timers or ()), process._activity_count,
        process._timer_count, boxes, process._orders, None if process._random is None else process._random.getstate(),
        sorted(process.handlers), process._offspring and (process._offspring.asked, sorted((n, str(c.run_id)) for n, c in process._offspring.open.items())),
        [(b.what, b.source) for b in process.blocked()],
    )  # fmt: skip


def check_memory(world: World) -> None:
    """At rest, memory is what the log says: folds, rows, timers, processes, attempts in flight."""
    store, engine = world.store.inner, world.engine
    for run in range(len(world.names)):
        history, live = world.history(run), world.live(run)
        row = store.run(world.name(run))
        if row is None:
            if history or live is not None:
                raise Broken(f"w{run} has no row")
            continue
        folded = run_of(row.key, row.workflow_key, history)
        assert folded is not None
        if (folded.status, dict(folded.attributes), folded.closed_at) != (row.status, dict(row.attributes), row.closed_at):
            raise Broken(f"w{run}: the row says {row}, the history {folded}")
        timers = [timer for timer in store.due_timers(Micros(2**62)) if timer.run_key == row.key]
        if sorted(timers, key=lambda timer: timer.timer_id) != timers_of(row.key, history):
            raise Broken(f"w{run}: the timers table is not what history says")
        if row.status.closed:
            if live is not None:
                raise Broken(f"w{run} is closed and still registered")
            if any(key[0] == row.key for key in engine.in_flight):
                raise Broken(f"w{run} is closed and has attempts in flight: {engine.in_flight}")
            continue
        if live is None:
            raise Broken(f"w{run} is open and not registered")
        _check_live(world, live, history)
    for (_, number), attempt in world.executor.held.items():
        if (attempt.run_key, number) not in engine.in_flight:
            raise Broken(f"attempt {attempt.attempt} of activity {number} runs, and the engine does not know")


def _check_live(world: World, live: LiveRun, history: list[Recorded]) -> None:
    engine, name = world.engine, live.workflow_id
    fresh = LiveRun(live.row, Recorder(live.workflow_id, live.row.workflow_key, 0))
    fresh.refold(history)
    for field in ("status", "timers", "cancel_requested", "signal_keys"):
        if (getattr(fresh, field) or None) != (getattr(live, field) or None):
            raise Broken(f"{name}: {field} is {getattr(live, field)} in memory and {getattr(fresh, field)} in the log")
    if dict(fresh.attributes) != dict(live.attributes):
        raise Broken(f"{name}: attributes are {live.attributes} in memory and {fresh.attributes} in the log")
    if live.recorder.head != len(history):
        raise Broken(f"{name}: the recorder is at {live.recorder.head}, the log at {len(history)}")
    opened = {number: (one.attempt, one.next_attempt_at) for number, one in (live.activities or {}).items()}
    if opened != {number: (one.attempt, one.next_attempt_at) for number, one in (fresh.activities or {}).items()}:
        raise Broken(f"{name}: open activities are {opened} in memory")
    armed = {(entry[3], entry[4], entry[0]) for entry in engine.timers._heap if entry[2] == live.key}
    for timer_id, due in (live.timers or {}).items():
        if (0, timer_id, due) not in armed:
            raise Broken(f"{name}: timer {timer_id} will never fire")
    if live.status is Status.RUNNING:
        for number, (attempt, next_at) in opened.items():
            if next_at is not None:
                if (1, number, next_at) not in armed:
                    raise Broken(f"{name}: activity {number} will never be tried again")
            elif (flight := engine.in_flight.get((live.key, number))) is None or flight.attempt != attempt or (
                (live.key, number) not in world.executor.held
            ):
                raise Broken(f"{name}: activity {number} (attempt {attempt}) is open and nobody runs it")
            elif live.activities and live.activities[number].scheduled.options.start_to_close is not None:
                if not any(entry[3:] == (2, number, attempt) for entry in engine.timers._heap if entry[2] == live.key):
                    raise Broken(f"{name}: the time limit of activity {number} (attempt {attempt}) is forgotten")
    _check_process(live, history)


def _check_process(live: LiveRun, history: list[Recorded]) -> None:
    name = live.workflow_id
    if live.stuck is not None:
        raise Broken(f"{name} is stuck: {live.stuck}")
    rebuilt = replayed(history)
    try:
        if live.process is None:
            return
        held = [recorded.seq for recorded in live.deferred or ()]
        if live.status is not Status.PAUSED and held:
            raise Broken(f"{name}: {held} wait although the code could take them")
        while rebuilt.waiting and (not held or rebuilt.waiting[0].seq < held[0]):
            late = rebuilt.waiting.popleft()
            if rebuilt.process.deliver(late.event, late.at):
                raise Broken(f"{name}: what event {late.seq} causes is not recorded")
        if [recorded.seq for recorded in rebuilt.waiting] != held:
            raise Broken(f"{name}: {held} wait in memory, {[recorded.seq for recorded in rebuilt.waiting]} in the log")
        if likeness(live.process) != likeness(rebuilt.process):
            raise Broken(f"{name}: memory is at {likeness(live.process)}, the log at {likeness(rebuilt.process)}")
    finally:
        rebuilt.process.close()


def check_families(world: World) -> None:
    """Every child that was asked for has one run, which started then, or its parent heard why not; a parent that was open when a child
    ended heard of it once, in the same commit; a child that is to end with its parent has."""
    for name in world.names:
        history = world._log(name)
        closed = next((r for r in history if type(r.event) in e.TERMINAL), None)
        ends = {r.event.child_id: r for r in history if isinstance(r.event, e.ChildEnd)}
        stopped = {r.event.child_id for r in history if isinstance(r.event, e.ChildWorkflowCancelRequested)}
        for recorded in history:
            event = recorded.event
            if isinstance(event, e.ChildWorkflowStarted):
                _check_child(world, recorded, event, ends.get(event.child_id), closed, event.child_id in stopped)


def check_messages(world: World) -> None:
    """What one run sent another is in the target's history once, in order, in the sender's commit, if the sender heard so; an update is
    accepted once and answered once at most."""
    received: dict[str, list[Recorded]] = {}
    for name in world.names:
        for recorded in world._log(name):
            if isinstance(recorded.event, e.SignalReceived) and "/" in (recorded.event.idempotency_key or ""):
                received.setdefault(str(recorded.event.idempotency_key), []).append(recorded)
    sent = {r.event.key for name in world.names for r in world._log(name) if isinstance(r.event, e.SignalSent)}
    strays = sorted(received.keys() - sent)
    if strays:
        raise Broken(f"nobody has sent the signal {strays[0]}")
    for name in world.names:
        history = world._log(name)
        _check_updates(name, history)
        heard = {r.event.send_id: r for r in history if isinstance(r.event, e.SignalDelivered | e.SignalUndelivered)}
        last: dict[str, int] = {}
        for recorded in history:
            event = recorded.event
            if not isinstance(event, e.SignalSent):
                continue
            what, told, there = f"signal {event.send_id} of {name}", heard.get(event.send_id), received.get(event.key, [])
            if len(there) > 1 or any(r.workflow_id != event.target or r.at != recorded.at for r in there):
                raise Broken(f"{what} is {len(there)} times in {event.target}, or at another time")
            if told is not None and isinstance(told.event, e.SignalDelivered) != bool(there):
                raise Broken(f"{what}: the sender heard {type(told.event).__name__}, and it is {len(there)} times in {event.target}")
            if told is None and not any(type(r.event) in e.TERMINAL for r in history):
                raise Broken(f"{what}: an open sender has heard nothing")
            if there and there[0].seq < last.get(event.target, 0):
                raise Broken(f"{what} came before one that was sent before it")
            last[event.target] = there[0].seq if there else last.get(event.target, 0)


def _check_updates(name: str, history: Sequence[Recorded]) -> None:
    accepted = [r.event.update_id for r in history if isinstance(r.event, e.UpdateAccepted)]
    answered = [r.event.update_id for r in history if isinstance(r.event, e.UpdateCompleted)]
    if len(set(accepted)) != len(accepted) or len(set(answered)) != len(answered) or not set(answered) <= set(accepted):
        raise Broken(f"updates of {name}: {accepted} accepted, {answered} answered")


def _check_child(
    world: World, asked: Recorded, event: e.ChildWorkflowStarted, told: Recorded | None, closed: Recorded | None, stopped: bool
) -> None:
    what = f"child {event.child_id} of {asked.workflow_id}"
    history = [r for r in world._log(event.child_workflow_id) if r.run_id == event.child_run_id]
    if not history:
        if closed is None and not (told is not None and isinstance(told.event, e.ChildWorkflowFailed)):
            raise Broken(f"{what} has no run, and its parent does not know")
        return
    started = history[0]
    assert isinstance(started.event, e.WorkflowStarted)
    origin = started.event.origin
    if origin is None or (started.event.parent_workflow_id, origin.parent_run_id, origin.child_id) != (asked.workflow_id, asked.run_id, event.child_id):
        raise Broken(f"{what} does not know its parent: {started.event}")
    if started.at != asked.at:
        raise Broken(f"{what} was asked for at {asked.at} and started at {started.at}")
    ended = history[-1] if type(history[-1].event) in e.TERMINAL else None
    if ended is not None and told is None and (closed is None or closed.at > ended.at):
        raise Broken(f"{what} has ended and its parent has not heard of it")
    if told is not None and (ended is None or ended.at != told.at or type(ended.event).__name__ != type(told.event).__name__.removeprefix("Child")):
        raise Broken(f"{what}: its parent heard {told.event}, its history says {ended}")
    if closed is not None and ended is None and event.parent_close == "terminate":
        raise Broken(f"{what} goes on although its parent has closed")
    asked_to_stop = stopped or (closed is not None and event.parent_close == "request_cancel")
    if asked_to_stop and ended is None and not any(isinstance(r.event, e.WorkflowCancelRequested) for r in history):
        raise Broken(f"{what} goes on and was not asked to stop")


def check_prefixes(history: Sequence[Recorded], verdict: Verdict, rng: random.Random, sample: int | None) -> Counter[str]:
    """Every prefix that ends with a step replays; every prefix that ends within one is refused."""
    counts: Counter[str] = Counter()
    cuts = range(1, len(history) + 1)
    for cut in cuts if sample is None or sample >= len(cuts) else rng.sample(cuts, sample):
        try:
            replayed(history[:cut]).process.close()
            accepted = True
        except NondeterminismError as error:
            accepted, why = False, str(error)
        if accepted != (cut in verdict.ends):
            raise Broken(f"the prefix of {cut} of {len(history)} events {'replays and must not' if accepted else 'does not replay: ' + why}")
        counts["prefixes"] += accepted
        counts["cut steps refused"] += not accepted
    return counts


def check_mutant(history: Sequence[Recorded], mutant: Block) -> str:
    """Replaying with changed code is refused if and only if the reference says that its requests differ."""
    started = history[0].event
    assert isinstance(started, e.WorkflowStarted)
    changed = dataclasses.replace(started, input=VALUES.encode_args((mutant,), {}))
    verdict = judge(interpret, [history[0]._replace(event=changed), *history[1:]], VALUES)
    try:
        rebuilt = replayed(history, mutant)
        rebuilt.process.close()
    except NondeterminismError as error:
        if not verdict.why:
            raise Broken(f"a mutant is refused ({error}) that asks for the same: {mutant}") from error
        return "mutants refused"
    if verdict.why:
        raise Broken(f"a mutant is accepted that differs ({verdict.why}): {mutant}")
    if len(rebuilt.warnings) != verdict.arguments:
        raise Broken(f"{verdict.arguments} requests differ in arguments, {len(rebuilt.warnings)} warnings: {mutant}")
    return "mutants with warnings" if rebuilt.warnings else "mutants accepted"
