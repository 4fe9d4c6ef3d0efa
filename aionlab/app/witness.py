"""The witness: this user's word that the log in a file was last written here.

Trusted code fed with somebody else's history is as bad as somebody else's code. Each owner signs the epoch it claims, in the transaction
that claims it, and at a clean close what the open runs' histories are. A file whose epoch bears no signature of this user's secret was
last written elsewhere; one that was closed cleanly and reads otherwise now was changed since. Either way the runs recorded so far wait
until the user trusts the file.

What it cannot see: a file that was not closed cleanly, and changed by something else than aionlab afterwards. That is the price of recovering
from a crash without asking.
"""
from __future__ import annotations

from typing import Literal

from aionlab.store.sqlite import SqliteStore

from .library import Signer

KEY = "witness"
"""Its row of facts about the lab."""
State = Literal["open", "closed"]


def holds(store: SqliteStore, signer: Signer, epoch: int) -> bool:
    """Whether the log was last written with this user's secret, by the owner of this epoch, and not changed since a clean close."""
    if store.heads().run_key == 0:
        return True
    state, _, signature = (store.meta(KEY) or "").partition(" ")
    return (state == "open" or state == "closed") and signer.signed(_signed(store, epoch, state), signature)


def text(store: SqliteStore, signer: Signer, epoch: int, state: State) -> str:
    """What to keep under `KEY`."""
    return f"{state} {signer.sign(_signed(store, epoch, state))}"


def _signed(store: SqliteStore, epoch: int, state: str) -> bytes:
    return f"witness 1 {epoch} {state} {store.digest() if state == 'closed' else ''}".encode()
