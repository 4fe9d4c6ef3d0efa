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
