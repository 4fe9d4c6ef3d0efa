"""The verbs as IPython magics, and their settings (`%config AionMagics`)."""
from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, magics_class
from traitlets import Bool, Enum, Float, Integer, Unicode

from aionlab.core.errors import StoreReadOnly

from . import branching, clocks, control, desk, looking, messages, queues, schedules, starting, versions  # noqa: F401 - each enters its verbs into the table
from .errors import LineError, show_here
from .grammar import read
from .pages import Note
from .values import Names
from .verbs import VERBS, Request, Verb, help_page

if TYPE_CHECKING:

    from .session import Session
    from .shell import Shell


@magics_class
class AionMagics(Magics):
    """Durable workflows in cells; `%aion help` lists the verbs."""

    path = Unicode("lab.db", help="database the extension opens, beside the notebook; AIONLAB_DB overrides it").tag(config=True)
    clock = Enum(("real", "virtual"), "real", help="clock of labs that are opened from now on").tag(config=True)
    seed = Integer(None, allow_none=True, help="seed of ids and chance, for notebooks that are tested; AIONLAB_DETERMINISTIC overrides it").tag(
        config=True
    )
    notice_after = Float(2.0, help="seconds after which a wait says what it waits for; 0 for never").tag(config=True)
    banner = Bool(True, help="say in one line what was opened").tag(config=True)

    def __init__(self, shell: Shell, session: Session, taken: frozenset[str] = frozenset()) -> None:
        super().__init__(shell)  # type: ignore[arg-type]  # the part of a shell we use
        self.session = session
        for entry in VERBS.values():
            if not entry.own or entry.name in taken:
                continue
            self.magics["line"][entry.name] = self._line(entry)  # for a cell's verb too: it says what to write
            if entry.cell:
                self.magics["cell"][entry.name] = self._cell(entry)

    def _line(self, entry: Verb) -> Callable[..., Any]:
        def magic(line: str, local_ns: Mapping[str, Any] | None = None) -> Any:
            return self.session.perform(entry, line, None, local_ns)

        return _marked(magic, entry)

    def _cell(self, entry: Verb) -> Callable[..., Any]:
        def magic(line: str, cell: str, local_ns: Mapping[str, Any] | None = None) -> Any:
            return self.session.perform(entry, line, cell, local_ns)

        return _marked(magic, entry)


_HELP = re.compile(r"(?:^|\s)(?:-h|--help)(?:\s|$)")


def _marked(magic: Callable[..., Any], entry: Verb) -> Callable[..., Any]:
    """What IPython's decorators would say: the line is ours to expand, names come with it, `;` silences the value."""
    magic.__name__ = magic.__qualname__ = entry.name
    magic.__doc__ = entry.help
    magic.needs_local_scope = True  # type: ignore[attr-defined]
    magic._ipython_magic_no_var_expand = True  # type: ignore[attr-defined]
    magic._ipython_magic_output_can_be_silenced = True  # type: ignore[attr-defined]
    return magic


def perform(session: Session, entry: Verb, line: str, body: str | None, local_ns: Mapping[str, Any] | None = None) -> Any:
    """Parse, call, show: one use of a verb. Every error leaves it in the form a notebook should show."""
    try:
        if entry.name == "aion":
            name, line = desk.dispatch(line)
            entry = VERBS[name]
        if body is None and not entry.line and not _HELP.search(line):
            raise LineError(f"{entry.name} takes a cell: %%{entry.name} on its first line")
        if body is not None and not entry.cell:
            raise LineError(f"{entry.name} takes a line: {entry.written}, without a cell below it")
        asked = read(line, entry.shape, body)
        if asked.help:
            return Note(entry.help) if entry.name != "aion" else help_page()
        return entry.run(Request(session, entry, asked, Names(session.shell.user_ns, local_ns), body))
    except BaseException as error:  # noqa: BLE001 - raised again, in the form a notebook should show
        if isinstance(error, StoreReadOnly):
            error.args = (session.read_only(str(error)),)
        raise show_here(error, session.shell) from error.__cause__
