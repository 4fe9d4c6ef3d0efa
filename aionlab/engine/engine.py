"""The turn: gather what arrived, step the runs it concerns, commit once, then act.

One thread (or one caller at a time, where there are no threads) drives an engine. Facts enter through `submit`; nothing outside sees
their effect before the commit. A turn that fails is undone by `failed_turns`, so that no memory stays ahead of the log; `processes` makes
runs resident.
"""
from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from aionlab.core import events as e
from aionlab.core.clock import Clock, Micros
from aionlab.core.errors import AionError, StoreError, StoreUnavailable
from aionlab.core.events import Recorded
from aionlab.core.ids import ChainId, Ids, RunId, WorkflowId
from aionlab.core.ports import ActivityExecutor, EventStore, Finished, Listener, Missing
from aionlab.core.status import Status

from . import (
    activities,
    attributes,
    children,
    failed_turns,
    heartbeats,
    processes,
    queues,
    recovery,
    signals,
    supervising,
    updates,
)
from .addressing import meant
from .call import Call
from .catalog import Catalog, Loader, NotRunnable
from .collector import uncollected
from .faults import Faults
from .heartbeats import Flight, Heartbeats
from .registry import Registry
from .run import LiveRun, OpenActivity
from .schedules import Book
from .schedules import recovery as schedules
from .supervision import SupervisionTree
from .timers import Timers
from .turn import Message, Turn

log = logging.getLogger("aionlab.engine")
GATHER = 20_000
"""Messages taken in one turn at most."""


