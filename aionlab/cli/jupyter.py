"""`aionlab lab`: JupyterLab, opened on the notebooks."""
from __future__ import annotations

import argparse
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def add(commands: Any) -> None:
    command = commands.add_parser("lab", help="open JupyterLab on the notebooks", description=__doc__)
    command.add_argument("folder", nargs="?", type=Path, help="default: notebooks/ here if there is one, else this folder")
    command.add_argument("--no-browser", action="store_true", help="print the address instead of opening a browser")
    command.set_defaults(do=lab)


def lab(options: argparse.Namespace) -> int:
    """Become JupyterLab, until it is stopped; returns only when it isn't installed."""
    if find_spec("jupyterlab") is None:
        print("JupyterLab is not installed: pip install 'aionlab[lab]'", file=sys.stderr)
        return 1
    folder: Path = options.folder or (Path("notebooks") if Path("notebooks").is_dir() else Path())
    command = [sys.executable, "-m", "jupyterlab", "--ServerApp.ip=127.0.0.1", str(folder)]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # the usual user of a container; the server listens on loopback, with a token
    if options.no_browser:
        command.append("--no-browser")
    sys.stdout.flush()
    os.execv(sys.executable, command)  # so that Ctrl-C and the terminal are JupyterLab's own
