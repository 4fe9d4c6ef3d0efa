"""Does the stored code make what is live? What a package gives is held against the objects its names are bound to now.

Source can lie: a cell edited after it ran, a class attribute set from another cell, a base class defined anew. What differs is said
by name, with what mends it.
"""
from __future__ import annotations

import dis
import functools
import sys
import types
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any

from aionlab.core.errors import shorten

from .build import Built
from .ledger import Ledger
from .values import Json

_OF_THE_CLASS = frozenset(
    "__module__ __qualname__ __doc__ __dict__ __weakref__ __annotations__ __firstlineno__ __static_attributes__ __slots__ __match_args__ "
    "__dataclass_fields__ __dataclass_params__ __abstractmethods__ __parameters__ __orig_bases__ __attrs_attrs__ __attrs_own_setattr__ "
    "__attrs_props__ __annotate__ __annotate_func__ __annotations_cache__ __type_params__ __new_member__ __signature__ __hash__ "
    "__class_vars__ __private_attributes__ __getstate__ __setstate__".split()
)
_OWN_FLAGS = 0x0FFFFFF & ~0x10  # not the future flags of the cell, nor whether the function lies inside another
_OF_CALLS = frozenset({"PUSH_NULL", "PRECALL", "CACHE", "NOP", "EXTENDED_ARG"})
_ABSENT: Any = object()


class Bound:
    """What is live: by global name, by number for closures no name leads to, and by name for the user's modules.

    `files` are the names under which the cells of `Package.files` were compiled.
    """

    __slots__ = ("names", "inner", "modules", "files")

    def __init__(
        self, names: Mapping[str, Any], inner: Mapping[int, Any], modules: Mapping[str, types.ModuleType], files: Iterable[str]
    ) -> None:
        self.names, self.inner, self.modules, self.files = names, inner, modules, tuple(files)


def differences(built: Built, live: Bound, entry: types.FunctionType, ledger: Ledger) -> list[str]:
    """A finding for everything that the stored source makes differently from what is live; empty when all agrees."""
    package = built.package
    files = dict(zip(map(package.file_of, range(len(package.files))), live.files, strict=True))
    comparison = _Comparison(built, files, ledger, str(entry.__globals__.get("__name__", "__main__")))
    comparison.compare(package.workflow_type, entry, built.function)
    for name, coded in package.names.items():
        if _is_made(coded) and name in live.names:
            comparison.compare(name, live.names[name], built.namespace.get(name, _ABSENT))
    for number, fn in live.inner.items():
        made = built.made.get(number, {})
        comparison.compare(fn.__qualname__.replace(".<locals>", ""), fn, next(iter(made.values()), _ABSENT))
    for name, private in list(built.modules.items()):
        module = live.modules.get(name)
        if module is not None:
            comparison.module(name, module, private)
    return list(dict.fromkeys(comparison.findings))


def _is_made(coded: Json) -> bool:
    return isinstance(coded, list) and bool(coded) and coded[0] == "made"


