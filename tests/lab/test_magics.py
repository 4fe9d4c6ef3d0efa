"""The magics in a shell, over a lab without an engine."""
from __future__ import annotations

import inspect
import threading
from typing import Any

import pytest

from aionlab.core.errors import ResultTimeout, RunNotFound, WorkflowFailedError
from aionlab.core.failure import Failure
from aionlab.core.supervisors import Supervisor
from aionlab.lab.errors import CellSyntaxError, LineError
from aionlab.lab.verbs import VERBS

ORDER = "%%workflow\n@workflow\nasync def order(n, rush=False):\n    return n\n"


def test_start_gives_the_handle(notebook: Any) -> None:
    notebook.run(ORDER)
    handle = notebook.run("n = 7\n%start order(n, rush=true) --id f\"o-{n}\" --attr customer=acme --attr amount=3 --as h --key k --deadline 2h")
    assert handle.id == "o-7" and notebook.ns["h"] is handle
    assert notebook.lab.calls[-1] == (
        "start", "order", (7,),
        {"id": "o-7", "search_attributes": {"customer": "acme", "amount": 3}, "idempotency_key": "k", "deadline": "2h", "rush": True},
    )


def test_start_of_a_stored_workflow_goes_by_name(notebook: Any) -> None:
    notebook.run("%start ship(1)")
    assert notebook.lab.calls[-1] == ("start", "ship", (1,), {})


def test_a_line_uses_the_names_of_its_function(notebook: Any) -> None:
    notebook.run("def go(k):\n    h = %start ship(k + 1)\n    return h\n")
    notebook.run("h = go(41)")
    assert notebook.lab.calls[-1] == ("start", "ship", (42,), {})


def test_a_comprehension_sees_the_names_of_its_function(notebook: Any) -> None:
    notebook.run("def go(k):\n    h = %start ship([k for _ in range(2)])\ngo(1)")
    assert notebook.lab.calls[-1] == ("start", "ship", ([1, 1],), {})


def test_json_names_give_way_to_variables(notebook: Any) -> None:
    notebook.run("true = 'mine'\n%start ship(true, false, null)")
    assert notebook.lab.calls[-1] == ("start", "ship", ("mine", False, None), {})


def test_attach_and_restart_let_a_cell_run_twice(notebook: Any) -> None:
    """The policies of the start do it, in one commit."""
    handle = notebook.run("%start ship(1) --id s-1 --attach --as h")
    assert handle is notebook.ns["h"]
    notebook.run("%start ship(1) --id s-1 --restart")
    policies = [call[3] for call in notebook.lab.calls if call[0] == "start"]
    assert policies == [{"id": "s-1", "id_reuse": "use_existing", "id_conflict": "use_existing"}, {"id": "s-1", "id_conflict": "terminate_existing"}]
    assert "stands for policies" in str(notebook.error("%start ship(1) --id s-1 --restart --id-conflict fail")[0])
    assert "--id-reuse needs --id" in str(notebook.error("%start ship(1) --id-reuse reject")[0])
    assert "--attach needs --id" in str(notebook.error("%start ship(1) --attach")[0])


FORK: dict[str, Any] = {"at": None, "signal": None, "result": None, "version": None}


