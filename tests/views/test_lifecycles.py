"""How runs show that were delayed, given grace, reopened or forked."""
from __future__ import annotations

from aionlab.core import events as e
from aionlab.core.clock import Micros
from aionlab.core.ports import Run
from aionlab.core.status import Status
from aionlab.views.card import RunCard
from aionlab.views.detail import about, carried, timer
from aionlab.views.groups import groups, story
from aionlab.views.timeline import Timeline
from tests.views import histories as hist
from tests.views.histories import S, payload

ROW = Run(1, 1, hist.WorkflowId("o-1"), hist.RUN, "order", hist.VERSION, Status.RUNNING, hist.T0)


def reopened() -> hist.History:
    """Failed, paused meanwhile, then reopened; the timer and the activity go on."""
    told = hist.History()
    told.add(hist.started("order", 1), e.ActivityScheduled(0, "charge", payload([1])), e.ActivityStarted(0), e.TimerStarted(0, Micros(told.at + 60 * S)))
    told.after(2 * S).add(e.ActivityFailed(0, hist.failure()), e.WorkflowFailed(hist.failure()))
    told.after(5 * S).add(e.WorkflowReopened(5, (0,), ((0, Micros(told.at + 53 * S)),), 1, 1, reason="mended"), e.ActivityStarted(0, 2))
    return told


def test_a_reopened_run_is_open_again_and_so_is_what_it_waits_for() -> None:
    told = reopened()
    (span,) = story(told.events).spans
    assert span.status is Status.RUNNING and span.closed_at is None and span.failure == "" and span.idle_since is None
    charge, nap = groups(told.events)
    assert (charge.status, charge.closed_at, [one.outcome for one in charge.attempts]) == ("Running", None, ["Failed", "Running"])
    assert (nap.status, nap.closed_at, nap.due_at) == ("Waiting", None, told.at + 53 * S)
    told.after(S).add(e.ActivityCompleted(0, payload(2), 2), e.WorkflowCompleted(payload(3)))
    (span,) = story(told.events).spans
    assert span.status is Status.COMPLETED and span.closed_at == told.at
    text = str(Timeline(tuple(told.events)))
    assert "Completed" in text and "charge" in text


def test_the_events_in_words() -> None:
    event = reopened().events[6].event
    assert about(event) == "" and carried(event) == "before event 5, activity#0 again; mended"
    mark = e.WorkflowForked(hist.started("order", 1).workflow_type, "run-7", 12)  # type: ignore[arg-type]  # any text is an id here
    assert about(mark) == "order" and carried(mark) == "up to event 12 of run run-7"
    assert "stage" in carried(e.MemoUpdated(payload({"stage": "two"})))
    assert [timer(number) for number in (e.DEADLINE, e.DELAY, e.GRACE, 0)] == ["deadline", "start delay", "grace", "timer#0"]


def test_the_card_of_a_fork_shows_where_it_comes_from_and_its_memo_as_it_stands() -> None:
    told = hist.History()
    told.add(hist.started("order", 1), e.WorkflowForked("o-1", "run-7", 12), e.MemoUpdated(payload({"stage": "two", "gone": 1})), e.MemoUpdated(payload({"gone": None})))  # type: ignore[arg-type]  # as above
    card = str(RunCard(ROW, tuple(told.events)))
    assert "forked from" in card and "o-1, up to event 12 of run run-7" in card
    assert "memo" in card and "two" in card.partition("memo")[2].splitlines()[0] and "gone" not in card.partition("memo")[2].splitlines()[0]
