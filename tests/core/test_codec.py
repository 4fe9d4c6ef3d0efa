"""Events as rows: every class comes back, and rows written once stay readable."""
from __future__ import annotations

import dataclasses
import typing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aionlab.core import events
from aionlab.core.codec import CODES, NAMES, from_json, pack, to_json, unpack
from aionlab.core.errors import UnknownEventKind
from aionlab.core.events import (
    ActivityFailed,
    ActivityOptions,
    ActivityScheduled,
    Event,
    Payload,
    TimerStarted,
    WorkflowResumed,
    WorkflowStarted,
)
from aionlab.core.failure import Failure
from aionlab.core.jsontext import dumps, loads
from aionlab.core.retry import Retry, RetryPolicy

CLASSES: tuple[Any, ...] = typing.get_args(Event)

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
integers = st.integers(0, 2**63 - 1)
policies = st.builds(
    RetryPolicy, st.integers(0, 99), integers, st.floats(1, 100), integers, st.lists(text, max_size=3).map(tuple), text, st.floats(0, 1)
)
lengths = st.none() | integers
options = st.builds(
    ActivityOptions, policies | st.just(ActivityOptions().retry), lengths, text, text, lengths, lengths, text, integers, st.none() | text, text, st.none() | text
)
trees = st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | text, lambda inner: st.lists(inner) | st.dictionaries(text, inner), max_leaves=4)
failures = st.recursive(
    st.builds(Failure, text, text),
    lambda inner: st.builds(Failure, text, text, st.lists(text, max_size=2).map(tuple), trees, text, text, st.none() | inner, st.booleans(), st.none() | integers),
    max_leaves=3,
)
BY_TYPE: dict[Any, Any] = {
    int: integers, str: text, bool: st.booleans(), bytes: st.sampled_from([b"null", b"[1]", b'{"a":1}']), Failure: failures, ActivityOptions: options,
    type(None): st.none(),
}  # fmt: skip


def _values(annotation: Any) -> Any:
    if annotation in BY_TYPE:
        return BY_TYPE[annotation]
    if hasattr(annotation, "__supertype__"):
        return _values(annotation.__supertype__)
    if dataclasses.is_dataclass(annotation):
        return any_of(annotation)
    if typing.get_origin(annotation) is tuple:
        first, *more = typing.get_args(annotation)
        return st.lists(_values(first), max_size=3).map(tuple) if more == [...] else st.tuples(_values(first), *map(_values, more))
    return st.one_of(*(_values(arm) for arm in typing.get_args(annotation)))


def any_of(cls: Any) -> Any:
    hints = typing.get_type_hints(cls)
    required = {f.name: _values(hints[f.name]) for f in dataclasses.fields(cls) if f.default is dataclasses.MISSING}
    optional = {f.name: _values(hints[f.name]) for f in dataclasses.fields(cls) if f.default is not dataclasses.MISSING}
    made = st.fixed_dictionaries(required, optional=optional).map(lambda fields: cls(**fields))
    return made.filter(lambda event: event.result is None or event.error is None) if cls is events.UpdateCompleted else made


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_law_every_event_comes_back(cls: Any) -> None:
    @settings(max_examples=40, deadline=None, derandomize=True)
    @given(any_of(cls))
    def law(event: Event) -> None:
        packed = pack(event)
        code, ref, data, payload = packed
        assert code == CODES[cls.__name__] and (ref is None or type(ref) is int) and {type(data), type(payload)} <= {bytes, type(None)}
        assert unpack(*packed) == event
        assert pack(unpack(*packed)) == packed
        shown = to_json(event)
        assert shown["type"] == cls.__name__ and from_json(loads(dumps(shown))) == event

    law()


