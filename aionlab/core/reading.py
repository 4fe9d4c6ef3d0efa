"""The value of a tree of plain JSON values and tags: the reading half of `core.payload`, whose table says what the tags mean.

Trusts nothing it reads: a damaged tree is a `Mismatch` with its place, a class that is not known here an `Unresolved`. What an
annotation asks of the value afterwards is `core.annotations`' affair.
"""
from __future__ import annotations

import base64
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PosixPath, PurePath, PurePosixPath, PureWindowsPath, WindowsPath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from . import arrays
from .annotations import classes_in, step
from .classes import Mismatch, Unresolved, kind_of, member, rebuild, rebuild_pydantic, recorded_name, spelled
from .errors import shorten
from .failure import Failure, error_of
from .writing import TAG

if TYPE_CHECKING:
    from .payload import Converter

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class Reader:
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
        if TAG not in tree:
            return self.fields(tree)
        tag = tree[TAG]
        read = _READERS.get(tag) if type(tag) is str else None
        if read is None:
            raise Mismatch(f"a value tagged {shorten(tag)} is not known to this version of aionlab")
        try:
            return read(self, tree)
        except (Mismatch, RecursionError):
            raise
        except arrays.NotLoaded as missing:
            return Unresolved(f"{missing.args[0]}.{tag}", {name: part for name, part in tree.items() if name != TAG}, tree)
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

    def custom(self, tree: dict[str, Any]) -> Any:
        plain, extras = self.value(tree["v"]), self.converter.extras
        own = extras.by_name.get(tree["of"]) if extras is not None else None
        return Unresolved(tree["of"], {"value": plain}, tree) if own is None else own.decode(plain)

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


def _array(read: Callable[[dict[str, Any], Callable[[Any], Any]], Any]) -> Callable[[Reader, dict[str, Any]], Any]:
    return lambda reader, tree: read(tree, reader.value)


_READERS: dict[str, Callable[[Reader, dict[str, Any]], Any]] = {
    "int": Reader.integer,
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
    "offset": Reader.offset,
    "decimal": lambda reader, tree: Decimal(tree["v"]),
    "uuid": lambda reader, tree: UUID(tree["v"]),
    "path": Reader.path,
    "enum": Reader.enum,
    "object": Reader.object,
    "custom": Reader.custom,
    "error": Reader.error,
    "numpy": _array(arrays.read_scalar),
    "ndarray": _array(arrays.read_array),
    "frame": _array(arrays.read_frame),
    "series": _array(arrays.read_series),
    "index": _array(arrays.read_index),
    "timestamp": _array(arrays.read_timestamp),
    "pandas.timedelta": _array(arrays.read_timedelta),
    "missing": _array(arrays.read_missing),
}
