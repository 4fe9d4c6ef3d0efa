"""Supervisors as declared: words checked when they are said, values that never change, and the form they are kept in."""
from __future__ import annotations

import copy
import pickle
from datetime import timedelta
from typing import Any

import pytest

from aionlab import workflow
from aionlab.core.errors import InvalidName, InvalidOption
from aionlab.core.jsontext import dumps, loads
from aionlab.core.supervisors import Backoff, GiveUp, Restart, Strategy, Supervisor

SECOND = 1_000_000


@workflow
async def order() -> None: ...


def test_the_defaults_are_those_promised() -> None:
    plain, root = Supervisor("orders"), Supervisor(None)
    assert (plain.intensity, plain.period, root.intensity, root.period) == (3, 30 * SECOND, 3, 300 * SECOND)
    assert (plain.strategy, plain.restart, plain.runs) == (Strategy.ONE_FOR_ONE, Restart.PERMANENT, Restart.TRANSIENT)
    assert (plain.backoff, plain.shutdown, plain.give_up, plain.children) == (None, 5 * SECOND, None, None)


def test_children_are_workflows_names_and_supervisors() -> None:
    mail = Supervisor("mail", ["letter"], strategy="one_for_all")
    orders = Supervisor("orders", [order, "refund", mail])
    assert [child.name for child in orders.children or ()] == ["order", "refund", "mail"]
    assert [each.name for each in orders.walk()] == ["orders", "order", "refund", "mail", "letter"]
    assert Supervisor(order, runs="permanent").runs is Restart.PERMANENT


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Supervisor("a", strategy="one_for_none"), "choose one of 'one_for_one', 'one_for_all', 'rest_for_one'"),
        (lambda: Supervisor("a", restart="always"), "'permanent', 'transient', 'temporary'"),
        (lambda: Supervisor("a", runs=3), "runs=3; choose one of"),
        (lambda: Supervisor("a", give_up="never"), "'stuck', 'fail'"),
        (lambda: Supervisor("a", intensity=-1), "counts restarts"),
        (lambda: Supervisor("a", intensity=True), "counts restarts"),
        (lambda: Supervisor("a", intensity=1.5), "counts restarts"),  # type: ignore[arg-type]
        (lambda: Supervisor("a", period=0), "within a length of time"),
        (lambda: Supervisor("a", period="soon"), "period: 'soon' is not a duration"),
        (lambda: Supervisor("a", shutdown=-1), "shutdown: a duration cannot be negative"),
        (lambda: Supervisor("a", backoff="x"), "backoff: 'x' is not a duration"),
        (lambda: Supervisor("a", "bc"), r"write a list: children=\['bc'\]"),
        (lambda: Supervisor("a", [3]), "3 cannot be supervised"),
        (lambda: Supervisor("a", ["b", Supervisor("c", ["b"])]), "b stands more than once under a"),
        (lambda: Supervisor("a", ["a"]), "a stands more than once"),
        (lambda: Supervisor("a", [Supervisor(None)]), "nobody's child"),
        (lambda: Supervisor("a", ["b"], runs="permanent"), "give it to the child of a"),
        (lambda: Supervisor(order, ["b"]), "order is a workflow"),
        (lambda: Supervisor(None, ["b"]), "the root has no parent"),
        (lambda: Supervisor(None, restart="temporary"), "the root has no parent"),
        (lambda: Backoff("1s", 0.5), "factor=0.5"),
        (lambda: Backoff("1s", float("nan")), "factor=nan"),
        (lambda: Backoff("2s", cap="1s"), "cap=1s is less than initial=2s"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(make: Any, said: str) -> None:
    with pytest.raises(InvalidOption, match=said):
        make()


@pytest.mark.parametrize("name", ["", "a\nb", 3, b"x", "x" * 300])
def test_names_are_names(name: Any) -> None:
    with pytest.raises(InvalidName):
        Supervisor(name)


def test_a_backoff_grows_to_its_cap() -> None:
    backoff = Backoff("1s", 3, "20s")
    assert [backoff.delay(n) // SECOND for n in range(1, 6)] == [1, 3, 9, 20, 20]
    assert Backoff("1s", 10.0, "1m").delay(10_000) == 60 * SECOND
    assert Backoff(0).delay(3) == 0
    assert Supervisor("a", backoff="2m").backoff == Backoff("2m", 2, "2m")
    assert Supervisor("a", backoff=timedelta(seconds=1)).backoff == Backoff()


EVERYTHING = Supervisor(
    "orders",
    [order, Supervisor("mail", [Supervisor("letter", runs="temporary", give_up="fail")], strategy="one_for_all", restart="temporary"), Supervisor("none", [])],
    strategy="rest_for_one", intensity=0, period=timedelta(days=300_000, microseconds=1), backoff=Backoff("250ms", 1.5, "1h"), shutdown="brutal_kill",
    give_up=GiveUp.STUCK,
)  # fmt: skip


@pytest.mark.parametrize("spec", [EVERYTHING, Supervisor("orders"), Supervisor(None), Supervisor(None, intensity=9, period="1h")])
def test_a_declaration_survives_its_document(spec: Supervisor) -> None:
    document = loads(dumps(spec.document()))
    assert Supervisor.of_document(document) == spec
    assert Supervisor.of_document({**document, "later": 1}) == spec
    for other in (copy.copy(spec), copy.deepcopy(spec), pickle.loads(pickle.dumps(spec))):
        assert other == spec and hash(other) == hash(spec) and other is not None


def test_a_document_says_only_what_is_not_at_its_default() -> None:
    assert Supervisor("a").document() == {"name": "a"}
    assert Supervisor("a", ["b"], period="30s").document() == {"name": "a", "children": [{"name": "b"}]}


def test_a_declaration_reads_as_it_was_written() -> None:
    names = {"Supervisor": Supervisor, "Backoff": Backoff}
    for spec in (Supervisor("a", ["b", Supervisor("c", [])], strategy="one_for_all", period="1m", backoff=Backoff("1s", 1.5, "9s")), Supervisor(None, intensity=4)):
        assert eval(repr(spec), names) == spec


def test_values_do_not_change() -> None:
    spec = Supervisor("a", backoff=Backoff())
    for value, slot in ((spec, "intensity"), (spec.backoff, "initial"), (spec, "other")):
        with pytest.raises(AttributeError, match="does not change"):
            setattr(value, slot, 3)
    assert spec != Supervisor("a") and spec != "a" and Backoff() == Backoff("1s")


def test_what_is_unusual_is_told_in_a_line() -> None:
    assert Supervisor("a", intensity=9).unusual == ""
    told = Supervisor("a", strategy="one_for_all", restart="temporary", runs="permanent", backoff="2s", shutdown=0, give_up="fail").unusual
    assert told == "one_for_all, restart temporary, runs permanent, backoff 2s to 1m, shutdown 0s, give_up fail"
