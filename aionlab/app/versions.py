"""What a lab says and does about versions of code: routes, moves, and how recorded histories agree with new code."""
from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from aionlab.core import events as e
from aionlab.core.errors import AionError, InvalidOption, NondeterminismError, WorkflowNotFound
from aionlab.replay.process import Code, Process
from aionlab.replay.pythons import replays_here
from aionlab.replay.rebuild import rebuild
from aionlab.views.definition import Checked

if TYPE_CHECKING:
    from aionlab.engine.routing import Version
    from aionlab.views.frames import DataFrame

    from .library import Library

AUDITED = 50
"""Histories of a type that are replayed against its new code, newest first."""
PATIENCE = 0.5
"""Seconds after which no further history is taken up."""


class Versions:
    """The part of a lab that is about versions of code."""

    library: Library

    def call(self, verb: str, *arguments: Any) -> Any:
        raise NotImplementedError

    def _may_write(self) -> None:
        raise NotImplementedError

    def versions(self, workflow_type: str, *, full: bool = False) -> DataFrame:
        """Stored versions, oldest first, with `full` by their whole names, see `aionlab.views.frames.versions_frame`."""
        from aionlab.views.frames import versions_frame

        signer = self.library.signer
        trusted = {p.version: signer is not None and signer.trusts(p) for p in self.call("store", "packages", workflow_type)}
        found: list[Version] = self.call("versions", workflow_type)
        return versions_frame([(v.version, v.stored_at, v.routed, trusted[v.version], v.pinned, v.open) for v in found], full=full)

    def route(self, workflow_type: str, version: str | None = None, *, pin: bool | None = None) -> str:
        """Give new starts of a type this version (its first digits are enough); says what it did.

        A named version is pinned: it stays when a cell defines another, until `pin=False`. `route(type)` pins the route where it is,
        `route(type, pin=False)` lets it follow what cells define again. Raises WorkflowNotFound, InvalidOption.
        """
        self._may_write()
        if version is None and pin is None:
            pin = True
        before, now = self.call("route", workflow_type, None if version is None else self._known_version(workflow_type, version), pin)
        pinned = next(v.pinned for v in self.call("versions", workflow_type) if v.version == now)
        verb = "stay on" if before == now else "get"
        return f"new starts of {workflow_type} {verb} {now[:7]}, {'pinned' if pinned else 'and what cells define later'}"

    def rollback(self, workflow_type: str) -> str:
        """Route new starts of a type to the version stored before the one they get now, pinned; says what it did. Runs stay where they are."""
        found: list[Version] = self.call("versions", workflow_type)
        if not found:
            raise WorkflowNotFound(workflow_type, None, tuple(self.call("types")))
        at = next((place for place, v in enumerate(found) if v.routed), 0)
        if not at:
            raise InvalidOption(f"new starts of {workflow_type} get its oldest stored version: there is none to go back to")
        return self.route(workflow_type, found[at - 1].version)

    def unload(self, workflow_type: str, version: str) -> str:
        """Forget the code of a version nobody is on; says what it did. Histories recorded under it stay, and can no longer be replayed.

        Raises InvalidOption while new starts get it or an open run is on it, WorkflowNotFound.
        """
        self._may_write()
        whole = self._known_version(workflow_type, version)
        self.call("unload", workflow_type, whole)
        return f"{workflow_type} {whole[:7]} is forgotten"

    def move(self, id: str, version: str | None = None, *, run_id: str | None = None) -> str:  # noqa: A002 - the word of the API
        """Let an open run go on under another version, the one new starts get by default; says what it did.

        The run's whole history is replayed against that code first: NondeterminismError says where they part, and nothing has changed
        then. A run that was stuck goes on. Raises RunNotFound, RunClosed, WorkflowNotFound, InvalidOption.
        """
        self._may_write()
        if version is not None:
            version = self._known_version(self.call("run", id, run_id).workflow_type, version)
        old, new = self.call("move", id, run_id, version)
        return f"{id} went from {old[:7]} to {new[:7]}"

    def _known_version(self, workflow_type: str, version: str) -> str:
        """The stored version that begins with these digits. Raises WorkflowNotFound, InvalidOption when several do."""
        found: list[Version] = self.call("versions", workflow_type)
        fits = [v.version for v in found if v.version.startswith(version)] if version else []
        if len(fits) > 1:
            raise InvalidOption(f"{version!r} begins {len(fits)} versions of {workflow_type}: {', '.join(one[:12] for one in fits)}")
        if not fits:
            raise WorkflowNotFound(workflow_type, version, tuple(v.version[:7] for v in found))
        return fits[0]

    def audit(self, code: Code, seconds: float = PATIENCE) -> Checked:
        """How recorded histories of a type replay against new code: its newest runs, as many as fit in the time. No activity runs."""
        good, diverged = 0, []
        until = time.monotonic() + seconds
        for row in self.call("recent", code.workflow_type, AUDITED):
            if time.monotonic() > until:
                break
            try:
                _, history = self.call("history", row.workflow_id, row.run_id)
            except AionError:
                continue
            started = history[0].event if history else None
            if not isinstance(started, e.WorkflowStarted) or not replays_here(started.python):
                continue
            first = history[0]

            def make(trace: bool, started: e.WorkflowStarted = started, first: Any = first) -> Process:
                return Process(code, started, first.workflow_id, first.run_id, first.at, None, trace)  # type: ignore[abstract]  # as in engine.processes

            try:
                rebuild(make, history).process.close()
                good += 1
            except NondeterminismError:
                diverged.append(str(row.workflow_id))
            except Exception:  # noqa: BLE001 - code that cannot be replayed for other reasons says so when its run comes back
                diverged.append(str(row.workflow_id))
        return Checked(good, tuple(diverged))
