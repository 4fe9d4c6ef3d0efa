"""JSON as bytes: orjson where it is installed, the standard library elsewhere; both write the same text for what aionlab stores.

Only JSON's own types go through here (`core.payload` turns everything else into them first).
"""
from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

dumps: Callable[[Any], bytes]
"""Compact UTF-8 JSON."""
loads: Callable[[bytes | str], Any]
"""The value of a JSON text."""

try:
    import orjson
except ImportError:
    _encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode

    def _dumps(value: Any) -> bytes:
        return _encode(value).encode()

    dumps, loads = _dumps, json.loads
else:
    _orjson_dumps = orjson.dumps

    def _dumps_tight(value: Any) -> bytes:
        """orjson hands its work buffer out as it is, 4 KB for the smallest text; what is kept for long, or in thousands, has to fit."""
        text = _orjson_dumps(value)
        return b"%b" % text if len(text) < 4096 else text

    dumps, loads = _dumps_tight, orjson.loads
