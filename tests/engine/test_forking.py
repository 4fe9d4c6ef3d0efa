"""Fork and reset: what is copied, what runs again, what can be changed at the cut, and what is refused before anything is written."""
from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from aionlab import workflow
from aionlab.core import errors
from aionlab.core import events as e
from aionlab.core.status import Status
from aionlab.engine.call import Call
from aionlab.engine.catalog import NotRunnable
from aionlab.engine.lifecycle.forking import ForkRequest
from aionlab.testing.faults import Crash, FaultyStore
from aionlab.testing.workbench import Workbench
from tests.engine import programs
from tests.engine.programs import MINUTE, SECOND, calls, failing, of, shape, snapshot
from tests.engine.test_reopening import down, guarded, settled


def ask(
    bench: Workbench, at: int | str | None = None, *, id: str | None = None, args: tuple[Any, ...] | None = None,  # noqa: A002 - as the word of the API
    signal: tuple[str, Any] | None = None, results: Mapping[int | str, Any] | None = None, version: str | None = None,
) -> ForkRequest:  # fmt: skip
    values = bench.values
    return ForkRequest(
        at, None if args is None else values.encode_args(args, {}), None if signal is None else (signal[0], values.encode(signal[1])),
        {name: values.encode(value) for name, value in (results or {}).items()}, version, id,
    )  # fmt: skip


def fork(bench: Workbench, at: int | str | None = None, source: str = "w", **options: Any) -> str:
    """Fork; the new workflow id."""
    return str(bench.call("fork", source, None, ask(bench, at, **{"id": "f", **options}))[0])


def reset(bench: Workbench, at: int | str | None = None, source: str = "w", run_id: str | None = None, **options: Any) -> str:
    """Reset; the new run id."""
    return str(bench.call("reset", source, run_id, ask(bench, at, **options))[1])


def seq_of(bench: Workbench, kind: type, place: int = 0, workflow_id: str = "w") -> int:
    return [r.seq for r in bench.history(workflow_id) if type(r.event) is kind][place]


# --- everywhere --------------------------------------------------------------------------------------------------------


async def life() -> list[Any]:
    """Some of everything."""
    began = workflow.now()
    first = await programs.charge(1)
    drawn = workflow.random().random()
    nap = asyncio.ensure_future(asyncio.sleep(5, "nap"))
    got = [await workflow.receive("x"), await nap]
    pair = list(await asyncio.gather(programs.charge(2), programs.charge(3)))
    await asyncio.sleep(10)
    return [first, drawn, *got, *pair, await programs.ship("end"), (workflow.now() - began).total_seconds() >= 10]


def lived(bench: Workbench) -> Any:
    bench.workflow(life)
    bench.start("life", id="w")
    bench.signal("w", "x", "s")
    bench.skip(MINUTE)
    return bench.result("w")


def test_a_fork_at_every_event_comes_to_the_same_end(bench: Workbench) -> None:
    """The copied part is not run again, the rest is, and the seed is the same. Cuts in the middle of a step turn the rest of it live."""
    expected = lived(bench)
    source = bench.history("w")
    for cut in range(1, len(source)):
        calls.clear()
        forked = fork(bench, cut, id=f"f{cut}")
        done = sum(isinstance(r.event, e.ActivityCompleted) for r in source[:cut])
        if cut < seq_of(bench, e.SignalReceived):
            bench.signal(forked, "x", "s")
        bench.skip(2 * MINUTE)
        assert bench.result(forked) == expected, cut
        assert len(calls) == 4 - done, cut
        assert bench.history("w") == source
        settled(bench, forked)
        (mark,) = of(bench, forked, e.WorkflowForked)
        assert mark == e.WorkflowForked("w", source[0].run_id, cut)
        assert [r.seq for r in bench.history(forked)] == list(range(1, len(bench.history(forked)) + 1))


