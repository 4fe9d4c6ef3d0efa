"""Modules of the user's own: .py files outside the standard library and site-packages. Found and read, never imported here."""
from __future__ import annotations

import ast
import os
import site
import sys
import sysconfig
import tokenize
from collections.abc import Iterator
from functools import lru_cache
from importlib.machinery import PathFinder
from types import ModuleType
from typing import NamedTuple

from .parsing import parse
from .scope import Imported

_NEVER = frozenset({"aionlab", "__main__", "__mp_main__"})


class Located(NamedTuple):
    """The file of a module of the user's."""

    name: str
    file: str
    is_package: bool


def user_module(name: str) -> Located | None:
    """Where a module's text is, or None when it is not the user's own (or cannot be found)."""
    if not name or name.partition(".")[0] in _NEVER:
        return None
    module = sys.modules.get(name)
    if module is not None:
        return _of_loaded(name, module)
    head, _, _ = name.rpartition(".")
    path = None
    if head:
        parent = user_module(head)
        if parent is None or not parent.is_package:
            return None
        path = [os.path.dirname(parent.file)]
    try:
        spec = PathFinder.find_spec(name, path)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.origin or not is_user_file(spec.origin):
        return None
    return Located(name, spec.origin, spec.submodule_search_locations is not None)


def _of_loaded(name: str, module: ModuleType) -> Located | None:
    spec = getattr(module, "__spec__", None)
    file = getattr(spec, "origin", None) or getattr(module, "__file__", None)
    if not isinstance(file, str) or not is_user_file(file):
        return None
    return Located(name, file, hasattr(module, "__path__"))


@lru_cache(maxsize=4096)
def is_user_file(file: str) -> bool:
    """Whether this is a .py file outside the standard library and site-packages."""
    if not file.endswith(".py"):
        return False
    real = os.path.realpath(file)
    parts = real.split(os.sep)
    if "site-packages" in parts or "dist-packages" in parts:
        return False
    return not any(real.startswith(folder) for folder in _libraries()) and os.path.exists(real)


@lru_cache(maxsize=1)
def _libraries() -> tuple[str, ...]:
    folders = {sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders.update(site.getsitepackages() if hasattr(site, "getsitepackages") else ())
    return tuple(os.path.realpath(folder) + os.sep for folder in folders if folder)


_texts: dict[str, tuple[tuple[int, int], str]] = {}


def stamp(file: str) -> tuple[int, int]:
    """Changes when the file does."""
    status = os.stat(file)
    return status.st_mtime_ns, status.st_size


def text_of(file: str) -> str:
    """The file's text, read again when it has changed. Raises OSError, SyntaxError."""
    mark = stamp(file)
    known = _texts.get(file)
    if known is None or known[0] != mark:
        with tokenize.open(file) as opened:
            known = _texts[file] = (mark, opened.read())
    return known[1]


@lru_cache(maxsize=512)
def imports_of(text: str) -> tuple[Imported, ...]:
    """Every import of a module's text, inside functions too. Raises SyntaxError."""
    found = []
    for node in ast.walk(parse(text)):
        if isinstance(node, ast.Import):
            found += [Imported(alias.name, (), 0, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(Imported(node.module or "", tuple(alias.name for alias in node.names), node.level, node.lineno))
    return tuple(found)


def named_by(imported: Imported, package: str) -> Iterator[str]:
    """Full names of modules that an import may load; `package` is that of the importing module."""
    base = imported.module
    if imported.level:
        parts = package.split(".")
        parts = parts[: len(parts) - imported.level + 1]
        base = ".".join([*parts, *([base] if base else [])])
    if not base:
        return
    pieces = base.split(".")
    for length in range(1, len(pieces) + 1):
        yield ".".join(pieces[:length])
    for name in imported.names:
        if name != "*":
            yield f"{base}.{name}"
