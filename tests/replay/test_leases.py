"""What counts of a history with leases, and where a closed run goes on: by hand-written histories, without an engine."""
from __future__ import annotations

from typing import Any

import pytest

from aionlab.core import events as e
from aionlab.core.clock import Micros
from aionlab.core.events import Recorded
from aionlab.core.failure import Failure
from aionlab.core.ids import RunId, WorkflowId
from aionlab.replay import branches
from aionlab.replay.leases import counting, last_failure, reopening

P = e.Payload(b"1")
NO = Failure("ValueError", "no")
START = e.WorkflowStarted("w", "v", P, 7, "3.11")


def told(*events: e.Event) -> list[Recorded]:
    return [Recorded(seq, Micros(100 * seq), WorkflowId("w"), RunId("r"), event) for seq, event in enumerate(events, 1)]


def asked(number: int) -> list[e.Event]:
    return [e.ActivityScheduled(number, f"a{number}", P), e.ActivityStarted(number)]


def again(history: list[Recorded], now: int = 10_000) -> tuple[e.WorkflowReopened, list[Recorded]]:
    """The reopening of a history, and what counts once it is recorded."""
    event = reopening(history, Micros(now))
    last = history[-1]
    return event, counting([*history, last._replace(seq=last.seq + 1, event=event, deferred=True)])


def kinds(history: list[Recorded]) -> list[tuple[str, bool]]:
    return [(type(r.event).__name__, r.deferred) for r in history]


def test_a_history_without_leases_counts_as_it_is() -> None:
    history = told(START, *asked(0), e.ActivityCompleted(0, P), e.WorkflowCompleted(P))
    assert counting(history) == history


def test_the_failure_that_ended_the_run_is_taken_back() -> None:
    history = told(START, *asked(0), e.ActivityFailed(0, NO), *asked(1), e.ActivityFailed(1, NO), e.ActivityScheduled(2, "undo", P), e.ActivityCompleted(2, P), e.WorkflowFailed(NO))
    event, counts = again(history)
    assert (event.cut, event.activities, event.next_activity, event.rest) == (7, (1,), 3, False) and last_failure(history) == 7
    assert kinds(counts)[-2:] == [("ActivityStarted", False), ("WorkflowReopened", True)] and len(counts) == 7
    assert any(isinstance(r.event, e.ActivityFailed) for r in counts), "the failure the code has dealt with stays"


def test_failures_go_together_while_the_code_does_nothing() -> None:
    history = told(START, *asked(0), *asked(1), e.ActivityFailed(0, NO), e.SignalReceived("x", P), e.ActivityTimedOut(1), e.WorkflowFailed(NO))
    event, counts = again(history)
    assert (event.cut, event.activities) == (6, (0, 1))
    assert kinds(counts)[-2:] == [("WorkflowReopened", True), ("SignalReceived", True)], "what is still true reaches the code again"


def test_attempts_that_were_made_behind_the_cut_are_still_made() -> None:
    history = told(
        START, *asked(0), *asked(1), e.ActivityFailed(0, NO), e.ActivityFailed(1, NO, 1, Micros(5)), e.ActivityStarted(1, 2), e.ActivityFailed(1, NO, 2), e.WorkflowFailed(NO)
    )
    event, counts = again(history)
    assert event.cut == 6 and [r.event.attempt for r in counts if isinstance(r.event, e.ActivityStarted) and r.event.activity_id == 1] == [1, 2]
    assert kinds(counts)[-1] == ("WorkflowReopened", True)


@pytest.mark.parametrize(("end", "rest"), [(e.WorkflowFailed(NO), True), (e.WorkflowFailed(NO, "crashed"), False), (e.WorkflowTerminated(), False), (e.WorkflowTimedOut(Micros(5)), False)])
def test_where_nothing_is_to_be_taken_back_the_run_goes_on_where_it_stood(end: e.Event, rest: bool) -> None:
    history = told(START, *asked(0), e.ActivityCompleted(0, P), end)
    event, counts = again(history)
    assert (event.cut, event.activities, event.rest) == (5, (), rest) and last_failure(history) is None
    assert kinds(counts) == [*kinds(history[:-1]), ("WorkflowReopened", True)]


