"""Declared supervisors at work: strategies, restart types, backoff, giving up, shutdown, and what a database keeps of it."""
from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from aionlab import workflow
from aionlab.core import errors
from aionlab.core import events as e
from aionlab.core.snapshots import Node
from aionlab.core.status import Status
from aionlab.core.supervisors import Backoff, Supervisor
from aionlab.engine import supervising
from aionlab.engine.call import Call
from aionlab.store.memory import MemoryStore
from aionlab.testing.faults import FaultyStore
from aionlab.testing.workbench import Workbench
from tests.engine import programs
from tests.engine.programs import SECOND, of, snapshot
from tests.engine.test_activities import Held, finish


async def one(name: str = "x") -> Any:
    return await workflow.receive(name)


@pytest.fixture
def bench(make_bench: Callable[..., Workbench]) -> Workbench:
    """With types a, b and c, each waiting for one signal."""
    made = make_bench()
    for name in "abc":
        made.workflow(one, name=name)
    return made


def supervise(bench: Workbench, *given: Any, **options: Any) -> int:
    back: int = bench.call("supervise", given[0] if isinstance(given[0], Supervisor) else Supervisor(*given, **options))
    bench.host.pump()
    return back


def start(bench: Workbench, *ids: str) -> None:
    """Runs whose id begins with the name of their type: "a1"."""
    for id_ in ids:
        bench.start(id_[0], id=id_)


def pid(bench: Workbench, name: str) -> int:
    """Of a run by id or a supervisor by name; 0 for one that has no process."""
    return nodes(bench)[name].pid


def nodes(bench: Workbench) -> dict[str, Node]:
    found: dict[str, Node] = {}
    waiting = [bench.call("tree")]
    while waiting:
        node = waiting.pop()
        found[node.name] = node
        waiting += node.children
    return found


def kill(bench: Workbench, name: str) -> str:
    said = str(bench.call("kill", pid(bench, name)))
    bench.host.pump()
    return said


def changed(bench: Workbench, act: Callable[[], Any]) -> set[str]:
    """Whose pids an act changes."""
    before = {name: node.pid for name, node in nodes(bench).items()}
    act()
    return {name for name, node in nodes(bench).items() if before.get(name) != node.pid}


# --- strategies, nested -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "back", "said"),
    [
        ("one_for_one", {"a2"}, "a2 comes back by replay (1 of 3 in 30 s)"),
        ("one_for_all", {"a1", "a2", "a3"}, "a2 and 2 runs beside it come back by replay, one_for_all (1 of 3 in 30 s)"),
        ("rest_for_one", {"a2", "a3"}, "a2 and 1 run beside it come back by replay, rest_for_one (1 of 3 in 30 s)"),
    ],
)
def test_a_strategy_says_whom_a_lost_run_takes_with_it(bench: Workbench, strategy: str, back: set[str], said: str) -> None:
    supervise(bench, "a", strategy=strategy)
    start(bench, "a1", "a2", "a3", "b1")
    told = []
    assert changed(bench, lambda: told.append(kill(bench, "a2"))) == back
    assert told[0].endswith(said)
    for id_ in ("a1", "a2", "a3"):
        bench.signal(id_, "x", id_)
        assert bench.result(id_) == id_ and bench.kinds(id_) == ["WorkflowStarted", "SignalReceived", "WorkflowCompleted"]


@pytest.mark.parametrize(("strategy", "back"), [("one_for_one", "b"), ("one_for_all", "abc"), ("rest_for_one", "bc")])
def test_a_lost_supervisor_takes_its_siblings_with_it(bench: Workbench, strategy: str, back: str) -> None:
    supervise(bench, "g", ["a", "b", "c"], strategy=strategy)
    start(bench, "c1", "b1", "a1")
    told = []
    assert changed(bench, lambda: told.append(kill(bench, "b"))) == {*back, *(f"{kind}1" for kind in back)}
    assert f"supervisor b is restarted with {'its 1 run' if len(back) == 1 else f'{len(back)} runs, {strategy}'} (1 of 3 in 30 s in g)" in told[0]


