"""Which code a name stands for: versions, routes, and what runs in flight stay on."""
from __future__ import annotations

from typing import Any

import pytest

from aionlab.core.errors import WorkflowNotFound
from aionlab.engine.catalog import Catalog, NotRunnable
from aionlab.replay.process import Code
from aionlab.store.memory import MemoryStore
from aionlab.testing.workbench import Workbench
from tests.engine import programs


def code(version: str, name: str = "t", fn: Any = programs.quick) -> Code:
    from aionlab.core.values import values_for

    return Code(name, version, fn, None, values_for(None))


def test_a_new_version_takes_the_route() -> None:
    catalog = Catalog(MemoryStore())
    assert catalog.add(code("v1")) is True and catalog.add(code("v1")) is False
    assert catalog.add(code("v2")) is True
    assert catalog.resolve("t").version == catalog.routed("t") == "v2"
    assert catalog.resolve("t", "v1").version == "v1" and catalog.types() == ["t"]


def test_without_a_route_and_with_a_pin() -> None:
    store = MemoryStore()
    catalog = Catalog(store)
    assert catalog.add(code("v1"), route=False) is False
    with pytest.raises(WorkflowNotFound):
        catalog.resolve("t")
    store.set_route("t", "v1", pinned=True)
    catalog = Catalog(store)
    catalog.add(code("v1"))
    assert catalog.add(code("v2")) is False and catalog.routed("t") == "v1"
    assert store.routes() == {"t": ("v1", True)}


def test_routes_survive_and_code_is_loaded_when_first_needed() -> None:
    store, loaded = MemoryStore(), []
    Catalog(store).add(code("v1"))

    def load(name: str, version: str) -> Code:
        loaded.append((name, version))
        return code(version, name)

    catalog = Catalog(store, load)
    assert loaded == []
    assert catalog.resolve("t") is catalog.resolve("t") and loaded == [("t", "v1")]


def test_unknown_types_and_versions() -> None:
    catalog = Catalog(MemoryStore())
    catalog.add(code("v1"))
    with pytest.raises(WorkflowNotFound) as caught:
        catalog.resolve("u")
    assert caught.value.known == ("t",) and caught.value.version is None
    with pytest.raises(WorkflowNotFound) as caught:
        catalog.resolve("t", "v9")
    assert caught.value.version == "v9"


def test_code_that_may_not_run_says_what_it_waits_for() -> None:
    store = MemoryStore()
    Catalog(store).add(code("v1"))

    def load(name: str, version: str) -> Code:
        raise NotRunnable("trust")

    with pytest.raises(NotRunnable) as caught:
        Catalog(store, load).resolve("t")
    assert caught.value.why == "trust"


def test_a_readonly_store_keeps_its_routes() -> None:
    store = MemoryStore()
    store.readonly = True
    assert Catalog(store).add(code("v1")) is True and store.routes() == {}


def test_runs_in_flight_stay_on_their_version(bench: Workbench) -> None:
    async def old() -> str:
        return "old " + str(await programs.workflow.receive("x"))

    async def new() -> str:
        return "new " + str(await programs.workflow.receive("x"))

    bench.workflow(old, name="t", version="v1")
    bench.start("t", id="a")
    bench.workflow(new, name="t", version="v2")
    bench.start("t", id="b")
    bench.start("t", id="c", version="v1")
    assert [bench.call("run", name).version for name in "abc"] == ["v1", "v2", "v1"]
    bench.call("suspend", "a")
    for name in "abc":
        bench.signal(name, "x", name)
    assert [bench.result(name) for name in "abc"] == ["old a", "new b", "old c"]


def test_define_tells_which_versions_runs_stay_on(bench: Workbench) -> None:
    one = bench.workflow(programs.listener, name="t", version="v1")
    for n in range(3):
        bench.start("t", id=f"w{n}")
    assert bench.call("define", one) == []
    assert bench.call("define", one._replace(version="v2")) == [("v1", 3)]
    assert bench.call("routed", "t") == "v2"
    bench.start("t", id="new")
    assert bench.call("define", one._replace(version="v3")) == [("v1", 3), ("v2", 1)]


def test_a_run_that_waits_for_trust_is_brought_back_when_it_comes(bench: Workbench) -> None:
    bench.start("listener", "x", 1, id="w")
    trusted: list[bool] = []
    kept = bench.load

    def load(name: str, version: str) -> Code:
        if not trusted:
            raise NotRunnable("trust in its author")
        return kept(name, version)

    bench.load, codes, bench.codes = load, bench.codes, {}
    bench.crash()
    entry = bench.call("entry", "w")
    assert (entry.residency, entry.waiting_for) == ("Waiting", "trust in its author")
    assert bench.call("progress").waiting == 1
    bench.signal("w", "x", 1)
    bench.codes = codes
    assert bench.call("retry_waiting") == 1
    bench.host.pump()
    assert bench.call("entry", "w").residency == "Waiting"
    trusted.append(True)
    bench.call("retry_waiting")
    bench.host.pump()
    assert bench.result("w") == [1]
