"""Processes that are lost: restarted by replay within exact limits, escalated, given up; and runs that diverge, stuck until mended."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from aionlab import workflow
from aionlab.core import errors
from aionlab.core import events as e
from aionlab.core.snapshots import Node
from aionlab.core.status import Status
from aionlab.testing.workbench import Workbench
from tests.engine import programs
from tests.engine.programs import SECOND, calls, of, snapshot
from tests.engine.test_activities import Held, finish


def node(bench: Workbench, name: str) -> Node:
    """The supervisor of a type."""
    return next(child for child in bench.call("tree").children if child.name == name)


def pid(bench: Workbench, workflow_id: str = "w") -> int:
    return bench.call("entry", workflow_id).pid


def kill(bench: Workbench, workflow_id: str = "w") -> str:
    said = bench.call("kill", pid(bench, workflow_id))
    bench.host.pump()
    return str(said)


def test_a_killed_process_comes_back_by_replay_with_a_new_pid(bench: Workbench) -> None:
    bench.start("order", 3, id="w")
    before, old = bench.history("w"), pid(bench)
    said = kill(bench)
    assert f"pid {old} gone (killed)" in said and "w comes back by replay (1 of 3 in 30 s)" in said
    assert pid(bench) > old and bench.history("w") == before and calls == ["charge 3"]
    assert [run.pid for run in node(bench, "order").children] == [pid(bench)]
    bench.signal("w", "approval", "ada")
    assert bench.result("w") == "6 by ada, box shipped"


def test_a_run_is_killed_in_the_turn_of_its_signal(bench: Workbench) -> None:
    from aionlab.engine.call import Call

    for order in (0, 1):
        bench.start("listener", "x", 2, id="w")
        verbs = [Call("kill", pid(bench)), Call("signal", "w", "x", bench.values.encode(1))]
        for call in verbs if order else reversed(verbs):
            bench.engine.submit(call)
        bench.host.pump()
        bench.signal("w", "x", 2)
        assert bench.result("w") == [1, 2]


def test_the_limit_is_exact_and_its_window_half_open(bench: Workbench) -> None:
    bench.start("listener", id="w")
    for n in range(3):
        assert f"({n + 1} of 3 in 30 s)" in kill(bench)
        bench.skip(10 * SECOND)
    # The first restart is exactly 30 s old and no longer counts: (now - 30 s, now].
    assert node(bench, "listener").restarts == 2
    assert "(3 of 3 in 30 s)" in kill(bench)
    bench.skip(10 * SECOND - 1)
    said = kill(bench)
    assert "supervisor listener was over its limit" in said and "(1 of 3 in 300 s at the root)" in said
    assert node(bench, "listener").restarts == 0 and bench.call("tree").restarts == 1


def test_restarts_just_beyond_the_period_never_escalate(bench: Workbench) -> None:
    bench.start("listener", id="w")
    for _ in range(12):
        kill(bench)
        bench.skip(10 * SECOND)
    assert bench.call("tree").restarts == 0 and bench.call("entry", "w").residency == "Resident"


def test_an_escalation_restarts_every_run_of_the_type_and_no_other(bench: Workbench) -> None:
    for n in range(3):
        bench.start("listener", "x", 1, id=f"w{n}")
    bench.start("sleeper", id="other")
    for _ in range(3):
        kill(bench, "w0")
    supervisor, before = node(bench, "listener").pid, {f"w{n}": pid(bench, f"w{n}") for n in range(3)}
    other = pid(bench, "other")
    assert "restarted with its 3 runs" in kill(bench, "w1")
    assert node(bench, "listener").pid > supervisor and pid(bench, "other") == other
    assert all(pid(bench, name) > old for name, old in before.items())
    for n in range(3):
        bench.signal(f"w{n}", "x", n)
        assert bench.result(f"w{n}") == [n]


def exhaust(bench: Workbench, workflow_id: str = "w") -> str:
    """Kill a run until the root gives its type up: 3 restarts and one too many, four times over."""
    said = ""
    for n in range(16):
        assert bench.call("entry", workflow_id).residency == "Resident", n
        said = kill(bench, workflow_id)
    return said


def test_the_root_gives_up_after_exactly_sixteen_kills(bench: Workbench) -> None:
    bench.start("listener", "x", 1, id="w")
    bench.start("listener", "x", 1, id="w2")
    bench.start("sleeper", 60, id="other")
    assert "the root gave up on listener: its 2 runs stay down" in exhaust(bench)
    assert node(bench, "listener").state == "Down" and [run.state for run in node(bench, "listener").children] == ["Stuck", "Stuck"]
    for name in ("w", "w2"):
        entry = bench.call("entry", name)
        assert (entry.residency, entry.pid, entry.status) == ("Stuck", None, Status.RUNNING)
        assert "too many crashes of listener" in entry.waiting_for
    bench.signal("w", "x", 1)
    assert bench.kinds("w") == ["WorkflowStarted", "SignalReceived"]
    bench.skip(60 * SECOND)
    assert bench.result("other") == "woke"
    bench.crash()
    assert bench.result("w") == [1] and bench.call("entry", "w2").residency == "Resident"


def test_a_given_up_run_can_be_retried(bench: Workbench) -> None:
    bench.start("listener", "x", 1, id="w")
    exhaust(bench)
    bench.signal("w", "x", 1)
    assert bench.call("retry", "w") is True
    bench.host.pump()
    assert bench.result("w") == [1] and node(bench, "listener").state == "Running"


def test_a_new_start_brings_a_given_up_supervisor_back(bench: Workbench) -> None:
    bench.start("listener", id="w")
    exhaust(bench)
    old = node(bench, "listener").pid
    bench.start("listener", id="new")
    assert node(bench, "listener").state == "Running" and node(bench, "listener").pid > old
    assert bench.call("entry", "w").residency == "Stuck"


def test_the_root_forgets_after_its_own_period(bench: Workbench) -> None:
    bench.start("listener", id="w")
    for _ in range(12):
        kill(bench)
    assert bench.call("tree").restarts == 3
    bench.skip(300 * SECOND)
    assert bench.call("tree").restarts == 0
    exhaust(bench)
    assert node(bench, "listener").state == "Down"


def test_a_supervisors_pid_can_be_killed(bench: Workbench) -> None:
    for n in range(2):
        bench.start("listener", "x", 1, id=f"w{n}")
    old = node(bench, "listener").pid
    said = bench.call("kill", old)
    bench.host.pump()
    assert "restarted with its 2 runs" in said and node(bench, "listener").pid > old
    assert len(node(bench, "listener").children) == 2
    bench.signal("w1", "x", 5)
    assert bench.result("w1") == [5]


def test_an_activitys_pid_can_be_killed(make_bench: Callable[..., Workbench]) -> None:
    bench = make_bench(executor=Held())
    bench.start("retrying", id="w")
    (run,) = node(bench, "retrying").children
    (attempt,) = run.children
    assert (attempt.kind, attempt.name) == ("activity", "flaky#0")
    said = bench.call("kill", attempt.pid)
    bench.host.pump()
    assert "attempt 1 of flaky#0 has failed" in said
    assert [event.error.type for event in of(bench, "w", e.ActivityFailed)] == ["Killed"] and bench.executor.cancelled == [(1, 0)]
    finish(bench, bench.executor.attempts[0], "late")
    with pytest.raises(errors.ProcessNotFound):
        bench.call("kill", attempt.pid)  # it waits for its retry: nothing runs
    bench.skip(SECOND)
    finish(bench, bench.executor.attempts[1], "again")
    assert bench.result("w") == "again"


def test_the_root_is_refused_and_unknown_pids_are_told(bench: Workbench) -> None:
    bench.start("listener", id="w")
    before, old = snapshot(bench), pid(bench)
    with pytest.raises(errors.InvalidOption, match="engine itself"):
        bench.call("kill", 1)
    for wrong in (0, -1, 99, None, "w", 2.5):
        with pytest.raises(errors.ProcessNotFound) as caught:
            bench.call("kill", wrong)
        assert caught.value.pid == wrong
    bench.call("suspend", "w")
    with pytest.raises(errors.ProcessNotFound):
        bench.call("kill", old)
    assert snapshot(bench) == before


def test_nodes_leave_the_tree_when_their_run_ends(bench: Workbench) -> None:
    bench.start("order", id="w")
    bench.signal("w", "approval", "x")
    assert node(bench, "order").children == () and bench.call("registry") == []


def test_an_engine_side_exception_is_a_crash(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fact is recorded, the process restarted by replay, and the deferred fact delivered to the new one."""
    bench.start("listener", "x", 1, id="w")
    bench.start("listener", "x", 1, id="neighbour")
    process, old = bench.engine.find("w").process, pid(bench)

    def broken(fact: Any, at: Any) -> Any:
        raise AssertionError("a defect of ours")

    monkeypatch.setattr(type(process), "deliver", lambda self, fact, at, kept=type(process).deliver: (
        broken(fact, at) if self is process else kept(self, fact, at)
    ))
    assert bench.signal("w", "x", 1) is True
    bench.signal("neighbour", "x", 2)
    assert bench.result("w") == [1] and bench.result("neighbour") == [2] and old
    assert [r.deferred for r in bench.history("w")] == [False, True, False]


