"""How a live object can be imported again, and the modules of the user's that come along with it.

An import counts only when it gives that very object. Looks at what is loaded; imports nothing and runs nobody's code.
"""
from __future__ import annotations

import ast
import sys
import types
from collections.abc import Mapping
from typing import Any

from . import modules
from .ledger import Ledger
from .package import UserModule
from .scope import Imported
from .values import Json, NotAValue

_MAY_IMPORT = (ast.Import, ast.ImportFrom, ast.If, ast.Try, ast.With, ast.TryStar)


class Imports:
    """Ways to import what one namespace holds; gathers the text of each of the user's modules they go through."""

    def __init__(self, namespace: Mapping[str, Any], ledger: Ledger, home: str) -> None:
        self.namespace, self.ledger, self.home = namespace, ledger, home
        self.modules: dict[str, UserModule] = {}

    def importable(self, value: Any, name: str | None) -> Json | None:
        """How to import the object, when an import gives that very object."""
        if type(value).__module__.startswith("aionlab.") or str(getattr(value, "__module__", "")).startswith("aionlab."):
            for attribute, found in vars(sys.modules.get("aionlab", types.ModuleType("aionlab"))).items():
                if found is value:
                    return ["import", "aionlab", attribute, []]
        for module, attribute in self._places(value, name):
            if module in ("__main__", self.home) or not attribute:
                continue
            found = sys.modules.get(module)
            for part in attribute.split("."):
                found = plain_attribute(found, part)
            if found is value:
                self.take_in(module)
                return ["import", module, attribute, []]
        return None

    def _places(self, value: Any, name: str | None) -> list[tuple[str, str]]:
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

    def module(self, module: types.ModuleType) -> Json:
        """How to import the module. Raises NotAValue when an import would not give it."""
        name = module.__name__
        if name in ("__main__", self.home) or sys.modules.get(name) is not module:
            raise NotAValue(module)
        self.take_in(name)
        return ["import", name, "", []]

    def note_submodules(self, coded: list[Any], path: tuple[str, ...]) -> None:
        """Note the submodules that attributes lead to: `import xml.etree.ElementTree` binds `xml` alone."""
        found: Any = sys.modules.get(coded[1])
        for part in path:
            inner = plain_attribute(found, part)
            if not isinstance(inner, types.ModuleType) or inner.__name__ != f"{found.__name__}.{part}":
                return
            found = inner
            if found.__name__ not in coded[3]:
                coded[3] = sorted([*coded[3], found.__name__])
                self.take_in(found.__name__)

    def take_in(self, name: str) -> None:
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


def plain_attribute(holder: Any, name: str) -> Any:
    """An attribute without running anybody's `__getattr__`."""
    try:
        return vars(holder).get(name)
    except TypeError:
        return None
