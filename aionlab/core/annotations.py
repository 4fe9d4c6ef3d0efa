"""Fitting recorded values to type annotations.

What Python recorded is kept as it is; what arrived as plain JSON (a signal `{"by": "ada"}`, a date as text) becomes what the
annotation says. An annotation that cannot be understood asks for nothing; one that is understood and not met raises `Mismatch`.
"""
from __future__ import annotations

import collections
import collections.abc as abc
import inspect
import numbers
import sys
import types
import typing
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from enum import Enum
from functools import lru_cache
from pathlib import PurePath
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

from .classes import Mismatch, construct, kind_of, recorded_name, shape_of, spelled
from .durations import micros
from .errors import shorten

Fit = Callable[[Any], Any]
_STRIPPED = (typing.Annotated, typing.Required, typing.NotRequired, typing.Final, typing.ClassVar)
_SEQUENCES = (abc.Sequence, abc.MutableSequence, abc.Collection, abc.Iterable, abc.Container, abc.Reversible)
_SETS = (abc.Set, abc.MutableSet)
_MAPPINGS = (abc.Mapping, abc.MutableMapping)


def fitter(annotation: Any) -> Fit | None:
    """What makes a decoded value meet the annotation (or raises Mismatch); None when the annotation asks for nothing."""
    try:
        return _cached(annotation)
    except TypeError:  # an annotation that cannot be hashed, such as Annotated[int, []]
        return _make(annotation)


def classes_in(annotation: Any) -> Mapping[str, type]:
    """The value classes an annotation mentions, fields of its classes included, by recorded name and by qualified name alone."""
    try:
        return _classes_cached(annotation)
    except TypeError:
        return _classes(annotation)


def hints_of(fn: Any) -> Mapping[str | int, Any]:
    """A function's type hints by position and by name, with "return", "*" (the type of *args) and "**" (of **kwargs).

    Annotations that cannot be evaluated are left out; never raises.
    """
    try:
        known = _HINTS.get(fn)
    except TypeError:
        known = None
    if known is not None:
        return known
    hints, complete = _function_hints(fn)
    if complete:
        try:
            _HINTS[fn] = hints
        except TypeError:
            pass
    return hints


_HINTS: WeakKeyDictionary[Any, Mapping[str | int, Any]] = WeakKeyDictionary()


def _function_hints(fn: Any) -> tuple[Mapping[str | int, Any], bool]:
    try:
        bare = inspect.unwrap(fn)
        annotations = dict(getattr(bare, "__annotations__", None) or {})
        namespace = dict(getattr(bare, "__globals__", {}))
        code = getattr(bare, "__code__", None)
        for name, cell in zip(getattr(code, "co_freevars", ()), getattr(bare, "__closure__", None) or (), strict=False):
            try:
                namespace[name] = cell.cell_contents
            except ValueError:
                continue
        by_name = _evaluated(annotations, namespace)
        hints: dict[str | int, Any] = {k: v for k, v in by_name.items() if k == "return"}
        for at, parameter in enumerate(inspect.signature(bare).parameters.values()):
            if parameter.name not in by_name:
                continue
            hint = by_name[parameter.name]
            if parameter.default is None:
                hint = typing.Union[hint, None]  # noqa: UP007 - `|` is not defined between every two annotations
            if parameter.kind is parameter.VAR_POSITIONAL:
                hints["*"] = hint
            elif parameter.kind is parameter.VAR_KEYWORD:
                hints["**"] = hint
            else:
                if parameter.kind is not parameter.KEYWORD_ONLY:
                    hints[at] = hint
                hints[parameter.name] = hint
        return hints, len(by_name) == len(annotations)
    except Exception:  # noqa: BLE001 - signatures and annotations are users' objects and may do anything
        return {}, False


def _evaluated(annotations: Mapping[str, Any], namespace: dict[str, Any]) -> dict[str, Any]:
    """The annotations with text evaluated; those that cannot be are left out."""
    found = {}
    for name, annotation in annotations.items():
        try:
            holder = types.SimpleNamespace(__annotations__={name: annotation})
            found[name] = typing.get_type_hints(holder, namespace, include_extras=True)[name]
        except Exception:  # noqa: BLE001 - evaluating a user's annotation may raise anything
            continue
    return found


