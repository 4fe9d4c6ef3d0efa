"""Classes of recorded values: stand-ins, classes that changed between recording and reading, and objects that hold too much."""
from __future__ import annotations

import copy
import enum
import json
import pickle
from dataclasses import dataclass, field, make_dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, NamedTuple

import pydantic
import pytest

from aionlab.core.classes import Mismatch, Unresolved, find, in_namespace, kind_of, member, recorded_name
from aionlab.core.errors import InvalidPayload
from aionlab.core.payload import Converter

CODEC = Converter()


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Color(enum.Enum):
    RED = "r"


class Point(NamedTuple):
    x: int
    y: int = 0


class Loose(Point):
    """A subclass with room for more."""


class Secret(pydantic.BaseModel):
    n: int
    _token: str = pydantic.PrivateAttr()


@dataclass
class Grown:
    """What it recorded first was less, and its constructor has become stricter."""

    size: int
    tags: list[str] = field(default_factory=list)
    kind: str = "small"
    area: int = field(init=False)

    def __post_init__(self) -> None:
        if self.size > 10:
            raise ValueError("too large now")
        self.area = self.size**2


def record(cls: type, value: Any, tag: str = "object") -> bytes:
    return json.dumps({"~": tag, "of": recorded_name(cls), "v": value}).encode()


# --- stand-ins


def test_a_stand_in_is_read_copied_and_pickled_and_never_changed() -> None:
    payload = b'{"~":"object","of":"gone.shop:Order","v":{"id":3,"lines":[{"~":"tuple","v":[1]}]}}'
    order = CODEC.decode(payload)
    assert (order.id, order.lines, order.type_name) == (3, [(1,)], "gone.shop:Order")
    for other in (copy.copy(order), copy.deepcopy(order), pickle.loads(pickle.dumps(order))):
        assert other == order and hash(other) == hash(order) and CODEC.encode(other) == payload
    assert order != 3 and order != Unresolved("gone.shop:Order", {})
    assert repr(order) == "<gone.shop:Order(id=3, lines=[(1,)]), class not known here>"
    with pytest.raises(AttributeError, match="is a stand-in .* cannot be changed"):
        order.id = 4
    with pytest.raises(AttributeError, match="has no field 'colour'"):
        order.colour
    by_hand = Unresolved("gone.shop:Order", {"id": (3,)})
    assert CODEC.decode(CODEC.encode(by_hand)) == by_hand


def test_nothing_can_be_deleted_from_a_stand_in() -> None:
    with pytest.raises(AttributeError, match="cannot be changed"):
        del Unresolved("gone.shop:Order", {"id": 3}).id


def test_a_class_is_looked_for_where_it_may_be_and_only_of_kinds_that_hold_values() -> None:
    here = in_namespace({"Point": Point, "len": len, "Outer": type("Outer", (), {"Inner": Color}), "Plain": type("Plain", (), {})})
    assert (find("Point", here), find("Outer.Inner", here), find("__main__:Point", here)) == (Point, Color, Point)
    assert (find("ValueError", None), find(recorded_name(Color), None)) == (ValueError, Color)
    for name in ("Gone", "len", "len.x", "Outer.Gone", "Plain", "print", "int", "os:system", "gone.module:Point"):
        assert find(name, here) is None, name
    assert find("__main__:Point", None) is None
    assert [kind_of(cls) for cls in (int, object, tuple, dict, type("MyList", (list,), {}))] == [""] * 5


# --- classes that have changed since


def test_a_constructor_that_refuses_what_was_recorded_is_passed_by() -> None:
    back = CODEC.decode(record(Grown, {"size": 20, "area": 400}))
    assert (back.size, back.tags, back.kind, back.area) == (20, [], "small", 400), "fields that came later have their defaults"
    assert CODEC.decode(record(Grown, {"size": 2})) == Grown(2)


def test_a_namedtuple_that_gained_a_field_has_its_default() -> None:
    assert CODEC.decode(record(Point, {"x": 1})) == Point(1, 0)
    with pytest.raises(InvalidPayload, match="needs 'x'"):
        CODEC.decode(record(Point, {"y": 1}))
    nothing = make_dataclass("Nothing", [])
    nothing.__module__ = "__main__"
    with pytest.raises(InvalidPayload, match="has no field 'x'; its fields: none"):
        CODEC.decode(record(nothing, {"x": 1}), nothing)


