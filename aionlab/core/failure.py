"""What is kept of an error: enough to show it, compare it and raise it again, whatever the original did."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .jsontext import dumps, loads

MESSAGE_LIMIT = 64 * 1024


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as recorded. Texts are valid UTF-8 and at most 64 KiB."""

    type: str
    """Recorded name of the class, as `core.payload` names classes."""
    message: str
    bases: tuple[str, ...] = ()
    """Plain names of the class and its bases, nearest first, for retry policies."""
    fields: Any = None
    """What rebuilds the error: its arguments as an encoded JSON tree, or None when they could not be encoded."""
    traceback: str = ""
    """The frames of the user's code, as text."""
    source: str = ""
    """"file:line, in function" of the innermost frame of the user's code."""
    cause: Failure | None = None
    non_retryable: bool = False
    next_retry_delay: int | None = None
    """Microseconds."""

    def to_bytes(self) -> bytes:
        return dumps(self._tree())

    @classmethod
    def from_bytes(cls, text: bytes) -> Failure:
        return cls._from_tree(loads(text))

    def _tree(self) -> dict[str, Any]:
        tree: dict[str, Any] = {"type": self.type, "message": self.message}
        for name in ("bases", "fields", "traceback", "source", "non_retryable", "next_retry_delay"):
            value = getattr(self, name)
            if value:
                tree[name] = value
        if self.cause is not None:
            tree["cause"] = self.cause._tree()
        return tree

    @classmethod
    def _from_tree(cls, tree: dict[str, Any]) -> Failure:
        return cls(
            type=tree["type"],
            message=tree["message"],
            bases=tuple(tree.get("bases", ())),
            fields=tree.get("fields"),
            traceback=tree.get("traceback", ""),
            source=tree.get("source", ""),
            cause=cls._from_tree(tree["cause"]) if tree.get("cause") else None,
            non_retryable=tree.get("non_retryable", False),
            next_retry_delay=tree.get("next_retry_delay"),
        )
