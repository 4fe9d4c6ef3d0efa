"""asyncio's vocabulary on a run's loop: what is recorded, what replays, and what happens when a run is dropped."""
from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from aionlab import workflow
from aionlab.authoring.definitions import Activity
from aionlab.core import events as e
from aionlab.core.errors import ActivityError, InvalidPayload
from aionlab.core.running import current
from aionlab.replay import loop as loops
from aionlab.replay.loop import RunDropped, WorkflowTask
from tests.replay.conftest import BEGUN, SECOND, VALUES, Stepper, act

Step = Callable[..., Stepper]


def kinds(answers: list[e.Event]) -> list[str]:
    return [type(answer).__name__ for answer in answers]


# --- time


def test_sleep_is_a_timer(step: Step) -> None:
    async def flow() -> float:
        await asyncio.sleep(5)
        return asyncio.get_running_loop().time()

    run = step(flow)
    assert run.answers == [e.TimerStarted(0, BEGUN + 5 * SECOND)]
    run.fire(0, 6 * SECOND)
    assert run.result == (BEGUN + 6 * SECOND) / SECOND, "time is that of the last fact"


@pytest.mark.parametrize("delay", [0, -1, 1e-9])
def test_what_is_due_runs_in_the_same_step_without_an_event(step: Step, delay: float) -> None:
    async def flow() -> str:
        loop, heard = asyncio.get_running_loop(), []
        loop.call_later(delay, heard.append, "later")
        loop.call_at(loop.time(), heard.append, "at")
        await asyncio.sleep(delay)
        await asyncio.sleep(0)
        return ",".join(heard)

    run = step(flow)
    assert (kinds(run.answers), run.result) == (["WorkflowCompleted"], "later,at")


def test_times_are_whole_microseconds(step: Step) -> None:
    async def flow() -> None:
        await asyncio.sleep(0.1 + 0.2)

    assert step(flow).answers == [e.TimerStarted(0, BEGUN + 300_000)]


def test_a_timer_cancelled_in_its_step_leaves_no_trace_and_takes_no_number(step: Step) -> None:
    async def flow() -> None:
        asyncio.get_running_loop().call_later(5, print).cancel()
        await asyncio.sleep(7)

    assert step(flow).answers == [e.TimerStarted(0, BEGUN + 7 * SECOND)]


def test_a_timer_cancelled_later_is_recorded(step: Step) -> None:
    async def flow() -> None:
        handle = asyncio.get_running_loop().call_later(5, print)
        await workflow.receive("go")
        handle.cancel()
        handle.cancel()

    run = step(flow)
    assert run.signal("go")[:1] == [e.TimerCancelled(0)]
    assert kinds(run.answers) == ["TimerCancelled", "WorkflowCompleted"]


def test_cancelling_after_firing_is_nothing(step: Step) -> None:
    async def flow() -> list[str]:
        heard: list[str] = []
        handle = asyncio.get_running_loop().call_later(5, heard.append, "fired")
        await workflow.receive("go")
        handle.cancel()
        return heard

    run = step(flow)
    assert run.fire(0, 5 * SECOND) == []
    assert kinds(run.signal("go")) == ["WorkflowCompleted"]
    assert run.result == ["fired"]


def test_a_fired_timer_cancelled_before_its_callback_does_not_run(step: Step) -> None:
    async def flow() -> list[str]:
        loop, heard = asyncio.get_running_loop(), []
        late = loop.call_later(0, heard.append, "late")
        loop.call_soon(late.cancel)
        late.cancel()
        await asyncio.sleep(0)
        return heard

    assert step(flow).result == []


# --- several at once


def test_gather_asks_in_the_order_written(step: Step) -> None:
    async def flow() -> list[int]:
        return list(await asyncio.gather(act(1), act(2), act(3)))

    run = step(flow)
    assert [answer.activity_id for answer in run.answers] == [0, 1, 2]
    run.done(2, 30), run.done(0, 10), run.done(1, 20)
    assert run.result == [10, 20, 30]


