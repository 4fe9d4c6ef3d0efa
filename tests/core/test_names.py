"""What may be a name."""
from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aionlab.core.errors import InvalidName, UsageError
from aionlab.core.names import check_name


@pytest.mark.parametrize("name", [
    "o", "order-42", "a b", "x" * 255, "é", "Bestellung №7", "日本語", "🙂" * 250, "a/b:c", "../etc", "<script>", "'; DROP TABLE", "%s{0}$x", "a\u0301" * 10,
    " x ", "-", "a\u00a0b", "ك",
])  # fmt: skip
def test_names_that_are_fine(name: str) -> None:
    found = check_name("workflow id", name)
    assert found == unicodedata.normalize("NFC", name) and type(found) is str
    assert check_name("workflow id", found) == found


@pytest.mark.parametrize(("name", "why"), [
    ("", "empty"), ("   ", "blank"), ("x" * 256, "256 characters; the most is 255"), ("x" * 1_000_000, "1,000,000 characters"), ("🙂" * 251, "1,004 bytes"),
    ("a\0b", r"a NUL \(U\+0000\) at position 1"), ("a\nb", "control character"), ("\x1b[31m", "control"), ("\x7f", "control"), ("\x85", "control"),
    ("a\ud800", "lone surrogate"), ("a\u202eb", "direction of text"), ("\u200e", "direction"), ("\u2066x", "direction"), ("\u061c", "direction"),
    ("a\u200bb", "invisible"), ("a\u200db", "invisible"), ("\ufeffx", "invisible"), ("a\u00adb", "invisible"), ("\u3164", "invisible"), ("a\u2028b", "line separator"),
    ("\U000e0041", "invisible"), (None, "NoneType; names are text"), (3, "int"), (b"x", "bytes"), (Path("x"), "Path"),
])  # fmt: skip
def test_names_that_are_refused_with_the_reason(name: object, why: str) -> None:
    with pytest.raises(InvalidName, match=why) as caught:
        check_name("signal", name)
    assert isinstance(caught.value, UsageError) and isinstance(caught.value, ValueError) and str(caught.value).startswith("signal ")
    assert len(str(caught.value)) < 250


def test_two_spellings_of_a_text_are_one_name() -> None:
    assert check_name("id", "Zoe\u0308") == check_name("id", "Zo\u00eb") == "Zo\u00eb"
    assert len(check_name("id", "e\u0301" * 255)) == 255


def test_a_subclass_of_str_becomes_plain() -> None:
    class Loud(str):
        def __str__(self) -> str:
            return "LOUD"

    assert check_name("id", Loud("quiet")) == "quiet" and type(check_name("id", Loud("quiet"))) is str


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(max_size=300))
def test_law_a_name_is_refused_or_stays_what_it_is(name: str) -> None:
    try:
        found = check_name("id", name)
    except InvalidName as refused:
        assert str(refused).encode(errors="backslashreplace")
    else:
        assert check_name("id", found) == found and 1 <= len(found) <= 255 and len(found.encode()) <= 1000 and "\0" not in found
