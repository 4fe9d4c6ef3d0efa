"""What a timeline draws: for each activity, timer, signal and child a row of pieces of time, each of one of a few kinds.

Text, page and picture draw these same rows, so that none of them knows more than the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from aionlab.core.clock import Micros
from aionlab.core.durations import spell

from .groups import AttemptSpan, Group, Span
from .palette import AMBER, BLUE, GREEN, GREY, RED, VIOLET
from .scale import Scale, scale
from .text import label, when


class Kind(NamedTuple):
    """How one kind of piece is drawn; hatched ones are waits, filled ones are work."""

    word: str
    char: str
    colour: str
    hatched: bool = False


KINDS: dict[str, Kind] = {
    "wait": Kind("scheduled or sleeping", "░", GREY, hatched=True),
    "retry": Kind("waiting for retry", "░", AMBER, hatched=True),
    "message": Kind("waiting for a signal", "░", VIOLET, hatched=True),
    "run": Kind("completed", "█", GREEN),
    "going": Kind("running", "█", BLUE),
    "failed": Kind("failed attempt", "▒", RED),
    "dropped": Kind("cancelled or abandoned", "▒", VIOLET),
    "signal": Kind("signal", "◆", VIOLET),
    "paused": Kind("paused", "=", AMBER),
}
_OUTCOMES = {
    "Completed": "run",
    "Running": "going",
    "Failed": "failed",
    "TimedOut": "failed",
    "Cancelled": "dropped",
    "Terminated": "dropped",
    "Abandoned": "dropped",
}


class Piece(NamedTuple):
    kind: str
    start: int
    end: int
    title: str
    open: bool = False


class Row(NamedTuple):
    id: str
    name: str
    status: str
    pieces: tuple[Piece, ...]
    length: str
    attempts: int
    title: str

    @property
    def took(self) -> str:
        """Its length, and how many attempts that was when more than one."""
        return self.length + (f" ×{self.attempts}" if self.attempts > 1 else "")


def rows(span: Span, groups: Iterable[Group], end: Micros, waiting_for: str) -> Iterable[Row]:
    for since, until in span.paused:
        stop = end if until is None else until
        piece = Piece("paused", since, stop, f"paused, {spell(stop - since)}", until is None)
        yield Row("paused", "", "Paused", (piece,), spell(stop - since), 0, piece.title)
    for group in groups:
        pieces = tuple(_pieces(group, end))
        first = min((piece.start for piece in pieces), default=end)
        length = spell((end if group.closed_at is None else group.closed_at) - first)
        facts: list[str | int | None] = [f"{group.id} {group.name}".strip(), group.status, group.input and f"input {group.input}"]
        facts += [group.result and f"result {group.result}", group.failure, group.due_at and f"due {when(group.due_at)}"]
        title = "\n".join(str(fact) for fact in facts if fact)
        yield Row(group.id, group.name, group.status, pieces, length, len(group.attempts), title)
    idle = span.idle_since
    if idle is not None and (waiting_for or end > idle):
        what = label(waiting_for, 200) or "a message; no activity and no timer is open"
        yield Row("awaits", "", "Waiting", (Piece("message", idle, end, what, True),), spell(end - idle), 0, what)


def _pieces(group: Group, end: Micros) -> Iterable[Piece]:
    if group.kind == "signal":
        came = group.started_at if group.started_at is not None else end
        if group.scheduled_at is not None and group.scheduled_at < came:
            yield Piece(
                "message", group.scheduled_at, came, f"nothing else could move the run, {spell(came - group.scheduled_at)}"
            )
        yield Piece("signal", came, came, f"signal {group.name} at {when(came)}")
        return
    if group.kind == "timer":
        start = group.scheduled_at if group.scheduled_at is not None else group.closed_at if group.closed_at is not None else end
        stop = end if group.closed_at is None else group.closed_at
        yield Piece("wait", start, stop, f"{group.status.lower()}, {spell(stop - start)}", group.closed_at is None)
        return
    at = group.scheduled_at
    waiting = "wait"
    for one in group.attempts:
        if at is not None and one.started_at > at:
            yield Piece(waiting, at, one.started_at, f"{KINDS[waiting].word}, {spell(one.started_at - at)}")
        stop = end if one.ended_at is None else one.ended_at
        title = _attempt_title(one, stop)
        if group.kind in ("child", "update"):
            title = title.removeprefix("attempt 1: ")
        yield Piece(_OUTCOMES[one.outcome], one.started_at, stop, title, one.ended_at is None)
        at, waiting = stop, "retry" if one.retry_at is not None else "wait"
    last_open = not group.attempts or group.attempts[-1].ended_at is not None
    stop = end if group.closed_at is None else group.closed_at
    if last_open and at is not None and (group.closed_at is None or stop > at):
        yield Piece(waiting, at, stop, f"{KINDS[waiting].word}, {spell(stop - at)}", group.closed_at is None)


def _attempt_title(one: AttemptSpan, stop: int) -> str:
    said = f"attempt {one.number}: {one.outcome.lower()}, {spell(stop - one.started_at)}"
    return (
        said
        + (f"\n{one.failure}" if one.failure else "")
        + (f"\nagain at {when(one.retry_at)}" if one.retry_at is not None else "")
    )


def axis(span: Span, groups: Sequence[Group], end: Micros) -> Scale:
    """The axis of a run that is drawn up to `end`."""
    busy = [(one.started_at, end if one.ended_at is None else one.ended_at) for group in groups for one in group.attempts]
    marks = [time for group in groups for time in (group.scheduled_at, group.started_at, group.closed_at) if time is not None]
    return scale(span.started_at, end, busy, [*marks, span.last_at])


class Picture(NamedTuple):
    """All a drawing needs."""

    span: Span
    rows: tuple[Row | None, ...]
    """None where rows are left out."""
    hidden: int
    """How many are."""
    axis: Scale
    end: Micros

    @property
    def length(self) -> str:
        return spell(self.end - self.span.started_at)

    @property
    def awaits(self) -> str:
        """What the run waits for, "" when it does not wait."""
        return next((row.title for row in self.rows if row is not None and row.id == "awaits"), "")

    @property
    def open(self) -> bool:
        """Whether something goes on beyond the end of the axis."""
        return any(piece.open for row in self.rows if row is not None for piece in row.pieces)

    @property
    def kinds(self) -> list[str]:
        """The kinds of pieces that occur, in the order of `KINDS`."""
        used = {piece.kind for row in self.rows if row is not None for piece in row.pieces}
        return [name for name in KINDS if name in used]
