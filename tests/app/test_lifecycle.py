"""Starting with every option, cancel with grace, pause, reopen, fork and reset, through the public API over SQLite and threads."""
from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import aionlab
from aionlab.app.lifecycle import Arguments
from aionlab.core import errors
from aionlab.core import events as e
from aionlab.core.status import Status
from aionlab.views.groups import groups
from tests.app import cells
from tests.app.conftest import until
from tests.app.lives import BROKEN, notes, pays, tidies


@pytest.fixture(autouse=True)
def mended() -> None:
    BROKEN.clear()


def kinds(handle: Any) -> list[str]:
    return [type(recorded.event).__name__ for recorded in handle.history()]


# --- starting ----------------------------------------------------------------------------------------------------------


def test_b10_defaults_are_used_and_an_explicit_none_stays_none(lab: Any) -> None:
    for args, kwargs, expected in (((), {}, [2, "go", 4, 5, "none"]), ((3,), {"tip": None}, [6, "go", 12, None, "none"]), ((), {"note": "n", "tip": 0}, [2, "go", 4, 0, "n"])):
        handle = lab.start(pays, *args, signal=("approval", "go"), **kwargs)
        assert handle.result(10) == expected


def test_policies_of_ids(lab: Any) -> None:
    first = lab.start(pays, id="p")
    with pytest.raises(errors.AlreadyStarted, match="use another id") as caught:
        lab.start(pays, id="p")
    assert caught.value.run_id == first.run_id
    assert lab.start(pays, id="p", id_conflict="use_existing") == first
    second = lab.start(pays, id="p", id_conflict="terminate_existing")
    assert second != first and lab.get("p", first.run_id).status is Status.TERMINATED
    second.signal("approval", 1)
    assert second.result(10)[1] == 1
    for policies, wrong in (({"id_reuse": "reject"}, "id_reuse='reject'"), ({"id_reuse": "allow_failed_only"}, "Completed")):
        with pytest.raises(errors.AlreadyStarted, match=wrong):
            lab.start(pays, id="p", **policies)
    again = lab.start(pays, id="p", id_reuse="use_existing", id_conflict="use_existing")
    assert again == second and again.result(10) == second.result(10)
    with pytest.raises(errors.AlreadyStarted, match="as workflow 'pays', a different one"):
        lab.start(cells.quick, 1, id="p", id_reuse="use_existing")
    with pytest.raises(errors.InvalidOption, match="none of 'fail', 'use_existing', 'terminate_existing'"):
        lab.start(pays, id="p", id_conflict="ask")
    with pytest.raises(errors.InvalidName):
        lab.start(pays, id="")


def test_keys_last_as_long_as_the_database(tmp_path: Path) -> None:
    with aionlab.open(tmp_path / "lab.db") as lab:
        first = lab.start(pays, 1, idempotency_key="k")
        named = lab.start(pays, 1, id="n", idempotency_key="k2", signal="approval")
    with aionlab.open(tmp_path / "lab.db") as lab:
        assert lab.start(pays, 1, idempotency_key="k") == first
        assert lab.start(pays, 1, id="n", idempotency_key="k2", signal="approval") == named
        for args, options in (((2,), {}), ((1,), {"id": "other"}), ((1,), {"signal": "approval"})):
            with pytest.raises(errors.InvalidOption, match="another request"):
                lab.start(pays, *args, idempotency_key="k", **options)
        assert sorted(lab.ids()) == sorted([first.id, "n"])


@pytest.fixture
def virtual(tmp_path: Path) -> Any:
    with aionlab.open(tmp_path / "virtual.db", clock="virtual") as opened:
        yield opened


@pytest.mark.parametrize("delay", ["1h", 3600, timedelta(hours=1)], ids=str)
def test_a_delayed_start(virtual: Any, delay: Any) -> None:
    handle = virtual.start(pays, start_delay=delay, signal=("approval", "early"))
    virtual.settle()
    assert kinds(handle) == ["WorkflowStarted", "TimerStarted", "SignalReceived"] and virtual.waiting_for(handle.id) == "its delayed start"
    assert "start delay" in str(handle.describe()) and "begins    2020-01-01 01:00" in str(handle.describe())
    assert [span.id for span in groups(handle.history()) if span.kind == "timer"] == ["start delay"]
    stopped = virtual.start(pays, start_delay=delay)
    stopped.cancel("no need")
    with pytest.raises(errors.WorkflowCancelledError, match="no need"):
        stopped.result(10)
    virtual.clock.skip("1h")
    assert handle.result(10)[:2] == [2, "early"]


