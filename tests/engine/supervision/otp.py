"""OTP's rules for supervisors, in the simplest form that plays them out: what the engine's tree is compared with.

From the documentation of Erlang's `supervisor`: restart types, strategies, intensity and period, termination in reverse start order, and
a supervisor that terminates when its limit is passed. Beyond OTP: runs are durable, so a restarted supervisor has its runs again; giving
up is a crash of the supervisor; the root gives the child up instead of going itself; restarts may be put off by a backoff.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(eq=False)
class Proc:
    """One workflow run. `state`: live, pending (until `due`), queued (starts in the next turn), suspended, stuck, failed, done."""

    id: str
    serial: int
    state: str = "live"
    due: int = 0
    signalled: bool = False
    runs: int = 1
    """How many runs the id has had."""


@dataclass(eq=False)
class Sup:
    """A supervisor of supervisors (`procs` stays empty) or of the runs of one type."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    parent: Sup | None = None
    sups: list[Sup] = field(default_factory=list)
    procs: list[Proc] = field(default_factory=list)
    is_type: bool = False
    restarts: list[int] = field(default_factory=list)
    down: bool = False
    born: int = 0
    """How often it was started."""

    def opt(self, name: str) -> Any:
        defaults = {"strategy": "one_for_one", "intensity": 3, "period": 30, "restart": "permanent", "runs": "transient", "backoff": None, "give_up": None}
        return self.options.get(name, defaults[name])

    def family(self) -> list[Sup]:
        return [self] + [s for child in self.sups for s in child.family()]

    def alive(self) -> list[Proc]:
        """Processes that are there or are about to be again, in start order."""
        mine = sorted((p for p in self.procs if p.state in ("live", "pending", "queued")), key=lambda p: p.serial)
        return mine + [p for child in self.sups for p in child.alive()]

    def gives_up_by(self) -> str:
        return self.opt("give_up") or (self.parent.gives_up_by() if self.parent else "stuck")


