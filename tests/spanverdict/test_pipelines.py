"""The pipeline examples of docs/reports.md work as they are written."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from ruamel.yaml import YAML

from sql.address import StoreAddress
from tests.processes import PRODUCT_PATH

pytestmark = pytest.mark.any_store(slow=True)

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reports.md").read_text("utf-8").partition("\n## In a pipeline\n")[2].partition("\n## ")[0]
SHELL = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
YAMLS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)

Gate = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def gate(workdir: Path) -> Gate:
    """Runs the example as a pipeline would, `spanverdict` being on its path."""
    tools = workdir / "tools"
    tools.mkdir()
    (tools / "spanverdict").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m spanverdict "$@"\n', "utf-8")
    (tools / "spanverdict").chmod(0o755)
    (workdir / "gate.sh").write_text(SHELL[0], "utf-8")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        path = f"{tools}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            ["sh", "gate.sh", *arguments], cwd=workdir, capture_output=True, text=True, timeout=120, check=False,
            env={**os.environ, "PATH": path, "PYTHONPATH": PRODUCT_PATH},
        )  # fmt: skip

    return run


@pytest.mark.usefixtures("incident")
def test_the_gate_stops_a_regression(gate: Gate, workdir: Path) -> None:
    """Status 1, with a comment and the test view of the same report."""
    done = gate("p", "--as-of", "2026-11-20")
    assert (done.returncode, done.stdout) == (1, "")
    assert (workdir / "verdict.md").read_text("utf-8").startswith("**Roll back p")
    assert ET.parse(workdir / "verdict.xml").getroot().get("failures") == "1"  # noqa: S314 (our own output)


def test_the_gate_lets_equal_models_pass(promoted: StoreAddress, fill: Callable[..., None], gate: Gate) -> None:
    """Status 0."""
    for model in ("m0", "m1"):
        fill(promoted, model, failing=3)
    assert gate("p", "--as-of", "2026-11-20").returncode == 0


@pytest.mark.usefixtures("promoted")
def test_the_gate_waits_for_data(gate: Gate, workdir: Path) -> None:
    """Status 3 without data, with a report that says so; a mistake is neither a pass nor a verdict."""
    done = gate("p", "--as-of", "2026-11-20")
    assert done.returncode == 3, done.stderr
    assert ET.parse(workdir / "verdict.xml").getroot().get("errors") == "1"  # noqa: S314 (our own output)
    unknown = gate("q")
    assert unknown.returncode == 2
    assert "Error: There is no promotion 'q'" in unknown.stderr


@pytest.mark.parametrize("text", YAMLS)
def test_the_pipelines_run_the_gate_and_keep_what_it_wrote(text: str) -> None:
    """Each example is YAML that calls the gate and hands over the test view."""
    pipeline = YAML(typ="safe").load(text)
    steps = pipeline["jobs"]["verdict"]["steps"] if "jobs" in pipeline else [pipeline["verdict"]]
    commands = [command for step in steps for command in ([step["run"]] if "run" in step else step.get("script", []))]
    assert commands[0] == "sh gate.sh refunds-v2"
    assert "verdict.xml" in str(steps)
    assert "verdict.md" in str(steps)
