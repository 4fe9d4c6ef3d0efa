"""Replay and determinism, as peer suites pin them down."""
from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aionlab import activity, workflow
from aionlab.core import errors
from aionlab.testing.kit import check_replays
from tests.behaviours.reading import kinds, of

CALLS: list[Any] = []


@pytest.fixture(autouse=True)
def no_calls() -> None:
    CALLS.clear()


@activity
def one(n: int) -> int:
    CALLS.append(("one", n))
    return n + 1


@activity
def two(n: int) -> int:
    CALLS.append(("two", n))
    return n + 2


@workflow
async def several(n: int) -> list[int]:
    first = await one(n)
    await workflow.sleep("1h")
    return [first, *await asyncio.gather(two(first), one(first))]


def test_given_a_completed_run_when_its_history_is_replayed_with_unchanged_code_then_it_succeeds_and_no_activity_runs(lab: Any) -> None:
    """A01 Given a completed run, when its history is replayed with unchanged code, then it succeeds and no activity body runs."""
    handle = lab.start(several, 1)
    lab.clock.skip("1h")
    assert handle.result() == [2, 4, 3]
    before, calls = handle.history().to_json(), list(CALLS)
    assert check_replays(lab) == 1
    assert calls == CALLS and handle.history().to_json() == before


def test_given_a_failed_or_cancelled_run_when_replayed_then_it_succeeds_too(lab: Any, stand_in: Any) -> None:
    """A01, its neighbour: what ended badly in history ends so again, and that is agreement."""
    with stand_in(one, raises=ValueError("no")) as failing:
        with pytest.raises(errors.WorkflowFailedError):
            lab.start(several, 1).result()
        cancelled = lab.start(several, 1, id_reuse="allow", start_delay="1h")
        cancelled.cancel("never mind")
        with pytest.raises(errors.WorkflowCancelledError):
            cancelled.result()
        assert check_replays(lab) == 2 and failing.count == 1


@workflow
async def draws() -> dict[str, Any]:
    drawn = {"uuid": str(workflow.uuid4()), "random": workflow.random().random(), "choice": workflow.random().choice(range(1_000_000))}
    workflow.on_query("drawn", lambda: drawn)
    await workflow.receive("go")
    return {**drawn, "later": str(workflow.uuid4())}


def test_given_a_stored_uuid_when_queried_after_eviction_and_on_another_worker_then_the_same_value_and_two_runs_differ(
    lab: Any, lab_factory: Callable[..., Any]
) -> None:
    """A11 Given a workflow that stored a generated uuid/random, when queried after eviction and on another worker, then the same value; two
    runs differ."""
    handle, other = lab.start(draws, id="a"), lab.start(draws, id="b")
    drawn = handle.query("drawn")
    for name, value in other.query("drawn").items():
        assert drawn[name] != value
    handle.suspend()
    assert handle.query("drawn") == drawn
    lab.close()
    again = lab_factory("lab")
    assert again.query("a", "drawn") == drawn
    again.signal("a", "go")
    result = again.get("a").result()
    assert {name: result[name] for name in drawn} == drawn and again.query("a", "drawn") == drawn


def test_a_query_may_not_draw_and_what_it_draws_of_a_stream_the_code_holds_is_put_back(lab: Any) -> None:
    """A11, its neighbour: two runs of the same seed agree, whether or not one of them was asked in between."""

    @workflow
    async def asked() -> list[int]:
        stream = workflow.random()
        workflow.on_query("held", lambda: stream.random())
        workflow.on_query("asks", lambda: workflow.random().random())
        first = stream.randrange(10**9)
        await workflow.receive("go")
        return [first, stream.randrange(10**9)]

    handle = lab.start(asked)
    twin = handle.fork(1)
    assert handle.query("held") == handle.query("held")
    with pytest.raises(errors.QueryFailed, match="read-only"):
        handle.query("asks")
    for each in (handle, twin):
        each.signal("go")
    assert handle.result() == twin.result()


@workflow
async def reads_clocks() -> list[list[float]]:
    loop = asyncio.get_running_loop()
    began = loop.time()
    seen = []
    for _ in range(3):
        seen.append([workflow.now().timestamp(), loop.time() - began])
        await workflow.receive("go")
    return seen


def test_given_clock_reads_in_a_workflow_then_they_equal_the_recorded_time_of_the_fact_not_the_wall_clock(lab: Any) -> None:
    """A13 Given workflow clock reads, then `now/time/loop.time` equal the current task's recorded start time, not the wall clock.

    Ours: `workflow.now()` and `loop.time()` are the recorded time of the last event the code has consumed.
    """
    handle = lab.start(reads_clocks)
    began = lab.clock.now()
    for hours in (5, 7, 0):
        lab.clock.skip(timedelta(hours=hours))
        handle.suspend()
        handle.signal("go")
    facts = [recorded.at for recorded in handle.history() if type(recorded.event).__name__ in ("WorkflowStarted", "SignalReceived")][:3]
    assert handle.result() == [[at / 1e6, pytest.approx((at - facts[0]) / 1e6)] for at in facts]
    assert datetime.fromtimestamp(facts[0] / 1e6, UTC) == began and facts[2] - facts[0] == 12 * 3600 * 10**6


def test_given_a_recorded_step_one_and_code_now_calling_two_when_forked_then_an_error_naming_both(lab: Any) -> None:
    """A16 Given recorded step 1 = `one` and code now calling `two` as step 1, when forked/replayed, then an error naming both."""

    @workflow(name="several")
    async def changed(n: int) -> list[int]:
        first = await two(n)
        await workflow.sleep("1h")
        return [first]

    handle = lab.start(several, 1, id="s")
    lab.clock.skip("1h")
    calls, ids = list(CALLS), lab.ids()
    with pytest.raises(errors.NondeterminismError) as parted:
        handle.fork("end" if handle.status == "Running" else len(handle.history()) - 1, code=changed)
    told = str(parted.value)
    assert "one" in parted.value.expected and "two" in parted.value.actual and "one" in told and "two" in told
    assert calls == CALLS and lab.ids() == ids


