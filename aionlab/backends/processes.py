"""Each attempt in a process of its own: what becomes of it harms no other, and not the kernel.

A worker is a fresh interpreter in a session of its own that ignores SIGINT. It gets one attempt, reports, and ends; the next one is
started beforehand, so that an attempt need not wait for Python to start. One thread starts the workers, hears them and buries them;
nothing here waits on the engine's thread. A worker holds the far end of a socket and of a lifeline, a pipe that is never written to:
when its kernel dies, both close, and it is killed with all it has started.
"""
from __future__ import annotations

import asyncio
import json
import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from aionlab.core.errors import WorkerLost
from aionlab.core.events import Payload
from aionlab.core.failure import Failure, failure_of
from aionlab.core.payload import Converter
from aionlab.core.ports import Attempt, Beat, Done, Finished, Missing

from .attempts import NamesMissing
from .wire import BEAT, DONE, FAILED, JOB, STOP, Inbox, message

log = logging.getLogger("aionlab.activities")

Pack = Callable[[Attempt], bytes]
"""The attempt with the activity's code, as the worker's entry reads it; called on the engine's thread. Raises NamesMissing while the
notebook has not defined what the code needs; whatever else it raises fails the attempt."""

_BOOT = "import json,sys;sys.path[:]=json.loads(sys.argv[2]);sys.argv[1:]=[];from {module} import {name};{name}({fd},{line},{parent})"
_BEGINNING = 120.0
"""Seconds a worker may take to come up and import what the activity's code needs; its limits count from then on."""
_LEAVING = 2.0
"""Seconds a worker that has reported may take to end (threads and exit handlers of the user's)."""
_CLOSING = 0.5
"""Seconds running attempts may clean up when the lab is closed."""
_UNWATCHED = 0.1
"""Seconds between looks at workers where the system does not tell of their end."""
_CHUNK = 1 << 18


class _Job(NamedTuple):
    attempt: Attempt
    text: bytes
    done: Done
    beat: Beat | None


class _Worker:
    """One process and what it is doing."""

    __slots__ = ("asked", "ended", "inbox", "job", "kill_at", "lifeline", "outbox", "pidfd", "process", "sock")

    def __init__(self, process: subprocess.Popen[bytes], sock: socket.socket, lifeline: int, pidfd: int | None) -> None:
        self.process, self.sock, self.lifeline, self.pidfd = process, sock, lifeline, pidfd
        self.inbox, self.outbox = Inbox(), bytearray()
        self.job: _Job | None = None
        self.asked = False
        """Whether the attempt was asked to stop."""
        self.ended = False
        """Whether the worker's end of the socket is closed."""
        self.kill_at: float | None = None


_lifelines: set[int] = set()
"""The ends this process holds. A fork must not: while anybody holds one, its worker lives."""


