"""How a view meets the notebook: one line as `repr`, a document as text and as HTML.

What is shown never raises: a cell that ends in a broken view still shows which view broke and why.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from aionlab.core.errors import shorten

from .document import Document, note
from .text import visible

_T = TypeVar("_T")


def bundle(document: Document) -> dict[str, str]:
    """The document as a MIME bundle: "text/plain" and "text/html"."""
    return {"text/plain": "\n".join(document.lines), "text/html": document.element.render()}


class Shown:
    """Anything that is looked at. A subclass says `_line` (one line) and `_document`; both are pure and cheap."""

    __slots__ = ()

    def _line(self) -> str:
        raise NotImplementedError

    def _document(self) -> Document:
        raise NotImplementedError

    def __repr__(self) -> str:
        return _or_why(self, lambda: visible(self._line()), lambda why: why)

    def __str__(self) -> str:
        return _or_why(self, lambda: "\n".join(self._document().lines), lambda why: why)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return _or_why(self, lambda: bundle(self._document()), lambda why: bundle(note(why)))

    def _repr_html_(self) -> str:
        return self._repr_mimebundle_()["text/html"]


def _or_why(thing: object, make: Callable[[], _T], otherwise: Callable[[str], _T]) -> _T:
    try:
        return make()
    except Exception as error:  # noqa: BLE001 - a view that raises would hide the cell's own outcome
        return otherwise(visible(f"<{type(thing).__name__} cannot be shown: {type(error).__name__}: {shorten(str(error), 120)}>"))
