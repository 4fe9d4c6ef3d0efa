"""Labs with codecs: nothing of the values is in the file, nothing changes for code, and without the key runs stand still."""
from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import aionlab
from aionlab import Compress, Encrypt, Retry, ValueConverter, activity, errors, workflow
from aionlab.codecs import new_key
from aionlab.core.status import Status
from tests.app import cells
from tests.app.conftest import until

KEY, OTHER = new_key(), new_key()
SECRET = "kingfisher"


def codecs(key_id: str | None = "2026-01", **keys: str) -> list[Any]:
    return [Compress(), Encrypt({"2026-01": KEY, **keys}, key_id)]


def stored(path: Path) -> bytes:
    """All the files of a database hold."""
    return b"".join(file.read_bytes() for file in sorted(path.parent.glob(path.name + "*")))


@activity(retry=Retry(max_attempts=2, initial="1ms"))
def guard(word: str) -> str:
    if word.endswith("!"):
        raise ValueError(f"{word} is no word")
    return word * 2


@workflow
async def keeper(word: str) -> list[str]:
    workflow.on_query("word", lambda: word)
    said = await guard(word)
    try:
        await guard(said + "!")
    except errors.ActivityError as error:
        said = str(error.cause)
    more = await workflow.receive("more")
    return [said, more]


@workflow
async def loses(word: str) -> None:
    raise errors.ApplicationError(f"lost {word}", word, type="Lost")


def test_nothing_of_inputs_results_signals_memos_and_errors_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "lab.db"
    with aionlab.open(path, codecs=codecs()) as lab:
        lab.register_search_attribute("customer", "keyword")
        handle = lab.start(keeper, SECRET, id="k", memo={"note": SECRET}, search_attributes={"customer": "acme"})
        lab.settle()
        assert handle.query("word") == SECRET
        handle.signal("more", SECRET * 500)
        assert handle.result(10) == [f"{SECRET}{SECRET}! is no word", SECRET * 500]
        with pytest.raises(errors.WorkflowFailedError) as failed:
            lab.start(loses, SECRET, id="l").result(10)
        cause: Any = failed.value.cause
        assert (str(cause), cause.details) == (f"lost {SECRET}", (SECRET,))
        assert SECRET in str(lab.events("k")["payload"].tolist()) and SECRET in str(lab.describe("k"))
        assert [run.workflow_id for run in lab.runs(customer="acme")] == ["k"], "search attributes are not encrypted"
        assert lab.sqlite.execute("SELECT max(length(payload)) FROM event").fetchone()[0] < 1500, "and what is large is compressed"
    found = stored(path)
    assert SECRET.encode() not in found and KEY.encode() not in found
    assert b"aes-gcm:2026-01" in found and b"acme" in found and b"is no word" in found, "the code itself is there to be read"
    plain = tmp_path / "plain.db"
    with aionlab.open(plain) as lab:
        lab.start(loses, SECRET)
        lab.settle()
    assert SECRET.encode() in stored(plain), "or this test would see nothing"


def test_runs_go_on_and_replay_with_other_ciphertexts(tmp_path: Path) -> None:
    path = tmp_path / "lab.db"
    with aionlab.open(path, codecs=codecs()) as lab:
        lab.start(keeper, SECRET, id="k")
        lab.settle()
    with aionlab.open(path, codecs=codecs()) as lab:
        lab.settle()
        (entry,) = lab.registry()
        assert entry.residency == "Resident" and entry.waiting_for.startswith("signal 'more'")
        lab.suspend("k")
        lab.signal("k", "more", 1)
        assert lab.get("k").result(10)[1] == 1
        assert lab.query("k", "word") == SECRET, "a closed run is replayed for it"


