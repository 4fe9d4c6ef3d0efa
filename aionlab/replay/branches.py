"""Branches: a run that begins with part of another run's history, for fork and reset.

What is copied keeps its times and its order, so that the code sees what it saw. Attempts of activities that had not ended at the cut, pauses
and the deadline belong to the other run and are left behind. Behind the copy stands `WorkflowForked`; when nothing of the code's own
follows it yet, the last step may have been cut in the middle, and the rest of it turns live.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from aionlab.core import events as e
from aionlab.core.clock import Micros
from aionlab.core.errors import InvalidOption
from aionlab.core.events import Recorded, is_fact
from aionlab.core.ids import RunId, WorkflowId

from .leases import counting, last_failure, reopening

LAST_FAILURE, END = "last_failure", "end"
_LEFT = (e.WorkflowPaused, e.WorkflowResumed, e.WorkflowForked, e.VersionChanged)
_OWN_TIMERS = (e.DEADLINE, e.GRACE)
_ENDS = (e.ActivityCompleted, e.ActivityFailed, e.ActivityTimedOut)
_ATTEMPT = (e.ActivityStarted, e.ActivityFailed, e.ActivityTimedOut)


def taken_over(history: Sequence[Recorded], at: int | str | None) -> tuple[list[Recorded], int]:
    """The events of a run that a branch of it begins with, with their old numbers, and where the cut is: the seq before it.

    `at` is the seq of the last one, or LAST_FAILURE: up to where the code waited for the activities whose failure ended the run, with what
    else had come in by then; END: all there is of an open run; None: LAST_FAILURE of a run that has failed so, END of an open one.
    Raises InvalidOption when there is no such place.
    """
    closed = type(history[-1].event) in e.TERMINAL
    workflow_id = history[0].workflow_id
    if at is None:
        at = LAST_FAILURE if closed and last_failure(history) is not None else END
    if at == LAST_FAILURE:
        if not closed or last_failure(history) is None:
            raise InvalidOption(f"no activity's failure has ended {workflow_id}; say where to cut it: at=SEQ")
        reopened = reopening(history, Micros(0))
        counts = counting([*history, history[-1]._replace(seq=history[-1].seq + 1, event=reopened)])
        place = next(place for place, r in enumerate(counts) if r.event is reopened)
        found, seq = [r for r in history if r.seq < reopened.cut] + counts[place + 1 :], reopened.cut - 1
    elif at == END:
        if closed:
            raise InvalidOption(f"{workflow_id} has ended; say where to cut it: at=SEQ, from {history[0].seq} to {history[-1].seq - 1}")
        found, seq = list(history), history[-1].seq
    else:
        found = _up_to(history, at)
        seq = found[-1].seq
    return _without_attempts([r for r in found if not _left(r.event)]), seq


def _up_to(history: Sequence[Recorded], at: object) -> list[Recorded]:
    first, last, workflow_id = history[0].seq, history[-1].seq, history[0].workflow_id
    if isinstance(at, bool) or not isinstance(at, int):
        raise InvalidOption(f"at={at!r} is no place in a history: give the seq of an event, {LAST_FAILURE!r} or {END!r}")
    if not first <= at <= last:
        raise InvalidOption(f"{workflow_id} has no event {at} in this run, which has {first} to {last}")
    found = [r for r in history if r.seq <= at]
    if found[-1].seq != at:
        raise InvalidOption(f"event {at} belongs to another run of {workflow_id}")
    ends = [r.seq for r in found if type(r.event) in e.TERMINAL]
    again = [r.seq for r in found if isinstance(r.event, e.WorkflowReopened)]
    if len(ends) > len(again):
        raise InvalidOption(f"event {ends[-1]} is the end of {workflow_id}, and nothing would be left to do; cut it before that, at={ends[-1] - 1} say")
    return found


def _left(event: e.Event) -> bool:
    if isinstance(event, e.TimerStarted | e.TimerCancelled):
        return event.timer_id in _OWN_TIMERS
    return isinstance(event, _LEFT)


def _without_attempts(events: Sequence[Recorded]) -> list[Recorded]:
    """Without the attempts of activities that are still open: the branch makes its own, from the first."""
    last: dict[int, bool] = {}
    for recorded in events:
        match recorded.event:
            case e.ActivityScheduled(activity_id=number):
                last[number] = True
            case e.ActivityCompleted(activity_id=number) | e.ActivityCancelled(activity_id=number):
                last[number] = False
            case e.ActivityFailed(activity_id=number, next_attempt_at=None) | e.ActivityTimedOut(activity_id=number, next_attempt_at=None):
                last[number] = False
            case _:
                pass
    still = {number for number, is_open in last.items() if is_open}
    return [r for r in events if not (isinstance(r.event, _ATTEMPT) and not is_fact(r.event) and r.event.activity_id in still)]


def with_results(events: Sequence[Recorded], results: Mapping[int, e.Payload]) -> tuple[list[Recorded], dict[int, e.Payload]]:
    """The events with other results of the activities named, and those results that are still to come because their activity is open.

    Raises InvalidOption for an activity that is not asked for among the events.
    """
    asked = {r.event.activity_id for r in events if isinstance(r.event, e.ActivityScheduled)}
    unknown = sorted(results.keys() - asked)
    if unknown:
        known = f"those asked for by then are {', '.join(map(str, sorted(asked)))}" if asked else "none is asked for by then"
        raise InvalidOption(f"there is no activity {unknown[0]} to give a result at the cut: {known}")
    found, coming, count = [], dict(results), {recorded.seq for recorded in counting(events)}
    for recorded in events:
        event = recorded.event
        if isinstance(event, _ENDS) and is_fact(event) and event.activity_id in results and recorded.seq in count:
            coming.pop(event.activity_id, None)
            recorded = recorded._replace(event=e.ActivityCompleted(event.activity_id, results[event.activity_id], max(1, event.attempt)))
        found.append(recorded)
    return found, coming


def number_of(history: Sequence[Recorded], name: object) -> int:
    """The ordinal of the activity meant: the ordinal itself, "charge#0" or "#0", or "@12" for the activity event 12 is about.

    Raises InvalidOption for what is none of these, or names no activity of the history.
    """
    types = {r.event.activity_id: r.event.activity_type for r in history if isinstance(r.event, e.ActivityScheduled)}
    number: object = name
    if isinstance(name, str):
        word, mark, ordinal = name.rpartition("#")
        if name.startswith("@") and name[1:].isdecimal():
            at = int(name[1:])
            number = next((getattr(r.event, "activity_id", None) for r in history if r.seq == at), None)
        elif mark and ordinal.isdecimal() and word in ("", types.get(int(ordinal), "")):
            number = int(ordinal)
    if isinstance(number, bool) or not isinstance(number, int) or number not in types:
        known = ", ".join(f"{kind}#{ordinal}" for ordinal, kind in types.items()) or "none"
        raise InvalidOption(f"{name!r} is no activity of {history[0].workflow_id}; its activities are {known}")
    return number


def result_of(history: Sequence[Recorded], number: int) -> int | None:
    """Seq of the fact that ended an activity; None while it is open."""
    return next((r.seq for r in counting(history) if isinstance(r.event, _ENDS) and is_fact(r.event) and r.event.activity_id == number), None)


def open_children(events: Sequence[Recorded]) -> dict[int, Recorded]:
    """Where the children were asked for that have not ended."""
    found: dict[int, Recorded] = {}
    for recorded in events:
        if isinstance(recorded.event, e.ChildWorkflowStarted):
            found[recorded.event.child_id] = recorded
        elif type(recorded.event) in e.CHILD_ENDS:
            found.pop(recorded.event.child_id, None)  # type: ignore[union-attr]  # narrowed by the set
    return found


def renumbered(events: Sequence[Recorded], after: int, workflow_id: WorkflowId, run_id: RunId) -> list[Recorded]:
    """The events as another run's, numbered from `after` + 1."""
    numbers = {recorded.seq: after + place for place, recorded in enumerate(events, 1)}
    found = []
    for recorded in events:
        event = recorded.event
        if isinstance(event, e.WorkflowReopened):
            timers = tuple(timer for timer in event.timers if timer[0] not in _OWN_TIMERS)
            event = replace(event, cut=numbers[event.cut], timers=timers)
        found.append(recorded._replace(seq=numbers[recorded.seq], workflow_id=workflow_id, run_id=run_id, event=event))
    return found


def started_anew(events: Sequence[Recorded], started: e.WorkflowStarted) -> e.WorkflowStarted:
    """The start without what it announces and the cut has taken away."""
    if not any(isinstance(r.event, e.TimerStarted) and r.event.timer_id == e.DELAY for r in events):
        started = replace(started, begins_at=None)
    if not any(isinstance(r.event, e.SignalReceived | e.UpdateAccepted) for r in events):
        started = replace(started, with_message=False)
    return started
