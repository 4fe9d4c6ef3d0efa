"""Schedules as users hold them: `lab.schedule(…)` makes one, `lab.schedules()` lists them."""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from aionlab.authoring.definitions import Workflow
from aionlab.core import events as e
from aionlab.core.calendars import calendar, moment
from aionlab.core.clock import Micros
from aionlab.core.cron import zone
from aionlab.core.durations import Duration, micros
from aionlab.core.errors import InvalidOption, shorten
from aionlab.core.snapshots import ScheduleState
from aionlab.engine.call import Call
from aionlab.views.bundle import bundle
from aionlab.views.document import heading
from aionlab.views.eventlist import EventList
from aionlab.views.runs import RunList
from aionlab.views.schedules import ScheduleCard, ScheduleList
from aionlab.views.timing import timing

from .handle import Handle

if TYPE_CHECKING:
    from .lab import Lab
    from .library import Library

Moment = datetime | str
"""A datetime, or text such as "2025-01-31 09:00"; without an offset it is read in the schedule's zone."""
_UNCHANGED: Any = object()
_COMING = 5


class Schedules:
    """The part of a lab that starts workflows by the clock."""

    library: Library

    def call(self, verb: str, *arguments: Any) -> Any:
        raise NotImplementedError

    def _may_write(self) -> None:
        raise NotImplementedError

    def _act(self, done: str, undone: str, call: Call, facts: dict[str, Any] | None = None) -> Any:
        raise NotImplementedError

    def _signature(self, workflow: Workflow[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        raise NotImplementedError

    def _current(self, workflow: Workflow[..., Any]) -> str:
        raise NotImplementedError

    def _whole_version(self, name: str, version: str) -> str:
        raise NotImplementedError

    def schedule(
        self, name: str, workflow: Workflow[..., Any] | str | None = None, args: Iterable[Any] = (), kwargs: Mapping[str, Any] | None = None, *,
        cron: str | None = None, every: Duration | None = None, offset: Duration | None = None, at: Moment | None = None, timezone: str = "UTC",
        start: Moment | None = None, end: Moment | None = None, overlap: str = "skip", catch_up: str = "one", catch_up_window: Duration | None = None,
        version: str | None = None, memo: Any = None, deadline: Duration | None = None, paused: bool = False, note: str | None = None, replace: bool = False,
    ) -> Schedule:
        """Start a workflow again and again; the schedule's handle. `lab.schedule(name)` alone gives the handle of the one there is.

        When: one of `cron` (five fields in `timezone`; see `aionlab.core.cron` for what happens when clocks change), `every` (a length of
        time; the times are its multiples since 1970, plus `offset`) and `at` (once). Only times from `start` to `end` count.

        `overlap`, when a time comes while a run goes on: "skip" it, "buffer_one" or "buffer_all" until the run ends, "cancel_other" or
        "terminate_other" run for it, or "allow_all".

        `catch_up`, for times that came while the lab was closed: make up "one" (the newest), "all" (one after another) or "skip" them;
        `catch_up_window` leaves out those that are longer ago.

        The run of a time has the workflow id (and run id) `NAME-2020-01-02T00:00:00Z`, and finds the time in `workflow.info().nominal_time`
        and what the newest completed run returned in `workflow.last_result(Type)`. It runs the routed version of the workflow, unless
        `version` names one; `deadline` is how long it may take, `memo` goes with it.

        The same call once more changes nothing; with `replace` it changes what is different.

        Raises ScheduleExists for another schedule of that name, ScheduleNotFound, WorkflowNotFound, InvalidName, InvalidPayload,
        InvalidOption, CodeRefused with nothing written.
        """
        if workflow is None:
            return self._handle(self.call("schedule_describe", name))
        self._may_write()
        payload = self._input(workflow, tuple(args), dict(kwargs or {}))
        workflow_type = workflow if isinstance(workflow, str) else self._current(workflow)
        plan = e.Plan(
            workflow_type, cron, _length("every", every), _length("offset", offset) or Micros(0), _moment("at", at, timezone), timezone,
            _moment("start", start, timezone), _moment("end", end, timezone), overlap, catch_up, _length("catch_up_window", catch_up_window),
            None if version is None else self._whole_version(workflow_type, version), _deadline(deadline),
        )  # fmt: skip
        calendar(plan)
        call = Call("schedule", name, plan, payload, self._memo(memo), note, paused, replace)
        return self._handle(self._act(f"schedule {name} was made", "no schedule was made", call))

    def schedules(self) -> ScheduleList:
        """Every schedule, by name."""
        return ScheduleList(self.call("schedules"), self.call("now"))

    def schedule_names(self) -> list[str]:
        """The names of the schedules, in order."""
        return self.schedules().ids

    def _input(self, workflow: Workflow[..., Any] | str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> e.Payload:
        if not isinstance(workflow, str):
            self._signature(workflow, args, kwargs)
        return self.library.cells.encode_args(args, kwargs, "input")

    def _memo(self, memo: Any) -> str | None:
        return None if memo is None else self.library.cells.encode(memo, "memo").decode()

    def _handle(self, found: ScheduleState) -> Schedule:
        return Schedule(self, found.id)  # type: ignore[arg-type]  # a part of a lab is a lab


class Schedule:
    """One schedule of a lab."""

    __slots__ = ("_lab", "name")

    def __init__(self, lab: Lab, name: str) -> None:
        self._lab, self.name = lab, name

    # --- verbs ----------------------------------------------------------------------------------------------------------

    def pause(self, note: str | None = None) -> Schedule:
        """Start nothing more by itself; `trigger` and `backfill` still do. Raises ScheduleNotFound, InvalidOption when it is paused."""
        return self._change("schedule_pause", "paused", note)

    def resume(self, note: str | None = None) -> Schedule:
        """Go on with the times from now on; those in between are not made up (`backfill` does that). Raises ScheduleNotFound,
        InvalidOption when it is not paused."""
        return self._change("schedule_resume", "resumed", note)

    def delete(self, note: str | None = None) -> None:
        """End the schedule. Runs it has started go on; its history stays. Raises ScheduleNotFound."""
        self._change("schedule_delete", "deleted", note)

    def trigger(self, *, overlap: str | None = None) -> Handle | None:
        """Start a run now, paused or not, as the overlap policy (or this one) has it: its handle, or None when it was skipped or waits for
        another to end. Raises ScheduleNotFound, InvalidOption."""
        found = self._act("schedule_trigger", "triggered", overlap)
        if found is None:
            return None
        workflow_id, run_id = found
        return Handle(self._lab, workflow_id, run_id, self.state.plan.workflow_type)

    def backfill(self, start: Moment, end: Moment | None = None, *, overlap: str | None = None) -> list[datetime]:
        """Run the times from `start` to `end` (now where it is not given), both included, that have not been run; gives these times.

        The runs go one after another, or all at once for `overlap="allow_all"`. Raises ScheduleNotFound, InvalidOption.
        """
        plan = self.state.plan
        first = moment(start, plan.timezone, "start")
        last = self._lab.call("now") if end is None else moment(end, plan.timezone, "end")
        return [_local(at, plan.timezone) for at in self._act("schedule_backfill", "backfilled", first, last, overlap)]

    def update(
        self, *, workflow: Workflow[..., Any] | str = _UNCHANGED, args: Iterable[Any] = _UNCHANGED, kwargs: Mapping[str, Any] = _UNCHANGED, cron: str = _UNCHANGED,
        every: Duration = _UNCHANGED, offset: Duration = _UNCHANGED, at: Moment = _UNCHANGED, timezone: str = _UNCHANGED, start: Moment | None = _UNCHANGED,
        end: Moment | None = _UNCHANGED, overlap: str = _UNCHANGED, catch_up: str = _UNCHANGED, catch_up_window: Duration | None = _UNCHANGED,
        version: str | None = _UNCHANGED, deadline: Duration | None = _UNCHANGED, memo: Any = _UNCHANGED, note: str | None = None,
    ) -> Schedule:  # fmt: skip
        """Change what is given, from now on; the rest stays. A new `cron`, `every` or `at` takes the place of the old one, and new `args`
        and `kwargs` that of all arguments. Raises ScheduleNotFound, WorkflowNotFound, InvalidPayload, InvalidOption with nothing written.
        """
        lab, plan = self._lab, self.state.plan
        where = plan.timezone if timezone is _UNCHANGED else timezone
        given = {
            "cron": cron, "every": _length("every", every), "offset": _length("offset", offset), "at": _moment("at", at, where), "timezone": timezone,
            "start": _moment("start", start, where), "end": _moment("end", end, where), "overlap": overlap, "catch_up": catch_up,
            "window": _length("catch_up_window", catch_up_window), "version": version, "deadline": _deadline(deadline),
        }  # fmt: skip
        changes = {field: value for field, value in given.items() if value is not _UNCHANGED}
        if changes.keys() & {"cron", "every", "at"}:
            changes = {"cron": None, "every": None, "at": None, **({} if "every" in changes else {"offset": Micros(0)}), **changes}
        payload = None
        if workflow is not _UNCHANGED:
            changes["workflow_type"] = workflow if isinstance(workflow, str) else lab._current(workflow)
        if args is not _UNCHANGED or kwargs is not _UNCHANGED:
            given_args = () if args is _UNCHANGED else tuple(args)
            given_kwargs = {} if kwargs is _UNCHANGED else dict(kwargs)
            payload = lab._input(plan.workflow_type if workflow is _UNCHANGED else workflow, given_args, given_kwargs)
        if isinstance(changes.get("version"), str):
            changes["version"] = lab._whole_version(changes.get("workflow_type", plan.workflow_type), changes["version"])
        self._act("schedule_update", "changed", changes, payload, None if memo is _UNCHANGED else lab._memo(memo), note)
        return self

    def _change(self, verb: str, done: str, note: str | None) -> Schedule:
        self._act(verb, done, note)
        return self

    def _act(self, verb: str, done: str, *arguments: Any) -> Any:
        self._lab._may_write()
        return self._lab._act(f"schedule {self.name} was {done}", f"schedule {self.name} was not {done}", Call(verb, self.name, *arguments))

    # --- looking --------------------------------------------------------------------------------------------------------

    @property
    def state(self) -> ScheduleState:
        """How it stands now. Raises ScheduleNotFound."""
        found: ScheduleState = self._lab.call("schedule_describe", self.name)
        return found

    @property
    def paused(self) -> bool:
        return self.state.state == "Paused"

    def next(self, n: int = 1) -> list[datetime]:
        """Its next `n` times, in its own zone; fewer where there are no more, and what they would be while it is paused."""
        if not isinstance(n, int) or isinstance(n, bool) or not 0 <= n <= 10_000:
            raise InvalidOption(f"next takes a number of times from 0 to 10,000, not {shorten(n)}")
        state = self.state
        return [_local(at, state.plan.timezone) for at in self._coming(state, n)]

    def _coming(self, state: ScheduleState, n: int) -> list[Micros]:
        first = state.next if state.next is not None else calendar(state.plan).after(self._lab.call("now"))
        return list(islice(_from(state.plan, first), n))

    def describe(self) -> ScheduleCard:
        """All about it, as a card. Raises ScheduleNotFound."""
        state = self.state
        coming = self._coming(state, _COMING) if state.state != "Paused" else []
        return ScheduleCard(state, coming, self._lab.call("schedule_history", self.name), self._lab.call("now"))

    def history(self) -> EventList:
        """Its events: what was changed, and what became of each time; its `to_frame()` is the frame. A deleted schedule has one too."""
        return EventList(tuple(self._lab.call("schedule_history", self.name)))

    def runs(self, limit: int = 100) -> RunList:
        """The runs it started last, newest first; at most the last thousand."""
        return RunList(self._lab.call("schedule_runs", self.name, limit))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schedule) and (self._lab, self.name) == (other._lab, other.name)

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"<Schedule {self.name}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        try:
            state = self.state
        except Exception:  # noqa: BLE001 - it is deleted, or the lab is closed: its name is all there is to show
            return bundle(heading("schedule", self.name))
        return bundle(heading("schedule", self.name, state.state, f"{state.plan.workflow_type} · {timing(state.plan)}"))


def _from(plan: e.Plan, at: Micros | None) -> Iterable[Micros]:
    times = calendar(plan)
    while at is not None:
        yield at
        at = times.after(at)


def _local(at: Micros, timezone: str) -> datetime:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)).astimezone(zone(timezone))


def _length(what: str, given: Any) -> Any:
    """A length of time in microseconds; nothing and "unchanged" stay what they are. Raises InvalidOption."""
    if given is None or given is _UNCHANGED:
        return given
    try:
        return micros(given)
    except (TypeError, ValueError) as error:
        raise InvalidOption(f"{what}: {error}") from None


def _deadline(given: Any) -> Any:
    length = _length("deadline", given)
    if length == 0:
        raise InvalidOption("a deadline lies in the future: give the length of time each run may take")
    return length


def _moment(what: str, given: Any, timezone: str) -> Any:
    return given if given is None or given is _UNCHANGED else moment(given, timezone, what)
