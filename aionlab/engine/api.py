"""The engine's verbs: what a host may call, by name. Each is a function of (engine, *arguments) and runs inside a turn."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from . import activities, attributes, defining, looking, residency, signals, supervising
from .lifecycle import ending, pausing
from .lifecycle import start as starting

VERBS: Final[dict[str, Callable[..., Any]]] = {
    "start": starting.start,
    "signal": signals.signal,
    "query": looking.query,
    "cancel": ending.cancel,
    "terminate": ending.terminate,
    "pause": pausing.pause,
    "resume": pausing.resume,
    "suspend": residency.suspend,
    "kill": supervising.kill,
    "retry": residency.retry,
    "result": looking.result,
    "unwait": looking.unwait,
    "settle": looking.settle,
    "history": looking.history,
    "run": looking.run_row,
    "runs": lambda engine, conditions: looking.runs(engine, **conditions),
    "entry": looking.entry,
    "registry": looking.registry,
    "tree": looking.tree,
    "progress": looking.progress,
    "names": looking.names,
    "stack": looking.stack,
    "now": lambda engine: engine.clock.now(),
    "types": lambda engine: [name for name in engine.catalog.types() if ":" not in name],
    "routed": lambda engine, workflow_type: engine.catalog.routed(workflow_type),
    "define": defining.define,
    "keep_activity": defining.keep_activity,
    "sign": defining.sign,
    "retry_waiting": defining.retry_waiting,
    "trust": defining.trust,
    "feed": activities.feed,
    "register_attribute": attributes.register,
    "store": defining.store_call,
    "skip": residency.skip,
    "skip_to_next": residency.skip_to_next,
    "set_auto": residency.set_auto,
}
