"""The supervision tree as it stands: the root, supervisors declared or not, and under each type's supervisor the processes of its runs.

Branches are supervisors, leaves are open runs. A type nobody declared has a supervisor of its own under the root, made with the first
run. `supervisors` holds those that are up, by type; it is what a start looks at.
"""
from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from aionlab.core.clock import Micros
from aionlab.core.errors import InvalidOption
from aionlab.core.snapshots import Decision
from aionlab.core.supervisors import GiveUp, Restart, Supervisor

from .limits import Count

if TYPE_CHECKING:
    from ..run import LiveRun

KEPT = 10_000
"""Decisions that are remembered."""


class Restarting(Exception):
    """A process whose restart is put off until `due`."""

    def __init__(self, due: Micros) -> None:
        super().__init__(due)
        self.due = due

    def __str__(self) -> str:
        return "its restart is put off by the backoff of its supervisor"


class GaveUp(Exception):
    """A run's process was lost and is not started again."""


class Branch:
    """One live supervisor. `branches` is None in the supervisor of a type's runs; `children` are its processes, by pid."""

    __slots__ = ("branches", "children", "count", "down", "parent", "pid", "spec", "started_at", "waiting")

    def __init__(self, spec: Supervisor, parent: Branch | None, pid: int, now: Micros) -> None:
        self.spec, self.parent, self.pid, self.started_at = spec, parent, pid, now
        self.branches: list[Branch] | None = None if spec.name and spec.children is None else []
        self.children: dict[int, LiveRun] = {}
        self.waiting: dict[int, tuple[LiveRun, Restarting]] = {}
        """Runs whose restart is put off, by key."""
        self.count = Count(spec.intensity, spec.period)
        self.down = False
        """Whether it was given up."""

    @property
    def name(self) -> str:
        return self.spec.name

    def leaves(self) -> list[LiveRun]:
        """Every run under it that has a process or is to have one again, in start order."""
        if self.branches is not None:
            return [leaf for branch in self.branches for leaf in branch.leaves()]
        self.waiting = {key: (run, mark) for key, (run, mark) in self.waiting.items() if run.stuck is mark and not run.closed}
        found = [run for run in self.children.values() if not run.closed]
        found += [run for run, _ in self.waiting.values()]
        found.sort(key=lambda run: run.key)
        return found

    def walk(self) -> Iterator[Branch]:
        """This supervisor and all under it, in start order."""
        yield self
        for branch in self.branches or ():
            yield from branch.walk()

    @property
    def give_up(self) -> GiveUp:
        """What becomes of a run of it that is not started again."""
        at: Branch | None = self
        while at is not None:
            if at.spec.give_up is not None:
                return at.spec.give_up
            at = at.parent
        return GiveUp.STUCK


