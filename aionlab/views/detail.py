"""One event in words: its name, its kind, what it is about and what it carries. Every view that lists events asks here."""

from __future__ import annotations

from aionlab.core import events as e
from aionlab.core.durations import spell

from .preview import failure_line, preview
from .text import clip, label, short, when
from .timing import timing


def kind(event: e.Event) -> str:
    """ "fact", "answer" or "note"; see `core.events`."""
    return "fact" if e.is_fact(event) else "answer" if e.is_answer(event) else "note"


def ref(event: e.Event) -> int | None:
    """The ordinal of the activity, timer or child the event is about, `DEADLINE` for the run's deadline, else None."""
    number: int | None = getattr(event, "activity_id", getattr(event, "timer_id", getattr(event, "child_id", None)))
    return number


_OWN_TIMERS = {e.DEADLINE: "deadline", e.DELAY: "start delay", e.GRACE: "grace"}


def timer(number: int) -> str:
    """ "timer#1", or what a timer of the engine's own is for."""
    return _OWN_TIMERS.get(number) or f"timer#{number}"


def about(event: e.Event, limit: int = 40) -> str:
    """ "activity#0 charge", "timer#1", "deadline", "signal approval", or "" for the run itself."""
    match event:
        case e.ActivityScheduled(activity_id=number, activity_type=name):
            return f"activity#{number} {label(name, limit)}"
        case e.SignalReceived(name=name):
            return f"signal {label(name, limit)}"
        case e.SignalSent(send_id=number, name=name, target=target):
            return f"send#{number} {label(name, limit)} to {label(target, limit)}"
        case e.SignalDelivered(send_id=number) | e.SignalUndelivered(send_id=number):
            return f"send#{number}"
        case e.UpdateAccepted(name=name):
            return f"update {label(name, limit)}"
        case e.UpdateCompleted(update_id=name):
            return f"update {label(name, limit)}"
        case e.ChildWorkflowStarted(child_id=number, workflow_type=name):
            return f"child#{number} {label(name, limit)}"
        case e.WorkflowContinuedAsNew(workflow_type=str() as name):
            return label(name, limit)
        case e.WorkflowStarted(workflow_type=name):
            return label(name, limit)
        case e.WorkflowForked(workflow_id=name):
            return label(name, limit)
        case e.PatchMarked(patch_id=name):
            return f"patch {label(name, limit)}"
        case e.ScheduleCreated(plan=plan) | e.ScheduleUpdated(plan=plan):
            return label(plan.workflow_type, limit)
        case e.ScheduleTriggered(workflow_id=name):
            return label(name, limit)
    ordinal = ref(event)
    if ordinal is None:
        return ""
    if isinstance(event, (e.TimerStarted, e.TimerFired, e.TimerCancelled)):
        return timer(ordinal)
    if hasattr(event, "child_id"):
        return f"child#{ordinal}"
    return f"activity#{ordinal}"


