"""Verbs over every run a filter finds: a page at a time, one commit a page, what goes wrong collected by run.

Each verb is a row of `SWEEPS`. Runs in which the verb has nothing to do (they are closed, or paused already) are skipped, so that a sweep
may be repeated. Without a LIMIT runs are visited from the newest to the oldest, whatever happens to them meanwhile; with one, those it takes
are settled before the first is touched.
"""
from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from aionlab.core.clock import Micros
from aionlab.core.errors import AionError, RunClosed, RunNotFound
from aionlab.core.filters import STATUS, Condition, Query, holds, parse
from aionlab.core.ports import Run
from aionlab.engine.call import Call
from aionlab.views.sweep import Failed, Swept

if TYPE_CHECKING:
    from .hosts import Host

PAGE: Final = 500
"""Runs that are visited in one commit."""
QUIET: Final = 1.0
"""Seconds a sweep takes before it begins to say how far it is."""
_ANSWER = 2.0
_TOLD = 100
"""Failures that are kept; the others are counted."""


class Lab(Protocol):
    """What a sweep needs of a lab."""

    host: Host
    shows: Callable[[], Callable[[Swept], None]] | None

    def call(self, verb: str, *arguments: Any) -> Any: ...
    def wait(self, call: Call, timeout: float | None = None) -> bool: ...


class Sweep(NamedTuple):
    """A verb that may be asked of many runs."""

    verb: str
    done: str
    """What has been done to a run, behind "was"."""
    suits: Condition
    """The runs it has something to do in."""
    otherwise: str
    """What the others are."""
    gone: bool = False
    """Whether a run that is no longer there has been done too."""


def _where(text: str) -> Condition:
    return parse(text, {}, Micros(0)).condition


_OPEN = _where("status IN ('Running', 'Paused')")

SWEEPS: Final = {
    sweep.verb: sweep
    for sweep in (
        Sweep("cancel", "asked to stop", _OPEN, "closed"),
        Sweep("terminate", "terminated", _OPEN, "closed"),
        Sweep("pause", "paused", _where("status = 'Running'"), "paused or closed"),
        Sweep("resume", "resumed", _where("status = 'Paused'"), "not paused"),
        Sweep("signal", "sent the signal", _OPEN, "closed"),
        Sweep("suspend", "taken out of memory", _OPEN, "closed"),
        Sweep("reopen", "reopened", _where("status IN ('Failed', 'Cancelled', 'Terminated', 'TimedOut')"), "open, completed or continued as new"),
        Sweep("forget", "forgotten", _where("status NOT IN ('Running', 'Paused')"), "open", gone=True),
    )
}


@dataclass(frozen=True, slots=True)
class Target:
    """As much of a run as a sweep remembers."""

    workflow_id: str
    run_id: str
    suits: bool


def sweep(
    lab: Lab, verb: str, query: Query, arguments: Callable[[Target], tuple[Any, ...]], *, dry_run: bool = False, page_size: int = PAGE,
    progress: Callable[[Swept], None] | None = None,
) -> Swept:
    """Ask the verb of every run of the query; `arguments` are those of the engine's verb for one run.

    `progress` is given where the sweep stands after each page. An interrupt ends it between two runs; the KeyboardInterrupt says how far it
    came, and carries that as `swept`.
    """
    row = SWEEPS[verb]
    if dry_run:
        return _rehearsed(lab, row, query)
    total = _total(lab, query)
    state = Swept(verb, row.done, row.otherwise, total)
    begun = time.monotonic()
    shows = progress or (None if lab.shows is None else lab.shows())
    calls: list[tuple[Target, Call]] = []
    try:
        for page in _pages(lab, row, query, page_size):
            calls = [(target, Call(verb, *arguments(target))) for target in page if target.suits]
            skipped = len(page) - len(calls)
            for _, call in calls:
                lab.host.ask(call)
            for _, call in calls:
                lab.wait(call)
            state = _tallied(replace(state, skipped=state.skipped + skipped), row, calls)
            calls = []
            if shows is not None and (progress is not None or time.monotonic() - begun >= QUIET):
                shows(state)
    except KeyboardInterrupt as stop:
        taken = [(target, call) for target, call in calls if not call.withdraw()]
        for _, call in taken:
            lab.wait(call, _ANSWER)
        state = _tallied(state, row, [(target, call) for target, call in taken if call.poll()])
        stop.args = (f"stopped: {state.said}",)
        stop.swept = state  # type: ignore[attr-defined]  # where the sweep stood, for who catches the interrupt
        raise
    return replace(state, finished=True)


