"""Signals: recorded first, delivered where the run lives, taken in order."""
from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aionlab import workflow
from aionlab.core import errors
from aionlab.core import events as e
from aionlab.core.status import Status
from aionlab.engine.call import Call
from aionlab.engine.signals import NonResident, Resident, Seam, SeamRefused, Terminal, Unknown
from aionlab.testing.workbench import Workbench
from tests.engine import programs
from tests.engine.programs import SECOND, of, snapshot


def send(bench: Workbench, workflow_id: str, name: str, *values: Any) -> list[Call]:
    """Several signals in one turn."""
    calls = [Call("signal", workflow_id, name, bench.values.encode(value)) for value in values]
    for call in calls:
        bench.engine.submit(call)
    bench.host.pump()
    return calls


def deferred(bench: Workbench, workflow_id: str) -> list[bool]:
    return [r.deferred for r in bench.history(workflow_id) if isinstance(r.event, e.SignalReceived)]


def test_a_resident_run_takes_the_signal_in_the_turn_that_records_it(bench: Workbench) -> None:
    bench.start("order", 3, id="w")
    commits = bench.store.commits
    assert bench.signal("w", "approval", "ada") is True
    assert bench.result("w") == "6 by ada, box shipped"
    assert bench.store.commits == commits + 2  # the signal with the second activity; its completion with the end
    assert deferred(bench, "w") == [False]


def test_a_suspended_run_is_rebuilt_and_takes_it(bench: Workbench) -> None:
    bench.start("order", 3, id="w")
    pid = bench.call("entry", "w").pid
    bench.call("suspend", "w")
    entry = bench.call("entry", "w")
    assert (entry.residency, entry.pid) == ("Suspended", None)
    assert bench.call("tree").children[0].children == ()
    bench.signal("w", "approval", "ada")
    assert bench.result("w") == "6 by ada, box shipped" and deferred(bench, "w") == [False]
    assert programs.calls == ["charge 3", "ship box"] and pid is not None


def test_a_run_that_waits_for_code_keeps_signals_and_takes_them_in_order(bench: Workbench) -> None:
    bench.start("listener", "x", 4, id="w")
    bench.signal("w", "x", 1)
    code = bench.codes.pop("listener")
    bench.crash()
    entry = bench.call("entry", "w")
    assert (entry.residency, entry.waiting_for) == ("Waiting", "code of listener (v1)")
    for value in (2, 3, 4):
        bench.signal("w", "x", value)
    assert deferred(bench, "w") == [False, True, True, True]
    assert bench.call("entry", "w").mailbox == 3
    bench.crash()
    assert bench.call("entry", "w").residency == "Waiting"
    bench.codes["listener"] = code
    bench.call("define", code)
    bench.host.pump()
    assert bench.result("w") == [1, 2, 3, 4]
    bench.crash()
    assert bench.result("w") == [1, 2, 3, 4]


def test_a_paused_run_keeps_signals_until_it_is_resumed(bench: Workbench) -> None:
    bench.start("listener", "x", 2, id="w")
    bench.call("pause", "w")
    bench.signal("w", "x", 1)
    bench.crash()
    bench.signal("w", "x", 2)
    assert deferred(bench, "w") == [True, True] and bench.outcome("w") is None
    assert bench.call("entry", "w").mailbox == 2
    bench.call("resume", "w")
    assert bench.result("w") == [1, 2]


@pytest.mark.parametrize("end", ["completed", "failed", "cancelled", "terminated", "timed out"])
def test_a_closed_run_takes_nothing(bench: Workbench, end: str) -> None:
    match end:
        case "completed":
            bench.start("quick", id="w")
        case "failed":
            bench.start("failing_run", id="w")
        case "cancelled":
            bench.start("sleeper", id="w")
            bench.call("cancel", "w")
        case "terminated":
            bench.start("sleeper", id="w")
            bench.call("terminate", "w")
        case "timed out":
            bench.start("listener", id="w", deadline=SECOND)
            bench.skip(SECOND)
    before = snapshot(bench)
    for crash in (False, True):
        for key in (None, "k"):
            with pytest.raises(errors.RunClosed) as caught:
                bench.signal("w", "x", 1, key)
            assert caught.value.workflow_id == "w" and caught.value.run_id == "run-0001"
            assert caught.value.status.lower() == end.replace(" ", "")
        assert snapshot(bench) == before
        if not crash:
            bench.crash()
            before = snapshot(bench)


