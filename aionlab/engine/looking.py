"""Looking: results, queries, histories and snapshots. Nothing here records."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aionlab.core import events as e
from aionlab.core.errors import NondeterminismError, QueryFailed, WorkflowNotFound
from aionlab.core.events import Recorded
from aionlab.core.names import check_name
from aionlab.core.ports import Run
from aionlab.core.snapshots import Entry, Node, Progress
from aionlab.core.status import Status
from aionlab.replay.process import Process

from . import processes
from .addressing import any_run, open_run
from .call import Call
from .catalog import NotRunnable
from .run import LiveRun

if TYPE_CHECKING:
    from .engine import Engine

Outcome = tuple[str, str, e.Event]
"""(workflow id, run id, terminal event)."""


def result(engine: Engine, workflow_id: str, run_id: str | None = None) -> Outcome | object:
    """The terminal event of the run, as soon as there is one. Raises RunNotFound."""
    row = any_run(engine, workflow_id, run_id)
    run = engine.find(row.workflow_id, row.run_id)
    if run is None and not row.status.closed:
        run = open_run(engine, workflow_id, run_id)
    if run is not None and run.outcome is not None:
        return row.workflow_id, row.run_id, run.outcome
    if run is None:
        ended = next(r.event for r in reversed(engine.store.run_history(row.key)) if type(r.event) in e.TERMINAL)
        return row.workflow_id, row.run_id, ended
    assert engine.call is not None
    if run.waiters is None:
        run.waiters = []
    run.waiters.append(engine.call)
    return Call.LATER


def unwait(engine: Engine, call: Call) -> None:
    """Forget a caller that no longer waits."""
    for run in engine.registry:
        if run.waiters and call in run.waiters:
            run.waiters.remove(call)
    if call in engine.settlers:
        engine.settlers.remove(call)


def settle(engine: Engine) -> object:
    """Answered once nothing moves: no message, no running attempt, no run on its way, no timer due (with auto-skip, none at all)."""
    assert engine.call is not None
    engine.settlers.append(engine.call)
    return Call.LATER


def query(engine: Engine, workflow_id: str, name: str, payload: e.Payload, run_id: str | None = None) -> e.Payload | object:
    """Ask a run's handler; a closed run is replayed for it. Raises RunNotFound, QueryFailed."""
    name = check_name("query name", name)
    row = any_run(engine, workflow_id, run_id)
    run = engine.find(row.workflow_id, row.run_id)
    if run is not None and not run.closed:
        if run.process is None and not run.stuck:
            processes.make_resident(engine, run)
        if run.process is not None:
            return _ask(engine, run, run.process, name, payload)
        if not (run.stuck or run.waits_for):
            return engine.put_off()
        raise QueryFailed(workflow_id, name, f"the run is not in memory: {run.stuck or run.waits_for}")
    if run is not None:
        return engine.put_off()
    history = engine.store.run_history(row.key)
    scratch = LiveRun(row, engine_recorder(row))
    scratch.refold(history)
    try:
        rebuilt = processes.rebuild(engine, scratch, history)
    except (NotRunnable, WorkflowNotFound, NondeterminismError) as error:
        raise QueryFailed(workflow_id, name, f"the run is {row.status.value} and cannot be replayed: {error}") from error
    try:
        return rebuilt.process.query(name, payload)
    finally:
        rebuilt.process.close()


def _ask(engine: Engine, run: LiveRun, process: Process, name: str, payload: e.Payload) -> e.Payload:
    """Query a run in memory. One whose handler tried to act is rebuilt from its history, so that nothing of the attempt is left."""
    try:
        return process.query(name, payload)
    finally:
        if process.meddled:
            processes.suspend(engine, run)


def engine_recorder(row: Run) -> Any:
    from .run import Recorder

    return Recorder(row.workflow_id, row.workflow_key, 0)


def history(engine: Engine, workflow_id: str, run_id: str | None = None) -> tuple[Run, list[Recorded]]:
    """The run's row and events; of all runs of the id when no run is named. Raises RunNotFound."""
    row = any_run(engine, workflow_id, run_id)
    events = engine.store.run_history(row.key) if run_id is not None else engine.store.read(row.workflow_id)
    return row, events


def run_row(engine: Engine, workflow_id: str, run_id: str | None = None) -> Run:
    return any_run(engine, workflow_id, run_id)


def runs(engine: Engine, **conditions: Any) -> list[Run]:
    return engine.store.runs(**conditions)


def entry(engine: Engine, workflow_id: str, run_id: str | None = None) -> Entry | None:
    """The registry's entry of an open run; None for a closed one."""
    run = engine.find(workflow_id, run_id)
    return None if run is None else _entry(engine, run)


def registry(engine: Engine) -> list[Entry]:
    return [_entry(engine, run) for run in engine.registry]