def test_processes_are_stopped_in_reverse_start_order(bench: Workbench) -> None:
    stopped: list[str] = []

    async def told(name: str) -> None:
        try:
            await workflow.receive("never")
        finally:
            stopped.append(name)

    for kind in "abc":
        bench.workflow(told, name=kind)
    supervise(bench, "g", ["b", Supervisor("h", ["c", "a"])], strategy="one_for_all")
    for id_ in ("a1", "c1", "b1", "a2", "b2", "c2"):
        bench.start(id_[0], id_, id=id_)
    kill(bench, "g")
    assert stopped == ["a2", "a1", "c2", "c1", "b2", "b1"]
    started = sorted((node.pid, name) for name, node in nodes(bench).items() if node.kind == "workflow")
    assert [name for _, name in started] == ["b1", "b2", "c1", "c2", "a1", "a2"]


def test_giving_up_climbs_as_far_as_it_must(bench: Workbench) -> None:
    """a passes its limit; so does h, whose only restart it was; g restarts h with all that is under it."""
    supervise(bench, "g", [Supervisor("h", [Supervisor("a", intensity=1), "b"], intensity=0), "c"], intensity=1)
    start(bench, "a1", "b1", "c1")
    kill(bench, "a1")
    told = []
    assert changed(bench, lambda: told.append(kill(bench, "a1"))) == {"h", "a", "b", "a1", "b1"}
    assert told[0].endswith("supervisor h was over its limit and is restarted with its 2 runs (1 of 1 in 30 s in g)")
    last = bench.call("supervision")[-3:]
    assert [(d.supervisor, d.child, d.cause, d.verdict) for d in last] == [
        ("a", "a1", "killed", "escalated"), ("h", "a", "gave up", "escalated"), ("g", "h", "gave up", "restarted"),
    ]  # fmt: skip
    assert [(d.stopped, d.started) for d in last] == [(0, 0), (1, 0), (0, 2)]
    kill(bench, "h")
    assert "the root" not in kill(bench, "c1") and nodes(bench)["lab"].restarts == 1  # g passed its own limit with h's second loss


def test_a_decision_names_the_pids_that_are_gone(bench: Workbench) -> None:
    supervise(bench, "g", ["a"], strategy="one_for_all")
    start(bench, "a1")
    for name, above in (("a1", "a"), ("a", "g"), ("g", "lab")):
        gone, by = pid(bench, name), pid(bench, above)
        assert kill(bench, name).startswith(f"pid {gone} gone (killed); ")
        last = bench.call("supervision")[-1]
        assert (last.child, last.child_pid, last.supervisor, last.pid) == (name, gone, above, by) and pid(bench, name) > gone


def test_a_process_whose_run_ends_in_the_same_turn_is_not_there_to_be_killed(bench: Workbench) -> None:
    supervise(bench, "a", runs="permanent")
    start(bench, "a1")
    old = pid(bench, "a1")
    calls = [Call("signal", "a1", "x", bench.values.encode(1)), Call("kill", old)]
    for call in calls:
        bench.engine.submit(call)
    bench.host.pump()
    with pytest.raises(errors.ProcessNotFound):
        calls[1].outcome()
    assert len(bench.store.run_chain("a1")) == 2 and nodes(bench)["a"].restarts == 1


def test_what_a_supervisor_decides_is_logged(bench: Workbench, caplog: pytest.LogCaptureFixture) -> None:
    supervise(bench, "a", intensity=0)
    start(bench, "a1")
    with caplog.at_level(logging.WARNING, "aionlab.engine"):
        kill(bench, "a1")
    assert [record.getMessage() for record in caplog.records] == [
        "a1 (killed): supervisor a gives up: one restart more than 0 in 30 s, for a1 (killed)",
        "a (gave up): supervisor a was over its limit and is restarted with its 1 run (1 of 3 in 300 s at the root)",
    ]
    assert [d.text for d in bench.call("supervision")] == [record.getMessage().partition(": ")[2] for record in caplog.records]


