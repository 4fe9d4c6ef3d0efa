"""Updates: refused without a trace or recorded with their step, answered once, by id, whatever happens to the run meanwhile."""
from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from aionlab import workflow
from aionlab.core import errors
from aionlab.core import events as e
from aionlab.core.status import Status
from aionlab.engine.call import Call
from aionlab.engine.lifecycle.start import StartRequest
from aionlab.store.memory import MemoryStore
from aionlab.testing.faults import Crash, Fault, FaultyStore, at
from aionlab.testing.workbench import Workbench
from tests.engine import programs
from tests.engine.programs import SECOND, of, snapshot


class Sent:
    """An update as a caller has it."""

    def __init__(self, bench: Workbench, workflow_id: str, name: str, args: tuple[Any, ...], update_id: str | None, run_id: str | None) -> None:
        self.bench = bench
        self.waiter = Call("update_result", workflow_id, update_id, run_id)
        self.call = Call("update", workflow_id, name, bench.values.encode_args(args, {}), update_id, run_id, self.waiter)

    @property
    def id(self) -> str:
        return str(self.call.outcome().update_id)

    @property
    def done(self) -> bool:
        return self.waiter.poll()

    @property
    def result(self) -> Any:
        """What the handler returned, or the error."""
        self.call.outcome()
        return _opened(self.bench, self.waiter.outcome())


def _opened(bench: Workbench, completed: e.UpdateCompleted) -> Any:
    if completed.error is not None:
        return bench.values.error(completed.error)
    assert completed.result is not None
    return bench.values.decode(completed.result)


def send(bench: Workbench, workflow_id: str, name: str, *args: Any, update_id: str | None = None, run_id: str | None = None) -> Sent:
    sent = Sent(bench, workflow_id, name, args, update_id, run_id)
    bench.host.ask(sent.call)
    bench.host.pump()
    return sent


def query(bench: Workbench, workflow_id: str, name: str, *args: Any) -> Any:
    return bench.values.decode(bench.call("query", workflow_id, name, bench.values.encode_args(args, {})))


async def cart() -> list[Any]:
    """A quantity that is set by updates; ends when "done" comes."""
    log: list[Any] = []
    state = {"qty": 1}

    def check(qty: int) -> None:
        if qty < 0:
            raise ValueError(f"{qty} is below 0")

    def set_qty(qty: int) -> int:
        old, state["qty"] = state["qty"], qty
        log.append(qty)
        return old

    async def pay(amount: int, wait: float = 0) -> int:
        paid = await programs.charge(amount)
        await asyncio.sleep(wait)
        log.append(f"paid {paid}")
        return paid

    def broken(what: str) -> None:
        log.append(what)
        raise errors.ApplicationError("out of stock", what, 42)

    workflow.on_update("set_qty", set_qty, validator=check)
    workflow.on_update("pay", pay)
    workflow.on_update("broken", broken)
    workflow.on_query("qty", lambda: state["qty"])
    await workflow.receive("done")
    return log


@pytest.fixture
def shop(bench: Workbench) -> Workbench:
    bench.workflow(cart)
    bench.start("cart", id="w")
    return bench


def test_the_handlers_result_comes_back_and_is_recorded_with_the_step(shop: Workbench) -> None:
    commits = shop.store.commits  # type: ignore[attr-defined]
    sent = send(shop, "w", "set_qty", 5)
    assert sent.result == 1 and query(shop, "w", "qty") == 5
    assert shop.kinds("w")[1:] == ["UpdateAccepted", "UpdateCompleted"] and shop.store.commits == commits + 1  # type: ignore[attr-defined]
    shop.signal("w", "done")
    assert shop.result("w") == [5]


def test_an_async_handler_may_await_activities_and_time(shop: Workbench) -> None:
    sent = send(shop, "w", "pay", 7, 60.0)
    assert not sent.done and programs.calls == ["charge 7"]
    shop.skip(60 * SECOND)
    assert sent.result == 14
    assert shop.kinds("w")[1:] == [
        "UpdateAccepted", "ActivityScheduled", "ActivityStarted", "ActivityCompleted", "TimerStarted", "TimerFired", "UpdateCompleted"
    ]


