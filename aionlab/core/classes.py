"""Classes of recorded values: what a class is called in a record, how it is found again, taken apart and put together.

Nothing is ever imported because a record names it: a class is found by the caller's `resolve` (a version's namespace) or in a
module that is loaded already, by plain look-ups that run no code, and only if it is of a kind that holds values: dataclass,
NamedTuple, Enum, attrs, pydantic or exception.
"""
from __future__ import annotations

import builtins
import dataclasses
import sys
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

Resolve = Callable[[str], "type | None"]
_PRIVATE = "aionlab.code."
_MAIN = "__main__:"
_CONTAINERS = (str, bytes, bytearray, int, float, complex, list, tuple, set, frozenset, dict)


class Mismatch(Exception):
    """A value that cannot be encoded, decoded or fitted; `parts` is the path to it, innermost first."""

    def __init__(self, why: str, *parts: str) -> None:
        super().__init__(why)
        self.why, self.parts = why, list(parts)

    def path(self, where: str) -> str:
        return where + "".join(reversed(self.parts))


class Unresolved:
    """Stands for a recorded object whose class is not known here: readable, frozen, and encoded again just as it was."""

    __slots__ = ("_tree", "fields", "type_name")
    type_name: str
    fields: Mapping[str, Any]

    def __init__(self, type_name: str, fields: Mapping[str, Any], tree: Mapping[str, Any] | None = None) -> None:
        object.__setattr__(self, "type_name", type_name)
        object.__setattr__(self, "fields", MappingProxyType(dict(fields)))
        object.__setattr__(self, "_tree", tree)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{self.type_name} is a stand-in (its class is not known here) and cannot be changed")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{self.type_name} is a stand-in (its class is not known here) and cannot be changed")

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__") and name in self.fields:
            return self.fields[name]
        raise AttributeError(f"the record of {self.type_name} has no field {name!r}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unresolved) and self.type_name == other.type_name and self.fields == other.fields

    def __hash__(self) -> int:
        return hash(self.type_name)  # its fields may be lists; members of sets and keys must be hashable all the same

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in self.fields.items())
        return f"<{self.type_name}({inside}), class not known here>"

    def __reduce__(self) -> Any:
        return Unresolved, (self.type_name, dict(self.fields), self._tree)


def recorded_name(cls: type) -> str:
    """What the class is called in records: `Qual.Name` for classes of cells and of versions (and for built-in ones, whose names a
    cell's class does not take: it is then `__main__:Name`), otherwise `module:Qual.Name`."""
    module, name = cls.__module__, cls.__qualname__
    if module == "builtins":
        return name
    if module == "__main__" or module.startswith(_PRIVATE):
        return _MAIN + name if hasattr(builtins, name) else name
    return f"{module}:{name}"


def spelled(cls: type) -> str:
    """The class's name for people: `sqlite3.Connection`, `Order`, `int`."""
    module = cls.__module__
    plain = module in ("builtins", "__main__") or str(module).startswith(_PRIVATE)
    return cls.__qualname__ if plain else f"{module}.{cls.__qualname__}"


def find(name: str, resolve: Resolve | None) -> type | None:
    """The class of a recorded name, or None. Imports nothing and runs no code but `resolve`."""
    if name.startswith(_MAIN):
        return resolve(name[len(_MAIN) :]) if resolve else None
    module, colon, qualname = name.partition(":")
    if not colon:
        builtin = vars(builtins).get(name)
        if isinstance(builtin, type) and issubclass(builtin, BaseException):
            return builtin
    if name.endswith("]"):
        return _generic(name, resolve)
    found = resolve(name) if resolve else None
    if found is None and colon:
        found = walk(vars(sys.modules[module]) if module in sys.modules else {}, qualname)
    return found if found is not None and kind_of(found) else None


def _generic(name: str, resolve: Resolve | None) -> type | None:
    """A pydantic class made by giving a generic one its arguments, `Box[int]`: found among those made before, or made again of the
    classes it names; the generic class itself where its arguments are more than names."""
    base, _, inside = name[:-1].partition("[")
    origin: Any = find(base, resolve)
    if origin is None or kind_of(origin) != "pydantic":
        return None
    for made in origin.__subclasses__():
        if recorded_name(made) == name and made.__pydantic_generic_metadata__["origin"] is origin:
            return made  # type: ignore[no-any-return]  # subclasses are classes
    module, colon, _ = base.rpartition(":")
    args = [_argument(part, module + colon, resolve) for part in inside.split(", ")]
    try:
        return origin if None in args else origin[tuple(args)]  # type: ignore[no-any-return]  # as above
    except Exception:  # noqa: BLE001 - pydantic's classes are made by code of the user's as well
        return origin  # type: ignore[no-any-return]  # as above


