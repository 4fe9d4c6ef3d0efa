"""The code this kernel knows: what cells define, as captured packages; what the database keeps, rebuilt when it is trusted.

What runs is always the package's own build, in the defining kernel too. Activities are different: the newest definition of a name runs,
with the notebook's live globals.
"""
from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

from aionlab.authoring.compensation import compensated
from aionlab.authoring.definitions import Activity, Workflow
from aionlab.backends.attempts import NamesMissing, Runnable
from aionlab.code import trust
from aionlab.code.build import Built, build, register_sources
from aionlab.code.capture import Captured, capture_live, still_current
from aionlab.code.ledger import Ledger
from aionlab.code.package import Package
from aionlab.core.classes import walk
from aionlab.core.clock import Micros
from aionlab.core.converters import Converters
from aionlab.core.errors import WorkflowNotFound
from aionlab.core.events import ActivityOptions
from aionlab.core.payload import hints_of
from aionlab.core.ports import EventStore, StoredPackage
from aionlab.core.values import Values, values_for
from aionlab.engine.catalog import NotRunnable
from aionlab.replay.process import Code

from .activities import StoredActivities


class Signer:
    """Signs what this user defines, and knows it again."""

    def __init__(self, secret: bytes, lab_uuid: str) -> None:
        self._secret, self._uuid = secret, lab_uuid

    def sign(self, document: bytes) -> str:
        return trust.sign(self._secret, self._uuid, document)

    def signed(self, document: bytes, signature: str) -> bool:
        """Whether the signature is this user's, of these bytes."""
        return bool(signature) and trust.verify(self._secret, self._uuid, document, signature)

    def trusts(self, package: StoredPackage) -> bool:
        return self.signed(package.document, package.signature)


class NamedActivity(Activity[..., Any]):
    """An activity as pinned code sees it: a name and a signature; its options are those of the newest definition."""

    def __init__(self, name: str, stub: FunctionType, options: Callable[[str], ActivityOptions]) -> None:
        super().__init__(stub, name, run_in="thread")
        self._newest = options

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.options = self._newest(self.name)
        return super().__call__(*args, **kwargs)

    def with_options(self, **options: Any) -> Activity[..., Any]:
        self.options = self._newest(self.name)
        return super().with_options(**options)


