"""Stored code that runs: tracebacks, line numbers, names given away, failures, and when a capture is out of date."""
from __future__ import annotations

import linecache
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest

from aionlab.code.build import BuildFailed, build, register_sources
from aionlab.code.capture import still_current
from aionlab.code.package import Package, version_of
from tests.code.cells import Notebook, notebook, run_built


def test_tracebacks_read_as_in_the_cell() -> None:
    book = notebook("\n\ndef half(n):\n    # comment\n    return 1 / n", "# my workflow\n\n@workflow\nasync def order(n=0):\n\n    return half(n)")
    found = book.capture()
    stem = f"order@{found.package.short}"
    for spoil in (lambda: None, linecache.checkcache, linecache.clearcache):
        spoil()
        register_sources(found.package)
        with pytest.raises(ZeroDivisionError) as raised:
            run_built(found.built)
        text = "".join(traceback.format_exception(raised.value))
        assert f'File "{stem}", line 6, in order\n    return half(n)' in text
        assert f'File "{stem}/In[1]", line 3, in half\n    return 1 / n' in text


def test_the_private_module() -> None:
    book = notebook("from dataclasses import dataclass\n@dataclass\nclass O:\n    n: 'int' = 1", "@workflow\nasync def order(): return O")
    found = book.capture()
    name = f"aionlab.code.order_{found.package.short}"
    assert sys.modules[name] is found.built.module and run_built(found.built).__module__ == name
    again = book.capture()
    assert sys.modules[name] is found.built.module, "a build in use keeps its place"
    again.built.install()
    assert sys.modules[name] is again.built.module
    again.built.close()
    assert name not in sys.modules


def test_mutable_constants_are_copied_per_version() -> None:
    book = notebook("seen = []\nclass Cfg:\n    xs = [1]", "@workflow\nasync def order():\n    seen.append(1)\n    return len(seen)")
    found = book.capture()
    assert found.package.mutable_constants() == ("seen",)
    assert (run_built(found.built), run_built(found.built), run_built(build(found.package))) == (1, 2, 1)
    assert book.namespace["seen"] == []


def test_runs_in_flight_keep_their_version() -> None:
    book = notebook("def rate(): return 1", "@workflow\nasync def order(): return rate()")
    first = book.capture()
    book.cell("def rate(): return 2")
    second = book.capture()
    assert (run_built(first.built), run_built(second.built)) == (1, 2) and first.package.version != second.package.version


CHANGES = {
    "helper": "def rate(): return 2",
    "constant": "K = 2",
    "constant in place": "L.append(1)",
    "class": "class C:\n    x = 2",
    "class attribute": "C.x = 2",
    "code in place": "rate.__code__ = (lambda: 5).__code__",
    "default in place": "rate.__defaults__ = ()",
    "name gone": "del K",
    "field of a value": "CFG.n = 5",
    "registered": "@show.register\ndef _(x: int): return 'int'",
}


@pytest.mark.parametrize("what", CHANGES)
def test_still_current_until_something_reached_changes(what: str) -> None:
    book = notebook(
        "def rate(): return 1\nK = 1\nL = []\nclass C:\n    x = 1\nunused = 1",
        "from dataclasses import dataclass\nfrom functools import singledispatch\n@dataclass\nclass Cfg:\n    n: int = 1\nCFG = Cfg()\n"
        "@singledispatch\ndef show(x): return 'any'",
        "@workflow\nasync def order(): return rate(), K, L, C.x, CFG, show(1)",
    )
    found = book.capture()
    assert still_current(found.package, found.live)
    book.cell("unused = 2\ndef other(): ...")
    assert still_current(found.package, found.live)
    book.cell(CHANGES[what])
    assert not still_current(found.package, found.live)


def test_still_current_sees_reloaded_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    (tmp_path / "aion_fresh.py").write_text("def f(): return 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    book = notebook("import aion_fresh", "@workflow\nasync def order(): return aion_fresh.f()")
    found = book.capture()
    (tmp_path / "aion_fresh.py").write_text("def f(): return 22\n")
    assert still_current(found.package, found.live), "the file changed, the module did not"
    importlib.invalidate_caches()
    importlib.reload(book.namespace["aion_fresh"])
    assert not still_current(found.package, found.live)
    assert (run_built(found.built), run_built(book.capture().built)) == (1, 22)


def test_a_build_that_fails_leaves_nothing_and_says_where() -> None:
    book = notebook("import json\nclass C:\n    x = json.dumps", "@workflow\nasync def order(): return C")
    package = book.package()
    text = package.to_document().replace(b'["import","json","",[]]', b'["import","no_such_module","",[]]')
    sys.modules.pop(f"aionlab.code.order_{package.short}")
    with pytest.raises(BuildFailed, match=r"order@\w{7} cannot be built here: ModuleNotFoundError: No module named 'no_such_module'"):
        build(Package.from_document(text))
    assert f"aionlab.code.order_{package.short}" not in sys.modules


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b'{"package":2}', b'{"package":1}', b"\xff", b'{"package":1,"workflow_type":3}'])
def test_what_is_no_package(document: bytes) -> None:
    with pytest.raises(ValueError):
        Package.from_document(document)


def test_reading_listing_and_verifying_executes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A package whose every part would leave a mark if it ran."""
    mark = tmp_path / "mark"
    (tmp_path / "aion_canary.py").write_text(f"open({str(mark)!r}, 'a').write('x')\ndef f(): return 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    book = Notebook()
    book.namespace["PATH"] = str(mark)
    book.cell("import aion_canary")
    book.cell("def boom(f):\n    open(PATH, 'a').write('x')\n    return f\n\n@boom\ndef helper(): return aion_canary.f()\n\n"
              "class C:\n    open(PATH, 'a').write('x')\n\n@activity\ndef act(x: C): ...")
    book.cell("@workflow\nasync def order(): return helper(), C, act")
    document = book.package().to_document()
    sys.modules.pop("aion_canary")
    mark.unlink()

    from aionlab.code import trust

    seen: list[str] = []
    armed = True

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if armed and event in ("exec", "import", "open"):
            seen.append(f"{event} {arguments[:1]}")

    sys.addaudithook(hook)
    try:
        package = Package.from_document(document)
        assert version_of(package) == package.version
        package.sources(), package.imports(), package.constants(), package.mutable_constants(), package.file_name
        register_sources(package)
        assert package.to_document() == document
        signature = trust.sign(b"s" * 32, "lab", document)
        assert trust.verify(b"s" * 32, "lab", document, signature)
    finally:
        armed = False
    assert seen == [] and not mark.exists()
    assert sum(code.text.count("open(PATH") for code in package.codes) == 2
    build(package)
    assert mark.exists(), "the canary sings when built"


def test_hostile_references_are_refused() -> None:
    package = notebook("K = 1", "@workflow\nasync def order(): return K").package()
    for hostile in (["call", "os.system", ["true"]], ["made", 99, "x"], ["import"], ["object", ["import", "os", "system", []], []], ["enum", 1, "x"]):
        text = package.to_document().replace(b'"names":{"K":1}', b'"names":{"K":' + __import__("json").dumps(hostile).encode() + b"}")
        assert text != package.to_document()
        stored = Package.from_document(text)
        assert version_of(stored) != stored.version
        with pytest.raises(BuildFailed):
            build(stored)
