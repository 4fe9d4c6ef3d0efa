"""`aionlab demo`: the first notebook without a screen, its kernel killed half-way, and what is left afterwards.

A real kernel runs the notebook cell by cell. At the cell tagged `kernel-dies` the kernel process dies by SIGKILL, a new one is
started in the same folder and goes on with the next cell. The demo compares the histories before and after and says what it
found; it exits 1 when a cell fails, when a history lost or changed an event, or when a finished activity ran again.
"""
from __future__ import annotations

import argparse
import ast
import json
import shutil
import signal
import sys
import tempfile
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from queue import Empty
from time import monotonic
from typing import Any, NoReturn

NOTEBOOK = Path("notebooks/01_first_run.ipynb")
DIES = "kernel-dies"
_LOOK = 0.25
"""Seconds after which a wait looks whether the kernel still lives."""


def add(commands: Any) -> None:
    command = commands.add_parser("demo", help="run the first notebook, kill its kernel half-way, see it recover", description=__doc__)
    command.add_argument("notebook", nargs="?", type=Path, default=NOTEBOOK, help=f"default: {NOTEBOOK}")
    command.add_argument("--folder", type=Path, help="where to work, in a fresh folder of its own each time (default: a temporary folder)")
    command.add_argument("--timeout", type=float, default=120, help="seconds a cell may take (default: 120)")
    command.set_defaults(do=demo)


def demo(options: argparse.Namespace) -> int:
    """Run the demo and tell of it on stdout; returns the exit code."""
    if find_spec("jupyter_client") is None or find_spec("nbformat") is None or find_spec("ipykernel") is None:
        print("the demo needs Jupyter: pip install 'aionlab[lab]'", file=sys.stderr)
        return 1
    if not options.notebook.is_file():
        print(f"there is no notebook {options.notebook} here: run the demo in a checkout, or name one", file=sys.stderr)
        return 1
    previous = signal.signal(signal.SIGTERM, _stop)
    try:
        return _tell(options.notebook, _fresh(options.folder), options.timeout)
    except Trouble as trouble:
        print(f"\n{trouble}", file=sys.stderr)
        return 1
    finally:
        signal.signal(signal.SIGTERM, previous)


def _stop(signum: int, frame: object) -> NoReturn:
    sys.exit(128 + signum)  # so that the kernel is shut down on the way out


def _fresh(folder: Path | None) -> Path:
    """A new folder below `folder`; what earlier demos left there is removed."""
    if folder is None:
        return Path(tempfile.mkdtemp(prefix="aionlab-demo-"))
    for old in folder.glob("run-*"):
        shutil.rmtree(old, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="run-", dir=folder))


class Trouble(Exception):
    """The demo can't go on; the text is for the user."""


@dataclass(frozen=True)
class Said:
    """One event of a history: its kind, the activity it is about (as "run id/number"; None for others), and all of it as text."""

    kind: str
    activity: str | None
    text: str


@dataclass(frozen=True)
class Facts:
    """What the histories in the database say, by workflow id."""

    runs: dict[str, list[Said]]
    status: dict[str, str]
    result: dict[str, str]
    timeline: dict[str, str]

    def count(self) -> int:
        return sum(map(len, self.runs.values()))

    def finished(self) -> set[str | None]:
        """The activities with a recorded result."""
        return {said.activity for events in self.runs.values() for said in events if said.kind == "ActivityCompleted"}

    def kept_in(self, later: Facts) -> bool:
        """Whether every history here is the beginning of the one of the same id in `later`."""
        return all(later.runs.get(workflow_id, [])[: len(events)] == events for workflow_id, events in self.runs.items())

    def begun_again(self, later: Facts) -> set[str | None]:
        """Activities finished here of which `later` records anything new."""
        new = {
            said.activity for workflow_id, events in later.runs.items() for said in events[len(self.runs.get(workflow_id, [])) :]
        }
        return self.finished() & new


