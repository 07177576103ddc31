"""What hostile or broken senders put into requests, over both transports: bounded, never the server's fault, alone."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.client
import json
import threading
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from collector.any_value import MAX_NESTING

EXPORT = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}
LARGE = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
MEMORY_BYTES = 2**30
"""What the server's process may take at most, whatever is sent."""

FINE, BAD, LARGER = "fine", "bad", "larger"
STATUSES = {200: FINE, 400: BAD, 413: LARGER, "OK": FINE, "INVALID_ARGUMENT": BAD, "RESOURCE_EXHAUSTED": LARGER}

Send = Callable[..., str]


def over_http(server: Any, payload: bytes, kind: str = "traces", *, compressed: bool = False) -> str:
    """Post protobuf; what came of it, the same word as over gRPC."""
    connection = http.client.HTTPConnection(server.told.http, timeout=60)
    headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip" if compressed else "identity"}
    with contextlib.closing(connection):
        connection.request("POST", f"/v1/{kind}", gzip.compress(payload, 1) if compressed else payload, headers)
        answer = connection.getresponse()
        return STATUSES[answer.status]


def over_grpc(server: Any, payload: bytes, kind: str = "traces", *, compressed: bool = False) -> str:
    """Export protobuf; what came of it, the same word as over HTTP."""
    compression = grpc.Compression.Gzip if compressed else grpc.Compression.NoCompression
    with grpc.insecure_channel(server.told.grpc, options=LARGE, compression=compression) as channel:
        call = channel.unary_unary(EXPORT[kind]).future(payload, timeout=60)
        return STATUSES[call.code().name]


transports = pytest.mark.parametrize("send", [over_http, over_grpc])