@pytest.mark.parametrize(
    ("line", "call"),
    [
        ('%signal s-1 approval {"by": "ada"} --key k', ("signal", "s-1", ("approval", {"by": "ada"}), {"idempotency_key": "k"})),
        ("%signal h approval who", ("signal", "s-1", ("approval", "ada"), {"idempotency_key": None})),
        ("%signal (h) approval", ("signal", "s-1", ("approval", None), {"idempotency_key": None})),
        ("%%signal s-1 approval\n{'by':\n  who}", ("signal", "s-1", ("approval", {"by": "ada"}), {"idempotency_key": None})),
        ("%query s-1 status", ("query", "s-1", ("status",), {})),
        ("%query s-1 item(who, deep=true)", ("query", "s-1", ("item", "ada"), {"deep": True})),
        ("%query s-1 status --reject-if-closed", ("query", "s-1", ("status",), {"reject_if_closed": True})),
        ("%cancel s-1 --reason 'out of stock'", ("cancel", "s-1", ("out of stock",), {"children": False, "grace": None})),
        ("%cancel s-1 --grace 30", ("cancel", "s-1", (None,), {"children": False, "grace": 30})),
        ("%cancel s-1 --grace 1m30s --children", ("cancel", "s-1", (None,), {"children": True, "grace": "1m30s"})),
        ("%reopen s-1 --reason mended --version 3f2a", ("reopen", "s-1", ("mended",), {"version": "3f2a"})),
        ("%reopen --where vip=true --reason mended", ("reopen", "every run found", ("mended",), {"dry_run": False})),
        ("%fork s-1", ("fork", "s-1", (), {**FORK, "id": None})),
        ("%fork s-1 --at 12 --id f --version 3f2a", ("fork", "s-1", (), {**FORK, "at": 12, "id": "f", "version": "3f2a"})),
        ("%fork s-1 --at last_failure --signal approval=(who)", ("fork", "s-1", (), {**FORK, "at": "last_failure", "signal": ("approval", "ada"), "id": None})),
        ("%fork s-1 --result ship#0=5 --result 1=(who) --result @12=yes", ("fork", "s-1", (), {**FORK, "result": {"ship#0": 5, 1: "ada", "@12": "yes"}, "id": None})),
        ("%fork s-1 --at 1 --input (42, who=who)", ("fork", "s-1", (), {**FORK, "at": 1, "input": ((42,), {"who": "ada"}), "id": None})),
        ("%rewind s-1 --at 12 --reason oops", ("reset", "s-1", (), {**FORK, "at": 12, "reason": "oops"})),
        ("%aion reset s-1 --at end", ("reset", "s-1", (), {**FORK, "at": "end", "reason": None})),
        ("%start ship(2) --start-delay 30 --signal go=(who) --memo (who)",
         ("start", "ship", (2,), {"start_delay": 30, "signal": ("go", "ada"), "memo": "ada"})),
        ("%terminate s-1 --reason oops --details 'more'", ("terminate", "s-1", ("oops", "more"), {})),
        ("%pause s-1", ("pause", "s-1", (None,), {})),
        ("%resume s-1", ("resume", "s-1", (), {})),
        ("%suspend s-1", ("suspend", "s-1", (), {})),
        ("%aion pause s-1 --reason lunch", ("pause", "s-1", ("lunch",), {})),
        ("%timeline s-1", ("timeline", "s-1", (), {})),
        ("%runs status=Running amount=3", ("runs", {"status": "Running", "amount": 3})),
        ("%runs status = 'Running' AND amount > 3 LIMIT 2", ("runs", "status = 'Running' AND amount > 3 LIMIT 2")),
        ("%runs amount>3", ("runs", "amount>3")),
        ("%runs customer=(who)", ("runs", {"customer": "ada"})),
        ("%runs", ("runs", "")),
        ("%runs type = 'order' GROUP BY status", ("count", "type = 'order' GROUP BY status")),
        ("%count amount > 3 --by status", ("count", "amount > 3", "status")),
        ("%count status=Running --by type", ("count", {"group_by": "type", "status": "Running"})),
        ("%cancel --where \"type = 'order'\" --reason tidy --dry-run", ("cancel", "every run found", ("tidy",), {"children": False, "dry_run": True})),
        ("%aion cancel --where \"amount > 3\"", ("cancel", "every run found", (None,), {"children": False, "dry_run": False})),
        ("%terminate --where amount>3 --reason a --details b", ("terminate", "every run found", ("a", "b"), {"dry_run": False})),
        ("%pause --where vip=true --reason lunch", ("pause", "every run found", ("lunch",), {"dry_run": False})),
        ("%resume --where vip=true", ("resume", "every run found", (), {"dry_run": False})),
        ("%suspend --where vip=true --dry-run", ("suspend", "every run found", (), {"dry_run": True})),
        ("%forget --where (f\"id = '{who}'\") --reason old --dry-run", ("forget", "every run found", ("old",), {"dry_run": True})),
        ('%signal --where vip=true approval {"by": "ada"} --key k',
         ("signal", "every run found", ("approval", {"by": "ada"}), {"idempotency_key": "k", "dry_run": False})),
        ("%events --where vip=true --full", ("events", "every run found", (), {"full": True})),
        ("%settle --timeout 2m", ("settle", 2.0)),
        ("%clock skip 2d", ("skip", "2d")),
        ("%clock skip 90", ("skip", 90.0)),
        ("%clock next", ("next",)),
        ("%tree", ("tree",)),
        ("%supervision", ("supervision",)),
        ("%supervise orders order ship --strategy rest_for_one --intensity 5", ("supervise", "orders", ["order", "ship"], {"strategy": "rest_for_one", "intensity": 5})),
        ("%supervise order --runs temporary --period 5m --give-up fail", ("supervise", "order", None, {"runs": "temporary", "period": "5m", "give_up": "fail"})),
        ("%supervise --intensity 9", ("supervise", None, None, {"intensity": 9})),
        ("%supervise orders mail", ("supervise", "orders", [Supervisor("post", ["letter"])])),
        ("%supervise mail", ("supervise", Supervisor("post", ["letter"]), None)),
        ("%supervise orders --off", ("unsupervise", "orders")),
        ("%registry", ("registry",)),
        ("%queues", ("queues",)),
        ("%queue gpu", ("register_queue", "gpu", {"concurrency": None, "rate": None, "period": "1s", "priority": True})),
        ("%queue gpu --concurrency 2 --arrival", ("register_queue", "gpu", {"concurrency": 2, "rate": None, "period": "1s", "priority": False})),
        ("%aion queue gpu --rate 50 --period 1m", ("register_queue", "gpu", {"concurrency": None, "rate": 50, "period": "1m", "priority": True})),
        ("%versions order", ("versions", "order")),
        ("%aion", ("status",)),
        ("%aion status", ("status",)),
        ("%aion trust", ("trust",)),
        ("%aion code order", ("code", "order")),
    ],
)
def test_a_verb_is_one_call(notebook: Any, line: str, call: tuple[Any, ...]) -> None:
    notebook.ns.update(who="ada", mail=Supervisor("post", ["letter"]))
    notebook.run("%start ship(1) --id s-1 --as h")
    notebook.run(line)
    assert notebook.lab.calls[-1] == call


