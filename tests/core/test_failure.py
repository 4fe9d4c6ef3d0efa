"""Errors as records: anything a user's exception class does is survived, and what is rebuilt says what was recorded."""
from __future__ import annotations

import asyncio
import dataclasses
import linecache
import re
import traceback
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aionlab.core import errors
from aionlab.core.errors import ActivityError, ActivityTimeout, ApplicationError, StartAborted, WorkflowFailedError
from aionlab.core.failure import CHAIN_LIMIT, GROUP_LIMIT, MESSAGE_LIMIT, TRACE_LIMIT, Failure, error_of, failure_of, user_file
from aionlab.core.payload import Converter, in_namespace

CODEC = Converter()


def caught(error: BaseException) -> BaseException:
    """The error as one catches it: with a traceback."""
    try:
        raise error
    except BaseException as raised:
        return raised


def stable(error: BaseException, codec: Converter = CODEC) -> tuple[Failure, BaseException]:
    """The failure and the rebuilt error, after checking the laws."""
    first = failure_of(error, codec)
    stored = Failure.from_bytes(first.to_bytes())
    assert stored == first
    rebuilt = error_of(stored, codec)
    assert str(rebuilt) == first.message
    assert isinstance(rebuilt, Exception)
    again = failure_of(rebuilt, codec)
    assert (again.type, again.message, again.bases, again.fields) == (first.type, first.message, first.bases, first.fields)
    assert (again.non_retryable, again.next_retry_delay) == (first.non_retryable, first.next_retry_delay)
    assert str(error_of(again, codec)) == first.message
    assert len(first.to_bytes()) < 2 * 1024 * 1024
    one, other = first.cause, again.cause
    while one is not None:
        assert other is not None and (one.type, one.message, one.fields) == (other.type, other.message, other.fields)
        one, other = one.cause, other.cause
    return first, rebuilt


class Plain(Exception):
    pass


class TwoArguments(Exception):
    """Its arguments are not what its constructor takes, so pickle could not load it."""

    def __init__(self, sku: str, left: int) -> None:
        super().__init__(f"{sku}: {left} left")
        self.sku, self.left = sku, left


class NoSuper(Exception):
    def __init__(self, *, code: int) -> None:
        self.code = code

    def __str__(self) -> str:
        return f"code {self.code}"