# Evaluated in the kernel, where the notebook's `lab` is. Only public names.
_PROBE = """
def _aionlab_demo_facts():
    import json
    def said(what):
        try:
            return str(what())
        except Exception as problem:
            return f"({type(problem).__name__}: {problem})"
    facts = {"runs": {}, "status": {}, "result": {}, "timeline": {}}
    for row in lab.runs():
        handle = lab.get(row.workflow_id)
        facts["runs"][row.workflow_id] = [
            (
                type(recorded.event).__name__,
                f"{recorded.run_id}/{recorded.event.activity_id}" if hasattr(recorded.event, "activity_id") else None,
                repr(recorded),
            )
            for recorded in handle.history()
        ]
        facts["status"][row.workflow_id] = said(lambda: getattr(handle.status, "value", handle.status))
        if facts["status"][row.workflow_id] == "Completed":
            facts["result"][row.workflow_id] = said(lambda: repr(handle.result(timeout=10)))
        facts["timeline"][row.workflow_id] = said(lambda: handle.timeline())
    return json.dumps(facts)
"""


@dataclass
class Outcome:
    """One executed cell: what it printed or showed, as text; the traceback if it raised; whether its kernel died of it."""

    shown: list[str] = field(default_factory=list)
    raised: str | None = None
    died: bool = False


class Kernel:
    """A real kernel process in a folder, the client that speaks to it, and a successor when it has died."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Kernel:
        self._start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._client.stop_channels()
        if self._manager.has_kernel:
            self._manager.shutdown_kernel(now=True)

    def _start(self) -> None:
        self._manager = _manager()
        self._manager.kernel_spec.argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        with (self._folder / "kernel.log").open("a") as log:
            self._manager.start_kernel(cwd=str(self._folder), stdout=log, stderr=log)
        self._client = self._manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=60)
        self.pid: int = self._manager.provisioner.pid

    def revive(self) -> None:
        """Start a new process in the place of the dead one."""
        self.__exit__()
        self._start()

    def run(self, source: str, timeout: float, **request: Any) -> tuple[Outcome, dict[str, Any]]:
        """Execute code and wait for its end, or the kernel's; returns also the content of the reply, empty after a death.

        Raises Trouble after `timeout` seconds.
        """
        sent = self._client.execute(source, **request)
        outcome, deadline, alive = Outcome(), monotonic() + timeout, True
        while True:
            try:
                message = self._client.get_iopub_msg(timeout=_LOOK)
            except Empty:
                if not alive:
                    outcome.died = True
                    return outcome, {}
                if monotonic() > deadline:
                    raise Trouble(f"a cell was not done after {timeout:g} s:\n{source}") from None
                alive = self._manager.is_alive()  # its last messages may still be on their way: look once more
                continue
            if message["parent_header"].get("msg_id") != sent:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                return outcome, self._reply(sent)
            if kind == "stream":
                outcome.shown.append(content["text"])
            elif kind in ("display_data", "execute_result"):
                outcome.shown.append(content["data"].get("text/plain", ""))
            elif kind == "error":
                outcome.raised = "\n".join(content["traceback"])

    def _reply(self, sent: str) -> dict[str, Any]:
        """The content of the reply to `sent`, which precedes its idle."""
        while True:
            message = self._client.get_shell_msg(timeout=10)
            if message["parent_header"].get("msg_id") == sent:
                content: dict[str, Any] = message["content"]
                return content

    def facts(self, timeout: float) -> Facts:
        """What the notebook's `lab` knows; raises Trouble when it can't be asked."""
        _, reply = self.run(_PROBE, timeout, silent=True, user_expressions={"facts": "_aionlab_demo_facts()"})
        answer = reply.get("user_expressions", {}).get("facts", {})
        if answer.get("status") != "ok":
            raise Trouble("the notebook's `lab` could not be asked: " + (answer.get("evalue") or reply.get("evalue") or "the kernel is dead"))
        found = json.loads(ast.literal_eval(answer["data"]["text/plain"]))
        found["runs"] = {workflow_id: [Said(*said) for said in events] for workflow_id, events in found["runs"].items()}
        return Facts(**found)

    def kill(self) -> None:
        """SIGKILL, as the kernel's out-of-memory killer would send it."""
        self._manager.signal_kernel(signal.SIGKILL)

    def died_of(self) -> str:
        """How the dead process ended, by what the operating system says."""
        code = self._manager.provisioner.process.wait(timeout=10)
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _manager() -> Any:
    from jupyter_client.manager import KernelManager

    return KernelManager(kernel_name="python3")