def test_what_verbs_answer(notebook: Any, capsys: pytest.CaptureFixture[str]) -> None:
    notebook.run("%start ship(1) --id s-1")
    assert notebook.run("%kill 5") == "pid 5 gone; o-1 comes back by replay (1 of 3 in 30 s)"
    assert notebook.run("%clock auto on") == "2020-01-01 00:00:00Z (virtual, auto)"
    assert notebook.lab.clock.auto is True
    assert notebook.run("%pause s-1") == "s-1: paused; %resume s-1 goes on"
    assert notebook.run("%pause s-1;") is None
    capsys.readouterr()
    notebook.run("%signal s-1 aproval 1")
    assert "recorded, but s-1 has not asked for 'aproval'; did you mean 'approval'?" in capsys.readouterr().out


def test_mistakes_are_real_errors_in_one_line(notebook: Any) -> None:
    notebook.run("%start ship(1) --id s-1")
    for cell, kind, message in [
        ("%signal s-1 approval yes", LineError, "yes is not defined; text needs quotes: 'yes'"),
        ("%signal s-1 approval ok-then", LineError, "ok is not defined; text needs quotes: 'ok-then'"),
        ("%start ship(yes)", LineError, "yes is not defined; text needs quotes: 'yes'"),
        ("%result s-2", RunNotFound, "there is no workflow 's-2'; did you mean 's-1'?"),
        ("%query s-1 status?", LineError, "IPython takes a '?' at the end for itself; help is %query -h, and text needs quotes: 'why?'"),
        ("%aion strat", LineError, "no verb strat; did you mean %aion start?"),
        ("%workflow order", LineError, "workflow takes a cell: %%workflow on its first line"),
        ("%supervise orders --strategy all", LineError, "--strategy is one_for_one or one_for_all or rest_for_one, not all"),
        ("%supervise orders --intensity many", LineError, "--intensity counts restarts, and 'many' is no number"),
        ("%cancel --where vip=true --grace 3s", LineError, "--grace goes with one run: %cancel o-1 --grace 30s"),
        ("%reopen --where vip=true --version 3f", LineError, "--version goes with one run: %reopen o-1 --version 3f2a91c"),
        ("%fork s-1 --signal a=1 --signal b=2", LineError, "--signal is given once: the others can be sent with %signal"),
        ("%fork s-1 --result ship=", LineError, "ship= needs a value"),
        ("%start ship(2) --id s-1 --id-reuse never", LineError, "--id-reuse is allow or allow_failed_only or reject or use_existing, not never"),
        ("%supervise orders mail --off", LineError, "--off takes one supervisor's name and nothing else"),
        ("%queue gpu --concurrency few", LineError, "--concurrency is a number, and 'few' is none"),
        ("%queue gpu --period 1m", LineError, "--period is the length that --rate is for: give both"),
        ("%kill many", LineError, "a pid is a number, and 'many' is none; %tree shows the live ones"),
        ("%cancel s-1 --reason 3 --because", LineError, "no option --because; %cancel has --reason, --children, --grace, --run, --where, --dry-run"),
        ("%cancel s-1 --dry-run", LineError, "--dry-run goes with --where FILTER: %cancel --where \"status = 'Running'\" --dry-run"),
        ("%cancel --where vip=true --run r", LineError, "--run names a run of one id; with --where, ask for run_id = '…'"),
        ("%events --where vip=true --json", LineError, "--json is the history of one id"),
        ("%settle --timeout soon", LineError, None),
        ("%clock forward", LineError, "%clock forward? write %clock, %clock skip 2d, %clock next or %clock auto on|off"),
        ("%start ship(id=3)", LineError, "id= is an option of the start, not an argument; pass it by position, or use --id"),
        ("%start ship(1) --as 2x", LineError, "--as 2x: not a variable name"),
    ]:
        error, shown = notebook.error(cell)
        assert type(error) is kind, cell
        assert message is None or str(error) == message
        assert shown == f"{kind.__name__}: {error}", cell
        assert type(error).__name__ != "UsageError"


