"""`%signal`, `%query` and `%update`: talking to a run."""
from __future__ import annotations

from typing import Any

from . import grammar, waiting
from .errors import LineError
from .grammar import Option, Slot
from .looking import seconds
from .pages import Note
from .verbs import DRY_RUN, ID, RUN, TIMEOUT, WHERE, Request, many, verb

_ID = Option("id", "id of the update: the same id again is the same update", metavar="UPDATE_ID")
_CLOSED = Option("reject-if-closed", "refuse when the run has ended, rather than replay it", kind="flag")
_KEY = Option("key", "idempotency key: the same key is recorded once", metavar="KEY")


@verb(
    "signal", ID, Slot("NAME"), Slot("PAYLOAD", "payload", needed=False), options=(_KEY, RUN, WHERE, DRY_RUN),
    example='%signal o-1 approval {"by": "ada"}', cell=True,
)
def signal(ask: Request) -> Any:
    """Send a signal to a run: recorded now, taken when the code asks for it.

    The payload is JSON, else a Python expression; without one it is None.
    """
    name = _name(ask, "%signal o-1 approval …")
    payload = ask.names.payload(ask.asked.expression) if ask.asked.expression else None
    found = many(ask)
    if found is not None:
        return found.signal(name, payload, idempotency_key=ask.text("key"), dry_run=ask.asked.has("dry-run"))
    handle = ask.handle()
    known = list(ask.lab.signal_names(handle.id))
    handle.signal(name, payload, idempotency_key=ask.text("key"))
    if known and name not in known:
        near = grammar.nearest(name, known)
        hint = f"; did you mean {near!r}?" if near else f"; it asks for {', '.join(known)}"
        ask.session.say(f"recorded, but {handle.id} has not asked for {name!r}{hint}")
        return None
    return Note(f"{handle.id} ← {name}")


@verb("query", ID, Slot("NAME", "call"), options=(_CLOSED, RUN), example="%query o-1 status")
def query(ask: Request) -> Any:
    """Ask a run something, without changing it."""
    call = grammar.call(ask.asked.expression, "query", _word(ask))
    args, kwargs = ask.names.arguments(call)
    if ask.asked.has("reject-if-closed"):
        kwargs["reject_if_closed"] = True
    return ask.handle().query(call.name, *args, **kwargs)


@verb("update", ID, Slot("NAME", "call"), options=(_ID, TIMEOUT, RUN), example="%update o-1 set_qty(5)")
def update(ask: Request) -> Any:
    """Change something in a run and see what comes of it: its validator may refuse, its handler's result is shown.

    ■ stops the wait, not the update.
    """
    call = grammar.call(ask.asked.expression, "update", _word(ask))
    args, kwargs = ask.names.arguments(call)
    sent = ask.handle().start_update(call.name, *args, update_id=ask.text("id"), **kwargs)
    return waiting.result(sent, seconds(ask, "timeout"), ask.session.notice)


def _name(ask: Request, example: str) -> str:
    word = ask.asked.words[-1]
    name = ask.names.text(word, "a signal's name")
    if "(" in name and isinstance(word, grammar.Text):
        raise LineError(f"the payload goes after the name: {example}")
    return name


def _word(ask: Request) -> str:
    return ask.asked.words[0].text
