"""The Gantt chart: its axis, its text to the letter, its limits."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionlab.core import events as e
from aionlab.core.clock import Micros
from aionlab.views.scale import FOLD_LEAST, MOST_FOLDS, scale
from aionlab.views.text import width
from aionlab.views.timeline import Timeline
from tests.views import histories as hist
from tests.views.histories import MS, D, H
from tests.views.reading import Page

ORDER = """\
order o-1                                              ✓ Completed  2h2s
run 0192f0c1-7a10-7000-80…000000000001 3f2a91c  2020-01-01 00:00:00.000Z
                      ┄┄┄┄┄┄┄┄┄┄┄┄┄‹⋯⋯⋯⋯⋯⋯⋯⋯⋯⋯2h⋯⋯⋯⋯⋯⋯⋯⋯⋯›┄┄┄┄      2h2s
✓ activity#0 charge   ▒░░░░░░░░░░░█                            1.202s ×2
⊘ timer#0    approval              ░░░░░░░░░░░░░░░░░░░░░░░            2h
✓ signal#0   approval              ░░░░░░░░░░░░░░░░░░░░░░░◆           2h
✓ activity#1 ship                                         ████     301ms
{"parcel":"parcel-7"}                                             result
█ running · ░ waiting · ▒ failed or dropped attempt · ◆ signal ┄┄┄┄┄┄┄┄┄
‹⋯› not to scale: 2h ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄"""

REMINDER = """\
reminder reminder/ada                                     ▸ Running  93d
run 0192f0c1-7a10-7000-80…000000000002 3f2a91c  2020-01-01 00:00:00.000Z
                       ┄┄┄┄┄┄┄┄┄‹⋯⋯⋯⋯90d⋯⋯⋯⋯⋯›┄┄┄┄┄┄┄‹⋯⋯⋯⋯⋯3d⋯⋯⋯⋯⋯›  93d
✓ activity#0 send_mail ░████████                                    15ms
✓ timer#0                       ░░░░░░░░░░░░░░                       90d
✓ activity#1 send_mail                        ░██████               11ms
‖ awaits                                             ░░░░░░░░░░░░░→   3d
signal 'stop' (reminder@3f2a91c:7)                                awaits
█ running · ░ waiting · → still open · ‹⋯› not to scale: 90d, 3d ┄┄┄┄┄┄┄"""

BATCH = """\
batch batch-7                                           ✗ Failed  8.025s
run 0192f0c1-7a10-7000-80…000000000003 3f2a91c  2020-01-01 00:00:00.000Z
                       ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄    8.025s
‖ paused                             ==========                       2s
· deadline             ░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░    8.025s
✓ activity#0 fetch     █████████                                  2.005s
✗ activity#1 fetch     ▒▒▒▒▒▒▒▒▒▒▒▒▒▒░░░░░▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒  8.005s ×2
⊘ activity#2 summarise ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒    8.025s
OSError: no route to host                                        failure
█ running · ░ waiting · ▒ failed or dropped attempt · = paused ┄┄┄┄┄┄┄┄┄"""

SHORT = """\
order o-1                                            ✓ Completed  7.818s
run 0192f0c1-7a10-7000-80…000000000001 3f2a91c  2020-01-01 00:00:00.000Z
                      ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄‹⋯⋯⋯⋯⋯⋯⋯⋯⋯7.808s⋯⋯⋯⋯⋯⋯⋯⋯› 7.818s
