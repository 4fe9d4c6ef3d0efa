"""SQLite and plain Python agree, whatever is asked of them in whatever order."""
from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from aionlab.core import events as e
from aionlab.core.errors import StoreError
from aionlab.core.events import Recorded
from aionlab.core.failure import Failure
from aionlab.core.filters import STATUS
from aionlab.core.jsontext import dumps
from aionlab.core.ports import Batch, StoredPackage
from aionlab.core.status import Status
from aionlab.store.integrity import END_OF_TIME, findings
from aionlab.store.memory import MemoryStore
from aionlab.store.sqlite import SqliteStore
from aionlab.testing.conformance import asked, having, row, signal

pytestmark = pytest.mark.slow

IDS = st.sampled_from(["a", "b", "ä/%_", "d"])
RUNS = st.sampled_from(["r1", "r2", "r3"])
NAMES = st.sampled_from(["x", "y"])
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["u", "v", ""]),
    st.lists(st.sampled_from(["u", "v"]), max_size=2),
)
ATTRIBUTES = st.dictionaries(NAMES, VALUES, max_size=2)
TIMERS = st.integers(-1, 2)
TEXT = st.one_of(st.none(), st.text(max_size=3))
EVENTS = st.one_of(
    st.builds(
        e.WorkflowStarted,
        st.sampled_from(["t", "u"]),
        st.sampled_from(["v1", "v2"]),
        st.binary(max_size=3),
        st.integers(0, 2**63 - 1),
        st.just("3.11"),
        parent_run_id=st.one_of(st.none(), RUNS),
        idempotency_key=st.one_of(st.none(), st.sampled_from(["k", "l"])),
    ),
    st.builds(e.SearchAttributesUpdated, ATTRIBUTES.map(dumps)),
    st.builds(e.SignalReceived, st.text(max_size=3), st.binary(max_size=3), TEXT),
    st.builds(e.TimerStarted, TIMERS, st.integers(0, 2**62), TEXT),
    st.builds(e.TimerFired, TIMERS),
    st.builds(e.TimerCancelled, TIMERS),
    st.builds(e.ActivityCompleted, st.integers(0, 3), st.binary(max_size=3)),
    st.builds(e.WorkflowPaused, TEXT),
    st.just(e.WorkflowResumed()),
    st.builds(e.WorkflowCompleted, st.binary(max_size=3)),
    st.builds(e.WorkflowFailed, st.builds(Failure, st.text(max_size=3), st.text(max_size=3))),
    st.builds(e.WorkflowTerminated, TEXT, TEXT),
)


def both(outcome):
    """What a call gave, or the error it raised, in a form to compare."""
    try:
        return outcome()
    except StoreError as error:
        facts = (error.workflow_id, error.expected, error.found) if hasattr(error, "found") else ()
        return type(error), facts


class Stores(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "lab.db"
        self.sqlite = SqliteStore.open(self.path, synchronous="OFF")
        self.memory = MemoryStore()

    def teardown(self):
        assert self.sqlite.verify() == []
        assert list(findings(self.memory)) == []
        self.sqlite.close()
        self.folder.cleanup()

    def same(self, call):
        one, two = both(lambda: call(self.memory)), both(lambda: call(self.sqlite))
        assert one == two
        return one

    @rule(
        name=IDS,
        run=RUNS,
        events=st.lists(EVENTS, max_size=4),
        off=st.sampled_from([0, 0, 0, 0, 0, -1, 1]),
        skip=st.sampled_from([0, 0, 0, 0, 1]),
    )
    def append(self, name, run, events, off, skip):
        head = self.memory.head(name) + off
        rows = [Recorded(head + n + skip, n * 10, name, run, event, n % 2 == 1, n + 1) for n, event in enumerate(events, 1)]
        self.same(lambda store: store.append(name, rows, head))

    @rule(name=IDS, run=RUNS, event=EVENTS)
    def begin(self, name, run, event):
        head = self.memory.head(name)
        start = e.WorkflowStarted("t", "v1", b"1", 1, "3.11")
        self.same(
            lambda store: store.append(
                name, [Recorded(head + 1, 5, name, run, start), Recorded(head + 2, 6, name, run, event)], head
            )
        )

    @precondition(lambda self: self.memory.active())
    @rule(data=st.data(), off=st.sampled_from([0, 0, 0, -1, 1]))
    def turn(self, data, off):
        """A plain step turn over some of the active runs."""
        runs = data.draw(st.lists(st.sampled_from(self.memory.active()), unique_by=lambda run: run.workflow_key, max_size=3))
        batch = Batch()
        for run in runs:
            head = max(self.memory.head(run.workflow_id) + off, 1)
            batch.expected[run.workflow_key] = head
            batch.rows += [
                row(run.workflow_key, head + n, run.key, signal(n)) for n in range(1, data.draw(st.integers(1, 3)) + 1)
            ]
        self.same(lambda store: store.commit(batch))

    @rule(
        kind=st.sampled_from(["t", "u"]),
        version=st.sampled_from(["v1", "v2"]),
        signature=st.sampled_from(["", "s"]),
        pinned=st.booleans(),
    )
    def keep(self, kind, version, signature, pinned):
        self.same(lambda store: store.save_package(StoredPackage(kind, version, b"{}", 3, signature)))
        self.same(lambda store: store.set_route(kind, version, pinned))

    @rule()
    def reopen(self):
        self.sqlite.close()
        self.sqlite = SqliteStore.open(self.path, synchronous="OFF")

    @rule()
    def rebuild(self):
        assert self.sqlite.rebuild_visibility() == 0

    @rule(
        wanted=st.dictionaries(NAMES, VALUES.filter(lambda value: value is not None), max_size=2),
        status=st.one_of(st.none(), st.sampled_from(Status)),
        kind=st.one_of(st.none(), st.just("t")),
        limit=st.one_of(st.none(), st.integers(0, 3)),
        offset=st.integers(0, 2),
    )
    def look(self, wanted, status, kind, limit, offset):
        text = " AND ".join([*([f"status = '{status}'"] if status else []), *([f"type = '{kind}'"] if kind else [])])
        query = having(wanted).narrowed(asked(text).condition).at_most(limit)
        after = self.memory.runs(asked("type = 't'"))[offset:][:1]
        self.same(lambda store: store.runs(query, *after))

    @rule(as_of=st.integers(0, 2**62))
    def due(self, as_of):
        self.same(lambda store: store.due_timers(as_of))

    @invariant()
    def equal(self):
        for name in self.same(lambda store: store.ids()):
            self.same(
                lambda store, name=name: (
                    store.read(name),
                    store.read_from(name, 2),
                    store.head(name),
                    store.run_chain(name),
                    store.run(name),
                    store.run(name, "r2"),
                    store.workflow_key(name),
                )
            )
        self.same(
            lambda store: (
                store.heads(),
                store.active(),
                store.paused(),
                store.runs(),
                store.due_timers(END_OF_TIME),
                store.packages(),
                store.routes(),
                store.count(group_by=STATUS),
                store.by_idempotency_key("k"),
            )
        )
        self.same(lambda store: list(store.open_histories()))


Stores.TestCase.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
test_stores_agree = Stores.TestCase
