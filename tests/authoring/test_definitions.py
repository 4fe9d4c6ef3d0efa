"""Workflows and activities as values: what may be decorated and how, what is refused in which words, and what a call of one means."""
from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from aionlab import Activity, Retry, Workflow, activity, workflow
from aionlab.core import events as e
from aionlab.core.errors import InvalidOption, NotAWorkflow, NotInWorkflow
from aionlab.core.events import ActivityOptions
from aionlab.core.retry import RetryPolicy
from aionlab.testing.workbench import Workbench

SECOND = 1_000_000


@pytest.fixture
def bench() -> Iterator[Workbench]:
    bench = Workbench()
    yield bench
    for run in bench.engine.registry:
        if run.process is not None:
            run.process.close()


def run(bench: Workbench, fn: Callable[..., Any], *args: Any) -> Any:
    """The result of a workflow that needs nothing from outside."""
    return bench.result(bench.start(bench.workflow(fn).workflow_type, *args))


def scheduled(bench: Workbench, workflow_id: str) -> list[e.ActivityScheduled]:
    return [recorded.event for recorded in bench.history(workflow_id) if isinstance(recorded.event, e.ActivityScheduled)]


# --- workflows


def test_a_workflow_is_its_function_with_a_name() -> None:
    async def order(amount: int, *, note: str = "") -> str:
        """Takes an order."""
        return f"{amount}{note}"

    made = workflow(order)
    assert isinstance(made, Workflow)
    assert (made.fn, made.name, made.deadline, made.aion_kind) == (order, "order", None, "workflow")
    assert (made.__name__, made.__doc__, made.__wrapped__) == ("order", "Takes an order.", order)  # type: ignore[attr-defined]
    assert str(made.signature) == str(inspect.signature(made)) == str(inspect.signature(order))
    assert repr(made) == "<workflow order>"


@pytest.mark.parametrize(
    ("options", "name", "deadline"),
    [
        ({}, "order", None),
        ({"name": "shop.order"}, "shop.order", None),
        ({"deadline": "7d"}, "order", 7 * 86_400 * SECOND),
        ({"deadline": timedelta(minutes=1), "name": "o"}, "o", 60 * SECOND),
        ({"deadline": 0}, "order", 0),
    ],
)
def test_a_workflow_with_options(options: dict[str, Any], name: str, deadline: int | None) -> None:
    @workflow(**options)
    async def order() -> None: ...

    assert (order.name, order.deadline, repr(order)) == (name, deadline, f"<workflow {name}>")


async def _generating() -> AsyncIterator[int]:
    yield 1


def _plain(x: int) -> int:
    return x


def _yielding() -> Iterator[int]:
    yield 1


class _Callable:
    async def __call__(self) -> None: ...


@pytest.mark.parametrize(
    ("thing", "words"),
    [
        (3, "@workflow goes on a function; 3 is none"),
        ("order", "@workflow goes on a function; 'order' is none"),
        (_generating, "_generating yields; a workflow returns its result instead"),
        (_plain, "_plain is a plain function; make it `async def _plain(…)`"),
        (_yielding, "make it `async def _yielding(…)`"),
        (lambda: None, "<lambda> is a plain function"),
        (_Callable, "_Callable is a plain function"),
        (_Callable(), "is a plain function"),
    ],
)
@pytest.mark.parametrize("decorate", [workflow, workflow(name="named"), Workflow], ids=["bare", "options", "class"])
def test_what_cannot_be_a_workflow_is_told_what_to_become(decorate: Any, thing: Any, words: str) -> None:
    with pytest.raises(NotAWorkflow) as refused:
        decorate(thing)
    assert words in str(refused.value)


@pytest.mark.parametrize(("deadline", "error"), [("soon", ValueError), (-1, ValueError), (True, TypeError), (float("inf"), ValueError)])
def test_a_deadline_is_a_length_of_time(deadline: Any, error: type[Exception]) -> None:
    async def order() -> None: ...

    with pytest.raises(error):
        workflow(deadline=deadline)(order)


