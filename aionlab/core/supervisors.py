"""Supervisors as people declare them: who watches whom, how often a lost process is started again, and what then.

The words are OTP's. A declaration is a frozen value, checked when it is made; what lives by it is the engine's supervision tree.

    Supervisor("orders", [order, Supervisor("mail", [mailer], strategy="one_for_all")], strategy="rest_for_one")
"""
from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from datetime import timedelta
from enum import Enum
from typing import Any, NoReturn, TypeVar

from .clock import SECOND, Micros
from .durations import Duration, micros, spell
from .errors import InvalidOption, shorten
from .names import check_name


class Strategy(str, Enum):
    """Whom a supervisor starts again when a child of it is lost."""

    ONE_FOR_ONE = "one_for_one"
    """That child."""
    ONE_FOR_ALL = "one_for_all"
    """All its children: the others are stopped first."""
    REST_FOR_ONE = "rest_for_one"
    """That child and those started after it."""

    def __str__(self) -> str:
        return self.value


class Restart(str, Enum):
    """Which exits of a child are followed by a restart."""

    PERMANENT = "permanent"
    """Every exit."""
    TRANSIENT = "transient"
    """A crash."""
    TEMPORARY = "temporary"
    """None."""

    def __str__(self) -> str:
        return self.value


class GiveUp(str, Enum):
    """What becomes of an open run whose process is not started again."""

    STUCK = "stuck"
    """It stays open, what arrives for it is recorded, and `resume` brings it back."""
    FAIL = "fail"
    """It ends: `WorkflowFailed` of kind "crashed" is recorded."""

    def __str__(self) -> str:
        return self.value


class _Frozen:
    """A value whose constructor takes more than it keeps: the slots are set once."""

    __slots__: tuple[str, ...] = ()

    def _keep(self, **fields: Any) -> None:
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a {type(self).__name__} does not change; declare another one")

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), {slot: getattr(self, slot) for slot in self.__slots__})

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and all(getattr(self, slot) == getattr(other, slot) for slot in self.__slots__)

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, slot) for slot in self.__slots__))


def _again(kind: type[_Frozen], fields: dict[str, Any]) -> _Frozen:
    made = kind.__new__(kind)
    made._keep(**fields)
    return made


class Backoff(_Frozen):
    """How long a restart is put off: `initial` for the first within the period, `factor` times longer for each one more, `cap` at most.

    Lengths as anywhere (numbers are seconds). Raises InvalidOption for a factor below 1 or lengths that are none.
    """

    __slots__ = ("cap", "factor", "initial")
    initial: Micros
    factor: float
    cap: Micros

    def __init__(self, initial: Duration = "1s", factor: float = 2.0, cap: Duration = "1m") -> None:
        if isinstance(factor, bool) or not isinstance(factor, int | float) or not 1 <= factor < math.inf:
            raise InvalidOption(f"factor={shorten(factor)} multiplies the delay and must be a number of at least 1")
        self._keep(initial=length("initial", initial), factor=float(factor), cap=length("cap", cap))
        if self.cap < self.initial:
            raise InvalidOption(f"cap={spell(self.cap)} is less than initial={spell(self.initial)}")

    def delay(self, restarts: int) -> Micros:
        """Microseconds the restart waits that is number `restarts` (from 1) within its period."""
        try:
            return Micros(int(min(self.initial * self.factor ** (restarts - 1), self.cap)))
        except OverflowError:
            return self.cap

    def __repr__(self) -> str:
        return f"Backoff({spell(self.initial)!r}, {self.factor:g}, {spell(self.cap)!r})"


