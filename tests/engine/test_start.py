"""Starting a run: every row of the table of semantics §2, and what refuses before anything is written."""
from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from aionlab import workflow
from aionlab.core import errors
from aionlab.core import events as e
from aionlab.core.status import Status
from aionlab.engine import processes
from aionlab.engine.call import Call
from aionlab.engine.faults import START_STEPS
from aionlab.engine.lifecycle.start import StartRequest
from aionlab.testing.conformance import having
from aionlab.testing.points import arm
from aionlab.testing.workbench import Workbench
from tests.engine import programs
from tests.engine.programs import SECOND, events, snapshot

BEFORE = START_STEPS[: START_STEPS.index("supervisor")]
"""Rows that refuse with nothing written."""
AFTER = START_STEPS[START_STEPS.index("supervisor") : START_STEPS.index("flush")]
"""Rows that fail after the start is recorded (or is on its way to the same commit)."""


class Fault(Exception):
    pass


def pids(bench: Workbench) -> list[int]:
    return [child.pid for supervisor in bench.call("tree").children for child in supervisor.children]


def test_the_rows_are_those_of_the_table() -> None:
    assert START_STEPS == (
        "resolve", "check", "mint", "policy", "append", "visibility", "supervisor", "spawn", "place", "handle", "register", "monitor", "flush",
    )  # fmt: skip


def test_a_start_and_its_first_step_share_one_commit(bench: Workbench) -> None:
    commits = bench.store.commits
    bench.start("sleeper", 5, id="w", attributes=None)
    assert bench.store.commits == commits + 1
    assert bench.kinds("w") == ["WorkflowStarted", "TimerStarted"]
    assert not any(recorded.deferred for recorded in bench.history("w"))


def test_each_row_is_passed_once_and_in_order(bench: Workbench) -> None:
    passed = bench.engine.faults.passed = []
    bench.start("sleeper", id="w")
    assert [name for name in passed if name in START_STEPS] == list(START_STEPS)


@pytest.mark.parametrize("step", BEFORE)
@pytest.mark.parametrize("ghosts", [False, True])
def test_a_fault_before_the_record_writes_nothing(make_bench: Callable[..., Workbench], step: str, ghosts: bool) -> None:
    bench = make_bench(ghost_starts=ghosts)
    bench.call("register_attribute", "customer", "keyword")
    before, commits = snapshot(bench), bench.store.commits
    arm(bench, step, Fault(step))
    call = bench.host.ask(Call("start", StartRequest("sleeper", bench.values.encode_args((), {}), workflow_id="w", attributes={"customer": "ann"})))
    # A defect that is no AionError still reaches the caller as it is, and costs nobody else anything.
    with pytest.raises(Fault, match=step):
        call.outcome()
    assert snapshot(bench) == before and bench.store.commits == commits
    assert bench.call("registry") == [] and pids(bench) == []
    assert bench.start("quick", id="w") == "w" and bench.result("w") == 2
    assert [row.workflow_key for row in bench.store.run_chain("w")] == [1]


@pytest.mark.parametrize("step", AFTER)
def test_a_fault_after_the_record_is_compensated(bench: Workbench, step: str) -> None:
    ran: list[str] = []

    async def noisy() -> None:
        ran.append("ran")
        await workflow.receive("x")

    bench.workflow(noisy)
    arm(bench, step, Fault(f"{step} broke"))
    with pytest.raises(errors.StartAborted) as caught:
        bench.start("noisy", id="w", deadline=60 * SECOND)
    error = caught.value
    assert (error.workflow_id, error.run_id, error.step) == ("w", "run-0001", step)
    assert isinstance(error.cause, Fault) and error.__cause__ is error.cause
    assert "w" in str(error) and "run-0001" in str(error) and f"{step} broke" in str(error)
    started, deadline, failed = bench.history("w")
    assert isinstance(started.event, e.WorkflowStarted) and started.deferred
    assert deadline.event == e.TimerStarted(e.DEADLINE, bench.clock.now() + 60 * SECOND)
    assert isinstance(failed.event, e.WorkflowFailed) and failed.event.kind == "start_aborted" and f"{step} broke" in failed.event.error.message
    assert bench.status("w") is Status.FAILED
    assert bench.call("registry") == [] and pids(bench) == [] and bench.call("entry", "w") is None
    assert ran == [] and bench.engine.timers.next_due() is None
    bench.crash()
    assert ran == [] and bench.kinds("w") == ["WorkflowStarted", "TimerStarted", "WorkflowFailed"]
    bench.start("quick", id="w")
    assert bench.result("w") == 2


