"""The line of a magic, read without running anything.

Every magic declares a `Shape`: its options and what stands between them. `read` turns a line into an `Asked`; words and expressions
come back as they were written (`Text`, `Source`), because what they mean depends on the notebook's names, which `values` knows.

Options stand anywhere. At bracket depth 0, outside strings, a blank and `--letter` start an option, a blank and `#` a comment,
and a final `;` is dropped. A word is text up to a blank, or Python when it starts with a quote, `f"` or `(`.
"""
from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from .errors import LineError

_OPTION = re.compile(r"--([A-Za-z][\w-]*)")
_PAIR = re.compile(r"([A-Za-z_][\w.]*(?:#\d+)?|[#@]?\d+)=")
_NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_CLOSING = {")": "(", "]": "[", "}": "{"}


@dataclass(frozen=True, slots=True)
class Text:
    """A word as it stands."""

    text: str


@dataclass(frozen=True, slots=True)
class Source:
    """A Python expression, as written."""

    text: str


Word = Text | Source


class Pair(NamedTuple):
    """`field=value`."""

    name: str
    value: Word


@dataclass(frozen=True, slots=True)
class Option:
    """One `--name` of a magic."""

    name: str
    help: str
    kind: Literal["word", "flag", "pair", "args"] = "word"
    """A flag has no value, a pair is `field=value` and may be repeated, args are those of a call and may be left out."""
    metavar: str = "VALUE"
    choices: tuple[str, ...] = ()
    instead: str = ""
    """The slot that is left out when the option is given."""

    @property
    def usage(self) -> str:
        value = {"word": f" {self.metavar}", "flag": "", "pair": f" {self.metavar}", "args": f" {self.metavar}"}[self.kind]
        return f"--{self.name}{value}"


@dataclass(frozen=True, slots=True)
class Slot:
    """Something that stands between the options."""

    name: str
    """What people call it: ID, NAME, WORKFLOW, PID, …"""
    kind: Literal["word", "call", "payload", "words", "filter"] = "word"
    """One word; a Python call; JSON or Python; any number of words; a filter of runs."""
    needed: bool = True

    @property
    def usage(self) -> str:
        text = {"word": self.name, "call": f"{self.name}[(ARGS)]", "payload": self.name, "words": f"{self.name} …", "filter": self.name}
        return text[self.kind] if self.needed and self.kind != "words" else f"[{text[self.kind]}]"


@dataclass(frozen=True, slots=True)
class Shape:
    """What the line of one magic looks like; an expression (call, payload) is always its last slot."""

    magic: str
    slots: tuple[Slot, ...] = ()
    options: tuple[Option, ...] = ()
    example: str = ""

    @property
    def usage(self) -> str:
        parts = [f"%{self.magic}", *(slot.usage for slot in self.slots), *(f"[{option.usage}]" for option in self.options)]
        return " ".join(parts)

    def option(self, name: str) -> Option | None:
        return next((option for option in self.options if option.name == name), None)


@dataclass(slots=True)
class Asked:
    """A line, read."""

    words: list[Word] = field(default_factory=list)
    expression: str = ""
    """The call or payload as written, "" when there is none."""
    options: dict[str, list[Word | Pair]] = field(default_factory=dict)
    help: bool = False

    def has(self, name: str) -> bool:
        return name in self.options

    def word(self, name: str) -> Word | None:
        """The value of an option that was given last, or None."""
        values = self.options.get(name)
        value = values[-1] if values else None
        return value if isinstance(value, Text | Source) else None


class Call(NamedTuple):
    """`name(args)`: what `%start` and `%query` take."""

    name: str
    node: ast.Call
    source: str


# --- lines -----------------------------------------------------------------------------------------------------------


def read(line: str, shape: Shape, body: str | None = None) -> Asked:
    """The line of `%magic` (or the first line of `%%magic`, whose `body` then holds the expression).

    Raises LineError saying what is wrong and how to write it.
    """
    if body is not None:
        shape = Shape(shape.magic, tuple(slot for slot in shape.slots if slot.kind not in ("call", "payload")), shape.options, shape.example)
    reader = _Reader(line, shape)
    asked = reader.run()
    text = line[: reader.at].rstrip()
    if text.endswith(";"):
        asked = _Reader(text[:-1], shape).run()
    if asked.help:
        return asked
    if text.endswith("?"):
        raise LineError(f"IPython takes a '?' at the end for itself; help is %{shape.magic} -h, and text needs quotes: 'why?'")
    if body is not None:
        asked.expression = body.strip()
    _check_slots(asked, shape)
    return asked


