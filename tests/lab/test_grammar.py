"""The grammar as a table: a line and what it reads as, or the message it gets."""
from __future__ import annotations

import ast
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionlab.lab import grammar, magics  # noqa: F401 - enters the verbs
from aionlab.lab.errors import LineError
from aionlab.lab.grammar import Pair, Source, Text
from aionlab.lab.verbs import VERBS


def reads(line: str, body: str | None = None) -> dict[str, Any]:
    """What a line says, as plain values: words, expression, options, and the call or payload in the expression."""
    name, _, rest = line.lstrip("%").partition(" ")
    asked = grammar.read(rest, VERBS[name].shape, body)

    def plain(word: Any) -> Any:
        match word:
            case Text(text):
                return text
            case Source(text):
                return ("py", text)
            case Pair(key, value):
                return {key: plain(value)}

    found: dict[str, Any] = {}
    if asked.help:
        return {"help": True}
    if asked.words:
        found["words"] = [plain(word) for word in asked.words]
    if name in ("start", "query"):
        call = grammar.call(asked.expression, name, asked.words[0].text if asked.words else "")
        found["call"] = ast.unparse(call.node)
    elif name in ("runs", "count") and asked.expression:
        pairs = grammar.fields(asked.expression)
        found.update({"filter": asked.expression} if pairs is None else {"pairs": [plain(pair) for pair in pairs]})
    elif asked.expression:
        value, node = grammar.payload(asked.expression)
        found["payload"] = value if node is None else ("py", ast.unparse(node))
    if asked.options:
        found["options"] = {k: plain(v[0]) if len(v) == 1 else [plain(x) for x in v] or True for k, v in asked.options.items()}
    return found


