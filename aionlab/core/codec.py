"""Events as rows and back: one line of the table below for each class.

A row keeps an integer code for the class, its ordinal (an activity's or timer's id) in `ref`, the user's bytes in `payload` and
the other fields that differ from their defaults as a JSON object in `data` (None when there are none). Codes are never reused.
Fields a row has and the class lacks are left alone in the stored row and skipped here; a code this table lacks raises
`UnknownEventKind`.
"""
from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from . import events as e
from .errors import UnknownEventKind
from .failure import Failure
from .jsontext import dumps, loads
from .retry import RetryPolicy

Packed = tuple[int, "int | None", "bytes | None", "bytes | None"]
"""(code, ref, data, payload)."""


class _Shape:
    """How one event class is laid out in a row."""

    __slots__ = ("cls", "code", "defaults", "inner", "instead", "payload", "ref", "rest", "tuples", "wraps_failure")

    def __init__(
        self, code: int, cls: type, ref: str | None = None, payload: str | None = None, failure: bool = False, inner: dict[str, type] | None = None,
        instead: str | None = None,
    ) -> None:
        """`inner`: fields that are values of several parts, each with its class. `instead`: the field with a failure that an event has in
        place of a payload; `failed` in `data` says that the payload column holds it."""
        self.code, self.cls, self.ref, self.payload, self.wraps_failure, self.inner = code, cls, ref, payload, failure, inner
        self.instead = instead
        fields = [f for f in dataclasses.fields(cls) if f.name not in (ref, payload, instead)]
        self.rest = tuple(f.name for f in fields)
        self.defaults = {f.name: f.default for f in fields if f.default is not dataclasses.MISSING}
        self.tuples = tuple(name for name, default in self.defaults.items() if isinstance(default, tuple))


_SHAPES = [
    _Shape(1, e.WorkflowStarted, payload="input", inner={"origin": e.Origin, "scheduled": e.Scheduled}),
    _Shape(2, e.WorkflowCompleted, payload="result"),
    _Shape(3, e.WorkflowFailed, payload="error", failure=True),
    _Shape(4, e.WorkflowCancelRequested),
    _Shape(5, e.WorkflowCancelled),
    _Shape(6, e.WorkflowTerminated),
    _Shape(7, e.WorkflowTimedOut),
    _Shape(8, e.WorkflowPaused),
    _Shape(9, e.WorkflowResumed),
    _Shape(10, e.SearchAttributesUpdated, payload="attributes"),
    _Shape(11, e.PatchMarked),
    _Shape(13, e.VersionChanged),
    _Shape(12, e.WorkflowContinuedAsNew, payload="input"),
    _Shape(14, e.WorkflowReopened),
    _Shape(15, e.WorkflowForked),
    _Shape(16, e.MemoUpdated, payload="memo"),
    _Shape(20, e.ActivityScheduled, ref="activity_id", payload="input"),
    _Shape(21, e.ActivityStarted, ref="activity_id"),
    _Shape(22, e.ActivityCompleted, ref="activity_id", payload="result"),
    _Shape(23, e.ActivityFailed, ref="activity_id", payload="error", failure=True),
    _Shape(24, e.ActivityTimedOut, ref="activity_id"),
    _Shape(25, e.ActivityCancelRequested, ref="activity_id"),
    _Shape(26, e.ActivityCancelled, ref="activity_id"),
    _Shape(40, e.TimerStarted, ref="timer_id"),
    _Shape(41, e.TimerFired, ref="timer_id"),
    _Shape(42, e.TimerCancelled, ref="timer_id"),
    _Shape(60, e.SignalReceived, payload="payload"),
    _Shape(61, e.SignalSent, ref="send_id", payload="payload"),
    _Shape(62, e.SignalDelivered, ref="send_id"),
    _Shape(63, e.SignalUndelivered, ref="send_id"),
    _Shape(64, e.UpdateAccepted, payload="args"),
    _Shape(65, e.UpdateCompleted, payload="result", instead="error"),
    _Shape(80, e.ChildWorkflowStarted, ref="child_id", payload="input"),
    _Shape(81, e.ChildWorkflowCancelRequested, ref="child_id"),
    _Shape(82, e.ChildWorkflowCompleted, ref="child_id", payload="result"),
    _Shape(83, e.ChildWorkflowFailed, ref="child_id", payload="error", failure=True),
    _Shape(84, e.ChildWorkflowCancelled, ref="child_id"),
    _Shape(85, e.ChildWorkflowTimedOut, ref="child_id"),
    _Shape(86, e.ChildWorkflowTerminated, ref="child_id"),
    _Shape(100, e.ScheduleCreated, payload="input", inner={"plan": e.Plan}),
    _Shape(101, e.ScheduleUpdated, payload="input", inner={"plan": e.Plan}),
    _Shape(102, e.SchedulePaused),
    _Shape(103, e.ScheduleResumed),
    _Shape(104, e.ScheduleDeleted),
    _Shape(105, e.ScheduleBuffered),
    _Shape(106, e.ScheduleTriggered),
    _Shape(107, e.ScheduleSkipped),
]
_BY_CLASS = {shape.cls: shape for shape in _SHAPES}
_BY_CODE = {shape.code: shape for shape in _SHAPES}
CODES: dict[str, int] = {shape.cls.__name__: shape.code for shape in _SHAPES}
NAMES: dict[int, str] = {shape.code: shape.cls.__name__ for shape in _SHAPES}