✓ activity#0 charge   ░░░███████████████                            10ms
⊘ timer#0    approval                   ░░░░░░░░░░░░░░░░░░░░░░░░░ 7.808s
✓ signal#0   approval                   ░░░░░░░░░░░░░░░░░░░░░░░░◆ 7.808s
"receipt o-1, approved by ada"                                    result
█ running · ░ waiting · ◆ signal · ‹⋯› not to scale: 7.808s ┄┄┄┄┄┄┄┄┄┄┄┄"""


def reminder() -> Timeline:
    events = hist.reminder()
    return Timeline(events, Micros(events[-1].at + 3 * D), "signal 'stop' (reminder@3f2a91c:7)")


@pytest.mark.parametrize(
    ("view", "golden"),
    [(Timeline(hist.order()), ORDER), (reminder(), REMINDER), (Timeline(hist.batch()), BATCH), (Timeline(hist.short()), SHORT)],
    ids=["order", "reminder", "batch", "short"],
)
def test_golden_text(view: Timeline, golden: str) -> None:
    assert str(view) == golden


@given(
    st.sampled_from([hist.order, hist.reminder, hist.batch]), st.integers(1, 17), st.integers(48, 130), st.integers(0, 400 * D)
)
def test_every_line_of_every_prefix_is_equally_wide(make: object, upto: int, cells: int, later: int) -> None:
    events = make()[:upto]  # type: ignore[operator]
    text = Timeline(events, Micros(events[-1].at + later)).to_text(cells)
    assert {width(line) for line in text.split("\n")} == {cells}
    assert "cannot be shown" not in text


INTERVALS = st.lists(st.tuples(st.integers(0, 10**13), st.integers(0, 10**9)).map(lambda pair: (pair[0], sum(pair))), max_size=12)


@given(st.integers(0, 10**6), st.integers(0, 10**13), INTERVALS, st.lists(st.integers(0, 10**13), max_size=6))
def test_the_axis_keeps_order_and_covers_everything(
    start: int, length: int, busy: list[tuple[int, int]], marks: list[int]
) -> None:
    axis = scale(start, start + length, busy, marks)
    assert (axis.stretches[0].left, axis.stretches[-1].right) == (0.0, 1.0)
    assert (axis.start, axis.end) == (start, start + length)
    assert all(one.end == other.start and one.right == pytest.approx(other.left) for one, other in pairwise(axis.stretches))
    times = sorted({start, start + length, *marks, *(time for span in busy for time in span)})
    places = [axis.at(time) for time in times]
    assert all(0.0 <= place <= 1.0 for place in places)
    assert all(one <= other + 1e-9 for one, other in pairwise(places))
    assert len(axis.folds) <= MOST_FOLDS
    for fold in axis.folds:
        assert not any(left < fold.end and fold.start < right for left, right in busy)
        assert fold.right - fold.left >= FOLD_LEAST - 1e-9
    to_scale = sum(one.end - one.start for one in axis.stretches if not one.folded)
    assert all(fold.end - fold.start > 10 * to_scale > 0 for fold in axis.folds)


def test_months_fold_away_beside_milliseconds() -> None:
    axis = scale(0, 90 * D + 20 * MS, [(0, 10 * MS), (90 * D + 10 * MS, 90 * D + 20 * MS)])
    (fold,) = axis.folds
    assert fold.label == "90d"
    assert axis.at(10 * MS) > 0.2 and axis.at(90 * D + 10 * MS) < 0.8


def test_a_wait_is_to_scale_until_it_dwarfs_everything_else() -> None:
    assert scale(0, 10 * H, [(0, H)]).folds == ()
    axis = scale(0, 7818 * MS, [(2 * MS, 10 * MS)], [0, 10 * MS, 7818 * MS])
    (fold,) = axis.folds
    assert fold.label == "7.808s" and fold.right - fold.left > 0.5


def test_of_equal_waits_all_are_folded_or_none() -> None:
    def naps(many: int) -> int:
        return len(scale(0, many * D + MS, [(0, MS)], range(MS, many * D, D)).folds)

    assert [naps(many) for many in (1, 2, MOST_FOLDS, MOST_FOLDS + 1, 30)] == [1, 2, MOST_FOLDS, 0, 0]


def test_a_longer_fold_is_drawn_longer() -> None:
    axis = scale(0, 93 * D, [(0, MS)], [0, MS, 90 * D])
    assert [fold.label for fold in axis.folds] == ["90d", "3d"]
    wide, narrow = (fold.right - fold.left for fold in axis.folds)
    assert wide > narrow > FOLD_LEAST


def test_work_is_never_folded_and_a_lone_sleep_is_not_either() -> None:
    assert scale(0, H, [(0, H)]).folds == ()
    assert scale(0, 90 * D, [], [0, 90 * D]).folds == ()
    assert scale(0, 0, []).at(5) in (0.0, 1.0)


def long_run(steps: int) -> list[e.Recorded]:
    story = hist.History().add(hist.started())
    for i in range(steps):
        story.add(e.ActivityScheduled(i, "step", hist.payload([i]))).after(MS).add(e.ActivityStarted(i)).after(MS).add(
            e.ActivityCompleted(i, hist.payload(i))
        )
    return story.add(e.WorkflowCompleted(hist.payload(steps))).events


def test_a_long_run_leaves_its_middle_out_and_says_so() -> None:
    view = Timeline(long_run(3333))
    text, page = str(view), Page(view._repr_html_())
    for shown in (text, page.text):
        assert "… 3,233 rows left out …" in shown
        assert "activity#0" in shown and "activity#74" in shown and "activity#75 " not in shown and "activity#3332" in shown
    assert len(view._repr_html_()) < 150_000
    assert repr(view) == "<Timeline of o-1: Completed, 3,333 bars, 6.666s>"
    assert "left out" not in Timeline(long_run(300), most=300).to_text()


def test_nothing_yet() -> None:
    assert (str(Timeline([])), repr(Timeline([]))) == ("no events yet", "<Timeline of nothing yet>")
    assert Timeline([]).to_svg().startswith("<svg ")


def test_only_the_last_run_of_a_chain_is_drawn() -> None:
    text = str(Timeline([*hist.order(), *hist.batch()]))
    assert "batch-7" in text and "charge" not in text


def test_hovering_tells_each_attempt() -> None:
    titles = Page(Timeline(hist.order())._repr_html_()).titles
    assert "attempt 1: failed, 120ms\nPaymentError: the card was declined\nagain at 2020-01-01 00:00:01.122Z" in titles
    assert "waiting for retry, 1s" in titles
    assert any("input [42]" in title for title in titles)


def test_what_is_still_open_is_marked_in_every_form() -> None:
    going = Timeline(hist.going())
    assert all("still open" in form for form in (str(going), Page(going._repr_html_()).text, going.to_svg()))
    done = Timeline(hist.order())
    assert not any("still open" in form for form in (str(done), done._repr_html_(), done.to_svg()))


def test_the_picture_is_a_file_of_its_own() -> None:
    picture = Timeline(hist.order()).to_svg()
    assert picture.startswith('<svg xmlns="http://www.w3.org/2000/svg"') and picture.count("http") == 1
    assert all(word in picture for word in ("o-1", "charge", "approval", "2h", "Completed"))
