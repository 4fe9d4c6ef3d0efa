"""Places to fail inside the engine, by name.

    arm(bench, "place")          # the next start fails at row 9 of its table

`START_STEPS` names the rows of the start table in order; "commit" and "committed" are the points around a turn's commit.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aionlab.core.errors import AionError
from aionlab.engine.faults import START_STEPS

POINTS = (*START_STEPS, "commit", "committed")


class Injected(AionError):
    """The fault that `arm` injects when none is given."""


def arm(engine: Any, name: str, error: BaseException | Callable[[], BaseException | None] | None = None) -> None:
    """The next time the engine (or that of a lab or a workbench) passes the point `name`, `error` is raised there (Injected by default).

    Raises ValueError for a name that is not in `POINTS`.
    """
    if name not in POINTS:
        raise ValueError(f"there is no fault point {name!r}; they are {', '.join(POINTS)}")
    owner = engine
    while not hasattr(owner, "faults"):
        owner = owner.engine if hasattr(owner, "engine") else owner.host
    raised = Injected(f"injected at {name}") if error is None else error
    owner.faults.arm(name, raised if callable(raised) else lambda: raised)


__all__ = ["POINTS", "START_STEPS", "Injected", "arm"]
