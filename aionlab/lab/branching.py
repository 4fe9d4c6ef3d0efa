"""`%reopen`, `%fork`, `%rewind` (and `%aion reset`): going on with a run that has ended, or going back in one."""
from __future__ import annotations

from typing import Any

from aionlab.app.lifecycle import Arguments

from . import grammar
from .errors import LineError
from .grammar import Option, Text
from .pages import Note
from .starting import signal
from .verbs import DRY_RUN, ID, REASON, RUN, WHERE, Request, many, verb

VERSION = Option("version", "go on under that version of the code", metavar="VERSION")
_BRANCH = (
    Option("at", "the last event to take over, by seq; or last_failure, or end", metavar="PLACE"),
    Option("input", "other arguments", "args", metavar="ARGS"),
    Option("signal", "a signal it has at that place", "pair", metavar="NAME=PAYLOAD"),
    Option("result", "another result of an activity, by ordinal or name#ordinal; may be repeated", "pair", metavar="ACTIVITY=VALUE"),
    Option("as", "bind the handle to this variable", metavar="VAR"),
    VERSION, RUN,
)  # fmt: skip


@verb("reopen", ID, options=(REASON, VERSION, RUN, WHERE, DRY_RUN), example="%reopen o-1 --reason 'the bank is back'")
def reopen(ask: Request) -> Any:
    """Go on with a run that failed, was cancelled or terminated, or timed out: what failed runs again, what is done is not done again."""
    found = many(ask)
    if found is not None:
        if ask.asked.has("version"):
            raise LineError("--version goes with one run: %reopen o-1 --version 3f2a91c")
        return found.reopen(ask.text("reason"), dry_run=ask.asked.has("dry-run"))
    handle = ask.handle()
    handle.reopen(ask.text("reason"), version=ask.text("version"))
    return Note(f"{handle.id}: reopened")


@verb("fork", ID, options=(Option("id", "the fork's workflow id; minted when not given", metavar="ID"), *_BRANCH), example="%fork o-1 --at 12 --id o-1b --as f")
def fork(ask: Request) -> Any:
    """Start another run that begins with what this one has done up to an event; gives its handle. This one is left alone.

    Without --at it goes back to the activity whose failure ended the run, or to before the --result given.
    """
    ask.check_name("as")
    made = ask.handle().fork(**_branch(ask), id=ask.text("id"))
    ask.bind("as", made)
    return made


@verb("rewind", ID, options=(REASON, *_BRANCH), example="%rewind o-1 --at 12")
def rewind(ask: Request) -> Any:
    """Go back to an event, as a new run of the same id; gives its handle. The open run of the id is terminated."""
    ask.check_name("as")
    made = ask.handle().reset(**_branch(ask), reason=ask.text("reason"))
    ask.bind("as", made)
    return made


verb("reset", ID, options=(REASON, *_BRANCH), example="%aion reset o-1 --at 12", own=False)(rewind)


def _branch(ask: Request) -> dict[str, Any]:
    """What fork and rewind share, as the handle's methods take it."""
    options: dict[str, Any] = {"at": _place(ask), "signal": signal(ask), "result": _results(ask), "version": ask.text("version")}
    if ask.asked.has("input"):
        word = ask.asked.word("input")
        assert word is not None
        options["input"] = Arguments(*ask.names.arguments(grammar.arguments(word.text, "input")))
    return options


def _place(ask: Request) -> Any:
    word = ask.asked.word("at")
    if isinstance(word, Text) and word.text.isdecimal():
        return int(word.text)
    return ask.value("at")


def _results(ask: Request) -> dict[int | str, Any] | None:
    found = ask.pairs("result")
    return None if found is None else {int(name) if name.isdecimal() else name: value for name, value in found.items()}
