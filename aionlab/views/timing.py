"""Times of schedules in words, as the clocks of their zone say them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from aionlab.core.clock import Micros
from aionlab.core.cron import zone
from aionlab.core.durations import spell
from aionlab.core.errors import InvalidOption
from aionlab.core.events import Plan

from .text import clip, when

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def timing(plan: Plan) -> str:
    """When a plan's times lie, in a few words: "0 9 * * 1-5 Europe/Berlin", "every 30m + 5m", "at 2020-01-02 09:00 UTC"."""
    if plan.cron is not None:
        return f"{clip(plan.cron, 100)} {clip(plan.timezone, 40)}"
    if plan.every is not None:
        return f"every {spell(plan.every)}" + (f" + {spell(plan.offset)}" if plan.offset else "")
    return f"at {moment(plan.at, plan.timezone)}"


def moment(at: Micros | None, timezone: str) -> str:
    """A time as the clocks of a zone say it: "Thu 2020-01-02 09:00 CET"; "" for None."""
    if at is None:
        return ""
    try:
        said = (_EPOCH + timedelta(microseconds=at)).astimezone(_zone(timezone))
    except OverflowError:
        return when(at)
    fraction = f".{said.microsecond:06d}".rstrip("0") if said.microsecond else ""
    seconds = f"{said:%a %Y-%m-%d %H:%M:%S}{fraction}" if said.second or fraction else f"{said:%a %Y-%m-%d %H:%M}"
    return f"{seconds} {said.tzname()}"


def _zone(timezone: str) -> ZoneInfo:
    try:
        return zone(timezone)
    except InvalidOption:  # this machine does not know it; the card still shows
        return ZoneInfo("UTC")
