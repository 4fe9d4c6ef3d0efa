"""The secret and the signatures made with it."""
from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from aionlab.code import trust


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(trust.VARIABLE, raising=False)


def test_the_secret_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "jupyter" / "aionlab"
    made = trust.secret(folder)
    assert len(made) == 32 and trust.secret(folder) == made
    assert stat.S_IMODE((folder / "secret").stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir()] == ["secret"]


def test_many_processes_at_once_get_one_secret(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    program = ("import sys, importlib.util as u; s = u.spec_from_file_location('trust', sys.argv[1]); m = u.module_from_spec(s); s.loader.exec_module(m)\n"
               "from pathlib import Path; sys.stdin.readline(); print(m.secret(Path(sys.argv[2])).hex())")
    arguments = [sys.executable, "-S", "-c", program, str(root / "aionlab/code/trust.py"), str(tmp_path / "new")]
    workers = [subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    found = {worker.communicate()[0].strip() for worker in workers}
    assert len(found) == 1 and len(found.pop()) == 64
    assert os.listdir(tmp_path / "new") == ["secret"]


def test_a_file_system_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", link)
    made = trust.secret(tmp_path)
    assert trust.secret(tmp_path) == made and os.listdir(tmp_path) == ["secret"]


def test_a_broken_file_is_said_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"short")
    with pytest.raises(ValueError, match="does not hold 32 bytes"):
        trust.secret(tmp_path)
    assert (tmp_path / "secret").read_bytes() == b"short"


def test_the_variable_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(trust.VARIABLE, "ab" * 32)
    assert trust.secret(tmp_path) == b"\xab" * 32 and not list(tmp_path.iterdir())
    monkeypatch.setenv(trust.VARIABLE, "a long pass phrase of mine")
    assert len(trust.secret(tmp_path)) == 32
    monkeypatch.setenv(trust.VARIABLE, "short")
    with pytest.raises(ValueError, match="too short"):
        trust.secret(tmp_path)


def test_a_signature_holds_for_its_secret_lab_and_bytes_only() -> None:
    signature = trust.sign(b"a" * 32, "lab-1", b"document")
    assert len(signature) == 64 and trust.verify(b"a" * 32, "lab-1", b"document", signature)
    for other in ((b"b" * 32, "lab-1", b"document"), (b"a" * 32, "lab-2", b"document"), (b"a" * 32, "lab-1", b"document "), (b"a" * 32, "lab-1d", b"ocument")):
        assert not trust.verify(*other, signature)
    for nonsense in ("", "é\ud800", signature.upper(), signature[:-1]):
        assert not trust.verify(b"a" * 32, "lab-1", b"document", nonsense)
