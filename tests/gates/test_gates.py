"""Every gate is seen to fail: a violation is planted in a copy of the checkout."""
from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.environment import requires
from tests.gates.conduct import findings
from tests.gates.run import ROOT, run


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The checkout's source, free to be spoilt."""
    ignore = shutil.ignore_patterns("__pycache__", "node_modules")
    shutil.copytree(ROOT / "aionlab", tmp_path / "aionlab", ignore=ignore)
    shutil.copytree(ROOT / "tests" / "gates", tmp_path / "tests" / "gates", ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def plant(copy: Path, module: str, line: str) -> None:
    """Add a line to a module of the copy (a new one where there is none of that name)."""
    path = copy / module
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")


@pytest.mark.slow
@requires("gates")
@pytest.mark.parametrize(
    ("module", "line", "said"),
    [
        # the layers: up, sideways on each shared level, type-only, and a package no layer names
        ("aionlab/core/ids.py", "from aionlab import store", "aionlab.core is not allowed to import aionlab.store"),
        ("aionlab/engine/planted.py", "import aionlab.store", "aionlab.engine is not allowed to import aionlab.store"),
        ("aionlab/replay/planted.py", "import aionlab.authoring", "aionlab.replay is not allowed to import aionlab.authoring"),
        ("aionlab/cli/planted.py", "import aionlab.lab", "aionlab.cli is not allowed to import aionlab.lab"),
        ("aionlab/views/planted.py", "TYPE_CHECKING = 0\nif TYPE_CHECKING:\n    import aionlab.app", "aionlab.views is not allowed to import aionlab.app"),
        ("aionlab/utils/__init__.py", "", "aionlab.utils"),
        # who may touch what lies outside
        ("aionlab/engine/planted.py", "import sqlite3", "aionlab.engine is not allowed to import sqlite3"),
        ("aionlab/lab/planted.py", "import sqlite_utils", "aionlab.lab is not allowed to import sqlite_utils"),
        ("aionlab/app/planted.py", "from IPython import get_ipython", "aionlab.app is not allowed to import IPython"),
        ("aionlab/views/planted.py", "import ipywidgets", "aionlab.views is not allowed to import ipywidgets"),
        ("aionlab/store/planted.py", "import pandas", "aionlab.store is not allowed to import pandas"),
        ("aionlab/core/planted.py", "def now():\n    import time", "aionlab.core is not allowed to import time"),
        ("aionlab/authoring/planted.py", "import random", "aionlab.authoring is not allowed to import random"),
        ("aionlab/replay/planted.py", "from os import environ", "aionlab.replay is not allowed to import os"),
        ("aionlab/replay/planted.py", "import asyncio", "aionlab.replay is not allowed to import asyncio"),
    ],
)
def test_the_import_contracts_see(copy: Path, module: str, line: str, said: str) -> None:
    plant(copy, module, line)
    result = run("imports", copy)
    assert result.returncode != 0
    assert said in result.stdout


@pytest.mark.slow
@requires("gates")
@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("import json", "F401"),
        ("import pickle\n\n\ndef read(b: bytes) -> object:\n    return pickle.loads(b)", "S301"),
        ("try:\n    x = 1\nexcept Exception:\n    pass", "BLE001"),
        ("print('hello')", "T201"),
        ("x = eval('1')", "S307"),
        ("x = 1  # noqa: E501", "RUF100"),
    ],
)
def test_ruff_sees(copy: Path, line: str, rule: str) -> None:
    plant(copy, "aionlab/engine/planted.py", line)
    result = run("ruff", copy)
    assert result.returncode != 0
    assert rule in result.stdout


@pytest.mark.slow
@requires("gates")
def test_mypy_sees_untyped_code(copy: Path) -> None:
    plant(copy, "aionlab/core/planted.py", "def answer(question):\n    return 42")
    result = run("mypy", copy)
    assert result.returncode != 0
    assert "aionlab/core/planted.py:2: error: Function is missing a type annotation" in result.stdout


def test_the_gate_on_tests_fails_for_a_sleep(copy: Path) -> None:
    plant(copy, "tests/test_planted.py", "import time\ntime.sleep(1)")
    result = run("tests", copy)
    assert result.returncode != 0
    assert "tests/test_planted.py:3: sleeps" in result.stdout


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("time.sleep(1)", [(1, "sleeps")]),
        ("time.sleep(1)  # sleeps: the activity is to be killed asleep", []),
        ("cell = 'time.sleep(1)'", []),
        ("workflow.sleep(1)", []),
        ("pytest.importorskip('moon')", [(1, "skips")]),
        ("@pytest.mark.skipif(True, reason='')\ndef test(): ...", [(1, "skips")]),
    ],
)
def test_what_counts_as_misconduct(source: str, found: list[tuple[int, str]]) -> None:
    assert list(findings(source)) == found
