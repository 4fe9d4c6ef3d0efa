"""Cron: every change of clocks from 2000 to 2037 against a minute-by-minute reading of the same policy, and how expressions are refused."""
from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aionlab.core.clock import Micros
from aionlab.core.cron import MACROS, Cron, zone
from aionlab.core.errors import InvalidOption

pytestmark = pytest.mark.slow

ZONES = (
    "Europe/Berlin", "America/New_York", "Europe/Dublin", "Australia/Lord_Howe", "Antarctica/Troll", "Africa/Casablanca", "Africa/Cairo",
    "America/Sao_Paulo", "America/St_Johns", "Asia/Tehran", "Asia/Gaza", "Asia/Pyongyang", "Asia/Kathmandu", "America/Caracas", "Pacific/Apia",
)  # fmt: skip
"""Half-hour changes, two-hour changes, changes at midnight and a minute past it, months of four changes, a day that never was."""
EXPRESSIONS = (
    "30 2 * * *", "0 2 * * *", "0 0 * * *", "30 0,1,23 * * *", "15 2-3 * * *", "5 1-4/2 * * 0,6", "0 12 30 12 *", "45 1 L * *", "7-59/13 0-5,22,23 * * *",
    "*/15 * * * *", "0 * * * *", "*/20 0-3,23 * * *", "30 */2 * * *", "59 * 28-31 * SUN",
)  # fmt: skip
MINUTE = timedelta(minutes=1)


class Reading(NamedTuple):
    """What the clock on the wall says at one minute of elapsed time."""

    at: datetime
    wall: datetime
    again: bool
    """Whether it said so before: the second pass through a repeated hour."""


def micros(moment: datetime) -> Micros:
    return Micros((moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1))


def moment(at: int | None) -> datetime | None:
    return None if at is None else datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)


@lru_cache(maxsize=64)
def changes(name: str) -> tuple[datetime, ...]:
    """The first minutes under a new offset, 2000 to 2037."""
    where = ZoneInfo(name)
    found = []
    point, step = datetime(2000, 1, 1, tzinfo=UTC), timedelta(hours=12)
    while point.year < 2038:
        low, high = point, point + step
        before = low.astimezone(where).utcoffset()
        if before != high.astimezone(where).utcoffset():
            while high - low > MINUTE:
                middle = low + (high - low) // 2 // MINUTE * MINUTE
                low, high = (middle, high) if middle.astimezone(where).utcoffset() == before else (low, middle)
            found.append(high)
        point += step
    return tuple(found)


def readings(where: ZoneInfo, first: datetime, last: datetime) -> Iterator[Reading]:
    at = first
    while at <= last:
        local = at.astimezone(where)
        yield Reading(at, local.replace(tzinfo=None, fold=0), bool(local.fold))
        at += MINUTE


def numbers(field: str, low: int, high: int) -> set[int]:
    found: set[int] = set()
    for part in field.split(","):
        body, _, step = part.partition("/")
        ends = (low, high) if body == "*" else tuple(int(end) for end in body.split("-"))
        found.update(range(ends[0], ends[-1] + 1, int(step or 1)))
    return found


