"""The simulator finds nothing in the engine, and finds what is planted in it."""
from __future__ import annotations

import logging
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aionlab.core import events as e
from aionlab.engine import activities, children, processes, timers
from aionlab.engine.engine import Engine
from aionlab.engine.turn import Turn
from aionlab.store.sqlite import SqliteStore
from aionlab.testing.simulate import Broken, Planner, main, model, simulate

pytestmark = pytest.mark.usefixtures("unlogged")
FIXED = 9_000
FRESH = 1_000
PARTS = 6


@pytest.fixture
def unlogged() -> Iterator[None]:
    """The engine logs each listener that raises; here thousands do."""
    log = logging.getLogger("aionlab.engine")
    log.disabled = True
    yield
    log.disabled = False


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_the_fixed_seeds(part: int) -> None:
    counts: Counter[str] = Counter()
    for seed in range(part, FIXED, PARTS):
        counts += simulate(seed).counts
    assert counts["crashes"] > 100 and counts["full"] > 50 and counts["written"] > 30 and counts["evictions"] > 50, counts


@pytest.mark.slow
def test_fresh_seeds() -> None:
    first = int(os.environ.get("AIONLAB_SEED") or random.SystemRandom().randrange(1 << 40))
    print(f"seeds from {first}: AIONLAB_SEED={first} does it again")
    for seed in range(first, first + FRESH):
        simulate(seed)


def test_some_seeds() -> None:
    for seed in range(FIXED, FIXED + 150):
        simulate(seed)


def test_some_seeds_on_sqlite(tmp_path: Path) -> None:
    for seed in range(FIXED, FIXED + 25):
        path = tmp_path / f"{seed}.db"

        def store(path: Path = path) -> SqliteStore:
            return SqliteStore.open(path, synchronous="NORMAL")

        simulate(seed, store, store)


def test_a_seed_is_the_same_every_time() -> None:
    assert simulate(77) == simulate(77)


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--count", "20", "--seed", "5"]) == 0
    assert "seeds 5-24" in capsys.readouterr().out


# --- the model


def test_the_model_by_hand() -> None:
    assert model([["act", 3, 10]], 100, {}) == ((31 + 22) % 1_000_003, 110)
    raced = model([["race", [[["sleep", 5]], [["act", 1, 3]]]]], 0, {})
    assert raced == ((31 + (31 + 8)) % 1_000_003, 3)
    received = model([["receive", "s", 10]], 0, {"s": (4, 9)}), model([["receive", "s", 10]], 0, {"s": (11, 9)}), model([["receive", "s", 10]], 20, {"s": (4, 9)})
    assert received == ((40, 4), (30, 10), (40, 20))
    assert model([["cancel", [["sleep", 5]], 3]], 0, {}) == (28, 3)
    assert model([["gather", [[["sleep", 5]], [["sleep", 9]]]]], 0, {}) == (31 + 33 * 1 + 33 * 2, 9)
    assert model([["child", [["fail", 4, 2]]]], 0, {}) == (31 + 27, 2)


def test_plans_stay_within_their_size_and_use_everything() -> None:
    kinds: Counter[str] = Counter()
    for seed in range(300):
        planner = Planner(random.Random(seed), 20)
        plan = planner.plan()
        assert _size(plan, kinds) <= 40
    assert set(kinds) == {"act", "fail", "sleep", "receive", "child", "gather", "race", "cancel"}


def _size(plan: list[Any], kinds: Counter[str]) -> int:
    total = 0
    for kind, *arguments in plan:
        kinds[kind] += 1
        inner = arguments[0] if kind in ("gather", "race") else [arguments[0]] if kind in ("child", "cancel") else []
        total += 1 + sum(_size(one, kinds) for one in inner)
    return total


# --- planted bugs


