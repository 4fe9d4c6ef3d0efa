"""What a workflow may not use, said so that its author knows the way out."""
from __future__ import annotations

import builtins
import io
import types
from typing import Any, NamedTuple

from aionlab.core.classes import spelled
from aionlab.core.errors import shorten

from .modules import user_module

FORBIDDEN = {
    "globals": "name what it uses instead",
    "locals": "name what it uses instead",
    "vars": "use the attributes by name, or dataclasses.asdict",
    "eval": "write the code as a function",
    "exec": "write the code as a function",
    "get_ipython": "do it in a cell, or in an activity",
    "display": "show things from a cell; workflow.set_details puts text on the run's card",
}
"""Names whose use would make code depend on what is not in its package."""
_FORBIDDEN_BUILTINS = {id(getattr(builtins, name)): name for name in ("globals", "locals", "vars", "eval", "exec")}
VALUE_LIMIT = 1024 * 1024
"""Bytes of a global kept by value."""


class Finding(NamedTuple):
    """One thing that stands in the way; sorts by where it is."""

    file: int
    line: int
    text: str


def forbidden(name: str, value: Any, defined: bool) -> str | None:
    """Which forbidden name this is, if any; a function of the user's own of that name is none."""
    if defined:
        if id(value) in _FORBIDDEN_BUILTINS:
            return _FORBIDDEN_BUILTINS[id(value)]
        return name if name in ("get_ipython", "display") and of_the_shell(value) else None
    return name if name in FORBIDDEN else None


def of_the_shell(value: Any) -> bool:
    """Whether IPython put it into the namespace."""
    return str(getattr(value, "__module__", "") or "").partition(".")[0] in ("IPython", "ipykernel")


def not_allowed(name: str, line: str) -> str:
    return f"{name}() ({line}) reaches outside the workflow's stored code: {FORBIDDEN[name]}"


def undefined(name: str, line: str) -> str:
    return f"{name} ({line}) is not defined: run the cell that defines it, or check the spelling"


def assigned(name: str, line: str) -> str:
    return f"{name} is a global that the code assigns ({line}): return it, or keep it in a local variable or an object you pass along"


def too_large(name: str, value: Any, size: int, line: str) -> str:
    return (
        f"{name} ({spelled(type(value))}, {line}) takes {size:,} bytes, over the {VALUE_LIMIT:,} a version keeps of a global: "
        "pass it as an argument or load it in an activity"
    )


def not_kept(name: str, path: str, value: Any, why: str, line: str) -> str:
    """A global that can neither be copied nor made again."""
    what = f"{name}{path} ({_type_name(value)}, {line})"
    reason, way_out = _explained(name, value, why)
    return f"{what} {reason}: {way_out}"


def _type_name(value: Any) -> str:
    if isinstance(value, types.ModuleType):
        return f"module {value.__name__}"
    if isinstance(value, type):
        return f"class {value.__qualname__}"
    if isinstance(value, types.FunctionType | types.BuiltinFunctionType | types.MethodType):
        return f"function {getattr(value, '__qualname__', '?')}"
    return spelled(type(value))


def _explained(name: str, value: Any, why: str) -> tuple[str, str]:
    kind = type(value)
    origin = f"{kind.__module__}.{kind.__qualname__}"
    if getattr(kind, "aion_kind", None) in ("workflow", "activity") and "with options" in why:
        return why, f"call {value.name}.with_options(…) inside the workflow"
    if origin.startswith(("pandas.", "polars.", "numpy.")):
        return "is data, which a version does not keep", f"pass it as an argument: %start …({name}), or load it in an activity"
    if origin.startswith("aionlab."):
        return "is the lab's own and works in cells only", "inside a workflow use workflow.… and the handles it gives"
    if isinstance(value, io.IOBase):
        return "is an open file", "open it in an activity and return what was read"
    if isinstance(value, types.FunctionType):
        return why or "has no source that can be stored", "define it in a cell or a .py file, or use it in an activity"
    if isinstance(value, type):
        return why or "has no source that can be stored", "define it at the top level of a cell or a .py file"
    if isinstance(value, types.MethodType | types.BuiltinFunctionType):
        owner = getattr(value, "__self__", None)
        return f"is a method of {shorten(owner, 40)}", "write a function that makes the object itself, or use it in an activity"
    if isinstance(value, types.ModuleType):
        return why or "cannot be imported again", "put it in a .py file that can be imported"
    if isinstance(value, types.GeneratorType | types.CoroutineType | types.AsyncGeneratorType):
        return "can run only once", "make it inside the workflow"
    if why:
        return why, "make it inside the workflow, or in an activity"
    if kind.__module__ == "__main__" or user_module(kind.__module__) is not None:
        return "is an object of a plain class", f"make it inside the workflow, or make {kind.__qualname__} a dataclass"
    if kind.__module__.partition(".")[0] in _OUTSIDE:
        return "holds something outside the program", "make it and use it in an activity"
    return "is no plain value", "make it inside the workflow, or in an activity when it holds something outside the program"


_OUTSIDE = frozenset(
    "sqlite3 socket ssl http urllib httpx requests aiohttp boto3 botocore openai anthropic psycopg psycopg2 pymongo redis sqlalchemy "
    "threading _thread multiprocessing concurrent asyncio subprocess io _io".split()
)
