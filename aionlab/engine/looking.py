"""Looking: results, queries, histories and snapshots. Nothing here records."""
from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from aionlab.core import events as e
from aionlab.core.clock import Micros
from aionlab.core.durations import spell
from aionlab.core.errors import NondeterminismError, PayloadSealed, QueryFailed, RunClosed, WorkflowNotFound
from aionlab.core.events import Recorded
from aionlab.core.filters import EVERY, NEWEST, STATUS, Condition, Field, Query
from aionlab.core.names import check_name
from aionlab.core.ports import Run
from aionlab.core.running import HandlerInfo
from aionlab.core.snapshots import Entry, Node, Progress
from aionlab.core.status import Status
from aionlab.replay.process import Process

from . import processes, waiting
from .addressing import any_run, newest, open_run
from .call import Call
from .catalog import NotRunnable
from .run import LiveRun, OpenActivity, OpenChild
from .supervision import Branch, Restarting

if TYPE_CHECKING:
    from .engine import Engine

Outcome = tuple[str, str, e.Event]
"""(workflow id, run id, terminal event)."""

MODERATE = 2_000
"""Events of a closed run that is replayed just to be looked at."""


def result(engine: Engine, workflow_id: str, run_id: str | None = None, follow: bool = False) -> Outcome | object:
    """The terminal event of the run, as soon as there is one; with `follow` that of the last run it goes on as. Raises RunNotFound."""
    row = any_run(engine, workflow_id, newest(engine, workflow_id, run_id) if follow and run_id is not None else run_id)
    run = engine.find(row.workflow_id, row.run_id)
    if run is None and not row.status.closed:
        run = open_run(engine, workflow_id, run_id)
    if run is not None and run.outcome is not None:
        return row.workflow_id, row.run_id, run.outcome
    if run is None:
        ended = next(r.event for r in reversed(engine.store.run_history(row.key)) if type(r.event) in e.TERMINAL)
        return row.workflow_id, row.run_id, ended
    assert engine.call is not None
    engine.call.arguments = (row.workflow_id, row.run_id, follow)
    waiting.wait_for_end(run, engine.call)
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


def query(
    engine: Engine, workflow_id: str, name: str, payload: e.Payload, run_id: str | None = None, reject_if_closed: bool = False
) -> e.Payload | object:
    """Ask a run's handler; a closed run is replayed for it, unless `reject_if_closed`. Raises RunNotFound, QueryFailed, RunClosed."""
    name = check_name("query name", name)
    row = any_run(engine, workflow_id, run_id)
    if reject_if_closed and row.status.closed:
        raise RunClosed(row.workflow_id, row.run_id, row.status.value)
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
    try:
        process = _as_it_ended(engine, row, engine.store.run_history(row.key))
    except (NotRunnable, WorkflowNotFound, NondeterminismError) as error:
        raise QueryFailed(workflow_id, name, f"the run is {row.status.value} and cannot be replayed: {error}") from error
    try:
        return process.query(name, payload)
    finally:
        process.close()


def details(engine: Engine, workflow_id: str, run_id: str | None = None) -> str:
    """What the run's code says of itself (`workflow.set_details`). A closed run of a moderate history is replayed for it."""
    row = any_run(engine, workflow_id, run_id)
    run = engine.find(row.workflow_id, row.run_id)
    if run is not None:
        return run.process.details if run.process is not None else ""
    history = engine.store.run_history(row.key)
    if not row.status.closed or len(history) > MODERATE:
        return ""
    try:
        process = _as_it_ended(engine, row, history)
    except (NotRunnable, WorkflowNotFound, NondeterminismError, PayloadSealed):
        return ""
    process.close()
    return process.details


def _as_it_ended(engine: Engine, row: Run, history: list[Recorded]) -> Process:
    """The process of a closed run, brought by replay to where it ended; the caller closes it. Raises as `processes.rebuild`."""
    history = processes.legible(engine, history)
    scratch = LiveRun(row, engine_recorder(row))
    scratch.refold(history)
    return processes.rebuild(engine, scratch, history).process


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


