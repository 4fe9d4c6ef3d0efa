"""Every method of the lab once, over SQLite and threads."""
from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import aionlab
from aionlab.core import errors
from aionlab.core.status import Status
from tests.app import cells
from tests.app.conftest import until


def test_start_wait_signal_result(lab: Any) -> None:
    handle = lab.start(cells.order, 21, rush=True, id="o-1")
    assert (handle.id, handle.workflow_type, handle.status) == ("o-1", "order", Status.RUNNING)
    lab.settle()
    assert lab.waiting_for("o-1").startswith("signal 'approval'")
    assert handle.query("status") == lab.query("o-1", "status") == "waiting"
    assert handle.signal("approval", {"by": "ada"}) is True
    assert handle.result(10) == {"paid": 42, "ok": {"by": "ada"}, "rush": True}
    assert lab.get("o-1") == handle and lab.get("o-1", handle.run_id).result() == handle.result()
    assert handle.query("status") == "waiting", "a closed run answers too"
    assert hash(handle) == hash(lab.get("o-1")) and repr(handle).startswith("<Handle order o-1 (")
    assert "text/plain" in handle._repr_mimebundle_()


def test_start_by_name_with_minted_ids(lab: Any) -> None:
    assert lab.start(cells.quick, 1).result(10) == 2
    minted = lab.start("quick", 2)
    assert minted.id.startswith("wf-") and minted.result(10) == 3
    version = lab.versions("quick").index[0]
    assert lab.start("quick", 3, version=version[:8]).result(10) == 4


def test_what_a_start_refuses(lab: Any) -> None:
    lab.start(cells.order, 1, id="taken")
    with pytest.raises(errors.AlreadyStarted, match="taken is already started"):
        lab.start(cells.order, 1, id="taken")
    with pytest.raises(errors.WorkflowNotFound):
        lab.start("nothing")
    with pytest.raises(errors.WorkflowNotFound):
        lab.start("order", 1, version="no such version")
    with pytest.raises(errors.InvalidName):
        lab.start(cells.order, 1, id="a\0b")
    with pytest.raises(errors.InvalidPayload):
        lab.start(cells.order, object())
    with pytest.raises(errors.InvalidOption):
        lab.start(cells.order, 1, 2, 3, 4)
    with pytest.raises(errors.InvalidAttribute):
        lab.start(cells.order, 1, search_attributes={"unheard": 1})
    with pytest.raises(errors.NotAWorkflow):
        lab.start(len, 1)
    with pytest.raises(errors.NotAWorkflow):
        lab.define(cells.charge)
    assert lab.ids() == ["taken"], "nothing was written"


def test_an_idempotency_key_starts_once(lab: Any) -> None:
    first = lab.start(cells.quick, 1, idempotency_key="k")
    assert lab.start(cells.quick, 1, idempotency_key="k") == first
    with pytest.raises(errors.InvalidOption, match="another request"):
        lab.start(cells.quick, 2, idempotency_key="k")
    waiting = lab.start(cells.order, 1, id="o")
    assert [waiting.signal("x", 1, idempotency_key="s"), waiting.signal("x", 1, idempotency_key="s")] == [True, False]


def test_outcomes(lab: Any) -> None:
    with pytest.raises(errors.WorkflowFailedError, match="ValueError: oh") as failed:
        lab.start(cells.failing, "oh").result(10)
    assert isinstance(failed.value.cause, ValueError)
    cancelled = lab.start(cells.order, 1, id="c")
    lab.settle()
    lab.cancel("c", "no stock")
    with pytest.raises(errors.WorkflowCancelledError):
        cancelled.result(10)
    terminated = lab.start(cells.order, 1, id="t")
    lab.terminate("t", "oops", "details")
    with pytest.raises(errors.WorkflowTerminatedError) as ended:
        terminated.result(10)
    assert ended.value.details == "details"
    with pytest.raises(errors.WorkflowTimedOutError):
        lab.start(cells.order, 1, deadline="20ms").result(10)
    with pytest.raises(errors.ResultTimeout, match="signal 'approval'"):
        lab.start(cells.order, 1, id="slow").result(0.3)
    with pytest.raises(errors.RunClosed):
        lab.signal("t", "approval")
    with pytest.raises(errors.RunNotFound, match="did you mean"):
        lab.get("slo")