def _tallied(state: Swept, row: Sweep, calls: list[tuple[Target, Call]]) -> Swept:
    """The state with what became of these calls."""
    done, skipped, failed = state.done, state.skipped, state.failed
    failures = list(state.failures)
    for target, call in calls:
        try:
            answer = call.outcome()
        except RunClosed:
            skipped += 1
        except RunNotFound as error:
            done += row.gone
            failed += not row.gone
            if not row.gone and len(failures) < _TOLD:
                failures.append(Failed(target.workflow_id, target.run_id, str(error)))
        except AionError as error:
            failed += 1
            if len(failures) < _TOLD:
                failures.append(Failed(target.workflow_id, target.run_id, str(error)))
        else:
            done += answer is not False  # a signal whose idempotency key has come before
            skipped += answer is False
    return replace(state, done=done, skipped=skipped, failed=failed, failures=tuple(failures))


def _total(lab: Lab, query: Query, *narrower: Condition) -> int:
    (found,) = lab.call("count", query.narrowed(*narrower).condition).values()
    return int(found if query.limit is None else min(found, query.limit))


def _pages(lab: Lab, row: Sweep, query: Query, size: int) -> Iterator[list[Target]]:
    if query.limit is None:
        for page in pages(lab, replace(query, order=()), size):
            yield [_target(row, run) for run in page]
        return
    chosen = [_target(row, run) for page in pages(lab, query, size) for run in page]
    for at in range(0, len(chosen), size):
        yield chosen[at : at + size]


def _target(row: Sweep, run: Run) -> Target:
    return Target(run.workflow_id, run.run_id, holds(row.suits, run))


def pages(lab: Lab, query: Query, size: int, after: Run | None = None, given: int = 0) -> Iterator[list[Run]]:
    """The runs of a query, `size` at a time, from behind `after` on; `given` of them have been had."""
    while query.limit is None or given < query.limit:
        wanted = size if query.limit is None else min(size, query.limit - given)
        page: list[Run] = lab.call("runs", replace(query, limit=wanted), after)
        if page:
            yield page
        if len(page) < wanted:
            return
        after, given = page[-1], given + len(page)


def _rehearsed(lab: Lab, row: Sweep, query: Query) -> Swept:
    """What a sweep would do, without doing any of it."""
    state = Swept(row.verb, row.done, row.otherwise, 0, dry_run=True, finished=True)
    if query.limit is None:
        total, done = _total(lab, query), _total(lab, query, row.suits)
        sample = lab.call("runs", query.narrowed(row.suits).at_most(state.shown))
        statuses = lab.call("count", query.narrowed(row.suits).condition, STATUS)
        return replace(state, total=total, done=done, skipped=total - done, sample=tuple(sample), statuses=statuses)
    total = done = 0
    counted: dict[str, int] = {}
    kept: list[Run] = []
    for page in pages(lab, query, PAGE):
        wanted = [run for run in page if holds(row.suits, run)]
        total, done = total + len(page), done + len(wanted)
        for run in wanted:
            counted[run.status.value] = counted.get(run.status.value, 0) + 1
        kept += wanted[: state.shown - len(kept)]
    return replace(state, total=total, done=done, skipped=total - done, sample=tuple(kept), statuses=counted)
