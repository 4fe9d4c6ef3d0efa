"""Activities through the lab: threads, real time, closing and opening again, a kernel that is killed."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import aionlab
from aionlab.codecs import Compress
from aionlab.core import errors
from aionlab.core.status import Status
from tests.app import activity_cells as cells
from tests.app.conftest import until


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    cells.SEEN.clear()
    cells.GATE.clear()
    yield
    cells.GATE.set()


def kinds(lab: Any, workflow_id: str) -> list[str]:
    return [type(entry.event).__name__ for entry in lab.get(workflow_id).history()]


def test_a_queue_limits_what_runs_at_once_and_is_kept_with_the_lab(tmp_path: Path) -> None:
    with aionlab.open(tmp_path / "q.db") as lab:
        shown = lab.register_queue("narrow", concurrency=2, rate=100, period="1m")
        assert shown["narrow"].concurrency == 2 and "100 per 1m" in str(shown)
        handle = lab.start(cells.fan, 5, id="f")
        until(lambda: len(cells.SEEN) == 2)
        assert lab.queues()["narrow"][:3] == ("narrow", 3, 2) and lab.queue_names() == ["default", "narrow"]
        assert kinds(lab, "f").count("ActivityStarted") == 2
    cells.GATE.set()
    with aionlab.open(tmp_path / "q.db") as lab:
        assert lab.queues()["narrow"].concurrency == 2
        lab.define(cells.fan)
        assert lab.get("f").result(20) == list(range(5)) and handle.id == "f"
        lab.register_queue("narrow")
        assert lab.queue_names() == ["default"]


def test_what_a_queue_refuses(lab: Any) -> None:
    for options, words in [
        ({"concurrency": 0}, "concurrency=0; it counts attempts"), ({"rate": 2, "period": 0}, "period must be longer"), ({"rate": "many"}, "rate='many'"),
    ]:
        with pytest.raises(errors.InvalidOption, match=words):
            lab.register_queue("narrow", **options)
    with pytest.raises(errors.InvalidName):
        lab.register_queue("a\0b", concurrency=1)
    assert lab.queue_names() == ["default"]


def test_e06_and_e11_details_and_interrupts_over_a_lab_that_is_closed(tmp_path: Path) -> None:
    with aionlab.open(tmp_path / "h.db") as lab:
        lab.start(cells.progresses, id="p")
        until(lambda: len(cells.SEEN) == 2)
        lab.settle(20)
        assert lab.get("p").status is Status.RUNNING, "an interrupt is no failure: the run is pending"
    with aionlab.open(tmp_path / "h.db") as lab:
        assert lab.get("p").result(20) == [3, {"rows": 20}]
        assert kinds(lab, "p").count("ActivityStarted") == 3 and kinds(lab, "p").count("ActivityFailed") == 1


@pytest.mark.parametrize("sync", [True, False], ids=["sync", "async"])
@pytest.mark.parametrize(
    ("kind", "result", "told"),
    [("try_cancel", "cancelled", True), ("wait_completed", None, True), ("abandon", "cancelled", False)],
)
def test_e14_cancellation_of_running_attempts(lab: Any, kind: str, result: str | None, told: bool, sync: bool) -> None:
    handle = lab.start(cells.gives_up, kind, sync)
    until(lambda: cells.SEEN == ["begun"])
    handle.signal("enough")
    assert handle.result(20) == (result or ("returned in its own time" if sync else "cancelled"))
    if told:
        until(lambda: cells.SEEN == ["begun", "told"])
    else:
        assert cells.SEEN == ["begun"] and lab.host.engine.in_flight, "it goes on"


def test_e03_a_retry_predicate_of_the_notebook(lab: Any) -> None:
    with pytest.raises(errors.WorkflowFailedError) as failed:
        lab.start(cells.asks_judged, "never mind").result(20)
    assert cells.SEEN == ["never mind"] and str(failed.value.cause.cause) == "never mind"  # type: ignore[union-attr]
    with pytest.raises(errors.WorkflowFailedError) as failed:
        lab.start(cells.asks_judged, "again").result(20)
    assert len(cells.SEEN) == 6 and [str(cause) for cause in failed.value.cause.causes] == ["again"] * 5  # type: ignore[union-attr]


def test_a_retry_predicate_is_stored_with_its_activity(tmp_path: Path) -> None:
    with aionlab.open(tmp_path / "r.db") as lab:
        for text in ("never mind", "again"):
            lab.start(cells.asks_judged, text, wait=True, id=text)
    with aionlab.open(tmp_path / "r.db") as lab:
        assert lab.library.defined("judged") is None, "nothing of it is defined here"
        for text, attempts in (("never mind", 1), ("again", 5)):
            lab.signal(text, "go")
            with pytest.raises(errors.WorkflowFailedError) as failed:
                lab.get(text).result(20)
            assert failed.value.cause.attempt == attempts  # type: ignore[union-attr]


def test_a_thousand_activities_of_one_run_through_a_narrow_queue(lab: Any) -> None:
    """Nothing is lost, nothing runs twice, and no more than the slots at once."""
    lab.register_queue("pairs", concurrency=7)
    assert lab.start(cells.many, 1000).result(60) == 499_500
    assert sorted(n for n, _ in cells.SEEN) == list(range(1000)) and max(busy for _, busy in cells.SEEN) <= 7


KILLED = """
    import os, signal, sys, threading
    import aionlab
    from aionlab import activity, workflow

    @activity(heartbeat="1m")
    def rows():
        info = activity.info()
        if info.attempt > 1:
            return info.heartbeat_details
        for n in range(1000):
            activity.heartbeat({"row": n})
        print("beaten", flush=True)
        threading.Event().wait()

    @workflow
    async def load():
        return await rows()

    lab = aionlab.open(sys.argv[1])
    if sys.argv[2] == "begin":
        lab.start(load, id="l")
        threading.Event().wait()
    lab.define(load)
    print(lab.get("l").result(30))
    lab.close()
