"""What tests of workflows need: labs on a virtual clock, stand-ins for activities, crashes at named points, and histories that replay.

The pytest fixtures of `aionlab.testing.plugin` are made of these; they work in any other test runner as well.
"""
from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from aionlab.app import opening
from aionlab.app.lab import Lab
from aionlab.authoring.definitions import Activity, Workflow
from aionlab.core import events as e
from aionlab.core.errors import AionError
from aionlab.core.payload import hints_of
from aionlab.core.running import running
from aionlab.replay.process import Code, Process
from aionlab.replay.rebuild import rebuild

from .faults import Crash
from .points import arm

_NOTHING: Any = object()
_doubles = count(1)


def open_lab(path: str | Path = ":memory:", **options: Any) -> Lab:
    """A lab that stands still until it is told otherwise: no threads, a virtual clock, counted ids; options as `aionlab.open` has them."""
    options = {"clock": "virtual", "threads": False, "deterministic": 0, "synchronous": "NORMAL", **options}
    return opening.open(path, **options)


# --- stand-ins ----------------------------------------------------------------------------------------------------------


@dataclass
class StandIn:
    """What runs in the place of an activity, and the calls it has had."""

    name: str
    answer: Callable[..., Any]
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)
    """(args, kwargs) of each attempt, in order."""

    @property
    def count(self) -> int:
        return len(self.calls)


@contextmanager
def stand_in(
    lab: Lab, activity: Activity[..., Any] | Workflow[..., Any] | str, fn: Callable[..., Any] | None = None, *, returns: Any = _NOTHING, raises: Any = None
) -> Iterator[StandIn]:
    """Run something else in the place of an activity or of a child workflow: `fn` with its arguments, a value, or an error (a list of either
    answers call by call, the last one for ever). The lab records, retries and starts as it would the real one."""
    given = [fn is not None, returns is not _NOTHING, raises is not None]
    if sum(given) != 1:
        raise TypeError("a stand-in takes one of: a function, returns=, raises=")
    if isinstance(activity, Workflow):
        with _double(lab, activity, fn or _answering(returns, raises)) as stand:
            yield stand
        return
    name = activity if isinstance(activity, str) else activity.name
    known = lab.library.defined(name) if isinstance(activity, str) else activity
    if known is None:
        raise LookupError(f"this lab knows no activity {name!r}; give the activity itself")
    stand = StandIn(name, fn or _answering(returns, raises))

    def answer(*args: Any, **kwargs: Any) -> Any:
        stand.calls.append((args, kwargs))
        return stand.answer(*args, **kwargs)

    answer.__annotations__ = dict(getattr(known.fn, "__annotations__", {}))
    answer.__signature__ = known.signature  # type: ignore[attr-defined]  # what inspect reads first
    before = lab.library.stand_ins.get(name)
    lab.library.stand_ins[name] = Activity(answer, name, known.options)
    try:
        yield stand
    finally:
        if before is None:
            lab.library.stand_ins.pop(name, None)
        else:
            lab.library.stand_ins[name] = before


@contextmanager
def _double(lab: Lab, workflow: Workflow[..., Any], answer: Callable[..., Any]) -> Iterator[StandIn]:
    """New runs of a workflow run the answer instead; it is a version that only this process knows, and that holds the route meanwhile."""
    stand, catalog = StandIn(workflow.name, answer), lab.host.engine.catalog

    async def double(*args: Any, **kwargs: Any) -> Any:
        if not running("a stand-in").replaying:
            stand.calls.append((args, kwargs))
        outcome = answer(*args, **kwargs)
        return await outcome if inspect.isawaitable(outcome) else outcome

    lab.define(workflow)
    before, pinned = catalog.routed(workflow.name), catalog.pinned(workflow.name)
    version = f"stand-in-{next(_doubles)}"
    catalog.add(Code(workflow.name, version, double, hints_of(workflow.fn), lab.library.cells), route=False)
    catalog.route(workflow.name, version, True)
    try:
        yield stand
    finally:
        catalog.route(workflow.name, str(before), pinned)


def _answering(returns: Any, raises: Any) -> Callable[..., Any]:
    fails = raises is not None
    chosen = raises if fails else returns
    queue = list(chosen) if isinstance(chosen, list) and chosen and (fails or returns is not _NOTHING) else [chosen]

    def answer(*_: Any, **__: Any) -> Any:
        value = queue.pop(0) if len(queue) > 1 else queue[0]
        if isinstance(value, BaseException) or (isinstance(value, type) and issubclass(value, BaseException)):
            raise value
        return value

    return answer


# --- replays ------------------------------------------------------------------------------------------------------------


def check_replays(lab: Lab, finished_only: bool = True) -> int:
    """Replay the recorded runs of a lab against the versions they ran under; how many there were.

    Raises AssertionError that tells of each run whose code no longer agrees with its history.
    """
    engine, found, wrong = lab.host.engine, 0, []
    for workflow_id in engine.store.ids():
        for row in engine.store.run_chain(workflow_id):
            if (finished_only and not row.status.closed) or row.workflow_type.startswith("aion."):
                continue
            history = engine.store.run_history(row.key)
            started = history[0].event
            if not isinstance(started, e.WorkflowStarted):
                continue
            found += 1

            def make(trace: bool, row: Any = row, started: e.WorkflowStarted = started) -> Process:
                code = engine.catalog.resolve(row.workflow_type, row.version)
                return Process(code, started, row.workflow_id, row.run_id, row.started_at, None, trace)  # type: ignore[abstract]  # as in engine.processes

            try:
                rebuild(make, history).process.close()
            except AionError as error:
                wrong.append(f"{row.workflow_id} ({row.run_id}): {error}")
    if wrong:
        raise AssertionError("recorded histories no longer replay:\n  " + "\n  ".join(wrong))
    return found


# --- crashes ------------------------------------------------------------------------------------------------------------


class CrashPoint:
    """A crash of the engine at a named point, and the lab as it comes back.

        crash = CrashPoint(lab, "committed")
        with crash:
            lab.start(order, 1, id="o")
        lab = crash.reopen()
    """

    def __init__(self, lab: Lab, point: str, after: int = 0, again: Callable[..., Lab] = open_lab) -> None:
        """`point` as in `aionlab.testing.points.POINTS`; the point is passed `after` times before it crashes. `again(path, **options)` opens the
        file of the lab that crashed."""
        if lab.host.threaded or lab.path == ":memory:":
            raise ValueError("a lab that is to crash has no threads and a file: open_lab(path), or the fixtures")
        self.lab, self.point, self._passes, self._again = lab, point, after, again
        self.happened = False

    def __enter__(self) -> CrashPoint:
        arm(self.lab, self.point, self._raise)
        return self

    def _raise(self) -> BaseException | None:
        if self._passes > 0:
            self._passes -= 1
            arm(self.lab, self.point, self._raise)
            return None
        self.happened = True
        return Crash(self.point)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if not self.happened and error is None:
            raise AssertionError(f"the engine never passed {self.point!r}")
        drop(self.lab)
        return isinstance(error, Crash)

    def reopen(self, **options: Any) -> Lab:
        """The same file in a new engine."""
        return self._again(self.lab.path, **options)


def drop(lab: Lab) -> None:
    """Lose a lab as a crash would: no farewell, nothing written; its lock on the file is gone with it."""
    engine = lab.host.engine
    engine.executor.close()
    for run in engine.registry:
        if run.process is not None:
            with suppress(BaseException):
                run.process.close()
    store: Any = engine.store
    store.close()
    lab.closed = True
    opening._forget(lab)
