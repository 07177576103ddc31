"""`POST /v1/feedback` against a real server: stored once and durably, refused in words, open to whom it should be."""

from __future__ import annotations

import gzip
import http.client
import json
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from collector.credentials import token_hash

pytestmark = pytest.mark.any_store(slow=True)


TRACE = "0af7651916cd43dd8448eb211c80319c"
THUMB = {"name": "thumbs_down", "value": True, "trace_id": TRACE}
ORIGIN = "https://shop.example"

PREFLIGHT = {"method": "OPTIONS", "Access_Control_Request_Method": "POST"}


@dataclass(frozen=True)
class Answer:
    """A response, whole."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def told(self) -> Any:
        """The body, as JSON."""
        return json.loads(self.body)


def post(server: Any, body: Any, path: str = "/v1/feedback", method: str = "POST", **headers: str) -> Answer:
    """Send one request; a header's underscores are hyphens; what is no text or bytes is sent as JSON."""
    connection = http.client.HTTPConnection(server.told.http, timeout=30)
    named = {"Content-Type": "application/json"} | {name.replace("_", "-"): text for name, text in headers.items()}
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        connection.request(method, path, data, {name: text for name, text in named.items() if text})
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def ledger(server: Any) -> tuple[int, ...]:
    """What the ledger says of feedback: accepted, stored, rejected, duplicate."""
    query = "SELECT accepted, stored, rejected, duplicate FROM ingest_ledger WHERE signal = 'feedback'"
    (row,) = server.sql(query)
    return tuple(row.values())


def test_before_its_trace_after_a_restart_twice_and_corrected(start_server: Callable[..., Any], otlp: Any) -> None:
    """One row with the right value, and what it said before; acknowledged means stored, whatever happens."""
    server = start_server()
    assert post(server, THUMB, Idempotency_Key="1").told == {"accepted": 1}
    server.stop(signal.SIGKILL)
    server = start_server(server.db)
    assert post(server, THUMB, Idempotency_Key="1").told == {"accepted": 1}, "sent again, as no answer came"
    trace = otlp.request({"trace_id": bytes.fromhex(TRACE)}).SerializeToString()
    assert post(server, trace, "/v1/traces", Content_Type="application/x-protobuf").status == 200
    assert post(server, THUMB | {"value": False, "comment": "a slip"}, Idempotency_Key="2").status == 200
    server.stop(signal.SIGKILL)
    server = start_server(server.db)
    assert post(server, THUMB, Idempotency_Key="1").status == 200, "late, and still of the first"
    (row,) = server.sql("SELECT value, comment, trace_id, idempotency_key FROM feedback")
    assert row == {"value": 0.0, "comment": "a slip", "trace_id": TRACE, "idempotency_key": "2"}
    assert server.sql("SELECT value, comment FROM superseded_feedback") == [{"value": 1.0, "comment": None}]
    assert server.sql("SELECT count(*) AS n FROM spans JOIN feedback USING (trace_id)") == [{"n": 1}]
    assert ledger(server) == (4, 2, 0, 2)


def test_one_or_many_in_any_form(server: Any) -> None:
    """An object, an array, an array in an object, gzip; a correction in the same request counts as stored."""
    rows = [THUMB | {"id": str(number), "time": 1793000000 + number, "page": {"path": "/"}} for number in range(3)]
    assert post(server, rows).told == {"accepted": 3}
    assert post(server, {"feedback": rows}).told == {"accepted": 3}
    assert post(server, gzip.compress(json.dumps(rows).encode()), Content_Encoding="gzip").told == {"accepted": 3}
    assert post(server, [rows[0] | {"value": 0, "time": 1793000100}, rows[0] | {"value": 2, "time": 1793000200}]).told
    assert post(server, []).told == {"accepted": 0}
    assert server.sql("SELECT count(*) AS n, sum(value) AS v FROM feedback") == [{"n": 3, "v": 4.0}]
    assert server.sql("SELECT DISTINCT attributes->>'page' AS page FROM feedback") == [{"page": '{"path":"/"}'}]
    assert ledger(server) == (11, 5, 0, 6)