def test_a_fork_of_a_fork(bench: Workbench) -> None:
    expected = lived(bench)
    middle = seq_of(bench, e.SignalReceived)
    first = fork(bench, middle)
    bench.skip(MINUTE)
    second = fork(bench, seq_of(bench, e.ActivityCompleted, 2, first), source=first, id="g")
    bench.skip(MINUTE)
    assert bench.result(first) == bench.result(second) == expected
    assert len(of(bench, second, e.WorkflowForked)) == 1
    settled(bench, second)


def test_a_reset_at_every_event_comes_to_the_same_end(bench: Workbench) -> None:
    expected = lived(bench)
    source = bench.history("w")
    first = bench.call("run", "w").run_id
    for cut in range(1, len(source)):
        new = reset(bench, cut, run_id=first)
        if cut < seq_of(bench, e.SignalReceived):
            bench.signal("w", "x", "s")
        bench.skip(2 * MINUTE)
        assert bench.call("run", "w").run_id == new and bench.result("w") == expected, cut
        settled(bench)
    chain = bench.store.run_chain("w")
    assert [row.parent_run_id for row in chain] == [None, *(row.run_id for row in chain[:-1])]
    assert bench.store.run_history(chain[0].key) == source


# --- what is copied ----------------------------------------------------------------------------------------------------


def test_what_a_fork_has_and_has_not(bench: Workbench) -> None:
    bench.call("register_attribute", "customer", "keyword")
    memo = bench.values.encode({"for": "ada"}).decode()
    bench.start("listener", "x", 2, id="w", attributes={"customer": "ada"}, memo=memo, idempotency_key="k", digest="d", deadline=MINUTE)
    bench.signal("w", "x", 1, "signal-key")
    bench.call("pause", "w")
    bench.skip(10 * SECOND)
    forked = fork(bench)
    row, started = bench.call("run", forked), of(bench, forked, e.WorkflowStarted)[0]
    source = of(bench, "w", e.WorkflowStarted)[0]
    assert row.status is Status.RUNNING and row.attributes == {"customer": "ada"} and row.idempotency_key is None
    assert (started.seed, started.memo, started.idempotency_key, started.parent_run_id) == (source.seed, memo, None, None)
    assert started.deadline == bench.clock.now() + MINUTE, "its deadline counts from the fork"
    assert bench.signal(forked, "x", 1, "signal-key") is False
    assert bench.kinds(forked) == ["WorkflowStarted", "SearchAttributesUpdated", "SignalReceived", "WorkflowForked", "TimerStarted"]
    assert bench.status("w") is Status.PAUSED
    bench.signal(forked, "x", 2)
    assert bench.result(forked) == [1, 2]
    settled(bench, forked)
    again = fork(bench, id="g")
    bench.skip(2 * MINUTE)
    assert bench.status(again) is Status.TIMED_OUT


def test_rows_of_branches_are_a_fold_of_their_events(bench: Workbench) -> None:
    from aionlab.store.integrity import findings

    async def family() -> Any:
        first = await workflow.execute_child("quick", 1)
        return [first, await workflow.receive("x")]

    bench.workflow(family)
    scheduled = e.Scheduled("nightly", bench.clock.now())
    bench.start("family", id="w", scheduled=scheduled, start_delay=MINUTE, attributes=None)
    bench.skip(MINUTE)
    bench.call("fork", "w/quick-0", None, ask(bench, 1, id="of a child"))
    fork(bench, 2)
    fork(bench, "end", id="g")
    reset(bench, 1)
    assert bench.call("run", "of a child").parent_id is None and bench.call("run", "f").schedule_id == "nightly"
    assert list(findings(bench.store)) == []
    bench.crash()
    for target in ("f", "g", "w"):
        bench.signal(target, "x", target)
        assert bench.result(target) == [2, target]
    assert list(findings(bench.store)) == []


def test_a_fork_of_an_open_run_goes_on_beside_it(bench: Workbench) -> None:
    bench.start("order", 4, id="w")
    forked = fork(bench)
    bench.signal("w", "approval", "ada")
    bench.signal(forked, "approval", "bob")
    assert bench.result("w") == "8 by ada, box shipped" and bench.result(forked) == "8 by bob, box shipped"
    assert calls == ["charge 4", "ship box", "ship box"]


