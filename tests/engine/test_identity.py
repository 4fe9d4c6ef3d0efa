"""Who may have a workflow id or an idempotency key: the policies, row by row, and what races between starts come to."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from aionlab.core import errors
from aionlab.core import events as e
from aionlab.core.status import Status
from aionlab.engine.call import Call
from aionlab.engine.lifecycle.identity import CONFLICT, REUSE
from aionlab.engine.lifecycle.start import StartRequest
from aionlab.testing.faults import Crash, FaultyStore
from aionlab.testing.points import arm
from aionlab.testing.workbench import Workbench
from tests.engine import programs
from tests.engine.programs import SECOND, of, snapshot


def request(bench: Workbench, name: str = "listener", *args: Any, id: str | None = "w", **options: Any) -> StartRequest:  # noqa: A002 - as the word of the API
    return StartRequest(name, bench.values.encode_args(args, {}), workflow_id=id, **options)


def together(bench: Workbench, *requests: StartRequest) -> list[Any]:
    """Several starts in one turn; what each answered or raised."""
    asked = [Call("start", each) for each in requests]
    for call in asked:
        bench.engine.submit(call)
    bench.host.pump()
    outcomes: list[Any] = []
    for call in asked:
        try:
            outcomes.append(call.outcome())
        except errors.AionError as error:
            outcomes.append(type(error))
    return outcomes


def closed(bench: Workbench, status: Status) -> str:
    """A run of listener under the id w that has ended this way; its run id."""
    bench.start("listener", "x", 1, id="w", deadline=SECOND)
    match status:
        case Status.COMPLETED:
            bench.signal("w", "x", 1)
        case Status.FAILED:
            bench.crash()
            bench.call("terminate", "w")
            bench.start("failing_run", id="w")
        case Status.CANCELLED:
            bench.call("cancel", "w")
        case Status.TERMINATED:
            bench.call("terminate", "w")
        case _:
            bench.skip(SECOND)
    assert bench.status("w") is status
    return str(bench.call("run", "w").run_id)


ENDED = [Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.TERMINATED, Status.TIMED_OUT]


# --- id_reuse ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ENDED, ids=str)
@pytest.mark.parametrize("reuse", REUSE)
@pytest.mark.parametrize("crash", [False, True])
def test_a_closed_id_is_reused_as_the_policy_says(bench: Workbench, status: Status, reuse: str, crash: bool) -> None:
    existing = closed(bench, status)
    if crash:
        bench.crash()
    before = snapshot(bench)
    name = "failing_run" if status is Status.FAILED else "listener"
    asked = request(bench, name, id_reuse=reuse)
    if reuse == "reject" or (reuse == "allow_failed_only" and status is Status.COMPLETED):
        with pytest.raises(errors.AlreadyStarted) as caught:
            bench.call("start", asked)
        assert (caught.value.run_id, caught.value.status, caught.value.id_reuse) == (existing, status.value, reuse)
        assert existing in str(caught.value) and reuse in str(caught.value)
    elif reuse == "use_existing":
        assert bench.call("start", asked) == ("w", existing)
    else:
        assert bench.call("start", asked)[1] != existing
        assert bench.store.run_chain("w")[-1].parent_run_id == existing
        return
    assert snapshot(bench) == before


def test_given_a_closed_id_when_restarted_with_reject_then_an_error_carrying_the_existing_run_id(bench: Workbench) -> None:
    """B03."""
    existing = closed(bench, Status.COMPLETED)
    with pytest.raises(errors.AlreadyStarted) as caught:
        bench.call("start", request(bench, id_reuse="reject"))
    assert caught.value.run_id == existing
    assert bench.call("start", request(bench, id_reuse="allow"))[1] != existing


def test_given_a_completed_id_when_the_same_call_is_made_again_then_the_recorded_result_returns(bench: Workbench) -> None:
    """B04: the same call again is `use_existing` for both policies, or an idempotency key."""
    again = {"id_reuse": "use_existing", "id_conflict": "use_existing"}
    first = bench.call("start", request(bench, "three", **again))
    assert bench.result("w") == 12 and len(programs.calls) == 3
    before = snapshot(bench)
    assert bench.call("start", request(bench, "three", **again)) == first
    assert bench.result("w") == 12 and len(programs.calls) == 3 and snapshot(bench) == before
    failed = bench.call("start", request(bench, "failing_run", id="f", **again))
    assert bench.call("start", request(bench, "failing_run", id="f", **again)) == failed
    with pytest.raises(ValueError, match="no"):
        bench.result("f")


@pytest.mark.parametrize("options", [{"id_reuse": "sometimes"}, {"id_conflict": "reject"}, {"id_reuse": None}, {"id_conflict": 7}], ids=str)
def test_a_word_that_is_no_policy_is_refused(bench: Workbench, options: dict[str, Any]) -> None:
    before = snapshot(bench)
    with pytest.raises(errors.InvalidOption, match="is none of"):
        bench.call("start", request(bench, **options))
    assert snapshot(bench) == before


# --- id_conflict -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("conflict", CONFLICT)
def test_an_open_id_is_used_as_the_policy_says(bench: Workbench, conflict: str, paused: bool) -> None:
    bench.start("listener", id="w")
    if paused:
        bench.call("pause", "w")
    before = snapshot(bench)
    if conflict == "fail":
        with pytest.raises(errors.AlreadyStarted, match="use another id") as caught:
            bench.call("start", request(bench, id_conflict=conflict))
        assert caught.value.run_id == "run-0001" and snapshot(bench) == before
    elif conflict == "use_existing":
        assert bench.call("start", request(bench, id_conflict=conflict)) == ("w", "run-0001") and snapshot(bench) == before
    else:
        commits = bench.store.commits
        assert bench.call("start", request(bench, id_conflict=conflict)) == ("w", "run-0002")
        assert bench.store.commits == commits + 1, "the end of the one and the start of the other are one commit"
        assert [row.status for row in bench.store.run_chain("w")] == [Status.TERMINATED, Status.RUNNING]
        assert bench.outcome("w") == e.WorkflowTerminated("replaced by run run-0002")
        bench.signal("w", "x", 1)
        bench.signal("w", "x", 2)
        assert bench.status("w") is Status.COMPLETED


def test_given_an_id_used_by_function_f_when_g_is_started_under_it_then_the_error_says_so(bench: Workbench) -> None:
    """B06, whatever the policies."""
    bench.start("listener", id="w")
    for conflict in ("fail", "use_existing"):
        with pytest.raises(errors.AlreadyStarted, match="as workflow 'listener', a different one") as caught:
            bench.call("start", request(bench, "sleeper", id_conflict=conflict))
        assert caught.value.workflow_type == "listener"
    bench.call("terminate", "w")
    with pytest.raises(errors.AlreadyStarted, match="as workflow 'listener', a different one"):
        bench.call("start", request(bench, "sleeper", id_reuse="use_existing"))
    assert len(bench.store.run_chain("w")) == 1


def test_starts_of_one_id_in_one_turn(bench: Workbench) -> None:
    use, end = {"id_conflict": "use_existing"}, {"id_conflict": "terminate_existing"}
    outcomes = together(bench, *(request(bench, **options) for options in (use, use, {}, end, use, end)))
    assert outcomes == [("w", "run-0001"), ("w", "run-0001"), errors.AlreadyStarted, ("w", "run-0004"), ("w", "run-0004"), ("w", "run-0006")]
    assert [row.status for row in bench.store.run_chain("w")] == [Status.TERMINATED, Status.TERMINATED, Status.RUNNING]
    before = snapshot(bench)
    bench.crash()
    assert snapshot(bench) == before


@pytest.mark.parametrize("ghosts", [False, True])
def test_a_start_that_is_rolled_back_has_replaced_the_open_run_all_the_same(make_bench: Callable[..., Workbench], ghosts: bool) -> None:
    bench = make_bench(ghost_starts=ghosts)
    bench.start("listener", id="w")
    arm(bench, "place")
    with pytest.raises(errors.StartAborted):
        bench.call("start", request(bench, id_conflict="terminate_existing"))
    assert [row.status for row in bench.store.run_chain("w")] == [Status.TERMINATED, Status.RUNNING if ghosts else Status.FAILED]
    bench.crash()
    assert bench.status("w") is (Status.RUNNING if ghosts else Status.FAILED)


def test_a_ghost_is_replaced_too(make_bench: Callable[..., Workbench]) -> None:
    bench = make_bench(ghost_starts=True)
    arm(bench, "place")
    with pytest.raises(errors.StartAborted):
        bench.call("start", request(bench))
    assert bench.call("start", request(bench, id_conflict="terminate_existing"))[1] != "run-0001"
    assert [row.status for row in bench.store.run_chain("w")] == [Status.TERMINATED, Status.RUNNING]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("how", ["crash", "doubt", "full"])
def test_replacing_a_run_happens_whole_or_not_at_all(bench: Workbench, how: str, after: bool) -> None:
    bench.start("listener", id="w")
    store = bench.store
    assert isinstance(store, FaultyStore)
    asked = request(bench, id_conflict="terminate_existing")
    if how == "crash":
        store.crash(store.commits + 1, after=after)
        with pytest.raises(Crash):
            bench.call("start", asked)
        bench.crash()
    elif how == "doubt":
        store.doubt(written=after)
        call = bench.host.ask(Call("start", asked))
        bench.host.pump()
        assert call.poll()
    else:
        if after:
            store.fail_next(lambda: errors.StoreFull("full"))
        else:
            store.fail_next(lambda: errors.StoreFull("full"), times=2)
        call = bench.host.ask(Call("start", asked))
        bench.host.pump()
    done = after and how != "full"
    expected = [Status.TERMINATED, Status.RUNNING] if done else [Status.RUNNING]
    bench.crash()
    assert [row.status for row in bench.store.run_chain("w")] == expected
    bench.call("start", request(bench, id_conflict="use_existing"))
    assert len(bench.store.run_chain("w")) == len(expected)


# --- idempotency keys --------------------------------------------------------------------------------------------------


def test_a_key_belongs_to_one_request(bench: Workbench) -> None:
    def start(id: str | None, digest: str = "d", **options: Any) -> Any:  # noqa: A002 - as the word of the API
        return bench.call("start", request(bench, id=id, idempotency_key="k", digest=digest, **options))

    first = start("a")
    assert start("a") == start(None) == start("minted-1", minted=True) == first
    for crash in (False, True):
        if crash:
            bench.crash()
        with pytest.raises(errors.InvalidOption, match="another request"):
            start("b")
        with pytest.raises(errors.InvalidOption, match="another request"):
            start("a", "other")
    bench.call("terminate", "a")
    bench.start("listener", id="a")
    assert start("a") == first, "the run it has started, not the newest of the id"
    assert bench.store.ids() == ["a"]


def test_a_key_comes_before_the_policies(bench: Workbench) -> None:
    options = {"idempotency_key": "k", "digest": "d"}
    first = bench.call("start", request(bench, **options))
    for policies in ({"id_conflict": "fail"}, {"id_conflict": "terminate_existing"}, {"id_reuse": "reject"}):
        assert bench.call("start", request(bench, **options, **policies)) == first
    assert len(bench.store.run_chain("w")) == 1


def test_many_keys_in_one_turn(bench: Workbench) -> None:
    asked = [request(bench, id=None, idempotency_key=f"k{n % 50}", digest="d") for n in range(200)]
    outcomes = together(bench, *asked)
    assert len(set(outcomes)) == 50 and outcomes[:50] * 4 == outcomes


def test_a_start_that_is_rolled_back_gives_its_key_back(make_bench: Callable[..., Workbench]) -> None:
    bench = make_bench()
    asked = request(bench, id=None, idempotency_key="k", digest="d")
    arm(bench, "register")
    with pytest.raises(errors.StartAborted):
        bench.call("start", asked)
    second = bench.call("start", asked)
    assert bench.call("run", second[0]).status is Status.RUNNING and bench.call("start", asked) == second


def test_a_ghost_keeps_its_key(make_bench: Callable[..., Workbench]) -> None:
    bench = make_bench(ghost_starts=True)
    asked = request(bench, id=None, idempotency_key="k", digest="d")
    arm(bench, "register")
    with pytest.raises(errors.StartAborted) as caught:
        bench.call("start", asked)
    assert bench.call("start", asked) == (caught.value.workflow_id, caught.value.run_id)


@pytest.mark.parametrize("written", [False, True])
def test_a_start_whose_answer_was_lost_is_asked_again_with_its_key(bench: Workbench, written: bool) -> None:
    """E12, and the reason for keys: the caller does not know, and asks again."""
    store = bench.store
    assert isinstance(store, FaultyStore)
    asked = request(bench, "quick", id=None, idempotency_key="k", digest="d")
    store.doubt(written=written)
    bench.host.ask(Call("start", asked))
    bench.host.pump()
    bench.crash()
    workflow_id, _ = bench.call("start", asked)
    assert bench.result(workflow_id) == 2 and bench.store.ids() == [workflow_id]
    assert len(of(bench, workflow_id, e.WorkflowStarted)) == 1
