"""The garbage collector and large turns: what a turn makes is kept until its commit, so looking through it for garbage finds none."""
from __future__ import annotations

import gc

LARGE = 64
"""Messages from which on a turn is large; a sixth of its time went to the collector."""


class uncollected:  # noqa: N801 - reads as a word of the `with` it stands in
    """No collection within the block when the turn is large; a collector that somebody has switched off stays off."""

    __slots__ = ("_paused",)

    def __init__(self, messages: int) -> None:
        self._paused = messages >= LARGE and gc.isenabled()

    def __enter__(self) -> None:
        if self._paused:
            gc.disable()

    def __exit__(self, *_: object) -> None:
        if self._paused:
            gc.enable()
