"""Queries look and never act: history is byte-identical afterwards, and the run goes on as if nobody had asked."""
from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any

import pytest

from aionlab import workflow
from aionlab.core import errors
from aionlab.core.status import Status
from aionlab.engine.call import Call
from aionlab.engine.lifecycle.start import StartRequest
from aionlab.testing.workbench import Workbench
from tests.engine import programs
from tests.engine.programs import calls, snapshot


def query(bench: Workbench, workflow_id: str, name: str, *args: Any, **kwargs: Any) -> Any:
    return bench.values.decode(bench.call("query", workflow_id, name, bench.values.encode_args(args, kwargs)))


def test_handlers_answer_with_arguments(bench: Workbench) -> None:
    bench.start("with_handlers", 10, id="w")
    before = snapshot(bench)
    assert query(bench, "w", "n") == 10
    assert query(bench, "w", "plus", 5) == 15
    assert query(bench, "w", "plus", 5, b=7) == 22
    assert snapshot(bench) == before
    bench.signal("w", "add", 3)
    assert query(bench, "w", "n") == 13


@pytest.mark.parametrize("state", ["suspended", "paused", "restarted", "completed", "completed and restarted", "terminated", "cancelled", "failed"])
def test_every_run_answers_whatever_its_state(bench: Workbench, state: str) -> None:
    bench.start("with_handlers", 10, id="w")
    bench.signal("w", "add", 3)
    match state.split(" ")[0]:
        case "suspended":
            bench.call("suspend", "w")
        case "paused":
            bench.call("pause", "w")
            bench.signal("w", "add", 100)
        case "completed":
            bench.signal("w", "add", "stop")
        case "terminated" | "cancelled":
            bench.call({"terminated": "terminate", "cancelled": "cancel"}[state], "w")
        case "failed":
            bench.signal("w", "add", "a text")
    if "restarted" in state:
        bench.crash()
    before = snapshot(bench)
    for _ in range(2):
        assert query(bench, "w", "n") == 13 and query(bench, "w", "plus", 1) == 14
    assert snapshot(bench) == before


def test_an_unknown_name_lists_the_known_ones(bench: Workbench) -> None:
    bench.start("with_handlers", id="w")
    bench.start("quick", id="done")
    with pytest.raises(errors.QueryFailed, match="known: n, plus") as caught:
        query(bench, "w", "m")
    assert caught.value.known == ("n", "plus") and caught.value.workflow_id == "w"
    with pytest.raises(errors.QueryFailed, match="no handler"):
        query(bench, "done", "n")
    with pytest.raises(errors.RunNotFound):
        query(bench, "nobody", "n")


def test_a_query_names_a_run_of_the_chain(bench: Workbench) -> None:
    for start in (1, 2):
        bench.start("with_handlers", start, id="w")
        bench.call("terminate", "w")
    answers = [bench.values.decode(bench.call("query", "w", "n", b"[]", run)) for run in ("run-0001", "run-0002", None)]
    assert answers == [1, 2, 2]


def acting() -> dict[str, Callable[[dict[str, Any]], Any]]:
    """What a handler must not do, by name."""
    loop = asyncio.get_running_loop
    return {
        "activity": lambda s: programs.charge(99),
        "create_task": lambda s: asyncio.ensure_future(asyncio.sleep(1)),
        "call_soon": lambda s: loop().call_soon(print),
        "call_later": lambda s: loop().call_later(5, print),
        "on_signal": lambda s: workflow.on_signal("x", print),
        "on_query": lambda s: workflow.on_query("x", print),
        "random": lambda s: workflow.random().random(),
        "uuid4": lambda s: workflow.uuid4(),
        "upsert": lambda s: workflow.upsert_search_attributes(a=1),
        "cancel": lambda s: s["task"].cancel(),
        "set": lambda s: s["event"].set(),
        "put": lambda s: s["queue"].put_nowait(1),
        "async": lambda s: asyncio.sleep(1),
        "receive": lambda s: workflow.receive("x"),
        "thread": lambda s: loop().run_in_executor(None, print),
        "raises": lambda s: 1 / 0,
        "exits": lambda s: (_ for _ in ()).throw(SystemExit(1)),
        "interrupts": lambda s: (_ for _ in ()).throw(KeyboardInterrupt()),
        "cancels itself": lambda s: (_ for _ in ()).throw(asyncio.CancelledError()),
        "answers rubbish": lambda s: object(),
        "answers a surrogate": lambda s: "\ud800",
    }


