"""Code against a history it did not make: which requests count as the same, what the author is told, and where."""
from __future__ import annotations

import asyncio
import inspect
import typing
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from aionlab import workflow
from aionlab.authoring.definitions import Activity
from aionlab.core import events as e
from aionlab.core.errors import InvalidPayload, NondeterminismError
from aionlab.core.events import ActivityOptions, Payload, Recorded, is_answer
from aionlab.core.failure import Failure
from aionlab.core.payload import hints_of
from aionlab.core.retry import RetryPolicy
from aionlab.replay.divergence import advice, describe, difference
from aionlab.replay.process import Code, Process
from aionlab.replay.rebuild import Rebuilt, rebuild
from tests.replay.conftest import SECOND, VALUES, Stepper, act

Step = Callable[..., Stepper]
ONE, TWO = Payload(b"[1]"), Payload(b"[2]")
other: Activity[..., Any] = Activity(None, "other")
FAILED, OTHERWISE = Failure("ValueError", "no"), Failure("KeyError", "no")

# --- two requests

ALIKE: list[tuple[Any, Any, str]] = [
    (e.ActivityScheduled(0, "a", ONE), e.ActivityScheduled(0, "a", ONE), ""),
    (e.ActivityScheduled(0, "a", ONE), e.ActivityScheduled(0, "a", ONE, ActivityOptions(RetryPolicy(5), queue="gpu")), ""),
    (e.ActivityScheduled(0, "a", ONE), e.ActivityScheduled(0, "a", TWO), "arguments"),
    (e.ActivityScheduled(0, "a", ONE), e.ActivityScheduled(1, "a", ONE), "command"),
    (e.ActivityScheduled(0, "a", ONE), e.ActivityScheduled(0, "b", ONE), "command"),
    (e.TimerStarted(0, 5), e.TimerStarted(0, 5, "a nap"), ""),  # type: ignore[arg-type]
    (e.TimerStarted(0, 5), e.TimerStarted(0, 6), "arguments"),  # type: ignore[arg-type]
    (e.TimerStarted(0, 5), e.TimerStarted(1, 5), "command"),  # type: ignore[arg-type]
    (e.ActivityCancelRequested(3), e.ActivityCancelRequested(3), ""),
    (e.ActivityCancelRequested(3), e.ActivityCancelRequested(4), "command"),
    (e.TimerCancelled(1), e.TimerCancelled(1, "other"), ""),
    (e.TimerCancelled(1), e.TimerCancelled(2), "command"),
    (e.TimerCancelled(1), e.ActivityCancelRequested(1), "command"),
    (e.SearchAttributesUpdated(ONE, True), e.SearchAttributesUpdated(ONE, True), ""),
    (e.SearchAttributesUpdated(ONE, True), e.SearchAttributesUpdated(TWO, True), "arguments"),
    (e.SignalSent(0, "t", "x", ONE, "r1/0"), e.SignalSent(0, "t", "x", ONE, "r2/0"), ""),  # type: ignore[arg-type]  # a fork has keys of its own
    (e.SignalSent(0, "t", "x", ONE, "k"), e.SignalSent(0, "t", "x", TWO, "k"), "arguments"),  # type: ignore[arg-type]
    (e.SignalSent(0, "t", "x", ONE, "k"), e.SignalSent(0, "u", "x", ONE, "k"), "command"),  # type: ignore[arg-type]
    (e.SignalSent(0, "t", "x", ONE, "k"), e.SignalSent(0, "t", "y", ONE, "k"), "command"),  # type: ignore[arg-type]
    (e.UpdateCompleted("u", ONE), e.UpdateCompleted("u", ONE), ""),
    (e.UpdateCompleted("u", ONE), e.UpdateCompleted("u", TWO), "arguments"),
    (e.UpdateCompleted("u", ONE), e.UpdateCompleted("v", ONE), "command"),
    (e.ChildWorkflowStarted(0, "c", "ship", ONE), e.ChildWorkflowStarted(0, "d", "ship", ONE, "r", "v"), ""),  # type: ignore[arg-type]
    (e.ChildWorkflowStarted(0, "c", "ship", ONE), e.ChildWorkflowStarted(0, "c", "ship", TWO), "arguments"),  # type: ignore[arg-type]
    (e.ChildWorkflowStarted(0, "c", "ship", ONE, named=True), e.ChildWorkflowStarted(0, "d", "ship", ONE, named=True), "command"),  # type: ignore[arg-type]
    (e.ChildWorkflowStarted(0, "c", "ship", ONE), e.ChildWorkflowStarted(0, "c", "pack", ONE), "command"),  # type: ignore[arg-type]
    (e.ChildWorkflowCancelRequested(1), e.ChildWorkflowCancelRequested(1), ""),
    (e.ChildWorkflowCancelRequested(1), e.ChildWorkflowCancelRequested(2), "command"),
    (e.WorkflowContinuedAsNew(ONE), e.WorkflowContinuedAsNew(ONE, "r"), ""),  # type: ignore[arg-type]
    (e.WorkflowContinuedAsNew(ONE), e.WorkflowContinuedAsNew(TWO), "arguments"),
    (e.WorkflowContinuedAsNew(ONE), e.WorkflowContinuedAsNew(ONE, workflow_type="other"), "arguments"),
    (e.PatchMarked("p"), e.PatchMarked("p"), ""),
    (e.PatchMarked("p"), e.PatchMarked("q"), "command"),
    (e.MemoUpdated(ONE), e.MemoUpdated(ONE), ""),
    (e.MemoUpdated(ONE), e.MemoUpdated(TWO), "arguments"),
    (e.PatchMarked("p"), e.PatchMarked("p"), ""),
    (e.PatchMarked("p"), e.PatchMarked("q"), "command"),
    (e.WorkflowCompleted(ONE), e.WorkflowCompleted(ONE), ""),
    (e.WorkflowCompleted(ONE), e.WorkflowCompleted(TWO), "arguments"),
    (e.WorkflowFailed(FAILED), e.WorkflowFailed(Failure("ValueError", "other words", traceback="elsewhere")), ""),
    (e.WorkflowFailed(FAILED), e.WorkflowFailed(OTHERWISE), "arguments"),
    (e.WorkflowCancelled("a"), e.WorkflowCancelled("b"), ""),
    (e.WorkflowCompleted(ONE), e.WorkflowFailed(FAILED), "command"),
    (e.ActivityScheduled(0, "a", ONE), e.TimerStarted(0, 5), "command"),  # type: ignore[arg-type]
    (e.WorkflowStarted("a", "v", ONE, 1, "3.11"), e.WorkflowStarted("a", "v", ONE, 1, "3.11"), "command"),
]


