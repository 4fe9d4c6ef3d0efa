"""What may stand in a query: the fields of every run, the lab's search attributes, and which values go with them."""
from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta, timezone
from difflib import get_close_matches
from typing import Any, Final, NamedTuple

from aionlab.core import durations
from aionlab.core.errors import shorten
from aionlab.core.status import Status

from .conditions import EVERY, Begins, Compare, Condition, Field, Kind, Missing, Not, OneOf, Or, Scalar, both


class Known(NamedTuple):
    """A field of every run, and the other names it goes by."""

    field: Field
    means: str
    also: tuple[str, ...] = ()


FIELDS: Final = (
    Known(Field("status", "status"), "Running, Paused, Completed, …", ("execution_status",)),
    Known(Field("type"), "the workflow's name", ("workflow_type",)),
    Known(Field("id"), "the workflow id", ("workflow_id",)),
    Known(Field("run_id"), "the run's own id"),
    Known(Field("version", "version"), "of the code, or the first characters of it"),
    Known(Field("start_time", "time"), "when the run started", ("started", "started_at")),
    Known(Field("close_time", "time"), "when it ended; NULL while it is open", ("closed", "closed_at")),
    Known(Field("duration", "length"), "from start to end; NULL while it is open", ("execution_duration", "execution_time")),
    Known(Field("parent_run_id"), "the run it follows in the chain of its workflow id"),
    Known(Field("idempotency_key"), "the key its start was asked for with"),
    Known(Field("parent_id"), "the workflow id whose child it is", ("parent", "parent_workflow_id")),
    Known(Field("schedule_id"), "the schedule that started it", ("schedule",)),
)
STATUS: Final = FIELDS[0].field

_KINDS: Final[Mapping[str, Kind]] = {
    "keyword": "text", "text": "text", "int": "int", "float": "float", "bool": "bool", "datetime": "time", "keyword_list": "list",
}  # fmt: skip
_HOLDS: Final[Mapping[Kind, str]] = {
    "text": "text", "status": "a status", "version": "text", "int": "a number", "float": "a number", "bool": "TRUE or FALSE", "time": "a time",
    "length": "a length of time", "list": "text",
}  # fmt: skip
ORDERED: Final = frozenset({"text", "int", "float", "time", "length"})
"""Kinds whose values are smaller and larger."""
TEXTS: Final = frozenset({"text", "version", "list"})


def _plain(name: str) -> str:
    return name.lower().replace("_", "")


_BY_NAME: Final = {_plain(name): known.field for known in FIELDS for name in (known.field.name, *known.also)}


def field_named(name: str, schema: Mapping[str, str]) -> Field:
    """The field or search attribute of this name; `schema` maps attributes to their types.

    Raises LookupError, which says what may have been meant.
    """
    if name.lower().startswith("attr."):
        return _attribute(name[5:], schema)
    known = _BY_NAME.get(_plain(name))
    if known is not None:
        return known
    if name in schema:
        return _attribute(name, schema)
    names = words(schema)
    near = get_close_matches(name.lower(), {one.lower(): one for one in names}, 1)
    meant = next((one for one in names if near and one.lower() == near[0]), None)
    raise LookupError(
        f"there is no field or search attribute {name!r}" + (f"; did you mean {meant!r}?" if meant else f"; there are {', '.join(names[:25])}")
    )


