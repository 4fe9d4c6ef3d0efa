"""What a condition on search attributes means, and what runs may be counted by."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aionlab.core.errors import InvalidOption

GROUPS: Final = ("status", "workflow_type", "version")


def matches(attributes: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether every wanted name has the wanted value; a list has each of its items, and a wanted list
    is wanted item by item (so an empty one asks for nothing)."""
    return all(items(value) <= items(attributes.get(name, ())) for name, value in wanted.items())


def items(value: Any) -> frozenset[Any]:
    return frozenset(value) if isinstance(value, list | tuple) else frozenset((value,))


def group_of(group_by: str) -> str:
    """Raises InvalidOption for anything that runs are not counted by."""
    if group_by not in GROUPS:
        raise InvalidOption(f"runs are counted by {', '.join(GROUPS)}, not by {group_by!r}")
    return group_by
