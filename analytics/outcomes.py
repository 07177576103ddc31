"""Evaluations and feedback: which traces they speak of, and what they say.

A row names its target by a span id, trace id, response id, conversation id or application key, in this
order of trust; the first that is known in the traces at hand decides. The target may arrive before or after
the row. What names a conversation or a key speaks of every trace of it, once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

import polars as pl

from analytics.metrics import DEFAULT_OUTCOME_MATURITY, EVALUATION_PREFIX, OUTCOME_PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping


PASS_LABELS = frozenset(
    [
        "pass",
        "passed",
        "success",
        "succeeded",
        "successful",
        "ok",
        "correct",
        "right",
        "grounded",
        "factual",
        "faithful",
        "valid",
        "relevant",
        "complete",
        "completed",
        "resolved",
        "compliant",
        "safe",
        "clean",
        "non_toxic",
        "not_toxic",
    ]
)
FAIL_LABELS = frozenset(
    [
        "fail",
        "failed",
        "failure",
        "incorrect",
        "wrong",
        "ungrounded",
        "not_grounded",
        "hallucinated",
        "hallucination",
        "unfaithful",
        "invalid",
        "irrelevant",
        "not_relevant",
        "incomplete",
        "unresolved",
        "noncompliant",
        "non_compliant",
        "unsafe",
        "toxic",
    ]
)
TRUE_LABELS = frozenset(["true", "yes", "y", "t"])
FALSE_LABELS = frozenset(["false", "no", "n", "f"])
# Of these evaluators "true" or 1 is the bad answer, or may be: without a rule only an explicit label decides.
ADVERSE_NAME = r"(?i)toxic|bias|hallucinat|harm|jailbreak|leak|pii|injection|unsafe|violat|abus|refus"

HAPPENED_LABELS = TRUE_LABELS | frozenset(
    ["1", "down", "thumbs_down", "negative", "bad", "dislike", "disliked", "happened", "on"]
)
RETRACTED_LABELS = FALSE_LABELS | frozenset(
    ["0", "up", "thumbs_up", "positive", "good", "like", "liked", "none", "retracted", "off"]
)


# Levels of the target, most trusted first, with the column that names each among the spans.
_LEVELS = {
    "span_id": "span_id",
    "trace_id": "trace_id",
    "response_id": "response_id",
    "conversation_id": "conversation_id",
    "key": "key_value",
}


@dataclass(frozen=True)
class EvaluatorRule:
    """How to read an evaluator's score.

    Attributes:
        threshold: the score at which an answer still passes.
        higher_is: "better" if scores from the threshold up pass, "worse" if scores up to the threshold pass.
    """

    threshold: float
    higher_is: Literal["better", "worse"] = "better"

    def __post_init__(self) -> None:
        if self.higher_is not in ("better", "worse"):
            message = f"An evaluator's higher_is is {self.higher_is!r}; make it 'better' or 'worse'."
            raise ValueError(message)


def with_passed(evaluations: pl.DataFrame, rules: Mapping[str, EvaluatorRule] | None = None) -> pl.DataFrame:
    """Decide for each evaluation whether its target passed.

    A recognised label decides; else the score by the evaluator's rule; else a score of exactly 0 or 1. What
    says nothing of this, such as an evaluator that failed to run, is neither a pass nor a failure.

    Args:
        evaluations: ``name``, ``label`` and ``score``.
        rules: how to read scores, by evaluator name.

    Returns:
        The evaluations with ``passed`` (Boolean, null where unknown).
    """
    rules = rules or {}
    label = _normal(pl.col("label"))
    score = pl.col("score").fill_nan(None)
    good_when_true: pl.Expr = pl.when(~pl.col("name").str.contains(ADVERSE_NAME)).then(pl.lit(value=True))
    by_score: pl.Expr = pl.when(score.is_in([0.0, 1.0])).then((score == 1.0) == good_when_true)
    for name, rule in rules.items():
        better = rule.higher_is == "better"
        ruled = pl.col("name") == name
        good_when_true = pl.when(ruled).then(pl.lit(value=better)).otherwise(good_when_true)
        passes = score >= rule.threshold if better else score <= rule.threshold
        by_score = pl.when(ruled).then(passes).otherwise(by_score)
    return evaluations.with_columns(
        passed=pl.when(label.is_in(list(PASS_LABELS)))
        .then(pl.lit(value=True))
        .when(label.is_in(list(FAIL_LABELS)))
        .then(pl.lit(value=False))
        .when(label.is_in(list(TRUE_LABELS)) & good_when_true.is_not_null())
        .then(good_when_true)
        .when(label.is_in(list(FALSE_LABELS)) & good_when_true.is_not_null())
        .then(~good_when_true)
        .otherwise(by_score)
    )


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


def failed_evaluations(evaluations: pl.DataFrame, spans: pl.DataFrame) -> pl.DataFrame:
    """Say for each trace and evaluator whether any scored target failed.

    Args:
        evaluations: ``evaluation_id``, ``event_time``, ``name``, ``passed`` and the target columns of
            :func:`match_targets` (no key).
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
    maturity: Mapping[str, timedelta],
) -> pl.DataFrame:
    """Say for each trace and kind of feedback whether it happened in time.

    Of the rows of one target, name and source that came within the maturity, the latest holds, so a later
    row may retract an earlier one.

    Args:
        feedback: ``feedback_id``, ``event_time``, ``received_at``, ``name``, ``value``, ``label``,
            ``source`` and the target columns of :func:`match_targets`; none after ``as_of``.
        spans: as for :func:`match_targets`.
        traces: ``trace_id`` and ``end_time``, one row per trace.
        as_of: the moment the world is looked at (UTC, naive).
        maturity: by name, how long after a trace's end the outcome is final; a day where not named.

    Returns:
        ``trace_id`` and one Float64 column ``outcome:<name>`` per name in the feedback, for every trace:
        1.0 it happened by the trace's end plus the maturity, 0.0 it did not, null while that time has not
        passed.
    """
    now = pl.lit(as_of, dtype=pl.Datetime("ns"))
    names = sorted(feedback["name"].unique().to_list())
    span_of_name = {name: maturity.get(name, DEFAULT_OUTCOME_MATURITY) for name in names}
    spoken = feedback.with_columns(happened=_happened()).filter(pl.col("happened").is_not_null())
    matched = match_targets(spoken, spans).join(
        traces.select(matched_trace_id="trace_id", trace_end="end_time"), on="matched_trace_id"
    )
    due = pl.DataFrame({"name": names, "maturity": list(span_of_name.values())}, schema_overrides=_DUE_SCHEMA)
    standing = (
        matched.join(due, on="name")
        .filter(pl.col("event_time") <= pl.col("trace_end") + pl.col("maturity"))
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


def unmatched_outcomes(outcomes: pl.DataFrame, spans: pl.DataFrame) -> int:
    """Count the evaluations or feedback rows whose target is not among the spans.

    Args:
        outcomes: rows of either table.
        spans: as for :func:`match_targets`.
    """
    return len(outcomes) - match_targets(outcomes, spans)["outcome"].n_unique()


_DUE_SCHEMA = {"name": pl.String(), "maturity": pl.Duration("ns")}


def _happened() -> pl.Expr:
    """Whether a feedback row says that the thing happened; null if it does not say."""
    label = _normal(pl.col("label"))
    value = pl.col("value").fill_nan(None)
    return (
        pl.when(value.is_not_null())
        .then(value > 0)
        .when(label.is_in(list(HAPPENED_LABELS)) | (label == _normal(pl.col("name"))))
        .then(pl.lit(value=True))
        .when(label.is_in(list(RETRACTED_LABELS)))
        .then(pl.lit(value=False))
    )


def _normal(text: pl.Expr) -> pl.Expr:
    return text.str.strip_chars().str.to_lowercase().str.replace_all(r"[\s-]+", "_")
