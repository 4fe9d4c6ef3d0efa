"""Compression, where it helps."""
from __future__ import annotations

from aionlab.core.codecs import Deflate
from aionlab.core.errors import InvalidOption


class Compress(Deflate):
    """Payloads of more than `above` bytes are compressed by zlib, unless that saves less than a tenth. `level` is zlib's, 1 to 9."""

    def __init__(self, above: int = 512, level: int = 6) -> None:
        if above < 0:
            raise InvalidOption(f"above={above}; give a number of bytes")
        if not 1 <= level <= 9:
            raise InvalidOption(f"level={level}; zlib's levels are 1 (fast) to 9 (small)")
        super().__init__(above, level)

    def __repr__(self) -> str:
        return f"Compress(above={self.above}, level={self.level})"
