"""`%%workflow` and `%start`: defining what a cell contains, and starting it."""
from __future__ import annotations

import inspect
from typing import Any

from aionlab.app.interrupts import Hold
from aionlab.engine.lifecycle.identity import CONFLICT, REUSE

from . import cells, grammar, waiting
from .errors import LineError
from .grammar import Call, Option, Slot, Text
from .verbs import Request, verb

_START_OPTIONS = (
    Option("id", "workflow id; minted when not given", metavar="ID"),
    Option("as", "bind the handle to this variable", metavar="VAR"),
    Option("attr", "search attribute; may be repeated", "pair", metavar="FIELD=VALUE"),
    Option("key", "idempotency key: the same key starts once", metavar="KEY"),
    Option("deadline", "give the run this long: 2h, 7d", metavar="TIME"),
    Option("start-delay", "let the code begin this much later: 30s, 1d", metavar="TIME"),
    Option("signal", "a signal the code finds when it begins", "pair", metavar="NAME=PAYLOAD"),
    Option("memo", "a note that %describe shows", metavar="TEXT"),
    Option("id-reuse", "what to do where a closed run has --id", metavar="POLICY", choices=REUSE),
    Option("id-conflict", "what to do where an open run has --id", metavar="POLICY", choices=CONFLICT),
    Option("version", "that version of the code instead of the routed one", metavar="VERSION"),
    Option("attach", "use the run of --id if there is one, open or closed", "flag"),
    Option("restart", "terminate the open run of --id first", "flag"),
)


@verb(
    "workflow", Slot("NAME", needed=False),
    options=(Option("start", "start it too, with these arguments", "args", metavar="ARGS"), *_START_OPTIONS),
    example="%%workflow order --start (42, rush=True) --id o-1 --as h", line=False, cell=True,
)
def workflow(ask: Request) -> Any:
    """Define the workflow a cell contains, and start it if asked.

    The cell's workflow is NAME, or the last one defined; a plain `async def` will do. Shows the definition card.
    """
    _check_options(ask)
    session = ask.session
    name = ask.names.text(ask.asked.words[0], "a workflow's name") if ask.asked.words else None
    lab = session.lab
    session.check_writable()
    cell = cells.run(session.shell, ask.body or "", session.ledger)
    definitions = cells.workflows(cell, session.shell.user_ns, name)
    card = [lab.define(definition, ledger=session.ledger) for definition in definitions][-1]
    if not ask.asked.has("start"):
        unused = next((o for o in ask.asked.options if o != "version"), None)
        if unused is not None:
            raise LineError(f"--{unused} needs --start: the cell defined {definitions[-1].name}, and started nothing")
        return card
    session.display(card)
    given = ask.asked.word("start")
    assert given is not None
    return _start(ask, definitions[-1], grammar.arguments(given.text, definitions[-1].name))


@verb(
    "start", Slot("WORKFLOW", "call"), options=_START_OPTIONS, example="%start order(42, rush=True) --id o-1 --attr customer=acme --as h", cell=True
)
def start(ask: Request) -> Any:
    """Start a run of a workflow; gives its handle.

    Without parentheses the workflow is called without arguments. With --attach, or --restart, running the cell twice is fine.
    """
    _check_options(ask)
    call = grammar.call(ask.asked.expression, "start")
    return _start(ask, resolve(ask, call.name), call)


def _check_options(ask: Request) -> None:
    ask.check_name("as")
    if ask.asked.has("attach") and ask.asked.has("restart"):
        raise LineError("--attach and --restart are alternatives")
    for option in ("attach", "restart"):
        if ask.asked.has(option) and (ask.asked.has("id-reuse") or ask.asked.has("id-conflict")):
            raise LineError(f"--{option} stands for policies of its own: leave it out, or --id-reuse and --id-conflict")
    for option in ("attach", "restart", "id-reuse", "id-conflict"):
        if ask.asked.has(option) and not ask.asked.has("id"):
            shown = option if option in ("attach", "restart") else f"{option} use_existing"
            raise LineError(f"--{option} needs --id: %start order(42) --id o-1 --{shown}")


def resolve(ask: Request, name: str) -> Any:
    """The workflow a name stands for: the notebook's, else the name itself for one that is stored in the lab."""
    first, *attributes = name.split(".")
    value = ask.names.get(first)
    for attribute in attributes:
        value = getattr(value, attribute, None)
    if getattr(value, "aion_kind", None) == "workflow":
        return value
    if name not in ask.lab.workflow_types():
        if getattr(value, "aion_kind", None) == "activity":
            raise LineError(f"{name} is an activity: call it, {name}(…), or await it in a workflow")
        if inspect.iscoroutinefunction(value):
            raise LineError(f"{name} is a plain async function; put @workflow on it, or %%workflow on its cell")
        if inspect.isfunction(value):
            raise LineError(f"{name} is a plain function; make it `@workflow` and `async def {name}(…)`")
    return name


def _start(ask: Request, definition: Any, call: Call) -> Any:
    args, kwargs = ask.names.arguments(call)
    options = {
        "id": ask.text("id"),
        "version": ask.text("version"),
        "search_attributes": ask.pairs("attr"),
        "idempotency_key": ask.text("key"),
        "deadline": duration(ask, "deadline"),
        "start_delay": duration(ask, "start-delay"),
        "signal": signal(ask),
        "memo": ask.value("memo"),
        "id_reuse": "use_existing" if ask.asked.has("attach") else ask.text("id-reuse"),
        "id_conflict": "use_existing" if ask.asked.has("attach") else "terminate_existing" if ask.asked.has("restart") else ask.text("id-conflict"),
    }
    clash = sorted(set(kwargs) & set(options))
    if clash:
        raise LineError(f"{clash[0]}= is an option of the start, not an argument; pass it by position, or use --{clash[0].replace('_', '-')}")
    with Hold() as hold:
        hold.wake = waiting.stop  # before the start is handed in the engine is asked for the code; that wait may be long
        try:
            handle = ask.lab.start(definition, *args, **{k: v for k, v in options.items() if v is not None}, **kwargs)
        except KeyboardInterrupt as stop:
            started = getattr(stop, "handle", None)
            if started is not None:
                ask.bind("as", started)
            if not stop.args:
                stop.args = ("nothing was started" if started is None else f"{started.id} was started",)
            raise
        hold.says, hold.facts = f"{handle.id} was started", {"handle": handle}
        ask.bind("as", handle)
        return handle


def duration(ask: Request, option: str) -> Any:
    """A length of time as it was written; seconds where that is a number."""
    word = ask.asked.word(option)
    if isinstance(word, Text) and word.text.isdigit():
        return int(word.text)
    return ask.value(option)


def signal(ask: Request) -> tuple[str, Any] | None:
    """The signal that comes with something else, `--signal NAME=PAYLOAD`; None when it was not given."""
    found = ask.pairs("signal")
    if found is None:
        return None
    if len(found) > 1:
        raise LineError("--signal is given once: the others can be sent with %signal")
    return next(iter(found.items()))