class _Comparison:
    def __init__(self, built: Built, files: Mapping[str, str], ledger: Ledger, home: str) -> None:
        self._files, self._ledger, self._home = files, ledger, home
        self._prefix = built.module.__name__ + "."
        self._pairs: dict[tuple[int, int], None] = {}
        self.findings: list[str] = []
        self._place = ""

    def module(self, name: str, live: types.ModuleType, private: types.ModuleType) -> None:
        if _rewritten(live):
            return
        before = len(self.findings)
        self._place = f"{name}.py has changed since it was imported: importlib.reload({name})"
        for attribute, value in vars(live).items():
            if isinstance(value, types.FunctionType | type) and getattr(value, "__module__", None) == live.__name__:
                if self._about_source(value):
                    self.compare(f"{name}.{attribute}", value, vars(private).get(attribute, _ABSENT))
        self._place = ""
        del self.findings[before + 3 :]

    def _about_source(self, value: Any) -> bool:
        return getattr(type(value), "aion_kind", None) is None

    # --- pairs ------------------------------------------------------------------------------------------------------

    def compare(self, name: str, live: Any, made: Any) -> None:
        """Note what differs between a live object and what its source now makes."""
        if live is made or (id(live), id(made)) in self._pairs:
            return
        self._pairs[id(live), id(made)] = None
        if made is _ABSENT:
            self._note(f"{name} is not made by its source", name)
        elif isinstance(live, types.FunctionType):
            self._functions(name, live, made)
        elif isinstance(live, type):
            self._classes(name, live, made)
        elif isinstance(live, functools.partial) and isinstance(made, functools.partial):
            self.compare(f"{name}.func", live.func, made.func)
            self._values(f"{name}.args", live.args, made.args, name)
            self._values(f"{name}.keywords", live.keywords, made.keywords, name)
        elif hasattr(live, "__wrapped__") and hasattr(made, "__wrapped__"):
            self.compare(name, live.__wrapped__, made.__wrapped__)
        else:
            self._values(name, live, made, name)

    def _note(self, what: str, name: str) -> None:
        root = name.partition(".")[0]
        self.findings.append(f"{what}: {self._place or f're-run the cell that defines {root}'}")

    def _functions(self, name: str, live: types.FunctionType, made: Any) -> None:
        if not isinstance(made, types.FunctionType):
            self._note(f"{name} is a function, its source now gives {shorten(made, 40)}", name)
            return
        if not _same_code(live.__code__, made.__code__):
            if not _from_rewritten(live) and not self._of_the_same_cell(live.__code__, made.__code__):
                self._note(f"{name} is not what its source now gives", name)
            return
        self._values(f"the defaults of {name}", live.__defaults__, made.__defaults__, name)
        self._values(f"the defaults of {name}", live.__kwdefaults__, made.__kwdefaults__, name)
        registry = getattr(live, "registry", None)
        if registry is not None and hasattr(made, "registry"):
            self._registries(name, registry, made.registry)
        for free, theirs, ours in zip(live.__code__.co_freevars, live.__closure__ or (), made.__closure__ or (), strict=False):
            if registry is not None:
                break
            self._cells(f"{free} in {name}", theirs, ours, name)
        wrapped = getattr(live, "__wrapped__", None)
        if isinstance(wrapped, types.FunctionType):
            self.compare(name, wrapped, getattr(made, "__wrapped__", _ABSENT))

    def _of_the_same_cell(self, live: types.CodeType, made: types.CodeType) -> bool:
        """Whether the live code is what the whole cell compiles to: calls of names the cell imports compile differently without it."""
        if self._files.get(made.co_filename) != live.co_filename or live.co_name != made.co_name:
            return False
        return any(
            code.co_name == live.co_name and code.co_firstlineno == live.co_firstlineno and _same_code(live, code)
            for code in self._ledger.compiled(live.co_filename)
        )

    def _cells(self, name: str, live: types.CellType, made: types.CellType, root: str) -> None:
        try:
            theirs, ours = live.cell_contents, made.cell_contents
        except ValueError:
            return
        self._values(name, theirs, ours, root)

    def _registries(self, name: str, live: Mapping[type, Any], made: Mapping[type, Any]) -> None:
        ours = {self._called(cls): implementation for cls, implementation in made.items()}
        for cls, implementation in live.items():
            label = f"{name} for {cls.__qualname__}"
            key = self._called(cls)
            if key not in ours:
                self._note(f"{label} was registered where its source is not known", label.replace(" for ", "."))
            else:
                self.compare(label, implementation, ours.pop(key))
        for key in ours:
            self._note(f"{name} for {key.rpartition(':')[2]} is registered by the source only", name)

    def _classes(self, name: str, live: type, made: Any) -> None:
        if not isinstance(made, type):
            self._note(f"{name} is a class, its source now gives {shorten(made, 40)}", name)
            return
        if not self._same_class(live, made):
            self._note(f"{name} is another class than its source now gives", name)
            return
        if [self._called(base) for base in live.__bases__] != [self._called(base) for base in made.__bases__]:
            self._note(f"the bases of {name} are not what its source now gives", name)
            return
        for theirs, ours in zip(live.__bases__, made.__bases__, strict=True):
            if theirs is not ours:
                self.compare(theirs.__name__ if theirs.__module__ == live.__module__ else f"{name}'s base", theirs, ours)
        for attribute in sorted(vars(live).keys() | vars(made).keys()):
            if attribute in _OF_THE_CLASS or attribute.startswith(("__pydantic_", "_abc_", "_member", "_value2member", "_unhashable")):
                continue
            theirs, ours = vars(live).get(attribute, _ABSENT), vars(made).get(attribute, _ABSENT)
            label = f"{name}.{attribute}"
            if theirs is _ABSENT:
                self._note(f"{label} is gone, its source still makes it", name)
            elif ours is _ABSENT:
                self._note(f"{label} was added after the class was made", name)
            else:
                self._members(label, theirs, ours)

    def _members(self, label: str, live: Any, made: Any) -> None:
        for theirs, ours in zip(_functions_of(live), _functions_of(made), strict=False):
            if isinstance(theirs, types.FunctionType):
                self.compare(label, theirs, ours)
        if isinstance(live, types.FunctionType):
            if not isinstance(made, types.FunctionType):
                self.compare(label, live, made)
        elif isinstance(live, type):
            self.compare(label, live, made)
        elif isinstance(live, Enum) and isinstance(made, Enum):
            self._values(label, live._value_, made._value_, label)
        elif _is_plain(live) or _is_plain(made):
            self._values(label, live, made, label)

    def _values(self, name: str, live: Any, made: Any, root: str) -> None:
        """Note a difference between values; objects of classes that were made again are compared by what they hold."""
        if not self._same(live, made):
            self._note(f"{name} is {shorten(live, 40)}, its source now gives {shorten(made, 40)}", root)

    def _same(self, live: Any, made: Any, depth: int = 0) -> bool:
        if live is made or depth > 20:
            return True
        if isinstance(live, type) and isinstance(made, type):
            return self._same_class(live, made)
        if isinstance(live, types.FunctionType) and isinstance(made, types.FunctionType):
            self.compare(live.__qualname__.replace(".<locals>", ""), live, made)
            return True
        if getattr(type(live), "aion_kind", None) is not None:
            return getattr(type(made), "aion_kind", None) is not None
        if type(live) is not type(made):
            return self._same_class(type(live), type(made)) and repr(live).split("(")[0] == repr(made).split("(")[0]
        if isinstance(live, list | tuple):
            return len(live) == len(made) and all(self._same(a, b, depth + 1) for a, b in zip(live, made, strict=True))
        if isinstance(live, dict):
            return len(live) == len(made) and all(
                self._same(a, b, depth + 1) for pair in zip(live.items(), made.items(), strict=True) for a, b in zip(*pair, strict=True)
            )
        if not _is_plain(live):
            return True
        try:
            return bool(live == made) or live != live
        except Exception:  # noqa: BLE001 - an `==` of the user's may raise anything; types agree, and no difference is known
            return True

    def _same_class(self, live: type, made: type) -> bool:
        return live is made or self._called(live) == self._called(made)

    def _called(self, cls: type) -> str:
        """A name that a live class and its private copy share, whatever module the workflow was written in."""
        module = cls.__module__ or ""
        if module in (self._prefix[:-1], self._home):
            module = "__main__"
        elif module.startswith(self._prefix):
            module = module.removeprefix(self._prefix)
        return f"{module}:{cls.__qualname__}"


