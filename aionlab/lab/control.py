"""`%cancel`, `%terminate`, `%pause`, `%resume`, `%suspend`, `%kill`, `%supervise`: steering runs from outside."""
from __future__ import annotations

from typing import Any

from aionlab.core.supervisors import GiveUp, Restart, Strategy, Supervisor

from .errors import LineError
from .grammar import Option, Slot, Text, Word
from .pages import Note
from .starting import duration
from .verbs import DRY_RUN, ID, REASON, RUN, WHERE, Request, many, verb

CHILDREN = Option("children", "ask every run below it as well, whoever waits for it", "flag")
GRACE = Option("grace", "terminate the run if it has not ended after this long: 30s", metavar="TIME")


@verb("cancel", ID, options=(REASON, CHILDREN, GRACE, RUN, WHERE, DRY_RUN), example="%cancel o-1 --reason 'out of stock'")
def cancel(ask: Request) -> Any:
    """Ask a run to stop: its code sees a cancellation and may clean up first."""
    found = many(ask)
    if found is not None:
        if ask.asked.has("grace"):
            raise LineError("--grace goes with one run: %cancel o-1 --grace 30s")
        return found.cancel(ask.text("reason"), children=ask.asked.has("children"), dry_run=ask.asked.has("dry-run"))
    handle = ask.handle()
    handle.cancel(ask.text("reason"), children=ask.asked.has("children"), grace=duration(ask, "grace"))
    return Note(f"{handle.id}: cancel requested")


@verb(
    "terminate", ID, options=(REASON, Option("details", "more about it, for the history", metavar="TEXT"), RUN, WHERE, DRY_RUN),
    example="%terminate o-1 --reason 'wrong customer'",
)
def terminate(ask: Request) -> Any:
    """End a run at once; its code does not run again."""
    found = many(ask)
    if found is not None:
        return found.terminate(ask.text("reason"), ask.text("details"), dry_run=ask.asked.has("dry-run"))
    handle = ask.handle()
    handle.terminate(ask.text("reason"), ask.text("details"))
    return Note(f"{handle.id}: terminated")


@verb("pause", ID, options=(REASON, RUN, WHERE, DRY_RUN), example="%pause o-1")
def pause(ask: Request) -> Any:
    """Stop stepping a run until %resume; signals and results that arrive are kept for it."""
    found = many(ask)
    if found is not None:
        return found.pause(ask.text("reason"), dry_run=ask.asked.has("dry-run"))
    handle = ask.handle()
    handle.pause(ask.text("reason"))
    return Note(f"{handle.id}: paused; %resume {handle.id} goes on")


@verb("resume", ID, options=(RUN, WHERE, DRY_RUN), example="%resume o-1")
def resume(ask: Request) -> Any:
    """Let a paused run go on."""
    found = many(ask)
    if found is not None:
        return found.resume(dry_run=ask.asked.has("dry-run"))
    handle = ask.handle()
    handle.resume()
    return Note(f"{handle.id}: resumed")


@verb("suspend", ID, options=(RUN, WHERE, DRY_RUN), example="%suspend o-1")
def suspend(ask: Request) -> Any:
    """Take a waiting run out of memory; whatever it waits for brings it back by replay."""
    found = many(ask)
    if found is not None:
        return found.suspend(dry_run=ask.asked.has("dry-run"))
    handle = ask.handle()
    handle.suspend()
    return Note(f"{handle.id}: suspended")


@verb(
    "forget", ID, options=(REASON, WHERE, DRY_RUN), example="%forget --where \"close_time < now() - 90d\" --dry-run"
)
def forget(ask: Request) -> Any:
    """Delete everything recorded about a workflow id, for ever; a note of when and why is left.

    Not while a run of it is open.
    """
    found = many(ask)
    if found is not None:
        return found.forget(ask.text("reason"), dry_run=ask.asked.has("dry-run"))
    note = ask.handle().forget(ask.text("reason"))
    return Note(f"{note.workflow_id}: forgotten, {note.runs} run{'s' if note.runs != 1 else ''} and {note.events} events")


@verb("kill", Slot("PID"), example="%kill 12")
def kill(ask: Request) -> Any:
    """Kill one live process, as a crash would; its run comes back by replay. A supervisor takes what it supervises with it.

    %tree shows the pids, %supervision what was decided.
    """
    value = ask.names.word(ask.asked.words[0])
    try:
        pid = int(value)
    except (TypeError, ValueError):
        raise LineError(f"a pid is a number, and {value!r} is none; %tree shows the live ones") from None
    return Note(str(ask.lab.kill(pid)))


@verb(
    "supervise", Slot("SUPERVISOR", needed=False), Slot("WORKFLOW", "words", needed=False),
    options=(
        Option("strategy", "whom a lost child takes with it", metavar="STRATEGY", choices=tuple(map(str, Strategy))),
        Option("intensity", "restarts allowed within the period", metavar="N"),
        Option("period", "the length they are counted in: 30s, 5m", metavar="TIME"),
        Option("restart", "whether the supervisor itself is started again", metavar="KIND", choices=tuple(map(str, Restart))),
        Option("runs", "whether its runs are", metavar="KIND", choices=tuple(map(str, Restart))),
        Option("backoff", "what the first restart waits; each further one twice as long", metavar="TIME"),
        Option("shutdown", "how long code may refuse to end: a time, or brutal_kill", metavar="TIME"),
        Option("give-up", "what becomes of runs that are not started again", metavar="FATE", choices=tuple(map(str, GiveUp))),
        Option("off", "take the declaration back", "flag"),
    ),
    example="%supervise orders order refund --strategy rest_for_one",
)
def supervise(ask: Request) -> Any:
    """Declare how runs are supervised: of one workflow, or a supervisor of your own over several.

    A word that names a variable holding a Supervisor stands for it. With options alone: the root; with nothing: what is declared.
    """
    given = [_supervised(ask, word) for word in ask.asked.words]
    options = {name.replace("-", "_"): ask.value(name) for name in ask.asked.options if name != "off"}
    if ask.asked.has("off"):
        if len(given) > 1 or options:
            raise LineError("--off takes one supervisor's name and nothing else")
        return ask.lab.unsupervise(given[0] if given else None)
    if "intensity" in options:
        try:
            options["intensity"] = int(options["intensity"])
        except (TypeError, ValueError):
            raise LineError(f"--intensity counts restarts, and {options['intensity']!r} is no number") from None
    if not given and not options:
        declared = ask.lab.supervisors()
        return Note("\n".join(map(repr, declared)) or "nothing is declared: each workflow has a supervisor of its own, 3 restarts in 30 s")
    return ask.lab.supervise(given[0] if given else None, given[1:] or None, **options)


def _supervised(ask: Request, word: Word) -> Any:
    """A supervisor held by a variable, else the word as a name."""
    held = ask.names.get(word.text) if isinstance(word, Text) else ask.names.word(word)
    return held if isinstance(held, Supervisor) else ask.names.text(word, "a supervisor's name")
