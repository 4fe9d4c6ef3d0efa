"""Source text as a syntax tree, whoever else is parsing."""
from __future__ import annotations

import ast
from typing import Any

_TRIES = 20


def parse(text: str, mode: str = "exec") -> Any:
    """`ast.parse`. CPython 3.11 and 3.12 count the depth of a tree for all threads together: a collection in the midst of one parse that lets
    another thread parse makes either raise SystemError, and the next try succeed."""
    for _ in range(_TRIES):
        try:
            return ast.parse(text, mode=mode)
        except SystemError:
            continue
    return ast.parse(text, mode=mode)
