"""What every event store promises, as tests to inherit.

    from aionlab.testing.conformance import EventStoreConformance

    class TestMyStore(EventStoreConformance):
        durable = True

        def make_store(self, path):
            return MyStore(path / "lab.db")

pytest then runs each scenario on a fresh store. `durable` adds those that close the store and call `make_store` again on the same
folder.
"""
from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import pytest

from aionlab.core import events as e
from aionlab.core.clock import Micros
from aionlab.core.codec import pack
from aionlab.core.errors import BadBatch, IllegalEvent, SequenceConflict, StoreError
from aionlab.core.events import ActivityOptions, Event, Payload, Recorded
from aionlab.core.failure import Failure
from aionlab.core.filters import STATUS, Query, field_named, groups, parse, selected
from aionlab.core.filters.conditions import Compare, Field, both
from aionlab.core.ids import RunId, WorkflowId
from aionlab.core.ports import Batch, EventStore, Forgotten, Heads, Row, Run, RunChange, StoredPackage, Timer
from aionlab.core.retry import RetryPolicy
from aionlab.core.status import Status

from . import queries

W = WorkflowId("order-42")
R1, R2 = RunId("0190-run-1"), RunId("0190-run-2")
EVERY: tuple[Event, ...] = (
    e.WorkflowStarted(
        "order", "3f2a91c", Payload(b'{"n":42}'), 2**63 - 1, "3.11", memo='"m"', deadline=Micros(9), idempotency_key="k"
    ),
    e.SearchAttributesUpdated(Payload(b'{"customer":"ann","total":1.1}'), by_code=True),
    e.ActivityScheduled(
        0,
        "charge",
        Payload(b"[1,2]"),
        ActivityOptions(RetryPolicy(3, Micros(5), 1.5, Micros(50), ("ValueError",)), Micros(7), "gpu"),
    ),
    e.ActivityStarted(0, 1, "abc"),
    e.ActivityFailed(0, Failure("ValueError", "no", cause=Failure("KeyError", "'x'")), 1, next_attempt_at=Micros(80)),
    e.ActivityTimedOut(0, "start_to_close", 2),
    e.ActivityScheduled(1, "ship", Payload(b"null")),
    e.ActivityCompleted(1, Payload('"grüße \u2713"'.encode()), 1),
    e.ActivityScheduled(2, "pack", Payload(b"null")),
    e.ActivityCancelRequested(2),
    e.ActivityCancelled(2),
    e.TimerStarted(e.DEADLINE, Micros(10_000)),
    e.TimerStarted(0, Micros(2**62), "wait"),
    e.TimerFired(0),
    e.TimerStarted(1, Micros(200)),
    e.TimerCancelled(1, "cancel_teardown"),
    e.SignalReceived("approve", Payload(b"\x00\xff raw"), "once"),
    e.WorkflowPaused("lunch"),
    e.WorkflowResumed(),
    e.WorkflowCancelRequested("enough"),
)
ENDS: tuple[Event, ...] = (
    e.WorkflowCompleted(Payload(b"1")), e.WorkflowFailed(Failure("E", "m"), "crashed"), e.WorkflowCancelled("r"),
    e.WorkflowTerminated("r", "d"), e.WorkflowTimedOut(Micros(3)),
)  # fmt: skip


def started(workflow_type: str = "order", **more: object) -> e.WorkflowStarted:
    return e.WorkflowStarted(workflow_type, "v1", Payload(b"null"), 7, "3.11", **more)  # type: ignore[arg-type]  # fields by name


def signal(n: int = 0) -> e.SignalReceived:
    return e.SignalReceived("s", Payload(b"%d" % n))


def history(*events: Event, after: int = 0, run_id: RunId = R1, workflow_id: WorkflowId = W) -> list[Recorded]:
    """The events with envelopes, numbered from `after` + 1, recorded at 1000 µs a piece."""
    return [Recorded(seq, Micros(seq * 1000), workflow_id, run_id, event) for seq, event in enumerate(events, after + 1)]


def asked(text: str, **schema: str) -> Query:
    """A query, read at time 0 with these search attributes registered."""
    return parse(text, schema, Micros(0))


def having(wanted: Mapping[str, Any]) -> Query:
    """The runs with these search attributes, whatever their types: a list for each of its items."""
    return Query(both(*(Compare(Field(name, attribute=True), "=", item) for name, value in wanted.items() for item in _items(value))))


