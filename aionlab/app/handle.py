"""What a caller holds of a run: its ids, and the verbs without them."""
from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any

from aionlab.core.durations import Duration
from aionlab.core.errors import ResultTimeout
from aionlab.core.ids import ChainId
from aionlab.core.ports import Forgotten
from aionlab.core.running import HandlerInfo
from aionlab.core.status import Status
from aionlab.engine.call import Call
from aionlab.views.bundle import bundle
from aionlab.views.card import RunCard
from aionlab.views.document import heading
from aionlab.views.timeline import Timeline

from .history import History
from .lifecycle import SAME, Place
from .outcomes import outcome_of
from .updates import Update

if TYPE_CHECKING:
    from aionlab.authoring.definitions import Workflow
    from aionlab.views.frames import DataFrame

    from .lab import Lab

_POLL = 0.02
"""Seconds between looks while awaited: an interrupt of the kernel's loop is served within one of them."""


class Handle:
    """One run. Waiting on it may be interrupted at any time; that never touches the run."""

    __slots__ = ("_lab", "_run", "id", "run_id", "workflow_type")

    def __init__(self, lab: Lab, id: str, run_id: str, workflow_type: str, *, scoped: bool = False) -> None:  # noqa: A002 - the word of the API
        """`scoped`: the handle means this run alone, also when it continues as new; otherwise what it goes on as."""
        self._lab, self.id, self.workflow_type = lab, id, workflow_type
        self.run_id = run_id
        self._run: str = run_id if scoped else ChainId(run_id)
        """What verbs are asked with."""

    @property
    def status(self) -> Status:
        """The run's status now."""
        status: Status = self._lab.call("run", self.id, self._run).status
        return status

    def result(self, timeout: float | None = None, *, follow: bool | None = None) -> Any:
        """Wait for the run to end, at most `timeout` seconds, and give its result.

        Where the run continues as new, the result is that of the last run it goes on as, unless the handle was got for one run
        (`lab.get(id, run_id)`); `follow` says otherwise. Without following, WorkflowContinuedAsNewError names the next run.

        Raises WorkflowFailedError (its `cause` is the error), WorkflowCancelledError, WorkflowTerminatedError, WorkflowTimedOutError, or
        ResultTimeout when the time is over; the run goes on then.
        """
        call = self._ask(follow)
        try:
            came = self._lab.wait(call, timeout)
        except BaseException:
            self._lab.let_go(call)
            raise
        if not came:
            self._lab.let_go(call)
            raise ResultTimeout(self.id, timeout or 0.0, self._lab.waiting_for(self.id, self._run))
        return self._outcome(call)

    def __await__(self) -> Generator[Any, None, Any]:
        return self._wait().__await__()

    def _ask(self, follow: bool | None = None) -> Call:
        return self._lab.ask("result", self.id, self.run_id, type(self._run) is ChainId if follow is None else follow)

    async def _wait(self) -> Any:
        call = self._ask()
        try:
            while not call.poll():
                await asyncio.sleep(_POLL)
                self._lab.nudge()
        except BaseException:
            self._lab.let_go(call)
            raise
        return self._outcome(call)

    def _outcome(self, call: Call) -> Any:
        workflow_id, run_id, ended = call.outcome()
        return outcome_of(workflow_id, run_id, ended, self._lab.library.cells)

    # --- verbs ----------------------------------------------------------------------------------------------------------

    def signal(self, name: str, payload: Any = None, *, idempotency_key: str | None = None) -> bool:
        """Send a signal; False when the idempotency key has come before."""
        return self._lab.signal(self.id, name, payload, run_id=self._run, idempotency_key=idempotency_key)

    def query(self, name: str, *args: Any, reject_if_closed: bool = False, **kwargs: Any) -> Any:
        """Ask the run's query handler, also when the run has ended, unless `reject_if_closed`."""
        return self._lab.query(self.id, name, *args, run_id=self._run, reject_if_closed=reject_if_closed, **kwargs)

    def update(self, name: str, *args: Any, update_id: str | None = None, timeout: float | None = None, **kwargs: Any) -> Any:
        """Send an update and wait for what its handler returns; see `Lab.update`."""
        return self._lab.update(self.id, name, *args, run_id=self._run, update_id=update_id, timeout=timeout, **kwargs)

    def start_update(self, name: str, *args: Any, update_id: str | None = None, **kwargs: Any) -> Update:
        """Send an update; it is accepted when this returns, and what is returned has a `result()`."""
        return self._lab.start_update(self.id, name, *args, run_id=self._run, update_id=update_id, **kwargs)

    def handlers(self) -> list[HandlerInfo]:
        """What the run can be told and asked: the handlers its code has set."""
        return self._lab.handlers(self.id, run_id=self._run)

    def cancel(self, reason: str | None = None, *, children: bool = False, grace: Duration | None = None) -> None:
        """Ask the run to stop, and with `children` every run below it; their code may clean up, for as long as `grace` where it is given."""
        self._lab.cancel(self.id, reason, run_id=self._run, children=children, grace=grace)

    def terminate(self, reason: str | None = None, details: str | None = None) -> None:
        """End the run at once."""
        self._lab.terminate(self.id, reason, details, run_id=self._run)

    def pause(self, reason: str | None = None) -> None:
        """Hold the run."""
        self._lab.pause(self.id, reason, run_id=self._run)

    def resume(self) -> None:
        """Let a paused run go on."""
        self._lab.resume(self.id, run_id=self._run)

    def reopen(self, reason: str | None = None, *, version: str | None = None) -> Handle:
        """Go on with the run, which did not complete; see `Lab.reopen`."""
        return self._lab.reopen(self.id, reason, run_id=self._run, version=version)

    def fork(
        self, at: Place | None = None, *, id: str | None = None, signal: tuple[str, Any] | str | None = None,  # noqa: A002 - the word of the API
        result: Mapping[int | str, Any] | None = None, code: Workflow[..., Any] | None = None, version: str | None = None, input: Any = SAME,  # noqa: A002
    ) -> Handle:
        """Start another run with what this one has done up to event `at`, or "last_failure"; `input=`, a signal, results and code may be
        others. See `Lab.fork`."""
        return self._lab.fork(self.id, at, run_id=self._run, id=id, signal=signal, result=result, code=code, version=version, input=input)

    def reset(
        self, at: Place | None = None, *, reason: str | None = None, signal: tuple[str, Any] | str | None = None,
        result: Mapping[int | str, Any] | None = None, code: Workflow[..., Any] | None = None, version: str | None = None, input: Any = SAME,  # noqa: A002
    ) -> Handle:
        """Go back to event `at`, as a new run of the same workflow id; the open run ends. See `Lab.reset`."""
        return self._lab.reset(self.id, at, run_id=self._run, reason=reason, signal=signal, result=result, code=code, version=version, input=input)

    def suspend(self) -> None:
        """Drop the run from memory; what comes next for it brings it back."""
        self._lab.suspend(self.id, run_id=self._run)

    def move(self, version: str | None = None) -> str:
        """Let the run go on under another version of its code, once its history agrees with it."""
        return self._lab.move(self.id, version, run_id=self._run)

    def forget(self, reason: str | None = None) -> Forgotten:
        """Delete everything recorded about the run's workflow id, which must be closed. It cannot be undone."""
        return self._lab.forget(self.id, reason)

    # --- looking --------------------------------------------------------------------------------------------------------

    def describe(self) -> RunCard:
        """All about the run, as a card."""
        return self._lab.describe(self.id, run_id=self._run)

    def history(self) -> History:
        """The run's recorded events."""
        row, events = self._lab.call("history", self.id, self._run)
        return History(row, events)

    def events(self, *, full: bool = False) -> DataFrame:
        """The run's events as a frame: one row each, see `aionlab.views.frames.events_frame`."""
        return self.history().to_frame(full=full)

    def timeline(self) -> Timeline:
        """The run as a Gantt chart."""
        return self._lab.timeline(self.id, run_id=self._run)

    def stack(self) -> list[tuple[str, str]]:
        """(what it waits for, source line) of every blocked coroutine of the run."""
        found: list[tuple[str, str]] = self._lab.call("stack", self.id, self._run)
        return found

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Handle) and (self.id, self.run_id) == (other.id, other.run_id)

    def __hash__(self) -> int:
        return hash((self.id, self.run_id))

    def __repr__(self) -> str:
        return f"<Handle {self.workflow_type} {self.id} ({self.run_id})>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return bundle(heading("run", self.id, note=f"{self.workflow_type} · {self.run_id}"))
