"""Lines of the user's code: where something was asked for, and where a coroutine waits."""
from __future__ import annotations

import os
import sys
from types import FrameType
from typing import Any

_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_ASYNCIO = os.path.dirname(os.path.abspath(sys.modules["asyncio"].__file__ or "")) + os.sep


def is_users(filename: str) -> bool:
    """Whether a file is the user's, not aionlab's or asyncio's."""
    return not filename.startswith((_OURS, _ASYNCIO)) and not filename.startswith("<frozen")


def asked_here() -> str:
    """"file:line, in function" of the innermost frame of the user's code within the run; empty when there is none (a task made of an
    activity alone has no line of its own)."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if is_users(frame.f_code.co_filename):
            return spot(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
        if frame.f_code.co_name == "drain" and frame.f_code.co_filename.startswith(_OURS):
            return ""
        frame = frame.f_back
    return ""


def awaited_at(task: Any) -> tuple[str, object]:
    """Where a suspended task waits: ("file:line, in function" of its innermost user frame, the future it waits on)."""
    source = ""
    waits_on: Any = task.get_coro()
    while waits_on is not None:
        frame = getattr(waits_on, "cr_frame", None) or getattr(waits_on, "gi_frame", None) or getattr(waits_on, "ag_frame", None)
        if frame is not None and is_users(frame.f_code.co_filename):
            source = spot(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
        inner = getattr(waits_on, "cr_await", None)
        if inner is None:
            inner = getattr(waits_on, "gi_yieldfrom", None) or getattr(waits_on, "ag_await", None)
        if inner is None:
            break
        waits_on = inner
    waiter = getattr(task, "_fut_waiter", None)
    return source, waiter if waiter is not None else waits_on


def spot(filename: str, line: int, function: str) -> str:
    return f"{filename}:{line}, in {function}"
