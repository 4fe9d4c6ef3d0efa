"""Tab in a magic's line: options, workflow names, ids, signal and query names. Other completions are kept out of those lines."""
from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from aionlab.core.filters import Field
from aionlab.core.filters.hints import completions
from aionlab.replay.branches import END, LAST_FAILURE

from .desk import split
from .grammar import Slot
from .schedules import ACTIONS
from .verbs import VERBS, Verb, is_handle

if TYPE_CHECKING:
    from .session import Session

_LINE = re.compile(r"\s*(?:[\w.]+\s*=\s*)?(%{1,2})(\w+)\s(.*)$", re.DOTALL)
_WHERE = re.compile(r"""--where(?:\s+|=)(["'])((?:(?!\1).)*)$""")
_CLOCK = ("skip", "next", "auto")


class Matcher:
    """IPython's v2 completion matcher over one session."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def matcher(self) -> Callable[[Any], Any]:
        from IPython.core.completer import SimpleCompletion, context_matcher

        @context_matcher()  # type: ignore[untyped-decorator]
        def aionlab_matcher(context: Any) -> Any:
            found = self.complete(context.text_until_cursor, context.cursor_line)
            if found is None:
                return {"completions": [], "suppress": False}
            fragment, texts = found
            cut = max(0, len(fragment) - len(context.token)) if fragment.endswith(context.token) else 0
            # A fragment nothing fits completes to itself: without a completion IPython would offer Python names here.
            shown = [SimpleCompletion(text[cut:], type="param") for text in texts or [fragment] if text]
            return {"completions": shown, "suppress": bool(shown), "matched_fragment": fragment[cut:], "ordered": True}

        return aionlab_matcher  # type: ignore[no-any-return]  # IPython's decorator is untyped

    def complete(self, text: str, line: int = 0) -> tuple[str, list[str]] | None:
        """(what stands before the cursor, what it can become), or None when the text is no line of ours."""
        found = _LINE.match(text)
        if found is None:
            return None
        sign, name, rest = found.groups()
        entry = VERBS.get(name)
        if entry is None or not entry.own or (sign == "%%" and line):
            return None
        if name == "aion":
            verb, after = split(rest)
            if " " not in rest.lstrip() and not rest.startswith("-"):
                return _starting(rest.strip(), VERBS)
            if verb not in VERBS:
                return None
            entry, rest = VERBS[verb], (after + " " * (rest.endswith(" ") and bool(after)) if verb != "aion" else rest)
        return self._verb(entry, rest)

    def _verb(self, entry: Verb, rest: str) -> tuple[str, list[str]] | None:
        where = _WHERE.search(rest)
        if where is not None and entry.shape.option("where") is not None:
            return self._filter(where[2])
        words = rest.split()
        fragment = words.pop() if words and not rest[-1].isspace() else ""
        if fragment.startswith("-"):
            used = {word.partition("=")[0] for word in words}
            options = [f"--{o.name}" for o in entry.shape.options if o.kind == "pair" or f"--{o.name}" not in used]
            return _starting(fragment, [*options, "--help"])
        option = entry.shape.option(words[-1][2:]) if words and words[-1].startswith("--") else None
        if option is not None and option.kind != "flag":
            if option.choices:
                return _starting(fragment, option.choices)
            if option.name == "at" and entry.name in ("fork", "rewind", "reset"):
                return _starting(fragment, (LAST_FAILURE, END))
            if option.name == "by" and entry.name == "count":
                return _starting(fragment, self._ask("filter_words"))
            return _starting(fragment, self._ids()) if option.name == "id" and entry.name == "start" else None
        if any(slot.kind == "filter" for slot in entry.shape.slots):
            return self._filter(rest)
        given = _positional(entry, words)
        slot = _slot(entry, len(given))
        return None if slot is None else self._slot(entry, slot, given, fragment)

    def _slot(self, entry: Verb, slot: Slot, given: list[str], fragment: str) -> tuple[str, list[str]] | None:
        match slot.name:
            case "ID":
                return _starting(fragment, [*self._ids(), *self._handles()])
            case "NAME" if entry.name == "schedule":
                return _starting(fragment, [*self._ask("schedule_names"), *ACTIONS])
            case "WORKFLOW" if entry.name == "schedule" and given[0] in ACTIONS:
                return _starting(fragment, self._ask("schedule_names") if len(given) == 1 else ())
            case "WORKFLOW" if "(" not in fragment:
                return _starting(fragment, self._workflows())
            case "SUPERVISOR":
                return _starting(fragment, [*(spec.name for spec in self._ask("supervisors")), *self._workflows()])
            case "NAME" if entry.name == "signal":
                return _starting(fragment, self._names("signal_names", given[0]))
            case "NAME" if entry.name == "query" and "(" not in fragment:
                return _starting(fragment, self._names("query_names", given[0]))
            case "NAME" if entry.name == "update" and "(" not in fragment:
                return _starting(fragment, self._names("update_names", given[0]))
            case "QUEUE":
                return _starting(fragment, self._ask("queue_names"))
            case "VERB":
                return _starting(fragment, VERBS)
            case "WHAT":
                return _starting(fragment, ("on", "off") if given[-1:] == ["auto"] else _CLOCK if not given else ())
            case _:
                return None

    def _filter(self, text: str) -> tuple[str, list[str]]:
        """The end of a filter: fields, words of the language, and texts that fields are known to have."""
        return completions(text, dict(self._ask("search_attributes")), self._known)

    def _known(self, field: Field) -> list[str]:
        match field.name:
            case "type" if not field.attribute:
                return self._workflows()
            case "id" if not field.attribute:
                return self._ids()
            case _:
                return [str(text) for text in self._ask("known_texts", field)]

    def _ids(self) -> list[str]:
        return [str(found) for found in self._ask("ids")]

    def _workflows(self) -> list[str]:
        names = [name for name, value in self.session.shell.user_ns.items() if getattr(value, "aion_kind", None) == "workflow"]
        return [*names, *(name for name in self._ask("workflow_types") if name not in names)]

    def _handles(self) -> list[str]:
        return [name for name, value in self.session.shell.user_ns.items() if is_handle(value) and not name.startswith("_")]

    def _names(self, method: str, target: str) -> list[str]:
        held: Any = self.session.shell.user_ns.get(target)
        return [str(name) for name in self._ask(method, held.id if is_handle(held) else target)]

    def _ask(self, method: str, *args: Any) -> Iterable[Any]:
        """What the lab answers; nothing when it cannot (a completion never fails)."""
        try:
            return list(getattr(self.session.lab, method)(*args))
        except Exception:  # noqa: BLE001 - whatever is wrong, the magic itself will say it
            return []


def _starting(fragment: str, names: Iterable[str]) -> tuple[str, list[str]]:
    return fragment, [name for name in dict.fromkeys(names) if name.startswith(fragment)]


def _positional(entry: Verb, words: list[str]) -> list[str]:
    """The words that are neither options nor their values."""
    given, skip = [], False
    for word in words:
        if skip:
            skip = False
        elif word.startswith("--"):
            option = entry.shape.option(word[2:])
            skip = option is not None and option.kind != "flag"
        else:
            given.append(word)
    return given


def _slot(entry: Verb, count: int) -> Slot | None:
    slots = entry.shape.slots
    if count < len(slots):
        return slots[count]
    return slots[-1] if slots and slots[-1].kind == "words" else None
