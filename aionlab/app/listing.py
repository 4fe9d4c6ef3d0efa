"""Which runs there are: listings, counts, their events, and verbs over all that a filter finds.

The language of filters is described in `aionlab.core.filters`.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, overload

from aionlab.core.clock import Micros
from aionlab.core.durations import Duration
from aionlab.core.errors import InvalidOption, RunNotFound
from aionlab.core.filters import EVERY, Field, Query, equal_to, field_named, parse, words
from aionlab.core.filters.fields import readable
from aionlab.core.ports import Forgotten, Run
from aionlab.engine.call import Call
from aionlab.views.bundle import Shown
from aionlab.views.counts import Counts
from aionlab.views.document import Document, note, stacked
from aionlab.views.runs import RunList
from aionlab.views.sweep import Swept

from . import sweeping
from .lifecycle import length

if TYPE_CHECKING:
    from aionlab.views.frames import DataFrame

    from .hosts import Host
    from .library import Library

PAGE = 200
"""Runs that are read at a time."""
_COUNTED = 100_000
_HISTORIES = 50
"""Histories that are read at a time."""


class Listings:
    """The part of a lab that lists runs."""

    host: Host
    library: Library
    shows: Callable[[], Callable[[Swept], None]] | None = None
    """Makes a place that shows how far a long verb over many runs has come; None where there is none."""

    def call(self, verb: str, *arguments: Any) -> Any:
        raise NotImplementedError

    def wait(self, call: Call, timeout: float | None = None) -> bool:
        raise NotImplementedError

    def _may_write(self) -> None:
        raise NotImplementedError

    def _act(self, done: str, undone: str, call: Call, facts: dict[str, Any] | None = None) -> Any:
        raise NotImplementedError

    def runs(self, filter: str = "", *, limit: int | None = None, page_size: int = PAGE, **fields: Any) -> Runs:  # noqa: A002 - the word of the API
        """The runs a filter finds, newest first unless it says ORDER BY: `lab.runs("status = 'Running' AND amount > 3 LIMIT 20")`.

        Every one of `fields` must be as given too: `lab.runs(status="Failed", type="order", customer="acme")`; None asks for runs without it.
        What comes back is read `page_size` runs at a time while it is gone through, and has the verbs: `lab.runs("…").cancel("why")`.
        Raises InvalidFilter, InvalidOption.
        """
        if page_size < 1:
            raise InvalidOption(f"a page has at least one run, not {page_size}")
        if limit is not None and limit < 0:
            raise InvalidOption(f"a limit is no less than 0, and {limit} is")
        query, now = self._query(filter, fields)
        if query.group is not None:
            raise InvalidOption("GROUP BY counts runs: lab.count(filter)")
        return Runs(self, query.at_most(limit), page_size, now)

    def count(self, filter: str = "", group_by: str | None = None, **fields: Any) -> Any:  # noqa: A002
        """How many runs a filter finds; with `group_by` (or GROUP BY in the filter) a dict of them by what they have of that field, most first,
        None for runs that have nothing of it (a run with a list of keywords counts for each).

        Raises InvalidFilter, InvalidOption.
        """
        query, _ = self._query(filter, fields)
        if group_by is not None:
            try:
                query = replace(query, group=field_named(group_by, self.call("schema")[0]))
            except LookupError as error:
                raise InvalidOption(str(error.args[0])) from None
        if query.limit is not None or query.order:
            raise InvalidOption("runs are counted without ORDER BY and LIMIT")
        found: dict[Any, int] = self.call("count", query.condition, query.group)
        if query.group is None:
            return found[""]
        field: Field = query.group
        return Counts(field.name, {readable(field, key): number for key, number in found.items()})

    def events(self, id: str = "", *, run_id: str | None = None, full: bool = False) -> DataFrame:  # noqa: A002 - the word of the API
        """The events of a workflow id as a frame, see `aionlab.views.frames.events_frame`; or, given a filter, those of every run it finds, run
        after run, with their ids in columns of their own.

        Raises RunNotFound for what is neither, InvalidFilter.
        """
        from aionlab.views.frames import events_frame

        if id:
            try:
                _, events = self.call("history", id, run_id)
                return events_frame(events, full=full)
            except RunNotFound:
                if run_id is not None or not any(char in id for char in " =<>(\n"):
                    raise
        return self.runs(id).events(full=full)

    def forget(self, id: str, reason: str | None = None) -> Forgotten:  # noqa: A002
        """Delete everything recorded about a workflow id: its runs, events, attributes. It cannot be undone, and the id is free again. What is
        left is a note of when, why and how much, which is returned, and listed by `forgotten()`.

        Raises RunNotFound, and InvalidOption while a run of the id is open.
        """
        self._may_write()
        note: Forgotten = self._act(f"{id} was forgotten", f"{id} was not forgotten", Call("forget", id, reason))
        return note

    def forgotten(self) -> list[Forgotten]:
        """The notes of what was forgotten, oldest first."""
        notes: list[Forgotten] = self.call("store", "forgotten")
        return notes

    def search_attributes(self) -> list[tuple[str, str]]:
        """(name, type) of every search attribute that is registered."""
        return sorted(self.call("schema")[0].items())

    def known_texts(self, field: Field, most: int = 20) -> list[str]:
        """The texts that most runs have of a field or attribute; none in a lab of very many runs, where counting them takes its time."""
        if self.call("count")[""] > _COUNTED:
            return []
        found: dict[Any, int] = self.call("count", EVERY, field)
        return [text for text in sorted(found, key=lambda text: (-found[text], str(text)))[:most] if isinstance(text, str)]

    def filter_words(self) -> list[str]:
        """The fields and search attributes a filter may name."""
        return words(self.call("schema")[0])

    def _query(self, text: str, fields: dict[str, Any]) -> tuple[Query, Micros]:
        schema, now = self.call("schema")
        query = parse(text, schema, now)
        if not fields:
            return query, now
        try:
            return query.narrowed(equal_to(fields, schema)), now
        except (LookupError, ValueError) as error:
            raise InvalidOption(str(error.args[0])) from None


class Runs(Shown, Sequence[Run]):
    """The runs a filter finds. A sequence that is read as far as it is gone through: `for run in runs`, `runs[0]`, `runs[:10]`; `len()` counts.

    What is shown is the first page, as it was when the runs were asked for; what is gone through is as it is then.
    """

    __slots__ = ("_lab", "_page", "_query", "_size", "_whole", "now")

    def __init__(self, lab: Listings, query: Query, page_size: int, now: Micros) -> None:
        self._lab, self._query, self._size, self.now = lab, query, page_size, now
        wanted = page_size if query.limit is None else min(page_size, query.limit)
        self._page: list[Run] = lab.call("runs", replace(query, limit=wanted), None)
        self._whole = len(self._page) < wanted or len(self._page) == query.limit

    # --- a sequence -----------------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Run]:
        yield from self._page
        if not self._whole:
            for page in sweeping.pages(self._lab, self._query, self._size, self._page[-1], len(self._page)):
                yield from page

    def __len__(self) -> int:
        if self._whole:
            return len(self._page)
        (found,) = self._lab.call("count", self._query.condition).values()
        return int(found if self._query.limit is None else min(found, self._query.limit))

    def __bool__(self) -> bool:
        return bool(self._page)

    @overload
    def __getitem__(self, at: int) -> Run: ...
    @overload
    def __getitem__(self, at: slice) -> RunList: ...
    def __getitem__(self, at: int | slice) -> Run | RunList:
        if isinstance(at, slice):
            if (at.start or 0) >= 0 and at.stop is not None and at.stop >= 0 and (at.step or 1) > 0:
                return RunList(list(islice(self, at.start, at.stop, at.step)), None, self.now)
            return RunList(list(self)[at], None, self.now)
        if at < 0:
            return list(self)[at]
        for run in islice(self, at, at + 1):
            return run
        raise IndexError(f"there are {len(self)} runs")

    @property
    def ids(self) -> list[str]:
        """The workflow ids, in order."""
        return [run.workflow_id for run in self]

    def to_frame(self) -> DataFrame:
        """One row per run; columns and dtypes as in `aionlab.views.frames.runs_frame`."""
        from aionlab.views.frames import runs_frame

        return runs_frame(list(self))

    def events(self, *, full: bool = False) -> DataFrame:
        """The events of all of them, run after run; as `aionlab.views.frames.events_frame` with their ids."""
        from aionlab.views.frames import events_frame

        keys = [run.key for run in self]
        histories = (self._lab.call("events", keys[at : at + _HISTORIES]) for at in range(0, len(keys), _HISTORIES))
        return events_frame(list(chain.from_iterable(chain.from_iterable(histories))), full=full, runs=True)

    # --- verbs ----------------------------------------------------------------------------------------------------------

    def cancel(self, reason: str | None = None, *, children: bool = False, grace: Duration | None = None, dry_run: bool = False) -> Swept:
        """Ask every one of them that is open to stop, as `lab.cancel` does one. Says what became of them; with `dry_run`, what would."""
        limit = None if grace is None else length("grace", grace)
        return self._sweep("cancel", lambda run: (run.workflow_id, run.run_id, reason, children, limit), dry_run)

    def terminate(self, reason: str | None = None, details: str | None = None, *, dry_run: bool = False) -> Swept:
        """End every one of them that is open at once."""
        return self._sweep("terminate", lambda run: (run.workflow_id, run.run_id, reason, details), dry_run)

    def pause(self, reason: str | None = None, *, dry_run: bool = False) -> Swept:
        """Hold every one of them that runs."""
        return self._sweep("pause", lambda run: (run.workflow_id, run.run_id, reason), dry_run)

    def resume(self, *, dry_run: bool = False) -> Swept:
        """Let every one of them that is paused go on."""
        return self._sweep("resume", lambda run: (run.workflow_id, run.run_id), dry_run)

    def suspend(self, *, dry_run: bool = False) -> Swept:
        """Drop every one of them from memory; what comes next for it brings it back."""
        return self._sweep("suspend", lambda run: (run.workflow_id, run.run_id), dry_run)

    def reopen(self, reason: str | None = None, *, dry_run: bool = False) -> Swept:
        """Go on with every one of them that failed, was cancelled or terminated, or ran out of time."""
        return self._sweep("reopen", lambda run: (run.workflow_id, run.run_id, reason), dry_run)

    def signal(self, name: str, payload: Any = None, *, idempotency_key: str | None = None, dry_run: bool = False) -> Swept:
        """Send every one of them that is open the signal; each takes an idempotency key once, so the same again does nothing."""
        encoded = self._lab.library.cells.encode(payload, "payload")
        return self._sweep("signal", lambda run: (run.workflow_id, name, encoded, run.run_id, idempotency_key), dry_run)

    def forget(self, reason: str | None = None, *, dry_run: bool = False) -> Swept:
        """Delete every one of them that is closed, for ever: with the whole history of its workflow id, so an id of which any run is not
        among these stays, and is listed as failed."""
        return self._sweep("forget", lambda run: (run.workflow_id, reason, self._query.condition), dry_run)

    def _sweep(self, verb: str, arguments: Callable[[sweeping.Target], tuple[Any, ...]], dry_run: bool) -> Swept:
        if not dry_run:
            self._lab._may_write()
        return sweeping.sweep(self._lab, verb, self._query, arguments, dry_run=dry_run)

    # --- looking --------------------------------------------------------------------------------------------------------

    def _listed(self) -> RunList:
        return RunList(self._page, None if self._whole else len(self._page), self.now)

    def _line(self) -> str:
        return self._listed()._line() if self._whole else f"<Runs: {len(self._page):,} and more>"

    def _document(self) -> Document:
        shown = self._listed()._document()
        return shown if self._whole else stacked(shown, note("and more runs behind these; len() counts them, to_frame() has them all"))
