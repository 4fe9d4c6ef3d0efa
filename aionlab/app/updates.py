"""What a caller holds of an update: its id, and what became of it."""
from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from aionlab.core import errors
from aionlab.core import events as e
from aionlab.core.values import Values
from aionlab.engine.call import Call
from aionlab.views.bundle import bundle
from aionlab.views.document import heading

if TYPE_CHECKING:
    from .handle import Handle
    from .lab import Lab

_POLL = 0.02
"""Seconds between looks while awaited, as for a run's result."""


class Update:
    """An update that a run has accepted. Waiting for it may be interrupted at any time; that never touches the run."""

    __slots__ = ("_call", "_lab", "handle", "id", "name")

    def __init__(self, lab: Lab, handle: Handle, id: str, name: str, call: Call) -> None:  # noqa: A002 - the word of the API
        self._lab, self._call = lab, call
        self.handle, self.id, self.name = handle, id, name
        """The run, the update's id, and the name it was sent under (empty where only the id was given)."""

    @property
    def done(self) -> bool:
        """Whether there is a result or an error."""
        return self._call.poll()

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the handler, at most `timeout` seconds, and give what it returned.

        Raises UpdateFailedError (its `cause` is the handler's error), UpdateRejected where the validator could only be asked later and
        refused, UpdateUnfinished when the run ended first, ResultTimeout when the time is over; the update goes on then.
        """
        if not self._lab.wait(self._call, timeout):
            raise errors.ResultTimeout(f"update {self.id!r} of {self.handle.id}", timeout or 0.0, self._lab.waiting_for(self.handle.id, self.handle.run_id))
        return self._outcome()

    def __await__(self) -> Generator[Any, None, Any]:
        return self._wait().__await__()

    async def _wait(self) -> Any:
        while not self._call.poll():
            await asyncio.sleep(_POLL)
            self._lab.nudge()
        return self._outcome()

    def _outcome(self) -> Any:
        return outcome_of(self.handle.id, self.name, self.id, self._call.outcome(), self._lab.library.cells)

    def __repr__(self) -> str:
        return f"<Update {self.name or '?'} {self.id} of {self.handle.id}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return bundle(heading("update", self.id, note=f"{self.name} of {self.handle.id}"))


def outcome_of(workflow_id: str, name: str, update_id: str, completed: e.UpdateCompleted, values: Values) -> Any:
    """What the handler returned; raises what became of it otherwise."""
    if completed.error is None:
        assert completed.result is not None
        return values.decode(completed.result)
    failure = completed.error
    why, cause = f"{failure.name}: {failure.message}", values.error(failure)
    if completed.rejected:
        raise errors.UpdateRejected(workflow_id, name, why, cause=cause)
    raise errors.UpdateFailedError(workflow_id, name, update_id, why, failure, cause)
