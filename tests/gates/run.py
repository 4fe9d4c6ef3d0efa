"""The gates: checks of the source that need no running of it.

`python tests/gates/run.py [--root DIR] [NAME …]` runs them in order and exits 1 when any fails. Each gate has a test that
plants a violation in a copy of the checkout and sees it fail (test_gates.py).
"""
from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent

GATES: dict[str, list[str]] = {
    "ruff": [str(BIN / "ruff"), "check", "--quiet", "aionlab", "tests"],
    "imports": [str(BIN / "lint-imports"), "--no-logo"],
    "tests": [sys.executable, "tests/gates/conduct.py"],
    "mypy": [sys.executable, "-m", "mypy", "--no-error-summary"],
}


def run(name: str, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run one gate on the checkout at `root`; its returncode is 0 when the gate holds."""
    return subprocess.run(GATES[name], cwd=root, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", default=list(GATES), help=", ".join(GATES))
    parser.add_argument("--root", type=Path, default=ROOT)
    options = parser.parse_args()
    failed = []
    for name in options.names:
        begun = perf_counter()
        result = run(name, options.root)
        print(f"gate {name:8} {'holds' if result.returncode == 0 else 'FAILS':6} {perf_counter() - begun:5.1f} s", flush=True)
        if result.returncode:
            print(result.stdout, flush=True)
            failed.append(name)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