def test_without_its_key_a_run_is_stuck_not_failed_and_views_say_which_key(tmp_path: Path) -> None:
    path = tmp_path / "lab.db"
    with aionlab.open(path, codecs=codecs()) as lab:
        lab.start(keeper, SECRET, id="k", memo=SECRET)
        with pytest.raises(errors.WorkflowFailedError):
            lab.start(loses, SECRET, id="l").result(10)
        assert lab.start(cells.quick, 1, id="q").result(10) == 2
        lab.settle()
        before = len(lab.get("k").history())
    with aionlab.open(path) as lab:
        lab.settle()
        (entry,) = lab.registry()
        assert (entry.workflow_id, entry.residency, lab.get("k").status) == ("k", "Stuck", Status.RUNNING)
        assert "encrypted (key 2026-01): open the lab with codecs=[…, Encrypt(keys={'2026-01': …})]" in entry.waiting_for
        frame = lab.events("k")
        assert frame["payload"].iloc[0] == "encrypted (key 2026-01)" and len(frame) == before
        assert "encrypted (key 2026-01)" in lab.events("l")["payload"].iloc[-1]
        for shown in (lab.describe("k"), lab.describe("l"), lab.timeline("k"), lab.get("l").history().to_frame(full=True), lab.tree(), lab.status()):
            assert SECRET not in str(shown) and "\0" not in str(shown)
        assert '"encrypted (key 2026-01)"' in lab.get("l").history().to_json()
        with pytest.raises(errors.PayloadSealed, match=r"encrypted \(key 2026-01\)") as sealed:
            lab.get("q").result(10)
        assert sealed.value.key_id == "2026-01"
        with pytest.raises(errors.WorkflowFailedError, match=r"encrypted \(key 2026-01\)"):
            lab.get("l").result(10)
        for name in ("k", "q"):
            with pytest.raises(errors.AionError, match=r"encrypted \(key 2026-01\)"):
                lab.query(name, "word")
        for act in (lambda: lab.signal("k", "more", 1), lambda: lab.start(cells.quick, 1), lambda: lab.cancel("k"), lambda: lab.define(cells.quick)):
            with pytest.raises(errors.StoreReadOnly, match=r"lab\.db encrypts what it records \(key 2026-01\); open it with codecs="):
                act()
    with aionlab.open(path, codecs=codecs()) as lab:
        assert len(lab.get("k").history()) == before, "nothing was written meanwhile"
        lab.signal("k", "more", 1)
        assert lab.get("k").result(10)[1] == 1


def test_a_wrong_key_is_told_and_what_comes_meanwhile_waits(tmp_path: Path) -> None:
    path = tmp_path / "lab.db"
    with aionlab.open(path, codecs=codecs()) as lab:
        lab.start(keeper, SECRET, id="k")
        lab.settle()
    with aionlab.open(path, codecs=[Encrypt({"2026-01": OTHER, "new": OTHER}, "new")]) as lab:
        lab.settle()
        assert "the key given as '2026-01' is not the one it was written with" in lab.waiting_for("k")
        lab.signal("k", "more", "later")
        assert lab.start(cells.quick, 1, id="q").result(10) == 2, "the others go on"
        assert lab.get("k").status is Status.RUNNING
    with aionlab.open(path, codecs=codecs()) as lab:
        lab.settle()
        assert "encrypted (key new)" in lab.waiting_for("k"), "what came is under the other key"
    with aionlab.open(path, codecs=codecs(new=OTHER)) as lab:
        assert lab.get("k").result(10)[1] == "later"


def test_codecs_and_keys_may_change_at_any_time(tmp_path: Path) -> None:
    path = tmp_path / "lab.db"
    with aionlab.open(path) as lab:
        for name in ("a", "b", "c"):
            lab.start(keeper, SECRET, id=name)
        lab.settle()
    for chain, name in (([Compress(above=0)], "a"), (codecs(), "b"), (codecs("new", new=OTHER), "c")):
        with aionlab.open(path, codecs=chain) as lab:
            lab.signal(name, "more", name)
            assert lab.get(name).result(10)[1] == name
    with aionlab.open(path, codecs=codecs(None, new=OTHER)) as lab:
        assert [lab.get(name).result(10)[1] for name in ("a", "b", "c")] == ["a", "b", "c"]
        assert lab.start(cells.failing, "in the clear", id="d").status
        lab.settle()
    assert b"in the clear" in stored(path), "with key_id=None nothing more is encrypted"
    with aionlab.open(path) as lab:
        assert lab.get("a").result(10)[1] == "a", "what is only compressed needs no codec to be read"
        assert lab.start(cells.quick, 1).result(10) == 2, "and this lab may write again"


