"""Cancel, terminate, pause and resume: what each records, and what races between them come to."""
from __future__ import annotations

import asyncio
from itertools import permutations
from typing import Any

import pytest

from aionlab import workflow
from aionlab.core import errors
from aionlab.core import events as e
from aionlab.core.status import Status
from aionlab.engine.call import Call
from aionlab.testing.workbench import Workbench
from tests.engine import programs
from tests.engine.programs import SECOND, calls, failing, of, snapshot


def together(bench: Workbench, *verbs: tuple[Any, ...]) -> list[Any]:
    """Several verbs in one turn; what each answered or raised."""
    asked = [Call(verb, *arguments) for verb, *arguments in verbs]
    for call in asked:
        bench.engine.submit(call)
    bench.host.pump()
    outcomes: list[Any] = []
    for call in asked:
        try:
            outcomes.append(call.outcome())
        except errors.AionError as error:
            outcomes.append(type(error))
    return outcomes


def test_cancel_lets_the_code_clean_up(bench: Workbench) -> None:
    bench.start("patient", id="w")
    bench.call("cancel", "w", None, "enough")
    assert bench.outcome("w") == e.WorkflowCancelled("enough") and bench.status("w") is Status.CANCELLED
    assert calls == ["ship cleanup"]
    assert bench.kinds("w") == [
        "WorkflowStarted", "WorkflowCancelRequested", "ActivityScheduled", "ActivityStarted", "ActivityCompleted", "WorkflowCancelled",
    ]  # fmt: skip
    bench.crash()
    assert calls == ["ship cleanup"]


def test_cancel_during_a_sleep_ends_its_timer(bench: Workbench) -> None:
    bench.start("sleeper", 60, id="w")
    bench.call("cancel", "w")
    assert bench.status("w") is Status.CANCELLED and bench.store.due_timers(2**62) == []
    bench.skip(100 * SECOND)
    assert bench.kinds("w")[-1] == "WorkflowCancelled"


def test_cancelling_twice_changes_nothing(bench: Workbench) -> None:
    async def slow() -> str:
        try:
            await workflow.receive("x")
        except asyncio.CancelledError:
            await workflow.receive("finish")
            raise
        return "?"

    bench.workflow(slow)
    bench.start("slow", id="w")
    bench.call("cancel", "w", None, "first")
    before = bench.history("w")
    bench.call("cancel", "w", None, "second")
    bench.crash()
    bench.call("cancel", "w", None, "third")
    assert bench.history("w") == before
    bench.signal("w", "finish")
    assert bench.outcome("w") == e.WorkflowCancelled("first")
    with pytest.raises(errors.RunClosed, match="Cancelled"):
        bench.call("cancel", "w")


@pytest.mark.parametrize("ending", ["return", "raise"])
def test_code_may_refuse_to_be_cancelled(bench: Workbench, ending: str) -> None:
    async def stubborn() -> str:
        try:
            await workflow.receive("x")
        except asyncio.CancelledError:
            if ending == "raise":
                raise ValueError("not now") from None
        return "done anyway"

    bench.workflow(stubborn)
    bench.start("stubborn", id="w")
    bench.call("cancel", "w")
    assert bench.status("w") is (Status.COMPLETED if ending == "return" else Status.FAILED)


def test_cancelled_error_without_a_request_is_a_failure(bench: Workbench) -> None:
    async def odd() -> None:
        raise asyncio.CancelledError

    bench.workflow(odd)
    bench.start("odd", id="w")
    assert bench.status("w") is Status.FAILED and bench.outcome("w").error.name == "CancelledError"


def test_cancel_reaches_nested_tasks_and_spares_shielded_ones(bench: Workbench) -> None:
    async def nested() -> list[Any]:
        safe = asyncio.ensure_future(asyncio.sleep(5, "safe"))
        try:
            await asyncio.gather(asyncio.sleep(50), asyncio.shield(safe), programs.charge(1), workflow.receive("x"))
        except asyncio.CancelledError:
            return [await safe]
        return []

    bench.workflow(nested)
    bench.start("nested", id="w")
    bench.call("cancel", "w")
    bench.skip(5 * SECOND)
    assert bench.result("w") == ["safe"]
    assert of(bench, "w", e.TimerCancelled) == [e.TimerCancelled(1)]
    assert [fired.timer_id for fired in of(bench, "w", e.TimerFired)] == [0]


