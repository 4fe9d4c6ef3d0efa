"""Every error aionlab raises, grouped by whose move it is.

    AionError
    ├── UsageError ............. the caller's move: nothing was written
    │   ├── InvalidName · InvalidPayload · PayloadTooLarge · InvalidAttribute · InvalidOption · InvalidFilter
    │   ├── WorkflowNotFound · RunNotFound · AlreadyStarted · RunClosed · CannotReopen · ProcessNotFound · ScheduleNotFound · ScheduleExists
    │   ├── NotInWorkflow · NotInActivity · NotAWorkflow · CodeRefused
    │   └── QueryFailed · UpdateRejected · UpdateNotFound
    ├── OutcomeError ........... the workflow's own outcome, raised by `result()`
    │   ├── WorkflowFailedError · WorkflowCancelledError · WorkflowTerminatedError · WorkflowTimedOutError · WorkflowContinuedAsNewError
    ├── ActivityError .......... inside a workflow: an activity gave up (`ActivityTimeout` when it took too long)
    ├── ChildWorkflowError ..... inside a workflow: a child did not complete
    ├── DuplicateActivity ...... the cause of an ActivityError: its dedup_id is in use
    ├── WorkerLost ............. the cause of an ActivityError: the process an attempt ran in ended before it returned
    ├── CompensationFailed ..... inside a workflow: some of what was to be undone was not
    ├── UpdateFailedError ...... the handler of an update raised; the run goes on (`UpdateUnfinished` when the run ended first)
    ├── ApplicationError ....... raised by users on purpose
    ├── NondeterminismError .... the author's move: the code no longer agrees with its history
    ├── StartAborted ........... a start was rolled back after it had been recorded
    ├── ResultTimeout .......... a wait ended, not the run
    └── StoreError ............. the machine's or the operator's move
        ├── SequenceConflict · BadBatch · Fenced · StoreLocked · StoreReadOnly · StoreFull · StoreUnavailable
        ├── NotOurDatabase · NewerDatabase · UnknownEventKind · PayloadSealed
        └── IllegalEvent ....... a bug of ours: the status table forbids the event

Facts are attributes, advice is in the text; nobody needs to parse the text.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .failure import Failure


class AionError(Exception):
    """Base of every error here."""


# --- the caller's move -----------------------------------------------------------------------------------------------


class UsageError(AionError):
    """The request cannot be carried out as it stands; nothing was written."""


class InvalidName(UsageError, ValueError):
    """A workflow id, signal name or the like that cannot be used."""

    def __init__(self, what: str, name: object, why: str) -> None:
        super().__init__(what, name, why)
        self.what, self.name, self.why = what, name, why

    def __str__(self) -> str:
        return f"{self.what} {shorten(self.name)} cannot be used: {self.why}"


class InvalidPayload(UsageError, TypeError):
    """A value that cannot be recorded; `path` says where in the argument it sits."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(path, why)
        self.path, self.why = path, why

    def __str__(self) -> str:
        return f"{self.path}: {self.why}"


class PayloadTooLarge(InvalidPayload):
    """A value whose encoded form is over the limit."""

    def __init__(self, path: str, size: int, limit: int) -> None:
        super().__init__(path, f"{size:,} bytes encoded, over the limit of {limit:,}; record a path or a key and keep the data elsewhere")
        self.args = (path, size, limit)
        self.size, self.limit = size, limit