class Supervisor(_Frozen):
    """One supervisor, declared.

    - `name`: of a workflow (or the workflow itself) when it supervises the runs of that type; of its own when it has `children`; None for
      the root, whose children are all the others
    - `children`: workflows, names of workflows and supervisors, in start order; None for the supervisor of one type's runs
    - `strategy`: "one_for_one", "one_for_all" or "rest_for_one", among its children (a type's runs: in the order they were started)
    - `intensity`, `period`: it gives up, and is then itself a lost child of its parent, when more than `intensity` restarts would fall
      within `period` (30 s, at the root 300 s)
    - `restart`: whether its own parent starts it again: "permanent", "transient" (both: when it gave up or was killed) or "temporary"
    - `runs`: the same of each run of a type. "transient" (a lost process comes back by replay), "permanent" (also, a run that completes,
      fails or times out is followed by a new one of its id with the same input) or "temporary" (no process is brought back)
    - `backoff`: a `Backoff`, or the first delay of one, or None to restart at once
    - `shutdown`: how long a child's code may refuse to end when it is stopped, or "brutal_kill": not at all
    - `give_up`: "stuck" or "fail", see `GiveUp`; None for as its parent does ("stuck" at the root)

    Raises InvalidOption, InvalidName.
    """

    __slots__ = ("backoff", "children", "give_up", "intensity", "name", "period", "restart", "runs", "shutdown", "strategy")
    name: str
    children: tuple[Supervisor, ...] | None
    strategy: Strategy
    intensity: int
    period: Micros
    restart: Restart
    runs: Restart
    backoff: Backoff | None
    shutdown: Micros
    give_up: GiveUp | None

    def __init__(
        self, name: object, children: Iterable[object] | None = None, *, strategy: Strategy | str = Strategy.ONE_FOR_ONE, intensity: int = 3,
        period: Duration | None = None, restart: Restart | str = Restart.PERMANENT, runs: Restart | str = Restart.TRANSIENT,
        backoff: Backoff | Duration | None = None, shutdown: Duration = "5s", give_up: GiveUp | str | None = None,
    ) -> None:
        is_type = getattr(name, "aion_kind", None) == "workflow"
        called = "" if name is None else check_name("supervisor", getattr(name, "name", name) if is_type else name)
        if children is not None and is_type:
            raise InvalidOption(f"{called} is a workflow, and its supervisor's children are its runs; give a supervisor with other children a name of its own")
        if isinstance(children, str | bytes):
            raise InvalidOption(f"children={children!r} is one text; write a list: children=[{children!r}]")
        if isinstance(intensity, bool) or not isinstance(intensity, int) or intensity < 0:
            raise InvalidOption(f"intensity={shorten(intensity)} counts restarts: a whole number, 0 for none")
        within = length("period", period) if period is not None else Micros((30 if called else 300) * SECOND)
        if not within:
            raise InvalidOption("period=0: restarts are counted within a length of time")
        self._keep(
            name=called, children=None if children is None else tuple(_child(child) for child in children),
            strategy=_word(Strategy, "strategy", strategy), intensity=intensity, period=within,
            restart=_word(Restart, "restart", restart), runs=_word(Restart, "runs", runs),
            backoff=backoff if backoff is None or isinstance(backoff, Backoff) else _backoff(backoff),
            shutdown=Micros(0) if shutdown == "brutal_kill" else length("shutdown", shutdown),
            give_up=None if give_up is None else _word(GiveUp, "give_up", give_up),
        )  # fmt: skip
        if children is not None and self.runs is not Restart.TRANSIENT:
            raise InvalidOption(f"runs={str(self.runs)!r} is for the supervisor of a workflow's runs; give it to the child of {called} it is meant for")
        if not called and (children is not None or self.restart is not Restart.PERMANENT or self.runs is not Restart.TRANSIENT):
            raise InvalidOption("the root has no parent, and its children are all the others; it takes strategy, intensity, period, backoff, shutdown and give_up")
        twice = _twice(self)
        if twice:
            raise InvalidOption(f"{twice} stands more than once under {called}; a supervisor has one parent")

    def walk(self) -> Iterator[Supervisor]:
        """This one and all under it, in start order."""
        yield self
        for child in self.children or ():
            yield from child.walk()

    @property
    def unusual(self) -> str:
        """Its options that are not at their defaults, in a line; "" when all are, or only the limit differs, which is shown as numbers."""
        told = self.document()
        told |= {option: spell(told[option]) for option in ("period", "shutdown") if option in told}
        if self.backoff is not None:
            told["backoff"] = f"{spell(self.backoff.initial)} to {spell(self.backoff.cap)}"
        shown = [told["strategy"]] if "strategy" in told else []
        return ", ".join(shown + [f"{option} {told[option]}" for option in ("restart", "runs", "backoff", "shutdown", "give_up") if option in told])

    def document(self) -> dict[str, Any]:
        """As JSON's own types; what is at its default is left out."""
        plain = Supervisor(self.name or None, self.children)
        told: dict[str, Any] = {"name": self.name or None}
        if self.children is not None:
            told["children"] = [child.document() for child in self.children]
        for option in ("strategy", "intensity", "period", "restart", "runs", "shutdown", "give_up"):
            value = getattr(self, option)
            if value != getattr(plain, option):
                told[option] = value.value if isinstance(value, Enum) else value
        if self.backoff is not None:
            told["backoff"] = [self.backoff.initial, self.backoff.factor, self.backoff.cap]
        return told

    @classmethod
    def of_document(cls, told: dict[str, Any]) -> Supervisor:
        """The supervisor a document tells of; fields it does not know are passed over. Raises ValueError, TypeError or LookupError."""
        options: dict[str, Any] = {option: told[option] for option in ("strategy", "intensity", "restart", "runs", "give_up") if option in told}
        options |= {option: timedelta(microseconds=told[option]) for option in ("period", "shutdown") if option in told}
        if "backoff" in told:
            initial, factor, cap = told["backoff"]
            options["backoff"] = Backoff(timedelta(microseconds=initial), factor, timedelta(microseconds=cap))
        children = None if told.get("children") is None else [cls.of_document(child) for child in told["children"]]
        return cls(told["name"], children, **options)

    def __repr__(self) -> str:
        told = self.document()
        told |= {option: spell(told[option]) for option in ("period", "shutdown") if option in told}
        parts = [repr(told.pop("name"))]
        if told.pop("children", None) is not None:
            parts.append(f"[{', '.join(map(repr, self.children or ()))}]")
        parts += [f"{option}={getattr(self, option) if option == 'backoff' else value!r}" for option, value in told.items()]
        return f"Supervisor({', '.join(parts)})"


