"""Search attributes: typed values by which runs are found, declared once for a lab and checked before anything is written.

What is stored is plain JSON: text, numbers, booleans, lists of text; times as integer microseconds since the epoch.
"""
from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import Any, Final

from .classes import spelled
from .errors import InvalidAttribute, InvalidOption, shorten
from .jsontext import dumps

KEYS: Final = 100
VALUE_BYTES: Final = 2 * 1024
TOTAL_BYTES: Final = 40 * 1024
NAME_CHARACTERS: Final = 100


class AttributeType(str, Enum):
    """What a search attribute may hold."""

    KEYWORD = "keyword"
    """Text that is compared as a whole."""
    TEXT = "text"
    INT = "int"
    """64 bits, signed."""
    FLOAT = "float"
    BOOL = "bool"
    DATETIME = "datetime"
    """With a time zone; stored as microseconds since the epoch."""
    KEYWORD_LIST = "keyword_list"

    def __str__(self) -> str:
        return self.value

    @classmethod
    def of(cls, kind: object) -> AttributeType:
        """The type of this name ("keyword", "int", …) or Python type (str, int, float, bool, datetime, list).

        Raises InvalidOption for anything else.
        """
        if isinstance(kind, type) and not issubclass(kind, Enum):
            kind = _BY_PYTHON_TYPE.get(kind, kind)
        if isinstance(kind, str) and kind.lower() in _NAMES:
            return cls(kind.lower())
        raise InvalidOption(f"{shorten(kind)} is no type of search attribute; use one of {', '.join(_NAMES)} (or str, int, float, bool, "
                            "datetime, list)")  # fmt: skip


_NAMES: Final = tuple(member.value for member in AttributeType)
_BY_PYTHON_TYPE: Final[dict[Any, str]] = {
    str: "keyword",
    int: "int",
    float: "float",
    bool: "bool",
    datetime: "datetime",
    list: "keyword_list",
}


def check_registration(name: object, kind: object, known: Mapping[str, str]) -> tuple[str, AttributeType]:
    """The name and type to register. The same again is fine.

    Raises InvalidAttribute when the name is no identifier or is registered with another type; InvalidOption for an unknown type.
    """
    attribute_type = AttributeType.of(kind)
    if not isinstance(name, str) or not name.isidentifier() or not name.isascii() or len(name) > NAME_CHARACTERS:
        raise InvalidAttribute(str(shorten(name)), "a name is made of letters, digits and underscores, and begins with a letter")
    if name in known and known[name] != attribute_type:
        raise InvalidAttribute(name, f"it is registered as {known[name]} already; runs hold such values, so its type cannot become {attribute_type}")
    return name, attribute_type


def check_attributes(values: Mapping[str, object], schema: Mapping[str, str]) -> dict[str, Any]:
    """The values as they are stored, all of them checked against the schema (name to type); None removes an attribute.

    Raises InvalidAttribute for a name that is not registered, a value of the wrong type, more than 100 attributes, a value over 2 KiB
    and more than 40 KiB in all.
    """
    if not values:
        return {}
    checked: dict[str, Any] = {}
    for name, value in values.items():
        if name not in schema:
            raise InvalidAttribute(shorten(name)[1:-1] if isinstance(name, str) else shorten(name), _unknown(name, value, schema))
        stored = None if value is None else _CHECKS[AttributeType(schema[name])](name, value)
        if len(dumps(stored)) > VALUE_BYTES:
            raise InvalidAttribute(name, f"its value takes {len(dumps(stored)):,} bytes; the most is {VALUE_BYTES:,}")
        checked[name] = stored
    if len(checked) > KEYS:
        raise InvalidAttribute(next(reversed(checked)), f"it is one of {len(checked)}; a run has at most {KEYS} search attributes")
    if len(dumps(checked)) > TOTAL_BYTES:
        raise InvalidAttribute(next(reversed(checked)), f"the values take {len(dumps(checked)):,} bytes together; the most is {TOTAL_BYTES:,}")
    return checked


def may_be_stored(values: Mapping[str, object], stored: Mapping[str, object]) -> bool:
    """Whether there is a schema under which these values are stored so."""
    return values.keys() == stored.keys() and all(_may_be(name, value, stored[name]) for name, value in values.items())


def _may_be(name: str, value: object, stored: object) -> bool:
    if value is None or stored is None:
        return value is stored
    for check in _CHECKS.values():
        try:
            found = check(name, value)
        except InvalidAttribute:
            continue
        if type(found) is type(stored) and found == stored:
            return True
    return False


def _unknown(name: object, value: object, schema: Mapping[str, str]) -> str:
    near = difflib.get_close_matches(name, list(schema), 1) if isinstance(name, str) else []
    hint = f"did you mean {near[0]!r}? " if near else ""
    kind = next((kind for cls, kind in _LIKELY if isinstance(value, cls)), "keyword")
    return f"it is not registered; {hint}lab.register_search_attribute({shorten(name)}, {kind!r}) registers it"


_LIKELY: Final[tuple[tuple[type, str], ...]] = (
    (bool, "bool"),
    (int, "int"),
    (float, "float"),
    (datetime, "datetime"),
    (list, "keyword_list"),
    (tuple, "keyword_list"),
)


def _wrong(name: str, wanted: str, value: object) -> InvalidAttribute:
    return InvalidAttribute(name, f"it holds {wanted}, not {spelled(type(value))} {shorten(value)}")


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise _wrong(name, "text", value)
    text = str.__str__(value)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidAttribute(name, f"{shorten(text)} has a lone surrogate at {error.start}") from None
    if "\0" in text:
        raise InvalidAttribute(name, f"{shorten(text)} has a NUL character, at which searching would stop")
    return text


def _int(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise _wrong(name, "whole numbers", value)
    number = int(value)
    if not -(2**63) <= number < 2**63:
        raise InvalidAttribute(name, f"{shorten(number) if number.bit_length() < 10_000 else 'the number'} does not fit into 64 bits")
    return number


def _float(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise _wrong(name, "numbers", value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InvalidAttribute(name, f"{number} is not a number that can be searched for; use None to remove the attribute")
    return number


def _bool(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _wrong(name, "True or False", value)
    return value


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017 - `timezone.utc` is what people know


def _datetime(name: str, value: object) -> int:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise _wrong(name, "times (a datetime, or text such as '2026-11-01T09:30:00+01:00')", value) from None
    if not isinstance(value, datetime) or value != value:  # pandas' NaT is a datetime that equals nothing
        raise _wrong(name, "times (a datetime with a time zone)", value)
    if value.utcoffset() is None:
        raise InvalidAttribute(name, f"{value} has no time zone; write it as {value.isoformat()}+00:00, or use .astimezone() for local time")
    return (value - _EPOCH) // timedelta(microseconds=1)


def _keywords(name: str, value: object) -> list[str]:
    if isinstance(value, (set, frozenset)):
        return sorted(_text(name, item) for item in value)
    if not isinstance(value, (list, tuple)):
        raise _wrong(name, "lists of text", value)
    return [_text(name, item) for item in value]


_CHECKS: Final[dict[AttributeType, Callable[[str, object], Any]]] = {
    AttributeType.KEYWORD: _text,
    AttributeType.TEXT: _text,
    AttributeType.INT: _int,
    AttributeType.FLOAT: _float,
    AttributeType.BOOL: _bool,
    AttributeType.DATETIME: _datetime,
    AttributeType.KEYWORD_LIST: _keywords,
}
