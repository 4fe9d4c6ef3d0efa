"""A timeline in characters: bars that line up in any monospaced font."""

from __future__ import annotations

from collections.abc import Sequence

from .bars import KINDS, Picture, Row
from .palette import look
from .scale import Scale
from .text import clip, counted, label, pad, short, spread, when, width

_WORDS = {"█": "running", "░": "waiting", "▒": "failed or dropped attempt", "◆": "signal", "=": "paused"}


def lines(picture: Picture, cells: int) -> tuple[str, ...]:
    """The timeline as lines of exactly `cells` cells."""
    span, rows, hidden, axis, _ = picture
    shown = [row for row in rows if row is not None]
    ids = max((width(row.id) for row in shown), default=0)
    names = min(max((width(clip(row.name, 24)) for row in shown), default=0), max(8, cells // 4 - 2))
    lengths = max((width(row.took) for row in shown), default=0)
    bar = cells - ids - names - lengths - 5
    mark = look(str(span.status)).mark
    out = [
        spread(f"{label(span.workflow_type, 30)} {span.workflow_id}", f"{mark} {span.status}  {picture.length}", cells),
        spread(f"run {label(span.run_id, 200)}", f"{short(span.version)}  {when(span.started_at)}".strip(), cells),
    ]
    indent = " " * (ids + names + 4)
    if shown:
        out.append(
            indent
            + _axis(axis, bar)
            + " "
            + pad(picture.length if width(picture.length) <= lengths else "┄", lengths, right=True)
        )
    for row in rows:
        if row is None:
            out.append(spread("┆", f"… {counted(hidden, 'row')} left out …", cells))
            continue
        name = pad(clip(row.name, names) if row.name else "", names)
        out.append(
            f"{look(row.status).mark} {pad(row.id, ids)} {name} {_bar(row, axis, bar)} {pad(row.took, lengths, right=True)}"
        )
    for said, what in ((picture.awaits, "awaits"), (span.failure, "failure"), (span.result, "result")):
        if said:
            out.append(pad(clip(said, cells - 10), cells - 9) + what.rjust(9))
    out += _legend(shown, axis, cells)
    return tuple(out)


def _cell(axis: Scale, time: int, bar: int) -> int:
    return min(bar - 1, int(axis.at(time) * bar + 1e-9))


def _bar(row: Row, axis: Scale, bar: int) -> str:
    out = [" "] * bar
    for piece in sorted(row.pieces, key=lambda piece: KINDS[piece.kind].char != "░"):
        char = KINDS[piece.kind].char
        left = _cell(axis, piece.start, bar)
        right = max(left + 1, _cell(axis, piece.end, bar) if axis.at(piece.end) < 1.0 or piece.start == piece.end else bar)
        out[left:right] = char * (right - left)
        if piece.open:
            out[right - 1] = "→"
    return "".join(out)


def _axis(axis: Scale, bar: int) -> str:
    out = ["┄"] * bar
    for fold in axis.folds:
        left = _cell(axis, fold.start, bar)
        right = bar if fold.right >= 1.0 else max(left + 1, _cell(axis, fold.end, bar))
        room = right - left
        said = fold.label if len(fold.label) <= room - 2 else ""
        out[left:right] = f"‹{said.center(room - 2, '⋯')}›" if room >= 3 else "⋯" * room
    return "".join(out)


def _legend(rows: Sequence[Row], axis: Scale, cells: int) -> list[str]:
    pieces = [piece for row in rows for piece in row.pieces]
    chars = {KINDS[piece.kind].char for piece in pieces}
    parts = [f"{char} {word}" for char, word in _WORDS.items() if char in chars]
    parts += ["→ still open"] if any(piece.open for piece in pieces) else []
    parts += ["‹⋯› not to scale: " + ", ".join(fold.label for fold in axis.folds)] if axis.folds else []
    found: list[str] = []
    for part in parts:
        if found and width(found[-1]) + width(part) + 5 <= cells:
            found[-1] += " · " + part
        else:
            found.append(clip(part, cells - 2))
    return [line + " " + "┄" * (cells - width(line) - 1) for line in found]
