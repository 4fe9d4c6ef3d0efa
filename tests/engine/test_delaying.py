"""Delayed starts, messages that come with a start, memos: what is recorded, and what the code sees."""
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
from aionlab.engine.lifecycle.start import StartRequest
from aionlab.testing.faults import Crash, FaultyStore
from aionlab.testing.points import arm
from aionlab.testing.workbench import Workbench
from tests.engine import programs
from tests.engine.programs import MINUTE, SECOND, calls, of, snapshot
from tests.engine.test_reopening import settled


def sent(bench: Workbench, name: str = "x", payload: Any = 1, key: str | None = None) -> e.SignalReceived:
    return e.SignalReceived(name, bench.values.encode(payload), key)


async def clocked() -> list[float]:
    """When it began, after its start was recorded, and after a nap."""
    recorded = workflow.info().started_at / SECOND
    first = workflow.now().timestamp() - recorded
    await asyncio.sleep(10)
    return [first, workflow.now().timestamp() - recorded]


# --- delays ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("crash", [False, True])
def test_given_start_delay_then_the_first_event_records_it_and_nothing_runs_before(bench: Workbench, crash: bool) -> None:
    """B09."""
    bench.workflow(clocked)
    begun = bench.clock.now()
    bench.start("three", id="w", start_delay=MINUTE)
    bench.start("clocked", id="c", start_delay=MINUTE)
    assert bench.history("w")[0].event.begins_at == begun + MINUTE
    assert bench.kinds("w") == ["WorkflowStarted", "TimerStarted"] and bench.status("w") is Status.RUNNING
    bench.skip(MINUTE - 1)
    if crash:
        bench.crash()
    assert calls == [] and len(bench.history("w")) == 2
    assert bench.call("entry", "w").waiting_for == "its delayed start"
    bench.skip(1)
    assert bench.result("w") == 12
    bench.skip(MINUTE)
    assert bench.result("c") == [60.0, 70.0]
    settled(bench)
    settled(bench, "c")


def test_a_lab_that_is_closed_over_the_time_begins_when_it_is_opened(bench: Workbench) -> None:
    bench.workflow(clocked)
    bench.start("clocked", id="w", start_delay=MINUTE)
    bench.clock._now += 2 * MINUTE
    bench.crash()
    bench.skip(10 * SECOND)
    assert bench.result("w") == [120.0, 130.0]
    settled(bench)


def test_a_signal_during_the_delay_waits_and_does_not_wake(bench: Workbench) -> None:
    bench.start("listener", "x", 2, id="w", start_delay=MINUTE)
    bench.signal("w", "x", 1)
    assert bench.call("entry", "w").mailbox == 1
    bench.crash()
    bench.signal("w", "x", 2)
    assert bench.outcome("w") is None
    bench.skip(MINUTE)
    assert bench.result("w") == [1, 2]
    settled(bench)


@pytest.mark.parametrize("crash", [False, True])
def test_a_cancel_during_the_delay_ends_the_run_at_once(bench: Workbench, crash: bool) -> None:
    bench.start("patient", id="w", start_delay=MINUTE)
    if crash:
        bench.crash()
    bench.call("cancel", "w", None, "not needed")
    assert bench.outcome("w") == e.WorkflowCancelled("not needed") and calls == []
    assert bench.store.due_timers(2**62) == []
    bench.skip(2 * MINUTE)
    settled(bench)
    assert calls == []


def test_terminating_pausing_and_suspending_during_the_delay(bench: Workbench) -> None:
    for name in ("t", "p", "s"):
        bench.start("three", id=name, start_delay=MINUTE)
    bench.call("terminate", "t")
    bench.call("pause", "p")
    bench.call("suspend", "s")
    bench.skip(MINUTE)
    assert bench.status("t") is Status.TERMINATED and bench.status("p") is Status.PAUSED and bench.result("s") == 12
    assert len(calls) == 3
    bench.crash()
    bench.call("resume", "p")
    assert bench.result("p") == 12
    settled(bench, "p")


def test_the_deadline_counts_from_the_start_delay_included(bench: Workbench) -> None:
    begun = bench.clock.now()
    bench.start("sleeper", 50, id="w", start_delay=30 * SECOND, deadline=MINUTE)
    bench.skip(2 * MINUTE)
    assert bench.outcome("w") == e.WorkflowTimedOut(begun + MINUTE)


@pytest.mark.parametrize("deadline", [30 * SECOND, 29 * SECOND])
def test_a_run_that_would_time_out_before_it_begins_is_refused(bench: Workbench, deadline: int) -> None:
    before = snapshot(bench)
    with pytest.raises(errors.InvalidOption, match="would time out before it begins"):
        bench.start("sleeper", start_delay=30 * SECOND, deadline=deadline)
    assert snapshot(bench) == before


def test_a_delay_of_nothing_is_none(bench: Workbench) -> None:
    bench.start("quick", id="w", start_delay=0)
    assert bench.kinds("w") == ["WorkflowStarted", "WorkflowCompleted"] and bench.history("w")[0].event.begins_at is None


