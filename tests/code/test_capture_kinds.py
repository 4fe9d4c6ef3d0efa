"""Kinds of globals a workflow can reach: each gives the same live, rebuilt, and rebuilt in a fresh interpreter."""
from __future__ import annotations

import sys
from pathlib import Path

import pytest

from aionlab.code.build import build
from aionlab.code.package import Package, version_of
from tests.code.cells import Notebook, notebook, run, run_built
from tests.code.kinds import KINDS, cells_of


@pytest.mark.parametrize("kind", KINDS)
def test_live_is_rebuilt(kind: str) -> None:
    book = notebook(*cells_of(kind))
    live = repr(run(book.namespace["order"].fn))
    found = book.capture()
    assert repr(run_built(found.built)) == live
    document = found.package.to_document()
    again = Package.from_document(document)
    assert again == found.package and again.to_document() == document and version_of(again) == again.version
    assert repr(run_built(build(again))) == live
    found.built.close()


def test_classes_of_a_version_are_found_by_recorded_name() -> None:
    from aionlab.core.classes import recorded_name

    book = notebook("from dataclasses import dataclass\n@dataclass\nclass Order:\n    n: int\n    class In: ...",
                    "@workflow\nasync def order(o: Order): return isinstance(o, Order)")
    built = book.capture().built
    made = built.resolve("Order")
    assert made is not None and made is not book.namespace["Order"]
    assert recorded_name(made) == recorded_name(book.namespace["Order"]) == "Order"
    assert built.resolve("Order.In") is made.In and built.resolve("__main__:Order") is made and built.resolve("Nothing") is None  # type: ignore[attr-defined]
    assert run_built(built, made(1)) is True and run_built(built, book.namespace["Order"](1)) is False


def test_annotations_of_references_mean_the_versions_classes() -> None:
    book = notebook("class R: ...\nclass O: ...", "@activity\ndef charge(o: O, n: int = 3) -> R: ...", "@workflow\nasync def order(): return charge")
    built = book.capture().built
    reference = run_built(built)
    assert reference.name == "charge" and reference._returns() is built.resolve("R")
    assert str(reference.signature) == "(o: 'O', n: 'int' = Ellipsis) -> 'R'"


def test_the_lab_may_say_what_stands_for_activities() -> None:
    book = notebook("@activity\ndef charge(o): ...\n@workflow(name='send')\nasync def ship(): ...", "@workflow\nasync def order(): return charge, ship")
    built = build(book.package(), make_activity=lambda name, stub: ("a", name, stub.__name__), make_workflow=lambda name, stub: ("w", name))
    assert run_built(built) == (("a", "charge", "charge"), ("w", "send"))


def test_user_modules_are_stored_and_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "aion_shop").mkdir()
    (tmp_path / "aion_shop" / "__init__.py").write_text("from .prices import price\nfrom . import extra\nSTATE = []\n")
    (tmp_path / "aion_shop" / "prices.py").write_text("from aion_rates import RATE\n\ndef price(n):\n    return n * RATE\n")
    (tmp_path / "aion_shop" / "extra.py").write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\nimport aion_shop\n\n@dataclass\nclass Item:\n    n: int = 4\n"
        "def make(k):\n    def f(x): return x * k * Item().n\n    return f\n"
    )
    (tmp_path / "aion_rates.py").write_text("RATE = 3\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    cells = ["import aion_shop\nfrom aion_shop import price as p\nfrom aion_shop.extra import make, Item", "f = make(2)",
             "@workflow\nasync def order():\n    from aion_shop.extra import Item as I2\n    import aion_shop.extra as ex\n"
             "    return p(2), aion_shop.extra.Item().n, f(1), I2 is Item, ex.Item is Item, p.__module__"]
    book = notebook(*cells)
    found = book.capture()
    package = found.package
    assert [m.name for m in package.modules] == ["aion_rates", "aion_shop", "aion_shop.extra", "aion_shop.prices"]
    private = f"aionlab.code.order_{package.short}.aion_shop.prices"
    assert run_built(found.built) == (6, 4, 8, True, True, private)
    assert found.built.resolve("aion_shop.extra:Item") is not book.namespace["Item"]
    assert found.built.resolve("Item") is found.built.resolve("aion_shop.extra:Item") is not None
    # a comment keeps the version, another rate does not
    (tmp_path / "aion_rates.py").write_text("# the rate\nRATE = 3\n")
    assert notebook(*cells).package().version == package.version
    (tmp_path / "aion_rates.py").write_text("RATE = 30\n")
    assert notebook(*cells).package().version != package.version
    # the live module is the old one still, the stored text runs without the files
    for name in [m for m in sys.modules if m.startswith("aion_")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.undo()
    assert run_built(build(Package.from_document(package.to_document())))[0] == 6


def test_a_changed_file_that_was_not_reloaded_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from aionlab.core.errors import CodeRefused

    (tmp_path / "aion_stale.py").write_text("def f(): return 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    book = notebook("import aion_stale", "@workflow\nasync def order(): return aion_stale.f()")
    book.package()
    (tmp_path / "aion_stale.py").write_text("def f(): return 22\n")
    with pytest.raises(CodeRefused) as refused:
        book.capture()
    assert refused.value.findings == ("aion_stale.f is not what its source now gives: aion_stale.py has changed since it was imported: importlib.reload(aion_stale)",)


def test_workflows_of_plain_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from aionlab.code.capture import capture_live
    from aionlab.code.ledger import Ledger

    (tmp_path / "aion_orders.py").write_text(
        "from aionlab import workflow, activity\nfrom decimal import Decimal\nRATE = Decimal('0.5')\n\ndef tax(n):\n    return n * RATE\n\n\n"
        "@workflow\nasync def order(n=2):\n    return tax(n)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import aion_orders  # type: ignore[import-not-found]

    found = capture_live(aion_orders.order, Ledger())
    assert run_built(found.built) == run(aion_orders.order.fn) and found.package.files == ("aion_orders.py",)
    assert [code.line for code in found.package.codes] == [9, 5]
    book = notebook("from aion_orders import order")
    assert capture_live(book.namespace["order"], book.ledger).package.version == found.package.version


def test_what_ipython_puts_in_the_place_of_builtins_is_no_finding() -> None:
    book = Notebook()
    theirs = type("Opener", (), {"__module__": "IPython.core.interactiveshell", "__call__": lambda self: 0})()
    book.namespace["open"] = book.namespace["exit"] = theirs
    book.cell("@workflow\nasync def order(): return open.__name__")
    found = book.capture()
    assert run_built(found.built) == "open" and not found.package.names
    assert found.package.version == notebook("@workflow\nasync def order(): return open.__name__").package().version


def test_a_ledger_is_seeded_by_linecache_where_cells_were_not_noted() -> None:
    import linecache

    book = Notebook()
    source = "class Unseen:\n    def f(self): return 3\n@workflow\nasync def order(): return Unseen().f()\n"
    exec(compile(source, "/tmp/ipykernel_unseen/1.py", "exec"), book.namespace)
    linecache.cache["/tmp/ipykernel_unseen/1.py"] = (len(source), None, source.splitlines(True), "x")
    assert run_built(book.capture().built) == 3
