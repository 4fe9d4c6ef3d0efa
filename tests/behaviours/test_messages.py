"""Signals, queries and updates, as peer suites pin them down."""
from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from aionlab import activity, workflow
from aionlab.core import errors
from aionlab.core import events as e
from aionlab.core.status import Status
from tests.behaviours.reading import kinds, of


def lines(caplog: pytest.LogCaptureFixture, level: int = logging.WARNING) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("aionlab") and record.levelno >= level]


@workflow
async def numbers(how: str) -> list[int]:
    got: list[int] = []

    def take(n: int) -> None:
        got.append(n)

    if how == "handler":
        workflow.on_signal("n", take)
        await workflow.wait_condition(lambda: len(got) == 2)
    else:
        got += [await workflow.receive("n", int), await workflow.receive("n", int)]
    return got


@pytest.mark.parametrize("how", ["handler", "receive"])
@pytest.mark.parametrize("evict", [False, True])
def test_given_four_signals_two_undecodable_then_they_are_dropped_with_a_line_and_the_others_are_processed(
    lab: Any, how: str, evict: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """C02 Given four signals, 1st and 3rd undecodable, then they are dropped with a log line naming workflow and signal, and 2nd and 4th are
    processed."""
    handle = lab.start(numbers, how, id="w")
    for value in ("one", 2, {"three": 3}, 4):
        handle.signal("n", value)
        if evict and handle.status is Status.RUNNING:
            handle.suspend()
    assert handle.result() == [2, 4]
    told = [line for line in lines(caplog) if "dropped" in line]
    assert len(told) == 2 and all("w" in line and "'n'" in line for line in told)


@workflow
async def strict() -> None:
    def refuse(what: str) -> None:
        raise errors.ApplicationError("out of stock", what, 42, type="Stock")

    workflow.on_signal("x", refuse)
    await workflow.receive("never")


def test_given_a_signal_handler_raising_an_application_error_then_the_run_fails_with_it_and_its_details(lab: Any) -> None:
    """C03 Given a signal handler raising an application error, then the run fails with it and its details."""
    handle = lab.start(strict)
    handle.signal("x", "box")
    with pytest.raises(errors.WorkflowFailedError, match="out of stock") as failed:
        handle.result()
    cause = failed.value.cause
    assert isinstance(cause, errors.ApplicationError) and (cause.details, cause.type) == (("box", 42), "Stock")


@workflow
async def asked() -> str:
    workflow.on_query("status", lambda: "fine")
    workflow.on_query("twice", lambda n: n * 2)
    await workflow.receive("go")
    return "done"


def test_given_an_unknown_query_then_an_error_listing_the_known_query_names(lab: Any) -> None:
    """C04 Given an unknown query, then an error listing the known query names."""
    handle = lab.start(asked)
    with pytest.raises(errors.QueryFailed, match="known: status, twice") as failed:
        handle.query("staus")
    assert failed.value.known == ("status", "twice")
    handle.signal("go")
    with pytest.raises(errors.QueryFailed, match="known: status, twice"):
        handle.query("staus")


def test_given_a_closed_run_then_queries_still_answer_and_with_reject_if_closed_they_are_rejected_with_the_status(
    lab: Any, lab_factory: Callable[..., Any]
) -> None:
    """C07 Given a closed run, then queries still answer; with reject-if-not-open they are rejected with the status."""
    lab.start(asked, id="done").signal("go")
    lab.start(asked, id="cancelled").cancel()
    lab.start(asked, id="terminated").terminate()
    before = {name: lab.get(name).history().to_json() for name in lab.ids()}
    lab.close()
    again = lab_factory("lab")
    for name, status in (("done", "Completed"), ("cancelled", "Cancelled"), ("terminated", "Terminated")):
        handle = again.get(name)
        assert (handle.query("status"), handle.query("twice", 4)) == ("fine", 8)
        with pytest.raises(errors.RunClosed, match=status) as refused:
            handle.query("status", reject_if_closed=True)
        assert refused.value.status == status and handle.history().to_json() == before[name]


def test_a_query_that_acts_is_refused_and_leaves_the_run_as_it_was(lab: Any) -> None:
    """C07, its neighbour: queries may look and not act."""

    @workflow
    async def meddled() -> int:
        seen: list[int] = []
        workflow.on_query("sleeps", lambda: workflow.sleep(1))
        workflow.on_query("creates", lambda: asyncio.ensure_future(workflow.receive("x")))
        workflow.on_query("sets", lambda: workflow.on_query("another", len))
        workflow.on_query("attributes", lambda: workflow.upsert_memo(x=1))
        workflow.on_query("raises", lambda: 1 / 0)
        seen.append(await workflow.receive("go"))
        return len(seen)

    handle = lab.start(meddled)
    before = handle.history().to_json()
    for name in ("sleeps", "creates", "sets", "attributes", "raises"):
        with pytest.raises(errors.QueryFailed):
            handle.query(name)
    assert handle.history().to_json() == before
    handle.signal("go")
    assert handle.result() == 1


@activity
def double(n: int) -> int:
    return n * 2


@workflow
async def cart(qty: int = 1) -> dict[str, Any]:
    state: dict[str, Any] = {"qty": qty, "who": []}

    def check(qty: int) -> None:
        if qty < 1:
            raise ValueError(f"{qty} is too few")

    def set_qty(qty: int) -> int:
        state["qty"] = qty
        return qty

    async def broken() -> None:
        raise errors.ApplicationError("out of stock", "box")

    async def told(tag: str) -> list[Any]:
        async def deeper() -> Any:
            await workflow.sleep(1)
            info = workflow.current_update_info()
            return [info.id, info.name] if info else None

        before = workflow.current_update_info()
        task = asyncio.create_task(deeper())
        doubled = await double(len(tag))
        info = workflow.current_update_info()
        return [tag, before == info, info.id if info else None, await task, doubled]

    workflow.on_update("set_qty", set_qty, validator=check)
    workflow.on_update("broken", broken)
    workflow.on_update("told", told)
    workflow.on_query("outside", lambda: workflow.current_update_info())
    await workflow.receive("order")
    return state


def test_given_a_validator_that_raises_then_the_caller_gets_the_rejection_and_no_event_is_written(lab: Any) -> None:
    """C08 Given an update with a validator that raises, then the caller gets the rejection and **no event is written**."""
    handle = lab.start(cart)
    before = handle.history().to_json()
    with pytest.raises(errors.UpdateRejected, match="0 is too few") as refused:
        handle.update("set_qty", 0)
    assert isinstance(refused.value.cause, ValueError)
    for name, args in (("set_quantity", (1,)), ("set_qty", ()), ("set_qty", (1, 2)), ("set_qty", ("x",))):
        with pytest.raises(errors.UpdateRejected):
            handle.update(name, *args)
    assert handle.history().to_json() == before
    handle.suspend()
    with pytest.raises(errors.UpdateRejected, match="0 is too few"):
        handle.update("set_qty", 0)
    assert handle.history().to_json() == before


def test_a_rejected_update_id_may_be_used_again(lab: Any) -> None:
    """C08, its neighbour: what was never written is not remembered."""
    handle = lab.start(cart)
    with pytest.raises(errors.UpdateRejected):
        handle.update("set_qty", 0, update_id="u")
    assert handle.update("set_qty", 3, update_id="u") == handle.update("set_qty", 9, update_id="u") == 3


def test_given_an_update_handler_raising_then_only_the_update_fails_and_the_run_goes_on(lab: Any) -> None:
    """C09 Given an update handler raising, then only the update fails; the run goes on."""
    handle = lab.start(cart, 2)
    with pytest.raises(errors.UpdateFailedError, match="out of stock") as failed:
        handle.update("broken")
    assert isinstance(failed.value.cause, errors.ApplicationError) and failed.value.cause.details == ("box",)
    assert handle.status is Status.RUNNING
    handle.signal("order")
    assert handle.result()["qty"] == 2


def test_given_five_concurrent_updates_then_current_update_info_is_right_in_each_handler_and_in_tasks_it_made(lab: Any) -> None:
    """C10 Given five concurrent updates, then "current update info" is right in each handler and in tasks it spawned."""
    handle = lab.start(cart)
    updates = [handle.start_update("told", "x" * n, update_id=f"u{n}") for n in range(5)]
    handle.suspend()
    lab.clock.skip(1)
    for n, update in enumerate(updates):
        assert update.result() == ["x" * n, True, f"u{n}", [f"u{n}", "told"], n * 2]
    assert handle.query("outside") is None


@workflow
async def at_once() -> str:
    workflow.on_update("hello", lambda name: f"hello {name}", unfinished="abandon")
    return "returned"


def test_given_an_update_sent_with_the_start_of_a_run_that_returns_at_once_then_both_complete(lab: Any) -> None:
    """C12 Given an update sent before any worker exists and a run that returns at once, then both complete.

    Ours: there is no queue without a worker; the update comes with the start, or while the start is delayed.
    """
    update = lab.update_with_start(at_once, update=("hello", "ada"), id="w")
    assert update.result() == "hello ada" and lab.get("w").result() == "returned"


def test_given_an_update_sent_while_the_start_is_delayed_then_both_complete(lab: Any, lab_factory: Callable[..., Any]) -> None:
    """C12, its neighbour: nothing of the run has been executed when the update is accepted, not even in the kernel that took it."""
    lab.start(at_once, id="w", start_delay="1h")
    lab.get("w").start_update("hello", "ada", update_id="u")
    lab.close()
    again = lab_factory("lab")
    again.clock.skip("1h")
    assert again.get_update("w", "u").result() == "hello ada" and again.get("w").result() == "returned"


@workflow
async def counter(total: int = 0) -> int:
    workflow.on_update("add", lambda n: total + n)
    await workflow.receive("end")
    return total


def test_given_a_handle_of_run_1_and_a_later_run_2_when_run_1_is_updated_then_never_run_2(lab: Any) -> None:
    """C13 Given a handle from run 1 and a later run 2 of the same id, when run 1's handle updates, then "not found", never run 2.

    Ours: it says that run 1 is closed, which is more.
    """
    first = lab.start(counter, 1, id="c")
    first.signal("end")
    second = lab.start(counter, 10, id="c")
    before = second.history().to_json()
    for act in (lambda: first.update("add", 1), lambda: first.signal("end"), first.cancel, first.terminate, first.pause):
        with pytest.raises(errors.RunClosed) as refused:
            act()
        assert refused.value.run_id == first.run_id
    assert second.history().to_json() == before
    with pytest.raises(errors.RunNotFound):
        lab.update("c", "add", 1, run_id="no-such-run")
    assert second.update("add", 1) == 11


def test_given_update_with_start_repeated_with_the_same_update_id_then_it_attaches_to_the_completed_update(lab: Any) -> None:
    """C14 Given update-with-start repeated with the same update id, then it attaches to the completed update and returns the same result,
    whatever the id policies."""
    first = lab.update_with_start(counter, 1, update=("add", 1), id="c", update_id="u")
    assert first.result() == 2
    policies = [{}, *({"id_conflict": policy} for policy in ("fail", "use_existing", "terminate_existing")), *({"id_reuse": policy} for policy in ("reject", "allow"))]
    for close in (False, True):
        if close:
            lab.signal("c", "end")
        for options in policies:
            again = lab.update_with_start(counter, 50, update=("add", 99), id="c", update_id="u", **options)
            assert (again.result(), again.handle.run_id) == (2, first.handle.run_id)
    assert len(lab.runs()) == 1


@workflow
async def leaves(how: str, unfinished: str = "warn") -> str:
    async def slow(_: Any = None) -> str:
        await workflow.sleep("1h")
        return "slow"

    workflow.on_signal("slow", slow, unfinished=unfinished)
    workflow.on_update("slow", slow, unfinished=unfinished)
    await workflow.receive("end")
    match how:
        case "waits":
            await workflow.wait_condition(workflow.all_handlers_finished)
        case "fails":
            raise ValueError("failed")
        case "continues":
            workflow.continue_as_new("returns")
    return how


def unfinished(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line for line in lines(caplog) if "handler" in line]


@pytest.mark.parametrize("how", ["returns", "fails", "cancelled", "continues"])
@pytest.mark.parametrize("kind", ["signal", "update"])
def test_given_a_run_closing_with_unfinished_handlers_then_a_warning(lab: Any, how: str, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """C15 Given a run closing with unfinished handlers, then a warning; …; same on failure, cancel, continue-as-new."""
    handle = lab.start(leaves, how, id="w")
    handle.signal("slow") if kind == "signal" else handle.start_update("slow")
    handle.cancel() if how == "cancelled" else handle.signal("end")
    assert lab.get("w", handle.run_id).status.closed
    (line,) = unfinished(caplog)
    assert "w" in line and "slow" in line


@pytest.mark.parametrize(("how", "policy"), [("waits", "warn"), ("returns", "abandon"), ("fails", "abandon"), ("cancelled", "abandon"), ("continues", "abandon")])
def test_given_handlers_that_were_awaited_or_may_be_abandoned_then_no_warning(lab: Any, how: str, policy: str, caplog: pytest.LogCaptureFixture) -> None:
    """C15 …; none if it awaited `all_handlers_finished` or the handler's policy is ABANDON."""
    handle = lab.start(leaves, how, policy, id="w")
    handle.signal("slow")
    handle.start_update("slow")
    handle.cancel() if how == "cancelled" else handle.signal("end")
    lab.clock.skip("1h")
    assert lab.get("w", handle.run_id).status.closed and unfinished(caplog) == []


@workflow
async def torn(returns: bool) -> str:
    async def fails(tag: str) -> None:
        await workflow.wait_condition(lambda: bool(ends))
        raise errors.ApplicationError(f"{tag} failed")

    ends: list[str] = []
    workflow.on_signal("fails", fails)
    workflow.on_signal("end", ends.append)
    await workflow.wait_condition(lambda: bool(ends))
    if not returns:
        await workflow.receive("never")
    return "main"


def test_given_two_handlers_that_both_fail_the_run_then_the_first_completion_wins(lab: Any) -> None:
    """C16 Given two handlers that both fail the run, then the first completion wins; …"""
    handle = lab.start(torn, False)
    for tag in ("first", "second"):
        handle.signal("fails", tag)
    handle.signal("end")
    with pytest.raises(errors.WorkflowFailedError, match="first failed"):
        handle.result()
    assert len(of(handle, e.WorkflowFailed)) == 1


def test_given_a_main_coroutine_that_returned_first_then_its_result_wins(lab: Any) -> None:
    """C16 …; if the main coroutine returned first, its result wins."""
    handle = lab.start(torn, True)
    handle.signal("fails", "handler")
    handle.signal("end")
    assert handle.result() == "main" and kinds(handle)[-1] == "WorkflowCompleted"


@workflow
async def listens(name: str = "x") -> list[Any]:
    got = []
    while (value := await workflow.receive(name)) is not None:
        got.append(value)
    return got


def test_given_the_same_idempotency_key_on_two_sends_then_one_delivery(lab: Any, lab_factory: Callable[..., Any]) -> None:
    """C17 Given the same idempotency key on two sends, then one delivery."""
    handle = lab.start(listens, id="w")
    assert [handle.signal("x", n, idempotency_key=key) for n, key in ((1, "k"), (2, "k"), (3, "l"), (4, None), (5, None))] == [True, False, True, True, True]
    lab.close()
    again = lab_factory("lab")
    assert again.signal("w", "x", 6, idempotency_key="k") is False
    again.signal("w", "x")
    assert again.get("w").result() == [1, 3, 4, 5] and len(of(again.get("w"), e.SignalReceived)) == 5


def test_given_a_send_to_an_unknown_id_then_an_error_naming_it(lab: Any) -> None:
    """C19 Given a send to an unknown id, then an error naming it."""
    lab.start(listens, id="order-1")
    with pytest.raises(errors.RunNotFound, match=r"order-2.*did you mean 'order-1'"):
        lab.signal("order-2", "x")
    for act in (lambda: lab.query("nobody", "x"), lambda: lab.update("nobody", "x"), lambda: lab.cancel("nobody"), lambda: lab.get("nobody")):
        with pytest.raises(errors.RunNotFound, match="nobody"):
            act()
    with pytest.raises(errors.RunNotFound, match="no-run"):
        lab.signal("order-1", "x", run_id="no-run")
    assert kinds(lab.get("order-1")) == ["WorkflowStarted"]


def test_given_a_send_from_a_workflow_to_an_unknown_id_then_its_code_can_catch_an_error_naming_it(lab: Any) -> None:
    """C19, its neighbour."""

    @workflow
    async def sends() -> list[str]:
        told = []
        for target in ("nobody", "ended"):
            try:
                await workflow.send(target, "x", 1)
            except (errors.RunNotFound, errors.RunClosed) as error:
                told.append(f"{type(error).__name__}: {error}")
        return told

    lab.start(listens, id="ended").signal("x")
    unknown, closed = lab.start(sends).result()
    assert unknown.startswith("RunNotFound") and "nobody" in unknown and closed.startswith("RunClosed") and "ended" in closed


@workflow
async def guarded(permits: int) -> dict[str, Any]:
    lock: Any = asyncio.Lock() if permits == 1 else asyncio.Semaphore(permits)
    state = {"inside": 0, "peak": 0, "done": 0}

    async def work(_: Any = None) -> None:
        async with lock:
            state["inside"] += 1
            state["peak"] = max(state["peak"], state["inside"])
            await workflow.sleep(10)
            await double(1)
            state["inside"] -= 1
            state["done"] += 1

    workflow.on_signal("work", work)
    tasks = [asyncio.create_task(work()) for _ in range(3)]
    await workflow.receive("enter")
    try:
        await asyncio.wait_for(lock.acquire(), 5)
    except TimeoutError:
        state["timeouts"] = 1
    await asyncio.gather(*tasks)
    await workflow.wait_condition(workflow.all_handlers_finished)
    return state


@pytest.mark.parametrize("permits", [1, 3])
@pytest.mark.parametrize("evict", [False, True])
def test_given_a_lock_or_semaphore_in_workflow_and_handlers_and_five_tasks_then_peak_concurrency_is_1_or_3_and_acquisition_timeouts_work(
    lab: Any, permits: int, evict: bool
) -> None:
    """C20 Given an asyncio.Lock or Semaphore(3) in workflow/handlers and five tasks, then peak concurrency is 1 / 3 and acquisition timeouts
    work."""
    handle = lab.start(guarded, permits)
    for name in ("work", "work", "enter"):
        handle.signal(name)
    for _ in range(12):
        if evict and handle.status is Status.RUNNING:
            handle.suspend()
        lab.clock.skip(5)
    assert handle.result() == {"inside": 0, "peak": permits, "done": 5, "timeouts": 1}
