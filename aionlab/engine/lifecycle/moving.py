"""Moving a run to another version of its code: only to one that agrees with everything recorded."""
from __future__ import annotations

from typing import TYPE_CHECKING

from aionlab.core import events as e
from aionlab.core.errors import InvalidOption
from aionlab.replay import rebuild as replaying
from aionlab.replay.process import Process

from .. import processes
from ..addressing import open_run

if TYPE_CHECKING:
    from ..engine import Engine


def move(engine: Engine, workflow_id: str, run_id: str | None = None, version: str | None = None) -> tuple[str, str]:
    """Let an open run go on under `version` (the routed one when None), a stuck run too; (old, new).

    The run's history is replayed against the new code first. Raises NondeterminismError when the two disagree, WorkflowNotFound and
    NotRunnable when there is no such code here, InvalidOption when the run is there already; then nothing is written.
    """
    run, turn = open_run(engine, workflow_id, run_id), engine.turn_now
    code, old = engine.catalog.resolve(run.row.workflow_type, version), run.row.version
    if code.version == old:
        raise InvalidOption(f"{run.workflow_id} is on {old[:7]} already" + (": redefine the workflow, then move it" if run.stuck is not None else ""))
    history = engine.store.run_history(run.key) + (turn.pending(run) if run.key in turn.touched else [])
    if run.started is None:
        run.refold(history)
    started = run.started
    assert started is not None

    def make(trace: bool) -> Process:
        return Process(code, started, run.workflow_id, run.run_id, run.row.started_at, engine.ready, trace)  # type: ignore[abstract]  # as in processes

    replaying.rebuild(make, history).process.close()
    turn.record(run, e.VersionChanged(old, code.version))
    processes.drop(engine, run)
    run.stuck = None
    engine.bring_home(run)
    return old, code.version
