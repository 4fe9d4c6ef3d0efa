"""Activities on their way: attempts are recorded, then run; results are recorded once; failures are retried as the policy says."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aionlab.core import events as e
from aionlab.core.clock import Micros
from aionlab.core.failure import Failure, clean
from aionlab.core.jsontext import dumps
from aionlab.core.ports import Attempt, Finished, Interrupted, Missing
from aionlab.core.status import Status

from . import heartbeats, queues
from .heartbeats import Flight
from .run import LiveRun, OpenActivity

if TYPE_CHECKING:
    from .engine import Engine

HAND_OVER: Final = 10_000
"""Attempts executors have at once, at most; more wait here."""
_TOOK_TOO_LONG = ("ActivityTimeout", "TimeoutError", "OSError", "Exception")
_STOPPED: Final = Failure("asyncio.exceptions:CancelledError", "the activity was cancelled before an attempt of it ran", ("CancelledError",))


# --- beginning -------------------------------------------------------------------------------------------------------


def admit(engine: Engine, run: LiveRun, opened: OpenActivity) -> None:
    """An activity is recorded that is more than an attempt to be made at once."""
    if opened.deadline is not None:
        engine.timers.arm_close(run, opened)
    begin(engine, run, opened)


def begin(engine: Engine, run: LiveRun, opened: OpenActivity) -> None:
    """The next attempt, as soon as it may be made: nothing is dispatched while the run is paused or waits for trust or code, and an
    activity of a queue waits for its turn there."""
    if run.status is not Status.RUNNING or run.waits_for:
        return
    options = opened.scheduled.options
    if opened.cancel_requested:
        _stopped(engine, run, opened)
    elif options.dedup_id is not None and not queues.unique(engine, run, opened):
        return
    elif (line := engine.queues.limited.get(options.queue)) is not None:
        line.enter(run, opened)
    else:
        start(engine, run, opened)


def start(engine: Engine, run: LiveRun, opened: OpenActivity) -> None:
    """Record the next attempt and hand it to the executor after the commit."""
    turn, attempt = engine.turn_now, opened.attempt + 1
    opened.pid = engine.tree.next_pid()
    turn.record(run, e.ActivityStarted(opened.scheduled.activity_id, attempt))
    turn.begun_attempts.append((run, opened, attempt))


def wanted(run: LiveRun, opened: OpenActivity, attempt: int) -> bool:
    """Whether an attempt recorded as begun is still to be made."""
    number = opened.scheduled.activity_id
    return not run.closed and run.activities is not None and run.activities.get(number) is opened and opened.attempt == attempt


def submit(engine: Engine, run: LiveRun, opened: OpenActivity, attempt: int) -> None:
    scheduled = opened.scheduled
    number, options = scheduled.activity_id, scheduled.options
    flight = engine.in_flight[run.row.key, number] = Flight(attempt)
    begun, deadline, details = opened.at, None, None
    if attempt > 1 or options.start_to_close is not None or options.heartbeat is not None or options.schedule_to_close is not None:
        begun = engine.clock.now()
        deadline = _watch(engine, run, opened, flight, begun)
        if opened.past is not None and opened.past.details is not None:
            details = e.Payload(opened.past.details.encode())
    asked = Attempt(
        run.row.key, run.workflow_id, run.run_id, number, scheduled.activity_type, attempt, scheduled.input, options, opened.at, begun, deadline, details
    )
    executor: Any = engine.executor
    try:
        if getattr(executor, "beats", False):
            executor.submit(asked, engine.submit, engine.beat)
        else:
            executor.submit(asked, engine.submit)
    except Exception as error:  # noqa: BLE001 - an executor that takes no work has failed the attempt, and the policy says what follows
        bases = tuple(cls.__name__ for cls in type(error).__mro__[:-2])
        engine.submit(Finished(run.row.key, number, attempt, None, Failure(type(error).__name__, clean(str(error)), bases)))


def _watch(engine: Engine, run: LiveRun, opened: OpenActivity, flight: Flight, now: Micros) -> Micros | None:
    """Set the limits of an attempt that is handed out; when it has taken too long, as far as that is known now."""
    options, number = opened.scheduled.options, opened.scheduled.activity_id
    deadline = opened.deadline
    if not getattr(engine.executor, "beats", False):
        flight.began = now
    if options.start_to_close is not None:
        flight.due = Micros(now + options.start_to_close)
        engine.timers.arm_timeout(run, number, flight.attempt, flight.due)
        deadline = flight.due if deadline is None else min(deadline, flight.due)
    if options.heartbeat is not None:
        flight.beat_due = Micros(now + options.heartbeat)
        engine.timers.arm_silence(run, number, flight.attempt, flight.beat_due)
    return deadline


def resume(engine: Engine, run: LiveRun) -> None:
    """After recovery or a pause: begin what should be running and is not. An attempt lost with its process counts as begun."""
    if run.status is not Status.RUNNING:
        return
    for number, opened in list((run.activities or {}).items()):
        key = (run.key, number)
        flight = engine.in_flight.get(key)
        if flight is not None and flight.attempt == opened.attempt:
            engine.queues.hold(opened.scheduled.options.queue, key, opened.attempt)
            continue
        if opened.next_attempt_at is None:
            if key not in engine.starved:
                if opened.attempt:
                    heartbeats.recall(engine, key, opened)
                begin(engine, run, opened)
        elif opened.next_attempt_at <= engine.turn_now.now or opened.cancel_requested:
            begin(engine, run, opened)


# --- ending ----------------------------------------------------------------------------------------------------------


def finished(engine: Engine, report: Finished) -> None:
    """An attempt ended. Reports that are late, doubled, or of closed runs are dropped before anything is recorded."""
    run = engine.registry.by_key(report.run_key)
    engine.turn_now.ended_attempts.append(((report.run_key, report.activity_id), report.attempt))
    if run is None or run.outcome is not None:
        heartbeats.forget(engine, (report.run_key, report.activity_id))
        return
    opened = run.activities.get(report.activity_id) if run.activities else None
    if opened is None or opened.attempt != report.attempt or (opened.next_attempt_at is not None and not opened.cancel_requested):
        return
    details = None if report.failure is None else _said(engine, run, opened)
    if engine.heartbeats.noted:
        heartbeats.forget(engine, (report.run_key, report.activity_id))
    if report.failure is None:
        assert report.result is not None
        completed = e.ActivityCompleted(report.activity_id, report.result, report.attempt)
        engine.fact(run, completed)
        if opened.scheduled.options.dedup_id is not None:
            queues.hand_on(engine, run, opened, completed)
    elif opened.cancel_requested and "CancelledError" in report.failure.bases:
        _close(engine, run, opened, e.ActivityCancelled(report.activity_id, report.attempt))
    else:
        failure = report.failure
        due = None if failure.non_retryable else _next(engine, run, opened, failure.bases, failure.next_retry_delay)
        earlier = None if due is not None else _earlier(opened)
        _end(engine, run, opened, e.ActivityFailed(report.activity_id, failure, report.attempt, due, details, earlier))


def timed_out(engine: Engine, run: LiveRun, number: int, attempt: int, kind: str) -> None:
    """An attempt took too long, or all of them together; what it may still report is dropped."""
    opened = run.activities[number]  # type: ignore[index]  # the timer's check has seen it
    details = _said(engine, run, opened)
    heartbeats.forget(engine, (run.key, number))
    engine.starved.pop((run.key, number), None)
    engine.turn_now.after_commit(stop, engine, (run.key, number), attempt)
    due = None if kind == "schedule_to_close" else _next(engine, run, opened, _TOOK_TOO_LONG, None)
    earlier = None if due is not None else _earlier(opened)
    _end(engine, run, opened, e.ActivityTimedOut(number, kind, attempt, due, details, earlier))


def overdue(engine: Engine, run: LiveRun, number: int, attempt: int) -> None:
    """Look whether an attempt has taken longer than start_to_close since its code began."""
    flight = engine.in_flight[run.key, number]
    limit = run.activities[number].scheduled.options.start_to_close  # type: ignore[index]  # as in timed_out
    assert limit is not None
    due = Micros((engine.turn_now.now if flight.began is None else flight.began) + limit)
    if due <= engine.turn_now.now:
        timed_out(engine, run, number, attempt, "start_to_close")
    else:
        flight.due = due
        engine.timers.arm_timeout(run, number, attempt, due)


def silent(engine: Engine, run: LiveRun, number: int, attempt: int) -> None:
    """Look whether an attempt has not been heard of for longer than its heartbeat timeout."""
    flight = engine.in_flight[run.key, number]
    limit = run.activities[number].scheduled.options.heartbeat  # type: ignore[index]  # as in timed_out
    assert limit is not None
    last = flight.beat_at if flight.beat_at is not None else flight.began
    due = Micros((engine.turn_now.now if last is None else last) + limit)
    if due <= engine.turn_now.now:
        timed_out(engine, run, number, attempt, "heartbeat")
    else:
        flight.beat_due = due
        engine.timers.arm_silence(run, number, attempt, due)


def _next(engine: Engine, run: LiveRun, opened: OpenActivity, types: tuple[str, ...], delay: int | None) -> Micros | None:
    """When another attempt follows the one that has ended; None when none does."""
    policy, attempt = opened.scheduled.options.retry, opened.attempt
    if opened.past is not None:
        attempt -= opened.past.spent
    if opened.cancel_requested or not policy.allows(attempt, types):
        return None
    if delay is None:
        delay = policy.delay_after(attempt, f"{run.run_id}/{opened.scheduled.activity_id}")
    due = Micros(engine.turn_now.now + delay)
    return None if opened.deadline is not None and due >= opened.deadline else due


def _end(engine: Engine, run: LiveRun, opened: OpenActivity, event: e.ActivityFailed | e.ActivityTimedOut) -> None:
    """Record the end of an attempt, with which the activity has ended too unless another follows."""
    if event.next_attempt_at is None:
        _close(engine, run, opened, event)
        return
    engine.turn_now.record(run, event)
    engine.timers.arm_retry(run, event.activity_id, event.attempt, event.next_attempt_at)


def _close(engine: Engine, run: LiveRun, opened: OpenActivity, event: e.Event) -> None:
    engine.fact(run, event)
    if opened.scheduled.options.dedup_id is not None:
        queues.hand_on(engine, run, opened, event)


def _said(engine: Engine, run: LiveRun, opened: OpenActivity) -> str | None:
    """What the attempt that is ending said last."""
    flight = engine.in_flight.get((run.key, opened.scheduled.activity_id))
    if flight is None or flight.attempt != opened.attempt or flight.details is None:
        return None
    return flight.details.decode()


def _earlier(opened: OpenActivity) -> str | None:
    past = opened.past
    return None if past is None or not past.earlier else dumps(past.earlier).decode()


def landed(engine: Engine, ended: list[tuple[tuple[int, int], int]]) -> None:
    """Forget that attempts are in flight once their end is recorded; before that, a rebuilt run must not dispatch them again."""
    in_flight = engine.in_flight
    for key, attempt in ended:
        flight = in_flight.get(key)
        if flight is not None and flight.attempt == attempt:
            del in_flight[key]


def stop(engine: Engine, key: tuple[int, int], attempt: int) -> None:
    """Tell the executor that an attempt is no longer waited for."""
    flight = engine.in_flight.get(key)
    if flight is not None and flight.attempt == attempt:
        del engine.in_flight[key]
        engine.executor.cancel(*key)


def withdraw(engine: Engine, run: LiveRun, number: int) -> None:
    """The code no longer wants the activity: tell the executor, after the commit. One whose end is waited for stays."""
    key = (run.key, number)
    opened = run.activities.get(number) if run.activities else None
    starved = engine.starved.pop(key, None)
    flight = engine.in_flight.get(key)
    if opened is not None:
        if flight is not None and starved is None:
            engine.turn_now.after_commit(engine.executor.cancel, *key)
        else:
            _stopped(engine, run, opened)
        return
    heartbeats.forget(engine, key)
    if flight is not None:
        engine.turn_now.after_commit(stop, engine, key, flight.attempt)


def _stopped(engine: Engine, run: LiveRun, opened: OpenActivity) -> None:
    """An activity whose end is waited for, and of which nothing runs, has stopped; its code hears of it in the next turn."""
    engine.turn_now.after_commit(engine.submit, Finished(run.key, opened.scheduled.activity_id, opened.attempt, None, _STOPPED))


def recount(engine: Engine, run: LiveRun) -> None:
    """After a turn was undone: attempts that the log no longer waits for are stopped, and are in flight no more."""
    for key in [key for key in engine.in_flight if key[0] == run.key]:
        opened = run.activities.get(key[1]) if run.activities else None
        if opened is None or opened.attempt != engine.in_flight[key].attempt or opened.next_attempt_at is not None:
            del engine.in_flight[key]
            engine.executor.cancel(*key)


# --- neither beginning nor ending --------------------------------------------------------------------------------------


def interrupted(engine: Engine, report: Interrupted) -> None:
    """An attempt was lost to a KeyboardInterrupt: it stands as begun, and the next follows when its run is recovered."""
    key = (report.run_key, report.activity_id)
    flight = engine.in_flight.get(key)
    if flight is None or flight.attempt != report.attempt:
        return
    del engine.in_flight[key]
    run = engine.registry.by_key(report.run_key)
    opened = run.activities.get(report.activity_id) if run is not None and run.activities else None
    if run is None or opened is None:
        return
    if flight.details is not None:
        opened.remember().details = flight.details.decode()
    engine.queues.release(opened.scheduled.options.queue, key)
    if opened.cancel_requested:
        _stopped(engine, run, opened)


def missing(engine: Engine, report: Missing) -> None:
    """The attempt could not begin for want of definitions; it waits, uncounted, until they come."""
    key = (report.run_key, report.activity_id)
    flight = engine.in_flight.get(key)
    if flight is None or flight.attempt != report.attempt:
        return
    del engine.in_flight[key]
    run = engine.registry.by_key(report.run_key)
    if run is not None and not run.closed:
        engine.starved[key] = report.names


def feed(engine: Engine) -> None:
    """Definitions have come: hand the waiting attempts to the executor again."""
    if engine.starved:
        engine.turn_now.after_commit(_feed, engine)


def _feed(engine: Engine) -> None:
    starved, engine.starved = engine.starved, {}
    for key in starved:
        run = engine.registry.by_key(key[0])
        opened = run.activities.get(key[1]) if run is not None and run.activities else None
        if run is not None and opened is not None and key not in engine.in_flight:
            submit(engine, run, opened, opened.attempt)