LINES: list[tuple[str, dict[str, Any]]] = [
    ("%start order", {"call": "order()"}),
    ("%start order()", {"call": "order()"}),
    ("%start order(42)", {"call": "order(42)"}),
    ("%start order(42, rush=True)", {"call": "order(42, rush=True)"}),
    ("%start order(42);", {"call": "order(42)"}),
    ("%start order(42) ; # two", {"call": "order(42)"}),
    ("%start order(42)  # a comment --id x", {"call": "order(42)"}),
    ("%start order('#', \"--id\")", {"call": "order('#', '--id')"}),
    ("%start order(a --b)", {"call": "order(a - -b)"}),
    ("%start order( 42 ) --id o-1", {"call": "order(42)", "options": {"id": "o-1"}}),
    ("%start --id o-1 order(42)", {"call": "order(42)", "options": {"id": "o-1"}}),
    ("%start --id=o-1 order(42) --as=h", {"call": "order(42)", "options": {"id": "o-1", "as": "h"}}),
    ("%start order(x) --id 'o 1'", {"call": "order(x)", "options": {"id": ("py", "'o 1'")}}),
    ('%start order(x) --id f"o-{n}"', {"call": "order(x)", "options": {"id": ("py", 'f"o-{n}"')}}),
    ("%start order(x) --id f'o-{n} {m}' --as h", {"call": "order(x)", "options": {"id": ("py", "f'o-{n} {m}'"), "as": "h"}}),
    ("%start order(x) --id (prefix + '-1')", {"call": "order(x)", "options": {"id": ("py", "(prefix + '-1')")}}),
    ("%start order(x) --id {x}", {"call": "order(x)", "options": {"id": "{x}"}}),
    ("%start order(x) --id $x", {"call": "order(x)", "options": {"id": "$x"}}),
    ("%start order(x) --id o'brien", {"call": "order(x)", "options": {"id": "o'brien"}}),
    ("%start order(x) --id fred", {"call": "order(x)", "options": {"id": "fred"}}),
    ("%start order(x) --attr customer=acme", {"call": "order(x)", "options": {"attr": {"customer": "acme"}}}),
    ("%start order(x) --attr a=1 --attr b='x y'", {"call": "order(x)", "options": {"attr": [{"a": "1"}, {"b": ("py", "'x y'")}]}}),
    ("%start order(x) --attach --id o-1", {"call": "order(x)", "options": {"attach": True, "id": "o-1"}}),
    ("%start order(x) --deadline 1d12h --key k#1", {"call": "order(x)", "options": {"deadline": "1d12h", "key": "k#1"}}),
    ("%start shop.order(x)", {"call": "shop.order(x)"}),
    ("%start order(*items, **more)", {"call": "order(*items, **more)"}),
    ("%start order({'a': [1, (2)]}, lambda x: x)", {"call": "order({'a': [1, 2]}, lambda x: x)"}),
    ("%start order('(', \"it's\", '''a'b''')", {"call": "order('(', \"it's\", \"a'b\")"}),
    ("%start order(r'\\d)', b'x)')", {"call": "order('\\\\d)', b'x)')"}),
    ("%start order(true, null)", {"call": "order(true, null)"}),
    ("%start -h", {"help": True}),
    ("%start order -h", {"help": True}),
    ("%start order(1) --help", {"help": True}),
    ("%signal o-1 approval", {"words": ["o-1", "approval"]}),
    ('%signal o-1 approval {"by": "ada"}', {"words": ["o-1", "approval"], "payload": {"by": "ada"}}),
    ('%signal o-1 approval {"ok": true, "n": null}', {"words": ["o-1", "approval"], "payload": {"ok": True, "n": None}}),
    ("%signal o-1 approval {'by': who}", {"words": ["o-1", "approval"], "payload": ("py", "{'by': who}")}),
    ("%signal o-1 approval 42", {"words": ["o-1", "approval"], "payload": 42}),
    ("%signal o-1 approval true", {"words": ["o-1", "approval"], "payload": True}),
    ('%signal o-1 approval "yes # no --id"', {"words": ["o-1", "approval"], "payload": "yes # no --id"}),
    ("%signal o-1 approval Approval('ada', n=2) --key k1", {"words": ["o-1", "approval"], "payload": ("py", "Approval('ada', n=2)"),
                                                            "options": {"key": "k1"}}),
    ("%signal o-1 approval --key k1 x - y", {"words": ["o-1", "approval"], "payload": ("py", "x - y"), "options": {"key": "k1"}}),
    ("%signal o-1 approval (x --y)", {"words": ["o-1", "approval"], "payload": ("py", "x - -y")}),
    ("%signal o-1 approval x--y", {"words": ["o-1", "approval"], "payload": ("py", "x - -y")}),
    ("%signal o-1 n NaN", {"words": ["o-1", "n"], "payload": ("py", "NaN")}),
    ("%signal 'o 1' 'my signal' 1", {"words": [("py", "'o 1'"), ("py", "'my signal'")], "payload": 1}),
    ("%signal (h) approval", {"words": [("py", "(h)"), "approval"]}),
    ("%query o-1 status", {"words": ["o-1"], "call": "status()"}),
    ("%query o-1 item(3, deep=true)", {"words": ["o-1"], "call": "item(3, deep=true)"}),
    ("%cancel o-1 --reason 'out of stock';", {"words": ["o-1"], "options": {"reason": ("py", "'out of stock'")}}),
    ("%cancel o-1 --reason customer's # why", {"words": ["o-1"], "options": {"reason": "customer's"}}),
    ("%result o-1;", {"words": ["o-1"]}),
    ("%result o-1 --timeout 10s", {"words": ["o-1"], "options": {"timeout": "10s"}}),
    ("%result order:42/eu#7", {"words": ["order:42/eu#7"]}),
    ("%runs", {}),
    ("%runs status=Running customer='acme inc'", {"pairs": [{"status": "Running"}, {"customer": ("py", "'acme inc'")}]}),
    ("%runs status='Running' AND amount > 3 LIMIT 2;", {"filter": "status='Running' AND amount > 3 LIMIT 2"}),
    ("%runs status = 'Running' # which ones", {"filter": "status = 'Running'"}),
    ("%runs (amount > 3 OR amount < 1) AND note != 'a --b'", {"filter": "(amount > 3 OR amount < 1) AND note != 'a --b'"}),
    ("%runs amount>=3", {"filter": "amount>=3"}),
    ("%runs amount==3", {"filter": "amount==3"}),
    ("%runs Running", {"filter": "Running"}),
    ("%count status=Running --by type", {"pairs": [{"status": "Running"}], "options": {"by": "type"}}),
    ("%cancel --where \"type = 'order'\" --dry-run", {"options": {"where": ("py", "\"type = 'order'\""), "dry-run": True}}),
    ("%signal --where vip=true approval {\"by\": \"ada\"}", {"words": ["approval"], "payload": {"by": "ada"}, "options": {"where": "vip=true"}}),
    ("%events o-1 --json", {"words": ["o-1"], "options": {"json": True}}),
    ("%clock skip 2d", {"words": ["skip", "2d"]}),
    ("%kill 5", {"words": ["5"]}),
    ("%workflow order --start (42, rush=True) --id o-1", {"words": ["order"], "options": {"start": ("py", "(42, rush=True)"), "id": "o-1"}}),
    ("%workflow --start 42", {"options": {"start": ("py", "42")}}),
    ("%workflow --start --as h", {"options": {"start": ("py", "()"), "as": "h"}}),
    ("%workflow --start", {"options": {"start": ("py", "()")}}),
]