"""


@pytest.mark.slow
def test_e06_given_a_kernel_that_is_killed_after_heartbeats_then_the_next_attempt_knows_what_they_said(tmp_path: Path, home: Path) -> None:
    """The newest that was noted: at most a quarter of a second old when the kernel dies."""
    script = tmp_path / "load.py"
    script.write_text(textwrap.dedent(KILLED))
    with subprocess.Popen([sys.executable, script, tmp_path / "k.db", "begin"], stdout=subprocess.PIPE, text=True) as kernel:
        assert kernel.stdout is not None and kernel.stdout.readline() == "beaten\n"
        watching = aionlab.open(tmp_path / "k.db")
        store: Any = watching.host.engine.store
        until(lambda: '{"row":999}' in (store.meta("heartbeat:1:0") or ""))
        watching.close()
        os.kill(kernel.pid, signal.SIGKILL)
    said = subprocess.run([sys.executable, script, tmp_path / "k.db", "again"], capture_output=True, text=True, timeout=60)
    assert said.stdout == "{'row': 999}\n", said.stderr


def test_what_heartbeats_say_passes_through_the_labs_codecs(tmp_path: Path) -> None:
    codecs = [Compress(above=1)]
    with aionlab.open(tmp_path / "c.db", codecs=codecs) as lab:
        lab.start(cells.keeps_secrets, id="s")
        until(lambda: cells.SEEN == ["said"])
        lab.settle(20)
        noted = lab.call("store", "meta", "heartbeat:1:0")
        assert noted.startswith("\0deflate\0") and "secret" not in noted
    with aionlab.open(tmp_path / "c.db", codecs=codecs) as lab:
        assert lab.get("s").result(20) == "the secret of a row " * 50
        assert lab.call("store", "meta", "heartbeat:1:0") is None
