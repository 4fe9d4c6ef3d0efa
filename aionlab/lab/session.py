"""Which lab a notebook uses, and everything the extension puts into IPython, so that unloading can take it all out again.

Loading opens the lab and returns at once: what was running comes back in the background. The lab is the notebook's variable `lab`
when that holds an open one, else the one the session opened. Nothing here draws or prints from the background.
"""
from __future__ import annotations

import linecache
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aionlab.core.errors import AionError, StoreReadOnly
from aionlab.core.snapshots import Entry
from aionlab.core.status import Status

from . import errors
from .automagic import PlainNames, TrailingQuestion
from .completion import Matcher
from .errors import LineError
from .magics import AionMagics, perform
from .progress import Screen
from .verbs import VERBS, Verb
from .waiting import Notice

if TYPE_CHECKING:

    from aionlab.app.lab import Lab
    from aionlab.code.ledger import Ledger

    from .shell import Shell

Opener = Callable[..., "Lab"]


class Session:
    """One notebook's use of aionlab."""

    def __init__(self, shell: Shell, opener: Opener, ledger: Ledger) -> None:
        self.shell, self.opener, self.ledger = shell, opener, ledger
        self._lab: Lab | None = None
        self._stopped = False
        """Closed on purpose: nothing opens a lab unasked any more."""
        self._put: dict[str, Any] = {}
        self.taken = _taken(shell)
        self.magics = AionMagics(shell, self, self.taken)
        self._matcher: Any = None
        self._checker: PlainNames | None = None

    # --- the lab -----------------------------------------------------------------------------------------------------

    @property
    def lab(self) -> Lab:
        """The lab magics speak to; opened now if loading could not."""
        mine: Any = self.shell.user_ns.get("lab")
        if _is_open_lab(mine):
            return self._adopt(mine)
        if self._stopped:
            raise LineError("the lab is closed: %aion open opens it again, %aion open PATH another one")
        if self._lab is None or self._lab.closed:
            return self.open()
        return self._lab

    def _adopt(self, lab: Lab) -> Lab:
        """Workflows of plain cells are captured when they are first started, from the cells this session remembers."""
        lab.library.ledger = self.ledger
        lab.shows = Screen
        return lab

    def open(self, path: str | None = None, *, takeover: bool = False) -> Lab:
        """Open a database (the configured one by default) and make it the notebook's lab. The lab of before stays open for
        the handles that belong to it until the session ends, unless it is the same file."""
        path = path or self.configured_path()
        seed, clock = self.determinism()
        lab = self._adopt(self.opener(path, clock=clock, deterministic=seed, takeover=takeover))
        if self._lab is not None and self._lab is not lab:
            self._lab.close()
        self._lab, self._stopped = lab, False
        self._bind("lab", lab)
        return lab

    def close(self) -> str:
        """Close the notebook's lab until one is opened by name; gives its path."""
        lab = self.lab
        self._stopped = True
        lab.close()
        if lab is self._lab:
            self._lab = None
        if self.shell.user_ns.get("lab") is lab:
            self.shell.drop_by_id({"lab": lab})
            self._put.pop("lab", None)
        return str(lab.path)

    def configured_path(self) -> str:
        return os.environ.get("AIONLAB_DB") or self.magics.path

    def determinism(self) -> tuple[int | None, str]:
        """(seed or None, clock) for a lab opened now."""
        given = os.environ.get("AIONLAB_DETERMINISTIC", "")
        if given and given != "0":
            return (int(given) if given.isdigit() else 1), "virtual"
        return self.magics.seed, self.magics.clock

    def check_writable(self) -> None:
        """Raises StoreReadOnly, with the ways out, when another kernel owns the lab."""
        lab = self.lab
        if lab.readonly:
            raise StoreReadOnly(observing(lab))

    def read_only(self, message: str) -> str:
        """Why nothing can be written, with the ways out where there are some."""
        lab = self.lab
        return observing(lab) if lab.readonly else message

    # --- what cells see ----------------------------------------------------------------------------------------------

    @property
    def notice(self) -> Notice:
        return Notice(self.magics.notice_after, self.say)

    def say(self, text: str) -> None:
        """One line in the cell's output that is no error."""
        self.display({"text/plain": text}, raw=True)

    def display(self, thing: Any, raw: bool = False) -> None:
        from IPython.display import display

        display(thing, raw=raw)  # type: ignore[no-untyped-call]

    def perform(self, entry: Verb, line: str, body: str | None, local_ns: Mapping[str, Any] | None) -> Any:
        return perform(self, entry, line, body, local_ns)

    def banner(self, lab: Lab) -> str:
        """One line: which file, and what comes back."""
        if lab.readonly:
            return observing(lab)
        parts = [f"aionlab: {_shown(lab.path)}"]
        seed, clock = self.determinism()
        if clock == "virtual":
            parts.append("virtual clock" + (f", seed {seed}" if seed is not None else ""))
        parts += _returning(lab)
        parts.append("%aion help")
        return " · ".join(parts)

    # --- in and out of IPython ---------------------------------------------------------------------------------------

    def load(self) -> None:
        """Put everything in place and open the lab; a lab that cannot be opened is said in a line, and tried again when used."""
        from aionlab.authoring.faces import activity, workflow
        from aionlab.core.retry import Retry

        shell = self.shell
        shell.register_magics(self.magics)
        errors.install(shell)
        self._checker = PlainNames(shell=shell, prefilter_manager=shell.prefilter_manager, parent=shell.prefilter_manager)  # type: ignore[no-untyped-call]
        self._checker.names = frozenset(self.magics.magics["line"])
        shell.input_transformer_manager.token_transformers.append(TrailingQuestion)
        self._matcher = Matcher(self).matcher()
        if getattr(shell, "Completer", None) is not None:
            shell.Completer.custom_matchers.append(self._matcher)
        shell.events.register("post_run_cell", self._note)
        shell.events.register("post_run_cell", self._names_came)
        self._seed_ledger()
        for name, value in {"workflow": workflow, "activity": activity, "Retry": Retry}.items():
            self._bind(name, value)
        if _is_open_lab(shell.user_ns.get("lab")):
            line = self.banner(self._adopt(shell.user_ns["lab"]))
        else:
            try:
                line = self.banner(self.open())
            except AionError as reason:
                line = f"aionlab: {reason}"
        taken = f" · %aion VERB for {', '.join(sorted(self.taken))}: another extension has those names" if self.taken else ""
        if self.magics.banner:
            print(line + taken)  # noqa: T201 - the one line of `%load_ext`

    def unload(self) -> None:
        """Take out all that `load` put in, and close the lab it opened."""
        shell = self.shell
        if self._matcher is not None and self._matcher in shell.Completer.custom_matchers:
            shell.Completer.custom_matchers.remove(self._matcher)
        if self._checker is not None:
            shell.prefilter_manager.unregister_checker(self._checker)
        transformers = shell.input_transformer_manager.token_transformers
        if TrailingQuestion in transformers:
            transformers.remove(TrailingQuestion)
        for hook in (self._note, self._names_came):
            with suppress(ValueError):
                shell.events.unregister("post_run_cell", hook)
        for kind, table in self.magics.magics.items():
            for name, magic in table.items():
                if shell.magics_manager.magics[kind].get(name) is magic:
                    del shell.magics_manager.magics[kind][name]
        shell.magics_manager.registry.pop("AionMagics", None)
        if self.magics in shell.configurables:
            shell.configurables.remove(self.magics)
        errors.uninstall()
        shell.drop_by_id(self._put)
        self._put.clear()
        if self._lab is not None:
            self._lab.close()
            self._lab = None

    def _bind(self, name: str, value: Any) -> None:
        """Put a name into the notebook unless the user has given it to something else; a lab follows a lab."""
        if name in self.shell.user_ns and not _is_lab(self.shell.user_ns[name]):
            return
        self.shell.push({name: value}, interactive=False)
        self._put[name] = value

    # --- the ledger --------------------------------------------------------------------------------------------------

    def _note(self, result: Any) -> None:
        """After each cell: remember its source. Memory only."""
        info = getattr(result, "info", None)
        raw = getattr(info, "raw_cell", None)
        if not isinstance(raw, str):
            return
        source = getattr(info, "transformed_cell", None)
        source = source if isinstance(source, str) else self.shell.transform_cell(raw)
        for number in (getattr(result, "execution_count", None), self.shell.execution_count, self.shell.execution_count - 1):
            if number is not None:
                filename = self.shell.compile.get_code_name(raw, source, number)
                if filename in linecache.cache:
                    self.ledger.note_cell(source, filename, self.shell.user_ns, f"In[{number}]")
                    return

    def _names_came(self, result: Any) -> None:
        """After each cell: activities that wait for names of the notebook try again. Only a hint; the next definition does it too."""
        mine: Any = self.shell.user_ns.get("lab")
        lab = mine if _is_open_lab(mine) else self._lab
        if lab is not None and not lab.closed:
            with suppress(AionError):
                lab.names_came()

    def _seed_ledger(self) -> None:
        """Remember the cells that ran before the extension was loaded, from IPython's compile cache."""
        for filename, number in list(getattr(self.shell.compile, "_filename_map", {}).items()):
            entry = linecache.cache.get(filename)
            if entry is not None and len(entry) == 4:
                self.ledger.note_cell("".join(entry[2]), filename, self.shell.user_ns, f"In[{number}]")


