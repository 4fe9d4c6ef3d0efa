"""One process for each attempt: what becomes of it harms nobody else, and it never outlives its kernel."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import pytest

from aionlab import activity
from aionlab.app.library import Library
from aionlab.app.parcels import wrap
from aionlab.backends.attempts import NamesMissing
from aionlab.backends.processes import ProcessExecutor, ending
from aionlab.backends.wire import BEAT, DONE, Inbox, message
from aionlab.code.ledger import Ledger
from aionlab.core.clock import Micros
from aionlab.core.converters import Converters, ValueConverter
from aionlab.core.events import ActivityOptions, Payload
from aionlab.core.failure import Failure
from aionlab.core.ids import RunId, WorkflowId
from aionlab.core.ports import Attempt, Finished, Missing
from aionlab.core.values import values_for
from tests.backends import work
from tests.backends.conftest import alive, children, until

pytestmark = [pytest.mark.environment("linux"), pytest.mark.slow]
ENTRY = "aionlab.app.worker:main"


class Bench:
    """An executor with the activities of `work`."""

    def __init__(self, **options: Any) -> None:
        self.namespace: dict[str, Any] = {}
        self.library = Library(Ledger(), self.namespace)
        for value in vars(work).values():
            if getattr(value, "aion_kind", "") == "activity":
                self.library.activities[value.name] = value
        self.executor = ProcessExecutor(lambda attempt: wrap(self.library, attempt), ENTRY, **options)
        self.reports: SimpleQueue[Finished | Missing] = SimpleQueue()
        self.number = 0

    def submit(self, name: str, *args: Any, attempt: int = 1) -> int:
        self.number += 1
        payload = self.library.cells.encode_args(args)
        self.executor.submit(Attempt(1, WorkflowId("w"), RunId("r"), self.number, name, attempt, payload, ActivityOptions()), self.reports.put)
        return self.number

    def report(self, seconds: float = 60) -> Any:
        return self.reports.get(timeout=seconds)

    def result(self, name: str, *args: Any) -> Any:
        number = self.submit(name, *args)
        report = self.report()
        assert isinstance(report, Finished) and (report.run_key, report.activity_id, report.attempt) == (1, number, 1)
        assert report.failure is None, report.failure
        return self.library.cells.decode(report.result or b"")

    def failure(self, name: str, *args: Any) -> Failure:
        self.submit(name, *args)
        failure = self.report().failure
        assert isinstance(failure, Failure)
        return failure


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.executor.close()
    assert children() == [], "nothing is left behind"


def test_an_attempt_is_made_in_a_process_of_its_own_that_ignores_sigint(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bench.result("triple", 5) == 15
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AIONLAB_TEST_WORD", "set after the spare was started")
    first, second = bench.result("whoami"), bench.result("whoami")
    assert first["pid"] != second["pid"] and first["parent"] == os.getpid()
    assert first["session"] == first["pid"] != os.getsid(0), "a session of its own"
    assert first["sigint"] and first["folder"] == str(tmp_path) and first["env"] == "set after the spare was started"
    assert not first["here"], "a worker knows nothing of the store"


def test_values_travel_as_payloads_and_classes_with_the_code(bench: Bench) -> None:
    made = bench.result("heavier", work.Parcel(Decimal("1.5"), ["a"]))
    assert bench.library.cells.decode(b'{"~":"tuple","v":[1]}') == (1,)
    assert (made.weight, made.tags, made.type_name) == (Decimal("2.5"), ["a", "Parcel"], "Parcel")
    assert bench.result("slowly", 1) == 2
    assert len(bench.result("loud", 2_000_000)) == 2_000_000
    assert bench.result("heavier", work.Parcel(Decimal(1), ["y" * 1_500_000])).tags[1] == "Parcel"


def test_an_error_keeps_its_class_its_details_and_the_lines_of_the_user(bench: Bench) -> None:
    failure = bench.failure("refuses", "no stock")
    error: Any = bench.library.cells.error(failure)
    assert (str(error), error.details, error.type, failure.non_retryable) == ("no stock", (7,), "Refused", True)
    assert "raise ApplicationError(text, 7" in failure.traceback and failure.source.endswith("in refuses")
    assert bench.failure("quits").type == "SystemExit"
    assert bench.failure("unrecordable").name == "InvalidPayload"


@pytest.mark.parametrize(
    ("name", "args", "words", "code"),
    [
        ("leaves", (3,), "the process of leaves ended with exit code 3 before it returned", 3),
        ("leaves", (0,), "the process of leaves ended with exit code 0 before it returned", 0),
        ("shoots", (int(signal.SIGKILL),), "the process of shoots was killed by SIGKILL", -9),
        ("crashes", (), "the process of crashes was killed by SIGSEGV", -11),
    ],
    ids=["exit", "exit 0", "kill -9", "segfault"],
)
def test_the_loss_of_a_process_is_an_error_that_may_be_retried_and_says_how_it_ended(
    bench: Bench, name: str, args: tuple[Any, ...], words: str, code: int, tmp_path: Path
) -> None:
    bystander = bench.submit("waits", str(tmp_path))
    until(lambda: (tmp_path / "pid").exists())
    failure = bench.failure(name, *args)
    assert (failure.name, failure.message, failure.non_retryable) == ("WorkerLost", words, False)
    error: Any = bench.library.cells.error(failure)
    assert error.code == code and error.activity_type == name
    assert alive(int((tmp_path / "pid").read_text())), "the loss of one harms no other"
    assert bench.result("triple", 1) == 3
    bench.executor.cancel(1, bystander)
    assert bench.report().failure.name == "CancelledError"


def test_how_a_process_ended_in_words() -> None:
    assert ending(1) == "ended with exit code 1 before it returned"
    assert ending(-signal.SIGSEGV) == "was killed by SIGSEGV"
    assert ending(-63) == "was killed by signal 63"


@pytest.mark.parametrize("name", ["waits", "waits_async"])
def test_an_attempt_that_is_stopped_may_clean_up(bench: Bench, tmp_path: Path, name: str) -> None:
    number = bench.submit(name, str(tmp_path))
    until(lambda: (tmp_path / "pid").exists())
    bench.executor.cancel(1, number)
    bench.executor.cancel(1, number)
    report = bench.report()
    assert report.failure.name == "CancelledError" and (tmp_path / "cleaned").exists()
    until(lambda: not alive(int((tmp_path / "pid").read_text())))
    with pytest.raises(Empty):
        bench.reports.get_nowait()


def test_interrupting_the_kernel_reaches_no_attempt(bench: Bench, tmp_path: Path) -> None:
    number = bench.submit("waits", str(tmp_path))
    until(lambda: (tmp_path / "pid").exists())
    pid = int((tmp_path / "pid").read_text())
    assert os.getpgid(pid) == pid != os.getpgid(0), "what a terminal or Jupyter sends to the kernel's group goes past it"
    for _ in range(20):
        os.kill(pid, signal.SIGINT)
    assert bench.result("triple", 1) == 3 and alive(pid) and not (tmp_path / "cleaned").exists()
    bench.executor.cancel(1, number)
    assert bench.report().failure.name == "CancelledError"


def test_an_attempt_that_does_not_stop_is_killed_with_what_it_started(tmp_path: Path) -> None:
    bench = Bench(grace=0.2)
    number = bench.submit("stubborn", str(tmp_path))
    until(lambda: (tmp_path / "pid").exists())
    pids = [int((tmp_path / name).read_text()) for name in ("pid", "child")]
    begun = time.monotonic()
    bench.executor.cancel(1, number)
    failure = bench.report().failure
    assert (failure.name, failure.message) == ("CancelledError", "the attempt was stopped: its process was killed by SIGKILL")
    assert time.monotonic() - begun >= 0.2
    until(lambda: not any(map(alive, pids)))
    bench.executor.close()


def test_an_attempt_may_be_stopped_before_it_begins(tmp_path: Path) -> None:
    bench = Bench(workers=1)
    first, second = bench.submit("waits", str(tmp_path)), bench.submit("triple", 1)
    third = bench.submit("triple", 2)
    until(lambda: (tmp_path / "pid").exists())
    bench.executor.cancel(1, second)
    report = bench.report()
    assert (report.activity_id, report.failure.message) == (second, "the attempt was stopped before it began")
    bench.executor.cancel(1, 99)
    bench.executor.cancel(1, first)
    assert {bench.report().activity_id, bench.report().activity_id} == {first, third}, "one that is to stop holds up no other"
    bench.executor.close()


def test_no_more_than_the_limit_run_at_once(tmp_path: Path) -> None:
    bench = Bench(workers=2)
    folders = [tmp_path / str(number) for number in range(3)]
    for folder in folders:
        folder.mkdir()
    numbers = [bench.submit("waits", str(folder)) for folder in folders]
    until(lambda: all((folder / "pid").exists() for folder in folders[:2]))
    assert not (folders[2] / "pid").exists() and len(children()) == 2
    bench.executor.cancel(1, numbers[0])
    until(lambda: (folders[2] / "pid").exists())
    bench.executor.close()
    assert children() == []


def test_a_worker_that_will_not_end_after_its_report_is_ended(bench: Bench) -> None:
    assert bench.result("clings") == "done"
    until(lambda: len(children()) <= 1)


def test_submitting_never_waits(bench: Bench, tmp_path: Path) -> None:
    """Not even while a worker takes nothing in: its job is larger than any socket holds."""
    number = bench.submit("waits", str(tmp_path))
    until(lambda: (tmp_path / "pid").exists())
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGSTOP)
    begun = time.monotonic()
    for _ in range(20):
        bench.submit("triple", 1)
    assert time.monotonic() - begun < 2
    assert [bench.library.cells.decode(bench.report().result) for _ in range(20)] == [3] * 20
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGCONT)
    bench.executor.cancel(1, number)
    assert bench.report().failure.name == "CancelledError"


def defined(bench: Bench, source: str) -> None:
    """Run a cell of the bench's notebook."""
    source, name = textwrap.dedent(source), f"<cell {len(bench.namespace)}>"
    bench.namespace.setdefault("__name__", "__main__")
    exec(compile(source, name, "exec"), bench.namespace)
    bench.library.ledger.note_cell(source, name, bench.namespace)
    for value in list(bench.namespace.values()):
        if getattr(value, "aion_kind", "") == "activity":
            bench.library.activities[value.name] = value


