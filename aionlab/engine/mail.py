"""What a run's history says of the messages that somebody still waits for."""
from __future__ import annotations

from aionlab.core import events as e


class Mail:
    """Updates by id, and the signals sent to other runs that are not acknowledged. A run has one from its first update or send on."""

    __slots__ = ("sends", "updates")

    def __init__(self) -> None:
        self.updates: dict[str, bool] = {}
        """Whether the update is completed."""
        self.sends: dict[int, e.SignalSent] = {}

    def fold(self, event: e.SignalSent | e.SignalDelivered | e.SignalUndelivered | e.UpdateAccepted | e.UpdateCompleted) -> None:
        match event:
            case e.UpdateAccepted(update_id=name):
                self.updates[name] = False
            case e.UpdateCompleted(update_id=name):
                self.updates[name] = True
            case e.SignalSent(send_id=number):
                self.sends[number] = event
            case e.SignalDelivered(send_id=number) | e.SignalUndelivered(send_id=number):
                self.sends.pop(number, None)