@pytest.mark.parametrize(("recorded", "asked", "differs"), ALIKE)
def test_what_counts_as_the_same_request(recorded: e.Event, asked: e.Event, differs: str) -> None:
    assert difference(recorded, asked) == difference(asked, recorded) == differs


SAID = [
    (e.ActivityScheduled(2, "charge", ONE), "activity charge#2"),
    (e.TimerStarted(3, 5), "timer 3"),  # type: ignore[arg-type]
    (e.ActivityCancelRequested(1), "cancellation of activity 1"),
    (e.TimerCancelled(4), "cancellation of timer 4"),
    (e.SearchAttributesUpdated(ONE, True), "an update of search attributes"),
    (e.MemoUpdated(ONE), "an update of the memo"),
    (e.PatchMarked("p"), "patch 'p'"),
    (e.PatchMarked("p"), "patch 'p'"),
    (e.SignalSent(1, "t", "x", ONE, "k"), "signal 1 to t (x)"),  # type: ignore[arg-type]
    (e.UpdateCompleted("u-1", ONE), "the result of update u-1"),
    (e.ChildWorkflowStarted(2, "s-1", "ship", ONE), "child ship#2 (s-1)"),  # type: ignore[arg-type]
    (e.ChildWorkflowCancelRequested(2), "cancellation of child 2"),
    (e.WorkflowContinuedAsNew(ONE), "the end of the workflow (continued as new)"),
    (e.WorkflowCompleted(ONE), "the end of the workflow (completed)"),
    (e.WorkflowFailed(FAILED), "the end of the workflow (failed: ValueError)"),
    (e.WorkflowCancelled(), "the end of the workflow (cancelled)"),
]


@pytest.mark.parametrize(("event", "words"), SAID)
def test_a_request_in_a_few_words(event: e.Event, words: str) -> None:
    assert describe(event) == words