def test_verbs_of_a_handle(lab: Any) -> None:
    handle = lab.start(cells.order, 1, id="o")
    lab.settle()
    handle.pause("lunch")
    assert handle.status is Status.PAUSED
    handle.signal("approval", 1)
    handle.resume()
    assert handle.result(10)["ok"] == 1
    other = lab.start(cells.patient, 1, id="p")
    lab.settle()
    other.suspend()
    assert lab.registry().entries[0].residency == "Suspended"
    other.cancel("enough")
    with pytest.raises(errors.WorkflowCancelledError):
        other.result(10)
    third = lab.start(cells.order, 1, id="q")
    third.terminate("x")
    assert third.status is Status.TERMINATED


def test_kill_comes_back_by_replay(lab: Any) -> None:
    handle = lab.start(cells.order, 4, id="o")
    lab.settle()
    (entry,) = lab.registry()
    assert "o" in lab.kill(entry.pid)
    lab.settle()
    (again,) = lab.registry()
    assert again.pid != entry.pid and again.residency == "Resident"
    handle.signal("approval")
    assert handle.result(10)["paid"] == 8
    with pytest.raises(errors.ProcessNotFound):
        lab.kill(entry.pid)


def test_looking(lab: Any) -> None:
    handle = lab.start(cells.order, 4, id="o")
    lab.settle()
    assert list(lab.events("o")["event"])[:2] == list(handle.events()["event"])[:2]
    assert len(lab.events("o", full=True)) == len(handle.history()) == len(lab.events("o", run_id=handle.run_id))
    assert "order" in repr(handle.describe()) and "order" in repr(lab.describe("o"))
    assert repr(lab.timeline("o")) and repr(handle.timeline()) and "1 workflow" in repr(lab.tree())
    assert lab.status().progress.running == 1 and "1 running" in repr(lab.status())
    assert lab.ids() == ["o"] and lab.signal_names("o") == ["approval"] and lab.query_names("o") == ["status"]
    assert lab.workflow_types() == ["order"] and "async def order" in str(lab.code("order")) and "async def order" in repr(lab.code())
    assert handle.stack()[0][0] == "signal 'approval'"
    assert [run.workflow_id for run in lab.runs(status="running", type="order")] == ["o"]
    with pytest.raises(errors.InvalidOption, match="no status 'runing'"):
        lab.runs(status="runing")
    assert lab.sqlite.execute("select count(*) from history").fetchone()[0] == len(handle.history())
    assert repr(lab) == "<Lab lab.db>" and lab._repr_mimebundle_() == {"text/plain": "<Lab lab.db>"}
    for ask in (lab.events, lab.describe, lab.timeline, lab.get):
        with pytest.raises(errors.RunNotFound):
            ask("nobody")


def test_search_attributes(lab: Any) -> None:
    lab.register_search_attribute("customer", "keyword")
    lab.start(cells.labelled, "acme", id="a")
    lab.start(cells.order, 1, id="b", search_attributes={"customer": "zeta"})
    lab.settle()
    assert [run.workflow_id for run in lab.runs(customer="acme")] == ["a"]
    assert [run.workflow_id for run in lab.runs(customer="zeta", limit=1)] == ["b"]


def test_history_as_a_value(lab: Any, tmp_path: Path) -> None:
    handle = lab.start(cells.quick, 1, id="q")
    handle.result(10)
    history = handle.history()
    assert [recorded.seq for recorded in history] == list(range(1, len(history) + 1)) and history[0].event is history[:1][0].event
    assert len(history.to_frame()) == len(history.to_frame(full=True)) == len(history)
    assert len(history.groups()) == 0 and repr(history) == f"<History of q: {len(history)} events, Completed>"
    saved = json.loads(history.save(tmp_path / "q.json").read_text())
    assert saved == json.loads(history.to_json()) and saved["workflow_id"] == "q" and len(saved["events"]) == len(history)


