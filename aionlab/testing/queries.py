"""Runs and queries made up by chance, to hold stores against what the language means.

Few values of each kind, so that runs are equal in many ways and tests of them come out true, false and unknown; texts that a store which
pastes them into its own language would stumble over.
"""
from __future__ import annotations

from random import Random
from typing import Any, Final

from aionlab.core import events as e
from aionlab.core.clock import Micros
from aionlab.core.events import Event, Payload, Recorded
from aionlab.core.failure import Failure
from aionlab.core.ids import RunId, WorkflowId
from aionlab.core.jsontext import dumps

SCHEMA: Final = {
    "customer": "keyword", "note": "text", "amount": "int", "rate": "float", "vip": "bool", "due": "datetime", "tags": "keyword_list", "status": "keyword",
    "limit": "int",
}  # fmt: skip
NOW: Final = Micros(1_000_000)
_TEXTS: Final = ("", "a", "A", "ab", "b", "it's", '"', "%", "_", "a'; DROP TABLE run; --", "ä", "\uffff", "\U0001f600", "\U0010ffff", "\\", "?1", ":x")
_NUMBERS: Final = (-(2**63), -3, -1, 0, 1, 2, 3, 2**53, 2**53 + 1, 2**63 - 1)
_RATES: Final = (-1.5, -0.0, 0.0, 0.5, 1.0, 1.5, 2.0**53, 1e300)
_TIMES: Final = (0, 500_000, 1_000_000, 1_000_001)
_VALUES: Final[dict[str, tuple[Any, ...]]] = {
    "customer": _TEXTS, "note": _TEXTS, "status": _TEXTS, "amount": _NUMBERS, "limit": _NUMBERS, "rate": _RATES, "vip": (True, False), "due": _TIMES,
}  # fmt: skip
_ENDS: Final[tuple[Event, ...]] = (
    e.WorkflowCompleted(Payload(b"1")), e.WorkflowFailed(Failure("E", "m")), e.WorkflowCancelled(), e.WorkflowTerminated(), e.WorkflowPaused(),
)  # fmt: skip
TYPES: Final = ("order", "ship", "a'b", "ä")
VERSIONS: Final = ("3f2a91c4", "3f2a91c5", "v1")


def history(chance: Random, name: str, run_id: str, after: int = 0) -> list[Recorded]:
    """The events of one run: started at some time, with some attributes, perhaps ended."""
    at = chance.choice((0, 1, 500_000, 1_000_000))
    start = e.WorkflowStarted(
        chance.choice(TYPES), chance.choice(VERSIONS), Payload(b"null"), 7, "3.11", parent_run_id=RunId("r0") if chance.random() < 0.3 else None,
        idempotency_key=f"key-{name}-{run_id}" if chance.random() < 0.3 else None, parent_workflow_id=WorkflowId("w1") if chance.random() < 0.3 else None,
        scheduled=e.Scheduled(chance.choice(("daily", "hourly")), Micros(5)) if chance.random() < 0.3 else None,
    )  # fmt: skip
    events: list[Event] = [start]
    if chance.random() < 0.8:
        events.append(e.SearchAttributesUpdated(Payload(dumps(attributes(chance)))))
    if chance.random() < 0.5:
        events.append(chance.choice(_ENDS))
    length = chance.choice((0, 1_000, 60_000_000))
    return [
        Recorded(seq, Micros(at if seq < after + len(events) else at + length), WorkflowId(name), RunId(run_id), event)
        for seq, event in enumerate(events, after + 1)
    ]


def attributes(chance: Random) -> dict[str, Any]:
    """Some attributes of the schema, as they are stored."""
    found = {name: chance.choice(_VALUES[name]) for name in _VALUES if chance.random() < 0.5}
    if chance.random() < 0.5:
        found["tags"] = [chance.choice(_TEXTS[:6]) for _ in range(chance.randint(0, 3))]
    return found


