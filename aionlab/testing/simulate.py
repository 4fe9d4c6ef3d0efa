"""The simulator: the real engine on a virtual clock, seeded faults, and a model that says beforehand how everything must end.

    from aionlab.testing.simulate import simulate
    simulate(seed=7)                   # raises Broken, with the seed, when a law does not hold

A *plan* is a tree of activities, sleeps, receives, children, races, cancellations and gathers, at most twenty of them, each with its own
length of time. Because lengths never tie, its result is a function of the plan and of when signals come: `model` computes it without an
engine. The simulator then runs the plan as a workflow while it crashes the engine around commits and in recovery, fails commits or
leaves them in doubt, loses workers, sets the clock wrong, reports results twice and late, sends signals twice, evicts and kills processes, redefines the code and
lets listeners raise. None of that may show: result, status, order and the log's laws are checked as it goes.

`python -m aionlab.testing.simulate --count 10000 --seed 1` runs many seeds and prints what happened in them.
"""
from __future__ import annotations

import argparse
import asyncio
import gc
import heapq
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from aionlab.authoring.definitions import Activity
from aionlab.authoring.faces import workflow
from aionlab.core import events as e
from aionlab.core.clock import Micros
from aionlab.core.errors import ActivityError, ProcessNotFound, RunClosed, StoreError
from aionlab.core.ids import WorkflowId
from aionlab.core.payload import hints_of
from aionlab.core.ports import Attempt, EventStore, Finished, Missing
from aionlab.core.status import Status
from aionlab.engine.api import VERBS
from aionlab.engine.call import Call
from aionlab.engine.engine import Engine
from aionlab.engine.lifecycle.start import StartRequest
from aionlab.replay.process import Code
from aionlab.store.fold import run_of, timers_of
from aionlab.store.memory import MemoryStore

from .faults import Crash, Fault, FaultyStore
from .laws import check_history
from .world import BEGINNING, PYTHON, VALUES, Broken, SeededIds, StillClock

Plan = list[Any]
"""A list of nodes: ["act", n, µs] · ["fail", n, µs] · ["sleep", µs] · ["receive", name, µs] · ["child", plan] · ["gather", [plans]] ·
["race", [plans]] · ["cancel", plan, µs]."""
TYPE = "plan"
MOST = 20
_ACT: Activity[..., Any] = Activity(None, "act")
_FAIL: Activity[..., Any] = Activity(None, "fail")
_MOD = 1_000_003


# --- what runs --------------------------------------------------------------------------------------------------------------


async def run_plan(plan: Plan) -> int:
    """The workflow: carries a plan out and gives a number that depends on all that happened in it."""
    total = 1
    for kind, *arguments in plan:
        total = (total * 31 + await _NODES[kind](*arguments)) % _MOD
    return total


async def _act(n: int, length: int) -> int:
    found: int = await _ACT(n, length)
    return found


async def _failing(n: int, length: int) -> int:
    try:
        await _FAIL(n, length)
    except ActivityError:
        return -n
    raise AssertionError("it always fails")


async def _sleep(length: int) -> int:
    await asyncio.sleep(length / 1_000_000)
    return 2


async def _receive(name: str, length: int) -> int:
    found: int = await workflow.receive(name, timeout=length / 1_000_000, default=-1)
    return found


async def _child(plan: Plan) -> int:
    found: int = await workflow.execute_child(TYPE, plan)
    return found


async def _gather(plans: list[Plan]) -> int:
    return sum(at * found for at, found in enumerate(await asyncio.gather(*[run_plan(plan) for plan in plans]), 1))


async def _race(plans: list[Plan]) -> int:
    return await workflow.race(*[run_plan(plan) for plan in plans])


async def _cancel(plan: Plan, length: int) -> int:
    task = asyncio.ensure_future(run_plan(plan))
    await asyncio.wait([task], timeout=length / 1_000_000)
    if task.done():
        return task.result()
    task.cancel()
    await asyncio.wait([task])
    return -3 if task.cancelled() else task.result()


_NODES: dict[str, Callable[..., Any]] = {
    "act": _act, "fail": _failing, "sleep": _sleep, "receive": _receive, "child": _child, "gather": _gather, "race": _race, "cancel": _cancel,
}  # fmt: skip


# --- the model --------------------------------------------------------------------------------------------------------------


