"""Real JupyterLab in real Chromium.

`JupyterLab(folder)` is a server on a free loopback port with settings, kernels' folders and a token of its own; `Lab` is a page
of it; `Notebook` is one notebook open in that page. Facts are read from the notebook's model and the kernel's connection
through `window.jupyterapp`, never from the page's elements: JupyterLab renders only the cells in view.
"""
from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, Playwright

from tests.environment import CHROMIUM

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)
LOOPBACK = {"127.0.0.1", "localhost"}
LIGHT, DARK = "JupyterLab Light", "JupyterLab Dark"
SECONDS = 1000
"""Playwright counts in milliseconds."""


def chromium(playwright: Playwright) -> Browser:
    return playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))


class JupyterLab:
    """A server of its own for the notebooks in a folder; a context manager."""

    def __init__(self, folder: Path, home: Path, **environment: str) -> None:
        self.folder, self._home, self._environment = folder, home, environment
        self.token = secrets.token_hex(16)
        self.log: list[str] = []

    def __enter__(self) -> JupyterLab:
        settings = self._home / "settings"
        _write(settings / "@jupyterlab/apputils-extension/notification.jupyterlab-settings", {"fetchNews": "false", "checkForUpdates": False})
        _write(settings / "@jupyterlab/notebook-extension/tracker.jupyterlab-settings", {"windowingMode": "none"})
        own = {f"JUPYTER_{what}_DIR": str(self._home / what.lower()) for what in ("CONFIG", "DATA", "RUNTIME")}
        self._process = subprocess.Popen(
            [
                sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0",
                f"--ServerApp.root_dir={self.folder}", f"--IdentityProvider.token={self.token}",
                "--LabApp.expose_app_in_browser=True", "--LabApp.extension_manager=readonly",
            ],
            cwd=self.folder, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=os.environ | own | {
                "IPYTHONDIR": str(self._home / "ipython"),
                "JUPYTERLAB_SETTINGS_DIR": str(settings),
                "JUPYTERLAB_WORKSPACES_DIR": str(self._home / "workspaces"),
            } | self._environment,
        )  # fmt: skip
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.log.append(line)
            if "http://127.0.0.1:" in line and "/lab?token=" in line:
                self.port = urlsplit(line[line.index("http://") :].strip()).port
                break
        else:
            raise RuntimeError("JupyterLab did not start:\n" + "".join(self.log))
        threading.Thread(target=self.log.extend, args=(self._process.stdout,), daemon=True).start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._process.send_signal(signal.SIGTERM)  # it shuts its kernels down
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def url(self, path: str = "") -> str:
        return f"http://127.0.0.1:{self.port}/lab{'/tree/' + path if path else ''}?reset&token={self.token}"

    @contextmanager
    def page(self, browser: Browser, width: int = 1280, height: int = 900) -> Iterator[Lab]:
        """A page with nothing remembered; at its end it must have spoken to this machine alone."""
        context = browser.new_context(viewport={"width": width, "height": height})
        lab = Lab(self, context.new_page())
        try:
            yield lab
        finally:
            context.close()
        lab.assert_nothing_foreign()


def _write(path: Path, settings: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings), encoding="utf-8")