class InvalidAttribute(UsageError, ValueError):
    """A search attribute that was not registered, or a value of the wrong type."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(name, why)
        self.name, self.why = name, why

    def __str__(self) -> str:
        return f"search attribute {self.name!r}: {self.why}"


class InvalidOption(UsageError, ValueError):
    """An option whose value makes no sense."""


class InvalidFilter(UsageError, ValueError):
    """A filter that cannot be read; `at` (from 0) and `width` say where in its `text`, `why` what is wrong there."""

    def __init__(self, text: str, at: int, width: int, why: str) -> None:
        super().__init__(text, at, width, why)
        self.text, self.at, self.width, self.why = text, at, width, why

    def __str__(self) -> str:
        begin = self.text.rfind("\n", 0, self.at) + 1
        line = self.text[begin:].partition("\n")[0]
        first = max(0, self.at - begin - 60)
        shown = "".join(char if char.isprintable() else " " for char in line[first : first + 100])
        under = "^" * max(1, min(self.width, len(shown) - (self.at - begin - first)))
        return f"{self.why}\n  {shown}\n  {' ' * (self.at - begin - first)}{under}"


class WorkflowNotFound(UsageError, LookupError):
    """No code is registered for this workflow type (or not in this version)."""

    def __init__(self, workflow_type: str, version: str | None = None, known: tuple[str, ...] = ()) -> None:
        super().__init__(workflow_type, version, known)
        self.workflow_type, self.version, self.known = workflow_type, version, known

    def __str__(self) -> str:
        what = f"no workflow {self.workflow_type!r}" + (f" in version {self.version}" if self.version else "")
        return f"{what} is defined; {'known: ' + ', '.join(self.known) if self.known else 'define it with @workflow or %%workflow first'}"


class RunNotFound(UsageError, LookupError):
    """There is no such workflow id (or no such run of it)."""

    def __init__(self, workflow_id: str, run_id: str | None = None, near: tuple[str, ...] = ()) -> None:
        super().__init__(workflow_id, run_id, near)
        self.workflow_id, self.run_id, self.near = workflow_id, run_id, near

    def __str__(self) -> str:
        what = f"there is no workflow {shorten(self.workflow_id)}" + (f" with run {self.run_id}" if self.run_id else "")
        return what + (f"; did you mean {' or '.join(map(repr, self.near))}?" if self.near else "")


class AlreadyStarted(UsageError):
    """The workflow id is in use: by an open run, or by a closed one that the start's `id_reuse` does not let be followed.

    `run_id` and `status` are those of the run that has it, `workflow_type` its workflow where that is another than the one asked for.
    """

    def __init__(self, workflow_id: str, run_id: str, status: str = "Running", workflow_type: str = "", id_reuse: str = "allow") -> None:
        super().__init__(workflow_id, run_id, status, workflow_type, id_reuse)
        self.workflow_id, self.run_id, self.status, self.workflow_type, self.id_reuse = workflow_id, run_id, status, workflow_type, id_reuse

    def __str__(self) -> str:
        named = f" as workflow {self.workflow_type!r}, a different one" if self.workflow_type else ""
        what = f"{self.workflow_id} is already started{named} (run {self.run_id}, {self.status})"
        if self.status in ("Running", "Paused"):
            return f"{what}; use another id, or get its handle"
        return f"{what}, and id_reuse={self.id_reuse!r} lets no run follow it; use another id, or get its handle"


class RunClosed(UsageError):
    """The run has ended, so it takes no signals, cancels or other verbs."""

    def __init__(self, workflow_id: str, run_id: str, status: str) -> None:
        super().__init__(workflow_id, run_id, status)
        self.workflow_id, self.run_id, self.status = workflow_id, run_id, status

    def __str__(self) -> str:
        return f"{self.workflow_id} (run {self.run_id}) is {self.status}; a closed run takes nothing more"


class CannotReopen(UsageError):
    """The run cannot be reopened: it is open, it ended as it should, or another run has followed it; `why` says."""

    def __init__(self, workflow_id: str, run_id: str, status: str, why: str) -> None:
        super().__init__(workflow_id, run_id, status, why)
        self.workflow_id, self.run_id, self.status, self.why = workflow_id, run_id, status, why

    def __str__(self) -> str:
        return f"{self.workflow_id} (run {self.run_id}) is {self.status} and cannot be reopened: {self.why}"


class ProcessNotFound(UsageError, LookupError):
    """No live process has this pid."""

    def __init__(self, pid: object) -> None:
        super().__init__(pid)
        self.pid = pid

    def __str__(self) -> str:
        return f"no process has pid {self.pid}; lab.tree() shows the live ones"


class ScheduleNotFound(UsageError, LookupError):
    """There is no schedule of this name."""

    def __init__(self, schedule_id: str, near: tuple[str, ...] = ()) -> None:
        super().__init__(schedule_id, near)
        self.schedule_id, self.near = schedule_id, near

    def __str__(self) -> str:
        hint = f"did you mean {' or '.join(map(repr, self.near))}?" if self.near else "lab.schedules() lists them"
        return f"there is no schedule {shorten(self.schedule_id)}; {hint}"


class ScheduleExists(UsageError):
    """A schedule of this name is there, and is another than the one asked for."""

    def __init__(self, schedule_id: str, differs: tuple[str, ...] = ()) -> None:
        super().__init__(schedule_id, differs)
        self.schedule_id, self.differs = schedule_id, differs

    def __str__(self) -> str:
        return (
            f"schedule {self.schedule_id} exists, with another {', '.join(self.differs)}; change it with .update(…), put this one in its place with replace=True, "
            "or choose another name"
        )


class NotInWorkflow(UsageError, RuntimeError):
    """Something that only workflow code may call was called from elsewhere."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"{self.what} works inside a running workflow only"