def test_cancel_in_the_turn_of_the_start(bench: Workbench) -> None:
    from aionlab.engine.lifecycle.start import StartRequest

    request = StartRequest("patient", bench.values.encode_args((), {}), workflow_id="w")
    assert together(bench, ("start", request), ("cancel", "w", None, "no"))[1] is None
    assert bench.outcome("w") == e.WorkflowCancelled("no") and calls == ["ship cleanup"]


def test_terminate_runs_no_code(bench: Workbench) -> None:
    ran: list[str] = []

    async def noting() -> None:
        try:
            await workflow.receive("x")
        except BaseException as error:
            ran.append(type(error).__name__)
            raise

    bench.workflow(noting)
    bench.start("noting", id="w", deadline=100 * SECOND)
    bench.call("terminate", "w", None, "stop", "details")
    assert bench.outcome("w") == e.WorkflowTerminated("stop", "details")
    assert "CancelledError" not in ran
    assert bench.kinds("w") == ["WorkflowStarted", "TimerStarted", "WorkflowTerminated"]
    assert bench.call("registry") == [] and bench.store.due_timers(2**62) == []
    with pytest.raises(errors.RunClosed, match="Terminated"):
        bench.call("terminate", "w")


def test_terminate_works_where_the_code_is_missing(bench: Workbench) -> None:
    bench.start("patient", id="w")
    bench.codes.pop("patient")
    bench.crash()
    bench.call("terminate", "w", None, "gone")
    assert bench.status("w") is Status.TERMINATED


@pytest.mark.parametrize("order", list(permutations(["cancel", "terminate", "signal", "deadline"])), ids="-".join)
def test_racing_verbs_write_one_terminal_event(bench: Workbench, order: tuple[str, ...]) -> None:
    bench.start("listener", "x", 1, id="w", deadline=SECOND)
    asked: list[tuple[Any, ...]] = []
    for verb in order:
        if verb == "signal":
            asked.append(("signal", "w", "x", bench.values.encode(1)))
        elif verb == "deadline":
            asked.append(("skip", SECOND))
        else:
            asked.append((verb, "w"))
    outcomes = together(bench, *asked)
    first = next(verb for verb in order if verb != "deadline")
    expected = {"cancel": Status.CANCELLED, "terminate": Status.TERMINATED, "signal": Status.COMPLETED}[first]
    assert bench.status("w") is expected
    assert [outcome for verb, outcome in zip(order, outcomes, strict=True) if verb not in ("deadline", first)] == [errors.RunClosed] * 2
    assert sum(type(event) in e.TERMINAL for event in programs.events(bench, "w")) == 1


def test_a_deadline_already_due_wins_over_the_verbs_of_its_turn(bench: Workbench) -> None:
    bench.start("listener", "x", 1, id="w", deadline=SECOND)
    bench.clock._now += SECOND
    assert together(bench, ("terminate", "w"), ("cancel", "w")) == [errors.RunClosed] * 2
    assert bench.status("w") is Status.TIMED_OUT


@pytest.mark.parametrize("verb", ["cancel", "terminate", "pause", "resume", "suspend", "retry"])
def test_verbs_check_their_run_first(bench: Workbench, verb: str) -> None:
    bench.start("quick", id="done")
    bench.start("listener", id="w")
    before = snapshot(bench)
    with pytest.raises(errors.RunNotFound):
        bench.call(verb, "nobody")
    with pytest.raises(errors.RunNotFound):
        bench.call(verb, "w", "run-0099")
    with pytest.raises(errors.RunClosed):
        bench.call(verb, "done")
    assert snapshot(bench) == before


@pytest.mark.parametrize("reason", ["\ud800", "x" * 100_000, 7, b"x"], ids=["surrogate", "long", "number", "bytes"])
def test_reasons_that_cannot_be_recorded(bench: Workbench, reason: Any) -> None:
    bench.start("listener", id="w")
    before = snapshot(bench)
    for verb in ("cancel", "terminate", "pause"):
        with pytest.raises(errors.InvalidOption, match="reason"):
            bench.call(verb, "w", None, reason)
    assert snapshot(bench) == before and bench.call("entry", "w").residency == "Resident"