def _after_fork() -> None:
    for lifeline in _lifelines:
        with suppress(OSError):
            os.close(lifeline)
    _lifelines.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class ProcessExecutor:
    """At most `workers` attempts at once; more wait in order.

    `entry` is the worker's main function as "module:function", called with the descriptors of the socket and the lifeline, and the pid of
    this process. `grace` is the number of seconds between SIGTERM and SIGKILL for an attempt that is to stop. `judge` sees each failure
    before it is reported.
    """

    beats = True

    def __init__(
        self, pack: Pack, entry: str, *, workers: int | None = None, grace: float = 5.0, judge: Callable[[Attempt, Failure], Failure] | None = None
    ) -> None:
        self._pack, self._entry, self._grace, self._judge = pack, entry, grace, judge
        self._limit = workers or max(4, 2 * (os.cpu_count() or 1))
        self._orders: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._bell: socket.socket | None = None
        self._selector: selectors.BaseSelector
        self._waiting: deque[_Job] = deque()
        self._workers: set[_Worker] = set()
        self._spare: _Worker | None = None
        self._running: dict[tuple[int, int], _Worker] = {}
        self._closing = False
        self._values = Converter()

    # --- the engine's side ----------------------------------------------------------------------------------------------

    def submit(self, attempt: Attempt, done: Done, beat: Beat | None = None) -> None:
        """Begin the attempt; `done` and `beat` are called from another thread."""
        try:
            text = self._pack(attempt)
        except NamesMissing as error:
            done(Missing(attempt.run_key, attempt.activity_id, attempt.attempt, error.names))
            return
        except Exception as error:  # noqa: BLE001 - code that cannot leave this kernel has failed the attempt, whatever stands in its way
            done(Finished(attempt.run_key, attempt.activity_id, attempt.attempt, None, self._failure(error)))
            return
        job = _Job(attempt, text, done, beat)
        self._order(lambda: self._take(job))

    def cancel(self, run_key: int, activity_id: int) -> None:
        """Stop the attempt: CancelledError in its code, and the end of its process when that is not heeded within the grace."""
        if self._thread is not None:
            self._order(lambda: self._stop((run_key, activity_id)))

    def close(self) -> None:
        """End all workers; attempts they were making run again when the lab is next opened."""
        thread = self._thread
        if thread is None:
            return
        self._order(self._shut)
        thread.join(_CLOSING + _LEAVING)

    def _order(self, order: Callable[[], None]) -> None:
        self._orders.put(order)
        if self._thread is None:
            hears, self._bell = socket.socketpair()
            hears.setblocking(False)
            self._bell.setblocking(False)
            self._thread = threading.Thread(target=self._serve, args=(hears,), name="aion-processes", daemon=True)
            self._thread.start()
        self._ring()

    def _ring(self) -> None:
        with suppress(OSError):  # a full pipe rings as well, and a closed one has nobody to wake
            assert self._bell is not None
            self._bell.send(b"\0")

    # --- the thread -----------------------------------------------------------------------------------------------------

    def _serve(self, hears: socket.socket) -> None:
        assert self._bell is not None
        with selectors.DefaultSelector() as self._selector, hears, self._bell:
            self._selector.register(hears, selectors.EVENT_READ, lambda _: _drained(hears))
            while not (self._closing and not self._workers):
                for key, mask in self._selector.select(self._patience()):
                    _guarded(key.data, mask)
                self._obey()
                _guarded(self._look_after)

    def _obey(self) -> None:
        while True:
            try:
                order = self._orders.get_nowait()
            except Empty:
                return
            _guarded(order)

    def _patience(self) -> float | None:
        due = [worker.kill_at for worker in self._workers if worker.kill_at is not None]
        wait = None if not due else max(0.0, min(due) - time.monotonic())
        if any(worker.pidfd is None for worker in self._workers):
            wait = _UNWATCHED if wait is None else min(wait, _UNWATCHED)
        return wait

    def _look_after(self) -> None:
        """Kill what is overdue; bury what ended unwatched."""
        now = time.monotonic()
        for worker in list(self._workers):
            if worker.kill_at is not None and worker.kill_at <= now:
                worker.kill_at = None
                _kill(worker, signal.SIGKILL)
            if worker.pidfd is None and _has_ended(worker):
                self._bury(worker)

    def _take(self, job: _Job) -> None:
        self._waiting.append(job)
        self._hand_out()

    def _hand_out(self) -> None:
        while self._waiting and len(self._running) < self._limit and not self._closing:
            job = self._waiting.popleft()
            worker, self._spare = self._spare, None
            try:
                worker = worker or self._hire()
            except OSError as error:  # no room for another process: the attempt has failed, and its policy says what follows
                self._report(job, failure=self._failure(WorkerLost(job.attempt.activity_type, f"cannot be started: {error}")))
                continue
            worker.job = job
            worker.kill_at = time.monotonic() + _BEGINNING
            self._running[job.attempt.run_key, job.attempt.activity_id] = worker
            worker.outbox += message(JOB, job.text)
            self._send(worker)
            if self._spare is None and len(self._running) < self._limit:
                with suppress(OSError):  # the next attempt will say so
                    self._spare = self._hire()

    def _hire(self) -> _Worker:
        """Start a worker."""
        ours, theirs = socket.socketpair()
        with theirs:
            held, lifeline = os.pipe()
            try:
                module, _, name = self._entry.partition(":")
                boot = _BOOT.format(module=module, name=name, fd=theirs.fileno(), line=held, parent=os.getpid())
                process = subprocess.Popen(
                    [sys.executable, "-c", boot, "aionlab-worker", json.dumps(sys.path)], stdin=subprocess.DEVNULL, start_new_session=True,
                    pass_fds=(theirs.fileno(), held),
                )  # fmt: skip
            except BaseException:
                ours.close()
                os.close(lifeline)
                raise
            finally:
                os.close(held)
        ours.setblocking(False)
        _lifelines.add(lifeline)
        worker = _Worker(process, ours, lifeline, _watch(process.pid))
        self._workers.add(worker)
        self._selector.register(ours, selectors.EVENT_READ, lambda mask: self._talk(worker, mask))
        if worker.pidfd is not None:
            self._selector.register(worker.pidfd, selectors.EVENT_READ, lambda _: self._bury(worker))
        return worker

    # --- one worker -----------------------------------------------------------------------------------------------------

    def _talk(self, worker: _Worker, mask: int) -> None:
        if mask & selectors.EVENT_WRITE:
            self._send(worker)
        if mask & selectors.EVENT_READ:
            self._hear(worker)

    def _send(self, worker: _Worker) -> None:
        if worker.ended:
            return
        try:
            while worker.outbox:
                sent = worker.sock.send(worker.outbox[:_CHUNK])
                del worker.outbox[:sent]
        except BlockingIOError:
            pass
        except OSError:  # it has ended; hearing that is what reports it
            worker.outbox.clear()
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if worker.outbox else 0)
        self._selector.modify(worker.sock, wanted, self._selector.get_key(worker.sock).data)

    def _hear(self, worker: _Worker) -> None:
        """Take in what the worker says, until it says no more for now."""
        if worker.ended:
            return
        while True:
            try:
                data = worker.sock.recv(_CHUNK)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                break
            for kind, body in worker.inbox.feed(data):
                self._heard(worker, kind, body)
        worker.ended = True
        self._selector.unregister(worker.sock)
        self._leave(worker)

    def _heard(self, worker: _Worker, kind: bytes, body: bytes) -> None:
        job = worker.job
        if job is None:
            return
        if kind == BEAT:
            if not worker.asked:
                worker.kill_at = None
            if job.beat is not None:
                job.beat(job.attempt, Payload(body) if body else None)
            return
        if kind == DONE:
            self._finish(worker, result=Payload(body))
        elif kind == FAILED:
            self._finish(worker, failure=Failure.from_bytes(body))
        self._leave(worker)

    def _leave(self, worker: _Worker) -> None:
        """The worker has nothing more to do, or to say: give it a little time to end."""
        due = time.monotonic() + _LEAVING
        if worker.kill_at is None or worker.kill_at > due:
            worker.kill_at = due

    def _finish(self, worker: _Worker, result: Payload | None = None, failure: Failure | None = None) -> None:
        job, worker.job = worker.job, None
        if job is None:
            return
        key = (job.attempt.run_key, job.attempt.activity_id)
        if self._running.get(key) is worker:
            del self._running[key]
        self._report(job, result, failure)
        self._hand_out()

    def _report(self, job: _Job, result: Payload | None = None, failure: Failure | None = None) -> None:
        if self._closing:
            return  # it is recorded as begun and runs again at the next open
        attempt = job.attempt
        if failure is not None and self._judge is not None:
            try:
                failure = self._judge(attempt, failure)
            except Exception:  # the report is owed, whatever is thought of it
                log.exception("a failure of %s could not be judged", attempt.activity_type)
        job.done(Finished(attempt.run_key, attempt.activity_id, attempt.attempt, result, failure))

    def _stop(self, key: tuple[int, int]) -> None:
        worker = self._running.pop(key, None)
        if worker is not None:
            self._ask_to_stop(worker, self._grace)
            self._hand_out()
            return
        for job in self._waiting:
            if (job.attempt.run_key, job.attempt.activity_id) == key:
                self._waiting.remove(job)
                self._report(job, failure=self._failure(asyncio.CancelledError("the attempt was stopped before it began")))
                return

    def _ask_to_stop(self, worker: _Worker, grace: float) -> None:
        worker.asked = True
        worker.kill_at = time.monotonic() + grace
        worker.outbox += message(STOP)
        self._send(worker)
        _kill(worker, signal.SIGTERM)

    def _bury(self, worker: _Worker) -> None:
        """The process has ended: hear its last words, report what it left undone, and let go of all it held."""
        self._hear(worker)
        if worker.job is not None or worker.asked:
            _kill(worker, signal.SIGKILL)  # what it may have started in its session
        code = worker.process.wait()
        if not worker.ended:
            worker.ended = True
            self._selector.unregister(worker.sock)
        worker.sock.close()
        _lifelines.discard(worker.lifeline)
        os.close(worker.lifeline)
        if worker.pidfd is not None:
            self._selector.unregister(worker.pidfd)
            os.close(worker.pidfd)
        self._workers.discard(worker)
        if worker is self._spare:
            self._spare = None
        if worker.job is not None:
            lost: BaseException = WorkerLost(worker.job.attempt.activity_type, ending(code), code)
            if worker.asked:
                lost = asyncio.CancelledError(f"the attempt was stopped: its process {ending(code)}")
            self._finish(worker, failure=self._failure(lost))

    def _shut(self) -> None:
        self._closing = True
        self._waiting.clear()
        for worker in list(self._workers):
            if worker.job is None:
                _kill(worker, signal.SIGKILL)
            else:
                self._ask_to_stop(worker, _CLOSING)

    def _failure(self, error: BaseException) -> Failure:
        return failure_of(error, self._values)


