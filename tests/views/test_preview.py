"""Previews: short, JSON, never rebuilt, and without secrets."""

from __future__ import annotations

from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionlab.codecs import Encrypt
from aionlab.core.codecs import Codecs
from aionlab.core.failure import Failure
from aionlab.core.jsontext import dumps
from aionlab.core.payload import Converter
from aionlab.views.preview import MASK, failure_line, masked, preview
from aionlab.views.text import visible, width

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text('ab"\\{}[]:,é \n', max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('xyz"\\é', max_size=4), inner, max_size=3),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        (None, ""),
        (b"", ""),
        (b'{"a":1}', '{"a":1}'),
        ('["日本"]'.encode(), '["日本"]'),
        (b"\xff\x00", "\ufffd\\x00"),
        (b'{"password":"hunter2","n":1}', '{"password":"***","n":1}'),
        (b'{"Api-Key":["a",{"b":"c"}],"n":1}', '{"Api-Key":"***","n":1}'),
        (b'{"auth":{"access_token":12345}}', '{"auth":{"access_token":"***"}}'),
        (b'{"secret":null}', '{"secret":"***"}'),
        (b'{"p\\u0061ssword":"hunter2"}', '{"p\\u0061ssword":"***"}'),
        (b'{"body":"{\\"password\\": \\"hunter2\\"}"}', '{"body":"{\\"password\\": \\"***\\"}"}'),
        (b'{ "token" : "hunter2" }', '{ "token" : "***" }'),
        (b'{"token":"hunt', '{"token":"***"'),
        (
            b'{"~":"dict","v":[["db_password","hunter2"],[1,{"token":["x"]}]]}',
            '{"~":"dict","v":[["db_password","***"],[1,{"token":"***"}]]}',
        ),
        (b'{"~":"ordered","v":[["a",1],["secret",["x",["y"]]]]}', '{"~":"ordered","v":[["a",1],["secret","***"]]}'),
        (b'["password","hunter2"]', '["password","hunter2"]'),
    ],
)
def test_previews(payload: bytes | None, shown: str) -> None:
    assert preview(payload) == shown


def test_a_secret_behind_a_long_value_is_masked_or_cut_off() -> None:
    for size in range(0, 700, 7):
        payload = dumps({"a": "x" * size, "password": "hunter2", "z": "y" * size})
        assert "hunter" not in preview(payload, 80)


@given(JSON)
def test_without_secrets_the_preview_is_the_json(tree: object) -> None:
    payload = dumps(tree)
    assert preview(payload, 4000) == visible(payload.decode())


@given(JSON, st.integers(2, 40))
def test_a_preview_keeps_to_its_cells(tree: object, limit: int) -> None:
    assert width(preview(dumps({"token": tree, "n": tree}), limit)) <= limit


def test_dicts_of_every_recorded_shape_are_masked() -> None:
    codec = Converter()
    for value in (
        {"password": "hunter2"},
        {1: 2, "password": "hunter2"},
        OrderedDict(a=1, password="hunter2"),
        {"~": 1, "password": "hunter2"},
    ):
        shown = preview(codec.encode(value), 400)
        assert "hunter2" not in shown and MASK in shown and "password" in shown


@given(JSON)
def test_whatever_a_secret_is_it_is_masked(tree: object) -> None:
    assert preview(dumps({"my_secret": tree, "after": 1}), 4000) == '{"my_secret":"***","after":1}'


def test_prose_and_source_lose_quoted_secrets_only() -> None:
    assert masked('Client(api_key="sk-1", name="x")') == 'Client(api_key="***", name="x")'
    assert masked("{'db_password': 'p'}") == "{'db_password': '***'}"
    assert masked("unexpected token: 'foo'") == "unexpected token: 'foo'"
    assert failure_line(Failure("ValueError", "token='abc'\nsecond")) == "ValueError: token='***'\\nsecond"
    assert failure_line(Failure("ValueError", "")) == "ValueError"


def test_what_cannot_be_read_here_says_which_key_it_needs() -> None:
    sealed = Codecs([Encrypt({"2026-01": b"k" * 32}, "2026-01")]).seal(b'{"password":"hush"}')
    assert preview(sealed) == "encrypted (key 2026-01)" and preview(sealed, 12) == "encrypted (…"
    assert failure_line(Failure.from_bytes(sealed)) == "encrypted (key 2026-01)"
    assert preview(b"\0no label") != "encrypted", "text that only begins so is shown as it is"
