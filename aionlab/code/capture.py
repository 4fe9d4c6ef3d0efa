"""From a live definition to a package: reach what it needs, refuse what cannot be kept, name the version, prove that it builds."""
from __future__ import annotations

import sys
import types
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from aionlab.core.errors import CodeRefused

from . import modules
from .build import BuildFailed, Built, MakeDefinition, build, installed, visit_references
from .compare import Bound, differences
from .ledger import Ledger
from .package import Package, version_of
from .reach import Bond, Reach
from .values import Json, NotAValue, encode

_NOT_OPTIONS = frozenset({"fn", "name", "signature", "run_in"})
_ABSENT: Any = object()


@dataclass(frozen=True, slots=True)
class Live:
    """What a package was captured from: compared at each start, so that a mended helper gives the next start a new version."""

    namespace: Mapping[str, Any]
    bonds: tuple[Bond, ...]
    definitions: tuple[Any, ...]
    """Activities and other workflows it names, those of closures included."""
    states: tuple[tuple[Any, tuple[Any, ...]], ...]
    """Reached functions and classes with what may be changed in place."""
    mutable: tuple[tuple[str, Any, Json], ...]
    """(name, value, encoded) of lists, dicts and the like."""
    modules: tuple[tuple[types.ModuleType, tuple[tuple[Any, ...], ...]], ...]
    """The user's modules with what they defined."""


@dataclass(frozen=True, slots=True)
class Captured:
    """A package, what it was captured from, and its build (made to compare, and fit to run)."""

    package: Package
    live: Live
    built: Built


def capture(definition: Any, ledger: Ledger) -> Package:
    """The package of a workflow definition as it is now. Raises CodeRefused with everything that stands in the way."""
    return capture_live(definition, ledger).package


def capture_live(
    definition: Any, ledger: Ledger, *, make_activity: MakeDefinition | None = None, make_workflow: MakeDefinition | None = None
) -> Captured:
    """The package with what it was captured from and a fresh build of it. Raises CodeRefused.

    A build of the same version made before keeps its place in `sys.modules`; `built.install()` puts the fresh one there.
    """
    name, fn = str(definition.name), definition.fn
    reach = Reach(fn.__globals__, ledger)
    try:
        entry = reach.entry(fn)
    except NotAValue as refused:
        raise CodeRefused(name, (_no_source(name, refused),)) from None
    if reach.findings:
        raise CodeRefused(name, tuple(finding.text for finding in sorted(reach.findings)))
    package = package_of(name, entry, reach, options_of(definition))
    before = installed(package)
    try:
        built = build(package, make_activity=make_activity, make_workflow=make_workflow)
    except BuildFailed as error:
        place = f" at {error.where}" if error.where else ""
        why = f"its stored source does not run: {type(error.cause).__name__}: {error.cause}{place}: re-run the cells it is made of"
        raise CodeRefused(name, (why,)) from error
    loaded = {module: sys.modules[module] for module in reach.modules if module in sys.modules}
    live = Bound({bond.name: bond.value for bond in reach.bonds}, reach.originals, loaded, reach.files)
    found = differences(built, live, fn, ledger)
    if found or before:
        built.close()
        sys.modules.update(before)
    if found:
        raise CodeRefused(name, tuple(found))
    return Captured(package, _live(reach, fn, loaded), built)


def still_current(package: Package, live: Live) -> bool:
    """Whether every name the package reached is still bound to the same, unchanged object; says no rather than yes in doubt."""
    namespace = live.namespace
    for name, value in live.bonds:
        if namespace.get(name, _ABSENT) is not value:
            return False
    for thing, state in live.states:
        if not _same_state(state, _state(thing)):
            return False
    for _, value, coded in live.mutable:
        try:
            if encode(value, _like(coded)) != coded:
                return False
        except NotAValue:
            return False
    return all(_same_state(sum(known, ()), sum(_module_state(module), ())) for module, known in live.modules)


def options_of(definition: Any) -> dict[str, Json]:
    """A definition's options as encoded values: what it holds besides its function and its name."""
    found: dict[str, Json] = {}
    for key, value in vars(definition).items():
        if not key.startswith("_") and key not in _NOT_OPTIONS and value is not None:
            try:
                found[key] = encode(value, _by_class)
            except NotAValue:
                continue
    return found