class StrRaises(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError


class StrExits(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


class ReprRaises(Exception):
    def __repr__(self) -> str:
        raise ZeroDivisionError


class Shouting(str):
    def __str__(self) -> str:
        return "SHOUT"

    def encode(self, *args: Any, **kwargs: Any) -> bytes:
        raise ZeroDivisionError


class StrSubclass(Exception):
    def __str__(self) -> str:
        return Shouting("shouting")


class Unpicklable(Exception):
    def __init__(self) -> None:
        super().__init__("cannot pickle")
        self.generator = (x for x in ())
        self.fine = 3

    def __reduce__(self) -> Any:
        raise TypeError("no")


class Slotted(Exception):
    __slots__ = ("code",)

    def __init__(self, code: int) -> None:
        self.code = code


class Guarded(Exception):
    """Everything about it raises."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


class Initial(Exception):
    calls = 0

    def __new__(cls, *args: Any) -> Initial:
        cls.calls += 1
        return super().__new__(cls, *args)

    def __init__(self, *args: Any) -> None:
        type(self).calls += 1
        super().__init__(*args)


class Counting(Exception):
    def __init__(self) -> None:
        super().__init__()
        self.left = 2

    def __str__(self) -> str:
        self.left -= 1
        return f"left {self.left}"


class Hooked(Exception):
    def __init_subclass__(cls) -> None:
        raise TypeError("final")

    def __str__(self) -> str:
        raise ValueError


class OutOfStock(ApplicationError):
    def __init__(self, sku: str) -> None:
        super().__init__(f"no {sku}", sku, non_retryable=True, next_retry_delay="5m")
        self.sku = sku


class Group(ExceptionGroup[Exception]):
    pass


@dataclasses.dataclass
class DataError(Exception):
    code: int
    price: Decimal


class MyOSError(OSError):
    pass


class Mixed(KeyError, AttributeError):
    pass


class Base(BaseException):
    pass


ERRORS: list[Any] = [
    Exception(), Exception("x"), Exception("a", 2), ValueError("bad", (1, {2})), KeyError("k"), KeyError(object()), IndexError(3),
    FileNotFoundError(2, "No such file", "/x"), OSError("plain"), OSError(2, "a", "b", None, "c"), MyOSError(13, "denied"), PermissionError(),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), UnicodeEncodeError("ascii", "é", 0, 1, "bad"), UnicodeDecodeError("utf-8", b"x" * 100_000, 0, 1, "b"),
    StopIteration(3), StopAsyncIteration(), ImportError("no", name="x"), ModuleNotFoundError("m"), SyntaxError("bad", ("f", 1, 2, "text")),
    AttributeError("a", name="n", obj=3), NameError("n"), ZeroDivisionError("z"), RecursionError(), TimeoutError("t"), AssertionError(1),
    Plain("x"), TwoArguments("a", 3), NoSuper(code=4), StrRaises("x"), StrExits("x"), ReprRaises("x"), Exception(ReprRaises("inner"), 2),
    StrSubclass(), Exception(Shouting("x")), Unpicklable(), Slotted(5), Guarded("x"), Counting(), Hooked("h"), Mixed("m"),
    Exception("\ud800"), KeyError("\udfff", "x"), Exception("x" * 10_000_000), Exception("é" * 100_000), Exception("x" * 10_000_000, 2),
    Exception("a\0b\u202e<script>"), Exception(b"bytes"), Exception(float("nan")), Exception([1], {"~": 1}), DataError(3, Decimal("1.0")),
    KeyboardInterrupt(), SystemExit(3), GeneratorExit(), asyncio.CancelledError("c"), Base("b"),
    ExceptionGroup("g", [ValueError(1), ExceptionGroup("h", [KeyError("k")])]), BaseExceptionGroup("g", [KeyboardInterrupt(), ValueError()]),
    BaseExceptionGroup("g", [SystemExit()]), Group("mine", [Plain("p")]), ExceptionGroup("many", [ValueError(i) for i in range(500)]),
    ApplicationError("no"), ApplicationError("no", 1, {"a": (2,)}, type="OutOfStock", non_retryable=True, next_retry_delay=2.5), ApplicationError(),
    ApplicationError("x", object()), ApplicationError("x", next_retry_delay="nonsense"), OutOfStock("pen"),
    ActivityError("charge", 3), ActivityError("charge", 3, failure_of(ValueError("x"), CODEC), ValueError("x")), ActivityTimeout("charge", 2, "heartbeat"),
    WorkflowFailedError("o-1", "r-1", "ValueError: x", failure_of(ValueError("x"), CODEC), ValueError("x")), errors.WorkflowTerminatedError("o", "r", "why", "d"),
    StartAborted("o", "r", "spawn", ValueError("first")), errors.InvalidPayload("a.b", "no"), errors.PayloadTooLarge("a", 3, 2),
    errors.NondeterminismError("o", "r", 3, "a", "b"), errors.AlreadyStarted("o", "r"), errors.ResultTimeout("o", 3.0), errors.RunNotFound("o"),
]  # fmt: skip


@pytest.mark.parametrize("at", range(len(ERRORS)), ids=lambda at: f"{at}-{type(ERRORS[at]).__name__}")
def test_every_error_is_recorded_and_says_the_same_when_rebuilt(at: int) -> None:
    error: BaseException = ERRORS[at]
    failure, rebuilt = stable(caught(error))
    text = failure.to_bytes().decode()
    assert "\ud800" not in text and len(failure.message.encode()) <= MESSAGE_LIMIT
    if isinstance(error, Exception) and type(error) not in (Hooked, Guarded):
        kept = isinstance(rebuilt, type(error)) and type(rebuilt).__name__ == type(error).__name__
        assert kept, repr(type(rebuilt))
    if type(error) is not Guarded:
        traceback.format_exception(rebuilt)
    Converter().decode(Converter().encode([error]))


def test_the_record_of_an_ordinary_error() -> None:
    def fail() -> None:
        raise TwoArguments("pen", 3)

    try:
        fail()
    except TwoArguments as error:
        failure = failure_of(error, CODEC)
    assert failure.type == f"{__name__}:TwoArguments" and failure.name == "TwoArguments"
    assert failure.bases == ("TwoArguments", "Exception") and failure.message == "pen: 3 left"
    assert failure.fields == {"args": ["pen: 3 left"], "state": {"sku": "pen", "left": 3}}
    assert 'raise TwoArguments("pen", 3)' in failure.traceback and failure.traceback.startswith('  File "')
    assert re.fullmatch(re.escape(__file__) + r":\d+, in fail", failure.source)
    back = error_of(failure, CODEC)
    assert type(back) is TwoArguments and (back.sku, back.left, back.args) == ("pen", 3, ("pen: 3 left",))


def test_builtin_errors_are_themselves_and_have_plain_names() -> None:
    failure, back = stable(KeyError("k"))
    assert failure.type == "KeyError" and failure.bases == ("KeyError", "LookupError", "Exception") and type(back) is KeyError
    failure, back = stable(FileNotFoundError(2, "No such file", "/x"))
    assert type(back) is FileNotFoundError and back.errno == 2 and back.filename == "/x"


@pytest.mark.parametrize("error", [KeyboardInterrupt("k"), SystemExit(2), GeneratorExit(), asyncio.CancelledError("c"), Base("b")], ids=repr)
def test_what_is_no_exception_comes_back_as_an_application_error(error: BaseException) -> None:
    failure, back = stable(error)
    assert type(back) is ApplicationError and back.type == type(error).__name__ == failure.name


def test_no_constructor_is_called() -> None:
    Initial.calls = 0
    failure = failure_of(Initial("a", 1), CODEC)
    assert Initial.calls == 2
    back = error_of(failure, CODEC)
    assert type(back) is Initial and back.args == ("a", 1) and Initial.calls == 2


def test_an_error_whose_class_is_not_known() -> None:
    cell = type("OutOfPaper", (ValueError,), {"__module__": "__main__"})
    failure = failure_of(cell("tray", 2), CODEC)
    assert failure.type == "OutOfPaper" and failure.bases == ("OutOfPaper", "ValueError", "Exception")
    back = error_of(failure, CODEC)
    assert type(back) is ApplicationError and back.type == "OutOfPaper" and back.details == ("tray", 2)
    assert failure_of(back, CODEC).type == "OutOfPaper"
    pinned = type("OutOfPaper", (ValueError,), {"__module__": "aionlab.code.printing_1"})
    back = error_of(failure, Converter(in_namespace({"OutOfPaper": pinned})))
    assert type(back) is pinned and back.args == ("tray", 2)
    impostor = type("OutOfPaper", (), {"__module__": "aionlab.code.printing_1"})
    assert type(error_of(failure, Converter(in_namespace({"OutOfPaper": impostor})))) is ApplicationError


def test_a_text_that_cannot_be_made_again_is_said_by_a_stand_in() -> None:
    failure, back = stable(Counting())
    assert failure.message == "left 1" and isinstance(back, Counting) and str(back) == str(back) == "left 1"
    failure, back = stable(StrRaises("x"))
    assert isinstance(back, StrRaises) and "ZeroDivisionError" in str(back) and back.args == ("x",)


def test_long_texts_are_cut_and_say_so() -> None:
    failure = failure_of(Exception("é" * 5_000_000), CODEC)
    assert len(failure.message.encode()) <= MESSAGE_LIMIT and failure.message.endswith("(cut; 5,000,000 characters in all)")
    exact = "x" * MESSAGE_LIMIT
    assert failure_of(Exception(exact), CODEC).message == exact
    assert failure_of(Exception("\ud800x"), CODEC).message == "\ufffdx"

    def deep(n: int) -> None:
        if n:
            deep(n - 1)
        raise ValueError("x" * 100)

    try:
        deep(300)
    except ValueError as error:
        assert 0 < len(failure_of(error, CODEC).traceback) <= TRACE_LIMIT + 10


def test_application_errors_keep_their_facts() -> None:
    error = ApplicationError("no", {"sku": (1,)}, type="OutOfStock", non_retryable=True, next_retry_delay="90s")
    failure, back = stable(error)
    assert failure.bases == ("OutOfStock", "ApplicationError", "AionError", "Exception") and failure.name == "OutOfStock"
    assert failure.non_retryable and failure.next_retry_delay == 90_000_000
    assert isinstance(back, ApplicationError) and back.type == "OutOfStock" and back.details == ({"sku": (1,)},)
    assert back.message == "no" and back.non_retryable and back.next_retry_delay == timedelta(seconds=90)
    failure, back = stable(OutOfStock("pen"))
    assert type(back) is OutOfStock and back.sku == "pen" and back.non_retryable and back.details == ("pen",) and back.type == "OutOfStock"
    assert stable(ApplicationError("x", next_retry_delay=0))[0].next_retry_delay == 0


def test_activity_errors_keep_their_facts_and_their_cause() -> None:
    inner = failure_of(caught(OutOfStock("pen")), CODEC)
    error = ActivityError("charge", 3, inner, error_of(inner, CODEC))
    failure, back = stable(error)
    assert type(back) is ActivityError and (back.activity_type, back.attempt, back.failure) == ("charge", 3, inner)
    assert type(back.cause) is OutOfStock and back.__cause__ is back.cause and failure.cause == inner
    failure, back = stable(ActivityTimeout("charge", 2, "heartbeat"))
    assert type(back) is ActivityTimeout and back.kind == "heartbeat" and back.failure is None and type(back.cause) is TimeoutError
    failure, back = stable(WorkflowFailedError("o", "r", "why", inner, error_of(inner, CODEC)))
    assert type(back) is WorkflowFailedError and back.failure == inner and type(back.cause) is OutOfStock and back.workflow_id == "o"


def test_causes_contexts_and_cycles() -> None:
    def chained() -> BaseException:
        try:
            try:
                raise KeyError("inner")
            except KeyError as inner:
                raise ValueError("middle") from inner
        except ValueError:
            try:
                raise Plain("outer")
            except Plain as outer:
                return outer

    failure, back = stable(chained())
    assert failure.cause is not None and failure.cause.cause is not None
    assert (failure.name, failure.cause.name, failure.cause.cause.name) == ("Plain", "ValueError", "KeyError")
    assert type(back.__cause__) is ValueError and type(back.__cause__.__cause__) is KeyError
    a, b = ValueError("a"), ValueError("b")
    a.__cause__, b.__cause__ = b, a
    failure, _ = stable(a)
    assert failure.cause is not None and failure.cause.message == "b" and failure.cause.cause is None
    alone = ValueError("a")
    alone.__cause__ = alone
    assert stable(alone)[0].cause is None
    error = hidden = ValueError("shown")
    hidden.__context__, hidden.__suppress_context__ = KeyError("hidden"), True
    assert stable(error)[0].cause is None
    top: BaseException = ValueError(0)
    for n in range(1000):
        above = ValueError(n)
        above.__cause__, top = top, above
    found: Failure | None = stable(top)[0]
    count = 0
    while found is not None:
        count, found = count + 1, found.cause
    assert count == CHAIN_LIMIT
    looped = ValueError("x")
    looped.args = (looped, "y")
    looped.me = looped  # type: ignore[attr-defined]
    stable(looped)
    big = ExceptionGroup("g", [Exception(str(n) * 100_000) for n in range(10)])
    big.__cause__ = Exception("z" * 1_000_000)
    stable(big)


def test_groups_keep_their_members() -> None:
    failure, back = stable(caught(ExceptionGroup("g", [ValueError(1), TwoArguments("a", 2)])))
    assert failure.message == "g (2 sub-exceptions)" and isinstance(back, ExceptionGroup)
    assert [type(e) for e in back.exceptions] == [ValueError, TwoArguments]
    failure, back = stable(BaseExceptionGroup("g", [KeyboardInterrupt(), ValueError("v")]))
    assert isinstance(back, ExceptionGroup) and [type(e) for e in back.exceptions] == [ApplicationError, ValueError]
    assert type(stable(Group("mine", [Plain("p")]))[1]) is Group
    _, back = stable(ExceptionGroup("many", [ValueError(n) for n in range(GROUP_LIMIT + 50)]))
    assert isinstance(back, ExceptionGroup) and len(back.exceptions) < GROUP_LIMIT and "150 sub-exceptions" in str(back)
    deep: Exception = ValueError("x")
    for _ in range(100):
        deep = ExceptionGroup("g", [deep])
    stable(deep)


def test_attributes_that_can_be_recorded_are_and_others_are_left_out() -> None:
    _, back = stable(Unpicklable())
    assert isinstance(back, Unpicklable) and back.fine == 3 and not hasattr(back, "generator")
    _, back = stable(Slotted(5))
    assert isinstance(back, Slotted) and back.code == 5
    noted = ValueError("x")
    noted.add_note("see manual")
    assert stable(noted)[1].__notes__ == ["see manual"]
    _, back = stable(Exception("lock", object()))
    assert back.args[0] == "lock" and "object" in repr(back.args[1])


def test_a_rebuilt_error_that_is_changed_is_recorded_as_it_is_now() -> None:
    back = error_of(failure_of(TwoArguments("pen", 3), CODEC), CODEC)
    back.left = 1  # type: ignore[attr-defined]
    assert failure_of(back, CODEC).fields["state"] == {"sku": "pen", "left": 1}
    back.args = ("new",)
    assert failure_of(back, CODEC).message == "new"


def test_only_the_users_frames_are_kept() -> None:
    assert user_file(__file__) and user_file("order@3f2a91c") and user_file("<ipython-input-1>") and user_file("/tmp/ipykernel_1/2.py")
    assert not user_file(errors.__file__) and not user_file(asyncio.__file__) and not user_file("<frozen importlib._bootstrap>")

    async def fails() -> None:
        await asyncio.wait_for(asyncio.sleep(0), 1)
        Converter().decode(b"nonsense")

    try:
        asyncio.run(fails())
    except errors.InvalidPayload as error:
        failure = failure_of(error, CODEC)
    assert "asyncio" not in failure.traceback.replace("asyncio.run(fails())", "").replace("asyncio.wait_for(", "")
    assert "payload.py" not in failure.traceback.replace("test_payload.py", "") and failure.source.endswith("in fails")
    mine = failure_of(caught(ValueError("x")), CODEC, user_file=lambda name: False)
    assert (mine.traceback, mine.source) == ("", "")


def test_records_from_elsewhere_are_checked() -> None:
    for tree in (None, 3, {}, {"type": 3, "message": "x"}, {"type": "a", "message": "x", "bases": [1]}, {"type": "a", "message": "b", "cause": 3}):
        with pytest.raises((TypeError, KeyError)):
            Failure.from_tree(tree)
    for fields in (3, [], {"args": 3}, {"args": [{"~": "?"}]}, {"state": {"__class__": 1, "__dict__": {}, "a": {"~": 1}}}, {"group": 3}, {"cause": ["__x__"]}):
        for kind in ("ValueError", "OSError", "ExceptionGroup", "aionlab.core.errors:ActivityError", "", ":", "SystemExit", "os:system"):
            made = error_of(Failure(kind, "said", fields=fields), CODEC)
            assert isinstance(made, Exception) and str(made) == "said"


# --- classes that do what no class should


class Wide(Exception):
    """Each attribute is short enough, all together are not."""

    def __init__(self) -> None:
        super().__init__("wide")
        self.__dict__.update({f"part{n}": "x" * 10_000 for n in range(20)})


class ExitingRepr:
    def __repr__(self) -> str:
        raise SystemExit("repr")


class Veiled(Exception):
    """Its attributes cannot be had."""

    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        raise AttributeError("veiled")


class Unset(Exception):
    __slots__ = ("__private", "code", "never")

    def __init__(self, code: int) -> None:
        super().__init__("unset")
        self.code = code


class OneSlot(Exception):
    __slots__ = "code"


class Raising(Unset):
    """Overrides a slot by what raises."""

    def __init__(self) -> None:
        Exception.__init__(self, "raising")

    @property
    def code(self) -> int:  # type: ignore[override]
        raise RuntimeError("code")


class Touchy(ApplicationError):
    """What aionlab asks of it raises."""

    def __getattribute__(self, name: str) -> Any:
        if name in ("type", "non_retryable", "next_retry_delay"):
            raise RuntimeError(name)
        return super().__getattribute__(name)


class Stop(BaseExceptionGroup):  # type: ignore[type-arg]
    pass


def test_an_error_with_too_much_in_it_is_told_by_its_text() -> None:
    failure, rebuilt = stable(caught(Wide()))
    assert failure.fields is None and (type(rebuilt), str(rebuilt)) == (Wide, "wide")


def test_an_argument_that_cannot_be_shown_is_a_question_mark() -> None:
    failure, _ = stable(caught(ValueError("a", ExitingRepr())))
    assert [one.get("v") for one in failure.fields["args"] if isinstance(one, dict)] == [{"repr": "?"}]


@pytest.mark.parametrize("error", [Veiled("said"), Touchy("said"), Unset(3), Raising(), OneSlot("said")], ids=lambda e: type(e).__name__)
def test_attributes_that_cannot_be_had_are_left_out(error: Exception) -> None:
    failure, rebuilt = stable(caught(error))
    assert (failure.message, type(rebuilt)) == (str(error), type(error))


def test_slots_that_are_set_come_back() -> None:
    _, rebuilt = stable(caught(Unset(3)))
    assert rebuilt.code == 3 and not hasattr(rebuilt, "never")  # type: ignore[attr-defined]
    one = OneSlot("x")
    one.code = 4  # type: ignore[attr-defined]
    assert stable(one)[1].code == 4  # type: ignore[attr-defined]


def test_an_application_error_that_was_changed_says_what_it_says_now() -> None:
    error = ApplicationError("no pen", "pen", 3)
    error.message, error.details = "no pencil", ("pencil",)
    failure, _ = stable(error)
    assert failure.message == "no pencil"
    assert failure.fields["state"] == {"message": "no pencil", "details": {"~": "tuple", "v": ["pencil"]}}


def test_a_group_that_is_no_exception_is_rebuilt_as_one() -> None:
    failure, rebuilt = stable(Stop("stop", [KeyboardInterrupt(), ValueError("x")]))
    assert type(rebuilt) is ApplicationError and rebuilt.type == "Stop" and "Stop" in failure.type


def test_a_long_traceback_keeps_its_end() -> None:
    source = "".join(f"def f{n}(): {f'f{n + 1}()' if n < 150 else '1 / 0'}  # {'x' * 150}\n" for n in range(151))
    linecache.cache["long.py"] = len(source), None, source.splitlines(True), "long.py"
    namespace: dict[str, Any] = {}
    exec(compile(source, "long.py", "exec"), namespace)
    try:
        namespace["f0"]()
    except ZeroDivisionError as error:
        failure = failure_of(error, CODEC)
    finally:
        del linecache.cache["long.py"]
    assert failure.traceback.startswith("  …\n") and len(failure.traceback) == TRACE_LIMIT + 4
    assert failure.source == "long.py:151, in f150" and "1 / 0" in failure.traceback and "in f3\n" not in failure.traceback


def test_source_that_cannot_be_had_costs_the_traceback_alone() -> None:
    class Loader:
        def get_source(self, name: str) -> str:
            raise RuntimeError("gone")

    namespace: dict[str, Any] = {"__name__": "gone_module", "__loader__": Loader()}
    exec(compile("def fails(): raise ValueError('said')", "gone_module.py", "exec"), namespace)
    try:
        namespace["fails"]()
    except ValueError as error:
        failure, rebuilt = stable(error)
    assert (failure.traceback, failure.source) == ("", "") and (type(rebuilt), str(rebuilt)) == (ValueError, "said")


class Unnamed(type):
    def __getattribute__(cls, name: str) -> Any:
        if name == "__qualname__":
            raise RuntimeError(name)
        return super().__getattribute__(name)


class Nameless(Exception, metaclass=Unnamed):
    pass


def test_an_error_whose_class_will_not_say_its_name_is_an_exception() -> None:
    failure = failure_of(Nameless("said"), CODEC)
    assert (failure.type, failure.message) == ("Exception", "said")
    assert str(error_of(failure, CODEC)) == "said"


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats() | st.binary() | st.just(object()) | st.dates() | st.just(Plain("p")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3) | st.tuples(inner),
    max_leaves=5,
)
kinds = st.sampled_from([Exception, ValueError, KeyError, OSError, RuntimeError, Plain, StrRaises, ReprRaises, Initial, MyOSError, Mixed, ApplicationError,
                         StopIteration, SystemExit, SyntaxError, ImportError, UnicodeDecodeError, AttributeError, StrSubclass])  # fmt: skip


@settings(max_examples=200, deadline=None, derandomize=True)
@given(kinds, st.lists(values, max_size=3), st.dictionaries(st.text(max_size=4), values, max_size=3), st.booleans())
def test_law_any_error_of_any_class(kind: Any, args: list[Any], state: dict[str, Any], nest: bool) -> None:
    try:
        error = kind(*args)
        error.__dict__.update(state)
    except Exception:
        return
    if nest:
        outer = ExceptionGroup("g", [error]) if isinstance(error, Exception) else BaseExceptionGroup("g", [error])
        outer.__cause__ = error
        error = outer
    stable(error)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.builds(Failure, kinds.map(lambda k: k.__name__) | st.text(max_size=5), st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
                 st.lists(st.text(max_size=3), max_size=2).map(tuple), st.dictionaries(st.sampled_from(["args", "state", "group", "cause", "named"]), values)))
def test_law_the_recorded_text_is_said(failure: Failure) -> None:
    assert str(error_of(failure, CODEC)) == failure.message
