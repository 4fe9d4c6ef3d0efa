"""Running code against its history: each step's requests must equal, exactly, the answers recorded for that step.

Facts recorded in their own step are followed by their answers. Deferred facts (recorded while the code could not take them) are
delivered in order, each once the one before left no recorded answer unmatched; a step's answers are recorded all or none, so at the
end of history deferred facts without recorded answers are left for the engine to deliver live.
"""
from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from aionlab.core import events as e
from aionlab.core.attributes import may_be_stored
from aionlab.core.errors import NondeterminismError
from aionlab.core.events import Recorded, is_answer, is_fact

from .divergence import advice, describe, difference
from .leases import counting
from .process import Process


class ArgumentsDiffer(NamedTuple):
    """The code asked for the recorded thing with other arguments: a warning."""

    seq: int
    recorded: e.Event
    asked: e.Event


class Rebuilt(NamedTuple):
    process: Process
    waiting: deque[Recorded]
    """Deferred facts to deliver live, in order."""
    warnings: list[ArgumentsDiffer]
    live: Sequence[e.Event] = ()
    """What the code asked for in a step that a fork or reset cut in the middle, to be recorded now."""


def rebuild(make: Callable[[bool], Process], history: Sequence[Recorded]) -> Rebuilt:
    """A process brought to where its recorded events end. `make(trace)` makes an idle process of the run.

    Raises NondeterminismError, with the user's line, when code and history disagree; nothing is recorded either way.
    """
    process = make(False)
    process.replaying = True
    try:
        waiting, warnings, live = _replay(process, history)
    except NondeterminismError:
        process.close()
        traced = make(True)
        traced.replaying = True
        try:
            _replay(traced, history)
        finally:
            traced.close()
        raise
    except BaseException:
        process.close()
        raise
    process.replaying = False
    return Rebuilt(process, waiting, warnings, live)


def _replay(process: Process, history: Sequence[Recorded]) -> tuple[deque[Recorded], list[ArgumentsDiffer], list[e.Event]]:
    waiting: deque[Recorded] = deque()
    live: list[e.Event] | None = None
    warnings: list[ArgumentsDiffer] = []
    kinds = {type(recorded.event) for recorded in history}
    cut_short = (e.WorkflowForked in kinds or e.WorkflowReopened in kinds) and _cut_short(history)
    if e.WorkflowReopened in kinds:
        history = [r for r in counting(history) if not (isinstance(r.event, e.WorkflowReopened) and r.event.rest)]
    steps = [recorded for recorded in history if is_fact(recorded.event) or is_answer(recorded.event)]
    if e.PatchMarked in kinds:
        process.marked(frozenset([recorded.event.patch_id for recorded in steps if type(recorded.event) is e.PatchMarked]))
    if cut_short:
        live = []
    at, count = 0, len(steps)
    while at < count:
        recorded = steps[at]
        end = at
        if is_fact(recorded.event):
            end = at = at + 1
            if recorded.deferred:
                waiting.append(recorded)
                continue
            while waiting:
                _deliver(process, waiting.popleft(), (), warnings)
            while end < count and not is_fact(steps[end].event):
                end += 1
            taken = _deliver(process, recorded, steps[at:end], warnings, live if end == count else None)
            at += taken
            if at < end:
                _unasked(process, steps[at])
        else:
            while end < count and not is_fact(steps[end].event):
                end += 1
            while at < end:
                if not waiting:
                    _unasked(process, steps[at])
                at += _deliver(process, waiting.popleft(), steps[at:end], warnings, live if end == count else None)
    return waiting, warnings, live or []


def _cut_short(history: Sequence[Recorded]) -> bool:
    """Whether the last step may lack some of its answers: it was cut by a fork, or ended the run before it was reopened, and no other has
    followed yet."""
    for recorded in reversed(history):
        if isinstance(recorded.event, e.WorkflowForked):
            return True
        if isinstance(recorded.event, e.WorkflowReopened):
            return recorded.event.rest
        if is_fact(recorded.event) or is_answer(recorded.event):
            return False
    return False


def _deliver(
    process: Process, fact: Recorded, answers: Sequence[Recorded], warnings: list[ArgumentsDiffer], live: list[e.Event] | None = None
) -> int:
    """One step against its recorded answers; how many of them it took. With `live` they may be cut short, and it takes the rest."""
    if live is not None and not answers:
        process.replaying = False
    asked = process.deliver(fact.event, fact.at)
    if len(asked) > len(answers) and live is not None:
        live += asked[len(answers) :]
        del asked[len(answers) :]
    if len(asked) > len(answers):
        for index, (request, recorded) in enumerate(zip(asked, answers, strict=False)):
            _compare(process, index, recorded, request, warnings)
        extra = asked[len(answers)]
        after = answers[-1] if answers else fact
        raise _diverged(process, after.seq + 1, "nothing more in this step", describe(extra), len(answers), advice(None, extra))
    for index, request in enumerate(asked):
        _compare(process, index, answers[index], request, warnings)
    return len(asked)


def _compare(process: Process, index: int, recorded: Recorded, asked: e.Event, warnings: list[ArgumentsDiffer]) -> None:
    if recorded.event == asked:
        return
    differs = difference(recorded.event, asked)
    if differs == "command":
        raise _diverged(process, recorded.seq, describe(recorded.event), describe(asked), index, advice(recorded.event, asked))
    if type(recorded.event) is e.ChildWorkflowStarted:
        process.child_recorded(recorded.event)
    if differs == "arguments" and not _stored_so(process, recorded.event, asked):
        warnings.append(ArgumentsDiffer(recorded.seq, recorded.event, asked))


def _stored_so(process: Process, recorded: e.Event, asked: e.Event) -> bool:
    """Whether the two are one update of search attributes, as the code gave it and as it is stored."""
    if not isinstance(recorded, e.SearchAttributesUpdated) or not isinstance(asked, e.SearchAttributesUpdated):
        return False
    return may_be_stored(process.attributes_of(asked), process.attributes_of(recorded))


def _unasked(process: Process, recorded: Recorded) -> None:
    raise _diverged(process, recorded.seq, describe(recorded.event), "nothing more in this step", None, advice(recorded.event, None))


def _diverged(process: Process, seq: int, expected: str, actual: str, index: int | None, suggestion: str) -> NondeterminismError:
    info, sources = process.info, process.sources
    source = sources[index] if index is not None and index < len(sources) else ""
    if not source and not process.finished:
        blocked = process.blocked()
        source = blocked[0].source if blocked else ""
    return NondeterminismError(info.workflow_id, info.run_id, seq, expected, actual, source, suggestion, info.version)
