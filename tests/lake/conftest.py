"""Fixtures of the tests of what only a shared store has."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

from collector.decode import decode_traces
from collector.rows import span_rows
from spanverdict.cli import main
from sql.lake_address import LakeAddress
from tests.conftest import Otlp


@pytest.fixture
def rows(otlp: Otlp) -> Callable[..., dict[str, pa.Table]]:
    """Makes the rows of a request with the given spans."""

    def made(*spans: dict[str, Any]) -> dict[str, pa.Table]:
        body = otlp.request(*spans).SerializeToString()
        return dict(span_rows(decode_traces([body]), [None], datetime(2026, 11, 2)).tables)

    return made


@pytest.fixture
def cli() -> Callable[..., Result]:
    """Runs a command in this process; whatever is wrong must end as a sentence and a status."""

    def run(*arguments: object) -> Result:
        result = CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="spanverdict")
        assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
        return result

    return run


@pytest.fixture
def lake(new_lake: Callable[[Path | str], LakeAddress], tmp_path: Path) -> LakeAddress:
    """An empty lake in a folder."""
    return new_lake(tmp_path / "lake")
