"""`%cancel`, `%terminate`, `%pause`, `%resume`, `%suspend`, `%kill`: steering runs from outside."""
from __future__ import annotations

from typing import Any

from .errors import LineError
from .grammar import Option, Slot
from .pages import Note
from .verbs import ID, REASON, RUN, Request, verb


@verb("cancel", ID, options=(REASON, RUN), example="%cancel o-1 --reason 'out of stock'")
def cancel(ask: Request) -> Any:
    """Ask a run to stop: its code sees a cancellation and may clean up first."""
    handle = ask.handle()
    handle.cancel(ask.text("reason"))
    return Note(f"{handle.id}: cancel requested")


@verb(
    "terminate", ID, options=(REASON, Option("details", "more about it, for the history", metavar="TEXT"), RUN),
    example="%terminate o-1 --reason 'wrong customer'",
)
def terminate(ask: Request) -> Any:
    """End a run at once; its code does not run again."""
    handle = ask.handle()
    handle.terminate(ask.text("reason"), ask.text("details"))
    return Note(f"{handle.id}: terminated")


@verb("pause", ID, options=(REASON, RUN), example="%pause o-1")
def pause(ask: Request) -> Any:
    """Stop stepping a run until %resume; signals and results that arrive are kept for it."""
    handle = ask.handle()
    handle.pause(ask.text("reason"))
    return Note(f"{handle.id}: paused; %resume {handle.id} goes on")


@verb("resume", ID, options=(RUN,), example="%resume o-1")
def resume(ask: Request) -> Any:
    """Let a paused run go on."""
    handle = ask.handle()
    handle.resume()
    return Note(f"{handle.id}: resumed")


@verb("suspend", ID, options=(RUN,), example="%suspend o-1")
def suspend(ask: Request) -> Any:
    """Take a waiting run out of memory; whatever it waits for brings it back by replay."""
    handle = ask.handle()
    handle.suspend()
    return Note(f"{handle.id}: suspended")


@verb("kill", Slot("PID"), example="%kill 12")
def kill(ask: Request) -> Any:
    """Kill one live process, as a crash would; its run comes back by replay.

    %tree shows the pids.
    """
    value = ask.names.word(ask.asked.words[0])
    try:
        pid = int(value)
    except (TypeError, ValueError):
        raise LineError(f"a pid is a number, and {value!r} is none; %tree shows the live ones") from None
    return Note(str(ask.lab.kill(pid)))
