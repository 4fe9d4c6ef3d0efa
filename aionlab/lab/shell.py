"""What we use of IPython's shell; its own methods are untyped."""
from __future__ import annotations

from typing import Any, Protocol


class Shell(Protocol):
    user_ns: dict[str, Any]
    user_ns_hidden: dict[str, Any]
    execution_count: int
    colors: Any
    compile: Any
    """IPython's caching compiler."""
    configurables: list[Any]
    events: Any
    input_transformer_manager: Any
    magics_manager: Any
    prefilter_manager: Any
    Completer: Any
    InteractiveTB: Any

    def transform_cell(self, raw_cell: str) -> str: ...
    def transform_ast(self, node: Any) -> Any: ...
    def push(self, variables: dict[str, Any], interactive: bool = True) -> None: ...
    def drop_by_id(self, variables: dict[str, Any]) -> None: ...
    def register_magics(self, *magics: Any) -> None: ...
