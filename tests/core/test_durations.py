"""Lengths of time and retry policies."""
from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aionlab.core.durations import micros, spell
from aionlab.core.retry import Retry, RetryPolicy


@pytest.mark.parametrize(("duration", "expected"), [
    (0, 0), (1, 1_000_000), (2.5, 2_500_000), (1e-6, 1), (timedelta(days=1), 86_400_000_000), ("250ms", 250_000), ("30s", 30_000_000), ("5m", 300_000_000),
    ("2h", 7_200_000_000), ("7d", 604_800_000_000), ("1d12h", 129_600_000_000), ("1.5h", 5_400_000_000), ("1w", 604_800_000_000), ("10us", 10),
    ("1d 12h", 129_600_000_000), ("0s", 0), ("0.1s", 100_000), (pd.Timedelta("1s"), 1_000_000), (timedelta.resolution, 1), (0.1 + 0.2, 300_000),
])  # fmt: skip
def test_durations_as_people_write_them(duration: Any, expected: int) -> None:
    found = micros(duration)
    assert found == expected and type(found) is int


@pytest.mark.parametrize("duration", [-1, -0.5, timedelta(-1), math.nan, math.inf, "", "5", "s", "5 minutes", "-5s", "1h30", "h1", "1e3s", "1" * 100_000, "9" * 90 + "w",
                                      "5s!", "5S", 10**30, 1e300, timedelta.max])  # fmt: skip
def test_what_is_no_duration(duration: Any) -> None:
    with pytest.raises(ValueError, match="duration") as caught:
        micros(duration)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("duration", [True, None, b"5s", [], object()])
def test_other_types_are_refused(duration: Any) -> None:
    with pytest.raises(TypeError, match="is not a duration"):
        micros(duration)


@pytest.mark.parametrize(("length", "text"), [
    (0, "0s"), (1, "0.001ms"), (250_000, "250ms"), (999_999, "999.999ms"), (2_500_000, "2.5s"), (59_999_999, "1m"), (59_999_000, "59.999s"), (60_000_000, "1m"),
    (5_400_000_000, "1h30m"), (86_400_000_000, "1d"), (129_600_000_000, "1d12h"), (-2_000_000, "-2s"), (3_599_999_999, "1h"), (90_061_000_000, "1d1h"),
])  # fmt: skip
def test_lengths_for_people(length: int, text: str) -> None:
    assert spell(length) == text


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(0, 86_400_000 * 365))
def test_law_what_is_spelled_is_nearly_what_was_meant(milliseconds: int) -> None:
    length = milliseconds * 1000
    assert abs(micros(spell(length)) - length) <= max(length // 20, 500)


def test_retry_delays_grow_to_the_cap() -> None:
    policy = Retry(initial="1s", backoff=2, max_interval="10s")
    assert [policy.delay_after(n) for n in (1, 2, 3, 4, 5, 100, 10_000)] == [1_000_000, 2_000_000, 4_000_000, 8_000_000, 10_000_000, 10_000_000, 10_000_000]
    assert Retry(initial=0).delay_after(5000) == 0
    assert Retry(initial="1s", backoff=1.0, max_interval="1h").delay_after(10**6) == 1_000_000


def test_which_attempts_are_allowed() -> None:
    policy = Retry(max_attempts=3, non_retryable=(ValueError, "OutOfStock"))
    assert policy.allows(2, ("KeyError",)) and not policy.allows(3, ("KeyError",))
    assert not policy.allows(1, ("UnicodeError", "ValueError")) and not policy.allows(1, ["OutOfStock"])
    assert RetryPolicy().allows(10**9, ())


@pytest.mark.parametrize("options", [{"max_attempts": -1}, {"backoff": 0.5}, {"backoff": math.nan}, {"backoff": math.inf}, {"initial": -1}, {"max_interval": "x"}])
def test_retry_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"backoff|max_attempts|duration"):
        Retry(**options)
