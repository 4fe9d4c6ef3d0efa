"""What tests need from the machine, and what happens where it is missing.

A test says `@requires("chromium")`. Where the need is not met the test is skipped with the reason, and fails instead where
`CI=true`: a skip in CI would be a hole nobody sees. `tests/conftest.py` applies the rule and counts the skips.
"""
from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import pytest

CHROMIUM = Path("/usr/bin/chromium")


def _importable(*names: str) -> Callable[[], bool]:
    return lambda: all(find_spec(name) is not None for name in names)


NEEDS: Mapping[str, tuple[Callable[[], bool], str]] = {
    "chromium": (CHROMIUM.exists, f"no {CHROMIUM} (Debian: apt-get install chromium)"),
    "jupyterlab": (_importable("jupyterlab", "ipykernel"), "JupyterLab is not installed (pip install -e '.[lab]')"),
    "kernel": (_importable("ipykernel", "jupyter_client", "nbformat"), "ipykernel is not installed (pip install -e '.[lab]')"),
    "playwright": (_importable("playwright"), "playwright is not installed (pip install -e '.[test]')"),
    "nbval": (_importable("nbval"), "nbval is not installed (pip install -e '.[test]')"),
    "gates": (_importable("mypy", "importlinter", "ruff"), "mypy, ruff or import-linter is not installed (pip install -e '.[dev]')"),
    "orjson": (_importable("orjson"), "orjson is not installed (pip install -e '.[fast]')"),
    "pandas": (_importable("pandas"), "pandas is not installed (pip install -e '.[lab]')"),
    "linux": (lambda: sys.platform == "linux", "pidfd and /proc exist on Linux alone"),
    "posix": (lambda: os.name == "posix", "signals and file locks of this kind exist on POSIX systems alone"),
}


def requires(*needs: str) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """Mark a test (or a class) with needs of the table above."""
    for need in needs:
        NEEDS[need]  # a misspelt need fails at collection

    def mark(test: Callable[..., object]) -> Callable[..., object]:
        for need in needs:
            test = pytest.mark.environment(need)(test)
        return test

    return mark


def missing(reason: str) -> NoReturn:
    """End the running test because the machine lacks something only found out now: a skip, or a failure where CI=true."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must have it: {reason}", pytrace=False)
    pytest.skip(reason)


def check(item: pytest.Item) -> None:
    """Apply the rule to the `environment` marks of one test."""
    for mark in item.iter_markers("environment"):
        for need in mark.args:
            met, reason = NEEDS[need]
            if not met():
                missing(reason)
