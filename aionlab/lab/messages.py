"""`%signal` and `%query`: talking to a run."""
from __future__ import annotations

from typing import Any

from . import grammar
from .errors import LineError
from .grammar import Option, Slot
from .pages import Note
from .verbs import ID, RUN, Request, verb

_KEY = Option("key", "idempotency key: the same key is recorded once", metavar="KEY")


@verb(
    "signal", ID, Slot("NAME"), Slot("PAYLOAD", "payload", needed=False), options=(_KEY, RUN),
    example='%signal o-1 approval {"by": "ada"}', cell=True,
)
def signal(ask: Request) -> Any:
    """Send a signal to a run: recorded now, taken when the code asks for it.

    The payload is JSON, else a Python expression; without one it is None.
    """
    name = _name(ask, "%signal o-1 approval …")
    payload = ask.names.payload(ask.asked.expression) if ask.asked.expression else None
    handle = ask.handle()
    known = list(ask.lab.signal_names(handle.id))
    handle.signal(name, payload, idempotency_key=ask.text("key"))
    if known and name not in known:
        near = grammar.nearest(name, known)
        hint = f"; did you mean {near!r}?" if near else f"; it asks for {', '.join(known)}"
        ask.session.say(f"recorded, but {handle.id} has not asked for {name!r}{hint}")
        return None
    return Note(f"{handle.id} ← {name}")


@verb("query", ID, Slot("NAME", "call"), options=(RUN,), example="%query o-1 status")
def query(ask: Request) -> Any:
    """Ask a run something, without changing it."""
    call = grammar.call(ask.asked.expression, "query", _word(ask))
    args, kwargs = ask.names.arguments(call)
    return ask.handle().query(call.name, *args, **kwargs)


def _name(ask: Request, example: str) -> str:
    name = ask.names.text(ask.asked.words[1], "a signal's name")
    if "(" in name and isinstance(ask.asked.words[1], grammar.Text):
        raise LineError(f"the payload goes after the name: {example}")
    return name


def _word(ask: Request) -> str:
    return ask.asked.words[0].text
