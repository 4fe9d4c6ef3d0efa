"""What a view says, once: lines for a terminal and an element for a page, made together from the same cells.

The blocks (heading, facts, grid, listing) each write both forms, and `stacked` puts documents under one another; so a fact
cannot be in one form and missing from the other. Blocks take text that is already visible (`text.visible` and its kin).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

from .html import Element, h
from .palette import GREY, MONO, RULE, SMALL, SURFACE, look, muted, state
from .text import columns, label, pad, width

_T = TypeVar("_T")

_TABLE = "border-collapse:collapse;border:none;margin:0;table-layout:auto;font-size:13px;line-height:1.4"
_TD = "padding:2px 14px 2px 0;text-align:left;vertical-align:top;border:none"
_TD_RIGHT = "padding:2px 14px 2px 0;text-align:right;vertical-align:top;border:none;white-space:nowrap"
_LABEL = f"font-weight:600;color:{GREY};white-space:nowrap;{SMALL}"
_TH = f"padding:2px 14px 3px 0;text-align:left;vertical-align:bottom;border:none;{_LABEL}"
_TH_RIGHT = _TH.replace("text-align:left", "text-align:right")
_ROW = f"background:transparent;border-bottom:1px solid {RULE}"
_CODE = "font-family:monospace;font-size:12px;line-height:1.4;overflow-x:auto;white-space:pre"
_PRE = f"margin:2px 0;padding:4px 8px;border:none;background:{SURFACE};{_CODE}"
_PROSE = "font-size:13px;line-height:1.4;margin:2px 0"
_HEAD = f"background:transparent;border-bottom:1px solid {GREY}"


class Document(NamedTuple):
    """The two forms of one thing."""

    lines: tuple[str, ...]
    element: Element


class Cell(NamedTuple):
    """What one place of a grid or of the facts says."""

    text: str
    element: Element | str
    title: str | None = None


def cell(text: str, title: str | None = None) -> Cell:
    return Cell(text, text, title)


def code_cell(text: str, title: str | None = None) -> Cell:
    """A name, an id or a preview: monospaced, and free to break when it is long."""
    style = breaking(text) if len(text) > 28 else MONO + ";white-space:nowrap"
    return Cell(text, h("span", text, style=style), title)


def breaking(text: str) -> str:
    """The style of long code that is broken where a narrow page makes it, though not into a column of single characters."""
    broken = "overflow-wrap:break-word" if " " in text else "word-break:break-all"
    return f"{MONO};display:inline-block;min-width:260px;white-space:normal;{broken}"


def id_cell(name: str) -> Cell:
    """A run id in a listing: whole in text, cut in the middle on a page, where hovering shows all of it."""
    return Cell(label(name, 36), code_cell(label(name, 14)).element, label(name, 200))


def state_cell(word: str) -> Cell:
    return Cell(look(word).mark + " " + word, state(word))


def kept(rows: Sequence[_T], most: int) -> tuple[list[_T | None], int]:
    """The rows to show, with None where the middle is left out, and how many that leaves out."""
    if len(rows) <= most:
        return list(rows), 0
    tail = most // 4
    return [*rows[: most - tail], None, *rows[len(rows) - tail :]], len(rows) - most


def _as_cell(given: Cell | str) -> Cell:
    return given if isinstance(given, Cell) else Cell(given, given)


def heading(kind: str, name: str, status: str = "", note: str = "") -> Document:
    """ "order o-1  ✓ Completed  2h3m": what it is, which one, how it stands."""
    parts = [part for part in (f"{kind} {name}".strip(), look(status).mark + " " + status if status else "", note) if part]
    element = h(
        "div",
        [muted(kind + " ")] if kind else None,
        h("b", name, style="overflow-wrap:break-word;word-break:break-all" if len(name) > 48 else None),
        ["  ", state(status)] if status else None,
        ["  ", muted(note)] if note else None,
        style="font-size:14px;margin:0 0 4px 0;white-space:pre-wrap",
    )
    return Document(("  ".join(parts),), element)


def facts(pairs: Iterable[tuple[str, Cell | str]]) -> Document:
    """Names and what they are, one a line; pairs without text are left out."""
    kept = [(name, _as_cell(given)) for name, given in pairs]
    kept = [(name, one) for name, one in kept if one.text]
    cells = max((width(name) for name, _ in kept), default=0)
    rows = [
        h(
            "tr",
            h("td", name, style=f"{_TD};color:{GREY};white-space:nowrap"),
            h("td", one.element, style=_TD, title=one.title),
            style="background:transparent",
        )
        for name, one in kept
    ]
    return Document(tuple(f"{pad(name, cells)}  {one.text}" for name, one in kept), h("table", h("tbody", rows), style=_TABLE))


def grid(
    names: Sequence[str], rows: Sequence[Sequence[Cell | str]], right: Iterable[int] = (), empty: str = "nothing yet"
) -> Document:
    """A table with one line a row; the columns numbered in `right` align to the right. Columns without any text are left out."""
    if not rows:
        return note(empty)
    to_right = frozenset(right)
    cells = [[_as_cell(one) for one in row] for row in rows]
    used = [i for i in range(len(names)) if any(row[i].text for row in cells)]
    lines = columns(
        [[names[i] for i in used], *([row[i].text for i in used] for row in cells)],
        [k for k, i in enumerate(used) if i in to_right],
    )
    head = h("tr", [h("th", names[i], style=_TH_RIGHT if i in to_right else _TH, scope="col") for i in used], style=_HEAD)
    body = [
        h("tr", [h("td", row[i].element, style=_style(row[i].text, i in to_right), title=row[i].title) for i in used], style=_ROW)
        for row in cells
    ]
    return Document(lines, h("table", h("thead", head), h("tbody", body), style=_TABLE))


def _style(text: str, right: bool) -> str:
    return _TD_RIGHT if right else f"{_TD};white-space:nowrap" if len(text) <= 40 else _TD


def note(text: str, colour: str | None = GREY) -> Document:
    """One line of prose; without a colour it has that of the page."""
    return Document((text,), h("div", text, style=(f"color:{colour};" if colour else "") + _PROSE))


def code_note(text: str) -> Document:
    """One line that is code or a payload."""
    return Document((text,), h("div", h("span", text, style=MONO + ";overflow-wrap:break-word"), style=_PROSE))


def listing(lines: Sequence[str], marked: int | None = None) -> Document:
    """Source or a traceback, as it stands; the line numbered `marked` (from 0) is pointed at."""
    if not lines:
        return Document((), h("div"))
    text = tuple(("> " if i == marked else "  ") + line for i, line in enumerate(lines)) if marked is not None else tuple(lines)
    children: list[Element | str] = []
    for i, line in enumerate(text):
        children.append(h("b", line) if i == marked else line)
        children.append("\n")
    return Document(text, h("pre", children[:-1], style=_PRE))


def titled(title: str, inner: Document, folded: bool = False) -> Document:
    """A part of a document under its own small title; `folded` closes it on a page until it is clicked."""
    if not inner.lines:
        return inner
    lines = (title, *("  " + line for line in inner.lines))
    style = f"color:{GREY};font-weight:600;margin:0 0 2px 0;{SMALL}"
    if folded:
        return Document(
            lines, h("details", h("summary", title, style=style + ";cursor:pointer"), inner.element, style="margin:6px 0 0 0")
        )
    return Document(lines, h("div", h("div", title, style=style), inner.element, style="margin:8px 0 0 0"))


def stacked(*parts: Document | None) -> Document:
    """The parts under one another, in a frame of their own that scrolls when the page is narrow."""
    kept = [part for part in parts if part is not None and part.lines]
    return Document(
        tuple(line for part in kept for line in part.lines),
        h("div", [part.element for part in kept], style="overflow-x:auto;margin:2px 0;text-align:left"),
    )
