"""Workflows with a life that can be gone back in, and a bank that can be down."""
from __future__ import annotations

import asyncio
from typing import Any

from aionlab import activity, workflow

BROKEN: list[str] = []
"""While it holds something, `bank` is down."""


@activity
def bank(n: int) -> int:
    if BROKEN:
        raise ConnectionError(BROKEN[0])
    return n * 2


@workflow
async def pays(n: int = 1, *, tip: int | None = 5, note: str = "none") -> list[Any]:
    first = await bank(n)
    ok = await workflow.receive("approval")
    return [first, ok, await bank(first), tip, note]


@workflow
async def tidies() -> str:
    try:
        await workflow.receive("never")
    except asyncio.CancelledError as stopped:
        await workflow.sleep("1h")
        return f"tidied after {stopped.args[0]}"
    return "?"


@workflow
async def notes() -> Any:
    workflow.upsert_memo(stage="two")
    await workflow.receive("x")
    return workflow.info().memo
