"""Which code a name stands for: versions of workflows, the route new starts take, and the newest definition of each activity."""
from __future__ import annotations

from collections.abc import Callable

from aionlab.core.errors import UsageError, WorkflowNotFound
from aionlab.core.ports import EventStore
from aionlab.replay.process import Code


class NotRunnable(UsageError):
    """A stored version that may not or cannot run here yet; `why` says what it waits for."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


Loader = Callable[[str, str], Code]
"""(type, version) → code from the store; raises NotRunnable, or WorkflowNotFound when nothing is stored."""


class Catalog:
    """Code by (type, version), loaded from the store when first needed."""

    __slots__ = ("_codes", "_deadlines", "_load", "_routes", "_store")

    def __init__(self, store: EventStore, load: Loader | None = None) -> None:
        self._store = store
        self._load = load
        self._codes: dict[tuple[str, str], Code] = {}
        self._routes: dict[str, tuple[str, bool]] = store.routes()

    def add(self, code: Code, route: bool = True) -> bool:
        """Take a version in; new starts of its type get it unless the route is pinned. Whether the route moved."""
        self._codes[code.workflow_type, code.version] = code
        current = self._routes.get(code.workflow_type)
        if not route or (current is not None and (current[1] or current[0] == code.version)):
            return False
        self._routes[code.workflow_type] = (code.version, False)
        if not self._store.readonly:
            self._store.set_route(code.workflow_type, code.version)
        return True

    def resolve(self, workflow_type: str, version: str | None = None) -> Code:
        """The exact version, or the routed one.

        Raises WorkflowNotFound, or NotRunnable when the code is stored but may not run here yet.
        """
        if version is None:
            route = self._routes.get(workflow_type)
            if route is None:
                raise WorkflowNotFound(workflow_type, None, tuple(sorted(self._routes)))
            version = route[0]
        code = self._codes.get((workflow_type, version))
        if code is None:
            if self._load is None:
                raise WorkflowNotFound(workflow_type, version, tuple(sorted(self._routes)))
            code = self._codes[workflow_type, version] = self._load(workflow_type, version)
        return code

    def route(self, workflow_type: str, version: str, pinned: bool) -> None:
        """New starts of the type get this version; a pinned route stays when a cell defines another."""
        self._routes[workflow_type] = (version, pinned)
        self._store.set_route(workflow_type, version, pinned)

    def unload(self, workflow_type: str, version: str) -> None:
        """Forget a version, here and in the store."""
        self._codes.pop((workflow_type, version), None)
        self._store.drop_package(workflow_type, version)

    def pinned(self, workflow_type: str) -> bool:
        """Whether the route of a type stays where it is when a cell defines another version."""
        route = self._routes.get(workflow_type)
        return route is not None and route[1]

    def routed(self, workflow_type: str) -> str | None:
        """The version new starts of a type get."""
        route = self._routes.get(workflow_type)
        return None if route is None else route[0]

    def types(self) -> list[str]:
        return sorted(self._routes)
