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
from queue import Empty, SimpleQueue
from typing import Any

from aionlab.core import events as e
from aionlab.core.clock import Clock
from aionlab.core.errors import AionError, Fenced, NondeterminismError, StoreError, StoreUnavailable, WorkflowNotFound
from aionlab.core.events import Recorded
from aionlab.core.ids import Ids, RunId, WorkflowId
from aionlab.core.ports import ActivityExecutor, EventStore, Finished, Listener, Missing
from aionlab.core.status import Status
from aionlab.replay.process import Process
from aionlab.replay.rebuild import Rebuilt, rebuild

from . import activities, recovery, supervising
from .call import Call
from .catalog import Catalog, Loader, NotRunnable
from .faults import Faults
from .registry import Registry
from .run import LiveRun, Recorder
from .supervision import SupervisionTree
from .timers import Timers
from .turn import Turn

log = logging.getLogger("aionlab.engine")
GATHER = 20_000
"""Messages taken in one turn at most."""
Message = Call | Finished | Missing


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
        self.in_flight: dict[tuple[int, int], int] = {}
        """(run key, activity id) → attempt of what executors are running."""
        self.starved: dict[tuple[int, int], tuple[str, ...]] = {}
        """Attempts that wait for names to be defined in this kernel."""
        self.halted = ""
        self.fenced = False
        self.turns = self.commits = self.events = 0
        self.inbox: SimpleQueue[Message] = SimpleQueue()
        self.recovered = store.readonly
        """Whether the open runs have been brought back; an observer brings none back."""
        self.settlers: list[Call] = []
        self.now_turn: Turn | None = None
        self.call: Call | None = None
        """The call whose verb is being carried out."""
        self._lost: list[LiveRun] = []
        """Runs a failed turn touched, to be brought back from the log."""
        self._again: deque[Message] = deque()
        self._homeless: deque[LiveRun] = deque()
        """Runs to make resident in the next turn."""
        self._ready: deque[Any] = deque()
        heads = store.heads()
        self._workflow_keys, self._run_keys = heads.workflow_key, heads.run_key

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
        if self.halted and not self._revive():
            self._refuse(messages)
            return False
        if not messages and not self._homeless and not self.in_flight and self.recovered:
            self.clock.advance(self.timers.next_due())
        turn = self.now_turn = Turn(self.clock.now(), bool(self.listeners))
        current: Message | None = None
        try:
            if not self.recovered:
                recovery.recover(self)
            for _ in range(len(self._homeless)):
                self._come_home(self._homeless.popleft())
            self.timers.fire(self, turn.now)
            for message in messages:
                current = message
                self._take(message)
            current = None
            moved = bool(messages) or not turn.empty
            if turn.batch.rows:
                self._commit(turn)
        except StoreError as error:
            self._abandon(turn, error, messages, None)
            return True
        except Exception as error:  # noqa: BLE001 - a defect of ours must not take the other runs down; it is logged and the turn undone
            log.exception("a turn failed; what it touched is rebuilt from the log")
            self._abandon(turn, error, messages, current)
            return True
        self.turns += 1
        self._act(turn)
        self._settle()
        return moved

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
        return messages

    def _take(self, message: Message) -> None:
        if isinstance(message, Finished):
            activities.finished(self, message)
        elif isinstance(message, Missing):
            activities.missing(self, message)
        elif message.take():
            turn = self.turn_now
            turn.failed.append(message.fail)
            self.call = message
            try:
                value = self.verbs[message.verb](self, *message.arguments)
            except AionError as error:
                turn.after_commit(message.fail, error)
            except NotRunnable as error:
                turn.after_commit(message.fail, error)
            else:
                if value is not Call.LATER:
                    turn.after_commit(message.answer, value)

    def _commit(self, turn: Turn) -> None:
        self.faults.point("commit")
        self.store.commit(turn.batch)
        self.faults.point("committed")
        self.commits += 1
        self.events += len(turn.batch.rows)

    def _act(self, turn: Turn) -> None:
        """What the commit allows: answer callers, dispatch attempts, end processes, tell listeners."""
        self.now_turn = None
        for run in turn.closed:
            self.retire(run)
        for act in turn.after:
            act()
        if turn.recorded:
            for listener in self.listeners:
                try:
                    listener(turn.recorded)
                except Exception:  # noqa: BLE001 - a listener is somebody's screen; what it raises concerns no run
                    log.exception("a listener raised")

    def _settle(self) -> None:
        if self.settlers and self.idle:
            settlers, self.settlers = self.settlers, []
            for call in settlers:
                call.answer(None)

    # --- failed commits -------------------------------------------------------------------------------------------------

    def _abandon(self, turn: Turn, error: Exception, messages: list[Message], culprit: Message | None) -> None:
        """Undo a turn whose commit failed, or may have; memory goes back to what the log shows."""
        self.now_turn = None
        self._ready.clear()
        for run in turn.touched.values():
            self._drop(run)
        if isinstance(error, StoreError):
            self.halted = str(error)
            self.fenced = self.fenced or isinstance(error, Fenced)
            landed = isinstance(error, StoreUnavailable) and self._landed(turn)
            if landed:
                self.commits += 1
                self.events += len(turn.batch.rows)
                for run in turn.closed:
                    self.retire(run)
                replies = [act for act in turn.after if not getattr(act, "__dispatch__", False)]
                for act in replies:
                    act()
            else:
                for fail in turn.failed:
                    fail(error)
                self._again.extend(turn.completions)
        else:
            for message in messages:
                if message is culprit:
                    if isinstance(message, Call):
                        message.fail(error)
                elif isinstance(message, Call):
                    message.untake()
                    self._again.append(message)
                else:
                    self._again.append(message)
        self._lost += [run for run in turn.touched.values() if run not in self._lost]
        if not isinstance(error, StoreError):
            self._revive()

    def _landed(self, turn: Turn) -> bool:
        """Whether the log shows a batch of unknown outcome; asks until the store answers or says that it cannot."""
        workflow_key, expected = next(iter(turn.batch.expected.items()))
        run = next(run for run in turn.touched.values() if run.recorder.key == workflow_key)
        for _ in range(3):
            try:
                return self.store.head(run.workflow_id) > expected
            except StoreError:
                continue
        return False

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
                run = self._lost[-1]
                history = self.store.run_history(run.key)
                if not history:
                    self.registry.remove(run)
                else:
                    run.recorder.head = self.store.head(run.workflow_id)
                    run.refold(history)
                    if run.closed:
                        self.retire(run)
                    else:
                        self._homeless.append(run)
                self._lost.pop()
        except StoreError as error:
            self.halted = str(error)
            return False
        self.halted = ""
        return True

    def _refuse(self, messages: list[Message]) -> None:
        for message in messages:
            if isinstance(message, Call):
                if message.take():
                    message.fail(Fenced(self.halted) if self.fenced else StoreUnavailable(f"the engine is halted: {self.halted}"))
            else:
                self._again.append(message)

    # --- steps ----------------------------------------------------------------------------------------------------------

    def fact(self, run: LiveRun, fact: e.Event) -> None:
        """Record a fact with the step it causes; deferred where the code cannot take it now."""
        if run.process is None and run.status is Status.RUNNING and not run.stuck and not run.waits_for:
            self.make_resident(run)
        turn = self.turn_now
        if not run.can_step or run.deferred:
            turn.record(run, fact, deferred=True)
            self.flush(run)
            return
        process = run.process
        assert process is not None
        try:
            answers = process.deliver(fact, turn.now)
        except Exception as error:  # noqa: BLE001 - an engine-side exception is a crash of the process, handled by its supervisor
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
            except Exception as error:  # noqa: BLE001 - as in `fact`
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

    def new_run_keys(self, workflow_id: WorkflowId) -> tuple[Recorder, int]:
        """The recorder of a workflow id (a new one for a new id) and a fresh run key."""
        self._run_keys += 1
        live = self.registry.get(workflow_id)
        if live is not None:
            return live.recorder, self._run_keys
        key = self.store.workflow_key(workflow_id)
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
        return Process(code, run.started, run.workflow_id, run.run_id, run.row.started_at, self._ready, trace)

    def make_resident(self, run: LiveRun, history: list[Recorded] | None = None) -> bool:
        """Rebuild the run's process from its history and deliver what waited; False when that is not possible now."""
        turn = self.turn_now
        if history is None:
            if run.key in turn.touched:
                self._homeless.append(run)
                return False
            history = self.store.run_history(run.key)
        run.waits_for = ""
        try:
            rebuilt = self.rebuild(run, history)
        except NondeterminismError as error:
            run.stuck = error
            return False
        except (NotRunnable, WorkflowNotFound) as error:
            run.waits_for = error.why if isinstance(error, NotRunnable) else f"code of {run.row.workflow_type} ({run.row.version[:7]})"
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

    def rebuild(self, run: LiveRun, history: list[Recorded]) -> Rebuilt:
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
        history = self.store.run_history(run.key)
        run.refold(history)
        self.make_resident(run, history)
        self.timers.arm_all(run)
        activities.resume(self, run)

    def retire(self, run: LiveRun) -> None:
        """A closed run leaves memory once its waiters are served."""
        self._drop(run)
        for key in [key for key in self.in_flight if key[0] == run.key] if self.in_flight else ():
            del self.in_flight[key]
            self.executor.cancel(*key)
        for key in [key for key in self.starved if key[0] == run.key] if self.starved else ():
            del self.starved[key]
        self.registry.remove(run)
        waiters, run.waiters = run.waiters, None
        for waiter in waiters or ():
            waiter.answer((run.workflow_id, run.run_id, run.outcome))

    def find(self, workflow_id: str, run_id: str | None = None) -> LiveRun | None:
        return self.registry.get(WorkflowId(workflow_id), None if run_id is None else RunId(run_id))
