"""Children and chains as users meet them: cells, handles, fresh kernels, verbs."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import aionlab
from aionlab.core import errors
from aionlab.core import events as e
from tests.app.notebook import Notebook

SHIP = '''
import asyncio
from dataclasses import dataclass

@dataclass
class Order:
    id: str
    n: int

@workflow
async def ship(o: Order) -> Order:
    await asyncio.sleep(5)
    return Order(o.id, o.n + 1)
'''
ORDER = '''
@workflow
async def order(o: Order) -> Order:
    first = await ship(o)
    child = await workflow.start_child(ship, first, id=f"ship-{o.id}", parent_close="request_cancel")
    assert isinstance(first, Order), first
    return await child
'''
ENTITY = '''
@workflow
async def counter(total: int = 0) -> int:
    workflow.on_query("total", lambda: total)
    value = await workflow.receive("add")
    if value is None:
        return total
    workflow.continue_as_new(total + value)
'''


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Any]:
    with aionlab.open(tmp_path / "lab.db", clock="virtual") as opened:
        yield opened


def again(lab: Any) -> Any:
    """The same database in a kernel that has run no cell."""
    lab.close()
    return aionlab.open(lab.path, clock="virtual")


def test_a_workflow_of_a_cell_calls_another_and_both_come_back_in_a_fresh_kernel(lab: Any) -> None:
    notebook = Notebook(lab)
    notebook.run(SHIP)
    notebook.run(ORDER)
    lab.start(notebook["order"], notebook["Order"]("o1", 1), id="o-1")
    lab.clock.skip("5s")
    with again(lab) as fresh:
        assert [str(fresh.get(each).status) for each in ("o-1", "o-1/ship-0", "ship-o1")] == ["Running", "Completed", "Running"]
        fresh.clock.skip("5s")
        result = fresh.get("o-1").result(timeout=20)
        assert (type(result).__name__, result.id, result.n) == ("Order", "o1", 3)


def test_starting_a_workflow_defines_those_it_starts(lab: Any) -> None:
    notebook = Notebook(lab)
    notebook.lab = type("Quiet", (), {"library": lab.library, "define": lambda self, value: None, "names_came": lambda self: None})()
    notebook.run(SHIP)
    notebook.run(ORDER)
    assert lab.workflow_types() == []
    lab.start(notebook["order"], notebook["Order"]("o1", 1))
    assert lab.workflow_types() == ["order", "ship"]
    before = lab.call("routed", "ship")
    notebook.run(SHIP.replace("sleep(5)", "sleep(6)"))
    lab.start(notebook["order"], notebook["Order"]("o2", 1))
    assert lab.call("routed", "ship") != before


def test_workflows_that_call_each_other(lab: Any) -> None:
    notebook = Notebook(lab)
    notebook.lab = type("Quiet", (), {"library": lab.library, "define": lambda self, value: None, "names_came": lambda self: None})()
    notebook.run("@workflow\nasync def even(n: int) -> bool:\n    return True if n == 0 else await odd(n - 1)\n")
    notebook.run("@workflow\nasync def odd(n: int) -> bool:\n    return False if n == 0 else await even(n - 1)\n")
    assert lab.start(notebook["even"], 7).result(timeout=20) is False
    assert lab.workflow_types() == ["even", "odd"]


def test_a_child_is_pinned_to_the_version_it_started_with(lab: Any) -> None:
    notebook = Notebook(lab)
    notebook.run(SHIP)
    notebook.run(ORDER)
    handle = lab.start(notebook["order"], notebook["Order"]("o1", 1), id="o-1")
    notebook.run(SHIP.replace("o.n + 1", "o.n + 100"))
    lab.clock.skip("5s")
    lab.clock.skip("5s")
    asked = [r.event for r in lab.get("o-1").history() if isinstance(r.event, e.ChildWorkflowStarted)]
    assert asked[0].version != asked[1].version
    assert handle.result(timeout=20).n == 102
    with again(lab) as fresh:
        assert fresh.get("o-1").query.__name__ == "query" and fresh.get("o-1").result(timeout=20).n == 102


def test_options_outside_of_the_code_are_refused_where_they_would_be_lost(lab: Any) -> None:
    notebook = Notebook(lab)
    notebook.run(SHIP)
    with pytest.raises(errors.CodeRefused, match=r"later .* is ship with options, and a version refers to other workflows by name alone: call ship.with_options"):
        notebook.run("later = ship.with_options(parent_close='abandon')\n@workflow\nasync def order(o):\n    return await later(o)\n")


def test_options_inside_of_the_code(lab: Any) -> None:
    notebook = Notebook(lab)
    notebook.run(SHIP)
    notebook.run("@workflow\nasync def order(o: Order):\n    return await ship.with_options(id='the-ship', deadline='1s')(o)\n")
    handle = lab.start(notebook["order"], notebook["Order"]("o1", 1))
    lab.clock.skip("1s")
    with pytest.raises(errors.WorkflowFailedError) as caught:
        handle.result(timeout=20)
    assert isinstance(caught.value.cause, errors.ChildWorkflowError) and isinstance(caught.value.cause.cause, errors.WorkflowTimedOutError)
    assert str(lab.get("the-ship").status) == "TimedOut"


def test_the_error_of_a_child_reaches_the_caller(lab: Any) -> None:
    notebook = Notebook(lab)
    notebook.run("class OutOfStock(Exception):\n    pass\n@workflow\nasync def ship(n):\n    raise OutOfStock(n)\n")
    notebook.run("@workflow\nasync def order(n):\n    return await ship(n)\n")
    with pytest.raises(errors.WorkflowFailedError, match="child ship .* did not complete: OutOfStock: 7") as caught:
        lab.start(notebook["order"], 7).result(timeout=20)
    assert isinstance(caught.value.cause.cause, notebook["OutOfStock"])


def test_runs_are_found_by_their_parent(lab: Any) -> None:
    notebook = Notebook(lab)
    notebook.run("@workflow\nasync def part(n):\n    await workflow.receive('x')\n    workflow.continue_as_new(n)\n")
    notebook.run("@workflow\nasync def whole():\n    for n in range(3):\n        await workflow.start_child(part, n)\n    await workflow.receive('go')\n")
    lab.start(notebook["whole"], id="w")
    lab.signal("w/part-1", "x")
    found = lab.runs("parent = 'w' AND status = 'Running'")
    assert sorted(run.workflow_id for run in found) == ["w/part-0", "w/part-1", "w/part-2"]
    assert len(list(lab.runs("parent = 'w'"))) == 4
    lab.terminate("w")
    assert {str(run.status) for run in lab.runs("parent = 'w'")} == {"Terminated", "ContinuedAsNew"}


# --- chains -------------------------------------------------------------------------------------------------------------


def test_a_handle_goes_on_with_its_chain(lab: Any) -> None:
    notebook = Notebook(lab)
    notebook.run(ENTITY)
    handle = lab.start(notebook["counter"], id="c")
    for n in (1, 2, 3):
        assert handle.signal("add", n)
    assert str(handle.status) == "Running" and handle.query("total") == 6
    assert handle.stack() and len(handle.history()) == 1
    handle.signal("add", None)
    assert handle.result(timeout=20) == 6 and str(handle.status) == "Completed"
    first = lab.get("c", handle.run_id)
    assert str(first.status) == "ContinuedAsNew" and first.query("total") == 0
    with pytest.raises(errors.WorkflowContinuedAsNewError, match="c continued as new: its next run is ") as caught:
        first.result(timeout=20)
    runs = [row.run_id for row in lab.call("store", "run_chain", "c")]
    assert caught.value.next_run_id == runs[1]
    assert first.result(timeout=20, follow=True) == 6
    with pytest.raises(errors.WorkflowContinuedAsNewError):
        handle.result(timeout=20, follow=False)


def test_c13_a_handle_of_one_run_never_means_another(lab: Any) -> None:
    notebook = Notebook(lab)
    notebook.run(ENTITY)
    first = lab.start(notebook["counter"], id="c")
    first.terminate()
    lab.start(notebook["counter"], 5, id="c")
    with pytest.raises(errors.RunClosed):
        first.signal("add", 1)
    assert str(first.status) == "Terminated"
    alone = lab.get("c", lab.get("c").run_id)
    alone.signal("add", 1)
    with pytest.raises(errors.RunClosed, match="ContinuedAsNew"):
        alone.signal("add", 1)
    assert lab.get("c").query("total") == 6


def test_who_waits_for_a_chain_waits_on_in_a_fresh_kernel(lab: Any) -> None:
    notebook = Notebook(lab)
    notebook.run(ENTITY)
    run_id = lab.start(notebook["counter"], id="c").run_id
    lab.signal("c", "add", 4)
    with again(lab) as fresh:
        fresh.signal("c", "add", 5)
        fresh.signal("c", "add", None)
        assert fresh.get("c").result(timeout=20) == 9
        assert fresh.get("c", run_id).result(timeout=20, follow=True) == 9


@pytest.mark.parametrize("children", [True, False])
def test_cancelling_with_children(lab: Any, children: bool) -> None:
    notebook = Notebook(lab)
    notebook.run("import asyncio\n@workflow\nasync def nap():\n    await asyncio.sleep(60)\n")
    notebook.run("@workflow\nasync def parent():\n    await workflow.start_child(nap, id='n', parent_close='abandon')\n    await asyncio.sleep(60)\n")
    handle = lab.start(notebook["parent"], id="p")
    handle.cancel("enough", children=children)
    assert [str(lab.get(each).status) for each in "pn"] == ["Cancelled", "Cancelled" if children else "Running"]


def test_a_workflow_is_not_called_outside_of_one(lab: Any) -> None:
    notebook = Notebook(lab)
    notebook.run(ENTITY)
    with pytest.raises(errors.NotAWorkflow, match=r"start it with `%start counter"):
        notebook["counter"](1)
    for name in ("start_child", "execute_child", "continue_as_new"):
        with pytest.raises(errors.NotInWorkflow, match=f"workflow.{name} works inside a running workflow only"):
            getattr(aionlab.workflow, name)(notebook["counter"])


def test_options_of_a_child_do_not_start_a_run(lab: Any) -> None:
    notebook = Notebook(lab)
    notebook.run(SHIP)
    with pytest.raises(errors.InvalidOption, match=r"ship.with_options\(…\) says how a child is asked for"):
        lab.start(notebook["ship"].with_options(id="x"), notebook["Order"]("o", 1))


def test_options_of_a_child_are_no_part_of_a_version(lab: Any) -> None:
    notebook = Notebook(lab)
    notebook.run(SHIP)
    before = lab.call("routed", "ship")
    notebook.run("later = ship.with_options(parent_close='abandon')\n")
    assert lab.call("routed", "ship") == before and len(lab.versions("ship")) == 1
