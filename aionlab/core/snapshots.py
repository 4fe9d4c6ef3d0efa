"""What the engine shows of itself: frozen pictures, taken between turns, that views draw."""
from __future__ import annotations

from typing import NamedTuple

from .clock import Micros
from .events import Payload, Plan, ScheduleTriggered
from .ids import RunId, WorkflowId
from .status import Status


class Node(NamedTuple):
    """One node of the supervision tree."""

    pid: int
    """0 for a run that is stuck: it has no process."""
    kind: str
    """"root", "supervisor", "workflow", "activity", or "child": a link from a workflow to one it has started."""
    name: str
    """What people call it: the lab, a workflow type, a workflow id, "activity#ordinal"."""
    state: str
    """"Running", "Suspended", "Stuck", "Paused", "Waiting for retry", …"""
    restarts: int
    """Restarts within the current intensity period."""
    limit: int
    """Restarts the period allows; 0 where nothing is restarted."""
    started_at: Micros
    detail: str = ""
    """What it waits for, with the source line, or why it is stuck."""
    children: tuple[Node, ...] = ()
    period: int = 0
    """Microseconds in which `restarts` are counted; 0 where nothing is restarted."""
    strategy: str = ""
    """A supervisor's: "one_for_one", "one_for_all" or "rest_for_one"."""
    restart: str = ""
    """How it is restarted by the one above it: "permanent", "transient" or "temporary"."""


class Decision(NamedTuple):
    """What one supervisor decided when one child of it was lost. An escalation is a decision, and the next one that of its parent."""

    at: Micros
    supervisor: str
    pid: int
    """The supervisor's."""
    strategy: str
    kind: str
    """Of the child: "workflow" or "supervisor"."""
    child: str
    """A workflow id, or the name of a supervisor."""
    child_pid: int
    cause: str
    """"killed", "gave up", "ended", or the error that lost the process."""
    verdict: str
    """"restarted", "escalated" (it gave up itself), "gave up" (the root did, on this child) or "not restarted" (it is temporary)."""
    restarts: int
    """Restarts within the period, this one included."""
    intensity: int
    period: int
    """Microseconds."""
    stopped: int
    """Processes that were stopped for it, in reverse start order."""
    started: int
    """Processes that are started for it, in start order."""
    delay: int = 0
    """Microseconds they wait before."""
    given_up: int = 0
    """Runs that stay down, or have failed for it."""
    text: str = ""
    """The same in words."""


class Entry(NamedTuple):
    """One live run in the registry."""

    workflow_id: WorkflowId
    run_id: RunId
    workflow_type: str
    version: str
    pid: int | None
    status: Status
    residency: str
    """"Resident", "Suspended", "Restarting" during a backoff, "Stuck", or "Waiting" when the run cannot be made resident yet (`waiting_for`
    says why)."""
    waiting_for: str
    """What the code awaits now, with its source line: "signal 'approval' (order@3f2a91c:7)"."""
    mailbox: int
    """Signals received and not yet taken by the code."""
    seq: int
    """Last event of the workflow id."""
    started_at: Micros


class QueueState(NamedTuple):
    """One queue as it stands."""

    name: str
    waiting: int
    """Activities that wait for their turn."""
    running: int
    """Attempts that hold a slot."""
    concurrency: int | None
    """Attempts at once, at most; None: no limit."""
    rate: int | None
    """Attempts that may begin within a `period`; None: no limit."""
    period: Micros | None
    priority: bool
    """Whether priorities count."""


class Progress(NamedTuple):
    """Where the lab as a whole stands."""

    now: Micros
    owner: str
    """"this kernel", or who else has the writer's lease."""
    readonly: bool
    running: int
    paused: int
    closed: int
    stuck: int
    waiting: int
    """Runs that wait for trust or for code."""
    turns: int
    commits: int
    events: int
    """Events recorded since the lab was opened."""
    next_timer: Micros | None
    halted: str = ""
    """Why the engine is paused, when it is."""


class ScheduleState(NamedTuple):
    """How one schedule stands."""

    id: str
    state: str
    """"Active", "Paused", "Waiting" (for trust or code), "Stuck", or "Done" when no time of it is left."""
    plan: Plan
    input: Payload
    memo: str | None
    note: str | None
    """What was said with the last change of it."""
    created_at: Micros
    next: Micros | None
    """Its next time; None while it is paused and when there is none."""
    last: ScheduleTriggered | None
    """The run it started last."""
    running: tuple[WorkflowId, ...]
    pending: tuple[Micros, ...]
    """Times that wait for a run to end."""
    triggered: int
    """Runs it has started."""
    skipped: int
    """How often it skipped times, alone or many together."""
    waits_for: str = ""
