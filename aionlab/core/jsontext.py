"""JSON as bytes: orjson where it is installed, the standard library elsewhere; both write the same text for what aionlab stores.

Only JSON's own types go through here (`core.payload` turns everything else into them first).
"""
from __future__ import annotations

import json
from typing import Any

try:
    import orjson
except ImportError:
    _encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode

    def dumps(value: Any) -> bytes:
        """Compact UTF-8 JSON."""
        return _encode(value).encode()

    def loads(text: bytes | str) -> Any:
        """The value of a JSON text."""
        return json.loads(text)
else:
    dumps = orjson.dumps
    loads = orjson.loads
