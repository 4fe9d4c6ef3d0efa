"""Standalone pictures from the same kind of elements as `html`, with a vocabulary of shapes and text.

A file made here reaches for nothing: no script, link, font or style sheet from elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable

from .html import Element, _checked, _flat

TAGS = frozenset("svg g rect line path text tspan title desc defs pattern".split())
ATTRIBUTES = frozenset(
    "xmlns viewBox width height x y x1 y1 x2 y2 rx d fill stroke stroke-width stroke-dasharray opacity fill-opacity font-size"
    " font-family font-weight text-anchor id patternUnits patternTransform role".split()
)


def s(
    tag: str, *children: Element | str | Iterable[Element | str] | None, **attributes: str | int | float | bool | None
) -> Element:
    """An SVG element; see `html.h`."""
    if tag not in TAGS:
        raise ValueError(f"<{tag}> is not in the vocabulary")
    return Element(tag, _checked(attributes, ATTRIBUTES), _flat(children))