def forgets_results(patch: pytest.MonkeyPatch) -> None:
    """A completion whose commit failed is not offered again."""
    from aionlab.engine import failed_turns

    kept = failed_turns.abandon

    def abandon(engine: Engine, turn: Turn, error: Exception, messages: list[Any]) -> None:
        turn.taken = [entry for entry in turn.taken if type(entry[0]).__name__ != "Finished"]
        kept(engine, turn, error, messages)

    patch.setattr(failed_turns, "abandon", abandon)


def dispatches_twice(patch: pytest.MonkeyPatch) -> None:
    """What is in flight is forgotten when a run comes back."""
    kept = processes.suspend

    def suspend(engine: Engine, run: Any) -> None:
        kept(engine, run)
        for number, opened in list((run.activities or {}).items()):
            activities.submit(engine, run, opened, opened.attempt)

    patch.setattr(processes, "suspend", suspend)


def fires_early(patch: pytest.MonkeyPatch) -> None:
    kept = timers.Timers.arm
    patch.setattr(timers.Timers, "arm", lambda self, run, timer_id, fire_at: kept(self, run, timer_id, fire_at - 1))
    patch.setattr(timers, "_live", lambda engine, entry: True)


def acts_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    """Attempts are handed out before they are recorded; a commit that fails leaves them running."""
    kept = Engine._commit

    def commit(self: Engine, turn: Turn) -> None:
        for run, opened, attempt in turn.begun_attempts:
            activities.submit(self, run, opened, attempt)
        turn.begun_attempts.clear()
        kept(self, turn)

    patch.setattr(Engine, "_commit", commit)


def delivers_signals_twice(patch: pytest.MonkeyPatch) -> None:
    from aionlab.engine.run import LiveRun

    patch.setattr(LiveRun, "has_signal_key", lambda self, key: False)


def drops_a_timer(patch: pytest.MonkeyPatch) -> None:
    """A run that comes back has its first timer forgotten."""
    kept = timers.Timers.arm_all

    def arm_all(self: timers.Timers, run: Any) -> None:
        held, run.timers = run.timers, dict(list((run.timers or {}).items())[1:])
        kept(self, run)
        run.timers = held

    patch.setattr(timers.Timers, "arm_all", arm_all)


def cancelled_timers_fire(patch: pytest.MonkeyPatch) -> None:
    """A cancelled timer stays armed."""
    from aionlab.engine.run import LiveRun

    kept = LiveRun._fold_rest
    patch.setattr(LiveRun, "_fold_rest", lambda self, event, *more: None if isinstance(event, e.TimerCancelled) else kept(self, event, *more))


def late_results_count(patch: pytest.MonkeyPatch) -> None:
    """A second report is recorded as well."""
    kept = activities.finished

    def finished(engine: Engine, report: Any) -> None:
        run = engine.registry.by_key(report.run_key)
        opened = run.activities.get(report.activity_id) if run is not None and run.activities else None
        kept(engine, report)
        if run is not None and not run.closed and opened is None and report.result is not None:
            engine.turn_now.record(run, e.ActivityCompleted(report.activity_id, report.result, report.attempt))

    patch.setattr(activities, "finished", finished)


def memory_ahead_of_the_log(patch: pytest.MonkeyPatch) -> None:
    """A failed commit leaves the processes it touched as they are."""
    from aionlab.engine import failed_turns

    patch.setattr(failed_turns, "bring_back", lambda engine: engine.lost.clear() or setattr(engine, "halted", "") or True)


def children_are_orphans(patch: pytest.MonkeyPatch) -> None:
    """What a child came to is not told to its parent."""
    patch.setattr(children, "tell_parent", lambda *args: None)


BUGS = [
    forgets_results, dispatches_twice, fires_early, acts_before_the_commit, delivers_signals_twice, drops_a_timer, cancelled_timers_fire,
    late_results_count, memory_ahead_of_the_log, children_are_orphans,
]  # fmt: skip


@pytest.mark.parametrize("plant", BUGS, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found(plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises(Broken):
        for seed in range(2_000):
            simulate(seed)
