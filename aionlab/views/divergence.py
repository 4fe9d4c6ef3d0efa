"""The page of a divergence: what history has, what the code asked for, where, and how to mend it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from os.path import commonprefix

from aionlab.core.errors import NondeterminismError

from .bundle import Shown
from .document import Cell, Document, breaking, code_cell, facts, heading, listing, note, stacked, titled
from .html import Element, h
from .palette import GREEN, RED
from .text import block, clip, label, short

_WORD = re.compile(r"\w")


@dataclass(frozen=True, slots=True, repr=False)
class Divergence(Shown):
    """A NondeterminismError, laid out.

    `code` are the lines around the place as (number, text), `history` the recorded event in words.
    """

    workflow_id: str
    run_id: str
    seq: int
    expected: str
    actual: str
    source: str = ""
    suggestion: str = ""
    version: str = ""
    history: str = ""
    code: tuple[tuple[int, str], ...] = ()
    line: int = 0

    @classmethod
    def of(
        cls, error: NondeterminismError, *, history: str = "", code: tuple[tuple[int, str], ...] = (), line: int = 0
    ) -> Divergence:
        """The page of this error."""
        return cls(
            error.workflow_id,
            error.run_id,
            error.seq,
            error.expected,
            error.actual,
            error.source,
            error.suggestion,
            error.version,
            history,
            code,
            line,
        )

    def _line(self) -> str:
        has, asked = clip(self.expected, 60), clip(self.actual, 60)
        return f"<Divergence of {label(self.workflow_id)} at event {self.seq}: history has {has}, the code asked for {asked}>"

    def _document(self) -> Document:
        digits = max((len(str(number)) for number, _ in self.code), default=1)
        lines = [f"{number:>{digits}}  {clip(text.replace(chr(9), '    '), 200)}" for number, text in self.code]
        marked = next((i for i, (number, _) in enumerate(self.code) if number == self.line), None)
        expected, actual = clip(self.expected, 400), clip(self.actual, 400)
        head, tail = _differing(expected, actual)
        return stacked(
            heading("divergence of", label(self.workflow_id, 200), "Stuck", f"at event {self.seq}"),
            facts(
                [
                    ("history has", Cell(expected, _apart(expected, head, tail, GREEN))),
                    ("the code asked for", Cell(actual, _apart(actual, head, tail, RED))),
                    ("recorded", clip(self.history, 300)),
                    ("at", code_cell(clip(self.source, 200))),
                    ("run id", code_cell(label(self.run_id, 200))),
                    ("version", code_cell(short(self.version))),
                ]
            ),
            titled("code", listing(lines, marked)) if lines else None,
            titled("to mend it", listing(block(self.suggestion)))
            if "\n" in self.suggestion
            else note("→ " + clip(self.suggestion, 1000), None)
            if self.suggestion
            else None,
            note("the history is untouched; the run goes on when code that agrees with it is routed to it"),
        )


def _differing(one: str, other: str) -> tuple[int, int]:
    """(characters with which both begin, characters with which both end), words left whole."""
    head = len(commonprefix((one, other)))
    tail = len(commonprefix((one[head:][::-1], other[head:][::-1])))
    while head and _WORD.match(one[head - 1]):
        head -= 1
    while tail and _WORD.match(one[-tail]):
        tail -= 1
    return head, tail


def _apart(text: str, head: int, tail: int, colour: str) -> Element:
    end = len(text) - tail
    differing = h("b", text[head:end], style=f"color:{colour}")
    return h("span", text[:head], differing, text[end:], style=breaking(text))
