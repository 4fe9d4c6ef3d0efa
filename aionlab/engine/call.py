"""A request from outside, and the way its answer goes back."""
from __future__ import annotations

from queue import Empty, SimpleQueue
from typing import Any, Final


class Call:
    """One verb with its arguments. Exactly one side gets the token: the engine by `take`, or the caller by `withdraw`."""

    LATER: Final = object()
    """Returned by a verb whose answer comes with a later event."""

    __slots__ = ("_reply", "_token", "arguments", "verb")

    def __init__(self, verb: str, *arguments: Any) -> None:
        self.verb, self.arguments = verb, arguments
        self._reply: SimpleQueue[tuple[bool, Any]] = SimpleQueue()
        self._token = [True]

    def take(self) -> bool:
        """The engine's claim; False when the caller has withdrawn the call."""
        try:
            return self._token.pop()
        except IndexError:
            return False

    def untake(self) -> None:
        self._token.append(True)

    withdraw = take
    """The caller's claim: True when no turn has taken the call, which then never happens."""

    def answer(self, value: Any) -> None:
        self._reply.put((True, value))

    def fail(self, error: BaseException) -> None:
        self._reply.put((False, error))

    def poll(self, seconds: float = 0.0) -> bool:
        """Wait at most `seconds` for the answer; whether `outcome` may be called. Takes no lock the engine takes."""
        try:
            reply = self._reply.get(seconds > 0, seconds) if seconds > 0 else self._reply.get_nowait()
        except Empty:
            return False
        self._reply.put(reply)
        return True

    def outcome(self) -> Any:
        """The answer; raises what the engine raised. Only after `poll` said True."""
        ok, value = self._reply.get_nowait()
        self._reply.put((ok, value))
        if ok:
            return value
        raise value
