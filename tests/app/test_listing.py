"""Listings, counts and verbs over all runs that a filter finds, through the lab."""
from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import aionlab
from aionlab import workflow
from aionlab.app import sweeping
from aionlab.core import errors
from aionlab.core.ports import Run
from aionlab.core.status import Status
from aionlab.views.runs import RunList
from aionlab.views.sweep import Swept
from tests.app import cells

TYPES = {"amount": "int", "customer": "keyword", "tags": "keyword_list", "vip": "bool", "due": "datetime", "rate": "float", "note": "text"}


@workflow
async def family() -> int:
    child = await workflow.start_child(cells.quick, 1, id="child")
    return await child


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Any]:
    """Twelve orders, one every minute from noon; o-0 … o-11."""
    with aionlab.open(tmp_path / "lab.db", clock="virtual", deterministic=1) as opened:
        for name, kind in TYPES.items():
            opened.register_search_attribute(name, kind)
        for n in range(12):
            opened.start(cells.order, n, id=f"o-{n}", search_attributes=attributes(n))
            opened.clock.skip("1m")
        opened.settle()
        yield opened


def attributes(n: int) -> dict[str, Any]:
    found: dict[str, Any] = {"amount": n, "customer": "acme" if n < 4 else "zeta", "vip": n % 2 == 0}
    if n % 3 == 0:
        found |= {"tags": ["a", "b"] if n % 2 else ["a"], "due": datetime(2026, 11, 1 + n, tzinfo=UTC)}
    return found


def names(runs: Any) -> list[str]:
    return [run.workflow_id.removeprefix("o-") for run in runs]


def end(lab: Any, *numbers: int) -> None:
    for n in numbers:
        lab.signal(f"o-{n}", "approval", n)
    lab.settle()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "11 10 9 8 7 6 5 4 3 2 1 0"),
        ("status = 'Running' AND amount > 8", "11 10 9"),
        ("status = 'Completed'", "5 2"),
        ("status != 'Running' ORDER BY id", "2 5"),
        ("id = 'o-3'", "3"),
        ("id STARTS_WITH 'o-1' ORDER BY start_time", "1 10 11"),
        ("type = 'order' LIMIT 2", "11 10"),
        ("start_time < '2020-01-01T00:02:00'", "1 0"),
        ("start_time >= now() - 2m", "11 10"),
        ("close_time IS NOT NULL ORDER BY duration", "5 2"),
        ("duration > 7m", "2"),
        ("customer = 'acme' AND NOT vip = true", "3 1"),
        ("tags = 'b'", "9 3"),
        ("tags IS NULL AND amount < 3", "2 1"),
        ("due > '2026-11-05'", "9 6"),
        ("amount BETWEEN 3 AND 5 ORDER BY amount", "3 4 5"),
        ("amount IN (1, 7, 99)", "7 1"),
        ("customer STARTS_WITH 'z' ORDER BY amount DESC LIMIT 2", "11 10"),
        ("parent_run_id IS NOT NULL", ""),
    ],
)
def test_given_filters_then_exactly_these_runs(lab: Any, text: str, found: str) -> None:
    end(lab, 2, 5)
    assert names(lab.runs(text)) == found.split()
    unordered = text.partition(" ORDER BY")[0].partition("LIMIT")[0]
    assert lab.count(unordered) == len(names(lab.runs(unordered)))


def test_fields_and_filters_go_together(lab: Any) -> None:
    assert names(lab.runs(customer="acme", vip=True)) == ["2", "0"]
    assert names(lab.runs("amount > 1 ORDER BY amount", customer="acme", limit=1)) == ["2"]
    assert names(lab.runs(status="running", type="order", limit=2)) == ["11", "10"] == names(lab.runs(status=Status.RUNNING, limit=2))
    assert names(lab.runs(version=lab.runs()[0].version[:7], tags=["a", "b"])) == ["9", "3"]
    assert names(lab.runs(due=None, amount=1)) == ["1"]
    assert lab.count(customer="acme") == 4


def test_children_and_runs_of_a_schedule(lab: Any) -> None:
    lab.define(cells.quick)
    lab.start(family, id="mother")
    lab.settle()
    assert names(lab.runs("parent_id = 'mother'")) == ["child"] and lab.count("parent_id IS NULL") == 13
    assert names(lab.runs(parent="mother", type="quick")) == ["child"]
    lab.schedule("daily", "quick", [1], every="1d").trigger()
    lab.settle()
    assert lab.count("schedule_id = 'daily'") == 1 and lab.count(group_by="schedule") == {"daily": 1, None: 14}


