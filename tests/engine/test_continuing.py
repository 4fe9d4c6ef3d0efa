"""Continue-as-new: one run ends and the next begins in one commit; who waits, waits for the last."""
from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from aionlab import workflow
from aionlab.core import errors
from aionlab.core import events as e
from aionlab.core.status import Status
from aionlab.engine.call import Call
from aionlab.engine.lifecycle.continuing import AT_ONCE, KEYS
from aionlab.store.memory import MemoryStore
from aionlab.testing.faults import Crash, FaultyStore
from aionlab.testing.workbench import Workbench
from tests.engine import families
from tests.engine.families import countdown
from tests.engine.programs import SECOND, of


@pytest.fixture
def home(bench: Workbench) -> Workbench:
    families.define(bench)
    return bench


@workflow
async def entity(limit: int, seen: list[Any] | None = None) -> list[Any]:
    """Takes signals one by one, and goes on as new after some of them."""
    seen = list(seen or [])
    for _ in range(limit):
        value = await workflow.receive("x")
        if value is None:
            return [*seen, workflow.info().run_number]
        seen.append(value)
    workflow.continue_as_new(limit, seen)


@workflow
async def handling(rounds: int, seen: list[Any] | None = None) -> list[Any]:
    """Takes signals by a handler, the first of which makes it go on as new."""
    seen = list(seen or [])

    def take(value: Any) -> None:
        seen.append(value)
        if rounds:
            workflow.continue_as_new(rounds - 1, seen)

    await workflow.receive("go") if rounds else None
    workflow.on_signal("x", take)
    await workflow.receive("end")
    return seen


def chain(bench: Workbench, workflow_id: str) -> list[str]:
    return [str(row.status) for row in bench.store.run_chain(workflow_id)]


# --- the chain ----------------------------------------------------------------------------------------------------------


def test_the_end_of_a_run_and_the_start_of_the_next_are_one_commit(home: Workbench) -> None:
    home.start("countdown", 1, 5, id="w")
    commits = home.engine.commits
    home.skip(5 * SECOND)
    assert home.engine.commits == commits + 1
    ended, started = home.history("w")[3], home.history("w")[4]
    assert isinstance(ended.event, e.WorkflowContinuedAsNew) and isinstance(started.event, e.WorkflowStarted)
    assert ended.event.next_run_id == started.run_id and started.event.parent_run_id == ended.run_id
    assert (ended.event.input, started.event.input) == (b"[0,5]", b"[0,5]")
    assert chain(home, "w") == ["ContinuedAsNew", "Running"]


def test_f12_given_continue_as_new_five_times_then_each_run_sees_its_own_values_and_the_first_run_id_is_stable(home: Workbench) -> None:
    seen: list[Any] = []

    @workflow
    async def runs(n: int) -> None:
        info = workflow.info()
        seen.append((info.memo, info.run_number, info.first_execution_run_id))
        await asyncio.sleep(1)
        if n < 5:
            workflow.continue_as_new(n + 1, memo={"run": n + 1})

    home.workflow(runs)
    home.start("runs", 0, id="w", memo='{"run":0}')
    for _ in range(6):
        home.skip(SECOND)
    first = home.history("w")[0].run_id
    assert seen == [({"run": n}, n + 1, first) for n in range(6)]
    assert chain(home, "w") == ["ContinuedAsNew"] * 5 + ["Completed"]
    replayed = list(seen)
    home.start("runs", 4, id="v")
    home.crash()
    home.skip(SECOND)
    assert seen[: len(replayed)] == replayed and seen[-1][1] == 2


def test_f12_result_follows_the_chain_and_without_following_the_next_run_is_named(home: Workbench) -> None:
    home.start("countdown", 3, 1, id="w")
    first = home.history("w")[0].run_id
    waiting = [home.engine, Call("result", "w", first, True), Call("result", "w", first, False), Call("result", "w", None, True)]
    for call in waiting[1:]:
        home.engine.submit(call)
    for _ in range(4):
        home.skip(SECOND)
    followed, alone, newest = [call.outcome() for call in waiting[1:]]
    runs = [row.run_id for row in home.store.run_chain("w")]
    assert followed[1] == newest[1] == runs[-1] and isinstance(followed[2], e.WorkflowCompleted)
    assert alone[1] == first and alone[2].next_run_id == runs[1]
    assert home.call("result", "w", first, True)[1] == runs[-1]
    assert home.call("result", "w", runs[1], True)[1] == runs[-1]
    assert home.call("result", "w", runs[1], False)[2].next_run_id == runs[2]


