"""Processes that a server starts: commands of ours, which are its clients and end with it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from sql.address import StoreAddress

STOP_SECONDS = 5.0
"""How long a process may take to end when asked to."""


def start(
    module: str, arguments: Sequence[str], store: StoreAddress, config_file: Path | None
) -> subprocess.Popen[bytes]:
    """Run a command of ours on a server's store; what it says goes to standard error, as the server's own words do.

    Its standard input is a pipe that is never written to: should the server die, the pipe closes. In a session of its
    own the process does not get the terminal's Ctrl-C.

    Args:
        module: ``spanverdict`` for a command that watches its standard input itself, else ``spanverdict.attended``.
        arguments: the command, without ``--store`` and ``--config``.
        store: the server's store.
        config_file: the configuration file that was named, None if none was.
    """
    options = ["--store", str(store), *(["--config", str(config_file)] if config_file else [])]
    return subprocess.Popen(  # noqa: S603 (our own command)
        [sys.executable, "-m", module, *arguments, *options],
        stdin=subprocess.PIPE,
        stdout=sys.stderr.fileno(),
        start_new_session=True,
    )


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process, if it has not ended yet, and wait for it."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdin:
        process.stdin.close()
