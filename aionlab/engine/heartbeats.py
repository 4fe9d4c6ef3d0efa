"""Heartbeats: attempts say that they are alive, and what the next attempt should know.

What they say is kept in memory and recorded with the end of the attempt. For a kernel that dies it is noted in the database as well: the
first heartbeat of an attempt at once, later ones a few times a second at most, or with whatever is written anyway. A heartbeat costs the
engine nothing by itself: the attempt's thread leaves it with the attempt's flight and wakes the engine once for many.
"""
from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aionlab.core.clock import Micros
from aionlab.core.errors import StoreError
from aionlab.core.events import Payload
from aionlab.core.ports import Attempt

if TYPE_CHECKING:
    from .engine import Engine
    from .run import OpenActivity

Key = tuple[int, int]
"""(run key, activity id)."""
APART: Final = Micros(250_000)
"""Least time between notes of one attempt."""


class Beaten(NamedTuple):
    """A running attempt has said something new."""

    run_key: int
    activity_id: int
    attempt: int


class Flight:
    """An attempt an executor has. `began`, `beat_at`, `details` and `told` are set from its thread; what few attempts need is set on the
    class."""

    began: Micros | None = None
    """When its code began; None while it waits in the executor."""
    due: Micros | None = None
    """When it is looked at for having taken too long."""
    beat_at: Micros | None = None
    """When it was last heard of."""
    beat_due: Micros | None = None
    """When it is looked at for not having been heard of."""
    details: Payload | None = None
    """What it said last."""
    told = False
    """Whether the engine is on its way to what it said."""
    noted_at: Micros | None = None
    """When that was last noted."""

    def __init__(self, attempt: int) -> None:
        self.attempt = attempt


class Heartbeats:
    """What is noted in the database, and what is to be."""

    __slots__ = ("noted", "waiting")

    def __init__(self) -> None:
        self.noted: set[Key] = set()
        self.waiting: dict[Key, Flight] = {}
        """Attempts that said something new too soon after their last note."""

    def due(self) -> Micros:
        """When the next note is; only where any waits."""
        return Micros(min(flight.noted_at or 0 for flight in self.waiting.values()) + APART)


def beat(engine: Engine, attempt: Attempt, details: Payload | None) -> None:
    """An attempt is alive; from its own thread."""
    flight = engine.in_flight.get((attempt.run_key, attempt.activity_id))
    if flight is None or flight.attempt != attempt.attempt:
        return
    flight.beat_at = engine.clock.now()
    if flight.began is None:
        flight.began = flight.beat_at
    if details is not None:
        flight.details = details
        if not flight.told:
            flight.told = True
            engine.submit(Beaten(attempt.run_key, attempt.activity_id, attempt.attempt))


def heard(engine: Engine, news: Beaten) -> None:
    """Note what an attempt said, now or a little later."""
    key = (news.run_key, news.activity_id)
    flight = engine.in_flight.get(key)
    if flight is None or flight.attempt != news.attempt:
        return
    flight.told = False
    if flight.noted_at is None or engine.turn_now.now >= flight.noted_at + APART:
        _note(engine, key, flight)
    else:
        engine.heartbeats.waiting[key] = flight


def late(engine: Engine) -> None:
    """Note what has waited long enough; all of it where something is written anyway."""
    beats, turn = engine.heartbeats, engine.turn_now
    for key, flight in list(beats.waiting.items()):
        if engine.in_flight.get(key) is not flight:
            del beats.waiting[key]
        elif turn.batch.rows or turn.now >= (flight.noted_at or 0) + APART:
            del beats.waiting[key]
            _note(engine, key, flight)


def _note(engine: Engine, key: Key, flight: Flight) -> None:
    flight.noted_at = engine.turn_now.now
    engine.heartbeats.noted.add(key)
    engine.turn_now.batch.notes.append((_name(key), _text(engine, flight)))


def forget(engine: Engine, key: Key) -> None:
    """The attempt has ended, and with that what it said is recorded or no longer wanted."""
    beats = engine.heartbeats
    beats.waiting.pop(key, None)
    if key in beats.noted:
        beats.noted.discard(key)
        engine.turn_now.batch.notes.append((_name(key), None))


def recall(engine: Engine, key: Key, opened: OpenActivity) -> None:
    """The attempt was lost with its process: find what it said last, for the next one."""
    text = engine.store.meta(_name(key))
    if text is None:
        return
    engine.heartbeats.noted.add(key)
    with suppress(StoreError, ValueError):  # sealed with a key that is not here, or damaged: the attempt begins without
        opened.remember().details = _unsealed(engine, text)


def keep(engine: Engine) -> None:
    """The engine is closed: note what running attempts said and is not noted yet."""
    with suppress(StoreError):  # another kernel has the runs, or the disk is full: the next attempts know less
        for key, flight in list(engine.in_flight.items()):
            if flight.details is not None and (flight.told or key in engine.heartbeats.waiting):
                engine.store.set_meta(_name(key), _text(engine, flight))


def _name(key: Key) -> str:
    return f"heartbeat:{key[0]}:{key[1]}"


def _text(engine: Engine, flight: Flight) -> str:
    assert flight.details is not None
    text, sealing = flight.details.decode(), _sealing(engine)
    return text if sealing is None else str(sealing.codecs.seal_text(text))


def _unsealed(engine: Engine, text: str) -> str:
    sealing = _sealing(engine)
    return text if sealing is None else str(sealing.codecs.unseal_text(text))


def _sealing(engine: Engine) -> Any:
    return getattr(engine.store, "sealing", None)
