"""Real kernels that die, restart and are interrupted."""
from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from aionlab.core.events import ActivityStarted
from aionlab.store.sqlite import SqliteStore
from tests.environment import requires
from tests.lab.kernels import Kernel

pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(120)]

ORDER = """%%workflow
@activity
def charge(n):
    return n * 2

@workflow
async def order(n):
    paid = await charge(n)
    ok = await workflow.receive("approval")
    return [paid, ok, await charge(paid)]
"""
BEGIN = "%start order(21) --id o-1\n%settle"
END = "%signal o-1 approval 1\n%result o-1"


def shape(path: Path) -> list[str]:
    store = SqliteStore.open(path, readonly=True)
    found = [type(r.event).__name__ for r in store.read("o-1")]  # type: ignore[arg-type]
    assert store.verify() == []
    store.close()
    return found


def begun(kernel: Kernel) -> None:
    kernel.run("%load_ext aionlab")
    kernel.run(ORDER)
    kernel.run(BEGIN)


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("control")
    with Kernel(folder, {"JUPYTER_DATA_DIR": str(folder / "data")}) as kernel:
        begun(kernel)
        assert kernel.value(END) == "[42, 1, 84]"
    return shape(folder / "lab.db")


@requires("kernel")
@pytest.mark.parametrize("how", ["restart", "restart now", "kill -9"])
def test_a_restarted_kernel_goes_on_as_if_nothing_was(tmp_path: Path, control: list[str], how: str) -> None:
    """The activity that was done is not done again; the history is that of a kernel that was left alone."""
    with Kernel(tmp_path) as kernel:
        begun(kernel)
        if how == "kill -9":
            kernel.client.execute("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
            while kernel.manager.is_alive():
                pass
        kernel.manager.restart_kernel(now=how != "restart")
        kernel.client.stop_channels()
        kernel.client = kernel.manager.client()
        kernel.client.start_channels()
        kernel.client.wait_for_ready(timeout=60)
        assert "1 run comes back in the background" in kernel.run("%load_ext aionlab").streams
        assert kernel.value(END) == "[42, 1, 84]"
    assert shape(tmp_path / "lab.db") == control


@requires("kernel", "posix")
def test_waits_end_at_once_when_interrupted_and_the_run_is_unharmed(tmp_path: Path) -> None:
    """`await handle`, `handle.result()`, `%result` and `lab.settle()`: from the signal to the end of the wait, as the kernel measures it."""
    with Kernel(tmp_path) as kernel:
        begun(kernel)
        kernel.run("h = lab.get('o-1')\nimport os, signal, threading, time\n"
                   "def soon():\n    global sent\n    threading.Event().wait(0.3)\n    sent = time.perf_counter()\n    os.kill(os.getpid(), signal.SIGINT)\n")
        for wait in ("await h", "h.result()", "get_ipython().run_line_magic('result', 'o-1')"):
            ended = kernel.execute(
                f"threading.Thread(target=soon).start()\ntry:\n    {wait}\nfinally:\n    print('after', time.perf_counter() - sent)"
            )
            assert ended.error is not None and ended.error["ename"] in ("KeyboardInterrupt", "CancelledError"), (wait, ended.error)
            found = re.search(r"after ([\d.e-]+)", ended.streams)
            assert found and float(found[1]) < 0.1, f"{wait} ended {found and found[1]} s after the interrupt"
        assert kernel.value(END) == "[42, 1, 84]"
    assert [word for word in shape(tmp_path / "lab.db") if word == "WorkflowCancelRequested"] == []


ACTIVITY = """%%workflow
import collections
class Client(collections.UserList): pass
db = Client("abcdef")

@activity
def load(n):
    return db[n]

@workflow
async def report(n):
    await workflow.receive("go")
    return await load(n)
"""


@requires("kernel")
def test_an_activity_waits_for_a_name_that_only_the_notebook_can_give(tmp_path: Path) -> None:
    """In a fresh kernel the stored source runs; the cell that makes the missing name sets it going, whatever else it is."""
    with Kernel(tmp_path) as first:
        first.run("%load_ext aionlab")
        first.run(ACTIVITY)
        first.run("%start report(2) --id r-1\n%settle")
    with Kernel(tmp_path) as second:
        second.run("%load_ext aionlab")
        second.run("%signal r-1 go\n%settle")
        assert second.value("lab.waiting_for('r-1')") == repr("`db`: run the cell that makes it")
        assert "waits for `db`: run the cell that makes it" in second.value("lab.describe('r-1')") or "`db`" in second.value("str(lab.describe('r-1'))")
        second.run("x = 1")
        second.run("%settle")
        assert second.value("str(lab.get('r-1').status)") == "'Running'"
        second.run("db = 'uvwxyz'")
        assert second.value("%result r-1") == "'w'"
    store = SqliteStore.open(tmp_path / "lab.db", readonly=True)
    begun_attempts: list[Any] = [r.event for r in store.read("r-1") if isinstance(r.event, ActivityStarted)]  # type: ignore[arg-type]
    assert len(begun_attempts) == 1
    store.close()
