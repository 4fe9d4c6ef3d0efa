"""What a query means, in plain Python: the rule that every store follows.

Three truths, as in SQL: a test of what is not there is unknown (None), NOT leaves it so, AND and OR do what can be known. Values of different
types are compared as SQLite does, numbers before text, so that a query has one answer even where attributes were written without a schema.
"""
from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cmp_to_key
from typing import TYPE_CHECKING, Any, Final

from .conditions import EVERY, And, Begins, Compare, Condition, Field, Missing, Not, OneOf, Or, Query, Scalar

if TYPE_CHECKING:
    from aionlab.core.ports import Run  # which speaks of queries itself

_COLUMNS: Final[Mapping[str, Callable[[Run], Any]]] = {
    "status": lambda run: run.status.value,
    "type": lambda run: run.workflow_type,
    "id": lambda run: run.workflow_id,
    "run_id": lambda run: run.run_id,
    "version": lambda run: run.version,
    "start_time": lambda run: run.started_at,
    "close_time": lambda run: run.closed_at,
    "duration": lambda run: None if run.closed_at is None else run.closed_at - run.started_at,
    "parent_run_id": lambda run: run.parent_run_id,
    "idempotency_key": lambda run: run.idempotency_key,
    "parent_id": lambda run: run.parent_id,
    "schedule_id": lambda run: run.schedule_id,
}
_OPERATORS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def holds(condition: Condition, run: Run) -> bool:
    """Whether the run is one of those asked for."""
    return _truth(condition, run) is True


def items(field: Field, run: Run) -> tuple[Any, ...]:
    """What the run has of the field: nothing, one value, or those of a list."""
    value = run.attributes.get(field.name) if field.attribute else _COLUMNS[field.name](run)
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _truth(condition: Condition, run: Run) -> bool | None:
    match condition:
        case Compare(field, op, value):
            wanted, compare = _ranked(value), _OPERATORS[op]
            return _any(field, run, lambda item: compare(_ranked(item), wanted))
        case OneOf(field, values):
            ranked = {_ranked(value) for value in values}
            return _any(field, run, lambda item: _ranked(item) in ranked)
        case Begins(field, prefix):
            return _any(field, run, lambda item: isinstance(item, str) and item.startswith(prefix))
        case Missing(field):
            return not items(field, run)
        case Not(term):
            found = _truth(term, run)
            return None if found is None else not found
        case And(terms):
            found = True
            for term in terms:
                one = _truth(term, run)
                if one is False:
                    return False
                found = None if one is None else found
            return found
        case Or(terms):
            found = False
            for term in terms:
                one = _truth(term, run)
                if one is True:
                    return True
                found = None if one is None else found
            return found


def _any(field: Field, run: Run, test: Callable[[Any], bool]) -> bool | None:
    there = items(field, run)
    return any(map(test, there)) if there else None


def _ranked(value: Any) -> tuple[int, Any]:
    """A value that compares with every other: numbers and truth values first, then text by code point."""
    return (1, value) if isinstance(value, str) else (0, value)


# --- order -----------------------------------------------------------------------------------------------------------


def place(query: Query, run: Run) -> tuple[Scalar | None, ...]:
    """The values that decide where the run stands in the query's order; its key decides where they are equal."""
    return tuple(min(items(order.field, run), key=_ranked, default=None) for order in query.order)


def compared(query: Query, one: Run, other: Run) -> int:
    """Negative when the query lists `one` before `other`, positive when after it; 0 for the same run."""
    for order, a, b in zip(query.order, place(query, one), place(query, other), strict=True):
        if a is None or b is None:
            if a is not b:
                return 1 if a is None else -1
        elif _ranked(a) != _ranked(b):
            return -1 if (_ranked(a) < _ranked(b)) is not order.descending else 1
    return other.key - one.key if query.descending else one.key - other.key


def selected(runs: Iterable[Run], query: Query, after: Run | None = None) -> list[Run]:
    """The runs a store gives for the query: those that satisfy it, behind `after` where it is given, in order, up to the limit."""
    found = [run for run in runs if holds(query.condition, run) and (after is None or compared(query, after, run) < 0)]
    found.sort(key=cmp_to_key(lambda one, other: compared(query, one, other)))
    return found if query.limit is None else found[: query.limit]


def groups(runs: Iterable[Run], condition: Condition = EVERY, group: Field | None = None) -> dict[Any, int]:
    """How many runs satisfy the condition, by what they have of `group` (a run with a list counts for each of its items; None: without
    any); under "" when not grouped."""
    wanted = [run for run in runs if holds(condition, run)]
    if group is None:
        return {"": len(wanted)}
    return dict(Counter(item for run in wanted for item in set(items(group, run)) or {None}))