def test_an_activity_under_way_at_the_cut_begins_with_its_first_attempt(bench: Workbench) -> None:
    bench.workflow(guarded)
    down(2)
    bench.start("guarded", id="w")
    bench.skip(MINUTE)
    assert bench.result("w")[1] == "f"
    failing.append(ValueError("again"))
    forked = fork(bench, seq_of(bench, e.ActivityFailed, 1))
    bench.skip(MINUTE)
    assert bench.result(forked) == [2, "f", "box shipped"]
    assert [event.attempt for event in of(bench, forked, e.ActivityStarted) if event.activity_id == 1] == [1, 2]


def test_timers_keep_their_times(bench: Workbench) -> None:
    bench.start("sleeper", 100, id="w")
    bench.skip(40 * SECOND)
    forked = fork(bench)
    assert len({timer.fire_at for timer in bench.store.due_timers(2**62)}) == 1
    bench.skip(60 * SECOND)
    assert bench.result("w") == bench.result(forked) == "woke"
    late = fork(bench, 2, id="late")
    assert bench.result(late) == "woke", "one that is over fires at once"


def test_signals_that_wait_unread_wait_in_the_fork(bench: Workbench) -> None:
    async def slow() -> list[Any]:
        await asyncio.sleep(10)
        return [await workflow.receive("x"), await workflow.receive("x")]

    bench.workflow(slow)
    bench.start("slow", id="w")
    bench.signal("w", "x", 1)
    forked = fork(bench)
    bench.signal(forked, "x", 2)
    bench.crash()
    bench.skip(MINUTE)
    assert bench.result(forked) == [1, 2] and bench.status("w") is Status.RUNNING


def test_a_reopened_run_is_forked_like_any_other(bench: Workbench) -> None:
    async def compensates() -> list[Any]:
        try:
            return [await programs.charge(1), await programs.flaky("b"), await workflow.receive("x"), await programs.charge(3)]
        except errors.ActivityError:
            await programs.ship("refund")
            raise

    bench.workflow(compensates)
    down(3)
    bench.start("compensates", id="w")
    bench.skip(MINUTE)
    bench.call("reopen", "w")
    bench.signal("w", "x", "s")
    expected = bench.result("w")
    source = bench.history("w")
    ended = seq_of(bench, e.WorkflowFailed)
    for cut in range(1, len(source)):
        if cut == ended:
            with pytest.raises(errors.InvalidOption, match="the end of w"):
                fork(bench, cut, id=f"f{cut}")
            continue
        forked = fork(bench, cut, id=f"f{cut}")
        if cut < seq_of(bench, e.SignalReceived):
            bench.signal(forked, "x", "s") if bench.status(forked) is Status.RUNNING else None
        bench.skip(MINUTE)
        if bench.status(forked) is Status.COMPLETED:
            assert bench.result(forked) == expected
        else:
            assert seq_of(bench, e.ActivityFailed, 2) <= cut < ended, "the failure is copied, so the code compensates"
        settled(bench, forked)


def test_a_branch_of_a_run_that_went_on_as_new_and_has_a_child_ends(bench: Workbench) -> None:
    async def again(n: int = 1) -> int:
        if n == 1:
            workflow.continue_as_new(2)
        await workflow.start_child("listener", id=f"child of {workflow.info().workflow_id}", parent_close="abandon")
        await workflow.receive("x")
        return workflow.info().run_number

    bench.workflow(again)
    bench.start("again", id="w")
    bench.signal("w", "x")
    assert bench.result("w") == 2
    begun = bench.store.run_chain("w")[-1]
    forked = fork(bench, bench.store.run_history(begun.key)[0].seq)
    bench.signal(forked, "x")
    assert bench.result(forked) == 2
    settled(bench, forked)


# --- last failure ------------------------------------------------------------------------------------------------------


