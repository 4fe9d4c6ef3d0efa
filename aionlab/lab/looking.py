"""`%result`, `%runs`, `%events`, `%timeline`, `%tree`, `%supervision`, `%registry`: looking at runs, changing nothing."""
from __future__ import annotations

import re
from typing import Any

from aionlab.core.durations import micros
from aionlab.views.eventlist import EventList

from . import waiting
from .errors import LineError
from .grammar import Option, Slot, fields
from .pages import Note
from .verbs import ID, RUN, TIMEOUT, WHERE, Request, many, verb


@verb("result", ID, options=(TIMEOUT, RUN), example="%result o-1 --timeout 10s")
def result(ask: Request) -> Any:
    """Wait for a run to end and give its result; ■ stops the wait, not the run."""
    handle = ask.handle()
    return waiting.result(handle, seconds(ask, "timeout"), ask.session.notice)


@verb("runs", Slot("FILTER", "filter", needed=False), example="%runs status = 'Running' AND amount > 3 ORDER BY start_time DESC LIMIT 20")
def runs(ask: Request) -> Any:
    """The runs a filter finds, newest first; with GROUP BY, how many of each kind.

    Fields are status, type, id, run_id, version, start_time, close_time, duration and the search attributes; tests are = != < <= > >= IN,
    BETWEEN, STARTS_WITH, IS NULL, joined by AND, OR, NOT. `%runs status=Running customer=acme` is short for both being so.
    """
    pairs = fields(ask.asked.expression)
    if pairs:
        return ask.lab.runs(**dict(ask.names.pair(pair) for pair in pairs))
    if re.search(r"\bgroup\s+by\b", ask.asked.expression, re.IGNORECASE):
        return ask.lab.count(ask.asked.expression)
    return ask.lab.runs(ask.asked.expression)


@verb(
    "count", Slot("FILTER", "filter", needed=False), options=(Option("by", "a field: how many there are of each of its values", metavar="FIELD"),),
    example="%count amount > 3 --by status",
)
def count(ask: Request) -> Any:
    """How many runs a filter finds (see %runs -h)."""
    pairs = fields(ask.asked.expression)
    if pairs:
        return ask.lab.count(group_by=ask.text("by"), **dict(ask.names.pair(pair) for pair in pairs))
    return ask.lab.count(ask.asked.expression, ask.text("by"))


@verb(
    "events", ID,
    options=(
        Option("compact", "one line for each event (the default)", "flag"),
        Option("full", "every field of every event, as a frame", "flag"),
        Option("json", "the history as JSON text", "flag"),
        RUN, WHERE,
    ),
    example="%events o-1 --compact",
)
def events(ask: Request) -> Any:
    """The history of a workflow id, as a list (its `to_frame()` is the frame), as a wide frame or as JSON.

    Of all its runs, unless the id is a handle or --run names one.
    """
    chosen = [name for name in ("compact", "full", "json") if ask.asked.has(name)]
    if len(chosen) > 1:
        raise LineError(f"--{chosen[0]} and --{chosen[1]} are alternatives")
    if ask.asked.has("where"):
        found = many(ask)
        if chosen == ["json"]:
            raise LineError("--json is the history of one id")
        return found.events(full=chosen == ["full"])
    handle, run_id = ask.handle(), ask.run_id()
    if chosen == ["json"]:
        from aionlab.app.history import History

        return Note(History(*ask.lab.call("history", handle.id, run_id)).to_json())
    if chosen == ["full"]:
        return ask.lab.events(handle.id, run_id=run_id, full=True)
    _, recorded = ask.lab.call("history", handle.id, run_id)
    return EventList(tuple(recorded))


@verb("timeline", ID, options=(RUN,), example="%timeline o-1")
def timeline(ask: Request) -> Any:
    """What a run did and when, drawn."""
    return ask.handle().timeline()


@verb("tree")
def tree(ask: Request) -> Any:
    """The supervision tree: live processes with their pids and what they wait for."""
    return ask.lab.tree()


@verb("supervision")
def supervision(ask: Request) -> Any:
    """What supervisors decided when processes were lost: restarts, escalations, what was given up; `to_frame()` is the frame."""
    return ask.lab.supervision()


@verb("registry")
def registry(ask: Request) -> Any:
    """The live runs by id: pid, status, whether they are in memory, mailbox."""
    return ask.lab.registry()


def seconds(ask: Request, option: str) -> float | None:
    """A length of time given as an option, in seconds; raises LineError when it is none."""
    value = ask.value(option)
    if value is None:
        return None
    try:
        return micros(float(value) if isinstance(value, str) and value.replace(".", "", 1).isdigit() else value) / 1_000_000
    except (TypeError, ValueError) as error:
        raise LineError(f"--{option}: {error}") from None