def _by_class(value: Any) -> Json:
    """Reference to a class of aionlab's own, such as that of a retry policy."""
    if isinstance(value, type) and value.__module__.startswith("aionlab."):
        return ["import", value.__module__, value.__qualname__, []]
    raise NotAValue(value)


def package_of(name: str, entry: Json, reach: Reach, options: dict[str, Json]) -> Package:
    package = Package(
        live=tuple(sorted(reach.live)),
        workflow_type=name,
        version="",
        entry=entry,
        names=dict(sorted(reach.names.items())),
        codes=tuple(reach.codes),
        order=reach.order(),
        files=tuple(reach.files.values()),
        definitions=tuple(reach.definitions),
        modules=tuple(reach.modules[module] for module in sorted(reach.modules)),
        options=options,
        python=f"{sys.version_info.major}.{sys.version_info.minor}",
    )
    return replace(package, version=version_of(package, reach.texts))


def _no_source(name: str, refused: NotAValue) -> str:
    if refused.path:
        return f"{name} is a closure over something that cannot be kept ({type(refused.value).__qualname__}{refused.path}): pass it as an argument"
    return f"{name} has no source that can be stored: define it in a cell or a .py file"


# --- still the same? -------------------------------------------------------------------------------------------------


def _live(reach: Reach, fn: types.FunctionType, loaded: Mapping[str, types.ModuleType]) -> Live:
    things: dict[int, Any] = {id(fn): fn}
    for thing, reference in reach.made.values():
        if reference[0] == "made" and isinstance(thing, types.FunctionType | type):
            things[id(thing)] = thing
    mutable = [
        (bond.name, bond.value, reach.names[bond.name])
        for bond in reach.bonds
        if isinstance(bond.value, list | dict | set | bytearray) or hasattr(bond.value, "__dict__") and _by_value(reach.names[bond.name])
    ]
    return Live(
        reach.namespace,
        tuple(reach.bonds),
        tuple(value for value, reference in reach.made.values() if reference[0] == "definition"),
        tuple((thing, _state(thing)) for thing in things.values()),
        tuple(mutable),
        tuple((module, _module_state(module)) for module in loaded.values()),
    )


def _by_value(coded: Json) -> bool:
    return isinstance(coded, list) and coded[0] == "object"


def _state(thing: Any) -> tuple[Any, ...]:
    if isinstance(thing, types.FunctionType):
        registry = getattr(thing, "registry", None)
        return (thing.__code__, thing.__defaults__, thing.__kwdefaults__, *(registry.values() if registry is not None else ()))
    found: list[Any] = []
    for name, value in vars(thing).items():
        if name not in _CHANGING:
            found.append(value)
            if isinstance(value, types.FunctionType):
                found.append(value.__code__)
    return tuple(found)


_CHANGING = frozenset({"__doc__", "__annotations__", "__abstractmethods__", "_abc_impl", "__pydantic_decorators__", "__signature__",
                       "__annotations_cache__", "__pydantic_core_schema__", "__pydantic_validator__", "__pydantic_serializer__"})


def _same_state(known: tuple[Any, ...], now: tuple[Any, ...]) -> bool:
    return len(known) == len(now) and all(a is b for a, b in zip(known, now, strict=True))


def _module_state(module: types.ModuleType) -> tuple[tuple[Any, ...], ...]:
    """What a module of the user's defines: functions and classes, with their code."""
    return tuple(
        (value, *_state(value))
        for value in vars(module).values()
        if isinstance(value, types.FunctionType | type) and value.__module__ == module.__name__
    )


def _like(coded: Json) -> Any:
    """References within a value that is encoded again: their objects are watched by themselves, so any stand-in of the same text will do."""
    references = iter(_references(coded))

    def refer(_: Any) -> Json:
        return next(references, ["import", "", "", []])

    return refer


def _references(coded: Json) -> list[Json]:
    found: list[Json] = []
    visit_references(coded, found.append)
    return found


def user_files(package: Package) -> tuple[str, ...]:
    """Files of the user's modules in a package, as they are found here now."""
    located = (modules.user_module(module.name) for module in package.modules)
    return tuple(place.file for place in located if place is not None)