async def tempted() -> list[Any]:
    state: dict[str, Any] = {"event": asyncio.Event(), "queue": asyncio.Queue()}
    for name, act in acting().items():
        workflow.on_query(name, lambda act=act: act(state))

    async def waits() -> str:
        await state["event"].wait()
        return "event"

    state["task"] = asyncio.ensure_future(waits())
    first = workflow.random().random()
    await workflow.receive("go")
    state["event"].set()
    return [await state["task"], first != workflow.random().random(), state["queue"].qsize(), await programs.charge(1)]


@pytest.mark.parametrize("act", [
    "activity", "create_task", "call_soon", "call_later", "on_signal", "on_query", "random", "uuid4", "upsert", "cancel", "set", "put", "async",
    "receive", "thread", "raises", "exits", "interrupts", "cancels itself", "answers rubbish", "answers a surrogate",
])  # fmt: skip
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
def test_a_handler_cannot_act_and_the_run_is_unharmed(bench: Workbench, act: str) -> None:
    bench.workflow(tempted)
    bench.start("tempted", id="w")
    bench.start("tempted", id="control")
    before, commits = snapshot(bench), bench.store.commits
    for _ in range(2):
        if act == "put":
            query(bench, "w", act)  # nobody waits on the queue, so nothing is asked for: plain state of the code's own
        else:
            with pytest.raises(errors.QueryFailed):
                query(bench, "w", act)
    assert snapshot(bench) == before and bench.store.commits == commits
    bench.signal("w", "go")
    bench.signal("control", "go")
    assert [bench.kinds("w"), bench.status("w")] == [bench.kinds("control"), Status.COMPLETED]
    if act != "put":
        assert bench.result("w") == bench.result("control") == ["event", True, 0, 2]
    assert calls == ["charge 1"] * 2
    history = bench.history("w")
    bench.crash()
    assert bench.history("w") == history


def test_draws_of_a_captured_stream_are_put_back(bench: Workbench) -> None:
    async def drawing() -> list[float]:
        stream = workflow.random()
        workflow.on_query("draw", stream.random)
        first = stream.random()
        await workflow.receive("go")
        return [first, stream.random()]

    bench.workflow(drawing)
    bench.start("drawing", id="w")
    peek = [query(bench, "w", "draw") for _ in range(3)]
    bench.signal("w", "go")
    assert len(set(peek)) == 1 and bench.result("w")[1] == peek[0]


def test_arguments_that_do_not_fit(bench: Workbench) -> None:
    bench.start("with_handlers", id="w")
    for args in ((), (1, 2, 3)):
        with pytest.raises(errors.QueryFailed, match="TypeError"):
            query(bench, "w", "plus", *args)
    with pytest.raises(errors.QueryFailed):
        bench.call("query", "w", "plus", b"not json")
    assert query(bench, "w", "n") == 10


def test_a_query_in_the_turn_of_the_facts_before_it(bench: Workbench) -> None:
    bench.start("with_handlers", 1, id="w")
    payload = bench.values.encode
    made = [
        Call("signal", "w", "add", payload(1)), Call("query", "w", "n", b"[]"), Call("signal", "w", "add", payload("stop")),
        Call("query", "w", "n", b"[]"), Call("start", StartRequest("with_handlers", payload([7]), workflow_id="new")),
        Call("query", "new", "n", b"[]"), Call("start", StartRequest("quick", payload([7]), workflow_id="q")), Call("query", "q", "n", b"[]"),
    ]  # fmt: skip
    for call in made:
        bench.engine.submit(call)
    bench.host.pump()
    assert [bench.values.decode(made[place].outcome()) for place in (1, 3, 5)] == [2, 2, 7]
    with pytest.raises(errors.QueryFailed, match="no handler"):
        made[7].outcome()


def test_a_query_of_a_run_whose_code_is_missing(bench: Workbench) -> None:
    bench.start("with_handlers", id="open")
    bench.start("with_handlers", id="closed")
    bench.signal("closed", "add", "stop")
    bench.codes.pop("with_handlers")
    bench.crash()
    for workflow_id in ("open", "closed"):
        with pytest.raises(errors.QueryFailed, match="with_handlers"):
            query(bench, workflow_id, "n")


