"""Commits that fail, or may have: no memory stays ahead of the log, nothing acknowledged is lost, nobody else pays."""
from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from aionlab import workflow
from aionlab.core import errors
from aionlab.core import events as e
from aionlab.core.codec import pack
from aionlab.core.ports import Batch
from aionlab.core.status import Status
from aionlab.engine.call import Call
from aionlab.engine.lifecycle.start import StartRequest
from aionlab.testing.points import arm
from aionlab.testing.workbench import Workbench
from tests.engine import programs
from tests.engine.programs import SECOND, calls, of, shape, snapshot
from tests.engine.test_activities import Held, elapse, finish
from tests.engine.test_recovery import SCENARIOS, control, drive, ended, fresh


def ask(bench: Workbench, *verbs: tuple[Any, ...]) -> list[Call]:
    """Several calls in one turn."""
    made = [Call(verb, *arguments) for verb, *arguments in verbs]
    for call in made:
        bench.engine.submit(call)
    bench.host.pump()
    return made


def signal(bench: Workbench, workflow_id: str, value: Any = None, name: str = "x") -> tuple[Any, ...]:
    return ("signal", workflow_id, name, bench.values.encode(value))


NOT_WRITTEN = [lambda: errors.StoreUnavailable("gone"), lambda: errors.StoreFull("full"), lambda: OSError(5, "I/O error"), lambda: MemoryError()]


@pytest.mark.parametrize("error", NOT_WRITTEN, ids=["unavailable", "full", "oserror", "memory"])
def test_a_commit_that_was_not_written(bench: Workbench, error: Callable[[], Exception]) -> None:
    bench.start("listener", "x", 2, id="w")
    before, old = snapshot(bench), bench.call("entry", "w").pid
    bench.store.fail_next(error)
    (call,) = ask(bench, signal(bench, "w", 1))
    with pytest.raises(errors.StoreError):
        call.outcome()
    assert snapshot(bench) == before and bench.engine.halted
    bench.host.pump()
    assert not bench.engine.halted and bench.call("entry", "w").pid > old
    for n in (2, 3):
        bench.signal("w", "x", n)
    assert bench.result("w") == [2, 3]


def test_a_commit_that_was_written_although_it_failed(bench: Workbench) -> None:
    bench.start("order", 3, id="w")
    heard: list[str] = []
    bench.engine.listeners.append(lambda recorded: heard.extend(type(r.event).__name__ for r in recorded))
    bench.store.doubt(written=True)
    (call,) = ask(bench, signal(bench, "w", "ada", "approval"))
    assert call.outcome() is True
    bench.host.pump()
    assert bench.result("w") == "6 by ada, box shipped" and calls == ["charge 3", "ship box"]
    assert heard[:3] == ["SignalReceived", "ActivityScheduled", "ActivityStarted"]


@pytest.mark.parametrize("written", [False, True])
def test_a_start_in_doubt(bench: Workbench, written: bool) -> None:
    request = StartRequest("order", bench.values.encode_args((3,), {}), workflow_id="w")
    bench.store.doubt(written=written)
    (call,) = ask(bench, ("start", request))
    if written:
        assert call.outcome() == ("w", "run-0001")
    else:
        with pytest.raises(errors.StoreUnavailable):
            call.outcome()
        assert bench.call("registry") == []
        bench.call("start", request)
    bench.host.pump()
    assert calls == ["charge 3"] and bench.call("entry", "w").residency == "Resident"
    bench.signal("w", "approval", "x")
    assert bench.status("w") is Status.COMPLETED


@pytest.mark.parametrize("written", [False, True])
def test_an_end_in_doubt_still_serves_those_who_wait(bench: Workbench, written: bool) -> None:
    bench.start("listener", "x", 1, id="w")
    waiting = bench.host.ask(Call("result", "w"))
    bench.store.doubt(written=written)
    ask(bench, signal(bench, "w", 1))
    bench.host.pump()
    assert waiting.poll() is written
    if not written:
        bench.signal("w", "x", 2)
    assert waiting.outcome()[2] == bench.outcome("w") and bench.result("w") == [1 if written else 2]


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("times", [1, 2, 5])
def test_a_completion_is_offered_again_and_nothing_dispatched_twice(make_bench: Callable[..., Workbench], written: bool, times: int) -> None:
    bench = make_bench(executor=Held())
    bench.start("three", id="w")
    bench.store.doubt(written=written, times=1 if written else times)
    finish(bench, bench.executor.attempts[0], 2)
    for _ in range(times + 1):
        bench.host.pump()
    assert of(bench, "w", e.ActivityCompleted) == [e.ActivityCompleted(0, bench.values.encode(2), 1)]
    second = [attempt for attempt in bench.executor.attempts if attempt.activity_id == 1]
    assert [attempt.attempt for attempt in bench.executor.attempts if attempt.activity_id == 0] == [1] and len(second) == 1
    finish(bench, second[-1], 4)
    finish(bench, bench.executor.attempts[-1], 6)
    assert bench.result("w") == 12


