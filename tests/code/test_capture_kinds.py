"""Kinds of globals a workflow can reach: each gives the same live, rebuilt, and rebuilt in a fresh interpreter."""
from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from aionlab.code.build import build
from aionlab.code.package import Package, version_of
from tests.code.cells import Notebook, notebook, run, run_built

# name → (cells, what `order()` returns). The last cell defines the workflow.
KINDS: dict[str, tuple[list[str], object]] = {
    "import": (["import math"], "math.floor(2.5)"),
    "import as": (["import math as m"], "m.floor(2.5)"),
    "from import": (["from math import floor as f, pi"], "(f(2.5), pi)"),
    "submodule": (["import xml.etree.ElementTree"], "xml.etree.ElementTree.fromstring('<a b=\"1\"/>').get('b')"),
    "submodule as": (["import xml.dom.minidom as md"], "md.parseString('<a/>').documentElement.tagName"),
    "import inside": ([], "__import__('json').dumps([1])"),
    "conditional import": (["try:\n    import no_such_module_here as js\nexcept ImportError:\n    import json as js"], "js.dumps([1])"),
    "installed package": (["import attrs", "@attrs.define\nclass P:\n    x: int"], "P(3).x"),
    "helper": (["def tax(n): return n * 2"], "tax(4)"),
    "helper of helper": (["RATE = 3\ndef a(n): return b(n) + 1", "def b(n): return n * RATE"], "a(4)"),
    "async helper": (["async def fetch(n): return n + 1"], "await fetch(1)"),
    "generator helper": (["def items(n):\n    for i in range(n):\n        yield i * i"], "list(items(4))"),
    "mutual recursion": (["def even(n): return n == 0 or odd(n - 1)", "def odd(n): return n != 0 and even(n - 1)"], "even(10), odd(7)"),
    "lambda": (["sq = lambda x: x * x"], "sq(5)"),
    "two lambdas on a line": (["ops = {'a': lambda x: x + 1, 'b': lambda x: x + 2}"], "[ops[k](1) for k in sorted(ops)]"),
    "dispatch table": (["def a(): return 1\ndef b(): return 2", "TABLE = {'a': a, 'b': b}"], "TABLE['a']() + TABLE['b']()"),
    "closure": (["def make(k):\n    def add(x, y=k): return x + y + k\n    return add", "add3 = make(3)"], "add3(1)"),
    "closure over a function": (["def twice(f):\n    def g(x): return f(f(x))\n    return g", "def inc(x): return x + 1", "inc2 = twice(inc)"], "inc2(1)"),
    "closures of each other": (
        ["def pair():\n    def a(n): return 'a' if n == 0 else b(n - 1)\n    def b(n): return 'b' if n == 0 else a(n - 1)\n    return a, b", "a, b = pair()"],
        "a(3), b(3)",
    ),
    "decorator": (["import functools\ndef loud(f):\n    @functools.wraps(f)\n    def g(*a): return str(f(*a)) + '!'\n    return g",
                   "@loud\ndef hi(n): return n"], "hi(3)"),
    "cached function": (["from functools import lru_cache", "@lru_cache(maxsize=8)\ndef fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)"], "fib(20)"),
    "class": (["class P:\n    def __init__(self, x): self.x = x\n    def twice(self): return P(self.x * 2)"], "P(4).twice().x"),
    "class without methods": (["class Cfg:\n    r = 9\n    s = 'x'"], "Cfg.r, Cfg.s"),
    "subclass": (["class A:\n    k = 1\n    def f(self): return self.k", "class B(A):\n    k = 2\n    def f(self): return super().f() + 10"], "B().f()"),
    "nested class": (["class Out:\n    class In:\n        x = 5"], "Out.In.x"),
    "property, class and static method": (
        ["class P:\n    @property\n    def a(self): return 1\n    @classmethod\n    def b(cls): return cls.__name__\n    @staticmethod\n    def c(): return 3"],
        "P().a, P.b(), P.c()",
    ),
    "exception": (["class OutOfStock(ValueError):\n    def __init__(self, n): super().__init__(n); self.n = n",
                   "def take(n):\n    raise OutOfStock(n)",
                   "def attempt():\n    try:\n        take(3)\n    except OutOfStock as e:\n        return e.n"], "attempt()"),
    "dataclass": (["from dataclasses import dataclass, field, replace", "@dataclass(frozen=True)\nclass O:\n    n: int\n    xs: list = field(default_factory=list)"], "replace(O(1), n=2)"),
    "dataclass value": (["from dataclasses import dataclass\n@dataclass\nclass Cfg:\n    r: float\n    to: list", "CFG = Cfg(0.5, [1, (2, 3)])"], "CFG.r, CFG.to"),
    "pydantic": (["from pydantic import BaseModel, field_validator",
                  "class O(BaseModel):\n    n: int = 1\n    @field_validator('n')\n    @classmethod\n    def up(cls, v): return v + 1"], "O(n='4').n"),
    "pydantic value": (["from pydantic import BaseModel\nclass O(BaseModel):\n    n: int = 1", "DEF = O(n=7)"], "DEF.n"),
    "enum": (["from enum import Enum\nclass Color(Enum):\n    RED = 1\n    BLUE = 'b'", "FAV = Color.BLUE"], "FAV is Color.BLUE, Color(1).name"),
    "flag": (["import enum\nclass Can(enum.Flag):\n    R = enum.auto()\n    W = enum.auto()", "BOTH = Can.R | Can.W"], "BOTH.value, Can.W in BOTH"),
    "namedtuple": (["from collections import namedtuple\nP = namedtuple('P', 'x y')", "HERE = P(1, 2)"], "HERE.x + P(3, 4).y"),
    "NamedTuple class": (["from typing import NamedTuple\nclass P(NamedTuple):\n    x: int\n    y: int = 2"], "P(1)._asdict()"),
    "typing alias": (["from typing import Optional\nIds = dict[str, int]\nMaybe = Optional[Ids]\nBoth = int | str"], "str(Ids), str(Maybe), isinstance(1, Both)"),
    "TypeVar and NewType": (["from typing import TypeVar, NewType, Generic\nT = TypeVar('T')\nUid = NewType('Uid', int)",
                             "class Box(Generic[T]):\n    def __init__(self, v: T): self.v = v"], "Box[int](Uid(3)).v"),
    "partial": (["from functools import partial\ndef add(a, b): return a + b", "add5 = partial(add, 5)"], "add5(1)"),
    "singledispatch": (
        ["from functools import singledispatch\n@singledispatch\ndef show(x): return 'any'",
         "@show.register\ndef _(x: int): return 'int'", "@show.register(str)\ndef _(x): return 'str'"],
        "show(1), show('a'), show(2.5)",
    ),
    "redefined helper": (["def rate(): return 1", "old_rate = rate", "def rate(): return old_rate() + 10"], "rate()"),
    "alias of a class": (["class Order:\n    n = 3", "O = Order"], "O.n, Order is O"),
    "plain values": (["N = 3; S = 'é\\u2028'; B = b'\\xff'; F = float('inf'); C = 1 - 2j; BIG = 10 ** 50; E = ...; T = (1, None, True)"],
                     "N, S, B, F, C, BIG, E, T"),
    "containers": (["from collections import Counter, deque, defaultdict, OrderedDict",
                    "L = [1, [2]]; D = {'b': 1, 'a': {2: 3}}; ST = {3, 1, 2}; FS = frozenset('a'); CO = Counter('aab'); DQ = deque([1], 3); DD = defaultdict(list, a=[1])"],
                   "L, D, ST, FS, CO, DQ, DD"),
    "decimal, fraction, uuid, path, range, regex": (
        ["from decimal import Decimal\nfrom fractions import Fraction\nfrom uuid import UUID\nfrom pathlib import Path\nimport re",
         "V = [Decimal('1.10'), Fraction(1, 3), UUID(int=5), Path('/a/b'), range(1, 9, 2)]\nR = re.compile(r'(\\d+)', re.I)"],
        "V, R.findall('a1b22')",
    ),
    "datetime family": (
        ["from datetime import *\nfrom zoneinfo import ZoneInfo",
         "V = [datetime(2024, 1, 2, 3, tzinfo=UTC), date(2024, 1, 2), time(1, 2, fold=1), timedelta(days=-1, seconds=3), timezone(timedelta(hours=2), 'X'),"
         " datetime(2024, 6, 1, tzinfo=ZoneInfo('Europe/Berlin'))]"],
        "V",
    ),
    "logger": (["import logging\nlog = logging.getLogger('shop')"], "log.name"),
    "retry policy": (["FAST = Retry(max_attempts=3, initial='10ms')"], "FAST.max_attempts, FAST.initial"),
    "activity": (["from dataclasses import dataclass\n@dataclass\nclass R:\n    ok: bool", "@activity(retry=3)\ndef charge(n: int, r: R = None) -> R: return R(True)"],
                 "charge.name, charge.aion_kind, charge.__name__"),
    "list of activities": (["@activity\ndef a(): ...\n@activity\ndef b(): ...", "STEPS = [a, b]"], "[s.name for s in STEPS]"),
    "child workflow": (["@workflow\nasync def ship(n): return n"], "ship.name, ship.aion_kind"),
    "itself": ([], "order.name"),
    "undefined annotation": (["from __future__ import annotations\ndef f(x: NoSuchType) -> 'Neither': return x"], "f(2)"),
    "quoted annotation": (["from dataclasses import dataclass, fields\n@dataclass\nclass Node:\n    n: int = 1\n    next: 'Node | None' = None"], "Node(next=Node(2)).next.n"),
    "comprehensions, walrus, match": (
        ["K = [3, 1, 2]\ndef f(v):\n    match v:\n        case {'a': [x, *rest], **more}: return x, rest, more\n        case str() as s: return s\n        case _: return None"],
        "sorted(y for x in K if (y := x + 1) > 2), f({'a': [1, 2], 'b': 3}), f('s'), [k for k in K for K2 in [k]]",
    ),
    "builtins": ([], "sum(map(int, '123')), max(1, 2), isinstance(1, int)"),
    "own function called display": (["def display(x): return x + 1"], "display(1)"),
}


