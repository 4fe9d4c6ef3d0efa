"""The status table: what may be recorded when, and what it leads to."""
from __future__ import annotations

import typing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aionlab.core import events as e
from aionlab.core import status as module
from aionlab.core.errors import IllegalEvent
from aionlab.core.failure import Failure
from aionlab.core.status import Status, after, of

P = e.Payload(b"null")
T = e.Micros(0)
EXAMPLES: list[Any] = [
    e.WorkflowStarted("w", "v", P, 0, "3.11"), e.WorkflowCompleted(P), e.WorkflowFailed(Failure("E", "m")), e.WorkflowCancelRequested(), e.WorkflowCancelled(),
    e.WorkflowTerminated(), e.WorkflowTimedOut(T), e.WorkflowPaused(), e.WorkflowResumed(), e.SearchAttributesUpdated(P), e.ActivityScheduled(0, "a", P),
    e.ActivityStarted(0), e.ActivityCompleted(0, P), e.ActivityFailed(0, Failure("E", "m")), e.ActivityTimedOut(0), e.ActivityCancelRequested(0),
    e.ActivityCancelled(0), e.TimerStarted(0, T), e.TimerFired(0), e.TimerCancelled(0), e.SignalReceived("s", P),
]  # fmt: skip
STARTED = EXAMPLES[0]


def test_the_table_names_every_event() -> None:
    assert set(module._TABLE) == set(typing.get_args(e.Event))
    assert {type(event) for event in EXAMPLES} <= set(module._TABLE)


def test_a_run_begins_with_its_start_and_only_once() -> None:
    assert of([]) is None and of([STARTED]) is Status.RUNNING
    for event in EXAMPLES[1:]:
        with pytest.raises(IllegalEvent, match="not started"):
            after(None, event)
    with pytest.raises(IllegalEvent, match="Running"):
        after(Status.RUNNING, STARTED)


@pytest.mark.parametrize("status", [status for status in Status if status.closed], ids=str)
def test_nothing_is_recorded_in_a_closed_run(status: Status) -> None:
    for event in EXAMPLES:
        with pytest.raises(IllegalEvent):
            after(status, event)


def test_pausing() -> None:
    assert of([STARTED, e.WorkflowPaused()]) is Status.PAUSED
    assert of([STARTED, e.WorkflowPaused(), e.SignalReceived("s", P), e.TimerFired(0), e.ActivityCompleted(0, P)]) is Status.PAUSED
    assert of([STARTED, e.WorkflowPaused(), e.WorkflowResumed()]) is Status.RUNNING
    assert of([STARTED, e.WorkflowPaused(), e.WorkflowTerminated()]) is Status.TERMINATED
    for event in (e.WorkflowCompleted(P), e.ActivityScheduled(0, "a", P), e.WorkflowPaused()):
        with pytest.raises(IllegalEvent, match="Paused"):
            of([STARTED, e.WorkflowPaused(), event])


@pytest.mark.parametrize("status", list(Status), ids=str)
def test_reopening(status: Status) -> None:
    if status in module.REOPENED:
        assert after(status, e.WorkflowReopened(1)) is Status.RUNNING
    else:
        with pytest.raises(IllegalEvent, match=str(status)):
            after(status, e.WorkflowReopened(1))
    assert Status.COMPLETED not in module.REOPENED and Status.CONTINUED_AS_NEW not in module.REOPENED


def test_every_terminal_event_closes_and_no_other_does() -> None:
    for event in EXAMPLES[1:]:
        try:
            found = after(Status.RUNNING, event)
        except IllegalEvent:
            continue
        assert found.closed == (type(event) in e.TERMINAL)


def test_a_status_reads_as_text() -> None:
    assert str(Status.TIMED_OUT) == repr(Status.TIMED_OUT) == Status.TIMED_OUT == "TimedOut"
    assert [status for status in Status if not status.closed] == [Status.RUNNING, Status.PAUSED]


def test_facts_answers_and_notes() -> None:
    for event in EXAMPLES:
        assert not (e.is_fact(event) and e.is_answer(event))
    assert e.is_fact(e.ActivityFailed(0, Failure("E", "m"))) and not e.is_fact(e.ActivityFailed(0, Failure("E", "m"), 1, T))
    assert e.is_answer(e.TimerStarted(0, T)) and not e.is_answer(e.TimerStarted(e.DEADLINE, T))
    assert e.is_answer(e.SearchAttributesUpdated(P, by_code=True)) and not e.is_answer(e.SearchAttributesUpdated(P))
    assert e.is_answer(e.WorkflowFailed(Failure("E", "m"))) and not e.is_answer(e.WorkflowFailed(Failure("E", "m"), "crashed"))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(EXAMPLES), max_size=12))
def test_law_a_history_has_at_most_one_terminal_and_it_is_last(history: list[Any]) -> None:
    try:
        found = of([STARTED, *history])
    except IllegalEvent:
        return
    terminals = [at for at, event in enumerate(history) if type(event) in e.TERMINAL]
    assert found is not None and found.closed == bool(terminals)
    assert terminals in ([], [len(history) - 1])
