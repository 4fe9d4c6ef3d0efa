"""The open runs, by (workflow id, run id); look-ups by workflow id alone give the newest run."""
from __future__ import annotations

from collections.abc import Iterator

from aionlab.core.ids import RunId, WorkflowId

from .run import LiveRun


class Registry:
    __slots__ = ("_by_key", "_by_run", "_newest")

    def __init__(self) -> None:
        self._by_run: dict[tuple[WorkflowId, RunId], LiveRun] = {}
        self._newest: dict[WorkflowId, LiveRun] = {}
        self._by_key: dict[int, LiveRun] = {}

    def insert(self, run: LiveRun) -> None:
        self._by_run[run.workflow_id, run.run_id] = run
        self._newest[run.workflow_id] = run
        self._by_key[run.key] = run

    def remove(self, run: LiveRun) -> None:
        self._by_run.pop((run.workflow_id, run.run_id), None)
        self._by_key.pop(run.key, None)
        if self._newest.get(run.workflow_id) is run:
            del self._newest[run.workflow_id]

    def get(self, workflow_id: str, run_id: str | None = None) -> LiveRun | None:
        if run_id is None:
            return self._newest.get(WorkflowId(workflow_id))
        return self._by_run.get((WorkflowId(workflow_id), RunId(run_id)))

    def by_key(self, key: int) -> LiveRun | None:
        return self._by_key.get(key)

    def __iter__(self) -> Iterator[LiveRun]:
        return iter(list(self._by_run.values()))

    def __len__(self) -> int:
        return len(self._by_run)
