"""What a function needs to run elsewhere: its global names, followed through definitions until everything is text, value or import.

Nothing is decided by what the code does, only by what its names are bound to now. What cannot be kept becomes a finding; with
`live_allowed` (activities) its name is left to the notebook instead.
"""
from __future__ import annotations

import ast
import builtins
import sys
import types
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from aionlab.core.running import ChildOptions

from . import modules, refuse
from .canonical import canonical
from .findings import Findings
from .imports import Imports
from .ledger import Ledger, Statement
from .needs import Needs
from .package import Code, Definition, Inner, bare_function, inner_candidates
from .parsing import parse
from .scope import Imported, Read, uses
from .signatures import signature_of
from .statements import class_statement, decorated, definer, lambda_name, made_by, only_by_statement, which
from .values import Json, NotAValue, encode

_OF_THE_MODULE = frozenset({"__name__", "__file__", "__doc__", "__builtins__", "__debug__", "__package__", "__spec__", "__loader__"})

_ABSENT: Any = object()
_FUTURE_ANNOTATIONS = 0x1000000


class Bond(NamedTuple):
    """A global name and what it was bound to when the code was captured."""

    name: str
    value: Any


class Reach:
    """Everything reached from one function, in the order it was found."""

    def __init__(self, namespace: Mapping[str, Any], ledger: Ledger, *, live_allowed: bool = False) -> None:
        self.namespace, self.ledger, self.live_allowed = namespace, ledger, live_allowed
        self.home = str(namespace.get("__name__", "__main__"))
        self.names: dict[str, Json] = {}
        self.codes: list[Code] = []
        self.texts: list[str] = []
        """Canonical texts of the codes."""
        self.definitions: list[Definition] = []
        self._imports = Imports(namespace, ledger, self.home)
        self.modules = self._imports.modules
        self._findings = Findings()
        self.files, self.findings = self._findings.files, self._findings.found
        self.live: dict[str, None] = {}
        """Names left to the notebook."""
        self.bonds: list[Bond] = []
        self.originals: dict[int, Any] = {}
        """Live function or class by number of its code, for closures that no name leads to."""
        self._needs = Needs()
        self.made: dict[int, tuple[Any, Json]] = {}
        """Live object and the reference that stands for it, by the object's id."""
        self._numbers: dict[tuple[int, int], int] = {}
        self._pending: list[Callable[[], None]] = []
        self._collected: list[int] = []
        self._done: set[str] = set()

    # --- the way through --------------------------------------------------------------------------------------------

    def entry(self, fn: types.FunctionType) -> Json:
        """Reference to a definition's bare function, with everything it needs reached. Raises NotAValue when it has no source."""
        reference = self._function(fn, None, entry=True)
        while self._pending:
            self._pending.pop(0)()
        return reference

    def order(self) -> tuple[int, ...]:
        """The order in which the codes can run."""
        return self._needs.order(len(self.codes))

    def _follow(self, number: int, statement: Statement, reads: list[Read], assigned: list[tuple[str, int]], imports: list[Imported]) -> None:
        now = [read.name for read in reads if read.now]
        later = [read.name for read in reads if not read.now]
        if number >= 0:
            known = self._needs.of_code.setdefault(number, ([], [], []))
            known[0].extend(now)
            known[1].extend(later)
        for read in reads:
            self._name(read, statement)
        if not self.live_allowed:
            for name, line in assigned:
                self._findings.add(statement, line, refuse.assigned(name, self._findings.where(statement, line)))
        for imported in imports:
            for name in modules.named_by(imported, str(self.namespace.get("__package__") or "")):
                self._imports.take_in(name)

    def _name(self, read: Read, statement: Statement) -> None:
        name = read.name
        if name in self._done or name in _OF_THE_MODULE:
            coded = self.names.get(name)
            if read.path and isinstance(coded, list) and coded[0] == "import" and not coded[2]:
                self._imports.note_submodules(coded, read.path)
            return
        value = self.namespace.get(name, _ABSENT)
        where = self._findings.where(statement, read.line)
        if not self.live_allowed:
            banned = refuse.forbidden(name, value, value is not _ABSENT)
            if banned is not None:
                self._done.add(name)
                self._findings.add(statement, read.line, refuse.not_allowed(banned, where))
                return
        if value is _ABSENT or hasattr(builtins, name) and refuse.of_the_shell(value):  # IPython has an `open` of its own
            if hasattr(builtins, name):
                self._done.add(name)
            elif read.annotation:
                return
            elif self.live_allowed:
                self._leave(name)
            else:
                self._done.add(name)
                self._findings.add(statement, read.line, refuse.undefined(name, where))
            return
        before, self._collected = self._collected, []
        try:
            coded = encode(value, lambda part: self._refer(part, name if part is value else None))
            size = len(repr(coded)) if isinstance(coded, list) and coded[0] not in ("import", "made", "definition") else 0
            if size > refuse.VALUE_LIMIT and not self.live_allowed:
                self._done.add(name)
                self._findings.add(statement, read.line, refuse.too_large(name, value, size, where))
                return
        except NotAValue as refused:
            if read.annotation and (statement.annotations or not read.now):
                return
            if self.live_allowed:
                self._leave(name)
                return
            self._done.add(name)
            self._findings.add(statement, read.line, refuse.not_kept(name, refused.path, refused.value, refused.why, where))
            return
        except RecursionError:
            self._done.add(name)
            self._findings.add(statement, read.line, refuse.not_kept(name, "", value, "is nested too deeply to be kept", where))
            return
        else:
            self._needs.of_name[name] = self._collected
        finally:
            self._collected = before
        self._done.add(name)
        self.names[name] = coded
        self.bonds.append(Bond(name, value))
        if isinstance(coded, list) and coded[0] == "import" and not coded[2]:
            self._imports.note_submodules(coded, read.path)

    def _leave(self, name: str) -> None:
        self._done.add(name)
        self.live[name] = None

    # --- references -------------------------------------------------------------------------------------------------

    def _refer(self, value: Any, name: str | None) -> Json:
        """The JSON that stands for a live object that is no value. Raises NotAValue."""
        if isinstance(value, types.ModuleType):
            return self._imports.module(value)
        known = self.made.get(id(value))
        if known is not None:
            reference = known[1]
        else:
            reference = self._new_reference(value, name)
            self.made[id(value)] = (value, reference)
        if reference[0] == "made":
            self._collected.append(reference[1])
        return reference

    def _new_reference(self, value: Any, name: str | None) -> Json:
        kind = getattr(type(value), "aion_kind", None)
        if kind is not None:
            return self._definition(value, str(kind), name)
        if isinstance(value, types.FunctionType):
            return self._function(value, name)
        if isinstance(value, type):
            return self._class(value, name)
        found = self._imports.importable(value, name)
        if found is not None:
            return found
        owner = getattr(value, "__self__", None) if isinstance(value, types.MethodType | types.BuiltinFunctionType) else None
        if isinstance(owner, type):  # now = datetime.now
            kind_of_reference, place, path, *rest = self._refer(owner, None)
            return [kind_of_reference, place, f"{path}.{value.__name__}", *rest]
        if only_by_statement(value):
            return self._by_statement(value, name)
        raise NotAValue(value)

    def _definition(self, value: Any, kind: str, label: str | None) -> Json:
        fn = getattr(value, "fn", None)
        if self.live_allowed and kind == "activity" and isinstance(fn, types.FunctionType):  # an ordinary call, inside an activity
            if fn.__globals__ is self.namespace:
                return self._function(fn, None, entry=True)
            imported = self._imports.importable(value, label)
            if imported is not None:
                return imported
        name = str(value.name)
        if kind == "workflow" and value.options != ChildOptions():
            raise NotAValue(value, why=f"is {name} with options, and a version refers to other workflows by name alone")
        if kind == "activity" and value.altered:
            raise NotAValue(value, why=f"is {name} with options, and a version refers to activities by name alone")
        signature, statement = signature_of(value, fn, kind, self.namespace, self.ledger)
        number = len(self.definitions)
        self.definitions.append(Definition(kind, name, signature))
        if statement is not None:
            stub = parse(signature + ": ...").body[0]
            reads = [read._replace(line=statement.line, now=False) for read in uses(stub).reads if read.annotation]
            self._pending.append(lambda: self._follow(-1, statement, reads, [], []))
        return ["definition", number]

    # --- code -------------------------------------------------------------------------------------------------------

    def _function(self, fn: types.FunctionType, name: str | None, entry: bool = False) -> Json:
        code = fn.__code__
        if not entry:
            found = self._imports.importable(fn, name)
            if found is not None:
                return found
        if hasattr(fn, "registry") and hasattr(fn, "dispatch") and hasattr(fn, "__wrapped__"):
            return self._dispatcher(fn, name)
        named = self.ledger.statement_of(self.namespace, name) if name else None
        if fn.__globals__ is not self.namespace:
            module = str(fn.__globals__.get("__name__"))
            if named is not None and decorated(named, name):
                return self._whole(named, str(name), fn)
            if modules.user_module(module) is not None and vars(sys.modules[module]) is fn.__globals__:
                self._imports.take_in(module)
                return self._inner(fn, module)
            return self._by_statement(fn, name)
        statement = self.ledger.statement_at(code.co_filename, code.co_firstlineno)
        if "<locals>" not in fn.__qualname__ and statement is not None:
            node = statement.node
            root = fn.__qualname__.partition(".")[0]
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == code.co_name:
                dropped = definer(node, self.namespace) if entry else 0
                if len(node.decorator_list) == dropped or name is not None or entry:
                    return self._whole(statement, node.name, fn, dropped)
            elif code.co_name == "<lambda>":
                bound = lambda_name(node)
                if bound is not None:
                    return self._whole(statement, bound, fn)
            elif root in statement.binds:
                return self._whole(statement, fn.__qualname__, fn)
        if named is not None and named is not statement and decorated(named, name):
            return self._whole(named, str(name), fn)
        if statement is None:
            raise NotAValue(fn)
        return self._inner(fn, "", statement)

    def _dispatcher(self, fn: Any, name: str | None) -> Json:
        """A singledispatch function, with the statements that register its implementations."""
        original = fn.__wrapped__
        if original.__globals__ is not self.namespace:
            return self._by_statement(fn, name)
        statement = self.ledger.statement_at(original.__code__.co_filename, original.__code__.co_firstlineno)
        if statement is None:
            raise NotAValue(fn)
        reference = self._whole(statement, original.__name__, fn)
        self.made[id(fn)] = (fn, reference)
        registered = sorted(fn.registry.items(), key=lambda pair: (pair[0].__module__, pair[0].__qualname__))
        for _, implementation in registered:
            code = getattr(implementation, "__code__", None)
            place = self.ledger.statement_at(code.co_filename, code.co_firstlineno) if code is not None else None
            if place is not None and place is not statement and implementation.__globals__ is self.namespace:
                effect = self._number(place, 0)
                known = self._needs.effects.setdefault(reference[1], [])
                if effect not in known:
                    known.append(effect)
        return reference

    def _class(self, cls: type, name: str | None) -> Json:
        found = self._imports.importable(cls, name)
        if found is not None:
            return found
        root = cls.__qualname__.partition(".")[0]
        if cls.__module__ == self.home and "<locals>" not in cls.__qualname__:
            statement = class_statement(cls, root, self.namespace, self.ledger) or self.ledger.statement_of(self.namespace, root)
            if statement is not None and root in statement.binds and not isinstance(statement.node, ast.FunctionDef | ast.AsyncFunctionDef):
                return self._whole(statement, cls.__qualname__, cls)
        why = "is made inside a function" if "<locals>" in cls.__qualname__ else ""
        return self._by_statement(cls, name, why)

    def _by_statement(self, value: Any, name: str | None, why: str = "") -> Json:
        """What only its statement can make again: a partial, a type variable, a cached function …"""
        found = made_by(value, name, self.namespace, self.ledger)
        if found is not None:
            statement, path = found
            return self._whole(statement, path, value)
        raise NotAValue(value, "", why or ("" if isinstance(value, type | types.FunctionType) else "is made where its source is not known"))

    def _whole(self, statement: Statement, path: str, live: Any, dropped: int = 0) -> Json:
        number = self._number(statement, dropped)
        if isinstance(live, types.FunctionType) and live.__code__.co_flags & _FUTURE_ANNOTATIONS and not self.codes[number].annotations:
            self.codes[number] = replace(self.codes[number], annotations=True)
        self.made.setdefault(id(live), (live, ["made", number, path]))
        return ["made", number, path]

    def _number(self, statement: Statement, dropped: int) -> int:
        known = self._numbers.get((id(statement), dropped))
        if known is not None:
            return known
        file = self._findings.number(statement)
        number = self._add(Code(statement.text, statement.line, file, dropped, statement.annotations), statement.canonical(dropped))
        self._numbers[id(statement), dropped] = number
        found = statement.uses(dropped)
        self._pending.append(lambda: self._follow(number, statement, found.reads, found.assigned, found.imports))
        return number

    def _inner(self, fn: types.FunctionType, module: str, statement: Statement | None = None) -> Json:
        """A closure or a lambda: its own source, and its free variables by value."""
        code = fn.__code__
        statement = statement or self.ledger.statement_at(code.co_filename, code.co_firstlineno)
        nodes = list(inner_candidates(statement.node, code.co_name, code.co_firstlineno)) if statement is not None else []
        if statement is None or not nodes:
            raise NotAValue(fn)
        nth = which(nodes, code)
        node = bare_function(nodes[nth])
        inner = Inner(code.co_name, code.co_firstlineno, nth, module=module)
        stored = Code(statement.text, statement.line, self._findings.number(statement), 0, statement.annotations, inner)
        number = self._add(stored, canonical(node))
        reference = ["made", number, code.co_name]
        self.made[id(fn)] = (fn, reference)
        self.originals[number] = fn
        before, self._collected = self._collected, []
        try:
            free = tuple((name, self._cell(fn, name, cell)) for name, cell in zip(code.co_freevars, fn.__closure__ or (), strict=True))
            defaults = self._inner_value(fn, fn.__defaults__)
            keyword_defaults = self._inner_value(fn, fn.__kwdefaults__)
        finally:
            needed, self._collected = self._collected, before
        self._needs.of_code[number] = ([], [], [n for n in needed if n != number])
        self.codes[number] = replace(stored, inner=replace(inner, free=free, defaults=defaults, keyword_defaults=keyword_defaults))
        if not module:
            found = uses(node, code.co_freevars)
            place = statement
            self._pending.append(lambda: self._follow(number, place, found.reads, found.assigned, found.imports))
        return reference

    def _cell(self, fn: types.FunctionType, name: str, cell: types.CellType) -> Json:
        try:
            value = cell.cell_contents
        except ValueError:
            raise NotAValue(fn, "", f"needs {name}, which has no value yet") from None
        return self._inner_value(fn, value, f" with {name}")

    def _inner_value(self, fn: types.FunctionType, value: Any, step: str = "") -> Json:
        try:
            return encode(value, lambda part: self._refer(part, None))
        except NotAValue as refused:
            refused.path = step + refused.path
            raise

    def _add(self, code: Code, text: str) -> int:
        self.codes.append(code)
        self.texts.append(text)
        return len(self.codes) - 1
