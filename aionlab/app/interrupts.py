"""Interrupts held back while something is handed to the engine, so that what came of it can be told.

Python raises KeyboardInterrupt between any two instructions of the main thread. Between handing a call in and learning what became of it
that would lose the answer; there an interrupt is only noted, wakes the wait, and is delivered when it is known what to say. What is
held is short: the engine's answer to a verb, never a wait for a result.
"""
from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any


class Hold:
    """`with Hold() as hold:` an interrupt inside sets `came` and rings `wake`. On the way out it goes where it would have gone, and
    when that raises KeyboardInterrupt, the error says `says` and carries `facts`. Outside of the main thread, where no interrupt
    arrives, it does nothing, and neither does one that is not `held`."""

    def __init__(self, held: bool = True) -> None:
        self._held = held
        self.came = False
        self.wake: Callable[[], None] | None = None
        self.says = ""
        self.facts: dict[str, Any] = {}
        self._before: Any = None

    def __enter__(self) -> Hold:
        if self._held and threading.current_thread() is threading.main_thread():
            before = signal.getsignal(signal.SIGINT)
            if callable(before):
                self._before = before
                signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, number: int, frame: Any) -> None:
        self.came = True
        if self.wake is not None:
            self.wake()

    def check(self, _: float = 0.0) -> None:
        """Raise KeyboardInterrupt here if one came."""
        if self.came:
            raise KeyboardInterrupt

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, KeyboardInterrupt):
            self._tell(error)
        if self._before is None:
            return
        signal.signal(signal.SIGINT, self._before)
        if self.came and not isinstance(error, KeyboardInterrupt):
            try:
                self._before(signal.SIGINT, None)
            except KeyboardInterrupt as stop:
                self._tell(stop)
                raise stop from error

    def _tell(self, stop: KeyboardInterrupt) -> None:
        if self.says and not stop.args:
            stop.args = (self.says,)
        for name, value in self.facts.items():
            setattr(stop, name, value)