def test_continuing_as_another_workflow(home: Workbench) -> None:
    @workflow
    async def becomes() -> None:
        workflow.continue_as_new(7, workflow=families.at_once)

    home.workflow(becomes)
    home.start("becomes", id="w")
    assert home.result("w") == 7
    assert [row.workflow_type for row in home.store.run_chain("w")] == ["becomes", "at_once"]


def test_continuing_as_a_workflow_nobody_defined_fails_the_chain_and_says_so(home: Workbench) -> None:
    @workflow
    async def becomes() -> None:
        workflow.continue_as_new(7, workflow="nobody")

    home.workflow(becomes)
    home.start("awaits", "becomes", id="p")
    ended = home.outcome("p/becomes-0")
    assert isinstance(ended, e.WorkflowFailed) and ended.kind == "start_aborted"
    assert "no workflow 'nobody' is defined" in ended.error.message
    with pytest.raises(errors.ChildWorkflowError, match="no workflow 'nobody'"):
        home.result("p")


def test_the_new_run_gets_the_version_that_new_starts_get(home: Workbench) -> None:
    home.start("countdown", 1, 5, id="w")
    home.workflow(families.at_once, name="countdown", version="v2")
    home.codes["countdown"] = home.engine.catalog.resolve("countdown", "v1")
    home.skip(5 * SECOND)
    assert [row.version for row in home.store.run_chain("w")] == ["v1", "v2"]


def test_attributes_and_memo_are_kept_unless_others_are_given(home: Workbench) -> None:
    home.call("register_attribute", "stage", "keyword")
    home.call("register_attribute", "n", "int")

    @workflow
    async def keeps(n: int) -> Any:
        if n == 2:
            workflow.upsert_search_attributes(stage="two")
            workflow.upsert_memo(more=1)
            workflow.continue_as_new(1)
        if n == 1:
            workflow.continue_as_new(0, search_attributes={"n": 3}, memo="other")
        return workflow.info().memo

    home.workflow(keeps)
    home.start("keeps", 2, id="w", attributes={"stage": "one", "n": 1}, memo='{"a":1}')
    first, second, third = home.store.run_chain("w")
    assert dict(second.attributes) == {"stage": "two", "n": 1} and dict(third.attributes) == {"n": 3}
    started = of(home, "w", e.WorkflowStarted)
    assert [home.values.decode(each.memo.encode()) for each in started] == [{"a": 1}, {"a": 1, "more": 1}, "other"]


def test_a_deadline_is_counted_anew_for_each_run(home: Workbench) -> None:
    home.start("countdown", 3, 4, id="w", deadline=5 * SECOND)
    for _ in range(16):
        home.skip(SECOND)
    assert home.status("w") is Status.COMPLETED

    @workflow
    async def shortens(again: bool = True) -> None:
        if again:
            workflow.continue_as_new(False, deadline="2s")
        await asyncio.sleep(3)

    home.workflow(shortens)
    home.start("shortens", id="v", deadline=5 * SECOND)
    home.skip(2 * SECOND)
    assert home.status("v") is Status.TIMED_OUT


def test_a_parents_deadline_holds_for_all_runs_of_a_child(home: Workbench) -> None:
    home.start("awaits", "countdown", 10, 4, id="p", deadline=10 * SECOND)
    for _ in range(10):
        home.skip(SECOND)
    assert home.status("p") is Status.TIMED_OUT
    assert chain(home, "p/countdown-0")[-1] in ("TimedOut", "Terminated")
    started = of(home, "p/countdown-0", e.WorkflowStarted)
    assert len({each.deadline for each in started}) == 1


@pytest.mark.parametrize("wrap", ["task", "group", "gather", "handler", "swallow"])
def test_continuing_from_wherever_the_code_is(home: Workbench, wrap: str) -> None:
    @workflow
    async def wraps(n: int) -> str:
        async def go() -> None:
            await asyncio.sleep(1)
            workflow.continue_as_new(n - 1)

        if not n:
            return "done"
        if wrap == "task":
            await asyncio.create_task(go())
        elif wrap == "group":
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(60))
                group.create_task(go())
        elif wrap == "gather":
            await asyncio.gather(asyncio.sleep(60), go())
        elif wrap == "handler":
            workflow.on_signal("go", lambda value: workflow.continue_as_new(n - 1))
            await asyncio.sleep(60)
        else:
            try:
                await go()
            except Exception:
                return "stopped"
        return "went past"

    home.workflow(wraps)
    home.start("wraps", 1, id="w")
    if wrap == "handler":
        home.signal("w", "go")
    home.skip(SECOND)
    assert home.result("w") == "done"