def test_wait_for_times_out_and_withdraws(step: Step) -> None:
    async def flow() -> str:
        try:
            await asyncio.wait_for(act(), 3)
        except TimeoutError:
            return "late"
        return "in time"

    run = step(flow)
    assert sorted(kinds(run.answers)) == ["ActivityScheduled", "TimerStarted"]
    assert kinds(run.fire(0, 3 * SECOND)) == ["ActivityCancelRequested", "WorkflowCompleted"]
    assert run.result == "late"


def test_wait_for_in_time_cancels_its_timer(step: Step) -> None:
    async def flow() -> str:
        return str(await asyncio.wait_for(act(), 3))

    run = step(flow)
    assert kinds(run.done(0, "x")) == ["TimerCancelled", "WorkflowCompleted"]


def test_timeout_around_a_block(step: Step) -> None:
    async def flow() -> str:
        try:
            async with asyncio.timeout(3) as limit:
                await act()
                limit.reschedule(asyncio.get_running_loop().time() + 9)
                await act()
        except TimeoutError:
            return "late"
        return "in time"

    run = step(flow)
    assert kinds(run.done(0)) == ["TimerCancelled", "TimerStarted", "ActivityScheduled"]
    run.fire(1, 9 * SECOND)
    assert run.result == "late"


def test_a_timeout_of_zero(step: Step) -> None:
    async def flow() -> str:
        try:
            async with asyncio.timeout(0):
                await act()
        except TimeoutError:
            return "late"
        return "in time"

    run = step(flow)
    assert (kinds(run.answers), run.result) == (["WorkflowCompleted"], "late")


@pytest.mark.parametrize("when", [asyncio.FIRST_COMPLETED, asyncio.ALL_COMPLETED, asyncio.FIRST_EXCEPTION])
def test_wait(step: Step, when: str) -> None:
    async def flow() -> list[int]:
        tasks = {asyncio.create_task(act(n)) for n in range(5)}
        done, pending = await asyncio.wait(tasks, return_when=when)
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending)
        return [len(done), len(pending)]

    run = step(flow)
    for number in (3, 1, 0, 2, 4) if when != asyncio.FIRST_COMPLETED else (3,):
        run.done(number)
    assert run.result == ([1, 4] if when == asyncio.FIRST_COMPLETED else [5, 0])


def test_as_completed_over_tasks_follows_the_facts(step: Step) -> None:
    async def flow() -> list[int]:
        return [await one for one in asyncio.as_completed([asyncio.create_task(act(n)) for n in range(3)])]

    run = step(flow)
    run.done(2, 2), run.done(0, 0), run.done(1, 1)
    assert run.result == [2, 0, 1]


def test_a_failing_child_cancels_its_group(step: Step) -> None:
    async def flow() -> list[str]:
        async def fails() -> None:
            await act("first")
            raise ValueError("no")

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fails())
                for n in range(3):
                    group.create_task(act(n))
        except BaseExceptionGroup as failed:
            return [type(error).__name__ for error in failed.exceptions]
        return []

    run = step(flow)
    assert kinds(run.done(0)) == ["ActivityCancelRequested"] * 3 + ["WorkflowCompleted"]
    assert run.result == ["ValueError"]


def test_shield_lets_the_task_go_on(step: Step) -> None:
    async def flow() -> list[Any]:
        task = asyncio.create_task(act())
        try:
            await asyncio.wait_for(asyncio.shield(task), 1)
        except TimeoutError:
            return ["late", await task]
        return []

    run = step(flow)
    assert run.fire(0, SECOND) == []
    run.done(0, "after all")
    assert run.result == ["late", "after all"]


def test_locks_events_semaphores_and_queues(step: Step) -> None:
    async def flow() -> list[str]:
        lock, event, gate, queue = asyncio.Lock(), asyncio.Event(), asyncio.Semaphore(2), asyncio.Queue[str](1)
        heard: list[str] = []

        async def one(name: str) -> None:
            async with gate, lock:
                heard.append(await act(name))
            await queue.put(name)

        async def two() -> None:
            await event.wait()
            while len(heard) < 6:
                heard.append("took " + await queue.get())

        async with asyncio.TaskGroup() as group:
            for name in "abc":
                group.create_task(one(name))
            group.create_task(two())
            event.set()
        return heard

    run = step(flow)
    for number, name in enumerate("abc"):
        assert run.answers[0].activity_id == number, "one holds the lock at a time, first come first served"
        run.done(number, name)
    assert run.result == ["a", "took a", "b", "took b", "c", "took c"]


