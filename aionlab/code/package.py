"""A version of a workflow's code as a value: text and JSON, nothing that runs.

A package says how to make the workflow's function again: which stored statements to run in which order, what the global names mean,
which modules of the user's to import from their stored text. Reading one executes nothing; `code.build` alone does.

What a name means is JSON: a value (`code.values`), or a reference
    ["import", module, attribute, submodules]   an object that is imported (attribute "": the module itself)
    ["made", number, path]                      what the stored code of that number makes under that dotted name
    ["definition", number]                      an activity or another workflow, known by name and signature
"""
from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aionlab.core.jsontext import dumps, loads

from .canonical import canonical, canonical_source, digest
from .ledger import undecorated
from .parsing import parse
from .values import MUTABLE, Json

FORMAT = 1
SHORT = 7
"""Digits of a version's short form."""


@dataclass(frozen=True, slots=True)
class Inner:
    """A function inside the stored statement: a closure or a lambda, made with its free variables instead of its surroundings."""

    name: str
    line: int
    """Where it begins, in lines of its file."""
    nth: int
    """Which of the functions of that name that begin on that line."""
    free: tuple[tuple[str, Json], ...] = ()
    defaults: Json = None
    keyword_defaults: Json = None
    module: str = ""
    """The user's module whose globals it sees; "" for the package's own."""


@dataclass(frozen=True, slots=True)
class Code:
    """A stored top-level statement."""

    text: str
    line: int
    """Of its first line in the cell or file it came from, from 1."""
    file: int
    """Number of that cell or file in `Package.files`."""
    dropped: int = 0
    """Leading decorators that are not run: `@workflow` and what stands above it."""
    annotations: bool = False
    """Compiled with `from __future__ import annotations`."""
    inner: Inner | None = None

    def tree(self) -> ast.stmt:
        """The statement with its true line numbers. Raises SyntaxError for text that is not one statement."""
        tree = parse("\n" * (self.line - 1) + self.text)
        if len(tree.body) != 1:
            raise SyntaxError("a stored statement must be one statement")
        return undecorated(tree.body[0], self.dropped)


@dataclass(frozen=True, slots=True)
class UserModule:
    """A module of the user's own, whole."""

    name: str
    text: str
    is_package: bool = False


@dataclass(frozen=True, slots=True)
class Definition:
    """An activity or another workflow: a name and a signature, nothing of its code."""

    kind: str
    """"activity" or "workflow"."""
    name: str
    signature: str
    """As in source: "async def charge(order: Order, n=...) -> Receipt"."""


