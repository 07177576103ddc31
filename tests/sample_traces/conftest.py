"""Reads the committed sample once: spans and log records as OTLP/JSON, and one record per trace."""

from __future__ import annotations

import csv
import gzip
import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

SAMPLE = Path(__file__).parents[2] / "sample_traces"
MODEL_KEYS = {
    "support-web-chat": ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"),
    "support-mobile": ("llm.token_count.prompt", "llm.token_count.completion"),
    "support-email": ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"),
}
CACHE_KEYS = ("gen_ai.usage.cache_read.input_tokens", "llm.token_count.prompt_details.cache_read")


@dataclass
class Recorded:
    """A span or log record with its attributes as a plain mapping."""

    service: str
    scope: str
    raw: dict[str, Any]
    attributes: dict[str, Any]


@dataclass
class Trace:
    """What the files say of one trace."""

    root: Recorded
    model_calls: list[Recorded] = field(default_factory=list)
    scores: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    outcomes: dict[str, float] = field(default_factory=dict)

    @property
    def cohort(self) -> str:
        """The root's cohort."""
        return str(self.root.attributes["app.cohort"])

    @property
    def model(self) -> str:
        """The model that was asked first."""
        return model_of(self.model_calls[0])

    @property
    def latency_ms(self) -> float:
        """The root's duration."""
        return (int(self.root.raw["endTimeUnixNano"]) - self.start_ns) / 1e6

    @property
    def start_ns(self) -> int:
        """The root's start."""
        return int(self.root.raw["startTimeUnixNano"])

    @property
    def failed_calls(self) -> int:
        """Model calls that ended in an error."""
        return sum(is_error(call) for call in self.model_calls)

    def tokens(self, kind: int) -> int:
        """Input (0) or output (1) tokens of all calls."""
        key = MODEL_KEYS[self.root.service][kind]
        return sum(call.attributes.get(key, 0) for call in self.model_calls)

    def cached_tokens(self) -> int:
        """Input tokens read from the cache."""
        return sum(call.attributes.get(key, 0) for call in self.model_calls for key in CACHE_KEYS)


@dataclass
class Sample:
    """Everything in the files."""

    spans: list[Recorded]
    logs: list[Recorded]
    traces: dict[str, Trace]
    feedback: list[dict[str, str]]
    truth: dict[str, Any]

    def served(self) -> list[Trace]:
        """Traces since the promotion."""
        return [trace for trace in self.traces.values() if trace.start_ns >= PROMOTED_NS]


PROMOTED_NS = 1_793_577_600 * 10**9  # 2026-11-02T00:00:00Z


def is_model_call(span: Recorded) -> bool:
    """Whether an instrumentation made this span for a model call."""
    return (
        span.attributes.get("gen_ai.operation.name") == "chat"
        or span.attributes.get("openinference.span.kind") == "LLM"
    )


def is_error(span: Recorded) -> bool:
    """Whether the span's status is ERROR."""
    return bool(span.raw["status"].get("code") == 2)


def model_of(span: Recorded) -> str:
    """The model asked for; OpenInference names it on a failed call only among the request's parameters."""
    attributes = span.attributes
    named = attributes.get("gen_ai.request.model") or attributes.get("llm.model_name")
    return str(named or json.loads(attributes["llm.invocation_parameters"])["model"])


def _value(value: dict[str, Any]) -> Any:
    ((kind, content),) = value.items()
    if kind == "arrayValue":
        return [_value(item) for item in content["values"]]
    return int(content) if kind == "intValue" else content


def _read(path: Path, outer: str, inner: str, items: str) -> list[Recorded]:
    records = []
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            for resource in json.loads(line)[outer]:
                of = {item["key"]: _value(item["value"]) for item in resource["resource"]["attributes"]}
                for scope in resource[inner]:
                    records += [
                        Recorded(
                            of["service.name"],
                            scope["scope"]["name"],
                            item,
                            {entry["key"]: _value(entry["value"]) for entry in item.get("attributes", [])},
                        )
                        for item in scope[items]
                    ]
    return records


@pytest.fixture(scope="session")
def sample() -> Sample:
    """The committed sample."""
    spans = [
        record
        for path in sorted(SAMPLE.glob("*.traces.jsonl.gz"))
        for record in _read(path, "resourceSpans", "scopeSpans", "spans")
    ]
    logs = [
        record
        for path in sorted(SAMPLE.glob("*.logs.jsonl.gz"))
        for record in _read(path, "resourceLogs", "scopeLogs", "logRecords")
    ]
    traces = {span.raw["traceId"]: Trace(span) for span in spans if "parentSpanId" not in span.raw}
    for span in sorted(filter(is_model_call, spans), key=lambda span: int(span.raw["startTimeUnixNano"])):
        traces[span.raw["traceId"]].model_calls.append(span)
    for log in logs:
        of = log.attributes
        scores = traces[log.raw["traceId"]].scores
        scores[of["gen_ai.evaluation.name"]].append(of["gen_ai.evaluation.score.label"])
    with (SAMPLE / "feedback.csv").open(encoding="utf-8") as file:
        feedback = list(csv.DictReader(file))
    by_ticket = {trace.root.attributes["ticket.id"]: trace for trace in traces.values()}
    for row in feedback:
        trace = traces[row["trace_id"]] if row["trace_id"] else by_ticket[row["key"]]
        trace.outcomes[row["name"]] = float(row["value"])
    truth = json.loads((SAMPLE / "truth.json").read_text(encoding="utf-8"))
    return Sample(spans, logs, traces, feedback, truth)
