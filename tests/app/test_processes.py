"""Labs whose activities run in processes of their own: from a cell's decorator to the log."""
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import aionlab
from aionlab import errors
from aionlab.core.errors import WorkerLost
from tests.app.conftest import descriptors, until
from tests.app.notebook import Notebook
from tests.backends.conftest import alive, children

pytestmark = [pytest.mark.environment("linux"), pytest.mark.slow]

CELL = """
import os, time
from dataclasses import dataclass
from pathlib import Path

@dataclass
class Order:
    id: int
    tags: list[str]

def label(order):
    return f"order {order.id}"

@activity(run_in="process")
def pack(order: Order, folder: str) -> Order:
    Path(folder, f"pid {os.getpid()}").touch()
    return Order(order.id + 1, [*order.tags, label(order)])

@activity(run_in="process", retry=3)
def fragile(folder: str) -> int:
    mark = Path(folder) / "tried"
    tries = int(mark.read_text()) + 1 if mark.exists() else 1
    mark.write_text(str(tries))
    if tries < 3:
        os._exit(tries)
    return tries

@activity(run_in="process")
def dies() -> None:
    os.kill(os.getpid(), 9)

@activity(run_in="process", start_to_close=1)
def hangs(folder: str) -> None:
    Path(folder, "hangs").write_text(str(os.getpid()))
    time.sleep(600)

@activity(run_in="process")
def waits(folder: str) -> None:
    try:
        Path(folder, "waits").write_text(str(os.getpid()))
        time.sleep(600)
    finally:
        Path(folder, "cleaned").touch()

@activity(run_in="process", retry=2, heartbeat="60s")
def remembers() -> dict:
    info = activity.info()
    if info.attempt == 1:
        activity.heartbeat({"at": 5})
        os.kill(os.getpid(), 9)
    return {"attempt": info.attempt, "last": info.heartbeat_details}

@activity(run_in="process", retry=5, retry_if=lambda error: "again" in str(error))
def choosy(folder: str) -> None:
    mark = Path(folder) / "choosy"
    tries = int(mark.read_text()) + 1 if mark.exists() else 1
    mark.write_text(str(tries))
    raise ValueError("again" if tries < 2 else "enough")

@activity
def here() -> int:
    return os.getpid()

@workflow
async def packing(order: Order, folder: str) -> list:
    packed = await pack(order, folder)
    return [type(packed).__name__, packed.id, packed.tags, await here()]

@workflow
async def trying(folder: str) -> int:
    return await fragile(folder)

@workflow
async def losing() -> str:
    try:
        await dies()
    except Exception as error:
        return f"{type(error).__name__}: {error}"

@workflow
async def hanging(folder: str) -> str:
    try:
        await hangs(folder)
    except Exception as error:
        return type(error).__name__

@workflow
async def waiting(folder: str) -> None:
    await waits(folder)

@workflow
async def recalling() -> dict:
    return await remembers()

@workflow
async def choosing(folder: str) -> str:
    try:
        await choosy(folder)
    except Exception as error:
        return str(error)

@workflow
async def later(folder: str) -> list:
    await workflow.receive("go")
    return (await pack(Order(1, []), folder)).tags
"""


@pytest.fixture
def book(lab: Any) -> Notebook:
    made = Notebook(lab)
    made.run(CELL)
    return made


def test_an_activity_of_a_cell_runs_in_a_process_with_its_classes_and_helpers(lab: Any, book: Notebook, tmp_path: Path) -> None:
    result = lab.start(book["packing"], book["Order"](41, ["x"]), str(tmp_path)).result(60)
    assert result == ["Order", 42, ["x", "order 41"], os.getpid()], "another activity runs here as ever"
    (mark,) = tmp_path.glob("pid *")
    assert mark.name != f"pid {os.getpid()}"


def test_a_lost_process_is_an_error_the_policy_may_retry(lab: Any, book: Notebook, tmp_path: Path) -> None:
    handle = lab.start(book["trying"], str(tmp_path), id="t")
    assert handle.result(60) == 3
    assert [kind for kind in lab.events("t")["event"] if kind.startswith("Activity")] == [
        "ActivityScheduled", "ActivityStarted", "ActivityFailed", "ActivityStarted", "ActivityFailed", "ActivityStarted", "ActivityCompleted",
    ]  # fmt: skip
    failures = [recorded.event.error.message for recorded in handle.history() if type(recorded.event).__name__ == "ActivityFailed"]
    assert failures == [f"the process of fragile ended with exit code {code} before it returned" for code in (1, 2)]
    assert lab.start(book["losing"]).result(60) == "ActivityError: activity dies failed on attempt 1: WorkerLost: the process of dies was killed by SIGKILL"