def test_given_failed_runs_when_forked_from_last_failure_then_only_the_failed_step_onward_runs(bench: Workbench) -> None:
    """I03."""
    bench.workflow(guarded)
    for crash in (False, True):
        down(3)
        bench.start("guarded", id=f"w{crash}")
        bench.skip(MINUTE)
        if crash:
            bench.crash()
        calls.clear()
        forked = fork(bench, "last_failure" if crash else None, source=f"w{crash}", id=f"f{crash}")
        assert bench.result(forked) == [2, "f", "box shipped"] and calls == ["flaky f", "ship box"]
        assert bench.status(f"w{crash}") is Status.FAILED
        settled(bench, forked)


def test_successes_that_came_after_the_failure_are_kept(bench: Workbench) -> None:
    async def all_of_them() -> list[Any]:
        found = await asyncio.gather(programs.flaky("a"), asyncio.sleep(60, "slept"), programs.charge(1), return_exceptions=True)
        for each in found:
            if isinstance(each, BaseException):
                await programs.ship("refund")
                raise each
        return list(found)

    bench.workflow(all_of_them)
    down(3)
    bench.start("all_of_them", id="w")
    bench.skip(2 * MINUTE)
    assert bench.status("w") is Status.FAILED
    calls.clear()
    forked = fork(bench, "last_failure")
    bench.host.pump()
    assert bench.result(forked) == ["a", "slept", 2] and calls == ["flaky a"]
    settled(bench, forked)


def test_there_must_be_a_failure(bench: Workbench) -> None:
    bench.start("failing_run", id="w")
    bench.start("listener", id="v")
    before = snapshot(bench)
    for source in ("w", "v"):
        with pytest.raises(errors.InvalidOption, match="no activity's failure"):
            fork(bench, "last_failure", source=source)
    with pytest.raises(errors.InvalidOption, match="has ended; say where"):
        fork(bench)
    assert snapshot(bench) == before


# --- what is changed at the cut ----------------------------------------------------------------------------------------


def test_another_input(bench: Workbench) -> None:
    bench.start("order", 4, id="w")
    bench.signal("w", "approval", "ada")
    forked = fork(bench, 1, args=(5,))
    bench.signal(forked, "approval", "bob")
    assert bench.result(forked) == "10 by bob, box shipped"


def test_another_input_behind_a_step_it_had_shaped(bench: Workbench, caplog: pytest.LogCaptureFixture) -> None:
    async def counts(n: int) -> int:
        total = 0
        for _ in range(n):
            total += await programs.charge(1)
        return total

    bench.workflow(counts)
    bench.start("counts", 3, id="w")
    last = seq_of(bench, e.ActivityCompleted, 2)
    assert bench.result(fork(bench, last - 1, args=(5,))) == 10
    before = snapshot(bench)
    with pytest.raises(errors.NondeterminismError) as caught:
        fork(bench, last, args=(1,), id="g")
    assert caught.value.workflow_id == "w" and snapshot(bench) == before


def test_a_signal_at_the_cut(bench: Workbench) -> None:
    bench.start("order", 4, id="w")
    bench.signal("w", "approval", "ada")
    cut = seq_of(bench, e.SignalReceived) - 1
    forked = fork(bench, cut, signal=("approval", "eve"))
    assert bench.result(forked) == "8 by eve, box shipped" and bench.result("w") == "8 by ada, box shipped"
    settled(bench, forked)


@pytest.mark.parametrize("name", [1, "1", "charge#1", "#1", "@5"])
def test_another_result_without_a_place_goes_back_to_before_it(bench: Workbench, name: Any) -> None:
    bench.start("three", id="w")
    name = f"@{seq_of(bench, e.ActivityCompleted, 1)}" if name == "@5" else name
    calls.clear()
    if name == "1":
        with pytest.raises(errors.InvalidOption, match=r"its activities are charge#0, charge#1, charge#2"):
            fork(bench, results={name: 100})
        return
    forked = fork(bench, results={name: 100})
    assert bench.result(forked) == 2 + 100 + 6 and calls == ["charge 3"]
    assert [bench.values.decode(event.result) for event in of(bench, forked, e.ActivityCompleted)] == [2, 100, 6]
    settled(bench, forked)


