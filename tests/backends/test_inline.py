"""Attempts on the engine's own thread."""
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from aionlab.backends.inline import never_waits


async def _plain(n: int) -> int:
    return n


async def _awaits(n: int) -> int:
    return await _plain(n)


async def _loops(n: int) -> int:
    async for _ in _numbers(n):
        pass
    return n


async def _within(n: int) -> int:
    async with asyncio.timeout(1):
        return n


async def _numbers(n: int) -> AsyncIterator[int]:
    yield n


@pytest.mark.parametrize(("function", "never"), [(_plain, True), (_awaits, False), (_loops, False), (_within, False)])
def test_what_runs_through_in_one_go_needs_no_task(function: Any, never: bool) -> None:
    assert never_waits(function.__code__) is never
    assert asyncio.run(function(3)) == 3
    assert never_waits(None) is False