REFUSALS: list[tuple[dict[str, Any], int, str]] = [
    ({"method": "GET"}, 405, "Feedback is sent with POST."),
    ({"method": "OPTIONS"}, 405, "Feedback is sent with POST."),
    ({"Content_Type": "text/plain"}, 415, "'text/plain' is not taken; it is application/json."),
    ({"Content_Type": "application/x-protobuf"}, 415, "is not taken"),
    ({"Content_Encoding": "br"}, 415, "'br' is not taken; it is gzip, or none."),
    ({"Content_Encoding": "gzip"}, 400, "its body is not gzip"),
    ({"body": b"{"}, 400, "it is not JSON"),
    ({"body": b"[" * 10_000}, 400, "it is nested too deeply; nothing was stored."),
    ({"body": b'{"name": NaN}'}, 400, "it is not JSON: NaN is not a value; nothing was stored."),
    ({"body": [THUMB, THUMB | {"trace_id": "ab"}]}, 400, "row 2: trace_id 'ab' is not 32 hex digits"),
    ({"Idempotency_Key": "a b"}, 400, "the header Idempotency-Key is one text"),
]


def test_refusals(server: Any) -> None:
    """Each has its status and a problem in JSON, and nothing of the request is stored."""
    for case, status, sentence in REFUSALS:
        answer = post(server, **({"body": THUMB} | case))
        assert answer.status == status, (case, answer.body)
        assert answer.headers["Content-Type"].startswith("application/problem+json")
        assert (answer.told["type"], answer.told["status"]) == ("about:blank", status)
        assert sentence in answer.told["detail"]
        assert answer.headers["Access-Control-Allow-Origin"] is None
    assert post(server, [THUMB, THUMB | {"value": "maybe"}]).told["row"] == 2
    assert post(server, [THUMB, THUMB | {"value": "maybe"}]).told["field"] == "value"
    assert server.sql("SELECT count(*) AS n FROM feedback") == [{"n": 0}]


def test_who_may_send_what_and_from_where(start_server: Callable[..., Any], tmp_path: Path, otlp: Any) -> None:
    """A token, one for feedback only, pages of one origin, a size, patterns: as for telemetry."""
    (tmp_path / "c.toml").write_text(
        f'[server]\ncors_origins = ["{ORIGIN}"]\nmax_request_mib = 1\n[content]\npatterns = ["email"]\n'
        f'[[tokens]]\nname = "desk"\nsha256 = "{token_hash("desk-token")}"\nfeedback_only = true\n'
    )
    server = start_server(None, "--config", str(tmp_path / "c.toml"))
    answer = post(server, THUMB)
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="spanverdict"')
    known = {"Authorization": "Bearer desk-token"}
    assert post(server, THUMB | {"comment": "I am joe@example.org"}, **known, Origin=ORIGIN).status == 200
    assert server.sql("SELECT comment FROM feedback") == [{"comment": "I am [redacted:email]"}]
    trace = otlp.request({}).SerializeToString()
    refused = post(server, trace, "/v1/traces", **known, Content_Type="application/x-protobuf")
    assert (refused.status, b"for feedback only" in refused.body) == (403, True)
    assert post(server, b" " * 2**20 + b"[]", **known).status == 413
    assert post(server, gzip.compress(b" " * 2**21), **known, Content_Encoding="gzip").status == 413
    for path in ("/v1/feedback", "/v1/traces"):
        allowed = post(server, b"", path, **PREFLIGHT, Origin=ORIGIN)
        assert (allowed.status, allowed.body) == (204, b"")
        assert allowed.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert "Idempotency-Key" in allowed.headers["Access-Control-Allow-Headers"]
        other = post(server, b"", path, **PREFLIGHT, Origin="https://evil.example")
        assert (other.headers["Access-Control-Allow-Origin"], other.headers["Vary"]) == (None, "Origin")
    answer = post(server, b"{", **known, Origin=ORIGIN)
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (400, ORIGIN)


@pytest.mark.file_only("a collector of a lake keeps nothing that a full disk could stop")
def test_a_server_that_cannot_write_asks_to_send_again(start_server: Callable[..., Any], tmp_path: Path) -> None:
    """As for telemetry: 503 with Retry-After, and nothing is kept."""
    (tmp_path / "c.toml").write_text(f"[ingest]\nreserve_mib = {2**40}\n")
    server = start_server(None, "--config", str(tmp_path / "c.toml"))
    answer = post(server, THUMB)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert "nearly full" in answer.told["detail"]
    assert server.sql("SELECT count(*) AS n FROM feedback") == [{"n": 0}]
