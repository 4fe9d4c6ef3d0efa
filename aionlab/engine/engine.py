"""The turn: gather what arrived, step the runs it concerns, commit once, then act.

One thread (or one caller at a time, where there are no threads) drives an engine. Facts enter through `submit`; nothing outside sees
their effect before the commit. When a commit fails or its outcome is unknown, no memory stays ahead of the log: every process touched in
the turn is dropped and rebuilt from what is recorded, callers get the error (or, where the log shows it happened, the result), and the
engine halts with the reason until the store answers again.
"""
from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from aionlab.core import events as e
from aionlab.core.clock import Clock
from aionlab.core.errors import (
    AionError,
    BadBatch,
    Fenced,
    IllegalEvent,
    NondeterminismError,
    RunNotFound,
    SequenceConflict,
    StoreError,
    StoreUnavailable,
    WorkflowNotFound,
)
from aionlab.core.events import Recorded
from aionlab.core.ids import Ids, RunId, WorkflowId
from aionlab.core.ports import ActivityExecutor, EventStore, Finished, Listener, Missing, Run
from aionlab.core.status import Status
from aionlab.replay.process import Process
from aionlab.replay.pythons import HERE, replays_here
from aionlab.replay.rebuild import Rebuilt, rebuild

from . import activities, recovery, supervising
from .activities import Flight
from .call import Call
from .catalog import Catalog, Loader, NotRunnable
from .faults import Faults
from .registry import Registry
from .run import UNREADABLE, LiveRun, Recorder
from .supervision import SupervisionTree
from .timers import Timers
from .turn import Message, Turn

log = logging.getLogger("aionlab.engine")
GATHER = 20_000
"""Messages taken in one turn at most."""


