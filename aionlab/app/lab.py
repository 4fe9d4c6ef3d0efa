"""A lab: one database, its engine, and everything a user does with them.

Every method may be called from any thread and from any cell; it hands a call to the engine and waits in short steps that an interrupt
ends at once. What was acknowledged is committed.
"""
from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from aionlab.authoring.definitions import Workflow
from aionlab.code.capture import Captured
from aionlab.code.ledger import Ledger
from aionlab.code.package import Package
from aionlab.core.attributes import AttributeType
from aionlab.core.durations import Duration
from aionlab.core.errors import AionError, InvalidOption, NotAWorkflow, StoreReadOnly, shorten
from aionlab.core.events import Payload, SignalReceived
from aionlab.core.ids import RESERVED, Ids
from aionlab.core.names import check_name
from aionlab.core.ports import Run
from aionlab.core.running import ChildOptions, HandlerInfo
from aionlab.core.snapshots import Entry
from aionlab.core.supervisors import Supervisor
from aionlab.engine.call import Call
from aionlab.engine.lifecycle.start import StartRequest
from aionlab.engine.updates import Accepted
from aionlab.replay.pythons import HERE
from aionlab.views.card import RunCard
from aionlab.views.definition import ActivityUse, Checked, Definition
from aionlab.views.progress import LabStatus
from aionlab.views.queues import QueueList
from aionlab.views.registry import Registry
from aionlab.views.supervision import Decisions
from aionlab.views.timeline import Timeline
from aionlab.views.tree import Tree

from . import witness
from .handle import Handle
from .hosts import Host
from .interrupts import Hold
from .labclock import LabClock
from .library import Library
from .lifecycle import Lifecycle, length, point
from .listing import Listings
from .schedules import Schedules
from .updates import Update
from .versions import Versions

_ANSWER = 2.0
"""Seconds an interrupted call that a turn has taken is given to be answered."""
_START_OPTIONS = ("search_attributes", "memo", "idempotency_key", "deadline", "id_reuse", "id_conflict", "start_delay")


