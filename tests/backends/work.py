"""Activities that are run in processes of their own, and what some of them do to those."""
from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from aionlab import ApplicationError, activity


@dataclass
class Parcel:
    weight: Decimal
    tags: list[str]


FACTOR = 3


@activity
def triple(n: int) -> int:
    return FACTOR * n


@activity
def heavier(parcel: Parcel, by: Decimal = Decimal(1)) -> Parcel:
    return Parcel(parcel.weight + by, [*parcel.tags, type(parcel).__name__])


@activity
async def slowly(n: int) -> int:
    await asyncio.sleep(0)
    return n + 1


@activity
def whoami() -> dict[str, object]:
    return {
        "pid": os.getpid(), "parent": os.getppid(), "session": os.getsid(0), "sigint": signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
        "folder": os.getcwd(), "env": os.environ.get("AIONLAB_TEST_WORD"), "here": "aionlab.store.sqlite" in sys.modules,
    }  # fmt: skip


@activity
def refuses(text: str) -> None:
    raise ApplicationError(text, 7, type="Refused", non_retryable=True)


@activity
def leaves(code: int) -> None:
    os._exit(code)


@activity
def quits() -> None:
    sys.exit("enough")


@activity
def shoots(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(60)  # sleeps: until the signal arrives


@activity
def crashes() -> None:
    ctypes.string_at(0)


@activity
def unrecordable() -> object:
    return object()


@activity
def waits(marks: str) -> str:
    """Says that it runs, and when it is asked to stop, that it cleaned up."""
    folder = Path(marks)
    (folder / "pid").write_text(str(os.getpid()))
    try:
        time.sleep(600)  # sleeps: until it is stopped
    finally:
        (folder / "cleaned").write_text("")
    return "never"


@activity
async def waits_async(marks: str) -> str:
    folder = Path(marks)
    (folder / "pid").write_text(str(os.getpid()))
    try:
        await asyncio.sleep(600)  # sleeps: until it is stopped
    finally:
        (folder / "cleaned").write_text("")
    return "never"


@activity
def stubborn(marks: str) -> None:
    """Heeds nothing, and has a child."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (Path(marks) / "child").write_text(str(child.pid))
    (Path(marks) / "pid").write_text(str(os.getpid()))
    time.sleep(600)  # sleeps: until it is killed


@activity
def loud(size: int) -> str:
    return "x" * size


@activity
def clings() -> str:
    """Leaves a thread behind that never ends."""
    import threading

    threading.Thread(target=time.sleep, args=(600,)).start()  # sleeps: until the process is gone
    return "done"


def tell(times: int) -> dict[str, object]:
    for number in range(times):
        activity.heartbeat({"at": number})
    activity.heartbeat()
    info = activity.info()
    return {"attempt": info.attempt, "activity_id": info.activity_id, "last": info.heartbeat_details, "waited": info.wait_cancelled(0)}


@activity
def beats(times: int) -> dict[str, object]:
    return tell(times)


@activity
async def beats_async(times: int) -> dict[str, object]:
    return tell(times)


@activity
def asks(marks: str) -> None:
    """Cleans up by itself, and says what it was told by then."""
    folder = Path(marks)
    try:
        (folder / "pid").write_text(str(os.getpid()))
        time.sleep(600)  # sleeps: until it is stopped
    finally:
        (folder / "asked").write_text(str(activity.info().wait_cancelled(10)))