def test_conditions_and_barriers(step: Step) -> None:
    async def flow() -> list[int]:
        barrier, condition, heard = asyncio.Barrier(3), asyncio.Condition(), []

        async def one(n: int) -> None:
            await act(n)
            await barrier.wait()
            async with condition:
                await condition.wait_for(lambda: len(heard) == n)
                heard.append(n)
                condition.notify_all()

        await asyncio.gather(*(one(n) for n in range(3)))
        return heard

    run = step(flow)
    run.done(1), run.done(2), run.done(0)
    assert run.result == [0, 1, 2]


def test_sets_of_tasks_iterate_the_same_on_replay(step: Step) -> None:
    async def flow() -> list[int]:
        tasks = {asyncio.create_task(act(n)): n for n in range(40)}
        await workflow.receive("go")
        for task in set(tasks):
            task.cancel()
        await asyncio.wait(tasks)
        return [tasks[task] for task in set(tasks)]

    run = step(flow, seed=99)
    run.signal("go")
    assert sorted(run.result) == list(range(40)) and run.result != list(range(40)), "any order, but the same at every replay"


def test_equal_ordinals_of_different_runs_do_not_collide() -> None:
    hashes = {loops.WorkflowLoop(seed, BEGUN, None).next_order() for seed in range(1000)}  # type: ignore[arg-type]
    assert len(hashes) == 1000


# --- the loop itself


def test_what_code_may_ask_of_its_loop(step: Step) -> None:
    async def flow() -> list[Any]:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        loop.set_debug(True)
        loop.set_exception_handler(print)
        loop.call_exception_handler({"message": "nobody hears"})
        loop.default_exception_handler({"message": "nor this"})
        return [
            loop.is_running(), loop.is_closed(), loop.get_debug(), loop.get_exception_handler(), loop is asyncio.get_event_loop(),
            task.get_name(), asyncio.create_task(asyncio.sleep(0)).get_name(), asyncio.create_task(asyncio.sleep(0), name="mine").get_name(),
            task in asyncio.all_tasks(), loop.get_task_factory(),
        ]  # fmt: skip

    assert step(flow).result == [True, False, False, None, True, "main", "task-1", "mine", True, None]


@pytest.mark.parametrize(
    ("ask", "advice"),
    [
        (lambda loop: loop.run_in_executor(None, print), "make the function an @activity"),
        (lambda loop: loop.call_soon_threadsafe(print), "takes nothing from other threads"),
        (lambda loop: loop.run_until_complete(None), "already running"),
        (lambda loop: loop.run_forever(), "already running"),
        (lambda loop: loop.stop(), "returning or raising"),
    ],
)
def test_what_it_refuses_it_explains(step: Step, ask: Callable[[Any], Any], advice: str) -> None:
    async def flow() -> str:
        try:
            ask(asyncio.get_running_loop())
        except RuntimeError as refused:
            return str(refused)
        return "let pass"

    assert advice in step(flow).result


def test_threads_are_refused(step: Step) -> None:
    async def flow() -> None:
        await asyncio.to_thread(print)

    run = step(flow)
    assert "@activity" in run.answers[0].error.message  # type: ignore[union-attr]


def test_a_task_factory_is_used_and_its_tasks_are_held(step: Step) -> None:
    made: list[str] = []

    async def flow() -> None:
        def factory(loop: Any, coro: Any, **options: Any) -> Any:
            made.append("one")
            return WorkflowTask(coro, loop, "by the factory", options.get("context"))

        async def child() -> None:
            try:
                await act()
            finally:
                made.append("closed")

        asyncio.get_running_loop().set_task_factory(factory)
        asyncio.create_task(child())  # noqa: RUF006 - that nobody else holds it is the point
        await workflow.receive("never")

    run = step(flow)
    gc.collect()
    assert made == ["one"]
    run.process.close()
    assert made == ["one", "closed"]
    made.clear()


