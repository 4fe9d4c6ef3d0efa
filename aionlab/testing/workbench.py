"""An engine without a notebook: inline host, virtual clock, counted ids, functions used as they are.

Workflows are run as given, not captured as packages, so any function will do; everything else is the real engine. For tests, random
programs and the simulator.
"""
from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from aionlab.app.clocks import CountedIds, VirtualClock
from aionlab.app.hosts import InlineHost
from aionlab.authoring.compensation import compensated
from aionlab.backends.attempts import NamesMissing, Runnable
from aionlab.backends.inline import InlineExecutor
from aionlab.core import events as e
from aionlab.core.errors import WorkflowNotFound
from aionlab.core.events import Recorded
from aionlab.core.payload import hints_of
from aionlab.core.ports import ActivityExecutor, EventStore
from aionlab.core.status import Status
from aionlab.core.values import values_for
from aionlab.engine.api import VERBS
from aionlab.engine.call import Call
from aionlab.engine.engine import Engine
from aionlab.engine.lifecycle.start import StartRequest
from aionlab.replay.process import Code
from aionlab.store.memory import MemoryStore


class Workbench:
    """`bench.workflow(fn)`, `bench.activity(fn)`, then `bench.start(...)`; `crash()` forgets everything but the store."""

    def __init__(
        self, store: EventStore | None = None, *, clock: VirtualClock | None = None, executor: ActivityExecutor | None = None, ghost_starts: bool = False
    ) -> None:
        self.store: EventStore = MemoryStore() if store is None else store
        self.clock = clock or VirtualClock()
        self.values = values_for(None)
        self.codes: dict[str, Code] = {}
        self.functions: dict[str, Runnable] = {}
        self.executor = executor or InlineExecutor(self.lookup)
        self.ghost_starts = ghost_starts
        self.open()

    def open(self) -> None:
        """An engine on the store, as opening the database makes one."""
        ids = CountedIds(7, self.store.heads().run_key)
        self.engine = Engine(self.store, self.clock, ids, self.executor, VERBS, load=self.load, ghost_starts=self.ghost_starts)
        self.host = InlineHost(self.engine)
        for code in self.codes.values():
            self.engine.catalog.add(code)
        self.host.pump()

    def crash(self) -> None:
        """Drop the engine where it stands, as `kill -9` would, and open the store again. Coroutines are closed so that none is collected later."""
        for run in self.engine.registry:
            if run.process is not None:
                run.process.close()
        self.open()

    # --- defining -------------------------------------------------------------------------------------------------------

    def load(self, name: str, version: str) -> Code:
        """The workflow of this name, in whatever version it is here."""
        if name not in self.codes:
            raise WorkflowNotFound(name, version, tuple(self.codes))
        return self.codes[name]

    def lookup(self, name: str) -> Runnable:
        if name not in self.functions:
            raise NamesMissing((name,))
        return self.functions[name]

    def workflow(self, fn: Callable[..., Coroutine[Any, Any, Any]], name: str | None = None, version: str = "v1") -> Code:
        """Take a workflow (a bare function or one decorated with @workflow) in."""
        bare = getattr(fn, "fn", fn)
        code = Code(name or bare.__name__, version, compensated(bare) if getattr(fn, "saga", None) else bare, hints_of(bare), self.values)
        self.codes[code.workflow_type] = code
        self.engine.catalog.add(code)
        return code

    def activity(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Take an activity (decorated with @activity) in."""
        bare = getattr(fn, "fn", fn)
        self.functions[getattr(fn, "name", bare.__name__)] = Runnable(
            bare, inspect.iscoroutinefunction(bare), hints_of(bare), self.values, getattr(fn, "retry_if", None)
        )
        return fn

    # --- using ----------------------------------------------------------------------------------------------------------

    def call(self, verb: str, *arguments: Any) -> Any:
        """Carry a verb out; raises what it raises."""
        call = self.host.ask(Call(verb, *arguments))
        if not self.host.wait(call):
            raise TimeoutError(f"{verb} has no answer: nothing moves any more")
        return call.outcome()

    def start(self, name: str, *args: Any, id: str | None = None, **options: Any) -> str:  # noqa: A002 - the word of the API
        """Start a run; its workflow id."""
        payload = self.values.encode_args(args, {})
        python = f"{sys.version_info[0]}.{sys.version_info[1]}"
        workflow_id, _ = self.call("start", StartRequest(name, payload, workflow_id=id, python=python, **options))
        return str(workflow_id)

    def signal(self, workflow_id: str, name: str, payload: Any = None, key: str | None = None) -> bool:
        return bool(self.call("signal", workflow_id, name, self.values.encode(payload), None, key))

    def outcome(self, workflow_id: str) -> e.Event | None:
        """The terminal event, or None while the run is open."""
        _, events = self.call("history", workflow_id)
        last = [r.event for r in events if type(r.event) in e.TERMINAL]
        return last[-1] if last else None

    def result(self, workflow_id: str) -> Any:
        """The result of a completed run; raises the error of a failed one."""
        outcome = self.outcome(workflow_id)
        if isinstance(outcome, e.WorkflowCompleted):
            return self.values.decode(outcome.result)
        if isinstance(outcome, e.WorkflowFailed):
            raise self.values.error(outcome.error)
        raise AssertionError(f"{workflow_id}: {outcome}")

    def history(self, workflow_id: str) -> list[Recorded]:
        return list(self.call("history", workflow_id)[1])

    def kinds(self, workflow_id: str) -> list[str]:
        """The names of the recorded events, in order."""
        return [type(recorded.event).__name__ for recorded in self.history(workflow_id)]

    def status(self, workflow_id: str) -> Status:
        status = self.call("run", workflow_id).status
        assert isinstance(status, Status)
        return status

    def skip(self, micros: int) -> None:
        """Move the clock and let everything due happen."""
        self.call("skip", micros)
        self.host.pump()


