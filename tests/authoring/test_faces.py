"""What workflow code may call: each primitive inside a run, on its replay, and outside, where it says that it needs a run."""
from __future__ import annotations

import asyncio
import enum
import inspect
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from aionlab import activity, workflow
from aionlab.core.errors import InvalidName, NotInWorkflow
from aionlab.core.running import Info
from aionlab.core.status import Status
from aionlab.testing.workbench import Workbench

SECOND = 1_000_000


@pytest.fixture
def bench() -> Iterator[Workbench]:
    bench = Workbench()
    yield bench
    for run in bench.engine.registry:
        if run.process is not None:
            run.process.close()


def begin(bench: Workbench, fn: Callable[..., Any], *args: Any) -> str:
    return bench.start(bench.workflow(fn).workflow_type, *args, id="w")


# --- outside of a run


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: workflow.receive("x"), "receive"),
        (lambda: workflow.sleep(1), "sleep"),
        (lambda: workflow.on_signal("x", print), "on_signal"),
        (lambda: workflow.on_query("x", print), "on_query"),
        (lambda: workflow.upsert_search_attributes(a=1), "upsert_search_attributes"),
        (lambda: workflow.now(), "now"),
        (lambda: workflow.random(), "random"),
        (lambda: workflow.uuid4(), "uuid4"),
        (lambda: workflow.info(), "info"),
        (lambda: workflow.logger.info("hello"), "logger"),
        (lambda: workflow.logger.isEnabledFor(logging.INFO), "logger"),
    ],
)
def test_outside_of_a_run_every_primitive_names_itself(call: Callable[[], Any], name: str) -> None:
    async def use() -> None:
        found = call()
        if inspect.isawaitable(found):
            await found

    with pytest.raises(NotInWorkflow) as refused:
        asyncio.run(use())
    assert str(refused.value) == f"workflow.{name} works inside a running workflow only"
    assert refused.value.what == f"workflow.{name}"


@pytest.mark.parametrize(
    ("habit", "ours"),
    [
        ("defn", "workflow.defn: a workflow is a function: put @workflow on an `async def`"),
        ("run", "workflow.run: a workflow is a function: put @workflow on an `async def`"),
        ("execute_activity", "workflow.execute_activity: call the activity: `await charge(order)`"),
        ("start_activity", "asyncio.create_task(charge(order))"),
        ("signal", "`await workflow.receive(name)` or `workflow.on_signal(name, handler)`"),
        ("query", "workflow.on_query(name, handler)"),
        ("unsafe", "no sandbox"),
        ("anything", "workflow has no 'anything'; see dir(workflow)"),
    ],
)
def test_habits_from_elsewhere_are_told_our_way(habit: str, ours: str) -> None:
    with pytest.raises(AttributeError) as refused:
        getattr(workflow, habit)
    assert ours in str(refused.value)
    assert not hasattr(workflow, habit), "so that completion and inspection see none"


def test_the_activity_face_has_one_habit_to_mend() -> None:
    with pytest.raises(AttributeError, match="put @activity on the function"):
        activity.defn
    with pytest.raises(AttributeError, match="activity has no 'heart_beat'"):
        activity.heart_beat
    assert (repr(workflow), repr(activity)) == ("<aionlab.workflow>", "<aionlab.activity>")


def test_names_are_checked_where_they_are_written(bench: Workbench) -> None:
    async def flow() -> list[str]:
        refused = []
        for ask in (workflow.receive, lambda name: workflow.on_signal(name, print), lambda name: workflow.on_query(name, print)):
            try:
                found = ask("")
                if inspect.isawaitable(found):
                    await found
            except InvalidName as error:
                refused.append(str(error).split()[0])
        return refused

    assert bench.result(begin(bench, flow)) == ["signal", "signal", "query"]


# --- receive


@dataclass
class Approval:
    by: str
    waited: timedelta = timedelta(0)


def test_receive_gives_signals_in_order_as_the_type_it_is_asked_for(bench: Workbench) -> None:
    async def flow() -> list[Any]:
        first = await workflow.receive("approval", Approval)
        return [first, await workflow.receive("approval"), await workflow.receive("approval", into=Approval, timeout="1h", default=None)]

    begin(bench, flow)
    for payload in ({"by": "ada", "waited": "2s"}, {"by": "bob"}, Approval("cy")):
        bench.signal("w", "approval", payload)
    assert bench.result("w") == [Approval("ada", timedelta(seconds=2)), {"by": "bob"}, Approval("cy")]


