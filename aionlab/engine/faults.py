"""Places where a test can make the engine fail, by name."""
from __future__ import annotations

from collections.abc import Callable

START_STEPS = (
    "resolve", "check", "mint", "policy", "append", "visibility", "supervisor", "spawn", "place", "handle", "register", "monitor", "flush",
)  # fmt: skip
"""The rows of the start table, in order."""


class Faults:
    """Named fault points: `arm` one, and the next time the engine passes it the given error is raised there."""

    __slots__ = ("_armed", "passed")

    def __init__(self) -> None:
        self._armed: dict[str, Callable[[], BaseException | None]] = {}
        self.passed: list[str] | None = None
        """Names of the points passed, once somebody sets it to a list."""

    def arm(self, name: str, make: Callable[[], BaseException | None]) -> None:
        """`make` is called when the point is next passed, and gives the error; None lets it pass."""
        self._armed[name] = make

    def clear(self) -> None:
        self._armed.clear()

    def point(self, name: str) -> None:
        if self.passed is not None:
            self.passed.append(name)
        if self._armed and name in self._armed:
            error = self._armed.pop(name)()
            if error is not None:
                raise error
