"""How an activity is asked for: keywords as authors write them, checked and turned into what is recorded."""
from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from aionlab.core.clock import Micros
from aionlab.core.durations import Duration, micros
from aionlab.core.errors import InvalidOption
from aionlab.core.events import ActivityOptions
from aionlab.core.names import check_name
from aionlab.core.retry import RetryPolicy

RUN_IN: Final = ("thread", "async", "process")
CANCELLATION: Final = ("try_cancel", "wait_completed", "abandon")
ON_DUPLICATE: Final = ("reject", "return_existing")


def activity_options(
    base: ActivityOptions, *, retry: RetryPolicy | int | None = None, start_to_close: Duration | None = None, timeout: Duration | None = None,
    schedule_to_close: Duration | None = None, heartbeat: Duration | None = None, cancellation: str | None = None, queue: str | None = None,
    priority: int | None = None, dedup_id: str | None = None, on_duplicate: str | None = None, run_in: str | None = None, summary: str | None = None,
) -> ActivityOptions:
    """`base` with what is given; `retry=3` stands for three attempts, `timeout` for `start_to_close`. Raises InvalidOption."""
    given: dict[str, Any] = {}
    if start_to_close is not None and timeout is not None:
        raise InvalidOption("timeout= is another name of start_to_close=; give one of them")
    if retry is not None:
        given["retry"] = _policy(retry)
    lengths = {"start_to_close": timeout if start_to_close is None else start_to_close, "schedule_to_close": schedule_to_close, "heartbeat": heartbeat}
    given |= {name: _length(name, length) for name, length in lengths.items() if length is not None}
    if cancellation is not None:
        given["cancellation"] = _one_of("cancellation", cancellation, CANCELLATION)
    if queue is not None:
        given["queue"] = check_name("queue name", queue)
    if priority is not None:
        if isinstance(priority, bool) or not isinstance(priority, int) or priority < 0:
            raise InvalidOption(f"priority={priority!r}; it is a number from 0, and the smaller comes first")
        given["priority"] = priority
    if dedup_id is not None:
        given["dedup_id"] = check_name("dedup_id", dedup_id)
    if on_duplicate is not None:
        given["on_duplicate"] = _one_of("on_duplicate", on_duplicate, ON_DUPLICATE)
    if run_in is not None:
        where = _one_of("run_in", run_in, RUN_IN)
        given["run_in"] = "" if where in ("thread", "async") else where
    if summary is not None:
        if not isinstance(summary, str):
            raise InvalidOption(f"summary={summary!r}; it is a line of text")
        given["summary"] = summary
    return replace(base, **given) if given else base


def _policy(retry: RetryPolicy | int) -> RetryPolicy:
    if isinstance(retry, bool) or not isinstance(retry, RetryPolicy | int):
        raise InvalidOption(f"retry={retry!r}; write Retry(…) or a number of attempts")
    if isinstance(retry, RetryPolicy):
        return retry
    if retry < 1:
        raise InvalidOption(f"retry={retry}; it counts attempts in all, so at least 1")
    return RetryPolicy(max_attempts=retry)


def _length(name: str, length: Duration) -> Micros:
    try:
        found = micros(length)
    except (TypeError, ValueError) as error:
        raise InvalidOption(f"{name}: {error}") from None
    if not found:
        raise InvalidOption(f"{name} must be longer than 0")
    return found


def _one_of(name: str, value: object, known: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in known:
        raise InvalidOption(f"{name}={value!r}; choose one of {', '.join(known)}")
    return value
