"""Which Pythons order a workflow's requests alike.

`asyncio.wait_for` starts what it waits for in a task of its own up to 3.11 and in place from 3.12 on, so `gather(wait_for(a()), b())` asks b, a
on one side and a, b on the other. A history is replayed on its own side only.
"""
from __future__ import annotations

import sys

HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"
"""The Python of this process, as histories record it."""


def replays_here(recorded: str) -> bool:
    """Whether a history recorded under this Python ("3.11") asks in the same order here."""
    return recorded == HERE or _side(recorded) == _side(HERE)


def _side(python: str) -> bool:
    return tuple(int(part) for part in python.split(".")[:2] if part.isdigit()) >= (3, 12)
