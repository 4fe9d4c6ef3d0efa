"""Queues: who may begin an attempt now, and who waits.

A queue with limits holds attempts back until there is a slot for them (`concurrency`) and a token (`rate` of them in a `period`, each of
which comes back a period after it was taken, so that no stretch of that length ever sees more starts than `rate`). What waits is a
projection of histories: an activity is scheduled and no attempt of it has begun; tokens that are out are noted with the attempts they
were taken for. Everything here is decided at the end of a turn, so
whatever frees a slot needs to tell nobody. A queue without limits does not appear here at all.
"""
from __future__ import annotations

import heapq
import json
from collections import Counter, deque
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from aionlab.core import events as e
from aionlab.core.clock import Micros
from aionlab.core.errors import InvalidOption
from aionlab.core.failure import Failure
from aionlab.core.names import check_name
from aionlab.core.ports import EventStore, Finished
from aionlab.core.snapshots import QueueState
from aionlab.core.status import Status

from . import activities

if TYPE_CHECKING:
    from .engine import Engine
    from .run import LiveRun, OpenActivity

Key = tuple[int, int]
"""(run key, activity id)."""
_META: Final = "queues"
_SWEEP: Final = 1000
_EXACT: Final = 200


class Line:
    """What waits in one queue, and what runs of it."""

    __slots__ = ("_heap", "_keys", "_order", "_places", "concurrency", "name", "period", "priority", "rate", "running", "taken", "tick")

    def __init__(self, name: str, concurrency: int | None, rate: int | None, period: Micros, priority: bool) -> None:
        self.name, self.concurrency, self.rate, self.period, self.priority = name, concurrency, rate, period, priority
        self.running: dict[Key, int] = {}
        """Attempts that hold a slot; some have given it back since they were last counted."""
        self.taken: deque[Micros] = deque()
        """When each token that may still be out was taken, oldest first."""
        self.tick: Micros | None = None
        """When a token comes back that something waits for."""
        self._heap: list[tuple[int, Micros, int, int, Key, OpenActivity, int]] = []
        self._keys: dict[Key, OpenActivity] = {}
        self._places: dict[Key, tuple[int, int]] = {}
        """Attempts before, and number in the line: who leaves it for a while (its run is paused or rebuilt, its attempt lost) comes back to
        its place; a retry gets a new one."""
        self._order = count()

    def enter(self, run: LiveRun, opened: OpenActivity) -> None:
        """Wait for the next attempt's turn: by priority, then by the time since when it could have begun, then as they came."""
        key = (run.key, opened.scheduled.activity_id)
        if self._keys.get(key) is opened:
            return
        self._keys[key] = opened
        self.running.pop(key, None)  # an attempt that was lost, and still stands as begun
        place = self._places.get(key)
        if place is None or (place[0] != opened.attempt and opened.next_attempt_at is not None):
            place = self._places[key] = opened.attempt, next(self._order)
            if len(self._places) > 2 * len(self._keys) + _SWEEP:
                self._places = {key: self._places[key] for key in self._keys}
        rank = opened.scheduled.options.priority if self.priority else 0
        since = opened.at if opened.next_attempt_at is None else opened.next_attempt_at
        heapq.heappush(self._heap, (rank, since, place[1], next(self._order), key, opened, opened.attempt))

    def hand_out(self, engine: Engine) -> None:
        """Begin as many attempts as may begin now."""
        heap, now, begun = self._heap, engine.turn_now.now, 0
        while heap:
            *_, key, opened, attempt = heap[0]
            run = engine.registry.by_key(key[0])
            if run is not None and _waits(run, key[1], opened, attempt):
                if not self._free(engine, now):
                    break
                activities.start(engine, run, opened)
                self.running[key] = opened.attempt
                begun += 1
                if self.rate is not None:
                    self.taken.append(now)
            heapq.heappop(heap)
            if self._keys.get(key) is opened:
                del self._keys[key]
        if self.rate is None:
            return
        if begun:
            engine.turn_now.batch.notes.append((_tokens(self.name), json.dumps(self._told())))
        if heap and len(self.taken) >= self.rate:
            due = Micros(self.taken[-self.rate] + self.period)
            if self.tick != due:
                self.tick = due
                engine.timers.arm_tick(due)

    def _told(self) -> list[tuple[int, int]]:
        """The tokens that are out, as (when taken, how many): exact while they are few, else to a hundredth of the period and never too
        early."""
        taken = Counter(self.taken)
        if len(taken) > _EXACT:
            step = self.period // 100 + 1
            taken = Counter(-(-at // step) * step for at in self.taken)  # type: ignore[misc]  # plain numbers
        return sorted(taken.items())

    def _free(self, engine: Engine, now: Micros) -> bool:
        if self.rate is not None:
            while self.taken and self.taken[0] + self.period <= now:
                self.taken.popleft()
            if len(self.taken) >= self.rate:
                return False
        if self.concurrency is not None and len(self.running) >= self.concurrency:
            self.running = {key: attempt for key, attempt in self.running.items() if _holds(engine, key, attempt)}
            return len(self.running) < self.concurrency
        return True

    def state(self, engine: Engine) -> QueueState:
        waiting = 0
        for key, opened in self._keys.items():
            run = engine.registry.by_key(key[0])
            waiting += run is not None and _waits(run, key[1], opened, opened.attempt)
        running = sum(_holds(engine, key, attempt) for key, attempt in self.running.items())
        return QueueState(self.name, waiting, running, self.concurrency, self.rate, self.period if self.rate is not None else None, self.priority)

    @property
    def empty(self) -> bool:
        return not self._heap

    def follow(self, old: Line) -> list[tuple[Key, OpenActivity]]:
        """Take over from the same queue with other limits: what runs of it, its tokens, its order. Who waited there, some of whom may have
        left."""
        self.running, self.taken, self._places, self._order = old.running, old.taken, old._places, old._order
        return list(old._keys.items())


class Queues:
    """The queues with limits, and the ids of which one activity at a time may be open."""

    __slots__ = ("following", "holders", "late", "limited", "sweep_at")

    def __init__(self, store: EventStore) -> None:
        self.limited: dict[str, Line] = {}
        self.holders: dict[tuple[str, str], Key] = {}
        """(queue, dedup id) → the activity that has it; it may have closed since."""
        self.following: dict[tuple[str, str], deque[Key]] = {}
        """Activities that wait for the holder's outcome, to take it as their own."""
        self.late: list[tuple[LiveRun, OpenActivity]] = []
        """Activities with dedup ids that recovery has found; who has the id is decided once all are known."""
        self.sweep_at = _SWEEP
        for declared in json.loads(store.meta(_META) or "[]"):
            line = self.limited[declared["name"]] = Line(**declared)
            for at, tokens in json.loads(store.meta(_tokens(line.name)) or "[]"):
                line.taken.extend([Micros(at)] * tokens)

    @property
    def busy(self) -> bool:
        """Whether anything may wait here."""
        return bool(self.limited or self.following or self.late)

    def hold(self, queue: str, key: Key, attempt: int) -> None:
        """The attempt runs, though a turn that was undone may have seen its end."""
        line = self.limited.get(queue)
        if line is not None:
            line.running[key] = attempt

    def release(self, queue: str, key: Key) -> None:
        """The attempt does not run any more, though no end of it is recorded."""
        line = self.limited.get(queue)
        if line is not None:
            line.running.pop(key, None)

    def ticks(self, due: Micros) -> bool:
        return any(line.tick == due for line in self.limited.values())

    def ticked(self, due: Micros) -> None:
        for line in self.limited.values():
            if line.tick == due:
                line.tick = None


def _tokens(name: str) -> str:
    """Where the tokens of a queue that are out are kept."""
    return f"tokens:{name}"


def dispatch(engine: Engine) -> None:
    """At the end of a turn, where there are queues with limits or ids that are waited for."""
    queues = engine.queues
    if queues.late and engine.recovered:
        late, queues.late = queues.late, []
        for run, opened in sorted(late, key=lambda found: (found[1].attempt == 0, found[1].at, found[0].key, found[1].scheduled.activity_id)):
            if run.activities is not None and run.activities.get(opened.scheduled.activity_id) is opened:
                activities.begin(engine, run, opened)
    if queues.following:
        _promote(engine)
    for line in queues.limited.values():
        if not line.empty:
            line.hand_out(engine)


# --- verbs -----------------------------------------------------------------------------------------------------------


def register(engine: Engine, name: str, concurrency: int | None, rate: int | None, period: Micros, priority: bool) -> None:
    """Limit a queue, or change its limits; without any it is as if it had never been named. What runs is left alone.

    Raises InvalidName, InvalidOption with nothing changed.
    """
    queues, name = engine.queues, check_name("queue name", name)
    for what, limit in (("concurrency", concurrency), ("rate", rate)):
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            raise InvalidOption(f"{what}={limit!r}; it counts attempts, so at least 1 (None: no limit)")
    if period < 1:
        raise InvalidOption("period must be longer than 0")
    if not isinstance(priority, bool):
        raise InvalidOption(f"priority={priority!r}; True where priorities count in this queue, False for first come, first served")
    old = queues.limited.get(name)
    kept = {line.name: line for line in queues.limited.values()}
    kept.pop(name, None)
    line = Line(name, concurrency, rate, period, priority)
    if concurrency is not None or rate is not None:
        kept[name] = line
    told = [
        {"name": one.name, "concurrency": one.concurrency, "rate": one.rate, "period": one.period, "priority": one.priority} for one in kept.values()
    ]
    engine.store.set_meta(_META, json.dumps(told))
    queues.limited = kept
    waiting = [] if old is None else line.follow(old)
    if old is None:  # what runs of it already holds slots, as if it had begun under the limits
        for run in engine.registry:
            for number, opened in (run.activities or {}).items():
                if opened.scheduled.options.queue == name and (run.key, number) in engine.in_flight:
                    line.running[run.key, number] = opened.attempt
    for (run_key, _), opened in waiting:
        found = engine.registry.by_key(run_key)
        if found is not None and _waits(found, opened.scheduled.activity_id, opened, opened.attempt):
            activities.begin(engine, found, opened)


def states(engine: Engine) -> list[QueueState]:
    """Every queue with limits, by name, behind what has none: the default queue and those that activities name."""
    found = [line.state(engine) for _, line in sorted(engine.queues.limited.items())]
    free: dict[str, int] = {} if "default" in engine.queues.limited else {"default": 0}
    waiting: dict[str, int] = {}
    for (run_key, number) in engine.in_flight:
        run = engine.registry.by_key(run_key)
        opened = run.activities.get(number) if run is not None and run.activities else None
        if opened is not None and opened.scheduled.options.queue not in engine.queues.limited:
            name = opened.scheduled.options.queue
            free[name] = free.get(name, 0) + 1
    for run, opened, attempt in engine.outbox:
        name = opened.scheduled.options.queue
        if name not in engine.queues.limited and activities.wanted(run, opened, attempt):
            waiting[name] = waiting.get(name, 0) + 1
            free.setdefault(name, 0)
    return [QueueState(name, waiting.get(name, 0), running, None, None, None, True) for name, running in sorted(free.items())] + found


# --- one at a time ---------------------------------------------------------------------------------------------------


def unique(engine: Engine, run: LiveRun, opened: OpenActivity) -> bool:
    """Whether the activity has its dedup id, now or already; otherwise it is rejected, or waits for the outcome of the one that has it."""
    queues, options = engine.queues, opened.scheduled.options
    if not engine.recovered:
        queues.late.append((run, opened))
        return False
    assert options.dedup_id is not None
    name, me = (options.queue, options.dedup_id), (run.key, opened.scheduled.activity_id)
    holder = queues.holders.get(name)
    if holder is None or holder == me or not _open(engine, holder):
        queues.holders[name] = me
        if len(queues.holders) > queues.sweep_at:
            queues.holders = {name: key for name, key in queues.holders.items() if _open(engine, key)}
            queues.sweep_at = max(_SWEEP, 2 * len(queues.holders))
        return True
    if options.on_duplicate == "return_existing" or opened.attempt:
        line = queues.following.setdefault(name, deque())
        if me not in line:
            line.append(me)
        return False
    said = f"{options.dedup_id!r} is in use in queue {options.queue!r} by activity {holder[1]} of {_workflow_id(engine, holder)}"
    failure = Failure("aionlab.core.errors:DuplicateActivity", said, ("DuplicateActivity", "AionError", "Exception"), {"args": [said]}, non_retryable=True)
    engine.turn_now.after_commit(engine.submit, Finished(*me, opened.attempt, None, failure))
    return False


def hand_on(engine: Engine, run: LiveRun, opened: OpenActivity, event: e.Event) -> None:
    """The holder of a dedup id has ended: the id is free, and what it came to is what those that waited for it come to."""
    queues, options = engine.queues, opened.scheduled.options
    assert options.dedup_id is not None
    name = (options.queue, options.dedup_id)
    if queues.holders.get(name) != (run.key, opened.scheduled.activity_id):
        return
    del queues.holders[name]
    if isinstance(event, e.ActivityCancelled):
        return  # the first of those that waited makes it anew
    for run_key, number in queues.following.pop(name, ()):
        follower = engine.registry.by_key(run_key)
        waiting = follower.activities.get(number) if follower is not None and follower.activities else None
        if follower is None or waiting is None or waiting.scheduled.options.dedup_id != options.dedup_id:
            continue
        match event:
            case e.ActivityCompleted(result=result, attempt=attempt):
                engine.fact(follower, e.ActivityCompleted(number, result, attempt))
            case e.ActivityFailed(error=error, attempt=attempt, earlier=earlier):
                engine.fact(follower, e.ActivityFailed(number, error, attempt, earlier=earlier))
            case e.ActivityTimedOut(kind=kind, attempt=attempt, earlier=earlier):
                engine.fact(follower, e.ActivityTimedOut(number, kind, attempt, earlier=earlier))


def _promote(engine: Engine) -> None:
    """Where a holder has gone without an outcome (cancelled, or its run ended), the first that waited for it takes its place."""
    queues = engine.queues
    for name in list(queues.following):
        holder = queues.holders.get(name)
        if holder is not None and _open(engine, holder):
            continue
        line = queues.following.pop(name)
        while line:
            run_key, number = line.popleft()
            run = engine.registry.by_key(run_key)
            opened = run.activities.get(number) if run is not None and run.activities else None
            if run is None or opened is None or opened.scheduled.options.dedup_id != name[1]:
                continue
            queues.holders[name] = (run_key, number)
            if line:
                queues.following[name] = line
            activities.begin(engine, run, opened)
            break


def _open(engine: Engine, key: Key) -> bool:
    run = engine.registry.by_key(key[0])
    return run is not None and run.activities is not None and key[1] in run.activities


def _workflow_id(engine: Engine, key: Key) -> Any:
    run = engine.registry.by_key(key[0])
    return None if run is None else run.workflow_id


# --- who waits, who runs ------------------------------------------------------------------------------------------------


def _waits(run: LiveRun, number: int, opened: OpenActivity, attempt: int) -> bool:
    """Whether an activity in a line still waits for an attempt. What is cancelled, closed, paused or rebuilt since has left the line."""
    return (
        run.activities is not None and run.activities.get(number) is opened and opened.attempt == attempt and not opened.cancel_requested
        and run.status is Status.RUNNING and not run.waits_for
    )  # fmt: skip


def _holds(engine: Engine, key: Key, attempt: int) -> bool:
    """Whether an attempt still has its slot: it is recorded as begun, and no end of it."""
    run = engine.registry.by_key(key[0])
    opened = run.activities.get(key[1]) if run is not None and run.activities else None
    return opened is not None and opened.attempt == attempt and opened.next_attempt_at is None
