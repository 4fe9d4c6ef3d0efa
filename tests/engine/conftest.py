"""A workbench for each test, with the definitions most of them use, and a check of what must hold after every one."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from aionlab.core.errors import StoreError
from aionlab.store.fold import run_of, timers_of
from aionlab.store.memory import MemoryStore
from aionlab.testing.faults import FaultyStore
from aionlab.testing.workbench import Workbench
from tests.engine import programs


@pytest.fixture
def make_bench() -> Iterator[Callable[..., Workbench]]:
    """Makes workbenches on a `FaultyStore`, with `programs` defined; what they recorded is checked when the test is over."""
    made: list[Workbench] = []

    def make(store: Any = None, **options: Any) -> Workbench:
        bench = Workbench(store or FaultyStore(MemoryStore()), **options)
        programs.define(bench)
        made.append(bench)
        return bench

    yield make
    for bench in made:
        check(bench)
        for run in bench.engine.registry:
            if run.process is not None:
                run.process.close()

@pytest.fixture
def bench(make_bench: Callable[..., Workbench]) -> Workbench:
    return make_bench()


def check(bench: Workbench) -> None:
    """Projections equal a fold of the events; numbers are gapless; memory agrees with the log; one terminal event at most."""
    store = getattr(bench.store, "inner", bench.store)
    engine = bench.engine
    live = {timer.run_key: [] for timer in store.due_timers(2**62)}
    for timer in store.due_timers(2**62):
        live[timer.run_key].append(timer)
    for workflow_id in store.ids():
        events = store.read(workflow_id)
        assert [recorded.seq for recorded in events] == list(range(1, len(events) + 1))
        for row in store.run_chain(workflow_id):
            try:
                own = store.run_history(row.key)
            except (StoreError, ValueError):
                continue
            folded = run_of(row.key, row.workflow_key, own)
            assert folded is not None
            assert (folded.status, folded.closed_at, dict(folded.attributes)) == (row.status, row.closed_at, dict(row.attributes))
            assert sorted(live.get(row.key, [])) == sorted(timers_of(row.key, own))
            run = engine.registry.by_key(row.key)
            if run is not None and not engine.halted and run.started is not None:
                assert not run.closed and run.status is row.status
                assert run.recorder.head == store.head(workflow_id)
                assert (run.pid != 0) == (run.process is not None)
    in_tree = [run for supervisor in engine.tree.supervisors.values() for run in supervisor.children.values()]
    assert {run.key for run in in_tree} == {run.key for run in engine.registry if run.process is not None}
    assert not engine.ready, "callbacks were left behind"