def _argument(name: str, prefix: str, resolve: Resolve | None) -> type | None:
    found = vars(builtins).get(name)
    if isinstance(found, type):
        return found
    return find(prefix + name, resolve) or find(name, resolve)


def walk(namespace: Mapping[str, Any], qualname: str) -> type | None:
    """The class at a dotted name, by look-ups in dictionaries only."""
    found: Any = None
    for part in qualname.split("."):
        found = namespace.get(part)
        if not isinstance(found, type):
            return None
        namespace = vars(found)
    return found if isinstance(found, type) else None


def in_namespace(namespace: Mapping[str, Any]) -> Resolve:
    """A `resolve` over a namespace such as a version's module or the notebook's globals."""

    def resolve(name: str) -> type | None:
        return None if ":" in name else walk(namespace, name)

    return resolve


@lru_cache(maxsize=2048)
def kind_of(cls: type) -> str:
    """Which kind of value class this is: "enum", "error", "namedtuple", "pydantic", "attrs", "dataclass"; "" for any other."""
    if issubclass(cls, Enum):
        return "enum"
    if issubclass(cls, BaseException):
        return "error"
    if issubclass(cls, tuple):
        return "namedtuple" if isinstance(getattr(cls, "_fields", None), tuple) and hasattr(cls, "_make") else ""
    if issubclass(cls, _CONTAINERS):
        return ""
    pydantic = sys.modules.get("pydantic")
    if pydantic is not None and issubclass(cls, pydantic.BaseModel):
        return "pydantic"
    if "__attrs_attrs__" in vars(cls):
        return "attrs"
    if dataclasses.is_dataclass(cls):
        return "dataclass"
    return ""


class Field(NamedTuple):
    """One field of a dataclass or attrs class."""

    name: str
    init: str | None
    """Its name in the constructor, None when it is not there."""
    required: bool
    make: Callable[[], Any] | None
    """Makes the default, None where there is none (or it needs the object)."""


class Shape(NamedTuple):
    """A class taken apart."""

    name: str
    kind: str
    fields: tuple[Field, ...]
    names: tuple[str, ...]
    derives: bool
    """Whether the constructor may set more than the fields."""


@lru_cache(maxsize=2048)
def shape_of(cls: type) -> Shape:
    kind = kind_of(cls)
    fields: tuple[Field, ...] = ()
    derives = False
    if kind == "dataclass":
        fields = tuple(_dataclass_field(f) for f in dataclasses.fields(cls))
        derives = hasattr(cls, "__post_init__")
    elif kind == "attrs":
        fields = tuple(_attrs_field(a) for a in cls.__attrs_attrs__)  # type: ignore[attr-defined]  # it is of that kind
        derives = hasattr(cls, "__attrs_post_init__")
    elif kind == "namedtuple":
        defaults = cls._field_defaults  # type: ignore[attr-defined]
        fields = tuple(Field(n, n, n not in defaults, None) for n in cls._fields)  # type: ignore[attr-defined]
    elif kind == "pydantic":
        fields = tuple(Field(n, n, f.is_required(), None) for n, f in cls.model_fields.items())  # type: ignore[attr-defined]
    return Shape(recorded_name(cls), kind, fields, tuple(f.name for f in fields), derives)


def _dataclass_field(field: dataclasses.Field[Any]) -> Field:
    make: Callable[[], Any] | None = None
    if field.default is not dataclasses.MISSING:
        make = lambda: field.default  # noqa: E731
    elif field.default_factory is not dataclasses.MISSING:
        make = field.default_factory
    return Field(field.name, field.name if field.init else None, field.init and make is None, make)


def _attrs_field(attribute: Any) -> Field:
    default = attribute.default
    nothing = sys.modules["attr"].NOTHING
    make: Callable[[], Any] | None = None
    if isinstance(default, sys.modules["attr"].Factory):
        make = None if default.takes_self else default.factory
    elif default is not nothing:
        make = lambda: default  # noqa: E731
    return Field(attribute.name, attribute.alias if attribute.init else None, attribute.init and default is nothing, make)


# --- taking apart ----------------------------------------------------------------------------------------------------


def values_of(value: Any, shape: Shape) -> dict[str, Any]:
    """The object's fields by name.

    Raises Mismatch when it holds more than its fields and its constructor would not make that again.
    """
    found = {name: getattr(value, name) for name in shape.names if hasattr(value, name)}
    if not shape.derives:
        for name in getattr(value, "__dict__", ()):
            if name not in found and name not in shape.names and not _computed(type(value), name):
                raise Mismatch(f"it is not a field of {spelled(type(value))}, so it would be lost; declare it as a field", f".{name}")
    return found


