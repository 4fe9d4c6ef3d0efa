"""Classes written beside a workflow, in a module rather than a cell, are values like any others (E09 and its neighbours)."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from aionlab import activity, workflow
from aionlab.core import errors


class Kind(Enum):
    SMALL = 1
    LARGE = 2


class Size(NamedTuple):
    width: int
    name: str


class Thing:
    """What orders are."""


@dataclass
class Order(Thing):
    id: str
    n: int = 1
    kind: Kind = Kind.SMALL

    def more(self) -> Order:
        return Order(self.id, self.n + 1, Kind.LARGE)


class Declined(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@activity
def grow(o: Order) -> Order:
    assert type(o) is Order
    return o.more()


@activity
def hand_back(o: Any) -> Any:
    return o


@activity
def decline() -> None:
    raise Declined(7)


@workflow
async def typed(o: Order, size: Size) -> list[Any]:
    assert isinstance(o, Order) and isinstance(size, Size)
    o = await grow(o)
    try:
        await decline()
    except errors.ActivityError as error:
        assert isinstance(error.cause, Declined) and error.cause.code == 7
    other = await workflow.receive("other", Order)
    assert isinstance(o, Order) and isinstance(other, Order)
    return [o.more(), other, size]


@workflow
async def untyped(o):  # type: ignore[no-untyped-def]
    assert isinstance(o, Order)
    o = await hand_back(o)
    assert isinstance(o, Order)
    return o.more()


def test_classes_of_a_module_go_through_arguments_signals_activities_errors_and_results(lab: Any) -> None:
    handle = lab.start(typed, Order("a"), Size(2, "b"))
    handle.suspend()
    handle.signal("other", Order("z", kind=Kind.LARGE))
    first, other, size = handle.result()
    assert (first, other) == (Order("a", 3, Kind.LARGE), Order("z", 1, Kind.LARGE)) and type(first) is type(other) is Order
    assert size == Size(2, "b")


def test_they_do_without_annotations(lab: Any) -> None:
    found = lab.start(untyped, Order("a")).result()
    assert found == Order("a", 2, Kind.LARGE) and type(found) is Order


def test_they_come_back_in_a_kernel_that_has_defined_nothing(lab: Any, lab_factory: Callable[..., Any]) -> None:
    lab.start(typed, Order("a"), Size(2, "b"), id="w")
    lab.close()
    again = lab_factory("lab")
    again.signal("w", "other", Order("z"))
    assert [str(again.get("w").status), again.get("w").result()[0].n] == ["Completed", 3]
    again.define(typed)
    assert again.get("w").result()[:2] == [Order("a", 3, Kind.LARGE), Order("z")]
