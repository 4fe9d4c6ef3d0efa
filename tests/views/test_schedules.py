"""How schedules look: the listing, the card, the frame."""
from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from aionlab.core import events as e
from aionlab.core.clock import Micros
from aionlab.core.events import Recorded
from aionlab.core.ids import NO_RUN, RunId, WorkflowId
from aionlab.core.snapshots import ScheduleState
from aionlab.views.detail import about, carried, kind
from aionlab.views.eventlist import EventList
from aionlab.views.schedules import ScheduleCard, ScheduleList, schedules_frame
from aionlab.views.timing import moment, timing

T0 = 1_577_836_800_000_000
HOUR = 3_600_000_000
LAST = e.ScheduleTriggered(Micros(T0), WorkflowId("nightly-2020-01-01T00:00:00Z"), RunId("r"))


def state(name: str = "nightly", word: str = "Active", **fields: Any) -> ScheduleState:
    plan = fields.pop("plan", e.Plan("report", cron="0 2 * * *", timezone="Europe/Berlin"))
    given = {"memo": None, "note": None, "created_at": Micros(T0), "next": Micros(T0 + HOUR), "last": LAST, "running": (), "pending": (), "triggered": 1200, "skipped": 0}
    return ScheduleState(name, word, plan, e.Payload(b"[42]"), **(given | fields))  # type: ignore[arg-type]


def test_a_listing() -> None:
    shown = ScheduleList([state(), state("beat", "Paused", plan=e.Plan("ping", every=Micros(HOUR // 2), offset=Micros(HOUR // 12)), next=None, last=None, skipped=3,
                                         running=(WorkflowId("a"),), pending=(Micros(T0),))], Micros(T0))  # fmt: skip
    assert str(shown).splitlines() == [
        "schedule  workflow  when                     state     next                       runs  skipped  running  waiting  overlap",
        "nightly   report    0 2 * * * Europe/Berlin  · Active  Wed 2020-01-01 02:00 CET  1,200                             skip",
        "beat      ping      every 30m + 5m           ‖ Paused                            1,200        3        1        1  skip",
    ]
    assert repr(shown) == "<ScheduleList: 2 schedules>" and shown.ids == ["nightly", "beat"] and shown[1].id == "beat" and shown[:1].ids == ["nightly"]
    assert "in 1h" in shown._repr_html_() and "<table" in shown._repr_html_()
    assert str(ScheduleList([])) == "no schedules"
    assert "… and 1 more schedule; see to_frame()" in str(ScheduleList([state(), state("b")], most=1))


def test_a_card() -> None:
    plan = e.Plan("report", cron="0 2 * * *", timezone="Europe/Berlin", overlap="buffer_all", catch_up="all", window=Micros(24 * HOUR), deadline=Micros(HOUR),
                  start=Micros(T0), end=Micros(T0 + 48 * HOUR), version="abcdef0123")  # fmt: skip
    one = state(plan=plan, note="for the board", memo='{"why":1}', running=(WorkflowId("nightly-x"),), pending=tuple(Micros(T0 + n * HOUR) for n in range(7)), skipped=2)
    events = [
        Recorded(1, Micros(T0), WorkflowId("aion.schedules/nightly"), NO_RUN, e.ScheduleCreated(plan, e.Payload(b"[42]"), None, "for the board")),
        Recorded(2, Micros(T0), WorkflowId("aion.schedules/nightly"), NO_RUN, LAST),
    ]
    card = ScheduleCard(one, [Micros(T0 + HOUR), Micros(T0 + 25 * HOUR)], events, Micros(T0), last=1)
    text = str(card)
    for said in ("schedule nightly  · Active  0 2 * * * Europe/Berlin", "starts    report (abcdef0)", "with      [42]", "overlap   buffer_all", "catch-up  all, of the last 1d",
                 "from      Wed 2020-01-01 01:00 CET", "deadline  1h each", "note      for the board", "runs      1,200 started, skipped 2 times", "running   nightly-x",
                 "and 2 more", "  Thu 2020-01-02 02:00 CET  in 1d1h", "last of 2 events", "triggered  for 2020-01-01 00:00:00.000Z"):  # fmt: skip
        assert said in text, said
    assert repr(card) == "<Schedule nightly: report 0 2 * * * Europe/Berlin, Active>" and "<script" not in card._repr_html_()
    assert "waits for  trust" in str(ScheduleCard(state(word="Waiting", waits_for="trust")))


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (e.ScheduleCreated(e.Plan("w", every=Micros(HOUR)), e.Payload(b"[1]"), None, "why"), "every 1h [1] (why)"),
        (e.ScheduleUpdated(e.Plan("w", at=Micros(T0)), e.Payload(b"[]")), "at Wed 2020-01-01 00:00 UTC []"),
        (e.SchedulePaused("lunch"), "lunch"), (e.ScheduleResumed(), ""), (e.ScheduleDeleted("done"), "done"),
        (e.ScheduleTriggered(Micros(T0), WorkflowId("w-1"), RunId("r"), "backfill"), "for 2020-01-01 00:00:00.000Z (backfill)"),
        (e.ScheduleBuffered(Micros(T0)), "for 2020-01-01 00:00:00.000Z"),
        (e.ScheduleSkipped(Micros(T0), "missed", Micros(T0 + HOUR)), "2020-01-01 00:00:00.000Z to 2020-01-01 01:00:00.000Z: missed"),
    ],
)  # fmt: skip
def test_what_events_carry(event: e.Event, said: str) -> None:
    assert carried(event) == said and kind(event) == "note"
    expected = {e.ScheduleCreated: "w", e.ScheduleUpdated: "w", e.ScheduleTriggered: "w-1"}.get(type(event), "")
    assert about(event) == expected


