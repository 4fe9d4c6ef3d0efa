"""Every view as JupyterLab draws it: nothing overlaps, nothing sticks out, and a notebook nobody trusts shows the same."""
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat

from tests.views.gallery import shelf

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.browser.harness import JupyterLab, Lab

ROOT = Path(__file__).parents[2]
PLANTED = "planted"
SCROLLING = ("frame-events", PLANTED)
"""What may be wider than the page: frames, which pandas draws, and what is wrong on purpose."""

# Where text is, by the boxes of its glyphs; a bar is where its element is.
FAULTS = """() => [...document.querySelectorAll('.jp-Notebook .jp-CodeCell')].map(cell => {
  const name = cell.querySelector('.cm-content').innerText.split('#').pop().trim(), faults = [];
  const boxes = node => {
    const found = [], walker = document.createTreeWalker(node, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) if (walker.currentNode.data.trim()) {
      const clipped = walker.currentNode.parentElement, range = document.createRange();
      range.selectNodeContents(walker.currentNode);
      const ends = getComputedStyle(clipped).textOverflow === 'ellipsis' ? clipped.getBoundingClientRect().right : Infinity;
      for (const box of range.getClientRects()) found.push({left: box.left, right: Math.min(box.right, ends), top: box.top, bottom: box.bottom});
    }
    for (const bar of node.querySelectorAll('span[title]')) if (bar.style.position === 'absolute') found.push(bar.getBoundingClientRect());
    return found;
  };
  for (const output of cell.querySelectorAll('.jp-OutputArea-output')) {
    for (const row of output.querySelectorAll('tr')) {
      let reached = -Infinity, before = '';
      for (const field of row.cells) {
        const found = boxes(field), edge = field.getBoundingClientRect();
        for (const box of found) {
          if (box.left < reached - 1) faults.push(`${field.innerText} lies over ${before}`);
          if (box.right > edge.right + 1 || box.left < edge.left - 1) faults.push(`${field.innerText} leaves its cell`);
          if (box.top < edge.top - 2 || box.bottom > edge.bottom + 2) faults.push(`${field.innerText} leaves its row`);
        }
        if (found.length) { reached = Math.max(reached, ...found.map(box => box.right)); before = field.innerText; }
      }
    }
    for (const part of [output, ...output.querySelectorAll('*')])
      if (['auto', 'scroll'].includes(getComputedStyle(part).overflowX) && part.scrollWidth > part.clientWidth + 1)
        faults.push(`${part.tagName} is ${part.scrollWidth} wide where ${part.clientWidth} are`);
    if (output.scrollWidth > cell.getBoundingClientRect().width) faults.push('wider than its cell');
  }
  return [name, [...new Set(faults)]];
})"""

# What is left of an output after the sanitizer, read back from the page in the browser's own spelling.
DRAWN = """() => [...document.querySelectorAll('.jp-Notebook .jp-CodeCell')].map(cell => [
  cell.querySelector('.cm-content').innerText.split('#').pop().trim(),
  [...cell.querySelectorAll('.jp-OutputArea-output.jp-RenderedHTMLCommon *')].filter(part => part.tagName !== 'STYLE')
    .map(part => `${part.tagName} ${part.title} ${part.style.cssText} ${part.children.length ? '' : part.textContent}`)])"""


def gallery_notebook(folder: Path) -> str:
    """A cell for each view, one for an error, and one that is wrong on purpose."""
    sources = [f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom tests.views.gallery import shelf\nviews = dict(shelf())  # setup"]
    sources += [f"views[{name!r}]  # {name}" for name, _ in shelf()]
    cells = "".join(f'<td style="white-space:nowrap">{text}</td>' for text in ("activity#0", "charge", "7.8s"))
    sources.append(f"from IPython.display import HTML\nHTML('<table style=\"width:60px\"><tr>{cells}</tr></table>')  # {PLANTED}")
    sources.append(
        "from aionlab.lab.errors import LineError, one_line\nraise one_line(LineError('no verb tmeline; did you mean %aion timeline?'))  # error"
    )
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, folder / "gallery.ipynb")
    return "gallery.ipynb"


def check(lab: Lab) -> None:
    faults: dict[str, list[str]] = dict(lab.page.evaluate(FAULTS))
    assert {name for name, _ in shelf()} < set(faults)
    assert any("lies over" in fault for fault in faults[PLANTED]), "the check no longer sees text that overlaps"
    assert {name: found for name, found in faults.items() if found and name not in SCROLLING} == {}


def test_every_view_in_jupyterlab(browser: Browser, jupyterlab: JupyterLab, artifacts: Path) -> None:
    from tests.browser.harness import DARK, LIGHT

    name = gallery_notebook(jupyterlab.folder)
    with jupyterlab.page(browser, 1280, 9600) as lab:
        book = lab.open(name)
        for cell in range(len(book.cells())):
            book.start(cell)
        book.wait_for_text(len(book.cells()) - 1, "did you mean")
        book.wait_until_idle()
        assert book.text(len(book.cells()) - 1).count("\n") == 0
        for theme, called in ((LIGHT, "light"), (DARK, "dark")):
            lab.theme(theme)
            lab.screenshot(artifacts / f"views-{called}.png")
            check(lab)
        drawn: list[Any] = lab.page.evaluate(DRAWN)
        assert sum(len(parts) for _, parts in drawn) > 1000
        saved: Any = nbformat.from_dict({"cells": book.cells(), "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
        assert lab.errors == []
    saved.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    saved.metadata["written_by"] = "somebody else"  # so that no signature of this machine fits
    nbformat.write(saved, jupyterlab.folder / "saved.ipynb")
    with jupyterlab.page(browser, 1280, 9600) as lab:
        lab.open("saved.ipynb")
        lab.screenshot(artifacts / "views-untrusted.png")
        assert lab.page.evaluate("window.jupyterapp.shell.currentWidget.content.widgets.some(cell => cell.model.trusted)") is False
        check(lab)
        ours = {name for name, _ in shelf() if not name.startswith("frame-")}
        untrusted = dict(lab.page.evaluate(DRAWN))
        for called, parts in drawn:
            if called in ours:
                assert untrusted[called] == parts, called
