"""Versions of a workflow: which new starts get, which runs are on, and letting go of one nobody needs."""
from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from aionlab.core.errors import InvalidOption, StoreReadOnly, WorkflowNotFound
from aionlab.core.filters.conditions import Query
from aionlab.core.filters.fields import equal_to

if TYPE_CHECKING:
    from aionlab.core.ports import Run

    from .engine import Engine


class Version(NamedTuple):
    """One stored version."""

    version: str
    stored_at: int
    routed: bool
    pinned: bool
    open: int
    """Open runs on it."""


def versions(engine: Engine, workflow_type: str) -> list[Version]:
    """The stored versions of a type, oldest first."""
    routed, pinned = engine.catalog.routed(workflow_type), engine.catalog.pinned(workflow_type)
    on = _open(engine, workflow_type)
    return [
        Version(p.version, p.created_at, p.version == routed, pinned and p.version == routed, on[p.version])
        for p in engine.store.packages(workflow_type)
    ]


def route(engine: Engine, workflow_type: str, version: str | None = None, pin: bool | None = None) -> tuple[str | None, str]:
    """Give new starts of a type this version; (the version before, the version now).

    `pin` keeps the route when a cell defines another version, and is on when a version is named. Without a version, the route is
    pinned where it is or, with `pin` False, follows what cells define again. Raises WorkflowNotFound, NotRunnable.
    """
    _may_write(engine)
    before = engine.catalog.routed(workflow_type)
    code = engine.catalog.resolve(workflow_type, version)
    engine.catalog.route(workflow_type, code.version, version is not None if pin is None else pin)
    return before, code.version


def unload(engine: Engine, workflow_type: str, version: str) -> None:
    """Forget the code of a version. Raises InvalidOption while new starts get it or an open run is on it, WorkflowNotFound."""
    _may_write(engine)
    if engine.store.package(workflow_type, version) is None:
        raise WorkflowNotFound(workflow_type, version, tuple(engine.catalog.types()))
    if engine.catalog.routed(workflow_type) == version:
        raise InvalidOption(f"new starts of {workflow_type} get {version[:7]}: route another version first")
    users = _open(engine, workflow_type)[version]
    if users:
        runs = "1 open run is" if users == 1 else f"{users} open runs are"
        raise InvalidOption(f"{runs} on {workflow_type} {version[:7]}: move or end {'it' if users == 1 else 'them'} first")
    engine.catalog.unload(workflow_type, version)


def _open(engine: Engine, workflow_type: str) -> Counter[str]:
    return Counter(run.row.version for run in engine.registry if run.row.workflow_type == workflow_type and not run.closed)


def _may_write(engine: Engine) -> None:
    if engine.store.readonly:
        raise StoreReadOnly("this lab only looks on: another kernel owns the database")


def recent(engine: Engine, workflow_type: str, most: int) -> list[Run]:
    """The newest runs of a type, open or closed, newest first."""
    return engine.store.runs(Query(equal_to({"type": workflow_type}, {}), limit=most))
