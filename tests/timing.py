"""How long work takes, told so that no busy machine and no garbage of other tests makes a test fail."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable


def cpu_seconds(work: Callable[[], object], times: int = 3) -> float:
    """The shortest processor time of this thread, of so many calls, without garbage collection.

    Other processes and threads count for nothing, and a collection walks all that the tests before have left.
    """
    seconds = []
    collected = gc.isenabled()
    gc.disable()
    try:
        for _ in range(times):
            start = time.thread_time()
            work()
            seconds.append(time.thread_time() - start)
    finally:
        if collected:
            gc.enable()
    return min(seconds)
