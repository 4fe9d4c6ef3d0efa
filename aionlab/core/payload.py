"""Values as bytes and back: the one codec for everything a history keeps of users' data. Never pickle, never an import.

A payload is compact UTF-8 JSON. JSON's own values (None, bool, int, float, str, list, dict with str keys) are written as themselves;
everything else is an object with the reserved key `~`, its tag:

    tag                     value                               v, and what else the object has
    int                     int beyond 64 bits                  "0x1f…"
    bytes · bytearray                                           base64
    complex                                                     [re, im]
    tuple · set · frozenset · deque                             [items] (sets sorted by their encoding; maxlen)
    dict                    dict with other keys than str       [[key, value], …]
    ordered · counter       OrderedDict, Counter                [[key, value], …]
    map                     dict that has a key "~"             {…}, taken literally
    range                                                       [start, stop, step]
    datetime · date · time                                      ISO text; zone (an IANA name or an `offset`), fold
    timedelta                                                   [days, seconds, microseconds]
    zone · offset           ZoneInfo · timezone                 IANA name · [days, seconds, microseconds]; name
    decimal · uuid                                              text
    path                                                        text; of: the class in pathlib
    enum                    Enum, also str- and int-based; Flag  name (number for a flag without one); of: recorded class name
    object                  dataclass, NamedTuple, attrs,       {field: value}; of: recorded class name; for pydantic also
                            pydantic                            set (fields set), extra, private, where they are not as usual
    error                   an exception                        the tree of its `Failure`
    numpy · ndarray         numpy scalars and arrays            see `core.arrays`; so: frame, series, index, timestamp,
                                                                pandas.timedelta, missing

NaN and infinities are refused (arrays and frames keep theirs), and so are lone surrogates, cycles, more than 250 levels, and
subclasses of built-in types that are not listed: none is ever flattened in silence. Values come back equal, of the same type, and
always as fresh objects; sharing within a value is not kept. Records are bound to classes as `core.classes` says, annotations as
`core.annotations` says; a class that is not known here becomes an `Unresolved`.
"""
from __future__ import annotations

import base64
import re
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Flag
from pathlib import Path, PosixPath, PurePath, PurePosixPath, PureWindowsPath, WindowsPath
from types import MappingProxyType, NoneType
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from . import arrays
from .annotations import classes_in, fitter, hints_of, step
from .classes import (
    Mismatch,
    Resolve,
    Unresolved,
    find,
    in_namespace,
    kind_of,
    member,
    pydantic_state,
    rebuild,
    rebuild_pydantic,
    recorded_name,
    shape_of,
    spelled,
    values_of,
)
from .errors import InvalidPayload, PayloadTooLarge, shorten
from .events import Payload
from .failure import Failure, error_of, failure_of
from .jsontext import dumps, loads

LIMIT = 2 * 1024 * 1024
LEVELS = 250
"""How deep the JSON of a payload may nest; a tag counts as two levels, and an object's fields as a third."""

_TAG: Final = "~"
_MARK: Final = b'"~"'
_ATOMS: Final = frozenset({str, int, bool, NoneType})
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


def _writer_is_strict() -> bool:
    """Whether `dumps` refuses by itself what must not pass unseen (too deep, integers over 64 bits)."""
    deep: list[Any] = []
    for _ in range(LEVELS + 10):
        deep = [deep]
    try:
        dumps(deep)
    except (TypeError, ValueError, RecursionError):
        return True
    return False


if _writer_is_strict():
    _dumps_plain = dumps
else:
    _SUSPECT = re.compile(rb"\d{19}").search

    def _dumps_plain(value: Any) -> bytes:
        text = dumps(value)
        if text.count(b"[") + text.count(b"{") > LEVELS or _SUSPECT(text):
            raise TypeError("to be looked at closely")
        return text


