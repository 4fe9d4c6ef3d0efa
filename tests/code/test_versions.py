"""What changes a version and what does not."""
from __future__ import annotations

import pytest

from tests.code.cells import notebook
from tests.code.kinds import ORDER as ALL


def version(*cells: str) -> str:
    return notebook(*cells).package().version


@pytest.fixture(scope="module")
def plain() -> str:
    return version(*ALL)


def edited(old: str, new: str) -> tuple[str, ...]:
    assert sum(cell.count(old) for cell in ALL) >= 1, old
    return tuple(cell.replace(old, new) for cell in ALL)


# what → (old, new), replaced wherever it stands
FORMATS: dict[str, tuple[str, str]] = {
    "comment on a line": ("await charge(o)", "await charge(o)  # pay"),
    "comment line in the body": ("    await charge(o)", "    # pay first\n    await charge(o)"),
    "comment above the workflow": ("@workflow(", "# the workflow\n@workflow("),
    "comment in a helper": ("    if order.n > LIMIT:", "    # large\n    if order.n > LIMIT:"),
    "blank lines in the body": ("    await charge(o)\n", "\n\n    await charge(o)\n\n"),
    "blank lines above": ("@dataclass(frozen", "\n\n\n@dataclass(frozen"),
    "docstring changed": ('"""Take an order."""', '"""Take it."""'),
    "docstring removed": ('    """Take an order."""\n', ""),
    "docstring added": ("    def by(x): return x * k", "    def by(x):\n        'x times k'\n        return x * k"),
    "docstring of a class": ('"""An order."""', "'Any order'"),
    "docstring of a helper": ('    """The tax."""\n', ""),
    "quotes": ('"de"', "'de'"),
    "escaped quotes": ("'it\"s'", '"it\\"s"'),
    "raw string": ('Decimal("0.19")', 'Decimal(r"0.19")'),
    "unicode prefix": ('Decimal("0.19")', 'Decimal(u"0.19")'),
    "escapes": ('"fr"', '"\\x66\\u0072"'),
    "implicit concatenation": ('"fr"', '"f" "r"'),
    "concatenated f-string": ('f"no rate for {land!r:>10}"', 'f"no rate " f"for {land!r:>10}"'),
    "f-string joined to text": ('f"no rate for {land!r:>10}"', '"no rate for " f"{land!r:>10}" ""'),
    "underscores in numbers": ("LIMIT = 1000", "LIMIT = 1_000"),
    "hexadecimal": ("total > 100", "total > 0x64"),
    "float spelling": ("math.floor(2.5)", "math.floor(25e-1)"),
    "parentheses": ("tax(o) + math.floor(2.5)", "(tax(o)) + (math.floor((2.5)))"),
    "line continuation": ("tax(o) + math", "tax(o) \\\n        + math"),
    "wrapped in parentheses": ("tax(o) + math.floor(2.5) + double(3)", "(\n        tax(o)\n        + math.floor(2.5)\n        + double(3)\n    )"),
    "trailing comma": ("rush: bool = False)", "rush: bool = False,\n)"),
    "spaces": ("total = total - 1", "total=total-1"),
    "semicolon": ("    await charge(o)\n    name", "    await charge(o); name"),
    "indentation": ("        total = total - 1\n", "               total = total - 1\n"),
    "else if": ("    elif land not in RATES:\n        raise", "    else:\n      if land not in RATES:\n        raise"),
    "body on one line": ("    def by(x): return x * k", "    def by(x):\n        return x * k"),
    "type comment": ("total = total - 1", "total = total - 1  # type: ignore"),
    "deadline spelt otherwise": ('deadline="7d"', 'deadline="168h"'),
    "an import nobody uses": ("import math", "import math, json"),
    "an unused name": ("unused = 5", "unused = 6"),
    "code of an activity": ("    return True", "    return bool(times)"),
    "options of an activity": ("@activity(retry=3)", "@activity(retry=5)"),
    "default of an activity": ("times: int = 1", "times: int = 2"),
}
EDITS: dict[str, tuple[str, str]] = {
    "constant": ("total - 1", "total - 2"),
    "operator": ("total - 1", "total + 1"),
    "comparison": ("total > 100", "total >= 100"),
    "boolean": ("not rush and", "rush and"),
    "and to or": ("total > 100 and name", "total > 100 or name"),
    "order of operands": ("tax(o) + math.floor(2.5)", "math.floor(2.5) + tax(o)"),
    "order of statements": ("    await charge(o)\n    name = 'it\"s'\n", "    name = 'it\"s'\n    await charge(o)\n"),
    "statement removed": ("    await charge(o)\n", ""),
    "statement added": ("    await charge(o)\n", "    await charge(o)\n    await charge(o)\n"),
    "text": ("'it\"s'", "'its'"),
    "bytes for text": ("'it\"s'", "b'its'"),
    "local renamed": ("total", "sum_"),
    "parameter renamed": ("rush", "quick"),
    "parameter added": ("rush: bool = False)", "rush: bool = False, x: int = 0)"),
    "default": ("rush: bool = False", "rush: bool = True"),
    "annotation": ("rush: bool", "rush: int"),
    "return annotation": (") -> Decimal:", ") -> int:"),
    "float for integer": ("total > 100", "total > 100.0"),
    "deadline": ('deadline="7d"', 'deadline="8d"'),
    "deadline removed": ('(deadline="7d")', ""),
    "call of a helper": ("double(3)", "double(4)"),
    "helper's body": ("return Decimal(0)", "return Decimal(1)"),
    "helper's comparison": ("order.n > LIMIT", "order.n >= LIMIT"),
    "helper's default": ('land="de"', 'land="fr"'),
    "helper's f-string": ("no rate for", "no rates for"),
    "f-string conversion": ("!r:>10", "!s:>10"),
    "f-string format": (":>10", ":<10"),
    "global constant": ("LIMIT = 1000", "LIMIT = 1001"),
    "constant in a dict": ('Decimal("0.19")', 'Decimal("0.190")'),
    "order of a dict": ('{"de": Decimal("0.19"), "fr": Decimal("0.20")}', '{"fr": Decimal("0.20"), "de": Decimal("0.19")}'),
    "closure's variable": ("double = twice(2)", "double = twice(3)"),
    "closure's body": ("return x * k", "return k * x"),
    "class's default": ("size: Size = Size.S", "size: Size = Size.L"),
    "class's decorator": ("frozen=True", "frozen=False"),
    "enum's value": ("L = 2", "L = 3"),
    "field added": ("    n: int\n", "    n: int\n    q: int = 0\n"),
    "activity renamed": ("charge", "bill"),
    "activity's signature": ("times: int = 1", "often: int = 1"),
    "import from elsewhere": ("import math\n", "import numpy as math\n"),
}


@pytest.mark.parametrize("change", FORMATS)
def test_format_keeps_the_version(change: str, plain: str) -> None:
    assert version(*edited(*FORMATS[change])) == plain


@pytest.mark.parametrize("change", EDITS)
def test_an_edit_changes_the_version(change: str, plain: str) -> None:
    assert version(*edited(*EDITS[change])) != plain


def test_where_code_stands_does_not_matter(plain: str) -> None:
    assert version("\n".join(ALL)) == plain
    first, second, third = ALL
    assert version(first, "x = 1", second, "y = 2", third) == plain
    head, tail = second.split("@activity", 1)
    assert version(first, head, "@activity" + tail, third) == plain
    assert version(first, second, second, third) == plain


def test_edits_are_all_different() -> None:
    versions = {version(*edited(*edit)) for edit in EDITS.values()}
    assert len(versions) == len(EDITS)


def test_the_table_is_as_long_as_promised() -> None:
    assert len(FORMATS) >= 31 and len(EDITS) >= 30


def test_the_future_flag_keeps_the_version(plain: str) -> None:
    assert version("from __future__ import annotations\n" + ALL[0], *ALL[1:]) == plain