def test_given_a_recorded_step_one_and_code_now_calling_two_when_moved_then_the_same_error_and_the_run_goes_on(lab: Any) -> None:
    """A16, its neighbour: an open run that is to go on under code that disagrees stays where it is, unharmed."""

    @workflow(name="several")
    async def changed(n: int) -> list[int]:
        first = await two(n)
        await workflow.sleep("1h")
        return [first]

    handle = lab.start(several, 1, id="s")
    before = handle.history().to_json()
    shown = lab.define(changed)
    assert "s" in str(shown.checked.diverged)
    with pytest.raises(errors.NondeterminismError, match=r"one.*two"):
        handle.move()
    assert handle.history().to_json() == before
    lab.clock.skip("1h")
    assert handle.result() == [2, 4, 3]


def test_given_an_engine_rule_that_may_change_then_every_event_says_which_rules_it_was_recorded_under(lab: Any) -> None:
    """A18 Given a swallowed activity cancellation recorded under an old rule, when replayed under the new rule, then it fails; with the flag
    stripped, it passes.

    Ours: there has been one rule so far, and its flags are on every event from the first; a swallowed cancellation replays under it.
    """

    @workflow
    async def swallows() -> str:
        task = asyncio.ensure_future(workflow.execute_child(waits, id="child"))
        await workflow.receive("go")
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            await workflow.sleep(1)
            return "swallowed"
        return "kept"

    @workflow
    async def waits() -> None:
        await workflow.receive("never")

    handle = lab.start(swallows)
    handle.signal("go")
    lab.clock.skip(1)
    assert handle.result() == "swallowed" and check_replays(lab) == 2
    written = json.loads(handle.history().to_json())["events"]
    assert {one_of["flags"] for one_of in written} == {recorded.flags for recorded in handle.history()} == {1}


@workflow
async def logs() -> str:
    workflow.logger.info("before")
    await workflow.receive("go")
    workflow.logger.info("after", extra={"metric": 1})
    await workflow.receive("end")
    return "done"


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "aionlab.workflow"]


def test_given_log_lines_before_a_crash_when_the_run_is_replayed_then_they_are_not_emitted_again_and_new_ones_are(
    lab: Any, crash_at: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """A19 Given log lines before a crash, when the run is replayed, then they are not emitted again and new ones are."""
    caplog.set_level(logging.INFO, "aionlab.workflow")
    lab.start(logs, id="w")
    with crash_at("commit") as crash:
        lab.signal("w", "other")
    assert lines(caplog) == ["[w] before"]
    again = crash.reopen()
    again.get("w").suspend()
    again.signal("w", "go")
    assert lines(caplog) == ["[w] before", "[w] after"]


def test_a_line_whose_step_was_lost_in_a_crash_is_emitted_again(lab: Any, crash_at: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    """A19, its neighbour: a step that was never recorded has not happened, and says its lines when it does."""
    caplog.set_level(logging.INFO, "aionlab.workflow")
    lab.start(logs, id="w")
    with crash_at("commit") as crash:
        lab.signal("w", "go")
    again = crash.reopen()
    assert kinds(again.get("w")) == ["WorkflowStarted"]
    again.signal("w", "go")
    assert lines(caplog) == ["[w] before", "[w] after", "[w] after"]


def test_given_a_metric_emitted_in_workflow_code_when_replayed_then_it_is_not_emitted_twice(lab: Any) -> None:
    """A20 Given a custom metric/span emitted in workflow code, when replayed, then it is not emitted twice.

    Ours: metrics of workflow code go through `workflow.logger`, which is silent on replay, with what they say in `extra`.
    """
    counted: list[int] = []

    class Counts(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if hasattr(record, "metric"):
                counted.append(record.metric)

    log, handler = logging.getLogger("aionlab.workflow"), Counts()
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        handle = lab.start(logs)
        handle.signal("go")
        handle.suspend()
        handle.signal("end")
        assert handle.result() == "done" and check_replays(lab) == 1
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
    assert counted == [1]


def test_what_is_recorded_of_a_run_does_not_depend_on_when_it_was_in_memory(lab: Any) -> None:
    """A01, its neighbour: a run that is dropped from memory after every step writes the same history as one that never is."""
    histories = []
    for number, evict in enumerate((False, True)):
        handle = lab.start(several, 1, id=f"s{number}")
        if evict:
            handle.suspend()
        lab.clock.skip("1h")
        assert handle.result() == [2, 4, 3]
        histories.append((kinds(handle), of(handle, "ActivityCompleted"), of(handle, "WorkflowCompleted")))
    assert histories[0] == histories[1]


@pytest.mark.parametrize("how", ["thread", "connect", "program", "resolve"])
def test_what_reaches_outside_through_asyncio_is_refused_with_the_way_out(lab: Any, how: str) -> None:
    """A13, its neighbour: what is not recorded cannot be replayed."""

    @workflow
    async def reaches(how: str) -> None:
        match how:
            case "thread":
                await asyncio.to_thread(len, "")
            case "connect":
                await asyncio.open_connection("localhost", 1)
            case "program":
                await asyncio.create_subprocess_exec("true")
            case _:
                await asyncio.get_running_loop().getaddrinfo("localhost", 1)

    with pytest.raises(errors.WorkflowFailedError, match="@activity"):
        lab.start(reaches, how).result()
