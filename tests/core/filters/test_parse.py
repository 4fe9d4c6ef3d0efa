"""The language of filters: what is read, what is refused and where, and that nothing else comes of any text."""
from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aionlab.core.clock import Micros
from aionlab.core.errors import InvalidFilter
from aionlab.core.filters import (
    And,
    Begins,
    Compare,
    Field,
    Missing,
    Not,
    OneOf,
    Or,
    Order,
    Query,
    equal_to,
    field_named,
    parse,
    words,
)
from aionlab.core.filters.fields import FIELDS, readable
from aionlab.core.filters.parse import DEEPEST, MOST_TESTS, MOST_VALUES
from aionlab.testing import queries

SCHEMA = {
    "amount": "int", "rate": "float", "customer": "keyword", "note": "text", "vip": "bool", "due": "datetime", "tags": "keyword_list", "status": "keyword", "limit": "int",
}
NOW = Micros(1_700_000_000_000_000)
HOUR = 3_600_000_000

STATUS, TYPE, ID = Field("status", "status"), Field("type"), Field("id")
STARTED, CLOSED, DURATION = Field("start_time", "time"), Field("close_time", "time"), Field("duration", "length")
AMOUNT, VIP, TAGS = Field("amount", "int", True), Field("vip", "bool", True), Field("tags", "list", True)
CUSTOMER, DUE = Field("customer", "text", True), Field("due", "time", True)


def read(text: str) -> Query:
    return parse(text, SCHEMA, NOW)


