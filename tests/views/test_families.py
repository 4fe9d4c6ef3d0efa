"""Children and chains as every view draws them."""
from __future__ import annotations

from aionlab.core import events as e
from aionlab.core.clock import Micros
from aionlab.core.ids import WorkflowId
from aionlab.core.ports import Run
from aionlab.core.snapshots import Node
from aionlab.core.status import Status
from aionlab.views.card import RunCard
from aionlab.views.eventlist import EventList
from aionlab.views.frames import events_frame, groups_frame
from aionlab.views.groups import groups, story
from aionlab.views.timeline import Timeline
from aionlab.views.tree import Tree, tree_frame
from tests.views import histories as hist

SECOND = 1_000_000


def child(number: int, name: str = "ship") -> e.ChildWorkflowStarted:
    return e.ChildWorkflowStarted(number, WorkflowId(f"o-1/{name}-{number}"), name, hist.payload([number]))


def family() -> list[e.Recorded]:
    told = hist.History().add(hist.started(), child(0), child(1, "pack"), child(2), child(3), child(4), child(5))
    told.after(5 * SECOND).add(e.ChildWorkflowCompleted(0, hist.payload("shipped")))
    told.after(SECOND).add(e.ChildWorkflowFailed(1, hist.failure()), e.ChildWorkflowCancelRequested(2), e.ChildWorkflowCancelled(2, "late"))
    told.after(SECOND).add(e.ChildWorkflowTerminated(3, "enough", "said Ada"), e.ChildWorkflowTimedOut(4, Micros(hist.T0)))
    return told.events


def run(events: list[e.Recorded], status: Status = Status.RUNNING) -> Run:
    first = events[0]
    return Run(1, 1, first.workflow_id, first.run_id, "order", "v" * 40, status, first.at)


def test_a_group_for_each_child() -> None:
    found = groups(family())
    assert [(group.id, group.kind, group.status) for group in found] == [
        ("child#0", "child", "Completed"), ("child#1", "child", "Failed"), ("child#2", "child", "Cancelled"), ("child#3", "child", "Terminated"),
        ("child#4", "child", "TimedOut"), ("child#5", "child", "Running"),
    ]  # fmt: skip
    first, second = found[0], found[1]
    assert (first.name, first.input, first.result) == ("ship (o-1/ship-0)", "[0]", '"shipped"')
    assert "the card was declined" in second.failure and first.wait == 0
    assert first.closed_at == first.started_at + 5 * SECOND


def test_a_run_with_an_open_child_does_not_wait_for_a_message() -> None:
    (span,) = story(family()).spans
    assert span.idle_since is None
    told = hist.History().add(hist.started(), child(0)).after(SECOND).add(e.ChildWorkflowCompleted(0, hist.payload(1)))
    (span,) = story(told.events).spans
    assert span.idle_since is not None


def test_children_that_outlive_their_parent() -> None:
    told = hist.History().add(hist.started(), child(0)).after(SECOND).add(e.WorkflowContinuedAsNew(hist.payload([2]), "run-2"))
    (group,) = groups(told.events)
    assert group.status == "Abandoned"
    (span,) = story(told.events).spans
    assert span.status is Status.CONTINUED_AS_NEW


def test_frames() -> None:
    frame = groups_frame(family())
    assert list(frame["kind"]) == ["child"] * 6 and list(frame["attempts"]) == [1] * 6
    events = events_frame(family())
    assert list(events["name"])[1:] == ["ship", "pack", "ship", "ship", "ship", "ship", "ship", "pack", "ship", "ship", "ship", "ship"]
    assert list(events["ref"].fillna(-9))[:4] == [-9, 0, 1, 2]
    assert list(events["kind"])[1:] == ["answer"] * 6 + ["fact"] * 2 + ["answer"] + ["fact"] * 3


def test_the_timeline() -> None:
    events = family()
    text = str(Timeline(tuple(events), Micros(events[-1].at + SECOND), "child ship (o-1/ship-5)"))
    for line in ("✓ child#0 ship (o-1/ship", "✗ child#1 pack", "⊘ child#2", "⊘ child#3", "◷ child#4", "▸ child#5"):
        assert line in text, text


def test_the_list_of_events() -> None:
    text = str(EventList(family(), cells=140))
    assert "child#0 ship  o-1/ship-0 [0]" in text and "enough; said Ada" in text and "late" in text
    chain = hist.History().add(hist.started(), e.WorkflowContinuedAsNew(hist.payload([2]), "run-2", "other")).events
    assert "[2] as run-2" in str(EventList(chain, cells=140))


def test_the_card_shows_parent_and_children() -> None:
    events = family()
    text = str(RunCard(run(events), tuple(events)))
    assert "6 children" in text and "child#1  pack (o-1/pack-1)" in text and "✗ Failed" in text
    of_somebody = hist.History().add(e.WorkflowStarted("ship", "v1", hist.payload(1), 1, "3.11", parent_workflow_id=WorkflowId("o-9"))).events
    assert "child of" in str(RunCard(run(of_somebody), tuple(of_somebody))) and "o-9" in str(RunCard(run(of_somebody), tuple(of_somebody)))
    assert "child" not in str(RunCard(run(hist.order()), tuple(hist.order())))


def test_the_card_of_a_run_that_went_on_names_the_next() -> None:
    chain = hist.History().add(hist.started(), e.WorkflowContinuedAsNew(hist.payload([2]), "run-2")).events
    assert "goes on as  run-2" in str(RunCard(run(chain, Status.CONTINUED_AS_NEW), tuple(chain)))


def test_many_children_are_cut() -> None:
    told = hist.History().add(hist.started(), *[child(n) for n in range(50)])
    text = str(RunCard(run(told.events), tuple(told.events)))
    assert "last of 50 children" in text and "child#49" in text and "child#29 " not in text.partition("last of 51")[0]


def test_the_tree_shows_children_as_links() -> None:
    link = Node(5, "child", "o-1/ship-0", "Running", 0, 0, Micros(hist.T0), "a ship, child#0")
    root = Node(1, "root", "lab", "Running", 0, 3, Micros(hist.T0), children=(Node(2, "workflow", "o-1", "Running", 0, 0, Micros(hist.T0), "", (link,)),))
    assert "└─ → o-1/ship-0" in str(Tree(root))
    assert list(tree_frame(root)["kind"]) == ["root", "workflow", "child"] and list(tree_frame(root)["name"])[-1] == "o-1/ship-0"