def query(chance: Random) -> str:
    """A query in the language, over the fields of every run and the attributes of the schema."""
    text = _condition(chance, 3) if chance.random() < 0.9 else ""
    if chance.random() < 0.6:
        text += " ORDER BY " + ", ".join(chance.choice(_ORDERED) + chance.choice(("", " ASC", " DESC")) for _ in range(chance.randint(1, 3)))
    if chance.random() < 0.4:
        text += f" LIMIT {chance.randint(0, 12)}"
    return text


def field(chance: Random) -> str:
    """The name of something that runs are counted by."""
    return chance.choice((*_ORDERED, "tags"))


_ORDERED: Final = (
    "status", "type", "id", "run_id", "version", "start_time", "close_time", "duration", "parent_run_id", "idempotency_key", "parent_id", "schedule_id", "customer", "note", "amount",
    "rate", "vip", "due", "attr.status", "attr.limit",
)  # fmt: skip


def _condition(chance: Random, depth: int) -> str:
    kind = chance.random()
    if depth == 0 or kind < 0.4:
        return _test(chance)
    if kind < 0.55:
        return f"NOT ({_condition(chance, depth - 1)})" if chance.random() < 0.5 else f"NOT {_test(chance)}"
    word = chance.choice((" AND ", " OR "))
    return "(" + word.join(_condition(chance, depth - 1) for _ in range(chance.randint(2, 3))) + ")"


def _test(chance: Random) -> str:
    name = chance.choice((*_ORDERED, "tags", "tags"))
    kind, draw = _KINDS.get(name, ("text", lambda chance: quoted(chance.choice(_TEXTS))))
    forms = ["{f} = {a}", "{f} != {a}", "{f} IN ({a}, {b})", "{f} NOT IN ({a})", "{f} IS NULL", "{f} IS NOT NULL"]
    if kind == "ordered" or kind == "text":
        forms += ["{f} < {a}", "{f} <= {a}", "{f} > {a}", "{f} >= {a}", "{f} BETWEEN {a} AND {b}", "{f} NOT BETWEEN {a} AND {b}"]
    if kind == "text" or kind == "prefix":
        forms += ["{f} STARTS_WITH {a}", "{f} NOT STARTS_WITH {a}"]
    return chance.choice(forms).format(f=name, a=draw(chance), b=draw(chance))


def quoted(text: str) -> str:
    """The text as the language writes it."""
    return "'" + text.replace("'", "''") + "'"


def _time(chance: Random) -> str:
    return chance.choice(("now()", "now() - 500ms", "'1970-01-01'", "now() + '1us'", "'1970-01-01T01:00:00.500000+01:00'", "now() + 1m"))


def _one(*written: str) -> Any:
    return lambda chance: chance.choice(written)


_numbers = _one(*map(repr, _NUMBERS), "0.5", "-1.5", "1e3", "9007199254740992.0")
_KINDS: Final[dict[str, tuple[str, Any]]] = {
    "status": ("equal", _one("'Running'", "'completed'", "'Paused'", "'Failed'")),
    "type": ("text", lambda chance: quoted(chance.choice((*TYPES, "", "o")))),
    "id": ("text", _one("'w1'", "'w'", "'w12'", "'x''y'", "''")),
    "run_id": ("text", _one("'r1'", "'r'", "'r2'")),
    "version": ("prefix", _one("'3f2a91c'", "'3f2a91c4'", "'v'", "''")),
    "start_time": ("ordered", _time),
    "close_time": ("ordered", _time),
    "due": ("ordered", _time),
    "duration": ("ordered", _one("0s", "1ms", "'1m'", "1m", "60", "0.001")),
    "parent_run_id": ("text", _one("'r0'", "'r'")),
    "idempotency_key": ("text", _one("'key-w1-r1'", "'key-'")),
    "parent_id": ("text", _one("'w1'", "'w'")),
    "schedule_id": ("text", _one("'daily'", "'h'")),
    "amount": ("ordered", _numbers),
    "attr.limit": ("ordered", _numbers),
    "rate": ("ordered", _numbers),
    "vip": ("equal", _one("TRUE", "false")),
    "tags": ("prefix", lambda chance: quoted(chance.choice(_TEXTS[:6]))),
}
