"""One run on one card: what it is, how it stands, what it awaits, how it ended and where in the user's code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aionlab.core.clock import Micros
from aionlab.core.durations import spell
from aionlab.core.events import MemoUpdated, Recorded, WorkflowContinuedAsNew, WorkflowFailed, WorkflowForked, WorkflowStarted
from aionlab.core.failure import Failure
from aionlab.core.jsontext import dumps, loads
from aionlab.core.ports import Run
from aionlab.core.running import HandlerInfo
from aionlab.core.snapshots import Entry

from .bundle import Shown
from .detail import about, carried, kind
from .document import Document, cell, code_cell, code_note, facts, grid, heading, listing, note, stacked, state_cell, titled
from .groups import Span, groups, story
from .palette import RED
from .preview import failure_line, masked, preview
from .runs import attributes_line
from .text import block, clip, counted, label, lasted, short, when

_CAUSES = 8
_CHILDREN = 20
_HANDLERS = 60


@dataclass(frozen=True, slots=True, repr=False)
class RunCard(Shown):
    """What `describe()` shows.

    `events` are the run's (or only its last ones), `entry` its place in the registry while it lives, `now` draws the age of an
    open run. `details` are the lines the workflow's author sets. `last` events are listed.
    """

    run: Run
    events: Sequence[Recorded] = ()
    entry: Entry | None = None
    now: Micros | None = None
    details: str = ""
    last: int = 8
    handlers: Sequence[HandlerInfo] = ()
    """What an open run can be told and asked."""

    def _line(self) -> str:
        run = self.run
        awaits = f", waits for {clip(self.entry.waiting_for, 80)}" if self.entry and self.entry.waiting_for else ""
        return f"<{label(run.workflow_type, 40)} {label(run.workflow_id)}: {run.status}{awaits}>"

    def _document(self) -> Document:
        run = self.run
        events = [recorded for recorded in self.events if recorded.run_id == run.run_id]
        first = next((one.event for one in events if isinstance(one.event, WorkflowStarted)), None)
        end = run.closed_at if run.closed_at is not None else self.now
        age = lasted(run.started_at, end)
        return stacked(
            heading(label(run.workflow_type, 40), label(run.workflow_id, 200), run.status.value, age),
            facts([*self._facts(first, events), ("duration", age)]),
            titled("details", listing(block(self.details))) if self.details else None,
            self._outcome(events),
            _children(events),
            titled(
                f"last of {counted(len(events), 'event')}" if len(events) > self.last else "events", _events(events[-self.last :])
            ),
        )

    def _facts(self, first: WorkflowStarted | None, events: Sequence[Recorded]) -> list[tuple[str, Any]]:
        run, entry = self.run, self.entry
        last = events[-1].event if events else None
        return [
            ("awaits", clip(entry.waiting_for, 200) if entry else ""),
            ("lives", _lives(entry) if entry else ""),
            *((title, _handlers(self.handlers, kind)) for title, kind in (("signals", "signal"), ("queries", "query"), ("updates", "update"))),
            ("run id", code_cell(label(run.run_id, 200))),
            ("version", code_cell(short(run.version), label(run.version, 200))),
            ("started", when(run.started_at)),
            ("closed", when(run.closed_at)),
            ("deadline", when(first.deadline) if first else ""),
            ("goes on as", code_cell(label(last.next_run_id, 200)) if isinstance(last, WorkflowContinuedAsNew) else ""),
            ("child of", code_cell(label(first.parent_workflow_id, 200)) if first and first.parent_workflow_id else ""),
            ("follows", code_cell(label(run.parent_run_id, 200)) if run.parent_run_id else ""),
            ("attributes", attributes_line(run.attributes, 400)),
            ("forked from", _forked(events)),
            ("begins", when(first.begins_at) if first else ""),
            ("memo", code_cell(preview(memo, 400)) if (memo := _memo(first, events)) else ""),
            ("input", code_cell(preview(first.input, 400)) if first else ""),
            ("idempotency key", code_cell(label(run.idempotency_key)) if run.idempotency_key else ""),
        ]

    def _outcome(self, events: Sequence[Recorded]) -> Document | None:
        told = story(events[-1:], 1000).spans
        if not told:
            return None
        span: Span = told[-1]
        if span.result:
            return titled("result", code_note(span.result))
        last = events[-1].event
        return failed(last.error) if isinstance(last, WorkflowFailed) else None


def _handlers(handlers: Sequence[HandlerInfo], kind: str) -> Any:
    """The handlers of one kind, with what they take and say of themselves: "set_qty(qty: int): Change the quantity.; pay(amount)"."""
    told = [label(one.name, 40) + clip(one.signature, 80) + (f": {clip(one.summary, 80)}" if one.summary else "") for one in handlers if one.kind == kind]
    return code_cell("; ".join(told[:_HANDLERS])) if told else ""


def _forked(events: Sequence[Recorded]) -> Any:
    """Where the run's history was copied from."""
    mark = next((one.event for one in events if isinstance(one.event, WorkflowForked)), None)
    return "" if mark is None else code_cell(f"{label(mark.workflow_id, 200)}, up to event {mark.seq} of run {label(mark.run_id, 200)}")


