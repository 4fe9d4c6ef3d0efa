"""The nbval shim, on small notebooks made for the purpose: those that must pass and those that must not."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aionlab.testing.nbval_shim import fold
from tests.environment import requires

ROOT = Path(__file__).parents[2]
NBVAL = ("--nbval", "--nbval-current-env", "--nbval-cell-timeout=30", "-p", "aionlab.testing.nbval_shim", "-p", "no:cacheprovider")


def text(value: str) -> dict[str, Any]:
    """A stored stream output."""
    return {"output_type": "stream", "name": "stdout", "text": value}


def shown(value: str) -> dict[str, Any]:
    """A stored display."""
    return {"output_type": "display_data", "data": {"text/plain": value}, "metadata": {}}


def cell(source: str, *outputs: dict[str, Any], tags: tuple[str, ...] = (), count: int | None = 1) -> dict[str, Any]:
    return {"cell_type": "code", "id": f"c{abs(hash(source))}", "source": source, "outputs": list(outputs), "execution_count": count, "metadata": {"tags": list(tags)}}


class Bench:
    """A folder with one notebook, run by nbval with the shim."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.folder = pytester.mkdir("books")

    def run(self, *cells: dict[str, Any], options: tuple[str, ...] = ()) -> pytest.RunResult:
        notebook = {"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        (self.folder / "book.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
        return self.pytester.runpytest_subprocess(*NBVAL, *options, "books/book.ipynb")


@pytest.fixture
def bench(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return Bench(pytester)


KILL = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"

pytestmark = [pytest.mark.kernel]


@requires("kernel", "nbval")
def test_outputs_are_compared_as_they_stand_at_the_end(bench: Bench) -> None:
    result = bench.run(
        cell("h = display('a', display_id=True)\nh.update('b')", shown("'b'")),
        cell("from IPython.display import clear_output\nprint('old')\nclear_output()\nprint('new')", text("new\n")),
        cell("print('old')\nclear_output(wait=True)\nprint('newer')", text("newer\n")),
        cell("print('kept')\nclear_output(wait=True)", text("kept\n")),
        cell("h.update('of an earlier cell')\nprint('own')", text("own\n")),
        cell("a = display('1', display_id='x')\nb = display('2', display_id='x')", shown("'2'"), shown("'2'")),
        cell("1 + 1", {"output_type": "execute_result", "data": {"text/plain": "2"}, "metadata": {}, "execution_count": 1}),
    )
    result.assert_outcomes(passed=7)


@requires("kernel", "nbval")
def test_what_a_reader_would_not_see_fails(bench: Bench) -> None:
    result = bench.run(
        cell("h = display('a', display_id=True)\nh.update('b')", shown("'a'")),
        cell("from IPython.display import clear_output\nprint('old')\nclear_output()\nprint('new')", text("old\nnew\n")),
        cell("print('this')", text("that\n")),
        cell("raise ValueError('no')"),
        cell("print('still alive')", text("still alive\n")),
    )
    result.assert_outcomes(passed=1, failed=4)


@requires("kernel", "nbval")
def test_a_usage_error_fails_unless_expected(bench: Bench) -> None:
    usage = "from IPython.core.error import UsageError\nraise UsageError('no option --di')"
    result = bench.run(
        cell(usage, tags=("nbval-ignore-output",)),
        cell(usage.replace("--di", "--dj"), tags=("raises-exception", "nbval-ignore-output")),
        cell("raise ValueError('expected')", tags=("raises-exception", "nbval-ignore-output")),
        cell("1;"),
    )
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(["*Cell 0: Cell failed without an error output: UsageError: no option --di*"])


@requires("kernel", "nbval", "posix")
def test_a_cell_that_kills_its_kernel_is_followed_by_a_new_kernel_in_the_same_folder(bench: Bench) -> None:
    result = bench.run(
        cell("x = 1; open('kept.txt', 'w').write('kept')", tags=("nbval-ignore-output",)),
        cell(KILL, tags=("kernel-dies",)),
        cell("'x' in globals(), open('kept.txt').read()", {"output_type": "execute_result", "data": {"text/plain": "(False, 'kept')"}, "metadata": {}, "execution_count": 1}),
        cell(KILL + "\n", tags=("kernel-dies",)),
        cell("print('and again')", text("and again\n")),
    )
    result.assert_outcomes(passed=5)


@requires("kernel", "nbval", "posix")
def test_a_death_fails_where_it_is_not_expected_and_a_life_where_it_is_not(bench: Bench) -> None:
    result = bench.run(cell("1;", tags=("kernel-dies",)), cell(KILL), cell("2;"))
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(
        ["*Cell 0: This cell is tagged kernel-dies, but its kernel answered: ok*", "*Cell 1: The kernel died while executing this cell.*", "*Kernel dead on test start*"]
    )


@requires("kernel", "nbval")
def test_notebooks_run_in_a_copy_without_databases_and_leave_the_folder_alone(bench: Bench) -> None:
    (bench.folder / "lab.db").write_text("the reader's")
    (bench.folder / "lab.db-wal").write_text("")
    (bench.folder / "data.txt").write_text("copied\n")
    result = bench.run(
        cell("import os, pathlib\nprint(pathlib.Path('data.txt').read_text(), end='')", text("copied\n")),
        cell("print(sorted(p.name for p in pathlib.Path().glob('lab.db*')), os.environ['AIONLAB_DETERMINISTIC'])", text("[] 1\n")),
        cell("pathlib.Path('lab.db').write_text('the test\\'s');"),
    )
    result.assert_outcomes(passed=3)
    assert (bench.folder / "lab.db").read_text() == "the reader's"
    assert sorted(p.name for p in bench.folder.iterdir()) == ["book.ipynb", "data.txt", "lab.db", "lab.db-wal"]


@requires("kernel", "nbval")
def test_stripped_execution_counts_excuse_nothing(bench: Bench) -> None:
    result = bench.run(cell("print('a')", text("a\n"), count=None), cell("print('b')", text("c\n"), count=None), cell("print('d')", count=None))
    result.assert_outcomes(passed=1, failed=2)


@requires("kernel", "nbval")
def test_a_notebook_without_any_output_is_only_executed(bench: Bench) -> None:
    bench.run(cell("print('a')", count=None)).assert_outcomes(passed=1)


@requires("kernel", "nbval")
def test_a_hanging_cell_is_interrupted_and_fails(bench: Bench) -> None:
    result = bench.run(cell("import threading\nthreading.Event().wait()"), options=("--nbval-cell-timeout=1",))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*Timeout of 1 seconds exceeded executing cell*"])


@requires("nbval")
def test_cells_carry_the_marks(bench: Bench) -> None:
    result = bench.run(cell("1"), options=("--collect-only", "-m", "not notebook"))
    result.stdout.fnmatch_lines(["*1 deselected*"])


def message(kind: str, **content: Any) -> dict[str, Any]:
    return {"msg_type": kind, "content": content}


def test_folding_keeps_order_and_does_not_change_what_it_was_given() -> None:
    first = message("display_data", data={"text/plain": "a"}, metadata={}, transient={"display_id": "i"})
    update = message("update_display_data", data={"text/plain": "b"}, metadata={}, transient={"display_id": "i"})
    stream = message("stream", name="stdout", text="t")
    folded = fold([first, stream, update])
    assert [m["msg_type"] for m in folded] == ["display_data", "stream"]
    assert folded[0]["content"]["data"] == {"text/plain": "b"}
    assert first["content"]["data"] == {"text/plain": "a"}
