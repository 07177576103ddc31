"""Targets: which traces an evaluation or a feedback row speaks of.

A row names its target by a span id, trace id, response id, conversation id or application key, in this order of trust;
the first that is known in the traces at hand decides. The target may arrive before or after the row. What names a
conversation or a key speaks of every trace of it, once.
"""

from __future__ import annotations

import polars as pl

# Levels of the target, most trusted first, with the column that names each among the spans.
_LEVELS = {
    "span_id": "span_id",
    "trace_id": "trace_id",
    "response_id": "response_id",
    "conversation_id": "conversation_id",
    "key": "key_value",
}


def match_targets(rows: pl.DataFrame, spans: pl.DataFrame) -> pl.DataFrame:
    """Find the traces that evaluations or feedback speak of.

    Args:
        rows: any of ``span_id``, ``trace_id``, ``response_id``, ``conversation_id`` and ``key`` (String),
            and others.
        spans: ``trace_id``, ``span_id``, ``response_id``, ``conversation_id`` and ``key_value``.

    Returns:
        The matched rows, once per trace, with ``outcome`` (the row's number), ``matched_trace_id`` and
        ``target`` (what was matched, "level:value"). Rows that match nothing are left out.
    """
    pending = rows.with_columns(
        pl.lit(None, dtype=pl.String).alias(level) for level in _LEVELS if level not in rows.columns
    ).with_row_index("outcome")
    found = []
    for level, column in _LEVELS.items():
        named = pending.filter(pl.col(level).is_not_null())
        if named.is_empty():
            continue
        known = (
            spans.select(pl.col(column).alias("value"), matched_trace_id="trace_id")
            .filter(pl.col("value").is_not_null())
            .join(named.select(value=level), on="value", how="semi")
            .unique()
        )
        hits = named.join(known, left_on=level, right_on="value", how="inner").with_columns(
            target=pl.concat_str(pl.lit(level), level, separator=":"),
        )
        if level == "span_id":
            # Span ids are unique within a trace only: a stated trace must agree.
            hits = hits.filter(pl.col("trace_id").is_null() | (pl.col("trace_id") == pl.col("matched_trace_id")))
        found.append(hits)
        pending = pending.join(hits.select("outcome"), on="outcome", how="anti")
    if not found:
        nothing = pl.lit(None, dtype=pl.String)
        return pending.clear().with_columns(matched_trace_id=nothing, target=nothing)
    return pl.concat(found)


def unmatched_outcomes(outcomes: pl.DataFrame, spans: pl.DataFrame) -> int:
    """Count the evaluations or feedback rows whose target is not among the spans.

    Args:
        outcomes: rows of either table.
        spans: as for :func:`match_targets`.
    """
    return len(outcomes) - match_targets(outcomes, spans)["outcome"].n_unique()
