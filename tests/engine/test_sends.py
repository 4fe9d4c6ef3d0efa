"""Signals from workflow to workflow: in the sender's history and in the target's by one commit, exactly once, in order."""
from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from aionlab import workflow
from aionlab.core import errors
from aionlab.core import events as e
from aionlab.core.status import Status
from aionlab.engine import signals
from aionlab.engine.call import Call
from aionlab.engine.lifecycle.start import StartRequest
from aionlab.store.memory import MemoryStore
from aionlab.testing.faults import Crash, Fault, FaultyStore, at
from aionlab.testing.workbench import Workbench
from tests.engine import programs
from tests.engine.programs import SECOND, of


async def sender(target: str, count: int = 3, pause: float = 0) -> list[str]:
    """Sends 0, 1, 2, …; what went wrong."""
    wrong: list[str] = []
    for n in range(count):
        try:
            await workflow.send(target, "x", n)
        except errors.AionError as error:
            wrong.append(f"{type(error).__name__}: {error}")
        if pause:
            await asyncio.sleep(pause)
    return wrong


def got(bench: Workbench, workflow_id: str) -> list[Any]:
    return [bench.values.decode(signal.payload) for signal in of(bench, workflow_id, e.SignalReceived)]


@pytest.fixture
def post(bench: Workbench) -> Workbench:
    bench.workflow(sender)
    return bench


def test_a_signal_arrives_in_the_same_commit_and_the_sender_knows(post: Workbench) -> None:
    post.start("listener", "x", 3, id="target")
    commits = post.store.commits  # type: ignore[attr-defined]
    post.start("sender", "target", id="w")
    assert post.result("w") == [] and post.result("target") == [0, 1, 2]
    assert post.store.commits == commits + 1  # type: ignore[attr-defined]
    assert post.kinds("w") == ["WorkflowStarted", *["SignalSent", "SignalDelivered"] * 3, "WorkflowCompleted"]
    run_id = post.call("run", "w").run_id
    assert [signal.idempotency_key for signal in of(post, "target", e.SignalReceived)] == [f"{run_id}/{n}" for n in range(3)]
    post.crash()
    assert post.result("w") == [] and post.result("target") == [0, 1, 2]


def test_a_send_to_an_unknown_id_raises_an_error_naming_it(post: Workbench) -> None:
    post.start("sender", "nobody", 1, id="w")
    assert post.result("w") == ["RunNotFound: there is no workflow 'nobody'"]
    assert post.kinds("w") == ["WorkflowStarted", "SignalSent", "SignalUndelivered", "WorkflowCompleted"]


def test_a_send_to_a_closed_run_raises_an_error_naming_it(post: Workbench) -> None:
    post.start("quick", id="target")
    post.start("sender", "target", 1, id="w")
    (wrong,) = post.result("w")
    assert wrong.startswith("RunClosed: target (run ") and "is Completed" in wrong
    post.crash()
    assert post.result("w") == [wrong]


def test_an_error_that_nobody_catches_fails_the_sender(bench: Workbench) -> None:
    async def careless() -> None:
        await workflow.send("nobody", "x")

    bench.workflow(careless)
    bench.start("careless", id="w")
    with pytest.raises(errors.RunNotFound, match="nobody"):
        bench.result("w")


def test_one_run_of_the_target_can_be_meant(bench: Workbench) -> None:
    async def to_run(run_id: str) -> str:
        try:
            await workflow.send("target", "x", 1, run_id=run_id)
        except errors.RunClosed as error:
            return error.run_id
        return "sent"

    bench.workflow(to_run)
    bench.start("listener", "x", 1, id="target")
    first = bench.call("run", "target").run_id
    bench.call("terminate", "target")
    bench.start("listener", "x", 1, id="target")
    for run_id, expected in ((first, first), (bench.call("run", "target").run_id, "sent")):
        assert bench.result(bench.start("to_run", run_id)) == expected
    assert bench.result("target") == [1]


def test_a_run_may_send_to_itself(bench: Workbench) -> None:
    async def talker() -> list[Any]:
        heard: list[Any] = []
        workflow.on_signal("h", heard.append)
        await asyncio.gather(*(workflow.send("w", "h", n) for n in range(3)), workflow.send("w", "r", "r"))
        return [*heard, await workflow.receive("r")]

    bench.workflow(talker)
    bench.start("talker", id="w")
    assert bench.result("w") == [0, 1, 2, "r"]


