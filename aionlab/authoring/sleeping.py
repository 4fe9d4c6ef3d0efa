"""Timers that say what they are for."""
from __future__ import annotations

import asyncio
from typing import Any

from aionlab.core.clock import Micros
from aionlab.core.errors import InvalidOption

LONGEST = 200
"""Characters of a summary."""


async def summarised_sleep(length: Micros, summary: str) -> None:
    """`asyncio.sleep` whose timer carries a summary."""
    if not length:
        return await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    woken = loop.create_future()
    timer: Any = loop.call_later(length / 1_000_000, asyncio.futures._set_result_unless_cancelled, woken, None)  # type: ignore[attr-defined]  # as asyncio.sleep does
    timer.summary = summary
    try:
        await woken
    finally:
        timer.cancel()


def check_summary(text: str, longest: int = LONGEST) -> str:
    """The text, when it is one and not too long to be read at a glance."""
    if not isinstance(text, str):
        raise InvalidOption(f"a summary is a text; {text!r} is a {type(text).__name__}")
    if len(text) > longest:
        raise InvalidOption(f"a summary of {len(text):,} characters; give at most {longest:,}, and keep the rest in an activity's result")
    return text
