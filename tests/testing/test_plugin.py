"""The pytest fixtures, as a project that uses aionlab has them."""
from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]
FLOWS = """
import random, time
from aionlab import activity, workflow

CALLS = []

@activity(retry=3)
def charge(n: int) -> str:
    CALLS.append(n)
    return f"r-{n}"

@workflow
async def order(n: int) -> str:
    receipt = await charge(n)
    if not await workflow.receive("approval", bool, timeout="3d", default=False):
        return "expired"
    await workflow.sleep("1d")
    return f"shipped {receipt}"

@workflow
async def fickle(n: int) -> None:
    if CALLS:
        await workflow.sleep(1)
    CALLS.append("fickle")
    await charge(n)

@workflow
async def parent(n: int) -> str:
    return await order(n)
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(flows=FLOWS)
    pytester.makeconftest("")
    return pytester


def outcomes(project: pytest.Pytester, text: str) -> pytest.RunResult:
    project.makepyfile(test_it="from flows import *\nimport flows, pytest\nfrom aionlab import errors\n" + text)
    return project.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:randomly")


def test_a_month_passes_in_a_moment(project: pytest.Pytester) -> None:
    outcomes(project, """
def test_shipped(lab):
    handle = lab.start(order, 7)
    handle.signal("approval", True)
    lab.clock.skip("30d")
    assert handle.result() == "shipped r-7"

def test_expired(lab):
    handle = lab.start(order, 7)
    lab.clock.skip("2d")
    assert handle.status.value == "Running"
    lab.clock.skip("2d")
    assert handle.result() == "expired"
""").assert_outcomes(passed=2)


def test_labs_are_fresh_and_several(project: pytest.Pytester) -> None:
    outcomes(project, """
@pytest.mark.parametrize("n", range(2))
def test_fresh(lab, lab_factory, n):
    assert len(lab.runs()) == 0
    lab.start(order, n, id="same")
    other = lab_factory()
    other.start(order, n, id="same")
    assert lab is not other
""").assert_outcomes(passed=2)


def test_code_that_disagrees_with_its_history_fails_the_test(project: pytest.Pytester) -> None:
    result = outcomes(project, """
def test_fickle(lab):
    lab.start(fickle, 1, id="fickle-1").result()
""")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*recorded histories no longer replay*", "*fickle-1*"])


def test_stand_ins_answer_fail_and_count(project: pytest.Pytester) -> None:
    outcomes(project, """
def test_returns(lab, stand_in):
    with stand_in(charge, returns="free") as charged:
        handle = lab.start(order, 7)
        handle.signal("approval", True)
        lab.clock.skip("2d")
        assert handle.result() == "shipped free"
        assert charged.calls == [((7,), {})] and charged.count == 1
    assert flows.CALLS.count(7) == 0

def test_raises_then_returns(lab, stand_in):
    with stand_in(charge, fn=lambda n: f"{n} by hand") as charged:
        handle = lab.start(order, 8)
        handle.signal("approval", True)
        lab.clock.skip("2d")
        assert handle.result() == "shipped 8 by hand"

def test_retries(lab, stand_in):
    with stand_in("charge", raises=[ValueError("one"), ValueError("two"), ValueError("three")]) if lab.define(order) else None as charged:
        handle = lab.start(order, 9)
        lab.clock.skip("1d")
        with pytest.raises(errors.WorkflowFailedError, match="three"):
            handle.result()
        assert charged.count == 3

def test_misuse(lab, stand_in):
    for wrong in ({}, {"returns": 1, "raises": ValueError()}):
        with pytest.raises(TypeError, match="one of"):
            with stand_in(charge, **wrong):
                pass
    with pytest.raises(LookupError, match="nobody"):
        with stand_in("nobody", returns=1):
            pass
""").assert_outcomes(passed=4)


def test_a_child_is_stood_in_for(project: pytest.Pytester) -> None:
    outcomes(project, """
def test_child(lab, stand_in):
    with stand_in(order, returns="double") as orders:
        assert lab.start(parent, 3).result() == "double"
        assert orders.calls == [((3,), {})]
    handle = lab.start(parent, 4)
    lab.signal(f"{handle.id}/order-0", "approval", True)
    lab.clock.skip("2d")
    assert handle.result() == "shipped r-4"

def test_a_child_that_fails(lab, stand_in):
    with stand_in(order, raises=ValueError("no stock")):
        with pytest.raises(errors.WorkflowFailedError, match="no stock"):
            lab.start(parent, 3).result()

def test_a_child_that_takes_its_time(lab, stand_in):
    async def slowly(n):
        await workflow.sleep("3d")
        return f"slow {n}"

    with stand_in(order, slowly) as orders:
        handle = lab.start(parent, 5)
        lab.get(f"{handle.id}/order-0").suspend()
        lab.clock.skip("4d")
        assert handle.result() == "slow 5" and orders.count == 1
""").assert_outcomes(passed=3)


@pytest.mark.parametrize("point", ["commit", "committed"])
def test_crashes_at_a_named_point(project: pytest.Pytester, point: str) -> None:
    outcomes(project, f"""
def test_crash(lab, crash_at):
    handle = lab.start(order, 5, id="o")
    with crash_at({point!r}) as crash:
        handle.signal("approval", True)
    again = crash.reopen()
    recorded = [r.event for r in again.get("o").history() if type(r.event).__name__ == "SignalReceived"]
    assert len(recorded) == {int(point == "committed")}
    if not recorded:
        again.signal("o", "approval", True)
    again.clock.skip("2d")
    assert again.get("o").result() == "shipped r-5"
    assert flows.CALLS.count(5) == 1

def test_it_must_be_passed(lab, crash_at):
    with pytest.raises(AssertionError, match="never passed"):
        with crash_at("mint"):
            pass

def test_after(lab, crash_at):
    with crash_at("mint", after=2) as crash:
        for n in range(5):
            lab.start(order, n, id=f"o-{{n}}")
    assert len(crash.reopen().runs()) == 2
""").assert_outcomes(passed=3)
