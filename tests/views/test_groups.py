"""Groups tell what became of each activity, timer and signal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aionlab.core import events as e
from aionlab.core.clock import Micros
from aionlab.core.status import Status
from aionlab.views.groups import groups, story
from tests.views import histories as hist
from tests.views.histories import MS, T0, D, H, S


def test_an_order_with_a_retry_and_an_approval() -> None:
    charge, timer, approval, ship = groups(hist.order())
    assert (charge.id, charge.name, charge.status, charge.input, charge.result) == (
        "activity#0",
        "charge",
        "Completed",
        "[42]",
        '{"receipt":"r-9"}',
    )
    assert [(one.number, one.outcome, one.ended_at and one.ended_at - one.started_at) for one in charge.attempts] == [
        (1, "Failed", 120 * MS),
        (2, "Completed", 80 * MS),
    ]
    assert charge.attempts[0].failure == "PaymentError: the card was declined"
    assert charge.wait == 2 * MS + S
    assert (timer.id, timer.name, timer.status, timer.due_at) == ("timer#0", "approval", "Cancelled", T0 + 1202 * MS + 48 * H)
    assert (approval.id, approval.status, approval.wait, approval.attempts) == ("signal#0", "Received", 2 * H, ())
    assert (ship.ref, ship.wait, ship.closed_at) == (1, MS, T0 + 2 * H + 1503 * MS)


def test_a_run_that_can_only_be_moved_by_a_message() -> None:
    told = story(hist.reminder())
    assert [group.wait for group in told.groups] == [3 * MS, 90 * D, 2 * MS]
    assert told.spans[0].status is Status.RUNNING
    assert told.spans[0].idle_since == told.spans[0].last_at == T0 + 90 * D + 26 * MS
    assert story(hist.reminder()[:-1]).spans[0].idle_since is None
    assert story(hist.reminder()[:5]).spans[0].idle_since is None


def test_a_failed_batch() -> None:
    told = story(hist.batch())
    assert [(group.id, group.status, len(group.attempts)) for group in told.groups] == [
        ("deadline", "Abandoned", 0),
        ("activity#0", "Completed", 1),
        ("activity#1", "Failed", 2),
        ("activity#2", "Cancelled", 1),
    ]
    assert [one.outcome for one in told.groups[2].attempts] == ["TimedOut", "Failed"]
    assert told.groups[2].failure == "OSError: no route to host"
    span = told.spans[0]
    assert (span.status, span.failure, [end and end - start for start, end in span.paused]) == (
        Status.FAILED,
        "OSError: no route to host",
        [2 * S],
    )


def test_a_signal_that_was_not_waited_for() -> None:
    sleeping = (
        hist.History()
        .add(hist.started(), e.TimerStarted(0, Micros(T0 + D)))
        .after(H)
        .add(e.SignalReceived("note", hist.payload(1)))
    )
    sleeping.after(H).add(e.SignalReceived("note", hist.payload(2)), e.TimerCancelled(0))
    first, second = groups(sleeping.events)[1:]
    assert first.scheduled_at is None and first.wait == 0
    assert second.scheduled_at == T0


def test_attempts_that_a_crash_cut_short_are_abandoned() -> None:
    story = hist.History().add(hist.started(), e.ActivityScheduled(0, "f", hist.payload(1)), e.ActivityStarted(0, 1))
    story.after(S).add(e.ActivityStarted(0, 2))
    (group,) = groups(story.events)
    assert [(one.outcome, one.ended_at) for one in group.attempts] == [("Abandoned", T0 + S), ("Running", None)]
    story.after(S).add(e.WorkflowTerminated("stop"))
    (group,) = groups(story.events)
    assert (group.status, group.attempts[-1].outcome) == ("Abandoned", "Abandoned")


@given(st.integers(0, 17), st.integers(0, 17))
def test_any_piece_of_a_history_has_groups(start: int, stop: int) -> None:
    for events in (hist.order(), hist.reminder(), hist.batch()):
        piece = events[start:stop]
        told = story(piece)
        assert len(told.spans) == bool(piece)
        for group in told.groups:
            assert group.wait >= 0
            assert all(one.ended_at is None or one.ended_at >= one.started_at for one in group.attempts)
            assert group.seq in {recorded.seq for recorded in piece}


def test_runs_of_one_history_are_kept_apart() -> None:
    both = [pair for pairs in zip(hist.order(), hist.batch(), strict=False) for pair in pairs]
    assert len(story(both).spans) == 2
    assert {group.run_id for group in groups(both)} == {hist.RUN, hist.batch()[0].run_id}
