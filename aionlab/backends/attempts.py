"""One attempt of one activity, from recorded input to recorded outcome."""
from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from aionlab.core.attempting import NOTHING, attempting
from aionlab.core.events import Payload
from aionlab.core.failure import Failure
from aionlab.core.ports import Attempt, Beat, Finished, Interrupted, Missing

log = logging.getLogger("aionlab.activities")


class Values(Protocol):
    def encode(self, value: object, where: str = "value") -> Payload: ...
    def decode(self, payload: Payload, into: Any = Any) -> Any: ...
    def decode_args(self, payload: Payload, hints: Any = None) -> tuple[tuple[Any, ...], dict[str, Any]]: ...
    def failure(self, error: BaseException) -> Failure: ...


class Runnable(NamedTuple):
    """An activity's code in this kernel."""

    function: Callable[..., Any]
    is_async: bool
    hints: Mapping[Any, Any] | None
    values: Values
    retry_if: Callable[[BaseException], object] | None = None
    """Asked about each error: whether another attempt may follow, as far as the author is concerned."""


class NamesMissing(Exception):
    """The activity's code needs names this kernel has not defined yet."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(names)
        self.names = names


Lookup = Callable[[str], Runnable]
"""Activity type → its newest code; raises NamesMissing."""


def find(lookup: Lookup, attempt: Attempt) -> Runnable | Missing:
    """The code of an attempt, or the report that it cannot begin."""
    try:
        return lookup(attempt.activity_type)
    except NamesMissing as error:
        return Missing(attempt.run_key, attempt.activity_id, attempt.attempt, error.names)


class Pulse:
    """A running attempt, as its own code (through `core.attempting`) and whoever wants it stopped see it.

    `beat` is where heartbeats go; None where nobody listens. `cancel` may be called from any thread. What few attempts need is set on the
    class: every attempt makes one of these.
    """

    values: Values | None = None
    cancelled = False
    _told = False
    _bell: threading.Event | None = None

    def __init__(self, attempt: Attempt, beat: Beat | None = None) -> None:
        self.attempt, self._beat = attempt, beat

    def begin(self, values: Values) -> None:
        """The attempt's code begins now, which is when its limits begin to count."""
        self.values = values
        options = self.attempt.options
        if self._beat is not None and (options.start_to_close is not None or options.heartbeat is not None):
            self._beat(self.attempt, None)

    def heartbeat(self, details: Any = NOTHING) -> None:
        if self.cancelled and not self._told:
            self._told = True
            raise asyncio.CancelledError("nobody waits for this attempt any more")
        assert self.values is not None
        payload = None if details is NOTHING else self.values.encode(details, f"heartbeat of {self.attempt.activity_type}")
        if self._beat is not None:
            self._beat(self.attempt, payload)

    def details(self) -> Any:
        assert self.values is not None
        return None if self.attempt.details is None else self.values.decode(self.attempt.details)

    def cancel(self, told: bool = False) -> None:
        """Nobody waits for the attempt any more. `told`: its code gets CancelledError by another way than its next heartbeat."""
        self._told = self._told or told
        self.cancelled = True
        bell = self._bell
        if bell is not None:
            bell.set()

    def wait_cancelled(self, seconds: float | None) -> bool:
        if self._bell is None:
            self._bell = threading.Event()
        if self.cancelled:  # asked after the bell is hung, so that no cancel slips between
            return True
        return self._bell.wait(seconds)


def run_sync(attempt: Attempt, code: Runnable, pulse: Pulse | None = None) -> Finished:
    """Run a plain function; whatever it raises is the outcome, but for KeyboardInterrupt, which is none and goes on to the caller."""
    pulse = pulse or Pulse(attempt)
    token = attempting.set(pulse)
    try:
        pulse.begin(code.values)
        args, kwargs = code.values.decode_args(attempt.input, code.hints)
        result = code.values.encode(code.function(*args, **kwargs), f"result of {attempt.activity_type}")
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - SystemExit of an activity is its failure, not this thread's end
        return failed(attempt, code, error)
    finally:
        attempting.reset(token)
    return Finished(attempt.run_key, attempt.activity_id, attempt.attempt, result, None)


async def run_async(attempt: Attempt, code: Runnable, pulse: Pulse | None = None) -> Finished:
    """Run an async function; as `run_sync`."""
    pulse = pulse or Pulse(attempt)
    token = attempting.set(pulse)
    try:
        pulse.begin(code.values)
        args, kwargs = code.values.decode_args(attempt.input, code.hints)
        result = code.values.encode(await code.function(*args, **kwargs), f"result of {attempt.activity_type}")
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - as in run_sync
        return failed(attempt, code, error)
    finally:
        attempting.reset(token)
    return Finished(attempt.run_key, attempt.activity_id, attempt.attempt, result, None)


def failed(attempt: Attempt, code: Runnable, error: BaseException) -> Finished:
    """The report of an attempt that raised."""
    failure = code.values.failure(error)
    if code.retry_if is not None and not failure.non_retryable and not may_retry(code.retry_if, attempt, error):
        failure = replace(failure, non_retryable=True)
    return Finished(attempt.run_key, attempt.activity_id, attempt.attempt, None, failure)


def interrupted(attempt: Attempt) -> Interrupted:
    return Interrupted(attempt.run_key, attempt.activity_id, attempt.attempt)


def may_retry(retry_if: Callable[[BaseException], object], attempt: Attempt, error: BaseException) -> bool:
    """Whether another attempt may follow, as far as the author is concerned."""
    try:
        return bool(retry_if(error))
    except Exception:  # the author's own predicate: an error it cannot judge is not retried
        log.exception("retry_if of %s raised; the attempt is not retried", attempt.activity_type)
        return False
