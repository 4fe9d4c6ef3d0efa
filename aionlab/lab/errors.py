"""What a mistake looks like in a notebook.

A real exception (so that nbclient, nbval and *Run All* stop) that shows as the lines its reader can use: one line for a request
that cannot be carried out, the user's own frames for the user's own errors. IPython asks an exception for `_render_traceback_`,
on the instance too, so nothing is lost: the class, its attributes and `except` work as everywhere.
"""
from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from aionlab.core.errors import AionError, OutcomeError, UsageError
from aionlab.core.failure import Failure

if TYPE_CHECKING:
    from .shell import Shell

LINE = "<aionlab line>"
"""The file name of an expression in a magic's line."""

E = TypeVar("E", bound=BaseException)

class LineError(UsageError, ValueError):
    """The line of a magic cannot be read as it stands; the text says how to write it."""


class CellSyntaxError(UsageError):
    """The body of a cell is not Python; `lines` are the user's lines and where it went wrong."""

    def __init__(self, message: str, lines: tuple[str, ...] = ()) -> None:
        super().__init__(message, lines)
        self.message, self.lines = message, lines

    def __str__(self) -> str:
        return self.message


class NotSettled(AionError, TimeoutError):
    """The wait for the engine to be idle ended; what moves goes on."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return f"something still moves after {self.seconds:g} s; %tree shows what"


def render_as(error: E, lines: Callable[[], list[str]]) -> E:
    """The same error, shown as these lines."""
    try:
        error._render_traceback_ = lines  # type: ignore[attr-defined]  # IPython's protocol; any exception with a __dict__ takes it
    except AttributeError:
        pass
    return error


def one_line(error: E, message: str | None = None, colour: bool = True) -> E:
    """The error shown as its name and message alone."""
    return render_as(error, lambda: _headline(type(error).__name__, str(error) if message is None else message, colour))


def _headline(name: str, message: str, colour: bool) -> list[str]:
    shown = f"\x1b[31m{name}\x1b[39m" if colour else name
    return [f"{shown}: {message}"]


def coloured(shell: Shell) -> bool:
    """Whether the notebook shows errors in colour."""
    return str(shell.colors).lower() not in ("nocolor", "no-color")


def show_here(error: BaseException, shell: Shell, cell: str | None = None) -> BaseException:
    """The error as a magic lets it out: ours in one line, an outcome with the workflow's own frames, anything else with the frames
    from the user's code on (`cell`: file name of the cell whose body ran)."""
    if "_render_traceback_" in vars(error):
        return error
    colour = coloured(shell)
    match error:
        case CellSyntaxError():
            return render_as(error, lambda: [*error.lines, *_headline("SyntaxError", error.message, colour)])
        case OutcomeError():
            return render_as(error, lambda: [*_outcome(error), *_headline(type(error).__name__, str(error), colour)])
        case AionError():
            return one_line(error, colour=colour)
        case KeyboardInterrupt():
            return one_line(error, str(error) or "stopped", colour)
        case _:
            return render_as(error, lambda: _user_frames(error, shell, cell))


def install(shell: Shell) -> None:
    """From now on our errors also show without our own frames when they leave plain Python, `h.result()` or `lab.start(…)`."""

    def render(error: AionError) -> list[str]:
        return _in_cell(error, shell)

    AionError._render_traceback_ = render  # type: ignore[attr-defined]


def uninstall() -> None:
    if "_render_traceback_" in vars(AionError):
        del AionError._render_traceback_  # type: ignore[attr-defined]


def _in_cell(error: AionError, shell: Shell) -> list[str]:
    """The user's frames down to the call of ours, the workflow's own frames, the message."""
    frames = _without_ours(error.__traceback__)
    lines: list[str] = []
    if frames is not None:
        # A stand-in, because the cause would be drawn too, and its frames are in the record.
        shown = shell.InteractiveTB.structured_traceback(type(error), Exception(str(error)), frames, tb_offset=0)
        lines = list(shown[:-1])
    if isinstance(error, OutcomeError):
        lines += _outcome(error)
    return lines + _headline(type(error).__name__, str(error), coloured(shell))


def _without_ours(frames: TracebackType | None) -> TracebackType | None:
    if frames is None:
        return None
    rest = _without_ours(frames.tb_next)
    if _module(frames) in _OURS:
        return rest
    return TracebackType(rest, frames.tb_frame, frames.tb_lasti, frames.tb_lineno)


_OURS = ("aionlab", "IPython", "ipykernel", "traitlets")


def _module(frames: TracebackType) -> str:
    return str(frames.tb_frame.f_globals.get("__name__", "")).partition(".")[0]


def _outcome(error: OutcomeError) -> list[str]:
    failure = getattr(error, "failure", None)
    lines: list[str] = []
    while isinstance(failure, Failure):
        if failure.traceback:
            lines[:0] = [*failure.traceback.rstrip("\n").splitlines(), ""]
        failure = failure.cause
    return lines


def _user_frames(error: BaseException, shell: Shell, cell: str | None) -> list[str]:
    frames = user_traceback(error.__traceback__, cell)
    if frames is None and innermost_file(error) == LINE:
        return _headline(type(error).__name__, str(error), coloured(shell))
    if frames is None:  # a bug of ours: all of it
        frames = error.__traceback__
    lines: Any = shell.InteractiveTB.structured_traceback(type(error), error, frames, tb_offset=0)
    return list(lines)


def innermost_file(error: BaseException) -> str:
    """The file name the error was raised in, "" when it was never raised."""
    frames = error.__traceback__
    while frames is not None and frames.tb_next is not None:
        frames = frames.tb_next
    return "" if frames is None else frames.tb_frame.f_code.co_filename


def user_traceback(frames: TracebackType | None, cell: str | None = None) -> TracebackType | None:
    """The traceback from the first frame of the user's code on: that of `cell`, else the first after ours and IPython's; None when
    the error did not pass through any."""
    if cell is not None:
        at = frames
        while at is not None:
            if at.tb_frame.f_code.co_filename == cell:
                return at
            at = at.tb_next
    at, inside = frames, False
    while at is not None:
        ours = _module(at) in _OURS
        if inside and not ours and at.tb_frame.f_code.co_filename != LINE:
            return at
        inside = inside or _module(at) == "aionlab"
        at = at.tb_next
    return None
