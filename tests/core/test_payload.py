"""The codec of users' values: what goes in comes back, everything else is refused by path, and stored bytes never change."""
from __future__ import annotations

import array
import collections
import dataclasses
import enum
import functools
import io
import math
import re
import socket
import sqlite3
import subprocess
import sys
import threading
import types
import typing
from collections import Counter, OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Any, Literal, NamedTuple, NewType, Optional, TypedDict, Union
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import numpy as np
import pandas as pd
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aionlab.core import payload as module
from aionlab.core import reading
from aionlab.core.errors import InvalidPayload, PayloadTooLarge
from aionlab.core.events import Payload
from aionlab.core.payload import LEVELS, Converter, Unresolved, hints_of, in_namespace, recorded_name

CODEC = Converter()


class Color(enum.Enum):
    RED = 1
    GREEN = "green"


class Level(str, enum.Enum):
    LOW = "low"
    HIGH = "high"


class Access(enum.Flag):
    READ = 1
    WRITE = 2
    RUN = 4


class Code(enum.IntEnum):
    OK = 200


class Point(NamedTuple):
    x: int
    y: int = 0


@dataclass
class Item:
    sku: str
    price: Decimal


@dataclass(frozen=True, slots=True)
class Order:
    id: int
    items: list[Item] = field(default_factory=list)
    when: date | None = None
    color: Color = Color.RED


@dataclass
class Approval:
    by: str
    at: datetime | None = None


@dataclass
class Derived:
    values: list[int]
    total: int = field(init=False)

    def __post_init__(self) -> None:
        self.total = sum(self.values)
        self.lock = threading.Lock()


@dataclass
class Parsed:
    """Its constructor does not take what it made of its argument."""

    when: Any

    def __post_init__(self) -> None:
        self.when = date.fromisoformat(self.when)


@dataclass
class Node:
    name: str
    children: list[Node] = field(default_factory=list)


@dataclass
class Extra:
    x: int


class Cached:
    pass


@dataclass
class WithCache:
    x: int

    @functools.cached_property
    def double(self) -> int:
        return 2 * self.x


@attrs.define
class Parcel:
    weight: float
    _secret: str = "s"
    tags: list[str] = attrs.Factory(list)


@attrs.frozen
class Label:
    text: str


class Model(pydantic.BaseModel):
    n: int
    name: str | None = None


class Open(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    n: int
    _hidden: int = pydantic.PrivateAttr(default=7)


class Movie(TypedDict):
    title: str
    year: typing.NotRequired[int]


class MyStr(str):
    pass


class MyDict(dict):  # type: ignore[type-arg]
    pass


UserId = NewType("UserId", int)

BERLIN = ZoneInfo("Europe/Berlin")
THIS = recorded_name(Order).partition(":")[0]

VALUES: list[Any] = [
    None, True, False, 0, -1, 2**53 + 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**40, 1.5, -0.0, 1e300, 5e-324,
    "", "text", "ü€😀\u2028", "\0", "~", b"", b"\x00\xff", bytearray(b"ab"), 1 + 2j,
    [], [1, [2, [3]]], (), (1,), (1, (2, "x")), {}, {"a": {"b": [None]}}, {1: "a", "1": "b"}, {(1, 2): 3}, {None: 1, True: 2},
    {"~": "tuple", "v": [1]}, {"~": {"~": 1}}, [{"~": 1}], {"a": {"~": []}}, {1: {"~": 2}},
    set(), {1, 2, 3}, {"b", "a"}, frozenset({1, (2, 3)}), {frozenset({1}), frozenset({2})}, deque([1, 2]), deque([1], maxlen=3),
    OrderedDict([("b", 1), ("a", 2)]), Counter("abca"), range(5), range(10, 0, -3), range(2**70),
    datetime(2026, 11, 1, 9, 30), datetime(2026, 11, 1, 9, 30, 1, 5, tzinfo=UTC), datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN),
    datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1), datetime(1, 1, 1), datetime.max, datetime(2026, 1, 1, fold=1),
    datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=-3, seconds=7))), datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=1), "CET")),
    date(2026, 2, 28), time(1, 2, 3, 4), time(1, tzinfo=UTC), time(2, fold=1), timedelta(days=-1, microseconds=1), timedelta.max,
    UTC, timezone(timedelta(hours=2)), timezone(timedelta(hours=2), "X"), BERLIN,
    Decimal("1.10"), Decimal("-0"), Decimal("1E+999999"), Decimal("Infinity"), UUID(int=7),
    Path("/tmp/x y"), Path("rel"), PurePosixPath("/a"), PureWindowsPath("C:\\x"),
    Color.RED, Color.GREEN, Level.LOW, Code.OK, Access.READ, Access.READ | Access.RUN, Access(0),
    Point(1), Point(1, 2), Order(1), Order(2, [Item("a", Decimal("1.0"))], date(2026, 1, 1), Color.GREEN), Node("r", [Node("c")]),
    Parcel(1.0, "t", ["x"]), Label("l"), Model(n=1), Model(n=1, name="x"), Open(n=1, more=[1]), WithCache(3),
]  # fmt: skip


