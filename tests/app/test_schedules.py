"""Schedules through the public face of a lab: SQLite, threads, reopening, trust."""
from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import aionlab
from aionlab import workflow
from aionlab.app import opening
from aionlab.core import errors
from aionlab.core.calendars import moment
from aionlab.store.sqlite import SqliteStore
from tests.app import cells
from tests.app.conftest import until

T0 = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def virtual(tmp_path: Path) -> Iterator[Any]:
    with aionlab.open(tmp_path / "virtual.db", clock="virtual") as opened:
        yield opened


@workflow
async def tally(n: int, step: int = 1) -> list[object]:
    before = workflow.last_result(list[int], default=[0, 0])
    info = workflow.info()
    return [before[0] + n * step, info.nominal_time.day if info.nominal_time else None]


def test_ninety_days_on_sqlite_and_threads(virtual: Any) -> None:
    nightly = virtual.schedule("nightly", tally, (2,), {"step": 5}, cron="30 2 * * *", timezone="America/New_York", note="for the board")
    assert (nightly.name, repr(nightly)) == ("nightly", "<Schedule nightly>") and "nightly" in virtual.schedule_names()
    assert [str(at) for at in nightly.next(2)] == ["2020-01-01 02:30:00-05:00", "2020-01-02 02:30:00-05:00"]
    virtual.clock.skip("90d")
    rows = list(reversed(nightly.runs()))
    assert len(rows) == 90 and rows[0].workflow_id == "nightly-2020-01-01T07:30:00Z" and rows[-1].workflow_id == "nightly-2020-03-30T06:30:00Z"
    assert "nightly-2020-03-08T07:00:00Z" in [row.workflow_id for row in rows], "the night the clocks skip half past two"
    assert virtual.get(rows[-1].workflow_id).result() == [900, 30]
    assert list(nightly.history().to_frame()["event"])[:2] == ["ScheduleCreated", "ScheduleTriggered"]
    assert "90 started" in str(nightly.describe()) and virtual.schedules().to_frame().loc["nightly", "runs"] == 90


def test_a_schedule_fires_live_on_the_real_clock(lab: Any) -> None:
    beat = lab.schedule("beat", cells.quick, (1,), every="50ms")
    until(lambda: beat.state.triggered >= 3)
    beat.delete()
    assert lab.schedules().ids == [] and len(beat.history()) >= 5
    with pytest.raises(errors.ScheduleNotFound):
        beat.pause()


def test_it_goes_on_when_the_file_is_opened_again_and_makes_up_what_was_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with aionlab.open(tmp_path / "lab.db", clock="virtual") as lab:
        for policy in ("all", "one", "skip"):
            lab.schedule(policy, tally, (1,), every="1h", catch_up=policy)
        lab.clock.skip("2h")
        assert [one.triggered for one in lab.schedules()] == [2, 2, 2]
    later = T0 + timedelta(hours=6, minutes=30)
    monkeypatch.setattr(opening, "EPOCH_2020", moment(later, "UTC", "later"))
    with aionlab.open(tmp_path / "lab.db", clock="virtual") as lab:
        lab.settle()
        assert {one.id: one.triggered for one in lab.schedules()} == {"all": 6, "one": 3, "skip": 2}
        assert [run.workflow_id for run in lab.schedule("one").runs(1)] == ["one-2020-01-01T06:00:00Z"]
        assert lab.get("all-2020-01-01T06:00:00Z").result() == [6, 1], "each read what the one before returned"
        lab.clock.skip("1h")
        assert {one.id: one.triggered for one in lab.schedules()} == {"all": 7, "one": 4, "skip": 3}
        assert lab.host.engine.store.verify() == []


