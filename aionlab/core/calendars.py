"""When a schedule's times lie: cron expressions, intervals and single moments behind one face, and what a plan may say."""
from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

from .clock import Micros
from .cron import Cron, zone
from .durations import spell
from .errors import InvalidOption, shorten
from .events import Plan

OVERLAPS: Final = ("skip", "buffer_one", "buffer_all", "cancel_other", "terminate_other", "allow_all")
"""What becomes of a time that comes while a run goes on: it is skipped; it waits, alone or in line; the run is cancelled or terminated for
it; or both run."""
CATCH_UPS: Final = ("one", "all", "skip")
"""Which of the times that were missed are made up: the newest, all, none."""
SHORTEST: Final = 1_000
"""Microseconds the shortest interval takes."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Calendar(Protocol):
    """Instants in order, as microseconds since the epoch."""

    def after(self, at: Micros) -> Micros | None:
        """The first one later than `at`."""

    def before(self, at: Micros) -> Micros | None:
        """The last one earlier than `at`."""


class Every(NamedTuple):
    """The multiples of `length` since the epoch, plus `offset`."""

    length: Micros
    offset: Micros = Micros(0)

    def after(self, at: Micros) -> Micros | None:
        return Micros(((at - self.offset) // self.length + 1) * self.length + self.offset)

    def before(self, at: Micros) -> Micros | None:
        return Micros((at - self.offset - 1) // self.length * self.length + self.offset)


class Once(NamedTuple):
    moment: Micros

    def after(self, at: Micros) -> Micros | None:
        return self.moment if at < self.moment else None

    def before(self, at: Micros) -> Micros | None:
        return self.moment if at > self.moment else None


class Between(NamedTuple):
    """The times of a calendar from `start` to `end`, both included."""

    times: Calendar
    start: Micros | None
    end: Micros | None

    def after(self, at: Micros) -> Micros | None:
        found = self.times.after(at if self.start is None else max(at, Micros(self.start - 1)))
        return None if found is None or (self.end is not None and found > self.end) else found

    def before(self, at: Micros) -> Micros | None:
        found = self.times.before(at if self.end is None else min(at, Micros(self.end + 1)))
        return None if found is None or (self.start is not None and found < self.start) else found


@lru_cache(maxsize=256)
def calendar(plan: Plan) -> Calendar:
    """The times of a plan. Raises InvalidOption, naming what is wrong, for a plan that makes no sense."""
    given = [name for name in ("cron", "every", "at") if getattr(plan, name) is not None]
    if len(given) != 1:
        raise InvalidOption(f"a schedule has one of cron=, every= and at=; {' and '.join(f'{name}=' for name in given) or 'none'} was given")
    for name, value, known in (("overlap", plan.overlap, OVERLAPS), ("catch_up", plan.catch_up, CATCH_UPS)):
        if value not in known:
            raise InvalidOption(f"{name}={shorten(value)}; choose one of {', '.join(known)}")
    zone(plan.timezone)
    if plan.every is None and plan.offset:
        raise InvalidOption("offset= moves the times of every=; it goes with nothing else")
    times: Calendar
    if plan.cron is not None:
        times = Cron(plan.cron, plan.timezone)
    elif plan.every is not None:
        if plan.every < SHORTEST:
            raise InvalidOption(f"every={spell(plan.every)!r} is too often; the shortest interval is {spell(SHORTEST)}")
        if not 0 <= plan.offset < plan.every:
            raise InvalidOption(f"offset={spell(plan.offset)!r} is not shorter than every={spell(plan.every)!r}")
        times = Every(plan.every, plan.offset)
    else:
        assert plan.at is not None
        times = Once(plan.at)
    if plan.start is None and plan.end is None:
        return times
    bounded = Between(times, plan.start, plan.end)
    if bounded.after(Micros(-(1 << 62))) is None:
        raise InvalidOption("no time of this schedule lies between its start= and its end=")
    return bounded


def stamp(at: Micros) -> str:
    """An instant as ids spell it: "2020-01-02T00:00:00Z", with fractions of a second where there are any."""
    moment = _EPOCH + timedelta(microseconds=at)
    return f"{moment:%Y-%m-%dT%H:%M:%S}{f'.{moment.microsecond:06d}' if moment.microsecond else ''}Z"


def moment(given: object, timezone: str, what: str) -> Micros:
    """An instant from a datetime or ISO text; one without an offset is read in `timezone`, the first time where the clock says so twice.

    Raises InvalidOption for anything else, naming `what`.
    """
    if isinstance(given, str):
        try:
            given = datetime.fromisoformat(given)
        except ValueError:
            raise InvalidOption(f"{what}={shorten(given)} is no time; write it as '2025-01-31 09:00' or give a datetime") from None
    if not isinstance(given, datetime):
        raise InvalidOption(f"{what} takes a datetime or text such as '2025-01-31 09:00', not {shorten(given)}")
    if given.tzinfo is None:
        given = given.replace(tzinfo=zone(timezone), fold=0)
    return Micros((given - _EPOCH) // timedelta(microseconds=1))