def test_an_unknown_id_is_told_its_neighbour(bench: Workbench) -> None:
    bench.start("listener", id="order-42")
    before = snapshot(bench)
    with pytest.raises(errors.RunNotFound, match="did you mean 'order-42'"):
        bench.signal("order-43", "x", 1)
    with pytest.raises(errors.RunNotFound) as caught:
        bench.call("signal", "order-42", "x", bench.values.encode(1), "run-9999")
    assert caught.value.run_id == "run-9999"
    assert snapshot(bench) == before


def test_an_idempotency_key_counts_once_even_across_a_restart(bench: Workbench) -> None:
    bench.start("listener", "x", 3, id="w")
    assert bench.signal("w", "x", 1, "a") is True
    assert bench.signal("w", "x", 1, "a") is False
    assert bench.signal("w", "x", "another payload", "a") is False
    bench.crash()
    assert bench.signal("w", "x", 1, "a") is False
    assert bench.signal("w", "x", 2, "b") is True
    calls = [Call("signal", "w", "x", bench.values.encode(3), None, "c") for _ in range(2)]
    for call in calls:
        bench.engine.submit(call)
    bench.host.pump()
    assert [call.outcome() for call in calls[:1]] == [True] and bench.result("w") == [1, 2, 3]


def test_a_key_is_known_after_its_signal_ended_the_run(bench: Workbench) -> None:
    """The sender was interrupted before the answer and asks again."""
    bench.start("listener", "x", 1, id="w")
    made = [Call("signal", "w", "x", bench.values.encode(1), None, "a") for _ in range(2)]
    for call in made:
        bench.engine.submit(call)
    bench.host.pump()
    assert [call.outcome() for call in made] == [True, False]
    assert bench.signal("w", "x", 1, "a") is False
    bench.crash()
    assert bench.signal("w", "x", 1, "a") is False
    with pytest.raises(errors.RunClosed):
        bench.signal("w", "x", 1, "b")


def test_keys_are_of_a_run_not_of_the_id(bench: Workbench) -> None:
    for n in (1, 2):
        bench.start("listener", "x", 1, id="w")
        assert bench.signal("w", "x", n, "k") is True
        assert bench.result("w") == [n]


# --- the seam ----------------------------------------------------------------------------------------------------------


def test_the_seam_answers_where_a_run_lives(bench: Workbench) -> None:
    bench.start("listener", id="w")
    bench.start("quick", id="done")
    seam = Seam(bench.engine)
    assert seam.where("w") == Resident(bench.call("entry", "w").pid)
    assert seam.where("w", "run-0001") == seam.where("w")
    assert seam.where("done") == Terminal("Completed")
    assert seam.where("nobody") == Unknown() == seam.where("w", "run-0099")
    bench.call("suspend", "w")
    assert seam.where("w") == NonResident()
    bench.call("pause", "w")
    assert seam.where("w") == NonResident()


@pytest.mark.parametrize("wish", ["append", "store", "terminate", "start", "query", "registry", "fact"])
def test_the_seam_refuses_everything_else(bench: Workbench, wish: str) -> None:
    with pytest.raises(SeamRefused, match=wish):
        getattr(Seam(bench.engine), wish)


def test_the_seam_delivers_to_workflow_processes_alone(bench: Workbench) -> None:
    bench.start("listener", id="w")
    before = snapshot(bench)
    supervisor = bench.call("tree").children[0].pid
    for pid in (1, supervisor, 999):
        with pytest.raises(SeamRefused, match=str(pid)):
            Seam(bench.engine).deliver(pid, e.SignalReceived("x", bench.values.encode(1)))
    assert snapshot(bench) == before


# --- receiving ---------------------------------------------------------------------------------------------------------