class Engine:
    """All open runs of one database. `verbs` maps names to functions of (engine, *arguments)."""

    def __init__(
        self, store: EventStore, clock: Clock, ids: Ids, executor: ActivityExecutor, verbs: dict[str, Callable[..., Any]], *,
        load: Loader | None = None, ghost_starts: bool = False,
    ) -> None:
        self.store, self.clock, self.ids, self.executor = store, clock, ids, executor
        self.ghost_starts = ghost_starts
        self.verbs = verbs
        self.catalog = Catalog(store, load)
        self.attribute_types = dict(store.attribute_types())
        """Search attributes that are registered, name to type."""
        self.registry = Registry()
        self.tree = SupervisionTree(clock.now(), supervising.declared(store))
        self.timers = Timers()
        self.faults = Faults()
        self.listeners: list[Listener] = []
        self.in_flight: dict[tuple[int, int], Flight] = {}
        """(run key, activity id) → the attempt an executor is running."""
        self.queues = queues.Queues(store)
        self.heartbeats = Heartbeats()
        self.beat = partial(heartbeats.beat, self)
        self.starved: dict[tuple[int, int], tuple[str, ...]] = {}
        """Attempts that wait for names to be defined in this kernel."""
        self.bar = ""
        """Why runs that were recorded before this engine may not go on here; empty when they may."""
        self.halted = ""
        self.trouble = ""
        """Why the last commit failed, until one succeeds."""
        self.fenced = False
        self.turns = self.commits = self.events = 0
        self.inbox: SimpleQueue[Message] = SimpleQueue()
        self.recovered = store.readonly
        """Whether the open runs have been brought back; an observer brings none back."""
        self.settlers: list[Call] = []
        self.now_turn: Turn | None = None
        self.call: Call | None = None
        """The call whose verb is being carried out."""
        self.lost: dict[int, LiveRun] = {}
        """Runs a failed turn touched, by key, to be brought back from the log."""
        self.again: deque[Message] = deque()
        """Messages to be taken before those of the inbox."""
        self.parked: list[Call] = []
        """Calls that only read, caught in a turn that failed; answered from the log before the next one."""
        self.one_by_one = 0
        """How many messages are taken in turns of their own, to find the one whose events the store will not have."""
        self.homeless: deque[LiveRun] = deque()
        """Runs to make resident in the next turn."""
        self.posts: deque[tuple[LiveRun, e.SignalSent]] = deque()
        """Signals that runs have sent and that wait for the next turn: this one is full, or the sender has come back from the log."""
        self.acts: deque[Callable[[], None]] = deque()
        """What commits have allowed and is not done yet; not empty between turns only when an interrupt cut one short."""
        self.outbox: deque[tuple[LiveRun, OpenActivity, int]] = deque()
        """Attempts that commits have allowed, on their way to the executor."""
        self.ready: deque[Any] = deque()
        """The callbacks of whichever process is being stepped; empty between steps."""
        heads = store.heads()
        self.workflow_keys, self.run_keys = heads.workflow_key, heads.run_key
        """The last keys given."""
        self.schedules = Book(heads.workflow_key)
        self.found = heads.run_key
        """Runs with keys up to this one were recorded before this engine."""

    # --- driving --------------------------------------------------------------------------------------------------------

    def submit(self, message: Message) -> None:
        """Hand in a fact or a call; from any thread."""
        self.inbox.put(message)

    @property
    def turn_now(self) -> Turn:
        assert self.now_turn is not None, "outside of a turn"
        return self.now_turn

    def next_due(self) -> Micros | None:
        """When the clock brings something next: a timer or a schedule's time. Schedules alone, which never end, do not carry a clock along
        that goes on by itself."""
        timer, time = self.timers.next_due(), self.schedules.next_due()
        if time is None or (timer is not None and timer <= time):
            return timer
        now = self.clock.now()
        return None if timer is None and self.clock.auto and self.clock.target <= now < time else time

    @property
    def idle(self) -> bool:
        """Whether nothing moves: no message, no running attempt, no run on its way, no timer due."""
        due = self.next_due()
        return (
            self.recovered and not self.again and not self.homeless and not self.posts and self.inbox.empty() and not self.in_flight
            and (due is None or due > self.clock.now()) and not self.clock.moving(due)
        )  # fmt: skip

    def wait_seconds(self) -> float | None:
        """How long a host may wait for a message before the next turn; None for as long as it takes."""
        if self.halted:
            return None if self.fenced else 0.25
        if not self.recovered or self.again or self.homeless or self.posts:
            return 0.0
        due = self.next_due()
        if self.heartbeats.waiting:
            note = self.heartbeats.due()
            due = note if due is None else min(due, note)
        if self.clock.virtual and not self.in_flight and self.clock.moving(due):
            return 0.0
        hint: float | None = None if due is None else self.clock.wait_hint(due)
        return hint

    def rest(self) -> None:
        """Upkeep of the store, when nothing is to do."""
        getattr(self.store, "rest", int)()

    def turn(self, wait: float | None = 0.0) -> bool:
        """One turn, after waiting at most `wait` seconds (None: for ever) for a message. Whether anything happened."""
        messages = self._gather(wait)
        with uncollected(len(messages)):
            return self._turn(messages)

    def _turn(self, messages: list[Message]) -> bool:
        parked, self.parked = self.parked, []
        if self.halted and not failed_turns.bring_back(self):
            failed_turns.refuse(self, [*parked, *messages])
            return False
        for call in parked:
            failed_turns.look(self, call)
        self.act()
        advanced = False
        if not messages and not self.homeless and not self.posts and not self.in_flight and self.recovered:
            advanced = self.clock.advance(self.next_due())
        turn = self.now_turn = Turn(self.clock.now(), bool(self.listeners))
        try:
            self._carry_out(turn, messages)
            moved = advanced or bool(messages) or not turn.empty
            if turn.batch.rows or turn.batch.notes:
                self._commit(turn)
        except StoreError as error:
            failed_turns.abandon(self, turn, error, messages)
            return True
        except Exception as error:  # a defect of ours: it is logged, the turn undone, and the other runs go on
            log.exception("a turn failed; what it touched is rebuilt from the log")
            failed_turns.abandon(self, turn, error, messages)
            return True
        except BaseException as error:  # an interrupt of an inline engine: memory goes back to the log, the interrupt to the caller
            failed_turns.abandon(self, turn, StoreUnavailable(f"the turn was interrupted by {type(error).__name__}"), messages)
            raise
        self.turns += 1
        self.one_by_one = max(0, self.one_by_one - len(messages))
        self.committed(turn)
        self.act()
        self._settle()
        return moved or not self.inbox.empty() or bool(self.homeless)

    def _carry_out(self, turn: Turn, messages: list[Message]) -> None:
        """Everything of a turn before its commit. `turn.at` is what is being worked on, for blaming it should it fail."""
        if not self.recovered:
            recovery.recover(self)
        for _ in range(len(self.homeless)):
            turn.at = self.homeless[0]
            processes.come_home(self, self.homeless[0])
            self.homeless.popleft()
        self.timers.fire(self, turn.now)
        schedules.fire(self)
        if self.posts:
            signals.forward_waiting(self)
        if turn.affairs:
            children.see_to(self)
        for message in messages:
            turn.at = message
            turn.begun += 1
            self._take(message)
            if turn.affairs:
                children.see_to(self)
        turn.at = None
        if turn.closed and self.tree.permanent:
            supervising.follow(self)
        if turn.closed and self.heartbeats.noted:
            for run in turn.closed:
                for number in run.left:
                    heartbeats.forget(self, (run.key, number))
        if self.queues.busy:
            queues.dispatch(self)
        if self.heartbeats.waiting:
            heartbeats.late(self)

    def _gather(self, wait: float | None) -> list[Message]:
        messages: list[Message] = []
        again = self.again
        try:
            if wait != 0.0 and (not again or self.halted):
                messages.append(self.inbox.get(True, wait))
        except Empty:
            pass
        if again:
            messages[:0] = again
            again.clear()
        try:
            while len(messages) < GATHER:
                messages.append(self.inbox.get_nowait())
        except Empty:
            pass
        if self.one_by_one and len(messages) > 1:
            again.extend(messages[1:])
            del messages[1:]
        return messages

    def _take(self, message: Message) -> None:
        turn = self.turn_now
        if not isinstance(message, Call):
            turn.taken.append((message, len(turn.batch.rows)))
            if isinstance(message, Finished):
                activities.finished(self, message)
            elif isinstance(message, Missing):
                activities.missing(self, message)
            elif isinstance(message, heartbeats.Beaten):
                heartbeats.heard(self, message)
            else:
                activities.interrupted(self, message)
        elif message.take():
            turn.taken.append((message, len(turn.batch.rows)))
            self.call = message
            try:
                arguments = message.arguments
                if len(arguments) > 1 and ChainId in map(type, arguments):
                    arguments = meant(self, arguments)
                value = self.verbs[message.verb](self, *arguments)
            except (AionError, NotRunnable) as error:
                turn.after_commit(message.fail, error)
            else:
                if value is not Call.LATER:
                    turn.after_commit(message.answer, value)
                elif len(turn.batch.rows) == turn.taken[-1][1]:
                    turn.taken.pop()

    def put_off(self) -> object:
        """Take the call that is being carried out again in the next turn; what its verb returns."""
        assert self.call is not None
        self.call.untake()
        self.again.append(self.call)
        return Call.LATER

    def _commit(self, turn: Turn) -> None:
        try:
            self.faults.point("commit")
            self.store.commit(turn.batch)
            self.faults.point("committed")
        except StoreError:
            raise
        except Exception as error:  # a store that fails in words that are not ours has not said whether it wrote
            raise StoreUnavailable(f"the store failed with {type(error).__name__}: {error}") from error
        self.count(turn)

    def count(self, turn: Turn) -> None:
        """The turn's batch is in the log."""
        self.trouble = ""
        self.commits += 1
        self.events += len(turn.batch.rows)

    def committed(self, turn: Turn, dispatch: bool = True) -> None:
        """Queue what the commit allows: end processes, answer callers, dispatch attempts, tell listeners."""
        self.now_turn = None
        acts = self.acts
        for run in turn.closed:
            acts.append(partial(processes.retire, self, run))
        acts.extend(turn.after)
        activities.landed(self, turn.ended_attempts)
        if dispatch:  # where the outcome of the commit was in doubt, the rebuilt runs dispatch what they find begun
            self.outbox.extend(turn.begun_attempts)
        if turn.recorded:
            acts.append(partial(self._publish, turn.recorded))

    def act(self) -> None:
        """Do what commits have allowed."""
        acts = self.acts
        while acts:
            act = acts.popleft()
            try:
                act()
            except Exception:  # one act must not keep the others from callers whose events are committed
                log.exception("what a commit allowed could not be done")
        outbox, in_hand, in_flight, most = self.outbox, activities.wanted, self.in_flight, activities.HAND_OVER
        while outbox:
            if len(in_flight) >= most:  # they come back for more when some have ended
                break
            run, opened, attempt = outbox.popleft()
            if in_hand(run, opened, attempt):
                activities.submit(self, run, opened, attempt)

    def _publish(self, recorded: list[Recorded]) -> None:
        for listener in list(self.listeners):
            try:
                listener(recorded)
            except BaseException:  # a listener is somebody's screen; whatever it raises concerns no run
                log.exception("a listener raised")

    def _settle(self) -> None:
        if self.settlers and self.idle:
            settlers, self.settlers = self.settlers, []
            for call in settlers:
                call.answer(None)

    # --- steps ----------------------------------------------------------------------------------------------------------

    def fact(self, run: LiveRun, fact: e.Event) -> None:
        """Record a fact with the step it causes; deferred where the code cannot take it now."""
        process, turn = run.process, self.now_turn
        assert turn is not None
        if process is None and run.status is Status.RUNNING and not run.stuck and not run.waits_for:
            processes.make_resident(self, run)
        if not run.can_step or run.deferred:
            turn.record(run, fact, deferred=True)
            self.flush(run)
            return
        process = run.process
        assert process is not None
        try:
            answers = process.deliver(fact, turn.now)
        except Exception as error:  # an exception of the engine's own is a crash of the process, and its supervisor's affair
            log.exception("process %s of %s crashed", run.pid, run.workflow_id)
            turn.record(run, fact, deferred=True)
            supervising.crash(self, run, f"{type(error).__name__}: {error}")
            return
        if e.SearchAttributesUpdated in map(type, answers):
            permitted = attributes.checked(self, run, answers)
            if permitted is None:
                turn.record(run, fact, deferred=True)
                return
            answers = permitted
        turn.record(run, fact)
        if answers:
            self.record_answers(run, answers)

    def flush(self, run: LiveRun) -> None:
        """Deliver deferred facts, in order, while the code can take them."""
        while run.deferred and run.can_step:
            recorded = run.deferred.popleft()
            process = run.process
            assert process is not None
            try:
                answers = process.deliver(recorded.event, recorded.at)
            except Exception as error:  # as in `fact`
                log.exception("process %s of %s crashed", run.pid, run.workflow_id)
                supervising.crash(self, run, f"{type(error).__name__}: {error}")
                return
            if e.SearchAttributesUpdated in map(type, answers):
                permitted = attributes.checked(self, run, answers)
                if permitted is None:
                    run.deferred.appendleft(recorded)
                    return
                answers = permitted
            self.record_answers(run, answers)

    def turn_live(self, run: LiveRun, answers: list[e.Event]) -> None:
        """Record the rest of a step that a fork or reset has cut in the middle."""
        permitted = attributes.checked(self, run, answers)
        if permitted:
            self.record_answers(run, permitted)

    def record_answers(self, run: LiveRun, answers: list[e.Event]) -> None:
        """Record what a step asked for and see to it."""
        turn, limited = self.now_turn, self.queues.limited
        assert turn is not None
        for answer in answers:
            kind = type(answer)
            if kind is e.ActivityScheduled:
                options = answer.options  # type: ignore[union-attr]  # narrowed by `kind`, as below
                if options.dedup_id is not None or options.schedule_to_close is not None or options.queue in limited:
                    turn.record(run, answer)
                    activities.admit(self, run, run.activities[answer.activity_id])  # type: ignore[index,union-attr]
                    continue
                if run.status is Status.RUNNING and not run.waits_for:
                    turn.schedule(run, answer, self.tree.next_pid())  # type: ignore[arg-type]
                    continue
            if kind in children.ASKED:
                children.ASKED[kind](self, run, answer)
                continue
            turn.record(run, answer)
            if kind is e.TimerStarted:
                self.timers.arm(run, answer.timer_id, answer.fire_at)  # type: ignore[union-attr]
            elif kind is e.ActivityCancelRequested:
                activities.withdraw(self, run, answer.activity_id)  # type: ignore[union-attr]
            elif kind is e.SignalSent:
                turn.see_to(run, partial(signals.forward, self, run, answer))  # type: ignore[arg-type]
            elif kind is e.UpdateCompleted:
                updates.completed(self, run, answer)  # type: ignore[arg-type]

    # --- runs -----------------------------------------------------------------------------------------------------------

    def bring_home(self, run: LiveRun) -> None:
        """Make the run resident in the next turn."""
        self.homeless.append(run)

    def find(self, workflow_id: str, run_id: str | None = None) -> LiveRun | None:
        return self.registry.get(WorkflowId(workflow_id), None if run_id is None else RunId(run_id))