def cells_of(kind: str) -> list[str]:
    cells, expression = KINDS[kind]
    return [*cells, f"@workflow\nasync def order():\n    return {expression}"]


@pytest.fixture(scope="module")
def captured() -> dict[str, object]:
    return {}


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


def test_live_is_rebuilt_in_a_fresh_interpreter() -> None:
    wanted, documents = {}, {}
    for kind in KINDS:
        book = notebook(*cells_of(kind))
        wanted[kind] = repr(run(book.namespace["order"].fn)).replace("__main__.", "")
        documents[kind] = book.package().to_document().decode()
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, str(Path(__file__).with_name("fresh.py"))], input=json.dumps(documents), text=True,
                          capture_output=True, cwd=root, env={"PYTHONPATH": str(root), "PYTHONHASHSEED": "7"}, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout) == wanted


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


def test_a_ledger_is_seeded_by_linecache_where_cells_were_not_noted() -> None:
    import linecache

    book = Notebook()
    source = "class Unseen:\n    def f(self): return 3\n@workflow\nasync def order(): return Unseen().f()\n"
    exec(compile(source, "/tmp/ipykernel_unseen/1.py", "exec"), book.namespace)
    linecache.cache["/tmp/ipykernel_unseen/1.py"] = (len(source), None, source.splitlines(True), "x")
    assert run_built(book.capture().built) == 3
