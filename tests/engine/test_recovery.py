"""The process is gone, before or after any commit: what comes back equals what would have been."""
from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from aionlab import Retry, activity, workflow
from aionlab.core import events as e
from aionlab.core.errors import RunNotFound, StoreUnavailable, UnknownEventKind
from aionlab.core.events import Recorded
from aionlab.core.status import Status
from aionlab.engine.lifecycle.start import StartRequest
from aionlab.store.memory import MemoryStore
from aionlab.store.sqlite import SqliteStore
from aionlab.testing.faults import Crash, FaultyStore
from aionlab.testing.workbench import Workbench
from tests.engine import programs
from tests.engine.programs import SECOND, calls, of, shape

# --- scenarios ---------------------------------------------------------------------------------------------------------


def begin(bench: Workbench, name: str, *args: Any, **options: Any) -> None:
    """Start under the workflow id "w", once however often it is asked."""
    payload = bench.values.encode_args(args, {})
    bench.call("start", StartRequest(name, payload, workflow_id="w", idempotency_key="start", digest=name, **options))


def once(bench: Workbench, verb: str, done: Callable[[Workbench], bool], *arguments: Any) -> None:
    """Carry a verb out that has no key of its own, unless the log shows that it has been."""
    if not done(bench):
        bench.call(verb, "w", *arguments)


def has(kind: type, count: int = 1) -> Callable[[Workbench], bool]:
    return lambda bench: len(of(bench, "w", kind)) >= count


def signal(bench: Workbench, name: str, value: Any, key: str) -> None:
    """Send with a key: asked again it changes nothing, even when the run has ended meanwhile."""
    bench.signal("w", name, value, key)


def in_a_row(bench: Workbench) -> None:
    begin(bench, "three")


def at_once(bench: Workbench) -> None:
    begin(bench, "fan")


def with_signals(bench: Workbench) -> None:
    begin(bench, "order", 3)
    signal(bench, "approval", "ada", "a")


def many_signals(bench: Workbench) -> None:
    begin(bench, "handled")
    for n in range(4):
        signal(bench, "x", n, f"x{n}")
    signal(bench, "done", None, "done")


def with_timers(bench: Workbench) -> None:
    begin(bench, "timed")


def with_retries(bench: Workbench) -> None:
    begin(bench, "stumbling")


def cancelled(bench: Workbench) -> None:
    begin(bench, "patient")
    once(bench, "cancel", has(e.WorkflowCancelRequested), None, "enough")


def paused(bench: Workbench) -> None:
    begin(bench, "order", 5)
    once(bench, "pause", has(e.WorkflowPaused))
    signal(bench, "approval", "bob", "a")
    once(bench, "resume", has(e.WorkflowResumed))


def with_attributes_and_deadline(bench: Workbench) -> None:
    if "stage" not in bench.store.attribute_types():
        bench.call("register_attribute", "stage", "keyword")
    begin(bench, "staged", attributes={"stage": "new"}, deadline=100 * SECOND)


def timed_out(bench: Workbench) -> None:
    begin(bench, "listener", deadline=5 * SECOND)


def raced(bench: Workbench) -> None:
    begin(bench, "racing")
    signal(bench, "go", 1, "g")


def suspended(bench: Workbench) -> None:
    begin(bench, "order", 7)
    if bench.outcome("w") is None:
        bench.call("suspend", "w")
    signal(bench, "approval", "eve", "a")


SCENARIOS = (
    in_a_row, at_once, with_signals, many_signals, with_timers, with_retries, cancelled, paused, with_attributes_and_deadline, timed_out, raced,
    suspended,
)  # fmt: skip


@activity(retry=Retry(initial="1s", backoff=2.0))
def stumble(n: int) -> int:
    """Fails until the third time it is called with this argument."""
    calls.append(f"stumble {n}")
    if calls.count(f"stumble {n}") < 3:
        raise ValueError(f"stumbled over {n}")
    return n


