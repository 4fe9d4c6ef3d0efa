"""One of each view, filled from the sample histories or, for the hostile corpus, with one outside string in every field."""

from __future__ import annotations

from collections.abc import Iterator

from aionlab.core import events as e
from aionlab.core.clock import Micros
from aionlab.core.errors import NondeterminismError
from aionlab.core.failure import Failure
from aionlab.core.ids import RunId, WorkflowId
from aionlab.core.ports import Run
from aionlab.core.retry import RetryPolicy
from aionlab.core.snapshots import Decision, Entry, Node, Progress, QueueState
from aionlab.core.status import Status
from aionlab.views.bundle import Shown, bundle
from aionlab.views.card import RunCard
from aionlab.views.counts import Counts
from aionlab.views.definition import ActivityUse, Checked, Definition, Finding
from aionlab.views.divergence import Divergence
from aionlab.views.document import heading
from aionlab.views.eventlist import EventList
from aionlab.views.progress import LabStatus
from aionlab.views.queues import QueueList
from aionlab.views.registry import Registry
from aionlab.views.runs import RunList
from aionlab.views.supervision import Decisions
from aionlab.views.sweep import Failed, Swept
from aionlab.views.timeline import Timeline
from aionlab.views.tree import Tree
from tests.views import histories


def run_of(events: list[e.Recorded], key: int = 1) -> Run:
    first, last = events[0], events[-1]
    assert isinstance(first.event, e.WorkflowStarted)
    status = {e.WorkflowCompleted: Status.COMPLETED, e.WorkflowFailed: Status.FAILED}.get(type(last.event), Status.RUNNING)
    return Run(
        key,
        key,
        first.workflow_id,
        first.run_id,
        first.event.workflow_type,
        first.event.version,
        status,
        first.at,
        last.at if status.closed else None,
        {"customer": "acme", "amount": 12, "api_key": "sk-live-1"},
    )


def tree(text: str = "order") -> Node:
    leaf = Node(14, "activity", f"activity#1 {text}", "Running", 0, 0, histories.T0)
    runs = (
        Node(12, "workflow", text, "Running", 1, 3, histories.T0, "activity 'ship' (order@3f2a91c:9)", (leaf,)),
        Node(13, "workflow", "o-2", "Stuck", 0, 3, histories.T0, f"diverged at event 9: {text}"),
    )
    kinds = (
        Node(2, "supervisor", text, "Running", 1, 3, histories.T0, "", runs),
        Node(
            3,
            "supervisor",
            "reminder",
            "Running",
            0,
            3,
            histories.T0,
            "",
            (Node(15, "workflow", "reminder/ada", "Suspended", 0, 3, histories.T0, "a timer"),),
        ),
    )
    return Node(1, "root", "lab.db", "Running", 0, 3, histories.T0, "", kinds)


def queue_states() -> list[QueueState]:
    return [
        QueueState("default", 0, 12, None, None, None, True),
        QueueState("order", 99_998, 2, 2, None, None, True),
        QueueState("mail", 7, 3, None, 50, Micros(60 * histories.S), False),
    ]


def decisions(text: str = "o-1") -> tuple[Decision, ...]:
    """A run lost once too often, and what its supervisors made of it."""
    at, half = histories.T0, 30 * histories.S
    return (
        Decision(at, "order", 2, "one_for_one", "workflow", text, 12, "killed", "restarted", 3, 3, half, 0, 1, 0, 0, f"{text} comes back by replay (3 of 3 in 30 s)"),
        Decision(Micros(at + histories.S), "order", 2, "one_for_one", "workflow", text, 14, f"ValueError: {text}", "escalated", 3, 3, half, 1, 0, 0, 0, text),
        Decision(Micros(at + histories.S), "lab", 1, "one_for_all", "supervisor", "order", 2, "gave up", "restarted", 1, 3, 10 * half, 2, 4, histories.S, 1, text),
    )


def entry(text: str = "o-1") -> Entry:
    return Entry(
        WorkflowId(text),
        histories.RUN,
        "order",
        histories.VERSION,
        12,
        Status.RUNNING,
        "Resident",
        "signal 'approval' (order@3f2a91c:7)",
        2,
        9,
        histories.T0,
    )


