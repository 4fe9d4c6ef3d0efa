"""The same versions on every Python: golden files, checked by each interpreter there is.

`AIONLAB_UPDATE_GOLDEN=1 pytest tests/code/test_pythons.py` writes them anew; doing so gives every stored workflow a new version.
"""
from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.code.cells import notebook, run
from tests.code.kinds import KINDS, cells_of

HERE = Path(__file__).parent
GOLDEN = HERE / "golden"
ROOT = HERE.parents[1]
PYTHONS = {"this": sys.executable} | {
    version: str(next((Path.home() / ".pyenv/versions").glob(f"{version}.*/bin/python"), "")) or shutil.which(f"python{version}")
    for version in ("3.11", "3.12", "3.13")
}
UPDATE = os.environ.get("AIONLAB_UPDATE_GOLDEN") == "1"


def asked(version: str, *arguments: str, given: str = "") -> str:
    python = PYTHONS[version]
    if python is None:
        pytest.skip(f"no Python {version} here; CI runs this test under each")
    done = subprocess.run([python, str(HERE / "other_python.py"), *arguments], input=given, text=True, capture_output=True, cwd=ROOT,
                          env={"PATH": os.environ["PATH"], "PYTHONHASHSEED": "7", "PYTHONIOENCODING": "utf-8"}, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("version", PYTHONS)
def test_canonical_text(version: str) -> None:
    found = asked(version, "canonical", str(GOLDEN / "syntax.txt"))
    if UPDATE and version == "this":
        (GOLDEN / "syntax.canonical.txt").write_text(found)
    assert found == (GOLDEN / "syntax.canonical.txt").read_text()


@pytest.mark.parametrize("version", PYTHONS)
def test_versions(version: str) -> None:
    found = json.loads(asked(version, "versions"))
    file = GOLDEN / "versions.json"
    if UPDATE and version == "this":
        file.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    golden = json.loads(file.read_text())
    assert found == {name: golden[name] for name in found}
    assert len(found) >= 50 and (version != "this" or found.keys() == golden.keys())


@pytest.mark.parametrize("version", PYTHONS)
def test_packages_run_in_a_fresh_interpreter(version: str) -> None:
    wanted, documents = {}, {}
    for kind in KINDS:
        book = notebook(*cells_of(kind))
        wanted[kind] = repr(run(book.namespace["order"].fn))
        documents[kind] = book.package().to_document().decode()
    found = json.loads(asked(version, "run", given=json.dumps(documents)))
    assert found == {kind: wanted[kind] for kind in found}
    assert len(found) >= 50 and (version != "this" or found.keys() == wanted.keys())


@pytest.mark.parametrize("version", [version for version in PYTHONS if version != "this"])
def test_canonical_text_of_the_standard_library(version: str) -> None:
    """Some large modules of the oldest supported Python, as every later one parses them."""
    oldest = PYTHONS["3.11"]
    if oldest is None:
        pytest.skip("no Python 3.11 here; CI runs this test under each")
    folder = Path(subprocess.run([oldest, "-c", "import os; print(os.__file__)"], text=True, capture_output=True, check=True).stdout.strip()).parent
    for name in ("typing.py", "dataclasses.py", "enum.py", "asyncio/tasks.py", "logging/__init__.py"):
        assert asked(version, "canonical", str(folder / name)) == asked("3.11", "canonical", str(folder / name))
