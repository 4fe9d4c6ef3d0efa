"""A value as a tree of plain JSON values and tags: the writing half of `core.payload`, whose table says what the tags mean.

Writes every type by its exact class, and says of what it refuses where it is, why, and the way out. Reading is `core.reading`'s,
bytes and limits are `core.payload`'s.
"""
from __future__ import annotations

import base64
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Flag
from pathlib import PosixPath, PurePath, PurePosixPath, PureWindowsPath, WindowsPath
from types import NoneType
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from . import arrays
from .annotations import step
from .classes import Mismatch, Unresolved, kind_of, pydantic_state, recorded_name, shape_of, spelled, values_of
from .converters import ValueConverter
from .errors import shorten
from .failure import failure_of
from .jsontext import dumps

if TYPE_CHECKING:
    from .payload import Converter

TAG: Final = "~"
"""The reserved key of an object that stands for something else than a dict."""


class Writer:
    """Turns one value into a tree; remembers what it is inside of, to see cycles."""

    __slots__ = ("active", "converter", "errors", "levels")

    def __init__(self, converter: Converter, errors: bool, levels: int) -> None:
        self.converter, self.errors, self.levels = converter, errors, levels
        self.active: set[int] = set()

    def tree(self, value: Any, level: int) -> Any:
        kind = type(value)
        if kind in _SIMPLE:
            return _SIMPLE[kind](value)
        if level > self.levels:
            raise Mismatch(f"it is nested more than {self.levels} levels deep; record it flatter, or as text")
        if id(value) in self.active:
            raise Mismatch("it contains itself; record a copy without the cycle")
        self.active.add(id(value))
        try:
            write = _WRITERS.get(kind)
            return write(self, value, level) if write is not None else self._other(value, level)
        finally:
            self.active.discard(id(value))

    def items(self, values: Any, level: int) -> list[Any]:
        out = []
        for at, item in enumerate(values):
            try:
                out.append(self.tree(item, level))
            except Mismatch as refused:
                refused.parts.append(f"[{at}]")
                raise
        return out

    def fields(self, values: Mapping[Any, Any], level: int) -> dict[str, Any]:
        out = {}
        for name, item in values.items():
            try:
                out[_text(name)] = self.tree(item, level)
            except Mismatch as refused:
                refused.parts.append(step(name))
                raise
        return out

    def pairs(self, values: Mapping[Any, Any], level: int) -> list[list[Any]]:
        out = []
        for key, item in values.items():
            try:
                out.append([self.tree(key, level + 1), self.tree(item, level + 1)])
            except Mismatch as refused:
                refused.parts.append(step(key))
                raise
        return out

    def mapping(self, value: dict[Any, Any], level: int) -> Any:
        if not all(type(key) is str for key in value):
            return {TAG: "dict", "v": self.pairs(value, level + 2)}
        if TAG in value:
            return {TAG: "map", "v": self.fields(value, level + 2)}
        return self.fields(value, level + 1)

    def unordered(self, value: Any, level: int) -> list[Any]:
        """The items of a set in an order that does not depend on hashes."""
        return sorted((self.tree(item, level) for item in value), key=dumps)

    def _other(self, value: Any, level: int) -> Any:
        cls: type = type(value)
        extras = self.converter.extras
        if extras is not None and cls in extras.by_type:
            return self._custom(value, extras.by_type[cls], level)
        kind = kind_of(cls)
        if kind == "enum":
            return _enum(value, cls)
        if kind == "error":
            if not self.errors:
                raise Mismatch("an exception cannot be recorded here")
            return {TAG: "error", "v": failure_of(value, self.converter).to_tree()}
        if kind:
            return self._object(value, cls, kind, level)
        if cls is Unresolved:
            return self._unresolved(value, level)
        tree = arrays.write(value, lambda inner: self.tree(inner, level + 4))
        if tree is None:
            raise Mismatch(_why_not(value))
        return tree

    def _object(self, value: Any, cls: type, kind: str, level: int) -> Any:
        shape = shape_of(cls)
        if kind == "namedtuple":
            if len(value) != len(shape.names):
                raise Mismatch(f"this {spelled(cls)} has {len(value)} items, its class {len(shape.names)} fields")
            values: Mapping[str, Any] = dict(zip(shape.names, tuple.__iter__(value), strict=True))
            for name in getattr(value, "__dict__", ()):
                raise Mismatch(f"it is not a field of {spelled(cls)}, so it would be lost", f".{name}")
        elif kind == "pydantic":
            values = {name: item for name, item in vars(value).items() if name in shape.names}
        else:
            values = values_of(value, shape)
        tree = {TAG: "object", "of": _text(shape.name), "v": self.fields(values, level + 2)}
        if kind == "pydantic":
            for name, item in pydantic_state(value).items():
                tree[name] = self.tree(item, level + 2)
        return tree

    def _custom(self, value: Any, own: ValueConverter, level: int) -> Any:
        try:
            plain = own.encode(value)
        except Exception as error:  # a converter of the user's may raise anything
            raise Mismatch(f"the converter of {own.name} raised {type(error).__name__}: {shorten(str(error), 200)}") from error
        return {TAG: "custom", "of": _text(own.name), "v": self.tree(plain, level + 2)}

    def _unresolved(self, value: Unresolved, level: int) -> Any:
        if value._tree is not None:
            return value._tree
        return {TAG: "object", "of": _text(value.type_name), "v": self.fields(value.fields, level + 2)}


