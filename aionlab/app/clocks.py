"""Clocks and ids: the only place where real time and chance are made."""
from __future__ import annotations

import os
import random
import secrets
import time

from aionlab.core.clock import Micros
from aionlab.core.ids import RunId, WorkflowId

LONGEST_WAIT = 30.0
"""Seconds after which a real clock is read again, whatever it said before."""
EPOCH_2020 = Micros(1_577_836_800_000_000)


class RealClock:
    """The wall clock."""

    virtual = False
    auto = False
    target = Micros(0)

    def now(self) -> Micros:
        return Micros(time.time_ns() // 1000)

    def wait_hint(self, due: Micros) -> float | None:
        return min(max(0.0, (due - self.now() + 1) / 1_000_000), LONGEST_WAIT)

    def aim(self, point: Micros) -> None:
        raise NotImplementedError("a real clock cannot be moved")

    def moving(self, next_due: Micros | None) -> bool:
        return False

    def advance(self, next_due: Micros | None) -> bool:
        return False


class VirtualClock:
    """A clock that stands still until it is told to go on. `auto`: it goes on to the next timer whenever nothing else moves."""

    virtual = True

    def __init__(self, start: Micros = EPOCH_2020, auto: bool = False) -> None:
        self._now = self.target = start
        self.auto = auto

    def now(self) -> Micros:
        return self._now

    def wait_hint(self, due: Micros) -> float | None:
        return 0.0 if due <= self._now else None

    def aim(self, point: Micros) -> None:
        self.target = max(self.target, point)

    def moving(self, next_due: Micros | None) -> bool:
        return self._now < self.target or (self.auto and next_due is not None and next_due > self._now)

    def advance(self, next_due: Micros | None) -> bool:
        if not self.moving(next_due):
            return False
        goal = next_due if next_due is not None and (self.auto or next_due <= self.target) else self.target
        self._now = max(self._now, goal)
        self.target = max(self.target, self._now)
        return True


class RandomIds:
    """Ids that nobody else mints: time-ordered UUIDs (version 7)."""

    unique = True

    def workflow_id(self) -> WorkflowId:
        return WorkflowId(f"wf-{secrets.token_hex(6)}")

    def run_id(self) -> RunId:
        millis = time.time_ns() // 1_000_000
        tail = int.from_bytes(os.urandom(10), "big")
        value = (millis & (1 << 48) - 1) << 80 | 0x7 << 76 | (tail >> 68 & 0xFFF) << 64 | 0b10 << 62 | tail & (1 << 62) - 1
        text = f"{value:032x}"
        return RunId("-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:])))

    def seed(self) -> int:
        return secrets.randbits(63)


class CountedIds:
    """wf-0001, run-0001, …: the same names in the same order for the same seed. `begun` runs exist already."""

    unique = False
    """A name may have been given to something else before."""

    def __init__(self, seed: int = 0, begun: int = 0) -> None:
        self._seed, self._workflows, self._runs, self._seeds = seed, begun, begun, begun

    def workflow_id(self) -> WorkflowId:
        self._workflows += 1
        return WorkflowId(f"wf-{self._workflows:04d}")

    def run_id(self) -> RunId:
        self._runs += 1
        return RunId(f"run-{self._runs:04d}")

    def seed(self) -> int:
        self._seeds += 1
        return random.Random(self._seed * 1_000_003 + self._seeds).getrandbits(63)