def test_what_is_in_flight_is_not_dispatched_again_by_a_failed_commit(make_bench: Callable[..., Workbench]) -> None:
    bench = make_bench(executor=Held())
    bench.start("fan", id="w")
    bench.store.doubt(written=False)
    finish(bench, bench.executor.attempts[2], 1)
    bench.host.pump()
    assert len(bench.executor.attempts) == 4
    for place in (0, 1, 3):
        finish(bench, bench.executor.attempts[place], 1)
    assert bench.result("w") == [1, 1, 1, 1]


@pytest.mark.parametrize("written", [False, True])
def test_a_timer_whose_commit_fails_fires_again(bench: Workbench, written: bool) -> None:
    for n in range(3):
        bench.start("sleeper", 5, id=f"w{n}")
    bench.store.doubt(written=written)
    bench.skip(5 * SECOND)
    bench.host.pump()
    assert [bench.result(f"w{n}") for n in range(3)] == ["woke"] * 3
    assert all(len(of(bench, f"w{n}", e.TimerFired)) == 1 for n in range(3))


def test_a_deadline_whose_commit_fails_passes_again(bench: Workbench) -> None:
    bench.start("listener", id="w", deadline=SECOND)
    bench.store.doubt(written=False, times=3)
    bench.skip(SECOND)
    for _ in range(4):
        bench.host.pump()
    assert bench.status("w") is Status.TIMED_OUT


def test_a_retry_whose_commit_fails_is_due_again(bench: Workbench) -> None:
    programs.failing.append(ValueError("1"))
    bench.start("retrying", id="w")
    bench.store.doubt(written=False)
    bench.skip(SECOND)
    bench.host.pump()
    assert bench.result("w") == "r" and [event.attempt for event in of(bench, "w", e.ActivityStarted)] == [1, 2]


def test_a_time_out_whose_commit_fails_comes_again_and_dispatches_nothing(make_bench: Callable[..., Workbench]) -> None:
    bench = make_bench(executor=Held())

    from tests.engine.test_activities import with_activity

    with_activity(bench, start_to_close="30s")
    bench.start("one", id="w")
    bench.store.doubt(written=False)
    elapse(bench, 30 * SECOND)
    bench.host.pump()
    assert bench.result("w") == "ActivityTimeout on 1: start_to_close" and len(bench.executor.attempts) == 1


def test_a_cancelled_activity_whose_commit_fails(make_bench: Callable[..., Workbench]) -> None:
    async def fickle() -> str:
        task = asyncio.ensure_future(programs.charge(1))
        await workflow.receive("x")
        task.cancel()
        return str(await workflow.receive("x"))

    bench = make_bench(executor=Held())
    bench.workflow(fickle)
    bench.start("fickle", id="w")
    bench.store.doubt(written=False)
    ask(bench, signal(bench, "w", 1))
    bench.host.pump()
    assert len(bench.executor.attempts) == 1 and bench.executor.cancelled == []
    bench.signal("w", "x", 2)
    assert bench.executor.cancelled == [(1, 0)]


def test_a_store_that_stays_away_halts_the_engine_with_its_reason(bench: Workbench) -> None:
    bench.start("listener", "x", 2, id="w")
    bench.start("sleeper", 5, id="s")
    bench.store.down = lambda: errors.StoreUnavailable("the disk is gone")
    for _ in range(3):
        (call,) = ask(bench, signal(bench, "w", 1))
        with pytest.raises(errors.StoreUnavailable, match="the disk is gone"):
            call.outcome()
    assert "the disk is gone" in bench.engine.halted and bench.engine.wait_seconds() == 0.25
    bench.clock._now += 10 * SECOND
    bench.host.pump()
    bench.store.down = None
    bench.host.pump()
    bench.host.pump()
    assert not bench.engine.halted and bench.result("s") == "woke"
    assert bench.call("tree").state == "Running" and bench.call("progress").halted == ""
    for n in (1, 2):
        bench.signal("w", "x", n)
    assert bench.result("w") == [1, 2]


