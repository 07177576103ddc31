"""OTLP payloads like an LLM application's: 18 attributes and about 680 bytes a span, one span in three an LLM call."""

from __future__ import annotations

import random

import numpy as np
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue

MARK_BYTES = 4
"""Bytes of an id that tell repetitions of a request apart."""

START_NANOS = 1_793_000_000_000_000_000
COHORTS = ("chargeback", "identity_verification", "out_of_domain", "policy_exception")
CONTENT_BYTES = (2_000, 20_000)
"""How long prompts and completions of real applications are, least and most."""

MODELS = ("gpt-4o-mini-2024-07-18", "ft:gpt-4o-mini-2024-07-18:acme:refunds:1")


def _value(value: object) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, list):
        return AnyValue(array_value=ArrayValue(values=[_value(item) for item in value]))
    return AnyValue(string_value=str(value))


def _attributes(values: dict[str, object]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_value(value)) for key, value in values.items()]


def trace_request(seed: int, spans: int, *, content_bytes: tuple[int, int] | None = None) -> ExportTraceServiceRequest:
    """One export request of ``spans`` spans in traces of three, with ids and values drawn from ``seed``.

    Args:
        seed: requests of different seeds have different trace ids.
        spans: number of spans.
        content_bytes: least and greatest length of the prompt and of the completion on each LLM span; None leaves
            them out.
    """
    random_source = random.Random(seed)  # noqa: S311 (a payload, not a secret)
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    resource_spans.resource.attributes.extend(
        _attributes({"service.name": "support-assistant", "service.version": "2026.11.1", "host.name": "node-7"})
    )
    scope_spans = resource_spans.scope_spans.add()
    scope_spans.scope.name = "opentelemetry.instrumentation.openai_v2"
    scope_spans.scope.version = "2.4b0"
    trace_id = root_id = b""
    words = [f"word{n}" for n in range(500)]
    for index in range(spans):
        span_id = random_source.randbytes(8)
        span = scope_spans.spans.add(span_id=span_id)
        if index % 3 == 0:
            trace_id, root_id = random_source.randbytes(16), span_id
            span.name, span.kind = "POST /answer", 2
        else:
            span.parent_span_id, span.kind = root_id, 3
        span.trace_id = trace_id
        span.start_time_unix_nano = START_NANOS + seed * 1_000_000_000 + index * 1_000_000
        span.end_time_unix_nano = span.start_time_unix_nano + random_source.randrange(1_000_000, 3_000_000_000)
        model = random_source.choice(MODELS)
        common: dict[str, object] = {
            "app.cohort": random_source.choice(COHORTS),
            "user.id": f"user-{random_source.randrange(5000)}",
            "session.id": f"session-{random_source.getrandbits(40):x}",
            "thread.id": 140_200 + index,
            "thread.name": "ThreadPoolExecutor-0_3",
            "server.address": "api.provider.example",
            "server.port": 443,
        }
        if index % 3 == 1:
            span.name = f"chat {model}"
            common |= {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": model,
                "gen_ai.response.model": model,
                "gen_ai.response.id": f"chatcmpl-{random_source.getrandbits(96):x}",
                "gen_ai.request.temperature": 0.2,
                "gen_ai.request.max_tokens": 800,
                "gen_ai.usage.input_tokens": random_source.randrange(200, 4000),
                "gen_ai.usage.output_tokens": random_source.randrange(20, 600),
                "gen_ai.usage.cache_read.input_tokens": 128,
                "gen_ai.response.finish_reasons": ["stop"],
            }
            if content_bytes:
                text = " ".join(random_source.choices(words, k=random_source.randint(*content_bytes) // 8))
                common["gen_ai.input.messages"] = f'[{{"role":"user","parts":[{{"type":"text","content":"{text}"}}]}}]'
                common["gen_ai.output.messages"] = f'[{{"role":"assistant","parts":[{{"content":"{text[::-1]}"}}]}}]'
        else:
            span.name = span.name or "retrieve policy"
            common |= {
                "http.request.method": "POST",
                "http.route": "/answer",
                "http.response.status_code": 200,
                "url.path": "/answer",
                "url.scheme": "https",
                "network.protocol.version": "1.1",
                "client.address": "10.0.0.7",
                "user_agent.original": "support-web/3.1 (+https://support.example)",
                "app.queue": "refunds",
                "app.tenant": "northwind",
                "app.attempt": 1,
            }
        span.attributes.extend(_attributes(common))
    return request


def encoded(
    count: int, spans: int, *, first_seed: int = 0, content_bytes: tuple[int, int] | None = None
) -> list[bytes]:
    """``count`` serialized requests of ``spans`` spans each, see trace_request."""
    return [
        trace_request(first_seed + number, spans, content_bytes=content_bytes).SerializeToString()
        for number in range(count)
    ]


class Pattern:
    """A request that can be sent again and again as new spans, for the price of a copy.

    Args:
        payload: a request of `trace_request`.
    """

    def __init__(self, payload: bytes) -> None:
        spans = ExportTraceServiceRequest.FromString(payload).resource_spans[0].scope_spans[0].spans
        self._payload = np.frombuffer(payload, np.uint8)
        ids, starts, ends, place = [], [], [], 0
        for span in spans:
            ids.append(payload.index(span.trace_id, place))
            place = ids[-1] + len(span.trace_id)
            ids.append(payload.index(span.span_id, place))
            if span.parent_span_id:
                ids.append(payload.index(span.parent_span_id, place))
            starts.append(payload.index(span.start_time_unix_nano.to_bytes(8, "little"), place))
            ends.append(payload.index(span.end_time_unix_nano.to_bytes(8, "little"), place))
        self._ids = np.array(ids)[:, None] + np.arange(MARK_BYTES)
        self._times = np.array(starts + ends)[:, None] + np.arange(8)
        times = [span.start_time_unix_nano for span in spans] + [span.end_time_unix_nano for span in spans]
        self._nanos = np.array(times, dtype="<i8")

    def numbered(self, number: int) -> bytes:
        """The request with other ids and times; requests of different numbers hold different spans."""
        data = self._payload.copy()
        data[self._ids] = np.frombuffer(number.to_bytes(MARK_BYTES, "big"), np.uint8)
        data[self._times] = (self._nanos + number * 1_000_000_000).view(np.uint8).reshape(-1, 8)
        return data.tobytes()
