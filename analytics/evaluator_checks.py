"""Did an evaluator grade both arms, and all the time, alike? The checks on evaluations that come before any verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl

from analytics.evaluators import EvaluatorRule
from analytics.maturity import Maturity
from analytics.metrics import EVALUATION_PREFIX, metric_names
from analytics.mix import compare_mix, mix_in_words
from analytics.outcome_names import evaluator_key
from analytics.report.formatting import instant
from analytics.report.model import Check, CheckStatus

_ARMS = 2
_MOST_NAMED = 3


@dataclass(frozen=True)
class EvaluatorContext:
    """What else is known when evaluations are checked.

    Attributes:
        pre_period: base traces from before the promotion, ``trace_id`` and ``cohort``; None looks at none.
        rules: what the configuration expects of evaluators.
        maturities: by column, how long evaluators are waited for.
        as_of: the moment the world is looked at (UTC, naive); needed with maturities.
    """

    pre_period: pl.DataFrame | None = None
    rules: Mapping[str, EvaluatorRule] = field(default_factory=dict)
    maturities: Mapping[str, Maturity] = field(default_factory=dict)
    as_of: datetime | None = None

    def window(self, column: str) -> timedelta:
        """How long after a trace's end a score of the evaluator's column is waited for."""
        return self.maturities[column].window if column in self.maturities else timedelta(0)

    def until(self, traces: pl.DataFrame) -> datetime:
        """The moment the world is looked at; where none is given, one at which every score has had its time.

        Raises:
            TypeError: ``end_time`` holds no times.
        """
        if self.as_of is not None:
            return self.as_of
        last = traces["end_time"].max()
        if not isinstance(last, datetime):
            raise TypeError(f"end_time holds {traces['end_time'].dtype} and no time")
        windows = [maturity.window for maturity in self.maturities.values()]
        return last + max(windows, default=timedelta(0)) + timedelta(microseconds=1)

    def old_enough(self, traces: pl.DataFrame, column: str) -> pl.DataFrame:
        """The traces for which the evaluator's usual delay has passed."""
        window = self.window(column)
        if not window or self.as_of is None:
            return traces
        return traces.filter(pl.col("end_time") + pl.lit(window, dtype=pl.Duration("ns")) <= self.as_of)

    def expected(self, evaluator: str) -> EvaluatorRule:
        """What the configuration says of an evaluator, in any spelling."""
        rules = {evaluator_key(name): rule for name, rule in self.rules.items()}
        return rules.get(evaluator_key(evaluator), EvaluatorRule())


@dataclass(frozen=True)
class _Trait:
    """Something about an evaluator that must not differ.

    Attributes:
        check: the check's name.
        word: what it is called in a sentence.
        columns: where it stands; the first that says something holds.
        mend: what to do when the arms differ.
        expected: the field of a rule that may say what it should be.
        required: whether to warn where no score says it.
    """

    check: str
    word: str
    columns: tuple[str, ...]
    mend: str = "score both again with one"
    expected: str | None = None
    required: bool = False


_TRAITS = (
    _Trait("evaluator_version", "version", ("evaluator_version",), "score both again with one version", "version",
           required=True),
    _Trait("evaluator_judge", "judge model", ("judge_model",), "score both again with one judge model", "judge_model"),
    _Trait("evaluator_threshold", "passing threshold", ("passing_threshold",), "grade both by one threshold"),
    _Trait("evaluator_direction", "direction", ("passing_direction",), "grade both by one direction"),
    _Trait("evaluator_source", "source", ("source", "annotator"), "have both graded by the same"),
)  # fmt: skip

COLUMNS = tuple(column for trait in _TRAITS for column in trait.columns)
"""What the checks read of an evaluation, where it is there."""


def evaluator_checks(
    cohort: str, traces: pl.DataFrame, evaluations: pl.DataFrame | None, context: EvaluatorContext
) -> Iterator[Check]:
    """Check one cohort's evaluators.

    A difference between the arms fails the evaluator's metric, until both arms are scored again alike. A change in time
    that met both arms alike is a warning that says when.

    Args:
        cohort: its name.
        traces: the cohort's rows of the wide frame: ``trace_id``, ``arm``, ``unit`` and the evaluators' columns, with
            ``end_time`` where the context has maturities.
        evaluations: one row per score and trace: ``trace_id``, ``name``, and of :data:`COLUMNS`, ``event_time``,
            ``passed`` and ``contradicted`` what there is; None if none are stored.
        context: what else is known.
    """
    for column, metric in metric_names(traces.columns).items():
        if not column.startswith(EVALUATION_PREFIX):
            continue
        evaluator = column.removeprefix(EVALUATION_PREFIX)
        mature = context.old_enough(traces, column)
        if mature.is_empty() or mature[column].null_count() == mature.height:
            continue
        yield from _graded_alike(cohort, evaluator, metric, mature, evaluations, context)


