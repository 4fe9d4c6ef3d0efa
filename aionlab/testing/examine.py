"""The examination of random programs by the laws of steps, turns and replay.

`examine(seed)` makes programs and a script, plays it once without faults (the control), and then again split into other turns, with
crashes, with failed and doubtful commits, or with everything at once; it compares histories, replays prefixes, and replays mutants.
It raises `Broken` where a law does not hold.
"""
from __future__ import annotations

import argparse
import gc
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any

from aionlab.core import events as e
from aionlab.core.events import Recorded
from aionlab.core.ports import EventStore
from aionlab.core.status import Status
from aionlab.store.memory import MemoryStore

from . import programs
from .faults import Fault, FaultyStore, Plan
from .laws import (
    check_families,
    check_history,
    check_memory,
    check_messages,
    check_mutant,
    check_prefixes,
    first_difference,
    shape,
)
from .programs import SIGNALS, UPDATES, Block, Maker, interpret, mutate
from .reference import judge
from .world import SECOND, VALUES, Broken, Move, Op, World

OpenStore = Callable[[], EventStore]


def no_faults(number: int) -> Fault | None:
    return None


# --- scripts -----------------------------------------------------------------------------------------------------------------


class Author:
    """Writes a script while playing it: each move is made of what is possible then, so the same moves are possible in every variant."""

    def __init__(self, world: World, rng: random.Random, wild: bool, talk: bool = False) -> None:
        self.world, self.rng, self.wild, self.talk = world, rng, wild, talk
        self.script: list[Move] = []
        self.sent = 0
        self.held_while_paused = False
        """Whether a result came for a paused run. A crash (or a doubt, by which an attempt is recorded and not dispatched) loses such
        attempts until the run is resumed, so the moves after it differ."""
        self.kills: Counter[int] = Counter()

    def write(self, moves: int) -> list[Move]:
        for run in range(len(self.world.programs)):
            self._add([("start", run)])
        for _ in range(moves):
            move = self._move()
            if move:
                self._add(move)
        self._bring_to_an_end()
        return self.script

    def _add(self, move: Move) -> None:
        self.script.append(move)
        for op in move:
            live = self.world.live(op[1]) if op[0] in ("done", "twice", "pause") else None
            self.held_while_paused |= live is not None and (live.status is Status.PAUSED or (op[0] == "pause" and len(move) > 1))
        self.world.play(move)
        check_families(self.world)
        if self.talk:
            check_messages(self.world)

    def _open(self) -> list[int]:
        return [run for run in range(len(self.world.names)) if self.world.live(run) is not None]

    def _running(self, attempts: dict[tuple[int, int], Any]) -> list[tuple[int, int]]:
        found = []
        for run in self._open():
            live = self.world.live(run)
            assert live is not None
            found += [(run, activity) for key, activity in attempts if key == live.key]
        return found

    def _move(self) -> Move:
        rng, world = self.rng, self.world
        open_runs, held = self._open(), self._running(world.executor.held)
        if not open_runs:
            return []
        choice, run = rng.random(), rng.choice(open_runs)
        if choice < 0.17 or (not held and choice < 0.45):
            return self._time()
        if choice < 0.72 and held:
            return self._results(held)
        if choice < 0.80:
            return [self._signal(run) for _ in range(rng.choice((1, 1, 2, 3)))]
        if choice < 0.84:
            live = world.live(run)
            assert live is not None
            return [("resume" if live.status is Status.PAUSED else "pause", run)]
        if choice < 0.88:
            if rng.random() < 0.6 or self.kills[run] >= 2:
                return [("suspend", run)]
            self.kills[run] += 1
            return [("kill", run)]
        if choice < 0.905:
            return [("cancel", run)]
        if choice < 0.91:
            return [("terminate", run)]
        return self._mixture(open_runs, held)

    def _results(self, held: list[tuple[int, int]]) -> Move:
        rng = self.rng
        chosen = rng.sample(held, min(len(held), rng.choice((1, 1, 2, 3, 9))))
        move: Move = [("twice" if rng.random() < 0.15 else "done", run, activity) for run, activity in chosen]
        late = self._running(self.world.executor.withdrawn)
        if late and rng.random() < 0.5:
            move.insert(rng.randint(0, len(move)), ("late", *rng.choice(late)))
        return move

    def _mixture(self, open_runs: list[int], held: list[tuple[int, int]]) -> Move:
        """Results, signals and verbs in one turn; only where the engine alone must not put them in order again."""
        rng = self.rng
        move: Move = [self._signal(rng.choice(open_runs)) for _ in range(rng.choice((1, 2, 3)))]
        run = rng.choice(open_runs)
        live = self.world.live(run)
        assert live is not None
        overdue = any(late.at < self.world.clock.point for late in live.deferred or ())
        if rng.random() < 0.5 and not overdue:  # timers asked for in the past are due at once, between the facts of a split move
            move.insert(rng.randint(0, len(move)), ("resume" if live.status is Status.PAUSED else "pause", run))
        if rng.random() < 0.2:
            move.insert(rng.randint(0, len(move)), ("cancel", rng.choice(open_runs)))
        if rng.random() < 0.4:
            move.insert(rng.randint(0, len(move)), ("suspend", rng.choice(open_runs)))
        if self.wild:
            for activity in rng.sample(held, min(len(held), 2)):
                move.insert(rng.randint(0, len(move)), ("done", *activity))
            if rng.random() < 0.2 and self.kills[run] < 2:
                self.kills[run] += 1
                move.insert(rng.randint(0, len(move)), ("kill", run))
        return move

    def _signal(self, run: int) -> Op:
        self.sent += 1
        if self.talk and self.rng.random() < 0.5:
            return ("update", run, self.rng.choice(UPDATES), self.sent)
        return ("signal", run, self.rng.choice(SIGNALS), self.sent, self.rng.random() < 0.5)

    def _time(self) -> Move:
        engine = self.world.engine
        engine.timers.prune(engine)
        due = engine.timers.next_due()
        if due is None:
            return []
        return [("time", due + (self.rng.randint(1, 6) * SECOND if self.rng.random() < 0.25 else 0))]

    def _bring_to_an_end(self) -> None:
        """Let everything happen that can; then cancel; then terminate."""
        for patience in (60, 40, 0):
            for run in self._open():
                live = self.world.live(run)
                if live is not None and live.status is Status.PAUSED:
                    self._add([("resume", run)])
            for _ in range(patience):
                held = self._running(self.world.executor.held)
                move: Move = [("done", run, activity) for run, activity in self.rng.sample(held, min(len(held), 3))] if held else self._time()
                if not move:
                    break
                self._add(move)
            for run in self._open():
                self._add([("cancel" if patience == 60 else "terminate", run)] if patience != 40 else [self._signal(run)])


