"""An axis on which milliseconds stand beside months: time mapped to 0…1, to scale wherever that can be read.

A stretch is idle when no attempt runs and nothing is recorded in it. Idle stretches, the longest first, are folded only when each
of them takes more than ten times as long as everything that is left to scale; so a wait is never drawn shorter than it has to be.
Folds together get the larger part of the axis, longer ones more of it, each at least `FOLD_LEAST`; the rest is for what is to scale.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from math import log10
from typing import NamedTuple

from aionlab.core.durations import spell

MOST_FOLDS = 6
FOLD_LEAST = 0.12
_DWARFS = 10


class Stretch(NamedTuple):
    """A piece of the axis: from time `start` to `end`, drawn from `left` to `right` (0…1)."""

    start: int
    end: int
    left: float
    right: float
    folded: bool

    @property
    def label(self) -> str:
        return spell(self.end - self.start)


@dataclass(frozen=True, slots=True)
class Scale:
    """Where a time lies on the axis."""

    stretches: tuple[Stretch, ...]
    _starts: tuple[int, ...]

    @property
    def start(self) -> int:
        return self.stretches[0].start

    @property
    def end(self) -> int:
        return self.stretches[-1].end

    @property
    def folds(self) -> tuple[Stretch, ...]:
        return tuple(one for one in self.stretches if one.folded)

    def at(self, time: int) -> float:
        """0…1; times outside lie on the ends."""
        one = self.stretches[max(0, bisect_right(self._starts, time) - 1)]
        if time <= one.start or one.end == one.start:
            return one.left if time <= one.start else one.right
        return min(one.right, one.left + (one.right - one.left) * ((time - one.start) / (one.end - one.start)))


def scale(start: int, end: int, busy: Iterable[tuple[int, int]], marks: Iterable[int] = ()) -> Scale:
    """The axis from `start` to `end` for attempts running in the `busy` intervals and things recorded at `marks`."""
    end = max(start, end)
    folds = _folds(start, end, sorted(busy), marks)
    if end == start:
        return Scale((Stretch(start, end, 0.0, 1.0, False),), (start,))
    shares = _shares([right - left for left, right in folds])
    open_time = end - start - sum(right - left for left, right in folds)
    open_share = 1.0 - sum(shares)
    stretches: list[Stretch] = []
    at, left = start, 0.0
    for (fold_start, fold_end), share in zip(folds, shares, strict=True):
        if fold_start > at:
            right = left + open_share * ((fold_start - at) / open_time)
            stretches.append(Stretch(at, fold_start, left, right, False))
            left = right
        stretches.append(Stretch(fold_start, fold_end, left, left + share, True))
        at, left = fold_end, left + share
    if at < end:
        stretches.append(Stretch(at, end, left, 1.0, False))
    stretches[-1] = stretches[-1]._replace(right=1.0)
    return Scale(tuple(stretches), tuple(one.start for one in stretches))


def _shares(lengths: list[int]) -> list[float]:
    """What each fold gets of the axis: the least there is, and by the number of its digits a part of what folds get beyond that."""
    if not lengths:
        return []
    digits = [log10(length + 1) for length in lengths]
    more = min(0.72, 0.52 + 0.06 * len(lengths)) - FOLD_LEAST * len(lengths)
    return [FOLD_LEAST + more * one / sum(digits) for one in digits]


def _folds(start: int, end: int, busy: list[tuple[int, int]], marks: Iterable[int]) -> list[tuple[int, int]]:
    """The idle stretches to fold, by time: as many as dwarf the rest."""
    idle = sorted(_idle(start, end, busy, marks), key=lambda gap: (gap[0] - gap[1], gap[0]))[:MOST_FOLDS]
    rest, many = end - start, 0
    for count, (left, right) in enumerate(idle, 1):
        rest -= right - left
        if 0 < _DWARFS * rest < right - left:
            many = count
    return sorted(idle[:many])


def _idle(start: int, end: int, busy: list[tuple[int, int]], marks: Iterable[int]) -> Iterable[tuple[int, int]]:
    edges = sorted(
        {start, end, *(time for span in busy for time in span if start <= time <= end), *(m for m in marks if start <= m <= end)}
    )
    reached, following = start, 0
    for left, right in pairwise(edges):
        while following < len(busy) and busy[following][0] <= left:
            reached = max(reached, busy[following][1])
            following += 1
        if reached <= left:
            yield left, right
