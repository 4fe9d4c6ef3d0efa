"""Every kind of value the API promises, drawn at random and nested, through the record and back; and types of the user's own."""
from __future__ import annotations

import enum
import string
from dataclasses import KW_ONLY, InitVar, dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from ipaddress import IPv4Address
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Any, Generic, Literal, NamedTuple, NotRequired, Optional, TypedDict, TypeVar, Union
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import numpy as np
import pandas as pd
import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aionlab.core.converters import Converters, ValueConverter
from aionlab.core.errors import InvalidOption, InvalidPayload
from aionlab.core.payload import Converter, Unresolved, in_namespace, recorded_name
from aionlab.core.values import values_for
from tests.core.test_payload import same

pytestmark = pytest.mark.slow

CODEC = Converter()
T = TypeVar("T")
U = TypeVar("U")


class Color(enum.Enum):
    RED = 1
    GREEN = "green"


class Level(enum.StrEnum):
    LOW = "low"
    HIGH = "high"


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    y: float = 0.0


class Movie(TypedDict):
    title: str
    year: NotRequired[int]


@dataclass
class Item:
    sku: str
    price: Decimal
    tags: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Order:
    id: UUID
    items: list[Item]
    note: str | None = None
    where: dict[str, Point] = field(default_factory=dict)


@dataclass
class Late:
    a: int
    _: KW_ONLY
    b: int = field(default=1, compare=False)
    c: int = field(init=False, default=9)
    seed: InitVar[int] = 3


@attrs.define
class Parcel:
    weight: float
    content: tuple[Item, ...] = ()
    _secret: str = "s"


class Model(pydantic.BaseModel):
    n: int
    color: Color = Color.RED
    items: list[Item] = []
    when: datetime | None = None


class Box(pydantic.BaseModel, Generic[T]):
    item: T


class Ids(pydantic.RootModel[list[int]]):
    pass


class ByName(pydantic.RootModel[dict[str, int]]):
    pass


@dataclass
class Pair(Generic[T, U]):
    first: T
    rest: list[U] = field(default_factory=list)


@dataclass
class Orders(Pair[Item, int]):
    pass


class Entry(TypedDict, Generic[T]):
    value: T


class Ranked(NamedTuple, Generic[T]):  # type: ignore[misc]  # 3.11 allows it
    value: T
    rank: int = 0


@attrs.define
class Cell(Generic[T]):
    value: T


ZONES = st.sampled_from([None, UTC, timezone(timedelta(hours=5, minutes=45)), timezone(timedelta(hours=-3), "BRT"), ZoneInfo("Europe/Berlin"), ZoneInfo("Australia/Lord_Howe")])
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
NAMES = st.text(string.ascii_letters, min_size=1, max_size=8)
MOMENTS = st.builds(
    lambda moment, zone, fold: moment.replace(tzinfo=zone, fold=fold), st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)), ZONES, st.integers(0, 1)
)
ITEMS = st.builds(Item, NAMES, st.decimals(allow_nan=False), st.sets(NAMES, max_size=3))
POINTS = st.builds(Point, st.integers(), st.floats(allow_nan=False, allow_infinity=False))
KINDS: dict[str, st.SearchStrategy[Any]] = {
    "plain": st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    "bytes": st.binary(max_size=40) | st.binary(max_size=40).map(bytearray),
    "complex": st.complex_numbers(allow_nan=False, allow_infinity=False),
    "datetime": MOMENTS,
    "date": st.dates(),
    "time": st.builds(lambda moment, fold: moment.replace(fold=fold), st.times(timezones=st.sampled_from([None, UTC])), st.integers(0, 1)),
    "timedelta": st.timedeltas(),
    "zone": ZONES,
    "decimal": st.decimals(allow_nan=False),
    "uuid": st.uuids(),
    "path": st.builds(lambda parts, kind: kind("/".join(parts)), st.lists(NAMES, max_size=3), st.sampled_from([Path, PurePosixPath, PureWindowsPath])),
    "enum": st.sampled_from([*Color, *Level, *Access, Access.READ | Access.WRITE, Access(0)]),
    "namedtuple": POINTS,
    "typeddict": st.fixed_dictionaries({"title": TEXT}, optional={"year": st.integers()}),
    "dataclass": ITEMS | st.builds(Order, st.uuids(), st.lists(ITEMS, max_size=2), st.none() | TEXT, st.dictionaries(NAMES, POINTS, max_size=2)),
    "attrs": st.builds(Parcel, st.floats(allow_nan=False, allow_infinity=False), st.lists(ITEMS, max_size=2).map(tuple), TEXT),
    "pydantic": st.builds(Model, n=st.integers(), color=st.sampled_from(Color), items=st.lists(ITEMS, max_size=2), when=st.none() | MOMENTS),
    "generic": st.builds(Pair, ITEMS, st.lists(st.integers(), max_size=3)) | st.builds(Orders, ITEMS, st.lists(st.integers())) | st.builds(Cell, POINTS),
    "numpy": st.sampled_from("?bhilBHILfd").flatmap(lambda code: st.just(np.dtype(code))).flatmap(
        lambda dtype: st.integers(0, 100).map(lambda n: dtype.type(n))
    ),
}  # fmt: skip


