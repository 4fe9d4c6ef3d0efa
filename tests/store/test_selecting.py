"""Nothing a user writes becomes part of a statement, and whatever is asked, SQLite answers as plain Python does."""
from __future__ import annotations

import shutil
import string
from pathlib import Path
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aionlab.core.errors import InvalidFilter
from aionlab.core.filters import FIELDS, Query, groups, parse, selected
from aionlab.core.filters.conditions import And, Begins, Compare, Field, Not, OneOf, Order
from aionlab.core.filters.parse import DEEPEST
from aionlab.core.filters.truth import _COLUMNS
from aionlab.core.ids import WorkflowId
from aionlab.store.memory import MemoryStore
from aionlab.store.selecting import COLUMNS, Selection, behind, counting
from aionlab.store.sqlite import SqliteStore
from aionlab.testing import queries
from aionlab.testing.conformance import W


@pytest.fixture(scope="module")
def stores():
    sqlite, memory = SqliteStore.open(":memory:"), MemoryStore()
    chance = Random(11)
    for n in range(40):
        recorded = queries.history(chance, f"w{n}", "r1")
        for store in (sqlite, memory):
            store.append(WorkflowId(f"w{n}"), recorded, 0)
    yield sqlite, memory
    sqlite.close()


def said(store, ask):
    """The statements a query runs, as they are written."""
    texts = []
    execute = store._rows
    store._rows = lambda text, values=(): texts.append(text) or execute(text, values)
    try:
        ask(store)
    finally:
        del store._rows
    return texts


@settings(deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12), st.sampled_from(["id = {}", "customer != {}", "tags IN ({0}, {0})", "note > {}",
       "type STARTS_WITH {}", "NOT (customer BETWEEN {0} AND {0})", "version = {}"]), st.sampled_from(["", " ORDER BY customer DESC", " ORDER BY id"]))  # fmt: skip
@example("'; DROP TABLE run; --", "id = {}", "")
@example('"', "customer != {}", " ORDER BY id")
@example("%", "type STARTS_WITH {}", "")
@example("\0a", "id = {}", "")
@example("?", "tags IN ({0}, {0})", "")
def test_no_text_of_a_user_is_part_of_a_statement(stores, text, form, order):
    marked = "§mark§" + text
    query = parse(form.format(queries.quoted(marked)) + order, queries.SCHEMA, queries.NOW)
    sqlite, memory = stores
    for statement in said(sqlite, lambda store: (store.runs(query, store.runs()[3]), store.count(query.condition))):
        assert "§" not in statement and set(statement.replace("count(*)", "")) <= set(string.ascii_letters + string.digits + " \n.,_()?<>=|-&:")
    plain = parse(form.format(queries.quoted(text)) + order, queries.SCHEMA, queries.NOW)
    assert sqlite.runs(plain) == memory.runs(plain)


@settings(deadline=None)
@given(st.text(alphabet="idcustomeragtyp ='\"()<>!,%;-/*?:@$ORANDNOTIN12\0é", max_size=50))
@example("id = '' OR 1=1; DELETE FROM run")
@example("id = 'a' UNION SELECT * FROM meta")
@example("customer = '' /* */")
def test_any_text_is_answered_or_refused_and_changes_nothing(stores, text):
    sqlite, memory = stores
    before = sqlite._db.total_changes
    try:
        query = parse(text, queries.SCHEMA, queries.NOW)
    except InvalidFilter:
        return
    assert sqlite.runs(query) == memory.runs(query) and sqlite._db.total_changes == before


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 2**64))
def test_made_up_queries_are_answered_alike(stores, seed):
    chance = Random(seed)
    sqlite, memory = stores
    query = parse(queries.query(chance), queries.SCHEMA, queries.NOW)
    everything = sqlite.runs()
    assert sqlite.runs(query) == memory.runs(query) == selected(everything, query)
    after = chance.choice(everything)
    assert sqlite.runs(query, after) == memory.runs(query, after)
    assert sqlite.count(query.condition) == memory.count(query.condition) == groups(everything, query.condition)


VALUES = st.one_of(st.sampled_from(["", "a", "ab", "\U0010ffff", "0", "-1"]), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), st.booleans())
UNTYPED = st.sampled_from([Field(name, attribute=True) for name in queries.SCHEMA])
TESTS = st.one_of(
    st.builds(Compare, UNTYPED, st.sampled_from(["=", "<", "<=", ">", ">="]), VALUES),
    st.builds(OneOf, UNTYPED, st.lists(VALUES, max_size=3).map(tuple)),
    st.builds(Begins, UNTYPED, st.sampled_from(["", "a", "\ud7ff", "\U0010ffff", "z\U0010ffff"])),
)


@settings(deadline=None)
@given(TESTS, TESTS, st.builds(Order, UNTYPED, st.booleans()))
def test_values_of_other_types_than_the_schema_says_are_answered_alike(stores, one, other, order):
    sqlite, memory = stores
    query = Query(And((Not(one), other)), (order,))
    assert sqlite.runs(query) == memory.runs(query)
    assert sqlite.runs(Query(one)) == memory.runs(Query(one))


@given(st.text(alphabet=st.sampled_from("a\x7f\ud7ff\ue000\uffff\U00010000\U0010fffe\U0010ffff"), max_size=4), st.text(max_size=4))
def test_what_lies_behind_a_prefix_begins_otherwise(prefix, more):
    last = behind(prefix)
    if last is not None:
        assert prefix + more < last and not last.startswith(prefix)
    else:
        assert set(prefix) <= {"\U0010ffff"}


def test_every_field_has_a_column_and_a_meaning():
    assert {known.field.name for known in FIELDS} == set(COLUMNS) == set(_COLUMNS)


def test_the_longest_query_is_compiled_and_answered(stores):
    sqlite, memory = stores
    text = " OR ".join(f"(NOT amount = {n} AND tags != 'a')" for n in range(250))
    flat = " AND ".join(["tags NOT STARTS_WITH 'a'"] * 500)
    deep = "amount NOT BETWEEN 1 AND 2"
    for n in range(DEEPEST):
        deep = f"tags != 'a' {('OR', 'AND')[n % 2]} ({deep})"
    long = f"amount IN ({','.join(map(str, range(10_000)))})"
    for query in (text, flat, deep, "NOT " * DEEPEST + "tags != 'a'", "(NOT " * (DEEPEST // 2) + "tags != 'a'" + ")" * (DEEPEST // 2), long):
        parsed = parse(query, queries.SCHEMA, queries.NOW)
        assert sqlite.runs(parsed) == memory.runs(parsed)
    assert "?" * 3 not in Selection(parsed).where and counting(parsed.condition, None)[1]


def test_a_file_of_an_older_schema_that_is_only_read_is_listed(tmp_path):
    path = tmp_path / "lab.db"
    shutil.copyfile(Path(__file__).parent / "released" / "v1.sqlite", path)
    store = SqliteStore.open(path, readonly=True)
    (run,) = store.runs(parse("status = 'Running' ORDER BY start_time", {}, queries.NOW))
    assert (run.workflow_id, run.parent_id, run.schedule_id) == (W, None, None)
    assert (store.count(), store.heads().run_key, store.forgotten(), len(list(store.open_histories()))) == ({"": 1}, 1, [], 1)
    store.close()
