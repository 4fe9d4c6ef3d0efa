"""What a caller holds of a run: its ids, and the verbs without them."""
from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from aionlab.core.errors import ResultTimeout
from aionlab.core.status import Status
from aionlab.engine.call import Call
from aionlab.views.bundle import bundle
from aionlab.views.card import RunCard
from aionlab.views.document import heading
from aionlab.views.timeline import Timeline

from .history import History
from .outcomes import outcome_of

if TYPE_CHECKING:
    from aionlab.views.frames import DataFrame

    from .lab import Lab

_POLL = 0.02
"""Seconds between looks while awaited: an interrupt of the kernel's loop is served within one of them."""


class Handle:
    """One run. Waiting on it may be interrupted at any time; that never touches the run."""

    __slots__ = ("_lab", "id", "run_id", "workflow_type")

    def __init__(self, lab: Lab, id: str, run_id: str, workflow_type: str) -> None:  # noqa: A002 - the word of the API
        self._lab, self.id, self.run_id, self.workflow_type = lab, id, run_id, workflow_type

    @property
    def status(self) -> Status:
        """The run's status now."""
        status: Status = self._lab.call("run", self.id, self.run_id).status
        return status

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the run to end, at most `timeout` seconds, and give its result.

        Raises WorkflowFailedError (its `cause` is the error), WorkflowCancelledError, WorkflowTerminatedError, WorkflowTimedOutError, or
        ResultTimeout when the time is over; the run goes on then.
        """
        call = self._lab.ask("result", self.id, self.run_id)
        try:
            came = self._lab.wait(call, timeout)
        except BaseException:
            self._lab.forget(call)
            raise
        if not came:
            self._lab.forget(call)
            raise ResultTimeout(self.id, timeout or 0.0, self._lab.waiting_for(self.id, self.run_id))
        return self._outcome(call)

    def __await__(self) -> Generator[Any, None, Any]:
        return self._wait().__await__()

    async def _wait(self) -> Any:
        call = self._lab.ask("result", self.id, self.run_id)
        try:
            while not call.poll():
                await asyncio.sleep(_POLL)
                self._lab.nudge()
        except BaseException:
            self._lab.forget(call)
            raise
        return self._outcome(call)

    def _outcome(self, call: Call) -> Any:
        workflow_id, run_id, ended = call.outcome()
        return outcome_of(workflow_id, run_id, ended, self._lab.library.cells)

    # --- verbs ----------------------------------------------------------------------------------------------------------

    def signal(self, name: str, payload: Any = None, *, idempotency_key: str | None = None) -> bool:
        """Send a signal; False when the idempotency key has come before."""
        return self._lab.signal(self.id, name, payload, run_id=self.run_id, idempotency_key=idempotency_key)

    def query(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Ask the run's query handler."""
        return self._lab.query(self.id, name, *args, run_id=self.run_id, **kwargs)

    def cancel(self, reason: str | None = None) -> None:
        """Ask the run to stop; its code may clean up."""
        self._lab.cancel(self.id, reason, run_id=self.run_id)

    def terminate(self, reason: str | None = None, details: str | None = None) -> None:
        """End the run at once."""
        self._lab.terminate(self.id, reason, details, run_id=self.run_id)

    def pause(self, reason: str | None = None) -> None:
        """Hold the run."""
        self._lab.pause(self.id, reason, run_id=self.run_id)

    def resume(self) -> None:
        """Let a paused run go on."""
        self._lab.resume(self.id, run_id=self.run_id)

    def suspend(self) -> None:
        """Drop the run from memory; what comes next for it brings it back."""
        self._lab.suspend(self.id, run_id=self.run_id)

    # --- looking --------------------------------------------------------------------------------------------------------

    def describe(self) -> RunCard:
        """All about the run, as a card."""
        return self._lab.describe(self.id, run_id=self.run_id)

    def history(self) -> History:
        """The run's recorded events."""
        row, events = self._lab.call("history", self.id, self.run_id)
        return History(row, events)

    def events(self, *, full: bool = False) -> DataFrame:
        """The run's events as a frame: one row each, see `aionlab.views.frames.events_frame`."""
        return self.history().to_frame(full=full)

    def timeline(self) -> Timeline:
        """The run as a Gantt chart."""
        return self._lab.timeline(self.id, run_id=self.run_id)

    def stack(self) -> list[tuple[str, str]]:
        """(what it waits for, source line) of every blocked coroutine of the run."""
        found: list[tuple[str, str]] = self._lab.call("stack", self.id, self.run_id)
        return found

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Handle) and (self.id, self.run_id) == (other.id, other.run_id)

    def __hash__(self) -> int:
        return hash((self.id, self.run_id))

    def __repr__(self) -> str:
        return f"<Handle {self.workflow_type} {self.id} ({self.run_id})>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return bundle(heading("run", self.id, note=f"{self.workflow_type} · {self.run_id}"))
