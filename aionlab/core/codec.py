"""Events as rows and back: one line of the table below for each class.

A row keeps an integer code for the class, its ordinal (an activity's or timer's id) in `ref`, the user's bytes in `payload` and
the other fields that differ from their defaults as a JSON object in `data` (None when there are none). Codes are never reused.
Fields a row has and the class lacks are left alone in the stored row and skipped here; a code this table lacks raises
`UnknownEventKind`.
"""
from __future__ import annotations

import dataclasses
from collections.abc import Callable
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

    __slots__ = ("cls", "code", "defaults", "payload", "ref", "rest", "wraps_failure")

    def __init__(self, code: int, cls: type, ref: str | None = None, payload: str | None = None, failure: bool = False) -> None:
        self.code, self.cls, self.ref, self.payload, self.wraps_failure = code, cls, ref, payload, failure
        fields = [f for f in dataclasses.fields(cls) if f.name not in (ref, payload)]
        self.rest = tuple(f.name for f in fields)
        self.defaults = {f.name: f.default for f in fields if f.default is not dataclasses.MISSING}


_SHAPES = [
    _Shape(1, e.WorkflowStarted, payload="input"),
    _Shape(2, e.WorkflowCompleted, payload="result"),
    _Shape(3, e.WorkflowFailed, payload="error", failure=True),
    _Shape(4, e.WorkflowCancelRequested),
    _Shape(5, e.WorkflowCancelled),
    _Shape(6, e.WorkflowTerminated),
    _Shape(7, e.WorkflowTimedOut),
    _Shape(8, e.WorkflowPaused),
    _Shape(9, e.WorkflowResumed),
    _Shape(10, e.SearchAttributesUpdated, payload="attributes"),
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
    for name in shape.rest:
        value = getattr(event, name)
        if name in shape.defaults and value == shape.defaults[name]:
            continue
        if data is None:
            data = {}
        data[name] = value
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
    if data is not None:
        found = loads(data)
        kwargs = {name: found[name] for name in shape.rest if name in found}
    if shape.ref:
        kwargs[shape.ref] = ref
    if shape.payload:
        kwargs[shape.payload] = Failure.from_bytes(payload or b"") if shape.wraps_failure else payload
    event: e.Event = shape.cls(**kwargs)
    return event


def _scheduled(activity_type: str, options: e.ActivityOptions) -> bytes:
    found = _seen.get((activity_type, id(options)))
    if found is not None:
        return found[1]
    data: dict[str, Any] = {"activity_type": activity_type}
    if options != e.ActivityOptions():
        data["options"] = dataclasses.asdict(options)
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


def _known(cls: type, stored: dict[str, Any]) -> dict[str, Any]:
    """The fields the class has; a newer aionlab may have written more."""
    return {field.name: stored[field.name] for field in dataclasses.fields(cls) if field.name in stored}


def to_json(event: e.Event, show: Callable[[bytes], Any] = loads) -> dict[str, Any]:
    """The event as `{"type": …, "data": {…}}` of plain JSON values; payloads as `show` makes them (their JSON by default)."""
    shape = _BY_CLASS[type(event)]
    data: dict[str, Any] = {}
    for field in dataclasses.fields(event):
        value = getattr(event, field.name)
        if field.name == shape.payload:
            value = loads(value.to_bytes()) if shape.wraps_failure else show(value)
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            value = dataclasses.asdict(value)
        data[field.name] = value
    return {"type": shape.cls.__name__, "data": data}
