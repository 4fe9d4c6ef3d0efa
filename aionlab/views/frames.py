"""Histories, groups and runs as pandas frames, built column by column.

Every frame has the same columns and dtypes whatever it holds, nothing included. Times are `datetime64[us, UTC]`, lengths
`timedelta64[us]`, texts the nullable `string` dtype, words from a small set `category`. Texts are visible lines (`text.visible`),
payloads are previews (`preview`), never rebuilt values. pandas is imported here, on first use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from aionlab.core import events as e
from aionlab.core.ports import Run
from aionlab.core.snapshots import Entry, QueueState

from .detail import carried, kind
from .groups import groups
from .preview import MASK, is_secret
from .text import short, value, visible

if TYPE_CHECKING:
    import pandas as pd
    from pandas import DataFrame as DataFrame  # for those who hand frames on and may not import pandas

_PAYLOADS: Mapping[type, Callable[[Any], bytes]] = {
    e.WorkflowStarted: attrgetter("input"),
    e.WorkflowCompleted: attrgetter("result"),
    e.SearchAttributesUpdated: attrgetter("attributes"),
    e.ActivityScheduled: attrgetter("input"),
    e.ActivityCompleted: attrgetter("result"),
    e.SignalReceived: attrgetter("payload"),
    e.SignalSent: attrgetter("payload"),
    e.UpdateAccepted: attrgetter("args"),
    e.WorkflowContinuedAsNew: attrgetter("input"),
    e.ChildWorkflowStarted: attrgetter("input"),
    e.ChildWorkflowCompleted: attrgetter("result"),
}
_NAMES: Mapping[type, Callable[[Any], str | None]] = {
    e.WorkflowStarted: attrgetter("workflow_type"),
    e.ActivityScheduled: attrgetter("activity_type"),
    e.SignalReceived: attrgetter("name"),
    e.SignalSent: attrgetter("name"),
    e.UpdateAccepted: attrgetter("name"),
    e.UpdateCompleted: attrgetter("update_id"),
    e.TimerStarted: attrgetter("summary"),
    e.ChildWorkflowStarted: attrgetter("workflow_type"),
    e.PatchMarked: attrgetter("patch_id"),
    e.ScheduleTriggered: attrgetter("workflow_id"),
}
_TIMERS = (e.TimerStarted, e.TimerFired, e.TimerCancelled)
_CLASSES: tuple[type, ...] = tuple(e.Event.__args__)
_CODE = {cls: code for code, cls in enumerate(_CLASSES)}
_FIXED_KINDS = frozenset(_CLASSES) - {
    e.ActivityFailed,
    e.ActivityTimedOut,
    e.TimerStarted,
    e.TimerCancelled,
    e.SearchAttributesUpdated,
    e.WorkflowFailed,
}


def events_frame(events: Sequence[e.Recorded], *, full: bool = False, preview: int = 80, runs: bool = False) -> pd.DataFrame:
    """One row per event, in the order given.

    Index `seq` (int64): the event's number within its workflow id. Columns:

    - `time` (datetime64[us, UTC]): when it was recorded
    - `event` (category): the event's class, such as "ActivityScheduled"
    - `kind` (category): "fact" (reaches the code), "answer" (the code asked), "note" (bookkeeping)
    - `name` (category): type of the activity or child - on every event of it -, signal name, timer summary or workflow type
    - `ref` (Int64): ordinal of the activity, timer or child within its run, -1 for the run's deadline
    - `attempt` (Int64): from 1, on events of attempts
    - `payload` (string): what it carries, as JSON cut at `preview` characters; an error, a reason or a time in words otherwise
    - `deferred` (bool): recorded before the code could take it

    and with `full`:

    - `due` (datetime64[us, UTC]): when a timer fires, the next attempt begins or the deadline lies
    - `version` (string): whole version of the workflow's or the activity's code
    - `flags` (int64): engine-behaviour flags in force
    - `run_id`, `workflow_id` (category); also with `runs` alone
    """
    import numpy as np
    import pandas as pd

    n = len(events)
    bare = [recorded.event for recorded in events]
    codes = np.fromiter(map(_CODE.__getitem__, map(type, bare)), dtype=np.int8, count=n)
    kinds = np.empty(n, dtype=np.int8)
    refs, attempts = np.full(n, 0, np.int64), np.full(n, 0, np.int64)
    has_ref, has_attempt = np.zeros(n, bool), np.zeros(n, bool)
    names: list[str | None] = [None] * n
    payloads: list[str | None] = [None] * n
    due = np.full(n, np.iinfo(np.int64).min, np.int64)
    versions: list[str | None] = [None] * n
    order = ("fact", "answer", "note")
    for code in np.unique(codes):
        cls = _CLASSES[code]
        at = np.flatnonzero(codes == code)
        where = at.tolist()
        these: list[Any] = [bare[i] for i in where]
        fields = cls.__slots__
        kinds[at] = order.index(kind(these[0])) if cls in _FIXED_KINDS else [order.index(kind(one)) for one in these]
        for field, column, mask in (
            ("activity_id", refs, has_ref),
            ("timer_id", refs, has_ref),
            ("child_id", refs, has_ref),
            ("attempt", attempts, has_attempt),
        ):
            if field in fields:
                column[at] = list(map(attrgetter(field), these))
                mask[at] = True
        if cls in _NAMES:
            for i, name in zip(where, map(_NAMES[cls], these), strict=True):
                names[i] = name
        if cls in _PAYLOADS:
            for i, text in zip(where, _previews(map(_PAYLOADS[cls], these), preview), strict=True):
                payloads[i] = text
        elif cls not in (e.ActivityStarted, e.TimerFired, e.ActivityCancelled, e.ActivityCancelRequested, e.WorkflowResumed):
            for i, one in zip(where, these, strict=True):
                payloads[i] = carried(one, preview) or None
        if full:
            for field in ("fire_at", "next_attempt_at", "deadline"):
                if field in fields:
                    found = [getattr(one, field) for one in these]
                    due[at] = [np.iinfo(np.int64).min if moment is None else moment for moment in found]
            if "version" in fields:
                for i, one in zip(where, these, strict=True):
                    versions[i] = None if one.version is None else visible(one.version[:1000])
    run_ids = [recorded.run_id for recorded in events]
    _name_attempts(names, run_ids, bare, np.flatnonzero(has_ref).tolist())
    frame = {
        "time": _times([recorded.at for recorded in events]),
        "event": pd.Categorical.from_codes(codes, categories=pd.Index([cls.__name__ for cls in _CLASSES], dtype="string")),
        "kind": pd.Categorical.from_codes(kinds, categories=pd.Index(order, dtype="string")),
        "name": _words(names),
        "ref": pd.arrays.IntegerArray(refs, ~has_ref),
        "attempt": pd.arrays.IntegerArray(attempts, ~has_attempt),
        "payload": pd.array(payloads, dtype="string"),
        "deferred": np.fromiter((recorded.deferred for recorded in events), dtype=bool, count=n),
    }
    if full:
        frame |= {
            "due": _times(due),
            "version": pd.array(versions, dtype="string"),
            "flags": np.fromiter((recorded.flags for recorded in events), dtype=np.int64, count=n),
        }
    if full or runs:
        frame |= {"run_id": _words(run_ids), "workflow_id": _words([recorded.workflow_id for recorded in events])}
    index = pd.Index(np.fromiter((recorded.seq for recorded in events), dtype=np.int64, count=n), name="seq")
    return pd.DataFrame(frame, index=index, copy=False)


def groups_frame(events: Iterable[e.Recorded], *, preview: int = 80) -> pd.DataFrame:
    """One row per activity, timer, signal and child, in the order they entered the history.

    Index `group` (string): "activity#0", "timer#1", "deadline", "signal#0", "child#0", counted within a run. Columns:

    - `kind` (category): "activity", "timer", "signal", "child", "update"
    - `name` (string): activity type, timer summary, signal name, a child's type and workflow id
    - `status` (category): see `groups.Group.status`
    - `start`, `end` (datetime64[us, UTC]): first scheduled (a signal: arrived) and closed; NaT while open
    - `duration` (timedelta64[us]): `end` - `start`
    - `wait` (timedelta64[us]): the part of it in which no attempt ran; for a signal how long the run had stood still before it
    - `attempts` (int64): attempts begun, 0 for timers and signals, 1 for a child
    - `input`, `result`, `failure` (string): previews cut at `preview` characters
    - `run_id` (string)
    """
    import numpy as np
    import pandas as pd

    found = groups(events, preview)
    start = [group.started_at if group.kind == "signal" or group.scheduled_at is None else group.scheduled_at for group in found]
    starts, ends = _times(_or_nat(start)), _times(_or_nat([group.closed_at for group in found]))
    return pd.DataFrame(
        {
            "kind": pd.Categorical(
                [group.kind for group in found], categories=pd.Index(["activity", "timer", "signal", "child", "update"], dtype="string")
            ),
            "name": pd.array([group.name for group in found], dtype="string"),
            "status": _words([group.status for group in found]),
            "start": starts,
            "end": ends,
            "duration": ends - starts,
            "wait": np.array([group.wait for group in found], dtype="timedelta64[us]"),
            "attempts": np.array([len(group.attempts) for group in found], dtype=np.int64),
            "input": _texts([group.input for group in found]),
            "result": _texts([group.result for group in found]),
            "failure": _texts([group.failure for group in found]),
            "run_id": pd.array([visible(group.run_id) for group in found], dtype="string"),
        },
        index=pd.Index(pd.array([group.id for group in found], dtype="string"), name="group"),
    )


def runs_frame(runs: Sequence[Run]) -> pd.DataFrame:
    """One row per run, in the order given.

    Index `workflow_id` (string). Columns:

    - `run_id` (string), `type` (category), `version` (string; its first seven characters)
    - `status` (category): every status in the order of `core.status.Status`
    - `started`, `closed` (datetime64[us, UTC]): NaT while open
    - `duration` (timedelta64[us]): NaT while open
    - one `object` column per search attribute, by name, holding plain JSON values (None where a run has none); an attribute
      that has the name of a column above is prefixed "attr."
    """
    import pandas as pd

    from aionlab.core.status import Status

    started, closed = _times([run.started_at for run in runs]), _times(_or_nat([run.closed_at for run in runs]))
    frame: dict[str, Any] = {
        "run_id": pd.array([visible(run.run_id) for run in runs], dtype="string"),
        "type": _words([run.workflow_type for run in runs]),
        "version": pd.array([short(run.version) for run in runs], dtype="string"),
        "status": pd.Categorical(
            [run.status.value for run in runs], categories=pd.Index([one.value for one in Status], dtype="string")
        ),
        "started": started,
        "closed": closed,
        "duration": closed - started,
    }
    for name in sorted({name for run in runs for name in run.attributes}):
        column = visible(name)
        hidden = is_secret(name)
        found = [MASK if hidden and name in run.attributes else run.attributes.get(name) for run in runs]
        values = [visible(one) if isinstance(one, str) else one for one in found]
        frame[column if column not in frame else f"attr.{column}"] = pd.Series(values, dtype=object).array
    return pd.DataFrame(
        frame, index=pd.Index(pd.array([visible(run.workflow_id) for run in runs], dtype="string"), name="workflow_id")
    )


def counts_frame(counts: Mapping[Any, int]) -> pd.DataFrame:
    """One row per value that runs were counted by, in the order given.

    Index `group` (object): the value as it was given, texts as visible lines, None for runs without one. Columns: `runs` (int64).
    """
    import numpy as np
    import pandas as pd

    keys = [visible(key) if isinstance(key, str) else key for key in counts]
    return pd.DataFrame({"runs": np.fromiter(counts.values(), dtype=np.int64, count=len(counts))}, index=pd.Index(keys, name="group", dtype=object))


def versions_frame(versions: Sequence[tuple[str, int, bool, bool, bool, int]], *, full: bool = False) -> pd.DataFrame:
    """Stored versions of a workflow, in the order given: (version, stored at in microseconds, routed, trusted, pinned, open runs).

    Index `version` (string; its first seven characters, with `full` all of it). Columns: `stored` (datetime64[us, UTC]), `routed` (bool;
    whether new starts get it), `pinned` (bool; whether they still will when a cell defines another), `open` (int64; open runs on it),
    `trusted` (bool; whether it may run here).
    """
    import pandas as pd

    return pd.DataFrame(
        {
            "stored": _times([one[1] for one in versions]),
            "routed": pd.array([one[2] for one in versions], dtype="bool"),
            "pinned": pd.array([one[4] for one in versions], dtype="bool"),
            "open": pd.array([one[5] for one in versions], dtype="int64"),
            "trusted": pd.array([one[3] for one in versions], dtype="bool"),
        },
        index=pd.Index(_texts(one[0] if full else short(one[0]) for one in versions), name="version"),
    )


def queues_frame(states: Sequence[QueueState]) -> pd.DataFrame:
    """One row per queue.

    Index `queue` (string). Columns:

    - `waiting`, `running` (int64): activities that wait for their turn, attempts that hold a slot
    - `concurrency`, `rate` (Int64): attempts at once, starts within a period; missing where there is no limit
    - `period` (timedelta64[us]): missing where there is no rate
    - `priority` (bool): whether priorities count
    """
    import numpy as np
    import pandas as pd

    return pd.DataFrame(
        {
            "waiting": np.array([state.waiting for state in states], dtype=np.int64),
            "running": np.array([state.running for state in states], dtype=np.int64),
            "concurrency": pd.array([state.concurrency for state in states], dtype="Int64"),
            "rate": pd.array([state.rate for state in states], dtype="Int64"),
            "period": np.array([np.timedelta64("NaT") if state.period is None else state.period for state in states], dtype="timedelta64[us]"),
            "priority": np.array([state.priority for state in states], dtype=bool),
        },
        index=pd.Index(pd.array([visible(state.name) for state in states], dtype="string"), name="queue"),
    )


def registry_frame(entries: Sequence[Entry]) -> pd.DataFrame:
    """One row per live run.

    Index `workflow_id` (string). Columns:

    - `run_id` (string), `type` (category), `version` (string; its first seven characters)
    - `pid` (Int64): missing when not resident
    - `status`, `residency` (category)
    - `waiting_for` (string): what the code awaits, with its source line
    - `mailbox` (int64): signals not yet taken
    - `seq` (int64): last event of the workflow id
    - `started` (datetime64[us, UTC])
    """
    import numpy as np
    import pandas as pd

    return pd.DataFrame(
        {
            "run_id": pd.array([visible(entry.run_id) for entry in entries], dtype="string"),
            "type": _words([entry.workflow_type for entry in entries]),
            "version": pd.array([short(entry.version) for entry in entries], dtype="string"),
            "pid": pd.array([entry.pid for entry in entries], dtype="Int64"),
            "status": _words([entry.status.value for entry in entries]),
            "residency": _words([entry.residency for entry in entries]),
            "waiting_for": pd.array([value(entry.waiting_for, 200) for entry in entries], dtype="string"),
            "mailbox": np.array([entry.mailbox for entry in entries], dtype=np.int64),
            "seq": np.array([entry.seq for entry in entries], dtype=np.int64),
            "started": _times([entry.started_at for entry in entries]),
        },
        index=pd.Index(pd.array([visible(entry.workflow_id) for entry in entries], dtype="string"), name="workflow_id"),
    )


def _name_attempts(names: list[str | None], run_ids: Sequence[str], bare: Sequence[e.Event], where: Iterable[int]) -> None:
    """Give every event of an activity, timer or child the name its first event had."""
    known: dict[tuple[str, str, int], str] = {}
    for i in where:
        event: Any = bare[i]
        kind_of, number = ("timer", event.timer_id) if type(event) in _TIMERS else ("child", event.child_id) if hasattr(event, "child_id") else ("activity", event.activity_id)
        key = (kind_of, run_ids[i], number)
        name = names[i]
        if name is not None:
            known[key] = name
        else:
            names[i] = known.get(key)


def _previews(payloads: Iterable[bytes], limit: int) -> Iterable[str]:
    from .preview import preview

    known: dict[bytes, str] = {}
    for payload in payloads:
        text = known.get(payload)
        if text is None:
            text = preview(payload, limit)
            if len(known) < 4096 and len(payload) < 256:
                known[payload] = text
        yield text


def _or_nat(times: Sequence[int | None]) -> list[int]:
    return [-(2**63) if moment is None else moment for moment in times]


def _times(micros: Any) -> pd.DatetimeIndex:
    import numpy as np
    import pandas as pd

    return pd.DatetimeIndex(np.asarray(micros, dtype=np.int64).view("datetime64[us]")).tz_localize("UTC")


def _words(words: Sequence[str | None]) -> pd.Categorical:
    """Visible words as a categorical whose categories are in the order they first appear."""
    import numpy as np
    import pandas as pd

    codes: dict[str | None, int] = {None: -1}
    shown: dict[str, int] = {}
    for word in dict.fromkeys(words):
        if word is not None:
            codes[word] = shown.setdefault(visible(word[:1000]), len(shown))
    return pd.Categorical.from_codes(
        np.fromiter(map(codes.__getitem__, words), dtype=np.int32, count=len(words)),
        categories=pd.Index(list(shown), dtype="string"),
    )


def _texts(texts: Iterable[str]) -> Any:
    import pandas as pd

    return pd.array([text or None for text in texts], dtype="string")
