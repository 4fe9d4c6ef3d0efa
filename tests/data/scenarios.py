"""The workflows of the golden histories, and how each was recorded.

`python -m tests.data.scenarios` records the histories that are missing; one that is there is never written again, and neither is the code
that recorded it: a scenario that needs other code gets another name.
"""
from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from aionlab import ApplicationError, Retry, Workflow, activity, errors, workflow
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


@workflow
async def chain(total: int = 0, left: int = 2) -> int:
    total += await workflow.receive("add")
    if not left:
        return total
    workflow.continue_as_new(total, left - 1)


@workflow
async def messages() -> list[Any]:
    state: dict[str, int] = {"n": 0}
    notes: list[Any] = []

    async def add(n: int) -> int:
        await ship(f"box {n}")
        state["n"] += n
        return state["n"]

    def positive(n: int) -> None:
        if n < 1:
            raise ValueError("give at least one")

    workflow.on_update("add", add, validator=positive)
    workflow.on_query("state", lambda: state)
    workflow.on_signal("note", notes.append)
    await workflow.wait_condition(lambda: state["n"] >= 5, timeout="1d")
    await workflow.send("messages", "note", "from myself")
    await workflow.wait_condition(lambda: len(notes) >= 2)
    await workflow.wait_condition(workflow.all_handlers_finished)
    return [state["n"], notes]


@activity
async def moody(path: str) -> str:
    if not Path(path).exists():
        raise FileNotFoundError("not there yet")
    return "there"


@workflow
async def reopened(path: str) -> str:
    await workflow.sleep("1h")
    return await moody(path)


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


def _chain(lab: Lab) -> None:
    lab.start(chain, id="chain")
    lab.pause("chain")
    for n in (1, 2, 3):
        lab.signal("chain", "add", n, idempotency_key=f"add-{n}")
    lab.resume("chain")


def _messages(lab: Lab) -> None:
    lab.start(messages, id="messages")
    lab.update("messages", "add", 2)
    lab.signal("messages", "note", "from outside")
    with suppress(errors.UpdateRejected):
        lab.update("messages", "add", 0)
    lab.update("messages", "add", 3)


def _reopened(lab: Lab) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lab.start(reopened, f"{folder}/file", id="reopened")
        lab.clock.skip("2h")
        Path(folder, "file").touch()
        lab.reopen("reopened")


SCENARIOS: dict[str, tuple[Workflow[..., Any], Callable[[Lab], None]]] = {
    "first_run": (first_run, _first_run),
    "cancelled": (first_run, _cancelled),
    "unfinished": (first_run, _unfinished),
    "asyncio_words": (asyncio_words, _waits("asyncio_words", asyncio_words, 3)),
    "saga_undone": (saga_undone, _waits("saga_undone", saga_undone, "box")),
    "patched_loop": (patched_loop, _patched),
    "chance_and_time": (chance_and_time, _waits("chance_and_time", chance_and_time)),
    "family": (family, _waits("family", family, 2)),
    "messages": (messages, _messages),
    "reopened": (reopened, _reopened),
    "chain": (chain, _chain),
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