# --- one examination ---------------------------------------------------------------------------------------------------------


class Examination:
    """All that is done with one seed."""

    def __init__(self, seed: int, open_store: OpenStore | None = None, reopen: OpenStore | None = None, thorough: bool = False) -> None:
        """`open_store` gives an empty store, `reopen` the last one again after a crash; without it a crash leaves the store open."""
        self.seed, self.rng, self.judging = seed, random.Random(seed), random.Random(~seed)
        self.open_store, self.reopen, self.thorough = open_store or MemoryStore, reopen, thorough
        self.counts: Counter[str] = Counter()

    def run(self) -> Counter[str]:
        rng = self.rng
        wild = rng.random() < 0.3
        self.family = random.Random(self.seed ^ 0xFA417).random() < 0.35
        self.talk = random.Random(self.seed ^ 0x7A1C).random() < 0.35
        self.programs = [
            Maker(rng, rng.choice((3, 6, 10, 16)), slow=wild and rng.random() < 0.5, family=self.family, talk=self.talk).program() for _ in range(rng.choice((1, 1, 1, 2, 3)))
        ]  # fmt: skip
        self.deadlines = rng.random() < 0.1
        control = self._world(no_faults)
        author = Author(control, rng, wild, self.talk)
        try:
            self.script = author.write(rng.choice((8, 15, 25)))
            self.crashes_show = author.held_while_paused
            check_memory(control)
            check_families(control)
            check_messages(control)
            histories = [list(control.history(run)) for run in range(len(control.names)) if control.history(run)]
        finally:
            self._end(control)
        self.counts["programs"] += len(self.programs)
        self.counts["children"] += len(histories) - len(self.programs)
        for history in histories:
            self._judge(program_of(history), history)
        variant = "wild" if wild else rng.choice(("split", "crashes", "crashes", "failures", "failures", "doubts", "everything"))
        getattr(self, f"_{variant}")(histories)
        if programs.strays:
            raise Broken(programs.strays.pop())
        return self.counts

    # --- the control

    def _judge(self, program: Block, history: list[Recorded]) -> None:
        check_history(history)
        verdict = judge(interpret, history, VALUES)
        self.counts["events"] += len(history)
        if verdict.why or verdict.arguments:
            raise Broken(f"the history is not what the code asks for: {verdict.why or verdict.differs}")
        self.counts += check_prefixes(history, verdict, self.judging, None if self.thorough else 4)
        for _ in range(8 if self.thorough else 2):
            self.counts[check_mutant(history, mutate(program, self.judging))] += 1

    # --- variants

    def _split(self, control: list[list[Recorded]]) -> None:
        """The same facts in other turns leave the same rows. (A killed or suspended run takes no part: those are no facts.)"""
        world = self._world(no_faults)
        self._play(world, split=True)
        self._compare(control, world, exact=True)

    def _crashes(self, control: list[list[Recorded]]) -> None:
        world = self._world(self._plan((Fault.CRASH_BEFORE, Fault.CRASH_AFTER)))
        self._play(world, finish=self.crashes_show)
        if not self.crashes_show:
            self._compare(control, world)

    def _failures(self, control: list[list[Recorded]]) -> None:
        world = self._world(self._plan((Fault.FULL,)))
        self._play(world)
        self._compare(control, world)

    def _doubts(self, control: list[list[Recorded]]) -> None:
        world = self._world(self._plan((Fault.LOST, Fault.WRITTEN), deaf=True))
        self._play(world, finish=self.crashes_show)
        if not self.crashes_show:
            self._compare(control, world)

    def _everything(self, control: list[list[Recorded]]) -> None:
        world = self._world(self._plan(tuple(Fault), deaf=True))
        self._play(world, finish=self.crashes_show)
        if not self.crashes_show:
            self._compare(control, world)

    def _wild(self, control: list[list[Recorded]]) -> None:
        """Mixed moves may come to rest in another order after a fault; each run must still be exact in itself, and nothing lost."""
        world = self._world(self._plan(tuple(Fault), deaf=True))
        self._play(world, finish=True)

    def _plan(self, faults: tuple[Fault, ...], deaf: bool = False) -> Plan:
        rng = random.Random(self.rng.getrandbits(32))
        often, going = rng.choice((0.05, 0.15, 0.3)), [0]
        current: list[Fault] = [faults[0]]

        def plan(number: int) -> Fault | None:
            if going[0] > 0:
                going[0] -= 1
            elif rng.random() < often:
                current[0] = rng.choice(faults)
                going[0] = 0 if current[0].crashes else rng.choice((0, 0, 0, 1, 3))
                if deaf and rng.random() < 0.3:
                    self._world_now.store.deaf = rng.randint(1, 8)
            else:
                return None
            self.counts[current[0].name.lower().replace("_", " ")] += 1
            return current[0]

        return plan

    def _world(self, plan: Plan) -> World:
        store = FaultyStore(self.open_store())
        self._world_now = world = World(self.programs, self.seed, store, self.reopen, self.deadlines, self.family)
        store.plan = plan
        return world

    def _end(self, world: World) -> None:
        self.counts += world.counts
        world.store.plan = no_faults
        world.store.deaf = 0
        try:
            world.close()
        finally:
            world.store.close()

    def _play(self, world: World, split: bool = False, finish: bool = False) -> None:
        rng = random.Random(self.seed + 1)
        try:
            for move in self.script:
                world.play(move, split)
                if rng.random() < (1.0 if self.thorough else 0.1):
                    check_memory(world)
            if finish:
                world.store.plan = no_faults
                author = Author(world, rng, False)
                author.sent = 10_000
                author._bring_to_an_end()
            check_memory(world)
            check_families(world)
            check_messages(world)
            self._check_runs(world)
        finally:
            if not isinstance(sys.exc_info()[1], Broken):
                self._histories = [list(world.history(run)) for run in range(len(world.names)) if world.history(run)]
            self._end(world)

    def _check_runs(self, world: World) -> None:
        for run in range(len(world.names)):
            history = world.history(run)
            if not history:
                continue
            check_history(history)
            verdict = judge(interpret, history, VALUES)
            if verdict.why or verdict.arguments:
                raise Broken(f"w{run}: the history is not what the code asks for: {verdict.why or verdict.differs}")
            self.counts += check_prefixes(history, verdict, self.judging, None if self.thorough else 3)
            self.counts["events"] += len(history)
        for workflow_id, n in world.acknowledged:
            payload = VALUES.encode(n)
            times = sum(isinstance(r.event, e.SignalReceived) and r.event.payload == payload for r in world._log(workflow_id))
            if times != 1:
                raise Broken(f"signal {n} to {workflow_id} was acknowledged and is {times} times in the log")

    def _compare(self, control: list[list[Recorded]], world: World, exact: bool = False) -> None:
        others = {history[0].workflow_id: history for history in self._histories}
        for one in control:
            name = one[0].workflow_id
            if name not in others:
                raise Broken(f"{name} is in the control alone")
            expected, found = shape(one, exact), shape(others.pop(name), exact)
            if expected != found:
                raise Broken(f"{name} differs from its control: {first_difference(expected, found)}")


