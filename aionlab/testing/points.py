"""Places to fail: the engine's fault points by name, and every commit of a store.

    arm(bench, "place")                                  # the next start fails at row 9 of its table
    store = FaultyStore(MemoryStore()); store.crash(3)  # the process is gone right after the third commit

`START_STEPS` names the rows of the start table in order; "commit" and "committed" are the points around a turn's commit.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from aionlab.core.errors import AionError, StoreUnavailable
from aionlab.core.ports import Batch, EventStore
from aionlab.engine.faults import START_STEPS

POINTS = (*START_STEPS, "commit", "committed")
WRITES = frozenset({"commit", "append", "save_package", "set_route", "register_attribute", "set_meta"})


class Crash(BaseException):
    """The process is gone: nothing may catch this but the test, which then opens the store anew."""


class Injected(AionError):
    """The fault that `arm` injects when none is given."""


def arm(engine: Any, name: str, error: BaseException | Callable[[], BaseException] | None = None) -> None:
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


class FaultyStore:
    """An EventStore that fails where it is told to; everything else goes to `inner`."""

    def __init__(self, inner: EventStore) -> None:
        self.inner = inner
        self.commits = 0
        """Commits asked for so far, those that failed included."""
        self.batches: list[Batch] = []
        """What was committed."""
        self.down: Callable[[], BaseException] | None = None
        """While set, every read and write raises it, and writes nothing."""
        self._plan: dict[int, tuple[bool, Callable[[], BaseException]]] = {}

    def fail(self, at: int, error: Callable[[], BaseException], *, after: bool = False) -> None:
        """Raise `error()` at commit number `at` (from 1), before or after it is written."""
        self._plan[at] = (after, error)

    def fail_next(self, error: Callable[[], BaseException], *, after: bool = False, times: int = 1) -> None:
        """Raise `error()` at the next `times` commits."""
        for place in range(1, times + 1):
            self.fail(self.commits + place, error, after=after)

    def crash(self, at: int, *, after: bool = False) -> None:
        """The process is gone before, or right after, commit number `at`."""
        self.fail(at, Crash, after=after)

    def doubt(self, *, written: bool, times: int = 1) -> None:
        """The next commits end in StoreUnavailable, written or not."""
        self.fail_next(lambda: StoreUnavailable("no answer"), after=written, times=times)

    def commit(self, batch: Batch) -> None:
        self.commits += 1
        after, error = self._plan.pop(self.commits, (False, None))
        if self.down is not None:
            raise self.down()
        if error is not None and not after:
            raise error()
        self.inner.commit(batch)
        self.batches.append(batch)
        if error is not None:
            raise error()

    def open_histories(self) -> Iterator[Any]:
        if self.down is not None:
            raise self.down()
        return self.inner.open_histories()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        if not callable(found) or self.down is None or name == "close":
            return found
        down = self.down

        def refuse(*args: Any, **kwargs: Any) -> Any:
            raise down()

        return refuse
