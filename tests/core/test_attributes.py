"""Search attributes: what is stored is plain and typed, what is wrong is refused before anything is written."""
from __future__ import annotations

import enum
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aionlab.core.attributes import AttributeType, check_attributes, check_registration, may_be_stored
from aionlab.core.errors import InvalidAttribute, InvalidOption
from aionlab.core.jsontext import dumps, loads

SCHEMA = {"customer": "keyword", "note": "text", "n": "int", "amount": "float", "rush": "bool", "due": "datetime", "tags": "keyword_list"}


class Stage(str, enum.Enum):
    PACKED = "packed"


def test_values_as_they_are_stored() -> None:
    found = check_attributes(
        {"customer": "acme", "note": "é", "n": 3, "amount": 1, "rush": True, "due": datetime(2026, 11, 1, tzinfo=UTC), "tags": ("b", "a")}, SCHEMA
    )
    assert found == {"customer": "acme", "note": "é", "n": 3, "amount": 1.0, "rush": True, "due": 1_793_491_200_000_000, "tags": ["b", "a"]}
    assert type(found["amount"]) is float and loads(dumps(found)) == found
    assert check_attributes({}, {}) == {}


@pytest.mark.parametrize(("name", "value", "stored"), [
    ("customer", None, None), ("customer", Stage.PACKED, "packed"), ("customer", "", ""), ("n", np.int64(5), 5), ("amount", np.float32(0.5), 0.5), ("amount", -0.0, 0.0),
    ("n", -(2**63), -(2**63)), ("due", "1970-01-01T00:00:00.000001+00:00", 1), ("due", "1970-01-01T01:00:00+01:00", 0),
    ("due", datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), -1), ("due", pd.Timestamp(1, tz="UTC", unit="us"), 1),
    ("tags", {"b", "a"}, ["a", "b"]), ("tags", [], []), ("rush", False, False),
], ids=str)  # fmt: skip
def test_one_value(name: str, value: Any, stored: Any) -> None:
    (found,) = check_attributes({name: value}, SCHEMA).values()
    assert found == stored and type(found) is type(stored)


@pytest.mark.parametrize(("name", "value", "why"), [
    ("customer", 3, "it holds text, not int 3"), ("customer", ["a"], "text"), ("customer", "a\0b", "NUL"), ("customer", "\ud800", "lone surrogate"),
    ("customer", "x" * 3000, "3,002 bytes; the most is 2,048"), ("n", "3", "whole numbers, not str '3'"), ("n", 3.0, "whole numbers"), ("n", True, "whole numbers"),
    ("n", 2**63, "64 bits"), ("n", 10**6000, "64 bits"), ("amount", "1", "numbers"), ("amount", True, "numbers"), ("amount", float("nan"), "nan is not a number"),
    ("amount", float("inf"), "searched for"), ("amount", 10**400, "searched for"), ("rush", 1, "True or False"), ("rush", "yes", "True or False"),
    ("due", datetime(2026, 1, 1), "has no time zone"), ("due", "2026-01-01", "has no time zone"), ("due", "tomorrow", "times"), ("due", 5, "times"),
    ("due", date(2026, 1, 1), "times"), ("due", pd.NaT, "times"), ("tags", "a", "lists of text"), ("tags", [1], "text"), ("tags", ["x" * 300] * 10, "2,048"),
    ("custmer", "a", "not registered; did you mean 'customer'"), ("zzz", 5, r"lab.register_search_attribute\('zzz', 'int'\)"),
    ("zzz", True, "'bool'"), ("zzz", "x", "'keyword'"), (5, "x", "not registered"), ("x" * 10_000, 1, "not registered"),
], ids=lambda v: str(v)[:20] if not isinstance(v, int) else type(v).__name__)  # fmt: skip
def test_what_is_wrong_is_said(name: Any, value: Any, why: str) -> None:
    with pytest.raises(InvalidAttribute, match=why) as caught:
        check_attributes({"customer": "fine", name: value}, SCHEMA)
    assert len(str(caught.value)) < 400


def test_limits() -> None:
    many = {f"a{n}": "keyword" for n in range(101)}
    check_attributes({f"a{n}": "x" for n in range(100)}, many)
    with pytest.raises(InvalidAttribute, match="at most 100"):
        check_attributes({f"a{n}": "x" for n in range(101)}, many)
    with pytest.raises(InvalidAttribute, match="40,960"):
        check_attributes({f"a{n}": "x" * 2000 for n in range(21)}, many)
    assert check_attributes({"customer": "x" * 2046}, SCHEMA)


def test_types_by_name_and_by_python_type() -> None:
    for kind, expected in [(str, "keyword"), (int, "int"), (float, "float"), (bool, "bool"), (datetime, "datetime"), (list, "keyword_list"),
                           ("Text", "text"), ("keyword", "keyword"), (AttributeType.INT, "int")]:  # fmt: skip
        assert AttributeType.of(kind) == expected and str(AttributeType.of(kind)) == expected
    for kind in ("integer", dict, None, 3, timedelta):
        with pytest.raises(InvalidOption, match="use one of keyword, text, int"):
            AttributeType.of(kind)


def test_registration() -> None:
    assert check_registration("customer", str, {}) == ("customer", AttributeType.KEYWORD)
    assert check_registration("customer", "keyword", SCHEMA) == ("customer", AttributeType.KEYWORD)
    with pytest.raises(InvalidAttribute, match="registered as keyword already"):
        check_registration("customer", "int", SCHEMA)
    for name in ("", "a b", "1a", "é", "a.b", 3, "x" * 101, "a\n"):
        with pytest.raises(InvalidAttribute, match="letters, digits and underscores"):
            check_registration(name, "int", {})


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.dictionaries(st.sampled_from([*SCHEMA, "other"]), st.one_of(
    st.none(), st.text(), st.integers(), st.floats(), st.booleans(), st.datetimes(timezones=st.none() | st.just(UTC)), st.lists(st.text()), st.just(object()))))
def test_law_a_value_is_refused_or_stored_as_plain_json(values: dict[str, Any]) -> None:
    try:
        found = check_attributes(values, SCHEMA)
    except InvalidAttribute as refused:
        assert str(refused)
    else:
        assert found.keys() == values.keys() and loads(dumps(found)) == found
        assert may_be_stored(values, found)


@pytest.mark.parametrize(("values", "stored"), [
    ({"a": "x"}, {"a": "y"}), ({"a": 1}, {"a": True}), ({"a": True}, {"a": 1}), ({"a": None}, {"a": "x"}), ({"a": "x"}, {"a": None}), ({"a": 1}, {}),
    ({}, {"a": 1}), ({"a": datetime(2026, 1, 1, tzinfo=UTC)}, {"a": 5}), ({"a": object()}, {"a": "x"}),
])  # fmt: skip
def test_what_no_schema_stores_so(values: dict[str, Any], stored: dict[str, Any]) -> None:
    assert not may_be_stored(values, stored)
