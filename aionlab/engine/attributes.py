"""Search attributes that a workflow's code sets: held against what the lab has registered before anything of their step is recorded.

What is recorded is in the stored form, plain JSON, so that visibility is a fold of events. A step that asks for something the schema
refuses is not recorded: its fact waits, deferred, and the run is stuck until the attribute is registered. Replay does not depend on the
schema; what is recorded once has been checked.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aionlab.core import events as e
from aionlab.core.attributes import check_attributes, check_registration
from aionlab.core.errors import InvalidAttribute
from aionlab.core.jsontext import dumps, loads
from aionlab.core.values import values_for
from aionlab.replay.process import Process

from . import processes
from .run import LiveRun

if TYPE_CHECKING:
    from .engine import Engine


def checked(engine: Engine, run: LiveRun, answers: list[e.Event]) -> list[e.Event] | None:
    """A step's answers with every update in its stored form; None when one is refused, and the run is stuck for it."""
    process = run.process
    assert process is not None
    try:
        return [_stored(engine, process, answer) if isinstance(answer, e.SearchAttributesUpdated) else answer for answer in answers]
    except InvalidAttribute as error:
        processes.suspend(engine, run)
        run.stuck = error
        return None


def _stored(engine: Engine, process: Process, update: e.SearchAttributesUpdated) -> e.SearchAttributesUpdated:
    try:
        values = process.attributes_of(update)
    except Exception as error:  # decoding runs constructors of the user's
        raise InvalidAttribute(", ".join(loads(update.attributes)), f"its value cannot be made again: {type(error).__name__}: {error}") from error
    return e.SearchAttributesUpdated(e.Payload(dumps(check_attributes(values, engine.attribute_types))), update.by_code)


def as_given(text: str | None) -> dict[str, Any] | None:
    """The values of attributes that code gave with a child or a new run, recorded as text."""
    if text is None:
        return None
    values: dict[str, Any] = _PLAIN.decode(e.Payload(text.encode()))
    return values


_PLAIN: Final = values_for(None)


def register(engine: Engine, name: str, kind: str) -> None:
    """Declare a search attribute; runs that are stuck for want of one come back and go on.

    Raises InvalidAttribute for a name that cannot be one, or that has another type already.
    """
    name, attribute_type = check_registration(name, kind, engine.attribute_types)
    engine.store.register_attribute(name, attribute_type.value)
    engine.attribute_types[name] = attribute_type.value
    for run in engine.registry:
        if isinstance(run.stuck, InvalidAttribute):
            run.stuck = None
            engine.bring_home(run)