# --- pause and resume --------------------------------------------------------------------------------------------------


def test_while_paused_facts_are_recorded_and_nothing_runs(bench: Workbench) -> None:
    async def busy() -> list[Any]:
        sleeping = asyncio.ensure_future(asyncio.sleep(5, "slept"))
        got = await workflow.receive("x")
        return [got, await sleeping, await programs.charge(1)]

    bench.workflow(busy)
    bench.start("busy", id="w")
    bench.call("pause", "w", None, "lunch")
    assert bench.status("w") is Status.PAUSED
    bench.signal("w", "x", "ping")
    bench.skip(10 * SECOND)
    assert [r.deferred for r in bench.history("w")][-2:] == [True, True] and calls == []
    assert bench.kinds("w")[-3:] == ["WorkflowPaused", "SignalReceived", "TimerFired"]
    bench.crash()
    assert bench.status("w") is Status.PAUSED and calls == []
    bench.call("resume", "w")
    assert bench.result("w") == ["ping", "slept", 2] and calls == ["charge 1"]
    assert [event.attempt for event in of(bench, "w", e.ActivityStarted)] == [1]
    before = bench.history("w")
    bench.crash()
    assert bench.history("w") == before


def test_the_activity_asked_at_a_resumption_is_begun_once(bench: Workbench) -> None:
    bench.start("order", id="w")
    bench.call("pause", "w")
    bench.signal("w", "approval", "ada")
    bench.call("resume", "w")
    assert calls == ["charge 1", "ship box"] and len(of(bench, "w", e.ActivityStarted)) == 2


def test_what_is_in_flight_ends_while_paused_and_its_retry_waits(bench: Workbench) -> None:
    failing.append(ValueError("1"))
    bench.start("retrying", id="w")
    bench.call("pause", "w")
    bench.skip(10 * SECOND)
    assert calls == ["flaky r"]
    bench.crash()
    bench.skip(10 * SECOND)
    assert calls == ["flaky r"]
    bench.call("resume", "w")
    assert bench.result("w") == "r" and [event.attempt for event in of(bench, "w", e.ActivityStarted)] == [1, 2]