class Lab(Lifecycle, Versions, Listings, Schedules):
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

    def let_go(self, call: Call) -> None:
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

    def define(
        self, definition: Workflow[..., Any], *, ledger: Ledger | None = None, audit: bool = True, children: bool = True
    ) -> Definition:
        """Capture a workflow's code, keep it as a version, and route new starts to it (unless their route is pinned); shows what was done.

        With `audit`, recorded histories of the type are replayed against new code, and the outcome shown. With `children`, workflows that
        it starts as children are defined as well where their code is new.

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
        if children:
            self._children(captured)
        uses = tuple(ActivityUse(a.name, a.options, a.run_in) for a in self.library.used_by(captured))
        routed = self.call("routed", package.workflow_type)
        checked = self.audit(code) if audit and is_new else Checked()
        return Definition(
            package.workflow_type, package.version, is_new, tuple(staying), "" if routed == package.version else routed, uses, checked=checked
        )

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
        search_attributes: Mapping[str, Any] | None = None, memo: Any = None, idempotency_key: str | None = None,
        deadline: Duration | datetime | None = None, id_reuse: str = "allow", id_conflict: str = "fail", start_delay: Duration | None = None,
        signal: tuple[str, Any] | str | None = None, **kwargs: Any,
    ) -> Handle:
        """Start a run and give its handle; when this returns, the start is recorded.

        - `id_conflict`: what happens where an open run has the id: "fail", "use_existing" (its handle, nothing is started) or
          "terminate_existing". `id_reuse`, where a closed run has it: "allow", "allow_failed_only", "reject" or "use_existing".
        - `idempotency_key`: the same request with the same key is the same run, for ever.
        - `deadline`: how long the run may take, counted from the start, or a point in time.
        - `start_delay`: how long the code waits before it begins. Signals wait with it, and do not wake it; a cancel ends the run at once.
        - `signal`: a name, or (name, payload): a signal the code finds when it begins.
        - `memo`: a note for people; a dict can be added to by the code.

        Raises WorkflowNotFound, InvalidName, InvalidPayload, InvalidAttribute, AlreadyStarted, InvalidOption, CodeRefused with nothing
        written, StartAborted when the start was rolled back. An interrupt before the engine took the start withdraws it; after that,
        the KeyboardInterrupt carries the run as `handle`.
        """
        request = self._request(
            workflow, args, kwargs, id, version, search_attributes=search_attributes, memo=memo, idempotency_key=idempotency_key, deadline=deadline,
            id_reuse=id_reuse, id_conflict=id_conflict, start_delay=start_delay, signal=signal,
        )  # fmt: skip
        name = request.workflow_type
        handle = Handle(self, str(request.workflow_id), str(request.run_id), name)
        workflow_id, run_id = self._act(f"{request.workflow_id} was started", "nothing was started", Call("start", request), {"handle": handle})
        return Handle(self, workflow_id, run_id, name)

    def _request(
        self, workflow: Workflow[..., Any] | str, args: tuple[Any, ...], kwargs: Mapping[str, Any], id: str | None, version: str | None, *,  # noqa: A002
        search_attributes: Mapping[str, Any] | None = None, memo: Any = None, idempotency_key: str | None = None,
        deadline: Duration | datetime | None = None, id_reuse: str = "allow", id_conflict: str = "fail", start_delay: Duration | None = None,
        signal: tuple[str, Any] | str | None = None,
    ) -> StartRequest:
        """What is to be started, its code defined here and its values encoded. Raises what the caller got wrong."""
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
        sent = None if signal is None else self._signal(signal)
        first = None if sent is None else SignalReceived(*sent, idempotency_key)
        digest = None
        if idempotency_key:
            parts = [name.encode(), payload, *([] if sent is None else [sent[0].encode(), sent[1]])]
            digest = hashlib.blake2b(b"\0".join(parts), digest_size=16).hexdigest()
        limit, until = (None, point(deadline)) if isinstance(deadline, datetime) else (None if deadline is None else length("deadline", deadline), None)
        return StartRequest(
            name, payload, version, workflow_id or self._ids.workflow_id(), self._ids.run_id(), search_attributes,
            None if memo is None else self.library.cells.encode(memo, "memo").decode(), limit, idempotency_key, digest, HERE,
            workflow_id is None, id_reuse, id_conflict, None if start_delay is None else length("start_delay", start_delay), first, until=until,
        )  # fmt: skip

    def _signal(self, signal: tuple[str, Any] | str) -> tuple[str, Payload]:
        """A signal that comes with something else: its name, and its payload as it is recorded."""
        if isinstance(signal, str):
            signal = (signal, None)
        if not isinstance(signal, tuple) or len(signal) != 2:
            raise InvalidOption(f"signal={shorten(signal)} is neither a name nor (name, payload)")
        return check_name("signal name", signal[0]), self.library.cells.encode(signal[1], "payload")

    def _signature(self, workflow: Workflow[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        if getattr(workflow, "aion_kind", None) != "workflow":
            raise NotAWorkflow(f"{workflow!r} is no workflow; put @workflow on an `async def`")
        if workflow.options != ChildOptions():
            raise InvalidOption(f"{workflow.name}.with_options(…) says how a child is asked for; give lab.start({workflow.name}, …) its options itself")
        try:
            workflow.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise InvalidOption(f"{workflow.name}{workflow.signature}: {error}") from None

    def _current(self, workflow: Workflow[..., Any], seen: frozenset[str] = frozenset()) -> str:
        """Define the workflow, and those it starts as children, unless their code is what the lab has."""
        captured, _ = self.library.capture(workflow)
        if self.call("routed", workflow.name) != captured.package.version:
            self.define(workflow, audit=False, children=False)
        self._children(captured, seen)
        return workflow.name

    def _children(self, captured: Captured, seen: frozenset[str] = frozenset()) -> None:
        known = seen | {captured.package.workflow_type}
        for child in self.library.children_of(captured):
            if child.name not in known:
                self._current(child, known)

    def _whole_version(self, name: str, version: str) -> str:
        """The stored version that begins with these digits."""
        if not version:
            raise InvalidOption(f"version={version!r} names none: give its first digits, or leave it out for the one that new starts get")
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
        sealing: Any = getattr(self.host.engine.store, "sealing", None)
        if sealing is not None and sealing.why:
            raise StoreReadOnly(f"{sealing.why}; until then this lab only looks on")

    # --- verbs ----------------------------------------------------------------------------------------------------------

    def get(self, id: str, run_id: str | None = None) -> Handle:  # noqa: A002 - the word of the API
        """The handle of a run, or of the newest run of the id and what it goes on as. Raises RunNotFound."""
        row: Run = self.call("run", id, run_id)
        return Handle(self, row.workflow_id, row.run_id, row.workflow_type, scoped=run_id is not None)

    def signal(self, id: str, name: str, payload: Any = None, *, run_id: str | None = None, idempotency_key: str | None = None) -> bool:  # noqa: A002
        """Send a signal; it is recorded when this returns. False when its idempotency key has come before.

        Raises RunNotFound, RunClosed, InvalidName, InvalidPayload with nothing written.
        """
        self._may_write()
        call = Call("signal", id, name, self.library.cells.encode(payload, "payload"), run_id, idempotency_key)
        return bool(self._act(f"{name!r} was sent to {id}", "nothing was sent", call))

    def query(self, id: str, name: str, *args: Any, run_id: str | None = None, reject_if_closed: bool = False, **kwargs: Any) -> Any:  # noqa: A002
        """Ask a run's query handler, also of a closed run, which is replayed for it, unless `reject_if_closed`.

        Raises RunNotFound, QueryFailed, RunClosed.
        """
        payload = self.library.cells.encode_args(args, kwargs, name)
        return self.library.cells.decode(self.call("query", id, name, payload, run_id, reject_if_closed))

    def update(
        self, id: str, name: str, *args: Any, run_id: str | None = None, update_id: str | None = None, timeout: float | None = None, **kwargs: Any  # noqa: A002
    ) -> Any:
        """Send an update and wait, at most `timeout` seconds, for what its handler returns. The same `update_id` again is the same update.

        Raises UpdateRejected, RunNotFound, RunClosed, InvalidName, InvalidPayload with nothing written; UpdateFailedError with the
        handler's error as `cause`; UpdateUnfinished when the run ended first; ResultTimeout. An interrupt while the handler is at work
        leaves it at work, and carries the update as `update`.
        """
        update = self.start_update(id, name, *args, run_id=run_id, update_id=update_id, **kwargs)
        try:
            return update.result(timeout)
        except KeyboardInterrupt as stop:
            _carry(stop, update)
            raise

    def start_update(self, id: str, name: str, *args: Any, run_id: str | None = None, update_id: str | None = None, **kwargs: Any) -> Update:  # noqa: A002
        """Send an update; it is accepted and recorded when this returns. Raises as `update` before it waits."""
        self._may_write()
        waiter = Call("update_result", id, update_id, run_id)
        call = Call("update", id, name, self.library.cells.encode_args(args, kwargs, name), update_id, run_id, waiter)
        return self._accepted(f"update {name!r} was sent to {id}", call, name, waiter)

    def update_with_start(
        self, workflow: Workflow[..., Any] | str, *args: Any, update: tuple[Any, ...] | str, id: str | None = None, update_id: str | None = None,  # noqa: A002
        version: str | None = None, **kwargs: Any,
    ) -> Update:
        """Start a run with an update that its first step finds: `update=("set_qty", 5)`, a name with the handler's arguments behind it.

        Where `id_conflict` and `id_reuse` give a run there is, the update goes to that. Asked again with the same `update_id`, it is the
        same update, whatever they say. Further keywords are the options of `start`, and the workflow's own. Raises as `start` and
        `update`; where the new run rejects the update, it has been started without.
        """
        if not isinstance(update, str | tuple) or not update:
            raise InvalidOption(f"update={shorten(update)} is neither a name nor (name, *arguments)")
        name, *given = (update,) if isinstance(update, str) else update
        options = {option: kwargs.pop(option) for option in _START_OPTIONS if option in kwargs}
        request = self._request(workflow, args, kwargs, id, version, **options)
        waiter = Call("update_result", str(request.workflow_id), update_id, None)
        call = Call("update_with_start", request, name, self.library.cells.encode_args(tuple(given), {}, name), update_id, waiter)
        return self._accepted(f"{request.workflow_id} was started with update {name!r}", call, name, waiter)

    def get_update(self, id: str, update_id: str, *, run_id: str | None = None) -> Update:  # noqa: A002
        """An update that was accepted before, by its id. Raises RunNotFound, UpdateNotFound."""
        row: Run = self.call("run", id, run_id)
        self.call("update_known", row.workflow_id, update_id, row.run_id)
        call = self.ask("update_result", row.workflow_id, update_id, row.run_id)
        return Update(self, Handle(self, row.workflow_id, row.run_id, row.workflow_type), update_id, "", call)

    def _accepted(self, done: str, call: Call, name: str, waiter: Call) -> Update:
        """Carry out a call that sends an update. An interrupt that comes when it is accepted carries the update."""

        def made(accepted: Accepted) -> Update:
            handle = Handle(self, accepted.workflow_id, accepted.run_id, accepted.workflow_type)
            return Update(self, handle, accepted.update_id, name, waiter)

        try:
            return made(self._act(done, "nothing was sent", call))
        except KeyboardInterrupt as stop:
            if call.poll():
                with suppress(AionError):
                    _carry(stop, made(call.outcome()))
            raise

    def cancel(
        self, id: str, reason: str | None = None, *, run_id: str | None = None, children: bool = False, grace: Duration | None = None  # noqa: A002
    ) -> None:
        """Ask a run to stop: CancelledError, with the reason, at its current await; its code may clean up. Asked again it changes nothing.
        Children its code waits for are asked by that code; with `children` every run below it is asked. A run that has not ended when
        `grace` is over is terminated. Raises RunNotFound, RunClosed."""
        self._may_write()
        limit = None if grace is None else length("grace", grace)
        self._act(f"{id} was asked to stop", f"{id} was not asked to stop", Call("cancel", id, run_id, reason, children, limit))

    def terminate(self, id: str, reason: str | None = None, details: str | None = None, *, run_id: str | None = None) -> None:  # noqa: A002
        """End a run at once; its code does not run again. Raises RunNotFound, RunClosed."""
        self._may_write()
        self._act(f"{id} was terminated", f"{id} was not terminated", Call("terminate", id, run_id, reason, details))

    def pause(self, id: str, reason: str | None = None, *, run_id: str | None = None) -> None:  # noqa: A002
        """Hold a run: nothing new is dispatched, what arrives for it is recorded and waits, also when the lab is opened again. Its deadline
        goes on. Pausing again changes nothing. Raises RunNotFound, RunClosed."""
        self._may_write()
        self._act(f"{id} was paused", f"{id} was not paused", Call("pause", id, run_id, reason))

    def resume(self, id: str, *, run_id: str | None = None) -> None:  # noqa: A002
        """Let a paused run go on, with all that has waited for it; one that goes on already does so. Raises RunNotFound, RunClosed."""
        self._may_write()
        self._act(f"{id} was resumed", f"{id} was not resumed", Call("resume", id, run_id))

    def suspend(self, id: str, *, run_id: str | None = None) -> None:  # noqa: A002
        """Drop a run from memory; the next signal, timer, result or query brings it back by replay. Raises RunNotFound, RunClosed."""
        self.call("suspend", id, run_id)

    def kill(self, pid: int) -> str:
        """Kill one live process, as a crash would, or a supervisor with all it supervises; says what the supervisor above it does.

        Raises ProcessNotFound.
        """
        self._may_write()
        return str(self._act(f"pid {pid} was killed", f"pid {pid} was not killed", Call("kill", pid)))

    def register_queue(
        self, name: str, *, concurrency: int | None = None, rate: int | None = None, period: Duration = "1s", priority: bool = True,
    ) -> QueueList:
        """Limit the queue that activities name with `queue="…"`: `concurrency` attempts at once, `rate` starts within any `period`. It is kept
        with the lab. Registered again, it has the new limits; without any, none. Shows the queues.

        Who waits comes in order of `priority` (0 first, then 1, 2, …), then as they were asked for; `priority=False` leaves priorities out.
        Raises InvalidName, InvalidOption.
        """
        self._may_write()
        self._act(f"queue {name} is registered", "nothing was changed", Call("register_queue", name, concurrency, rate, length("period", period), priority))
        return self.queues()

    def queues(self) -> QueueList:
        """The queues as they stand: what waits, what runs, the limits."""
        return QueueList(tuple(self.call("queues")))

    def queue_names(self) -> list[str]:
        """Queues that are registered, or that something runs of."""
        return [state.name for state in self.queues()]

    def supervise(self, name: Supervisor | Workflow[..., Any] | str | None, children: Iterable[Any] | None = None, **options: Any) -> Tree:
        """Declare a supervisor; it is in force at once and whenever the database is opened, until it is declared anew or `unsupervise` takes
        it back. Processes go on under it, counts begin anew, and runs of its types that were given up come back. Shows the tree.

        `name` is a workflow (the supervisor of its runs), a name of its own with `children` (workflows, names of workflows, other
        `Supervisor`s, in start order), or None for the root. The options are those of `aionlab.Supervisor`: strategy, intensity, period,
        restart, runs, backoff, shutdown, give_up. A `Supervisor` that is ready may be given alone.

        Raises InvalidOption, InvalidName with nothing written.
        """
        self._may_write()
        if isinstance(name, Supervisor) and (options or children is not None):
            raise InvalidOption(f"{name!r} is declared already; give it alone, or its name with the options")
        spec = name if isinstance(name, Supervisor) else Supervisor(name, children, **options)
        self._act(f"{spec.name or 'the root'} is declared", "nothing was declared", Call("supervise", spec))
        return self.tree()

    def unsupervise(self, name: Workflow[..., Any] | str | None) -> Tree:
        """Take the declaration of a supervisor back; its types are supervised as all others. Raises InvalidOption when there is none."""
        self._may_write()
        name = getattr(name, "name", name) or ""
        self._act(f"{name or 'the root'} is declared no more", "nothing was changed", Call("unsupervise", name))
        return self.tree()

    def settle(self, timeout: float | None = None) -> bool:
        """Wait until nothing moves; whether that came within `timeout` seconds."""
        call = self.ask("settle")
        try:
            came = self.wait(call, timeout)
        except BaseException:
            self.let_go(call)
            raise
        if not came:
            self.let_go(call)
        return came

    def register_search_attribute(self, name: str, type: Any) -> None:  # noqa: A002 - the word of the API
        """Declare a search attribute: "keyword", "text", "int", "float", "bool", "datetime", "keyword_list", or the Python type."""
        self._may_write()
        self.call("register_attribute", check_name("search attribute", name), AttributeType.of(type).value)

    # --- looking --------------------------------------------------------------------------------------------------------

    def describe(self, id: str, *, run_id: str | None = None) -> RunCard:  # noqa: A002
        """All about a run, as a card. Raises RunNotFound."""
        row: Run = self.call("run", id, run_id)
        _, events = self.call("history", row.workflow_id, row.run_id)
        ids = row.workflow_id, row.run_id
        return RunCard(row, tuple(events), self.call("entry", *ids), self.call("now"), self.call("details", *ids), handlers=self.handlers(*ids[:1], run_id=ids[1]))

    def timeline(self, id: str, *, run_id: str | None = None) -> Timeline:  # noqa: A002
        """A run as a Gantt chart. Raises RunNotFound."""
        row: Run = self.call("run", id, run_id)
        _, events = self.call("history", row.workflow_id, row.run_id)
        entry: Entry | None = self.call("entry", row.workflow_id, row.run_id)
        return Timeline(tuple(events), None if row.status.closed else self.call("now"), entry.waiting_for if entry else "")

    def tree(self) -> Tree:
        """The supervision tree as it stands."""
        return Tree(self.call("tree"))

    def supervision(self) -> Decisions:
        """What supervisors have decided since the lab was opened (the last 10,000): `to_frame()` is the frame."""
        return Decisions(tuple(self.call("supervision")))

    def supervisors(self) -> list[Supervisor]:
        """The supervisors that are declared."""
        return list(self.call("supervisors"))

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
        return [name for name in self.call("store", "ids") if not name.startswith(RESERVED)]

    def signal_names(self, id: str) -> list[str]:  # noqa: A002
        """Signal names the run's code has spoken of so far."""
        return list(self.call("names", id)[0])

    def query_names(self, id: str) -> list[str]:  # noqa: A002
        """Query names the run's code has set handlers for."""
        return list(self.call("names", id)[1])

    def update_names(self, id: str) -> list[str]:  # noqa: A002
        """Update names the run's code has set handlers for."""
        return [handler.name for handler in self.handlers(id) if handler.kind == "update"]

    def handlers(self, id: str, *, run_id: str | None = None) -> list[HandlerInfo]:  # noqa: A002
        """The handlers of an open run that is in memory, and the signals it has received without one: kind, name, signature, summary."""
        return list(self.call("handlers", id, run_id))

    @property
    def sqlite(self) -> Any:
        """The database as a `sqlite_utils.Database` that cannot write, for questions of your own; the view `history` is the readable one."""
        store: Any = self.host.engine.store
        return store.reader().database

    def __repr__(self) -> str:
        return f"<Lab {os.path.basename(self.path)}{' (closed)' if self.closed else ' (looks on)' if self.readonly else ''}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": repr(self)}


def _carry(stop: KeyboardInterrupt, update: Update) -> None:
    """Say in an interrupt that an update goes on, and put it there."""
    where = f"lab.get_update({update.handle.id!r}, {update.id!r})"
    stop.args = (f"update {update.name!r} was accepted by {update.handle.id} and goes on: {where}.result() has what comes of it",)
    stop.update = update  # type: ignore[attr-defined]  # as `_act` puts facts on it


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