def observing(lab: Lab) -> str:
    """The line for a notebook whose file another kernel owns."""
    path = Path(str(lab.path))
    if str(lab.owner).startswith("nobody: "):
        return f"{str(lab.owner).removeprefix('nobody: ')}; this notebook looks on: `%aion open {free_name(path)}` for a lab of its own"
    return f"{path.name} belongs to {lab.owner}; this notebook looks on: `%aion open {free_name(path)}` or `%aion takeover`"


def free_name(path: Path) -> str:
    """A database name beside `path` that is not in use: 02.db, 03.db, …"""
    number = 2
    while (path.parent / f"{number:02}.db").exists():
        number += 1
    return f"{number:02}.db"


def _shown(path: object) -> str:
    return str(path) if str(path) == ":memory:" else Path(str(path)).name


def _returning(lab: Lab) -> list[str]:
    """What comes back, in words. Bringing it back goes on in the background, and so the count is not waited for long."""
    call = lab.ask("registry")
    if not lab.wait(call, 0.1):
        return ["its runs come back in the background"]
    open_runs: list[Entry] = call.outcome()
    waiting = sum(entry.residency == "Waiting" for entry in open_runs)
    stuck = sum(entry.residency == "Stuck" for entry in open_runs)
    back = sum(entry.status is Status.RUNNING for entry in open_runs) - waiting - stuck
    parts = []
    if back:
        parts.append(f"{_counted(back, 'run comes', 'runs come')} back in the background")
    if any(entry.waiting_for.startswith("trust:") for entry in open_runs):
        parts.append(f"last written elsewhere, {_counted(waiting, 'run waits', 'runs wait')}: `%aion code` to read, `%aion trust` to run")
    elif waiting:
        parts.append(f"{_counted(waiting, 'run waits', 'runs wait')} for code: %registry says why")
    if stuck:
        parts.append(f"{_counted(stuck, 'run is', 'runs are')} stuck: %registry says why")
    return parts


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _is_open_lab(value: Any) -> bool:
    return _is_lab(value) and not value.closed


