"""The files around the package agree with each other, and the commands say what is wrong when they can't work."""
from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.environment import requires
from tests.gates.run import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_binder_asks_for_what_the_package_asks_for() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    ours = {*PROJECT["project"]["dependencies"], *extras["lab"], *extras["fast"]}
    theirs = {line for line in (ROOT / "binder/requirements.txt").read_text().splitlines() if not line.startswith("#")}
    assert theirs <= ours
    assert {"jupyterlab", "jupyter-client", "nbformat"} == {re.split(r"[<>=]", need)[0] for need in ours - theirs}, "in binder's own base"


@pytest.mark.parametrize("script", [".ci/run", "binder/postBuild"])
def test_scripts_can_be_run(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)
    assert (ROOT / script).read_text().startswith("#!/usr/bin/env bash\n")
    subprocess.run(["bash", "-n", ROOT / script], check=True)


@requires("posix")
def test_make_says_so_where_there_is_no_python_new_enough(tmp_path: Path) -> None:
    for name in ("python", "python3", "python3.11", "python3.12", "python3.13", "python3.14"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    result = subprocess.run(
        ["make", "demo", f"VENV={tmp_path}/venv"], cwd=ROOT, text=True, capture_output=True, env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    )
    assert result.returncode != 0
    assert "aionlab needs Python 3.11 or newer" in result.stderr
    assert not (tmp_path / "venv").exists()


def test_make_help_lists_every_command() -> None:
    told = subprocess.run(["make", "help"], cwd=ROOT, text=True, capture_output=True, check=True).stdout
    assert {line.split()[0] for line in told.splitlines()} == {"help", "demo", "lab", "test", "test-quick", "gates", "bench", "clean"}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"make {command}" in readme for command in ("demo", "test", "test-quick", "lab", "bench", "clean"))


def test_no_address_of_another_machine_is_in_the_files_around_the_package() -> None:
    files = [ROOT / name for name in ("Makefile", "pyproject.toml", ".ci/run", *(f"binder/{p.name}" for p in (ROOT / "binder").iterdir()))]
    files += ROOT.glob("*.md")
    found = [f"{path.name}: {url}" for path in files for url in re.findall(r"https?://(?!127\.0\.0\.1|localhost)\S+", path.read_text(encoding="utf-8"))]
    assert found == []


def test_nothing_the_wheel_needs_is_left_out_by_its_settings() -> None:
    assert PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["aionlab"]
    assert PROJECT["project"]["scripts"]["aionlab"] == "aionlab.cli:main"