def test_completions_that_arrive_while_halted_are_kept(make_bench: Callable[..., Workbench]) -> None:
    bench = make_bench(executor=Held())
    bench.start("fan", id="w")
    bench.store.down = lambda: errors.StoreUnavailable("away")
    for attempt in list(bench.executor.attempts):
        finish(bench, attempt, 1)
    bench.store.down = None
    bench.host.pump()
    bench.host.pump()
    assert bench.result("w") == [1, 1, 1, 1] and len(bench.executor.attempts) == 4


def test_a_store_that_cannot_be_read_when_a_timer_wakes_a_suspended_run(bench: Workbench) -> None:
    bench.start("sleeper", 5, id="w")
    bench.call("suspend", "w")
    bench.store.down = lambda: errors.StoreUnavailable("away")
    bench.clock._now += 5 * SECOND
    bench.host.pump()
    assert bench.engine.halted == "away"
    bench.store.down = None
    bench.host.pump()
    bench.host.pump()
    assert bench.result("w") == "woke"


def test_a_store_that_cannot_be_read_when_a_result_wakes_a_suspended_run(make_bench: Callable[..., Workbench]) -> None:
    bench = make_bench(executor=Held())
    bench.start("three", id="w")
    bench.call("suspend", "w")
    bench.store.down = lambda: errors.StoreUnavailable("away")
    bench.engine.submit(Call("run", "w"))
    query = Call("names", "w")
    bench.engine.submit(query)
    finish(bench, bench.executor.attempts[0], 2)
    bench.store.down = None
    for _ in range(3):
        bench.host.pump()
    assert len(of(bench, "w", e.ActivityCompleted)) == 1 and query.poll()


def test_everybody_who_waits_gets_an_answer(bench: Workbench) -> None:
    """Calls behind the point where a turn failed are carried out in the next."""
    bench.start("sleeper", 5, id="w")
    bench.call("suspend", "w")
    bench.start("listener", "x", 1, id="other")
    bench.clock._now += 5 * SECOND
    bench.store.down = lambda: errors.StoreUnavailable("away")
    made = [Call("run", "other"), Call(*signal(bench, "other", 1)), Call("registry")]
    for call in made:
        bench.engine.submit(call)
    bench.engine.turn()
    bench.store.down = None
    bench.host.pump()
    bench.host.pump()
    assert all(call.poll() for call in made) and made[1].outcome() is True
    assert bench.result("other") == [1] and bench.result("w") == "woke"


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
@pytest.mark.parametrize("written", [False, True])
def test_every_commit_fails_once(scenario: Callable[[Workbench], None], written: bool) -> None:
    """Without a crash: the engine itself finds back. The caller asks again when told that it is not known."""
    from aionlab.store.memory import MemoryStore
    from aionlab.testing.faults import FaultyStore

    expected, commits = control(scenario)
    for at in range(1, commits + 1):
        store = FaultyStore(MemoryStore())
        store.fail(at, lambda: errors.StoreUnavailable("no answer"), after=written)
        bench = fresh(store)
        for _ in range(3):
            try:
                drive(bench, scenario)
                break
            except errors.StoreUnavailable:
                bench.clock.auto = False
                bench.host.pump()
        found = ended(bench)
        # A caller who was answered may be quicker than the run that is being brought back, so facts may come in another order.
        assert (found.status, sorted(found.shape, key=str), found.attributes) == (expected.status, sorted(expected.shape, key=str), expected.attributes), at
        before = bench.history("w")
        bench.crash()
        assert bench.history("w") == before


# --- second writers ----------------------------------------------------------------------------------------------------


def intrude(bench: Workbench, workflow_id: str, event: e.Event) -> None:
    """Another kernel appends behind the engine's back."""
    store = bench.store.inner
    row = store.run(workflow_id)
    head = store.head(workflow_id)
    code, ref, data, payload = pack(event)
    store.commit(Batch([(row.workflow_key, head + 1, row.key, bench.clock.now(), code, 3, ref, data, payload)], {row.workflow_key: head}))


