"""Values of globals as JSON, and back, by exact type; what is no value (a function, a class, a module) the caller refers to.

None, text, booleans and small integers stand for themselves; everything else is a list that opens with its kind. Nothing else is
ever decoded: a document can name classes only through the references that its package holds.
"""
from __future__ import annotations

import logging
import re
import uuid
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from types import ModuleType
from typing import Any
from zoneinfo import ZoneInfo

from aionlab.core.classes import kind_of, pydantic_state, rebuild, rebuild_pydantic, shape_of
from aionlab.core.jsontext import dumps

Json = Any
Refer = Callable[[Any], Json]
"""A live object that is no value → the JSON that refers to it; raises NotAValue when there is no way."""
MUTABLE = frozenset({"list", "dict", "set", "deque", "Counter", "OrderedDict", "defaultdict", "bytearray"})
_SAFE_INTEGER = 2**53
_PATHS: dict[str, type[PurePath]] = {"Path": Path, "PurePosixPath": PurePosixPath, "PureWindowsPath": PureWindowsPath, "PurePath": PurePath}


class NotAValue(Exception):
    """An object that cannot be kept by value. `path` leads to it from the global, such as "['db']"; `why` may say more than its type."""

    def __init__(self, value: Any, path: str = "", why: str = "") -> None:
        super().__init__(path)
        self.value, self.path, self.why = value, path, why


def encode(value: Any, refer: Refer) -> Json:
    """The value as JSON. Raises NotAValue."""
    return _Encoder(refer).encode(value)


class _Encoder:
    def __init__(self, refer: Refer) -> None:
        self._refer = refer
        self._open: list[int] = []

    def encode(self, value: Any) -> Json:
        kind = type(value)
        if value is None or kind is bool:
            return value
        if kind is str:
            try:
                value.encode()
            except UnicodeEncodeError:  # lone surrogates are no JSON
                return ["str", value.encode("utf-16-be", "surrogatepass").hex()]
            return value
        if kind is int:
            return value if -_SAFE_INTEGER < value < _SAFE_INTEGER else ["int", f"{value:x}"]
        simple = _SIMPLE.get(kind)
        if simple is not None:
            return [simple[0], *simple[1](value)]
        if id(value) in self._open:
            raise NotAValue(value, "", "it contains itself")
        self._open.append(id(value))
        try:
            return self._compound(value, kind)
        finally:
            self._open.pop()

    def _compound(self, value: Any, kind: type) -> Json:
        if kind in (list, tuple):
            return [kind.__name__, [self._at(item, f"[{i}]") for i, item in enumerate(value)]]
        if kind in (set, frozenset):
            return [kind.__name__, sorted((self._at(item, "{…}") for item in value), key=dumps)]
        if kind in (dict, OrderedDict, Counter):
            return [kind.__name__, self._pairs(value)]
        if kind is defaultdict:
            return ["defaultdict", self._at(value.default_factory, ".default_factory"), self._pairs(value)]
        if kind is deque:
            return ["deque", value.maxlen, [self._at(item, f"[{i}]") for i, item in enumerate(value)]]
        if kind in (slice,):
            return ["slice", self.encode(value.start), self.encode(value.stop), self.encode(value.step)]
        if isinstance(value, logging.Logger):
            return ["logger", value.name]
        if isinstance(value, re.Pattern):
            return ["regex", self.encode(value.pattern), value.flags]
        if isinstance(value, PurePath):
            name = "Path" if isinstance(value, Path) else kind.__name__
            return ["path", name, self.encode(str(value))]
        if isinstance(value, type | ModuleType) or getattr(kind, "aion_kind", None) is not None:
            return self._refer(value)
        if isinstance(value, Enum):
            label = value._name_
            return ["enum", self._refer(kind), label if label in vars(kind).get("_member_map_", {}) else ["int", f"{value._value_:x}"]]
        shape = kind_of(kind)
        if shape in ("dataclass", "attrs", "pydantic", "namedtuple"):
            return self._object(value, kind, shape)
        return self._refer(value)

    def _object(self, value: Any, kind: type, shape: str) -> Json:
        later = getattr(kind, "aion_later", {})
        fields = [
            [name, self._at(getattr(value, name), f".{name}")]
            for name in shape_of(kind).names
            if hasattr(value, name) and (name not in later or getattr(value, name) != later[name])
        ]
        coded: list[Json] = ["object", self._refer(kind), fields]
        if shape == "pydantic":
            state = pydantic_state(value)
            if state:
                coded.append(self._at(state, ""))
        return coded

    def _pairs(self, value: Any) -> Json:
        return [[self._at(key, " (a key)"), self._at(item, f"[{key!r}]" if type(key) in (str, int) else "[…]")] for key, item in value.items()]

    def _at(self, value: Any, step: str) -> Json:
        try:
            return self.encode(value)
        except NotAValue as refused:
            refused.path = step + refused.path
            raise


def _zone(zone: Any, value: Any) -> list[Json]:
    if zone is None:
        return []
    if type(zone) is ZoneInfo and zone.key:
        return ["zone", zone.key]
    if type(zone) is timezone:
        return ["offset", *_timezone(zone)]
    raise NotAValue(value, "", f"its time zone is a {type(zone).__name__}; use zoneinfo.ZoneInfo")


