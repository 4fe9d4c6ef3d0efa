"""What the engine does when a process is lost: ask the tree, and restart by replay, restart the type, or give up."""
from __future__ import annotations

from typing import TYPE_CHECKING

from aionlab.core.errors import InvalidOption, ProcessNotFound
from aionlab.core.failure import Failure
from aionlab.core.ports import Finished

from . import processes
from .run import LiveRun
from .supervision import Decision, Supervisor

if TYPE_CHECKING:
    from .engine import Engine


class GaveUp(Exception):
    """The supervisors of a run gave up restarting its process."""


def crash(engine: Engine, run: LiveRun, why: str) -> str:
    """A process is lost. What was decided, in words."""
    now, workflow_type = engine.turn_now.now, run.row.workflow_type
    pid = run.pid
    processes.suspend(engine, run)
    decision = engine.tree.crashed(workflow_type, now)
    return f"pid {pid} gone ({why}); " + _carry_out(engine, decision, run, workflow_type)


def _carry_out(engine: Engine, decision: Decision, run: LiveRun | None, workflow_type: str) -> str:
    supervisor = engine.tree.supervisors[workflow_type]
    now = engine.turn_now.now
    if decision is Decision.RESTART:
        assert run is not None
        engine.bring_home(run)
        limit = supervisor.count.limit
        return f"{run.workflow_id} comes back by replay ({supervisor.count.recent(now)} of {limit.intensity} in {limit.period // 1_000_000} s)"
    lost = [run] if run is not None else []
    lost += [child for child in list(supervisor.children.values()) if child is not run]
    for child in lost:
        processes.suspend(engine, child)
    if decision is Decision.RESTART_TYPE:
        for child in lost:
            engine.bring_home(child)
        limit = engine.tree.root.limit
        return (
            f"supervisor {workflow_type} was over its limit and is restarted with its {len(lost)} runs "
            f"({engine.tree.root.recent(now)} of {limit.intensity} in {limit.period // 1_000_000} s at the root)"
        )
    for child in lost:
        child.stuck = GaveUp(f"too many crashes of {workflow_type}; its runs stay down until the lab is opened again")
    return f"the root gave up on {workflow_type}: its {len(lost)} runs stay down until the lab is opened again"


def kill(engine: Engine, pid: int) -> str:
    """Kill the process with this pid and say what comes of it.

    Raises ProcessNotFound for an unknown pid, InvalidOption for the root's.
    """
    if pid == engine.tree.pid:
        raise InvalidOption("pid 1 is the engine itself; lab.close() ends it")
    found = engine.tree.by_pid(pid)
    if isinstance(found, LiveRun):
        return crash(engine, found, "killed")
    if isinstance(found, Supervisor):
        decision = engine.tree.supervisor_crashed(found.name, engine.turn_now.now)
        return f"pid {pid} gone (killed); " + _carry_out(engine, decision, None, found.name)
    for run in engine.registry:
        for number, opened in (run.activities or {}).items():
            if opened.pid == pid and (run.key, number) in engine.in_flight:
                failure = Failure("Killed", f"attempt {opened.attempt} was killed", ("Killed",))
                engine.submit(Finished(run.key, number, opened.attempt, None, failure))
                engine.turn_now.after_commit(engine.executor.cancel, run.key, number)
                return f"pid {pid} gone (killed); attempt {opened.attempt} of {opened.scheduled.activity_type}#{number} has failed"
    raise ProcessNotFound(pid)


__all__ = ["GaveUp", "crash", "kill"]