def test_the_kth_receive_takes_the_kth_signal(bench: Workbench) -> None:
    async def racing() -> list[Any]:
        first = asyncio.create_task(workflow.receive("x"))
        second = asyncio.create_task(workflow.receive("x"))
        return [await second, await first, await workflow.receive("x")]

    bench.workflow(racing)
    bench.start("racing", id="w")
    send(bench, "w", "x", 1, 2, 3)
    assert bench.result("w") == [2, 1, 3]


def test_signals_of_other_names_do_not_mix(bench: Workbench) -> None:
    async def two() -> list[Any]:
        return [await workflow.receive("b"), await workflow.receive("a"), await workflow.receive("b")]

    bench.workflow(two)
    bench.start("two", id="w")
    for name, value in (("a", 1), ("b", 2), ("c", 3), ("b", 4)):
        bench.signal("w", name, value)
    assert bench.result("w") == [2, 1, 4]


def test_a_timed_out_receive_consumes_nothing(bench: Workbench) -> None:
    async def impatient() -> list[Any]:
        got = [await workflow.receive("x", timeout=1, default="late")]
        try:
            await workflow.receive("x", timeout=1)
        except TimeoutError:
            got.append("raised")
        return [*got, await workflow.receive("x")]

    bench.workflow(impatient)
    bench.start("impatient", id="w")
    bench.skip(2 * SECOND)
    bench.signal("w", "x", 1)
    assert bench.result("w") == ["late", "raised", 1]


@pytest.mark.parametrize("order", ["timer first", "signal first"])
def test_a_signal_and_a_timeout_in_one_turn(bench: Workbench, order: str) -> None:
    """The fact recorded first wins, and the signal is never lost."""

    async def one() -> list[Any]:
        return [await workflow.receive("x", timeout=1, default="late"), await workflow.receive("x", timeout=5, default="nothing")]

    bench.workflow(one)
    bench.start("one", id="w")
    if order == "timer first":
        bench.engine.clock.aim(bench.clock.now() + SECOND)
        bench.engine.clock.advance(bench.clock.now() + SECOND)
        send(bench, "w", "x", 1)
        expected = ["late", 1]
    else:
        send(bench, "w", "x", 1)
        expected = [1, "nothing"]
    bench.skip(10 * SECOND)
    assert bench.result("w") == expected


def test_a_cancelled_receiver_loses_nothing(bench: Workbench) -> None:
    async def fickle() -> list[Any]:
        waiting = asyncio.create_task(workflow.receive("x"))
        await workflow.receive("stop")
        waiting.cancel()
        return [await workflow.receive("x"), waiting.cancelled() or waiting.done()]

    bench.workflow(fickle)
    bench.start("fickle", id="w")
    bench.signal("w", "stop")
    bench.signal("w", "x", 1)
    assert bench.result("w") == [1, True]


def test_a_receiver_cancelled_in_the_step_of_its_signal_loses_nothing(bench: Workbench) -> None:
    async def fickle() -> list[Any]:
        waiting = asyncio.create_task(workflow.receive("x"))
        workflow.on_signal("x-is-coming", lambda _: None)
        other = asyncio.create_task(workflow.receive("x"))

        async def canceller() -> None:
            await workflow.receive("y")
            waiting.cancel()

        task = asyncio.create_task(canceller())
        await task
        return [await other]

    bench.workflow(fickle)
    bench.start("fickle", id="w")
    send(bench, "w", "y", 0)
    bench.signal("w", "x", 1)
    assert bench.result("w") == [1]


@pytest.mark.parametrize("resident", [True, False])
def test_signals_before_a_receive_or_a_handler_wait_in_order(bench: Workbench, resident: bool) -> None:
    async def late() -> list[Any]:
        got: list[Any] = []
        await workflow.receive("go")
        workflow.on_signal("h", got.append)
        await asyncio.sleep(0)
        got.append(await workflow.receive("r"))
        got.append(await workflow.receive("r"))
        return got

    bench.workflow(late)
    bench.start("late", id="w")
    for name, value in (("h", 1), ("r", 2), ("h", 3), ("r", 4)):
        bench.signal("w", name, value)
    assert bench.call("entry", "w").mailbox == 4
    if not resident:
        bench.call("suspend", "w")
    bench.signal("w", "go")
    assert bench.result("w") == [1, 3, 2, 4]