def test_a_workflow_called_like_a_function_says_how_to_start_it() -> None:
    @workflow(name="shop.order")
    async def order(amount: int) -> int:
        return amount

    with pytest.raises(NotAWorkflow, match=r"start it with `%start shop\.order\(…\)` or lab\.start\(shop\.order, …\)"):
        order(1)


def test_a_workflow_called_inside_another_is_a_child_and_its_function_is_a_call(bench: Workbench) -> None:
    @workflow
    async def child(x: int) -> int:
        return x + 1

    async def parent() -> list[Any]:
        return [await child(1), await child.fn(2), workflow.info().workflow_id]

    bench.workflow(child)
    first, second, name = run(bench, parent)
    assert (first, second) == (2, 3)
    assert [str(each) for each in bench.store.ids()] == [name, f"{name}/child-0"]


def test_a_workflow_asked_for_with_options(bench: Workbench) -> None:
    @workflow
    async def child(x: int) -> int:
        return x + 1

    named = child.with_options(id="the-child").with_options(deadline="1h")
    assert (named.options.id, named.options.deadline, named.name, child.options.id) == ("the-child", 3_600_000_000, "child", None)

    async def parent() -> int:
        return await named(x=1)

    bench.workflow(child)
    assert run(bench, parent) == 2 and "the-child" in bench.store.ids()


# --- activities


def test_an_activity_is_its_function_with_a_name() -> None:
    def charge(amount: int, currency: str = "EUR") -> str:
        """Takes money."""
        return f"{amount} {currency}"

    made = activity(charge)
    assert isinstance(made, Activity)
    assert (made.fn, made.name, made.options, made.run_in, made.aion_kind) == (charge, "charge", ActivityOptions(), "thread", "activity")
    assert (made.__name__, made.__doc__, repr(made)) == ("charge", "Takes money.", "<activity charge>")  # type: ignore[attr-defined]
    assert str(inspect.signature(made)) == str(made.signature) == str(inspect.signature(charge))


def test_where_an_activity_runs_is_told_by_its_kind_unless_it_is_said() -> None:
    async def fetch() -> None: ...
    def charge() -> None: ...

    assert (activity(fetch).run_in, activity(charge).run_in) == ("async", "thread")
    assert (activity(run_in="thread")(charge).run_in, activity(run_in="async")(fetch).run_in) == ("thread", "async")
    with pytest.raises(InvalidOption, match="run_in='gpu'; choose one of thread, async"):
        activity(run_in="gpu")(charge)


@pytest.mark.parametrize(
    ("options", "recorded"),
    [
        ({}, ActivityOptions()),
        ({"retry": 3}, ActivityOptions(RetryPolicy(max_attempts=3))),
        ({"retry": Retry(5, initial="2s")}, ActivityOptions(RetryPolicy(5, 2 * SECOND))),  # type: ignore[arg-type]
        ({"start_to_close": "30s"}, ActivityOptions(start_to_close=30 * SECOND)),  # type: ignore[arg-type]
        ({"timeout": 1.5}, ActivityOptions(start_to_close=1_500_000)),  # type: ignore[arg-type]
        ({"timeout": timedelta(days=1), "queue": "gpu"}, ActivityOptions(start_to_close=86_400 * SECOND, queue="gpu")),  # type: ignore[arg-type]
    ],
)
def test_options_however_they_are_given(options: dict[str, Any], recorded: ActivityOptions) -> None:
    def charge() -> None: ...

    assert activity(**options)(charge).options == recorded
    assert activity(charge).with_options(**options).options == recorded


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"retry": True}, "retry=True; write Retry(…) or a number of attempts"),
        ({"retry": "3"}, "retry='3'; write Retry(…) or a number of attempts"),
        ({"retry": 0}, "retry=0; it counts attempts in all, so at least 1"),
        ({"retry": -2}, "at least 1"),
        ({"timeout": "1s", "start_to_close": "1s"}, "timeout= is another name of start_to_close=; give one of them"),
        ({"timeout": 0}, "start_to_close must be longer than 0"),
        ({"start_to_close": "0s"}, "start_to_close must be longer than 0"),
        ({"timeout": "later"}, "'later' is not a duration"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], words: str) -> None:
    for take in (activity, activity(_plain).with_options):
        with pytest.raises(ValueError) as refused:
            take(**options)
        assert words in str(refused.value)


