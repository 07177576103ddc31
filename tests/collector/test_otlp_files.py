"""Files of every layout and compression give the requests that went into them; what is damaged is named."""

from __future__ import annotations

import gzip
import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.otlp_files import OtlpFile, Record, find_files
from collector.signals import Signal

AT = 1_793_000_000_000_000_000


def traces(number: int) -> dict[str, Any]:
    """A TracesData object of one span, known by its number."""
    span = {"traceId": f"{number + 1:032x}", "spanId": f"{number + 1:016x}", "name": "a", "startTimeUnixNano": str(AT)}
    return {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}


LOGS = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"timeUnixNano": str(AT), "body": {"stringValue": "hi"}}]}]}]}
METRICS = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "m", "gauge": {}}]}]}]}


def traces_message(number: int) -> bytes:
    """The same, serialized."""
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.add(
        trace_id=(number + 1).to_bytes(16, "big"), span_id=(number + 1).to_bytes(8, "big"), name="a",
        start_time_unix_nano=AT,
    )  # fmt: skip
    return request.SerializeToString()


def logs_message() -> bytes:
    """A LogsData message of one record."""
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=AT)
    record.body.string_value = "hi"
    return request.SerializeToString()


def metrics_message() -> bytes:
    """A MetricsData message of one metric, whose name is as long as a trace id."""
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="m" * 16, description="d" * 8)
    metric.sum.data_points.add(as_int=1)
    return request.SerializeToString()


def zstd(data: bytes) -> bytes:
    """One zstd frame."""
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    frame: bytes = sink.getvalue().to_pybytes()
    return frame


def framed(*messages: bytes) -> bytes:
    """Messages as the Collector's file exporter writes them: each behind its length."""
    return b"".join(len(message).to_bytes(4, "big") + message for message in messages)


def lines(*objects: object) -> bytes:
    """JSON, one object a line."""
    return b"".join(json.dumps(each).encode() + b"\n" for each in objects)


def read(path: Path, after: int = 0, limit: int = 2**20) -> list[Record]:
    """Everything in a file."""
    with OtlpFile(path, limit) as file:
        return list(file.records(after))


def names(records: list[Record]) -> list[str]:
    """The span ids and log bodies that came out, in order."""
    found = []
    for signal, payload in (request for each in records if each.content for request in each.content.requests):
        if signal is Signal.TRACES:
            found += [
                str(int.from_bytes(span.span_id, "big") - 1)
                for resource in ExportTraceServiceRequest.FromString(payload).resource_spans
                for scope in resource.scope_spans
                for span in scope.spans
            ]
        else:
            found += [
                record.body.string_value
                for resource in ExportLogsServiceRequest.FromString(payload).resource_logs
                for scope in resource.scope_logs
                for record in scope.log_records
            ]
    return found


LAYOUTS = {
    "lines": lines(traces(0), LOGS, METRICS, traces(1)),
    "lines without a last newline": lines(traces(0), LOGS, METRICS, traces(1)).rstrip(),
    "lines of Windows": b"\xef\xbb\xbf" + lines(traces(0), LOGS, METRICS, traces(1)).replace(b"\n", b"\r\n\r\n"),
    "document": json.dumps(traces(0) | LOGS | METRICS, indent=2).encode(),
    "document after blanks": b"\n\n  " + json.dumps(traces(0) | LOGS | METRICS, indent=0).encode(),
    "one line": json.dumps(traces(0) | LOGS | METRICS).encode(),
    "messages": framed(traces_message(0), logs_message(), metrics_message(), traces_message(1)),
    "messages of zstd": framed(*map(zstd, (traces_message(0), logs_message(), metrics_message(), traces_message(1)))),
    "messages of zstd of JSON": framed(*(zstd(lines(each)) for each in (traces(0), LOGS, METRICS, traces(1)))),
    "message of traces": traces_message(0),
    "message of logs": logs_message(),
    "message of metrics": metrics_message(),
    "nothing": b"",
    "blanks": b"\n \n",
}  # fmt: skip
HELD = {
    "document": ["0", "hi"], "document after blanks": ["0", "hi"], "one line": ["0", "hi"], "message of traces": ["0"],
    "message of logs": ["hi"], "message of metrics": [], "nothing": [], "blanks": [],
}  # fmt: skip
WITHOUT_METRICS = {"message of traces", "message of logs", "nothing", "blanks"}
COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "not compressed": bytes,
    "gzip": gzip.compress,
    "gzip in members": lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:]) + bytes(8),
    "zstd": zstd,
    "zstd in frames": lambda data: zstd(data[:9]) + zstd(data[9:]),
}


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_in_every_compression(tmp_path: Path, layout: str, compression: str) -> None:
    """Whatever the file is called, its content tells what it is; each signal is told apart."""
    path = tmp_path / "any.name"
    path.write_bytes(COMPRESSIONS[compression](LAYOUTS[layout]))
    records = read(path)
    assert [record.refusal for record in records if record.refusal] == []
    assert names(records) == HELD.get(layout, ["0", "hi", "1"])
    assert any(record.content.metrics for record in records if record.content) is (layout not in WITHOUT_METRICS)