class NotInActivity(UsageError, RuntimeError):
    """Something that only the code of an activity may call was called from elsewhere."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"{self.what} works in the code of a running activity only"


class NotAWorkflow(UsageError, TypeError):
    """A function that cannot be a workflow or an activity as it stands."""


class CodeRefused(UsageError):
    """A workflow whose code cannot be stored and rebuilt; `findings` names each thing and the way out."""

    def __init__(self, workflow_type: str, findings: tuple[str, ...]) -> None:
        super().__init__(workflow_type, findings)
        self.workflow_type, self.findings = workflow_type, findings

    def __str__(self) -> str:
        return f"{self.workflow_type} cannot be stored as it stands:\n" + "\n".join(f"  - {finding}" for finding in self.findings)


class QueryFailed(UsageError):
    """A query had no handler, or its handler raised or tried to change something."""

    def __init__(self, workflow_id: str, name: str, why: str, known: tuple[str, ...] = ()) -> None:
        super().__init__(workflow_id, name, why, known)
        self.workflow_id, self.name, self.why, self.known = workflow_id, name, why, known

    def __str__(self) -> str:
        return f"query {self.name!r} of {self.workflow_id}: {self.why}" + (f"; known: {', '.join(self.known)}" if self.known else "")


class UpdateRejected(UsageError):
    """An update that its run does not take: there is no such handler, the arguments do not fit, or its validator refused (`cause`)."""

    def __init__(self, workflow_id: str, name: str, why: str, known: tuple[str, ...] = (), cause: BaseException | None = None) -> None:
        super().__init__(workflow_id, name, why, known)
        self.workflow_id, self.name, self.why, self.known, self.cause = workflow_id, name, why, known, cause
        self.__cause__ = cause

    def __str__(self) -> str:
        return f"update {self.name!r} of {self.workflow_id}: {self.why}" + (f"; known: {', '.join(self.known)}" if self.known else "")


# --- outcomes --------------------------------------------------------------------------------------------------------


class OutcomeError(AionError):
    """A run ended without a result."""

    def __init__(self, workflow_id: str, run_id: str, why: str = "") -> None:
        super().__init__(workflow_id, run_id, why)
        self.workflow_id, self.run_id, self.why = workflow_id, run_id, why

    _word = "ended"

    def __str__(self) -> str:
        return f"{self.workflow_id} {self._word}" + (f": {self.why}" if self.why else "")


class WorkflowFailedError(OutcomeError):
    """The workflow's code raised; `failure` is the record, `cause` the error."""

    _word = "failed"

    def __init__(self, workflow_id: str, run_id: str, why: str = "", failure: Failure | None = None, cause: BaseException | None = None) -> None:
        super().__init__(workflow_id, run_id, why)
        self.failure, self.cause = failure, cause
        self.__cause__ = cause


class WorkflowCancelledError(OutcomeError):
    _word = "was cancelled"


