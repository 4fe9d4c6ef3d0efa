"""What a query that is being typed may go on with."""
from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionlab.core.clock import Micros
from aionlab.core.errors import InvalidFilter
from aionlab.core.filters import parse
from aionlab.core.filters.hints import completions
from aionlab.testing import queries

SCHEMA = {"amount": "int", "tags": "keyword_list", "customer": "keyword", "vip": "bool", "due": "datetime"}


def complete(text: str) -> list[str]:
    return completions(text, SCHEMA, lambda field: ["acme", "it's"])[1]


@pytest.mark.parametrize(
    ("text", "some"),
    [
        ("", ["status", "type", "amount", "NOT", "ORDER BY"]),
        ("st", ["status", "start_time"]),
        ("status ", ["=", "!=", "IN (", "IS NULL"]),
        ("amount ", ["=", "<", "BETWEEN"]),
        ("customer ", ["STARTS_WITH", "<"]),
        ("status = ", ["'Running'", "'TimedOut'"]),
        ("status = 'r", ["'Running'"]),
        ('status = "Comp', ["'Completed'"]),
        ("status IN (", ["'Failed'"]),
        ("status NOT IN ('Failed', 'T", ["'Terminated'", "'TimedOut'"]),
        ("customer STARTS_WITH ", ["'acme'", "'it''s'"]),
        ("tags = 'a", ["'acme'"]),
        ("vip = ", ["TRUE", "FALSE"]),
        ("due BETWEEN now() AND ", ["now()"]),
        ("amount NOT ", ["IN (", "BETWEEN"]),
        ("amount IS ", ["NULL", "NOT NULL"]),
        ("amount > 3 ", ["AND", "OR", "ORDER BY", "LIMIT"]),
        ("amount > 3 a", ["AND"]),
        ("(amount > 3 OR ", ["status", "NOT"]),
        ("ORDER ", ["BY"]),
        ("ORDER BY start_time ", ["DESC", "ASC", "LIMIT"]),
        ("ORDER BY start_time, cl", ["close_time"]),
        ("GROUP BY sta", ["status", "start_time"]),
    ],
)
def test_what_comes_next(text: str, some: list[str]) -> None:
    assert set(some) <= set(complete(text))


def test_only_what_fits() -> None:
    assert complete("status = 'r") == ["'Running'"] and complete("st") == ["status", "start_time"]
    assert "<" not in complete("status ") and "STARTS_WITH" not in complete("amount ") and complete("amount > ") == []
    assert complete("nothing = ") == [] and complete("LIMIT ") == [] and complete("§ st") == []


@given(st.integers(0, 2**32), st.floats(0, 1))
def test_nothing_that_is_typed_goes_wrong(seed: int, cut: float) -> None:
    text = queries.query(Random(seed))
    text = text[: int(len(text) * cut)]
    fragment, found = completions(text, queries.SCHEMA, lambda field: ["a"])
    assert text.endswith(fragment)
    for one in found:
        assert one.lower().startswith(fragment.lower().replace('"', "'"))


@given(st.text(alphabet="amount tagsINBETWEEN=<>(),'\"NOT ", max_size=40))
def test_nor_with_any_text(text: str) -> None:
    completions(text, SCHEMA, lambda field: ["a"])


@pytest.mark.parametrize("begun", ["amount > 3 AND status = ", "customer ", "status IN ('Failed', ", "", "amount = 1 OR NOT vip = ", "ORDER BY start_time ", "tags "])
def test_a_query_that_follows_the_hints_can_be_ended(begun: str) -> None:
    ends = ("", " 'a'", " = 3", " = 'a'", " 3", ")", "'Failed')", " 'a')", " status", " id", " BY id", " status = 'Failed'", " 'a' AND 'b'", " = true", " > now()", " > 1s",
            " = 'Failed'", " 1", " 1)", " 1 AND 2")  # fmt: skip
    for hint in complete(begun):
        assert any(_reads(begun + hint + end) for end in ends), begun + hint


def _reads(text: str) -> bool:
    try:
        return parse(text, SCHEMA, Micros(0)) is not None
    except InvalidFilter:
        return False