def test_a_signal_that_does_not_fit_is_dropped_with_a_line_in_the_log(bench: Workbench, caplog: pytest.LogCaptureFixture) -> None:
    async def flow() -> str:
        return str((await workflow.receive("approval", Approval)).by)

    begin(bench, flow)
    with caplog.at_level("WARNING", "aionlab.workflow"):
        bench.signal("w", "approval", {"name": "ada"})
    assert "[w] a signal 'approval' was dropped" in caplog.text and "no field 'name'" in caplog.text
    bench.signal("w", "approval", {"by": "bob"})
    assert bench.result("w") == "bob"


async def patient(timeout: Any = "10s", **options: Any) -> Any:
    try:
        return await workflow.receive("x", timeout=timeout, **options)
    except TimeoutError:
        return "timed out"


@pytest.mark.parametrize(("default", "expected"), [("late", "late"), (None, None), (..., "timed out")], ids=["value", "none", "without"])
def test_a_receive_that_waits_in_vain(bench: Workbench, default: Any, expected: Any) -> None:
    async def flow() -> Any:
        return await (patient() if default is ... else patient(default=default))

    begin(bench, flow)
    bench.skip(10 * SECOND - 1)
    assert bench.outcome("w") is None
    bench.skip(1)
    assert bench.result("w") == expected
    assert bench.kinds("w").count("TimerFired") == 1


def test_a_receive_in_time_leaves_no_timer_behind(bench: Workbench) -> None:
    async def flow() -> list[Any]:
        return [await patient(timeout=timedelta(seconds=5), default="late"), await workflow.receive("x")]

    begin(bench, flow)
    bench.signal("w", "x", 1)
    assert bench.kinds("w")[-1] == "TimerCancelled"
    bench.skip(60 * SECOND)
    assert bench.outcome("w") is None
    bench.signal("w", "x", 2)
    assert bench.result("w") == [1, 2]


def test_a_receive_that_timed_out_consumes_nothing(bench: Workbench) -> None:
    async def flow() -> list[Any]:
        return [await patient(), await workflow.receive("x")]

    begin(bench, flow)
    bench.skip(10 * SECOND)
    bench.signal("w", "x", "kept")
    assert bench.result("w") == ["timed out", "kept"]


def test_a_receive_without_time_to_wait_looks_once(bench: Workbench) -> None:
    async def flow() -> list[Any]:
        await workflow.receive("go")
        return [await patient(0, default="none"), await patient(0, default="none")]

    begin(bench, flow)
    bench.signal("w", "x", "there")
    bench.signal("w", "go")
    assert bench.result("w") == ["there", "none"]
    assert "TimerStarted" not in bench.kinds("w")


class Slow(enum.Enum):
    ONE = 1

    @classmethod
    def _missing_(cls, value: object) -> Any:
        raise TimeoutError("the users own")


def test_a_signal_whose_class_raises_is_dropped_whatever_it_raises(bench: Workbench) -> None:
    async def flow() -> str:
        return str(await workflow.receive("x", Slow, timeout=60, default="late"))

    begin(bench, flow)
    bench.signal("w", "x", 5)
    assert bench.outcome("w") is None
    bench.skip(60 * SECOND)
    assert bench.result("w") == "late"


def test_a_timeout_around_a_receive_is_its_own(bench: Workbench) -> None:
    async def flow() -> str:
        try:
            async with asyncio.timeout(2):
                return str(await workflow.receive("x", timeout=60, default="late"))
        except TimeoutError:
            return "the outer"

    begin(bench, flow)
    bench.skip(2 * SECOND)
    assert bench.result("w") == "the outer"


@pytest.mark.parametrize("timeout", ["soon", -1, True])
def test_a_timeout_is_a_length_of_time(bench: Workbench, timeout: Any) -> None:
    async def flow() -> str:
        try:
            await workflow.receive("x", timeout=timeout)
        except (ValueError, TypeError) as error:
            return str(error)
        return "let pass"

    assert "duration" in bench.result(begin(bench, flow))


# --- time, chance and names


def test_sleep_takes_every_spelling_of_a_length(bench: Workbench) -> None:
    async def flow() -> float:
        begun = workflow.now()
        for length in ("1s", 2, 0.5, timedelta(minutes=1)):
            await workflow.sleep(length)
        return (workflow.now() - begun).total_seconds()

    begin(bench, flow)
    bench.skip(64 * SECOND)
    assert bench.result("w") == 63.5
    assert bench.kinds("w").count("TimerStarted") == 4


def test_now_is_the_time_of_the_last_fact_in_utc(bench: Workbench) -> None:
    async def flow() -> list[datetime]:
        first = workflow.now()
        await workflow.receive("go")
        return [first, workflow.now()]

    begun = bench.clock.now()
    begin(bench, flow)
    bench.skip(5 * SECOND)
    bench.signal("w", "go")
    assert bench.result("w") == [datetime.fromtimestamp(begun / SECOND, UTC), datetime.fromtimestamp((begun + 5 * SECOND) / SECOND, UTC)]


