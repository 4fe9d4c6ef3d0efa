"""Run by any supported Python, with the standard library alone: prints what it makes of the golden files and of stored packages.

    python tests/code/other_python.py canonical FILE      the canonical text of each statement, one a line
    python tests/code/other_python.py versions            name → version of the notebooks of `kinds.py`, as JSON
    python tests/code/other_python.py run < documents     name → repr of what each package's workflow returns, as JSON
"""
import ast
import importlib.util
import json
import sys
import warnings
from pathlib import Path

warnings.simplefilter("ignore")
ROOT = Path(__file__).parents[2]


def canonical_lines(file: str) -> str:
    spec = importlib.util.spec_from_file_location("canonical", ROOT / "aionlab/code/canonical.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return "".join(module.canonical(node) + "\n" for node in ast.parse(Path(file).read_text("utf-8")).body)


def versions() -> dict[str, str]:
    from tests.code.cells import notebook
    from tests.code.kinds import KINDS, ORDER, cells_of

    found = {"ORDER": notebook(*ORDER).package().version}
    for kind in KINDS:
        try:
            found[kind] = notebook(*cells_of(kind)).package().version
        except ModuleNotFoundError:
            continue
    return found


def run() -> dict[str, str]:
    import asyncio

    from aionlab.code.build import build
    from aionlab.code.package import Package, version_of

    found = {}
    for label, document in json.load(sys.stdin).items():
        package = Package.from_document(document.encode())
        assert version_of(package) == package.version, label
        try:
            found[label] = repr(asyncio.run(build(package).function()))
        except Exception as error:
            if not isinstance(getattr(error, "cause", None), ModuleNotFoundError):
                raise
    return found


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    match sys.argv[1:]:
        case ["canonical", file]:
            sys.stdout.write(canonical_lines(file))
        case ["versions"]:
            print(json.dumps(versions()))
        case ["run"]:
            print(json.dumps(run()))