@pytest.mark.parametrize("step", AFTER)
def test_compensation_goes_backwards(bench: Workbench, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, undone = bench.engine, []
    for name, owner, method in (("spawn", processes, "suspend"), ("place", type(engine.tree), "remove"), ("register", type(engine.registry), "remove")):
        kept = getattr(owner, method)
        monkeypatch.setattr(owner, method, lambda self, run, kept=kept, name=name: (undone.append(name), kept(self, run))[1])
    arm(bench, step, Fault())
    with pytest.raises(errors.StartAborted):
        bench.start("sleeper")
    expected = [name for name in ("register", "place", "spawn") if START_STEPS.index(name) < START_STEPS.index(step)]
    first = [name for name in undone if name in ("register", "spawn") or "place" in expected][: len(expected)]
    assert first == expected


@pytest.mark.parametrize("step", AFTER)
def test_a_ghost_start_stays_and_runs_at_the_next_open(make_bench: Callable[..., Workbench], step: str) -> None:
    bench = make_bench(ghost_starts=True)
    arm(bench, step, Fault())
    with pytest.raises(errors.StartAborted) as caught:
        bench.start("three", id="w")
    assert bench.kinds("w") == ["WorkflowStarted"] and bench.history("w")[0].deferred
    assert bench.status("w") is Status.RUNNING and caught.value.workflow_id == "w"
    assert bench.call("registry") == [] and pids(bench) == [] and programs.calls == []
    with pytest.raises(errors.AlreadyStarted):
        bench.start("three", id="w")
    bench.crash()
    assert bench.result("w") == 12 and programs.calls == ["charge 1", "charge 2", "charge 3"]


def test_a_ghost_takes_signals_and_ends_like_any_open_run(make_bench: Callable[..., Workbench]) -> None:
    bench = make_bench(ghost_starts=True)
    for workflow_id in ("a", "b", "c"):
        arm(bench, "place", Fault())
        with pytest.raises(errors.StartAborted):
            bench.start("listener", "x", 1, id=workflow_id)
    bench.signal("a", "x", "early")
    bench.call("terminate", "b")
    bench.call("cancel", "c", None, "enough")
    assert bench.call("entry", "a").residency == "Stuck" and "ghost" in bench.call("entry", "a").waiting_for
    assert bench.status("b") is Status.TERMINATED
    bench.crash()
    assert bench.result("a") == ["early"]
    assert bench.outcome("c") == e.WorkflowCancelled("enough")


def test_a_ghost_can_be_retried_in_place(make_bench: Callable[..., Workbench]) -> None:
    bench = make_bench(ghost_starts=True)
    arm(bench, "register", Fault())
    with pytest.raises(errors.StartAborted):
        bench.start("three", id="w")
    assert bench.call("retry", "w") is True
    bench.host.pump()
    assert bench.result("w") == 12


def test_row_13_is_logged_and_never_fails_the_start(bench: Workbench, caplog: pytest.LogCaptureFixture) -> None:
    arm(bench, "flush", Fault("no flush"))
    assert bench.start("quick", id="w") == "w"
    assert bench.result("w") == 2 and "no flush" in caplog.text


def test_aborted_starts_leave_the_neighbours_of_their_turn_alone(bench: Workbench) -> None:
    requests = [StartRequest("quick", bench.values.encode_args((n,), {}), workflow_id=f"w{n}") for n in range(3)]
    arm(bench, "spawn", Fault())
    calls = [Call("start", request) for request in requests]
    for call in calls:
        bench.engine.submit(call)
    bench.host.pump()
    with pytest.raises(errors.StartAborted):
        calls[0].outcome()
    assert [bench.result(f"w{n}") for n in (1, 2)] == [2, 3]


def test_two_starts_of_one_id_in_a_turn(bench: Workbench) -> None:
    """The second sees the first, aborted or not, before either is committed."""
    arm(bench, "spawn", Fault())
    requests = [StartRequest(name, bench.values.encode_args((), {}), workflow_id="w") for name in ("sleeper", "sleeper", "quick")]
    calls = [Call("start", request) for request in requests]
    for call in calls:
        bench.engine.submit(call)
    bench.host.pump()
    outcomes: list[Any] = []
    for call in calls:
        try:
            outcomes.append(call.outcome())
        except errors.AionError as error:
            outcomes.append(type(error))
    assert outcomes == [errors.StartAborted, ("w", "run-0002"), errors.AlreadyStarted]
    assert [(row.run_id, row.parent_run_id) for row in bench.store.run_chain("w")] == [("run-0001", None), ("run-0002", "run-0001")]


# --- attributes --------------------------------------------------------------------------------------------------------


def test_attributes_are_visible_with_the_start(bench: Workbench) -> None:
    bench.call("register_attribute", "customer", "keyword")
    bench.call("register_attribute", "total", "float")
    commits = bench.store.commits
    bench.start("sleeper", id="w", attributes={"customer": "ann", "total": 2})
    assert bench.store.commits == commits + 1
    assert [row.workflow_id for row in bench.call("runs", having({"customer": "ann"}))] == ["w"]
    assert bench.call("run", "w").attributes == {"customer": "ann", "total": 2.0}
    assert bench.kinds("w")[:2] == ["WorkflowStarted", "SearchAttributesUpdated"]
    bench.crash()
    assert bench.call("run", "w").attributes == {"customer": "ann", "total": 2.0}


def test_an_attribute_of_none_is_not_kept(bench: Workbench) -> None:
    bench.call("register_attribute", "customer", "keyword")
    bench.start("sleeper", id="w", attributes={"customer": None})
    assert bench.call("run", "w").attributes == {}


@pytest.mark.parametrize(
    "attributes",
    [
        {"customer": "ann", "unknown": 1},
        {"customer": 3},
        {"total": "much", "customer": "ann"},
        {"customer": "a" * 5000},
        {"customer": "a\0b"},
        {"customer": "\ud800"},
        {"total": float("nan")},
        {3: "x"},
    ],
    ids=lambda attributes: str(attributes)[:24],
)
def test_all_attributes_are_checked_before_anything_is_written(bench: Workbench, attributes: dict[Any, Any]) -> None:
    bench.call("register_attribute", "customer", "keyword")
    bench.call("register_attribute", "total", "float")
    before = snapshot(bench)
    with pytest.raises(errors.InvalidAttribute):
        bench.start("sleeper", id="w", attributes=attributes)
    assert snapshot(bench) == before


def test_an_unknown_attribute_names_its_neighbour(bench: Workbench) -> None:
    bench.call("register_attribute", "customer", "keyword")
    with pytest.raises(errors.InvalidAttribute, match="did you mean 'customer'"):
        bench.start("sleeper", attributes={"custmer": "ann"})


# --- names and input ---------------------------------------------------------------------------------------------------

BAD_NAMES = ["", " ", "x" * 10_240, "a\0b", "a\x1bb", "a\nb", "\ud800", "a\u202eb", "a\u200bb", 7, None.__class__, b"w"]


@pytest.mark.parametrize("name", BAD_NAMES, ids=lambda name: repr(name)[:12])
def test_bad_names_are_refused_everywhere_with_nothing_written(bench: Workbench, name: Any) -> None:
    bench.start("with_handlers", id="w")
    before = snapshot(bench)
    payload = bench.values.encode(1)
    for verb, arguments in (
        ("start", (StartRequest("sleeper", payload, workflow_id=name),)),
        ("start", (StartRequest(name, payload),)),
        ("start", (StartRequest("sleeper", payload, idempotency_key=name),)),
        ("signal", (name, "add", payload)),
        ("signal", ("w", name, payload)),
        ("signal", ("w", "add", payload, None, name)),
        ("signal", ("w", "add", payload, name)),
        ("query", (name, "n", payload)),
        ("query", ("w", name, payload)),
        *((verb, (name,)) for verb in ("cancel", "terminate", "pause", "resume", "suspend", "retry", "result", "history", "run")),
    ):
        with pytest.raises(errors.InvalidName):
            bench.call(verb, *arguments)
    assert snapshot(bench) == before and not bench.engine.halted


def test_two_spellings_of_one_name_are_one_name(bench: Workbench) -> None:
    async def accented() -> Any:
        workflow.on_query("e\u0301tat", lambda: "ici")
        return await workflow.receive("cafe\u0301")

    bench.workflow(accented)
    assert bench.start("accented", id="e\u0301te\u0301") == "\u00e9t\u00e9"
    assert bench.values.decode(bench.call("query", "\u00e9t\u00e9", "\u00e9tat", bench.values.encode_args((), {}))) == "ici"
    bench.signal("e\u0301te\u0301", "caf\u00e9", 1)
    assert bench.result("\u00e9t\u00e9") == 1
    with pytest.raises(errors.RunClosed):
        bench.signal("\u00e9t\u00e9", "x")


def test_an_unknown_workflow_lists_the_known_ones(bench: Workbench) -> None:
    before = snapshot(bench)
    with pytest.raises(errors.WorkflowNotFound) as caught:
        bench.start("ordre")
    assert set(caught.value.known) == {fn.__name__ for fn in programs.WORKFLOWS}
    assert snapshot(bench) == before


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (object(), "input[0]"),
        ({"items": [1, {"conn": print}]}, "input[0]['items'][1]['conn']"),
        (float("nan"), "input[0]"),
        (float("inf"), "input[0]"),
        ("\ud800", "input[0]"),
    ],
    ids=["object", "function", "nan", "inf", "surrogate"],
)
def test_input_that_cannot_be_recorded_names_its_path(bench: Workbench, value: object, path: str) -> None:
    before = snapshot(bench)
    with pytest.raises(errors.InvalidPayload) as caught:
        bench.start("quick", value, id="w")
    assert caught.value.path.replace(".items", "['items']").replace(".conn", "['conn']") == path
    with pytest.raises(errors.InvalidPayload):
        bench.signal("nobody", "x", value)
    assert snapshot(bench) == before


