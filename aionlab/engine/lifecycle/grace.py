"""Grace: the time a run has to clean up after a cancel, kept as a durable timer. A run that has not ended by then is terminated."""
from __future__ import annotations

from typing import TYPE_CHECKING

from aionlab.core import events as e
from aionlab.core.clock import Micros
from aionlab.core.durations import spell
from aionlab.core.errors import InvalidOption

from ..run import LiveRun

if TYPE_CHECKING:
    from ..engine import Engine


def check(grace: Micros | None) -> None:
    """Raises InvalidOption for a grace of no time at all."""
    if grace is not None and grace <= 0:
        raise InvalidOption("a grace period is a length of time; terminate() ends a run at once")


def give(engine: Engine, run: LiveRun, grace: Micros) -> None:
    """Have the run terminated unless it ends within `grace`; of several periods, the one that is over first counts."""
    over_at = Micros(engine.turn_now.now + grace)
    pending = run.timers.get(e.GRACE) if run.timers else None
    if pending is None or over_at < pending:
        engine.turn_now.record(run, e.TimerStarted(e.GRACE, over_at, f"grace of {spell(grace)}"))
        engine.timers.arm(run, e.GRACE, over_at)


def over(engine: Engine, run: LiveRun) -> None:
    """The time is over: end the run, with the reason the cancel had, without running its code again."""
    asked = [r.event for r in engine.store.run_history(run.key) if isinstance(r.event, e.WorkflowCancelRequested)]
    reason = asked[-1].reason if asked else None
    engine.turn_now.record(run, e.WorkflowTerminated(reason, "its grace period after the cancel was over"))
