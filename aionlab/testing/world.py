"""A small world around an engine, in which everything that happens is scripted: results, signals, verbs, time, crashes, failed commits.

A *move* is a list of facts handed in before one turn. `World.play` carries a move out the way careful callers would: what was not
acknowledged and is not in the log is asked for again. The engine is the real one; only executor, clock and ids are the world's.
"""
from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from aionlab.core import events as e
from aionlab.core.clock import Micros
from aionlab.core.errors import AionError, StoreError, StoreFull
from aionlab.core.events import Recorded
from aionlab.core.ids import RunId, WorkflowId
from aionlab.core.payload import hints_of
from aionlab.core.ports import Attempt, EventStore, Finished, Missing
from aionlab.core.status import Status
from aionlab.core.values import values_for
from aionlab.engine import processes
from aionlab.engine.api import VERBS
from aionlab.engine.call import Call
from aionlab.engine.engine import Engine
from aionlab.engine.lifecycle.start import StartRequest
from aionlab.engine.run import LiveRun
from aionlab.replay.process import Code

from .faults import Crash, FaultyStore
from .programs import CHILD, TAKEN, Block, interpret

Op = tuple[Any, ...]
"""("start", run) · ("done", run, activity) · ("twice", run, activity) · ("late", run, activity) · ("signal", run, name, n, keyed) · ("update", run, name, n) ·
("cancel" | "terminate" | "pause" | "resume" | "suspend" | "kill", run) · ("time", µs)."""
Move = list[Op]
BEGINNING = Micros(1_577_836_800_000_000)
SECOND = 1_000_000
VALUES = values_for(None)
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
_FIRST_EVENT = {"pause": e.WorkflowPaused, "resume": e.WorkflowResumed, "cancel": e.WorkflowCancelRequested, "terminate": e.WorkflowTerminated}


class Broken(AssertionError):
    """A law does not hold."""


class StillClock:
    """A clock that only the script moves."""

    virtual, auto = True, False

    def __init__(self) -> None:
        self.point = self.target = BEGINNING

    def now(self) -> Micros:
        return self.point

    def wait_hint(self, due: Micros) -> float | None:
        return 0.0 if due <= self.point else None

    def aim(self, point: Micros) -> None:
        self.point = point

    def moving(self, next_due: Micros | None) -> bool:
        return False

    def advance(self, next_due: Micros | None) -> bool:
        return False


class SeededIds:
    """The seed of a run is a function of the run, however often its start is tried."""

    unique = False

    def __init__(self, seed: int) -> None:
        self.world_seed, self.runs, self.next_run = seed, 0, 0

    def workflow_id(self) -> WorkflowId:
        raise AssertionError("programs name their workflows")

    def run_id(self) -> RunId:
        self.runs += 1
        return RunId(f"run-{self.next_run}-{self.runs}")

    def seed(self) -> int:
        return random.Random(self.world_seed * 31 + self.next_run).getrandbits(63)


class HeldAttempts:
    """An executor that keeps every attempt until the script lets it end."""

    def __init__(self, log: Callable[[WorkflowId], list[Recorded]]) -> None:
        self.held: dict[tuple[int, int], Attempt] = {}
        self.withdrawn: dict[tuple[int, int], Attempt] = {}
        self.reported: dict[tuple[int, int], Attempt] = {}
        self.wrongs: list[str] = []
        self._log = log

    def submit(self, attempt: Attempt, done: Callable[[Finished | Missing], None]) -> None:
        key = (attempt.run_key, attempt.activity_id)
        name = f"activity {attempt.activity_id} of {attempt.workflow_id}"
        if key in self.held:
            self.wrongs.append(f"{name} is dispatched (attempt {attempt.attempt}) while attempt {self.held[key].attempt} runs")
        if key in self.reported and self.reported[key].attempt != attempt.attempt and attempt.activity_type not in ("flaky", "slow"):
            self.wrongs.append(f"{name} is dispatched again although its end was reported")
        events = [recorded.event for recorded in self._log(attempt.workflow_id)]
        if e.ActivityStarted(attempt.activity_id, attempt.attempt) not in events:
            self.wrongs.append(f"{name} is dispatched before its attempt {attempt.attempt} is recorded")
        if any(isinstance(event, e.ActivityCompleted) and event.activity_id == attempt.activity_id for event in events):
            self.wrongs.append(f"{name} is dispatched although its result is recorded")
        self.held[key] = attempt
        self.withdrawn.pop(key, None)

    def cancel(self, run_key: int, activity_id: int) -> None:
        attempt = self.held.pop((run_key, activity_id), None)
        if attempt is not None:
            self.withdrawn[run_key, activity_id] = attempt

    def close(self) -> None:
        pass


