"""A decision as people read it."""
from __future__ import annotations

from aionlab.core.durations import spell
from aionlab.core.snapshots import Decision
from aionlab.core.supervisors import GiveUp


def words(decision: Decision, how: GiveUp = GiveUp.STUCK) -> str:
    """What was decided; `how` is what became of the runs that are not started again."""
    d = decision
    is_run = d.kind == "workflow"
    child = d.child if is_run else f"supervisor {d.child} was over its limit and" if d.cause == "gave up" else f"supervisor {d.child}"
    rate = f"{d.restarts} of {d.intensity} in {d.period / 1_000_000:g} s"
    place = "" if is_run else " at the root" if d.supervisor == "lab" else f" in {d.supervisor}"
    later = f" in {spell(d.delay)}" if d.delay else ""
    alone = d.strategy == "one_for_one"
    lost = f"its {_runs(d.given_up)} " if not is_run else "it " if d.given_up == 1 else f"{_runs(d.given_up)} "
    if d.verdict == "escalated":
        return f"supervisor {d.supervisor} gives up: one restart more than {d.intensity} in {d.period / 1_000_000:g} s, for {d.child} ({d.cause})"
    if d.verdict == "gave up":
        return f"the root gave up on {d.child}: {lost}{_stays(d.given_up, how)}"
    if d.verdict == "not restarted":
        return f"{child} is temporary and is not started again: {lost}{_stays(d.given_up, how)}"
    if not is_run:
        text = f"{child} is restarted with {'its ' if alone else ''}{_runs(d.started)}{'' if alone else f', {d.strategy}'}{later} ({rate}{place})"
    elif d.cause == "ended":
        text = f"{child} is followed by another run{later} ({rate})"
    elif d.started == 1:
        text = f"{child} comes back by replay{later} ({rate})"
    else:
        text = f"{child} and {_runs(d.started - 1)} beside it come back by replay{later}, {d.strategy} ({rate})"
    return text + (f"; {_runs(d.given_up)} of temporary kind {_stays(d.given_up, how)}" if d.given_up else "")


def _runs(count: int) -> str:
    return f"{count:,} run{'' if count == 1 else 's'}"


def _stays(count: int, how: GiveUp) -> str:
    if how is GiveUp.FAIL:
        return "has failed" if count == 1 else "have failed"
    return f"stay{'s' if count == 1 else ''} down until the lab is opened again, or {'it is' if count == 1 else 'they are'} resumed"
