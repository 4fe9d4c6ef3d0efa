"""The floor: a toy engine with the same durability contract and no features, kept beside the checkout, never in it.

Looked for in $AIONLAB_FLOOR, then in ../shared/tools/floor_engine.py relative to the checkout; None where there is neither.
"""
from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

CHECKOUT = Path(__file__).resolve().parents[2]
USUAL = CHECKOUT.parent / "shared" / "tools" / "floor_engine.py"


def load() -> ModuleType | None:
    """The floor's module, or None where it is not installed. It reads `sys.argv` as it is imported, so it gets one of its own."""
    given = os.environ.get("AIONLAB_FLOOR")
    path = Path(given) if given else USUAL
    if not path.is_file():
        if given:
            raise SystemExit(f"AIONLAB_FLOOR={given}: there is no such file")
        return None
    spec = importlib.util.spec_from_file_location("floor_engine", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before, sys.argv = sys.argv, [str(path)]
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        print(f"the floor cannot be loaded ({error}); figures stand alone")
        return None
    finally:
        sys.argv = before
    return module