def test_with_options_changes_what_it_is_given_and_nothing_else() -> None:
    @activity(name="pay", retry=3, start_to_close="30s", queue="money")
    async def charge(amount: int) -> int:
        return amount

    other = charge.with_options(retry=5)
    assert other.options == ActivityOptions(RetryPolicy(max_attempts=5), 30 * SECOND, "money")  # type: ignore[arg-type]
    assert (other.name, other.fn, other.run_in, other.signature) == ("pay", charge.fn, "async", charge.signature)
    assert charge.options.retry == RetryPolicy(max_attempts=3), "the activity itself stays as it was"
    assert charge.with_options().options == charge.options


def test_the_options_of_a_call_are_recorded_with_it(bench: Workbench) -> None:
    @bench.activity
    @activity(retry=2)
    def charge(amount: int) -> int:
        return amount

    async def flow() -> int:
        return await charge(1) + await charge.with_options(timeout="5s", queue="slow")(2)  # type: ignore[no-any-return,operator]

    bench.workflow(flow)
    workflow_id = bench.start("flow")
    twice = RetryPolicy(max_attempts=2)
    assert [asked.options for asked in scheduled(bench, workflow_id)] == [ActivityOptions(twice), ActivityOptions(twice, 5 * SECOND, "slow")]  # type: ignore[arg-type]
    assert bench.result(workflow_id) == 3


# --- calling one


def test_outside_of_a_workflow_an_activity_is_its_function() -> None:
    called: list[int] = []

    @activity(retry=3)
    def charge(amount: int, *, note: str = "") -> str:
        called.append(amount)
        return f"{amount}{note}"

    @activity
    async def fetch(x: int) -> int:
        await asyncio.sleep(0)
        return x * 2

    assert charge(2, note="!") == "2!" and called == [2]
    assert asyncio.run(fetch(21)) == 42  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        charge(2, colour="red")  # type: ignore[call-arg]


def test_an_activity_known_by_name_alone_is_asked_for_and_never_called(bench: Workbench) -> None:
    there = Activity(None, "charge")  # type: ignore[var-annotated]
    assert (there.fn, there.signature, there.run_in, repr(there)) == (None, None, "thread", "<activity charge>")
    with pytest.raises(NotInWorkflow, match="activity charge is known by name only here; calling it works inside a running workflow only"):
        there(1)
    with pytest.raises(NotAWorkflow, match="needs a function or a name"):
        Activity(None)

    def charge(amount: int) -> int:
        return amount * 2

    async def flow() -> list[Any]:
        return [await there(4), await there.with_options(queue="q")(amount=5)]

    bench.activity(charge)
    assert run(bench, flow) == [8, 10]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda act: act(), "missing a required argument: 'a'"),
        (lambda act: act(1, 2, 3), "too many positional arguments"),
        (lambda act: act(1, c=3), "unexpected keyword argument 'c'"),
        (lambda act: act(1, a=1), "multiple values for argument 'a'"),
    ],
)
def test_wrong_arguments_are_the_callers_error_and_nothing_is_asked_for(bench: Workbench, call: Callable[[Any], Any], words: str) -> None:
    @bench.activity
    @activity
    def add(a: int, b: int = 1) -> int:
        return a + b

    async def flow() -> str:
        try:
            call(add)
        except TypeError as refused:
            return str(refused)
        return "let pass"

    bench.workflow(flow)
    workflow_id = bench.start("flow")
    assert words in bench.result(workflow_id)
    assert scheduled(bench, workflow_id) == []


