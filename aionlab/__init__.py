"""aionlab: a Jupyter-native lab for durable workflows.

    from aionlab import workflow, activity, Retry
    lab = aionlab.open("lab.db")
"""
from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from .authoring.definitions import Activity, Workflow
from .authoring.faces import activity, workflow
from .core import errors
from .core.errors import ApplicationError
from .core.retry import Retry, RetryPolicy

if TYPE_CHECKING:
    from .app.handle import Handle
    from .app.lab import Lab
    from .app.opening import open  # noqa: A004 - `aionlab.open` is the public name
    from .codecs import Compress, Encrypt
    from .core.converters import ValueConverter
    from .core.supervisors import Backoff, Supervisor

sys.modules[__name__ + ".errors"] = errors  # `from aionlab.errors import RunClosed` reads as well as `errors.RunClosed`
logging.getLogger("aionlab").addHandler(logging.NullHandler())  # nothing is printed into cells that nobody asked for

__version__ = "0.1.0"
__all__ = [
    "Activity", "ApplicationError", "Backoff", "Compress", "Encrypt", "Handle", "Lab", "Retry", "RetryPolicy", "Supervisor", "ValueConverter",
    "Workflow", "activity", "errors", "open", "workflow",
]  # fmt: skip

_LAZY = {
    "open": "aionlab.app.opening", "Lab": "aionlab.app.lab", "Handle": "aionlab.app.handle", "Compress": "aionlab.codecs", "Encrypt": "aionlab.codecs",
    "ValueConverter": "aionlab.core.converters", "Supervisor": "aionlab.core.supervisors", "Backoff": "aionlab.core.supervisors",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Authoring alone loads with the package; the engine when it is first asked for."""
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'aionlab' has no attribute {name!r}")


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext aionlab`."""
    from .lab.session import load_ipython_extension as load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    from .lab.session import unload_ipython_extension as unload

    unload(shell)
