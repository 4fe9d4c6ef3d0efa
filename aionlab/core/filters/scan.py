"""The text of a query, cut into its words."""
from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from aionlab.core.errors import InvalidFilter

MOST_CHARACTERS = 200_000

Sort = Literal["name", "text", "number", "length", "sign", "end"]


class Token(NamedTuple):
    """One word, and where in the text it stands."""

    sort: Sort
    text: str
    """As written; of a text what is between its quotes."""
    at: int
    width: int

    def says(self, *words: str) -> bool:
        """Whether this is one of these words of the language (in capitals) or signs."""
        return (self.text.upper() in words) if self.sort == "name" else (self.sort == "sign" and self.text in words)


_NEXT = re.compile(
    r"""(?P<blank>\s+)
    | (?P<name>[^\W\d]\w*(?:\.[^\W\d]\w*)?)
    | (?P<length>(?:\d+(?:\.\d+)?(?:us|ms|s|m|h|d|w))+(?![\w.]))
    | (?P<number>(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    | (?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
    | (?P<sign><=|>=|<>|!=|==|[=<>(),+\-*])
    """,
    re.VERBOSE,
)


def scan(query: str) -> Iterator[Token]:
    """The words, and one that says where they end. Raises InvalidFilter for what is none."""
    if len(query) > MOST_CHARACTERS:
        raise InvalidFilter(query[:80] + " …", 0, 1, f"the filter has {len(query):,} characters; the most is {MOST_CHARACTERS:,}")
    at = 0
    while at < len(query):
        found = _NEXT.match(query, at)
        if found is None:
            raise _not_a_word(query, at)
        at = found.end()
        sort, text = str(found.lastgroup), found[0]
        if sort == "text":
            text = text[1:-1].replace(text[0] * 2, text[0])
        if sort != "blank":
            yield Token(sort, text, found.start(), at - found.start())  # type: ignore[arg-type]  # the groups are named for the sorts
    yield Token("end", "", len(query), 1)


def _not_a_word(query: str, at: int) -> InvalidFilter:
    char = query[at]
    if char in "'\"":
        return InvalidFilter(query, at, len(query) - at, "this text is never closed" + (" (a quote within text is doubled)" if query.count(char) > 1 else ""))
    if char.isdigit() or char == ".":
        found = re.compile(r"[\w.]+").match(query, at)
        width = 1 if found is None else found.end() - at
        return InvalidFilter(query, at, width, f"{query[at : at + width]} is neither a number nor a length such as 5m; text and times need quotes")
    return InvalidFilter(query, at, 1, f"{char!r} has no meaning here" + ("; use AND, OR and NOT" if char in "&|!" else ""))
