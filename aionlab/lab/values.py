"""What the words and expressions of a magic's line mean among the notebook's names."""
from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Mapping
from typing import Any

from . import grammar
from .errors import LINE, LineError, innermost_file
from .grammar import Call, Pair, Source, Text, Word

_JSON_NAMES = {"true": True, "false": False, "null": None}


class Names:
    """The names an expression may use: those of the calling frame over the notebook's, and JSON's three unless they are defined."""

    def __init__(self, user_ns: Mapping[str, Any], local_ns: Mapping[str, Any] | None = None) -> None:
        self.user_ns, self.local_ns = user_ns, {} if local_ns is None or local_ns is user_ns else local_ns

    def get(self, name: str) -> Any:
        """What a name stands for, None when it stands for nothing."""
        return self.local_ns.get(name, self.user_ns.get(name))

    def __contains__(self, name: str) -> bool:
        return name in self.local_ns or name in self.user_ns

    def evaluate(self, node: ast.expr, source: str, extra: Mapping[str, Any] | None = None) -> Any:
        """The value of an expression. Raises LineError when it uses a name that is not defined; any other error is the user's."""
        names = {**_JSON_NAMES, **self.user_ns, **self.local_ns, **(extra or {})}
        code = compile(ast.fix_missing_locations(ast.Expression(node)), LINE, "eval")
        try:
            return eval(code, names)  # noqa: S307 - the user's own expression, from the user's own cell
        except NameError as error:
            if error.name and innermost_file(error) == LINE and error.name not in names and not hasattr(builtins, error.name):
                text = source if re.fullmatch(r"[^\W\d][\w.-]*", source) else error.name
                raise LineError(f"{error.name} is not defined; text needs quotes: {text!r}") from None
            raise

    def word(self, word: Word) -> Any:
        """The text of a word, or the value of its Python expression."""
        match word:
            case Text(text):
                return text
            case Source(text):
                return self.evaluate(grammar.expression(text), text)

    def text(self, word: Word, what: str) -> str:
        """A word that has to be text. Raises LineError when its expression is something else."""
        value = self.word(word)
        if not isinstance(value, str):
            raise LineError(f"{what} is text, and {_source(word)} is {type(value).__name__}")
        return value

    def pair(self, pair: Pair) -> tuple[str, Any]:
        """A field and its value: JSON (42, 2.5, true, null) where a bare word is JSON, else text."""
        match pair.value:
            case Text(text):
                value, node = _plain(text)
                return pair.name, text if node else value
            case Source():
                return pair.name, self.word(pair.value)

    def arguments(self, call: Call) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of a call."""
        node = ast.Call(ast.Name("__arguments__", ast.Load()), call.node.args, call.node.keywords)
        ast.copy_location(node, call.node)
        found: tuple[tuple[Any, ...], dict[str, Any]] = self.evaluate(node, call.source.strip("() "), {"__arguments__": lambda *a, **k: (a, k)})
        return found

    def payload(self, text: str) -> Any:
        """JSON, else the value of a Python expression."""
        value, node = grammar.payload(text)
        return value if node is None else self.evaluate(node, text)


def _plain(text: str) -> tuple[Any, bool]:
    """(value, False) when the text is JSON of one number, true, false or null; (None, True) when it is just text."""
    if re.fullmatch(r"-?\d+(\.\d+)?([eE][+-]?\d+)?|true|false|null", text):
        return grammar.payload(text)[0], False
    return None, True


def _source(word: Word) -> str:
    return word.text