def test_a_conflict_is_told_to_those_who_wrote_there_and_to_nobody_else(bench: Workbench) -> None:
    bench.start("listener", "x", 3, id="w")
    bench.start("listener", "x", 1, id="other")
    intrude(bench, "w", e.SignalReceived("x", bench.values.encode("foreign")))
    made = ask(bench, signal(bench, "other", 1), signal(bench, "w", 2), ("run", "other"), signal(bench, "w", 3))
    for place in (1, 3):
        with pytest.raises(errors.SequenceConflict) as caught:
            made[place].outcome()
        assert (caught.value.workflow_id, caught.value.expected, caught.value.found) == ("w", 1, 2)
    bench.host.pump()
    assert made[0].outcome() is True and made[2].outcome().workflow_id == "other"
    assert bench.result("other") == [1] and not bench.engine.halted
    for n in (4, 5):
        bench.signal("w", "x", n)
    assert bench.result("w") == ["foreign", 4, 5]


def test_a_completion_meets_a_conflict(make_bench: Callable[..., Workbench]) -> None:
    bench = make_bench(executor=Held())
    bench.start("three", id="w")
    intrude(bench, "w", e.SignalReceived("x", bench.values.encode(1)))
    finish(bench, bench.executor.attempts[0], 2)
    for _ in range(2):
        bench.host.pump()
    assert len(of(bench, "w", e.ActivityCompleted)) == 1 and not bench.engine.halted


def test_fenced_is_for_good(bench: Workbench) -> None:
    bench.start("listener", "x", 2, id="w")
    waiting, settling = bench.host.ask(Call("result", "w")), Call("settle")
    before = snapshot(bench)
    bench.store.inner.fenced = True
    (call,) = ask(bench, signal(bench, "w", 1))
    with pytest.raises(errors.Fenced):
        call.outcome()
    with pytest.raises(errors.Fenced):
        waiting.outcome()
    assert bench.engine.fenced and bench.engine.wait_seconds() is None and not settling.poll()
    bench.store.inner.fenced = False
    for verb, *arguments in (("signal", "w", "x", bench.values.encode(1)), ("start", StartRequest("quick", b"[1]")), ("pause", "w"), ("settle",)):
        with pytest.raises(errors.Fenced):
            bench.call(verb, *arguments)
    assert snapshot(bench) == before
    # Looking still works, at what the log says.
    assert bench.call("run", "w").status is Status.RUNNING and len(bench.history("w")) == 1
    assert bench.call("registry") == [] and bench.call("progress").halted
    bench.crash()
    bench.signal("w", "x", 2)
    assert bench.status("w") is Status.RUNNING


