"""`aionlab demo`, on a stand-in for the first notebook whose `lab` is a file.

The stand-in answers the few public names the demo asks for, so that what the demo says of a loss or a repetition can be tested:
a correct engine never shows either.
"""
from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.environment import requires

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.kernel]

LAB = '''
import json, pathlib, types
class ActivityStarted:
    def __init__(self, activity_id): self.activity_id = activity_id
class ActivityCompleted(ActivityStarted): pass
class SignalReceived: pass
FILE = pathlib.Path("lab.db")
def append(kind, *args):
    with FILE.open("a") as f: f.write(json.dumps([kind, *args]) + "\\n")
class Recorded:
    def __init__(self, seq, kind, *args): self.seq, self.run_id, self.event, self.line = seq, "r1", globals()[kind](*args), (kind, args)
    def __repr__(self): return f"{self.seq} {self.line}"
class Handle:
    id, status = "order-1", "Completed"
    def history(self): return [Recorded(n, *json.loads(line)) for n, line in enumerate(FILE.read_text().splitlines(), 1)]
    def result(self, timeout): return "receipt"
    def timeline(self): return "charge ###\\nship     ##"
class Lab:
    def runs(self): return [types.SimpleNamespace(workflow_id="order-1")]
    def get(self, id): return Handle()
lab = Lab()
'''
KILL = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
CHARGED = "append('ActivityStarted', 0); append('ActivityCompleted', 0)"
SHIPPED = "append('SignalReceived'); append('ActivityStarted', 1); append('ActivityCompleted', 1)"


def notebook(folder: Path, *cells: str | tuple[str, str]) -> Path:
    """Write a notebook of these cells; a pair is (source, tag)."""
    made: list[dict[str, Any]] = []
    for cell in cells:
        source, tags = (cell, []) if isinstance(cell, str) else (cell[0], [cell[1]])
        made.append({"cell_type": "code", "id": f"c{len(made)}", "source": source, "metadata": {"tags": tags}, "outputs": [], "execution_count": None})
    path = folder / "book.ipynb"
    path.write_text(json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}), encoding="utf-8")
    return path


def command(book: Path, folder: Path) -> list[str]:
    return [sys.executable, "-m", "aionlab.cli", "demo", str(book), "--folder", str(folder), "--timeout", "60"]


def demo(book: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(book, folder), cwd=ROOT, text=True, capture_output=True, stdin=subprocess.DEVNULL)


@pytest.fixture
def books(tmp_path: Path) -> Path:
    (tmp_path / "books").mkdir()
    return tmp_path / "books"


@requires("kernel", "posix")
def test_it_kills_for_real_and_tells_what_was_left_each_time_it_is_run(books: Path, tmp_path: Path) -> None:
    book = notebook(books, LAB, CHARGED, (KILL, "kernel-dies"), LAB, SHIPPED)
    for _ in range(2):
        told = demo(book, tmp_path / "work")
        assert told.returncode == 0, told.stderr
        assert "died of SIGKILL" in told.stdout
        assert "2 events before the kill, 5 now; the first 2 are the same" in told.stdout
        assert "1 had finished before the kill; none of them was begun again" in told.stdout
        assert "order-1 → 'receipt'" in told.stdout
        assert "charge ###" in told.stdout
    assert len(list((tmp_path / "work").iterdir())) == 1, "the first run's folder was not cleared away"
    assert sorted(path.name for path in books.iterdir()) == ["book.ipynb"]


@requires("kernel", "posix")
def test_a_cell_that_does_not_kill_its_kernel_has_it_killed(books: Path, tmp_path: Path) -> None:
    told = demo(notebook(books, LAB, CHARGED, ("'not dead'", "kernel-dies"), LAB), tmp_path / "work")
    assert told.returncode == 0, told.stderr
    assert "died of SIGKILL" in told.stdout


@requires("kernel", "posix")
@pytest.mark.parametrize(
    ("afterwards", "said"),
    [
        (CHARGED, "BEGUN AGAIN: r1/0"),
        ("FILE.write_text(FILE.read_text().replace('ActivityStarted', 'SignalReceived').replace(', 0', '', 1))", "NOT THE SAME"),
    ],
)
def test_a_repetition_or_a_changed_history_is_said_and_fails(books: Path, tmp_path: Path, afterwards: str, said: str) -> None:
    told = demo(notebook(books, LAB, CHARGED, (KILL, "kernel-dies"), LAB, afterwards), tmp_path / "work")
    assert told.returncode == 1
    assert said in told.stdout


@requires("kernel", "posix")
@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ((LAB, "raise ValueError('oh')"), "cell 2 failed"),
        ((LAB, KILL), "the kernel died unexpectedly (SIGKILL) in cell 2"),
        (("x = 1",), "`lab` could not be asked"),
    ],
)
def test_trouble_is_told_and_fails(books: Path, tmp_path: Path, cells: tuple[str, ...], said: str) -> None:
    told = demo(notebook(books, *cells), tmp_path / "work")
    assert told.returncode == 1
    assert said in told.stderr


@requires("kernel", "linux")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_killed_itself_it_leaves_no_kernel_and_can_be_run_again(books: Path, tmp_path: Path, how: signal.Signals) -> None:
    pid_file = tmp_path / "pid"
    os.mkfifo(pid_file)
    hang = f"import os, threading\nwith open({str(pid_file)!r}, 'w') as f: f.write(str(os.getpid()))\nthreading.Event().wait()"
    with subprocess.Popen(command(notebook(books, LAB, hang), tmp_path / "work"), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        pid = int(pid_file.read_text())
        ended = os.pidfd_open(pid)
        process.send_signal(how)
    with open(ended, "rb") as descriptor:
        assert becomes_readable(descriptor.fileno(), seconds=30), "the kernel outlives the demo"
    told = demo(notebook(books, LAB, CHARGED, (KILL, "kernel-dies"), LAB, SHIPPED), tmp_path / "work")
    assert told.returncode == 0, told.stderr


def becomes_readable(descriptor: int, seconds: float) -> bool:
    """Whether the process behind a pidfd ends in time."""
    return bool(select.select([descriptor], [], [], seconds)[0])


def test_without_a_notebook_it_says_so(tmp_path: Path) -> None:
    told = demo(tmp_path / "none.ipynb", tmp_path)
    assert told.returncode == 1
    assert "there is no notebook" in told.stderr
