"""What a cell that defines a workflow shows: its version, which version new starts get, what it uses and what to look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from aionlab.core.events import ActivityOptions

from .bundle import Shown
from .detail import retry_line
from .document import Cell, Document, code_cell, facts, grid, heading, note, stacked, titled
from .html import h
from .palette import AMBER, GREEN, RED, look
from .text import clip, counted, label, short


class ActivityUse(NamedTuple):
    """An activity the workflow names, with the options it has by default."""

    name: str
    options: ActivityOptions = ActivityOptions()
    where: str = "thread"
    """"thread", "async", "process", "dask"."""


class Finding(NamedTuple):
    """Something in the code worth a look."""

    line: int
    """In the cell, from 1."""
    message: str
    severity: str = "warning"
    """"error" or "warning"."""
    source: str = ""
    """The line's text."""


class Checked(NamedTuple):
    """How the stored histories of the type replay against the new code."""

    good: int = 0
    diverged: tuple[str, ...] = ()
    """Workflow ids."""


@dataclass(frozen=True, slots=True, repr=False)
class Definition(Shown):
    """The card under a cell that defines a workflow.

    `staying` holds (version, number of running runs) for other versions; `pinned` names the version a pinned route keeps new
    starts on.
    """

    name: str
    version: str
    is_new: bool = True
    staying: tuple[tuple[str, int], ...] = ()
    pinned: str = ""
    activities: tuple[ActivityUse, ...] = ()
    findings: tuple[Finding, ...] = ()
    checked: Checked = Checked()
    signals: tuple[str, ...] = ()
    queries: tuple[str, ...] = ()

    def _line(self) -> str:
        found = f", {counted(len(self.findings), 'finding')}" if self.findings else ""
        return f"<workflow {label(self.name)} {short(self.version)}: {self.route}{found}>"

    @property
    def route(self) -> str:
        """ "new version; 2 running runs stay on 1a2b3c4"."""
        said = ["new version" if self.is_new else "unchanged"]
        said += [
            f"{counted(count, 'running run')} {'stays' if count == 1 else 'stay'} on {short(version)}"
            for version, count in self.staying
        ]
        if self.pinned and self.pinned != self.version:
            said.append(f"new starts are pinned to {short(self.pinned)}")
        return "; ".join(said)

    def _document(self) -> Document:
        return stacked(
            heading("workflow", label(self.name, 200)),
            facts(
                [
                    ("version", code_cell(short(self.version), label(self.version, 200))),
                    ("route", self.route),
                    ("histories", self._histories()),
                    ("signals", clip(", ".join(self.signals), 200)),
                    ("queries", clip(", ".join(self.queries), 200)),
                ]
            ),
            titled("activities", grid(("activity", "runs in", "retry and timeout"), [_activity(one) for one in self.activities]))
            if self.activities
            else None,
            titled("findings", _findings(self.findings)) if self.findings else None,
        )

    def _histories(self) -> Cell | str:
        good, diverged = self.checked
        if not good and not diverged:
            return ""
        said = f"{good} of {good + len(diverged)} replay unchanged"
        if diverged:
            said += "; diverged: " + clip(", ".join(diverged[:20]), 200)
        return Cell(said, h("span", said, style=f"color:{RED if diverged else GREEN}"))


def _activity(one: ActivityUse) -> tuple[Cell | str, ...]:
    return (code_cell(label(one.name)), label(one.where, 20), retry_line(one.options))


def _findings(findings: tuple[Finding, ...]) -> Document:
    rows = []
    for one in findings:
        mark = look(one.severity).mark + " " + label(one.severity, 20)
        colour = RED if one.severity == "error" else AMBER
        rows.append(
            (
                Cell(mark, h("span", mark, style=f"color:{colour};white-space:nowrap")),
                f"line {one.line}",
                clip(one.message, 300),
                code_cell(clip(one.source.strip(), 120)),
            )
        )
    return grid(("", "where", "what", "code"), rows) if rows else note("nothing to look at")
