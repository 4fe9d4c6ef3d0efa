"""Where the source of a live name is: the top-level statement that made it.

`inspect.getsource` fails on classes of notebooks, and a dataclass without methods carries no file at all. So the notebook tells the
ledger each cell it ran; files of plain modules are read when asked for. Memory only. Its order can lie (a cell that failed half way,
a ledger that started late): `code.compare` catches what follows from that.
"""
from __future__ import annotations
import __future__

import ast
import linecache
import os
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from types import CodeType
from typing import Any

from .canonical import canonical
from .parsing import parse
from .scope import Uses, bound_names, uses

Namespace = Mapping[str, Any]


class Statement:
    """One top-level statement of a cell or a file."""

    __slots__ = ("node", "text", "line", "last", "file", "label", "annotations", "binds", "_uses", "_canonical")

    def __init__(self, node: ast.stmt, text: str, line: int, last: int, file: str, label: str, annotations: bool) -> None:
        self.node = node
        self.text = text
        self.line, self.last = line, last
        """First and last line in the file, decorators included, from 1."""
        self.file, self.label = file, label
        """The file name it was compiled under, and what people call it."""
        self.annotations = annotations
        """Whether annotations are text (`from __future__ import annotations`)."""
        self.binds = bound_names(node)
        self._uses: dict[int, Uses] = {}
        self._canonical: dict[int, str] = {}

    def uses(self, without_decorators: int = 0) -> Uses:
        found = self._uses.get(without_decorators)
        if found is None:
            found = self._uses[without_decorators] = uses(undecorated(self.node, without_decorators))
        return found

    def canonical(self, without_decorators: int = 0) -> str:
        found = self._canonical.get(without_decorators)
        if found is None:
            found = self._canonical[without_decorators] = canonical(self.node, without_decorators=without_decorators)
        return found

    def __repr__(self) -> str:
        return f"<{', '.join(self.binds) or type(self.node).__name__} at {self.label}:{self.line}>"


def undecorated(node: ast.stmt, count: int) -> ast.stmt:
    """The statement without its first decorators; the same node when there is nothing to leave out."""
    if not count or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return node
    fields = {name: getattr(node, name) for name in node._fields if hasattr(node, name)}
    fields["decorator_list"] = node.decorator_list[count:]
    return ast.copy_location(type(node)(**fields), node)


def statements(source: str, file: str, label: str, annotations: bool = False) -> list[Statement]:
    """The top-level statements of a text; none of one that does not parse."""
    try:
        tree = parse(source)
    except (SyntaxError, ValueError):
        return []
    lines = source.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    annotations = annotations or any(
        isinstance(node, ast.ImportFrom) and node.module == "__future__" and any(a.name == "annotations" for a in node.names)
        for node in tree.body
    )
    starts = [first_line(node) for node in tree.body]
    ends = [node.end_lineno or start for node, start in zip(tree.body, starts, strict=True)]
    found = []
    for index, node in enumerate(tree.body):
        start, end = starts[index], ends[index]
        text = "\n".join(lines[start - 1 : end])
        if (index and ends[index - 1] == start) or (index + 1 < len(starts) and starts[index + 1] == end):  # a; b
            part = [line.encode() for line in lines[start - 1 : end]]
            part[-1] = part[-1][: node.end_col_offset]
            part[0] = part[0][node.col_offset :]
            text = b"\n".join(part).decode()
        found.append(Statement(node, text, start, end, file, label, annotations))
    return found


def first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _functions_in(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _functions_in(constant)


class Ledger:
    """Name → defining statement, for each namespace; file and line → statement."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[str, list[Statement], list[int]]] = {}
        self._names: dict[int, tuple[Namespace, dict[str, Statement]]] = {}
        self._compiled: dict[str, tuple[str, tuple[CodeType, ...]]] = {}
        self._modules: dict[int, tuple[str, int, int]] = {}

    def note_cell(self, source: str, filename: str, namespace: Namespace, label: str = "", annotations: bool | None = None) -> None:
        """Remember a cell: `source` as it was compiled under `filename`, run in `namespace`.

        `label` is what people call it, such as "In[3]". `annotations` says whether the future flag was on; when not given, it is taken
        from the source and from the namespace, where the import leaves its name.
        """
        if annotations is None:
            annotations = namespace.get("annotations") is __future__.annotations
        known = self._note(source, filename, label, annotations)
        names = self._names.setdefault(id(namespace), (namespace, {}))[1]
        for statement in known:
            for name in statement.binds:
                names[name] = statement

    def statement_of(self, namespace: Namespace, name: str) -> Statement | None:
        """The last statement known to bind the name."""
        self._note_module(namespace)
        known = self._names.get(id(namespace))
        return known[1].get(name) if known is not None else None

    def statement_at(self, filename: str, line: int) -> Statement | None:
        """The statement a line of a file belongs to."""
        found = self._files.get(filename)
        if found is None:
            source = "".join(linecache.getlines(filename))
            if not source:
                return None
            self._note(source, filename, os.path.basename(filename), False)
            found = self._files[filename]
        _, known, starts = found
        index = bisect_right(starts, line) - 1
        if index < 0 or line > known[index].last:
            return None
        return known[index]

    def compiled(self, filename: str) -> tuple[CodeType, ...]:
        """The code of every function of a file, as compiled from the text known here; nothing runs."""
        found = self._files.get(filename)
        if found is None:
            return ()
        source, known, _ = found
        cached = self._compiled.get(filename)
        if cached is None or cached[0] is not source:
            flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
            if known and known[0].annotations:
                flags |= __future__.annotations.compiler_flag
            try:
                whole = compile(source, filename, "exec", flags, dont_inherit=True)
            except (SyntaxError, ValueError):
                return ()
            cached = self._compiled[filename] = (source, tuple(_functions_in(whole)))
        return cached[1]

    def _note(self, source: str, filename: str, label: str, annotations: bool) -> list[Statement]:
        found = self._files.get(filename)
        if found is not None and found[0] == source and all(s.annotations == annotations or s.annotations for s in found[1]):
            for statement in found[1]:
                statement.label = label or statement.label
            return found[1]
        known = statements(source, filename, label or os.path.basename(filename), annotations)
        self._files[filename] = (source, known, [statement.line for statement in known])
        return known

    def _note_module(self, namespace: Namespace) -> None:
        """Read the file of a plain module, again when it has changed."""
        file = namespace.get("__file__")
        if not isinstance(file, str) or not file.endswith(".py") or namespace.get("__name__") == "__main__" and id(namespace) in self._names:
            return
        try:
            status = os.stat(file)
        except OSError:
            return
        stamp = (file, status.st_mtime_ns, status.st_size)
        if self._modules.get(id(namespace)) == stamp:
            return
        self._modules[id(namespace)] = stamp
        linecache.checkcache(file)
        source = "".join(linecache.getlines(file, dict(namespace)))
        if source:
            self.note_cell(source, file, namespace, os.path.basename(file), annotations=False)
