"""The statement behind a live object, and what its form says: which decorators define it, which of several functions is meant."""
from __future__ import annotations

import ast
import contextvars
import functools
import operator
import types
import typing
from collections.abc import Mapping
from typing import Any

from aionlab.authoring.faces import ActivityFace, WorkflowFace

from .imports import plain_attribute
from .ledger import Ledger, Statement
from .package import InnerNode

_KINDS: tuple[Any, ...] = (
    functools.partial,
    functools.partialmethod,
    type(functools.lru_cache(lambda: None)),
    operator.itemgetter,
    operator.attrgetter,
    operator.methodcaller,
    contextvars.ContextVar,
    typing.TypeVar,
    typing.ParamSpec,
    typing.TypeVarTuple,
    typing.NewType,
    types.GenericAlias,
    types.UnionType,
    *filter(None, [getattr(typing, name, None) for name in ("_GenericAlias", "_BaseGenericAlias", "TypeAliasType", "ForwardRef")]),
)
_KINDS_NAMED = frozenset({"pydantic.type_adapter.TypeAdapter"})
_ABSENT: Any = object()


def only_by_statement(value: Any) -> bool:
    """Whether only its statement can make it again: a partial, a type variable, a cached function …"""
    return isinstance(value, _KINDS) or type(value) is object or f"{type(value).__module__}.{type(value).__qualname__}" in _KINDS_NAMED


def made_by(value: Any, name: str | None, namespace: Mapping[str, Any], ledger: Ledger) -> tuple[Statement, str] | None:
    """The statement that made a live object, and the name it has there; None when its source is not known."""
    wrapped = getattr(value, "__wrapped__", None)
    if isinstance(wrapped, types.FunctionType) and wrapped.__globals__ is namespace:
        statement = ledger.statement_at(wrapped.__code__.co_filename, wrapped.__code__.co_firstlineno)
        if statement is not None and wrapped.__name__ in statement.binds and "<locals>" not in wrapped.__qualname__:
            return statement, wrapped.__name__
    for candidate in (name, getattr(value, "__name__", None)):
        if isinstance(candidate, str) and namespace.get(candidate, _ABSENT) is value:
            statement = ledger.statement_of(namespace, candidate)
            if statement is not None and not isinstance(statement.node, ast.Import | ast.ImportFrom):
                return statement, candidate
    return None


def class_statement(cls: type, root: str, namespace: Mapping[str, Any], ledger: Ledger) -> Statement | None:
    """The class statement that holds one of the class's methods: right even when the name was given away since."""
    for member in vars(cls).values():
        fn = getattr(member, "__func__", None) or getattr(member, "fget", None) or member
        if isinstance(fn, types.FunctionType) and fn.__globals__ is namespace and fn.__qualname__.startswith(cls.__qualname__ + "."):
            statement = ledger.statement_at(fn.__code__.co_filename, fn.__code__.co_firstlineno)
            if statement is not None and isinstance(statement.node, ast.ClassDef) and statement.node.name == root:
                return statement
    return None


def decorated(statement: Statement, name: str | None) -> bool:
    """Whether it defines that very name under decorators, so that the name may mean something else than the function."""
    node = statement.node
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == name and bool(node.decorator_list)


def definer(node: ast.FunctionDef | ast.AsyncFunctionDef, namespace: Mapping[str, Any]) -> int:
    """How many leading decorators go with the definition: up to and including `@workflow` or `@activity`."""
    for index, decorator in enumerate(node.decorator_list):
        target = decorator.func if isinstance(decorator, ast.Call) else decorator
        path: list[str] = []
        while isinstance(target, ast.Attribute):
            path.append(target.attr)
            target = target.value
        if isinstance(target, ast.Name):
            found = namespace.get(target.id)
            for part in reversed(path):
                found = plain_attribute(found, part)
            if isinstance(found, WorkflowFace | ActivityFace):
                return index + 1
    return 0


def lambda_name(node: ast.stmt) -> str | None:
    """The name of a statement `name = lambda …`."""
    match node:
        case ast.Assign(targets=[ast.Name(id=name), *_], value=ast.Lambda()):
            return name
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.Lambda()):
            return name
        case _:
            return None


def which(nodes: list[InnerNode], code: types.CodeType) -> int:
    """Which of several functions that begin on one line was compiled to this code."""
    if len(nodes) == 1:
        return 0
    for index, node in enumerate(nodes):
        wanted = (node.col_offset, node.end_col_offset)
        columns = [(start, end) for _, _, start, end in code.co_positions() if start is not None and end is not None and end > 0]
        if columns and all(start >= wanted[0] and end <= (wanted[1] or end) for start, end in columns):
            return index
    return 0