def test_a_chain_without_an_await_leaves_the_others_their_turn(home: Workbench) -> None:
    @workflow
    async def spins(n: int = 0) -> None:
        workflow.continue_as_new(n + 1)

    home.workflow(spins)
    home.start("spins", id="w")
    assert len(home.store.run_chain("w")) == AT_ONCE
    home.start("at_once", 1, id="v")
    assert home.result("v") == 1
    home.skip(SECOND)
    assert len(home.store.run_chain("w")) == 2 * AT_ONCE
    home.call("terminate", "w")


def test_an_argument_that_cannot_be_recorded_is_the_codes_error(home: Workbench) -> None:
    @workflow
    async def wrong() -> str:
        try:
            workflow.continue_as_new(lambda: 1)
        except errors.InvalidPayload as error:
            return error.path

    home.workflow(wrong)
    home.start("wrong", id="w")
    assert "input" in home.result("w")


# --- signals ------------------------------------------------------------------------------------------------------------


def test_signals_that_were_not_taken_go_to_the_new_run_in_order(home: Workbench) -> None:
    home.workflow(entity)
    home.start("entity", 2, id="w")
    first = home.history("w")[0].run_id
    home.call("suspend", "w")
    home.call("pause", "w")
    for n in range(7):
        home.signal("w", "x", n)
    home.signal("w", "other", "o")
    home.call("resume", "w")
    home.signal("w", "x", None)
    assert home.result("w") == [0, 1, 2, 3, 4, 5, 6, 4]
    carried = [each for each in of(home, "w", e.SignalReceived) if each.carried_from]
    runs = [row.run_id for row in home.store.run_chain("w")]
    second = [r.event for r in home.store.run_history(home.store.run_chain("w")[1].key) if isinstance(r.event, e.SignalReceived)]
    assert [home.values.decode(each.payload) for each in second] == [2, 3, 4, 5, 6, "o"]
    assert {each.carried_from for each in carried} == {first} and len(runs) == 4


def test_signals_a_handler_was_not_called_with_yet_go_on(home: Workbench) -> None:
    home.workflow(handling)
    home.start("handling", 2, id="w")
    for n in range(4):
        home.signal("w", "x", n)
    home.signal("w", "go")
    home.signal("w", "go")
    home.signal("w", "end")
    assert home.result("w") == [0, 1, 2, 3]


def test_idempotency_keys_go_on(home: Workbench) -> None:
    home.workflow(entity)
    home.start("entity", 1, id="w")
    assert home.signal("w", "x", 1, key="k1")
    assert home.signal("w", "x", 2, key="k2")
    assert not home.signal("w", "x", 1, key="k1")
    home.crash()
    assert not home.signal("w", "x", 2, key="k2") and not home.signal("w", "x", 1, key="k1")
    home.signal("w", "x", None)
    assert home.result("w") == [1, 2, 3]
    assert KEYS == 1000


def test_a_signal_sent_in_the_turn_the_run_continues_reaches_the_new_run(home: Workbench) -> None:
    home.workflow(entity)
    home.start("entity", 1, id="w")
    calls = [Call("signal", "w", "x", home.values.encode(n), None, None) for n in (1, 2, None)]
    for call in calls:
        home.engine.submit(call)
    home.host.pump()
    assert [call.outcome() for call in calls] == [True] * 3
    assert home.result("w") == [1, 2, 3]


# --- parents ------------------------------------------------------------------------------------------------------------


def test_a_parent_awaits_the_last_run_of_its_child(home: Workbench) -> None:
    home.start("awaits", "countdown", 3, 1, id="p")
    for _ in range(4):
        home.skip(SECOND)
    runs = [row.run_id for row in home.store.run_chain("p/countdown-0")]
    assert home.result("p") == [4, runs[0], runs[3]]
    (ended,) = of(home, "p", e.ChildWorkflowCompleted)
    assert ended.child_run_id == runs[-1]


