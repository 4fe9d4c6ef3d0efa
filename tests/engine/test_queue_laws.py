"""Queues under random traffic: slots, rates and completeness, with retries, cancels, pauses, crashes and failed commits in between."""
from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable
from typing import Any

import pytest

from aionlab import Retry, activity
from aionlab.core import errors
from aionlab.core import events as e
from aionlab.core.status import Status
from aionlab.testing.workbench import Workbench
from tests.engine.held import Hall, elapse, finish, interrupt
from tests.engine.programs import SECOND

pytestmark = pytest.mark.slow


class Traffic:
    """One queue, many runs of up to three activities each, and whatever a seed does to them."""

    def __init__(self, bench: Workbench, seed: int) -> None:
        self.bench, self.dice = bench, random.Random(seed)
        self.slots = self.dice.choice([None, 1, 2, 5])
        self.rate = self.dice.choice([None, 1, 3, 10])
        self.period = self.dice.choice([1, 7, 60]) * SECOND
        self.started: list[str] = []
        self.begun: dict[int, int] = {}

        @bench.activity
        @activity(name="work", queue="q", retry=Retry(4, initial="2s", backoff=1.5))
        def work(n: int) -> int: ...

        async def job(priorities: list[int], kinds: list[str]) -> list[Any]:
            came: list[Any] = []
            for n, (priority, kind) in enumerate(zip(priorities, kinds, strict=True)):
                try:
                    came.append(await work.with_options(priority=priority, cancellation=kind, dedup_id=f"d{priority}" if priority == 4 else None)(n))
                except errors.ActivityError as error:
                    came.append(str(error.cause))
            return came

        bench.workflow(job)
        bench.call("register_queue", "q", self.slots, self.rate, self.period, self.dice.random() < 0.7)

    @property
    def hall(self) -> Hall:
        assert isinstance(self.bench.executor, Hall)
        return self.bench.executor

    def running(self) -> list[Any]:
        """Attempts handed over whose end nobody has reported and somebody waits for."""
        flying = self.bench.engine.in_flight
        return [a for a in self.hall.attempts if (found := flying.get((a.run_key, a.activity_id))) is not None and found.attempt == a.attempt]

    def act(self) -> None:
        dice, bench = self.dice, self.bench
        some = dice.choice(self.started) if self.started else None
        flying = self.running()
        match dice.choice(["start"] * 4 + ["finish"] * 5 + ["fail", "fail", "time", "time", "pause", "resume", "cancel", "terminate", "interrupt", "crash", "trouble", "limit"]):
            case "start":
                count = dice.randrange(1, 4)
                name = f"w{len(self.started)}"
                kinds = dice.choices(["try_cancel", "wait_completed", "abandon"], k=count)
                try:
                    bench.start("job", dice.choices(range(5), k=count), kinds, id=name)
                except errors.StoreUnavailable:
                    return
                self.started.append(name)
            case "finish" if flying:
                finish(bench, dice.choice(flying), dice.randrange(100))
            case "fail" if flying:
                finish(bench, dice.choice(flying), error=ValueError("no"))
            case "interrupt" if flying:
                interrupt(bench, dice.choice(flying))
            case "time":
                elapse(bench, dice.randrange(1, 4 * SECOND))
            case "pause" | "resume" | "cancel" | "terminate" as verb if some is not None:
                try:
                    bench.call(verb, some)
                except (errors.UsageError, errors.StoreUnavailable):
                    return
            case "crash":
                bench.crash()
            case "trouble":
                bench.engine.faults.arm(dice.choice(["commit", "committed"]), lambda: errors.StoreUnavailable("the disk"))
            case "limit":
                if self.slots is not None:
                    self.slots = max(self.slots, dice.choice([1, 2, 5]))
                    bench.engine.faults.clear()
                    bench.call("register_queue", "q", self.slots, self.rate, self.period, True)

    def check(self) -> None:
        """No more attempts at once than slots, no more starts in any period than tokens, none handed over twice."""
        names = self.hall.names
        assert len(names) == len(set(names)), "an attempt was handed over twice"
        if self.slots is not None and not self.bench.engine.halted:
            held = [key for key in self.bench.engine.in_flight if self._held(*key)]
            assert len(held) <= self.slots, held
        if self.rate is not None:
            starts = sorted(entry.at for name in self.started for entry in self._history(name) if isinstance(entry.event, e.ActivityStarted))
            for n, at in enumerate(starts):
                assert bisect_right(starts, at + self.period - 1) - n <= self.rate, "more starts in a period than tokens"

    def _held(self, run_key: int, number: int) -> bool:
        run = self.bench.engine.registry.by_key(run_key)
        return run is not None and run.activities is not None and number in run.activities

    def _history(self, name: str) -> list[e.Recorded]:
        return self.bench.store.read(name)  # type: ignore[arg-type]  # as the workbench gives ids

    def wind_up(self) -> None:
        """Let everything end: resume, finish what runs, let time pass, as long as anything is open."""
        bench = self.bench
        bench.engine.faults.clear()
        bench.host.pump()
        bench.crash()  # interrupted attempts come back
        for _ in range(20 * len(self.started) + 100):
            open_runs = [name for name in self.started if not bench.status(name).closed]
            if not open_runs:
                return
            for name in open_runs:
                if bench.status(name) is Status.PAUSED:
                    bench.call("resume", name)
            for attempt in self.running():
                finish(bench, attempt, 1)
            elapse(bench, max(self.period, 10 * SECOND))
            self.check()
        raise AssertionError(f"{open_runs} never end: {bench.call('queues')}, in flight {bench.engine.in_flight}")


@pytest.mark.parametrize("seed", range(40))
def test_random_traffic(make_bench: Callable[..., Workbench], seed: int) -> None:
    traffic = Traffic(make_bench(executor=Hall()), seed)
    for _ in range(120):
        traffic.act()
        traffic.bench.host.pump()
        traffic.check()
    traffic.wind_up()
    bench = traffic.bench
    assert all(bench.status(name).closed for name in traffic.started)
    before = [bench.history(name) for name in traffic.started]
    bench.crash()
    assert [bench.history(name) for name in traffic.started] == before
