"""Codecs for payloads: `aionlab.open("lab.db", codecs=[Compress(), Encrypt(keys={"2026-01": key}, key_id="2026-01")])`.

Inputs, results, signals, memos, arguments of updates and errors with their messages and details pass through the chain on their way
to the database and back; code never sees it, and replay compares what was recorded, not how it is stored. Not encrypted, since the
lab searches or shows it without keys: workflow ids and types, names, search attributes, reasons of cancels and terminations, times,
and the code itself. An idempotency key keeps a digest of its input. What is exported from a lab, and what a notebook shows, is in the clear.

Each payload says how it was written, so codecs and keys can change at any time: what was written before stays readable for as long
as its key is given. Without its key a run is stuck, not failed, and views show `encrypted (key 2026-01)`.

A codec of your own is an object with a `name`, `encode(bytes) -> bytes` and `decode(bytes) -> bytes`, see `aionlab.core.codecs`.
"""
from __future__ import annotations

from aionlab.core.codecs import Codec, KeyedCodec

from .compress import Compress
from .encrypt import Encrypt, new_key

__all__ = ["Codec", "Compress", "Encrypt", "KeyedCodec", "new_key"]
