"""Opening a lab: the one place where clocks, ids, threads, stores and secrets are put together."""
from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from aionlab.backends.inline import InlineExecutor
from aionlab.backends.processes import ProcessExecutor
from aionlab.backends.routing import Hearing, OneByOne, RoutedExecutor
from aionlab.backends.threads import ThreadExecutor
from aionlab.code import trust
from aionlab.code.ledger import Ledger
from aionlab.core.clock import Micros
from aionlab.core.codecs import Codec, Codecs, KeyedCodec
from aionlab.core.converters import Converters, ValueConverter
from aionlab.core.errors import InvalidOption, StoreError, StoreLocked
from aionlab.core.ports import ActivityExecutor
from aionlab.engine.api import VERBS
from aionlab.engine.engine import Engine
from aionlab.store.lease import Owner
from aionlab.store.sqlite import SqliteStore

from . import witness
from .clocks import EPOCH_2020, CountedIds, RandomIds, RealClock, VirtualClock
from .hosts import Host, InlineHost, ThreadHost
from .lab import Lab
from .library import Library, Signer
from .parcels import judged, wrap
from .sealed import encrypting, sealing_of

_PATIENCE = 250
"""Times an observer looks, 20 ms apart, whether the owner of a new file has made it."""
_open_labs: dict[str, Lab] = {}
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_open_labs.clear)  # they are the parent's


