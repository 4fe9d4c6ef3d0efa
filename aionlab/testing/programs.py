"""Random workflows: programs as data, the workflow that runs them, and their mutants.

A program is JSON: a block is a list of nodes, a node is `[kind, *arguments]`. `interpret` is a workflow that takes a block as its input
and returns a trace of all it saw, so equal results mean equal lives. `python -m aionlab.testing.programs --count 50000 --seed 1`
makes that many programs, drives them through worlds of faults (`aionlab.testing.world`) and prints what it counted.
"""
from __future__ import annotations

import asyncio
import copy
import gc
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

from aionlab.authoring.children import CANCELLATION, PARENT_CLOSE
from aionlab.authoring.definitions import Activity
from aionlab.authoring.faces import workflow
from aionlab.core.errors import ActivityError, ChildWorkflowError, RunClosed, RunNotFound
from aionlab.core.events import ActivityOptions
from aionlab.core.retry import RetryPolicy
from aionlab.core.running import current, running

Node = list[Any]
Block = list[Node]

SIGNALS = ("a", "b")
UPDATES = ("u", "v")
SENT = 100_000
"""Added to what programs send each other, so that it is not what senders outside send."""
CHILD = "kid"
"""The workflow that children of programs are: the interpreter itself."""
TAKEN = "taken"
"""The id of a run that is always open."""
_ONCE = ActivityOptions()
_UNTIL_IT_WORKS = ActivityOptions(RetryPolicy(max_attempts=0, backoff=1.0))
_SLOW = ActivityOptions(RetryPolicy(max_attempts=2, backoff=1.0), start_to_close=7_000_000)  # type: ignore[arg-type]  # Micros
ACTIVITIES: dict[str, Activity[..., Any]] = {
    "act": Activity(None, "act", _ONCE),
    "bet": Activity(None, "bet", _ONCE),
    "fail": Activity(None, "fail", _ONCE),
    "flaky": Activity(None, "flaky", _UNTIL_IT_WORKS),
    "slow": Activity(None, "slow", _SLOW),
}

strays: list[str] = []
"""Cleanup code that ran while another run was being stepped; must stay empty."""


# --- running a program -----------------------------------------------------------------------------------------------------


async def interpret(program: Block) -> list[Any]:
    """The workflow: runs the program and returns its trace."""
    life = _Life()
    await life.block(program)
    return life.trace


