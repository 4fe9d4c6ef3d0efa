"""The pytest plugin: `lab`, `lab_factory`, `stand_in` and `crash_at`, on virtual clocks, with every finished run replayed.

    def test_an_order_waits_for_its_approval(lab, stand_in):
        with stand_in(charge, returns="r-1") as charged:
            handle = lab.start(order, 42)
            lab.clock.skip("2d")
            handle.signal("approval", True)
            assert handle.result() == "shipped" and charged.count == 1

When the test is over, each run that has ended is replayed against its history, and the test fails if the code disagrees: a workflow that
decides by the clock, by chance or by a global is found by the first test that runs it. `stand_in` takes a child workflow as well.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from aionlab.app.lab import Lab

    from .kit import CrashPoint, StandIn


@pytest.fixture
def lab_factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Lab]]:
    """Opens labs: `lab_factory()` a fresh one in a file of its own, `lab_factory(name)` the one of that name, again or anew; options as
    `aionlab.testing.kit.open_lab` has them. All are checked and closed when the test is over."""
    from . import kit

    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    opened: list[Lab] = []

    def make(name: str | None = None, **options: Any) -> Lab:
        made = kit.open_lab(tmp_path / f"{name or f'lab-{len(opened) + 1}'}.db", **options)
        opened.append(made)
        return made

    yield make
    problems = []
    for made in opened:
        if not made.closed:
            try:
                kit.check_replays(made)
            except AssertionError as error:
                problems.append(str(error))
            made.close()
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)


@pytest.fixture
def lab(lab_factory: Callable[..., Lab]) -> Lab:
    """A fresh lab on a virtual clock, without threads: `lab.clock.skip("30d")` takes milliseconds, and nothing happens by itself."""
    return lab_factory("lab")


@pytest.fixture
def stand_in(lab: Lab) -> Callable[..., AbstractContextManager[StandIn]]:
    """`with stand_in(charge, returns=…) as calls:` runs something else in the place of an activity of `lab`, see `aionlab.testing.kit.stand_in`."""
    from . import kit

    return lambda activity, fn=None, **answers: kit.stand_in(lab, activity, fn, **answers)


@pytest.fixture
def crash_at(lab: Lab, lab_factory: Callable[..., Lab]) -> Callable[..., CrashPoint]:
    """`with crash_at("committed") as crash: …` loses the engine of `lab` at a named point; `crash.reopen()` is the lab as it comes back."""
    from . import kit

    return lambda point, after=0: kit.CrashPoint(lab, point, after, lambda path, **options: lab_factory(Path(path).stem, **options))
