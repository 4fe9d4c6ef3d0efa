"""Reopen: from where a closed run goes on, what runs again, and that its history replays exactly."""
from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from aionlab import Retry, activity, workflow
from aionlab.core import errors
from aionlab.core import events as e
from aionlab.core.status import REOPENED, Status
from aionlab.engine.call import Call
from aionlab.testing.faults import Crash, FaultyStore
from aionlab.testing.points import arm
from aionlab.testing.workbench import Workbench
from tests.engine import programs
from tests.engine.programs import MINUTE, SECOND, calls, failing, of, snapshot


def settled(bench: Workbench, workflow_id: str = "w") -> None:
    """What is recorded is all there is: an engine that opens the store anew adds nothing, and nothing diverges."""
    before = bench.history(workflow_id)
    bench.crash()
    assert bench.history(workflow_id) == before
    live = bench.engine.find(workflow_id)
    assert live is None or live.stuck is None


def reopen(bench: Workbench, workflow_id: str = "w", **options: Any) -> None:
    bench.call("reopen", workflow_id, options.get("run_id"), options.get("reason"))


def down(times: int) -> None:
    failing.extend(ValueError(str(n)) for n in range(times))


# --- the table ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", list(Status), ids=str)
def test_which_statuses_may_be_reopened(bench: Workbench, status: Status) -> None:
    async def onwards() -> None:
        if workflow.info().run_number == 1:
            workflow.continue_as_new()
        await workflow.receive("x")

    bench.workflow(onwards)
    run_id = None
    match status:
        case Status.FAILED:
            bench.start("failing_run", id="w")
        case Status.CONTINUED_AS_NEW:
            bench.start("onwards", id="w")
            run_id = bench.store.run_chain("w")[0].run_id
            bench.call("terminate", "w")
        case _:
            bench.start("listener", "x", 1, id="w", deadline=SECOND)
            if status is Status.PAUSED:
                bench.call("pause", "w")
            elif status is Status.COMPLETED:
                bench.signal("w", "x", 1)
            elif status is Status.CANCELLED:
                bench.call("cancel", "w")
            elif status is Status.TERMINATED:
                bench.call("terminate", "w")
            elif status is Status.TIMED_OUT:
                bench.skip(SECOND)
    assert bench.call("run", "w", run_id).status is status
    before = snapshot(bench)
    if status in REOPENED:
        bench.call("reopen", "w")
        assert bench.status("w") is (Status.FAILED if status is Status.FAILED else Status.RUNNING)
        settled(bench)
        return
    with pytest.raises(errors.CannotReopen) as caught:
        bench.call("reopen", "w", run_id)
    assert caught.value.status == status.value and "cannot be reopened" in str(caught.value)
    assert snapshot(bench) == before


def test_reopening_checks_its_run_first(bench: Workbench) -> None:
    bench.start("failing_run", id="w")
    before = snapshot(bench)
    with pytest.raises(errors.RunNotFound):
        bench.call("reopen", "nobody")
    with pytest.raises(errors.RunNotFound):
        bench.call("reopen", "w", "run-0099")
    with pytest.raises(errors.InvalidOption):
        bench.call("reopen", "w", None, 7)
    assert snapshot(bench) == before


def test_only_the_newest_run_of_an_id_is_reopened(bench: Workbench) -> None:
    bench.start("failing_run", id="w")
    bench.start("listener", id="w")
    for crash in (False, True):
        if crash:
            bench.call("terminate", "w")
            bench.crash()
        before = snapshot(bench)
        with pytest.raises(errors.CannotReopen, match="run-0002 has followed it; fork it"):
            bench.call("reopen", "w", "run-0001")
        assert snapshot(bench) == before


# --- failed: the activity runs again -----------------------------------------------------------------------------------


async def guarded() -> list[Any]:
    """An activity that works, one that may not, one behind it."""
    return [await programs.charge(1), await programs.flaky("f"), await programs.ship("box")]


