"""Taking code in: versions of workflows, the activities they use, search attributes, trust."""
from __future__ import annotations

from typing import TYPE_CHECKING

from aionlab.core.ports import StoredPackage
from aionlab.replay.process import Code

from . import activities

if TYPE_CHECKING:
    from .engine import Engine


def define(engine: Engine, code: Code, package: StoredPackage | None = None, route: bool = True) -> tuple[bool, int]:
    """Keep a version and route new starts to it. (whether the route moved, open runs that stay on other versions)."""
    if package is not None and not engine.store.readonly:
        engine.store.save_package(package)
    moved = engine.catalog.add(code, route)
    activities.feed(engine)
    for run in engine.registry:
        if run.waits_for and run.row.workflow_type == code.workflow_type:
            engine.bring_home(run)
    others = sum(1 for run in engine.registry if run.row.workflow_type == code.workflow_type and run.row.version != code.version)
    return moved, others


def retry_waiting(engine: Engine) -> int:
    """Trust or code has come: bring every run that waited for it to memory. How many there were."""
    activities.feed(engine)
    waiting = [run for run in engine.registry if run.waits_for]
    for run in waiting:
        engine.bring_home(run)
    return len(waiting)


def register_attribute(engine: Engine, name: str, kind: str) -> None:
    engine.store.register_attribute(name, kind)


def store_call(engine: Engine, method: str, *arguments: object) -> object:
    """A plain read of the store, on the engine's thread."""
    return getattr(engine.store, method)(*arguments)
