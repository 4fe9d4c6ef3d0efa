"""The first notebook as a reader meets it: JupyterLab, a killed kernel, both themes."""
from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat

if TYPE_CHECKING:
    from tests.browser.harness import JupyterLab, Lab

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "01_first_run.ipynb"


def test_the_first_notebook_in_jupyterlab(lab: Lab, jupyterlab: JupyterLab, artifacts: Path) -> None:
    from tests.browser.harness import DARK, LIGHT

    shutil.copy(NOTEBOOK, jupyterlab.folder)
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    assert any("kernel-dies" in cell.metadata.get("tags", ()) for cell in cells), "the first notebook shows no death"
    book = lab.open(NOTEBOOK.name)
    for number, cell in enumerate(cells):
        if cell.cell_type != "code":
            continue
        tags = cell.metadata.get("tags", ())
        if "kernel-dies" in tags:
            book.run_to_death(number)
            continue
        book.run(number)
        errors = [output for output in book.outputs(number) if output["output_type"] == "error"]
        assert ("raises-exception" in tags) == bool(errors), f"cell {number}: {cell.source}\n{book.text(number)}"
    assert lab.errors == []
    last = max(number for number, cell in enumerate(cells) if cell.cell_type == "code" and book.outputs(number))
    for name, theme in (("light", LIGHT), ("dark", DARK)):
        lab.theme(theme)
        book.show(last)
        lab.screenshot(artifacts / f"first-run-{name}.png")
