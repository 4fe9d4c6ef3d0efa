"""What follows from a child's exit, by OTP's rules: a list of what to do, in order, worked out without touching a process.

- A child is to be restarted when it is permanent, or transient and it crashed. Otherwise it leaves, and its siblings never notice.
- The restart is counted. Within the limit the strategy says who is restarted with it: those others are stopped in reverse start order,
  then all are started in start order. A temporary sibling that is stopped is not started again.
- Over the limit the supervisor stops what is left of its children, in reverse start order, and is itself a crashed child of its parent. The root
  has none: it gives this child up and stands.
- A supervisor that is started again starts all that is declared under it, with clean counts.
"""
from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

from aionlab.core.clock import Micros
from aionlab.core.snapshots import Decision
from aionlab.core.supervisors import Restart, Strategy

from .tree import Branch, SupervisionTree

if TYPE_CHECKING:
    from ..run import LiveRun


class Do(Enum):
    STOP = auto()
    START = auto()
    GIVE_UP = auto()
    """Not to be started again."""


class Step(NamedTuple):
    """One thing to do with one run's process."""

    do: Do
    run: LiveRun
    branch: Branch
    """Its supervisor."""
    at: Micros
    """When: later than now only where a start is put off."""


class Plan:
    """Steps in order; supervisors that stay down, and with them every open run of the types under them; the decisions that led there."""

    __slots__ = ("decisions", "down", "now", "steps")

    def __init__(self, now: Micros) -> None:
        self.now = now
        self.steps: list[Step] = []
        self.down: list[Branch] = []
        self.decisions: list[Decision] = []


def process_lost(tree: SupervisionTree, run: LiveRun, cause: str, now: Micros) -> Plan:
    """A process is gone that was not to go."""
    branch = tree.ensure(run.row.workflow_type, now)
    plan = Plan(now)
    _Deciding(tree, plan).child_gone(branch, run, cause, True)
    return plan


def run_ended(tree: SupervisionTree, run: LiveRun, now: Micros) -> Plan:
    """A permanent run has come to its own end."""
    branch = tree.ensure(run.row.workflow_type, now)
    plan = Plan(now)
    _Deciding(tree, plan).child_gone(branch, run, "ended", False)
    return plan


def supervisor_lost(tree: SupervisionTree, branch: Branch, cause: str, now: Micros) -> Plan:
    """A supervisor was killed: what it supervised goes with it."""
    assert branch.parent is not None
    plan = Plan(now)
    lost = branch.leaves()
    deciding = _Deciding(tree, plan)
    deciding.stop(lost)
    deciding.child_gone(branch.parent, branch, cause, True, len(lost))
    return plan