def _graded_alike(
    cohort: str,
    evaluator: str,
    metric: str,
    traces: pl.DataFrame,
    evaluations: pl.DataFrame | None,
    context: EvaluatorContext,
) -> Iterator[Check]:
    """The checks of what the scores say of their evaluator."""
    graded = _graded(evaluations, evaluator)
    rows = None if graded is None else graded.join(traces.select("trace_id", "arm", "unit"), on="trace_id")
    if graded is None or rows is None or rows["arm"].n_unique() < _ARMS:
        detail = f"Not checked: scores of {evaluator} with a trace id are missing in at least one arm."
        yield Check("evaluator_version", cohort, CheckStatus.WARN, detail, (metric,))
        return
    earlier = graded.clear()
    if context.pre_period is not None:
        before = context.pre_period.filter(pl.col("cohort") == cohort)
        earlier = graded.join(before.select("trace_id"), on="trace_id", how="semi")
    for trait in _TRAITS:
        if found := _trait(trait, evaluator, rows, earlier, context.expected(evaluator)):
            status, detail = found
            yield Check(trait.check, cohort, status, detail, (metric,))
    if contradicted := int(rows["contradicted"].sum()):
        detail = (
            f"On {contradicted:,} of {rows.height:,} scores of {evaluator} the label contradicts the score and "
            "its threshold; the label counts, so find out which of the two is wrong."
        )
        yield Check("evaluator_labels", cohort, CheckStatus.WARN, detail, (metric,))


def _graded(evaluations: pl.DataFrame | None, evaluator: str) -> pl.DataFrame | None:
    """The evaluator's scores with each trait as text; those of an evaluator that failed to run say nothing."""
    if evaluations is None:
        return None
    kinds = {name: pl.String() for name in COLUMNS} | {
        "passing_threshold": pl.Float64(),
        "event_time": pl.Datetime("ns"),
        "contradicted": pl.Boolean(),
    }
    own = evaluations.filter(pl.col("name") == evaluator)
    if "passed" in own.columns:
        own = own.filter(pl.col("passed").is_not_null())
    return own.with_columns(
        pl.lit(None, dtype=kind).alias(name) for name, kind in kinds.items() if name not in own.columns
    ).select(
        "trace_id",
        "event_time",
        pl.col("contradicted").fill_null(value=False),
        *(
            pl.coalesce(pl.col(column).cast(pl.String).replace("", None) for column in trait.columns).alias(trait.check)
            for trait in _TRAITS
        ),
    )


def _trait(
    trait: _Trait, evaluator: str, rows: pl.DataFrame, earlier: pl.DataFrame, expected: EvaluatorRule
) -> tuple[CheckStatus, str] | None:
    """How one trait stands; None where no score says it and none has to."""
    if rows[trait.check].null_count() == rows.height:
        if not trait.required:
            return None
        return CheckStatus.WARN, f"Not checked: the scores of {evaluator} carry no evaluator {trait.word}."
    difference = compare_mix(rows, trait.check)
    if difference.disjoint or difference.significant:
        return CheckStatus.FAIL, (
            f"The {trait.word} of {evaluator} {mix_in_words(difference, of='scores')}: "
            f"the arms were not graded alike, so {trait.mend}."
        )
    lopsided = [share for share in difference.shares if (share.base > 0) != (share.candidate > 0)]
    if lopsided:
        return CheckStatus.WARN, (
            f"{evaluator} graded a few traces of one arm only with {trait.word} "
            f"{lopsided[0].value or 'none recorded'}, as chance may have it; score them again with the "
            f"common {trait.word} to be sure."
        )
    wanted = None if trait.expected is None else getattr(expected, trait.expected)
    unexpected = [] if wanted is None else _values(rows.filter(pl.col(trait.check) != wanted), trait.check)
    if unexpected:
        return CheckStatus.WARN, (
            f"{evaluator} graded with {trait.word} {_listed(unexpected)} where the configuration expects {wanted}: "
            "score again, or say in the configuration what holds now."
        )
    return _changed(trait, evaluator, rows, earlier) or (
        CheckStatus.PASS,
        f"{evaluator} graded both arms with the same {trait.word}s.",
    )


def _changed(
    trait: _Trait, evaluator: str, rows: pl.DataFrame, earlier: pl.DataFrame
) -> tuple[CheckStatus, str] | None:
    """A change in time that met both arms alike."""
    values = _values(rows, trait.check)
    if len(values) > 1:
        newest = rows.filter(pl.col(trait.check) == values[-1])["event_time"].min()
        since = f" since {instant(newest)}" if isinstance(newest, datetime) else ""
        return CheckStatus.WARN, (
            f"The {trait.word} of {evaluator} changed in both arms alike, from {_listed(values[:-1])} to {values[-1]}"
            f"{since}: the comparison holds, its course over time does not."
        )
    before = _values(earlier, trait.check)
    if before and before[-1] != values[0]:
        return CheckStatus.WARN, (
            f"The {trait.word} of {evaluator} was {before[-1]} before the promotion and is {values[0]} since, in both "
            "arms alike: the comparison holds, but not with rates from before."
        )
    return None


def _values(rows: pl.DataFrame, column: str) -> list[str]:
    """The distinct values in the order in which they came."""
    first = rows.drop_nulls(column).group_by(column).agg(pl.col("event_time").min())
    return first.sort("event_time", column)[column].to_list()


def _listed(values: list[str]) -> str:
    shown = ", ".join(values[:_MOST_NAMED])
    return shown if len(values) <= _MOST_NAMED else f"{shown} and {len(values) - _MOST_NAMED:,} more"
