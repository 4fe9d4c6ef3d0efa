"""Types of the user's own that payloads may hold: each with two functions between its values and plain ones.

    aionlab.open("lab.db", converters=[ValueConverter(Fraction, encode=lambda f: [f.numerator, f.denominator], decode=lambda v: Fraction(*v))])
"""
from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from .classes import recorded_name, spelled
from .errors import InvalidOption


@dataclass(frozen=True, slots=True)
class ValueConverter:
    """How values of exactly one type are recorded: one of an installed library. A class of the notebook's own is better a dataclass; each
    version of a workflow has its own copy of it, which no converter knows."""

    type: type
    encode: Callable[[Any], Any]
    """From a value to anything aionlab can record. Equal values give equal ones, in every kernel: replay compares them."""
    decode: Callable[[Any], Any]
    """From what `encode` gave to an equal value, in every later version too."""
    name: str = ""
    """What records call the type, for ever; its module and name when not given."""

    def __post_init__(self) -> None:
        if not isinstance(self.type, type):
            raise InvalidOption(f"ValueConverter({self.type!r}, …): give a class")
        if not (callable(self.encode) and callable(self.decode)):
            raise InvalidOption(f"ValueConverter({spelled(self.type)}, …): encode and decode are functions of one argument")
        if not self.name:
            object.__setattr__(self, "name", recorded_name(self.type))


class Converters:
    """The converters of one lab, by type and by name."""

    __slots__ = ("by_name", "by_type")

    def __init__(self, converters: Iterable[ValueConverter] = ()) -> None:
        """Raises InvalidOption for two converters of one type or one name, and for types that have a record of their own."""
        self.by_type: dict[type, ValueConverter] = {}
        self.by_name: dict[str, ValueConverter] = {}
        for converter in converters:
            if not isinstance(converter, ValueConverter):
                raise InvalidOption(f"converters=[{converter!r}]: give ValueConverter(type, encode=…, decode=…)")
            if converter.type in _BUILT_IN:
                raise InvalidOption(f"values of {spelled(converter.type)} are recorded as they are; a converter of theirs would never be asked")
            if converter.type in self.by_type or converter.name in self.by_name:
                raise InvalidOption(f"two converters for {converter.name}")
            self.by_type[converter.type] = self.by_name[converter.name] = converter


_BUILT_IN = frozenset({type(None), bool, int, float, str, bytes, list, tuple, set, frozenset, dict})