def test_deadlines_as_lengths_and_as_points_in_time(virtual: Any) -> None:
    now = virtual.clock.now()
    runs = [virtual.start(cells.nap, "9h", deadline=deadline) for deadline in ("1h", 3600.0, timedelta(hours=1), now + timedelta(hours=1))]
    virtual.clock.skip("59m")
    assert {run.status for run in runs} == {Status.RUNNING}
    virtual.clock.skip("1m")
    virtual.settle()
    assert {run.status for run in runs} == {Status.TIMED_OUT}
    for wrong, match in ((now, "lies in the future"), (datetime(2030, 1, 1), "in which time zone"), ("soon", "not a duration")):
        with pytest.raises(ValueError, match=match):
            virtual.start(cells.nap, deadline=wrong)
    far = datetime(2031, 1, 1, tzinfo=UTC)
    assert virtual.start(cells.nap, deadline=far).history()[0].event.deadline == far.timestamp() * 1e6


def test_signal_with_start(lab: Any) -> None:
    first = lab.signal_with_start(pays, 4, id="p", signal=("approval", "yes"))
    assert first.result(10)[:2] == [8, "yes"]
    waiting = lab.start(cells.order, 1, id="o")
    assert lab.signal_with_start(cells.order, 1, id="o", signal="approval") == waiting
    assert waiting.result(10)["ok"] is None
    for wrong in (7, ("a",), ("a", 1, 2), ["a", 1]):
        with pytest.raises(errors.InvalidOption, match="neither a name nor"):
            lab.signal_with_start(pays, id="p", signal=wrong)
    with pytest.raises(errors.InvalidPayload):
        lab.start(pays, signal=("approval", object()))


def test_a_memo_is_shown_and_can_be_added_to(lab: Any) -> None:
    handle = lab.start(notes, memo={"for": "ada"})
    lab.settle()
    shown = str(handle.describe())
    assert "memo" in shown and "ada" in shown and "two" in shown
    handle.signal("x")
    assert handle.result(10) == {"for": "ada", "stage": "two"}
    assert "just text" in str(lab.start(cells.quick, 1, memo="just text").describe())


# --- cancel, pause -----------------------------------------------------------------------------------------------------


def test_cancel_with_a_reason_and_grace(virtual: Any) -> None:
    slow, quick = virtual.start(tidies), virtual.start(tidies)
    slow.cancel("stock", grace="2h")
    virtual.cancel(quick.id, "stock", grace=60)
    virtual.clock.skip("1h")
    assert slow.result(10) == "tidied after stock"
    with pytest.raises(errors.WorkflowTerminatedError, match="stock") as caught:
        quick.result(10)
    assert "grace period" in caught.value.details
    with pytest.raises(errors.RunClosed, match="Completed"):
        slow.cancel()
    with pytest.raises(errors.RunNotFound, match="did you mean"):
        virtual.start(tidies, id="tidies-1")
        virtual.cancel("tidies-2")


def test_pause_and_resume_may_be_said_twice(lab: Any) -> None:
    handle = lab.start(pays)
    for _ in range(2):
        handle.pause("lunch")
    assert handle.status is Status.PAUSED
    for _ in range(2):
        handle.resume()
    handle.signal("approval", 1)
    assert handle.result(10)[1] == 1
    assert kinds(handle).count("WorkflowPaused") == kinds(handle).count("WorkflowResumed") == 1


# --- reopen ------------------------------------------------------------------------------------------------------------


def test_reopen_goes_on_with_what_had_failed(tmp_path: Path) -> None:
    BROKEN.append("the bank is down")
    with aionlab.open(tmp_path / "lab.db") as lab:
        handle = lab.start(pays, 1, id="p")
        with pytest.raises(errors.WorkflowFailedError, match="the bank is down"):
            handle.result(10)
    BROKEN.clear()
    with aionlab.open(tmp_path / "lab.db") as lab:
        lab.define(pays)
        again = lab.reopen("p", "the bank is back")
        assert again == handle and again.status is Status.RUNNING
        again.signal("approval", "yes")
        assert again.result(10)[:3] == [2, "yes", 4]
        assert kinds(again).count("WorkflowReopened") == 1 and "reopened" in str(again.describe()).lower()
        with pytest.raises(errors.CannotReopen, match="it has its result; fork or reset it"):
            again.reopen()
        with pytest.raises(errors.RunNotFound):
            lab.reopen("q")
        assert lab.call("store", "verify") == [] and lab.call("store", "rebuild_visibility") == 0
    with aionlab.open(tmp_path / "lab.db") as lab:
        assert lab.get("p").result(10)[:3] == [2, "yes", 4]