def _attribute(name: str, schema: Mapping[str, str]) -> Field:
    if name not in schema:
        near = get_close_matches(name, list(schema), 1)
        raise LookupError(f"there is no search attribute {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    return Field(name, _KINDS[schema[name]], attribute=True)


def words(schema: Mapping[str, str]) -> list[str]:
    """The names that may stand for a field, attributes last; one that looks like a field is written `attr.NAME`."""
    return [*(known.field.name for known in FIELDS), *(name if _plain(name) not in _BY_NAME else f"attr.{name}" for name in sorted(schema))]


# --- values ----------------------------------------------------------------------------------------------------------


def stored(field: Field, value: object) -> Scalar:
    """A value that is to be compared with the field, as rows hold such values.

    Raises ValueError, which says what the field holds, for one of another type.
    """
    return _STORED[field.kind](field, value)


def test(field: Field, op: str, value: object) -> Condition:
    """`field op value` for an op of the language. Raises ValueError when the field cannot be compared so, or with this value."""
    if op in ("!=", "<>"):
        return Not(test(field, "=", value))
    if op in ("=", "=="):
        known = stored(field, value)
        return Begins(field, str(known)) if field.kind == "version" else Compare(field, "=", known)
    if field.kind not in ORDERED:
        raise ValueError(f"{field} holds {_HOLDS[field.kind]}, and none is smaller than another: compare with =, != or IN")
    return Compare(field, op, stored(field, value))  # type: ignore[arg-type]  # the parser hands in ops of the language only


def one_of(field: Field, values: Iterable[object]) -> Condition:
    """`field IN (values)`. Raises as `stored`."""
    known = tuple(stored(field, value) for value in values)
    if field.kind == "version":
        return Or(tuple(Begins(field, str(prefix)) for prefix in known))
    return OneOf(field, known)


def begins(field: Field, prefix: object) -> Condition:
    """`field STARTS_WITH prefix`. Raises ValueError for a field that holds no text, or a prefix that is none."""
    if field.kind not in TEXTS:
        raise ValueError(f"{field} holds {_HOLDS[field.kind]}, and only text starts with text")
    return Begins(field, str(stored(field, prefix)))


def equal_to(values: Mapping[str, object], schema: Mapping[str, str]) -> Condition:
    """Every one of these fields has its value: None for nothing, a list for each of its items.

    Raises LookupError for an unknown field, ValueError for a value of the wrong type.
    """
    terms: list[Condition] = []
    for name, value in values.items():
        field = field_named(name, schema)
        if value is None:
            terms.append(Missing(field))
        elif isinstance(value, list | tuple | set | frozenset):
            terms += [test(field, "=", item) for item in value]
        else:
            terms.append(test(field, "=", value))
    return both(*terms) if terms else EVERY


def readable(field: Field, value: Any) -> Any:
    """A stored value of the field as people use it: a datetime in UTC, a timedelta, True and False."""
    if value is None:
        return None
    match field.kind:
        case "time":
            return _EPOCH + value * _MICROSECOND
        case "length":
            return value * _MICROSECOND
        case "bool":
            return bool(value)
        case _:
            return value


def _wrong(field: Field, value: object) -> ValueError:
    return ValueError(f"{field} holds {_HOLDS[field.kind]}, not {shorten(value)}")


def _text(field: Field, value: object) -> str:
    if not isinstance(value, str):
        raise _wrong(field, value)
    text = str.__str__(value)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{shorten(text)} has a lone surrogate at {error.start}") from None
    return text


def _status(field: Field, value: object) -> str:
    if not isinstance(value, str):
        raise _wrong(field, value)
    known = {status.value.lower(): status.value for status in Status}
    wanted = str.__str__(value).lower().replace("_", "")
    if wanted in known:
        return known[wanted]
    near = get_close_matches(wanted, list(known), 1)
    hint = f"did you mean {known[near[0]]!r}?" if near else f"choose one of {', '.join(known.values())}"
    raise ValueError(f"no status {shorten(value)}; {hint}")


def _number(field: Field, value: object) -> int | float:
    if isinstance(value, bool | Time | Length) or not isinstance(value, numbers.Real):
        raise _wrong(field, value)
    if isinstance(value, numbers.Integral):
        whole = int(value)
        if not -(2**63) <= whole < 2**63:
            raise ValueError(f"{field} holds numbers of 64 bits, and {shorten(whole) if whole.bit_length() < 10_000 else 'this one'} does not fit")
        return whole
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{number} is not a number that can be searched for")
    return number


def _bool(field: Field, value: object) -> bool:
    if not isinstance(value, bool):
        raise _wrong(field, value)
    return value


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017 - as in core.attributes
_MICROSECOND: Final = timedelta(microseconds=1)


class Time(int):
    """Microseconds since the epoch, as a literal that says it is a time."""

    def __repr__(self) -> str:
        return "a time"


class Length(int):
    """Microseconds, as a literal that says it is a length of time."""

    def __repr__(self) -> str:
        return f"the length {durations.spell(self)}"


def _time(field: Field, value: object) -> int:
    if isinstance(value, Time):
        return int(value)
    if isinstance(value, str):
        return int(time_of(value))
    if not isinstance(value, datetime) or value != value:  # pandas' NaT is a datetime that equals nothing
        raise _wrong(field, value)
    return _since_epoch(value)


def time_of(text: str) -> Time:
    """A time as people write it; in UTC unless it says otherwise. Raises ValueError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{shorten(text)} is no time; write '2026-11-01', '2026-11-01T09:30:00+01:00' or now() - 1h") from None
    return Time(_since_epoch(moment))


def _since_epoch(moment: datetime) -> int:
    return ((moment if moment.utcoffset() is not None else moment.replace(tzinfo=_EPOCH.tzinfo)) - _EPOCH) // _MICROSECOND


def _length(field: Field, value: object) -> int:
    if isinstance(value, Length):
        return int(value)
    if isinstance(value, bool | Time) or not isinstance(value, str | timedelta | int | float):
        raise _wrong(field, value)
    return int(durations.micros(value))


_STORED: Final[Mapping[Kind, Callable[[Field, Any], Scalar]]] = {
    "text": _text, "version": _text, "list": _text, "status": _status, "int": _number, "float": _number, "bool": _bool, "time": _time, "length": _length,
}  # fmt: skip
