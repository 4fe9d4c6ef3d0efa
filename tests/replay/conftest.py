"""A process without an engine: facts in, answers out."""
from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from aionlab.authoring.definitions import Activity
from aionlab.core import events as e
from aionlab.core.clock import Micros
from aionlab.core.events import Recorded, is_fact
from aionlab.core.payload import hints_of
from aionlab.core.values import values_for
from aionlab.replay.process import Code, Process
from aionlab.replay.rebuild import rebuild

SECOND = 1_000_000
BEGUN = Micros(1_577_836_800_000_000)
VALUES = values_for(None)
act: Activity[..., Any] = Activity(None, "act")


class Stepper:
    """One run of a function. Each fact returns its answers; `history` is what an engine would have recorded."""

    def __init__(self, function: Callable[..., Any], *args: Any, seed: int = 7) -> None:
        self.code = Code(function.__name__, "v1", function, hints_of(function), VALUES)
        self.started = e.WorkflowStarted(function.__name__, "v1", VALUES.encode_args(args, {}), seed, "3.11")
        self.at = BEGUN
        self.history: list[Recorded] = []
        self.process = self.make()
        self.answers = self.fact(self.started)

    def make(self, trace: bool = False) -> Process:
        return Process(self.code, self.started, "w", "r", BEGUN, None, trace)

    def fact(self, event: e.Event, at: int | None = None) -> list[e.Event]:
        self.at = Micros(self.at if at is None else BEGUN + at)
        answers = self.process.deliver(event, self.at)
        for one in (event, *answers):
            self.history.append(Recorded(len(self.history) + 1, self.at, "w", "r", one))
        self.answers = answers
        return answers

    def done(self, number: int, value: Any = None) -> list[e.Event]:
        return self.fact(e.ActivityCompleted(number, VALUES.encode(value)))

    def fire(self, number: int, at: int | None = None) -> list[e.Event]:
        return self.fact(e.TimerFired(number), at)

    def signal(self, name: str, value: Any = None) -> list[e.Event]:
        return self.fact(e.SignalReceived(name, VALUES.encode(value)))

    def cancel(self) -> list[e.Event]:
        return self.fact(e.WorkflowCancelRequested())

    @property
    def result(self) -> Any:
        """What the run returned; the type of what it raised, as text."""
        last = self.history[-1].event
        if isinstance(last, e.WorkflowCompleted):
            return VALUES.decode(last.result)
        if isinstance(last, e.WorkflowFailed):
            return last.error.name
        return type(last).__name__

    def replays(self) -> bool:
        """Every prefix that ends with a step asks for exactly what is recorded."""
        ends = [at for at, recorded in enumerate(self.history) if is_fact(recorded.event)] + [len(self.history)]
        for end in ends[1:]:
            rebuild(self.make, self.history[:end]).process.close()
        return True


@pytest.fixture
def step() -> Iterator[Callable[..., Stepper]]:
    """Makes steppers; afterwards their runs are dropped, each history replays, and nothing was left to the garbage collector."""
    made: list[Stepper] = []
    heard: list[object] = []

    def make(function: Callable[..., Any], *args: Any, seed: int = 7) -> Stepper:
        made.append(Stepper(function, *args, seed=seed))
        return made[-1]

    hook, sys.unraisablehook = sys.unraisablehook, heard.append
    try:
        yield make
        for stepper in made:
            stepper.process.close()
            assert stepper.replays()
        made.clear()
        gc.collect(1)  # what a test has made is young
    finally:
        sys.unraisablehook = hook
    assert heard == []
