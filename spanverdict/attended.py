"""`python -m spanverdict.attended COMMAND…`: a command that ends when its standard input is closed.

A server runs its jobs so: should it die, they do not go on without it, on a store that its successor wants to open.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time

from spanverdict.child import STOP_SECONDS

_NICENESS = 10


def _end_with_input() -> None:
    with contextlib.suppress(OSError):
        while os.read(sys.stdin.fileno(), 1):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    os.nice(_NICENESS)
    threading.Thread(target=_end_with_input, name="end-with-input", daemon=True).start()

    from spanverdict.cli import main

    main(prog_name="spanverdict")