@dataclass(frozen=True, slots=True)
class Package:
    """One version of one workflow's code."""

    workflow_type: str
    version: str
    """sha256 of what the code means, 64 hexadecimal digits."""
    entry: Json
    """Reference to the workflow's bare function."""
    names: Mapping[str, Json]
    """What each global name that the code uses means."""
    codes: tuple[Code, ...]
    order: tuple[int, ...]
    """Numbers of `codes`, in the order in which they run."""
    files: tuple[str, ...]
    """What people call the cells and files the code came from; the workflow's own is first."""
    definitions: tuple[Definition, ...] = ()
    modules: tuple[UserModule, ...] = ()
    options: Mapping[str, Json] = field(default_factory=dict)
    """The workflow's own options, such as its deadline, as encoded values."""
    python: str = ""
    """The Python it was captured under, as "3.11"."""
    live: tuple[str, ...] = ()
    """Names left to the notebook, sorted; activities alone have any."""

    @property
    def short(self) -> str:
        return self.version[:SHORT]

    @property
    def file_name(self) -> str:
        """What tracebacks call the workflow's own cell: `order@3f2a91c`."""
        return f"{self.workflow_type}@{self.short}"

    def file_of(self, number: int) -> str:
        """What tracebacks call a cell or file: the workflow's own, or `order@3f2a91c/In[2]`."""
        return f"{self.file_name}/{self.files[number]}" if number else self.file_name

    def module_file(self, module: UserModule) -> str:
        return f"{self.file_name}/{module.name}.py"

    def sources(self) -> dict[str, str]:
        """Text by file name as tracebacks have it, every stored line at its line number."""
        lines: dict[str, list[str]] = {}
        for code in self.codes:
            known = lines.setdefault(self.file_of(code.file), [])
            text = code.text.split("\n")
            known.extend([""] * (code.line - 1 + len(text) - len(known)))
            known[code.line - 1 : code.line - 1 + len(text)] = text
        found = {name: "\n".join(known) + "\n" for name, known in lines.items()}
        return found | {self.module_file(module): module.text for module in self.modules}

    def imports(self) -> tuple[str, ...]:
        """The import lines that the names stand for, sorted, for people."""
        return tuple(sorted(_import_line(name, coded) for name, coded in self.names.items() if _kind(coded) == "import"))

    def constants(self) -> dict[str, Json]:
        """Names kept by value, encoded."""
        return {name: coded for name, coded in self.names.items() if _kind(coded) not in ("import", "made", "definition")}

    def mutable_constants(self) -> tuple[str, ...]:
        """Names of lists, dicts and the like: each version has its own copy, shared by its runs in this kernel."""
        return tuple(sorted(name for name, coded in self.names.items() if _kind(coded) in MUTABLE))

    def to_document(self) -> bytes:
        """Canonical JSON: equal packages give equal bytes."""
        return dumps(
            {
                "package": FORMAT,
                "workflow_type": self.workflow_type,
                "version": self.version,
                "python": self.python,
                "entry": self.entry,
                "options": dict(sorted(self.options.items())),
                "names": dict(sorted(self.names.items())),
                "codes": [_code_tree(code) for code in self.codes],
                "order": list(self.order),
                "files": list(self.files),
                "definitions": [[d.kind, d.name, d.signature] for d in self.definitions],
                "modules": [[m.name, m.text, m.is_package] for m in self.modules],
                "live": list(self.live),
            }
        )

    @classmethod
    def from_document(cls, document: bytes) -> Package:
        """The package of a document. Executes and imports nothing. Raises ValueError for what is no package of a known format."""
        try:
            tree = loads(document)
            if not isinstance(tree, dict) or tree.get("package") != FORMAT:
                found = tree.get("package") if isinstance(tree, dict) else type(tree).__name__
                raise ValueError(f"not a package of format {FORMAT}: {found!r}")
            return cls(
                workflow_type=_text(tree["workflow_type"]),
                version=_text(tree["version"]),
                entry=tree["entry"],
                names=dict(tree["names"]),
                codes=tuple(_code(part) for part in tree["codes"]),
                order=tuple(int(number) for number in tree["order"]),
                files=tuple(map(_text, tree["files"])),
                definitions=tuple(Definition(*map(_text, part)) for part in tree["definitions"]),
                modules=tuple(UserModule(_text(name), _text(text), bool(package)) for name, text, package in tree["modules"]),
                options=dict(tree["options"]),
                python=_text(tree["python"]),
                live=tuple(map(_text, tree["live"])),
            )
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError(f"not a package: {type(error).__name__}: {error}") from None


def version_of(package: Package, texts: Sequence[str] | None = None) -> str:
    """The version that follows from a package's content, whatever it says of itself; parses, executes nothing.

    `texts` are the canonical texts of its codes where the caller has them already.
    """
    if texts is None:
        texts = [canonical_of(code) for code in package.codes]
    codes = [
        [text, *([[code.inner.free, code.inner.defaults, code.inner.keyword_defaults, code.inner.module]] if code.inner else [])]
        for code, text in zip(package.codes, texts, strict=True)
    ]
    meaning = {
        "canonical": 1,
        "entry": package.entry,
        "names": dict(sorted(package.names.items())),
        "codes": codes,
        "definitions": [[d.kind, d.name, _canonical_signature(d.signature)] for d in package.definitions],
        "modules": sorted([m.name, _canonical_module(m.text), m.is_package] for m in package.modules),
        "options": dict(sorted(package.options.items())),
        "live": list(package.live),
    }
    return digest(dumps(meaning).decode())