def test_an_id_that_is_also_a_handle_variable_is_asked_about(notebook: Any) -> None:
    notebook.run("%start ship(1) --id s-1 --as h")
    notebook.run("%start ship(2) --id h")
    error, _ = notebook.error("%pause h")
    assert "write 'h' for the id, (h) for the handle" in str(error)
    notebook.run("%pause (h)")
    assert notebook.lab.calls[-1][1] == "s-1"
    notebook.run("%pause 'h'")
    assert notebook.lab.calls[-1][1] == "h"


def test_the_users_own_error_shows_the_users_own_frames(notebook: Any) -> None:
    notebook.run("def price(n):\n    return 1 / n")
    error, shown = notebook.error("%start ship(price(0))")
    assert isinstance(error, ZeroDivisionError)
    assert "1 / n" in shown and "run_line_magic" not in shown and "aionlab/lab" not in shown


def test_a_failed_run_shows_the_workflows_frames(notebook: Any) -> None:
    handle = notebook.run("%start ship(1) --id s-1")
    frames = '  File "order@3f2a91c", line 7, in order\n    raise ValueError("no stock")\n'
    handle.outcome = WorkflowFailedError("s-1", "r", "ValueError: no stock", Failure("ValueError", "no stock", traceback=frames))
    error, shown = notebook.error("%result s-1")
    assert isinstance(error, WorkflowFailedError)
    assert shown == frames + "\nWorkflowFailedError: s-1 failed: ValueError: no stock"


def test_a_long_wait_says_what_it_waits_for_once(notebook: Any, capsys: pytest.CaptureFixture[str]) -> None:
    notebook.run("%start ship(1) --id s-1")
    capsys.readouterr()
    error, shown = notebook.error("%result s-1 --timeout 10s")
    assert isinstance(error, ResultTimeout) and error.seconds == 10
    assert [call for call in notebook.lab.calls if call[0] == "result"] == [("result", "s-1", 2.0), ("result", "s-1", 8.0)]
    assert capsys.readouterr().out.count("s-1 waits for signal 'approval' (order@3f2a91c:7) · ■ stops waiting, not the run") == 1
    notebook.error("%result s-1 --timeout 1")
    assert capsys.readouterr().out == ""


def test_an_interrupted_wait_says_that_the_run_goes_on(notebook: Any) -> None:
    notebook.run("%start ship(1) --id s-1").interrupt = True
    error, shown = notebook.error("%result s-1")
    assert isinstance(error, KeyboardInterrupt) and shown == "KeyboardInterrupt: the wait stopped; s-1 goes on"


def test_an_interrupted_start_is_withdrawn_or_bound(notebook: Any) -> None:
    notebook.lab.interrupt_start = "withdrawn"
    error, shown = notebook.error("%start ship(1) --id s-1 --as h")
    assert isinstance(error, KeyboardInterrupt) and shown.endswith("nothing was started") and "h" not in notebook.ns
    notebook.lab.interrupt_start = "taken"
    error, shown = notebook.error("%start ship(1) --id s-1 --as h")
    assert isinstance(error, KeyboardInterrupt) and shown.endswith("s-1 was started") and notebook.ns["h"].id == "s-1"