@pytest.mark.parametrize("crash", [False, True])
def test_the_failed_activity_runs_again_and_nothing_else(bench: Workbench, crash: bool) -> None:
    bench.workflow(guarded)
    down(3)
    bench.start("guarded", id="w")
    bench.skip(MINUTE)
    assert bench.status("w") is Status.FAILED and calls == ["charge 1", *["flaky f"] * 3]
    if crash:
        bench.crash()
    calls.clear()
    reopen(bench, reason="mended")
    assert bench.result("w") == [2, "f", "box shipped"] and calls == ["flaky f", "ship box"]
    (reopened,) = of(bench, "w", e.WorkflowReopened)
    assert (reopened.activities, reopened.reason) == ((1,), "mended")
    assert [event.attempt for event in of(bench, "w", e.ActivityStarted) if event.activity_id == 1] == [1, 2, 3, 4]
    assert bench.status("w") is Status.COMPLETED and len(of(bench, "w", e.WorkflowFailed)) == 1, "the earlier end stays in the history"
    settled(bench)


def test_it_has_all_its_attempts_again(bench: Workbench) -> None:
    bench.workflow(guarded)
    down(5)
    bench.start("guarded", id="w")
    bench.skip(MINUTE)
    reopen(bench)
    assert bench.status("w") is Status.RUNNING and calls.count("flaky f") == 4
    bench.crash()
    bench.skip(MINUTE)
    assert bench.result("w")[1] == "f" and calls.count("flaky f") == 6
    failures = of(bench, "w", e.ActivityFailed)
    assert [event.next_attempt_at is not None for event in failures] == [True, True, False, True, True]
    delays = [event.next_attempt_at - r.at for r in bench.history("w") if isinstance(event := r.event, e.ActivityFailed) and event.next_attempt_at]
    assert delays == [SECOND, 2 * SECOND] * 2, "and the delays begin anew"


def test_a_run_may_be_reopened_again_and_again(bench: Workbench) -> None:
    bench.workflow(guarded)
    down(9)
    bench.start("guarded", id="w")
    for _ in range(3):
        bench.skip(MINUTE)
        assert bench.status("w") is Status.FAILED
        settled(bench)
        reopen(bench)
    bench.skip(MINUTE)
    assert bench.result("w") == [2, "f", "box shipped"] and calls.count("charge 1") == 1
    assert len(of(bench, "w", e.WorkflowReopened)) == 3
    settled(bench)


def test_several_that_failed_together_run_again_and_results_that_came_later_stay(bench: Workbench) -> None:
    async def all_of_them() -> list[Any]:
        found = await asyncio.gather(programs.flaky("a"), programs.flaky("b"), asyncio.sleep(60, "slept"), return_exceptions=True)
        for each in found:
            if isinstance(each, BaseException):
                raise each
        return [*found, await programs.charge(1)]

    bench.workflow(all_of_them)
    down(6)
    bench.start("all_of_them", id="w")
    bench.skip(2 * MINUTE)
    assert bench.status("w") is Status.FAILED and calls.count("flaky a") == calls.count("flaky b") == 3
    reopen(bench)
    assert bench.result("w") == ["a", "b", "slept", 2]
    (reopened,) = of(bench, "w", e.WorkflowReopened)
    assert reopened.activities == (0, 1) and len(of(bench, "w", e.TimerFired)) == 1, "the timer had fired, and is not fired again"
    settled(bench)


def test_a_failure_the_code_has_dealt_with_stays(bench: Workbench) -> None:
    async def falls_back() -> list[Any]:
        try:
            first: Any = await programs.flaky("a")
        except errors.ActivityError:
            first = await programs.ship("instead")
        return [first, await programs.flaky("b")]

    bench.workflow(falls_back)
    down(6)
    bench.start("falls_back", id="w")
    bench.skip(MINUTE)
    assert bench.status("w") is Status.FAILED
    calls.clear()
    reopen(bench)
    assert bench.result("w") == ["instead shipped", "b"] and calls == ["flaky b"]
    settled(bench)


def test_what_the_code_did_about_the_failure_counts_no_more_and_its_numbers_are_not_used_again(bench: Workbench) -> None:
    async def compensates() -> list[Any]:
        try:
            return [await programs.charge(1), await programs.flaky("b"), await programs.charge(3)]
        except errors.ActivityError:
            await programs.ship("refund")
            await asyncio.sleep(5)
            raise

    bench.workflow(compensates)
    down(3)
    bench.start("compensates", id="w")
    bench.skip(MINUTE)
    assert bench.status("w") is Status.FAILED and "ship refund" in calls
    calls.clear()
    reopen(bench)
    assert bench.result("w") == [2, "b", 6] and calls == ["flaky b", "charge 3"]
    assert [event.activity_id for event in of(bench, "w", e.ActivityScheduled)] == [0, 1, 2, 3], "2 was the refund's"
    settled(bench)