def test_input_over_the_limit_is_refused(bench: Workbench) -> None:
    before, limit = snapshot(bench), bench.values.limit
    with pytest.raises(errors.PayloadTooLarge) as caught:
        bench.start("quick", "x" * limit)
    assert caught.value.limit == limit and caught.value.size > limit
    assert snapshot(bench) == before
    bench.start("listener", "x", 1, id="w")
    with pytest.raises(errors.PayloadTooLarge):
        bench.signal("w", "x", "x" * (limit - 1))
    bench.signal("w", "x", "x" * (limit - 2))
    assert isinstance(bench.outcome("w"), e.WorkflowFailed)  # a list of one such text is two bytes too long for a result


def test_input_the_code_cannot_take_fails_the_run(bench: Workbench) -> None:
    bench.start("quick", 1, 2, 3, id="w")
    with pytest.raises(TypeError, match="positional"):
        bench.result("w")


# --- ids, keys and chains ----------------------------------------------------------------------------------------------


def test_an_id_in_use(bench: Workbench) -> None:
    bench.start("sleeper", id="w")
    before = snapshot(bench)
    with pytest.raises(errors.AlreadyStarted) as caught:
        bench.start("order", id="w")
    assert (caught.value.workflow_id, caught.value.run_id, caught.value.status) == ("w", "run-0001", "Running")
    bench.call("pause", "w")
    with pytest.raises(errors.AlreadyStarted, match="Paused"):
        bench.start("order", id="w")
    assert snapshot(bench)[0][0][1][:2] == before[0][0][1][:2]


