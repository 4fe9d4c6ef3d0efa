"""A lab: one database, its engine, and everything a user does with them.

Every method may be called from any thread and from any cell; it hands a call to the engine and waits in short steps that an interrupt
ends at once. What was acknowledged is committed.
"""
from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from aionlab.authoring.definitions import Workflow
from aionlab.code.ledger import Ledger
from aionlab.code.package import Package
from aionlab.core.attributes import AttributeType
from aionlab.core.durations import Duration, micros
from aionlab.core.errors import AionError, InvalidOption, NotAWorkflow, StoreReadOnly
from aionlab.core.ids import Ids
from aionlab.core.names import check_name
from aionlab.core.ports import Run
from aionlab.core.snapshots import Entry
from aionlab.core.status import Status
from aionlab.engine.call import Call
from aionlab.engine.lifecycle.start import StartRequest
from aionlab.replay.pythons import HERE
from aionlab.views.card import RunCard
from aionlab.views.definition import ActivityUse, Definition
from aionlab.views.progress import LabStatus
from aionlab.views.registry import Registry
from aionlab.views.runs import RunList
from aionlab.views.timeline import Timeline
from aionlab.views.tree import Tree

from . import witness
from .handle import Handle
from .hosts import Host
from .interrupts import Hold
from .labclock import LabClock
from .library import Library

if TYPE_CHECKING:
    from aionlab.views.frames import DataFrame

_ANSWER = 2.0
"""Seconds an interrupted call that a turn has taken is given to be answered."""