def runs(engine: Engine, query: Query = NEWEST, after: Run | None = None) -> list[Run]:
    """A page of the runs the query asks for, behind `after` where it is given."""
    return engine.store.runs(query, after)


def schema(engine: Engine) -> tuple[dict[str, str], Micros]:
    """What filters are read with: the types of the search attributes, and what time it is."""
    types = engine.store.attribute_types() if engine.store.readonly else engine.attribute_types
    return dict(types), engine.clock.now()


def count(engine: Engine, condition: Condition = EVERY, group: Field | None = None) -> dict[Any, int]:
    return engine.store.count(condition, group)


def events(engine: Engine, keys: Iterable[int]) -> list[list[Recorded]]:
    """The histories of the runs with these keys, in the order given."""
    return [engine.store.run_history(key) for key in keys]


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
        return "Restarting" if isinstance(run.stuck, Restarting) else "Stuck"
    return "Waiting" if run.waits_for else "Suspended"


def waits_for(engine: Engine, run: LiveRun) -> str:
    """What the run waits for, in words, with the source line where there is one."""
    if isinstance(run.stuck, Restarting):
        return f"its restart in {spell(run.stuck.due - engine.clock.now())}: the backoff of its supervisor"
    if run.stuck is not None:
        return str(run.stuck)
    if run.waits_for:
        return run.waits_for
    names = sorted({name for number in run.activities or () for name in engine.starved.get((run.key, number), ())})
    if names:
        plain = [f"`{name}`" if name.isidentifier() else name for name in names]
        cell = "the cell that makes it" if len(names) == 1 else "the cells that make them"
        return ", ".join(plain) + (f": run {cell}" if all(name.isidentifier() for name in names) else "")
    lost = [f"{opened.scheduled.activity_type}#{number}" for number, opened in (run.activities or {}).items() if _interrupted(engine, run, number, opened)]
    if lost:
        return f"{', '.join(lost)}: interrupted; pause and resume the run, or open the lab again, for another attempt"
    if run.process is None:
        return "whatever comes next for it"
    blocked = run.process.blocked()
    if not blocked:
        return ""
    first = next((b for b in blocked if b.what not in ("its own tasks", "its turn")), blocked[0])
    return first.what + (f" ({first.source.split(', in ')[0]})" if first.source else "")


def tree(engine: Engine) -> Node:
    """The supervision tree as it stands; runs that are stuck, or wait for their restart, hang where their processes would: under their
    type's supervisor, or under the root where there is none."""
    stuck: dict[str, list[LiveRun]] = {}
    for run in engine.registry:
        if run.stuck is not None and run.process is None:
            stuck.setdefault(run.row.workflow_type, []).append(run)
    node = _supervisor_node(engine, engine.tree.root, stuck)
    homeless = tuple(_workflow_node(engine, run) for runs in stuck.values() for run in runs)
    state, detail = ("Halted", engine.halted) if engine.halted else ("Running", node.detail)
    return node._replace(kind="root", name="lab", state=state, detail=detail, children=node.children + homeless, restart="")


def _supervisor_node(engine: Engine, branch: Branch, stuck: dict[str, list[LiveRun]]) -> Node:
    """A supervisor and what is under it; takes its own out of `stuck`."""
    spec = branch.spec
    if branch.branches is None:
        runs = sorted([*branch.children.values(), *stuck.pop(branch.name, [])], key=lambda run: run.key)
        children = tuple(_workflow_node(engine, run) for run in runs)
    else:
        children = tuple(_supervisor_node(engine, child, stuck) for child in branch.branches)
    return Node(
        branch.pid, "supervisor", branch.name, "Down" if branch.down else "Running", branch.count.recent(engine.clock.now()), spec.intensity,
        branch.started_at, spec.unusual, children, spec.period, str(spec.strategy), str(spec.restart),
    )  # fmt: skip