def _items(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]


def row(workflow: int, seq: int, run: int, event: Event, data: bytes | None = None) -> Row:
    code, ref, packed_data, payload = pack(event)
    return (workflow, seq, run, seq * 1000, code, 2, ref, data or packed_data, payload)


def new_run(key: int, workflow_key: int = 1, workflow_id: WorkflowId = W, run_id: RunId = R1, **more: object) -> Run:
    return Run(key, workflow_key, workflow_id, run_id, "order", "v1", Status.RUNNING, Micros(1000), **more)  # type: ignore[arg-type]  # fields by name


def first(key: int = 1, workflow_id: WorkflowId = W, run_id: RunId = R1, **more: object) -> Batch:
    """The start of a workflow id as the engine writes it, with the same number as workflow and run key."""
    return Batch(
        rows=[row(key, 1, key, started())],
        expected={key: 0},
        workflows=[(key, workflow_id)],
        runs=[new_run(key, key, workflow_id, run_id, **more)],
    )


class EventStoreConformance:
    durable: ClassVar[bool] = False
    races: ClassVar[int] = 8
    """How often two threads race."""
    queries: ClassVar[int] = 100
    """How many queries are made up for each seed."""

    def make_store(self, path: Path) -> EventStore:
        raise NotImplementedError("return the store to test, kept in the folder `path`")

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[EventStore]:
        store = self.make_store(tmp_path)
        yield store
        store.close()

    # --- appending and reading -------------------------------------------------------------------------------------------

    def test_every_kind_of_event_comes_back_as_it_went_in(self, store: EventStore) -> None:
        went_in = history(*EVERY)
        went_in[3] = went_in[3]._replace(deferred=True, flags=5)
        store.append(W, went_in, 0)
        for n, end in enumerate(ENDS):
            name = WorkflowId(f"w{n}")
            store.append(name, history(started(), end, workflow_id=name), 0)
            assert store.read(name)[1].event == end
        assert store.read(W) == went_in
        assert store.head(W) == len(went_in)

    def test_an_unknown_id_reads_empty(self, store: EventStore) -> None:
        nobody = WorkflowId("nobody")
        assert store.head(nobody) == 0
        lists: list[object] = [
            store.read(nobody), store.read_from(nobody, 3), store.run_chain(nobody), store.run_history(99), store.ids(), store.active(),
            store.paused(), store.runs(), list(store.open_histories()), store.due_timers(Micros(2**62)), store.packages(),
        ]  # fmt: skip
        assert lists == [[]] * len(lists)
        singles: list[object] = [
            store.run(nobody),
            store.workflow_key(nobody),
            store.by_idempotency_key("none"),
            store.package("t", "v"),
            store.meta("x"),
        ]
        assert singles == [None] * len(singles)
        assert store.count() == {"": 0}
        assert store.count(group_by=STATUS) == {}
        assert store.heads() == Heads(0, 0, Micros(0))

    def test_a_suffix_begins_where_it_is_asked_to(self, store: EventStore) -> None:
        events = history(started(), *map(signal, range(4)))
        store.append(W, events, 0)
        for seq in range(-1, 8):
            assert store.read_from(W, seq) == [recorded for recorded in events if recorded.seq >= seq]

    def test_appends_go_on_from_the_head(self, store: EventStore) -> None:
        store.append(W, history(started(), signal()), 0)
        store.append(W, history(signal(1), after=2), 2)
        assert [recorded.seq for recorded in store.read(W)] == [1, 2, 3]

    @pytest.mark.parametrize("expected", [0, 1, 3, 10])
    def test_a_stale_or_early_head_writes_nothing(self, store: EventStore, expected: int) -> None:
        store.append(W, history(started(), signal()), 0)
        before = store.read(W)
        with pytest.raises(SequenceConflict) as caught:
            store.append(W, history(signal(), after=expected), expected)
        assert (caught.value.workflow_id, caught.value.expected, caught.value.found) == (W, expected, 2)
        assert store.read(W) == before

    @pytest.mark.parametrize("seqs", [(2, 4), (2, 2), (3, 2), (1, 2), (3,), (0,), (2, 3, 5)])
    def test_events_out_of_sequence_write_nothing(self, store: EventStore, seqs: tuple[int, ...]) -> None:
        store.append(W, history(started()), 0)
        events = [Recorded(seq, Micros(1), W, R1, signal()) for seq in seqs]
        with pytest.raises(BadBatch):
            store.append(W, events, 1)
        assert store.head(W) == 1

    def test_events_of_another_workflow_are_refused(self, store: EventStore) -> None:
        with pytest.raises(BadBatch):
            store.append(W, history(started(), workflow_id=WorkflowId("other")), 0)
        assert store.ids() == []

    def test_nothing_appends_to_a_matching_head(self, store: EventStore) -> None:
        store.append(W, [], 0)
        assert store.ids() == []
        store.append(W, history(started()), 0)
        store.append(W, [], 1)
        with pytest.raises(SequenceConflict):
            store.append(W, [], 0)
        assert store.head(W) == 1

    def test_a_batch_of_125_events(self, store: EventStore) -> None:
        events = history(started(), *map(signal, range(124)))
        store.append(W, events, 0)
        assert store.read(W) == events

    def test_what_the_status_table_forbids_is_not_written(self, store: EventStore) -> None:
        store.append(W, history(started(), ENDS[0]), 0)
        with pytest.raises(IllegalEvent):
            store.append(W, history(signal(), after=2), 2)
        with pytest.raises(StoreError):
            store.append(W, history(signal(), after=2, run_id=R2), 2)
        assert store.head(W) == 2

    def test_of_two_appends_at_once_one_wins(self, store: EventStore) -> None:
        for n in range(self.races):
            name = WorkflowId(f"race-{n}")
            lost = _race(store, name)
            assert [(error.workflow_id, error.expected, error.found) for error in lost] == [(name, 0, 2)]
            assert [recorded.seq for recorded in store.read(name)] == [1, 2]
            assert len(store.run_chain(name)) == 1

    # --- runs ------------------------------------------------------------------------------------------------------------

    def test_runs_of_one_id_share_a_history(self, store: EventStore) -> None:
        store.append(W, history(started(), ENDS[0]), 0)
        store.append(W, history(started(parent_run_id=R1), signal(), after=2, run_id=R2), 2)
        assert [(run.run_id, run.parent_run_id, run.status) for run in store.run_chain(W)] == [
            (R1, None, Status.COMPLETED),
            (R2, R1, Status.RUNNING),
        ]
        newest = store.run(W)
        assert newest is not None
        assert newest.run_id == R2
        assert newest == store.run(W, R2) == store.active()[0]
        oldest = store.run(W, R1)
        assert oldest is not None
        assert (oldest.closed_at, oldest.started_at) == (2000, 1000)
        assert store.run(W, RunId("none")) is None
        assert store.run_history(oldest.key) == store.read(W)[:2]
        assert store.run_history(newest.key) == store.read(W)[2:]
        assert store.heads() == Heads(newest.workflow_key, newest.key, Micros(4000))

    def test_open_histories_come_whole_and_in_order(self, store: EventStore) -> None:
        for n in range(20):
            name = WorkflowId(f"w{n}")
            store.append(name, history(started(), signal(n), workflow_id=name), 0)
            if n % 3 == 0:
                store.append(name, history(ENDS[0], after=2, workflow_id=name), 2)
        store.append(W, history(started(), ENDS[0]), 0)
        store.append(WorkflowId("w1"), history(e.WorkflowPaused(), after=2, workflow_id=WorkflowId("w1")), 2)
        store.append(WorkflowId("w0"), history(started(), after=3, workflow_id=WorkflowId("w0"), run_id=R2), 3)
        found = list(store.open_histories())
        assert [run.key for run, _, _ in found] == sorted(run.key for run, _, _ in found)
        assert {run.workflow_id for run, _, _ in found} == {WorkflowId(f"w{n}") for n in range(20) if n % 3} | {WorkflowId("w0")}
        for run, head, events in found:
            assert events == store.run_history(run.key)
            assert head == store.head(run.workflow_id)
            assert run == store.run(run.workflow_id)

    def test_the_log_may_be_written_while_open_histories_are_read(self, store: EventStore) -> None:
        for n in range(3):
            name = WorkflowId(f"w{n}")
            store.append(name, history(started(), workflow_id=name), 0)
        for run, head, _ in store.open_histories():
            store.append(run.workflow_id, history(signal(), after=head, workflow_id=run.workflow_id), head)
        assert [store.head(name) for name in store.ids()] == [2, 2, 2]

    def test_ids_are_listed_oldest_first(self, store: EventStore) -> None:
        names = [WorkflowId(name) for name in ("zebra", "ant", "Ärger", "a b/c%_'\"")]
        for name in names:
            store.append(name, history(started(), workflow_id=name), 0)
        assert store.ids() == names
        assert len({store.workflow_key(name) for name in names}) == 4

    def test_active_paused_and_closed_runs_are_told_apart(self, store: EventStore) -> None:
        for name, more in {
            "active": (),
            "paused": (e.WorkflowPaused(),),
            "resumed": (e.WorkflowPaused(), e.WorkflowResumed()),
        }.items():
            store.append(WorkflowId(name), history(started(), *more, workflow_id=WorkflowId(name)), 0)
        for n, end in enumerate(ENDS):
            name = WorkflowId(f"closed-{n}")
            store.append(name, history(started("other"), end, workflow_id=name), 0)
        assert [run.workflow_id for run in store.active()] == ["active", "resumed"]
        assert [run.workflow_id for run in store.paused()] == ["paused"]
        assert [run.workflow_id for run in store.runs(asked("status = 'Terminated'"))] == ["closed-3"]
        assert store.count() == {"": 8}
        assert store.count(group_by=STATUS) == {
            "Running": 2,
            "Paused": 1,
            "Completed": 1,
            "Failed": 1,
            "Cancelled": 1,
            "Terminated": 1,
            "TimedOut": 1,
        }
        assert store.count(group_by=field_named("type", {})) == {"order": 3, "other": 5}
        assert store.count(group_by=field_named("version", {})) == {"v1": 8}

    def test_runs_are_listed_newest_first_a_page_at_a_time(self, store: EventStore) -> None:
        names = [WorkflowId(f"w{n}") for n in range(7)]
        for n, name in enumerate(names):
            store.append(name, history(started("even" if n % 2 == 0 else "odd"), workflow_id=name), 0)
        listed = [run.workflow_id for run in store.runs()]
        assert listed == names[::-1]
        assert [run.workflow_id for run in store.runs(asked("LIMIT 2"), store.runs()[2])] == listed[3:5]
        assert [run.workflow_id for run in store.runs(after=store.runs()[4])] == listed[5:]
        assert [run.workflow_id for run in store.runs(asked("type = 'odd' AND status = 'Running' LIMIT 2"))] == ["w5", "w3"]
        assert store.runs(asked("LIMIT 0")) == []

    def test_attributes_are_there_with_the_start_and_follow_updates(self, store: EventStore) -> None:
        update = e.SearchAttributesUpdated
        store.append(
            W, history(started(), update(Payload(b'{"customer":"ann","total":0.1,"tags":["a","b"],"vip":true,"gone":1}'))), 0
        )
        run = store.run(W)
        assert run is not None
        assert run.attributes == {"customer": "ann", "total": 0.1, "tags": ["a", "b"], "vip": True, "gone": 1}
        for wanted in ({"customer": "ann"}, {"total": 0.1}, {"tags": "b"}, {"tags": ["a", "b"], "vip": True}, {"gone": 1}):
            assert store.runs(having(wanted)) == [run], wanted
        for wanted in ({"customer": "bob"}, {"tags": "c"}, {"customer": "ann", "total": 2}, {"none": 1}, {"customer": 1}):
            assert store.runs(having(wanted)) == [], wanted
        store.append(W, history(update(Payload(b'{"gone":null,"customer":"bob"}')), after=2), 2)
        (now,) = store.runs(having({"customer": "bob"}).narrowed(asked("status = 'Running' AND type = 'order'").condition))
        assert now.attributes == {"customer": "bob", "total": 0.1, "tags": ["a", "b"], "vip": True}
        assert store.runs(having({"customer": "ann"})) == store.runs(having({"gone": 1})) == []
        assert store.runs(having({"customer": "bob"}).narrowed(asked("status = 'Paused'").condition)) == []

    @pytest.mark.parametrize("seed", range(4))
    def test_every_query_gives_the_runs_the_language_says_in_its_order(self, store: EventStore, seed: int) -> None:
        chance = Random(seed)
        for n in range(60):
            name = f"w{n}" if n % 7 else f"x'y{n}"
            store.append(WorkflowId(name), queries.history(chance, name, "r1"), 0)
            head = store.head(WorkflowId(name))
            if store.active()[-1:] != [store.run(WorkflowId(name))] and store.run(WorkflowId(name)) not in store.paused():
                store.append(WorkflowId(name), queries.history(chance, name, "r2", head), head)
        everything = store.runs()
        for _ in range(self.queries):
            text = queries.query(chance)
            query = parse(text, queries.SCHEMA, queries.NOW)
            expected = selected(everything, query)
            assert store.runs(query) == expected, text
            unlimited = replace(query, limit=None)
            assert _paged(store, unlimited, chance.randint(1, 9), len(everything)) == selected(everything, unlimited), text
            group = field_named(queries.field(chance), queries.SCHEMA)
            assert store.count(query.condition) == groups(everything, query.condition), text
            assert store.count(query.condition, group) == groups(everything, query.condition, group), (text, group)

    def test_pages_neither_repeat_nor_skip_while_runs_are_started(self, store: EventStore) -> None:
        def start(n: int) -> WorkflowId:
            name = WorkflowId(f"w{n}")
            store.append(name, history(started("even" if n % 2 == 0 else "odd"), workflow_id=name), 0)
            return name

        names = [start(n) for n in range(10)]
        for order in ("", "ORDER BY start_time DESC", "ORDER BY type DESC, id DESC", "ORDER BY duration DESC"):
            query = asked(f"id STARTS_WITH 'w' {order} LIMIT 3")
            before = [run.workflow_id for run in store.runs(replace(query, limit=None))]
            seen: list[WorkflowId] = []
            page: list[Run] = []
            while len(seen) < 100 and (page := store.runs(query, page[-1] if page else None)):
                seen += [run.workflow_id for run in page]
                names.append(start(len(names)))
            assert [name for name in seen if name in before] == before, order
            assert len(set(seen)) == len(seen), order

    def test_a_start_is_found_by_its_idempotency_key(self, store: EventStore) -> None:
        store.append(W, history(started(idempotency_key="k1")), 0)
        assert store.by_idempotency_key("k1") == store.run(W)
        assert store.by_idempotency_key("k2") is None
        batch = first(2, WorkflowId("other"), R2, idempotency_key="k1")
        with pytest.raises(BadBatch):
            store.commit(batch)
        assert store.ids() == [W]
        batch.runs = [new_run(2, 2, WorkflowId("other"), R2, idempotency_key="k2", request="digest")]
        store.commit(batch)
        assert store.by_idempotency_key("k2") == batch.runs[0]

    # --- timers ----------------------------------------------------------------------------------------------------------

    def test_a_timer_is_due_at_its_time_and_not_before(self, store: EventStore) -> None:
        store.append(
            W,
            history(started(), e.TimerStarted(1, Micros(100)), e.TimerStarted(0, Micros(100)), e.TimerStarted(2, Micros(50))),
            0,
        )
        other = WorkflowId("other")
        store.append(other, history(started(), e.TimerStarted(0, Micros(100)), workflow_id=other), 0)
        one, two = (run.key for run in store.active())
        assert store.due_timers(Micros(49)) == []
        assert store.due_timers(Micros(50)) == [Timer(one, 2, Micros(50))]
        assert store.due_timers(Micros(99)) == [Timer(one, 2, Micros(50))]
        assert store.due_timers(Micros(100)) == [(one, 2, 50), (one, 0, 100), (one, 1, 100), (two, 0, 100)]

    def test_timers_go_when_they_fire_are_cancelled_or_the_run_closes(self, store: EventStore) -> None:
        timers = [e.TimerStarted(n, Micros(10 * n)) for n in range(4)]
        store.append(W, history(started(), e.TimerStarted(e.DEADLINE, Micros(99)), *timers), 0)
        store.append(W, history(e.TimerFired(0), e.TimerCancelled(2), after=6), 6)
        assert [timer.timer_id for timer in store.due_timers(Micros(1000))] == [1, 3, -1]
        store.append(W, history(e.TimerStarted(9, Micros(1)), e.TimerFired(9), ENDS[3], after=8), 8)
        assert store.due_timers(Micros(1000)) == []

    # --- a turn's batch --------------------------------------------------------------------------------------------------

    def test_a_batch_writes_many_runs_at_once(self, store: EventStore) -> None:
        batch = Batch()
        names = [WorkflowId(f"w{key}") for key in range(1, 301)]
        for key, name in enumerate(names, 1):
            batch.rows += [row(key, 1, key, started()), row(key, 2, key, signal(key))]
            batch.expected[key] = 0
            batch.workflows.append((key, name))
            batch.runs.append(new_run(key, key, name))
            batch.timers.append(Timer(key, 0, Micros(key)))
        store.commit(batch)
        assert store.ids() == names
        assert [len(events) for _, _, events in store.open_histories()] == [2] * 300
        plain = Batch(
            rows=[row(key, seq, key, signal(seq)) for seq in (3, 4, 5) for key in range(1, 301)],
            expected=dict.fromkeys(range(1, 301), 2),
        )
        store.commit(plain)
        assert all(store.head(name) == 5 for name in names)
        ends = Batch(
            rows=[row(key, 6, key, ENDS[0]) for key in range(1, 301)],
            expected=dict.fromkeys(range(1, 301), 5),
            changes=[RunChange(key, Status.COMPLETED, Micros(6000), {"n": key}) for key in range(1, 301)],
            timers_ended=[(key, 0) for key in range(1, 200)],
            runs_ended=list(range(150, 290)),
        )
        store.commit(ends)
        assert store.active() == []
        assert list(store.open_histories()) == []
        assert [timer.run_key for timer in store.due_timers(Micros(1000))] == list(range(290, 301))
        assert [run.workflow_id for run in store.runs(having({"n": 17}))] == ["w17"]
        assert store.count(group_by=STATUS) == {"Completed": 300}

    def test_an_empty_batch_changes_nothing(self, store: EventStore) -> None:
        store.commit(Batch())
        store.commit(first())
        store.commit(Batch(expected={1: 1}))
        assert store.head(W) == 1

    def test_a_run_may_close_and_its_successor_start_in_one_batch(self, store: EventStore) -> None:
        store.commit(first())
        store.commit(
            Batch(
                rows=[row(1, 2, 1, ENDS[0]), row(1, 3, 2, started()), row(1, 4, 2, signal())],
                expected={1: 1},
                runs=[new_run(2, 1, W, R2, parent_run_id=R1)],
                changes=[RunChange(1, Status.COMPLETED, Micros(2000), {})],
            )
        )
        assert [run.status for run in store.run_chain(W)] == [Status.COMPLETED, Status.RUNNING]
        assert [recorded.seq for recorded in store.run_history(2)] == [3, 4]
        ((run, head, events),) = store.open_histories()
        assert (run.key, head, len(events)) == (2, 4, 2)

    @pytest.mark.parametrize(
        "batch",
        [
            Batch(rows=[row(1, 3, 1, signal())], expected={1: 1}),
            Batch(rows=[row(1, 2, 1, signal()), row(1, 2, 1, signal())], expected={1: 1}),
            Batch(rows=[row(1, 2, 1, signal()), row(1, 4, 1, signal())], expected={1: 1}),
            Batch(rows=[row(1, 2, 1, signal())]),
            Batch(rows=[row(2, 1, 2, started())], expected={2: 0}),
            Batch(expected={2: 0}, workflows=[(2, WorkflowId("empty"))]),
        ],
        ids=["gap", "twice", "gap inside", "no head", "unnamed workflow", "workflow without events"],
    )
    def test_a_misnumbered_batch_writes_nothing(self, store: EventStore, batch: Batch) -> None:
        store.commit(first())
        with pytest.raises(BadBatch):
            store.commit(batch)
        assert store.head(W) == 1
        assert store.ids() == [W]

    @pytest.mark.parametrize("expected", [1, 3, 9])
    def test_a_batch_meets_the_wrong_head(self, store: EventStore, expected: int) -> None:
        """Behind the head, and ahead of it where no row collides."""
        store.append(W, history(started(), signal()), 0)
        store.append(WorkflowId("other"), history(started(), workflow_id=WorkflowId("other")), 0)
        with pytest.raises(SequenceConflict) as caught:
            store.commit(Batch(rows=[row(2, 2, 2, signal()), row(1, expected + 1, 1, signal())], expected={2: 1, 1: expected}))
        assert (caught.value.workflow_id, caught.value.expected, caught.value.found) == (W, expected, 2)
        assert store.head(W) == 2
        assert store.head(WorkflowId("other")) == 1
        store.commit(Batch(rows=[row(2, 2, 2, signal()), row(1, 3, 1, signal())], expected={2: 1, 1: 2}))

    def test_a_head_is_checked_beside_other_changes_too(self, store: EventStore) -> None:
        store.commit(first())
        with pytest.raises(SequenceConflict):
            store.commit(Batch(rows=[row(1, 8, 1, signal())], expected={1: 7}, timers=[Timer(1, 0, Micros(5))]))
        assert store.due_timers(Micros(10)) == []

    def test_an_id_that_is_in_use_is_a_conflict(self, store: EventStore) -> None:
        store.append(W, history(started(), signal()), 0)
        with pytest.raises(SequenceConflict) as caught:
            store.commit(first(5, W, R2))
        assert (caught.value.workflow_id, caught.value.expected, caught.value.found) == (W, 0, 2)
        with pytest.raises(SequenceConflict):
            store.commit(first(1, WorkflowId("fresh"), R2))
        assert store.ids() == [W]
        assert [run.run_id for run in store.runs()] == [R1]

    @pytest.mark.parametrize("last", ["run key", "run name", "change"])
    def test_a_batch_that_fails_in_its_last_part_leaves_nothing(self, store: EventStore, last: str) -> None:
        store.commit(first())
        other = WorkflowId("other")
        batch = first(2, other, R2)
        batch.rows.append(row(1, 2, 1, signal()))
        batch.expected[1] = 1
        batch.timers.append(Timer(2, 0, Micros(5)))
        if last == "run key":
            batch.runs.append(new_run(1, 2, other, RunId("r3")))
        elif last == "run name":
            batch.runs.append(new_run(3, 2, other, R2))
        else:
            batch.changes.append(RunChange(77, Status.PAUSED, None, {}))
        with pytest.raises(BadBatch):
            store.commit(batch)
        assert store.ids() == [W]
        assert store.head(W) == 1
        assert len(store.runs()) == 1
        assert store.due_timers(Micros(10)) == []
        assert store.heads() == Heads(1, 1, Micros(1000))
        batch.runs, batch.changes = batch.runs[:1], []
        store.commit(batch)
        assert store.head(W) == 2

    def test_fields_that_are_not_known_yet_do_not_hinder_reading(self, store: EventStore) -> None:
        batch = first()
        batch.rows = [
            row(1, 1, 1, started(), data=b'{"workflow_type":"order","version":"v9","seed":1,"python":"3.20","colour":"blue"}')
        ]
        store.commit(batch)
        assert store.read(W)[0].event == e.WorkflowStarted("order", "v9", Payload(b"null"), 1, "3.20")

    # --- forgetting ------------------------------------------------------------------------------------------------------

    def test_what_is_forgotten_is_gone_and_noted(self, store: EventStore) -> None:
        other = WorkflowId("other")
        store.append(other, history(started(), e.TimerStarted(0, Micros(50)), signal(), workflow_id=other), 0)
        kept = (store.read(other), store.run(other), store.due_timers(Micros(100)))
        store.append(W, history(started(), e.SearchAttributesUpdated(Payload(b'{"customer":"ann"}')), ENDS[0]), 0)
        store.append(W, history(started(parent_run_id=R1, idempotency_key="k"), signal(), ENDS[3], after=3, run_id=R2), 3)
        heads = store.heads()
        note = Forgotten(W, Micros(9), 2, 6, "asked to")
        assert store.forget(W, Micros(9), "asked to") == note
        assert store.ids() == [other]
        assert (store.head(W), store.read(W), store.run(W), store.run_chain(W), store.workflow_key(W)) == (0, [], None, [], None)
        assert store.by_idempotency_key("k") is None
        assert store.runs() == [kept[1]]
        assert store.runs(having({"customer": "ann"})) == []
        assert (store.read(other), store.run(other), store.due_timers(Micros(100))) == kept
        assert store.forgotten() == [note]
        assert store.forget(W, Micros(10)) is None
        assert store.heads() == heads, "keys are never given again"
        store.append(W, history(started(idempotency_key="k")), 0)
        again = store.run(W)
        assert again is not None
        assert (again.key, again.workflow_key) == (heads.run_key + 1, heads.workflow_key + 1)
        assert [run.workflow_id for run in store.active()] == [other, W]

    def test_an_open_run_is_not_forgotten(self, store: EventStore) -> None:
        for n, more in enumerate(((), (e.WorkflowPaused(),))):
            name = WorkflowId(f"w{n}")
            store.append(name, history(started(), ENDS[0], workflow_id=name), 0)
            store.append(name, history(started(), *more, after=2, workflow_id=name, run_id=R2), 2)
            before = (store.read(name), store.run_chain(name))
            with pytest.raises(BadBatch):
                store.forget(name, Micros(1))
            assert (store.read(name), store.run_chain(name)) == before
        assert store.forgotten() == []

    # --- code, names and facts about the lab -----------------------------------------------------------------------------

    def test_packages_are_kept_once(self, store: EventStore) -> None:
        old = StoredPackage("order", "v1", b'{"a":1}', Micros(1))
        new, other = StoredPackage("order", "v2", b"{}", Micros(2), "signed"), StoredPackage("ship", "v1", b"{}", Micros(0))
        for package in (old, new, other):
            store.save_package(package)
        store.save_package(StoredPackage("order", "v1", b"changed", Micros(9)))
        assert store.package("order", "v1") == old
        store.save_package(StoredPackage("order", "v1", b"changed", Micros(9), "mine"))
        assert store.packages() == [replace(old, document=b"changed", signature="mine"), new, other]
        store.save_package(StoredPackage("order", "v1", b"changed", Micros(9), "theirs"))
        store.save_package(StoredPackage("order", "v1", b"unsigned", Micros(9)))
        signed = replace(old, document=b"changed", signature="theirs")
        assert store.package("order", "v1") == signed
        assert store.packages() == [signed, new, other]
        assert store.packages("ship") == [other]

    def test_routes_attribute_types_and_facts(self, store: EventStore) -> None:
        store.set_route("order", "v1")
        store.set_route("order", "v2", pinned=True)
        store.set_route("ship", "v1")
        store.register_attribute("customer", "keyword")
        store.register_attribute("total", "float")
        store.set_meta("lab", "one")
        store.set_meta("lab", "two")
        assert store.routes() == {"order": ("v2", True), "ship": ("v1", False)}
        assert store.attribute_types() == {"customer": "keyword", "total": "float"}
        assert store.meta("lab") == "two"
        assert store.meta("none") is None

    # --- lasting ---------------------------------------------------------------------------------------------------------

    def test_all_of_it_is_there_again(self, store: EventStore, tmp_path: Path) -> None:
        if not self.durable:
            pytest.skip("this store is gone with its process")
        store.append(W, history(*EVERY), 0)
        store.save_package(StoredPackage("order", "v1", b"{}", Micros(1)))
        store.set_route("order", "v1", True)
        store.register_attribute("customer", "keyword")
        store.set_meta("lab", "one")
        gone = WorkflowId("gone")
        store.append(gone, history(started(), ENDS[0], workflow_id=gone), 0)
        store.forget(gone, Micros(5))
        before = (
            store.forgotten(),
            store.read(W),
            store.runs(),
            store.due_timers(Micros(2**62)),
            store.packages(),
            store.routes(),
            store.attribute_types(),
            store.heads(),
            list(store.open_histories()),
        )
        store.close()
        again = self.make_store(tmp_path)
        try:
            assert before == (
                again.forgotten(),
                again.read(W),
                again.runs(),
                again.due_timers(Micros(2**62)),
                again.packages(),
                again.routes(),
                again.attribute_types(),
                again.heads(),
                list(again.open_histories()),
            )
            assert again.meta("lab") == "one"
            head = again.head(W)
            with pytest.raises(SequenceConflict):
                again.commit(Batch(rows=[row(1, head + 2, 1, signal())], expected={1: head + 1}))
            again.commit(Batch(rows=[row(1, head + 1, 1, signal())], expected={1: head}))
            assert again.head(W) == head + 1
        finally:
            again.close()


def _paged(store: EventStore, query: Query, size: int, most: int) -> list[Run]:
    """What the query gives a page of `size` at a time; a little more than `most` runs when it never ends."""
    found = store.runs(query.at_most(size))
    while len(found) <= most and (page := store.runs(query.at_most(size), found[-1]) if found else []):
        found += page
    return found


def _race(store: EventStore, name: WorkflowId) -> list[SequenceConflict]:
    """Two threads append the first events of a workflow id at once; what the losers were told."""
    gate = threading.Barrier(2)
    lost: list[SequenceConflict] = []

    def contend(run_id: RunId) -> None:
        gate.wait(10)
        try:
            store.append(name, history(started(), signal(), run_id=run_id, workflow_id=name), 0)
        except SequenceConflict as error:
            lost.append(error)

    threads = [threading.Thread(target=contend, args=(run_id,)) for run_id in (R1, R2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return lost
