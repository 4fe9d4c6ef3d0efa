"""The door every page goes through, and that no view has another."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import aionlab.views
from aionlab.views.html import h
from aionlab.views.svg import s

SOURCES = sorted(Path(aionlab.views.__file__).parent.glob("*.py"))
_MARKUP = re.compile(
    r"</|<(?:div|span|table|tr|td|th|b|i|p|pre|code|script|style|svg|img|a|html|br|details|summary)\b[ >/]", re.IGNORECASE
)


def test_text_and_attributes_are_escaped() -> None:
    assert h("td", "<b>&\"'", title="\">'<x").render() == '<td title="&quot;&gt;&#x27;&lt;x">&lt;b&gt;&amp;"\'</td>'
    assert h("span", "a\x00\u202eb\nc").render() == "<span>a\\x00\\u202eb\nc</span>"


def test_children_may_be_nested_and_missing() -> None:
    assert h("tr", None, [h("td", "1"), "x"], (h("td") for _ in range(1))).render() == "<tr><td>1</td>x<td></td></tr>"
    assert h("details", h("br"), open=True, title=None, colspan=2).render() == '<details open="" colspan="2"><br></details>'


@pytest.mark.parametrize("tag", ["script", "style", "img", "a", "iframe", "svg", "object", "form", "DIV", "b><script"])
def test_other_tags_are_refused(tag: str) -> None:
    with pytest.raises(ValueError, match="vocabulary"):
        h(tag)


@pytest.mark.parametrize("name", ["onclick", "href", "src", "id", "srcdoc", "xlink_href", "class x"])
def test_other_attributes_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="vocabulary"):
        h("div", **{name: "x"})
    with pytest.raises(ValueError, match="vocabulary"):
        s("rect", **{name if name != "id" else "style": "x"})


@pytest.mark.parametrize(
    "style",
    [
        "color:var(--x)",
        "background:url(x)",
        "background:URL(x)",
        'color:"x"',
        "color:red}b{",
        "@import x",
        "width:expression(1)",
        "position:fixed",
        "color",
        "",
    ],
)
def test_other_styles_are_refused(style: str) -> None:
    with pytest.raises(ValueError, match="vocabulary"):
        h("div", style=style)


def markup_in(source: str) -> list[int]:
    """Lines whose string constants hold markup, docstrings apart."""
    tree = ast.parse(source)
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    strings = [
        node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
    ]
    return [node.lineno for node in strings if _MARKUP.search(str(node.value))]


def test_markup_is_written_in_one_place() -> None:
    found = {path.name: markup_in(path.read_text(encoding="utf-8")) for path in SOURCES}
    assert {name for name, lines in found.items() if lines} == {"html.py"}, found
    assert markup_in('x = f"<b>{y}"') == [1]
