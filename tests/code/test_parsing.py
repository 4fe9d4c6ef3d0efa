"""Trees, also while another thread is at it."""
from __future__ import annotations

import ast
from typing import Any

import pytest

from aionlab.code import parsing


def test_a_mismatch_of_depths_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What CPython 3.11 raises when two threads parse at once."""
    kept, failures = ast.parse, [SystemError("AST constructor recursion depth mismatch (before=171, after=51)")] * 3

    def parse(text: str, mode: str = "exec") -> Any:
        if failures:
            raise failures.pop()
        return kept(text, mode=mode)

    monkeypatch.setattr(ast, "parse", parse)
    assert ast.dump(parsing.parse("x = 1")) == ast.dump(kept("x = 1"))
    failures += [SystemError("for ever")] * 99
    with pytest.raises(SystemError, match="for ever"):
        parsing.parse("x")


def test_text_that_is_no_python_is_a_syntax_error() -> None:
    with pytest.raises(SyntaxError):
        parsing.parse("x = = 1")
    assert isinstance(parsing.parse("1", "eval"), ast.Expression)
