"""What the engine does when a process is lost: ask the tree what follows, and stop, restart by replay, or give up, in the order it says.

A *crash* is the loss of a process that is not its code's own recorded result. A process is stopped by closing its coroutines; it is
started again by replay. Declarations of supervisors are kept in the database, because the runs they are for come back before any cell
has run; counts and what was given up are this kernel's, because the processes they speak of are.
"""
from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from aionlab.core import events as e
from aionlab.core.clock import Micros
from aionlab.core.errors import AionError, InvalidOption, ProcessNotFound
from aionlab.core.failure import Failure
from aionlab.core.ports import EventStore, Finished
from aionlab.core.snapshots import Decision
from aionlab.core.status import Status
from aionlab.core.supervisors import GiveUp, Supervisor

from . import children, processes
from .catalog import NotRunnable
from .lifecycle import start as starting
from .run import LiveRun
from .supervision import Branch, Do, GaveUp, Plan, Restarting, process_lost, run_ended, supervisor_lost
from .supervision.words import words

if TYPE_CHECKING:
    from .engine import Engine

log = logging.getLogger("aionlab.engine")
_META = "supervision"
_FOLLOWED = (Status.COMPLETED, Status.FAILED, Status.TIMED_OUT)


# --- losses ------------------------------------------------------------------------------------------------------------


def crash(engine: Engine, run: LiveRun, why: str) -> str:
    """A process is lost. What was decided, in words."""
    pid = run.pid
    assert not run.closed, "a run that ended is not restarted"
    plan = process_lost(engine.tree, run, why, engine.turn_now.now)
    _stop(engine, run)
    return f"pid {pid} gone ({why}); " + carry_out(engine, plan)


def kill(engine: Engine, pid: int) -> str:
    """Kill the process or the supervisor with this pid and say what comes of it.

    Raises ProcessNotFound for an unknown pid, InvalidOption for the root's.
    """
    if pid == engine.tree.pid:
        raise InvalidOption("pid 1 is the engine itself; lab.close() ends it")
    found = engine.tree.by_pid(pid)
    if isinstance(found, LiveRun):
        if found.closed:  # in this turn; its process goes with the commit
            raise ProcessNotFound(pid)
        return crash(engine, found, "killed")
    if isinstance(found, Branch):
        return f"pid {pid} gone (killed); " + carry_out(engine, supervisor_lost(engine.tree, found, "killed", engine.turn_now.now))
    for run in engine.registry:
        for number, opened in (run.activities or {}).items():
            if opened.pid == pid and (run.key, number) in engine.in_flight:
                failure = Failure("Killed", f"attempt {opened.attempt} was killed", ("Killed",))
                engine.submit(Finished(run.key, number, opened.attempt, None, failure))
                engine.turn_now.after_commit(engine.executor.cancel, run.key, number)
                return f"pid {pid} gone (killed); attempt {opened.attempt} of {opened.scheduled.activity_type}#{number} has failed"
    raise ProcessNotFound(pid)


def follow(engine: Engine) -> None:
    """Runs that ended in this turn, and are permanent, are followed by new ones; the end and the start are one commit."""
    turn, done = engine.turn_now, 0
    while done < len(turn.closed):
        run = turn.closed[done]
        done += 1
        if run.row.workflow_type in engine.tree.permanent and run.status in _FOLLOWED and not _crashed(run):
            carry_out(engine, run_ended(engine.tree, run, turn.now))
            if turn.affairs:
                children.see_to(engine)


def _crashed(run: LiveRun) -> bool:
    return isinstance(run.outcome, e.WorkflowFailed) and run.outcome.kind != "error"


# --- what follows -------------------------------------------------------------------------------------------------------


def carry_out(engine: Engine, plan: Plan) -> str:
    """Do what was decided, in order; what it was last, in words."""
    given_up = []
    for do, run, branch, at in plan.steps:
        if do is Do.STOP:
            _stop(engine, run, branch)
        elif do is Do.GIVE_UP:
            given_up.append((run, branch))
        elif run.closed:
            _succeed(engine, run)
        elif at > plan.now:
            run.stuck = mark = Restarting(at)
            branch.waiting[run.key] = (run, mark)
            engine.timers.arm_restart(run, at)
        else:
            run.stuck = None
            engine.bring_home(run)
    down = {branch.name: branch for top in plan.down for branch in top.walk() if branch.branches is None}
    if down:  # also runs that were out of memory, or the next signal would bring them back to nobody
        known = {run.key for run, _ in given_up}
        given_up += [
            (run, down[run.row.workflow_type]) for run in engine.registry
            if run.row.workflow_type in down and run.process is None and run.stuck is None and not run.closed and run.key not in known
        ]  # fmt: skip
    for run, branch in given_up:
        _give_up(engine, run, branch, plan.decisions[-1])
    how = given_up[0][1].give_up if given_up else GiveUp.STUCK
    *above, last = plan.decisions
    told = [decision._replace(text=words(decision, how)) for decision in above]
    last = last._replace(given_up=len(given_up))
    told.append(last._replace(text=words(last, how)))
    engine.tree.decisions.extend(told)
    for decision in told:
        log.log(logging.INFO if decision.cause == "ended" else logging.WARNING, "%s (%s): %s", decision.child, decision.cause, decision.text)
    return told[-1].text


