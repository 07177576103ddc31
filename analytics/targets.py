"""Targets: which traces an evaluation or a feedback row speaks of.

A row names its target by a span id, trace id, response id, conversation id or application key, in this order of trust;
the first that is known in the traces at hand decides. The target may arrive before or after the row. What names a
conversation or a key speaks of every trace of it, once.
"""

from __future__ import annotations

import polars as pl

LEVELS = {
    "span": "span_id",
    "trace": "trace_id",
    "response": "response_id",
    "conversation": "conversation_id",
    "key": "key",
}
"""Levels of the target, most trusted first, with the column that names each."""

_KEY_OF_SPANS = {"key": "key_value"}
"""What a level's column is called among the spans, where it has another name."""


def match_targets(rows: pl.DataFrame, spans: pl.DataFrame) -> pl.DataFrame:
    """Find the traces that evaluations or feedback speak of.

    Args:
        rows: any of ``span_id``, ``trace_id``, ``response_id``, ``conversation_id`` and ``key`` (String),
            and others.
        spans: ``trace_id``, ``span_id``, ``response_id``, ``conversation_id`` and ``key_value``.

    Returns:
        The matched rows, once per trace, with ``outcome`` (the row's number), ``matched_trace_id``,
        ``matched_level`` and ``target`` (what was matched, "column:value"). Rows that match nothing are left
        out.
    """
    known = [
        spans.select(level=pl.lit(level), value=pl.col(_KEY_OF_SPANS.get(column, column)), matched_trace_id="trace_id")
        .join(rows.select(value=column).drop_nulls(), on="value", how="semi")
        .unique()
        for level, column in LEVELS.items()
        if column in rows.columns
    ]
    return match_known(rows, pl.concat([_NOTHING_KNOWN, *known]))


def match_known(rows: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Find the traces that evaluations or feedback speak of, among values whose traces are known.

    Args:
        rows: as for :func:`match_targets`.
        known: ``level`` (of :data:`LEVELS`), ``value`` and ``matched_trace_id``, each once.

    Returns:
        As :func:`match_targets`.
    """
    pending = rows.with_columns(
        pl.lit(None, dtype=pl.String).alias(column) for column in LEVELS.values() if column not in rows.columns
    ).with_row_index("outcome")
    found = []
    for level, column in LEVELS.items():
        of_level = known.filter(pl.col("level") == level).select("value", "matched_trace_id")
        hits = (
            pending.filter(pl.col(column).is_not_null())
            .join(of_level, left_on=column, right_on="value", how="inner")
            .with_columns(
                matched_level=pl.lit(level),
                target=pl.concat_str(pl.lit(column), column, separator=":"),
            )
        )
        if level == "span":
            # Span ids are unique within a trace only: a stated trace must agree.
            hits = hits.filter(pl.col("trace_id").is_null() | (pl.col("trace_id") == pl.col("matched_trace_id")))
        found.append(hits)
        pending = pending.join(hits.select("outcome"), on="outcome", how="anti")
    return pl.concat(found)


_NOTHING_KNOWN = pl.DataFrame(schema=dict.fromkeys(("level", "value", "matched_trace_id"), pl.String))


def unmatched_outcomes(outcomes: pl.DataFrame, spans: pl.DataFrame) -> int:
    """Count the evaluations or feedback rows whose target is not among the spans.

    Args:
        outcomes: rows of either table.
        spans: as for :func:`match_targets`.
    """
    return len(outcomes) - match_targets(outcomes, spans)["outcome"].n_unique()
