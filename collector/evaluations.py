"""Evaluator results inside telemetry: the event `gen_ai.evaluation.result`, as a log record or as a span event.

Source: OpenTelemetry GenAI semantic conventions, event `gen_ai.evaluation.result` (1.38 and later). "Event" means
a log record there; instrumentations send span events too, some send both for one score.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from collector.any_value import AttributeLists, Indices
from collector.conventions.sources import Convention, Reader, Source
from collector.literals import FALSE, text
from collector.read_attributes import first_usable

EVENT_NAME = "gen_ai.evaluation.result"

_TEXT = Reader.TEXT
_OTEL = Convention.OTEL
COLUMNS: Mapping[str, tuple[tuple[Source, ...], pa.DataType]] = {
    "name": ((Source("gen_ai.evaluation.name", _OTEL, _TEXT),), pa.string()),
    "score": (
        (
            Source("gen_ai.evaluation.score.value", _OTEL, Reader.NUMBER),
            Source("gen_ai.evaluation.score", Convention.OTEL_OLDER, Reader.NUMBER),
        ),
        pa.float64(),
    ),
    "label": ((Source("gen_ai.evaluation.score.label", _OTEL, _TEXT),), pa.string()),
    "explanation": ((Source("gen_ai.evaluation.explanation", _OTEL, _TEXT),), pa.string()),
    "error_type": ((Source("error.type", Convention.GENERAL, _TEXT),), pa.string()),
    "response_id": ((Source("gen_ai.response.id", _OTEL, _TEXT),), pa.string()),
    "conversation_id": (
        (
            Source("gen_ai.conversation.id", _OTEL, _TEXT),
            Source("session.id", Convention.OPENINFERENCE, _TEXT),
        ),
        pa.string(),
    ),
    "annotator": ((Source("gen_ai.evaluation.annotator_kind", _OTEL, _TEXT),), pa.string()),
    "identifier": (
        (
            Source("openlit.score.idempotency_key", Convention.OPENLIT, _TEXT),
            Source("user.id", Convention.GENERAL, _TEXT),
        ),
        pa.string(),
    ),
    "judge_model": ((Source("gen_ai.evaluation.judge.model", _OTEL, _TEXT),), pa.string()),
    "threshold": ((Source("gen_ai.evaluation.threshold", _OTEL, Reader.NUMBER),), pa.float64()),
    "higher_is": ((Source("gen_ai.evaluation.higher_is", _OTEL, _TEXT),), pa.string()),
    "evaluator_version": ((Source("gen_ai.evaluation.evaluator.version", _OTEL, _TEXT),), pa.string()),
    "source": ((Source("gen_ai.evaluation.evaluator.source", _OTEL, _TEXT),), pa.string()),
}


def evaluation_columns(
    attributes: AttributeLists, is_result: npt.NDArray[np.bool_]
) -> tuple[Indices, dict[str, pa.Array]]:
    """Read the evaluation results among many events or log records.

    Args:
        attributes: the attributes of all events (or records).
        is_result: which of them are evaluation results by their event name.

    Returns:
        The rows that are results with a name (the convention requires one), and their columns.
    """
    if not is_result.any():
        return np.zeros(0, dtype=np.int64), {}
    columns = {name: first_usable(attributes, sources, kind) for name, (sources, kind) in COLUMNS.items()}
    named = columns["name"].is_valid().to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(is_result & named)
    index = pa.array(rows)
    return rows, {name: column.take(index) for name, column in columns.items()}


def is_evaluation(names: pa.Array) -> npt.NDArray[np.bool_]:
    """Which event names are the evaluation result's; null is not."""
    matches = pc.fill_null(pc.equal(names, text(EVENT_NAME)), FALSE)
    result: npt.NDArray[np.bool_] = matches.to_numpy(zero_copy_only=False)
    return result