def test_a_new_run_follows_a_closed_one(bench: Workbench) -> None:
    for n in range(3):
        bench.start("quick", n, id="w")
    rows = bench.store.run_chain("w")
    assert [row.run_id for row in rows] == ["run-0001", "run-0002", "run-0003"]
    assert [row.parent_run_id for row in rows] == [None, "run-0001", "run-0002"]
    history = bench.history("w")
    assert [recorded.seq for recorded in history] == [1, 2, 3, 4, 5, 6]
    assert history[4].event.parent_run_id == "run-0002"
    assert bench.call("result", "w")[1] == "run-0003"
    assert [bench.values.decode(bench.call("result", "w", row.run_id)[2].result) for row in rows] == [1, 2, 3]
    bench.crash()
    assert bench.start("sleeper", id="w") == "w"
    assert bench.store.run_chain("w")[-1].parent_run_id == "run-0003"
    with pytest.raises(errors.RunClosed):
        bench.call("signal", "w", "x", bench.values.encode(1), "run-0001")


def test_an_idempotency_key_starts_once(bench: Workbench) -> None:
    def start(name: str = "sleeper", digest: str = "d") -> Any:
        return bench.call("start", StartRequest(name, bench.values.encode_args((), {}), idempotency_key="k", digest=digest))

    first = start()
    before = snapshot(bench)
    assert start() == first
    bench.crash()
    assert start() == first
    with pytest.raises(errors.InvalidOption, match="another request"):
        start(digest="other")
    bench.call("terminate", first[0])
    assert start() == first
    assert len(snapshot(bench)[0]) == len(before[0]) == 1


