"""How often the engine commits, which is how often it flushes: a number, unlike a time, so it is asserted."""
from __future__ import annotations

import pytest

from aionlab import activity, workflow
from aionlab.core.ports import Batch
from aionlab.engine.call import Call
from aionlab.engine.lifecycle.start import StartRequest
from aionlab.store.memory import MemoryStore
from aionlab.testing.workbench import Workbench


@activity
async def double(x: int) -> int:
    return 2 * x


@workflow
async def doubling(n: int) -> int:
    for k in range(n):
        await double(k)
    return n


class Counting(MemoryStore):
    commits = 0

    def commit(self, batch: Batch) -> None:
        self.commits += 1
        super().commit(batch)


@pytest.fixture
def bench() -> Workbench:
    made = Workbench(Counting())
    made.workflow(doubling)
    made.activity(double)
    return made


def test_a_start_shares_its_commit_with_the_first_step_and_each_result_with_the_next(bench: Workbench) -> None:
    before = bench.store.commits  # type: ignore[attr-defined]

    bench.start("doubling", 20)

    assert bench.store.commits - before == 21  # type: ignore[attr-defined]  # the start with step 1; then one a result


def test_a_thousand_runs_of_five_steps_share_their_commits(bench: Workbench) -> None:
    before, turns = bench.store.commits, bench.engine.turns  # type: ignore[attr-defined]

    for _ in range(1000):
        bench.engine.submit(Call("start", StartRequest("doubling", bench.values.encode_args((5,), {}))))
    bench.host.pump()

    commits = bench.store.commits - before  # type: ignore[attr-defined]
    assert len(bench.engine.registry) == 0
    assert commits == 6
    assert commits <= bench.engine.turns - turns