def test_every_answer_has_words_and_an_equal() -> None:
    said = {type(event) for event, _ in SAID}
    equals = {type(a) for a, b, differs in ALIKE if not differs}
    assert all(is_answer(event) for event, _ in SAID)
    for kind in typing.get_args(e.Event):
        if kind not in said:
            event = object.__new__(kind)
            assert not is_answer(event)
            assert describe(event) == kind.__name__, "what is no request goes by its name"
    assert said == equals


def test_the_advice_follows_what_happened() -> None:
    scheduled, timer = e.ActivityScheduled(0, "a", ONE), e.TimerStarted(0, 5)  # type: ignore[arg-type]
    assert advice(None, scheduled).startswith("The code does something new here: give the change a new version")
    assert advice(scheduled, None).startswith("The code no longer does this: bring the step back")
    assert advice(scheduled, scheduled).startswith("Steps changed name or order: decide order by recorded facts only")
    assert advice(scheduled, timer).startswith("The code took another path than it did when recorded: use workflow.now()")


# --- a history and other code


def replay(run: Stepper, function: Callable[..., Any], upto: int | None = None) -> Rebuilt:
    """The history of `run` under another function."""
    code = Code("flow", "v2", function, hints_of(function), VALUES)

    def make(trace: bool) -> Process:
        return Process(code, run.started, "w", "r", run.history[0].at, None, trace)

    rebuilt = rebuild(make, run.history[:upto])
    rebuilt.process.close()
    return rebuilt


def diverges(run: Stepper, function: Callable[..., Any], upto: int | None = None) -> NondeterminismError:
    before = list(run.history)
    with pytest.raises(NondeterminismError) as found:
        replay(run, function, upto)
    assert run.history == before
    assert (found.value.workflow_id, found.value.run_id) == ("w", "r")
    return found.value


async def recorded_flow() -> str:
    await act("a")
    await asyncio.sleep(5)
    return str(await workflow.receive("go"))


@pytest.fixture
def recorded(step: Step) -> Stepper:
    """1 started · 2 activity 0 · 3 its result · 4 timer 0 · 5 fired · 6 signal · 7 completed."""
    run = step(recorded_flow)
    run.done(0), run.fire(0, 5 * SECOND), run.signal("go", "x")
    assert len(run.history) == 7
    return run


def line_of(function: Any, marker: str) -> str:
    """"file:line, in function" of the line that carries the marker."""
    lines, first = inspect.getsourcelines(function)
    [at] = [at for at, line in enumerate(lines) if f"# {marker}" in line]
    return f"{__file__}:{first + at}, in {function.__name__}"


def test_another_activity_at_the_same_place(recorded: Stepper) -> None:
    async def flow() -> None:
        await other("a")  # here

    error = diverges(recorded, flow)
    assert (error.seq, error.expected, error.actual) == (2, "activity act#0", "activity other#0")
    assert error.source == line_of(flow, "here")
    assert error.suggestion.startswith("Steps changed name or order") and error.version == "v1"


def test_another_kind_of_step_at_the_same_place(recorded: Stepper) -> None:
    async def flow() -> None:
        await asyncio.sleep(5)  # here

    error = diverges(recorded, flow)
    assert (error.seq, error.expected, error.actual, error.source) == (2, "activity act#0", "timer 0", line_of(flow, "here"))
    assert "took another path" in error.suggestion
    assert f"w diverged at event 2: history has activity act#0, the code asked for timer 0 at {error.source}. The code took" in str(error)


def test_a_step_that_is_new(recorded: Stepper) -> None:
    async def flow() -> None:
        await asyncio.gather(act("a"), other("b"))  # here

    error = diverges(recorded, flow)
    assert (error.seq, error.expected, error.actual) == (3, "nothing more in this step", "activity other#1")
    assert "something new here" in error.suggestion


def test_a_step_asked_for_by_a_task_alone_is_told_with_the_line_that_waits(recorded: Stepper) -> None:
    async def flow() -> None:
        await asyncio.gather(act("a"), other("b"))  # here

    assert diverges(recorded, flow).source == line_of(flow, "here")


def test_a_new_step_where_nothing_was_recorded(recorded: Stepper) -> None:
    async def flow() -> None:
        await act("a")
        await asyncio.sleep(5)
        await other("new")

    error = diverges(recorded, flow)
    assert (error.seq, error.actual) == (6, "activity other#1")