def test_a_task_factory_gets_what_the_task_was_asked_for_with(step: Step) -> None:
    async def flow() -> list[Any]:
        loop, seen = asyncio.get_running_loop(), []
        named: contextvars.ContextVar[str] = contextvars.ContextVar("named", default="outer")

        def factory(loop: Any, coro: Any, **options: Any) -> Any:
            seen.append(sorted(options))
            return WorkflowTask(coro, loop, "by the factory", options.get("context"))

        async def child() -> str:
            return named.get()

        loop.set_task_factory(factory)
        context = contextvars.copy_context()
        context.run(named.set, "inner")
        plain, given = asyncio.create_task(child()), loop.create_task(child(), name="mine", context=context)
        assert loop.get_task_factory() is factory
        loop.set_task_factory(None)
        return [plain.get_name(), given.get_name(), await plain, await given, seen, asyncio.create_task(child()).get_name()]

    assert step(flow).result == ["by the factory", "mine", "outer", "inner", [[], ["context"]], "task-1"]


def test_a_task_factory_may_make_what_is_no_task(step: Step) -> None:
    async def flow() -> str:
        def factory(loop: Any, coro: Any, **options: Any) -> Any:
            coro.close()
            future = loop.create_future()
            future.set_result("a future instead")
            return future

        loop = asyncio.get_running_loop()
        loop.set_task_factory(factory)
        return str(await loop.create_task(_nothing(), name="unused"))

    assert step(flow).result == "a future instead"


def test_a_run_does_not_hold_all_tasks_and_generators_it_ever_had(step: Step) -> None:
    async def flow() -> int:
        async def numbers() -> AsyncIterator[int]:
            yield 1

        tasks: weakref.WeakSet[Any] = weakref.WeakSet()
        generators: weakref.WeakSet[Any] = weakref.WeakSet()
        for _ in range(300):
            task = asyncio.create_task(_nothing())
            tasks.add(task)
            await task
            generator = numbers()
            generators.add(generator)
            async for _ in generator:
                pass
        del task, generator
        gc.collect()
        return max(len(tasks), len(generators))

    assert step(flow).result < 128


def test_the_outer_loop_and_hooks_come_back(step: Step) -> None:
    async def outer() -> None:
        hooks, loop = sys.get_asyncgen_hooks(), asyncio.get_running_loop()

        async def flow() -> None:
            await act()

        run = step(flow)
        run.process.close()
        assert (sys.get_asyncgen_hooks(), asyncio.get_running_loop()) == (hooks, loop)

    asyncio.run(outer())


def test_exceptions_nobody_retrieves_change_nothing(step: Step, capsys: pytest.CaptureFixture[str]) -> None:
    async def flow() -> str:
        async def fails() -> None:
            raise ValueError("unheard")

        task = asyncio.create_task(fails())
        await asyncio.sleep(0)
        del task
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(0)
        return "fine"

    assert step(flow).result == "fine"
    assert capsys.readouterr() == ("", "")


# --- the end


def test_the_end_drops_what_is_ready_and_closes_what_runs(step: Step) -> None:
    heard: list[str] = []

    async def flow() -> str:
        async def child() -> None:
            try:
                await act()
            finally:
                heard.append("closed")

        task = asyncio.create_task(child())
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(heard.append, "called")
        act_later = asyncio.get_running_loop().call_later(5, print)
        return f"{task.done()} {act_later.cancelled()}"

    run = step(flow)
    assert heard == ["closed"]
    assert kinds(run.answers) == ["WorkflowCompleted"], "what was asked for in the last step leaves no row"


@pytest.mark.parametrize("stop", [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError, RunDropped])
def test_whatever_the_code_raises_is_its_outcome(step: Step, stop: type[BaseException]) -> None:
    async def flow() -> None:
        await act()
        raise stop("out")

    run = step(flow)
    run.done(0)
    assert run.result == stop.__name__


@pytest.mark.parametrize("stop", [SystemExit, KeyboardInterrupt])
def test_a_child_may_stop_too(step: Step, stop: type[BaseException]) -> None:
    async def flow() -> str:
        async def child() -> None:
            raise stop("out")

        task = asyncio.create_task(child())
        await asyncio.wait([task])
        return type(task.exception()).__name__

    assert step(flow).result == stop.__name__


