"""What tests may not do: sleep, or skip past a missing environment unseen.

Read from the syntax tree, so cells of notebooks and programs that tests hold as text are free. A line may be excused with
`# sleeps: why` or `# skips: why`.
"""
from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ADVICE = {
    "sleeps": "wait for a condition or a fact, not for time to pass",
    "skips": "say what is needed with tests.environment.requires, so that CI fails without it",
}


def findings(source: str) -> Iterator[tuple[int, str]]:
    """Lines (from 1) and what each does that it may not."""
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            what = {
                "sleep": "sleeps" if isinstance(node.value, ast.Name) and node.value.id == "time" else None,
                "importorskip": "skips",
                "skipif": "skips",
            }.get(node.attr)
            if what and f"# {what}: " not in lines[node.lineno - 1]:
                yield node.lineno, what


def main() -> int:
    found = [
        f"{path}:{line}: {what}: {ADVICE[what]}"
        for path in sorted(Path("tests").rglob("*.py"))
        for line, what in findings(path.read_text(encoding="utf-8"))
    ]
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
