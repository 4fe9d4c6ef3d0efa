"""What the engine shows of itself: frozen pictures, taken between turns, that views draw."""
from __future__ import annotations

from typing import NamedTuple

from .clock import Micros
from .ids import RunId, WorkflowId
from .status import Status


class Node(NamedTuple):
    """One node of the supervision tree."""

    pid: int
    """0 for a run that is stuck: it has no process."""
    kind: str
    """"root", "supervisor", "workflow" or "activity"."""
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


class Entry(NamedTuple):
    """One live run in the registry."""

    workflow_id: WorkflowId
    run_id: RunId
    workflow_type: str
    version: str
    pid: int | None
    status: Status
    residency: str
    """"Resident", "Suspended", or "Waiting" when the run cannot be made resident (then `waiting_for` says why)."""
    waiting_for: str
    """What the code awaits now, with its source line: "signal 'approval' (order@3f2a91c:7)"."""
    mailbox: int
    """Signals received and not yet taken by the code."""
    seq: int
    """Last event of the workflow id."""
    started_at: Micros


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
