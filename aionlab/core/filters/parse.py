"""From the text of a query to its value: one function for each rule of the grammar (see the package)."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import partial
from typing import Final, NoReturn, TypeVar

from aionlab.core import durations
from aionlab.core.clock import Micros
from aionlab.core.errors import InvalidFilter

from . import fields
from .conditions import EVERY, And, Condition, Field, Missing, Not, OneOf, Or, Order, Query
from .fields import Length, Time, field_named
from .scan import Token, scan

MOST_TESTS = 500
MOST_VALUES = 10_000
DEEPEST = 20
"""SQLite reads expressions on a stack of 100 entries, of which a level takes three."""
_FARTHEST = 2**62
"""Microseconds from the epoch, some 146,000 years."""

_COMPARISONS: Final = ("=", "==", "!=", "<>", "<", "<=", ">", ">=")
_AFTER_FIELD: Final = ("IN", "NOT", "BETWEEN", "STARTS_WITH", "IS")
RESERVED: Final = frozenset({"AND", "OR", "NOT", "IN", "BETWEEN", "STARTS_WITH", "IS", "NULL", "TRUE", "FALSE", "ORDER", "GROUP", "BY", "LIMIT", "ASC", "DESC"})
_FROM_ELSEWHERE: Final = {
    "LIKE": "there is no LIKE; STARTS_WITH 'o-' finds text that begins so", "CONTAINS": "a list of keywords is asked with =: tags = 'a'",
    "STARTSWITH": "it is written STARTS_WITH", "HAS": "a list of keywords is asked with =: tags = 'a'",
}  # fmt: skip

T = TypeVar("T")


def parse(text: str, schema: Mapping[str, str], now: Micros) -> Query:
    """The query that the text writes; blank text asks for every run, newest first.

    `schema` maps search attributes to their types, and `now` is what `now()` means. Raises InvalidFilter, which shows the place.
    """
    return _Parser(text, schema, now).query()


class _Parser:
    def __init__(self, text: str, schema: Mapping[str, str], now: Micros) -> None:
        if not isinstance(text, str):
            raise InvalidFilter(str(text), 0, 1, f"a filter is text such as \"status = 'Running'\", not {type(text).__name__}")
        self.text, self.schema, self.now = text, schema, now
        self.tokens = list(scan(text))
        self.at = 0
        self.value_at = self.tokens[0]
        """Where the last value began."""
        self.tests = self.values = self.depth = 0

    # --- words ----------------------------------------------------------------------------------------------------------

    @property
    def here(self) -> Token:
        return self.tokens[self.at]

    def take(self) -> Token:
        token = self.here
        self.at += 1
        return token

    def took(self, *words: str) -> bool:
        """Take the next word if it is one of these."""
        if self.here.says(*words):
            self.at += 1
            return True
        return False

    def need(self, word: str, why: str) -> None:
        if not self.took(word):
            self.fail(self.here, why)

    def fail(self, token: Token, why: str, until: Token | None = None) -> NoReturn:
        last = until or token
        raise InvalidFilter(self.text, token.at, last.at + last.width - token.at, why)

    def sure(self, first: Token, make: Callable[[], T]) -> T:
        """What `make` gives; its ValueError is shown under the words from `first` to the last one taken."""
        try:
            return make()
        except (ValueError, LookupError) as error:
            self.fail(first, str(error.args[0]), self.tokens[self.at - 1])

    # --- rules ----------------------------------------------------------------------------------------------------------

    def query(self) -> Query:
        condition = EVERY if self.here.sort == "end" or self.here.says("ORDER", "LIMIT", "GROUP") else self.either()
        order: tuple[Order, ...] = ()
        group = limit = None
        if self.took("GROUP"):
            self.need("BY", "GROUP BY names a field: GROUP BY status")
            group = self.field()
        if self.took("ORDER"):
            self.need("BY", "ORDER BY names fields: ORDER BY start_time DESC")
            order = self.order()
        if group is None and self.took("GROUP"):
            self.need("BY", "GROUP BY names a field: GROUP BY status")
            group = self.field()
        if self.took("LIMIT"):
            token = self.take()
            if token.sort != "number" or not token.text.replace("_", "").isdigit() or len(token.text) > 18:
                self.fail(token, "LIMIT takes a whole number: LIMIT 20")
            limit = int(token.text)
        if self.here.sort != "end":
            self.beyond()
        return Query(condition, order, limit, group)

    def beyond(self) -> NoReturn:
        token = self.here
        if token.says("ORDER", "GROUP"):
            self.fail(token, f"{token.text.upper()} BY stands once, before LIMIT")
        if token.says(")"):
            self.fail(token, "this parenthesis closes nothing")
        if token.says(","):
            self.fail(token, "conditions are joined with AND or OR")
        near = get_close_matches(token.text.upper(), ["AND", "OR", "ORDER", "LIMIT", "GROUP"], 1) if token.sort == "name" else []
        hint = f"; did you mean {near[0]}?" if near and token.text.upper() not in RESERVED else "; conditions are joined with AND or OR"
        self.fail(token, f"nothing may follow here but AND, OR, ORDER BY, GROUP BY and LIMIT{hint}")

    def either(self) -> Condition:
        terms = [self.all()]
        while self.took("OR"):
            terms.append(self.all())
        return terms[0] if len(terms) == 1 else Or(tuple(terms))

    def all(self) -> Condition:
        terms = [self.denied()]
        while self.took("AND"):
            terms.append(self.denied())
        return terms[0] if len(terms) == 1 else And(tuple(terms))

    def denied(self) -> Condition:
        first = self.here
        if self.took("NOT"):
            self.deeper(first)
            term = Not(self.denied())
            self.depth -= 1
            return term
        if self.took("("):
            self.deeper(first)
            condition = self.either()
            if not self.took(")"):
                if self.here.sort == "end":
                    self.fail(first, "this parenthesis is never closed")
                self.beyond_parenthesis()
            self.depth -= 1
            return condition
        return self.test()

    def beyond_parenthesis(self) -> NoReturn:
        if self.here.says("ORDER", "GROUP", "LIMIT"):
            self.fail(self.here, f"{self.here.text.upper()} stands behind all conditions, outside of parentheses")
        self.fail(self.here, "here belongs AND, OR or a closing parenthesis")

    def deeper(self, token: Token) -> None:
        self.depth += 1
        if self.depth > DEEPEST:
            self.fail(token, f"this is nested more than {DEEPEST} deep")

    def test(self) -> Condition:
        first = self.here
        field = self.field()
        self.tests += 1
        if self.tests > MOST_TESTS:
            self.fail(first, f"a filter has at most {MOST_TESTS} tests; many values of one field go into IN (…)")
        operator = self.take()
        if operator.says(*_COMPARISONS):
            value = self.value()
            return self.sure(self.value_at, lambda: fields.test(field, operator.text, value))
        denied = operator.says("NOT")
        if denied:
            operator = self.take()
        if operator.says("IN"):
            condition = self.among(field)
        elif operator.says("BETWEEN"):
            low, low_at = self.value(), self.value_at
            self.need("AND", "BETWEEN takes two values: amount BETWEEN 3 AND 5")
            high = self.value()
            condition = self.sure(low_at, lambda: And((fields.test(field, ">=", low), fields.test(field, "<=", high))))
        elif operator.says("STARTS_WITH"):
            prefix = self.value()
            condition = self.sure(self.value_at, lambda: fields.begins(field, prefix))
        elif operator.says("IS") and not denied:
            denied = self.took("NOT")
            self.need("NULL", "IS is followed by NULL or NOT NULL; values are compared with =")
            condition = Missing(field)
        else:
            self.no_operator(operator, field, denied)
        return Not(condition) if denied else condition

    def no_operator(self, token: Token, field: Field, denied: bool) -> NoReturn:
        word = token.text.upper()
        if token.sort == "name" and word in _FROM_ELSEWHERE:
            self.fail(token, _FROM_ELSEWHERE[word])
        if denied:
            self.fail(token, "NOT behind a field is followed by IN, BETWEEN or STARTS_WITH")
        near = get_close_matches(word, [one for one in _AFTER_FIELD if one != "NOT"], 1) if token.sort == "name" else []
        hint = f"did you mean {near[0]}?" if near else f"write {field} = …, or one of != < <= > >= IN, BETWEEN, STARTS_WITH, IS NULL"
        said = "a comparison is missing" if token.sort == "end" or word in RESERVED else f"{token.text!r} is no comparison"
        self.fail(token, f"{said} behind {field}; {hint}")

    def among(self, field: Field) -> Condition:
        self.need("(", "IN takes values in parentheses: status IN ('Failed', 'TimedOut')")
        if self.here.says(")"):
            self.fail(self.here, "IN needs at least one value")
        known: list[Condition] = []
        while True:
            value = self.value()
            known.append(self.sure(self.value_at, partial(fields.one_of, field, (value,))))
            if self.took(")"):
                break
            if not self.took(","):
                self.fail(self.here, "values in IN (…) are separated by commas, and the last one is followed by a parenthesis")
        if all(isinstance(one, OneOf) for one in known):
            return OneOf(field, tuple(value for one in known if isinstance(one, OneOf) for value in one.values))
        return Or(tuple(term for one in known for term in (one.terms if isinstance(one, Or) else (one,))))

    def field(self) -> Field:
        token = self.take()
        if token.sort != "name" or token.text.upper() in RESERVED:
            self.no_field(token)
        return self.sure(token, lambda: field_named(token.text, self.schema))

    def no_field(self, token: Token) -> NoReturn:
        name = next((name for name in self.schema if name.upper() == token.text.upper()), None)
        if token.sort == "name" and name is not None:
            self.fail(token, f"{token.text} is a word of the language; the attribute is written attr.{name}")
        if token.sort in ("text", "number", "length"):
            self.fail(token, "a field stands here, and the value behind the comparison: type = 'order'")
        self.fail(token, "here belongs a field: status, type, id, start_time, … or a search attribute")

    def order(self) -> tuple[Order, ...]:
        found: list[Order] = []
        while True:
            first = self.here
            field = self.field()
            if field.kind == "list":
                self.fail(first, f"{field} holds lists, which have no order")
            if len(found) == 8:
                self.fail(first, "runs are ordered by at most 8 fields")
            descending = self.took("DESC")
            if not descending:
                self.took("ASC")
            found.append(Order(field, descending))
            if not self.took(","):
                return tuple(found)

    # --- values ---------------------------------------------------------------------------------------------------------

    def value(self) -> object:
        """A value, as Python has it; a time or a length that says so is a Time or a Length."""
        first = self.value_at = self.here
        self.values += 1
        if self.values > MOST_VALUES:
            self.fail(first, f"a filter has at most {MOST_VALUES:,} values")
        value = self.single()
        while self.here.says("+", "-"):
            sign = -1 if self.take().text == "-" else 1
            value = self.moved(first, value, sign)
        return value

    def moved(self, first: Token, value: object, sign: int) -> Time:
        """A time that a length is added to or taken from."""
        moment = value if isinstance(value, Time) else self.sure(first, lambda: fields.time_of(value if isinstance(value, str) else repr(value)))
        token = self.here
        length = self.single()
        if isinstance(length, str):
            length = self.sure(token, lambda: Length(durations.micros(str(length))))
        if not isinstance(length, Length):
            self.fail(token, "a length of time stands here: now() - 1h", self.tokens[self.at - 1])
        found = moment + sign * length
        if abs(found) > _FARTHEST:
            self.fail(first, "this time is farther away than any run", self.tokens[self.at - 1])
        return Time(found)

    def single(self) -> object:
        token = self.take()
        match token.sort:
            case "text":
                return self.sure(token, lambda: _encodable(token.text))
            case "length":
                return self.sure(token, lambda: Length(durations.micros(token.text)))
            case "number":
                return self.number(token, 1)
            case "sign" if token.text in "+-" and self.here.sort == "number":
                return self.number(self.take(), -1 if token.text == "-" else 1)
            case "name":
                return self.named(token)
            case "end":
                self.fail(token, "a value is missing")
            case _:
                self.fail(token, f"a value stands here, not {token.text!r}")

    def named(self, token: Token) -> object:
        if token.says("TRUE", "FALSE"):
            return token.says("TRUE")
        if token.says("NULL"):
            self.fail(token, "nothing equals NULL; ask IS NULL or IS NOT NULL")
        if token.says("NOW"):
            self.need("(", "it is written now()")
            self.need(")", "it is written now()")
            return Time(self.now)
        self.fail(token, f"text needs quotes: '{token.text}'")

    def number(self, token: Token, sign: int) -> int | float:
        text = token.text
        if text.replace("_", "").isdigit():
            if len(text) > 40:
                self.fail(token, "this number has more than 64 bits")
            return sign * int(text.replace("_", ""))
        return sign * float(text.replace("_", ""))


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("this text has a lone surrogate") from None
    return text