def test_an_open_lab_keeps_its_codecs(tmp_path: Path) -> None:
    path = tmp_path / "lab.db"
    with aionlab.open(path, codecs=codecs()) as lab:
        assert aionlab.open(path) is lab and aionlab.open(path, codecs=codecs()) is lab
        with pytest.raises(errors.InvalidOption, match="open here with other codecs; close it first"):
            aionlab.open(path, codecs=[Compress()])
    with pytest.raises(errors.InvalidOption, match="is no codec"):
        aionlab.open(tmp_path / "new.db", codecs=["zlib"])  # type: ignore[list-item]
    assert not (tmp_path / "new.db").exists(), "nothing was made"


def test_a_lab_in_memory_has_codecs_too() -> None:
    with aionlab.open(":memory:", codecs=codecs()) as lab:
        handle = lab.start(keeper, SECRET)
        lab.settle()
        handle.signal("more")
        assert handle.result(10)[1] is None
        assert list(lab.sqlite.execute("SELECT payload FROM event WHERE payload IS NOT NULL AND hex(payload) NOT LIKE '00%'")) == []


@activity
def halved(share: Fraction) -> Fraction:
    return share / 2


@workflow
async def sharing(share: Fraction) -> Fraction:
    half = await halved(share)
    return await halved(await workflow.receive("more", Fraction) if half > 1 else half)


def test_types_of_libraries_are_recorded_through_their_converters(tmp_path: Path) -> None:
    own = [ValueConverter(Fraction, encode=lambda share: [share.numerator, share.denominator], decode=lambda parts: Fraction(*parts), name="fraction")]
    path = tmp_path / "lab.db"
    with aionlab.open(path) as lab, pytest.raises(errors.InvalidPayload, match=r"input.*Fraction cannot be recorded"):
        lab.start(sharing, Fraction(1, 3))
    with aionlab.open(path, converters=own) as lab:
        assert lab.start(sharing, Fraction(1, 3)).result(10) == Fraction(1, 12)
        lab.start(sharing, Fraction(3), id="h")
        lab.settle()
    with aionlab.open(path, converters=own) as lab:
        lab.signal("h", "more", Fraction(2, 5))
        assert lab.get("h").result(10) == Fraction(1, 5)
    with aionlab.open(path) as lab:
        assert "fraction" in repr(lab.get("h").result(10)), "a stand-in, where the converter is missing"
    with pytest.raises(errors.InvalidOption, match="give ValueConverter"):
        aionlab.open(tmp_path / "x.db", converters=[Fraction])  # type: ignore[list-item]


def test_a_codec_that_cannot_write_stops_the_lab_until_it_can(tmp_path: Path) -> None:
    class Vault:
        name = "vault"
        away = False

        def encode(self, data: bytes) -> bytes:
            if self.away:
                raise ConnectionError("no vault")
            return data[::-1]

        def decode(self, data: bytes) -> bytes:
            return data[::-1]

    vault = Vault()
    with aionlab.open(tmp_path / "lab.db", codecs=[vault]) as lab:
        handle = lab.start(keeper, SECRET, id="k")
        lab.settle()
        vault.away = True
        with pytest.raises(errors.StoreError, match="codec 'vault' could not encode what was to be recorded: ConnectionError: no vault; nothing was written"):
            handle.signal("more", 1)
        with pytest.raises(errors.AionError):
            lab.start(cells.quick, 1, id="q")
        vault.away = False
        until(lambda: lab.ids() == ["k"])
        handle.signal("more", 2)
        assert handle.result(10)[1] == 2, "only what was written came"