def test_a_signal_to_itself_may_end_the_sender(bench: Workbench) -> None:
    async def ends() -> str:
        task = asyncio.create_task(workflow.send("w", "x", "bye"))
        heard = str(await workflow.receive("x"))
        task.cancel()
        return heard

    bench.workflow(ends)
    bench.start("ends", id="w")
    assert bench.result("w") == "bye" and bench.kinds("w") == ["WorkflowStarted", "SignalSent", "SignalReceived", "WorkflowCompleted"]
    bench.crash()
    assert bench.engine.idle


def test_what_is_sent_at_once_arrives_in_the_order_asked(bench: Workbench) -> None:
    async def burst() -> None:
        await asyncio.gather(*(workflow.send(f"t{n % 2}", "x", n) for n in range(10)))

    bench.workflow(burst)
    for n in range(2):
        bench.start("listener", "x", 5, id=f"t{n}")
    bench.start("burst")
    assert [bench.result("t0"), bench.result("t1")] == [[0, 2, 4, 6, 8], [1, 3, 5, 7, 9]]


@pytest.mark.parametrize("state", ["suspended", "paused", "without code", "killed"])
def test_a_target_that_cannot_take_it_now_has_it_recorded(post: Workbench, state: str) -> None:
    post.start("listener", "x", 3, id="target")
    match state:
        case "suspended":
            post.call("suspend", "target")
        case "paused":
            post.call("pause", "target")
        case "killed":
            post.call("kill", post.call("entry", "target").pid)
        case _:
            code = post.codes.pop("listener")
            post.crash()
    post.start("sender", "target", id="w")
    assert post.result("w") == [] and got(post, "target") == [0, 1, 2]
    if state == "paused":
        post.call("resume", "target")
    elif state == "without code":
        post.codes["listener"] = code
        post.call("define", code)
        post.host.pump()
    assert post.result("target") == [0, 1, 2]


def test_a_paused_sender_hears_of_the_delivery_when_it_goes_on(bench: Workbench) -> None:
    async def slow(target: str) -> str:
        await workflow.receive("go")
        await workflow.send(target, "x", 1)
        return "sent"

    bench.workflow(slow)
    bench.start("listener", "x", 1, id="target")
    bench.start("slow", "target", id="w")
    for call in (Call("signal", "w", "go", b"null"), Call("pause", "w")):
        bench.engine.submit(call)
    bench.host.pump()
    bench.call("resume", "w") if bench.status("w") is Status.PAUSED else None
    assert bench.result("w") == "sent" and bench.result("target") == [1]


def test_a_signal_sent_by_a_run_that_then_ends_arrives(bench: Workbench) -> None:
    async def last_words(target: str) -> str:
        farewell = asyncio.ensure_future(workflow.send(target, "x", "bye"))
        await asyncio.sleep(0)
        return f"gone, {farewell.done()}"

    bench.workflow(last_words)
    bench.start("listener", "x", 1, id="target")
    bench.start("last_words", "target", id="w")
    assert bench.kinds("w") == ["WorkflowStarted", "SignalSent", "WorkflowCompleted"]
    assert bench.result("target") == ["bye"]


def test_a_send_cancelled_in_its_step_leaves_nothing(bench: Workbench) -> None:
    async def fickle(target: str) -> str:
        task = asyncio.create_task(workflow.send(target, "x", 1))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await workflow.send(target, "x", 2)
        return "sent"

    bench.workflow(fickle)
    bench.start("listener", "x", 1, id="target")
    bench.start("fickle", "target", id="w")
    assert bench.result("target") == [2] and [sent.send_id for sent in of(bench, "w", e.SignalSent)] == [0]


@pytest.mark.parametrize("bad", ["id", "name", "payload", "run"])
def test_what_cannot_be_sent_is_refused_at_the_call(bench: Workbench, bad: str) -> None:
    async def wrong(what: str) -> str:
        try:
            match what:
                case "id":
                    workflow.send("", "x")
                case "name":
                    workflow.send("w", "\n")
                case "payload":
                    workflow.send("w", "x", object())
                case _:
                    workflow.send("w", "x", run_id="")
        except (errors.InvalidName, errors.InvalidPayload) as error:
            return type(error).__name__
        return "sent"

    bench.workflow(wrong)
    bench.start("wrong", bad, id="w")
    assert bench.result("w") == ("InvalidPayload" if bad == "payload" else "InvalidName")
    assert bench.kinds("w") == ["WorkflowStarted", "WorkflowCompleted"]