@pytest.mark.parametrize("layout", ["lines", "messages", "messages of zstd"])
def test_reading_goes_on_after_a_number(tmp_path: Path, layout: str) -> None:
    """Lines and messages that were taken are passed over; the others keep their numbers."""
    path = tmp_path / "f"
    path.write_bytes(LAYOUTS[layout])
    assert [record.number for record in read(path)] == [1, 2, 3, 4]
    assert [(record.number, names([record])) for record in read(path, after=3)] == [(4, ["1"])]
    assert read(path, after=4) == []


def told(records: list[Record]) -> list[str]:
    """What was refused, by its place."""
    return [f"{record.place}: {record.refusal}" for record in records if record.refusal]


def test_damaged_lines_are_named_and_the_others_read(tmp_path: Path) -> None:
    """A line that is not OTLP/JSON is refused by its number; nothing else is."""
    path = tmp_path / "f.jsonl"
    good = lines(traces(0), traces(1), traces(2)).splitlines()
    wrong = json.dumps(traces(5)).replace('"a"', "5")
    path.write_bytes(
        b"\n".join(
            [b"{oops", good[0], b"", wrong.encode(), good[1], b'{"a": 1}', b"[]", b"\xff{", good[2], good[0][:20]]
        )
    )
    records = read(path)
    assert names(records) == ["0", "1", "2"]
    found = told(records)
    assert [line.partition(":")[0] for line in found] == [f"line {number}" for number in (1, 4, 6, 7, 8, 10)]
    assert "resourceSpans[0].scopeSpans[0].spans[0].name is not a text: 5." in found[1]
    assert "neither resourceSpans nor resourceLogs" in found[2]
    assert [record.whole for record in records if record.refusal] == [True] * 5 + [False]


def test_long_lines_and_messages_are_refused_alone(tmp_path: Path) -> None:
    """What is longer than the limit is passed over without being kept, by its number."""
    long = traces(7) | {"x": "x" * 5000}
    path = tmp_path / "f"
    path.write_bytes(lines(traces(0), long, traces(1)))
    assert told(read(path, limit=1024)) == ["line 2: It is longer than 0.000976562 MiB."]
    path.write_bytes(lines(long, traces(0), traces(1)))
    assert names(read(path, limit=1024)) == ["0", "1"]
    path.write_bytes(framed(traces_message(0), bytes(5000), zstd(bytes(5000)), traces_message(1)))
    records = read(path, limit=1024)
    assert [record.place for record in records if record.refusal] == ["message 2", "message 3"]
    assert names(records) == ["0", "1"]
    path.write_bytes(json.dumps(long, indent=1).encode())
    assert told(read(path, limit=1024)) == [": It is one JSON document of more than 0.000976562 MiB."]
    path.write_bytes(traces_message(0) * 100)
    assert told(read(path, limit=1024)) == [": It is one message of more than 0.000976562 MiB."]