def test_a_step_before_the_recorded_one(recorded: Stepper) -> None:
    async def flow() -> None:
        await asyncio.gather(other("b"), act("a"))

    error = diverges(recorded, flow)
    assert (error.seq, error.expected, error.actual) == (2, "activity act#0", "activity other#0")


def test_a_step_that_is_gone_is_told_with_the_line_that_waits(recorded: Stepper) -> None:
    async def flow() -> None:
        await act("a")
        await workflow.receive("go")  # here

    error = diverges(recorded, flow)
    assert (error.seq, error.expected, error.actual) == (4, "timer 0", "nothing more in this step")
    assert error.source == line_of(flow, "here")
    assert "bring the step back" in error.suggestion


def test_code_that_ends_too_early(recorded: Stepper) -> None:
    async def flow() -> str:
        await act("a")
        return "early"

    error = diverges(recorded, flow)
    assert (error.seq, error.expected, error.actual, error.source) == (4, "timer 0", "the end of the workflow (completed)", "")


def test_code_that_ended_and_leaves_recorded_steps_behind(recorded: Stepper) -> None:
    async def longer() -> None:
        task = asyncio.create_task(act("a"))
        await act("b")
        task.cancel()
        await asyncio.sleep(0)
        await act("c")

    run = Stepper(longer)
    run.done(0 if run.answers[0].input == VALUES.encode_args(("b",), {}) else 1)  # type: ignore[union-attr]
    assert [describe(answer) for answer in run.answers][-1] == "activity act#2"

    async def shorter() -> None:
        task = asyncio.create_task(act("a"))
        await act("b")
        task.cancel()
        await asyncio.sleep(0)
        await workflow.receive("later")

    error = diverges(run, shorter)
    assert (error.seq, error.expected, error.actual) == (6, "activity act#2", "nothing more in this step")
    run.process.close()


def test_code_that_raises_instead(recorded: Stepper) -> None:
    async def flow() -> None:
        raise ValueError("no")

    error = diverges(recorded, flow)
    assert error.actual == "the end of the workflow (failed: ValueError)"


def test_code_that_waits_where_it_had_ended(recorded: Stepper) -> None:
    async def flow() -> None:
        await recorded_flow()
        await workflow.receive("more")  # here

    error = diverges(recorded, flow)
    assert (error.seq, error.expected, error.source) == (7, "the end of the workflow (completed)", line_of(flow, "here"))


def test_other_arguments_are_a_warning_each(recorded: Stepper) -> None:
    async def flow() -> str:
        await act("b")
        await asyncio.sleep(7)
        return str(await workflow.receive("go")) + "!"

    rebuilt = replay(recorded, flow)
    assert [(warning.seq, describe(warning.recorded)) for warning in rebuilt.warnings] == [
        (2, "activity act#0"), (4, "timer 0"), (7, "the end of the workflow (completed)"),
    ]  # fmt: skip
    assert rebuilt.warnings[0].asked == e.ActivityScheduled(0, "act", VALUES.encode_args(("b",), {}))
    assert not rebuilt.process.replaying


def test_a_divergence_in_a_child_is_told_with_the_childs_line(step: Step) -> None:
    async def flow() -> None:
        task = asyncio.create_task(act("a"))
        await workflow.receive("go")
        await task

    async def child() -> None:
        await other("a")  # here

    async def changed() -> None:
        task = asyncio.create_task(child())
        await workflow.receive("go")
        await task

    assert diverges(step(flow), changed).source == line_of(child, "here")


def test_a_divergence_in_an_async_generator_is_told_with_its_line(step: Step) -> None:
    async def flow() -> None:
        await act("a")

    async def numbers() -> AsyncIterator[int]:
        await other("a")  # here
        yield 1

    async def changed() -> None:
        async for _ in numbers():
            pass

    assert diverges(step(flow), changed).source == line_of(numbers, "here")


def test_a_deferred_fact_without_answers_is_left_to_be_delivered(step: Step) -> None:
    async def flow() -> str:
        await workflow.receive("go")
        await act("a")
        return str(await workflow.receive("go"))

    run = step(flow)
    run.signal("go", 1)
    late = Recorded(len(run.history) + 1, run.at, "w", "r", e.SignalReceived("go", VALUES.encode(2)), deferred=True)  # type: ignore[arg-type]
    code = run.code
    rebuilt = rebuild(lambda trace: Process(code, run.started, "w", "r", run.history[0].at, None, trace), [*run.history, late])
    assert list(rebuilt.waiting) == [late]
    rebuilt.process.close()


