"""Verbs: what a magic is. One function each, with its line's shape; help, completion and `%aion` are read off this table."""
from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import LineError
from .grammar import Asked, Option, Shape, Slot, Source, Text, Word
from .pages import Note, columns
from .values import Names

if TYPE_CHECKING:
    from aionlab.app.handle import Handle
    from aionlab.app.lab import Lab

    from .session import Session

ID = Slot("ID")
RUN = Option("run", "that run of the id instead of its newest", metavar="RUN_ID")
REASON = Option("reason", "why, for the history: one word, or text in quotes", metavar="TEXT")
TIMEOUT = Option("timeout", "stop waiting after this long: 10s, 2m", metavar="TIME")

WHERE = Option("where", "every run that this filter finds, see %runs -h", metavar="FILTER", instead="ID")
DRY_RUN = Option("dry-run", "with --where: only say what would be done", "flag")


class Request:
    """One use of a verb: what was asked, the names it may use, and the session it is asked of."""

    def __init__(self, session: Session, verb: Verb, asked: Asked, names: Names, body: str | None = None) -> None:
        self.session, self.verb, self.asked, self.names, self.body = session, verb, asked, names, body

    @property
    def lab(self) -> Lab:
        return self.session.lab

    def text(self, option: str) -> str | None:
        """An option whose value is text; None when it was not given."""
        word = self.asked.word(option)
        return None if word is None else self.names.text(word, f"--{option}")

    def value(self, option: str) -> Any:
        """An option's value; None when it was not given."""
        word = self.asked.word(option)
        return None if word is None else self.names.word(word)

    def pairs(self, option: str) -> dict[str, Any] | None:
        """The fields of an option that may be repeated; None when it was not given."""
        found = dict(self.names.pair(pair) for pair in self.asked.options.get(option, []) if not isinstance(pair, Text | Source))
        return found or None

    def handle(self) -> Handle:
        """The run the first word names: a workflow id, or a variable that holds a handle.

        Raises LineError when the word is both, RunNotFound when it is neither.
        """
        word = self.asked.words[0]
        run_id = self.text("run") if self.verb.shape.option("run") else None
        held = self._held(word)
        if held is None:
            return self.lab.get(self.names.text(word, "an id"), run_id)
        if isinstance(word, Text) and word.text != held.id and word.text in set(self.lab.ids()):
            raise LineError(
                f"{word.text} is a workflow id and a variable that holds the handle of {held.id}: write '{word.text}' for the id, ({word.text}) for the handle"
            )
        return self.lab.get(held.id, run_id or held.run_id)

    def run_id(self) -> str | None:
        """The one run that is meant, None when only the workflow id was named."""
        held = self._held(self.asked.words[0])
        return self.text("run") or (None if held is None else held.run_id)

    def _held(self, word: Word) -> Any:
        value = self.names.get(word.text) if isinstance(word, Text) else self.names.word(word)
        return value if is_handle(value) else None

    def bind(self, option: str, value: object) -> None:
        """Give the value the name the option asks for, if it does."""
        name = self.text(option)
        if name is None:
            return
        self.session.shell.user_ns[name] = value
        self.session.shell.user_ns_hidden.pop(name, None)

    def check_name(self, option: str) -> None:
        """Raises LineError when the option's value is no variable name."""
        name = self.text(option)
        if name is not None and not name.isidentifier():
            raise LineError(f"--{option} {name}: not a variable name")


def many(ask: Request) -> Any:
    """The runs that `--where` finds; None when it was not given. Raises LineError for what makes sense with one run only."""
    where = ask.text("where")
    if where is None:
        if ask.asked.has("dry-run"):
            raise LineError(f"--dry-run goes with --where FILTER: %{ask.verb.name} --where \"status = 'Running'\" --dry-run")
        return None
    if ask.asked.has("run"):
        raise LineError("--run names a run of one id; with --where, ask for run_id = '…'")
    return ask.lab.runs(where)


def is_handle(value: object) -> bool:
    """Whether a value is a handle of some lab."""
    kind = type(value)
    return kind.__module__.startswith("aionlab.") and kind.__name__ == "Handle"


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb of `%aion`, and a magic of its own unless it is only reached through `%aion`."""

    name: str
    shape: Shape
    run: Callable[[Request], Any]
    line: bool = True
    cell: bool = False
    own: bool = True
    """Whether it is a magic of its own."""

    @property
    def written(self) -> str:
        sign = "%" if self.line else "%%"
        return f"{sign}{self.name}" if self.own else f"%aion {self.name}"

    @property
    def usage(self) -> str:
        return self.shape.usage.replace(f"%{self.shape.magic}", self.written, 1)

    @property
    def brief(self) -> str:
        """The usage without the options."""
        return " ".join([self.written, *(slot.usage for slot in self.shape.slots)])

    @property
    def summary(self) -> str:
        return (inspect.getdoc(self.run) or "").partition("\n")[0]

    @property
    def help(self) -> str:
        """The whole help text: usage, what it does, options, an example."""
        lines = [self.usage, "", inspect.getdoc(self.run) or ""]
        if self.line and self.cell:
            lines += ["", f"%%{self.name} takes the expression from the cell's body."]
        lines += ["", columns([*((option.usage, option.help) for option in self.shape.options), ("-h", "this text")])]
        if self.shape.example:
            lines += ["", f"Example: {self.shape.example}"]
        return "\n".join(lines)


VERBS: dict[str, Verb] = {}
"""Every verb by name."""


def verb(
    name: str, *slots: Slot, options: tuple[Option, ...] = (), example: str = "", line: bool = True, cell: bool = False, own: bool = True
) -> Callable[[Callable[[Request], Any]], Callable[[Request], Any]]:
    """Enter a function into the table; its docstring is the help."""

    def enter(run: Callable[[Request], Any]) -> Callable[[Request], Any]:
        shape = Shape(name if own else f"aion {name}", slots, options, example)
        VERBS[name] = Verb(name, shape, run, line, cell, own)
        return run

    return enter


def help_page(name: str | None = None) -> Note:
    """The help of one verb, or the table of all; raises LineError for an unknown name."""
    if name is not None:
        found = VERBS.get(name.lstrip("%"))
        if found is None:
            from .grammar import nearest

            near = nearest(name.lstrip("%"), list(VERBS))
            raise LineError(f"no verb {name}" + (f"; did you mean {near}?" if near else "; %aion help lists them"))
        return Note(found.help)
    parts = ["%VERB -h tells more; %aion VERB reaches each of them too."]
    for module, title in _GROUPS:
        rows = [(entry.brief, entry.summary) for entry in VERBS.values() if entry.run.__module__.endswith(f".{module}")]
        parts.append(f"{title}:\n{columns(rows)}")
    return Note("\n\n".join([*parts, _ENDING]))


_GROUPS = (
    ("starting", "Define and start"), ("messages", "Talk to a run"), ("control", "Steer it"), ("branching", "Go on, or go back"), ("looking", "Look"), ("clocks", "Time"), ("queues", "Queues"), ("schedules", "By the clock"),
    ("versions", "Versions of code"), ("desk", "The lab itself"),
)  # fmt: skip


_ENDING = """How runs end, or do not:
  %kill PID       one process dies; its run comes back by replay
  %cancel ID      the workflow's code is asked to stop and may clean up
  %terminate ID   the run ends at once; its code does not run again
  ■ (interrupt)   stops a wait in a cell, never a run"""
