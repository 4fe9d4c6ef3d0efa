"""Histories recorded once, replayed for ever. A failure here means that runs people have in their databases would not come back."""
from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from aionlab.app.history import History
from aionlab.authoring.compensation import compensated
from aionlab.core import events as e
from aionlab.core.payload import hints_of
from aionlab.core.values import values_for
from aionlab.replay.process import Code, Process
from aionlab.replay.pythons import replays_here
from aionlab.replay.rebuild import rebuild
from tests.data.scenarios import HISTORIES, SCENARIOS

FILES = sorted(HISTORIES.glob("*.json"))
NEVER_EDITED = json.loads((HISTORIES.parent / "histories.sha256.json").read_text())


def test_every_scenario_has_its_history_and_none_was_edited() -> None:
    assert {file.stem for file in FILES} == set(SCENARIOS)
    assert {file.stem: hashlib.sha256(file.read_bytes()).hexdigest() for file in FILES} == NEVER_EDITED


HERE = [file for file in FILES if replays_here(History.load(file)[0].event.python)]
"""Some of asyncio's orders differ between Pythons, and a history is replayed on its own side only."""


@pytest.mark.parametrize("file", HERE, ids=lambda file: file.stem)
def test_it_replays(file: Path) -> None:
    history = History.load(file)
    flow, _ = SCENARIOS[file.stem]
    started = history[0].event
    assert isinstance(started, e.WorkflowStarted)
    function = compensated(flow.fn) if flow.saga else flow.fn
    code = Code(flow.name, started.version, function, hints_of(flow.fn), values_for(None), flow.deadline)
    first = history[0]
    rebuilt = rebuild(lambda trace: Process(code, started, first.workflow_id, first.run_id, first.at, None, trace), list(history))
    assert not rebuilt.warnings and rebuilt.process.finished is history.run.status.closed
    rebuilt.process.close()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_reads_and_is_written_alike(file: Path) -> None:
    history = History.load(file)
    assert list(History.from_json(history.to_json())) == list(history)
    assert len(history.to_frame()) == len(history)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"workflow_id": "w", "run_id": "r", "events": []}', '{"workflow_id": "w", "events": [{}]}'])
def test_what_is_no_history_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="history|JSON|unexpected|character|document"):
        History.from_json(text)