def test_another_result_behind_the_cut_and_in_front_of_it(bench: Workbench) -> None:
    bench.start("three", id="w")
    calls.clear()
    forked = fork(bench, seq_of(bench, e.ActivityCompleted, 2) - 1, results={0: 50, 2: 70})
    assert bench.result(forked) == 50 + 4 + 70 and calls == []
    settled(bench, forked)
    before = snapshot(bench)
    with pytest.raises(errors.InvalidOption, match="no activity 2 to give a result at the cut: those asked for by then are 0, 1"):
        fork(bench, seq_of(bench, e.ActivityCompleted, 1) - 1, results={2: 1}, id="g")
    assert snapshot(bench) == before


def test_another_result_for_what_had_failed(bench: Workbench) -> None:
    bench.workflow(guarded)
    down(3)
    bench.start("guarded", id="w")
    bench.skip(MINUTE)
    calls.clear()
    forked = fork(bench, results={"flaky#1": "by hand"})
    assert bench.result(forked) == [2, "by hand", "box shipped"] and calls == ["ship box"]
    settled(bench, forked)


def test_another_result_that_the_history_contradicts(bench: Workbench) -> None:
    async def chooses() -> Any:
        return await (programs.ship("much") if await programs.charge(1) == 2 else programs.charge(9))

    bench.workflow(chooses)
    bench.start("chooses", id="w")
    before = snapshot(bench)
    with pytest.raises(errors.NondeterminismError, match="activity ship#1"):
        fork(bench, seq_of(bench, e.ActivityScheduled, 1), results={0: 3})
    assert snapshot(bench) == before
    assert bench.result(fork(bench, results={0: 3})) == 18


def test_other_code(bench: Workbench) -> None:
    bench.workflow(guarded)
    down(3)
    bench.start("guarded", id="w")
    bench.skip(MINUTE)

    async def mended() -> list[Any]:
        first = await programs.charge(1)
        try:
            return [first, await programs.flaky("f")]
        except errors.ActivityError:
            return [first, await programs.ship("instead")]

    bench.workflow(mended, "guarded", "v2")
    calls.clear()
    forked = fork(bench, seq_of(bench, e.ActivityFailed, 2), version="v2")
    assert bench.result(forked) == [2, "instead shipped"] and calls == ["ship instead"]
    assert bench.call("run", forked).version == "v2" and of(bench, forked, e.WorkflowStarted)[0].version == "v2"

    async def other() -> Any:
        return await programs.ship("box")

    bench.workflow(other, "guarded", "v3")
    before = snapshot(bench)
    with pytest.raises(errors.NondeterminismError, match=r"activity charge#0.*activity ship#0"):
        fork(bench, 4, version="v3", id="g")
    assert snapshot(bench) == before


def test_new_code_meets_its_patches_as_a_new_run_does(bench: Workbench) -> None:
    async def patches() -> str:
        way = "new" if workflow.patched("way") else "old"
        await programs.charge(1)
        return way

    async def before_it() -> str:
        await programs.charge(1)
        return "old"

    bench.workflow(before_it, "patches", "v1")
    bench.start("patches", id="w")
    bench.workflow(patches, "patches", "v2")
    assert bench.result(fork(bench, 1, version="v2")) == "new"
    assert bench.result(fork(bench, 2, version="v2", id="g")) == "old"


def test_new_code_that_sets_an_attribute_nobody_registered(bench: Workbench) -> None:
    async def plain() -> str:
        return await programs.ship("box")

    async def labelled() -> str:
        workflow.upsert_search_attributes(stage="one")
        return await programs.ship("box")

    bench.workflow(plain, "plain", "v1")
    bench.start("plain", id="w")
    bench.workflow(labelled, "plain", "v2")
    before = snapshot(bench)
    with pytest.raises(errors.InvalidAttribute, match="stage"):
        fork(bench, 1, version="v2")
    assert snapshot(bench) == before
    bench.call("register_attribute", "stage", "keyword")
    assert bench.result(fork(bench, 1, version="v2")) == "box shipped" and bench.call("run", "f").attributes == {"stage": "one"}


