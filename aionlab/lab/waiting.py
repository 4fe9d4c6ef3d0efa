"""Waiting in a cell: interruptible, never in the engine's way, and not silent for long.

The waits themselves are the app's (short `SimpleQueue.get(timeout=…)` loops, so that no lock is shared with the engine); here they
get a voice: after a while one line says what the run waits for, and an interrupt says that the run goes on.
"""
from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any

from aionlab.app.hosts import ThreadHost
from aionlab.core.errors import ResultTimeout

from .errors import NotSettled

if TYPE_CHECKING:
    from aionlab.app.handle import Handle
    from aionlab.app.lab import Lab
    from aionlab.app.updates import Update


@dataclass(frozen=True, slots=True)
class Notice:
    """When a wait speaks up, and how."""

    after: float
    """Seconds; 0 for never."""
    say: Callable[[str], None]


def result(handle: Handle | Update, timeout: float | None, notice: Notice) -> Any:
    """The result of a run or an update. Raises ResultTimeout after `timeout` seconds, or the run's outcome."""
    quiet = notice.after if notice.after > 0 and (timeout is None or timeout > notice.after) else None
    try:
        if quiet is None:
            return handle.result(timeout=timeout)
        try:
            return handle.result(timeout=quiet)
        except ResultTimeout as waited:
            notice.say(line(handle.id, waited.waiting_for))
        try:
            return handle.result(timeout=None if timeout is None else timeout - quiet)
        except ResultTimeout as waited:
            raise ResultTimeout(handle.id, timeout or 0, waited.waiting_for) from None
    except KeyboardInterrupt as stop:
        stop.args = (f"the wait stopped; {handle.id} goes on",)
        raise


def settle(lab: Lab, timeout: float | None, notice: Notice) -> None:
    """Wait until the engine is idle. Raises NotSettled after `timeout` seconds."""
    quiet = notice.after if notice.after > 0 and (timeout is None or timeout > notice.after) else None
    try:
        if quiet is None:
            settled = lab.settle(timeout)
        elif not (settled := lab.settle(quiet)):
            notice.say("not settled yet · ■ stops waiting, not the runs")
            settled = lab.settle(None if timeout is None else timeout - quiet)
        if not settled:
            raise NotSettled(timeout or 0)
    except KeyboardInterrupt as stop:
        stop.args = ("the wait stopped; the runs go on",)
        raise


def stop() -> None:
    """End the wait the main thread is in; what it does between waits goes on. For a signal handler that holds interrupts back."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code is ThreadHost.wait.__code__:
            raise KeyboardInterrupt
        frame = frame.f_back


def line(workflow_id: str, waiting_for: str) -> str:
    """What a long wait says, once."""
    return f"{workflow_id} {f'waits for {waiting_for}' if waiting_for else 'is at work'} · ■ stops waiting, not the run"
