"""From a package to a function that runs. The only place that executes stored code: call it for trusted packages only.

Every build has a private module of its own, `aionlab.code.order_3f2a91c`, in `sys.modules`; private copies of the user's modules lie
below it. Statements keep the line numbers they had, under the file name `order@3f2a91c`, so that tracebacks can be read anywhere.
"""
from __future__ import annotations
import __future__

import ast
import builtins
import importlib
import linecache
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import FunctionType, ModuleType
from typing import Any, cast

from aionlab.authoring.definitions import Activity, Workflow
from aionlab.core.classes import walk
from aionlab.core.errors import AionError

from .package import Code, Definition, Inner, Package, UserModule, bare_function, find_inner
from .parsing import parse
from .scope import bound_names
from .values import Json, decode

MakeDefinition = Callable[[str, FunctionType], Any]
"""(name, stub) → what stands for an activity or a workflow in the built code. The stub has the signature of the definition, its
annotations mean the version's classes, and calling it raises NotInWorkflow."""
_PREFIX = "aionlab.code."


class BuildFailed(AionError):
    """Stored code that does not run here; `cause` is what it raised."""

    def __init__(self, workflow_type: str, version: str, cause: BaseException, where: str = "") -> None:
        super().__init__(workflow_type, version, cause, where)
        self.workflow_type, self.version, self.cause, self.where = workflow_type, version, cause, where
        self.__cause__ = cause

    def __str__(self) -> str:
        place = f" at {self.where}" if self.where else ""
        return f"{self.workflow_type}@{self.version[:7]} cannot be built here: {type(self.cause).__name__}: {self.cause}{place}"


@dataclass(slots=True)
class Built:
    """A package made to run."""

    package: Package
    function: FunctionType
    """The workflow's bare function."""
    module: ModuleType
    file_name: str
    """What tracebacks call it."""
    modules: dict[str, ModuleType] = field(default_factory=dict)
    """Private copies of the user's modules, by the name the user gave them; those that were imported so far."""
    made: dict[int, dict[str, Any]] = field(default_factory=dict)
    """What each stored code made, by number and name."""
    retry_if: Any = None
    """An activity's own judge of errors, where it was stored with one."""

    @property
    def namespace(self) -> dict[str, Any]:
        return vars(self.module)

    def resolve(self, name: str) -> type | None:
        """The version's class of a recorded name: `Order`, `Outer.Inner`, `shop:Order`. Runs no code."""
        module, colon, qualname = name.rpartition(":")
        if colon and module != "__main__":
            if module in self.modules:
                return walk(vars(self.modules[module]), qualname)
            if f"{module.rpartition('.')[2]}.py" not in self.package.files:  # else it is the module the workflow was written in
                return None
        found = walk(self.namespace, qualname)
        if found is not None:
            return found
        for making in self.made.values():
            found = walk(making, qualname)
            if found is not None:
                return found
        prefix = self.module.__name__ + "."  # classes of private modules are recorded by their plain name too
        for private in self.modules.values():
            found = walk(vars(private), qualname)
            if found is not None and found.__module__.startswith(prefix):
                return found
        return None

    def register_sources(self) -> None:
        """Let `linecache` (and so tracebacks) know the stored lines; again after `linecache.clearcache()`."""
        register_sources(self.package)

    def install(self) -> None:
        """Put the private modules into `sys.modules`, in the place of an earlier build of the same version."""
        for module in (self.module, *self.modules.values()):
            sys.modules[module.__name__] = module

    def close(self) -> None:
        """Take the private modules out of `sys.modules`."""
        for module in (self.module, *self.modules.values()):
            if sys.modules.get(module.__name__) is module:
                del sys.modules[module.__name__]


def register_sources(package: Package) -> None:
    """Put a package's stored lines into `linecache` under the names tracebacks use; executes nothing."""
    for name, text in package.sources().items():
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)  # no mtime: checkcache() lets it be