class _Deciding:
    """One exit, followed upwards as far as it leads."""

    def __init__(self, tree: SupervisionTree, plan: Plan) -> None:
        self.tree, self.plan = tree, plan
        self.gone: set[int] = set()
        """Keys of runs whose processes are gone or stopped."""
        self.ended: LiveRun | None = None
        """The permanent run whose end this is about."""

    def child_gone(self, parent: Branch, child: Branch | LiveRun, cause: str, crashed: bool, stopped: int = 0) -> None:
        if not isinstance(child, Branch):
            self.gone.add(child.key)
            self.ended = None if crashed else child
        kind = child.spec.restart if isinstance(child, Branch) else parent.spec.runs
        if kind is Restart.TEMPORARY or (kind is Restart.TRANSIENT and not crashed):
            if crashed:
                self._give_up(parent, child)
                self._decided(parent, child, cause, "not restarted", stopped)
        elif parent.count.add(self.plan.now):
            self._restart(parent, child, cause, stopped)
        elif parent.parent is None:
            self._give_up(parent, child)
            self._decided(parent, child, cause, "gave up", stopped)
        else:
            left = self.stop(parent.leaves())
            self._decided(parent, child, cause, "escalated", stopped + left)
            self.child_gone(parent.parent, parent, "gave up", True)

    def _restart(self, parent: Branch, child: Branch | LiveRun, cause: str, stopped: int) -> None:
        plan, spec, pid = self.plan, parent.spec, child.pid
        delay = spec.backoff.delay(parent.count.recent(plan.now)) if spec.backoff is not None else Micros(0)
        group = self._group(parent, child)
        for sibling in reversed(group):
            if sibling is not child:
                stopped += self.stop(sibling.leaves() if isinstance(sibling, Branch) else [sibling])
        at, before = Micros(plan.now + delay), len(plan.steps)
        for member in group:
            if isinstance(member, Branch):
                if member is not child and member.spec.restart is Restart.TEMPORARY:
                    self._give_up(parent, member)
                else:
                    self._start_all(member, at)
            else:  # a run; had it been temporary, so had the one that was lost, and nobody were restarted
                plan.steps.append(Step(Do.START, member, parent, at))
        started = sum(step.do is Do.START for step in plan.steps[before:])
        self._decided(parent, child, cause, "restarted", stopped, started, delay)
        plan.decisions[-1] = plan.decisions[-1]._replace(child_pid=pid)  # it has another by now

    def _group(self, parent: Branch, child: Branch | LiveRun) -> Sequence[Branch | LiveRun]:
        """The child and those that are restarted with it, in start order."""
        if parent.spec.strategy is Strategy.ONE_FOR_ONE:
            return [child]
        if isinstance(child, Branch):
            branches = [branch for branch in parent.branches or () if branch is child or not branch.down]
            return branches if parent.spec.strategy is Strategy.ONE_FOR_ALL else branches[branches.index(child) :]
        runs: list[LiveRun] = sorted({child, *parent.leaves()}, key=lambda run: run.key)
        return runs if parent.spec.strategy is Strategy.ONE_FOR_ALL else runs[runs.index(child) :]

    def _start_all(self, branch: Branch, at: Micros) -> None:
        """Start a supervisor and what it supervised."""
        runs = branch.leaves() if branch.branches is None else []
        if self.ended is not None and self.ended.row.workflow_type == branch.name and branch.branches is None:
            runs = sorted([*runs, self.ended], key=lambda run: run.key)
        self.tree.renew(branch, self.plan.now)
        for child in branch.branches or ():
            self._start_all(child, at)
        do = Do.GIVE_UP if branch.spec.runs is Restart.TEMPORARY else Do.START
        self.plan.steps += [Step(do, run, branch, at if do is Do.START else self.plan.now) for run in runs]

    def _give_up(self, parent: Branch, child: Branch | LiveRun) -> None:
        if isinstance(child, Branch):
            self.tree.put_down(child)
            self.plan.down.append(child)
        else:
            self.plan.steps.append(Step(Do.GIVE_UP, child, parent, self.plan.now))

    def stop(self, runs: list[LiveRun]) -> int:
        """Stop those that are not gone yet, the last started first; how many they were."""
        left = [run for run in reversed(runs) if run.key not in self.gone]
        for run in left:
            self.gone.add(run.key)
            branch = self.tree.types[run.row.workflow_type]
            self.plan.steps.append(Step(Do.STOP, run, branch, self.plan.now))
        return len(left)

    def _decided(
        self, parent: Branch, child: Branch | LiveRun, cause: str, verdict: str, stopped: int, started: int = 0, delay: Micros = Micros(0)
    ) -> None:
        kind, name = ("supervisor", child.name) if isinstance(child, Branch) else ("workflow", child.workflow_id)
        spec, plan = parent.spec, self.plan
        plan.decisions.append(Decision(
            plan.now, spec.name or "lab", parent.pid, str(spec.strategy), kind, name, child.pid, cause, verdict, parent.count.recent(plan.now),
            spec.intensity, spec.period, stopped, started, delay,
        ))  # fmt: skip
