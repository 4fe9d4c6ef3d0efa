"""Workflows that have children, for the tests of the engine."""
from __future__ import annotations

import asyncio
from typing import Any

from aionlab import workflow
from aionlab.core.errors import AlreadyStarted, ChildWorkflowError
from aionlab.testing.workbench import Workbench
from tests.engine.programs import charge

cleaned: list[str] = []
"""Workflow ids whose cleanup ran, in order; emptied by `define`."""


@workflow
async def nap(seconds: int, fail: bool = False) -> int:
    """Sleeps, cleans up when it is cancelled, then gives the seconds."""
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        cleaned.append(workflow.info().workflow_id)
        raise
    if fail:
        raise ValueError(f"after {seconds}")
    return seconds


@workflow
async def slow_to_stop(seconds: int) -> str:
    """Takes a second to clean up."""
    try:
        await asyncio.sleep(seconds)
        return "slept"
    except asyncio.CancelledError:
        await asyncio.sleep(1)
        cleaned.append(workflow.info().workflow_id)
        raise


@workflow
async def stubborn(seconds: int) -> str:
    """Goes on when it is cancelled."""
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        return "went on"
    return "slept"


@workflow
async def listen(name: str, count: int) -> list[Any]:
    return [await workflow.receive(name) for _ in range(count)]


@workflow
async def at_once(value: Any) -> Any:
    return value


@workflow
async def paying(amount: int) -> int:
    return await charge(amount)


@workflow
async def awaits(name: str, *args: Any, **options: Any) -> Any:
    """One child, awaited."""
    return await workflow.execute_child(name, *args, **options)


@workflow
async def both(first: int, second: int) -> list[int]:
    return list(await asyncio.gather(nap(first), nap(second)))


@workflow
async def leaves(*policies: str, then: str = "return") -> str:
    """Starts a child for each policy and ends without waiting for them."""
    for policy in policies:
        await workflow.start_child(nap, 3600, id=f"{workflow.info().workflow_id}-{policy}", parent_close=policy)
    if then == "wait":
        await workflow.receive("go")
    if then == "raise":
        raise RuntimeError("no more")
    if then == "new":
        workflow.continue_as_new(then="wait")
    return "done"


@workflow
async def catches(name: str, *args: Any, **options: Any) -> list[Any]:
    """What awaiting a child raises."""
    try:
        return ["result", await workflow.execute_child(name, *args, **options)]
    except ChildWorkflowError as error:
        return [type(error.cause).__name__, str(error.cause), isinstance(error.cause, AlreadyStarted)]
    except asyncio.CancelledError:
        return ["cancelled"]


@workflow
async def gives_up(name: str, seconds: int, *args: Any, **options: Any) -> list[Any]:
    """Waits for a child no longer than some seconds."""
    try:
        return ["result", await asyncio.wait_for(workflow.execute_child(name, *args, **options), seconds)]
    except TimeoutError:
        return ["too late", workflow.now().second]


@workflow
async def countdown(n: int, seconds: int = 0) -> list[Any]:
    """Continues as new until nothing is left."""
    if seconds:
        await asyncio.sleep(seconds)
    if n:
        workflow.continue_as_new(n - 1, seconds)
    info = workflow.info()
    return [info.run_number, info.first_execution_run_id, info.run_id]


@workflow
async def nested(levels: int) -> int:
    return 0 if not levels else 1 + await nested(levels - 1)


ALL = (nap, slow_to_stop, stubborn, listen, at_once, paying, awaits, both, leaves, catches, gives_up, countdown, nested)


def define(bench: Workbench) -> None:
    cleaned.clear()
    for each in ALL:
        bench.workflow(each)
