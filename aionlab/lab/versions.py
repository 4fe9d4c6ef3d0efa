"""`%versions`, and through `%aion`: route, rollback, move, unload: which code runs what."""
from __future__ import annotations

from typing import Any

from .errors import LineError
from .grammar import Option, Slot
from .pages import Note
from .verbs import ID, RUN, Request, verb

_WORKFLOW = Slot("WORKFLOW")
_VERSION = Option("version", "its first digits, as %versions shows them", metavar="VERSION")


@verb("versions", _WORKFLOW, example="%versions order")
def versions(ask: Request) -> Any:
    """The stored versions of a workflow's code: which one new starts get, and how many open runs are on each."""
    return ask.lab.versions(_name(ask))


@verb(
    "route", _WORKFLOW, options=(_VERSION, Option("follow", "let new starts get what cells define again", "flag")), own=False,
    example="%aion route order --version 1a2b3c4",
)
def route(ask: Request) -> Any:
    """Give new starts of a workflow this version, and keep it there when a cell defines another."""
    version, follow = ask.text("version"), ask.asked.has("follow")
    if version is None and not follow:
        raise LineError("say which: --version VERSION pins one, --follow lets new starts get what cells define")
    return Note(ask.lab.route(_name(ask), version, pin=not follow))


@verb("rollback", _WORKFLOW, own=False, example="%aion rollback order")
def rollback(ask: Request) -> Any:
    """Give new starts of a workflow the version before the one they get now; runs stay where they are."""
    return Note(ask.lab.rollback(_name(ask)))


@verb("move", ID, options=(_VERSION, RUN), own=False, example="%aion move o-1")
def move(ask: Request) -> Any:
    """Let a run go on under another version, the one new starts get when none is named; its history must agree with that code."""
    handle = ask.handle()
    return Note(handle.move(ask.text("version")))


@verb("unload", _WORKFLOW, options=(_VERSION,), own=False, example="%aion unload order --version 1a2b3c4")
def unload(ask: Request) -> Any:
    """Forget the code of a version that no open run is on and new starts do not get."""
    version = ask.text("version")
    if version is None:
        raise LineError("say which with --version; %versions shows them")
    return Note(ask.lab.unload(_name(ask), version))


def _name(ask: Request) -> str:
    return ask.names.text(ask.asked.words[0], "a workflow's name")
