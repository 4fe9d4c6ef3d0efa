"""Signals of one name that wait for the code, and the receives that wait for signals: strictly first come, first served."""
from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from aionlab.core.errors import InvalidPayload
from aionlab.core.events import Payload

if TYPE_CHECKING:
    from .loop import WorkflowFuture
    from .process import Process


class Mailbox:
    """The k-th receive takes the k-th signal. A receive takes its signal when it runs, so one that is cancelled before that consumes nothing."""

    __slots__ = ("_process", "name", "signals", "waiting")

    def __init__(self, process: Process, name: str) -> None:
        self._process = process
        self.name = name
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

    async def get(self, into: Any) -> Any:
        """The next signal that fits the type `into`; those before it that do not are dropped. A receive that drops one keeps its place."""
        if not self.waiting:
            while self.signals:
                try:
                    return self._process.opened(self.name, self.take(), into)
                except InvalidPayload:
                    continue
        turn = self._process.create_future()
        self.waiting.append(turn)
        try:
            self._wake()
            while True:
                await turn
                while self.signals:
                    try:
                        return self._process.opened(self.name, self.take(), into)
                    except InvalidPayload:
                        continue
                again = self._process.create_future()
                self.waiting[self.waiting.index(turn)] = turn = again
        finally:
            self.waiting.remove(turn)
            if not self._process.closing:
                self._wake()

    def _wake(self) -> None:
        """Wake as many of the first waiters as there are signals."""
        for turn, _ in zip(self.waiting, self.signals, strict=False):
            if not turn.done():
                turn.set_result(None)


Boxes = Mailbox | dict[str, Mailbox] | None
"""The mailboxes of a run: most have one, and a dict is larger than it."""


def boxes_of(boxes: Boxes) -> tuple[Mailbox, ...]:
    return () if boxes is None else (boxes,) if isinstance(boxes, Mailbox) else tuple(boxes.values())


def box_named(boxes: Boxes, name: str) -> Mailbox | None:
    if isinstance(boxes, Mailbox):
        return boxes if boxes.name == name else None
    return None if boxes is None else boxes.get(name)


def with_box(boxes: Boxes, box: Mailbox) -> Boxes:
    """The mailboxes with one more."""
    if boxes is None:
        return box
    if isinstance(boxes, Mailbox):
        return {boxes.name: boxes, box.name: box}
    boxes[box.name] = box
    return boxes