class Lab:
    """Made by `aionlab.open`; a context manager that closes itself."""

    def __init__(self, path: str, host: Host, library: Library, ids: Ids, owner: str, on_close: Callable[[Lab], None]) -> None:
        self.path, self.owner = path, owner
        self.library = library
        self.closed = False
        self.host, self._ids, self._on_close = host, ids, on_close
        self.clock = LabClock(self)

    # --- talking to the engine ------------------------------------------------------------------------------------------

    def ask(self, verb: str, *arguments: Any) -> Call:
        """Hand a call in; wait for it with `wait`."""
        return self.host.ask(Call(verb, *arguments))

    def wait(self, call: Call, timeout: float | None = None) -> bool:
        """Wait for a call's answer in interruptible steps; whether it came in time."""
        return self.host.wait(call, timeout)

    def call(self, verb: str, *arguments: Any) -> Any:
        """Carry a verb out and give its answer; raises what it raises."""
        call = self.ask(verb, *arguments)
        self.wait(call)
        return call.outcome()

    def nudge(self) -> None:
        """Let an inline engine take a turn; a threaded one needs none."""
        pump = getattr(self.host, "pump", None)
        if pump is not None:
            pump()

    def forget(self, call: Call) -> None:
        """No longer wait for a call's answer."""
        if not self.closed:
            with suppress(Exception):
                self.ask("unwait", call)

    @property
    def readonly(self) -> bool:
        """Whether this lab only looks on."""
        return self.host.engine.store.readonly

    def close(self) -> None:
        """Stop the engine and let go of the database; open runs stand still until it is opened again. Closing twice is fine."""
        with Hold(self.host.threaded):
            if not self.closed:
                self.closed = True
                self._on_close(self)
                self.host.close()

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- code -----------------------------------------------------------------------------------------------------------

    def define(self, definition: Workflow[..., Any], *, ledger: Ledger | None = None) -> Definition:
        """Capture a workflow's code, keep it as a version, and route new starts to it; shows what was done.

        Raises CodeRefused with everything that cannot be stored, NotAWorkflow.
        """
        if getattr(definition, "aion_kind", None) != "workflow":
            raise NotAWorkflow(f"{definition!r} is no workflow; put @workflow on an `async def`")
        if ledger is not None:
            self.library.ledger = ledger
        self._may_write()
        captured, is_new = self.library.capture(definition)
        package = captured.package
        code = self.library.code(package, captured.built)
        stored = self.library.stored_package(package, self.call("now"))
        self.library.stored.keep(self, self.library.used_by(captured))
        staying = self.call("define", code, stored)
        uses = tuple(ActivityUse(a.name, a.options, a.run_in) for a in self.library.used_by(captured))
        return Definition(package.workflow_type, package.version, is_new, tuple(staying), "", uses)

    def versions(self, workflow_type: str) -> DataFrame:
        """Stored versions, oldest first, see `aionlab.views.frames.versions_frame`."""
        from aionlab.views.frames import versions_frame

        routed, signer = self.call("routed", workflow_type), self.library.signer
        packages = self.call("store", "packages", workflow_type)
        return versions_frame([(p.version, p.created_at, p.version == routed, signer is not None and signer.trusts(p)) for p in packages])

    def code(self, workflow_type: str | None = None) -> SourceText:
        """The stored code of a workflow, or of all, as text. Nothing of it is run."""
        texts = []
        for stored in self.call("store", "packages", workflow_type):
            if stored.workflow_type.startswith("activity:"):
                texts.append(f"# {stored.workflow_type} ({stored.version[:7]})\n{self.library.stored.source(stored)}")
                continue
            for name, text in Package.from_document(stored.document).sources().items():
                texts.append(f"# {name}\n{text.strip(chr(10))}\n")
        return SourceText("\n".join(texts))

    def trust(self) -> str:
        """Let the code stored in this database run here, from now on. Says what comes back."""
        self._may_write()
        signer = self.library.signer
        if signer is None:
            raise InvalidOption("this lab keeps no secret to trust with: ':memory:' labs are never opened twice")
        for stored in self.call("store", "packages"):
            self.call("sign", stored, signer.sign(stored.document))
        store: Any = self.host.engine.store
        if self.path != ":memory:":
            self.call("store", "set_meta", witness.KEY, witness.text(store, signer, store.epoch, "open"))
        count = self.call("trust")
        return f"trusted: {count} run{'s' if count != 1 else ''} come{'s' if count == 1 else ''} back"

    def names_came(self) -> None:
        """The notebook has new names: activities that wait for some try again. Waits for nothing."""
        if not self.closed and self.host.engine.starved:
            self.ask("feed")

    def workflow_types(self) -> list[str]:
        """Types that can be started, by name."""
        types: list[str] = self.call("types")
        return types

    # --- starting -------------------------------------------------------------------------------------------------------

    def start(
        self, workflow: Workflow[..., Any] | str, *args: Any, id: str | None = None, version: str | None = None,  # noqa: A002 - the word of the API
        search_attributes: Mapping[str, Any] | None = None, memo: Any = None, idempotency_key: str | None = None, deadline: Duration | None = None,
        **kwargs: Any,
    ) -> Handle:
        """Start a run and give its handle; when this returns, the start is recorded.

        Raises WorkflowNotFound, InvalidName, InvalidPayload, InvalidAttribute, AlreadyStarted, InvalidOption, CodeRefused with nothing
        written, StartAborted when the start was rolled back. An interrupt before the engine took the start withdraws it; after that,
        the KeyboardInterrupt carries the run as `handle`.
        """
        self._may_write()
        if isinstance(workflow, str):
            name = workflow
        else:
            self._signature(workflow, args, kwargs)
            name = self._current(workflow)
        workflow_id = None if id is None else check_name("workflow id", id)
        payload = self.library.cells.encode_args(args, kwargs, "input")
        if version is not None:
            version = self._whole_version(name, version)
        request = StartRequest(
            name, payload, version, workflow_id or self._ids.workflow_id(), self._ids.run_id(), search_attributes,
            None if memo is None else self.library.cells.encode(memo, "memo").decode(), None if deadline is None else micros(deadline),
            idempotency_key, hashlib.blake2b(name.encode() + b"\0" + payload, digest_size=16).hexdigest() if idempotency_key else None, HERE,
        )  # fmt: skip
        handle = Handle(self, str(request.workflow_id), str(request.run_id), name)
        workflow_id, run_id = self._act(f"{request.workflow_id} was started", "nothing was started", Call("start", request), {"handle": handle})
        return Handle(self, workflow_id, run_id, name)

    def _signature(self, workflow: Workflow[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        if getattr(workflow, "aion_kind", None) != "workflow":
            raise NotAWorkflow(f"{workflow!r} is no workflow; put @workflow on an `async def`")
        try:
            workflow.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise InvalidOption(f"{workflow.name}{workflow.signature}: {error}") from None

    def _current(self, workflow: Workflow[..., Any]) -> str:
        """Define the workflow unless its code is what the lab has."""
        captured, _ = self.library.capture(workflow)
        if self.call("routed", workflow.name) != captured.package.version:
            self.define(workflow)
        return workflow.name

    def _whole_version(self, name: str, version: str) -> str:
        """The stored version that begins with these digits."""
        found = [p.version for p in self.call("store", "packages", name) if p.version.startswith(version)]
        return found[0] if len(found) == 1 else version

    def _act(self, done: str, undone: str, call: Call, facts: dict[str, Any] | None = None) -> Any:
        """Carry out a call that records something, and give its answer. An interrupt withdraws it if no turn has taken it; otherwise the
        answer, which is a commit away, is awaited. The KeyboardInterrupt says which (`done` or `undone`), and carries the `facts` of
        what was done."""
        try:
            with Hold(self.host.threaded) as hold:
                hold.wake = call.ring
                self.host.ask(call)
                try:
                    self.host.wait(call, None, hold.check)
                except KeyboardInterrupt:
                    if not call.withdraw():
                        self.host.wait(call, _ANSWER)
                    raise
                return call.outcome()
        except KeyboardInterrupt as stop:
            _tell(stop, call, done, undone, facts or {})
            raise

    def _may_write(self) -> None:
        if self.readonly:
            belongs = self.owner.removeprefix("nobody: ") if self.owner.startswith("nobody: ") else f"{os.path.basename(self.path)} belongs to {self.owner}"
            raise StoreReadOnly(f"{belongs}; this lab only looks on")

    # --- verbs ----------------------------------------------------------------------------------------------------------

    def get(self, id: str, run_id: str | None = None) -> Handle:  # noqa: A002 - the word of the API
        """The handle of a run, or of the newest run of the id. Raises RunNotFound."""
        row: Run = self.call("run", id, run_id)
        return Handle(self, row.workflow_id, row.run_id, row.workflow_type)

    def signal(self, id: str, name: str, payload: Any = None, *, run_id: str | None = None, idempotency_key: str | None = None) -> bool:  # noqa: A002
        """Send a signal; it is recorded when this returns. False when its idempotency key has come before.

        Raises RunNotFound, RunClosed, InvalidName, InvalidPayload with nothing written.
        """
        self._may_write()
        call = Call("signal", id, name, self.library.cells.encode(payload, "payload"), run_id, idempotency_key)
        return bool(self._act(f"{name!r} was sent to {id}", "nothing was sent", call))

    def query(self, id: str, name: str, *args: Any, run_id: str | None = None, **kwargs: Any) -> Any:  # noqa: A002
        """Ask a run's query handler, also of a closed run. Raises RunNotFound, QueryFailed."""
        payload = self.library.cells.encode_args(args, kwargs, name)
        return self.library.cells.decode(self.call("query", id, name, payload, run_id))

    def cancel(self, id: str, reason: str | None = None, *, run_id: str | None = None) -> None:  # noqa: A002
        """Ask a run to stop: CancelledError at its current await. Raises RunNotFound, RunClosed."""
        self._may_write()
        self._act(f"{id} was asked to stop", f"{id} was not asked to stop", Call("cancel", id, run_id, reason))

    def terminate(self, id: str, reason: str | None = None, details: str | None = None, *, run_id: str | None = None) -> None:  # noqa: A002
        """End a run at once; its code does not run again. Raises RunNotFound, RunClosed."""
        self._may_write()
        self._act(f"{id} was terminated", f"{id} was not terminated", Call("terminate", id, run_id, reason, details))

    def pause(self, id: str, reason: str | None = None, *, run_id: str | None = None) -> None:  # noqa: A002
        """Hold a run; what arrives for it is recorded. Raises RunNotFound, RunClosed, InvalidOption."""
        self._may_write()
        self._act(f"{id} was paused", f"{id} was not paused", Call("pause", id, run_id, reason))

    def resume(self, id: str, *, run_id: str | None = None) -> None:  # noqa: A002
        """Let a paused run go on. Raises RunNotFound, RunClosed, InvalidOption."""
        self._may_write()
        self._act(f"{id} was resumed", f"{id} was not resumed", Call("resume", id, run_id))

    def suspend(self, id: str, *, run_id: str | None = None) -> None:  # noqa: A002
        """Drop a run from memory; the next signal, timer, result or query brings it back by replay. Raises RunNotFound, RunClosed."""
        self.call("suspend", id, run_id)

    def kill(self, pid: int) -> str:
        """Kill one live process, as a crash would; says what its supervisor does. Raises ProcessNotFound."""
        self._may_write()
        return str(self._act(f"pid {pid} was killed", f"pid {pid} was not killed", Call("kill", pid)))

    def settle(self, timeout: float | None = None) -> bool:
        """Wait until nothing moves; whether that came within `timeout` seconds."""
        call = self.ask("settle")
        try:
            came = self.wait(call, timeout)
        except BaseException:
            self.forget(call)
            raise
        if not came:
            self.forget(call)
        return came

    def register_search_attribute(self, name: str, type: Any) -> None:  # noqa: A002 - the word of the API
        """Declare a search attribute: "keyword", "text", "int", "float", "bool", "datetime", "keyword_list", or the Python type."""
        self._may_write()
        self.call("register_attribute", check_name("search attribute", name), AttributeType.of(type).value)

    # --- looking --------------------------------------------------------------------------------------------------------

    def runs(self, *, status: str | Status | None = None, type: str | None = None, limit: int | None = None, **attributes: Any) -> RunList:  # noqa: A002
        """Runs, newest first, that have this status and type and these search attributes."""
        conditions: dict[str, Any] = {"limit": limit, "workflow_type": type, "attributes": attributes or None}
        if status is not None:
            known = {str(s).lower(): s for s in Status}
            found = known.get(str(status).lower())
            if found is None:
                raise InvalidOption(f"no status {status!r}; choose one of {', '.join(map(str, Status))}")
            conditions["status"] = found
        return RunList(self.call("runs", conditions))

    def events(self, id: str, *, run_id: str | None = None, full: bool = False) -> DataFrame:  # noqa: A002
        """The events of a workflow id as a frame, see `aionlab.views.frames.events_frame`. Raises RunNotFound."""
        from aionlab.views.frames import events_frame

        _, events = self.call("history", id, run_id)
        return events_frame(events, full=full)

    def describe(self, id: str, *, run_id: str | None = None) -> RunCard:  # noqa: A002
        """All about a run, as a card. Raises RunNotFound."""
        row: Run = self.call("run", id, run_id)
        _, events = self.call("history", row.workflow_id, row.run_id)
        return RunCard(row, tuple(events), self.call("entry", row.workflow_id, row.run_id), self.call("now"))

    def timeline(self, id: str, *, run_id: str | None = None) -> Timeline:  # noqa: A002
        """A run as a Gantt chart. Raises RunNotFound."""
        row: Run = self.call("run", id, run_id)
        _, events = self.call("history", row.workflow_id, row.run_id)
        entry: Entry | None = self.call("entry", row.workflow_id, row.run_id)
        return Timeline(tuple(events), None if row.status.closed else self.call("now"), entry.waiting_for if entry else "")

    def tree(self) -> Tree:
        """The supervision tree as it stands."""
        return Tree(self.call("tree"))

    def registry(self) -> Registry:
        """The open runs and where they live."""
        return Registry(tuple(self.call("registry")))

    def status(self) -> LabStatus:
        """Where the lab stands."""
        return LabStatus(self.call("progress")._replace(owner=self.owner), os.path.basename(self.path))

    def waiting_for(self, id: str, run_id: str | None = None) -> str:  # noqa: A002
        """What a run waits for, in words; empty for a closed one."""
        entry: Entry | None = self.call("entry", id, run_id)
        return entry.waiting_for if entry is not None else ""

    def ids(self) -> list[str]:
        """Every workflow id, oldest first."""
        return list(self.call("store", "ids"))

    def signal_names(self, id: str) -> list[str]:  # noqa: A002
        """Signal names the run's code has spoken of so far."""
        return list(self.call("names", id)[0])

    def query_names(self, id: str) -> list[str]:  # noqa: A002
        return list(self.call("names", id)[1])

    @property
    def sqlite(self) -> Any:
        """The database as a `sqlite_utils.Database` that cannot write, for questions of your own; the view `history` is the readable one."""
        store: Any = self.host.engine.store
        return store.reader().database

    def __repr__(self) -> str:
        return f"<Lab {os.path.basename(self.path)}{' (closed)' if self.closed else ' (looks on)' if self.readonly else ''}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": repr(self)}


def _tell(stop: KeyboardInterrupt, call: Call, done: str, undone: str, facts: dict[str, Any]) -> None:
    """Say in an interrupt what became of the call it interrupted."""
    if call.withdraw():
        stop.args = (undone,)
        return
    stop.args = (done if call.poll() else f"the engine has not answered; perhaps {done}",)
    if call.poll():
        try:
            call.outcome()
        except AionError as error:
            stop.args = (f"{undone}: {error}",)
            return
    for name, value in facts.items():
        setattr(stop, name, value)


class SourceText:
    """Stored code, shown as text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text or "no code is stored"