LOOKING = frozenset({"entry", "history", "names", "now", "progress", "registry", "routed", "run", "runs", "stack", "store", "tree", "types", "unwait"})
"""Verbs that only read, and go on when another kernel has taken over."""


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
        self.registry = Registry()
        self.tree = SupervisionTree(clock.now())
        self.timers = Timers()
        self.faults = Faults()
        self.listeners: list[Listener] = []
        self.in_flight: dict[tuple[int, int], Flight] = {}
        """(run key, activity id) → the attempt an executor is running."""
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
        self._lost: dict[int, LiveRun] = {}
        """Runs a failed turn touched, by key, to be brought back from the log."""
        self._again: deque[Message] = deque()
        self._parked: list[Call] = []
        """Calls that only read, caught in a turn that failed; answered from the log before the next one."""
        self._one_by_one = 0
        """How many messages are taken in turns of their own, to find the one whose events the store will not have."""
        self._homeless: deque[LiveRun] = deque()
        """Runs to make resident in the next turn."""
        self._acts: deque[Callable[[], None]] = deque()
        """What commits have allowed and is not done yet; not empty between turns only when an interrupt cut one short."""
        self._ready: deque[Any] = deque()
        heads = store.heads()
        self._workflow_keys, self._run_keys = heads.workflow_key, heads.run_key
        self._found = heads.run_key

    # --- driving --------------------------------------------------------------------------------------------------------

    def submit(self, message: Message) -> None:
        """Hand in a fact or a call; from any thread."""
        self.inbox.put(message)

    @property
    def turn_now(self) -> Turn:
        assert self.now_turn is not None, "outside of a turn"
        return self.now_turn

    @property
    def idle(self) -> bool:
        """Whether nothing moves: no message, no running attempt, no run on its way, no timer due."""
        due = self.timers.next_due()
        return (
            self.recovered and not self._again and not self._homeless and self.inbox.empty() and not self.in_flight
            and (due is None or due > self.clock.now()) and not self.clock.moving(due)
        )  # fmt: skip

    def wait_seconds(self) -> float | None:
        """How long a host may wait for a message before the next turn; None for as long as it takes."""
        if self.halted:
            return None if self.fenced else 0.25
        if not self.recovered or self._again or self._homeless:
            return 0.0
        due = self.timers.next_due()
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
        parked, self._parked = self._parked, []
        if self.halted and not self._revive():
            self._refuse([*parked, *messages])
            return False
        for call in parked:
            self._look(call)
        self._act()
        advanced = False
        if not messages and not self._homeless and not self.in_flight and self.recovered:
            advanced = self.clock.advance(self.timers.next_due())
        turn = self.now_turn = Turn(self.clock.now(), bool(self.listeners))
        try:
            self._carry_out(turn, messages)
            moved = advanced or bool(messages) or not turn.empty
            if turn.batch.rows:
                self._commit(turn)
        except StoreError as error:
            self._abandon(turn, error, messages)
            return True
        except Exception as error:
            log.exception("a turn failed; what it touched is rebuilt from the log")
            self._abandon(turn, error, messages)
            return True
        except BaseException as error:
            self._abandon(turn, StoreUnavailable(f"the turn was interrupted by {type(error).__name__}"), messages)
            raise
        self.turns += 1
        self._one_by_one = max(0, self._one_by_one - len(messages))
        self._committed(turn)
        self._act()
        self._settle()
        return moved

    def _carry_out(self, turn: Turn, messages: list[Message]) -> None:
        """Everything of a turn before its commit. `turn.at` is what is being worked on, for blaming it should it fail."""
        if not self.recovered:
            recovery.recover(self)
        for _ in range(len(self._homeless)):
            turn.at = self._homeless[0]
            self._come_home(self._homeless[0])
            self._homeless.popleft()
        self.timers.fire(self, turn.now)
        for message in messages:
            turn.at = message
            turn.begun += 1
            self._take(message)
        turn.at = None

    def _gather(self, wait: float | None) -> list[Message]:
        messages: list[Message] = []
        again = self._again
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
        if self._one_by_one and len(messages) > 1:
            again.extend(messages[1:])
            del messages[1:]
        return messages

    def _take(self, message: Message) -> None:
        turn = self.turn_now
        if not isinstance(message, Call):
            turn.taken.append((message, len(turn.batch.rows)))
            if isinstance(message, Finished):
                activities.finished(self, message)
            else:
                activities.missing(self, message)
        elif message.take():
            turn.taken.append((message, len(turn.batch.rows)))
            self.call = message
            try:
                value = self.verbs[message.verb](self, *message.arguments)
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
        self._again.append(self.call)
        return Call.LATER

    def _commit(self, turn: Turn) -> None:
        try:
            self.faults.point("commit")
            self.store.commit(turn.batch)
            self.faults.point("committed")
        except StoreError:
            raise
        except Exception as error:
            raise StoreUnavailable(f"the store failed with {type(error).__name__}: {error}") from error
        self._count(turn)

    def _count(self, turn: Turn) -> None:
        self.trouble = ""
        self.commits += 1
        self.events += len(turn.batch.rows)

    def _committed(self, turn: Turn, dispatch: bool = True) -> None:
        """Queue what the commit allows: end processes, answer callers, dispatch attempts, tell listeners."""
        self.now_turn = None
        acts = self._acts
        for run in turn.closed:
            acts.append(partial(self.retire, run))
        acts.extend(turn.after if dispatch else [act for act in turn.after if not getattr(act, "__dispatch__", False)])
        if turn.recorded:
            acts.append(partial(self._publish, turn.recorded))

    def _act(self) -> None:
        acts = self._acts
        while acts:
            act = acts.popleft()
            try:
                act()
            except Exception:
                log.exception("what a commit allowed could not be done")

    def _publish(self, recorded: list[Recorded]) -> None:
        for listener in list(self.listeners):
            try:
                listener(recorded)
            except BaseException:
                log.exception("a listener raised")

    def _settle(self) -> None:
        if self.settlers and self.idle:
            settlers, self.settlers = self.settlers, []
            for call in settlers:
                call.answer(None)

    # --- failed commits -------------------------------------------------------------------------------------------------

    def _abandon(self, turn: Turn, error: Exception, messages: list[Message]) -> None:
        """Undo a turn whose commit failed, or may have; memory goes back to what the log shows."""
        self.now_turn = None
        self._ready.clear()
        for run in turn.touched.values():
            self._drop(run)
        self._lost |= turn.touched
        self.timers.put_back(turn.fired)
        if isinstance(error, StoreError) and not isinstance(error, IllegalEvent | BadBatch | SequenceConflict):
            self.halted = self.trouble = str(error) or type(error).__name__
            self.fenced = self.fenced or isinstance(error, Fenced)
        if isinstance(error, StoreUnavailable) and self._landed(turn):
            self._count(turn)
            self._committed(turn, dispatch=False)
            self._act()
            return
        blamed = self._blame(turn, error)
        for place, (message, _) in enumerate(turn.taken):
            if place not in blamed:
                self._again.append(message)
            if isinstance(message, Call):
                if place in blamed and message.verb in LOOKING and isinstance(error, StoreError):
                    self._parked.append(message)
                elif place in blamed:
                    message.fail(error)
                else:
                    message.untake()
        self._again.extend(messages[turn.begun :])
        if self.fenced:
            self._leave_waiting(error)
            self._forget()
        if not self.halted:
            self._revive()

    def _blame(self, turn: Turn, error: Exception) -> set[int]:
        """Which of the taken messages, by place, a failed turn's error is for; the others are taken again in a later turn. A run that
        fails by a defect of ours, or whose events the store will not have, is stuck."""
        calls = {place for place, (message, _) in enumerate(turn.taken) if isinstance(message, Call)}
        if isinstance(error, SequenceConflict):
            keys = {run.recorder.key for run in turn.touched.values() if run.workflow_id == error.workflow_id}
            rows = turn.batch.rows
            ends = [start for _, start in turn.taken[1:]] + [len(rows)]
            return {place for place in calls if any(row[0] in keys for row in rows[turn.taken[place][1] : ends[place]])}
        if isinstance(error, BadBatch):
            if len(turn.taken) > 1:
                self._one_by_one = len(turn.taken)
                return set()
            for run in turn.touched.values():
                run.stuck = error
            return set(range(len(turn.taken)))
        if isinstance(error, StoreError) and not isinstance(error, IllegalEvent):
            return calls
        at = turn.at
        if at is None:
            self.halted = f"{type(error).__name__}: {error}"
            return calls
        culprit = at if isinstance(at, LiveRun) else None if isinstance(at, Call) else self.registry.by_key(at.run_key)
        if culprit is not None:
            culprit.stuck = error
            self._drop(culprit)
            self._lost[culprit.key] = culprit
            if isinstance(at, Finished | Missing):
                self.in_flight.pop((at.run_key, at.activity_id), None)
            self._homeless = deque(run for run in self._homeless if run is not culprit)
        return {place for place, (message, _) in enumerate(turn.taken) if message is at}

    def _landed(self, turn: Turn) -> bool:
        """Whether the log shows a batch of unknown outcome; asks until the store answers or says that it cannot."""
        for workflow_key, expected in turn.batch.expected.items():
            run = next(run for run in turn.touched.values() if run.recorder.key == workflow_key)
            for _ in range(3):
                try:
                    return self.store.head(run.workflow_id) > expected
                except StoreError:
                    continue
            break
        return False

    def _leave_waiting(self, error: Exception) -> None:
        """Nothing will be recorded here any more: tell everyone who waits for something to be."""
        for call in self.settlers:
            call.fail(error)
        self.settlers.clear()
        for run in self.registry:
            waiters, run.waiters = run.waiters, None
            for waiter in waiters or ():
                waiter.fail(error)

    def _drop(self, run: LiveRun) -> None:
        if run.process is not None:
            run.process.close()
            run.process = None
        self.tree.remove(run)

    def _revive(self) -> bool:
        """Bring what a failed turn touched back from the log; whether the store answered."""
        if self.fenced:
            return False
        try:
            while self._lost:
                run = next(iter(self._lost.values()))
                history = self.recall(run)
                run.recorder.head = self.store.head(run.workflow_id)
                if history is not None:
                    activities.recount(self, run)
                if history == []:
                    self.registry.remove(run)
                    waiters, run.waiters = run.waiters, None
                    for waiter in waiters or ():
                        waiter.fail(RunNotFound(run.workflow_id, run.run_id))
                elif run.closed:
                    self.retire(run)
                else:
                    self.registry.insert(run)
                    self._homeless.append(run)
                del self._lost[run.key]
        except StoreError as error:
            self.halted = str(error) or type(error).__name__
            return False
        self.halted = ""
        return True

    def _forget(self) -> None:
        """Another kernel owns the runs now; what is looked at here comes from the log."""
        for run in self.registry:
            self._drop(run)
            self.registry.remove(run)
        self._lost.clear()
        self._homeless.clear()

    def _look(self, call: Call) -> None:
        """Answer a call that only reads, between turns."""
        try:
            call.answer(self.verbs[call.verb](self, *call.arguments))
        except Exception as error:  # noqa: BLE001 - the caller's answer
            call.fail(error)

    def _refuse(self, messages: list[Message]) -> None:
        for message in messages:
            if isinstance(message, Call):
                if not message.take():
                    continue
                if self.fenced and message.verb in LOOKING:
                    self._look(message)
                else:
                    message.fail(Fenced(self.halted) if self.fenced else StoreUnavailable(f"the engine is halted: {self.halted}"))
            else:
                self._again.append(message)

    # --- steps ----------------------------------------------------------------------------------------------------------

    def fact(self, run: LiveRun, fact: e.Event) -> None:
        """Record a fact with the step it causes; deferred where the code cannot take it now."""
        process, turn = run.process, self.now_turn
        assert turn is not None
        if process is None and run.status is Status.RUNNING and not run.stuck and not run.waits_for:
            self.make_resident(run)
        if not run.can_step or run.deferred:
            turn.record(run, fact, deferred=True)
            self.flush(run)
            return
        process = run.process
        assert process is not None
        try:
            answers = process.deliver(fact, turn.now)
        except Exception as error:
            log.exception("process %s of %s crashed", run.pid, run.workflow_id)
            turn.record(run, fact, deferred=True)
            supervising.crash(self, run, f"{type(error).__name__}: {error}")
            return
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
            except Exception as error:
                log.exception("process %s of %s crashed", run.pid, run.workflow_id)
                supervising.crash(self, run, f"{type(error).__name__}: {error}")
                return
            self.record_answers(run, answers)

    def record_answers(self, run: LiveRun, answers: list[e.Event]) -> None:
        """Record what a step asked for and see to it."""
        record = self.turn_now.record
        for answer in answers:
            record(run, answer)
            kind = type(answer)
            if kind is e.ActivityScheduled:
                activities.begin(self, run, run.activities[answer.activity_id])  # type: ignore[index,union-attr]  # narrowed by `kind`
            elif kind is e.TimerStarted:
                self.timers.arm(run, answer.timer_id, answer.fire_at)  # type: ignore[union-attr]
            elif kind is e.ActivityCancelRequested:
                activities.withdraw(self, run, answer.activity_id)  # type: ignore[union-attr]

    # --- residency ------------------------------------------------------------------------------------------------------

    def new_run_keys(self, workflow_id: WorkflowId, is_new: bool = False) -> tuple[Recorder, int]:
        """The recorder of a workflow id (a new one for a new id) and a fresh run key. `is_new`: no run of the id is known or stored."""
        self._run_keys += 1
        live = self.turn_now.planned.get(workflow_id) or self.registry.get(workflow_id)
        if live is not None:
            return live.recorder, self._run_keys
        key = None if is_new else self.store.workflow_key(workflow_id)
        if key is not None:
            return Recorder(workflow_id, key, self.store.head(workflow_id)), self._run_keys
        self._workflow_keys += 1
        recorder = Recorder(workflow_id, self._workflow_keys, 0)
        self.turn_now.batch.workflows.append((recorder.key, workflow_id))
        return recorder, self._run_keys

    def new_process(self, run: LiveRun, trace: bool = False) -> Process:
        """An idle process of the run's pinned version."""
        assert run.started is not None
        code = self.catalog.resolve(run.row.workflow_type, run.row.version)
        return Process(  # type: ignore[abstract]  # a loop without sockets: asyncio declares their methods abstract, and raises in them
            code, run.started, run.workflow_id, run.run_id, run.row.started_at, self._ready, trace
        )

    def make_resident(self, run: LiveRun, history: list[Recorded] | None = None) -> bool:
        """Rebuild the run's process from its history and deliver what waited; False when that is not possible now."""
        turn = self.turn_now
        if history is None:
            history = self.store.run_history(run.key) + turn.pending(run) if run.key in turn.touched else self.recall(run)
            if history is None:
                return False
        run.waits_for = ""
        try:
            rebuilt = self.rebuild(run, history)
        except NondeterminismError as error:
            run.stuck = error
            return False
        except (NotRunnable, WorkflowNotFound) as error:
            run.waits_for = error.why if isinstance(error, NotRunnable) else f"code of {run.row.workflow_type} ({run.row.version[:7]})"
            return False
        except StoreError:
            raise
        except Exception as error:
            log.exception("%s cannot be replayed", run.workflow_id)
            run.stuck = error
            return False
        run.stuck = None
        run.process = rebuilt.process
        for warning in rebuilt.warnings:
            log.warning("%s event %d: the code asked for %s with other arguments than recorded", run.workflow_id, warning.seq, warning.recorded)
        run.deferred = rebuilt.waiting or None
        run.pid = self.tree.next_pid()
        self.tree.place(run, turn.now)
        self.flush(run)
        return True

    def recall(self, run: LiveRun) -> list[Recorded] | None:
        """Fold the run anew from the store, and its events; None when they cannot be read, and the run is stuck for it."""
        try:
            history = self.store.run_history(run.key)
            run.refold(history)
        except UNREADABLE as error:
            run.unreadable(error)
            return None
        return history

    def rebuild(self, run: LiveRun, history: list[Recorded]) -> Rebuilt:
        if run.started is not None and not replays_here(run.started.python):
            raise NotRunnable(f"Python {run.started.python}, under which it was recorded: asyncio orders requests differently in {HERE}")
        if self.bar and run.key <= self._found:
            raise NotRunnable(self.bar)
        self.catalog.resolve(run.row.workflow_type, run.row.version)
        return rebuild(lambda trace: self.new_process(run, trace), history)

    def suspend(self, run: LiveRun) -> None:
        """Drop the run's process; what comes next for it brings it back by replay."""
        self._drop(run)
        run.pid = 0

    def bring_home(self, run: LiveRun) -> None:
        """Make the run resident in the next turn."""
        self._homeless.append(run)

    def _come_home(self, run: LiveRun) -> None:
        if run.closed or run.process is not None:
            return
        if run.key in self.turn_now.touched:
            self._homeless.append(run)
            return
        self.revive(run, self.recall(run))

    def revive(self, run: LiveRun, history: list[Recorded] | None) -> None:
        """Everything an open run has going: its timers, the attempts that should be running, and its process where it can have one."""
        self.timers.arm_all(run)
        if history is not None and run.stuck is None:
            run.waits_for = self._barred(run)
            activities.resume(self, run)
            self.make_resident(run, history)

    def _barred(self, run: LiveRun) -> str:
        """What the run waits for before anything of it may go on here, its activities included; empty when nothing is in its way."""
        if self.bar and run.key <= self._found:
            return self.bar
        try:
            self.catalog.resolve(run.row.workflow_type, run.row.version)
        except NotRunnable as error:
            return error.why
        except WorkflowNotFound:
            return f"code of {run.row.workflow_type} ({run.row.version[:7]})"
        except StoreError:
            raise
        except Exception:
            log.debug("code of %s cannot be loaded; bringing the run to memory will say why", run.workflow_id, exc_info=True)
        return ""

    def adopt(self, row: Run, why: BaseException) -> LiveRun:
        """An open run that is not in memory, in memory but stuck: what is sent to it is recorded and waits."""
        run = LiveRun(row, Recorder(row.workflow_id, row.workflow_key, self.store.head(row.workflow_id)))
        if self.recall(run) is not None:
            run.stuck = why
        self.registry.insert(run)
        return run

    def retire(self, run: LiveRun) -> None:
        """A closed run leaves memory once its waiters are served."""
        self._drop(run)
        self.registry.remove(run)
        waiters, run.waiters = run.waiters, None
        for waiter in waiters or ():
            waiter.answer((run.workflow_id, run.run_id, run.outcome))
        for number in run.left:
            key = (run.key, number)
            self.starved.pop(key, None)
            if self.in_flight.pop(key, None) is not None:
                self.executor.cancel(*key)

    def find(self, workflow_id: str, run_id: str | None = None) -> LiveRun | None:
        return self.registry.get(WorkflowId(workflow_id), None if run_id is None else RunId(run_id))
