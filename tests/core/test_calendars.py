"""Intervals, single moments, bounds, and how times are written and read."""
from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aionlab.core.calendars import Between, Every, Once, calendar, moment, stamp
from aionlab.core.clock import Micros
from aionlab.core.cron import Cron
from aionlab.core.errors import InvalidOption
from aionlab.core.events import Plan

instants = st.integers(-10_000, 10_000).map(Micros)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.integers(1, 500), st.integers(0, 499), instants)
def test_law_an_interval_is_the_multiples_of_its_length_plus_its_offset(length: int, offset: int, at: Micros) -> None:
    every = Every(Micros(length), Micros(offset % length))
    times = [n * length + offset % length for n in range(-10_600 // length - 2, 10_600 // length + 2)]
    assert every.after(at) == min(one for one in times if one > at)
    assert every.before(at) == max(one for one in times if one < at)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.integers(1, 900), st.none() | instants, st.none() | instants, instants)
def test_law_bounds_leave_out_what_lies_beyond_them(length: int, start: Micros | None, end: Micros | None, at: Micros) -> None:
    bounded = Between(Every(Micros(length)), start, end)
    times = [n * length for n in range(-20_000 // length, 20_000 // length) if (start is None or n * length >= start) and (end is None or n * length <= end)]
    if start is not None and end is not None or abs(at) < 9_000:
        assert bounded.after(at) == min((one for one in times if one > at), default=None)
        assert bounded.before(at) == max((one for one in times if one < at), default=None)


def test_a_single_moment() -> None:
    once = Once(Micros(5))
    assert (once.after(Micros(4)), once.after(Micros(5)), once.before(Micros(6)), once.before(Micros(5))) == (5, None, 5, None)


def test_the_calendar_of_a_plan() -> None:
    assert calendar(Plan("w", every=Micros(10_000), offset=Micros(3))) == Every(Micros(10_000), Micros(3))
    assert calendar(Plan("w", at=Micros(7))) == Once(Micros(7))
    assert calendar(Plan("w", cron="@daily", timezone="Asia/Tehran")) == Cron("@daily", "Asia/Tehran")
    assert calendar(Plan("w", at=Micros(7), start=Micros(7), end=Micros(7))) == Between(Once(Micros(7)), Micros(7), Micros(7))
    with pytest.raises(InvalidOption, match="no time of this schedule lies between"):
        calendar(Plan("w", at=Micros(7), start=Micros(8)))


@pytest.mark.parametrize(
    ("at", "text"),
    [(0, "1970-01-01T00:00:00Z"), (1_577_836_800_000_000, "2020-01-01T00:00:00Z"), (1_577_836_800_250_000, "2020-01-01T00:00:00.250000Z"), (-1, "1969-12-31T23:59:59.999999Z")],
)  # fmt: skip
def test_instants_as_ids_spell_them(at: int, text: str) -> None:
    assert stamp(Micros(at)) == text and moment(text, "UTC", "at") == at


def test_times_as_people_write_them() -> None:
    berlin = moment("2024-07-01 09:00", "Europe/Berlin", "at")
    assert stamp(berlin) == "2024-07-01T07:00:00Z"
    assert moment(datetime(2024, 7, 1, 9), "Europe/Berlin", "at") == berlin
    assert moment(datetime(2024, 7, 1, 7, tzinfo=UTC), "Asia/Tehran", "at") == berlin
    assert moment(datetime(2024, 7, 1, 12, tzinfo=timezone(timedelta(hours=5))), "UTC", "at") == berlin
    assert stamp(moment("2024-10-27 02:30", "Europe/Berlin", "at")) == "2024-10-27T00:30:00Z", "the first time the clock says so"
    assert stamp(moment("2024-07-01", "UTC", "at")) == "2024-07-01T00:00:00Z"
    for given_, why in (("tomorrow", "at='tomorrow' is no time"), (5, "at takes a datetime or text"), (None, "at takes")):
        with pytest.raises(InvalidOption, match=why):
            moment(given_, "UTC", "at")
