"""Outcomes by trace: what evaluators said of it, and whether what users and systems report happened in time."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import polars as pl

from analytics.evaluators import FALSE_LABELS, TRUE_LABELS
from analytics.labels import normal_label
from analytics.metrics import EVALUATION_PREFIX, OUTCOME_PREFIX
from analytics.targets import match_targets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from analytics.maturity import Maturity

HAPPENED_LABELS = TRUE_LABELS | frozenset(
    ["1", "down", "thumbs_down", "negative", "bad", "dislike", "disliked", "happened", "on"]
)
RETRACTED_LABELS = FALSE_LABELS | frozenset(
    ["0", "up", "thumbs_up", "positive", "good", "like", "liked", "none", "retracted", "off"]
)


def spoken_words(evaluations: pl.DataFrame, feedback: pl.DataFrame) -> pl.DataFrame:
    """Everything that was said of any target, in one frame.

    Args:
        evaluations: with ``passed`` and the target columns of :func:`match_targets`.
        feedback: the same without ``passed``.

    Returns:
        ``column`` of the traces frame, ``says`` (Boolean: an answer can be read from it), ``event_time`` and the
        target columns.
    """
    targets = ("event_time", "span_id", "trace_id", "response_id", "conversation_id", "key")
    return pl.concat([
        evaluations.select(
            *targets, column=pl.lit(EVALUATION_PREFIX) + pl.col("name"), says=pl.col("passed").is_not_null()
        ),
        feedback.select(*targets, column=pl.lit(OUTCOME_PREFIX) + pl.col("name"), says=_happened().is_not_null()),
    ])  # fmt: skip


def failed_evaluations(evaluations: pl.DataFrame, spans: pl.DataFrame) -> pl.DataFrame:
    """Say for each trace and evaluator whether any scored target failed.

    Args:
        evaluations: ``evaluation_id``, ``event_time``, ``name``, ``passed`` and the target columns of
            :func:`match_targets`.
        spans: as for :func:`match_targets`.

    Returns:
        ``trace_id`` and one Float64 column ``evaluation:<name>`` per evaluator of the evaluations: 1.0
        failed, 0.0 passed, null without a score. Traces without any evaluation are left out.
    """
    once = evaluations.sort("evaluation_id", "event_time", "passed", nulls_last=False).unique(
        "evaluation_id", keep="last", maintain_order=True
    )
    names = sorted(evaluations["name"].unique().to_list())
    failed = (~pl.col("passed")).cast(pl.Float64)
    return (
        match_targets(once, spans)
        .group_by(trace_id="matched_trace_id")
        .agg(failed.filter(pl.col("name") == name).max().alias(EVALUATION_PREFIX + name) for name in names)
    )


def outcomes_by_trace(
    feedback: pl.DataFrame,
    spans: pl.DataFrame,
    traces: pl.DataFrame,
    *,
    as_of: datetime,
    maturity: Mapping[str, Maturity],
) -> pl.DataFrame:
    """Say for each trace and kind of feedback whether it happened in time.

    Of the rows of one target, name and source that came within the maturity, the latest holds, so a later
    row may retract an earlier one. What was replaced only after the maturity has become final and holds as it was.

    Args:
        feedback: ``feedback_id``, ``event_time``, ``received_at``, ``name``, ``value``, ``label``,
            ``source``, ``replaced_at`` (when another word took its place) and the target columns of
            :func:`match_targets`; none after ``as_of``.
        spans: as for :func:`match_targets`.
        traces: ``trace_id`` and ``end_time``, one row per trace.
        as_of: the moment the world is looked at (UTC, naive).
        maturity: by column, how long after a trace's end each outcome is final.

    Returns:
        ``trace_id`` and one Float64 column ``outcome:<name>`` per name in the feedback, for every trace:
        1.0 it happened by the trace's end plus the maturity, 0.0 it did not, null while that time has not
        passed.
    """
    now = pl.lit(as_of, dtype=pl.Datetime("ns"))
    names = sorted(feedback["name"].unique().to_list())
    span_of_name = {name: maturity[OUTCOME_PREFIX + name].window for name in names}
    spoken = feedback.with_columns(happened=_happened()).filter(pl.col("happened").is_not_null())
    matched = match_targets(spoken, spans).join(
        traces.select(matched_trace_id="trace_id", trace_end="end_time"), on="matched_trace_id"
    )
    due = pl.DataFrame({"name": names, "maturity": list(span_of_name.values())}, schema_overrides=_DUE_SCHEMA)
    deadline = pl.col("trace_end") + pl.col("maturity")
    standing = (
        matched.join(due, on="name")
        .filter((pl.col("event_time") <= deadline) & (pl.col("replaced_at") > deadline).fill_null(value=True))
        .sort("event_time", "received_at", "feedback_id")
        .group_by("matched_trace_id", "target", "name", "source")
        .agg(pl.col("happened").last())
    )
    happened = standing.group_by(trace_id="matched_trace_id").agg(
        pl.col("happened").filter(pl.col("name") == name).any().alias(OUTCOME_PREFIX + name) for name in names
    )
    return (
        traces.select("trace_id", "end_time")
        .join(happened, on="trace_id", how="left", maintain_order="left")
        .select(
            "trace_id",
            *(
                pl.when(pl.col("end_time") + pl.lit(span_of_name[name], dtype=pl.Duration("ns")) <= now)
                .then(pl.col(OUTCOME_PREFIX + name).fill_null(value=False).cast(pl.Float64))
                .alias(OUTCOME_PREFIX + name)
                for name in names
            ),
        )
    )


_DUE_SCHEMA = {"name": pl.String(), "maturity": pl.Duration("ns")}


def _happened() -> pl.Expr:
    """Whether a feedback row says that the thing happened; null if it does not say."""
    label = normal_label(pl.col("label"))
    value = pl.col("value").fill_nan(None)
    return (
        pl.when(value.is_not_null())
        .then(value > 0)
        .when(label.is_in(list(HAPPENED_LABELS)) | (label == normal_label(pl.col("name"))))
        .then(pl.lit(value=True))
        .when(label.is_in(list(RETRACTED_LABELS)))
        .then(pl.lit(value=False))
    )
