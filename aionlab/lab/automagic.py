"""Keeping IPython's conveniences off our verbs: automagic, and the help a trailing `?` asks for.

`result`, `update(3)`, `step += 1` and `kill 5` are the user's Python even where a magic has that name, and `%query o-1 status?` is
not a question about `status`.
"""
from __future__ import annotations

import re
import tokenize
from typing import Any

from IPython.core.inputtransformer2 import TokenTransformBase
from IPython.core.prefilter import PrefilterChecker
from traitlets import Integer

from .verbs import VERBS

_ASKED = re.compile(r"%(\w+)[ \t]+(\S.*)$")


class PlainNames(PrefilterChecker):
    """Sends a line that begins with one of our names, without `%`, to the normal handler, before automagic (700) sees it."""

    priority = Integer(650).tag(config=True)
    names: frozenset[str] = frozenset()

    def check(self, line_info: Any) -> Any:
        if line_info.esc or line_info.ifun.split(".")[0] not in self.names:
            return None
        manager: Any = self.prefilter_manager
        return manager.get_handler_by_name("normal")


class TrailingQuestion(TokenTransformBase):
    """Hands `%verb … ?` to the verb, question mark and all, so that it can say what to write instead."""

    priority = 4  # before IPython's help, 5

    def __init__(self, start: tuple[int, int], end: int, verb: str, line: str) -> None:
        super().__init__(start)  # type: ignore[no-untyped-call]
        self.end, self.verb, self.line = end, verb, line

    @classmethod
    def find(cls, tokens_by_line: Any) -> TrailingQuestion | None:
        for tokens in tokens_by_line:
            if len(tokens) < 3 or tokens[-2].string != "?":
                continue
            first = next((t for t in tokens if t.type not in (tokenize.INDENT, tokenize.DEDENT)), None)
            if first is None or first.string != "%":
                continue
            found = _ASKED.match(first.line[first.start[1] :].rstrip("\n"))
            if found is not None and found[1] in VERBS and VERBS[found[1]].own:
                return cls(first.start, tokens[-2].end[0], found[1], found[2])
        return None

    def transform(self, lines: list[str]) -> list[str]:
        before, after = lines[: self.start_line], lines[self.end :]
        indent = lines[self.start_line][: self.start_col]
        return [*before, f"{indent}get_ipython().run_line_magic({self.verb!r}, {self.line!r})\n", *after]
