"""Frames: the same columns and dtypes always, and what they hold."""

from __future__ import annotations

import subprocess
import sys

import pandas as pd
import pytest

from aionlab.core import events as e
from aionlab.core.clock import Micros
from aionlab.views.frames import events_frame, groups_frame, registry_frame, runs_frame
from tests.views import histories as hist
from tests.views.gallery import entry, run_of
from tests.views.histories import T0, D, H, S

EVENTS = {
    "time": "datetime64[us, UTC]",
    "event": "category",
    "kind": "category",
    "name": "category",
    "ref": "Int64",
    "attempt": "Int64",
    "payload": "string",
    "deferred": "bool",
}
FULL = EVENTS | {
    "due": "datetime64[us, UTC]",
    "version": "string",
    "flags": "int64",
    "run_id": "category",
    "workflow_id": "category",
}
GROUPS = {
    "kind": "category",
    "name": "string",
    "status": "category",
    "start": "datetime64[us, UTC]",
    "end": "datetime64[us, UTC]",
    "duration": "timedelta64[us]",
    "wait": "timedelta64[us]",
    "attempts": "int64",
    "input": "string",
    "result": "string",
    "failure": "string",
    "run_id": "string",
}
RUNS = {
    "run_id": "string",
    "type": "category",
    "version": "string",
    "status": "category",
    "started": "datetime64[us, UTC]",
    "closed": "datetime64[us, UTC]",
    "duration": "timedelta64[us]",
}
REGISTRY = {
    "run_id": "string",
    "type": "category",
    "version": "string",
    "pid": "Int64",
    "status": "category",
    "residency": "category",
    "waiting_for": "string",
    "mailbox": "int64",
    "seq": "int64",
    "started": "datetime64[us, UTC]",
}


def shape(frame: pd.DataFrame) -> dict[str, str]:
    return {str(name): str(dtype) for name, dtype in frame.dtypes.items()}


def test_columns_and_dtypes_do_not_depend_on_what_there_is() -> None:
    for events in ([], hist.order(), hist.reminder(), hist.batch(), hist.order()[:1]):
        assert shape(events_frame(events)) == EVENTS
        assert shape(events_frame(events, full=True)) == FULL
        assert shape(groups_frame(events)) == GROUPS
    assert shape(runs_frame([])) == RUNS
    assert shape(registry_frame([])) == shape(registry_frame([entry()])) == REGISTRY
    assert [frame.index.name for frame in (events_frame([]), groups_frame([]), runs_frame([]), registry_frame([]))] == [
        "seq",
        "group",
        "workflow_id",
        "workflow_id",
    ]


def test_events() -> None:
    frame = events_frame(hist.order(), full=True)
    assert list(frame.index) == list(range(1, 15))
    assert list(frame["event"])[:4] == ["WorkflowStarted", "SearchAttributesUpdated", "ActivityScheduled", "ActivityStarted"]
    assert list(frame["kind"])[:5] == ["fact", "note", "answer", "note", "note"]
    assert list(frame["name"].astype("object").where(frame["name"].notna(), ""))[:9] == [
        "order",
        "",
        "charge",
        "charge",
        "charge",
        "charge",
        "charge",
        "approval",
        "approval",
    ]
    assert frame.loc[1, "payload"] == '[{"id":42,"api_key":"***"}]'
    assert frame.loc[5, "payload"] == "attempt 1: PaymentError: the card was declined; again at 2020-01-01 00:00:01.122Z"
    assert frame.loc[5, "due"] == pd.Timestamp("2020-01-01 00:00:01.122", tz="UTC")
    assert frame.loc[1, "version"] == hist.VERSION and frame.loc[4, "attempt"] == 1 and pd.isna(frame.loc[3, "attempt"])
    assert frame.loc[1, "time"] == pd.Timestamp("2020-01-01", tz="UTC")
    assert frame[frame.ref == 1].shape[0] == 3


def test_kinds_follow_the_event_not_its_class() -> None:
    story = hist.History().add(hist.started(), e.TimerStarted(e.DEADLINE, Micros(T0 + D)), e.TimerStarted(0, Micros(T0 + H)))
    story.add(e.SearchAttributesUpdated(hist.payload({}), by_code=True), e.SignalReceived("s", hist.payload(1)), deferred=True)
    frame = events_frame(story.events)
    assert list(frame["kind"]) == ["fact", "note", "answer", "answer", "fact"]
    assert list(frame["deferred"]) == [False, False, False, True, True]
    assert list(frame["ref"].fillna(99)) == [99, -1, 0, 99, 99]


PLAN = e.Plan("report", every=e.Micros(60_000_000))
SCHEDULE_EVENTS = (
    e.ScheduleCreated(PLAN, hist.payload(1)), e.ScheduleUpdated(PLAN, hist.payload(1)), e.SchedulePaused("p"), e.ScheduleResumed(), e.ScheduleBuffered(T0),
    e.ScheduleTriggered(T0, "w", "r"), e.ScheduleSkipped(T0, "why"), e.ScheduleDeleted(),
)  # fmt: skip


