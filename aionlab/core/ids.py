"""Names: what a workflow id may be, and who mints new ones."""
from __future__ import annotations

from typing import NewType, Protocol

WorkflowId = NewType("WorkflowId", str)
RunId = NewType("RunId", str)


class Ids(Protocol):
    """Mints ids and seeds; deterministic in notebooks that are tested, random elsewhere."""

    unique: bool
    """Whether nobody can have used what it mints before, so that nobody need be asked."""

    def workflow_id(self) -> WorkflowId: ...

    def run_id(self) -> RunId:
        """A new run id; later ids sort after earlier ones."""

    def seed(self) -> int:
        """A 63-bit seed for one run's random stream."""
