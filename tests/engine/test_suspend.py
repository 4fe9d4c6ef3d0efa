"""Residency: runs leave memory and come back by replay, and nobody can tell."""
from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from aionlab import workflow
from aionlab.core.status import Status
from aionlab.engine.call import Call
from aionlab.testing.workbench import Workbench
from tests.engine import programs
from tests.engine.programs import SECOND, calls, snapshot


def test_suspending_drops_the_process_and_writes_nothing(bench: Workbench) -> None:
    bench.start("order", id="w")
    process = weakref.ref(bench.engine.find("w").process)
    before = snapshot(bench)
    bench.call("suspend", "w")
    bench.call("suspend", "w")
    gc.collect()
    assert process() is None and snapshot(bench) == before
    entry = bench.call("entry", "w")
    assert (entry.residency, entry.pid, entry.status, entry.waiting_for) == ("Suspended", None, Status.RUNNING, "whatever comes next for it")


@pytest.mark.parametrize("waker", ["signal", "timer", "result", "cancel", "query"])
def test_whatever_comes_next_brings_it_back(bench: Workbench, waker: str) -> None:
    programs.failing.append(ValueError("once"))
    name = {"signal": "listener", "timer": "sleeper", "result": "retrying", "cancel": "patient", "query": "with_handlers"}[waker]
    bench.start(name, *(("x", 1) if waker == "signal" else ()), id="w")
    bench.call("suspend", "w")
    match waker:
        case "signal":
            bench.signal("w", "x", 1)
        case "timer":
            bench.skip(60 * SECOND)
        case "result":
            bench.skip(SECOND)
        case "cancel":
            bench.call("cancel", "w")
        case "query":
            bench.call("query", "w", "n", b"[]")
            assert bench.call("entry", "w").residency == "Resident"
            return
    assert bench.status("w").closed


def test_a_run_suspended_between_all_its_facts_records_the_same(bench: Workbench) -> None:
    async def busy() -> list[Any]:
        got: list[Any] = [await asyncio.gather(programs.charge(1), asyncio.sleep(1, "slept"))]
        workflow.on_signal("h", got.append)
        got.append(await workflow.receive("x", timeout=5, default="late"))
        got.append(workflow.random().random())
        return got

    bench.workflow(busy)
    for name in ("w", "control"):
        seed = StartSeed(bench, 5)
        seed.start("busy", name)
    for step in range(8):
        if bench.outcome("w") is None:
            bench.call("suspend", "w")
        if step == 3:
            for name in ("w", "control"):
                bench.signal(name, "h", step)
                bench.signal(name, "x", step)
        bench.skip(SECOND)
    assert bench.result("w") == bench.result("control")
    assert programs.shape(bench.history("w")) == programs.shape(bench.history("control"))


class StartSeed:
    """Starts whose seed is given."""

    def __init__(self, bench: Workbench, seed: int) -> None:
        self.bench, self.seed = bench, seed

    def start(self, name: str, workflow_id: str) -> None:
        ids = self.bench.engine.ids
        kept, ids.seed = ids.seed, lambda: self.seed
        try:
            self.bench.start(name, id=workflow_id)
        finally:
            ids.seed = kept


def test_cleanup_of_a_suspended_run_asks_for_nothing(bench: Workbench) -> None:
    noted: list[str] = []

    async def clinging() -> str:
        try:
            return str(await workflow.receive("x"))
        except BaseException as error:
            noted.append(type(error).__name__)
            try:
                await programs.ship("from cleanup")
            except BaseException as inner:
                noted.append(type(inner).__name__)
            raise
        finally:
            noted.append("finally")

    bench.workflow(clinging)
    bench.start("clinging", id="w")
    before = snapshot(bench)
    bench.call("suspend", "w")
    bench.host.pump()
    assert snapshot(bench) == before and calls == [] and noted[-1] == "finally"
    bench.signal("w", "x", "on")
    assert bench.result("w") == "on"


@pytest.mark.parametrize("habit", ["swallows", "loops", "spawns"])
def test_code_that_will_not_go_is_left_behind_and_its_run_lives(bench: Workbench, habit: str) -> None:
    async def stubborn() -> str:
        while True:
            try:
                return str(await workflow.receive("x"))
            except BaseException:
                if habit == "spawns":
                    asyncio.ensure_future(asyncio.sleep(1))  # noqa: RUF006 - what such code does
                elif habit == "swallows":
                    await asyncio.sleep(5)

    bench.workflow(stubborn)
    bench.start("stubborn", id="w")
    bench.start("listener", "x", 1, id="other")
    bench.call("suspend", "w")
    bench.signal("other", "x", 1)
    bench.signal("w", "x", "on")
    assert bench.result("w") == "on" and bench.result("other") == [1]


def test_suspending_beside_a_thousand_others(bench: Workbench) -> None:
    for n in range(300):
        bench.start("listener", "x", 1, id=f"w{n}")
        bench.engine.submit(Call("suspend", f"w{n}"))
    bench.host.pump()
    assert {entry.residency for entry in bench.call("registry")} == {"Suspended"}
    for n in range(300):
        bench.engine.submit(Call("signal", f"w{n}", "x", bench.values.encode(n)))
    bench.host.pump()
    assert all(bench.result(f"w{n}") == [n] for n in range(300))


def test_closed_runs_leave_no_coroutines_behind(bench: Workbench) -> None:
    async def littering() -> str:
        for _ in range(5):
            asyncio.ensure_future(workflow.receive("never"))  # noqa: RUF006 - what such code does
        await asyncio.sleep(0)
        return "left"

    bench.workflow(littering)
    bench.start("littering", id="littering")
    gc.collect()
    assert bench.result("littering") == "left"
    assert not [o for o in gc.get_objects() if type(o).__name__ == "WorkflowTask" and not o.done() and o.get_loop().info.workflow_id == "littering"]