def open(  # noqa: A001 - `aionlab.open` is the public name
    path: str | os.PathLike[str] = "lab.db", *, clock: Literal["real", "virtual"] = "real", takeover: bool = False, deterministic: int | None = None,
    ghost_starts: bool = False, synchronous: Literal["FULL", "NORMAL"] = "FULL", threads: bool = True,
    codecs: Sequence[Codec | KeyedCodec] = (), converters: Iterable[ValueConverter] = (),
) -> Lab:
    """Open the lab in the database `path` (":memory:" too), made if need be; what was running comes back in the background.

    `clock="virtual"` stands still until it is skipped. `deterministic` seeds ids, chance and scheduling, so that a notebook gives the same
    output every time. `synchronous="FULL"` flushes each commit to the disk; "NORMAL" is faster and may lose the last commits when the power
    fails (never when a process dies). `threads=False` runs the engine inside the calls. `ghost_starts` leaves a start that failed after it was
    recorded in the log, to be executed when the lab is next opened.

    `codecs` are what payloads pass through on their way to the database and back, in this order: `[Compress(), Encrypt(keys, key_id)]`, see
    `aionlab.codecs`. `converters` are `ValueConverter`s of types that cannot be recorded otherwise.

    A database that another process owns opens as an observer that only reads; `takeover=True` fences the owner off instead. Opening a file that
    is open here gives the same lab.

    Raises NotOurDatabase for a file that is something else, StoreUnavailable, InvalidOption.
    """
    name = os.fspath(path)
    if clock not in ("real", "virtual"):
        raise InvalidOption(f'clock={clock!r}; choose "real" or "virtual"')
    if synchronous not in ("FULL", "NORMAL"):
        raise InvalidOption(f'synchronous={synchronous!r}; choose "FULL" or "NORMAL"')
    chain, extras = Codecs(codecs), Converters(converters)
    if name != ":memory:":
        name = os.path.realpath(name)
        known = _open_labs.get(name)
        if known is not None and not known.closed and not (takeover and known.readonly):
            if codecs and encrypting(known.host.engine.store) != chain.label:
                raise InvalidOption(f"{os.path.basename(name)} is open here with other codecs; close it first: aionlab.open({os.fspath(path)!r}).close()")
            return known
        if known is not None:
            known.close()
    library = Library(Ledger(), extras=extras)
    me = Owner(os.getpid(), os.uname().nodename, _notebook(), Micros(time.time_ns() // 1000))
    bars: list[str] = []

    def on_claim(store: SqliteStore, epoch: int) -> None:
        signer = _signer(store)
        if witness.holds(store, signer, epoch - 1):
            store.set_meta(witness.KEY, witness.text(store, signer, epoch, "open"))
        else:
            bars.append(elsewhere(name))

    def farewell(engine: Engine) -> None:
        if not (store.readonly or engine.bar or engine.halted or name == ":memory:" or library.signer is None):
            with suppress(StoreError):
                store.set_meta(witness.KEY, witness.text(store, library.signer, store.epoch, "closed"))

    store, owner = _store(name, me, takeover, synchronous, on_claim)
    try:
        library.signer = _signer(store)
        library.stored.store = store
        store.sealing = sealing_of(store, chain, bool(codecs))
        if store.sealing is not None and store.sealing.why:
            bars.append(store.sealing.why)
        if store.readonly and not witness.holds(store, library.signer, store.claimed()):
            bars.append(elsewhere(name))
        lab_clock = RealClock() if clock == "real" else VirtualClock(max(EPOCH_2020, store.heads().last_at))
        ids = RandomIds() if deterministic is None else CountedIds(deterministic, store.heads().run_key)

        def make() -> Engine:
            executor = _executor(library, deterministic is not None, threads)
            engine = Engine(store, lab_clock, ids, executor, VERBS, load=library.loader(store, elsewhere(name)), ghost_starts=ghost_starts)
            engine.bar = "; ".join(bars)
            return engine

        host: Host = ThreadHost(make, farewell) if threads else InlineHost(make(), farewell)
    except BaseException:
        store.close()
        raise
    lab = Lab(name, host, library, ids, owner, _forget)
    if name != ":memory:":
        _open_labs[name] = lab
    return lab


def _executor(library: Library, deterministic: bool, threads: bool) -> ActivityExecutor:
    """Where attempts run: in threads and on the asyncio thread (on the engine's own, one after the other, where order matters or there are
    no threads), or in processes, when they ask for it."""
    usual: Hearing = InlineExecutor(library.lookup) if deterministic or not threads else ThreadExecutor(library.lookup)

    def processes() -> Hearing:
        executor = ProcessExecutor(
            lambda attempt: wrap(library, attempt), "aionlab.app.worker:main", judge=lambda attempt, failure: judged(library, attempt, failure)
        )
        return OneByOne(executor) if deterministic else executor

    return RoutedExecutor(usual, {"process": processes})


def _store(
    name: str, me: Owner, takeover: bool, synchronous: Literal["FULL", "NORMAL"], on_claim: Callable[[SqliteStore, int], None]
) -> tuple[SqliteStore, str]:
    """The store and who owns it."""
    try:
        store = SqliteStore.open(name, owner=me, takeover=takeover, synchronous=synchronous, on_claim=on_claim)
    except StoreLocked as locked:
        return _watched(name), locked.owner
    return store, f"nobody: {store.reason}" if store.readonly else "this kernel"


def _watched(name: str) -> SqliteStore:
    """The store of a file that another process owns, as soon as that one has made it."""
    for _ in range(_PATIENCE):
        with suppress(StoreError):
            store = SqliteStore.open(name, readonly=True)
            try:
                if store.meta("uuid") is not None:
                    return store
            except StoreError:
                pass
            store.close()
        time.sleep(0.02)
    return SqliteStore.open(name, readonly=True)


def elsewhere(name: str) -> str:
    """What runs wait for whose code or history comes from somebody else."""
    return f"trust: {os.path.basename(name)} was last written elsewhere; `%aion code` to read, `%aion trust` to run"


def _signer(store: SqliteStore) -> Signer:
    """Signs for this user and this lab; a new lab gets its uuid here."""
    lab_uuid = store.meta("uuid")
    if lab_uuid is None:
        lab_uuid = str(uuid.uuid4())
        if not store.readonly:
            store.set_meta("uuid", lab_uuid)
    try:
        return Signer(trust.secret(_secret_directory()), lab_uuid)
    except ValueError as error:
        raise InvalidOption(str(error)) from error
    except OSError:
        # No home to keep a secret in: this process trusts what it defines itself, and nothing that is stored.
        return Signer(os.urandom(trust.SECRET_BYTES), lab_uuid)


def _secret_directory() -> Path:
    """`aionlab` in the Jupyter data directory, which is where notebook trust lives too."""
    given = os.environ.get("JUPYTER_DATA_DIR")
    if given:
        return Path(given) / "aionlab"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Jupyter" / "aionlab"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "jupyter" / "aionlab"


def _notebook() -> str:
    """What this process calls itself to others: the notebook's path where the front end tells it."""
    return os.environ.get("JPY_SESSION_NAME", "")


def _forget(lab: Lab) -> None:
    if _open_labs.get(lab.path) is lab:
        del _open_labs[lab.path]


