"""Random programs that are ended, reopened, forked and reset anywhere: whatever is done, the history that results replays exactly.

Besides, a run that is terminated and reopened between two of its facts comes to the very end it would have come to.
"""
from __future__ import annotations

import gc
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from aionlab.core import errors
from aionlab.core import events as e
from aionlab.core.clock import Micros
from aionlab.core.events import Recorded
from aionlab.core.payload import hints_of
from aionlab.core.ports import Attempt, Finished
from aionlab.core.status import REOPENED, Status
from aionlab.engine.call import Call
from aionlab.engine.lifecycle.forking import ForkRequest
from aionlab.replay.process import Code
from aionlab.store.memory import MemoryStore
from aionlab.testing import programs
from aionlab.testing.faults import FaultyStore
from aionlab.testing.programs import SIGNALS, Maker, interpret
from aionlab.testing.workbench import Workbench
from tests.engine.conftest import check

pytestmark = pytest.mark.slow

SECOND = 1_000_000
SEEDS = 250


@pytest.fixture(autouse=True)
def nothing_from_the_collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """User code never runs from the garbage collector, and so never raises there."""
    heard: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda found: heard.append(f"{found.exc_value!r} in {found.object!r}"))
    yield
    gc.collect()
    assert heard == [] and programs.strays == []


@pytest.fixture(autouse=True)
def quiet_about_coroutines_never_awaited(recwarn: pytest.WarningsRecorder) -> None:
    """A dropped run leaves coroutines it was about to await; Python remarks on each."""


class Held:
    """Attempts that end when they are let: what each comes to depends on what was asked alone."""

    def __init__(self, values: Callable[[], Any]) -> None:
        self.held: list[tuple[Attempt, Callable[[Finished], None]]] = []
        self._values = values

    def submit(self, attempt: Attempt, done: Callable[[Finished], None], *_: Any) -> None:
        self.held.append((attempt, done))

    def cancel(self, run_key: int, activity_id: int) -> None:
        self.held = [pair for pair in self.held if (pair[0].run_key, pair[0].activity_id) != (run_key, activity_id)]

    def close(self) -> None:
        pass

    def let_one_end(self, place: int) -> None:
        attempt, done = self.held.pop(place % len(self.held))
        values = self._values()
        args, _ = values.decode_args(attempt.input)
        error = ValueError(f"no {args[0]}") if attempt.activity_type == "fail" else None
        if attempt.activity_type == "flaky" and attempt.attempt <= args[1]:
            error = OSError(f"not yet {args[0]}")
        result = None if error is not None else values.encode(args[0] * 3 + len(attempt.activity_type))
        done(Finished(attempt.run_key, attempt.activity_id, attempt.attempt, result, None if error is None else values.failure(error)))


