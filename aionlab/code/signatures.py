"""The signature of a definition as source text: what a package keeps of the activities and workflows it calls by name."""
from __future__ import annotations

import ast
import types
from collections.abc import Mapping
from typing import Any

from .ledger import Ledger, Statement
from .package import InnerNode, bare_function, inner_candidates


def signature_of(value: Any, fn: Any, kind: str, namespace: Mapping[str, Any], ledger: Ledger) -> tuple[str, Statement | None]:
    """The signature as source, defaults left open; the statement it came from where its annotations mean the namespace's names."""
    word = "async def" if kind == "workflow" else "def"
    label = value.name if str(value.name).isidentifier() else "definition"
    if isinstance(fn, types.FunctionType):
        code = fn.__code__
        statement = ledger.statement_at(code.co_filename, code.co_firstlineno)
        nodes = list(inner_candidates(statement.node, code.co_name, code.co_firstlineno)) if statement is not None else []
        if statement is not None and nodes:
            ours = fn.__globals__ is namespace
            return _signature_text(word, label, nodes[0], with_annotations=ours), statement if ours else None
    parameters = []
    for parameter in getattr(getattr(value, "signature", None), "parameters", {}).values():
        default = ... if parameter.default is not parameter.empty else parameter.empty
        parameters.append(parameter.replace(annotation=parameter.empty, default=default))
    inside = ", ".join(str(parameter).replace("Ellipsis", "...") for parameter in parameters) or "*args, **kwargs"
    return f"{word} {label}({inside})", None


def _signature_text(word: str, label: str, node: InnerNode, with_annotations: bool) -> str:
    bare = bare_function(node)
    arguments = bare.args
    for default in [*arguments.defaults, *filter(None, arguments.kw_defaults)]:
        if isinstance(default, ast.Constant):
            default.value = ...
    if not with_annotations:
        copied = [ast.arg(arg=a.arg) for a in arguments.args]
        arguments = ast.arguments(
            posonlyargs=[ast.arg(arg=a.arg) for a in arguments.posonlyargs], args=copied,
            vararg=ast.arg(arg=arguments.vararg.arg) if arguments.vararg else None,
            kwonlyargs=[ast.arg(arg=a.arg) for a in arguments.kwonlyargs], kw_defaults=arguments.kw_defaults,
            kwarg=ast.arg(arg=arguments.kwarg.arg) if arguments.kwarg else None, defaults=arguments.defaults,
        )
    returns = getattr(bare, "returns", None) if with_annotations else None
    return f"{word} {label}({ast.unparse(arguments)})" + (f" -> {ast.unparse(returns)}" if returns is not None else "")