class _Life:
    """One run of a program. A method for each kind of node."""

    def __init__(self) -> None:
        self.process = running("a program")
        self.began = self.process.now()
        self.trace: list[Any] = []
        self.last = 0
        self.tasks: list[asyncio.Task[int]] = []
        self.sends = 0
        self.lock = asyncio.Lock()
        self.semaphore = asyncio.Semaphore(2)
        self.event = asyncio.Event()
        self.queue: asyncio.Queue[int] = asyncio.Queue()

    async def block(self, block: Block) -> int:
        for kind, *arguments in block:
            await getattr(self, f"do_{kind}")(*arguments)
        return self.last

    def note(self, what: str, value: Any = None) -> None:
        self.trace.append([what, value])
        if isinstance(value, int):
            self.last = value

    def cleaning(self) -> None:
        """Called wherever code runs that a dropped coroutine runs too."""
        process = current.get()
        if process is not None and process is not self.process:
            strays.append(f"code of {self.process.info.workflow_id} ran in a step of {process.info.workflow_id}")

    async def child(self, block: Block) -> int:
        try:
            return await self.block(block)
        finally:
            self.cleaning()

    # --- activities, time, messages

    async def do_act(self, name: str, n: int) -> None:
        self.note(name, await ACTIVITIES[name](n))

    async def do_fail(self, n: int) -> None:
        try:
            await ACTIVITIES["fail"](n)
        except ActivityError as error:
            self.note("failed", f"{type(error.cause).__name__}: {error.cause}")

    async def do_fatal(self, n: int) -> None:
        await ACTIVITIES["fail"](n)

    async def do_flaky(self, n: int, failures: int) -> None:
        self.note("flaky", await ACTIVITIES["flaky"](n, failures))

    async def do_slow(self, n: int) -> None:
        try:
            self.note("slow", await ACTIVITIES["slow"](n))
        except ActivityError as error:
            self.note("timed out", type(error).__name__)

    async def do_sleep(self, seconds: int) -> None:
        await asyncio.sleep(seconds)
        self.note("slept")

    async def do_nap(self) -> None:
        await asyncio.sleep(0)

    async def do_receive(self, name: str, timeout: int | None) -> None:
        if timeout is None:
            self.note(f"got {name}", await workflow.receive(name))
        else:
            self.note(f"maybe {name}", await workflow.receive(name, timeout=timeout, default="nothing"))

    async def do_handler(self, name: str, block: Block | None) -> None:
        async def later(value: int) -> None:
            self.note(f"handling {name}", value)
            await self.child(block or [])

        def at_once(value: int) -> None:
            self.note(f"handled {name}", value)

        workflow.on_signal(name, at_once if block is None else later)

    async def do_updates(self, name: str, block: Block | None) -> None:
        def check(value: int) -> None:
            if value % 4 == 0:
                raise ValueError(f"{value} is a multiple of 4")

        async def later(value: int) -> int:
            self.note(f"updating {name}", value)
            return await self.child(block or [])

        def at_once(value: int) -> int:
            self.note(f"updated {name}", value)
            if value % 5 == 0:
                raise ValueError(f"{value} is a multiple of 5")
            return self.last

        workflow.on_update(name, at_once if block is None else later, validator=check)

    async def do_send(self, target: str, name: str, n: int) -> None:
        self.sends += 1
        if self.sends > 20:  # handlers that answer each other would never come to rest
            return
        try:
            await workflow.send(target, name, SENT + n)
            self.note("sent", n)
        except (RunNotFound, RunClosed) as error:
            self.note("not sent", type(error).__name__)

    async def do_until(self, n: int, seconds: int | None) -> None:
        try:
            await workflow.wait_condition(lambda: self.last % 3 == n % 3, timeout=seconds)
            self.note("until", self.last % 3)
        except TimeoutError:
            self.note("not until")

    async def do_finish(self, seconds: int) -> None:
        try:
            await workflow.wait_condition(workflow.all_handlers_finished, timeout=seconds)
            self.note("finished")
        except TimeoutError:
            self.note("not finished")

    async def do_upsert(self, n: int) -> None:
        workflow.upsert_search_attributes(n=n)

    async def do_draw(self, kind: str) -> None:
        if kind == "uuid":
            self.note("uuid", str(workflow.uuid4()))
        elif kind == "now":
            self.note("now", int(workflow.now().timestamp()) - self.began // 1_000_000)
        else:
            self.note("drew", workflow.random().randrange(1000))

    # --- several at once

    async def do_gather(self, blocks: list[Block], quiet: bool) -> None:
        results = await asyncio.gather(*[self.child(block) for block in blocks], return_exceptions=quiet)
        self.note("gathered", [result if isinstance(result, int) else type(result).__name__ for result in results])

    async def do_first(self, blocks: list[Block], cancel: bool) -> None:
        tasks = {asyncio.create_task(self.child(block)) for block in blocks}
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        self.note("first", [self.outcome(task) for task in done])
        for task in pending:
            if cancel:
                task.cancel()
            else:
                self.tasks.append(task)
        if cancel and pending:
            done, _ = await asyncio.wait(pending)
            self.note("losers", [self.outcome(task) for task in done])

    async def do_group(self, blocks: list[Block]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for block in blocks:
                    group.create_task(self.child(block))
        except BaseExceptionGroup as failed:
            self.note("group", [type(error).__name__ for error in failed.exceptions])

    async def do_spawn(self, block: Block) -> None:
        self.tasks.append(asyncio.create_task(self.child(block)))

    async def do_cancel(self, n: int) -> None:
        if self.tasks:
            self.note("cancel", self.tasks[n % len(self.tasks)].cancel())

    async def do_join(self, n: int) -> None:
        if self.tasks:
            task = self.tasks[n % len(self.tasks)]
            if task is not asyncio.current_task():
                await asyncio.wait([task])
                self.note("joined", self.outcome(task))

    async def do_shield(self, seconds: int, block: Block) -> None:
        task = asyncio.create_task(self.child(block))
        self.tasks.append(task)
        try:
            self.note("shielded", await asyncio.wait_for(asyncio.shield(task), seconds))
        except TimeoutError:
            self.note("shield held")

    async def do_lock(self, block: Block) -> None:
        async with self.lock:
            await self.block(block)
        self.cleaning()

    async def do_semaphore(self, block: Block) -> None:
        async with self.semaphore:
            await self.block(block)

    async def do_set(self) -> None:
        self.event.set()

    async def do_event(self, seconds: int) -> None:
        try:
            self.note("event", await asyncio.wait_for(self.event.wait(), seconds))
        except TimeoutError:
            self.note("no event")
        self.event.clear()

    async def do_put(self, n: int) -> None:
        self.queue.put_nowait(n)

    async def do_get(self, seconds: int) -> None:
        try:
            self.note("item", await asyncio.wait_for(self.queue.get(), seconds))
        except TimeoutError:
            self.note("no item")

    # --- children

    async def do_child(self, block: Block, parent_close: str, how: str, cancellation: str) -> None:
        """`how`: "await" it, "start" it and go on, or ask for an id that is taken."""
        name = TAKEN if how == "taken" else None
        child: Any = await workflow.start_child(CHILD, block, id=name, parent_close=parent_close, cancellation=cancellation)
        if how == "start":
            self.tasks.append(child)
            return
        try:
            self.note("child", await child)
        except ChildWorkflowError as error:
            self.note("child failed", type(error.cause).__name__)

    # --- limits, failures, cleanup

    async def do_wait_for(self, seconds: int, block: Block) -> None:
        try:
            self.note("in time", await asyncio.wait_for(self.child(block), seconds))
        except TimeoutError:
            self.note("too late")

    async def do_timeout(self, seconds: int, block: Block) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.block(block)
        except TimeoutError:
            self.note("timeout")

    async def do_raise(self, n: int) -> None:
        raise ValueError(f"raised {n}")

    async def do_catch(self, block: Block) -> None:
        try:
            await self.block(block)
        except Exception as error:  # noqa: BLE001 - what programs raise is traced
            self.note("caught", type(error).__name__)

    async def do_finally(self, block: Block, cleanup: Block) -> None:
        try:
            await self.block(block)
        finally:
            self.cleaning()
            await self.block(cleanup)

    async def do_cancelled(self, block: Block, cleanup: Block, swallow: bool) -> None:
        try:
            await self.block(block)
        except asyncio.CancelledError:
            self.cleaning()
            self.note("cancelled")
            await self.block(cleanup)
            if not swallow:
                raise

    async def do_stubborn(self, block: Block) -> None:
        """Tries again whatever happens, being dropped included."""
        for _ in range(3):
            try:
                await self.block(block)
                return
            except BaseException as error:  # noqa: BLE001 - the point of the node
                self.cleaning()
                self.note("stubborn", type(error).__name__)

    async def do_generator(self, n: int, stop: int, block: Block) -> None:
        async def numbers() -> AsyncIterator[int]:
            try:
                for i in range(n):
                    await self.block(block)
                    yield i
            finally:
                self.cleaning()

        async for i in numbers():
            self.note("yielded", i)
            if i == stop:
                break

    # --- control

    async def do_if(self, even: Block, odd: Block) -> None:
        await self.block(odd if self.last % 2 else even)

    async def do_repeat(self, n: int, block: Block) -> None:
        for _ in range(n):
            await self.block(block)

    async def do_collect(self) -> None:
        gc.collect(0)

    def outcome(self, task: asyncio.Task[int]) -> Any:
        if task.cancelled():
            return "cancelled"
        error = task.exception()
        return task.result() if error is None else type(error).__name__


# --- making programs -------------------------------------------------------------------------------------------------------


class Maker:
    """Makes programs of a bounded size. `slow` allows activities with a time limit, `family` children, `talk` updates, conditions and
    signals to other programs."""

    def __init__(self, rng: random.Random, budget: int, slow: bool = False, family: bool = False, talk: bool = False) -> None:
        self.rng, self.budget, self.slow, self.family, self.talk = rng, budget, slow, family, talk

    def program(self) -> Block:
        block: Block = []
        if self.talk:
            block += [["updates", name, self._answering()] for name in UPDATES]
        while self.budget > 0:
            block += self.block(0)
        if self.talk and self.rng.random() < 0.5:
            block.append(["until", self.rng.randint(0, 2), 9])
        return block

    def _answering(self) -> Block | None:
        """What the handler of an update does; one in two waits for what the program itself may wait for at its end."""
        if self.rng.random() < 0.3:
            return None
        return [["until", self.rng.randint(0, 2), None]] if self.rng.random() < 0.7 else self.block(2)

    def block(self, depth: int) -> Block:
        return [self.node(depth) for _ in range(self.rng.choice((1, 1, 2, 2, 3)))]

    def blocks(self, depth: int) -> list[Block]:
        return [self.block(depth) for _ in range(self.rng.choice((2, 2, 3, 4)))]

    def node(self, depth: int) -> Node:
        self.budget -= 1
        rng = self.rng
        if depth >= 4 or self.budget <= 0 or rng.random() < 0.45:
            return self.leaf()
        inner, seconds = depth + 1, rng.randint(1, 9)
        if self.family and rng.random() < 0.3:
            policy, how = rng.choice(PARENT_CLOSE), rng.choice(("await", "await", "start", "start", "taken"))
            return ["child", self.block(inner), policy, how, rng.choice(CANCELLATION)]
        if self.talk and rng.random() < 0.15:
            return ["updates", rng.choice(UPDATES), None if rng.random() < 0.4 else self.block(inner)]
        if self.talk and rng.random() < 0.2:
            n = rng.randint(0, 2)
            return ["gather", [[["until", n, seconds], self.leaf()] for _ in range(2)], True]
        makers: list[Callable[[], Node]] = [
            lambda: ["gather", self.blocks(inner), rng.random() < 0.5],
            lambda: ["wait_for", seconds, self.block(inner)],
            lambda: ["timeout", seconds, self.block(inner)],
            lambda: ["first", self.blocks(inner), rng.random() < 0.6],
            lambda: ["first", self.blocks(inner), True],
            lambda: ["group", self.blocks(inner)],
            lambda: ["spawn", self.block(inner)],
            lambda: ["spawn", self.block(inner)],
            lambda: ["shield", seconds, self.block(inner)],
            lambda: ["lock", self.block(inner)],
            lambda: ["semaphore", self.block(inner)],
            lambda: ["catch", self.block(inner)],
            lambda: ["finally", self.block(inner), self.block(inner)],
            lambda: ["cancelled", self.block(inner), self.block(inner), rng.random() < 0.3],
            lambda: ["stubborn", self.block(inner)],
            lambda: ["generator", rng.randint(1, 3), rng.randint(0, 2), self.block(inner)],
            lambda: ["if", self.block(inner), self.block(inner)],
            lambda: ["repeat", 2, self.block(inner)],
            lambda: ["handler", rng.choice(SIGNALS), None if rng.random() < 0.4 else self.block(inner)],
        ]
        return rng.choice(makers)()

    def leaf(self) -> Node:
        rng, n = self.rng, self.rng.randint(0, 9)
        leaves: list[tuple[int, Node]] = [
            (30, ["act", rng.choice(("act", "bet")), n]),
            (5, ["fail", n]),
            (1, ["fatal", n]),
            (5, ["flaky", n, rng.randint(1, 2)]),
            (10, ["sleep", rng.randint(1, 9)]),
            (3, ["nap"]),
            (12, ["receive", rng.choice(SIGNALS), None if rng.random() < 0.4 else rng.randint(1, 9)]),
            (3, ["raise", n]),
            (10, ["cancel", n]),
            (4, ["join", n]),
            (3, ["upsert", n]),
            (5, ["draw", rng.choice(("random", "uuid", "now"))]),
            (3, ["set"]),
            (3, ["event", rng.randint(1, 9)]),
            (3, ["put", n]),
            (3, ["get", rng.randint(1, 9)]),
            (1, ["collect"]),
        ]
        if self.slow:
            leaves.append((12, ["slow", n]))
        if self.talk:
            target = rng.choice(("w0", "w0", "w1", "w1", "w2", "nobody"))
            leaves += [(15, ["send", target, rng.choice(SIGNALS), n]), (8, ["until", n, None if rng.random() < 0.2 else rng.randint(1, 9)])]
            leaves += [(6, ["updates", rng.choice(UPDATES), None]), (3, ["finish", rng.randint(1, 9)])]
        return rng.choices([leaf for _, leaf in leaves], [weight for weight, _ in leaves])[0]


# --- changing programs -----------------------------------------------------------------------------------------------------


def mutate(program: Block, rng: random.Random) -> Block:
    """The program with one change: a node inserted, deleted, swapped with the next, renamed, replaced, or given another argument."""
    mutant: Block = copy.deepcopy(program)
    blocks = [block for block in _blocks(mutant) if block]
    block = rng.choice(blocks)
    at = rng.randrange(len(block))
    match rng.choice(("insert", "delete", "swap", "rename", "replace", "argument")):
        case "insert":
            block.insert(at, Maker(rng, 1).leaf())
        case "delete":
            del block[at]
        case "swap" if len(block) > 1:
            other = (at + 1) % len(block)
            block[at], block[other] = block[other], block[at]
        case "rename":
            named = [node for block in blocks for node in block if node[0] in ("act", "receive")]
            if named:
                node = rng.choice(named)
                node[1] = {"act": "bet", "bet": "act", "a": "b", "b": "a"}[node[1]]
        case "replace":
            block[at] = Maker(rng, 1).leaf()
        case "argument":
            numbered = [node for block in blocks for node in block if any(type(part) is int for part in node[1:])]
            if numbered:
                node = rng.choice(numbered)
                index = rng.choice([i for i, part in enumerate(node) if type(part) is int])
                node[index] += rng.randint(1, 3)
        case _:
            block.insert(at, ["nap"])
    return mutant


def _blocks(block: Block) -> list[Block]:
    """The block and all blocks within it."""
    found = [block]
    for node in block:
        inner = node[1] if node[0] in ("gather", "first", "group") else [part for part in node[1:] if isinstance(part, list)]
        for one in inner:
            found += _blocks(one)
    return found


def main(arguments: list[str] | None = None) -> int:
    """Examine many programs and print the counts; 1 when a law was broken."""
    from .examine import command

    return command(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
