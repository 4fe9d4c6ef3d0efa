"""A pytest plugin that mends nbval 0.11, so that a notebook passes when a reader would see what is stored in it.

`pytest -p aionlab.testing.nbval_shim --nbval notebooks/`. Beside what nbval does:

- `update_display_data` and `clear_output` count: outputs are compared as they stand when the cell has ended.
- A cell whose reply is an error fails even where nothing was sent as an error output (`UsageError` of a magic).
- Cells run with history, as in a front end: a final `;` silences.
- A notebook that holds any output is compared in all its cells, also where execution counts were stripped.
- A kernel that dies fails the cell at once instead of after the cell's timeout.
- A cell tagged `kernel-dies` must kill its kernel; the next cell runs in a new one, in the same folder.
- The kernel works in a temporary copy of the notebook's folder without its databases, with `AIONLAB_DETERMINISTIC=1` and
  Jupyter and IPython folders of its own. The checkout is never written to.

Every cell carries the marks `notebook` and `kernel`. Where nbval is missing the plugin does nothing. It replaces parts of
nbval's inside, hence the exact version.
"""
from __future__ import annotations

import os
import shutil
import tempfile
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from queue import Empty
from time import monotonic
from typing import Any, NoReturn

import pytest

try:
    from nbval import kernel as nbval_kernel
    from nbval import plugin as nbval
except ImportError:
    nbval = None

DIES = "kernel-dies"
OUTPUT_TIMEOUT = 60.0
"""Seconds between two messages of a cell that has replied; nbval's 5 are few on a busy machine."""
_LOOK = 0.25
"""Seconds after which a wait looks whether the kernel still lives."""
_NOT_COPIED = shutil.ignore_patterns("*.db", "*.db-*", "*.db.*", ".ipynb_checkpoints")