def test_queries_of_a_run_that_has_not_begun(bench: Workbench) -> None:
    bench.start("with_handlers", id="w", start_delay=MINUTE)
    with pytest.raises(errors.QueryFailed, match="no handler"):
        bench.call("query", "w", "n", bench.values.encode_args((), {}))
    bench.skip(MINUTE)
    assert bench.values.decode(bench.call("query", "w", "n", bench.values.encode_args((), {}))) == 10


def test_reopening_and_forking_a_run_that_has_not_begun(bench: Workbench) -> None:
    from aionlab.engine.lifecycle.forking import ForkRequest

    bench.start("three", id="w", start_delay=MINUTE)
    bench.call("terminate", "w")
    bench.call("reopen", "w")
    bench.call("fork", "w", None, ForkRequest("end", workflow_id="f"))
    bench.call("fork", "w", None, ForkRequest(1, workflow_id="g"))
    assert bench.result("g") == 12, "a fork at the start itself begins at once"
    assert bench.status("f") is Status.RUNNING
    bench.crash()
    bench.skip(MINUTE)
    assert bench.result("w") == bench.result("f") == 12
    for name in ("w", "f", "g"):
        settled(bench, name)


# --- a signal with the start -------------------------------------------------------------------------------------------


async def looks() -> list[Any]:
    """What it has before its first await."""
    got: list[Any] = []
    workflow.on_signal("x", got.append)
    await asyncio.sleep(0)
    return got


def test_given_signal_with_start_on_a_new_id_then_the_run_starts_and_sees_the_signal_in_its_first_task(bench: Workbench) -> None:
    """B08."""
    bench.workflow(looks)
    commits = bench.store.commits
    bench.start("looks", id="w", first=sent(bench))
    assert bench.store.commits == commits + 1 and bench.result("w") == [1]
    assert bench.kinds("w") == ["WorkflowStarted", "SignalReceived", "WorkflowCompleted"]
    assert not any(recorded.deferred for recorded in bench.history("w"))
    settled(bench)


@pytest.mark.parametrize("delay", [None, MINUTE])
def test_attributes_deadline_delay_and_signal_are_one_batch(bench: Workbench, delay: int | None) -> None:
    bench.call("register_attribute", "customer", "keyword")
    commits = bench.store.commits
    bench.start("listener", "x", 2, id="w", attributes={"customer": "ada"}, deadline=5 * MINUTE, start_delay=delay, first=sent(bench))
    timers = ["TimerStarted"] * (1 if delay is None else 2)
    assert bench.kinds("w") == ["WorkflowStarted", "SearchAttributesUpdated", *timers, "SignalReceived"] and bench.store.commits == commits + 1
    assert len({recorded.at for recorded in bench.history("w")}) == 1
    bench.crash()
    bench.skip(MINUTE)
    bench.signal("w", "x", 2)
    assert bench.result("w") == [1, 2]
    settled(bench)


@pytest.mark.parametrize("ghosts", [False, True])
def test_a_start_that_is_rolled_back_has_its_signal_all_the_same(make_bench: Callable[..., Workbench], ghosts: bool) -> None:
    bench = make_bench(ghost_starts=ghosts)
    bench.workflow(looks)
    arm(bench, "spawn")
    with pytest.raises(errors.StartAborted):
        bench.start("looks", id="w", first=sent(bench))
    assert bench.kinds("w")[:2] == ["WorkflowStarted", "SignalReceived"]
    if ghosts:
        bench.crash()
    else:
        bench.call("reopen", "w")
    assert bench.result("w") == [1]
    settled(bench)


def test_a_first_step_the_schema_refuses_waits_with_its_signal(bench: Workbench) -> None:
    async def tags() -> Any:
        got = await workflow.receive("x")
        workflow.upsert_search_attributes(stage=got)
        return got

    bench.workflow(tags)
    bench.start("tags", id="w", first=sent(bench, payload="early"))
    assert bench.call("entry", "w").residency == "Stuck" and all(r.deferred for r in bench.history("w"))
    bench.call("register_attribute", "stage", "keyword")
    bench.host.pump()
    assert bench.result("w") == "early" and bench.call("run", "w").attributes == {"stage": "early"}
    settled(bench)


def start_or_signal(bench: Workbench, payload: Any, key: str | None = None, **options: Any) -> Any:
    request = StartRequest(
        "listener", bench.values.encode_args(("x", 3), {}), workflow_id="w", id_conflict="use_existing", first=sent(bench, "x", payload, key),
        idempotency_key=key, digest=f"d{payload}", **options,
    )  # fmt: skip
    return bench.call("start", request)


def test_signal_with_start_signals_the_open_run_and_starts_one_where_there_is_none(bench: Workbench) -> None:
    first = start_or_signal(bench, 1)
    assert start_or_signal(bench, 2) == first
    bench.call("pause", "w")
    assert start_or_signal(bench, 3) == first and bench.outcome("w") is None
    bench.call("resume", "w")
    assert bench.result("w") == [1, 2, 3]
    assert start_or_signal(bench, 4) != first, "a closed run takes none, so another is started"
    with pytest.raises(errors.RunClosed):
        bench.call("terminate", "w")
        start_or_signal(bench, 5, id_reuse="use_existing")
    with pytest.raises(errors.AlreadyStarted):
        start_or_signal(bench, 5, id_reuse="reject")


