"""Elements that can only be safe: a closed vocabulary of tags and attributes, and text that is always escaped.

There is no way to hand in markup, and characters that hide or reorder come out as escapes even where a view forgot to. The
vocabulary is what the sanitizers of JupyterLab, nbviewer and GitHub keep for untrusted outputs: no script, style sheet, link,
image or handler; styles are inline, with literal colours and without `url` or `var`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from html import escape

from .text import visible

TAGS = frozenset(
    "div span table thead tbody tr th td caption details summary progress meter code pre b i small br ul ol li p".split()
)
ATTRIBUTES = frozenset("style title class colspan rowspan scope open value max min".split())
_VOID = frozenset({"br"})
_STYLE = re.compile(r"[-a-z]+:[-#a-zA-Z0-9 .,()%]+(?:;[-a-z]+:[-#a-zA-Z0-9 .,()%]+)*;?")
_REACHING = re.compile(r"url|var\s*\(|expression|import|@|position\s*:\s*fixed", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Element:
    """One node; made by `h`, which checks its vocabulary."""

    tag: str
    attributes: tuple[tuple[str, str], ...]
    children: tuple[Element | str, ...]

    def render(self) -> str:
        """The markup."""
        out: list[str] = []
        _write(self, out)
        return "".join(out)


def h(
    tag: str, *children: Element | str | Iterable[Element | str] | None, **attributes: str | int | float | bool | None
) -> Element:
    """An HTML element: `h("td", text, class_="name", title=…)`.

    Children are elements, text, iterables of both, or None (nothing). A trailing underscore of an attribute's name is dropped;
    None and False leave the attribute out, True writes it empty.
    Raises ValueError for a tag, attribute or style outside the vocabulary.
    """
    if tag not in TAGS:
        raise ValueError(f"<{tag}> is not in the vocabulary")
    return Element(tag, _checked(attributes, ATTRIBUTES), _flat(children))


def _checked(attributes: dict[str, str | int | float | bool | None], allowed: frozenset[str]) -> tuple[tuple[str, str], ...]:
    out = []
    for given, value in attributes.items():
        if value is None or value is False:
            continue
        name = given.rstrip("_").replace("_", "-")
        if name not in allowed:
            raise ValueError(f"the attribute {name!r} is not in the vocabulary")
        text = "" if value is True else str(value)
        if name == "style" and not _fits(text):
            raise ValueError(f"the style {text!r} is not in the vocabulary")
        out.append((name, text))
    return tuple(out)


@lru_cache(maxsize=4096)
def _fits(style: str) -> bool:
    return _STYLE.fullmatch(style) is not None and _REACHING.search(style) is None


def _flat(children: Iterable[Element | str | Iterable[Element | str] | None]) -> tuple[Element | str, ...]:
    out: list[Element | str] = []
    for child in children:
        if child is None:
            continue
        if isinstance(child, (Element, str)):
            out.append(child)
        else:
            out.extend(child)
    return tuple(out)


def _write(element: Element | str, out: list[str]) -> None:
    if isinstance(element, str):
        out.append(escape(_seen(element), quote=False))
        return
    out.append("<" + element.tag)
    for name, value in element.attributes:
        out.append(" " + name + '="' + escape(_seen(value)) + '"')
    out.append(">")
    if element.tag in _VOID:
        return
    for child in element.children:
        _write(child, out)
    out.append("</" + element.tag + ">")


def _seen(text: str) -> str:
    return text if text.isprintable() else "\n".join(map(visible, text.split("\n")))
