"""What a lab says and does about the life of a run beyond its start and its end: reopen, fork, reset."""
from __future__ import annotations

import inspect
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from aionlab.authoring.definitions import Workflow
from aionlab.core.clock import Micros
from aionlab.core.durations import Duration, micros
from aionlab.core.errors import InvalidOption, NotAWorkflow
from aionlab.core.ids import Ids
from aionlab.core.names import check_name
from aionlab.core.ports import Run
from aionlab.engine.call import Call
from aionlab.engine.lifecycle.forking import ForkRequest

if TYPE_CHECKING:
    from aionlab.core.events import Payload

    from .handle import Handle
    from .library import Library

Place = int | str
"""Where a history is cut: the seq of the last event taken over, "last_failure" or "end"."""


class Arguments(NamedTuple):
    """Another input for a fork, where keywords are among it."""

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}


SAME: Any = object()
"""The input the run had."""


def point(time: datetime) -> Micros:
    """A point in time in microseconds. Raises InvalidOption for one that does not say in which zone it is."""
    if time.tzinfo is None:
        raise InvalidOption(f"{time} does not say in which time zone: give one, datetime(…, tzinfo=UTC) say, or a length of time")
    return Micros(round(time.timestamp() * 1_000_000))


def length(what: str, given: Duration) -> Micros:
    """A length of time in microseconds. Raises InvalidOption for what is none."""
    try:
        return micros(given)
    except (TypeError, ValueError) as error:
        raise InvalidOption(f"{what}: {error}") from None


