"""The supervision tree: root → one supervisor per workflow type → workflow processes → activities.

A *crash* is the loss of a process that is not its code's own recorded result. Its supervisor restarts it by replay (one_for_one) while
no more than `intensity` restarts fall within the half-open window (now - period, now]; beyond that the supervisor stops all its
children and itself, and the root restarts the supervisor with them, within its own limit; beyond that the type stays down until the
lab is opened again. Times come as arguments, so limits are exact on a virtual clock.
"""
from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto

from aionlab.core.clock import SECOND, Micros

from .run import LiveRun


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `intensity` restarts within `period` microseconds."""

    intensity: int
    period: Micros


TYPE_LIMIT = Limit(3, Micros(30 * SECOND))
ROOT_LIMIT = Limit(3, Micros(300 * SECOND))


class Decision(Enum):
    RESTART = auto()
    """Restart this process."""
    RESTART_TYPE = auto()
    """Its supervisor was over its limit: stop all runs of the type and start them anew under it."""
    GIVE_UP = auto()
    """The root was over its limit: all runs of the type stay down."""


class _Count:
    """Restarts within a sliding window."""

    __slots__ = ("limit", "times")

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.times: deque[Micros] = deque()

    def recent(self, now: Micros) -> int:
        while self.times and self.times[0] <= now - self.limit.period:
            self.times.popleft()
        return len(self.times)

    def add(self, now: Micros) -> bool:
        """Count one restart; whether it is within the limit."""
        self.times.append(now)
        return self.recent(now) <= self.limit.intensity


class Supervisor:
    """The supervisor of one workflow type."""

    __slots__ = ("children", "count", "down", "name", "pid", "started_at")

    def __init__(self, name: str, pid: int, started_at: Micros) -> None:
        self.name, self.pid, self.started_at = name, pid, started_at
        self.children: dict[int, LiveRun] = {}
        self.count = _Count(TYPE_LIMIT)
        self.down = False


class SupervisionTree:
    """Pids, who supervises whom, and what a crash leads to."""

    __slots__ = ("_pids", "pid", "root", "started_at", "supervisors")

    def __init__(self, started_at: Micros) -> None:
        self._pids = 0
        self.pid = self.next_pid()
        self.started_at = started_at
        self.root = _Count(ROOT_LIMIT)
        self.supervisors: dict[str, Supervisor] = {}

    def next_pid(self) -> int:
        self._pids += 1
        return self._pids

    def ensure(self, workflow_type: str, now: Micros) -> Supervisor:
        """The type's supervisor, started when there is none or it was given up."""
        supervisor = self.supervisors.get(workflow_type)
        if supervisor is None or supervisor.down:
            supervisor = self.supervisors[workflow_type] = Supervisor(workflow_type, self.next_pid(), now)
        return supervisor

    def place(self, run: LiveRun, now: Micros) -> None:
        supervisor = self.supervisors.get(run.row.workflow_type) or self.ensure(run.row.workflow_type, now)
        supervisor.children[run.pid] = run

    def remove(self, run: LiveRun) -> None:
        supervisor = self.supervisors.get(run.row.workflow_type)
        if supervisor is not None:
            supervisor.children.pop(run.pid, None)

    def crashed(self, workflow_type: str, now: Micros) -> Decision:
        """Count a crash of a process of this type and decide."""
        supervisor = self.supervisors[workflow_type]
        if supervisor.down:
            return Decision.GIVE_UP
        if supervisor.count.add(now):
            return Decision.RESTART
        return self.supervisor_crashed(workflow_type, now)

    def supervisor_crashed(self, workflow_type: str, now: Micros) -> Decision:
        """Count the loss of a type's supervisor; a restarted one begins with a new pid and a clean count."""
        supervisor = self.supervisors[workflow_type]
        if self.root.add(now):
            supervisor.pid = self.next_pid()
            supervisor.started_at = now
            supervisor.count = _Count(TYPE_LIMIT)
            return Decision.RESTART_TYPE
        supervisor.down = True
        return Decision.GIVE_UP

    def by_pid(self, pid: int) -> LiveRun | Supervisor | None:
        for supervisor in self.supervisors.values():
            if supervisor.pid == pid:
                return supervisor
            if pid in supervisor.children:
                return supervisor.children[pid]
        return None
