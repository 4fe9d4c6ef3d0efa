"""Names: what a workflow id may be, and who mints new ones."""
from __future__ import annotations

from typing import NewType, Protocol

WorkflowId = NewType("WorkflowId", str)
RunId = NewType("RunId", str)
RESERVED = "aion."
"""Workflow ids that begin so are the engine's own."""
SCHEDULES = f"{RESERVED}schedules/"
"""The history of a schedule is that of this and its id; there is no run behind it."""
NO_RUN = RunId("")
"""The run of events that belong to a workflow id as such."""


class Ids(Protocol):
    """Mints ids and seeds; deterministic in notebooks that are tested, random elsewhere."""

    unique: bool
    """Whether nobody can have used what it mints before, so that nobody need be asked."""

    def workflow_id(self) -> WorkflowId: ...

    def run_id(self) -> RunId:
        """A new run id; later ids sort after earlier ones."""

    def seed(self) -> int:
        """A 63-bit seed for one run's random stream."""


class ChainId(str):
    """A run id that stands for the chain of continue-as-new the run belongs to: itself, or what it has gone on as by now."""

    __slots__ = ()
