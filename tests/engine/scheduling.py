"""Workflows that schedules start in tests, and short ways to make a schedule and to see what became of its times."""
from __future__ import annotations

import asyncio
from typing import Any

from aionlab import activity, workflow
from aionlab.app.clocks import EPOCH_2020
from aionlab.core import events as e
from aionlab.core.calendars import stamp
from aionlab.core.clock import Micros
from aionlab.core.snapshots import ScheduleState
from aionlab.testing.workbench import Workbench

SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
T0 = EPOCH_2020


async def instant(n: int = 1) -> int:
    return n


@activity
def work(n: int) -> int:
    return n + 1


async def busy(n: int = 1) -> int:
    """Ends in a later turn."""
    return await work(n)


async def patient() -> str:
    """Goes on until it is told to stop."""
    return str(await workflow.receive("stop"))


async def stubborn() -> str:
    """Takes an hour to clean up when it is cancelled."""
    try:
        await workflow.receive("stop")
    finally:
        await asyncio.sleep(3600)
    return "stopped"


async def total(n: int = 1) -> int:
    before: int = workflow.last_result(int, default=0)
    return before + n


async def told() -> list[Any]:
    """What a run knows of its schedule, said twice: replay must say the same."""
    info = workflow.info()
    await asyncio.sleep(1)
    nominal = info.nominal_time
    return [info.schedule_id, None if nominal is None else nominal.isoformat(), info.last_result]


async def naps(minutes: int) -> int:
    await asyncio.sleep(minutes * 60)
    return minutes


async def chain(left: int) -> list[Any]:
    """Three runs of forty minutes and more, one after another."""
    await asyncio.sleep(2500)
    if left > 1:
        workflow.continue_as_new(left - 1)
    info = workflow.info()
    return [info.schedule_id, info.nominal_time.isoformat() if info.nominal_time else None]


async def breaks() -> None:
    raise ValueError("no")


def define(bench: Workbench) -> Workbench:
    for function in (instant, busy, patient, stubborn, total, told, naps, chain, breaks):
        bench.workflow(function)
    bench.activity(work)
    return bench


def make(bench: Workbench, name: str, workflow_type: str = "instant", *args: Any, **plan: Any) -> ScheduleState:
    """A schedule; hourly unless the plan says otherwise."""
    if not plan.keys() & {"cron", "every", "at"}:
        plan["every"] = HOUR
    made = bench.call("schedule", name, e.Plan(workflow_type, **plan), bench.values.encode_args(args, {}))
    assert isinstance(made, ScheduleState)
    return made


def state(bench: Workbench, name: str) -> ScheduleState:
    found = bench.call("schedule_describe", name)
    assert isinstance(found, ScheduleState)
    return found


def history(bench: Workbench, name: str) -> list[Any]:
    """The events of a schedule, without envelopes."""
    return [recorded.event for recorded in bench.call("schedule_history", name)]


def triggered(bench: Workbench, name: str) -> list[int]:
    """Hours since the start of time of the runs it has started, in order."""
    return [hours(event.nominal_time) for event in history(bench, name) if isinstance(event, e.ScheduleTriggered)]


def hours(at: int) -> int:
    assert (at - T0) % HOUR == 0, stamp(Micros(at))
    return (at - T0) // HOUR


def runs(bench: Workbench) -> list[str]:
    """Workflow ids of all runs, oldest first."""
    return [run.workflow_id for run in reversed(bench.call("runs"))]


def id_at(name: str, hour: int) -> str:
    return f"{name}-{stamp(Micros(T0 + hour * HOUR))}"


def away(bench: Workbench, length: int) -> None:
    """The lab is closed for so long, and opened again."""
    bench.clock._now = Micros(bench.clock.now() + length)
    bench.clock.target = bench.clock._now
    bench.crash()
