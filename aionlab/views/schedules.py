"""Schedules: a listing, and one of them on a card. Times are said in the schedule's own zone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

from aionlab.core.clock import Micros
from aionlab.core.durations import spell
from aionlab.core.events import Recorded
from aionlab.core.snapshots import ScheduleState

from .bundle import Shown
from .detail import carried
from .document import Document, cell, code_cell, facts, grid, heading, note, stacked, state_cell, titled
from .preview import preview
from .text import clip, counted, label, short, when
from .timing import moment, timing

if TYPE_CHECKING:
    import pandas as pd

@dataclass(frozen=True, slots=True, repr=False)
class ScheduleList(Shown, Sequence[ScheduleState]):
    """Schedules by name; beyond `most` rows the rest is counted, not shown. With `now`, next times say how far off they are."""

    schedules: Sequence[ScheduleState]
    now: Micros | None = None
    most: int = 100

    @overload
    def __getitem__(self, at: int) -> ScheduleState: ...
    @overload
    def __getitem__(self, at: slice) -> ScheduleList: ...
    def __getitem__(self, at: int | slice) -> ScheduleState | ScheduleList:
        return ScheduleList(self.schedules[at], self.now, self.most) if isinstance(at, slice) else self.schedules[at]

    def __len__(self) -> int:
        return len(self.schedules)

    def __iter__(self) -> Iterator[ScheduleState]:
        return iter(self.schedules)

    @property
    def ids(self) -> list[str]:
        """Their names, in order."""
        return [one.id for one in self.schedules]

    def to_frame(self) -> pd.DataFrame:
        """See `schedules_frame`."""
        return schedules_frame(self.schedules)

    def _line(self) -> str:
        return f"<ScheduleList: {counted(len(self.schedules), 'schedule')}>"

    def _document(self) -> Document:
        names = ("schedule", "workflow", "when", "state", "next", "runs", "skipped", "running", "waiting", "overlap")
        rows = [
            (
                code_cell(label(one.id)),
                label(one.plan.workflow_type, 40),
                clip(timing(one.plan), 60),
                state_cell(one.state),
                cell(moment(one.next, one.plan.timezone), None if one.next is None or self.now is None else f"in {spell(one.next - self.now)}"),
                f"{one.triggered:,}",
                f"{one.skipped:,}" if one.skipped else "",
                str(len(one.running)) if one.running else "",
                str(len(one.pending)) if one.pending else "",
                one.plan.overlap,
            )
            for one in self.schedules[: self.most]
        ]
        hidden = len(self.schedules) - len(rows)
        return stacked(
            grid(names, rows, right=(5, 6, 7, 8), empty="no schedules"),
            note(f"… and {counted(hidden, 'more schedule')}; see to_frame()") if hidden > 0 else None,
        )


@dataclass(frozen=True, slots=True, repr=False)
class ScheduleCard(Shown):
    """What `describe()` of a schedule shows: how it stands, its next times, and the `last` of its events."""

    schedule: ScheduleState
    coming: Sequence[Micros] = ()
    events: Sequence[Recorded] = ()
    now: Micros | None = None
    last: int = 8

    def _line(self) -> str:
        one = self.schedule
        return f"<Schedule {label(one.id)}: {label(one.plan.workflow_type, 40)} {clip(timing(one.plan), 60)}, {one.state}>"

    def _document(self) -> Document:
        one = self.schedule
        plan = one.plan
        return stacked(
            heading("schedule", label(one.id, 200), one.state, timing(plan)),
            facts(
                [
                    ("waits for", clip(one.waits_for, 200)),
                    ("starts", f"{label(plan.workflow_type, 60)}{f' ({short(plan.version)})' if plan.version else ''}"),
                    ("with", code_cell(preview(one.input, 200))),
                    ("memo", code_cell(preview(None if one.memo is None else one.memo.encode("utf-8", "replace"), 200))),
                    ("overlap", plan.overlap),
                    ("catch-up", plan.catch_up + (f", of the last {spell(plan.window)}" if plan.window is not None else "")),
                    ("from", moment(plan.start, plan.timezone)),
                    ("to", moment(plan.end, plan.timezone)),
                    ("deadline", "" if plan.deadline is None else f"{spell(plan.deadline)} each"),
                    ("note", clip(one.note or "", 400)),
                    ("created", when(one.created_at)),
                    ("runs", f"{one.triggered:,} started" + (f", skipped {counted(one.skipped, 'time')}" if one.skipped else "")),
                    ("last run", code_cell(label(one.last.workflow_id, 200)) if one.last else ""),
                    ("running", code_cell(clip(" ".join(one.running), 200))),
                    ("waiting", self._waiting()),
                ]
            ),
            titled("next times", self._coming()) if self.coming else None,
            titled(f"last of {counted(len(self.events), 'event')}" if len(self.events) > self.last else "events", self._events()),
        )  # fmt: skip

    def _waiting(self) -> str:
        found = self.schedule.pending
        more = f" and {len(found) - 5:,} more" if len(found) > 5 else ""
        return clip(", ".join(moment(at, self.schedule.plan.timezone) for at in found[:5]), 200) + more

    def _coming(self) -> Document:
        since = self.now
        rows = [(moment(at, self.schedule.plan.timezone), "" if since is None else f"in {spell(at - since)}") for at in self.coming]
        return grid(("time", "off"), rows, right=(1,))

    def _events(self) -> Document:
        rows = [
            (str(one.seq), when(one.at), type(one.event).__name__.removeprefix("Schedule").lower(), code_cell(carried(one.event, 90)))
            for one in self.events[-self.last :]
        ]
        return grid(("seq", "time", "what", "carries"), rows, right=(0,), empty="")


def schedules_frame(schedules: Sequence[ScheduleState]) -> pd.DataFrame:
    """One row per schedule, in the order given.

    Index `schedule` (string). Columns:

    - `workflow` (string), `when` (string): as `timing` says it; `timezone` (string), `overlap`, `catch_up` (string)
    - `state` (category): "Active", "Paused", "Waiting", "Stuck", "Done"
    - `next` (datetime64[us, UTC]): NaT where there is none
    - `last` (datetime64[us, UTC]): the nominal time of the run started last, `last_run` (string) its workflow id
    - `runs`, `skipped`, `running`, `waiting` (int64): how many
    """
    import numpy as np
    import pandas as pd

    from .frames import _or_nat, _times

    def texts(found: Sequence[str | None]) -> pd.api.extensions.ExtensionArray:
        return pd.array(list(found), dtype="string")

    def numbers(found: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.array(found, dtype=np.int64)

    return pd.DataFrame(
        {
            "workflow": texts([label(one.plan.workflow_type, 200) for one in schedules]),
            "when": texts([timing(one.plan) for one in schedules]),
            "timezone": texts([one.plan.timezone for one in schedules]),
            "overlap": texts([one.plan.overlap for one in schedules]),
            "catch_up": texts([one.plan.catch_up for one in schedules]),
            "state": pd.Categorical([one.state for one in schedules], categories=pd.Index(STATES, dtype="string")),
            "next": _times(_or_nat([one.next for one in schedules])),
            "last": _times(_or_nat([None if one.last is None else one.last.nominal_time for one in schedules])),
            "last_run": texts([None if one.last is None else one.last.workflow_id for one in schedules]),
            "runs": numbers([one.triggered for one in schedules]),
            "skipped": numbers([one.skipped for one in schedules]),
            "running": numbers([len(one.running) for one in schedules]),
            "waiting": numbers([len(one.pending) for one in schedules]),
        },
        index=pd.Index(texts([label(one.id, 255) for one in schedules]), name="schedule"),
    )


STATES = ("Active", "Paused", "Waiting", "Stuck", "Done")
