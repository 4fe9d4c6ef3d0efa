"""What tests of behaviours read of a run: its recorded events by kind."""
from __future__ import annotations

from typing import Any


def kinds(handle: Any) -> list[str]:
    """The names of a run's events, in order."""
    return [type(recorded.event).__name__ for recorded in handle.history()]


def of(handle: Any, kind: type | str) -> list[Any]:
    """A run's events of one kind, in order."""
    name = kind if isinstance(kind, str) else kind.__name__
    return [recorded.event for recorded in handle.history() if type(recorded.event).__name__ == name]
