"""A history is replayed on its own side of Python 3.12 only; on the other the run waits and says why."""
from __future__ import annotations

import pytest

from aionlab import workflow
from aionlab.replay import pythons
from aionlab.testing.workbench import Workbench


@pytest.mark.parametrize(
    ("recorded", "here", "fits"), [("3.11", "3.11", True), ("3.11", "3.12", False), ("3.12", "3.13", True), ("3.14", "3.12", True), ("3.13", "3.11", False)]
)
def test_sides(monkeypatch: pytest.MonkeyPatch, recorded: str, here: str, fits: bool) -> None:
    monkeypatch.setattr(pythons, "HERE", here)
    assert pythons.replays_here(recorded) is fits


def test_a_run_from_the_other_side_waits_and_goes_on_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    async def receiver() -> object:
        return await workflow.receive("word")

    bench = Workbench()
    bench.workflow(receiver)
    bench.start("receiver", id="w")
    before = bench.history("w")
    with monkeypatch.context() as other:
        other.setattr(pythons, "HERE", "3.12" if pythons.HERE == "3.11" else "3.11")
        bench.crash()
        (entry,) = bench.call("registry")
        assert entry.residency == "Waiting"
        assert f"Python {pythons.HERE[0]}" in entry.waiting_for
        assert bench.history("w") == before
    bench.crash()
    bench.signal("w", "word", 7)
    assert bench.result("w") == 7
