"""Rows with codecs: what is sealed, what is left open on purpose, and that every field of every event has been thought of."""
from __future__ import annotations

import dataclasses
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from aionlab.core import codec
from aionlab.core import events as e
from aionlab.core.codecs import Codecs, Deflate, label_of
from aionlab.core.errors import PayloadSealed
from aionlab.core.failure import Failure
from aionlab.core.ports import Batch
from aionlab.store.sealing import TEXTS, Sealing
from aionlab.store.sqlite import SqliteStore
from aionlab.testing.conformance import EVERY, EventStoreConformance, W, history

PLAIN = {
    "ActivityStarted.version", "ActivityTimedOut.kind", "ChildWorkflowCancelled.reason", "ChildWorkflowTerminated.details", "ChildWorkflowTerminated.reason",
    "ChildWorkflowStarted.search_attributes", "ScheduleCreated.note", "ScheduleUpdated.note", "ScheduleDeleted.note", "SchedulePaused.note", "ScheduleResumed.note",
    "SignalReceived.idempotency_key", "TimerStarted.summary", "WorkflowCancelRequested.reason", "WorkflowCancelled.reason", "WorkflowContinuedAsNew.search_attributes",
    "WorkflowContinuedAsNew.workflow_type", "WorkflowPaused.reason", "WorkflowReopened.reason", "WorkflowStarted.idempotency_key", "WorkflowTerminated.details",
    "WorkflowTerminated.reason",
}  # fmt: skip
"""Text that the lab searches or shows without keys: names, keys and what people say for others to read."""


class Flip:
    """A codec that changes everything, the same way each time."""

    name = "flip"

    def encode(self, data: bytes) -> bytes:
        return bytes(byte ^ 0x55 for byte in data)

    decode = encode


def test_every_text_of_every_event_is_sealed_or_plain_on_purpose() -> None:
    found = {
        f"{shape.cls.__name__}.{field.name}"
        for shape in codec._SHAPES
        for field in dataclasses.fields(shape.cls)
        if field.type in ("str | None", "Payload | None") and field.name not in (shape.payload, shape.instead)
    }
    sealed = {f"{name}.{field}" for name, fields in TEXTS.items() for field in fields}
    assert sealed <= found
    assert found - sealed - PLAIN == set(), "say in `store.sealing.TEXTS`, or here, whether it holds users' values"


def rows() -> list[Any]:
    memo, error = '{"secret":1}', Failure("ValueError", "secret")
    events: list[e.Event] = [
        e.WorkflowStarted("order", "v1", e.Payload(b'["secret"]'), 7, "3.11", memo=memo, last_result='"secret"'),
        e.ActivityScheduled(0, "charge", e.Payload(b'["secret"]')),
        e.ActivityStarted(0),
        e.ActivityFailed(0, error, details='"secret"', earlier='[{"message":"secret"}]'),
        e.SignalReceived("note", e.Payload(b'"secret"'), "key"),
        e.SearchAttributesUpdated(e.Payload(b'{"customer":"acme"}')),
        e.WorkflowFailed(error),
    ]
    return [(1, seq, 1, 0, *codec.pack(event)[:1], 2, *codec.pack(event)[1:]) for seq, event in enumerate(events, 1)]


def test_rows_are_sealed_field_by_field_and_come_back() -> None:
    given = rows()
    sealing, blind = Sealing(Codecs([Flip()])), Sealing(Codecs())
    stored = sealing.sealed(Batch(rows=given)).rows
    assert given == rows(), "the engine's batch is left alone"
    assert b"secret" not in b"".join((row[7] or b"") + (row[8] or b"") for row in stored)
    assert b'"customer":"acme"' in b"".join(row[8] or b"" for row in stored), "search attributes are searched"
    read = [(row[1], row[3], row[4], row[5], row[6], row[7], row[8], 99) for row in stored]
    events = [codec.unpack(row[2], row[4], row[5], row[6]) for row in sealing.unsealed(read)]
    assert events == [codec.unpack(row[4], row[6], row[7], row[8]) for row in given] and sealing.unsealed(read)[0][7] == 99
    assert not sealing.refused
    dark = [codec.unpack(row[2], row[4], row[5], row[6]) for row in blind.unsealed(read)]
    assert blind.refused and [type(event) for event in dark] == [type(event) for event in events], "what is not sealed can be looked at"
    assert label_of(dark[0].memo) == label_of(dark[1].input) == "flip"  # type: ignore[union-attr,arg-type]
    assert dark[3].error.message == "encoded (flip)" and dark[5] == events[5]  # type: ignore[union-attr]
    assert [codec.pack(event) for event in dark] == [(row[2], row[4], row[5], row[6]) for row in read], "and is kept just as it was"


class TestSealedSqlite(EventStoreConformance):
    """A store with codecs keeps every promise of one without."""

    def make_store(self, path: Path) -> SqliteStore:
        store = SqliteStore.open(":memory:")
        store.sealing = Sealing(Codecs([Deflate(above=0), Flip()]))
        return store


def test_a_store_reads_as_much_as_its_codecs_allow(tmp_path: Path) -> None:
    written = SqliteStore.open(tmp_path / "lab.db")
    written.sealing = Sealing(Codecs([Deflate(above=0), Flip()]))
    went_in = history(*EVERY)
    written.append(W, went_in, 0)
    assert written.read(W) == written.run_history(1) == went_in
    written.sealing.check(went_in)
    with closing(SqliteStore.open(tmp_path / "lab.db", readonly=True)) as dark:
        dark.sealing = Sealing(Codecs())
        dark.sealing.check(went_in)
        seen = dark.run_history(1)
        assert [type(recorded.event) for recorded in seen] == [type(recorded.event) for recorded in went_in] and seen != went_in
        with pytest.raises(PayloadSealed, match="codec 'flip'"):
            dark.sealing.check(seen)
        assert dark.verify() == [], "the log itself is sound"
    written.close()
