"""From (workflow id, run id) to a run: validated before any verb touches anything."""
from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from aionlab.core import events as e
from aionlab.core.errors import InvalidOption, RunClosed, RunNotFound, StoreReadOnly
from aionlab.core.filters import Query
from aionlab.core.ids import ChainId, RunId, WorkflowId
from aionlab.core.names import check_name
from aionlab.core.ports import Run
from aionlab.core.status import Status

from . import processes
from .run import LiveRun

if TYPE_CHECKING:
    from .engine import Engine


class NotResumed(Exception):
    """An open run whose process was never started here."""

    def __init__(self, workflow_id: str) -> None:
        super().__init__(workflow_id)
        self.workflow_id = workflow_id

    def __str__(self) -> str:
        return f"{self.workflow_id} was recorded as started and then rolled back (a ghost start): it runs when the lab is next opened"


def open_run(engine: Engine, workflow_id: str, run_id: str | None = None) -> LiveRun:
    """The open run meant. Raises RunNotFound for an unknown one, RunClosed for one that has ended."""
    row = any_run(engine, workflow_id, run_id)
    if row.status.closed:
        raise RunClosed(row.workflow_id, row.run_id, row.status.value)
    if engine.store.readonly:
        raise StoreReadOnly(f"{workflow_id} is {row.status.value}, and this lab only looks on: another kernel owns the database")
    return engine.find(row.workflow_id, row.run_id) or processes.adopt(engine, row, NotResumed(row.workflow_id))


def any_run(engine: Engine, workflow_id: str, run_id: str | None = None) -> Run:
    """The row of the run meant, open or closed. Raises InvalidName, RunNotFound."""
    workflow_id = check_name("workflow id", workflow_id)
    if run_id is not None:
        run_id = check_name("run id", run_id)
    live = engine.find(workflow_id, run_id)
    if live is not None:
        return live.current_row()
    row = engine.store.run(WorkflowId(workflow_id), None if run_id is None else RunId(run_id))
    if row is None:
        known = [*engine.registry, *engine.store.runs(Query(limit=_REMEMBERED))]
        near = get_close_matches(workflow_id, dict.fromkeys(str(run.workflow_id) for run in known), n=2)
        raise RunNotFound(workflow_id, run_id, tuple(near))
    return row


def meant(engine: Engine, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments of a verb, with the run a chain has gone on as in place of the chain. Raises RunNotFound."""
    return tuple(newest(engine, arguments[0], each) if type(each) is ChainId else each for each in arguments)


def newest(engine: Engine, workflow_id: str, run_id: str) -> RunId:
    """The run that this one has gone on as by now; itself where it has not. Raises RunNotFound."""
    row = any_run(engine, workflow_id, run_id)
    if row.status is not Status.CONTINUED_AS_NEW:
        return row.run_id
    last = any_run(engine, workflow_id)
    first = first_of(engine, last)
    if first == run_id:
        return last.run_id
    while (after := next_run(engine, row)) is not None:
        row = any_run(engine, workflow_id, after)
    return row.run_id


def first_of(engine: Engine, row: Run) -> RunId:
    """The first run of the chain a run belongs to."""
    live = engine.find(row.workflow_id, row.run_id)
    started = live.started if live is not None else engine.store.run_history(row.key)[0].event
    return started.origin.first_run_id or row.run_id if isinstance(started, e.WorkflowStarted) and started.origin is not None else row.run_id


def next_run(engine: Engine, row: Run) -> RunId | None:
    """The run that a run ended to go on as; None for any other."""
    if row.status is not Status.CONTINUED_AS_NEW:
        return None
    live = engine.find(row.workflow_id, row.run_id)
    ended = live.outcome if live is not None else engine.store.run_history(row.key)[-1].event
    return ended.next_run_id if isinstance(ended, e.WorkflowContinuedAsNew) else None


_REMEMBERED = 1000
"""Newest runs, open or closed, whose ids are offered in place of one that is not known."""
TEXT_LIMIT = 64 * 1024


def check_text(what: str, text: object) -> str | None:
    """A reason or the like as it may be recorded. Raises InvalidOption when it is no text, too long, or has lone surrogates."""
    if text is None:
        return None
    if not isinstance(text, str):
        raise InvalidOption(f"{what} is text, not {type(text).__name__}")
    if len(text) > TEXT_LIMIT:
        raise InvalidOption(f"{what} has {len(text):,} characters; the most is {TEXT_LIMIT:,}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidOption(f"{what} has a lone surrogate at position {error.start}") from None
    return text