def pack(event: e.Event) -> Packed:
    """The event as the columns of a row."""
    kind = type(event)
    if kind is e.ActivityCompleted and event.attempt == 1:  # type: ignore[union-attr]  # narrowed by `kind`, as below
        return 22, event.activity_id, None, event.result  # type: ignore[union-attr]
    if kind is e.ActivityScheduled:
        return 20, event.activity_id, _scheduled(event.activity_type, event.options), event.input  # type: ignore[union-attr]
    if kind is e.ActivityStarted and event.attempt == 1 and event.version is None:  # type: ignore[union-attr]
        return 21, event.activity_id, None, None  # type: ignore[union-attr]
    shape = _BY_CLASS[kind]
    ref = getattr(event, shape.ref) if shape.ref else None
    payload: Any = getattr(event, shape.payload) if shape.payload else None
    if shape.wraps_failure:
        payload = payload.to_bytes()
    data: dict[str, Any] | None = None
    if shape.instead is not None and (failure := getattr(event, shape.instead)) is not None:
        data, payload = {"failed": True}, failure.to_bytes()
    for name in shape.rest:
        value = getattr(event, name)
        if name in shape.defaults and value == shape.defaults[name]:
            continue
        if data is None:
            data = {}
        data[name] = value if shape.inner is None or name not in shape.inner else _parts(value)
    return shape.code, ref, None if data is None else dumps(data), payload


def unpack(code: int, ref: int | None, data: bytes | None, payload: bytes | None) -> e.Event:
    """The event of a row.

    Raises UnknownEventKind when a newer aionlab wrote the row.
    """
    if code == 22 and data is None:
        return e.ActivityCompleted(ref, payload)  # type: ignore[arg-type]  # a row of this code has both
    if code == 21 and data is None:
        return e.ActivityStarted(ref)  # type: ignore[arg-type]
    shape = _BY_CODE.get(code)
    if shape is None:
        raise UnknownEventKind(code)
    if code == 20:
        activity_type, options = _scheduled_back(data or b"{}")
        return e.ActivityScheduled(ref, activity_type, payload, options)  # type: ignore[arg-type]  # a row of this code has both
    kwargs: dict[str, Any] = {}
    found: dict[str, Any] = {}
    if data is not None:
        found = loads(data)
        kwargs = {name: found[name] for name in shape.rest if name in found}
        for name in shape.tuples:
            if name in kwargs:
                kwargs[name] = _tuple(kwargs[name])
        for name, cls in (shape.inner or {}).items():
            if name in kwargs:
                kwargs[name] = _whole(cls, kwargs[name])
    if shape.ref:
        kwargs[shape.ref] = ref
    if shape.instead is not None and found.get("failed"):
        kwargs[shape.instead] = Failure.from_bytes(payload or b"")
    elif shape.payload:
        kwargs[shape.payload] = Failure.from_bytes(payload or b"") if shape.wraps_failure else payload
    event: e.Event = shape.cls(**kwargs)
    return event