# --- divergence --------------------------------------------------------------------------------------------------------


async def changed(amount: int = 1) -> str:
    """`order` with another first step."""
    paid = await programs.ship("instead")
    return f"{paid}"


def diverge(bench: Workbench, fn: Any = changed) -> None:
    """A run of `order`, and other code under its name and version."""
    bench.start("order", 3, id="w")
    bench.workflow(fn, name="order")
    bench.crash()


def test_a_diverged_run_is_stuck_and_its_log_untouched(bench: Workbench) -> None:
    bench.start("quick", id="neighbour")
    bench.start("order", 3, id="w")
    before = bench.history("w")
    bench.workflow(changed, name="order")
    bench.crash()
    assert bench.history("w") == before and bench.status("w") is Status.RUNNING
    entry = bench.call("entry", "w")
    assert entry.residency == "Stuck" and entry.pid is None
    for part in ("diverged at event 2", "activity charge#0", "activity ship#0", "test_supervision.py"):
        assert part in entry.waiting_for
    assert bench.call("progress").stuck == 1
    with pytest.raises(errors.QueryFailed, match="diverged"):
        bench.call("query", "w", "n", bench.values.encode_args((), {}))


def test_signals_to_a_stuck_run_wait_and_it_goes_on_with_fixed_code(bench: Workbench) -> None:
    diverge(bench)
    bench.signal("w", "approval", "ada")
    bench.signal("w", "approval", "too many")
    bench.crash()
    assert [r.deferred for r in bench.history("w")][-2:] == [True, True] and bench.outcome("w") is None
    assert bench.call("retry", "w") is True
    bench.host.pump()
    assert bench.call("entry", "w").residency == "Stuck"  # the code is still the wrong one
    bench.workflow(programs.order)
    assert bench.call("retry", "w") is True
    bench.host.pump()
    assert bench.result("w") == "6 by ada, box shipped"
    before = bench.history("w")
    bench.crash()
    assert bench.history("w") == before


