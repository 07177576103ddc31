"""Which names are evaluators and which are outcomes that happen, by whatever carrier they come.

An evaluation is a judgement: without one it is unknown whether the trace was good. An outcome such as a thumbs-down
happens or does not: without one it did not. Which of the two a row is, its name decides here, and nowhere else: an
evaluator may write "escalated", and a business system may send a Groundedness.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from analytics.outcome_words import KNOWN_OUTCOMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

KNOWN_EVALUATORS = (
    "TaskCompletion",
    "Groundedness",
    "HallucinationScore",
    "JSONValidation",
    "ToolSelectionAccuracy",
)
"""The field's evaluators, as their names are written here."""

_OTHER_NAMES = {"hallucination": "HallucinationScore"}

_PASSED_OVER = r"[^\p{L}\p{N}]"


class NameConflictError(ValueError):
    """The configuration names one thing as an evaluator and as an outcome, or one evaluator twice."""


def folded(name: str) -> str:
    """A name without case, spaces, hyphens and underscores; a name of nothing else stays as it is."""
    return "".join(character for character in name.lower() if character.isalnum()) or name


def folded_names(names: pl.Expr) -> pl.Expr:
    """A column of names, as :func:`folded` does it."""
    bare = names.str.to_lowercase().str.replace_all(_PASSED_OVER, "")
    return pl.when(bare != "").then(bare).otherwise(names)


def evaluator_key(name: str) -> str:
    """What is the same for all spellings of one evaluator's name."""
    return folded(_KNOWN_EVALUATOR_NAMES.get(folded(name), name))


_KNOWN_EVALUATOR_NAMES = {folded(name): name for name in KNOWN_EVALUATORS} | _OTHER_NAMES


@dataclass(frozen=True)
class OutcomeNames:
    """The names that are known, each by its folded spelling.

    Attributes:
        evaluators: folded → the name that the evaluator goes by.
        outcomes: folded → the name that the outcome goes by.
    """

    evaluators: Mapping[str, str] = field(default_factory=dict)
    outcomes: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, evaluators: Iterable[str] = (), outcomes: Iterable[str] = ()) -> OutcomeNames:
        """The names known out of the box and those of the configuration, whose word on what a name is holds.

        Raises:
            NameConflictError: the configuration has one name in both, or an evaluator in two spellings.
        """
        configured_evaluators: dict[str, str] = {}
        by_key: dict[str, str] = {}
        for name in evaluators:
            other = by_key.setdefault(evaluator_key(name), name)
            if other != name:
                raise NameConflictError(
                    f"{other!r} and {name!r} are one evaluator, configured twice; keep one of them."
                )
            configured_evaluators[folded(name)] = name
        configured_outcomes = {folded(name): name for name in outcomes}
        for spelling, name in configured_evaluators.items():
            if spelling in configured_outcomes:
                raise NameConflictError(
                    f"{name!r} is configured as an evaluator and {configured_outcomes[spelling]!r} as an outcome; "
                    "keep one of them."
                )
        known_outcomes = {folded(name): name for name in KNOWN_OUTCOMES}
        # A known evaluator keeps its own spelling, also where the configuration writes it another way.
        return cls(
            {s: n for s, n in (configured_evaluators | _KNOWN_EVALUATOR_NAMES).items() if s not in configured_outcomes},
            {s: n for s, n in (configured_outcomes | known_outcomes).items() if s not in configured_evaluators},
        )

    def evaluator(self, name: str) -> str:
        """The name that an evaluator goes by."""
        return self.evaluators.get(folded(name), name)

    def outcome(self, name: str) -> str:
        """The name that an outcome goes by."""
        return self.outcomes.get(folded(name), name)


def by_kind(
    evaluations: pl.DataFrame, feedback: pl.DataFrame, names: OutcomeNames
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Put each row where its name belongs, under the name that it goes by.

    Args:
        evaluations: rows of ``evaluations`` with ``evaluation_id``, ``name``, ``score``, ``label``.
        feedback: rows of ``feedback`` with ``feedback_id``, ``name``, ``value``, ``label``.
        names: what is known.

    Returns:
        Evaluations (also those that came as feedback, whose ``key`` then names their target) and outcomes (also those
        that came as evaluations). What is named nowhere stays what it came as.
    """
    evaluations = _named(evaluations, names)
    feedback = _named(feedback, names)
    happened = evaluations.filter("is_outcome").rename({"evaluation_id": "feedback_id", "score": "value"})
    judged = feedback.filter("is_evaluator").rename({"feedback_id": "evaluation_id", "value": "score"})
    kept = ("is_outcome", "is_evaluator")
    stayed_evaluations = evaluations.filter(~pl.col("is_outcome")).drop(kept)
    stayed_feedback = feedback.filter(~pl.col("is_evaluator")).drop(kept)
    return (
        _with_rows(stayed_evaluations, judged, additional={"key": pl.String()}),
        _with_rows(stayed_feedback, happened, additional={}),
    )


def _named(rows: pl.DataFrame, names: OutcomeNames) -> pl.DataFrame:
    """The rows under the names they go by, with what kind each name is."""
    seen = rows["name"].unique().drop_nulls().to_list()
    spelling = [folded(name) for name in seen]
    known = pl.DataFrame(
        {
            "name": seen,
            "goes_by": [
                names.evaluators.get(s) or names.outcomes.get(s) or n for s, n in zip(spelling, seen, strict=True)
            ],
            "is_outcome": [s in names.outcomes for s in spelling],
            "is_evaluator": [s in names.evaluators for s in spelling],
        },
        schema={"name": pl.String, "goes_by": pl.String, "is_outcome": pl.Boolean, "is_evaluator": pl.Boolean},
    )
    return (
        rows.join(known, on="name", how="left", maintain_order="left")
        .with_columns(name=pl.coalesce("goes_by", "name"))
        .drop("goes_by")
    )


def _with_rows(stayed: pl.DataFrame, moved: pl.DataFrame, additional: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """The rows that stayed and those that moved in, in the columns of the former."""
    stayed = stayed.with_columns(
        pl.lit(None, dtype=kind).alias(column) for column, kind in additional.items() if column not in stayed.columns
    )
    taken = moved.select(
        pl.col(column).cast(kind) if column in moved.columns else pl.lit(None, dtype=kind).alias(column)
        for column, kind in stayed.schema.items()
    )
    return pl.concat([stayed, taken])
