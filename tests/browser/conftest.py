"""One browser and one JupyterLab for a file of tests; a fresh page for each test."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import environment

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.browser.harness import JupyterLab, Lab

ROOT = Path(__file__).parents[2]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("browser")
            item.add_marker("kernel")


@pytest.fixture(scope="session")
def artifacts() -> Path:
    """Where screenshots are left for people."""
    return ROOT / ".artifacts"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    for need in ("playwright", "chromium"):
        met, reason = environment.NEEDS[need]
        if not met():
            environment.missing(reason)
    from playwright.sync_api import sync_playwright

    from tests.browser.harness import chromium

    with sync_playwright() as playwright:
        running = chromium(playwright)
        yield running
        running.close()


@pytest.fixture(scope="module")
def jupyterlab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterLab]:
    """A server on an empty folder; tests put their notebooks into `jupyterlab.folder`."""
    met, reason = environment.NEEDS["jupyterlab"]
    if not met():
        environment.missing(reason)
    from tests.browser.harness import JupyterLab

    with JupyterLab(tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("home")) as server:
        yield server


@pytest.fixture
def lab(browser: Browser, jupyterlab: JupyterLab) -> Iterator[Lab]:
    with jupyterlab.page(browser) as page:
        yield page
