"""Reset: a new run of the same workflow id that begins with part of an earlier run's history; the open run, if there is one, is terminated."""
from __future__ import annotations

from typing import TYPE_CHECKING

from aionlab.core import events as e

from ..addressing import check_text, open_run
from .forking import ForkRequest, begin, planned
from .identity import Started

if TYPE_CHECKING:
    from ..engine import Engine


def reset(engine: Engine, workflow_id: str, run_id: str | None = None, request: ForkRequest | None = None, reason: str | None = None) -> Started:
    """Go back to an event of a run, as a new run of its id; the ids it has. The id's open run ends with reason "reset".

    Raises what `forking.fork` raises, with nothing written.
    """
    reason = check_text("the reason", reason)
    request = request or ForkRequest()
    plan = planned(engine, workflow_id, run_id, request)
    new_id, new_run = plan.source.workflow_id, request.run_id or engine.ids.run_id()
    newest = engine.turn_now.planned.get(new_id) or engine.find(new_id)
    row = newest.current_row() if newest is not None else engine.store.run(new_id)
    assert row is not None
    if not row.status.closed:
        replaced = open_run(engine, new_id, row.run_id)
        engine.turn_now.record(replaced, e.WorkflowTerminated("reset", reason or f"replaced by run {new_run}"))
    return begin(engine, plan, new_id, new_run, row)
