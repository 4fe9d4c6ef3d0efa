"""What a kernel and a worker process say to each other: a byte of kind, four of length, the body."""
from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

JOB: Final = b"J"
"""To the worker: the attempt to make, with all it needs."""
STOP: Final = b"S"
"""To the worker: nobody waits for the attempt any more."""
BEAT: Final = b"B"
"""From the worker: a heartbeat; its details, if it has any, are the body. The first one says that the code begins."""
DONE: Final = b"D"
"""From the worker: the result."""
FAILED: Final = b"F"
"""From the worker: the record of an error."""

_HEAD = struct.Struct("!cI")


def message(kind: bytes, body: bytes = b"") -> bytes:
    return _HEAD.pack(kind, len(body)) + body


class Inbox:
    """Puts the bytes of a stream together to messages again."""

    __slots__ = ("_bytes",)

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The messages (kind, body) that are complete now."""
        self._bytes += data
        while len(self._bytes) >= _HEAD.size:
            kind, length = _HEAD.unpack_from(self._bytes)
            end = _HEAD.size + length
            if len(self._bytes) < end:
                return
            body = bytes(self._bytes[_HEAD.size : end])
            del self._bytes[:end]
            yield kind, body