def fold(messages: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One cell's iopub messages as they stand at its end: updates folded into what they update, cleared outputs gone."""
    standing: list[dict[str, Any]] = []
    clear_next = False
    for message in messages:
        kind, content = message["msg_type"], message["content"]
        if kind == "clear_output":
            if content.get("wait"):
                clear_next = True
            else:
                standing, clear_next = _without_outputs(standing), False
            continue
        display_id = content.get("transient", {}).get("display_id")
        if display_id is not None:
            for earlier in standing:
                if earlier["content"].get("transient", {}).get("display_id") == display_id:
                    earlier["content"] |= {"data": content["data"], "metadata": content["metadata"]}
        if kind == "update_display_data":
            continue
        if clear_next and kind in _OUTPUTS:
            standing, clear_next = _without_outputs(standing), False
        standing.append({**message, "content": dict(content)})
    return standing


_OUTPUTS = frozenset({"stream", "display_data", "execute_result", "error"})


def _without_outputs(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [message for message in messages if message["msg_type"] not in _OUTPUTS]


def _is_idle(message: dict[str, Any]) -> bool:
    return bool(message["msg_type"] == "status" and message["content"]["execution_state"] == "idle")


def pytest_configure(config: pytest.Config) -> None:
    for line in ("notebook: a cell of a notebook, run by nbval", "kernel: starts a Jupyter kernel"):
        config.addinivalue_line("markers", line)
    if nbval is not None:
        _mend()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if nbval is not None:
        for item in items:
            if isinstance(item, nbval.IPyNbCell):
                item.add_marker("notebook")
                item.add_marker("kernel")


def _mend() -> None:
    """Put the parts below in the place of nbval's own; doing it again changes nothing."""
    if nbval.RunningKernel is Kernel:
        return
    nbval.RunningKernel = Kernel
    file, cell = nbval.IPyNbFile, nbval.IPyNbCell
    setup, teardown, runtest = file.setup, file.teardown, cell.runtest

    def setup_in_copy(self: Any) -> None:
        self.copy = tempfile.TemporaryDirectory(prefix="aionlab-nbval-", ignore_cleanup_errors=True)
        Kernel.home = Path(self.copy.name)
        shutil.copytree(self.path.parent, Kernel.home / "notebooks", ignore=_NOT_COPIED)
        code = [cell for cell in self.nb.cells if cell.cell_type == "code"]
        if any(cell.outputs for cell in code):
            for cell in code:
                cell.execution_count = cell.execution_count or 0  # None means "never run" to nbval
        setup(self)

    def teardown_with_copy(self: Any) -> None:
        teardown(self)
        self.copy.cleanup()

    def run_cell(self: Any) -> None:
        self.output_timeout = OUTPUT_TIMEOUT
        self.parent.kernel.cell = self
        if DIES in self.cell.metadata.get("tags", ()) and not self.options["skip"]:
            self.parent.kernel.die_and_revive(self.cell.source, timeout=self.config.option.nbval_cell_timeout)
        else:
            runtest(self)

    file.setup, file.teardown, cell.runtest = setup_in_copy, teardown_with_copy, run_cell


if nbval is not None:

    class Kernel(nbval_kernel.RunningKernel):  # type: ignore[misc]  # nbval has no types
        """A kernel that hands over a cell's messages only when the cell has ended, folded."""

        home: Path
        """The folder of the notebook whose kernel is being made; nbval's constructor has no place for it."""

        def __init__(self, kernel_name: str, cwd: str | None = None, startup_timeout: float = 60) -> None:
            self._home, self._name, self._startup_timeout = self.home, kernel_name, startup_timeout
            self.cell: Any = None
            self._start()

        def _start(self) -> None:
            self._cell_id = ""
            self._folded: deque[dict[str, Any]] = deque()
            self._reply: dict[str, Any] = {}
            self._idle_seen: set[str] = set()
            with open(os.devnull, "w") as nowhere:
                self.km, self.kc = nbval_kernel.start_new_kernel(
                    startup_timeout=self._startup_timeout,
                    kernel_name=self._name,
                    stderr=nowhere,
                    cwd=str(self._home / "notebooks"),
                    env=os.environ
                    | {
                        "AIONLAB_DETERMINISTIC": "1",
                        "IPYTHONDIR": str(self._home / "ipython"),
                        "JUPYTER_DATA_DIR": str(self._home / "jupyter"),
                    },
                )
            self._ensure_iopub_up()

        def execute_cell_input(self, cell_input: str, allow_stdin: bool | None = None) -> Any:
            self._reply = {}
            self._folded.clear()
            # with history, as a front end does: without it a final `;` silences nothing and Out stays empty
            self._cell_id = self.kc.execute(cell_input, store_history=True, allow_stdin=allow_stdin, stop_on_error=False)
            return self._cell_id

        def await_reply(self, msg_id: str, timeout: float | None = None) -> None:
            """Wait for the reply to `msg_id`; raises Empty after `timeout` seconds, NbCellError when the kernel dies."""
            reply = self._reply_or_death(msg_id, timeout)
            if reply is None:
                self._fail("The kernel died while executing this cell.")
            self._reply = reply
            if reply["status"] == "aborted":
                raise RuntimeError("Kernel aborted execution request")

        def _reply_or_death(self, msg_id: str, timeout: float | None) -> dict[str, Any] | None:
            """The content of the reply, or None when the kernel is dead and will not give one."""
            deadline = None if timeout is None else monotonic() + timeout
            alive = True
            while True:
                try:
                    message = self.get_message("shell", timeout=_LOOK)
                except Empty:
                    if not alive:
                        return None
                    if deadline is not None and monotonic() > deadline:
                        raise
                    alive = self.is_alive()  # a last reply may still be on its way: look once more
                    continue
                if message["parent_header"].get("msg_id") == msg_id:
                    content: dict[str, Any] = message["content"]
                    return content

        def get_message(self, stream: str, timeout: float | None = None) -> dict[str, Any]:
            """As nbval's; on iopub, once a cell was sent, its folded messages and at last its idle."""
            if stream != "iopub" or not self._cell_id:
                message: dict[str, Any] = super().get_message(stream, timeout)
                return message
            if not self._folded:
                self._take_in(self._cell_id, timeout)
            return self._folded.popleft()

        def _take_in(self, cell_id: str, timeout: float | None) -> None:
            messages = []
            while True:
                message = super().get_message("iopub", timeout)
                if message["parent_header"].get("msg_id") == cell_id:
                    messages.append(message)
                    if _is_idle(message):
                        break
            self._idle_seen.add(cell_id)
            self._folded.extend(fold(messages))
            hidden = self._reply.get("status") == "error" and not any(m["msg_type"] == "error" for m in messages)
            if hidden and not self.cell.options["check_exception"]:
                self._fail(f"Cell failed without an error output: {self._reply.get('ename')}: {self._reply.get('evalue')}")

        def await_idle(self, parent_id: str, timeout: float) -> None:
            if parent_id not in self._idle_seen:
                super().await_idle(parent_id, timeout)

        def die_and_revive(self, source: str, timeout: float) -> None:
            """Run a cell that kills the kernel and start a new one; fails when the kernel lives on for `timeout` seconds."""
            try:
                reply = self._reply_or_death(self.execute_cell_input(source, allow_stdin=False), timeout)
            except Empty:
                self._fail(f"This cell is tagged {DIES}, and after {timeout:g} s its kernel is still alive.")
            if reply is not None and not self._dead_within(5):
                self._fail(f"This cell is tagged {DIES}, but its kernel answered: {reply['status']} {reply.get('evalue', '')}".rstrip())
            self.kc.stop_channels()
            self.km.cleanup_resources()
            self._start()

        def _dead_within(self, seconds: float) -> bool:
            """Whether the kernel, which has just replied, ends after all."""
            deadline = monotonic() + seconds
            while self.is_alive():
                if monotonic() > deadline:
                    return False
                try:
                    self.get_message("shell", timeout=_LOOK)
                except Empty:
                    continue
            return True

        def _fail(self, message: str) -> NoReturn:
            raise nbval.NbCellError(self.cell.cell_num, message, self.cell.cell.source)