def say(subject: str, text: str) -> None:
    print(f"{subject:>10}  {text}", flush=True)


def _tell(notebook: Path, folder: Path, timeout: float) -> int:
    from nbformat import read

    shutil.copytree(notebook.parent, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.db", "*.db-*", "*.db.*", ".ipynb_checkpoints"))
    book: Any = read(notebook, as_version=4)  # type: ignore[no-untyped-call]
    cells = [cell for cell in book.cells if cell.cell_type == "code" and cell.source.strip()]
    say("notebook", f"{notebook.name}, {len(cells)} cells, in {folder}")
    before: Facts | None = None
    with Kernel(folder) as kernel:
        say("kernel", f"pid {kernel.pid} started")
        for number, cell in enumerate(cells, 1):
            tags = cell.metadata.get("tags", ())
            if DIES in tags:
                before = kernel.facts(timeout)
                say("cells", f"1-{number - 1} done; {_standing(before)}")
            outcome, _ = kernel.run(cell.source, timeout)
            if DIES in tags:
                if not outcome.died:
                    kernel.kill()
                say("cell", f"{number}: kernel pid {kernel.pid} died of {kernel.died_of()}; its memory is gone, {_files(folder)} stays")
                kernel.revive()
                say("kernel", f"pid {kernel.pid} started in the same folder; on with cell {number + 1}")
            elif outcome.died:
                raise Trouble(f"the kernel died unexpectedly ({kernel.died_of()}) in cell {number}:\n{cell.source}")
            elif outcome.raised and "raises-exception" not in tags:
                raise Trouble(f"cell {number} failed:\n{cell.source}\n\n{outcome.raised}")
        after = kernel.facts(timeout)
    say("cells", f"all {len(cells)} done; {_standing(after)}")
    code = _judge(before, after)
    say("see it", "`make lab` opens the same notebook in JupyterLab; kill its kernel there too")
    return code


def _standing(facts: Facts) -> str:
    runs = ", ".join(f"{workflow_id} {status}" for workflow_id, status in facts.status.items())
    return f"{facts.count()} events recorded, {_counted(len(facts.finished()), 'activity', 'activities')} finished ({runs or 'no run yet'})"


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _files(folder: Path) -> str:
    databases = sorted(folder.glob("*.db"))
    return ", ".join(path.name for path in databases) or "nothing"


def _judge(before: Facts | None, after: Facts) -> int:
    """Compare, tell, and return the exit code."""
    good = True
    if before is None:
        say("kill", f"no cell is tagged {DIES}, so nothing was killed")
    else:
        kept = before.kept_in(after)
        say("history", f"{before.count()} events before the kill, {after.count()} now; the first {before.count()} are {'the same' if kept else 'NOT THE SAME'}")
        again = before.begun_again(after)
        verdict = f"BEGUN AGAIN: {', '.join(map(str, again))}" if again else "none of them was begun again"
        say("activities", f"{len(before.finished())} had finished before the kill; {verdict}")
        good = kept and not again
    for workflow_id, result in after.result.items():
        say("result", f"{workflow_id} → {result}")
    for workflow_id, timeline in after.timeline.items():
        say("timeline", workflow_id)
        print("\n".join(f"            {line}" for line in timeline.splitlines()))
    return 0 if good else 1

