"""Codecs: what payloads pass through on their way to the store and back, and how a payload says what it has passed through.

A payload that no codec has changed is stored as it is. One that was changed is *sealed*: a zero byte (no JSON begins so), a label, a
zero byte, and what the last codec made of it. The label names the codecs in the order in which they were applied, a codec with keys
with the id of its key: `deflate,aes-gcm:2026-01`. So every payload can be read for as long as its codecs and keys are there, whatever
the lab writes with today. In a text field the rest behind the label is base64.
"""
from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Sequence
from typing import Any, Final, Protocol, cast

from .errors import InvalidOption, PayloadSealed, PayloadTooLarge, StoreError, shorten

MARK: Final = b"\0"
_NAME = r"[A-Za-z0-9][A-Za-z0-9._@+/=-]{0,99}"
_WORD = re.compile(_NAME)
_STEP = rf"{_NAME}(?::{_NAME})?"
_LABEL = re.compile(rf"\0({_STEP}(?:,{_STEP})*)\0")
_LABEL_BYTES = re.compile(_LABEL.pattern.encode())
_MOST: Final = 64 << 20
"""Bytes a compressed payload may unfold to; every payload that was ever recorded is far smaller."""


class Codec(Protocol):
    """One link of the chain. Called on the engine's thread."""

    name: str
    """Stored with each payload it has encoded, so it never changes its meaning: letters, digits and `._@+/=-`."""

    def encode(self, data: bytes) -> bytes:
        """The bytes to store; `data` itself when this codec has nothing to do for them, and is then left out of the label."""

    def decode(self, data: bytes) -> bytes:
        """What `encode` was given. Whatever it raises says that the bytes cannot be read."""


class KeyedCodec(Protocol):
    """A codec with keys."""

    name: str
    key_id: str | None
    """The key new payloads are encoded with; None encodes no more, and still reads what it has keys for."""

    def encode(self, data: bytes) -> bytes: ...
    def decode(self, data: bytes, key_id: str) -> bytes:
        """What `encode` was given. Raises PayloadSealed, naming the key, without that key or with another one of its name."""


class Deflate:
    """Compression by zlib. Built in, so that what is compressed and nothing else can be read wherever aionlab runs."""

    name = "deflate"

    def __init__(self, above: int = 512, level: int = 6) -> None:
        self.above, self.level = above, level

    def encode(self, data: bytes) -> bytes:
        if len(data) <= self.above:
            return data
        packed = zlib.compress(data, self.level)
        return packed if len(packed) < 0.9 * len(data) else data

    def decode(self, data: bytes) -> bytes:
        unpacking = zlib.decompressobj()
        found = unpacking.decompress(data, _MOST)
        if unpacking.unconsumed_tail:
            raise PayloadTooLarge("value", _MOST + 1, _MOST)
        if not unpacking.eof:
            raise ValueError("the compressed bytes are cut short")
        return found