def test_functions_of_cells_run_with_their_classes_helpers_and_the_notebook_s_values(bench: Bench) -> None:
    import pandas as pd

    bench.namespace["frame"] = pd.DataFrame({"n": [1, 2, 3]})
    defined(
        bench,
        """
        from dataclasses import dataclass
        from aionlab import activity
        @dataclass
        class Total:
            name: str
            value: int
        def double(n):
            return 2 * n
        @activity
        def total(name: str, more: Total | None = None) -> Total:
            return Total(name, double(int(frame["n"].sum())) + (more.value if more else 0))
        """,
    )
    total = bench.namespace["Total"]
    assert bench.result("total", "sum") == total("sum", 12)
    bench.namespace["frame"] = pd.DataFrame({"n": [10]})
    assert bench.result("total", "sum", total("x", 1)) == total("sum", 21), "the values as they are now"
    defined(bench, "def double(n):\n    return 3 * n\n")
    assert bench.result("total", "sum") == total("sum", 30), "the newest helper"


def test_a_value_that_cannot_leave_the_notebook_is_refused_for_good(bench: Bench) -> None:
    defined(
        bench,
        """
        import threading
        from aionlab import activity
        lock = threading.Lock()
        @activity
        def guarded(n: int) -> int:
            with lock:
                return n
        """,
    )
    refused = bench.failure("guarded", 1)
    assert refused.message.startswith("guarded works with `lock`, which cannot go to another process (lock: _thread.lock cannot be recorded")
    assert refused.message.endswith("or run it in a thread") and refused.non_retryable
    del bench.namespace["lock"]
    number = bench.submit("guarded", 1)
    assert bench.report() == Missing(1, number, 1, ("lock",))
    bench.library.activities["no_source"] = activity(name="no_source")(eval("lambda: 1"))
    assert "no source that can be stored" in bench.failure("no_source").message
    bench.submit("triple", 0)
    assert bench.report().failure is None, "the others go on"


