"""The harness can fail: each of these bugs, planted, is found within a bounded number of seeds."""
from __future__ import annotations

import dataclasses
import gc
import sys
from collections.abc import Callable
from typing import Any

import pytest

from aionlab.core import events as e
from aionlab.core.ports import Finished
from aionlab.engine import activities, children, failed_turns, signals, turn
from aionlab.engine.call import Call
from aionlab.engine.engine import Engine
from aionlab.engine.run import LiveRun
from aionlab.engine.timers import Timers
from aionlab.replay import loop, messages, process, rebuild
from aionlab.replay.loop import WorkflowFuture, WorkflowTask
from aionlab.replay.process import Process
from aionlab.testing import programs
from aionlab.testing.examine import examine
from aionlab.testing.world import Broken

pytestmark = pytest.mark.slow

Plant = Callable[[pytest.MonkeyPatch], None]


def completions_are_not_offered_again(patch: pytest.MonkeyPatch) -> None:
    abandon = failed_turns.abandon

    def forgetful(self: Engine, *args: Any) -> None:
        abandon(self, *args)
        kept = [message for message in self.again if not isinstance(message, Finished)]
        self.again.clear()
        self.again.extend(kept)

    patch.setattr(failed_turns, "abandon", forgetful)


def elided_by_the_turn_instead_of_the_step(patch: pytest.MonkeyPatch) -> None:
    fact, carry_out = Engine.fact, Engine._carry_out
    stepped: list[LiveRun] = []

    def step(self: Engine, run: LiveRun, what: e.Event) -> None:
        if not run.can_step or run.deferred:
            fact(self, run, what)
            return
        assert run.process is not None
        run.process._now = self.turn_now.now
        run.process._apply(what)
        run.process.drain()
        self.turn_now.record(run, what)
        stepped.append(run)

    def harvest_at_the_end(self: Engine, *args: Any) -> None:
        carry_out(self, *args)
        while stepped:
            run = stepped.pop(0)
            if run.process is not None and not run.closed and run not in stepped:
                self.record_answers(run, run.process._harvest())

    patch.setattr(Engine, "fact", step)
    patch.setattr(Engine, "_carry_out", harvest_at_the_end)


