"""Outside text made safe to look at, and lines that align.

Owns what a terminal, a notebook cell and a page have in common: characters that hide, reorder or command are written out as
escapes, lengths are counted in screen cells, times and versions are spelled one way everywhere.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from aionlab.core.clock import Micros
from aionlab.core.durations import spell
from aionlab.core.errors import shorten
from aionlab.core.jsontext import dumps

_JOINERS = "\u200c\u200d"
_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
    "\ufff0-\ufffb\ufffe\uffff\ud800-\udfff\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
    # joiners build emoji families and Persian words; beside ASCII they only hide
    "|(?<![^\x00-\x7f])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\x7f])"
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def visible(text: str) -> str:
    """The text on one line, its control, bidi, zero-width and surrogate characters written as escapes such as `\\u202e`."""
    if text.isascii() and text.isprintable():
        return text
    return _HIDDEN.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    char = found[0]
    code = ord(char)
    return _SHORT.get(char) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}")


def width(text: str) -> int:
    """Screen cells the text takes in a terminal: 2 for wide characters, 0 for marks and for what a joiner hangs on."""
    return len(text) if text.isascii() else _width(text)


@lru_cache(maxsize=4096)
def _width(text: str) -> int:
    cells, joined = 0, False
    for char in text:
        if char in _JOINERS:
            joined = char == "\u200d"
            continue
        if not joined and not unicodedata.combining(char) and unicodedata.category(char) not in ("Mn", "Me"):
            cells += 2 if unicodedata.east_asian_width(char) in "WF" else 1
        joined = False
    return cells


def clip(text: str, limit: int) -> str:
    """One visible line of at most `limit` cells, cut at the end with "…"."""
    shown = visible(text[: 2 * limit + 1])
    if len(text) <= 2 * limit and width(shown) <= limit:
        return shown
    return _head(shown, limit - 1) + "…"


def label(text: str, limit: int = 60) -> str:
    """A name or id on one visible line of at most `limit` cells, cut in the middle: what tells ids apart is often their end."""
    if len(text) <= 2 * limit:
        shown = visible(text)
        if width(shown) <= limit:
            return shown
    tail_cells = (limit - 1) // 3
    tail = _head(visible(text[-2 * limit :])[::-1], tail_cells)[::-1].lstrip(_JOINERS)
    while tail and unicodedata.combining(tail[0]):
        tail = tail[1:]
    return _head(visible(text[: 2 * limit]), limit - 1 - width(tail)) + "…" + tail


def _head(text: str, cells: int) -> str:
    """The longest beginning of at most `cells` cells, and of at most twice as many characters."""
    head = text[:cells]
    if text.isascii():
        return head
    head = text[: 2 * cells]
    while width(head) > cells:
        head = head[:-1]
    return head.rstrip(_JOINERS)


def pad(text: str, cells: int, right: bool = False) -> str:
    """The text filled with blanks to `cells` cells; aligned to the right edge with `right`."""
    blanks = " " * (cells - width(text))
    return blanks + text if right else text + blanks


def block(text: str, lines: int = 200, limit: int = 2000) -> tuple[str, ...]:
    """Many lines (source, a traceback) as visible lines with their indentation; at most `lines` of at most `limit` cells."""
    found = text[: lines * limit].replace("\t", "    ").splitlines() if text else []
    shown = [clip(line, limit) for line in found[:lines]]
    if len(found) > lines:
        shown.append("…")
    return tuple(shown)


def spread(left: str, right: str, cells: int) -> str:
    """A line of exactly `cells` cells with `right` at its end and `left` cut to what remains."""
    right = clip(right, cells)
    room = cells - width(right) - 1
    return pad(label(left, room) if room > 3 else "", cells - width(right)) + right


def columns(rows: Sequence[Sequence[str]], right: Iterable[int] = (), gap: str = "  ") -> tuple[str, ...]:
    """Rows of visible text as aligned lines without trailing blanks; the columns numbered in `right` align to the right."""
    if not rows:
        return ()
    widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
    to_right = frozenset(right)
    return tuple(
        gap.join(pad(cell, cells, i in to_right) for i, (cell, cells) in enumerate(zip(row, widths, strict=True))).rstrip()
        for row in rows
    )


def when(at: Micros | None) -> str:
    """A time as "2020-01-01 00:00:00.000Z"; "" for None, and the bare number where no calendar reaches."""
    if at is None:
        return ""
    try:
        moment = _EPOCH + timedelta(microseconds=at)
    except OverflowError:
        return f"{at} µs"
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}Z".rjust(24, "0")


def lasted(start: Micros | None, end: Micros | None) -> str:
    """The length between two times, or "" where one is missing."""
    return "" if start is None or end is None else spell(end - start)


def short(version: str) -> str:
    """The first seven characters of a version, as people compare them."""
    return visible(version[:7])


def counted(number: int, noun: str) -> str:
    """ "1 run", "2,000 runs"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def value(thing: object, limit: int = 80) -> str:
    """A plain JSON value on one line: text as it stands, the rest as compact JSON; never raises."""
    if isinstance(thing, str):
        return clip(thing, limit)
    try:
        return clip(dumps(thing).decode("utf-8", "replace"), limit)
    except Exception:  # noqa: BLE001 - whatever an encoder does with a foreign value, a listing goes on
        return clip(shorten(thing, limit), limit)