def _workflow_node(engine: Engine, run: LiveRun) -> Node:
    activities = tuple(
        Node(
            opened.pid, "activity", f"{opened.scheduled.activity_type}#{number}",
            _activity_state(engine, run, number, opened), max(0, opened.attempt - 1),
            max(0, opened.scheduled.options.retry.max_attempts - 1), run.row.started_at,
            f"attempt {opened.attempt}" if opened.attempt else f"in queue {opened.scheduled.options.queue}",
        )
        for number, opened in (run.activities or {}).items()
    )  # fmt: skip
    activities += tuple(_child_node(engine, opened) for opened in (run.children or {}).values())
    state = str(run.status) if run.stuck is None else "Restarting" if isinstance(run.stuck, Restarting) else "Stuck"
    return Node(run.pid, "workflow", run.workflow_id, state, 0, 0, run.row.started_at, waits_for(engine, run), activities)


def _interrupted(engine: Engine, run: LiveRun, number: int, opened: OpenActivity) -> bool:
    """Whether an attempt that stands as begun runs nowhere, and nothing is about to change that."""
    return (
        opened.begun and (run.key, number) not in engine.in_flight and (run.key, number) not in engine.starved and not engine.outbox
        and run.status is Status.RUNNING and not run.waits_for and opened.scheduled.options.queue not in engine.queues.limited
    )  # fmt: skip


def _activity_state(engine: Engine, run: LiveRun, number: int, opened: OpenActivity) -> str:
    if opened.next_attempt_at is not None and opened.next_attempt_at > engine.clock.now():
        return "Waiting for retry"
    if not opened.begun:
        return "Scheduled"
    if (run.key, number) in engine.starved or _interrupted(engine, run, number, opened):
        return "Waiting"
    return "Running"


def _child_node(engine: Engine, opened: OpenChild) -> Node:
    """A link to a child; its own node is under its type's supervisor."""
    child = engine.find(opened.started.child_workflow_id)
    if child is None:
        return Node(0, "child", opened.started.child_workflow_id, "Unknown", 0, 0, engine.clock.now())
    return Node(child.pid, "child", child.workflow_id, str(child.status), 0, 0, child.row.started_at, f"a {child.row.workflow_type}, child#{opened.started.child_id}")


def progress(engine: Engine) -> Progress:
    """Where the lab as a whole stands."""
    open_runs = list(engine.registry)
    starved = {key for key, _ in engine.starved}
    counts = engine.store.count(group_by=STATUS)
    open_names = {Status.RUNNING.value, Status.PAUSED.value}
    elsewhere = engine.store.readonly or engine.fenced
    running, paused = (sum(run.status is status for run in open_runs) for status in (Status.RUNNING, Status.PAUSED))
    if elsewhere:  # the runs are somebody else's
        running, paused = counts.get(Status.RUNNING.value, 0), counts.get(Status.PAUSED.value, 0)
    return Progress(
        engine.clock.now(), "this kernel", elsewhere, running, paused, sum(n for name, n in counts.items() if name not in open_names),
        sum(run.stuck is not None and not isinstance(run.stuck, Restarting) for run in open_runs), sum(bool(run.waits_for) or run.key in starved for run in open_runs), engine.turns, engine.commits, engine.events,
        engine.next_due(), engine.halted or engine.trouble,
    )  # fmt: skip


def names(engine: Engine, workflow_id: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(signal names, query names) the run's code has spoken of so far."""
    run = engine.find(workflow_id)
    if run is None or run.process is None:
        return (), ()
    told = run.process.handlers
    return tuple(h.name for h in told if h.kind == "signal"), tuple(h.name for h in told if h.kind == "query")


def handlers(engine: Engine, workflow_id: str, run_id: str | None = None) -> tuple[HandlerInfo, ...]:
    """The handlers an open run in memory has set, and the signals it has received without one."""
    run = engine.find(workflow_id, run_id)
    return () if run is None or run.process is None else tuple(run.process.handlers)


def stack(engine: Engine, workflow_id: str, run_id: str | None = None) -> list[tuple[str, str]]:
    """(what it waits for, source line) of every blocked coroutine; empty when the run is not in memory."""
    run = engine.find(workflow_id, run_id)
    if run is None or run.process is None:
        return []
    return [(blocked.what, blocked.source) for blocked in run.process.blocked()]
