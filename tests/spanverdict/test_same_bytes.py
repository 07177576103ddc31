"""The same data, moment and configuration give the same report, to the byte, however the data came."""

from __future__ import annotations

import gzip
import json
import random
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tests.stores import address_of, store_at

pytestmark = pytest.mark.any_store(slow=True)

TIMES_OF_ARRIVAL = ("live_spans", "evaluations", "feedback")


def torn(request: dict[str, Any]) -> Iterator[str]:
    """An export request as lines of one span or log record each."""
    of = next(key for key in request if key.startswith("resource"))
    for resource in request[of]:
        scopes = next(key for key in resource if key.startswith("scope"))
        for scope in resource[scopes]:
            records = next(key for key in ("spans", "logRecords") if key in scope)
            for record in scope[records]:
                yield json.dumps({of: [{**resource, scopes: [{**scope, records: [record]}]}]}) + "\n"


def shuffled(given: Path, folder: Path) -> None:
    """What was simulated, each span and record alone, in another order and other files; feedback likewise."""
    chance = random.Random(8)  # noqa: S311 (an order, not a secret)
    (folder / "otlp").mkdir(parents=True)
    for kind in ("traces", "logs"):
        days = sorted((given / "otlp").glob(f"*.{kind}.jsonl.gz"))
        requests = [line for day in days for line in gzip.decompress(day.read_bytes()).splitlines()]
        lines = [line for request in requests for line in torn(json.loads(request))]
        chance.shuffle(lines)
        for number in range(3):
            (folder / "otlp" / f"{number}.{kind}.jsonl").write_text("".join(lines[number::3]), "utf-8")
    header, *told = (given / "feedback.csv").read_text("utf-8").splitlines(keepends=True)
    chance.shuffle(told)
    (folder / "feedback.csv").write_text("".join([header, *told]), "utf-8")


def test_reports_do_not_depend_on_how_the_data_came(
    cli: Callable[..., Result],
    command: Callable[..., subprocess.CompletedProcess[str]],
    start_server: Callable[..., Any],
    workdir: Path,
) -> None:
    """Other order, other requests, other days of arrival, through a server, on one thread: the same JSON and HTML."""
    given, other = workdir / "given", workdir / "other"
    size = ("--cohorts", "2", "--days", "1", "--scale", "0.02", "--seed", "3")
    printed = cli("simulate", "--scenario", "retrieval-regression", *size, "--out", given).stdout
    *steps, report = [shlex.split(line)[1:] for line in printed.splitlines()]
    as_of = ("--as-of", json.loads((given / "truth.json").read_text("utf-8"))["all_mature_at"])
    shuffled(given, other)
    direct, served = address_of(workdir / "direct.duckdb"), address_of(workdir / "served.duckdb")
    store_at(direct).close()
    for step in steps:
        assert cli(*step, "--db", direct).exit_code == 0
    with store_at(direct) as store, store._cursor() as cursor:
        for table in TIMES_OF_ARRIVAL:
            cursor.execute(f"UPDATE {table} SET received_at = received_at - INTERVAL 9 DAY")
    start_server(served)
    for step in reversed(steps):
        done = cli(*(part.replace(str(given), str(other)) for part in step), "--db", served)
        assert done.exit_code == 0, done.stderr
    first = cli(*report, *as_of, "--db", direct, "--format", "json")
    second = command(*report, *as_of, "--db", served, "--format", "json", POLARS_MAX_THREADS="1")
    assert json.loads(first.stdout)["cohorts"][1]["traces"]["base"] > 10
    assert first.stdout == second.stdout
    assert first.stderr == second.stderr, "and so the same identity"
    identity = first.stderr.split()[-1].removesuffix(".")
    pages = [cli("reports", "show", identity, "--format", "html", "--db", store).stdout for store in (direct, served)]
    assert pages[0] == pages[1]
