"""Random programs in random worlds, judged by the laws of replay. A failure prints its seed and how to run it again."""
from __future__ import annotations

import gc
import itertools
import os
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aionlab.core.ports import EventStore
from aionlab.store.memory import MemoryStore
from aionlab.store.sqlite import SqliteStore
from aionlab.testing import programs
from aionlab.testing.examine import Examination, examine
from aionlab.testing.faults import Fault
from aionlab.testing.world import Broken

pytestmark = pytest.mark.slow

PART = 400
"""Programs of one test, so that the parts can run side by side."""
FRESH = int(os.environ.get("AIONLAB_SEED", random.SystemRandom().randrange(10**9)))


@pytest.fixture(autouse=True)
def nothing_from_the_collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """User code never runs from the garbage collector, and so never raises there."""
    heard: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda found: heard.append(f"{found.exc_value!r} in {found.object!r}"))
    yield
    gc.collect()
    assert heard == []
    assert programs.strays == []


@pytest.fixture(autouse=True)
def quiet_about_coroutines_never_awaited(recwarn: pytest.WarningsRecorder) -> None:
    """A dropped run leaves coroutines it was about to await; Python remarks on each."""


def examine_from(first: int, enough: int, step: int = 1) -> Counter[str]:
    counts: Counter[str] = Counter()
    for seed in itertools.count(first, step):
        counts += examine(seed)
        if counts["programs"] >= enough:
            return counts
    raise AssertionError


@pytest.mark.parametrize("part", range(5))
def test_fixed_programs(part: int) -> None:
    counts = examine_from(1 + part * 10_000, PART)
    assert all(counts[fault.name.lower().replace("_", " ")] for fault in Fault), "every kind of fault happened"
    assert all(counts[name] for name in ("prefixes", "cut steps refused", "mutants accepted", "mutants refused", "mutants with warnings"))


@pytest.mark.parametrize("part", range(3))
def test_fresh_programs(part: int) -> None:
    print(f"AIONLAB_SEED={FRESH}")
    examine_from(FRESH + part * 10_000, PART)


def test_again() -> None:
    """One seed as the other tests run it, and then with each prefix, more mutants, and memory checked after every move."""
    examine(FRESH)
    examine(FRESH, thorough=True)


@pytest.mark.parametrize("seed", range(500, 540))
def test_thorough(seed: int) -> None:
    examine(seed, thorough=True)


def test_in_a_sqlite_database_in_memory() -> None:
    counts: Counter[str] = Counter()
    for seed in itertools.count(70_000):
        counts += examine(seed, lambda: SqliteStore.open(":memory:"))
        if counts["programs"] >= 75:
            return


def test_in_a_sqlite_file(tmp_path: Path) -> None:
    """After a crash the file is opened anew."""
    counts: Counter[str] = Counter()
    for seed in itertools.count(80_000):
        stores = _Files(tmp_path / str(seed))
        counts += examine(seed, stores.fresh, reopen=stores.again)
        if counts["programs"] >= 75:
            return


class _Files:
    """A new database for each world, and the same one again after a crash."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder, self.count = folder, 0

    def fresh(self) -> EventStore:
        self.count += 1
        return self.again()

    def again(self) -> EventStore:
        return SqliteStore.open(self.folder / f"{self.count}.db", synchronous="OFF")


def test_the_same_seed_makes_the_same_life() -> None:
    def once() -> list[str]:
        examination = Examination(4711)
        examination.run()
        return [str(move) for move in examination.script]

    assert once() == once()


def test_a_broken_law_says_how_to_run_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Examination) -> Counter[str]:
        raise Broken("a law")

    monkeypatch.setattr(Examination, "run", broken)
    with pytest.raises(Broken, match=r"(?s)seed 7: a law.*AIONLAB_SEED=7 pytest"):
        examine(7)


def test_stores_given_are_used() -> None:
    made: list[Callable[[], EventStore]] = []

    def store() -> EventStore:
        made.append(store)
        return MemoryStore()

    examine(1, store)
    assert len(made) >= 2
