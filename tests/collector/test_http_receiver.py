"""OTLP/HTTP against a real server: every rule of the specification, and what hostile senders try."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict, Parse
from google.rpc.status_pb2 import Status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

PROTOBUF = "application/x-protobuf"
JSON = "application/json"

NAMES_ARE_STRICT = {"05-snake-case-keys.json": {200}, "06-enum-name-strings.json": {200, 400}}
"""Fixtures that the specification leaves to the receiver → the statuses that are right."""


@dataclass(frozen=True)
class Answer:
    """A response, whole."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def error(self) -> Status:
        """The body as google.rpc.Status, in whichever encoding it says it has."""
        if self.headers["Content-Type"].partition(";")[0] == PROTOBUF:
            return Status.FromString(self.body)
        return Parse(self.body, Status())


def post(server: Any, body: Any, path: str = "/v1/traces", method: str = "POST", **headers: str) -> Answer:
    """Send one request; a header's underscores are hyphens. Protobuf unless told otherwise."""
    connection = http.client.HTTPConnection(server.told.http, timeout=30)
    named = {"Content-Type": PROTOBUF} | {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, path, body, {name: value for name, value in named.items() if value})
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


@pytest.fixture
def payload(otlp: Any) -> bytes:
    """A sound trace request."""
    return otlp.request({"name": "hello"}).SerializeToString()  # type: ignore[no-any-return]


def names(server: Any) -> list[str]:
    """The names of the spans stored."""
    return [row["name"] for row in server.sql("SELECT name FROM spans ORDER BY name")]


def logs() -> ExportLogsServiceRequest:
    """A sound log request."""
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=1_793_000_000_000_000_000)
    return request


def test_an_export_is_stored_and_answered_in_its_own_encoding(server: Any, payload: bytes, otlp: Any) -> None:
    """Protobuf and JSON, with parameters and in any case, each coding; full success is the empty message."""
    kinds = [PROTOBUF, JSON, f"{PROTOBUF}; charset=utf-8", "Application/JSON;charset=UTF-8"]
    number = 0
    for kind in kinds:
        for coding in ("", "identity", "none", "gzip", "GZIP"):
            number += 1
            request = otlp.request({"trace_id": number.to_bytes(16, "big"), "name": f"{kind} {coding}"})
            body = json.dumps(otlp_json(request)).encode() if "json" in kind.lower() else request.SerializeToString()
            body = gzip.compress(body) if coding.lower() == "gzip" else body
            answer = post(server, body, Content_Type=kind, Content_Encoding=coding)
            assert answer.status == 200, (kind, coding, answer.body)
            assert answer.headers["Content-Type"].partition(";")[0] == kind.partition(";")[0].lower()
            assert answer.body == (b"{}" if "json" in kind.lower() else b"")
    assert len(names(server)) == number
    assert post(server, logs().SerializeToString(), "/v1/logs").status == 200
    assert server.sql("SELECT count(*) AS n FROM log_records") == [{"n": 1}]
    members = gzip.compress(payload[:20]) + gzip.compress(payload[20:])
    assert post(server, members, Content_Encoding="gzip").status == 200
    assert "hello" in names(server)
    assert post(server, iter([payload[:20], payload[20:]])).status == 200, "chunked, of no declared length"


def otlp_json(request: ExportTraceServiceRequest) -> Any:
    """The request as OTLP/JSON: ids in hex, enums as numbers."""
    value = MessageToDict(request, use_integers_for_enums=True)
    for resource, sent in zip(value["resourceSpans"], request.resource_spans, strict=True):
        for scope, sent_scope in zip(resource["scopeSpans"], sent.scope_spans, strict=True):
            for span, sent_span in zip(scope["spans"], sent_scope.spans, strict=True):
                span |= {"traceId": sent_span.trace_id.hex(), "spanId": sent_span.span_id.hex()}
    return value


def test_partial_success(server: Any, otlp: Any) -> None:
    """Refused spans are counted and explained, in protobuf and in JSON; the rest is stored."""
    request = otlp.request({"trace_id": bytes(16)}, {})
    answer = post(server, request.SerializeToString())
    told = ExportTraceServiceResponse.FromString(answer.body).partial_success
    assert (answer.status, told.rejected_spans) == (200, 1)
    assert "trace id" in told.error_message
    answer = post(server, json.dumps(otlp_json(request)), Content_Type=JSON)
    assert json.loads(answer.body)["partialSuccess"]["rejectedSpans"] == "1"
    assert len(names(server)) == 1


