"""The workflows of the golden histories, and how each was recorded.

`python -m tests.data.scenarios` records the histories that are missing; one that is there is never written again, and neither is the code
that recorded it: a scenario that needs other code gets another name.
"""
from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aionlab import ApplicationError, Retry, Workflow, activity, workflow
from aionlab.app.history import History
from aionlab.app.lab import Lab
from aionlab.testing.kit import open_lab

HISTORIES = Path(__file__).parent / "histories"


@activity(retry=Retry(max_attempts=3, initial="1s"))
def charge(amount: float) -> str:
    if amount < 0:
        raise ApplicationError("nothing to charge", non_retryable=True)
    return f"receipt {amount}"


@activity
async def ship(name: str) -> dict[str, Any]:
    return {"name": name, "boxes": [1, 2, 3]}


@workflow
async def first_run(amount: float) -> str:
    receipt = await charge(amount)
    ok = await workflow.receive("approval", timeout="2d", default=None)
    return f"{receipt}: {ok}"


@workflow
async def asyncio_words(n: int) -> list[Any]:
    parts = await asyncio.gather(*[ship(f"p{k}") for k in range(n)])
    try:
        async with asyncio.timeout(10):
            await asyncio.sleep(100)
    except TimeoutError:
        pass
    async with asyncio.TaskGroup() as group:
        slow = group.create_task(asyncio.sleep(3, "slow"))
        fast = group.create_task(asyncio.sleep(1, "fast"))
    raced = await workflow.race(asyncio.sleep(5, "five"), asyncio.sleep(4, "four"))
    return [len(parts), slow.result(), fast.result(), raced]


@workflow
async def saga_undone(name: str) -> None:
    async with workflow.compensation() as undo:
        await ship(name)
        undo.add(charge, 1.5)
        await charge(-1.0)


@workflow
async def patched_loop(rounds: int) -> int:
    total = 0
    for _ in range(rounds):
        total += await workflow.receive("add", int) * (2 if workflow.patched("double") else 1)
    return total


@workflow
async def chance_and_time() -> list[Any]:
    drawn = [workflow.random().randrange(1000) for _ in range(3)]
    await workflow.sleep("1d", summary="a day")
    return [drawn, str(workflow.uuid4()), workflow.now().isoformat()]


@workflow
async def leaf(n: int) -> int:
    await workflow.sleep(n)
    return n * n


@workflow
async def family(n: int) -> list[int]:
    first = await leaf(n)
    second = await workflow.start_child(leaf, n + 1)
    return [first, await second]


def _first_run(lab: Lab) -> None:
    lab.start(first_run, 4.5, id="first_run")
    lab.signal("first_run", "approval", {"by": "ada"})


def _cancelled(lab: Lab) -> None:
    lab.start(first_run, 4.5, id="cancelled")
    lab.cancel("cancelled", "changed my mind")


def _unfinished(lab: Lab) -> None:
    lab.start(first_run, 4.5, id="unfinished")
    lab.pause("unfinished")
    lab.signal("unfinished", "note", 1)


def _waits(name: str, flow: Workflow[..., Any], *args: Any) -> Callable[[Lab], None]:
    def play(lab: Lab) -> None:
        lab.start(flow, *args, id=name)
        lab.clock.skip("30d")

    return play


def _patched(lab: Lab) -> None:
    lab.start(patched_loop, 2, id="patched_loop")
    for n in (3, 4):
        lab.signal("patched_loop", "add", n)


SCENARIOS: dict[str, tuple[Workflow[..., Any], Callable[[Lab], None]]] = {
    "first_run": (first_run, _first_run),
    "cancelled": (first_run, _cancelled),
    "unfinished": (first_run, _unfinished),
    "asyncio_words": (asyncio_words, _waits("asyncio_words", asyncio_words, 3)),
    "saga_undone": (saga_undone, _waits("saga_undone", saga_undone, "box")),
    "patched_loop": (patched_loop, _patched),
    "chance_and_time": (chance_and_time, _waits("chance_and_time", chance_and_time)),
    "family": (family, _waits("family", family, 2)),
}


def record(name: str) -> History:
    """The history of a scenario, recorded now."""
    flow, play = SCENARIOS[name]
    with tempfile.TemporaryDirectory() as folder, open_lab(Path(folder) / "lab.db") as lab:
        for one in (flow, leaf):
            lab.define(one)
        play(lab)
        return lab.get(name).history()


if __name__ == "__main__":
    for scenario in SCENARIOS:
        target = HISTORIES / f"{scenario}.json"
        if not target.exists():
            record(scenario).save(target)