def test_a_query_replays_a_closed_run_without_running_its_cleanup_later(bench: Workbench) -> None:
    cleaned: list[str] = []

    async def tidy() -> None:
        workflow.on_query("n", lambda: 1)
        try:
            await workflow.receive("x")
        finally:
            cleaned.append("tidied")

    bench.workflow(tidy)
    bench.start("tidy", id="w")
    bench.call("terminate", "w")
    at_end = len(cleaned)
    assert query(bench, "w", "n") == 1
    assert len(cleaned) == at_end + 1  # closed at once, under a loop that refuses every request, not by the garbage collector later


def test_a_thousand_queries_leave_history_byte_identical(bench: Workbench) -> None:
    bench.workflow(tempted)
    bench.start("with_handlers", id="w")
    bench.start("tempted", id="t")
    before, commits = snapshot(bench), bench.store.commits  # type: ignore[attr-defined]
    for n in range(1000):
        assert query(bench, "w", "plus", n) == 10 + n
        if n % 20 == 0:
            with pytest.raises(errors.QueryFailed):
                query(bench, "t", list(acting())[n // 20 % 11])
    assert snapshot(bench) == before and bench.store.commits == commits  # type: ignore[attr-defined]
    bench.signal("w", "add", "stop")
    assert bench.result("w") == 10


def test_what_a_query_sets_in_its_context_stays_there(bench: Workbench) -> None:
    seen: contextvars.ContextVar[str] = contextvars.ContextVar("seen", default="nothing")

    async def contextual() -> list[str]:
        seen.set("main")

        def setting() -> str:
            before = seen.get()
            seen.set("query")
            return before

        workflow.on_query("set", setting)
        await workflow.receive("go")
        return [seen.get()]

    bench.workflow(contextual)
    bench.start("contextual", id="w")
    assert [query(bench, "w", "set") for _ in range(2)] == ["main", "main"]
    bench.signal("w", "go")
    assert bench.result("w") == ["main"]


def test_a_handler_may_be_asked_again_after_the_end_and_sees_the_final_state(bench: Workbench) -> None:
    async def ending() -> str:
        state = ["begun"]
        workflow.on_query("state", lambda: state[-1])
        try:
            await workflow.receive("go")
            state.append("received")
        finally:
            state.append("ended")
        return state[-1]

    bench.workflow(ending)
    bench.start("ending", id="w")
    assert query(bench, "w", "state") == "begun"
    bench.signal("w", "go")
    for _ in range(2):
        assert query(bench, "w", "state") == bench.result("w") == "ended"
        bench.crash()


def test_reject_if_closed_says_the_status(bench: Workbench) -> None:
    """C07"""
    bench.start("with_handlers", id="w")
    assert bench.values.decode(bench.call("query", "w", "n", b"[]", None, True)) == 10
    bench.call("terminate", "w")
    assert query(bench, "w", "n") == 10
    with pytest.raises(errors.RunClosed, match="Terminated"):
        bench.call("query", "w", "n", b"[]", None, True)


def test_a_stuck_run_says_why_it_cannot_be_asked(bench: Workbench) -> None:
    bench.start("order", id="w")
    bench.workflow(programs.quick, name="order")
    bench.crash()
    with pytest.raises(errors.QueryFailed, match="the run is not in memory: w diverged"):
        query(bench, "w", "n")


def test_arguments_are_decoded_into_the_handlers_annotations(bench: Workbench) -> None:
    async def typed() -> None:
        def pair(value: tuple[int, str]) -> str:
            return type(value).__name__

        workflow.on_query("pair", pair)
        await workflow.receive("never")

    bench.workflow(typed)
    bench.start("typed", id="w")
    assert query(bench, "w", "pair", [1, "a"]) == "tuple"
    with pytest.raises(errors.QueryFailed, match="expected"):
        query(bench, "w", "pair", "text")


def test_a_run_that_stored_a_random_value_gives_the_same_after_eviction_and_two_runs_differ(bench: Workbench) -> None:
    """A11"""

    async def lucky() -> None:
        drawn = [str(workflow.uuid4()), workflow.random().random()]
        workflow.on_query("drawn", lambda: drawn)
        await workflow.receive("never")

    bench.workflow(lucky)
    for name in ("w", "v"):
        bench.start("lucky", id=name)
    first = query(bench, "w", "drawn")
    bench.call("suspend", "w")
    assert query(bench, "w", "drawn") == first
    bench.crash()
    assert query(bench, "w", "drawn") == first != query(bench, "v", "drawn")