# --- %%workflow ------------------------------------------------------------------------------------------------------


def test_a_cell_defines_its_last_workflow(notebook: Any) -> None:
    card = notebook.run(ORDER + "@workflow\nasync def ship(o):\n    return o\n")
    assert card == "card of ship"
    assert [definition.name for definition, _ in notebook.lab.defined] == ["order", "ship"]
    assert notebook.run(ORDER.replace("%%workflow", "%%workflow order") + "@workflow\nasync def ship(o):\n    return o\n") == "card of order"
    assert notebook.lab.defined[-1][1] is notebook.session.ledger


def test_a_plain_async_def_is_the_workflow_of_its_cell(notebook: Any) -> None:
    assert notebook.run("%%workflow\nasync def lone(n):\n    return n\n") == "card of lone"
    assert notebook.ns["lone"].aion_kind == "workflow"


def test_a_cell_defines_and_starts(notebook: Any, capsys: pytest.CaptureFixture[str]) -> None:
    handle = notebook.run(ORDER.replace("%%workflow", "%%workflow --start (42, rush=True) --id o-1 --as h"))
    assert handle.id == "o-1" and notebook.ns["h"] is handle
    assert notebook.lab.calls[-1] == ("start", "order", (42,), {"id": "o-1", "rush": True})
    assert "card of order" in capsys.readouterr().out


def test_getsource_and_the_ledger_know_the_cell(notebook: Any) -> None:
    notebook.run(ORDER)
    assert inspect.getsource(notebook.ns["order"].fn).startswith("@workflow\nasync def order(n, rush=False):\n    return n")
    source, filename, label = next(noted for noted in reversed(notebook.session.ledger.noted) if "async def order" in noted[0] and noted[0].startswith("\n"))
    assert notebook.ns["order"].fn.__code__.co_filename == filename and label.startswith("In[")
    assert notebook.ns["order"].fn.__code__.co_firstlineno == 2
    notebook.run("def tax(n):\n    return n * 2\n")
    assert notebook.session.ledger.noted[-1][0] == "def tax(n):\n    return n * 2\n"


def test_a_traceback_shows_the_cell_once_with_its_own_lines(notebook: Any) -> None:
    error, shown = notebook.error("%%workflow\nx = 1\n\ndef f():\n    return x / 0\n\nf()\n")
    number = notebook.number
    assert isinstance(error, ZeroDivisionError)
    assert shown.count(f"Cell In[{number}], line 7") == 1 and shown.count(f"Cell In[{number}], line 5") == 1
    assert shown.count("Cell In[") == 2 and "run_cell_magic" not in shown


def test_a_syntax_error_shows_the_users_lines_only(notebook: Any) -> None:
    error, shown = notebook.error("%%workflow\n@workflow\nasync def order(n:\n    return n\n")
    number = notebook.number
    assert type(error) is CellSyntaxError
    assert shown.splitlines()[0] == f"  Cell In[{number}], line 3"
    assert shown.splitlines()[1] == "    async def order(n:"
    assert "IPython" not in shown and shown.splitlines()[-1] == "SyntaxError: '(' was never closed"


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("%%workflow\n\n@workflow\ndef order(n):\n    return n\n", "order is a plain function; make it `async def order(…)` (line 3)"),
        ("%%workflow\ndef order(n):\n    return n\n", "order is a plain function; make it `async def order(…)`"),
        ("%%workflow ordr\n@workflow\nasync def order(n): ...\n", "the cell defines no workflow 'ordr'; it defines order"),
        ("%%workflow\nx = 1\n", "the cell defines no workflow; write one: async def order(n): …"),
        ("%%workflow --id o-1\nasync def order(n): ...\n", "--id needs --start: the cell defined order, and started nothing"),
        ("%%workflow\nasync def order(n): ...\nawait order(1)\n", "await stands in an `async def`; a %%workflow cell only defines, so await in the next cell"),
        ("%%tree\nx\n", None),
    ],
)
def test_a_cell_without_a_workflow_says_so_in_a_line(notebook: Any, cell: str, message: str | None) -> None:
    error, shown = notebook.error(cell)
    if message is not None:
        assert shown.splitlines()[-1].partition(": ")[2] == message


