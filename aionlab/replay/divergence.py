"""What two events have in common as requests: the same, the same with other arguments, or different; and what to tell the author."""
from __future__ import annotations

from aionlab.core import events as e


def difference(recorded: e.Event, asked: e.Event) -> str:
    """Empty for the same request, "arguments" for the same with other arguments, "command" for another request."""
    match recorded, asked:
        case e.ActivityScheduled(), e.ActivityScheduled():
            if (recorded.activity_id, recorded.activity_type) != (asked.activity_id, asked.activity_type):
                return "command"
            return "" if recorded.input == asked.input else "arguments"
        case e.TimerStarted(), e.TimerStarted():
            if recorded.timer_id != asked.timer_id:
                return "command"
            return "" if recorded.fire_at == asked.fire_at else "arguments"
        case e.ActivityCancelRequested(), e.ActivityCancelRequested():
            return "" if recorded.activity_id == asked.activity_id else "command"
        case e.TimerCancelled(), e.TimerCancelled():
            return "" if recorded.timer_id == asked.timer_id else "command"
        case e.SearchAttributesUpdated(), e.SearchAttributesUpdated():
            return "" if recorded.attributes == asked.attributes else "arguments"
        case e.WorkflowCompleted(), e.WorkflowCompleted():
            return "" if recorded.result == asked.result else "arguments"
        case e.WorkflowFailed(), e.WorkflowFailed():
            return "" if recorded.error.type == asked.error.type else "arguments"
        case e.WorkflowCancelled(), e.WorkflowCancelled():
            return ""
        case _:
            return "command"


def describe(event: e.Event) -> str:
    """A request in a few words."""
    match event:
        case e.ActivityScheduled(activity_id=number, activity_type=name):
            return f"activity {name}#{number}"
        case e.TimerStarted(timer_id=number):
            return f"timer {number}"
        case e.ActivityCancelRequested(activity_id=number):
            return f"cancellation of activity {number}"
        case e.TimerCancelled(timer_id=number):
            return f"cancellation of timer {number}"
        case e.SearchAttributesUpdated():
            return "an update of search attributes"
        case e.WorkflowCompleted():
            return "the end of the workflow (completed)"
        case e.WorkflowFailed(error=failure):
            return f"the end of the workflow (failed: {failure.type})"
        case e.WorkflowCancelled():
            return "the end of the workflow (cancelled)"
        case _:
            return type(event).__name__


def advice(recorded: e.Event | None, asked: e.Event | None) -> str:
    """The likely cause, and what to do."""
    if recorded is None:
        return "The code does something new here: give the change a new version and let this run keep the old one, or reset the run"
    if asked is None:
        return "The code no longer does this: bring the step back, or let this run keep the version it was started with"
    if type(recorded) is type(asked):
        return "Steps changed name or order: decide order by recorded facts only (not by clock, random, environment or globals)"
    return "The code took another path than it did when recorded: use workflow.now(), workflow.random() and recorded results to decide"