@pytest.mark.parametrize("stop", [ValueError, SystemExit, asyncio.CancelledError])
def test_a_failing_signal_handler_fails_the_run(step: Step, stop: type[BaseException]) -> None:
    async def flow() -> None:
        def handle(value: Any) -> None:
            raise stop("in the handler")

        workflow.on_signal("go", handle)
        await workflow.receive("never")

    run = step(flow)
    run.signal("go")
    assert run.result == stop.__name__


def test_deep_recursion_fails_the_run_alone(step: Step) -> None:
    async def deep(n: int) -> int:
        return 1 + await deep(n + 1)

    async def flow() -> None:
        await act()
        await deep(0)

    run = step(flow)
    run.done(0)
    assert run.result == "RecursionError"


def test_cancellation_can_be_swallowed_and_cleanup_can_await(step: Step) -> None:
    async def flow() -> str:
        try:
            await act("work")
        except asyncio.CancelledError:
            await act("clean")
            raise
        return "no"

    run = step(flow)
    assert kinds(run.cancel()) == ["ActivityCancelRequested", "ActivityScheduled"]
    assert kinds(run.done(1)) == ["WorkflowCancelled"]


# --- being dropped


def dropped(step: Step, flow: Callable[..., Any]) -> Stepper:
    run = step(flow)
    run.process.close()
    run.process.close()
    assert run.process.is_closed()
    return run


def test_finally_runs_when_a_run_is_dropped_and_cannot_ask(step: Step) -> None:
    heard: list[str] = []

    async def flow() -> None:
        try:
            await act("work")
        finally:
            heard.append("began")
            try:
                await act("clean")
            except RunDropped:
                heard.append("refused")
                raise

    dropped(step, flow)
    assert heard[:2] == ["began", "refused"]


