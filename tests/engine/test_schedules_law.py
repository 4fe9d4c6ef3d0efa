"""Random schedules, downtimes and changes: the times that were run are those the policy says."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from aionlab.core import events as e
from aionlab.core.calendars import calendar
from aionlab.core.clock import Micros
from aionlab.store.memory import MemoryStore
from aionlab.testing.workbench import Workbench
from tests.engine import scheduling
from tests.engine.scheduling import HOUR, MINUTE, T0, away, history

pytestmark = pytest.mark.slow


def any_plan(chance: Random) -> dict[str, Any]:
    length = chance.choice([7, 20, 60, 90, 1440]) * MINUTE
    times = chance.choice([
        {"every": length, "offset": length * chance.randrange(4) // 4},
        {"cron": chance.choice(["*/20 * * * *", "0 */3 * * *", "30 2 * * *", "15 1,13 * * 1-5"]), "timezone": chance.choice(["UTC", "Asia/Tehran", "America/New_York"])},
        {"at": T0 + chance.randint(1, 60) * HOUR},
    ])  # fmt: skip
    bounds = chance.choice([{}, {}, {"start": T0 + 5 * HOUR}, {"end": T0 + 50 * HOUR}, {"start": T0 + 3 * HOUR, "end": T0 + 40 * HOUR}])
    return {**times, **bounds, "catch_up": chance.choice(["all", "one", "skip"]), "window": chance.choice([None, chance.randint(0, 20) * 37 * MINUTE])}


def any_script(chance: Random) -> list[tuple[str, int]]:
    """Steps and how long each takes: the lab is open, closed, or crashes; the schedule is paused and goes on."""
    words = chance.choices(["up", "down", "crash", "pause", "resume"], [4, 4, 1, 2, 3], k=chance.randint(2, 9))
    return [(word, chance.randint(1, 30) * 23 * MINUTE if word in ("up", "down") else 0) for word in words]


def times_of(plan: e.Plan, first: int, last: int) -> list[int]:
    """The plan's times after `first`, up to `last`, one by one."""
    found: list[int] = []
    at = calendar(plan).after(Micros(first))
    while at is not None and at <= last:
        found.append(at)
        at = calendar(plan).after(at)
    return found


def made_up(plan: e.Plan, missed: list[int], now: int) -> list[int]:
    """Which of the missed times the policy makes up."""
    recent = [at for at in missed if plan.window is None or at >= now - plan.window]
    return {"all": recent, "one": recent[-1:], "skip": []}[plan.catch_up]


@pytest.mark.parametrize("part", range(4))
def test_law_downtimes_and_pauses(part: int) -> None:
    for seed in range(250 * part, 250 * part + 250):
        chance = Random(seed)
        downtimes_and_pauses(seed, e.Plan("instant", **any_plan(chance)), any_script(chance))


def downtimes_and_pauses(seed: int, plan: e.Plan, script: list[tuple[str, int]]) -> None:
    bench = scheduling.define(Workbench(MemoryStore()))
    try:
        bench.call("schedule", "s", plan, bench.values.encode_args((), {}))
    except ValueError:  # no time lies between its start and its end
        return
    expected: list[int] = []
    now = seen = T0
    paused = False
    for step, length in script:
        now += length
        if step == "up":
            bench.skip(length)
            expected += [] if paused else times_of(plan, seen, now)
            seen = now
        elif step in ("down", "crash"):
            away(bench, length)
            expected += [] if paused else made_up(plan, times_of(plan, seen, now), now)
            seen = now
        elif (step == "pause") is not paused:
            bench.call(f"schedule_{step}", "s")
            paused, seen = not paused, now
    assert [event.nominal_time for event in history(bench, "s") if isinstance(event, e.ScheduleTriggered)] == expected, seed
    rows = list(reversed(bench.call("runs")))
    assert [row.workflow_id for row in rows] == [f"s-{scheduling.stamp(Micros(at))}" for at in expected]
    skipped = [event for event in history(bench, "s") if isinstance(event, e.ScheduleSkipped)]
    assert not {at for event in skipped for at in times_of(plan, event.nominal_time - 1, event.until or event.nominal_time)} & set(expected)


