"""Which executor an attempt goes to, and waiting for it."""
from __future__ import annotations

import threading
from typing import Any

from aionlab.backends.routing import OneByOne, RoutedExecutor
from aionlab.core.events import ActivityOptions, Payload
from aionlab.core.ids import RunId, WorkflowId
from aionlab.core.ports import Attempt, Finished


class Noting:
    """Notes what it is asked; reports from another thread."""

    beats = True

    def __init__(self, name: str, log: list[Any]) -> None:
        self.name, self.log = name, log
        log.append(f"{name} made")

    def submit(self, attempt: Attempt, done: Any, beat: Any = None) -> None:
        self.log.append((self.name, attempt.activity_id, beat))
        threading.Thread(target=done, args=(Finished(1, attempt.activity_id, 1, Payload(b"1"), None),)).start()

    def cancel(self, run_key: int, activity_id: int) -> None:
        self.log.append((self.name, "cancel", run_key, activity_id))

    def close(self) -> None:
        self.log.append(f"{self.name} closed")


def attempt(number: int, run_in: str = "") -> Attempt:
    return Attempt(1, WorkflowId("w"), RunId("r"), number, "a", 1, Payload(b"[]"), ActivityOptions(run_in=run_in))


def test_attempts_go_where_they_asked_to_and_executors_are_made_when_needed() -> None:
    log: list[Any] = []
    routed = RoutedExecutor(Noting("here", log), {"process": lambda: Noting("process", log), "dask": lambda: Noting("dask", log)})
    ended: list[Any] = []
    beat = object()
    for one in (attempt(0), attempt(1, "process"), attempt(2, "process"), attempt(3, "elsewhere")):
        routed.submit(one, ended.append, beat)  # type: ignore[arg-type]  # it is only handed on
    routed.cancel(1, 2)
    routed.close()
    assert log == [
        "here made", ("here", 0, beat), "process made", ("process", 1, beat), ("process", 2, beat), ("here", 3, beat),
        ("here", "cancel", 1, 2), ("process", "cancel", 1, 2), "here closed", "process closed",
    ]  # fmt: skip


def test_one_by_one_reports_before_submit_returns() -> None:
    log: list[Any] = []
    one = OneByOne(Noting("process", log))
    ended: list[Any] = []
    caller = threading.current_thread()
    one.submit(attempt(7), lambda report: ended.append((report, threading.current_thread() is caller)))
    assert ended == [(Finished(1, 7, 1, Payload(b"1"), None), True)]
    one.cancel(1, 7)
    one.close()
    assert log == ["process made", ("process", 7, None), "process closed"]
