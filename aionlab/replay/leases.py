"""Leases: what counts of a history in which the run was closed and reopened, and where a closed run would go on.

`WorkflowReopened` opens a new lease on a run. Before its cut everything stands. From the cut on, what the code asked for counts no more;
facts that are still true (a signal, a result of something asked for before the cut) stay and reach the code again, behind the
reopening, in their old order and at their old times. What the code asks for then is recorded behind the reopening. So a history with
leases reads as one without: the events before the cut, the reopening, the facts that stay as deferred ones, and what follows.
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from aionlab.core import events as e
from aionlab.core.clock import Micros
from aionlab.core.events import Recorded, is_answer, is_fact

_UNDONE = frozenset({e.WorkflowCancelRequested, e.WorkflowStarted, e.WorkflowReopened, e.ActivityCancelled})
_ACTIVITY = (e.ActivityStarted, e.ActivityCompleted, e.ActivityFailed, e.ActivityTimedOut, e.ActivityCancelled)
_FAILURES = (e.ActivityFailed, e.ActivityTimedOut)
_SENDS = (e.SignalDelivered, e.SignalUndelivered)


def counting(history: Sequence[Recorded]) -> list[Recorded]:
    """The events that count, in the order in which they reach a process that is made anew."""
    found: list[Recorded] = []
    for recorded in history:
        event = recorded.event
        if isinstance(event, e.WorkflowReopened):
            before = [r for r in found if r.seq < event.cut]
            asked = Asked.of(before)
            behind = sorted((r for r in found if r.seq >= event.cut), key=lambda r: r.seq)
            kept = [still for r in behind if (still := _kept(r, asked)) is not None]
            notes, facts = [r for r in kept if not r.deferred], [r for r in kept if r.deferred]
            found = [*before, *notes, recorded._replace(deferred=True), *facts]
        else:
            found.append(recorded)
    return found


class Asked(NamedTuple):
    """Ordinals of what the code has asked for."""

    activities: frozenset[int]
    timers: frozenset[int]
    children: frozenset[int]
    sends: frozenset[int]

    @classmethod
    def of(cls, history: Iterable[Recorded]) -> Asked:
        activities, timers, children, sends = set(), set(), set(), set()
        for recorded in history:
            match recorded.event:
                case e.ActivityScheduled(activity_id=number):
                    activities.add(number)
                case e.TimerStarted(timer_id=number):
                    timers.add(number)
                case e.ChildWorkflowStarted(child_id=number):
                    children.add(number)
                case e.SignalSent(send_id=number):
                    sends.add(number)
                case _:
                    pass
        return cls(frozenset(activities), frozenset(timers), frozenset(children), frozenset(sends))


def _kept(recorded: Recorded, asked: Asked) -> Recorded | None:
    """An event from behind the cut as it counts, None for one that does not."""
    event = recorded.event
    if not is_fact(event):
        if isinstance(event, e.SearchAttributesUpdated):  # what listings show stands; the code is not asked about it again
            return recorded._replace(event=e.SearchAttributesUpdated(event.attributes), deferred=False)
        return recorded._replace(deferred=False) if isinstance(event, _ACTIVITY) and event.activity_id in asked.activities else None
    if type(event) in _UNDONE or isinstance(event, _FAILURES):
        return None
    if not _concerns(event, asked):
        return None
    return recorded._replace(deferred=True)


def _concerns(event: e.Event, asked: Asked) -> bool:
    """Whether a fact is one of something asked for, or of nothing that is asked for at all (a signal)."""
    match event:
        case e.ActivityCompleted(activity_id=number):
            return number in asked.activities
        case e.TimerFired(timer_id=number):
            return number in asked.timers
        case e.SignalDelivered(send_id=number) | e.SignalUndelivered(send_id=number):
            return number in asked.sends
        case _ if type(event) in e.CHILD_ENDS:
            return event.child_id in asked.children  # type: ignore[union-attr]  # narrowed by the set
        case _:
            return True


# --- where a closed run goes on ----------------------------------------------------------------------------------------


def reopening(history: Sequence[Recorded], now: Micros, reason: str | None = None) -> e.WorkflowReopened:
    """How the run with this history, which has ended, goes on.

    The cancel that ended a run is taken back, with what the code did about it. A run that failed goes back to where it waited for the
    activity whose failure it did not survive, and for those that had failed just before without the code doing anything about it. Where
    no activity is to blame, its last step is taken again. Any other run goes on where it stood. What had failed for good behind the cut, or was cancelled, runs again; timers are pending as they were.
    A deadline that is over does not come back.
    """
    counts = counting(history)
    cut = _cut(counts)
    before = [r for r in counts if r.seq < cut]
    ids = Asked.of(before).activities
    again = {r.event.activity_id for r in counts if r.seq >= cut and isinstance(r.event, (*_FAILURES, e.ActivityCancelled)) and is_fact(r.event)}
    timers = _pending(counts, cut)
    if timers.get(e.DEADLINE, now) <= now:
        timers.pop(e.DEADLINE, None)
    timers.pop(e.GRACE, None)
    rest = cut == counts[-1].seq and is_answer(counts[-1].event)
    return e.WorkflowReopened(cut, tuple(sorted(again & ids)), tuple(sorted(timers.items())), **_next(history), rest=rest, reason=reason)


def _cut(counts: Sequence[Recorded]) -> int:
    """Seq of the first event that counts no more once the run is reopened."""
    end = counts[-1]
    match end.event:
        case e.WorkflowCancelled():
            return _cancelled_at(counts)
        case e.WorkflowTerminated() if e.GRACE in _pending(counts, end.seq):
            return _cancelled_at(counts)
        case e.WorkflowFailed(kind="error"):
            cut, found = end.seq, False
            for recorded in reversed(counts[:-1]):
                if _undoes(recorded.event):
                    found, cut = True, recorded.seq
                elif found and is_answer(recorded.event):
                    break
            return cut
        case _:
            return end.seq


def _cancelled_at(counts: Sequence[Recorded]) -> int:
    return next(r.seq for r in counts if isinstance(r.event, e.WorkflowCancelRequested))


def _undoes(event: e.Event) -> bool:
    """Whether a fact is one that reopening takes back, for the code to go another way."""
    return isinstance(event, e.WorkflowCancelRequested) or (isinstance(event, _FAILURES) and is_fact(event))


def last_failure(history: Sequence[Recorded]) -> int | None:
    """Seq of the failure of an activity that ended the run, or of the first of several; None when no activity's failure did."""
    counts = counting(history)
    cut = _cut(counts)
    return cut if any(r.seq == cut and isinstance(r.event, _FAILURES) for r in counts) else None


def _pending(counts: Sequence[Recorded], cut: int) -> dict[int, Micros]:
    """Timers that were asked for before the cut, were not cancelled before it, and have not fired."""
    timers: dict[int, Micros] = {}
    for recorded in counts:
        match recorded.event:
            case e.TimerStarted(timer_id=number, fire_at=fire_at) if recorded.seq < cut:
                timers[number] = fire_at
            case e.TimerFired(timer_id=number):
                timers.pop(number, None)
            case e.TimerCancelled(timer_id=number) if recorded.seq < cut:
                timers.pop(number, None)
            case e.WorkflowReopened(timers=pending) if recorded.seq < cut:
                timers = dict(pending)
            case _:
                pass
    return timers


def _next(history: Sequence[Recorded]) -> dict[str, int]:
    """The ordinals that no command of the run has had yet."""
    asked = Asked.of(history)
    kinds = (("next_activity", asked.activities), ("next_timer", asked.timers), ("next_child", asked.children), ("next_send", asked.sends))
    return {name: max(numbers, default=-1) + 1 for name, numbers in kinds}
