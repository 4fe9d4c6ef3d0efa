"""Processes of open runs: made, brought to where their history ends, and dropped.

A run is resident while it has a process. One whose code may not or cannot run here waits and says for what; one that cannot be brought
back is stuck and says why. Nothing here records, except what facts that waited ask for once they are delivered.
"""
from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from aionlab.core.errors import NondeterminismError, StoreError, WorkflowNotFound
from aionlab.core.events import Recorded
from aionlab.core.ports import Run
from aionlab.replay import rebuild as replaying
from aionlab.replay.process import Code, Process
from aionlab.replay.pythons import HERE, replays_here
from aionlab.replay.rebuild import Rebuilt

from . import activities, waiting
from .catalog import NotRunnable
from .run import UNREADABLE, LiveRun, Recorder

if TYPE_CHECKING:
    from .engine import Engine

log = logging.getLogger("aionlab.engine")


def new_process(engine: Engine, run: LiveRun, code: Code | None = None, trace: bool = False) -> Process:
    """An idle process of the run's pinned version."""
    assert run.started is not None
    if code is None:
        code = engine.catalog.resolve(run.row.workflow_type, run.row.version)
    return Process(  # type: ignore[abstract]  # a loop without sockets: asyncio declares their methods abstract, and raises in them
        code, run.started, run.workflow_id, run.run_id, run.row.started_at, engine.ready, trace
    )


def make_resident(engine: Engine, run: LiveRun, history: list[Recorded] | None = None) -> bool:
    """Rebuild the run's process from its history and deliver what waited; False when that is not possible now."""
    turn = engine.turn_now
    if history is None:
        history = engine.store.run_history(run.key) + turn.pending(run) if run.key in turn.touched else recall(engine, run)
        if history is None:
            return False
    run.waits_for = ""
    try:
        rebuilt = rebuild(engine, run, history)
    except NondeterminismError as error:
        run.stuck = error
        return False
    except (NotRunnable, WorkflowNotFound) as error:
        run.waits_for = error.why if isinstance(error, NotRunnable) else f"code of {run.row.workflow_type} ({run.row.version[:7]})"
        return False
    except StoreError:
        raise
    except Exception as error:  # whatever replaying one run raises, the others come up
        log.exception("%s cannot be replayed", run.workflow_id)
        run.stuck = error
        return False
    run.stuck = None
    run.process = rebuilt.process
    for warning in rebuilt.warnings:
        log.warning("%s event %d: the code asked for %s with other arguments than recorded", run.workflow_id, warning.seq, warning.recorded)
    run.deferred = rebuilt.waiting or None
    run.pid = engine.tree.next_pid()
    engine.tree.place(run, turn.now)
    if rebuilt.live:
        engine.turn_live(run, list(rebuilt.live))
    engine.flush(run)
    return True


def recall(engine: Engine, run: LiveRun) -> list[Recorded] | None:
    """Fold the run anew from the store, and its events; None when they cannot be read, and the run is stuck for it."""
    try:
        history = legible(engine, engine.store.run_history(run.key))
        run.refold(history)
    except UNREADABLE as error:
        run.unreadable(error)
        return None
    return history


def legible(engine: Engine, history: list[Recorded]) -> list[Recorded]:
    """The history, every payload of which can be read here. Raises PayloadSealed, naming the key that is missing."""
    sealing = getattr(engine.store, "sealing", None)
    if sealing is not None:
        sealing.check(history)
    return history


def rebuild(engine: Engine, run: LiveRun, history: list[Recorded]) -> Rebuilt:
    """A process of the run brought to where its history ends.

    Raises NotRunnable or WorkflowNotFound when its code may not or cannot run here, NondeterminismError when code and history disagree.
    """
    if run.started is not None and not replays_here(run.started.python):
        raise NotRunnable(f"Python {run.started.python}, under which it was recorded: asyncio orders requests differently in {HERE}")
    if engine.bar and run.key <= engine.found:
        raise NotRunnable(engine.bar)
    engine.catalog.resolve(run.row.workflow_type, run.row.version)
    return replaying.rebuild(lambda trace: new_process(engine, run, trace=trace), history)


def come_home(engine: Engine, run: LiveRun) -> None:
    """Make a run resident that is to be; in the next turn where this one has recorded something for it already."""
    if run.closed or run.process is not None:
        return
    if run.key in engine.turn_now.touched:
        engine.homeless.append(run)
        return
    revive(engine, run, recall(engine, run))


def revive(engine: Engine, run: LiveRun, history: list[Recorded] | None) -> None:
    """Everything an open run has going: its timers, the attempts that should be running, and its process where it can have one."""
    engine.timers.arm_all(run)
    if history is not None and run.stuck is None:
        run.waits_for = _barred(engine, run)
        activities.resume(engine, run)
        make_resident(engine, run, history)
        post(engine, run)


def post(engine: Engine, run: LiveRun) -> None:
    """Send again, in the next turn, what the run has sent and nobody acknowledged."""
    if run.mail is not None and run.mail.sends:
        engine.posts.extend((run, sent) for sent in run.mail.sends.values())


def _barred(engine: Engine, run: LiveRun) -> str:
    """What the run waits for before anything of it may go on here, its activities included; empty when nothing is in its way."""
    if engine.bar and run.key <= engine.found:
        return engine.bar
    try:
        engine.catalog.resolve(run.row.workflow_type, run.row.version)
    except NotRunnable as error:
        return error.why
    except WorkflowNotFound:
        return f"code of {run.row.workflow_type} ({run.row.version[:7]})"
    except StoreError:
        raise
    except Exception:  # loading stored code runs the user's own statements
        log.debug("code of %s cannot be loaded; bringing the run to memory will say why", run.workflow_id, exc_info=True)
    return ""


def adopt(engine: Engine, row: Run, why: BaseException) -> LiveRun:
    """An open run that is not in memory, in memory but stuck: what is sent to it is recorded and waits."""
    run = LiveRun(row, Recorder(row.workflow_id, row.workflow_key, engine.store.head(row.workflow_id)))
    if recall(engine, run) is not None:
        run.stuck = why
    engine.registry.insert(run)
    return run


def retire(engine: Engine, run: LiveRun) -> None:
    """A closed run leaves memory once its waiters are served."""
    drop(engine, run)
    engine.registry.remove(run)
    waiting.over(engine, run)
    for number in run.left:
        key = (run.key, number)
        engine.starved.pop(key, None)
        if engine.in_flight.pop(key, None) is not None:
            engine.executor.cancel(*key)


def suspend(engine: Engine, run: LiveRun) -> None:
    """Drop the run's process; what comes next for it brings it back by replay."""
    drop(engine, run)
    run.pid = 0


def drop(engine: Engine, run: LiveRun) -> None:
    """Close the run's process, if it has one, and take it out of the tree."""
    if run.process is not None:
        run.process.close()
        run.process = None
    engine.tree.remove(run)
