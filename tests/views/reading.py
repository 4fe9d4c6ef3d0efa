"""What a careful reader makes of the views' HTML: its tags, attributes, text and styles, judged by rules written here alone.

The rules restate what JupyterLab's sanitizer keeps of an untrusted output; they share nothing with `aionlab.views.html`.
"""

from __future__ import annotations

import re
from functools import cache
from html.parser import HTMLParser

_TAGS = {
    "div",
    "span",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "details",
    "summary",
    "code",
    "pre",
    "b",
    "i",
    "small",
    "br",
    "ul",
    "li",
    "p",
}
_ATTRIBUTES = {"style", "title", "colspan", "rowspan", "scope", "open"}
_COLOUR = r"(?:#[0-9a-f]{6}|transparent|rgba\(\d{1,3},\d{1,3},\d{1,3},0\.\d+\))"
_LENGTH = r"-?(?:\d*\.)?\d+(?:px|%)|0"
_STOP = rf"{_COLOUR}(?: (?:{_LENGTH}))?"
_STYLES = {
    "background": rf"{_COLOUR}|linear-gradient\(\d+deg,{_STOP}(?:,{_STOP})+\)",
    "background-size": r"\d+px",
    "color": _COLOUR,
    "opacity": r"0\.\d+",
    "font-family": "monospace",
    "font-size": r"\d+(?:px|%)",
    "font-weight": "600",
    "line-height": r"\d\.\d+|\d+px",
    "text-align": "left|right|center",
    "vertical-align": "top|middle|bottom",
    "white-space": "normal|nowrap|pre|pre-wrap",
    "word-break": "break-all",
    "overflow-wrap": "break-word",
    "overflow": "hidden",
    "overflow-x": "auto",
    "position": "relative|absolute",
    "display": "inline-block",
    "table-layout": "auto",
    "text-overflow": "ellipsis",
    "border": "none",
    "border-collapse": "collapse",
    "border-bottom": rf"1px solid {_COLOUR}",
    "border-right": rf"2px dotted {_COLOUR}",
    "cursor": "pointer",
    **dict.fromkeys(("left", "top", "width", "height", "min-width", "max-width", "border-radius"), _LENGTH),
    **dict.fromkeys(("margin", "padding"), rf"(?:{_LENGTH})(?: (?:{_LENGTH})){{0,3}}"),
}
_RULES = {name: re.compile(rule) for name, rule in _STYLES.items()}


class Page(HTMLParser):
    """A parsed page; `faults` lists everything that should not be there."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.faults: list[str] = []
        self.texts: list[str] = []
        self.titles: list[str] = []
        self.open: list[str] = []
        self.feed(markup)
        self.close()
        if self.open:
            self.faults.append(f"left open: {self.open}")

    @property
    def text(self) -> str:
        return "".join(self.texts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _TAGS:
            self.faults.append(f"<{tag}>")
        if tag != "br":
            self.open.append(tag)
        for name, value in attrs:
            if name not in _ATTRIBUTES:
                self.faults.append(f"{tag} {name}=")
            if name == "title":
                self.titles.append(value or "")
            if name == "style":
                self.faults += [f"{tag} style {one}" for one in (value or "").split(";") if not _kept(one)]

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> out of place")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.faults.append(f"comment {data!r}")

    handle_decl = handle_pi = unknown_decl = handle_comment


@cache
def _kept(declaration: str) -> bool:
    name, _, value = declaration.partition(":")
    return name in _RULES and _RULES[name].fullmatch(value) is not None