@pytest.mark.parametrize("count", [1, 4])
def test_a_batch_the_store_will_not_have_is_one_runs_trouble(bench: Workbench, count: int) -> None:
    for n in range(count):
        bench.start("listener", "x", 2, id=f"w{n}")
    commit = bench.store.inner.commit

    def choosy(batch: Batch) -> None:
        if any(b"poison" in (row[8] or b"") for row in batch.rows):
            raise errors.BadBatch("a value cannot be stored")
        commit(batch)

    bench.store.inner.commit = choosy
    made = ask(bench, *(signal(bench, f"w{n}", "poison" if n == count // 2 else n) for n in range(count)))
    for n, call in enumerate(made):
        if n == count // 2:
            with pytest.raises(errors.BadBatch):
                call.outcome()
            assert bench.call("entry", f"w{n}").residency == "Stuck"
        else:
            assert call.outcome() is True
    assert not bench.engine.halted
    bench.call("retry", f"w{count // 2}")
    bench.host.pump()
    for n in range(count):
        for value in "ab":
            if bench.outcome(f"w{n}") is None:
                bench.signal(f"w{n}", "x", value)
    assert all(bench.status(f"w{n}") is Status.COMPLETED for n in range(count))


# --- chains of runs in one turn ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("written", [False, True])
def test_an_end_and_a_new_start_in_a_turn_that_fails(bench: Workbench, written: bool) -> None:
    bench.start("listener", "x", 1, id="w")
    bench.store.doubt(written=written)
    request = StartRequest("sleeper", bench.values.encode_args((), {}), workflow_id="w")
    made = ask(bench, ("terminate", "w"), ("start", request))
    bench.host.pump()
    if written:
        assert made[1].outcome() == ("w", "run-0002")
        assert bench.call("entry", "w").workflow_type == "sleeper" and len(bench.call("registry")) == 1
    else:
        with pytest.raises(errors.StoreUnavailable):
            made[1].outcome()
        bench.signal("w", "x", 1)
        assert bench.result("w") == [1]


# --- defects -----------------------------------------------------------------------------------------------------------


def test_a_defect_in_one_verb_costs_nobody_else_anything(bench: Workbench, caplog: pytest.LogCaptureFixture) -> None:
    for n in range(3):
        bench.start("listener", "x", 1, id=f"w{n}")
    bench.engine.verbs = {**bench.engine.verbs, "defect": lambda engine, run: engine.turn_now.record(engine.find(run), e.WorkflowPaused()) or 1 / 0}
    made = ask(bench, signal(bench, "w0", 0), ("defect", "w1"), signal(bench, "w1", 1), signal(bench, "w2", 2))
    bench.host.pump()
    with pytest.raises(ZeroDivisionError):
        made[1].outcome()
    assert [made[n].outcome() for n in (0, 2, 3)] == [True] * 3
    assert [bench.result(f"w{n}") for n in range(3)] == [[0], [1], [2]] and "ZeroDivisionError" in caplog.text
    assert not bench.engine.halted


def test_a_withdrawn_call_in_a_turn_with_a_defect_still_never_happens(bench: Workbench) -> None:
    bench.start("listener", "x", 1, id="w")
    bench.engine.verbs = {**bench.engine.verbs, "defect": lambda engine: 1 / 0}
    withdrawn, defect = Call("terminate", "w"), Call("defect")
    bench.engine.submit(withdrawn)
    assert withdrawn.withdraw()
    bench.engine.submit(defect)
    behind = Call("terminate", "w")
    bench.engine.submit(behind)
    bench.engine.turn()
    assert behind.withdraw()  # the turn failed before it came to this call
    bench.host.pump()
    assert bench.status("w") is Status.RUNNING and defect.poll()


def test_a_defect_with_a_completion_leaves_the_run_stuck_not_lost(make_bench: Callable[..., Workbench], monkeypatch: pytest.MonkeyPatch) -> None:
    from aionlab.engine import activities

    bench = make_bench(executor=Held())
    bench.start("three", id="w")
    bench.start("listener", "x", 1, id="other")
    kept = activities.finished

    def broken(engine: Any, report: Any) -> None:
        raise RuntimeError("a defect of ours")

    monkeypatch.setattr(activities, "finished", broken)
    finish(bench, bench.executor.attempts[0], 2)
    assert bench.call("entry", "w").residency == "Stuck" and "a defect of ours" in bench.call("entry", "w").waiting_for
    bench.signal("other", "x", 1)
    assert bench.result("other") == [1]
    monkeypatch.setattr(activities, "finished", kept)
    finish(bench, bench.executor.attempts[0], 2)
    bench.call("retry", "w")
    bench.host.pump()
    for _ in range(2):
        finish(bench, bench.executor.attempts[-1], 2)
    assert bench.result("w") == 6


@pytest.mark.parametrize("error", [ValueError("screen"), SystemExit(1), KeyboardInterrupt(), GeneratorExit()], ids=repr)
def test_listeners_that_raise_harm_nobody(bench: Workbench, error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    heard: list[int] = []

    def bad(recorded: Any) -> None:
        raise error

    bench.engine.listeners += [bad, lambda recorded: heard.append(len(recorded))]
    with caplog.at_level(logging.ERROR, "aionlab.engine"):
        bench.start("three", id="w")
    assert bench.result("w") == 12 and sum(heard) == len(bench.history("w")) and "a listener raised" in caplog.text


def test_a_listener_may_leave_while_it_is_called(bench: Workbench) -> None:
    heard: list[int] = []

    def once(recorded: Any) -> None:
        heard.append(1)
        bench.engine.listeners.remove(once)

    bench.engine.listeners += [once, lambda recorded: heard.append(2)]
    bench.start("quick")
    assert heard == [1, 2]


@pytest.mark.parametrize("point", ["commit", "committed"])
def test_an_interrupt_in_the_middle_of_a_turn(bench: Workbench, point: str) -> None:
    """With an inline host the interrupt of a cell may hit the engine itself; the log decides what has happened."""
    bench.start("order", 3, id="w")
    arm(bench, point, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        bench.host.ask(Call(*signal(bench, "w", "ada", "approval")))
    bench.host.pump()
    bench.host.pump()
    if point == "commit":
        assert bench.kinds("w")[-1] == "ActivityCompleted"
        bench.signal("w", "approval", "bob")
    assert bench.result("w").startswith("6 by") and [c for c in calls if c == "ship box"] == ["ship box"]


def test_the_shape_of_a_history_does_not_know_of_failures(bench: Workbench) -> None:
    bench.start("three", id="a")
    bench.store.doubt(written=False, times=1)
    with pytest.raises(errors.StoreUnavailable):
        bench.start("three", id="b")
    bench.host.pump()
    bench.start("three", id="b")
    assert shape(bench.history("a")) == shape(bench.history("b"))