def test_what_is_refused(lab: Any) -> None:
    with pytest.raises(errors.InvalidFilter, match=r"did you mean 'amount'\?\n  amuont = 3\n  \^\^\^\^\^\^$"):
        lab.runs("amuont = 3")
    with pytest.raises(errors.InvalidFilter, match="not int"):
        lab.runs(3)
    for wrong in ({"status": "runing"}, {"amuont": 3}, {"amount": "x"}):
        with pytest.raises(errors.InvalidOption):
            lab.runs(**wrong)
    for act in (
        lambda: lab.runs("GROUP BY status"), lambda: lab.count("LIMIT 3"), lambda: lab.count("ORDER BY id"), lambda: lab.count(group_by="stauts"),
        lambda: lab.runs(limit=-1), lambda: lab.runs(page_size=0),
    ):  # fmt: skip
        with pytest.raises(errors.InvalidOption):
            act()


def test_a_page_of_two_and_a_limit_of_three(lab: Any) -> None:
    assert names(lab.runs("customer = 'zeta' LIMIT 3", page_size=2)) == ["11", "10", "9"]
    assert names(lab.runs("ORDER BY amount", page_size=2, limit=5)) == ["0", "1", "2", "3", "4"]


def test_runs_are_read_as_far_as_they_are_gone_through(lab: Any) -> None:
    asked: list[Any] = []
    call = lab.call
    lab.call = lambda verb, *arguments: asked.append(verb) or call(verb, *arguments)
    runs = lab.runs(page_size=3)
    assert asked.count("runs") == 1 and runs and repr(runs) == "<Runs: 3 and more>" and "and more runs" in str(runs)
    assert runs[1].workflow_id == "o-10" and asked.count("runs") == 1
    assert names(runs[2:5]) == ["9", "8", "7"] and isinstance(runs[2:5], RunList) and asked.count("runs") == 3
    assert len(runs) == 12 and asked.count("runs") == 3
    going = iter(runs)
    first = [next(going).workflow_id for _ in range(3)]
    lab.start(cells.order, 99, id="late")
    assert first + [run.workflow_id for run in going] == [f"o-{n}" for n in range(11, -1, -1)]
    assert runs[-1].workflow_id == "o-0" and len(runs.ids) == 12 and len(runs.to_frame()) == 12
    with pytest.raises(IndexError):
        runs[12]
    whole = lab.runs("amount < 2")
    assert repr(whole) == "<RunList: 2 runs, 2 Running>" and len(whole) == 2 and not lab.runs("amount < 0")


def test_counts(lab: Any) -> None:
    end(lab, 2, 5)
    assert lab.count() == 12 and lab.count("vip = true") == 6
    assert lab.count(group_by="status") == lab.count("GROUP BY status") == {"Running": 10, "Completed": 2}
    assert lab.count("amount > 3", group_by="customer") == {"zeta": 8}
    assert lab.count(group_by="tags") == {"a": 4, "b": 2, None: 8}
    assert lab.count(group_by="type") == {"order": 12} and list(lab.count(group_by="version").values()) == [12]
    assert lab.count(group_by="vip") == {True: 6, False: 6} and {type(key) for key in lab.count(group_by="vip")} == {bool}
    assert lab.count("due IS NOT NULL", "due")[datetime(2026, 11, 4, tzinfo=UTC)] == 1
    counts = lab.count(group_by="status")
    assert repr(counts) == "<Counts by status: 10 Running, 2 Completed>" and "Completed" in str(counts) and "<table" in counts._repr_html_()
    assert list(counts.to_frame()["runs"]) == [10, 2]


def test_events_of_all_that_a_filter_finds(lab: Any) -> None:
    frame = lab.events("amount IN (3, 4)")
    assert list(frame["workflow_id"].unique()) == ["o-4", "o-3"]
    assert len(frame) == len(lab.events("o-3")) + len(lab.events("o-4"))
    assert len(lab.runs("amount = 3").events(full=True).columns) == len(lab.events("o-3", full=True).columns)
    assert len(lab.events("amount > 100")) == 0 and len(lab.events()) > 12
    with pytest.raises(errors.RunNotFound):
        lab.events("o-77")


# --- verbs over many ---------------------------------------------------------------------------------------------------------