class WorkflowTerminatedError(OutcomeError):
    """The run was ended from outside without its code running again; `why` is the reason, `details` what the caller added."""

    _word = "was terminated"

    def __init__(self, workflow_id: str, run_id: str, why: str = "", details: str | None = None) -> None:
        super().__init__(workflow_id, run_id, why)
        self.details = details


class WorkflowTimedOutError(OutcomeError):
    _word = "ran past its deadline"


class WorkflowContinuedAsNewError(OutcomeError):
    """The run went on as a new one, `next_run_id`, and its result is not followed."""

    _word = "continued as new"

    def __init__(self, workflow_id: str, run_id: str, next_run_id: str = "") -> None:
        super().__init__(workflow_id, run_id, f"its next run is {next_run_id}; result(follow=True) waits for the last")
        self.args = (workflow_id, run_id, next_run_id)
        self.next_run_id = next_run_id


class ActivityError(AionError):
    """An activity failed for good. `cause` is the error of its last attempt, rebuilt from its record; `attempt` that attempt, from 1."""

    earlier: tuple[Any, ...] = ()
    """The errors of the attempts before, oldest first, as their records (trees); `causes` has them as errors."""

    def __init__(
        self, activity_type: str, attempt: int, failure: Failure | None = None, cause: BaseException | None = None, earlier: tuple[BaseException, ...] = (),
    ) -> None:
        super().__init__(activity_type, attempt)
        self.activity_type, self.attempt, self.failure, self.cause = activity_type, attempt, failure, cause
        self.__cause__ = cause
        self.causes: tuple[BaseException, ...] = earlier if cause is None else (*earlier, cause)
        """The error of every attempt, the first one's first (of very many attempts, those of the last fifty)."""

    def __str__(self) -> str:
        why = f"{self.failure.name}: {self.failure.message}" if self.failure else "no reason recorded"
        return f"activity {self.activity_type} failed on attempt {self.attempt}: {why}"


class ChildWorkflowError(AionError):
    """A child did not complete: it failed, was cancelled or terminated by somebody else, ran past its deadline, or could not be started.

    `cause` is the child's error rebuilt from its record, or a WorkflowCancelledError, WorkflowTerminatedError, WorkflowTimedOutError,
    or the AlreadyStarted or WorkflowNotFound that kept it from starting.
    """

    def __init__(
        self, workflow_type: str, workflow_id: str, why: str = "", failure: Failure | None = None, cause: BaseException | None = None
    ) -> None:
        super().__init__(workflow_type, workflow_id, why)
        self.workflow_type, self.workflow_id, self.why, self.failure, self.cause = workflow_type, workflow_id, why, failure, cause
        self.__cause__ = cause

    def __str__(self) -> str:
        return f"child {self.workflow_type} ({self.workflow_id}) did not complete: {self.why or 'no reason recorded'}"


class ActivityTimeout(ActivityError):
    """An activity took longer than its `kind` of timeout allows."""

    def __init__(
        self, activity_type: str, attempt: int, kind: str, earlier: tuple[BaseException, ...] = (), heartbeat_details: Any = None
    ) -> None:
        super().__init__(activity_type, attempt, None, TimeoutError(kind), earlier)
        self.args = (activity_type, attempt, kind)
        self.kind = kind
        """"start_to_close", "heartbeat" or "schedule_to_close"."""
        self.heartbeat_details = heartbeat_details
        """What the attempt said last of itself."""

    def __str__(self) -> str:
        if self.kind == "heartbeat":
            return f"activity {self.activity_type} was not heard of for longer than its heartbeat timeout on attempt {self.attempt}"
        if self.kind == "schedule_to_close":
            began = f"{self.attempt} attempt{'s' if self.attempt > 1 else ''}" if self.attempt else "no attempt"
            return f"activity {self.activity_type} took longer than its schedule_to_close timeout; {began} began"
        return f"activity {self.activity_type} took longer than its {self.kind} timeout on attempt {self.attempt}"


class DuplicateActivity(AionError):
    """The cause of an ActivityError: the activity's `dedup_id` is in use in its queue."""