def _text(value: str) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            found = f"{shorten(value)} has a lone surrogate ({value[error.start]!a}) at {error.start}, which UTF-8 cannot carry"
            raise Mismatch(f"{found}; use text.encode('utf-8', 'replace').decode()") from None
    return value


def _integer(value: int) -> Any:
    return value if -0x8000000000000000 <= value <= 0xFFFFFFFFFFFFFFFF else {TAG: "int", "v": hex(value)}


def _float(value: float) -> float:
    if value - value != 0.0:
        raise Mismatch(f"{value} cannot be recorded (JSON has no NaN and no infinity); use None, or Decimal({str(value)!r})")
    return value


def _base64(data: bytes | bytearray) -> str:
    return base64.b64encode(data).decode()


def _length(value: timedelta) -> list[int]:
    return [value.days, value.seconds, value.microseconds]


def _offset(value: timezone) -> Any:
    delta, *name = value.__getinitargs__()  # type: ignore[attr-defined]  # what pickle and copy use
    tree = {TAG: "offset", "v": _length(delta)}
    if name:
        tree["name"] = _text(name[0])
    return tree


def _zone(value: ZoneInfo) -> Any:
    if value.key is None:
        raise Mismatch("a ZoneInfo without a key cannot be recorded; use ZoneInfo('Area/City')")
    return {TAG: "zone", "v": value.key}


def _moment(tag: str) -> Callable[[Any], Any]:
    def write(value: datetime | time) -> Any:
        zone = value.tzinfo
        tree: dict[str, Any] = {TAG: tag, "v": ""}
        if zone is None:
            tree["v"] = value.isoformat()
        elif type(zone) is timezone and len(zone.__getinitargs__()) == 1:  # type: ignore[attr-defined]  # as above
            tree["v"] = value.isoformat()
        elif type(zone) is timezone or type(zone) is ZoneInfo:
            tree["v"] = value.replace(tzinfo=None).isoformat()
            tree["zone"] = _zone(zone)["v"] if type(zone) is ZoneInfo else _offset(zone)  # type: ignore[arg-type]
        else:
            raise Mismatch(f"a time zone of type {spelled(type(zone))} cannot be recorded; use zoneinfo.ZoneInfo or datetime.timezone")
        if value.fold:
            tree["fold"] = 1
        return tree

    return write


