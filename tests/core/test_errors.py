"""The errors: all of them in the tree that the module draws, with texts that say what to do, and able to travel."""
from __future__ import annotations

import copy
import pickle
import re
from typing import Any

import pytest

from aionlab.core import errors
from aionlab.core.events import ActivityOptions
from aionlab.core.running import current, running

SAID: list[tuple[Any, str]] = [
    (errors.InvalidPayload("input.a", "no"), "input.a: no"),
    (errors.PayloadTooLarge("input", 3000, 2000), "input: 3,000 bytes encoded, over the limit of 2,000; record a path or a key and keep the data elsewhere"),
    (errors.InvalidAttribute("stage", "is wrong"), "search attribute 'stage': is wrong"),
    (errors.InvalidFilter("staus = 'Failed'", 0, 5, "no field 'staus'"), "no field 'staus'\n  staus = 'Failed'\n  ^^^^^"),
    (errors.WorkflowNotFound("order"), "no workflow 'order' is defined; define it with @workflow or %%workflow first"),
    (errors.WorkflowNotFound("order", "v1", ("a", "b")), "no workflow 'order' in version v1 is defined; known: a, b"),
    (errors.RunNotFound("o-1"), "there is no workflow 'o-1'"),
    (errors.RunNotFound("o-1", "r", ("o-2", "o-3")), "there is no workflow 'o-1' with run r; did you mean 'o-2' or 'o-3'?"),
    (errors.AlreadyStarted("o-1", "r", "Paused"), "o-1 is already started (run r, Paused); use another id, or get its handle"),
    (errors.RunClosed("o-1", "r", "Completed"), "o-1 (run r) is Completed; a closed run takes nothing more"),
    (errors.ProcessNotFound(7), "no process has pid 7; lab.tree() shows the live ones"),
    (errors.NotInWorkflow("workflow.now"), "workflow.now works inside a running workflow only"),
    (errors.CodeRefused("order", ("a", "b")), "order cannot be stored as it stands:\n  - a\n  - b"),
    (errors.QueryFailed("o-1", "total", "raised"), "query 'total' of o-1: raised"),
    (errors.QueryFailed("o-1", "total", "unknown", ("n",)), "query 'total' of o-1: unknown; known: n"),
    (errors.WorkflowFailedError("o-1", "r", "ValueError: x"), "o-1 failed: ValueError: x"),
    (errors.WorkflowCancelledError("o-1", "r"), "o-1 was cancelled"),
    (errors.WorkflowTerminatedError("o-1", "r", "why"), "o-1 was terminated: why"),
    (errors.WorkflowTimedOutError("o-1", "r"), "o-1 ran past its deadline"),
    (errors.ActivityError("charge", 3), "activity charge failed on attempt 3: no reason recorded"),
    (errors.ActivityTimeout("charge", 2, "start_to_close"), "activity charge took longer than its start_to_close timeout on attempt 2"),
    (errors.NondeterminismError("o-1", "r", 4, "timer 0", "activity a#0"), "o-1 diverged at event 4: history has timer 0, the code asked for activity a#0"),
    (errors.StartAborted("o-1", "r", "spawn", ValueError("x")), "o-1 (run r) was not started: spawn failed: x"),
    (errors.ResultTimeout("o-1", 2.5), "o-1 has no result after 2.5 s"),
    (errors.ResultTimeout("o-1", 2, "timer 0"), "o-1 has no result after 2 s; it waits for timer 0"),
    (errors.SequenceConflict("o-1", 3, 5), "o-1 is at event 5, not 3; is a second kernel open on this database?"),
    (errors.StoreLocked("lab.db", "pid 7"), "lab.db is owned by pid 7; read it as an observer, or take it over with takeover=True"),
    (errors.UnknownEventKind(99), "event kind 99 is not known to this version of aionlab; upgrade to read this history"),
    (errors.IllegalEvent("WorkflowPaused", "Completed"), "WorkflowPaused cannot be recorded in a run that is Completed"),
    (errors.IllegalEvent("TimerFired", None), "TimerFired cannot be recorded in a run that is not started"),
]


@pytest.mark.parametrize(("error", "text"), SAID, ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "")
def test_what_an_error_says_and_that_it_travels(error: Any, text: str) -> None:
    assert str(error) == text
    for other in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(other) is type(error) and str(other) == text
        assert {name: repr(value) for name, value in vars(other).items()} == {name: repr(value) for name, value in vars(error).items()}


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = set(re.findall(r"\b[A-Z][A-Za-z]+\b", (errors.__doc__ or "").partition("AionError")[2])) | {"AionError"}
    ours = {name for name, cls in vars(errors).items() if isinstance(cls, type) and issubclass(cls, BaseException) and cls.__module__ == errors.__name__}
    assert ours - {"IllegalEvent"} <= drawn
    for name in ours:
        assert issubclass(getattr(errors, name), errors.AionError)


def test_what_the_caller_can_mend_is_also_the_builtin_kind_of_error() -> None:
    assert issubclass(errors.InvalidPayload, (ValueError, TypeError)) and issubclass(errors.ResultTimeout, TimeoutError)
    assert issubclass(errors.RunNotFound, LookupError) and issubclass(errors.NotAWorkflow, TypeError) and issubclass(errors.NotInWorkflow, RuntimeError)


class Rude:
    def __repr__(self) -> str:
        raise ValueError("no repr")


def test_values_are_shown_short() -> None:
    assert errors.shorten("short") == "'short'"
    long = errors.shorten("x" * 1000)
    assert len(long) < 90 and long.endswith("(1,002 characters)") and "…" in long
    assert errors.shorten(Rude()) == "<Rude>"


def test_the_run_being_stepped_is_found_and_outside_there_is_none() -> None:
    with pytest.raises(errors.NotInWorkflow) as refused:
        running("workflow.now")
    assert refused.value.what == "workflow.now"
    stepped: Any = ActivityOptions()  # anything: the port does not look at what it holds
    token = current.set(stepped)
    try:
        assert running("workflow.now") is stepped
    finally:
        current.reset(token)