@pytest.mark.parametrize(
    ("name", "args", "why"),
    [
        ("set_qty", (-1,), "ValueError: -1 is below 0"), ("set_qty", ("many",), "expected int"), ("set_qty", (), "missing a required argument"),
        ("set_qty", (1, 2), "too many positional"), ("nothing", (), "known: set_qty, pay, broken"),
    ],
)  # fmt: skip
def test_a_validator_that_raises_rejects_and_no_event_is_written(shop: Workbench, name: str, args: tuple[Any, ...], why: str) -> None:
    before = snapshot(shop)
    sent = send(shop, "w", name, *args)
    with pytest.raises(errors.UpdateRejected, match=why) as caught:
        sent.call.outcome()
    assert snapshot(shop) == before and not sent.done
    assert (caught.value.workflow_id, caught.value.name) == ("w", name)
    assert isinstance(caught.value.cause, ValueError) == (args == (-1,)) or name == "nothing" or "expected" in why
    shop.signal("w", "done")
    assert shop.result("w") == []


def test_a_validator_may_say_no_by_returning_false(bench: Workbench) -> None:
    async def picky() -> None:
        workflow.on_update("n", lambda n: n, validator=lambda n: n > 3)
        await workflow.receive("never")

    bench.workflow(picky)
    bench.start("picky", id="w")
    with pytest.raises(errors.UpdateRejected, match="said no"):
        send(bench, "w", "n", 3).call.outcome()
    assert send(bench, "w", "n", 4).result == 4


def acting() -> dict[str, Callable[[], Any]]:
    """What a validator must not do, by name."""
    return {
        "activity": lambda: programs.charge(1), "task": lambda: asyncio.ensure_future(asyncio.sleep(1)), "random": lambda: workflow.random().random(),
        "handler": lambda: workflow.on_update("x", print), "send": lambda: workflow.send("w", "x"), "async": lambda: asyncio.sleep(1),
        "exits": lambda: (_ for _ in ()).throw(SystemExit(1)),
    }  # fmt: skip


@pytest.mark.parametrize("act", ["activity", "task", "random", "handler", "send", "async", "exits"])
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
def test_a_validator_may_look_and_not_act(bench: Workbench, act: str) -> None:
    async def tempted() -> list[Any]:
        for name, validator in acting().items():
            workflow.on_update(name, lambda: "done", validator=validator)
        workflow.on_update("swallows", lambda: "done", validator=lambda: _swallowed(acting()["task"]))
        first = workflow.random().random()
        await workflow.receive("go")
        return [first, workflow.random().random()]

    bench.workflow(tempted)
    for name in ("w", "control"):
        bench.start("tempted", id=name)
    before = snapshot(bench)
    with pytest.raises(errors.UpdateRejected):
        send(bench, "w", act).call.outcome()
    assert snapshot(bench) == before
    assert send(bench, "w", "swallows").result == "done"  # what it tried is undone by rebuilding the run, and it refused nothing
    for name in ("w", "control"):
        bench.signal(name, "go")
        assert len(set(bench.result(name))) == 2
    history = bench.history("w")
    bench.crash()
    assert bench.history("w") == history


def _swallowed(act: Callable[[], Any]) -> None:
    try:
        act()
    except RuntimeError:
        pass


def test_a_handler_that_raises_fails_only_the_update(shop: Workbench) -> None:
    sent = send(shop, "w", "broken", "box")
    assert isinstance(sent.result, errors.ApplicationError) and sent.result.details == ("box", 42)
    assert shop.status("w") is Status.RUNNING
    assert send(shop, "w", "set_qty", 3).result == 1
    shop.signal("w", "done")
    assert shop.result("w") == ["box", 3]


