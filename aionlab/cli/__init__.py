"""The terminal front: `aionlab COMMAND`.

Each command is a module with `add(commands)`, which describes its options and names the function that does it. A command
returns the exit code.
"""
from __future__ import annotations

import argparse
from collections.abc import Sequence

from . import demo, jupyter

COMMANDS = (demo, jupyter)


def parser() -> argparse.ArgumentParser:
    """The whole command line, as argparse describes it."""
    root = argparse.ArgumentParser(prog="aionlab", description="Durable workflows in Jupyter.")
    commands = root.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in COMMANDS:
        module.add(commands)
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (default: the process's own) and return its exit code."""
    options = parser().parse_args(arguments)
    code: int = options.do(options)
    return code
