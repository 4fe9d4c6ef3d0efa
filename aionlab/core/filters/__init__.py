"""The language in which runs are asked for.

    status = 'Running' AND type = 'order' AND amount > 3 ORDER BY start_time DESC LIMIT 20

    query      := [condition] [ORDER BY field [ASC|DESC] {, field [ASC|DESC]}] [GROUP BY field] [LIMIT number]
    condition  := condition OR condition | condition AND condition | NOT condition | ( condition ) | test
    test       := field (= | != | <> | < | <= | > | >=) value
                | field [NOT] IN ( value {, value} )
                | field [NOT] BETWEEN value AND value
                | field [NOT] STARTS_WITH 'text'
                | field IS [NOT] NULL
    value      := 'text' | "text" | number | TRUE | FALSE | length | time
    length     := 5m | 1d12h | 250ms | '5m'                              units us ms s m h d w
    time       := '2026-11-01' | '2026-11-01T09:30:00+01:00' | now() | time (+ | -) length
    field      := a field of every run (`fields.FIELDS`), or a search attribute; `attr.NAME` is always the attribute

NOT binds closer than AND, AND closer than OR. Words of the language and fields are read in any case and with or without their underscores
(`WorkflowType`, `start_time`); attributes are written as they were registered. Within text a quote is doubled ('it''s'). A time without an
offset is in UTC; `now()` is the time the query was read. A version is named by as many of its first characters as one likes.

What is not there is unknown, as in SQL: `amount != 3` finds no run without an amount, and neither does NOT (amount = 3); IS NULL does.
A test of a list of keywords holds when it holds for one of them: `tags = 'a'` finds the runs with the tag, `tags != 'a'` those that have
tags and not this one. An empty list is NULL.

Without ORDER BY the newest run comes first. With it, runs without the value come last in either direction, and runs that are equal in
every field named follow one another in the order they were started (backwards after DESC).

A query is read once (`parse`), checked against the types of the attributes, and becomes a frozen value that every store answers alike:
`truth` says in plain Python what it means, and a store that compiles it must give the same runs in the same order.
"""
from .conditions import EVERY, NEWEST, And, Begins, Compare, Condition, Field, Missing, Not, OneOf, Op, Or, Order, Query, Scalar
from .fields import FIELDS, STATUS, equal_to, field_named, words
from .parse import parse
from .truth import compared, groups, holds, selected

__all__ = [
    "EVERY", "FIELDS", "NEWEST", "STATUS", "And", "Begins", "Compare", "Condition", "Field", "Missing", "Not", "OneOf", "Op", "Or", "Order", "Query", "Scalar", "compared",
    "equal_to", "field_named", "groups", "holds", "parse", "selected", "words",
]  # fmt: skip