# --- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "why"),
    [
        (0, "has no event 0 in this run, which has 1 to"), (-1, "no event -1"), (99, "no event 99"), (True, "no place in a history"), ("middle", "no place"),
        (2.0, "no place"), ("end", "has ended; say where"),
    ],
    ids=str,
)
def test_places_that_are_none(bench: Workbench, at: Any, why: str) -> None:
    bench.start("three", id="w")
    before = snapshot(bench)
    for verb in ("fork", "reset"):
        with pytest.raises(errors.InvalidOption, match=why):
            bench.call(verb, "w", None, ask(bench, at))
    with pytest.raises(errors.InvalidOption, match="the end of w, and nothing would be left to do; cut it before that"):
        fork(bench, len(bench.history("w")))
    assert snapshot(bench) == before


def test_a_place_in_another_run_of_the_id(bench: Workbench) -> None:
    bench.start("quick", id="w")
    bench.start("three", id="w")
    assert bench.result(fork(bench, 4)) == 12
    with pytest.raises(errors.InvalidOption, match="no event 2 in this run, which has 3 to"):
        fork(bench, 2, id="g")


def test_other_refusals(bench: Workbench) -> None:
    bench.start("three", id="w")
    bench.start("listener", id="busy")
    before = snapshot(bench)
    for wrong, options in (
        (errors.RunNotFound, {"source": "nobody"}), (errors.AlreadyStarted, {"id": "busy"}), (errors.InvalidName, {"id": ""}),
        (errors.InvalidName, {"signal": ("", 1)}), (errors.InvalidOption, {"results": {"ship#0": 1}}), (errors.InvalidOption, {"results": {True: 1}}),
        (errors.InvalidOption, {"results": {"@99": 1}}),
    ):  # fmt: skip
        with pytest.raises(wrong):
            fork(bench, 2, **options)
    bench.codes.pop("three")
    bench.crash()
    with pytest.raises((NotRunnable, errors.WorkflowNotFound)):
        fork(bench, 2)
    assert snapshot(bench) == before


def test_a_child_under_way_at_the_cut(bench: Workbench) -> None:
    async def parent() -> Any:
        first = await programs.charge(1)
        child = await workflow.start_child("listener", "x", 1, id="child")
        return [first, await child]

    bench.workflow(parent)
    bench.start("parent", id="w")
    begun = seq_of(bench, e.ChildWorkflowStarted)
    with pytest.raises(errors.InvalidOption, match=f"is under way at the cut.*at={begun - 1}"):
        fork(bench, begun)
    bench.signal("child", "x", 1)
    assert bench.result("w") == [2, [1]]
    forked = fork(bench, len(bench.history("w")) - 1)
    assert bench.result(forked) == [2, [1]]


# --- reset -------------------------------------------------------------------------------------------------------------


def test_a_reset_ends_the_open_run_and_goes_on_from_the_place(bench: Workbench) -> None:
    bench.start("order", 4, id="w")
    first = bench.call("run", "w").run_id
    commits = bench.store.commits
    second = reset(bench, 1, args=(5,))
    assert len(bench.store.batches[commits].runs) == len(bench.store.batches[commits].runs_ended) == 1, "the end of the one is the start of the other"
    old, new = bench.store.run_chain("w")
    assert (old.run_id, old.status, new.run_id, new.status, new.parent_run_id) == (first, Status.TERMINATED, second, Status.RUNNING, first)
    ended = bench.call("result", "w", first)[2]
    assert isinstance(ended, e.WorkflowTerminated) and ended.reason == "reset"
    bench.crash()
    bench.signal("w", "approval", "ada")
    assert bench.result("w") == "10 by ada, box shipped" and calls == ["charge 4", "charge 5", "ship box"]
    with pytest.raises(errors.RunClosed):
        bench.call("signal", "w", "x", bench.values.encode(1), first)
    settled(bench)


def test_a_reset_of_a_closed_run(bench: Workbench) -> None:
    bench.start("three", id="w")
    calls.clear()
    reset(bench, results={2: 0})
    assert bench.result("w") == 6 and calls == []
    assert [row.status for row in bench.store.run_chain("w")] == [Status.COMPLETED] * 2


