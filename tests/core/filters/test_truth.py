"""What queries mean: three truths, items of lists, order."""
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionlab.core.clock import Micros
from aionlab.core.filters import And, Compare, Condition, Field, Not, Or, compared, groups, holds, parse, selected
from aionlab.core.filters.truth import _truth
from aionlab.core.ids import RunId, WorkflowId
from aionlab.core.ports import Run
from aionlab.core.status import Status

SCHEMA = {"amount": "int", "tags": "keyword_list", "customer": "keyword", "vip": "bool"}


def run(key: int, status: Status = Status.RUNNING, at: int = 0, closed: int | None = None, kind: str = "order", **attributes: Any) -> Run:
    return Run(key, key, WorkflowId(f"w{key}"), RunId(f"r{key}"), kind, "3f2a91c", status, Micros(at), None if closed is None else Micros(closed), attributes)


RICH = run(1, amount=5, tags=["a", "b"], customer="acme", vip=True, at=1_000_000, closed=61_000_000, status=Status.COMPLETED)
BARE = run(2)

TRUTHS = [
    ("amount = 5", True, None),
    ("amount != 5", False, None),
    ("NOT amount = 5", False, None),
    ("amount > 3 AND amount <= 5", True, None),
    ("amount BETWEEN 6 AND 9", False, None),
    ("amount NOT BETWEEN 6 AND 9", True, None),
    ("amount IN (1, 5.0)", True, None),
    ("amount NOT IN (1, 5)", False, None),
    ("amount IS NULL", False, True),
    ("amount IS NOT NULL", True, False),
    ("amount = 5 OR amount IS NULL", True, True),
    ("amount = 5 AND id = 'w2'", False, None),
    ("amount = 6 AND id = 'w1'", False, False),
    ("amount = 6 OR id = 'w2'", False, True),
    ("tags = 'a'", True, None),
    ("tags = 'c'", False, None),
    ("tags != 'a'", False, None),
    ("tags != 'c'", True, None),
    ("tags IN ('c', 'b')", True, None),
    ("tags STARTS_WITH 'a'", True, None),
    ("tags STARTS_WITH ''", True, None),
    ("vip = true", True, None),
    ("customer STARTS_WITH 'ac'", True, None),
    ("customer STARTS_WITH 'Ac'", False, None),
    ("customer < 'b'", True, None),
    ("customer > 'Z'", True, None),
    ("close_time IS NULL", False, True),
    ("duration = 1m", True, None),
    ("duration > 1m", False, None),
    ("start_time = '1970-01-01T00:00:01'", True, False),
    ("status = 'Completed'", True, False),
    ("version = '3f2'", True, True),
    ("version != '3f3'", True, True),
    ("parent_run_id IS NULL", True, True),
]


@pytest.mark.parametrize(("text", "rich", "bare"), TRUTHS, ids=[text for text, _, _ in TRUTHS])
def test_a_condition_is_true_false_or_unknown(text: str, rich: bool | None, bare: bool | None) -> None:
    condition = parse(text, SCHEMA, Micros(0)).condition
    assert (_truth(condition, RICH), _truth(condition, BARE)) == (rich, bare)
    assert (holds(condition, RICH), holds(condition, BARE)) == (rich is True, bare is True)


def test_an_empty_list_is_nothing() -> None:
    assert holds(parse("tags IS NULL", SCHEMA, Micros(0)).condition, run(1, tags=[]))
    assert not holds(parse("tags != 'a'", SCHEMA, Micros(0)).condition, run(1, tags=[]))


AMOUNT = Field("amount", "int", True)
LEAVES = st.sampled_from([Compare(AMOUNT, "=", 5), Compare(AMOUNT, ">", 9), Compare(Field("id"), "=", "w1")])
CONDITIONS: st.SearchStrategy[Condition] = st.recursive(
    LEAVES,
    lambda inner: st.builds(Not, inner) | st.builds(And, st.lists(inner, max_size=3).map(tuple)) | st.builds(Or, st.lists(inner, max_size=3).map(tuple)),
    max_leaves=8,
)


@given(CONDITIONS, CONDITIONS, st.sampled_from([RICH, BARE]))
def test_the_laws_of_logic_hold_with_three_truths(a: Condition, b: Condition, one: Run) -> None:
    def truth(condition: Condition) -> bool | None:
        return _truth(condition, one)

    assert truth(Not(Not(a))) == truth(a)
    assert truth(Not(And((a, b)))) == truth(Or((Not(a), Not(b))))
    assert truth(Not(Or((a, b)))) == truth(And((Not(a), Not(b))))
    assert truth(And((a, b))) == truth(And((b, a))) and truth(Or((a, b))) == truth(Or((b, a)))
    assert truth(And((a,))) == truth(Or((a,))) == truth(a)
    assert truth(And((a, Or((a, b))))) == truth(a) == truth(Or((a, And((a, b)))))


def order(text: str, *runs: Run) -> list[int]:
    return [one.key for one in selected(runs, parse(text, SCHEMA, Micros(0)))]


def test_order() -> None:
    runs = (run(1, amount=2), run(2), run(3, amount=1, kind="ship"), run(4, amount=2), run(5))
    assert order("", *runs) == [5, 4, 3, 2, 1]
    assert order("ORDER BY amount", *runs) == [3, 1, 4, 2, 5]
    assert order("ORDER BY amount DESC", *runs) == [4, 1, 3, 5, 2]
    assert order("ORDER BY type DESC, amount", *runs) == [3, 1, 4, 2, 5]
    assert order("ORDER BY type, amount DESC LIMIT 2", *runs) == [4, 1]


@given(st.lists(st.tuples(st.sampled_from([None, 1, 2]), st.sampled_from(["a", "b"])), max_size=6), st.sampled_from(["", " DESC"]), st.sampled_from(["", " DESC"]))
def test_every_two_runs_have_an_order_and_pages_follow_it(values: list[tuple[int | None, str]], first: str, second: str) -> None:
    runs = [run(key, kind=kind, **({} if amount is None else {"amount": amount})) for key, (amount, kind) in enumerate(values, 1)]
    query = parse(f"ORDER BY amount{first}, type{second}", SCHEMA, Micros(0))
    whole = selected(runs, query)
    for i, one in enumerate(whole):
        assert selected(runs, query, one) == whole[i + 1 :]
        for j, other in enumerate(whole):
            assert (compared(query, one, other) > 0) - (compared(query, one, other) < 0) == (i > j) - (i < j)


def test_groups() -> None:
    runs = (RICH, BARE, run(3, tags=["b", "b"], amount=5))
    assert groups(runs) == {"": 3}
    assert groups(runs, group=Field("tags", "list", True)) == {"a": 1, "b": 2, None: 1}
    assert groups(runs, parse("amount = 5", SCHEMA, Micros(0)).condition, Field("status", "status")) == {"Completed": 1, "Running": 1}
