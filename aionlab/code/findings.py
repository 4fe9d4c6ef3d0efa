"""The files that code comes from, and what stands in its way there, each thing once."""
from __future__ import annotations

from .ledger import Statement
from .refuse import Finding


class Findings:
    """Findings by file; the first file met is the one people need not be told of."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        """File name as compiled → what people call it."""
        self.found: list[Finding] = []

    def add(self, statement: Statement, line: int, text: str) -> None:
        """Note what stands in the way on that line."""
        self.number(statement)
        finding = Finding(list(self.files).index(statement.file), line, text)
        if finding not in self.found:
            self.found.append(finding)

    def where(self, statement: Statement, line: int) -> str:
        """The line as people are told of it."""
        first = next(iter(self.files), statement.file)
        return f"line {line}" if statement.file == first else f"line {line} of {statement.label}"

    def number(self, statement: Statement) -> int:
        """The number of the statement's file, which is made known under a name of its own."""
        if statement.file not in self.files:
            label, taken = statement.label or statement.file, set(self.files.values())
            label = label.rpartition("/")[2].rpartition("\\")[2]
            spare = 2
            unique = label
            while unique in taken:
                unique, spare = f"{label}~{spare}", spare + 1
            self.files[statement.file] = unique
        return list(self.files).index(statement.file)