def model(plan: Plan, begun: int, signals: dict[str, tuple[int, int]]) -> tuple[int, int]:
    """(result, µs at which it is there) of a plan begun at `begun`; `signals` maps a name to (µs it comes, value)."""
    total, now = 1, begun
    for kind, *arguments in plan:
        match kind:
            case "act":
                value, now = arguments[0] * 7 + 1, now + arguments[1]
            case "fail":
                value, now = -arguments[0], now + arguments[1]
            case "sleep":
                value, now = 2, now + arguments[0]
            case "receive":
                name, length = arguments
                came, given = signals.get(name, (1 << 62, 0))
                value, now = (given, max(now, came)) if came < now + length else (-1, now + length)
            case "child":
                value, now = model(arguments[0], now, signals)
            case "gather":
                ends = [model(one, now, signals) for one in arguments[0]]
                value, now = sum(at * found for at, (found, _) in enumerate(ends, 1)), max(end for _, end in ends)
            case "race":
                value, now = min((model(one, now, signals) for one in arguments[0]), key=lambda end: end[1])
            case "cancel":
                found, end = model(arguments[0], now, signals)
                value, now = (found, end) if end < now + arguments[1] else (-3, now + arguments[1])
            case _:
                raise AssertionError(kind)
        total = (total * 31 + value) % _MOD
    return total, now


class Planner:
    """Makes plans. Every length is different to the microsecond, so that no two things happen at once."""

    def __init__(self, rng: random.Random, budget: int) -> None:
        self.rng, self.budget = rng, budget
        self.names: list[str] = []
        self._used: set[int] = set()

    def plan(self, depth: int = 0) -> Plan:
        nodes: Plan = []
        while self.budget > 0 and (not nodes or (len(nodes) < 3 and self.rng.random() < 0.6)):
            nodes.append(self._node(depth))
        return nodes or [["sleep", self._length()]]

    def _length(self) -> int:
        while True:
            length = self.rng.randint(1_000_000, 60_000_000)
            if length not in self._used:
                self._used.add(length)
                return length

    def _node(self, depth: int) -> Plan:
        self.budget -= 1
        rng, n = self.rng, self.rng.randint(0, 99)
        kind = rng.choice(("act", "act", "act", "fail", "sleep", "sleep", "receive") + (() if depth > 2 else ("child", "gather", "race", "cancel")))
        match kind:
            case "act" | "fail":
                return [kind, n, self._length()]
            case "sleep":
                return [kind, self._length()]
            case "receive":
                self.names.append(f"s{len(self.names)}")
                return [kind, self.names[-1], self._length()]
            case "child":
                return [kind, self._within(depth)]
            case "cancel":
                return [kind, self.plan(depth + 1), self._length()]
            case _:
                return [kind, [self.plan(depth + 1) for _ in range(rng.choice((2, 2, 3)))]]

    def _within(self, depth: int) -> Plan:
        """A child's plan. Signals go to the run they were written for, so a child receives none."""
        mine = len(self.names)
        plan = self.plan(depth + 1)
        if len(self.names) > mine:
            gone = set(self.names[mine:])
            del self.names[mine:]
            plan = _without(plan, gone, self._length)
        return plan


def _without(plan: Plan, names: set[str], length: Callable[[], int]) -> Plan:
    def node(one: Plan) -> Plan:
        kind, *arguments = one
        if kind == "receive" and arguments[0] in names:
            return ["sleep", length()]
        if kind in ("gather", "race"):
            return [kind, [_without(inner, names, length) for inner in arguments[0]]]
        if kind in ("child", "cancel"):
            return [kind, _without(arguments[0], names, length), *arguments[1:]]
        return one

    return [node(one) for one in plan]


# --- the world ----------------------------------------------------------------------------------------------------------------