def test_values_of_types_with_a_converter_stay_in_this_kernel(bench: Bench) -> None:
    bench.library.cells = values_for(None, extras=Converters([ValueConverter(Fraction, str, Fraction, "fraction")]))
    refused = bench.failure("triple", Fraction(1, 3))
    assert refused.non_retryable and "a value of a type with a converter, which only this kernel has" in refused.message


def test_heartbeats_come_back_with_their_details_and_tell_when_the_code_begins(bench: Bench) -> None:
    options = ActivityOptions(heartbeat=Micros(60_000_000))
    for name, details in (("beats", None), ("beats_async", b'{"at":41}')):
        heard: SimpleQueue[Payload | None] = SimpleQueue()
        last = None if details is None else Payload(details)
        attempt = Attempt(1, WorkflowId("w"), RunId("r"), 7, name, 2, Payload(b"[3]"), options, details=last)
        bench.executor.submit(attempt, bench.reports.put, lambda given, said: heard.put(said) if given is attempt else None)
        assert bench.library.cells.decode(bench.report().result) == {"attempt": 2, "activity_id": 7, "last": None if last is None else {"at": 41}, "waited": False}
        assert [heard.get(timeout=5) for _ in range(6)] == [None, None, b'{"at":0}', b'{"at":1}', b'{"at":2}', None]


