"""`%schedule` over the real engine: its forms, its mistakes, its completions."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import aionlab
from aionlab.code.ledger import Ledger
from aionlab.core.errors import InvalidOption, ScheduleNotFound
from aionlab.lab import session
from aionlab.lab.completion import Matcher
from aionlab.lab.errors import LineError
from aionlab.lab.schedules import ACTIONS
from aionlab.lab.verbs import VERBS
from tests.lab.conftest import Notebook

REPORT = "%%workflow\n@workflow\nasync def report(n: int = 1, title: str = ''):\n    return workflow.last_result(int, default=0) + n\n"


@pytest.fixture
def book(plain_shell: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notebook]:
    monkeypatch.delenv("AIONLAB_DB", raising=False)
    monkeypatch.delenv("AIONLAB_DETERMINISTIC", raising=False)
    plain_shell.reset(new_session=False)
    loaded = session.load(plain_shell, lambda path, **options: aionlab.open(":memory:", clock="virtual", deterministic=1), Ledger())
    made = Notebook(plain_shell, loaded)
    made.run(REPORT)
    yield made
    loaded.lab.close()
    session.unload_ipython_extension(plain_shell)


def test_make_look_and_steer(book: Notebook) -> None:
    assert str(book.run("%schedule")) == "no schedules"
    card = book.run("%schedule nightly report(2, title='a b') --cron '30 2 * * MON-FRI' --timezone Europe/Berlin --overlap buffer_one --note 'for the board' --as s")
    assert card.schedule.plan.cron == "30 2 * * MON-FRI" and book.ns["s"].name == "nightly" and "for the board" in str(card)
    book.run("%clock skip 7d")
    assert "nightly" in str(book.run("%schedule")) and book.run("%schedule nightly").schedule.triggered == 5
    assert book.run("%schedule next nightly 2").text.splitlines() == ["Wed 2020-01-08 02:30:00 CET", "Thu 2020-01-09 02:30:00 CET"]
    assert len(book.run("%schedule runs nightly 2")) == 2 and len(book.run("%schedule runs nightly")) == 5
    assert book.run("%schedule trigger nightly").result() == 12
    assert book.run("%schedule pause nightly --note lunch").text == "nightly: paused"
    assert book.run("%schedule resume nightly").text == "nightly: resumed"
    assert book.run("%aion schedule backfill nightly 2019-12-30 '2019-12-31 23:00'").text == "nightly: 2 times to run, 2019-12-30 02:30 to 2019-12-31 02:30"
    assert book.run("%schedule backfill nightly 2019-12-30").text == "nightly: 0 times to run"
    changed = book.run("%schedule update nightly --every 90 --catch-up all --window 2h --deadline 30s").schedule.plan
    assert (changed.every, changed.cron, changed.catch_up, changed.window, changed.deadline) == (90_000_000, None, "all", 7_200_000_000, 30_000_000)
    assert "ScheduleUpdated" in str(book.run("%schedule history nightly"))
    assert book.run("%schedule delete nightly --note done").text == "nightly: deleted" and str(book.run("%schedule")) == "no schedules"


def test_the_same_cell_twice_is_fine_and_another_needs_replace(book: Notebook) -> None:
    for _ in range(2):
        book.run("%schedule hourly report --every 1h")
    error, _ = book.error("%schedule hourly report(5) --every 1h")
    assert "with another arguments" in str(error)
    assert book.run("%schedule hourly report(5) --every 1h --replace").schedule.input == b"[5]"
    assert book.run("%schedule once report --at '2020-01-01 09:30' --timezone Asia/Tokyo --start 2020-01-01 --end 2020-02-01").schedule.plan.at is not None


def test_a_trigger_that_starts_nothing_says_so(book: Notebook) -> None:
    book.run("%%workflow\n@workflow\nasync def waits():\n    await workflow.receive('go')\n")
    book.run("%schedule w waits --every 1h")
    assert book.run("%schedule trigger w").id == "w-2020-01-01T00:00:00Z"
    assert "a run goes on, so none was started now (overlap skip)" in book.run("%schedule trigger w").text
    assert book.run("%schedule trigger w --overlap allow_all").id == "w-2020-01-01T00:00:00Z.2"
    book.run("%schedule done report --at '2020-01-01 01:00'")
    book.run("%clock skip 2h")
    assert book.run("%schedule next done").text == "done: no time is left"


@pytest.mark.parametrize(
    ("line", "kind", "why"),
    [
        ("%schedule pause", LineError, "%schedule pause needs a schedule: %schedule pause nightly"),
        ("%schedule pause a b", LineError, "nothing goes there: 'b'; write %schedule pause a"),
        ("%schedule next a five", ScheduleNotFound, "there is no schedule 'a'"),
        ("%schedule next hourly five", LineError, "how many is a number, not five"),
        ("%schedule backfill hourly", LineError, "from when? %schedule backfill hourly '2025-01-01'"),
        ("%schedule backfill hourly 'x", LineError, "never closed"),
        ("%schedule hourli", ScheduleNotFound, "did you mean 'hourly'"),
        ("%schedule x report", InvalidOption, "one of cron=, every= and at="),
        ("%schedule x report --cron '61 * * * *'", InvalidOption, "minute '61'"),
        ("%schedule x report --overlap pile", LineError, "--overlap is skip or buffer_one"),
        ("%schedule x report --croon '* * * * *'", LineError, "did you mean --cron?"),
        ("%schedule --every 1h", LineError, "--every does nothing here; a schedule is made with %schedule NAME WORKFLOW(ARGS) --every"),
        ("%schedule hourly --every 1h", LineError, "--every does nothing here"),
        ("%schedule pause hourly --every 1h", LineError, "--every does nothing here"),
        ("%schedule x report 5 --every 1h", LineError, "arguments go in parentheses: %schedule x report(5)"),
        ("%schedule x report --every 1h --as 1x", LineError, "not a variable name"),
        ("%schedule x report(n=1, m=2) --every 1h", InvalidOption, "unexpected keyword argument 'm'"),
    ],
)  # fmt: skip
def test_mistakes(book: Notebook, line: str, kind: type[BaseException], why: str) -> None:
    book.run("%schedule hourly report --every 1h")
    error, shown = book.error(line)
    assert isinstance(error, kind) and why in str(error), str(error)
    assert len(shown.strip().splitlines()) <= 2, "one line, with a suggestion"


def test_help_and_the_list_of_verbs(book: Notebook) -> None:
    assert "%schedule [NAME]" in book.run("%schedule -h").text and "Example: %schedule nightly report(42)" in VERBS["schedule"].help
    assert "By the clock" in book.run("%aion help").text


def test_completions(book: Notebook) -> None:
    book.run("%schedule nightly report --every 1h")
    complete = Matcher(book.session).complete
    assert complete("%schedule ") == ("", ["nightly", *ACTIONS])
    assert complete("%schedule ni") == ("ni", ["nightly"]) and complete("%schedule pa") == ("pa", ["pause"])
    assert complete("%schedule pause ") == ("", ["nightly"]) and complete("%schedule pause nightly ") in (None, ("", []))
    assert complete("%schedule weekly re") == ("re", ["report"])
    assert complete("%schedule weekly report --over") == ("--over", ["--overlap"])
    assert complete("%schedule weekly report --overlap bu") == ("bu", ["buffer_one", "buffer_all"])
    assert complete("%cancel ") == ("", ["s"] if "s" in book.ns else []), "schedules are no ids"
