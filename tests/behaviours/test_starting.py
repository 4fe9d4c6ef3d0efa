"""Starting and ids, as peer suites pin them down."""
from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from aionlab import activity, workflow
from aionlab.core import errors
from aionlab.core import events as e
from aionlab.core.status import Status
from tests.behaviours.reading import kinds, of

CALLS: list[Any] = []


@pytest.fixture(autouse=True)
def no_calls() -> None:
    CALLS.clear()


@activity
def step(n: int) -> int:
    CALLS.append(n)
    if n < 0:
        raise ValueError(f"{n} is too few")
    return n * 2


@workflow
async def quick(n: int = 1) -> int:
    return await step(n)


@workflow
async def waits(name: str = "go") -> Any:
    return await workflow.receive(name)


def test_given_a_running_id_when_started_again_with_the_default_policy_then_already_started(lab: Any) -> None:
    """B01 Given a running id, when started again with default policy, then "already started"."""
    handle = lab.start(waits, id="w")
    before = handle.history().to_json()
    with pytest.raises(errors.AlreadyStarted, match="already started") as refused:
        lab.start(waits, "other", id="w")
    assert (refused.value.workflow_id, refused.value.run_id, refused.value.status) == ("w", handle.run_id, "Running")
    assert handle.history().to_json() == before and len(lab.runs()) == 1


def test_given_a_paused_id_when_started_again_then_already_started_too(lab: Any) -> None:
    """B01, its neighbour: a paused run is open, and so is one that is not in memory or has not begun."""
    lab.start(waits, id="paused").pause()
    lab.start(waits, id="suspended").suspend()
    lab.start(waits, id="delayed", start_delay="1h")
    for name in ("paused", "suspended", "delayed"):
        with pytest.raises(errors.AlreadyStarted):
            lab.start(waits, id=name)


def test_given_a_closed_id_when_restarted_with_reject_then_an_error_carrying_the_existing_run_id_with_allow_a_new_run(lab: Any) -> None:
    """B03 Given a closed id, when restarted with REJECT_DUPLICATE, then an error carrying the *existing* run id; with ALLOW_DUPLICATE, a new run."""
    first = lab.start(quick, 1, id="q")
    assert first.result() == 2
    with pytest.raises(errors.AlreadyStarted, match="id_reuse='reject'") as refused:
        lab.start(quick, 2, id="q", id_reuse="reject")
    assert refused.value.run_id == first.run_id and CALLS == [1]
    second = lab.start(quick, 3, id="q", id_reuse="allow")
    assert second.run_id != first.run_id and second.result() == 6
    with pytest.raises(errors.AlreadyStarted) as refused:
        lab.start(quick, 4, id="q", id_reuse="reject")
    assert refused.value.run_id == second.run_id and first.result() == 2


@pytest.mark.parametrize(("end", "taken"), [("complete", False), ("fail", True), ("cancel", True), ("terminate", True), ("time out", True)])
def test_allow_failed_only_lets_a_run_follow_one_that_did_not_complete(lab: Any, end: str, taken: bool) -> None:
    """B03, its neighbour."""
    handle = lab.start(quick, -1 if end == "fail" else 1, id="q") if end in ("complete", "fail") else lab.start(waits, id="q", deadline="1h")
    if end in ("cancel", "terminate"):
        getattr(handle, end)()
    lab.clock.skip("2h")
    assert handle.status.closed
    if taken:
        assert lab.start(quick, 2, id="q", id_reuse="allow_failed_only").result() == 4
    else:
        with pytest.raises(errors.AlreadyStarted):
            lab.start(quick, 2, id="q", id_reuse="allow_failed_only")


def test_given_a_completed_id_when_the_same_call_is_made_again_then_the_recorded_result_returns_and_nothing_runs(lab: Any) -> None:
    """B04 Given a completed id, when the same call is made again, then the recorded result returns and neither body nor steps run; a recorded
    failure re-raises likewise.

    Ours: the same call is one with `id_reuse="use_existing"`, or with an idempotency key.
    """
    assert lab.start(quick, 1, id="q", id_reuse="use_existing", id_conflict="use_existing").result() == 2
    assert lab.start(quick, 1, idempotency_key="k").result() == 2
    for n in (-1, -2):
        with pytest.raises(errors.WorkflowFailedError, match="too few"):
            lab.start(quick, n, id=f"f{n}", id_reuse="use_existing").result()
    count, runs = len(CALLS), len(lab.runs())
    assert lab.start(quick, 1, id="q", id_reuse="use_existing", id_conflict="use_existing").result() == 2
    assert lab.start(quick, 1, idempotency_key="k").result() == 2
    with pytest.raises(errors.WorkflowFailedError, match="-1 is too few") as failed:
        lab.start(quick, -1, id="f-1", id_reuse="use_existing").result()
    assert isinstance(failed.value.cause, errors.ActivityError) and isinstance(failed.value.cause.cause, ValueError)
    assert (len(CALLS), len(lab.runs())) == (count, runs)


