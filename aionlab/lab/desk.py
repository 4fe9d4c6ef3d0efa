"""`%aion`: where the notebook stands, the way to every verb, and the verbs that are about the lab itself."""
from __future__ import annotations

import os
import platform
import re
import signal
import sys
from typing import Any

from .errors import LineError
from .grammar import Option, Slot, nearest
from .pages import Note, columns
from .verbs import VERBS, Request, help_page, verb


@verb(
    "aion", Slot("VERB", "words", needed=False),
    options=(
        Option("seed", "reopen the lab with ids and chance drawn from this seed", metavar="N"),
        Option("clock", "reopen the lab with this clock", metavar="real|virtual", choices=("real", "virtual")),
    ),
    example="%aion", cell=True,
)
def aion(ask: Request) -> Any:
    """Where the lab stands; %aion VERB … is any verb."""
    if ask.asked.words:
        word = str(ask.names.word(ask.asked.words[0]))
        raise LineError(_unknown(word))
    session = ask.session
    seed, clock = ask.value("seed"), ask.text("clock")
    if seed is not None or clock is not None:
        if seed is not None:
            if not str(seed).isdigit():
                raise LineError(f"--seed is a whole number, not {seed}")
            session.magics.seed = int(seed)
        session.magics.clock = clock or session.magics.clock
        path = str(session.lab.path)
        session.close()
        return Note(session.banner(session.open(path)))
    return ask.lab.status()


def split(line: str) -> tuple[str, str]:
    """(verb, its line) of what follows `%aion`; the verb is "aion" when there is none."""
    found = re.match(r"\s*%{0,2}([A-Za-z_]\w*)(?=\s|;|$)(.*)", line, re.DOTALL)
    return (found[1], found[2].strip()) if found else ("aion", line)


def dispatch(line: str) -> tuple[str, str]:
    """As `split`; raises LineError for a verb there is not."""
    name, rest = split(line)
    if name not in VERBS:
        raise LineError(_unknown(name))
    return name, rest


def _unknown(name: str) -> str:
    near = nearest(name, list(VERBS))
    return f"no verb {name}" + (f"; did you mean %aion {near}?" if near else "; %aion help lists them")


@verb("status", own=False)
def status(ask: Request) -> Any:
    """Where the lab stands: runs, clock, owner, next timer."""
    return ask.lab.status()


@verb("help", Slot("VERB", "words", needed=False), own=False, example="%aion help start")
def help(ask: Request) -> Any:  # noqa: A001 - the verb's name
    """Every verb in a line each, or one verb in full."""
    words = [str(ask.names.word(word)) for word in ask.asked.words]
    return help_page(words[0] if words else None)


@verb("open", Slot("PATH", needed=False), own=False, example="%aion open 02.db")
def open_(ask: Request) -> Any:
    """Use another database in this notebook, made if need be; without PATH, the configured one.

    The lab of before is closed.
    """
    path = os.fspath(ask.names.word(ask.asked.words[0])) if ask.asked.words else None
    return Note(ask.session.banner(ask.session.open(path)))


@verb("close", own=False)
def close(ask: Request) -> Any:
    """Close the lab; its runs stand still until it is opened again."""
    return Note(f"{os.path.basename(ask.session.close())} is closed; %aion open opens it again")


@verb("takeover", own=False)
def takeover(ask: Request) -> Any:
    """Take the database from the kernel that owns it; that one can then only read."""
    session = ask.session
    path = str(session.lab.path)
    session.close()
    return Note(session.banner(session.open(path, takeover=True)))


@verb("trust", own=False)
def trust(ask: Request) -> Any:
    """Let the stored code of this database run here.

    %aion code shows it, without running anything.
    """
    answer = ask.lab.trust()
    return Note("trusted: its runs come back") if answer is None else answer


@verb("code", Slot("WORKFLOW", needed=False), own=False, example="%aion code order")
def code(ask: Request) -> Any:
    """The stored code of a workflow, or of all of them, as text; nothing is run."""
    name = ask.names.text(ask.asked.words[0], "a workflow's name") if ask.asked.words else None
    return ask.lab.code(name)


@verb("doctor", own=False)
def doctor(ask: Request) -> Any:
    """What this lab runs on, for a bug report."""
    import IPython

    lab = ask.lab
    try:
        from ipykernel._version import __version__ as kernel
    except ImportError:
        kernel = "none"
    rows = [
        ("Python", f"{platform.python_version()} on {platform.system()}"),
        ("IPython", f"{IPython.__version__}, ipykernel {kernel}"),
        ("database", f"{lab.path}{' (read only)' if lab.readonly else ''}"),
        ("owner", str(lab.owner)),
        ("engine thread", "yes" if any("aion" in name for name in _threads()) else "no"),
        ("executable", sys.executable),
    ]
    return Note(columns(rows, indent=""))


def _threads() -> list[str]:
    import threading

    return [thread.name for thread in threading.enumerate()]


@verb("crash", own=False)
def crash(ask: Request) -> Any:
    """Kill this kernel with SIGKILL, no goodbye.

    What was recorded comes back when the lab is opened again.
    """
    sys.stdout.flush()
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