def test_a_late_report_of_an_attempt_before_the_end_is_no_result_of_one_after(bench: Workbench) -> None:
    from aionlab.core.ports import Finished

    bench.workflow(guarded)
    down(3)
    bench.start("guarded", id="w")
    bench.skip(MINUTE)
    failing.append(ValueError("again"))
    reopen(bench)
    key = bench.call("run", "w").key
    for attempt in (1, 2, 3):
        bench.engine.submit(Finished(key, 1, attempt, bench.values.encode("stale"), None))
    bench.host.pump()
    assert bench.status("w") is Status.RUNNING
    bench.skip(MINUTE)
    assert bench.result("w")[1] == "f"


def test_an_activity_that_timed_out_has_its_time_again(bench: Workbench) -> None:
    @activity(schedule_to_close="10s", retry=Retry(initial="4s", backoff=1))
    def picky() -> str:
        calls.append("picky")
        if failing:
            raise failing.pop(0) or ValueError()
        return "fine"

    async def waits() -> str:
        return await picky()

    bench.activity(picky)
    bench.workflow(waits)
    down(4)
    bench.start("waits", id="w")
    bench.skip(MINUTE)
    assert bench.status("w") is Status.FAILED and calls == ["picky"] * 3
    reopen(bench)
    bench.crash()
    bench.skip(MINUTE)
    assert bench.result("w") == "fine" and calls == ["picky"] * 5
    settled(bench)


def test_code_that_raised_by_itself_raises_again(bench: Workbench) -> None:
    bench.start("failing_run", id="w")
    reopen(bench)
    assert bench.kinds("w") == ["WorkflowStarted", "WorkflowFailed", "WorkflowReopened", "WorkflowFailed"]
    settled(bench)
    reopen(bench)
    assert bench.status("w") is Status.FAILED
    settled(bench)


def test_a_signal_the_code_failed_over_reaches_it_again(bench: Workbench) -> None:
    async def picky() -> Any:
        if (got := await workflow.receive("x")) == "bad":
            await programs.flaky("undo")
        return got

    bench.workflow(picky)
    down(3)
    bench.start("picky", id="w")
    bench.signal("w", "x", "bad", "key-1")
    bench.skip(MINUTE)
    assert bench.status("w") is Status.FAILED
    reopen(bench)
    assert bench.result("w") == "bad"
    assert bench.signal("w", "x", "bad", "key-1") is False, "its idempotency key is still known"
    settled(bench)


def test_a_rolled_back_start_runs_when_it_is_reopened(bench: Workbench) -> None:
    arm(bench, "place")
    with pytest.raises(errors.StartAborted):
        bench.start("three", id="w")
    assert calls == []
    reopen(bench)
    assert bench.result("w") == 12
    settled(bench)