def same(a: Any, b: Any) -> bool:
    """Equal, and of the same types all the way down."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(x, y) for x, y in zip(a, b, strict=True)) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple, deque)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, (set, frozenset)):
        return a == b and sorted(map(repr, map(type, a))) == sorted(map(repr, map(type, b)))
    if isinstance(a, float):
        return a == b and math.copysign(1, a) == math.copysign(1, b)
    if isinstance(a, (datetime, time)):
        return a == b and a.fold == b.fold and a.tzinfo == b.tzinfo and a.tzname() == b.tzname()
    if isinstance(a, Decimal):
        return str(a) == str(b)
    if dataclasses.is_dataclass(a) and not isinstance(a, type):
        return all(same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    return bool(a == b)


@pytest.mark.parametrize("value", VALUES, ids=lambda v: re.sub(r"0x[0-9a-f]+", "0x", repr(v))[:40])
def test_a_value_comes_back_equal_and_of_the_same_type(value: Any) -> None:
    payload = CODEC.encode(value)
    assert same(CODEC.decode(payload), value)
    assert CODEC.encode(CODEC.decode(payload)) == payload
    for wrapped in ([value, 1], {"k": value}, (value,), {0: value}, {"~": value}):
        assert same(CODEC.decode(CODEC.encode(wrapped)), wrapped)


def test_integers_of_any_size_travel() -> None:
    for value in (10**4299, 10**4300, -(10**5000), 2**100_000):
        assert CODEC.decode(CODEC.encode(value)) == value
        assert CODEC.decode(CODEC.encode([value])) == [value]


GOLDEN: list[tuple[Any, bytes]] = [
    ({"x": 1, "y": [True, None, 1.5, "é"]}, '{"x":1,"y":[true,null,1.5,"é"]}'.encode()),
    (2**64, b'{"~":"int","v":"0x10000000000000000"}'),
    (-(2**64), b'{"~":"int","v":"-0x10000000000000000"}'),
    (b"ab", b'{"~":"bytes","v":"YWI="}'),
    (bytearray(b"ab"), b'{"~":"bytearray","v":"YWI="}'),
    (1 - 2j, b'{"~":"complex","v":[1.0,-2.0]}'),
    ((1, (2,)), b'{"~":"tuple","v":[1,{"~":"tuple","v":[2]}]}'),
    ({"b", "a", "c"}, b'{"~":"set","v":["a","b","c"]}'),
    (frozenset({10, 9}), b'{"~":"frozenset","v":[10,9]}'),
    (deque([1], 2), b'{"~":"deque","v":[1],"maxlen":2}'),
    ({1: "a"}, b'{"~":"dict","v":[[1,"a"]]}'),
    (OrderedDict(a=1), b'{"~":"ordered","v":[["a",1]]}'),
    (Counter("aa"), b'{"~":"counter","v":[["a",2]]}'),
    ({"~": 1}, b'{"~":"map","v":{"~":1}}'),
    (range(1, 5, 2), b'{"~":"range","v":[1,5,2]}'),
    (datetime(2026, 11, 1, 9, tzinfo=UTC), b'{"~":"datetime","v":"2026-11-01T09:00:00+00:00"}'),
    (datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1), b'{"~":"datetime","v":"2026-10-25T02:30:00","zone":"Europe/Berlin","fold":1}'),
    (datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=1), "CET")),
     b'{"~":"datetime","v":"2026-01-01T00:00:00","zone":{"~":"offset","v":[0,3600,0],"name":"CET"}}'),
    (date(2026, 1, 2), b'{"~":"date","v":"2026-01-02"}'),
    (time(1, 2, 3, 4), b'{"~":"time","v":"01:02:03.000004"}'),
    (timedelta(days=1, seconds=2, microseconds=3), b'{"~":"timedelta","v":[1,2,3]}'),
    (BERLIN, b'{"~":"zone","v":"Europe/Berlin"}'),
    (UTC, b'{"~":"offset","v":[0,0,0]}'),
    (Decimal("1.10"), b'{"~":"decimal","v":"1.10"}'),
    (UUID(int=1), b'{"~":"uuid","v":"00000000-0000-0000-0000-000000000001"}'),
    (PurePosixPath("/a"), b'{"~":"path","v":"/a","of":"PurePosixPath"}'),
    (Color.GREEN, b'{"~":"enum","of":"THIS:Color","v":"GREEN"}'),
    (Access.READ | Access.RUN, b'{"~":"enum","of":"THIS:Access","v":5}'),
    (Point(1, 2), b'{"~":"object","of":"THIS:Point","v":{"x":1,"y":2}}'),
    (Item("a", Decimal("1")), b'{"~":"object","of":"THIS:Item","v":{"sku":"a","price":{"~":"decimal","v":"1"}}}'),
    (Parcel(1.0), b'{"~":"object","of":"THIS:Parcel","v":{"weight":1.0,"_secret":"s","tags":[]}}'),
    (Model(n=1), b'{"~":"object","of":"THIS:Model","v":{"n":1,"name":null},"set":["n"]}'),
    (np.float32(1.5), b'{"~":"numpy","dtype":"<f4","v":1.5}'),
    (np.array([[1, 2]], dtype="i2"), b'{"~":"ndarray","dtype":"<i2","shape":[1,2],"v":"AQACAA=="}'),
    (pd.Timestamp("2026-01-01", tz="UTC").as_unit("s"), b'{"~":"timestamp","v":1767225600,"unit":"s","zone":{"~":"offset","v":[0,0,0]}}'),
    (pd.Series([1, 2], dtype="i1", name="n"),
     b'{"~":"series","v":{"dtype":"numpy","v":{"dtype":"|i1","shape":[2],"v":"AQI="}},'
     b'"index":{"kind":"range","v":[0,2,1],"names":[null]},"name":"n"}'),
]  # fmt: skip


@pytest.mark.parametrize(("value", "text"), GOLDEN, ids=lambda v: re.sub(r"0x[0-9a-f]+", "0x", repr(v))[:40])
def test_stored_bytes_never_change(value: Any, text: bytes) -> None:
    assert CODEC.encode(value).replace(THIS.encode(), b"THIS") == text


def test_arguments_are_stored_as_an_array_or_with_keywords_as_an_object() -> None:
    assert CODEC.encode_args((), {}) == b"[]"
    assert CODEC.encode_args((42, "x")) == b'[42,"x"]'
    assert CODEC.encode_args(((1,),)) == b'[{"~":"tuple","v":[1]}]'
    assert CODEC.encode_args((42,), {"rush": True}) == b'{"args":[42],"kwargs":{"rush":true}}'
    assert CODEC.encode_args((), {"o": {1}}) == b'{"args":[],"kwargs":{"o":{"~":"set","v":[1]}}}'


# --- refusals --------------------------------------------------------------------------------------------------------


class Bare:
    pass


async def _coroutine() -> None: ...


REFUSED: list[tuple[Any, str]] = [
    (float("nan"), "NaN"),
    (float("inf"), "infinity"),
    (-math.inf, "infinity"),
    (complex("nan"), "NaN"),
    (np.float64("nan"), "None"),
    ("\ud800", "lone surrogate"),
    ({"\udfff": 1}, "lone surrogate"),
    (Path("x\udcff"), "lone surrogate"),
    (MyStr("x"), "a str with more to it"),
    (MyDict(), "dict(…)"),
    (collections.defaultdict(list), "a dict with more to it"),
    (types.MappingProxyType({}), "dict(…)"),
    (object(), "cannot be recorded"),
    (Bare(), "make it a dataclass"),
    (Bare, "pass its name"),
    (len, "pass a name"),
    (lambda: 1, "pass a name"),
    (functools.partial(print), "pass a name"),
    ((x for x in ()), "await it"),
    (threading.Lock(), "open it inside the activity"),
    (sys, "module cannot be recorded"),
    ({}.keys(), "list(…)"),
    (memoryview(b"x"), "cannot be recorded"),
    (array.array("i"), "cannot be recorded"),
    (np.array([object()]), "dtype object"),
    (np.ma.array([1]), "cannot be recorded"),
    (ZoneInfo.from_file(io.BytesIO(b"TZif" + bytes(16) + bytes(16) + (1).to_bytes(4, "big") + (4).to_bytes(4, "big") + bytes(6) + b"UTC\0")), "without a key"),
    (pd.Series(pd.period_range("2026-01", periods=2, freq="M")), "astype"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "text"), REFUSED, ids=lambda v: re.sub(r"0x[0-9a-f]+", "0x", repr(v))[:30])
def test_what_cannot_be_recorded_is_refused_with_its_path_and_a_way_out(value: Any, text: str) -> None:
    for where, outer in (("value", value), ("value.items[3].conn", {"items": [0, 0, 0, {"conn": value}]})):
        with pytest.raises(InvalidPayload) as caught:
            CODEC.encode(outer)
        assert caught.value.path.startswith(where) and text in str(caught.value)
        str(caught.value).encode()
    with pytest.raises(InvalidPayload, match=r"^input\[1\]"):
        CODEC.encode_args((1, value))
    with pytest.raises(InvalidPayload, match=r"^input\.conn"):
        CODEC.encode_args((), {"conn": value})
    with pytest.raises(InvalidPayload, match=r"^input\.o"):
        CODEC.encode_args((value,), names=("o",))


def test_the_error_names_the_type_and_the_path() -> None:
    connection = sqlite3.connect(":memory:")
    with pytest.raises(InvalidPayload) as caught:
        CODEC.encode({"items": [1, 2, 3, Order(1, [connection])]}, "input")  # type: ignore[list-item]
    assert str(caught.value).startswith("input.items[3].items[0]: sqlite3.Connection cannot be recorded; open it inside the activity")
    with pytest.raises(InvalidPayload, match=r"value\['odd key'\]\[2\]"):
        CODEC.encode({"odd key": {2: connection}})
    connection.close()


def test_an_attribute_that_is_no_field_is_not_lost_in_silence() -> None:
    value = Extra(1)
    value.note = "more"  # type: ignore[attr-defined]
    with pytest.raises(InvalidPayload, match=r"value\.note: it is not a field"):
        CODEC.encode(value)
    cached = WithCache(2)
    assert cached.double == 4
    assert CODEC.decode(CODEC.encode(cached)).double == 4


def test_cycles_and_deep_nesting_are_refused() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(InvalidPayload, match="contains itself"):
        CODEC.encode(cycle)
    loop: dict[str, Any] = {}
    loop["a"] = {"b": loop}
    with pytest.raises(InvalidPayload, match=r"value\.a\.b: it contains itself"):
        CODEC.encode(loop)
    node = Node("n")
    node.children.append(node)
    with pytest.raises(InvalidPayload, match=r"value\.children\[0\]: it contains itself"):
        CODEC.encode(node)
    for depth in (2_000, 100_000):
        for wrap in (lambda v: [v], lambda v: {"a": v}, lambda v: (v,)):
            deep: Any = 1
            for _ in range(depth):
                deep = wrap(deep)
            with pytest.raises(InvalidPayload, match="nested"):
                CODEC.encode(deep)
            with pytest.raises(InvalidPayload, match="nested"):
                CODEC.encode_args((deep,))
            while isinstance(deep, (list, dict, tuple)):  # freed step by step: the interpreter's own recursion is not under test
                deep = deep["a"] if isinstance(deep, dict) else deep[0]


def test_what_is_just_deep_enough_comes_back() -> None:
    for wrap, levels in ((lambda v: [v], LEVELS), (lambda v: (v,), LEVELS // 2), (lambda v: Node("n", [v]), LEVELS // 3)):
        deep: Any = [] if levels == LEVELS else ()
        for _ in range(levels - 2):
            deep = wrap(deep)
        assert CODEC.decode(CODEC.encode(deep)) == deep


def test_a_shared_object_is_no_cycle() -> None:
    shared = [1]
    back = CODEC.decode(CODEC.encode((shared, shared)))
    assert back == ([1], [1]) and back[0] is not back[1]


def test_the_limit_is_in_bytes_and_exact() -> None:
    codec = Converter(limit=100)
    assert len(codec.encode("x" * 98)) == 100
    for value in ("x" * 99, "é" * 50, ["x"] * 99, ("x" * 90,)):
        with pytest.raises(PayloadTooLarge) as caught:
            codec.encode(value, "result")
        assert caught.value.limit == 100 and caught.value.size > 100 and caught.value.path == "result"
    with pytest.raises(PayloadTooLarge):
        codec.encode_args(("x" * 99,))
    with pytest.raises(PayloadTooLarge):
        CODEC.encode(b"x" * (2 * 1024 * 1024))
    CODEC.encode("x" * (2 * 1024 * 1024 - 2))


def test_a_property_that_raises_is_a_typed_error() -> None:
    @attrs.define(slots=False)
    class Odd:
        x: int

    Odd.x = property(lambda self: 1 / 0)  # type: ignore[assignment,method-assign]
    with pytest.raises(InvalidPayload, match="ZeroDivisionError"):
        CODEC.encode(Odd.__new__(Odd))


# --- classes ---------------------------------------------------------------------------------------------------------


def test_recorded_names() -> None:
    assert recorded_name(Order) == f"{__name__}:Order"
    assert recorded_name(ValueError) == "ValueError"
    cell = type("Order", (), {"__module__": "__main__"})
    pinned = type("Order", (), {"__module__": "aionlab.code.order_3f2a91c"})
    assert recorded_name(cell) == recorded_name(pinned) == "Order"
    shadow = type("ValueError", (Exception,), {"__module__": "__main__"})
    assert recorded_name(shadow) == "__main__:ValueError"
    assert Converter(in_namespace({"ValueError": shadow})).class_of("__main__:ValueError") is shadow
    assert Converter(in_namespace({"ValueError": shadow})).class_of("ValueError") is ValueError


def _cell_class(module_name: str) -> Any:
    cls = dataclasses.make_dataclass("Receipt", [("total", int), ("line", Any, None)])
    cls.__module__ = module_name
    return cls


def test_a_class_of_a_cell_is_found_in_the_namespace_of_the_version() -> None:
    notebook, pinned = _cell_class("__main__"), _cell_class("aionlab.code.x_1")
    payload = CODEC.encode(notebook(3, (1,)))
    assert type(Converter(in_namespace({"Receipt": pinned})).decode(payload)) is pinned
    assert type(Converter(in_namespace({"Receipt": pinned})).decode(payload, notebook)) is notebook
    assert type(CODEC.decode(payload, notebook)) is notebook
    assert type(CODEC.decode(CODEC.encode([notebook(1)]), list[notebook])[0]) is notebook


def test_a_private_copy_of_a_module_and_the_module_read_each_others_records() -> None:
    live, private, other = _cell_class("shop"), _cell_class("aionlab.code.order_1.shop"), _cell_class("elsewhere")
    assert type(CODEC.decode(CODEC.encode(live(1)), private)) is private
    assert type(CODEC.decode(CODEC.encode(private(1)), list[live] | live)) is live
    with pytest.raises(InvalidPayload, match="expected elsewhere.Receipt"):
        CODEC.decode(CODEC.encode(live(1)), other)


def test_a_class_that_is_not_known_becomes_a_readable_stand_in() -> None:
    payload = CODEC.encode([_cell_class("__main__")(3, {1})])
    (found,) = CODEC.decode(payload)
    assert type(found) is Unresolved and found.type_name == "Receipt" and found.total == 3 and found.fields["line"] == {1}
    assert repr(found) == "<Receipt(total=3, line={1}), class not known here>"
    assert CODEC.encode([found]) == payload
    assert found == CODEC.decode(payload)[0] and found != Unresolved("Other", {})
    with pytest.raises(AttributeError):
        found.total = 4
    with pytest.raises(AttributeError):
        _ = found.missing
    assert CODEC.decode(CODEC.encode(Unresolved("A", {"x": (1,)}))) == Unresolved("A", {"x": (1,)})
    assert type(Converter(classes=False).decode(CODEC.encode(Order(1)))) is Unresolved
    assert Converter(classes=False).decode(CODEC.encode(Color.RED)).fields == {"name": "RED"}


def test_nothing_is_imported_or_run_for_a_record() -> None:
    sys.modules.pop("antigravity", None)
    for name in ("antigravity:x", "os:system", "subprocess:Popen", "subprocess:CompletedProcess", "builtins:eval", "eval", "a:b:c", "", ":", "os:"):
        tree = b'{"~":"object","of":"%s","v":{"args":1}}' % name.encode()
        assert type(CODEC.decode(tree)) is Unresolved
    assert "antigravity" not in sys.modules
    lazy = types.ModuleType("lazy_module")
    lazy.__getattr__ = lambda name: pytest.fail("a module's __getattr__ was called")  # type: ignore[method-assign]
    sys.modules["lazy_module"] = lazy
    try:
        assert type(CODEC.decode(b'{"~":"object","of":"lazy_module:Thing","v":{}}')) is Unresolved
    finally:
        del sys.modules["lazy_module"]
    assert subprocess


def test_what_a_constructor_derives_is_there_again_and_recorded_fields_win() -> None:
    value = Derived([1, 2])
    value.total = 100
    back = CODEC.decode(CODEC.encode(value))
    assert (back.values, back.total) == ([1, 2], 100) and back.lock is not value.lock
    parsed = CODEC.decode(CODEC.encode(Parsed("2026-01-01")))
    assert type(parsed) is Parsed and parsed.when == date(2026, 1, 1)


def test_a_class_that_lost_or_gained_a_field() -> None:
    old = _cell_class("__main__")
    payload = CODEC.encode(old(1, 2))
    more = dataclasses.make_dataclass("Receipt", [("total", int), ("line", Any), ("new", list, field(default_factory=list))])
    more.__module__ = "__main__"
    assert CODEC.decode(payload, more) == more(1, 2, [])
    less = dataclasses.make_dataclass("Receipt", [("total", int)])
    less.__module__ = "__main__"
    with pytest.raises(InvalidPayload, match="no field 'line'"):
        CODEC.decode(payload, less)
    needs = dataclasses.make_dataclass("Receipt", [("total", int), ("line", int), ("must", int)])
    needs.__module__ = "__main__"
    with pytest.raises(InvalidPayload, match="needs 'must'"):
        CODEC.decode(payload, needs)
    with pytest.raises(InvalidPayload, match="no member 'GONE'"):
        CODEC.decode(CODEC.encode(Color.RED).replace(b"RED", b"GONE"))


def test_pydantic_keeps_what_was_set_extra_and_private() -> None:
    value = Open(n=1, more=(1,))  # type: ignore[call-arg]
    value._hidden = 9
    back = CODEC.decode(CODEC.encode(value))
    assert back == value and back._hidden == 9 and back.model_extra == {"more": (1,)}
    assert CODEC.decode(CODEC.encode(Model(n=1))).model_fields_set == {"n"}


def test_exceptions_are_values() -> None:
    back = CODEC.decode(CODEC.encode([ValueError("no", 2), KeyError("k")]))
    assert type(back[0]) is ValueError and back[0].args == ("no", 2) and type(back[1]) is KeyError
    error = ValueError("x")
    error.args = (error,)
    assert isinstance(CODEC.decode(CODEC.encode(error)), ValueError)


# --- annotations -----------------------------------------------------------------------------------------------------

FITS: list[tuple[Any, Any, Any]] = [
    ({"by": "ada"}, Approval, Approval("ada")),
    ({"by": "ada", "at": "2026-01-01T00:00:00+00:00"}, Approval, Approval("ada", datetime(2026, 1, 1, tzinfo=UTC))),
    ({"by": "ada"}, Optional[Approval], Approval("ada")),  # noqa: UP045 - both spellings are under test
    (None, Approval | None, None),
    ([{"by": "a"}], list[Approval], [Approval("a")]),
    ({"k": {"by": "a"}}, dict[str, Approval], {"k": Approval("a")}),
    ({"1": 2}, dict[int, int], {1: 2}),
    ([1, {"by": "a"}], tuple[int, Approval], (1, Approval("a"))),
    ([1, 2], tuple[int, ...], (1, 2)),
    ([], tuple[()], ()),
    ([1, 2], tuple, (1, 2)),
    ([2, 1], set[int], {1, 2}),
    ([1], frozenset[int], frozenset({1})),
    ([1], deque[int], deque([1])),
    ([1], Sequence[int], [1]),
    ((1,), Sequence[int], (1,)),
    ((1,), list[int], (1,)),
    ({"a": 1}, Mapping[str, int], {"a": 1}),
    ([1, 2], Point, Point(1, 2)),
    ({"x": 1}, Point, Point(1)),
    ({"weight": 1.0, "secret": "z"}, Parcel, None),
    ({"n": "5"}, Model, Model(n=5)),
    ({"title": "M", "year": 1}, Movie, {"title": "M", "year": 1}),
    ("GREEN", Color, Color.GREEN),
    ("green", Color, Color.GREEN),
    (1, Color, Color.RED),
    ("high", Level, Level.HIGH),
    (200, Code, Code.OK),
    ("2026-01-01", date, date(2026, 1, 1)),
    ("01:00", time, time(1)),
    ("1.10", Decimal, Decimal("1.10")),
    (1.1, Decimal, Decimal("1.1")),
    ("30s", timedelta, timedelta(seconds=30)),
    (2.5, timedelta, timedelta(seconds=2.5)),
    (str(UUID(int=3)), UUID, UUID(int=3)),
    ("/tmp", Path, Path("/tmp")),
    (1, float, 1),
    (True, int, True),
    (5, UserId, 5),
    (5, Annotated[int, "x"], 5),
    ("a", Literal["a", "b"], "a"),
    ("low", Literal[Level.LOW], Level.LOW),
    ("5", int | str, "5"),
    ("2026-01-01", date | str, "2026-01-01"),
    ("2026-01-01", Union[date, int], date(2026, 1, 1)),  # noqa: UP007 - both spellings are under test
    ({"by": "a"}, Order | Approval, Approval("a")),
    ({"by": "a"}, dict | Approval, {"by": "a"}),
    ({"id": 1, "items": [{"sku": "a", "price": "1.5"}], "color": "GREEN"}, Order, Order(1, [Item("a", Decimal("1.5"))], None, Color.GREEN)),
    ({"name": "r", "children": [{"name": "c"}]}, Node, Node("r", [Node("c")])),
    (Order(1), Order, Order(1)),
    (Order(1), Any, Order(1)),
    (Order(1), object, Order(1)),
    ([Order(1), None], list[Order | None], [Order(1), None]),
    (np.int64(3), int, np.int64(3)),
    (pd.Timestamp("2026"), datetime, pd.Timestamp("2026")),
    (3, "Undefined", 3),
    (3, typing.TypeVar("T"), 3),
]


@pytest.mark.parametrize(("value", "into", "expected"), FITS, ids=lambda v: str(v)[:40])
def test_plain_json_becomes_what_the_annotation_says(value: Any, into: Any, expected: Any) -> None:
    if into is Parcel:
        expected = Parcel(1.0, "z")
        value = {"weight": 1.0, "_secret": "z"}
    found = CODEC.decode(CODEC.encode(value), into)
    assert found == expected and type(found) is type(expected)
    args, kwargs = CODEC.decode_args(CODEC.encode_args((value,), {"k": value}), {0: into, "k": into})
    assert args == (expected,) and kwargs == {"k": expected}


MISFITS: list[tuple[Any, Any, str]] = [
    ({"bye": "ada"}, Approval, "value: .*no field 'bye'; its fields: by, at"),
    ({}, Approval, "value: .*needs 'by'"),
    ({"by": 3}, Approval, r"value\.by: expected str, got int 3"),
    ([{"by": "a"}, {"by": None}], list[Approval], r"value\[1\]\.by: expected str"),
    ("x", int, "value: expected int, got str 'x'"),
    (1.5, int, "expected int"),
    (True, float, "expected float"),
    ("x", list[int], "expected list"),
    ({"a": "x"}, dict[str, int], r"value\.a: expected int"),
    ([1], dict[str, int], "expected dict"),
    ([1], tuple[int, int], "expected a tuple of 2"),
    ("PINK", Color, "expected .*Color"),
    ("c", Literal["a", "b"], "expected 'a' or 'b'"),
    ("yesterday", date, "expected datetime.date"),
    ({"year": 1}, Movie, "needs 'title'"),
    ({"n": "x"}, Model, "does not take it"),
    ([1, 2, 3], Point, "has 2 fields"),
    (Order(1), Approval, "expected .*Approval, got .*Order"),
    (Order(1), int, "expected int, got .*Order"),
    (3, Approval | None, "expected .*Approval"),
    (3, str | bytes, r"expected str \| bytes, got int 3"),
    (3, None, "expected None"),
    ([[1]], set[Any], "unhashable"),
]


@pytest.mark.parametrize(("value", "into", "text"), MISFITS, ids=lambda v: str(v)[:40])
def test_what_does_not_fit_the_annotation_is_refused_with_its_path(value: Any, into: Any, text: str) -> None:
    with pytest.raises(InvalidPayload, match=text):
        CODEC.decode(CODEC.encode(value), into)
    with pytest.raises(InvalidPayload, match=r"^input\[1\]"):
        CODEC.decode_args(CODEC.encode_args((0, value)), {1: into})


def test_decoded_values_are_fresh() -> None:
    payload = CODEC.encode({"a": [1]})
    CODEC.decode(payload)["a"].append(2)
    assert CODEC.decode(payload) == {"a": [1]}
    args = CODEC.encode_args(({"a": []},))
    CODEC.decode_args(args)[0][0]["a"].append(1)
    assert CODEC.decode_args(args) == (({"a": []},), {})
    default = CODEC.encode(Order(1))
    CODEC.decode(default).items.append(1)
    assert CODEC.decode(default).items == []


def test_hints_of_a_function_by_position_and_name() -> None:
    def one(a: int, b: Order, *rest: str, c: date = None, d=1, **more: float) -> Point: ...  # type: ignore[assignment,no-untyped-def]

    hints = hints_of(one)
    assert hints[0] is int and hints["b"] is Order and hints[1] is Order and hints["*"] is str and hints["**"] is float
    assert hints["c"] == Optional[date] and "d" not in hints and 2 not in hints and hints["return"] is Point  # noqa: UP045 - as above
    assert hints_of(one) is hints
    args, kwargs = CODEC.decode_args(CODEC.encode_args((1, {"id": 1}, "r"), {"c": None, "e": 1.5}), hints)
    assert args == (1, Order(1), "r") and kwargs == {"c": None, "e": 1.5}
    with pytest.raises(InvalidPayload, match=r"input\[2\]"):
        CODEC.decode_args(CODEC.encode_args((1, {"id": 1}, 5)), hints)

    @dataclass
    class Local:
        x: int

    def two(a: Local, b: NoSuchName, c: int) -> None:  # type: ignore[name-defined] # noqa: F821 - as under test
        return Local  # type: ignore[return-value]

    assert hints_of(two)[0] is Local and 1 not in hints_of(two) and hints_of(two)["c"] is int
    for odd in (len, 3, None, print, functools.partial(two), type, object()):
        hints_of(odd)


def test_arguments_must_be_arguments() -> None:
    for text in (b"3", b"{}", b'{"args":[]}', b'{"args":3,"kwargs":{}}', b"", b"\xff", b"[1", b'{"args":[],"kwargs":[]}'):
        with pytest.raises(InvalidPayload):
            CODEC.decode_args(text)


# --- arrays ----------------------------------------------------------------------------------------------------------

ARRAYS = [
    np.arange(6, dtype="f8").reshape(2, 3),
    np.arange(6, dtype=">i4").reshape(3, 2).T,
    np.array([np.nan, np.inf]),
    np.array(["a", "bcd"]),
    np.array([b"a"]),
    np.array([True]),
    np.array(5),
    np.zeros((0, 3)),
    np.array(["2026-01-01", "NaT"], dtype="M8[ns]"),
    np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]),
    np.array([1 + 2j]),
]
SCALARS = [np.int8(-5), np.uint64(2**64 - 1), np.float16(0.5), np.float64(0.1), np.bool_(True), np.str_("x"), np.datetime64("2026-01-01", "ns"),
           np.timedelta64(5, "s"), np.complex64(1 + 2j), np.longdouble("0.1"), np.bytes_(b"x")]  # fmt: skip


@pytest.mark.parametrize("value", ARRAYS, ids=lambda a: str(a.dtype))
def test_arrays_come_back(value: Any) -> None:
    back = CODEC.decode(CODEC.encode({"a": value}))["a"]
    assert type(back) is np.ndarray and back.shape == value.shape and back.dtype == value.dtype.newbyteorder("<")
    np.testing.assert_array_equal(back, value)
    if back.size:
        back.flat[0] = back.flat[0]


@pytest.mark.parametrize("value", SCALARS, ids=lambda s: type(s).__name__)
def test_numpy_scalars_come_back(value: Any) -> None:
    back = CODEC.decode(CODEC.encode([value]))[0]
    assert type(back) is type(value) and back == value and back.dtype == value.dtype


FRAMES = [
    pd.DataFrame({"n": [1, 2], "x": [0.5, None], "t": ["a", None], "b": [True, False]}),
    pd.DataFrame({"o": pd.Series([1, "a", None, (1,)], dtype=object), "c": pd.Categorical(["x", "y", "x", None], ordered=True)}),
    pd.DataFrame({"d": pd.date_range("2026-01-01", periods=2, tz="Europe/Berlin"), "i": pd.array([1, None], dtype="Int64")}),
    pd.DataFrame([[1, 2]], columns=["a", "a"], index=["r"]),
    pd.DataFrame(),
    pd.DataFrame({"v": [1, 2]}, index=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["k", "n"])),
    pd.DataFrame({"v": [1, 2]}, index=pd.date_range("2026-01-01", periods=2, freq="D", name="day")),
    pd.DataFrame({"s": pd.array(["a", pd.NA], dtype="string"), "f": pd.array([1.5, None], dtype="Float64"), "td": pd.to_timedelta([1, None], unit="s")}),
    pd.DataFrame({1: [1], ("x", 2): [2]}),
]


@pytest.mark.parametrize("frame", FRAMES, ids=range(len(FRAMES)))
def test_frames_come_back(frame: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(CODEC.decode(CODEC.encode(frame)), frame)
    for name in range(frame.shape[1]):
        series = frame.iloc[:, name]
        pd.testing.assert_series_equal(CODEC.decode(CODEC.encode(series)), series)
    pd.testing.assert_index_equal(CODEC.decode(CODEC.encode(frame.index)), frame.index)


@pytest.mark.parametrize("value", [
    pd.Timestamp("2026-01-01"), pd.Timestamp("2026-10-25 00:30", tz="UTC").tz_convert("Europe/Berlin"), pd.Timestamp(1, unit="ns"), pd.Timedelta("1D"), pd.NaT, pd.NA,
], ids=str)  # fmt: skip
def test_pandas_scalars_come_back(value: Any) -> None:
    back = CODEC.decode(CODEC.encode(value))
    assert back is value or (back == value and type(back) is type(value) and getattr(back, "unit", None) == getattr(value, "unit", None))


def test_a_record_whose_library_is_not_loaded_stays_readable(monkeypatch: pytest.MonkeyPatch) -> None:
    payload = CODEC.encode(np.array([1]))
    with monkeypatch.context() as patch:
        patch.delitem(sys.modules, "numpy")
        back = CODEC.decode(payload)
        assert type(back) is Unresolved and back.type_name == "numpy.ndarray" and "numpy" not in sys.modules
        assert CODEC.encode(back) == payload


def test_hostile_arrays_are_refused() -> None:
    for tree in (
        b'{"~":"ndarray","dtype":"|O","shape":[1],"v":"AAAAAAAAAAA="}',
        b'{"~":"ndarray","dtype":"<f8","shape":[9],"v":"AAAA"}',
        b'{"~":"ndarray","dtype":"<f8","shape":[1000000000000],"v":""}',
        b'{"~":"ndarray","dtype":"import os","shape":[1],"v":""}',
        b'{"~":"numpy","dtype":"<f8","v":{"a":1}}',
        b'{"~":"frame","v":{}}',
        b'{"~":"missing","v":"DataFrame"}',
    ):
        with pytest.raises(InvalidPayload):
            CODEC.decode(tree)


# --- laws ------------------------------------------------------------------------------------------------------------

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
atoms = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), text, st.just("~"), st.binary(max_size=10),
    st.datetimes(timezones=st.none() | st.timezones() | st.just(UTC)), st.dates(), st.times(), st.timedeltas(), st.uuids(),
    st.decimals(allow_nan=False), st.sampled_from([*Color, *Level, *Code, Access.READ | Access.WRITE]), st.builds(PurePosixPath, text),
    st.complex_numbers(allow_nan=False, allow_infinity=False),
)  # fmt: skip
hashable = st.one_of(st.none(), st.integers(), text, st.just("~"), st.dates(), st.sampled_from(Color), st.tuples(st.integers(), text))
nested = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.lists(inner, max_size=4).map(tuple), st.dictionaries(text | st.just("~"), inner, max_size=4),
        st.dictionaries(hashable, inner, max_size=4), st.sets(hashable, max_size=4), st.frozensets(hashable, max_size=4),
        st.builds(Node, text, st.lists(inner, max_size=2)), st.builds(Point, inner, inner), st.builds(Label, inner),
        st.lists(inner, max_size=3).map(deque), st.dictionaries(text, inner, max_size=3).map(OrderedDict),
    ),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=200, deadline=None, derandomize=True)
@given(nested)
def test_law_what_is_encoded_is_decoded_the_same(value: Any) -> None:
    payload = CODEC.encode(value)
    assert same(CODEC.decode(payload), value)
    assert CODEC.encode(CODEC.decode(payload)) == payload
    args, kwargs = CODEC.decode_args(CODEC.encode_args((value, value), {"k": value, "~": value}))
    assert same(args, (value, value)) and same(kwargs, {"k": value, "~": value})
    blind = Converter(classes=False)
    assert blind.encode(blind.decode(payload)) == payload


anything = st.one_of(nested, st.floats(), st.text(max_size=5), st.just(object()), st.just(Bare), st.builds(MyStr), st.lists(st.floats(), max_size=3))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.recursive(anything, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3) | st.tuples(inner), max_leaves=6))
def test_law_a_value_is_refused_or_comes_back(value: Any) -> None:
    try:
        payload = CODEC.encode(value)
    except InvalidPayload as refused:
        assert refused.path.startswith("value")
    else:
        assert same(CODEC.decode(payload), value)


TAGS = [*reading._READERS, "nonsense", 3, None]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6)
    | st.sampled_from(["Europe/Berlin", "America", "../x", "0x1f", "<f8", "RED", "YWI=", "NaT", "2026-01-01", f"{__name__}:Order", f"{__name__}:Color",
                       f"{__name__}:Model", f"{__name__}:Point", "ValueError", "SystemExit", "subprocess:Popen", "object", "s", "range", "plain"]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(["~", "v", "of", "zone", "fold", "dtype", "shape", "x", "type", "message", "fields", "cause", "index", "columns",
                                       "data", "kind", "names", "unit", "set", "extra", "private", "id", "n", "args", "maxlen", "name"]), inner, max_size=5)
    | st.fixed_dictionaries({"~": st.sampled_from(TAGS), "v": inner},
                            optional={"of": inner, "zone": inner, "fold": inner, "dtype": inner, "shape": inner, "unit": inner, "maxlen": inner}),
    max_leaves=10,
)  # fmt: skip


def _json(tree: Any) -> bytes:
    import json

    return json.dumps(tree).encode()


@settings(max_examples=250, deadline=None, derandomize=True)
@given(json_values, st.sampled_from([Any, Any, int, Order, list[Order], Color, Model, dict[str, Point], Movie, Order | None]))
def test_law_hostile_records_raise_one_error_only(tree: Any, into: Any) -> None:
    for codec in (CODEC, Converter(classes=False)):
        try:
            codec.decode(_json(tree), into)
        except InvalidPayload as error:
            str(error)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.binary(max_size=40))
def test_law_hostile_bytes_raise_one_error_only(data: bytes) -> None:
    for call in (CODEC.decode, CODEC.decode_args):
        try:
            call(data)  # type: ignore[operator]
        except InvalidPayload as error:
            str(error)


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"~":"tuple","v":[' * 900 + b"]}" * 900, b'{"~":' * 500 + b"1" + b"}" * 500])
def test_deep_hostile_records_are_refused(text: bytes) -> None:
    with pytest.raises(InvalidPayload):
        CODEC.decode(text)


def test_without_orjson_the_same_bytes_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    import aionlab.core
    from aionlab.core import jsontext, writing

    spec = importlib.util.spec_from_file_location("aionlab.core.jsontext_plain", jsontext.__file__)
    assert spec is not None and spec.loader is not None
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "orjson", None)
        plain = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(plain)
        patch.setattr(jsontext, "dumps", plain.dumps)
        patch.setattr(jsontext, "loads", plain.loads)
        patch.setattr(aionlab.core, "writing", writing)
        patch.delitem(sys.modules, "aionlab.core.writing")
        spec = importlib.util.spec_from_file_location("aionlab.core.payload_plain", module.__file__)
        assert spec is not None and spec.loader is not None
        slow = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(slow)
    codec = slow.Converter()
    assert slow._dumps_plain is not plain.dumps
    assert slow.Writer is not writing.Writer and sys.modules["aionlab.core.writing"] is aionlab.core.writing is writing
    for value, expected in GOLDEN:
        assert codec.encode(value).replace(THIS.encode(), b"THIS") == expected
    for value in VALUES:
        if not (isinstance(value, float) and abs(value) > 1e15):
            assert codec.encode(value) == CODEC.encode(value)
        assert same(codec.decode(codec.encode(value)), value)
    for value, _ in REFUSED:
        with pytest.raises(InvalidPayload):
            codec.encode({"a": [value]})
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    with pytest.raises(InvalidPayload, match="nested"):
        codec.encode(deep)
    assert codec.decode(codec.encode([2**70])) == [2**70]


def test_sockets_are_refused_too() -> None:
    with socket.socket() as one, pytest.raises(InvalidPayload, match="socket.socket"):
        CODEC.encode(one)
    coroutine = _coroutine()
    with pytest.raises(InvalidPayload, match="await it"):
        CODEC.encode(coroutine)
    coroutine.close()
    assert Payload(b"1")