def carried(event: e.Event, limit: int = 80) -> str:
    """What the event carries, on one visible line: a payload's preview, an error, a time, a reason."""
    match event:
        case e.WorkflowStarted(input=payload, version=version, begins_at=begins):
            later = "" if begins is None else f"; begins {when(begins)}"
            return f"{short(version)} {preview(payload, limit)}{later}"
        case e.MemoUpdated(memo=payload):
            return preview(payload, limit)
        case e.WorkflowReopened(cut=cut, activities=again, reason=reason):
            what = f"before event {cut}" + (f", {', '.join(f'activity#{number}' for number in again[:8])} again" if again else "")
            return clip(what + (f"; {reason}" if reason else ""), limit)
        case e.WorkflowForked(run_id=run, seq=seq):
            return clip(f"up to event {seq} of run {run}", limit)
        case e.ActivityScheduled(input=payload, options=options):
            return clip(preview(payload, limit) + (f" ({options.summary})" if options.summary else ""), limit)
        case e.SignalReceived(payload=payload) | e.SignalSent(payload=payload) | e.SearchAttributesUpdated(attributes=payload):
            return preview(payload, limit)
        case e.WorkflowCompleted(result=payload) | e.ActivityCompleted(result=payload):
            return preview(payload, limit)
        case e.UpdateAccepted(update_id=name, args=payload):
            return clip(f"{preview(payload, limit)} ({label(name, 40)})", limit)
        case e.UpdateCompleted(result=result, error=refusal, rejected=rejected):
            return ("rejected: " if rejected else "") + ("" if refusal is None else failure_line(refusal, limit)) + ("" if result is None else preview(result, limit))
        case e.SignalUndelivered(status=status):
            return f"it is {label(status, 40)}" if status else "there is no such run"
        case e.WorkflowFailed(error=error) | e.ChildWorkflowFailed(error=error):
            return failure_line(error, limit)
        case e.WorkflowContinuedAsNew(input=payload, next_run_id=following):
            return clip(f"{preview(payload, limit)} as {label(following, 60)}", limit)
        case e.ChildWorkflowStarted(input=payload, child_workflow_id=name):
            return clip(f"{label(name, 60)} {preview(payload, limit)}", limit)
        case e.ChildWorkflowCompleted(result=payload):
            return preview(payload, limit)
        case e.ChildWorkflowCancelled(reason=reason):
            return clip(reason or "", limit)
        case e.ChildWorkflowTimedOut(deadline=at):
            return f"deadline {when(at)}"
        case e.ChildWorkflowTerminated(reason=reason, details=details):
            return clip("; ".join(part for part in (reason, details) if part), limit)
        case e.ActivityFailed(error=error, attempt=attempt, next_attempt_at=again):
            return f"attempt {attempt}: {failure_line(error, limit)}" + (f"; again at {when(again)}" if again is not None else "")
        case e.ActivityTimedOut(kind=which, attempt=attempt, next_attempt_at=again):
            return f"attempt {attempt}: {clip(which, limit)}" + (f"; again at {when(again)}" if again is not None else "")
        case e.ActivityStarted(attempt=attempt, version=version):
            return f"attempt {attempt}" + (f", {short(version)}" if version else "")
        case e.TimerStarted(fire_at=at, summary=summary):
            return f"until {when(at)}" + (f" ({clip(summary, limit)})" if summary else "")
        case e.TimerCancelled(cause=cause):
            return clip(cause, limit)
        case e.WorkflowTimedOut(deadline=at):
            return f"deadline {when(at)}"
        case e.WorkflowCancelRequested(reason=reason) | e.WorkflowCancelled(reason=reason) | e.WorkflowPaused(reason=reason):
            return clip(reason or "", limit)
        case e.WorkflowTerminated(reason=reason, details=details):
            return clip("; ".join(part for part in (reason, details) if part), limit)
        case e.ActivityCancelled(attempt=attempt):
            return f"attempt {attempt}"
        case e.ScheduleCreated(plan=plan, input=payload, note=note) | e.ScheduleUpdated(plan=plan, input=payload, note=note):
            return clip(f"{timing(plan)} {preview(payload, limit)}" + (f" ({note})" if note else ""), limit)
        case e.SchedulePaused(note=note) | e.ScheduleResumed(note=note) | e.ScheduleDeleted(note=note):
            return clip(note or "", limit)
        case e.ScheduleTriggered(nominal_time=at, cause=cause) | e.ScheduleBuffered(nominal_time=at, cause=cause):
            return f"for {when(at)}" + (f" ({clip(cause, 40)})" if cause != "due" else "")
        case e.ScheduleSkipped(nominal_time=at, why=why, until=until):
            return clip(f"{when(at)}{f' to {when(until)}' if until is not None else ''}: {why}", limit)
        case e.VersionChanged(old=old, new=new):
            return f"{short(old)} → {short(new)}"
        case e.SignalDelivered() | e.WorkflowResumed() | e.ChildWorkflowCancelRequested() | e.ActivityCancelRequested() | e.TimerFired() | e.PatchMarked():
            return ""


def retry_line(options: e.ActivityOptions) -> str:
    """How an activity was asked for: "5 attempts, 1s ×2 ≤ 1m; 30s each"."""
    retry = options.retry
    tries = (
        "no limit of attempts"
        if not retry.max_attempts
        else "1 attempt"
        if retry.max_attempts == 1
        else f"{retry.max_attempts} attempts"
    )
    not_for = f", not for {clip(', '.join(retry.non_retryable), 60)}" if retry.non_retryable else ""
    grows = "linear" if retry.kind == "linear" else f"×{retry.backoff:g}"
    waits = "" if retry.max_attempts == 1 else f", {spell(retry.initial)} {grows} ≤ {spell(retry.max_interval)}"
    each = "" if options.start_to_close is None else f"; {spell(options.start_to_close)} each"
    whole = "" if options.schedule_to_close is None else f"; {spell(options.schedule_to_close)} in all"
    beats = "" if options.heartbeat is None else f"; heartbeat within {spell(options.heartbeat)}"
    queue = "" if options.queue == "default" else f"; queue {label(options.queue, 30)}"
    cancelled = "" if options.cancellation == "try_cancel" else f"; when cancelled: {options.cancellation}"
    return tries + waits + not_for + each + whole + beats + queue + clip(cancelled, 60)