def program_of(history: list[Recorded]) -> Block:
    """The program a run was given."""
    started = history[0].event
    assert isinstance(started, e.WorkflowStarted)
    program: Block = VALUES.decode_args(started.input)[0][0]
    return program


def examine(seed: int, open_store: OpenStore | None = None, reopen: OpenStore | None = None, thorough: bool = False) -> Counter[str]:
    """Make, play and judge what belongs to a seed; what was counted. Raises Broken, with how to do it again."""
    examination = Examination(seed, open_store, reopen, thorough)
    try:
        return examination.run()
    except Broken as broken:
        raise Broken(f"seed {seed}: {broken}\nagain: AIONLAB_SEED={seed} pytest tests/replay/test_programs.py -k again") from broken
    except Exception as error:
        raise Broken(f"seed {seed}: {type(error).__name__}: {error}\nagain: AIONLAB_SEED={seed} pytest tests/replay/test_programs.py -k again") from error


# --- the command -------------------------------------------------------------------------------------------------------------


def command(arguments: list[str] | None = None) -> int:
    """`python -m aionlab.testing.programs`: examine programs and print what was counted."""
    parser = argparse.ArgumentParser("python -m aionlab.testing.programs", description="Examine random programs by the laws of replay.")
    parser.add_argument("--count", type=int, default=1000, help="programs to make")
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first broken law")
    parser.add_argument("--thorough", action="store_true", help="all prefixes, more mutants, memory checked after every move")
    options = parser.parse_args(arguments)
    counts: Counter[str] = Counter()
    collected: list[str] = []
    sys.unraisablehook = lambda args: collected.append(f"{args.exc_type.__name__}: {args.exc_value} in {args.object!r}")
    began, seed = time.monotonic(), options.seed
    while counts["programs"] < options.count:
        try:
            counts += examine(seed, thorough=options.thorough)
            if collected:
                raise Broken(f"seed {seed}: the garbage collector ran user code: {collected.pop()}")
        except Broken as broken:
            counts["programs"] += 1
            counts["broken"] += 1
            sys.stdout.write(f"{broken}\n")
            if not options.keep_going:
                traceback.print_exc()
                return 1
        seed += 1
        if seed % 500 == 0:
            gc.collect()
            sys.stdout.write(f"… {counts['programs']} programs, {time.monotonic() - began:.0f} s\n")
            sys.stdout.flush()
    seconds = time.monotonic() - began
    sys.stdout.write(f"seeds {options.seed}-{seed - 1}, {seconds:.0f} s: " + ", ".join(f"{n} {name}" for name, n in sorted(counts.items())) + "\n")
    return 1 if counts["broken"] else 0
