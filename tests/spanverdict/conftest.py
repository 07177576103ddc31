"""Fixtures of the command line's tests: a clean working directory, the command, a store with a known incident."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from jsonschema import Draft202012Validator

from analytics.report.schema import text
from collector.decode import decode_traces
from collector.rows import span_rows
from spanverdict.cli import main
from sql.address import StoreAddress
from tests.processes import PRODUCT_PATH
from tests.stores import address_of, lakes, store_at

MadeOnce = Callable[[str, Callable[[StoreAddress], object]], StoreAddress]

DEFAULT = "spanverdict.duckdb"
"""The store that every command takes by default."""

BEGAN = datetime(2026, 11, 2)


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and an environment without the product's variables."""
    for name in [name for name in os.environ if name.startswith("SPANVERDICT_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    if lakes():
        monkeypatch.setenv("SPANVERDICT_DB", str(address_of(tmp_path / DEFAULT)))
    return tmp_path


@cache
def report_schema() -> Draft202012Validator:
    """The published schema of reports in JSON."""
    return Draft202012Validator(json.loads(text()))


@pytest.fixture
def cli(workdir: Path) -> Callable[..., Result]:  # noqa: ARG001 (run there)
    """Runs a command in this process; whatever is wrong must end as a sentence and a status, never as an exception.

    Whatever report a test makes in JSON has to be valid under the published schema.
    """

    def run(*arguments: object) -> Result:
        result = CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="spanverdict")
        assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
        if arguments[0] == "report" and "json" in arguments and result.stdout:
            report_schema().validate(json.loads(result.stdout))
        return result

    return run


@pytest.fixture
def command(workdir: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command in its own process, as a person would."""

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "spanverdict", *(str(argument) for argument in arguments)],
            capture_output=True, text=True, timeout=120, check=False, cwd=workdir,
            env={**os.environ, "PYTHONPATH": PRODUCT_PATH, **environment},
        )  # fmt: skip

    return run


_MADE: dict[str, bytes] = {}
"""Stores as they were made the first time: to make one takes longer than most of what is tested with it."""


def _again(name: str, path: Path, make: Callable[[StoreAddress], object], folder: Path) -> StoreAddress:
    """The store of a name at a path: made, or a copy of the one that was."""
    if found := lakes():
        if found.knows(name):
            found.again(name, path)
        else:
            make(found.at(path))
            found.keep(name, path, folder)
        return found.at(path)
    if name not in _MADE:
        make(path)
        _MADE[name] = path.read_bytes()
    path.write_bytes(_MADE[name])
    path.chmod(0o600)
    return path


@pytest.fixture
def made_once(workdir: Path, tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """Makes the store that every command takes by default, or copies the one that was made under the same name before.

    Given that name, and what makes it of the store that is there.
    """

    def make_once(name: str, make: Callable[[StoreAddress], object]) -> StoreAddress:
        return _again(name, workdir / DEFAULT, make, tmp_path_factory.getbasetemp() / "kept")

    return make_once


@pytest.fixture
def db(made_once: MadeOnce) -> StoreAddress:
    """An empty store, the one that every command takes by default."""
    return made_once("db", lambda address: store_at(address).close())


@pytest.fixture
def fill(otlp: Any) -> Callable[..., None]:
    """Puts traffic of one model into a store: a trace every 17 minutes, of which a percentage fails."""

    def fill_store(path: StoreAddress, model: str, failing: int, traces: int = 400) -> None:
        spans = []
        for number in range(traces):
            known = hashlib.blake2b(f"{model}-{number}".encode(), digest_size=16).digest()
            begin = int((BEGAN + timedelta(minutes=17 * number)).replace(tzinfo=UTC).timestamp()) * 10**9
            attributes = {
                "gen_ai.operation.name": "chat", "gen_ai.request.model": model, "app.cohort": "refunds",
                "gen_ai.usage.input_tokens": 100 + number % 7, "gen_ai.usage.output_tokens": 20, "user.id": known.hex(),
            }  # fmt: skip
            spans.append({
                "trace_id": known, "span_id": known[:8], "name": "chat", "attributes": attributes,
                "start_time_unix_nano": begin, "end_time_unix_nano": begin + (800 + number * 37 % 400) * 10**6,
                "status": {"code": 2 if number % 100 < failing else 0},
            })  # fmt: skip
        with store_at(path) as store:
            store.write(span_rows(decode_traces([otlp.request(*spans).SerializeToString()]), [None], BEGAN).tables)

    return fill_store


@pytest.fixture
def promoted(db: StoreAddress, made_once: MadeOnce, cli: Callable[..., Result]) -> StoreAddress:  # noqa: ARG001 (there already)
    """A store with the promotion p of m1 beside m0, and no traffic."""

    def make(_: StoreAddress) -> None:
        added = cli(
            "promotion", "add", "p", "--base", "m0", "--candidate", "m1", "--at", "2026-11-02T00:00Z",
            "--cohort-by", "app.cohort",
        )  # fmt: skip
        assert added.exit_code == 0

    return made_once("promoted", make)


@pytest.fixture
def incident(promoted: StoreAddress, made_once: MadeOnce, fill: Callable[..., None]) -> StoreAddress:  # noqa: ARG001
    """A store in which the candidate fails ten times as often as the base."""

    def make(address: StoreAddress) -> None:
        fill(address, "m0", failing=3)
        fill(address, "m1", failing=30)

    return made_once("incident", make)
