"""Taking code in: versions of workflows, the activities they use, trust."""
from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from aionlab.core.errors import NondeterminismError
from aionlab.core.ports import StoredPackage
from aionlab.replay.process import Code

from . import activities
from .run import LiveRun
from .schedules import recovery as schedules

if TYPE_CHECKING:
    from .engine import Engine


def define(engine: Engine, code: Code, package: StoredPackage | None = None, route: bool = True) -> list[tuple[str, int]]:
    """Keep a version and route new starts to it. (version, open runs) of the other versions that runs stay on."""
    if package is not None and not engine.store.readonly:
        engine.store.save_package(package)
    engine.catalog.add(code, route)
    activities.feed(engine)
    for run in engine.registry:
        if run.row.workflow_type == code.workflow_type and (run.waits_for or _mended(run, code)):
            engine.bring_home(run)
    schedules.wake(engine)
    others = Counter(run.row.version for run in engine.registry if run.row.workflow_type == code.workflow_type)
    del others[code.version]
    return sorted(others.items())


def _mended(run: LiveRun, code: Code) -> bool:
    """Whether a run that diverged has its version's code defined anew."""
    if not isinstance(run.stuck, NondeterminismError) or run.row.version != code.version:
        return False
    run.stuck = None
    return True


def keep_activity(engine: Engine, package: StoredPackage) -> None:
    """Keep an activity's source and make it the one that runs in a fresh kernel."""
    if not engine.store.readonly:
        engine.store.save_package(package)
        engine.store.set_route(package.workflow_type, package.version)


def sign(engine: Engine, package: StoredPackage, signature: str) -> None:
    """Trust a stored version."""
    engine.store.save_package(replace(package, signature=signature))


def retry_waiting(engine: Engine) -> int:
    """Code has come: bring every run that waited for it to memory. How many there were."""
    starved = {key for key, _ in engine.starved}
    activities.feed(engine)
    waiting = [run for run in engine.registry if run.waits_for]
    for run in waiting:
        engine.bring_home(run)
    schedules.wake(engine)
    return len(starved | {run.key for run in waiting})


def trust(engine: Engine) -> int:
    """The file is trusted now, code and history: bring back what waited for it. How many runs there were."""
    engine.bar = ""
    return retry_waiting(engine)


def store_call(engine: Engine, method: str, *arguments: object) -> object:
    """A plain read of the store, on the engine's thread."""
    return getattr(engine.store, method)(*arguments)
