"""Forget beside everything else that may be going on with an id."""
from __future__ import annotations

from typing import Any

import pytest

from aionlab.core.errors import BadBatch, InvalidOption, RunNotFound, StoreUnavailable
from aionlab.core.filters import parse
from aionlab.core.status import Status
from aionlab.engine.call import Call
from aionlab.engine.lifecycle.start import StartRequest
from aionlab.store.memory import MemoryStore
from aionlab.store.sqlite import SqliteStore
from aionlab.testing.workbench import Workbench
from tests.engine.programs import listener


@pytest.fixture(params=["memory", "sqlite"])
def bench(request: Any) -> Any:
    made = Workbench(MemoryStore() if request.param == "memory" else SqliteStore.open(":memory:"))
    made.workflow(listener)
    return made


def test_in_one_turn_with_the_end_it_comes_after_it(bench: Workbench) -> None:
    bench.start("listener", id="w")
    calls = [Call("terminate", "w"), Call("forget", "w", "tidy"), Call("history", "w")]
    for call in calls:
        bench.engine.submit(call)
    bench.host.pump()
    assert calls[1].outcome().reason == "tidy" and calls[0].outcome() is None
    assert bench.store.ids() == [] and bench.store.runs() == []
    with pytest.raises(RunNotFound):
        bench.call("history", "w")


def test_in_one_turn_with_a_start_the_id_is_in_use(bench: Workbench) -> None:
    bench.start("listener", id="w")
    bench.call("terminate", "w")
    calls = [Call("start", StartRequest("listener", bench.values.encode_args((), {}), workflow_id="w")), Call("forget", "w")]
    for call in calls:
        bench.engine.submit(call)
    bench.host.pump()
    with pytest.raises(InvalidOption, match="w is Running"):
        calls[1].outcome()
    assert len(bench.store.run_chain(calls[0].outcome()[0])) == 2


def test_afterwards_the_id_is_new(bench: Workbench) -> None:
    bench.start("listener", id="w")
    bench.call("terminate", "w")
    bench.call("forget", "w")
    with pytest.raises(RunNotFound):
        bench.call("forget", "w")
    bench.start("listener", id="w")
    assert [recorded.seq for recorded in bench.history("w")][:1] == [1] and bench.status("w") is Status.RUNNING
    assert bench.store.run_chain(bench.store.ids()[0])[0].parent_run_id is None
    bench.crash()
    assert bench.status("w") is Status.RUNNING and len(bench.engine.registry) == 1


def test_only_the_runs_that_were_asked_for(bench: Workbench) -> None:
    bench.start("listener", id="w")
    bench.call("terminate", "w")
    only = parse("status = 'Completed'", {}, bench.clock.now()).condition
    with pytest.raises(InvalidOption, match="another run .*Terminated"):
        bench.call("forget", "w", None, only)
    assert bench.status("w") is Status.TERMINATED


@pytest.mark.parametrize("wrong", [3, "x" * 70_000, "\ud800"])
def test_a_reason_is_checked_first(bench: Workbench, wrong: Any) -> None:
    bench.start("listener", id="w")
    bench.call("terminate", "w")
    with pytest.raises(InvalidOption):
        bench.call("forget", "w", wrong)
    assert bench.store.forgotten() == []


def test_a_store_that_fails_leaves_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    store = SqliteStore.open(":memory:")
    bench = Workbench(store)
    bench.workflow(listener)
    bench.start("listener", id="w")
    bench.call("terminate", "w")
    before = (store.read("w"), store.run_chain("w"), store.heads())  # type: ignore[arg-type]
    store._db.execute("CREATE TRIGGER no BEFORE DELETE ON workflow BEGIN SELECT RAISE(FAIL, 'disk'); END")
    with pytest.raises((BadBatch, StoreUnavailable)):
        bench.call("forget", "w")
    assert (store.read("w"), store.run_chain("w"), store.heads()) == before and store.forgotten() == []  # type: ignore[arg-type]
    assert store.verify() == []