def field_hints(cls: type, args: tuple[Any, ...] = ()) -> Mapping[str, Any]:
    """A class's field annotations, bases included, with the type variables of a generic class replaced by `args`; those that cannot be
    evaluated are left out."""
    bound = _bound(cls, args)
    hints = _declared_hints(cls)
    return {name: _filled(hint, bound) for name, hint in hints.items()} if bound else hints


def _bound(cls: Any, args: tuple[Any, ...]) -> dict[Any, Any]:
    """What the type variables of a class and its bases stand for."""
    bound = dict(zip(getattr(cls, "__parameters__", ()), args, strict=False))
    for base in getattr(cls, "__orig_bases__", ()):
        origin = typing.get_origin(base)
        if origin is not None and origin is not typing.Generic:
            bound = _bound(origin, tuple(_filled(arg, bound) for arg in typing.get_args(base))) | bound
    return bound


def _filled(hint: Any, bound: Mapping[Any, Any]) -> Any:
    """The annotation with its type variables replaced."""
    if isinstance(hint, typing.TypeVar):
        return bound.get(hint, hint)
    free = getattr(hint, "__parameters__", ())
    if not free or isinstance(hint, type):
        return hint
    return hint[tuple(bound.get(variable, variable) for variable in free)]


@lru_cache(maxsize=1024)
def _declared_hints(cls: type) -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        annotations = base.__dict__.get("__annotations__", {})
        if isinstance(annotations, Mapping) and base is not object:
            module = sys.modules.get(base.__module__)
            found |= _evaluated(annotations, {**(vars(module) if module else {}), base.__name__: base})
    return found


# --- one fitter for each kind of annotation --------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def _cached(annotation: Any) -> Fit | None:
    return _make(annotation)


def _make(annotation: Any) -> Fit | None:
    if annotation is None or annotation is types.NoneType:
        return _none
    if isinstance(annotation, typing.NewType):
        return fitter(annotation.__supertype__)
    if type(annotation).__name__ == "TypeAliasType":
        return fitter(annotation.__value__)
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in _STRIPPED:
        return fitter(args[0]) if args else None
    if origin is typing.Literal:
        return _literal(args)
    if origin is typing.Union or origin is types.UnionType:
        return _union(annotation, args)
    cls = origin or annotation
    if not isinstance(cls, type) or cls in (Any, object, type, inspect.Parameter.empty):
        return None
    if cls is tuple:
        return _tuple(args)
    if cls in (list, collections.deque) or cls in _SEQUENCES:
        return _sequence(cls, args)
    if cls in (set, frozenset) or cls in _SETS:
        return _set(cls, args)
    if cls is dict or cls in _MAPPINGS:
        return _mapping(cls, args)
    if typing.is_typeddict(cls):
        return _typed_dict(cls, args)
    if kind_of(cls) in ("dataclass", "attrs", "namedtuple", "pydantic"):
        return _structure(cls, args)
    return _scalar(cls)


def _expected(what: Any, value: Any) -> Mismatch:
    return Mismatch(f"expected {spell(what)}, got {spelled(type(value))} {shorten(value)}")


def spell(annotation: Any) -> str:
    """An annotation as people write it."""
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return spelled(annotation)
    return str(annotation).replace("typing.", "").replace("__main__.", "")


def _none(value: Any) -> Any:
    if value is not None:
        raise _expected(None, value)
    return None


def _literal(choices: tuple[Any, ...]) -> Fit:
    def fit(value: Any) -> Any:
        for choice in choices:
            if value == choice and (type(value) is type(choice) or isinstance(choice, Enum)):
                return choice
        for choice in choices:
            if isinstance(choice, Enum) and value in (choice.name, choice.value):
                return choice
        raise Mismatch(f"expected {' or '.join(map(repr, choices))}, got {shorten(value)}")

    return fit


def _union(annotation: Any, arms: tuple[Any, ...]) -> Fit | None:
    fitters = [(arm, fitter(arm)) for arm in arms]

    def fit(value: Any) -> Any:
        if value is None and types.NoneType in arms:
            return None
        for arm, _ in fitters:
            if type(value) is (typing.get_origin(arm) or arm) and type(value) not in (list, dict, tuple):
                return value
        reasons = []
        for arm, one in fitters:
            if one is None:
                return value
            try:
                return one(value)
            except Mismatch as mismatch:
                if arm is not types.NoneType:
                    reasons.append(mismatch)
        if len(reasons) == 1:
            raise reasons[0]
        raise _expected(annotation, value)

    return fit