def test_every_class_has_one_code_for_ever() -> None:
    assert {cls.__name__ for cls in CLASSES} == set(CODES) and len(set(CODES.values())) == len(CODES)
    assert {code: name for name, code in CODES.items()} == NAMES
    assert CODES == {
        "WorkflowStarted": 1, "WorkflowCompleted": 2, "WorkflowFailed": 3, "WorkflowCancelRequested": 4, "WorkflowCancelled": 5, "WorkflowTerminated": 6,
        "WorkflowTimedOut": 7, "WorkflowPaused": 8, "WorkflowResumed": 9, "SearchAttributesUpdated": 10, "ActivityScheduled": 20, "ActivityStarted": 21,
        "ActivityCompleted": 22, "ActivityFailed": 23, "ActivityTimedOut": 24, "ActivityCancelRequested": 25, "ActivityCancelled": 26, "TimerStarted": 40,
        "TimerFired": 41, "TimerCancelled": 42, "SignalReceived": 60, "WorkflowContinuedAsNew": 12,
        "PatchMarked": 11, "VersionChanged": 13, "WorkflowReopened": 14, "WorkflowForked": 15, "MemoUpdated": 16,
    } | {name: code for name, code in CODES.items() if code > 60}  # fmt: skip


def test_rows_as_they_are_stored() -> None:
    assert pack(WorkflowResumed()) == (9, None, None, None)
    assert pack(TimerStarted(3, events.Micros(5))) == (40, 3, b'{"fire_at":5}', None)
    assert pack(WorkflowStarted("order", "3f2a", Payload(b"[42]"), 7, "3.11")) == (
        1, None, b'{"workflow_type":"order","version":"3f2a","seed":7,"python":"3.11"}', b"[42]"
    )
    assert pack(ActivityScheduled(0, "charge", Payload(b"[]"))) == (20, 0, b'{"activity_type":"charge"}', b"[]")
    failed = pack(ActivityFailed(2, Failure("ValueError", "no", ("ValueError", "Exception")), 3, events.Micros(9)))
    assert failed == (23, 2, b'{"attempt":3,"next_attempt_at":9}', b'{"type":"ValueError","message":"no","bases":["ValueError","Exception"]}')
    scheduled = ActivityScheduled(1, "charge", Payload(b"[]"), ActivityOptions(Retry(2, non_retryable=(ValueError,)), None, "slow"))
    assert unpack(*pack(scheduled)) == scheduled


def test_a_failure_keeps_what_is_empty_but_there() -> None:
    for failure in (Failure("A", "", fields={}), Failure("A", "", fields=[]), Failure("A", "", next_retry_delay=0)):
        assert Failure.from_bytes(failure.to_bytes()) == failure


def test_rows_of_a_newer_aionlab() -> None:
    with pytest.raises(UnknownEventKind, match="upgrade"):
        unpack(999, None, None, None)
    assert unpack(40, 3, b'{"fire_at":5,"invented":1}', None) == TimerStarted(3, events.Micros(5))
    row = b'{"activity_type":"a","options":{"retry":{"max_attempts":2,"invented":0.5},"start_to_close":null,"queue":"q","also":1}}'
    assert unpack(20, 0, row, b"[]") == ActivityScheduled(0, "a", Payload(b"[]"), ActivityOptions(RetryPolicy(max_attempts=2), None, "q"))


def test_payloads_are_shown_as_asked() -> None:
    event = events.SignalReceived("go", Payload(b'{"~":"set","v":[1]}'))
    assert to_json(event)["data"]["payload"] == {"~": "set", "v": [1]}
    assert to_json(event, lambda payload: len(payload))["data"]["payload"] == 19


def test_options_however_many_are_each_written_as_they_are() -> None:
    """Texts of options are kept by identity, and thrown away when there are too many; no options ever get those of others."""
    for _ in range(2):
        for n in range(1, 1500):
            scheduled = ActivityScheduled(n, "charge", Payload(b"[]"), ActivityOptions(RetryPolicy(max_attempts=n), None, f"q{n % 7}"))
            assert unpack(*pack(scheduled)) == scheduled


@pytest.mark.parametrize("told", [{}, {"type": "WorkflowResumed"}, {"type": 3, "data": {}}, {"type": "TimerStarted", "data": {"timer_id": 1}}])
def test_json_that_is_no_event(told: typing.Any) -> None:
    with pytest.raises(ValueError, match="event is|TimerStarted"):
        from_json(told)


def test_json_of_a_newer_aionlab() -> None:
    with pytest.raises(UnknownEventKind, match="upgrade"):
        from_json({"type": "Invented", "data": {}})
