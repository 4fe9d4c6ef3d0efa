"""Sample histories, written by hand: what a recorder would have recorded, with a clock that only these lines move."""

from __future__ import annotations

from typing import Any

from aionlab.core import events as e
from aionlab.core.clock import Micros
from aionlab.core.failure import Failure
from aionlab.core.ids import RunId, WorkflowId
from aionlab.core.jsontext import dumps
from aionlab.core.retry import RetryPolicy

T0 = Micros(1_577_836_800_000_000)
"""2020-01-01 00:00:00 UTC."""
MS, S, H, D = 1_000, 1_000_000, 3_600_000_000, 86_400_000_000
VERSION = "3f2a91c4e5d6a7b8c9d0e1f2a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6"
RUN = RunId("0192f0c1-7a10-7000-8000-000000000001")


class History:
    """A list of Recorded that grows by `add` and whose clock moves by `after`."""

    def __init__(self, workflow_id: str = "o-1", run_id: str = RUN, at: int = T0) -> None:
        self.workflow_id, self.run_id, self.at = WorkflowId(workflow_id), RunId(run_id), at
        self.events: list[e.Recorded] = []

    def after(self, length: int) -> History:
        self.at += length
        return self

    def add(self, *events: e.Event, deferred: bool = False) -> History:
        for event in events:
            self.events.append(e.Recorded(len(self.events) + 1, Micros(self.at), self.workflow_id, self.run_id, event, deferred))
        return self


def payload(value: Any) -> e.Payload:
    return e.Payload(dumps(value))


def started(workflow_type: str = "order", *args: Any, **more: Any) -> e.WorkflowStarted:
    return e.WorkflowStarted(workflow_type, VERSION, payload(list(args)), 7, "3.11", **more)


def failure(message: str = "the card was declined", kind: str = "PaymentError") -> Failure:
    return Failure(
        kind,
        message,
        bases=(kind, "Exception"),
        traceback='  File "order@3f2a91c", line 4, in order\n    receipt = await charge(o)\n'
        '  File "shop.py", line 12, in charge\n    raise PaymentError("declined")\n',
        source="order@3f2a91c:4, in order",
    )


def order() -> list[e.Recorded]:
    """Completed: an activity retried once, an approval awaited for two hours with a timeout, a second activity."""
    story = History()
    story.add(
        started("order", {"id": 42, "api_key": "sk-very-secret"}, memo='{"team":"blue"}'),
        e.SearchAttributesUpdated(payload({"customer": "acme", "amount": 12})),
        e.ActivityScheduled(0, "charge", payload([42]), e.ActivityOptions(RetryPolicy(max_attempts=5), Micros(30 * S))),
    )
    story.after(2 * MS).add(e.ActivityStarted(0, 1, VERSION))
    story.after(120 * MS).add(e.ActivityFailed(0, failure(), 1, Micros(story.at + S)))
    story.after(S).add(e.ActivityStarted(0, 2, VERSION))
    story.after(80 * MS).add(
        e.ActivityCompleted(0, payload({"receipt": "r-9"}), 2), e.TimerStarted(0, Micros(story.at + 48 * H), "approval")
    )
    story.after(2 * H).add(e.SignalReceived("approval", payload({"by": "ada"})), e.TimerCancelled(0))
    story.add(e.ActivityScheduled(1, "ship", payload(["r-9"])))
    story.after(MS).add(e.ActivityStarted(1))
    story.after(300 * MS).add(e.ActivityCompleted(1, payload("parcel-7")), e.WorkflowCompleted(payload({"parcel": "parcel-7"})))
    return story.events


def reminder() -> list[e.Recorded]:
    """Running: milliseconds of work, ninety days of sleep, and now a signal is awaited."""
    story = History("reminder/ada", RunId("0192f0c1-7a10-7000-8000-000000000002"))
    story.add(started("reminder", "ada"), e.ActivityScheduled(0, "send_mail", payload(["ada"])))
    story.after(3 * MS).add(e.ActivityStarted(0))
    story.after(12 * MS).add(e.ActivityCompleted(0, payload(None)), e.TimerStarted(0, Micros(story.at + 90 * D)))
    story.after(90 * D).add(e.TimerFired(0), e.ActivityScheduled(1, "send_mail", payload(["ada"])))
    story.after(2 * MS).add(e.ActivityStarted(1))
    story.after(9 * MS).add(e.ActivityCompleted(1, payload(None)))
    return story.events


