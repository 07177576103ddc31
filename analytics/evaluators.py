"""Evaluators: how their scores and labels are read as passed or failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import polars as pl

from analytics.labels import normal_label

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
    label = normal_label(pl.col("label"))
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
