"""The magics over the real engine, in real kernels: the first hour, an interrupt, a crash, a second notebook."""
from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.kernels import Kernel

pytestmark = pytest.mark.kernel

ORDER = """%%workflow
@activity
def charge(n):
    return n * 2

@workflow
async def order(n, rush=False):
    state = "charging"
    workflow.on_query("status", lambda: state)
    paid = await charge(n)
    state = "waiting"
    ok = await workflow.receive("approval")
    if ok == "boom":
        raise ValueError(f"no stock for {n}")
    return {"paid": paid, "rush": rush, "ok": ok}
"""


INTERRUPTING = """%%workflow
async def slow(wait):
    if wait:
        await workflow.receive("go")
    begun = time.monotonic()
    os.environ["SLOW"] = "stepping"
    while time.monotonic() - begun < 0.5:
        pass
    os.kill(os.getpid(), signal.SIGINT)
    while time.monotonic() - begun < 1.0:
        pass
    await workflow.receive("never")
"""


def plain(text: Any) -> str:
    return re.sub(r"\x1b\[[\d;]*m", "", str(text))


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    with Kernel(tmp_path_factory.mktemp("notebook"), {"JUPYTER_DATA_DIR": str(tmp_path_factory.mktemp("data"))}) as started:
        begun = started.run("import time; t = time.perf_counter()\n%load_ext aionlab\nprint(f'{time.perf_counter() - t:.3f}')")
        assert begun.streams.startswith("aionlab: lab.db · %aion help\n")
        started.run(ORDER)
        yield started


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A kernel without the extension; who loads it unloads it."""
    with Kernel(tmp_path_factory.mktemp("bare")) as started:
        yield started


def test_loading_is_quick(bare: Kernel) -> None:
    """200 ms is the promise on an idle machine; the bound here, in CPU time, only catches an import that crept in."""
    shown = bare.run("import time; t = time.process_time()\n%load_ext aionlab\nprint(time.process_time() - t)\n"
                     "import sys; print('pandas' in sys.modules)\n%unload_ext aionlab")
    seconds, pandas = shown.streams.split("\n")[1:3]
    assert float(seconds) < 1.5 and pandas == "False"


def test_the_first_hour(kernel: Kernel) -> None:
    assert "order" in str(kernel.run(ORDER).bundles[-1]["text/plain"])
    assert "e-1" in str(kernel.run("%start order(21, rush=True) --id e-1 --as h").result)
    kernel.run("%settle")
    assert kernel.value("%query e-1 status") == "'waiting'"
    assert kernel.run('%signal e-1 approval {"by": "ada"}').error is None
    assert kernel.value("%result e-1") == "{'paid': 42, 'rush': True, 'ok': {'by': 'ada'}}"
    assert kernel.value("h.result()") == "{'paid': 42, 'rush': True, 'ok': {'by': 'ada'}}"
    assert kernel.value("await h") == "{'paid': 42, 'rush': True, 'ok': {'by': 'ada'}}"


@pytest.mark.parametrize("line", ["%runs", "%runs status=Completed type=order", "%events e-1", "%events e-1 --full", "%timeline e-1", "%tree", "%supervision", "%supervise", "%registry", "%queues", "%queue gpu --concurrency 2",
                                  "%versions order", "%clock", "%aion", "%aion doctor", "%aion code order", "%aion help"])
def test_looking(kernel: Kernel, line: str) -> None:
    kernel.run("%start order(21) --id e-1 --attach;")
    shown = kernel.run(line)
    assert shown.result and len(shown.result) > 10


def test_a_failure_shows_the_workflows_own_line(kernel: Kernel) -> None:
    kernel.run("%start order(5) --id e-2")
    kernel.run('%signal e-2 approval "boom"')
    kernel.run("h = lab.get('e-2')")
    for cell in ("%result e-2", "h.result()", "await h"):
        shown = kernel.execute(cell)
        assert shown.error is not None and shown.error["ename"] == "WorkflowFailedError"
        text = plain("\n".join(shown.error["traceback"]))
        assert text.endswith("WorkflowFailedError: e-2 failed: ValueError: no stock for 5")
        assert text.count("raise ValueError(f") == 1 and "aionlab/" not in text and "IPython" not in text
        assert ("Cell In[" in text) is not cell.startswith("%")


def test_mistakes(kernel: Kernel) -> None:
    kernel.run("%start order(5) --id m-1")
    for cell, message in [
        ("%start order(5) --id m-1", "m-1 is already started"),
        ("%start ordr(5)", "'ordr'"),
        ("%result m-2", "did you mean 'm-1'"),
        ("%kill 99999", "no process has pid 99999"),
        ("%query m-1 statsu", "statsu"),
        ("%start order(open('/dev/null'))", "TextIOWrapper"),
    ]:
        shown = kernel.execute(cell)
        assert shown.error is not None, cell
        assert len(shown.error["traceback"]) == 1 and message in plain(shown.error["traceback"][0]), (cell, shown.error)


def test_a_misspelt_signal_says_so(kernel: Kernel) -> None:
    kernel.run("%start order(5) --id m-3\n%settle")
    shown = kernel.run("%signal m-3 aproval 1")
    assert "recorded, but m-3 has not asked for 'aproval'; did you mean 'approval'?" in shown.bundles[-1]["text/plain"]


def test_cancel_terminate_pause_resume_suspend_kill(kernel: Kernel) -> None:
    kernel.run("%start order(5) --id c-1 --as c1\n%settle")
    kernel.run("%pause c-1\n%resume c-1\n%suspend c-1")
    kernel.run("%signal c-1 approval 1")
    assert "'ok': 1" in kernel.value("%result c-1")
    kernel.run("%start order(5) --id c-2 --as c2\n%settle\n%cancel c-2 --reason 'out of stock'\n%settle")
    assert kernel.value("str(c2.status)") == "'Cancelled'"
    kernel.run("%start order(5) --id c-3 --as c3\n%terminate c-3 --reason oops")
    assert kernel.value("str(c3.status)") == "'Terminated'"
    shown = kernel.execute("%result c-3")
    assert shown.error is not None and shown.error["ename"] == "WorkflowTerminatedError"
    kernel.run("%start order(5) --id c-4 --as c4\n%settle")
    pid = kernel.value("[e.pid for e in lab.registry() if e.workflow_id == 'c-4'][0]")
    assert "c-4 comes back by replay" in str(kernel.run(f"%kill {pid}").result)
    kernel.run("%signal c-4 approval 1")
    assert "'ok': 1" in kernel.value("%result c-4")


def test_start_options_reopen_fork_and_rewind(kernel: Kernel) -> None:
    kernel.run("%start order(5) --id g-1 --as g --signal approval=now --memo 'for ada'")
    assert "'ok': 'now'" in kernel.value("%result g-1") and "for ada" in kernel.value("str(g.describe())")
    kernel.run("%start order(5) --id g-2 --start-delay 1h --as late\n%cancel g-2 --grace 5s\n%settle")
    assert kernel.value("str(late.status)") == "'Cancelled'"
    shown = kernel.execute("%start order(5) --id g-1 --id-reuse reject")
    assert shown.error is not None and "id_reuse='reject' lets no run follow it" in plain(shown.error["evalue"])
    kernel.run("%fork g-1 --result charge#0=100 --id g-3")
    assert "'paid': 100" in kernel.value("%result g-3") and "forked from" in kernel.value("str(lab.describe('g-3'))")
    kernel.run("%rewind g-1 --at 1 --input (7, rush=True) --signal approval=again --as g4")
    assert kernel.value("%result g-1") == "{'paid': 14, 'rush': True, 'ok': 'again'}" and kernel.value("g4.id") == "'g-1'"
    kernel.run("%start order(5) --id g-5 --as g5\n%settle\n%terminate g-5\n%reopen g-5 --reason 'too soon'\n%signal g-5 approval 1")
    assert "'ok': 1" in kernel.value("%result g-5")
    for line, message in (
        ("%reopen g-5", "it has its result; fork or reset it to do part of it again"), ("%fork g-5 --at 99", "has no event 99 in this run"),
        ("%fork g-55 --at 1", "did you mean 'g-5'"), ("%rewind g-5 --at end", "has ended; say where to cut it"),
    ):  # fmt: skip
        shown = kernel.execute(line)
        assert shown.error is not None and message in plain(shown.error["evalue"]), line
    assert "%reopen ID" in kernel.value("%aion help") and "%rewind ID" in kernel.value("%aion help")


def test_filters_and_verbs_over_many(kernel: Kernel) -> None:
    kernel.run("lab.register_search_attribute('amount', 'int')")
    for n in range(3):
        kernel.run(f"%start order({n}) --id f-{n} --attr amount={n}")
    kernel.run("%settle")
    assert kernel.value("_ids = [r.workflow_id for r in lab.runs('amount > 0 ORDER BY amount')]; _ids") == "['f-1', 'f-2']"
    assert "f-2" in str(kernel.run("%runs amount > 0 AND status = 'Running' ORDER BY amount DESC LIMIT 1").result)
    assert "would be asked to stop" in str(kernel.run("%cancel --where \"amount > 0\" --dry-run").result)
    assert "2 of 2 runs asked to stop" in str(kernel.run("%cancel --where \"amount > 0\" --reason tidy").result)
    kernel.run("%settle")
    assert kernel.value("dict(lab.count('amount >= 0', 'status'))") == "{'Cancelled': 2, 'Running': 1}"
    assert "Cancelled" in str(kernel.run("%count amount >= 0 --by status").result) and kernel.value("%count amount > 0") == "2"
    shown = kernel.execute("%runs amuont > 0")
    assert [plain(line) for line in shown.error["traceback"]] == [
        "InvalidFilter: there is no field or search attribute 'amuont'; did you mean 'amount'?\n  amuont > 0\n  ^^^^^^"
    ]
    place = kernel.run("from aionlab.lab.progress import Screen\nfrom aionlab.views.sweep import Swept\nplace = Screen()\n"
                       "for n in (1, 2): place(Swept('cancel', 'asked to stop', 'closed', 2, n))")  # fmt: skip
    assert any("asked to stop" in str(bundle["text/plain"]) for bundle in place.bundles)
    assert kernel.value("lab.shows.__name__") == "'Screen'"
    assert "f-1: forgotten, 1 run and" in str(kernel.run("%forget f-1").result)
    assert kernel.complete("%runs amount > 0 AND sta") == ["status", "start_time"]
    kernel.run("%signal f-0 approval 1")


def test_tab_knows_the_runs(kernel: Kernel) -> None:
    kernel.run("%start order(5) --id tab-1\n%settle")
    assert kernel.complete("%result tab") == ["tab-1"]
    assert kernel.complete("%signal tab-1 ap") == ["approval"]
    assert kernel.complete("%query tab-1 st") == ["status"]
    assert kernel.complete("%start or") == ["order"]


def test_a_wait_speaks_up_and_can_be_interrupted(kernel: Kernel) -> None:
    kernel.run("%config AionMagics.notice_after = 0.1")
    kernel.run("%start order(5) --id w-1 --as w\n%settle")
    for cell in ("%result w-1", "await w", "w.result()"):
        noticed = "stops waiting" if cell.startswith("%") else None
        shown = kernel.execute(cell if noticed else f"print('now', flush=True)\n{cell}", interrupt_when=noticed or "now")
        assert shown.error is not None and shown.error["ename"] in ("KeyboardInterrupt", "CancelledError"), (cell, shown.error)
        if noticed:
            assert "w-1 waits for signal 'approval'" in shown.bundles[0]["text/plain"]
            assert plain(shown.error["traceback"][0]) == "KeyboardInterrupt: the wait stopped; w-1 goes on"
    kernel.run("%signal w-1 approval 1")
    assert "'ok': 1" in kernel.value("%result w-1")


def test_a_timeout_names_what_it_waits_for(kernel: Kernel) -> None:
    kernel.run("%start order(5) --id t-1\n%settle")
    shown = kernel.execute("%result t-1 --timeout 50ms")
    assert shown.error is not None and shown.error["ename"] == "ResultTimeout"
    assert "it waits for signal 'approval'" in plain(shown.error["traceback"][0])


def test_a_crash_and_what_comes_back(tmp_path: Any) -> None:
    env = {"JUPYTER_DATA_DIR": str(tmp_path / "data")}
    (tmp_path / "book").mkdir()
    with Kernel(tmp_path / "book", env) as first:
        first.run("%load_ext aionlab")
        first.run(ORDER)
        first.run("%start order(21) --id b-1\n%settle")
        first.client.execute("%aion crash")
        first.manager.provisioner.process.wait(timeout=30)
    with Kernel(tmp_path / "book", env) as second:
        assert "1 run comes back in the background" in second.run("%load_ext aionlab").streams
        second.run("%settle\n%signal b-1 approval 1")
        assert second.value("%result b-1") == "{'paid': 42, 'rush': False, 'ok': 1}"
        with Kernel(tmp_path / "book", env) as third:
            line = third.run("%load_ext aionlab").streams
            assert "looks on: `%aion open 02.db` or `%aion takeover`" in line and line.count("\n") == 1
            assert "b-1" in str(third.run("%runs").result)
            refused = third.execute("%start order(1)")
            assert refused.error is not None and len(refused.error["traceback"]) == 1
            assert "02.db" in str(third.run("%aion open 02.db").result)
            third.run(ORDER + "\n")
            third.run("%start order(1) --id here")
        with Kernel(tmp_path / "book", env) as fourth:
            fourth.run("%load_ext aionlab")
            fourth.run("%aion takeover")
            fourth.run("%start order(1) --id mine")
            fenced = second.execute("%start order(1) --id theirs")
            assert fenced.error is not None and len(fenced.error["traceback"]) == 1 and fenced.error["ename"] == "Fenced"


def test_a_lab_from_elsewhere_is_read_before_it_runs(tmp_path: Any) -> None:
    (tmp_path / "book").mkdir()
    with Kernel(tmp_path / "book", {"JUPYTER_DATA_DIR": str(tmp_path / "theirs")}) as first:
        first.run("%load_ext aionlab")
        first.run(ORDER)
        first.run("%start order(21) --id b-1\n%settle")
    with Kernel(tmp_path / "book", {"JUPYTER_DATA_DIR": str(tmp_path / "mine")}) as second:
        line = second.run("%load_ext aionlab").streams
        assert "last written elsewhere, 1 run waits: `%aion code` to read, `%aion trust` to run" in line
        assert "await charge(n)" in str(second.run("%aion code order").result)
        assert "1 run comes back" in str(second.run("%aion trust").result)
        second.run("%settle\n%signal b-1 approval 1")
        assert "'ok': 1" in second.value("%result b-1")


def test_an_interrupted_start_is_bound_when_the_engine_took_it(kernel: Kernel) -> None:
    """The workflow's first step, on the engine's thread, sends the interrupt: the start is taken and not yet answered."""
    kernel.run("import os, signal, time\n")
    kernel.run(INTERRUPTING)
    shown = kernel.execute("%start slow(0) --id i-1 --as i")
    assert shown.error is not None and plain(shown.error["traceback"][0]) == "KeyboardInterrupt: i-1 was started"
    assert kernel.value("i.id") == "'i-1'"
    kernel.run("%settle\n%cancel i-1")


def test_an_interrupted_start_is_withdrawn_when_no_turn_took_it(kernel: Kernel) -> None:
    kernel.run("import os, signal, time\n")
    kernel.run(INTERRUPTING)
    kernel.run("%start slow(1) --id i-2\n%settle")
    kernel.run("os.environ.pop('SLOW', None)")
    shown = kernel.execute("call = lab.ask('signal', 'i-2', 'go', lab.library.cells.encode(None, 'payload'), None, None)\n"
                           "while 'SLOW' not in os.environ: pass\n%start order(1) --id i-3 --as i3")
    assert shown.error is not None and plain(shown.error["traceback"][0]) == "KeyboardInterrupt: nothing was started"
    assert kernel.value("'i3' in globals()") == "False"
    kernel.run("%settle")
    assert kernel.execute("lab.get('i-3')").error is not None


def test_reopening_with_a_seed(bare: Kernel) -> None:
    bare.run("%load_ext aionlab")
    assert "lab.db · virtual clock, seed 7" in str(bare.run("%aion --seed 7 --clock virtual").result)
    bare.run("%%workflow\nasync def quick(n):\n    return workflow.random().random()\n")
    assert bare.value("h = %start quick(1)\nh.id, lab.clock.virtual") == "('wf-0001', True)"
    bare.run("%unload_ext aionlab")


def test_a_workflow_of_a_plain_cell_is_captured_at_its_first_start(kernel: Kernel) -> None:
    kernel.run("RATE = 2\ndef price(n):\n    return n * RATE\n")
    kernel.run("@workflow\nasync def plain_cell(n):\n    return price(n)\n")
    assert kernel.value("%start plain_cell(3) --id p-1 --restart\n%result p-1") == "6"
    kernel.run("def price(n):\n    return n * RATE + 1\n")
    assert kernel.value("%start plain_cell(3) --id p-1 --restart\n%result p-1") == "7"


def test_deterministic_notebooks(tmp_path: Any) -> None:
    with Kernel(tmp_path, {"AIONLAB_DETERMINISTIC": "1", "AIONLAB_DB": ":memory:"}) as fresh:
        assert fresh.run("%load_ext aionlab").streams == "aionlab: :memory: · virtual clock, seed 1 · %aion help\n"
        fresh.run("%%workflow\nasync def nap(n):\n    await workflow.sleep('30d')\n    return str(workflow.now())\n")
        assert fresh.value("h = %start nap(1)\nh.id") == "'wf-0001'"
        fresh.run("%settle")
        assert fresh.value("%clock skip 30d").startswith("2020-01-31 00:00:0")
        assert "2020-01-31" in fresh.value("%result wf-0001")


def test_unloading_stops_the_engine(bare: Kernel) -> None:
    threads = "sorted(t.name for t in __import__('threading').enumerate())"
    names = "sorted(get_ipython().magics_manager.magics['line'])"
    before, lines = bare.value(threads), bare.value(names)
    for _ in range(2):
        bare.run("%load_ext aionlab")
        bare.run("%%workflow\nasync def quick(n):\n    return n\n")
        assert bare.value("%start quick(1) --id q --restart\n%result q") == "1"
        bare.run("%unload_ext aionlab")
        assert bare.value(threads) == before
        assert bare.value(names) == lines
        assert bare.value("'lab' in globals(), 'workflow' in globals()") == "(False, False)"
