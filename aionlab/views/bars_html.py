"""A timeline as a table whose bars are positioned boxes: no script, no style sheet, and every piece says on hover what it is."""

from __future__ import annotations

from aionlab.core.clock import Micros

from .bars import KINDS, Kind, Picture, Piece, Row
from .html import Element, h
from .palette import GREEN, GREY, MONO, RED, RULE, SMALL, VIOLET, look, muted, state
from .scale import Scale
from .text import counted, label, short, when

_TABLE = "border-collapse:collapse;border:none;margin:0;width:100%;table-layout:auto;font-size:13px;line-height:1.2"
_TD = "padding:1px 10px 1px 0;text-align:left;vertical-align:middle;border:none;white-space:nowrap"
_MARK_TD = _TD.replace("10px", "5px")
_BAR_TD = "padding:0;text-align:left;vertical-align:middle;border:none;width:100%"
_NUMBER_TD = "padding:1px 0 1px 10px;text-align:right;vertical-align:middle;border:none;white-space:nowrap"
_LANE = "position:relative;height:18px;min-width:72px"
_PLAIN = "background:transparent"
_BAND = "rgba(128,128,128,0.12)"
_EDGE = f"border-right:2px dotted {GREY}"
_CENTRED = "text-align:center;overflow:hidden;text-overflow:ellipsis;white-space:nowrap;font-size:11px;line-height:18px"
_SWATCH = "border-radius:2px;margin:0 5px 0 0;vertical-align:middle"


def element(picture: Picture) -> Element:
    """The timeline as HTML."""
    span = picture.span
    lane = _LANE + _bands(picture.axis) + (f";{_EDGE}" if picture.open else "")
    body = [_axis(picture.axis, lane)]
    for row in picture.rows:
        body.append(_left_out(picture.hidden) if row is None else _row(row, picture.axis, lane))
    outcomes = ((picture.awaits, "awaits", VIOLET), (span.failure, "failure", RED), (span.result, "result", GREEN))
    return h(
        "div",
        h(
            "div",
            muted(label(span.workflow_type, 60) + " "),
            h("b", label(span.workflow_id, 200)),
            "  ",
            state(str(span.status)),
            "  ",
            muted(picture.length),
            style="font-size:14px;white-space:pre-wrap",
        ),
        h(
            "div",
            f"run {label(span.run_id, 200)}  {short(span.version)}  {when(span.started_at)}",
            style=f"color:{GREY};{SMALL};margin:0 0 4px 0;white-space:pre-wrap",
        ),
        h("table", h("tbody", body), style=_TABLE),
        [_outcome(said, what, colour) for said, what, colour in outcomes if said],
        _legend(picture),
        style="overflow-x:auto;margin:2px 0;text-align:left;max-width:1100px",
    )


def fill(kind: Kind) -> str:
    """The background of a kind of piece: a colour, or a hatch of it; sanitizers keep `background-size` with one length only."""
    if not kind.hatched:
        return f"background:{kind.colour}"
    stops = f"{kind.colour} 25%,transparent 25%,transparent 50%,{kind.colour} 50%,{kind.colour} 75%,transparent 75%"
    return f"background:linear-gradient(135deg,{stops});background-size:6px;opacity:0.75"


def _outcome(said: str, what: str, colour: str) -> Element:
    return h(
        "div",
        h("span", what + " ", style=f"color:{colour};font-weight:600"),
        h("span", said, style=MONO + ";overflow-wrap:break-word"),
        style="margin:4px 0 0 0;font-size:13px",
    )


def _left_out(hidden: int) -> Element:
    return h("tr", h("td", muted(f"… {counted(hidden, 'row')} left out …"), colspan=5, style=_TD), style=_PLAIN)


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.3f}".rstrip("0").rstrip(".") + "%"


def _bands(axis: Scale) -> str:
    """The folds as faint bands behind every bar: one gradient with hard stops."""
    if not axis.folds:
        return ""
    stops = []
    for fold in axis.folds:
        left, right = _percent(fold.left), _percent(fold.right)
        stops += [
            f"transparent {left}",
            f"{_BAND} {left}",
            f"{_BAND} {right}",
            f"transparent {right}",
        ]
    return f";background:linear-gradient(90deg,{','.join(stops)})"


def _axis(axis: Scale, lane: str) -> Element:
    marks: list[Element] = []
    for one in axis.stretches:
        share = one.right - one.left
        place = f"position:absolute;top:0;left:{_percent(one.left)};width:{_percent(share)};{_CENTRED}"
        if one.folded:
            marks.append(h("span", f"⋯ {one.label} ⋯", style=place, title=f"{one.label}, not to scale"))
        elif share > 0.12:
            marks.append(h("span", one.label, style=place, title=f"{when(Micros(one.start))} … {when(Micros(one.end))}"))
    return h(
        "tr",
        h("td", colspan=3, style=_TD),
        h("td", h("div", marks, style=f"{lane};color:{GREY}"), style=_BAR_TD),
        h("td", style=_NUMBER_TD),
        style=f"{_PLAIN};border-bottom:1px solid {RULE}",
    )


def _row(row: Row, axis: Scale, lane: str) -> Element:
    mark, colour = look(row.status)
    return h(
        "tr",
        h("td", h("span", mark, style=f"color:{colour};font-weight:600"), title=row.status, style=_MARK_TD),
        h("td", h("span", row.id, style=f"{MONO};color:{GREY}"), style=_TD),
        h("td", label(row.name, 24), title=row.title, style=_TD),
        h("td", h("div", [_segment(piece, axis) for piece in row.pieces], style=lane), style=_BAR_TD),
        h("td", row.took, style=_NUMBER_TD, title=row.status),
        style=_PLAIN,
    )


def _segment(piece: Piece, axis: Scale) -> Element:
    left, right = axis.at(piece.start), axis.at(piece.end)
    kind = KINDS[piece.kind]
    shape = "top:6px;height:6px" if kind.hatched else "top:2px;height:14px" if piece.kind == "signal" else "top:4px;height:10px"
    place = f"position:absolute;left:{_percent(min(left, 0.994))};width:{_percent(right - left)};min-width:3px;border-radius:2px"
    return h("span", style=f"{place};{shape};{fill(kind)}", title=piece.title + ("\nstill open" if piece.open else ""))


def _legend(picture: Picture) -> Element | None:
    entry = "white-space:nowrap;margin:0 14px 0 0;display:inline-block"
    entries: list[Element] = []
    for name in picture.kinds:
        kind = KINDS[name]
        wide, tall = ("3px", "12px") if name == "signal" else ("16px", "6px") if kind.hatched else ("16px", "10px")
        box = f"display:inline-block;width:{wide};height:{tall};{_SWATCH};{fill(kind)}"
        entries.append(h("span", h("span", style=box), kind.word, style=entry))
    if picture.open:
        box = f"display:inline-block;width:0;height:12px;{_SWATCH};{_EDGE}"
        entries.append(h("span", h("span", style=box), "still open", style=entry))
    if picture.axis.folds:
        box = f"display:inline-block;width:16px;height:12px;{_SWATCH};background:{_BAND}"
        said = "not to scale: " + ", ".join(fold.label for fold in picture.axis.folds)
        entries.append(h("span", h("span", style=box), said, style=entry))
    return h("div", entries, style=f"color:{GREY};{SMALL};margin:5px 0 0 0") if entries else None