def module_name(package: Package) -> str:
    return f"{_PREFIX}{re.sub(r'[^0-9a-zA-Z_]', '_', package.workflow_type)}_{package.short}"


def build(
    package: Package,
    *,
    make_activity: MakeDefinition | None = None,
    make_workflow: MakeDefinition | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Built:
    """Run a package's stored code in a private module and hand out its function.

    `extra` are the names that the package leaves to the caller. Raises BuildFailed, with `sys.modules` as it was before.
    """
    builder = _Builder(package, make_activity or _activity, make_workflow or _workflow)
    register_sources(package)
    before = installed(package)
    try:
        return builder.build(extra or {})
    except Exception as error:
        builder.built.close()
        sys.modules.update(before)
        raise BuildFailed(package.workflow_type, package.version, error, _where(error, package)) from error


def installed(package: Package) -> dict[str, ModuleType]:
    """The private modules of a package's version that are in `sys.modules` now."""
    name = module_name(package)
    names = [name, *(f"{name}.{module.name}" for module in package.modules)]
    return {key: sys.modules[key] for key in names if key in sys.modules}


class _Builder:
    def __init__(self, package: Package, make_activity: MakeDefinition, make_workflow: MakeDefinition) -> None:
        self.package = package
        self.module = ModuleType(module_name(package))
        self.built = Built(package, cast(FunctionType, _not_built), self.module, package.file_name)
        self._make = {"activity": make_activity, "workflow": make_workflow}
        self._stored = {module.name: module for module in package.modules}
        self._definitions: dict[int, Any] = {}
        self._builtins = dict(vars(builtins)) | {"__import__": self._import}
        self._ready: set[str] = set()
        self._unfilled: list[tuple[set[int], Json, Callable[[Any], None]]] = []

    def build(self, extra: Mapping[str, Any]) -> Built:
        sys.modules[self.module.__name__] = self.module
        namespace = vars(self.module)
        namespace.update(extra)
        namespace["__builtins__"] = self._builtins
        waiting = {name: _codes_in(coded) for name, coded in self.package.names.items()}
        self._bind(name for name, needed in waiting.items() if not needed)
        done: set[int] = set()
        for number in self.package.order:
            self._run(number, self.package.codes[number])
            done.add(number)
            self._fill()
            self._bind(name for name, needed in waiting.items() if number in needed and needed <= done)
            self._bind(name for name in self.built.made[number] if name in self._ready)  # an older statement of a name given away since
        dangling = sorted(self.package.names.keys() - self._ready)
        if dangling or self._unfilled:
            raise ValueError(f"the package refers to code it does not run, for {', '.join(dangling) or 'a closure'}")
        function = self._look_up(self.package.entry)
        if not isinstance(function, FunctionType):
            raise TypeError(f"the stored code makes a {type(function).__name__} of {self.package.workflow_type}, not a function")
        self.built.function = function
        if "retry_if" in self.package.options:
            self.built.retry_if = self._look_up(self.package.options["retry_if"])
        return self.built

    def _bind(self, names: Iterable[str]) -> None:
        namespace = vars(self.module)
        for name in list(names):
            namespace[name] = decode(self.package.names[name], self._look_up)
            self._ready.add(name)

    def _run(self, number: int, code: Code) -> None:
        file = self.package.file_of(code.file)
        if code.inner is not None:
            self._closure(number, code, code.inner, file)
            return
        tree = ast.Module([code.tree()], [])
        namespace = vars(self.module)
        exec(compile(tree, file, "exec", _flags(code), dont_inherit=True), namespace)
        self.built.made[number] = {name: namespace[name] for name in bound_names(tree.body[0]) if name in namespace}

    def _closure(self, number: int, code: Code, inner: Inner, file: str) -> None:
        """The inner function inside a function that has its free variables; their values follow when what they refer to is made."""
        node = bare_function(find_inner(code.tree(), inner))
        at: Any = {"lineno": node.lineno, "col_offset": 0, "end_lineno": node.lineno, "end_col_offset": 0}
        result: ast.expr
        body: list[ast.stmt] = [
            ast.Assign([ast.Name(name, ast.Store(), **at)], ast.Constant(None, **at), **at) for name, _ in inner.free
        ]
        if isinstance(node, ast.Lambda):
            result = node
        else:
            body.append(node)
            result = ast.Name(node.name, ast.Load(), **at)
        body.append(ast.Return(result, **at))
        maker = ast.FunctionDef("__make__", ast.arguments([], [], None, [], [], None, []), body, [], **at)
        if sys.version_info >= (3, 12):
            maker.type_params = []
        namespace = vars(self._private(inner.module)) if inner.module else vars(self.module)
        local: dict[str, Any] = {}
        flags = _flags(code) | __future__.annotations.compiler_flag
        exec(compile(ast.Module([maker], []), file, "exec", flags, dont_inherit=True), namespace, local)
        made: FunctionType = local["__make__"]()
        made.__qualname__ = inner.name
        self.built.made[number] = {inner.name: made}
        cells = dict(zip(made.__code__.co_freevars, made.__closure__ or (), strict=True))
        for name, coded in inner.free:
            if name in cells:
                self._later(coded, partial(setattr, cells[name], "cell_contents"))
        self._later(inner.defaults, partial(setattr, made, "__defaults__"))
        self._later(inner.keyword_defaults, partial(setattr, made, "__kwdefaults__"))

    def _later(self, coded: Json, use: Callable[[Any], None]) -> None:
        """Decode once all codes it refers to have run: functions of one closure may refer to each other."""
        self._unfilled.append((_codes_in(coded), coded, use))
        self._fill()

    def _fill(self) -> None:
        for entry in list(self._unfilled):
            needed, coded, use = entry
            if needed <= self.built.made.keys():
                self._unfilled.remove(entry)
                use(decode(coded, self._look_up))

    def _look_up(self, reference: Json) -> Any:
        match reference:
            case ["import", module, attribute, [*submodules]]:
                found: Any = self._imported(module)
                for submodule in submodules:
                    self._imported(submodule)
                for part in attribute.split(".") if attribute else ():
                    found = getattr(found, part)
                return found
            case ["made", number, path]:
                head, *rest = path.split(".")
                found = self.built.made[number][head]
                for part in rest:
                    found = getattr(found, part)
                return found
            case ["definition", number]:
                if number not in self._definitions:
                    self._definitions[number] = self._definition(self.package.definitions[number])
                return self._definitions[number]
            case _:
                raise ValueError(f"{reference!r} means nothing in a package")

    def _definition(self, definition: Definition) -> Any:
        message = f"{definition.kind} {definition.name} is known here by its name; calling it"
        text = f"{definition.signature}:\n    from aionlab.core.errors import NotInWorkflow\n    raise NotInWorkflow({message!r})\n"
        tree = parse(text)
        if len(tree.body) != 1 or not isinstance(tree.body[0], ast.FunctionDef | ast.AsyncFunctionDef):
            raise ValueError(f"{definition.signature!r} is not a signature")
        local: dict[str, Any] = {}
        code = compile(tree, self.package.file_name, "exec", __future__.annotations.compiler_flag, dont_inherit=True)
        exec(code, vars(self.module), local)
        stub = next(iter(local.values()))
        return self._make[definition.kind](definition.name, stub)

    # --- private copies of the user's modules -----------------------------------------------------------------------

    def _imported(self, name: str) -> ModuleType:
        return self._private(name) if name in self._stored else importlib.import_module(name)

    def _private(self, name: str) -> ModuleType:
        """The private copy of a user's module, run on first use."""
        known = self.built.modules.get(name)
        if known is not None:
            return known
        head, _, tail = name.rpartition(".")
        if head in self._stored:
            self._private(head)
            if name in self.built.modules:  # its package imported it
                return self.built.modules[name]
        stored = self._stored[name]
        module = ModuleType(f"{self.module.__name__}.{name}")
        file = self.package.module_file(stored)
        namespace = vars(module)
        namespace.update(__file__=file, __builtins__=self._builtins, __package__=_package_of(module.__name__, stored))
        if stored.is_package:
            namespace["__path__"] = []
        self.built.modules[name] = sys.modules[module.__name__] = module
        try:
            exec(compile(stored.text, file, "exec", dont_inherit=True), namespace)
        except BaseException:
            del self.built.modules[name]
            sys.modules.pop(module.__name__, None)
            raise
        if head in self.built.modules:
            setattr(self.built.modules[head], tail, module)
        return module

    def _import(
        self, name: str, globals: Mapping[str, Any] | None = None, locals: Any = None,  # noqa: A002 - named as `__import__` names them
        fromlist: Any = (), level: int = 0,
    ) -> Any:
        """`__import__` of the built code: the user's modules come from their stored text, everything else from this Python."""
        prefix = self.module.__name__ + "."
        target = name
        if level:
            package = str((globals or {}).get("__package__") or "")
            if not package.startswith(prefix):
                return builtins.__import__(name, globals, locals, fromlist, level)
            parts = package.removeprefix(prefix).split(".")
            target = ".".join([*parts[: len(parts) - level + 1], *([name] if name else [])])
        if target not in self._stored:
            return builtins.__import__(name, globals, locals, fromlist, level)
        leaf = self._private(target)
        if not fromlist:
            return leaf if level else self._private(target.partition(".")[0])
        for attribute in fromlist:
            if not hasattr(leaf, attribute) and f"{target}.{attribute}" in self._stored:
                setattr(leaf, attribute, self._private(f"{target}.{attribute}"))
        return leaf


def _not_built() -> None:
    raise RuntimeError("not built yet")


def _activity(name: str, stub: FunctionType) -> Any:
    return Activity(stub, name)


def _workflow(name: str, stub: FunctionType) -> Any:
    return Workflow(stub, name)


def _flags(code: Code) -> int:
    return __future__.annotations.compiler_flag if code.annotations else 0


def _package_of(private_name: str, stored: UserModule) -> str:
    return private_name if stored.is_package else private_name.rpartition(".")[0]


def _codes_in(coded: Json) -> set[int]:
    """Numbers of the codes that a value refers to."""
    found: set[int] = set()

    def note(reference: Json) -> Any:
        if reference[:1] == ["made"]:
            found.add(reference[1])
        return None

    visit_references(coded, note)
    return found


def visit_references(coded: Json, note: Callable[[Json], Any]) -> None:
    """Call `note` with every reference in an encoded value, by the shapes that `values.encode` writes."""
    if not isinstance(coded, list) or not coded:
        return
    match coded:
        case [("import" | "made" | "definition"), *_]:
            note(coded)
        case [("list" | "tuple" | "set" | "frozenset"), [*items]]:
            for item in items:
                visit_references(item, note)
        case ["deque", _, [*items]]:
            for item in items:
                visit_references(item, note)
        case [("dict" | "OrderedDict" | "Counter"), [*pairs]]:
            for key, item in pairs:
                visit_references(key, note)
                visit_references(item, note)
        case ["defaultdict", factory, [*pairs]]:
            visit_references(factory, note)
            for key, item in pairs:
                visit_references(key, note)
                visit_references(item, note)
        case ["enum", cls, _]:
            visit_references(cls, note)
        case ["slice", *parts]:
            for part in parts:
                visit_references(part, note)
        case ["object", cls, [*fields], *state]:
            visit_references(cls, note)
            for _, item in fields:
                visit_references(item, note)
            for part in state:
                visit_references(part, note)


def _where(error: BaseException, package: Package) -> str:
    """The innermost stored line of a traceback."""
    found = ""
    trace = error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if name.startswith(package.file_name):
            found = f"{name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found
