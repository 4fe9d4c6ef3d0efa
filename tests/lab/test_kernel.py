"""What only a real kernel shows: error outputs, interrupts, tab, and a fast `%load_ext`. The lab has no engine here."""
from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.kernels import Kernel

pytestmark = pytest.mark.kernel

SETUP = """
from tests.lab.fake_lab import Ledger, Opener
from aionlab.lab import session
opener = Opener()
loaded = session.load(get_ipython(), opener, Ledger())
"""


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    with Kernel(tmp_path_factory.mktemp("notebook")) as started:
        started.run(SETUP)
        yield started


def test_a_mistake_is_an_error_output_in_one_line(kernel: Kernel) -> None:
    shown = kernel.execute("%start order 42")
    assert shown.error is not None and shown.reply["status"] == "error"
    assert shown.error["ename"] == "LineError"
    assert shown.error["evalue"] == "arguments go in parentheses: %start order(42)"
    assert [plain(line) for line in shown.error["traceback"]] == ["LineError: arguments go in parentheses: %start order(42)"]
    assert shown.streams == ""


def test_a_traceback_has_the_cells_own_lines_once(kernel: Kernel) -> None:
    shown = kernel.execute("%%workflow\n\nx = 1\ndef f():\n    return x / 0\nf()\n")
    assert shown.error is not None and shown.error["ename"] == "ZeroDivisionError"
    text = plain("\n".join(shown.error["traceback"]))
    number = shown.reply["execution_count"]
    assert re.findall(r"Cell In\[\d+\], line \d+", text) == [f"Cell In[{number}], line 6", f"Cell In[{number}], line 5"]
    assert "run_cell_magic" not in text


def test_getsource_of_a_defined_workflow(kernel: Kernel) -> None:
    kernel.run("%%workflow\nasync def order(n):\n    return n\n")
    assert kernel.value("__import__('inspect').getsource(order.fn)") == repr("async def order(n):\n    return n\n")
    assert kernel.value("order.fn.__code__.co_firstlineno") == "2"


def test_a_handle_is_the_value_and_a_semicolon_silences_it(kernel: Kernel) -> None:
    assert kernel.execute("%start order(1) --id k-1").result == "<handle k-1>"
    assert kernel.execute("%start order(1) --id k-1;").result is None
    assert kernel.execute("%pause k-1").result == "k-1: paused; %resume k-1 goes on"


def test_tab_over_the_wire(kernel: Kernel) -> None:
    kernel.run("%start order(1) --id k-1")
    assert kernel.complete("%result k") == ["k-1"]
    assert kernel.complete("%start order(1) --re") == ["--restart"]
    assert kernel.complete("%start or") == ["order"]


def test_a_wait_can_be_interrupted(kernel: Kernel) -> None:
    """The magic's own part: the interrupt of a wait is one line, and the kernel goes on."""
    kernel.run("h = %start order(1) --id k-2")
    kernel.run("import queue\nh.__class__.result = lambda self, timeout=None: wait()\ndef wait():\n    while True:\n"
               "        print('.', flush=True)\n        try:\n            queue.SimpleQueue().get(timeout=0.05)\n        except queue.Empty: pass\n")
    shown = kernel.execute("%result k-2", interrupt_when=".")
    assert shown.error is not None and shown.error["ename"] == "KeyboardInterrupt"
    assert [plain(line) for line in shown.error["traceback"]] == ["KeyboardInterrupt: the wait stopped; k-2 goes on"]
    assert kernel.value("1 + 1") == "2"


def test_unloading_and_loading_again(kernel: Kernel) -> None:
    names = "sorted(get_ipython().magics_manager.magics['line'])"
    kernel.run("session.unload_ipython_extension(get_ipython())")
    assert "'start'" not in kernel.value(names)
    kernel.run("loaded = session.load(get_ipython(), opener, Ledger())")
    assert "'start'" in kernel.value(names)


def plain(text: Any) -> str:
    return re.sub(r"\x1b\[[\d;]*m", "", str(text))
