"""Workflows that labs of these tests run, and what their activities do outside."""
from __future__ import annotations

import asyncio

from aionlab import activity, workflow

STOCK = {"apples": 3}


@activity
def charge(n: int) -> int:
    return n * 2


@activity(retry=3)
def broken(text: str) -> None:
    raise ValueError(text)


@workflow
async def order(n: int = 1, rush: bool = False) -> dict[str, object]:
    state = "charging"
    workflow.on_query("status", lambda: state)
    paid = await charge(n)
    state = "waiting"
    ok = await workflow.receive("approval")
    return {"paid": paid, "ok": ok, "rush": rush}


@activity
async def later(n: int) -> int:
    await asyncio.sleep(0)
    return n


@workflow
async def asks_async(n: int) -> int:
    return await later(n)


@workflow
async def quick(n: int) -> int:
    return n + 1


@workflow
async def nap(length: str = "1h") -> str:
    await workflow.sleep(length)
    return str(workflow.now())


@workflow
async def failing(text: str) -> None:
    raise ValueError(text)


@workflow
async def labelled(customer: str) -> str:
    workflow.upsert_search_attributes(customer=customer)
    return await workflow.receive("go")


@workflow
async def patient(n: int) -> str:
    try:
        await workflow.receive("never")
    finally:
        await charge(n)
    return "unreachable"


@workflow
async def packs() -> None:
    workflow.set_details("packing **3** boxes")
    await workflow.receive("go")
    workflow.set_details("all gone")
