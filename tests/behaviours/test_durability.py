"""Crashes, recovery and durability, as peer suites pin them down."""
from __future__ import annotations

import asyncio
import gc
import random
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from aionlab import activity, workflow
from aionlab.core import errors
from aionlab.core import events as e
from aionlab.core.status import Status
from aionlab.testing.points import arm
from tests.behaviours.reading import kinds, of

pytestmark = pytest.mark.slow

CALLS: list[Any] = []
SEEN: list[Any] = []
BROKEN: list[str] = []


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    for noted in (CALLS, SEEN, BROKEN):
        noted.clear()


@activity
def add(n: int, more: int) -> int:
    CALLS.append((n, more))
    return n + more


@workflow
async def waits() -> Any:
    return await workflow.receive("go")


def node(lab: Any, name: str) -> int:
    frame = lab.tree().to_frame()
    return int(frame[frame.name == name].pid.iloc[0])


def test_given_losses_beyond_the_limit_then_a_dead_letter_status_with_its_own_completion_time(lab: Any) -> None:
    """H02 Given recovery attempts beyond the limit, then a dead-letter status with its own completion time; …

    Ours: a supervisor that is told to `give_up="fail"` ends its runs as Failed, by SupervisionGaveUp.
    """
    lab.supervise(waits, intensity=1, give_up="fail", restart="temporary")
    handle = lab.start(waits, id="w")
    lab.kill(node(lab, "w"))
    lab.clock.skip(7)
    assert handle.status is Status.RUNNING
    lab.kill(node(lab, "w"))
    with pytest.raises(errors.WorkflowFailedError, match="SupervisionGaveUp"):
        handle.result()
    (ended,) = [recorded for recorded in handle.history() if isinstance(recorded.event, e.WorkflowFailed)]
    assert ended.event.kind == "crashed" and ended.at - handle.history()[0].at == 7_000_000


def test_given_a_run_that_was_given_up_then_resume_makes_it_runnable(lab: Any) -> None:
    """H02 …; resume makes it runnable; …"""
    lab.supervise(waits, runs="temporary")
    handle = lab.start(waits, id="w")
    lab.kill(node(lab, "w"))
    handle.signal("go", 1)
    assert handle.status is Status.RUNNING and "resume" in lab.waiting_for("w")
    handle.resume()
    assert handle.result() == 1


def test_given_a_child_that_was_given_up_then_its_parent_fails_with_a_named_error(lab: Any) -> None:
    """H02 …; the parent of such a child fails with a named error."""

    @workflow
    async def parent() -> Any:
        return await workflow.execute_child(waits, id="child")

    lab.supervise(waits, runs="temporary", give_up="fail")
    handle = lab.start(parent)
    lab.kill(node(lab, "child"))
    with pytest.raises(errors.WorkflowFailedError, match="SupervisionGaveUp") as failed:
        handle.result()
    assert isinstance(failed.value.cause, errors.ChildWorkflowError)


@workflow
async def three_steps(n: int) -> int:
    total = n
    for more in (1, 10, 100):
        total = await add(total, more)
    return total


@workflow
async def sends(target: str, count: int) -> int:
    for n in range(count):
        await workflow.send(target, "n", n)
    return count


@workflow
async def receives(count: int) -> list[int]:
    return [await workflow.receive("n", int) for _ in range(count)]


RUNS, PAIRS, LETTERS = 500, 40, 50


def test_given_a_store_that_drops_connections_at_random_then_every_result_is_exact(lab: Any) -> None:
    """H04 Given a store that drops connections at random, when 5,000 three-step runs and 10,000 send/receive pairs execute, then every result is
    exact. (Smaller here; the simulator does the rest.)"""
    chance, dropped = random.Random(4), []

    def drop(point: str) -> Callable[[], BaseException | None]:
        def error() -> BaseException | None:
            arm(lab, point, drop(point))
            if chance.random() > 0.05:
                return None
            dropped.append(point)
            return errors.StoreUnavailable("the connection was dropped")

        return error

    def insist(act: Callable[[], Any]) -> Any:
        for _ in range(100):
            try:
                return act()
            except errors.StoreError:
                lab.clock.skip("1s")
        raise AssertionError("the store never answers")

    for flow in (three_steps, sends, receives):
        lab.define(flow)
    for point in ("commit", "committed"):
        arm(lab, point, drop(point))
    handles = [insist(lambda n=n: lab.start(three_steps, n, id=f"steps-{n}", idempotency_key=f"steps-{n}")) for n in range(RUNS)]
    targets = [insist(lambda n=n: lab.start(receives, LETTERS, id=f"to-{n}", idempotency_key=f"to-{n}")) for n in range(PAIRS)]
    senders = [insist(lambda n=n: lab.start(sends, f"to-{n}", LETTERS, id=f"from-{n}", idempotency_key=f"from-{n}")) for n in range(PAIRS)]
    for _ in range(200):
        if insist(lambda: lab.count("status = 'Running'")) == 0:
            break
        insist(lambda: lab.clock.skip("1s"))
    for point in ("commit", "committed"):
        arm(lab, point, lambda: None)
    lab.clock.skip("1m")
    assert [handle.result() for handle in handles] == [n + 111 for n in range(RUNS)]
    assert [handle.result() for handle in targets] == [list(range(LETTERS))] * PAIRS and {handle.result() for handle in senders} == {LETTERS}
    assert len(dropped) > 20 and all(kinds(handle).count("ActivityCompleted") == 3 for handle in handles)


