"""The chain: what goes through it comes back, says how it was written, and without its key says which key."""
from __future__ import annotations

import base64
import builtins
import os
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aionlab.codecs import Compress, Encrypt, new_key
from aionlab.core.codecs import Codecs, key_of, label_of, told, why_sealed
from aionlab.core.errors import InvalidOption, InvalidPayload, PayloadSealed, StoreError
from aionlab.core.failure import Failure
from aionlab.core.payload import Converter

KEY, OLD = b"k" * 32, b"o" * 16
TEXT = b'{"note":"' + b"ab" * 2000 + b'"}'


class Reversed:
    """A codec of somebody's own."""

    name = "reversed"

    def encode(self, data: bytes) -> bytes:
        return data[::-1]

    def decode(self, data: bytes) -> bytes:
        return data[::-1]


def both(key_id: str = "2026-01") -> Codecs:
    return Codecs([Compress(), Encrypt({"2026-01": KEY, "2025-07": OLD}, key_id)])


CHAINS: dict[str, Codecs] = {
    "none": Codecs(),
    "deflate": Codecs([Compress(above=0)]),
    "aes": Codecs([Encrypt({"k": KEY}, "k")]),
    "both": both(),
    "own": Codecs([Reversed(), Compress(above=10), Encrypt({"k": KEY}, "k")]),
}


@given(st.binary(min_size=1, max_size=3000), st.sampled_from(sorted(CHAINS)))
def test_what_is_sealed_comes_back(data: bytes, name: str) -> None:
    chain = CHAINS[name]
    sealed = chain.seal(data)
    assert chain.unseal(sealed) == data
    assert chain.seal(sealed) == sealed, "once is enough"
    assert (label_of(sealed) is None) == (sealed == data)


@given(st.text(min_size=1), st.sampled_from(sorted(CHAINS)))
def test_payloads_kept_as_text_come_back_too(text: str, name: str) -> None:
    chain = CHAINS[name]
    sealed = chain.seal_text(text)
    sealed.encode()
    assert chain.unseal_text(sealed) == text and chain.seal_text(sealed) == sealed


def test_a_payload_says_which_codecs_and_which_key_it_was_written_with() -> None:
    small, large = both().seal(b"[1]"), both().seal(TEXT)
    assert small.startswith(b"\0aes-gcm:2026-01\0") and large.startswith(b"\0deflate,aes-gcm:2026-01\0")
    assert len(small) == len(b"[1]") + 28 + len(b"\0aes-gcm:2026-01\0") and len(large) < 200
    assert both().label == "deflate,aes-gcm:2026-01" and both().key_id == "2026-01"
    assert (label_of(large), label_of("\0a,b:c\0QQ=="), label_of(TEXT), label_of("[1]")) == ("deflate,aes-gcm:2026-01", "a,b:c", None, None)
    assert (key_of("deflate"), key_of("a:1,b:2"), key_of("")) == (None, "2", None)
    assert told(large) == "encrypted (key 2026-01)" and told(b"\0zstd\0x") == "encoded (zstd)" and told(TEXT) is None
    assert b"ab" * 10 not in large and both().seal(b"[1]") != small, "a nonce of its own"


def test_what_another_chain_wrote_is_read_as_long_as_its_keys_are_there() -> None:
    written = [Codecs().seal(TEXT), Codecs([Compress()]).seal(TEXT), both("2025-07").seal(TEXT), Codecs([Encrypt({"2025-07": OLD}, "2025-07")]).seal(TEXT)]
    for reader in (both("2026-01"), both("2025-07"), Codecs([Encrypt({"2025-07": OLD}, None)])):
        assert [reader.unseal(payload) for payload in written] == [TEXT] * 4
    assert Codecs().unseal(written[1]) == TEXT, "compression alone needs nothing to be read"
    reading = Codecs([Encrypt({"2025-07": OLD}, None)])
    assert reading.seal(TEXT) == TEXT and (reading.label, reading.key_id) == ("", None)