class World:
    """An engine on a faulty store, and `programs`, one run for each. `reopen_store` gives the store again after a crash."""

    def __init__(
        self, programs: Sequence[Block], seed: int, store: FaultyStore, reopen_store: Callable[[], EventStore] | None = None, deadlines: bool = False,
        family: bool = False,
    ) -> None:
        """`family`: programs have children, and there is a run whose id is taken."""
        self.programs, self.store, self.reopen_store = programs, store, reopen_store
        self.clock = StillClock()
        self.ids = SeededIds(seed)
        self.deadlines = deadlines
        store.register_attribute("n", "int")
        self.names = [WorkflowId(f"w{n}") for n in range(len(programs))]
        """Workflow ids by number: the programs', then their children's as they come up."""
        self.codes = {f"p{n}": Code(f"p{n}", "v1", interpret, hints_of(interpret), VALUES) for n in range(len(programs))}
        self.codes[CHILD] = Code(CHILD, "v1", interpret, hints_of(interpret), VALUES)
        self.counts: Counter[str] = Counter()
        self._logs: dict[WorkflowId, list[Recorded]] = {}
        self.acknowledged: list[tuple[WorkflowId, int]] = []
        """(workflow id, payload) of signals whose senders were told that they are recorded."""
        self.open()
        if family:
            self.ids.next_run = -1
            self.engine.submit(Call("start", StartRequest(CHILD, VALUES.encode_args(([["receive", "never", None]],), {}), workflow_id=TAKEN, python=PYTHON)))
            self.settle()

    # --- life and death of the engine

    def open(self) -> None:
        self.executor = HeldAttempts(self._log)
        while True:
            try:
                self.engine = Engine(self.store, self.clock, self.ids, self.executor, VERBS, load=lambda name, version: self.codes[name])
                break
            except StoreError:  # the store is deaf for a while
                continue
        for code in self.codes.values():
            self.engine.catalog.add(code)

    def crash(self) -> None:
        """Forget the engine, as `kill -9` would, and open the store again. Its coroutines are closed, so that none is collected later."""
        self.counts["crashes"] += 1
        for run in self.engine.registry:
            if run.process is not None:
                run.process.close()
        self._check_wrongs()
        if self.reopen_store is not None:
            self.store.inner.close()
            self.store.inner = self.reopen_store()
        self.open()

    def close(self) -> None:
        for run in self.engine.registry:
            processes.suspend(self.engine, run)
        self._check_wrongs()

    def _check_wrongs(self) -> None:
        if self.executor.wrongs:
            raise Broken(self.executor.wrongs[0])

    # --- looking

    def name(self, run: int) -> WorkflowId:
        return self.names[run]

    def live(self, run: int) -> LiveRun | None:
        return self.engine.registry.get(self.name(run))

    def history(self, run: int) -> list[Recorded]:
        """What the log shows of the run. A log only grows, so what was read once is kept."""
        return self._log(self.name(run))

    def _log(self, workflow_id: WorkflowId) -> list[Recorded]:
        known = self._logs.setdefault(workflow_id, [])
        known += self.store.inner.read_from(workflow_id, len(known) + 1)
        return known

    def status(self, run: int) -> Status | None:
        row = self.store.inner.run(self.name(run))
        return None if row is None else row.status

    @property
    def quiet(self) -> bool:
        """Whether nothing moves until the script goes on."""
        engine = self.engine
        due = engine.timers.next_due()
        return (
            engine.recovered and not engine.halted and engine.inbox.empty() and not engine.again and not engine.homeless and not engine.lost and not engine.posts
            and (due is None or due > self.clock.now())
        )  # fmt: skip

    # --- playing

    def play(self, move: Move, split: bool = False) -> None:
        """Carry a move out, until all of it has happened or cannot. `split`: a turn for each of its facts instead of one for all."""
        for part in [[op] for op in move] if split else [move]:
            self._play(part)
        self.meet()

    def meet(self) -> None:
        """Number the children that have come up, in the order their parents asked for them."""
        known = set(self.names)
        for name in self.names:  # grows meanwhile: children have children
            for recorded in self._log(name):
                event = recorded.event
                if isinstance(event, e.ChildWorkflowStarted) and event.child_workflow_id not in known and not event.named:
                    known.add(event.child_workflow_id)
                    self.names.append(event.child_workflow_id)

    def _play(self, move: Move) -> None:
        move = [op for op in move if op[0] == "time" or op[1] < len(self.names)]  # a child of the control may not have come up here
        before = {op: self._times(op) for op in move if op[0] in _FIRST_EVENT}
        todo = list(move)
        for _ in range(50):
            try:
                calls = [(op, self._hand_in(op)) for op in todo]
                self.settle()
            except Crash:
                self.revive()
                todo = [op for op in todo if not self._happened(op, before)]
            else:
                todo = [op for op, call in calls if call is not None and not self._accepted(op, call, before)]
            if not todo:
                return
        raise Broken(f"{todo} is refused for ever")

    def revive(self) -> None:
        """Open the store again until the engine comes to rest."""
        for _ in range(50):
            self.crash()
            try:
                self.engine.turn()
                self.settle()
                return
            except Crash:
                continue
        raise Broken("the store cannot be opened again")

    def settle(self) -> None:
        """Turns until nothing moves."""
        for _ in range(200):
            if self.quiet:
                self._check_wrongs()
                return
            self.engine.turn()
        raise Broken("the engine does not come to rest")

    def _hand_in(self, op: Op) -> Call | None:
        """Put one fact on the inbox; the call whose answer tells whether it happened, if it is a call."""
        engine = self.engine
        match op:
            case ("time", point):
                self.clock.point = point
                engine.turn()
                return None
            case ("done" | "twice" | "late", run, activity):
                live = self.live(run)
                if live is None:
                    return None
                key = (live.key, activity)
                if op[0] == "late":
                    attempt = self.executor.withdrawn.get(key)
                else:
                    attempt = self.executor.held.pop(key, None)
                if attempt is not None:
                    report = self._report(attempt)
                    if report.failure is None or attempt.activity_type == "fail":
                        self.executor.reported[key] = attempt
                    engine.submit(report)
                    if op[0] == "twice":
                        engine.submit(report)
                        engine.submit(report._replace(attempt=report.attempt + 1))
                        engine.submit(report._replace(attempt=report.attempt - 1))
                return None
            case ("start", run):
                self.ids.next_run = run
                call = Call("start", StartRequest(
                    f"p{run}", VALUES.encode_args((self.programs[run],), {}), workflow_id=self.name(run), python=PYTHON,
                    deadline=Micros(60 * SECOND) if self.deadlines else None,
                ))  # fmt: skip
            case ("signal", run, name, n, keyed):
                call = Call("signal", self.name(run), name, VALUES.encode(n), None, f"key-{n}" if keyed else None)
            case ("update", run, name, n):
                call = Call("update", self.name(run), name, VALUES.encode_args((n,), {}), f"u-{n}")
            case ("kill", run):
                live = self.live(run)
                if live is None or live.process is None:
                    return None
                call = Call("kill", live.pid)
            case (verb, run):
                call = Call(verb, self.name(run))
        engine.submit(call)
        return call

    def _report(self, attempt: Attempt) -> Finished:
        args, _ = VALUES.decode_args(attempt.input)
        error: BaseException | None = None
        if attempt.activity_type == "fail":
            error = ValueError(f"no {args[0]}")
        elif attempt.activity_type == "flaky" and self._failures(attempt) < args[1]:
            error = OSError(f"not yet {args[0]}")
        if error is not None:
            return Finished(attempt.run_key, attempt.activity_id, attempt.attempt, None, VALUES.failure(error))
        return Finished(attempt.run_key, attempt.activity_id, attempt.attempt, VALUES.encode(args[0] * 3 + len(attempt.activity_type)), None)

    def _failures(self, attempt: Attempt) -> int:
        return sum(
            isinstance(r.event, e.ActivityFailed) and r.event.activity_id == attempt.activity_id for r in self._log(attempt.workflow_id)
        )

    # --- what callers find out

    def _times(self, op: Op) -> int:
        """How often the log shows what the op records."""
        history = self.history(op[1])
        match op:
            case ("signal", _, _, n, _):
                payload = VALUES.encode(n)
                return sum(isinstance(r.event, e.SignalReceived) and r.event.payload == payload for r in history)
            case ("update", _, _, n):
                return sum(isinstance(r.event, e.UpdateAccepted) and r.event.update_id == f"u-{n}" for r in history)
            case ("start", _):
                return len(history[:1])
            case (verb, _) if verb in _FIRST_EVENT:
                return sum(type(r.event) is _FIRST_EVENT[verb] for r in history)
            case _:
                return 0

    def _happened(self, op: Op, before: dict[Op, int]) -> bool:
        """After a crash: whether the log shows the op, or it need not be done again."""
        if op[0] in ("time", "kill", "suspend", "late"):
            return True
        if op[0] == "update" or (op[0] == "signal" and op[4]):
            return False  # a key makes it safe to send again without looking
        if op[0] in ("done", "twice"):
            live = self.live(op[1])
            return live is None or not live.activities or op[2] not in live.activities or live.activities[op[2]].next_attempt_at is not None
        return self._times(op) > before.get(op, 0)

    def _accepted(self, op: Op, call: Call, before: dict[Op, int]) -> bool:
        """Whether the caller is done: told of success, or of a refusal that is final."""
        if not call.poll():
            raise Broken(f"{op} is not answered")
        times = self._times(op) - before.get(op, 0)
        try:
            call.outcome()
        except StoreError as error:
            self.counts["errors"] += 1
            if isinstance(error, StoreFull) and times:
                raise Broken(f"{op}: the caller was told that nothing was written, and the log shows it") from error
            return times > 0 and not (op[0] == "signal" and op[4])
        except AionError:
            return True
        if op[0] in ("signal", "start", "update") and times != 1:
            raise Broken(f"{op} was acknowledged and is {times} times in the log")
        if op[0] == "signal":
            self.acknowledged.append((self.name(op[1]), op[3]))
        return True
