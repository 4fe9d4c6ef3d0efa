"""`%schedule`: workflows started by the clock."""
from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from aionlab.core.calendars import CATCH_UPS, OVERLAPS

from . import grammar
from .errors import LineError
from .grammar import Option, Slot
from .pages import Note
from .starting import resolve
from .verbs import Request, verb

if TYPE_CHECKING:
    from aionlab.app.schedules import Schedule

ACTIONS = ("pause", "resume", "trigger", "next", "backfill", "runs", "history", "update", "delete")
"""What may be done to a schedule: the first word of the line, before its name."""
_PLAN = ("cron", "every", "offset", "at", "timezone", "start", "end", "overlap", "catch-up", "window", "version", "deadline")
_WITHOUT_PLAN = frozenset({"note", "overlap"})


@verb(
    "schedule", Slot("NAME", needed=False), Slot("WORKFLOW", "call", needed=False),
    options=(
        Option("cron", "five fields, or @daily and the like: '0 9 * * MON-FRI'", metavar="'FIELDS'"),
        Option("every", "again and again after this long: 30m, 2h", metavar="TIME"),
        Option("offset", "move the times of --every by this much", metavar="TIME"),
        Option("at", "once: '2025-01-31 09:00'", metavar="'TIME'"),
        Option("timezone", "the zone of --cron and of times: Europe/Berlin", metavar="ZONE"),
        Option("start", "no time before this one", metavar="'TIME'"),
        Option("end", "no time after this one", metavar="'TIME'"),
        Option("overlap", "when a run goes on as a time comes", choices=OVERLAPS, metavar="WHAT"),
        Option("catch-up", "which times that were missed are made up", choices=CATCH_UPS, metavar="WHICH"),
        Option("window", "how long ago a missed time may lie", metavar="TIME"),
        Option("version", "that version of the code instead of the routed one", metavar="VERSION"),
        Option("deadline", "give each run this long", metavar="TIME"),
        Option("note", "why, for the history", metavar="TEXT"),
        Option("replace", "change the schedule of this name where it is another", "flag"),
        Option("as", "bind the schedule to this variable", metavar="VAR"),
    ),
    example="%schedule nightly report(42) --cron '0 2 * * *' --timezone Europe/Berlin",
)
def schedule(ask: Request) -> Any:
    """Start a workflow by the clock, and steer what is scheduled.

    `%schedule` lists, `%schedule NAME` shows one, `%schedule NAME WORKFLOW(ARGS) --cron …` (or --every, --at) makes one.
    `%schedule pause NAME`, `resume`, `delete`, `update NAME --every 1h`: change it. `trigger NAME`: a run now. `next NAME 5`: its next times.
    `backfill NAME START END`: run the times that have passed. `runs NAME`, `history NAME`: what it did.
    """
    ask.check_name("as")
    if not ask.asked.words:
        _refuse_options(ask, frozenset())
        return ask.lab.schedules()
    first = ask.names.text(ask.asked.words[0], "a schedule's name")
    if first in ACTIONS:
        return _act(ask, first, _words(ask.asked.expression, first))
    if not ask.asked.expression:
        _refuse_options(ask, frozenset({"as"}))
        found = ask.lab.schedule(first)
        ask.bind("as", found)
        return found.describe()
    call = grammar.call(ask.asked.expression, "schedule", first)
    args, kwargs = ask.names.arguments(call)
    made = ask.lab.schedule(first, resolve(ask, call.name), args, kwargs, **_given(ask), note=ask.text("note"), replace=ask.asked.has("replace"))
    ask.bind("as", made)
    return made.describe()


def _act(ask: Request, action: str, words: list[str]) -> Any:
    if not words:
        raise LineError(f"%schedule {action} needs a schedule: %schedule {action} nightly")
    name, *rest = words
    allowed = {"next": 1, "runs": 1, "backfill": 2}.get(action, 0)
    if len(rest) > allowed:
        raise LineError(f"nothing goes there: {rest[allowed]!r}; write %schedule {action} {name}{_REST.get(action, '')}")
    _refuse_options(ask, frozenset({"note", "as", *(_PLAN if action == "update" else ())}) if action not in ("trigger", "backfill") else _WITHOUT_PLAN)
    held: Schedule = ask.lab.schedule(name)
    ask.bind("as", held)
    match action:
        case "pause" | "resume" | "delete":
            getattr(held, action)(ask.text("note"))
            return Note(f"{name}: {action}d")
        case "update":
            return held.update(**_given(ask), note=ask.text("note")).describe()
        case "trigger":
            started = held.trigger(overlap=ask.text("overlap"))
            return started if started is not None else Note(f"{name}: a run goes on, so none was started now (overlap {held.state.plan.overlap})")
        case "next":
            return Note("\n".join(f"{at:%a %Y-%m-%d %H:%M:%S %Z}" for at in held.next(_number(rest, 5))) or f"{name}: no time is left")
        case "backfill":
            if not rest:
                raise LineError(f"from when? %schedule backfill {name} '2025-01-01' '2025-01-31 23:59'")
            times = held.backfill(*rest, overlap=ask.text("overlap"))
            said = f", {times[0]:%Y-%m-%d %H:%M} to {times[-1]:%Y-%m-%d %H:%M}" if times else ""
            return Note(f"{name}: {len(times):,} time{'' if len(times) == 1 else 's'} to run{said}")
        case "runs":
            return held.runs(_number(rest, 100))
        case _:
            return held.history()


_REST = {"next": " 5", "runs": " 20", "backfill": " START END"}


def _words(text: str, action: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        raise LineError(f"a quote is never closed: %schedule {action} {text}") from None


def _number(words: list[str], otherwise: int) -> int:
    if not words:
        return otherwise
    if not words[0].isdecimal():
        raise LineError(f"how many is a number, not {words[0]}")
    return int(words[0])


def _given(ask: Request) -> dict[str, Any]:
    """The options that make a plan, as `lab.schedule` takes them."""
    names = {"catch-up": "catch_up", "window": "catch_up_window"}
    return {names.get(name, name): _length(ask.value(name)) for name in _PLAN if ask.asked.has(name)}


def _length(value: Any) -> Any:
    """A bare number is one of seconds."""
    return float(value) if isinstance(value, str) and value.replace(".", "", 1).isdecimal() else value


def _refuse_options(ask: Request, allowed: frozenset[str]) -> None:
    unused = next((name for name in ask.asked.options if name not in allowed), None)
    if unused is not None:
        raise LineError(f"--{unused} does nothing here; a schedule is made with %schedule NAME WORKFLOW(ARGS) --{unused} …")
