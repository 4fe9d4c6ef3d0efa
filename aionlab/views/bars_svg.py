"""A timeline as a standalone SVG file."""

from __future__ import annotations

from .bars import KINDS, Picture, Piece, Row
from .html import Element
from .palette import GREY, look
from .scale import Scale
from .svg import s
from .text import clip, counted, label, short, when

_FONT = "system-ui, sans-serif"
_LEFT, _RIGHT, _WIDE, _TOP, _STEP = 270, 110, 960, 66, 20
_BAR = _WIDE - _LEFT - _RIGHT
_NAMESPACE = "http://www.w3.org/2000/svg"


def element(picture: Picture | None) -> Element:
    """The timeline as SVG; an empty picture for None."""
    if picture is None:
        return s("svg", xmlns=_NAMESPACE, viewBox=f"0 0 {_WIDE} {_STEP}", width=_WIDE, height=_STEP, role="img")
    span, axis = picture.span, picture.axis
    height = _TOP + _STEP * (len(picture.rows) + 1) + 16
    name = f"{label(span.workflow_type, 30)} {label(span.workflow_id, 50)}"
    parts: list[Element] = [
        s("title", f"{name}: {span.status}"),
        s("defs", [_hatch(kind) for kind in KINDS if KINDS[kind].hatched]),
        _say(10, 20, f"{name}  {look(str(span.status)).mark} {span.status}  {picture.length}", 14, GREY, bold=True),
        _say(10, 38, f"run {label(span.run_id, 200)}  {short(span.version)}  {when(span.started_at)}", 11, GREY),
    ]
    tall = _STEP * len(picture.rows) + 17
    for one in axis.stretches:
        left, right = _LEFT + one.left * _BAR, _LEFT + one.right * _BAR
        if one.folded:
            parts.append(
                s("rect", x=_n(left), y=_TOP - 23, width=_n(right - left), height=tall, fill=GREY, fill_opacity=0.12)
            )
        if one.folded or right - left > 50:
            said = f"⋯ {one.label} ⋯" if one.folded else one.label
            parts.append(_say((left + right) / 2, _TOP - 11, said, 10, GREY, anchor="middle"))
    parts.append(_rule(10, _TOP - 6, _WIDE - 10, _TOP - 6, 0.4))
    if picture.open:
        parts.append(_rule(_LEFT + _BAR, _TOP - 23, _LEFT + _BAR, _TOP - 23 + tall, 1.0, dotted=True))
    for k, row in enumerate(picture.rows):
        y = _TOP + k * _STEP
        parts += (
            [_say(10, y + 9, f"… {counted(picture.hidden, 'row')} left out …", 11, GREY)] if row is None else _row(row, axis, y)
        )
    parts += _legend(picture, height - 10)
    return s("svg", parts, xmlns=_NAMESPACE, viewBox=f"0 0 {_WIDE} {height}", width=_WIDE, height=height, role="img")


def _row(row: Row, axis: Scale, y: int) -> list[Element]:
    mark, colour = look(row.status)
    return [
        _say(10, y + 9, mark, 12, colour, bold=True),
        _say(26, y + 9, f"{row.id}  {clip(row.name, 24)}", 12, GREY),
        *(_piece(piece, axis, y) for piece in row.pieces),
        _say(_WIDE - 10, y + 9, row.took, 11, GREY, anchor="end"),
    ]


def _piece(piece: Piece, axis: Scale, y: int) -> Element:
    left, right = _LEFT + axis.at(piece.start) * _BAR, _LEFT + axis.at(piece.end) * _BAR
    kind = KINDS[piece.kind]
    top, tall = (y + 2, 6) if kind.hatched else (y - 2, 14) if piece.kind == "signal" else (y, 10)
    title = s("title", piece.title + ("\nstill open" if piece.open else ""))
    return s(
        "rect",
        title,
        x=_n(min(left, _LEFT + _BAR - 3)),
        y=top,
        width=_n(max(right - left, 3)),
        height=tall,
        rx=2,
        fill=_fill(piece.kind),
    )


def _legend(picture: Picture, y: int) -> list[Element]:
    found: list[Element] = []
    x = 10.0
    for name in picture.kinds:
        kind = KINDS[name]
        wide, tall = (3, 12) if name == "signal" else (14, 5) if kind.hatched else (14, 8)
        box = s("rect", x=_n(x), y=_n(y - 4 - tall / 2), width=wide, height=tall, rx=2, fill=_fill(name))
        found += [box, _say(x + wide + 5, y, kind.word, 10, GREY)]
        x += wide + 18 + 5.4 * len(kind.word)
    if picture.open:
        found += [_rule(x + 1, y - 10, x + 1, y + 2, 1.0, dotted=True), _say(x + 8, y, "still open", 10, GREY)]
        x += 80
    if picture.axis.folds:
        said = "not to scale: " + ", ".join(fold.label for fold in picture.axis.folds)
        found += [
            s("rect", x=_n(x), y=y - 10, width=14, height=12, fill=GREY, fill_opacity=0.12),
            _say(x + 19, y, said, 10, GREY),
        ]
    return found


def _fill(kind: str) -> str:
    return f"url(#aion-{kind})" if KINDS[kind].hatched else KINDS[kind].colour


def _hatch(kind: str) -> Element:
    line = s("rect", width=3, height=6, fill=KINDS[kind].colour, fill_opacity=0.7)
    return s("pattern", line, id=f"aion-{kind}", width=6, height=6, patternUnits="userSpaceOnUse", patternTransform="rotate(45)")


def _say(x: float, y: float, text: str, size: int, fill: str, anchor: str | None = None, bold: bool = False) -> Element:
    weight = 600 if bold else None
    return s("text", text, x=_n(x), y=_n(y), font_size=size, font_family=_FONT, fill=fill, text_anchor=anchor, font_weight=weight)


def _rule(x1: float, y1: float, x2: float, y2: float, opacity: float, dotted: bool = False) -> Element:
    dashes = "2 2" if dotted else None
    return s("line", x1=_n(x1), y1=_n(y1), x2=_n(x2), y2=_n(y2), stroke=GREY, opacity=opacity, stroke_dasharray=dashes)


def _n(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")