# --- help and names --------------------------------------------------------------------------------------------------


def test_every_verb_has_help_and_stands_in_the_table(notebook: Any) -> None:
    table = str(notebook.run("%aion help"))
    for name, entry in VERBS.items():
        assert entry.summary.endswith((".", ".)", "again.")) or entry.summary, name
        assert entry.usage.split(" ")[0] in table and entry.summary in table, name
        if entry.own and entry.line:
            assert notebook.run(f"%{name} -h") == (notebook.run("%aion help") if name == "aion" else entry.help)
        if entry.line:
            text = str(notebook.run(f"%aion help {name}"))
            assert text.startswith(entry.usage) and "-h" in text
            for option in entry.shape.options:
                assert option.usage in text and option.help
        for kind in ("line", "cell"):
            found = notebook.shell.magics_manager.magics[kind].get(name)
            if entry.own and getattr(entry, kind):
                assert found.__doc__ == entry.help


def test_help_of_a_cell_magic(notebook: Any) -> None:
    assert notebook.run("%%workflow -h\n1\n") == VERBS["workflow"].help
    assert notebook.run("%workflow -h") == notebook.run("%aion workflow -h") == VERBS["workflow"].help


def test_ipythons_own_magics_are_never_overridden(plain_shell: Any) -> None:
    manager = plain_shell.magics_manager.magics
    assert not {name for entry in VERBS.values() if entry.own for name in [entry.name] if name in manager["line"] or name in manager["cell"]}


def test_automagic_leaves_our_names_to_python(notebook: Any) -> None:
    notebook.ns.update(result=41, step=1, kill=5)
    assert notebook.run("result") == 41
    assert notebook.run("step += 1\nstep") == 2
    prefilter = notebook.shell.prefilter_manager.prefilter_line
    for line in ("result", "result = 3", "kill 5", "start order(42)", "signal.alarm(1)", "runs", "clock.now()", "result + 1", "tree[0]"):
        assert prefilter(line) == line
    assert "run_line_magic" in prefilter("timeit 1")
    error, _ = notebook.error("settle")
    assert isinstance(error, NameError)


def test_a_question_about_a_magic_is_still_ipythons(notebook: Any, capsys: pytest.CaptureFixture[str]) -> None:
    notebook.run("%start?")
    transform = notebook.shell.transform_cell
    assert "pinfo" in transform("%start?") and "pinfo" in transform("%%workflow?") and "pinfo" in transform("len?")
    assert transform("%query o-1 status?") == "get_ipython().run_line_magic('query', 'o-1 status?')\n"
    assert transform("%query o-1 status # why?") == "get_ipython().run_line_magic('query', 'o-1 status # why?')\n"
    assert transform("if x:\n    %query o-1 a?\n    y = 1\n") == "if x:\n    get_ipython().run_line_magic('query', 'o-1 a?')\n    y = 1\n"