MISTAKES: list[tuple[str, str]] = [
    ("%start order 42", "arguments go in parentheses: %start order(42)"),
    ("%start order 42 true", "arguments go in parentheses: %start order(42, true)"),
    ("%query o-1 item 3", "arguments go in parentheses: %query o-1 item(3)"),
    ("%start order(42) --di o-1", "no option --di; did you mean --id?"),
    ("%start order(42) --atr a=1", "no option --atr; did you mean --attr?"),
    ("%start order(42) --dead 2h", "no option --dead; did you mean --deadline?"),
    ("%signal o-1 n x --y", "no option --y; an expression with ' --' goes in parentheses: (x --y)"),
    ("%signal o-1 n x --y + 1", "no option --y; an expression with ' --' goes in parentheses: (x --y + 1)"),
    ("%cancel o-1 --because x", "no option --because; %cancel has --reason, --children, --grace, --run, --where, --dry-run"),
    ("%start order(42", "'(' at column 6 is never closed"),
    ("%start order([1, 2)", "')' at column 12 closes nothing"),
    ("%start order(')", "the string at column 7 is never closed"),
    ("%start order(42) order(43)", "one call and nothing after it"),
    ("%start order(42) + 1", "one call and nothing after it"),
    ("%start order(42)(43)", "one call and nothing after it"),
    ("%start order(42) --id", "--id needs a value"),
    ("%start order(42) --id --as h", "--id needs a value"),
    ("%start order(42) --id= --as h", "--id needs a value"),
    ("%start order(42) --id ;", "--id needs a value"),
    ("%start order(42) --id # o-1", "--id needs a value"),
    ("%start order(42) --attr customer", "--attr takes field=value, not customer"),
    ("%start order(42) --attr customer=", "customer= needs a value"),
    ("%start order(42) --attach=yes --id x", "--attach takes no value"),
    ("%signal o-1 approval by=\"ada\"", 'keywords? write {"by": "ada"}'),
    ("%signal o-1 approval by='ada', n=2", 'keywords? write {"by": "ada", "n": 2}'),
    ("%signal o-1 approval by=ada", 'keywords? write {"by": "ada"}'),
    ("%signal o-1 note hello world", "text needs quotes: 'hello world'"),
    ("%signal o-1", '%signal needs a name: %signal o-1 approval {"by": "ada"}'),
    ("%signal", '%signal needs an id: %signal o-1 approval {"by": "ada"}'),
    ("%kill", "%kill needs a pid: %kill 12"),
    ("%start", "%start needs a workflow: %start order(42, rush=True) --id o-1 --attr customer=acme --as h"),
    ("%cancel o-1 please", "nothing goes there: 'please'; usage: %cancel ID [--reason TEXT] [--children] [--grace TIME] [--run RUN_ID] [--where FILTER] [--dry-run]"),
    ("%query o-1 status?", "IPython takes a '?' at the end for itself; help is %query -h, and text needs quotes: 'why?'"),
    ("%cancel o-1 --where vip=true", "--where stands for an id, and o-1 is one; give one of them, --where first"),
    ("%cancel --where", "--where needs a value"),
    ("%cancel --dry-run", "%cancel needs an id: %cancel o-1 --reason 'out of stock'"),
    ("%aion --clock fast", "--clock is real or virtual, not fast"),
    ("%start 42", "'42' is not a name with arguments in parentheses: %start order(42)"),
]


@pytest.mark.parametrize(("line", "expected"), LINES, ids=[line for line, _ in LINES])
def test_a_line_reads_as(line: str, expected: dict[str, Any]) -> None:
    assert reads(line) == expected


@pytest.mark.parametrize(("line", "message"), MISTAKES, ids=[line for line, _ in MISTAKES])
def test_a_mistake_is_one_line_that_says_how_to_write_it(line: str, message: str) -> None:
    with pytest.raises(LineError) as caught:
        reads(line)
    assert str(caught.value) == message
    assert "\n" not in message


def test_the_body_of_a_cell_is_the_expression() -> None:
    assert reads("%start --id o-1", "order(\n  42,  # the answer\n)\n") == {"call": "order(42)", "options": {"id": "o-1"}}
    assert reads("%signal o-1 approval", '{"by": "ada",\n "ok": true}') == {"words": ["o-1", "approval"], "payload": {"by": "ada", "ok": True}}
    with pytest.raises(LineError, match="nothing goes there: 'order"):
        reads("%start order(1)", "order(2)")


@pytest.mark.parametrize(
    ("text", "call"),
    [("42", "order(42)"), ("(42)", "order(42)"), ("(42, rush=True)", "order(42, rush=True)"), ("()", "order()"), ("order(1)", "order(1)"),
     ("order", "order()"), ("'x'", "order('x')"), ("(1, 2)", "order(1, 2)"), ("n=1", "order(n=1)")],
)
def test_what_start_takes(text: str, call: str) -> None:
    assert ast.unparse(grammar.arguments(text, "order").node) == call


@given(st.text(alphabet="ab01 \t'\"()[]{}#-=;,.?$fr\\\n", max_size=40), st.sampled_from(["start", "signal", "query", "cancel", "runs", "aion"]))
def test_any_text_is_read_or_refused(text: str, name: str) -> None:
    try:
        grammar.read(text, VERBS[name].shape)
    except LineError as error:
        assert str(error)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
    st.text(max_size=4), inner, max_size=3), max_leaves=6))
def test_any_json_is_its_own_payload(value: Any) -> None:
    import json

    asked = grammar.read(f"o-1 note {json.dumps(value)}", VERBS["signal"].shape)
    assert grammar.payload(asked.expression) == (value, None)
