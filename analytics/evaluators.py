"""Evaluators: how their scores and labels are read as passed or failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import polars as pl

from analytics.labels import normal_label
from analytics.outcome_names import evaluator_key
from analytics.outcome_words import FAIL_LABELS, PASS_LABELS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

TRUE_LABELS = frozenset(["true", "yes", "y", "t"])
FALSE_LABELS = frozenset(["false", "no", "n", "f"])
# Of these evaluators "true" or 1 is the bad answer, or may be: without a rule only an explicit label decides.
ADVERSE_NAME = r"(?i)toxic|bias|hallucinat|harm|jailbreak|leak|pii|injection|unsafe|violat|abus|refus"


@dataclass(frozen=True)
class EvaluatorRule:
    """How to read an evaluator's score, what is expected of the evaluator, and how long its results take.

    Attributes:
        threshold: the score at which an answer still passes; None leaves it to what is sent or known.
        higher_is: "better" if scores from the threshold up pass, "worse" if scores up to the threshold pass; None
            leaves it to what is sent or known, else "better" unless the name speaks of something bad.
        version: the evaluator version that is expected; None expects none in particular.
        judge_model: the same of the model that judges.
        maturity: how long after a trace's end its results are waited for; None leaves it to what is learned.
        learn: whether that is learned from the delays before the promotion; None learns where none is given.
    """

    threshold: float | None = None
    higher_is: Literal["better", "worse"] | None = None
    version: str | None = None
    judge_model: str | None = None
    maturity: timedelta | None = None
    learn: bool | None = None

    def __post_init__(self) -> None:
        if self.higher_is not in (None, "better", "worse"):
            message = f"An evaluator's higher_is is {self.higher_is!r}; make it 'better' or 'worse'."
            raise ValueError(message)


KNOWN_RULES: Mapping[str, EvaluatorRule] = {
    "TaskCompletion": EvaluatorRule(0.5, "better"),
    "Groundedness": EvaluatorRule(0.5, "better"),
    "HallucinationScore": EvaluatorRule(0.5, "worse"),
    "JSONValidation": EvaluatorRule(1.0, "better"),
    "ToolSelectionAccuracy": EvaluatorRule(0.5, "better"),
}
"""Thresholds on a scale from 0 to 1, as DeepEval's defaults have them; a schema is met or not."""

OPTIONAL_COLUMNS = {"error_type": pl.String(), "threshold": pl.Float64(), "higher_is": pl.String()}
"""What a row may say of its evaluator: why it failed to run, and its rule."""


def with_passed(evaluations: pl.DataFrame, rules: Mapping[str, EvaluatorRule] | None = None) -> pl.DataFrame:
    """Decide for each evaluation whether its target passed.

    A recognised label decides; else the score by threshold and direction, each as configured, else as sent with the
    row, else as known of the evaluator; else a score of exactly 0 or 1. What is known of an evaluator, and bare scores,
    are on a scale from 0 to 1: they are not used where the evaluator scores beyond it. What says nothing of this, and
    whatever an evaluator says that failed to run, is neither a pass nor a failure.

    Args:
        evaluations: ``name``, ``label`` and ``score``, and where there are ``error_type``, ``threshold`` and
            ``higher_is``.
        rules: how to read scores, by evaluator name in any spelling.

    Returns:
        The evaluations with ``passed`` (Boolean, null where unknown), ``passing_threshold`` and ``passing_direction``
        (what the score was held against: as sent where a label decided) and ``contradicted`` (Boolean: the label says
        one thing and the score by a stated threshold the other).
    """
    absent = {name: kind for name, kind in OPTIONAL_COLUMNS.items() if name not in evaluations.columns}
    frame = evaluations.with_columns(pl.lit(None, dtype=kind).alias(name) for name, kind in absent.items())
    frame = frame.join(_rules(frame, rules or {}), on="name", how="left", maintain_order="left")
    ran = pl.col("error_type").is_null()
    score = pl.when(ran).then(pl.col("score").fill_nan(None))
    sent_threshold = pl.when(pl.col("threshold").is_finite()).then(pl.col("threshold"))
    sent_direction = normal_label(pl.col("higher_is"))
    sent_direction = pl.when(sent_direction.is_in(["better", "worse"])).then(sent_direction)
    unit_scale = ((score.min() >= 0) & (score.max() <= 1)).over("name").fill_null(value=True)
    stated_threshold = pl.coalesce("configured_threshold", sent_threshold)
    threshold = pl.coalesce(stated_threshold, pl.when(unit_scale).then(pl.col("known_threshold")))
    assumed = pl.when(~pl.col("name").str.contains(ADVERSE_NAME)).then(pl.lit("better"))
    direction = pl.coalesce("configured_direction", sent_direction, "known_direction", assumed)
    better = direction == "better"
    exact = pl.when(unit_scale & score.is_in([0.0, 1.0])).then((score == 1.0) == better)
    by_threshold = pl.when(better).then(score >= threshold).when(direction == "worse").then(score <= threshold)
    by_stated = pl.when(stated_threshold.is_not_null()).then(by_threshold)
    label = normal_label(pl.when(ran).then(pl.col("label")))
    by_label = (
        pl.when(label.is_in(list(PASS_LABELS)))
        .then(pl.lit(value=True))
        .when(label.is_in(list(FAIL_LABELS)))
        .then(pl.lit(value=False))
        .when(label.is_in(list(TRUE_LABELS)))
        .then(better)
        .when(label.is_in(list(FALSE_LABELS)))
        .then(~better)
    )
    by_score = pl.coalesce(by_threshold, exact)
    decided = frame.with_columns(
        passed=pl.coalesce(by_label, by_score),
        passing_threshold=pl.when(by_label.is_not_null()).then(sent_threshold).otherwise(threshold),
        passing_direction=pl.when(by_label.is_not_null()).then(sent_direction).otherwise(direction),
        contradicted=(by_label != pl.coalesce(by_stated, exact)).fill_null(value=False),
    )
    return decided.drop(*absent, *_RULE_COLUMNS)


_RULE_COLUMNS = ("configured_threshold", "configured_direction", "known_threshold", "known_direction")


def _rules(evaluations: pl.DataFrame, rules: Mapping[str, EvaluatorRule]) -> pl.DataFrame:
    """For each evaluator's name what is configured and what is known of it."""
    configured = {evaluator_key(name): rule for name, rule in rules.items()}
    known = {evaluator_key(name): rule for name, rule in KNOWN_RULES.items()}
    names = evaluations["name"].unique().drop_nulls().to_list()
    none = EvaluatorRule()
    rows = [
        (name, given.threshold, given.higher_is, out_of_the_box.threshold, out_of_the_box.higher_is)
        for name in names
        for given, out_of_the_box in [(configured.get(evaluator_key(name), none), known.get(evaluator_key(name), none))]
    ]
    kinds = {name: pl.Float64() if name.endswith("threshold") else pl.String() for name in _RULE_COLUMNS}
    return pl.DataFrame(rows, schema={"name": pl.String(), **kinds}, orient="row")