def test_compression_only_where_it_helps() -> None:
    noise = b"n" + os.urandom(5000)
    for data in (b"x" * 512, noise):
        assert Compress().encode(data) is data
    assert len(Compress().encode(b"x" * 513)) < 40 and repr(Compress()) == "Compress(above=512, level=6)"
    assert Codecs([Compress()]).seal(noise) == noise


@pytest.mark.parametrize(
    ("chain", "key_id", "words"),
    [
        (Codecs(), "2026-01", "encrypted (key 2026-01): open the lab with codecs=[…, Encrypt(keys={'2026-01': …})]"),
        (Codecs([Encrypt({"2025-07": OLD}, "2025-07")]), "2026-01", "encrypted (key 2026-01): open the lab with codecs=[…, Encrypt(keys={'2026-01': …})]"),
        (Codecs([Encrypt({"2026-01": OLD}, "2026-01")]), "2026-01", "encrypted (key 2026-01): the key given as '2026-01' is not the one it was written with"),
    ],
    ids=["no codecs", "without the key", "a wrong key"],
)
def test_without_its_key_a_payload_says_which_key(chain: Codecs, key_id: str, words: str) -> None:
    for read in (lambda: chain.unseal(both().seal(TEXT)), lambda: chain.unseal_text(both().seal_text(TEXT.decode()))):
        with pytest.raises(PayloadSealed) as sealed:
            read()
        assert sealed.value.key_id == key_id and str(sealed.value).startswith(words)


def test_every_changed_bit_is_noticed() -> None:
    chain = CHAINS["aes"]
    sealed = chain.seal(b'{"amount":1}')
    body = sealed.index(b"\0", 1) + 1
    for at in range(body, len(sealed)):
        broken = bytearray(sealed)
        broken[at] ^= 1
        with pytest.raises(PayloadSealed, match="or the record is damaged"):
            chain.unseal(bytes(broken))
    for cut in (sealed[:body], sealed[: body + 5], sealed[:-1]):
        with pytest.raises(PayloadSealed):
            chain.unseal(cut)
    renamed = sealed.replace(b":k\0", b":other\0")
    with pytest.raises(PayloadSealed, match="or the record is damaged"):
        Codecs([Encrypt({"other": KEY}, "other")]).unseal(renamed)
    with pytest.raises(PayloadSealed, match="the record is damaged"):
        chain.unseal_text("\0aes-gcm:k\0not base64!")


def test_a_compressed_payload_that_is_cut_short_or_a_bomb_is_refused() -> None:
    for body in (zlib.compress(TEXT)[:-4], b"no zlib", b""):
        with pytest.raises(PayloadSealed, match="codec 'deflate' cannot read it"):
            Codecs().unseal(b"\0deflate\0" + body)
    with pytest.raises(PayloadSealed, match="over the limit"):
        Codecs().unseal(b"\0deflate\0" + zlib.compress(bytes(65 << 20)))


def test_a_codec_that_is_not_here_is_named() -> None:
    sealed = Codecs([Reversed()]).seal(b"[1]")
    assert sealed == b"\0reversed\0]1["
    with pytest.raises(PayloadSealed, match="written with the codec 'reversed'") as missing:
        Codecs().unseal(sealed)
    assert missing.value.key_id is None
    with pytest.raises(PayloadSealed, match="open the lab with the codec 'vault' and this key"):
        Codecs().unseal(b"\0vault:7\0x")


class Broken:
    name = "broken"

    def __init__(self, made: Any) -> None:
        self.made = made

    def encode(self, data: bytes) -> bytes:
        return data + b"!"

    def decode(self, data: bytes) -> Any:
        if isinstance(self.made, Exception):
            raise self.made
        return self.made