def test_chance_time_and_facts_of_the_run_are_the_same_on_replay(bench: Workbench) -> None:
    seen: list[list[Any]] = []

    async def flow() -> list[Any]:
        mine: list[Any] = []
        seen.append(mine)
        mine += [workflow.now(), workflow.uuid4(), workflow.random().random(), workflow.random().sample(range(100), 5), workflow.info()]
        await workflow.receive("go")
        mine += [workflow.now(), workflow.uuid4(), workflow.random().choice("abc")]
        await workflow.receive("go")
        return [workflow.uuid4(), workflow.random().random()]

    bench.workflow(flow)
    ids = [bench.start("flow", id="w"), bench.start("flow", id="other")]
    for workflow_id in ids:
        bench.skip(SECOND)
        bench.signal(workflow_id, "go")
    before = [list(mine) for mine in seen]
    seen.clear()
    bench.crash()
    for workflow_id in ids:
        bench.signal(workflow_id, "go")
    assert seen == before, "each run draws again what it drew"
    assert before[0][1] != before[1][1] and before[0][2] != before[1][2], "each has its own stream"
    drawn = [one for mine in seen for one in mine if isinstance(one, UUID)] + [bench.result(workflow_id)[0] for workflow_id in ids]
    assert len(set(drawn)) == 6 and {one.version for one in drawn} == {4}


def test_info_says_what_the_run_is(bench: Workbench) -> None:
    async def flow() -> Info:
        return workflow.info()

    begun = bench.clock.now()
    bench.workflow(flow, version="v7")
    info = bench.result(bench.start("flow", id="w"))
    assert info[:5] == ("w", bench.call("run", "w").run_id, "flow", "v7", begun)


# --- the logger


def test_the_logger_speaks_once_for_each_step_that_happens(bench: Workbench, caplog: pytest.LogCaptureFixture) -> None:
    async def flow() -> None:
        workflow.logger.info("begun with %s", 3)
        await workflow.receive("go")
        workflow.logger.warning("going")
        await workflow.receive("go")
        workflow.logger.info("done")

    caplog.set_level(logging.INFO, "aionlab.workflow")

    def heard() -> list[str]:
        found = [record.getMessage() for record in caplog.records if record.name == "aionlab.workflow"]
        caplog.clear()
        return found

    begin(bench, flow)
    bench.signal("w", "go")
    assert heard() == ["[w] begun with 3", "[w] going"]
    bench.crash()
    bench.call("entry", "w")
    assert heard() == []
    bench.signal("w", "go")
    assert bench.status("w") is Status.COMPLETED
    assert heard() == ["[w] done"], "what was replayed was said before"


def test_the_logger_heeds_the_level_that_is_set(bench: Workbench, caplog: pytest.LogCaptureFixture) -> None:
    async def flow() -> list[bool]:
        workflow.logger.info("unheard")
        return [workflow.logger.isEnabledFor(logging.INFO), workflow.logger.isEnabledFor(logging.ERROR)]

    caplog.set_level(logging.WARNING, "aionlab.workflow")
    assert bench.result(begin(bench, flow)) == [False, True]
    assert caplog.messages == []


# --- handlers


def test_handlers_take_what_waits_and_what_comes(bench: Workbench) -> None:
    async def flow() -> list[Any]:
        got: list[Any] = []
        await workflow.receive("go")

        async def slowly(value: Any) -> None:
            await workflow.sleep(1)
            got.append(value)

        workflow.on_signal("x", got.append)
        workflow.on_signal("y", slowly)
        workflow.on_query("got", lambda: list(got))
        await workflow.receive("done")
        return got

    begin(bench, flow)
    bench.signal("w", "x", 1)
    bench.signal("w", "y", 2)
    bench.signal("w", "go")
    bench.skip(SECOND)
    bench.signal("w", "x", 3)
    answer = bench.call("query", "w", "got", bench.values.encode_args((), {}))
    assert bench.values.decode(answer) == [1, 2, 3]
    bench.signal("w", "done")
    assert bench.result("w") == [1, 2, 3]


def test_attributes_set_by_code_are_the_runs(bench: Workbench) -> None:
    async def flow() -> None:
        workflow.upsert_search_attributes(stage="paid", total=3)
        await workflow.receive("go")
        workflow.upsert_search_attributes(total=None)

    bench.call("register_attribute", "stage", "keyword")
    bench.call("register_attribute", "total", "int")
    begin(bench, flow)
    assert dict(bench.call("run", "w").attributes) == {"stage": "paid", "total": 3}
    bench.signal("w", "go")
    assert dict(bench.call("run", "w").attributes) == {"stage": "paid"}
