"""One event in words: its name, its kind, what it is about and what it carries. Every view that lists events asks here."""

from __future__ import annotations

from aionlab.core import events as e
from aionlab.core.durations import spell

from .preview import failure_line, preview
from .text import clip, label, short, when


def kind(event: e.Event) -> str:
    """ "fact", "answer" or "note"; see `core.events`."""
    return "fact" if e.is_fact(event) else "answer" if e.is_answer(event) else "note"


def ref(event: e.Event) -> int | None:
    """The ordinal of the activity or timer the event is about, `DEADLINE` for the run's deadline, else None."""
    number: int | None = getattr(event, "activity_id", getattr(event, "timer_id", None))
    return number


def about(event: e.Event, limit: int = 40) -> str:
    """ "activity#0 charge", "timer#1", "deadline", "signal approval", or "" for the run itself."""
    match event:
        case e.ActivityScheduled(activity_id=number, activity_type=name):
            return f"activity#{number} {label(name, limit)}"
        case e.SignalReceived(name=name):
            return f"signal {label(name, limit)}"
        case e.WorkflowStarted(workflow_type=name):
            return label(name, limit)
    ordinal = ref(event)
    if ordinal is None:
        return ""
    if isinstance(event, (e.TimerStarted, e.TimerFired, e.TimerCancelled)):
        return "deadline" if ordinal == e.DEADLINE else f"timer#{ordinal}"
    return f"activity#{ordinal}"


def carried(event: e.Event, limit: int = 80) -> str:
    """What the event carries, on one visible line: a payload's preview, an error, a time, a reason."""
    match event:
        case e.WorkflowStarted(input=payload, version=version):
            return f"{short(version)} {preview(payload, limit)}"
        case (
            e.ActivityScheduled(input=payload) | e.SignalReceived(payload=payload) | e.SearchAttributesUpdated(attributes=payload)
        ):
            return preview(payload, limit)
        case e.WorkflowCompleted(result=payload) | e.ActivityCompleted(result=payload):
            return preview(payload, limit)
        case e.WorkflowFailed(error=error):
            return failure_line(error, limit)
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
        case e.WorkflowResumed() | e.ActivityCancelRequested() | e.TimerFired():
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
    waits = "" if retry.max_attempts == 1 else f", {spell(retry.initial)} ×{retry.backoff:g} ≤ {spell(retry.max_interval)}"
    not_for = f", not for {clip(', '.join(retry.non_retryable), 60)}" if retry.non_retryable else ""
    each = "" if options.start_to_close is None else f"; {spell(options.start_to_close)} each"
    queue = "" if options.queue == "default" else f"; queue {label(options.queue, 30)}"
    return tries + waits + not_for + each + queue
