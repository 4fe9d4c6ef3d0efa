"""The harness itself, and with it that JupyterLab and Chromium work here, on notebooks without aionlab."""
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest

if TYPE_CHECKING:
    from tests.browser.harness import JupyterLab, Lab


def write(folder: Path, name: str, *sources: str) -> str:
    """A notebook of these code cells in a folder; returns its name."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, folder / name)
    return name


def test_cells_run_and_their_outputs_are_read_from_the_model(lab: Lab, jupyterlab: JupyterLab) -> None:
    book = lab.open(write(jupyterlab.folder, "run.ipynb", "x = 40", "print('x is', x)", "x + 2", "raise ValueError('no')", "'not reached'"))
    book.run(0)
    assert book.evaluate("x") == "40"
    book.run_all()
    assert [book.text(n) for n in range(5)] == ["", "x is 40\n", "42", "no", ""]
    assert book.outputs(3)[0]["ename"] == "ValueError"
    book.save()
    saved = nbformat.read(jupyterlab.folder / "run.ipynb", as_version=4)
    assert saved.cells[2].outputs[0].data["text/plain"] == "42"
    assert lab.errors == []


def test_a_widget_works_without_another_machine(lab: Lab, jupyterlab: JupyterLab) -> None:
    book = lab.open(write(jupyterlab.folder, "widget.ipynb", "import ipywidgets\nb = ipywidgets.Button(description='press')\nn = []\nb.on_click(n.append)\nb"))
    book.run(0)
    lab.page.get_by_role("button", name="press").click()
    book.wait_for_value("len(n)", "1")


def test_a_killed_kernel_comes_back_empty(lab: Lab, jupyterlab: JupyterLab) -> None:
    book = lab.open(write(jupyterlab.folder, "kill.ipynb", "x = 1", "'x' in globals()", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"))
    book.run(0)
    book.kill()
    book.run(1)
    assert book.text(1) == "False"
    book.run(0)
    book.restart()
    book.run(1)
    assert book.text(1) == "False"
    book.run(0)
    book.run_to_death(2)
    book.run(1)
    assert book.text(1) == "False"


def test_both_themes_are_shown(lab: Lab, jupyterlab: JupyterLab, artifacts: Path) -> None:
    from tests.browser.harness import DARK, LIGHT

    book = lab.open(write(jupyterlab.folder, "themes.ipynb", "import pandas as pd\npd.DataFrame({'event': ['started', 'completed'], 'seq': [1, 2]})"))
    book.run_all()
    colours = set()
    for name, theme in (("light", LIGHT), ("dark", DARK)):
        lab.theme(theme)
        colours.add(lab.page.evaluate("getComputedStyle(document.querySelector('.jp-Notebook')).backgroundColor"))
        assert lab.screenshot(artifacts / f"harness-{name}.png").stat().st_size > 10_000
    assert len(colours) == 2


def test_a_request_to_another_machine_is_noticed(browser: object, jupyterlab: JupyterLab) -> None:
    with pytest.raises(AssertionError, match="reached for other machines"), jupyterlab.page(browser) as lab:  # type: ignore[arg-type]
        lab.open(write(jupyterlab.folder, "foreign.ipynb", "1"))
        lab.page.route("http://192.0.2.1/**", lambda route: route.abort())  # an address for documentation; nothing leaves here
        lab.wait_for("fetch('http://192.0.2.1/').catch(() => null)")
