"""What may be a name: of a workflow, a run's id, a signal, a query, a queue.

Names are typed, shown, searched for and put into file names, so what cannot be seen or told apart is refused; composed and decomposed
spellings of the same text are one name (NFC).
"""
from __future__ import annotations

import unicodedata
from typing import Final

from .errors import InvalidName

CHARACTERS: Final = 255
BYTES: Final = 1000

_INVISIBLE: Final = frozenset("\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u2800\u3164\uffa0\ufeff")
"""Characters that show as nothing, besides those Unicode calls controls and formats."""


def check_name(what: str, name: object) -> str:
    """The name in its normal form (NFC); `what` says in errors whose name it is ("workflow id", "signal").

    Raises InvalidName unless it is text of 1-255 characters and at most 1000 bytes, without control characters, lone surrogates,
    line separators, and characters that are invisible or change the direction of text.
    """
    if type(name) is str and 0 < len(name) <= CHARACTERS and name.isascii() and name.isprintable() and not name.isspace():
        return name
    return _closely(what, name)


def _closely(what: str, name: object) -> str:
    if not isinstance(name, str):
        raise InvalidName(what, name, f"it is a {type(name).__name__}; names are text")
    text = str.__str__(name)
    if not text:
        raise InvalidName(what, text, "it is empty")
    if len(text) > 4 * CHARACTERS:
        raise InvalidName(what, text, f"it has {len(text):,} characters; the most is {CHARACTERS}")
    for at, char in enumerate(text):
        why = _wrong(char)
        if why:
            raise InvalidName(what, text, f"it has {why} (U+{ord(char):04X}) at position {at}")
    if text.isspace():
        raise InvalidName(what, text, "it is blank")
    text = unicodedata.normalize("NFC", text)
    if len(text) > CHARACTERS:
        raise InvalidName(what, text, f"it has {len(text)} characters; the most is {CHARACTERS}")
    if len(text.encode()) > BYTES:
        raise InvalidName(what, text, f"it takes {len(text.encode()):,} bytes; the most is {BYTES:,}")
    return text


def _wrong(char: str) -> str:
    """What is wrong with the character, "" when nothing is."""
    if char == "\0":
        return "a NUL"
    category = unicodedata.category(char)
    if category == "Cc":
        return "a control character"
    if category == "Cs":
        return "a lone surrogate"
    if category in ("Zl", "Zp"):
        return "a line separator"
    if category == "Cf" or char in _INVISIBLE:
        if unicodedata.bidirectional(char) in ("LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI") or char in "\u200e\u200f\u061c":
            return "a character that changes the direction of text"
        return "an invisible character"
    return ""
