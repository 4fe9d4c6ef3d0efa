"""The other side of `backends.processes`: one fresh interpreter, one attempt, one report.

It ignores SIGINT (interrupting a cell is not its affair), takes SIGTERM as the wish that the attempt stops, and dies with its kernel.
"""
from __future__ import annotations

import asyncio
import inspect
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from types import FrameType

from aionlab.backends.attempts import Pulse, Runnable, run_async, run_sync
from aionlab.backends.wire import BEAT, DONE, FAILED, JOB, STOP, Inbox, message
from aionlab.code.activities import build_activity
from aionlab.core.events import Payload
from aionlab.core.failure import Failure, failure_of
from aionlab.core.payload import Converter, hints_of
from aionlab.core.ports import Finished
from aionlab.core.values import values_for

from .parcels import Parcel, unwrap

_CHUNK = 1 << 18


class Link:
    """The socket to the kernel. Hearing nothing more from it is the end of this process and of all it started."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock, self._inbox = sock, Inbox()
        self._saying = threading.Lock()
        self._stopped = False
        self._stop: Callable[[bool], None] | None = None

    def job(self) -> bytes:
        """The attempt to make, as soon as it comes."""
        while True:
            for kind, body in self._heard():
                if kind == JOB:
                    threading.Thread(target=self._listen, name="aion-kernel", daemon=True).start()
                    return body

    def say(self, kind: bytes, body: bytes = b"") -> None:
        with self._saying:
            self._sock.sendall(message(kind, body))

    def when_stopped(self, stop: Callable[[bool], None]) -> None:
        """Call `stop(True)` once nobody waits for the attempt any more; SIGTERM, which follows, tells its code."""
        self._stop = stop
        if self._stopped:
            stop(True)

    def _listen(self) -> None:
        while True:
            for kind, _ in self._heard():
                if kind == STOP:
                    self._stopped = True
                    if self._stop is not None:
                        self._stop(True)

    def _heard(self) -> list[tuple[bytes, bytes]]:
        try:
            data = self._sock.recv(_CHUNK)
        except OSError:
            data = b""
        if not data:
            end()
        return list(self._inbox.feed(data))


def end() -> None:
    """The kernel is gone: nobody is left to report to."""
    with suppress(OSError):
        os.killpg(os.getpgid(0), signal.SIGKILL)
    os._exit(1)


def main(descriptor: int, lifeline: int, parent: int) -> None:
    """Make one attempt for the kernel at the other end of the socket, and report."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with(parent, lifeline)
    link = Link(socket.socket(fileno=descriptor))
    text = link.job()
    try:
        parcel = unwrap(text)
        outcome = _made(link, parcel)
    except BaseException as error:  # noqa: BLE001 - code that cannot be built here is the attempt's failure, whatever it raises
        outcome = failure_of(error, Converter())
    with suppress(OSError):  # the kernel is gone, and `_listen` sees to the rest
        if isinstance(outcome, Failure):
            link.say(FAILED, outcome.to_bytes())
        else:
            link.say(DONE, outcome)


def _made(link: Link, parcel: Parcel) -> Payload | Failure:
    sys.path[:] = parcel.path
    os.environ.clear()
    os.environ.update(parcel.environment)
    with suppress(OSError):
        os.chdir(parcel.folder)
    _load_libraries(parcel)
    plain = Converter()
    built = build_activity(parcel.package, {name: plain.decode(value) for name, value in parcel.values.items()})
    own = values_for(built.resolve)  # values of the notebook's may be of classes that only its code makes
    built.namespace.update({name: own.decode(value) for name, value in parcel.values.items()})
    function = built.function
    code = Runnable(function, inspect.iscoroutinefunction(function), hints_of(function), own)
    pulse = Pulse(parcel.attempt, lambda attempt, details: link.say(BEAT, details or b""))
    link.when_stopped(pulse.cancel)
    link.say(BEAT)
    finished = asyncio.run(_async(code, pulse)) if code.is_async else _sync(code, pulse)
    if finished.failure is not None:
        return finished.failure
    assert finished.result is not None
    return finished.result


_PANDAS = re.compile(rb'"~":"(?:frame|series|index|timestamp|pandas\.timedelta|missing)"').search
_NUMPY = re.compile(rb'"~":"(?:ndarray|numpy)"').search


def _load_libraries(parcel: Parcel) -> None:
    """Import what reading the values needs: records of arrays and frames load no library by themselves."""
    texts = [parcel.attempt.input, *parcel.values.values()]
    for name, needed in (("pandas", _PANDAS), ("numpy", _NUMPY)):
        if any(map(needed, texts)):
            with suppress(ImportError):
                import_module(name)


def _sync(code: Runnable, pulse: Pulse) -> Finished:
    """SIGTERM raises CancelledError where the code is, once."""

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise asyncio.CancelledError("the attempt is no longer wanted")

    signal.signal(signal.SIGTERM, stop)
    try:
        return run_sync(pulse.attempt, code, pulse)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


async def _async(code: Runnable, pulse: Pulse) -> Finished:
    """SIGTERM cancels the task the code runs in."""
    task = asyncio.ensure_future(run_async(pulse.attempt, code, pulse))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel, "the attempt is no longer wanted")
    return await task


def _die_with(parent: int, lifeline: int) -> None:
    """Let the system end this process and all it starts when the kernel ends, whatever code holds the GIL then (Linux); elsewhere
    `_listen` does. The lifeline's closing signals the whole group. (PR_SET_PDEATHSIG would race with it: it speaks of the thread that
    forked, and a leader that is gone first is not asked after its group.)"""
    if sys.platform == "linux":
        import fcntl
        import select

        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgid(0))
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
        if os.getppid() != parent or select.select([lifeline], [], [], 0)[0]:
            end()