@pytest.mark.parametrize("error", [ValueError("bad"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError()], ids=repr)
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_handler_that_raises_fails_the_run(bench: Workbench, error: BaseException, kind: str) -> None:
    async def raising() -> None:
        def sync(_: Any) -> None:
            raise error

        async def late(_: Any) -> None:
            await asyncio.sleep(1)
            raise error

        workflow.on_signal("x", sync if kind == "sync" else late)
        await workflow.receive("never")

    bench.workflow(raising)
    bench.start("raising", id="w")
    bench.start("listener", "x", 1, id="neighbour")
    bench.signal("w", "x")
    bench.skip(SECOND)
    if kind == "async" and isinstance(error, asyncio.CancelledError):
        assert bench.outcome("w") is None  # a task that ends cancelled has not failed
    else:
        outcome = bench.outcome("w")
        assert isinstance(outcome, e.WorkflowFailed) and outcome.error.name == type(error).__name__
    bench.signal("neighbour", "x", 1)
    assert bench.result("neighbour") == [1]


@pytest.mark.parametrize("first", ["signal", "suspend"])
def test_a_signal_in_the_turn_of_a_suspension(bench: Workbench, first: str) -> None:
    bench.start("listener", "x", 2, id="w")
    verbs = [Call("signal", "w", "x", bench.values.encode(1)), Call("suspend", "w")]
    for call in verbs if first == "signal" else reversed(verbs):
        bench.engine.submit(call)
    bench.host.pump()
    bench.signal("w", "x", 2)
    assert bench.result("w") == [1, 2]


def test_a_thousand_signals_in_one_turn(bench: Workbench) -> None:
    bench.start("listener", "x", 1000, id="w")
    commits = bench.store.commits
    send(bench, "w", "x", *range(1000))
    assert bench.store.commits == commits + 1
    assert bench.result("w") == list(range(1000))
    bench.crash()
    assert bench.result("w") == list(range(1000))


def test_handlers_take_signals_in_order_with_suspensions_between(bench: Workbench) -> None:
    bench.start("handled", id="w")
    for n in range(5):
        bench.signal("w", "x", n)
        bench.call("suspend", "w")
    bench.signal("w", "done")
    assert bench.result("w") == [0, 1, 2, 3, 4]
    assert len(of(bench, "w", e.SignalReceived)) == 6 and bench.status("w") is Status.COMPLETED


def test_a_lost_race_for_the_end_is_told(bench: Workbench) -> None:
    """Signals behind the one that ends the run, in the same turn, are refused and not recorded."""
    bench.start("listener", "x", 1, id="w")
    calls = send(bench, "w", "x", 1, 2)
    assert calls[0].outcome() is True
    with pytest.raises(errors.RunClosed):
        calls[1].outcome()
    assert len(of(bench, "w", e.SignalReceived)) == 1


# --- what cannot be read -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["receive", "iterate", "sync handler", "async handler"])
@pytest.mark.parametrize("restart", [False, True])
def test_of_four_signals_the_undecodable_ones_are_dropped_with_a_line_in_the_log(
    bench: Workbench, way: str, restart: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """C02: 1st and 3rd undecodable: 2nd and 4th are processed."""

    async def typed(how: str) -> list[int]:
        got: list[int] = []

        def take(n: int) -> None:
            got.append(n)

        async def take_later(n: int) -> None:
            got.append(n)

        match how:
            case "receive":
                got += [await workflow.receive("x", int), await workflow.receive("x", int)]
            case "iterate":
                async for n in workflow.signals("x", int):
                    got.append(n)
                    if len(got) == 2:
                        break
            case _:
                workflow.on_signal("x", take if how == "sync handler" else take_later)
                await workflow.wait_condition(lambda: len(got) == 2)
        return got

    bench.workflow(typed)
    bench.start("typed", way, id="w")
    with caplog.at_level("WARNING", "aionlab.workflow"):
        for value in ("one", 2, [3], 4):
            bench.signal("w", "x", value)
            if restart:
                bench.crash()
    assert bench.result("w") == [2, 4] and len(of(bench, "w", e.SignalReceived)) == 4
    lines = [r.getMessage() for r in caplog.records if r.name == "aionlab.workflow"]
    assert len(lines) == 2 and all(line.startswith("[w] a signal 'x' was dropped: it cannot be read as int") for line in lines)


def test_a_receive_that_drops_a_signal_keeps_its_place(bench: Workbench) -> None:
    async def two() -> list[Any]:
        first, second = (asyncio.create_task(workflow.receive("x", int)) for _ in range(2))
        return [await first, await second]

    bench.workflow(two)
    bench.start("two", id="w")
    send(bench, "w", "x", "bad", 1, 2)
    assert bench.result("w") == [1, 2]
    bench.start("two", id="v")
    for value in ("bad", 1, "bad", 2):
        bench.signal("v", "x", value)
        bench.call("suspend", "v") if bench.outcome("v") is None else None
    assert bench.result("v") == [1, 2]


def test_a_handler_gets_the_type_its_parameter_is_annotated_with(bench: Workbench) -> None:
    async def handled() -> list[Any]:
        got: list[Any] = []

        def plain(value) -> None:  # type: ignore[no-untyped-def]
            got.append(value)

        def pair(value: tuple[int, str]) -> None:
            got.append(value)

        workflow.on_signal("plain", plain)
        workflow.on_signal("pair", pair)
        workflow.on_signal("bare", got.append)
        await workflow.wait_condition(lambda: len(got) == 3)
        return got

    bench.workflow(handled)
    bench.start("handled", id="w")
    for name in ("plain", "pair", "bare"):
        bench.signal("w", name, [1, "a"])
    assert bench.result("w") == [[1, "a"], (1, "a"), [1, "a"]]


def test_a_signal_handler_that_raises_an_application_error_fails_the_run_with_its_details(bench: Workbench) -> None:
    """C03"""

    async def strict() -> None:
        def refuse(_: Any) -> None:
            raise errors.ApplicationError("out of stock", "box", 42)

        workflow.on_signal("x", refuse)
        await workflow.receive("never")

    bench.workflow(strict)
    bench.start("strict", id="w")
    bench.signal("w", "x")
    with pytest.raises(errors.ApplicationError, match="out of stock") as caught:
        bench.result("w")
    assert caught.value.details == ("box", 42)


def test_all_handlers_finished_says_whether_one_is_under_way(bench: Workbench) -> None:
    async def busy() -> list[bool]:
        said = [workflow.all_handlers_finished()]

        async def slow(_: Any) -> None:
            await asyncio.sleep(1)

        workflow.on_signal("x", slow)
        await workflow.receive("go")
        said.append(workflow.all_handlers_finished())
        await workflow.wait_condition(workflow.all_handlers_finished)
        return [*said, workflow.all_handlers_finished()]

    bench.workflow(busy)
    bench.start("busy", id="w")
    bench.signal("w", "x")
    bench.signal("w", "go")
    bench.skip(SECOND)
    assert bench.result("w") == [True, False, True]


@pytest.mark.parametrize("unfinished", ["later", None, 1])
def test_a_policy_is_one_of_two(bench: Workbench, unfinished: Any) -> None:
    async def wrong() -> str:
        try:
            workflow.on_signal("x", print, unfinished=unfinished)
        except errors.InvalidOption as error:
            return str(error)
        return "taken"

    bench.workflow(wrong)
    bench.start("wrong", id="w")
    assert "'warn' or 'abandon'" in bench.result("w")


def test_the_same_idempotency_key_on_two_sends_is_one_delivery(bench: Workbench) -> None:
    """C17"""
    bench.start("listener", "x", 2, id="w")
    assert [bench.signal("w", "x", n, key) for n, key in ((1, "k"), (2, "k"), (3, None))] == [True, False, True]
    assert bench.result("w") == [1, 3]