class Library:
    """Definitions by type and activities by name. Lookups may come from any thread."""

    def __init__(self, ledger: Ledger, namespace: Mapping[str, Any] | None = None, extras: Converters | None = None) -> None:
        self.ledger, self.extras = ledger, extras
        self.namespace: Mapping[str, Any] = vars(sys.modules["__main__"]) if namespace is None else namespace
        """The notebook's names."""
        self.signer: Signer | None = None
        self.activities: dict[str, Activity[..., Any]] = {}
        self.stand_ins: dict[str, Activity[..., Any]] = {}
        """What runs in the place of an activity while a test says so."""
        self.stored = StoredActivities(self)
        self._captured: dict[str, tuple[Workflow[..., Any], Captured]] = {}
        self._built: dict[tuple[str, str], Built] = {}
        self._runnable: dict[str, Runnable] = {}
        self.cells = values_for(self.class_in_notebook, extras=self.extras)

    # --- defining -------------------------------------------------------------------------------------------------------

    def capture(self, definition: Workflow[..., Any]) -> tuple[Captured, bool]:
        """The definition's package as it is now, and whether it differs from what was captured before. Raises CodeRefused."""
        known = self._captured.get(definition.name)
        if known is not None and known[0].fn is definition.fn and still_current(known[1].package, known[1].live):
            return known[1], False
        captured = capture_live(definition, self.ledger, make_activity=self._named)
        self._captured[definition.name] = (definition, captured)
        for named in captured.live.definitions:
            if named.aion_kind == "activity":
                self.activities[named.name] = named
        self._built[captured.package.workflow_type, captured.package.version] = captured.built
        return captured, known is None or known[1].package.version != captured.package.version

    def children_of(self, captured: Captured) -> list[Workflow[..., Any]]:
        """The other workflows a captured workflow names, by name."""
        found = {named.name: named for named in captured.live.definitions if named.aion_kind == "workflow"}
        return [found[name] for name in sorted(found) if name != captured.package.workflow_type]

    def used_by(self, captured: Captured) -> list[Activity[..., Any]]:
        """The activities a captured workflow names, by name."""
        found = {named.name: named for named in captured.live.definitions if named.aion_kind == "activity"}
        return [found[name] for name in sorted(found)]

    def code(self, package: Package, built: Built) -> Code:
        """What the engine runs."""
        deadline: Any = package.options.get("deadline")
        values = values_for(built.resolve, extras=self.extras)
        function = compensated(built.function) if package.options.get("saga") else built.function
        return Code(package.workflow_type, package.version, function, hints_of(built.function), values, None if deadline is None else Micros(int(deadline)))

    def stored_package(self, package: Package, now: Micros) -> StoredPackage:
        document = package.to_document()
        signature = self.signer.sign(document) if self.signer is not None else ""
        return StoredPackage(package.workflow_type, package.version, document, now, signature)

    def _named(self, name: str, stub: FunctionType) -> NamedActivity:
        return NamedActivity(name, stub, self.options_of)

    def options_of(self, name: str) -> ActivityOptions:
        """The options of the newest definition of an activity."""
        known = self.activities.get(name)
        return known.options if known is not None else self.stored.options_of(name)

    # --- loading --------------------------------------------------------------------------------------------------------

    def loader(self, store: EventStore, untrusted: str) -> Callable[[str, str], Code]:
        """How the engine gets code that is only in the store: rebuilt when trusted; otherwise NotRunnable says what to do (`untrusted`)."""

        def load(workflow_type: str, version: str) -> Code:
            stored = store.package(workflow_type, version)
            if stored is None:
                raise WorkflowNotFound(workflow_type, version, tuple(sorted(store.routes())))
            if self.signer is None or not self.signer.trusts(stored):
                raise NotRunnable(untrusted)
            package = Package.from_document(stored.document)
            built = self._built.get((workflow_type, version))
            if built is None:
                try:
                    built = self._built[workflow_type, version] = build(package, make_activity=self._named)
                except Exception as error:  # building runs the user's own statements
                    raise NotRunnable(f"its code: {error}") from error
            return self.code(package, built)

        return load

    # --- activities and values ------------------------------------------------------------------------------------------

    def defined(self, name: str) -> Activity[..., Any] | None:
        """The activity as this kernel has defined it, if it has."""
        known: Activity[..., Any] | None = self.stand_ins.get(name) or self.activities.get(name)
        if known is None:
            live: Any = self.namespace.get(name)
            if getattr(live, "aion_kind", None) == "activity" and getattr(live, "name", None) == name and getattr(live, "fn", None) is not None:
                known = self.activities[name] = live
        return known

    def lookup(self, name: str) -> Runnable:
        """The newest code of an activity. Raises NamesMissing."""
        known = self.defined(name) or self.stored.activity(name)
        function = known.fn
        if function is None:
            raise NamesMissing((name,))
        ready = self._runnable.get(name)
        if ready is not None and ready.function is function and ready.retry_if is known.retry_if:
            return ready
        values = self._values_of(function)
        ready = self._runnable[name] = Runnable(function, inspect.iscoroutinefunction(function), hints_of(function), values, known.retry_if)
        return ready

    def _values_of(self, function: Callable[..., Any]) -> Values:
        space = getattr(function, "__globals__", {})
        return values_for(lambda name: _class(space, name) or self.class_in_notebook(name), extras=self.extras)

    def class_in_notebook(self, name: str) -> type | None:
        """The notebook's class of a recorded name, or that of a module a workflow was written in, else that of a version built here."""
        for space in (self.namespace, *(captured.live.namespace for _, captured in reversed(list(self._captured.values())))):
            found = _class(space, name)
            if found is not None:
                return found
        for built in reversed(list(self._built.values())):
            found = built.resolve(name)
            if found is not None:
                return found
        return None

    def sources_again(self) -> None:
        """Register stored sources with linecache again, which other tools may have cleared."""
        for built in self._built.values():
            register_sources(built.package)


def _class(namespace: Mapping[str, Any], name: str) -> type | None:
    module, colon, qualname = name.rpartition(":")
    if colon and module != "__main__":
        return None
    return walk(namespace, qualname)