@workflow
async def dropped_at_every_step() -> list[str]:
    told: list[str] = []
    for _ in range(3):
        try:
            await asyncio.gather(workflow.receive("go"), workflow.sleep(1))
        except BaseException as error:
            told.append(type(error).__name__)
            raise
        finally:
            told.append("left")
    return told


def test_given_eviction_at_every_task_then_coroutines_are_torn_down_without_unraisable_errors_and_nobody_sees_it_in_the_result(
    lab: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """H06 Given eviction at every task, then coroutines are torn down on the right thread with no unraisable exceptions, and user `except
    BaseException` sees the engine's eviction error only while replaying.

    Ours: dropped code unwinds at once, on the engine's thread; what it does then is lost with it.
    """
    unraised: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", unraised.append)
    handle = lab.start(dropped_at_every_step)
    for _ in range(3):
        for act in (lambda: handle.signal("go"), lambda: lab.clock.skip(1)):
            handle.suspend()
            gc.collect()
            assert handle.stack() == []
            act()
    assert handle.result() == ["left"] * 3
    gc.collect()
    assert unraised == [] and [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []


@workflow
async def notes_its_thread() -> list[str]:
    workflow.on_query("thread", lambda: threading.current_thread().name)
    try:
        await workflow.receive("go")
    finally:
        print("unwound on", threading.current_thread().name)
    return []


def test_a_dropped_run_unwinds_on_the_engines_thread(lab_factory: Callable[..., Any], capfd: pytest.CaptureFixture[str]) -> None:
    """H06, its neighbour: with a threaded engine."""
    lab = lab_factory(threads=True, clock="real", deterministic=None)
    handle = lab.start(notes_its_thread)
    assert handle.query("thread") == "aion-engine"
    handle.suspend()
    assert "unwound on aion-engine" in capfd.readouterr().out
    handle.terminate()


@workflow
async def reads(text: str) -> int:
    number = await add(int(text), 1)
    await workflow.receive("go")
    return number


@workflow(name="reads")
async def reads_better(text: str) -> int:
    number = await add(int(text.strip("#")), 1)
    await workflow.receive("go")
    return number


def test_given_a_plain_exception_in_workflow_code_then_the_run_fails_and_goes_on_under_fixed_code(lab: Any) -> None:
    """H08 Given a plain (non-failure) exception in workflow code, then the task is retried and the run stays open until the code is fixed;
    configured exception types fail the run instead.

    Ours: any exception fails the run, as in any Python program, and the run can be reopened under fixed code.
    """
    handle = lab.start(reads, "#7", id="r")
    with pytest.raises(errors.WorkflowFailedError, match="ValueError"):
        handle.result()
    lab.define(reads_better)
    versions = lab.versions("reads")
    handle.reopen("the number sign", version=str(versions[versions.routed].index[0]))
    assert handle.status is Status.RUNNING
    handle.signal("go")
    assert handle.result() == 8 and len(of(handle, e.WorkflowReopened)) == 1


def test_an_error_of_the_engines_own_leaves_a_run_stuck_not_failed(lab: Any, lab_factory: Callable[..., Any]) -> None:
    """H08, its neighbour: code that no longer agrees with its history has not failed."""
    handle = lab.start(waits, id="w")
    handle.suspend()
    before = handle.history().to_json()

    @workflow(name="waits")
    async def otherwise() -> Any:
        await workflow.sleep(1)
        return await workflow.receive("go")

    lab.define(otherwise, audit=False)
    with pytest.raises(errors.NondeterminismError):
        handle.move()
    assert handle.history().to_json() == before and handle.status is Status.RUNNING


@pytest.mark.parametrize("point", ["commit", "committed"])
@pytest.mark.parametrize("after", range(4))
def test_a_crash_at_any_commit_is_survived(lab: Any, crash_at: Callable[..., Any], point: str, after: int) -> None:
    """H04, its neighbour: recorded results are never computed again, and nothing recorded is lost."""
    lab.define(three_steps)
    with crash_at(point, after) as crash:
        lab.start(three_steps, 0, id="w")
    again = crash.reopen()
    again.define(three_steps)
    if not again.ids():
        assert (point, after) == ("commit", 0)
        again.start(three_steps, 0, id="w")
    assert again.get("w").result() == 111
    assert kinds(again.get("w")).count("ActivityCompleted") == 3 and set(CALLS) == {(0, 1), (1, 10), (11, 100)} and len(CALLS) <= 4
