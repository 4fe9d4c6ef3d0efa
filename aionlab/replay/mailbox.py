"""Signals of one name that wait for the code, and the receives that wait for signals: strictly first come, first served."""
from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from aionlab.core.events import Payload

if TYPE_CHECKING:
    from .loop import WorkflowFuture, WorkflowLoop


class Mailbox:
    """The k-th receive takes the k-th signal. A receive takes its signal when it runs, so one that is cancelled before that consumes nothing."""

    __slots__ = ("_loop", "signals", "waiting")

    def __init__(self, loop: WorkflowLoop) -> None:
        self._loop = loop
        self.signals: deque[Payload] | tuple[()] = ()
        """A deque while there is any; an empty one takes 760 bytes, in every parked run."""
        self.waiting: list[WorkflowFuture] = []

    def put(self, payload: Payload) -> None:
        if not self.signals:
            self.signals = deque()
        self.signals.append(payload)
        self._wake()

    def take(self) -> Payload:
        """The first signal; only while there is one."""
        assert self.signals
        payload = self.signals.popleft()
        if not self.signals:
            self.signals = ()
        return payload

    async def get(self) -> Payload:
        if self.signals and not self.waiting:
            return self.take()
        turn = self._loop.create_future()
        self.waiting.append(turn)
        try:
            self._wake()
            await turn
            return self.take()
        finally:
            self.waiting.remove(turn)
            if not self._loop.closing:
                self._wake()

    def _wake(self) -> None:
        """Wake as many of the first waiters as there are signals."""
        for turn, _ in zip(self.waiting, self.signals, strict=False):
            if not turn.done():
                turn.set_result(None)