@pytest.mark.parametrize("verb", ["cancel", "terminate"])
def test_a_child_that_has_gone_on_is_still_stopped_with_its_parent(home: Workbench, verb: str) -> None:
    home.start("awaits", "countdown", 3, 10, id="p")
    home.skip(10 * SECOND)
    home.call(verb, "p")
    assert chain(home, "p/countdown-0") == ["ContinuedAsNew", "Cancelled" if verb == "cancel" else "Terminated"]
    assert str(home.status("p")) == ("Cancelled" if verb == "cancel" else "Terminated")


def test_a_parent_that_continues_leaves_its_children_to_their_parent_close(home: Workbench) -> None:
    @workflow
    async def parents(n: int) -> str:
        if n:
            await workflow.start_child(families.nap, 60, id="kept", parent_close="abandon")
            await workflow.start_child(families.nap, 60, id="ended")
            workflow.continue_as_new(n - 1)
        await workflow.receive("go")
        return "done"

    home.workflow(parents)
    home.start("parents", 1, id="p")
    assert [str(home.status(each)) for each in ("kept", "ended")] == ["Running", "Terminated"]


# --- crashes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [True, False])
def test_a_crash_at_every_commit_loses_no_run_and_doubles_none(make_bench: Callable[..., Workbench], after: bool) -> None:
    def drive(bench: Workbench) -> None:
        if not bench.store.inner.ids():
            bench.start("entity", 2, id="w")
        for n in range(5):
            bench.signal("w", "x", n, key=f"k{n}")
        bench.signal("w", "x", None, key="end")

    def fresh() -> Workbench:
        bench = make_bench(FaultyStore(MemoryStore()))
        bench.workflow(entity)
        return bench

    control = fresh()
    drive(control)
    assert control.result("w") == [0, 1, 2, 3, 4, 3]
    for number in range(1, control.engine.commits + 1):
        bench = fresh()
        bench.store.crash(number, after=after)
        try:
            drive(bench)
        except Crash:
            bench.crash()
            drive(bench)
        assert bench.result("w") == [0, 1, 2, 3, 4, 3], number
        assert bench.kinds("w") == control.kinds("w")


def test_queries_of_a_run_that_continued_are_answered_by_replay(home: Workbench) -> None:
    @workflow
    async def tells(n: int) -> None:
        workflow.on_query("n", lambda: n)
        await asyncio.sleep(1)
        if n:
            workflow.continue_as_new(n - 1)

    home.workflow(tells)
    home.start("tells", 2, id="w")
    for _ in range(3):
        home.skip(SECOND)
    answers = [home.values.decode(home.call("query", "w", "n", home.values.encode_args((), {}), row.run_id)) for row in home.store.run_chain("w")]
    assert answers == [2, 1, 0]


def test_info_of_a_long_history(home: Workbench) -> None:
    @workflow
    async def long(n: int) -> list[Any]:
        before = workflow.info().history_length
        for _ in range(n):
            await asyncio.sleep(1)
        return [before, workflow.info().history_length, workflow.info().continue_as_new_suggested]

    home.workflow(long)
    home.start("long", 10, id="w")
    for _ in range(10):
        home.skip(SECOND)
    assert home.result("w") == [1, 21, False] and len(home.history("w")) == 22
    assert countdown.name == "countdown"


def test_an_updates_handler_lets_its_run_go_on_as_new_and_leaves_the_update_unanswered(home: Workbench) -> None:
    @workflow
    async def updated(n: int = 0) -> int:
        async def again() -> None:
            workflow.continue_as_new(n + 1)

        workflow.on_update("again", again)
        await workflow.receive("go")
        return n

    home.workflow(updated)
    home.start("updated", id="w")
    home.engine.submit(Call("update", "w", "again", home.values.encode_args((), {}), "u-1", None))
    home.host.pump()
    assert of(home, "w", e.UpdateCompleted) == [] and chain(home, "w") == ["ContinuedAsNew", "Running"]
    home.signal("w", "go", "on")
    assert home.result("w") == 1


def test_a_run_that_went_on_has_children_of_its_own(home: Workbench) -> None:
    @workflow
    async def parents(n: int) -> list[Any]:
        if n:
            workflow.continue_as_new(n - 1)
        child = await workflow.start_child(families.nap, 60)
        return [await families.at_once(n), child.id != "p/nap-0"]

    home.workflow(parents)
    home.start("parents", 2, id="p")
    assert home.result("p") == [0, True]
    (left,) = [each for each in home.store.ids() if "/nap" in each]
    assert home.status(left) is Status.TERMINATED
