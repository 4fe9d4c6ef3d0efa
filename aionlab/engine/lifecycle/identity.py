"""Who may have a workflow id, and an idempotency key: a start is held against the runs there are."""
from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from aionlab.core import events as e
from aionlab.core.errors import AlreadyStarted, InvalidOption
from aionlab.core.ids import RunId, WorkflowId
from aionlab.core.ports import Run
from aionlab.core.status import REOPENED

from .. import processes
from ..addressing import NotResumed
from ..run import LiveRun

if TYPE_CHECKING:
    from ..engine import Engine
    from .start import StartRequest

Started = tuple[WorkflowId, RunId]

REUSE: Final = ("allow", "allow_failed_only", "reject", "use_existing")
"""What a start does whose id has a closed run: start another; start another unless it completed; refuse; give the closed run."""
CONFLICT: Final = ("fail", "use_existing", "terminate_existing")
"""What a start does whose id has an open run: refuse; give the open run; terminate it and start."""


class Standing(NamedTuple):
    """What a workflow id is to a start."""

    newest: Run | None
    """The newest run of the id, which the new one follows."""
    use: bool = False
    """Whether that run is given instead of a new one."""
    replaced: LiveRun | None = None
    """The open run that is terminated for the new one."""


FREE: Final = Standing(None)


def check_policies(reuse: str, conflict: str) -> None:
    """Raises InvalidOption for a word that is no policy."""
    for option, word, known in (("id_reuse", reuse, REUSE), ("id_conflict", conflict, CONFLICT)):
        if word not in known:
            raise InvalidOption(f"{option}={word!r} is none of {', '.join(map(repr, known))}")


def standing(engine: Engine, workflow_id: WorkflowId, workflow_type: str, reuse: str = "allow", conflict: str = "fail") -> Standing:
    """What follows for a start of this type under this id. Raises AlreadyStarted where the policies do not allow it."""
    live = engine.turn_now.planned.get(workflow_id) or engine.registry.get(workflow_id)
    newest: Run | None
    if live is not None:
        newest = live.current_row()
    elif engine.store.workflow_key(workflow_id) is None or (newest := engine.store.run(workflow_id)) is None:
        return FREE
    if newest.status.closed:
        if reuse == "allow" or (reuse == "allow_failed_only" and newest.status in REOPENED):
            return Standing(newest)
        if reuse == "use_existing" and newest.workflow_type == workflow_type:
            return Standing(newest, use=True)
    elif conflict == "use_existing" and newest.workflow_type == workflow_type:
        return Standing(newest, use=True)
    elif conflict == "terminate_existing":
        return Standing(newest, replaced=live or processes.adopt(engine, newest, NotResumed(workflow_id)))
    other = newest.workflow_type if newest.workflow_type != workflow_type else ""
    raise AlreadyStarted(workflow_id, newest.run_id, newest.status.value, other, reuse)


def terminate(engine: Engine, run: LiveRun, successor: RunId) -> None:
    """End an open run that another takes the id from."""
    engine.turn_now.record(run, e.WorkflowTerminated(f"replaced by run {successor}"))


def with_key(engine: Engine, request: StartRequest) -> Started | None:
    """The run that the request's idempotency key has started, in this turn or before; None when it has started none.

    Raises InvalidOption when that was another request.
    """
    key = request.idempotency_key
    assert key is not None
    keys = engine.turn_now.keys
    earlier = keys.get(key) if keys else None
    earlier = earlier or engine.store.by_idempotency_key(key)
    if earlier is None:
        return None
    named = None if request.minted else request.workflow_id
    if earlier.request != request.digest or (named is not None and named != earlier.workflow_id):
        raise InvalidOption(
            f"idempotency key {key!r} was used for another request ({earlier.workflow_id}); use a new key for a new request"
        )
    return earlier.workflow_id, earlier.run_id


def remember(engine: Engine, run: LiveRun) -> None:
    """Have the run's idempotency key known to the starts that follow in this turn."""
    turn, key = engine.turn_now, run.row.idempotency_key
    assert key is not None
    if turn.keys is None:
        turn.keys = {}
    turn.keys[key] = run.row


def without_key(run: LiveRun, started: e.WorkflowStarted) -> e.WorkflowStarted:
    """A start that is rolled back gives its key back, so that the request may come again."""
    run.row = replace(run.row, idempotency_key=None, request=None)
    return replace(started, idempotency_key=None)
