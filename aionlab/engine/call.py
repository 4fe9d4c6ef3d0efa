"""A request from outside, and the way its answer goes back."""
from __future__ import annotations

from queue import Empty, SimpleQueue
from typing import Any, Final


class Call:
    """One verb with its arguments. It belongs to whoever claims it first: the engine by `take`, or the caller by `withdraw`."""

    LATER: Final = object()
    """Returned by a verb whose answer comes with a later event."""

    __slots__ = ("_bell", "_claim", "_reply", "arguments", "verb")

    def __init__(self, verb: str, *arguments: Any) -> None:
        self.verb, self.arguments = verb, arguments
        self._reply: tuple[bool, Any] | None = None
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._claim: dict[str, str] = {}

    def take(self) -> bool:
        """The engine's claim; False when the caller has withdrawn the call."""
        return self._claim.setdefault("by", "engine") == "engine"

    def untake(self) -> None:
        self._claim.clear()

    def withdraw(self) -> bool:
        """The caller's claim: True when no turn has taken the call, which then never happens. Asked again, it says the same, so an
        interrupt between the claim and its answer loses nothing."""
        return self._claim.setdefault("by", "caller") == "caller"

    def ring(self) -> None:
        """Wake the caller early, without an answer; safe in a signal handler."""
        self._bell.put(None)

    def answer(self, value: Any) -> None:
        """The engine's answer; the first one stands."""
        self._set((True, value))

    def fail(self, error: BaseException) -> None:
        self._set((False, error))

    def _set(self, reply: tuple[bool, Any]) -> None:
        if self._reply is None:
            self._reply = reply
        self._bell.put(None)

    def poll(self, seconds: float = 0.0) -> bool:
        """Wait at most `seconds` for the answer; whether `outcome` may be called. Takes no lock the engine takes, and an interrupt at
        any point of it loses nothing."""
        if self._reply is None and seconds > 0:
            try:
                self._bell.get(True, seconds)
            except Empty:
                pass
        return self._reply is not None

    def outcome(self) -> Any:
        """The answer; raises what the engine raised. Only after `poll` said True."""
        assert self._reply is not None, "no answer yet"
        ok, value = self._reply
        if ok:
            return value
        raise value