def test_the_same_key_twice_in_one_turn(bench: Workbench) -> None:
    request = StartRequest("sleeper", bench.values.encode_args((), {}), idempotency_key="k", digest="d")
    calls = [Call("start", request) for _ in range(3)]
    for call in calls:
        bench.engine.submit(call)
    bench.host.pump()
    assert len({call.outcome() for call in calls}) == 1 and len(bench.store.ids()) == 1


def test_a_deadline_ends_the_run(bench: Workbench) -> None:
    bench.start("sleeper", 3600, id="w", deadline=60 * SECOND)
    begun = bench.clock.now()
    bench.skip(59 * SECOND)
    assert bench.outcome("w") is None
    bench.crash()
    bench.skip(SECOND)
    assert bench.outcome("w") == e.WorkflowTimedOut(begun + 60 * SECOND)
    assert bench.status("w") is Status.TIMED_OUT and bench.store.due_timers(2**62) == []
    bench.skip(3600 * SECOND)
    assert events(bench, "w")[-1] == e.WorkflowTimedOut(begun + 60 * SECOND)


@pytest.mark.parametrize("deadline", [0, -1])
def test_a_deadline_in_the_past_is_refused(bench: Workbench, deadline: int) -> None:
    before = snapshot(bench)
    with pytest.raises(errors.InvalidOption):
        bench.start("sleeper", deadline=deadline)
    assert snapshot(bench) == before


def test_a_run_that_beats_its_deadline_leaves_no_timer(bench: Workbench) -> None:
    bench.start("quick", id="w", deadline=SECOND)
    assert bench.kinds("w") == ["WorkflowStarted", "TimerStarted", "WorkflowCompleted"]
    bench.skip(10 * SECOND)
    assert len(bench.history("w")) == 3


def test_the_seed_is_recorded_and_draws_follow_it(bench: Workbench) -> None:
    async def draws() -> list[Any]:
        first = [workflow.random().random(), str(workflow.uuid4())]
        await asyncio.sleep(1)
        return [*first, workflow.random().random()]

    bench.workflow(draws)
    bench.start("draws", id="a")
    bench.start("draws", id="b")
    bench.crash()
    bench.skip(SECOND)
    assert bench.result("a") != bench.result("b")
    assert events(bench, "a")[0].seed != events(bench, "b")[0].seed
