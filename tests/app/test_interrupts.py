"""An interrupt at the worst moment: what came of the verb is told, and never in doubt."""
from __future__ import annotations

import os
import signal
import threading
from typing import Any

import pytest

import aionlab
from aionlab.app.interrupts import Hold
from tests.app import cells
from tests.app.conftest import until


def interrupt_at(lab: Any, moment: threading.Event, go_on: threading.Event) -> threading.Thread:
    """Interrupt this process once `moment` is set and a verb waits for its answer, and let the engine go on then."""

    def work() -> None:
        moment.wait(20)
        until(lambda: getattr(signal.getsignal(signal.SIGINT), "__func__", None) is Hold._note)
        os.kill(os.getpid(), signal.SIGINT)
        go_on.set()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def verb(lab: Any, name: str, carry_out: Any) -> Any:
    """Put a verb into this engine's table; the one of before."""
    engine = lab.host.engine
    before = engine.verbs.get(name)
    engine.verbs = {**engine.verbs, name: carry_out}
    return before


def test_a_start_that_no_turn_has_taken_is_withdrawn(lab: Any) -> None:
    lab.define(cells.quick)
    busy, free = threading.Event(), threading.Event()
    verb(lab, "hold up", lambda engine: (busy.set(), free.wait(20)))
    lab.ask("hold up")
    thread = interrupt_at(lab, busy, threading.Event())
    with pytest.raises(KeyboardInterrupt, match="nothing was started") as stopped:
        lab.start("quick", 1, id="o-1")
    assert not hasattr(stopped.value, "handle")
    free.set()
    thread.join()
    lab.settle()
    assert lab.ids() == []


@pytest.mark.parametrize(("name", "says"), [("o-1", "o-1 was started"), ("taken", "nothing was started: taken is already started")])
def test_a_start_that_a_turn_has_taken_is_told(lab: Any, name: str, says: str) -> None:
    lab.start(cells.order, 1, id="taken")
    lab.define(cells.quick)
    taken, go_on = threading.Event(), threading.Event()
    begin = verb(lab, "start", lambda engine, request: (taken.set(), go_on.wait(20), begin(engine, request))[2])
    thread = interrupt_at(lab, taken, go_on)
    with pytest.raises(KeyboardInterrupt, match=says) as stopped:
        lab.start("quick", 1, id=name)
    thread.join()
    assert name in lab.ids() and (getattr(stopped.value, "handle", None) is not None) is (name == "o-1")


def test_a_signal_is_told_too(lab: Any) -> None:
    handle = lab.start(cells.order, 1, id="o-1")
    lab.settle()
    taken, go_on = threading.Event(), threading.Event()
    send = verb(lab, "signal", lambda engine, *arguments: (taken.set(), go_on.wait(20), send(engine, *arguments))[2])
    thread = interrupt_at(lab, taken, go_on)
    with pytest.raises(KeyboardInterrupt, match="'approval' was sent to o-1"):
        handle.signal("approval", 1)
    thread.join()
    assert handle.result(10)["ok"] == 1


def test_an_interrupted_close_closes(tmp_path: Any) -> None:
    lab = aionlab.open(tmp_path / "closing.db")
    busy, free = threading.Event(), threading.Event()
    verb(lab, "hold up", lambda engine: (busy.set(), free.wait(20)))
    lab.ask("hold up")
    thread = interrupt_at(lab, busy, free)
    with pytest.raises(KeyboardInterrupt):
        lab.close()
    thread.join()
    assert lab.closed and not (tmp_path / "closing.db.lock").exists()
    with aionlab.open(tmp_path / "closing.db") as again:
        assert not again.readonly


def test_an_interrupt_is_held_and_delivered() -> None:
    reached = []
    with pytest.raises(KeyboardInterrupt, match="^it is done$") as stopped, Hold() as hold:
        hold.says, hold.facts = "it is done", {"n": 1}
        os.kill(os.getpid(), signal.SIGINT)
        until(lambda: hold.came)
        reached.append(1)
    assert reached == [1] and stopped.value.n == 1  # type: ignore[attr-defined]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_it_goes_to_the_handler_of_before() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    try:
        with Hold() as outer, Hold() as inner:
            os.kill(os.getpid(), signal.SIGINT)
            until(lambda: inner.came)
            assert not outer.came and seen == []
        assert outer.came and seen == [signal.SIGINT]
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_and_free_holds_are_left_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Hold(held=False):
        assert signal.getsignal(signal.SIGINT) is before
    found: list[Any] = []

    def work() -> None:
        with Hold():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [before]