def gallery() -> Iterator[tuple[str, Shown]]:
    """The views of the samples, by name."""
    order, reminder, batch = histories.order(), histories.reminder(), histories.batch()
    later = Micros(reminder[-1].at + 3 * histories.D)
    yield "timeline-order", Timeline(order)
    yield "timeline-reminder", Timeline(reminder, later, "signal 'stop' (reminder@3f2a91c:7)")
    yield "timeline-batch", Timeline(batch)
    yield "timeline-short", Timeline(histories.short())
    yield "timeline-retries", Timeline(histories.retries())
    yield "timeline-many", Timeline(histories.many())
    going = histories.going()
    yield "timeline-going", Timeline(going, Micros(going[-1].at + 900 * histories.MS), "activity 'pack' (order@3f2a91c:9)")
    yield "events-order", EventList(order)
    yield "events-batch", EventList(batch)
    yield "events-chain", EventList([*(one._replace(run_id=reminder[0].run_id) for one in histories.short()), *order])
    yield "tree", Tree(tree(), Micros(30 * histories.S))
    yield "supervision", Decisions(decisions())
    yield (
        "registry",
        Registry([entry(), entry("a-rather-long-workflow-id/with/parts-0123456789")._replace(pid=None, residency="Waiting")]),
    )
    yield "queues", QueueList(queue_states())
    yield "card-order", RunCard(run_of(order), order)
    yield (
        "card-reminder",
        RunCard(
            run_of(reminder),
            reminder,
            entry("reminder/ada")._replace(waiting_for="signal 'stop' (reminder@3f2a91c:7)"),
            later,
            "**2** mails sent",
        ),
    )
    yield "card-batch", RunCard(run_of(batch), batch)
    yield "runs", RunList([run_of(order, 1), run_of(reminder, 2), run_of(batch, 3)], total=1204, now=later)
    yield "counts", Counts("type", {"order": 12_004, None: 31, "reminder": 7})
    failures = (Failed("o-7", histories.RUN, "o-7 is paused already"), Failed("o-9", histories.RUN, "the reason is text, not int"))
    yield "swept", Swept("pause", "paused", "closed", 1204, 1100, 102, 2, failures, finished=True)
    sample = (run_of(order, 1), run_of(reminder, 2))
    yield "swept-dry", Swept("cancel", "asked to stop", "closed", 1204, 1100, 104, dry_run=True, finished=True, sample=sample, statuses={"Running": 1100})
    yield (
        "definition",
        Definition(
            "order",
            histories.VERSION,
            True,
            (("1a2b3c4d5e", 2),),
            "",
            (
                ActivityUse("charge", e.ActivityOptions(RetryPolicy(5, non_retryable=("ValueError",)), Micros(30 * histories.S))),
                ActivityUse("ship", e.ActivityOptions(RetryPolicy(1), queue="slow"), "async"),
            ),
            (
                Finding(7, "time.time() differs on replay; use workflow.now()", "error", "    started = time.time()"),
                Finding(9, "a bare except also catches cancellation", "warning", "    except:"),
            ),
            Checked(11, ("o-3",)),
            ("approval",),
            ("status",),
        ),
    )
    yield (
        "status",
        LabStatus(
            Progress(later, "this kernel", False, 3, 1, 1204, 1, 2, 812, 640, 12044, Micros(later + histories.H)), "lab.db"
        ),
    )
    error = NondeterminismError(
        "o-1",
        histories.RUN,
        9,
        "ActivityScheduled #1 ship('r-9')",
        "ActivityScheduled #1 ship_fast('r-9')",
        "order@77aa001:9, in order",
        "put the new call behind workflow.patched('fast'), or route the old version",
        histories.VERSION,
    )
    code = (
        (8, "    ok = await workflow.receive('approval')"),
        (9, "    parcel = await ship_fast(receipt)"),
        (10, "    return parcel"),
    )
    yield "divergence", Divergence.of(error, history="ActivityScheduled activity#1 ship", code=code, line=9)


class Handle:
    """The line of a handle, as `aionlab.app.handle` makes it."""

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return bundle(heading("run", "o-1", note="order · run-0001"))


