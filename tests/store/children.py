"""Children that do something to a database and end, so that their end can be the thing tested."""
from __future__ import annotations

import os
import traceback
from collections.abc import Callable


def fork(work: Callable[[], object]) -> int:
    """Run `work` in a forked child; its exit status as `waitpid` has it: 0 when it returned, a signal's number when killed."""
    pid = start(work)
    _, status = os.waitpid(pid, 0)
    return status


def start(work: Callable[[], object]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
    except BaseException:  # whatever it is, the child must not return into pytest
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