def _scheduled(activity_type: str, options: e.ActivityOptions) -> bytes:
    found = _seen.get((activity_type, id(options)))
    if found is not None:
        return found[1]
    data: dict[str, Any] = {"activity_type": activity_type}
    if options != e.ActivityOptions():
        data["options"] = _parts(options) | {"retry": _parts(options.retry)}
    text = dumps(data)
    if len(_seen) >= 1024:
        _seen.clear()
    _seen[activity_type, id(options)] = options, text
    return text


_seen: dict[tuple[str, int], tuple[e.ActivityOptions, bytes]] = {}
"""Texts by the identity of options, which are kept here so that it stays theirs: hashing them costs as much as all else of `pack`."""


@lru_cache(maxsize=1024)
def _scheduled_back(data: bytes) -> tuple[str, e.ActivityOptions]:
    found = loads(data)
    stored = found.get("options")
    if stored is None:
        return found["activity_type"], e.ActivityOptions()
    retry = _known(RetryPolicy, stored["retry"])
    retry["non_retryable"] = tuple(retry.get("non_retryable", ()))
    return found["activity_type"], e.ActivityOptions(**(_known(e.ActivityOptions, stored) | {"retry": RetryPolicy(**retry)}))


def _parts(value: Any) -> dict[str, Any]:
    """What differs from the defaults of a value of several parts."""
    fields = {field.name: (getattr(value, field.name), field.default) for field in dataclasses.fields(value)}
    return {name: part for name, (part, default) in fields.items() if part != default}


def _whole(cls: type, stored: dict[str, Any]) -> Any:
    return cls(**{name: tuple(part) if isinstance(part, list) else part for name, part in _known(cls, stored).items()})


def _tuple(stored: list[Any]) -> tuple[Any, ...]:
    return tuple(_tuple(part) if isinstance(part, list) else part for part in stored)


def _known(cls: type, stored: dict[str, Any]) -> dict[str, Any]:
    """The fields the class has; a newer aionlab may have written more."""
    return {field.name: stored[field.name] for field in dataclasses.fields(cls) if field.name in stored}


def to_json(event: e.Event, show: Callable[[bytes], Any] = loads) -> dict[str, Any]:
    """The event as `{"type": …, "data": {…}}` of plain JSON values; payloads and errors as `show` makes them (their JSON by default)."""
    shape = _BY_CLASS[type(event)]
    data: dict[str, Any] = {}
    for field in dataclasses.fields(event):
        value = getattr(event, field.name)
        if field.name == shape.payload:
            if value is None:  # left out, because a payload may itself be null
                continue
            value = show(value.to_bytes() if shape.wraps_failure else value)
        elif isinstance(value, Failure):
            value = show(value.to_bytes())
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            value = dataclasses.asdict(value)
        data[field.name] = value
    return {"type": shape.cls.__name__, "data": data}


def from_json(told: Mapping[str, Any]) -> e.Event:
    """The event that `to_json` told of, with payloads as their JSON.

    Raises UnknownEventKind for a type this aionlab does not have, ValueError for one that is not an event's.
    """
    name, data = told.get("type"), told.get("data")
    if not isinstance(name, str) or not isinstance(data, Mapping):
        raise ValueError('an event is {"type": …, "data": {…}}')
    if name not in CODES:
        raise UnknownEventKind(name)
    shape = _BY_CODE[CODES[name]]
    rest = {field: data[field] for field in shape.rest if data.get(field) is not None and field != shape.instead}
    payload = dumps(data[shape.payload]) if shape.payload in data else None
    if shape.instead is not None and data.get(shape.instead) is not None:
        rest, payload = rest | {"failed": True}, dumps(data[shape.instead])
    try:
        return unpack(shape.code, data.get(shape.ref) if shape.ref else None, dumps(rest) if rest else None, payload)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{name}: {error}") from error
