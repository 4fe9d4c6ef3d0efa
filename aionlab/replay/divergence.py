"""What two events have in common as requests: the same, the same with other arguments, or different; and what to tell the author."""
from __future__ import annotations

from dataclasses import replace

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
        case e.SignalSent(), e.SignalSent():
            if (recorded.send_id, recorded.target, recorded.target_run_id, recorded.name) != (asked.send_id, asked.target, asked.target_run_id, asked.name):
                return "command"
            return "" if recorded.payload == asked.payload else "arguments"
        case e.UpdateCompleted(), e.UpdateCompleted():
            if recorded.update_id != asked.update_id:
                return "command"
            return "" if recorded.result == asked.result and (recorded.error is None) == (asked.error is None) else "arguments"
        case e.SearchAttributesUpdated(), e.SearchAttributesUpdated():
            return "" if recorded.attributes == asked.attributes else "arguments"
        case e.MemoUpdated(), e.MemoUpdated():
            return "" if recorded.memo == asked.memo else "arguments"
        case e.PatchMarked(), e.PatchMarked():
            return "" if recorded.patch_id == asked.patch_id else "command"
        case e.WorkflowCompleted(), e.WorkflowCompleted():
            return "" if recorded.result == asked.result else "arguments"
        case e.WorkflowFailed(), e.WorkflowFailed():
            return "" if recorded.error.type == asked.error.type else "arguments"
        case e.WorkflowCancelled(), e.WorkflowCancelled():
            return ""
        case e.WorkflowContinuedAsNew(), e.WorkflowContinuedAsNew():
            return "" if replace(recorded, next_run_id=asked.next_run_id) == asked else "arguments"
        case e.ChildWorkflowStarted(), e.ChildWorkflowStarted():
            return _child_difference(recorded, asked)
        case e.ChildWorkflowCancelRequested(), e.ChildWorkflowCancelRequested():
            return "" if recorded.child_id == asked.child_id else "command"
        case _:
            return "command"


def _child_difference(recorded: e.ChildWorkflowStarted, asked: e.ChildWorkflowStarted) -> str:
    """An id that the code left to us is the one recorded, whatever it would be now (a fork has another workflow id)."""
    if (recorded.child_id, recorded.workflow_type) != (asked.child_id, asked.workflow_type):
        return "command"
    if recorded.named != asked.named or (asked.named and recorded.child_workflow_id != asked.child_workflow_id):
        return "command"
    known = replace(asked, child_workflow_id=recorded.child_workflow_id, child_run_id=recorded.child_run_id, version=recorded.version)
    return "" if known == recorded else "arguments"


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
        case e.SignalSent(send_id=number, target=target, name=name):
            return f"signal {number} to {target} ({name})"
        case e.UpdateCompleted(update_id=update_id):
            return f"the result of update {update_id}"
        case e.SearchAttributesUpdated():
            return "an update of search attributes"
        case e.MemoUpdated():
            return "an update of the memo"
        case e.PatchMarked(patch_id=patch_id):
            return f"patch {patch_id!r}"
        case e.WorkflowCompleted():
            return "the end of the workflow (completed)"
        case e.WorkflowFailed(error=failure):
            return f"the end of the workflow (failed: {failure.type})"
        case e.WorkflowCancelled():
            return "the end of the workflow (cancelled)"
        case e.WorkflowContinuedAsNew():
            return "the end of the workflow (continued as new)"
        case e.ChildWorkflowStarted(child_id=number, workflow_type=name, child_workflow_id=workflow_id):
            return f"child {name}#{number} ({workflow_id})"
        case e.ChildWorkflowCancelRequested(child_id=number):
            return f"cancellation of child {number}"
        case _:
            return type(event).__name__


def advice(recorded: e.Event | None, asked: e.Event | None) -> str:
    """The likely cause, and what to do."""
    if isinstance(recorded, e.PatchMarked):
        return (
            f"The run went through workflow.patched({recorded.patch_id!r}), and the code no longer asks for it there: keep patched() or "
            f"deprecate_patch() in that place until no open run has the mark"
        )
    if isinstance(asked, e.PatchMarked):
        return f"workflow.patched({asked.patch_id!r}) was asked elsewhere when this was recorded: leave it where it was"
    if recorded is None:
        return "The code does something new here: give the change a new version and let this run keep the old one, put it behind workflow.patched(…), or reset the run"
    if asked is None:
        return "The code no longer does this: bring the step back, or let this run keep the version it was started with"
    if type(recorded) is type(asked):
        return "Steps changed name or order: decide order by recorded facts only (not by clock, random, environment or globals)"
    return "The code took another path than it did when recorded: use workflow.now(), workflow.random() and recorded results to decide"
