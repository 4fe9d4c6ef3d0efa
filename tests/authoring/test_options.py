"""Every option of an activity: declared, changed for one call, recorded, refused."""
from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from aionlab import Retry, activity
from aionlab.core import events as e
from aionlab.core.codec import pack, unpack
from aionlab.core.errors import InvalidName, InvalidOption
from aionlab.core.events import ActivityOptions, Payload
from aionlab.testing.workbench import Workbench

SECOND = 1_000_000
ALL: dict[str, Any] = {
    "retry": Retry(3, backoff="linear", jitter=0.5, non_retryable=("Money",)), "start_to_close": "5s", "schedule_to_close": timedelta(hours=1), "heartbeat": 2,
    "cancellation": "wait_completed", "queue": "gpu", "priority": 3, "dedup_id": "d-1", "on_duplicate": "return_existing", "run_in": "process", "summary": "a line",
}
RECORDED = ActivityOptions(
    ALL["retry"], 5 * SECOND, "gpu", "process", 3600 * SECOND, 2 * SECOND, "wait_completed", 3, "d-1", "return_existing", "a line"  # type: ignore[arg-type]
)


def _plain() -> None: ...


@pytest.mark.parametrize("name", ALL)
def test_each_option_is_declared_and_changed_alone(name: str) -> None:
    one = {name: ALL[name]}
    declared = activity(**one)(_plain)
    assert declared.options == activity(_plain).with_options(**one).options != ActivityOptions()
    same = [field for field in ActivityOptions.__slots__ if getattr(declared.options, field) == getattr(ActivityOptions(), field)]
    assert len(same) == len(ActivityOptions.__slots__) - 1


def test_all_options_together() -> None:
    declared = activity(name="act", **ALL)(_plain)
    assert declared.options == RECORDED and declared.run_in == "process"
    assert activity(_plain).with_options(**ALL).options == RECORDED
    again = declared.with_options(priority=0)
    assert again.options.priority == 0 and again.options.dedup_id == "d-1" and again.run_in == "process" and again.name == "act"


def test_a_retry_predicate_stays_with_the_activity() -> None:
    declared = activity(retry_if=bool)(_plain)
    assert declared.retry_if is declared.with_options(retry=3).retry_if is bool
    with pytest.raises(InvalidOption, match="retry_if=3; it is a function of the error"):
        activity(retry_if=3)(_plain)  # type: ignore[call-overload]


def test_all_options_are_recorded_and_come_back() -> None:
    for options in (RECORDED, ActivityOptions()):
        scheduled = e.ActivityScheduled(4, "act", Payload(b"[]"), options)
        assert unpack(*pack(scheduled)) == scheduled


def test_options_that_older_labs_recorded_are_read() -> None:
    row = b'{"activity_type":"a","options":{"retry":{"max_attempts":2,"initial":5,"backoff":2.0,"max_interval":9,"non_retryable":["E"]},"start_to_close":7,"queue":"q"}}'
    found = unpack(20, 0, row, b"[]")
    assert isinstance(found, e.ActivityScheduled)
    assert (found.options.retry.non_retryable, found.options.start_to_close, found.options.queue, found.options.cancellation) == (("E",), 7, "q", "try_cancel")
    assert found.options.retry.delay_after(1) == 5 and found.options.retry.kind == "exponential"


def test_moving_an_activity_to_another_place_for_one_call() -> None:
    async def fetch() -> None: ...

    there = activity(run_in="process")(fetch)
    assert (there.run_in, there.with_options(run_in="async").run_in, there.with_options(run_in="async").options.run_in) == ("process", "async", "")


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"schedule_to_close": 0}, InvalidOption, "schedule_to_close must be longer than 0"),
        ({"heartbeat": "0s"}, InvalidOption, "heartbeat must be longer than 0"),
        ({"cancellation": "later"}, InvalidOption, "cancellation='later'; choose one of try_cancel, wait_completed, abandon"),
        ({"priority": -1}, InvalidOption, "priority=-1; it is a number from 0, and the smaller comes first"),
        ({"priority": True}, InvalidOption, "priority=True"),
        ({"priority": 1.5}, InvalidOption, "priority=1.5"),
        ({"queue": ""}, InvalidName, "queue name"),
        ({"queue": 3}, InvalidName, "queue name"),
        ({"dedup_id": ""}, InvalidName, "dedup_id"),
        ({"on_duplicate": "wait"}, InvalidOption, "on_duplicate='wait'; choose one of reject, return_existing"),
        ({"run_in": ["thread"]}, InvalidOption, "run_in=['thread']; choose one of thread, async, process"),
        ({"summary": 3}, InvalidOption, "summary=3; it is a line of text"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], error: type[Exception], words: str) -> None:
    for take in (lambda **given: activity(**given)(_plain), activity(_plain).with_options):
        with pytest.raises(error) as refused:
            take(**options)
        assert words in str(refused.value)


def test_the_options_of_each_call_are_its_own() -> None:
    bench = Workbench()
    act = bench.activity(activity(name="act")(_plain))

    async def flow() -> None:
        for n in range(3):
            await act.with_options(dedup_id=f"d{n}", summary=f"number {n}", priority=n)()

    bench.workflow(flow)
    workflow_id = bench.start("flow")
    asked = [entry.event.options for entry in bench.history(workflow_id) if isinstance(entry.event, e.ActivityScheduled)]
    assert [(options.dedup_id, options.summary, options.priority) for options in asked] == [(f"d{n}", f"number {n}", n) for n in range(3)]
