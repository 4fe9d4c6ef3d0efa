"""From (workflow id, run id) to a run: validated before any verb touches anything."""
from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from aionlab.core.errors import InvalidOption, RunClosed, RunNotFound, StoreReadOnly
from aionlab.core.ids import RunId, WorkflowId
from aionlab.core.names import check_name
from aionlab.core.ports import Run

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
        near = get_close_matches(workflow_id, [str(run.workflow_id) for run in engine.registry], n=2)
        raise RunNotFound(workflow_id, run_id, tuple(near))
    return row


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
