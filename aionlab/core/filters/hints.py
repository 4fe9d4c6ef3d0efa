"""What may come next in a query that is being typed."""
from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from aionlab.core.errors import InvalidFilter
from aionlab.core.status import Status

from .conditions import Field
from .fields import ORDERED, TEXTS, field_named, words
from .scan import Token, scan

Known = Callable[[Field], Iterable[str]]
"""Texts that a field is known to have."""

_TYPED: Final = re.compile(r"""(?P<quote>['"])(?P<begun>[^'"]*)$|(?P<word>[\w.]*)$""")
_BEHIND_FIELD: Final = ("=", "!=", "IN (", "NOT IN (", "IS NULL", "IS NOT NULL")
_COMPARED: Final = ("=", "==", "!=", "<>", "<", "<=", ">", ">=")


def completions(text: str, schema: Mapping[str, str], known: Known) -> tuple[str, list[str]]:
    """(what is being typed at the end of the text, what it can become). Never raises."""
    quotes = text.count("'") % 2 or text.count('"') % 2
    typed = _TYPED.search(text) if quotes else re.search(r"(?P<word>[\w.]*)$", text)
    fragment = typed[0] if typed is not None else ""
    try:
        before = list(scan(text[: len(text) - len(fragment)]))[:-1]
    except InvalidFilter:
        return fragment, []
    return fragment, [one for one in _next(before, schema, known) if one.lower().startswith(fragment.lower().replace('"', "'", 1))]


def _next(before: Sequence[Token], schema: Mapping[str, str], known: Known) -> list[str]:
    names = words(schema)
    if not before:
        return [*names, "NOT", "ORDER BY", "LIMIT"]
    last, field = before[-1], _compared_field(before)
    if field is not None:
        return _values(field, known, schema)
    if last.says("NOT") and len(before) > 1 and _field(before[-2], schema) is not None:
        return ["IN (", "BETWEEN", "STARTS_WITH"]
    if last.says("AND", "OR", "NOT", "("):
        return [*names, "NOT"]
    if last.says("BY") or (last.says(",") and _ordering(before)):
        return names
    if last.says("ORDER", "GROUP"):
        return ["BY"]
    if last.says("IS"):
        return ["NULL", "NOT NULL"]
    if last.says("IN"):
        return ["("]
    if last.says("LIMIT", ","):
        return []
    if _ordering(before):
        return [",", "ASC", "DESC", "LIMIT"]
    return _operators(last, schema) or ["AND", "OR", "ORDER BY", "LIMIT", "GROUP BY"]


def _compared_field(before: Sequence[Token]) -> Token | None:
    """The name that the value to be typed is compared with, if a value comes next."""
    at = len(before) - 1
    if before[at].says(*_COMPARED, "STARTS_WITH", "BETWEEN"):
        at -= 1
    elif before[at].says("AND") and (low := _between(before[:at])):
        at = low - 1
    elif before[at].says("(", ",") and not _ordering(before):
        while at > 0 and not before[at].says("("):
            at -= 1
        if at < 2 or not before[at - 1].says("IN"):
            return None
        at -= 2
    else:
        return None
    if at > 0 and before[at].says("NOT"):
        at -= 1
    return before[at] if at >= 0 else None


def _between(before: Sequence[Token]) -> int:
    """Where the BETWEEN stands whose second value comes next; 0 when none does."""
    at = next((at for at in range(len(before) - 1, 0, -1) if before[at].says("AND", "OR", "BETWEEN")), 0)
    return at if before[at].says("BETWEEN") else 0


def _ordering(before: Sequence[Token]) -> bool:
    """Whether the text stands behind ORDER BY."""
    return any(one.says("ORDER") and other.says("BY") for one, other in zip(before, before[1:], strict=False)) and not any(
        token.says("LIMIT") for token in before
    )


def _field(token: Token, schema: Mapping[str, str]) -> Field | None:
    try:
        return field_named(token.text, schema) if token.sort == "name" else None
    except LookupError:
        return None


def _operators(token: Token, schema: Mapping[str, str]) -> list[str]:
    field = _field(token, schema)
    if field is None:
        return []
    more = [*(("<", "<=", ">", ">=", "BETWEEN") if field.kind in ORDERED else ()), *(("STARTS_WITH",) if field.kind in TEXTS else ())]
    return [*_BEHIND_FIELD, *more]


def _values(token: Token, known: Known, schema: Mapping[str, str]) -> list[str]:
    field = _field(token, schema)
    if field is None:
        return []
    match field.kind:
        case "status":
            return [_quoted(status.value) for status in Status]
        case "bool":
            return ["TRUE", "FALSE"]
        case "time":
            return ["now()", "now() - 1h", "now() - 1d"]
        case "text" | "version" | "list":
            return [_quoted(text) for text in known(field)]
        case _:
            return []


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