def _check_slots(asked: Asked, shape: Shape) -> None:
    words = iter(asked.words)
    left_out = {option.instead for option in shape.options if asked.has(option.name)}
    for slot in shape.slots:
        if slot.name in left_out:
            continue
        match slot.kind:
            case "word":
                missing = next(words, None) is None
            case "call" | "payload" | "filter":
                missing = not asked.expression
            case "words":
                missing = False
        if missing and slot.needed:
            raise LineError(f"%{shape.magic} needs {_article(slot.name)}: {shape.example or shape.usage}")


def _article(name: str) -> str:
    name = {"ID": "id", "PID": "pid"}.get(name, name.lower())
    return f"an {name}" if name[0] in "aeio" else f"a {name}"


class _Reader:
    def __init__(self, line: str, shape: Shape) -> None:
        self.line, self.shape, self.at = line, shape, 0
        self.asked = Asked()
        self.slots = list(shape.slots)

    def run(self) -> Asked:
        while self._skip_blanks():
            rest = self.line[self.at :]
            if rest.startswith("#"):
                break
            if re.match(r"(-h|--help)(?=\s|;|$)", rest):
                self.asked.help = True
                return self.asked
            if _OPTION.match(rest):
                self._option()
            else:
                self._slot()
        return self.asked

    def _skip_blanks(self) -> bool:
        while self.at < len(self.line) and self.line[self.at].isspace():
            self.at += 1
        return self.at < len(self.line)

    def _slot(self) -> None:
        slot = self.slots[0] if self.slots else None
        if slot is None:
            start = self.at
            extra = self.line[start : self._word_end()]
            if extra != ";":
                raise LineError(f"nothing goes there: {extra!r}; usage: {self.shape.usage}")
            return
        match slot.kind:
            case "word":
                self.slots.pop(0)
                self.asked.words.append(self._word())
            case "words":
                self.asked.words.append(self._word())
            case "call" | "payload" | "filter":
                start = self.at
                self.at = _expression_end(self.line, start)
                piece = self.line[start : self.at].strip()
                self.asked.expression = f"{self.asked.expression} {piece}".strip()

    def _option(self) -> None:
        found = _OPTION.match(self.line, self.at)
        assert found is not None
        name = found[1]
        option = self.shape.option(name)
        if option is None:
            raise LineError(self._no_option(name, found.end()))
        self.at = found.end()
        values = self.asked.options.setdefault(name, [])
        if option.instead:
            self._leave_out(option)
        if option.kind == "flag":
            if self.line[self.at : self.at + 1] == "=":
                raise LineError(f"--{name} takes no value")
            return
        if self.line[self.at : self.at + 1] == "=":
            self.at += 1
            missing = self.at == len(self.line) or self.line[self.at].isspace()
        else:
            self._skip_blanks()
            rest = self.line[self.at :]
            missing = not rest or rest.startswith("#") or rest == ";" or _OPTION.match(rest) is not None
        if missing:
            if option.kind == "args":
                values.append(Source("()"))
                return
            raise LineError(f"--{name} needs a value")
        if option.kind == "pair":
            values.append(self._pair(f"--{name}"))
            return
        if option.kind == "args":
            start = self.at
            self.at = _expression_end(self.line, start, stop_at_blank=True)
            values.append(Source(self.line[start : self.at].strip()))
            return
        word = self._word()
        if option.choices and isinstance(word, Text) and word.text.rstrip(";") not in option.choices:
            raise LineError(f"--{name} is {' or '.join(option.choices)}, not {word.text}")
        values.append(word)

    def _leave_out(self, option: Option) -> None:
        kept = [slot for slot in self.slots if slot.name != option.instead]
        if len(kept) == len(self.slots) and len(self.asked.options[option.name]) == 0:
            first = self.asked.words[0].text if self.asked.words else ""
            raise LineError(f"--{option.name} stands for {_article(option.instead)}, and {first} is one; give one of them, --{option.name} first")
        self.slots = kept

    def _no_option(self, name: str, end: int) -> str:
        near = nearest(name, [option.name for option in self.shape.options] + ["help"])
        if near:
            return f"no option --{name}; did you mean --{near}?"
        if self.asked.expression:
            rest = self.line[end : _expression_end(self.line, end)].rstrip("; ")
            return f"no option --{name}; an expression with ' --' goes in parentheses: ({self.asked.expression} --{name}{rest})"
        options = ", ".join(f"--{option.name}" for option in self.shape.options)
        return f"no option --{name}; %{self.shape.magic} has {options or 'no options'}"

    def _pair(self, what: str) -> Pair:
        found = _PAIR.match(self.line, self.at)
        if found is None:
            start = self.at
            raise LineError(f"{what} takes field=value, not {self.line[start : self._word_end()]}")
        self.at = found.end()
        if self.at == len(self.line) or self.line[self.at].isspace():
            raise LineError(f"{found[1]}= needs a value")
        return Pair(found[1], self._word())

    def _word(self) -> Word:
        start = self.at
        python = self.line[start] in "'\"(" or self.line[start : start + 2].lower() in ('f"', "f'")
        self.at = _expression_end(self.line, start, stop_at_blank=True) if python else self._word_end()
        text = self.line[start : self.at]
        return Source(text) if python else Text(text)

    def _word_end(self) -> int:
        while self.at < len(self.line) and not self.line[self.at].isspace():
            self.at += 1
        return self.at