def test_a_retry_due_after_the_resumption_keeps_its_time(bench: Workbench) -> None:
    failing.append(ValueError("1"))
    bench.start("retrying", id="w")
    begun = bench.clock.now()
    bench.call("pause", "w")
    bench.skip(SECOND // 2)
    bench.call("resume", "w")
    bench.skip(10 * SECOND)
    assert bench.result("w") == "r"
    assert [r.at - begun for r in bench.history("w") if isinstance(r.event, e.ActivityStarted)] == [0, SECOND]


def test_a_deadline_passes_while_paused(bench: Workbench) -> None:
    bench.start("listener", id="w", deadline=SECOND)
    bench.call("pause", "w")
    bench.skip(SECOND)
    assert bench.status("w") is Status.TIMED_OUT


@pytest.mark.parametrize("crash", [False, True])
def test_cancel_while_paused_waits_for_the_resumption(bench: Workbench, crash: bool) -> None:
    bench.start("patient", id="w")
    bench.call("pause", "w")
    bench.call("cancel", "w", None, "late")
    if crash:
        bench.crash()
    bench.call("cancel", "w", None, "again")
    assert bench.status("w") is Status.PAUSED and calls == [] and len(of(bench, "w", e.WorkflowCancelRequested)) == 1
    bench.call("resume", "w")
    assert bench.outcome("w") == e.WorkflowCancelled("late") and calls == ["ship cleanup"]


def test_terminate_while_paused(bench: Workbench) -> None:
    bench.start("patient", id="w")
    bench.call("pause", "w")
    bench.call("terminate", "w")
    assert bench.status("w") is Status.TERMINATED


def test_pausing_twice_and_resuming_what_runs_change_nothing(bench: Workbench) -> None:
    bench.start("listener", id="w")
    before = snapshot(bench)
    bench.call("resume", "w")
    assert snapshot(bench) == before
    bench.call("pause", "w", None, "first")
    before = snapshot(bench)
    bench.call("pause", "w", None, "second")
    bench.crash()
    bench.call("pause", "w")
    assert snapshot(bench) == before
    bench.call("resume", "w")
    assert together(bench, ("pause", "w"), ("pause", "w"), ("resume", "w"), ("resume", "w")) == [None] * 4
    assert [type(event) for event in programs.events(bench, "w")[1:]] == [e.WorkflowPaused, e.WorkflowResumed] * 2


def test_pause_and_resume_in_the_turn_of_signals(bench: Workbench) -> None:
    bench.start("listener", "x", 4, id="w")
    values = [("signal", "w", "x", bench.values.encode(n)) for n in range(4)]
    together(bench, values[0], ("pause", "w"), values[1], values[2], ("resume", "w"), values[3])
    assert bench.result("w") == [0, 1, 2, 3]
    before = bench.history("w")
    assert [r.deferred for r in before if isinstance(r.event, e.SignalReceived)] == [False, True, True, False]
    bench.crash()
    assert bench.history("w") == before


def test_a_suspended_run_is_paused_and_resumed(bench: Workbench) -> None:
    bench.start("listener", "x", 1, id="w")
    bench.call("suspend", "w")
    bench.call("pause", "w")
    bench.signal("w", "x", 1)
    bench.call("resume", "w")
    assert bench.result("w") == [1]


# --- waiting for the end -----------------------------------------------------------------------------------------------


def test_result_waits_and_is_served_to_everyone(bench: Workbench) -> None:
    bench.start("listener", "x", 1, id="w")
    waiting = [bench.host.ask(Call("result", "w")) for _ in range(3)]
    assert not any(call.poll() for call in waiting)
    bench.signal("w", "x", 1)
    assert {call.outcome() for call in waiting} == {bench.call("result", "w")}
    bench.crash()
    assert bench.call("result", "w")[2] == bench.outcome("w")


def test_result_in_the_turn_that_ends_the_run(bench: Workbench) -> None:
    bench.start("listener", id="w")
    outcomes = together(bench, ("terminate", "w", None, "r"), ("result", "w"), ("result", "w", "run-0001"))
    assert outcomes[1] == outcomes[2] == ("w", "run-0001", e.WorkflowTerminated("r"))


def test_result_survives_suspension_and_withdrawal(bench: Workbench) -> None:
    bench.start("listener", "x", 1, id="w")
    first, second = (bench.host.ask(Call("result", "w")) for _ in range(2))
    bench.call("suspend", "w")
    bench.call("unwait", first)
    bench.signal("w", "x", 1)
    assert not first.poll() and second.poll()


def test_a_withdrawn_call_never_happens(bench: Workbench) -> None:
    bench.start("listener", id="w")
    call = Call("terminate", "w")
    bench.engine.submit(call)
    assert call.withdraw() is True and call.take() is False
    bench.host.pump()
    assert bench.status("w") is Status.RUNNING and not call.poll()
    taken = bench.host.ask(Call("terminate", "w"))
    assert taken.withdraw() is False and bench.status("w") is Status.TERMINATED


def test_the_main_coroutines_end_is_the_runs_end(bench: Workbench) -> None:
    async def leaving() -> str:
        background = asyncio.ensure_future(programs.charge(1))
        later = asyncio.ensure_future(asyncio.sleep(5))
        return f"left {background.done()} {later.done()}"

    bench.workflow(leaving)
    bench.start("leaving", id="w")
    assert bench.kinds("w") == ["WorkflowStarted", "WorkflowCompleted"] and calls == []
    assert bench.store.due_timers(2**62) == []


@pytest.mark.parametrize("error", [SystemExit(2), KeyboardInterrupt(), GeneratorExit(), RecursionError("x"), StopIteration(1)], ids=repr)
def test_code_that_raises_anything_fails_its_run_alone(bench: Workbench, error: BaseException) -> None:
    async def raising() -> None:
        await asyncio.sleep(1)
        raise error

    async def raising_in_a_task() -> None:
        async def inner() -> None:
            await asyncio.sleep(1)
            raise error

        await asyncio.create_task(inner())

    bench.workflow(raising)
    bench.workflow(raising_in_a_task)
    bench.start("raising", id="a")
    bench.start("raising_in_a_task", id="b")
    bench.start("sleeper", 1, id="c")
    bench.skip(SECOND)
    assert bench.status("a") is bench.status("b") is Status.FAILED and bench.result("c") == "woke"
