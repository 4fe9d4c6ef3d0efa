"""Cancel with its reason, its cleanup and its grace period; and races: whatever verbs come together, one end is recorded."""
from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aionlab import workflow
from aionlab.core import errors
from aionlab.core import events as e
from aionlab.core.status import REOPENED, Status
from aionlab.engine.call import Call
from aionlab.engine.lifecycle.forking import ForkRequest
from aionlab.store.memory import MemoryStore
from aionlab.testing.faults import Crash, Fault, FaultyStore
from aionlab.testing.workbench import Workbench
from tests.engine import programs
from tests.engine.conftest import check
from tests.engine.programs import MINUTE, SECOND, calls, of, snapshot
from tests.engine.test_reopening import settled

GRACE = 30 * SECOND


def cancel(bench: Workbench, reason: str | None = None, grace: int | None = None, workflow_id: str = "w") -> None:
    bench.call("cancel", workflow_id, None, reason, False, grace)


async def slow_to_stop(seconds: float = 10) -> str:
    try:
        await workflow.receive("never")
    except asyncio.CancelledError:
        await programs.ship("cleanup")
        await asyncio.sleep(seconds)
        await programs.ship("cleaned")
        raise
    return "?"


# --- the reason --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", [None, "no stock"])
def test_the_reason_reaches_the_code(bench: Workbench, reason: str | None) -> None:
    async def asks() -> list[Any]:
        before = workflow.info().cancel_reason
        try:
            await asyncio.gather(workflow.receive("x"), asyncio.sleep(60))
        except asyncio.CancelledError as stopped:
            return [before, workflow.info().cancel_reason, *stopped.args]
        return []

    bench.workflow(asks)
    bench.start("asks", id="w")
    cancel(bench, reason)
    assert bench.result("w") == [None, reason or "", *([reason] if reason else [])]
    settled(bench)


@pytest.mark.parametrize("wait", ["sleep", "activity", "receive", "shield", "nested"])
def test_given_cancel_during_a_wait_then_cancelled_with_its_reason(bench: Workbench, wait: str) -> None:
    """F01 and its neighbours."""

    async def waits() -> None:
        match wait:
            case "sleep":
                await asyncio.sleep(60)
            case "activity":
                await programs.flaky("a")
            case "receive":
                await workflow.receive("x")
            case "shield":
                await asyncio.shield(asyncio.sleep(60))
            case _:
                async with asyncio.TaskGroup() as group:
                    group.create_task(asyncio.sleep(60))
                    group.create_task(programs.flaky("n"))

    bench.workflow(waits)
    programs.failing.append(ValueError("not yet"))
    bench.start("waits", id="w")
    cancel(bench, "enough")
    assert bench.outcome("w") == e.WorkflowCancelled("enough") and bench.store.due_timers(2**62) == []
    settled(bench)


# --- grace -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("crash", [False, True])
def test_a_run_that_cleans_up_in_time_ends_cancelled(bench: Workbench, crash: bool) -> None:
    bench.workflow(slow_to_stop)
    bench.start("slow_to_stop", id="w")
    cancel(bench, "stop", GRACE)
    if crash:
        bench.crash()
    bench.skip(MINUTE)
    assert bench.outcome("w") == e.WorkflowCancelled("stop") and calls == ["ship cleanup", "ship cleaned"]
    assert bench.store.due_timers(2**62) == []
    settled(bench)


@pytest.mark.parametrize("crash", [False, True])
def test_a_run_that_does_not_is_terminated_when_the_grace_is_over(bench: Workbench, crash: bool) -> None:
    bench.workflow(slow_to_stop)
    bench.start("slow_to_stop", 100, id="w")
    begun = bench.clock.now()
    cancel(bench, "stop", GRACE)
    assert [timer.fire_at for timer in bench.store.due_timers(2**62)][0] == begun + GRACE
    if crash:
        bench.crash()
    bench.skip(GRACE - 1)
    assert bench.status("w") is Status.RUNNING
    bench.skip(1)
    assert bench.outcome("w") == e.WorkflowTerminated("stop", "its grace period after the cancel was over") and calls == ["ship cleanup"]
    assert bench.store.due_timers(2**62) == []
    bench.skip(MINUTE)
    settled(bench)


def test_a_run_that_ends_at_once_is_given_none(bench: Workbench) -> None:
    bench.start("sleeper", id="w")
    cancel(bench, None, GRACE)
    assert bench.kinds("w") == ["WorkflowStarted", "TimerStarted", "WorkflowCancelRequested", "TimerCancelled", "WorkflowCancelled"]


def test_the_shortest_grace_counts_and_may_come_later(bench: Workbench) -> None:
    bench.workflow(slow_to_stop)
    bench.start("slow_to_stop", 1000, id="w")
    cancel(bench, "first")
    before = bench.history("w")
    cancel(bench, "second")
    assert bench.history("w") == before
    cancel(bench, "third", 100 * SECOND)
    cancel(bench, "fourth", 200 * SECOND)
    cancel(bench, "fifth", 20 * SECOND)
    assert [event.fire_at - bench.clock.now() for event in of(bench, "w", e.TimerStarted) if event.timer_id == e.GRACE] == [100 * SECOND, 20 * SECOND]
    bench.crash()
    bench.skip(20 * SECOND)
    assert bench.outcome("w") == e.WorkflowTerminated("first", "its grace period after the cancel was over")
    settled(bench)


