"""Activities as stored code: sources kept, live names left to the notebook, attempts that wait."""
from __future__ import annotations

import asyncio

import pytest

from aionlab.code.activities import MissingNames, build_activity, capture_activity, missing_names, supply
from aionlab.code.package import Package, version_of
from aionlab.core.errors import CodeRefused
from tests.code.cells import Notebook, notebook


def stored(book: Notebook, name: str) -> Package:
    package = capture_activity(book.namespace[name], book.ledger)
    again = Package.from_document(package.to_document())
    assert again == package and version_of(again) == package.version
    return again


def test_live_names_are_looked_up_and_waited_for() -> None:
    book = notebook(
        "import sqlite3, pandas as pd\ndb = sqlite3.connect(':memory:')\ndf = pd.DataFrame({'a': [1, 2]})\nRATE = 3",
        "def scale(n): return n * RATE * len(df)\n@activity(retry=3, start_to_close='30s')\ndef charge(n: int) -> int:\n    db.execute('select 1')\n    return scale(n)",
    )
    package = stored(book, "charge")
    assert package.live == ("db", "df") and package.options["options"] is not None
    with pytest.raises(MissingNames, match="charge waits for `db`, `df`: run the cell that makes them"):
        build_activity(package, {})
    assert missing_names(package, {"db": 1}) == ("df",)
    built = build_activity(package, {"db": book.namespace["db"], "df": [1]})
    assert built.function(2) == 6
    supply(built, {"db": book.namespace["db"], "df": [1, 2, 3]})
    assert built.function(2) == 18


def test_names_defined_later_and_globals_assigned_are_allowed() -> None:
    book = notebook("calls = 0\n@activity\ndef count():\n    global calls\n    calls += 1\n    return calls, later, eval('1')")
    package = stored(book, "count")
    assert package.live == ("later",)
    built = build_activity(package, {"later": 5})
    assert (built.function(), built.function()) == ((1, 5, 1), (2, 5, 1)) and book.namespace["calls"] == 0


def test_async_activities_and_activities_that_call_others() -> None:
    book = notebook("@activity\ndef inner(n): return n + 1", "@activity\nasync def outer(n):\n    import math\n    return inner(n) + math.floor(1.5)")
    built = build_activity(stored(book, "outer"), {})
    assert asyncio.run(built.function(3)) == 5


def test_an_edit_of_what_it_reaches_gives_another_version() -> None:
    first = stored(notebook("def h(): return 1\n@activity\ndef a(): return h()"), "a")
    same = stored(notebook("# same\ndef h():\n    return 1\n@activity\ndef a(): return h()"), "a")
    other = stored(notebook("def h(): return 2\n@activity\ndef a(): return h()"), "a")
    assert first.version == same.version != other.version


def test_without_source_it_cannot_be_stored() -> None:
    book = notebook("exec(compile('@activity\\ndef a(): ...', '<gone>', 'exec'), globals())")
    with pytest.raises(CodeRefused, match="a has no source that can be stored"):
        capture_activity(book.namespace["a"], book.ledger)