def test_completion(notebook: Any) -> None:
    from IPython.core.completer import provisionalcompleter

    notebook.run(ORDER)
    notebook.run("%start order(1) --id o-1 --as first")
    notebook.run("%start order(1) --id o:2")

    def complete(text: str) -> list[str]:
        with provisionalcompleter():
            return [text[: c.start] + c.text for c in notebook.shell.Completer.completions(text, len(text))]

    assert complete("%start or") == ["%start order"]
    assert complete("%start ") == ["%start order", "%start ship"]
    assert complete("%start order(1) --a") == ["%start order(1) --as", "%start order(1) --attr", "%start order(1) --attach"]
    assert complete("%start order(1) --id x --i") == ["%start order(1) --id x --id-reuse", "%start order(1) --id x --id-conflict"]
    assert complete("%start order(1) --id x --id-reuse u") == ["%start order(1) --id x --id-reuse use_existing"]
    assert complete("%fork o-1 --at l") == ["%fork o-1 --at last_failure"]
    assert complete("%reo") == ["%reopen"] and complete("%reopen o-") == ["%reopen o-1"] and complete("%rewind fi") == ["%rewind first"]
    assert complete("%fork o-1 --r") == ["%fork o-1 --result", "%fork o-1 --run"]
    assert complete("%result o") == ["%result o-1", "%result o:2"]
    assert complete("%result o-") == ["%result o-1"]
    assert complete("%result o:") == ["%result o:2"]
    assert complete("%result fi") == ["%result first"]
    assert complete("%signal o-1 ap") == ["%signal o-1 approval"]
    assert complete("%signal first no") == ["%signal first note"]
    assert complete("%query o-1 st") == ["%query o-1 status"]
    assert complete("%update o-1 ") == ["%update o-1 set_qty", "%update o-1 pay"]
    assert complete("%update o-1 set_qty(5) --t") == ["%update o-1 set_qty(5) --timeout"]
    assert complete("%supervise or") == ["%supervise orders", "%supervise order"]
    assert complete("%queue ") == ["%queue default", "%queue gpu"] and complete("%queue gpu --con") == ["%queue gpu --concurrency"]
    assert complete("%supervise orders sh") == ["%supervise orders ship"]
    assert complete("%supervise orders ship --strategy re") == ["%supervise orders ship --strategy rest_for_one"]
    assert complete("%supervise orders --give") == ["%supervise orders --give-up"]
    assert complete("%aion ta") == ["%aion takeover"]
    assert complete("%aion pause o-") == ["%aion pause o-1"]
    assert complete("%runs sta") == ["%runs status", "%runs start_time"]
    assert complete("%runs status = 'R") == ["%runs status = 'Running'"]
    assert complete("%runs amount > 3 A") == ["%runs amount > 3 AND"]
    assert complete("%runs customer = ") == ["%runs customer = 'acme'"]
    assert complete("%runs type = 'order' AND id = 'o-") == ["%runs type = 'order' AND id = 'o-1'"]
    assert complete("%count --by am") == ["%count --by amount"]
    assert complete("%cancel --where \"status IN ('F") == ["%cancel --where \"status IN ('Failed'"]
    assert complete("%cancel --where \"amount = 3\" --dr") == ["%cancel --where \"amount = 3\" --dry-run"]
    assert complete("x = %clock au") == ["x = %clock auto"]
    assert complete("%clock auto o") == ["%clock auto on", "%clock auto off"]
    assert complete("%%workflow --at") == ["%%workflow --attr", "%%workflow --attach"]
    assert "%whos" in complete("%who")


# --- the session -----------------------------------------------------------------------------------------------------


def test_settings(notebook: Any) -> None:
    notebook.run("%config AionMagics.notice_after = 5")
    assert notebook.session.notice.after == 5
    assert "aionlab: lab.db" in str(notebook.run("%aion --seed 7 --clock virtual"))
    assert notebook.lab.options == {"clock": "virtual", "deterministic": 7, "takeover": False}


def test_open_and_close(notebook: Any) -> None:
    first = notebook.lab
    assert str(notebook.run("%aion open 02.db")).startswith("aionlab: 02.db")
    assert notebook.ns["lab"] is notebook.lab and notebook.lab.path == "02.db" and first.closed
    assert "02.db is closed" in str(notebook.run("%aion close"))
    assert "lab" not in notebook.ns
    assert str(notebook.error("%start ship(1)")[0]).startswith("the lab is closed: %aion open")
    notebook.run("%aion open")
    notebook.run("%start ship(1)")
    assert notebook.lab.path == "lab.db" and notebook.ns["lab"] is notebook.lab


def test_the_variable_lab_says_which_lab(notebook: Any) -> None:
    other = notebook.session.opener("other.db")
    notebook.ns["lab"] = other
    notebook.run("%start ship(1)")
    assert other.calls[-1][0] == "start"