def _each(items: Any, one: Fit) -> list[Any]:
    return [_placed(at, item, one) for at, item in enumerate(items)]


def _placed(at: int, item: Any, one: Fit) -> Any:
    """The item fitted; what does not fit is told with its place."""
    try:
        return one(item)
    except Mismatch as mismatch:
        mismatch.parts.append(f"[{at}]")
        raise


def _tuple(args: tuple[Any, ...]) -> Fit:
    rest = fitter(args[0]) if len(args) == 2 and args[1] is Ellipsis else None
    fixed = None if not args or (len(args) == 2 and args[1] is Ellipsis) else [fitter(arg) for arg in args]

    def fit(value: Any) -> Any:
        if type(value) is not list and not isinstance(value, tuple):
            raise _expected(tuple, value)
        if fixed is not None:
            if len(value) != len(fixed):
                raise Mismatch(f"expected a tuple of {len(fixed)}, got {len(value)} items")
            items = [item if one is None else _placed(at, item, one) for at, (item, one) in enumerate(zip(value, fixed, strict=True))]
        else:
            items = _each(value, rest) if rest else list(value)
        return value if isinstance(value, tuple) and all(a is b for a, b in zip(items, value, strict=True)) else tuple(items)

    return fit


def _sequence(cls: Any, args: tuple[Any, ...]) -> Fit:
    one = fitter(args[0]) if args else None
    accepted: tuple[Any, ...] = (list, tuple, collections.deque)
    if cls is not list and cls is not collections.deque:
        accepted = (*accepted, cls)

    def fit(value: Any) -> Any:
        if not isinstance(value, accepted) or (type(value) is str and args and args[0] is not str):
            raise _expected(cls, value)
        if one is not None and isinstance(value, (list, collections.deque)):
            fitted = _each(value, one)
            if cls is collections.deque or isinstance(value, collections.deque):
                return collections.deque(fitted, getattr(value, "maxlen", None))
            return fitted
        if one is not None and type(value) is tuple:
            return tuple(_each(value, one))
        return collections.deque(value) if cls is collections.deque and isinstance(value, list) else value

    return fit


def _set(cls: Any, args: tuple[Any, ...]) -> Fit:
    one = fitter(args[0]) if args else None

    def fit(value: Any) -> Any:
        if not isinstance(value, (list, set, frozenset)):
            raise _expected(cls, value)
        into = type(value) if isinstance(value, (set, frozenset)) else frozenset if cls is frozenset else set
        if one is None and into is type(value):
            return value
        try:
            return into(_each(value, one) if one else value)
        except TypeError as error:
            raise Mismatch(str(error)) from None

    return fit