def _enum(value: Any, cls: type) -> Any:
    name = value.name
    recorded = name if name in cls.__members__ else value.value if isinstance(value, Flag) else None  # type: ignore[attr-defined]
    if recorded is None:
        raise Mismatch(f"{shorten(value)} is not a member of {spelled(cls)}")
    return {TAG: "enum", "of": _text(recorded_name(cls)), "v": recorded}


def _path(value: PurePath) -> Any:
    return {TAG: "path", "v": _text(str(value)), "of": type(value).__name__}


_SIMPLE: dict[type, Callable[[Any], Any]] = {
    str: _text,
    int: _integer,
    bool: lambda value: value,
    NoneType: lambda value: value,
    float: _float,
    bytes: lambda value: {TAG: "bytes", "v": _base64(value)},
    bytearray: lambda value: {TAG: "bytearray", "v": _base64(value)},
    complex: lambda value: {TAG: "complex", "v": [_float(value.real), _float(value.imag)]},
    range: lambda value: {TAG: "range", "v": [_integer(value.start), _integer(value.stop), _integer(value.step)]},
    datetime: _moment("datetime"),
    time: _moment("time"),
    date: lambda value: {TAG: "date", "v": value.isoformat()},
    timedelta: lambda value: {TAG: "timedelta", "v": _length(value)},
    timezone: _offset,
    ZoneInfo: _zone,
    Decimal: lambda value: {TAG: "decimal", "v": str(value)},
    UUID: lambda value: {TAG: "uuid", "v": str(value)},
    PosixPath: _path,
    WindowsPath: _path,
    PurePosixPath: _path,
    PureWindowsPath: _path,
}


def _write_deque(writer: Writer, value: Any, level: int) -> Any:
    tree = {TAG: "deque", "v": writer.items(value, level + 2)}
    if value.maxlen is not None:
        tree["maxlen"] = value.maxlen
    return tree


_WRITERS: dict[type, Callable[[Writer, Any, int], Any]] = {
    list: lambda writer, value, level: writer.items(value, level + 1),
    dict: Writer.mapping,
    tuple: lambda writer, value, level: {TAG: "tuple", "v": writer.items(value, level + 2)},
    set: lambda writer, value, level: {TAG: "set", "v": writer.unordered(value, level + 2)},
    frozenset: lambda writer, value, level: {TAG: "frozenset", "v": writer.unordered(value, level + 2)},
    deque: _write_deque,
    OrderedDict: lambda writer, value, level: {TAG: "ordered", "v": writer.pairs(value, level + 2)},
    Counter: lambda writer, value, level: {TAG: "counter", "v": writer.pairs(value, level + 2)},
}

_BUILTINS = (str, bytes, bytearray, bool, int, float, complex, list, tuple, set, frozenset, dict, datetime, date, time, timedelta, Decimal)


def _why_not(value: Any) -> str:
    """Why the value is refused, and the way out."""
    cls = type(value)
    name = spelled(cls)
    for base in _BUILTINS:
        if isinstance(value, base):
            return f"{name} is a {base.__name__} with more to it, which would be lost; pass {base.__name__}(…), or make it a dataclass"
    if isinstance(value, type):
        return f"the class {spelled(value)} cannot be recorded; pass its name"
    if cls.__name__ in ("function", "method", "builtin_function_or_method", "partial"):
        return f"{name} {shorten(value, 40)} cannot be recorded; pass a name and look the function up where it is called"
    if cls.__name__ in ("coroutine", "generator", "async_generator", "Task", "Future"):
        return f"{name} cannot be recorded; await it, or turn it into a list, and pass the result"
    if isinstance(value, Mapping):
        return f"{name} cannot be recorded; pass dict(…)"
    if cls.__module__ == "builtins" and hasattr(value, "__iter__"):
        return f"{name} cannot be recorded; pass list(…)"
    if hasattr(value, "close") or hasattr(value, "acquire"):
        return f"{name} cannot be recorded; open it inside the activity that uses it, and pass what is needed to open it"
    return f"{name} cannot be recorded; make it a dataclass, pass the plain values needed to make it again, or open the lab with a ValueConverter for it"
