"""Trees, lists and cards: to the letter where small, by their facts where large."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aionlab.core.clock import Micros
from aionlab.core.errors import NondeterminismError
from aionlab.core.events import WorkflowFailed
from aionlab.core.failure import Failure
from aionlab.core.snapshots import Progress
from aionlab.views.bundle import Shown
from aionlab.views.card import RunCard, source_line
from aionlab.views.counts import Counts
from aionlab.views.definition import Definition
from aionlab.views.divergence import Divergence
from aionlab.views.document import Document, facts, grid, heading, listing, stacked, titled
from aionlab.views.progress import LabStatus
from aionlab.views.registry import Registry
from aionlab.views.runs import RunList
from aionlab.views.sweep import Failed, Swept
from aionlab.views.tree import Tree
from tests.views import histories as hist
from tests.views.gallery import entry, gallery, run_of, tree
from tests.views.histories import T0, S
from tests.views.reading import Page

TREE = """\
process                    pid   state        waits for                          restarts       since
lab.db                     <1>   ▸ Running                                       0 of 3 in 30s  2020-01-01 00:00:00.000Z
├─ order                   <2>   ▸ Running                                       1 of 3 in 30s  2020-01-01 00:00:00.000Z
│  ├─ order                <12>  ▸ Running    activity 'ship' (order@3f2a91c:9)  1 of 3 in 30s  2020-01-01 00:00:00.000Z
│  │  └─ activity#1 order  <14>  ▸ Running                                                      2020-01-01 00:00:00.000Z
│  └─ o-2                  <13>  ✗ Stuck      diverged at event 9: order         0 of 3 in 30s  2020-01-01 00:00:00.000Z
└─ reminder                <3>   ▸ Running                                       0 of 3 in 30s  2020-01-01 00:00:00.000Z
   └─ reminder/ada         <15>  · Suspended  a timer                            0 of 3 in 30s  2020-01-01 00:00:00.000Z"""

DIVERGENCE = """\
divergence of o-1  ✗ Stuck  at event 9
history has         ActivityScheduled #1 ship
the code asked for  ActivityScheduled #1 ship_fast
at                  order@77aa001:9, in order
run id              r-1
version             3f2a91c
code
    8  ok = await approval()
  > 9  await ship_fast(receipt)