class WorkerLost(AionError):
    """The process an attempt ran in ended before the activity returned; `code` is its return code (a signal is negative), None when it
    never began."""

    def __init__(self, activity_type: str, why: str, code: int | None = None) -> None:
        super().__init__(activity_type, why, code)
        self.activity_type, self.why, self.code = activity_type, why, code

    def __str__(self) -> str:
        return f"the process of {self.activity_type} {self.why}"


class CompensationFailed(AionError):
    """A workflow failed, and so did some of its compensations; `__cause__` is what made them run."""

    def __init__(self, failures: tuple[Exception, ...]) -> None:
        super().__init__(failures)
        self.failures = failures

    def __str__(self) -> str:
        told = "; ".join(f"{type(error).__name__}: {error}" for error in self.failures)
        return f"{len(self.failures)} compensation{'s' if len(self.failures) > 1 else ''} failed, see to what they should have undone: {told}"


class UpdateFailedError(AionError):
    """The handler of an update raised; `failure` is the record, `cause` the error. The run went on."""

    def __init__(
        self, workflow_id: str, name: str, update_id: str, why: str = "", failure: Failure | None = None, cause: BaseException | None = None
    ) -> None:
        super().__init__(workflow_id, name, update_id, why)
        self.workflow_id, self.name, self.update_id, self.why = workflow_id, name, update_id, why
        self.failure, self.cause = failure, cause
        self.__cause__ = cause

    def __str__(self) -> str:
        return f"update {self.name!r} of {self.workflow_id} failed: {self.why}"


class UpdateUnfinished(AionError):
    """An update was accepted, and its run ended before the handler was done."""

    def __init__(self, workflow_id: str, update_id: str, status: str) -> None:
        super().__init__(workflow_id, update_id, status)
        self.workflow_id, self.update_id, self.status = workflow_id, update_id, status

    def __str__(self) -> str:
        return (
            f"update {self.update_id!r} of {self.workflow_id} has no result: the run ended ({self.status}) before its handler was done; a run that should "
            "finish its handlers first awaits workflow.wait_condition(workflow.all_handlers_finished)"
        )


class UpdateNotFound(UsageError, LookupError):
    """The run has accepted no update of this id."""

    def __init__(self, workflow_id: str, update_id: str) -> None:
        super().__init__(workflow_id, update_id)
        self.workflow_id, self.update_id = workflow_id, update_id

    def __str__(self) -> str:
        return f"{self.workflow_id} has accepted no update {shorten(self.update_id)}"


class ApplicationError(AionError):
    """An error users raise on purpose, with details that survive the journey.

    `type` names it for `non_retryable`; `non_retryable=True` stops retries; `next_retry_delay` (a duration) overrides the policy's.
    """

    def __init__(
        self, message: str = "", *details: Any, type: str | None = None, non_retryable: bool = False, next_retry_delay: Any = None,  # noqa: A002
    ) -> None:
        super().__init__(message, *details)
        self.message, self.details = message, details
        self.type = type or self.__class__.__name__
        self.non_retryable, self.next_retry_delay = non_retryable, next_retry_delay

    def __str__(self) -> str:
        return self.message


class NondeterminismError(AionError):
    """The code no longer agrees with its history; the run is stuck, not failed, and its history is untouched."""

    def __init__(
        self, workflow_id: str, run_id: str, seq: int, expected: str, actual: str, source: str = "", suggestion: str = "", version: str = ""
    ) -> None:
        super().__init__(workflow_id, run_id, seq, expected, actual, source, suggestion, version)
        self.workflow_id, self.run_id, self.seq, self.expected, self.actual = workflow_id, run_id, seq, expected, actual
        self.source, self.suggestion, self.version = source, suggestion, version

    def __str__(self) -> str:
        text = f"{self.workflow_id} diverged at event {self.seq}: history has {self.expected}, the code asked for {self.actual}"
        return text + (f" at {self.source}" if self.source else "") + (f". {self.suggestion}" if self.suggestion else "")


