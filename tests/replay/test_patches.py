"""`patched` and `deprecate_patch`: old runs keep the old way, new runs take the new one, and the answer never changes."""
from __future__ import annotations

from collections.abc import Callable, Coroutine
from itertools import product
from typing import Any

import pytest

from aionlab import activity, workflow
from aionlab.core import events as e
from aionlab.core.errors import InvalidName, NondeterminismError, NotInWorkflow
from aionlab.core.payload import hints_of
from aionlab.core.status import Status
from aionlab.replay.process import Code, Process
from aionlab.replay.rebuild import rebuild
from aionlab.testing.workbench import Workbench

Flow = Callable[[], Coroutine[Any, Any, Any]]


@activity
async def old() -> str:
    return "old"


@activity
async def new() -> str:
    return "new"


async def before() -> str:
    await workflow.receive("go")
    return await old()


async def patched() -> str:
    await workflow.receive("go")
    return await (new() if workflow.patched("p") else old())


async def patched_first() -> str:
    way = new if workflow.patched("p") else old
    await workflow.receive("go")
    return await way()


async def deprecated() -> str:
    await workflow.receive("go")
    workflow.deprecate_patch("p")
    return await new()


async def removed() -> str:
    await workflow.receive("go")
    return await new()


def recorded(flow: Flow, signals: int = 1) -> list[Any]:
    """The history of a run of the flow, taken to its end with `signals` signals."""
    bench = Workbench()
    for one in (old, new):
        bench.activity(one)
    bench.start(bench.workflow(flow, name="flow").workflow_type, id="w")
    for _ in range(signals):
        bench.signal("w", "go")
    history = bench.history("w")
    for run in bench.engine.registry:
        if run.process is not None:
            run.process.close()
    return history


def replayed(flow: Flow, history: list[Any]) -> None:
    bench = Workbench()
    code = Code("flow", "v2", flow, hints_of(flow), bench.values)
    started = history[0].event
    rebuild(lambda trace: Process(code, started, history[0].workflow_id, history[0].run_id, history[0].at, None, trace), history).process.close()


GOOD = {
    ("before", "before"), ("before", "patched"), ("patched", "patched"), ("patched", "deprecated"), ("deprecated", "deprecated"),
    ("deprecated", "removed"), ("removed", "removed"), ("removed", "deprecated"),
}  # fmt: skip
FLOWS = {flow.__name__: flow for flow in (before, patched, deprecated, removed)}


@pytest.mark.parametrize(("wrote", "reads"), sorted(product(FLOWS, FLOWS)))
def test_pre_patch_patched_deprecated_and_removed_code_in_turn(wrote: str, reads: str) -> None:
    """G01 Given pre-patch, patched, deprecated and removed code in turn, then old runs keep the old branch, new runs the new, and
    deprecated accepts both marked and unmarked."""
    history = recorded(FLOWS[wrote])
    if (wrote, reads) in GOOD:
        replayed(FLOWS[reads], history)
    else:
        with pytest.raises(NondeterminismError):
            replayed(FLOWS[reads], history)


def test_new_runs_take_the_new_way_and_are_marked_once() -> None:
    async def loop() -> list[bool]:
        found = []
        for _ in range(5):
            await workflow.receive("go")
            found.append(workflow.patched("p"))
        return found

    history = recorded(loop, signals=5)
    assert [r.event for r in history if isinstance(r.event, e.PatchMarked)] == [e.PatchMarked("p")]
    replayed(loop, history)


def test_a_run_that_was_past_the_place_is_told_false_for_ever() -> None:
    """Replay answers the first call; the live calls after it answer the same, though nothing is recorded for them."""

    async def loop_before() -> None:
        while True:
            await workflow.receive("go")

    answers: list[bool] = []

    async def loop_after() -> None:
        while True:
            await workflow.receive("go")
            answers.append(workflow.patched("p"))

    bench = Workbench()
    bench.start(bench.workflow(loop_before, name="flow").workflow_type, id="w")
    bench.signal("w", "go")
    bench.workflow(loop_after, name="flow")
    bench.call("suspend", "w")
    bench.signal("w", "go")
    bench.signal("w", "go")
    assert answers[-3:] == [False, False, False]
    assert "PatchMarked" not in bench.kinds("w")
    bench.engine.find("w").process.close()  # type: ignore[union-attr]  # it is resident


def test_a_run_waiting_before_the_place_takes_the_new_way() -> None:
    bench = Workbench()
    for one in (old, new):
        bench.activity(one)
    bench.start(bench.workflow(before, name="flow").workflow_type, id="w")
    bench.workflow(patched, name="flow")
    bench.call("suspend", "w")
    bench.signal("w", "go")
    assert bench.result("w") == "new"


def test_two_stacked_patches_each_recover_to_their_own_branch() -> None:
    """G03 Given two stacked patches, then runs marked v1/v2/v3 each recover to their own branch; after removal, marked runs fail cleanly
    with a named error."""

    async def one() -> str:
        await workflow.receive("go")
        return await (new() if workflow.patched("a") else old())

    async def two() -> Any:
        await workflow.receive("go")
        if workflow.patched("b"):
            return [await new(), await new()]
        return await (new() if workflow.patched("a") else old())

    histories = [recorded(before), recorded(one), recorded(two)]
    for history in histories:
        replayed(two, history)
    with pytest.raises(NondeterminismError, match="patch"):
        replayed(removed, histories[2])


def test_removal_under_a_marked_run_names_the_patch_and_the_way_back() -> None:
    with pytest.raises(NondeterminismError) as caught:
        replayed(removed, recorded(patched))
    assert "'p'" in str(caught.value) and "deprecate_patch" in caught.value.suggestion


def test_a_patch_moved_elsewhere_is_a_divergence() -> None:
    with pytest.raises(NondeterminismError):
        replayed(patched_first, recorded(patched))


def test_the_mark_is_kept_when_the_run_ends_in_its_step() -> None:
    async def flow() -> bool:
        return workflow.patched("p")

    history = recorded(flow, signals=0)
    assert [type(r.event).__name__ for r in history] == ["WorkflowStarted", "PatchMarked", "WorkflowCompleted"]
    replayed(flow, history)


def test_names_are_checked_and_queries_may_not_ask() -> None:
    async def flow() -> None:
        workflow.on_query("ask", lambda: workflow.patched("q"))
        try:
            workflow.patched("")
        except InvalidName:
            await workflow.receive("go")

    bench = Workbench()
    bench.start(bench.workflow(flow).workflow_type, id="w")
    with pytest.raises(Exception, match="read-only"):
        bench.call("query", "w", "ask", bench.values.encode_args((), {}))
    assert bench.status("w") is Status.RUNNING and "PatchMarked" not in bench.kinds("w")
    bench.call("terminate", "w")


@pytest.mark.parametrize("ask", [lambda: workflow.patched("p"), lambda: workflow.deprecate_patch("p")])
def test_outside_of_a_run(ask: Callable[[], Any]) -> None:
    with pytest.raises(NotInWorkflow):
        ask()