def test_its_cause_is_a_worker_lost_with_the_code(lab: Any, book: Notebook) -> None:
    book.run("@workflow\nasync def raises():\n    await dies()\n")
    with pytest.raises(errors.WorkflowFailedError) as failed:
        lab.start(book["raises"]).result(60)
    cause: Any = failed.value.cause
    lost = cause.cause or cause.__cause__
    assert isinstance(cause, errors.ActivityError) and isinstance(lost, WorkerLost) and lost.code == -9


def test_what_a_lost_process_said_last_reaches_the_next_attempt(lab: Any, book: Notebook) -> None:
    assert lab.start(book["recalling"]).result(60) == {"attempt": 2, "last": {"at": 5}}


def test_retry_if_is_asked_in_this_kernel_about_errors_of_processes(lab: Any, book: Notebook, tmp_path: Path) -> None:
    assert lab.start(book["choosing"], str(tmp_path)).result(60) == "activity choosy failed on attempt 2: ValueError: enough"


def test_an_attempt_that_takes_too_long_is_killed(lab: Any, book: Notebook, tmp_path: Path) -> None:
    assert lab.start(book["hanging"], str(tmp_path)).result(60) == "ActivityTimeout"
    until(lambda: not alive(int((tmp_path / "hangs").read_text())))


@pytest.mark.parametrize("verb", ["cancel", "terminate"])
def test_an_attempt_nobody_waits_for_is_stopped(lab: Any, book: Notebook, tmp_path: Path, verb: str) -> None:
    handle = lab.start(book["waiting"], str(tmp_path), id="w")
    until(lambda: (tmp_path / "waits").exists())
    getattr(handle, verb)("enough")
    with pytest.raises(errors.OutcomeError):
        handle.result(60)
    until(lambda: not alive(int((tmp_path / "waits").read_text())))
    assert (tmp_path / "cleaned").exists()


def test_what_is_stored_of_an_activity_runs_in_a_process_in_a_fresh_kernel(tmp_path: Path) -> None:
    with aionlab.open(tmp_path / "lab.db") as lab:
        book = Notebook(lab)
        book.run(CELL)
        lab.start(book["later"], str(tmp_path), id="l")
        lab.settle()
    with aionlab.open(tmp_path / "lab.db") as lab:
        Notebook(lab)
        lab.signal("l", "go")
        assert lab.get("l").result(60) == ["order 1"]
        (mark,) = tmp_path.glob("pid *")
        assert mark.name != f"pid {os.getpid()}"


def test_a_virtual_deterministic_lab_waits_for_its_processes(tmp_path: Path) -> None:
    with aionlab.open(tmp_path / "v.db", clock="virtual", deterministic=1) as lab:
        book = Notebook(lab)
        book.run(CELL)
        assert lab.start(book["packing"], book["Order"](1, []), str(tmp_path)).result(60)[:2] == ["Order", 2]
        assert lab.start(book["losing"]).result(60).endswith("was killed by SIGKILL")


def test_closing_a_lab_ends_its_workers_and_the_attempt_is_made_again(tmp_path: Path) -> None:
    before = None
    with aionlab.open(tmp_path / "lab.db") as lab:
        book = Notebook(lab)
        before = descriptors()
        book.run(CELL)
        lab.start(book["waiting"], str(tmp_path), id="w")
        until(lambda: (tmp_path / "waits").exists())
        assert len(children()) >= 1
    assert children() == [] and len(descriptors()) <= len(before)
    (tmp_path / "waits").unlink()
    with aionlab.open(tmp_path / "lab.db") as lab:
        Notebook(lab)
        until(lambda: (tmp_path / "waits").exists())
        assert not lab.get("w").status.closed, "its end by closing was no failure"
        lab.terminate("w")


def test_run_in_is_one_of_a_few_words() -> None:
    with pytest.raises(errors.InvalidOption, match="run_in='processes'; choose one of"):
        aionlab.activity(run_in="processes")(len)
