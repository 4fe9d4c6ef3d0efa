"""What a workflow may not use: all findings at once, each with its name, type, line and way out."""
from __future__ import annotations

import re
import sys
import types

import pytest

from aionlab.core.errors import CodeRefused
from tests.code.cells import Notebook, notebook

# name → (cells, expression or body of the workflow, what the finding must say)
REFUSED: dict[str, tuple[list[str], str, str]] = {
    "DataFrame": (["import pandas as pd\ndf = pd.DataFrame({'a': [1]})"], "len(df)", r"df \(pandas\.\S*DataFrame, line 3\) is data.*pass it as an argument"),
    "array": (["import numpy as np\nxs = np.zeros(3)"], "xs.sum()", r"xs \(numpy\.ndarray, line 3\) is data.*load it in an activity"),
    "connection": (["import sqlite3\ndb = sqlite3.connect(':memory:')"], "db.total_changes", r"db \(sqlite3\.Connection, line 3\).*in an activity"),
    "open file": (["f = open('/dev/null')"], "f.read()", r"f \(_io\.TextIOWrapper, line 3\) is an open file: open it in an activity"),
    "lock": (["import threading\nlk = threading.Lock()"], "lk.locked()", r"lk \(_thread\.lock, line 3\).*activity"),
    "plain object": (["class C:\n    def __init__(self): self.x = 1\nc = C()"], "c.x", r"c \(C, line 3\) is an object of a plain class.*make C a dataclass"),
    "inside a dict": (["import sqlite3\nCONF = {'a': [1, {'db': sqlite3.connect(':memory:')}]}"], "CONF", r"CONF\['a'\]\[1\]\['db'\] \(sqlite3\.Connection, line 3\)"),
    "in a closure": (["import sqlite3\ndef mk(c):\n    def g(): return c\n    return g\ng = mk(sqlite3.connect(':memory:'))"], "g()", r"g with c \(sqlite3\.Connection, line 3\)"),
    "generator": (["gen = (x for x in [1])"], "next(gen)", r"gen \(generator, line 3\) can run only once"),
    "bound method": (["xs = []\nput = xs.append"], "put(1)", r"put \(function list\.append, line 3\) is a method of \[\]"),
    "contains itself": (["xs = []\nxs.append(xs)"], "xs", r"xs\[0\] \(list, line 3\) it contains itself|xs\[0\].*contains itself"),
    "local class": (["def mk():\n    class L: ...\n    return L\nmk2 = [mk()]"], "mk2", r"mk2\[0\] \(class mk\.<locals>\.L, line 3\) is made inside a function: define it at the top level"),
    "globals()": ([], "globals()", r"globals\(\) \(line 3\) reaches outside.*name what it uses"),
    "locals()": ([], "locals()", r"locals\(\) \(line 3\)"),
    "vars()": ([], "vars(int)", r"vars\(\) \(line 3\)"),
    "eval": ([], "eval('1')", r"eval\(\) \(line 3\).*write the code as a function"),
    "exec": ([], "exec('1')", r"exec\(\) \(line 3\)"),
    "eval by another name": (["ev = eval"], "ev('1')", r"eval\(\) \(line 3\)"),
    "get_ipython": ([], "get_ipython()", r"get_ipython\(\) \(line 3\)"),
    "display": ([], "display(1)", r"display\(\) \(line 3\).*workflow\.set_details"),
    "IPython's display": (["from IPython.display import display"], "display(1)", r"display\(\) \(line 3\)"),
    "undefined name": ([], "nothing_here", r"nothing_here \(line 3\) is not defined"),
    "undefined in a helper": (["def h():\n    return zzz"], "h()", r"zzz \(line 2 of In\[1\]\) is not defined"),
    "assigned global": (["n = 0\ndef h():\n    global n\n    n += 1"], "h()", r"n is a global that the code assigns \(line 4 of In\[1\]\)"),
    "deleted global": (["n = 0\ndef h():\n    global n\n    del n"], "h()", r"n is a global that the code assigns"),
    "function without source": (["exec(compile('def h(): return 1', '<gone>', 'exec'), globals())"], "h()", r"h \(function h, line 3\) has no source"),
    "class without source": (["exec(compile('class H: x = 1', '<gone>', 'exec'), globals())"], "H()", r"H \(class H, line 3\) has no source"),
    "huge constant": (["big = list(range(300_000))"], "big[0]", r"big \(list, line 3\) takes [\d,]+ bytes.*pass it as an argument"),
    "sticky name in IPython": (["import logging\nh = logging.StreamHandler()"], "h.level", r"h \(logging\.StreamHandler, line 3\)"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_by_name(what: str) -> None:
    cells, expression, wanted = REFUSED[what]
    book = notebook(*cells, f"@workflow\nasync def order():\n    return {expression}")
    before = {name for name in sys.modules if name.startswith("aionlab.code.order")}
    with pytest.raises(CodeRefused) as refused:
        book.capture()
    assert refused.value.workflow_type == "order" and len(refused.value.findings) == 1
    assert re.search(wanted, refused.value.findings[0]), refused.value.findings
    assert {name for name in sys.modules if name.startswith("aionlab.code.order")} == before


def test_all_findings_at_once_in_order() -> None:
    book = notebook("import sqlite3\ndb = sqlite3.connect(':memory:')\nf = open('/dev/null')",
                    "@workflow\nasync def order():\n    db.x\n    eval('1')\n    f.read()\n    return missing")
    with pytest.raises(CodeRefused) as refused:
        book.capture()
    assert [finding.split(" ")[0] for finding in refused.value.findings] == ["db", "eval()", "f", "missing"]


def test_the_lab_is_refused() -> None:
    lab = type("Lab", (), {"__module__": "aionlab.app.lab"})
    book = Notebook()
    book.namespace["lab"] = lab()
    book.cell("@workflow\nasync def order():\n    lab.start('x')")
    with pytest.raises(CodeRefused, match=r"lab \(aionlab\.app\.lab\.Lab, line 3\) is the lab's own and works in cells only"):
        book.capture()


def test_a_made_up_module_is_refused() -> None:
    book = Notebook()
    book.namespace["mod"] = types.ModuleType("made_up")
    book.cell("@workflow\nasync def order(): return mod")
    with pytest.raises(CodeRefused, match=r"mod \(module made_up, line 2\) cannot be imported again"):
        book.capture()


# --- source that does not make what is live --------------------------------------------------------------------------

STALE: dict[str, tuple[list[str], str, str]] = {
    "class attribute": (["class Cfg:\n    r = 9", "Cfg.r = 2"], "Cfg.r", "Cfg.r is 2, its source now gives 9: re-run the cell that defines Cfg"),
    "class attribute added": (["class Cfg:\n    r = 9", "Cfg.s = 2"], "Cfg.s", "Cfg.s was added after the class was made: re-run the cell that defines Cfg"),
    "class attribute gone": (["class Cfg:\n    r = 9\n    s = 1", "del Cfg.s"], "Cfg.r", "Cfg.s is gone, its source still makes it: re-run the cell that defines Cfg"),
    "method replaced": (["class Cfg:\n    def f(self): return 1", "def g(self): return 2\nCfg.f = g"], "Cfg().f()", "Cfg.f is not what its source now gives: re-run the cell that defines Cfg"),
    "defaults": (["def h(x=1): return x", "h.__defaults__ = (5,)"], "h()", "the defaults of h is (5,), its source now gives (1,): re-run the cell that defines h"),
    "base class defined anew": (["class A:\n    k = 1", "class B(A): ...", "class A:\n    k = 2"], "B().k", "A.k is 1, its source now gives 2: re-run the cell that defines A"),
    "default from a changed global": (["K = 1\ndef h(x=K): return x", "K = 2"], "h()", "the defaults of h is (1,), its source now gives (2,): re-run the cell that defines h"),
    "partial": (["from functools import partial\nK = 1\ndef f(x): return x\np = partial(f, K)", "K = 2"], "p()", "p.args is (1,), its source now gives (2,): re-run the cell that defines p"),
    "registry": (["from functools import singledispatch\n@singledispatch\ndef show(x): return 'any'", "show.register(int, str)"], "show(1)", "show for int was registered where its source is not known: re-run the cell that defines show"),
    "enum value": (["K = 1\nfrom enum import Enum\nclass E(Enum):\n    A = K", "K = 2"], "E.A.value", "E.A is 1, its source now gives 2: re-run the cell that defines E"),
    "source that does not run": (["K = 1\nclass C:\n    x = 1 // K", "K = 0"], "C.x", ""),
}


@pytest.mark.parametrize("what", STALE)
def test_source_that_no_longer_makes_what_is_live(what: str) -> None:
    cells, expression, wanted = STALE[what]
    book = notebook(*cells, f"@workflow\nasync def order(): return {expression}")
    with pytest.raises(CodeRefused) as refused:
        book.capture()
    if wanted:
        assert refused.value.findings == (wanted,)


def test_a_cell_the_ledger_heard_of_but_that_failed() -> None:
    book = notebook("class C:\n    x = 1")
    with pytest.raises(ZeroDivisionError):
        book.cell("1 / 0\nclass C:\n    x = 2")
    book.cell("@workflow\nasync def order(): return C.x")
    with pytest.raises(CodeRefused, match=r"C\.x is 1, its source now gives 2: re-run the cell that defines C"):
        book.capture()
