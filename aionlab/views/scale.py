"""An axis on which milliseconds stand beside months: time mapped to 0…1, with long idle stretches folded away.

A stretch is idle when no attempt runs and nothing is recorded in it. The longest one is folded as long as it takes at least a
tenth of what is left unfolded and outlasts every attempt, so the work that remains has room; each fold gets a small fixed share
of the axis and keeps its label.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from aionlab.core.durations import spell

MOST_FOLDS = 8
_FOLD_FROM = 0.1
_FOLD_SHARE = 0.13
_FOLDS_SHARE = 0.5


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
    share = min(_FOLD_SHARE, _FOLDS_SHARE / len(folds)) if folds else 0.0
    open_time = end - start - sum(right - left for left, right in folds)
    open_share = 1.0 - share * len(folds)
    stretches: list[Stretch] = []
    at, left = start, 0.0
    for fold_start, fold_end in folds:
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


def _folds(start: int, end: int, busy: list[tuple[int, int]], marks: Iterable[int]) -> list[tuple[int, int]]:
    """The idle stretches to fold, by time."""
    edges = sorted(
        {start, end, *(time for span in busy for time in span if start <= time <= end), *(m for m in marks if start <= m <= end)}
    )
    idle: list[tuple[int, int]] = []
    reached, following = start, 0
    for left, right in zip(edges, edges[1:], strict=False):
        while following < len(busy) and busy[following][0] <= left:
            reached = max(reached, busy[following][1])
            following += 1
        if reached <= left:
            idle.append((left, right))
    idle.sort(key=lambda gap: (gap[0] - gap[1], gap[0]))
    chosen: list[tuple[int, int]] = []
    longest = max((right - left for left, right in busy), default=0)
    remaining = end - start
    for left, right in idle[:MOST_FOLDS]:
        length = right - left
        if length < _FOLD_FROM * remaining or length <= longest or length == remaining:
            break
        chosen.append((left, right))
        remaining -= length
    return sorted(chosen)
