"""`%clock` and `%settle`: time, and the moment when nothing moves."""
from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from . import waiting
from .errors import LineError
from .grammar import Slot
from .looking import seconds
from .pages import Note
from .verbs import TIMEOUT, Request, verb


@verb("clock", Slot("WHAT", "words", needed=False), example="%clock skip 2d")
def clock(ask: Request) -> Any:
    """What time the lab has, and moving a virtual clock.

    `skip 2d` goes on by that much, `next` to the next timer, `auto on|off` switches: with auto on, time jumps to the next timer whenever nothing else moves.
    """
    time = ask.lab.clock
    match [str(ask.names.word(word)) for word in ask.asked.words]:
        case []:
            pass
        case ["skip", *length] if length:
            time.skip(_duration(" ".join(length)))
        case ["next"]:
            time.skip_to_next_timer()
        case ["auto", ("on" | "off") as switch]:
            time.auto = switch == "on"
        case words:
            raise LineError(f"%clock {' '.join(words)}? write %clock, %clock skip 2d, %clock next or %clock auto on|off")
    return Note(describe(time))


def describe(time: Any) -> str:
    """A clock in a line."""
    now = time.now()
    if not isinstance(now, datetime):
        now = datetime.fromtimestamp(now / 1_000_000, UTC)
    shown = now.replace(microsecond=0, tzinfo=None).isoformat(" ") + "Z"
    if not time.virtual:
        return f"{shown} (real)"
    return f"{shown} (virtual{', auto' if time.auto else ''})"


def _duration(text: str) -> str | float:
    return float(text) if re.fullmatch(r"\d+(\.\d+)?", text) else text


@verb("settle", options=(TIMEOUT,), example="%settle --timeout 10s")
def settle(ask: Request) -> Any:
    """Wait until nothing moves: every run waits for a signal, a timer or a retry."""
    waiting.settle(ask.lab, seconds(ask, "timeout"), ask.session.notice)