def _functions_of(member: Any) -> Iterator[Any]:
    """The functions behind a method, a property, a static or class method."""
    if isinstance(member, types.FunctionType):
        yield member
    elif isinstance(member, staticmethod | classmethod):
        yield member.__func__
    elif isinstance(member, property):
        yield from (member.fget, member.fset, member.fdel)
    elif isinstance(getattr(member, "func", None), types.FunctionType):
        yield member.func
    elif isinstance(getattr(member, "wrapped", None), types.FunctionType):
        yield member.wrapped


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str | bytes | complex | list | tuple | dict | set | frozenset) or (
        type(value).__module__ in ("decimal", "datetime", "fractions", "uuid", "pathlib", "re", "_decimal", "zoneinfo")
    )


def _same_code(live: types.CodeType, made: types.CodeType) -> bool:
    """Whether two code objects do the same, wherever their lines are."""
    if live is made:
        return True
    if (
        not _same_instructions(live, made)
        or live.co_names != made.co_names
        or live.co_varnames != made.co_varnames
        or live.co_freevars != made.co_freevars
        or live.co_cellvars != made.co_cellvars
        or live.co_argcount != made.co_argcount
        or live.co_kwonlyargcount != made.co_kwonlyargcount
        or live.co_posonlyargcount != made.co_posonlyargcount
        or (live.co_flags ^ made.co_flags) & _OWN_FLAGS
        or (live.co_code == made.co_code and live.co_exceptiontable != made.co_exceptiontable)
    ):
        return False
    return _same_constants(live.co_consts, made.co_consts)


def _same_instructions(live: types.CodeType, made: types.CodeType) -> bool:
    """Whether the instructions agree. The compiler calls attributes of names that the same file imports in another way than those of
    names it does not know to be imported, and a stored statement is compiled without its file's imports."""
    if live.co_code == made.co_code:
        return True
    return list(_instructions(live)) == list(_instructions(made))


def _instructions(code: types.CodeType) -> Iterator[tuple[str, Any]]:
    for instruction in dis.get_instructions(code):
        name = instruction.opname
        if name in _OF_CALLS:
            continue
        jumps = instruction.opcode in dis.hasjrel or instruction.opcode in dis.hasjabs
        yield "LOAD_ATTR" if name == "LOAD_METHOD" else name, None if jumps or isinstance(instruction.argval, types.CodeType) else repr(instruction.argval)


def _same_constants(live: Iterable[Any], made: Iterable[Any]) -> bool:
    theirs, ours = list(live), list(made)
    if len(theirs) != len(ours):
        return False
    for a, b in zip(theirs, ours, strict=True):
        if isinstance(a, types.CodeType) and isinstance(b, types.CodeType):
            if not _same_code(a, b):
                return False
        elif isinstance(a, tuple) and isinstance(b, tuple):
            if not _same_constants(a, b):
                return False
        elif type(a) is not type(b) or repr(a) != repr(b) if not isinstance(a, frozenset) else a != b:
            return False
    return True


def _rewritten(module: types.ModuleType) -> bool:
    """Whether the module was compiled from something else than its text, as pytest does with the asserts of tests."""
    loader = getattr(getattr(module, "__spec__", None), "loader", None)
    return type(loader).__module__.partition(".")[0] in ("_pytest", "pytest", "coverage", "typeguard", "beartype")


def _from_rewritten(fn: types.FunctionType) -> bool:
    module = sys.modules.get(str(fn.__globals__.get("__name__")))
    return module is not None and vars(module) is fn.__globals__ and _rewritten(module)
