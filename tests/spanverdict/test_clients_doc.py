"""What docs/clients.md shows runs as it stands there: real clients, a real server, then the file alone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "clients.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    """The blocks of code of one language, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def run(*command: str, folder: Path) -> str:
    """Run a command in a folder, with the programs that are installed beside this Python; returns what it printed."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_clients_answer_as_shown(incident: Path, start_server: Callable[..., Any]) -> None:
    """polars, pandas, DuckDB and ibis over ADBC, and the DuckDB command line on Parquet and on the file."""
    folder = incident.parent
    server = start_server(incident)
    # One program, as in a notebook whose cells are run from the top; a warning of any client would be an error.
    told = run(sys.executable, "-W", "error", "-c", "\n".join(blocks("python")), folder=folder)
    assert "[('m0', 106), ('m1', 106)]" in told
    assert "shape: (2, 2)" in told
    sums = re.findall(r"│ (m\d)\s+┆ (\d+)\s+│", told)
    assert sums == [("m0", "41197"), ("m1", "41197")]
    live, alone = blocks("sh")
    assert re.findall(r"│ (m\d)\s+│\s+(\d+) │", run("sh", "-ec", live, folder=folder)) == [("m0", "400"), ("m1", "400")]
    server.stop()
    assert re.search(r"│ p\s+│ m0\s+│ m1\s+│", run("sh", "-ec", alone, folder=folder))
