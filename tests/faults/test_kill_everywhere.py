"""`kill -9` at every SQL statement of four scenarios on the whole product; then recovery, compared with a run that was left alone."""
from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable
from hashlib import blake2b
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import aionlab
from aionlab.core.errors import RunClosed
from aionlab.core.events import ActivityStarted
from aionlab.store.sqlite import SqliteStore
from tests.environment import requires
from tests.faults import cells
from tests.store.children import fork

pytestmark = pytest.mark.slow
Step = Callable[[Any], object]


def start(workflow: Any, *args: Any, name: str, key: str | None = None, **options: Any) -> Step:
    return lambda lab: lab.start(workflow, *args, id=name, idempotency_key=key or name, **options)


def send(to: str, name: str, payload: Any = None) -> Step:
    return lambda lab: lab.signal(to, name, payload, idempotency_key=name)


def unless_closed(act: Step) -> Step:
    """A verb that may have happened already."""

    def again(lab: Any) -> None:
        try:
            act(lab)
        except RunClosed:
            pass

    return again


def resumed(lab: Any) -> None:
    if str(lab.get("o-1").status) == "Paused":
        lab.resume("o-1")


SCENARIOS: dict[str, list[Step]] = {
    "order": [start(cells.order, 21, name="o-1"), unless_closed(send("o-1", "approval", {"by": "ada"})), lambda lab: lab.get("o-1").result(5)],
    "timers": [
        lambda lab: lab.register_search_attribute("stage", "keyword"),
        start(cells.timed, 5, name="t-1", deadline="7d"),
        lambda lab: lab.clock.skip("61s"),
        lambda lab: lab.clock.skip("10m"),
        lambda lab: lab.clock.skip("2h"),
        lambda lab: lab.get("t-1").result(5),
    ],
    "verbs": [
        start(cells.order, 1, name="o-1"), start(cells.tidy, 1, name="c-1"), start(cells.order, 3, name="x-1"),
        unless_closed(lambda lab: lab.pause("o-1") if str(lab.get("o-1").status) == "Running" else None),
        unless_closed(send("o-1", "approval")), unless_closed(resumed), unless_closed(lambda lab: lab.cancel("c-1")),
        lambda lab: lab.get("c-1").result(5), unless_closed(lambda lab: lab.terminate("x-1", "oops")),
        start(cells.order, 4, name="x-1", key="again"), unless_closed(lambda lab: lab.suspend("x-1")), unless_closed(send("x-1", "approval", 2)),
        lambda lab: lab.get("x-1").result(5),
    ],
    "family": [
        start(cells.family, 5, name="f-1"),
        lambda lab: lab.clock.skip("31s"),
        lambda lab: lab.clock.skip("31s"),
        lambda lab: lab.get("f-1").result(5),
        lambda lab: lab.get("kept").result(5),
    ],
}  # fmt: skip


def opened(path: Path) -> Any:
    return aionlab.open(path, threads=False, clock="virtual", deterministic=7, synchronous="NORMAL")


def heads(lab: Any) -> dict[str, list[Any]]:
    """(number of events, their digest) of each workflow id."""
    store = lab.host.engine.store
    return {name: prefix(store.read(name)) for name in store.ids()}


def prefix(events: list[Any]) -> list[Any]:
    return [len(events), blake2b("".join(map(repr, events)).encode()).hexdigest()]


def play(scenario: list[Step], path: Path, fatal: int, pipe: int) -> None:
    """The scenario in this process, which dies at SQL statement number `fatal`; what is acknowledged goes through the pipe first."""
    seen, counting = count(1), True
    connect = sqlite3.connect

    def tick(_: str) -> None:
        if counting and next(seen) == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def connected(*args: Any, **options: Any) -> sqlite3.Connection:
        db = connect(*args, **options)
        db.set_trace_callback(tick)
        return db

    sqlite3.connect = connected  # type: ignore[assignment]  # of this child alone
    lab = opened(path)
    for step in scenario:
        step(lab)
        counting = False
        os.write(pipe, json.dumps(heads(lab)).encode() + b"\n")
        counting = True
    lab.close()


def shape(lab: Any) -> dict[str, Any]:
    """What histories say, without times and without attempts that led to another: one lost with its process begins again."""
    told: dict[str, Any] = {}
    for name in lab.ids():
        events = [r.event for r in lab.host.engine.store.read(name)]
        told[name] = [type(event).__name__ for event in events if not (isinstance(event, ActivityStarted) or getattr(event, "next_attempt_at", None))]
    told["rows"] = sorted((run.workflow_id, str(run.status), tuple(sorted(run.attributes.items()))) for run in lab.runs())
    return told


@requires("posix")
@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_at_every_statement(name: str, tmp_path: Path) -> None:
    scenario, template = SCENARIOS[name], tmp_path / "template.db"
    with opened(tmp_path / "control.db") as control:
        results = [step(control) for step in scenario]
        control.settle()
        right, answer = shape(control), results[-1]
    if name != "order":
        opened(template).close()
    points = 0
    for fatal in count(1):
        path = tmp_path / f"{fatal}.db"
        if template.exists():
            shutil.copy(template, path)
        reading, writing = os.pipe()
        status = fork(lambda path=path, fatal=fatal, writing=writing: play(scenario, path, fatal, writing))  # type: ignore[misc]
        os.close(writing)
        with open(reading) as pipe:
            acknowledged = [json.loads(line) for line in pipe]
        if status == 0:
            break
        assert status == signal.SIGKILL, f"statement {fatal}: the child ended with {status}"
        points += 1
        recover(path, scenario, acknowledged, right, answer, f"{name}, statement {fatal}")
        path.unlink()
    assert points >= 40, points
    print(f"{name}: {points} points")


def recover(path: Path, scenario: list[Step], acknowledged: list[Any], right: dict[str, Any], answer: Any, where: str) -> None:
    with opened(path) as lab:
        assert not lab.readonly, where
        store = lab.host.engine.store
        for name, (length, digest) in (acknowledged[-1] if acknowledged else {}).items():
            assert prefix(store.read(name)[:length]) == [length, digest], f"{where}: {name} lost what was acknowledged"
        lab.settle()
        assert not any(entry.residency in ("Waiting", "Stuck") for entry in lab.registry()), (where, lab.registry().entries)
        results = [step(lab) for step in scenario[min(len(acknowledged), len(scenario) - 1) :]]
        lab.settle()
        assert results[-1] == answer, where
        assert shape(lab) == right, where
    store = SqliteStore.open(path)
    assert store.verify() == [], where
    store.close()
