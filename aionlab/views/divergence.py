"""The page of a divergence: what history has, what the code asked for, where, and how to mend it."""

from __future__ import annotations

from dataclasses import dataclass

from aionlab.core.errors import NondeterminismError

from .bundle import Shown
from .document import Cell, Document, code_cell, facts, heading, listing, note, stacked, titled
from .html import Element, h
from .palette import GREEN, MONO, RED
from .text import block, clip, label, short


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
        same = _common(expected, actual)
        return stacked(
            heading("divergence of", label(self.workflow_id, 200), "Stuck", f"at event {self.seq}"),
            facts(
                [
                    ("history has", Cell(expected, _apart(expected, same, GREEN))),
                    ("the code asked for", Cell(actual, _apart(actual, same, RED))),
                    ("recorded", clip(self.history, 300)),
                    ("at", code_cell(clip(self.source, 200))),
                    ("run id", code_cell(label(self.run_id, 200))),
                    ("version", code_cell(short(self.version))),
                ]
            ),
            titled("code", listing(lines, marked)) if lines else None,
            titled("to mend it", listing(block(self.suggestion)))
            if "\n" in self.suggestion
            else note("→ " + clip(self.suggestion, 1000))
            if self.suggestion
            else None,
            note("the history is untouched; the run goes on when code that agrees with it is routed to it"),
        )


def _common(one: str, other: str) -> int:
    """The number of characters with which both begin."""
    shared = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        shared += 1
    return shared


def _apart(text: str, same: int, colour: str) -> Element:
    return h("span", text[:same], h("b", text[same:], style=f"color:{colour}"), style=MONO + ";word-break:break-all")
