"""Workflows and activities the tests of the engine share, and what was called."""
from __future__ import annotations

import asyncio
from typing import Any

from aionlab import Retry, activity, workflow
from aionlab.core import events as e
from aionlab.core.events import Recorded, is_answer, is_fact
from aionlab.testing.workbench import Workbench

SECOND = 1_000_000
MINUTE = 60 * SECOND
DAY = 86_400 * SECOND
calls: list[str] = []
"""What activities did, in order; emptied by `define`."""
failing: list[BaseException | None] = []
"""What `flaky` raises, call by call; None or the end of the list lets it succeed."""


@activity
def charge(amount: int) -> int:
    calls.append(f"charge {amount}")
    return amount * 2


@activity
def ship(what: str) -> str:
    calls.append(f"ship {what}")
    return f"{what} shipped"


@activity(retry=Retry(max_attempts=3, initial="1s", backoff=2.0, max_interval="100s"))
def flaky(what: str = "x") -> str:
    calls.append(f"flaky {what}")
    error = failing.pop(0) if failing else None
    if error is not None:
        raise error
    return what


async def quick(x: int = 1) -> int:
    return x + 1


async def order(amount: int = 1) -> str:
    """An activity, a signal, an activity."""
    paid = await charge(amount)
    who = await workflow.receive("approval")
    return f"{paid} by {who}, {await ship('box')}"


async def three() -> int:
    return await charge(1) + await charge(2) + await charge(3)


async def fan() -> list[int]:
    return list(await asyncio.gather(*(charge(n) for n in range(4))))


async def sleeper(seconds: float = 60) -> str:
    await asyncio.sleep(seconds)
    return "woke"


async def listener(name: str = "x", count: int = 2) -> list[Any]:
    return [await workflow.receive(name) for _ in range(count)]


async def handled() -> list[Any]:
    """Collects signals "x" by handler until "done" comes."""
    got: list[Any] = []
    workflow.on_signal("x", got.append)
    workflow.on_query("got", lambda: list(got))
    await workflow.receive("done")
    return got


async def patient() -> str:
    """Waits for ever; cleans up with an activity when cancelled."""
    try:
        await workflow.receive("never")
    except asyncio.CancelledError:
        await ship("cleanup")
        raise
    return "?"


async def retrying() -> str:
    return await flaky("r")


async def failing_run() -> None:
    raise ValueError("no")


async def with_handlers(start: int = 10) -> int:
    state = {"n": start}
    workflow.on_query("n", lambda: state["n"])
    workflow.on_query("plus", lambda a, b=0: state["n"] + a + b)
    while (step := await workflow.receive("add")) != "stop":
        state["n"] += step
    return state["n"]


WORKFLOWS = (quick, order, three, fan, sleeper, listener, handled, patient, retrying, failing_run, with_handlers)
ACTIVITIES = (charge, ship, flaky)


def define(bench: Workbench) -> None:
    calls.clear()
    failing.clear()
    for fn in WORKFLOWS:
        bench.workflow(fn)
    for act in ACTIVITIES:
        bench.activity(act)


# --- reading what was recorded -----------------------------------------------------------------------------------------


def events(bench: Workbench, workflow_id: str) -> list[e.Event]:
    return [recorded.event for recorded in bench.history(workflow_id)]


def of(bench: Workbench, workflow_id: str, kind: type) -> list[Any]:
    """The recorded events of one class."""
    return [event for event in events(bench, workflow_id) if type(event) is kind]


def shape(history: list[Recorded]) -> list[tuple[str, object]]:
    """What happened, without when, in which attempt, and whether it had to wait: facts and answers with their ordinals."""
    seen = []
    for recorded in history:
        event = recorded.event
        if is_fact(event) or is_answer(event):
            seen.append((type(event).__name__, getattr(event, "activity_id", getattr(event, "timer_id", getattr(event, "name", "")))))
    return seen


def snapshot(bench: Workbench) -> tuple[object, ...]:
    """The whole store, to compare before and after what must write nothing."""
    store = getattr(bench.store, "inner", bench.store)
    return (
        [(workflow_id, store.read(workflow_id), store.run_chain(workflow_id)) for workflow_id in store.ids()],
        store.due_timers(2**62), store.heads(), store.routes(), store.attribute_types(), store.packages(),
    )  # fmt: skip