def test_an_idempotency_key_outlives_the_lab_and_another_request_under_it_is_refused(lab: Any, lab_factory: Callable[..., Any]) -> None:
    """B04, its neighbour."""
    first = lab.start(quick, 1, idempotency_key="k")
    lab.close()
    again = lab_factory("lab")
    assert again.start(quick, 1, idempotency_key="k") == first and CALLS == [1]
    with pytest.raises(errors.UsageError, match="k"):
        again.start(quick, 2, idempotency_key="k")
    assert CALLS == [1] and len(again.runs()) == 1


def test_given_an_id_used_by_one_workflow_when_another_is_started_under_it_then_an_error_naming_the_other(lab: Any) -> None:
    """B06 Given an id already used by function f, when g is started under it, then an error "already exists with a different function name"."""
    lab.start(waits, id="open")
    assert lab.start(quick, id="closed").result() == 2
    for name, started, theirs, policy in (("open", quick, "waits", {"id_conflict": "use_existing"}), ("closed", waits, "quick", {"id_reuse": "use_existing"})):
        with pytest.raises(errors.AlreadyStarted, match=f"already started as workflow '{theirs}', a different one") as refused:
            lab.start(started, id=name, **policy)
        assert refused.value.workflow_type == theirs
    with pytest.raises(errors.AlreadyStarted, match="different one"):
        lab.start(quick, id="open")


@pytest.mark.parametrize("name", ["", " ", "a\0b", "x" * 10_000, 7, "aion.schedules/x"], ids=["empty", "blank", "nul", "long", "number", "ours"])
def test_given_an_empty_id_then_it_is_rejected(lab: Any, name: Any) -> None:
    """B07 Given an empty-string id, then it is rejected. (Its neighbours: other names nobody could say again.)"""
    with pytest.raises(errors.InvalidName, match="workflow id"):
        lab.start(quick, id=name)
    with pytest.raises(errors.InvalidName):
        lab.signal_with_start(waits, signal="go", id=name)
    assert lab.ids() == [] and CALLS == []


def test_given_an_empty_id_found_in_the_store_then_it_is_never_run_again(lab: Any, lab_factory: Callable[..., Any]) -> None:
    """B07 …; if found in the store, the row is dead-lettered, never re-run.

    Ours: an id can be empty only in a file that something else has written, and recorded runs of such a file wait until it is trusted.
    """
    lab.start(waits, id="w")
    lab.start(waits, id="v")
    lab.close()
    with sqlite3.connect(lab.path) as database:
        database.execute("UPDATE workflow SET id = '' WHERE id = 'w'")
    database.close()
    again = lab_factory("lab")
    assert "trust" in again.waiting_for("v") and "trust" in again.waiting_for("")
    with pytest.raises(errors.InvalidName, match="it is empty"):
        again.signal("", "go")
    assert [str(row.status) for row in again.runs()] == ["Running", "Running"] and kinds(again.get("v")) == ["WorkflowStarted"]


def test_given_signal_with_start_on_a_new_id_then_the_run_starts_and_sees_the_signal_in_its_first_task(lab: Any) -> None:
    """B08 Given signal-with-start on a new id, then the run starts and sees the signal in its first task."""
    handle = lab.signal_with_start(waits, id="w", signal=("go", {"n": 1}))
    assert handle.result() == {"n": 1}
    assert kinds(handle) == ["WorkflowStarted", "SignalReceived", "WorkflowCompleted"]
    first, second, _ = handle.history()
    assert first.at == second.at


def test_given_signal_with_start_on_an_open_id_then_the_run_there_is_gets_the_signal_and_on_a_closed_one_a_new_run(lab: Any) -> None:
    """B08, its neighbours: an open run takes it, a closed one is followed; nothing is sent where the start is refused."""
    open_run = lab.start(waits, id="w")
    assert lab.signal_with_start(waits, id="w", signal=("other", 1)) == open_run and len(of(open_run, e.SignalReceived)) == 1
    lab.signal_with_start(waits, id="w", signal="go")
    assert open_run.result() is None
    second = lab.signal_with_start(waits, id="w", signal=("go", 2))
    assert second.run_id != open_run.run_id and second.result() == 2
    with pytest.raises(errors.AlreadyStarted):
        lab.signal_with_start(waits, id="w", signal=("go", 3), id_reuse="reject")
    assert len(of(second, e.SignalReceived)) == 1


def test_given_start_delay_then_the_first_event_records_it_and_nothing_runs_before(lab: Any) -> None:
    """B09 Given `start_delay`, then the first event records it and nothing runs before."""
    began = lab.clock.now()
    handle = lab.start(quick, 3, start_delay="1h")
    (started,) = of(handle, e.WorkflowStarted)
    assert started.begins_at == round(began.timestamp() * 1e6) + 3600 * 10**6
    lab.clock.skip("59m")
    assert CALLS == [] and handle.status is Status.RUNNING and "ActivityScheduled" not in kinds(handle)
    lab.clock.skip("1m")
    assert handle.result() == 6 and CALLS == [3]


