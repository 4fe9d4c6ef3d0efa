"""A query as a value: conditions on runs, an order, how many. Few forms, so that few need compiling; the others are made of them."""
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

Scalar = str | int | float | bool
"""A value of a run's row as it is stored: times and lengths are microseconds."""

Op = Literal["=", "<", "<=", ">", ">="]

Kind = Literal["text", "status", "version", "int", "float", "bool", "time", "length", "list"]


@dataclass(frozen=True, slots=True)
class Field:
    """Something of a run that may be compared: a field that every run has, or a search attribute."""

    name: str
    kind: Kind = "text"
    attribute: bool = False

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Compare:
    """The field stands so to the value; of a list, one of its items does."""

    field: Field
    op: Op
    value: Scalar


@dataclass(frozen=True, slots=True)
class OneOf:
    """The field is one of the values; of a list, one of its items is."""

    field: Field
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Begins:
    """The field is text that begins so; of a list, one of its items does."""

    field: Field
    prefix: str


@dataclass(frozen=True, slots=True)
class Missing:
    """The run has no such thing, or an empty list of it."""

    field: Field


@dataclass(frozen=True, slots=True)
class Not:
    term: Condition


@dataclass(frozen=True, slots=True)
class And:
    """All of them; every run, when there are none."""

    terms: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Or:
    """One of them; no run, when there are none."""

    terms: tuple[Condition, ...] = ()


Condition = Compare | OneOf | Begins | Missing | Not | And | Or

EVERY: Final[Condition] = And()


@dataclass(frozen=True, slots=True)
class Order:
    """By this field; runs without it come last."""

    field: Field
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """Which runs, in which order, how many of them. Runs that `order` does not tell apart follow their keys, in the direction of its last
    term; without any, the newest comes first."""

    condition: Condition = EVERY
    order: tuple[Order, ...] = ()
    limit: int | None = None
    group: Field | None = None

    @property
    def descending(self) -> bool:
        """The direction of the run keys."""
        return self.order[-1].descending if self.order else True

    def narrowed(self, *conditions: Condition) -> Query:
        """The same query of the runs that satisfy these as well."""
        return replace(self, condition=both(self.condition, *conditions))

    def at_most(self, limit: int | None) -> Query:
        """The same query, giving no more than `limit` runs."""
        if limit is None or (self.limit is not None and self.limit <= limit):
            return self
        return replace(self, limit=limit)


NEWEST: Final = Query()
"""Every run, newest first."""


def both(*conditions: Condition) -> Condition:
    """All of these, flattened as far as they are conjunctions themselves."""
    terms: list[Condition] = []
    for condition in conditions:
        terms += condition.terms if isinstance(condition, And) else (condition,)
    return terms[0] if len(terms) == 1 else And(tuple(terms))
