# ruff: noqa: A002
"""A lab without an engine: it records what it is asked, through the same front door as the real one."""
from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from aionlab.core.errors import ResultTimeout, RunNotFound
from aionlab.core.status import Status
from aionlab.core.supervisors import Supervisor


class Handle:
    __module__ = "aionlab.fake"

    def __init__(self, lab: Lab, id: str, run_id: str = "run-1") -> None:
        self.lab, self.id, self.run_id, self.status = lab, id, run_id, Status.RUNNING
        self.outcome: Any = None
        self.interrupt = False

    def __repr__(self) -> str:
        return f"<handle {self.id}>"

    def result(self, timeout: float | None = None) -> Any:
        self.lab.calls.append(("result", self.id, timeout))
        if self.interrupt:
            raise KeyboardInterrupt
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        if self.outcome is None and timeout is not None:
            raise ResultTimeout(self.id, timeout, "signal 'approval' (order@3f2a91c:7)")
        return self.outcome

    def start_update(self, name: str, *args: Any, **kwargs: Any) -> Handle:
        """What is returned stands for the update: it has a result too."""
        self.lab.calls.append(("update", self.id, (name, *args), kwargs))
        sent = Handle(self.lab, f"update of {self.id}")
        sent.outcome, sent.interrupt = self.outcome, self.interrupt
        return sent

    def __getattr__(self, verb: str) -> Any:
        if verb.startswith("_"):
            raise AttributeError(verb)

        def call(*args: Any, **kwargs: Any) -> Any:
            self.lab.calls.append((verb, self.id, args, kwargs))
            if verb == "terminate":
                self.status = Status.TERMINATED
            return f"{verb} of {self.id}"

        return call


class Clock:
    virtual = True

    def __init__(self, lab: Lab) -> None:
        self.lab, self.auto = lab, False

    def now(self) -> int:
        return 1_577_836_800_000_000

    def skip(self, duration: Any) -> None:
        self.lab.calls.append(("skip", duration))

    def skip_to_next_timer(self) -> None:
        self.lab.calls.append(("next",))


class Lab:
    __module__ = "aionlab.fake"

    def __init__(self, path: str, readonly: bool = False, **options: Any) -> None:
        self.path, self.readonly, self.options = path, readonly, options
        self.owner = "kernel 4711" if readonly else "this kernel"
        self.calls: list[tuple[Any, ...]] = []
        self.handles: dict[str, Handle] = {}
        self.defined: list[Any] = []
        self.closed = False
        self.clock = Clock(self)
        self.interrupt_start: Any = None
        self.library = SimpleNamespace(ledger=None)

    def start(self, workflow: Any, *args: Any, **kwargs: Any) -> Handle:
        self.calls.append(("start", getattr(workflow, "name", workflow), args, kwargs))
        if self.interrupt_start is not None:
            stop = KeyboardInterrupt()
            if self.interrupt_start == "taken":
                stop.handle = self._made(kwargs)  # type: ignore[attr-defined]
            raise stop
        return self._made(kwargs)

    def _made(self, kwargs: dict[str, Any]) -> Handle:
        handle = Handle(self, kwargs.get("id") or f"wf-{len(self.handles) + 1:04}", f"run-{len(self.calls)}")
        self.handles[handle.id] = handle
        return handle

    def get(self, id: str, run_id: str | None = None) -> Handle:
        if id not in self.handles:
            raise RunNotFound(id, run_id, tuple(known for known in self.handles if known[0] == id[0]))
        return self.handles[id]

    def define(self, definition: Any, ledger: Any = None) -> str:
        self.defined.append((definition, ledger))
        return f"card of {definition.name}"

    def ids(self) -> list[str]:
        return list(self.handles)

    def workflow_types(self) -> list[str]:
        return ["order", "ship"]

    def signal_names(self, id: str) -> list[str]:
        return ["approval", "note"]

    def update_names(self, id: str) -> list[str]:
        return ["set_qty", "pay"]

    def query_names(self, id: str) -> list[str]:
        return ["status"]

    def runs(self, filter: str = "", **fields: Any) -> Handle:
        self.calls.append(("runs", filter, fields) if fields and filter else ("runs", fields or filter))
        return Handle(self, "every run found")

    def search_attributes(self) -> list[tuple[str, str]]:
        return [("amount", "int"), ("customer", "keyword")]

    def filter_words(self) -> list[str]:
        return ["status", "start_time", "amount"]

    def known_texts(self, field: Any) -> list[str]:
        return ["acme"]

    def supervisors(self) -> list[Any]:
        return [Supervisor("orders", ["order"])]

    def queue_names(self) -> list[str]:
        return ["default", "gpu"]

    def kill(self, pid: int) -> str:
        return f"pid {pid} gone; o-1 comes back by replay (1 of 3 in 30 s)"

    def settle(self, timeout: float | None = None) -> bool:
        self.calls.append(("settle", timeout))
        return True

    def ask(self, verb: str, *arguments: Any) -> Any:
        return SimpleNamespace(outcome=list)

    def wait(self, call: Any, timeout: float | None = None) -> bool:
        return True

    def close(self) -> None:
        self.closed = True

    def names_came(self) -> None:
        """Nothing waits for names here."""

    def __getattr__(self, verb: str) -> Any:
        if verb.startswith("_"):
            raise AttributeError(verb)

        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append((verb, *args, kwargs) if kwargs else (verb, *args))
            return f"{verb} shown"

        return call


class Opener:
    """Opens fakes, one for each path."""

    def __init__(self, readonly: bool = False) -> None:
        self.readonly, self.opened = readonly, {}  # type: ignore[var-annotated]

    def __call__(self, path: str, **options: Any) -> Lab:
        lab = self.opened.get(path)
        if lab is None or lab.closed:
            lab = self.opened[path] = Lab(path, self.readonly and not options.get("takeover"), **options)
        return lab


class Ledger:
    def __init__(self) -> None:
        self.noted: list[tuple[str, str, str]] = []

    def note_cell(self, source: str, filename: str, namespace: Any, label: str = "") -> None:
        self.noted.append((source, filename, label))