def _mapping(cls: Any, args: tuple[Any, ...]) -> Fit:
    key, item_type = args if len(args) == 2 else (Any, Any)
    key_fit, item_fit = None if key is str else fitter(key), fitter(item_type)

    def fit(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _expected(cls, value)
        if (key_fit is None and item_fit is None) or (type(value) is not dict):
            return value
        fitted = {}
        for key, item in value.items():
            try:
                fitted[_key(key, key_fit)] = item_fit(item) if item_fit else item
            except Mismatch as mismatch:
                mismatch.parts.append(step(key))
                raise
        return fitted

    return fit


def _key(key: Any, fit: Fit | None) -> Any:
    """A key, fitted; numbers come as text where JSON has no other keys."""
    if fit is None:
        return key
    try:
        return fit(key)
    except Mismatch:
        for number in (int, float):
            try:
                return fit(number(key))
            except (Mismatch, ValueError, TypeError):
                continue
        raise


def _typed_dict(cls: Any, args: tuple[Any, ...]) -> Fit:
    def fit(value: Any) -> Any:
        if type(value) is not dict:
            raise _expected(cls, value)
        missing = sorted(name for name in cls.__required_keys__ - value.keys() if typing.get_origin(field_hints(cls).get(name)) is not typing.NotRequired)
        if missing:
            raise Mismatch(f"{cls.__qualname__} needs {', '.join(map(repr, missing))}")
        return _fields(cls, args, value)

    return fit


def _fields(cls: type, args: tuple[Any, ...], value: Mapping[str, Any]) -> dict[str, Any]:
    hints, fitted = field_hints(cls, args), {}
    for name, item in value.items():
        one = fitter(hints[name]) if name in hints else None
        try:
            fitted[name] = one(item) if one else item
        except Mismatch as mismatch:
            mismatch.parts.append(step(name))
            raise
    return fitted


def _structure(cls: type, args: tuple[Any, ...]) -> Fit:
    kind = kind_of(cls)
    root = kind == "pydantic" and getattr(cls, "__pydantic_root_model__", False)
    """A RootModel is sent as what it is of."""

    def fit(value: Any) -> Any:
        if isinstance(value, cls):
            return value
        if root:
            return construct(cls, {"root": value})
        if type(value) is dict and all(type(name) is str for name in value):
            return construct(cls, value if kind == "pydantic" else _fields(cls, args, value))
        if type(value) is list and kind == "namedtuple":
            names = shape_of(cls).names
            if len(value) > len(names):
                raise Mismatch(f"{spelled(cls)} has {len(names)} fields, got {len(value)} items")
            return construct(cls, _fields(cls, args, dict(zip(names, value, strict=False))))
        raise _expected(cls, value)

    return fit


def _scalar(cls: Any) -> Fit:
    def fit(value: Any) -> Any:
        if type(value) is cls:
            return value
        try:
            if isinstance(value, cls) :
                return value
        except TypeError:  # a protocol that cannot be asked
            return value
        if cls is float and isinstance(value, numbers.Real) and not isinstance(value, bool):
            return value
        if cls is int and isinstance(value, numbers.Integral):
            return value
        if cls is complex and isinstance(value, numbers.Complex):
            return value
        if type(value) is str or type(value) is int or type(value) is float:
            try:
                return _from_plain(cls, value)
            except (ValueError, TypeError, InvalidOperation, OverflowError):
                pass
        if getattr(cls, "_is_protocol", False):
            return value
        raise _expected(cls, value)

    return fit


def _from_plain(cls: Any, value: Any) -> Any:
    """Text or a number as one of the types JSON does not have. Raises ValueError or TypeError when it is none."""
    if issubclass(cls, Enum):
        if isinstance(value, str) and value in cls.__members__ and value not in {m.value for m in cls}:
            return cls[value]
        return cls(value)
    if cls is timedelta:
        return timedelta(microseconds=micros(value))
    if cls is Decimal:
        return Decimal(str(value))
    if type(value) is str:
        if cls is UUID:
            return UUID(value)
        if cls in (datetime, date, time):
            return cls.fromisoformat(value)
        if issubclass(cls, PurePath):
            return cls(value)
    raise TypeError


def step(key: Any) -> str:
    """One step of a path: `.name`, `[3]`, `['odd key']`."""
    return f".{key}" if type(key) is str and key.isidentifier() else f"[{shorten(key, 40)}]"


# --- the classes an annotation mentions ------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def _classes_cached(annotation: Any) -> Mapping[str, type]:
    return _classes(annotation)


def _classes(annotation: Any) -> Mapping[str, type]:
    found: dict[str, type] = {}
    short: dict[str, type] = {}
    waiting, seen = [annotation], set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, typing.NewType):
            waiting.append(one.__supertype__)
        elif type(one).__name__ == "TypeAliasType":
            waiting.append(one.__value__)
        waiting.extend(arg for arg in typing.get_args(one) if not isinstance(arg, (str, int)))
        cls = typing.get_origin(one) or one
        if isinstance(cls, type):
            if kind_of(cls):
                found[recorded_name(cls)] = cls
                short.setdefault(cls.__qualname__, cls)
            if kind_of(cls) in ("dataclass", "attrs", "namedtuple", "pydantic") or typing.is_typeddict(cls):
                waiting.extend([*field_hints(cls).values(), *getattr(cls, "__orig_bases__", ())])
    return short | found


__all__ = ["Fit", "classes_in", "field_hints", "fitter", "hints_of", "spell", "step"]
