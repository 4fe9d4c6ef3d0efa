"""Characters, cells and spellings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionlab.core.clock import Micros
from aionlab.views.text import block, clip, columns, label, pad, short, spread, value, visible, when, width
from tests.views.test_hostile import hidden

ANY = st.text(st.characters(), max_size=80)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\x1b[31m", "\\x1b[31m"),
        ("user\u202egpj.exe", "user\\u202egpj.exe"),
        ("\ud800", "\\ud800"),
        ("ad\u200dmin", "ad\\u200dmin"),
        ("\u200d", "\\u200d"),
        ("👩\u200d👧", "👩\u200d👧"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("\U000e0041", "\\U000e0041"),
        ("日本", "日本"),
    ],
)
def test_what_hides_is_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(ANY)
def test_visible_text_stays_as_it_is(text: str) -> None:
    once = visible(text)
    assert hidden(once) == [] and "\n" not in once
    assert visible(once) == once


@given(ANY, st.integers(4, 60))
def test_cuts_keep_to_their_cells_and_are_marked(text: str, limit: int) -> None:
    for cut in (clip, label):
        shown = cut(text, limit)
        assert width(shown) <= limit and hidden(shown) == []
        assert shown == visible(text) or "…" in shown


@given(st.lists(st.tuples(ANY.map(visible), ANY.map(visible)), min_size=1, max_size=6))
def test_columns_line_up(rows: list[tuple[str, str]]) -> None:
    marked = [(left, "|" + right) for left, right in rows]
    assert (
        len(
            {
                width(line.rpartition("|")[0] if "|" not in right[1:] else line[: line.index("|" + right[1:])])
                for line, (left, right) in zip(columns(marked), marked, strict=True)
                if "|" not in left and "|" not in right[1:]
            }
        )
        <= 1
    )


@given(ANY, ANY, st.integers(20, 90))
def test_spread_fills_the_line(left: str, right: str, cells: int) -> None:
    assert width(spread(left, right, cells)) == cells


def test_a_label_keeps_both_ends() -> None:
    assert label("order-" + "0" * 100 + "-eu", 20) == "order-0000000…000-eu"
    assert clip("x" * 50, 5) == "xxxx…"


def test_wide_and_combining_characters_count_as_a_terminal_draws_them() -> None:
    assert [width(text) for text in ("abc", "日本", "e\u0301", "👩\u200d👧", "")] == [3, 4, 1, 2, 0]
    assert pad("日", 4) + "|" == "日  |"


@pytest.mark.parametrize(
    ("at", "shown"),
    [
        (None, ""),
        (1_577_836_800_000_000, "2020-01-01 00:00:00.000Z"),
        (1_577_836_800_999_999, "2020-01-01 00:00:00.999Z"),
        (-1, "1969-12-31 23:59:59.999Z"),
        (-50_000_000_000_000_000, "0385-07-25 07:06:40.000Z"),
        (2**62, "4611686018427387904 µs"),
    ],
)
def test_times_are_spelled_one_way(at: int | None, shown: str) -> None:
    assert when(None if at is None else Micros(at)) == shown


def test_versions_values_and_blocks() -> None:
    assert short("3f2a91c4e5d6") == "3f2a91c"
    assert [value(thing) for thing in ("a\nb", 3, None, [1, "x"], {"a": 1})] == ["a\\nb", "3", "null", '[1,"x"]', '{"a":1}']
    assert value(object(), 20).startswith("<object")
    assert block("def f():\n\treturn 1\x1b\n") == ("def f():", "    return 1\\x1b")
    assert len(block("x\n" * 1000)) == 201
