"""Stored code, routes, attribute types and facts about the lab: small tables, written one statement at a time."""
from __future__ import annotations

from typing import Any

from aionlab.core.ports import StoredPackage

from .connection import Connected

_PACKAGE = "SELECT workflow_type, version, document, created_at, signature FROM package"


class Packages(Connected):
    def save_package(self, package: StoredPackage) -> None:
        self._write(
            """INSERT INTO package VALUES (?, ?, ?, ?, ?) ON CONFLICT (workflow_type, version) DO UPDATE SET document =
            excluded.document, signature = excluded.signature WHERE excluded.signature <> ''""",
            package.workflow_type,
            package.version,
            package.document,
            package.created_at,
            package.signature,
        )

    def package(self, workflow_type: str, version: str) -> StoredPackage | None:
        found = self._rows(f"{_PACKAGE} WHERE workflow_type = ? AND version = ?", (workflow_type, version))
        return StoredPackage(*found[0]) if found else None

    def packages(self, workflow_type: str | None = None) -> list[StoredPackage]:
        return [
            StoredPackage(*row)
            for row in self._rows(f"{_PACKAGE} WHERE ?1 IS NULL OR workflow_type = ?1 ORDER BY rowid", (workflow_type,))
        ]

    def drop_package(self, workflow_type: str, version: str) -> None:
        self._write("DELETE FROM package WHERE workflow_type = ? AND version = ?", workflow_type, version)

    def set_route(self, workflow_type: str, version: str, pinned: bool = False) -> None:
        self._write("INSERT OR REPLACE INTO route VALUES (?, ?, ?)", workflow_type, version, int(pinned))

    def routes(self) -> dict[str, tuple[str, bool]]:
        return {
            kind: (version, bool(pinned))
            for kind, version, pinned in self._rows("SELECT workflow_type, version, pinned FROM route")
        }

    def attribute_types(self) -> dict[str, str]:
        return dict(self._rows("SELECT name, kind FROM attribute_type"))

    def register_attribute(self, name: str, kind: str) -> None:
        self._write("INSERT OR REPLACE INTO attribute_type VALUES (?, ?)", name, kind)

    def meta(self, key: str) -> str | None:
        found = self._rows("SELECT value FROM meta WHERE key = ?", (key,))
        return found[0][0] if found else None

    def set_meta(self, key: str, value: str) -> None:
        self._write("INSERT OR REPLACE INTO meta VALUES (?, ?)", key, value)

    def _write(self, text: str, *values: Any) -> None:
        with self._transaction():
            self._db.execute(text, values)
