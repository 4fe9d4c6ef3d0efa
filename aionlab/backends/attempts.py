"""One attempt of one activity, from recorded input to recorded outcome."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from aionlab.core.events import Payload
from aionlab.core.failure import Failure
from aionlab.core.ports import Attempt, Finished, Missing


class Values(Protocol):
    def encode(self, value: object, where: str = "value") -> Payload: ...
    def decode_args(self, payload: Payload, hints: Any = None) -> tuple[tuple[Any, ...], dict[str, Any]]: ...
    def failure(self, error: BaseException) -> Failure: ...


class Runnable(NamedTuple):
    """An activity's code in this kernel."""

    function: Callable[..., Any]
    is_async: bool
    hints: Mapping[Any, Any] | None
    values: Values


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


def run_sync(attempt: Attempt, code: Runnable) -> Finished:
    """Run a plain function; whatever it raises is the outcome."""
    try:
        args, kwargs = code.values.decode_args(attempt.input, code.hints)
        result = code.values.encode(code.function(*args, **kwargs), f"result of {attempt.activity_type}")
    except BaseException as error:  # noqa: BLE001 - SystemExit and KeyboardInterrupt of an activity are its failure, not this thread's end
        return failed(attempt, code, error)
    return Finished(attempt.run_key, attempt.activity_id, attempt.attempt, result, None)


async def run_async(attempt: Attempt, code: Runnable) -> Finished:
    """Run an async function; as `run_sync`."""
    try:
        args, kwargs = code.values.decode_args(attempt.input, code.hints)
        result = code.values.encode(await code.function(*args, **kwargs), f"result of {attempt.activity_type}")
    except BaseException as error:  # noqa: BLE001 - as in run_sync
        return failed(attempt, code, error)
    return Finished(attempt.run_key, attempt.activity_id, attempt.attempt, result, None)


def failed(attempt: Attempt, code: Runnable, error: BaseException) -> Finished:
    return Finished(attempt.run_key, attempt.activity_id, attempt.attempt, None, code.values.failure(error))
