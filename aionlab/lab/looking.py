"""`%result`, `%runs`, `%events`, `%timeline`, `%tree`, `%registry`, `%versions`: looking at runs, changing nothing."""
from __future__ import annotations

from typing import Any

from aionlab.core.durations import micros
from aionlab.views.eventlist import EventList

from . import waiting
from .errors import LineError
from .grammar import Option, Slot
from .pages import Note
from .verbs import ID, RUN, TIMEOUT, Request, verb


@verb("result", ID, options=(TIMEOUT, RUN), example="%result o-1 --timeout 10s")
def result(ask: Request) -> Any:
    """Wait for a run to end and give its result; ■ stops the wait, not the run."""
    handle = ask.handle()
    return waiting.result(handle, seconds(ask, "timeout"), ask.session.notice)


@verb("runs", Slot("FIELD", "pairs", needed=False), example="%runs status=Running type=order")
def runs(ask: Request) -> Any:
    """The lab's runs, newest first.

    Every field=value must hold: status, type, version, or a search attribute.
    """
    return ask.lab.runs(**dict(ask.names.pair(pair) for pair in ask.asked.pairs))


@verb(
    "events", ID,
    options=(
        Option("compact", "one line for each event (the default)", "flag"),
        Option("full", "every field of every event, as a frame", "flag"),
        Option("json", "the history as JSON text", "flag"),
        RUN,
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


@verb("registry")
def registry(ask: Request) -> Any:
    """The live runs by id: pid, status, whether they are in memory, mailbox."""
    return ask.lab.registry()


@verb("versions", Slot("WORKFLOW"), example="%versions order")
def versions(ask: Request) -> Any:
    """The stored versions of a workflow's code, and which one new starts get."""
    return ask.lab.versions(ask.names.text(ask.asked.words[0], "a workflow's name"))


def seconds(ask: Request, option: str) -> float | None:
    """A length of time given as an option, in seconds; raises LineError when it is none."""
    value = ask.value(option)
    if value is None:
        return None
    try:
        return micros(float(value) if isinstance(value, str) and value.replace(".", "", 1).isdigit() else value) / 1_000_000
    except (TypeError, ValueError) as error:
        raise LineError(f"--{option}: {error}") from None