async def stumbling() -> int:
    return await stumble(1) + await stumble(2)


async def timed() -> list[Any]:
    got: list[Any] = [await workflow.receive("x", timeout=2, default="nobody")]
    await asyncio.sleep(3)
    got += await asyncio.gather(programs.charge(1), asyncio.sleep(1, "slept"), programs.charge(2))
    return got


async def staged() -> str:
    await programs.charge(1)
    workflow.upsert_search_attributes(stage="charged")
    await asyncio.sleep(1)
    return "done"


async def racing() -> list[Any]:
    slow = asyncio.ensure_future(asyncio.sleep(50))
    first = asyncio.ensure_future(workflow.receive("go"))
    done, pending = await asyncio.wait([slow, first], return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    return [len(done), len(pending), await programs.ship("it"), workflow.random().random(), str(workflow.uuid4())]


class Ended(NamedTuple):
    outcome: e.Event | None
    status: Status
    attributes: dict[str, Any]
    shape: list[tuple[str, object]]


def fresh(store: Any) -> Workbench:
    bench = Workbench(store)
    programs.define(bench)
    for fn in (stumbling, timed, staged, racing):
        bench.workflow(fn)
    bench.activity(stumble)
    return bench


def ended(bench: Workbench) -> Ended:
    row = bench.call("run", "w")
    return Ended(bench.outcome("w"), row.status, dict(row.attributes), shape(bench.history("w")))


def drive(bench: Workbench, scenario: Callable[[Workbench], None]) -> int:
    """Play the scenario through, beginning again after each crash; how many there were."""
    crashes = 0
    while True:
        try:
            scenario(bench)
            bench.clock.auto = True
            bench.call("settle")
            return crashes
        except Crash:
            crashes += 1
            bench.clock.auto = False
            while True:
                try:
                    bench.crash()
                    break
                except Crash:
                    crashes += 1


_controls: dict[str, tuple[Ended, int]] = {}


def control(scenario: Callable[[Workbench], None]) -> tuple[Ended, int]:
    """How the scenario ends without a crash, and in how many commits."""
    if scenario.__name__ not in _controls:
        bench = fresh(FaultyStore(MemoryStore()))
        assert drive(bench, scenario) == 0
        _controls[scenario.__name__] = ended(bench), bench.store.commits
    return _controls[scenario.__name__]


def same(found: Ended, expected: Ended, bench: Workbench) -> None:
    assert found.status is expected.status and found.attributes == expected.attributes
    assert found.shape == expected.shape
    if not isinstance(expected.outcome, e.WorkflowTimedOut):
        assert found.outcome == expected.outcome
    first = bench.history("w")
    bench.crash()
    assert bench.history("w") == first


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_a_crash_at_every_commit(scenario: Callable[[Workbench], None], after: bool) -> None:
    expected, commits = control(scenario)
    assert expected.status.closed and commits >= 2
    for at in range(1, commits + 1):
        store = FaultyStore(MemoryStore())
        store.crash(at, after=after)
        bench = fresh(store)
        assert drive(bench, scenario) == 1, at
        same(ended(bench), expected, bench)


@pytest.mark.parametrize("scenario", [with_signals, with_retries, paused, raced, cancelled], ids=lambda scenario: scenario.__name__)
def test_a_second_crash_while_recovering_from_the_first(scenario: Callable[[Workbench], None]) -> None:
    expected, commits = control(scenario)
    for first in range(1, commits + 1):
        for gap in (1, 2):
            for after in (False, True):
                store = FaultyStore(MemoryStore())
                store.crash(first, after=after)
                store.crash(first + gap, after=not after)
                bench = fresh(store)
                drive(bench, scenario)
                same(ended(bench), expected, bench)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_a_crash_after_every_commit_of_one_run(scenario: Callable[[Workbench], None]) -> None:
    expected, commits = control(scenario)
    store = FaultyStore(MemoryStore())
    for at in range(1, 10 * commits):
        store.crash(at, after=True)
    bench = fresh(store)
    assert drive(bench, scenario) >= commits - 1
    same(ended(bench), expected, bench)


@pytest.mark.parametrize("scenario", [with_timers, with_attributes_and_deadline, paused], ids=lambda scenario: scenario.__name__)
def test_crashes_on_sqlite(scenario: Callable[[Workbench], None]) -> None:
    expected, commits = control(scenario)
    for at in range(1, commits + 1):
        store = FaultyStore(SqliteStore.open(":memory:"))
        store.crash(at, after=bool(at % 2))
        bench = fresh(store)
        assert drive(bench, scenario) == 1
        same(ended(bench), expected, bench)


# --- one broken run ----------------------------------------------------------------------------------------------------


class OddRows:
    """A store whose rows of one run cannot be read."""

    def __init__(self, inner: Any, error: Callable[[], Exception]) -> None:
        self._inner, self._error = inner, error
        self.broken: int | None = None

    def run_history(self, run_key: int) -> list[Recorded]:
        if run_key == self.broken:
            raise self._error()
        return list(self._inner.run_history(run_key))

    def open_histories(self) -> Iterator[Any]:
        for row, head, history in self._inner.open_histories():
            if row.key == self.broken:
                raise self._error()
            yield row, head, history

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@pytest.mark.parametrize("error", [lambda: UnknownEventKind(999), lambda: ValueError("not JSON"), lambda: KeyError("activity_type")], ids=["kind", "json", "key"])
def test_a_history_that_cannot_be_read_stops_nobody_else(make_bench: Callable[..., Workbench], error: Callable[[], Exception]) -> None:
    store = OddRows(MemoryStore(), error)
    bench = make_bench(store)
    for n in range(5):
        bench.start("listener", "x", 1, id=f"w{n}")
    store.broken = 3
    bench.crash()
    assert not bench.engine.halted
    entry = bench.call("entry", "w2")
    assert entry.residency == "Stuck" and entry.status is Status.RUNNING
    for n in (0, 1, 3, 4):
        bench.signal(f"w{n}", "x", n)
        assert bench.result(f"w{n}") == [n]
    # What is sent to it is recorded and waits for a version that can read it.
    assert bench.call("signal", "w2", "x", bench.values.encode(2)) is True
    assert bench.call("retry", "w2") is True
    bench.host.pump()
    assert bench.call("entry", "w2").residency == "Stuck" and not bench.engine.halted
    store.broken = None
    bench.call("retry", "w2")
    bench.host.pump()
    assert bench.result("w2") == [2]


def test_a_real_row_of_a_newer_version() -> None:
    bench = fresh(MemoryStore())
    for n in range(3):
        bench.start("listener", "x", 1, id=f"w{n}")
    store = bench.store
    key = store.workflow_key("w1")
    store._rows[key].append((key, 2, 2, bench.clock.now(), 999, 2, None, None, b"{}"))
    bench.crash()
    assert "999" in bench.call("entry", "w1").waiting_for
    bench.call("terminate", "w1", None, "cannot be read here")
    assert bench.status("w1") is Status.TERMINATED and store.head("w1") == 3
    bench.signal("w2", "x", 2)
    assert bench.result("w2") == [2]
    bench.call("terminate", "w0")


def test_missing_code_and_divergence_beside_healthy_runs(bench: Workbench) -> None:
    async def other() -> str:
        return await programs.ship("x")

    for name in ("order", "listener", "sleeper", "patient"):
        bench.start(name, id=name)
    bench.codes.pop("listener")
    bench.workflow(other, name="order")
    bench.crash()
    assert {entry.workflow_id: entry.residency for entry in bench.call("registry")} == {
        "order": "Stuck", "listener": "Waiting", "sleeper": "Resident", "patient": "Resident",
    }  # fmt: skip
    progress = bench.call("progress")
    assert (progress.running, progress.stuck, progress.waiting) == (4, 1, 1)
    bench.skip(60 * SECOND)
    assert bench.result("sleeper") == "woke"


def test_code_that_raises_while_it_is_loaded(bench: Workbench) -> None:
    bench.start("order", id="w")
    bench.start("sleeper", id="other")

    def load(name: str, version: str) -> Any:
        raise RuntimeError("the stored source does not compile")

    bench.load, kept = load, bench.load
    bench.codes, codes = {}, bench.codes
    bench.crash()
    assert "does not compile" in bench.call("entry", "w").waiting_for
    bench.load, bench.codes = kept, codes
    bench.crash()
    assert bench.call("entry", "w").residency == "Resident"


def test_code_whose_replay_misbehaves_is_one_runs_trouble(bench: Workbench) -> None:
    replays: list[int] = []

    async def nasty() -> None:
        replays.append(1)
        if len(replays) > 1:
            raise SystemExit(3)
        try:
            await workflow.receive("x")
        except BaseException:
            await workflow.receive("y")

    bench.workflow(nasty)
    bench.start("nasty", id="w")
    bench.start("sleeper", id="other")
    bench.crash()
    assert bench.call("entry", "w").residency == "Stuck" or bench.status("w") is Status.FAILED
    bench.skip(60 * SECOND)
    assert bench.result("other") == "woke"


# --- the store while recovering ----------------------------------------------------------------------------------------


class BreaksHalfWay:
    """`open_histories` stops in the middle, a given number of times."""

    def __init__(self, inner: Any) -> None:
        self._inner, self.breaks, self.at = inner, 0, 0

    def open_histories(self) -> Iterator[Any]:
        for place, found in enumerate(self._inner.open_histories()):
            if self.breaks and place == self.at:
                self.breaks -= 1
                raise StoreUnavailable("half-way")
            yield found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@pytest.mark.parametrize("at", [0, 2, 3])
def test_a_store_that_stops_answering_while_recovering(make_bench: Callable[..., Workbench], at: int) -> None:
    store = BreaksHalfWay(FaultyStore(MemoryStore()))
    bench = make_bench(store)
    for n in range(5):
        bench.start("three" if n == 0 else "listener", *(() if n == 0 else ("x", 1)), id=f"w{n}")
    bench.functions.pop("charge")
    store.breaks, store.at = 3, at
    bench.crash()
    assert bench.engine.halted == "half-way"
    while not bench.engine.recovered:
        bench.host.pump()
    assert len(bench.call("registry")) == 4 and not bench.engine.halted
    for n in range(1, 5):
        bench.signal(f"w{n}", "x", n)
        assert bench.result(f"w{n}") == [n]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_commit_of_the_recovery_that_fails(make_bench: Callable[..., Workbench], after: bool) -> None:
    from tests.engine.test_activities import Held

    held = Held()
    bench = make_bench(executor=held)
    bench.start("fan", id="w")
    bench.store.doubt(written=after)
    bench.crash()
    bench.host.pump()
    attempts = {(a.activity_id, a.attempt) for a in held.attempts[4:]}
    assert {number for number, _ in attempts} == {0, 1, 2, 3} and len(held.attempts) == 8


def test_a_thousand_runs(bench: Workbench) -> None:
    for n in range(1000):
        bench.start(("listener", "sleeper", "order")[n % 3], id=f"w{n}")
    before = {f"w{n}": bench.store.read(f"w{n}") for n in range(1000)}
    commits = bench.store.commits
    bench.crash()
    registry = bench.call("registry")
    assert len(registry) == 1000 and {entry.residency for entry in registry} == {"Resident"}
    assert bench.store.commits == commits and {name: bench.store.read(name) for name in before} == before
    bench.skip(60 * SECOND)
    assert {bench.result(f"w{n}") for n in range(1, 1000, 3)} == {"woke"}


def test_nothing_is_found_in_an_empty_store(bench: Workbench) -> None:
    assert bench.call("registry") == []
    with pytest.raises(RunNotFound):
        bench.call("result", "w")