def shelf() -> Iterator[tuple[str, object]]:
    """The gallery and what cells show beside it: a handle's line, a note, frames."""
    from aionlab.lab.pages import Note
    from aionlab.views.frames import events_frame, versions_frame

    yield "handle", Handle()
    yield from gallery()
    yield "note", Note("o-1 ← approval")
    yield "frame-events", events_frame(histories.order())
    yield "frame-versions", versions_frame([(histories.VERSION, histories.T0, True, True, False, 2), ("1a2b3c4d5e", histories.T0, False, True, False, 0)])


def hostile(text: str) -> Iterator[tuple[str, Shown]]:
    """Every view with `text` wherever an outside string enters."""
    wid, rid = WorkflowId(text), RunId(text)
    failure = Failure(
        text,
        text,
        (text,),
        None,
        f'  File "{text}", line 4, in f\n    {text}\n',
        f"{text}:4, in f",
        Failure(text, text, source=text),
    )
    clean = text.encode("utf-8", "replace").decode()
    data = histories.payload({clean: clean})
    story = histories.History(wid, rid)
    story.add(
        e.WorkflowStarted(text, text, data, 7, text, memo=text, idempotency_key=text),
        e.SearchAttributesUpdated(data),
        e.ActivityScheduled(0, text, data, e.ActivityOptions(RetryPolicy(non_retryable=(text,)), queue=text)),
        e.ActivityStarted(0, 1, text),
    )
    story.after(histories.S).add(
        e.ActivityFailed(0, failure, 1, Micros(story.at + histories.S)), e.TimerStarted(0, Micros(story.at + histories.H), text)
    )
    story.after(histories.S).add(
        e.ActivityStarted(0, 2, text), e.WorkflowPaused(text), e.WorkflowResumed(), e.WorkflowCancelRequested(text)
    )
    story.after(histories.S).add(e.ActivityTimedOut(0, text, 2), e.SignalReceived(text, data, text), e.TimerCancelled(0, text))
    story.add(e.UpdateAccepted(text, text, data), e.SignalSent(0, text, text, data, text), e.SignalUndelivered(0, text))
    story.add(e.UpdateCompleted(text, error=failure, rejected=True))
    open_events = list(story.events)
    story.after(histories.S).add(e.WorkflowFailed(failure, text))
    failed = story.events
    terminated = [*open_events, e.Recorded(len(open_events) + 1, story.at, wid, rid, e.WorkflowTerminated(text, text))]
    completed = [*open_events, e.Recorded(len(open_events) + 1, story.at, wid, rid, e.WorkflowCompleted(data))]
    run = Run(1, 1, wid, rid, text, text, Status.FAILED, histories.T0, story.at, {text: text, "list": [text]}, rid, text)
    seat = Entry(wid, rid, text, text, 12, Status.RUNNING, text, text, 2, 9, histories.T0)
    yield "timeline-failed", Timeline(failed)
    yield "timeline-open", Timeline(open_events, story.at, text)
    yield "events", EventList([*failed, *open_events])
    yield "card-failed", RunCard(run, failed, seat, story.at, text, last=20)
    yield "card-terminated", RunCard(run, terminated)
    yield "card-completed", RunCard(run, completed)
    yield "tree", Tree(Node(1, text, text, text, 1, 3, histories.T0, text, (tree(text),), 0, text, text))
    yield "supervision", Decisions(decisions(text) * 30)
    yield "registry", Registry([seat, entry()])
    yield "queues", QueueList([QueueState(text, 3, 1, 2, 5, Micros(histories.S), False)])
    yield "runs", RunList([run, run_of(histories.order())])
    yield "counts", Counts(text, {text: 3, None: 1})
    yield "swept", Swept(text, text, text, 3, 1, 1, 1, (Failed(text, text, text),), finished=True)
    yield "swept-dry", Swept(text, text, text, 3, 1, dry_run=True, finished=True, sample=(run,), statuses={text: 1})
    use = ActivityUse(text, e.ActivityOptions(RetryPolicy(3, non_retryable=(text,)), queue=text), text)
    yield (
        "definition",
        Definition(
            text,
            text,
            True,
            ((text, 2),),
            "x" + text,
            (use,),
            (Finding(1, text, text, text),),
            Checked(1, (text,)),
            (text,),
            (text,),
        ),
    )
    yield "status", LabStatus(Progress(histories.T0, text, False, 1, 0, 0, 0, 0, 1, 1, 1, None, text), text)
    yield "divergence", Divergence(text, text, 3, text, text + "!", text, text, text, text, ((1, text),), 1)