class Lab:
    """A JupyterLab page."""

    def __init__(self, server: JupyterLab, page: Page) -> None:
        self.server, self.page = server, page
        self.requested: list[str] = []
        self.errors: list[str] = []
        page.set_default_timeout(60 * SECONDS)
        page.context.on("request", lambda request: self.requested.append(request.url))
        page.on("websocket", lambda socket: self.requested.append(socket.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def open(self, notebook: str) -> Notebook:
        """Load the page on a notebook and wait until its kernel is ready; the notebook must name its kernel."""
        self.page.goto(self.server.url(notebook))
        self.page.wait_for_function("window.jupyterapp !== undefined")
        self.wait_for("window.jupyterapp.restored")
        book = Notebook(self)
        self.page.wait_for_function(f"(path) => {PANEL}?.context?.path === path", arg=notebook)
        self.wait_for(f"{PANEL}.context.ready")
        self.wait_for(f"{PANEL}.sessionContext.ready")
        book.wait_until_idle()
        return book

    def command(self, name: str, **arguments: Any) -> None:
        """Run a command of JupyterLab and wait for its end."""
        self.wait_for("window.jupyterapp.commands.execute(arg.name, arg.args).then(() => null)", {"name": name, "args": arguments})

    def wait_for(self, promise: str, arg: Any = None, seconds: float = 120) -> Any:
        """Wait for a JavaScript promise made with `arg` and return what it yields, as JSON; playwright alone would wait for ever."""
        answer = self.page.evaluate(
            f"""([arg, ms]) => Promise.race([
                Promise.resolve({promise}).then(value => ({{value: value === undefined ? null : JSON.parse(JSON.stringify(value))}})),
                new Promise(done => setTimeout(done, ms, null))])""",
            [arg, seconds * SECONDS],
        )
        if answer is None:
            raise TimeoutError(f"not settled after {seconds:g} s: {promise}")
        return answer["value"]

    def theme(self, name: str) -> None:
        """Switch to `LIGHT` or `DARK` and wait until it is painted."""
        self.command("apputils:change-theme", theme=name)
        self.page.wait_for_function("(name) => document.body.dataset.jpThemeName === name", arg=name)

    def screenshot(self, path: Path) -> Path:
        """The page as it is, without the file browser, as PNG."""
        if self.page.evaluate("window.jupyterapp.shell.leftCollapsed") is False:
            self.command("application:toggle-left-area")
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=path, animations="disabled")
        return path

    def foreign(self) -> list[str]:
        """Addresses asked for that are not on this machine."""
        return [url for url in self.requested if urlsplit(url).scheme not in ("data", "blob") and urlsplit(url).hostname not in LOOPBACK]

    def assert_nothing_foreign(self) -> None:
        assert self.requested, "no request was seen at all: the listener is not at work"
        assert not self.foreign(), f"the page reached for other machines: {self.foreign()}"


PANEL = "window.jupyterapp.shell.currentWidget"


class Notebook:
    """The notebook in front; cells are numbered from 0, all kinds counted, as in the file."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.page = lab, lab.page

    def cells(self) -> list[dict[str, Any]]:
        """All cells as they would be saved."""
        found: list[dict[str, Any]] = self.page.evaluate(f"{PANEL}.context.model.sharedModel.toJSON().cells")
        return found

    def outputs(self, cell: int) -> list[dict[str, Any]]:
        """A code cell's outputs as nbformat has them."""
        found: list[dict[str, Any]] = self.page.evaluate(f"(n) => {PANEL}.context.model.cells.get(n).outputs.toJSON()", cell)
        return found

    def text(self, cell: int) -> str:
        """A code cell's outputs as plain text."""
        parts = []
        for output in self.outputs(cell):
            part = output.get("text") or output.get("data", {}).get("text/plain") or output.get("evalue", "")
            parts.append("".join(part) if isinstance(part, list) else part)
        return "".join(parts)

    def run(self, cell: int) -> None:
        """Run one cell and wait for its end."""
        self.page.evaluate(f"(n) => {{ {PANEL}.content.activeCellIndex = n; }}", cell)
        self.lab.command("notebook:run-cell")

    def start(self, cell: int) -> None:
        """Run one cell without waiting."""
        self.page.evaluate(f"(n) => {{ {PANEL}.content.activeCellIndex = n; window.jupyterapp.commands.execute('notebook:run-cell'); }}", cell)

    def run_all(self) -> None:
        """Run all cells; at the first that fails JupyterLab stops."""
        self.lab.command("notebook:run-all-cells")
        self.wait_until_idle()

    def wait_until_idle(self) -> None:
        self.page.wait_for_function(f"{PANEL}.sessionContext.session?.kernel?.status === 'idle'")

    def wait_for_text(self, cell: int, text: str) -> None:
        """Wait until a cell's outputs contain a text; for what arrives after the cell has ended."""
        self.page.wait_for_function(
            f"([n, text]) => JSON.stringify({PANEL}.context.model.cells.get(n).outputs.toJSON()).includes(text)", arg=[cell, text]
        )

    def evaluate(self, expression: str) -> str:
        """The repr of a Python expression in the kernel, unseen by the notebook."""
        reply: dict[str, Any] = self.lab.wait_for(
            f"""{PANEL}.sessionContext.session.kernel.requestExecute(
                {{code: '', silent: true, store_history: false, user_expressions: {{it: arg}}}}).done
                .then(reply => reply.content.user_expressions.it)""",
            expression,
        )
        if reply["status"] != "ok":
            raise RuntimeError(f"{reply['ename']}: {reply['evalue']}")
        text: str = reply["data"]["text/plain"]
        return text

    def wait_for_value(self, expression: str, value: str, attempts: int = 500) -> None:
        """Ask the kernel again and again until an expression has this repr."""
        found = ""
        for _ in range(attempts):
            found = self.evaluate(expression)
            if found == value:
                return
        raise AssertionError(f"{expression} is {found}, not {value}")

    def pid(self) -> int:
        return int(self.evaluate("__import__('os').getpid()"))

    def kill(self) -> None:
        """SIGKILL the kernel's process and wait until JupyterLab has started another and the page is connected to it."""
        old = self.pid()
        self._count_restarts()
        os.kill(old, signal.SIGKILL)
        self._wait_for_restart()
        assert self.pid() != old

    def run_to_death(self, cell: int) -> None:
        """Run a cell that kills its kernel, and wait as `kill` does."""
        self._count_restarts()
        self.start(cell)
        self._wait_for_restart()

    def restart(self) -> None:
        """Restart the kernel as the menu does, without the menu's question."""
        self.lab.wait_for(f"{PANEL}.sessionContext.session.kernel.restart()")
        self.wait_until_idle()

    def _count_restarts(self) -> None:
        self.page.evaluate(
            f"""() => {{ window.restarts = 0; {PANEL}.sessionContext.statusChanged.connect(
                (_, status) => {{ if (status === 'autorestarting') window.restarts += 1; }}); }}"""
        )

    def _wait_for_restart(self) -> None:
        self.page.wait_for_function("window.restarts > 0")
        self.dismiss()
        self.wait_until_idle()

    def dismiss(self) -> None:
        """Close JupyterLab's message that the kernel has died."""
        self.page.locator(".jp-Dialog").wait_for()
        self.page.locator(".jp-Dialog .jp-mod-accept").click()
        self.page.locator(".jp-Dialog").wait_for(state="detached")

    def save(self) -> None:
        self.lab.command("docmanager:save")

    def show(self, cell: int) -> None:
        """Scroll a cell into view."""
        self.lab.wait_for(f"{PANEL}.content.scrollToItem(arg, 'start')", cell)