class SupervisionTree:
    """Pids, who supervises whom, and what was decided."""

    __slots__ = ("_pids", "decisions", "permanent", "root", "supervisors", "types")

    def __init__(self, started_at: Micros, declared: Iterable[Supervisor] = ()) -> None:
        self._pids = 0
        self.root = Branch(Supervisor(None), None, self.next_pid(), started_at)
        self.supervisors: dict[str, Branch] = {}
        """The supervisors of types that are up."""
        self.types: dict[str, Branch] = {}
        """All of them."""
        self.permanent: frozenset[str] = frozenset()
        """Types whose runs are followed by others."""
        self.decisions: deque[Decision] = deque(maxlen=KEPT)
        for spec in declared:
            self.declare(spec, started_at)

    @property
    def pid(self) -> int:
        """The root's."""
        return self.root.pid

    # --- what every start does ------------------------------------------------------------------------------------------

    def next_pid(self) -> int:
        self._pids += 1
        return self._pids

    def ensure(self, workflow_type: str, now: Micros) -> Branch:
        """The type's supervisor, started when there is none or it was given up."""
        return self.supervisors.get(workflow_type) or self._bring_up(workflow_type, now)

    def place(self, run: LiveRun, now: Micros) -> None:
        supervisor = self.supervisors.get(run.row.workflow_type) or self._bring_up(run.row.workflow_type, now)
        supervisor.children[run.pid] = run

    def remove(self, run: LiveRun) -> None:
        supervisor = self.types.get(run.row.workflow_type)
        if supervisor is not None:
            supervisor.children.pop(run.pid, None)

    # --- branches -------------------------------------------------------------------------------------------------------

    def _bring_up(self, workflow_type: str, now: Micros) -> Branch:
        branch = self.types.get(workflow_type)
        if branch is None:
            branch = self._grow(Supervisor(workflow_type), self.root, now)
        at: Branch | None = branch
        while at is not None and at.down:  # those above it that were given up come up with it, and nothing else of theirs
            self.renew(at, now)
            at = at.parent
        return branch

    def renew(self, branch: Branch, now: Micros) -> None:
        """Start a supervisor anew: another pid, a clean count."""
        branch.pid, branch.started_at, branch.down = self.next_pid(), now, False
        branch.count.times.clear()
        if branch.branches is None:
            self.supervisors[branch.name] = branch

    def put_down(self, branch: Branch) -> None:
        """It and all under it stay down."""
        for each in branch.walk():
            each.down = True
            if each.branches is None:
                self.supervisors.pop(each.name, None)

    def _grow(self, spec: Supervisor, parent: Branch, now: Micros, at: int = sys.maxsize) -> Branch:
        assert parent.branches is not None
        branch = Branch(spec, parent, self.next_pid(), now)
        parent.branches.insert(at, branch)
        if branch.branches is None:
            before = self.types.get(spec.name)
            if before is not None:
                branch.children, branch.waiting = before.children, before.waiting
            self.types[spec.name] = self.supervisors[spec.name] = branch
        for child in spec.children or ():
            self._grow(child, branch, now)
        return branch

    def check(self, spec: Supervisor) -> None:
        """Raises InvalidOption when the tree has no room for the declaration: a name in it stands in another one."""
        for each in spec.walk():
            if each.children is not None and each.name in self.types:
                raise InvalidOption(f"{each.name} is a workflow here; give the supervisor of others a name of its own")
        for top in self.root.branches or ():
            if top.name == spec.name or top.spec == Supervisor(top.name):
                continue
            taken = {branch.name for branch in top.walk()}
            for each in spec.walk():
                if each.name in taken:
                    if each.name == top.name:
                        raise InvalidOption(f"{each.name} is declared of its own; lab.unsupervise({top.name!r}) takes that back")
                    raise InvalidOption(f"{each.name} is declared under {top.name}; declare {top.name} without it first, or lab.unsupervise({top.name!r})")

    def declare(self, spec: Supervisor, now: Micros) -> Branch:
        """Let a supervisor take its place under the root, instead of the one of its name. Processes go on; counts begin anew."""
        if not spec.name:
            self.root.spec, self.root.count = spec, Count(spec.intensity, spec.period)
            return self.root
        self.check(spec)
        tops = self.root.branches
        assert tops is not None
        names = {each.name for each in spec.walk()}
        before = next((i for i, top in enumerate(tops) if top.name == spec.name), len(tops))
        left = [branch for top in tops[before : before + 1] for branch in top.walk() if branch.branches is None]
        at = sum(top.name not in names for top in tops[:before])
        tops[:] = [top for top in tops if top.name not in names]
        branch = self._grow(spec, self.root, now, at)
        self._orphans(left, {each.name for each in spec.walk() if each.children is None}, now)
        return branch

    def undeclare(self, name: str, now: Micros) -> None:
        """Take a declaration back: its types are supervised as any other."""
        if not name:
            self.declare(Supervisor(None), now)
            return
        tops = self.root.branches
        assert tops is not None
        top = next(top for top in tops if top.name == name)
        tops.remove(top)
        self._orphans([branch for branch in top.walk() if branch.branches is None], set(), now)

    def _orphans(self, left: list[Branch], kept: set[str], now: Micros) -> None:
        """Types that lost their supervisor get one of their own, if they have runs."""
        for branch in left:
            if branch.name in kept:
                continue
            self.supervisors.pop(branch.name, None)
            if branch.leaves():
                self._grow(Supervisor(branch.name), self.root, now)
            else:
                del self.types[branch.name]
        self._note_permanent()

    def _note_permanent(self) -> None:
        self.permanent = frozenset(branch.name for branch in self.types.values() if branch.spec.runs is Restart.PERMANENT)

    def declared(self) -> list[Supervisor]:
        """What was declared, the root's own options first."""
        found = [self.root.spec, *(top.spec for top in self.root.branches or ())]
        return [spec for spec in found if spec != Supervisor(spec.name or None)]

    # --- looking --------------------------------------------------------------------------------------------------------

    def by_pid(self, pid: int) -> LiveRun | Branch | None:
        """The process or the supervisor (never the root) that has this pid."""
        for supervisor in self.supervisors.values():
            if pid in supervisor.children:
                return supervisor.children[pid]
        return next((branch for branch in self.root.walk() if branch.pid == pid and branch is not self.root and not branch.down), None)
