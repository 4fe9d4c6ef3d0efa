"""Values and errors crossing between code and record: a converter and the failure codec in one."""
from __future__ import annotations

from collections.abc import Callable

from .converters import Converters
from .failure import Failure, error_of, failure_of
from .payload import LIMIT, Converter


class Values(Converter):
    """`Converter`, and errors both ways."""

    __slots__ = ()

    def failure(self, error: BaseException) -> Failure:
        """What is kept of an error."""
        return failure_of(error, self)

    def error(self, failure: Failure) -> BaseException:
        """The error rebuilt from its record, of the class the resolver knows, or an ApplicationError of that name."""
        return error_of(failure, self)


def values_for(resolve: Callable[[str], type | None] | None = None, limit: int = LIMIT, extras: Converters | None = None) -> Values:
    return Values(resolve, limit, extras=extras)