def _computed(cls: type, name: str) -> bool:
    return any(isinstance(vars(base).get(name), cached_property) for base in cls.__mro__)


# --- putting together ------------------------------------------------------------------------------------------------


def rebuild(cls: type, fields: dict[str, Any]) -> Any:
    """The object whose fields were recorded.

    The constructor is called, so that what it derives is there, and the fields are then set as recorded; a constructor that does
    not take the recorded values (it converted them the first time) is passed by. Raises Mismatch when the fields do not fit.
    """
    shape = shape_of(cls)
    _check_names(shape, fields)
    if shape.kind == "namedtuple":
        defaults = cls._field_defaults  # type: ignore[attr-defined]
        return cls._make([fields[n] if n in fields else defaults[n] for n in shape.names])  # type: ignore[attr-defined]
    try:
        made = cls(**{f.init: fields[f.name] for f in shape.fields if f.init is not None and f.name in fields})
    except Exception:  # noqa: BLE001 - a constructor of the user's may raise anything; what was recorded stands
        made = object.__new__(cls)
        for field in shape.fields:
            if field.name not in fields and field.make is not None:
                object.__setattr__(made, field.name, field.make())
    for name, value in fields.items():
        if getattr(made, name, made) is not value:
            object.__setattr__(made, name, value)
    return made


def construct(cls: type, fields: Mapping[str, Any]) -> Any:
    """An object from plain values somebody sent, by way of its constructor. Raises Mismatch when they do not fit."""
    shape = shape_of(cls)
    if shape.kind == "pydantic":
        plain = fields["root"] if getattr(cls, "__pydantic_root_model__", False) else dict(fields)
        return _called(cls, lambda: cls.model_validate(plain))  # type: ignore[attr-defined]
    _check_names(shape, fields, init_only=True)
    return _called(cls, lambda: cls(**{f.init: fields[f.name] for f in shape.fields if f.init is not None and f.name in fields}))


def _called(cls: type, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except Exception as error:  # noqa: BLE001 - a constructor of the user's may raise anything
        raise Mismatch(f"{spelled(cls)} does not take it: {type(error).__name__}: {error}") from None


def _check_names(shape: Shape, fields: Mapping[str, Any], init_only: bool = False) -> None:
    if not init_only and len(fields) == len(shape.names) and all(name in fields for name in shape.names):
        return
    known = [f.name for f in shape.fields if f.init is not None] if init_only else shape.names
    unknown = [name for name in fields if name not in known]
    if unknown:
        raise Mismatch(f"{shape.name} has no field {unknown[0]!r}; its fields: {', '.join(known) or 'none'}")
    missing = [f.name for f in shape.fields if f.required and f.name not in fields]
    if missing:
        raise Mismatch(f"{shape.name} needs {', '.join(map(repr, missing))}")


def pydantic_state(value: Any) -> dict[str, Any]:
    """What a pydantic model holds besides its fields, where it is more than usual."""
    state: dict[str, Any] = {}
    if value.__pydantic_fields_set__ != set(type(value).model_fields):
        state["set"] = sorted(value.__pydantic_fields_set__)
    if value.__pydantic_extra__:
        state["extra"] = dict(value.__pydantic_extra__)
    if value.__pydantic_private__:
        state["private"] = {k: v for k, v in value.__pydantic_private__.items() if v is not _undefined()}
    return state


def _undefined() -> Any:
    return getattr(sys.modules.get("pydantic_core"), "PydanticUndefined", None)


def rebuild_pydantic(cls: Any, fields: dict[str, Any], state: Mapping[str, Any]) -> Any:
    """The model as recorded, unvalidated as it was then; a class whose fields have changed since validates the record instead."""
    if set(fields) != set(cls.model_fields):
        return _called(cls, lambda: cls.model_validate(fields))
    extra = state.get("extra") or ({} if cls.model_config.get("extra") == "allow" else None)
    private = state.get("private")
    if private is None and cls.__private_attributes__:
        private = {}
    made = cls.__new__(cls)
    made.__setstate__(
        {
            "__dict__": fields,
            "__pydantic_extra__": extra,
            "__pydantic_fields_set__": set(state.get("set", fields)),
            "__pydantic_private__": private,
        }
    )
    return made


def member(cls: type, recorded: Any) -> Any:
    """The enum member of a recorded name (a flag's number). Raises Mismatch when there is none."""
    if isinstance(recorded, str):
        members = cls.__members__  # type: ignore[attr-defined]  # it is an Enum
        if recorded in members:
            return members[recorded]
    elif isinstance(recorded, int):
        try:
            return cls(recorded)  # the look-up by value of a Flag
        except ValueError:
            pass
    raise Mismatch(f"{spelled(cls)} has no member {recorded!r}")