def test_defining_the_version_anew_brings_its_stuck_runs_back(bench: Workbench) -> None:
    diverge(bench)
    bench.signal("w", "approval", "ada")
    bench.call("define", bench.workflow(programs.order))
    bench.host.pump()
    assert bench.result("w") == "6 by ada, box shipped"


def test_a_stuck_run_can_be_ended(bench: Workbench) -> None:
    diverge(bench)
    bench.call("terminate", "w", None, "hopeless")
    assert bench.status("w") is Status.TERMINATED and bench.call("registry") == []


def test_a_stuck_runs_deadline_timers_and_cancel_are_recorded(bench: Workbench) -> None:
    async def waits() -> str:
        return await workflow.receive("x", timeout=10, default="late")

    async def waits_not() -> str:
        return await programs.ship("x")

    bench.workflow(waits)
    bench.start("waits", id="w")
    bench.start("waits", id="d", deadline=5 * SECOND)
    bench.workflow(waits_not, name="waits")
    bench.crash()
    bench.skip(20 * SECOND)
    assert bench.status("d") is Status.TIMED_OUT
    assert bench.kinds("w") == ["WorkflowStarted", "TimerStarted", "TimerFired"] and bench.history("w")[-1].deferred
    bench.workflow(waits)
    bench.call("retry", "w")
    bench.host.pump()
    assert bench.result("w") == "late"


def test_it_diverges_when_code_asks_more_or_less_or_ends_otherwise(bench: Workbench) -> None:
    async def more(amount: int = 1) -> str:
        await programs.charge(amount)
        await programs.charge(amount)
        return "?"

    async def less(amount: int = 1) -> str:
        return "at once"

    for fn, expected, actual in ((more, "nothing more in this step", "charge#1"), (less, "charge#0", "the end of the workflow")):
        diverge(bench, fn)
        stuck = bench.engine.find("w").stuck
        assert isinstance(stuck, errors.NondeterminismError)
        assert expected in stuck.expected and actual in stuck.actual
        bench.workflow(programs.order)
        bench.call("terminate", "w")


def test_a_run_diverging_at_a_later_wake_is_stuck_then(bench: Workbench) -> None:
    """A suspended run meets the changed code when the signal wakes it; the signal is kept."""
    bench.start("order", 3, id="w")
    bench.call("suspend", "w")
    bench.workflow(changed, name="order")
    assert bench.signal("w", "approval", "ada") is True
    assert bench.call("entry", "w").residency == "Stuck" and bench.history("w")[-1].deferred
    bench.call("define", bench.workflow(programs.order))
    bench.host.pump()
    assert bench.result("w") == "6 by ada, box shipped"


def test_an_activity_ending_while_its_run_is_stuck(make_bench: Callable[..., Workbench]) -> None:
    bench = make_bench(executor=Held())
    bench.start("order", 3, id="w")
    bench.workflow(changed, name="order")
    bench.crash()
    finish(bench, bench.executor.attempts[-1], 6)
    assert bench.history("w")[-1].deferred
    bench.call("define", bench.workflow(programs.order))
    bench.host.pump()
    assert bench.call("entry", "w").waiting_for.startswith("signal 'approval'")