def _entry(engine: Engine, run: LiveRun) -> Entry:
    assert run.status is not None
    deferred = sum(1 for waiting in run.deferred or () if isinstance(waiting.event, e.SignalReceived))
    return Entry(
        run.workflow_id, run.run_id, run.row.workflow_type, run.row.version, run.pid or None, run.status, _residency(run), waits_for(engine, run),
        (run.process.mailbox if run.process else 0) + deferred, run.recorder.head, run.row.started_at,
    )  # fmt: skip


def _residency(run: LiveRun) -> str:
    if run.process is not None:
        return "Resident"
    if run.stuck is not None:
        return "Stuck"
    return "Waiting" if run.waits_for else "Suspended"


def waits_for(engine: Engine, run: LiveRun) -> str:
    """What the run waits for, in words, with the source line where there is one."""
    if run.stuck is not None:
        return str(run.stuck)
    if run.waits_for:
        return run.waits_for
    names = sorted({name for number in run.activities or () for name in engine.starved.get((run.key, number), ())})
    if names:
        plain = [f"`{name}`" if name.isidentifier() else name for name in names]
        cell = "the cell that makes it" if len(names) == 1 else "the cells that make them"
        return ", ".join(plain) + (f": run {cell}" if all(name.isidentifier() for name in names) else "")
    if run.process is None:
        return "whatever comes next for it"
    blocked = run.process.blocked()
    if not blocked:
        return ""
    first = next((b for b in blocked if b.what not in ("its own tasks", "its turn")), blocked[0])
    return first.what + (f" ({first.source.split(', in ')[0]})" if first.source else "")


def tree(engine: Engine) -> Node:
    """The supervision tree as it stands; runs that are stuck hang where their processes would: under their type's supervisor (none
    does while it is down), or under the root where there is none."""
    now = engine.clock.now()
    supervisors: list[Node] = []
    stuck: dict[str, list[LiveRun]] = {}
    for run in engine.registry:
        if run.stuck is not None and run.process is None:
            stuck.setdefault(run.row.workflow_type, []).append(run)
    for supervisor in engine.tree.supervisors.values():
        held = stuck.pop(supervisor.name, [])
        placed = [*supervisor.children.values(), *([] if supervisor.down else held)]
        children = tuple(_workflow_node(engine, run) for run in placed)
        supervisors.append(
            Node(
                supervisor.pid, "supervisor", supervisor.name, "Down" if supervisor.down else "Running", supervisor.count.recent(now),
                supervisor.count.limit.intensity, supervisor.started_at, "", children, supervisor.count.limit.period,
            )
        )  # fmt: skip
    supervisors += [_workflow_node(engine, run) for runs in stuck.values() for run in runs]
    root = engine.tree.root
    return Node(
        engine.tree.pid, "root", "lab", "Halted" if engine.halted else "Running", root.recent(now), root.limit.intensity, engine.tree.started_at,
        engine.halted, tuple(supervisors), root.limit.period,
    )  # fmt: skip


def _workflow_node(engine: Engine, run: LiveRun) -> Node:
    activities = tuple(
        Node(
            opened.pid, "activity", f"{opened.scheduled.activity_type}#{number}",
            "Waiting for retry" if opened.next_attempt_at is not None else "Running", max(0, opened.attempt - 1),
            max(0, opened.scheduled.options.retry.max_attempts - 1), run.row.started_at, f"attempt {opened.attempt}",
        )
        for number, opened in (run.activities or {}).items()
    )  # fmt: skip
    state = "Stuck" if run.stuck else str(run.status)
    return Node(run.pid, "workflow", run.workflow_id, state, 0, 0, run.row.started_at, waits_for(engine, run), activities)


def progress(engine: Engine) -> Progress:
    """Where the lab as a whole stands."""
    open_runs = list(engine.registry)
    starved = {key for key, _ in engine.starved}
    counts = engine.store.count("status")
    open_names = {Status.RUNNING.value, Status.PAUSED.value}
    elsewhere = engine.store.readonly or engine.fenced
    running, paused = (sum(run.status is status for run in open_runs) for status in (Status.RUNNING, Status.PAUSED))
    if elsewhere:  # the runs are somebody else's
        running, paused = counts.get(Status.RUNNING.value, 0), counts.get(Status.PAUSED.value, 0)
    return Progress(
        engine.clock.now(), "this kernel", elsewhere, running, paused, sum(n for name, n in counts.items() if name not in open_names),
        sum(run.stuck is not None for run in open_runs), sum(bool(run.waits_for) or run.key in starved for run in open_runs), engine.turns, engine.commits, engine.events,
        engine.timers.next_due(), engine.halted or engine.trouble,
    )  # fmt: skip


def names(engine: Engine, workflow_id: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(signal names, query names) the run's code has spoken of so far."""
    run = engine.find(workflow_id)
    if run is None or run.process is None:
        return (), ()
    return run.process.signal_names, run.process.query_names


def stack(engine: Engine, workflow_id: str, run_id: str | None = None) -> list[tuple[str, str]]:
    """(what it waits for, source line) of every blocked coroutine; empty when the run is not in memory."""
    run = engine.find(workflow_id, run_id)
    if run is None or run.process is None:
        return []
    return [(blocked.what, blocked.source) for blocked in run.process.blocked()]