def test_a_pydantic_class_that_changed_validates_the_record() -> None:
    assert CODEC.decode(record(Secret, {"n": 1})).n == 1
    with pytest.raises(InvalidPayload, match="Secret does not take it: ValidationError"):
        CODEC.decode(record(Secret, {"m": 1}))


def test_a_private_attribute_that_was_never_set_stays_unset() -> None:
    back = CODEC.decode(CODEC.encode(Secret(n=1)))
    assert back == Secret(n=1)
    with pytest.raises(AttributeError):
        back._token
    back._token = "x"
    assert CODEC.decode(CODEC.encode(back))._token == "x"


@pytest.mark.parametrize(("cls", "recorded"), [(Color, "GONE"), (Color, 5), (Access, 64), (Access, 1.5), (Color, None), (Color, ["RED"])])
def test_members_that_are_not_there(cls: type, recorded: Any) -> None:
    with pytest.raises(Mismatch, match="has no member"):
        member(cls, recorded)
    with pytest.raises(InvalidPayload, match="has no member"):
        CODEC.decode(record(cls, recorded, "enum"))


def test_members_that_are() -> None:
    assert (member(Access, 3), member(Access, 0), member(Access, "READ"), member(Color, "RED")) == (Access(3), Access(0), Access.READ, Color.RED)
    gone = CODEC.decode(b'{"~":"enum","of":"gone:Access","v":3}')
    assert (gone.value, CODEC.encode(gone)) == (3, b'{"~":"enum","of":"gone:Access","v":3}')


# --- objects that hold more, or less, than their class says


class Fixed(tzinfo):
    def utcoffset(self, when: datetime | None) -> timedelta:
        return timedelta(hours=1)


def _nobody() -> Any:
    made = object.__new__(Color)
    made._name_, made._value_ = "BLUE", "b"
    return made


def _more() -> Any:
    made = Loose(1, 2)
    made.note = "lost"  # type: ignore[attr-defined]
    return made


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (tuple.__new__(Point, (1, 2, 3)), "Point has 3 items, its class 2 fields"),
        (_more(), "value.note: it is not a field of"),
        (datetime(2026, 1, 1, tzinfo=Fixed()), "a time zone of type"),
        (_nobody(), "is not a member of"),
    ],
    ids=["too long", "more", "zone", "no member"],
)
def test_an_object_that_would_not_come_back_is_refused(value: Any, words: str) -> None:
    with pytest.raises(InvalidPayload) as refused:
        CODEC.encode(value)
    assert words in str(refused.value)


def test_a_namedtuples_subclass_comes_back_as_itself() -> None:
    back = CODEC.decode(CODEC.encode(Loose(1, 2)))
    assert type(back) is Loose and back == (1, 2)


# --- records by hand


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b'{"~":"object","of":3,"v":{}}', "a class without a name"),
        (b'{"~":"enum","of":[],"v":"A"}', "a class without a name"),
        (record(Point, "RED", "enum"), "Point is not an Enum"),
        (record(Color, {"name": "RED"}), "Color is no class of recorded values"),
        (record(ValueError, {}), "ValueError is no class of recorded values"),
        (record(Point, [1, 2]), "expected an object in the record"),
        (b'{"~":"map","v":[]}', "expected an object in the record"),
        (b'{"~":"tuple","v":{}}', "expected a list in the record"),
        (b'{"~":"tomorrow","v":1}', "'tomorrow' is not known to this version of aionlab"),
        (b'{"~":null}', "is not known to this version"),
        (b'[{"~":"date","v":"someday"}]', r"value[0]: not a date: ValueError"),
    ],
    ids=range(11),
)
def test_records_that_make_no_sense(payload: bytes, words: str) -> None:
    with pytest.raises(InvalidPayload) as refused:
        CODEC.decode(payload)
    assert words in str(refused.value)


# --- little room on the stack


def _descend(frames: int, act: Any) -> Any:
    return act() if frames <= 0 else _descend(frames - 1, act)


def test_with_little_stack_left_values_are_refused_and_nothing_worse() -> None:
    deep: Any = (datetime(2026, 1, 1, tzinfo=UTC),)
    for _ in range(60):
        deep = (deep,)
    payload = CODEC.encode(deep)
    for act, words in ((lambda: CODEC.encode(deep), "recorded here"), (lambda: CODEC.decode(payload), "read here")):
        said: set[str] = set()
        for frames in range(1000):
            try:
                _descend(frames, act)
            except InvalidPayload as refused:
                said.add(refused.why)
            except RecursionError:
                break
        assert said == {f"it nests too deeply to be {words}"}
    assert CODEC.decode(payload) == deep