CONDITIONS = [
    ("status = 'Running'", Compare(STATUS, "=", "Running")),
    ("STATUS=='running'", Compare(STATUS, "=", "Running")),
    ("ExecutionStatus = 'timed_out'", Compare(STATUS, "=", "TimedOut")),
    ("type != 'order'", Not(Compare(TYPE, "=", "order"))),
    ("WorkflowType <> \"order\"", Not(Compare(TYPE, "=", "order"))),
    ("id = 'it''s'", Compare(ID, "=", "it's")),
    ('id = "say ""hi"" it\'s"', Compare(ID, "=", 'say "hi" it\'s')),
    ("amount > -3", Compare(AMOUNT, ">", -3)),
    ("amount <= +1_000", Compare(AMOUNT, "<=", 1000)),
    ("amount < 2.5e3", Compare(AMOUNT, "<", 2500.0)),
    ("vip = TRUE", Compare(VIP, "=", True)),
    ("tags = 'a'", Compare(TAGS, "=", "a")),
    ("tags NOT IN ('a', 'b')", Not(OneOf(TAGS, ("a", "b")))),
    ("amount in (1,2,3)", OneOf(AMOUNT, (1, 2, 3))),
    ("amount between 1 and 5", And((Compare(AMOUNT, ">=", 1), Compare(AMOUNT, "<=", 5)))),
    ("amount NOT BETWEEN 1 AND 5 AND vip = false", And((Not(And((Compare(AMOUNT, ">=", 1), Compare(AMOUNT, "<=", 5)))), Compare(VIP, "=", False)))),
    ("customer starts_with 'ac'", Begins(CUSTOMER, "ac")),
    ("version = '3f2a91c'", Begins(Field("version", "version"), "3f2a91c")),
    ("version IN ('3f', 'v1')", Or((Begins(Field("version", "version"), "3f"), Begins(Field("version", "version"), "v1")))),
    ("close_time IS NULL", Missing(CLOSED)),
    ("customer IS NOT NULL", Not(Missing(CUSTOMER))),
    ("attr.status = 'x'", Compare(Field("status", "text", True), "=", "x")),
    ("attr.limit = 1", Compare(Field("limit", "int", True), "=", 1)),
    ("start_time > now()", Compare(STARTED, ">", NOW)),
    ("start_time > now() - 1h", Compare(STARTED, ">", NOW - HOUR)),
    ("start_time > NOW() - '1d' + 90m", Compare(STARTED, ">", NOW - 24 * HOUR + 3 * HOUR // 2)),
    ("due >= '2026-11-01'", Compare(DUE, ">=", 1_793_491_200_000_000)),
    ("due >= '2026-11-01T01:00:00+01:00'", Compare(DUE, ">=", 1_793_491_200_000_000)),
    ("due < '2026-11-01' - 1d", Compare(DUE, "<", 1_793_404_800_000_000)),
    ("duration > 5m", Compare(DURATION, ">", 300_000_000)),
    ("duration > '1d12h'", Compare(DURATION, ">", 36 * HOUR)),
    ("duration > 1.5s", Compare(DURATION, ">", 1_500_000)),
    ("duration = 2", Compare(DURATION, "=", 2_000_000)),
    ("NOT amount = 3 AND vip = true OR tags = 'a'", Or((And((Not(Compare(AMOUNT, "=", 3)), Compare(VIP, "=", True))), Compare(TAGS, "=", "a")))),
    ("NOT (amount = 3 AND (vip = true OR tags = 'a'))",
     Not(And((Compare(AMOUNT, "=", 3), Or((Compare(VIP, "=", True), Compare(TAGS, "=", "a"))))))),
    ("amount = 1\n  OR\tamount = 2", Or((Compare(AMOUNT, "=", 1), Compare(AMOUNT, "=", 2)))),
]  # fmt: skip


@pytest.mark.parametrize(("text", "condition"), CONDITIONS, ids=[text for text, _ in CONDITIONS])
def test_a_condition_reads_as(text: str, condition: object) -> None:
    assert read(text) == Query(condition)  # type: ignore[arg-type]


QUERIES = [
    ("", Query()),
    ("  \n ", Query()),
    ("LIMIT 20", Query(limit=20)),
    ("ORDER BY start_time", Query(order=(Order(STARTED),))),
    ("vip = true order by amount desc, id asc limit 1_0", Query(Compare(VIP, "=", True), (Order(AMOUNT, True), Order(ID)), 10)),
    ("GROUP BY status", Query(group=STATUS)),
    ("vip = true GROUP BY amount LIMIT 3", Query(Compare(VIP, "=", True), limit=3, group=AMOUNT)),
]


@pytest.mark.parametrize(("text", "query"), QUERIES, ids=[repr(text) for text, _ in QUERIES])
def test_a_query_reads_as(text: str, query: Query) -> None:
    assert read(text) == query


MISTAKES = [
    ("staus = 'Running'", "staus", "there is no field or search attribute 'staus'; did you mean 'status'?"),
    ("custmer = 'a'", "custmer", "there is no field or search attribute 'custmer'; did you mean 'customer'?"),
    ("zzzzz = 'a'", "zzzzz", None),
    ("attr.amuont = 3", "attr.amuont", "there is no search attribute 'amuont'; did you mean 'amount'?"),
    ("status = 'Runing'", "'Runing'", "no status 'Runing'; did you mean 'Running'?"),
    ("status IN ('Failed', 'x')", "'x'", None),
    ("status > 'Running'", "'Running'", "status holds a status, and none is smaller than another: compare with =, != or IN"),
    ("tags < 'a'", "'a'", "tags holds text, and none is smaller than another: compare with =, != or IN"),
    ("vip > false", "false", "vip holds TRUE or FALSE, and none is smaller than another: compare with =, != or IN"),
    ("status = Running", "Running", "text needs quotes: 'Running'"),
    ("amount = 'x'", "'x'", "amount holds a number, not 'x'"),
    ("amount = true", "true", "amount holds a number, not True"),
    ("amount = 1h", "1h", "amount holds a number, not the length 1h"),
    ("amount = now()", "now()", "amount holds a number, not a time"),
    ("amount = 9223372036854775808", "9223372036854775808", "amount holds numbers of 64 bits, and 9223372036854775808 does not fit"),
    ("amount = 1e999", "1e999", "inf is not a number that can be searched for"),
    ("customer = 3", "3", "customer holds text, not 3"),
    ("vip = 1", "1", "vip holds TRUE or FALSE, not 1"),
    ("start_time > 5m", "5m", "start_time holds a time, not the length 5m"),
    ("start_time > 'soon'", "'soon'", None),
    ("duration > 'soon'", "'soon'", None),
    ("duration > now()", "now()", "duration holds a length of time, not a time"),
    ("start_time > now() - 3", "3", "a length of time stands here: now() - 1h"),
    ("start_time > now() - now()", "now()", "a length of time stands here: now() - 1h"),
    ("amount STARTS_WITH '3'", "'3'", "amount holds a number, and only text starts with text"),
    ("customer LIKE 'a%'", "LIKE", "there is no LIKE; STARTS_WITH 'o-' finds text that begins so"),
    ("amount = NULL", "NULL", "nothing equals NULL; ask IS NULL or IS NOT NULL"),
    ("amount IS 3", "3", "IS is followed by NULL or NOT NULL; values are compared with ="),
    ("amount NOT = 3", "=", "NOT behind a field is followed by IN, BETWEEN or STARTS_WITH"),
    ("amount BETWEEN 3 OR 5", "OR", "BETWEEN takes two values: amount BETWEEN 3 AND 5"),
    ("amount IN 3", "3", "IN takes values in parentheses: status IN ('Failed', 'TimedOut')"),
    ("amount IN ()", ")", "IN needs at least one value"),
    ("amount IN (3 4)", "4", None),
    ("amount > ", None, "a value is missing"),
    ("amount", None, None),
    ("amount >> 3", ">", "a value stands here, not '>'"),
    ("(amount = 3", "(", "this parenthesis is never closed"),
    ("amount = 3)", ")", "this parenthesis closes nothing"),
    ("amount = 3 amount = 4", "amount", None),
    ("amount = 3, vip = true", ",", "conditions are joined with AND or OR"),
    ("amount = 3 ADN vip = true", "ADN", None),
    ("(amount = 3 ORDER BY id)", "ORDER", "ORDER stands behind all conditions, outside of parentheses"),
    ("amount = 3 LIMIT 2 ORDER BY id", "ORDER", "ORDER BY stands once, before LIMIT"),
    ("LIMIT -1", "-", "LIMIT takes a whole number: LIMIT 20"),
    ("LIMIT 1.5", "1.5", "LIMIT takes a whole number: LIMIT 20"),
    ("ORDER id", "id", "ORDER BY names fields: ORDER BY start_time DESC"),
    ("ORDER BY tags", "tags", "tags holds lists, which have no order"),
    ("limit = 3", "=", "LIMIT takes a whole number: LIMIT 20"),
    ("amount = 3 AND limit = 3", "limit", "limit is a word of the language; the attribute is written attr.limit"),
    ("'order' = type", "'order'", "a field stands here, and the value behind the comparison: type = 'order'"),
    ("amount = 'x", "'x", "this text is never closed"),
    ("amount = 3 && vip = true", "&", "'&' has no meaning here; use AND, OR and NOT"),
    ("start_time > 2026-11-01T00", "01T00", None),
    ("customer = '\ud800'", "'\ud800'", "this text has a lone surrogate"),
    ("amount = 3; DROP TABLE run", ";", "';' has no meaning here"),
]


@pytest.mark.parametrize(("text", "under", "why"), MISTAKES, ids=[ascii(text) for text, _, _ in MISTAKES])
def test_a_mistake_is_shown_where_it_stands(text: str, under: str | None, why: str | None) -> None:
    with pytest.raises(InvalidFilter) as caught:
        read(text)
    found = caught.value
    if why is not None:
        assert found.why == why
    if under is None:
        assert found.at == len(text)
    else:
        assert text[found.at : found.at + found.width] == under
    why_line, line, carets = str(found).rsplit("\n", 2)
    assert why_line == found.why and carets.strip("^ ") == "" and "^" in carets
    assert carets.index("^") - 2 == found.at and len(line) <= len(text) + 2


def test_the_place_is_shown_in_a_long_line_and_among_many() -> None:
    text = "amount = 1 OR\n" + "amount = 2 OR " * 50 + "amuont = 3 OR vip = true"
    with pytest.raises(InvalidFilter) as caught:
        read(text)
    _, line, carets = str(caught.value).split("\n")
    assert len(line) <= 102 and line[carets.index("^") : carets.rindex("^") + 1] == "amuont"


def test_what_is_too_much_is_refused() -> None:
    def refused(text: str) -> str:
        with pytest.raises(InvalidFilter) as caught:
            read(text)
        return caught.value.why

    assert read("(" * DEEPEST + "vip = true" + ")" * DEEPEST) == read("vip = true")
    assert refused("(" * (DEEPEST + 1) + "vip = true" + ")" * (DEEPEST + 1)) == f"this is nested more than {DEEPEST} deep"
    assert refused("NOT " * 10_000 + "vip = true") == f"this is nested more than {DEEPEST} deep"
    assert len(read(" OR ".join(["vip = true"] * MOST_TESTS)).condition.terms) == MOST_TESTS  # type: ignore[union-attr]
    assert "at most 500 tests" in refused(" OR ".join(["vip = true"] * (MOST_TESTS + 1)))
    assert len(read(f"amount IN ({','.join(['1'] * MOST_VALUES)})").condition.values) == MOST_VALUES  # type: ignore[union-attr]
    assert "at most 10,000 values" in refused(f"amount IN ({','.join(['1'] * (MOST_VALUES + 1))})")
    assert "the most is 200,000" in refused("x" * 200_001)
    assert "at most 8 fields" in refused("ORDER BY " + ", ".join(["id"] * 9))


@given(st.text(alphabet="amount tagsvip='\"()<>!,+-.%;1259hmdNOTANDORILBYE_\\\n\ud800é", max_size=60) | st.text(max_size=40))
@example("amount = 1e9999999")
@example("due > '0001-01-01T00:00:00+23:59'")
@example("start_time > '9999-12-31T23:59:59.999999-23:59' + 9999999w")
@example("due > now()" + " + 156000w" * 100)
@example("duration > 99999999999999999w")
@example("amount = " + "9" * 5000)
def test_any_text_is_a_query_or_a_mistake(text: str) -> None:
    try:
        assert isinstance(read(text), Query)
    except InvalidFilter as error:
        assert 0 <= error.at <= len(text) and error.width > 0 and str(error).count("\n") == 2


@given(st.integers(0, 2**32))
def test_queries_made_up_by_chance_are_queries(seed: int) -> None:
    assert isinstance(parse(queries.query(Random(seed)), queries.SCHEMA, queries.NOW), Query)


def test_fields_and_their_other_names() -> None:
    for known in FIELDS:
        for name in (known.field.name, *known.also, known.field.name.upper(), known.field.name.title().replace("_", "")):
            assert field_named(name, {}) == known.field
    assert words({"amount": "int", "status": "keyword", "Type": "keyword"})[len(FIELDS) :] == ["attr.Type", "amount", "attr.status"]
    with pytest.raises(LookupError):
        field_named("Amount", {"amount": "int"})


def test_fields_by_value() -> None:
    assert equal_to({}, SCHEMA) == And()
    assert equal_to({"status": "running", "tags": ["a", "b"], "customer": None}, SCHEMA) == And(
        (Compare(STATUS, "=", "Running"), Compare(TAGS, "=", "a"), Compare(TAGS, "=", "b"), Missing(CUSTOMER))
    )
    moment = datetime(2026, 11, 1, tzinfo=UTC)
    assert equal_to({"due": moment}, SCHEMA) == Compare(DUE, "=", 1_793_491_200_000_000) == equal_to({"due": moment.replace(tzinfo=None)}, SCHEMA)
    assert equal_to({"duration": timedelta(minutes=5)}, SCHEMA) == Compare(DURATION, "=", 300_000_000)
    with pytest.raises(LookupError):
        equal_to({"colour": 1}, SCHEMA)
    for wrong in ({"amount": "x"}, {"amount": float("nan")}, {"vip": 1}, {"due": 3}, {"customer": b"x"}, {"duration": -1}, {"id": "\ud800"}):
        with pytest.raises(ValueError):
            equal_to(wrong, SCHEMA)


def test_values_are_given_back_as_people_use_them() -> None:
    assert readable(DUE, 1_793_491_200_000_000) == datetime(2026, 11, 1, tzinfo=UTC)
    assert readable(DURATION, 300_000_000) == timedelta(minutes=5)
    assert readable(VIP, 1) is True and readable(VIP, None) is None and readable(AMOUNT, 3) == 3
