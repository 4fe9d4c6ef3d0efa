"""What a function needs to run elsewhere: its global names, followed through definitions until everything is text, value or import.

Nothing is decided by what the code does, only by what its names are bound to now. What cannot be kept becomes a finding; with
`live_allowed` (activities) its name is left to the notebook instead.
"""
from __future__ import annotations

import ast
import builtins
import contextvars
import functools
import operator
import sys
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from aionlab.authoring.faces import ActivityFace, WorkflowFace

from . import modules, refuse
from .canonical import canonical
from .ledger import Ledger, Statement
from .package import Code, Definition, Inner, InnerNode, UserModule, bare_function, inner_candidates
from .scope import Imported, Read, uses
from .values import Json, NotAValue, encode

_OF_THE_MODULE = frozenset({"__name__", "__file__", "__doc__", "__builtins__", "__debug__", "__package__", "__spec__", "__loader__"})
_BY_STATEMENT: tuple[Any, ...] = (
    functools.partial,
    functools.partialmethod,
    type(functools.lru_cache(lambda: None)),
    operator.itemgetter,
    operator.attrgetter,
    operator.methodcaller,
    contextvars.ContextVar,
    typing.TypeVar,
    typing.ParamSpec,
    typing.TypeVarTuple,
    typing.NewType,
    types.GenericAlias,
    types.UnionType,
    *filter(None, [getattr(typing, name, None) for name in ("_GenericAlias", "_BaseGenericAlias", "TypeAliasType", "ForwardRef")]),
)
_BY_STATEMENT_NAMED = frozenset({"pydantic.type_adapter.TypeAdapter"})
_MAY_IMPORT = (ast.Import, ast.ImportFrom, ast.If, ast.Try, ast.With, ast.TryStar)
_ABSENT: Any = object()


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
        self.modules: dict[str, UserModule] = {}
        self.files: dict[str, str] = {}
        """File name as compiled → what people call it."""
        self.findings: list[refuse.Finding] = []
        self.live: dict[str, None] = {}
        """Names left to the notebook."""
        self.bonds: list[Bond] = []
        self.originals: dict[int, Any] = {}
        """Live function or class by number of its code, for closures that no name leads to."""
        self._needs: dict[int, tuple[list[str], list[str], list[int]]] = {}
        self._name_needs: dict[str, list[int]] = {}
        self._effects: dict[int, list[int]] = {}
        self.made: dict[int, tuple[Any, Json]] = {}
        """Live object and the reference that stands for it, by the object's id."""
        self._numbers: dict[tuple[int, int], int] = {}
        self._defined: dict[int, int] = {}
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
        """The order in which the codes can run: what one needs while it runs comes first, and what that may call with it."""
        done: dict[int, None] = {}
        entered: set[tuple[int, bool]] = set()

        def visit(number: int, called: bool) -> None:
            if (number, called) in entered:
                return
            entered.add((number, called))
            now, later, direct = self._needs.get(number, ([], [], []))
            for needed in direct:
                visit(needed, True)
            for name in now:
                for needed in self._name_needs.get(name, ()):
                    visit(needed, True)
            done.setdefault(number)
            for effect in self._effects.get(number, ()):
                visit(effect, called)
            if called:
                for name in later:
                    for needed in self._name_needs.get(name, ()):
                        visit(needed, True)

        for number in range(len(self.codes)):
            visit(number, False)
        return tuple(done)

    def _follow(self, number: int, statement: Statement, reads: list[Read], assigned: list[tuple[str, int]], imports: list[Imported]) -> None:
        now = [read.name for read in reads if read.now]
        later = [read.name for read in reads if not read.now]
        if number >= 0:
            known = self._needs.setdefault(number, ([], [], []))
            known[0].extend(now)
            known[1].extend(later)
        for read in reads:
            self._name(read, statement)
        if not self.live_allowed:
            for name, line in assigned:
                self._find(statement, line, refuse.assigned(name, self._where(statement, line)))
        for imported in imports:
            for name in modules.named_by(imported, str(self.namespace.get("__package__") or "")):
                self._user_module(name)

    def _name(self, read: Read, statement: Statement) -> None:
        name = read.name
        if name in self._done or name in _OF_THE_MODULE:
            coded = self.names.get(name)
            if read.path and isinstance(coded, list) and coded[0] == "import" and not coded[2]:
                self._submodules(coded, read.path)
            return
        value = self.namespace.get(name, _ABSENT)
        where = self._where(statement, read.line)
        if not self.live_allowed:
            banned = refuse.forbidden(name, value, value is not _ABSENT)
            if banned is not None:
                self._done.add(name)
                self._find(statement, read.line, refuse.not_allowed(banned, where))
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
                self._find(statement, read.line, refuse.undefined(name, where))
            return
        before, self._collected = self._collected, []
        try:
            coded = encode(value, lambda part: self._refer(part, name if part is value else None))
            size = len(repr(coded)) if isinstance(coded, list) and coded[0] not in ("import", "made", "definition") else 0
            if size > refuse.VALUE_LIMIT and not self.live_allowed:
                self._done.add(name)
                self._find(statement, read.line, refuse.too_large(name, value, size, where))
                return
        except NotAValue as refused:
            if read.annotation and (statement.annotations or not read.now):
                return
            if self.live_allowed:
                self._leave(name)
                return
            self._done.add(name)
            self._find(statement, read.line, refuse.not_kept(name, refused.path, refused.value, refused.why, where))
            return
        except RecursionError:
            self._done.add(name)
            self._find(statement, read.line, refuse.not_kept(name, "", value, "is nested too deeply to be kept", where))
            return
        else:
            self._name_needs[name] = self._collected
        finally:
            self._collected = before
        self._done.add(name)
        self.names[name] = coded
        self.bonds.append(Bond(name, value))
        if isinstance(coded, list) and coded[0] == "import" and not coded[2]:
            self._submodules(coded, read.path)

    def _leave(self, name: str) -> None:
        self._done.add(name)
        self.live[name] = None

    def _find(self, statement: Statement, line: int, text: str) -> None:
        self._file(statement)
        finding = refuse.Finding(list(self.files).index(statement.file), line, text)
        if finding not in self.findings:
            self.findings.append(finding)

    def _where(self, statement: Statement, line: int) -> str:
        first = next(iter(self.files), statement.file)
        return f"line {line}" if statement.file == first else f"line {line} of {statement.label}"

    # --- references -------------------------------------------------------------------------------------------------

    def _refer(self, value: Any, name: str | None) -> Json:
        """The JSON that stands for a live object that is no value. Raises NotAValue."""
        if isinstance(value, types.ModuleType):
            return self._module(value)
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
        found = self._importable(value, name)
        if found is not None:
            return found
        owner = getattr(value, "__self__", None) if isinstance(value, types.MethodType | types.BuiltinFunctionType) else None
        if isinstance(owner, type):  # now = datetime.now
            kind_of_reference, place, path, *rest = self._refer(owner, None)
            return [kind_of_reference, place, f"{path}.{value.__name__}", *rest]
        if isinstance(value, _BY_STATEMENT) or type(value) is object or f"{type(value).__module__}.{type(value).__qualname__}" in _BY_STATEMENT_NAMED:
            return self._by_statement(value, name)
        raise NotAValue(value)

    def _importable(self, value: Any, name: str | None) -> Json | None:
        """How to import the object, when an import gives that very object."""
        if type(value).__module__.startswith("aionlab.") or str(getattr(value, "__module__", "")).startswith("aionlab."):
            for attribute, found in vars(sys.modules.get("aionlab", types.ModuleType("aionlab"))).items():
                if found is value:
                    return ["import", "aionlab", attribute, []]
        for module, attribute in self._import_places(value, name):
            if module in ("__main__", self.home) or not attribute:
                continue
            found = sys.modules.get(module)
            for part in attribute.split("."):
                found = _plain_attribute(found, part)
            if found is value:
                self._user_module(module)
                return ["import", module, attribute, []]
        return None

    def _import_places(self, value: Any, name: str | None) -> list[tuple[str, str]]:
        places = []
        statement = self.ledger.statement_of(self.namespace, name) if name else None
        if statement is not None and name is not None:
            for node in ast.walk(statement.node) if isinstance(statement.node, _MAY_IMPORT) else ():
                if isinstance(node, ast.ImportFrom):
                    for alias in node.names:
                        if (alias.asname or alias.name) == name:
                            imported = Imported(node.module or "", (), node.level, 0)
                            found = list(modules.named_by(imported, str(self.namespace.get("__package__") or "")))
                            places += [(found[-1], alias.name)] if found else []
        module = getattr(value, "__module__", None)
        if isinstance(module, str):
            label = getattr(value, "__qualname__", None) or getattr(value, "__name__", None) or getattr(value, "_name", None)
            if isinstance(label, str) and "<" not in label:
                places.append((module, label))
        return places

    def _module(self, module: types.ModuleType) -> Json:
        name = module.__name__
        if name in ("__main__", self.home) or sys.modules.get(name) is not module:
            raise NotAValue(module)
        self._user_module(name)
        return ["import", name, "", []]

    def _submodules(self, coded: list[Any], path: tuple[str, ...]) -> None:
        """Note the submodules that attributes lead to: `import xml.etree.ElementTree` binds `xml` alone."""
        found: Any = sys.modules.get(coded[1])
        for part in path:
            inner = _plain_attribute(found, part)
            if not isinstance(inner, types.ModuleType) or inner.__name__ != f"{found.__name__}.{part}":
                return
            found = inner
            if found.__name__ not in coded[3]:
                coded[3] = sorted([*coded[3], found.__name__])
                self._user_module(found.__name__)

    def _user_module(self, name: str) -> None:
        """Take in the text of a user's module and of what it imports."""
        pending = [name]
        while pending:
            current = pending.pop()
            if current in self.modules or current == self.home:
                continue
            located = modules.user_module(current)
            if located is None:
                continue
            try:
                text = modules.text_of(located.file)
                imports = modules.imports_of(text)
            except (OSError, SyntaxError, UnicodeDecodeError):
                continue
            self.modules[current] = UserModule(current, text, located.is_package)
            package = current if located.is_package else current.rpartition(".")[0]
            pending.append(current.rpartition(".")[0])
            for imported in imports:
                pending += modules.named_by(imported, package)

    def _definition(self, value: Any, kind: str, label: str | None) -> Json:
        fn = getattr(value, "fn", None)
        if self.live_allowed and kind == "activity" and isinstance(fn, types.FunctionType):  # an ordinary call, inside an activity
            if fn.__globals__ is self.namespace:
                return self._function(fn, None, entry=True)
            imported = self._importable(value, label)
            if imported is not None:
                return imported
        name = str(value.name)
        signature, statement = self._signature(value, fn, kind)
        number = len(self.definitions)
        self.definitions.append(Definition(kind, name, signature))
        if statement is not None:
            stub = ast.parse(signature + ": ...").body[0]
            reads = [read._replace(line=statement.line, now=False) for read in uses(stub).reads if read.annotation]
            self._pending.append(lambda: self._follow(-1, statement, reads, [], []))
        return ["definition", number]

    def _signature(self, value: Any, fn: Any, kind: str) -> tuple[str, Statement | None]:
        """The signature as source, defaults left open; the statement it came from where its annotations mean our globals."""
        word = "async def" if kind == "workflow" else "def"
        label = value.name if str(value.name).isidentifier() else "definition"
        if isinstance(fn, types.FunctionType):
            code = fn.__code__
            statement = self.ledger.statement_at(code.co_filename, code.co_firstlineno)
            nodes = list(inner_candidates(statement.node, code.co_name, code.co_firstlineno)) if statement is not None else []
            if statement is not None and nodes:
                ours = fn.__globals__ is self.namespace
                return _signature_text(word, label, nodes[0], with_annotations=ours), statement if ours else None
        parameters = []
        for parameter in getattr(getattr(value, "signature", None), "parameters", {}).values():
            default = ... if parameter.default is not parameter.empty else parameter.empty
            parameters.append(parameter.replace(annotation=parameter.empty, default=default))
        inside = ", ".join(str(parameter).replace("Ellipsis", "...") for parameter in parameters) or "*args, **kwargs"
        return f"{word} {label}({inside})", None

    # --- code -------------------------------------------------------------------------------------------------------

    def _function(self, fn: types.FunctionType, name: str | None, entry: bool = False) -> Json:
        code = fn.__code__
        if not entry:
            found = self._importable(fn, name)
            if found is not None:
                return found
        if hasattr(fn, "registry") and hasattr(fn, "dispatch") and hasattr(fn, "__wrapped__"):
            return self._dispatcher(fn, name)
        named = self.ledger.statement_of(self.namespace, name) if name else None
        if fn.__globals__ is not self.namespace:
            module = str(fn.__globals__.get("__name__"))
            if named is not None and _decorated(named, name):
                return self._whole(named, str(name), fn)
            if modules.user_module(module) is not None and vars(sys.modules[module]) is fn.__globals__:
                self._user_module(module)
                return self._inner(fn, module)
            return self._by_statement(fn, name)
        statement = self.ledger.statement_at(code.co_filename, code.co_firstlineno)
        if "<locals>" not in fn.__qualname__ and statement is not None:
            node = statement.node
            root = fn.__qualname__.partition(".")[0]
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == code.co_name:
                dropped = _definer(node, self.namespace) if entry else 0
                if len(node.decorator_list) == dropped or name is not None or entry:
                    return self._whole(statement, node.name, fn, dropped)
            elif code.co_name == "<lambda>":
                bound = _lambda_name(node)
                if bound is not None:
                    return self._whole(statement, bound, fn)
            elif root in statement.binds:
                return self._whole(statement, fn.__qualname__, fn)
        if named is not None and named is not statement and _decorated(named, name):
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
                known = self._effects.setdefault(reference[1], [])
                if effect not in known:
                    known.append(effect)
        return reference

    def _class(self, cls: type, name: str | None) -> Json:
        found = self._importable(cls, name)
        if found is not None:
            return found
        root = cls.__qualname__.partition(".")[0]
        if cls.__module__ == self.home and "<locals>" not in cls.__qualname__:
            statement = self._class_statement(cls, root) or self.ledger.statement_of(self.namespace, root)
            if statement is not None and root in statement.binds and not isinstance(statement.node, ast.FunctionDef | ast.AsyncFunctionDef):
                return self._whole(statement, cls.__qualname__, cls)
        why = "is made inside a function" if "<locals>" in cls.__qualname__ else ""
        return self._by_statement(cls, name, why)

    def _class_statement(self, cls: type, root: str) -> Statement | None:
        """The class statement that holds one of the class's methods: right even when the name was given away since."""
        for member in vars(cls).values():
            fn = getattr(member, "__func__", None) or getattr(member, "fget", None) or member
            if isinstance(fn, types.FunctionType) and fn.__globals__ is self.namespace and fn.__qualname__.startswith(cls.__qualname__ + "."):
                statement = self.ledger.statement_at(fn.__code__.co_filename, fn.__code__.co_firstlineno)
                if statement is not None and isinstance(statement.node, ast.ClassDef) and statement.node.name == root:
                    return statement
        return None

    def _by_statement(self, value: Any, name: str | None, why: str = "") -> Json:
        """What only its statement can make again: a partial, a type variable, a cached function …"""
        wrapped = getattr(value, "__wrapped__", None)
        if isinstance(wrapped, types.FunctionType) and wrapped.__globals__ is self.namespace:
            statement = self.ledger.statement_at(wrapped.__code__.co_filename, wrapped.__code__.co_firstlineno)
            if statement is not None and wrapped.__name__ in statement.binds and "<locals>" not in wrapped.__qualname__:
                return self._whole(statement, wrapped.__name__, value)
        for candidate in (name, getattr(value, "__name__", None)):
            if isinstance(candidate, str) and self.namespace.get(candidate, _ABSENT) is value:
                statement = self.ledger.statement_of(self.namespace, candidate)
                if statement is not None and not isinstance(statement.node, ast.Import | ast.ImportFrom):
                    return self._whole(statement, candidate, value)
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
        file = self._file(statement)
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
        nth = _which(nodes, code)
        node = bare_function(nodes[nth])
        inner = Inner(code.co_name, code.co_firstlineno, nth, module=module)
        stored = Code(statement.text, statement.line, self._file(statement), 0, statement.annotations, inner)
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
        self._needs[number] = ([], [], [n for n in needed if n != number])
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

    def _file(self, statement: Statement) -> int:
        if statement.file not in self.files:
            label, taken = statement.label or statement.file, set(self.files.values())
            label = label.rpartition("/")[2].rpartition("\\")[2]
            spare = 2
            unique = label
            while unique in taken:
                unique, spare = f"{label}~{spare}", spare + 1
            self.files[statement.file] = unique
        return list(self.files).index(statement.file)


