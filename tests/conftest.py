"""Rules of the whole suite: needs of the environment, and an account of what was skipped."""
from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator

import coverage
import pytest

from tests import environment

pytest_plugins = ["pytester"]


def pytest_configure(config: pytest.Config) -> None:
    """Parallel workers share a hash seed, another one each time, so that ids made of a set's repr agree between them."""
    if not hasattr(config, "workerinput"):
        os.environ.setdefault("PYTHONHASHSEED", str(random.randrange(1, 2**32)))


def pytest_report_header() -> str:
    return f"PYTHONHASHSEED of workers: {os.environ['PYTHONHASHSEED']}"


def pytest_runtest_setup(item: pytest.Item) -> None:
    environment.check(item)


INTERRUPTED = {"tests.app.test_interrupts", "tests.app.test_messages", "tests.app.test_processes", "tests.app.test_trust", "tests.engine.test_hosts", "tests.lab.test_engine"}
"""Tests that interrupt their own process. Coverage's tracer takes a lock in every thread; an interrupt inside it would stop them all."""


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    measured = coverage.Coverage.current() if getattr(getattr(item, "module", None), "__name__", "") in INTERRUPTED else None
    if measured is not None:
        measured.stop()
    yield
    if measured is not None:
        measured.start()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The skips by reason, last before pytest's own line."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else str(report.longrepr)
        for report in terminalreporter.stats.get("skipped", [])
    )
    if reasons:
        terminalreporter.section(f"{reasons.total()} skipped")
        for reason, count in reasons.most_common():
            terminalreporter.line(f"{count:5} × {reason}")
