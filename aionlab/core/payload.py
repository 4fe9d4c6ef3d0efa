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
    custom                  a type with a `ValueConverter`      what its `encode` gave; of: the converter's name
    error                   an exception                        the tree of its `Failure`
    numpy · ndarray         numpy scalars and arrays            see `core.arrays`; so: frame, series, index, timestamp,
                                                                pandas.timedelta, missing

NaN and infinities are refused (arrays and frames keep theirs), and so are lone surrogates, cycles, more than 250 levels, and
subclasses of built-in types that are not listed: none is ever flattened in silence. Values come back equal, of the same type, and
always as fresh objects; sharing within a value is not kept. Records are bound to classes as `core.classes` says, annotations as
`core.annotations` says; a class that is not known here becomes an `Unresolved`. `core.writing` and `core.reading` do the tags.
"""
from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType, NoneType
from typing import Any, Final

from .annotations import fitter, hints_of, step
from .classes import Mismatch, Resolve, Unresolved, find, in_namespace, recorded_name
from .codecs import why_sealed
from .converters import Converters
from .errors import InvalidPayload, PayloadTooLarge, shorten
from .events import Payload
from .jsontext import dumps, loads
from .reading import Reader
from .writing import TAG, Writer

LIMIT = 2 * 1024 * 1024
LEVELS = 250
"""How deep the JSON of a payload may nest; a tag counts as two levels, and an object's fields as a third."""

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
    `classes=False` every object decodes to its stand-in and nobody's code runs, for looking at a database that is not trusted. `extras`
    are the converters of the user's own types.
    """

    __slots__ = ("_find", "extras", "limit", "resolve")

    def __init__(self, resolve: Resolve | None = None, limit: int = LIMIT, *, classes: bool = True, extras: Converters | None = None) -> None:
        self.resolve, self.limit, self.extras = resolve, limit, extras
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
            return Writer(self, errors, levels).tree(value, 1)
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

        Raises InvalidPayload, naming the path below `where`, for text that is no payload and for a value that does not fit, PayloadSealed
        for one whose key or codec is not here.
        """
        if into is Any and _MARK not in payload:
            try:
                return loads(payload)
            except (ValueError, TypeError, RecursionError) as error:
                raise why_sealed(payload) or InvalidPayload(where, f"not a payload: {error}") from None
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
            raise why_sealed(payload) or InvalidPayload(where, f"not a payload: {error}") from None

    def _fitted(self, tree: Any, into: Any, where: str, marked: bool) -> Any:
        try:
            value = Reader(self, into).value(tree) if marked else tree
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
        return TAG not in value
    if kind is list:
        for item in value:
            if type(item) not in _ATOMS and not _plain(item):
                return False
        return True
    if kind is float:
        return value - value == 0.0  # type: ignore[no-any-return]  # neither NaN nor infinite
    return kind in _ATOMS

__all__ = ["LEVELS", "LIMIT", "Converter", "Payload", "Unresolved", "hints_of", "in_namespace", "recorded_name"]