_FUTURE_ANNOTATIONS = 0x1000000


def _plain_attribute(holder: Any, name: str) -> Any:
    """An attribute without running anybody's `__getattr__`."""
    try:
        return vars(holder).get(name)
    except TypeError:
        return None


def _decorated(statement: Statement, name: str | None) -> bool:
    node = statement.node
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == name and bool(node.decorator_list)


def _definer(node: ast.FunctionDef | ast.AsyncFunctionDef, namespace: Mapping[str, Any]) -> int:
    """How many leading decorators go with the definition: up to and including `@workflow` or `@activity`."""
    for index, decorator in enumerate(node.decorator_list):
        target = decorator.func if isinstance(decorator, ast.Call) else decorator
        path: list[str] = []
        while isinstance(target, ast.Attribute):
            path.append(target.attr)
            target = target.value
        if isinstance(target, ast.Name):
            found = namespace.get(target.id)
            for part in reversed(path):
                found = _plain_attribute(found, part)
            if isinstance(found, WorkflowFace | ActivityFace):
                return index + 1
    return 0


def _lambda_name(node: ast.stmt) -> str | None:
    """The name of a statement `name = lambda …`."""
    match node:
        case ast.Assign(targets=[ast.Name(id=name), *_], value=ast.Lambda()):
            return name
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.Lambda()):
            return name
        case _:
            return None