def nested(inside: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return (
        st.lists(inside, max_size=3) | st.tuples(inside) | st.dictionaries(TEXT, inside, max_size=3) | st.dictionaries(st.integers() | st.dates(), inside, max_size=2)
        | st.builds(Pair, inside, st.lists(inside, max_size=2)) | st.builds(Cell, inside) | st.builds(lambda value: Ranked(value, 2), inside)
    )  # fmt: skip


@pytest.mark.parametrize("kind", sorted(KINDS))
@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_every_kind_comes_back_equal_of_its_type_and_nested(kind: str, data: st.DataObject) -> None:
    value = data.draw(st.recursive(KINDS[kind], nested, max_leaves=6))
    payload = CODEC.encode(value)
    back = CODEC.decode(payload)
    assert same(back, value), f"{value!r} came back as {back!r}"
    assert CODEC.encode(back) == payload, "and is recorded again just so, which replay compares"
    for into in (type(value), Optional[type(value)], Union[type(value), Item, None, list[Any]], Any):  # noqa: UP007, UP045 - made at run time
        assert same(CODEC.decode(payload, into), value)


@given(st.recursive(st.one_of(*KINDS.values()), nested, max_leaves=12))
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
def test_kinds_mix(value: Any) -> None:
    payload = CODEC.encode_args((value,), {"named": value})
    (args, kwargs) = CODEC.decode_args(payload)
    assert same(args[0], value) and same(kwargs["named"], value)


@given(
    st.lists(st.tuples(st.integers(-5, 5), st.floats(), TEXT.filter(lambda text: "\0" not in text), st.booleans()), max_size=5),
    st.sampled_from(["range", "labels", "times"]),
)
@settings(max_examples=60, deadline=None)
def test_frames_come_back_with_their_types_labels_and_gaps(rows: list[tuple[Any, ...]], index: str) -> None:
    frame = pd.DataFrame(rows, columns=["n", "x", "text", "ok"]).astype({"n": "int64", "x": "float64", "text": "str", "ok": "bool"})
    frame["kind"] = pd.Categorical(frame["text"])
    frame["maybe"] = frame["n"].where(frame["ok"]).astype("Int64")
    frame["at"] = pd.Timestamp("2026-03-29 00:30", tz="Europe/Berlin") + pd.to_timedelta(frame["n"], unit="h")
    if index == "labels":
        frame.index = pd.Index([f"row {n}" for n in range(len(frame))], name="label")
    elif index == "times":
        frame.index = pd.date_range("2026-01-01", periods=len(frame), freq="D")
    back = CODEC.decode(CODEC.encode({"frame": frame}))["frame"]
    pd.testing.assert_frame_equal(back, frame, check_freq=True)
    for name in frame:
        pd.testing.assert_series_equal(CODEC.decode(CODEC.encode(frame[name])), frame[name])


@given(st.integers(0, 3).flatmap(lambda n: st.tuples(*[st.integers(0, 4)] * n)), st.sampled_from(["?", "i1", "<u8", ">i4", "f2", "f8", "c16", "S3", "U2", "M8[ms]", "m8[us]"]))
@settings(max_examples=80)
def test_arrays_come_back_with_their_type_and_shape(shape: tuple[int, ...], dtype: str) -> None:
    value = (np.arange(np.prod(shape, dtype=int)) % 3).astype(dtype).reshape(shape)
    back = CODEC.decode(CODEC.encode(value))
    assert back.shape == value.shape and back.dtype == value.dtype.newbyteorder("<") and np.array_equal(back, value)
    back[...] = back  # a fresh array that can be written to, not a view of the record


# --- what somebody sends as plain JSON -------------------------------------------------------------------------------

ITEM = '{"sku":"a","price":"1.50"}'
MADE = Item("a", Decimal("1.50"))


@pytest.mark.parametrize(
    ("text", "into", "value"),
    [
        (f'{{"first":{ITEM},"rest":[1]}}', Pair[Item, int], Pair(MADE, [1])),
        (f'{{"first":{ITEM}}}', Orders, Orders(MADE)),
        (f'{{"first":{{"first":{ITEM}}},"rest":[{ITEM}]}}', Pair[Pair[Item, int], Item], Pair(Pair(MADE), [MADE])),
        (f'{{"value":[{ITEM}]}}', Entry[list[Item]], {"value": [MADE]}),
        (f'{{"value":{ITEM}}}', Ranked[Item], Ranked(MADE)),
        (f'{{"value":{ITEM}}}', Cell[Item], Cell(MADE)),
        (f'{{"item":{ITEM}}}', Box[Item], Box[Item](item=MADE)),
        (f"[{ITEM},null]", list[Item | None], [MADE, None]),
        (f'{{"k":{ITEM}}}', dict[str, Union[int, Item]], {"k": MADE}),  # noqa: UP007 - both spellings are users'
        (f"[[{ITEM}],1]", tuple[list[Item], int], ([MADE], 1)),
        ("[1,2]", Ids, Ids([1, 2])),
        ('{"a":1}', ByName, ByName({"a": 1})),
        ('{"root":1}', ByName, ByName({"root": 1})),
        ('"GREEN"', Color, Color.GREEN),
        ('"low"', Optional[Level], Level.LOW),  # noqa: UP045 - as above
        ('"2026-10-25T02:30:00+01:00"', datetime, datetime(2026, 10, 25, 2, 30, tzinfo=timezone(timedelta(hours=1)))),
        ('["2026-01-02"]', set[date], {date(2026, 1, 2)}),
        ('"01:02"', time, time(1, 2)),
        ('"1d12h"', timedelta, timedelta(hours=36)),
        ('"/tmp/x"', Path, Path("/tmp/x")),
        ('{"title":"Heat"}', Movie, {"title": "Heat"}),
        ("[1,2.5]", Point, Point(1, 2.5)),
        ('"rush"', Literal["rush", "slow"], "rush"),
        ("3", Annotated[int, "count"], 3),
    ],
    ids=range(24),
)
def test_plain_json_becomes_what_the_annotation_says(text: str, into: Any, value: Any) -> None:
    assert same(CODEC.decode(text.encode(), into), value)
    assert same(CODEC.decode_args(f"[{text}]".encode(), {0: into})[0][0], value)


@pytest.mark.parametrize(
    ("text", "into", "path"),
    [
        ('{"first":{"sku":"a","price":"x"}}', Pair[Item, int], "value.first.price"),
        ('{"first":1,"rest":[1,"x"]}', Pair[int, int], "value.rest[1]"),
        ('{"first":{"sku":7,"price":"1"}}', Orders, "value.first.sku"),
        ('{"value":[{"sku":"a"}]}', Entry[list[Item]], "value.value[0]"),
        ('{"value":null}', Cell[int], "value.value"),
        ('[{"a":1},{"a":"b"}]', list[dict[str, int]], "value[1].a"),
        ('{"title":1}', Movie, "value.title"),
        ('["x"]', Ids, "value"),
    ],
    ids=range(8),
)
def test_what_does_not_fit_is_refused_where_it_stands(text: str, into: Any, path: str) -> None:
    with pytest.raises(InvalidPayload) as refused:
        CODEC.decode(text.encode(), into)
    assert refused.value.path == path


# --- classes of generic models ---------------------------------------------------------------------------------------


def test_a_generic_model_made_inside_a_function_is_found_by_its_record_alone() -> None:
    space: dict[str, Any] = {"Box": Box, "Item": Item, "Other": Box[list[int]]}
    name = recorded_name(Box).replace("Box", "")
    codec = Converter(in_namespace(space))
    for value in (Box[Item](item=MADE), Box[int](item=3), Box[str | None](item=None), Box[list[int]](item=[1])):
        back = codec.decode(codec.encode(value))
        assert type(back) is type(value) and back == value
    fresh = f'{{"~":"object","of":"{name}Box[Decimal]","v":{{"item":{{"~":"decimal","v":"1"}}}}}}'
    assert codec.decode(fresh.encode()) == Box(item=Decimal(1)), "its arguments are no longer known: the generic class itself"
    made = codec.decode(f'{{"~":"object","of":"{name}Box[Color]","v":{{"item":null}}}}'.encode())
    assert type(made) is Box[Color]
    for unknown in ("Crate[int]", "Item[int]"):
        assert isinstance(codec.decode(f'{{"~":"object","of":"{name}{unknown}","v":{{}}}}'.encode()), Unresolved)


def test_odd_dataclasses_come_back() -> None:
    for value in (Late(1), Late(2, b=5)):
        value.c = 7
        back = CODEC.decode(CODEC.encode(value))
        assert (back.a, back.b, back.c) == (value.a, value.b, 7)


# --- types of the user's own -----------------------------------------------------------------------------------------


class Money:
    def __init__(self, cents: int) -> None:
        self.cents = cents

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and other.cents == self.cents

    def __hash__(self) -> int:
        return self.cents


OWN = Converters(
    [
        ValueConverter(Fraction, encode=lambda f: (f.numerator, f.denominator), decode=lambda parts: Fraction(*parts), name="fraction"),
        ValueConverter(Money, encode=lambda money: {"cents": money.cents}, decode=lambda tree: Money(tree["cents"])),
        ValueConverter(IPv4Address, encode=str, decode=IPv4Address, name="ip"),
    ]
)


@given(st.recursive(st.fractions() | st.integers().map(Money) | st.ip_addresses(v=4), nested, max_leaves=6))
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_types_with_a_converter_come_back_anywhere_in_a_value(value: Any) -> None:
    codec = values_for(None, extras=OWN)
    payload = codec.encode(value)
    assert codec.decode(payload) == value and codec.encode(codec.decode(payload)) == payload
    assert codec.decode_args(codec.encode_args((value,)), {0: Any})[0] == (value,)


def test_a_converted_value_says_what_it_is_where_its_converter_is_missing() -> None:
    own, plain = values_for(None, extras=OWN), Converter()
    payload = own.encode({"share": Fraction(1, 3)})
    assert payload == b'{"share":{"~":"custom","of":"fraction","v":{"~":"tuple","v":[1,3]}}}'
    stand_in = plain.decode(payload)["share"]
    assert isinstance(stand_in, Unresolved) and stand_in.value == (1, 3) and "fraction" in repr(stand_in)
    assert plain.encode({"share": stand_in}) == payload, "and is kept as it was"
    assert own.decode(payload, dict[str, Fraction]) == {"share": Fraction(1, 3)}
    with pytest.raises(InvalidPayload, match=r"value\.share: fractions\.Fraction cannot be recorded.*ValueConverter"):
        plain.encode({"share": Fraction(1, 3)})


def test_what_goes_wrong_in_a_converter_is_told_with_its_place() -> None:
    def boom(value: Any) -> Any:
        raise RuntimeError("boom")

    codec = values_for(None, extras=Converters([ValueConverter(Money, boom, boom, "money"), ValueConverter(Fraction, lambda f: object(), boom, "f")]))
    with pytest.raises(InvalidPayload, match=r"input\[0\]\.a: the converter of money raised RuntimeError: 'boom'"):
        codec.encode_args(({"a": Money(1)},))
    with pytest.raises(InvalidPayload, match=r"value: object cannot be recorded"):
        codec.encode(Fraction(1))
    with pytest.raises(InvalidPayload, match=r"value\.a: not a custom: RuntimeError: 'boom'"):
        codec.decode(b'{"a":{"~":"custom","of":"money","v":1}}')


def test_converters_that_make_no_sense_are_refused() -> None:
    good = ValueConverter(Money, str, str)
    assert good.name.endswith(":Money")
    for make, words in (
        (lambda: ValueConverter("Money", str, str), "give a class"),  # type: ignore[arg-type]
        (lambda: ValueConverter(Money, str, None), "functions of one argument"),  # type: ignore[arg-type]
        (lambda: Converters([good, ValueConverter(Money, str, str, "other")]), "two converters"),
        (lambda: Converters([good, ValueConverter(Fraction, str, str, good.name)]), "two converters"),
        (lambda: Converters([ValueConverter(int, str, str)]), "int are recorded as they are"),
        (lambda: Converters([Money]), "give ValueConverter"),  # type: ignore[list-item]
    ):
        with pytest.raises(InvalidOption, match=words):
            make()