REFUSALS: list[tuple[dict[str, Any], int]] = [
    ({"path": "/v1/profiles"}, 404),
    ({"path": "/"}, 404),
    ({"path": "/v1/traces/"}, 404),
    ({"method": "GET"}, 405),
    ({"method": "PUT"}, 405),
    ({"Content_Type": "text/plain"}, 415),
    ({"Content_Type": ""}, 415),
    ({"Content_Encoding": "br"}, 415),
    ({"Content_Encoding": "gzip, gzip"}, 415),
    ({"Content_Encoding": "gzip"}, 400),
    ({"body": b"\x0a\xff\xff"}, 400),
    ({"body": b"{", "Content_Type": JSON}, 400),
    ({"body": b"[]", "Content_Type": JSON}, 400),
    ({"body": b"\xff", "Content_Type": JSON}, 400),
    ({"body": b'{"resourceSpans": 1}', "Content_Type": JSON}, 400),
    ({"body": b"[" * 100_000, "Content_Type": JSON}, 400),
    ({"body": gzip.compress(b"x" * 1000)[:-9], "Content_Encoding": "gzip"}, 400),
    ({"body": gzip.compress(b"") + b"rest", "Content_Encoding": "gzip"}, 400),
    ({"body": logs().SerializeToString()}, 400),
]


def test_refusals(shared_server: Any) -> None:
    """Each has its status, and a google.rpc.Status with a sentence, in the request's encoding where that is known."""
    for case, status in REFUSALS:
        given_case = {"body": b"x"} | case
        answer = post(shared_server, **given_case)
        assert answer.status == status, (case, answer.body)
        assert answer.error().code in {3, 12}
        assert answer.error().message.endswith(".")
        expected = PROTOBUF if given_case.get("Content_Type", PROTOBUF) == PROTOBUF else JSON
        assert answer.headers["Content-Type"].partition(";")[0] == expected
        assert (answer.headers["Allow"] == "POST") is (status == 405)
        assert answer.headers["Retry-After"] is None


def test_logs_sent_as_traces_are_told_where_to_go(shared_server: Any, payload: bytes) -> None:
    """Binary logs on the traces path are refused with a hint, with ids and without; spans with empty ids are not."""
    linked = logs()
    record = linked.resource_logs[0].scope_logs[0].log_records[0]
    record.trace_id, record.span_id, record.body.string_value = b"t" * 16, b"s" * 8, "text"
    for sent in (logs(), linked):
        answer = post(shared_server, sent.SerializeToString())
        assert answer.status == 400
        assert "/v1/logs" in answer.error().message
    bare = ExportTraceServiceRequest()
    bare.resource_spans.add().scope_spans.add().spans.add(name="no ids", start_time_unix_nano=1)
    answer = post(shared_server, bare.SerializeToString())
    assert ExportTraceServiceResponse.FromString(answer.body).partial_success.rejected_spans == 1
    assert post(shared_server, payload).status == 200


def test_metrics_are_taken_and_not_kept(server: Any) -> None:
    """Exporters send all signals: metrics get success, in their own encoding; the log says so once."""
    assert post(server, b"x", "/v1/metrics").body == b""
    assert post(server, b"{}", "/v1/metrics", Content_Type=JSON).body == b"{}"
    server.stop()
    log = server.log.read_text()
    assert log.count("metrics, which are taken and not kept") == 1


def test_every_protocol_fixture(server: Any, shared_fixtures: Path, load_json: Callable[[Path], Any]) -> None:
    """The edge cases of OTLP/JSON: success but for what the specification leaves open, and stored as they should be."""
    folder = shared_fixtures / "protocol-edge"
    index = load_json(folder / "index.json")
    assert len(index) >= 19
    answers = {}
    for case in index:
        answer = post(server, (folder / case["file"]).read_bytes(), Content_Type=JSON)
        assert answer.status in NAMES_ARE_STRICT.get(case["file"], {200}), (case, answer.body)
        answers[case["file"]] = json.loads(answer.body)
    assert answers["12-all-zero-ids.json"]["partialSuccess"]["rejectedSpans"] == "3"
    for name in ("08-empty-request.json", "09-empty-object.json", "10-empty-envelope.json",
                 "18-logs-posted-to-traces.json", "13-duplicate-span.json"):  # fmt: skip
        assert answers[name] == {}
    assert server.sql("SELECT count(*) AS n FROM spans WHERE trace_id <> lower(trace_id)") == [{"n": 0}]
    assert server.sql("SELECT count(*) - count(DISTINCT (trace_id, span_id)) AS n FROM spans") == [{"n": 0}]


