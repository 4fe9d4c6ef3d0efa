"""A real kernel for tests: run a cell, see what a front end would be told."""
from __future__ import annotations

import sys
import time
from pathlib import Path
from queue import Empty
from typing import Any

from jupyter_client import KernelManager
from jupyter_client.kernelspec import KernelSpec


class Shown:
    """What one cell led to."""

    def __init__(self) -> None:
        self.reply: dict[str, Any] = {}
        self.error: dict[str, Any] | None = None
        self.result: str | None = None
        self.bundles: list[dict[str, Any]] = []
        self.streams = ""
        self.seconds = 0.0


class Kernel:
    """A kernel of this Python, with a notebook's folder as its own."""

    def __init__(self, folder: Path, env: dict[str, str] | None = None) -> None:
        import os

        self.folder, self.env = folder, {**os.environ, "IPYTHONDIR": str(folder / ".ipython"), **(env or {})}
        self.env["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[2]), self.env.get("PYTHONPATH", "")])

    def __enter__(self) -> Kernel:
        self.manager = KernelManager()
        self.manager._kernel_spec = KernelSpec(argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], language="python")
        self.manager.start_kernel(cwd=str(self.folder), env=self.env)
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)
        return self

    def __exit__(self, *exc: object) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def execute(self, cell: str, interrupt_when: str | None = None, timeout: float = 60) -> Shown:
        """Run a cell to its end; the kernel is interrupted once `interrupt_when` stands in its output."""
        shown, begun = Shown(), time.monotonic()
        request = self.client.execute(cell, stop_on_error=False)
        while True:
            try:
                message = self.client.get_iopub_msg(timeout=timeout)
            except Empty:
                raise TimeoutError(f"{cell!r} did not end") from None
            if message["parent_header"].get("msg_id") != request:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                shown.streams += content["text"]
            elif kind == "error":
                shown.error = content
            elif kind in ("execute_result", "display_data"):
                shown.bundles.append(content["data"])
                if kind == "execute_result":
                    shown.result = content["data"]["text/plain"]
            elif kind == "status" and content["execution_state"] == "idle":
                break
            text = shown.streams + "".join(bundle.get("text/plain", "") for bundle in shown.bundles)
            if interrupt_when is not None and interrupt_when in text:
                interrupt_when = None
                self.manager.interrupt_kernel()
        shown.reply = self._reply(request, timeout)
        shown.seconds = time.monotonic() - begun
        return shown

    def run(self, cell: str) -> Shown:
        """As `execute`, for a cell that must not fail."""
        shown = self.execute(cell)
        assert shown.error is None and shown.reply["status"] == "ok", "\n".join((shown.error or {}).get("traceback", [])) or shown.streams
        return shown

    def value(self, expression: str) -> str:
        """The plain text of an expression's value."""
        result = self.run(expression).result
        assert result is not None
        return result

    def complete(self, code: str) -> list[str]:
        return list(self._reply(self.client.complete(code), 60)["matches"])

    def _reply(self, request: str, timeout: float) -> dict[str, Any]:
        while True:
            message = self.client.get_shell_msg(timeout=timeout)
            if message["parent_header"].get("msg_id") == request:
                content: dict[str, Any] = message["content"]
                return content