def test_code_may_ask_whether_it_is_still_wanted(bench: Bench, tmp_path: Path) -> None:
    number = bench.submit("asks", str(tmp_path))
    until(lambda: (tmp_path / "pid").exists())
    bench.executor.cancel(1, number)
    bench.report()
    until(lambda: (tmp_path / "asked").exists())
    assert (tmp_path / "asked").read_text() == "True"


def test_a_judge_that_raises_changes_no_report(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(judge=lambda attempt, failure: 1 / 0)
    assert bench.failure("refuses", "no").message == "no"
    bench.executor.close()
    assert "a failure of refuses could not be judged" in caplog.text


def test_workers_that_somebody_else_buries_are_missed_all_the_same(bench: Bench) -> None:
    """A kernel whose code ignores SIGCHLD, or waits for any child, takes their return codes away."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert bench.result("triple", 2) == 6
        failure = bench.failure("leaves", 3)
        assert failure.name == "WorkerLost" and "before it returned" in failure.message
        assert bench.result("triple", 3) == 9
        until(lambda: len(children()) <= 1)
    finally:
        bench.executor.close()
        signal.signal(signal.SIGCHLD, before)


def test_where_the_system_does_not_tell_of_ends_they_are_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    bench = Bench()
    assert bench.result("triple", 2) == 6 and bench.failure("leaves", 3).message.endswith("exit code 3 before it returned")
    assert bench.failure("shoots", int(signal.SIGKILL)).message.endswith("was killed by SIGKILL")
    bench.executor.close()
    assert children() == []


def test_code_that_waits_for_names_is_reported_as_missing() -> None:
    def pack(attempt: Attempt) -> bytes:
        raise NamesMissing(("client",))

    executor = ProcessExecutor(pack, ENTRY)
    reports: list[Finished | Missing] = []
    executor.submit(Attempt(1, WorkflowId("w"), RunId("r"), 2, "a", 3, Payload(b"[]"), ActivityOptions()), reports.append)
    assert reports == [Missing(1, 2, 3, ("client",))]
    executor.cancel(1, 2)
    executor.close()


def test_a_worker_that_cannot_be_started_is_a_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    failure = bench.failure("triple", 1)
    assert failure.name == "WorkerLost" and "cannot be started" in failure.message
    monkeypatch.undo()
    assert bench.result("triple", 1) == 3
    bench.executor.close()


MANY = 150
"""Attempts, each an interpreter of its own; once held with 1,000."""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_many_attempts_leave_nothing_behind() -> None:
    bench = Bench(workers=4)
    bench.result("triple", 0)
    until(lambda: len(children()) == 1)
    before, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    for number in range(MANY):
        bench.submit("triple", number) if number % 10 else bench.submit("leaves", 7)
    reports = [bench.report() for _ in range(MANY)]
    assert sum(report.failure is None for report in reports) == MANY * 9 // 10
    until(lambda: len(children()) <= 1)
    until(lambda: len(os.listdir("/proc/self/fd")) <= before)
    assert threading.active_count() == threads
    bench.executor.close()
    assert children() == []


@pytest.mark.parametrize("name", ["waits", "stubborn"])
def test_no_process_survives_the_end_of_its_kernel(tmp_path: Path, name: str) -> None:
    """A kernel that is killed takes its workers along: the one at work, what that started, and the spare."""
    program = textwrap.dedent(
        f"""
        import os, sys, threading
        sys.path.insert(0, {os.getcwd()!r})
        from tests.backends.test_processes import Bench
        from tests.backends.conftest import children
        from pathlib import Path
        bench = Bench()
        bench.submit({name!r}, {str(tmp_path)!r})
        while not (Path({str(tmp_path)!r}) / "pid").exists() or len(children()) < 2:
            threading.Event().wait(0.01)
        print(*children(), flush=True)
        threading.Event().wait()
        """
    )
    kernel = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert kernel.stdout is not None
    pids = [int(pid) for pid in kernel.stdout.readline().split()]
    if name == "stubborn":
        pids.append(int((tmp_path / "child").read_text()))
    assert len(pids) >= 2 and all(map(alive, pids))
    kernel.kill()
    kernel.wait()
    kernel.stdout.close()
    until(lambda: not any(map(alive, pids)))


def test_closing_lets_attempts_clean_up_and_reports_none(tmp_path: Path) -> None:
    bench = Bench()
    bench.submit("waits", str(tmp_path))
    until(lambda: (tmp_path / "pid").exists())
    bench.executor.close()
    assert (tmp_path / "cleaned").exists() and children() == []
    with pytest.raises(Empty):
        bench.reports.get_nowait()
    bench.executor.close()


def test_messages_come_whole_however_they_are_cut() -> None:
    stream = message(BEAT) + message(DONE, b"x" * 1000) + message(BEAT, b"\0\1")
    for size in (1, 2, 5, 7, 999, len(stream)):
        inbox = Inbox()
        found = [said for at in range(0, len(stream), size) for said in inbox.feed(stream[at : at + size])]
        assert found == [(BEAT, b""), (DONE, b"x" * 1000), (BEAT, b"\0\1")]


def test_a_fork_of_the_kernel_keeps_no_worker_alive(tmp_path: Path) -> None:
    program = textwrap.dedent(
        f"""
        import os, sys, threading
        sys.path.insert(0, {os.getcwd()!r})
        from tests.backends.test_processes import Bench
        from tests.backends.conftest import children
        from pathlib import Path
        bench = Bench()
        bench.submit("waits", {str(tmp_path)!r})
        while not (Path({str(tmp_path)!r}) / "pid").exists():
            threading.Event().wait(0.01)
        workers = children()
        fork = os.fork()
        if fork == 0:
            threading.Event().wait(60)
            os._exit(0)
        print(fork, *workers, flush=True)
        threading.Event().wait()
        """
    )
    kernel = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert kernel.stdout is not None
    fork, *pids = [int(pid) for pid in kernel.stdout.readline().split()]
    try:
        assert pids and all(map(alive, pids))
        kernel.kill()
        kernel.wait()
        kernel.stdout.close()
        until(lambda: not any(map(alive, pids)))
        assert alive(fork)
    finally:
        os.kill(fork, 9)
