"""Workflows of the crash scenarios. Each ends the same however often it was interrupted."""
from __future__ import annotations

import asyncio

from aionlab import activity, workflow


@activity
def charge(n: int) -> int:
    return n * 2


@activity(retry=3)
def flaky(n: int) -> int:
    if n < 0:
        raise ValueError("negative")
    return n


@workflow
async def order(n: int) -> list[object]:
    paid = await charge(n)
    ok = await workflow.receive("approval")
    return [paid, ok, await charge(paid)]


@workflow
async def timed(n: int) -> list[object]:
    workflow.upsert_search_attributes(stage="first")
    both = await asyncio.gather(flaky(n), flaky(n + 1), asyncio.sleep(60, "slept"))
    workflow.upsert_search_attributes(stage="second")
    try:
        await flaky(-1)
    except Exception as error:
        both.append(type(error).__name__)
    await workflow.sleep("1h")
    return [*both, workflow.random().random()]


@workflow
async def tidy(n: int) -> str:
    try:
        await workflow.receive("never")
    except asyncio.CancelledError:
        await charge(n)
        return "tidied"
    return "unreachable"


@workflow
async def ship(n: int) -> int:
    await workflow.sleep("30s")
    if n > 100:
        workflow.continue_as_new(n - 100)
    return await charge(n)


@workflow
async def family(n: int) -> list[object]:
    await workflow.start_child(tidy, n, id="kept", parent_close="request_cancel")
    await workflow.start_child(tidy, n, id="ended")
    both = await asyncio.gather(ship(n), ship(n + 100))
    try:
        await workflow.execute_child(ship, n, id="kept")
    except Exception as error:
        both.append(type(error.__cause__).__name__)
    return both