def test_a_damaged_record_stops_its_run_alone(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "lab.db"
    with aionlab.open(path, codecs=codecs()) as lab:
        for name in ("a", "b"):
            lab.start(keeper, SECRET, id=name)
        lab.settle()
    with sqlite3.connect(path) as db:
        ((first, payload),) = db.execute("SELECT id, payload FROM event ORDER BY id LIMIT 1")
        db.execute("UPDATE event SET payload = ? WHERE id = ?", (payload[:-1] + bytes([payload[-1] ^ 1]), first))
    with aionlab.open(path, codecs=codecs()) as lab:
        lab.trust()
        until(lambda: lab.settle(1))
        assert "or the record is damaged" in lab.waiting_for("a")
        lab.signal("b", "more", 1)
        assert lab.get("b").result(10)[1] == 1


def test_schedules_without_their_key_start_nothing_and_plain_runs_wait(tmp_path: Path) -> None:
    path = tmp_path / "lab.db"
    with aionlab.open(path) as lab:
        lab.start(cells.order, 1, id="p")
        lab.settle()
    with aionlab.open(path, codecs=codecs()) as lab:
        lab.schedule("beat", cells.quick, (1,), every="50ms")
        until(lambda: lab.schedule("beat").state.triggered >= 1)
        lab.settle(1)
    with aionlab.open(path) as lab:
        lab.settle(5)
        started = len(lab.ids())
        assert "lab.db encrypts what it records (key 2026-01)" in lab.waiting_for("p"), "nothing goes on that would be written for all to read"
        lab.clock.now()
        assert len(lab.ids()) == started
    with aionlab.open(path, codecs=[Encrypt({"new": OTHER}, "new")]) as lab:
        lab.settle(5)
        assert len(lab.ids()) == started, "what it would start could not be read"
        assert "encrypted (key 2026-01)" in str(lab.schedule("beat").describe())
        lab.signal("p", "approval", 1)
        assert lab.get("p").result(10)["ok"] == 1, "a plain run needs no key"
    with aionlab.open(path, codecs=codecs(new=OTHER)) as lab:
        until(lambda: len(lab.ids()) > started)
        assert list(lab.runs(status="Failed")) == []
        lab.schedule("beat").delete()


def test_all_that_is_recorded_of_activities_memos_and_updates_is_sealed(tmp_path: Path) -> None:
    path = tmp_path / "lab.db"
    with aionlab.open(path, codecs=codecs()) as lab:
        handle = lab.start(telling, SECRET, id="t")
        lab.settle()
        assert handle.update("set", SECRET + "2") == SECRET + "2"
        with pytest.raises(errors.AionError):
            handle.update("set", "")
        assert handle.result(20) == SECRET + "2"
        assert SECRET in str(lab.describe("t")) and SECRET in lab.get("t").history().to_json()
    assert SECRET.encode() not in stored(path)
    with aionlab.open(path) as lab:
        text = lab.get("t").history().to_json() + str(lab.describe("t")) + str(lab.timeline("t"))
        assert SECRET not in text and "encrypted (key 2026-01)" in text


@activity(retry=Retry(max_attempts=3, initial="1ms"), heartbeat="60s")
def beating(word: str) -> str:
    if activity.info().attempt < 3:
        activity.heartbeat({"word": word})
        raise ValueError(word)
    return str(activity.info().heartbeat_details["word"])


@workflow
async def telling(word: str) -> str:
    state = [word]

    def change(new: str) -> str:
        state[0] = new
        return new

    def check(new: str) -> None:
        if not new:
            raise ValueError(f"not {word}")

    workflow.on_update("set", change, validator=check)
    workflow.upsert_memo(word=word)
    await beating(word)
    await workflow.wait_condition(lambda: state[0] != word)
    return state[0]
