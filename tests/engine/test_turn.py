"""The turn: gathered, stepped, committed once, and only then acted upon."""
from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from aionlab import workflow
from aionlab.core import events as e
from aionlab.core.status import Status
from aionlab.engine import engine as engine_module
from aionlab.engine.call import Call
from aionlab.engine.lifecycle.start import StartRequest
from aionlab.testing.workbench import Workbench
from tests.engine import programs
from tests.engine.programs import calls
from tests.engine.test_activities import Held, finish


def submit(bench: Workbench, *verbs: tuple[Any, ...]) -> list[Call]:
    made = [Call(verb, *arguments) for verb, *arguments in verbs]
    for call in made:
        bench.engine.submit(call)
    return made


def test_everything_of_a_turn_is_one_commit(bench: Workbench) -> None:
    request = [StartRequest("order", bench.values.encode_args((n,), {}), workflow_id=f"w{n}") for n in range(50)]
    submit(bench, *(("start", r) for r in request))
    commits = bench.store.commits
    bench.engine.turn()
    assert bench.store.commits == commits + 1
    bench.engine.turn()
    assert bench.store.commits == commits + 2 and len(calls) == 50


def test_a_turn_with_nothing_to_record_commits_nothing(bench: Workbench) -> None:
    bench.start("listener", id="w")
    commits, turns = bench.store.commits, bench.engine.turns
    for verb in ("registry", "tree", "progress"):
        bench.call(verb)
    assert bench.engine.turn() is False
    assert bench.store.commits == commits and bench.engine.turns > turns


def test_nothing_is_seen_before_its_commit(bench: Workbench) -> None:
    """Neither callers, nor executors, nor listeners."""
    seen: list[str] = []
    commit = bench.store.inner.commit
    heard = lambda recorded: seen.append("listener")  # noqa: E731 - one line is enough

    def watching(batch: Any) -> None:
        assert not made[0].poll() and seen == [] and calls == []
        commit(batch)
        seen.append("commit")

    bench.store.inner.commit = watching
    bench.engine.listeners.append(heard)
    made = submit(bench, ("start", StartRequest("three", b"[]", workflow_id="w")))
    bench.engine.turn()
    assert made[0].poll() and seen == ["commit", "listener"] and calls == ["charge 1"]
    bench.store.inner.commit = commit


def test_one_sequential_activity_costs_one_commit(bench: Workbench) -> None:
    async def long() -> int:
        total = 0
        for n in range(20):
            total += await programs.charge(n)
        return total

    bench.workflow(long)
    commits = bench.store.commits
    bench.start("long", id="w")
    assert bench.store.commits == commits + 21 and bench.result("w") == 380


def test_history_does_not_depend_on_batching(make_bench: Callable[..., Workbench]) -> None:
    """The counter-example of replay.md: both signals in one turn, or one in each, for code that cancels in between."""

    async def first() -> list[Any]:
        got = [await workflow.receive("x")]
        task = asyncio.ensure_future(asyncio.sleep(9))
        await asyncio.sleep(0)
        got.append(await workflow.receive("x"))
        task.cancel()
        got.append(await workflow.receive("x"))
        return got

    kinds = set()
    for split in (False, True):
        bench = make_bench()
        bench.workflow(first)
        bench.start("first", id="w")
        for n in range(2):
            bench.engine.submit(Call("signal", "w", "x", bench.values.encode(n)))
            if split:
                bench.host.pump()
        bench.host.pump()
        kinds.add(tuple(bench.kinds("w")))
        before = bench.history("w")
        bench.crash()
        assert bench.history("w") == before
        bench.signal("w", "x", 2)
        assert bench.result("w") == [0, 1, 2]
    assert kinds == {("WorkflowStarted", "SignalReceived", "TimerStarted", "SignalReceived", "TimerCancelled")}


def test_rows_stand_in_the_order_of_steps(bench: Workbench) -> None:
    bench.start("order", id="w")
    bench.start("order", id="v")
    submit(bench, ("signal", "w", "approval", b'"a"'), ("signal", "v", "approval", b'"b"'), ("terminate", "w"))
    bench.engine.turn()
    rows = [(row[0], type(r.event).__name__) for row, r in zip(
        bench.store.batches[-1].rows, [*bench.store.read("w")[4:7], *bench.store.read("v")[4:7], bench.store.read("w")[7]], strict=True)]
    assert [name for _, name in rows] == ["SignalReceived", "ActivityScheduled", "ActivityStarted"] * 2 + ["WorkflowTerminated"]
    bench.host.pump()
    assert calls == ["charge 1", "charge 1", "ship box"]


