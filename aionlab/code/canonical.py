"""One text for all spellings of the same Python code, identical on every supported Python.

The text is what a version's hash is taken of. Left out: positions, `ctx`, `kind`, type comments, empty fields, docstrings and
empty text in f-strings. `ast.dump` and `ast.unparse` differ between minor versions, so neither is used. This module imports
the standard library only, so that its golden files can be checked by any interpreter.
"""
from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterator
from typing import Any

_SKIPPED = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
_WITH_DOCSTRING = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)


def canonical(node: ast.AST, *, without_decorators: int = 0) -> str:
    """The canonical text of a tree, without the first `without_decorators` decorators of `node` itself."""
    pieces: list[str] = []
    pending: list[Any] = [node]  # a stack rather than recursion: chains such as a + b + … nest thousands deep
    while pending:
        part = pending.pop()
        if isinstance(part, str):
            pieces.append(part)
        elif isinstance(part, list):
            pending.append("]")
            pending.extend(reversed(part))
            pending.append("[")
        elif isinstance(part, ast.Constant):
            pieces.append(_constant(part.value))
        elif isinstance(part, ast.AST):
            pending.append(")")
            dropped = without_decorators if part is node else 0
            for name, value in sorted(_fields(part, dropped), reverse=True):
                pending.append(value if isinstance(value, ast.AST | list) else _plain(value))
                pending.append(f" {name}=")
            pending.append(f"({type(part).__name__}")
        else:
            pieces.append(_plain(part))
    return "".join(pieces)


def digest(text: str) -> str:
    """sha256, as 64 hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def canonical_source(source: str) -> str:
    """The canonical text of a whole file."""
    return canonical(ast.parse(source))


def _fields(node: ast.AST, dropped_decorators: int) -> Iterator[tuple[str, Any]]:
    for name in node._fields:
        if name in _SKIPPED:
            continue
        value: Any = getattr(node, name, None)
        if name == "body" and isinstance(node, _WITH_DOCSTRING):
            value = _without_docstring(value)
        elif name == "decorator_list":
            value = value[dropped_decorators:]
        elif name == "values" and isinstance(node, ast.JoinedStr):
            value = _f_string(value)
        elif name == "format_spec" and isinstance(value, ast.JoinedStr) and not _f_string(value.values):
            continue
        if value is not None and value != []:
            yield name, value


def _without_docstring(body: Any) -> Any:
    first = body[0] if body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return body[1:]
    return body


def _f_string(parts: list[ast.expr]) -> list[ast.expr]:
    """Adjacent texts joined, empty ones dropped: minor versions cut them differently."""
    joined: list[ast.expr] = []
    for part in parts:
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            if not part.value:
                continue
            if joined and isinstance(joined[-1], ast.Constant):
                joined[-1] = ast.Constant(str(joined[-1].value) + part.value)
                continue
        joined.append(part)
    return joined


def _constant(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, bytes):
        return f"b:{value.hex()}"
    if isinstance(value, bool) or value is None or value is Ellipsis:
        return repr(value)
    if isinstance(value, int):
        return f"i:{value:x}"  # hexadecimal: decimal text of very long integers is limited
    if isinstance(value, float):
        return f"f:{value.hex()}"
    if isinstance(value, complex):
        return f"c:{value.real.hex()},{value.imag.hex()}"
    raise TypeError(f"no canonical form for a constant of type {type(value).__name__}")


def _plain(value: Any) -> str:
    """A field that is no node: an identifier, a small integer, None in a list, or the value of a match singleton."""
    return json.dumps(value) if isinstance(value, str) else _constant(value)
