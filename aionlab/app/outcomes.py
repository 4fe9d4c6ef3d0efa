"""From a run's terminal event to what `result()` returns or raises."""
from __future__ import annotations

from typing import Any

from aionlab.core import errors
from aionlab.core import events as e
from aionlab.core.values import Values


def outcome_of(workflow_id: str, run_id: str, ended: e.Event, values: Values) -> Any:
    """The result of a completed run; raises the OutcomeError of any other."""
    match ended:
        case e.WorkflowCompleted(result=payload):
            return values.decode(payload)
        case e.WorkflowFailed(error=failure):
            raise errors.WorkflowFailedError(workflow_id, run_id, f"{failure.name}: {failure.message}", failure, values.error(failure))
        case e.WorkflowCancelled(reason=reason):
            raise errors.WorkflowCancelledError(workflow_id, run_id, reason or "")
        case e.WorkflowTerminated(reason=reason, details=details):
            raise errors.WorkflowTerminatedError(workflow_id, run_id, reason or "", details)
        case e.WorkflowTimedOut():
            raise errors.WorkflowTimedOutError(workflow_id, run_id)
        case e.WorkflowContinuedAsNew(next_run_id=following):
            raise errors.WorkflowContinuedAsNewError(workflow_id, run_id, following)
        case _:
            raise AssertionError(f"{type(ended).__name__} does not end a run")
