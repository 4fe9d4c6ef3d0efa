"""Cron: five fields of local time in an IANA zone, and which instants they name.

    minute 0-59 · hour 0-23 · day of month 1-31 · month 1-12 or JAN-DEC · day of week 0-7 or SUN-SAT (0 and 7 are Sunday)

A field is `*` (or `?` for a day), a number or name, a range `a-b`, a step `*/n`, `a-b/n` or `a/n`, or a list of these. `L` is the last day of
the month, `5L` the last Friday of it, `5#2` the second. Where both days are given (neither begins with `*`), either will do, as in every cron.
`@yearly @annually @monthly @weekly @daily @midnight @hourly` stand for the usual five fields.

**When clocks change.** An expression whose minute and hour both name times (neither begins with `*`) is about times of day: each fires once
on each of its days. One the clocks skip fires when the gap ends; one they repeat fires the first time. Any other expression is about elapsed
time: it fires whenever the clock reads so, both times where an hour repeats, and not at readings that were skipped.
"""
from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from calendar import monthrange
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from .clock import Micros
from .errors import InvalidOption, shorten

MACROS: Final = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0", "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}  # fmt: skip
_MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()
_DAYS = "SUN MON TUE WED THU FRI SAT".split()
_NUMBER = re.compile(r"[0-9]{1,4}")
_MINUTE, _HOUR, _DAY = 60_000_000, 3_600_000_000, 86_400_000_000
_YEARS = 50
"""Years searched for a time before an expression counts as never."""
_EPOCH = date(1970, 1, 1).toordinal()
_LAST = 9999 * 366


class _Field(NamedTuple):
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    first: int = 0
    """The number of the first name."""


_FIELDS: Final = (
    _Field("minute", 0, 59), _Field("hour", 0, 23), _Field("day of month", 1, 31), _Field("month", 1, 12, tuple(_MONTHS), 1),
    _Field("day of week", 0, 7, tuple(_DAYS)),
)  # fmt: skip


