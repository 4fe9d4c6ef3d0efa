"""Whose code may run here: a secret per user, and signatures over the exact bytes of a package.

A database file that came from elsewhere carries other people's code. It is read, never run, until its documents bear a signature
made with this user's secret for this lab.
"""
from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
from pathlib import Path

SECRET_BYTES = 32
VARIABLE = "AIONLAB_SECRET"
_NAME = "secret"


def secret(directory: Path) -> bytes:
    """This user's secret, 32 bytes: of the environment variable AIONLAB_SECRET when set, else of the file `secret` in `directory`.

    The file is made on first use, readable by its owner only; of many processes that do so at once, one wins and all get its bytes.
    Raises ValueError for a file or a variable that holds no secret, OSError where the directory cannot be written.
    """
    given = os.environ.get(VARIABLE)
    if given:
        return _from_text(given)
    path = directory / _NAME
    found = _read(path)
    if found is None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _create(path)
        found = _read(path)
    if found is None:
        raise ValueError(f"{path} does not hold {SECRET_BYTES} bytes; remove it to have a new one made (stored code must then be trusted again)")
    return found


def sign(secret: bytes, lab_uuid: str, document: bytes) -> str:
    """The signature of a document in a lab, as 64 hexadecimal digits."""
    head = lab_uuid.encode()
    text = len(head).to_bytes(4, "big") + head + document  # the length keeps "ab"+"c" and "a"+"bc" apart
    return hmac.new(secret, b"aionlab package 1\0" + text, hashlib.sha256).hexdigest()


def verify(secret: bytes, lab_uuid: str, document: bytes, signature: str) -> bool:
    """Whether the signature is that of this secret, lab and document; takes the same time wherever they differ."""
    return hmac.compare_digest(sign(secret, lab_uuid, document).encode(), signature.encode("utf-8", "replace"))


def _from_text(text: str) -> bytes:
    """64 hexadecimal digits are the secret itself; any other text of 16 characters or more is hashed into one."""
    try:
        plain = bytes.fromhex(text)
    except ValueError:
        plain = b""
    if len(plain) == SECRET_BYTES:
        return plain
    if len(text) < 16:
        raise ValueError(f"{VARIABLE} is too short to be a secret: give {2 * SECRET_BYTES} hexadecimal digits")
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def _read(path: Path) -> bytes | None:
    for _ in range(50):
        try:
            found = path.read_bytes()
        except FileNotFoundError:
            return None
        if len(found) == SECRET_BYTES:
            return found
        time.sleep(0.01)  # without hard links the winner's file may be seen before its bytes are
    return None


def _create(path: Path) -> None:
    """Write the bytes under another name and link it: the file appears whole, and only if there is none yet."""
    draft = path.with_name(f".{_NAME}-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        _write_new(draft)
        try:
            os.link(draft, path)
        except FileExistsError:
            return
        except OSError:  # a file system without hard links
            try:
                _write_new(path)
            except FileExistsError:
                return
    finally:
        draft.unlink(missing_ok=True)


def _write_new(path: Path) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(secrets.token_bytes(SECRET_BYTES))
        file.flush()
        os.fsync(file.fileno())