@pytest.mark.parametrize("compress", [gzip.compress, zstd])
def test_a_bomb_is_not_kept_in_memory(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    """A line that decompresses to two hundred megabytes is refused within a few."""
    path = tmp_path / "f"
    path.write_bytes(compress(lines(traces(0)) + b"x" * 200_000_000 + b"\n" + lines(traces(1))))
    tracemalloc.start()
    try:
        records = read(path)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()
    assert (names(records), [record.place for record in records if record.refusal]) == (["0", "1"], ["line 2"])


@pytest.mark.parametrize("compress", [gzip.compress, zstd])
def test_a_file_that_is_cut_off_gives_what_it_has(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    """Of a compressed file without its end the lines before are read, and that it is cut off is said."""
    path = tmp_path / "f"
    whole = compress(b"".join(lines(traces(number)) for number in range(20_000)))
    path.write_bytes(whole[: len(whole) // 2])
    records = read(path)
    assert 3000 < len(names(records)) < 20_000
    (refused,) = [record for record in records if record.refusal]
    assert refused.refusal == "It cannot be read further: it is cut off."
    assert (refused.place, refused.whole) == (f"after {len(records) - 1}", False)


def test_messages_that_are_cut_off(tmp_path: Path) -> None:
    """A message, or its length, that ends with the file is told; those before are read."""
    path = tmp_path / "f"
    for end in (1, 6):
        path.write_bytes(framed(traces_message(0)) + framed(traces_message(1))[:end])
        records = read(path)
        assert (names(records), told(records)) == (["0"], ["message 2: The file is cut off in it."])
        assert not records[-1].whole


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x1f\x8bnot gzip", "It cannot be read further"),
        (b"\x28\xb5\x2f\xfdnot zstd at all", "It cannot be read further"),
        (framed(b"\x28\xb5\x2f\xfdnot zstd at all"), "It cannot be decompressed"),
        (b"\x0a\x05\x12\x03abc", "neither OTLP/JSON nor a serialized OTLP message"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "neither OTLP/JSON nor"),
        (b"[1,\n2]", "it is not an object"),
        (b"{\n\n 'a': 1}", "Expecting property name"),
        (b"hello", "Expecting value"),
    ],
)
def test_what_is_no_otlp_is_said_once(tmp_path: Path, data: bytes, said: str) -> None:
    """Other files are refused in one sentence."""
    path = tmp_path / "f"
    path.write_bytes(data)
    (sentence,) = told(read(path))
    assert said in sentence
    assert sentence.endswith(".")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary()
    | st.binary().map(lambda data: b"\x28\xb5\x2f\xfd" + data)
    | st.binary().map(lambda data: gzip.compress(data)[:-3])
    | st.lists(st.binary(), max_size=3).map(lambda parts: framed(*parts))
    | st.lists(st.sampled_from([b"{", b"}", b'"', b"\n", b" ", b'{"resourceSpans":[]}', b"5", b"\0"])).map(b"".join)
)
def test_any_bytes_are_read_or_refused(tmp_path: Path, data: bytes) -> None:
    """No file does anything but give records, in the order of their numbers."""
    path = tmp_path / "f"
    path.write_bytes(data)
    records = read(path, limit=64)
    assert [record.number for record in records] == sorted({record.number for record in records})
    assert all((record.content is None) == bool(record.refusal) for record in records)


def test_folders_are_walked(tmp_path: Path) -> None:
    """Files of known suffixes, in the order of their names; hidden ones and others are left out; each one once."""
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "dangling.json").symlink_to("nothing")
    for name in ("b.jsonl", "a.json.gz", "c.txt", ".d.json", ".git/e.json", "sub/f.BINPB.ZST", "g.gz", "sub/h.pb"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    inside = [path.relative_to(tmp_path).as_posix() for path in find_files([tmp_path])]
    assert inside == ["a.json.gz", "b.jsonl", "sub/f.BINPB.ZST", "sub/h.pb"]
    assert find_files([tmp_path / "c.txt", tmp_path / "sub", tmp_path / "c.txt"])[0] == tmp_path / "c.txt"
    with pytest.raises(FileNotFoundError):
        find_files([tmp_path / "missing"])


def test_captured_files_are_read(shared_fixtures: Path) -> None:
    """The captured requests of other projects are told apart: their names say what they hold."""
    found = find_files([shared_fixtures / "generated-matrix", shared_fixtures / "duckdb-otlp"])
    for path in (path for path in found if path.name != "truth.json" and "malformed" not in path.name):
        records = read(path)
        assert told(records) == []
        signals = {signal for record in records if record.content for signal, _ in record.content.requests}
        assert signals == {Signal.LOGS if "logs" in path.name else Signal.TRACES}, path
    (refused,) = told(read(shared_fixtures / "duckdb-otlp" / "multifile_malformed_traces.jsonl"))
    assert refused.startswith("line 1: This is not OTLP/JSON")
