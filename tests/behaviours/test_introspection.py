"""Forks and looking, as peer suites pin them down."""
from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aionlab import Retry, activity, workflow
from aionlab.core import errors
from aionlab.core import events as e
from tests.behaviours.reading import kinds, of

CALLS: list[str] = []
BROKEN: list[str] = []


@pytest.fixture(autouse=True)
def mended() -> None:
    CALLS.clear()
    BROKEN.clear()


@activity(retry=Retry(max_attempts=2, initial="1s"))
def stage(name: str) -> str:
    CALLS.append(name)
    if name in BROKEN:
        raise OSError(f"{name} is broken")
    return name.upper()


@workflow
async def staged(names: list[str]) -> list[str]:
    return [await stage(name) for name in names]


@pytest.mark.parametrize("closed", [False, True])
def test_given_failed_runs_when_forked_from_last_failure_then_successes_replay_and_only_the_failed_step_onward_runs(lab: Any, closed: bool) -> None:
    """I03 Given failed runs, when forked from last failure, then successes replay and only the failed step onward runs."""
    BROKEN.append("c")
    failed = [lab.start(staged, ["a", "b", "c", "d"], id=f"w{n}") for n in range(3)]
    lab.clock.skip("1m")
    histories = [handle.history().to_json() for handle in failed]
    assert {str(handle.status) for handle in failed} == {"Failed"}
    BROKEN.clear()
    CALLS.clear()
    forked = [handle.fork("last_failure", id=f"f{n}" if closed else None) for n, handle in enumerate(failed)]
    assert [handle.result() for handle in forked] == [["A", "B", "C", "D"]] * 3 and sorted(CALLS) == ["c"] * 3 + ["d"] * 3
    assert [handle.history().to_json() for handle in failed] == histories
    for source, handle in zip(failed, forked, strict=True):
        (told,) = of(handle, e.WorkflowForked)
        assert (told.workflow_id, told.run_id) == (source.id, source.run_id)


def test_given_filters_then_exact_rows_pages_and_counts(lab: Any) -> None:
    """I05 Given filters (status, name, id prefix, time range, parent, version, attributes, limit, sort, page size 2 limit 3), then exact row sets;
    `count … GROUP BY status`.

    (Each filter alone, and every store: `tests/app/test_listing.py`, `tests/store/test_selecting.py`.)
    """

    @workflow
    async def waits(n: int) -> int:
        await workflow.receive("go")
        if n == 2:
            raise ValueError(n)
        return n

    @workflow
    async def parent() -> None:
        await workflow.start_child(waits, 9, id="child", parent_close="abandon")

    lab.register_search_attribute("amount", int)
    for n in range(6):
        lab.start(waits, n, id=f"w-{n}", search_attributes={"amount": n * 10})
        lab.clock.skip("1m")
    version = lab.runs(id="w-0")[0].version
    for n in (1, 2):
        lab.signal(f"w-{n}", "go")
    lab.start(parent, id="p")

    def ids(text: str = "", **options: Any) -> list[str]:
        return [row.workflow_id for row in lab.runs(text, **options)]

    assert ids("status = 'Completed' AND type = 'waits'") == ["w-1"] and ids(status="Failed") == ["w-2"]
    assert ids("id STARTS_WITH 'w-' AND status = 'Running' ORDER BY id") == ["w-0", "w-3", "w-4", "w-5"]
    assert ids("start_time >= now() - 3m AND id STARTS_WITH 'w-'") == ["w-5", "w-4", "w-3"]
    assert ids("parent_id = 'p'") == ["child"] and len(ids(version=version)) == 7
    assert ids("amount BETWEEN 20 AND 40 ORDER BY amount DESC", page_size=2, limit=3) == ["w-4", "w-3", "w-2"]
    assert ids("ORDER BY amount LIMIT 3", page_size=2) in (["w-0", "w-1", "w-2"], ["child", "p", "w-0"], ["p", "child", "w-0"])
    assert lab.count("id STARTS_WITH 'w-' GROUP BY status") == {"Running": 4, "Completed": 1, "Failed": 1}
    assert lab.count("type = 'waits'", group_by="status") == {"Running": 5, "Completed": 1, "Failed": 1}


@workflow
async def blocked() -> None:
    async def first_waiter() -> None:
        await workflow.receive("one")

    async def second_waiter() -> None:
        await workflow.sleep("1h")

    async def third_waiter() -> None:
        await workflow.wait_condition(lambda: False)

    await asyncio.gather(first_waiter(), second_waiter(), third_waiter())


def test_given_several_blocked_coroutines_then_the_stack_names_each_waiting_function(lab: Any) -> None:
    """I06 Given several blocked coroutines, then the stack query names each waiting function."""
    handle = lab.start(blocked)
    stack = handle.stack()
    told = "\n".join(f"{what} {where}" for what, where in stack)
    for name in ("first_waiter", "second_waiter", "third_waiter"):
        assert name in told, told
    before = handle.history().to_json()
    assert "signal 'one'" in told and handle.history().to_json() == before


def test_a_run_that_is_not_in_memory_or_has_ended_has_no_stack_until_it_is_looked_into(lab: Any) -> None:
    """I06, its neighbour: asking changes nothing, and a run that was dropped says the same when it is back."""
    handle = lab.start(blocked)
    resident = handle.stack()
    handle.suspend()
    assert handle.stack() == []
    handle.signal("other")
    assert handle.stack() == resident
    handle.terminate()
    assert handle.stack() == []


@activity(summary="charges the card")
def charge(n: int) -> int:
    return n


@workflow
async def told() -> None:
    workflow.set_details("packing **3** boxes")

    def approve(by: str) -> None:
        """Who let it through."""

    workflow.on_update("approve", approve)
    workflow.on_signal("note", approve)
    await charge.with_options(summary="charges twice")(1)
    await charge(2)
    await workflow.sleep("1h", summary="cooling off")


def test_given_summaries_and_details_then_they_are_in_the_history_and_in_describe(lab: Any) -> None:
    """I07 Given summaries/details on run, timer, activity and handlers, then they are in the history and in describe.

    Ours: details of the run are said again by replay and not recorded; summaries of timers and activities are.
    """
    handle = lab.start(told)
    assert [scheduled.options.summary for scheduled in of(handle, e.ActivityScheduled)] == ["charges twice", "charges the card"]
    assert [timer.summary for timer in of(handle, e.TimerStarted)] == ["cooling off"]
    shown = handle.describe()._repr_mimebundle_()
    for text in ("packing **3** boxes", "cooling off", "charges twice", "Who let it through."):
        assert text in shown["text/plain"], (text, shown["text/plain"])
    assert {(found.kind, found.name, found.summary) for found in handle.handlers()} == {
        ("signal", "note", "Who let it through."), ("update", "approve", "Who let it through."),
    }  # fmt: skip
    handle.suspend()
    lab.clock.skip("1h")
    assert kinds(handle)[-1] == "WorkflowCompleted" and "packing **3** boxes" in handle.describe()._repr_mimebundle_()["text/plain"]


def test_a_fork_of_what_there_is_not_is_refused_and_writes_nothing(lab: Any) -> None:
    """I03, its neighbour."""
    handle, _ = lab.start(staged, ["a"], id="w"), lab.start(blocked, id="busy")
    assert handle.result() == ["A"]
    for place in (0, 99, -1, "nowhere"):
        with pytest.raises(errors.UsageError):
            handle.fork(place)
    with pytest.raises(errors.AlreadyStarted):
        handle.fork(1, id="busy")
    assert lab.ids() == ["w", "busy"] and len(lab.runs()) == 2