@contextlib.contextmanager
def bounded_memory(server: Any) -> Iterator[None]:
    """Fails if the server's process takes more than it may meanwhile."""
    process = psutil.Process(server.process.pid)
    peak = [0]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            peak.append(process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
    assert max(peak) < MEMORY_BYTES, f"{max(peak) >> 20} MiB"


def delimited(number: int, content: bytes) -> bytes:
    """A protobuf field of bytes."""
    length, size = b"", len(content)
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


def trace_of(test: str, send: Send) -> bytes:
    """The id of a test's trace, another for each transport: tests share a server."""
    return hashlib.blake2b(f"{test} {send.__name__}".encode(), digest_size=16).digest()


def with_nested_attribute(otlp: Any, levels: int, trace_id: bytes) -> bytes:
    """A request of one span whose attribute is a text within so many arrays, deeper than protobuf's own limit."""
    value = AnyValue(string_value="bottom").SerializeToString()
    for _ in range(levels):
        value = delimited(5, delimited(1, value))
    attribute = delimited(9, delimited(1, b"deep") + delimited(2, value))
    request = otlp.request({"trace_id": trace_id, "name": f"{levels} levels"})
    span = request.resource_spans[0].scope_spans[0].spans[0].SerializeToString()
    return delimited(1, delimited(2, delimited(2, span + attribute)))


@transports
def test_a_hundred_thousand_attributes(server: Any, otlp: Any, send: Send) -> None:
    """They are stored, each with its value, within bounded memory."""
    attributes = {f"key {number}": number for number in range(100_000)}
    with bounded_memory(server):
        assert send(server, otlp.request({"attributes": attributes}).SerializeToString()) == FINE
        (row,) = server.sql("SELECT attributes FROM spans")
    assert json.loads(row["attributes"]) == attributes


@transports
def test_a_thousand_levels(shared_server: Any, otlp: Any, send: Send) -> None:
    """What nests deeper than is kept is cut, what nests absurdly is left out, and the span is stored."""
    for levels, kept in ((MAX_NESTING + 1, MAX_NESTING), (1_000, 0), (20_000, 0)):
        trace_id = trace_of(f"{levels} levels", send)
        assert send(shared_server, with_nested_attribute(otlp, levels, trace_id)) == FINE
        (row,) = shared_server.sql(f"SELECT attributes FROM spans WHERE trace_id = '{trace_id.hex()}'")
        assert row["attributes"] == '{"deep":' + "[" * kept + "null" + "]" * kept + "}"


@transports
def test_absurd_times(server: Any, otlp: Any, send: Send) -> None:
    """Times that cannot be are refused by partial success or stored as they are; their neighbour is stored."""
    times = [0, 1, 2**31, 2**63 - 1, 2**63, 2**64 - 1]
    spans = [
        {"trace_id": (number + 1).to_bytes(16, "big"), "start_time_unix_nano": start, "end_time_unix_nano": end}
        for number, (start, end) in enumerate((start, end) for start in times for end in times)
    ]
    assert (
        send(server, otlp.request(*spans, {"trace_id": b"\xff" * 16, "name": "neighbour"}).SerializeToString()) == FINE
    )
    assert server.sql("SELECT count(*) AS n FROM spans WHERE name = 'neighbour'") == [{"n": 1}]
    (row,) = server.sql("SELECT accepted, stored + rejected AS told FROM ingest_ledger")
    assert row == {"accepted": len(spans) + 1, "told": len(spans) + 1}
    assert server.sql("SELECT * FROM llm_calls") == []


@transports
def test_hostile_keys(shared_server: Any, otlp: Any, send: Send) -> None:
    """Keys that other systems trip over are stored as what they are."""
    keys = ["", ".", "$", "a.b", "a..b", '"', "\\", "\n\0", "'; DROP TABLE spans; --", "__proto__", "$.a[0]",
            "k" * 100_000, "🦊\u202e", "service.name", "gen_ai.usage.input_tokens", "gen_ai.request.model"]  # fmt: skip
    attributes = {key: f"value of {key[:20]}" for key in keys}
    trace_id = trace_of("keys", send)
    request = otlp.request({"trace_id": trace_id, "attributes": attributes}, resource=dict.fromkeys(keys, 1))
    assert send(shared_server, request.SerializeToString()) == FINE
    (row,) = shared_server.sql(f"SELECT attributes, input_tokens FROM spans WHERE trace_id = '{trace_id.hex()}'")
    stored = json.loads(row["attributes"])
    assert {key: stored[key] for key in attributes if not key.startswith("gen_ai.")} == {
        key: value for key, value in attributes.items() if not key.startswith("gen_ai.")
    }
    assert row["input_tokens"] is None


@transports
def test_invalid_utf_8(shared_server: Any, otlp: Any, send: Send) -> None:
    """Wherever a text is not UTF-8 the request is refused for good, alone: what comes beside it is stored."""
    trace_id = trace_of("UTF-8", send)
    fields = {"trace_id": trace_id, "name": "name", "attributes": {"key_": "text"}}
    sound = otlp.request(fields, service="serv").SerializeToString()
    for part in (b"name", b"key_", b"text", b"serv"):
        for invalid in (b"\xff\xfe\xc0\x80", b"\xed\xa0\x80a"):
            assert send(shared_server, sound.replace(part, invalid)) == BAD
    assert send(shared_server, sound) == FINE
    stored = shared_server.sql(f"SELECT name FROM spans WHERE trace_id = '{trace_id.hex()}'")
    assert stored == [{"name": "name"}]


def test_decompression_bombs(server: Any, otlp: Any) -> None:
    """A MiB that unpacks to a GiB is refused over both transports and as either encoding, in bounded memory."""
    packing = zlib.compressobj(9, wbits=31)
    first, next_mib = (packing.compress(bytes(2**20)) + packing.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    # Parts that were flushed fully stand for themselves: one may be repeated instead of packed anew.
    bomb = first + next_mib * 1023
    with bounded_memory(server):
        for path in ("/v1/traces", "/v1/logs"):
            for kind in ("application/x-protobuf", "application/json"):
                connection = http.client.HTTPConnection(server.told.http, timeout=60)
                with contextlib.closing(connection):
                    connection.request("POST", path, bomb, {"Content-Type": kind, "Content-Encoding": "gzip"})
                    assert connection.getresponse().status == 413
        assert over_grpc(server, bytes(2**30), compressed=True) == LARGER
        assert over_grpc(server, otlp.request({}).SerializeToString(), compressed=True) == FINE
    assert server.sql("SELECT count(*) AS n FROM spans") == [{"n": 1}]


texts = st.text(st.characters(codec="utf-8"), max_size=10)
hostile_spans = st.fixed_dictionaries(
    {
        "trace_id": st.sampled_from([b"", bytes(16), b"\x01" * 15, b"\x01" * 16, b"\x01" * 17]),
        "span_id": st.sampled_from([b"", bytes(8), b"\x01" * 8, b"\x01" * 9]),
        "parent_span_id": st.sampled_from([b"", b"\x02", b"\x02" * 8]),
        "name": texts,
        "kind": st.integers(-(2**31), 2**31 - 1),
        "start_time_unix_nano": st.sampled_from([0, 1, 2**63 - 1, 2**63, 2**64 - 1, 1_793_000_000_000_000_000]),
        "end_time_unix_nano": st.sampled_from([0, 1, 2**63 - 1, 2**63, 2**64 - 1]),
        "flags": st.sampled_from([0, 2**32 - 1]),
        "attributes": st.dictionaries(
            texts | st.sampled_from(["gen_ai.usage.input_tokens", "gen_ai.request.model", "gen_ai.input.messages"]),
            st.recursive(
                st.none()
                | st.booleans()
                | st.integers(-(2**63), 2**63 - 1)
                | st.floats()
                | texts
                | st.binary(max_size=5),
                lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
                max_leaves=8,
            ),
            max_size=4,
        ),
    }
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(data=st.data(), spans=st.lists(hostile_spans, max_size=3), compressed=st.booleans(),
       kind=st.sampled_from(list(EXPORT)), send=st.sampled_from([over_http, over_grpc]))  # fmt: skip
def test_requests_that_are_almost_sound(
    shared_server: Any,
    otlp: Any,
    data: st.DataObject,
    spans: list[dict[str, Any]],
    compressed: bool,
    kind: str,
    send: Send,
) -> None:
    """Absurd values, some with bytes changed or cut: success, or refused for good and not to be sent again."""
    payload = bytearray(otlp.request(*spans).SerializeToString())
    for _ in range(data.draw(st.integers(0, 3))):
        payload[data.draw(st.integers(0, len(payload) - 1))] ^= data.draw(st.integers(1, 255))
    if data.draw(st.booleans()):
        del payload[data.draw(st.integers(0, len(payload))) :]
    assert send(shared_server, bytes(payload), kind, compressed=compressed) in {FINE, BAD}
