"""Values at every door of a lab: what cannot be recorded is refused where it is handed in, and nothing is half written."""
from __future__ import annotations

import threading
from typing import Any

import pytest

from aionlab import errors
from tests.app.notebook import Notebook

CELL = """
import threading
from dataclasses import dataclass
from typing import NamedTuple
import enum

class Size(enum.Enum):
    SMALL = "s"
    LARGE = "l"

class Place(NamedTuple):
    x: int
    y: int = 0

@dataclass
class Item:
    sku: str
    size: Size
    where: Place | None = None

@activity
def weigh(item: Item, extra: object = None) -> int:
    return len(item.sku)

@activity
def opens() -> object:
    return threading.Lock()

@activity
def moved(items: list[Item]) -> dict[str, Item]:
    return {item.sku: Item(item.sku, Size.LARGE, Place(1, 2)) for item in items}

@workflow
async def careless(what: str) -> list:
    told = []
    if what == "argument":
        try:
            await weigh(Item("abc", Size.SMALL), {"deep": [1, threading.Lock()]})
        except Exception as error:
            told.append(f"{type(error).__name__}: {error}")
        told.append(await weigh(Item("abc", Size.SMALL)))
    elif what == "activity result":
        try:
            await opens()
        except Exception as error:
            told.append(str(error.cause))
    elif what == "result":
        return [threading.Lock()]
    else:
        told.append(await workflow.receive("note"))
    return told

@workflow
async def moving(items: list[Item]) -> list:
    found = await moved(items)
    one = found["b"]
    return [type(one) is Item, type(one.where) is Place, one.size is Size.LARGE, one.where.y, sorted(found), type(items[0]) is Item]
"""


@pytest.fixture
def book(lab: Any) -> Notebook:
    made = Notebook(lab)
    made.run(CELL)
    return made


def events(lab: Any, name: str) -> list[str]:
    return list(lab.events(name)["event"])


def test_given_an_unserialisable_argument_then_a_clear_error_at_the_call_and_no_half_written_command(lab: Any, book: Notebook) -> None:
    result = lab.start(book["careless"], "argument", id="a").result(10)
    assert result[0].startswith("InvalidPayload: weigh") and "deep[1]: _thread.lock cannot be recorded" in result[0] and result[1] == 3
    assert events(lab, "a") == ["WorkflowStarted", "ActivityScheduled", "ActivityStarted", "ActivityCompleted", "WorkflowCompleted"]


def test_given_an_unserialisable_result_then_the_attempt_or_the_run_fails_with_its_path(lab: Any, book: Notebook) -> None:
    assert "result of opens: _thread.lock cannot be recorded; open it inside the activity" in lab.start(book["careless"], "activity result").result(10)[0]
    with pytest.raises(errors.WorkflowFailedError, match=r"result\[0\]: _thread\.lock cannot be recorded") as failed:
        lab.start(book["careless"], "result", id="r").result(10)
    assert isinstance(failed.value.cause, errors.InvalidPayload) and events(lab, "r") == ["WorkflowStarted", "WorkflowFailed"]


def test_given_an_unserialisable_value_from_outside_then_nothing_is_written(lab: Any, book: Notebook) -> None:
    handle = lab.start(book["careless"], "note", id="n")
    lab.settle()
    before, lock = events(lab, "n"), threading.Lock()
    for act in (
        lambda: lab.start(book["careless"], lock), lambda: lab.start(book["careless"], "x", memo={"m": lock}), lambda: handle.signal("note", [lock]),
        lambda: handle.query("state", lock), lambda: handle.update("set", lock),
    ):  # fmt: skip
        with pytest.raises(errors.InvalidPayload, match=r"_thread\.lock cannot be recorded"):
            act()
    assert events(lab, "n") == before and lab.ids() == ["n"]
    handle.signal("note", 1)
    assert handle.result(10) == [1]


def test_classes_of_cells_go_through_records_and_come_back_as_the_version_s_own(lab: Any, book: Notebook) -> None:
    item = book["Item"]
    assert lab.start(book["moving"], [item("a", book["Size"].SMALL), item("b", book["Size"].LARGE)]).result(10) == [True, True, True, 2, ["a", "b"], True]
    plain = [{"sku": "a", "size": "s"}, {"sku": "b", "size": "LARGE", "where": [3]}]
    assert lab.start(book["moving"], plain).result(10) == [True, True, True, 2, ["a", "b"], True], "plain values become what the annotation says"
    with pytest.raises(errors.WorkflowFailedError, match=r"input\[0\]\[1\]\.size"):
        lab.start(book["moving"], [plain[0], {"sku": "c", "size": "huge"}]).result(10)
