"""Values that are large beside the database's memory: whoever sends one harms nobody else."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from collector.ingest import Ingest, StoppedError
from collector.ingest_limits import Limits
from collector.signals import Signal
from spanverdict.config_sections import ServerConfig
from sql.committing_writer import CommittingWriter
from sql.lake_address import LakeAddress
from sql.lake_store import LakeStore

Otlp = Any
Sent = Callable[[bytes], Future[Any]]


def payload(otlp: Otlp, number: int, size: int) -> bytes:
    """A request of one span of its own trace with a text of so many characters."""
    span = {"trace_id": number.to_bytes(16, "big"), "attributes": {"gen_ai.input.messages": "x" * size}}
    data: bytes = otlp.request(span).SerializeToString()
    return data


def test_the_largest_that_is_taken_is_stored(lake: LakeAddress, otlp: Otlp) -> None:
    """With what a collector's database may take of memory by default, beside rows that are there already."""
    with LakeStore(lake, memory_limit=ServerConfig().memory_for(lake)) as store:
        ingest = Ingest(CommittingWriter(store), Limits.of_commits())
        ingest.start()
        try:
            assert ingest.submit(Signal.TRACES, payload(otlp, 1, 10)).result(60).records == 1
            assert ingest.submit(Signal.TRACES, payload(otlp, 2, 60 * 2**20)).result(60).records == 1
        finally:
            ingest.stop()


def test_one_that_does_not_fit_is_refused_alone(lake: LakeAddress, otlp: Otlp) -> None:
    """Those that share its commit are stored, and so is the next one, at once."""
    with LakeStore(lake, memory_limit="80MB") as store:
        ingest = Ingest(CommittingWriter(store), Limits(linger_seconds=0.5))
        ingest.start()
        try:
            small, large, other = (
                ingest.submit(Signal.TRACES, payload(otlp, number, size))
                for number, size in ((1, 10), (2, 40 * 2**20), (3, 10))
            )
            assert (small.result(60).records, other.result(60).records) == (1, 1)
            with pytest.raises(StoppedError, match="not enough memory"):
                large.result(60)
            assert ingest.submit(Signal.TRACES, payload(otlp, 4, 10)).result(60).records == 1
        finally:
            ingest.stop()
        traces = store.read("SELECT trace_id::INT AS trace FROM spans ORDER BY 1")["trace"].to_pylist()
    assert traces == [1, 3, 4]
