"""Activities as stored code: the source is kept, what it works with may stay in the notebook.

An activity runs with its newest definition and live globals, so a client or a frame is allowed there. In a fresh kernel the stored
source runs until its cell does; names that only the notebook can give are looked up there, and the attempt waits while they are absent.
"""
from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from aionlab.core.errors import AionError, CodeRefused

from .build import Built, build
from .capture import options_of, package_of
from .ledger import Ledger
from .package import Package
from .reach import Reach
from .values import NotAValue


class MissingNames(AionError):
    """An activity needs names that are not defined in this kernel yet."""

    def __init__(self, activity_type: str, names: tuple[str, ...]) -> None:
        super().__init__(activity_type, names)
        self.activity_type, self.names = activity_type, names

    def __str__(self) -> str:
        them = "it" if len(self.names) == 1 else "them"
        return f"{self.activity_type} waits for {', '.join(f'`{name}`' for name in self.names)}: run the cell that makes {them}"


def capture_activity(definition: Any, ledger: Ledger) -> Package:
    """The package of an activity definition; `live` names what it leaves to the notebook. Nothing is built or compared.

    Raises CodeRefused when the function has no source: it runs in this kernel, but cannot be stored for another.
    """
    name, fn = str(definition.name), definition.fn
    reach = Reach(fn.__globals__, ledger, live_allowed=True)
    try:
        entry = reach.entry(fn)
    except NotAValue:
        raise CodeRefused(name, (f"{name} has no source that can be stored: define it in a cell or a .py file",)) from None
    options = options_of(definition)
    if getattr(definition, "retry_if", None) is not None:
        with suppress(NotAValue):  # one without source stays with its kernel: elsewhere the policy alone decides
            options["retry_if"] = reach.entry(definition.retry_if)
    return package_of(name, entry, reach, options)


def missing_names(stored: Package, lookup: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the activity that only the notebook can give and does not give yet."""
    return tuple(name for name in stored.live if name not in lookup)


def build_activity(stored: Package, lookup: Mapping[str, Any]) -> Built:
    """Run an activity's stored source, with what it leaves to the notebook taken from `lookup`: for trusted packages only.

    Raises MissingNames while a name is absent there (nothing has run then), BuildFailed when the source does not run here.
    """
    missing = missing_names(stored, lookup)
    if missing:
        raise MissingNames(stored.workflow_type, missing)
    return build(stored, extra={name: lookup[name] for name in stored.live})


def supply(built: Built, lookup: Mapping[str, Any]) -> None:
    """Before another attempt with the same build: take the notebook's names as they are now. Raises MissingNames."""
    missing = missing_names(built.package, lookup)
    if missing:
        raise MissingNames(built.package.workflow_type, missing)
    built.namespace.update({name: lookup[name] for name in built.package.live})