def _stop(engine: Engine, run: LiveRun, branch: Branch | None = None) -> None:
    """Close the process, or forget the restart it waits for. Code that refuses to end is left behind when its time is over."""
    if isinstance(run.stuck, Restarting):
        run.stuck = None
    if run.process is not None and branch is not None:
        clock, last = engine.clock, engine.clock.now() + branch.spec.shutdown
        run.process.close(lambda: clock.now() >= last)
    processes.suspend(engine, run)


def _give_up(engine: Engine, run: LiveRun, branch: Branch, last: Decision) -> None:
    _stop(engine, run)
    why = f"too many crashes of {branch.name}" if last.verdict == "gave up" else f"{last.child} was lost ({last.cause}) and is temporary"
    if branch.give_up is GiveUp.FAIL:
        run.stuck = None
        failure = Failure("SupervisionGaveUp", f"{why}; its process was not started again", ("SupervisionGaveUp",))
        engine.turn_now.record(run, e.WorkflowFailed(failure, "crashed"))
        return
    run.stuck = GaveUp(f"{why}; it stays down until it is resumed, {branch.name} is declared anew, or the lab is opened again")


def _succeed(engine: Engine, run: LiveRun) -> None:
    """Start the run that follows a permanent one."""
    started = run.started
    assert started is not None
    deadline = None if started.deadline is None else Micros(started.deadline - run.row.started_at)
    request = starting.StartRequest(
        run.row.workflow_type, started.input, None, run.workflow_id, None, run.attributes or None, started.memo, deadline, python=started.python
    )
    try:
        starting.start(engine, request)
    except (AionError, NotRunnable) as error:  # the end of the run stands; that nothing follows it is said, and concerns nobody else
        log.error("%s is permanent and is not followed by another run: %s", run.workflow_id, error)


# --- declarations -------------------------------------------------------------------------------------------------------


def declared(store: EventStore) -> list[Supervisor]:
    """The supervisors declared in this database. What cannot be read is passed over, and said in the log: runs come back without."""
    found = []
    try:
        documents = json.loads(store.meta(_META) or "[]")
        for document in documents:
            found.append(Supervisor.of_document(document))
    except (AionError, ValueError, TypeError, LookupError, AttributeError) as error:
        log.error("declared supervisors cannot be read, and those that cannot are not in force: %s", error)
    return found


def declare(engine: Engine, spec: Supervisor) -> int:
    """Put a supervisor in force, and keep it with the database. Processes go on under it, counts begin anew, and runs of its types that were
    given up come back; how many there were. Raises InvalidOption where a name in it stands in another declaration."""
    tree = engine.tree
    tree.check(spec)
    others = [other for other in tree.declared() if other.name != spec.name]
    _keep(engine, [*others, spec] if spec != Supervisor(spec.name or None) else others)
    branch = tree.declare(spec, engine.turn_now.now)
    types = {each.name for each in branch.walk() if each.branches is None}
    back = [run for run in engine.registry if isinstance(run.stuck, GaveUp) and run.row.workflow_type in types]
    for run in back:
        run.stuck = None
        engine.bring_home(run)
    return len(back)


def undeclare(engine: Engine, name: str) -> None:
    """Take a declaration back ("" for the root's); its types are supervised as all others. Raises InvalidOption when there is none."""
    others = [spec for spec in engine.tree.declared() if spec.name != name]
    if len(others) == len(engine.tree.declared()):
        known = ", ".join(repr(spec.name) for spec in others if spec.name)
        raise InvalidOption(f"no supervisor {name!r} is declared" + (f"; there are {known}" if known else ""))
    _keep(engine, others)
    engine.tree.undeclare(name, engine.turn_now.now)


def _keep(engine: Engine, specs: list[Supervisor]) -> None:
    engine.store.set_meta(_META, json.dumps([spec.document() for spec in specs]))


# --- looking ------------------------------------------------------------------------------------------------------------


def decisions(engine: Engine) -> list[Decision]:
    """What supervisors have decided since the lab was opened, oldest first; the last ten thousand."""
    return list(engine.tree.decisions)


def supervisors(engine: Engine) -> list[Supervisor]:
    """The declarations in force."""
    return engine.tree.declared()


__all__ = ["GaveUp", "crash", "decisions", "declare", "declared", "follow", "kill", "supervisors", "undeclare"]