def test_the_official_exporter_with_gzip(server: Any) -> None:
    """The Python SDK's HTTP exporter, pointed here, delivers."""
    exporter = OTLPSpanExporter(f"http://{server.told.http}/v1/traces", compression=Compression.Gzip)
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("test").start_as_current_span("from the SDK"):
        pass
    provider.shutdown()
    assert names(server) == ["from the SDK"]


def test_the_limit_holds_before_and_after_decompression(configured: Callable[[str], Any], otlp: Any) -> None:
    """413 for a body that is too large, declared, chunked, or unpacked; the server stays small and answers others."""
    server = configured("[server]\nmax_request_mib = 2\n")
    large = bytes(2 * 2**20 + 1)
    bomb = gzip.compress(bytes(2**20)) * 2000
    for case in ({"body": large}, {"body": iter([large])}, {"body": bomb, "Content_Encoding": "gzip"},
                 {"body": gzip.compress(large), "Content_Encoding": "gzip"}):  # fmt: skip
        answer = post(server, **case)
        assert (answer.status, answer.error().code) == (413, 8)
        assert "2 MiB" in answer.error().message
    fits = otlp.request({"name": "fits", "attributes": {"text": "x" * (2 * 2**20 - 1000)}}).SerializeToString()
    assert post(server, gzip.compress(fits), Content_Encoding="gzip").status == 200
    assert names(server) == ["fits"]


def test_overload_is_503_and_soon_over(configured: Callable[[str], Any], otlp: Any) -> None:
    """What does not fit beside what arrives is refused at once with Retry-After; a staller is cut off for others."""
    server = configured("[ingest]\nwaiting_mib = 8\n[server]\nmax_request_mib = 8\n")
    host, _, port = server.told.http.rpartition(":")
    text = otlp.request({"name": "in time", "attributes": {"text": "x" * (4 * 2**20)}}).SerializeToString()
    with socket.create_connection((host, int(port)), timeout=20) as staller:
        staller.sendall(
            f"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: {PROTOBUF}\r\n"
            f"Content-Length: {7 * 2**20}\r\n\r\nabc".encode()
        )
        time.sleep(0.5)
        started = time.monotonic()
        refused = post(server, text)
        assert time.monotonic() - started < 1
        assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
        assert refused.error().code == 14
        assert refused.error().details[0].type_url.endswith("google.rpc.RetryInfo")
        time.sleep(2)
        assert post(server, text).status == 200
        assert staller.recv(100).startswith(b"HTTP/1.1 503")
    assert names(server) == ["in time"]