def test_messages_beyond_a_turns_share_wait_for_the_next(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "GATHER", 10)
    bench.start("listener", "x", 35, id="w")
    submit(bench, *(("signal", "w", "x", bench.values.encode(n)) for n in range(35)))
    commits = bench.store.commits
    bench.host.pump()
    assert bench.store.commits == commits + 4 and bench.result("w") == list(range(35))


def test_listeners_hear_each_event_once_and_in_order(bench: Workbench) -> None:
    heard: list[Any] = []
    bench.engine.listeners.append(heard.extend)
    bench.start("order", id="w")
    bench.call("pause", "w")
    bench.signal("w", "approval", "x")
    bench.call("resume", "w")
    assert heard == bench.history("w")


def test_settle_waits_until_nothing_moves(make_bench: Callable[..., Workbench]) -> None:
    bench = make_bench(executor=Held())
    bench.start("three", id="w")
    settling = bench.host.ask(Call("settle"))
    for _ in range(3):
        assert not settling.poll()
        finish(bench, bench.executor.attempts[-1], 1)
    assert settling.poll() and bench.result("w") == 3
    abandoned = bench.host.ask(Call("settle"))
    assert abandoned.poll()


def test_settle_does_not_wait_for_what_only_time_or_people_bring(bench: Workbench) -> None:
    bench.start("sleeper", id="s")
    bench.start("listener", id="l")
    bench.call("settle")
    bench.call("set_auto", True)
    bench.call("settle")
    assert bench.result("s") == "woke"


def test_progress_counts(bench: Workbench) -> None:
    bench.start("listener", id="a")
    bench.start("listener", id="b")
    bench.start("sleeper", 60, id="c")
    bench.start("quick", id="d")
    bench.call("pause", "b")
    progress = bench.call("progress")
    assert (progress.running, progress.paused, progress.closed, progress.stuck, progress.waiting) == (2, 1, 1, 0, 0)
    assert progress.next_timer == bench.clock.now() + 60 * programs.SECOND
    assert progress.events == sum(len(bench.history(name)) for name in "abcd") and progress.commits == bench.engine.commits


def test_two_runs_of_one_turn_do_not_see_each_other(bench: Workbench) -> None:
    """Context variables, running loops and async generators are each run's own; the caller's are untouched."""

    async def generating(n: int) -> list[Any]:
        async def numbers() -> Any:
            for k in range(3):
                await workflow.receive("x")
                yield n * 10 + k

        return [workflow.info().workflow_id, [k async for k in numbers()]]

    async def outer() -> str:
        bench.workflow(generating)
        for n in range(3):
            bench.start("generating", n, id=f"w{n}")
        for _ in range(3):
            submit(bench, *(("signal", f"w{n}", "x", b"1") for n in range(3)))
            bench.host.pump()
        return asyncio.get_running_loop().__class__.__name__

    assert "Workflow" not in asyncio.run(outer())
    assert [bench.result(f"w{n}") for n in range(3)] == [[f"w{n}", [10 * n, 10 * n + 1, 10 * n + 2]] for n in range(3)]


def test_a_run_may_start_and_end_in_one_turn_with_verbs_between(bench: Workbench) -> None:
    made = submit(
        bench, ("start", StartRequest("listener", bench.values.encode_args(("x", 1), {}), workflow_id="w")), ("pause", "w"),
        ("signal", "w", "x", b"1"), ("entry", "w"), ("resume", "w"), ("result", "w"), ("run", "w"),
    )  # fmt: skip
    commits = bench.store.commits
    bench.host.pump()
    assert bench.store.commits == commits + 1
    assert made[3].outcome().status is Status.PAUSED and made[3].outcome().mailbox == 1
    assert isinstance(made[5].outcome()[2], e.WorkflowCompleted) and made[6].outcome().status is Status.COMPLETED
    assert bench.result("w") == [1]
