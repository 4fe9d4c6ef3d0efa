"""The body of a `%%workflow` cell: run as the cell it is, so that tracebacks and `inspect.getsource` are those of a cell.

The body is compiled through IPython's own cache under a name of its own, one line lower than it stands (the magic's line above it
counts), and executed in the notebook's names.
"""
from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

from aionlab.core.errors import AionError

from .errors import CellSyntaxError, LineError, coloured, one_line, show_here, user_traceback

if TYPE_CHECKING:
    from .shell import Shell


class CellLedger(Protocol):
    """What remembers the source of every cell."""

    def note_cell(self, source: str, filename: str, namespace: Mapping[str, Any], label: str = "") -> None: ...


@dataclass(frozen=True, slots=True)
class Cell:
    """A body that was run."""

    filename: str
    names: tuple[str, ...]
    """Names its top-level statements bind, in order."""
    plain: tuple[str, ...]
    """Those bound by an undecorated `def`."""


def run(shell: Shell, body: str, ledger: CellLedger) -> Cell:
    """Run the body in the notebook's names.

    Raises CellSyntaxError, or what the body raises, shown with the body's own frames.
    """
    number = _number(shell)
    source = _source(shell, body, number)
    filename = shell.compile.cache(source, number, raw_code=source)
    try:
        tree = shell.compile.ast_parse(source, filename)
        tree = shell.transform_ast(tree)
        code = shell.compile(tree, filename, "exec")
    except (SyntaxError, ValueError) as error:
        raise _syntax(error, number) from None
    try:
        exec(code, shell.user_ns)
    except BaseException as error:  # noqa: BLE001 - raised again, as what the user's body raised
        frames = user_traceback(error.__traceback__, filename)
        if isinstance(error, AionError) and frames is not None:
            raise one_line(error, f"{error} (line {_innermost(frames, filename)})", coloured(shell)) from error.__cause__
        raise show_here(error, shell, filename) from error.__cause__
    ledger.note_cell(source, filename, shell.user_ns, f"In[{number}]")
    return Cell(filename, _bound(tree), _plain(tree))


def _source(shell: Shell, body: str, number: int) -> str:
    """The body as Python, each line at its number in the cell: below the magic's line and the blank lines IPython drops."""
    lines = body.split("\n")
    blank = next((count for count, text in enumerate(lines) if text.strip()), 0)
    try:
        return "\n" * (blank + 1) + shell.transform_cell(body)
    except SyntaxError as error:
        raise _syntax(error, number, blank + 1) from None


def _number(shell: Shell) -> int:
    """n of the `In[n]` that runs now. IPython counts on before a cell runs, so the count does not say; the cell's frame does."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        found = re.fullmatch(r"In\[(\d+)\]", (shell.compile.format_code_name(frame.f_code.co_filename) or ("", ""))[1])
        if found is not None:
            return int(found[1])
        frame = frame.f_back
    return shell.execution_count


def _syntax(error: SyntaxError | ValueError, number: int, lower: int = 0) -> CellSyntaxError:
    if not isinstance(error, SyntaxError):
        return CellSyntaxError(str(error))
    message = error.msg
    if "'await' outside function" in message:
        message = "await stands in an `async def`; a %%workflow cell only defines, so await in the next cell"
    lines = [f"  Cell In[{number}], line {(error.lineno or 0) + lower}"]
    if error.text:
        text = error.text.rstrip("\n")
        shown = text.lstrip()
        lines.append(f"    {shown}")
        if error.offset:
            lines.append("    " + " " * max(0, error.offset - 1 - (len(text) - len(shown))) + "^")
    return CellSyntaxError(message, tuple(lines))


def _innermost(frames: Any, filename: str) -> int:
    line = 0
    while frames is not None:
        if frames.tb_frame.f_code.co_filename == filename:
            line = frames.tb_lineno
        frames = frames.tb_next
    return line


def _bound(tree: ast.AST) -> tuple[str, ...]:
    names: list[str] = []
    for node in getattr(tree, "body", ()):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.append(name)
            case ast.Assign(targets=targets):
                names += [target.id for target in targets if isinstance(target, ast.Name)]
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.append(name)
            case _:
                pass
    return tuple(names)


def _plain(tree: ast.AST) -> tuple[str, ...]:
    return tuple(node.name for node in getattr(tree, "body", ()) if isinstance(node, ast.FunctionDef) and not node.decorator_list)


def workflows(cell: Cell, user_ns: dict[str, Any], name: str | None = None) -> list[Any]:
    """The workflows a cell defined, the cell's own last; an undecorated `async def` becomes one when it is named, or when there is
    no other.

    Raises LineError when the cell has none (of that name).
    """
    from aionlab.authoring.faces import workflow

    found = {bound: user_ns[bound] for bound in cell.names if getattr(user_ns.get(bound), "aion_kind", None) == "workflow"}
    coroutines = [bound for bound in cell.names if bound not in found and _is_async(user_ns.get(bound))]
    if name is None:
        chosen = next(reversed(found), None) or (coroutines[-1] if coroutines else None)
    else:
        chosen = next((bound for bound in (*found, *coroutines) if bound == name), None)
        chosen = chosen or next((bound for bound, value in found.items() if value.name == name), None)
    if chosen is None:
        raise LineError(_none(name, [*found, *coroutines], cell.plain))
    if chosen not in found:
        user_ns[chosen] = workflow(user_ns[chosen])
    others = [value for bound, value in found.items() if bound != chosen]
    return [*others, user_ns[chosen]]


def _is_async(value: object) -> bool:
    return inspect.isfunction(value) and inspect.iscoroutinefunction(value)


def _none(name: str | None, known: list[str], plain: tuple[str, ...]) -> str:
    if name is not None and name in plain:
        return f"{name} is a plain function; make it `async def {name}(…)`"
    if name is not None:
        return f"the cell defines no workflow {name!r}; it defines {', '.join(known) or 'none'}"
    if plain:
        return f"{plain[-1]} is a plain function; make it `async def {plain[-1]}(…)`"
    return "the cell defines no workflow; write one: async def order(n): …"