def test_cancel_all_that_a_filter_finds(lab: Any) -> None:
    end(lab, 1)
    found = lab.runs("amount < 4")
    rehearsed = found.cancel("no stock", dry_run=True)
    assert (rehearsed.done, rehearsed.skipped, rehearsed.total, dict(rehearsed.statuses)) == (3, 1, 4, {"Running": 3})
    assert names(rehearsed.sample) == ["3", "2", "0"] and "nothing was done" in str(rehearsed) and "would be asked to stop" in repr(rehearsed)
    assert lab.count("status = 'Cancelled'") == 0
    done = found.cancel("no stock")
    lab.settle()
    assert repr(done) == "<cancel: 3 of 4 runs asked to stop · 1 skipped (closed)>" and done.finished
    assert names(lab.runs("status = 'Cancelled'")) == ["3", "2", "0"] and lab.count("status = 'Running'") == 8
    again = found.cancel("no stock")
    assert (again.done, again.skipped, again.failed) == (0, 4, 0)
    with pytest.raises(errors.WorkflowCancelledError, match="no stock"):
        lab.get("o-2").result()


def test_each_verb_over_many(lab: Any) -> None:
    def told(swept: Swept) -> tuple[int, int, int]:
        return swept.done, swept.skipped, swept.failed

    assert told(lab.runs("amount < 6").pause("lunch")) == (6, 0, 0) and lab.count(status="Paused") == 6
    assert told(lab.runs("amount < 8").pause()) == (2, 6, 0)
    assert told(lab.runs("amount < 3").resume()) == (3, 0, 0) and told(lab.runs("amount < 3").resume()) == (0, 3, 0)
    assert told(lab.runs("amount < 2").suspend()) == (2, 0, 0)
    assert told(lab.runs("amount < 2").signal("approval", {"by": "ada"}, idempotency_key="k")) == (2, 0, 0)
    lab.settle()
    assert lab.get("o-1").result()["ok"] == {"by": "ada"}
    assert told(lab.runs("amount < 4").signal("note", 1, idempotency_key="n")) == (2, 2, 0)
    assert told(lab.runs("amount < 4").signal("note", 1, idempotency_key="n")) == (0, 4, 0)
    assert told(lab.runs("amount IN (2, 3)").terminate("over", "details")) == (2, 0, 0)
    assert names(lab.runs("status = 'Terminated'")) == ["3", "2"]
    assert told(lab.runs("amount < 4").reopen()) == (2, 2, 0) and lab.count(status="Terminated") == 0


def test_a_verb_takes_those_of_the_limit_in_their_order_whatever_moves_meanwhile(lab: Any) -> None:
    swept = sweeping.sweep(lab, "terminate", lab.runs("status = 'Running' ORDER BY amount LIMIT 5")._query, lambda run: (run.workflow_id, run.run_id), page_size=2)
    assert swept.done == 5 and names(lab.runs("status = 'Terminated' ORDER BY amount")) == ["0", "1", "2", "3", "4"]
    rehearsed = lab.runs("ORDER BY amount LIMIT 7").cancel(dry_run=True)
    assert (rehearsed.total, rehearsed.done, rehearsed.skipped) == (7, 2, 5)


def test_progress_and_errors_by_run(lab: Any) -> None:
    seen: list[Swept] = []
    query = lab.runs("amount < 7")._query

    def reason(run: Any) -> tuple[Any, ...]:
        return run.workflow_id, run.run_id, 3 if run.workflow_id == "o-5" else "why"  # a reason that is no text is refused

    swept = sweeping.sweep(lab, "cancel", query, reason, page_size=3, progress=seen.append)
    assert [state.visited for state in seen] == [3, 6, 7] and [state.finished for state in seen] == [False] * 3
    assert "85%" in str(seen[1]) and "█" in str(seen[1])
    assert (swept.done, swept.failed) == (6, 1)
    ((workflow_id, _, why),) = swept.failures
    assert workflow_id == "o-5" and "the reason is text" in why and why in str(swept) and "1 failed" in repr(swept)


