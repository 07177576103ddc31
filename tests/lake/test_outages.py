"""The catalog or the object store is away for a while: senders are told to come again, and nobody restarts anything."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from sql.lake_address import LakeAddress
from tests.conftest import Otlp, Server
from tests.postgres import ObjectStore, Postgres

NewLake = Callable[[Path | str], LakeAddress]
StartServer = Callable[..., Server]


def sent(server: Server, request: Any) -> grpc.StatusCode:
    """How a collector answers one request."""
    with grpc.insecure_channel(server.told.grpc) as channel:
        try:
            TraceServiceStub(channel).Export(request, timeout=10)
        except grpc.RpcError as error:
            return error.code()
    return grpc.StatusCode.OK


def sent_until_taken(server: Server, request: Any) -> set[grpc.StatusCode]:
    """Send as an exporter does, a second apart; what the answers were before it was taken."""
    answers = set()
    deadline = time.monotonic() + 60
    while (answer := sent(server, request)) is not grpc.StatusCode.OK:
        answers.add(answer)
        assert time.monotonic() < deadline
        time.sleep(0.5)
    return answers


def went_on(server: Server, otlp: Otlp, stop: Callable[[], None], start: Callable[[], None]) -> None:
    """What was sent before, during and after an outage is stored once; during it the collector says UNAVAILABLE."""
    requests = [otlp.request({"trace_id": bytes([number]) * 16}) for number in (1, 2, 3)]
    assert sent(server, requests[0]) is grpc.StatusCode.OK
    stop()
    try:
        assert sent(server, requests[1]) is grpc.StatusCode.UNAVAILABLE
        assert sent(server, requests[1]) is grpc.StatusCode.UNAVAILABLE
    finally:
        start()
    assert sent_until_taken(server, requests[1]) <= {grpc.StatusCode.UNAVAILABLE}
    assert sent(server, requests[2]) is grpc.StatusCode.OK
    found = server.sql("SELECT trace_id[1:2] AS trace, count(*) AS n FROM spans GROUP BY ALL ORDER BY 1")
    assert found == [{"trace": f"0{number}", "n": 1} for number in (1, 2, 3)]
    assert "Traceback" not in server.log.read_text()
    assert server.stop() == 0


def test_the_catalog_goes_and_comes(
    postgres: Postgres, lake: LakeAddress, start_server: StartServer, otlp: Otlp
) -> None:
    """PostgreSQL is stopped, and started again."""
    went_on(start_server(lake), otlp, postgres.stop, postgres.start)


@pytest.mark.slow
def test_the_object_store_goes_and_comes(
    object_store: ObjectStore, new_lake: NewLake, start_server: StartServer, otlp: Otlp
) -> None:
    """The S3-compatible server is stopped, and started again with what it held."""
    went_on(start_server(new_lake("s3://spans/outage")), otlp, object_store.stop, object_store.start)
