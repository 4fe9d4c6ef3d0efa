"""Lengths of time as people write them: 2.5, timedelta(days=1), "250ms", "30s", "5m", "2h", "7d", "1d12h"."""
from __future__ import annotations

import math
import re
from datetime import timedelta

from .clock import Micros
from .errors import shorten

Duration = timedelta | float | int | str
_UNITS = {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000, "w": 604_800_000_000}
_LONGEST = 100_000_000_000_000_000
"""About 3,000 years: what is added to a time stays a time."""
_PART = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d|w)")


def micros(duration: Duration) -> Micros:
    """The duration in whole microseconds.

    Raises ValueError for text that is not a duration, and for negative, infinite, NaN or over 3,000 years long ones; TypeError for other types.
    """
    if isinstance(duration, timedelta):
        length = duration // timedelta(microseconds=1)
    elif isinstance(duration, bool):
        raise TypeError(f"{duration!r} is not a duration; write seconds or text such as '30s'")
    elif isinstance(duration, int):
        length = duration * 1_000_000
    elif isinstance(duration, float):
        if not math.isfinite(duration):
            raise ValueError(f"a duration cannot be {duration}")
        length = round(duration * 1_000_000)
    elif isinstance(duration, str):
        length = _parse(duration)
    else:
        raise TypeError(f"{duration!r} is not a duration; write seconds, a timedelta or text such as '30s'")
    if length < 0:
        raise ValueError(f"a duration cannot be negative: {duration!r}")
    if length > _LONGEST:
        raise ValueError(f"a duration of more than 3,000 years: {shorten(duration)}")
    return Micros(length)


def _parse(text: str) -> int:
    compact = text.replace(" ", "") if len(text) <= 100 else ""
    at, total = 0, 0.0
    for part in _PART.finditer(compact):
        if part.start() != at:
            break
        at = part.end()
        total += float(part[1]) * _UNITS[part[2]]
    if at == 0 or at != len(compact):
        raise ValueError(f"{shorten(text)} is not a duration; write seconds or text such as '250ms', '30s', '1d12h'")
    return round(total)


def spell(length: int) -> str:
    """A length in microseconds in a few characters, for people: '1d12h', '2.5s', '250ms', '0s'."""
    if length < 0:
        return "-" + spell(-length)
    if length < 1_000_000:
        return f"{length / 1000:g}ms" if length else "0s"
    if length < 59_999_500:
        return f"{round(length / 1_000_000, 3):g}s"
    seconds = round(length / 1_000_000)
    parts = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts[:2])
