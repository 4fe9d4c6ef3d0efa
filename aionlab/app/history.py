"""A run's recorded events as a value."""
from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aionlab.core import codec
from aionlab.core.clock import Micros
from aionlab.core.codecs import told
from aionlab.core.events import Recorded
from aionlab.core.ids import RunId, WorkflowId
from aionlab.core.jsontext import dumps, loads
from aionlab.core.ports import Run
from aionlab.store.fold import run_of

if TYPE_CHECKING:
    from aionlab.views.frames import DataFrame


class History(Sequence[Recorded]):
    """Events by seq; `run` is the row of the run they belong to."""

    def __init__(self, run: Run, events: Sequence[Recorded]) -> None:
        self.run = run
        self._events = tuple(events)

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[Recorded]:
        return iter(self._events)

    def __getitem__(self, at: Any) -> Any:
        return self._events[at]

    def to_frame(self, *, full: bool = False) -> DataFrame:
        """One row per event; columns and dtypes as in `aionlab.views.frames.events_frame`."""
        from aionlab.views.frames import events_frame

        return events_frame(self._events, full=full)

    def groups(self) -> DataFrame:
        """One row per activity, timer and signal; columns and dtypes as in `aionlab.views.frames.groups_frame`."""
        from aionlab.views.frames import groups_frame

        return groups_frame(self._events)

    def to_json(self) -> str:
        """The events with their envelopes as a JSON object; times in microseconds."""
        events = [
            {"seq": r.seq, "at": r.at, "run_id": r.run_id, "deferred": r.deferred, "flags": r.flags, **codec.to_json(r.event, _shown)} for r in self._events
        ]
        return dumps({"workflow_id": self.run.workflow_id, "run_id": self.run.run_id, "events": events}).decode()

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write `to_json` to a file; its path."""
        target = Path(path)
        target.write_text(self.to_json(), encoding="utf-8")
        return target

    @classmethod
    def from_json(cls, text: str | bytes) -> History:
        """The history that `to_json` wrote. Raises ValueError for text that is none, UnknownEventKind for one of a newer aionlab."""
        try:
            told = loads(text)
            name, events = WorkflowId(told["workflow_id"]), told["events"]
            recorded = [
                Recorded(one["seq"], Micros(one["at"]), name, RunId(one["run_id"]), codec.from_json(one), bool(one["deferred"]), one["flags"]) for one in events
            ]
        except (TypeError, KeyError) as error:
            raise ValueError(f"not a history of aionlab: {type(error).__name__}: {error}") from error
        run = run_of(0, 0, [one for one in recorded if one.run_id == told["run_id"]])
        if run is None:
            raise ValueError(f"a history without events of run {told['run_id']!r}")
        return cls(run, recorded)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> History:
        """The history in a file that `save` wrote. Raises as `from_json`, and OSError."""
        return cls.from_json(Path(path).read_bytes())

    def __repr__(self) -> str:
        return f"<History of {self.run.workflow_id}: {len(self._events)} events, {self.run.status}>"


def _shown(payload: bytes) -> Any:
    """A payload's JSON; what is known of one that cannot be read here."""
    return told(payload) or loads(payload)