def test_verbs_of_the_handle(virtual: Any) -> None:
    hourly = virtual.schedule("hourly", cells.quick, (1,), every="1h", start=T0 + timedelta(hours=2))
    assert hourly == virtual.schedule("hourly") and len({hourly, virtual.schedule("hourly")}) == 1
    assert virtual.schedule("hourly", cells.quick, (1,), every="1h", start="2020-01-01 02:00") == hourly, "the same once more"
    with pytest.raises(errors.ScheduleExists, match="with another start, arguments"):
        virtual.schedule("hourly", cells.quick, (2,), every="1h")
    started = hourly.trigger()
    assert started.id == "hourly-2020-01-01T00:00:00Z" and started.result() == 2 and started.workflow_type == "quick"
    assert hourly.pause("lunch") is hourly and hourly.paused and hourly.next(1) == [T0 + timedelta(hours=2)]
    hourly.resume()
    virtual.clock.skip("5h")
    assert hourly.state.triggered == 5
    assert hourly.backfill("2020-01-01 02:00") == [] and hourly.backfill("2020-01-01 00:00", "2020-01-01 01:30") == [], "before its start"
    hourly.update(start=None, note="from the beginning")
    assert hourly.backfill("2020-01-01 00:00", "2020-01-01 01:30") == [T0 + timedelta(hours=1)], "the run by hand has midnight's id"
    hourly.update(cron="@daily", timezone="Asia/Tokyo", args=(41,), overlap="buffer_one", catch_up="all", catch_up_window="2d", deadline="1h")
    plan = hourly.state.plan
    assert (plan.cron, plan.every, plan.timezone, plan.overlap, plan.window, plan.deadline) == ("@daily", None, "Asia/Tokyo", "buffer_one", 172_800_000_000, 3_600_000_000)
    virtual.clock.skip("1d")
    newest = hourly.runs(1)[0]
    assert newest.workflow_id == "hourly-2020-01-01T15:00:00Z" and virtual.get(newest.workflow_id).result() == 42
    hourly.update(workflow=cells.nap, args=(), kwargs={"length": "5m"})
    assert hourly.state.plan.workflow_type == "nap"
    with pytest.raises(errors.InvalidOption, match="missing a required argument"):
        hourly.update(workflow=cells.quick, args=())
    with pytest.raises(errors.InvalidOption, match="from 0 to 10,000"):
        hourly.next(-1)
    hourly.delete("done with it")
    assert "ScheduleDeleted" in str(hourly.history()) and hourly._repr_mimebundle_()["text/plain"] == "schedule hourly"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, "one of cron=, every= and at="), ({"cron": "* * * *"}, "4 fields instead of five"), ({"every": "soon"}, "every: 'soon' is not a duration"),
        ({"every": "1h", "timezone": "Europe/Berlim"}, "did you mean 'Europe/Berlin'"), ({"at": "later"}, "at='later' is no time"), ({"every": -1}, "every: .*negative"),
        ({"every": "1h", "overlap": "never"}, "overlap='never'; choose one of skip"),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_refused_before_anything_is_written(virtual: Any, options: dict[str, Any], why: str) -> None:
    with pytest.raises(errors.InvalidOption, match=why):
        virtual.schedule("s", cells.quick, (1,), **options)
    with pytest.raises(errors.InvalidOption, match="missing a required argument"):
        virtual.schedule("s", cells.quick, every="1h")
    with pytest.raises(errors.InvalidPayload):
        virtual.schedule("s", cells.quick, (object(),), every="1h")
    with pytest.raises(errors.ScheduleNotFound):
        virtual.schedule("s")
    assert len(virtual.schedules()) == 0 and list(virtual.host.engine.store.ids("aion.")) == []


def test_the_newest_code_runs_unless_a_version_is_pinned(virtual: Any) -> None:
    for text in ("one", "two"):
        @workflow(name="says")
        async def says(word: str = text) -> str:
            return word

        virtual.define(says)
        if text == "one":
            version = virtual.versions("says").index[0]
            virtual.schedule("pinned", "says", every="1h", version=version)
            virtual.schedule("newest", "says", every="1h")
    virtual.clock.skip("1h")
    assert [virtual.get(f"{name}-2020-01-01T01:00:00Z").result() for name in ("pinned", "newest")] == ["one", "two"]


def test_memo_and_deadline_go_with_each_run(virtual: Any) -> None:
    virtual.schedule("s", cells.patient, (1,), every="1h", memo={"team": "ops"}, deadline="30m")
    virtual.clock.skip("90m")
    assert str(virtual.runs()[0].status) == "TimedOut" and "ops" in str(virtual.describe("s-2020-01-01T01:00:00Z"))


def test_ids_of_the_engine_are_nobody_elses(virtual: Any) -> None:
    virtual.schedule("s", cells.quick, (1,), every="1h")
    assert virtual.ids() == [] and len(virtual.runs()) == 0
    for name in ("aion.schedules/s", "aion.x"):
        with pytest.raises(errors.InvalidName, match="the engine's own"):
            virtual.start(cells.quick, 1, id=name)
    with pytest.raises(errors.InvalidName):
        virtual.schedule("aion.s", cells.quick, (1,), every="1h")


def made(path: Path) -> Path:
    with aionlab.open(path, clock="virtual") as lab:
        lab.schedule("s", cells.quick, (1,), every="1h", catch_up="all")
        lab.clock.skip("1h")
    return path


def test_a_schedule_from_elsewhere_starts_nothing_until_it_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made(tmp_path / "lab.db")
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "somebody else"))
    with aionlab.open(path, clock="virtual") as lab:
        lab.clock.skip("3h")
        (one,) = lab.schedules()
        assert (one.state, one.triggered) == ("Waiting", 1) and "trust" in one.waits_for
        lab.trust()
        lab.settle()
        assert lab.schedule("s").state.triggered == 4


def test_a_schedule_that_was_edited_while_the_lab_was_closed_starts_nothing(tmp_path: Path) -> None:
    path = made(tmp_path / "lab.db")
    with sqlite3.connect(path) as db:
        changed = db.execute("UPDATE event SET payload = CAST('[999]' AS BLOB) WHERE run = 0 AND payload IS NOT NULL").rowcount
    db.close()
    assert changed == 1
    with aionlab.open(path, clock="virtual") as lab:
        lab.clock.skip("3h")
        assert lab.schedules()[0].state == "Waiting" and len(lab.runs()) == 1


def test_a_store_that_only_reads_knows_the_histories_of_schedules(tmp_path: Path) -> None:
    reader = SqliteStore.open(made(tmp_path / "lab.db"), readonly=True)
    (name,) = reader.ids("aion.schedules/")
    assert name == "aion.schedules/s" and [type(one.event).__name__ for one in reader.read(name)] == ["ScheduleCreated", "ScheduleTriggered"]
    assert reader.ids("aion.schedules/t") == [] and reader.run(name) is None and reader.verify() == []
    reader.close()
