"""Notebooks that tests capture: kinds of globals, and a workflow with a bit of everything. Imports nothing, so that any Python reads it."""
from __future__ import annotations

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
    "code put into a function": (["def h(x=1): return x", "h.__code__ = (lambda x=1: x + 1).__code__"], "h()"),
    "class method by another name": (["from datetime import date\nclass A:\n    @classmethod\n    def f(cls): return cls.__name__", "h = A.f; of = date.fromisoformat"],
                                     "h(), of('2024-01-02')"),
    "sentinel": (["GONE = object()\ndef f(x=GONE): return x is GONE"], "f(), f(1)"),
    "stacked decorators": (["import functools\ndef a(f): return functools.wraps(f)(lambda *x: f(*x) + 1)\ndef b(f): return functools.wraps(f)(lambda *x: f(*x) * 2)",
                            "@a\n@b\ndef h(x): return x"], "h(3)"),
    "context managers": (["from contextlib import contextmanager\n@contextmanager\ndef cm(n):\n    yield n", "def use():\n    with cm(1) as a: return a"], "use()"),
    "abstract, protocol, typed dict": (
        ["import abc\nfrom typing import Protocol, TypedDict, runtime_checkable",
         "class A(abc.ABC):\n    @abc.abstractmethod\n    def f(self): ...\nclass B(A):\n    def f(self): return 1\n"
         "@runtime_checkable\nclass P(Protocol):\n    def f(self) -> int: ...\nclass T(TypedDict, total=False):\n    a: int"],
        "B().f(), isinstance(B(), P), T(a=1)",
    ),
    "metaclass and class decorator": (
        ["class M(type):\n    @property\n    def z(cls): return 5\ndef reg(**k):\n    def d(c):\n        c.extra = k\n        return c\n    return d",
         "@reg(a=1)\nclass A(metaclass=M): ..."], "A.z, A.extra",
    ),
    "overloads": (["from typing import overload\n@overload\ndef f(x: int) -> int: ...\n@overload\ndef f(x: str) -> str: ...\ndef f(x): return x"], "f(1)"),
    "star import": (["from math import *"], "floor(2.5), pi"),
    "generic pydantic": (
        ["from pydantic import BaseModel, Field, computed_field\nfrom typing import Generic, TypeVar, Optional, Annotated\nT = TypeVar('T')\nPos = Annotated[int, Field(gt=0)]",
         "class Item(BaseModel):\n    n: Pos = 1\nclass Box(BaseModel, Generic[T]):\n    items: list[T] = Field(default_factory=list)\n    nxt: Optional['Box'] = None\n"
         "    @computed_field\n    @property\n    def total(self) -> int: return sum(i.n for i in self.items)"],
        "Box[Item](items=[{'n': 2}]).model_dump()",
    ),
    "builtins": ([], "sum(map(int, '123')), max(1, 2), isinstance(1, int)"),
    "own function called display": (["def display(x): return x + 1"], "display(1)"),
}


def cells_of(kind: str) -> list[str]:
    cells, expression = KINDS[kind]
    return [*cells, f"@workflow\nasync def order():\n    return {expression}"]


CELL_1 = """
from decimal import Decimal
from dataclasses import dataclass
from enum import Enum
import math
RATES = {"de": Decimal("0.19"), "fr": Decimal("0.20")}
LIMIT = 1000
"""
CELL_2 = '''
class Size(Enum):
    S = 1
    L = 2

@dataclass(frozen=True)
class Order:
    """An order."""
    n: int
    size: Size = Size.S

def tax(order, land="de"):
    """The tax."""
    if order.n > LIMIT:
        return Decimal(0)
    elif land not in RATES:
        raise KeyError(f"no rate for {land!r:>10}")
    return order.n * RATES[land]

@activity(retry=3)
def charge(order: Order, times: int = 1) -> bool:
    return True

def twice(k):
    def by(x): return x * k
    return by

double = twice(2)
unused = 5
'''
CELL_3 = '''
@workflow(deadline="7d")
async def order(o: Order, rush: bool = False) -> Decimal:
    """Take an order."""
    await charge(o)
    name = 'it"s'
    total = tax(o) + math.floor(2.5) + double(3)
    if not rush and total > 100 and name:
        total = total - 1
    return total
'''
ORDER = (CELL_1, CELL_2, CELL_3)
