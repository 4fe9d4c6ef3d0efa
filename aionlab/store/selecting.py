"""A query as SQL. What comes from outside is always a parameter; the text is put together from the pieces written here.

A comparison of an attribute is the largest of the truths of its items, which is NULL where there are none: three truths in one expression,
the same for a value and for a list. A field's own column needs nothing.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from aionlab.core.filters import And, Begins, Compare, Condition, Field, Missing, Not, OneOf, Op, Or, Query
from aionlab.core.filters.truth import place
from aionlab.core.ports import Run

COLUMNS: Final[Mapping[str, str]] = {
    "status": "run.status",
    "type": "run.workflow_type",
    "id": "workflow.id",
    "run_id": "run.run_id",
    "version": "run.version",
    "start_time": "run.started_at",
    "close_time": "run.closed_at",
    "duration": "(run.closed_at - run.started_at)",
    "parent_run_id": "run.parent_run_id",
    "idempotency_key": "run.idempotency_key",
    "parent_id": "run.parent_id",
    "schedule_id": "run.schedule_id",
}
_ALWAYS: Final = frozenset({"status", "type", "id", "run_id", "version", "start_time"})
"""Columns that are never NULL."""
_OPS: Final[Mapping[Op, str]] = {"=": "=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


class Selection:
    """The parts of a SELECT, and the values for them in the order of the text."""

    def __init__(self, query: Query, after: Run | None = None) -> None:
        terms = query.condition.terms if isinstance(query.condition, And) else (query.condition,)
        self._lead = next((term for term in terms if isinstance(term, Compare) and term.field.attribute and term.op == "="), None)
        self._key = "run.key" if self._lead is None else "lead.run"
        rest = [term for term in terms if term is not self._lead]
        self.values: list[Any] = [] if self._lead is None else [self._lead.field.name, self._lead.value]
        wanted = [self._among(term) if query.limit is None else self._condition(term) for term in rest]
        if after is not None:
            wanted.append(self._behind(query, after))
        self.where = f" WHERE {' AND '.join(wanted)}" if wanted else ""
        directions = [("DESC" if order.descending else "ASC", order) for order in query.order]
        by = [part for direction, order in directions for part in self._ordered(order.field, direction)]
        self.order = f" ORDER BY {', '.join([*by, self._key + (' DESC' if query.descending else ' ASC')])}"
        self.limit = " LIMIT ?"
        self.values.append(-1 if query.limit is None else min(query.limit, 2**62))

    @property
    def led(self) -> int:
        """How many values belong to the tables."""
        return 0 if self._lead is None else 2

    def source(self, tables: str) -> str:
        """The tables, led by the attribute's index where the query asks for one value of it: it holds the runs of a value by key, so a page of
        the newest needs no more than that page."""
        if self._lead is None:
            return tables
        return tables.replace(
            "FROM run", "FROM attribute AS lead CROSS JOIN run ON run.key = lead.run AND lead.name = ? AND lead.value = ?", 1
        )

    # --- conditions -----------------------------------------------------------------------------------------------------

    def _among(self, term: Condition) -> str:
        """A condition that all runs have to satisfy, where all that do are wanted: a range of an attribute is then read off its index once."""
        if not isinstance(term, Compare | OneOf | Begins) or not term.field.attribute:
            return self._condition(term)
        self.values.append(term.field.name)
        match term:
            case Compare(_, op, value):
                test, values = f"a.value {_OPS[op]} ?", [value]
            case OneOf(_, known):
                test, values = f"a.value IN ({', '.join('?' * len(known))})", list(known)
            case Begins(_, prefix):
                last = behind(prefix)
                test, values = ("a.value >= ?", [prefix]) if last is None else ("a.value >= ? AND a.value < ?", [prefix, last])
        self.values += values
        return f"run.key IN (SELECT a.run FROM attribute AS a WHERE a.name = ? AND {test})"

    def _condition(self, condition: Condition) -> str:
        match condition:
            case Compare(field, op, value):
                return self._test(field, f"{_OPS[op]} ?", [value])
            case OneOf(field, values):
                return self._test(field, f"IN ({', '.join('?' * len(values))})", values)
            case Begins(field, prefix):
                return self._begins(field, prefix)
            case Missing(field):
                if not field.attribute:
                    return f"{COLUMNS[field.name]} IS NULL"
                self.values.append(field.name)
                return "NOT EXISTS (SELECT 1 FROM attribute AS a WHERE a.run = run.key AND a.name = ?)"
            case Not(term):
                return f"NOT ({self._condition(term)})"
            case And(terms):
                return f"({' AND '.join(map(self._condition, terms))})" if terms else "1"
            case Or(terms):
                return f"({' OR '.join(map(self._condition, terms))})" if terms else "0"

    def _test(self, field: Field, test: str, values: Sequence[Any]) -> str:
        self.values += values
        if not field.attribute:
            return f"{COLUMNS[field.name]} {test}"
        self.values.append(field.name)
        return f"(SELECT max(a.value {test}) FROM attribute AS a WHERE a.run = run.key AND a.name = ?)"

    def _begins(self, field: Field, prefix: str) -> str:
        """Between the prefix and the first text behind all that begin with it; only text lies there."""
        last = behind(prefix)
        if last is None:
            return self._test(field, ">= ?", [prefix])
        if field.attribute:
            self.values += (prefix, last, field.name)
            return "(SELECT max(a.value >= ? AND a.value < ?) FROM attribute AS a WHERE a.run = run.key AND a.name = ?)"
        self.values += (prefix, last)
        return f"({COLUMNS[field.name]} >= ? AND {COLUMNS[field.name]} < ?)"

    # --- order and pages ------------------------------------------------------------------------------------------------

    def _expression(self, field: Field) -> str:
        if not field.attribute:
            return COLUMNS[field.name]
        self.values.append(field.name)
        return "(SELECT min(a.value) FROM attribute AS a WHERE a.run = run.key AND a.name = ?)"

    def _ordered(self, field: Field, direction: str) -> list[str]:
        if not field.attribute and field.name in _ALWAYS:
            return [f"{COLUMNS[field.name]} {direction}"]
        return [f"{self._expression(field)} IS NULL", f"{self._expression(field)} {direction}"]

    def _behind(self, query: Query, after: Run) -> str:
        """What lies behind a run in the query's order: further in a field and equal in those before it. Where there is an order, the first
        field also bounds what an index has to be read of."""
        values = place(query, after)
        further: list[str] = []
        bound = ""
        if query.order and values[0] is not None and not query.order[0].field.attribute and query.order[0].field.name in _ALWAYS:
            bound = f"{COLUMNS[query.order[0].field.name]} {'<=' if query.order[0].descending else '>='} ? AND "
            self.values.append(values[0])
        for n in range(len(query.order) + 1):
            equal = [self._equal(order.field, value) for order, value in zip(query.order[:n], values[:n], strict=True)]
            if n == len(query.order):
                step = f"{self._key} {'<' if query.descending else '>'} ?"
                self.values.append(after.key)
            elif values[n] is None:
                step = "0"  # nothing comes behind the runs without a value
            else:
                step = self._beyond(query.order[n].field, query.order[n].descending, values[n])
            further.append(" AND ".join([*equal, step]))
        return f"({bound}({' OR '.join(further)}))" if query.order else further[0]

    def _equal(self, field: Field, value: Any) -> str:
        if value is None:
            return f"{self._expression(field)} IS NULL"
        text = f"{self._expression(field)} = ?"
        self.values.append(value)
        return text

    def _beyond(self, field: Field, descending: bool, value: Any) -> str:
        text = f"{self._expression(field)} {'<' if descending else '>'} ?"
        self.values.append(value)
        return text if not field.attribute and field.name in _ALWAYS else f"({text} OR {self._expression(field)} IS NULL)"


def behind(prefix: str) -> str | None:
    """The first text behind all that begin with the prefix, in the order of code points; None when nothing is."""
    kept = prefix.rstrip("\U0010ffff")
    if not kept:
        return None
    last = ord(kept[-1]) + 1
    return kept[:-1] + chr(0xE000 if 0xD800 <= last <= 0xDFFF else last)


def counting(condition: Condition, group: Field | None) -> tuple[str, list[Any]]:
    """The SELECT that counts runs, by what they have of `group` where it is given; two columns, or one."""
    selection = Selection(Query(condition))
    values = selection.values[:-1]
    by_id = group is not None and not group.attribute and group.name == "id"
    tables = "FROM run" + (" JOIN workflow ON workflow.key = run.workflow" if by_id or _names_id(condition) else "")
    if group is None:
        return f"SELECT count(*) {selection.source(tables)}{selection.where}", values
    if not group.attribute:
        column = COLUMNS[group.name]
        return f"SELECT {column}, count(*) {selection.source(tables)}{selection.where} GROUP BY {column}", values
    led = selection.led
    text = f"SELECT grouped.value, count(*) {selection.source(tables)} LEFT JOIN attribute AS grouped ON grouped.run = run.key AND grouped.name = ?"
    return f"{text}{selection.where} GROUP BY grouped.value", [*values[:led], group.name, *values[led:]]


def _names_id(condition: Condition) -> bool:
    match condition:
        case Compare(field) | OneOf(field) | Begins(field) | Missing(field):
            return not field.attribute and field.name == "id"
        case Not(term):
            return _names_id(term)
        case And(terms) | Or(terms):
            return any(map(_names_id, terms))
