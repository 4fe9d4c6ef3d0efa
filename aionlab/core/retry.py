"""How often, and when, a failed activity is tried again."""
from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from types import MappingProxyType
from typing import ClassVar, Literal

from .clock import Micros
from .durations import Duration, micros

_LONGEST = Micros(100_000_000)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """A retry policy as recorded: plain numbers, durations in microseconds, error types by name."""

    max_attempts: int = 0
    """Attempts in all, the first included; 0 means no limit."""
    initial: Micros = Micros(1_000_000)
    backoff: float = 2.0
    max_interval: Micros = _LONGEST
    non_retryable: tuple[str, ...] = ()
    kind: str = "exponential"
    """"exponential": each delay is `backoff` times the last (1: all alike); "linear": the n-th is n times `initial`."""
    aion_later: ClassVar[Mapping[str, object]] = MappingProxyType({"kind": "exponential", "jitter": 0.0})
    """Fields that came later, with their defaults; at those a version of code that holds a policy leaves them out, so that its hash stays."""
    jitter: float = 0.0
    """The share of each delay, 0 to 1, that may be left out; how much is a function of the attempt alone."""

    def delay_after(self, attempt: int, salt: str = "") -> Micros:
        """Microseconds to wait after attempt number `attempt` (from 1) failed, at most `max_interval`. `salt` tells activities apart
        where there is jitter."""
        if not self.initial:
            return Micros(0)
        try:
            delay = self.initial * (attempt if self.kind == "linear" else self.backoff ** (attempt - 1))
        except OverflowError:
            delay = self.max_interval
        delay = min(delay, self.max_interval)
        if self.jitter:
            draw = int.from_bytes(blake2b(f"{salt}:{attempt}".encode(), digest_size=6).digest(), "big") / (1 << 48)
            delay *= 1 - self.jitter * draw
        return Micros(int(delay))

    def allows(self, attempt: int, error_types: Iterable[str]) -> bool:
        """Whether attempt `attempt + 1` may follow, given the names of the failed attempt's error class and its bases."""
        if self.max_attempts and attempt >= self.max_attempts:
            return False
        return not any(name in self.non_retryable for name in error_types)


def Retry(  # noqa: N802 - reads as the value it makes
    max_attempts: int = 0,
    initial: Duration = "1s",
    backoff: float | Literal["linear", "fixed"] = 2.0,
    max_interval: Duration | None = None,
    non_retryable: tuple[type[BaseException] | str, ...] = (),
    jitter: float = 0.0,
) -> RetryPolicy:
    """A retry policy: `max_attempts` in all (0: no limit), waiting `initial`, then `backoff` times longer each time, at most `max_interval`
    (100 s, or `initial` where that is longer).

    `backoff="linear"` waits `initial`, twice `initial`, three times `initial`, …; `"fixed"` waits `initial` each time. `jitter=0.2` leaves up
    to a fifth of each delay out, so that many that failed together do not come back together; the same attempt always draws the same.
    Errors named in `non_retryable` (classes, or an ApplicationError's `type`) are final, with all that inherit from them.

    Raises ValueError when a number is out of range.
    """
    if isinstance(max_attempts, bool) or not isinstance(max_attempts, int) or max_attempts < 0:
        raise ValueError(f"max_attempts is {max_attempts!r}; it counts attempts in all (0 means no limit)")
    kind = "linear" if backoff == "linear" else "exponential"
    factor = 1.0 if backoff in ("linear", "fixed") else backoff
    if isinstance(factor, str) or not 1 <= factor < math.inf:
        raise ValueError(f"backoff is {backoff!r}; it multiplies the delay and must be a number of at least 1, \"linear\" or \"fixed\"")
    if not 0 <= jitter <= 1:
        raise ValueError(f"jitter is {jitter!r}; it is a share of the delay, from 0 to 1")
    names = (non_retryable,) if isinstance(non_retryable, str | type) else non_retryable
    types = tuple(t if isinstance(t, str) else t.__name__ for t in names)
    first = micros(initial)
    longest = max(first, _LONGEST) if max_interval is None else micros(max_interval)
    return RetryPolicy(max_attempts, first, float(factor), longest, types, kind, float(jitter))
