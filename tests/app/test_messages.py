"""Updates, queries and signals as a user has them: through a lab on a file, with a threaded engine."""
from __future__ import annotations

import _thread
import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

import aionlab
from aionlab import activity, workflow
from aionlab.core import errors
from tests.app.conftest import until


@activity
def charge(amount: int) -> int:
    return amount * 2


@workflow
async def cart(qty: int = 1) -> dict[str, Any]:
    """A cart that is changed by updates until it is ordered."""
    state: dict[str, Any] = {"qty": qty, "notes": []}

    def check(qty: int) -> None:
        if qty < 1:
            raise ValueError(f"{qty} is too few")

    def set_qty(qty: int) -> int:
        """Change the quantity; what it was before."""
        before, state["qty"] = state["qty"], qty
        return before

    async def pay(amount: int) -> int:
        paid = await charge(amount)
        await workflow.receive("paid")
        return paid

    def broken() -> None:
        raise errors.ApplicationError("out of stock", "box")

    workflow.on_update("set_qty", set_qty, validator=check)
    workflow.on_update("pay", pay)
    workflow.on_update("broken", broken)
    workflow.on_signal("note", state["notes"].append)
    workflow.on_query("qty", lambda times=1: state["qty"] * times)
    await workflow.receive("order")
    return state


def test_update_and_its_errors(lab: Any) -> None:
    handle = lab.start(cart, 2, id="c")
    assert lab.update("c", "set_qty", 5) == 2 and handle.update("set_qty", qty=7) == 5
    assert handle.query("qty", times=3) == 21
    with pytest.raises(errors.UpdateRejected, match="0 is too few") as refused:
        handle.update("set_qty", 0)
    assert isinstance(refused.value.cause, ValueError)
    with pytest.raises(errors.UpdateRejected, match="known: set_qty, pay, broken"):
        handle.update("set_quantity", 1)
    with pytest.raises(errors.UpdateFailedError, match="out of stock") as failed:
        handle.update("broken")
    assert isinstance(failed.value.cause, errors.ApplicationError) and failed.value.cause.details == ("box",)
    with pytest.raises(errors.InvalidPayload):
        handle.update("set_qty", object())
    handle.signal("order")
    assert handle.result(10) == {"qty": 7, "notes": []}
    with pytest.raises(errors.RunClosed):
        handle.update("set_qty", 1)


def test_an_update_that_takes_its_time(lab: Any) -> None:
    handle = lab.start(cart, id="c")
    update = handle.start_update("pay", 21, update_id="p")
    assert not update.done and repr(update) == "<Update pay p of c>" and update.handle == handle
    with pytest.raises(errors.ResultTimeout, match="signal 'order'"):
        update.result(0.05)
    with pytest.raises(errors.ResultTimeout):
        handle.update("pay", 21, update_id="p", timeout=0.05)
    found = lab.get_update("c", "p")
    handle.signal("paid")
    assert update.result(10) == found.result(10) == handle.update("pay", 99, update_id="p") == 42

    async def main() -> list[Any]:
        return [await lab.get_update("c", "p"), await found]

    assert asyncio.run(main()) == [42, 42]
    with pytest.raises(errors.UpdateNotFound):
        lab.get_update("c", "q")


def test_an_interrupt_stops_the_wait_and_not_the_update(lab: Any) -> None:
    handle = lab.start(cart, id="c")

    def interrupt() -> None:
        until(lambda: any(call.verb == "update_result" for call in lab.host.engine.find("c").waiters or ()))
        _thread.interrupt_main()

    watcher = threading.Thread(target=interrupt)
    watcher.start()
    with pytest.raises(KeyboardInterrupt) as stop:
        handle.update("pay", 4, update_id="p")
    watcher.join()
    assert "goes on" in str(stop.value) and "lab.get_update('c', 'p')" in str(stop.value)
    handle.signal("paid")
    assert stop.value.update.result(10) == 8  # type: ignore[attr-defined]


def test_an_update_survives_closing_the_lab(tmp_path: Path) -> None:
    with aionlab.open(tmp_path / "lab.db") as lab:
        waiting = lab.start(cart, id="c").start_update("pay", 4, update_id="p")
    with pytest.raises(errors.StoreUnavailable):
        waiting.result(5)
    with aionlab.open(tmp_path / "lab.db") as lab:
        lab.define(cart)
        update = lab.get_update("c", "p")
        lab.signal("c", "paid")
        assert update.result(10) == 8
        lab.terminate("c")
        assert lab.update("c", "pay", 1, update_id="p") == 8


def test_an_update_the_run_leaves_unfinished(lab: Any) -> None:
    handle = lab.start(cart, id="c")
    update = handle.start_update("pay", 4)
    handle.signal("order")
    with pytest.raises(errors.UpdateUnfinished, match="ended .Completed"):
        update.result(10)


def test_update_with_start(lab: Any) -> None:
    update = lab.update_with_start(cart, 2, update=("set_qty", 5), id="c", update_id="u", memo="first")
    assert update.result(10) == 2 and update.handle.query("qty") == 5
    again = lab.update_with_start("cart", 9, update=("set_qty", 7), id="c", update_id="u")
    assert (again.handle, again.result(10)) == (update.handle, 2)
    other = lab.update_with_start(cart, update=("set_qty", 7), id="c", id_conflict="use_existing")
    assert other.handle == update.handle and other.result(10) == 5
    with pytest.raises(errors.AlreadyStarted):
        lab.update_with_start(cart, update=("set_qty", 7), id="c")
    with pytest.raises(errors.UpdateRejected, match="too few"):
        lab.update_with_start(cart, update=("set_qty", 0), id="d")
    assert lab.query("d", "qty") == 1


def test_a_query_of_a_closed_run(lab: Any) -> None:
    """C07 Given a closed run, then queries still answer; with reject-if-not-open they are rejected with the status."""
    handle = lab.start(cart, 3, id="c")
    handle.update("set_qty", 4)
    assert handle.query("qty", reject_if_closed=True) == 4
    handle.signal("order")
    handle.result(10)
    assert handle.query("qty", 2) == 8
    for ask in (handle.query, lambda *a, **k: lab.query("c", *a, **k)):
        with pytest.raises(errors.RunClosed, match="Completed"):
            ask("qty", reject_if_closed=True)


def test_what_a_run_can_be_told_and_asked(lab: Any) -> None:
    handle = lab.start(cart, id="c")
    told = {(h.kind, h.name): (h.signature, h.summary) for h in handle.handlers()}
    assert told["update", "set_qty"] == ("(qty: int)", "Change the quantity; what it was before.")
    assert told["query", "qty"] == ("(times=1)", "") and ("signal", "note") in told and told["signal", "order"] == ("", "")
    assert lab.update_names("c") == ["set_qty", "pay", "broken"]
    assert lab.query_names("c") == ["qty"] and lab.signal_names("c") == ["order", "note"]
    shown = str(handle.describe()._repr_mimebundle_()["text/plain"])
    assert "set_qty(qty: int)" in shown and "qty(times=1)" in shown
    handle.terminate()
    until(lambda: not handle.handlers())


def test_signals_between_runs(lab: Any) -> None:
    @workflow
    async def passes_on(to: str) -> str:
        await workflow.send(to, "note", "from a workflow")
        try:
            await workflow.send("nobody", "note")
        except errors.RunNotFound as error:
            return str(error)
        return "sent"

    handle = lab.start(cart, id="c")
    assert lab.start(passes_on, "c").result(10) == "there is no workflow 'nobody'"
    handle.signal("order")
    assert handle.result(10)["notes"] == ["from a workflow"]