def _memo(first: WorkflowStarted | None, events: Sequence[Recorded]) -> bytes:
    """The memo as it stands, as it is recorded; empty when there is none."""
    memo = first.memo.encode("utf-8", "replace") if first and first.memo else b""
    updates = [one.event.memo for one in events if isinstance(one.event, MemoUpdated)]
    if not updates:
        return memo
    try:
        merged = dict(loads(memo)) if memo else {}
        for update in updates:
            merged |= loads(update)
    except (ValueError, TypeError):
        return memo
    return dumps({name: value for name, value in merged.items() if value is not None})


def _children(events: Sequence[Recorded]) -> Document | None:
    """The children the run has started, the last ones where there are many."""
    found = [group for group in groups(events) if group.kind == "child"]
    if not found:
        return None
    shown = found[-_CHILDREN:]
    rows = [
        (group.id, group.name, state_cell(group.status), lasted(group.started_at, group.closed_at), code_cell(group.failure or group.result))
        for group in shown
        if group.started_at is not None
    ]
    title = "1 child" if len(found) == 1 else f"{len(found):,} children"
    return titled(title if len(shown) == len(found) else f"last of {title}", grid(("child", "workflow", "status", "took", "result"), rows))


def failed(failure: Failure) -> Document:
    """A failure: its error, where in the user's code it came from, its causes, and the traceback folded away."""
    parts: list[Document] = [note(failure_line(failure, 1000), RED)]
    source = source_line(failure)
    if failure.source or source:
        parts.append(facts([("at", code_cell(clip(failure.source, 200))), ("line", code_cell(source))]))
    cause, depth = failure.cause, 0
    while cause is not None and depth < _CAUSES:
        parts.append(
            facts([("caused by", clip(failure_line(cause, 400) + (f"  at {cause.source}" if cause.source else ""), 600))])
        )
        cause, depth = cause.cause, depth + 1
    if failure.traceback:
        parts.append(titled("traceback", listing(block(masked(failure.traceback[:100_000]))), folded=True))
    return titled("failure", stacked(*parts))


def source_line(failure: Failure) -> str:
    """The text of the innermost line of the user's code, "" when the record has none."""
    place = failure.source.partition(", in ")[0]
    name, _, number = place.rpartition(":")
    lines = failure.traceback[:100_000].splitlines()
    for at in range(len(lines) - 2, -1, -1):
        if name and f'File "{name}", line {number}' in lines[at]:
            return clip(masked(lines[at + 1].strip()), 200)
    return ""


def _lives(entry: Entry) -> str:
    where = f"<{entry.pid}> " if entry.pid is not None else ""
    mailbox = f", {counted(entry.mailbox, 'signal')} not taken yet" if entry.mailbox else ""
    return f"{where}{label(entry.residency, 200)}{mailbox}"


def _events(events: Sequence[Recorded]) -> Document:
    if not events:
        return Document((), note("").element)
    zero = events[0].at
    rows = [
        (
            str(one.seq),
            cell(when(one.at), f"+{spell(one.at - zero)}"),
            type(one.event).__name__,
            kind(one.event) + (" (deferred)" if one.deferred else ""),
            about(one.event),
            code_cell(carried(one.event, 60)),
        )
        for one in events
    ]
    return grid(("seq", "time", "event", "kind", "about", "carries"), rows, right=(0,))