@pytest.mark.parametrize("error", [ValueError("bad"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError()], ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_whatever_a_handler_raises_the_run_goes_on(bench: Workbench, error: BaseException, kind: str) -> None:
    async def raising() -> str:
        def sync() -> None:
            raise error

        async def late() -> None:
            await asyncio.sleep(1)
            raise error

        workflow.on_update("x", sync if kind == "sync" else late)
        return str(await workflow.receive("go"))

    bench.workflow(raising)
    bench.start("raising", id="w")
    sent = send(bench, "w", "x")
    bench.skip(SECOND)
    assert type(sent.result).__name__ in (type(error).__name__, "ApplicationError")
    (completed,) = of(bench, "w", e.UpdateCompleted)
    assert completed.error.name == type(error).__name__
    bench.signal("w", "go", "on")
    assert bench.result("w") == "on"


def test_a_result_that_cannot_be_recorded_fails_the_update(bench: Workbench) -> None:
    async def careless() -> None:
        workflow.on_update("x", object)
        await workflow.receive("never")

    bench.workflow(careless)
    bench.start("careless", id="w")
    assert isinstance(send(bench, "w", "x").result, errors.InvalidPayload) and bench.status("w") is Status.RUNNING


# --- ids ---------------------------------------------------------------------------------------------------------------


def test_an_id_is_one_update_also_after_it_is_completed_and_after_a_restart(shop: Workbench) -> None:
    assert send(shop, "w", "set_qty", 5, update_id="u").result == 1
    for again in range(3):
        assert send(shop, "w", "set_qty", 99, update_id="u").result == 1
        if again == 0:
            shop.crash()
        elif again == 1:
            shop.call("suspend", "w")
    assert len(of(shop, "w", e.UpdateAccepted)) == 1 and query(shop, "w", "qty") == 5
    shop.signal("w", "done")
    assert shop.status("w") is Status.COMPLETED
    assert send(shop, "w", "set_qty", 99, update_id="u").result == 1
    shop.crash()
    assert send(shop, "w", "set_qty", 99, update_id="u").result == 1
    with pytest.raises(errors.RunClosed):
        send(shop, "w", "set_qty", 99, update_id="v").call.outcome()


def test_an_id_given_twice_while_the_handler_works_is_one_use_of_it(shop: Workbench) -> None:
    first, second = send(shop, "w", "pay", 7, 60.0, update_id="p"), send(shop, "w", "pay", 7, 60.0, update_id="p")
    shop.skip(60 * SECOND)
    assert (first.result, second.result) == (14, 14) and programs.calls == ["charge 7"]


def test_ids_that_are_not_given_are_made_up(shop: Workbench) -> None:
    given = [send(shop, "w", "set_qty", 1).id, send(shop, "w", "set_qty", 2, update_id="update-3").id, send(shop, "w", "set_qty", 3).id]
    shop.crash()
    given.append(send(shop, "w", "set_qty", 4).id)
    assert len(set(given)) == 4


@pytest.mark.parametrize("bad", ["", " \n", "x" * 2000])
def test_names_are_checked(shop: Workbench, bad: str) -> None:
    before = snapshot(shop)
    for sent in (send(shop, "w", bad), send(shop, "w", "set_qty", 1, update_id=bad)):
        with pytest.raises(errors.InvalidName):
            sent.call.outcome()
    with pytest.raises(errors.RunNotFound):
        send(shop, "nobody", "set_qty", 1).call.outcome()
    with pytest.raises(errors.UpdateNotFound, match="ghost"):
        shop.call("update_result", "w", "ghost")
    assert snapshot(shop) == before


def test_a_handle_of_run_1_never_updates_run_2(shop: Workbench) -> None:
    first = shop.call("run", "w").run_id
    send(shop, "w", "set_qty", 4, update_id="u")
    shop.call("terminate", "w")
    shop.start("cart", id="w")
    with pytest.raises(errors.RunClosed) as caught:
        send(shop, "w", "set_qty", 5, run_id=first).call.outcome()
    assert caught.value.run_id == first
    assert send(shop, "w", "set_qty", 5, run_id=first, update_id="u").result == 1  # what run 1 was told is still known
    assert query(shop, "w", "qty") == 1


# --- where the run is --------------------------------------------------------------------------------------------------


def test_a_suspended_run_is_brought_back_for_it(shop: Workbench) -> None:
    send(shop, "w", "set_qty", 5)
    shop.call("suspend", "w")
    assert send(shop, "w", "set_qty", 6).result == 5
    waiting = send(shop, "w", "pay", 7, 60.0)
    shop.call("suspend", "w")
    shop.skip(60 * SECOND)
    assert waiting.result == 14  # who waits outlives the process


@pytest.mark.parametrize("restart", [False, True])
def test_a_paused_run_takes_it_when_it_goes_on(shop: Workbench, restart: bool) -> None:
    shop.call("pause", "w")
    good, bad = send(shop, "w", "set_qty", 5, update_id="good"), send(shop, "w", "set_qty", -5, update_id="bad")
    assert (good.id, bad.id) == ("good", "bad") and not good.done
    assert [(u.checked, r.deferred) for r in shop.history("w") if isinstance(u := r.event, e.UpdateAccepted)] == [(False, True)] * 2
    if restart:
        shop.crash()
        good, bad = send(shop, "w", "set_qty", 5, update_id="good"), send(shop, "w", "set_qty", -5, update_id="bad")
    shop.call("resume", "w")
    assert good.result == 1
    refused = bad.waiter.outcome()
    assert refused.rejected and refused.error.name == "ValueError"
    history = shop.history("w")
    shop.crash()
    shop.call("suspend", "w")
    assert query(shop, "w", "qty") == 5 and shop.history("w") == history


def test_a_run_whose_code_is_missing_takes_it_when_the_code_comes(shop: Workbench) -> None:
    code = shop.codes.pop("cart")
    shop.crash()
    sent = send(shop, "w", "set_qty", 5)
    assert sent.id and not sent.done
    shop.codes["cart"] = code
    shop.call("define", code)
    shop.host.pump()
    assert sent.result == 1


def test_a_delayed_run_checks_it_when_it_begins(bench: Workbench) -> None:
    bench.workflow(cart)
    bench.start("cart", id="w", start_delay=60 * SECOND)
    good, bad, none = send(bench, "w", "set_qty", 5), send(bench, "w", "set_qty", -5), send(bench, "w", "nothing")
    assert good.id and not good.done
    bench.skip(60 * SECOND)
    assert good.result == 1 and query(bench, "w", "qty") == 5
    assert bad.waiter.outcome().rejected and none.waiter.outcome().rejected
    bench.crash()
    assert query(bench, "w", "qty") == 5


def test_updates_in_one_turn_come_in_order(shop: Workbench) -> None:
    sents = [Sent(shop, "w", "set_qty", (n,), None, None) for n in range(2, 12)]
    commits = shop.store.commits  # type: ignore[attr-defined]
    for sent in sents:
        shop.engine.submit(sent.call)
    shop.host.pump()
    assert [sent.result for sent in sents] == list(range(1, 11)) and shop.store.commits == commits + 1  # type: ignore[attr-defined]


# --- who is running ----------------------------------------------------------------------------------------------------


def test_current_update_info_is_right_in_each_of_five_handlers_and_in_tasks_they_make(bench: Workbench) -> None:
    async def curious() -> Any:
        seen: dict[str, list[str]] = {}

        def note(where: str) -> None:
            info = workflow.current_update_info()
            seen.setdefault("none" if info is None else info.id, []).append(f"{where} {info.name if info else ''}".strip())

        async def child() -> None:
            await asyncio.sleep(1)
            note("task")

        async def handler(wait: int) -> None:
            note("begin")
            task = asyncio.create_task(child())
            await asyncio.sleep(wait)
            note("end")
            await task

        workflow.on_update("x", handler)
        workflow.on_update("now", lambda: note("sync"))
        workflow.on_signal("s", lambda _: note("signal"))
        await workflow.receive("done")
        note("main")
        return seen

    bench.workflow(curious)
    bench.start("curious", id="w")
    for n in range(5):
        send(bench, "w", "x", 5 - n, update_id=f"u{n}")
    send(bench, "w", "now", update_id="sync")
    bench.signal("w", "s")
    bench.skip(6 * SECOND)
    bench.signal("w", "done")
    assert bench.result("w") == {"sync": ["sync now"], "none": ["signal", "main"]} | {f"u{n}": sorted_by_time(5 - n) for n in range(5)}


def sorted_by_time(wait: int) -> list[str]:
    return ["begin x", "task x", "end x"] if wait > 1 else ["begin x", "end x", "task x"]


@pytest.mark.parametrize("places", [1, 3])
def test_a_lock_or_a_semaphore_limits_handlers(bench: Workbench, places: int) -> None:
    async def guarded() -> list[Any]:
        lock: Any = asyncio.Lock() if places == 1 else asyncio.Semaphore(places)
        inside, peak, late = [0], [0], [0]

        async def handler() -> None:
            async with lock:
                inside[0] += 1
                peak[0] = max(peak[0], inside[0])
                await asyncio.sleep(10)
                inside[0] -= 1

        async def hurried() -> bool:
            try:
                await asyncio.wait_for(lock.acquire(), 1)
            except TimeoutError:
                late[0] += 1
                return False
            return True

        workflow.on_update("x", handler)
        workflow.on_update("hurried", hurried)
        await workflow.receive("done")
        await workflow.wait_condition(workflow.all_handlers_finished)
        return [peak[0], late[0]]

    bench.workflow(guarded)
    bench.start("guarded", id="w")
    sents = [send(bench, "w", "x") for _ in range(5)]
    hurried = send(bench, "w", "hurried")
    bench.signal("w", "done")
    bench.skip(100 * SECOND)
    assert [sent.result for sent in sents] == [None] * 5 and hurried.result is False
    assert bench.result("w") == [places, 1]


# --- the end of the run ------------------------------------------------------------------------------------------------


async def returns_at_once() -> str:
    """Its update's handler is done only after it has returned."""
    returned = [False]

    async def handler() -> str:
        await workflow.wait_condition(lambda: returned[0])
        return "update-result"

    workflow.on_update("x", handler)
    returned[0] = True
    return "workflow-result"


def with_start(
    bench: Workbench, workflow_type: str, workflow_id: str, name: str, *args: Any, update_id: str | None = "u", **options: Any
) -> tuple[Call, Call]:
    waiter = Call("update_result", workflow_id, update_id, None)
    request = StartRequest(workflow_type, b"[]", workflow_id=workflow_id, **options)
    call = Call("update_with_start", request, name, bench.values.encode_args(args, {}), update_id, waiter)
    bench.host.ask(call)
    bench.host.pump()
    return call, waiter


def test_an_update_sent_with_the_start_of_a_run_that_returns_at_once_is_completed_and_so_is_the_run(bench: Workbench) -> None:
    bench.workflow(returns_at_once)
    call, waiter = with_start(bench, "returns_at_once", "w", "x")
    assert call.outcome().workflow_id == "w" and _opened(bench, waiter.outcome()) == "update-result"
    assert bench.result("w") == "workflow-result"
    assert bench.kinds("w") == ["WorkflowStarted", "UpdateAccepted", "UpdateCompleted", "WorkflowCompleted"]
    bench.crash()
    assert bench.result("w") == "workflow-result"
    assert _opened(bench, bench.call("update_result", "w", "u")) == "update-result"


@pytest.mark.parametrize("policy", [{}, {"id_conflict": "use_existing"}, {"id_reuse": "reject"}, {"id_conflict": "terminate_existing"}], ids=str)
def test_update_with_start_again_attaches_whatever_the_policies(bench: Workbench, policy: dict[str, Any]) -> None:
    bench.workflow(cart)
    first, waiter = with_start(bench, "cart", "w", "set_qty", 5, **policy)
    assert _opened(bench, waiter.outcome()) == 1
    for again in range(3):
        call, waiter = with_start(bench, "cart", "w", "set_qty", 9, **policy)
        assert call.outcome() == first.outcome() and _opened(bench, waiter.outcome()) == 1
        if again == 0:
            bench.crash()
        elif again == 1:
            bench.signal("w", "done")
    assert bench.result("w") == [5] and len(of(bench, "w", e.WorkflowStarted)) == 1


def test_update_with_start_goes_to_the_open_run_where_the_policy_says_so(bench: Workbench) -> None:
    bench.workflow(cart)
    bench.start("cart", id="w")
    with pytest.raises(errors.AlreadyStarted):
        with_start(bench, "cart", "w", "set_qty", 5)[0].outcome()
    for update_id, old in (("u", 1), (None, 5)):
        call, waiter = with_start(bench, "cart", "w", "set_qty", 5, update_id=update_id, id_conflict="use_existing")
        assert call.outcome().workflow_id == "w" and _opened(bench, waiter.outcome()) == old
    assert len(of(bench, "w", e.WorkflowStarted)) == 1


@pytest.mark.parametrize(("name", "args"), [("set_qty", (-1,)), ("nothing", ())])
def test_an_update_that_the_new_run_refuses_leaves_the_run_as_if_it_had_not_been_sent(bench: Workbench, name: str, args: tuple[Any, ...]) -> None:
    bench.workflow(cart)
    call, waiter = with_start(bench, "cart", "w", name, *args)
    with pytest.raises(errors.UpdateRejected):
        call.outcome()
    assert bench.kinds("w") == ["WorkflowStarted"] and not waiter.poll()
    bench.crash()
    assert send(bench, "w", "set_qty", 2).result == 1


def test_a_run_that_has_ended_when_it_refuses_says_so(bench: Workbench) -> None:
    bench.workflow(returns_at_once)
    with pytest.raises(errors.UpdateRejected, match="has ended"):
        with_start(bench, "returns_at_once", "w", "other")[0].outcome()
    assert bench.kinds("w") == ["WorkflowStarted", "WorkflowCompleted"]


@pytest.mark.parametrize("end", ["returns", "fails", "cancelled", "terminated", "timed out"])
def test_an_update_that_the_end_of_the_run_cuts_short_says_so(bench: Workbench, end: str, caplog: pytest.LogCaptureFixture) -> None:
    async def hasty(how: str) -> None:
        async def forever() -> None:
            await asyncio.sleep(10_000)

        workflow.on_update("x", forever)
        workflow.on_update("y", forever, unfinished="abandon")
        workflow.on_signal("z", lambda _: forever())
        await workflow.receive("go")
        if how == "fails":
            raise ValueError("no")

    bench.workflow(hasty)
    bench.start("hasty", end, id="w", deadline=60 * SECOND if end == "timed out" else None)
    warned, quiet = send(bench, "w", "x"), send(bench, "w", "y")
    bench.signal("w", "z")
    with caplog.at_level(logging.WARNING, "aionlab.workflow"):
        match end:
            case "cancelled":
                bench.call("cancel", "w")
            case "terminated":
                bench.call("terminate", "w")
            case "timed out":
                bench.skip(60 * SECOND)
            case _:
                bench.signal("w", "go")
    for sent in (warned, quiet):
        with pytest.raises(errors.UpdateUnfinished) as caught:
            sent.waiter.outcome()
        assert caught.value.status == bench.status("w").value and "all_handlers_finished" in str(caught.value)
    by_itself = end in ("returns", "fails", "cancelled")
    assert [r.getMessage().partition(". Await")[0] for r in caplog.records if r.name == "aionlab.workflow"] == (
        ["[w] the run ended before these handlers were done: update 'x' (update-1), signal 'z'"] if by_itself else []
    )
    caplog.clear()
    bench.crash()
    with pytest.raises(errors.UpdateUnfinished):
        bench.call("update_result", "w", warned.id)
    assert not caplog.records


def test_a_run_that_waits_for_its_handlers_cuts_none_short(bench: Workbench, caplog: pytest.LogCaptureFixture) -> None:
    async def polite() -> str:
        done: list[str] = []

        async def slow(name: str) -> None:
            await asyncio.sleep(60)
            done.append(name)

        workflow.on_update("x", slow)
        workflow.on_signal("z", slow)
        await workflow.receive("go")
        await workflow.wait_condition(workflow.all_handlers_finished)
        return " ".join(done)

    bench.workflow(polite)
    bench.start("polite", id="w")
    sent = send(bench, "w", "x", "update")
    bench.signal("w", "z", "signal")
    with caplog.at_level(logging.WARNING, "aionlab.workflow"):
        bench.signal("w", "go")
        assert bench.outcome("w") is None
        bench.skip(60 * SECOND)
    assert bench.result("w") == "update signal" and sent.result is None and not caplog.records


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_of_two_handlers_that_fail_the_run_the_first_to_complete_wins(bench: Workbench, order: str) -> None:
    async def doomed() -> None:
        async def handler(name: str) -> None:
            await workflow.wait_condition(lambda: armed[0])
            raise ValueError(name)

        armed = [False]
        workflow.on_signal("x", handler)
        await workflow.receive("go")
        armed[0] = True
        await workflow.receive("never")

    bench.workflow(doomed)
    bench.start("doomed", id="w")
    for name in order:
        bench.signal("w", "x", name)
    bench.signal("w", "go")
    with pytest.raises(ValueError, match=order[0]):
        bench.result("w")


def test_a_main_coroutine_that_returned_first_wins_over_a_handler_that_fails_the_run(bench: Workbench) -> None:
    async def first() -> str:
        returned = [False]

        async def signal(_: Any) -> None:
            await workflow.wait_condition(lambda: returned[0])
            raise ValueError("too late")

        async def update() -> str:
            await workflow.wait_condition(lambda: returned[0])
            await asyncio.sleep(0)
            return "answered"

        workflow.on_signal("s", signal)
        workflow.on_update("u", update)
        await workflow.receive("go")
        returned[0] = True
        return "returned"

    bench.workflow(first)
    bench.start("first", id="w")
    bench.signal("w", "s")
    sent = send(bench, "w", "u")
    bench.signal("w", "go")
    assert bench.result("w") == "returned" and sent.result == "answered"
    history = bench.history("w")
    bench.crash()
    assert bench.history("w") == history


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_handler_may_let_the_run_continue_as_new(bench: Workbench, kind: str) -> None:
    async def going(generation: int = 0) -> int:
        def sync() -> None:
            workflow.continue_as_new(generation + 1)

        async def late() -> None:
            await asyncio.sleep(1)
            workflow.continue_as_new(generation + 1)

        workflow.on_update("on", sync if kind == "sync" else late)
        workflow.on_query("generation", lambda: generation)
        await workflow.receive("never")
        return generation

    bench.workflow(going)
    bench.start("going", id="w")
    first = bench.call("run", "w").run_id
    sent = send(bench, "w", "on")
    bench.skip(SECOND)
    assert query(bench, "w", "generation") == 1 and bench.call("run", "w").run_id != first
    with pytest.raises(errors.UpdateUnfinished, match="ContinuedAsNew"):
        sent.waiter.outcome()


def test_what_a_handler_asks_for_after_the_end_is_not_recorded(bench: Workbench) -> None:
    async def ending() -> str:
        returned = [False]

        async def update() -> int:
            await workflow.wait_condition(lambda: returned[0])
            return await programs.charge(1)

        workflow.on_update("u", update)
        await workflow.receive("go")
        returned[0] = True
        return "returned"

    bench.workflow(ending)
    bench.start("ending", id="w")
    sent = send(bench, "w", "u")
    bench.signal("w", "go")
    assert bench.kinds("w")[-2:] == ["SignalReceived", "WorkflowCompleted"] and programs.calls == []
    with pytest.raises(errors.UpdateUnfinished):
        sent.waiter.outcome()


# --- faults ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", list(Fault), ids=lambda f: f.name)
@pytest.mark.parametrize("place", range(1, 9))
def test_an_update_is_done_once_whatever_commit_goes_wrong(make_bench: Callable[..., Workbench], fault: Fault, place: int) -> None:
    """Callers ask again, by id, until they have an answer; those who wait for one need not."""
    bench = make_bench(FaultyStore(MemoryStore(), at(place, fault)))
    bench.workflow(cart)
    sents: dict[int, Sent] = {}
    for _ in range(30):
        try:
            _play(bench, sents)
            break
        except Crash:
            bench.crash()
            sents.clear()
        except errors.StoreError:
            continue
    assert [sents[n].result for n in range(3)] == [0, 2, 4]
    assert len(of(bench, "w", e.UpdateAccepted)) == len(of(bench, "w", e.UpdateCompleted)) == 3
    assert bench.store.happened[fault] == 1  # type: ignore[attr-defined]
    bench.signal("w", "done")
    assert sorted(bench.result("w")) == ["paid 0", "paid 2", "paid 4"]


def _play(bench: Workbench, sents: dict[int, Sent]) -> None:
    if not bench.store.read("w"):  # type: ignore[arg-type]
        bench.start("cart", id="w")
    for n in range(3):
        if n not in sents:
            sent = send(bench, "w", "pay", n, 1.0, update_id=f"u{n}")
            assert sent.id == f"u{n}"
            sents[n] = sent
    for _ in range(4):
        bench.skip(SECOND)
    assert all(sent.done for sent in sents.values())


def test_a_kill_between_acceptance_and_completion_loses_nothing(shop: Workbench) -> None:
    sent = send(shop, "w", "pay", 7, 60.0)
    shop.call("kill", shop.call("entry", "w").pid)
    shop.host.pump()
    shop.skip(120 * SECOND)
    assert sent.result == 14


def test_who_waits_after_a_restart_gets_the_result(shop: Workbench) -> None:
    send(shop, "w", "pay", 7, 60.0, update_id="p")
    shop.crash()
    call = shop.host.ask(Call("update_result", "w", "p", None))
    shop.host.pump()
    assert not call.poll()
    shop.skip(60 * SECOND)
    assert _opened(shop, call.outcome()) == 14
    assert _opened(shop, shop.call("update_result", "w", "p")) == 14
