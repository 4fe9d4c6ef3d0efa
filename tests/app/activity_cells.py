"""Activities that labs of these tests run, and workflows that await them."""
from __future__ import annotations

import asyncio
import threading
from typing import Any

from aionlab import Retry, activity, workflow

GATE = threading.Event()
"""What `gated` waits for."""
SEEN: list[Any] = []


@activity(queue="narrow")
def gated(n: int) -> int:
    SEEN.append(n)
    GATE.wait(20)
    return n


@workflow
async def fan(count: int) -> list[int]:
    return list(await asyncio.gather(*(gated(n) for n in range(count))))


@activity(retry=Retry(3, initial="1ms"), heartbeat="1m")
def progress() -> list[Any]:
    info = activity.info()
    SEEN.append(info.heartbeat_details)
    activity.heartbeat({"rows": 10 * info.attempt})
    if info.attempt == 1:
        raise ValueError("once")
    if info.attempt == 2:
        raise KeyboardInterrupt
    return [info.attempt, info.heartbeat_details]


@workflow
async def progresses() -> list[Any]:
    return await progress()


@activity
def stoppable() -> str:
    SEEN.append("begun")
    SEEN.append("told" if activity.wait_cancelled("20s") else "not told")
    return "in its own time"


@activity
async def async_stoppable() -> str:
    SEEN.append("begun")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        SEEN.append("told")
        raise
    return "never"


@workflow
async def gives_up(kind: str, sync: bool) -> str:
    act = stoppable if sync else async_stoppable
    task = asyncio.create_task(_told(act.with_options(cancellation=kind)()))
    await workflow.receive("enough")
    task.cancel()
    return await task


async def _told(call: Any) -> str:
    try:
        return f"returned {await call}"
    except asyncio.CancelledError:
        return "cancelled"


def worth_it(error: BaseException) -> bool:
    return "again" in str(error)


@activity(retry=Retry(5, initial="1ms"), retry_if=worth_it)
def judged(text: str) -> None:
    SEEN.append(text)
    raise ValueError(text)


@workflow
async def asks_judged(text: str, wait: bool = False) -> None:
    if wait:
        await workflow.receive("go")
    await judged(text)


BUSY: list[int] = []


@activity(queue="pairs")
def counted(n: int) -> int:
    BUSY.append(n)
    SEEN.append((n, len(BUSY)))
    BUSY.remove(n)
    return n


@workflow
async def many(count: int) -> int:
    return sum(await asyncio.gather(*(counted(n) for n in range(count))))


@activity(heartbeat="1m")
def discreet() -> str:
    info = activity.info()
    if info.attempt > 1:
        return str(info.heartbeat_details)
    activity.heartbeat("the secret of a row " * 50)
    SEEN.append("said")
    raise KeyboardInterrupt


@workflow
async def keeps_secrets() -> str:
    return await discreet()
