"""A folder and a home of its own for every lab; nothing may be left behind when a test is over."""
from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import aionlab
from aionlab.app import opening


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this user's secret is kept."""
    monkeypatch.delenv("AIONLAB_SECRET", raising=False)
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Labs a test left open are closed; engines end with their labs."""
    yield
    for lab in list(opening._open_labs.values()):
        lab.close()
    until(lambda: not [thread for thread in threading.enumerate() if thread.name == "aion-engine"])


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Any]:
    with aionlab.open(tmp_path / "lab.db") as opened:
        yield opened


def until(what: Callable[[], Any], seconds: float = 20.0) -> Any:
    """The first true answer of `what`, asked again and again; fails after `seconds`."""
    last = time.monotonic() + seconds
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < last, f"not in {seconds:g} s: {what}"
        select.select([], [], [], 0.005)


def descriptors() -> list[str]:
    """What this process has open."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:
            continue
    return sorted(found)
