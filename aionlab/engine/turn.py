"""What one turn collects: the batch to commit, and what to do once it is committed."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aionlab.core import events as e
from aionlab.core.clock import Micros
from aionlab.core.codec import pack
from aionlab.core.events import Recorded, is_fact
from aionlab.core.ports import Batch, Finished, RunChange, Timer

from .run import LiveRun

FLAGS = 1
"""Engine-behaviour flags in force."""
_PLAIN = frozenset({e.ActivityScheduled, e.ActivityStarted, e.ActivityCompleted, e.ActivityFailed, e.ActivityTimedOut, e.SignalReceived,
                    e.ActivityCancelRequested, e.ActivityCancelled})  # fmt: skip


class Turn:
    """Facts and answers in, one batch out. Nothing here is visible to anyone before `commit` has succeeded."""

    __slots__ = ("after", "batch", "closed", "completions", "failed", "heard", "now", "recorded", "touched")

    def __init__(self, now: Micros, heard: bool) -> None:
        self.now = now
        self.heard = heard
        """Whether anybody listens, so that envelopes are worth making."""
        self.batch = Batch()
        self.touched: dict[int, LiveRun] = {}
        self.after: list[Callable[[], None]] = []
        """What to do after the commit, in order."""
        self.failed: list[Callable[[BaseException], None]] = []
        """What to do instead when the commit failed."""
        self.completions: list[Finished] = []
        """Consumed completions, to be offered again when the commit failed."""
        self.recorded: list[Recorded] = []
        self.closed: list[LiveRun] = []

    def record(self, run: LiveRun, event: e.Event, deferred: bool = False) -> None:
        """Put an event behind the run's history and fold it into the run."""
        run.fold(event)
        recorder = run.recorder
        batch = self.batch
        key = run.row.key
        if recorder.key not in batch.expected:
            batch.expected[recorder.key] = recorder.head
        if key not in self.touched:
            self.touched[key] = run
        recorder.head = seq = recorder.head + 1
        code, ref, data, payload = pack(event)
        batch.rows.append((recorder.key, seq, key, self.now, code, FLAGS << 1 | deferred, ref, data, payload))
        if type(event) not in _PLAIN:
            self._project(run, event)
        if deferred or self.heard:
            recorded = Recorded(seq, self.now, run.workflow_id, run.run_id, event, deferred, FLAGS)
            if deferred and is_fact(event):
                run.defer(recorded)
            if self.heard:
                self.recorded.append(recorded)

    def _project(self, run: LiveRun, event: e.Event) -> None:
        """The rows of other tables that an event changes."""
        batch = self.batch
        match event:
            case e.TimerStarted(timer_id=number, fire_at=fire_at):
                batch.timers.append(Timer(run.key, number, fire_at))
            case e.TimerFired(timer_id=number) | e.TimerCancelled(timer_id=number):
                batch.timers_ended.append((run.key, number))
            case e.WorkflowStarted():
                pass
            case _:
                assert run.status is not None
                closed = type(event) in e.TERMINAL
                batch.changes.append(RunChange(run.key, run.status, self.now if closed else None, run.attributes))
                if closed:
                    batch.runs_ended.append(run.key)
                    self.closed.append(run)

    @property
    def empty(self) -> bool:
        return not self.batch.rows and not self.after

    def after_commit(self, act: Callable[..., Any], *args: Any) -> None:
        self.after.append((lambda: act(*args)) if args else act)
