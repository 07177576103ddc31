"""Which threads give way: whoever asks waits a little longer, so that senders do not.

Linux weighs each thread by its own nice value (sched(7)); elsewhere nothing is changed. A thread that runs Python does
not give way: while it waits for the processor it may hold the interpreter's lock, for which senders wait then too.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

NICENESS = 10
"""How far the threads of queries stand behind those of the collector: a tenth of their weight."""

_OWN = os.getpriority(os.PRIO_PROCESS, 0)

_TASKS = Path("/proc/self/task")


@contextlib.contextmanager
def behind_ingest() -> Iterator[None]:
    """Threads that are started meanwhile give way: the database's own, which help whichever query there is.

    Loading goes on in the thread that began it, which does not.
    """
    before = _threads()
    yield
    for thread in _threads() - before:
        _give_way(thread)


def _threads() -> set[int]:
    with contextlib.suppress(OSError):
        return {int(task.name) for task in _TASKS.iterdir()}
    return set()


def _give_way(thread: int) -> None:
    # One that has ended meanwhile, or a system without these, is left as it is.
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, thread, _OWN + NICENESS)