def test_reopen_under_other_code(tmp_path: Path) -> None:
    with aionlab.open(tmp_path / "lab.db") as lab:
        handle = lab.start(cells.failing, "oh", id="f")
        until(lambda: handle.status is Status.FAILED)
        with pytest.raises(errors.WorkflowNotFound):
            handle.reopen(version="none such")
        assert handle.reopen(version=lab.versions("failing").index[0][:8]) == handle
        until(lambda: handle.status is Status.FAILED)
        assert kinds(handle) == ["WorkflowStarted", "WorkflowFailed", "WorkflowReopened", "WorkflowFailed"]


# --- fork and reset ----------------------------------------------------------------------------------------------------


def seq(handle: Any, kind: type, place: int = 0) -> int:
    return [recorded.seq for recorded in handle.history() if type(recorded.event) is kind][place]


def test_fork(lab: Any) -> None:
    source = lab.start(pays, 1, id="p", signal=("approval", "first"))
    assert source.result(10) == [2, "first", 4, 5, "none"]
    before = list(source.history())
    cut = seq(source, e.ActivityCompleted)
    changed = source.fork(at=cut, signal=("approval", "second"), id="f")
    assert changed.id == "f" and changed.workflow_type == "pays"
    done = changed.result(10)
    assert done[:1] == [2] and done[3:] == [5, "none"]
    for given, expected in ((10, "none"), ((10,), "none"), (Arguments((10,), {"note": "kw"}), "kw"), (pays.signature.bind(10, note="kw"), "kw")):
        again = lab.fork("p", at=1, input=given, signal="approval")
        assert again.result(10) == [20, None, 40, 5, expected]
    assert source.fork(result={0: 50}).result(10)[:3] == [50, "first", 100]
    assert source.fork(result={"bank#1": 9}).result(10)[2] == 9
    assert list(source.history()) == before
    assert "forked" in str(changed.describe()).lower()
    for wrong, options in (
        (errors.InvalidOption, {"at": 999}), (errors.InvalidOption, {}), (errors.InvalidOption, {"result": {"bank#7": 1}}), (errors.AlreadyStarted, {"at": 1, "id": "busy"}),
        (errors.InvalidPayload, {"at": 1, "input": object()}), (errors.InvalidOption, {"at": 1, "code": cells.quick}), (errors.NotAWorkflow, {"at": 1, "code": len}),
        (errors.WorkflowNotFound, {"at": 1, "version": "none such"}), (errors.InvalidOption, {"at": 1, "code": pays, "version": "x"}),
    ):  # fmt: skip
        lab.start(cells.order, id="busy", id_conflict="use_existing")
        with pytest.raises(wrong):
            source.fork(**options)
    with pytest.raises(errors.RunNotFound):
        lab.fork("nobody", at=1)
    assert lab.call("store", "verify") == []


def test_fork_from_the_last_failure_with_other_code(lab: Any) -> None:
    BROKEN.append("down")
    source = lab.start(pays, 3, id="p", signal="approval")
    until(lambda: source.status is Status.FAILED)
    BROKEN.clear()
    assert source.fork().result(10)[:3] == [6, None, 12]
    assert source.fork(at="last_failure", code=pays).result(10)[:3] == [6, None, 12]


def test_reset(lab: Any) -> None:
    first = lab.start(pays, 1, id="p")
    lab.settle()
    second = first.reset(at=1, input=2, reason="twice as much", signal=("approval", "ok"))
    assert second.id == "p" and second != first and second.result(10)[:3] == [4, "ok", 8]
    with pytest.raises(errors.WorkflowTerminatedError, match="reset") as caught:
        first.result(10)
    assert caught.value.details == "twice as much"
    third = lab.reset("p", result={1: 0})
    assert third.result(10)[:3] == [4, "ok", 0]
    assert lab.get("p") == third
    fourth = first.reset(at=seq(first, e.ActivityCompleted), signal=("approval", "late"))
    assert fourth.result(10)[:3] == [2, "late", 4]
    assert lab.call("store", "verify") == []


def test_an_observer_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lab.db"
    with aionlab.open(path) as lab:
        lab.start(pays, id="p").terminate()
    path.chmod(0o400)
    may = os.access
    monkeypatch.setattr(os, "access", lambda name, mode, **more: may(name, mode, **more) and not (mode == os.W_OK and str(name) == str(path)))  # root may write all
    with aionlab.open(path) as looking:
        for verb, arguments in (("reopen", ()), ("fork", (1,)), ("reset", (1,))):
            with pytest.raises(errors.StoreReadOnly):
                getattr(looking, verb)("p", *arguments)
        with pytest.raises(errors.StoreReadOnly):
            looking.signal_with_start("pays", id="p", signal="x")
