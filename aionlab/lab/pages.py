"""Text as a cell's value: a line that says what happened, or a page of help."""
from __future__ import annotations


class Note:
    """A line (or a page) of text that is shown when it is a cell's value and silenced by a final `;`."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        return self.text == (other.text if isinstance(other, Note) else other)

    def __hash__(self) -> int:
        return hash(self.text)


def columns(rows: list[tuple[str, str]], indent: str = "  ", gap: int = 2, widest: int = 44) -> str:
    """Pairs as two aligned columns; a first cell wider than `widest` gets a line of its own."""
    width = max((len(left) for left, _ in rows if len(left) <= widest), default=0)
    lines = []
    for left, right in rows:
        if len(left) > widest:
            lines += [f"{indent}{left}", f"{indent}{' ' * (width + gap)}{right}"]
        else:
            lines.append(f"{indent}{left.ljust(width + gap)}{right}".rstrip())
    return "\n".join(lines)