def fields(text: str) -> list[Pair] | None:
    """The text as `field=value field=value`, a word each; None when it is anything else."""
    reader = _Reader(text, Shape(""))
    pairs: list[Pair] = []
    while reader._skip_blanks():
        found = _PAIR.match(text, reader.at)
        if found is None or text[found.end() : found.end() + 1] in ("", "=") or text[found.end()].isspace():
            return None
        pairs.append(reader._pair(""))
    return pairs


def _expression_end(line: str, start: int, stop_at_blank: bool = False) -> int:
    """Where the Python text that begins at `start` ends: at an option, a comment or the end (or any blank) at depth 0.

    Raises LineError for a bracket or string that is never closed.
    """
    opened: list[tuple[str, int]] = []
    at = start
    while at < len(line):
        char = line[at]
        if char in "'\"" and _begins_string(line, at):
            at = _string_end(line, at)
            continue
        if char in "([{":
            opened.append((char, at))
        elif char in _CLOSING:
            if not opened or opened[-1][0] != _CLOSING[char]:
                raise LineError(f"'{char}' at column {at + 1} closes nothing")
            opened.pop()
        elif not opened and char.isspace():
            rest = line[at + 1 :]
            if stop_at_blank or rest.startswith("#") or _OPTION.match(rest) or re.match(r"-h(?=\s|;|$)", rest):
                return at
        at += 1
    if opened:
        bracket, column = opened[-1]
        raise LineError(f"'{bracket}' at column {column + 1} is never closed")
    return at


def _begins_string(line: str, at: int) -> bool:
    """Whether the quote at `at` opens a string, which an apostrophe inside a word does not."""
    start = at
    while start > 0 and (line[start - 1].isalnum() or line[start - 1] == "_"):
        start -= 1
    return line[start:at].lower() in ("", "r", "b", "u", "f", "rb", "br", "rf", "fr")


def _string_end(line: str, start: int) -> int:
    quote = line[start] * 3 if line[start : start + 3] == line[start] * 3 else line[start]
    at = start + len(quote)
    while at < len(line):
        if line[at] == "\\":
            at += 2
        elif line.startswith(quote, at):
            return at + len(quote)
        else:
            at += 1
    raise LineError(f"the string at column {start + 1} is never closed")