def batch() -> list[e.Recorded]:
    """Failed: three activities side by side, one of which times out and then fails; one is cancelled, a pause lies between."""
    story = History("batch-7", RunId("0192f0c1-7a10-7000-8000-000000000003"))
    story.add(started("batch", 3), e.TimerStarted(e.DEADLINE, Micros(story.at + D)))
    story.add(*(e.ActivityScheduled(i, name, payload([i])) for i, name in enumerate(("fetch", "fetch", "summarise"))))
    story.after(5 * MS).add(*(e.ActivityStarted(i) for i in range(3)))
    story.after(2 * S).add(e.ActivityCompleted(0, payload({"rows": 10})))
    story.after(S).add(e.ActivityTimedOut(1, "start_to_close", 1, Micros(story.at + S)))
    story.add(e.WorkflowPaused("lunch"))
    story.after(S).add(e.ActivityStarted(1, 2))
    story.after(S).add(e.WorkflowResumed())
    story.after(3 * S).add(e.ActivityFailed(1, failure("no route to host", "OSError"), 2), e.ActivityCancelRequested(2))
    story.after(20 * MS).add(e.ActivityCancelled(2), e.WorkflowFailed(failure("no route to host", "OSError")))
    return story.events


def short() -> list[e.Recorded]:
    """Completed: eight milliseconds of work, then some seconds until somebody approves."""
    story = History()
    story.add(started("order", "o-1", 42.0), e.ActivityScheduled(0, "charge", payload(["o-1", 42.0])))
    story.after(2 * MS).add(e.ActivityStarted(0, 1, VERSION))
    story.after(8 * MS).add(
        e.ActivityCompleted(0, payload("receipt o-1")), e.TimerStarted(0, Micros(story.at + 48 * H), "approval")
    )
    story.after(7808 * MS).add(e.SignalReceived("approval", payload({"by": "ada"})), e.TimerCancelled(0))
    return story.add(e.WorkflowCompleted(payload("receipt o-1, approved by ada"))).events


def retries() -> list[e.Recorded]:
    """Completed: an activity that fails four times and is tried again after ever longer waits."""
    story = History("import-3")
    story.add(started("import", "cities.csv"), e.ActivityScheduled(0, "download", payload(["https://example.org/cities.csv"])))
    story.after(4 * MS).add(e.ActivityStarted(0, 1))
    for attempt, wait in enumerate((1, 2, 4, 8), 1):
        story.after(350 * MS).add(e.ActivityFailed(0, failure("503", "HTTPError"), attempt, Micros(story.at + wait * S)))
        story.after(wait * S).add(e.ActivityStarted(0, attempt + 1))
    story.after(900 * MS).add(e.ActivityCompleted(0, payload({"rows": 1204})), e.ActivityScheduled(1, "load", payload([1204])))
    story.after(3 * MS).add(e.ActivityStarted(1))
    story.after(2600 * MS).add(e.ActivityCompleted(1, payload(None)), e.WorkflowCompleted(payload(1204)))
    return story.events


def many() -> list[e.Recorded]:
    """Completed: twenty-four activities, four at a time, and one that joins them."""
    story = History("report-2020")
    story.add(started("report", 2020), *(e.ActivityScheduled(i, "render_page", payload([i])) for i in range(24)))
    for wave in range(6):
        story.after(3 * MS).add(*(e.ActivityStarted(4 * wave + i) for i in range(4)))
        for i in range(4):
            story.after((70 + 37 * ((wave * 5 + i * 3) % 7)) * MS).add(e.ActivityCompleted(4 * wave + i, payload(f"p{i}")))
    story.add(e.ActivityScheduled(24, "bind_the_pages_into_one_document", payload([24])))
    story.after(2 * MS).add(e.ActivityStarted(24))
    story.after(800 * MS).add(e.ActivityCompleted(24, payload("report.pdf")), e.WorkflowCompleted(payload("report.pdf")))
    return story.events


def going() -> list[e.Recorded]:
    """Running: one activity done, one under way, one waiting for its retry, a timer open, a signal that came early."""
    story = History("o-9")
    story.add(started("order", "o-9"), e.ActivityScheduled(0, "charge", payload(["o-9"])))
    story.after(2 * MS).add(e.ActivityStarted(0))
    story.after(400 * MS).add(
        e.ActivityCompleted(0, payload("r-9")),
        e.ActivityScheduled(1, "pack", payload(["r-9"])),
        e.ActivityScheduled(2, "notify", payload(["ada"])),
        e.TimerStarted(0, Micros(story.at + 10 * S), "patience"),
    )
    story.after(3 * MS).add(e.ActivityStarted(1), e.ActivityStarted(2))
    story.after(300 * MS).add(e.ActivityFailed(2, failure("mailbox full", "SMTPError"), 1, Micros(story.at + 5 * S)))
    story.after(200 * MS).add(e.SignalReceived("gift_wrap", payload(True)))
    return story.events