# --- restart types ------------------------------------------------------------------------------------------------------


def test_a_temporary_run_is_not_started_again(bench: Workbench) -> None:
    supervise(bench, "a", runs="temporary", strategy="one_for_all")
    start(bench, "a1", "a2")
    assert "a1 is temporary and is not started again: it stays down until" in kill(bench, "a1")
    assert bench.call("entry", "a1").residency == "Stuck" and bench.call("entry", "a2").residency == "Resident"
    assert nodes(bench)["a"].restarts == 0
    assert "a1 was lost (killed) and is temporary" in bench.call("entry", "a1").waiting_for
    bench.call("resume", "a1")
    bench.host.pump()
    bench.signal("a1", "x", 1)
    assert bench.result("a1") == 1


def test_a_temporary_sibling_that_is_stopped_is_not_started_again(bench: Workbench) -> None:
    supervise(bench, "g", ["a", Supervisor("b", restart="temporary")], strategy="one_for_all")
    start(bench, "a1", "b1")
    kill(bench, "a")
    assert nodes(bench)["b"].state == "Down" and bench.call("entry", "b1").residency == "Stuck" and pid(bench, "a1")
    kill(bench, "g")  # starts anew all that was declared under it
    assert nodes(bench)["b"].state == "Running" and bench.call("entry", "b1").residency == "Stuck"


def test_a_permanent_run_is_followed_by_another_in_the_commit_of_its_end(bench: Workbench) -> None:
    supervise(bench, "a", runs="permanent")
    bench.start("a", "y", id="a1", attributes=None, deadline=60 * SECOND)
    commits = bench.engine.commits
    bench.signal("a1", "y", "one")
    assert bench.engine.commits == commits + 1
    first, second = bench.store.run_chain("a1")
    assert (first.status, second.status, second.parent_run_id) == (Status.COMPLETED, Status.RUNNING, first.run_id)
    assert bench.call("entry", "a1").waiting_for.startswith("signal 'y'")  # the same input
    started = of(bench, "a1", e.WorkflowStarted)
    assert started[1].input == started[0].input and started[1].deadline - second.started_at == 60 * SECOND
    assert bench.call("supervision")[-1].text == "a1 is followed by another run (1 of 3 in 30 s)"
    bench.crash()
    bench.signal("a1", "y", "two")
    assert [run.status for run in bench.store.run_chain("a1")] == [Status.COMPLETED] * 2 + [Status.RUNNING]


def test_a_permanent_run_that_fails_or_times_out_is_followed_too_but_not_one_that_was_ended(bench: Workbench) -> None:
    async def fails(*_: Any) -> None:
        await workflow.receive("go")
        raise ValueError("no")

    bench.workflow(fails, name="a")
    supervise(bench, "a", runs="permanent", intensity=9)
    bench.start("a", id="a1", deadline=5 * SECOND)
    bench.signal("a1", "go")
    bench.skip(6 * SECOND)
    bench.call("cancel", "a1")
    bench.start("a", id="a2")
    bench.call("terminate", "a2")
    assert [str(run.status) for run in bench.store.run_chain("a1")] == ["Failed", "TimedOut", "Cancelled"]
    assert [str(run.status) for run in bench.store.run_chain("a2")] == ["Terminated"]


def test_a_permanent_parent_starts_its_child_again(bench: Workbench) -> None:
    async def parent() -> Any:
        return await workflow.execute_child("a")

    bench.workflow(parent)
    supervise(bench, "parent", runs="permanent")
    bench.start("parent", id="p")
    commits = bench.engine.commits
    bench.signal("p/a-0", "x", 1)
    assert bench.engine.commits == commits + 1  # the child's end, the parent's, the next parent's start and its child's
    assert [run.status for run in bench.store.run_chain("p")] == [Status.COMPLETED, Status.RUNNING]
    (child,) = nodes(bench)["a"].children
    assert child.name.startswith("p/a-0-") and bench.status("p/a-0") is Status.COMPLETED
    bench.signal(child.name, "x", 2)
    assert [bench.values.decode(event.result) for event in of(bench, "p", e.WorkflowCompleted)] == [1, 2]


