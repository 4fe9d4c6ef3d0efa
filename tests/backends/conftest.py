"""Waiting for facts about processes."""
from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from typing import Any


def until(what: Callable[[], Any], seconds: float = 30.0) -> Any:
    """The first true answer of `what`, asked again and again; fails after `seconds`."""
    last = time.monotonic() + seconds
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < last, f"not in {seconds:g} s: {what}"
        select.select([], [], [], 0.005)


def alive(pid: int) -> bool:
    """Whether a process of this number runs; one that nobody has buried does not."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def children() -> list[int]:
    """Processes this one has started and not buried."""
    me = os.getpid()
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as stat:
                    if int(stat.read().rpartition(")")[2].split()[1]) == me:
                        found.append(int(name))
            except OSError:
                continue
    return sorted(found)