def test_times_in_words() -> None:
    assert moment(Micros(T0 + 1_500_000), "UTC") == "Wed 2020-01-01 00:00:01.5 UTC" and moment(None, "UTC") == ""
    assert moment(Micros(T0), "Nowhere/Land") == "Wed 2020-01-01 00:00 UTC", "a zone this machine lacks"
    assert moment(Micros(1 << 62), "UTC").endswith("µs")
    assert timing(e.Plan("w", at=Micros(T0), timezone="Asia/Tokyo")) == "at Wed 2020-01-01 09:00 JST"


@pytest.mark.parametrize("schedules", [[], [state(), state("b", "Done", next=None, last=None)]], ids=["none", "two"])
def test_the_frame_has_the_same_columns_whatever_it_holds(schedules: list[ScheduleState]) -> None:
    frame = schedules_frame(schedules)
    assert frame.index.name == "schedule" and list(frame.index) == [one.id for one in schedules]
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == {
        "workflow": "string", "when": "string", "timezone": "string", "overlap": "string", "catch_up": "string", "state": "category", "next": "datetime64[us, UTC]",
        "last": "datetime64[us, UTC]", "last_run": "string", "runs": "int64", "skipped": "int64", "running": "int64", "waiting": "int64",
    }  # fmt: skip
    if schedules:
        assert frame.loc["nightly", "next"] == pd.Timestamp("2020-01-01T01:00Z") and pd.isna(frame.loc["b", "next"]) and frame.loc["b", "state"] == "Done"


def test_hostile_names_show_and_do_no_harm() -> None:
    bad = state("<img src=x onerror=alert(1)>\u202e", plan=e.Plan("<b>w</b>", cron="<script>", timezone="<i>"), note="</div><script>", waits_for="<x>")
    for view in (ScheduleList([bad]), ScheduleCard(bad)):
        html = view._repr_html_()
        assert "<script" not in html and "<img" not in html and "<b>w" not in html and "\u202e" not in html


def test_the_history_of_a_schedule_as_a_list_and_a_frame() -> None:
    events = (Recorded(1, Micros(T0), WorkflowId("aion.schedules/s"), NO_RUN, e.SchedulePaused("x")), Recorded(2, Micros(T0), WorkflowId("aion.schedules/s"), NO_RUN, LAST))
    shown = EventList(events)
    assert "ScheduleTriggered" in str(shown) and "aion.schedules/s" in str(shown)
    frame = shown.to_frame(full=True)
    assert list(frame["event"]) == ["SchedulePaused", "ScheduleTriggered"] and frame.loc[2, "name"] == LAST.workflow_id and frame.loc[1, "payload"] == "x"
