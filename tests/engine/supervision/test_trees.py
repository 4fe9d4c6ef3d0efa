"""Generated supervision trees under generated losses: the engine does what OTP's rules say, to the microsecond and in their order."""
from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from aionlab import workflow
from aionlab.core.snapshots import Node
from aionlab.core.supervisors import Backoff, Supervisor
from aionlab.testing.workbench import Workbench
from tests.engine.conftest import check
from tests.engine.programs import SECOND
from tests.engine.supervision.otp import Otp, Sup

pytestmark = pytest.mark.slow

closed: list[str] = []
"""Ids of processes whose coroutines were closed, in order."""


async def waits(name: str) -> str:
    try:
        return str(await workflow.receive("x"))
    finally:
        closed.append(name)


def generate(rng: random.Random) -> Sup:
    """Up to three levels of supervisors over up to six types; now and then the root has options too."""
    root = Sup("lab", {"period": 300})
    names = iter(f"t{n}" for n in range(6))

    def options() -> dict[str, Any]:
        found = {
            "strategy": rng.choice(["one_for_one", "one_for_all", "rest_for_one"]), "intensity": rng.choice([0, 1, 2, 3, 3]),
            "period": rng.choice([5, 10, 30]), "restart": rng.choice(["permanent", "permanent", "transient", "temporary"]),
        }  # fmt: skip
        if rng.random() < 0.3:
            found["backoff"] = (rng.choice([1, 2, 5]), rng.choice([1, 2, 3]), 12)
        if rng.random() < 0.2:
            found["give_up"] = rng.choice(["stuck", "fail"])
        return {name: value for name, value in found.items() if rng.random() < 0.7}

    def grow(parent: Sup, depth: int) -> None:
        for _ in range(rng.randint(1, 3)):
            if depth < 2 and rng.random() < 0.5:
                sup = Sup(f"g{depth}{len(root.family())}", options(), parent)
                parent.sups.append(sup)
                grow(sup, depth + 1)
            else:
                name = next(names, None)
                if name is not None:
                    parent.sups.append(Sup(name, options() | {"runs": rng.choice(["transient", "transient", "permanent", "temporary"])}, parent, is_type=True))

    grow(root, 0)
    if not any(sup.is_type for sup in root.family()):
        root.sups.append(Sup("t9", {}, root, is_type=True))
    if rng.random() < 0.3:
        root.options = {"period": 300} | {name: value for name, value in options().items() if name != "restart"}
    return root


def spec(sup: Sup) -> Supervisor:
    options = dict(sup.options)
    if "backoff" in options:
        first, factor, cap = options["backoff"]
        options["backoff"] = Backoff(first, factor, cap)
    if sup.parent is None:
        return Supervisor(None, **options)
    return Supervisor(sup.name, None if sup.is_type else [spec(child) for child in sup.sups], **options)


