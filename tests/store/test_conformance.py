"""Every store of ours keeps the promises of the port."""
from __future__ import annotations

from aionlab.store.memory import MemoryStore
from aionlab.store.sqlite import SqliteStore
from aionlab.testing.conformance import EventStoreConformance


class TestMemoryStore(EventStoreConformance):
    def make_store(self, path):
        return MemoryStore()


class TestSqliteInMemory(EventStoreConformance):
    def make_store(self, path):
        return SqliteStore.open(":memory:")


class TestSqliteFile(EventStoreConformance):
    durable = True

    def make_store(self, path):
        return SqliteStore.open(path / "lab.db")