def _timezone(zone: timezone) -> list[Json]:
    name = zone.tzname(None)
    return [_length(zone.utcoffset(None)), *([] if name == timezone(zone.utcoffset(None)).tzname(None) else [name])]


def _length(length: timedelta) -> list[int]:
    return [length.days, length.seconds, length.microseconds]


_SIMPLE: dict[type, tuple[str, Callable[[Any], list[Json]]]] = {
    float: ("float", lambda v: [repr(v)]),
    complex: ("complex", lambda v: [repr(v.real), repr(v.imag)]),
    bytes: ("bytes", lambda v: [v.hex()]),
    bytearray: ("bytearray", lambda v: [v.hex()]),
    type(...): ("...", lambda v: []),
    type(NotImplemented): ("NotImplemented", lambda v: []),
    Decimal: ("Decimal", lambda v: [str(v)]),
    Fraction: ("Fraction", lambda v: [f"{v.numerator:x}", f"{v.denominator:x}"]),
    datetime: ("datetime", lambda v: [v.replace(tzinfo=None).isoformat(), v.fold, *_zone(v.tzinfo, v)]),
    time: ("time", lambda v: [v.replace(tzinfo=None).isoformat(), v.fold, *_zone(v.tzinfo, v)]),
    date: ("date", lambda v: [v.isoformat()]),
    timedelta: ("timedelta", _length),
    timezone: ("timezone", _timezone),
    uuid.UUID: ("UUID", lambda v: [v.hex]),
    range: ("range", lambda v: [f"{v.start:x}", f"{v.stop:x}", f"{v.step:x}"]),
}


def _zoneinfo(zone: ZoneInfo) -> list[Json]:
    if not zone.key:
        raise NotAValue(zone, "", "a time zone without a key")
    return [zone.key]


_SIMPLE[ZoneInfo] = ("ZoneInfo", _zoneinfo)


def decode(coded: Json, look_up: Callable[[list[Json]], Any]) -> Any:
    """The value again; `look_up` finds what a reference means. Raises ValueError for what `encode` never writes."""
    if not isinstance(coded, list):
        return coded
    kind, *rest = coded

    def inner(part: Json) -> Any:
        return decode(part, look_up)

    match kind, rest:
        case "str", [text]:
            return bytes.fromhex(text).decode("utf-16-be", "surrogatepass")
        case "int", [text]:
            return int(text, 16)
        case "float", [text]:
            return float(text)
        case "complex", [real, imaginary]:
            return complex(float(real), float(imaginary))
        case "bytes", [text]:
            return bytes.fromhex(text)
        case "bytearray", [text]:
            return bytearray.fromhex(text)
        case "...", []:
            return ...
        case "NotImplemented", []:
            return NotImplemented
        case ("list" | "tuple" | "set" | "frozenset"), [items]:
            return {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}[kind](map(inner, items))
        case ("dict" | "OrderedDict" | "Counter"), [pairs]:
            made = {inner(key): inner(item) for key, item in pairs}
            return made if kind == "dict" else OrderedDict(made) if kind == "OrderedDict" else Counter(made)
        case "defaultdict", [factory, pairs]:
            return defaultdict(inner(factory), {inner(key): inner(item) for key, item in pairs})
        case "deque", [limit, items]:
            return deque(map(inner, items), limit)
        case "slice", [start, stop, step]:
            return slice(inner(start), inner(stop), inner(step))
        case "Decimal", [text]:
            return Decimal(text)
        case "Fraction", [top, bottom]:
            return Fraction(int(top, 16), int(bottom, 16))
        case "datetime", [text, fold, *zone]:
            return datetime.fromisoformat(text).replace(fold=fold, tzinfo=_zone_again(zone))
        case "time", [text, fold, *zone]:
            return time.fromisoformat(text).replace(fold=fold, tzinfo=_zone_again(zone))
        case "date", [text]:
            return date.fromisoformat(text)
        case "timedelta", [days, seconds, micros]:
            return timedelta(days, seconds, micros)
        case "timezone", [[*length], *name]:
            return _zone_again(["offset", length, *name])
        case "ZoneInfo", [key]:
            return ZoneInfo(key)
        case "UUID", [text]:
            return uuid.UUID(hex=text)
        case "range", [start, stop, step]:
            return range(int(start, 16), int(stop, 16), int(step, 16))
        case "logger", [name]:
            return logging.getLogger(name)
        case "regex", [pattern, flags]:
            return re.compile(inner(pattern), flags)
        case "path", [name, text]:
            return _PATHS[name](inner(text))
        case "enum", [cls, label]:
            return inner(cls)[label] if isinstance(label, str) else inner(cls)(inner(label))
        case "object", [cls, fields, *state]:
            found = {name: inner(part) for name, part in fields}
            made_of = inner(cls)
            if kind_of(made_of) == "pydantic":
                return rebuild_pydantic(made_of, found, inner(state[0]) if state else {})
            return rebuild(made_of, found)
        case _:
            return look_up(coded)


def _zone_again(zone: list[Json]) -> Any:
    match zone:
        case []:
            return None
        case ["zone", key]:
            return ZoneInfo(key)
        case ["offset", [days, seconds, micros], *name]:
            length = timedelta(days, seconds, micros)
            return timezone(length, name[0]) if name else UTC if not length else timezone(length)
        case _:
            raise ValueError(f"not a time zone: {zone!r}")
