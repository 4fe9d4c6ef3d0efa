"""The list of events: to the letter, narrow, and with its middle left out when it is long."""

from __future__ import annotations

from aionlab.views.eventlist import EventList
from aionlab.views.text import width
from tests.views import histories as hist
from tests.views.reading import Page
from tests.views.test_timeline import long_run

SHORT = """\
order o-1  8 events from 2020-01-01 00:00:00.000Z
seq   after  event              kind    about              carries
  1      0s  WorkflowStarted    fact    order              3f2a91c ["o-1",42.0]
  2      0s  ActivityScheduled  answer  activity#0 charge  ["o-1",42.0]
  3     2ms  ActivityStarted    note    activity#0         attempt 1, 3f2a91c
  4    10ms  ActivityCompleted  fact    activity#0         "receipt o-1"
  5    10ms  TimerStarted       answer  timer#0            until 2020-01-03 00:00:00.010Z (approval)
  6  7.818s  SignalReceived     fact    signal approval    {"by":"ada"}
  7  7.818s  TimerCancelled     answer  timer#0            workflow_intent
  8  7.818s  WorkflowCompleted  answer                     "receipt o-1, approved by ada\""""


def test_a_short_history_to_the_letter() -> None:
    view = EventList(hist.short())
    assert str(view) == SHORT
    assert repr(view) == "<EventList: 8 events>" and len(view) == 8 and next(iter(view)).seq == 1
    assert list(view.to_frame().index) == list(range(1, 9))
    assert "2020-01-01 00:00:07.818Z" in Page(view._repr_html_()).titles


def test_lines_are_narrow() -> None:
    for events in (hist.order(), hist.batch(), hist.reminder(), hist.retries(), hist.many()):
        assert max(map(width, str(EventList(events)).split("\n"))) <= 100


def test_runs_are_told_apart_where_there_are_several() -> None:
    chain = [*hist.short(), *(one._replace(run_id=hist.reminder()[0].run_id) for one in hist.short())]
    assert "0192f0c1-7a10-7000-8000-000000000002" in str(EventList(chain))
    assert "0192f0c1" not in str(EventList(hist.short()))


def test_the_middle_of_a_long_history_is_left_out_and_counted() -> None:
    view = EventList(long_run(2000))
    for text in (str(view), Page(view._repr_html_()).text):
        assert "… 5,802 events left out …" in text and "activity#1999" in text
    assert len(view._repr_html_()) < 200_000


def test_nothing_yet() -> None:
    assert str(EventList([])) == "no events"
