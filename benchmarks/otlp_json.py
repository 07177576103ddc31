"""OTLP/JSON to protobuf: this project's reader beside protobuf's own, on the sample traces, in one run.

    python benchmarks/otlp_json.py

Prints microseconds a span and the median of the ratios of the rounds.
"""

from __future__ import annotations

import base64
import gzip
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from figures import tell
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.otlp_json import to_protobuf
from collector.signals import Signal

SAMPLE = Path(__file__).parents[1] / "sample_traces" / "support-web-chat.traces.jsonl.gz"
LINES = 20
ROUNDS = 5
IDS = frozenset({"traceId", "spanId", "parentSpanId"})


def by_protobuf(line: bytes) -> bytes:
    """The same by protobuf's JSON parser, which wants ids in base64."""
    request = json_format.ParseDict(_with_base64_ids(json.loads(line)), ExportTraceServiceRequest())
    return request.SerializeToString()


def _with_base64_ids(value: Any) -> Any:  # noqa: ANN401 (JSON)
    if isinstance(value, dict):
        return {
            key: base64.b64encode(bytes.fromhex(item)).decode() if key in IDS else _with_base64_ids(item)
            for key, item in value.items()
        }
    return [_with_base64_ids(item) for item in value] if isinstance(value, list) else value


def seconds(read: Callable[[bytes], bytes], lines: list[bytes]) -> float:
    """How long reading all lines takes."""
    started = time.perf_counter()
    for line in lines:
        read(line)
    return time.perf_counter() - started


def main() -> None:
    """Measure both in turn and print."""
    with gzip.open(SAMPLE, "rb") as file:
        lines = [line for line, _ in zip(file, range(LINES), strict=False)]
    spans = sum(line.count(b'"spanId"') for line in lines)
    ratios = []
    for _ in range(ROUNDS):
        ours, theirs = seconds(lambda line: to_protobuf(line, Signal.TRACES), lines), seconds(by_protobuf, lines)
        ratios.append(theirs / ours)
        print(f"{ours / spans * 1e6:.1f} us a span, protobuf's parser {theirs / spans * 1e6:.1f} us")
    print(f"median ratio {statistics.median(ratios):.1f}, from {min(ratios):.1f} to {max(ratios):.1f}")
    tell(
        [
            {
                "": "spans a second, protobuf's parser being 1",
                "median ratio": statistics.median(ratios),
                "from": min(ratios),
                "to": max(ratios),
            }
        ]
    )


if __name__ == "__main__":
    main()