def test_a_body_that_breaks_off_harms_nobody(shared_server: Any, payload: bytes) -> None:
    """Clients that go in the middle, or send broken chunks, leave nothing behind."""
    host, _, port = shared_server.told.http.rpartition(":")
    head = f"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: {PROTOBUF}\r\n"
    for rest in ("Content-Length: 1000\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nab"):
        with socket.create_connection((host, int(port)), timeout=20) as client:
            client.sendall((head + rest).encode())
    with socket.create_connection((host, int(port)), timeout=20) as client:
        client.sendall((head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n").encode())
        assert b" 400 " in client.recv(1000).partition(b"\r\n")[0]
    assert post(shared_server, payload).status == 200


def test_expect_continue(shared_server: Any, payload: bytes) -> None:
    """A client that asks first is told to go on, and answered."""
    host, _, port = shared_server.told.http.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as client:
        client.sendall(
            f"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: {PROTOBUF}\r\nExpect: 100-continue\r\n"
            f"Content-Length: {len(payload)}\r\n\r\n".encode()
        )
        assert client.recv(1000).startswith(b"HTTP/1.1 100 ")
        client.sendall(payload)
        assert client.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_tokens(guarded: Any, payload: bytes) -> None:
    """Without the token 401 and what is asked for; with it the sender's attributes go over what the sender says."""
    for given_header in ("", "Bearer wrong", "Basic s3cret"):
        answer = post(guarded, payload, Authorization=given_header)
        assert (answer.status, answer.error().code) == (401, 16)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert post(guarded, b"", "/v1/metrics").status == 401
    assert post(guarded, payload, Authorization="Bearer s3cret").status == 200
    query = "SELECT attributes->>'service.namespace' AS namespace FROM resources"
    assert guarded.sql(query) == [{"namespace": "shop"}]
    guarded.stop()
    assert "s3cret" not in (guarded.db.parent / "server-0.log").read_text()


def test_tls(configured: Callable[[str], Any], certificates: Any, payload: bytes) -> None:
    """With client_ca only clients with a certificate of it get through, and none with less than TLS 1.2."""
    server = configured(
        f"[server.tls]\ncertificate = '{certificates.server}'\nkey = '{certificates.server_key}'\n"
        f"client_ca = '{certificates.ca}'\n"
    )

    def status(context: ssl.SSLContext) -> int:
        connection = http.client.HTTPSConnection(server.told.http, timeout=20, context=context)
        try:
            connection.request("POST", "/v1/traces", payload, {"Content-Type": PROTOBUF})
            return connection.getresponse().status
        finally:
            connection.close()

    known = ssl.create_default_context(cafile=str(certificates.ca))
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
        status(known)
    known.load_cert_chain(certificates.client, certificates.client_key)
    assert status(known) == 200
    known.maximum_version = ssl.TLSVersion.TLSv1_3
    assert status(known) == 200
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        post(server, payload)
    assert names(server) == ["hello"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.one_of(
        st.binary(max_size=300),
        st.binary(max_size=300).map(gzip.compress),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
            lambda inner: st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["resourceSpans", "scopeSpans", "spans", "traceId", "spanId", "name", "attributes",
                                 "key", "value", "stringValue", "intValue", "kind", "startTimeUnixNano", "x"]),
                inner, max_size=4,
            ),
            max_leaves=20,
        ).map(lambda value: json.dumps(value).encode()),
    ),
    kind=st.sampled_from([PROTOBUF, JSON]),
    coding=st.sampled_from(["", "gzip"]),
    path=st.sampled_from(["/v1/traces", "/v1/logs"]),
)  # fmt: skip
def test_whatever_is_sent_is_never_the_servers_fault(
    shared_server: Any, body: bytes, kind: str, coding: str, path: str
) -> None:
    """Any bytes as either encoding, compressed or not: 200 or 400, never a status that is sent again for ever."""
    answer = post(shared_server, body, path, Content_Type=kind, Content_Encoding=coding)
    assert answer.status in {200, 400}, answer.body


def test_many_senders_at_once(server: Any, otlp: Any) -> None:
    """Concurrent exports are all stored, and SIGTERM afterwards ends the server cleanly."""
    statuses = []

    def send(number: int) -> None:
        request = otlp.request({"trace_id": (number + 1).to_bytes(16, "big"), "name": f"{number}"})
        statuses.append(post(server, request.SerializeToString()).status)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 40
    assert len(names(server)) == 40
    assert server.stop() == 0


def test_each_refusal_is_counted_by_its_reason(configured: Callable[[str], Any]) -> None:
    """Whatever is answered with an error stands on the metrics page, also what never reached the queue."""
    server = configured("[server]\nmax_request_mib = 1")
    post(server, b"\xff" * 9)
    post(server, b"{", Content_Type=JSON)
    post(server, b"no gzip", Content_Encoding="gzip")
    post(server, gzip.compress(bytes(2**21)), Content_Encoding="gzip")
    post(server, b"", method="PUT")
    post(server, b"", path="/elsewhere")
    connection = http.client.HTTPConnection(server.told.monitoring, timeout=30)
    connection.request("GET", "/metrics")
    page = connection.getresponse().read().decode()
    connection.close()
    for reason, number in {"malformed": 3, "too_large": 1, "unsupported": 2}.items():
        assert f'spanverdict_requests_refused_total{{reason="{reason}"}} {number}.0' in page
