"""Labs with codecs: what a database remembers of them, and what a lab that lacks them may do."""
from __future__ import annotations

import os
from typing import Any

from aionlab.core.codecs import Codecs, key_of
from aionlab.store.sealing import KEY, Sealing
from aionlab.store.sqlite import SqliteStore


def sealing_of(store: SqliteStore, chain: Codecs, given: bool) -> Sealing | None:
    """What payloads of this database pass through; None where they are as they always were.

    A lab opened without codecs on a database that encrypts may look, and writes nothing: what it wrote would be there for all to read.
    """
    known = store.meta(KEY)
    if not given:
        key_id = key_of(known or "")
        return None if known is None else Sealing(chain, "" if key_id is None else _missing(store.path, key_id))
    if not store.readonly and known != chain.label:
        store.set_meta(KEY, chain.label)
    return Sealing(chain)


def encrypting(store: Any) -> str:
    """The label of what a store writes."""
    sealing: Sealing | None = store.sealing
    return "" if sealing is None else sealing.codecs.label


def _missing(path: str, key_id: str) -> str:
    name = os.path.basename(path)
    return f"{name} encrypts what it records (key {key_id}); open it with codecs=[…, Encrypt(keys={{{key_id!r}: …}}, key_id={key_id!r})]"