def _is_lab(value: object) -> bool:
    kind = type(value)
    return kind.__name__ == "Lab" and kind.__module__.startswith("aionlab.")


def _taken(shell: Shell) -> frozenset[str]:
    """Our names that somebody else's magics have."""
    manager = shell.magics_manager.magics
    return frozenset(entry.name for entry in VERBS.values() if entry.own and (entry.name in manager["line"] or entry.name in manager["cell"]))


_SESSIONS: dict[int, Session] = {}


def session_of(shell: Shell) -> Session | None:
    """The session loaded into a shell, if there is one."""
    return _SESSIONS.get(id(shell))


def load_ipython_extension(shell: Shell) -> None:
    """`%load_ext aionlab`: open the lab beside the notebook and put magics and names in place; a second load changes nothing."""
    from aionlab.app.opening import open as opener
    from aionlab.code.ledger import Ledger

    load(shell, opener, Ledger())


def load(shell: Shell, opener: Opener, ledger: Ledger) -> Session:
    """As `load_ipython_extension`, with a given way to open labs."""
    found = _SESSIONS.get(id(shell))
    if found is not None:
        return found
    session = _SESSIONS[id(shell)] = Session(shell, opener, ledger)
    session.load()
    return session


def unload_ipython_extension(shell: Shell) -> None:
    """`%unload_ext aionlab`: take everything out again and close the lab."""
    found = _SESSIONS.pop(id(shell), None)
    if found is not None:
        found.unload()