@pytest.mark.parametrize(
    "ask",
    [
        lambda: asyncio.sleep(5), lambda: asyncio.create_task(asyncio.sleep(1)), lambda: workflow.receive("x"),
        lambda: asyncio.wait_for(asyncio.sleep(1), 1), lambda: asyncio.get_running_loop().create_future(),
        lambda: asyncio.get_running_loop().call_later(1, print), lambda: asyncio.get_running_loop().call_soon(print),
        lambda: asyncio.get_running_loop().create_task(object()),  # type: ignore[arg-type]
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:coroutine.*never awaited:RuntimeWarning")
def test_nothing_can_be_asked_for_while_being_dropped(step: Step, ask: Callable[[], Any]) -> None:
    heard: list[str] = []

    async def flow() -> None:
        try:
            await act()
        finally:
            try:
                await ask()
            except (RunDropped, RuntimeError):  # asyncio.timeout, in Python 3.12's wait_for, wants a current task before it asks
                heard.append("refused")

    run = dropped(step, flow)
    assert heard[:1] == ["refused"]
    assert run.process._asked == []


def test_code_that_never_lets_go_does_not_hang_the_engine(step: Step) -> None:
    async def flow() -> None:
        while True:
            try:
                await act()
            except BaseException:
                pass

    held = len(loops._leaked)
    run = step(flow)
    run.process.close()
    assert len(loops._leaked) == held + 1, "it is kept, so that the collector never runs it"
    run.history.clear()  # dropping it again for the replay check would keep another
    run.history = [*step(_nothing).history]
    run.code, run.started = step(_nothing).code, step(_nothing).started


async def _nothing() -> None:
    pass


def test_code_that_asks_again_and_again_while_being_dropped_is_let_through_to_nothing(step: Step) -> None:
    refused: list[int] = []

    async def flow() -> None:
        try:
            await act()
        finally:
            for number in range(100):
                try:
                    asyncio.create_task(_nothing())  # noqa: RUF006 - it never runs
                except RunDropped:
                    refused.append(number)

    run = dropped(step, flow)
    assert refused[:50] == list(range(50)) and len(refused) == 50, "and then what it asks for goes nowhere"
    assert run.process._asked == [] and not run.process._ready and not run.process._children


def test_an_async_generator_begun_while_being_dropped_is_kept_from_the_collector(step: Step) -> None:
    heard: list[str] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            heard.append("run by the collector")

    async def flow() -> None:
        try:
            await act()
        finally:
            async for _ in numbers():
                break

    held = len(loops._leaked)
    run = step(flow)
    run.process.close()
    run.history = [*step(_nothing).history]  # dropping it again for the replay check would keep another
    run.code, run.started = step(_nothing).code, step(_nothing).started
    run.process = run.make()  # the only holder of the generator goes
    gc.collect()
    assert heard == [] and len(loops._leaked) == held + 1


def test_a_finally_that_awaits_on_is_driven_to_its_end(step: Step) -> None:
    heard: list[str] = []

    async def inner() -> None:
        try:
            await act()
        finally:
            await asyncio.sleep(0)
            heard.append("inner")

    async def flow() -> None:
        try:
            await inner()
        finally:
            for _ in range(3):
                try:
                    await asyncio.sleep(0)
                except RunDropped:
                    heard.append("again")
            heard.append("outer")

    held = len(loops._leaked)
    run = dropped(step, flow)
    assert heard[-1] == "outer"
    assert len(loops._leaked) == held
    assert run.process.main is not None and run.process.main.get_coro().cr_frame is None  # type: ignore[union-attr]


def test_an_async_generator_that_is_waited_for_is_unwound(step: Step) -> None:
    heard: list[str] = []

    async def flow() -> None:
        async def numbers() -> AsyncIterator[int]:
            try:
                while True:
                    yield await act()
            finally:
                heard.append("closed")

        async for _ in numbers():
            pass

    held = len(loops._leaked)
    dropped(step, flow)
    assert heard[0] == "closed"
    assert len(loops._leaked) == held, "nothing is left behind"


def test_an_async_generator_left_early_is_closed_with_its_run(step: Step) -> None:
    heard: list[str] = []

    async def flow() -> None:
        async def numbers() -> AsyncIterator[int]:
            try:
                for n in range(3):
                    yield n
            finally:
                heard.append("closed")

        async for _ in numbers():
            break
        gc.collect()
        heard.append("waits")
        await act()

    run = step(flow)
    assert heard == ["waits"], "the collector does not decide when code runs"
    run.process.close()
    assert heard == ["waits", "closed"]


def test_a_child_not_begun_is_closed_without_a_word(step: Step, recwarn: pytest.WarningsRecorder) -> None:
    async def flow() -> str:
        asyncio.create_task(act())  # noqa: RUF006
        return "done"

    assert step(flow).result == "done"
    gc.collect()
    assert not [warning for warning in recwarn if issubclass(warning.category, RuntimeWarning)]


def test_dropping_one_run_asks_nothing_of_another(step: Step) -> None:
    processes: list[object] = []

    async def flow() -> None:
        try:
            await act()
        finally:
            processes.append(current.get())

    first, second = step(flow), step(flow)
    first.process.close()
    assert second.done(0)
    assert processes[:2] == [first.process, second.process], "each cleans up within itself"


# --- looking in


def test_a_query_leaves_the_order_of_things_alone(step: Step) -> None:
    async def flow() -> list[str]:
        def look() -> str:
            asyncio.get_running_loop().create_future()
            workflow.now()
            return "looked"

        def meddle() -> None:
            asyncio.get_running_loop().create_task(act())

        workflow.on_query("look", look)
        workflow.on_query("meddle", meddle)
        await act()
        tasks = {asyncio.create_task(act(n)) for n in range(20)}
        return [task.get_name() for task in tasks]

    asked, unasked = step(flow), step(flow)
    assert asked.process.query("look", e.Payload(b"[]")) == b'"looked"'
    with pytest.raises(Exception, match="read-only"):
        asked.process.query("meddle", e.Payload(b"[]"))
    asked.done(0), unasked.done(0)
    assert asked.result == unasked.result


# --- facts that come too late, and what a run waits for


def test_facts_that_come_after_the_code_has_let_go_change_nothing(step: Step) -> None:
    """The engine records them all the same: the attempt had ended before the request to cancel reached it."""
    ends = [e.ActivityCompleted(0, VALUES.encode(1)), e.ActivityFailed(1, VALUES.failure(ValueError())), e.ActivityTimedOut(2), e.ActivityCancelled(3)]

    async def flow() -> str:
        tasks = [asyncio.create_task(act(n)) for n in range(4)]
        timer = asyncio.get_running_loop().call_later(60, print)
        await workflow.receive("go")
        timer.cancel()
        for task in tasks:
            task.cancel()
        return str(await workflow.receive("go"))

    run = step(flow)
    assert kinds(run.signal("go")) == ["TimerCancelled"] + ["ActivityCancelRequested"] * 4
    for end in [*ends, e.TimerFired(0), e.TimerFired(9)]:
        assert run.fact(end) == []
    run.signal("go", "done")
    assert run.result == "done"


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (e.ActivityCompleted(0, VALUES.encode(5)), "5"),
        (e.ActivityFailed(0, VALUES.failure(KeyError("k")), 3), "ActivityError 3 KeyError"),
        (e.ActivityTimedOut(0, "start_to_close", 2), "ActivityTimeout 2 TimeoutError"),
        (e.ActivityCancelled(0), "CancelledError"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_how_an_activity_ends_for_the_code(step: Step, end: e.Event, expected: str) -> None:
    async def flow() -> str:
        try:
            return str(await act())
        except ActivityError as error:
            return f"{type(error).__name__} {error.attempt} {type(error.cause).__name__}"
        except asyncio.CancelledError:
            return "CancelledError"

    run = step(flow)
    run.fact(end)
    assert run.result == expected


def test_a_result_that_does_not_fit_its_annotation_is_the_awaiting_codes_error(step: Step) -> None:
    def length() -> int:
        return 1

    typed = Activity(length)

    async def flow() -> str:
        try:
            return str(await typed())
        except InvalidPayload as error:
            return str(error)

    run = step(flow)
    run.done(0, "long")
    assert run.result == "value: expected int, got str 'long'"


def test_an_activity_cancelled_after_its_end_stays_as_it_is(step: Step) -> None:
    async def flow() -> list[Any]:
        task = asyncio.create_task(act())
        await workflow.receive("go")
        return [task.cancel(), await task]

    run = step(flow)
    run.done(0, 7)
    run.signal("go")
    assert run.result == [False, 7]


def test_what_a_run_waits_for(step: Step) -> None:
    async def flow() -> None:
        forever = asyncio.get_running_loop().create_future()

        async def on_its_own() -> None:
            await forever

        tasks = [
            asyncio.create_task(one)
            for one in (act(1), act(2), workflow.receive("a"), workflow.receive("b"), workflow.sleep(60), asyncio.sleep(90), on_its_own(), _nothing())
        ]
        asyncio.get_running_loop().call_later(5, print)
        await asyncio.wait(tasks)

    run = step(flow)
    assert [blocked.what for blocked in run.process.blocked()] == [
        "its own tasks", "activity act#0", "activity act#1", "signal 'a'", "signal 'b'", "timer 1", "timer 2", "its own tasks",
    ]  # fmt: skip
    assert [(handler.kind, handler.name) for handler in run.process.handlers] == [("signal", "a"), ("signal", "b")]
    assert [blocked.source.rpartition(", in ")[2] for blocked in run.process.blocked()][-1] == "on_its_own"
    run.cancel()
    assert run.result == "WorkflowCancelled" and run.process.blocked() == []


def test_a_run_that_has_not_begun_takes_a_cancel_request(step: Step) -> None:
    run = step(_nothing)
    idle = run.make()
    assert idle.blocked() == [] and idle.deliver(e.WorkflowCancelRequested("early"), BEGUN) == []
    idle.close()
    assert run.process.finished and run.process.deliver(e.TimerFired(0), BEGUN) == []


def test_a_cancelled_handler_does_not_fail_the_run_and_of_two_failures_the_first_counts(step: Step) -> None:
    async def flow() -> str:
        handlers: list[Any] = []

        async def slow(value: Any) -> None:
            handlers.append(asyncio.current_task())
            await workflow.receive("never")

        async def fails(value: Any) -> None:
            await workflow.receive("now")
            raise ValueError if value == 1 else KeyError

        workflow.on_signal("slow", slow)
        workflow.on_signal("fails", fails)
        await workflow.receive("go")
        for handler in handlers:
            handler.cancel()
        return str(await workflow.receive("never"))

    run = step(flow)
    run.signal("slow"), run.signal("go"), run.signal("fails", 1), run.signal("fails", 2)
    assert not run.process.finished
    run.signal("now")
    assert run.result == "ValueError"
