"""Codecs at the boundary of the store: rows are sealed before they are written and unsealed when they are read.

The engine knows payloads as they were recorded, and so compares those on replay. A payload that cannot be unsealed here is handed out
sealed, so that everything else can be looked at; `check` says why before anything is run with it.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from aionlab.core.codec import CODES, pack
from aionlab.core.codecs import MARK, Codecs
from aionlab.core.errors import PayloadSealed
from aionlab.core.events import Recorded
from aionlab.core.jsontext import dumps, loads
from aionlab.core.ports import Batch, Row

_OPEN = frozenset({CODES["SearchAttributesUpdated"]})
"""Events whose payload is searched, and so is never sealed."""
TEXTS: Final[Mapping[str, tuple[str, ...]]] = {
    "WorkflowStarted": ("memo", "last_result"), "WorkflowContinuedAsNew": ("memo",), "ChildWorkflowStarted": ("memo",),
    "ActivityFailed": ("details", "earlier"), "ActivityTimedOut": ("details", "earlier"), "ScheduleCreated": ("memo",), "ScheduleUpdated": ("memo",),
}  # fmt: skip
"""Fields outside of the payload that hold encoded values, or errors, as text; by event."""
_TEXTS = {CODES[name]: fields for name, fields in TEXTS.items()}


KEY: Final = "codecs"
"""Where a database remembers the label of what the last lab with codecs wrote; absent while every payload is plain."""


class Sealing:
    """The codecs of one store. `why` says why nothing may be written with them; empty when it may."""

    def __init__(self, codecs: Codecs, why: str = "") -> None:
        self.codecs, self.why = codecs, why
        self.refused = False
        """Whether any payload could not be unsealed so far."""

    def sealed(self, batch: Batch) -> Batch:
        """The batch as it is to be stored; the given one is left alone."""
        return replace(batch, rows=[self._sealed(row) for row in batch.rows])

    def _sealed(self, row: Row) -> Row:
        workflow, seq, run, at, code, flags, ref, data, payload = row
        if payload is not None and code not in _OPEN:
            payload = self.codecs.seal(payload)
        if data is not None and code in _TEXTS:
            data = self._texts(code, data, self.codecs.seal_text)
        return workflow, seq, run, at, code, flags, ref, data, payload

    def unsealed(self, rows: Sequence[Any]) -> list[Any]:
        """Rows of the log (seq, at, code, flags, ref, data, payload, …) as they were recorded, as far as the keys allow."""
        return [self._unsealed(row) for row in rows]

    def _unsealed(self, row: Any) -> Any:
        code, data, payload = row[2], row[5], row[6]
        if payload is not None and payload[:1] == MARK:
            try:
                payload = self.codecs.unseal(payload)
            except PayloadSealed:
                self.refused = True
        if data is not None and code in _TEXTS:
            data = self._texts(code, data, self._unsealed_text)
        return (*row[:5], data, payload, *row[7:])

    def _unsealed_text(self, text: str) -> str:
        try:
            return self.codecs.unseal_text(text)
        except PayloadSealed:
            self.refused = True
            return text

    def _texts(self, code: int, data: bytes, change: Callable[[str], str]) -> bytes:
        found = loads(data)
        if not any(isinstance(found.get(name), str) for name in _TEXTS[code]):
            return data
        return dumps({name: change(value) if name in _TEXTS[code] and isinstance(value, str) else value for name, value in found.items()})

    def check(self, history: Iterable[Recorded]) -> None:
        """Raises PayloadSealed, with the key or the codec that is missing, for the first event that code could not read."""
        if not self.refused:
            return
        for recorded in history:
            code, _, data, payload = pack(recorded.event)
            if payload is not None:
                self.codecs.unseal(payload)
            if data is not None and code in _TEXTS:
                self._texts(code, data, self.codecs.unseal_text)
