"""What each start of a command costs: processor time (user and system) of its process, median of several starts.

The store is the demo's. `serve` is stopped once it says where it listens: nothing has come in, so what it cost is its
start and its end.

    python benchmarks/startup.py [--runs 5]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from sql.server_file import ServerFile

SPANVERDICT = [sys.executable, "-m", "spanverdict"]
FREE_PORTS = [text for name in ("grpc", "http", "sql", "monitoring") for text in (f"--{name}", "127.0.0.1:0")]
PROMOTION = "refunds-v2"
REGRESSED = 1


def main() -> None:
    """Run, and print seconds of processor time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        ended(start([*SPANVERDICT, "demo", "--no-browser", "--dir", folder]))
        demo = ["--db", f"{folder}/demo.duckdb", "--config", f"{folder}/spanverdict.toml"]
        listing = [*SPANVERDICT, "promotion", "list", *demo]
        reporting = [*SPANVERDICT, "report", PROMOTION, *demo]
        show("python -c pass", runs, [sys.executable, "-c", "pass"])
        show("--help", runs, [*SPANVERDICT, "--help"])
        show("report --help", runs, [*SPANVERDICT, "report", "--help"])
        show("promotion list, from the file", runs, listing)
        show("sql, from the file", runs, [*SPANVERDICT, "sql", "SELECT 1", *demo])
        show("report, from the file", runs, reporting)
        with server(Path(folder) / "demo.duckdb", demo):
            show("promotion list, through a server", runs, listing)
            show("report, through a server", runs, reporting)
        seconds = [served(Path(folder) / f"{number}.duckdb") for number in range(runs)]
        print(f"{'serve, to its end':<36}{statistics.median(seconds):6.2f} s")


def show(what: str, runs: int, command: list[str]) -> None:
    """Print the median processor time of a command."""
    seconds = [ended(start(command)) for _ in range(runs)]
    print(f"{what:<36}{statistics.median(seconds):6.2f} s", flush=True)


def start(command: list[str]) -> subprocess.Popen[bytes]:
    """Start a command whose output nobody reads."""
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def ended(process: subprocess.Popen[bytes]) -> float:
    """Wait for a process; returns the seconds of processor time that it took."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, REGRESSED):
        raise SystemExit(f"{process.args} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


@contextlib.contextmanager
def server(store: Path, options: list[str]) -> Iterator[None]:
    """A server of a store, while it listens."""
    process = listening(store, options)
    try:
        yield
    finally:
        process.terminate()
        ended(process)


def served(store: Path) -> float:
    """Start a server of a new store and stop it; returns the seconds of processor time that it took."""
    process = listening(store, ["--db", str(store)])
    process.terminate()
    return ended(process)


def listening(store: Path, options: list[str]) -> subprocess.Popen[bytes]:
    """Start a server and wait until it says where it listens."""
    process = start([*SPANVERDICT, "serve", *options, *FREE_PORTS])
    while (told := ServerFile.read(store)) is None or told.pid != process.pid:
        if process.poll() is not None:
            raise SystemExit(f"the server ended with {process.returncode}")
        time.sleep(0.02)
    return process


if __name__ == "__main__":
    main()