@dataclass
class Model:
    """Runs of a fixed length under an overlap policy."""

    overlap: str
    length: int
    ends: dict[int, int] = field(default_factory=dict)
    """Nominal time → when its run ends."""
    waiting: list[int] = field(default_factory=list)
    started: list[tuple[int, int]] = field(default_factory=list)

    def begin(self, nominal: int, now: int) -> None:
        self.started.append((nominal, now))
        self.ends[nominal] = now + self.length

    def finish(self, now: int) -> None:
        self.ends = {nominal: end for nominal, end in self.ends.items() if end > now}

    def go_on(self, now: int) -> None:
        if self.waiting and not self.ends:
            self.begin(self.waiting.pop(0), now)

    def tick(self, now: int) -> None:
        self.finish(now)
        if self.overlap == "allow_all" or not (self.ends or self.waiting):
            self.begin(now, now)
        elif self.overlap == "buffer_all" or (self.overlap == "buffer_one" and not self.waiting):
            self.waiting.append(now)
        elif self.overlap == "cancel_other":
            self.ends, self.waiting = {}, [now]
        elif self.overlap == "terminate_other":
            self.ends = {}
            self.begin(now, now)
        self.go_on(now)


def moments(model: Model, ticks: list[int], last: int) -> Iterator[tuple[int, bool]]:
    """The next thing that happens, (when, whether it is a tick), as long as there is one."""
    while True:
        tick = ticks[0] if ticks else last + 1
        end = min(model.ends.values(), default=last + 1)
        if min(tick, end) > last:
            return
        yield (ticks.pop(0), True) if tick <= end else (end, False)


@pytest.mark.parametrize("overlap", ["skip", "buffer_one", "buffer_all", "cancel_other", "terminate_other", "allow_all"])
def test_law_overlaps(overlap: str) -> None:
    for seed in range(100):
        chance = Random(seed)
        every, length, total = chance.randint(1, 40), chance.randint(1, 120), chance.randint(60, 600)
        crashes = [chance.randrange(total) for _ in range(chance.randrange(3))]
        bench = scheduling.define(Workbench(MemoryStore()))
        plan = e.Plan("naps", every=Micros(every * MINUTE), overlap=overlap)
        bench.call("schedule", "s", plan, bench.values.encode_args((length,), {}))
        model = Model(overlap, length * MINUTE)
        last = T0 + total * MINUTE
        for now, is_tick in moments(model, times_of(plan, T0, last), last):
            if is_tick:
                model.tick(now)
            else:
                model.finish(now)
                model.go_on(now)
        at = 0
        for crash in [*sorted(crashes), total]:
            bench.skip((crash - at) * MINUTE)
            at = crash
            away(bench, 0)
        rows = list(reversed(bench.call("runs")))
        assert [(row.workflow_id, row.started_at) for row in rows] == [(f"s-{scheduling.stamp(Micros(at))}", now) for at, now in model.started], seed


def test_the_model_can_tell_policies_apart(make_bench: Callable[..., Workbench]) -> None:
    """Each policy gives another history, so a policy that did what another should would be seen."""
    told = set()
    for overlap in ("skip", "buffer_one", "buffer_all", "cancel_other", "allow_all"):
        model = Model(overlap, 25 * MINUTE)
        ticks = [T0 + n * 10 * MINUTE for n in range(1, 9)]
        for now, is_tick in moments(model, ticks, T0 + 90 * MINUTE):
            if is_tick:
                model.tick(now)
            else:
                model.finish(now)
                model.go_on(now)
        told.add((tuple(model.started), tuple(model.waiting)))
    assert len(told) == 4, "cancelled at once and side by side start the same runs at the same times"
