"""What an attempt needs in another process: its arguments, the activity's stored code, and the notebook's values it works with.

Code travels as its package, never as a pickled function, so that functions of cells run in a worker as they do here. What the package
leaves to the notebook is sent by value where it can be recorded; a client or a lock cannot.
"""
from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from aionlab.backends.attempts import NamesMissing, may_retry
from aionlab.code.activities import capture_activity, missing_names
from aionlab.code.package import Package
from aionlab.core.clock import Micros
from aionlab.core.codec import CODES, pack, unpack
from aionlab.core.errors import ApplicationError, CodeRefused, InvalidPayload
from aionlab.core.events import ActivityScheduled, Payload
from aionlab.core.failure import Failure
from aionlab.core.ids import RunId, WorkflowId
from aionlab.core.jsontext import dumps, loads
from aionlab.core.payload import Converter
from aionlab.core.ports import Attempt

if TYPE_CHECKING:
    from .library import Library


class Parcel(NamedTuple):
    """An attempt as it arrives in a worker."""

    attempt: Attempt
    package: Package
    values: dict[str, Payload]
    """The notebook's values the code works with, by name."""
    path: list[str]
    folder: str
    environment: dict[str, str]


def wrap(library: Library, attempt: Attempt) -> bytes:
    """The attempt as text for a worker.

    Raises NamesMissing while the notebook lacks a name the code needs, ApplicationError (not to be retried) for code that has no source
    or works with something that cannot leave this kernel.
    """
    package = _package(library, attempt.activity_type)
    if attempt.input.count(_CUSTOM):
        raise _refused(f"{attempt.activity_type} is given a value of a type with a converter, which only this kernel has: pass plain values, or run it in a thread")
    _, number, data, payload = pack(ActivityScheduled(attempt.activity_id, attempt.activity_type, attempt.input, attempt.options))
    assert data is not None and payload is not None
    details = None if attempt.details is None else attempt.details.decode()
    ids = [attempt.run_key, attempt.workflow_id, attempt.run_id, attempt.attempt, attempt.scheduled_at, attempt.started_at, attempt.deadline, details]
    return dumps(
        {
            "ids": ids, "number": number, "asked": data.decode(), "input": payload.decode(), "code": package.to_document().decode(),
            "values": _values(library, package), "path": sys.path, "folder": os.getcwd(), "environment": dict(os.environ),
        }
    )  # fmt: skip


def judged(library: Library, attempt: Attempt, failure: Failure) -> Failure:
    """The failure as the activity's own `retry_if`, which stays in this kernel, sees it."""
    asked: Any = getattr(library.defined(attempt.activity_type), "retry_if", None)
    if asked is None or failure.non_retryable or may_retry(asked, attempt, library.cells.error(failure)):
        return failure
    return replace(failure, non_retryable=True)


def unwrap(text: bytes) -> Parcel:
    tree = loads(text)
    scheduled = unpack(CODES["ActivityScheduled"], tree["number"], tree["asked"].encode(), tree["input"].encode())
    assert isinstance(scheduled, ActivityScheduled)
    run_key, workflow_id, run_id, number, asked_at, begun_at, deadline, details = tree["ids"]
    attempt = Attempt(
        run_key, WorkflowId(workflow_id), RunId(run_id), scheduled.activity_id, scheduled.activity_type, number, scheduled.input, scheduled.options,
        Micros(asked_at), Micros(begun_at), deadline, None if details is None else Payload(details.encode()),
    )  # fmt: skip
    values = {name: Payload(value.encode()) for name, value in tree["values"].items()}
    return Parcel(attempt, Package.from_document(tree["code"].encode()), values, tree["path"], tree["folder"], tree["environment"])


def _package(library: Library, name: str) -> Package:
    """The newest code of the activity as a package."""
    known = library.defined(name)
    if known is None or known.fn is None:
        return library.stored.package(name)
    try:
        return capture_activity(known, library.ledger)
    except CodeRefused as refused:
        raise _refused(f"{refused.findings[0]}; or run it in a thread") from refused


def _values(library: Library, package: Package) -> dict[str, str]:
    name = package.workflow_type
    known = library.defined(name)
    space: Any = library.namespace if known is None or known.fn is None else known.fn.__globals__
    missing = missing_names(package, space)
    if missing:
        raise NamesMissing(missing)
    values = {}
    for used in package.live:
        try:
            values[used] = _LARGE.encode(space[used], used).decode()
        except InvalidPayload as refused:
            why = f"{name} works with `{used}`, which cannot go to another process ({refused}); make it inside the activity, or run it in a thread"
            raise _refused(why) from refused
    return values


def _refused(why: str) -> ApplicationError:
    return ApplicationError(why, type="CannotLeave", non_retryable=True)


_CUSTOM = b'"~":"custom"'
_LARGE = Converter(limit=1 << 30)