def test_a_reset_to_an_earlier_run_ends_the_newest(bench: Workbench) -> None:
    bench.start("three", id="w")
    first = bench.call("run", "w").run_id
    bench.start("listener", id="w")
    reset(bench, 4, run_id=first)
    assert bench.result("w") == 12
    assert [row.status for row in bench.store.run_chain("w")] == [Status.COMPLETED, Status.TERMINATED, Status.COMPLETED]
    settled(bench)


def test_a_reset_that_is_refused_leaves_the_open_run_alone(bench: Workbench) -> None:
    bench.start("order", 4, id="w")
    before = snapshot(bench)
    for wrong, options in ((errors.InvalidOption, {"at": 99}), (errors.InvalidName, {"signal": ("", 1), "at": 1})):
        with pytest.raises(wrong):
            reset(bench, **options)
    assert snapshot(bench) == before
    bench.signal("w", "approval", "ada")
    assert bench.status("w") is Status.COMPLETED


def test_a_stuck_run_is_reset_to_where_the_code_still_agrees(bench: Workbench) -> None:
    bench.start("order", 4, id="w")

    async def changed(amount: int = 1) -> str:
        await programs.charge(amount)
        return str(await programs.ship("other"))

    bench.codes["order"] = bench.workflow(changed, "order")
    bench.crash()
    bench.signal("w", "approval", "ada")
    assert bench.call("entry", "w").residency == "Stuck"
    reset(bench, seq_of(bench, e.ActivityCompleted) - 1)
    assert bench.result("w") == "other shipped"


# --- together with everything else -------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["fork", "reset"])
@pytest.mark.parametrize("how", ["crash before", "crash after", "lost", "written", "full"])
def test_a_branch_happens_whole_or_not_at_all(bench: Workbench, verb: str, how: str) -> None:
    bench.workflow(life)
    bench.start("life", id="w")
    bench.signal("w", "x", "s")
    bench.skip(5 * SECOND)
    store = bench.store
    assert isinstance(store, FaultyStore)
    before, at = snapshot(bench)[0], seq_of(bench, e.SignalReceived)
    call = Call(verb, "w", None, ask(bench, at, id="f"))
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
    target = "f" if verb == "fork" else "w"
    if how not in ("crash after", "written"):
        assert snapshot(bench)[0] == before
        bench.call(verb, "w", None, ask(bench, at, id="f"))
    bench.skip(MINUTE)
    assert bench.result(target)[2] == "s"
    assert len(bench.store.run_chain(target)) == (1 if verb == "fork" else 2)
    settled(bench, target)


def test_several_branches_in_one_turn(bench: Workbench) -> None:
    bench.start("order", 4, id="w")
    first = bench.call("run", "w").run_id
    asked = [Call("fork", "w", None, ask(bench, 1, id=f"f{n}")) for n in range(3)] + [Call("reset", "w", first, ask(bench, 1)) for _ in range(2)]
    asked.append(Call("fork", "w", None, ask(bench, "end", id="f3")))
    for call in asked:
        bench.engine.submit(call)
    bench.host.pump()
    for call in asked:
        call.outcome()
    for target in ("f0", "f1", "f2", "f3", "w"):
        bench.signal(target, "approval", "ada")
        assert bench.result(target) == "8 by ada, box shipped"
        settled(bench, target)
    assert [row.status for row in bench.store.run_chain("w")] == [Status.TERMINATED, Status.TERMINATED, Status.COMPLETED]


def test_a_fork_replays_as_its_source_did(bench: Workbench) -> None:
    lived(bench)
    cut = seq_of(bench, e.TimerFired)
    forked = fork(bench, cut)
    assert shape(bench.history(forked))[: len(shape(bench.history("w")[:cut]))] == shape(bench.history("w")[:cut])
    assert [r.at for r in bench.history(forked)[:3]] == [r.at for r in bench.history("w")[:3]], "times stay as they were"