def test_a_delivery_that_has_come_is_not_repeated(post: Workbench) -> None:
    """The key is the target's guard, whatever the engine does."""
    post.start("listener", "x", 3, id="target")
    post.start("sender", "target", 1, 1000.0, id="w")
    run, (sent,) = post.engine.find("w"), of(post, "w", e.SignalSent)
    assert run is not None and run.mail is not None and not run.mail.sends
    run.mail.sends[0] = sent
    post.engine.posts.append((run, sent))
    post.host.pump()
    assert got(post, "target") == [0]
    run.mail.sends.clear()


def _two_that_answer_each_other(bench: Workbench) -> None:
    async def player(other: str, serves: bool = False) -> int:
        hits = 0
        if serves:
            await workflow.send(other, "ball", 0)
        while not await workflow.receive("ball"):
            hits += 1
            await workflow.send(other, "ball", 0)
        return hits

    bench.workflow(player)


def test_two_runs_that_answer_each_other_without_end_hold_no_turn(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "FULL", 60)
    _two_that_answer_each_other(bench)
    bench.start("player", "b", id="a")
    bench.start("quick", id="q")
    call = Call("start", StartRequest("player", bench.values.encode_args(("a", True), {}), workflow_id="b"))
    bench.engine.submit(call)
    for _ in range(5):
        bench.engine.turn()
    assert call.outcome() and not bench.engine.idle and bench.engine.posts
    assert len(bench.store.read("a")) > 50  # type: ignore[arg-type]
    bench.engine.submit(Call("terminate", "a"))
    bench.engine.submit(Call("terminate", "b"))
    bench.host.pump()
    assert bench.engine.idle and bench.status("a") is Status.TERMINATED


@pytest.mark.parametrize("fault", list(Fault), ids=lambda f: f.name)
@pytest.mark.parametrize("place", range(1, 10))
@pytest.mark.parametrize("full", [50_000, 3])
def test_each_signal_arrives_exactly_once_whatever_commit_goes_wrong(
    make_bench: Callable[..., Workbench], fault: Fault, place: int, full: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signals, "FULL", full)
    bench = make_bench(FaultyStore(MemoryStore(), at(place, fault)))
    bench.workflow(sender)
    for _ in range(40):
        try:
            for workflow_id, args in (("t", ("listener", "x", 6)), ("w0", ("sender", "t", 3, 1.0)), ("w1", ("sender", "t", 3, 1.0))):
                if not bench.store.read(workflow_id):  # type: ignore[arg-type]
                    bench.start(*args, id=workflow_id)
            for _ in range(6):
                bench.skip(SECOND)
            if bench.outcome("t") is not None and bench.outcome("w1") is not None and bench.outcome("w0") is not None:
                break
        except Crash:
            bench.crash()
        except errors.StoreError:
            continue
    assert sorted(bench.result("t")) == [0, 0, 1, 1, 2, 2] and bench.result("w0") == bench.result("w1") == []
    assert len({signal.idempotency_key for signal in of(bench, "t", e.SignalReceived)}) == 6
    for name in ("w0", "w1"):
        order = [n for n, key in zip(bench.result("t"), [s.idempotency_key for s in of(bench, "t", e.SignalReceived)], strict=True)
                 if key.startswith(bench.call("run", name).run_id)]  # fmt: skip
        assert order == [0, 1, 2]


def test_a_query_or_a_validator_or_a_condition_may_not_send(bench: Workbench) -> None:
    async def tempted() -> str:
        workflow.on_query("q", lambda: workflow.send("w", "x"))
        try:
            await workflow.wait_condition(lambda: workflow.send("w", "x"))
        except RuntimeError as error:
            return str(error)
        return "sent"

    bench.workflow(tempted)
    bench.start("tempted", id="w")
    assert bench.result("w").startswith("a condition is read-only")
    with pytest.raises(errors.QueryFailed, match="a query is read-only"):
        bench.call("query", "w", "q", b"[]")
    assert programs.calls == []