class Workers:
    """An executor whose attempts end when their length is over, on the simulator's clock; a lost one never does."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self.held: dict[tuple[int, int], Attempt] = {}
        self.withdrawn: list[Attempt] = []
        self.wrongs: list[str] = []

    def submit(self, attempt: Attempt, done: Callable[[Finished | Missing], None]) -> None:
        key, simulation = (attempt.run_key, attempt.activity_id), self._simulation
        if key in self.held:
            self.wrongs.append(f"activity {attempt.activity_id} of {attempt.workflow_id} is dispatched twice")
        recorded = simulation.store.inner.read(attempt.workflow_id)
        if e.ActivityStarted(attempt.activity_id, attempt.attempt) not in [one.event for one in recorded if one.run_id == attempt.run_id]:
            self.wrongs.append(f"activity {attempt.activity_id} of {attempt.workflow_id} is dispatched before its attempt is recorded")
        self.held[key] = attempt
        (_, length), _ = VALUES.decode_args(attempt.input)
        due = simulation.dues.setdefault(key, simulation.clock.point + length)
        heapq.heappush(simulation.agenda, (max(due, simulation.clock.point), next(simulation.order), "done", key))

    def cancel(self, run_key: int, activity_id: int) -> None:
        attempt = self.held.pop((run_key, activity_id), None)
        if attempt is not None:
            self.withdrawn.append(attempt)

    def close(self) -> None:
        pass


class Ids(SeededIds):
    """Ids that a crash does not bring back."""

    def run_id(self) -> Any:
        self.runs += 1
        return f"run-{self.runs}"

    def seed(self) -> int:
        return self.world_seed & (1 << 62) - 1


class _Chance(NamedTuple):
    """How often each thing goes wrong, per commit or per step."""

    commit: float
    faults: tuple[Fault, ...]
    evict: float
    kill: float
    twice: float
    crash: float
    jump: float
    lose: float


@dataclass
class Outcome:
    """What one seed came to."""

    seed: int
    result: int
    events: int
    counts: Counter[str]


class Simulation:
    """One seed: a plan, its model, and the engine under faults."""

    def __init__(self, seed: int, open_store: Callable[[], EventStore] = MemoryStore, reopen: Callable[[], EventStore] | None = None) -> None:
        rng = self.rng = random.Random(seed)
        self.seed, self.reopen = seed, reopen
        planner = Planner(rng, rng.choice((2, 4, 6, 9, 14, MOST)))
        self.plan = planner.plan()
        self.clock = StillClock()
        self.signals = {name: (BEGINNING + rng.randint(1, 90_000_000), rng.randint(0, 99)) for name in planner.names if rng.random() < 0.7}
        self.expected, self.ends = model(self.plan, BEGINNING, self.signals)
        calm = rng.random() < 0.15
        self.chance = _Chance(0, (), 0, 0, 0, 0, 0, 0) if calm else _Chance(
            rng.choice((0.0, 0.05, 0.2)), rng.choice(_FAULTS), rng.choice((0.0, 0.2)), rng.choice((0.0, 0.03)), rng.choice((0.0, 0.2)), rng.choice((0.0, 0.1)),
            rng.choice((0.0, 0.2)), rng.choice((0.0, 0.1)),
        )  # fmt: skip
        self.cancel_at = BEGINNING + rng.randint(1, 60_000_000) if rng.random() < 0.15 else None
        self.kills = 0
        self.counts: Counter[str] = Counter()
        self.agenda: list[tuple[int, int, str, Any]] = []
        self.order = iter(range(1 << 62))
        self.dues: dict[tuple[int, int], int] = {}
        self.quiet = False
        self.store = FaultyStore(open_store(), self._fault)
        self.ids = Ids(seed)
        self.workers = Workers(self)
        self.versions = 1
        self._open()

    def _fault(self, number: int) -> Fault | None:
        if self.quiet or self.rng.random() >= self.chance.commit:
            return None
        fault = self.rng.choice(self.chance.faults)
        self.counts[fault.name.lower()] += 1
        return fault

    # --- the engine's life

    def _open(self) -> None:
        self.workers.held.clear()
        kept = [entry for entry in self.agenda if entry[2] != "done"]
        self.agenda[:] = kept
        heapq.heapify(self.agenda)
        self.engine = Engine(self.store, self.clock, self.ids, self.workers, VERBS, load=self._code)
        for version in range(1, self.versions + 1):
            self.engine.catalog.add(self._code(TYPE, f"v{version}"))
        if self.seed % 7 == 0:
            self.engine.listeners.append(_raises)

    def _code(self, workflow_type: str, version: str) -> Code:
        return Code(workflow_type, version, run_plan, hints_of(run_plan), VALUES)

    def _crash(self) -> None:
        for run in self.engine.registry:
            if run.process is not None:
                run.process.close()
        self.counts["crashes"] += 1
        self._check_workers()
        if self.reopen is not None:
            self.store.inner.close()
            self.store.inner = self.reopen()
        self._open()

    def _settle(self) -> None:
        """Turns until nothing moves; after a crash in another engine."""
        for _ in range(400):
            try:
                self.engine.turn()
                if self._still():
                    return
            except Crash:
                self._crash()
        raise Broken("the engine does not come to rest")

    def _still(self) -> bool:
        engine = self.engine
        due = engine.timers.next_due()
        return (
            engine.recovered and not engine.halted and engine.inbox.empty() and not engine.again and not engine.homeless and not engine.lost
            and (due is None or due > self.clock.point)
        )  # fmt: skip

    def _ask(self, verb: str, *arguments: Any) -> Any:
        """A verb, asked again until it is answered by something other than the store's troubles."""
        for _ in range(60):
            call = Call(verb, *arguments)
            self.engine.submit(call)
            self._settle()
            if not call.poll():
                continue
            try:
                return call.outcome()
            except StoreError:
                continue
            except (RunClosed, ProcessNotFound) as over:
                return over
        raise Broken(f"{verb} is refused for ever")

    # --- running

    def run(self) -> Outcome:
        request = StartRequest(TYPE, VALUES.encode_args((self.plan,), {}), workflow_id="w", python=PYTHON, idempotency_key="start", digest="d")
        self._ask("start", request)
        for name, (came, value) in self.signals.items():
            heapq.heappush(self.agenda, (came, next(self.order), "signal", (name, value)))
        if self.cancel_at is not None:
            heapq.heappush(self.agenda, (self.cancel_at, next(self.order), "cancel", None))
        while self.store.inner.run(WorkflowId("w")).status in (Status.RUNNING, Status.PAUSED):  # type: ignore[union-attr]  # it is recorded
            self._step()
        self.quiet = True
        self._settle()
        return self._judge()

    def _step(self) -> None:
        engine = self.engine
        engine.timers.prune(engine)
        due = engine.timers.next_due()
        at = min([self.agenda[0][0]] if self.agenda else [], default=None)
        if due is None and at is None:
            raise Broken("nothing more can happen, and the run is open")
        if due is not None and (at is None or due < at):
            self.clock.point = max(self.clock.point, due)
        else:
            when, _, what, about = heapq.heappop(self.agenda)
            self.clock.point = max(self.clock.point, Micros(when))
            self._happen(what, about)
        self._settle()
        self._disturb()

    def _happen(self, what: str, about: Any) -> None:
        match what:
            case "done":
                attempt = self.workers.held.pop(about, None)
                if attempt is None:
                    return
                (n, _), _ = VALUES.decode_args(attempt.input)
                failed = attempt.activity_type == "fail"
                key, number = about
                report = Finished(key, number, attempt.attempt, None if failed else VALUES.encode(n * 7 + 1), VALUES.failure(ValueError(n)) if failed else None)
                self.engine.submit(report)
                if self.rng.random() < self.chance.twice:
                    self.counts["twice"] += 1
                    self.engine.submit(report)
                    if self.workers.withdrawn:
                        late = self.workers.withdrawn[-1]
                        self.engine.submit(Finished(late.run_key, late.activity_id, late.attempt, VALUES.encode(0), None))
            case "signal":
                name, value = about
                for _ in range(2 if self.rng.random() < self.chance.twice else 1):
                    self._ask("signal", "w", name, VALUES.encode(value), None, f"key-{name}")
            case "cancel":
                self._ask("cancel", "w")
            case _:
                raise AssertionError(what)

    def _disturb(self) -> None:
        """What goes wrong between steps. None of it may show in the result."""
        rng, chance = self.rng, self.chance
        if rng.random() < chance.jump:
            self._jump()
        if self.workers.held and rng.random() < chance.lose:  # a worker that is gone reports nothing; its kernel, found dead, is opened again
            self.workers.held.pop(rng.choice(list(self.workers.held)))
            self.counts["lost workers"] += 1
            self._crash()
            self._settle()
        if rng.random() < chance.crash:
            self._crash()
            self._settle()
        runs = [run for run in self.engine.registry if run.process is not None]
        if runs and rng.random() < chance.evict:
            self.counts["evictions"] += 1
            self._ask("suspend", rng.choice(runs).workflow_id)
        elif runs and rng.random() < chance.kill and self.kills < 2:
            self.kills += 1
            self._ask("kill", rng.choice(runs).pid)
        if rng.random() < chance.evict / 4:
            self.versions += 1
            self.engine.catalog.add(self._code(TYPE, f"v{self.versions}"))
        self._check_workers()

    def _jump(self) -> None:
        """The wall clock goes back, or ahead as far as nothing is due, and comes right again: nothing may fire, early or twice."""
        right, due = self.clock.point, self.engine.timers.next_due()
        ahead = min([entry[0] for entry in self.agenda[:1]] + ([due] if due is not None else []), default=right)
        self.clock.point = Micros(right - self.rng.randint(1, 90_000_000) if self.rng.random() < 0.5 else max(right, ahead - 1))
        self.counts["jumps"] += 1
        events = self.store.commits
        self._settle()
        if self.store.commits != events:
            raise Broken("something was recorded while the clock was wrong and nothing was due")
        self.clock.point = right

    # --- judging

    def _check_workers(self) -> None:
        if self.workers.wrongs:
            raise Broken(self.workers.wrongs[0])

    def _judge(self) -> Outcome:
        store, events = self.store.inner, 0
        for workflow_id in store.ids():
            history = store.read(workflow_id)
            events += len(history)
            check_history(history)
            timers = store.due_timers(Micros(1 << 62))
            for row in store.run_chain(workflow_id):
                own = [recorded for recorded in history if recorded.run_id == row.run_id]
                folded = run_of(row.key, row.workflow_key, own)
                if folded is None or (folded.status, folded.closed_at) != (row.status, row.closed_at):
                    raise Broken(f"{workflow_id}: the row says {row}, the history {folded}")
                if sorted(timer for timer in timers if timer.run_key == row.key) != sorted(timers_of(row.key, own)):
                    raise Broken(f"{workflow_id}: the timers table is not what history says")
                if not row.status.closed:
                    raise Broken(f"{workflow_id} is {row.status} though everything is over")
        sent = [one.event.idempotency_key for one in store.read(WorkflowId("w")) if isinstance(one.event, e.SignalReceived)]
        if len(sent) != len(set(sent)):
            raise Broken(f"a signal is recorded twice: {sent}")
        main = store.run(WorkflowId("w"))
        last = store.read(WorkflowId("w"))[-1]
        assert main is not None
        cancelled = self.cancel_at is not None and self.cancel_at < self.ends
        if cancelled:
            if main.status is not Status.CANCELLED:
                raise Broken(f"it was cancelled before its end, and is {main.status}")
            return Outcome(self.seed, -1, events, self.counts)
        if not isinstance(last.event, e.WorkflowCompleted):
            raise Broken(f"it ended with {last.event}")
        result = VALUES.decode(last.event.result)
        if result != self.expected:
            raise Broken(f"the result is {result}, the model says {self.expected}")
        if last.at != self.ends:
            raise Broken(f"it ended at {last.at - BEGINNING} µs, the model says {self.ends - BEGINNING}")
        return Outcome(self.seed, result, events, self.counts)

    def close(self) -> None:
        for run in self.engine.registry:
            if run.process is not None:
                run.process.close()
        self.store.inner.close()