def test_deferred_facts_meet_their_answers_in_order(step: Step) -> None:
    """Two signals came while the run was paused; their steps' answers were recorded together when it went on."""
    async def flow() -> None:
        while True:
            await act(await workflow.receive("go"))

    run = step(flow)
    signals = [Recorded(at, run.at, "w", "r", e.SignalReceived("go", VALUES.encode(at)), deferred=True) for at in (2, 3)]  # type: ignore[arg-type]
    asked = Recorded(4, run.at, "w", "r", e.ActivityScheduled(0, "act", VALUES.encode_args((2,), {})))  # type: ignore[arg-type]
    make = run.make
    rebuilt = rebuild(make, [run.history[0], *signals, asked])
    assert (list(rebuilt.waiting), rebuilt.warnings) == ([signals[1]], [])
    rebuilt.process.close()
    done = Recorded(5, run.at, "w", "r", e.ActivityCompleted(0, VALUES.encode(None)))  # type: ignore[arg-type]
    again = Recorded(6, run.at, "w", "r", e.ActivityScheduled(1, "act", VALUES.encode_args((3,), {})))  # type: ignore[arg-type]
    rebuilt = rebuild(make, [run.history[0], *signals, asked, done, again])
    assert (list(rebuilt.waiting), rebuilt.warnings) == ([], [])
    rebuilt.process.close()
    stray = Recorded(4, run.at, "w", "r", e.TimerStarted(0, run.at))  # type: ignore[arg-type]
    with pytest.raises(NondeterminismError, match="event 4: history has timer 0, the code asked for activity act#0"):
        rebuild(make, [run.history[0], *signals, stray])
    extra = Recorded(5, run.at, "w", "r", e.TimerStarted(0, run.at))  # type: ignore[arg-type]
    with pytest.raises(NondeterminismError, match="event 5: history has timer 0, the code asked for nothing more"):
        rebuild(make, [run.history[0], *signals, asked, extra])


@pytest.mark.parametrize(
    ("given", "stored", "warned"),
    [
        ({"stage": "a", "n": 1}, {"stage": "a", "n": 1}, 0),
        ({"tags": {"b", "a"}}, {"tags": ["a", "b"]}, 0),
        ({"gone": None}, {"gone": None}, 0),
        ({"n": 1}, {"n": 1.0}, 0),
        ({"stage": "a"}, {"stage": "b"}, 1),
        ({"stage": "a"}, {"other": "a"}, 1),
        ({"stage": "a"}, {"stage": None}, 1),
        ({"stage": None}, {"stage": "a"}, 1),
        ({"stage": object}, {"stage": "a"}, None),
    ],
)
def test_search_attributes_are_compared_as_they_may_be_stored(step: Step, given: dict[str, Any], stored: dict[str, Any], warned: int | None) -> None:
    async def flow() -> None:
        workflow.upsert_search_attributes(**given)
        await workflow.receive("never")

    if warned is None:
        assert step(flow).result == "InvalidPayload"
        return
    run = Stepper(flow)
    history = [run.history[0], run.history[1]._replace(event=e.SearchAttributesUpdated(VALUES.encode(stored), by_code=True))]
    rebuilt = rebuild(run.make, history)
    assert len(rebuilt.warnings) == warned
    rebuilt.process.close()
    run.process.close()


def test_a_damaged_record_leaves_no_run_behind(step: Step) -> None:
    heard: list[str] = []

    async def flow() -> None:
        try:
            workflow.upsert_search_attributes(stage="a")
            await workflow.receive("never")
        finally:
            heard.append("closed")

    run = step(flow)
    damaged = run.history[1]._replace(event=e.SearchAttributesUpdated(Payload(b"nonsense"), by_code=True))
    with pytest.raises(InvalidPayload, match="not a payload"):
        rebuild(run.make, [run.history[0], damaged])
    assert heard == ["closed"]


def test_what_is_no_fact_is_not_delivered(step: Step) -> None:
    async def flow() -> None:
        await workflow.receive("never")

    with pytest.raises(AssertionError, match="WorkflowPaused is not a fact"):
        step(flow).process.deliver(e.WorkflowPaused(), step(flow).at)

