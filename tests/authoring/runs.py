"""Running one workflow to its end on a virtual clock, and replaying what it recorded."""
from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from aionlab import activity
from aionlab.core import events as e
from aionlab.replay.process import Process
from aionlab.replay.rebuild import Rebuilt, rebuild
from aionlab.testing.workbench import Workbench

DAY = 86_400_000_000


@activity
async def echo(value: Any) -> Any:
    return value


@activity
async def broken(why: str) -> None:
    raise ValueError(why)


@contextmanager
def bench() -> Iterator[Workbench]:
    made = Workbench()
    made.activity(echo)
    made.activity(broken)
    try:
        yield made
    finally:
        for run in made.engine.registry:
            if run.process is not None:
                run.process.close()


def replay(made: Workbench, workflow_id: str) -> Rebuilt:
    """The run's recorded history, replayed; raises NondeterminismError when the code disagrees with it."""
    history = made.history(workflow_id)
    started = history[0].event
    assert isinstance(started, e.WorkflowStarted)
    code = made.codes[started.workflow_type]
    first = history[0]
    rebuilt = rebuild(lambda trace: Process(code, started, first.workflow_id, first.run_id, first.at, None, trace), history)
    assert not rebuilt.warnings
    return rebuilt


def run(fn: Callable[..., Coroutine[Any, Any, Any]], *args: Any, days: int = 30) -> Any:
    """The result of a run, its history replayed before it is given."""
    with bench() as made:
        made.start(made.workflow(fn).workflow_type, *args, id="w")
        made.skip(days * DAY)
        assert replay(made, "w").process.finished
        return made.result("w")
