"""Ten seconds of interrupts, a thousand and more a second, on a kernel whose cell starts, signals and waits without pause."""
from __future__ import annotations

import json
import os
import select
import signal
import time
from collections import Counter
from pathlib import Path
from queue import Empty
from typing import Any

import pytest

from aionlab.core import events as e
from aionlab.store.sqlite import SqliteStore
from tests.environment import requires
from tests.lab.kernels import Kernel

pytestmark = [pytest.mark.kernel, pytest.mark.slow]
SECONDS, AT_LEAST = 10, 10_000
SHARE = 3
"""One answer of the engine takes up to this many turns of a plain thread that flushes: hear, commit, answer."""
LULL = 0.03
"""Seconds without an interrupt, now and then, so that some verbs come through and are acknowledged."""
UNMEASURED = {"COVERAGE_PROCESS_CONFIG": "", "COVERAGE_PROCESS_START": ""}
"""No coverage in this kernel: its tracer takes a lock in every thread, and an interrupt inside that stops them all."""

PREPARE = """%%workflow
@workflow
async def order(n):
    return n

@workflow
async def keep():
    await workflow.receive("never")
"""
BEFORE = """
import faulthandler, json, os, signal, threading, time
faulthandler.register(signal.SIGUSR1, open("stacks", "w"))
from aionlab.core.errors import ResultTimeout
%start keep() --id keep
file = os.open("acts", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
def note(*what):
    os.write(file, (json.dumps(what) + "\\n").encode())
number, over, worst, beats, held = 0, threading.Event(), 0.0, 0, 0.0
def heart():
    global worst, beats
    while not over.is_set():
        begun = time.perf_counter()
        lab.call("now")
        worst, beats = max(worst, time.perf_counter() - begun), beats + 1
        over.wait(0.005)
def plain():
    # what any thread of this kernel suffers that writes to this disk: the machine's share of `worst`
    global held
    log = os.open("plain", os.O_WRONLY | os.O_CREAT)
    while not over.is_set():
        begun = time.perf_counter()
        os.pwrite(log, b"beat", 0)
        os.fsync(log)
        time.sleep(0.005)
        held = max(held, time.perf_counter() - begun)
for beat in (heart, plain):
    threading.Thread(target=beat, daemon=True).start()
def texts(error):
    found = []
    while error is not None:
        found.append(str(error))
        error = error.__context__
    return found
def one(magic):
    global number
    number += 1
    inside, name, kind = True, f"s-{number}", ("start", "%start", "signal", "%signal", "%result", "result")[number % 6]
    try:
        if kind == "start":
            lab.start(order, number, id=name)
        elif kind == "%start":
            magic("start", f"order({number}) --id {name}")
        elif kind == "signal":
            lab.signal("keep", name)
        elif kind == "%signal":
            magic("signal", f"keep {name} {number}")
        elif kind == "%result":
            magic("result", "keep --timeout 5ms")
        else:
            lab.get("keep").result(0.005)
        inside = False
        note("done", kind, name)
    except ResultTimeout:
        note("done", kind, name)
    except KeyboardInterrupt as stop:
        note("stopped", kind, name, texts(stop), inside)
def storm(depth):
    magic = get_ipython().run_line_magic
    while not os.path.exists("stop"):
        try:
            storm(depth - 1) if depth else one(magic)
        except KeyboardInterrupt:
            pass
"""


def drain(client: Any) -> None:
    """Read what is left of the storm: ipykernel may have been interrupted while it signed a message."""
    while True:
        try:
            client.get_iopub_msg(timeout=1)
        except ValueError:
            continue
        except Empty:
            return


@requires("kernel", "posix")
def test_a_storm_of_interrupts_harms_nothing(tmp_path: Path) -> None:
    with Kernel(tmp_path, env=UNMEASURED) as kernel:
        kernel.run("%load_ext aionlab\n%config AionMagics.notice_after = 0")
        kernel.run(PREPARE)
        kernel.run(BEFORE)
        pid = int(kernel.value("os.getpid()"))
        client = kernel.client
        client.execute("storm(8)")
        while not (tmp_path / "acts").exists() or not (tmp_path / "acts").read_text():
            select.select([], [], [], 0.01)
        sent, begun = 0, time.monotonic()
        while time.monotonic() - begun < SECONDS or sent < AT_LEAST:
            os.kill(pid, signal.SIGINT)
            sent += 1
            select.select([], [], [], LULL if sent % 200 == 0 else 0.0002)
            assert time.monotonic() - begun < 60
        seconds = time.monotonic() - begun
        (tmp_path / "stop").touch()
        try:
            reply = client.get_shell_msg(timeout=15)["content"]
        except Empty:
            os.kill(pid, signal.SIGUSR1)
            print((tmp_path / "acts").read_text()[-600:])
            select.select([], [], [], 1)
            raise AssertionError("the cell does not end: " + (tmp_path / "stacks").read_text()) from None
        assert reply["status"] == "ok", reply
        drain(client)
        assert kernel.value("over.set(); lab.settle(20)") == "True", "the engine stands still"
        worst, beats, held = float(kernel.value("worst")), int(kernel.value("beats")), float(kernel.value("held"))
        assert kernel.value("lab.status().progress.halted") == "''"
        assert kernel.value("h = %start order(7) --id after\nh.result(10)") == "7"
    acts = [json.loads(line) for line in (tmp_path / "acts").read_text().splitlines()]
    counted = Counter((what, kind) for what, kind, *_ in acts)
    print(f"{sent} interrupts in {seconds:.1f} s; longest wait for the engine {worst:.3f} s over {beats} beats, for a plain thread {held:.3f} s; {dict(counted)}")
    assert sent >= AT_LEAST and sent / seconds >= 1000
    assert worst <= 0.5 + SHARE * held, f"the engine did not answer for {worst:.3f} s; a plain thread was held up for {held:.3f} s"
    store = SqliteStore.open(tmp_path / "lab.db", readonly=True)
    assert store.verify() == []
    starts = Counter(str(name) for name in store.ids() for recorded in store.read(name) if isinstance(recorded.event, e.WorkflowStarted))
    signals = Counter(recorded.event.name for recorded in store.read("keep") if isinstance(recorded.event, e.SignalReceived))  # type: ignore[arg-type]
    store.close()
    assert set(starts.values()) == {1} and set(signals.values()) == {1}, "something was recorded twice"
    mute: Counter[str] = Counter()
    told: Counter[str] = Counter()
    for what, kind, name, *more in acts:
        if kind.endswith("result"):
            continue
        recorded = (starts if kind.endswith("start") else signals)[name] == 1
        if what == "done":
            assert recorded, f"{kind} {name} was acknowledged and is not in the log"
            continue
        said, inside = more
        if any(text in (f"{name} was started", f"'{name}' was sent to keep", f"{name!r} was sent to keep") for text in said):
            assert recorded, (kind, name, said)
            told[kind] += 1
        elif any(text.startswith(("nothing was started", "nothing was sent")) for text in said):
            assert not recorded, (kind, name, said)
        else:
            mute[kind] += recorded and inside
    stopped = sum(n for (what, _), n in counted.items() if what == "stopped")
    print(f"{stopped} verbs were interrupted; recorded and said so: {dict(told)}; recorded, with the interrupt behind the verb's end: {dict(mute)}")
    assert stopped > 100 and told.total() > 100 and mute.total() <= told.total() * 0.25
    assert sum(n for (what, kind), n in counted.items() if what == "done" and not kind.endswith("result")) >= 10, "nothing was acknowledged"
    assert len(starts) > 100 and len(signals) > 100
