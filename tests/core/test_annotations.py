"""Annotations of every kind: what each makes of plain JSON, what it refuses and where, and what hints a callable has."""
from __future__ import annotations

import enum
import typing
from collections import deque
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal, NewType, Protocol, Union, runtime_checkable

import pytest
import typing_extensions

from aionlab.core.annotations import classes_in, fitter, hints_of, spell
from aionlab.core.classes import recorded_name
from aionlab.core.errors import InvalidPayload
from aionlab.core.payload import Converter

CODEC = Converter()


class Color(enum.Enum):
    RED = 1
    GREEN = 2


@dataclass
class Line:
    sku: str
    price: Decimal


@dataclass
class Order:
    lines: list[Line]
    when: date | None = None


class Named(Protocol):
    name: str


@runtime_checkable
class Closing(Protocol):
    def close(self) -> None: ...


Orders = NewType("Orders", list[Order])
Amount = typing_extensions.TypeAliasType("Amount", Decimal)
Basket = typing_extensions.TypeAliasType("Basket", dict[str, Line])


def read(value: Any, into: Any) -> Any:
    return CODEC.decode(CODEC.encode(value), into)


@pytest.mark.parametrize(
    ("value", "into", "expected"),
    [
        ("1.5", Annotated[Decimal, ["not hashable"]], Decimal("1.5")),
        (None, None, None),
        ("1.5", Amount, Decimal("1.5")),
        ([{"lines": []}], Orders, [Order([])]),
        ({"a": {"sku": "s", "price": "2"}}, Basket, {"a": Line("s", Decimal(2))}),
        ("RED", Literal[Color.RED], Color.RED),
        (2, Literal["x", Color.GREEN], Color.GREEN),
        ("text", Union[int, Any], "text"),  # noqa: UP007 - as under test
        ((1, 2), tuple[int, int], (1, 2)),
        ([1, {"a": 1}], tuple[int, Any], (1, {"a": 1})),
        ([3, 4], deque, deque([3, 4])),
        (deque([1], maxlen=2), deque[int], deque([1], maxlen=2)),
        ({1, 2}, set, {1, 2}),
        ({"1": 2}, dict[float, int], {1.0: 2}),
        ({"1.5": 2}, dict[float, int], {1.5: 2}),
        ({"2026-01-01": 2}, dict[date, int], {date(2026, 1, 1): 2}),
        ({"a": 1}, dict, {"a": 1}),
        (3, complex, 3),
        (Decimal(1), Decimal, Decimal(1)),
        ({"name": "x"}, Named, {"name": "x"}),
        ("closes nothing", Closing, "closes nothing"),
        (7, typing.ClassVar, 7),
        ("x", typing.Final[str], "x"),
        (7, type, 7),
    ],
)
def test_what_an_annotation_makes_of_a_value(value: Any, into: Any, expected: Any) -> None:
    found = read(value, into)
    assert found == expected and type(found) is type(expected)
    if isinstance(expected, deque):
        assert found.maxlen == expected.maxlen


@pytest.mark.parametrize(
    ("value", "into", "words"),
    [
        ({"a": 1}, tuple[int, ...], "value: expected tuple, got dict"),
        ({"a": 1}, set[int], "value: expected set, got dict"),
        ("abc", list[int], "value: expected list, got str 'abc'"),
        ("abc", typing.Sequence[int], "expected collections.abc.Sequence, got str"),
        ({"x": 1}, dict[int, int], "value.x: expected int, got str 'x'"),
        ({"1.5": 1}, dict[int, int], "value['1.5']: expected int"),
        ([1, {"lines": [{"sku": "a"}]}], list[int | Order], "value[1]: expected"),
        ([{"lines": [{"sku": "a"}]}], list[Order], "value[0].lines[0]: test_annotations:Line needs 'price'"),
        (3, Literal[Color.RED], "expected <Color.RED: 1>, got 3"),
        (5, Color, "Color, got int 5"),
        ("maybe", Amount, "value: expected decimal.Decimal, got str 'maybe'"),
        ("x" * 5, Closing | None, None),
        (1, bytes, "expected bytes, got int 1"),
        ([1], Order, "Order, got list [1]"),
        (2**40, date, "expected datetime.date, got int"),
    ],
)
def test_what_an_annotation_refuses(value: Any, into: Any, words: str | None) -> None:
    if words is None:
        assert read(value, into) == value, "a protocol cannot be asked for more than it says"
        return
    with pytest.raises(InvalidPayload) as refused:
        read(value, into)
    assert words.replace("test_annotations:", recorded_name(Line).partition(":")[0] + ":") in str(refused.value)


def test_the_path_of_a_tuples_item_is_its_own() -> None:
    with pytest.raises(InvalidPayload, match=r"value\[1\]: expected int"):
        read([1, "x"], tuple[int, int])


def test_an_annotation_that_asks_for_nothing_has_no_fitter() -> None:
    for annotation in (Any, object, type, "Order", typing.TypeVar("T"), typing.ClassVar):
        assert fitter(annotation) is None
    assert fitter(list[int]) is fitter(list[int]), "made once"


def test_annotations_as_people_write_them() -> None:
    written = {int: "int", None: "None", int | None: "int | None", list[int]: "list[int]", Literal["a"]: "Literal['a']"}
    assert [spell(one) for one in written] == list(written.values())


def test_classes_are_found_through_every_wrapping() -> None:
    wrapped = (Order, Orders, Annotated[Order, []], list[Order | None], dict[str, tuple[Order, ...]], Literal["a"] | Order, deque[Annotated[Orders, 1]])
    for annotation in wrapped:
        assert classes_in(annotation)[recorded_name(Order)] is Order, annotation
        assert classes_in(annotation)["Line"] is Line, "the classes of its fields too"
    assert classes_in(Basket)["Line"] is Line
    assert classes_in(int) == classes_in(Any) == {}


# --- hints of a callable


class Slotted:
    """Neither weakly referenced nor annotated."""

    __slots__ = ()

    def __call__(self, x: int) -> int:
        return x


@dataclass
class Unhashable:
    n: int

    def __call__(self, x: int) -> int:
        return x + self.n


def test_hints_of_callables_that_cannot_be_remembered() -> None:
    for odd in (Slotted(), Unhashable(1), 3, []):
        assert hints_of(odd).get(0) in (None, int)
    assert hints_of(Slotted()) == {}


def test_hints_of_a_function_whose_classes_come_later() -> None:
    def use(x: Later, y: int) -> None:
        return Later  # type: ignore[return-value]

    assert hints_of(use) == {1: int, "y": int, "return": type(None)}

    @dataclass
    class Later:
        n: int

    assert hints_of(use)[0] is Later, "what was incomplete is looked at again"


class Hostile:
    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


def test_hints_of_anything_never_raise() -> None:
    assert hints_of(Hostile()) == {}