def test_signal_with_start_and_a_key_signals_once(bench: Workbench) -> None:
    first = start_or_signal(bench, 1, "k1")
    for _ in range(2):
        assert start_or_signal(bench, 1, "k1") == start_or_signal(bench, 2, "k2") == first
        bench.crash()
    assert [event.idempotency_key for event in of(bench, "w", e.SignalReceived)] == ["k1", "k2"]


def test_many_signals_with_start_in_one_turn(bench: Workbench) -> None:
    asked = [
        Call("start", StartRequest("listener", bench.values.encode_args(("x", 4), {}), workflow_id="w", id_conflict="use_existing", first=sent(bench, "x", n)))
        for n in range(4)
    ]
    for call in asked:
        bench.engine.submit(call)
    bench.host.pump()
    assert len({call.outcome() for call in asked}) == 1 and bench.result("w") == [0, 1, 2, 3]


@pytest.mark.parametrize("first", ["", "a\0", 7], ids=repr)
def test_signals_with_start_are_checked_before_anything_is_written(bench: Workbench, first: Any) -> None:
    before = snapshot(bench)
    with pytest.raises(errors.InvalidName):
        bench.start("listener", id="w", first=e.SignalReceived(first, bench.values.encode(1)))
    assert snapshot(bench) == before


@pytest.mark.parametrize("how", ["crash before", "crash after", "lost", "written", "full"])
@pytest.mark.parametrize("delay", [None, MINUTE])
def test_a_start_with_everything_happens_whole_or_not_at_all(bench: Workbench, how: str, delay: int | None) -> None:
    """E12 at the commit of the start."""
    store = bench.store
    assert isinstance(store, FaultyStore)

    def start() -> None:
        bench.host.ask(Call("start", StartRequest("listener", bench.values.encode_args(("x", 2), {}), workflow_id="w", start_delay=delay, first=sent(bench))))
        bench.host.pump()

    if how.startswith("crash"):
        store.crash(store.commits + 1, after=how == "crash after")
        with pytest.raises(Crash):
            start()
        bench.crash()
    else:
        if how == "full":
            store.fail_next(lambda: errors.StoreFull("full"))
        else:
            store.doubt(written=how == "written")
        start()
    if how not in ("crash after", "written"):
        assert bench.store.ids() == []
        start()
    bench.signal("w", "x", 2)
    bench.skip(MINUTE)
    assert bench.result("w") == [1, 2]
    settled(bench)


# --- memos -------------------------------------------------------------------------------------------------------------


def memo_of(bench: Workbench, value: Any) -> str:
    return bench.values.encode(value, "memo").decode()


async def noting() -> list[Any]:
    seen = [workflow.info().memo]
    workflow.upsert_memo(stage="one", who="eve")
    seen.append(workflow.info().memo)
    await programs.charge(1)
    workflow.upsert_memo(who=None)
    await asyncio.sleep(1)
    seen.append(workflow.info().memo)
    return seen


@pytest.mark.parametrize("memo", [None, {"for": "ada", "who": "bob"}])
def test_a_memo_is_seen_and_added_to_by_the_code(bench: Workbench, memo: dict[str, Any] | None) -> None:
    bench.workflow(noting)
    bench.start("noting", id="w", memo=None if memo is None else memo_of(bench, memo))
    bench.crash()
    bench.skip(SECOND)
    base = memo or {}
    last = {name: value for name, value in {**base, "stage": "one"}.items() if name != "who"}
    assert bench.result("w") == [memo, {**base, "stage": "one", "who": "eve"}, last]
    assert [bench.values.decode(event.memo) for event in of(bench, "w", e.MemoUpdated)] == [{"stage": "one", "who": "eve"}, {"who": None}]
    settled(bench)


def test_a_memo_that_is_no_dict_cannot_be_added_to(bench: Workbench) -> None:
    bench.workflow(noting)
    bench.start("noting", id="w", memo=memo_of(bench, "just text"))
    with pytest.raises(errors.InvalidOption, match="is str, not a dict"):
        bench.result("w")


def test_a_memo_value_that_cannot_be_recorded_is_refused_at_the_call(bench: Workbench) -> None:
    async def noting_odd() -> str:
        try:
            workflow.upsert_memo(conn=object())
        except errors.InvalidPayload as error:
            return error.path
        return "?"

    bench.workflow(noting_odd)
    bench.start("noting_odd", id="w")
    assert bench.result("w") == "memo.conn" and len(bench.history("w")) == 2


def test_a_memo_of_a_class_that_is_gone_reads_as_it_is_recorded(bench: Workbench) -> None:
    async def tells() -> Any:
        return workflow.info().memo

    bench.workflow(tells)
    text = '{"~":"dataclass","of":"gone:Gone","v":{"a":1}}'
    bench.start("tells", id="w", memo=text)
    assert bench.status("w") is Status.COMPLETED
