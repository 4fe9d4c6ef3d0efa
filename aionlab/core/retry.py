"""How often, and when, a failed activity is tried again."""
from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from .clock import Micros
from .durations import Duration, micros


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """A retry policy as recorded: plain numbers, durations in microseconds, error types by name."""

    max_attempts: int = 0
    """Attempts in all, the first included; 0 means no limit."""
    initial: Micros = Micros(1_000_000)
    backoff: float = 2.0
    max_interval: Micros = Micros(100_000_000)
    non_retryable: tuple[str, ...] = ()

    def delay_after(self, attempt: int) -> Micros:
        """Microseconds to wait after attempt number `attempt` (from 1) failed; capped by `max_interval`."""
        if not self.initial:
            return Micros(0)
        try:
            delay = self.initial * self.backoff ** (attempt - 1)
        except OverflowError:
            return self.max_interval
        return Micros(int(min(delay, self.max_interval)))

    def allows(self, attempt: int, error_types: Iterable[str]) -> bool:
        """Whether attempt `attempt + 1` may follow, given the names of the failed attempt's error class and its bases."""
        if self.max_attempts and attempt >= self.max_attempts:
            return False
        return not any(name in self.non_retryable for name in error_types)


def Retry(  # noqa: N802 - reads as the value it makes
    max_attempts: int = 0,
    initial: Duration = "1s",
    backoff: float = 2.0,
    max_interval: Duration = "100s",
    non_retryable: tuple[type[BaseException] | str, ...] = (),
) -> RetryPolicy:
    """A retry policy: `max_attempts` in all (0: no limit), waiting `initial`, then `backoff` times longer each time, at most `max_interval`.

    Raises ValueError when a number is out of range.
    """
    if max_attempts < 0:
        raise ValueError(f"max_attempts is {max_attempts}; it counts attempts in all (0 means no limit)")
    if not 1 <= backoff < math.inf:
        raise ValueError(f"backoff is {backoff}; it multiplies the delay and must be a number of at least 1")
    names = tuple(t if isinstance(t, str) else t.__name__ for t in non_retryable)
    return RetryPolicy(max_attempts, micros(initial), float(backoff), micros(max_interval), names)
