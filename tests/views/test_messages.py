"""Updates and sent signals in the views: one bar for an update, and words for each event."""
from __future__ import annotations

from aionlab.core import events as e
from aionlab.core.clock import Micros
from aionlab.core.ids import WorkflowId
from aionlab.views.detail import about, carried
from aionlab.views.groups import groups
from aionlab.views.timeline import Timeline
from tests.views import histories as hist
from tests.views.histories import S as SECOND


def text_of(shown: Timeline) -> str:
    return str(shown._repr_mimebundle_()["text/plain"])


def talked() -> hist.History:
    told = hist.History().add(hist.started(), e.UpdateAccepted("u-1", "set_qty", hist.payload([5])))
    told.after(2 * SECOND).add(e.UpdateCompleted("u-1", hist.payload(1)), e.UpdateAccepted("u-2", "pay", hist.payload([]), checked=False))
    told.after(SECOND).add(e.UpdateCompleted("u-2", error=hist.failure(), rejected=True), e.UpdateAccepted("u-3", "slow", hist.payload([])))
    told.add(e.SignalSent(0, WorkflowId("o-2"), "ready", hist.payload("box"), "r/0"), e.SignalDelivered(0))
    told.add(e.SignalSent(1, WorkflowId("nobody"), "ready", hist.payload("box"), "r/1"), e.SignalUndelivered(1))
    told.after(SECOND).add(e.WorkflowCompleted(hist.payload(None)))
    return told


def test_an_update_is_one_group_from_acceptance_to_answer() -> None:
    found = [(g.id, g.name, g.status, g.input, g.result, (g.closed_at or 0) - (g.started_at or 0)) for g in groups(talked().events)]
    assert found == [
        ("update#0", "set_qty", "Completed", "[5]", "1", 2 * SECOND), ("update#1", "pay", "Failed", "[]", "", SECOND),
        ("update#2", "slow", "Abandoned", "[]", "", SECOND),
    ]  # fmt: skip
    assert groups(talked().events)[1].failure


def test_the_timeline_has_a_bar_for_it() -> None:
    text = text_of(Timeline(tuple(talked().events)))
    assert "✓ update#0 set_qty" in text and "✗ update#1 pay" in text and "attempt 1" not in text


def test_each_event_in_words() -> None:
    told = [(about(r.event), carried(r.event)) for r in talked().events[1:-1]]
    assert [words for words, _ in told] == [
        "update set_qty", "update u-1", "update pay", "update u-2", "update slow", "send#0 ready to o-2", "send#0",
        "send#1 ready to nobody", "send#1",
    ]  # fmt: skip
    assert [what for _, what in told][:3] == ["[5] (u-1)", "1", "[] (u-2)"] and told[3][1].startswith("rejected: ")
    assert [what for _, what in told][5:] == ['"box"', "", '"box"', "there is no such run"]
    assert carried(e.SignalUndelivered(0, "Completed")) == "it is Completed"


def test_a_history_that_begins_in_the_middle() -> None:
    late = [r for r in talked().events if r.at > Micros(hist.T0)]
    assert [g.id for g in groups(late)] == ["update#0", "update#1"]