def test_a_cancel_and_all_that_it_tore_down() -> None:
    history = told(
        START, e.TimerStarted(0, Micros(9)), *asked(0), e.WorkflowCancelRequested("stop"), e.TimerCancelled(0), e.ActivityCancelRequested(0),
        e.ActivityScheduled(1, "tidy", P), e.SearchAttributesUpdated(P, True), e.ActivityCompleted(1, P), e.WorkflowCancelled("stop"),
    )  # fmt: skip
    event, counts = again(history)
    assert (event.cut, event.timers, event.next_activity, event.next_timer) == (5, ((0, 9),), 2, 1)
    assert kinds(counts)[4:] == [("SearchAttributesUpdated", False), ("WorkflowReopened", True)], "what listings show stays, and is asked of nobody"
    assert counts[4].event == e.SearchAttributesUpdated(P, False)


@pytest.mark.parametrize(("deadline", "pending"), [(20_000, {e.DEADLINE: 20_000}), (10_000, {}), (5, {})])
def test_a_deadline_comes_back_while_it_lies_ahead(deadline: int, pending: dict[int, int]) -> None:
    history = told(START, e.TimerStarted(e.DEADLINE, Micros(deadline)), e.TimerStarted(0, Micros(3)), e.TimerStarted(1, Micros(4)), e.TimerFired(0), e.WorkflowTerminated())
    event, _ = again(history)
    assert dict(event.timers) == {1: 4, **pending}


def test_leases_upon_leases() -> None:
    history = told(START, *asked(0), e.SignalReceived("x", P), e.ActivityFailed(0, NO), e.SignalReceived("x", P), e.WorkflowFailed(NO))
    first, _ = again(history)
    history = [*history, *[r._replace(seq=r.seq + 7) for r in told(first, e.ActivityStarted(0, 2), e.ActivityFailed(0, NO, 2), e.WorkflowFailed(NO))]]
    second, counts = again(history)
    assert (first.cut, second.cut) == (5, 10) and second.activities == (0,)
    assert [(type(r.event).__name__, r.seq) for r in counts] == [
        ("WorkflowStarted", 1), ("ActivityScheduled", 2), ("ActivityStarted", 3), ("SignalReceived", 4), ("WorkflowReopened", 8), ("SignalReceived", 6),
        ("ActivityStarted", 9), ("WorkflowReopened", 12),
    ]  # fmt: skip


def test_what_a_branch_takes_over_and_leaves() -> None:
    history = told(
        START, e.TimerStarted(e.DEADLINE, Micros(9)), *asked(0), e.WorkflowPaused(), e.ActivityFailed(0, NO, 1, Micros(5)), e.WorkflowResumed(), e.ActivityStarted(0, 2),
        e.ActivityCompleted(0, P, 2), *asked(1), e.ActivityFailed(1, NO, 1, Micros(5)), e.WorkflowTerminated(),
    )  # fmt: skip
    events, seq = branches.taken_over(history, 12)
    assert seq == 12 and [type(r.event).__name__ for r in events] == [
        "WorkflowStarted", "ActivityScheduled", "ActivityStarted", "ActivityFailed", "ActivityStarted", "ActivityCompleted", "ActivityScheduled",
    ]  # fmt: skip
    renumbered = branches.renumbered(events, 5, WorkflowId("n"), RunId("s"))
    assert [r.seq for r in renumbered] == list(range(6, 13)) and {(r.workflow_id, r.run_id) for r in renumbered} == {("n", "s")}
    assert [r.at for r in renumbered] == [r.at for r in events]


def test_a_copied_reopening_points_at_its_cut_by_the_new_numbers() -> None:
    history = told(START, e.WorkflowPaused(), e.WorkflowResumed(), *asked(0), e.ActivityFailed(0, NO), e.WorkflowFailed(NO))
    event, _ = again(history)
    history = [*history, history[-1]._replace(seq=8, event=event, deferred=True), history[-1]._replace(seq=9, event=e.ActivityStarted(0, 2))]
    events, _ = branches.taken_over(history, "end")
    copied = branches.renumbered(events, 0, WorkflowId("n"), RunId("s"))
    (moved,) = [r.event for r in copied if isinstance(r.event, e.WorkflowReopened)]
    assert (event.cut, moved.cut) == (6, 4) and isinstance(copied[moved.cut - 1].event, e.ActivityFailed)


def test_names_of_activities() -> None:
    history = told(START, *asked(0), e.ActivityCompleted(0, P), *asked(1))
    names: list[tuple[Any, int]] = [(0, 0), ("a1#1", 1), ("#0", 0), ("@4", 0), ("@6", 1)]
    assert [branches.number_of(history, name) for name, _ in names] == [number for _, number in names]
    for wrong in (2, -1, True, None, "a0#1", "a0", "@1", "@9", "#x", ""):
        with pytest.raises(ValueError, match="its activities are a0#0, a1#1"):
            branches.number_of(history, wrong)