def _child(child: object) -> Supervisor:
    if isinstance(child, Supervisor):
        if not child.name:
            raise InvalidOption("the root is nobody's child; name the supervisor")
        return child
    if isinstance(child, str) or getattr(child, "aion_kind", None) == "workflow":
        return _child(Supervisor(child))
    raise InvalidOption(f"{shorten(child)} cannot be supervised: children are workflows, names of workflows, and supervisors")


def _twice(supervisor: Supervisor) -> str:
    seen: set[str] = set()
    for each in supervisor.walk():
        if each.name in seen:
            return each.name
        seen.add(each.name)
    return ""


_E = TypeVar("_E", bound=Enum)


def _word(kind: type[_E], option: str, value: object) -> _E:
    for member in kind:
        if value == member.value:
            return member
    raise InvalidOption(f"{option}={shorten(value)}; choose one of {', '.join(repr(member.value) for member in kind)}")


def length(option: str, value: Duration) -> Micros:
    """A length of time given as `option`. Raises InvalidOption when it is none."""
    try:
        return micros(value)
    except (TypeError, ValueError) as error:
        raise InvalidOption(f"{option}: {error}") from None


def _backoff(first: Duration) -> Backoff:
    initial = timedelta(microseconds=length("backoff", first))
    return Backoff(initial, cap=max(initial, timedelta(minutes=1)))