def test_a_delay_survives_a_crash_and_a_cancel_before_it_is_over_runs_nothing(lab: Any, crash_at: Callable[..., Any]) -> None:
    """B09, its neighbours."""
    lab.start(quick, 3, id="stays", start_delay="1h")
    lab.start(quick, 4, id="goes", start_delay="1h")
    with crash_at("committed") as crash:
        lab.start(quick, 5, id="other", start_delay="1h")
    again = crash.reopen()
    again.define(quick)
    again.cancel("goes")
    again.clock.skip("1h")
    assert sorted(CALLS) == [3, 5] and again.get("stays").result() == 6 and again.get("other").result() == 10
    with pytest.raises(errors.WorkflowCancelledError):
        again.get("goes").result()


@workflow
async def tips(n: int, tip: int | None = 5, *, note: str = "none") -> list[Any]:
    return [n, tip, note]


def test_given_a_default_parameter_and_no_argument_then_the_default_is_used_and_an_explicit_none_stays_none(lab: Any) -> None:
    """B10 Given a default parameter and no argument, then the default is used; explicit None stays None."""
    assert lab.start(tips, 1).result() == [1, 5, "none"]
    assert lab.start(tips, 1, None).result() == [1, None, "none"]
    assert lab.start(tips, 1, tip=None, note="x").result() == [1, None, "x"]
    assert lab.start("tips", 1, tip=0).result() == [1, 0, "none"]


def test_a_default_is_that_of_the_version_a_run_is_on_also_when_it_is_replayed(lab: Any) -> None:
    """B10, its neighbour: a default belongs to the code; changing it later changes no run in flight."""

    @workflow
    async def defaults(n: int = 1) -> int:
        await workflow.receive("go")
        return n

    first = lab.start(defaults)
    old = first

    @workflow(name="defaults")
    async def changed(n: int = 2) -> int:
        await workflow.receive("go")
        return n

    second = lab.start(changed)
    for handle in (old, second):
        handle.suspend()
        handle.signal("go")
    assert [old.result(), second.result()] == [1, 2]


def test_arguments_that_do_not_fit_are_refused_before_anything_is_written(lab: Any) -> None:
    """B10, its neighbour."""
    for args, kwargs in (((), {}), ((1, 2, 3), {}), ((1,), {"n": 2}), ((1,), {"tipp": 2})):
        with pytest.raises(errors.UsageError, match="tips"):
            lab.start(tips, *args, **kwargs)
    assert lab.ids() == []


@workflow
async def cart(qty: int) -> dict[str, Any]:
    state: dict[str, Any] = {"qty": qty, "log": ["made"]}

    def add(more: int) -> dict[str, Any]:
        state["qty"] += more
        state["log"].append(f"added {more}")
        return dict(state)

    workflow.on_update("add", add)
    await workflow.receive("order")
    return state


def test_given_state_set_up_first_and_an_update_delivered_in_the_first_task_then_the_handler_sees_that_state(lab: Any) -> None:
    """B11 Given constructor-init enabled and an update delivered in the first task, then the handler sees constructor state.

    Ours: a workflow is a function, and what it does before its first await has happened when the first message is delivered.
    """
    update = lab.update_with_start(cart, 2, update=("add", 3), id="c")
    assert update.result() == {"qty": 5, "log": ["made", "added 3"]}
    assert kinds(lab.get("c"))[:3] == ["WorkflowStarted", "UpdateAccepted", "UpdateCompleted"]


def test_a_start_of_a_workflow_nobody_defined_writes_nothing_and_names_those_there_are(lab: Any) -> None:
    """B01, its neighbour: what cannot be resolved leaves no id behind."""
    lab.define(quick)
    with pytest.raises(errors.WorkflowNotFound, match=r"quikc.*known: quick"):
        lab.start("quikc", id="w")
    assert lab.ids() == []
    with pytest.raises(errors.RunNotFound):
        lab.get("w")


@pytest.mark.parametrize(
    "options",
    [
        {"deadline": "soon"}, {"deadline": -1}, {"deadline": []}, {"deadline": 0}, {"start_delay": "-1s"}, {"start_delay": float("nan")}, {"id_conflict": "ask"},
        {"id_reuse": "never"}, {"version": ""}, {"signal": ("go",)}, {"signal": 3}, {"start_delay": "2h", "deadline": "1h"},
    ],
    ids=str,
)  # fmt: skip
def test_options_that_make_no_sense_are_refused_in_our_words_and_nothing_is_started(lab: Any, options: dict[str, Any]) -> None:
    """B09, its neighbours."""
    lab.define(quick)
    with pytest.raises(errors.InvalidOption):
        lab.start("quick", 1, id="w", **options)
    for wrong in ((), 3, None):
        with pytest.raises(errors.InvalidOption, match="neither a name nor"):
            lab.update_with_start(cart, 1, update=wrong, id="w")
    assert lab.ids() == [] and CALLS == []