class Match:
    """The engine and the model, given the same events."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.bench = Workbench()
        self.bench.call("supervise", spec(root := generate(self.rng)))
        for sup in root.sups:
            self.bench.call("supervise", spec(sup))
        self.model = Otp(root)
        for name in self.model.types:
            self.bench.workflow(waits, name=name)
        self.told: list[str] = []

    def play(self) -> None:
        rng, model, bench = self.rng, self.model, self.bench
        open_ones = [p for p in model.procs.values() if p.state not in ("done", "failed")]
        live = [p for p in open_ones if p.state == "live"]
        stuck = [p for p in open_ones if p.state in ("stuck", "pending")]
        up = [sup for sup in model.root.family() if sup.parent is not None and not sup.down]
        verb = rng.choices(["start", "kill", "kill supervisor", "finish", "suspend", "resume", "skip"], [3, 8, 2, 3, 1, 2, 3])[0]
        model.begin()
        closed.clear()
        self.pids = {entry.workflow_id: entry.pid for entry in bench.call("registry")}
        what: Any = ""
        if verb == "start" or not model.procs:
            verb, what = "start", f"p{len(model.procs)}"
            kind = rng.choice(sorted(model.types))
            bench.start(kind, what, id=what)
            model.start(kind, what)
        elif verb == "kill" and live:
            what = rng.choice(live)
            bench.call("kill", bench.call("entry", what.id).pid)
            model.kill(what)
        elif verb == "kill supervisor" and up:
            what = rng.choice(up)
            bench.call("kill", self.nodes()[what.name].pid)
            model.kill_supervisor(what)
        elif verb == "finish" and open_ones:
            what = rng.choice(open_ones)
            bench.signal(what.id, "x", 1)
            model.finish(what)
            closed[:] = [name for name in closed if name != what.id or what.state != "done"]
        elif verb == "suspend" and live:
            what = rng.choice(live)
            bench.call("suspend", what.id)
            model.suspend(what)
        elif verb == "resume" and stuck:
            what = rng.choice(stuck)
            bench.call("resume", what.id)
            model.resume(what)
        elif verb == "skip":
            what = rng.choice([1, 2, 5, 7, 30, 300])
            bench.call("skip", what * SECOND)
            model.skip(what)
        self.told.append(f"{verb} {getattr(what, 'id', getattr(what, 'name', what))}")
        bench.host.pump()

    def nodes(self) -> dict[str, Node]:
        found: dict[str, Node] = {}

        def walk(node: Node) -> None:
            found[node.name] = node
            for child in node.children:
                walk(child)

        walk(self.bench.call("tree"))
        return found

    def compare(self) -> None:
        model, bench = self.model, self.bench
        entries = {entry.workflow_id: entry for entry in bench.call("registry")}
        residency = {"live": "Resident", "pending": "Restarting", "stuck": "Stuck", "suspended": "Suspended"}
        for p in model.procs.values():
            entry = entries.get(p.id)
            if p.state in ("done", "failed"):
                assert entry is None and str(bench.status(p.id)) == {"done": "Completed", "failed": "Failed"}[p.state], p
            else:
                assert entry is not None and entry.residency == residency[p.state], (p, entry)
            assert len(bench.store.run_chain(p.id)) == p.runs, p
        nodes = self.nodes()
        for sup in model.root.family():
            node = nodes[sup.name]
            recent = [t for t in sup.restarts if t > model.now - sup.opt("period")]
            assert (node.state, node.restarts) == ("Down" if sup.down else "Running", len(recent)), sup.name
            if sup.is_type:
                shown = [p.id for p in sorted(sup.procs, key=lambda p: p.serial) if p.state in ("live", "pending", "stuck")]
                assert [child.name for child in node.children] == shown, sup.name
            else:
                assert [child.name for child in node.children] == [child.name for child in sup.sups]
        finished = {p.id for p in model.procs.values() if p.signalled or p.runs > 1}
        assert [name for name in closed if name not in finished] == [name for name in model.stops if name not in finished]
        came = {id_: entry.pid for id_, entry in entries.items() if entry.pid and entry.pid != self.pids.get(id_)}
        back = [name for name in dict.fromkeys(reversed(model.starts)) if name not in finished and model.procs[name].state == "live"][::-1]
        assert [name for name in sorted(came, key=came.__getitem__) if name in back] == [name for name in back if name in came]
        assert set(back) == {name for name in came if name in self.pids} - finished

    def stay_true(self) -> None:
        """What was recorded is what a replay finds; what was declared is in force when the database is opened again, and what was given up
        is not given up any more."""
        check(self.bench)
        declared = self.bench.call("supervisors")
        open_ones = [p for p in self.model.procs.values() if p.state not in ("done", "failed")]
        self.bench.crash()
        assert self.bench.call("supervisors") == declared
        if not any(p.signalled for p in open_ones):  # those complete now, and what is permanent restarts others
            assert all(self.bench.call("entry", p.id).residency == "Resident" for p in open_ones)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    closed.clear()
    yield


SEEDS = 240


@pytest.mark.parametrize("first", range(0, SEEDS, 40))
def test_the_tree_follows_the_rules(first: int) -> None:
    for seed in range(first, first + 40):
        match = Match(seed)
        try:
            for _ in range(40):
                match.play()
                match.compare()
            match.stay_true()
        except BaseException as error:
            error.add_note(f"seed {seed}: {match.told}")
            raise
        finally:
            for run in match.bench.engine.registry:
                if run.process is not None:
                    run.process.close()
