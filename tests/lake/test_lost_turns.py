"""A turn that is lost between its last check and the commit: the worst moment."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest

from collector.decode import decode_traces
from collector.rows import arrivals, span_rows
from collector.signals import Signal
from sql.errors import StoreUnavailableError
from sql.lake_address import LakeAddress
from sql.lake_store import LakeStore
from sql.lake_turn import Turn
from sql.telemetry_writer import ARRIVALS, numbered
from tests.conftest import Otlp
from tests.postgres import Postgres

WRITING = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"


def request(otlp: Otlp, *spans: dict[str, Any]) -> dict[str, pa.Table]:
    """What a collector commits of a request."""
    at = datetime(2026, 11, 2)
    rows = span_rows(decode_traces([otlp.request(*spans).SerializeToString()]), [None], at)
    return {**rows.tables, ARRIVALS: numbered(arrivals(Signal.TRACES, rows, at), 0)}


def test_what_two_collectors_store_at_once_is_there_once(
    postgres: Postgres, lake: LakeAddress, otlp: Otlp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A collector that hung before its commit lost its turn, and another one was sent the same; one of each stays."""
    same = request(otlp, {"name": "a"}, {"name": "b"})
    database = lake.catalog.rpartition("/")[2]
    check = Turn.check
    with LakeStore(lake) as hung, LakeStore(lake) as other:

        def lose(turn: Turn) -> None:
            check(turn)
            monkeypatch.setattr(Turn, "check", check)
            assert postgres.execute(WRITING, database)
            other.write(same)

        monkeypatch.setattr(Turn, "check", lose)
        with pytest.raises(StoreUnavailableError, match="went away"):
            hung.write(same)
        count: dict[str, Any] = {"query": "SELECT name, count(*) AS n FROM spans GROUP BY ALL ORDER BY ALL"}
        assert other.read(**count).to_pylist() == [{"name": "a", "n": 2}, {"name": "b", "n": 2}]
        hung.write(request(otlp, {"name": "c", "span_id": bytes(7) + b"\x09"}))
        assert [row["n"] for row in other.read(**count).to_pylist()] == [1, 1, 1]
        (ledger,) = other.read("SELECT accepted, stored, rejected, duplicate FROM ingest_ledger").to_pylist()
        assert ledger == {"accepted": 5, "stored": 3, "rejected": 0, "duplicate": 2}