def test_a_long_sweep_shows_where_it_stands_in_one_place(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    places: list[list[int]] = []

    def place() -> Any:
        places.append([])
        return lambda state: places[-1].append(state.visited)

    lab.shows = place
    lab.runs("amount < 2").pause()
    assert places == [[]], "a short one shows nothing"
    monkeypatch.setattr(sweeping, "QUIET", 0.0)
    sweeping.sweep(lab, "pause", lab.runs("amount < 5")._query, lambda run: (run.workflow_id, run.run_id), page_size=2)
    assert places == [[], [2, 4, 5]]


def test_an_interrupt_says_how_far_it_came(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(state: Swept) -> None:
        if state.done == 4:
            raise KeyboardInterrupt

    query = lab.runs("")._query
    with pytest.raises(KeyboardInterrupt, match="stopped: 4 of 12 runs terminated") as stopped:
        sweeping.sweep(lab, "terminate", query, lambda run: (run.workflow_id, run.run_id), page_size=2, progress=stop)
    assert stopped.value.swept.done == 4 and lab.count("status = 'Terminated'") == 4  # type: ignore[attr-defined]


def test_every_verb_has_a_method_and_a_rule(lab: Any) -> None:
    runs = lab.runs("amount = 0")
    for verb, row in sweeping.SWEEPS.items():
        arguments = ("approval",) if verb == "signal" else ()
        swept = getattr(runs, verb)(*arguments, dry_run=True)
        assert swept.verb == verb and row.done in repr(swept) and swept.done + swept.skipped == 1


# --- forgetting --------------------------------------------------------------------------------------------------------------


def test_forget_takes_everything_of_an_id(lab: Any) -> None:
    end(lab, 3)
    events = len(lab.events("o-3"))
    note = lab.forget("o-3", "asked to")
    assert (note.workflow_id, note.runs, note.events, note.reason) == ("o-3", 1, events, "asked to") and lab.forgotten() == [note]
    assert "o-3" not in lab.ids() and lab.count() == 11 and lab.count("tags = 'b'") == 1
    for ask in (lab.get, lab.events, lab.forget):
        with pytest.raises(errors.RunNotFound):
            ask("o-3")
    assert lab.start(cells.quick, 1, id="o-3").result() == 2
    assert lab.sqlite.execute("select count(*) from history where workflow_id = 'o-3' and payload like '%21%'").fetchone()[0] == 0


def test_an_open_run_is_not_forgotten(lab: Any) -> None:
    with pytest.raises(errors.InvalidOption, match="o-1 is Running; terminate it"):
        lab.forget("o-1")
    lab.pause("o-1")
    with pytest.raises(errors.InvalidOption, match="o-1 is Paused"):
        lab.get("o-1").forget()
    assert lab.forgotten() == [] and lab.get("o-1").status is Status.PAUSED


def test_forgetting_many_keeps_ids_that_have_other_runs(lab: Any) -> None:
    end(lab, 0, 1, 2)
    lab.start(cells.order, 50, id="o-1", search_attributes={"amount": 50})
    end(lab, 1)
    lab.start(cells.order, 51, id="o-2", search_attributes={"amount": 51})
    swept = lab.runs("amount < 4").forget("old")
    assert (swept.total, swept.done, swept.skipped, swept.failed) == (4, 1, 1, 2), "o-0 is gone, o-3 is open"
    assert {failed.workflow_id for failed in swept.failures} == {"o-1", "o-2"}
    assert "o-2 is Running" in str(swept) and "another run" in str(swept)
    assert (lab.count("id = 'o-1'"), lab.count("id = 'o-2'"), lab.count("id = 'o-0'")) == (2, 2, 0)
    assert lab.runs("id = 'o-1'").forget().done == 2, "both runs were asked for, and one deletion took them"


def test_what_was_forgotten_stays_forgotten_and_its_keys_are_not_given_again(tmp_path: Path) -> None:
    with aionlab.open(tmp_path / "f.db", clock="virtual", deterministic=1) as lab:
        lab.start(cells.quick, 1, id="a")
        lab.settle()
        (run,) = lab.runs()
        note = lab.forget("a")
    with aionlab.open(tmp_path / "f.db", clock="virtual", deterministic=1) as lab:
        assert lab.forgotten() == [note] and lab.ids() == []
        again = lab.start(cells.quick, 1, id="a")
        (now,) = lab.runs()
        assert isinstance(now, Run) and now.key > run.key and now.workflow_key > run.workflow_key and again.run_id != run.run_id


def test_a_lab_that_looks_on_lists_and_changes_nothing(lab: Any) -> None:
    lab.terminate("o-1")
    lab.host.engine.store.readonly = True
    assert names(lab.runs("amount = 1")) == ["1"] and lab.count() == 12
    assert lab.runs().cancel(dry_run=True).done == 11
    for act in (lab.runs().cancel, lab.runs().forget, lambda: lab.forget("o-1")):
        with pytest.raises(errors.StoreReadOnly):
            act()
    with pytest.raises(errors.StoreReadOnly):
        lab.call("forget", "o-1")
    lab.host.engine.store.readonly = False
    assert lab.count() == 12 and lab.forgotten() == []