def test_a_permanent_run_that_ends_at_once_ends_at_the_limit(bench: Workbench) -> None:
    """Sixteen runs, as sixteen kills: four of the supervisor's, and as many of it."""
    bench.workflow(programs.quick, name="a")
    supervise(bench, "a", runs="permanent")
    bench.start("a", id="a1")
    assert len(bench.store.run_chain("a1")) == 16 and nodes(bench)["a"].state == "Down"
    assert bench.engine.idle and bench.call("registry") == []


def test_without_code_nothing_follows_a_permanent_run_and_its_end_stands(bench: Workbench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    supervise(bench, "a", runs="permanent")
    start(bench, "a1")

    def gone(*_: Any) -> Any:
        raise errors.WorkflowNotFound("a")

    monkeypatch.setattr(bench.engine.catalog, "resolve", gone, raising=False) if hasattr(bench.engine.catalog, "__dict__") else monkeypatch.setattr(
        type(bench.engine.catalog), "resolve", gone
    )
    bench.signal("a1", "x", 1)
    assert bench.status("a1") is Status.COMPLETED and "a1 is permanent and is not followed" in caplog.text


# --- backoff ------------------------------------------------------------------------------------------------------------


def test_restarts_are_put_off_longer_each_time(bench: Workbench) -> None:
    supervise(bench, "a", intensity=9, period="10m", backoff=Backoff("1s", 4, "10s"))
    start(bench, "a1")
    for delay in (1, 4, 10, 10):
        assert f"a1 comes back by replay in {delay}s" in kill(bench, "a1")
        entry = bench.call("entry", "a1")
        assert (entry.residency, entry.pid, entry.waiting_for) == ("Restarting", None, f"its restart in {delay}s: the backoff of its supervisor")
        assert nodes(bench)["a1"].state == "Restarting" and bench.call("progress").stuck == 0
        bench.skip(delay * SECOND - 1)
        assert bench.call("entry", "a1").residency == "Restarting"
        bench.skip(1)
        assert bench.call("entry", "a1").residency == "Resident"
    bench.skip(600 * SECOND)
    assert "in 1s" in kill(bench, "a1")


def test_what_arrives_during_a_backoff_waits_for_it(bench: Workbench) -> None:
    supervise(bench, "a", backoff="5s")
    start(bench, "a1")
    kill(bench, "a1")
    bench.signal("a1", "x", 1)
    assert bench.history("a1")[-1].deferred and bench.outcome("a1") is None
    bench.skip(5 * SECOND)
    assert bench.result("a1") == 1


def test_a_backoff_is_over_when_the_run_is_resumed_or_the_database_opened(bench: Workbench) -> None:
    supervise(bench, "a", backoff="1h")
    start(bench, "a1", "a2")
    kill(bench, "a1")
    bench.call("resume", "a1")
    bench.host.pump()
    assert pid(bench, "a1")
    kill(bench, "a2")
    bench.crash()
    assert pid(bench, "a2")


def test_a_run_ends_during_its_backoff(bench: Workbench) -> None:
    supervise(bench, "a", backoff="5s")
    start(bench, "a1", "a2")
    kill(bench, "a1")
    bench.call("terminate", "a1")
    bench.skip(6 * SECOND)
    assert bench.status("a1") is Status.TERMINATED and [run.name for run in nodes(bench)["a"].children] == ["a2"]


def test_an_automatic_clock_goes_on_to_the_restart(bench: Workbench) -> None:
    supervise(bench, "a", backoff="5s")
    start(bench, "a1")
    bench.call("set_auto", True)
    now = bench.call("now")
    kill(bench, "a1")
    assert bench.call("now") == now + 5 * SECOND and pid(bench, "a1")


# --- giving up (H02) ----------------------------------------------------------------------------------------------------


def test_h02_given_losses_beyond_the_limit_then_a_dead_letter_status_with_its_own_completion_time(bench: Workbench) -> None:
    supervise(bench, "g", [Supervisor("a", intensity=1)], intensity=0, give_up="fail", restart="temporary")
    start(bench, "a1", "a2", "b1")
    bench.call("suspend", "a2")
    kill(bench, "a1")
    bench.skip(7 * SECOND)
    assert "supervisor g was over its limit and is temporary and is not started again: its 2 runs have failed" in kill(bench, "a1")
    for id_ in ("a1", "a2"):
        (failed,) = of(bench, id_, e.WorkflowFailed)
        assert failed.kind == "crashed" and failed.error.type == "SupervisionGaveUp"
        row = bench.call("run", id_)
        assert row.status is Status.FAILED and row.closed_at == row.started_at + 7 * SECOND
    assert pid(bench, "b1")
    before = snapshot(bench)
    bench.crash()
    assert snapshot(bench) == before


def test_h02_the_parent_of_a_dead_letter_fails_with_a_named_error(bench: Workbench) -> None:
    async def parent() -> Any:
        return await workflow.execute_child("a", id="a1")

    bench.workflow(parent)
    supervise(bench, "a", intensity=0, give_up="fail", restart="temporary")
    bench.start("parent", id="p")
    kill(bench, "a1")
    with pytest.raises(errors.ChildWorkflowError, match=r"child a \(a1\) did not complete: SupervisionGaveUp: a was lost \(gave up\)"):
        bench.result("p")
    assert bench.kinds("p")[-2:] == ["ChildWorkflowFailed", "WorkflowFailed"]


def test_h02_given_a_run_that_was_given_up_then_resume_makes_it_runnable(bench: Workbench) -> None:
    supervise(bench, "a", intensity=0)
    supervise(bench, Supervisor(None, intensity=0))
    start(bench, "a1", "a2")
    bench.call("suspend", "a2")
    assert "the root gave up on a: its 2 runs stay down until" in kill(bench, "a1")
    bench.signal("a2", "x", 2)
    assert bench.kinds("a2") == ["WorkflowStarted", "SignalReceived"]
    for id_ in ("a1", "a2"):
        assert "too many crashes of a" in bench.call("entry", id_).waiting_for
        bench.call("resume", id_)
        bench.host.pump()
    assert bench.result("a2") == 2 and nodes(bench)["a"].state == "Running"


def test_a_paused_run_that_was_given_up_is_resumed_with_one_word(bench: Workbench) -> None:
    supervise(bench, "a", runs="temporary")
    start(bench, "a1")
    bench.call("pause", "a1")
    bench.signal("a1", "x", 1)
    kill(bench, "a1")
    bench.call("resume", "a1")
    bench.host.pump()
    assert bench.result("a1") == 1


def test_declaring_anew_brings_back_what_was_given_up(bench: Workbench) -> None:
    supervise(bench, "g", ["a", "b"], intensity=0)
    supervise(bench, Supervisor(None, intensity=0))
    start(bench, "a1", "b1")
    kill(bench, "a")
    assert {nodes(bench)[name].state for name in ("g", "a", "b")} == {"Down"}
    assert supervise(bench, "g", ["a", "b"], intensity=5) == 2
    assert pid(bench, "a1") and pid(bench, "b1") and nodes(bench)["g"].state == "Running"


def test_a_start_brings_up_no_more_than_it_needs(bench: Workbench) -> None:
    supervise(bench, "g", ["a", "b"], intensity=0)
    supervise(bench, Supervisor(None, intensity=0))
    start(bench, "a1", "b1")
    kill(bench, "a")
    start(bench, "a2")
    assert [nodes(bench)[name].state for name in ("g", "a", "b")] == ["Running", "Running", "Down"]
    assert bench.call("entry", "a1").residency == "Stuck"


# --- links --------------------------------------------------------------------------------------------------------------


def test_an_attempt_outlives_the_process_that_asked_for_it_and_leaves_with_its_run(make_bench: Callable[..., Workbench]) -> None:
    """An attempt is linked to its run: the loss of a process is no reason to do the work again."""
    bench = make_bench(executor=Held())
    supervise(bench, "order", backoff="5s")
    bench.start("order", 3, id="o")
    kill(bench, "o")
    assert nodes(bench)["charge#0"].state == "Running" and len(bench.executor.attempts) == 1
    finish(bench, bench.executor.attempts[0], 6)
    assert bench.history("o")[-1].deferred and "charge#0" not in nodes(bench)
    bench.skip(5 * SECOND)
    assert bench.call("entry", "o").waiting_for.startswith("signal 'approval'") and len(bench.executor.attempts) == 1
    bench.signal("o", "approval", "ada")
    assert nodes(bench)["ship#1"].state == "Running"
    bench.call("terminate", "o")
    assert "ship#1" not in nodes(bench) and "o" not in nodes(bench)


# --- shutdown -----------------------------------------------------------------------------------------------------------


class Refusing:
    """Code that swallows its end `times` over, and says how often it was asked."""

    def __init__(self, bench: Workbench, times: int, each: int = 0) -> None:
        self.asked = 0

        async def refusing(*_: Any) -> None:
            while True:
                try:
                    await workflow.receive("never")
                except BaseException:
                    self.asked += 1
                    bench.clock._now += each
                    if self.asked > times:
                        raise

        bench.workflow(refusing, name="a")


def test_code_that_does_not_end_in_its_shutdown_time_is_left_behind(bench: Workbench) -> None:
    for shutdown, asked in (("brutal_kill", 1), ("3s", 3), ("10s", 5)):
        code = Refusing(bench, 4, each=SECOND)
        supervise(bench, "a", shutdown=shutdown)
        start(bench, "a1")
        kill(bench, "a")
        assert code.asked == asked, shutdown
        bench.call("terminate", "a1")


# --- declarations -------------------------------------------------------------------------------------------------------


def test_declaring_disturbs_no_process_and_begins_the_count_anew(bench: Workbench) -> None:
    start(bench, "a1", "b1", "c1")
    kill(bench, "a1")
    before = {id_: pid(bench, id_) for id_ in ("a1", "b1", "c1")}
    supervise(bench, "g", ["a", Supervisor("h", ["b"])], strategy="rest_for_one")
    assert {id_: pid(bench, id_) for id_ in before} == before and nodes(bench)["a"].restarts == 0
    assert [node.name for node in bench.call("tree").children] == ["g", "c"] or [node.name for node in bench.call("tree").children] == ["c", "g"]
    assert changed(bench, lambda: kill(bench, "a")) == {"a", "a1", "h", "b", "b1"}
    supervise(bench, "g", ["b"])  # a falls back to a supervisor of its own
    assert [node.name for node in nodes(bench)["g"].children] == ["b"] and "h" not in nodes(bench)
    bench.call("unsupervise", "g")
    assert sorted(node.name for node in bench.call("tree").children) == ["a", "b", "c"] and bench.call("supervisors") == []
    assert changed(bench, lambda: kill(bench, "a1")) == {"a1"}


def test_a_declaration_is_in_force_before_anything_comes_back(make_bench: Callable[..., Workbench]) -> None:
    store = FaultyStore(MemoryStore())
    bench = make_bench(store)
    for name in "ab":
        bench.workflow(one, name=name)
    specs = [Supervisor(None, intensity=7), Supervisor("g", ["a", Supervisor("b", runs="temporary")], strategy="one_for_all", backoff="1s")]
    for spec in specs:
        supervise(bench, spec)
    start(bench, "a1", "b1")
    bench.crash()
    assert bench.call("supervisors") == specs
    assert [child.name for child in nodes(bench)["g"].children] == ["a", "b"] and nodes(bench)["g"].strategy == "one_for_all"
    assert [run.name for run in nodes(bench)["b"].children] == ["b1"] and nodes(bench)["lab"].limit == 7
    bench.call("unsupervise", "g")
    bench.call("unsupervise", "")
    bench.crash()
    assert bench.call("supervisors") == [] and nodes(bench)["lab"].limit == 3


@pytest.mark.parametrize("text", ["no json", "3", '[{"name": ""}]', '[{"children": []}]', '[{"name": "a", "strategy": "x"}]', "[[]]"])
def test_a_declaration_that_cannot_be_read_keeps_no_run_from_coming_back(bench: Workbench, text: str, caplog: pytest.LogCaptureFixture) -> None:
    start(bench, "a1")
    bench.store.set_meta("supervision", text)
    bench.crash()
    assert pid(bench, "a1") and bench.call("supervisors") == [] and "cannot be read" in caplog.text


def test_what_stands_elsewhere_is_refused_with_nothing_written(bench: Workbench) -> None:
    supervise(bench, "g", ["a", Supervisor("h", ["b"])])
    start(bench, "c1")
    kept, shown = bench.store.meta("supervision"), bench.call("tree")
    for spec, said in (
        (Supervisor("k", ["a"]), "a is declared under g"), (Supervisor("a"), "a is declared under g"), (Supervisor("h", []), "h is declared under g"),
        (Supervisor("k", [Supervisor("g", [])]), "g is declared of its own"), (Supervisor("c", ["x"]), "c is a workflow here"),
    ):  # fmt: skip
        with pytest.raises(errors.InvalidOption, match=said):
            bench.call("supervise", spec)
    with pytest.raises(errors.InvalidOption, match="no supervisor 'k' is declared; there are 'g'"):
        bench.call("unsupervise", "k")
    assert bench.store.meta("supervision") == kept and bench.call("tree") == shown


def test_declaring_the_default_is_declaring_nothing(bench: Workbench) -> None:
    supervise(bench, "a", intensity=5)
    supervise(bench, "a")
    assert bench.call("supervisors") == [] and bench.store.meta("supervision") == "[]"


def test_a_declaration_the_store_refuses_is_not_in_force(make_bench: Callable[..., Workbench]) -> None:
    class Full(MemoryStore):
        def set_meta(self, key: str, value: str) -> None:
            raise errors.StoreFull("no room")

    bench = make_bench(Full())
    with pytest.raises(errors.StoreError):
        bench.call("supervise", Supervisor("g", ["listener"]))
    assert "g" not in nodes(bench)


# --- what is kept of it -------------------------------------------------------------------------------------------------


def test_no_more_than_ten_thousand_decisions_are_remembered(bench: Workbench) -> None:
    supervise(bench, "a", intensity=10**6)
    start(bench, "a1")
    kill(bench, "a1")
    bench.engine.tree.decisions.extend(bench.call("supervision") * 9_998)
    for restarts, kept in ((2, 10_000), (3, 10_000)):
        kill(bench, "a1")
        found = bench.call("supervision")
        assert len(found) == kept and found[-1].restarts == restarts


def test_a_start_pays_nothing_for_supervision(bench: Workbench) -> None:
    """The three calls of the start path leave no trace but the process in its place."""
    start(bench, "a1")
    branch, tree = bench.engine.tree.supervisors["a"], bench.engine.tree
    before = (len(tree.decisions), branch.count.recent(0), dict(branch.waiting))
    start(bench, "a2")
    assert tree.ensure("a", 0) is branch and len(branch.children) == 2
    assert (len(tree.decisions), branch.count.recent(0), dict(branch.waiting)) == before
    assert supervising.decisions(bench.engine) == []
