"""Encryption by AES-GCM, with keys by name."""
from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from typing import Any

from aionlab.core.codecs import missing
from aionlab.core.errors import InvalidOption, PayloadSealed

_NONCE = 12
_SIZES = (16, 24, 32)


class Encrypt:
    """AES-GCM (authenticated encryption) with the key called `key_id`; the others in `keys` read what was written with them.

    A key is 16, 24 or 32 random bytes, or their base64 (`new_key()` makes one). With `key_id=None` nothing more is encrypted.
    Each payload is 28 bytes longer than it was: a random nonce of 12 bytes before it, a tag of 16 behind it. One key is good for
    some 4 billion payloads; change it before (a new `key_id`, the old key kept in `keys`).

    Needs the package `cryptography`: pip install 'aionlab[crypto]'. Raises InvalidOption.
    """

    name = "aes-gcm"

    def __init__(self, keys: Mapping[str, bytes | str], key_id: str | None) -> None:
        if key_id is not None and key_id not in keys:
            raise InvalidOption(f"key_id={key_id!r} is none of the keys ({', '.join(map(repr, keys)) or 'there are none'})")
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError as error:
            raise InvalidOption("Encrypt needs the package `cryptography`: pip install 'aionlab[crypto]'") from error
        self.key_id = key_id
        self._ciphers: dict[str, Any] = {name: AESGCM(_key(name, key)) for name, key in keys.items()}

    def encode(self, data: bytes) -> bytes:
        if self.key_id is None:
            return data
        nonce = os.urandom(_NONCE)
        return nonce + bytes(self._ciphers[self.key_id].encrypt(nonce, data, self.key_id.encode()))

    def decode(self, data: bytes, key_id: str) -> bytes:
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise PayloadSealed(key_id, missing(self.name, key_id))
        try:
            return bytes(cipher.decrypt(data[:_NONCE], data[_NONCE:], key_id.encode()))
        except Exception as error:  # a wrong key, a changed record and one that is cut short cannot be told apart
            raise PayloadSealed(key_id, f"the key given as {key_id!r} is not the one it was written with, or the record is damaged") from error

    def __repr__(self) -> str:
        return f"Encrypt(keys={{{', '.join(f'{name!r}: …' for name in self._ciphers)}}}, key_id={self.key_id!r})"


def new_key() -> str:
    """A random key for `Encrypt`, 256 bits as base64 text. Keep it where the database is not."""
    return base64.b64encode(os.urandom(32)).decode()


def _key(name: str, key: bytes | str) -> bytes:
    try:
        found = key if isinstance(key, bytes) else base64.b64decode(key.translate(_URL_SAFE), validate=True)
    except (ValueError, AttributeError, TypeError):
        raise InvalidOption(f"key {name!r} is neither bytes nor base64 text; aionlab.codecs.new_key() makes one") from None
    if len(found) not in _SIZES:
        raise InvalidOption(f"key {name!r} has {len(found)} bytes; AES takes 16, 24 or 32 (a passphrase is no key: aionlab.codecs.new_key() makes one)")
    return found


_URL_SAFE = str.maketrans("-_", "+/")