def nearest(name: str, known: Sequence[str]) -> str | None:
    """The known name that `name` is probably a slip of: one edit away (more for long names), or its only completion."""
    scored = sorted((distance(name, other), other) for other in known)
    if scored and scored[0][0] <= max(1, len(name) // 3):
        return scored[0][1]
    longer = [other for other in known if len(name) > 1 and other.startswith(name)]
    return longer[0] if len(longer) == 1 else None


def distance(a: str, b: str) -> int:
    """Edits (insert, delete, replace, swap of neighbours) between two names: optimal string alignment."""
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        older, before, row = before, row, [i]
        for j, right in enumerate(b, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (left != right))
            if i > 1 and j > 1 and left == b[j - 2] and a[i - 2] == right:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
    return row[-1]


# --- expressions -----------------------------------------------------------------------------------------------------


def call(text: str, magic: str, before: str = "") -> Call:
    """`NAME` or `NAME(ARGS)` as one Python call; `before` is what stands between the magic and the name, for messages.

    Raises LineError for anything else.
    """
    found = _NAME.match(text)
    lead = f"%{magic} {before}".rstrip()
    if found is None:
        raise LineError(f"{text!r} is not a name with arguments in parentheses: {lead} order(42)")
    name, rest = found[0], text[found.end() :].strip()
    if not rest:
        return Call(name, _call_node(f"{name}()", name), "")
    if not rest.startswith("("):
        raise LineError(f"arguments go in parentheses: {lead} {name}({_as_arguments(rest)})")
    node = _call_node(text, name)
    return Call(name, node, rest)


def arguments(text: str, name: str) -> Call:
    """What `--start` takes, `42, rush=True`, `(42)`, `order(42)` or nothing, as a call of `name`."""
    inner = text.strip()
    if inner == name:
        inner = ""
    elif inner.startswith(f"{name}("):
        inner = inner[len(name) :]
    as_call = f"{name}{inner}" if _is_parenthesised(inner) else f"{name}({inner})"
    return Call(name, _call_node(as_call, name), inner)


def _is_parenthesised(text: str) -> bool:
    if not text.startswith("("):
        return False
    try:
        node = ast.parse(f"_{text}", mode="eval").body
    except (SyntaxError, ValueError):
        return False
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name)


def _call_node(text: str, name: str) -> ast.Call:
    try:
        node = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError) as error:
        if _one_call_prefix(text):
            raise LineError("one call and nothing after it") from None
        raise LineError(_syntax(error, text)) from None
    if not isinstance(node, ast.Call) or ast.unparse(node.func) != name:
        raise LineError("one call and nothing after it")
    return node


def _one_call_prefix(text: str) -> bool:
    """Whether the text begins with a whole call that more text follows."""
    for at, char in enumerate(text):
        if char != ")" or not text[at + 1 :].strip():
            continue
        try:
            node = ast.parse(text[: at + 1], mode="eval").body
        except (SyntaxError, ValueError):
            continue
        return isinstance(node, ast.Call)
    return False


def _as_arguments(text: str) -> str:
    words = text.split()
    return ", ".join(words) if all(re.fullmatch(r"[\w.=-]+", word) for word in words) else text


def payload(text: str) -> tuple[Any, ast.expr | None]:
    """A payload: (value, None) for strict JSON, else (None, the Python expression).

    Raises LineError for neither.
    """
    try:
        return json.loads(text, parse_constant=_not_json), None
    except (ValueError, RecursionError):
        pass
    return None, expression(text)


def expression(text: str) -> ast.expr:
    """The text as one Python expression; raises LineError when it is none."""
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError) as error:
        keywords = _keywords(text)
        if keywords:
            raise LineError(f"keywords? write {keywords}") from None
        if re.fullmatch(r"[\w\s.,;:!?'-]+", text) and not text[0].isdigit():
            raise LineError(f"text needs quotes: {text.strip()!r}") from None
        raise LineError(_syntax(error, text)) from None


def _keywords(text: str) -> str:
    """`by="ada"` as the JSON object that was probably meant, "" when it is not that."""
    try:
        node = ast.parse(f"f({text})", mode="eval").body
    except (SyntaxError, ValueError):
        return ""
    if not isinstance(node, ast.Call) or node.args or not node.keywords or any(k.arg is None for k in node.keywords):
        return ""
    return "{" + ", ".join(f'"{k.arg}": {_as_json(k.value)}' for k in node.keywords) + "}"


def _as_json(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=str() | int() | float() | None as value):
            return json.dumps(value, ensure_ascii=False)
        case ast.Name(id=name):
            return name if name in ("true", "false", "null") else json.dumps(name, ensure_ascii=False)
        case _:
            return ast.unparse(node)


def _not_json(text: str) -> None:
    raise ValueError(text)


def _syntax(error: SyntaxError | ValueError, text: str) -> str:
    if not isinstance(error, SyntaxError):
        return str(error)
    where = f" (line {error.lineno} of the expression)" if (error.lineno or 1) > 1 else ""
    return f"{error.msg}{where}: {' '.join(text.split())}"