def test_the_clock_of_a_virtual_lab(tmp_path: Path) -> None:
    with aionlab.open(tmp_path / "v.db", clock="virtual", deterministic=1) as lab:
        assert lab.clock.virtual and not lab.clock.auto and lab.clock.now() == datetime(2020, 1, 1, tzinfo=UTC)
        handle = lab.start(cells.nap, "1h")
        assert (handle.id, lab.settle()) == ("wf-0001", True)
        assert lab.clock.skip("30m") == datetime(2020, 1, 1, 0, 30, tzinfo=UTC)
        assert not handle.status.closed
        assert lab.clock.skip_to_next_timer() == datetime(2020, 1, 1, 1, tzinfo=UTC)
        assert handle.result(10).startswith("2020-01-01 01:00:00")
        assert lab.clock.skip_to_next_timer() is None
        lab.clock.auto = True
        assert lab.start(cells.nap, "30d").result(10).startswith("2020-01-31") and "goes on by itself" in repr(lab.clock)
    with aionlab.open(tmp_path / "v.db", clock="virtual", deterministic=1) as again:
        assert again.start(cells.quick, 1).id == "wf-0003"
        assert again.clock.now() >= datetime(2020, 1, 31, tzinfo=UTC)


def test_the_clock_of_a_real_lab(lab: Any) -> None:
    assert not lab.clock.virtual and abs((datetime.now(UTC) - lab.clock.now()).total_seconds()) < 30 and repr(lab.clock).startswith("<real clock")
    for act in (lambda: lab.clock.skip("1s"), lab.clock.skip_to_next_timer, lambda: setattr(lab.clock, "auto", True)):
        with pytest.raises(errors.InvalidOption, match="real clock"):
            act()


def test_defining_again(lab: Any) -> None:
    card = lab.define(cells.quick)
    assert card.is_new and card.name == "quick" and not lab.define(cells.quick).is_new
    frame = lab.versions("quick")
    assert len(frame) == 1 and bool(frame["trusted"].iloc[0])
    assert lab.trust() == "trusted: 0 runs come back"
    uses = lab.define(cells.order).activities
    assert [use.name for use in uses] == ["charge"]


def test_settle_gives_up(lab: Any) -> None:
    from aionlab.core.ports import Finished

    lab.start(cells.order, 1, id="o")
    assert lab.settle(10) is True
    lab.host.engine.in_flight[99, 0] = Finished  # an attempt that never ends
    assert lab.settle(0.2) is False
    lab.host.engine.in_flight.clear()
    assert lab.settle(10) is True


def test_await(lab: Any) -> None:
    import asyncio

    async def main() -> list[Any]:
        return list(await asyncio.gather(lab.start(cells.quick, 1), lab.start(cells.quick, 2)))

    assert asyncio.run(main()) == [2, 3]


def test_a_cancelled_await_leaves_the_run_alone(lab: Any) -> None:
    import asyncio

    handle = lab.start(cells.order, 1, id="o")

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.ensure_future(handle._wait()), 0.1)

    asyncio.run(main())
    assert not handle.status.closed
    until(lambda: not lab.host.engine.find("o").waiters)
    handle.signal("approval")
    assert handle.result(10)["paid"] == 2


def test_a_closed_lab_says_so(tmp_path: Path) -> None:
    lab = aionlab.open(tmp_path / "lab.db")
    handle = lab.start(cells.order, 1)
    lab.close()
    lab.close()
    assert repr(lab) == "<Lab lab.db (closed)>"
    for act in (lab.runs, handle.result, lambda: lab.start(cells.order, 1), lab.status, lambda: lab.signal("o", "x")):
        with pytest.raises(errors.StoreUnavailable, match="closed"):
            act()


def test_options_that_make_no_sense(tmp_path: Path) -> None:
    for options in ({"clock": "wall"}, {"synchronous": "OFF"}):
        with pytest.raises(errors.InvalidOption):
            aionlab.open(tmp_path / "lab.db", **options)  # type: ignore[arg-type]
    assert list(tmp_path.glob("*.db*")) == []


def test_a_card_shows_what_the_code_says_of_itself(lab: Any) -> None:
    """I07 Given summaries/details on run, timer, activity and handlers, then they are in the history and in describe."""

    handle = lab.start(cells.packs)
    assert "packing **3** boxes" in repr_of(handle.describe())
    handle.signal("go")
    handle.result(5)
    until(lambda: "all gone" in repr_of(handle.describe()))


def repr_of(shown: Any) -> str:
    return str(shown._repr_mimebundle_()["text/plain"])