def test_every_way_of_passing_arguments_arrives(bench: Workbench) -> None:
    @bench.activity
    @activity
    def positional(a: int, b: int = 2, /) -> list[int]:
        return [a, b]

    @bench.activity
    @activity
    def any_of(*args: int, key: int = 0, **rest: int) -> list[Any]:
        return [*args, key, rest]

    @bench.activity
    @activity
    def keyword(a: int, *, b: int) -> list[int]:
        return [a, b]

    async def flow() -> list[Any]:
        found = [await positional(1), await positional(1, 5), await any_of(), await any_of(1, 2, key=3, x=4), await keyword(1, b=2), await keyword(b=4, a=3)]
        try:
            keyword(1)  # type: ignore[call-arg]
        except TypeError as refused:
            found.append(str(refused))
        return found

    assert run(bench, flow) == [[1, 2], [1, 5], [0, {}], [1, 2, 3, {"x": 4}], [1, 2], [3, 4], "missing a required argument: 'b'"]


# --- what a result becomes


def test_results_are_what_the_annotation_says(bench: Workbench) -> None:
    @bench.activity
    @activity
    def lengths() -> list[timedelta]:
        return ["1s", "2s"]  # type: ignore[list-item]

    async def flow() -> bool:
        return await lengths() == [timedelta(seconds=1), timedelta(seconds=2)]  # type: ignore[no-any-return,misc]

    assert run(bench, flow) is True


def test_an_annotation_that_does_not_evaluate_asks_for_nothing(bench: Workbench) -> None:
    @bench.activity
    @activity
    def odd() -> NoSuchName:  # type: ignore[name-defined] # noqa: F821 - as under test
        return {"a": 1}

    @bench.activity
    @activity
    def bare():  # type: ignore[no-untyped-def]
        return (1, 2)

    async def flow() -> list[Any]:
        return [await odd(), await odd(), await bare()]

    assert run(bench, flow) == [{"a": 1}, {"a": 1}, (1, 2)]


def _returning(annotation: Any) -> inspect.Signature:
    return inspect.Signature([], return_annotation=annotation)


@pytest.mark.parametrize(
    ("signature", "result"),
    [
        (_returning(timedelta), timedelta(seconds=1)),
        (_returning(inspect.Signature.empty), "1s"),
        (_returning("timedelta"), "1s"),  # text that names nothing here
    ],
)
def test_a_reference_takes_its_annotation_from_its_signature(bench: Workbench, signature: inspect.Signature, result: Any) -> None:
    there = Activity(None, "length", signature=signature)  # type: ignore[var-annotated]

    def length() -> Any:
        return "1s"

    async def flow() -> Any:
        try:
            there(1)
        except TypeError:
            return await there()
        return "let pass"

    bench.activity(length)
    assert run(bench, flow) == result


def test_what_wraps_a_function_is_decorated_like_one() -> None:
    def add(a: int, b: int) -> int:
        return a + b

    @functools.wraps(add)
    def logged(*args: int) -> int:
        return add(*args)

    made = activity(logged)
    assert (made.name, made(1, 2), str(made.signature)) == ("add", 3, "(a: 'int', b: 'int') -> 'int'")
    five = activity(name="five")(functools.partial(add, 5))
    assert (five.name, five(1)) == ("five", 6)


@pytest.mark.parametrize("thing", [3, "charge", dict, functools.partial(print)], ids=["number", "text", "class", "nameless"])
def test_what_cannot_be_an_activity_is_told_so(thing: Any) -> None:
    with pytest.raises(NotAWorkflow, match="@activity goes on a function"):
        activity(thing)


def test_what_a_function_carries_does_not_overwrite_the_definition() -> None:
    def pay(amount: int) -> int:
        return amount

    pay.name, pay.fn, pay.options = "oops", None, None  # type: ignore[attr-defined]
    made = activity(name="pay")(pay)
    assert (made.name, made.fn, made.options) == ("pay", pay, ActivityOptions())


def test_one_annotation_that_does_not_evaluate_leaves_the_others() -> None:
    @activity
    def pay(amount: "Nowhere") -> int:  # type: ignore[name-defined]  # noqa: F821, UP037
        return amount

    assert pay._returns() is int
