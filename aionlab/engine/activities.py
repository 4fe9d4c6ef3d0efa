"""Activities on their way: attempts are recorded, then run; results are recorded once; failures are retried as the policy says."""
from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from aionlab.core import events as e
from aionlab.core.clock import Micros
from aionlab.core.failure import Failure, clean
from aionlab.core.ports import Attempt, Finished, Missing
from aionlab.core.status import Status

from .run import LiveRun, OpenActivity

if TYPE_CHECKING:
    from .engine import Engine


class Flight(NamedTuple):
    """An attempt on its way."""

    attempt: int
    due: Micros | None
    """When it has taken too long."""


def begin(engine: Engine, run: LiveRun, opened: OpenActivity) -> None:
    """Record the next attempt and hand it to the executor after the commit. Nothing is dispatched while the run is paused, or waits for
    trust or code."""
    if run.status is not Status.RUNNING or run.waits_for:
        return
    scheduled = opened.scheduled
    number, attempt = scheduled.activity_id, opened.attempt + 1
    turn = engine.turn_now
    opened.pid = engine.tree.next_pid()
    turn.record(run, e.ActivityStarted(number, attempt))
    turn.begun_attempts.append((run, opened, attempt))


def wanted(run: LiveRun, opened: OpenActivity, attempt: int) -> bool:
    """Whether an attempt recorded as begun is still to be made."""
    number = opened.scheduled.activity_id
    return not run.closed and run.activities is not None and run.activities.get(number) is opened and opened.attempt == attempt


def submit(engine: Engine, run: LiveRun, opened: OpenActivity, attempt: int) -> None:
    scheduled = opened.scheduled
    number = scheduled.activity_id
    limit = scheduled.options.start_to_close
    due = None if limit is None else Micros(engine.clock.now() + limit)
    engine.in_flight[run.row.key, number] = Flight(attempt, due)
    if due is not None:
        engine.timers.arm_timeout(run, number, attempt, due)
    try:
        engine.executor.submit(
            Attempt(run.row.key, run.workflow_id, run.run_id, number, scheduled.activity_type, attempt, scheduled.input, scheduled.options),
            engine.submit,
        )
    except Exception as error:  # noqa: BLE001 - an executor that takes no work has failed the attempt, and the policy says what follows
        bases = tuple(cls.__name__ for cls in type(error).__mro__[:-2])
        engine.submit(Finished(run.row.key, number, attempt, None, Failure(type(error).__name__, clean(str(error)), bases)))


def resume(engine: Engine, run: LiveRun) -> None:
    """After recovery or a pause: begin what should be running and is not. An attempt lost with its process counts as begun."""
    if run.status is not Status.RUNNING:
        return
    for number, opened in list((run.activities or {}).items()):
        flight = engine.in_flight.get((run.key, number))
        if flight is not None and flight.attempt == opened.attempt:
            continue
        if opened.next_attempt_at is None:
            if (run.key, number) not in engine.starved:
                begin(engine, run, opened)
        elif opened.next_attempt_at <= engine.turn_now.now:
            begin(engine, run, opened)


def finished(engine: Engine, report: Finished) -> None:
    """An attempt ended. Reports that are late, doubled, or of closed runs are dropped before anything is recorded."""
    run = engine.registry.by_key(report.run_key)
    engine.turn_now.ended_attempts.append(((report.run_key, report.activity_id), report.attempt))
    if run is None or run.outcome is not None:
        return
    opened = run.activities.get(report.activity_id) if run.activities else None
    if opened is None or opened.attempt != report.attempt or opened.next_attempt_at is not None:
        return
    if report.failure is None:
        assert report.result is not None
        engine.fact(run, e.ActivityCompleted(report.activity_id, report.result, report.attempt))
        return
    failure, policy, turn = report.failure, opened.scheduled.options.retry, engine.turn_now
    if failure.non_retryable or not policy.allows(report.attempt, failure.bases):
        engine.fact(run, e.ActivityFailed(report.activity_id, failure, report.attempt))
        return
    delay = policy.delay_after(report.attempt) if failure.next_retry_delay is None else failure.next_retry_delay
    due = Micros(turn.now + delay)
    turn.record(run, e.ActivityFailed(report.activity_id, failure, report.attempt, due))
    engine.timers.arm_retry(run, report.activity_id, report.attempt, due)


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


def timed_out(engine: Engine, run: LiveRun, number: int, attempt: int) -> None:
    """An attempt took longer than start_to_close; what it may still report is dropped."""
    opened = run.activities[number]  # type: ignore[index]  # the timer's check has seen it
    turn, policy = engine.turn_now, opened.scheduled.options.retry
    turn.after_commit(stop, engine, (run.key, number), attempt)
    if not policy.allows(attempt, ("TimeoutError",)):
        engine.fact(run, e.ActivityTimedOut(number, "start_to_close", attempt))
        return
    due = Micros(turn.now + policy.delay_after(attempt))
    turn.record(run, e.ActivityTimedOut(number, "start_to_close", attempt, due))
    engine.timers.arm_retry(run, number, attempt, due)


def withdraw(engine: Engine, run: LiveRun, number: int) -> None:
    """The code no longer wants the activity: tell the executor, after the commit."""
    engine.starved.pop((run.key, number), None)
    flight = engine.in_flight.get((run.key, number))
    if flight is not None:
        engine.turn_now.after_commit(stop, engine, (run.key, number), flight.attempt)


def recount(engine: Engine, run: LiveRun) -> None:
    """After a turn was undone: attempts that the log no longer waits for are stopped, and are in flight no more."""
    for key in [key for key in engine.in_flight if key[0] == run.key]:
        opened = run.activities.get(key[1]) if run.activities else None
        if opened is None or opened.attempt != engine.in_flight[key].attempt or opened.next_attempt_at is not None:
            del engine.in_flight[key]
            engine.executor.cancel(*key)


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
