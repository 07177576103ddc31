"""Results of evaluators run here, as the log records in which others send theirs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from analytics.evaluate.registry import SOURCE, Description
from analytics.evaluate.selection import Target
from analytics.evaluate.subject import Judgement
from collector.evaluations.columns import COLUMNS, EVENT_NAME

_ATTRIBUTES: Mapping[str, str] = {name: column.sources[0].key for name, column in COLUMNS.items()}
"""Column of an evaluation → the attribute that it is read from."""


def export_request(evaluator: Description, results: Sequence[tuple[Target, Judgement]]) -> bytes:
    """One serialized export request of `gen_ai.evaluation.result` log records.

    Args:
        evaluator: who judged.
        results: what it found, by target; each record has the ids of its target and the present time.
    """
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    resource.resource.attributes.append(_attribute("service.name", "spanverdict"))
    scope = resource.scope_logs.add()
    scope.scope.name = "spanverdict.evaluate"
    now = time.time_ns()
    for target, judgement in results:
        told: dict[str, str | float | None] = {
            "name": evaluator.name,
            "score": judgement.score,
            "label": judgement.label,
            "explanation": judgement.explanation,
            "error_type": judgement.error_type,
            "annotator": evaluator.annotator,
            "judge_model": evaluator.judge_model,
            "threshold": evaluator.threshold,
            "higher_is": evaluator.higher_is,
            "evaluator_version": evaluator.version,
            "source": SOURCE,
        }
        record = scope.log_records.add(
            time_unix_nano=now,
            observed_time_unix_nano=now,
            event_name=EVENT_NAME,
            trace_id=bytes.fromhex(target.trace_id),
            span_id=bytes.fromhex(target.span_id or ""),
        )
        record.attributes.extend(
            _attribute(_ATTRIBUTES[column], value) for column, value in told.items() if value is not None
        )
    return request.SerializeToString()


def _attribute(key: str, value: str | float) -> KeyValue:
    if isinstance(value, str):
        # What a judge says may hold half a character; protobuf takes none.
        return KeyValue(key=key, value=AnyValue(string_value=value.encode("utf-8", "replace").decode()))
    return KeyValue(key=key, value=AnyValue(double_value=value))