def _which(nodes: list[InnerNode], code: types.CodeType) -> int:
    """Which of several functions that begin on one line was compiled to this code."""
    if len(nodes) == 1:
        return 0
    for index, node in enumerate(nodes):
        wanted = (node.col_offset, node.end_col_offset)
        columns = [(start, end) for _, _, start, end in code.co_positions() if start is not None and end is not None and end > 0]
        if columns and all(start >= wanted[0] and end <= (wanted[1] or end) for start, end in columns):
            return index
    return 0


def _signature_text(word: str, label: str, node: InnerNode, with_annotations: bool) -> str:
    bare = bare_function(node)
    arguments = bare.args
    for default in [*arguments.defaults, *filter(None, arguments.kw_defaults)]:
        if isinstance(default, ast.Constant):
            default.value = ...
    if not with_annotations:
        copied = [ast.arg(arg=a.arg) for a in arguments.args]
        arguments = ast.arguments(
            posonlyargs=[ast.arg(arg=a.arg) for a in arguments.posonlyargs], args=copied,
            vararg=ast.arg(arg=arguments.vararg.arg) if arguments.vararg else None,
            kwonlyargs=[ast.arg(arg=a.arg) for a in arguments.kwonlyargs], kw_defaults=arguments.kw_defaults,
            kwarg=ast.arg(arg=arguments.kwarg.arg) if arguments.kwarg else None, defaults=arguments.defaults,
        )
    returns = getattr(bare, "returns", None) if with_annotations else None
    return f"{word} {label}({ast.unparse(arguments)})" + (f" -> {ast.unparse(returns)}" if returns is not None else "")
