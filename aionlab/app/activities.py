"""Activities across kernels: their source is kept with the lab and runs in a fresh kernel until the notebook defines them again."""
from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from aionlab.authoring.definitions import Activity
from aionlab.backends.attempts import NamesMissing
from aionlab.code.activities import MissingNames, build_activity, capture_activity, supply
from aionlab.code.build import BuildFailed, Built
from aionlab.code.package import Package
from aionlab.code.values import decode
from aionlab.core.errors import CodeRefused
from aionlab.core.events import ActivityOptions
from aionlab.core.ports import EventStore, StoredPackage

if TYPE_CHECKING:
    from .lab import Lab
    from .library import Library

PREFIX = "activity:"
"""Stored activities share the table of workflow versions, under this prefix."""


class StoredActivities:
    """The lab's stored activities; `store` is set once it is open."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self.store: EventStore | None = None
        self._kept: dict[str, Activity[..., Any]] = {}
        self._built: dict[str, Built] = {}
        self._packages: dict[str, Package] = {}

    def keep(self, lab: Lab, activities: Iterable[Activity[..., Any]]) -> None:
        """Store the source of these activities where it is new. One without source runs in this kernel alone."""
        for activity in activities:
            if self._kept.get(activity.name) is activity:
                continue
            with suppress(CodeRefused):
                package = capture_activity(activity, self._library.ledger)
                stored = self._library.stored_package(package, lab.call("now"))
                lab.call("keep_activity", StoredPackage(PREFIX + activity.name, stored.version, stored.document, stored.created_at, stored.signature))
            self._kept[activity.name] = activity

    def activity(self, name: str) -> Activity[..., Any]:
        """The stored activity, built here; on the engine's thread only. Raises NamesMissing while it cannot run."""
        package = self.package(name)
        try:
            built = self._built.get(name)
            if built is None:
                built = self._built[name] = build_activity(package, self._library.namespace)
            else:
                supply(built, self._library.namespace)
        except MissingNames as error:
            raise NamesMissing(error.names) from None
        except BuildFailed as error:
            raise NamesMissing((f"{name} ({error})",)) from error
        return Activity(built.function, name, self.options_of(name), retry_if=built.retry_if)

    def package(self, name: str) -> Package:
        """The stored activity's code, for another process. Raises NamesMissing where there is none, or none that is trusted."""
        package = self._package(name)
        if package is None:
            raise NamesMissing((name,))
        return package

    def options_of(self, name: str) -> ActivityOptions:
        """The options the stored activity was declared with; the defaults for an unknown one. Options are data: they need no trust."""
        with suppress(ValueError):
            package = self._packages.get(name)
            stored = self._stored(name) if package is None else None
            if stored is not None:
                package = Package.from_document(stored.document)
            options: Any = decode(package.options["options"], _own_class) if package is not None and "options" in package.options else None
            if isinstance(options, ActivityOptions):
                return options
        return ActivityOptions()

    def source(self, stored: StoredPackage) -> str:
        """The stored text, for people."""
        return "\n".join(text.strip("\n") for text in Package.from_document(stored.document).sources().values()) + "\n"

    def _package(self, name: str) -> Package | None:
        known = self._packages.get(name)
        stored = self._stored(name) if known is None else None
        if stored is None:
            return known
        if self._library.signer is None or not self._library.signer.trusts(stored):
            raise NamesMissing((f"{name} (its stored code is not trusted: `%aion trust`)",))
        found = self._packages[name] = Package.from_document(stored.document)
        return found

    def _stored(self, name: str) -> StoredPackage | None:
        """What is stored of the activity, trusted or not."""
        if self.store is None:
            return None
        route = self.store.routes().get(PREFIX + name)
        return self.store.package(PREFIX + name, route[0]) if route is not None else None


def _own_class(reference: list[Any]) -> Any:
    """A class of aionlab's own that stored options refer to."""
    kind, module, name, *_ = reference
    if kind != "import" or not module.startswith("aionlab.core."):
        raise ValueError(f"options refer to {module}.{name}, which is no part of aionlab")
    return getattr(sys.modules[module], name)