_FAULTS: tuple[tuple[Fault, ...], ...] = ((Fault.CRASH_BEFORE, Fault.CRASH_AFTER), (Fault.FULL,), (Fault.LOST, Fault.WRITTEN), tuple(Fault))


def _raises(recorded: object) -> None:
    raise RuntimeError("a listener that raises")


def simulate(seed: int, open_store: Callable[[], EventStore] = MemoryStore, reopen: Callable[[], EventStore] | None = None) -> Outcome:
    """Run one seed. `open_store` gives an empty store; `reopen` the same again after a crash (without it the store survives as it is).

    Raises Broken, which names the seed and the plan.
    """
    simulation = Simulation(seed, open_store, reopen)
    try:
        return simulation.run()
    except Exception as broken:
        raise Broken(f"seed {seed}: {type(broken).__name__}: {broken}\nplan: {simulation.plan}\nagain: python -m aionlab.testing.simulate --seed {seed} --count 1") from broken
    finally:
        simulation.close()


def main(arguments: list[str] | None = None) -> int:
    """`python -m aionlab.testing.simulate`."""
    parser = argparse.ArgumentParser("python -m aionlab.testing.simulate", description="Run seeds of the simulator.")
    parser.add_argument("--count", type=int, default=1000, help="seeds to run")
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first broken law")
    options = parser.parse_args(arguments)
    counts: Counter[str] = Counter()
    began = time.monotonic()
    gc.disable()
    for seed in range(options.seed, options.seed + options.count):
        try:
            outcome = simulate(seed)
        except Broken as broken:
            counts["broken"] += 1
            sys.stdout.write(f"{broken}\n")
            if not options.keep_going:
                return 1
            continue
        counts += outcome.counts
        counts["events"] += outcome.events
        if seed % 500 == 0:
            gc.collect()
    seconds = time.monotonic() - began
    told = ", ".join(f"{n} {name}" for name, n in sorted(counts.items()))
    sys.stdout.write(f"seeds {options.seed}-{options.seed + options.count - 1}, {seconds:.1f} s, {options.count / seconds:.0f} a second: {told}\n")
    return 1 if counts["broken"] else 0


if __name__ == "__main__":
    sys.exit(main())