class Plain:
    """The policy said once more, by someone who has never heard of speed."""

    def __init__(self, text: str) -> None:
        minute, hour, day, month, weekday = text.replace("SUN", "0").split()
        self.minutes, self.hours, self.months = numbers(minute, 0, 59), numbers(hour, 0, 23), numbers(month, 1, 12)
        self.last, self.days = day == "L", set() if day == "L" else numbers(day, 1, 31)
        self.weekdays = {number % 7 for number in numbers(weekday, 0, 7)}
        self.either = not day.startswith("*") and not weekday.startswith("*")
        self.times_of_day = not minute.startswith("*") and not hour.startswith("*")

    def fits(self, wall: datetime) -> bool:
        if wall.minute not in self.minutes or wall.hour not in self.hours or wall.month not in self.months:
            return False
        day = wall.day in self.days or (self.last and wall.day == monthrange(wall.year, wall.month)[1])
        weekday = wall.isoweekday() % 7 in self.weekdays
        return day or weekday if self.either else day and weekday

    def fires(self, passed: list[Reading]) -> list[datetime]:
        """When it fires after the first of these readings."""
        found = []
        for before, now in pairwise(passed):
            skipped = [before.wall + MINUTE * n for n in range(1, (now.wall - before.wall) // MINUTE)]
            if self.times_of_day:
                if any(map(self.fits, skipped)) or (self.fits(now.wall) and not now.again):
                    found.append(now.at)
            elif self.fits(now.wall):
                found.append(now.at)
        return found


@pytest.mark.parametrize("name", ZONES)
def test_every_change_of_clocks_from_2000_to_2037(name: str) -> None:
    where = ZoneInfo(name)
    plain = {text: Plain(text) for text in EXPRESSIONS}
    crons = {text: Cron(text, name) for text in EXPRESSIONS}
    for number, change in enumerate(changes(name)):
        size = abs((change.astimezone(where).utcoffset() or MINUTE) - ((change - MINUTE).astimezone(where).utcoffset() or MINUTE))
        passed = list(readings(where, change - timedelta(hours=3), change + timedelta(hours=3) + size))
        first, last = micros(passed[0].at), micros(passed[-1].at)
        for text, cron in crons.items():
            expected = [micros(at) for at in plain[text].fires(passed)]
            assert list(ascending(cron, first, last)) == expected, (text, change)
            if number % 3 == 0:
                assert list(descending(cron, first, last)) == expected[::-1], (text, change)


def ascending(cron: Cron, first: Micros, last: Micros) -> Iterator[Micros]:
    at = cron.after(first)
    while at is not None and at <= last:
        yield at
        at = cron.after(at)


def descending(cron: Cron, first: Micros, last: Micros) -> Iterator[Micros]:
    at = cron.before(Micros(last + 1))
    while at is not None and at > first:
        yield at
        at = cron.before(at)


fields = st.tuples(
    st.sampled_from(["*", "*/7", "0", "30", "15-45/15", "0,59"]), st.sampled_from(["*", "*/3", "2", "0,23", "1-3"]),
    st.sampled_from(["*", "1", "L", "13,31", "*/2"]), st.sampled_from(["*", "3", "2,10", "*/4"]), st.sampled_from(["*", "0", "1-5", "5", "SUN"]),
).map(" ".join)  # fmt: skip


@settings(max_examples=150, deadline=None, derandomize=True)
@given(fields, st.sampled_from(ZONES), st.integers(0, 38 * 365 * 24 * 60))
def test_law_after_and_before_are_each_others_inverse(text: str, name: str, minute: int) -> None:
    cron = Cron(text, name)
    at = micros(datetime(2000, 1, 1, tzinfo=UTC) + minute * MINUTE)
    first = cron.after(at)
    assert first is not None and first > at
    second = cron.after(first)
    assert second is not None and second > first
    assert cron.before(second) == first and cron.before(Micros(second - 1)) == first and cron.after(Micros(second - 1)) == second
    assert cron.after(Micros(first - 1)) == first


@pytest.mark.parametrize(
    ("text", "name", "after", "fires"),
    [
        ("30 2 * * *", "Europe/Berlin", "2024-03-30T12:00Z", "2024-03-31T01:00Z"),  # the gap ends: 03:00 on the wall
        ("30 2 * * *", "Europe/Berlin", "2024-03-31T01:00Z", "2024-04-01T00:30Z"),
        ("30 2 * * *", "Europe/Berlin", "2024-10-26T12:00Z", "2024-10-27T00:30Z"),  # the first time the clock says so
        ("30 2 * * *", "Europe/Berlin", "2024-10-27T00:30Z", "2024-10-28T01:30Z"),  # and not the second
        ("*/30 * * * *", "Europe/Berlin", "2024-10-27T00:30Z", "2024-10-27T01:00Z"),  # elapsed time goes on
        ("*/30 2 * * *", "Europe/Berlin", "2024-03-30T12:00Z", "2024-04-01T00:00Z"),  # no reading, no time
        ("0 9 * * MON-FRI", "America/New_York", "2024-03-08T15:00Z", "2024-03-11T13:00Z"),
        ("@daily", "Asia/Kathmandu", "2024-01-01T00:00Z", "2024-01-01T18:15Z"),
        ("0 0 30 12 *", "Pacific/Apia", "2011-12-01T00:00Z", "2011-12-30T10:00Z"),  # the day that never was: when the next one begins
        ("0 0 29 2 *", "UTC", "2096-03-01T00:00Z", "2104-02-29T00:00Z"),  # 2100 is no leap year
        ("0 12 L * *", "UTC", "2024-02-01T00:00Z", "2024-02-29T12:00Z"),
        ("0 12 1,L * *", "UTC", "2023-02-02T00:00Z", "2023-02-28T12:00Z"),
        ("0 12 * * FRIL", "UTC", "2024-05-01T00:00Z", "2024-05-31T12:00Z"),
        ("0 12 * * 5#2", "UTC", "2024-05-01T00:00Z", "2024-05-10T12:00Z"),
        ("0 12 13 * 5", "UTC", "2024-05-01T00:00Z", "2024-05-03T12:00Z"),  # either day will do
        ("0 12 */2 * 5", "UTC", "2024-05-01T13:00Z", "2024-05-03T12:00Z"),  # both must: a field that begins with * is open
        ("0 12 ? * SAT-SUN", "UTC", "2024-05-01T00:00Z", "2024-05-04T12:00Z"),
        ("5/20 * * * *", "UTC", "2024-05-01T00:25Z", "2024-05-01T00:45Z"),
        ("0 0 1 jan,Jul *", "UTC", "2024-01-01T00:00Z", "2024-07-01T00:00Z"),
        ("0 0 * * 7", "UTC", "2024-05-01T00:00Z", "2024-05-05T00:00Z"),
    ],
)  # fmt: skip
def test_what_an_expression_means(text: str, name: str, after: str, fires: str) -> None:
    found = moment(Cron(text, name).after(micros(datetime.fromisoformat(after))))
    assert found == datetime.fromisoformat(fires)


def test_the_names_stand_for_five_fields() -> None:
    at = micros(datetime(2024, 5, 7, 11, 13, tzinfo=UTC))
    for name, text in MACROS.items():
        assert Cron(name.upper()).after(at) == Cron(text).after(at)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("60 * * * *", "minute '60': 60 is not in 0-59"),
        ("* 24 * * *", "hour '24': 24 is not in 0-23"),
        ("* * 0 * *", "day of month '0': 0 is not in 1-31"),
        ("* * * 13 *", "month '13': 13 is not in 1-12"),
        ("* * * FOO *", "month 'FOO': it takes 1-12 or JAN-DEC"),
        ("* * * * 8", "day of week '8': 8 is not in 0-7"),
        ("* * * * MON#6", "day of week 'MON#6': which one of the month"),
        ("*/0 * * * *", "minute '*/0': a step is a whole number from 1"),
        ("* 5-2 * * *", "hour '5-2': the range goes backwards"),
        ("1,,2 * * * *", "minute '': it takes 0-59"),
        ("-1 * * * *", "minute '-1': it takes 0-59"),
        ("٣ * * * *", "minute '٣': it takes"),
        ("* * * *", "4 fields instead of five (minute, hour, day of month, month, day of week)"),
        ("0 * * * * *", "6 fields instead of five.*no field for seconds"),
        ("", "0 fields instead of five"),
        ("@reboot", "no such name; choose one of @yearly"),
        ("TZ=UTC 0 * * * *", "the zone is said with timezone="),
        ("0 0 30 2 *", "no day of 50 years fits day of month 30, month 2"),
    ],
)  # fmt: skip
def test_what_is_refused_names_the_field(text: str, why: str) -> None:
    with pytest.raises(InvalidOption, match=re.escape(why).replace(r"\.\*", ".*")):
        Cron(text)


def test_a_zone_that_is_none() -> None:
    with pytest.raises(InvalidOption, match="did you mean 'Europe/Berlin'"):
        zone("Europe/Berlim")
    for name in ("", "../etc/passwd", "Europe", 3, None):
        with pytest.raises(InvalidOption, match="there is no time zone"):
            Cron("@daily", name)  # type: ignore[arg-type]


def test_a_year_of_minutes_is_counted_quickly_and_right() -> None:
    cron = Cron("* * * * *", "Europe/Berlin")
    first, last = micros(datetime(2024, 3, 1, tzinfo=UTC)), micros(datetime(2024, 4, 30, tzinfo=UTC))
    assert sum(1 for _ in ascending(cron, first, last)) == 60 * 24 * 60
    assert Cron("@daily") == Cron("@daily") != Cron("@daily", "Europe/Berlin") and len({Cron("@daily"), Cron("@daily")}) == 1
    assert repr(cron) == "Cron('* * * * *', 'Europe/Berlin')"