class Otp:
    """The whole tree with a clock (seconds)."""

    def __init__(self, root: Sup) -> None:
        self.root, self.now, self.serial = root, 0, 0
        self.types = {s.name: s for s in root.family() if s.is_type}
        self.stops: list[str] = []
        self.starts: list[str] = []
        self.procs: dict[str, Proc] = {}

    # --- what happens

    def start(self, kind: str, id: str) -> None:  # noqa: A002
        self._up(self.types[kind])
        self.serial += 1
        self.procs[id] = Proc(id, self.serial)
        self.types[kind].procs.append(self.procs[id])

    def kill(self, p: Proc) -> None:
        self.stops.append(p.id)
        p.state = "gone"
        self._exit(self._of(p), p, True)
        self._turns()

    def kill_supervisor(self, s: Sup) -> None:
        self._terminate(s.alive())
        assert s.parent
        self._exit(s.parent, s, True)
        self._turns()

    def finish(self, p: Proc) -> None:
        """A signal that lets the run complete."""
        p.signalled = True
        if p.state in ("live", "suspended"):
            self._complete([p])
        self._turns()

    def suspend(self, p: Proc) -> None:
        self.stops.append(p.id)
        p.state = "suspended"

    def resume(self, p: Proc) -> None:
        self._up(self._of(p))
        p.state = "queued"
        self._turns([p])

    def skip(self, seconds: int) -> None:
        until = self.now + seconds
        while True:
            due = [p for p in self.procs.values() if p.state == "pending" and p.due <= until]
            if not due:
                break
            self.now = min(p.due for p in due)
            for p in due:
                if p.due == self.now:
                    p.state = "queued"
            self._turns(self._in_order_of_arming([p for p in due if p.due == self.now]))
        self.now = until

    # --- the rules

    def _exit(self, boss: Sup, child: Sup | Proc, crashed: bool) -> None:
        kind = child.opt("restart") if isinstance(child, Sup) else boss.opt("runs")
        if kind == "temporary":
            if crashed:
                self._drop(boss, child)
            return
        if kind == "transient" and not crashed:
            return
        boss.restarts = [t for t in boss.restarts if t > self.now - boss.opt("period")]
        if len(boss.restarts) + 1 > boss.opt("intensity"):
            if boss.parent is None:
                self._drop(boss, child)
                return
            self._terminate(boss.alive())
            if isinstance(child, Proc) and child not in self.again:
                self.again.append(child)
            self._exit(boss.parent, boss, True)
            return
        boss.restarts.append(self.now)
        delay = self._delay(boss)
        children: list[Any] = [s for s in boss.sups if s is child or not s.down]
        if boss.is_type:
            children = sorted({*boss.alive(), child}, key=lambda p: p.serial)
        affected = {
            "one_for_one": [child], "one_for_all": children, "rest_for_one": children[children.index(child) :],
        }[boss.opt("strategy")]  # fmt: skip
        for other in reversed(affected):
            if other is not child:
                self._terminate(other.alive() if isinstance(other, Sup) else [other])
        for one in affected:
            if one is not child and (one.opt("restart") if isinstance(one, Sup) else boss.opt("runs")) == "temporary":
                self._drop(boss, one)
            elif isinstance(one, Sup):
                self._start_supervisor(one, delay)
            else:
                self._start_process(one, delay)

    again: list[Proc]
    """Processes that were terminated, or lost, and belong to a supervisor that may be started again."""

    def _delay(self, boss: Sup) -> int:
        if boss.opt("backoff") is None:
            return 0
        first, factor, cap = boss.opt("backoff")
        delay = first
        for _ in range(len(boss.restarts) - 1):
            delay = min(delay * factor, cap)
        return delay

    def _terminate(self, procs: list[Proc]) -> None:
        for p in reversed(procs):
            if p.state == "live":
                self.stops.append(p.id)
            p.state = "gone"
            self.again.append(p)

    def _start_supervisor(self, s: Sup, delay: int) -> None:
        s.down, s.restarts = False, []
        s.born += 1
        mine = sorted((p for p in s.procs if p in self.again or p.state == "gone" or p is self.ended), key=lambda p: p.serial)
        for child in s.sups:
            self._start_supervisor(child, delay)
        for p in mine:
            if s.opt("runs") == "temporary":
                self._give_up(s, p)
            else:
                self._start_process(p, delay)

    ended: Proc | None = None

    def _start_process(self, p: Proc, delay: int) -> None:
        if p is self.ended:  # a new run takes the place of the one that ended, at once
            self.serial += 1
            p.serial, p.state, p.signalled = self.serial, "live", False
            p.runs += 1
            self.ended = None
            return
        p.state, p.due = ("pending", self.now + delay) if delay else ("queued", 0)
        self.armed.append(p)

    armed: list[Proc]

    def _in_order_of_arming(self, procs: list[Proc]) -> list[Proc]:
        order = {id(p): n for n, p in enumerate(self.armed)}
        return sorted(procs, key=lambda p: order[id(p)])

    def _drop(self, boss: Sup, child: Sup | Proc) -> None:
        if isinstance(child, Proc):
            self._give_up(boss, child)
            return
        for s in child.family():
            was_down, s.down = s.down, True
            for p in s.procs if s.is_type and not was_down else ():
                if p.state in ("live", "pending", "queued", "gone", "suspended"):
                    self._give_up(s, p)

    def _give_up(self, s: Sup, p: Proc) -> None:
        if p.state == "done":
            return
        if p.state == "live":
            self.stops.append(p.id)
        p.state = "failed" if s.gives_up_by() == "fail" else "stuck"

    def _up(self, s: Sup | None) -> None:
        while s is not None and s.down:
            s.down, s.restarts = False, []
            s.born += 1
            s = s.parent

    def _of(self, p: Proc) -> Sup:
        return next(s for s in self.types.values() if p in s.procs)

    # --- turns: what was queued starts together, and those with a signal complete together

    def _turns(self, first: list[Proc] | None = None) -> None:
        queue = first or self._queued()
        while queue:
            for p in queue:
                p.state = "live"
                self.starts.append(p.id)
            self._complete([p for p in queue if p.signalled])
            queue = self._queued()

    def _queued(self) -> list[Proc]:
        return self._in_order_of_arming([p for p in self.procs.values() if p.state == "queued"])

    def _complete(self, procs: list[Proc]) -> None:
        for p in procs:
            p.state = "done"
        for p in procs:
            if self._of(p).opt("runs") == "permanent":
                self.ended = p
                self._exit(self._of(p), p, False)
                self.ended = None

    def begin(self) -> None:
        """Before each event: what the lists tell is of that event alone."""
        self.stops, self.starts, self.again, self.armed = [], [], [], [p for p in getattr(self, "armed", []) if p.state == "pending"]