def deferred_is_not_recorded(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(turn, "_DEFERRED", turn._DELIVERED)


def tasks_hash_by_address(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(WorkflowTask, "__hash__", object.__hash__)
    patch.setattr(WorkflowFuture, "__hash__", object.__hash__)


def results_are_computed_again(patch: pytest.MonkeyPatch) -> None:
    def refold(self: LiveRun, history: Any) -> None:
        self._blank()
        self.attributes = {}
        for recorded in history:
            if not isinstance(recorded.event, e.ActivityCompleted):
                self.fold(recorded.event)

    patch.setattr(LiveRun, "refold", refold)


def doubled_completions_are_recorded(patch: pytest.MonkeyPatch) -> None:
    finished = activities.finished

    def gullible(engine: Engine, report: Finished) -> None:
        run = engine.registry.by_key(report.run_key)
        if run is not None and not run.closed and report.failure is None:
            engine.fact(run, e.ActivityCompleted(report.activity_id, report.result or e.Payload(b""), report.attempt))
        finished(engine, report)

    patch.setattr(activities, "finished", gullible)


def attempts_are_dispatched_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    def hasty(engine: Engine, run: LiveRun, opened: Any) -> None:
        number, attempt = opened.scheduled.activity_id, opened.attempt + 1
        engine.turn_now.record(run, e.ActivityStarted(number, attempt))
        activities.submit(engine, run, opened, attempt)

    patch.setattr(activities, "begin", hasty)


def fired_timers_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Timers, "put_back", lambda self, entries: None)
    patch.setattr(Timers, "arm_all", lambda self, run: None)


def withdrawn_attempts_go_on(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(activities, "withdraw", lambda engine, run, number: None)


def keys_do_not_count_signals_once(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LiveRun, "has_signal_key", lambda self, key: False)


def unasked_answers_are_let_pass(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rebuild, "_unasked", lambda process, recorded: None)


def activities_are_not_compared_by_name(patch: pytest.MonkeyPatch) -> None:
    difference = rebuild.difference
    patch.setattr(rebuild, "difference", lambda one, two: "" if isinstance(one, e.ActivityScheduled) else difference(one, two))


def arguments_are_not_compared(patch: pytest.MonkeyPatch) -> None:
    difference = rebuild.difference
    patch.setattr(rebuild, "difference", lambda one, two: difference(one, two).replace("arguments", ""))


def deferred_facts_are_delivered_newest_first(patch: pytest.MonkeyPatch) -> None:
    def defer(self: LiveRun, recorded: Any) -> None:
        self.deferred = self.deferred or process.deque()  # type: ignore[attr-defined]
        self.deferred.appendleft(recorded)

    patch.setattr(LiveRun, "defer", defer)


def children_end_unheard(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(children, "tell_parent", lambda *args: None)


def parent_close_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(children, "_parent_closed", lambda *args: None)


def children_are_not_told_to_stop(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(children, "_stop", lambda *args: None)


def children_start_in_a_turn_of_their_own(patch: pytest.MonkeyPatch) -> None:
    start = children._start

    def later(engine: Engine, *args: Any) -> None:
        patch.setitem(engine.verbs, "start a child", lambda engine: start(engine, *args))
        engine.submit(Call("start a child"))

    patch.setattr(children, "_start", later)


def paused_runs_go_on(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LiveRun, "can_step", property(lambda self: self.process is not None and self.stuck is None))


def the_collector_closes_dropped_runs(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(loop, "_unwind", lambda owner, throw, late=None: None)


def numbers_are_given_when_asked(patch: pytest.MonkeyPatch) -> None:
    answer = Process._answer

    def gaps(self: Process, request: Any, ended: bool) -> Any:
        if isinstance(request, process.ActivityFuture) and request.dropped:
            self._activity_count += 1
        return answer(self, request, ended)

    patch.setattr(Process, "_answer", gaps)


def the_clock_is_read_anew(patch: pytest.MonkeyPatch) -> None:
    """Deferred facts are delivered at the time of their delivery instead of that of their record."""
    flush = Engine.flush

    def now(self: Engine, run: LiveRun) -> None:
        if run.deferred and run.can_step:
            run.deferred = type(run.deferred)(recorded._replace(at=self.turn_now.now) for recorded in run.deferred)
        flush(self, run)

    patch.setattr(Engine, "flush", now)


def acknowledgements_are_lost(patch: pytest.MonkeyPatch) -> None:
    def silent(engine: Engine, run: LiveRun, sent: e.SignalSent) -> None:
        signals._arrive(engine, sent)

    patch.setattr(signals, "forward", silent)


def signals_are_sent_again_under_another_key(patch: pytest.MonkeyPatch) -> None:
    arrive = signals._arrive

    def twice(engine: Engine, sent: e.SignalSent) -> Any:
        told = arrive(engine, sent)
        if len(engine.turn_now.touched) > 1:
            arrive(engine, dataclasses.replace(sent, key=sent.key + "/again"))
        return told

    patch.setattr(signals, "_arrive", twice)


def updates_are_forgotten_with_the_process(patch: pytest.MonkeyPatch) -> None:
    refold = LiveRun.refold

    def forgetful(self: LiveRun, history: Any) -> None:
        refold(self, history)
        if self.mail is not None:
            self.mail.updates.clear()

    patch.setattr(LiveRun, "refold", forgetful)


def conditions_wake_whoever_came_last(patch: pytest.MonkeyPatch) -> None:
    settle = messages.Messages.settle

    def backwards(self: messages.Messages) -> None:
        if self.conditions:
            self.conditions = dict(reversed(self.conditions.items()))
        settle(self)

    patch.setattr(messages.Messages, "settle", backwards)


def a_step_is_cut_short_when_the_code_has_ended(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Process, "_lingers", lambda self: False)


def unchecked_updates_are_let_pass(patch: pytest.MonkeyPatch) -> None:
    accept = messages.Messages.accept
    patch.setattr(messages.Messages, "accept", lambda self, accepted: accept(self, dataclasses.replace(accepted, checked=True)))


PLANTS: list[tuple[Plant, int]] = [
    (completions_are_not_offered_again, 60),
    (elided_by_the_turn_instead_of_the_step, 60),
    (deferred_is_not_recorded, 60),
    (tasks_hash_by_address, 100),
    (results_are_computed_again, 60),
    (doubled_completions_are_recorded, 60),
    (attempts_are_dispatched_before_the_commit, 60),
    (fired_timers_are_forgotten, 100),
    (withdrawn_attempts_go_on, 60),
    (keys_do_not_count_signals_once, 200),
    (unasked_answers_are_let_pass, 60),
    (activities_are_not_compared_by_name, 100),
    (arguments_are_not_compared, 60),
    (deferred_facts_are_delivered_newest_first, 100),
    (children_end_unheard, 100),
    (parent_close_is_forgotten, 150),
    (children_are_not_told_to_stop, 400),
    (children_start_in_a_turn_of_their_own, 100),
    (acknowledgements_are_lost, 100),
    (signals_are_sent_again_under_another_key, 100),
    (updates_are_forgotten_with_the_process, 200),
    (conditions_wake_whoever_came_last, 300),
    (a_step_is_cut_short_when_the_code_has_ended, 400),
    (unchecked_updates_are_let_pass, 300),
    (paused_runs_go_on, 60),
    (the_collector_closes_dropped_runs, 200),
    (numbers_are_given_when_asked, 60),
    (the_clock_is_read_anew, 300),
]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("plant", "limit"), PLANTS, ids=[plant.__name__ for plant, _ in PLANTS])
def test_a_planted_bug_is_found(plant: Plant, limit: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    heard: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", heard.append)
    plant(monkeypatch)
    for seed in range(limit):
        try:
            examine(seed)
        except Broken as broken:
            print(f"{plant.__name__}: found at seed {seed}: {str(broken).splitlines()[0]}")
            break
        if heard:
            print(f"{plant.__name__}: found at seed {seed}: the collector ran user code")
            break
    else:
        pytest.fail(f"not found in {limit} seeds")
    monkeypatch.undo()
    monkeypatch.setattr(sys, "unraisablehook", heard.append)
    gc.collect()  # what the planted bug left behind is not for the tests that follow
    programs.strays.clear()
