"""The examples of docs/scheduling.md: each is read as its scheduler reads it, and its command line is run."""

from __future__ import annotations

import ast
import configparser
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from analytics.promotions import Promotion, promotion_row
from analytics.schedule import check_cron
from spanverdict import schedule_runs
from spanverdict.config import load
from sql.address import StoreAddress
from tests.processes import PRODUCT_PATH
from tests.stores import store_at

pytestmark = pytest.mark.any_store(slow=True)

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", (ROOT / "docs" / "scheduling.md").read_text("utf-8"), re.DOTALL)
BEGAN = datetime(2026, 11, 2)


def blocks(kind: str, word: str = "") -> list[str]:
    """The examples of a kind that have a word in them."""
    return [text for language, text in BLOCKS if language == kind and word in text]


@pytest.fixture
def installed(workdir: Path, db: StoreAddress) -> Callable[[str], str]:
    """Puts an installation where the examples expect it; gives a text with its paths."""
    (workdir / "spanverdict.toml").write_text(
        f'db = "{db}"\n[[schedule]]\nname = "n"\ncron = "30 0 * * *"\ndelay_seconds = 0\n'
    )
    with store_at(db) as store:
        promotion = Promotion("p", "m0", "m1", "concurrent", BEGAN, None, "app.cohort", None)
        store.write({"promotions": promotion_row(promotion, BEGAN)})
    program = workdir / "spanverdict"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{PRODUCT_PATH}" exec "{sys.executable}" -m spanverdict "$@"\n')
    program.chmod(0o755)
    paths = {
        "/opt/spanverdict/bin/spanverdict": program,
        "/etc/spanverdict/spanverdict.toml": workdir / "spanverdict.toml",
        "/srv/spanverdict": workdir,
    }

    def here_instead(text: str) -> str:
        for path, instead in paths.items():
            text = text.replace(path, str(instead))
        return text

    return here_instead


@pytest.fixture
def due(workdir: Path, db: StoreAddress, installed: Callable[[str], str]) -> None:  # noqa: ARG001 (its configuration is read)
    """Lets a report be due: the schedule was seen long ago."""
    with store_at(db) as store:
        schedule_runs.register(store, load(workdir / "spanverdict.toml").schedule, BEGAN)


def check_made(done: subprocess.CompletedProcess[str]) -> None:
    """The command has made the report that was due: there is nothing to compare yet."""
    assert (done.returncode, done.stderr) == (3, "")
    assert re.fullmatch(r"n \S+T00:30:00Z p: No verdict on p: .*\n", done.stdout)


def check_looked(db: StoreAddress, done: subprocess.CompletedProcess[str]) -> None:
    """The command has seen the schedule, which begins with its next slot."""
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    with store_at(db) as store:
        assert store.read("SELECT schedule FROM schedules").to_pylist() == [{"schedule": "n"}]


def run(words: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command line as a scheduler does, with next to nothing in its environment."""
    return subprocess.run(
        words, capture_output=True, text=True, timeout=120, check=False, env={"PATH": os.defpath}, cwd="/", **options
    )


@pytest.mark.usefixtures("due")
def test_the_line_of_the_crontab(installed: Callable[[str], str]) -> None:
    """Five fields and a command that a shell runs, without the % that cron takes for a line's end."""
    (block,) = blocks("crontab")
    *fields, line = block.strip().split(maxsplit=5)
    assert check_cron(" ".join(fields))
    assert "%" not in line
    check_made(run(["/bin/sh", "-c", installed(line)]))


@pytest.mark.usefixtures("due")
def test_the_units_of_systemd(installed: Callable[[str], str], tmp_path: Path) -> None:
    """The units pass systemd's own check; what the service starts makes the report, and its status is a success."""
    service, timer = (installed(text) for text in blocks("ini"))
    files = [tmp_path / "spanverdict-reports.service", tmp_path / "spanverdict-reports.timer"]
    units = []
    for file, text in zip(files, (service, timer), strict=True):
        assert f"/{file.name}\n" in text
        file.write_text(text)
        unit = configparser.ConfigParser(interpolation=None)
        unit.optionxform = str  # type: ignore[assignment, method-assign]
        unit.read_string(text)
        units.append(unit)
    if shutil.which("systemd-analyze"):
        verified = run(["systemd-analyze", "verify", *map(str, files)])
        assert (verified.returncode, verified.stderr) == (0, "")
    assert units[1]["Install"]["WantedBy"] == "timers.target"
    done = run(shlex.split(units[0]["Service"]["ExecStart"]))
    assert str(done.returncode) in units[0]["Service"]["SuccessExitStatus"].split()
    check_made(done)


def test_the_dag_of_airflow(db: StoreAddress, installed: Callable[[str], str]) -> None:
    """The code parses, and the operator's command looks for reports."""
    (text,) = blocks("python", "airflow")
    calls = {call.func.id: call for call in ast.walk(ast.parse(installed(text)))
             if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)}  # fmt: skip
    given = {name: {word.arg: word.value for word in calls[name].keywords} for name in ("DAG", "BashOperator")}
    assert check_cron(ast.literal_eval(given["DAG"]["schedule"]))
    command = ast.literal_eval(given["BashOperator"]["bash_command"])
    assert ast.literal_eval(given["BashOperator"]["skip_on_exit_code"]) == 3
    check_looked(db, run(["/bin/sh", "-c", command]))


def test_the_job_of_dagster(db: StoreAddress, installed: Callable[[str], str]) -> None:
    """The code parses, and the command that its op runs looks for reports."""
    (text,) = blocks("python", "dagster")
    tree = ast.parse(installed(text))
    (command,) = [node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "COMMAND"]
    (cron,) = [word.value for word in ast.walk(tree) if isinstance(word, ast.keyword) and word.arg == "cron_schedule"]
    assert check_cron(ast.literal_eval(cron))
    check_looked(db, run(ast.literal_eval(command)))


def test_the_cron_job_of_kubernetes(db: StoreAddress, installed: Callable[[str], str]) -> None:
    """The documents fit together, and what is run in the pod looks for reports."""
    (text,) = blocks("yaml")
    job, account, role, binding = YAML(typ="safe").load_all(installed(text))
    assert [each["kind"] for each in (job, account, role, binding)] == [
        "CronJob",
        "ServiceAccount",
        "Role",
        "RoleBinding",
    ]
    assert check_cron(job["spec"]["schedule"])
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == account["metadata"]["name"] == binding["subjects"][0]["name"]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    (container,) = pod["containers"]
    assert container["command"][-1] == "--", "what follows is for the pod"
    check_looked(db, run(container["args"]))
