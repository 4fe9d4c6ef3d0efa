"""One statement for many rows.

Each statement that runs gives up the GIL, and beside a computing cell getting it back may take a whole switch interval, so a turn
writes each table with one statement. Its text depends on the number of rows; to prepare few texts, rows are padded to a power of
two and the padding is cut off by a LIMIT. (A WHERE would be copied to every row of the VALUES, which doubles the time of the
statement.)
"""
from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

MOST = 1024
"""More in one statement saves nothing, and preparing its text the first time takes tens of milliseconds."""


class Bulk:
    """A statement over rows of `width` values; `text` has `(VALUES {rows})` and, as its last question mark, `LIMIT ?` behind
    it."""

    def __init__(self, text: str, width: int) -> None:
        self._text, self._width = text, width
        self._texts: dict[int, str] = {}

    def __call__(self, db: sqlite3.Connection, rows: Sequence[Sequence[Any]], *more: Any) -> int:
        """Run it over all rows; `more` are the values between the rows and the limit. The number of rows changed.

        More rows than `most` take several statements, so the caller opens a transaction.
        """
        changed = 0
        limit = most(db, self._width)
        for at in range(0, len(rows), limit):
            changed += self._cursor(db, rows[at : at + limit], more).rowcount
        return changed

    def ask(self, db: sqlite3.Connection, rows: Sequence[Sequence[Any]]) -> Iterable[Any]:
        """What a query over these rows finds."""
        limit = most(db, self._width)
        for at in range(0, len(rows), limit):
            yield from self._cursor(db, rows[at : at + limit], ()).fetchall()

    def _cursor(self, db: sqlite3.Connection, rows: Sequence[Sequence[Any]], more: tuple[Any, ...]) -> sqlite3.Cursor:
        size = 1 << (len(rows) - 1).bit_length()
        text = self._texts.get(size)
        if text is None:
            row = "(" + ",".join("?" * self._width) + ")"
            text = self._texts[size] = self._text.format(rows=",".join([row] * size))
        values = [*chain.from_iterable(rows), *(None,) * ((size - len(rows)) * self._width), *more, len(rows)]
        return db.execute(text, values)


def most(db: sqlite3.Connection, width: int) -> int:
    """How many rows of this width one statement takes, a power of two."""
    fits = (db.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER) - 8) // width
    return min(MOST, 1 << (fits.bit_length() - 1))
