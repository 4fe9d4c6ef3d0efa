"""Signals: recorded first, delivered where the run lives.

The sender sees the engine through a seam that answers two questions, where a run lives and whether a signal reaches a pid, and refuses
everything else: a path wired wrongly is loud.
"""
from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from aionlab.core import events as e
from aionlab.core.errors import AionError, RunClosed, RunNotFound
from aionlab.core.ids import RunId, WorkflowId
from aionlab.core.names import check_name

from .addressing import any_run, open_run
from .run import LiveRun

if TYPE_CHECKING:
    from .engine import Engine


@dataclass(frozen=True, slots=True)
class Resident:
    """The run's process can take signals now."""

    pid: int


@dataclass(frozen=True, slots=True)
class NonResident:
    """The run is open; its code cannot take signals now, so they wait in order."""


@dataclass(frozen=True, slots=True)
class Terminal:
    """The run has ended."""

    status: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """There is no such run."""


Residence = Resident | NonResident | Terminal | Unknown


class SeamRefused(AionError):
    """Something other than the two questions was asked of the seam."""


class Seam:
    """What the path of signals may know of the engine."""

    __slots__ = ("_engine",)

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def where(self, workflow_id: str, run_id: str | None = None) -> Residence:
        """Where the run lives."""
        run = self._engine.find(workflow_id, run_id)
        if run is None:
            row = self._engine.store.run(WorkflowId(workflow_id), None if run_id is None else RunId(run_id))
            return Unknown() if row is None else Terminal(row.status.value) if row.status.closed else NonResident()
        if run.closed:
            return Terminal(str(run.status))
        return Resident(run.pid) if run.can_step else NonResident()

    def deliver(self, pid: int, signal: e.SignalReceived) -> None:
        """Record the signal and step the process with this pid. Raises SeamRefused when no workflow process has it."""
        found = self._engine.tree.by_pid(pid)
        if not isinstance(found, LiveRun):
            raise SeamRefused(f"pid {pid} is no workflow process; signals are delivered to those alone")
        self._engine.fact(found, signal)

    def __getattr__(self, name: str) -> NoReturn:
        raise SeamRefused(f"the signal seam has no {name!r}: it answers `where` and `deliver` and nothing else")


def signal(
    engine: Engine, workflow_id: str, name: str, payload: e.Payload, run_id: str | None = None, idempotency_key: str | None = None
) -> bool:
    """Send a signal; False when its idempotency key has come before (it then counts once), even where the run has ended since.

    Raises InvalidName, RunNotFound, RunClosed with nothing written.
    """
    workflow_id = check_name("workflow id", workflow_id)
    name = check_name("signal name", name)
    if idempotency_key is not None:
        idempotency_key = check_name("idempotency key", idempotency_key)
    seam = Seam(engine)
    match seam.where(workflow_id, run_id):
        case Terminal() if idempotency_key is not None and _has_come(engine, workflow_id, run_id, idempotency_key):
            return False
        case Unknown() | Terminal():
            open_run(engine, workflow_id, run_id)
            raise RunNotFound(workflow_id, run_id)
        case residence:
            run = open_run(engine, workflow_id, run_id)
            if idempotency_key is not None and run.has_signal_key(idempotency_key):
                return False
            received = e.SignalReceived(name, payload, idempotency_key)
            if isinstance(residence, Resident):
                seam.deliver(residence.pid, received)
            else:
                engine.fact(run, received)
            return True


FULL = 50_000
"""Rows in a turn after which what open runs send waits for the next one: two runs that answer each other without end do not hold it."""


def forward(engine: Engine, run: LiveRun, sent: e.SignalSent) -> None:
    """Bring a signal that a run has sent to its target, and tell the sender what came of it, in one commit with the sending. The target knows
    it by its key, so that doing this again after a crash changes nothing."""
    if run.mail is None or sent.send_id not in run.mail.sends:
        return
    if len(engine.turn_now.batch.rows) > FULL and not run.closed:
        engine.posts.append((run, sent))
        return
    told = _arrive(engine, sent)
    if not run.closed:  # what it sent to itself may have ended it
        engine.fact(run, told)
    elif run.mail is not None:
        run.mail.sends.pop(sent.send_id, None)


def _arrive(engine: Engine, sent: e.SignalSent) -> e.SignalDelivered | e.SignalUndelivered:
    try:
        signal(engine, sent.target, sent.name, sent.payload, sent.target_run_id, sent.key)
    except RunClosed as error:
        return e.SignalUndelivered(sent.send_id, error.status, RunId(error.run_id))
    except RunNotFound:
        return e.SignalUndelivered(sent.send_id)
    return e.SignalDelivered(sent.send_id)


def forward_waiting(engine: Engine) -> None:
    """What waits from turns before."""
    posts, turn = engine.posts, engine.turn_now
    for _ in range(len(posts)):
        run, sent = posts.popleft()
        turn.see_to(run, partial(forward, engine, run, sent))


def _has_come(engine: Engine, workflow_id: str, run_id: str | None, key: str) -> bool:
    """Whether a closed run has had a signal with this key: its sender was cut off before the answer and asks again."""
    live = engine.find(workflow_id, run_id)
    if live is not None:
        return live.has_signal_key(key)
    row = any_run(engine, workflow_id, run_id)
    history = engine.store.run_history(row.key)
    origin = getattr(history[0].event, "origin", None)
    if origin is not None and key in origin.signal_keys:
        return True
    return any(isinstance(r.event, e.SignalReceived) and r.event.idempotency_key == key for r in history)
