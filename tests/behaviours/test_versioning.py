"""Versions and patches, as peer suites pin them down."""
from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from aionlab import activity, workflow
from aionlab.core import errors
from aionlab.core import events as e
from tests.behaviours.reading import of

CALLS: list[str] = []


@activity
def old() -> str:
    CALLS.append("old")
    return "old"


@activity
def new() -> str:
    CALLS.append("new")
    return "new"


@workflow(name="flow")
async def before() -> str:
    found = await old()
    await workflow.receive("go")
    return found


@workflow(name="flow")
async def patched() -> str:
    found = await (new() if workflow.patched("p") else old())
    await workflow.receive("go")
    return found


@workflow(name="flow")
async def deprecated() -> str:
    workflow.deprecate_patch("p")
    found = await new()
    await workflow.receive("go")
    return found


@workflow(name="flow")
async def removed() -> str:
    found = await new()
    await workflow.receive("go")
    return found


FLOWS = {"before": before, "patched": patched, "deprecated": deprecated, "removed": removed}
AGREES = {("before", "patched"), ("patched", "deprecated"), ("deprecated", "removed"), ("removed", "deprecated")}
"""(what a run began under, what it is moved to), where its history agrees."""


@pytest.mark.parametrize(("wrote", "reads"), [pair for pair in product(FLOWS, FLOWS) if pair[0] != pair[1]])
def test_given_pre_patch_patched_deprecated_and_removed_code_in_turn_then_each_run_keeps_its_branch(lab: Any, wrote: str, reads: str) -> None:
    """G01 Given pre-patch, patched, deprecated and removed code in turn, then old runs keep the old branch, new runs the new, and deprecated
    accepts both marked and unmarked.

    Ours: runs stay on the version they began under; what the sentence says holds when they are moved to the next one.
    """
    handle = lab.start(FLOWS[wrote], id="w")
    lab.define(FLOWS[reads], audit=False)
    CALLS.clear()
    if (wrote, reads) in AGREES:
        assert "went from" in handle.move()
    else:
        with pytest.raises(errors.NondeterminismError):
            handle.move()
    assert CALLS == []
    expected = "old" if wrote == "before" else "new"
    handle.signal("go")
    assert handle.result() == expected
    fresh = lab.start("flow")
    fresh.signal("go")
    assert fresh.result() == ("old" if reads == "before" else "new")


@workflow(name="stacked")
async def plain() -> list[str]:
    found = [await old()]
    await workflow.receive("go")
    return found


@workflow(name="stacked")
async def first_patch() -> list[str]:
    found = [await (new() if workflow.patched("a") else old())]
    await workflow.receive("go")
    return found


@workflow(name="stacked")
async def second_patch() -> list[str]:
    if workflow.patched("b"):
        found = [await new(), await new()]
    else:
        found = [await (new() if workflow.patched("a") else old())]
    await workflow.receive("go")
    return found


@workflow(name="stacked")
async def no_patches() -> list[str]:
    found = [await new(), await new()]
    await workflow.receive("go")
    return found


def test_given_two_stacked_patches_then_runs_of_three_ages_each_recover_to_their_own_branch_and_after_removal_fail_with_a_named_error(
    lab: Any, lab_factory: Callable[..., Any]
) -> None:
    """G03 Given two stacked patches, then runs marked v1/v2/v3 each recover to their own branch; after removal, marked runs fail cleanly with a
    named error.

    Ours: the error refuses the move, or leaves the run stuck; it never fails the run.
    """
    for name, flow in (("v1", plain), ("v2", first_patch), ("v3", second_patch)):
        lab.start(flow, id=name)
    marks = {name: [mark.patch_id for mark in of(lab.get(name), e.PatchMarked)] for name in ("v1", "v2", "v3")}
    assert marks == {"v1": [], "v2": ["a"], "v3": ["b"]}
    for name in ("v1", "v2"):
        assert "went from" in lab.move(name)
    lab.close()
    again = lab_factory("lab")
    again.define(no_patches, audit=False)
    for name in ("v2", "v3"):
        with pytest.raises(errors.NondeterminismError, match="patch") as parted:
            again.move(name)
        assert marks[name][0] in str(parted.value) and "deprecate_patch" in parted.value.suggestion
    for name, found in (("v1", ["old"]), ("v2", ["new"]), ("v3", ["new", "new"])):
        again.signal(name, "go")
        assert again.get(name).result() == found


@workflow(name="counted")
async def one_way(n: int) -> int:
    await workflow.receive("go")
    return n + 1


@workflow(name="counted")
async def other_way(n: int) -> int:
    await workflow.receive("go")
    return n + 2


def test_given_workflow_source_unchanged_or_changed_then_the_version_is_equal_or_different_and_runs_stay_on_theirs(
    lab: Any, lab_factory: Callable[..., Any]
) -> None:
    """G04 Given workflow source unchanged/changed, then the computed version is equal/different, and recovery skips runs of another version.

    Ours: the code of every version is kept, so a run of another version is not skipped but comes back under its own.
    """
    first = lab.define(one_way)
    assert lab.define(one_way).version == first.version
    handle = lab.start(one_way, 1, id="w")
    second = lab.define(other_way)
    assert second.version != first.version and second.is_new and second.staying == ((first.version, 1),)
    assert len(lab.versions("counted")) == 2
    lab.close()
    again = lab_factory("lab")
    assert again.define(other_way).version == second.version
    again.start(other_way, 1, id="v")
    for name, result in (("w", 2), ("v", 3)):
        again.signal(name, "go")
        assert again.get(name).result() == result
    assert handle.id == "w"


def test_comments_and_blank_lines_make_no_version(lab: Any) -> None:
    """G04, its neighbour: only what runs counts."""

    def made(more: bool) -> Any:
        if more:

            @workflow(name="w1")  # the same
            async def flow(n: int) -> int:
                # with a comment

                return n + 1

            return flow

        @workflow(name="w1")
        async def flow(n: int) -> int:
            return n + 1

        return flow

    assert lab.define(made(False)).version == lab.define(made(True)).version and len(lab.versions("w1")) == 1