def test_reopening_under_mended_code(bench: Workbench) -> None:
    async def divides(by: int = 0) -> list[Any]:
        paid = await programs.charge(1)
        return [paid, 1 // by]

    async def mended(by: int = 0) -> list[Any]:
        paid = await programs.charge(1)
        return [paid, 1 // by if by else await programs.ship("nothing")]

    async def other(by: int = 0) -> Any:
        return await programs.ship("something")

    bench.workflow(divides)
    bench.start("divides", id="w")
    assert bench.status("w") is Status.FAILED
    bench.workflow(mended, "divides", "v2")
    bench.workflow(other, "divides", "v3")
    before = snapshot(bench)
    with pytest.raises(errors.NondeterminismError, match="activity charge#0"):
        bench.call("reopen", "w", None, None, "v3")
    assert snapshot(bench) == before
    calls.clear()
    bench.call("reopen", "w", None, None, "v2")
    assert bench.result("w") == [2, "nothing shipped"] and calls == ["ship nothing"]
    assert bench.call("run", "w").version == "v2" and of(bench, "w", e.VersionChanged) == [e.VersionChanged("v1", "v2")]
    bench.codes["divides"] = bench.workflow(mended, "divides", "v2")
    settled(bench)


# --- terminated and timed out: it goes on where it stood ---------------------------------------------------------------


@pytest.mark.parametrize("crash", [False, True])
def test_a_terminated_run_goes_on_where_it_stood(bench: Workbench, crash: bool) -> None:
    bench.start("listener", "x", 2, id="w")
    bench.signal("w", "x", 1)
    bench.call("terminate", "w", None, "oops")
    if crash:
        bench.crash()
    reopen(bench)
    settled(bench)
    bench.signal("w", "x", 2)
    assert bench.result("w") == [1, 2]
    settled(bench)


def test_timers_are_pending_at_their_old_times(bench: Workbench) -> None:
    async def two() -> list[float]:
        begun = workflow.now().timestamp()
        short, long = asyncio.ensure_future(asyncio.sleep(10)), asyncio.ensure_future(asyncio.sleep(60))
        await short
        first = workflow.now().timestamp() - begun
        await long
        return [first, workflow.now().timestamp() - begun]

    bench.workflow(two)
    bench.start("two", id="w")
    before = bench.store.due_timers(2**62)
    bench.call("terminate", "w")
    bench.skip(30 * SECOND)
    reopen(bench)
    assert [event.timer_id for event in of(bench, "w", e.TimerFired)] == [0], "what has come due meanwhile fires at once"
    assert [timer.fire_at for timer in bench.store.due_timers(2**62)] == [before[1].fire_at]
    bench.crash()
    bench.skip(30 * SECOND)
    assert bench.result("w") == [30.0, 60.0]
    settled(bench)


@pytest.mark.parametrize("how", ["deadline", "terminate"])
def test_a_deadline_that_is_over_does_not_come_back(bench: Workbench, how: str) -> None:
    bench.start("sleeper", 100, id="w", deadline=50 * SECOND)
    if how == "terminate":
        bench.call("terminate", "w")
    bench.skip(MINUTE)
    reopen(bench)
    bench.skip(MINUTE)
    assert bench.result("w") == "woke"
    settled(bench)


def test_a_deadline_that_is_not_over_goes_on(bench: Workbench) -> None:
    bench.start("sleeper", 100, id="w", deadline=50 * SECOND)
    begun = bench.clock.now()
    bench.call("terminate", "w")
    bench.skip(10 * SECOND)
    reopen(bench)
    bench.crash()
    bench.skip(MINUTE)
    assert bench.outcome("w") == e.WorkflowTimedOut(begun + 50 * SECOND)


def test_what_waited_in_a_paused_run_reaches_the_reopened_one(bench: Workbench) -> None:
    bench.start("listener", "x", 2, id="w")
    bench.call("pause", "w")
    bench.signal("w", "x", 1)
    bench.call("terminate", "w")
    reopen(bench)
    assert bench.status("w") is Status.RUNNING
    bench.signal("w", "x", 2)
    assert bench.result("w") == [1, 2]
    settled(bench)


def test_an_attempt_that_was_under_way_is_made_again(make_bench: Callable[..., Workbench]) -> None:
    from aionlab.backends.inline import InlineExecutor

    class Slow(InlineExecutor):
        """Takes attempts and reports nothing."""

        def submit(self, attempt: Any, *_: Any) -> None:
            calls.append(f"{attempt.activity_type} attempt {attempt.attempt}")

    bench = make_bench(executor=Slow(lambda name: None))
    bench.start("three", id="w")
    bench.call("terminate", "w")
    reopen(bench)
    assert calls == ["charge attempt 1", "charge attempt 2"]
    assert bench.status("w") is Status.RUNNING


def test_search_attributes_stay_as_they_are(bench: Workbench) -> None:
    async def stages() -> None:
        workflow.upsert_search_attributes(stage="one")
        try:
            await programs.flaky("f")
        except errors.ActivityError:
            workflow.upsert_search_attributes(stage="failing")
            await asyncio.sleep(1)
            raise
        workflow.upsert_search_attributes(stage="two")

    bench.call("register_attribute", "stage", "keyword")
    bench.workflow(stages)
    down(3)
    bench.start("stages", id="w")
    bench.skip(MINUTE)
    failing.append(ValueError("once more"))
    reopen(bench)
    assert bench.call("run", "w").attributes == {"stage": "failing"}
    bench.crash()
    assert bench.call("run", "w").attributes == {"stage": "failing"}
    bench.skip(MINUTE)
    assert bench.call("run", "w").attributes == {"stage": "two"}
    settled(bench)


# --- cancelled: the cancel is taken back -------------------------------------------------------------------------------


def test_a_cancel_is_taken_back_with_what_the_code_did_about_it(bench: Workbench) -> None:
    async def tidy() -> list[Any]:
        try:
            return [await programs.charge(1), await workflow.receive("x"), await programs.charge(2)]
        except asyncio.CancelledError:
            await programs.ship("cleanup")
            raise

    bench.workflow(tidy)
    bench.start("tidy", id="w")
    bench.call("cancel", "w", None, "too soon")
    assert bench.status("w") is Status.CANCELLED and calls == ["charge 1", "ship cleanup"]
    reopen(bench)
    settled(bench)
    bench.signal("w", "x", "go on")
    assert bench.result("w") == [2, "go on", 4] and calls == ["charge 1", "ship cleanup", "charge 2"]
    settled(bench)


def test_a_reopened_run_can_be_cancelled_again(bench: Workbench) -> None:
    bench.start("patient", id="w")
    bench.call("cancel", "w", None, "first")
    reopen(bench)
    bench.call("cancel", "w", None, "second")
    assert bench.outcome("w") == e.WorkflowCancelled("second") and calls == ["ship cleanup"] * 2
    settled(bench)


def test_timers_the_cancel_tore_down_are_pending_again(bench: Workbench) -> None:
    bench.start("sleeper", 60, id="w")
    due = bench.store.due_timers(2**62)
    bench.call("cancel", "w")
    assert bench.store.due_timers(2**62) == []
    bench.skip(10 * SECOND)
    reopen(bench)
    assert bench.store.due_timers(2**62) == due
    bench.skip(50 * SECOND)
    assert bench.result("w") == "woke"
    settled(bench)


def test_activities_the_cancel_withdrew_run_again(bench: Workbench) -> None:
    down(1)
    bench.start("retrying", id="w")
    bench.call("cancel", "w")
    assert bench.status("w") is Status.CANCELLED and calls == ["flaky r"]
    reopen(bench)
    bench.skip(MINUTE)
    assert bench.result("w") == "r" and calls == ["flaky r"] * 2
    settled(bench)


def test_a_cancel_that_code_had_refused_is_not_taken_back(bench: Workbench) -> None:
    async def stubborn() -> list[Any]:
        try:
            await workflow.receive("x")
        except asyncio.CancelledError:
            await programs.ship("refused")
        return [await programs.charge(1), await programs.flaky("b")]

    bench.workflow(stubborn)
    down(3)
    bench.start("stubborn", id="w")
    bench.call("cancel", "w")
    bench.skip(MINUTE)
    assert bench.status("w") is Status.FAILED
    calls.clear()
    reopen(bench)
    assert bench.result("w") == [2, "b"] and calls == ["flaky b"]
    settled(bench)


def test_a_cancel_that_the_code_turned_into_a_failure_is_taken_back(bench: Workbench) -> None:
    async def turns() -> Any:
        try:
            return await workflow.receive("x")
        except asyncio.CancelledError:
            raise ValueError("stopped") from None

    bench.workflow(turns)
    bench.start("turns", id="w")
    bench.call("cancel", "w")
    assert bench.status("w") is Status.FAILED
    reopen(bench)
    bench.signal("w", "x", 5)
    assert bench.result("w") == 5
    settled(bench)


# --- families ----------------------------------------------------------------------------------------------------------


async def parent(parent_close: str = "terminate") -> list[Any]:
    child = await workflow.start_child("listener", "x", 1, id="child", parent_close=parent_close)
    return [await programs.flaky("p"), await child]


@pytest.mark.parametrize("parent_close", ["terminate", "request_cancel", "abandon"])
@pytest.mark.parametrize("meanwhile", ["nothing", "completed"])
def test_children_that_were_stopped_for_their_parent_go_on_with_it(bench: Workbench, parent_close: str, meanwhile: str) -> None:
    bench.workflow(parent)
    down(3)
    bench.start("parent", parent_close, id="w")
    bench.skip(MINUTE)
    stopped = {"terminate": Status.TERMINATED, "request_cancel": Status.CANCELLED, "abandon": Status.RUNNING}[parent_close]
    assert bench.status("w") is Status.FAILED and bench.status("child") is stopped
    if meanwhile == "completed" and parent_close == "abandon":
        bench.signal("child", "x", "early")
    reopen(bench)
    settled(bench)
    if bench.status("child") is Status.RUNNING:
        bench.signal("child", "x", "late")
    bench.host.pump()
    assert bench.result("w") == ["p", ["early" if (meanwhile, parent_close) == ("completed", "abandon") else "late"]]
    settled(bench)
    settled(bench, "child")


def test_a_child_that_was_forgotten_meanwhile(bench: Workbench) -> None:
    bench.workflow(parent)
    down(3)
    bench.start("parent", id="w")
    bench.skip(MINUTE)
    bench.call("forget", "child")
    reopen(bench)
    assert bench.status("w") is Status.FAILED and "child" in str(bench.outcome("w"))
    settled(bench)


def test_children_asked_for_behind_the_cut_keep_their_numbers(bench: Workbench) -> None:
    async def delegates() -> list[Any]:
        try:
            first: Any = await programs.flaky("p")
        except errors.ActivityError:
            await workflow.execute_child("quick", 1)
            await workflow.send("listener-1", "x", "failed")
            raise
        await workflow.send("listener-1", "x", "went well")
        return [first, await workflow.execute_child("quick", 2)]

    bench.workflow(delegates)
    bench.start("listener", "x", 2, id="listener-1")
    down(3)
    bench.start("delegates", id="w")
    bench.skip(MINUTE)
    assert bench.status("w") is Status.FAILED
    reopen(bench)
    bench.host.pump()
    assert bench.result("w") == ["p", 3] and bench.result("listener-1") == ["failed", "went well"]
    assert [event.child_id for event in of(bench, "w", e.ChildWorkflowStarted)] == [0, 1]
    assert [event.send_id for event in of(bench, "w", e.SignalSent)] == [0, 1]
    settled(bench)


# --- together with everything else -------------------------------------------------------------------------------------


def test_reopening_in_the_turn_that_ends_the_run(bench: Workbench) -> None:
    bench.start("listener", "x", 1, id="w")
    asked = [Call(verb, "w") for verb in ("terminate", "reopen", "terminate", "reopen")]
    for call in asked:
        bench.engine.submit(call)
    bench.host.pump()
    with pytest.raises(errors.RunClosed):
        asked[2].outcome()
    assert asked[1].outcome() == ("w", "run-0001")
    with pytest.raises(errors.CannotReopen):
        asked[3].outcome()
    bench.signal("w", "x", 1)
    assert bench.result("w") == [1]
    settled(bench)


def test_results_wait_for_the_end_that_counts(bench: Workbench) -> None:
    bench.start("listener", "x", 1, id="w")
    bench.call("terminate", "w")
    assert isinstance(bench.call("result", "w")[2], e.WorkflowTerminated)
    reopen(bench)
    waiting = bench.host.ask(Call("result", "w"))
    assert not waiting.poll()
    bench.signal("w", "x", 1)
    assert isinstance(waiting.outcome()[2], e.WorkflowCompleted)


def test_a_reopened_run_whose_code_is_missing_waits_for_it(bench: Workbench) -> None:
    bench.start("listener", "x", 1, id="w")
    bench.call("terminate", "w")
    code = bench.codes.pop("listener")
    bench.crash()
    reopen(bench)
    assert bench.call("entry", "w").residency == "Waiting"
    bench.signal("w", "x", 1)
    bench.codes["listener"] = code
    bench.call("define", code)
    bench.host.pump()
    assert bench.result("w") == [1]
    settled(bench)


def test_queries_and_suspension_of_a_reopened_run(bench: Workbench) -> None:
    bench.start("with_handlers", id="w")
    bench.signal("w", "add", 5)
    bench.call("terminate", "w")
    reopen(bench)

    def n() -> Any:
        return bench.values.decode(bench.call("query", "w", "n", bench.values.encode_args((), {})))

    assert n() == 15
    bench.call("suspend", "w")
    bench.signal("w", "add", 1)
    assert n() == 16
    bench.signal("w", "add", "stop")
    assert n() == 16 and bench.result("w") == 16, "a closed run with two leases answers by replay"


@pytest.mark.parametrize("ended", ["failed", "cancelled", "terminated"])
@pytest.mark.parametrize("how", ["crash before", "crash after", "lost", "written", "full"])
def test_reopening_happens_whole_or_not_at_all(bench: Workbench, ended: str, how: str) -> None:
    async def life() -> list[Any]:
        return [await programs.charge(1), await programs.flaky("f"), await workflow.receive("x"), await programs.charge(2)]

    bench.workflow(life)
    down(3 if ended == "failed" else 0)
    bench.start("life", id="w")
    if ended == "failed":
        bench.skip(MINUTE)
    else:
        bench.call(ended.removesuffix("led").removesuffix("d") if ended == "terminated" else "cancel", "w")
    store = bench.store
    assert isinstance(store, FaultyStore)
    before = bench.history("w")
    call = Call("reopen", "w")
    if how.startswith("crash"):
        store.crash(store.commits + 1, after=how == "crash after")
        with pytest.raises(Crash):
            bench.host.ask(call)
        bench.crash()
    else:
        if how == "full":
            store.fail_next(lambda: errors.StoreFull("full"))
        else:
            store.doubt(written=how == "written")
        bench.host.ask(call)
        bench.host.pump()
        if how == "written":
            assert call.outcome() == ("w", "run-0001")
        else:
            with pytest.raises(errors.StoreError):
                call.outcome()
    if how in ("crash after", "written"):
        assert len(of(bench, "w", e.WorkflowReopened)) == 1
    else:
        assert bench.history("w") == before
        reopen(bench)
    bench.skip(MINUTE)
    bench.signal("w", "x", "s")
    assert bench.result("w") == [2, "f", "s", 4]
    assert calls.count("charge 1") == calls.count("charge 2") == 1
    settled(bench)


# --- messages, memos and patches in leases -------------------------------------------------------------------------------


async def messaged() -> list[Any]:
    got: list[Any] = []

    def add(value: Any) -> int:
        got.append(value)
        return len(got)

    workflow.on_update("add", add)
    workflow.upsert_memo(stage="begun")
    first = await workflow.receive("x")
    way = "new" if workflow.patched("way") else "old"
    try:
        await programs.flaky("m")
    except errors.ActivityError:
        workflow.upsert_memo(stage="failing")
        workflow.patched("only when failing")
        await workflow.receive("y")
        raise
    return [first, way, got, workflow.info().memo]


def update(bench: Workbench, value: Any, update_id: str) -> Any:
    bench.call("update", "w", "add", bench.values.encode_args((value,), {}), update_id)
    answer = bench.host.ask(Call("update_result", "w", update_id))
    bench.host.pump()
    return bench.values.decode(answer.outcome().result)


def test_updates_memos_and_patches_in_leases(bench: Workbench) -> None:
    bench.workflow(messaged)
    down(3)
    bench.start("messaged", id="w")
    assert update(bench, "a", "u1") == 1
    bench.signal("w", "x", 5)
    bench.skip(MINUTE)
    assert update(bench, "b", "u2") == 2, "behind the failure"
    bench.signal("w", "y")
    assert bench.status("w") is Status.FAILED
    failing.append(ValueError("once more"))
    reopen(bench)
    settled(bench)
    assert update(bench, "b", "u2") == 2, "an id names one update for ever"
    assert update(bench, "c", "u3") == 3
    bench.skip(MINUTE)
    assert bench.result("w") == [5, "new", ["a", "b", "c"], {"stage": "begun"}]
    settled(bench)


def test_a_branch_has_the_updates_of_its_source(bench: Workbench) -> None:
    from aionlab.engine.lifecycle.forking import ForkRequest

    bench.workflow(messaged)
    bench.start("messaged", id="w")
    update(bench, "a", "u1")
    bench.signal("w", "x", 5)
    cut = next(r.seq for r in bench.history("w") if isinstance(r.event, e.SignalReceived))
    bench.call("reset", "w", None, ForkRequest(cut))
    bench.host.pump()
    assert bench.result("w") == [5, "new", ["a"], {"stage": "begun"}]
    settled(bench)
