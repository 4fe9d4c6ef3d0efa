"""Which global names a top-level statement uses, and when: while it runs, or later, when one of its functions is called."""
from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from .parsing import parse


class Read(NamedTuple):
    """A global name that a statement uses."""

    name: str
    line: int
    path: tuple[str, ...]
    """Attributes that follow the name: ("path", "join") in `os.path.join`."""
    now: bool
    """Needed while the statement runs, not only when one of its functions is called."""
    annotation: bool
    """In an annotation, where a name may be undefined."""


class Imported(NamedTuple):
    """An import inside the statement."""

    module: str
    names: tuple[str, ...]
    level: int
    line: int


@dataclass(slots=True)
class Uses:
    """What a statement takes from outside itself, in the order of its code."""

    reads: list[Read] = field(default_factory=list)
    assigned: list[tuple[str, int]] = field(default_factory=list)
    """(name, line) of globals that a function of the statement assigns or deletes."""
    imports: list[Imported] = field(default_factory=list)


class _Scope:
    __slots__ = ("kind", "bound", "globals", "parent")

    def __init__(self, kind: str, bound: set[str], global_names: set[str], parent: _Scope | None) -> None:
        self.kind, self.bound, self.globals, self.parent = kind, bound, global_names, parent

    def is_global(self, name: str) -> bool:
        scope: _Scope | None = self
        while scope is not None:
            if name in scope.globals:
                return True
            if name in scope.bound and (scope is self or scope.kind == "function"):
                return False
            scope = scope.parent
        return True


def uses(statement: ast.AST, free: Iterable[str] = ()) -> Uses:
    """What one top-level statement uses of the module's globals; or an inner function or lambda, whose free variables are `free`."""
    walker = _Walker()
    bound, _ = _bindings([statement])
    outermost = _Scope("module", bound, set(), None)
    walker.visit(statement, _Scope("function", set(free), set(), outermost) if free else outermost)
    return walker.uses


def bound_names(statement: ast.stmt) -> tuple[str, ...]:
    """The names a top-level statement binds, sorted."""
    return tuple(sorted(_bindings([statement])[0]))


def _bindings(nodes: Iterable[ast.AST]) -> tuple[set[str], set[str]]:
    """(names bound in this scope, names declared global), not looking into inner functions and classes."""
    bound: set[str] = set()
    elsewhere: set[str] = set()
    declared: set[str] = set()
    pending = list(nodes)
    while pending:
        node = pending.pop()
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                bound.add(node.name)
                pending += [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)]
            case ast.ClassDef():
                bound.add(node.name)
                pending += [*node.decorator_list, *node.bases, *node.keywords]
            case ast.Lambda():
                pending += [*node.args.defaults, *filter(None, node.args.kw_defaults)]
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                bound.update(_walrus_targets(node))
            case ast.Name(ctx=ast.Store() | ast.Del()):
                bound.add(node.id)
            case ast.Import():
                bound.update(alias.asname or alias.name.partition(".")[0] for alias in node.names)
            case ast.ImportFrom():
                bound.update(alias.asname or alias.name for alias in node.names)
            case ast.Global():
                declared.update(node.names)
            case ast.Nonlocal():
                elsewhere.update(node.names)
            case _:
                for name in (getattr(node, "rest", None),) if isinstance(node, ast.MatchMapping) else (getattr(node, "name", None),):
                    if isinstance(name, str):  # except … as name, case … as name, case [*name], case {**name}
                        bound.add(name)
                pending += ast.iter_child_nodes(node)
    return bound - declared - elsewhere, declared