class Life:
    """One program in an engine of its own."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.program = Maker(random.Random(seed), self.rng.randint(3, 16)).program()
        self.executor = Held(lambda: self.bench.values)
        self.bench = Workbench(FaultyStore(MemoryStore()), executor=self.executor)
        self.bench.call("register_attribute", "n", "int")
        values = self.bench.values
        self.bench.codes["p"] = Code("p", "v1", interpret, hints_of(interpret), values)
        self.bench.engine.catalog.add(self.bench.codes["p"])
        self.bench.start("p", self.program, id="w")

    def move(self, rng: random.Random, target: str = "w") -> None:
        """Something happens to the run: an attempt ends, a signal comes, time passes."""
        if self.executor.held and rng.random() < 0.6:
            self.executor.let_one_end(rng.randrange(99))
            self.bench.host.pump()
        elif rng.random() < 0.5:
            self.bench.skip(rng.randint(1, 4) * SECOND)
        else:
            try:
                self.bench.signal(target, rng.choice(SIGNALS), rng.randint(0, 9))
            except errors.RunClosed:
                pass

    def live(self, rng: random.Random, moves: int, target: str = "w") -> None:
        for _ in range(moves):
            if self.bench.status(target).closed:
                return
            self.move(rng, target)

    def crash(self) -> None:
        self.executor.held.clear()
        self.bench.crash()

    def sound(self, *targets: str) -> None:
        """Memory is what the log says, and the log is all there is."""
        check(self.bench)
        for run in self.bench.engine.registry:
            assert run.stuck is None, f"{run.workflow_id}: {run.stuck}"
        before = {target: facts_and_answers(self.bench.history(target)) for target in targets}
        self.crash()
        for run in self.bench.engine.registry:
            assert run.stuck is None, f"{run.workflow_id} does not come back: {run.stuck}"
        assert {target: facts_and_answers(self.bench.history(target)) for target in targets} == before, "coming back adds attempts, nothing else"
        check(self.bench)

    def close(self) -> None:
        for run in self.bench.engine.registry:
            if run.process is not None:
                run.process.close()


def facts_and_answers(history: list[Recorded]) -> list[tuple[str, bool, Any]]:
    return [(type(r.event).__name__, r.deferred, r.at) for r in history if e.is_fact(r.event) or e.is_answer(r.event)]


def run_for(seeds: range, script: Callable[[Life, Counter[str]], None]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for seed in seeds:
        life = Life(seed)
        try:
            script(life, counts)
        except BaseException as error:
            error.add_note(f"seed {seed}: {life.program}")
            raise
        finally:
            life.close()
    return counts


def test_any_run_that_did_not_complete_goes_on() -> None:
    def script(life: Life, counts: Counter[str]) -> None:
        rng, bench = life.rng, life.bench
        for _ in range(3):
            life.live(rng, rng.randint(0, 12))
            ending = rng.choice(("terminate", "cancel", "cancel", "nothing", "pause and terminate"))
            if not bench.status("w").closed:
                if ending == "pause and terminate":
                    bench.call("pause", "w")
                    life.live(rng, 3)
                if ending != "nothing":
                    bench.call(ending.rpartition(" ")[2], "w")
                    if ending == "cancel":
                        life.live(rng, 8)
            counts[str(bench.status("w"))] += 1
            if bench.status("w") in REOPENED:
                bench.call("reopen", "w")
                counts["reopened"] += 1
                life.sound("w")
        life.live(rng, 20)
        life.sound("w")

    counts = run_for(range(1, SEEDS), script)
    assert all(counts[str(status)] for status in (Status.FAILED, Status.CANCELLED, Status.TERMINATED)) and counts["reopened"] > SEEDS


def test_a_run_that_is_terminated_and_reopened_comes_to_the_end_it_would_have_come_to() -> None:
    def outcome(seed: int, stops: bool) -> tuple[Any, ...]:
        life, rng, stop = Life(seed), random.Random(seed), random.Random(-seed)
        try:
            if "flaky" in str(life.program):  # what those come to depends on the number of the attempt
                return ()
            for _ in range(40):
                if life.bench.status("w").closed:
                    break
                if stops and stop.random() < 0.2:
                    order = [attempt.activity_id for attempt, _ in life.executor.held]
                    for verb in ("terminate", "reopen"):  # one behind the other: time stands still while attempts are under way, and only then
                        life.bench.engine.submit(Call(verb, "w"))
                    life.bench.host.pump()
                    again = {pair[0].activity_id: pair for pair in life.executor.held}
                    assert set(again) == set(order)
                    life.executor.held = [again[number] for number in order]
                life.move(rng)
            ended = life.bench.outcome("w")
            if isinstance(ended, e.WorkflowFailed):
                return "failed", ended.error.type
            return ("completed", ended.result) if isinstance(ended, e.WorkflowCompleted) and life.bench.status("w").closed else ("open",)
        finally:
            life.close()

    ends = {seed: (outcome(seed, False), outcome(seed, True)) for seed in range(1, SEEDS)}
    assert {seed: pair for seed, pair in ends.items() if pair[0] != pair[1]} == {}
    assert Counter(pair[0][:1] for pair in ends.values())["completed",] > 50


def test_any_run_is_forked_and_reset_anywhere() -> None:
    def script(life: Life, counts: Counter[str]) -> None:
        rng, bench = life.rng, life.bench
        life.live(rng, rng.randint(1, 25))
        if rng.random() < 0.3 and bench.status("w") in REOPENED:
            bench.call("reopen", "w")
            life.live(rng, 5)
        history = bench.history("w")
        kept = facts_and_answers(history)
        for number, cut in enumerate(rng.sample(range(1, len(history) + 1), min(4, len(history)))):
            try:
                bench.call("fork", "w", None, ForkRequest(cut, workflow_id=f"f{number}"))
            except errors.InvalidOption:
                assert type(history[cut - 1].event) in e.TERMINAL, f"cut at {cut}"
                counts["refused"] += 1
                continue
            counts["forked"] += 1
            life.live(rng, rng.randint(0, 6), f"f{number}")
            life.sound(f"f{number}")
            if rng.random() < 0.3:
                bench.call("fork", f"f{number}", None, ForkRequest(1, workflow_id=f"g{number}"))
                life.live(rng, 4, f"g{number}")
                life.sound(f"g{number}")
        assert facts_and_answers(bench.history("w"))[: len(kept)] == kept
        try:
            bench.call("reset", "w", None, ForkRequest(rng.randint(1, len(history))))
            counts["reset"] += 1
        except errors.InvalidOption:
            counts["refused"] += 1
        life.live(rng, 6)
        life.sound("w")

    counts = run_for(range(1, SEEDS), script)
    assert counts["forked"] > 2 * SEEDS and counts["reset"] > SEEDS // 2 and counts["refused"]


def test_failed_runs_are_forked_from_their_last_failure() -> None:
    def script(life: Life, counts: Counter[str]) -> None:
        rng, bench = life.rng, life.bench
        life.live(rng, 40)
        if bench.status("w") is not Status.FAILED:
            return
        try:
            bench.call("fork", "w", None, ForkRequest("last_failure", workflow_id="f"))
        except errors.InvalidOption:
            counts["by itself"] += 1
            return
        counts["forked"] += 1
        source = [r.event for r in bench.history("w") if isinstance(r.event, e.ActivityCompleted)]
        copied = [r.event for r in bench.history("f") if isinstance(r.event, e.ActivityCompleted)]
        assert copied == [event for event in source if event in copied], "results are kept, in their order"
        life.live(rng, 20, "f")
        life.sound("f")

    counts = run_for(range(1, 2 * SEEDS), script)
    assert counts["forked"] > 10 and counts["by itself"]


def test_times_go_only_forward_in_what_is_recorded_anew() -> None:
    """Copied events keep their times; what a fork records itself has the clock's."""

    def script(life: Life, counts: Counter[str]) -> None:
        rng, bench = life.rng, life.bench
        life.live(rng, 12)
        now: Micros = bench.clock.now()
        bench.call("fork", "w", None, ForkRequest(1, workflow_id="f"))
        marks = [r for r in bench.history("f") if isinstance(r.event, e.WorkflowForked)]
        assert len(marks) == 1 and marks[0].at == now and all(r.at == now for r in bench.history("f") if r.seq > marks[0].seq)
        assert all(one.at <= other.at for one, other in zip(bench.history("f"), bench.history("f")[1:], strict=False))

    run_for(range(1, 60), script)
