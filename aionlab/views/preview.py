"""A few characters of a payload, with secrets masked.

Payloads are JSON with tags and stay JSON here: a preview never rebuilds a value, reads only the beginning it shows and survives
text that is not JSON at all. What stands under a key that looks like a secret's is shown as "***".
"""

from __future__ import annotations

import json
import re

from aionlab.core.codecs import told
from aionlab.core.failure import Failure

from .text import clip

MASK = "***"
_NAMES = r"pass(?:word|wd|phrase)|secret|token|api[_-]?key"
_SECRET = re.compile(_NAMES, re.IGNORECASE)
_SECRET_BYTES = re.compile(_NAMES.encode(), re.IGNORECASE)
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?$)|[{}\[\],:]|\s+|[^"{}\[\],:\s]+', re.DOTALL)
_PAIRED = ('"dict"', '"ordered"', '"counter"')
_LITERAL = re.compile(
    rf"""((?:\w|-)*(?:{_NAMES})(?:\w|-)*(?:\\*["'])?\s*=\s*|(?:\w|-)*(?:{_NAMES})(?:\w|-)*\\*["']\s*:\s*)(\\*(["'])).*?(?:\2|$)""",
    re.IGNORECASE | re.MULTILINE,
)


def is_secret(key: str) -> bool:
    """Whether what stands under this key is not for eyes."""
    return _SECRET.search(key) is not None


def masked(text: str) -> str:
    """Prose, source or a traceback with quoted values given to secret-looking names masked: `password="***"`."""
    return _LITERAL.sub(lambda found: f"{found[1]}{found[2]}{MASK}{found[2]}", text) if _SECRET.search(text) else text


def preview(payload: bytes | None, limit: int = 80) -> str:
    """The payload as visible compact JSON of at most `limit` cells; "" for None."""
    if payload is None:
        return ""
    sealed = told(payload) if payload[:1] == b"\0" else None
    if sealed is not None:
        return clip(sealed, limit)
    window = 2 * limit + 1
    if len(payload) > 4 * window:
        # masking shortens, so look a little further than is shown
        beginning, whole = payload[: 4 * window], False
    else:
        beginning, whole = payload, True
    text = beginning.decode("utf-8", "replace")
    if b"\\u" in beginning or _SECRET_BYTES.search(beginning):
        text = _mask_json(text)
    return clip(text if whole else text + "…" * window, limit)


def failure_line(failure: Failure, limit: int = 200) -> str:
    """ "ValueError: the message", on one visible line."""
    if failure.sealed is not None:
        return clip(failure.message, limit)
    message = masked(failure.message[: 4 * limit])
    kind = failure.type.removeprefix("aionlab.core.errors:")
    return clip(f"{kind}: {message}" if message else kind, limit)


def _mask_json(text: str) -> str:
    out: list[str] = []
    before = last = key = ""
    hiding, depth, pairs = False, 0, False
    for found in _TOKEN.finditer(text):
        token = found[0]
        if depth:
            depth += (token in "{[") - (token in "}]")
            continue
        if token.isspace():
            out.append(token)
            continue
        if hiding:
            hiding = False
            depth = int(token in "{[")
            token = f'"{MASK}"'
        elif key and token == ":" and is_secret(key):
            hiding = True
        elif key and token == "," and before == "[" and pairs and is_secret(key):
            # a dict whose keys are not all text is recorded as pairs: {"~":"dict","v":[["password","x"],[1,2]]}
            hiding = True
        elif token.startswith('"'):
            pairs = pairs or (last == ":" and token in _PAIRED)
            key = _unescaped(token)
            token = masked(token)
        else:
            key = ""
        before, last = last, token
        out.append(token)
    return "".join(out)


def _unescaped(token: str) -> str:
    if "\\" not in token:
        return token
    try:
        return str(json.loads(token, strict=False))
    except ValueError:
        return token