def test_loading_never_takes_a_name_of_the_users(plain_shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from aionlab.lab import session
    from tests.lab.fake_lab import Ledger, Opener

    plain_shell.reset(new_session=False)
    plain_shell.user_ns.update(lab="mine", workflow="theirs")
    try:
        session.load(plain_shell, Opener(), Ledger())
        assert plain_shell.user_ns["lab"] == "mine" and plain_shell.user_ns["workflow"] == "theirs"
        assert callable(plain_shell.user_ns["activity"])
    finally:
        session.unload_ipython_extension(plain_shell)
    assert plain_shell.user_ns["lab"] == "mine" and "activity" not in plain_shell.user_ns


def test_a_second_notebook_looks_on_and_is_told_the_ways_out(plain_shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from aionlab.lab import session
    from tests.lab.fake_lab import Ledger, Opener

    plain_shell.reset(new_session=False)
    try:
        loaded = session.load(plain_shell, Opener(readonly=True), Ledger())
        assert capsys.readouterr().out == "lab.db belongs to kernel 4711; this notebook looks on: `%aion open 02.db` or `%aion takeover`\n"
        plain_shell.run_cell("%aion takeover").raise_error()
        assert not loaded.lab.readonly
    finally:
        session.unload_ipython_extension(plain_shell)


def test_environment(plain_shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from aionlab.lab import session
    from tests.lab.fake_lab import Ledger, Opener

    monkeypatch.setenv("AIONLAB_DB", ":memory:")
    monkeypatch.setenv("AIONLAB_DETERMINISTIC", "1")
    plain_shell.reset(new_session=False)
    try:
        lab = session.load(plain_shell, Opener(), Ledger()).lab
        assert lab.path == ":memory:" and lab.options == {"clock": "virtual", "deterministic": 1, "takeover": False}
    finally:
        session.unload_ipython_extension(plain_shell)


def test_unloading_leaves_nothing_behind(plain_shell: Any) -> None:
    from aionlab.lab import session
    from tests.lab.fake_lab import Ledger, Opener

    plain_shell.reset(new_session=False)

    def picture() -> dict[str, Any]:
        return {
            "dir": dir(plain_shell),
            "line": sorted(plain_shell.magics_manager.magics["line"]), "cell": sorted(plain_shell.magics_manager.magics["cell"]),
            "registry": sorted(plain_shell.magics_manager.registry),
            "matchers": list(plain_shell.Completer.custom_matchers),
            "checkers": list(plain_shell.prefilter_manager.checkers),
            "transformers": list(plain_shell.input_transformer_manager.token_transformers),
            "events": {name: list(hooks) for name, hooks in plain_shell.events.callbacks.items()},
            "names": sorted(plain_shell.user_ns), "hidden": sorted(plain_shell.user_ns_hidden),
            "configurables": len(plain_shell.configurables),
            "threads": sorted(thread.name for thread in threading.enumerate()),
        }

    before = picture()
    for _ in range(2):
        loaded = session.load(plain_shell, Opener(), Ledger())
        lab = loaded.lab
        assert picture() != before
        session.unload_ipython_extension(plain_shell)
        assert lab.closed
        assert picture() == before


def test_our_names_do_not_show_in_who(notebook: Any, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    notebook.run("mine = 1")
    notebook.run("%who")
    assert capsys.readouterr().out.split() == ["mine"]


def test_a_name_another_extension_has_is_left_to_it(plain_shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from aionlab.lab import session
    from tests.lab.fake_lab import Ledger, Opener

    plain_shell.reset(new_session=False)
    plain_shell.register_magic_function(lambda line: "theirs", "line", "tree")
    try:
        session.load(plain_shell, Opener(), Ledger())
        assert "another extension" in capsys.readouterr().out
        assert plain_shell.run_cell("%tree").result == "theirs"
        assert plain_shell.run_cell("%aion tree").result == "tree shown"
    finally:
        session.unload_ipython_extension(plain_shell)
    assert plain_shell.run_cell("%tree").result == "theirs"
    del plain_shell.magics_manager.magics["line"]["tree"]


def test_importing_aionlab_imports_no_ipython() -> None:
    import subprocess
    import sys

    code = "import sys, aionlab; print(sorted(m for m in sys.modules if m.split('.')[0] in ('IPython', 'ipykernel', 'pandas', 'traitlets')))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


# --- updates ---------------------------------------------------------------------------------------------------------


def test_an_update_is_sent_and_its_result_awaited(notebook: Any) -> None:
    notebook.ns["who"] = "ada"
    notebook.lab.start("order", id="o-1").outcome = 41
    notebook.lab.calls.clear()
    assert notebook.run("%update o-1 set_qty(5, by=who) --id u-1 --timeout 3s") == 41
    assert notebook.lab.calls == [("update", "o-1", ("set_qty", 5), {"by": "ada", "update_id": "u-1"}), ("result", "update of o-1", 3.0)]
    assert notebook.run("%aion update o-1 pay") == 41


def test_an_interrupted_update_says_that_it_goes_on(notebook: Any) -> None:
    notebook.lab.start("order", id="o-1").interrupt = True
    error, shown = notebook.error("%update o-1 set_qty(5)")
    assert isinstance(error, KeyboardInterrupt) and "update of o-1 goes on" in shown