def _guarded(do: Callable[..., object], *given: object) -> None:
    """One worker's trouble must not end the thread that hears them all."""
    try:
        do(*given)
    except Exception:
        log.exception("a worker process could not be seen to")


def ending(code: int) -> str:
    """How a process ended, in words, from its return code."""
    if code >= 0:
        return f"ended with exit code {code} before it returned"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was killed by {name}"


def _watch(pid: int) -> int | None:
    """A descriptor that becomes readable when the process ends, where the system has such."""
    opener: Any = getattr(os, "pidfd_open", None)
    if opener is None:
        return None
    try:
        return int(opener(pid))
    except OSError:
        return None


def _has_ended(worker: _Worker) -> bool:
    """Whether the process has ended; it stays to be buried."""
    try:
        return os.waitid(os.P_PID, worker.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # somebody else has waited for it
        return True


def _kill(worker: _Worker, number: int) -> None:
    """Signal a worker that is not buried yet: SIGTERM goes to it alone, SIGKILL to everything in its session's group."""
    with suppress(ProcessLookupError, PermissionError):
        if number == signal.SIGKILL:
            os.killpg(worker.process.pid, number)
        else:
            os.kill(worker.process.pid, number)


def _drained(sock: socket.socket) -> None:
    with suppress(BlockingIOError):
        while sock.recv(4096):
            pass