class StartAborted(AionError):
    """A start failed after it had been recorded and was rolled back; `cause` is the first error, `step` the row of the start table."""

    def __init__(self, workflow_id: str, run_id: str, step: str, cause: BaseException) -> None:
        super().__init__(workflow_id, run_id, step, cause)
        self.workflow_id, self.run_id, self.step, self.cause = workflow_id, run_id, step, cause
        self.__cause__ = cause

    def __str__(self) -> str:
        return f"{self.workflow_id} (run {self.run_id}) was not started: {self.step} failed: {self.cause}"


class ResultTimeout(AionError, TimeoutError):
    """The wait for a result ended; the run goes on."""

    def __init__(self, workflow_id: str, seconds: float, waiting_for: str = "") -> None:
        super().__init__(workflow_id, seconds, waiting_for)
        self.workflow_id, self.seconds, self.waiting_for = workflow_id, seconds, waiting_for

    def __str__(self) -> str:
        return f"{self.workflow_id} has no result after {self.seconds:g} s" + (f"; it waits for {self.waiting_for}" if self.waiting_for else "")


# --- the machine's move ----------------------------------------------------------------------------------------------


class StoreError(AionError):
    """The event log could not do what it was asked."""


class SequenceConflict(StoreError):
    """Somebody else wrote to this workflow's history."""

    def __init__(self, workflow_id: str, expected: int, found: int) -> None:
        super().__init__(workflow_id, expected, found)
        self.workflow_id, self.expected, self.found = workflow_id, expected, found

    def __str__(self) -> str:
        return f"{self.workflow_id} is at event {self.found}, not {self.expected}; is a second kernel open on this database?"


class BadBatch(StoreError, ValueError):
    """A batch whose events are not numbered contiguously; nothing was written."""


class Fenced(StoreError):
    """Another kernel took this database over; this one may no longer write."""


class StoreLocked(StoreError):
    """Another process owns the database; `owner` says who."""

    def __init__(self, path: str, owner: str) -> None:
        super().__init__(path, owner)
        self.path, self.owner = path, owner

    def __str__(self) -> str:
        return f"{self.path} is owned by {self.owner}; read it as an observer, or take it over with takeover=True"


class StoreReadOnly(StoreError):
    """The database can be read but not written here."""


class StoreFull(StoreError):
    """The disk (or the database's size limit) is full; nothing of the batch was written."""


class StoreUnavailable(StoreError):
    """The database did not answer, so whether the last batch was written is not known."""


class NotOurDatabase(StoreError):
    """The file is not an aionlab database."""


class NewerDatabase(StoreError):
    """A newer aionlab wrote this database; it can be read, not written."""


class UnknownEventKind(StoreError):
    """A stored event of a kind this version does not know."""

    def __init__(self, code: int | str) -> None:
        super().__init__(code)
        self.code = code

    def __str__(self) -> str:
        return f"event kind {self.code} is not known to this version of aionlab; upgrade to read this history"


class PayloadSealed(StoreError, LookupError):
    """A recorded value that cannot be read here for want of a key (`key_id`) or a codec."""

    def __init__(self, key_id: str | None, why: str) -> None:
        super().__init__(key_id, why)
        self.key_id, self.why = key_id, why

    def __str__(self) -> str:
        return f"encrypted (key {self.key_id}): {self.why}" if self.key_id else self.why


class IllegalEvent(StoreError):
    """The status table does not allow this event now."""

    def __init__(self, event: str, status: str | None) -> None:
        super().__init__(event, status)
        self.event, self.status = event, status

    def __str__(self) -> str:
        return f"{self.event} cannot be recorded in a run that is {self.status or 'not started'}"


def shorten(value: object, limit: int = 60) -> str:
    """`repr(value)`, cut in the middle when long; never raises."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a repr of the user's may raise anything, and this runs while another error is shown
        text = f"<{type(value).__name__}>"
    return text if len(text) <= limit else f"{text[: limit // 2]}…{text[-limit // 4 :]} ({len(text):,} characters)"