def test_grace_ends_runs_that_are_paused_or_without_code(bench: Workbench) -> None:
    for name in ("paused", "waiting"):
        bench.start("listener", id=name)
    bench.call("pause", "paused")
    cancel(bench, "stop", GRACE, "paused")
    bench.codes.pop("listener")
    bench.crash()
    cancel(bench, "stop", GRACE, "waiting")
    bench.skip(GRACE)
    assert bench.status("paused") is bench.status("waiting") is Status.TERMINATED


def test_a_terminated_grace_is_taken_back_when_reopened(bench: Workbench) -> None:
    bench.workflow(slow_to_stop)
    bench.start("slow_to_stop", 1000, id="w")
    cancel(bench, "stop", GRACE)
    bench.skip(GRACE)
    bench.call("reopen", "w")
    bench.crash()
    bench.signal("w", "never", 1)
    assert bench.result("w") == "?"
    settled(bench)


@pytest.mark.parametrize("grace", [0, -1])
def test_a_grace_of_nothing_is_refused(bench: Workbench, grace: int) -> None:
    bench.start("listener", id="w")
    before = snapshot(bench)
    with pytest.raises(errors.InvalidOption, match="terminate"):
        cancel(bench, None, grace)
    assert snapshot(bench) == before


def test_given_terminate_with_reason_and_details_then_no_code_runs_and_the_caller_sees_both(bench: Workbench) -> None:
    """F04."""
    bench.start("patient", id="w")
    bench.call("terminate", "w", None, "why", "and more about it")
    assert bench.call("result", "w")[2] == e.WorkflowTerminated("why", "and more about it") and calls == []


@pytest.mark.parametrize("fault", list(Fault), ids=lambda fault: fault.name)
@pytest.mark.parametrize("verb", ["cancel", "grace", "terminate", "pause", "resume"])
def test_every_verb_happens_whole_or_not_at_all(bench: Workbench, verb: str, fault: Fault) -> None:
    bench.workflow(slow_to_stop)
    bench.start("slow_to_stop", id="w")
    if verb == "resume":
        bench.call("pause", "w")
    store = bench.store
    assert isinstance(store, FaultyStore)
    before = bench.history("w")
    number = store.commits + 1
    store.plan = lambda commit: fault if commit == number else None
    call = Call("cancel", "w", None, "r", False, GRACE) if verb == "grace" else Call(verb, "w")
    try:
        bench.host.ask(call)
        bench.host.pump()
    except Crash:
        bench.crash()
    after = bench.history("w")
    assert (after != before) == fault.writes
    if not fault.writes:
        assert after == before
        bench.call(*(("cancel", "w", None, "r", False, GRACE) if verb == "grace" else (verb, "w")))
    bench.skip(MINUTE)
    expected = {"cancel": Status.CANCELLED, "grace": Status.CANCELLED, "terminate": Status.TERMINATED, "pause": Status.PAUSED, "resume": Status.RUNNING}
    assert bench.status("w") is expected[verb]
    settled(bench)


# --- races -------------------------------------------------------------------------------------------------------------


async def racing(ends: str = "return") -> str:
    """Ends by returning or failing when it is told to; cleans up when it is cancelled."""
    try:
        await workflow.receive("end")
    except asyncio.CancelledError:
        await programs.ship("cleanup")
        raise
    if ends == "raise":
        raise ValueError("as it was told")
    return "done"


VERBS = st.sampled_from(["signal", "cancel", "grace", "terminate", "pause", "resume", "reopen", "skip", "crash", "suspend", "reset", "turn"])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=st.lists(VERBS, min_size=1, max_size=14), ends=st.sampled_from(["return", "raise"]), together=st.booleans())
def test_law_racing_verbs_write_exactly_one_end_for_each_lease(moves: list[str], ends: str, together: bool) -> None:
    """In any order, in one turn or many, with restarts between: a closed run has one end, and one more for each time it was reopened."""
    bench = Workbench(FaultyStore(MemoryStore()))
    programs.define(bench)
    bench.workflow(racing)
    bench.start("racing", ends, id="w", deadline=5 * MINUTE)
    asked: list[Call] = []

    def ask(verb: str, *arguments: Any) -> None:
        asked.append(Call(verb, *arguments))
        bench.engine.submit(asked[-1])
        if not together:
            bench.host.pump()

    for move in moves:
        match move:
            case "signal":
                ask("signal", "w", "end", bench.values.encode(None))
            case "grace":
                ask("cancel", "w", None, "late", False, 10 * SECOND)
            case "reset":
                ask("reset", "w", None, ForkRequest("end"))
            case "skip":
                ask("skip", 100 * SECOND)
            case "turn":
                bench.host.pump()
            case "crash":
                bench.host.pump()
                bench.crash()
            case _:
                ask(move, "w")
    bench.host.pump()
    for call in asked:
        assert call.poll()
        try:
            call.outcome()
        except errors.UsageError:
            continue
    check(bench)
    for row in bench.store.run_chain("w"):
        kinds = [type(recorded.event) for recorded in bench.store.run_history(row.key)]
        closings, openings = sum(kind in e.TERMINAL for kind in kinds), kinds.count(e.WorkflowReopened)
        assert closings == openings + row.status.closed
        assert not row.status.closed or kinds[-1] in e.TERMINAL
    before = bench.history("w")
    bench.crash()
    assert bench.history("w") == before
    assert all(run.stuck is None for run in bench.engine.registry)
    if bench.status("w") in REOPENED:
        bench.call("reopen", "w")
        check(bench)
    for run in bench.engine.registry:
        if run.process is not None:
            run.process.close()