FAMILY_EVENTS = (
    e.ChildWorkflowStarted(0, "c", "ship", hist.payload(1)), e.ChildWorkflowCancelRequested(0), e.ChildWorkflowCompleted(0, hist.payload(1)),
    e.ChildWorkflowFailed(0, hist.failure()), e.ChildWorkflowCancelled(0), e.ChildWorkflowTimedOut(0, T0), e.ChildWorkflowTerminated(0, "t"),
    e.WorkflowContinuedAsNew(hist.payload(1)),
)  # fmt: skip


LIFECYCLE_EVENTS = (e.WorkflowReopened(5, (0,), ((0, T0),), 1, 1), e.WorkflowForked("w", "r", 5), e.MemoUpdated(hist.payload({"a": 1})),
                    e.PatchMarked("p"), e.VersionChanged("a", "b"))  # fmt: skip


MESSAGE_EVENTS = (
    e.UpdateAccepted("u", "set_qty", hist.payload([1])), e.UpdateCompleted("u", hist.payload(1)), e.SignalDelivered(0), e.SignalUndelivered(1),
    e.SignalSent(0, "w", "s", hist.payload(1), "k"),
)  # fmt: skip


def test_every_kind_of_event_has_a_row() -> None:
    error = hist.failure()
    story = hist.History().add(
        hist.started(),
        e.SearchAttributesUpdated(hist.payload({})),
        e.ActivityScheduled(0, "f", hist.payload(1)),
        e.ActivityStarted(0),
        e.ActivityFailed(0, error, 1, T0),
        e.ActivityTimedOut(0),
        e.ActivityCompleted(0, hist.payload(1)),
        e.ActivityCancelRequested(0),
        e.ActivityCancelled(0),
        e.TimerStarted(0, T0),
        e.TimerFired(0),
        e.TimerCancelled(0),
        e.SignalReceived("s", hist.payload(1)),
        e.WorkflowPaused("p"),
        e.WorkflowResumed(),
        e.WorkflowCancelRequested("c"),
        e.WorkflowCompleted(hist.payload(1)),
        e.WorkflowFailed(error),
        e.WorkflowCancelled("c"),
        e.WorkflowTerminated("t", "d"),
        e.WorkflowTimedOut(T0),
        *SCHEDULE_EVENTS,
        *FAMILY_EVENTS,
        *MESSAGE_EVENTS,
        *LIFECYCLE_EVENTS,
    )
    frame = events_frame(story.events, full=True)
    assert set(frame["event"]) == {cls.__name__ for cls in e.Event.__args__}
    assert frame.loc[20, "payload"] == "t; d"


def test_groups() -> None:
    frame = groups_frame(hist.order())
    assert list(frame.index) == ["activity#0", "timer#0", "signal#0", "activity#1"]
    assert frame.loc["activity#0", "attempts"] == 2
    assert frame.loc["activity#0", "duration"] == pd.Timedelta(seconds=1.202)
    assert frame.loc["activity#0", "wait"] == pd.Timedelta(seconds=1.002)
    assert frame.loc["activity#1", "result"] == '"parcel-7"'
    assert frame.loc["activity#0", "failure"] == "PaymentError: the card was declined"
    open_groups = groups_frame(hist.order()[:3])
    assert pd.isna(open_groups.loc["activity#0", "end"]) and pd.isna(open_groups.loc["activity#0", "duration"])


def test_runs() -> None:
    frame = runs_frame([run_of(hist.order()), run_of(hist.reminder())])
    assert list(frame.index) == ["o-1", "reminder/ada"]
    assert list(frame.columns) == [*RUNS, "amount", "api_key", "customer"]
    assert list(frame["api_key"]) == ["***", "***"] and list(frame["amount"]) == [12, 12]
    assert frame.loc["o-1", "duration"] == pd.Timedelta(seconds=2 * 3600 + 1.503)
    assert list(frame["status"].cat.categories)[:2] == ["Running", "Paused"]
    clash = run_of(hist.order())
    assert "attr.status" in runs_frame(
        [type(clash)(**{name: getattr(clash, name) for name in clash.__slots__} | {"attributes": {"status": 1}})]
    )


def test_registry() -> None:
    frame = registry_frame([entry(), entry("o-2")._replace(pid=None)])
    assert list(frame["pid"].fillna(0)) == [12, 0] and list(frame["version"]) == ["3f2a91c"] * 2


@pytest.mark.parametrize(
    "module", ["aionlab.views", "aionlab.views.timeline", "aionlab.views.runs", "aionlab.views.card", "aionlab.views.frames"]
)
def test_views_do_not_import_pandas(module: str) -> None:
    code = f"import sys, {module}; print([m for m in ('pandas', 'numpy', 'IPython') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    assert S == 1_000_000