@pytest.mark.parametrize(("made", "words"), [(KeyError("x"), "KeyError"), (None, "made NoneType of it"), ("text", "made str of it")], ids=range(3))
def test_whatever_a_codec_of_the_users_does_is_told(made: Any, words: str) -> None:
    chain = Codecs([Broken(made)])
    with pytest.raises(PayloadSealed, match=words):
        chain.unseal(chain.seal(b"[]"))


def test_a_codec_that_cannot_encode_writes_nothing() -> None:
    class Away(Reversed):
        def encode(self, data: bytes) -> Any:
            if data == b"[1]":
                raise ConnectionError("no vault")
            return "text"

    with pytest.raises(StoreError, match=r"codec 'reversed' could not encode what was to be recorded: ConnectionError: no vault; nothing was written"):
        Codecs([Away()]).seal(b"[1]")
    with pytest.raises(StoreError, match="made str of what was to be recorded"):
        Codecs([Away()]).seal(b"[2]")


def test_chains_that_make_no_sense_are_refused() -> None:
    keys = Encrypt({"k": KEY}, "k")

    class Nameless(Reversed):
        name = "a,b"

    class BadKey(Reversed):
        key_id = "a:b"

    for chain, words in (
        ([keys, Encrypt({"j": KEY}, "j")], "one Encrypt takes many keys"),
        ([keys, Compress()], "cannot be compressed: put 'deflate' before it"),
        ([object()], "is no codec"),
        ([Nameless()], "is no codec"),
        ([BadKey()], "key ids are of letters"),
    ):
        with pytest.raises(InvalidOption, match=words):
            Codecs(chain)


def test_keys_are_bytes_or_base64_and_never_shown() -> None:
    key = new_key()
    assert len(base64.b64decode(key)) == 32 and new_key() != key
    raw = base64.b64decode(key)
    for form in (key, raw, base64.urlsafe_b64encode(raw).decode()):
        encrypt = Encrypt({"k": form}, "k")
        assert Codecs([Encrypt({"k": raw}, "k")]).unseal(Codecs([encrypt]).seal(b"[1]")) == b"[1]"
        assert repr(encrypt) == "Encrypt(keys={'k': …}, key_id='k')" and key not in str(vars(encrypt))
    for bad, words in ((b"short", "has 5 bytes"), ("passphrase!", "neither bytes nor base64"), (7, "neither bytes nor base64"), ("", "has 0 bytes")):
        with pytest.raises(InvalidOption, match=words):
            Encrypt({"k": bad}, "k")  # type: ignore[dict-item]
    with pytest.raises(InvalidOption, match=r"key_id='z' is none of the keys \('k'\)"):
        Encrypt({"k": KEY}, "z")
    for options in ({"above": -1}, {"level": 0}, {"level": 10}):
        with pytest.raises(InvalidOption):
            Compress(**options)


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("cryptography"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(InvalidOption, match=r"pip install 'aionlab\[crypto\]'"):
        Encrypt({"k": KEY}, "k")


def test_whoever_decodes_a_sealed_payload_learns_which_key_is_missing() -> None:
    sealed = both().seal(TEXT)
    codec = Converter()
    for read in (lambda: codec.decode(sealed), lambda: codec.decode_args(sealed), lambda: codec.decode(sealed, dict)):
        with pytest.raises(PayloadSealed, match=r"encrypted \(key 2026-01\)"):
            read()
    with pytest.raises(InvalidPayload, match="not a payload"):
        codec.decode(b"\1")
    assert why_sealed(TEXT) is None
    error = why_sealed(b"\0deflate,zstd\0x")
    assert error is not None and error.key_id is None and "codec 'zstd'" in str(error)


def test_a_sealed_error_is_kept_as_it_is() -> None:
    sealed = both().seal(Failure("ValueError", "secret").to_bytes())
    failure = Failure.from_bytes(sealed)
    assert (failure.message, failure.name) == ("encrypted (key 2026-01)", "PayloadSealed")
    assert failure.to_bytes() == sealed and Failure.from_bytes(both().unseal(failure.to_bytes())).message == "secret"