def _own_definitions(node: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """Functions and classes defined in a function's own scope."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield child
        else:
            yield from _own_definitions(child)


def _walrus_targets(node: ast.AST) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.NamedExpr):
            yield inner.target.id


class _Walker:
    def __init__(self) -> None:
        self.uses = Uses()
        self._now = True
        self._annotation = False
        self._seen: set[tuple[str, tuple[str, ...], bool, bool]] = set()

    def visit(self, node: ast.AST, scope: _Scope) -> None:
        match node:
            case ast.Name():
                self._name(node, (), scope)
            case ast.Attribute():
                self._attribute(node, scope)
            case ast.BinOp():
                self._operands(node, scope)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._function(node, scope)
            case ast.Lambda():
                self._visit_all([*node.args.defaults, *filter(None, node.args.kw_defaults)], scope)
                self._body([node.body], _Scope("function", _parameters(node.args) | _bindings([node.body])[0], set(), scope))
            case ast.ClassDef():
                self._class(node, scope)
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                self._comprehension(node, scope)
            case ast.AnnAssign():
                self._annotated(node.annotation, scope)
                self._visit_all([node.target, *filter(None, [node.value])], scope)
            case ast.Import():
                for alias in node.names:
                    self.uses.imports.append(Imported(alias.name, (), 0, node.lineno))
            case ast.ImportFrom():
                names = tuple(alias.name for alias in node.names)
                self.uses.imports.append(Imported(node.module or "", names, node.level, node.lineno))
            case _:
                if type(node).__name__ == "TypeAlias":  # 3.12: type X[T] = …
                    scope = self._type_parameters(node, scope)
                self._visit_all(ast.iter_child_nodes(node), scope)

    def _visit_all(self, nodes: Iterable[ast.AST], scope: _Scope) -> None:
        for node in nodes:
            self.visit(node, scope)

    def _name(self, node: ast.Name, path: tuple[str, ...], scope: _Scope) -> None:
        name = node.id
        if not scope.is_global(name) or name == "__class__":
            return
        if not isinstance(node.ctx, ast.Load):
            if scope.kind == "function":
                self.uses.assigned.append((name, node.lineno))
            return
        self._read(name, node.lineno, path)

    def _read(self, name: str, line: int, path: tuple[str, ...]) -> None:
        key = (name, path, self._now, self._annotation)
        if key not in self._seen:
            self._seen.add(key)
            self.uses.reads.append(Read(name, line, path, self._now, self._annotation))

    def _attribute(self, node: ast.Attribute, scope: _Scope) -> None:
        path: list[str] = []
        inner: ast.expr = node
        while isinstance(inner, ast.Attribute):
            path.append(inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name):
            self._name(inner, tuple(reversed(path)), scope)
        else:
            self.visit(inner, scope)

    def _operands(self, node: ast.BinOp, scope: _Scope) -> None:
        """Left-leaning chains are long: a + b + …"""
        operands: list[ast.expr] = []
        inner: ast.expr = node
        while isinstance(inner, ast.BinOp):
            operands.append(inner.right)
            inner = inner.left
        operands.append(inner)
        self._visit_all(reversed(operands), scope)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, scope: _Scope) -> None:
        self._visit_all([*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)], scope)
        outer = self._type_parameters(node, scope)
        arguments = node.args
        for argument in [*arguments.posonlyargs, *arguments.args, arguments.vararg, *arguments.kwonlyargs, arguments.kwarg]:
            if argument is not None and argument.annotation is not None:
                self._annotated(argument.annotation, outer)
        if node.returns is not None:
            self._annotated(node.returns, outer)
        bound, declared = _bindings(node.body)
        inner = _Scope("function", (bound | _parameters(arguments)) - declared, declared, outer)
        for inside in _own_definitions(node) if declared else ():
            if inside.name in declared:
                self.uses.assigned.append((inside.name, inside.lineno))
        self._body(node.body, inner)

    def _body(self, nodes: Iterable[ast.AST], scope: _Scope) -> None:
        before, self._now = self._now, False
        annotation, self._annotation = self._annotation, False
        self._visit_all(nodes, scope)
        self._now, self._annotation = before, annotation

    def _class(self, node: ast.ClassDef, scope: _Scope) -> None:
        self._visit_all(node.decorator_list, scope)
        outer = self._type_parameters(node, scope)
        self._visit_all([*node.bases, *node.keywords], outer)
        own = _Scope("class", {"__module__", "__qualname__"}, _bindings(node.body)[1], outer)
        for statement in node.body:  # in order: a name of the class body is the global one until it is bound
            self.visit(statement, own)
            own.bound |= _bindings([statement])[0]

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp, scope: _Scope) -> None:
        bound = {name.id for generator in node.generators for name in ast.walk(generator.target) if isinstance(name, ast.Name)}
        inner = _Scope("function", bound, set(), scope)
        self.visit(node.generators[0].iter, scope)
        for position, generator in enumerate(node.generators):
            self._visit_all([generator.target, *generator.ifs, *([generator.iter] if position else [])], inner)
        self._visit_all([node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt], inner)

    def _annotated(self, annotation: ast.expr, scope: _Scope) -> None:
        before, self._annotation = self._annotation, True
        self.visit(annotation, scope)
        for text in ast.walk(annotation):
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                try:
                    quoted = parse(text.value, mode="eval").body
                except (SyntaxError, ValueError):
                    continue
                for part in ast.walk(quoted):
                    if isinstance(part, ast.Name) and scope.is_global(part.id):
                        self._read(part.id, text.lineno, ())
        self._annotation = before

    def _type_parameters(self, node: ast.AST, scope: _Scope) -> _Scope:
        parameters: list[ast.AST] = getattr(node, "type_params", [])
        if not parameters:
            return scope
        inner = _Scope("function", {getattr(parameter, "name", "") for parameter in parameters}, set(), scope)
        self._visit_all((child for parameter in parameters for child in ast.iter_child_nodes(parameter)), inner)
        return inner


def _parameters(arguments: ast.arguments) -> set[str]:
    every = [*arguments.posonlyargs, *arguments.args, arguments.vararg, *arguments.kwonlyargs, arguments.kwarg]
    return {argument.arg for argument in every if argument is not None}