class Lifecycle:
    """The part of a lab that is about going on, or going back."""

    library: Library
    _ids: Ids

    def call(self, verb: str, *arguments: Any) -> Any:
        raise NotImplementedError

    def start(self, workflow: Workflow[..., Any] | str, *args: Any, **options: Any) -> Handle:
        raise NotImplementedError

    def _act(self, done: str, undone: str, call: Call, facts: dict[str, Any] | None = None) -> Any:
        raise NotImplementedError

    def _may_write(self) -> None:
        raise NotImplementedError

    def _signal(self, signal: tuple[str, Any] | str) -> tuple[str, Payload]:
        raise NotImplementedError

    def _current(self, workflow: Workflow[..., Any]) -> str:
        raise NotImplementedError

    def _whole_version(self, name: str, version: str) -> str:
        raise NotImplementedError

    def signal_with_start(
        self, workflow: Workflow[..., Any] | str, *args: Any, signal: tuple[str, Any] | str, id: str, id_conflict: str = "use_existing", **options: Any  # noqa: A002
    ) -> Handle:
        """Send a signal to the open run of the id, or start a run that finds it when it begins: one commit, whichever it is.

        The options are those of `start`, and so are the errors; with an `idempotency_key` the signal is sent once.
        """
        return self.start(workflow, *args, signal=signal, id=id, id_conflict=id_conflict, **options)

    def reopen(self, id: str, reason: str | None = None, *, run_id: str | None = None, version: str | None = None) -> Handle:  # noqa: A002
        """Go on with a run that failed, was cancelled or terminated, or ran past its deadline, as the same run.

        What is recorded as done is not done again. A run that failed goes back to the activity whose failure it did not survive, which runs
        again with all its attempts; a cancel is taken back; any other run goes on where it stood. Timers are pending at their old times, a
        deadline that is over does not come back. With `version` it goes on under that code, if that agrees with its history.
        Raises RunNotFound, CannotReopen, NondeterminismError, WorkflowNotFound with nothing written.
        """
        self._may_write()
        row: Run = self.call("run", id, run_id)
        whole = None if version is None else self._whole_version(row.workflow_type, version)
        self._act(f"{id} was reopened", f"{id} was not reopened", Call("reopen", id, run_id, reason, whole))
        return self._handle_of(row.workflow_id, row.run_id, row.workflow_type)

    def fork(
        self, source: str, /, at: Place | None = None, *, run_id: str | None = None, id: str | None = None, input: Any = SAME,  # noqa: A002 - the words of the API
        signal: tuple[str, Any] | str | None = None, result: Mapping[int | str, Any] | None = None, code: Workflow[..., Any] | None = None,
        version: str | None = None,
    ) -> Handle:
        """Start a run, under an id of its own, that begins with another's history up to an event and goes on from there. Nothing of the other
        run changes.

        - `at`: seq of the last event taken over (the rest of its step is done anew); "last_failure": up to the activity whose failure ended
          the run, with every result that had come; "end": all there is of an open run. Without it: before the results given, else
          "last_failure" or "end".
        - `id`: the fork's workflow id, minted when not given.
        - `input`: another input: a tuple of arguments, or the one argument.
        - `signal`: a name, or (name, payload): a signal it has at the cut.
        - `result`: results of activities in place of the recorded ones, by ordinal, "charge#0" or "@12" (what event 12 is about).
        - `code` or `version`: other code of the same workflow, which must agree with what is taken over.

        Attempts of activities under way, pauses and idempotency keys are not taken over; the deadline counts anew. Raises RunNotFound,
        InvalidOption, AlreadyStarted, NondeterminismError, WorkflowNotFound with nothing written.
        """
        row, request = self._branch(source, at, run_id, input, signal, result, code, version)
        named = None if id is None else check_name("workflow id", id)
        request = _named(request, named or self._ids.workflow_id(), self._ids.run_id())
        handle = self._handle_of(str(request.workflow_id), str(request.run_id), row.workflow_type)
        call = Call("fork", row.workflow_id, row.run_id, request)
        workflow_id, new_run = self._act(f"{request.workflow_id} was forked from {source}", "nothing was forked", call, {"handle": handle})
        return self._handle_of(workflow_id, new_run, row.workflow_type)

    def reset(
        self, id: str, at: Place | None = None, *, run_id: str | None = None, reason: str | None = None, input: Any = SAME,  # noqa: A002 - as in fork
        signal: tuple[str, Any] | str | None = None, result: Mapping[int | str, Any] | None = None, code: Workflow[..., Any] | None = None,
        version: str | None = None,
    ) -> Handle:
        """Go back to an event of a run, as a new run of the same workflow id; the id's open run is terminated, with reason "reset".

        The options are those of `fork`, and so are the errors.
        """
        row, request = self._branch(id, at, run_id, input, signal, result, code, version)
        request = _named(request, None, self._ids.run_id())
        call = Call("reset", row.workflow_id, row.run_id, request, reason)
        workflow_id, new_run = self._act(f"{id} was reset", f"{id} was not reset", call)
        return self._handle_of(workflow_id, new_run, row.workflow_type)

    def _branch(
        self, id: str, at: Place | None, run_id: str | None, input: Any, signal: tuple[str, Any] | str | None,  # noqa: A002 - as in fork
        result: Mapping[int | str, Any] | None, code: Workflow[..., Any] | None, version: str | None,
    ) -> tuple[Run, ForkRequest]:
        """The run that is branched, and the request as far as both verbs share it."""
        self._may_write()
        row: Run = self.call("run", id, run_id)
        cells = self.library.cells
        payload = None
        if input is not SAME:
            args, kwargs = _arguments(input)
            payload = cells.encode_args(args, kwargs, "input")
        if code is not None:
            version = self._version_of(code, row, version)
        elif version is not None:
            version = self._whole_version(row.workflow_type, version)
        results = {name: cells.encode(value, f"result of {name}") for name, value in (result or {}).items()}
        return row, ForkRequest(at, payload, None if signal is None else self._signal(signal), results, version)

    def _version_of(self, code: Workflow[..., Any], row: Run, version: str | None) -> str:
        if version is not None:
            raise InvalidOption("give code or a version, not both")
        if getattr(code, "aion_kind", None) != "workflow":
            raise NotAWorkflow(f"{code!r} is no workflow; put @workflow on an `async def`")
        if code.name != row.workflow_type:
            raise InvalidOption(f"{row.workflow_id} is a run of {row.workflow_type}, and {code.name} is another workflow; name it @workflow(name={row.workflow_type!r})")
        self._current(code)
        captured, _ = self.library.capture(code)
        return captured.package.version

    def _handle_of(self, workflow_id: str, run_id: str, workflow_type: str) -> Handle:
        from .handle import Handle

        return Handle(self, workflow_id, run_id, workflow_type)  # type: ignore[arg-type]  # a lab is what this is part of


def _named(request: ForkRequest, workflow_id: str | None, run_id: Any) -> ForkRequest:
    return ForkRequest(request.at, request.input, request.signal, request.results, request.version, workflow_id, run_id)


def _arguments(given: Any) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
    if isinstance(given, Arguments | inspect.BoundArguments):
        return tuple(given.args), given.kwargs
    return (given, {}) if isinstance(given, tuple) else ((given,), {})