class Cron:
    """A parsed expression in a zone. `after` and `before` give instants in microseconds since the epoch; the object is a value."""

    __slots__ = (
        "_cache", "_days", "_every_day", "_fixed", "_last_day", "_last_weekdays", "_minutes", "_months", "_nth_weekdays", "_weekdays", "_zone",
        "text", "timezone",
    )  # fmt: skip

    def __init__(self, text: str, timezone: str = "UTC") -> None:
        """Raises InvalidOption, naming the field, for an expression that is none or that no day ever fits; and for an unknown zone."""
        self.text, self.timezone = text, timezone
        self._zone = zone(timezone)
        minute, hour, day, month, weekday = _split(text)
        minutes, hours = _numbers(minute, _FIELDS[0]), _numbers(hour, _FIELDS[1])
        self._minutes = tuple(sorted(60 * h + m for h in hours for m in minutes))
        self._fixed = not (minute.startswith("*") or hour.startswith("*"))
        self._months = frozenset(_numbers(month, _FIELDS[3]))
        parts = day.split(",")
        self._last_day = "L" in parts
        named = ",".join(part for part in parts if part != "L")
        self._days = frozenset(_numbers("*" if named == "?" else named, _FIELDS[2])) if named else frozenset()
        self._weekdays: frozenset[int]
        self._weekdays, self._last_weekdays, self._nth_weekdays = _weekdays("*" if weekday == "?" else weekday)
        self._every_day = day[0] in "*?", weekday[0] in "*?"
        self._cache: dict[int, tuple[int, ...]] = {}
        if self._date(_EPOCH + 10_957, 1) is None:
            raise InvalidOption(f"cron {shorten(text)}: no day of {_YEARS} years fits day of month {day}, month {month} and day of week {weekday}")

    # --- instants -------------------------------------------------------------------------------------------------------

    def after(self, at: Micros) -> Micros | None:
        """The first time later than `at`; None when there is none within fifty years."""
        found = self._date(self._local_day(at) - 1, 1)
        while found is not None:
            times = self._on(found)
            if times and times[-1] > at:
                best = times[bisect_right(times, at)]
                later = self._on(found + 1) if self._fits(found + 1) else ()  # clocks put back over midnight mix two days
                return Micros(min(best, later[bisect_right(later, at)]) if later and later[-1] > at else best)
            found = self._date(found + 1, 1)
        return None

    def before(self, at: Micros) -> Micros | None:
        """The last time earlier than `at`; None when there is none within fifty years."""
        found = self._date(self._local_day(at) + 1, -1)
        while found is not None:
            times = self._on(found)
            if times and times[0] < at:
                best = times[bisect_left(times, at) - 1]
                earlier = self._on(found - 1) if self._fits(found - 1) else ()
                return Micros(max(best, earlier[bisect_left(earlier, at) - 1]) if earlier and earlier[0] < at else best)
            found = self._date(found - 1, -1)
        return None

    def _local_day(self, at: Micros) -> int:
        seconds = min(max(at // 1_000_000, -62_000_000_000), 253_000_000_000)
        return datetime.fromtimestamp(seconds, UTC).astimezone(self._zone).toordinal()

    def _on(self, ordinal: int) -> tuple[int, ...]:
        """The instants of one local date, ascending."""
        times = self._cache.get(ordinal)
        if times is None:
            if len(self._cache) >= 8:
                self._cache.clear()
            times = self._cache[ordinal] = self._instants(ordinal)
        return times

    def _instants(self, ordinal: int) -> tuple[int, ...]:
        midnight = datetime.fromordinal(ordinal)
        offsets = {
            _offset(self._zone, point, fold) for point in (midnight, midnight + timedelta(hours=12), midnight + timedelta(days=1)) for fold in (0, 1)
        }
        if len(offsets) == 1:
            start = (ordinal - _EPOCH) * _DAY - offsets.pop()
            return tuple([start + minute * _MINUTE for minute in self._minutes])
        found: set[int] = set()
        for minute in self._minutes:
            found.update(self._changing(midnight + timedelta(minutes=minute)))
        return tuple(sorted(found))

    def _changing(self, reading: datetime) -> Iterable[int]:
        """The instants of a reading of the clock on a day when it may be skipped or come twice."""
        wall = _wall(reading)
        first, second = (wall - _offset(self._zone, reading, fold) for fold in (0, 1))
        if first > second:  # in a gap: read with the offset of before it, it lies behind the gap's end, with that of after, ahead of it
            return (_change(self._zone, second, first),) if self._fixed else ()
        return (first,) if self._fixed else (first, second)

    # --- days -----------------------------------------------------------------------------------------------------------

    def _date(self, ordinal: int, step: int) -> int | None:
        """The first local date from `ordinal` on (backwards for a step of -1) that fits."""
        end = ordinal + step * 366 * _YEARS
        while ordinal != end and 1 <= ordinal < _LAST:
            if self._fits(ordinal):
                return ordinal
            ordinal += step
        return None

    def _fits(self, ordinal: int) -> bool:
        day = date.fromordinal(ordinal)
        if day.month not in self._months:
            return False
        any_day, any_weekday = self._every_day
        if any_day or any_weekday:
            return self._fits_day(day) and self._fits_weekday(day)
        return self._fits_day(day) or self._fits_weekday(day)

    def _fits_day(self, day: date) -> bool:
        return day.day in self._days or (self._last_day and day.day == monthrange(day.year, day.month)[1])

    def _fits_weekday(self, day: date) -> bool:
        weekday = day.isoweekday() % 7
        if weekday in self._weekdays or (weekday, (day.day + 6) // 7) in self._nth_weekdays:
            return True
        return weekday in self._last_weekdays and day.day + 7 > monthrange(day.year, day.month)[1]

    # --- the value ------------------------------------------------------------------------------------------------------

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cron) and (self.text, self.timezone) == (other.text, other.timezone)

    def __hash__(self) -> int:
        return hash((self.text, self.timezone))

    def __repr__(self) -> str:
        return f"Cron({self.text!r}, {self.timezone!r})"


# --- zones ---------------------------------------------------------------------------------------------------------------


def zone(name: str) -> ZoneInfo:
    """The IANA zone of this name. Raises InvalidOption, with the nearest names there are."""
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError, TypeError, AttributeError):
        from difflib import get_close_matches
        from zoneinfo import available_timezones

        near = get_close_matches(name, sorted(available_timezones()), n=2) if isinstance(name, str) else []
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "zones are named like 'Europe/Berlin'"
        raise InvalidOption(f"there is no time zone {shorten(name)}; {hint}") from None


def _offset(where: ZoneInfo, reading: datetime, fold: int) -> int:
    offset = reading.replace(tzinfo=where, fold=fold).utcoffset()
    assert offset is not None
    return offset // timedelta(microseconds=1)


def _wall(reading: datetime) -> int:
    return (reading - datetime(1970, 1, 1)) // timedelta(microseconds=1)


def _change(where: ZoneInfo, low: int, high: int) -> int:
    """The instant between two at which the zone's clocks change, to the second."""
    before = _offset_at(where, low)
    low, high = low // 1_000_000, high // 1_000_000
    while high - low > 1:
        middle = (low + high) // 2
        if _offset_at(where, middle * 1_000_000) == before:
            low = middle
        else:
            high = middle
    return high * 1_000_000


def _offset_at(where: ZoneInfo, at: int) -> int:
    offset = datetime.fromtimestamp(at // 1_000_000, UTC).astimezone(where).utcoffset()
    assert offset is not None
    return offset // timedelta(microseconds=1)


# --- fields --------------------------------------------------------------------------------------------------------------


def _split(text: object) -> list[str]:
    if not isinstance(text, str):
        raise InvalidOption(f"a cron expression is text such as '0 9 * * MON-FRI', not {shorten(text)}")
    fields = text.split()
    if len(fields) == 1 and fields[0].startswith("@"):
        macro = fields[0].lower()
        if macro not in MACROS:
            raise InvalidOption(f"cron {shorten(text)}: no such name; choose one of {' '.join(MACROS)}, or write five fields")
        fields = MACROS[macro].split()
    if fields and "=" in fields[0]:
        raise InvalidOption(f"cron {shorten(text)}: the zone is said with timezone=, not in the expression")
    if len(fields) != len(_FIELDS):
        names = ", ".join(field.name for field in _FIELDS)
        seconds = "; there is no field for seconds, use every= for those" if len(fields) == 6 else ""
        raise InvalidOption(f"cron {shorten(text)}: {len(fields)} fields instead of five ({names}){seconds}")
    return [field.upper() for field in fields]


def _numbers(text: str, field: _Field) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        body, slash, step_text = part.partition("/")
        step = 1
        if slash:
            if not _NUMBER.fullmatch(step_text) or int(step_text) == 0:
                raise _wrong(field, part, "a step is a whole number from 1, as in */15")
            step = int(step_text)
        if body == "*":
            low, high = field.low, field.high
        elif "-" in body:
            left, _, right = body.partition("-")
            low, high = _number(left, field, part), _number(right, field, part)
            if high < low and right in ("SUN", "0"):
                high = 7
            if high < low:
                raise _wrong(field, part, "the range goes backwards; write it as a list of two")
        else:
            low = high = _number(body, field, part)
            if slash:
                high = field.high
        found.update(range(low, high + 1, step))
    return found


def _number(text: str, field: _Field, part: str) -> int:
    if text in field.names:
        return field.names.index(text) + field.first
    if not _NUMBER.fullmatch(text):
        near = f" or {field.names[0]}-{field.names[-1]}" if field.names else ""
        raise _wrong(field, part, f"it takes {field.low}-{field.high}{near}, *, ranges, steps and lists of these")
    number = int(text)
    if not field.low <= number <= field.high:
        raise _wrong(field, part, f"{number} is not in {field.low}-{field.high}")
    return number


def _weekdays(text: str) -> tuple[frozenset[int], frozenset[int], frozenset[tuple[int, int]]]:
    """(days of every week, days whose last one of the month, (day, which one of the month))."""
    field = _FIELDS[4]
    every: set[int] = set()
    last: set[int] = set()
    nth: set[tuple[int, int]] = set()
    for part in text.split(","):
        if len(part) > 1 and part.endswith("L"):
            last.add(_number(part[:-1], field, part) % 7)
        elif "#" in part:
            day, _, which = part.partition("#")
            if which not in ("1", "2", "3", "4", "5"):
                raise _wrong(field, part, "which one of the month is a number from 1 to 5, as in FRI#2")
            nth.add((_number(day, field, part) % 7, int(which)))
        else:
            every.update(number % 7 for number in _numbers(part, field))
    return frozenset(every), frozenset(last), frozenset(nth)


def _wrong(field: _Field, part: str, why: str) -> InvalidOption:
    return InvalidOption(f"cron: {field.name} {shorten(part)}: {why}")