def canonical_of(code: Code) -> str:
    tree = code.tree()
    return canonical(tree if code.inner is None else bare_function(find_inner(tree, code.inner)))


def find_inner(statement: ast.stmt, inner: Inner) -> InnerNode:
    """The function a closure or lambda was made by. Raises SyntaxError when the text has none such."""
    found = list(inner_candidates(statement, inner.name, inner.line))
    if inner.nth >= len(found):
        raise SyntaxError(f"no function {inner.name} at line {inner.line}")
    return found[inner.nth]


InnerNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def inner_candidates(statement: ast.stmt, name: str, line: int) -> Iterator[InnerNode]:
    """Functions of that name that begin on that line (decorators included), in a fixed order."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Lambda):
            if name == "<lambda>" and node.lineno == line:
                yield node
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            if min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) == line:
                yield node


def bare_function(node: InnerNode) -> InnerNode:
    """The function without decorators, its default values left open: both were used up when the closure was made."""
    fields = {name: getattr(node, name) for name in node._fields if hasattr(node, name)}
    arguments = {name: getattr(node.args, name) for name in node.args._fields}
    arguments["defaults"] = [ast.copy_location(ast.Constant(None), default) for default in node.args.defaults]
    arguments["kw_defaults"] = [None if d is None else ast.copy_location(ast.Constant(None), d) for d in node.args.kw_defaults]
    fields["args"] = ast.arguments(**arguments)
    if not isinstance(node, ast.Lambda):
        fields["decorator_list"] = []
    return ast.copy_location(type(node)(**fields), node)


_modules_seen: dict[str, str] = {}


def _canonical_module(text: str) -> str:
    found = _modules_seen.get(text)
    if found is None:
        found = _modules_seen[text] = digest(canonical_source(text))
        if len(_modules_seen) > 500:
            _modules_seen.pop(next(iter(_modules_seen)))
    return found


def _canonical_signature(signature: str) -> str:
    return canonical(parse(signature + ": ..."))


def _kind(coded: Json) -> str:
    return coded[0] if isinstance(coded, list) else ""


def _import_line(name: str, coded: Json) -> str:
    _, module, attribute, submodules = coded
    if attribute:
        head, _, tail = attribute.rpartition(".")
        whole = f"from {module}{'.' + head if head else ''} import {tail}"
        return whole if tail == name else f"{whole} as {name}"
    if submodules and name == module:
        return "; ".join(f"import {submodule}" for submodule in submodules)
    return f"import {module}" if name == module else f"import {module} as {name}"


def _code_tree(code: Code) -> dict[str, Any]:
    tree: dict[str, Any] = {"text": code.text, "line": code.line, "file": code.file}
    if code.dropped:
        tree["dropped"] = code.dropped
    if code.annotations:
        tree["annotations"] = True
    if code.inner is not None:
        inner = code.inner
        tree["inner"] = {
            "name": inner.name, "line": inner.line, "nth": inner.nth, "free": [list(pair) for pair in inner.free],
            "defaults": inner.defaults, "keyword_defaults": inner.keyword_defaults, "module": inner.module,
        }
    return tree


def _code(tree: dict[str, Any]) -> Code:
    inner = tree.get("inner")
    return Code(
        _text(tree["text"]), int(tree["line"]), int(tree["file"]), int(tree.get("dropped", 0)), bool(tree.get("annotations", False)),
        None if inner is None else Inner(
            _text(inner["name"]), int(inner["line"]), int(inner["nth"]), tuple((_text(name), value) for name, value in inner["free"]),
            inner["defaults"], inner["keyword_defaults"], _text(inner["module"]),
        ),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} should be text")
    return value