class Converter:
    """Encodes and decodes payloads against one set of classes.

    `resolve` finds a class by its recorded name (see `in_namespace`); `limit` is the most bytes a payload may have. With
    `classes=False` every object decodes to its stand-in and nobody's code runs, for looking at a database that is not trusted.
    """

    __slots__ = ("_find", "limit", "resolve")

    def __init__(self, resolve: Resolve | None = None, limit: int = LIMIT, *, classes: bool = True) -> None:
        self.resolve, self.limit = resolve, limit
        self._find: Callable[[str], type | None] = (lambda name: find(name, resolve)) if classes else (lambda name: None)

    # --- out ---------------------------------------------------------------------------------------------------------

    def encode(self, value: object, where: str = "value") -> Payload:
        """The value as a payload.

        Raises InvalidPayload, naming the path below `where`, when something in it cannot be recorded; PayloadTooLarge.
        """
        try:
            text = _dumps_plain(value) if type(value) in _ATOMS or _plain(value) else self._tagged(value, where)
        except (TypeError, ValueError, RecursionError, RuntimeError) as error:
            if isinstance(error, InvalidPayload):
                raise
            text = self._tagged(value, where)
        if len(text) > self.limit:
            raise PayloadTooLarge(where, len(text), self.limit)
        return text  # type: ignore[return-value]  # NewType's call costs as much as the check above

    def encode_args(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any] = _NOTHING, where: str = "input", names: Sequence[str] = ()
    ) -> Payload:
        """A call's arguments as a payload: a JSON array, or `{"args": […], "kwargs": {…}}` when there are keywords.

        `names` are the parameters' names, for the paths in errors. Raises as `encode`.
        """
        text: bytes | None = None
        try:
            for value in args:
                if type(value) not in _ATOMS and not _plain(value):
                    break
            else:
                if not kwargs:
                    text = _dumps_plain(args)
                elif _plain(kwargs):
                    text = _dumps_plain({"args": args, "kwargs": kwargs})
            if text is None:
                text = self._tagged_args(args, kwargs, where, names)
        except (TypeError, ValueError, RecursionError, RuntimeError) as error:
            if isinstance(error, InvalidPayload):
                raise
            text = self._tagged_args(args, kwargs, where, names)
        if len(text) > self.limit:
            raise PayloadTooLarge(where, len(text), self.limit)
        return text  # type: ignore[return-value]  # as above

    def tree_of(self, value: object, where: str = "value", *, errors: bool = True, levels: int = LEVELS) -> Any:
        """The value as the tree of plain JSON values that `encode` would write; with `errors=False` exceptions are refused."""
        try:
            return _Writer(self, errors, levels).tree(value, 1)
        except Mismatch as refused:
            raise InvalidPayload(refused.path(where), refused.why) from None
        except RecursionError:
            raise InvalidPayload(where, "it nests too deeply to be recorded here") from None
        except Exception as error:
            raise InvalidPayload(where, f"it cannot be recorded: {type(error).__name__}: {shorten(error, 200)}") from error

    def _tagged(self, value: object, where: str) -> bytes:
        tree = self.tree_of(value, where)
        return self._checked(lambda: dumps(tree), where)

    def _tagged_args(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], where: str, names: Sequence[str]) -> bytes:
        trees = [
            self._argument(value, f"{where}.{names[at]}" if at < len(names) else f"{where}[{at}]") for at, value in enumerate(args)
        ]
        if not kwargs:
            return self._checked(lambda: dumps(trees), where)
        named = {name: self._argument(value, where + step(name)) for name, value in kwargs.items()}
        return self._checked(lambda: dumps({"args": trees, "kwargs": named}), where)

    def _argument(self, value: Any, where: str) -> Any:
        return self.tree_of(value, where, levels=LEVELS - 2)

    def _checked(self, make: Callable[[], bytes], where: str) -> bytes:
        try:
            return make()
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidPayload(where, f"it cannot be recorded: {error}") from None

    # --- back --------------------------------------------------------------------------------------------------------

    def decode(self, payload: bytes, into: Any = Any, where: str = "value") -> Any:
        """The value, fresh; `into` is a type annotation it has to meet (plain JSON is turned into what it asks for).

        Raises InvalidPayload, naming the path below `where`, for text that is no payload and for a value that does not fit.
        """
        if into is Any and _MARK not in payload:
            try:
                return loads(payload)
            except (ValueError, TypeError, RecursionError) as error:
                raise InvalidPayload(where, f"not a payload: {error}") from None
        tree = self._loaded(payload, where)
        return self._fitted(tree, into, where, _MARK in payload)

    def decode_args(
        self, payload: bytes, hints: Mapping[str | int, Any] | None = None, where: str = "input"
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of `encode_args`; `hints` as `hints_of` makes them. Raises as `decode`."""
        tree = self._loaded(payload, where)
        args, kwargs = tree, None
        if type(tree) is dict:
            args, kwargs = tree.get("args"), tree.get("kwargs")
            if type(kwargs) is not dict:
                raise InvalidPayload(where, "not the arguments of a call")
        if type(args) is not list:
            raise InvalidPayload(where, "not the arguments of a call")
        marked = _MARK in payload
        if not hints and not marked:
            return tuple(args), kwargs or {}
        hints = hints or {}
        if not marked and not kwargs:
            return self._fitted_args(args, hints, where), {}
        rest, named = hints.get("*", Any), hints.get("**", Any)
        return (
            tuple([self._fitted(item, hints.get(at, rest), f"{where}[{at}]", marked) for at, item in enumerate(args)]),
            {k: self._fitted(v, hints.get(k, named), where + step(k), marked) for k, v in kwargs.items()} if kwargs else {},
        )

    def _fitted_args(self, args: list[Any], hints: Mapping[str | int, Any], where: str) -> tuple[Any, ...]:
        at, rest = 0, hints.get("*", Any)
        try:
            for at, value in enumerate(args):
                fit = fitter(hints.get(at, rest))
                if fit is not None:
                    args[at] = fit(value)
        except Mismatch as mismatch:
            raise InvalidPayload(mismatch.path(f"{where}[{at}]"), mismatch.why) from None
        return tuple(args)

    def value_of(self, tree: Any, where: str = "value") -> Any:
        """The value of a tree that `tree_of` made. Raises InvalidPayload when it is none."""
        return self._fitted(tree, Any, where, True)

    def class_of(self, name: str) -> type | None:
        """The class recorded under this name, or None when it is not known here."""
        return self._find(name)

    def _loaded(self, payload: bytes, where: str) -> Any:
        try:
            return loads(payload)
        except (ValueError, TypeError, RecursionError) as error:
            raise InvalidPayload(where, f"not a payload: {error}") from None

    def _fitted(self, tree: Any, into: Any, where: str, marked: bool) -> Any:
        try:
            value = _Reader(self, into).value(tree) if marked else tree
            if into is Any:
                return value
            fit = fitter(into)
            return fit(value) if fit is not None else value
        except Mismatch as mismatch:
            raise InvalidPayload(mismatch.path(where), mismatch.why) from None
        except RecursionError:
            raise InvalidPayload(where, "it nests too deeply to be read here") from None


def _plain(value: Any) -> bool:
    """Whether the value is made of JSON's own types only, exactly; text and the size of integers are left to the JSON writer."""
    kind = type(value)
    if kind is dict:
        for key, item in value.items():
            if type(key) is not str:
                return False
            if type(item) not in _ATOMS and not _plain(item):
                return False
        return _TAG not in value
    if kind is list:
        for item in value:
            if type(item) not in _ATOMS and not _plain(item):
                return False
        return True
    if kind is float:
        return value - value == 0.0  # type: ignore[no-any-return]  # neither NaN nor infinite
    return kind in _ATOMS


# --- writing ---------------------------------------------------------------------------------------------------------


class _Writer:
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
            return {_TAG: "dict", "v": self.pairs(value, level + 2)}
        if _TAG in value:
            return {_TAG: "map", "v": self.fields(value, level + 2)}
        return self.fields(value, level + 1)

    def unordered(self, value: Any, level: int) -> list[Any]:
        """The items of a set in an order that does not depend on hashes."""
        return sorted((self.tree(item, level) for item in value), key=dumps)

    def _other(self, value: Any, level: int) -> Any:
        cls: type = type(value)
        kind = kind_of(cls)
        if kind == "enum":
            return _enum(value, cls)
        if kind == "error":
            if not self.errors:
                raise Mismatch("an exception cannot be recorded here")
            return {_TAG: "error", "v": failure_of(value, self.converter).to_tree()}
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
        tree = {_TAG: "object", "of": _text(shape.name), "v": self.fields(values, level + 2)}
        if kind == "pydantic":
            for name, item in pydantic_state(value).items():
                tree[name] = self.tree(item, level + 2)
        return tree

    def _unresolved(self, value: Unresolved, level: int) -> Any:
        if value._tree is not None:
            return value._tree
        return {_TAG: "object", "of": _text(value.type_name), "v": self.fields(value.fields, level + 2)}


def _text(value: str) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            found = f"{shorten(value)} has a lone surrogate ({value[error.start]!a}) at {error.start}, which UTF-8 cannot carry"
            raise Mismatch(f"{found}; use text.encode('utf-8', 'replace').decode()") from None
    return value


def _integer(value: int) -> Any:
    return value if -0x8000000000000000 <= value <= 0xFFFFFFFFFFFFFFFF else {_TAG: "int", "v": hex(value)}


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
    tree = {_TAG: "offset", "v": _length(delta)}
    if name:
        tree["name"] = _text(name[0])
    return tree


def _zone(value: ZoneInfo) -> Any:
    if value.key is None:
        raise Mismatch("a ZoneInfo without a key cannot be recorded; use ZoneInfo('Area/City')")
    return {_TAG: "zone", "v": value.key}


def _moment(tag: str) -> Callable[[Any], Any]:
    def write(value: datetime | time) -> Any:
        zone = value.tzinfo
        tree: dict[str, Any] = {_TAG: tag, "v": ""}
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
    return {_TAG: "enum", "of": _text(recorded_name(cls)), "v": recorded}


def _path(value: PurePath) -> Any:
    return {_TAG: "path", "v": _text(str(value)), "of": type(value).__name__}


_SIMPLE: dict[type, Callable[[Any], Any]] = {
    str: _text,
    int: _integer,
    bool: lambda value: value,
    NoneType: lambda value: value,
    float: _float,
    bytes: lambda value: {_TAG: "bytes", "v": _base64(value)},
    bytearray: lambda value: {_TAG: "bytearray", "v": _base64(value)},
    complex: lambda value: {_TAG: "complex", "v": [_float(value.real), _float(value.imag)]},
    range: lambda value: {_TAG: "range", "v": [_integer(value.start), _integer(value.stop), _integer(value.step)]},
    datetime: _moment("datetime"),
    time: _moment("time"),
    date: lambda value: {_TAG: "date", "v": value.isoformat()},
    timedelta: lambda value: {_TAG: "timedelta", "v": _length(value)},
    timezone: _offset,
    ZoneInfo: _zone,
    Decimal: lambda value: {_TAG: "decimal", "v": str(value)},
    UUID: lambda value: {_TAG: "uuid", "v": str(value)},
    PosixPath: _path,
    WindowsPath: _path,
    PurePosixPath: _path,
    PureWindowsPath: _path,
}


def _write_deque(writer: _Writer, value: Any, level: int) -> Any:
    tree = {_TAG: "deque", "v": writer.items(value, level + 2)}
    if value.maxlen is not None:
        tree["maxlen"] = value.maxlen
    return tree


_WRITERS: dict[type, Callable[[_Writer, Any, int], Any]] = {
    list: lambda writer, value, level: writer.items(value, level + 1),
    dict: _Writer.mapping,
    tuple: lambda writer, value, level: {_TAG: "tuple", "v": writer.items(value, level + 2)},
    set: lambda writer, value, level: {_TAG: "set", "v": writer.unordered(value, level + 2)},
    frozenset: lambda writer, value, level: {_TAG: "frozenset", "v": writer.unordered(value, level + 2)},
    deque: _write_deque,
    OrderedDict: lambda writer, value, level: {_TAG: "ordered", "v": writer.pairs(value, level + 2)},
    Counter: lambda writer, value, level: {_TAG: "counter", "v": writer.pairs(value, level + 2)},
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
    return f"{name} cannot be recorded; make it a dataclass, or pass the plain values needed to make it again"


# --- reading ---------------------------------------------------------------------------------------------------------


class _Reader:
    """Turns a tree back into a value; classes the annotation mentions come before those the converter finds."""

    __slots__ = ("classes", "converter")

    def __init__(self, converter: Converter, into: Any) -> None:
        self.converter = converter
        self.classes: Mapping[str, type] = _NOTHING if into is Any else classes_in(into)

    def value(self, tree: Any) -> Any:
        kind = type(tree)
        if kind is list:
            return self.items(tree)
        if kind is not dict:
            return tree
        if _TAG not in tree:
            return self.fields(tree)
        tag = tree[_TAG]
        read = _READERS.get(tag) if type(tag) is str else None
        if read is None:
            raise Mismatch(f"a value tagged {shorten(tag)} is not known to this version of aionlab")
        try:
            return read(self, tree)
        except (Mismatch, RecursionError):
            raise
        except arrays.NotLoaded as missing:
            return Unresolved(f"{missing.args[0]}.{tag}", {name: part for name, part in tree.items() if name != _TAG}, tree)
        except Exception as error:  # noqa: BLE001 - a damaged record may fail anywhere in the constructors of the library
            raise Mismatch(f"not a {tag}: {type(error).__name__}: {shorten(str(error), 200)}") from None

    def items(self, tree: Any) -> list[Any]:
        if type(tree) is not list:
            raise Mismatch("expected a list in the record")
        out = []
        for at, item in enumerate(tree):
            try:
                out.append(self.value(item) if type(item) is dict or type(item) is list else item)
            except Mismatch as mismatch:
                mismatch.parts.append(f"[{at}]")
                raise
        return out

    def fields(self, tree: Any) -> dict[str, Any]:
        if type(tree) is not dict:
            raise Mismatch("expected an object in the record")
        out = {}
        for name, item in tree.items():
            try:
                out[name] = self.value(item) if type(item) is dict or type(item) is list else item
            except Mismatch as mismatch:
                mismatch.parts.append(step(name))
                raise
        return out

    def pairs(self, tree: dict[str, Any]) -> list[tuple[Any, Any]]:
        return [(self.value(key), self.value(item)) for key, item in tree["v"]]

    def find(self, name: Any) -> type | None:
        if type(name) is not str:
            raise Mismatch("a class without a name")
        if name in self.classes:
            return self.classes[name]
        if self.classes:  # a version's private copy of a module knows `shop:Order` as `Order`
            copy = self.classes.get(name.rpartition(":")[2])
            if copy is not None and recorded_name(copy) == copy.__qualname__:
                return copy
        return self.converter.class_of(name)

    def enum(self, tree: dict[str, Any]) -> Any:
        cls = self.find(tree["of"])
        if cls is None:
            return Unresolved(tree["of"], {"name" if type(tree["v"]) is str else "value": tree["v"]}, tree)
        if kind_of(cls) != "enum":
            raise Mismatch(f"{spelled(cls)} is not an Enum")
        return member(cls, tree["v"])

    def object(self, tree: dict[str, Any]) -> Any:
        cls, fields = self.find(tree["of"]), self.fields(tree["v"])
        if cls is None:
            return Unresolved(tree["of"], fields, tree)
        kind = kind_of(cls)
        if kind == "pydantic":
            return rebuild_pydantic(cls, fields, {name: self.value(tree[name]) for name in ("set", "extra", "private") if name in tree})
        if kind not in ("dataclass", "attrs", "namedtuple"):
            raise Mismatch(f"{spelled(cls)} is no class of recorded values")
        return rebuild(cls, fields)

    def error(self, tree: dict[str, Any]) -> Any:
        return error_of(Failure.from_tree(tree["v"]), self.converter)

    def integer(self, tree: dict[str, Any]) -> int:
        return int(tree["v"], 16)

    def moment(self, kind: Any, tree: dict[str, Any]) -> Any:
        found = kind.fromisoformat(tree["v"])
        if "zone" in tree:
            zone = tree["zone"]
            found = found.replace(tzinfo=ZoneInfo(zone) if type(zone) is str else self.value(zone))
        return found.replace(fold=1) if tree.get("fold") else found

    def offset(self, tree: dict[str, Any]) -> timezone:
        delta = timedelta(*tree["v"])
        if "name" in tree:
            return timezone(delta, tree["name"])
        return UTC if not delta else timezone(delta)

    def path(self, tree: dict[str, Any]) -> PurePath:
        kind = _PATHS[tree["of"]]
        return kind(tree["v"])


_HERE = type(Path())
_PATHS: dict[str, Callable[[str], PurePath]] = {
    "PosixPath": PosixPath if _HERE is PosixPath else PurePosixPath,
    "WindowsPath": WindowsPath if _HERE is WindowsPath else PureWindowsPath,
    "PurePosixPath": PurePosixPath,
    "PureWindowsPath": PureWindowsPath,
}


def _array(read: Callable[[dict[str, Any], Callable[[Any], Any]], Any]) -> Callable[[_Reader, dict[str, Any]], Any]:
    return lambda reader, tree: read(tree, reader.value)


_READERS: dict[str, Callable[[_Reader, dict[str, Any]], Any]] = {
    "int": _Reader.integer,
    "bytes": lambda reader, tree: base64.b64decode(tree["v"], validate=True),
    "bytearray": lambda reader, tree: bytearray(base64.b64decode(tree["v"], validate=True)),
    "complex": lambda reader, tree: complex(*tree["v"]),
    "tuple": lambda reader, tree: tuple(reader.items(tree["v"])),
    "set": lambda reader, tree: set(reader.items(tree["v"])),
    "frozenset": lambda reader, tree: frozenset(reader.items(tree["v"])),
    "deque": lambda reader, tree: deque(reader.items(tree["v"]), tree.get("maxlen")),
    "dict": lambda reader, tree: dict(reader.pairs(tree)),
    "ordered": lambda reader, tree: OrderedDict(reader.pairs(tree)),
    "counter": lambda reader, tree: Counter(dict(reader.pairs(tree))),
    "map": lambda reader, tree: reader.fields(tree["v"]),
    "range": lambda reader, tree: range(*reader.items(tree["v"])),
    "datetime": lambda reader, tree: reader.moment(datetime, tree),
    "time": lambda reader, tree: reader.moment(time, tree),
    "date": lambda reader, tree: date.fromisoformat(tree["v"]),
    "timedelta": lambda reader, tree: timedelta(*tree["v"]),
    "zone": lambda reader, tree: ZoneInfo(tree["v"]),
    "offset": _Reader.offset,
    "decimal": lambda reader, tree: Decimal(tree["v"]),
    "uuid": lambda reader, tree: UUID(tree["v"]),
    "path": _Reader.path,
    "enum": _Reader.enum,
    "object": _Reader.object,
    "error": _Reader.error,
    "numpy": _array(arrays.read_scalar),
    "ndarray": _array(arrays.read_array),
    "frame": _array(arrays.read_frame),
    "series": _array(arrays.read_series),
    "index": _array(arrays.read_index),
    "timestamp": _array(arrays.read_timestamp),
    "pandas.timedelta": _array(arrays.read_timedelta),
    "missing": _array(arrays.read_missing),
}

__all__ = ["LEVELS", "LIMIT", "Converter", "Payload", "Unresolved", "hints_of", "in_namespace", "recorded_name"]
