"""`%queues` and `%queue`: who waits for their turn, and how many may have it at once."""
from __future__ import annotations

from typing import Any

from .errors import LineError
from .grammar import Option, Slot
from .verbs import Request, verb


@verb("queues")
def queues(ask: Request) -> Any:
    """The queues activities wait in: what waits, what runs, their limits."""
    return ask.lab.queues()


@verb(
    "queue", Slot("QUEUE"),
    options=(
        Option("concurrency", "attempts at once, at most", metavar="N"),
        Option("rate", "attempts that may begin within a period, at most", metavar="N"),
        Option("period", "the length the rate is for: 1s (when not given), 1m", metavar="TIME"),
        Option("arrival", "leave priorities out: first come, first served", "flag"),
    ),
    example="%queue gpu --concurrency 2 --rate 50 --period 1m",
)
def queue(ask: Request) -> Any:
    """Limit a queue; without options it has no limits any more. Activities name theirs with queue="…"."""
    limits = {name: _count(ask, name) for name in ("concurrency", "rate")}
    period = ask.value("period")
    if period is not None and limits["rate"] is None:
        raise LineError("--period is the length that --rate is for: give both")
    name = ask.names.text(ask.asked.words[0], "a queue's name")
    return ask.lab.register_queue(name, **limits, period="1s" if period is None else period, priority=not ask.asked.has("arrival"))


def _count(ask: Request, option: str) -> int | None:
    value = ask.value(option)
    if value is None:
        return None
    try:
        return int(value)
    except (TypeError, ValueError):
        raise LineError(f"--{option} is a number, and {value!r} is none") from None