→ use workflow.patched('fast')
the history is untouched; the run goes on when code that agrees with it is routed to it"""


def test_a_tree_to_the_letter() -> None:
    assert str(Tree(tree(), Micros(30 * S))) == TREE
    assert repr(Tree(tree())) == "<Tree of lab.db: 3 workflows, Running>"
    assert "90d ago" in str(Tree(tree(), now=Micros(T0 + 90 * hist.D)))


def test_a_divergence_to_the_letter() -> None:
    error = NondeterminismError(
        "o-1",
        "r-1",
        9,
        "ActivityScheduled #1 ship",
        "ActivityScheduled #1 ship_fast",
        "order@77aa001:9, in order",
        "use workflow.patched('fast')",
        hist.VERSION,
    )
    view = Divergence.of(error, code=((8, "ok = await approval()"), (9, "await ship_fast(receipt)")), line=9)
    assert str(view) == DIVERGENCE
    page = Page(view._repr_html_())
    assert all(word in page.text for word in ("ActivityScheduled #1 ship_fast", "order@77aa001:9", "patched('fast')"))


def test_a_card_of_a_failed_run_points_at_the_users_line() -> None:
    events = hist.batch()
    text = str(RunCard(run_of(events), events))
    assert "at    order@3f2a91c:4, in order" in text
    assert "line  receipt = await charge(o)" in text
    assert "OSError: no route to host" in text and "last of 17 events" in text
    assert source_line(Failure("E", "m", source="cell:9, in f", traceback="nothing of the kind")) == ""


def test_a_card_of_a_live_run_says_what_it_awaits() -> None:
    events = hist.reminder()
    card = RunCard(run_of(events), events, entry(), Micros(events[-1].at + 3 * hist.D))
    assert "awaits      signal 'approval' (order@3f2a91c:7)" in str(card)
    assert "2 signals not taken yet" in str(card) and "93d" in str(card).split("\n")[0]
    assert repr(card) == "<reminder reminder/ada: Running, waits for signal 'approval' (order@3f2a91c:7)>"


def test_causes_are_followed_but_not_for_ever() -> None:
    cause = Failure("E0", "first")
    for i in range(1, 40):
        cause = Failure(f"E{i}", "next", cause=cause)
    story = hist.History().add(hist.started())
    story.add(WorkflowFailed(cause))
    text = str(RunCard(run_of(story.events), story.events))
    assert "E39: next" in text and "caused by  E31: next" in text and "E30:" not in text


def test_run_lists_slice_and_count() -> None:
    runs = [replace(run_of(hist.order(), i), workflow_id=f"o-{i}") for i in range(70)]
    listed = RunList(runs)
    assert len(listed) == 70 and listed[3] is runs[3] and list(listed)[-1] is runs[-1]
    assert isinstance(listed[:2], RunList) and listed[:2].ids == ["o-0", "o-1"]
    assert "… and 20 more runs" in str(listed) and "o-49 " in str(listed) and "o-50 " not in str(listed)
    assert repr(listed) == "<RunList: 70 runs, 70 Completed>"
    assert listed.to_frame().shape[0] == 70
    assert str(RunList([])) == "no runs" and repr(RunList([])) == "<RunList: 0 runs>"


def test_counts_are_a_dict_most_first() -> None:
    counts = Counts("customer", {"zeta": 1, None: 7, "acme": 7, "b": 2})
    assert counts == {"zeta": 1, None: 7, "acme": 7, "b": 2} and list(counts) == ["acme", None, "b", "zeta"]
    assert repr(counts) == "<Counts by customer: 7 acme, 7 (none), 2 b, 1 zeta>" and "(none)" in str(counts)
    frame = counts.to_frame()
    assert list(frame.index) == ["acme", None, "b", "zeta"] and list(frame["runs"]) == [7, 7, 2, 1] and frame.index.name == "group"
    assert "sk-1" not in str(Counts("api_key", {"sk-1": 2})) + repr(Counts("api_key", {"sk-1": 2})) + str(Counts("api_key", {"sk-1": 2}).to_frame())
    assert Counts("x", {}).to_frame().shape == (0, 1) and str(Counts("x", {})) == "no runs"


def test_a_verb_over_many_says_how_far_it_is() -> None:
    going = Swept("cancel", "asked to stop", "closed", 2000, 900, 90, 10)
    assert repr(going) == "<cancel: 50% · 900 of 2,000 runs asked to stop · 90 skipped (closed) · 10 failed>" and going.visited == 1000
    assert str(going).splitlines()[1] == "█" * 12 + "░" * 12 + " 50%"
    assert "░" not in str(replace(going, finished=True)) and str(Swept("cancel", "asked to stop", "closed", 0, finished=True)) == "cancel  0 of 0 runs asked to stop"
    failures = tuple(Failed(f"o-{n}", "r", "no") for n in range(20))
    assert "… and 10 more failed" not in str(replace(going, finished=True)) and "… and 10 more failed" in str(replace(going, finished=True, failed=20, failures=failures))


def test_the_route_is_said_in_one_sentence() -> None:
    assert Definition("order", hist.VERSION, True, (("1a2b3c4d", 2),)).route == "new version; 2 running runs stay on 1a2b3c4"
    assert Definition("order", hist.VERSION, False).route == "unchanged"
    assert Definition("order", hist.VERSION, True, (("1a2b3c4d", 1),), "1a2b3c4d").route == (
        "new version; 1 running run stays on 1a2b3c4; new starts are pinned to 1a2b3c4"
    )


def test_the_lab_says_when_it_is_halted_or_only_reads() -> None:
    calm = Progress(T0, "this kernel", False, 0, 0, 0, 0, 0, 0, 0, 0, None)
    assert repr(LabStatus(calm, "lab.db")) == "<Lab lab.db: Idle, no runs>"
    assert "the engine is halted: disk full" in str(LabStatus(calm._replace(halted="disk full")))
    assert "this kernel only reads" in str(LabStatus(calm._replace(readonly=True, owner="pid 7 on host")))
    assert "1s overdue" in str(LabStatus(calm._replace(next_timer=Micros(T0 - S))))


def test_registry_rows() -> None:
    text = str(Registry([entry(), entry("o-2")._replace(pid=None, residency="Suspended", mailbox=0)]))
    assert "o-1" in text and "<12>" in text and "Suspended" in text and str(Registry([])) == "no live runs"


class Broken(Shown):
    def _line(self) -> str:
        raise KeyError("<b>\x1b")

    def _document(self) -> Document:
        raise RecursionError


def test_what_is_shown_never_raises() -> None:
    assert repr(Broken()).startswith("<Broken cannot be shown: KeyError: ") and "\x1b" not in repr(Broken())
    assert str(Broken()).startswith("<Broken cannot be shown: RecursionError")
    assert Page(Broken()._repr_html_()).text == str(Broken())


def test_blocks_say_the_same_in_both_forms() -> None:
    document = stacked(
        heading("order", "o-1", "Failed", "2h"),
        facts([("a", "1"), ("empty", "")]),
        grid(("x", "none", "n"), [("v", "", "3")], right=(2,)),
        titled("code", listing(["a", "b"], 1)),
        titled("nothing", listing([])),
        None,
    )
    assert document.lines == ("order o-1  ✗ Failed  2h", "a  1", "x  n", "v  3", "code", "    a", "  > b")
    assert Page(document.element.render()).text == "order o-1  ✗ Failed  2ha1xnv3code  a\n> b"


@pytest.mark.parametrize(("name", "view"), list(gallery()))
def test_every_word_of_the_text_is_on_the_page(name: str, view: Shown) -> None:
    shown = view._repr_mimebundle_(include=["text/html"])
    assert list(shown) == ["text/plain", "text/html"] and view._repr_html_() == shown["text/html"]
    page = Page(shown["text/html"])
    on_page = page.text + " ".join(page.titles)
    drawing = set("░█▒◆=→┄‹›⋯├─│└>·")
    words = {word for word in shown["text/plain"].split() if not set(word) & drawing and "…" not in word}
    missing = {word for word in words if word not in on_page}
    if name.startswith("timeline"):
        # words of the text's own legend
        missing -= {
            "running",
            "waiting",
            "failed",
            "or",
            "dropped",
            "attempt",
            "signal",
            "still",
            "open",
            "not",
            "to",
            "scale:",
            "paused",
        }
    assert not missing, missing
    assert "0x" not in shown["text/plain"] and all(line == line.rstrip() for line in shown["text/plain"].split("\n"))