class Codecs:
    """A chain of codecs: `seal` applies them in order, `unseal` undoes what the label says, in whatever chain it was made."""

    __slots__ = ("_chain", "_known", "_labels")

    def __init__(self, chain: Sequence[Codec | KeyedCodec] = ()) -> None:
        """Raises InvalidOption for a codec whose name or key id cannot be stored, two of one name, and compression behind encryption."""
        self._chain = tuple(chain)
        self._known: dict[str, Codec | KeyedCodec] = {"deflate": Deflate()}
        self._labels: dict[int, str] = {}
        own: set[str] = set()
        keyed = ""
        for codec in self._chain:
            name, key_id = getattr(codec, "name", None), getattr(codec, "key_id", None)
            if not (isinstance(name, str) and _WORD.fullmatch(name) and callable(getattr(codec, "encode", None)) and callable(getattr(codec, "decode", None))):
                raise InvalidOption(f"{shorten(codec)} is no codec: it needs a `name` of letters, digits and ._@+/=-, `encode(bytes)` and `decode(bytes)`")
            if key_id is not None and not (isinstance(key_id, str) and _WORD.fullmatch(key_id)):
                raise InvalidOption(f"key_id={key_id!r} of codec {name!r}; key ids are of letters, digits and ._@+/=-")
            if name in own:
                raise InvalidOption(f"two codecs are called {name!r}; one Encrypt takes many keys")
            if keyed and isinstance(codec, Deflate):
                raise InvalidOption(f"what {keyed!r} has encrypted cannot be compressed: put {name!r} before it")
            own.add(name)
            self._known[name] = codec
            self._labels[id(codec)] = name if key_id is None else f"{name}:{key_id}"
            keyed = keyed or (name if key_id is not None else "")

    @property
    def label(self) -> str:
        """What the label of a payload says that every codec has encoded; empty for a chain that only reads."""
        return ",".join(self._labels[id(codec)] for codec in self._chain if getattr(codec, "key_id", "") is not None)

    @property
    def key_id(self) -> str | None:
        """The key new payloads are encrypted with."""
        return key_of(self.label)

    def seal(self, payload: bytes) -> bytes:
        """The payload as it is to be stored; one that is sealed already stays as it is. Raises StoreError when a codec cannot encode it."""
        if payload[:1] == MARK and label_of(payload) is not None:
            return payload
        data, labels = payload, []
        for codec in self._chain:
            made = _encoded(codec, data)
            if made is not data:
                labels.append(self._labels[id(codec)])
                data = made
        return b"".join((MARK, ",".join(labels).encode(), MARK, data)) if labels else payload

    def unseal(self, payload: bytes) -> bytes:
        """The payload as it was recorded. Raises PayloadSealed where a codec or a key is missing, or does not fit."""
        label = label_of(payload) if payload[:1] == MARK else None
        if label is None:
            return payload
        data = payload[len(label) + 2 :]
        for part in reversed(label.split(",")):
            data = self._decoded(data, part)
        return data

    def seal_text(self, text: str) -> str:
        """As `seal`, for a payload that is kept as text."""
        sealed = self.seal(text.encode())
        label = label_of(sealed)
        if label is None or label_of(text) is not None:
            return text
        return f"\0{label}\0{base64.b64encode(sealed[len(label) + 2 :]).decode()}"

    def unseal_text(self, text: str) -> str:
        """As `unseal`, for a payload that is kept as text."""
        label = label_of(text)
        if label is None:
            return text
        try:
            body = base64.b64decode(text[len(label) + 2 :], validate=True)
        except ValueError:
            raise PayloadSealed(key_of(label), "the record is damaged") from None
        return self.unseal(b"".join((MARK, label.encode(), MARK, body))).decode()

    def _decoded(self, data: bytes, part: str) -> bytes:
        name, _, key_id = part.partition(":")
        codec = self._known.get(name)
        if codec is None:
            raise PayloadSealed(key_id or None, missing(name, key_id))
        try:
            made: Any = cast(KeyedCodec, codec).decode(data, key_id) if key_id else cast(Codec, codec).decode(data)
        except PayloadSealed:
            raise
        except Exception as error:  # a codec of the user's may raise anything
            raise PayloadSealed(key_id or None, f"codec {name!r} cannot read it: {type(error).__name__}: {shorten(str(error), 200)}") from error
        if not isinstance(made, bytes):
            raise PayloadSealed(key_id or None, f"codec {name!r} made {type(made).__name__} of it, not bytes")
        return made


def _encoded(codec: Codec | KeyedCodec, data: bytes) -> bytes:
    try:
        made: Any = codec.encode(data)
    except Exception as error:  # a codec of the user's may raise anything
        raise StoreError(f"codec {codec.name!r} could not encode what was to be recorded: {type(error).__name__}: {error}; nothing was written") from error
    if not isinstance(made, bytes):
        raise StoreError(f"codec {codec.name!r} made {type(made).__name__} of what was to be recorded, not bytes; nothing was written")
    return made


def missing(name: str, key_id: str) -> str:
    """What to do without a codec, or without a key of it."""
    if key_id:
        return f"open the lab with codecs=[…, Encrypt(keys={{{key_id!r}: …}})]" if name == "aes-gcm" else f"open the lab with the codec {name!r} and this key"
    return f"it was written with the codec {name!r}: open the lab with it, codecs=[…]"


def key_of(label: str) -> str | None:
    """The id of the (last) key in a label."""
    keys = [key for part in label.split(",") if (key := part.partition(":")[2])]
    return keys[-1] if keys else None


def label_of(payload: bytes | str) -> str | None:
    """The label of a sealed payload; None for one that is not sealed."""
    if isinstance(payload, str):
        text = _LABEL.match(payload)
        return None if text is None else text[1]
    found = _LABEL_BYTES.match(payload)
    return None if found is None else found[1].decode()


def told(payload: bytes | str) -> str | None:
    """What people see of a sealed payload: `encrypted (key 2026-01)`; None for one that is not sealed."""
    label = label_of(payload)
    if label is None:
        return None
    key_id = key_of(label)
    return f"encrypted (key {key_id})" if key_id else f"encoded ({label})"


def why_sealed(payload: bytes | str) -> PayloadSealed | None:
    """Why this payload cannot be read as it is; None for one that is not sealed."""
    label = label_of(payload)
    if label is None:
        return None
    name, _, key_id = label.split(",")[-1].partition(":")
    return PayloadSealed(key_of(label), missing(name, key_id))
