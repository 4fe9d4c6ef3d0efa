"""Strings that outsiders may send: markup, handlers, schemes, templates, SQL, paths, escapes, characters that hide or reorder."""

from __future__ import annotations

import unicodedata

_TAGS = (
    "script",
    "img",
    "svg",
    "iframe",
    "object",
    "embed",
    "style",
    "link",
    "meta",
    "base",
    "form",
    "input",
    "video",
    "math",
    "template",
    "details",
    "a",
)
_HANDLERS = ("onerror", "onload", "onclick", "onmouseover", "onfocus", "ontoggle", "onanimationstart", "onpointerenter")
_BREAKERS = (
    "",
    '"',
    "'",
    "`",
    ">",
    '">',
    "'>",
    "-->",
    "]]>",
    "</td>",
    "</table>",
    "</pre>",
    "</title>",
    "</textarea>",
    "</style>",
    "&quot;>",
    "&#62;",
    "\\x3e",
)
_SCHEMES = (
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "java\tscript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:x",
    "file:///etc/passwd",
    "//evil.example/x",
    "https://evil.example/?c=1",
)
_TEMPLATES = (
    "{{7*7}}",
    "${7*7}",
    "#{7*7}",
    "<%= 7*7 %>",
    "{%raw%}",
    "%s%n%x",
    "{0.__class__}",
    "{self}",
    "%(name)s",
    "$x",
    "{x}",
    "`id`",
    "$(id)",
    "$$\\href{javascript:x}{y}$$",
)
_SQL = ("' OR 1=1 --", "'; DROP TABLE events; --", '" OR ""="', "x' UNION SELECT 1 --", "%' LIKE '%", "1;ATTACH 'x' AS y")
_PATHS = (
    "../../etc/passwd",
    "..\\..\\windows",
    "/dev/null",
    "C:\\CON",
    "a/../b",
    "~/.ssh/id_rsa",
    "%2e%2e%2f",
    "file\x00.txt",
    "COM1",
    ".",
    "..",
    "-rf",
)
_CONTROL = [chr(c) for c in (*range(0x20), *range(0x7F, 0xA0))]
_HIDING = (
    "\u00ad\u034f\u061c\u115f\u180e\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e"
    "\u2060\u2061\u2066\u2067\u2068\u2069\u3164\ufeff\ufffe\uffff\U000e0001\U000e0041"
)
_ANSI = (
    "\x1b[31mred\x1b[0m",
    "\x1b]8;;https://evil.example\x07link\x1b]8;;\x07",
    "\x1b[2J\x1b[H",
    "\x9b31m",
    "\x1b]0;title\x07",
    "a\rb",
    "a\x08\x08b",
    "a\x0cb",
    "\x1bc",
)
_SCRIPTS = (
    "שלום עולם",
    "مرحبا",
    "日本語のワークフロー",
    "한국어",
    "नमस्ते",
    "ไทย",
    "👩\u200d👩\u200d👧\u200d👦",
    "🏴\u200d☠️",
    "🏳️\u200d🌈",
    "👍🏽",
    "می\u200cخواهم",
    "ﬁ",
    "İ",
    "ß",
    "Ω≈ç√",
)
_ODD = (
    "",
    " ",
    "  two  blanks  ",
    "None",
    "null",
    "nan",
    "0",
    "-1",
    "true",
    "__proto__",
    "constructor",
    "<",
    ">",
    "&",
    "&amp;",
    "&lt;script&gt;",
    "&#0;",
    "&#x202e;",
    "\\",
    "\\u202e",
    '"',
    "'",
    "#",
    "[x](javascript:x)",
    "![x](https://evil.example)",
    "<!--",
    "<![CDATA[",
    "<?php",
    "=1+1",
    "@SUM(A1)",
    "+cmd|' /C calc'!A0",
    "-2+3",
    "a\nb",
    "a\r\nb",
    "a\tb",
    "\ud800",
    "\udfff",
    "ok\ud83d",
    "x" * 1_000_000,
    "<" * 50_000,
    "é" * 1000,
    "日" * 500,
    "e" + "\u0301" * 2000,
    "\u202e" * 300,
    "a b " * 400,
    "\U0010ffff",
    "\ue000",
    "z̸̢̛" * 60,
)


def corpus() -> list[str]:
    """The strings, each once, in a fixed order."""
    found: list[str] = []
    found += [
        f"{breaker}<{tag} {_HANDLERS[i % 8]}=alert(1) src=x>" for i, tag in enumerate(_TAGS) for breaker in _BREAKERS[i % 3 :: 3]
    ]
    found += [f"<script>{breaker}alert(1)</script>" for breaker in _BREAKERS]
    found += [f'{breaker} {handler}="alert(1)" x=' for handler in _HANDLERS for breaker in _BREAKERS[:4]]
    found += [f'<a href="{scheme}">x</a>' for scheme in _SCHEMES] + list(_SCHEMES)
    found += [
        "background:url(https://evil.example)",
        "x;}</style><script>alert(1)</script>",
        "expression(alert(1))",
        "var(--x)",
        "<SCRIPT/SRC=x>",
        "<scr<script>ipt>",
    ]
    found += [*_TEMPLATES, *_SQL, *_PATHS, *_ANSI, *_SCRIPTS, *_ODD]
    found += [f"a{char}b" for char in _CONTROL] + [f"a{char}b" for char in _HIDING]
    found += [unicodedata.normalize(form, "Café Å ½") for form in ("NFC", "NFD", "NFKC")]
    return list(dict.fromkeys(found))
